/* Inside store/ only: what its files share.
 *
 *     struct store ──► struct gen (current) ──► struct env ──► MDB_env of DIR/data.N
 *         │      └───► struct gen (fresh, while one is filled)
 *         └──────────► struct env of DIR/log
 *
 * Locks: store.mutex guards the generation pointers, their reference counts and the late opening of the log;
 * env.lock guards what must not meet a remapping (short reads, opening of databases). Taken in this order. */
#ifndef AZOTH_STORE_INTERNAL_H
#define AZOTH_STORE_INTERNAL_H

#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "base/crew.h"
#include "store/anchor.h"
#include "store/hold.h"
#include "store/store.h"

#define STORE_PATH_MAX 3072
#define STORE_FORMAT 2
#define MAP_DEFAULT ((uint64_t)64 << 30)
#define DBS_MAX 80                      /* STORE_NAMESPACES_MAX and our own, with room */
#define READERS_MAX 1022
#define READERS_EVERY 16                /* transactions, between looks for dead readers; a few us each */
#define RESERVE_PAGES_MIN 32            /* of a tiny map, where 5 % would not hold one commit */
#define MAIN_DBI 1                      /* LMDB's own numbers: the list of named databases, the list of free pages */
#define FREE_DBI 0
/* Names of our own databases begin with a slash, which no namespace name can hold. */
#define META_DB "/meta"
#define RING_DB "/ring"
#define FIRST_NS "dns"                  /* the namespace that every store has from the start */

/* --- env.c: LMDB environments --------------------------------------------------------------------------------- */
struct reader;
struct env {
    MDB_env *mdb;
    bool read_only;
    uint64_t page_size;
    pthread_mutex_t lock;
    atomic_bool paused;                 /* no reader may begin: the map is being grown */
    bool broken;                        /* under lock: growing failed, nothing is mapped */
    bool doubt;                         /* the last commit failed; writing thread only */
    unsigned flags;                     /* as opened, or as changed by the flip */
    atomic_bool dead;                   /* nothing may be written any more: LMDB gives MDB_PANIC, or a sync of soft commits failed */
    /* soft commits; writing thread only */
    char boot[ANCHOR_BOOT];             /* empty: none are made */
    struct anchor anchor;
    struct anchor_place place;          /* what its file says */
    bool anchored;                      /* the file says HELD, and `pin` reads the state that it names */
    MDB_txn *pin;
    _Atomic uint64_t pinned;            /* its transaction; 0: none; any thread */
    unsigned softs;                     /* commits since then, and what was held of them (hold.h) */
    unsigned written_out;               /* of those, what the disk was given */
    uint64_t steps;                     /* pages that the puts since then may have taken (room.c) */
    uint64_t pages;                     /* of the environment then */
    atomic_uint grown;
    struct reader *readers;             /* under lock */
    dev_t dev;                          /* of data.mdb: no process opens one twice */
    ino_t ino;
    pid_t pid;
    struct env *next_open;
};
/* A read transaction that is kept and renewed; one thread at a time. */
struct reader {
    struct env *env;
    MDB_txn *txn;
    atomic_bool active;
    struct reader *next;
};

/* LMDB's or errno's code as ours; "what path: words" goes to fault. */
enum err lmdb_err(struct fault *fault, int rc, const char *what, const char *path);
/* The same for what mdb_txn_commit gave. */
enum err commit_err(struct fault *fault, int rc, const struct env *e);
/* --- envwrite.c: writing to them */
/* mdb_txn_begin for writing, and mdb_txn_commit: what a failed commit leaves behind is made good by the next. */
int env_write_begin(struct env *e, MDB_txn **out);
int env_write_commit(struct env *e, MDB_txn *txn);
/* From now on there may be soft commits (anchor.h). boot: the machine's boot id. */
void env_allow_soft(struct env *e, const char *boot);
/* t's changes show, and are on the disk after env_settle: a crash of the machine takes back all soft commits since then, or none. Where
 * none may be made, or the map is nearly full, it is env_write_commit. */
