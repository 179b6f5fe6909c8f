/* NOTIFY to those who take a zone from here (RFC 1996): which one goes out when. Pure: a clock and answers in, datagrams out.
 *
 *     the zone's SOA changed ─► notifier_changed ─► notifier_next ─► datagram ... again after 1, 2, 4, 8, 16 s ─► notifier_answered
 *
 * One question for each target and zone is open at a time, with the newest SOA. After the last try the target is left to its own
 * refresh timer. */
#ifndef AZOTH_BUILDER_NOTIFIER_H
#define AZOTH_BUILDER_NOTIFIER_H

#include "base/net.h"
#include "builder/notify.h"

#define NOTIFIER_TRIES 6
#define NOTIFIER_OPEN_MAX 16384         /* questions; the zones behind that are not told */
#define NOTIFIER_SOA_MAX (2 * NAME_MAX_LEN + 20)

struct notify_target { struct net address; uint16_t port; };
/* ADDRESS or ADDRESS@PORT, port 53 else. ERR_BAD. */
MUST_USE enum err notify_target_parse(const char *text, struct notify_target *out);

struct notifier;
MUST_USE enum err notifier_open(struct notifier **out, uint64_t seed);      /* seed: of the ids */
void notifier_close(struct notifier *n);                    /* NULL is fine */
/* What was open for this zone is replaced. soa: RDATA. ERR_LIMIT: too many are open. ERR_NOMEM. */
MUST_USE enum err notifier_changed(struct notifier *n, struct bytes apex, struct bytes soa, uint32_t ttl,
                                   const struct notify_target *to, size_t to_n, uint64_t now_ms);
/* The next datagram that is due: its length and where it goes; 0: none now. */
size_t notifier_next(struct notifier *n, uint64_t now_ms, uint8_t *out, size_t cap, struct notify_target *to);
/* An answer that came from there. true: it was one, and is not waited for any more. Any rcode ends it: whoever answers was told. */
bool notifier_answered(struct notifier *n, struct bytes addr, uint16_t port, struct bytes msg, uint16_t *rcode);
struct notifier_figures { size_t open; uint64_t sent, answered, given_up; };
void notifier_figures(const struct notifier *n, struct notifier_figures *out);

#endif
