/* dxup tag: gives a version a movable name, such as `stable` or `beta`, or removes one. This is one
   commit: after a crash the tag is at its old or its new version. */
#include "commands.h"
#include "names.h"

#include <string.h>

/* Format NAME@TAG for a version's name. */
static int tag_text(const versions_version *v, const char *tag, char text[PROG_NAME_SIZE_MAX + 1])
{
    if (snprintf(text, PROG_NAME_SIZE_MAX + 1, "%s@%s", v->name, tag) <= PROG_NAME_SIZE_MAX)
        return PROG_OK;
    return prog_fail(PROG_USAGE, "%s@%s is too long for a name", v->name, tag);
}

static void say_moved(const char *text, const versions_version *v, const versions_version *was,
                      const dxup_options *o)
{
    const unsigned long long now = v->version, before = was->tagged;
    prog_json j;
    if (o->json) {
        prog_json_begin(&j);
        prog_json_text(&j, "tag", o->third);
        prog_json_text(&j, "name", v->name);
        if (!o->remove) prog_json_number(&j, "version", now);
        if (before) prog_json_number(&j, "before", before);
        prog_json_end(&j);
    } else if (o->remove) {
        prog_say("%s is removed (it was %s@%llu)\n", text, v->name, before);
    } else if (before) {
        prog_say("%s is %s@%llu (before: %s@%llu)\n", text, v->name, now, v->name, before);
    } else {
        prog_say("%s is %s@%llu\n", text, v->name, now);
    }
}

static int remove_tag(versions_store *s, const char *text, const versions_version *was)
{
    if (!was->tagged)
        return prog_fail(PROG_NOT_FOUND, "there is no tag '%s'; 'dxup ls %s' lists the tags", text,
                         versions_store_path(s));
    int status = versions_name_remove(s, text);
    return status ? status : versions_store_commit(s);
}

static int tag(versions_store *s, const dxup_options *o)
{
    versions_version v, was = {.tagged = 0};
    char text[PROG_NAME_SIZE_MAX + 1];
    int status = dxup_find(s, o->name, &v);
    if (!status) status = tag_text(&v, o->third, text);
    if (status) return status;
    status = versions_version_find(s, text, 0, &was);
    if (status && status != PROG_NOT_FOUND) return status;
    status = o->remove ? remove_tag(s, text, &was) : versions_tag_set(s, &v, o->third);
    if (!status && !o->quiet) say_moved(text, &v, &was, o);
    return status;
}

int dxup_tag(const dxup_options *o)
{
    versions_store *s;
    if (!versions_tag_is_valid(o->third))
        return prog_fail(PROG_USAGE, "'%s' is not a valid tag: a tag is a letter, then letters, "
                                     "digits, . - and _",
                         o->third);
    if (!o->remove && !strcmp(o->third, VERSIONS_TAG_RESERVED))
        return prog_fail(PROG_USAGE, "'%s' is reserved: the name alone is the latest version, and a "
                                     "tag would not follow it; choose another tag", o->third);
    int status = versions_store_open(&s, o->store, VERSIONS_WRITE);
    if (status) return status;
    status = tag(s, o);
    versions_store_close(s);
    return status;
}
