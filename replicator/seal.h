/* What keeps requests and replies between nodes to those who are meant: signed requests, sealed replies. Pure: bytes in,
 * bytes out; libsodium's high-level calls only. DESIGN: "Security"; FORMAT.md section 7.
 *
 *     edge                                            core or relay
 *     hello ─────────────────────────────────────────►
 *           ◄───────────────────── nonce, server's pub
 *     seal_request: [16, node, nonce, number, request, sig] ─► seal_open: nonce is ours, node is listed, signature fits
 *           ◄─────────────── [16, n, box] ◄─ seal_reply: crypto_box between both nodes' keys (as X25519)
 *     seal_open_reply: the box opens, and it answers this very request
 *
 * A request's signature covers "azoth request 1" 00, the server's nonce, the number, the node's name and the request. The
 * box holds BLAKE2b-128 of the signed request, then the reply: who swaps replies is found out. A repeated request is
 * answered again; it is a read, and only its signer can open the answer. No clock has a part in it. */
#ifndef AZOTH_REPLICATOR_SEAL_H
#define AZOTH_REPLICATOR_SEAL_H

#include "replicator/message.h"

#define SEAL_EXTRA ((size_t)128)        /* a sealed reply is at most so much longer than the reply */
#define SEAL_HASH_LEN 16

struct seal_key { uint8_t shared[32]; };        /* of two nodes; both get the same. Costs a scalar multiplication: keep it */
/* ERR_BAD: the public key is no point that can be used. */
MUST_USE enum err seal_key_make(struct seal_key *out, const struct node_key *ours, const uint8_t theirs[32]);

/* request: the bytes to be signed. hash: to be kept for seal_open_reply. */
void seal_request(struct wr *w, const struct node_key *key, struct bytes node, const uint8_t nonce[NONCE_LEN], uint64_t number,
                  struct bytes request, uint8_t hash[SEAL_HASH_LEN]);
/* q: a request that was read with type MESSAGE_SIGNED; msg: the bytes it was read from. ERR_SIGNATURE. */
MUST_USE enum err seal_verify(const struct request *q, const uint8_t pub[32]);
void seal_hash(struct bytes msg, uint8_t hash[SEAL_HASH_LEN]);

/* The sealed reply to the request of that hash. ERR_NOSPACE. */
MUST_USE enum err seal_reply(struct wr *w, const struct seal_key *k, const uint8_t hash[SEAL_HASH_LEN], struct bytes reply);
/* r: a reply that was read with type MESSAGE_SEALED. *plain: in out (at least r->bytes.len). ERR_SIGNATURE: not sealed by
 * that node for us, or the answer to another request. */
MUST_USE enum err seal_open_reply(const struct reply *r, const struct seal_key *k, const uint8_t hash[SEAL_HASH_LEN],
                                  uint8_t *out, size_t cap, struct bytes *plain);

#endif
