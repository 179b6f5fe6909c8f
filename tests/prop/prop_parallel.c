/* Several threads give what one gives: records of a file, ops and complaints of a build, digest and entries of a store,
 * records of the log. Random zones, large enough to be cut up. AZOTH_SEED repeats a run. */
#include "builder/load.h"
#include "builder/records.h"
#include "tests/unit/builder_zone.h"

#define NAMES 22000             /* over two shares, and over two slices of text behind the head */
#define TEXT_CAP ((size_t)8 << 20)
#define LINE "................................................................................................................"

static uint64_t seed;

/* --- random zones ------------------------------------------------------------------------------------------------- */
struct text { char *p; size_t len; };

static void put(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    t->len += (size_t)vsnprintf(t->p + t->len, TEXT_CAP - t->len, format, args);
    va_end(args);
    assert_true(t->len < TEXT_CAP);
}

static void put_entry(struct text *t, struct rnd *r, unsigned i, bool guessable)
{
    unsigned k = rnd_below(r, NAMES);
    switch (rnd_below(r, guessable ? 14 : 15)) {
    case 0:
        put(t, "d%u NS ns.d%u\n\tNS ns2.d%u\nns.d%u A 192.0.2.1\nns2.d%u AAAA 2001:db8::1 ; glue\nx.d%u TXT occluded\n", k, k, k,
            k, k, k);
        break;
    case 1:
        put(t, "t%u DNAME elsewhere.example.\nbelow.t%u A 192.0.2.2\n", k, k);
        break;
    case 2:
        put(t, "*.w%u 60 TXT \"a ; (b\" (\n\t\"c)\" ; ) \"\n  \"d\" )\n", k);
        break;
    case 3:
        put(t, "h%u MX 10 h%u\n    MX 20 @\n  60 A 198.51.100.%u\n", i, k, k % 256);
        break;
    case 4:
        put(t, "H%u.deep.er CNAME h%u\n", i, k);
        break;
    case 5:
        put(t, "m%u 60 A 192.0.2.%u\nm%u 120 A 192.0.2.77\n", k, k % 256, k);      /* TTLs differ: a warning */
        break;
    case 6:
        put(t, "; a comment \" ( \\\n\n   \nh%u TXT \"%.*s\"\n", i, (int)rnd_below(r, 100), LINE);
        break;
    case 14:
        put(t, "q%u TXT ( one\ntwo\n\"three\nfour\" )\n", i);       /* goes on in lines that begin like owners */
        break;
    default:
        put(t, "h%u A 192.0.2.%u\nh%u AAAA 2001:db8::%x\n", i, k % 256, i, k);
    }
}

enum kind { PLAIN, GUESS_FAILS, DIRECTIVE, BAD_LINE, NO_TTL, KINDS };

static struct text zone_text(struct rnd *r, enum kind kind)
{
    struct text t = { malloc(TEXT_CAP), 0 };
    put(&t, "%s@ SOA ns.h.example. a.example. 1 2 3 4 5\n  NS h1\n  NS h2\n", kind == NO_TTL ? "" : "$TTL 300\n");
    for (unsigned i = 0; t.len < ((size_t)5 << 19) || i < NAMES; i++) {
        put_entry(&t, r, i, kind != GUESS_FAILS);
        if (i == 3 * NAMES / 4 && kind == DIRECTIVE)
            put(&t, "$ORIGIN sub.example.\n$TTL 77\n");
        if (i % 3000 == 2999 && kind == BAD_LINE)
            put(&t, "h%u A 1.2.3.4.5\n", i);
    }
    return t;
}

static void write_file(const char *path, struct text t)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(t.p, 1, t.len, f), t.len);
    fclose(f);
}

/* --- reading and building ----------------------------------------------------------------------------------------- */
struct built { struct zone zone; struct complaints c; struct op_list ops; enum err err; struct fault fault; };

