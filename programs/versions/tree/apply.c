/* Gives a restored entry its metadata. The order matters:

       owner       first, because chown clears setuid bits and capabilities
       attributes  while the mode still lets the owner write; access control lists after the others
       mode        with setuid and setgid only if user and group are the recorded ones
       time        last, because all of the above may change it

   Everything goes through the open file or directory, or through a name in an open directory; no
   link is followed. If the system refuses an item, it is reported, and the rest is still applied. */
#include "tree.h"

#ifndef VERSIONS_NO_SNAPSHOTS
#include "metadata.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#endif

enum { ACCOUNT_SIZE_MAX = 65536, SET_IDS = 06000 };

/* >>owner -------------------------------------------------------------- */
/* The user with that name, otherwise the number. */
static uid_t user_of(const dx_tree_owner *o, char *text)
{
    struct passwd entry, *found = NULL;
    char name[DX_TREE_NAME_MAX + 1];
    if (!o->user_name_size) return o->user;
    memcpy(name, o->user_name, o->user_name_size);
    name[o->user_name_size] = 0;
    if (getpwnam_r(name, &entry, text, ACCOUNT_SIZE_MAX, &found) != 0 || !found) return o->user;
    return found->pw_uid;
}

static gid_t group_of(const dx_tree_owner *o, char *text)
{
    struct group entry, *found = NULL;
    char name[DX_TREE_NAME_MAX + 1];
    if (!o->group_name_size) return o->group;
    memcpy(name, o->group_name, o->group_name_size);
    name[o->group_name_size] = 0;
    if (getgrnam_r(name, &entry, text, ACCOUNT_SIZE_MAX, &found) != 0 || !found) return o->group;
    return found->gr_gid;
}

void versions_owner_of(const dx_tree_entry *e, bool numeric, versions_belongs *belongs)
{
    dx_tree_owner owner;
    if (!dx_tree_read_owner(e, &owner)) return; /* it inherits that of the directory */
    belongs->known = true;
    belongs->user = owner.user;
    belongs->group = owner.group;
    if (numeric) return;
    char *text = prog_alloc(ACCOUNT_SIZE_MAX);
    belongs->user = user_of(&owner, text);
    belongs->group = group_of(&owner, text);
    free(text);
}

/* Only root may give files away; otherwise the process owns what it restores. */
static bool gives_owner(const versions_omit *omit, const versions_belongs *belongs)
{
    return belongs->known && !omit->owner && geteuid() == 0;
}

/* >>attributes --------------------------------------------------------- */
#ifdef __linux__
static bool needs_privilege(const char *name)
{
    return !strncmp(name, "security.", 9) || !strncmp(name, "trusted.", 8);
}

/* Attributes that publishing stores; a foreign snapshot cannot set others. */
static bool is_known(const char *name)
{
    return !strncmp(name, "user.", 5) || !strncmp(name, "trusted.", 8) ||
           !strcmp(name, "security.capability") || !strcmp(name, "system.posix_acl_access") ||
           !strcmp(name, "system.posix_acl_default");
}

