/* Select paths of a tree: --include and --exclude, a subset of rsync's patterns.

   The first rule that matches decides; a path that matches no rule is included. The entries of an
   excluded directory are not visited.

       ?      one character except '/'       *      any characters except '/', or none
       \c     the character c itself         **     any characters, or none
       /...   from the top of the tree; without it: the end of a path, after any '/'
       .../   directories only

   Matching takes at most pattern length times path length steps. */
#ifndef VERSIONS_FILTER_H
#define VERSIONS_FILTER_H

#include "../common/options.h"

enum { VERSIONS_PATTERN_MAX = 255 }; /* bytes */

/* PROG_USAGE, with a message: a pattern is empty or too long. */
int  versions_filter_check(const prog_list *rules);
/* Is the path, relative to the top of the tree, included? */
bool versions_filter_takes(const prog_list *rules, const char *path, bool folder);

#endif
