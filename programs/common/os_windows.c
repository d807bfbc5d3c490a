/* os.h for Windows (Vista and later; better calls of newer versions are tried first).
   Everything is opened with NtCreateFile(): it accepts names relative to an open folder, as openat()
   does, and names of any length, which it does not interpret: "NUL" is no device, and a final dot
   stays. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "os.h"

#if defined(_WIN32)
#ifndef _WIN32_WINNT
#define _WIN32_WINNT 0x0601
#endif
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <winsock2.h>
#include <ws2tcpip.h>

#include <windows.h>

#include <ntsecapi.h> /* RtlGenRandom() */
#include <psapi.h>
#include <shellapi.h>
#include <winternl.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <io.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "os_network.h"

enum { /* missing in older headers */
    /* FILE_INFORMATION_CLASS */
    RENAME_CLASSIC = 10, RENAME_POSIX = 65, DELETE_CLASSIC = 13, DELETE_POSIX = 64,
    RENAME_FLAGS = 1 | 2 | 0x40, /* replace, even if open or read-only */
    DELETE_FLAGS = 1 | 2 | 0x10  /* delete at once, even if read-only */
};
/* Retry: a virus scanner or indexer may briefly hold a new file open. */
enum { TRIES = 50, TRY_MS = 20 };

NTSYSAPI NTSTATUS NTAPI NtSetInformationFile(HANDLE, PIO_STATUS_BLOCK, PVOID, ULONG,
                                             FILE_INFORMATION_CLASS);

/* >>errors ------------------------------------------------------------- */
enum { FOREIGN = 100000 }; /* plus a Windows error that has no errno */

static const struct {
    DWORD       system;
    int         number;
    const char *text;
} errors[] = {
    {ERROR_FILE_NOT_FOUND, ENOENT, "no such file or directory"},
    {ERROR_PATH_NOT_FOUND, ENOENT, NULL},
    {ERROR_ACCESS_DENIED, EACCES, "access denied"},
    {ERROR_SHARING_VIOLATION, EBUSY, "it is open in another program"},
    {ERROR_LOCK_VIOLATION, EWOULDBLOCK, "it is locked by another program"},
    {ERROR_DELETE_PENDING, EBUSY, NULL},
    {ERROR_USER_MAPPED_FILE, EBUSY, NULL},
    {ERROR_FILE_EXISTS, EEXIST,
     "there is one of this name, or of one that differs only in upper and lower case"},
    {ERROR_ALREADY_EXISTS, EEXIST, NULL},
    {ERROR_DISK_FULL, ENOSPC, "no space left on the disk"},
    {ERROR_HANDLE_DISK_FULL, ENOSPC, NULL},
    {ERROR_NOT_ENOUGH_MEMORY, ENOMEM, "out of memory"},
    {ERROR_OUTOFMEMORY, ENOMEM, NULL},
    {ERROR_DIRECTORY, ENOTDIR, "not a directory"},
    {ERROR_DIR_NOT_EMPTY, ENOTEMPTY, "the directory is not empty"},
    {ERROR_INVALID_NAME, EINVAL, "not a valid name"},
    {ERROR_NO_UNICODE_TRANSLATION, EILSEQ, "a name that is not UTF-8"},
    {ERROR_FILENAME_EXCED_RANGE, ENAMETOOLONG, "the name is too long"},
    {ERROR_TOO_MANY_OPEN_FILES, EMFILE, "too many open files"},
    {ERROR_WRITE_PROTECT, EROFS, "the disk is write-protected"},
    {ERROR_NOT_SUPPORTED, ENOTSUP, "the system cannot do that"},
    {WSAEADDRINUSE, EADDRINUSE, "the address is in use"},
    {WSAEADDRNOTAVAIL, EADDRNOTAVAIL, "this machine does not have the address"},
    {WSAECONNREFUSED, ECONNREFUSED, "connection refused"},
    {WSAECONNRESET, ECONNRESET, "connection reset by the peer"},
    {WSAEACCES, EACCES, NULL},
    {0, ETIMEDOUT, "no answer in time"},
    {0, ENETUNREACH, "the network cannot be reached"},
    {0, EHOSTUNREACH, "no route to the host"},
    {0, ECANCELED, "cancelled"},
};

static int errno_of(DWORD error)
{
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (error && errors[i].system == error) return errors[i].number;
    return FOREIGN + (int)error;
}

static int fail(void)
{
    errno = errno_of(GetLastError());
    return -1;
}

static int fail_status(NTSTATUS status)
{
    errno = errno_of(RtlNtStatusToDosError(status));
    return -1;
}

const char *os_error_text(int error)
{
    static _Thread_local char text[256];
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (errors[i].number == error && errors[i].text) return errors[i].text;
    if (error < FOREIGN) return strerror(error);
    int used = snprintf(text, sizeof text, "error %d of Windows: ", error - FOREIGN);
    assert(used > 0 && (size_t)used < sizeof text);
    DWORD n = FormatMessageA(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, NULL,
                             (DWORD)(error - FOREIGN), 0x409, text + used,
                             (DWORD)(sizeof text - (size_t)used), NULL);
    size_t end = (size_t)used + n;
    while (end && strchr("\r\n. :", text[end - 1])) end--;
    text[end] = 0;
    return text;
}

const char *os_cas_error_text(int error) { return os_error_text(errno_of((DWORD)error)); }

int os_socket_errno(void) { return errno_of((DWORD)WSAGetLastError()); }

