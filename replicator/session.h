/* The session of an edge with its upstream: between the replica, which asks and is answered in plain, and the link. Signs
 * what goes out, opens what comes in, says hello by itself when there is no nonce, and fetches cluster keys. Pure.
 *
 *     replica ── ask ──► session_ask ──► signed ──► link            a hello goes as it is
 *     replica ◄─ plain ─ session_reply ◄─ sealed ── link            only hellos and errors may come in plain
 *
 * One request is on its way at a time. While the session asks for itself (a hello, the keys) the replica's request waits,
 * and goes out behind it; a hello of the replica's goes out at once and puts an end to whatever was asked.
 * A key is taken only when a record names it (session_want_key): nobody on the way can fill our ring with others. */
#ifndef AZOTH_REPLICATOR_SESSION_H
#define AZOTH_REPLICATOR_SESSION_H

#include "replicator/seal.h"

#define SESSION_WAIT_MS 3000            /* for what the session asks itself */
#define SESSION_KEY_LAST_MS 1000        /* a key that the upstream lacks too is asked for again after 20, 40 ... ms */

struct session;
/* key: copied; node: our name, borrowed. */
MUST_USE enum err session_open(struct session **out, const struct node_key *key, const char *node);
void session_close(struct session *s);                          /* NULL is fine */
/* The links are new: whoever answers there has not said hello yet. */
void session_reset(struct session *s);

/* In each, *send: what is to go to the upstream now, empty: nothing. Borrowed until the next call. */
void session_ask(struct session *s, struct bytes ask, uint64_t now_ms, struct bytes *send);
/* *plain: for the replica; empty: it was none of its business. Borrowed from msg, or until the next call. ERR_SIGNATURE:
 * not sealed, not for us, or the answer to another request; other errors: shape. */
MUST_USE enum err session_reply(struct session *s, struct bytes msg, uint64_t now_ms, struct bytes *plain, struct bytes *send);
void session_tick(struct session *s, uint64_t now_ms, struct bytes *send);

/* This cluster key is wanted until it comes; 0: none any more. */
void session_want_key(struct session *s, uint64_t id, uint64_t now_ms, struct bytes *send);
/* true, once: it came. */
bool session_take_key(struct session *s, uint8_t key[CLUSTER_KEY_LEN]);
/* The reply_error, once, with which a request for keys was refused; 0: none was. */
uint64_t session_take_refusal(struct session *s);
/* Name of the upstream's node; empty before its hello. Borrowed. */
const char *session_upstream(const struct session *s);

#endif
