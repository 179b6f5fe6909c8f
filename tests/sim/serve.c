/* What the core and relays tell and answer: heads, records, snapshots; as publisher.c and snapserve.c do. */
#include "tests/sim/sim.h"

#include "base/msg.h"

#define PIECE_MAX 200               /* of a manifest in one reply: so that it comes in several */

/* --- announcing --------------------------------------------------------------------------------------------------------- */
/* Now and then in a lot, behind the one before: whatever that was, and whoever sent it. */
static void send_announcement(struct sim *s, int from, int to, struct bytes announcement)
{
    struct node *n = &s->node[to];
    bool lot = n->told.len > 0 && rnd_below(&s->rnd, 4) == 0;
    if (lot && (!lot_put(&s->lot, n->told) || !lot_put(&s->lot, announcement)))
        abort();
    transmit(s, EV_ANNOUNCE, from, to, n->link, lot ? lot_done(&s->lot) : announcement);
    bytes_free(n->told);
    n->told = heap_copy(announcement.ptr, announcement.len);
}

void announce(struct sim *s, int from, const struct signed_head *head, struct bytes record, struct bytes as_is)
{
    uint8_t buf[4096];
    for (int i = 1; i < s->nodes; i++) {
        const struct node *n = &s->node[i];
        struct wr w = wr_over(buf, sizeof buf);
        if (n->replica == NULL || n->upstreams[n->upstream] != from)
            continue;
        if (as_is.len > 0)
            wr_bytes(&w, as_is);
        else
            announce_put(&w, head, record);
        if (s->node[from].lies == 0 || twist_announce(s, from, &w))
            send_announcement(s, from, i, wr_done(&w));
    }
}

/* --- snapshots -------------------------------------------------------------------------------------------------------------- */
void snapshot_free(struct snapshot *sn)
{
    bytes_free(sn->manifest);
    for (size_t i = 0; i < sn->chunks; i++)
        bytes_free(sn->chunk[i]);
    *sn = (struct snapshot){ .chunks = 0 };
}

static void chunk_end(struct sim *s, struct wr *table, struct snapshot *out)
{
    struct snapshot_chunk c;
    struct bytes stored;
    if (out->chunks == CHUNKS_MAX || snapshot_pack_end(s->pack, &c, &stored) != OK)
        abort();
    snapshot_row_put(table, &c);
    out->chunk[out->chunks++] = heap_copy(stored.ptr, stored.len);
}

/* rot: keys whose values come out wrong, though as long as they were. */
void snapshot_make(struct sim *s, const struct generation *g, uint32_t rot, struct snapshot *out)
{
    static const struct bytes ns = { (const uint8_t *)"kv", 2 };
    uint8_t table[CHUNKS_MAX * SNAPSHOT_ROW], buf[4096];
    struct wr tw = wr_over(table, sizeof table), w = wr_over(buf, sizeof buf);
    struct snapshot_manifest m = { .about = { .role = STORE_EDGE, .signed_head = g->head } };
    snapshot_free(out);
    for (int i = 0; i < MODEL_KEYS; i++) {
        char key[16], value[16];
        if (g->data.value[i] == 0)
            continue;
        int kn = snprintf(key, sizeof key, "key-%02d", i), vn = snprintf(value, sizeof value, "%u", g->data.value[i]);
        if ((rot >> i & 1) != 0)
            value[vn - 1] = value[vn - 1] == '9' ? '8' : (char)(value[vn - 1] + 1);
        struct entry e = { bytes_of(key, (size_t)kn), bytes_of(value, (size_t)vn) };
        if (!snapshot_pack_add(s->pack, ns, &e)) {
            chunk_end(s, &tw, out);
            if (!snapshot_pack_add(s->pack, ns, &e))
                abort();
        }
    }
    if (snapshot_pack_entries(s->pack) > 0)
        chunk_end(s, &tw, out);
    m.table = wr_done(&tw);
    snapshot_manifest_put(&w, &m);
    if (w.full || tw.full)
        abort();
    out->manifest = heap_copy(buf, w.len);
    out->head = g->head;
    out->at = g->applied;
}

static bool snapshot_fits(const struct snapshot *sn, const struct request *q, const struct generation *g, uint64_t first)
{
    struct position least = { .epoch = q->epoch, .seq = q->seq };
    if (sn->manifest.len == 0 || sn->at.epoch != g->applied.epoch || position_compare(&sn->at, &least) < 0)
        return false;
    return sn->at.seq == g->applied.seq || (first > 0 && first <= sn->at.seq + 1);      /* the log goes on from it */
}

void put_piece(struct sim *s, struct wr *w, const struct snapshot *sn, uint64_t offset)
{
    uint64_t at = offset < sn->manifest.len ? offset : sn->manifest.len, left = sn->manifest.len - at;
    uint64_t n = 1 + rnd_below(&s->rnd, PIECE_MAX);
    reply_manifest_put(w, &sn->head, sn->manifest.len, at, bytes_of(sn->manifest.ptr + at, n < left ? n : left));
}

