#include "dnsfront/known.h"

#include "dnsfront/changes.h"
#include "rrset/rrset.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>

#define SLICE 4096                      /* keys in one view */
#define BITS_PER_NAME 16                /* one name in 500 that is not there is looked up then */
#define TRIES 1000                      /* to get hold of the table */

/* --- life ------------------------------------------------------------------------------------------------------------ */
MUST_USE enum err known_open(struct known **out, uint64_t bytes)
{
    struct known *n;
    size_t size = KNOWN_BYTES_MIN;
    *out = NULL;
    if (bytes < KNOWN_BYTES_MIN)
        return OK;
    while (size * 2 <= bytes && size * 2 <= (size_t)UINT32_MAX / 2)
        size *= 2;
    if ((n = calloc(1, sizeof *n)) == NULL)
        return ERR_NOMEM;
    n->bytes = size;
    void *words = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (words == MAP_FAILED) {
        free(n);
        return ERR_NOMEM;
    }
    (void)madvise(words, size, MADV_HUGEPAGE);
    n->words = words;
    *out = n;
    return OK;
}

void known_close(struct known *n)
{
    if (n == NULL)
        return;
    (void)munmap(n->words, n->bytes);
    free(n);
}

void known_add(struct known *n, uint64_t hash, enum known_as as)
{
    struct known_bits b = known_bits(n, known_hash(hash, as));
    for (unsigned i = 0; i < 2; i++)
        if ((~atomic_load_explicit(b.word[i], memory_order_relaxed) & b.bits[i]) != 0)
            (void)atomic_fetch_or_explicit(b.word[i], b.bits[i], memory_order_release);
    (void)atomic_fetch_add_explicit(&n->added, 1, memory_order_relaxed);
}

void known_add_names(struct known *n, const struct changes *c, struct bytes name, unsigned shared)
{
    for (unsigned labels = name_labels(name); labels > shared; labels--) {
        struct bytes above = name_parent(name);
        known_add(n, hash_of_name(c, name), KNOWN_NAME);
        if (name_is_wildcard(name))
            known_add(n, hash_of_name(c, above), KNOWN_STARRED);
        name = above;
    }
}

/* --- filling --------------------------------------------------------------------------------------------------------- */
struct filling {
    struct known *known;
    struct changes *changes;
    struct view *view;
    struct watch watch;
    stat_count drops;
    uint64_t floor;
    struct cursor *cursor;
    uint8_t last[RRKEY_SHADOW_MAX];     /* the key that was looked at last */
    size_t last_len;
};

static bool table_take(struct changes *c)
{
    for (unsigned i = 0; i < TRIES; i++) {
        if (!atomic_flag_test_and_set_explicit(&c->busy, memory_order_acquire))
            return true;
        (void)sched_yield();
    }
    return false;
}

static void table_give(struct changes *c) { atomic_flag_clear_explicit(&c->busy, memory_order_release); }

/* All bits go; from here on what commits bring is added. The views to be read come later than what the table knows now. */
static enum err begin(struct filling *f, uint64_t names)
{
    struct known *n = f->known;
    uint64_t lines = 1, most = n->bytes / (KNOWN_LINE * sizeof(known_word));
    while (lines < most && lines * KNOWN_LINE * 64 < names * BITS_PER_NAME)
        lines *= 2;
    if (lines * KNOWN_LINE * 64 < names * BITS_PER_NAME / 2 || !table_take(f->changes))
        return ERR_NOTNOW;
    uint64_t round = atomic_load_explicit(&n->round, memory_order_relaxed);
    atomic_store_explicit(&n->round, round | 1, memory_order_release);
    for (size_t i = 0; i < lines * KNOWN_LINE; i++)
        atomic_store_explicit(&n->words[i], 0, memory_order_release);
    atomic_store_explicit(&n->mask, (uint32_t)(lines - 1), memory_order_release);
    atomic_store_explicit(&n->added, 0, memory_order_relaxed);
    atomic_store_explicit(&n->room, lines * KNOWN_LINE * 64 / (BITS_PER_NAME / 2), memory_order_relaxed);
    f->floor = f->changes->floor;
    table_give(f->changes);
    return OK;
}

