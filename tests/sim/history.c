/* The core, and everything it ever made: what a replica shows, stores or hears is looked up here. */
#include "tests/sim/sim.h"

/* --- what was made ---------------------------------------------------------------------------------------------------- */
const struct made *made_find(const struct sim *s, const uint8_t chain[CHAIN_LEN])
{
    for (size_t k = s->made_n; k-- > 0;) {
        if (memcmp(s->made[k].chain, chain, CHAIN_LEN) == 0)
            return &s->made[k];
    }
    return NULL;
}

static void made_keep(struct sim *s, uint64_t seq)
{
    const struct model_core *c = &s->core;
    struct record rec;
    if (s->made_n == s->made_cap) {
        s->made_cap = 2 * s->made_cap + 64;
        s->made = realloc(s->made, s->made_cap * sizeof *s->made);
    }
    if (s->made == NULL || record_read(c->log[seq], &rec) != OK)
        abort();
    struct made *m = &s->made[s->made_n++];
    *m = (struct made){ .record = heap_copy(c->log[seq].ptr, c->log[seq].len), .epoch = rec.epoch, .seq = seq,
                        .ends = c->ends[seq], .state = c->state[seq] };
    memcpy(m->chain, rec.chain, CHAIN_LEN);
}

static uint64_t head_hash(const struct signed_head *sh)
{
    uint64_t h = bytes_hash(bytes_of(sh->sig, HEAD_SIG_LEN), bytes_hash(bytes_of(sh->body, sh->len), 0));
    return h != 0 ? h : 1;
}

static void heads_put(uint64_t *table, size_t cap, uint64_t hash)
{
    size_t at = hash % cap;
    while (table[at] != 0 && table[at] != hash)
        at = (at + 1) % cap;
    table[at] = hash;
}

static void head_keep(struct sim *s, const struct signed_head *sh)
{
    if (2 * s->heads_n >= s->heads_cap) {
        size_t cap = 2 * s->heads_cap + 256;
        uint64_t *bigger = calloc(cap, sizeof *bigger);
        if (bigger == NULL)
            abort();
        for (size_t i = 0; i < s->heads_cap; i++) {
            if (s->heads[i] != 0)
                heads_put(bigger, cap, s->heads[i]);
        }
        free(s->heads);
        s->heads = bigger;
        s->heads_cap = cap;
    }
    heads_put(s->heads, s->heads_cap, head_hash(sh));
    s->heads_n++;
    if (s->signed_n == s->signed_cap) {
        s->signed_cap = 2 * s->signed_cap + 64;
        if ((s->signed_head = realloc(s->signed_head, s->signed_cap * sizeof *s->signed_head)) == NULL)
            abort();
    }
    s->signed_head[s->signed_n++] = *sh;
}

bool head_made(const struct sim *s, const struct signed_head *sh)
{
    uint64_t hash = head_hash(sh);
    if (s->heads_cap == 0)
        return false;
    for (size_t at = hash % s->heads_cap; s->heads[at] != 0; at = (at + 1) % s->heads_cap) {
        if (s->heads[at] == hash)
            return true;
    }
    return false;
}

/* --- the core ------------------------------------------------------------------------------------------------------------- */
struct generation core_generation(const struct sim *s)
{
    return (struct generation){ .data = s->core.data, .applied = s->core.at, .head = s->core.signed_head };
}

void core_commit(struct sim *s)
{
    struct model_core *c = &s->core;
    uint64_t from = c->at.seq + 1;
    if (s->core_down || c->at.seq + 4 > MODEL_LOG)
        return;
    unsigned parts = chance(s, 25) ? 2 + rnd_below(&s->rnd, 3) : 1;
    model_commit(c, &s->rnd, parts, false);
    for (uint64_t seq = from; seq <= c->at.seq; seq++)
        made_keep(s, seq);
    head_keep(s, &c->signed_head);
    if (s->core_first == 0)
        s->core_first = from;
    say(s, 0, "commits %llu/%llu, %u parts", (unsigned long long)c->epoch, (unsigned long long)c->at.seq, parts);
    announce(s, 0, &c->signed_head, parts == 1 ? c->log[c->at.seq] : (struct bytes){ 0 }, (struct bytes){ 0 });
}

void core_beat(struct sim *s)
{
    if (!s->core_down && s->core.signed_head.len > 0) {
        model_sign(&s->core);
        head_keep(s, &s->core.signed_head);
        announce(s, 0, &s->core.signed_head, (struct bytes){ 0 }, (struct bytes){ 0 });
    }
    later(s, 1000, EV_BEAT, 0);
}

/* Back to an earlier state, or to this one, with or without the log that led there. */
static void restore(struct sim *s)
{
    uint64_t seq = rnd_below(&s->rnd, (uint32_t)s->core.at.seq + 1);
    while (seq > 0 && !s->core.ends[seq])
        seq--;
    model_rewind(&s->core, seq, false);
    if (chance(s, 50) || s->core_first > seq)
        s->core_first = seq + 1;
    count(s, N_RESTORES);
    say(s, 0, "is restored to %llu", (unsigned long long)seq);
}

/* A new epoch, whose first record names the place before it. */
void core_epoch(struct sim *s)
{
    bool was_down = s->core_down;
    if (s->core.at.seq == 0)
        return;
    core_hold(s, false);
    if (chance(s, 60)) {
        restore(s);
    } else if (chance(s, 50)) {
        s->core.epoch++;
        s->core_first = s->core.at.seq + 1;
        count(s, N_TAILS);
        say(s, 0, "has lost its log");
    } else {
        s->core.epoch++;
        count(s, N_RAISES);
        say(s, 0, "raises the epoch");
    }
    snapshot_free(&s->node[0].kept);
    s->core_down = false;
    core_commit(s);
    s->core_down = was_down;
}

/* From here on commits are held back from the cohort; or all are released, with the next head. */
void core_hold(struct sim *s, bool on)
{
    struct model_core *c = &s->core;
    if (on && c->hold == 0 && c->at.seq > 0) {
        c->hold = c->at.seq;
        count(s, N_HELD);
    } else if (!on && c->hold != 0) {
        c->hold = 0;
        c->head.cohorts[0].released = c->head.seq;
    }
}

/* Retention: whole transactions, never the newest. */
void core_trim(struct sim *s)
{
    uint64_t to = s->core_first + rnd_below(&s->rnd, (uint32_t)(s->core.at.seq - s->core_first + 1));
    if (s->core.at.seq == 0 || s->core_first == 0)
        return;
    while (to > s->core_first && !s->core.ends[to - 1])
        to--;
    if (to > s->core_first && s->core.ends[to - 1]) {
        s->core_first = to;
        count(s, N_TRIMS);
        say(s, 0, "trims its log, first is %llu", (unsigned long long)to);
    }
}

void history_open(struct sim *s)
{
    uint8_t bytes[crypto_sign_SEEDBYTES];
    memset(bytes, 0xee, sizeof bytes);          /* no core's: those end in zeros */
    model_open(&s->core, s->seed);
    crypto_sign_seed_keypair(s->evil.pub, s->evil.secret, bytes);
    if (snapshot_pack_open(&s->pack) != OK)
        abort();
}

void history_close(struct sim *s)
{
    for (size_t k = 0; k < s->made_n; k++)
        bytes_free(s->made[k].record);
    free(s->made);
    free(s->heads);
    free(s->signed_head);
    snapshot_pack_close(s->pack);
    model_close(&s->core);
}
