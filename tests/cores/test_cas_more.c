/* Tests of dx_cas.h that mutants asked for: the file device where descriptors and errors are unusual. */
#define _GNU_SOURCE
#define DX_IMPLEMENTATION
#include "../../dx_cas.h"
#define DX_TEST_MAIN
#include "../dx_test.h"
#include <sys/wait.h>

static const char *temp_path(const char *name)
{
    static char path[256];
    const char *folder = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/dx_cas_more_%d_%s", folder ? folder : "/tmp", (int)getpid(), name);
    return path;
}

/* A program without standard input: the file gets descriptor 0, which is no failure, whatever errno says. */
DX_TEST(ca_file_device_with_descriptor_0)
{
    dx_cas_file f;
    const char *path = temp_path("zero");
    int status;
    DX_CHECK_EQ(dx_cas_file_open(&f, path, DX_CAS_WRITE | DX_CAS_CREATE), DX_CAS_OK);
    dx_cas_file_close(&f);
    pid_t child = fork();
    if (child == 0) {
        int bad = 0;
        uint8_t byte = 7;
        size_t got = 0;
        close(0);
        errno = ENOENT;
        bad |= dx_cas_file_open(&f, path, DX_CAS_WRITE | DX_CAS_CREATE) != DX_CAS_OK || f.handle_ != 0;
        dx_cas_device d = dx_cas_file_device(&f);
        bad |= bad || d.write(d.user, 0, &byte, 1) != DX_CAS_OK;
        bad |= bad || d.read(d.user, 0, &byte, 1, &got) != DX_CAS_OK || got != 1;
        dx_cas_file_close(&f);
        bad |= open("/dev/null", O_RDONLY) != 0; /* it was closed */
        errno = ENOENT;
        close(0);
        bad |= dx_cas_file_open(&f, path, DX_CAS_READ) != DX_CAS_OK || f.handle_ != 0;
        _exit(bad);
    }
    DX_CHECK_EQ(waitpid(child, &status, 0), child);
    unlink(path);
    DX_CHECK_EQ(status, 0);
}

/* An error that stays is reported, not repeated. */
DX_TEST(ca_file_device_reports_what_the_system_refuses)
{
    dx_cas_file f;
    uint8_t byte = 1;
    uint64_t size;
    size_t got;
    memset(&f, 0, sizeof f);
    f.handle_ = open("/", O_RDONLY);
    DX_CHECK(f.handle_ >= 0);
    dx_cas_device d = dx_cas_file_device(&f);
    DX_CHECK_EQ(d.read(d.user, 0, &byte, 1, &got), DX_CAS_ESYS);
    DX_CHECK_EQ(f.system_error, EISDIR);
    DX_CHECK_EQ(d.write(d.user, 0, &byte, 1), DX_CAS_ESYS);
    DX_CHECK_EQ(f.system_error, EBADF);
    DX_CHECK_EQ(d.truncate(d.user, 0), DX_CAS_ESYS);
    dx_cas_file_close(&f);
    int ends[2];
    DX_CHECK_EQ(pipe(ends), 0);
    f.handle_ = ends[0];
    d = dx_cas_file_device(&f);
    DX_CHECK_EQ(d.size(d.user, &size), DX_CAS_ESYS);
    DX_CHECK_EQ(size, 0);
    DX_CHECK_EQ(d.sync(d.user), DX_CAS_ESYS);
    dx_cas_file_close(&f);
    close(ends[1]);
    DX_CHECK_EQ(dx_cas_file_open(NULL, "/", DX_CAS_READ), DX_CAS_EINVAL);
    DX_CHECK_EQ(dx_cas_file_open(&f, NULL, DX_CAS_READ), DX_CAS_EINVAL);
    DX_CHECK_EQ(dx_cas_file_open(&f, "/", DX_CAS_WRITE), DX_CAS_ESYS);
    DX_CHECK_EQ(f.handle_, (intptr_t)-1);
    DX_CHECK_EQ(dx_cas_file_sync_folder("/nowhere/at/all"), DX_CAS_ESYS);
    DX_CHECK_EQ(dx_cas_file_sync_folder("no_folder_in_front"), DX_CAS_OK);
}
