/* A cached answer is, byte for byte, the answer built from the view at hand: random zones, some inside others, change one
 * commit after the other; three readers, two of which fall behind, share a cache, and each answer of theirs is compared
 * with one made without. Prints its seed; $AZOTH_SEED and $AZOTH_ROUNDS choose others. */
#include "dnsfront/answer_parts.h"
#include "dnsfront/known.h"
#include "tests/answer_bed.h"
#include "tests/signed_zones.h"

#define ROUNDS 40
#define COMMITS 80
#define QUESTIONS 40
#define RECORDS_MAX 60
#define READERS 3
#define BATCH 12
#define ZONES 9

struct record { char owner[48], data[160]; };
struct text_zone { const char *origin, *base; bool there, bare; unsigned serial; struct record rr[RECORDS_MAX]; size_t n; };
struct reader { struct view *view; struct answerer *plain, *cached; struct answer_counters plain_counts, counts; bool open; };
struct run {
    struct bed bed;
    struct rnd rnd;
    struct cache *cache;
    struct view *fill_view;
    struct text_zone zone[ZONES];
    struct reader reader[READERS];
    uint64_t seed;
    unsigned round, step;
};

static const struct { const char *origin, *base; } zones[ZONES] = {
    { "m.", NULL }, { "a.m.", NULL }, { "b.a.m.", NULL }, { "u.", NULL }, { "x.y.m.", NULL }, { "s.", signed_s }, { "t.", signed_t },
    { "h.e.k.m.", NULL }, { "g.h.e.k.m.", NULL },
};
static const char *const owners[] = { "@", "@", "a", "b", "c", "www", "a.b", "b.b", "*", "*.b", "*.a.b", "y", "x.y", "d.x.y",
                                      "ns", "ns.a", "ns.b", "e.e.e", "n.c", "A.B.c", "cut", "*.w", "ns.c", "d.h.e.k", "d.g.h.e.k", "*.e.k", "e.k", "*.k" };
static const char *const targets[] = { "a.m.", "b.a.m.", "www.m.", "a.b.m.", "www.a.m.", "c.u.", "q.u.", "ns.m.", "ns.a.m.", "ns.b.m.",
                                       "ns.c.m.", "n.c.m.", "far.away.", "x.y.m.", "b.m.", "a.b.b.a.m.", "WWW.u.", "q.w.s.", "q.w.t.",
                                       "ns.a.b.a.m.", "ns.b.a.m.", "q.e.k.m.", "d.h.e.k.m.", "h.e.k.m.", "x.cut.t.", "x.cut.s." };
static const char *const asked[] = { "m.", "a.m.", "b.m.", "c.m.", "www.m.", "a.b.m.", "q.b.m.", "r.q.b.m.", "b.a.m.", "www.a.m.",
                                     "a.b.a.m.", "c.b.a.m.", "y.m.", "x.y.m.", "d.x.y.m.", "q.x.y.m.", "u.", "a.u.", "q.u.",
                                     "far.away.", "e.e.m.", "e.e.e.m.", "ns.m.", "ns.a.m.", "n.c.m.", "a.b.c.m.", "q.c.u.", ".",
                                     "s.", "q.w.s.", "x.cut.s.", "x.a.ent.s.", "no.s.", "ent.s.", "t.", "q.w.t.", "x.cut.t.",
                                     "x.a.ent.t.", "no.t.", "ent.t.", "cut.t.", "c.s.", "q.e.k.m.", "e.k.m.", "h.e.k.m.", "q.h.e.k.m.", "d.h.e.k.m.", "q.g.h.e.k.m.", "d.g.h.e.k.m.",
                                     "*.k.m.", "cut.s.", "q.w.k.m.", "q.e.k.m.", "r.k.m.",
                                     "q.s.", "zz.s.", "aa.s.", "q.b.s.", "q.e.e.s.", "r.c.s.", "q.a.b.s.", "bb.bb.s." };

static const char *pick(struct rnd *r, const char *const *list, size_t n) { return list[rnd_below(r, (uint32_t)n)]; }

