/* azoth-core's side of the fleet: receipts come in at core.collect, commits from the writing thread.
 *
 *     writing thread   told ─► core_fleet_committed ─► waiting list (lock)
 *     loop thread      collect ─► fleet_take             core_fleet_look: the waiting commits, then the fleet         */
#ifndef AZOTH_BUILDER_CORE_FLEET_H
#define AZOTH_BUILDER_CORE_FLEET_H

#include "base/stat.h"
#include "replicator/fleet.h"

#define CORE_FLEET_WAITING 8192         /* commits that the loop has not looked at; more cannot be measured */

struct core;
struct core_fleet;
/* Behind core->nodes, which is listed at once, and the store. Without core.collect nobody is ever heard. */
MUST_USE enum err core_fleet_open(struct core *c, struct fault *fault);
void core_fleet_close(struct core *c);
/* Writing thread; f NULL is fine. */
void core_fleet_committed(struct core_fleet *f, const struct head *head);
/* This list takes the place of core->nodes, which may go then; NULL: nobody. ERR_NOMEM: as before. */
MUST_USE enum err core_fleet_listed(struct core *c, const struct nodes *nodes);
/* The fleet with all commits that were told; borrowed until the loop turns. */
struct fleet *core_fleet_look(struct core_fleet *f);
/* How many nodes send receipts, or may be about to: of those that never did none, some seconds behind the start. */
uint64_t core_fleet_heard(struct core_fleet *f);
/* Now and then: says whose data is wrong. */
void core_fleet_tick(struct core_fleet *f);
void core_fleet_metrics(struct core_fleet *f, struct stat_page *page);

#endif
