/* A replica with its links and its store, as edge_jobs.c: does each to-do, runs one job at a time, forwards what it heard. */
#include "tests/sim/sim.h"

static void todo_do(struct sim *s, int i, const struct todo *t, int from);

/* --- jobs ------------------------------------------------------------------------------------------------------------------ */
static void job_clear(struct node *n)
{
    for (size_t k = 0; k < n->job.n; k++)
        bytes_free(n->job.records[k]);
    free((void *)(uintptr_t)n->job.records);
    bytes_free(n->job.bytes);
    n->job = (struct job){ .kind = JOB_NONE };
    n->step = STEP_IDLE;
}

static void step_later(struct sim *s, int i)
{
    const struct node *n = &s->node[i];
    uint64_t in_ms = 1 + rnd_below(&s->rnd, (uint32_t)n->disk_ms);
    if (!s->quiet && chance(s, 2)) {
        in_ms += rnd_below(&s->rnd, 6000);
        count(s, N_SLOW);
    }
    push(s, (struct event){ .at = s->now + in_ms, .kind = EV_STEP, .to = i, .tag = n->boot });
}

static void job_begin(struct sim *s, int i, const struct job *job, int from)
{
    struct node *n = &s->node[i];
    struct bytes *records = calloc(job->n + 1, sizeof *records);
    if (n->job.kind != JOB_NONE)
        wrong(s, i, "is given a second job");
    check_job(s, i, job);
    for (size_t k = 0; k < job->n; k++)
        records[k] = heap_copy(job->records[k].ptr, job->records[k].len);
    n->job = *job;
    n->job.records = records;
    n->job.bytes = heap_copy(job->bytes.ptr, job->bytes.len);
    n->job_from = from;
    n->job_err = OK;
    n->step = disk_first(job->kind);
    count(s, N_JOBS);
    step_later(s, i);
}

static void job_end(struct sim *s, int i)
{
    struct node *n = &s->node[i];
    const struct disk *d = &n->disk;
    struct job_result res = { .err = n->job_err, .log = d->log_end, .complete = d->complete, .applied = d->data.applied };
    enum job_kind kind = n->job.kind;
    struct todo t;
    job_clear(n);
    if (res.err != OK)
        say(s, i, "job %d: %s", (int)kind, err_text(res.err));
    if (res.err == OK && n->has_head && (kind == JOB_STORE || kind == JOB_FLIP))
        announce(s, i, &n->head, (struct bytes){ 0 }, (struct bytes){ 0 });
    size_t before = bytes_in_use();
    replica_stored(n->replica, &res, s->now, &t);
    check_bytes(s, i, before);
    todo_do(s, i, &t, i);
}

static void job_step(struct sim *s, int i)
{
    static const unsigned rarity[] = { [JOB_STORE] = 1, [JOB_COPY] = 4, [JOB_LOAD] = 4, [JOB_FLIP] = 8, [JOB_DROP] = 60 };
    struct node *n = &s->node[i];
    enum step next;
    if (!s->quiet && chance_of_1000(s, rarity[n->job.kind] * s->crash)) {
        node_down(s, i);
        later(s, rnd_below(&s->rnd, 3000), EV_UP, i);
        return;
    }
    if (n->step == STEP_TELL) {
        job_end(s, i);
        return;
    }
    n->job_err = disk_step(s, i, &next);
    n->step = n->job_err == OK ? next : STEP_TELL;
    step_later(s, i);
}

/* --- what a replica wants ----------------------------------------------------------------------------------------------------- */
static void todo_say(const struct sim *s, int i, const struct todo *t)
{
    static const char *const job[] = { "none", "store", "copy", "load", "flip", "drop" };
    struct request q;
    if (t->change)
        say(s, i, "goes to node %d", s->node[i].upstreams[t->upstream]);
    if (t->ask.len > 0 && request_read(t->ask, &q) == OK)
        say(s, i, "asks node %d: type %llu, after %llu, %llu/%llu at %llu", s->node[i].upstreams[s->node[i].upstream],
            (unsigned long long)q.type, (unsigned long long)q.after, (unsigned long long)q.epoch, (unsigned long long)q.seq,
            (unsigned long long)q.offset);
    if (t->job.kind != JOB_NONE)
        say(s, i, "job %s, %zu records, chunk %zu", job[t->job.kind], t->job.n, t->job.index);
    for (unsigned k = 0; k < t->notes_n; k++)
        say(s, i, "note %d (%llu, %llu)", (int)t->notes[k].kind, (unsigned long long)t->notes[k].a, (unsigned long long)t->notes[k].b);
}

static void todo_do(struct sim *s, int i, const struct todo *t, int from)
{
    struct node *n = &s->node[i];
    if (t->join) {
        if (memcmp(t->cluster, s->core.cluster, CLUSTER_LEN) != 0)
            wrong(s, i, "joins another cluster");
        n->joined = true;
    }
    if (t->heard) {
        check_heard(s, i, &t->head);
        n->head = t->head;
        n->has_head = true;
        announce(s, i, &t->head, (struct bytes){ 0 }, t->forward);
    }
    if (t->change) {
        n->upstream = t->upstream;
        n->link++;
        n->ask_tag++;
        count(s, N_CHANGES);
    }
    if (s->trace)
        todo_say(s, i, t);
    if (t->ask.len > 0) {
        check_ask(s, i);
        transmit(s, EV_REQUEST, i, n->upstreams[n->upstream], ++n->ask_tag, t->ask);
    }
    if (t->job.kind != JOB_NONE)
        job_begin(s, i, &t->job, from);
}

