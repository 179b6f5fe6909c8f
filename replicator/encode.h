/* Ops to log records: cuts a transaction into parts, compresses, encrypts, chains and signs them. No store, no clock.
 *
 *     encoder_begin ► encoder_part (once per part, while `more`) ► encoder_record
 *
 * The last part's record needs the head, and the head needs the chain hash of the last body: so a part is first a body
 * with its chain hash (encoder_part), then a record (encoder_record). */
#ifndef AZOTH_REPLICATOR_ENCODE_H
#define AZOTH_REPLICATOR_ENCODE_H

#include "replicator/record.h"

struct encoder;
MUST_USE enum err encoder_open(struct encoder **out, const uint8_t cluster[CLUSTER_LEN], const struct node_key *key);
void encoder_close(struct encoder *e);          /* NULL is fine */

/* From the next transaction on: ops are encrypted under this key (copied). id 0: they are not. */
void encoder_secret(struct encoder *e, uint64_t id, const uint8_t key[RECORD_SECRET_KEY_LEN]);

/* A transaction behind `at`. ops: borrowed until the last part is made; each within the store's limits. */
void encoder_begin(struct encoder *e, const struct position *at, uint64_t epoch, uint64_t time_ms,
                   const struct op *ops, size_t n);
/* Behind encoder_begin: the witness of the record before, which its first part is to have. */
void encoder_witness(struct encoder *e, const uint8_t witness[CHAIN_LEN]);
/* The next part: position of it into *out; its `more` says whether further ones follow. */
MUST_USE enum err encoder_part(struct encoder *e, struct position *out);
/* The record of the part just made; head: NULL for a part that more follow. Borrowed until the next encoder_part.
 * blanks: where the signature is to be filled in (record_sign); NULL: a part is signed at once, and head was. */
MUST_USE enum err encoder_record(struct encoder *e, const struct signed_head *head, struct bytes *out,
                                 struct record_blanks *blanks);

#endif
