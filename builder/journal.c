/* The journal in the notes beside the log: one note for each zone and transaction. */
#include "builder/journal_parts.h"

#include "base/clock.h"
#include "builder/build.h"
#include "builder/serial.h"

#include <inttypes.h>
#include <stdlib.h>

#define TRIM_NOTES 4096             /* looked at in one go */
#define TRIM_CHUNKS 2000            /* about 4 MB, 4 ms */
#define TRIM_SLACK 16               /* when over the limit, that part of it more goes */
#define NOTE_COST 120               /* the index and LMDB's bytes around a note */
#define MAP_SHARE 4                 /* of the log's map that part at most */

/* --- writing ------------------------------------------------------------------------------------------------------ */
struct noting {
    struct view *v;
    struct bytes apex;
    const struct op *ops; size_t n;
    struct key_change *keys;            /* what changes, but for the header; n of them in e */
    uint8_t soa[RRKEY_MAX]; size_t soa_len;
    struct journal_entry e;
};

/* The serial in a value of the SOA's key; 0: none, or it cannot be read. */
static uint32_t serial_of(struct bytes apex, struct bytes value)
{
    uint8_t rdata[2 * NAME_MAX_LEN + 20];
    struct rr_iter it;
    struct blob b;
    struct rr rr;
    uint32_t serial = 0;
    if (value.len == 0 || blob_read(value, &b) != OK)
        return 0;
    rr_iter_init(&it, apex, b.rr[0].wire, b.rr[0].count);
    if (rr_iter_next(&it, rdata, sizeof rdata, &rr) != OK || rr.type != TYPE_SOA || soa_serial(rr.rdata, &serial) != OK)
        return 0;
    return serial;
}

static enum err stored(struct view *v, struct bytes key, struct bytes *out)
{
    enum err err = view_get(v, dns_namespace, key, out);
    if (err != ERR_NOTFOUND)
        return err;
    *out = (struct bytes){ 0 };
    return OK;
}

static struct bytes op_value(const struct op *op) { return op->kind == OP_PUT ? op->value : (struct bytes){ 0 }; }

/* The SOA before and after. A zone that had none was not there, or empty: what it holds now is not a difference that somebody
 * could want to step over, and the first load of a large zone shall cost nothing here. */
static enum err note_serials(struct noting *t)
{
    struct wr w = wr_over(t->soa, sizeof t->soa);
    struct bytes before, after, key;
    enum err err = rrkey_write(t->apex, TYPE_SOA, &w);
    if (err != OK)
        return err;
    key = wr_done(&w);
    if ((err = stored(t->v, key, &before)) != OK)
        return err;
    after = before;
    for (size_t lo = 0, hi = t->n; lo < hi;) {
        size_t mid = lo + (hi - lo) / 2;
        int c = bytes_compare(t->ops[mid].key, key);
        if (c == 0)
            after = op_value(&t->ops[mid]);
        lo = c < 0 ? mid + 1 : lo;
        hi = c < 0 ? hi : c == 0 ? lo : mid;
    }
    t->e.serial_before = serial_of(t->apex, before);
    t->e.serial_after = serial_of(t->apex, after);
    t->e.whole = before.len == 0;
    return OK;
}

static bool is_header(struct bytes key)
{
    struct rrkey_parts parts;
    return rrkey_split(key, &parts) == OK && parts.slot == RRSLOT_ZONE;
}

static enum err note_keys(struct noting *t)
{
    size_t bytes = 0;
    for (size_t i = 0; i < t->n && !t->e.whole; i++) {
        struct key_change k = { .key = t->ops[i].key, .after = op_value(&t->ops[i]) };
        enum err err = stored(t->v, k.key, &k.before);
        if (err != OK)
            return err;
        if (bytes_equal(k.before, k.after) || is_header(k.key))
            continue;
        bytes += k.key.len + k.before.len + k.after.len;
        t->e.whole = t->e.whole || bytes > JOURNAL_ENTRY_MAX;
        t->keys[t->e.n++] = k;
    }
    return OK;
}

