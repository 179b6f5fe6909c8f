/* The replica: what an edge does about each message and each tick. Pure: bytes and a clock in, a to-do out; no socket,
 * no store, no log line, so that simulators run it a million times. Whoever owns it (edge_app.h, tests/sim) does the
 * to-do and tells the result of its job.
 *
 *     announce, reply, tick ─► replica_* ─► struct todo ─► shell: links, store ─► replica_stored ─► struct todo ─► ...
 *
 * States, as in the table of replica.c:
 *
 *                      behind         reached        lost         over
 *     LIVE             CATCHING_UP    LIVE           COPYING      -
 *     CATCHING_UP      fetch on       LIVE           COPYING      -
 *     COPYING          -              -              COPYING      CATCHING_UP
 *
 * lost: a fork or a digest that does not fit; or a snapshot is there and our data rotted, or is none yet, or stands where the
 * upstream's log does not reach back to. over: the copy has become the data; or what rotted can be followed on, because the
 * snapshot was no good.
 * Before COPYING the manifest of a snapshot is asked for, at least as new as our data; the core's signature of its head is
 * checked. Chunk by chunk goes into a fresh generation beside the data that goes on being served; the digest under the core's
 * signature decides, so any relay may be the source. While one chunk is loaded the next is on its way. After a cut, also with
 * another upstream, the manifest is asked for again: the same entries go on where they stood, others begin anew. What does
 * not fit is dropped and the next upstream asked. Data that rotted is followed until then, but for one that takes longer than
 * a few seconds it waits: what is made while we go on would never be new enough. When the records behind a fresh copy do
 * not fit either, the replica stops until a new epoch or a restart. An empty replica fetches a short log that is whole,
 * else it copies.
 *
 * An upstream that is silent for 3 s, or that for half a minute hands out nothing of what is asked for, is left for the
 * next one in the list; so is one whose log does not reach back to ours, once, before a snapshot is copied. A request that
 * stays without reply has its link opened anew (a todo's change with the upstream at hand). Whoever was left for another and
 * is the first of the list is tried again when the replica has been LIVE elsewhere for some minutes; each time that was in vain,
 * the next try takes twice as long to come.
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
#define REPLICA_HOME_MS 600000          /* half of it to all of it: then back to the first upstream */
#define REPLICA_HOME_MOST_MS 7200000    /* the same, when it was tried in vain again and again */
#define REPLICA_STALL_MS 30000          /* heads come, records do not: so long is normal while a relay fetches much */
#define REPLICA_RETRY_MS 5000           /* after the store refused */
#define REPLICA_BATCH 4096              /* records of one job */
#define REPLICA_LOG_SHORT 256           /* records: a log of so many is fetched whole by an empty replica */
#define REPLICA_COPY_PATIENCE_MS 60000  /* an upstream that says "later" for so long is left, when there are others */

enum replica_state { REPLICA_LIVE, REPLICA_CATCHING_UP, REPLICA_COPYING };
#define REPLICA_STATES 3
const char *replica_state_text(enum replica_state s);

/* What the store is to do. Result: where it stands afterwards, whatever came out. */
enum job_kind {
    JOB_NONE,
    JOB_STORE,      /* append the records to the log, then apply the log's complete transactions up to apply_to */
    JOB_COPY,       /* begin a fresh, empty generation for the snapshot of this manifest (dropping an unfinished one) */
    JOB_LOAD,       /* the manifest's next chunk: checked, its entries into the fresh generation */
    JOB_FLIP,       /* all chunks are in: digest compared with the signed head, then it becomes the data; the log is emptied */
    JOB_DROP,       /* the fresh generation, if there is one, is given up; data and log are as before. So does a LOAD or FLIP
                     * that fails, by itself */
};
/* Everything borrowed. */
struct job {
    enum job_kind kind;
    const struct bytes *records; size_t n; uint64_t apply_to;       /* STORE */
    struct bytes bytes;             /* COPY: the whole manifest; LOAD: the chunk as it came */
    size_t index;                   /* LOAD: which, from 0 */
};
struct job_result {
    enum err err;                       /* OK, ERR_KEY (the log has the records, the data waits for a key), ERR_FULL, ERR_DIGEST, ERR_BAD or ERR_LIMIT (data would be wrong), anything else */
    struct position log;                /* end of the log; that of the data when the log is empty */
    uint64_t complete;                  /* seq of the last complete transaction in the log */
    struct position applied;            /* the data that is served; a fresh generation counts from its flip */
};

