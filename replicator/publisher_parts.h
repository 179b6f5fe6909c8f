/* Inside the publisher: its state, and what its files do for each other.
 *
 *     publisher_tell.c   announcing: what subscribers may know, the lot, the queue of what was posted. Any thread, under the lock
 *     publisher.c        serving requests, events, metrics, life. The loop's thread */
#ifndef AZOTH_REPLICATOR_PUBLISHER_PARTS_H
#define AZOTH_REPLICATOR_PUBLISHER_PARTS_H

#include "base/log.h"
#include "replicator/link.h"
#include "replicator/lot.h"
#include "replicator/publisher.h"

#include <pthread.h>

struct post { struct signed_head head; uint8_t *record; size_t len; };
/* What subscribers may know. */
struct told {
    bool has_head;
    struct signed_head head;            /* the newest that may be told */
    uint64_t head_epoch, head_seq;
    uint64_t limit, limit_epoch;        /* records up to this seq, of that epoch, are served */
    uint64_t nodes;                     /* of the fleet; 0: not known */
};

struct publisher {
    struct publisher_options o;
    struct link *pub, *rep;
    struct log_reader *reader;
    struct event *on_request, *on_post, *on_beat, *on_look, *on_more;
    int wake;                           /* eventfd: something was posted */
    pthread_mutex_t lock;               /* of what follows, and of who announces: in the order of the log */
    struct told told;
    uint8_t announcement[ANNOUNCE_MAX]; /* being written */
    struct lot lot;                     /* goes out as one message */
    struct post queue[PUBLISHER_QUEUE_MAX];
    size_t queue_n, queue_bytes;
    bool handing;                       /* the loop is announcing what it took */
                                        /* the loop's from here on */
    struct post taken[PUBLISHER_QUEUE_MAX];         /* what it is announcing */
    struct told seen;                   /* told, as it was when the request at hand came */
    bool rotten;                        /* the data: what was copied from it would be refused at its last byte */
    uint64_t told_bare_epoch, told_bare_seq;    /* relay: a head that went out before its records could be served; seq 0: none */
    struct gate *gate;
    uint8_t *out, *sealed;              /* REPLY_MAX, and SEAL_EXTRA more: reply being written, and the same sealed */
    uint8_t *record;                    /* RECORD_MAX */
    struct snapserve *snapshots;
    struct log_brake brake;
    struct { uint64_t unsent, beats, hello, records, keys, snapshots, unknown, failed, records_out, bytes_out; } n;
    stat_count announced, dropped, collapsed, seq;     /* counted by who announces or posts */
};

/* --- publisher_tell.c ------------------------------------------------------------------------------------------------------- */
/* First of all; ERR_NOMEM: to be closed all the same. */
MUST_USE enum err publisher_tell_open(struct publisher *p);
void publisher_tell_close(struct publisher *p);
/* The store's head, when it has one, may be told from the beginning. Before anybody announces. */
MUST_USE enum err publisher_tell_first(struct publisher *p, struct fault *fault);
/* wake is readable: announces what was posted. */
void publisher_tell_posted(struct publisher *p);
/* A second went by: the beat's head. */
void publisher_tell_beat(struct publisher *p);
/* What may be told now. */
struct told publisher_told(struct publisher *p);

#endif
