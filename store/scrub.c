#include "store/scrub.h"

#include <stdlib.h>

#include "base/clock.h"
#include "store/internal.h"

#define LOOK_AT_CLOCK 8         /* entries; a large value counts for more */
#define LOOK_BYTES 16384

struct place {
    char ns[STORE_NS_MAX];
    size_t ns_len;              /* 0: before the first namespace */
    bool ns_done;               /* behind the last key of ns; else at `key` */
    uint8_t key[STORE_KEY_MAX];
    size_t key_len;             /* 0: before the first key of ns */
};

/* Sum over entries; counts may be negative while they are a transaction's difference. */
struct sum { struct digest lanes; int64_t keys, bytes; };

struct scrub {
    struct scrub_options o;
    struct view *view;
    struct cursor *cursor;      /* over place.ns; NULL: none yet */
    unsigned generation;        /* whose entries the sum is of */
    bool begun;
    struct place place;
    struct sum sum;
    struct sum noted;           /* by the open transaction */
    uint64_t notes;             /* of the open transaction */
    bool noted_void;            /* it changes too much */
    unsigned voids;             /* void rounds in a row */
    struct scrub_news round;
    struct fault worst;
};

/* --- what transactions tell ---------------------------------------------------------------------------------------- */
static bool passed(const struct place *p, struct bytes ns, struct bytes key)
{
    if (p->ns_len == 0)
        return false;
    int order = bytes_compare(ns, bytes_of(p->ns, p->ns_len));
    if (order != 0)
        return order < 0;
    return p->ns_done || (p->key_len > 0 && bytes_compare(key, bytes_of(p->key, p->key_len)) <= 0);
}

static bool noting(struct scrub *s, struct bytes ns, struct bytes key)
{
    if (!s->begun || s->noted_void || !passed(&s->place, ns, key))
        return false;
    if (++s->notes > SCRUB_NOTES_MAX && s->voids < SCRUB_VOIDS_MAX)
        s->noted_void = true;
    return !s->noted_void;
}

void scrub_note_out(struct scrub *s, struct bytes ns, struct bytes key, struct bytes value)
{
    if (!noting(s, ns, key))
        return;
    digest_sub(&s->noted.lanes, ns, key, value);
    s->noted.keys--;
    s->noted.bytes -= (int64_t)(key.len + value.len);
}

void scrub_note_in(struct scrub *s, struct bytes ns, struct bytes key, struct bytes value)
{
    if (!noting(s, ns, key))
        return;
    digest_add(&s->noted.lanes, ns, key, value);
    s->noted.keys++;
    s->noted.bytes += (int64_t)(key.len + value.len);
}

struct scrub *scrub_watching(const struct store *s, const struct gen *g)
{
    return s->scrub != NULL && s->scrub->begun && s->scrub->generation == g->number ? s->scrub : NULL;
}

void scrub_txn_end(struct scrub *s, bool committed)
{
    if (s->notes > 0 && committed && s->noted_void) {
        s->begun = false;
        s->voids++;
    } else if (s->notes > 0 && committed) {
        digest_merge(&s->sum.lanes, &s->noted.lanes);
        s->sum.keys += s->noted.keys;
        s->sum.bytes += s->noted.bytes;
    }
    if (s->notes > 0)
        s->noted = (struct sum){ .keys = 0 };
    s->notes = 0;
    s->noted_void = false;
}

/* --- walking -------------------------------------------------------------------------------------------------------- */
static void bad(struct scrub *s, struct bytes ns, struct bytes key, const char *why)
{
    s->round.bad++;
    (void)fault_set(&s->worst, OK, "%s", why);
    if (s->o.bad != NULL)
        s->o.bad(s->o.arg, ns, key, why);
}

static void round_begin(struct scrub *s)
{
    cursor_close(s->cursor);
    s->cursor = NULL;
    s->generation = view_generation(s->view);
    s->begun = true;
    s->place.ns_len = s->place.key_len = 0;
    s->place.ns_done = false;
    s->sum = (struct sum){ .keys = 0 };
    s->round = (struct scrub_news){ .ended = false };
    s->worst.text[0] = '\0';
}

