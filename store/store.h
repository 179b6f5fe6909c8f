/* The store: a replicated set of (namespace, key, value) entries in LMDB, the log beside it, and the head that says
 * which state it is. Knows bytes only: no DNS, no network, no signatures.
 *
 *     DIR/magic      DIR/current ──► DIR/data.N/   LMDB: one named database per namespace + meta
 *     DIR/writer.lock                DIR/log/      LMDB: (seq, chunk) -> piece of a log record
 *
 * One process writes (flock on writer.lock); any number read. Within the writing process one thread at a time writes;
 * views may be used beside it, each by one thread at a time.
 *
 * Writing, always in this order (a crash between any two steps loses nothing that was announced):
 *
 *     store_begin ► store_apply ... ► store_state ► log_begin ► log_append ... ► log_commit ► store_commit
 *
 * Errors everywhere: ERR_FULL (map or disk full: nothing changed, reads go on), ERR_STORE (LMDB refused; the fault has
 * its words), ERR_NOMEM, ERR_NOTNOW (not in this mode, or another transaction is open). After any error of a write call
 * the transaction can only be aborted; ERR_LIMIT and ERR_GAP alone change nothing and leave it usable.
 * Of the map 5 % stay reserved: when no more is free, puts and log_append give ERR_FULL, deletes and log_cut go on. */
#ifndef AZOTH_STORE_STORE_H
#define AZOTH_STORE_STORE_H

#include "base/crew.h"
#include "base/err.h"
#include "store/digest.h"
#include "store/head.h"

#define STORE_KEY_MAX 510                   /* LMDB allows 511 */
#define STORE_VALUE_MAX (((size_t)1 << 20) + 16)     /* 1 MiB of a user's bytes and what wraps them (kvvalue.h) */
#define STORE_NS_MAX 32                     /* [a-z0-9_.-]{1,32} */
#define STORE_NAMESPACES_MAX 64
#define STORE_MAP_MIN ((uint64_t)1 << 20)
#define RING_TXNS 1024                      /* transactions whose touched keys are remembered, */
#define RING_SLACK 16                       /* and less than so many older ones */
#define RING_BYTES 1900                     /* per transaction and namespace; more is "many" */

struct store;
enum store_role { STORE_CORE = 1, STORE_EDGE = 2 };
enum store_mode {
    STORE_READ,         /* an existing store; another process may write */
    STORE_WRITE,        /* an existing store, exclusively */
    STORE_CREATE,       /* as STORE_WRITE; made when the directory is empty or absent */
};
struct store_options {
    const char *dir;
    enum store_mode mode;
    enum store_role role;           /* checked against magic when writing; any role for STORE_READ */
    uint64_t map_size;              /* of the data and, as much again, of the log; 0: 64 GiB */
    const uint8_t *cluster;         /* CLUSTER_LEN bytes for a new store; NULL: a core draws one, an edge stays open
                                     * (all zero in magic) until store_join */
    const char *boot_id;            /* NULL: the kernel's; tests pass their own to play a crash of the machine */
    bool forward_only;              /* STORE_READ: store_follow does not give up data for an empty store, nor for an earlier
                                     * state (epoch, seq) of the same cluster: a new edge store that is being filled */
    bool needs_slot;                /* STORE_READ beside a writer that may be at work: ERR_IO where no reader slot can be had (a
                                     * read-only file system): the writer would overwrite what is being read */
    bool volatile_data;             /* tests and simulators: no sync at all */
    bool soft;                      /* commits of the data are not synced one by one: a crash of the machine takes back those since
                                     * the last store_settle (at most some hundred; all of them or none), which have to come
                                     * again, from the log or from upstream. The first of an epoch is synced. */
    unsigned threads;               /* that large writes may keep busy, the caller's among them; 0: one per processor */
};

/* ERR_NOTFOUND: no store there (STORE_READ, STORE_WRITE). ERR_LOCKED: another writer, or this process has it open
 * already (LMDB would lose its locks: share one struct store). ERR_IO: no rights. ERR_ROLE: e.g. an edge's directory
 * opened as a core's. ERR_FORMAT: magic, format or LMDB version unknown, or the folder holds something else; never
 * upgraded in passing. */
