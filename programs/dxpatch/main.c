/* dxpatch: reads the command line and calls one command. The options know which commands take
   them; `places` says where the plain arguments of a command go. */
#include "dxpatch.h"

#include "../common/options.h"

#include <assert.h>
#include <string.h>

static const char usage[] =
    "dxpatch makes and applies patches between two versions of a file. Applying a patch either\n"
    "yields the new version, verified by hash, or fails and changes nothing.\n"
    "\n"
    "  dxpatch diff OLD NEW PATCH         make the patch that turns OLD into NEW\n"
    "  dxpatch apply OLD PATCH NEW        write NEW\n"
    "  dxpatch apply-in-place FILE PATCH  turn FILE into the new version\n"
    "  dxpatch undo FILE PATCH            turn FILE back (patches of blocks)\n"
    "  dxpatch info PATCH                 print the header, one field a line\n"
    "  dxpatch compose OLD P1 P2 PATCH    merge P1 and P2, which follow each other, into PATCH\n"
    "\n"
    "  --kind delta|blocks|flash|hde|vcdiff   diff, compose:\n"
    "                    delta (default): programs, libraries, archives, content that moves\n"
    "                    blocks: images with a fixed layout; can be undone\n"
    "                    flash: devices that update one slot in place\n"
    "                    hde: memory images and states whose bytes mostly stay in place\n"
    "                    vcdiff (RFC 3284): for other programs; apply, info and compose also\n"
    "                    read what xdelta3 -S none writes\n"
    "  --block-size N    blocks: bytes, a power of two, 64..65536 (default 4096)\n"
    "                    flash: size of an erase page, 256..1048576\n"
    "  --slot-size N     flash: bytes, at least one page more than the larger file (default:\n"
    "                    two pages more)\n"
    "  --one-way         blocks: drop what undo needs when the file shrinks\n"
    "  -1 .. -9          delta, hde: fastest .. smallest (default -6, hde -3)\n"
    "  --memory MIB      delta: memory besides both files (default 2048); below five times OLD\n"
    "                    the patch gets larger\n"
    "  --target-max MIB  apply, undo, compose: refuse a patch with a larger result (default 256,\n"
    "                    or four times the size of OLD and PATCH together, if that is more)\n"
    "  --memory-max MIB  refuse a patch that needs more working memory (default 256)\n"
    "  --no-zstd         hde: use no zstd, for readers without it (the other kinds never use it)\n"
    "  --quiet           print no summary\n"
    "\n"
    "A file is replaced atomically by a copy made beside it: after a power loss it is the old one\n"
    "or the new one, and without room for both it stays as it is. It keeps its permission bits,\n"
    "but not its owner, times and other hard links.\n"
    "\n"
    "Exit status: 0 done, 1 usage, 2 no such file, 4 corrupt data, 5 system error (disk full,\n"
    "permission, memory, a format that this build does not support), 6 refused: the patch is for\n"
    "another file, already applied, cannot be undone, or would overwrite a file that it needs.\n";

/* As apply, with OLD as the destination. */
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
    unsigned    does;   /* bits for the options: MAKES, APPLIES, INFORMS */
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
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
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
    if (o->kind) return PROG_OK;
    return prog_fail(PROG_USAGE, "unknown kind: %s (delta, blocks, flash, hde, vcdiff)", value);
}

/* Refuse options that do not fit together. */
static int check(const dxpatch_options *o)
{
    bool blocks = o->kind == DX_PATCH_KIND_BLOCKS;
    bool flash = o->kind == DX_PATCH_KIND_FLASH;
    if ((o->one_way && !blocks) || (o->block_size && !blocks && !flash) || (o->slot_size && !flash))
        return prog_fail(
            PROG_USAGE,
            "--block-size and --one-way go with --kind blocks, --block-size and --slot-size "
            "with --kind flash");
    if (o->block_size & (o->block_size - 1))
        return prog_fail(PROG_USAGE, "--block-size: %u is not a power of two",
                         (unsigned)o->block_size);
    if (o->block_size && (blocks ? o->block_size > 65536 : o->block_size < 256))
        return prog_fail(PROG_USAGE, "blocks are 64 to 65536 bytes, pages of flash 256 to 1048576");
    return PROG_OK;
}

/* Store the plain arguments where the command expects them. */
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

/* Fill *o. argv begins after the command. */
static int parse(dxpatch_options *o, const command *c, int argc, char **argv)
{
    const uint64_t mib = 1 << 20, mib_max = SIZE_MAX >> 20;
    char *plain[PLACES_MAX] = {NULL};
    const char *kind = NULL;
    uint64_t block_size = 0, level = 0;
    const prog_option options[] = {
        {.name = "--quiet", .kind = PROG_OPTION_FLAG, .to = &o->quiet},
        {.name = "-", .kind = PROG_OPTION_DIGIT, .to = &level, .commands = MAKES},
        {.name = "--no-zstd", .kind = PROG_OPTION_FLAG, .to = &o->no_zstd, .commands = MAKES},
        {.name = "--one-way", .kind = PROG_OPTION_FLAG, .to = &o->one_way, .commands = MAKES},
        {.name = "--kind", .kind = PROG_OPTION_TEXT, .to = &kind, .commands = MAKES},
        {.name = "--block-size",
         .kind = PROG_OPTION_NUMBER,
         .to = &block_size,
         .min = 64,
         .max = 1048576,
         .commands = MAKES},
        {.name = "--slot-size",
         .kind = PROG_OPTION_NUMBER,
         .to = &o->slot_size,
         .min = 1,
         .max = UINT64_MAX,
         .commands = MAKES},
        {.name = "--memory",
         .kind = PROG_OPTION_NUMBER,
         .to = &o->memory_size,
         .min = 1,
         .max = mib_max,
         .unit = mib,
         .commands = MAKES},
        {.name = "--target-max",
         .kind = PROG_OPTION_NUMBER,
         .to = &o->target_max,
         .min = 1,
         .max = mib_max,
         .unit = mib,
         .commands = APPLIES},
        {.name = "--memory-max",
         .kind = PROG_OPTION_NUMBER,
         .to = &o->memory_max,
         .min = 1,
         .max = mib_max,
         .unit = mib,
         .commands = APPLIES},
    };
    const int places = (int)strlen(c->places);
    assert(places <= PLACES_MAX);
    const prog_arguments arguments = {
        .command = c->name,
        .help = "dxpatch help",
        .options = options,
        .option_count = sizeof options / sizeof *options,
        .commands = c->does,
        .plain = plain,
        .plain_min = places,
        .plain_max = places,
    };
    int status = prog_arguments_parse(&arguments, argc, argv);
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
    prog_begin("dxpatch", &argc, &argv);
    const char *name = argc >= 2 ? argv[1] : NULL;
    if (name && (!strcmp(name, "help") || !strcmp(name, "--help"))) {
        fputs(usage, stdout);
        return prog_end(PROG_OK);
    }
    if (!name) {
        fputs(usage, stderr);
        return PROG_USAGE;
    }
    const command *chosen = find_command(name);
    if (!chosen)
        return prog_fail(PROG_USAGE, "there is no command '%s'; see dxpatch help", name);
    int status = parse(&o, chosen, argc - 2, argv + 2);
    return prog_end(status ? status : chosen->run(&o));
}