/* --- zones ------------------------------------------------------------------------------------------------------- */
static void random_record(struct run *t, struct record *rr)
{
    struct rnd *r = &t->rnd;
    const char *target = pick(r, targets, ROWS(targets));
    unsigned n = rnd_below(r, 200);
    (void)snprintf(rr->owner, sizeof rr->owner, "%s", pick(r, owners, ROWS(owners)));
    if (rnd_below(r, 8) == 0) {                 /* data that a zone below hides, and the wildcard that minds */
        static const char *const deep[] = { "*.k", "d.h.e.k", "d.g.h.e.k", "*.e.k" };
        (void)snprintf(rr->owner, sizeof rr->owner, "%s", pick(r, deep, ROWS(deep)));
        (void)snprintf(rr->data, sizeof rr->data, "A 192.0.2.%u", n);
        return;
    }
    if (rnd_below(r, 3) == 0) {                 /* name servers and their addresses, so that there is much to leave out */
        static const char *const hosts[] = { "ns", "ns.a", "ns.b", "ns.c", "n.c" };
        static const char *const names[] = { "ns.m.", "ns.a.m.", "ns.b.m.", "ns.c.m.", "n.c.m." };
        static const char *const cuts[] = { "a", "b", "c", "@", "n.c" };
        bool address = rnd_below(r, 2) == 0;
        (void)snprintf(rr->owner, sizeof rr->owner, "%s", address ? pick(r, hosts, ROWS(hosts)) : pick(r, cuts, ROWS(cuts)));
        if (address)
            (void)snprintf(rr->data, sizeof rr->data, rnd_below(r, 2) == 0 ? "A 192.0.2.%u" : "AAAA 2001:db8::%u", n);
        else
            (void)snprintf(rr->data, sizeof rr->data, "NS %s", pick(r, names, ROWS(names)));
        return;
    }
    switch (rnd_below(r, 14)) {
    case 0: case 1: case 2: (void)snprintf(rr->data, sizeof rr->data, "A 192.0.2.%u", n); break;
    case 3: (void)snprintf(rr->data, sizeof rr->data, "AAAA 2001:db8::%u", n); break;
    case 4: (void)snprintf(rr->data, sizeof rr->data, "TXT \"%0*u\"", (int)(1 + n / 2), n); break;
    case 5: (void)snprintf(rr->data, sizeof rr->data, "MX 10 %s", target); break;
    case 6: case 7: case 12: (void)snprintf(rr->data, sizeof rr->data, "NS %s", target); break;
    case 8: (void)snprintf(rr->data, sizeof rr->data, "CNAME %s", target); break;
    case 9: (void)snprintf(rr->data, sizeof rr->data, "DNAME %s", target); break;
    case 13: (void)snprintf(rr->data, sizeof rr->data, "NSEC %s A NS RRSIG NSEC", target); break;
    case 10: (void)snprintf(rr->data, sizeof rr->data, "DS %u 8 2 %064u", n, n); break;
    default: (void)snprintf(rr->data, sizeof rr->data, "RRSIG A 8 2 300 20300101000000 20200101000000 %u %s AAAA", n, "m."); break;
    }
}

/* The lines of a signed zone without what signing it had put there. */
static int bare_text(const char *from, char *out)
{
    static const char *const made[] = { " RRSIG ", " NSEC ", " NSEC3 ", " NSEC3PARAM " };
    int n = 0;
    for (size_t len; *from != '\0'; from += len) {
        bool keep = true;
        len = strcspn(from, "\n") + 1;
        for (size_t i = 0; i < ROWS(made); i++)
            keep &= memmem(from, len, made[i], strlen(made[i])) == NULL;
        if (keep) {
            memcpy(out + n, from, len);
            n += (int)len;
        }
    }
    out[n] = '\0';
    return n;
}

