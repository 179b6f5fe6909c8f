/* The zones that `azoth load` is asked for: ORIGIN=FILE arguments and the lines `ORIGIN FILE` of a list. */
#ifndef AZOTH_TOOLS_LOADLIST_H
#define AZOTH_TOOLS_LOADLIST_H

#include "base/arena.h"
#include "builder/load.h"

struct loadlist { struct load_zone *zones; size_t n, cap; struct arena arena; };   /* strings live in the arena */

void loadlist_init(struct loadlist *l);
void loadlist_release(struct loadlist *l);
/* ERR_BAD: no '=', an empty side, an origin that is no name; *fault names it. */
MUST_USE enum err loadlist_argument(struct loadlist *l, const char *argument, struct fault *fault);
/* Blank lines and those that begin with '#' are skipped; a file name goes to the line's end, so it may hold spaces, and
 * is relative to the current folder, as in arguments. ERR_BAD as above with file and line; ERR_NOTFOUND, ERR_IO,
 * ERR_LIMIT. */
MUST_USE enum err loadlist_file(struct loadlist *l, const char *path, struct fault *fault);
/* ERR_EXISTS: a zone is named twice; *fault says which. */
MUST_USE enum err loadlist_check(const struct loadlist *l, struct fault *fault);

#endif
