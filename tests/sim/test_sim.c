/* A fleet over a bad network, in one thread and with a clock of its own: one core, replicas behind it and behind each
 * other as relays. Messages are lost, doubled, delayed past each other, cut off by partitions; nodes die and come back,
 * disks are full for a while, the core is restored from a backup under a new epoch. Then it is quiet for a minute.
 *
 * Must hold: what a replica shows is always a state that the core had; in the end every replica shows the core's.
 * $AZOTH_SEED plays one seed again, $AZOTH_SEEDS plays that many, from $AZOTH_SEED on. */
#include "tests/sim/model.h"

#include "base/msg.h"
#include "replicator/replica.h"

#define NODES_MAX 7                 /* node 0 is the core */
#define EVENTS_MAX 8192
#define QUIET_MS 45000
#define STATES_MAX 1024

enum kind { EV_TICK, EV_ANNOUNCE, EV_REQUEST, EV_REPLY, EV_COMMIT, EV_BEAT, EV_JOB, EV_CRASH, EV_UP, EV_RESTORE, EV_SWAP };
struct event { uint64_t at, order; enum kind kind; int to, from; uint64_t tag; struct bytes msg; };

/* A generation of a replica's data. */
struct gen { struct model_data data; struct position applied; struct signed_head head; };

struct node {
    struct replica *replica;            /* NULL: down */
    uint64_t boot, ask_tag;             /* what is on its way to an earlier life, or an earlier question, is dropped */
    int upstreams[3];
    unsigned upstreams_n, upstream;
    bool joined;
    struct bytes log[MODEL_LOG + 1];    /* by seq */
    uint64_t first, last, complete;
    struct position log_end;
    struct gen data, fresh;
    bool copying;
    bool full;
    struct position shown;              /* the data never moves back */
    enum job_kind job;                  /* being done until its EV_JOB */
    struct bytes *job_records;
    size_t job_n;
    uint64_t job_apply_to;
    bool has_head;                      /* as a relay: newest head heard */
    struct signed_head head;
    uint64_t ticks;
};

struct state { uint8_t chain[CHAIN_LEN]; struct model_data data; };

struct sim {
    uint64_t seed, now, order;
    struct rnd rnd;
    struct model_core core;
    bool core_down;
    struct node node[NODES_MAX];
    int nodes;
    bool cut[NODES_MAX][NODES_MAX];     /* partitions */
    unsigned loss, twice;               /* percent */
    uint64_t delay_ms, end_ms;
    bool quiet, machines;               /* machines: they go down too, and an edge's log with them */
    struct event heap[EVENTS_MAX];
    size_t heap_n;
    struct state state[STATES_MAX];
    size_t states;
    uint64_t jobs, copies, applied;
};

static void wrong(struct sim *s, const char *what, int node)
{
    printf("seed %llu, %llu ms, node %d: %s\n", (unsigned long long)s->seed, (unsigned long long)s->now, node, what);
    printf("again with: AZOTH_SEED=%llu\n", (unsigned long long)s->seed);
    exit(1);
}

/* --- events ---------------------------------------------------------------------------------------------------------- */
static bool sooner(const struct event *a, const struct event *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}
static void push(struct sim *s, struct event e)
{
    size_t i = s->heap_n++;
    if (i == EVENTS_MAX)
        wrong(s, "too many events", e.to);
    e.order = s->order++;
    for (; i > 0 && sooner(&e, &s->heap[(i - 1) / 2]); i = (i - 1) / 2)
        s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = e;
}
static struct event pop(struct sim *s)
{
    struct event top = s->heap[0], last = s->heap[--s->heap_n];
    size_t i = 0;
    for (;;) {
        size_t c = 2 * i + 1;
        if (c >= s->heap_n)
            break;
        if (c + 1 < s->heap_n && sooner(&s->heap[c + 1], &s->heap[c]))
            c++;
        if (!sooner(&s->heap[c], &last))
            break;
        s->heap[i] = s->heap[c];
        i = c;
    }
    s->heap[i] = last;
    return top;
}
static void later(struct sim *s, uint64_t in_ms, enum kind kind, int to)
{
    push(s, (struct event){ .at = s->now + in_ms, .kind = kind, .to = to });
}

