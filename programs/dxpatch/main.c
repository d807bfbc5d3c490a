/* dxpatch: the command line. */
#include "dxpatch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "dxpatch makes and applies patches between two versions of a file. The result of applying is the\n"
    "new version, checked by hash, or an error and nothing changed.\n"
    "\n"
    "  dxpatch diff OLD NEW PATCH        make the patch that turns OLD into NEW\n"
    "  dxpatch apply OLD PATCH NEW       write NEW\n"
    "  dxpatch apply-in-place FILE PATCH turn FILE into the new version\n"
    "  dxpatch undo FILE PATCH           turn it back (patches of blocks)\n"
    "  dxpatch info PATCH                what the header says, one field a line\n"
    "  dxpatch compose OLD P1 P2 PATCH   make the patch that does what P1 and then P2 do to OLD\n"
    "\n"
    "  --kind delta|blocks|flash|hde|vcdiff   diff, compose: delta (the default) for programs, libraries,\n"
    "                        archives, whatever moves; blocks for images of the same layout; flash for devices\n"
    "                        that update one slot in place; hde for images of memory and states,\n"
    "                        whose bytes mostly stay where they are; vcdiff (RFC 3284) for other programs.\n"
    "                        VCDIFF patches, as of xdelta3 -S none, are applied too.\n"
    "  --block-size N        blocks: bytes, a power of two, 64..65536 (default 4096); flash: of a page,\n"
    "                        256..1048576\n"
    "  --slot-size N         flash: bytes, at least a page more than both files take (default two more)\n"
    "  --one-way             blocks: drop what a shrinking file cuts off; no undo then\n"
    "  -1 .. -9              delta, hde: the fastest .. the smallest (default -6, hde -3)\n"
    "  --memory MIB          delta: memory to make it with, besides both files (default 2048); what is made with\n"
    "                        less than five times OLD is larger\n"
    "  --target-max MIB      apply, undo, compose: refuse a patch that makes more (default 256, or four times\n"
    "                        what OLD and PATCH have together, if that is more)\n"
    "  --memory-max MIB      refuse one that asks for more working memory (default 256)\n"
    "  --no-zstd             hde: its own coding only, for readers without zstd (the other kinds use none)\n"
    "  --quiet               no summary\n"
    "\n"
    "A file is replaced in one step by a copy made beside it: there is room for both or an error, and\n"
    "after a power cut it is the old one or the new one. It keeps its permission bits; not its owner,\n"
    "times and other hard links.\n"
    "\n"
    "Exit status: 0 done, 1 usage, 2 no such file, 4 damaged bytes, 5 the local system refused (disk full,\n"
    "permission, memory, a format this build does not know), 6 refused: another base, applied already,\n"
    "not to be taken back, or a file would be lost.\n";

static int apply_in_place(const dxpatch_options *o)
{
    dxpatch_options same = *o;
    same.new_path = o->old_path;
    return dxpatch_apply(&same);
}

typedef struct command {
    const char *name, *places; /* what its arguments are: Old, New, Patch, Second patch */
    int       (*run)(const dxpatch_options *o);
} command;

static const command commands[] = {
    {"diff", "onp", dxpatch_diff}, {"apply", "opn", dxpatch_apply},
    {"apply-in-place", "op", apply_in_place}, {"undo", "op", dxpatch_undo},
    {"info", "p", dxpatch_info}, {"compose", "opsn", dxpatch_compose},
};

static int parse_kind(dxpatch_options *o, const char *value)
{
    if (!strcmp(value, "delta")) o->kind = DX_PATCH_KIND_DELTA;
    else if (!strcmp(value, "blocks")) o->kind = DX_PATCH_KIND_BLOCKS;
    else if (!strcmp(value, "flash")) o->kind = DX_PATCH_KIND_FLASH;
    else if (!strcmp(value, "hde")) o->kind = DXPATCH_KIND_HDE;
    else if (!strcmp(value, "vcdiff")) o->kind = DXPATCH_KIND_VCDIFF;
    else return dxup_fail(DXUP_USAGE, "unknown kind: %s", value);
    return DXUP_OK;
}

/* A decimal number and nothing else. */
static bool parse_number(const char *value, unsigned long long *n)
{
    char *end;
    errno = 0;
    *n = strtoull(value, &end, 10);
    return !errno && !*end && end != value && *value != '-';
}

static int parse_block_size(dxpatch_options *o, const char *value)
{
    unsigned long long n;
    if (!parse_number(value, &n) || n < 64 || n > 1048576 || (n & (n - 1)))
        return dxup_fail(DXUP_USAGE, "'%s' is not a power of two from 64 to 1048576", value);
    o->block_size = (uint32_t)n;
    return DXUP_OK;
}