/* >>names -------------------------------------------------------------- */
/* free() what it returns; NULL with errno set. */
static WCHAR *widen(const char *text, size_t room)
{
    assert(text);
    int n = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, NULL, 0);
    WCHAR *wide = n > 0 ? malloc(((size_t)n + room) * sizeof *wide) : NULL;
    if (n <= 0) fail();
    else if (!wide) errno = ENOMEM;
    if (wide) MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, wide, n);
    return wide;
}

static char *narrow(const WCHAR *text, int size) /* size -1: up to and including its zero */
{
    assert(text && size >= -1);
    int n = WideCharToMultiByte(CP_UTF8, WC_ERR_INVALID_CHARS, text, size, NULL, 0, NULL, NULL);
    char *out = n > 0 ? malloc((size_t)n + 1) : NULL;
    if (n <= 0) fail();
    else if (!out) errno = ENOMEM;
    if (!out) return NULL;
    out[WideCharToMultiByte(CP_UTF8, WC_ERR_INVALID_CHARS, text, size, out, n, NULL, NULL)] = 0;
    return out;
}

/* The absolute path in the form \??\C:\x or \??\UNC\server\x, of any length. */
static WCHAR *native(const char *path)
{
    WCHAR *wide = widen(path, 0), *out = NULL;
    DWORD size = wide ? GetFullPathNameW(wide, 0, NULL, NULL) : 0;
    if (wide && !size) fail();
    if (size && (out = malloc((size + 16) * sizeof *out)) == NULL) errno = ENOMEM;
    if (out) {
        GetFullPathNameW(wide, size, out + 8, NULL);
        size_t skip = 0, prefix = 4;
        if (!wcsncmp(out + 8, L"\\\\?\\", 4) || !wcsncmp(out + 8, L"\\\\.\\", 4)) skip = 4;
        else if (!wcsncmp(out + 8, L"\\\\", 2)) {
            skip = 2;
            prefix = 8;
        }
        memmove(out + prefix, out + 8 + skip, (wcslen(out + 8 + skip) + 1) * sizeof *out);
        memcpy(out, L"\\??\\UNC\\", prefix * sizeof *out);
    }
    free(wide);
    return out;
}

char *os_path(char *argument)
{
    for (char *p = argument; p && *p; p++)
        if (*p == '\\') *p = '/';
    return argument;
}

static bool is_device(const char *name)
{
    static const char *const devices[] = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"};
    size_t size = strcspn(name, "."); /* NUL.txt is also the device */
    while (size && name[size - 1] == ' ') size--;
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
        if (strlen(devices[i]) == size && !_strnicmp(name, devices[i], size)) return true;
    if (size < 4 || (_strnicmp(name, "COM", 3) && _strnicmp(name, "LPT", 3))) return false;
    if (size == 4) return name[3] >= '0' && name[3] <= '9';
    return size == 5 && (!memcmp(name + 3, "\xc2\xb9", 2) || !memcmp(name + 3, "\xc2\xb2", 2) ||
                         !memcmp(name + 3, "\xc2\xb3", 2)); /* superscript digits */
}

const char *os_name_fault(const char *name)
{
    size_t size = strlen(name);
    if (!strcmp(name, ".") || !strcmp(name, "..")) return NULL;
    for (const char *p = name; *p; p++) {
        if ((unsigned char)*p < 32) return "Windows has no names with control characters";
        if (strchr("<>:\"/\\|?*", *p))
            return "Windows has no names with any of < > : \" / \\ | ? *";
    }
    if (size && (name[size - 1] == '.' || name[size - 1] == ' '))
        return "Windows has no names that end in a dot or a space";
    if (is_device(name)) return "on Windows this is the name of a device";
    if (!MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, name, -1, NULL, 0))
        return "it is not UTF-8";
    return NULL;
}

/* >>opening ------------------------------------------------------------ */
static HANDLE handle_of(int file) { return (HANDLE)(intptr_t)file; }

typedef struct request {
    ACCESS_MASK access;
    ULONG       share, disposition, options, attributes;
} request;

enum { SHARE_ALL = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE };

/* folder -1: `name` is a path from native(). */
static int nt_open(int folder, const WCHAR *name, request q)
{
    assert(name && q.disposition && q.share <= SHARE_ALL);
    UNICODE_STRING text;
    OBJECT_ATTRIBUTES attributes;
    IO_STATUS_BLOCK block;
    HANDLE made;
    size_t size = wcslen(name) * sizeof *name;
    if (size > 0xfffc) {
        errno = ENAMETOOLONG;
        return -1;
    }
    text.Buffer = (WCHAR *)(uintptr_t)name;
    text.Length = text.MaximumLength = (USHORT)size;
    InitializeObjectAttributes(&attributes, &text, OBJ_CASE_INSENSITIVE,
                               folder < 0 ? NULL : handle_of(folder), NULL);
    NTSTATUS status = NtCreateFile(&made, q.access | SYNCHRONIZE | FILE_READ_ATTRIBUTES,
                                   &attributes, &block, NULL,
                                   q.attributes ? q.attributes : FILE_ATTRIBUTE_NORMAL, q.share,
                                   q.disposition, q.options | FILE_SYNCHRONOUS_IO_NONALERT, NULL,
                                   0);
    return status < 0 ? fail_status(status) : (int)(intptr_t)made;
}

static int open_path(const char *path, request q)
{
    assert(path);
    WCHAR *name = native(path);
    int file = name ? nt_open(-1, name, q) : -1, error = errno;
    free(name);
    errno = error;
    return file;
}

