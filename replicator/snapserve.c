#include "replicator/snapserve.h"

#include "base/log.h"
#include "replicator/seal.h"
#include "replicator/snaplease.h"
#include "replicator/snapmake.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#define BEHIND_MS 500                   /* what is asked for is newer than our data */
#define EMPTY_MS 1000
#define BURST_MS 100
#define CHUNKS_FROM ((uint64_t)1 << 32) /* steps of a copy: pieces of the manifest, then chunks */
#define REPLY_FRAME 64                  /* of a chunk's reply around the chunk */
#define REPLY_HEAD (HEAD_MAX + HEAD_SIG_LEN + 64)

static_assert(SNAPSHOT_STORED_MAX + REPLY_FRAME + SEAL_EXTRA <= REPLY_MAX, "a chunk fits a sealed reply");
static_assert(REPLY_MANIFEST_MAX + REPLY_HEAD + SEAL_EXTRA <= REPLY_MAX, "so does a piece of a manifest");
static_assert(SNAPSERVE_LEASES_MAX <= SNAPLEASE_MAX, "a lease has a place");

/* A file that is served. number: 0 when there is none. */
struct served { uint64_t number; struct snapmade made; uint64_t used_ms, old_ms; };

struct snapserve {
    struct snapserve_options o;
    struct snapmaker *maker;
    struct view *view;                  /* for a look at the head */
    struct served newest, old;
    uint64_t files;                     /* numbers given out */
    struct snapleases leases;
    struct snaprate rate;
    uint64_t retry_ms;                  /* not before: one could not be made */
    uint64_t rest_ms;                   /* not before: one was made */
    uint64_t begun_seq;                 /* the one being made is at least of this seq */
    uint64_t past_seq, past_ms;         /* the lowest of files that are gone, 0: none; when such a one was used */
    stat_count needs;
    uint8_t *chunk;                     /* SNAPSHOT_STORED_MAX */
    struct log_brake brake;
    struct { uint64_t made, failed, make_ms, pieces, chunks, bytes, later, gone, refused; } n;
};
/* What the store holds now, and what the log does behind it. */
struct stand { struct head head; unsigned generation; uint64_t first, last; };

/* --- replies ------------------------------------------------------------------------------------------------------------- */
static void later(struct snapserve *s, const char *why, uint64_t wait_ms, struct wr *w)
{
    s->n.later++;
    reply_error_put(w, REPLY_LATER, why, wait_ms);
}

/* Told to come back before the lease ends. */
static bool too_fast(struct snapserve *s, struct snapholder *lease, uint64_t file, uint64_t step, uint64_t now_ms,
                     struct wr *w)
{
    uint64_t wait_ms = snaprate_wait_ms(&s->rate, now_ms);
    snapleases_step(&s->leases, lease, file, step, wait_ms == 0, now_ms);
    if (wait_ms > 0)
        later(s, "too fast", wait_ms < SNAPSERVE_LEASE_MS / 2 ? wait_ms : SNAPSERVE_LEASE_MS / 2, w);
    return wait_ms > 0;
}

static void gone(struct snapserve *s, struct wr *w)
{
    s->n.gone++;
    reply_error_put(w, REPLY_GONE, "that snapshot is not kept any more", 0);
}

static void malformed(const char *why, struct wr *w)
{
    reply_error_put(w, REPLY_MALFORMED, why, 0);
}

static void cannot(struct snapserve *s, const char *what, enum err err, const struct fault *fault, uint64_t now_ms)
{
    unsigned held;
    char why[600];
    if (log_brake_pass(&s->brake, now_ms, 2, &held))
        log_warn("snapshot.serve", "err=%s what=%s held=%u next=\"error reply, tried again when asked\"",
                 log_quote(why, sizeof why, fault_text(fault, err)), what, held);
}

/* --- files --------------------------------------------------------------------------------------------------------------- */
/* The log from behind a file is needed while it is copied, and a while longer, also when it is gone by then. */
static void release(struct snapserve *s, struct served *f)
{
    if (f->number == 0)
        return;
    if (s->past_seq == 0 || f->made.head.seq < s->past_seq)
        s->past_seq = f->made.head.seq;
    if (f->used_ms > s->past_ms)
        s->past_ms = f->used_ms;
    snapmade_release(&f->made);
    f->number = 0;
}