static int parse_slot_size(dxpatch_options *o, const char *value)
{
    unsigned long long n;
    if (!parse_number(value, &n) || n == 0)
        return dxup_fail(DXUP_USAGE, "'%s' is not a number of bytes", value);
    o->slot_size = n;
    return DXUP_OK;
}

static int parse_mib(uint64_t *bytes, const char *value)
{
    unsigned long long n;
    if (!parse_number(value, &n) || n == 0 || n > SIZE_MAX >> 20)
        return dxup_fail(DXUP_USAGE, "'%s' is not a number of MiB", value);
    *bytes = (uint64_t)n << 20;
    return DXUP_OK;
}

/* An option and its value; *used becomes how many arguments it took. */
static int parse_option(dxpatch_options *o, const command *c, const char *option, const char *value, int *used)
{
    bool makes = c->run == dxpatch_diff || c->run == dxpatch_compose;
    bool applies = c->run != dxpatch_diff && c->run != dxpatch_info;
    *used = 1;
    if (!strcmp(option, "--quiet")) return o->quiet = true, DXUP_OK;
    if (makes && option[1] >= '1' && option[1] <= '9' && !option[2])
        return o->level = (uint32_t)(option[1] - '0'), DXUP_OK;
    if (makes && !strcmp(option, "--no-zstd")) return o->no_zstd = true, DXUP_OK;
    if (makes && !strcmp(option, "--one-way")) return o->one_way = true, DXUP_OK;
    *used = 2;
    if (makes && value && !strcmp(option, "--kind")) return parse_kind(o, value);
    if (makes && value && !strcmp(option, "--block-size")) return parse_block_size(o, value);
    if (makes && value && !strcmp(option, "--slot-size")) return parse_slot_size(o, value);
    if (makes && value && !strcmp(option, "--memory")) return parse_mib(&o->memory_size, value);
    if (applies && value && !strcmp(option, "--target-max")) return parse_mib(&o->target_max, value);
    if (applies && value && !strcmp(option, "--memory-max")) return parse_mib(&o->memory_max, value);
    return dxup_fail(DXUP_USAGE, "unknown option or missing value: %s", option);
}

static int parse(dxpatch_options *o, const command *c, int argc, char **argv)
{
    bool options = true;
    size_t count = 0;
    for (int i = 2, used; i < argc; i += used) {
        used = 1;
        if (options && !strcmp(argv[i], "--")) {
            options = false;
        } else if (options && argv[i][0] == '-' && argv[i][1]) {
            const char *value = i + 1 < argc ? argv[i + 1] : NULL;
            int status = parse_option(o, c, argv[i], value, &used);
            if (status) return status;
        } else {
            char place = c->places[count];
            if (!place) return dxup_fail(DXUP_USAGE, "one argument too many: %s", argv[i]);
            *(place == 'o'   ? &o->old_path
              : place == 'n' ? &o->new_path
              : place == 's' ? &o->second_path
                             : &o->patch_path) = os_path(argv[i]);
            count++;
        }
    }
    if (c->places[count])
        return dxup_fail(DXUP_USAGE, "%s needs more arguments; see dxpatch help", c->name);
    bool blocks = o->kind == DX_PATCH_KIND_BLOCKS, flash = o->kind == DX_PATCH_KIND_FLASH;
    if ((o->one_way && !blocks) || (o->block_size && !blocks && !flash) || (o->slot_size && !flash))
        return dxup_fail(DXUP_USAGE, "--block-size and --one-way go with --kind blocks, --block-size and --slot-size "
                                     "with --kind flash");
    if (o->block_size && (blocks ? o->block_size > 65536 : o->block_size < 256))
        return dxup_fail(DXUP_USAGE, "blocks are 64 to 65536 bytes, pages of flash 256 to 1048576");
    return DXUP_OK;
}

int main(int argc, char **argv)
{
    dxpatch_options o = {0};
    const command *chosen = NULL;
    dxup_begin("dxpatch", &argc, &argv);
    if (argc >= 2 && (!strcmp(argv[1], "help") || !strcmp(argv[1], "--help"))) {
        fputs(usage, stdout);
        return DXUP_OK;
    }
    for (size_t i = 0; argc >= 2 && i < sizeof commands / sizeof *commands; i++)
        if (!strcmp(argv[1], commands[i].name)) chosen = &commands[i];
    if (!chosen) {
        fputs(usage, stderr);
        return DXUP_USAGE;
    }
    int status = parse(&o, chosen, argc, argv);
    if (!status) status = chosen->run(&o);
    if (!status && (fflush(stdout) != 0 || ferror(stdout)))
        status = dxup_fail_errno("standard output");
    return status;
}
