/* The simulator: a fleet over a bad network, in one thread and with a clock of its own. One core, replicas behind it and
 * behind each other as relays; every fault of a seed is drawn from that seed, so a seed plays again exactly.
 *
 *     world.c     events, network, trace            disk.c     a replica's store, step by step; what a crash leaves
 *     history.c   the core, and all it ever signed  shell.c    a replica with its links and jobs, as edge_jobs.c
 *     serve.c     the core and relays answer        faults.c   what a seed will suffer
 *     hostile.c   a relay that lies                 checks.c   what must hold, always and in the end
 *     memo.c      a signature is checked once */
#ifndef AZOTH_TESTS_SIM_SIM_H
#define AZOTH_TESTS_SIM_SIM_H

#include "tests/sim/model.h"

#include "replicator/lot.h"
#include "replicator/replica.h"
#include "store/snapshot.h"

#define NODES_MAX 11                /* node 0 is the core */
#define UPSTREAMS_MAX 3
#define QUIET_MS 600000             /* level by then */
#define CALM_MS 4000                /* and so for that long */
#define CHUNKS_MAX 32

/* --- figures: summed over all seeds; those with true must not be 0 over the default seeds ---------------------------- */
#define COUNTS(X)                                                                                   \
    X(JOBS, "jobs", true) X(APPLIED, "transactions applied", true) X(COPIES, "copies begun", true)  \
    X(CHUNKS, "chunks loaded", true) X(RESUMED, "copies resumed from another node", true)           \
    X(FLIPS, "flips", true) X(DROPS, "copies dropped", true) X(LOST, "messages lost", true)         \
    X(TWICE, "doubled", true) X(CUT, "cut off", true) X(LATE, "of earlier links", true)             \
    X(POWER, "power cuts", true) X(UNSYNCED, "with unsynced transactions", true)                     \
    X(WIPED, "disks replaced by empty ones", true)                                                  \
    X(FULL, "steps on a full disk", true) X(FULL_COPY, "of copies", true)                           \
    X(FAILED, "failed steps", true) X(KEYLESS, "waits for a key", true) X(HELD, "held back", true)          \
    X(SLOW, "slow steps", true) X(ROTS, "rotten entries", true)     \
    X(MISMATCH, "digests that did not fit", true) X(FALSE_COPY, "false copies refused", true)       \
    X(RESTORES, "restores of the core", true) X(TAILS, "lost tails of its log", true)               \
    X(RAISES, "epochs raised", true) X(TRIMS, "trimmed logs", true) X(SNAPSHOTS, "snapshots", true) \
    X(LATER, "told to come later", true) X(GONE, "snapshots gone", true)                            \
    X(TOGETHER, "announcements heard together", true) X(SPARED, "without a signature of their own", true)         \
    X(REFUSED, "messages refused", true) X(CHANGES, "changes of upstream", true)                    \
    X(BEHIND, "nodes left behind a hostile relay", false)
enum count {
#define X(name, text, must) N_##name,
    COUNTS(X)
#undef X
    COUNTS_N
};

/* Steps of jobs; between any two of them a node may crash. */
#define STEPS(X)                                                                                             \
    X(IDLE, "between jobs") X(COPYING, "between two chunks") X(APPEND, "before the log") X(APPLY, "log, not data") \
    X(APPLY_ON, "part of the data") X(COPY, "before a copy") X(LOAD, "before a chunk") X(CHECK, "before the digest") \
    X(RENAME, "before the flip") X(EMPTY, "flipped, log not emptied") X(DROP, "before a drop") X(TELL, "done, not told")
enum step {
#define X(name, text) STEP_##name,
    STEPS(X)
#undef X
    STEPS_N
};

