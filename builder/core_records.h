/* What azoth-core keeps an eye on of its records, as replicator/watch.h does of the store: how full they are, and whether they can
 * be written. */
#ifndef AZOTH_BUILDER_CORE_RECORDS_H
#define AZOTH_BUILDER_CORE_RECORDS_H

#include "base/stat.h"
#include "builder/source.h"

struct records_watch {          /* zeroed at the start */
    unsigned mark;              /* the last one that was logged: 0, 70, 85, 95 */
    struct source_figures figures;
};
/* Looks, and logs what changed. false: they cannot be written any more, which was logged: the daemon has to end. One thread. */
bool records_watch_tick(struct records_watch *w, struct source *s);
/* azoth_records_*, as they are now. */
void records_watch_metrics(struct records_watch *w, struct source *s, struct stat_page *p);

#endif