static void need(uint64_t *needs, uint64_t seq)
{
    if (*needs == 0 || seq + 1 < *needs)
        *needs = seq + 1;
}

static bool is_used(const struct snapserve *s, const struct served *f, uint64_t now_ms)
{
    return f->number != 0 && (snapleases_hold(&s->leases, f->number) > 0 || now_ms - f->used_ms < SNAPSERVE_NEED_MS);
}

static void needs_look(struct snapserve *s, uint64_t now_ms)
{
    uint64_t needs = 0;
    if (snapmaker_is_busy(s->maker))
        need(&needs, s->begun_seq);
    if (is_used(s, &s->newest, now_ms))
        need(&needs, s->newest.made.head.seq);
    if (is_used(s, &s->old, now_ms))
        need(&needs, s->old.made.head.seq);
    if (now_ms - s->past_ms >= SNAPSERVE_NEED_MS)
        s->past_seq = 0;
    if (s->past_seq != 0)
        need(&needs, s->past_seq);
    stat_set(&s->needs, needs);
}

static void let_go(struct snapserve *s, uint64_t now_ms)
{
    snapleases_expire(&s->leases, now_ms);
    if (s->old.number != 0 && snapleases_hold(&s->leases, s->old.number) == 0)
        release(s, &s->old);
    needs_look(s, now_ms);
}

/* One that was made meanwhile becomes the newest. There is at most one other: may_make saw to it. */
static void collect(struct snapserve *s, uint64_t now_ms)
{
    struct snapmade made;
    struct fault fault;
    enum err err = snapmaker_take(s->maker, &made, &fault);
    if (err == ERR_AGAIN)
        return;
    if (err != OK) {
        s->n.failed++;
        s->retry_ms = now_ms + SNAPSERVE_RETRY_MS;
        cannot(s, "making", err, &fault, now_ms);
        return;
    }
    if (s->newest.number != 0) {
        release(s, &s->old);
        s->old = s->newest;
        s->old.old_ms = now_ms;
    }
    s->newest = (struct served){ .number = ++s->files, .made = made, .used_ms = now_ms };
    s->n.made++;
    s->n.make_ms += made.ms;
    s->rest_ms = now_ms + SNAPSERVE_REST * made.ms;
    log_info("snapshot.made", "epoch=%" PRIu64 " seq=%" PRIu64 " entries=%" PRIu64 " chunks=%zu bytes=%" PRIu64
             " ms=%" PRIu64, made.head.epoch, made.head.seq, made.head.keys, made.index.manifest.chunks, made.bytes,
             made.ms);
    let_go(s, now_ms);
}

/* Whoever loads it can go on with our log. */
static bool goes_on(const struct served *f, const struct stand *at)
{
    return at->first > 0 ? at->first <= f->made.head.seq + 1 : f->made.head.seq == at->last;
}

static bool reaches(const struct head *h, const struct request *q)
{
    return h->epoch > q->epoch || (h->epoch == q->epoch && h->seq >= q->seq);
}

/* The same data under another generation may be a better copy: one that was made because this one had rotted. */
static bool is_recent(const struct served *f, const struct request *q, const struct stand *at)
{
    return f->number != 0 && f->made.head.epoch == at->head.epoch && f->made.generation == at->generation
        && reaches(&f->made.head, q) && goes_on(f, at);
}

static enum err stand_take(struct snapserve *s, uint64_t first, uint64_t last, struct stand *out)
{
    *out = (struct stand){ .first = first, .last = last };
    enum err err = view_begin(s->view);
    if (err != OK)
        return err;
    out->generation = view_generation(s->view);
    err = view_head(s->view, &out->head, NULL);
    view_end(s->view);
    return err;
}

