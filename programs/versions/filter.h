/* Which paths of a tree are taken: --include and --exclude, a subset of rsync's patterns.

   The first rule that matches decides; a path that none matches is taken. What is in a directory
   that is left out is not looked at.

       ?      one character but '/'          *      any but '/', also none
       \c     the character c itself         **     any, also '/' and none
       /...   from the top of the tree; without it: the end of a path, from any '/' on
       .../   directories only

   Matching takes at most the product of both lengths, whatever the pattern. */
#ifndef VERSIONS_FILTER_H
#define VERSIONS_FILTER_H

#include "../common/options.h"

enum { VERSIONS_PATTERN_MAX = 255 }; /* bytes */

/* PROG_USAGE, with a message: a pattern that is empty or too long. */
int  versions_filter_check(const prog_list *rules);
/* Is the path, relative to the top of the tree, taken? */
bool versions_filter_takes(const prog_list *rules, const char *path, bool folder);

#endif