int env_write_commit_soft(struct env *e, MDB_txn *txn);
/* What was committed is on the disk. An error of it behind soft commits: the environment is dead. */
int env_settle(struct env *e);
/* Before it is closed. */
void env_soft_end(struct env *e);
/* It is closed and removed next: nobody needs what is not on the disk yet. */
void env_abandon(struct env *e);
/* The folder must exist. flags: MDB_RDONLY, MDB_NOSYNC, MDB_NOMETASYNC. ERR_LOCKED: open in this process already. */
MUST_USE enum err env_open(struct env **out, const char *path, unsigned flags, uint64_t map, struct fault *fault);
void env_close(struct env *e);          /* NULL is fine */
const char *env_path(const struct env *e);
/* There is a reader table: LMDB does without where it cannot write. */
bool env_has_slots(const struct env *e);
/* Another file stands under the path of the one that is open. */
bool env_replaced(const struct env *e);
bool env_gone(const struct env *e);                 /* its data file was removed: nobody else finds it any more */
/* A short read transaction under env.lock; end releases the lock, keeping databases opened inside. */
MUST_USE enum err env_read_begin(struct env *e, MDB_txn **out, struct fault *fault);
void env_read_end(struct env *e, MDB_txn *txn);
MUST_USE enum err reader_open(struct reader *r, struct env *e, struct fault *fault);
void reader_close(struct reader *r);    /* zeroed is fine */
MUST_USE enum err reader_begin(struct reader *r);
void reader_end(struct reader *r);

static inline MDB_val val_of(struct bytes b) { return (MDB_val){ b.len, (void *)(uintptr_t)b.ptr }; }
static inline struct bytes bytes_of_val(MDB_val v) { return bytes_of(v.mv_data, v.mv_size); }

/* --- gen.c: one generation of the data ------------------------------------------------------------------------- */
struct ns_slot { char name[STORE_NS_MAX + 1]; size_t len; MDB_dbi dbi; };
struct gen {
    struct env *env;
    unsigned number;
    unsigned opened;                    /* 1, 2, ... in the order in which this struct store had them current */
    unsigned refs;                      /* under store.mutex; the store itself and every view on it */
    bool doomed;                        /* files go when the last reference goes */
    /* made by store_fresh_begin: its ring cannot say what the change to it touched */
    bool filled_fresh;
    MDB_dbi meta, ring;
    atomic_uint names_n;                /* slots below it never change */
    atomic_size_t names_seen;           /* named databases of the main database when names was last read */
    struct ns_slot names[STORE_NAMESPACES_MAX];
    /* the newest commit; writing thread only */
    struct digest lanes;
    uint64_t keys, bytes;
    unsigned begins;                    /* transactions begun */
    uint64_t changed;                   /* puts and deletes that changed something */
    bool has_head;
    struct head head;
    struct signed_head signed_head;
    bool loading;                       /* made by store_load_begin, not flipped yet */
    bool loaded;                        /* the newest commit was a load's, over data of this epoch */
    uint64_t loaded_over;
};
MUST_USE enum err gen_create(struct gen **out, const char *path, unsigned number, const struct store *s,
                             struct fault *fault);
MUST_USE enum err gen_open(struct gen **out, const char *path, unsigned number, const struct store *s,
                           struct fault *fault);
void gen_close(struct gen *g);          /* NULL is fine; removes the files of a doomed one */
const struct ns_slot *gen_ns(const struct gen *g, struct bytes ns);     /* NULL: not there */
/* Opens the databases of namespaces that another process made. */
MUST_USE enum err gen_names_load(struct gen *g, struct fault *fault);
void gen_names_add(struct gen *g, struct bytes ns, MDB_dbi dbi);
/* Head and lanes as a transaction sees them. ERR_NOTFOUND: none. ERR_BAD: damaged. */
MUST_USE enum err meta_head(MDB_txn *txn, MDB_dbi meta, struct head *out, struct signed_head *out_signed);
MUST_USE enum err meta_lanes(MDB_txn *txn, MDB_dbi meta, struct digest *out);
MUST_USE enum err meta_put(MDB_txn *txn, MDB_dbi meta, const struct signed_head *sh, const struct digest *lanes,
                           struct fault *fault);