static struct built *build(const char *path, struct crew *crew)
{
    struct built *b = calloc(1, sizeof *b);
    struct name apex = name_of("example.");
    zone_init(&b->zone, name_bytes(&apex), path);
    op_list_init(&b->ops);
    b->err = zonefile_read_with(path, crew, &b->zone, &b->c, &b->fault);
    return b;
}

static void build_ops(struct place *p, struct built *b, struct crew *crew)
{
    struct zone_build_options o = { .kind = ZONE_FILE, .force = true, .crew = crew };
    if (b->err != OK)
        return;
    assert_int_equal(view_begin(p->view), OK);
    b->err = zone_build(&b->zone, p->view, &o, &b->c, &b->ops, &b->fault);
    view_end(p->view);
}

static void built_free(struct built *b)
{
    zone_release(&b->zone);
    op_list_release(&b->ops);
    free(b);
}

static void same_complaints(const struct complaints *a, const struct complaints *b)
{
    if (a->errors_n != b->errors_n || a->warnings_n != b->warnings_n)
        fail_msg("seed %llu: %u errors and %u warnings, alone %u and %u", (unsigned long long)seed, b->errors_n,
                 b->warnings_n, a->errors_n, a->warnings_n);
    for (unsigned i = 0; i < COMPLAINTS_MAX; i++) {
        if (i < a->errors_n && (a->errors[i].line != b->errors[i].line || strcmp(a->errors[i].text, b->errors[i].text) != 0))
            fail_msg("seed %llu: error %u is another", (unsigned long long)seed, i);
        if (i < a->warnings_n &&
            (a->warnings[i].line != b->warnings[i].line || strcmp(a->warnings[i].text, b->warnings[i].text) != 0))
            fail_msg("seed %llu: warning %u is another", (unsigned long long)seed, i);
    }
}

static void same_records(const struct zone *a, const struct zone *b)
{
    if (a->n != b->n)
        fail_msg("seed %llu: %zu records, alone %zu", (unsigned long long)seed, b->n, a->n);
    for (size_t i = 0; i < a->n; i++) {
        const struct zone_rr *x = &a->rr[i], *y = &b->rr[i];
        if (!bytes_equal(x->owner, y->owner) || !bytes_equal(x->rdata, y->rdata) || x->ttl != y->ttl || x->type != y->type ||
            x->line != y->line)
            fail_msg("seed %llu: record %zu of line %u is another (line %u)", (unsigned long long)seed, i, x->line, y->line);
    }
}

static void same_ops(const struct op_list *a, const struct op_list *b)
{
    if (a->n != b->n)
        fail_msg("seed %llu: %zu ops, alone %zu", (unsigned long long)seed, b->n, a->n);
    for (size_t i = 0; i < a->n; i++)
        if (a->ops[i].kind != b->ops[i].kind || !bytes_equal(a->ops[i].key, b->ops[i].key) ||
            !bytes_equal(a->ops[i].value, b->ops[i].value))
            fail_msg("seed %llu: op %zu is another", (unsigned long long)seed, i);
}

static void files_and_builds(void **state)
{
    struct rnd r = rnd_seed(seed = seed_from_env(5));
    struct place p;
    struct crew *crew;
    char path[400];
    (void)state;
    place_open(&p);
    assert_int_equal(crew_open(&crew, 4), OK);
    snprintf(path, sizeof path, "%s/zone", p.dir);
    for (unsigned kind = 0; kind < KINDS; kind++) {
        struct text t = zone_text(&r, (enum kind)kind);
        write_file(path, t);
        struct built *alone = build(path, NULL), *many = build(path, crew);
        assert_int_equal(alone->err, kind == BAD_LINE ? ERR_REFUSED : OK);
        assert_int_equal(alone->err, many->err);
        assert_string_equal(alone->fault.text, many->fault.text);
        same_records(&alone->zone, &many->zone);
        same_complaints(&alone->c, &many->c);
        if (kind == PLAIN || kind == GUESS_FAILS) {
            build_ops(&p, alone, NULL);
            build_ops(&p, many, crew);
            assert_int_equal(alone->err, many->err);
            assert_true(alone->err == ERR_REFUSED || alone->ops.n > NAMES / 2);
            same_complaints(&alone->c, &many->c);
            same_ops(&alone->ops, &many->ops);
        }
        built_free(alone);
        built_free(many);
        free(t.p);
    }
    crew_close(crew);
    place_close(&p);
}

