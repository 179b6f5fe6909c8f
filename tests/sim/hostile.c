/* A relay that lies. It follows its own upstream like any other, so it holds what is true; what it tells is twisted. Each
 * has a few kinds of lie of its own, told every time or now and then. Whatever it does, it has no key of the core's. */
#include "tests/sim/sim.h"

#include "base/msg.h"

static bool tells(struct sim *s, int i, enum lie lie)
{
    struct node *n = &s->node[i];
    if ((n->lies >> lie & 1) == 0 || !chance(s, n->lies_percent))
        return false;
    s->tally->lie[lie]++;
    say(s, i, "lies: %s", lie_text(lie));
    return true;
}

/* Empty, to be written anew. */
static struct wr *wr_again(struct wr *w)
{
    w->len = 0;
    return w;
}

static void put_noise(struct sim *s, struct wr *w, size_t n)
{
    w->len = 0;
    for (size_t i = 0; i < n; i++)
        wr_u8(w, (uint8_t)rnd_u64(&s->rnd));
}

static void flip_bit(struct sim *s, uint8_t *at, size_t len)
{
    if (len > 0)
        at[rnd_below(&s->rnd, (uint32_t)len)] ^= (uint8_t)(1u << rnd_below(&s->rnd, 8));
}

/* Lies that any message can carry. true: told. */
static bool twist_any(struct sim *s, int i, struct wr *w)
{
    if (tells(s, i, LIE_GARBAGE)) {
        put_noise(s, w, rnd_below(&s->rnd, 300));
    } else if (tells(s, i, LIE_FLIP)) {
        flip_bit(s, w->buf, w->len);
    } else if (tells(s, i, LIE_SHORT)) {
        w->len = rnd_below(&s->rnd, (uint32_t)w->len + 1);
    } else {
        return false;
    }
    return true;
}

/* The node's head with another key's signature, maybe further on. */
static struct signed_head evil_head(struct sim *s, const struct signed_head *from)
{
    struct signed_head sh;
    struct head h;
    struct rd rd = rd_over(bytes_of(from->body, from->len));
    if (head_read(&rd, &h) != OK)
        return *from;
    h.epoch += rnd_below(&s->rnd, 2);
    h.seq += rnd_below(&s->rnd, 3);
    h.time_ms += rnd_below(&s->rnd, 1000000);
    h.digest[0] ^= 1;
    head_sign(&sh, &h, &s->evil);
    return sh;
}

static const struct signed_head *old_head(struct sim *s)
{
    return &s->signed_head[rnd_below(&s->rnd, (uint32_t)s->signed_n)];
}

static const struct made *any_record(struct sim *s) { return &s->made[rnd_below(&s->rnd, (uint32_t)s->made_n)]; }

/* The record under a head that the core signed for the same seq later, in a heartbeat; false: there is none. */
static bool under_later_head(struct sim *s, struct bytes real, struct wr *w, struct bytes *out)
{
    struct record rec;
    struct head h;
    if (record_read(real, &rec) != OK || !rec.has_head)
        return false;
    for (size_t k = s->signed_n; k-- > 0;) {
        struct rd rd = rd_over(bytes_of(s->signed_head[k].body, s->signed_head[k].len));
        if (head_read(&rd, &h) == OK && memcmp(h.chain, rec.chain, CHAIN_LEN) == 0 && h.time_ms > rec.head.time_ms) {
            record_put(w, rec.body, rec.chain, &s->signed_head[k], &s->evil);
            *out = wr_done(w);
            return true;
        }
    }
    return false;
}

/* What a chain of bodies alone would let pass: another head, or another signature, with all that the body says of it. */
static struct bytes under_false_head(struct sim *s, struct bytes real, struct wr *w, struct signed_head *sh)
{
    struct record rec;
    if (record_read(real, &rec) != OK || !rec.has_head)
        return real;
    rec.head.digest[0] ^= 1;
    if (chance(s, 50))
        head_sign(sh, &rec.head, &s->evil);
    else
        sh->sig[rnd_below(&s->rnd, HEAD_SIG_LEN)] ^= 1;
    record_put(w, rec.body, rec.chain, sh, &s->evil);
    return wr_done(w);
}