/* At most two files: a third is made when one of them is free, or the older one has held up others for long. */
static bool may_make(struct snapserve *s, uint64_t now_ms)
{
    if (s->old.number == 0 || s->newest.number == 0)
        return true;
    if (snapleases_hold(&s->leases, s->newest.number) == 0)
        release(s, &s->newest);
    else if (now_ms - s->old.old_ms >= SNAPSERVE_OLD_MS)
        release(s, &s->old);
    else
        return false;
    return true;
}

static void make(struct snapserve *s, struct snapholder *lease, const struct stand *at, uint64_t now_ms, struct wr *w)
{
    const struct served *f = &s->newest;
    bool same = f->number != 0 && head_compare(&f->made.head, &at->head) == 0 && f->made.generation == at->generation;
    if (snapmaker_is_busy(s->maker)) {
        snapleases_renew(&s->leases, lease, now_ms);
        later(s, "a snapshot is being made", snapmaker_wait_ms(s->maker), w);
    } else if (same) {
        later(s, "no newer snapshot can be made yet", BEHIND_MS, w);
    } else if (now_ms < s->retry_ms) {
        s->n.refused++;
        reply_error_put(w, REPLY_STORE, "a snapshot cannot be made", s->retry_ms - now_ms);
    } else if (now_ms < s->rest_ms) {
        later(s, "a snapshot was made a moment ago", s->rest_ms - now_ms, w);
    } else if (!may_make(s, now_ms)) {
        later(s, "older snapshots are being copied", SNAPLEASE_AWAY_MS, w);
    } else if (snapmaker_begin(s->maker) != OK) {
        s->retry_ms = now_ms + SNAPSERVE_RETRY_MS;
        s->n.refused++;
        cannot(s, "making", ERR_NOMEM, NULL, now_ms);
        reply_error_put(w, REPLY_STORE, "a snapshot cannot be made", SNAPSERVE_RETRY_MS);
    } else {
        s->begun_seq = at->head.seq;
        later(s, "a snapshot is being made", snapmaker_wait_ms(s->maker), w);
    }
    needs_look(s, now_ms);
}

/* --- manifest ------------------------------------------------------------------------------------------------------------ */
static void put_piece(struct snapserve *s, struct served *f, struct snapholder *lease, uint64_t offset, uint64_t now_ms,
                      struct wr *w)
{
    struct bytes whole = snapshot_index_manifest(&f->made.index);
    if (offset >= whole.len) {
        malformed("the manifest ends before that place", w);
        return;
    }
    size_t n = whole.len - (size_t)offset < REPLY_MANIFEST_MAX ? whole.len - (size_t)offset : REPLY_MANIFEST_MAX;
    if (too_fast(s, lease, f->number, 1 + offset / REPLY_MANIFEST_MAX, now_ms, w))
        return;
    reply_manifest_put(w, &f->made.index.manifest.about.signed_head, whole.len, offset, bytes_of(whole.ptr + offset, n));
    snaprate_take(&s->rate, n);
    f->used_ms = now_ms;
    s->n.pieces++;
    s->n.bytes += n;
}

static struct served *file_of(struct snapserve *s, uint64_t number)
{
    return number == 0 ? NULL : s->newest.number == number ? &s->newest : s->old.number == number ? &s->old : NULL;
}

static void answer_manifest(struct snapserve *s, struct bytes node, const struct request *q, const struct stand *at,
                            uint64_t now_ms, struct wr *w)
{
    uint64_t wait_ms = 0;
    struct snapholder *lease = snapleases_ask(&s->leases, node, now_ms, &wait_ms);
    if (lease == NULL) {
        later(s, "others are being served", wait_ms, w);
        return;
    }
    bool further = q->offset > 0;           /* of the one begun */
    struct served *f = further ? file_of(s, lease->file) : is_recent(&s->newest, q, at) ? &s->newest : NULL;
    if (f != NULL && reaches(&f->made.head, q)) {
        put_piece(s, f, lease, q->offset, now_ms, w);
    } else if (further) {
        gone(s, w);
    } else {
        make(s, lease, at, now_ms, w);
    }
}

