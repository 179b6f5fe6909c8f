/* The journal: who changed which zone when, and each key of the store before and after. Written in the log's own
 * transaction (so it has exactly what was published), kept for core.journal's age and size, read by history, difference,
 * roll-back and IXFR.
 *
 *     commit_stage ─► seq ─► journal_note ─► ... ─► commit_flush        (replicator/commit.h: commit_note)
 *
 *     note    of the group BLAKE2b-128(apex), with epoch and seq (store.h: notes)
 *             [1, apex, time ms, serial before, serial after, author, forced, keys]
 *     keys    [[key, before or nil, after or nil], ...], the zone's header left out
 *             nil: the zone had no SOA before (it was made, or came out of the state EMPTY), or the difference is larger than
 *             JOURNAL_ENTRY_MAX: then nobody can step over this entry, and IXFR and roll-back say so
 *
 * History is that of the data: what a full disk or a start takes back from the log goes with its notes. A new epoch that an
 * operator asks for changes nothing here. Behind a lost log or a restored backup the entries that lead to that state stay to
 * be read, but differences, roll-back and IXFR begin there (journal_reach): what is missing before it nobody knows. */
#ifndef AZOTH_BUILDER_JOURNAL_H
#define AZOTH_BUILDER_JOURNAL_H

#include "builder/difference.h"
#include "replicator/commit.h"

#define JOURNAL_ENTRY_MAX ((size_t)32 << 20)

/* Who it was. name: of the API key or TSIG key, "" none; address: of the client, "" none. */
enum author_via { VIA_API = 1, VIA_PDNS, VIA_UPDATE, VIA_TRANSFER, VIA_FILE, VIA_OFFLINE, VIA_START, VIA_ROLLBACK, VIA_CATALOG };
extern const char *const author_via_names[10];      /* "", api, pdns, update, transfer, file, offline, start, rollback, catalog */
struct author { enum author_via via; char name[65]; char address[64]; };
#define AUTHOR_BYTES_MAX 160
void author_write(struct wr *w, const struct author *a);                /* one MessagePack array */
MUST_USE enum err author_read(struct bytes in, struct author *out);

/* Behind commit_stage of a zone's ops (ascending by key) and before the flush: what they change is noted with the transaction
 * (seq, as commit_stage gave it); nothing when that is the zone's header alone. v: a view that holds the state before all that is staged for this zone, begun. Serials are those
 * of the zone before and after; 0: it had none. Any error: all that was staged is gone. */
MUST_USE enum err journal_note(struct committer *c, struct view *v, struct bytes apex, const struct op *ops, size_t n,
                               uint64_t seq, const struct author *author, bool forced, struct fault *fault);

struct journal_entry {                  /* borrowed until the visit ends */
    uint64_t epoch, seq, time_ms;
    uint32_t serial_before, serial_after;
    struct author author;
    bool forced, whole;                 /* whole: too large, keys are not known */
    const struct key_change *keys; size_t n;
};
/* Reads beside the writer, any thread, one each. */
struct journal;
MUST_USE enum err journal_open(struct journal **out, struct store *s, struct fault *fault);
void journal_close(struct journal *j);                      /* NULL is fine */
/* A zone's entries with from <= seq <= to, ascending, until visit gives false. No view of j's log stays open behind it. */
typedef bool journal_visit_fn(void *arg, const struct journal_entry *e);
MUST_USE enum err journal_walk(struct journal *j, struct bytes apex, uint64_t from, uint64_t to, journal_visit_fn *visit,
                               void *arg, struct fault *fault);
/* The same, descending. */
MUST_USE enum err journal_walk_back(struct journal *j, struct bytes apex, uint64_t from, uint64_t to, journal_visit_fn *visit,
                                    void *arg, struct fault *fault);
/* The journal is complete from this seq on: the state behind the one before it is the oldest that can be gone back to. 0: it
 * is empty. */
MUST_USE enum err journal_reach(struct journal *j, uint64_t *seq, struct fault *fault);
/* Net difference of the zone between the states behind `from` and `to` (0: now): keys that came back to what they were do
 * not stand in it. ERR_GAP: the journal does not reach back that far, or steps over a whole entry. */
MUST_USE enum err journal_difference(struct journal *j, struct bytes apex, uint64_t from, uint64_t to, size_t most,
                                     struct difference *out, struct fault *fault);
/* The same between two serials, step by step, for IXFR: entries from the newest one that began at `serial`; none when the zone
 * stands at it. ERR_GAP: that serial is not known, or not all steps from it are, or a step did not move the serial. */
MUST_USE enum err journal_since(struct journal *j, struct bytes apex, uint32_t serial, journal_visit_fn *visit, void *arg,
                                struct fault *fault);
/* How many entries there are, and the bytes that they take in the log. */
MUST_USE enum err journal_figures(struct journal *j, uint64_t *entries, uint64_t *bytes);
/* In the writing thread, now and then: what is older than that, or beyond that many bytes, goes, oldest first, some at a
 * time; never more than a quarter of the log's map is kept. ERR_NOTNOW: nothing to do. */
struct journal_limits { uint64_t age_ms, bytes; };
MUST_USE enum err journal_trim(struct store *s, const struct journal_limits *l, uint64_t now_ms, struct fault *fault);

#endif