static int open_relative(int folder, const char *path, request q)
{
    assert(folder >= 0 && path);
    WCHAR *name = widen(path, 0);
    for (WCHAR *p = name; p && *p; p++)
        if (*p == L'/') *p = L'\\';
    int file = name ? nt_open(folder, name, q) : -1, error = errno;
    free(name);
    errno = error;
    return file;
}

static const request to_read = {GENERIC_READ, SHARE_ALL, FILE_OPEN, 0, 0};
static const request to_stat = {0, SHARE_ALL, FILE_OPEN, 0, 0};
static const request to_stat_link = {0, SHARE_ALL, FILE_OPEN, FILE_OPEN_REPARSE_POINT, 0};
static const request to_list = {FILE_LIST_DIRECTORY | FILE_TRAVERSE, SHARE_ALL, FILE_OPEN,
                                FILE_DIRECTORY_FILE, 0};
static const request to_list_no_link = {FILE_LIST_DIRECTORY | FILE_TRAVERSE, SHARE_ALL, FILE_OPEN,
                                        FILE_DIRECTORY_FILE | FILE_OPEN_REPARSE_POINT, 0};
static const request to_change = {FILE_WRITE_ATTRIBUTES, SHARE_ALL, FILE_OPEN,
                                  FILE_OPEN_REPARSE_POINT, 0};
static const request to_delete = {DELETE | FILE_WRITE_ATTRIBUTES, SHARE_ALL, FILE_OPEN,
                                  FILE_OPEN_REPARSE_POINT, 0};

int os_open(const char *path) { return open_path(path, to_read); }

int os_open_folder(const char *path) { return open_path(path, to_list); }

int os_open_append(const char *path, unsigned mode)
{
    (void)mode;
    return open_path(path, (request){FILE_APPEND_DATA, SHARE_ALL, FILE_OPEN_IF,
                                     FILE_NON_DIRECTORY_FILE, FILE_ATTRIBUTE_NORMAL});
}

int os_open_unnamed(const char *path)
{
    return open_path(
        path, (request){GENERIC_READ | GENERIC_WRITE | DELETE, FILE_SHARE_DELETE, FILE_OVERWRITE_IF,
                        FILE_NON_DIRECTORY_FILE | FILE_DELETE_ON_CLOSE, FILE_ATTRIBUTE_TEMPORARY});
}

/* Opening without sharing is the lock. */
static int open_alone(const char *path, request q)
{
    int file = open_path(path, q);
    if (file < 0 && errno == EBUSY) errno = EWOULDBLOCK;
    return file;
}

int os_open_lock(const char *path)
{
    return open_alone(path, (request){GENERIC_READ | GENERIC_WRITE, 0, FILE_OPEN_IF,
                                      FILE_NON_DIRECTORY_FILE, 0});
}

int os_open_staging(const char *path, bool folder)
{
    request q = {GENERIC_READ | GENERIC_WRITE | DELETE, 0, FILE_OPEN_IF, FILE_OPEN_REPARSE_POINT,
                 0};
    q.options |= folder ? FILE_DIRECTORY_FILE : FILE_NON_DIRECTORY_FILE;
    if (folder)
        q.access = FILE_LIST_DIRECTORY | FILE_TRAVERSE | FILE_ADD_FILE | FILE_ADD_SUBDIRECTORY |
                   DELETE;
    return open_alone(path, q);
}

/* A folder opened without sharing could not be renamed, by its holder either: there is no lock. */
int os_lock_folder(const char *path)
{
    (void)path;
    return -1;
}

int os_lock_folder_in(int folder, const char *name)
{
    (void)folder;
    (void)name;
    return -1;
}

int os_set_time(int file, int64_t mtime_ns)
{
    (void)file;
    (void)mtime_ns;
    errno = ENOSYS;
    return -1;
}

int os_replace_in(int folder, const char *name, const char *from)
{
    (void)folder;
    (void)name;
    (void)from;
    errno = ENOSYS;
    return -1;
}

int os_open_in(int folder, const char *name, int kind)
{
    request q = kind == OS_FOLDER ? to_list_no_link : to_read;
    if (kind == OS_FILE) q.options |= FILE_NON_DIRECTORY_FILE;
    return open_relative(folder, name, q);
}

int os_make_file_in(int folder, const char *path, unsigned mode)
{
    return open_relative(folder, path,
                         (request){GENERIC_WRITE, 0, FILE_CREATE, FILE_NON_DIRECTORY_FILE,
                                   mode & 0200 ? 0 : FILE_ATTRIBUTE_READONLY});
}

int os_close(int file) { return CloseHandle(handle_of(file)) ? 0 : fail(); }

int os_close_made(int file)
{
    /* Windows cannot sync a whole tree at once */
    bool good = FlushFileBuffers(handle_of(file)) || fail() == 0;
    int error = errno;
    CloseHandle(handle_of(file));
    errno = error;
    return good ? 0 : -1;
}

int os_close_socket(int socket) { return closesocket((SOCKET)(intptr_t)socket) == 0 ? 0 : -1; }

const char *os_resolve(const char *host, const char *port,
                       void (*each)(void *user, const void *address, size_t size), void *user)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG};
    struct addrinfo *list = NULL;
    WSADATA data;
    if (WSAStartup(MAKEWORD(2, 2), &data)) return "no network"; /* reference-counted */
    const int error = getaddrinfo(host, port, &hints, &list);
    if (error) return "unknown host, or no answer of the name server";
    for (const struct addrinfo *at = list; at; at = at->ai_next)
        each(user, at->ai_addr, at->ai_addrlen);
    freeaddrinfo(list);
    return NULL;
}