/* --- chunks -------------------------------------------------------------------------------------------------------------- */
static enum err take(int fd, uint64_t at, uint8_t *buf, size_t len, struct fault *fault)
{
    for (size_t n = 0; n < len;) {
        ssize_t got = pread(fd, buf + n, len - n, (off_t)(at + n));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return fault_set(fault, ERR_IO, "cannot read the snapshot: %s", got < 0 ? strerror(errno) : "it is cut off");
        n += (size_t)got;
    }
    return OK;
}

static void put_chunk(struct snapserve *s, struct served *f, size_t i, uint64_t now_ms, struct wr *w)
{
    const struct snapshot_index *x = &f->made.index;
    size_t len = snapshot_row(x->manifest.table, i).stored;
    struct fault fault = { "" };
    if (take(f->made.fd, x->offsets[i], s->chunk, len, &fault) != OK) {
        s->n.refused++;
        cannot(s, "reading", ERR_IO, &fault, now_ms);
        reply_error_put(w, REPLY_STORE, "the snapshot cannot be read", SNAPSERVE_RETRY_MS);
        return;
    }
    reply_chunk_put(w, f->made.head.epoch, f->made.head.seq, i, bytes_of(s->chunk, len));
    snaprate_take(&s->rate, len);
    f->used_ms = now_ms;
    s->n.chunks++;
    s->n.bytes += len;
    if (i + 1 < x->manifest.chunks)     /* read from the disk while this one is on its way */
        (void)posix_fadvise(f->made.fd, (off_t)x->offsets[i + 1], (off_t)snapshot_row(x->manifest.table, i + 1).stored,
                            POSIX_FADV_WILLNEED);
}

static bool is_of(const struct served *f, const struct request *q)
{
    return f->number != 0 && f->made.head.epoch == q->epoch && f->made.head.seq == q->seq;
}

static void answer_chunk(struct snapserve *s, struct bytes node, const struct request *q, const struct stand *at,
                         uint64_t now_ms, struct wr *w)
{
    struct served *f = is_of(&s->newest, q) ? &s->newest : is_of(&s->old, q) ? &s->old : NULL;
    uint64_t wait_ms = 0;
    if (f == NULL || !goes_on(f, at)) {
        gone(s, w);
        return;
    }
    if (q->offset >= f->made.index.manifest.chunks) {
        malformed("the snapshot has no such chunk", w);
        return;
    }
    struct snapholder *lease = snapleases_ask(&s->leases, node, now_ms, &wait_ms);
    if (lease == NULL) {
        later(s, "others are being served", wait_ms, w);
        return;
    }
    if (too_fast(s, lease, f->number, CHUNKS_FROM + q->offset, now_ms, w))
        return;
    put_chunk(s, f, (size_t)q->offset, now_ms, w);
    if (q->offset + 1 == f->made.index.manifest.chunks)
        snapleases_end(&s->leases, node);           /* asked for again, it takes a lease again */
}

void snapserve_answer(struct snapserve *s, struct bytes node, const struct request *q, uint64_t first, uint64_t last,
                      uint64_t now_ms, struct wr *reply)
{
    struct stand at;
    collect(s, now_ms);
    let_go(s, now_ms);
    enum err err = stand_take(s, first, last, &at);
    if (err == ERR_NOTFOUND) {
        later(s, "nothing is stored here yet", EMPTY_MS, reply);
    } else if (err != OK) {
        s->n.refused++;
        cannot(s, "looking", err, NULL, now_ms);
        reply_error_put(reply, REPLY_STORE, "the store cannot be read", SNAPSERVE_RETRY_MS);
    } else if (q->type == MESSAGE_CHUNK) {
        answer_chunk(s, node, q, &at, now_ms, reply);
    } else if (!reaches(&at.head, q)) {
        later(s, "this node is not that far yet", BEHIND_MS, reply);
    } else {
        answer_manifest(s, node, q, &at, now_ms, reply);
    }
}

/* --- life ---------------------------------------------------------------------------------------------------------------- */
uint64_t snapserve_needs(const struct snapserve *s)
{
    return stat_get(&s->needs);
}