MUST_USE enum err store_open(struct store **out, const struct store_options *o, struct fault *fault);
/* Marks a clean stop. All views must be closed. */
void store_close(struct store *s);
/* Closes a store that this open made (STORE_CREATE) and that could not be filled, and removes its files; what else stands
 * in the folder stays. */
void store_discard(struct store *s);

enum store_role store_role(const struct store *s);
const uint8_t *store_cluster(const struct store *s);            /* all zero: an edge that has not joined yet */
/* An edge learns its cluster from the first head it verified; written to magic. ERR_CLUSTER: joined another before. */
MUST_USE enum err store_join(struct store *s, const uint8_t cluster[CLUSTER_LEN], struct fault *fault);
const char *store_dir(const struct store *s);
/* The threads beside the writing one, for whoever prepares what it writes. NULL: opened for reading. */
struct crew *store_crew(struct store *s);

/* --- writing the data ------------------------------------------------------------------------------------------ */
enum op_kind { OP_PUT = 1, OP_DEL = 2 };
struct op { enum op_kind kind; struct bytes ns, key, value; };  /* value empty for OP_DEL */

/* Is it a namespace's name: 1..STORE_NS_MAX of a-z 0-9 _ . - ? */
bool ns_name_fits(struct bytes ns);

struct store_txn;
struct store_state { uint8_t digest[DIGEST_LEN]; uint64_t keys, bytes; };

MUST_USE enum err store_begin(struct store *s, struct store_txn **out, struct fault *fault);
/* Applies n ops in order. A put of what is there already and a delete of what is not there change nothing (so applying
 * twice equals applying once). ERR_LIMIT: a key, value, namespace name or their number over its limit.
 * Keys above all others of their namespace are appended, which is cheaper and fills pages to the brim: ascending order
 * pays. Bytes are borrowed for the call. Of many ops the values are hashed by the crew beside the writing. */
MUST_USE enum err store_apply(struct store_txn *t, const struct op *ops, size_t n, struct fault *fault);
/* Of a fresh generation only, which nobody sees yet: writes out what was put so far, and t goes on with little memory. After
 * an error t can only be aborted. */
MUST_USE enum err store_spill(struct store_txn *t, struct fault *fault);
/* What the head must say after the ops so far. */
void store_state(struct store_txn *t, struct store_state *out);
/* The value that key has inside this transaction; borrowed until the next store_apply. ERR_NOTFOUND. */
MUST_USE enum err store_peek(struct store_txn *t, struct bytes ns, struct bytes key, struct bytes *out);
/* Head, lanes, ring and data in one LMDB commit. head: the new head, already decoded, and its signed form as stored.
 * ERR_DIGEST: the head does not say what store_state says. ERR_NOTNOW: its (epoch, seq) does not stand behind the head
 * before (the same is allowed when no op changed anything: a newer time). ERR_CLUSTER, ERR_BAD: another cluster's, or
 * sh is not that head. Nothing is written then. Frees t in every case. */
MUST_USE enum err store_commit(struct store_txn *t, const struct head *head, const struct signed_head *sh,
                               struct fault *fault);
void store_abort(struct store_txn *t);                          /* NULL is fine */
/* What was committed, to the data and to a core's log, is on the disk. For the writing thread, between transactions. Any error: a sync
 * failed, and the store is broken. */
MUST_USE enum err store_settle(struct store *s, struct fault *fault);
bool store_is_settled(const struct store *s);

/* The head of the newest commit of this process; for the writing thread. ERR_NOTFOUND: nothing committed yet. */
MUST_USE enum err store_head(struct store *s, struct head *out, struct signed_head *out_signed);