/* The mark of a load, with its epoch; on: it is set or removed. Reading, ERR_NOTFOUND: not there. */
MUST_USE enum err meta_loaded_put(MDB_txn *txn, MDB_dbi meta, bool on, uint64_t epoch, struct fault *fault);
MUST_USE enum err meta_loaded(MDB_txn *txn, MDB_dbi meta, uint64_t *epoch);
bool meta_superseded(MDB_txn *txn, MDB_dbi meta);
void meta_supersede(struct gen *g);     /* in a transaction of its own; best effort */

/* --- files.c: the small files of the folder ---------------------------------------------------------------------- */
struct magic { enum store_role role; uint8_t cluster[CLUSTER_LEN]; };
MUST_USE enum err magic_read(const char *dir, struct magic *out, struct fault *fault);
MUST_USE enum err magic_write(const char *dir, const struct magic *m, bool volatile_data, struct fault *fault);
MUST_USE enum err current_read(const char *dir, unsigned *out, struct fault *fault);
MUST_USE enum err current_write(const char *dir, unsigned number, bool volatile_data, struct fault *fault);
/* The log's mark: which boot of the machine wrote it and whether it was closed. ERR_NOTFOUND: none. */
struct log_mark { char boot[ANCHOR_BOOT]; bool clean; };
MUST_USE enum err log_mark_read(const char *dir, struct log_mark *out);
MUST_USE enum err log_mark_write(const char *dir, const struct log_mark *m, bool volatile_data, struct fault *fault);
MUST_USE enum err log_mark_empty(const char *dir, struct fault *fault);
MUST_USE enum err boot_id_read(char out[ANCHOR_BOOT], struct fault *fault);
MUST_USE enum err writer_lock(const char *dir, int *fd, struct fault *fault);
bool writer_there(const char *dir);             /* some process has it; true too where that cannot be found out */
/* What a stop of the machine left of the environment at path, before anybody reads it. Who only reads does it where he has the rights and
 * nobody writes; else ERR_NOTNOW. */
MUST_USE enum err env_mend(const char *path, const struct store *s, struct fault *fault);
MUST_USE enum err folder_make(const char *path, struct fault *fault);      /* 0750; fine when there already */
void env_files_remove(const char *path, bool folder_too);
MUST_USE enum err data_path(char out[STORE_PATH_MAX], const char *dir, unsigned number);

/* --- store.c ------------------------------------------------------------------------------------------------------ */
#define AHEAD_HASH 32
struct ahead_frame { size_t at, len; uint64_t number, first, last; uint8_t hash[AHEAD_HASH]; };     /* first, last: of its records */
struct ahead {
    bool tried;                         /* to open the file */
    bool open;                          /* transactions may go ahead of the log */
    bool doubt;                         /* the log may lack what the file has: log_settle */
    bool done;                          /* all frames are where they belong: the next stands at the file's begin */
    int fd;
    struct ahead_frame *frame; size_t n;        /* as they stand in the file */
    size_t torn;                        /* from this one on they are to be emptied: a write failed, and so did emptying it */
    size_t end;                         /* of the newest */
    uint64_t number;                    /* the newest that was given */
    uint8_t *buf; size_t len, cap;      /* what the open transaction puts */
    uint64_t first;                     /* its first record; 0: none yet */
};
struct store {
    char dir[STORE_PATH_MAX - 64];
    enum store_mode mode;
    struct magic magic;
    uint64_t map;
    bool forward_only;                  /* store_follow keeps the data at hand rather than go back */
    bool needs_slot;                    /* no reading without a reader table */
    bool volatile_data;
    bool soft;                          /* commits of the data are soft (options) */
    char boot[ANCHOR_BOOT];             /* empty: not asked for yet */
    int lock_fd;
    pthread_mutex_t mutex;
    pthread_mutex_t follow;             /* one thread at a time follows; taken before the others */
    _Atomic(struct gen *) gen;
    struct gen *fresh;
    struct env *log;                    /* opened at once for writing, when first wanted for reading */
    MDB_dbi log_dbi, notes_dbi, notes_of_dbi;
    bool has_notes;                     /* the last two are there: on a core */
    struct crew *crew;                  /* NULL when opened for reading */
    bool writing, log_writing;          /* a transaction is open; writing thread only */
    struct hold hold;                   /* of held */
    struct log_txn *held;               /* open behind its end, and not at work; writing thread only */
    struct scrub *scrub;                /* NULL: none; writing thread only */
    struct ahead ahead;                 /* writing thread only */
};
static inline bool store_writable(const struct store *s) { return s->mode != STORE_READ; }
/* The generation that is written. */
static inline struct gen *store_target(struct store *s) { return s->fresh != NULL ? s->fresh : atomic_load(&s->gen); }
struct gen *store_gen_ref(struct store *s);                     /* the current one, held */
MUST_USE enum err fresh_make(struct store *s, struct fault *fault);     /* s->fresh, empty; the log is not touched */
void store_gen_unref(struct store *s, struct gen *g);