static bool chance(struct sim *s, unsigned percent) { return rnd_below(&s->rnd, 100) < percent; }

static void send(struct sim *s, enum kind kind, int from, int to, uint64_t tag, struct bytes msg)
{
    unsigned copies = chance(s, s->loss) ? 0 : chance(s, s->twice) ? 2 : 1;
    if (s->cut[from][to])
        return;
    for (unsigned i = 0; i < copies; i++)
        push(s, (struct event){ .at = s->now + 1 + rnd_below(&s->rnd, (uint32_t)s->delay_ms), .kind = kind, .to = to, .from = from,
                                .tag = tag, .msg = heap_copy(msg.ptr, msg.len) });
}

/* --- serving: the core and relays ---------------------------------------------------------------------------------------- */
static bool subscribed(const struct sim *s, int node, int to)
{
    const struct node *n = &s->node[node];
    return n->replica != NULL && n->upstreams[n->upstream] == to;
}

static void announce(struct sim *s, int from, const struct signed_head *head, struct bytes record, struct bytes as_is)
{
    uint8_t buf[4096];
    struct wr w = wr_over(buf, sizeof buf);
    announce_put(&w, head, record);
    for (int i = 1; i < s->nodes; i++) {
        if (subscribed(s, i, from))
            send(s, EV_ANNOUNCE, from, i, s->node[i].boot, as_is.len > 0 ? as_is : wr_done(&w));
    }
}

static void serve(struct sim *s, const struct event *e)
{
    static uint8_t buf[65536];
    struct node *n = &s->node[e->to];
    struct request q;
    struct wr w = wr_over(buf, sizeof buf);
    uint8_t nonce[NONCE_LEN] = { 0 };
    bool core = e->to == 0;
    const struct bytes *log = core ? s->core.log : n->log;
    uint64_t last = core ? s->core.head.seq : n->complete, first = core ? (last > 0) : last >= n->first ? n->first : 0;
    const struct signed_head *head = core ? (s->core.signed_head.len > 0 ? &s->core.signed_head : NULL) : n->has_head ? &n->head : NULL;
    if ((core && s->core_down) || (!core && n->replica == NULL))
        return;
    if (first == 0)
        last = 0;
    if (request_read(e->msg, &q) != OK)
        wrong(s, "a request cannot be read", e->from);
    if (q.type == MESSAGE_HELLO) {
        reply_hello_put(&w, nonce, s->core.cluster, first, last, "sim");
    } else {
        uint32_t count = 0, most = 1 + rnd_below(&s->rnd, 12);
        if (first > 0 && q.after + 1 >= first)
            for (uint64_t seq = q.after + 1; seq <= last && count < most; seq++)
                count++;
        reply_records_put(&w, q.after, first, last, head, count);
        for (uint32_t i = 0; i < count; i++)
            msg_put_bin(&w, log[q.after + 1 + i]);
    }
    send(s, EV_REPLY, e->to, e->from, e->tag, wr_done(&w));
}

/* --- a replica's store ------------------------------------------------------------------------------------------------------ */
static void log_drop(struct node *n, uint64_t after)
{
    for (uint64_t i = after + 1; i <= n->last; i++) {
        bytes_free(n->log[i]);
        n->log[i] = (struct bytes){ 0 };
    }
    if (n->last > after)
        n->last = after;
    if (n->last < n->first)
        n->first = n->last = 0;
}

static struct gen *filling(struct node *n) { return n->copying ? &n->fresh : &n->data; }

static void log_forget(struct node *n)
{
    for (uint64_t i = n->first; i <= n->last && i > 0; i++) {
        bytes_free(n->log[i]);
        n->log[i] = (struct bytes){ 0 };
    }
    n->first = n->last = 0;
    n->log_end = filling(n)->applied;
    n->complete = n->log_end.seq;
}

