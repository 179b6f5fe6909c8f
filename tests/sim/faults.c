/* What a seed will suffer: each kind of fault is there in some seeds and missing in others, so that every mixture comes. */
#include "tests/sim/sim.h"

static unsigned sometimes(struct sim *s, unsigned percent, unsigned most)
{
    return chance(s, percent) ? 1 + rnd_below(&s->rnd, most) : 0;
}

static void plan_faults(struct sim *s)
{
    s->loss = sometimes(s, 70, 40);
    s->twice = sometimes(s, 70, 20);
    s->delay_ms = 2 + rnd_below(&s->rnd, chance(s, 30) ? 1500 : 60);
    s->cuts = sometimes(s, 60, 15);
    s->outages = sometimes(s, 60, 15);
    s->crash = sometimes(s, 60, 40);
    s->power = chance(s, 50) ? 40 : 0;
    s->wipe = sometimes(s, 40, 30);
    s->full = sometimes(s, 40, 30);
    s->fail = sometimes(s, 40, 30);
    s->rot = sometimes(s, 30, 10);
    s->keys = sometimes(s, 30, 20);
    s->hold = sometimes(s, 30, 40);
    s->trim = sometimes(s, 70, 50);
    s->later = sometimes(s, 50, 30);
    s->busy_ms = sometimes(s, 60, chance(s, 50) ? 20 : 400);
    s->core.silent = chance(s, 15);
    s->hostile = chance(s, 55);
    if (s->hostile && chance(s, 60)) {              /* much to be copied, maybe of the liar */
        s->trim = 30 + rnd_below(&s->rnd, 40);
        s->power = s->wipe = 50;
    }
}

/* Near the core, where most look at; with one lie all the time (each kind in turn, so that none is missing), or several. */
static void plan_lies(struct sim *s)
{
    unsigned liars = 1 + rnd_below(&s->rnd, s->nodes > 5 ? 3 : 1);
    for (unsigned k = 0; k < liars; k++) {
        struct node *n = &s->node[1 + rnd_below(&s->rnd, (uint32_t)s->nodes / 2)];
        unsigned kinds = chance(s, 40) ? 0 : 2 + rnd_below(&s->rnd, 12);
        n->true_heads = chance(s, 50);
        n->lies |= 1u << (s->seed + k) % LIES_N;
        n->lies_percent = kinds == 0 || chance(s, 35) ? 100 : 5 + rnd_below(&s->rnd, chance(s, 60) ? 30 : 95);
        for (unsigned j = 0; j < kinds; j++) {
            uint32_t from = chance(s, 20) ? LIE_CHUNK : chance(s, 30) ? LIE_KEY_MANIFEST : 0;
            n->lies |= 1u << (from + rnd_below(&s->rnd, LIES_N - from));
        }
    }
}

/* Mostly nearer the core, to any depth; in some seeds two may look at each other. */
static void plan_tree(struct sim *s)
{
    bool circles = chance(s, 20);
    s->nodes = 3 + (int)rnd_below(&s->rnd, NODES_MAX - 2);
    for (int i = 1; i < s->nodes; i++) {
        struct node *n = &s->node[i];
        n->upstreams_n = 1 + rnd_below(&s->rnd, UPSTREAMS_MAX);
        for (unsigned u = 0; u < n->upstreams_n; u++)
            n->upstreams[u] = chance(s, 30) ? i - 1 : (int)rnd_below(&s->rnd, (uint32_t)i);
        int other = 1 + (int)rnd_below(&s->rnd, (uint32_t)s->nodes - 1);
        if (circles && other != i && n->upstreams_n < UPSTREAMS_MAX)
            n->upstreams[n->upstreams_n++] = other;
        n->disk_ms = chance(s, 20) ? 800 : chance(s, 30) ? 40 : 2;
        later(s, rnd_below(&s->rnd, chance(s, 20) ? 15000 : 6000), EV_UP, i);
        later(s, rnd_below(&s->rnd, 4000), EV_SCRUB, i);
    }
}