void os_remove_left_socket(const char *path) { (void)path; }

void os_memory_unused(void *memory, size_t size)
{
    (void)VirtualAlloc(memory, size, MEM_RESET, PAGE_READWRITE); /* advisory, like madvise() */
}

void os_heap_unused(void) { (void)HeapCompact(GetProcessHeap(), 0); }

bool os_peer_network(int socket, uint8_t network[16])
{
    struct sockaddr_storage address;
    int size = sizeof address;
    if (getpeername((SOCKET)(intptr_t)socket, (struct sockaddr *)&address, &size)) return false;
    return network_of((const struct sockaddr *)&address, network);
}

bool os_peer_address(int socket, void *address, size_t room, uint32_t *size)
{
    int length = (int)room;
    if (getpeername((SOCKET)(intptr_t)socket, address, &length)) return false;
    *size = (uint32_t)length;
    return true;
}

bool os_socket_unread(int socket)
{
    u_long size = 0;
    return ioctlsocket((SOCKET)(intptr_t)socket, FIONREAD, &size) || size > 0;
}

int os_share_port(int socket) /* there is one worker, and one listener */
{
    (void)socket;
    errno = ENOSYS;
    return -1;
}

static int make_folder(int folder, const char *path)
{
    request q = {FILE_LIST_DIRECTORY, SHARE_ALL, FILE_CREATE, FILE_DIRECTORY_FILE, 0};
    int made = folder < 0 ? open_path(path, q) : open_relative(folder, path, q);
    return made < 0 ? -1 : os_close(made);
}

int os_make_folder(const char *path, unsigned mode)
{
    (void)mode;
    return make_folder(-1, path);
}

int os_make_folder_in(int folder, const char *path) { return make_folder(folder, path); }

/* Links need a privilege that programs usually lack, and their targets have another syntax: not
   supported here. */
int os_make_link_in(int folder, const char *path, const char *target)
{
    (void)folder;
    (void)path;
    (void)target;
    errno = ENOTSUP;
    return -1;
}

int64_t os_read_link_in(int folder, const char *name, char *out, size_t size)
{
    (void)size;
    (void)out;
    return os_make_link_in(folder, name, NULL);
}

/* >>looking ------------------------------------------------------------ */
/* All kinds of links and junctions, but not cloud files, which are reparse points, too. */
static bool is_link(HANDLE file, DWORD attributes)
{
    FILE_ATTRIBUTE_TAG_INFO tag;
    return attributes & FILE_ATTRIBUTE_REPARSE_POINT &&
           GetFileInformationByHandleEx(file, FileAttributeTagInfo, &tag, sizeof tag) &&
           tag.ReparseTag & 0x20000000;
}

int os_info_of(int file, os_info *out)
{
    assert(file >= 0 && out);
    BY_HANDLE_FILE_INFORMATION info;
    HANDLE handle = handle_of(file);
    memset(out, 0, sizeof *out);
    if (GetFileType(handle) != FILE_TYPE_DISK) {
        out->kind = OS_OTHER;
        return 0;
    }
    if (!GetFileInformationByHandle(handle, &info)) return fail();
    bool folder = info.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY;
    out->kind = folder ? OS_FOLDER : OS_FILE;
    if (is_link(handle, info.dwFileAttributes)) out->kind = OS_LINK;
    out->mode = info.dwFileAttributes & FILE_ATTRIBUTE_READONLY ? 0444 : 0644;
    if (folder) out->mode = 0755;
    out->size = folder ? 0 : (uint64_t)info.nFileSizeHigh << 32 | info.nFileSizeLow;
    out->volume = info.dwVolumeSerialNumber;
    out->number = (uint64_t)info.nFileIndexHigh << 32 | info.nFileIndexLow;
    out->names = info.nNumberOfLinks;
    const uint64_t ticks = (uint64_t)info.ftLastWriteTime.dwHighDateTime << 32 |
                           info.ftLastWriteTime.dwLowDateTime; /* of 100 ns, since 1601 */
    out->mtime_ns = out->ctime_ns = (int64_t)(ticks - 116444736000000000) * 100;
    out->special = false;
    out->thin = !folder && (info.dwFileAttributes & FILE_ATTRIBUTE_SPARSE_FILE);
    return 0;
}

static int stat_and_close(int file, os_info *out)
{
    assert(out);
    if (file < 0) return -1;
    int result = os_info_of(file, out), error = errno;
    os_close(file);
    errno = error;
    return result;
}

int os_stat(const char *path, bool follow, os_info *out)
{
    return stat_and_close(open_path(path, follow ? to_stat : to_stat_link), out);
}

int os_stat_in(int folder, const char *name, os_info *out)
{
    return stat_and_close(open_relative(folder, name, to_stat_link), out);
}

/* `path` of \??\ or \\?\ and more as C:/x or //server/x in out; 0 or -1. */
static int plain_path(const WCHAR *path, char *out, size_t size)
{
    assert(path[0] == L'\\' && path[3] == L'\\' && size > 0);
    bool share = !wcsncmp(path + 4, L"UNC\\", 4);
    char *text = narrow(path + (share ? 7 : 4), -1);
    int result = text && strlen(text) + 2 <= size ? 0 : -1;
    if (!result) snprintf(out, size, "%s%s", share ? "/" : "", os_path(text));
    else if (text) errno = ENAMETOOLONG;
    free(text);
    return result;
}

