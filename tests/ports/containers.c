/* Rebuilds real files: each path from standard input is unpacked as far as possible, reassembled and compared.
   Prints per kind of file the number of files, and how many of their members were repacked by parameters alone, how
   many with a correction, and how many stay packed; and per gzip file the size of its correction, in thousandths.
   Built by tests/ports/containers.sh. */
#define DX_PATCH_IMPLEMENTATION
#define DX_CAS_IMPLEMENTATION
#include "../../programs/containers/ways.c"
#include "../../programs/containers/find.c"
#include "../../programs/containers/tokens.c"
#include "../../programs/containers/container.c"

#include <stdio.h>

enum { KINDS_MAX = 16, PATH_SIZE = 4096 };
#define FORM_MAX   ((size_t)256 << 20)
#define MEMORY_MAX ((uint64_t)256 << 20)

typedef struct counts {
    char     kind[8]; /* the file name suffix */
    unsigned files;
    unsigned unpacked; /* at least one member is */
    unsigned exact;    /* members */
    unsigned corrected;
    unsigned packed;
    unsigned wrong;    /* files that differ */
} counts;

static uint8_t *load(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    fseek(f, 0, SEEK_END);
    *size = (size_t)ftell(f);
    rewind(f);
    uint8_t *bytes = malloc(*size + 1);
    if (bytes && fread(bytes, 1, *size, f) != *size) *size = 0;
    fclose(f);
    return bytes;
}

/* Count the members of a recipe, and the bytes that correct them. */
static unsigned read_recipe(const uint8_t *form, size_t size, counts *c, size_t *fixes)
{
    reader r = {form, size, DX_PATCH_OK}, recipe = read_part(&r);
    container_way way = {0};
    unsigned members = 0;
    for (; recipe.left && !recipe.error; members++) {
        correction fix;
        read_number(&recipe);
        read_number(&recipe);
        read_way(&recipe, &way, &fix);
        if (fix.cut || fix.size) c->corrected++;
        else c->exact++;
        *fixes += fix.size;
    }
    return members;
}

static void work(const uint8_t *bytes, size_t size, counts *c, size_t *fixes)
{
    static const uint8_t nothing[1];
    container_members found = {0};
    container_forms forms = {.form_max = FORM_MAX};
    container_patch p = {.form_max = FORM_MAX, .target_size = size};
    container_bytes out = {0};
    c->files++;
    int error = container_find(bytes, size, FORM_MAX, MEMORY_MAX, NULL, &found);
    if (!error) error = container_make(nothing, 0, bytes, size, MEMORY_MAX, &forms);
    if (!error) {
        p.layers = forms.layers;
        p.kinds = forms.kinds;
        dx_patch_hash(bytes, size, p.target_hash);
        error = container_rebuild(&p, forms.to.bytes, forms.to.size, MEMORY_MAX, &out);
        if (error || out.size != size || memcmp(out.bytes, bytes, size) != 0) c->wrong++;
        else c->unpacked++;
        /* the members of the last layer; of nested archives, those of the inner one */
        unsigned members = read_recipe(forms.to.bytes, forms.to.size, c, fixes);
        if (forms.layers == 1) c->packed += (unsigned)found.count - members;
    } else {
        c->packed += (unsigned)found.count;
    }
    container_drop(&out);
    container_drop_forms(&forms);
    free(found.items);
}

int main(void)
{
    static counts all[KINDS_MAX];
    char path[PATH_SIZE];
    unsigned kinds = 0, wrong = 0;
    while (fgets(path, sizeof path, stdin)) {
        path[strcspn(path, "\n")] = 0;
        const char *end = strrchr(path, '.');
        size_t size, k = 0;
        uint8_t *bytes = load(path, &size);
        if (!bytes || !end || strlen(end) > sizeof all[0].kind) {
            free(bytes);
            continue;
        }
        while (k < kinds && strcmp(all[k].kind, end + 1) != 0) k++;
        if (k == KINDS_MAX) continue;
        if (k == kinds) strcpy(all[kinds++].kind, end + 1);
        unsigned before = all[k].wrong, packed = all[k].packed;
        size_t fixes = 0;
        work(bytes, size, &all[k], &fixes);
        if (all[k].wrong > before) printf("FAIL %s\n", path);
        if (!strcmp(end, ".gz") && all[k].packed == packed) printf("correction %s %.3f\n", path, 1000.0 * (double)fixes / (double)size);
        free(bytes);
    }
    for (size_t k = 0; k < kinds; k++) {
        printf("%-4s %5u files, %5u unpacked; members: %6u exact, %4u corrected, %5u stay packed\n", all[k].kind, all[k].files,
               all[k].unpacked, all[k].exact, all[k].corrected, all[k].packed);
        wrong += all[k].wrong;
    }
    return wrong != 0;
}
