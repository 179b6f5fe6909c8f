/* Catalog zones at work: a thread of their own, which looks at a catalog whenever it was transferred, its settings changed, or
 * azoth-core starts, and makes its members what it says (catalog.h), some changes at a time.
 *
 *     secondary: transferred ─► catalogs_changed ─┐                                       ┌─► changer: CREATE, EDIT, REMOVE
 *     API: force ─► catalogs_wanted ──────────────┼─► look: store, source ─► steps ─► batch ─► all told ─► the next batch
 *     source's version moved, start ──────────────┘
 *
 * A catalog zone that is removed takes its members along (the changer asks for force when it has some); one whose setting catalog
 * is taken away lets them go: they stay as secondaries like any other. */
#ifndef AZOTH_BUILDER_CATALOGS_H
#define AZOTH_BUILDER_CATALOGS_H

#include "base/stat.h"
#include "builder/catalog.h"
#include "builder/change.h"

struct catalogs;
struct catalogs_options { struct store *store; struct source *source; struct changer *changer; };
MUST_USE enum err catalogs_open(struct catalogs **out, const struct catalogs_options *o, struct fault *fault);
/* No change is put behind it. Before changer_close; NULL is fine. */
void catalogs_stop(struct catalogs *cs);
/* Behind changer_close, when all changes were told. NULL is fine. */
void catalogs_close(struct catalogs *cs);

/* Any thread. This zone has new data; nothing when it is no catalog. */
void catalogs_changed(struct catalogs *cs, struct bytes apex);
/* Any thread. Members may go, however many, as the catalog says now: once. */
void catalogs_wanted(struct catalogs *cs, struct bytes apex);

/* How they stand; read in any thread. */
struct catalog_reports catalogs_reports(struct catalogs *cs);
void catalogs_metrics(struct catalogs *cs, struct stat_page *p);

#endif
