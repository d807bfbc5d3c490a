/* dxpatch: parses the command line by its table and calls one command. `places` assigns the plain
   arguments of a command. */
#include "dxpatch.h"

#include "../common/options.h"
#include "../containers/container.h"

#include <assert.h>
#include <string.h>

/* How apply-in-place and undo leave the files: a part of their help. */
#define FILES                                                                                      \
    "The result is written to a temporary file, which then replaces the destination\n"             \
    "atomically: after a power loss it is the old file or the new one. The disk needs\n"           \
    "space for both. The file keeps its permission bits, but not its owner, times and\n"           \
    "other hard links."

/* Like apply, with OLD as the destination. */
static int apply_in_place(const dxpatch_options *o)
{
    dxpatch_options same = *o;
    same.new_path = o->old_path;
    return dxpatch_apply(&same);
}

/* >>table -------------------------------------------------------------- */
enum { DIFF, APPLY, APPLY_IN_PLACE, UNDO, INFO, COMPOSE, COMMANDS };

/* Bits for commands, for options that only some of them accept. */
enum {
    MAKES   = 1 << DIFF | 1 << COMPOSE,
    APPLIES = 1 << APPLY | 1 << APPLY_IN_PLACE | 1 << UNDO | 1 << COMPOSE
};

/* Every line of `examples` is run in order by tests/programs/test_dxup_commands.sh. */
static const prog_command commands[COMMANDS] = {
    [DIFF] = {.name = "diff",
              .arguments = "OLD NEW PATCH",
              .summary = "Make the patch that turns OLD into NEW",
              .examples = "dxpatch diff old new patch\n"
                          "dxpatch diff old new image.patch --kind blocks --block-size 4096"},
    [APPLY] = {.name = "apply",
               .arguments = "OLD PATCH NEW",
               .summary = "Write NEW, verified by hash",
               .details = FILES,
               .examples = "dxpatch apply old patch result"},
    [APPLY_IN_PLACE] = {.name = "apply-in-place",
                        .arguments = "FILE PATCH",
                        .summary = "Replace FILE by the new version",
                        .details = FILES,
                        .examples = "dxpatch apply-in-place file image.patch"},
    [UNDO] = {.name = "undo",
              .arguments = "FILE PATCH",
              .summary = "Turn FILE back into the old version, with a patch of kind blocks",
              .details = FILES,
              .examples = "dxpatch undo file image.patch"},
    [INFO] = {.name = "info",
              .arguments = "PATCH",
              .summary = "Print the header of a patch, one field per line",
              .examples = "dxpatch info patch"},
    [COMPOSE] = {.name = "compose",
                 .arguments = "OLD PATCH1 PATCH2 PATCH",
                 .summary = "Merge two consecutive patches into one",
                 .examples = "dxpatch compose old patch patch2 both"},
};

/* The plain arguments of a command: Old, New, Patch, Second patch. */
static const char *const places[COMMANDS] = {
    [DIFF] = "onp", [APPLY] = "opn", [APPLY_IN_PLACE] = "op",
    [UNDO] = "op",  [INFO] = "p",    [COMPOSE] = "opsn",
};

static int (*const runs[COMMANDS])(const dxpatch_options *o) = {
    [DIFF] = dxpatch_diff, [APPLY] = dxpatch_apply, [APPLY_IN_PLACE] = apply_in_place,
    [UNDO] = dxpatch_undo, [INFO] = dxpatch_info,   [COMPOSE] = dxpatch_compose,
};

#define FIELD(name) PROG_FIELD(dxpatch_options, name)
#define MIB         .max = SIZE_MAX >> 20, .unit = 1 << 20

static const prog_option options[] = {
    {"--kind", PROG_OPTION_TEXT, FIELD(kind_name), .commands = MAKES, .value = "KIND",
     .choices = "delta blocks flash hde vcdiff",
     .help = "delta: programs, libraries, archives, content that\n"
             "moves; the default, unless a patch between the\n"
             "decompressed contents of both files is smaller\n"
             "blocks: images with a fixed layout; can be undone\n"
             "flash: devices that update one slot in place\n"
             "hde: memory images and states whose bytes mostly\n"
             "stay in place\n"
             "vcdiff (RFC 3284): for other programs; apply, info\n"
             "and compose also read what xdelta3 -S none writes"},
    {"--block-size", PROG_OPTION_NUMBER, FIELD(block_size), .min = 64, .max = 1048576,
     .commands = MAKES, .value = "N",
     .help = "blocks: bytes, a power of two, 64 to 65536 (default\n"
             "4096); flash: size of an erase page, 256 to 1048576"},
    {"--slot-size", PROG_OPTION_NUMBER, FIELD(slot_size), .min = 1, .max = UINT64_MAX,
     .commands = MAKES, .value = "N",
     .help = "flash: bytes, at least one page more than the\n"
             "larger file (default: two pages more)"},
    {"--small", PROG_OPTION_FLAG, FIELD(small), .commands = MAKES,
     .help = "flash: for devices built with DX_PATCH_FLASH_SMALL,\n"
             "which apply in 1.2 KB of memory instead of 6.2"},
    {"--one-way", PROG_OPTION_FLAG, FIELD(one_way), .commands = MAKES,
     .help = "blocks: leave out the data that undo needs when the\nfile shrinks"},
    {"-", PROG_OPTION_DIGIT, FIELD(level), .commands = MAKES,
     .help = "delta, hde: from fastest to smallest (default -6,\nhde -3); patches of delta -8 and -9 may be slower to\napply"},
    {"--format", PROG_OPTION_NUMBER, FIELD(format), .min = DXPATCH_FORMAT_OLD,
     .max = DXPATCH_FORMAT_NEW, .commands = MAKES, .value = "N",
     .help = "delta: the newest format that readers support, 3 or\n4 (default 4)"},
    {"--memory", PROG_OPTION_NUMBER, FIELD(memory_size), .min = 1, MIB, .commands = MAKES,
     .value = "MIB",
     .help = "delta: memory besides both files (default 2048);\n"
             "with less than 64 MiB plus eight times OLD the\npatch gets larger"},
    {"--target-max", PROG_OPTION_NUMBER, FIELD(target_max), .min = 1, MIB, .commands = APPLIES,
     .value = "MIB",
     .help = "refuse a patch whose result is larger (default 256,\n"
             "or four times OLD plus PATCH if that is more)"},
    {"--memory-max", PROG_OPTION_NUMBER, FIELD(memory_max), .min = 1, MIB, .commands = APPLIES,
     .value = "MIB", .help = "refuse a patch that needs more working memory\n(default 256)"},
    {"--no-zstd", PROG_OPTION_FLAG, FIELD(no_zstd), .commands = MAKES,
     .help = "hde: do not use zstd, for readers without it (other\nkinds never use it)"},
    {"--quiet", PROG_OPTION_FLAG, FIELD(quiet), .help = "print no summary"},
};