/* --- announcements ------------------------------------------------------------------------------------------------------ */
bool twist_announce(struct sim *s, int from, struct wr *w)
{
    static uint8_t copy[4096], one[4096];
    struct wr ow = wr_over(one, sizeof one);
    struct bytes later;
    struct announce a;
    if (s->node[from].true_heads || w->len > sizeof copy)
        return true;
    memcpy(copy, w->buf, w->len);               /* what is read from it is borrowed */
    if (s->signed_n == 0 || announce_read(bytes_of(copy, w->len), &a) != OK)
        return true;
    if (tells(s, from, LIE_SILENT))
        return false;
    if (twist_any(s, from, w))
        return true;
    if (tells(s, from, LIE_OLD_HEAD)) {
        announce_put(wr_again(w), old_head(s), a.record);
    } else if (tells(s, from, LIE_KEY_HEAD)) {
        struct signed_head sh = evil_head(s, &a.head);
        announce_put(wr_again(w), &sh, a.record);
    } else if (tells(s, from, LIE_SWAP_RECORD)) {
        announce_put(wr_again(w), &a.head, any_record(s)->record);
    } else if (a.record.len > 0 && tells(s, from, LIE_RECORD)) {
        flip_bit(s, (uint8_t *)(uintptr_t)a.record.ptr, a.record.len);
        announce_put(wr_again(w), &a.head, a.record);
    } else if (a.record.len > 0 && tells(s, from, LIE_FALSE_HEAD)) {
        a.record = under_false_head(s, a.record, &ow, &a.head);
        announce_put(wr_again(w), &a.head, a.record);
    } else if (a.record.len > 0 && under_later_head(s, a.record, &ow, &later) && tells(s, from, LIE_LATER_HEAD)) {
        announce_put(wr_again(w), &a.head, later);
    }
    return true;
}

/* --- records ---------------------------------------------------------------------------------------------------------------- */
/* One record behind `after` that joins, of another key. */
static struct bytes evil_record(struct sim *s, struct bytes real, uint8_t *out, size_t cap)
{
    struct record rec;
    uint8_t body[512], chain[CHAIN_LEN];
    struct wr bw = wr_over(body, sizeof body), rw = wr_over(out, cap);
    if (record_read(real, &rec) != OK)
        return real;
    struct record_body b = { .epoch = rec.epoch, .seq = rec.seq, .part = rec.part, .more = rec.more, .time_ms = rec.time_ms + 1,
                             .codec = rec.codec, .ops = rec.ops };
    memcpy(b.cluster, rec.cluster, CLUSTER_LEN);
    memcpy(b.prev, rec.prev, CHAIN_LEN);
    record_body_put(&bw, &b);
    record_chain(wr_done(&bw), chain);
    struct signed_head sh = { .len = 0 };
    if (!rec.more) {
        struct head h = rec.head;
        memcpy(h.chain, chain, CHAIN_LEN);
        head_sign(&sh, &h, &s->evil);
    }
    record_put(&rw, wr_done(&bw), chain, rec.more ? NULL : &sh, &s->evil);
    return wr_done(&rw);
}

/* A record with that seq of an epoch that is over; the one of now when there is none. */
static struct bytes branch_record(struct sim *s, uint64_t seq, struct bytes real)
{
    for (size_t k = 0; k < s->made_n; k++) {
        if (s->made[k].seq == seq && s->made[k].epoch < s->core.epoch)
            return s->made[k].record;
    }
    return real;
}