int os_real_path(const char *path, char *out, size_t size)
{
    int file = open_path(path, to_stat), result = -1;
    DWORD room = file < 0 ? 0 : GetFinalPathNameByHandleW(handle_of(file), NULL, 0, 0);
    WCHAR *name = room ? malloc((room + 1) * sizeof *name) : NULL;
    if (name && GetFinalPathNameByHandleW(handle_of(file), name, room + 1, 0))
        result = plain_path(name, out, size);
    free(name);
    if (file >= 0) os_close(file);
    if (!result) return 0;
    name = native(path); /* missing, or on a file system without such names */
    result = name ? plain_path(name, out, size) : -1;
    free(name);
    return result;
}

int os_list(int folder, int (*each)(void *user, const char *name), void *user)
{
    assert(folder >= 0 && each);
    enum { ROOM = 65536 };
    FILE_ID_BOTH_DIR_INFO *at, *first = malloc(ROOM);
    FILE_INFO_BY_HANDLE_CLASS class = FileIdBothDirectoryRestartInfo;
    int result = 0;
    if (!first) return fail();
    while (!result && GetFileInformationByHandleEx(handle_of(folder), class, first, ROOM)) {
        class = FileIdBothDirectoryInfo;
        for (at = first; !result;
             at = (FILE_ID_BOTH_DIR_INFO *)(void *)((char *)at + at->NextEntryOffset)) {
            char *name = narrow(at->FileName, (int)(at->FileNameLength / sizeof(WCHAR)));
            if (!name) result = -1;
            else if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0) result = each(user, name);
            free(name);
            if (!at->NextEntryOffset) break;
        }
    }
    if (!result && GetLastError() != ERROR_NO_MORE_FILES) result = fail();
    int error = errno;
    free(first);
    errno = error;
    return result;
}

/* >>changing ----------------------------------------------------------- */
static int set_attributes(int file, unsigned mode)
{
    assert(file >= 0);
    FILE_BASIC_INFO info;
    if (!GetFileInformationByHandleEx(handle_of(file), FileBasicInfo, &info, sizeof info))
        return fail();
    /* on folders the attribute means something else */
    if (info.FileAttributes & FILE_ATTRIBUTE_DIRECTORY) return 0;
    DWORD wanted = mode & 0200 ? info.FileAttributes & ~(DWORD)FILE_ATTRIBUTE_READONLY
                               : info.FileAttributes | FILE_ATTRIBUTE_READONLY;
    if (wanted == info.FileAttributes) return 0;
    memset(&info, 0, sizeof info); /* keep the times */
    info.FileAttributes = wanted ? wanted : FILE_ATTRIBUTE_NORMAL;
    return SetFileInformationByHandle(handle_of(file), FileBasicInfo, &info, sizeof info) ? 0
                                                                                          : fail();
}

static int set_and_close(int file, unsigned mode)
{
    if (file < 0) return -1;
    int result = set_attributes(file, mode), error = errno;
    os_close(file);
    errno = error;
    return result;
}

int os_set_mode(const char *path, unsigned mode)
{
    return set_and_close(open_path(path, to_change), mode);
}

bool os_has_holes_in(int folder, const char *name) /* called for sparse files only */
{
    (void)folder;
    (void)name;
    return true;
}

int os_set_mode_in(int folder, const char *path, unsigned mode)
{
    return set_and_close(open_relative(folder, path, to_change), mode);
}

int os_set_open_mode(int file, unsigned mode) { return set_attributes(file, mode); }

int os_set_rights(int file, const os_info *of) { return set_attributes(file, of->mode); }

int os_empty(int file)
{
    assert(file >= 0);
    LARGE_INTEGER start = {.QuadPart = 0};
    return SetFilePointerEx(handle_of(file), start, NULL, FILE_BEGIN) &&
                   SetEndOfFile(handle_of(file))
               ? 0
               : fail();
}

int os_sync(int file) { return FlushFileBuffers(handle_of(file)) ? 0 : fail(); }

int os_sync_tree(int folder)
{
    (void)folder; /* os_close_made() has synced every file */
    return 0;
}

int os_sync_parent(const char *path)
{
    (void)path; /* a journaling file system keeps renames in order */
    return 0;
}

/* Delete a file or an empty folder that is open with DELETE. */
static int delete_open(int file)
{
    assert(file >= 0);
    IO_STATUS_BLOCK block;
    ULONG flags = DELETE_FLAGS;
    BOOLEAN yes = TRUE;
    if (NtSetInformationFile(handle_of(file), &block, &flags, sizeof flags,
                             (FILE_INFORMATION_CLASS)DELETE_POSIX) >= 0)
        return 0;
    set_attributes(file, 0600);
    NTSTATUS status = NtSetInformationFile(handle_of(file), &block, &yes, sizeof yes,
                                           (FILE_INFORMATION_CLASS)DELETE_CLASSIC);
    return status < 0 ? fail_status(status) : 0;
}

static int remove_child(void *user, const char *name);

/* Delete a folder that is open with DELETE, with its content. Depth as in os_posix.c. */
static int remove_open(int file, bool folder)
{
    assert(file >= 0);
    int result = folder ? os_list(file, remove_child, &file) : 0;
    return result ? result : delete_open(file);
}

static int remove_child(void *user, const char *name)
{
    assert(user && *name);
    int folder = *(int *)user;
    os_info info;
    if (os_stat_in(folder, name, &info) < 0) return -1;
    bool is_folder = info.kind == OS_FOLDER;
    request q = to_delete;
    if (is_folder) q.access |= FILE_LIST_DIRECTORY | FILE_TRAVERSE;
    int file = open_relative(folder, name, q);
    if (file < 0) return -1;
    int result = remove_open(file, is_folder), error = errno;
    os_close(file);
    errno = error;
    return result;
}