/* The place moves before the first key of the next namespace. ERR_NOTFOUND: there is none. */
static enum err next_namespace(struct scrub *s)
{
    char names[STORE_NAMESPACES_MAX][STORE_NS_MAX + 1];
    struct bytes here = bytes_of(s->place.ns, s->place.ns_len);
    size_t n, i = 0;
    enum err err = view_namespaces(s->view, names, &n);
    if (err != OK)
        return err;
    while (i < n && s->place.ns_len > 0 && bytes_compare(bytes_of_text(names[i]), here) <= 0)
        i++;
    if (i == n)
        return ERR_NOTFOUND;
    cursor_close(s->cursor);
    s->cursor = NULL;
    if ((err = cursor_open(s->view, bytes_of_text(names[i]), &s->cursor)) != OK)
        return err;
    s->place.ns_len = strlen(names[i]);
    memcpy(s->place.ns, names[i], s->place.ns_len);
    s->place.ns_done = false;
    s->place.key_len = 0;
    return OK;
}

/* The first entry behind the place, by a seek. */
static enum err entry_seek(struct scrub *s, struct entry *e)
{
    struct bytes at = bytes_of(s->place.key, s->place.key_len);
    enum err err = cursor_seek(s->cursor, at, e);
    if (err == OK && at.len > 0 && bytes_equal(e->key, at))
        err = cursor_next(s->cursor, e);
    return err;
}

/* false: it cannot stand there; going on from it might go in circles. */
static bool entry_take(struct scrub *s, const struct entry *e)
{
    struct bytes ns = bytes_of(s->place.ns, s->place.ns_len), before = bytes_of(s->place.key, s->place.key_len);
    struct fault why = { "" };
    if (e->key.len == 0 || e->key.len > STORE_KEY_MAX || (before.len > 0 && bytes_compare(e->key, before) <= 0)) {
        bad(s, ns, before, "the entry behind this key does not sort behind it");
        return false;
    }
    digest_add(&s->sum.lanes, ns, e->key, e->value);
    s->sum.keys++;
    s->sum.bytes += (int64_t)(e->key.len + e->value.len);
    s->round.entries++;
    s->round.bytes += e->key.len + e->value.len;
    s->round.slice_entries++;
    s->round.slice_bytes += e->key.len + e->value.len;
    enum err err = s->o.check != NULL ? s->o.check(s->o.arg, ns, e, &why) : OK;
    if (err != OK)
        bad(s, ns, e->key, why.text[0] != '\0' ? why.text : err_text(err));
    memcpy(s->place.key, e->key.ptr, e->key.len);
    s->place.key_len = e->key.len;
    return true;
}

static bool spent(const struct scrub *s, const struct scrub_budget *b, uint64_t since_us, uint64_t *look_at)
{
    const struct scrub_news *r = &s->round;
    if (r->slice_entries >= b->entries || r->slice_bytes >= b->bytes)
        return true;
    uint64_t done = r->slice_entries * (LOOK_BYTES / LOOK_AT_CLOCK) + r->slice_bytes;
    if (done < *look_at)
        return false;
    *look_at = done + LOOK_BYTES;
    return clock_mono_us() - since_us >= b->us;
}

/* Behind the last entry: the sum against what commits left in the lanes, and the head. */
static void compare(struct scrub *s)
{
    static const struct bytes none = { 0 };
    struct head h = { .seq = 0 };
    struct digest lanes;
    uint8_t have[DIGEST_LEN], want[DIGEST_LEN];
    enum err err = view_head(s->view, &h, NULL);
    if (err == ERR_NOTFOUND) {
        digest_final(&s->sum.lanes, h.digest);
        h.keys = h.bytes = 0;
    } else if (err != OK) {
        bad(s, none, none, "the head cannot be read");
        return;
    }
    if ((err = view_digest(s->view, &lanes)) != OK) {
        bad(s, none, none, "the stored digest cannot be read");
        return;
    }
    digest_final(&s->sum.lanes, have);
    digest_final(&lanes, want);
    if (memcmp(have, want, DIGEST_LEN) != 0 || memcmp(want, h.digest, DIGEST_LEN) != 0)
        bad(s, none, none, "the digest over all entries is not the head's");
    else if (s->sum.keys != (int64_t)h.keys || s->sum.bytes != (int64_t)h.bytes)
        bad(s, none, none, "the number of entries is not the head's");
}

