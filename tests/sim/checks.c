/* What must hold. Always: nothing is shown, stored or heard that the core did not make, and nothing goes backwards. In the
 * end: whoever has an honest way to the core is level with it. */
#include "tests/sim/sim.h"

#include <malloc.h>

#define BYTES_MAX ((size_t)2 << 20) /* of one replica: a batch of records, those held, a chunk of any size, small manifests */
#define ASKS_MS 10000
#define ASKS_MAX 2000 /* in so long: some times what a whole log, record by record, and a copy in pieces take */

/* Whatever is shown was once the core's. */
void check_shown(struct sim *s, int i)
{
    struct node *n = &s->node[i];
    const struct generation *g = &n->disk.data;
    struct head h;
    struct rd rd = rd_over(bytes_of(g->head.body, g->head.len));
    const struct made *m = made_find(s, g->applied.chain);
    if (position_compare(&g->applied, &n->shown) < 0)
        wrong(s, i, "shows an older state than before");
    n->shown = g->applied;
    if (m == NULL || !m->ends || m->epoch != g->applied.epoch || m->seq != g->applied.seq)
        wrong(s, i, "shows a state of which the core knows nothing");
    if (memcmp(&m->state, &g->data, sizeof g->data) != 0)
        wrong(s, i, "shows data that the core never had");
    if (!head_made(s, &g->head) || head_read(&rd, &h) != OK || memcmp(h.chain, m->chain, CHAIN_LEN) != 0)
        wrong(s, i, "keeps a head that is not of its data");
}

/* Heads are the core's, and ascend in one life. */
void check_heard(struct sim *s, int i, const struct signed_head *sh)
{
    struct node *n = &s->node[i];
    struct head h;
    struct rd rd = rd_over(bytes_of(sh->body, sh->len));
    if (!head_made(s, sh) || head_read(&rd, &h) != OK)
        wrong(s, i, "believes a head that the core never signed");
    int order = head_compare(&h, &n->heard);
    if (order < 0 || (order == 0 && h.time_ms <= n->heard.time_ms))
        wrong(s, i, "believes a head that is older than one before");
    n->heard = h;
}

void check_job(struct sim *s, int i, const struct job *job)
{
    struct snapshot_manifest m;
    const struct position *at = &s->node[i].disk.data.applied;
    if (job->kind == JOB_STORE && s->node[i].disk.unpack != NULL)
        wrong(s, i, "stores records while it copies");
    for (size_t k = 0; k < job->n; k++) {
        struct record rec;
        const struct made *made = record_read(job->records[k], &rec) == OK ? made_find(s, rec.chain) : NULL;
        if (made == NULL || !bytes_equal(made->record, job->records[k]))
            wrong(s, i, "stores a record that the core did not make");
    }
    if (job->kind != JOB_COPY || snapshot_manifest_read(job->bytes, &m) != OK)
        return;
    struct position to = { .epoch = m.about.head.epoch, .seq = m.about.head.seq };
    if (!head_made(s, &m.about.signed_head))
        wrong(s, i, "copies what the core never signed");
    if (position_compare(&to, at) < 0)
        wrong(s, i, "copies an older state than its own");
}

/* Whatever it is told, a replica does not ask like mad. */
void check_ask(struct sim *s, int i)
{
    struct node *n = &s->node[i];
    if (s->now - n->asks_since_ms >= ASKS_MS) {
        n->asks_since_ms = s->now;
        n->asks = 0;
    }
    if (++n->asks > ASKS_MAX)
        wrong(s, i, "asks too often");
    if (n->asks > s->tally->most_asks)
        s->tally->most_asks = n->asks;
}

/* 0 where the allocator does not say, as with sanitizers. */
size_t bytes_in_use(void)
{
#if defined __GLIBC__ && __GLIBC_PREREQ(2, 33)
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
#else
    return 0;
#endif
}

void check_bytes(struct sim *s, int i, size_t before)
{
    struct node *n = &s->node[i];
    n->bytes_held += bytes_in_use() - before;
    if (n->bytes_held > BYTES_MAX && n->bytes_held < UINT64_MAX / 2)
        wrong(s, i, "holds too much memory");
    if (n->bytes_held > s->tally->most_bytes && n->bytes_held < UINT64_MAX / 2)
        s->tally->most_bytes = (size_t)n->bytes_held;
}

/* --- the end --------------------------------------------------------------------------------------------------------------- */
static bool holds_all(const struct sim *s, int i)
{
    const struct disk *d = &s->node[i].disk;
    return memcmp(d->data.applied.chain, s->core.at.chain, CHAIN_LEN) == 0 && d->rot == 0;
}

static bool is_live(const struct sim *s, int i)
{
    struct replica_figures f;
    if (s->node[i].replica == NULL)
        return false;
    replica_figures(s->node[i].replica, s->now, &f);
    return f.state == REPLICA_LIVE && (s->hostile || f.age_ms <= 5000);
}

bool all_level(const struct sim *s)
{
    for (int i = 1; i < s->nodes; i++) {
        if (s->level_wanted[i] && !(holds_all(s, i) && is_live(s, i)))
            return false;
    }
    return true;
}

void check_end(struct sim *s)
{
    struct replica_figures f;
    for (int i = 1; i < s->nodes; i++) {
        if (s->level_wanted[i] && !s->done) {
            if (s->node[i].replica == NULL)
                wrong(s, i, "is down in the end");
            if (!holds_all(s, i))
                wrong(s, i, "did not become level with the core");
            if (!is_live(s, i))
                wrong(s, i, "is not live in the end");
        }
        if (!s->level_wanted[i] && !holds_all(s, i))
            count(s, N_BEHIND);
        if (s->hostile || s->rot > 0 || s->node[i].replica == NULL)
            continue;
        replica_figures(s->node[i].replica, s->now, &f);
        if (f.bad_shape + f.bad_signature + f.bad_cluster + f.bad_format > 0)
            wrong(s, i, "counted a bad message");
    }
    if (!s->done)
        wrong(s, 0, "it does not become quiet");
}
