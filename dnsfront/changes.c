#include "dnsfront/changes.h"

#include "dnsfront/known.h"
#include "rrset/rrset.h"

#include <stdlib.h>
#include <sys/mman.h>

static size_t table_bytes(const struct changes *c)
{
    return sizeof *c + ((size_t)c->mask + 2) * sizeof c->stamp[0];
}

MUST_USE enum err changes_open(struct changes **out, size_t slots, uint64_t secret)
{
    struct changes front = { .mask = CHANGES_MIN - 1, .busy = ATOMIC_FLAG_INIT };
    while (front.mask < CHANGES_MAX - 1 && ((size_t)front.mask + 1) * 2 <= slots)
        front.mask = front.mask * 2 + 1;
    struct changes *c = mmap(NULL, table_bytes(&front), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (c == MAP_FAILED)
        return ERR_NOMEM;
    (void)madvise(c, table_bytes(&front), MADV_HUGEPAGE);
    c->secret = secret;
    c->mask = front.mask;
    atomic_flag_clear(&c->busy);
    *out = c;
    return OK;
}

void changes_close(struct changes *c)
{
    if (c != NULL)
        (void)munmap(c, table_bytes(c));
}

/* --- feeding -------------------------------------------------------------------------------------------------------- */
struct feed { struct changes *changes; struct view *view; uint64_t tick; unsigned left; bool many; };

static void stamp(struct feed *f, uint32_t place)
{
    atomic_store_explicit(&f->changes->stamp[place], f->tick, memory_order_relaxed);
}

/* A zone that was live before and is live now answers for its names as before. What was answered while it was not live
 * was not kept. */
static bool still_live(struct feed *f, struct bytes key, enum ring_mark mark, struct zone_header *h)
{
    struct bytes value;
    return mark == RING_CHANGED && view_get(f->view, bytes_of_text("dns"), key, &value) == OK
        && zone_header_read(value, h) == OK && h->state == ZONE_LIVE;
}

static void touched_header(struct feed *f, const struct rrkey *k, struct bytes key, enum ring_mark mark)
{
    uint64_t hash = hash_of_ancestor(f->changes, k, k->labels);
    struct zone_header h;
    bool live = still_live(f, key, mark, &h);
    stamp(f, place_of_header(f->changes, hash));
    if (!live || h.soa.sigs > 0)
        stamp(f, place_of_signed(f->changes, hash));
    if (live)
        return;
    stamp(f, place_of_shape(f->changes, hash));
    stamp(f, place_of_world(f->changes));
}

/* It may be a border as well: the ring does not say. */
static void note_name(const struct changes *c, struct bytes name)
{
    uint64_t hash = hash_of_name(c, name);
    known_add_names(c->known, c, name, 0);
    known_add(c->known, hash_of_name(c, bytes_of("", 1)), KNOWN_NAME);
    known_add(c->known, hash, KNOWN_BORDER);
    known_add(c->known, hash, KNOWN_APEX);
}

static void on_touched(void *arg, struct bytes ns, struct bytes key, enum ring_mark mark)
{
    struct feed *f = arg;
    uint8_t buf[RRKEY_SHADOW_MAX];
    struct name owner;
    struct rrkey k;
    uint16_t slot;
    size_t len = rrkey_owner_len(key);
    if (!bytes_equal(ns, bytes_of_text("dns")) || f->many)
        return;
    if (f->left == 0 || len == 0 || len + 2 > sizeof buf) {
        f->many = true;
        return;
    }
    f->left--;
    bool shadow = (key.ptr[len] << 8 | key.ptr[len + 1]) == RRSLOT_SHADOW;      /* makes names exist where it would stand */
    memcpy(buf, key.ptr, len);                  /* without what may stand behind the slot */
    buf[len] = buf[len + 1] = 0;
    if (rrkey_name(shadow ? key : bytes_of(buf, len + 2), &owner, &slot) != OK || rrkey_of_name(name_bytes(&owner), &k) != OK) {
        f->many = true;
        return;
    }
    stamp(f, place_of_owner(f->changes, hash_of_name(f->changes, name_bytes(&owner))));
    for (unsigned depth = 0; depth <= k.labels; depth++)
        stamp(f, place_of_subtree(f->changes, hash_of_ancestor(f->changes, &k, depth)));
    if (f->changes->known != NULL && mark != RING_VANISHED)
        note_name(f->changes, name_bytes(&owner));
    if (key.len == len + 2 && (key.ptr[len] << 8 | key.ptr[len + 1]) == RRSLOT_ZONE)
        touched_header(f, &k, key, mark);
}

static void on_many(void *arg, struct bytes ns)
{
    struct feed *f = arg;
    f->many |= bytes_equal(ns, bytes_of_text("dns"));
}

/* What the commits between the table's state and the view's touched. false: nobody knows. */
static bool feed(struct changes *c, struct view *v)
{
    struct feed f = { c, v, c->tick + 1, CHANGES_KEYS_MAX, false };
    struct ring_visit visit = { &f, on_touched, on_many };
    return view_ring(v, c->seq, &visit) == OK && !f.many;
}

static uint64_t opened(uint64_t version) { return version >> VIEW_TXN_BITS; }

/* view_ring says once that its view changed generation: here that is known already. */
static void ring_settle(const struct watch *w, struct view *v, uint64_t seq)
{
    struct ring_visit none = { 0 };
    if (opened(w->version) == opened(view_version(v)))
        return;
    enum err err = view_ring(v, seq, &none);
    (void)err;
}

static void rise(const struct watch *w)
{
    w->changes->floor = w->changes->tick + 1;
    stat_add(w->drops, w->changes->tick > 0);
}

/* Alone at the table. false: the view shows an older state than the table. */
static bool join(const struct watch *w, struct view *v, const struct head *head)
{
    struct changes *c = w->changes;
    uint64_t version = view_version(v);
    bool same = opened(version) == opened(c->version) && head->epoch == c->epoch && head->seq >= c->seq;
    ring_settle(w, v, head->seq);
    if (version < c->version)
        return false;
    if (!same || head->seq != c->seq) {
        if (!same || !feed(c, v))
            rise(w);
        c->tick++;
    }
    c->version = version;
    c->epoch = head->epoch;
    c->seq = head->seq;
    return true;
}

void watch_update(struct watch *w, struct view *v)
{
    struct changes *c = w->changes;
    struct head head;
    w->tick = 0;
    if (atomic_flag_test_and_set_explicit(&c->busy, memory_order_acquire))
        return;                                 /* the next query tries again */
    if (view_head(v, &head, NULL) == OK && join(w, v, &head)) {
        w->tick = c->tick;
        w->floor = c->floor;
    }
    w->version = view_version(v);
    atomic_flag_clear_explicit(&c->busy, memory_order_release);
}

void trace_place(struct trace *t, uint32_t place)
{
    for (unsigned i = 0; i < t->n; i++)
        if (t->place[i] == place)
            return;
    if (t->n == TRACE_MAX)
        t->off = true;
    else
        t->place[t->n++] = place;
}