/* --- the log: records by seq, without holes -------------------------------------------------------------------- */
struct log_txn;
MUST_USE enum err log_begin(struct store *s, struct log_txn **out, struct fault *fault);
/* seq must be the last seq + 1 (any seq > 0 when the log is empty), else ERR_GAP. */
MUST_USE enum err log_append(struct log_txn *t, uint64_t seq, struct bytes record, struct fault *fault);
/* Removes every record after seq, and the notes that came with them. */
MUST_USE enum err log_cut(struct log_txn *t, uint64_t seq, struct fault *fault);
/* Removes all records; notes stay: what they say of the data may be true without them. */
MUST_USE enum err log_clear(struct log_txn *t, struct fault *fault);
/* Removes records with a lower seq than `before`, oldest first, at most some `chunks` pieces of 1,900 bytes in this call;
 * *more: some are left. The last record of the log is never removed. */
MUST_USE enum err log_trim(struct log_txn *t, uint64_t before, unsigned chunks, bool *more, struct fault *fault);
/* t, its records and notes, is safe from now on, by one flush of a file beside the log (ahead.c), and may be told; log_commit must
 * follow. An error of that: log_settle brings t into the log, now or at the next open. extra: kept with it for its reader
 * (log_extras); empty: none. ERR_LIMIT: t is too large, takes something away, the file is full or the disk has no room for it,
 * or the store is an edge's: nothing happened. Any other: log_settle finds out. */
MUST_USE enum err log_ahead(struct log_txn *t, struct bytes extra, struct fault *fault);
/* The file holds as much as it should: time for log_ahead_anew. */
bool log_ahead_filled(const struct store *s);
/* All that went ahead is on the disk in log and data (store_settle), and where the extras belong: its room may be used again. */
void log_ahead_anew(struct store *s);
/* Behind an error of log_ahead or log_commit: the log has all that is safe. Not while a log_txn is open. */
MUST_USE enum err log_settle(struct store *s, struct fault *fault);
/* The extras that are still kept, oldest first: all since the last log_ahead_anew, and maybe older ones; until fn gives an error. What
 * fn gets is borrowed until it returns. Also beside the core, which may put newer ones there meanwhile. ERR_NOTNOW: not settled. */
typedef enum err log_extra_fn(void *arg, struct bytes extra, struct fault *fault);
MUST_USE enum err log_extras(struct store *s, log_extra_fn *fn, void *arg, struct fault *fault);
/* How new a core's data is (*seq, that of its head), and how new it will be once a core has started: *last, by the log and what went
 * ahead of it. They differ where a crash left something behind. Both 0 for an edge, and beside a core at work. For readers. */
MUST_USE enum err store_waiting(struct store *s, uint64_t *seq, uint64_t *last, struct fault *fault);
bool store_is_written(const struct store *s);                   /* some process has it open for that; true too where that cannot be found out */
/* Synced on a core. On an edge not synced: the log is thrown away at the next open after a crash of the machine. */
MUST_USE enum err log_commit(struct log_txn *t, struct fault *fault);
void log_abort(struct log_txn *t);                              /* NULL is fine */

/* A core's transactions behind log_ahead may stay open, so that what follows goes on in them and the pages that all of them touch are
 * written once: log_hold instead of log_commit, log_join instead of log_begin. They are safe and may be told; readers wait until they
 * are committed. An aborted one takes along what was held: log_settle has it again, and readers wait for that. All for the writing thread.
 *
 *     log_begin ─► log_ahead ─► log_hold ─► log_join ─► log_ahead ─► log_hold ─► ... ─► log_let_go */
/* want: asks the writing thread for log_let_go, as a reader waits for it; called in any thread, it must not wait. NULL: nothing more is
 * held, and log_hold is log_commit. */
void log_on_hold(struct store *s, void (*want)(void *arg), void *arg);
MUST_USE enum err log_join(struct store *s, struct log_txn **out, struct fault *fault);
MUST_USE enum err log_hold(struct log_txn *t, struct fault *fault);
/* Commits what is held; log_begin, a reader of the same thread, store_settle and store_close do so themselves. Errors: as log_commit
 * behind log_ahead. */
