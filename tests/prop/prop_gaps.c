/* What a gap says of a name is, byte for byte, what would be built for it: random zones, some inside others, with chains of NSEC that
 * have holes, labels that keys escape, cuts, DNAMEs and wildcards, loaded anew in between; names beside all of them. Prints its
 * seed; $AZOTH_SEED and $AZOTH_ROUNDS choose others. */
#include "tests/unit/gaps_bed.h"

#define ROUNDS 60
#define QUESTIONS 1000
#define OWNERS_MAX 14

static const char *const zones[] = { ".", "k.", "d.k.", "e.d.k.", "f.g.k.", "\\000.k.", "l.", "a.k.k.", "c.f.g.k." };
static const char *const labels[] = { "a", "b", "c", "d", "e", "f", "g", "aa", "a\\000", "\\000", "\\001", "a\\001b", "zz", "a-b", "\\000\\000", "*",
                                      "B", "\\255", "lllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllll" };
#define OWNER_LABELS 16u            /* the first of these */

struct text { char at[16384]; size_t len; };
__attribute__((format(printf, 2, 3)))
static void add(struct text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    t->len += (size_t)vsnprintf(t->at + t->len, sizeof t->at - t->len, format, args);
    va_end(args);
}

static void random_name(struct rnd *r, struct text *t, unsigned most, uint32_t choice)
{
    for (unsigned depth = 1 + rnd_below(r, most); depth > 0; depth--)
        add(t, "%s%s", labels[rnd_below(r, choice)], depth > 1 ? "." : "");
}

static void add_signature(struct text *t, const char *owner, const char *type, unsigned tag)
{
    add(t, "%s RRSIG %s 13 1 300 20300101000000 20200101000000 %u k. AAAA\n", owner, type, tag);
}

static void add_owner(struct rnd *r, struct text *t, unsigned i)
{
    struct text owner = { .len = 0 };
    random_name(r, &owner, rnd_below(r, 2) == 0 ? 2 : 5, OWNER_LABELS);
    uint32_t what = rnd_below(r, 30);
    add(t, what == 0 ? "%s NS ns.other.\n" : what == 1 ? "%s DNAME x.other.\n" : "%s A 192.0.2.1\n", owner.at);
    if (rnd_below(r, 5) == 0)
        return;
    add(t, "%s NSEC n%u A\n", owner.at, i);
    if (rnd_below(r, 2) == 0)
        add_signature(t, owner.at, "NSEC", 1);
}

/* One that cannot be (a CNAME beside data, say) stays as it was. */
static void load_zone(struct rnd *r, struct twins *t, const char *origin, unsigned serial)
{
    static struct text text;
    struct bed *b = &t->front.bed;
    struct complaints *c = calloc(1, sizeof *c);
    struct name apex;
    struct zone z;
    text.len = 0;
    add(&text, "$TTL 300\n@ SOA ns h %u 2 3 4 5\n@ NS ns.other.\n", serial);
    for (unsigned i = rnd_below(r, 10) == 0 ? 0 : 1 + rnd_below(r, 3); i > 0; i--)
        add_signature(&text, "@", "SOA", i);
    if (rnd_below(r, 10) > 0) {
        add(&text, "@ NSEC x NS SOA\n");
        add_signature(&text, "@", "NSEC", 1);
    }
    for (unsigned i = rnd_below(r, OWNERS_MAX); i > 0; i--)
        add_owner(r, &text, i);
    bed_name(origin, &apex);
    zone_init(&z, name_bytes(&apex), origin);
    if (zonefile_read_text(bytes_of_text(text.at), origin, &z, c, &b->fault) == OK)
        (void)bed_zone(b, &z);
    zone_release(&z);
    free(c);
}

static bool ask_random(struct rnd *r, struct twins *t)
{
    static const char *const below[] = { "", "k.", "k.", "k.", "k.", "k.", "e.d.k.", "f.g.k.", "l.", "g.k.", "a.k." };
    static const uint16_t types[] = { TYPE_A, TYPE_DS, TYPE_ANY, TYPE_RRSIG, TYPE_NSEC, TYPE_MX, TYPE_SOA };
    struct text name = { .len = 0 };
    random_name(r, &name, rnd_below(r, 3) > 0 ? 2 : 5, ROWS(labels));
    add(&name, ".%s", below[rnd_below(r, ROWS(below))]);
    struct name whole;
    if (name_from_text(bytes_of_text(name.at), (struct bytes){ 0 }, &whole) != OK)
        return false;                           /* too long */
    return ask_twins(t, &(struct asked){ .name = name.at, .type = types[rnd_below(r, ROWS(types))], .no_dnssec = rnd_below(r, 10) == 0,
                                         .max = rnd_below(r, 4) > 0 ? 0 : 300 + rnd_below(r, 500), .tcp = rnd_below(r, 8) == 0 });
}

static void gaps_say_what_is_built(void **state)
{
    uint64_t seed = seed_from_env(1), in_gaps = 0;
    const char *rounds = getenv("AZOTH_ROUNDS");
    unsigned n = rounds != NULL ? (unsigned)strtoul(rounds, NULL, 10) : ROUNDS;
    (void)state;
    for (unsigned round = 0; round < n; round++) {
        struct rnd r = rnd_seed(seed * 1000 + round);
        struct twins t;
        memset(&t, 0, sizeof t);
        twins_open(&t, round % 2 == 0 ? 4 << 20 : 1 << 20);
        for (size_t i = 0; i < ROWS(zones); i++)
            if (i == 1 || rnd_below(&r, 3) > 0)
                load_zone(&r, &t, zones[i], 1);
        (void)ask_one(&t, "k.");
        names_fill(&t);
        for (unsigned i = 0; i < QUESTIONS; i++) {
            if (rnd_below(&r, 25) == 0)
                load_zone(&r, &t, zones[rnd_below(&r, ROWS(zones))], i);
            in_gaps += ask_random(&r, &t);
        }
        assert_int_equal(stat_get(&t.front.bed.counts.broken), stat_get(&t.plain_counts.broken));
        twins_close(&t);
    }
    print_message("%llu of %u names in gaps\n", (unsigned long long)in_gaps, n * QUESTIONS);
    assert_true(in_gaps > n);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(gaps_say_what_is_built) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
