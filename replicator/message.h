/* Messages between nodes: what travels over the sockets. MessagePack arrays; the first element is the type, further
 * elements may be added behind those named here and are skipped by old readers. FORMAT.md section 7.
 *
 *     PUB/SUB    announce   [1, head, sig]                      heartbeat, or a commit whose record is fetched
 *                           [1, head, sig, record]              a commit whose record is small
 *     REQ        hello      [1, node]
 *                records    [2, epoch, after seq, max bytes]
 *     REP        hello      [1, nonce, cluster, first, last, node]
 *                records    [2, after seq, first, last, head, sig, [record ...]]      head and sig: nil when there is none
 *                error      [0, code, text]
 *
 * Kept free: requests 3 (snapshot manifest), 4 (snapshot chunk), 5 (receipt), 16 (a request inside a signed envelope),
 * and as a reply 16 (sealed). A request of an unknown type gets an error reply, an announcement of one is ERR_FORMAT. */
#ifndef AZOTH_REPLICATOR_MESSAGE_H
#define AZOTH_REPLICATOR_MESSAGE_H

#include "replicator/record.h"

#define NONCE_LEN 16
#define NODE_NAME_MAX 255
#define ANNOUNCE_MAX ((size_t)128 * 1024)           /* what a subscriber takes */
#define REQUEST_MAX ((size_t)8 * 1024)
#define REPLY_MAX ((size_t)2 * 1024 * 1024)
#define REPLY_RECORDS_MAX ((size_t)3 * 512 * 1024)  /* bytes of records in one reply */
#define REPLY_RECORDS_MIN ((size_t)64 * 1024)       /* less is not asked for */

enum message_type {
    MESSAGE_ERROR = 0, MESSAGE_ANNOUNCE = 1,        /* announcements and requests number apart */
    MESSAGE_HELLO = 1, MESSAGE_RECORDS = 2,
};
enum reply_error { REPLY_UNKNOWN = 1, REPLY_MALFORMED = 2, REPLY_STORE = 3 };

/* --- announce ------------------------------------------------------------------------------------------------------ */
struct announce { struct signed_head head; struct bytes record; };     /* record: empty when not there */
void announce_put(struct wr *w, const struct signed_head *head, struct bytes record);
MUST_USE enum err announce_read(struct bytes in, struct announce *out);

/* --- requests ------------------------------------------------------------------------------------------------------ */
struct request {
    uint64_t type;
    struct bytes node;                      /* hello */
    uint64_t epoch, after, max_bytes;       /* records */
};
void request_put(struct wr *w, const struct request *r);
/* ERR_FORMAT: a type that this version does not know (out->type says which). */
MUST_USE enum err request_read(struct bytes in, struct request *out);

/* --- replies ------------------------------------------------------------------------------------------------------- */
struct reply {
    uint64_t type;
    uint64_t code;                          /* error */
    struct bytes text;                      /* error text, or the server's node name */
    uint8_t nonce[NONCE_LEN], cluster[CLUSTER_LEN];     /* hello */
    uint64_t after, first, last;            /* the server's log range; both 0: empty */
    bool has_head;                          /* records */
    struct signed_head head;
    struct rd list;                         /* records: read with reply_next */
    uint32_t left;
};
MUST_USE enum err reply_read(struct bytes in, struct reply *out);
/* The next record's bytes, borrowed from the reply; false at the end. */
bool reply_next(struct reply *r, struct bytes *record);

void reply_error_put(struct wr *w, enum reply_error code, const char *text);
void reply_hello_put(struct wr *w, const uint8_t nonce[NONCE_LEN], const uint8_t cluster[CLUSTER_LEN],
                     uint64_t first, uint64_t last, const char *node);
/* What stands before the records; the caller then writes `count` records with msg_put_bin. head may be NULL. */
void reply_records_put(struct wr *w, uint64_t after, uint64_t first, uint64_t last, const struct signed_head *head,
                       uint32_t count);

#endif
