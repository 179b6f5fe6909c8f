/* Zone files read and scanned ahead of who builds them, by the crew. What is ahead is bounded by number and by memory. The
 * zones come in the order of the list. */
#ifndef AZOTH_BUILDER_READAHEAD_H
#define AZOTH_BUILDER_READAHEAD_H

#include "builder/load.h"

struct readahead_zone {
    size_t index;
    struct zone zone;
    struct complaints *complaints;
    enum err err;                   /* OK, or why the zone cannot be built: fault and complaints say more */
    struct fault fault;
};
struct readahead;
/* zones, crew: borrowed until close; crew may be NULL. */
MUST_USE enum err readahead_open(struct readahead **out, const struct load_zone *zones, size_t n, struct crew *crew,
                                 struct fault *fault);
/* The next zone, read here when it is not ahead; NULL: that was all. Give each back before the next. */
struct readahead_zone *readahead_take(struct readahead *ra);
/* Its records are not needed any more: the memory of many goes at once. */
void readahead_done(struct readahead_zone *rz);
void readahead_give_back(struct readahead *ra, struct readahead_zone *rz);
/* Whether all files are still those that were read (device, inode, size, time). *moved: the first that is not. */
bool readahead_unchanged(const struct readahead *ra, size_t *moved);
/* Waits for the zones being read. */
void readahead_close(struct readahead *ra);

#endif