void snapserve_tick(struct snapserve *s, uint64_t now_ms)
{
    struct served *f = &s->newest;
    collect(s, now_ms);
    let_go(s, now_ms);
    if (view_is_stale(s->view) && view_begin(s->view) == OK)
        view_end(s->view);              /* a generation that is no longer served need not keep its files */
    if (f->number == 0 || snapleases_hold(&s->leases, f->number) > 0)
        return;
    if (now_ms - f->used_ms > SNAPSERVE_KEEP_MS || !s->o.room(s->o.room_arg, store_dir(s->o.store)))
        release(s, f);
}

enum err snapserve_open(struct snapserve **out, const struct snapserve_options *o, struct fault *fault)
{
    struct snapserve *s = calloc(1, sizeof *s);
    if (s == NULL)
        return fault_set(fault, ERR_NOMEM, "no memory to serve snapshots");
    s->o = *o;
    if (s->o.room == NULL)
        s->o.room = snapmake_has_room;
    uint64_t rate = o->rate != 0 ? o->rate : SNAPSERVE_RATE, burst = rate * BURST_MS / 1000;
    snapleases_init(&s->leases, o->leases != 0 ? o->leases : SNAPSERVE_LEASES, SNAPSERVE_LEASE_MS);
    snaprate_init(&s->rate, rate, burst, 0);
    struct snapmaker_options mo = { o->store, o->role, s->o.room, s->o.room_arg };
    enum err err = (s->chunk = malloc(SNAPSHOT_STORED_MAX)) == NULL ? ERR_NOMEM : snapmaker_open(&s->maker, &mo);
    if (err != OK)
        fault_set(fault, err, "no memory to serve snapshots");
    else
        err = view_open(o->store, &s->view, fault);
    if (err != OK) {
        snapserve_close(s);
        return err;
    }
    *out = s;
    return OK;
}

void snapserve_close(struct snapserve *s)
{
    if (s == NULL)
        return;
    snapmaker_close(s->maker);
    view_close(s->view);
    release(s, &s->newest);
    release(s, &s->old);
    free(s->chunk);
    free(s);
}

void snapserve_metrics(const struct snapserve *s, struct stat_page *page)
{
    static const char made[] = "azoth_snapshot_made_total", replies[] = "azoth_snapshot_replies_total";
    stat_head(page, made, "counter", "snapshots for nodes that start over");
    stat_value(page, made, "result=\"done\"", s->n.made);
    stat_value(page, made, "result=\"failed\"", s->n.failed);
    stat_head(page, "azoth_snapshot_make_seconds_total", "counter", "time that the making took");
    stat_ratio(page, "azoth_snapshot_make_seconds_total", NULL, (double)s->n.make_ms / 1000);
    stat_head(page, replies, "counter", "replies to requests for snapshots");
    stat_value(page, replies, "type=\"manifest\"", s->n.pieces);
    stat_value(page, replies, "type=\"chunk\"", s->n.chunks);
    stat_value(page, replies, "type=\"later\"", s->n.later);
    stat_value(page, replies, "type=\"gone\"", s->n.gone);
    stat_value(page, replies, "type=\"failed\"", s->n.refused);
    stat_head(page, "azoth_snapshot_bytes_total", "counter", "bytes of manifests and chunks served");
    stat_value(page, "azoth_snapshot_bytes_total", NULL, s->n.bytes);
    stat_head(page, "azoth_snapshot_leases", "gauge", "nodes that copy now");
    stat_value(page, "azoth_snapshot_leases", NULL, s->leases.n);
    stat_head(page, "azoth_snapshot_waiting", "gauge", "nodes that wait for their turn");
    stat_value(page, "azoth_snapshot_waiting", NULL, s->leases.waiting_n);
    stat_head(page, "azoth_snapshot_file_bytes", "gauge", "disk that snapshots being served take");
    stat_value(page, "azoth_snapshot_file_bytes", NULL,
               (s->newest.number != 0 ? s->newest.made.bytes : 0) + (s->old.number != 0 ? s->old.made.bytes : 0));
}
