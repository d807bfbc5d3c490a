/* Prepares a pull: hashes the destination for the request, and checks that no data is lost. */
#include "pull.h"

#include "../../sync/wire.h"
#include "../../common/os.h"
#include "../../versions/image.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* >>the state of the destination ---------------------------------------- */
/* One pass over the destination. */
typedef struct measure {
    dx_cas_blake3 hasher;
    uint64_t      size;
    int           copy_fd; /* receives a copy of the stream; -1: none */
} measure;

static int measure_bytes(void *user, const void *bytes, size_t size)
{
    measure *m = user;
    dx_cas_blake3_update(&m->hasher, bytes, size);
    m->size += size;
    assert(m->size >= size);
    prog_progress("hashing", m->size, 0, false);
    if (m->copy_fd >= 0 && !prog_write_all(m->copy_fd, bytes, size))
        return prog_fail_errno("the temporary file beside the destination");
    return PROG_OK;
}

/* A temporary file next to path, unlinked at once, so that it disappears with this process. */
static int open_unnamed(const char *path)
{
    char name[PROG_PATH_SIZE_MAX + 64];
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/') size--;
    snprintf(name, sizeof name, "%.*s.dxup-base", (int)size, path);
    return os_open_unnamed(name);
}

/* Hash the destination. copied: also write a tree to a temporary file as a stream, because a patch
   reads its base at any offset. */
int dxup_pull_hash_destination(pull *p, bool copied)
{
    measure m = {.copy_fd = -1};
    unsigned mode;
    assert(p->transfer.base_fd < 0);
    p->plan.have_size = 0;
    os_replace_recover(p->o->path);
    int status = versions_image_stat(p->o->path, &p->plan.have_kind, &mode);
    if (status == PROG_NOT_FOUND) return PROG_OK;
    if (status) return status;
    bool tree = p->plan.have_kind == PROG_TREE;
    if (tree && copied) m.copy_fd = p->transfer.base_fd = open_unnamed(p->o->path);
    else if (!tree) p->transfer.base_fd = os_open(p->o->path);
    if (p->transfer.base_fd < 0 && (copied || !tree)) return prog_fail_errno("%s", p->o->path);
    dx_cas_blake3_init(&m.hasher);
    status = versions_image_read(p->o->path, p->plan.have_kind, measure_bytes, &m);
    if (status == PROG_NOT_FOUND) /* it was removed meanwhile */
        return prog_fail(PROG_REFUSED, "%s changed while it was read; try again", p->o->path);
    if (status) return status;
    dx_cas_blake3_final(&m.hasher, p->plan.have, sizeof p->plan.have);
    p->plan.have_size = m.size;
    return PROG_OK;
}

bool dxup_pull_wants_objects(const pull *p)
{
    return VERSIONS_HAS_SNAPSHOTS && !p->plan.details_of && !p->plan.no_objects;
}

/* If the destination is a file, a patch may be the smallest transfer: the other
   request asks for one. */
bool dxup_pull_can_sync(const pull *p)
{
    return dxup_pull_wants_objects(p) && p->plan.have_kind != PROG_FILE;
}

/* Find and hash the destination. */
int dxup_pull_stat(pull *p)
{
    bool known = false;
    int status = PROG_OK;
    const bool syncs = dxup_pull_can_sync(p);
    if (syncs && !p->o->checksum) status = dxup_pull_stat_by_cache(p, &known);
    /* Before it is read. */
    if (!status) status = versions_guard_check(p->install.guard, p->o->path);
    return status || known ? status : dxup_pull_hash_destination(p, !syncs);
}

/* >>checks against losing data ------------------------------------------ */
/* If the name includes a version, refuse any other one. */
int dxup_pull_refuse_another(const pull *p)
{
    char name[PROG_NAME_SIZE_MAX + 1];
    uint64_t asked;
    versions_split_version(p->o->name, name, &asked);
    if (!asked || p->plan.version == asked) return PROG_OK;
    return prog_fail(PROG_DAMAGED, "the server sent version %llu instead of '%s'",
                     (unsigned long long)p->plan.version, p->o->name);
}