MUST_USE enum err log_let_go(struct store *s, struct fault *fault);
bool log_is_held(const struct store *s);
/* Any thread: asks for log_let_go, as a reader does, and does not wait. */
void log_want(struct store *s);
/* Something that is safe is not in the log: log_settle is due. */
bool log_is_behind(const struct store *s);

/* First and last seq in the log; both 0: empty. */
MUST_USE enum err log_range(struct store *s, uint64_t *first, uint64_t *last);
/* A reader over the log as it was at log_reader_begin. One thread at a time. */
struct log_reader;
MUST_USE enum err log_reader_open(struct store *s, struct log_reader **out, struct fault *fault);
MUST_USE enum err log_reader_begin(struct log_reader *r);
/* The same without what is held (log_hold): for threads that must not wait. */
MUST_USE enum err log_reader_begin_past(struct log_reader *r);
void log_reader_end(struct log_reader *r);
void log_reader_close(struct log_reader *r);
MUST_USE enum err log_reader_range(struct log_reader *r, uint64_t *first, uint64_t *last);
/* Bytes of the pages that hold records (free pages of the file are not counted). */
MUST_USE enum err log_reader_size(struct log_reader *r, uint64_t *bytes);
/* The first bytes of the record (at most 1,896), borrowed until log_reader_end, and the length of all of it.
 * ERR_NOTFOUND, ERR_BAD. */
MUST_USE enum err log_reader_peek(struct log_reader *r, uint64_t seq, struct bytes *front, size_t *whole);
/* The record with this seq into buf; borrowed from buf. ERR_NOTFOUND. ERR_NOSPACE: longer than cap (*need says it).
 * ERR_BAD: chunks missing or wrong. */
MUST_USE enum err log_reader_get(struct log_reader *r, uint64_t seq, uint8_t *buf, size_t cap, struct bytes *out,
                                 size_t *need);

/* --- notes: what a core keeps beside its log, written in the log's own transactions -------------------------------
 *
 *     (epoch, seq) of a record ─► notes, each of a group of the writer's        found by seq, and by group and seq
 *
 * A note goes with its record: log_cut takes both back. It outlives it: log_trim and log_clear leave notes alone, which have
 * a lognote_trim of their own. Whoever reads a group back to some seq asks lognote_reach whether that is all there was.
 * An edge has none: writing gives ERR_NOTNOW, reading finds nothing. */
#define NOTE_GROUP_MAX 64
#define NOTE_MAX ((size_t)64 << 20)
/* group: 1..NOTE_GROUP_MAX bytes. seq: that of a record appended in t, or one that is. ERR_LIMIT: too long. */
MUST_USE enum err lognote_put(struct log_txn *t, struct bytes group, uint64_t epoch, uint64_t seq, struct bytes note,
                              struct fault *fault);
/* Removes notes after seq, and before them those of a higher epoch: of a history that is not the data's. */
MUST_USE enum err lognote_cut(struct log_txn *t, uint64_t epoch, uint64_t seq, struct fault *fault);
/* Removes notes before seq, oldest first, as log_trim; the reach moves to behind what is gone. */
MUST_USE enum err lognote_trim(struct log_txn *t, uint64_t before, unsigned chunks, bool *more, struct fault *fault);
/* From this seq on nothing is missing; first: unless that was said before. */
MUST_USE enum err lognote_reach_put(struct log_txn *t, uint64_t seq, bool first, struct fault *fault);

/* Between log_reader_begin and log_reader_end; borrowed until then. */
struct lognote { uint64_t epoch, seq; uint16_t n; struct bytes group, front; size_t whole; };   /* n: of its seq's notes */
/* 0: nothing was ever noted. */
MUST_USE enum err lognote_reach(struct log_reader *r, uint64_t *seq);
/* The group's first note at or behind seq (and n), its last before them. group empty: of all groups. ERR_NOTFOUND, ERR_BAD. */
MUST_USE enum err lognote_next(struct log_reader *r, struct bytes group, uint64_t seq, uint16_t n, struct lognote *out);
MUST_USE enum err lognote_prev(struct log_reader *r, struct bytes group, uint64_t seq, uint16_t n, struct lognote *out);
/* All of it into buf, of at->whole bytes. ERR_BAD. */
MUST_USE enum err lognote_read(struct log_reader *r, const struct lognote *at, uint8_t *buf);
/* How many there are, and the bytes of their pages. */
MUST_USE enum err lognote_size(struct log_reader *r, uint64_t *notes, uint64_t *bytes);