/* The owner of the key, and the names above it that are not above the key before as well. */
static enum err add_owner(struct filling *f, const struct entry *e)
{
    size_t len = rrkey_owner_len(e->key);
    unsigned shared = 0;
    uint32_t flags;
    struct name owner;
    if (len == 0 || blob_read_flags(e->value, &flags) != OK)
        return ERR_BAD;
    if (f->last_len >= len && memcmp(f->last, e->key.ptr, len) == 0)
        return OK;
    for (size_t i = 0; i < len && i < f->last_len && f->last[i] == e->key.ptr[i]; i++)
        shared += e->key.ptr[i] == 0;           /* a 0 ends a label, and only that: zeros in labels are escaped */
    owner.len = 0;
    owner.len = (uint8_t)rrkey_owner_name(bytes_of(e->key.ptr, len), 0, owner.wire);
    owner.wire[owner.len++] = 0;
    known_add_names(f->known, f->changes, name_bytes(&owner), shared);
    uint64_t hash = hash_of_name(f->changes, name_bytes(&owner));
    if (owner.len == 1)
        known_add(f->known, hash, KNOWN_NAME);
    if ((flags & (BLOB_APEX | BLOB_CUT | BLOB_DNAME)) != 0)
        known_add(f->known, hash, KNOWN_BORDER);
    if ((flags & BLOB_APEX) != 0)
        known_add(f->known, hash, KNOWN_APEX);
    return OK;
}

/* ERR_NOTFOUND: that was the last one. */
static enum err slice(struct filling *f)
{
    struct entry e;
    enum err err = cursor_seek(f->cursor, bytes_of(f->last, f->last_len), &e);
    for (unsigned i = 0; i < SLICE && err == OK; i++) {
        if ((err = add_owner(f, &e)) != OK)
            return err;
        memcpy(f->last, e.key.ptr, e.key.len);
        f->last_len = e.key.len;
        err = cursor_next(f->cursor, &e);
    }
    return err;
}

/* In step with the table, which then knows what v shows, and no more. */
static enum err step_begin(struct filling *f)
{
    for (unsigned i = 0; i < TRIES; i++) {
        enum err err = view_begin(f->view);
        if (err != OK)
            return err;
        watch_update(&f->watch, f->view);
        if (f->watch.tick > 0)
            return OK;
        view_end(f->view);
        (void)sched_yield();
    }
    return ERR_NOTNOW;
}

/* The table's tick at which the newest of the slices is known, and all that comes later is added. */
static enum err finish(struct filling *f)
{
    struct known *n = f->known;
    enum err err = step_begin(f);
    if (err != OK)
        return err;
    view_end(f->view);
    if (f->watch.floor != f->floor)
        return ERR_NOTNOW;
    atomic_store_explicit(&n->tick, f->watch.tick, memory_order_release);
    atomic_store_explicit(&n->floor, f->floor, memory_order_release);
    (void)atomic_fetch_add_explicit(&n->round, 1, memory_order_release);
    return OK;
}

static enum err fill(struct filling *f, const atomic_bool *stop)
{
    struct head head;
    enum err err = step_begin(f);
    if (err != OK)
        return err;
    err = view_head(f->view, &head, NULL);
    view_end(f->view);
    if (err == OK)
        err = begin(f, 2 * head.keys + 64);     /* an owner has a key at least; borders count twice */
    while (err == OK) {
        if (atomic_load(stop))
            return ERR_NOTNOW;
        if ((err = step_begin(f)) != OK)
            return err;
        err = f->watch.floor == f->floor ? slice(f) : ERR_NOTNOW;
        view_end(f->view);
    }
    return err == ERR_NOTFOUND ? finish(f) : err;
}

MUST_USE enum err known_fill(struct known *n, struct changes *c, struct view *v, const atomic_bool *stop)
{
    struct filling f = { .known = n, .changes = c, .view = v };
    f.watch = (struct watch){ .changes = c, .drops = &f.drops };
    enum err err = cursor_open(v, bytes_of_text("dns"), &f.cursor);
    if (err == OK)
        err = fill(&f, stop);
    cursor_close(f.cursor);
    return err;
}

bool known_is_stale(const struct known *n, struct changes *c, struct view *v)
{
    stat_count drops = 0;
    struct watch w = { .changes = c, .drops = &drops };
    uint64_t round;
    if (view_begin(v) != OK)
        return false;
    watch_update(&w, v);
    view_end(v);
    return w.tick > 0 && (!known_begin(n, w.tick, w.floor, &round)
                          || atomic_load_explicit(&n->added, memory_order_relaxed) > atomic_load_explicit(&n->room, memory_order_relaxed));
}