static void look_at(struct sim *s, int i, enum err err, int from)
{
    if (err == OK || err == ERR_EPOCH || err == ERR_GAP)
        return;
    say(s, i, "refuses what node %d sent: %s", from, err_text(err));
    count(s, N_REFUSED);
    if (!s->hostile && s->rot == 0)
        wrong(s, i, err_text(err));             /* nobody in this seed sends anything broken */
}

static void reply(struct sim *s, int i, const struct event *e)
{
    struct node *n = &s->node[i];
    struct todo t;
    size_t before = bytes_in_use();
    enum err err = replica_reply(n->replica, e->msg, s->now, &t);
    check_bytes(s, i, before);
    look_at(s, i, err, e->from);
    todo_do(s, i, &t, e->from);
}

/* --- announcements: those that come while the node is busy are heard together, before anything else ------------------------------ */
static uint64_t signatures(struct sim *s, int i)
{
    struct replica_figures f;
    replica_figures(s->node[i].replica, s->now, &f);
    return f.signatures;
}

static void hear(struct sim *s, int i)
{
    struct node *n = &s->node[i];
    int from = n->upstreams[n->upstream], heard = 0, together = 0;
    uint64_t looked_at = signatures(s, i);
    struct todo t;
    enum err err;
    if (n->gathered == 0)
        return;
    n->gathered = 0;
    while (replica_hear(n->replica, s->now, &err, &t)) {
        look_at(s, i, err, from);
        together++;
        heard += t.heard;
        if (t.job.kind != JOB_NONE || t.ask.len > 0)
            wrong(s, i, "does more than to hear");
        todo_do(s, i, &t, from);
    }
    looked_at = signatures(s, i) - looked_at;
    if (looked_at > 2 * (uint64_t)together)             /* a head, and a record of another */
        wrong(s, i, "looks at too many signatures");
    s->tally->n[N_TOGETHER] += together > 1 ? (uint64_t)together : 0;
    s->tally->n[N_SPARED] += (uint64_t)heard > looked_at ? (uint64_t)heard - looked_at : 0;
    replica_go(n->replica, s->now, &t);
    todo_do(s, i, &t, from);
}

static void gather(struct sim *s, int i, const struct event *e)
{
    struct node *n = &s->node[i];
    size_t before = bytes_in_use();
    bool room = replica_gather(n->replica, e->msg);
    check_bytes(s, i, before);
    n->gathered++;
    if (!room || s->busy_ms == 0)
        hear(s, i);
    else if (n->gathered == 1)
        push(s, (struct event){ .at = s->now + rnd_below(&s->rnd, (uint32_t)s->busy_ms), .kind = EV_HEAR, .to = i, .tag = n->boot });
}

static void tick(struct sim *s, int i)
{
    struct node *n = &s->node[i];
    struct todo t;
    size_t before = bytes_in_use();
    replica_tick(n->replica, s->now, &t);
    check_bytes(s, i, before);
    todo_do(s, i, &t, i);
    push(s, (struct event){ .at = s->now + replica_wake_ms(n->replica, s->now), .kind = EV_TICK, .to = i, .tag = n->boot });
}

/* --- life ----------------------------------------------------------------------------------------------------------------------- */
void node_up(struct sim *s, int i)
{
    struct node *n = &s->node[i];
    struct disk *d = &n->disk;
    struct replica_options o = { .cohort = "all", .node = "sim", .upstreams = n->upstreams_n, .seed = rnd_u64(&s->rnd) };
    if (n->replica != NULL)
        return;
    disk_start(s, i);
    struct replica_start at = { .log = d->log_end, .applied = d->data.applied, .complete = d->complete, .head = d->data.head };
    memcpy(o.core_pub, s->core.key.pub, 32);
    if (n->joined)
        memcpy(at.cluster, s->core.cluster, CLUSTER_LEN);
    n->boot++;
    n->link++;
    n->ask_tag++;
    n->upstream = 0;
    n->has_head = at.head.len > 0;
    n->head = at.head;
    n->heard = (struct head){ .epoch = 0 };
    n->bytes_held = 0;
    n->gathered = 0;
    say(s, i, "starts at %llu/%llu, log to %llu", (unsigned long long)at.applied.epoch, (unsigned long long)at.applied.seq,
        (unsigned long long)at.log.seq);
    size_t before = bytes_in_use();
    if (replica_open(&n->replica, &o, &at, s->now) != OK)
        wrong(s, i, "has no memory");
    check_bytes(s, i, before);
    push(s, (struct event){ .at = s->now, .kind = EV_TICK, .to = i, .tag = n->boot });
}

void node_down(struct sim *s, int i)
{
    struct node *n = &s->node[i];
    bool power = chance(s, s->power);
    enum step step = n->job.kind == JOB_NONE && n->disk.unpack != NULL ? STEP_COPYING : n->step;
    if (n->replica == NULL)
        return;
    s->tally->crash[step]++;
    say(s, i, "dies %s%s", step_text(step), power ? ", and its machine" : "");
    job_clear(n);
    replica_close(n->replica);
    n->replica = NULL;
    disk_crash(s, i, power);
    snapshot_free(&n->kept);
    n->boot++;
}

void node_event(struct sim *s, const struct event *e)
{
    struct node *n = &s->node[e->to];
    if (n->replica != NULL && e->kind != EV_ANNOUNCE)
        hear(s, e->to);                                 /* may ask anew: then this reply comes too late */
    uint64_t now = e->kind == EV_ANNOUNCE ? n->link : e->kind == EV_REPLY ? n->ask_tag : n->boot;
    if (n->replica == NULL || e->tag != now) {
        count(s, N_LATE);
        return;
    }
    switch (e->kind) {
    case EV_TICK: tick(s, e->to); break;
    case EV_STEP: job_step(s, e->to); break;
    case EV_HEAR: break;
    case EV_ANNOUNCE: gather(s, e->to, e); break;
    default:      reply(s, e->to, e); break;
    }
}