/* --- scrub.c ------------------------------------------------------------------------------------------------------ */
/* The scrub that must hear what a transaction on g changes; NULL: none does. */
struct scrub *scrub_watching(const struct store *s, const struct gen *g);
/* Before the entry goes, after it came. */
void scrub_note_out(struct scrub *s, struct bytes ns, struct bytes key, struct bytes value);
void scrub_note_in(struct scrub *s, struct bytes ns, struct bytes key, struct bytes value);
void scrub_txn_end(struct scrub *s, bool committed);

/* --- room.c ------------------------------------------------------------------------------------------------------- */
/* What a write transaction may still take of the map before only the reserve for deletes and meta is left. */
struct room {
    struct env *env;
    uint64_t total, used;               /* pages at the begin of the transaction */
    uint64_t free;                      /* of the used ones, those that may be taken; counted only when it matters */
    bool counted;
    uint64_t steps;                     /* pages that the puts so far would take if none was touched twice */
};
/* So many puts that their sum would refuse what there is room for: another transaction begins anew. */
bool room_is_worn(const struct room *r);
MUST_USE enum err room_begin(struct room *r, struct env *e, struct fault *fault);
/* Before a put of len bytes. touched: pages of all trees that this transaction wrote to, asked only when needed. */
MUST_USE enum err room_for_put(struct room *r, size_t len, uint64_t (*touched)(void *arg), void *arg,
                               struct fault *fault);

/* --- slog.c ------------------------------------------------------------------------------------------------------- */
/* Opens DIR/log; an edge's log that a crash of the machine may have torn is thrown away first. */
MUST_USE enum err log_open(struct store *s, struct fault *fault);
void log_close(struct store *s);
MUST_USE enum err log_range_past(struct store *s, uint64_t *first, uint64_t *last);         /* without what is held */
MUST_USE enum err log_ready(struct store *s, struct fault *fault);         /* opens it when it is not */
/* Room for a record or note of len bytes. */
MUST_USE enum err log_room(struct log_txn *t, size_t len, struct fault *fault);

struct log_txn {
    struct store *s;
    MDB_txn *txn;
    MDB_cursor *cursor;
    uint64_t last;
    bool empty;
    struct room room;
    bool keeps;                         /* what it puts is in store.ahead, all of it */
    bool is_ahead;                      /* it is safe there */
    bool owes;                          /* so are transactions before it that it goes on with (log_join) */
    bool trims;
    bool cuts;                          /* records behind cut_to go */
    uint64_t cut_to;
};
struct log_reader { struct store *s; struct reader reader; MDB_cursor *cursor; };

/* --- ahead.c: the newest transactions of a core's log, in a file --------------------------------------------------- */
#define AHEAD_MAX ((size_t)1 << 20)     /* bytes of one; the file has room for four of that size */
/* Opens the file and brings into the log what it lacks. Nothing for an edge, or a reader. */
MUST_USE enum err ahead_open(struct store *s, struct fault *fault);
void ahead_close(struct store *s);
/* The log's newest seq as the next open for writing will have it; 0: none. Also beside the core, whose next frame does not count yet. */
MUST_USE enum err ahead_newest(struct store *s, uint64_t *last, struct fault *fault);
/* What t does is kept from here on, as long as it can be. */
void ahead_begin(struct log_txn *t);
void ahead_record(struct log_txn *t, uint64_t seq, struct bytes record);
void ahead_note(struct log_txn *t, struct bytes group, uint64_t epoch, uint64_t seq, struct bytes note);
void ahead_reach(struct log_txn *t, uint64_t seq, bool first);
/* What has records behind seq is not there any more. */
MUST_USE enum err ahead_void(struct store *s, uint64_t seq, struct fault *fault);