/* --- generations ----------------------------------------------------------------------------------------------- */
/* A fresh, empty generation to fill: store_begin and the log then work on it (the log is emptied), views stay on the
 * old one. ERR_NOTNOW: one is being filled already. */
MUST_USE enum err store_fresh_begin(struct store *s, struct fault *fault);
/* The same for a state that comes without the log that led to it (snapshot_load): the log stays as it is until the flip
 * empties it. Until the first commit behind it the generation bears a mark, so that a log which a crash kept from being
 * emptied never counts. */
MUST_USE enum err store_load_begin(struct store *s, struct fault *fault);
/* The newest commit of the data was such a load. *epoch: that of the data before it, 0: there was none. For the writing
 * thread. */
bool store_is_loaded(struct store *s, uint64_t *epoch);
/* The filled generation becomes current (file `current` replaced by rename), the old one is marked superseded; it is
 * unlinked when its last view in this process is closed or moved (readers in other processes keep their open files). */
MUST_USE enum err store_fresh_flip(struct store *s, struct fault *fault);
void store_fresh_drop(struct store *s);                         /* the unfinished one is removed */
bool store_is_fresh(const struct store *s);                     /* between begin and flip or drop */
/* Copies the data, entry by entry, into a new generation with full pages and none free, and flips to it: same head, the
 * log untouched. Bytes of the data file in use before and after. ERR_NOTNOW: a transaction is open or a fresh generation
 * is being filled. ERR_BAD: the entries are not as many as the head says. Any error leaves everything as it was. */
MUST_USE enum err store_compact(struct store *s, uint64_t *before, uint64_t *after, struct fault *fault);

/* For readers: follows `current`, also to a store that took the place of the one that was opened (another file under the
 * same number; of any cluster and role, store_cluster and store_role stay as they were). Cheap when nothing moved. Call
 * once a second and when view_superseded says so; views change over in their next view_begin. After an error everything
 * stays as it was: ERR_NOTFOUND, the folder holds no store now; ERR_NOTNOW, forward_only keeps it; else what store_open
 * gives for the new one. */
MUST_USE enum err store_follow(struct store *s, struct fault *fault);

/* --- reading the data: views ------------------------------------------------------------------------------------
 * A view lives for one batch: view_begin .. view_end, never across a wait. What it gives is borrowed until view_end. */
struct view;
struct entry { struct bytes key, value; };

MUST_USE enum err view_open(struct store *s, struct view **out, struct fault *fault);
void view_close(struct view *v);                                /* NULL is fine */
MUST_USE enum err view_begin(struct view *v);
void view_end(struct view *v);
/* Changes with every commit and every generation: equal numbers mean equal data, and of the views of one struct store the
 * one with the higher number shows the later state. The bits from VIEW_TXN_BITS on change with the generation alone. Valid
 * between begin and end. */
#define VIEW_TXN_BITS 40
uint64_t view_version(const struct view *v);
unsigned view_generation(const struct view *v);                 /* N of data.N; valid between begin and end */
bool view_superseded(struct view *v);
/* The view still holds a generation that is no longer current in this process, and with it the disk space of its files;
 * its next view_begin lets go. Between batches. */
bool view_is_stale(const struct view *v);
/* ERR_NOTFOUND: an empty store. out_signed may be NULL. */
MUST_USE enum err view_head(struct view *v, struct head *out, struct signed_head *out_signed);
/* The stored lanes. Zeroed for an empty store. */
MUST_USE enum err view_digest(struct view *v, struct digest *out);
/* ERR_NOTFOUND: no such key or namespace. */
MUST_USE enum err view_get(struct view *v, struct bytes ns, struct bytes key, struct bytes *out);
/* Names of the namespaces that exist, ascending. names: room for STORE_NAMESPACES_MAX. */
MUST_USE enum err view_namespaces(struct view *v, char names[][STORE_NS_MAX + 1], size_t *count);