/* Whatever is shown was once the core's. */
static void check_shown(struct sim *s, int i)
{
    const struct gen *g = &s->node[i].data;
    if (position_compare(&g->applied, &s->node[i].shown) < 0)
        wrong(s, "shows an older state than before", i);
    s->node[i].shown = g->applied;
    if (g->applied.seq == 0)
        return;
    for (size_t k = s->states; k-- > 0;) {
        if (memcmp(s->state[k].chain, g->applied.chain, CHAIN_LEN) == 0) {
            if (memcmp(&s->state[k].data, &g->data, sizeof g->data) != 0)
                wrong(s, "shows data that the core never had", i);
            return;
        }
    }
    wrong(s, "shows a state of which the core knows nothing", i);
}

static enum err apply(struct sim *s, int i, uint64_t apply_to)
{
    struct node *n = &s->node[i];
    struct gen *g = filling(n), next = *g;
    struct arena a;
    enum err err = OK;
    uint64_t to = n->complete < apply_to ? n->complete : apply_to;
    arena_init(&a);
    for (uint64_t seq = g->applied.seq + 1; seq <= to && err == OK; seq++) {
        struct record rec;
        struct op *ops;
        struct head h;
        size_t ops_n;
        arena_reset(&a);
        if (record_read(n->log[seq], &rec) != OK || record_ops(&rec, &a, &ops, &ops_n) != OK || !model_apply(&next.data, ops, ops_n))
            wrong(s, "its log holds what no core made", i);
        position_move(&next.applied, &rec);
        if (rec.more)
            continue;
        model_digest(&next.data, &h);
        if (memcmp(h.digest, rec.head.digest, HEAD_DIGEST_LEN) != 0) {
            err = ERR_DIGEST;
            break;
        }
        next.head = rec.signed_head;
        *g = next;
        s->applied++;
        if (!n->copying)
            check_shown(s, i);
    }
    arena_release(&a);
    return err;
}

static enum err store_job(struct sim *s, int i)
{
    struct node *n = &s->node[i];
    if (n->full && n->job != JOB_FLIP)
        return ERR_FULL;
    if (n->job == JOB_COPY) {
        n->copying = true;
        n->fresh = (struct gen){ .applied = { 0 } };
        log_forget(n);
        s->copies++;
        return OK;
    }
    if (n->job == JOB_FLIP) {
        n->data = n->fresh;
        n->copying = false;
        check_shown(s, i);
        return OK;
    }
    for (size_t k = 0; k < n->job_n; k++) {
        struct record rec;
        if (record_read(n->job_records[k], &rec) != OK || record_joins(&n->log_end, &rec) != OK)
            wrong(s, "is told to store a record that does not join", i);
        n->log[rec.seq] = heap_copy(n->job_records[k].ptr, n->job_records[k].len);
        if (n->first == 0)
            n->first = rec.seq;
        n->last = rec.seq;
        position_move(&n->log_end, &rec);
        if (!rec.more)
            n->complete = rec.seq;
    }
    return apply(s, i, n->job_apply_to);
}

/* --- a replica's shell -------------------------------------------------------------------------------------------------------- */
static void job_clear(struct node *n)
{
    for (size_t k = 0; k < n->job_n; k++)
        bytes_free(n->job_records[k]);
    free(n->job_records);
    n->job_records = NULL;
    n->job_n = 0;
    n->job = JOB_NONE;
}

static void heard(struct sim *s, int i, const struct signed_head *head, struct bytes as_is)
{
    struct node *n = &s->node[i];
    n->head = *head;
    n->has_head = true;
    announce(s, i, head, (struct bytes){ 0 }, as_is);
}

static void todo_do(struct sim *s, int i, const struct todo *t)
{
    struct node *n = &s->node[i];
    if (t->join)
        n->joined = true;
    if (t->heard)
        heard(s, i, &t->head, t->forward);
    if (t->change)
        n->upstream = t->upstream;
    if (t->ask.len > 0)
        send(s, EV_REQUEST, i, n->upstreams[n->upstream], ++n->ask_tag, t->ask);
    if (t->job.kind == JOB_NONE)
        return;
    if (n->job != JOB_NONE)
        wrong(s, "is given a second job", i);
    n->job = t->job.kind;
    n->job_n = t->job.n;
    n->job_apply_to = t->job.apply_to;
    n->job_records = calloc(t->job.n + 1, sizeof *n->job_records);
    for (size_t k = 0; k < t->job.n; k++)
        n->job_records[k] = heap_copy(t->job.records[k].ptr, t->job.records[k].len);
    push(s, (struct event){ .at = s->now + 1 + (chance(s, 10) ? rnd_below(&s->rnd, 2000) : 0), .kind = EV_JOB, .to = i, .tag = n->boot });
}