void plan(struct sim *s)
{
    plan_faults(s);
    plan_tree(s);
    if (s->hostile)
        plan_lies(s);
    s->end_ms = 10000 + rnd_below(&s->rnd, 50000);
    unsigned commits = 20 + rnd_below(&s->rnd, 130), epochs = sometimes(s, 40, 3), old = chance(s, 5) ? 180 : 0;
    for (unsigned i = 0; i < old; i++)          /* a log that is too long to be fetched by who has nothing */
        later(s, rnd_below(&s->rnd, 500), EV_COMMIT, 0);
    unsigned bursts = sometimes(s, 50, 90);
    for (uint64_t i = 0, at = 0; i < commits; i++) {
        at = chance(s, bursts) ? at + rnd_below(&s->rnd, 8) : rnd_below(&s->rnd, (uint32_t)s->end_ms);
        later(s, at, EV_COMMIT, 0);
    }
    for (unsigned i = 0; i < epochs; i++)
        later(s, s->end_ms / 4 + rnd_below(&s->rnd, (uint32_t)(3 * s->end_ms / 4)), EV_EPOCH, 0);
    later(s, 0, EV_BEAT, 0);
    later(s, 1000, EV_TROUBLE, 0);
}

static void key_comes(struct sim *s, int i, bool missing)
{
    struct node *n = &s->node[i];
    bool came = n->disk.keyless && !missing;
    n->disk.keyless = missing;
    if (came && n->replica != NULL && chance(s, 50))        /* else it tries again by itself */
        replica_keyed(n->replica);
}

/* Every two seconds; what lasts is drawn anew. */
void trouble(struct sim *s)
{
    if (s->quiet)
        return;
    for (int a = 0; a < s->nodes; a++)
        for (int b = 0; b < s->nodes; b++)
            s->cut[a][b] = a != b && chance(s, s->cuts);
    for (int i = 1; i < s->nodes; i++) {
        struct disk *d = &s->node[i].disk;
        d->full = chance(s, s->full);
        d->failing = chance(s, s->fail);
        key_comes(s, i, chance(s, s->keys));
        if (s->crash > 0 && chance(s, d->unpack != NULL ? 30 : 8))
            later(s, rnd_below(&s->rnd, d->unpack != NULL ? 100 : 1000), EV_CRASH, i);
        if (d->data.applied.seq > 0 && chance(s, s->rot)) {
            d->rot |= 1u << rnd_below(&s->rnd, MODEL_KEYS);
            count(s, N_ROTS);
        }
        if (s->node[i].replica != NULL && chance(s, s->trim))
            disk_trim(s, i);
    }
    if (chance(s, s->trim))
        core_trim(s);
    core_hold(s, chance(s, s->hold));
    s->core_down = chance(s, s->outages);
    later(s, 2000, EV_TROUBLE, 0);
}

void scrub(struct sim *s, int i)
{
    struct node *n = &s->node[i];
    if (n->replica != NULL && n->disk.rot != 0 && n->job.kind == JOB_NONE)
        replica_rotten(n->replica);
    later(s, 2000 + rnd_below(&s->rnd, 2000), EV_SCRUB, i);
}

/* --- quiet -------------------------------------------------------------------------------------------------------------------- */
/* Who has an honest way to the core. */
static unsigned find_wanted(struct sim *s)
{
    unsigned n = 0, before;
    memset(s->level_wanted, 0, sizeof s->level_wanted);
    do {
        before = n;
        for (int i = 1; i < s->nodes; i++) {
            const struct node *node = &s->node[i];
            for (unsigned k = 0; k < node->upstreams_n && !s->level_wanted[i]; k++) {
                int u = node->upstreams[k];
                s->level_wanted[i] = (u == 0 || (s->level_wanted[u] && s->node[u].lies == 0)) && !s->cut[u][i];
                n += s->level_wanted[i];
            }
        }
    } while (n > before);
    return n;
}

/* One upstream of several stays away for ever, where another way is left. */
static void cut_for_ever(struct sim *s, int i)
{
    const struct node *n = &s->node[i];
    int dead = n->upstreams[rnd_below(&s->rnd, n->upstreams_n)];
    unsigned before = find_wanted(s);
    s->cut[dead][i] = s->cut[i][dead] = true;
    if (find_wanted(s) < before)
        s->cut[dead][i] = s->cut[i][dead] = false;
}

void calm(struct sim *s)
{
    s->quiet = true;
    s->loss = s->twice = s->later = 0;
    s->delay_ms = 30;
    s->core_down = false;
    memset(s->cut, 0, sizeof s->cut);
    for (int i = 1; i < s->nodes; i++) {
        struct node *n = &s->node[i];
        n->disk.full = n->disk.failing = false;
        key_comes(s, i, false);
        n->disk_ms = 10;
        if (chance(s, 50))
            cut_for_ever(s, i);
    }
    (void)find_wanted(s);
    core_hold(s, false);
    say(s, 0, "quiet");
    core_commit(s);
    later(s, 500, EV_LOOK, 0);
}