static int remove_empty(const char *path)
{
    int file = open_path(path, to_delete);
    if (file < 0) return -1;
    int result = delete_open(file), error = errno;
    os_close(file);
    errno = error;
    return result;
}

static int remove_path(const char *path, bool folder)
{
    request q = to_delete;
    if (folder) q.access |= FILE_LIST_DIRECTORY | FILE_TRAVERSE;
    int file = open_path(path, q);
    if (file < 0) return errno == ENOENT ? 0 : -1;
    int result = remove_open(file, folder), error = errno;
    os_close(file);
    errno = error;
    return result;
}

int os_remove(const char *path) { return remove_path(path, false); }

int os_remove_tree(const char *path)
{
    os_info info;
    if (os_stat(path, false, &info) < 0) return errno == ENOENT ? 0 : -1;
    return remove_path(path, info.kind == OS_FOLDER);
}

int os_rename_in(int folder, const char *from, const char *to)
{
    (void)folder;
    (void)from;
    (void)to;
    errno = ENOSYS;
    return -1;
}

int os_rename_over_in(int folder, const char *from, const char *to)
{
    return os_rename_in(folder, from, to);
}

int os_hold(int file)
{
    (void)file;
    return OS_UNKNOWN; /* removal fails for files that others have open */
}

int os_remove_in(int folder, const char *name, int kind)
{
    assert(folder >= 0 && *name);
    (void)kind;
    int file = open_relative(folder, name, to_delete);
    if (file < 0) return -1;
    int result = delete_open(file), error = errno;
    os_close(file);
    errno = error;
    return result;
}

int os_remove_folder(const char *path) { return remove_empty(path); }

int os_drop_staging(int file, const char *path)
{
    assert(file >= 0);
    os_info info;
    (void)path;
    int result = os_info_of(file, &info) < 0 ? -1 : remove_open(file, info.kind == OS_FOLDER),
        error = errno;
    os_close(file);
    errno = error;
    return result;
}

/* >>replacing ---------------------------------------------------------- */
static int rename_open(int file, const char *to, bool replace)
{
    assert(file >= 0 && to);
    typedef struct rename { /* FILE_RENAME_INFORMATION */
        ULONG  flags;
        HANDLE folder;
        ULONG  size;
        WCHAR  name[1];
    } rename;
    IO_STATUS_BLOCK block;
    WCHAR *name = native(to);
    size_t size = name ? wcslen(name) * sizeof *name : 0;
    rename *r = name ? calloc(1, sizeof *r + size) : NULL;
    NTSTATUS status = -1;
    if (r) {
        r->size = (ULONG)size;
        memcpy(r->name, name, size);
        for (int tries = 0; tries < TRIES; tries++) {
            r->flags = replace ? RENAME_FLAGS : 0;
            status = NtSetInformationFile(handle_of(file), &block, r, (ULONG)(sizeof *r + size),
                                          (FILE_INFORMATION_CLASS)(replace ? RENAME_POSIX
                                                                           : RENAME_CLASSIC));
            if (status < 0 && replace) { /* before Windows 10, or not NTFS */
                r->flags = 1;
                status = NtSetInformationFile(handle_of(file), &block, r, (ULONG)(sizeof *r + size),
                                              (FILE_INFORMATION_CLASS)RENAME_CLASSIC);
            }
            if (status >= 0 || RtlNtStatusToDosError(status) != ERROR_SHARING_VIOLATION) break;
            Sleep(TRY_MS);
        }
    }
    free(r);
    free(name);
    if (status >= 0) return 0;
    return r ? fail_status(status) : -1;
}

/* Rename by path. The file may be open elsewhere with FILE_SHARE_DELETE. */
static int rename_path(const char *from, const char *to)
{
    assert(strcmp(from, to) != 0);
    int file = open_path(from, to_delete);
    if (file < 0) return -1;
    int result = rename_open(file, to, false), error = errno;
    os_close(file);
    errno = error;
    return result;
}

enum { ASIDES = 10 };

/* DIR/.NAME.dxup-old, then -old1 to -old9. A file that is still open, such as a running program,
   keeps one of these names until it is closed. */
static char *aside_path(const char *path, int n)
{
    assert(n >= 0 && n < ASIDES);
    char *out = malloc(strlen(path) + 16);
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    if (out) sprintf(out, "%.*s.%s.dxup-old%.0d", (int)(name - path), path, name, n);
    return out;
}

static char *free_aside(const char *path)
{
    os_info info;
    for (int n = 0; n < ASIDES; n++) {
        char *aside = aside_path(path, n);
        if (aside && os_remove_tree(aside) == 0 && os_stat(aside, false, &info) < 0 &&
            errno == ENOENT)
            return aside;
        free(aside);
    }
    errno = EBUSY;
    return NULL;
}

/* Two steps: rename `to` to an old name, where processes that have it open keep it, then rename `from`
   to `to`. After a crash in between, os_replace_recover() renames the old file back. */
static int replace_in_two_steps(int file, const char *to, const char *aside)
{
    assert(file >= 0 && strcmp(to, aside) != 0);
    if (rename_path(to, aside) < 0) return -1;
    if (rename_open(file, to, false) == 0) return 0;
    int error = errno;
    rename_path(aside, to);
    errno = error;
    return -1;
}