static void job_end(struct sim *s, int i)
{
    struct node *n = &s->node[i];
    struct todo t;
    struct job_result res = { .err = store_job(s, i) };
    res.log = n->log_end;
    res.complete = n->complete;
    res.applied = filling(n)->applied;
    job_clear(n);
    s->jobs++;
    if (res.err == OK && n->has_head && n->complete > 0)
        announce(s, i, &n->head, (struct bytes){ 0 }, (struct bytes){ 0 });
    replica_stored(n->replica, &res, s->now, &t);
    todo_do(s, i, &t);
}

static void take(struct sim *s, int i, const struct event *e)
{
    struct todo t;
    struct node *n = &s->node[i];
    enum err err = e->kind == EV_ANNOUNCE ? replica_announce(n->replica, e->msg, s->now, &t)
                                          : replica_reply(n->replica, e->msg, s->now, &t);
    if (err != OK && err != ERR_EPOCH && err != ERR_GAP)
        wrong(s, err_text(err), i);             /* nobody here sends anything broken */
    todo_do(s, i, &t);
}

static void tick(struct sim *s, int i)
{
    struct node *n = &s->node[i];
    struct todo t;
    replica_tick(n->replica, s->now, &t);
    todo_do(s, i, &t);
    push(s, (struct event){ .at = s->now + replica_wake_ms(n->replica, s->now), .kind = EV_TICK, .to = i, .tag = n->boot });
}

/* As edge_open: a log that does not join the data is emptied, what is complete is applied. */
static void up(struct sim *s, int i)
{
    struct node *n = &s->node[i];
    struct replica_options o = { .cohort = "all", .node = "sim", .upstreams = n->upstreams_n, .seed = rnd_u64(&s->rnd) };
    struct replica_start at = { .applied = n->data.applied, .head = n->data.head };
    struct record rec;
    bool joins = n->last >= n->data.applied.seq && n->first <= n->data.applied.seq + 1;
    memcpy(o.core_pub, s->core.key.pub, 32);
    n->copying = false;
    if (joins && n->first > 0 && n->first <= n->data.applied.seq)
        joins = record_read(n->log[n->data.applied.seq], &rec) == OK && memcmp(rec.chain, n->data.applied.chain, CHAIN_LEN) == 0;
    else if (joins && n->first > 0)
        joins = record_read(n->log[n->first], &rec) == OK && memcmp(rec.prev, n->data.applied.chain, CHAIN_LEN) == 0;
    if (!joins || n->last == 0)
        log_forget(n);
    else if (apply(s, i, n->complete) != OK)
        wrong(s, "has a digest that differs", i);
    at.log = n->log_end;
    at.complete = n->complete;
    at.applied = n->data.applied;
    at.head = n->data.head;
    if (n->joined)
        memcpy(at.cluster, s->core.cluster, CLUSTER_LEN);
    n->boot++;
    n->upstream = 0;
    n->has_head = at.head.len > 0;
    n->head = at.head;
    if (replica_open(&n->replica, &o, &at, s->now) != OK)
        wrong(s, "no memory", i);
    push(s, (struct event){ .at = s->now, .kind = EV_TICK, .to = i, .tag = n->boot });
}

static void down(struct sim *s, int i)
{
    struct node *n = &s->node[i];
    if (n->replica == NULL)
        return;
    if (n->job != JOB_NONE && chance(s, 50))
        (void)store_job(s, i);              /* it died right behind the commit */
    job_clear(n);
    replica_close(n->replica);
    n->replica = NULL;
    if (s->machines && chance(s, 40)) {
        n->copying = false;
        log_forget(n);
    }
    n->boot++;
}

