/* The source of records: what users edit, and the events that tell the builder of it. An interface: recordbook.h is the
 * embedded one (LMDB in DIR/records); another may stand beside it, PostgreSQL with its own outbox, say.
 *
 *     source_begin ─► zones, rows, keys, events: read and written ─► source_commit        one transaction, durable when it
 *                                                                                          returns, all or nothing
 *
 *     zones    apex ─► id, settings                     rows    zone id, owner, type, covers ─► TTL, records, comments
 *     keys     name ─► algorithm, secret, rights        outbox  number ─► zone, what is to be built, by whom
 *     history  number ─► what happened to a zone's settings or to a key, and who did it
 *     secondaries  apex ─► when it was asked for, when it expires
 *
 * A zone's rows hang on its id, which is never used twice: a whole zone is written under a fresh id beside the old rows,
 * in pieces, and one transaction makes the zone point to it (source_zone_put). Rows of ids that no zone points to are
 * dropped later (source_sweep), also what an import that was cut off left.
 *
 * One transaction at a time writes, in whatever thread began it (source_begin waits for the other); any number read
 * beside it. What a transaction gives is borrowed until it ends. Owners: uncompressed wire names, any case going in, lower
 * case coming out. Errors of the storage: ERR_FULL, ERR_STORE, ERR_NOMEM; ERR_BAD: a stored row does not read. */
#ifndef AZOTH_BUILDER_SOURCE_H
#define AZOTH_BUILDER_SOURCE_H

#include "base/arena.h"
#include "builder/refresh.h"

struct source;
struct source_txn;
/* SOURCE_WRITE_KEPT: for source_kept. SOURCE_READ_NAMED: zones and keys as they are, rows and events maybe as they were a moment ago;
 * waits for nobody. */
enum source_mode { SOURCE_READ, SOURCE_READ_NAMED, SOURCE_WRITE, SOURCE_WRITE_KEPT };

void source_close(struct source *s);                        /* NULL is fine */
MUST_USE enum err source_begin(struct source *s, enum source_mode mode, struct source_txn **out, struct fault *fault);
/* Frees t in every case. An error: nothing was committed; but when source_is_broken, it may have been. */
MUST_USE enum err source_commit(struct source_txn *t, struct fault *fault);
void source_abort(struct source_txn *t);                    /* NULL is fine; how a reading one ends */

/* --- beside a log that is synced anyway: one flush for both -------------------------------------------------------------
 *     source_kept ─► bytes, into the log's flush ─► source_commit_soft ─► ... ─► source_settle: they are needed no more
 *         └─ a crash of the machine: source_again with all of them, in order, then source_settle */
/* What a SOURCE_WRITE_KEPT did, as bytes; the last call before its commit. Borrowed until it ends. Any error: this one has to be
 * committed by source_commit. */
MUST_USE enum err source_kept(struct source_txn *t, struct bytes *out);
/* As source_commit, but a crash of the machine may take it back, with all such commits since the newest source_commit or
 * source_settle: whoever holds their bytes can do them again. */
MUST_USE enum err source_commit_soft(struct source_txn *t, struct fault *fault);
/* The same, but it may stay open in the writing thread, whose next SOURCE_WRITE_KEPT goes on in it: SOURCE_READ, and whoever else writes,
 * wait for source_let_go. When one that goes on in others is aborted after it changed something, they are gone with it: the source is
 * barred. One that touched zones or keys does not stay open. */
MUST_USE enum err source_commit_later(struct source_txn *t, struct fault *fault);
/* want: asks the writing thread for source_let_go, as somebody waits; any thread, it must not wait. NULL: nothing stays open any more. */
void source_on_hold(struct source *s, void (*want)(void *arg), void *arg);
/* By the thread that holds it. Errors: as of source_commit_soft. */
MUST_USE enum err source_let_go(struct source *s, struct fault *fault);
bool source_is_held(struct source *s);              /* for that thread */
/* Does it again where it is the next that is missing, committed as by source_commit_soft; nothing where it is there. ERR_BAD: not
 * such bytes. ERR_GAP: they are of another past. */
MUST_USE enum err source_again(struct source *s, struct bytes kept, struct fault *fault);
/* All that was committed is durable. An error: the source is broken. Any thread. */
MUST_USE enum err source_settle(struct source *s, struct fault *fault);
/* From now on (before source_abort of a transaction whose bytes may be in the log), or no more: only source_again writes; all else is
 * ERR_STORE. A source_commit_soft that fails does so itself. Any thread. */