/* --- whole stores ------------------------------------------------------------------------------------------------- */
static void open_with(struct place *p, const struct node_key *key, unsigned threads, uint64_t map)
{
    static const uint8_t cluster[CLUSTER_LEN] = { 7 };
    struct fault fault = { .text = "" };
    dir_make(p->dir, sizeof p->dir, "parallel");
    struct store_options o = { .dir = p->dir, .mode = STORE_CREATE, .role = STORE_CORE, .map_size = map, .cluster = cluster,
                               .volatile_data = true, .threads = threads };
    if (store_open(&p->store, &o, &fault) != OK || commit_open(&p->committer, p->store, key, NULL, NULL, &fault) != OK ||
        view_open(p->store, &p->view, &fault) != OK)
        fail_msg("cannot open a store: %s", fault.text);
}

static void same_entries(struct place *a, struct place *b)
{
    struct dump x = place_dump(a), y = place_dump(b);
    assert_int_equal(x.n, y.n);
    for (size_t i = 0; i < x.n; i++)
        if (!bytes_equal(x.v[i].key, y.v[i].key) || !bytes_equal(x.v[i].value, y.v[i].value))
            fail_msg("seed %llu: entry %zu is another", (unsigned long long)seed, i);
    dump_release(&x);
    dump_release(&y);
}

static void same_heads(struct place *a, struct place *b)
{
    struct head x, y;
    enum err one = store_head(a->store, &x, NULL);
    assert_int_equal(one, store_head(b->store, &y, NULL));
    if (one != OK)
        return;
    assert_int_equal(x.seq, y.seq);
    assert_int_equal(x.keys, y.keys);
    assert_int_equal(x.bytes, y.bytes);
    assert_memory_equal(x.digest, y.digest, DIGEST_LEN);
}

/* But for the time, and so the chain and the signatures, which must be good. */
static void same_logs(struct place *a, struct place *b, const struct node_key *key)
{
    struct log_reader *x, *y;
    uint64_t first, last, first_b, last_b;
    struct fault fault = { .text = "" };
    uint8_t *bx = malloc(RECORD_MAX), *by = malloc(RECORD_MAX);
    assert_int_equal(log_range(a->store, &first, &last), OK);
    assert_int_equal(log_range(b->store, &first_b, &last_b), OK);
    assert_int_equal(first, first_b);
    assert_int_equal(last, last_b);
    assert_int_equal(log_reader_open(a->store, &x, &fault), OK);
    assert_int_equal(log_reader_open(b->store, &y, &fault), OK);
    assert_int_equal(log_reader_begin(x), OK);
    assert_int_equal(log_reader_begin(y), OK);
    for (uint64_t seq = first; seq <= last && last > 0; seq++) {
        struct record rx, ry;
        struct bytes in_x, in_y;
        size_t need;
        assert_int_equal(log_reader_get(x, seq, bx, RECORD_MAX, &in_x, &need), OK);
        assert_int_equal(log_reader_get(y, seq, by, RECORD_MAX, &in_y, &need), OK);
        assert_int_equal(record_read(in_x, &rx), OK);
        assert_int_equal(record_read(in_y, &ry), OK);
        assert_int_equal(record_verify(&ry, key->pub), OK);
        if (rx.seq != ry.seq || rx.part != ry.part || rx.more != ry.more || rx.codec != ry.codec || !bytes_equal(rx.ops, ry.ops))
            fail_msg("seed %llu: log record %llu is another", (unsigned long long)seed, (unsigned long long)seq);
    }
    log_reader_end(x);
    log_reader_end(y);
    log_reader_close(x);
    log_reader_close(y);
    free(bx);
    free(by);
}

#define ZONES 150
struct list { char file[ZONES][400], origin[ZONES][40]; struct load_zone zones[ZONES]; };