static void twist_records(struct sim *s, int i, const struct request *q, struct wr *w)
{
    static uint8_t copy[65536], one[4096], other[4096];
    struct wr ow = wr_over(other, sizeof other);
    struct bytes record[64], later;
    struct reply reply;
    uint32_t n = 0;
    memcpy(copy, w->buf, w->len);
    if (reply_read(bytes_of(copy, w->len), &reply) != OK || reply.type != MESSAGE_RECORDS)
        return;
    while (n < 64 && reply_next(&reply, &record[n]))
        n++;
    uint32_t at = rnd_below(&s->rnd, n);
    struct signed_head head = reply.head;
    if (tells(s, i, LIE_HOLD))
        n = 0;
    if (n > 0 && tells(s, i, LIE_RECORD))
        flip_bit(s, (uint8_t *)(uintptr_t)record[at].ptr, record[at].len);
    if (tells(s, i, LIE_KEY_RECORD)) {
        record[at] = evil_record(s, n > 0 ? record[at] : any_record(s)->record, one, sizeof one);
        n = n > 0 ? n : 1;
    }
    if (n > 0 && tells(s, i, LIE_BRANCH))
        for (uint32_t k = 0; k < n; k++)
            record[k] = branch_record(s, q->after + 1 + k, record[k]);
    if (n > 0 && under_later_head(s, record[at], &ow, &later) && tells(s, i, LIE_LATER_HEAD))
        record[at] = later;
    if (tells(s, i, LIE_ORDER)) {
        record[at] = any_record(s)->record;
        n = n > 0 ? n : 1;
    }
    if (tells(s, i, LIE_RANGE)) {
        n = 0;
        reply.first = q->after + 2 + rnd_below(&s->rnd, 100);
        reply.last = chance(s, 50) ? UINT64_MAX : reply.first;
    }
    if (reply.has_head && tells(s, i, LIE_OLD_HEAD))
        head = *old_head(s);
    if (reply.has_head && tells(s, i, LIE_KEY_HEAD))
        head = evil_head(s, &head);
    reply_records_put(wr_again(w), reply.after, reply.first, reply.last, reply.has_head ? &head : NULL, n);
    for (uint32_t k = 0; k < n; k++)
        msg_put_bin(w, record[k]);
}

/* --- snapshots -------------------------------------------------------------------------------------------------------------- */
/* A state that the core had once. */
static bool made_generation(struct sim *s, struct generation *out)
{
    struct record rec;
    const struct made *m = any_record(s);
    if (!m->ends || record_read(m->record, &rec) != OK)
        return false;
    *out = (struct generation){ .data = m->state, .head = rec.signed_head };
    position_move(&out->applied, &rec);
    return true;
}

/* Counts, sizes and hashes of the table are the relay's word alone. */
static void spoil_table(struct sim *s, struct snapshot *sn)
{
    struct snapshot_manifest m;
    if (snapshot_manifest_read(sn->manifest, &m) == OK)
        flip_bit(s, (uint8_t *)(uintptr_t)m.table.ptr, m.table.len);
}

/* The false snapshot that this lie tells of, piece by piece and chunk by chunk; true: there is one. */
static bool lie_begin(struct sim *s, int i)
{
    struct node *n = &s->node[i];
    struct generation g = n->disk.data;
    if (g.head.len == 0)
        return false;
    if (tells(s, i, LIE_OLD_MANIFEST) && made_generation(s, &g)) {
        snapshot_make(s, &g, 0, &n->lie);
        if (chance(s, 50)) {                    /* under a head that is not its own */
            n->lie.head = n->disk.data.head;
            n->lie.at = n->disk.data.applied;
        }
    } else if (tells(s, i, LIE_DATA)) {
        snapshot_make(s, &g, 1u << rnd_below(&s->rnd, MODEL_KEYS) | 1u << rnd_below(&s->rnd, MODEL_KEYS), &n->lie);
    } else if (tells(s, i, LIE_KEY_MANIFEST)) {
        g.head = evil_head(s, &g.head);
        snapshot_make(s, &g, 0, &n->lie);
    } else if (tells(s, i, LIE_TABLE)) {
        snapshot_make(s, &g, 0, &n->lie);
        spoil_table(s, &n->lie);
    } else {
        return false;
    }
    return true;
}

static void twist_manifest(struct sim *s, int i, const struct request *q, struct wr *w)
{
    struct node *n = &s->node[i];
    if (q->offset == 0) {
        snapshot_free(&n->lie);
        (void)lie_begin(s, i);
    }
    struct snapshot *sn = n->lie.manifest.len > 0 ? &n->lie : &n->kept;
    if (sn->manifest.len == 0)
        return;
    if (tells(s, i, LIE_TOTAL)) {
        uint64_t total = (uint64_t)1 << (12 + rnd_below(&s->rnd, 52));
        reply_manifest_put(wr_again(w), &sn->head, total, q->offset, sn->manifest);
    } else if (tells(s, i, LIE_PIECE)) {
        uint64_t at = rnd_below(&s->rnd, (uint32_t)sn->manifest.len), told = chance(s, 50) ? at : q->offset;
        size_t len = chance(s, 30) ? 0 : sn->manifest.len - at;
        reply_manifest_put(wr_again(w), &sn->head, sn->manifest.len, told, bytes_of(sn->manifest.ptr + at, len));
    } else if (sn == &n->lie) {
        put_piece(s, wr_again(w), sn, q->offset);
    }
}

