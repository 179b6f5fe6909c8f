/* Who is told that a zone changed: after each commit the zones whose SOA it touched are looked up, and NOTIFY goes to the addresses of
 * their settings (notifier.h), from the sockets of core.dns, in its thread.
 *
 *     writing thread ─► core_dns_changed ─► bell ─► core_notify_look ─► view_ring ─► notifier_changed ─► send
 *
 * Where the ring does not reach back (a compaction, many keys at once, a second of many commits to zones without secondaries) all zones of
 * the records are gone through, some at a time. Nothing is sent because of a start alone: what a dead core did not say is left to the
 * secondaries' refresh timers. */
#ifndef AZOTH_BUILDER_CORE_NOTIFY_H
#define AZOTH_BUILDER_CORE_NOTIFY_H

#include "base/stat.h"
#include "builder/notifier.h"
#include "builder/policies.h"
#include "store/store.h"

struct core_notify;
typedef void core_notify_send_fn(void *arg, const struct notify_target *to, struct bytes msg);
struct core_notify_options { struct store *store; struct source *source; core_notify_send_fn *send; void *arg; };
MUST_USE enum err core_notify_open(struct core_notify **out, const struct core_notify_options *o, struct fault *fault);
void core_notify_close(struct core_notify *c);              /* NULL is fine */
/* Something was committed; or once a second, for what is due again and for what is left to be gone through. */
void core_notify_look(struct core_notify *c);
/* How long until there is something to send for core_notify_look; UINT64_MAX: until something changes. */
uint64_t core_notify_wait_ms(const struct core_notify *c);
/* The zone's secondaries are told now, whether it changed or not. */
void core_notify_wanted(struct core_notify *c, struct bytes apex);
/* Is it an answer to one of ours? */
bool core_notify_answer(struct core_notify *c, struct bytes addr, uint16_t port, struct bytes msg);
void core_notify_metrics(const struct core_notify *c, struct stat_page *p);

#endif