void source_bar(struct source *s, bool on);
bool source_is_barred(struct source *s);

/* --- zones --------------------------------------------------------------------------------------------------------- */
struct zone_row { struct name apex; uint64_t id; struct bytes settings; };      /* apex: lower case; settings: settings.h */
/* ERR_NOTFOUND. */
MUST_USE enum err source_zone(struct source_txn *t, struct bytes apex, struct zone_row *out);
/* The first zone behind `after` in canonical order (empty: the first of all). ERR_NOTFOUND: none is left. */
MUST_USE enum err source_zone_next(struct source_txn *t, struct bytes after, struct zone_row *out);
/* A number that was never a zone's id. Rows may be written under it in this and in later transactions; source_sweep leaves
 * them alone until a zone that pointed there no longer does, source_drop_id gave it up, or the source was opened anew. */
MUST_USE enum err source_fresh_id(struct source_txn *t, uint64_t *out, struct fault *fault);
/* No zone will point to this fresh id. ERR_NOTFOUND: one does, or it is gone already. */
MUST_USE enum err source_drop_id(struct source_txn *t, uint64_t id, struct fault *fault);
/* Makes the zone, or says anew what it is; id: from source_fresh_id or the one it has (ERR_NOTNOW: neither). */
MUST_USE enum err source_zone_put(struct source_txn *t, const struct zone_row *z, struct fault *fault);
MUST_USE enum err source_zone_del(struct source_txn *t, struct bytes apex, struct fault *fault);       /* ERR_NOTFOUND */
MUST_USE enum err source_zone_count(struct source_txn *t, uint64_t *out);
/* What a secondary's scheduler remembers of a zone: stands under its name, as long as the zone is there, whatever its id.
 * ERR_NOTFOUND: no such zone, or nothing was put yet. */
MUST_USE enum err source_secondary(struct source_txn *t, struct bytes apex, struct refresh_kept *out);
MUST_USE enum err source_secondary_put(struct source_txn *t, struct bytes apex, const struct refresh_kept *k, struct fault *fault);
MUST_USE enum err source_secondary_del(struct source_txn *t, struct bytes apex, struct fault *fault);  /* ERR_NOTFOUND */

/* --- rows: one per RRset --------------------------------------------------------------------------------------------- */
struct row_rr { struct bytes rdata; bool disabled; };       /* uncompressed wire form */
struct comment { struct bytes text, account; uint64_t modified_s; };
struct row {
    struct bytes owner;
    uint16_t type, covers;              /* covers: for TYPE_RRSIG, else 0 */
    uint32_t ttl;
    uint64_t modified_s;
    const struct row_rr *rr; size_t n;                      /* all disabled, or none: the RRset is not published */
    const struct comment *comments; size_t comments_n;
};
#define ROW_BYTES_MAX ((size_t)8 << 20)
/* ERR_NOTFOUND. */
MUST_USE enum err source_row(struct source_txn *t, uint64_t zone, struct bytes owner, uint16_t type, uint16_t covers,
                             struct row *out);
/* All of an owner, ascending by type and covers; n 0: none. */
MUST_USE enum err source_owner(struct source_txn *t, uint64_t zone, struct bytes owner, const struct row **out, size_t *n);
/* All of a zone in canonical order of owners, from `from` on (empty: all), until visit gives false. What visit is shown is
 * borrowed until it returns; it must not write to the source. Within an owner signatures come last. */
typedef bool row_visit_fn(void *arg, const struct row *row);
MUST_USE enum err source_rows(struct source_txn *t, uint64_t zone, struct bytes from, row_visit_fn *visit, void *arg);
/* n and comments_n 0: there is no such row afterwards. ERR_LIMIT: larger than ROW_BYTES_MAX. ERR_FULL: never for a row that
 * goes or shrinks, as long as what is kept for deletes holds it; the same goes for events of such. */
MUST_USE enum err source_row_put(struct source_txn *t, uint64_t zone, const struct row *row, struct fault *fault);
/* Drops at most `most` rows of ids that no zone points to; *left: some are left. */
MUST_USE enum err source_sweep(struct source_txn *t, unsigned most, bool *left, struct fault *fault);

