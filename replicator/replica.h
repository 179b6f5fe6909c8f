/* The replica: what an edge does about each message and each tick. Pure: bytes and a clock in, a to-do out; no socket,
 * no store, no log line, so that simulators run it a million times. Whoever owns it (edge_main.c, tests/sim) does the
 * to-do and tells the result of its job.
 *
 *     announce, reply, tick ─► replica_* ─► struct todo ─► shell: links, store ─► replica_stored ─► struct todo ─► ...
 *
 * States, as in the table of replica.c:
 *
 *                      behind         reached        fork       mismatch     flipped
 *     LIVE             CATCHING_UP    LIVE           COPYING    COPYING      -
 *     CATCHING_UP      fetch on       LIVE           COPYING    COPYING      -
 *     COPYING          fetch on       flip           anew       stop         LIVE
 *
 * COPYING fills a fresh generation beside the data that goes on being served, and changes over when it has reached the
 * head it set out for. A digest mismatch while copying stops the replica until a new epoch or a restart.
 *
 * An upstream that is silent for 3 s, whose log begins behind ours, or that tells of records for half a minute without
 * handing any out, is left for the next one in the list.
 *
 * A relay's log may begin late: it is thrown away after a crash of the machine. When a subscriber asks for what stood
 * before (replica_rebuild), the relay copies too, as soon as it sees that its upstream has the log from its beginning:
 * that is the only way to have it whole again.
 *
 * One job at a time: between a todo with a job and its replica_stored, further calls give no job; heads are taken all the
 * while, so a relay forwards them while a large transaction is being applied. */
#ifndef AZOTH_REPLICATOR_REPLICA_H
#define AZOTH_REPLICATOR_REPLICA_H

#include "replicator/message.h"

#define REPLICA_SILENCE_MS 3000         /* no newer head for so long: next upstream */
#define REPLICA_TICK_MS 250             /* replica_tick at least this often */
#define REPLICA_HELLO_MS 3000           /* replies are waited for so long */
#define REPLICA_FETCH_MS 10000
#define REPLICA_STALL_MS 30000          /* heads come, records do not: so long is normal while a relay fetches much */
#define REPLICA_RETRY_MS 5000           /* after the store refused */
#define REPLICA_BATCH 4096              /* records of one job */

enum replica_state { REPLICA_LIVE, REPLICA_CATCHING_UP, REPLICA_COPYING };
#define REPLICA_STATES 3
const char *replica_state_text(enum replica_state s);

/* What the store is to do. Result: where it stands afterwards, whatever came out. */
enum job_kind {
    JOB_NONE,
    JOB_STORE,      /* append the records to the log, then apply the log's complete transactions up to apply_to */
    JOB_COPY,       /* begin a fresh, empty generation (dropping an unfinished one) */
    JOB_FLIP,       /* the fresh generation becomes the data */
};
struct job { enum job_kind kind; const struct bytes *records; size_t n; uint64_t apply_to; };   /* records: borrowed */
struct job_result {
    enum err err;                       /* OK, ERR_FULL, ERR_DIGEST or ERR_BAD (data would be wrong), anything else */
    struct position log;                /* end of the log; that of the data when the log is empty */
    uint64_t complete;                  /* seq of the last complete transaction in the log */
    struct position applied;            /* the data */
};

/* What the operator should hear. a, b: numbers that the shell puts into words. */
enum note_kind {
    NOTE_JOINED, NOTE_LIVE, NOTE_BEHIND /* our seq, head's */, NOTE_SERVER_LOG /* seq we need, server's first */,
    NOTE_FORK /* seq */, NOTE_MISMATCH /* seq applied */, NOTE_STOPPED, NOTE_COPY /* seq of the target */,
    NOTE_COPIED /* seq */, NOTE_FULL, NOTE_STORE, NOTE_RESUMED, NOTE_SILENT /* ms, next upstream */, NOTE_LEFT /* ms, next upstream */,
    NOTE_STALLED /* our seq, head's */, NOTE_LOG_SHORT /* our seq */,
    NOTE_ROTTEN /* our seq */,
    NOTE_TIMEOUT /* ms */, NOTE_REFUSED /* error code of the reply */, NOTE_HELLO /* server's first, last */,
};
struct note { enum note_kind kind; uint64_t a, b; };
#define TODO_NOTES 6

/* To be done in this order. Bytes are borrowed from the message or the replica until its next call. */
struct todo {
    bool join;                          /* store_join: the first verified head says which cluster */
    uint8_t cluster[CLUSTER_LEN];
    bool heard;                         /* a newer head than all before: tell our own subscribers */
    struct signed_head head;
    struct bytes forward;               /* the announcement it came in, to be sent on unchanged; empty: came in a reply */
    bool change;                        /* close the links, open those of this upstream */
    unsigned upstream;
    struct bytes ask;                   /* request to send; replaces the one before; empty: none */
    struct job job;
    struct note notes[TODO_NOTES];
    unsigned notes_n;
};

struct replica_options {
    uint8_t core_pub[32];
    const char *cohort;                 /* borrowed, like node */
    const char *node;
    unsigned upstreams;                 /* at least 1 */
    uint64_t seed;                      /* of the jitter */
};
struct replica_start {                  /* what the store holds */
    uint8_t cluster[CLUSTER_LEN];       /* all zero: joined none yet */
    struct position log, applied;
    uint64_t complete;
    struct signed_head head;            /* of the data; len 0: empty */
};
struct replica;
MUST_USE enum err replica_open(struct replica **out, const struct replica_options *o, const struct replica_start *start,
                               uint64_t now_ms);
void replica_close(struct replica *r);                          /* NULL is fine */

/* Each fills *todo (zeroed first). The error says why a message was refused (and is counted by it): ERR_SHORT, ERR_BAD,
 * ERR_FORMAT: shape. ERR_SIGNATURE. ERR_CLUSTER: signed by our core's key, but of another cluster. ERR_EPOCH: of an
 * older epoch. Duplicates and what came late are OK and change nothing. The todo is to be done in every case. */
MUST_USE enum err replica_announce(struct replica *r, struct bytes msg, uint64_t now_ms, struct todo *todo);
MUST_USE enum err replica_reply(struct replica *r, struct bytes msg, uint64_t now_ms, struct todo *todo);
void replica_tick(struct replica *r, uint64_t now_ms, struct todo *todo);
void replica_stored(struct replica *r, const struct job_result *result, uint64_t now_ms, struct todo *todo);
/* A subscriber needs records from before our log's begin. For the next tick. */
void replica_rebuild(struct replica *r);
/* The data is not what it should be (bit rot): copied anew in the same way; until the upstream has its log from the
 * beginning the data goes on being followed. */
void replica_rotten(struct replica *r);
/* In how many ms replica_tick has something to do; at most REPLICA_TICK_MS. */
uint64_t replica_wake_ms(const struct replica *r, uint64_t now_ms);

/* --- figures ------------------------------------------------------------------------------------------------------- */
struct replica_figures {
    enum replica_state state;
    bool stopped, full, have_head, ever_heard;
    struct head newest;                 /* when have_head */
    uint64_t age_ms;                    /* since a newer head came; since the start when none did */
    struct position log, applied;
    unsigned upstream;
    uint64_t heads, duplicates, fetches, timeouts, changes, forks, mismatches, copies;
    uint64_t bad_shape, bad_signature, bad_cluster, bad_epoch, bad_format, bad_gap;
};
void replica_figures(const struct replica *r, uint64_t now_ms, struct replica_figures *out);

#endif