int os_replace(int file, const char *from, const char *to, bool folder)
{
    assert(strcmp(from, to) != 0);
    os_info info;
    bool there = os_stat(to, false, &info) == 0;
    int mine = file >= 0 ? file : open_path(from, to_delete), result = -1, error;
    char *aside = NULL;
    if (mine >= 0 && (!there || !folder)) result = rename_open(mine, to, !folder);
    if (mine >= 0 && result < 0 && there && (aside = free_aside(to)) != NULL) {
        result = replace_in_two_steps(mine, to, aside);
        if (!result && folder) result = rename_path(aside, from);
        /* open elsewhere: it disappears with the last handle */
        else if (!result) os_remove(aside);
    }
    error = errno;
    if (mine >= 0 && file < 0) os_close(mine);
    free(aside);
    errno = error;
    return result;
}

int os_exchange(const char *a, const char *b)
{
    (void)a;
    (void)b;
    errno = ENOSYS;
    return -1;
}

int os_place(int file, const char *from, const char *to)
{
    int mine = file >= 0 ? file : open_path(from, to_delete);
    if (mine < 0) return -1;
    int result = rename_open(mine, to, false), error = errno;
    if (file < 0) os_close(mine);
    errno = error;
    return result;
}

int64_t os_file_time_ns(const char *path)
{
    (void)path;
    return 0;
}

bool os_maps_update_times(const char *path)
{
    (void)path;
    return false; /* only after the mapping is closed */
}

/* The time of the last change or rename of path; 0: it does not exist. */
static int64_t change_time(const char *path)
{
    FILE_BASIC_INFO info;
    int file = open_path(path, to_stat_link);
    if (file < 0) return 0;
    BOOL good = GetFileInformationByHandleEx(handle_of(file), FileBasicInfo, &info, sizeof info);
    os_close(file);
    return good ? info.ChangeTime.QuadPart : 0;
}

void os_replace_recover(const char *path)
{
    os_info info;
    char *newest = NULL;
    int64_t newest_time = 0;
    if (os_stat(path, false, &info) == 0 || errno != ENOENT) return;
    for (int n = 0; n < ASIDES; n++) {
        char *aside = aside_path(path, n);
        int64_t changed = aside ? change_time(aside) : 0;
        if (changed > newest_time) {
            free(newest);
            newest = aside;
            newest_time = changed;
        } else {
            free(aside);
        }
    }
    if (newest) rename_path(newest, path);
    free(newest);
}

/* >>moving bytes ------------------------------------------------------- */
static int64_t read_with(int file, void *out, size_t size, OVERLAPPED *at)
{
    assert(file >= 0 && (out || !size));
    DWORD n = 0;
    if (size > 1 << 30) size = 1 << 30;
    if (ReadFile(handle_of(file), out, (DWORD)size, &n, at) || GetLastError() == ERROR_HANDLE_EOF)
        return n;
    return fail();
}

int64_t os_read(int file, void *out, size_t size) { return read_with(file, out, size, NULL); }

int64_t os_read_at(int file, uint64_t offset, void *out, size_t size)
{
    OVERLAPPED at;
    memset(&at, 0, sizeof at);
    at.Offset = (DWORD)(offset & 0xffffffffu);
    at.OffsetHigh = (DWORD)(offset >> 32);
    return read_with(file, out, size, &at);
}

const void *os_map(int file, size_t size)
{
    HANDLE map = CreateFileMappingW(handle_of(file), NULL, PAGE_READONLY, 0, 0, NULL);
    const void *p = map ? MapViewOfFile(map, FILE_MAP_READ, 0, 0, size) : NULL;
    if (map) CloseHandle(map);
    return p;
}

void os_unmap(const void *bytes, size_t size)
{
    (void)size;
    UnmapViewOfFile(bytes);
}

uint8_t *os_scratch_resize(uint8_t *old, size_t size)
{
    (void)old;
    (void)size;
    return NULL; /* allocated memory is in the page file anyway */
}

void os_scratch_free(uint8_t *bytes) { (void)bytes; }

void os_release(const void *bytes, size_t size) { (void)VirtualUnlock((void *)(uintptr_t)bytes, size); }

int os_write_at(int file, uint64_t offset, const void *bytes, size_t size)
{
    assert(file >= 0 && (int64_t)(offset + size) >= 0);
    const char *p = bytes;
    while (size) {
        DWORD n = 0, part = size > 1 << 30 ? 1 << 30 : (DWORD)size;
        OVERLAPPED at;
        memset(&at, 0, sizeof at);
        at.Offset = (DWORD)(offset & 0xffffffffu);
        at.OffsetHigh = (DWORD)(offset >> 32);
        if (!WriteFile(handle_of(file), p, part, &n, &at)) return fail();
        p += n;
        size -= n;
        offset += n;
    }
    return 0;
}

int os_write(int file, const void *bytes, size_t size)
{
    assert(file >= 0 && (bytes || !size));
    const char *p = bytes;
    while (size) {
        DWORD n = 0, part = size > 1 << 30 ? 1 << 30 : (DWORD)size;
        if (!WriteFile(handle_of(file), p, part, &n, NULL)) return fail();
        p += n;
        size -= n;
    }
    return 0;
}

/* >>program ------------------------------------------------------------ */
static void convert_arguments(int *argc, char ***argv)
{
    WCHAR **wide = CommandLineToArgvW(GetCommandLineW(), argc);
    *argv = wide ? calloc((size_t)*argc + 1, sizeof **argv) : NULL;
    for (int i = 0; *argv && i < *argc; i++)
        if (((*argv)[i] = narrow(wide[i], -1)) == NULL) *argv = NULL;
    if (*argv) return; /* they stay until the end */
    fputs("the arguments cannot be read as Unicode\n", stderr);
    exit(1);
}