/* A cursor of a view: opened once, used between every view_begin and view_end. One descent = one cursor_seek. */
struct cursor;
MUST_USE enum err cursor_open(struct view *v, struct bytes ns, struct cursor **out);
void cursor_close(struct cursor *c);                            /* before its view; NULL is fine */
/* ERR_NOTFOUND when there is no such entry (also: no such namespace yet). */
/* The first entry whose key is not below; an empty key: the first of all. */
MUST_USE enum err cursor_seek(struct cursor *c, struct bytes key, struct entry *out);
MUST_USE enum err cursor_next(struct cursor *c, struct entry *out);
/* The entry before; after a cursor_seek that found nothing: the last entry of the namespace. */
MUST_USE enum err cursor_prev(struct cursor *c, struct entry *out);

/* Descents of a batch made side by side, so that they wait for memory together and not one after the other (foresee.c). The
 * keys stay where they are, with eight bytes behind each that may be read, until the batch ends. */
struct foreseen {
    struct bytes key;               /* set by the caller, and nothing else */
    uint64_t batch;
    const uint8_t *page;            /* where the descent is, at last a leaf; NULL: cursor_seek has to find it */
    unsigned low, high;             /* among these nodes of the page is the first one that is not before the key */
    unsigned below, above;          /* bytes that the key shares with the last one before it, the first behind it, as looked at */
    uint8_t levels;
    bool branch, done;
};
/* Pages with entries that the namespace has; 0: none, or not such as this works with. */
uint64_t cursor_leaves(struct cursor *c);
void cursor_foresee(struct cursor *c, struct foreseen *of, unsigned n);
/* As cursor_seek of its key, by the cursor that foresaw it. */
MUST_USE enum err cursor_seek_foreseen(struct cursor *c, const struct foreseen *f, struct entry *out);

/* --- the ring: what the newest commits touched ------------------------------------------------------------------- */
enum ring_mark { RING_APPEARED = 1, RING_VANISHED = 2, RING_CHANGED = 3 };
struct ring_visit {
    void *arg;
    void (*touched)(void *arg, struct bytes ns, struct bytes key, enum ring_mark mark);
    void (*many)(void *arg, struct bytes ns);       /* more keys of ns than the ring holds */
};
/* Visits what the commits after `seq` up to the view's head touched. ERR_GAP: the ring does not reach back that far, or
 * this view has changed generation since its last view_ring (whatever was kept of the old one is worth nothing). */
MUST_USE enum err view_ring(struct view *v, uint64_t seq, const struct ring_visit *visit);

/* --- figures ----------------------------------------------------------------------------------------------------- */
struct store_figures {
    unsigned generation;
    uint64_t map_bytes, used_bytes, free_bytes;     /* of the data file: map, pages in use or free, free pages */
    uint64_t log_map_bytes, log_used_bytes, log_free_bytes;
    uint64_t log_first, log_last;
    unsigned readers;                               /* reader slots in use */
    uint64_t oldest_reader_lag;                     /* commits that the oldest open view is behind */
    uint64_t oldest_reader;                         /* which commit that view looks at, as a number; 0: no view is open */
    long oldest_reader_pid;                         /* of its process */
};
MUST_USE enum err store_figures(struct store *s, struct store_figures *out);
struct ns_figures { uint64_t entries, branch_pages, leaf_pages, overflow_pages, page_size; };
MUST_USE enum err view_ns_figures(struct view *v, struct bytes ns, struct ns_figures *out);
/* A write failed in a way that LMDB cannot take back: nothing more can be written before the store is opened anew. Any
 * thread. */
bool store_is_broken(struct store *s);
/* The files were removed from the folder while they are open: what is written goes with this process. */
bool store_is_gone(struct store *s);
/* Clears the slots of readers that died; how many. Call at start and every 10 s. */
unsigned store_clear_readers(struct store *s);

#endif
