/* Replication under every fault at once, one seed after another; sim.h says what is what.
 *
 * Must hold: what a replica shows is always a state that the core had, never an older one than before; in the end every
 * replica with an honest way to the core shows the core's, and is live. Behind a hostile relay alone it may stay behind.
 * $AZOTH_SEED plays one seed again, $AZOTH_SEEDS plays that many, from $AZOTH_SEED on; $AZOTH_TRACE=1 tells what happens. */
#include "tests/sim/sim.h"

#ifdef __SANITIZE_THREAD__
#define SEEDS 100
#else
#define SEEDS 300
#endif

static void event_do(struct sim *s, const struct event *e)
{
    switch (e->kind) {
    case EV_TICK: case EV_ANNOUNCE: case EV_REPLY: case EV_STEP: case EV_HEAR: node_event(s, e); break;
    case EV_REQUEST: serve(s, e); break;
    case EV_COMMIT:  core_commit(s); break;
    case EV_BEAT:    core_beat(s); break;
    case EV_EPOCH:   core_epoch(s); break;
    case EV_TROUBLE: trouble(s); break;
    case EV_SCRUB:   scrub(s, e->to); break;
    case EV_CRASH:
        if (!s->quiet)
            node_down(s, e->to);
        later(s, rnd_below(&s->rnd, 4000), EV_UP, e->to);
        break;
    case EV_UP: node_up(s, e->to); break;
    case EV_LOOK:
        s->calm_ms = !all_level(s) ? 0 : s->calm_ms == 0 ? s->now : s->calm_ms;
        s->done = s->calm_ms != 0 && (s->hostile || s->now - s->calm_ms >= CALM_MS);
        later(s, 500, EV_LOOK, 0);
        break;
    }
}

static void node_release(struct sim *s, int i)
{
    struct node *n = &s->node[i];
    if (n->replica != NULL) {
        s->power = 0;
        node_down(s, i);
    }
    disk_close(&n->disk);
    snapshot_free(&n->kept);
    snapshot_free(&n->older);
    snapshot_free(&n->lie);
    bytes_free(n->last_reply);
    bytes_free(n->told);
}

static void run(uint64_t seed, bool trace, struct tally *tally)
{
    struct tally none = { .most_bytes = 0 };
    struct sim *s = calloc(1, sizeof *s);
    if (s == NULL)
        abort();
    s->seed = seed;
    s->trace = trace;
    s->rnd = rnd_seed(seed);
    s->tally = tally;
    history_open(s);
    plan(s);
    while (!s->done && s->now < s->end_ms + QUIET_MS) {
        struct event e = pop(s);
        s->now = e.at;
        if (!s->quiet && s->now >= s->end_ms)
            calm(s);
        event_do(s, &e);
        bytes_free(e.msg);
    }
    check_end(s);
    say(s, 0, "level %llu ms after the end of trouble", (unsigned long long)(s->now - s->end_ms));
    s->tally = &none;
    s->trace = false;
    while (s->heap_n > 0)
        bytes_free(pop(s).msg);
    for (int i = 0; i < s->nodes; i++)
        node_release(s, i);
    history_close(s);
    free(s->heap);
    free(s);
}

/* --- figures ------------------------------------------------------------------------------------------------------------------ */
static bool figure(const char *group, const char *text, uint64_t n, bool must)
{
    printf("%10llu  %s%s\n", (unsigned long long)n, group, text);
    if (n == 0 && must)
        printf("    this never happened: the simulator sleeps\n");
    return n > 0 || !must;
}

/* must: these seeds are known to have everything. */
static bool figures(const struct tally *t, bool must)
{
    bool all = true;
    for (int i = 0; i < COUNTS_N; i++) {
        bool wanted;
        const char *text = count_text((enum count)i, &wanted);
        all = figure("", text, t->n[i], must && wanted) && all;
    }
    for (int i = 0; i < STEPS_N; i++)
        all = figure("crashes ", step_text((enum step)i), t->crash[i], must) && all;
    for (int i = 0; i < LIES_N; i++)
        all = figure("lies: ", lie_text((enum lie)i), t->lie[i], must) && all;
    printf("%10zu  bytes at most in a replica\n", t->most_bytes);
    printf("%10llu  requests of one at most in 10 s\n", (unsigned long long)t->most_asks);
    return all;
}

int main(void)
{
    const char *many = getenv("AZOTH_SEEDS"), *trace = getenv("AZOTH_TRACE");
    bool one = getenv("AZOTH_SEED") != NULL;
    uint64_t seed = seed_from_env(1), n = many != NULL ? strtoull(many, NULL, 10) : one ? 1 : SEEDS;
    struct tally tally = { .most_bytes = 0 };
    for (uint64_t i = 0; i < n; i++)
        run(seed + i, trace != NULL && strcmp(trace, "0") != 0, &tally);
    bool all = figures(&tally, many == NULL && !one && n >= 300);
    printf("%llu seeds passed\n", (unsigned long long)n);
    return all ? 0 : 1;
}
