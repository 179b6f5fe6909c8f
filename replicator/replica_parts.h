/* Inside the replica: its state, and what its files do for each other.
 *
 *     replica.c         the table, time, results of jobs, life
 *     replica_take.c    messages: heads and records checked, replies handed to whom they are for
 *     replica_proof.c   several announcements at once: what one signature proves
 *     replica_copy.c    a snapshot: its manifest, its chunks, how far they are */
#ifndef AZOTH_REPLICATOR_REPLICA_PARTS_H
#define AZOTH_REPLICATOR_REPLICA_PARTS_H

#include "replicator/gathered.h"
#include "replicator/held.h"
#include "replicator/replica.h"
#include "store/snapshot.h"

#define BACKOFF_FIRST_MS 10             /* an upstream that has nothing yet is asked again after 10, 20, 40 ... */
#define BACKOFF_LAST_MS 1000

enum event { EV_BEHIND, EV_REACHED, EV_LOST, EV_OVER };
#define EVENTS 4
enum asked { ASKED_NOTHING, ASKED_HELLO, ASKED_RECORDS, ASKED_MANIFEST, ASKED_CHUNK };

/* A manifest on its way, piece by piece. */
struct copy_manifest {
    struct signed_head signed_head;     /* verified */
    struct head head;
    uint8_t *bytes;                     /* NULL: none */
    size_t total, got;
};
/* What is copied, and how far. */
struct copy {
    enum copy_why why;                  /* COPY_NOT: nothing is to be copied */
    uint64_t at_ms;                     /* not before: the next request */
    uint64_t begun_ms, given_ms;        /* the fresh generation was begun; the upstream's last answer to this */
    struct position asked;              /* the least that was asked for */
    uint64_t later_ms;                  /* the upstream has been saying "later" since; 0: it does not */
    uint64_t follow_ms;                 /* rotten data: first told "later", while it was followed; 0: not yet */
    bool halted;                        /* it is followed no more, else no snapshot would ever be new enough */
    uint64_t least_seq;                 /* of the snapshot, when it is of our data's epoch */
    unsigned fails, fulls;              /* in a row */
    unsigned slow;                      /* chunks that did not come in time: the next may take twice as long */
    unsigned vain;                      /* chunks in a row that were asked for and refused, however often the manifest came */
    struct copy_manifest coming;
    uint8_t *manifest;                  /* of the snapshot at hand; NULL: none yet */
    size_t manifest_len;
    struct snapshot_manifest m;         /* the same, read */
    bool sure;                          /* this upstream has it */
    bool fresh, begun;                  /* a fresh generation is there; it is for this snapshot */
    bool stale;                         /* the job being done is for another */
    size_t loaded, next;                /* chunks in it; the next to be asked for */
    uint8_t *waiting;                   /* a chunk that came while a job was done; room for the largest */
    size_t waiting_len;                 /* 0: none waits */
};

struct replica {
    struct replica_options o;
    enum replica_state state;
    bool joined;
    uint8_t cluster[CLUSTER_LEN];
    struct position log, applied;
    uint64_t complete;
    bool have_head, ever_heard;
    struct head newest;
    struct signed_head newest_signed;
    uint64_t heard_ms, changed_ms;      /* newest head came; this upstream was chosen */
    unsigned silences;                  /* changes of upstream without a newer head */
    uint64_t patience_ms;
    uint64_t stall_at_ms;               /* then the upstream has owed us for long what we ask for; 0: it does not */
    uint64_t hollow_at_ms;              /* then its log has been empty for long, though it tells of records; 0: it is not */
    uint64_t home_at_ms, home_ms;       /* then the first upstream is tried again; 0: we are there. The pause it was given last */
    bool home_tried;                    /* we came where we are by that */
    bool left_short;                    /* an upstream was left because its log does not reach back to ours */
    enum job_kind job;                  /* being done; JOB_NONE: none */
    uint64_t store_at_ms;               /* not before: the store refused */
    bool full, failed;
    uint64_t held_at;                   /* apply_to that made no progress: nothing ends there yet */
    uint64_t key_at_ms;                 /* until then records are stored, not applied: a cluster key is missing */
    uint64_t keyless_ms;                /* since then, for the same record; 0: none is missing */
    enum asked asked;
    uint64_t asked_ms, ask_at_ms, ask_bytes;
    uint64_t refused_ms;                /* nothing is asked before */
    uint64_t leave_at_ms;               /* then another upstream; 0: no such wish */
    unsigned empties;                   /* replies in a row that brought nothing */
    bool greeted;                       /* nothing else is asked before; the first fetch needs no head */
    bool log_will_do;                   /* no upstream has a snapshot for an empty replica */
    bool stopped, forked, rotten;
    bool suspect;                       /* the data is a fresh copy, made because a digest did not fit */
    uint64_t stopped_epoch, copied_ms;
    unsigned copies_near;
    struct copy copy;
    unsigned upstream;
    uint64_t random;
    struct replica_figures count;
    struct position job_end;            /* of the records of the job, when it stores some */
    struct held held;                   /* what was announced behind them */
    struct gathered gathered;           /* what came and is not heard yet */
    struct bytes batch[REPLICA_BATCH];
    uint8_t request[64 + NODE_NAME_MAX];
};