static void come_later(struct sim *s, struct wr *w, uint64_t wait_ms)
{
    count(s, N_LATER);
    reply_error_put(w, REPLY_LATER, "later", wait_ms);
}

static void serve_manifest(struct sim *s, int i, const struct request *q, uint64_t first, struct wr *w)
{
    struct node *n = &s->node[i];
    struct generation g = i == 0 ? core_generation(s) : n->disk.data;
    struct position least = { .epoch = q->epoch, .seq = q->seq };
    if (g.head.len == 0 || g.applied.more || position_compare(&g.applied, &least) < 0) {
        come_later(s, w, 1000);
    } else if (!snapshot_fits(&n->kept, q, &g, first)) {
        snapshot_free(&n->older);
        n->older = n->kept;
        n->kept = (struct snapshot){ .chunks = 0 };
        snapshot_make(s, &g, i == 0 ? 0 : n->disk.rot, &n->kept);
        n->kept.ready_ms = s->now + rnd_below(&s->rnd, s->quiet ? 100 : 2000);
        count(s, N_SNAPSHOTS);
        say(s, i, "makes a snapshot of %llu/%llu", (unsigned long long)g.applied.epoch, (unsigned long long)g.applied.seq);
        come_later(s, w, 20 + n->kept.ready_ms - s->now);
    } else if (s->now < n->kept.ready_ms) {
        come_later(s, w, n->kept.ready_ms - s->now);
    } else if (chance(s, s->later)) {
        come_later(s, w, 100 + rnd_below(&s->rnd, 3000));
    } else if (q->offset >= n->kept.manifest.len) {
        count(s, N_GONE);
        reply_error_put(w, REPLY_GONE, "another one by now", 0);
    } else {
        put_piece(s, w, &n->kept, q->offset);
    }
}

static void serve_chunk(struct sim *s, int i, const struct request *q, struct wr *w)
{
    const struct snapshot *sn = &s->node[i].kept;
    bool have = sn->manifest.len > 0 && s->now >= sn->ready_ms && q->epoch == sn->at.epoch && q->seq == sn->at.seq;
    if (!have || q->offset >= sn->chunks) {
        count(s, N_GONE);
        reply_error_put(w, REPLY_GONE, "that snapshot is not kept", 0);
    } else if (chance(s, s->later)) {
        come_later(s, w, rnd_below(&s->rnd, 500));
    } else {
        reply_chunk_put(w, q->epoch, q->seq, q->offset, sn->chunk[q->offset]);
    }
}

/* --- records ------------------------------------------------------------------------------------------------------------------ */
static void serve_records(struct sim *s, int i, const struct request *q, uint64_t first, uint64_t last, struct wr *w)
{
    const struct node *n = &s->node[i];
    const struct bytes *log = i == 0 ? s->core.log : n->disk.log;
    const struct signed_head *head = i == 0 ? (s->core.signed_head.len > 0 ? &s->core.signed_head : NULL) : n->has_head ? &n->head : NULL;
    uint32_t records = 0, most = 1 + rnd_below(&s->rnd, 12);
    for (uint64_t seq = q->after + 1; first > 0 && q->after + 1 >= first && seq <= last && records < most; seq++)
        records++;
    reply_records_put(w, q->after, first, last, head, records);
    for (uint32_t k = 0; k < records; k++)
        msg_put_bin(w, log[q->after + 1 + k]);
}

void serve(struct sim *s, const struct event *e)
{
    static const uint8_t nonce[NONCE_LEN];
    static uint8_t buf[65536];
    struct wr w = wr_over(buf, sizeof buf);
    struct request q;
    const struct disk *d = &s->node[e->to].disk;
    bool core = e->to == 0;
    uint64_t last = core ? s->core.head.seq : d->complete, first = core ? s->core_first : d->first;
    if (core ? s->core_down : s->node[e->to].replica == NULL)
        return;
    if (first == 0 || last < first)
        first = last = 0;
    if (request_read(e->msg, &q) != OK)
        wrong(s, e->from, "sends a request that cannot be read");
    switch (q.type) {
    case MESSAGE_HELLO:    reply_hello_put(&w, nonce, s->core.cluster, first, last, "sim", s->core.key.pub); break;
    case MESSAGE_RECORDS:  serve_records(s, e->to, &q, first, last, &w); break;
    case MESSAGE_MANIFEST: serve_manifest(s, e->to, &q, first, &w); break;
    case MESSAGE_CHUNK:    serve_chunk(s, e->to, &q, &w); break;
    default: wrong(s, e->from, "sends a request of a type that a replica does not need");
    }
    if (s->node[e->to].lies == 0 || twist_reply(s, e->to, &q, &w))
        transmit(s, EV_REPLY, e->to, e->from, e->tag, wr_done(&w));
}
