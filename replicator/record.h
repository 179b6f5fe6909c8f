/* Log records: the unit of the log, of announcements and of fetches. Encoded once, by the core; every hop stores and
 * forwards the same bytes. FORMAT.md section 6.
 *
 *     record   [body, part signature]              more parts of this transaction follow
 *              [body, head, head signature]        last (or only) part
 *     body     [cluster, epoch, seq, part, more, prev, time, codec, key id, ops]      and maybe: witness
 *     ops      (decrypted, decompressed) op op op ...      op: [1, ns, key, value] put | [2, ns, key] delete
 *
 * chain hash = BLAKE2b-256(body); prev = chain hash of the record before (zero for the very first one).
 * The part signature is Ed25519 over "azoth part 1" 00 chain hash; the head signature over "azoth head 1" 00 head. A head
 * names the chain hash of its body, so its signature binds both. Their times are the same: of all heads that the core signs
 * for one seq, the later ones in heartbeats, a record has only one, and its bytes are the same everywhere.
 * The chain binds bodies alone. The witness of the record before binds all of it: whoever has verified this record needs no
 * signature for that one. The core leaves it out where that record is not signed yet: behind large ones, and in large groups.
 * key id 0: ops stand there as they are; else they are 24 bytes of nonce and a secretbox under the cluster key of that id
 * (keyring.h). All else stays readable, so a record is checked, stored and forwarded without the key. */
#ifndef AZOTH_REPLICATOR_RECORD_H
#define AZOTH_REPLICATOR_RECORD_H

#include "base/arena.h"
#include "store/store.h"

#define RECORD_OPS_MAX ((size_t)1 << 20)        /* ops bytes of one part, plus one op's rest: see RECORD_MAX */
#define RECORD_MAX (((size_t)1 << 20) + 4096 + 4096)    /* a part holds at least one op: 1 MiB value + its key + framing */
#define RECORD_SECRET_EXTRA ((size_t)24 + 16)   /* what encryption adds to ops: nonce and tag */
#define RECORD_SECRET_KEY_LEN 32
#define RECORD_INLINE_MAX ((size_t)64 * 1024)   /* announced with the head up to this size */

struct node_key { uint8_t secret[64], pub[32]; };       /* Ed25519, libsodium's layout */

struct record {                 /* decoded; everything borrowed from the record's bytes */
    uint8_t cluster[CLUSTER_LEN];
    uint64_t epoch, seq, part, time_ms;
    bool more;
    uint8_t prev[CHAIN_LEN];
    uint8_t chain[CHAIN_LEN];   /* computed from body */
    uint64_t codec, key_id;     /* codec 0: plain, 1: zstd; key id 0: not encrypted */
    struct bytes body, ops;     /* ops as stored (maybe compressed, then maybe encrypted) */
    bool has_witness;
    uint8_t witness[CHAIN_LEN]; /* of the record before, which ends a transaction */
    uint8_t part_sig[64];       /* when more */
    bool has_head;              /* exactly when !more */
    struct head head;
    struct signed_head signed_head;
};
/* Shape only. ERR_SHORT, ERR_BAD, ERR_FORMAT (a codec that this version does not know). */
MUST_USE enum err record_read(struct bytes in, struct record *out);
/* What the first RECORD_FRONT_MAX bytes of a record tell, or fewer when it is shorter. Shape only, nothing is verified: for
 * who decides about records that are his own already. ERR_SHORT, ERR_BAD. */
#define RECORD_FRONT_MAX 128
struct record_front { uint64_t epoch, seq, part, time_ms; bool more; };
MUST_USE enum err record_front_read(struct bytes front, struct record_front *out);
/* The signature, and that head and body agree (cluster, epoch, seq, chain, time). ERR_SIGNATURE, ERR_BAD. */
MUST_USE enum err record_verify(const struct record *r, const uint8_t core_pub[32]);
/* The same without the signature, for who has verified this very signed head already. ERR_BAD. */
MUST_USE enum err record_agrees(const struct record *r);
MUST_USE enum err head_verify(const struct signed_head *sh, const uint8_t core_pub[32]);
void head_sign(struct signed_head *out, const struct head *h, const struct node_key *key);
/* The same with a blank signature: record_sign makes it. */
void head_put(struct signed_head *out, const struct head *h);

