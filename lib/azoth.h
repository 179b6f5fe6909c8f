/* libazoth: reads the replicated namespaces of an azoth store, in any process on the host of an azoth-edge or
 * azoth-core.
 * Nothing is sent anywhere: the daemon writes, this library maps the same files and reads, at the speed of memory.
 *
 *     struct azoth *a;
 *     if (azoth_open("/var/lib/azoth", &a, why, sizeof why) != AZOTH_OK) ...
 *     if (azoth_begin(a) == AZOTH_OK) {                  a snapshot: all reads below see one state
 *         azoth_get(a, "flags", "beta", 4, &value) ...   value.data points into the map until azoth_end
 *         azoth_scan(a, "flags", NULL, visit, arg) ...
 *         azoth_end(a);
 *     }
 *     azoth_close(a);
 *
 * Threads: one struct azoth per thread. A process may open the same folder as often as it likes, they share the map.
 * One struct may go from thread to thread when only one uses it at a time. A process must hold one copy of the
 * library only (not the shared one beside a static one, nor LMDB calls of its own on these files): LMDB would lose
 * its locks.
 * Fork: what was opened before fork() belongs to the parent. In the child every call on it gives AZOTH_FORKED,
 * azoth_close frees its memory without touching the parent's snapshot; open anew there.
 * Snapshots: held for a batch of reads, never across a wait. While one is open the store cannot reuse the pages it
 * sees, so one that is held for long makes the data file grow, and may be in the way of others (AZOTH_BUSY).
 * The folder: must be readable, and LMDB's lock.mdb in it writable (a reader notes there which state it reads). The
 * daemons make both so for their group. */
#ifndef AZOTH_H
#define AZOTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#ifdef __GNUC__
#pragma GCC visibility push(default)
#endif

enum azoth_err {                /* numbers never change */
    AZOTH_OK = 0,
    AZOTH_NOTFOUND = 1,         /* no such key, or no such namespace */
    AZOTH_NOSTORE = 2,          /* the folder holds no store (yet) */
    AZOTH_IO = 3,               /* a file cannot be read; most often rights */
    AZOTH_FORMAT = 4,           /* a store made by a version that this library cannot read */
    AZOTH_LIMIT = 5,            /* empty or too long a key, not a namespace's name, too long a path */
    AZOTH_MISUSE = 6,           /* azoth_get outside of a snapshot, azoth_wait inside of one, a NULL that may not be */
    AZOTH_TIMEOUT = 7,          /* azoth_wait: not there yet */
    AZOTH_FORKED = 8,           /* opened by the parent of this process */
    AZOTH_BUSY = 9,             /* another struct azoth of this process is in the way: its snapshot has been open for
                                 * over a second while the store grew, or it still reads a store that was replaced */
    AZOTH_NOMEM = 10,           /* out of memory */
    AZOTH_DAMAGED = 11,         /* what is stored cannot be decoded; `azoth verify` says more */
    AZOTH_STORE = 12            /* LMDB refused; azoth_words has its words (no reader slot left, for one) */
};
const char *azoth_strerror(enum azoth_err err);     /* never NULL; constant text */

#define AZOTH_DIGEST_LEN 32
#define AZOTH_NS_MAX 32             /* bytes in a namespace's name: [a-z0-9_.-] */
#define AZOTH_KEY_MAX 510           /* bytes in a key; users' own are at most 500 */

struct azoth;                       /* a reader of one store; opaque */

/* Opens the store in dir for reading. On failure *out is NULL and error (when not NULL) has one line that says what and
 * where, cut to error_cap bytes with its final 0. AZOTH_NOSTORE: a daemon may still make it; try again later. */
enum azoth_err azoth_open(const char *dir, struct azoth **out, char *error, size_t error_cap);
/* Ends the snapshot too if one is open. NULL is fine. Not from within azoth_scan's visit. */
void azoth_close(struct azoth *a);
/* What went wrong in the last call on a that gave neither AZOTH_OK nor AZOTH_NOTFOUND: one line; borrowed until the
 * next call. */
const char *azoth_words(const struct azoth *a);

/* --- snapshots ---------------------------------------------------------------------------------------------------
 * From begin to end one committed state, whatever the daemon does meanwhile; begin takes the newest. It follows the
 * daemon when that starts the data afresh in new files, and a store that was replaced in its folder; so it may give
 * what azoth_open gives. No allocation and no lock on the common way. */
enum azoth_err azoth_begin(struct azoth *a);
void azoth_end(struct azoth *a);                    /* without a snapshot, and within a visit, it does nothing */

struct azoth_value {
    const void *data;               /* borrowed until azoth_end; never NULL, not aligned */
    size_t len;
    uint64_t epoch, seq;            /* version: of the snapshot, and the last write's to this key; seq is 0 in `dns` */
};
/* ns: e.g. "flags". Values of `dns` are given as stored (RRset blobs), those of all others as their writer gave them.
 * *out is filled on AZOTH_OK only. */
enum azoth_err azoth_get(struct azoth *a, const char *ns, const void *key, size_t key_len, struct azoth_value *out);

/* Which entries; {0} or NULL: all. Keys are ordered as memcmp does it, a key before those that it begins. */
struct azoth_range {
    const void *prefix;             /* keys that begin with it */
    size_t prefix_len;
    const void *from;               /* and do not sort before it ... */
    size_t from_len;
    bool after;                     /* ... nor are it: goes on behind the last key of the page before */
    uint64_t limit;                 /* at most so many; 0: no limit */
};
/* key and value are borrowed until azoth_end. false ends the scan. May call azoth_get and azoth_scan on the same a. */
typedef bool azoth_visit(void *arg, const void *key, size_t key_len, const struct azoth_value *value);
/* Visits the entries in order. AZOTH_OK: the range is through, or visit or limit ended it; also when there are none.
 * AZOTH_NOTFOUND: no such namespace. AZOTH_DAMAGED: an entry cannot be decoded; those before it were visited. */
enum azoth_err azoth_scan(struct azoth *a, const char *ns, const struct azoth_range *range, azoth_visit *visit,
                          void *arg);

/* The namespaces of the snapshot in order. name is borrowed for the call; false ends it. */
typedef bool azoth_visit_ns(void *arg, const char *name);
enum azoth_err azoth_namespaces(struct azoth *a, azoth_visit_ns *visit, void *arg);

/* --- the applied position -------------------------------------------------------------------------------------- */
struct azoth_position {
    uint64_t epoch, seq;            /* both 0: nothing applied yet */
    uint64_t time_ms;               /* core time of that commit, milliseconds since 1970 */
    uint64_t keys, bytes;           /* entries in all namespaces; sum of their key and value lengths as stored */
    uint8_t digest[AZOTH_DIGEST_LEN];   /* of all entries: equal position, equal digest, on every node */
};
/* Of the snapshot, or outside of one of the newest state. */
enum azoth_err azoth_position(struct azoth *a, struct azoth_position *out);
/* Returns when the store has applied (epoch, seq) or something later: what a write at the core answered is then
 * visible in the next azoth_begin. Positions order by epoch first. timeout_ms: 0 looks once, negative waits for ever.
 * AZOTH_TIMEOUT.
 * Looks at the map every 1 ms, later every 50 ms; signals do not end it. */
enum azoth_err azoth_wait(struct azoth *a, uint64_t epoch, uint64_t seq, int timeout_ms);

const char *azoth_version(void);    /* of the library at run time, e.g. "0.1.0" */

#ifdef __GNUC__
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif

#endif