/* --- replica.c ------------------------------------------------------------------------------------------------------- */
void replica_note(struct todo *t, const struct note *n);
static inline void note(struct todo *t, enum note_kind kind, uint64_t a, uint64_t b)
{
    replica_note(t, &(struct note){ .kind = kind, .a = a, .b = b });
}
static inline uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}
uint64_t replica_jitter(struct replica *r, uint64_t n);         /* between n/2 and n */
void replica_ask(struct replica *r, enum asked what, const struct request *q, uint64_t now, struct todo *t);
void replica_give(struct replica *r, enum job_kind kind, size_t n, uint64_t now, struct todo *t);
/* Whatever is due now: a wish, a job, a request. */
void replica_step(struct replica *r, uint64_t now, struct todo *t);
void replica_happen(struct replica *r, enum event ev, uint64_t now, struct todo *t);
void replica_ask_later(struct replica *r, uint64_t now);
/* This upstream is no good: the next one, if there are several. */
void replica_leave(struct replica *r, enum note_kind why, uint64_t now, struct todo *t);
bool replica_behind(const struct replica *r);
/* Does the newest head belong to another history than our log? */
bool replica_fork_seen(const struct replica *r);

/* --- replica_take.c -------------------------------------------------------------------------------------------------- */
struct position replica_head_position(const struct head *h);
bool replica_same_signed(const struct signed_head *a, const struct signed_head *b);
/* verified: its signature was checked already. */
MUST_USE enum err replica_take_head(struct replica *r, const struct signed_head *sh, bool verified, uint64_t now,
                                    struct todo *t);

/* Signatures of the core's, counted. */
MUST_USE enum err replica_head_verify(struct replica *r, const struct signed_head *sh);

/* --- replica_proof.c ------------------------------------------------------------------------------------------------- */
/* Looks at all that is gathered. */
void replica_prove(struct replica *r);

/* --- replica_copy.c -------------------------------------------------------------------------------------------------- */
/* The wish for a snapshot. A fork and a mismatch are COPYING at once, the others when its manifest is there. */
void copy_want(struct replica *r, enum copy_why why, uint64_t now, struct todo *t);
void copy_keyed(struct replica *r);                     /* what COPY_KEY was about is solved: no copy, unless it is begun */
bool copy_holds_log(const struct replica *r);           /* records are neither asked for nor stored */
/* The job and the request that are due. */
void copy_jobs(struct replica *r, uint64_t now, struct todo *t);
void copy_asks(struct replica *r, uint64_t now, struct todo *t);
MUST_USE enum err copy_take_manifest(struct replica *r, const struct reply *reply, uint64_t now, struct todo *t);
MUST_USE enum err copy_take_chunk(struct replica *r, const struct reply *reply, uint64_t now, struct todo *t);
/* The upstream refused a manifest or chunk. */
void copy_refused(struct replica *r, const struct reply *reply, enum asked asked, uint64_t now, struct todo *t);
/* It refused a chunk of what it has given the manifest of: once is chance. */
void copy_in_vain(struct replica *r, uint64_t now, struct todo *t);
/* Rotten data is followed again, where that was halted. */
void copy_follow(struct replica *r, uint64_t now, struct todo *t);
/* What came instead of a manifest or chunk was none. */
void copy_garbled(struct replica *r, uint64_t now, struct todo *t);
/* The links are opened anew: what the upstream has is to be seen again. asked: what did not come in time. */
void copy_cut(struct replica *r, enum asked asked);
uint64_t copy_patience_ms(const struct replica *r);     /* for the request at hand */
/* When copy_asks has something to do; UINT64_MAX: not before something comes. */
uint64_t copy_due_ms(const struct replica *r);
/* Results of COPY, LOAD, FLIP, DROP. bad: what came does not fit, the store has nothing to do with it. */
void copy_stored_well(struct replica *r, enum job_kind job, uint64_t now, struct todo *t);
void copy_stored_badly(struct replica *r, enum job_kind job, bool bad, uint64_t now, struct todo *t);
void copy_release(struct replica *r);

#endif