static struct list *write_list(const char *dir, struct rnd *r)
{
    struct list *l = calloc(1, sizeof *l);
    for (unsigned i = 0; i < ZONES; i++) {
        struct text t = { malloc(TEXT_CAP), 0 };
        put(&t, "@ 60 SOA a b 1 2 3 4 30\n  60 NS ns\n");
        for (unsigned k = rnd_below(r, i % 50 == 3 ? 3000 : 20); k > 0; k--)
            put(&t, "h%u 60 A 192.0.2.%u\n", rnd_below(r, 2000), k % 256);
        if (i % 20 == 19)
            put(&t, "h A 1.2.3\n");
        snprintf(l->file[i], sizeof l->file[i], "%s/zone-%u", dir, i);
        snprintf(l->origin[i], sizeof l->origin[i], i % 7 == 6 ? "sub.z%u.example." : "z%u.example.", i - (i % 7 == 6));
        write_file(l->file[i], t);
        l->zones[i] = (struct load_zone){ l->origin[i], l->file[i] };
        free(t.p);
    }
    return l;
}

struct told { unsigned n, refused, stop_after; atomic_bool stop; };
static void on_zone(void *arg, const struct load_report *rep)
{
    struct told *t = arg;
    t->refused += rep->err != OK;
    t->stop = t->stop || ++t->n == t->stop_after;
}

static enum err load(struct place *p, const struct load_zone *zones, size_t n, bool strict, struct told *t)
{
    struct fault fault = { .text = "" };
    struct load_options o = { .strict = strict, .kind = ZONE_FILE, .force = true, .stop = &t->stop };
    return load_zones(p->committer, p->store, zones, n, &o, on_zone, t, &fault);
}

static void whole_stores(void **state)
{
    struct rnd r = rnd_seed(seed = seed_from_env(6));
    struct node_key key;
    struct place one, many;
    (void)state;
    crypto_sign_keypair(key.pub, key.secret);
    open_with(&one, &key, 1, (uint64_t)1 << 30);
    open_with(&many, &key, 4, (uint64_t)1 << 30);
    struct list *l = write_list(one.dir, &r);
    struct text t = zone_text(&r, PLAIN);
    char path[400];
    snprintf(path, sizeof path, "%s/big", one.dir);
    write_file(path, t);
    const struct load_zone big = { "big.example.", path };
    for (unsigned round = 0; round < 3; round++) {
        struct told a = { 0 }, b = { 0 };
        assert_int_equal(load(&one, round == 1 ? &big : l->zones, round == 1 ? 1 : ZONES, false, &a),
                         load(&many, round == 1 ? &big : l->zones, round == 1 ? 1 : ZONES, false, &b));
        assert_int_equal(a.n, b.n);
        assert_int_equal(a.refused, b.refused);
        assert_int_equal(a.refused, round == 1 ? 0 : ZONES / 20);
        same_heads(&one, &many);
        same_entries(&one, &many);
        for (unsigned i = 0; i < ZONES && round == 1; i++) {                   /* the next round changes all of them */
            struct text small = { malloc(TEXT_CAP), 0 };
            put(&small, "@ 60 SOA a b 2 2 3 4 30\n  60 NS ns\n%s", i % 20 == 19 ? "h A 1.2.3\n" : "");
            write_file(l->file[i], small);
            free(small.p);
        }
    }
    same_logs(&one, &many, &key);
    free(t.p);
    free(l);
    place_close(&one);
    place_close(&many);
}