#define LIES(X)                                                                                                    \
    X(SILENT, "holds back") X(GARBAGE, "garbage") X(FLIP, "a flipped bit") X(SHORT, "cut off") X(SWAP, "another reply") \
    X(ERROR, "errors") X(OLD_HEAD, "old heads") X(KEY_HEAD, "heads of another key") X(SWAP_RECORD, "a record that is another's") \
    X(HELLO, "a false greeting") X(RECORD, "altered records") X(KEY_RECORD, "records of another key") X(RANGE, "a false range") \
    X(HOLD, "no records") X(ORDER, "records out of order") X(BRANCH, "records of an older epoch") X(LATER_HEAD, "a record under a later head") \
    X(KEY_MANIFEST, "manifests of another key") X(OLD_MANIFEST, "manifests of a lower place") X(TOTAL, "a vast manifest") \
    X(PIECE, "pieces out of place") X(TABLE, "a false table") X(DATA, "false data under a true head") \
    X(FALSE_HEAD, "a false head around a true body") X(CHUNK, "another chunk") X(CHUNK_BYTES, "chunks of garbage")
enum lie {
#define X(name, text) LIE_##name,
    LIES(X)
#undef X
    LIES_N
};

struct tally { uint64_t n[COUNTS_N], crash[STEPS_N], lie[LIES_N]; size_t most_bytes; uint64_t most_asks; };

/* --- world ------------------------------------------------------------------------------------------------------------ */
enum kind { EV_TICK, EV_ANNOUNCE, EV_REQUEST, EV_REPLY, EV_COMMIT, EV_BEAT, EV_STEP, EV_CRASH, EV_UP, EV_EPOCH, EV_TROUBLE, EV_SCRUB,
            EV_LOOK, EV_HEAR };
struct event { uint64_t at, order; enum kind kind; int to, from; uint64_t tag; struct bytes msg; };

/* A record that the core made; state: the data behind it, when it ends a transaction. */
struct made { struct bytes record; uint8_t chain[CHAIN_LEN]; uint64_t epoch, seq; bool ends; struct model_data state; };

struct generation { struct model_data data; struct position applied; struct signed_head head; };

/* A snapshot as it is kept to be served. */
struct snapshot {
    struct position at;
    struct signed_head head;
    uint64_t ready_ms;
    struct bytes manifest, chunk[CHUNKS_MAX];       /* owned; manifest empty: there is none */
    size_t chunks;
};

struct disk {
    struct bytes log[MODEL_LOG + 1];                /* by seq */
    uint64_t first, last, complete;
    struct position log_end;
    struct generation data, settled;                /* settled: what a power cut leaves */
    bool loaded;                                    /* the mark in the data: its log is not of it */
    bool full, failing, keyless;                    /* keyless: a cluster key is not here yet */
    uint32_t rot;                                   /* keys whose entries are not what they were */
    struct generation fresh;
    struct snapshot_unpack *unpack;                 /* there is a fresh generation */
    uint8_t *manifest_bytes;
    struct snapshot_manifest manifest;
    size_t next;                                    /* chunk */
};

struct node {
    struct replica *replica;                        /* NULL: down */
    int gathered;                                   /* messages that wait to be heard */
    struct bytes told;                              /* the last announcement that was sent to it */
    uint64_t boot, link, ask_tag;                   /* what belongs to an earlier life, link or question is dropped */
    int upstreams[UPSTREAMS_MAX];
    unsigned upstreams_n, upstream;
    bool joined;
    struct disk disk;
    struct position shown;                          /* the data never moves back */
    struct head heard;                              /* nor do heads, in one life */
    struct job job;                                 /* of its own bytes */
    enum step step;
    enum err job_err;
    int job_from, load_from;                        /* who sent the chunk at hand, and the one before */
    bool has_head;                                  /* as a relay: newest head heard */
    struct signed_head head;
    struct snapshot kept, older;
    uint32_t lies;                                  /* hostile: which; 0: honest */
    unsigned lies_percent;
    bool true_heads;                                /* and true greetings: so nobody leaves it for these */
    struct snapshot lie;
    struct bytes last_reply;
    uint64_t bytes_held;                            /* by the replica */
    uint64_t asks, asks_since_ms;                   /* requests in this stretch of time */
    uint64_t disk_ms;
};