/* --- the core ---------------------------------------------------------------------------------------------------------------------- */
static void core_commit(struct sim *s)
{
    struct model_core *c = &s->core;
    if (s->core_down || c->at.seq + 4 > MODEL_LOG)
        return;
    unsigned parts = chance(s, 25) ? 2 + rnd_below(&s->rnd, 3) : 1;
    model_commit(c, &s->rnd, parts, false);
    struct state *st = &s->state[s->states++ % STATES_MAX];
    memcpy(st->chain, c->at.chain, CHAIN_LEN);
    st->data = c->data;
    announce(s, 0, &c->signed_head, parts == 1 ? c->log[c->at.seq] : (struct bytes){ 0 }, (struct bytes){ 0 });
}

static void core_beat(struct sim *s)
{
    if (!s->core_down && s->core.signed_head.len > 0) {
        model_sign(&s->core);
        announce(s, 0, &s->core.signed_head, (struct bytes){ 0 }, (struct bytes){ 0 });
    }
    later(s, 1000, EV_BEAT, 0);
}

/* Restored from a backup: back to an earlier state, under a new epoch whose first record names it. */
static void core_restore(struct sim *s)
{
    uint64_t seq = s->core.at.seq == 0 ? 0 : rnd_below(&s->rnd, (uint32_t)s->core.at.seq);
    while (seq > 0 && !s->core.ends[seq])
        seq--;
    model_rewind(&s->core, seq, false);
    core_commit(s);
}

static void trouble(struct sim *s)
{
    for (int a = 0; a < s->nodes && !s->quiet; a++)
        for (int b = 0; b < s->nodes; b++)
            s->cut[a][b] = a != b && chance(s, 8);
    for (int i = 1; i < s->nodes; i++) {
        s->node[i].full = !s->quiet && chance(s, 5);
        if (!s->quiet && chance(s, 8))
            later(s, rnd_below(&s->rnd, 1000), EV_CRASH, i);
    }
    if (!s->quiet)
        s->core_down = chance(s, 8);
    else
        s->core_down = false;
    later(s, 2000, EV_SWAP, 0);
}

/* --- one seed --------------------------------------------------------------------------------------------------------------------------- */
static void event_do(struct sim *s, const struct event *e)
{
    struct node *n = &s->node[e->to];
    bool alive = n->replica != NULL && e->tag == n->boot;
    switch (e->kind) {
    case EV_TICK:     if (alive) tick(s, e->to); break;
    case EV_ANNOUNCE: if (alive) take(s, e->to, e); break;
    case EV_REQUEST:  serve(s, e); break;
    case EV_REPLY:    if (n->replica != NULL && e->tag == n->ask_tag) take(s, e->to, e); break;
    case EV_COMMIT:   core_commit(s); break;
    case EV_BEAT:     core_beat(s); break;
    case EV_JOB:      if (alive) job_end(s, e->to); break;
    case EV_CRASH:
        down(s, e->to);
        later(s, rnd_below(&s->rnd, 4000), EV_UP, e->to);
        break;
    case EV_UP:       if (n->replica == NULL) up(s, e->to); break;
    case EV_RESTORE:  core_restore(s); break;
    case EV_SWAP:     trouble(s); break;
    }
}

static void plan(struct sim *s)
{
    s->nodes = 3 + (int)rnd_below(&s->rnd, NODES_MAX - 2);
    s->loss = rnd_below(&s->rnd, 40);
    s->twice = rnd_below(&s->rnd, 20);
    s->delay_ms = 2 + rnd_below(&s->rnd, chance(s, 30) ? 1500 : 60);
    s->end_ms = 8000 + rnd_below(&s->rnd, 12000);
    s->machines = chance(s, 50);
    for (int i = 1; i < s->nodes; i++) {
        struct node *n = &s->node[i];
        n->upstreams_n = 1 + rnd_below(&s->rnd, 3);
        for (unsigned u = 0; u < n->upstreams_n; u++)
            n->upstreams[u] = (int)rnd_below(&s->rnd, (uint32_t)i);       /* nearer the core: no circles */
        if (s->machines)            /* a relay without its log cannot help who is behind: the core can */
            n->upstreams[rnd_below(&s->rnd, n->upstreams_n)] = 0;
        later(s, rnd_below(&s->rnd, 6000), EV_UP, i);
    }
    unsigned commits = 10 + rnd_below(&s->rnd, 60);
    for (unsigned i = 0; i < commits; i++)
        later(s, rnd_below(&s->rnd, (uint32_t)s->end_ms), EV_COMMIT, 0);
    if (chance(s, 30))
        later(s, s->end_ms / 2, EV_RESTORE, 0);
    later(s, 0, EV_BEAT, 0);
    later(s, 1000, EV_SWAP, 0);
}