/* What goes wrong in the middle leaves what a single thread leaves: nothing half done. */
static void failures(void **state)
{
    struct rnd r = rnd_seed(seed = seed_from_env(7));
    struct node_key key;
    struct place p;
    struct text t = zone_text(&r, PLAIN);
    char path[400];
    (void)state;
    crypto_sign_keypair(key.pub, key.secret);
    open_with(&p, &key, 4, (uint64_t)1 << 20);
    snprintf(path, sizeof path, "%s/big", p.dir);
    write_file(path, t);
    const struct load_zone big = { "big.example.", path };
    struct told told = { 0 };
    assert_int_equal(load(&p, &big, 1, false, &told), ERR_FULL);
    struct dump d = place_dump(&p);
    assert_int_equal(d.n, 0);
    dump_release(&d);
    struct list *l = write_list(p.dir, &r);
    told = (struct told){ .n = 0 };
    assert_int_equal(load(&p, l->zones, 2, false, &told), OK);                 /* and it goes on */
    place_close(&p);
    open_with(&p, &key, 4, (uint64_t)1 << 30);
    free(l);
    l = write_list(p.dir, &r);
    told = (struct told){ .stop_after = 1 };
    enum err err = load(&p, l->zones, ZONES, false, &told);
    assert_true(err == ERR_NOTNOW || (err == ERR_REFUSED && told.n == ZONES)); /* told after the last was built */
    told = (struct told){ .stop = true };
    assert_int_equal(load(&p, l->zones, ZONES, false, &told), ERR_NOTNOW);
    told = (struct told){ .n = 0 };
    assert_int_equal(load(&p, l->zones, ZONES, true, &told), ERR_REFUSED);
    assert_int_equal(told.n, ZONES);
    free(l);
    free(t.p);
    place_close(&p);
}

/* --- ops on a store ----------------------------------------------------------------------------------------------- */
#define OPS 5000
static void random_ops(void **state)
{
    struct rnd r = rnd_seed(seed = seed_from_env(8));
    struct node_key key;
    struct place one, many;
    uint8_t (*keys)[8] = malloc(OPS * sizeof *keys), *value = malloc(3000);
    struct op *ops = malloc(OPS * sizeof *ops);
    (void)state;
    memset(value, 'v', 3000);
    crypto_sign_keypair(key.pub, key.secret);
    open_with(&one, &key, 1, (uint64_t)1 << 30);
    open_with(&many, &key, 3, (uint64_t)1 << 30);
    for (unsigned round = 0; round < 12; round++) {
        size_t n = round % 4 == 3 ? 1 + rnd_below(&r, 50) : OPS;
        for (size_t i = 0; i < n; i++) {                   /* often the same key, often what is there already */
            uint32_t k = rnd_below(&r, round < 2 ? 100000 : 3000), len = rnd_below(&r, 100) == 0 ? 2500 : k % 40;
            snprintf((char *)keys[i], sizeof keys[i], "%06u", k);
            ops[i] = (struct op){ rnd_below(&r, 4) == 0 ? OP_DEL : OP_PUT,
                                  bytes_of_text(rnd_below(&r, 50) == 0 ? "other" : "some"), bytes_of(keys[i], 6), { 0 } };
            if (ops[i].kind == OP_PUT)
                ops[i].value = bytes_of(value + rnd_below(&r, 2), len);
        }
        struct store_txn *a, *b;
        struct store_state x, y;
        struct fault fault = { .text = "" };
        uint64_t seq;
        assert_int_equal(store_begin(one.store, &a, &fault), OK);
        assert_int_equal(store_begin(many.store, &b, &fault), OK);
        assert_int_equal(store_apply(a, ops, n, &fault), OK);
        assert_int_equal(store_apply(b, ops, n, &fault), OK);
        store_state(a, &x);
        store_state(b, &y);
        if (memcmp(x.digest, y.digest, DIGEST_LEN) != 0 || x.keys != y.keys || x.bytes != y.bytes)
            fail_msg("seed %llu, round %u: another state", (unsigned long long)seed, round);
        store_abort(a);
        store_abort(b);
        assert_int_equal(commit_run(one.committer, ops, n, &seq, &fault), OK);
        assert_int_equal(commit_run(many.committer, ops, n, &seq, &fault), OK);
        same_heads(&one, &many);
    }
    same_logs(&one, &many, &key);
    free(keys);
    free(value);
    free(ops);
    place_close(&one);
    place_close(&many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_and_builds), cmocka_unit_test(whole_stores), cmocka_unit_test(failures),
        cmocka_unit_test(random_ops),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
