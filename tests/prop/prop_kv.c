/* Random transactions, in groups, against a model: a table of entries in memory. */
#include "tests/unit/kv_bed.h"

#include "replicator/committer.h"

#include <sodium.h>

enum { NAMES = 3, KEYS = 24, OPS_MOST = 8, GROUP_MOST = 6, ROUNDS = 400 };
static const char *const names[NAMES] = { "a", "b", "c.d-e_9" };

struct model_entry { bool there; uint64_t seq; size_t len; uint8_t fill; };
/* joined, bytes, written: of the transaction of the log that small ones are being joined into. */
struct model {
    struct model_entry e[NAMES][KEYS];
    uint64_t seq;
    bool joined, written[NAMES][KEYS];
    size_t bytes;
};

struct planned { struct op ops[OPS_MOST]; struct kv_cond conds[OPS_MOST]; unsigned ns[OPS_MOST], key[OPS_MOST]; size_t n; };

static uint8_t keys[KEYS][8], fills[256][3000];

static void plan(struct rnd *rnd, const struct model *m, struct planned *p)
{
    p->n = 1 + rnd_below(rnd, OPS_MOST);
    for (size_t i = 0; i < p->n; i++) {
        unsigned ns = p->ns[i] = rnd_below(rnd, NAMES), key = p->key[i] = rnd_below(rnd, KEYS), fill = rnd_below(rnd, 256);
        const struct model_entry *e = &m->e[ns][key];
        size_t len = rnd_below(rnd, 4) == 0 ? rnd_below(rnd, 3000) : rnd_below(rnd, 20);
        bool put = rnd_below(rnd, 3) > 0;
        p->ops[i] = (struct op){ put ? OP_PUT : OP_DEL, bytes_of_text(names[ns]), bytes_of(keys[key], 1 + key % 8),
                                 put ? bytes_of(fills[fill], len) : bytes_of(NULL, 0) };
        p->conds[i] = (struct kv_cond){ .kind = KV_ANY };
        if (rnd_below(rnd, 3) > 0)
            continue;
        p->conds[i].kind = (enum kv_if)rnd_below(rnd, 4);
        p->conds[i].version = (struct kv_version){ rnd_below(rnd, 10) == 0 ? 2 : 1,         /* mostly right, as we go */
                                                   rnd_below(rnd, 4) == 0 ? m->seq : e->seq };
    }
}

static bool holds(const struct model_entry *e, const struct kv_cond *c)
{
    return c->kind == KV_ANY || (c->kind == KV_IF_ABSENT ? !e->there : e->there
           && (c->kind == KV_IF_PRESENT || (c->version.epoch == 1 && c->version.seq == e->seq)));
}

static void end_joint(struct model *m)
{
    m->joined = false;
    m->bytes = 0;
    memset(m->written, 0, sizeof m->written);
}

static size_t bytes_of_plan(const struct planned *p)
{
    size_t bytes = 0;
    for (size_t i = 0; i < p->n; i++)
        bytes += op_size(&p->ops[i]) + KV_WRAP_MAX;
    return bytes;
}

/* The seq that this one gets when it changes anything. */
static uint64_t seq_for(struct model *m, const struct planned *p)
{
    bool fits = m->joined && m->bytes + bytes_of_plan(p) <= JOINT_BYTES;
    for (size_t i = 0; i < p->n; i++)
        fits = fits && !m->written[p->ns[i]][p->key[i]];
    if (!fits)
        end_joint(m);
    return m->seq + !m->joined;
}

static void join(struct model *m, const struct planned *p, uint64_t seq)
{
    m->seq = seq;
    m->joined = true;
    m->bytes += bytes_of_plan(p);
    for (size_t i = 0; i < p->n; i++)
        m->written[p->ns[i]][p->key[i]] = true;
}