static size_t zone_text(const struct text_zone *z, char *out, size_t cap)
{
    int n = z->base != NULL && z->bare ? bare_text(z->base, out)
        : z->base != NULL ? snprintf(out, cap, "%s", z->base)
                            : snprintf(out, cap, "$TTL 300\n@ SOA ns.m. h.m. %u 2 3 4 5\n@ NS ns.m.\n", z->serial);
    for (size_t i = 0; i < z->n; i++)
        n += snprintf(out + n, cap - (size_t)n, "%s %s\n", z->rr[i].owner, z->rr[i].data);
    return (size_t)n;
}

/* false: the zone is refused (a CNAME beside other data and the like), nothing was committed. */
static bool commit_zone(struct run *t, struct text_zone *z)
{
    static char text[RECORDS_MAX * 256 + sizeof signed_s + sizeof signed_t];
    struct bed *b = &t->bed;
    struct complaints *c = calloc(1, sizeof *c);
    struct zone_build_options o = { .kind = ZONE_FILE, .force = true };
    struct op_list ops;
    struct name apex;
    struct zone zone;
    bed_name(z->origin, &apex);
    zone_init(&zone, name_bytes(&apex), z->origin);
    op_list_init(&ops);
    enum err err = zonefile_read_text(bytes_of(text, zone_text(z, text, sizeof text)), z->origin, &zone, c, &b->fault);
    BED(view_begin(b->build_view));
    if (err == OK)
        err = zone_build(&zone, b->build_view, &o, c, &ops, &b->fault);
    view_end(b->build_view);
    if (err == OK && ops.n > 0)
        bed_apply(b, ops.ops, ops.n);
    op_list_release(&ops);
    zone_release(&zone);
    free(c);
    z->there |= err == OK;
    return err == OK;
}

static void withdraw(struct run *t, struct text_zone *z)
{
    struct bed *b = &t->bed;
    struct op_list ops;
    struct name apex;
    bed_name(z->origin, &apex);
    op_list_init(&ops);
    BED(view_begin(b->build_view));
    BED(zone_withdraw(name_bytes(&apex), b->build_view, &ops, &b->fault));
    view_end(b->build_view);
    bed_apply(b, ops.ops, ops.n);
    op_list_release(&ops);
    z->there = false;
}

/* The header alone: live, expired, live again. */
static void commit_state(struct run *t, struct text_zone *z)
{
    struct bed *b = &t->bed;
    uint8_t key[RRKEY_MAX], value[1024];
    struct wr k = wr_over(key, sizeof key), v = wr_over(value, sizeof value);
    struct zone_header h;
    struct bytes old;
    struct name apex;
    bed_name(z->origin, &apex);
    BED(rrkey_write(name_bytes(&apex), RRSLOT_ZONE, &k));
    BED(view_begin(b->build_view));
    BED(view_get(b->build_view, bytes_of_text("dns"), wr_done(&k), &old));
    BED(zone_header_read(old, &h));
    h.state = h.state == ZONE_LIVE ? ZONE_EXPIRED : ZONE_LIVE;
    zone_header_write(&v, &h);
    view_end(b->build_view);
    struct op op = { OP_PUT, bytes_of_text("dns"), wr_done(&k), wr_done(&v) };
    bed_apply(b, &op, 1);
}

/* Commits of another namespace only: nothing here changed, unless they are more than the ring remembers. */
static void commit_others(struct run *t, unsigned n)
{
    for (; n > 0; n--) {
        uint8_t value[8];
        struct wr w = wr_over(value, sizeof value);
        wr_u64(&w, rnd_u64(&t->rnd));
        struct op op = { OP_PUT, bytes_of_text("other"), bytes_of_text("key"), wr_done(&w) };
        bed_apply(&t->bed, &op, 1);
    }
}

static void revert(struct text_zone *z, const struct text_zone *before)
{
    bool there = z->there;
    *z = *before;
    z->there = there;
}