static enum err put_note(struct committer *c, const struct noting *t, uint64_t seq, struct fault *fault)
{
    uint8_t group[JOURNAL_GROUP_LEN];
    size_t room = entry_room(&t->e);
    uint8_t *buf = malloc(room);
    if (buf == NULL)
        return ERR_NOMEM;
    struct wr w = wr_over(buf, room);
    entry_write(&w, t->apex, &t->e);
    journal_group(t->apex, group);
    enum err err = w.full ? fault_set(fault, ERR_BAD, "a journal entry does not fit") :
                            commit_note(c, bytes_of(group, sizeof group), seq, wr_done(&w), fault);
    free(buf);
    return err;
}

MUST_USE enum err journal_note(struct committer *c, struct view *v, struct bytes apex, const struct op *ops, size_t n,
                               uint64_t seq, const struct author *author, bool forced, struct fault *fault)
{
    struct noting t = { .v = v, .apex = apex, .ops = ops, .n = n, .e = { .seq = seq, .author = *author, .forced = forced } };
    if (n == 0)
        return OK;
    enum err err = note_serials(&t);
    if (err == OK && (t.keys = malloc((t.e.whole ? 1 : n) * sizeof *t.keys)) == NULL)
        err = ERR_NOMEM;
    if (err == OK && !t.e.whole)
        err = note_keys(&t);
    t.e.keys = t.keys;
    t.e.time_ms = clock_wall_ms();      /* for people: core time may be ahead of the clock for a while after a crash */
    if (err != OK)
        (void)fault_set(fault, err, "cannot write the journal: %s", err_text(err));
    else if (t.e.whole || t.e.n > 0)
        err = put_note(c, &t, seq, fault);
    free(t.keys);
    if (err != OK)
        commit_drop(c);             /* as after any error of commit_stage but the one that changes nothing */
    return err == ERR_LIMIT ? ERR_STORE : err;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */
struct journal {
    struct log_reader *reader;
    uint8_t *buf; size_t cap;           /* the entry at hand */
    struct arena arena;
};

MUST_USE enum err journal_open(struct journal **out, struct store *s, struct fault *fault)
{
    struct journal *j = calloc(1, sizeof *j);
    if (j == NULL)
        return ERR_NOMEM;
    arena_init(&j->arena);
    enum err err = log_reader_open(s, &j->reader, fault);
    if (err != OK) {
        free(j);
        return err;
    }
    *out = j;
    return OK;
}

void journal_close(struct journal *j)
{
    if (j == NULL)
        return;
    log_reader_close(j->reader);
    free(j->buf);
    arena_release(&j->arena);
    free(j);
}

static enum err reach(struct journal *j, uint64_t *out)
{
    enum err err = log_reader_begin(j->reader);
    if (err != OK)
        return err;
    err = lognote_reach(j->reader, out);
    log_reader_end(j->reader);
    return err;
}

MUST_USE enum err journal_reach(struct journal *j, uint64_t *seq, struct fault *fault)
{
    enum err err = reach(j, seq);
    return err == OK ? OK : fault_set(fault, err, "cannot read the journal: %s", err_text(err));
}

/* A place between the notes of a zone: at the first one at or behind (seq, n), or in front of that. */
struct step { uint64_t seq; uint16_t n; bool back; };

/* The zone's next entry into j->buf and *out; at moves behind it (back: in front). full false: its keys are not needed. */
static enum err entry_next(struct journal *j, struct bytes apex, struct step *at, bool full, struct journal_entry *out)
{
    uint8_t group[JOURNAL_GROUP_LEN];
    struct lognote note;
    struct bytes of;
    journal_group(apex, group);
    const struct bytes g = bytes_of(group, sizeof group);
    enum err err = log_reader_begin(j->reader);
    if (err != OK)
        return err;
    err = at->back ? lognote_prev(j->reader, g, at->seq, at->n, &note) : lognote_next(j->reader, g, at->seq, at->n, &note);
    if (err == OK && note.whole > j->cap) {
        uint8_t *more = realloc(j->buf, note.whole);
        err = more == NULL ? ERR_NOMEM : OK;
        j->buf = more != NULL ? more : j->buf;
        j->cap = more != NULL ? note.whole : j->cap;
    }
    if (err == OK)
        err = lognote_read(j->reader, &note, j->buf);
    log_reader_end(j->reader);
    if (err != OK)
        return err;
    arena_reset(&j->arena);
    struct journal_entry e = { .epoch = note.epoch, .seq = note.seq };
    struct bytes all = bytes_of(j->buf, note.whole);
    struct rd r = rd_over(all);
    err = full ? entry_read(all, &j->arena, &of, &e) : entry_read_front(&r, &of, &e);
    if (err == OK && !name_equal(of, apex))
        err = ERR_BAD;
    at->seq = note.seq;
    at->n = (uint16_t)(at->back ? note.n : note.n + 1);
    if (err == OK)
        *out = e;
    return err == ERR_SHORT ? ERR_BAD : err;
}

static enum err unreadable(struct fault *fault, enum err err)
{
    return fault_set(fault, err, "cannot read the journal: %s", err_text(err));
}

MUST_USE enum err journal_walk(struct journal *j, struct bytes apex, uint64_t from, uint64_t to, journal_visit_fn *visit,
                               void *arg, struct fault *fault)
{
    struct step at = { .seq = from };
    struct journal_entry e;
    enum err err;
    while ((err = entry_next(j, apex, &at, true, &e)) == OK && e.seq <= to)
        if (!visit(arg, &e))
            return OK;
    return err == OK || err == ERR_NOTFOUND ? OK : unreadable(fault, err);
}

MUST_USE enum err journal_walk_back(struct journal *j, struct bytes apex, uint64_t from, uint64_t to, journal_visit_fn *visit,
                                    void *arg, struct fault *fault)
{
    struct step at = { .seq = to == UINT64_MAX ? to : to + 1, .back = true };
    struct journal_entry e;
    enum err err;
    while ((err = entry_next(j, apex, &at, true, &e)) == OK && e.seq >= from)
        if (!visit(arg, &e))
            return OK;
    return err == OK || err == ERR_NOTFOUND ? OK : unreadable(fault, err);
}

/* --- net difference ----------------------------------------------------------------------------------------------- */
/* Steps are taken apart by RRset before they are joined: an RRset may stand under other keys at the end than at the begin,
 * when a zone came or went above or below. */
struct fold {
    struct bytes apex;
    struct difference all;              /* of each step, one behind the other */
    size_t joined;                      /* so many are one of each RRset already */
    struct fault *fault;
    enum err err;
};
#define FOLD_SLACK 65536

static int by_rrset(const void *a, const void *b)
{
    const struct rrset_change *x = *(const struct rrset_change *const *)a, *y = *(const struct rrset_change *const *)b;
    int c = bytes_equal(x->owner, y->owner) ? 0 : name_compare(x->owner, y->owner);
    if (c == 0 && x->type != y->type)
        c = x->type < y->type ? -1 : 1;
    if (c == 0 && x->covers != y->covers)
        c = x->covers < y->covers ? -1 : 1;
    return c != 0 ? c : (x > y) - (x < y);          /* of one RRset: as they came */
}

static bool same_rrset(const struct rrset_change *x, const struct rrset_change *y)
{
    return x->type == y->type && x->covers == y->covers && bytes_equal(x->owner, y->owner);
}

/* Of each RRset the first before and the last after. */
static enum err fold_join(const struct difference *all, size_t most, struct difference *out)
{
    const struct rrset_change **v = malloc((all->n + 1) * sizeof *v);
    enum err err = v == NULL ? ERR_NOMEM : OK;
    for (size_t i = 0; i < all->n && err == OK; i++)
        v[i] = &all->v[i];
    if (err == OK && all->n > 1)
        qsort(v, all->n, sizeof *v, by_rrset);
    for (size_t i = 0, end; i < all->n && err == OK; i = end) {
        struct rrset_change c = *v[i];
        for (end = i + 1; end < all->n && same_rrset(v[i], v[end]); end++)
            c.after = v[end]->after;
        err = difference_add(out, &c, most);
    }
    free(v);
    return err;
}

static enum err fold_now(struct fold *f)
{
    struct difference joined;
    difference_init(&joined);
    enum err err = fold_join(&f->all, 0, &joined);
    if (err != OK) {
        difference_release(&joined);
        return err;
    }
    difference_release(&f->all);
    f->all = joined;
    f->joined = joined.n;
    return OK;
}

static bool fold_entry(void *arg, const struct journal_entry *e)
{
    struct fold *f = arg;
    if (e->whole) {
        f->err = fault_set(f->fault, ERR_GAP, "the change with seq %" PRIu64 " made the zone anew or was too large to be kept RRset "
                           "by RRset: nothing steps over it", e->seq);
        return false;
    }
    f->err = difference_of_keys(f->apex, e->keys, e->n, 0, &f->all, f->fault);
    if (f->err == OK && f->all.n > 2 * f->joined + FOLD_SLACK)
        f->err = fold_now(f);
    return f->err == OK;
}

static enum err reach_check(struct journal *j, uint64_t from, struct fault *fault)
{
    uint64_t first = 0;
    enum err err = reach(j, &first);
    if (err != OK)
        return unreadable(fault, err);
    if (first == 0)
        return fault_set(fault, ERR_GAP, "the journal is empty");
    if (from + 1 < first)
        return fault_set(fault, ERR_GAP, "the journal reaches back to the state behind seq %" PRIu64 ", not to that behind %" PRIu64,
                         first - 1, from);
    return OK;
}

MUST_USE enum err journal_difference(struct journal *j, struct bytes apex, uint64_t from, uint64_t to, size_t most,
                                     struct difference *out, struct fault *fault)
{
    struct fold f = { .apex = apex, .fault = fault };
    difference_init(&f.all);
    enum err err = from == UINT64_MAX ? OK : reach_check(j, from, fault);
    if (err == OK && from < UINT64_MAX)
        err = journal_walk(j, apex, from + 1, to == 0 ? UINT64_MAX : to, fold_entry, &f, fault);
    if (err == OK)
        err = f.err;
    if (err == OK)
        err = reach_check(j, from, fault);          /* what was trimmed meanwhile was not seen */
    if (err == OK)
        err = fold_join(&f.all, most, out);
    difference_release(&f.all);
    return err;
}

/* --- from serial to serial ---------------------------------------------------------------------------------------- */
/* Behind the entry that led away from `serial`: a step before it that stayed there leaves open which of the two states is meant. */
static enum err since_sure(struct journal *j, struct bytes apex, uint32_t serial, struct step *at)
{
    struct journal_entry e;
    enum err err = entry_next(j, apex, at, false, &e);
    if (err != OK)
        return err == ERR_NOTFOUND ? OK : err;
    return !e.whole && e.serial_before == serial && e.serial_after == serial ? ERR_GAP : OK;
}

/* The entry from which on all steps from `serial` are known; *none: the zone stands at it. */
static enum err since_find(struct journal *j, struct bytes apex, uint32_t serial, uint64_t *from, bool *none)
{
    struct step at = { .seq = UINT64_MAX, .n = UINT16_MAX, .back = true };
    struct journal_entry e;
    uint32_t next = 0;
    bool newest = true;
    enum err err;
    while ((err = entry_next(j, apex, &at, false, &e)) == OK) {
        if (newest && e.serial_after == serial && e.serial_before != serial) {
            *none = true;
            return OK;
        }
        if (e.whole || e.serial_before == e.serial_after || (!newest && e.serial_after != next))
            return ERR_GAP;             /* without a serial of its own nobody can ask for that step, nor do without it */
        if (e.serial_before == serial) {
            *from = e.seq;
            return since_sure(j, apex, serial, &at);
        }
        next = e.serial_before;
        newest = false;
    }
    return err == ERR_NOTFOUND ? ERR_GAP : err;
}

MUST_USE enum err journal_since(struct journal *j, struct bytes apex, uint32_t serial, journal_visit_fn *visit, void *arg,
                                struct fault *fault)
{
    uint64_t from = 0;
    bool none = false;
    enum err err = since_find(j, apex, serial, &from, &none);
    if (err == OK && !none)
        err = reach_check(j, from - 1, fault);
    if (err == ERR_GAP)
        return fault_set(fault, ERR_GAP, "the journal does not know all steps from serial %" PRIu32, serial);
    if (err != OK)
        return unreadable(fault, err);
    return none ? OK : journal_walk(j, apex, from, UINT64_MAX, visit, arg, fault);
}

/* --- retention ---------------------------------------------------------------------------------------------------- */
static enum err trim_limit(struct store *s, const struct journal_limits *l, uint64_t *bytes)
{
    struct store_figures f;
    enum err err = store_figures(s, &f);
    *bytes = err == OK && l->bytes > f.log_map_bytes / MAP_SHARE ? f.log_map_bytes / MAP_SHARE : l->bytes;
    return err;
}

/* The first seq that stays; 0: nothing goes. */
static enum err trim_decide(struct log_reader *r, const struct journal_limits *l, uint64_t limit, uint64_t now_ms, uint64_t *before)
{
    uint64_t notes, bytes, freed = 0, old_ms = now_ms > l->age_ms ? now_ms - l->age_ms : 0;
    struct step at = { .seq = 1 };
    enum err err = lognote_size(r, &notes, &bytes);
    uint64_t need = bytes > limit ? bytes - limit + limit / TRIM_SLACK : 0;
    *before = 0;
    for (unsigned i = 0; i < TRIM_NOTES && err == OK; i++) {
        struct lognote note;
        struct journal_entry e = { .seq = 0 };
        struct bytes apex;
        if ((err = lognote_next(r, (struct bytes){ 0 }, at.seq, at.n, &note)) != OK)
            break;
        struct rd front = rd_over(note.front);
        if (entry_read_front(&front, &apex, &e) == OK && e.time_ms >= old_ms && freed >= need)
            break;                      /* one that does not read goes */
        freed += note.whole + note.whole / 16 + NOTE_COST;
        *before = note.seq + 1;
        at = (struct step){ .seq = note.seq, .n = (uint16_t)(note.n + 1) };
    }
    return err == ERR_NOTFOUND ? OK : err;
}

MUST_USE enum err journal_trim(struct store *s, const struct journal_limits *l, uint64_t now_ms, struct fault *fault)
{
    struct log_reader *reader;
    struct log_txn *txn = NULL;
    uint64_t before = 0, limit;
    bool more;
    enum err err = log_reader_open(s, &reader, fault);
    if (err != OK)
        return err;
    if ((err = trim_limit(s, l, &limit)) == OK && (err = log_reader_begin(reader)) == OK) {
        err = trim_decide(reader, l, limit, now_ms, &before);
        log_reader_end(reader);
    }
    log_reader_close(reader);
    if (err != OK)
        return unreadable(fault, err);
    if (before == 0)
        return ERR_NOTNOW;
    if ((err = log_begin(s, &txn, fault)) != OK)
        return err;
    if ((err = lognote_trim(txn, before, TRIM_CHUNKS, &more, fault)) == OK)
        return log_commit(txn, fault);
    log_abort(txn);
    return err;
}

MUST_USE enum err journal_figures(struct journal *j, uint64_t *entries, uint64_t *bytes)
{
    enum err err = log_reader_begin(j->reader);
    if (err != OK)
        return err;
    err = lognote_size(j->reader, entries, bytes);
    log_reader_end(j->reader);
    return err;
}
