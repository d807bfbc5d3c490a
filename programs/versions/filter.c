/* Patterns of paths. See filter.h.

   A pattern is a row of tokens, and a state is a position in it. All states that the path can reach
   are tracked at once, one bit each, so there is no backtracking:

       pattern     a   *   b         path      a      b        b
       states    0   1   2   3       states {0} {1,2}  {1,2,3}  {1,2,3}    3, the end: it matches */
#include "filter.h"

#include <assert.h>
#include <string.h>

enum token { ONE, STAR, ANY, LITERAL }; /* LITERAL and above: LITERAL + the byte */

typedef struct pattern {
    int    tokens[VERSIONS_PATTERN_MAX];
    size_t count;
    bool   anchored;    /* matches only at the top, not after any '/' */
    bool   folder_only;
} pattern;

typedef struct states {
    bool is[VERSIONS_PATTERN_MAX + 1];
} states;

/* The text is not longer than VERSIONS_PATTERN_MAX. */
static void compile(const char *text, pattern *p)
{
    p->count = 0;
    p->anchored = *text == '/';
    text += p->anchored;
    while (*text) {
        int token = LITERAL + (unsigned char)*text;
        if (*text == '?') token = ONE;
        if (*text == '*') token = text[1] == '*' ? ANY : STAR;
        if (*text == '\\' && text[1]) token = LITERAL + (unsigned char)*++text;
        text += token == ANY ? 2 : 1;
        assert(p->count < VERSIONS_PATTERN_MAX);
        p->tokens[p->count++] = token;
    }
    p->folder_only = p->count && p->tokens[p->count - 1] == LITERAL + '/';
    p->count -= p->folder_only;
}

/* Enter a state, and the states after stars, since a star may match nothing. */
static void enter(const pattern *p, states *s, size_t at)
{
    for (; at <= p->count && !s->is[at]; at++) {
        s->is[at] = true;
        if (at == p->count || (p->tokens[at] != STAR && p->tokens[at] != ANY)) break;
    }
}

static bool matches(const pattern *p, const char *path)
{
    states now = {{false}};
    enter(p, &now, 0);
    for (; *path; path++) {
        states next = {{false}};
        for (size_t i = 0; i < p->count; i++) {
            const int token = p->tokens[i];
            if (!now.is[i]) continue;
            if (token == ANY || (token == STAR && *path != '/')) enter(p, &next, i);
            if ((token == ONE && *path != '/') || token == LITERAL + (unsigned char)*path)
                enter(p, &next, i + 1);
        }
        if (*path == '/' && !p->anchored) enter(p, &next, 0);
        now = next;
    }
    return now.is[p->count];
}

/* Fast, for most names: does the path begin and end with the bytes that every match begins and ends with?
   Those are before the first and behind the last special one. */
static bool may_match(const char *text, const char *path)
{
    static const char special[] = "?*\\";
    const bool anchored = *text == '/';
    size_t size = strlen(text += anchored);
    const size_t path_size = strlen(path), begin = strcspn(text, special);
    if (size && text[size - 1] == '/') size--; /* folders only */
    const size_t head = begin < size ? begin : size;
    if (anchored && strncmp(text, path, head) != 0) return false;
    size_t tail = size;
    while (tail > 0 && !strchr(special, text[tail - 1])) tail--;
    tail += tail > 0 && text[tail - 1] == '\\' && tail < size; /* the byte behind it may be anything */
    return size - tail <= path_size && !memcmp(path + path_size - (size - tail), text + tail, size - tail);
}

int versions_filter_check(const prog_list *rules)
{
    for (size_t i = 0; i < rules->count; i++) {
        const char *text = rules->items[i].value;
        if (*text && strcmp(text, "/") != 0 && strlen(text) <= VERSIONS_PATTERN_MAX) continue;
        return prog_fail(PROG_USAGE, "%s '%s': a pattern has 1 to %d bytes", rules->items[i].option,
                         text, VERSIONS_PATTERN_MAX);
    }
    return PROG_OK;
}

bool versions_filter_takes(const prog_list *rules, const char *path, bool folder)
{
    pattern p;
    for (size_t i = 0; i < rules->count; i++) {
        if (!may_match(rules->items[i].value, path)) continue;
        compile(rules->items[i].value, &p);
        if (p.folder_only && !folder) continue;
        if (matches(&p, path)) return strcmp(rules->items[i].option, "--include") == 0;
    }
    return true;
}
