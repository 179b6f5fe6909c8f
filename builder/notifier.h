/* NOTIFY to those who take a zone from here (RFC 1996): which one goes out when. Pure: a clock and answers in, datagrams out.
 *
 *     the zone's SOA changed ─► notifier_changed ─► notifier_next ─► datagram ... again after 1, 2, 4, 8, 16 s ─► notifier_answered
 *
 * One question for each target and zone is open at a time. What changes meanwhile waits for its answer (at most a second) and is told
 * then, with the newest SOA alone: the first change leaves at once, steady ones no faster than one in NOTIFIER_QUIET_MS, and a target
 * that does not answer hears one a second. After the last try it is left to its own refresh timer. */
#ifndef AZOTH_BUILDER_NOTIFIER_H
#define AZOTH_BUILDER_NOTIFIER_H

#include "base/net.h"
#include "builder/notify.h"
#include "wire/tsig_sign.h"

#define NOTIFIER_TRIES 6
#define NOTIFIER_QUIET_MS 100u          /* between two changes of a zone told to one target */
#define NOTIFIER_OPEN_MAX 16384         /* questions; the zones behind that are not told */
#define NOTIFIER_SOA_MAX (2 * NAME_MAX_LEN + 20)

struct notify_target { struct net address; uint16_t port; struct name key; };      /* key: signs; length 0: none */
#define NOTIFY_KEY_WORD " key:"
/* "ADDRESS" or "ADDRESS@PORT", port 53 else, and " key:NAME" behind it when a TSIG key signs. ERR_BAD. */
MUST_USE enum err notify_target_parse(const char *text, struct notify_target *out);

struct notifier;
/* A target has not answered what it was sent about a zone for NOTIFIER_SILENT_MS: told once, until it answers or was given up. */
typedef void notifier_silent_fn(void *arg, struct bytes apex, const struct notify_target *to, uint64_t silent_ms);
#define NOTIFIER_SILENT_MS 15000u
MUST_USE enum err notifier_open(struct notifier **out, notifier_silent_fn *silent, void *arg);
void notifier_close(struct notifier *n);                    /* NULL is fine */
/* Targets that are not in `to` any more are not told. soa: RDATA. ERR_LIMIT: too many are open. ERR_NOMEM. */
MUST_USE enum err notifier_changed(struct notifier *n, struct bytes apex, struct bytes soa, uint32_t ttl,
                                   const struct notify_target *to, size_t to_n, uint64_t now_ms);
/* The next datagram that is due: its length and where it goes; 0: none now. It is still to be signed when to->key is there. */
size_t notifier_next(struct notifier *n, uint64_t now_ms, uint8_t *out, size_t cap, struct notify_target *to);
/* The datagram that notifier_next gave last was signed: the answer must be, too. Takes the chain. */
void notifier_signed(struct notifier *n, struct tsig_chain *chain);
/* When notifier_next has something again; UINT64_MAX: nothing is open. */
uint64_t notifier_due_ms(const struct notifier *n);

/* A message that came from there. ANSWERED: nobody waits for it any more; any rcode ends it: whoever answers was told. UNSIGNED: it
 * answers what we signed, without a good signature: waited for as before. */
enum notifier_heard { NOTIFIER_NOT_OURS, NOTIFIER_ANSWERED, NOTIFIER_UNSIGNED };
enum notifier_heard notifier_answered(struct notifier *n, struct bytes addr, uint16_t port, struct bytes msg, uint64_t now_ms,
                                      uint64_t now_s, uint16_t *rcode);
struct notifier_figures { size_t open; uint64_t sent, answered, given_up; };
void notifier_figures(const struct notifier *n, struct notifier_figures *out);

#endif