void os_begin(int *argc, char ***argv)
{
    convert_arguments(argc, argv);
    _setmode(_fileno(stdout), _O_BINARY);
    _setmode(_fileno(stderr), _O_BINARY);
    SetConsoleOutputCP(CP_UTF8);
    SetErrorMode(SEM_FAILCRITICALERRORS); /* no dialog for a drive without a disk */
}

int64_t os_now_ns(void)
{
    LARGE_INTEGER count, second;
    QueryPerformanceCounter(&count);
    QueryPerformanceFrequency(&second);
    assert(second.QuadPart > 0);
    return count.QuadPart / second.QuadPart * 1000000000 +
           count.QuadPart % second.QuadPart * 1000000000 / second.QuadPart;
}

/* The times are counts of 100 ns. */
int64_t os_used_ns(void)
{
    FILETIME begun, ended, kernel, user;
    if (!GetProcessTimes(GetCurrentProcess(), &begun, &ended, &kernel, &user)) return 0;
    const uint64_t high = (uint64_t)kernel.dwHighDateTime + user.dwHighDateTime;
    const uint64_t low = (uint64_t)kernel.dwLowDateTime + user.dwLowDateTime;
    return (int64_t)(((high << 32) + low) * 100);
}

int64_t os_time_ns(void)
{
    FILETIME t;
    GetSystemTimeAsFileTime(&t); /* 100 ns since 1601 */
    return ((int64_t)((uint64_t)t.dwHighDateTime << 32 | t.dwLowDateTime) - 116444736000000000) *
           100;
}

void os_time_text(int64_t time_ns, char out[32])
{
    time_t seconds = (time_t)(time_ns / 1000000000);
    struct tm tm;
    memset(&tm, 0, sizeof tm);
    gmtime_s(&tm, &seconds);
    strftime(out, 32, "%Y-%m-%d %H:%M:%S", &tm);
}

void os_write_error(const void *bytes, size_t size) { fwrite(bytes, 1, size, stderr); }

static bool is_terminal(DWORD which)
{
    HANDLE console = GetStdHandle(which);
    DWORD mode;
    return GetConsoleMode(console, &mode) &&
           (mode & ENABLE_VIRTUAL_TERMINAL_PROCESSING ||
            SetConsoleMode(console,
                           mode | ENABLE_VIRTUAL_TERMINAL_PROCESSING | ENABLE_PROCESSED_OUTPUT));
}

bool os_is_terminal(void) { return is_terminal(STD_ERROR_HANDLE); }

bool os_output_is_terminal(void) { return is_terminal(STD_OUTPUT_HANDLE); }

uint64_t os_memory_peak(void)
{
    PROCESS_MEMORY_COUNTERS counters;
    memset(&counters, 0, sizeof counters);
    return GetProcessMemoryInfo(GetCurrentProcess(), &counters, sizeof counters)
               ? counters.PeakWorkingSetSize
               : 0;
}

unsigned os_cpu_count(void) { return OS_WORKERS_MAX; }

void os_sleep_ns(int64_t ns) { Sleep((DWORD)(ns / 1000000 + 1)); }

int os_make_temporary_folder(char *path, size_t size)
{
    (void)path; /* used for snapshots only, which Windows does not make */
    (void)size;
    errno = ENOSYS;
    return -1;
}

void os_limit_receive(int socket, int size)
{
    (void)setsockopt((SOCKET)socket, SOL_SOCKET, SO_RCVBUF, (const char *)&size, sizeof size);
}

int os_set_variable(const char *name, const char *value)
{
    WCHAR *wide_name = widen(name, 0), *wide_value = widen(value, 0);
    const bool good =
        wide_name && wide_value && SetEnvironmentVariableW(wide_name, wide_value);
    free(wide_name);
    free(wide_value);
    if (good) return 0;
    errno = EINVAL;
    return -1;
}

int os_run(const char *command)
{
    STARTUPINFOW start = {.cb = sizeof start};
    PROCESS_INFORMATION process;
    DWORD status = 0;
    char *line = malloc(strlen(command) + 16);
    if (!line) return -1;
    sprintf(line, "cmd.exe /s /c \"%s\"", command);
    WCHAR *wide = widen(line, 0);
    free(line);
    const bool runs = wide && CreateProcessW(NULL, wide, NULL, NULL, TRUE, 0, NULL, NULL, &start,
                                             &process);
    free(wide);
    if (!runs) {
        errno = ENOENT;
        return -1;
    }
    WaitForSingleObject(process.hProcess, INFINITE);
    GetExitCodeProcess(process.hProcess, &status);
    CloseHandle(process.hThread);
    CloseHandle(process.hProcess);
    return status > 255 ? 256 : (int)status;
}

bool os_random(void *out, size_t size) { return RtlGenRandom(out, (ULONG)size); }

unsigned os_new_mode(void) { return 0644; }

static HANDLE end_event;

static BOOL WINAPI on_console(DWORD event)
{
    assert(end_event);
    SetEvent(end_event);
    /* the console window closes */
    if (event != CTRL_C_EVENT && event != CTRL_BREAK_EVENT) Sleep(5000);
    return TRUE;
}

void os_end_prepare(void)
{
    end_event = CreateEventW(NULL, TRUE, FALSE, NULL);
    SetConsoleCtrlHandler(on_console, TRUE);
}

int os_end_wait(void)
{
    WaitForSingleObject(end_event, INFINITE);
    return OS_END;
}
#endif