static void change_zone(struct run *t, struct text_zone *z)
{
    struct text_zone before = *z;
    for (unsigned changes = 1 + rnd_below(&t->rnd, 3); changes > 0; changes--) {
        if (z->n > 0 && rnd_below(&t->rnd, 3) == 0) {
            size_t gone = rnd_below(&t->rnd, (uint32_t)z->n--);
            z->rr[gone] = z->rr[z->n];
        } else if (z->n < RECORDS_MAX) {
            random_record(t, &z->rr[z->n++]);
        }
        z->serial += rnd_below(&t->rnd, 2);
        if (!commit_zone(t, z))
            revert(z, &before);
        before = *z;
    }
}

/* More keys in one commit than the ring holds. */
static void change_many(struct run *t, struct text_zone *z)
{
    struct text_zone before = *z;
    for (z->n = z->n < 8 ? z->n : 8; z->n < RECORDS_MAX; z->n++) {
        random_record(t, &z->rr[z->n]);
        (void)snprintf(z->rr[z->n].owner, sizeof z->rr[z->n].owner, "%045u", rnd_below(&t->rnd, 100000));
        (void)snprintf(z->rr[z->n].data, sizeof z->rr[z->n].data, "A 192.0.2.1");
    }
    if (!commit_zone(t, z))
        revert(z, &before);
}

/* Signed, not signed any more, signed again; nothing else changes. */
static void change_signing(struct run *t, struct text_zone *z)
{
    z->bare = !z->bare;
    if (!commit_zone(t, z))
        z->bare = !z->bare;
}

/* A store that goes on after a restore: nothing kept under the epoch before may count. */
static void raise_epoch(struct run *t)
{
    t->bed.epoch++;
    commit_others(t, 1);
}

/* The same data in another generation, whose commits count from the start. */
static void change_generation(struct run *t)
{
    struct bed *b = &t->bed;
    uint64_t before, after;
    if (b->seq > 0)
        BED(store_compact(b->store, &before, &after, &b->fault));
}

static void commit(struct run *t)
{
    struct text_zone *z = &t->zone[rnd_below(&t->rnd, ZONES)];
    uint32_t what = rnd_below(&t->rnd, 45);
    if (z->there && what == 0)
        withdraw(t, z);
    else if (z->there && what < 3)
        commit_state(t, z);
    else if (what == 3)
        commit_others(t, 2);
    else if (what == 4)
        change_many(t, z);
    else if (what < 8)
        change_signing(t, &t->zone[5 + rnd_below(&t->rnd, 2)]);
    else if (what == 8)
        raise_epoch(t);
    else if (what == 9)
        change_generation(t);
    else
        change_zone(t, z);
}

/* --- readers ------------------------------------------------------------------------------------------------------- */
static void reader_open(struct run *t, unsigned i)
{
    struct bed *b = &t->bed;
    struct reader *r = &t->reader[i];
    struct answer_options plain = { .nsid = "id", .counts = &r->plain_counts }, cached = { .nsid = "id", .counts = &r->counts };
    BED(view_open(b->store, &r->view, &b->fault));
    BED(answerer_open(&r->plain, r->view, &plain));
    BED(answerer_open(&r->cached, r->view, &cached));
    answerer_share(r->cached, t->cache, i);
    r->cached->foresee_leaves = 0;              /* these trees are small */
}

static void reader_close(struct reader *r)
{
    if (r->open)
        view_end(r->view);
    answerer_close(r->plain);
    answerer_close(r->cached);
    view_close(r->view);
    *r = (struct reader){ 0 };
}

static void reader_renew(struct run *t, struct reader *r)
{
    struct bed *b = &t->bed;
    if (r->open)
        view_end(r->view);
    BED(view_begin(r->view));
    r->open = true;
}