static void twist_chunk(struct sim *s, int i, const struct request *q, struct wr *w)
{
    struct node *n = &s->node[i];
    struct snapshot *sn = &n->kept;
    if (n->lie.manifest.len > 0 && n->lie.at.epoch == q->epoch && n->lie.at.seq == q->seq && q->offset < n->lie.chunks)
        sn = &n->lie;
    if (sn == &n->lie) {
        reply_chunk_put(wr_again(w), q->epoch, q->seq, q->offset, sn->chunk[q->offset]);
    }
    if (tells(s, i, LIE_CHUNK)) {
        const struct snapshot *of = n->older.chunks > 0 && chance(s, 50) ? &n->older : sn;
        uint64_t index = q->offset + (chance(s, 30) ? 1 : 0), seq = q->seq + (chance(s, 30) ? 1 : 0);
        if (of->chunks > 0)
            reply_chunk_put(wr_again(w), q->epoch, seq, index, of->chunk[rnd_below(&s->rnd, (uint32_t)of->chunks)]);
    } else if (tells(s, i, LIE_CHUNK_BYTES)) {
        uint8_t noise[200];
        struct wr nw = wr_over(noise, sizeof noise);
        put_noise(s, &nw, rnd_below(&s->rnd, sizeof noise));
        reply_chunk_put(wr_again(w), q->epoch, q->seq, q->offset, wr_done(&nw));
    }
}

/* --- replies ------------------------------------------------------------------------------------------------------------------- */
static void twist_hello(struct sim *s, int i, struct wr *w)
{
    uint8_t nonce[NONCE_LEN] = { 1 }, cluster[CLUSTER_LEN] = { 2 };
    if (!tells(s, i, LIE_HELLO))
        return;
    uint64_t first = rnd_below(&s->rnd, 100), last = chance(s, 50) ? UINT64_MAX : 1;    /* drawn in this order by any compiler */
    reply_hello_put(wr_again(w), nonce, cluster, first, last, "other", s->evil.pub);
}

static void put_error(struct sim *s, struct wr *w)
{
    static const uint64_t code[] = { REPLY_UNKNOWN, REPLY_MALFORMED, REPLY_STORE, REPLY_LATER, REPLY_LATER, REPLY_LATER, REPLY_LATER, REPLY_UNLISTED, REPLY_NONCE,
                                     REPLY_GONE, 77 };
    uint64_t which = code[rnd_below(&s->rnd, ROWS(code))];
    reply_error_put(wr_again(w), (enum reply_error)which, "no", chance(s, 50) ? UINT64_MAX : rnd_u64(&s->rnd) >> 40);
}

static void twist_answer(struct sim *s, int from, const struct request *q, struct wr *w)
{
    if (q->type == MESSAGE_HELLO)
        twist_hello(s, from, w);
    else if (q->type == MESSAGE_RECORDS)
        twist_records(s, from, q, w);
    else if (q->type == MESSAGE_MANIFEST)
        twist_manifest(s, from, q, w);
    else
        twist_chunk(s, from, q, w);
}

bool twist_reply(struct sim *s, int from, const struct request *q, struct wr *w)
{
    struct node *n = &s->node[from];
    struct bytes before = n->last_reply;
    if (q->type == MESSAGE_HELLO && n->true_heads)
        return true;
    n->last_reply = heap_copy(w->buf, w->len);
    bool send = s->made_n == 0 || !tells(s, from, LIE_SILENT);
    if (send && s->made_n > 0) {
        if (before.len > 0 && tells(s, from, LIE_SWAP))
            wr_bytes(wr_again(w), before);
        else if (tells(s, from, LIE_ERROR))
            put_error(s, w);
        else if (!twist_any(s, from, w))
            twist_answer(s, from, q, w);
    }
    bytes_free(before);
    return send;
}