static void round_end(struct scrub *s)
{
    s->round.ended = true;
    s->round.good = s->round.bad == 0;
    s->begun = false;
    s->voids = 0;
}

/* Entries until the budget is spent or the round is over. Whatever LMDB cannot read is rot as well: the round ends. */
static void walk(struct scrub *s, const struct scrub_budget *b, uint64_t since_us)
{
    uint64_t look_at = LOOK_BYTES;
    bool seek = true;
    struct entry e;
    while (!s->round.ended && !spent(s, b, since_us, &look_at)) {
        enum err err = OK;
        if (s->place.ns_len == 0 || s->place.ns_done) {
            err = next_namespace(s);
            seek = true;
            if (err == ERR_NOTFOUND)
                compare(s);
        } else {
            err = seek ? entry_seek(s, &e) : cursor_next(s->cursor, &e);
            seek = false;
            if (err == ERR_NOTFOUND) {
                s->place.ns_done = true;
                continue;
            }
            if (err == OK && entry_take(s, &e))
                continue;
            if (err != OK)
                bad(s, bytes_of(s->place.ns, s->place.ns_len), bytes_of(s->place.key, s->place.key_len),
                    "what stands behind this key cannot be read");
            err = ERR_NOTFOUND;
        }
        if (err == ERR_NOTFOUND) {
            round_end(s);
        } else if (err != OK) {
            bad(s, (struct bytes){ 0 }, (struct bytes){ 0 }, "the namespaces cannot be read");
            round_end(s);
        }
    }
}

bool scrub_is_stale(const struct scrub *s) { return view_is_stale(s->view); }

MUST_USE enum err scrub_slice(struct scrub *s, const struct scrub_budget *budget, struct scrub_news *news,
                              struct fault *fault)
{
    uint64_t since_us = clock_mono_us();
    if (s->o.store->writing)
        return fault_set(fault, ERR_NOTNOW, "a transaction is open");
    enum err err = view_begin(s->view);
    if (err != OK)
        return fault_set(fault, err, "cannot read: %s", err_text(err));
    if (!s->begun || view_generation(s->view) != s->generation)
        round_begin(s);
    s->round.slice_entries = s->round.slice_bytes = 0;
    walk(s, budget, since_us);
    view_end(s->view);
    *news = s->round;
    if (news->ended && !news->good)
        (void)fault_set(fault, OK, "%s", s->worst.text);
    return OK;
}

/* --- life ------------------------------------------------------------------------------------------------------------ */
MUST_USE enum err scrub_open(struct scrub **out, const struct scrub_options *o, struct fault *fault)
{
    if (!store_writable(o->store) || o->store->scrub != NULL)
        return fault_set(fault, ERR_NOTNOW, "%s: %s", store_dir(o->store),
                         o->store->scrub != NULL ? "is scrubbed already" : "opened for reading");
    struct scrub *s = calloc(1, sizeof *s);
    if (s == NULL)
        return ERR_NOMEM;
    s->o = *o;
    enum err err = view_open(o->store, &s->view, fault);
    if (err != OK) {
        free(s);
        return err;
    }
    o->store->scrub = s;
    *out = s;
    return OK;
}

void scrub_close(struct scrub *s)
{
    if (s == NULL)
        return;
    s->o.store->scrub = NULL;
    cursor_close(s->cursor);
    view_close(s->view);
    free(s);
}
