/* A progress bar on stderr, drawn by a thread of its own five times a second, so that the work only bumps a counter.
 * Nothing is drawn when stderr is no terminal, nor in the first half second.
 *
 *     load    [##########..........]  51 %  12,345 of 24,000 zones  3.1 s */
#ifndef AZOTH_TOOLS_PROGRESS_H
#define AZOTH_TOOLS_PROGRESS_H

#include "base/stat.h"

struct progress;

/* what, unit: literals. total 0: unknown, only the count is shown. NULL in *out when nothing is to be drawn; all
 * functions accept that. */
void progress_open(struct progress **out, const char *what, const char *unit, uint64_t total);
void progress_set(struct progress *p, uint64_t done);       /* any one thread */
/* Takes the bar off the screen and keeps it off until progress_show: for lines printed in between. */
void progress_hide(struct progress *p);
void progress_show(struct progress *p);
void progress_close(struct progress *p);

#endif