struct sim {
    uint64_t seed, now, order;
    bool trace;
    struct rnd rnd;
    struct tally *tally;
    struct model_core core;
    struct node_key evil;
    uint64_t core_first;                            /* its log begins there */
    bool core_down;
    struct node node[NODES_MAX];                    /* [0]: only what it serves with */
    int nodes;
    bool cut[NODES_MAX][NODES_MAX];
    bool level_wanted[NODES_MAX];
    unsigned loss, twice, crash, power, wipe, keys, hold, cuts, outages, full, fail, rot, trim, later;       /* percent, or per 1,000 */
    uint64_t delay_ms, end_ms, calm_ms, busy_ms;    /* busy_ms: what came may wait so long to be heard */
    bool quiet, done, hostile;
    struct event *heap;
    size_t heap_n, heap_cap;
    struct made *made;
    size_t made_n, made_cap;
    uint64_t *heads;                                /* of every head that the core signed, hashed; open addressing */
    size_t heads_n, heads_cap;
    struct signed_head *signed_head;                /* the same in order */
    size_t signed_n, signed_cap;
    struct snapshot_pack *pack;
    struct lot lot;
};

/* world.c */
_Noreturn void wrong(struct sim *s, int node, const char *what);
__attribute__((format(printf, 3, 4))) void say(const struct sim *s, int node, const char *format, ...);
void count(struct sim *s, enum count what);
bool chance(struct sim *s, unsigned percent);
bool chance_of_1000(struct sim *s, unsigned n);
void push(struct sim *s, struct event e);
struct event pop(struct sim *s);
void later(struct sim *s, uint64_t in_ms, enum kind kind, int to);
void transmit(struct sim *s, enum kind kind, int from, int to, uint64_t tag, struct bytes msg);
uint64_t bytes_hash(struct bytes b, uint64_t start);
const char *step_text(enum step step);
const char *lie_text(enum lie lie);
const char *count_text(enum count what, bool *must);

/* history.c */
void history_open(struct sim *s);
void history_close(struct sim *s);
void core_commit(struct sim *s);
void core_beat(struct sim *s);
void core_epoch(struct sim *s);
void core_trim(struct sim *s);
void core_hold(struct sim *s, bool on);
const struct made *made_find(const struct sim *s, const uint8_t chain[CHAIN_LEN]);
bool head_made(const struct sim *s, const struct signed_head *sh);
struct generation core_generation(const struct sim *s);

/* serve.c */
void announce(struct sim *s, int from, const struct signed_head *head, struct bytes record, struct bytes as_is);
void serve(struct sim *s, const struct event *e);
void snapshot_make(struct sim *s, const struct generation *g, uint32_t rot, struct snapshot *out);
void snapshot_free(struct snapshot *sn);
void put_piece(struct sim *s, struct wr *w, const struct snapshot *sn, uint64_t offset);

/* hostile.c: false: nothing is to be sent */
bool twist_announce(struct sim *s, int from, struct wr *w);
bool twist_reply(struct sim *s, int from, const struct request *q, struct wr *w);

/* disk.c */
void disk_start(struct sim *s, int i);
void disk_close(struct disk *d);
void disk_crash(struct sim *s, int i, bool power);
void disk_trim(struct sim *s, int i);
enum step disk_first(enum job_kind kind);
/* One step of the node's job; *step: the next one. */
enum err disk_step(struct sim *s, int i, enum step *step);

/* shell.c */
void node_up(struct sim *s, int i);
void node_down(struct sim *s, int i);
void node_event(struct sim *s, const struct event *e);

/* faults.c */
void plan(struct sim *s);
void trouble(struct sim *s);
void calm(struct sim *s);
void scrub(struct sim *s, int i);

/* checks.c */
void check_shown(struct sim *s, int i);
void check_heard(struct sim *s, int i, const struct signed_head *sh);
void check_job(struct sim *s, int i, const struct job *job);
void check_ask(struct sim *s, int i);
void check_bytes(struct sim *s, int i, size_t before);
size_t bytes_in_use(void);
bool all_level(const struct sim *s);
void check_end(struct sim *s);

#endif