/* --- outbox ---------------------------------------------------------------------------------------------------------- */
enum event_kind {
    EVENT_ROW = 1,      /* this row moved: a rename is two events */
    EVENT_WHOLE,        /* all rows may have, or settings that touch every RRset */
    EVENT_GONE,         /* the zone was removed */
};
struct event {
    uint64_t number;                    /* ascending in order of the changes; given by source_event_add */
    enum event_kind kind;
    struct name apex;
    bool force;                         /* the guards were told so */
    struct bytes author;                /* of the change, as author_write made it (change.h) */
    struct bytes owner; uint16_t type, covers;              /* EVENT_ROW */
    struct bytes before, after;         /* EVENT_ROW: the rows (row_write in rows.h); empty: none */
};
MUST_USE enum err source_event_add(struct source_txn *t, struct event *e, struct fault *fault);
/* Ascending, until visit gives false. What it is shown is borrowed until it returns; it must not write to the source. */
typedef bool event_visit_fn(void *arg, const struct event *e);
MUST_USE enum err source_events(struct source_txn *t, uint64_t from, event_visit_fn *visit, void *arg);
/* It is in the store, durably. ERR_NOTFOUND: it was gone already. */
MUST_USE enum err source_event_done(struct source_txn *t, uint64_t number, struct fault *fault);

/* A position of the log: everything whose event is done stands at or before it. */
struct source_mark { uint64_t epoch, seq; };
MUST_USE enum err source_mark(struct source_txn *t, struct source_mark *out);          /* ERR_NOTFOUND: never set */
MUST_USE enum err source_mark_put(struct source_txn *t, const struct source_mark *m, struct fault *fault);

/* --- history of settings and keys ------------------------------------------------------------------------------------ */
#define HISTORY_MOST 200000             /* entries that are kept, of all zones and keys together; the oldest go first */
enum history_subject { HISTORY_ZONE = 1, HISTORY_KEY };
struct history_row {
    uint64_t number;                    /* ascending in order of the changes; given by source_history_add */
    enum history_subject subject;
    struct name name;                   /* of the zone or key, lower case */
    uint64_t time_ms;                   /* Unix time, for people */
    uint64_t epoch, seq;                /* where the log stood before it */
    struct bytes author;                /* as author_write made it */
    struct bytes before, after;         /* JSON text (traces.h); ptr NULL: there was nothing, is nothing */
};
/* In the transaction of what it tells of. It may take what is kept for deletes, as a delete is told of, too. */
MUST_USE enum err source_history_add(struct source_txn *t, struct history_row *h, struct fault *fault);
MUST_USE enum err source_history_del(struct source_txn *t, uint64_t number, struct fault *fault);       /* ERR_NOTFOUND */
/* Those of one zone, or of one key (name empty: of all keys), whose number is below `before`, newest first, until visit gives false.
 * What it is shown is borrowed until it returns; it must not write to the source. */
typedef bool history_visit_fn(void *arg, const struct history_row *h);
MUST_USE enum err source_history(struct source_txn *t, enum history_subject subject, struct bytes name, uint64_t before,
                                 history_visit_fn *visit, void *arg);

/* --- TSIG keys ------------------------------------------------------------------------------------------------------- */
#define TSIG_SECRET_MAX 512
struct tsig_key_row {
    struct name name;                   /* lower case */
    struct bytes algorithm;             /* text: "hmac-sha256" ... */
    struct bytes secret;                /* the bytes */
    struct bytes rights;                /* JSON (rights.h): what it may update, transfer; empty: nothing but what zones say */
};
MUST_USE enum err source_tsig(struct source_txn *t, struct bytes name, struct tsig_key_row *out);       /* ERR_NOTFOUND */
MUST_USE enum err source_tsig_next(struct source_txn *t, struct bytes after, struct tsig_key_row *out);
MUST_USE enum err source_tsig_put(struct source_txn *t, const struct tsig_key_row *k, struct fault *fault);
MUST_USE enum err source_tsig_del(struct source_txn *t, struct bytes name, struct fault *fault);        /* ERR_NOTFOUND */
/* Moves with every change to zones or keys: whoever keeps copies asks again when it did. Any thread. */
uint64_t source_version(const struct source *s);

/* --- figures --------------------------------------------------------------------------------------------------------- */
/* Without what stays open (source_commit_later). used_bytes: with those that are free again. broken: nothing can be read or written until the
 * source is opened anew (all the rest is 0 then). rows: also those that source_sweep will take. */
struct source_figures { uint64_t zones, rows, events, keys, used_bytes, free_bytes, map_bytes; bool broken; };
MUST_USE enum err source_figures(struct source *s, struct source_figures *out);
bool source_is_broken(struct source *s);

#endif