/* --- notes.c ------------------------------------------------------------------------------------------------------ */
/* Opens the notes' databases, making them where `make` says so. LMDB's code; without them *there is false. */
int notes_open(struct store *s, MDB_txn *txn, bool make, bool *there);
/* Pages of their trees; UINT64_MAX: unknown. */
uint64_t notes_pages(const struct log_txn *t);

/* --- foresee.c ---------------------------------------------------------------------------------------------------- */
/* A namespace's tree as a read transaction has it, in the map. */
struct tree { const uint8_t *map; uint64_t pages, root, leaves; size_t page_size; };       /* pages: of the map */
bool tree_find(struct view *v, struct bytes name, struct tree *out);        /* false: none, or none that can be read in place */
void tree_foresee(const struct tree *t, struct foreseen *of, unsigned n);
unsigned tree_nodes(const struct tree *t, const uint8_t *page);
bool tree_entry(const struct tree *t, const uint8_t *page, unsigned i, struct entry *out);     /* false: it looks odd */

/* --- view.c ------------------------------------------------------------------------------------------------------- */
enum cursor_at { AT_NOWHERE, AT_ENTRY, AT_NODE, BEFORE_FIRST, BEHIND_LAST };
struct cursor {
    struct view *view;
    char name[STORE_NS_MAX + 1];        /* of the database */
    size_t len;
    bool ring;                          /* the view's own cursor over the ring */
    MDB_cursor *mdb;                    /* NULL: no such namespace yet */
    uint64_t batch;                     /* of the view's, in which mdb was renewed */
    enum cursor_at at;
    struct tree tree;                   /* of the batch tree_batch */
    uint64_t tree_batch;
    bool tree_there;
    const uint8_t *page; unsigned node; /* AT_NODE: in the tree; mdb stands elsewhere */
    struct cursor *next;
};
struct view {
    struct store *store;
    struct gen *gen;                    /* held */
    struct reader reader;
    unsigned names_n;                   /* namespaces that this batch can see */
    unsigned cursors_for;               /* names_n for which the cursors were opened; 0: not yet */
    uint64_t batch;                     /* counts view_begin */
    uint64_t superseded_at;             /* view_version for which `superseded` holds */
    bool superseded;
    unsigned ring_gen;                  /* gen.opened that view_ring last looked at; 0: none */
    struct cursor *cursors;
    struct cursor ring;
};
MUST_USE enum err view_ring_cursor(struct view *v);     /* v->ring.mdb is fit for this batch */

/* --- ring.c ------------------------------------------------------------------------------------------------------- */
#define TOUCHED_SLOTS 1024
struct touched {                        /* keys of one namespace that one transaction touched */
    bool many;
    uint16_t len;                       /* of marks: (flags u8, key length u16, key) ... */
    uint16_t slot[TOUCHED_SLOTS];       /* hash table: offset into marks + 1 */
    uint8_t marks[RING_BYTES];
};
/* was, is: the key's presence before and after this op. */
void touched_mark(struct touched *t, struct bytes key, bool was, bool is);
/* Writes what goes into the ring; false: nothing. out: room for 1 + RING_BYTES. */
bool touched_write(const struct touched *t, struct wr *out);
/* The entry of one commit: begin, then its namespaces. reach: the ring reaches back to states of this seq or later. */
MUST_USE enum err ring_put_txn(MDB_txn *txn, MDB_dbi ring, uint64_t seq, uint64_t reach, struct fault *fault);
MUST_USE enum err ring_put_ns(MDB_txn *txn, MDB_dbi ring, uint64_t seq, struct bytes ns, struct bytes marks,
                              struct fault *fault);

/* --- figures.c ---------------------------------------------------------------------------------------------------- */
struct reader_figures { unsigned slots; uint64_t oldest; long pid; bool any; };     /* oldest: txn id, when any is reading */
void env_readers(struct env *e, struct reader_figures *out);
/* Free pages in txn's list, of transactions below `below`; added to *out. LMDB's code. */
int free_pages_in(MDB_txn *txn, uint64_t below, uint64_t *out);
/* Free pages; usable: only those that the next write transaction may take. */
MUST_USE enum err env_free_pages(struct env *e, bool usable, uint64_t *out, struct fault *fault);

#endif