/* What the operator should hear. a to e: numbers that the shell puts into words. */
enum note_kind {
    NOTE_JOINED, NOTE_LIVE, NOTE_BEHIND /* our seq, head's */, NOTE_SERVER_LOG /* seq we need, server's first */,
    NOTE_FORK /* seq */, NOTE_MISMATCH /* seq applied */, NOTE_STOPPED,
    NOTE_COPY /* seq of the snapshot, enum copy_why, upstream, chunks, bytes as they travel */,
    NOTE_COPIED /* seq, ms, entries */, NOTE_COPY_SAME /* chunk we go on at, upstream */,
    NOTE_COPY_BAD /* chunk from 1; more than there are: its digest. Chunks */, NOTE_LATER /* ms */, NOTE_FULL, NOTE_STORE, NOTE_RESUMED, NOTE_SILENT /* ms, next upstream */, NOTE_LEFT /* ms, next upstream */,
    NOTE_HOME /* ms, the first upstream */,
    NOTE_STALLED /* our seq, head's */,
    NOTE_ROTTEN /* our seq */,
    NOTE_TIMEOUT /* ms */, NOTE_REFUSED /* error code of the reply */, NOTE_HELLO /* server's first, last */,
};
struct note { enum note_kind kind; uint64_t a, b, c, d, e; };
#define TODO_NOTES 8
enum copy_why { COPY_NOT, COPY_FORK, COPY_MISMATCH, COPY_ROTTEN, COPY_LOG /* begins behind our place */, COPY_EMPTY,
                COPY_KEY /* nobody has the key of our next record any more */ };

/* To be done in this order. Bytes are borrowed from the message or the replica until its next call. */
struct todo {
    bool join;                          /* store_join: the first verified head says which cluster */
    uint8_t cluster[CLUSTER_LEN];
    bool heard;                         /* a newer head than all before: tell our own subscribers */
    struct signed_head head;
    struct bytes forward;               /* the announcement it came in, to be sent on unchanged; empty: came in a reply */
    uint64_t nodes;                     /* that the announcement tells of; 0: it does not */
    bool change;                        /* close the links, open those of this upstream (also: the same one anew) */
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
/* The same for several announcements that wait: they share a signature where they can (replica_proof.c), and a job.
 *
 *     replica_gather, replica_gather ... ─► replica_hear, its todo, replica_hear, its todo ... ─► replica_go, its todo
 *
 * gather copies; false: no more before those are heard. hear gives them back in their order, each as replica_announce (*err),
 * but without job and request; heads that the same lot has newer ones of are passed over. false: none is left. */
bool replica_gather(struct replica *r, struct bytes msg);
bool replica_hear(struct replica *r, uint64_t now_ms, enum err *err, struct todo *todo);
void replica_go(struct replica *r, uint64_t now_ms, struct todo *todo);
MUST_USE enum err replica_reply(struct replica *r, struct bytes msg, uint64_t now_ms, struct todo *todo);
void replica_tick(struct replica *r, uint64_t now_ms, struct todo *todo);
void replica_stored(struct replica *r, const struct job_result *result, uint64_t now_ms, struct todo *todo);
/* The data is not what it should be (bit rot): copied anew; until a snapshot is there the data goes on being followed. For
 * the next tick. */
void replica_rotten(struct replica *r);
/* A cluster key came that a job lacked (ERR_KEY): it is done again now, with the next tick. */
void replica_keyed(struct replica *r);
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
    uint64_t heads, duplicates, signatures /* looked at */, fetches, timeouts, changes, forks, mismatches;
    uint64_t copies, chunks, resumed, copies_bad;       /* begun; loaded; gone on with after a cut; that did not fit */
    uint64_t copy_done, copy_chunks;    /* of the copy at hand; 0: none */
    uint64_t bad_shape, bad_signature, bad_cluster, bad_epoch, bad_format, bad_gap;
};
void replica_figures(const struct replica *r, uint64_t now_ms, struct replica_figures *out);

#endif