/* What must come of it, and the model after it. */
static enum kv_end run_model(struct model *m, const struct planned *p, size_t *at)
{
    struct model before = *m;
    bool changed = false;
    for (*at = 0; *at < p->n; (*at)++)
        if (!holds(&m->e[p->ns[*at]][p->key[*at]], &p->conds[*at]))
            return KV_REFUSED;
    uint64_t seq = seq_for(m, p);
    for (size_t i = 0; i < p->n; i++) {
        struct model_entry *e = &m->e[p->ns[i]][p->key[i]];
        if (p->ops[i].kind == OP_PUT)
            *e = (struct model_entry){ true, seq, p->ops[i].value.len, p->ops[i].value.len > 0 ? p->ops[i].value.ptr[0] : 0 };
        else
            *e = (struct model_entry){ .there = false };
    }
    for (size_t i = 0; i < p->n; i++)       /* a put anew, or a delete of what was there */
        changed = changed || m->e[p->ns[i]][p->key[i]].there || before.e[p->ns[i]][p->key[i]].there;
    if (changed)
        join(m, p, seq);
    return KV_DONE;
}

static void compare(struct kv_bed *b, const struct model *m, uint64_t seed, unsigned round)
{
    for (unsigned n = 0; n < NAMES; n++)
        for (unsigned k = 0; k < KEYS; k++) {
            const struct model_entry *e = &m->e[n][k];
            struct bytes value;
            uint64_t seq = 0;
            bool there = kv_bed_get(b, names[n], bytes_of(keys[k], 1 + k % 8), &seq, &value);
            if (there != e->there || (there && (seq != e->seq || value.len != e->len
                                                || (value.len > 0 && value.ptr[value.len - 1] != e->fill))))
                fail_msg("seed %llu round %u: %s/%u differs", (unsigned long long)seed, round, names[n], k);
            if (there)
                bytes_free(value);
        }
}

static void transactions_against_a_model(void **state)
{
    uint64_t seed = seed_from_env(20261120);
    struct rnd rnd = rnd_seed(seed);
    struct kv_bed b;
    static struct model m;
    static struct planned plans[GROUP_MOST];
    unsigned done = 0, refused = 0;
    (void)state;
    for (unsigned i = 0; i < KEYS; i++)
        for (unsigned k = 0; k < 8; k++)
            keys[i][k] = (uint8_t)(i * 11 + k * 97);
    for (unsigned i = 0; i < 256; i++)
        memset(fills[i], (int)i, sizeof fills[i]);
    kv_bed_open(&b, 0);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct kv_txn txns[GROUP_MOST], *list[GROUP_MOST];
        enum kv_end want[GROUP_MOST];
        struct kv_version version[GROUP_MOST];
        size_t at[GROUP_MOST], group = 1 + rnd_below(&rnd, GROUP_MOST);
        end_joint(&m);
        for (size_t i = 0; i < group; i++) {
            plan(&rnd, &m, &plans[i]);
            want[i] = run_model(&m, &plans[i], &at[i]);
            version[i].seq = m.seq;
            txns[i] = (struct kv_txn){ .ops = plans[i].ops, .conds = plans[i].conds, .n = plans[i].n };
            list[i] = &txns[i];
        }
        assert_in_range(kv_commit(b.committer, list, group), 0, 1);
        for (size_t i = 0; i < group; i++) {
            const struct kv_result *r = &txns[i].result;
            if (r->end != want[i] || (r->end == KV_DONE ? r->version.seq != version[i].seq : r->at != at[i]))
                fail_msg("seed %llu round %u, %zu of %zu: end %d, not %d; seq %llu, not %llu: %s", (unsigned long long)seed,
                         round, i, group, r->end, want[i], (unsigned long long)r->version.seq,
                         (unsigned long long)version[i].seq, fault_text(&r->fault, r->err));
            done += r->end == KV_DONE;
            refused += r->end == KV_REFUSED;
        }
        if (round % 20 == 0)
            compare(&b, &m, seed, round);
    }
    compare(&b, &m, seed, ROUNDS);
    assert_true(done > 100 && refused > 100);
    kv_bed_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(transactions_against_a_model) };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