static const prog_exit exits[] = {
    {PROG_OK, 0, "done"},
    {PROG_USAGE, 0, "usage error: an invalid option or argument"},
    {PROG_NOT_FOUND, 0, "no such file"},
    {PROG_DAMAGED, 0, "corrupt data"},
    {PROG_SYSTEM, 0, "system error: disk full, no permission, out of memory, format not in this build"},
    {PROG_REFUSED, 0,
     "refused: the patch is for another file, was already applied, cannot be undone, or\n"
     "would overwrite a file that it needs; or a name is a directory, a pipe or a device"},
};

static const prog_program program = {
    .name = "dxpatch",
    .summary = "make and apply patches between two versions of a file",
    .about = "dxpatch makes and applies patches between two versions of a file. Applying a patch\n"
             "either yields the new version, verified by hash, or fails and changes nothing.",
    .version = DX_PATCH_VERSION,
    .libraries = container_libraries,
    .commands = commands,
    .command_count = COMMANDS,
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .exits = exits,
    .exit_count = sizeof exits / sizeof *exits,
};

/* >>parse -------------------------------------------------------------- */
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
    return prog_fail(PROG_USAGE, "--kind: '%s' is not one of delta, blocks, flash, hde, vcdiff", value);
}

/* Refuse invalid combinations of options. */
static int check(const dxpatch_options *o)
{
    bool blocks = o->kind == DX_PATCH_KIND_BLOCKS;
    bool flash = o->kind == DX_PATCH_KIND_FLASH;
    if (o->small && !flash) return prog_fail(PROG_USAGE, "--small needs --kind flash");
    if ((o->one_way && !blocks) || (o->block_size && !blocks && !flash) || (o->slot_size && !flash))
        return prog_fail(
            PROG_USAGE,
            "--one-way needs --kind blocks, --slot-size needs --kind flash, --block-size one of these");
    if (o->format && o->kind && o->kind != DX_PATCH_KIND_DELTA)
        return prog_fail(PROG_USAGE, "--format needs --kind delta");
    if (o->block_size & (o->block_size - 1))
        return prog_fail(PROG_USAGE, "--block-size: %u is not a power of two",
                         (unsigned)o->block_size);
    if (o->block_size && (blocks ? o->block_size > 65536 : o->block_size < 256))
        return prog_fail(PROG_USAGE, "--block-size: blocks are 64 to 65536 bytes, pages of flash "
                                     "256 to 1048576");
    return PROG_OK;
}

/* Store the plain arguments where the command expects them. */
static void place(dxpatch_options *o, const char *where, char **plain)
{
    assert(strlen(where) <= PROG_PLAIN_MAX);
    for (size_t i = 0; where[i]; i++) {
        const char *path = os_path(plain[i]);
        switch (where[i]) {
        case 'o': o->old_path = path; break;
        case 'n': o->new_path = path; break;
        case 's': o->second_path = path; break;
        default: o->patch_path = path; break;
        }
    }
}

/* Fill *o. argv begins after the command. */
static int parse(dxpatch_options *o, int command, int argc, char **argv)
{
    char *plain[PROG_PLAIN_MAX];
    int status = prog_arguments_parse(&program, command, argc, argv, o, plain);
    if (!status && o->kind_name) status = parse_kind(o, o->kind_name);
    if (status) return status;
    place(o, places[command], plain);
    return check(o);
}

int main(int argc, char **argv)
{
    dxpatch_options o = {0};
    int command;
    prog_begin("dxpatch", &argc, &argv);
    int status = prog_choose(&program, argc, argv, &command);
    if (!status && command >= 0) status = parse(&o, command, argc - 2, argv + 2);
    if (!status && command >= 0) status = runs[command](&o);
    return prog_end(status);
}