/* --- questions ----------------------------------------------------------------------------------------------------- */
static size_t random_query(struct run *t, uint8_t *out, size_t cap, struct answer_from *from)
{
    static const uint16_t types[] = { TYPE_A, TYPE_A, TYPE_AAAA, TYPE_TXT, TYPE_NS, TYPE_MX, TYPE_DS, TYPE_CNAME, TYPE_SOA,
                                      TYPE_ANY, TYPE_RRSIG, TYPE_DNAME };
    struct rnd *r = &t->rnd;
    struct name name;
    char text[96];
    (void)snprintf(text, sizeof text, rnd_below(r, 3) > 0 ? "%s" : rnd_below(r, 2) == 0 ? "nx.%s" : "b.nx2.%s", pick(r, asked, ROWS(asked)));
    if (strlen(text) > 2 && strcmp(text + strlen(text) - 2, "..") == 0)
        text[strlen(text) - 1] = '\0';          /* below the root */
    bed_name(text, &name);
    for (size_t i = 0; rnd_below(r, 3) == 0 && i < name.len; i++)
        if (name.wire[i] >= 'a' && rnd_below(r, 2) == 0)
            name.wire[i] = (uint8_t)(name.wire[i] - 32);
    struct ask q = { .qname = name_bytes(&name), .qtype = types[rnd_below(r, ROWS(types))], .qclass = CLASS_IN,
                     .udp_size = rnd_below(r, 2) == 0 ? 1232 : (uint16_t)(rnd_below(r, 2) * (400 + rnd_below(r, 400))),
                     .dnssec_ok = rnd_below(r, 2) == 0, .nsid = rnd_below(r, 4) == 0, .rd = rnd_below(r, 2) == 0 };
    bool tcp = rnd_below(r, 3) == 0;
    *from = (struct answer_from){ .proto = tcp ? ANSWER_TCP : ANSWER_UDP, .max = ANSWER_UDP_MAX };
    if (rnd_below(r, 3) == 0)
        from->max = 60 + rnd_below(r, 400);
    else if (tcp)
        from->max = ANSWER_MAX;
    return ask_write(&q, out, cap);
}

static void compare(struct run *t, struct reader *r, struct bytes query, const struct answer_from *from, bool twice)
{
    static uint8_t want[ANSWER_MAX], got[ANSWER_MAX];
    size_t len = answer(r->plain, query, from, want, sizeof want);
    struct answer_said said = answer_said(r->plain), other;
    for (unsigned again = 0; again < 1u + twice; again++) {
        memset(got, 0xee, sizeof got);
        if (again == 1)
            answer_prepare(r->cached, &query, 1);
        size_t n = answer(r->cached, query, from, got, sizeof got);
        other = answer_said(r->cached);
        if (n == len && memcmp(got, want, len) == 0 && said.kind == other.kind && bytes_equal(said.name, other.name))
            continue;
        char text[NAME_TEXT_MAX];
        struct query q;
        (void)query_read(query, &q);
        fail_msg("seed %llu round %u step %u reader %u: %s type %u max %zu, %u. time: %zu bytes, want %zu",
                 (unsigned long long)t->seed, t->round, t->step, (unsigned)(r - t->reader),
                 name_text(text, sizeof text, q.qname), q.qtype, from->max, again + 1, n, len);
    }
}

/* As a worker has them: prepared together, some dropped before their turn, some the same as one before. */
static void ask_batch(struct run *t, struct reader *r)
{
    struct bytes query[BATCH];
    struct answer_from from[BATCH];
    for (unsigned i = 0; i < BATCH; i++) {
        uint8_t buf[512];
        query[i] = i > 0 && rnd_below(&t->rnd, 4) == 0 ? heap_copy(query[i - 1].ptr, query[i - 1].len)
                                                       : heap_copy(buf, random_query(t, buf, sizeof buf, &from[i]));
        if (i > 0 && query[i].len == query[i - 1].len && memcmp(query[i].ptr, query[i - 1].ptr, query[i].len) == 0)
            from[i] = from[i - 1];
    }
    answer_prepare(r->cached, query, BATCH);
    for (unsigned i = 0; i < BATCH; i++)
        if (rnd_below(&t->rnd, 8) > 0)
            compare(t, r, query[i], &from[i], false);
    answer_prepare(r->cached, NULL, 0);         /* their memory will be that of other queries */
    for (unsigned i = 0; i < BATCH; i++)
        bytes_free(query[i]);
}

