/* dxpatch info: prints the header of a patch as key=value, one field per line, for scripts. Checks
   only the header and the size of the file. */
#include "dxpatch.h"

#include "../containers/container.h"
#include "vcdiff.h"

#include <stdlib.h>

static const char *kind_text(int kind)
{
    if (kind == DX_PATCH_KIND_BLOCKS) return "blocks";
    return kind == DX_PATCH_KIND_FLASH ? "flash" : "delta";
}

static const char *coding_text(int coding)
{
    switch (coding) {
    case DX_PATCH_CODING_PLAIN: return "plain";
    case DX_PATCH_CODING_RANGE: return "range";
    case DX_PATCH_CODING_BITS: return "bits";
    case DX_PATCH_CODING_BRIEF: return "brief";
    default: return "streams"; /* dx_patch_info() refuses unknown codings */
    }
}

static void print_count(const char *name, uint64_t count)
{
    prog_say("%s=%llu\n", name, (unsigned long long)count);
}

/* VCDIFF has almost no header: the sizes come from all its windows. */
static int info_vcdiff(const dxpatch_options *o)
{
    dxpatch_content patch = {0};
    vcdiff_info info;
    int status = dxpatch_load(&patch, o->patch_path);
    if (!status) {
        int error = vcdiff_peek(patch.bytes, patch.size, &info);
        if (error) status = dxpatch_fail_vcdiff(error, o->patch_path);
    }
    prog_progress(NULL, 0, 0, true);
    if (!status) {
        prog_say("kind=vcdiff\n");
        print_count("windows", info.windows);
        print_count("target_size", info.target_size);
        prog_say("checksums=%s\n", info.checked ? "adler32" : "none");
    }
    dxpatch_drop(&patch);
    return status;
}

static int info_container(const dxpatch_options *o)
{
    dxpatch_content patch = {0};
    container_patch p;
    char text[65];
    int status = dxpatch_load(&patch, o->patch_path);
    if (!status) {
        int error = container_open(patch.bytes, patch.size, &p);
        if (error) status = dxpatch_fail(error, o->patch_path);
    }
    prog_progress(NULL, 0, 0, true);
    if (!status) {
        prog_say("kind=container\n");
        prog_say("hash=blake3-256\n");
        prog_say("libraries=%s\n", p.libraries);
        print_count("layers", p.layers);
        print_count("base_size", p.base_size);
        print_count("target_size", p.target_size);
        print_count("form_max", p.form_max);
        print_count("lists_size", p.lists_size);
        print_count("inner_size", p.inner_size);
        prog_say("base_hash=%s\n", prog_hash_text(p.base_hash, text));
        prog_say("target_hash=%s\n", prog_hash_text(p.target_hash, text));
    }
    dxpatch_drop(&patch);
    return status;
}

int dxpatch_info(const dxpatch_options *o)
{
    if (dxpatch_is_vcdiff(o->patch_path)) return info_vcdiff(o);
    if (dxpatch_is_record_file(o->patch_path)) return dxpatch_info_record(o);
    if (dxpatch_is_container(o->patch_path)) return info_container(o);
    dx_patch_header h;
    os_info st;
    char text[65];
    int fd, status = dxpatch_open_patch(o->patch_path, &fd, &st, &h);
    if (status) return status;
    os_close(fd);
    print_count("version", h.version);
    prog_say("kind=%s\n", kind_text(h.kind));
    prog_say("hash=blake3-256\n"); /* the only one in version 1 */
    prog_say("coding=%s\n", coding_text(h.coding));
    prog_say("reversible=%s\n", h.reversible ? "yes" : "no");
    print_count("block_size", h.block_size);
    print_count("base_size", h.base_size);
    print_count("target_size", h.target_size);
    print_count("body_size", h.body_size);
    print_count("trailer_size", h.trailer_size);
    print_count("memory_size", h.memory_size);
    prog_say("body_crc=%08x\n", (unsigned)h.body_crc);
    prog_say("base_hash=%s\n", prog_hash_text(h.base_hash, text));
    prog_say("target_hash=%s\n", prog_hash_text(h.target_hash, text));
    return PROG_OK;
}