static void check_end(struct sim *s)
{
    for (int i = 1; i < s->nodes; i++) {
        struct node *n = &s->node[i];
        struct replica_figures f;
        if (n->replica == NULL)
            wrong(s, "is down in the end", i);
        replica_figures(n->replica, s->now, &f);
        if (memcmp(n->data.applied.chain, s->core.at.chain, CHAIN_LEN) != 0 || n->data.applied.epoch != s->core.at.epoch)
            wrong(s, "did not reach the core's head", i);
        if (memcmp(&n->data.data, &s->core.data, sizeof s->core.data) != 0)
            wrong(s, "holds other data than the core", i);
        if (f.state != REPLICA_LIVE || f.age_ms > 5000)
            wrong(s, "is not live in the end", i);
        if (f.bad_shape + f.bad_signature + f.bad_cluster + f.bad_format > 0)
            wrong(s, "counted a bad message", i);
    }
}

static void run(uint64_t seed, uint64_t *jobs, uint64_t *copies, uint64_t *applied)
{
    struct sim *s = calloc(1, sizeof *s);
    s->seed = seed;
    s->rnd = rnd_seed(seed);
    model_open(&s->core, seed);
    plan(s);
    while (s->heap_n > 0 && s->now < s->end_ms + QUIET_MS) {
        struct event e = pop(s);
        s->now = e.at;
        if (!s->quiet && s->now >= s->end_ms) {
            s->quiet = true;
            s->loss = s->twice = 0;
            s->delay_ms = 30;
            s->core_down = false;
            memset(s->cut, 0, sizeof s->cut);
            for (int i = 1; i < s->nodes; i++) {
                struct node *n = &s->node[i];
                int dead = n->upstreams[rnd_below(&s->rnd, n->upstreams_n)];
                n->full = false;
                for (unsigned u = 0; u < n->upstreams_n && dead >= 0; u++)      /* one upstream of several stays away for ever */
                    if (n->upstreams[u] != dead && (!s->machines || dead != 0) && chance(s, 50)) {
                        s->cut[dead][i] = s->cut[i][dead] = true;
                        break;
                    }
            }
            core_commit(s);
        }
        event_do(s, &e);
        bytes_free(e.msg);
    }
    check_end(s);
    *jobs += s->jobs;
    *copies += s->copies;
    *applied += s->applied;
    while (s->heap_n > 0)
        bytes_free(pop(s).msg);
    for (int i = 1; i < s->nodes; i++) {
        job_clear(&s->node[i]);
        replica_close(s->node[i].replica);
        log_drop(&s->node[i], 0);
    }
    model_close(&s->core);
    free(s);
}

int main(void)
{
    bool one = getenv("AZOTH_SEED") != NULL;
    const char *many = getenv("AZOTH_SEEDS");
    uint64_t seed = seed_from_env(1), n = many != NULL ? strtoull(many, NULL, 10) : one ? 1 : 300;
    uint64_t jobs = 0, copies = 0, applied = 0;
    for (uint64_t i = 0; i < n; i++)
        run(seed + i, &jobs, &copies, &applied);
    printf("%llu seeds: %llu jobs, %llu copies, %llu transactions applied\n", (unsigned long long)n, (unsigned long long)jobs,
           (unsigned long long)copies, (unsigned long long)applied);
    return n >= 100 && copies == 0;         /* so many seeds without a fork: the simulator sleeps */
}
