/* cc -O2 -o hello_cas examples/hello/hello_cas.c

   Two versions of a text go into a store in a file; what they share is stored once. The store is opened
   again, as after a crash, and both versions are read back. Then one byte of the file is damaged. */
#define DX_CAS_IMPLEMENTATION
#include "../../dx_cas.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(const char *what, int error)
{
    if (error == DX_CAS_OK) return;
    printf("%s: %s\n", what, dx_cas_error_name(error));
    exit(1);
}

/* Put a version of `text` under its name. */
static void publish(dx_cas_store *store, const char *text, size_t size)
{
    dx_cas_writer_desc desc;
    dx_cas_writer writer;
    dx_cas_content content;
    dx_cas_ref ref;
    dx_cas_stats before, after;
    uint64_t version = 0;
    memset(&desc, 0, sizeof desc);
    memset(&ref, 0, sizeof ref);
    desc.store = store;
    desc.chunker.size_avg = 1024; /* small chunks for a small text */
    desc.memory_size = dx_cas_writer_memory_size(&desc);
    desc.memory = malloc(desc.memory_size);
    dx_cas_get_stats(store, &before);
    check("begin", dx_cas_writer_begin(&writer, &desc));
    check("write", dx_cas_writer_write(&writer, text, size, NULL));
    check("finish", dx_cas_writer_finish(&writer, &content));
    strcpy(ref.name, "text");
    ref.root = content.root;
    ref.content = content.content;
    ref.size = content.size;
    check("name", dx_cas_ref_set(store, &ref, DX_CAS_ANY_VERSION, &version));
    check("commit", dx_cas_commit(store)); /* from here on it survives a power cut */
    dx_cas_get_stats(store, &after);
    printf("version %d: %5d bytes, %5d of them new\n", (int)version, (int)size,
           (int)(after.logical_bytes - before.logical_bytes));
    free(desc.memory);
}

static void read_back(dx_cas_store *store, uint64_t version, const char *text, size_t size)
{
    static char back[32768];
    size_t memory_size = dx_cas_reader_memory_size(0), got = 0;
    void *memory = malloc(memory_size);
    dx_cas_ref ref;
    dx_cas_reader reader;
    char hex[65];
    check("find", dx_cas_ref_get(store, "text", version, &ref));
    check("open", dx_cas_reader_open(&reader, store, &ref.root, memory, memory_size));
    check("read", dx_cas_reader_read(&reader, 0, back, sizeof back, &got));
    dx_cas_id_to_hex(&ref.content, hex);
    if (got != size || memcmp(back, text, size) != 0) check("compare", DX_CAS_ECORRUPT);
    printf("version %d: same bytes, %.16s...\n", (int)version, hex);
    free(memory);
}

int main(void)
{
    static char one[20000], two[20001];
    static uint64_t memory[1 << 15];
    const char *path = "hello_cas.store";
    dx_cas_file file;
    dx_cas_desc desc;
    dx_cas_store store;
    size_t i, n = 0;
    int error;
    memset(&desc, 0, sizeof desc);
    for (i = 0; n + 20 < sizeof one; i++) n += (size_t)sprintf(one + n, "line %d of a text\n", (int)i);
    memcpy(two, one, 5000);
    two[5000] = '!'; /* one byte more, somewhere */
    memcpy(two + 5001, one + 5000, n - 5000);

    remove(path);
    check("file", dx_cas_file_open(&file, path, DX_CAS_WRITE | DX_CAS_CREATE));
    desc.device = dx_cas_file_device(&file);
    desc.mode = DX_CAS_WRITE | DX_CAS_CREATE;
    desc.memory = memory;
    desc.memory_size = sizeof memory;
    check("open", dx_cas_open(&store, &desc));
    publish(&store, one, n);
    publish(&store, two, n + 1);
    dx_cas_close(&store);

    check("open again", dx_cas_open(&store, &desc));
    read_back(&store, 1, one, n);
    read_back(&store, 2, two, n + 1);
    printf("verify: %s\n", dx_cas_error_name(dx_cas_verify(&store, NULL, NULL, NULL)));

    check("damage", desc.device.write(desc.device.user, 200, "x", 1));
    error = dx_cas_verify(&store, NULL, NULL, NULL);
    printf("verify after one byte was damaged: %s at %d\n", dx_cas_error_name(error),
           (int)dx_cas_damage_offset(&store));
    dx_cas_close(&store);
    dx_cas_file_close(&file);
    return remove(path) == 0 && error == DX_CAS_ECORRUPT ? 0 : 1;
}
