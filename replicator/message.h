/* Messages between nodes: what travels over the sockets. MessagePack arrays; the first element is the type, further
 * elements may be added behind those named here and are skipped by old readers. FORMAT.md section 7.
 *
 *     PUB/SUB    announce   [1, head, sig]                      heartbeat, or a commit whose record is fetched
 *                           [1, head, sig, record]              a commit whose record is small
 *                           [1, head, sig, record or nil, nodes]            the same two, with the size of the fleet
 *                lot        [2, [announcement ...]]             several of them, as bytes (replicator/lot.h)
 *     REQ        hello      [1, node]
 *                records    [2, epoch, after seq, max bytes]
 *                manifest   [3, epoch, least seq, offset]       of a snapshot of at least that position
 *                chunk      [4, epoch, seq, index]              of the snapshot taken at that position
 *                keys       [5]                                 the cluster keys
 *                signed     [16, node, nonce, number, request, sig]        one of the above but hello
 *     REP        error      [0, code, text, wait ms]
 *                hello      [1, nonce, cluster, first, last, node, pub]
 *                records    [2, after seq, first, last, head, sig, [record ...]]      head and sig: nil when there is none
 *                manifest   [3, head, sig, total, offset, bytes]          a piece of it; total: its length
 *                chunk      [4, epoch, seq, index, bytes]                 as stored
 *                keys       [5, [key ...]]                                 the newest first
 *                sealed     [16, nonce, box]                               one of the above
 *     PUSH/PULL  receipt    [1, body, sig]                                 replicator/receipt.h
 *
 * Everything but hello and errors travels signed and sealed (replicator/seal.h). A request of an unknown type gets an error
 * reply, an announcement of one is ERR_FORMAT. */
#ifndef AZOTH_REPLICATOR_MESSAGE_H
#define AZOTH_REPLICATOR_MESSAGE_H

#include "replicator/record.h"

#define NONCE_LEN 16
#define NODE_NAME_MAX 255
#define ANNOUNCE_MAX ((size_t)128 * 1024)           /* what a subscriber takes */
#define REQUEST_MAX ((size_t)8 * 1024)
#define REPLY_MAX ((size_t)2 * 1024 * 1024)
#define REPLY_RECORDS_MAX ((size_t)3 * 512 * 1024)  /* bytes of records in one reply */
#define REPLY_MANIFEST_MAX ((size_t)512 * 1024)     /* bytes of a manifest in one reply */
#define REPLY_KEYS_MAX 64
#define CLUSTER_KEY_LEN 32
#define SEAL_NONCE_LEN 24
#define REPLY_RECORDS_MIN ((size_t)64 * 1024)       /* less is not asked for */

enum message_type {
    MESSAGE_ERROR = 0, MESSAGE_ANNOUNCE = 1, MESSAGE_LOT = 2,      /* announcements and requests number apart */
    MESSAGE_HELLO = 1, MESSAGE_RECORDS = 2, MESSAGE_MANIFEST = 3, MESSAGE_CHUNK = 4, MESSAGE_KEYS = 5,
    MESSAGE_SIGNED = 16, MESSAGE_SEALED = 16,
};
enum reply_error {
    REPLY_UNKNOWN = 1, REPLY_MALFORMED = 2,
    REPLY_STORE = 3,        /* cannot read what was asked for */
    REPLY_LATER = 4,        /* ask again in wait ms: a snapshot is being made, others are being served, too fast */
    REPLY_UNLISTED = 5,     /* no such node in our list, or another key */
    REPLY_NONCE = 6,        /* the request was signed under a nonce that is none of ours: hello first */
    REPLY_GONE = 7,         /* that snapshot is not kept any more: begin with its manifest */
};

/* --- announce ------------------------------------------------------------------------------------------------------ */
/* record: empty when not there. nodes: how many the core hears of; 0: not said. No signature covers it, and nothing but the
 * pace of receipts follows from it. */
struct announce { struct signed_head head; struct bytes record; uint64_t nodes; };
void announce_put(struct wr *w, const struct signed_head *head, struct bytes record);
void announce_put_nodes(struct wr *w, const struct signed_head *head, struct bytes record, uint64_t nodes);
/* ERR_BAD: a lot too, which may not stand where one announcement should. ERR_FORMAT: of a type that this version does not know. */
MUST_USE enum err announce_read(struct bytes in, struct announce *out);

/* --- requests ------------------------------------------------------------------------------------------------------ */
struct request {
    uint64_t type;
    struct bytes node;                      /* hello, signed */
    uint64_t epoch;                         /* records, manifest, chunk */
    uint64_t after, max_bytes;              /* records */
    uint64_t seq;                           /* manifest: at least; chunk: exactly */
    uint64_t offset;                        /* manifest: in its bytes; chunk: index from 0 */
    uint8_t nonce[NONCE_LEN];               /* signed */
    uint64_t number;                        /* no two alike under one nonce */
    struct bytes inner;                     /* the request that was signed */
    uint8_t sig[64];
};
void request_put(struct wr *w, const struct request *r);
/* ERR_FORMAT: a type that this version does not know (out->type says which). */
MUST_USE enum err request_read(struct bytes in, struct request *out);

/* --- replies ------------------------------------------------------------------------------------------------------- */
struct reply {
    uint64_t type;
    uint64_t code, wait_ms;                 /* error */
    struct bytes text;                      /* error text, or the server's node name */
    uint8_t pub[32];                        /* hello: the server's node key */
    uint8_t nonce[NONCE_LEN], cluster[CLUSTER_LEN];     /* hello */
    uint64_t after, first, last;            /* the server's log range; both 0: empty */
    bool has_head;                          /* records */
    struct signed_head head;                /* manifest too */
    struct rd list;                         /* records, keys: read with reply_next */
    uint32_t left;
    uint64_t total, offset;                 /* manifest; offset: chunk's index too */
    uint64_t epoch, seq;                    /* chunk */
    struct bytes bytes;                     /* manifest, chunk; sealed: the box */
    uint8_t seal_nonce[SEAL_NONCE_LEN];
};
MUST_USE enum err reply_read(struct bytes in, struct reply *out);
/* The next record's or key's bytes, borrowed from the reply; false at the end. */
bool reply_next(struct reply *r, struct bytes *record);

void reply_error_put(struct wr *w, enum reply_error code, const char *text, uint64_t wait_ms);
void reply_hello_put(struct wr *w, const uint8_t nonce[NONCE_LEN], const uint8_t cluster[CLUSTER_LEN],
                     uint64_t first, uint64_t last, const char *node, const uint8_t pub[32]);
void reply_manifest_put(struct wr *w, const struct signed_head *head, uint64_t total, uint64_t offset, struct bytes bytes);
void reply_chunk_put(struct wr *w, uint64_t epoch, uint64_t seq, uint64_t index, struct bytes bytes);
/* keys: n times CLUSTER_KEY_LEN bytes. */
void reply_keys_put(struct wr *w, const uint8_t *keys, size_t n);
void reply_sealed_put(struct wr *w, const uint8_t nonce[SEAL_NONCE_LEN], struct bytes box);
/* What stands before the records; the caller then writes `count` records with msg_put_bin. head may be NULL. */
void reply_records_put(struct wr *w, uint64_t after, uint64_t first, uint64_t last, const struct signed_head *head,
                       uint32_t count);

#endif