/* A place in the history: the record at (epoch, seq) has this chain hash. seq 0: before the first record. */
struct position {
    uint64_t epoch, seq;
    uint8_t chain[CHAIN_LEN];
    bool more;                  /* that record is a part (this one) that others must follow */
    uint64_t part;
};
static inline int position_compare(const struct position *a, const struct position *b)
{
    return a->epoch != b->epoch ? (a->epoch > b->epoch) - (a->epoch < b->epoch) : (a->seq > b->seq) - (a->seq < b->seq);
}
/* Is r the record right behind `at`? A new epoch's first record joins like any other: it names the old epoch's last
 * record by its prev and seq. ERR_EXISTS: at or before `at`. ERR_GAP: records lie between. ERR_EPOCH: of an older
 * epoch. ERR_FORK: the next seq, of another history. ERR_BAD: parts out of order. */
MUST_USE enum err record_joins(const struct position *at, const struct record *r);
void position_move(struct position *at, const struct record *r);

/* Ops in place of encrypted ones, in the arena: r->key_id becomes 0. key: that of r->key_id. Nothing to do for a record
 * that is not encrypted. ERR_BAD: it does not open. */
MUST_USE enum err record_decrypt(struct record *r, const uint8_t key[RECORD_SECRET_KEY_LEN], struct arena *a);
/* The ops of a record, decompressed into the arena where needed; *ops is an array inside the arena. zstd: of who reads many
 * (ZSTD_createDCtx); NULL: one is made for the call.
 * ERR_KEY: they are encrypted. ERR_BAD: ops break their format; ERR_LIMIT: they expand beyond RECORD_MAX. */
struct ZSTD_DCtx_s;
MUST_USE enum err record_ops(const struct record *r, struct ZSTD_DCtx_s *zstd, struct arena *a, struct op **ops, size_t *n);

/* --- encoding: for the committer, and for tests and models ------------------------------------------------------------ */
void op_put(struct wr *w, const struct op *op);
size_t op_size(const struct op *op);            /* at least what op_put writes */
/* The one rule by which the ops of a transaction fall into parts: does the part that holds *filled bytes take this op
 * too? Then it is counted in. A part takes its first op whatever its size. */
bool part_takes(size_t *filled, const struct op *op);
struct record_body {
    uint8_t cluster[CLUSTER_LEN], prev[CHAIN_LEN];
    uint64_t epoch, seq, part, time_ms, codec, key_id;
    bool more;
    struct bytes ops;           /* as stored */
    const uint8_t *witness;     /* CHAIN_LEN, of the record before; NULL: none */
};
/* Encrypts ops: nonce and box into out, RECORD_SECRET_EXTRA longer. The nonce is random. */
void record_encrypt(uint8_t *out, struct bytes ops, const uint8_t key[RECORD_SECRET_KEY_LEN]);
void record_body_put(struct wr *w, const struct record_body *b);
void record_chain(struct bytes body, uint8_t out[CHAIN_LEN]);
/* Of a record that ends a transaction: BLAKE2b-256 of its chain hash, head and signature. */
void record_witness(const uint8_t chain[CHAIN_LEN], const struct signed_head *sh, uint8_t out[CHAIN_LEN]);
/* The record around a body; sh: the signed head of the last part, NULL for a part that more follow, which is signed. */
void record_put(struct wr *w, struct bytes body, const uint8_t chain[CHAIN_LEN], const struct signed_head *sh,
                const struct node_key *key);
/* The same with room for the signature, which record_sign fills in: in another thread, when that helps. A record that
 * did not fit (w is full) has none. */
struct record_blanks { uint8_t chain[CHAIN_LEN]; size_t sig, head, head_len; };     /* offsets; head_len 0: no head */
void record_put_blank(struct wr *w, struct bytes body, const uint8_t chain[CHAIN_LEN], const struct signed_head *sh,
                      struct record_blanks *out);
void record_sign(uint8_t *record, const struct record_blanks *b, const struct node_key *key);

/* --- node keys: DIR/node.key (0600: base64 of the 64 bytes), DIR/node.pub ("ed25519:BASE64" line) ------------------- */
MUST_USE enum err node_key_make(const char *dir, bool replace, struct node_key *out, struct fault *fault);
/* ERR_NOTFOUND with a fault that says how to make one (azoth keygen). */
MUST_USE enum err node_key_load(const char *dir, struct node_key *out, struct fault *fault);
/* node.pub of that key, written when it is not there or another's: a key that was put back may come without it. */
MUST_USE enum err node_pub_keep(const char *dir, const struct node_key *key, struct fault *fault);
MUST_USE enum err node_pub_parse(const char *text, uint8_t out[32]);    /* "ed25519:BASE64" */
const char *node_pub_text(char *out, size_t cap, const uint8_t pub[32]);

#endif