static void ask_both(struct run *t)
{
    for (unsigned k = 0; k < READERS; k++)
        ask_batch(t, &t->reader[k]);
    for (unsigned i = 0; i < QUESTIONS; i++) {
        uint8_t buf[512];
        struct answer_from from;
        struct bytes query = heap_copy(buf, random_query(t, buf, sizeof buf, &from));
        for (unsigned k = 0; k < READERS; k++)
            compare(t, &t->reader[k], query, &from, true);
        bytes_free(query);
    }
}

/* --- the test ------------------------------------------------------------------------------------------------------ */
static void run_open(struct run *t, uint64_t bytes)
{
    struct bed *b = &t->bed;
    uint64_t secret[2] = { rnd_u64(&t->rnd), rnd_u64(&t->rnd) };
    bed_open(b, NULL, NULL);
    BED(cache_open(&t->cache, bytes, READERS, secret));
    for (size_t i = 0; i < ZONES; i++)
        t->zone[i] = (struct text_zone){ .origin = zones[i].origin, .base = zones[i].base, .serial = 1 };
    for (unsigned i = 0; i < READERS; i++)
        reader_open(t, i);
    BED(view_open(b->store, &t->fill_view, &b->fault));
}

/* The names known anew: what a reader with an older view is told must be true of that view all the same. */
static void fill_names(struct run *t)
{
    static const atomic_bool never;
    struct bed *b = &t->bed;
    struct known *known = cache_known(t->cache);
    if (known != NULL && rnd_below(&t->rnd, 3) == 0 && (known_is_stale(known, cache_changes(t->cache), t->fill_view) || rnd_below(&t->rnd, 4) == 0))
        BED(known_fill(known, cache_changes(t->cache), t->fill_view, &never));
}

static void cached_is_as_built(void **state)
{
    struct run *t = calloc(1, sizeof *t);
    uint64_t hits = 0, misses = 0, stores = 0, drops = 0, absent = 0, gaps = 0;
    (void)state;
    t->seed = seed_from_env(1);
    const char *rounds = getenv("AZOTH_ROUNDS");
    unsigned n = rounds != NULL ? (unsigned)strtoul(rounds, NULL, 10) : ROUNDS;
    for (t->round = 0; t->round < n; t->round++) {
        t->rnd = rnd_seed(t->seed * 1000 + t->round);
        run_open(t, t->round % 4 == 3 ? 200 * 1024 : 4 << 20);         /* small: entries are written over */
        for (t->step = 0; t->step < COMMITS; t->step++) {
            commit(t);
            if (t->bed.seq > 0)
                fill_names(t);
            reader_renew(t, &t->reader[0]);
            for (unsigned i = 1; i < READERS; i++)
                if (t->step == 0 || rnd_below(&t->rnd, 3 * i) == 0)
                    reader_renew(t, &t->reader[i]);
            ask_both(t);
        }
        if (t->round == 0) {
            commit_others(t, RING_TXNS + RING_SLACK);
            reader_renew(t, &t->reader[0]);
            ask_both(t);
        }
        for (unsigned i = 0; i < READERS; i++) {
            const struct answer_counters *c = &t->reader[i].counts;
            hits += stat_get(&c->cache_hits);
            misses += stat_get(&c->cache_misses);
            stores += stat_get(&c->cache_stores);
            drops += stat_get(&c->cache_drops);
            absent += stat_get(&c->absent);
            gaps += stat_get(&c->gaps);
        }
        for (unsigned i = 0; i < READERS; i++)
            reader_close(&t->reader[i]);
        view_close(t->fill_view);
        cache_close(t->cache);
        bed_close(&t->bed);
    }
    print_message("%llu hits, %llu misses, %llu kept, %llu times all dropped, %llu names known to be absent, %llu in gaps\n",
                  (unsigned long long)hits, (unsigned long long)misses, (unsigned long long)stores, (unsigned long long)drops,
                  (unsigned long long)absent, (unsigned long long)gaps);
    assert_true(hits > 0 && stores > 0 && drops > 0 && absent > 0 && gaps > 0);
    free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(cached_is_as_built) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