static int set_xattr(const versions_target *t, const char *name, const dx_tree_xattr *a)
{
    char path[64 + DX_TREE_NAME_MAX];
    if (t->fd >= 0) return fsetxattr(t->fd, name, a->value, a->value_size, 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d/%s", t->dir, t->name);
    return lsetxattr(path, name, a->value, a->value_size, 0);
}

static void apply_xattr(versions_report *report, const versions_omit *omit,
                        const versions_target *t, const dx_tree_xattr *a)
{
    char name[DX_TREE_NAME_MAX + 1], what[DX_TREE_NAME_MAX + 32];
    memcpy(name, a->name, a->name_size);
    name[a->name_size] = 0;
    if (omit->owner && needs_privilege(name)) {
        versions_report_leave_out(report, VERSIONS_LEFT_ATTRIBUTE);
        return;
    }
    snprintf(what, sizeof what, "attribute %s", name);
    if (!is_known(name)) versions_report_add(report, t->path, t->name, what, EPERM);
    else if (set_xattr(t, name, a) < 0) versions_report_add(report, t->path, t->name, what, errno);
}

static int apply_xattrs(versions_report *report, const versions_omit *omit,
                        const versions_target *t, const uint8_t *bytes, size_t size)
{
    dx_tree_xattrs x;
    dx_tree_xattr a;
    int got = 0;
    for (int lists = 0; lists < 2 && got >= 0; lists++) {
        dx_tree_xattrs_begin(&x, bytes, size);
        while ((got = dx_tree_xattrs_next(&x, &a)) == 1)
            if ((a.name_size > 7 && !memcmp(a.name, "system.", 7)) == (lists == 1))
                apply_xattr(report, omit, t, &a);
    }
    return got < 0 ? prog_fail(PROG_DAMAGED, "attributes in the store are malformed: %s",
                               dx_tree_error_name(got))
                   : PROG_OK;
}
#else
static int apply_xattrs(versions_report *report, const versions_omit *omit,
                        const versions_target *t, const uint8_t *bytes, size_t size)
{
    (void)omit;
    (void)bytes;
    if (size) versions_report_add(report, t->path, t->name, "its attributes", ENOTSUP);
    return PROG_OK;
}
#endif

static int restore_xattrs(versions_report *report, versions_store *s, const versions_omit *omit,
                          const versions_target *t, const dx_tree_entry *e)
{
    const uint8_t *bytes;
    size_t size;
    uint32_t large;
    if (omit->xattrs || !e->extra_size) return PROG_OK;
    uint8_t *buffer = NULL;
    bool object = dx_tree_read_object(e, DX_TREE_XATTRS, &large) != NULL;
    if (object && t->xattrs) return apply_xattrs(report, omit, t, t->xattrs, large);
    assert(s || !object);
    if (object) buffer = prog_alloc(DX_TREE_EXTRA_SIZE_MAX);
    int status = versions_extra_read(s, e, DX_TREE_XATTRS, buffer, &bytes, &size);
    if (!status && size) status = apply_xattrs(report, omit, t, bytes, size);
    free(buffer);
    return status;
}

/* >>mode --------------------------------------------------------------- */
/* Drop mode bits that would grant the rights of another user, or rights to another group. */
static unsigned allowed_mode(versions_report *report, const versions_omit *omit,
                             const versions_target *t, const dx_tree_entry *e,
                             const versions_belongs *belongs)
{
    struct stat st;
    unsigned mode = e->mode, refused = 0;
    if (!(mode & SET_IDS)) return mode;
    if (omit->owner) return mode & ~(unsigned)SET_IDS;
    bool known = fstat(t->fd, &st) == 0 && belongs->known;
    if ((mode & S_ISUID) && !(known && st.st_uid == belongs->user)) refused |= S_ISUID;
    if ((mode & S_ISGID) && !(known && st.st_gid == belongs->group)) refused |= S_ISGID;
    if (refused & S_ISUID)
        versions_report_add(report, t->path, t->name, "setuid: it belongs to another user here", 0);
    if (refused & S_ISGID)
        versions_report_add(report, t->path, t->name, "setgid: it belongs to another group here",
                            0);
    return mode & ~refused;
}

bool versions_apply_needed(const versions_omit *omit, const dx_tree_entry *e,
                           const versions_belongs *belongs)
{
    return e->extra_size || e->mode > 0777 || gives_owner(omit, belongs);
}

static void apply_owner(versions_report *report, const versions_omit *omit,
                        const versions_target *t, const versions_belongs *belongs)
{
    if (!gives_owner(omit, belongs)) return;
    int bad = t->fd >= 0 ? fchown(t->fd, belongs->user, belongs->group)
                         : fchownat(t->dir, t->name, belongs->user, belongs->group,
                                    AT_SYMLINK_NOFOLLOW);
    if (bad < 0) versions_report_add(report, t->path, t->name, "its owner", errno);
}

int versions_make_special(int dir, const char *name, const dx_tree_entry *e)
{
    uint32_t major_number = 0, minor_number = 0;
    mode_t type = S_IFIFO;
    bool device = e->type != DX_TREE_FIFO;
    if (device) type = e->type == DX_TREE_CHAR ? S_IFCHR : S_IFBLK;
    if (device && geteuid() != 0) return EPERM;
    dx_tree_read_device(e, &major_number, &minor_number);
    dev_t number = device ? makedev(major_number, minor_number) : 0;
    return mknodat(dir, name, type | (e->mode & 01777), number) < 0 ? errno : 0;
}

int versions_apply_time(const versions_omit *omit, const versions_target *t, const dx_tree_entry *e)
{
    if (omit->times) return PROG_OK;
    const int bad = t->fd >= 0 ? os_set_time(t->fd, e->mtime_ns)
                               : os_set_time_in(t->dir, t->name, e->mtime_ns);
    return bad < 0 ? prog_fail_errno("%s/%s: cannot set its time", t->path, t->name) : PROG_OK;
}

void versions_apply_count(versions_report *report, const versions_omit *omit,
                          const dx_tree_entry *e, const versions_belongs *belongs)
{
    if (!omit->owner) return;
    const bool ours = belongs->user == geteuid() && belongs->group == getegid();
    if (belongs->known && !ours && geteuid() == 0)
        versions_report_leave_out(report, VERSIONS_LEFT_OWNER);
    if (e->mode & SET_IDS) versions_report_leave_out(report, VERSIONS_LEFT_BITS);
}

int versions_apply(versions_report *report, versions_store *s, const versions_omit *omit,
                   const versions_target *t, const dx_tree_entry *e,
                   const versions_belongs *belongs)
{
    versions_apply_count(report, omit, e, belongs);
    if (e->type == DX_TREE_DIR || versions_apply_needed(omit, e, belongs)) {
        apply_owner(report, omit, t, belongs);
        int status = restore_xattrs(report, s, omit, t, e);
        if (status) return status;
        assert(t->fd >= 0 || e->type >= DX_TREE_LINK); /* others were created with their mode */
        unsigned mode = t->fd >= 0 ? allowed_mode(report, omit, t, e, belongs) : 0;
        if (t->fd >= 0 && fchmod(t->fd, (mode_t)mode) < 0)
            return prog_fail_errno("%s/%s: cannot set its mode", t->path, t->name);
    }
    return versions_apply_time(omit, t, e);
}
#endif