/* Refuse a rollback by a server with an older copy of the store, or with another store. */
static int refuse_older(const pull *p)
{
    uint8_t hash[PROG_HASH_SIZE];
    uint64_t pulled;
    if (p->o->force || p->plan.details_of || !p->plan.have_kind) return PROG_OK;
    if (!versions_dest_recorded(&p->install.dest, p->o->name, &pulled, hash)) return PROG_OK;
    if (p->plan.version < pulled)
        return prog_fail(
            PROG_REFUSED,
            "version %llu of '%s' was pulled to %s, but the server's latest is version %llu; "
            "--force rolls back",
            (unsigned long long)pulled, p->o->name, p->o->path,
            (unsigned long long)p->plan.version);
    if (p->plan.version == pulled && memcmp(hash, p->plan.hash, sizeof hash) != 0)
        return prog_fail(
            PROG_REFUSED,
            "version %llu of '%s' was pulled to %s, but the server's version %llu has other "
            "content: its store is another one; --force accepts it",
            (unsigned long long)pulled, p->o->name, p->o->path,
            (unsigned long long)p->plan.version);
    return PROG_OK;
}

/* Was the last pull without --owner, unlike this one? */
bool dxup_pull_lacks_owners(const pull *p)
{
    return p->o->owner && p->plan.have_kind == PROG_TREE &&
           !versions_dest_recorded_owner(&p->install.dest);
}

/* The content is equal: can the details differ from those of the last pull? */
bool dxup_pull_is_another(const pull *p)
{
    uint8_t hash[PROG_HASH_SIZE];
    uint64_t pulled;
    if (!versions_dest_recorded(&p->install.dest, p->o->name, &pulled, hash)) return true;
    if (dxup_pull_lacks_owners(p)) return true;
    return pulled < p->plan.version || (pulled > p->plan.version && p->o->force);
}

/* Does the destination have data that the last pull did not write? Empty files and
   directories have none. */
static bool may_lose(const pull *p)
{
    uint8_t hash[PROG_HASH_SIZE];
    uint64_t pulled;
    if (p->plan.details_of || !p->plan.have_kind) return false;
    /* Whatever name it was pulled under, such as a tag. */
    if (versions_dest_recorded(&p->install.dest, NULL, &pulled, hash) &&
        !memcmp(hash, p->plan.have, sizeof hash))
        return false;
    return p->plan.have_kind == PROG_TREE ? prog_has_entries(p->o->path) : p->plan.have_size > 0;
}

/* A typing mistake would delete all versions: not even --force replaces a store, or a file of one. */
static int refuse_store(const pull *p)
{
    char path[PROG_PATH_SIZE_MAX + 4];
    snprintf(path, sizeof path, "%s", p->install.dest.path);
    if (p->plan.have_kind != PROG_TREE) {
        char *slash = strrchr(path, '/');
        snprintf(slash ? slash + 1 : path, 2, ".");
    }
    if (!versions_store_is_at(path)) return PROG_OK;
    return prog_fail(PROG_REFUSED,
                     "%s is %sa store of dxup, which not even --force replaces; name another "
                     "destination, or remove it first",
                     p->o->path, p->plan.have_kind == PROG_TREE ? "" : "in ");
}

/* Would the announced version delete data that exists nowhere else? */
int dxup_pull_refuse_losses(const pull *p, bool known_base)
{
    int status = refuse_older(p);
    if (!status) status = versions_dest_check(p->o->path, p->plan.kind);
    if (status) return status;
    if (known_base || !may_lose(p)) return PROG_OK;
    if (p->o->force) return refuse_store(p);
    return prog_fail(PROG_REFUSED,
                     "%s was changed locally: the server has no such version of '%s'; move it "
                     "away to keep it, or use --force to replace it",
                     p->o->path, p->o->name);
}

bool dxup_pull_is_there(const pull *p)
{
    return p->plan.have_kind && !memcmp(p->plan.have, p->plan.hash, sizeof p->plan.hash) &&
           p->plan.have_size == p->plan.size && p->plan.have_kind == p->plan.kind;
}
