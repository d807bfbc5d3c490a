/* dxpatch: the command line. */
#include "dxpatch.h"

#include "../common/options.h"

#include <assert.h>
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

/* Bits of commands, for the options that not all of them know. */
enum { MAKES = 1, APPLIES = 2, INFORMS = 4 };

typedef struct command {
    const char *name;
    const char *places; /* what its arguments are: Old, New, Patch, Second patch */
    int       (*run)(const dxpatch_options *o);
    unsigned    does;
} command;

static const command commands[] = {
    {"diff", "onp", dxpatch_diff, MAKES},
    {"apply", "opn", dxpatch_apply, APPLIES},
    {"apply-in-place", "op", apply_in_place, APPLIES},
    {"undo", "op", dxpatch_undo, APPLIES},
    {"info", "p", dxpatch_info, INFORMS},
    {"compose", "opsn", dxpatch_compose, MAKES | APPLIES},
};

enum { PLACES_MAX = 4 };

static const command *find_command(const char *name)
{
    for (size_t i = 0; name && i < sizeof commands / sizeof *commands; i++)
        if (!strcmp(name, commands[i].name)) return &commands[i];
    return NULL;
}

static int parse_kind(dxpatch_options *o, const char *value)
{
    static const struct {
        const char *name;
        uint32_t    kind;
    } kinds[] = {
        {"delta", DX_PATCH_KIND_DELTA},  {"blocks", DX_PATCH_KIND_BLOCKS},
        {"flash", DX_PATCH_KIND_FLASH},  {"hde", DXPATCH_KIND_HDE},
        {"vcdiff", DXPATCH_KIND_VCDIFF},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(value, kinds[i].name)) o->kind = kinds[i].kind;
    return o->kind ? DXUP_OK : dxup_fail(DXUP_USAGE, "unknown kind: %s", value);
}

/* What the options say together. */
static int check(const dxpatch_options *o)
{
    bool blocks = o->kind == DX_PATCH_KIND_BLOCKS;
    bool flash = o->kind == DX_PATCH_KIND_FLASH;
    if ((o->one_way && !blocks) || (o->block_size && !blocks && !flash) || (o->slot_size && !flash))
        return dxup_fail(
            DXUP_USAGE,
            "--block-size and --one-way go with --kind blocks, --block-size and --slot-size "
            "with --kind flash");
    if (o->block_size & (o->block_size - 1))
        return dxup_fail(DXUP_USAGE, "--block-size: %u is not a power of two",
                         (unsigned)o->block_size);
    if (o->block_size && (blocks ? o->block_size > 65536 : o->block_size < 256))
        return dxup_fail(DXUP_USAGE, "blocks are 64 to 65536 bytes, pages of flash 256 to 1048576");
    return DXUP_OK;
}

/* Paths to where the command wants them. */
static void place(dxpatch_options *o, const command *c, char **plain)
{
    assert(strlen(c->places) <= PLACES_MAX);
    for (size_t i = 0; c->places[i]; i++) {
        const char *path = os_path(plain[i]);
        switch (c->places[i]) {
        case 'o': o->old_path = path; break;
        case 'n': o->new_path = path; break;
        case 's': o->second_path = path; break;
        default: o->patch_path = path; break;
        }
    }
}

/* argv: what is behind the command. */
static int parse(dxpatch_options *o, const command *c, int argc, char **argv)
{
    const uint64_t mib = 1 << 20, mib_max = SIZE_MAX >> 20;
    char *plain[PLACES_MAX] = {NULL};
    const char *kind = NULL;
    uint64_t block_size = 0, level = 0;
    const dxup_option options[] = {
        {.name = "--quiet", .kind = DXUP_OPTION_FLAG, .to = &o->quiet},
        {.name = "-", .kind = DXUP_OPTION_DIGIT, .to = &level, .commands = MAKES},
        {.name = "--no-zstd", .kind = DXUP_OPTION_FLAG, .to = &o->no_zstd, .commands = MAKES},
        {.name = "--one-way", .kind = DXUP_OPTION_FLAG, .to = &o->one_way, .commands = MAKES},
        {.name = "--kind", .kind = DXUP_OPTION_TEXT, .to = &kind, .commands = MAKES},
        {.name = "--block-size",
         .kind = DXUP_OPTION_NUMBER,
         .to = &block_size,
         .min = 64,
         .max = 1048576,
         .commands = MAKES},
        {.name = "--slot-size",
         .kind = DXUP_OPTION_NUMBER,
         .to = &o->slot_size,
         .min = 1,
         .max = UINT64_MAX,
         .commands = MAKES},
        {.name = "--memory",
         .kind = DXUP_OPTION_NUMBER,
         .to = &o->memory_size,
         .min = 1,
         .max = mib_max,
         .unit = mib,
         .commands = MAKES},
        {.name = "--target-max",
         .kind = DXUP_OPTION_NUMBER,
         .to = &o->target_max,
         .min = 1,
         .max = mib_max,
         .unit = mib,
         .commands = APPLIES},
        {.name = "--memory-max",
         .kind = DXUP_OPTION_NUMBER,
         .to = &o->memory_max,
         .min = 1,
         .max = mib_max,
         .unit = mib,
         .commands = APPLIES},
    };
    const int places = (int)strlen(c->places);
    const dxup_arguments arguments = {
        .command = c->name,
        .help = "dxpatch help",
        .options = options,
        .option_count = sizeof options / sizeof *options,
        .commands = c->does,
        .plain = plain,
        .plain_min = places,
        .plain_max = places,
    };
    int status = dxup_arguments_parse(&arguments, argc, argv);
    if (!status && kind) status = parse_kind(o, kind);
    if (status) return status;
    o->block_size = (uint32_t)block_size;
    o->level = (uint32_t)level;
    place(o, c, plain);
    return check(o);
}

int main(int argc, char **argv)
{
    dxpatch_options o = {0};
    dxup_begin("dxpatch", &argc, &argv);
    const char *name = argc >= 2 ? argv[1] : NULL;
    if (name && (!strcmp(name, "help") || !strcmp(name, "--help"))) {
        fputs(usage, stdout);
        return dxup_end(DXUP_OK);
    }
    const command *chosen = find_command(name);
    if (!chosen) {
        fputs(usage, stderr);
        return DXUP_USAGE;
    }
    int status = parse(&o, chosen, argc - 2, argv + 2);
    return dxup_end(status ? status : chosen->run(&o));
}
