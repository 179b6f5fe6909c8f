#include "tests/util.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/msg.h"
#include "replicator/encode.h"
#include "tests/sim/model.h"
#include "tests/unit/replicator_dir.h"

static struct node_key key_of(uint8_t fill)
{
    struct node_key key;
    uint8_t seed[crypto_sign_SEEDBYTES];
    memset(seed, fill, sizeof seed);
    crypto_sign_seed_keypair(key.pub, key.secret, seed);
    return key;
}

/* One put, signed: the record of FORMAT.md's example. */
static struct bytes example(struct node_key *key)
{
    static struct model_core c;
    struct rnd rnd = rnd_seed(1);
    model_open(&c, 7);
    model_commit(&c, &rnd, 1, false);
    *key = c.key;
    struct bytes got = heap_copy(c.log[1].ptr, c.log[1].len);
    model_close(&c);
    return got;
}

static void example_is_that_of_the_format(void **state)
{
    struct node_key key;
    struct bytes made = example(&key), want = heap_from_hex("93 c455 9a c410 c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1 01 01 00 c2"
        "c420 0000000000000000000000000000000000000000000000000000000000000000 cd03e9 00 00"
        "c415 94 01 a26b76 c4066b65792d3034 c406333232323431"
        "c464 99 c410 c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1 01 01 c420 80979af2edcc3a3fd62232181be0a1a8d2b81a2acc6540aafc8ff0e5c88aff88"
        "c420 76650c31b2dc2d00233eaca6c7b7f6794fe4df4999a8a4b0608e555f740c672a 01 0c cd03e9 81 a3616c6c 01"
        "c440 a36f4b6f189e3e3357796ec14487049e9741f790032ec81fd0369bde9beb7554"
        "69b444b8918a2d3b6cb6253399cfb7b38162f810801a7ba4a7b6afd735e78f09");
    (void)state;
    assert_true(bytes_equal(made, want));
    bytes_free(want);
    bytes_free(made);
}

static void prefixes_are_short(void **state)
{
    struct node_key key;
    struct bytes whole = example(&key);
    struct record rec;
    (void)state;
    assert_int_equal(record_read(whole, &rec), OK);
    assert_int_equal(record_verify(&rec, key.pub), OK);
    assert_true(rec.has_head);
    for (size_t n = 0; n < whole.len; n++) {
        struct bytes cut = heap_copy(whole.ptr, n);
        enum err err = record_read(cut, &rec);
        if (err != ERR_SHORT)
            fail_msg("prefix of %zu of %zu bytes: '%s'", n, whole.len, err_text(err));
        bytes_free(cut);
    }
    bytes_free(whole);
}

/* Every single flipped bit is seen: by the shape or by a signature. */
static void flipped_bits_are_seen(void **state)
{
    struct node_key key;
    struct bytes whole = example(&key);
    (void)state;
    for (size_t bit = 0; bit < 8 * whole.len; bit++) {
        struct bytes copy = heap_copy(whole.ptr, whole.len);
        struct record rec;
        ((uint8_t *)(uintptr_t)copy.ptr)[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (record_read(copy, &rec) == OK && record_verify(&rec, key.pub) == OK)
            fail_msg("bit %zu of byte %zu flipped, and nobody sees it", bit % 8, bit / 8);
        bytes_free(copy);
    }
    bytes_free(whole);
}

static void other_key_is_refused(void **state)
{
    struct node_key key, other = key_of(9);
    struct bytes whole = example(&key);
    struct record rec;
    (void)state;
    assert_int_equal(record_read(whole, &rec), OK);
    assert_int_equal(record_verify(&rec, other.pub), ERR_SIGNATURE);
    assert_int_equal(head_verify(&rec.signed_head, other.pub), ERR_SIGNATURE);
    assert_int_equal(head_verify(&rec.signed_head, key.pub), OK);
    bytes_free(whole);
}

/* Heads that the core has signed, and yet not of this record. */
static void head_and_body_agree(void **state)
{
    static const struct { const char *why; bool ours, later; enum err want; } rows[] = {
        { "its own",                                            true,  false, OK },
        { "that of the record behind it",                       false, false, ERR_BAD },
        { "a heartbeat's: the same place, at a later time",     true,  true,  ERR_BAD },
    };
    static struct model_core c;
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct rnd rnd = rnd_seed(2);
        struct record one, other;
        uint8_t buf[4096];
        model_open(&c, 8);
        model_commit(&c, &rnd, 1, false);
        assert_int_equal(record_read(c.log[1], &one), OK);
        if (rows[i].later)
            model_sign(&c);
        if (!rows[i].ours)
            model_commit(&c, &rnd, 1, false);
        struct wr w = wr_over(buf, sizeof buf);
        record_put(&w, one.body, one.chain, &c.signed_head, &c.key);
        assert_int_equal(head_verify(&c.signed_head, c.key.pub), OK);
        assert_int_equal(record_read(wr_done(&w), &other), OK);
        if (record_verify(&other, c.key.pub) != rows[i].want || record_agrees(&other) != rows[i].want)
            fail_msg("%s: %s", rows[i].why, err_text(record_verify(&other, c.key.pub)));
        model_close(&c);
    }
}

/* What is signed as a part that others follow is no whole transaction, and the other way round. */
static void parts_are_no_ends(void **state)
{
    static struct model_core c;
    struct rnd rnd = rnd_seed(2);
    struct record part, end, rec;
    uint8_t buf[4096];
    (void)state;
    model_open(&c, 8);
    model_commit(&c, &rnd, 2, false);
    assert_int_equal(record_read(c.log[1], &part), OK);
    assert_int_equal(record_read(c.log[2], &end), OK);
    assert_true(part.more && !part.has_head && !end.more && end.has_head);
    struct wr w = wr_over(buf, sizeof buf);
    record_put(&w, part.body, part.chain, &end.signed_head, &c.key);
    assert_int_equal(record_read(wr_done(&w), &rec), ERR_BAD);
    w = wr_over(buf, sizeof buf);
    record_put(&w, end.body, end.chain, NULL, &c.key);
    assert_int_equal(record_read(wr_done(&w), &rec), ERR_BAD);
    /* nor does a part's signature stand for a head's */
    w = wr_over(buf, sizeof buf);
    memcpy(end.signed_head.sig, part.part_sig, HEAD_SIG_LEN);
    record_put(&w, end.body, end.chain, &end.signed_head, &c.key);
    assert_int_equal(record_read(wr_done(&w), &rec), OK);
    assert_int_equal(record_verify(&rec, c.key.pub), ERR_SIGNATURE);
    model_close(&c);
}

static const struct { const char *why, *hex; enum err want; } shapes[] = {
    { "nothing",                        "",                                     ERR_SHORT },
    { "not an array",                   "c0",                                   ERR_BAD },
    { "three elements",                 "93 c400 c400 c400",                    ERR_BAD },
    { "four elements, as in format 1",  "94 c400 c400 c400 c400",               ERR_BAD },
    { "array of one",                   "91 c400",                              ERR_BAD },
    { "a bin of 4 GiB",                 "92 c6ffffffff 00",                     ERR_SHORT },
    { "a bin in a longer form",         "92 c50001 00 c400",                    ERR_BAD },
    { "part signature too short",       "92 c401 90 c403 010203",               ERR_BAD },
    { "head signature too short",       "93 c401 90 c400 c403 010203",          ERR_BAD },
};
static void shape_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(shapes); i++) {
        struct bytes in = heap_from_hex(shapes[i].hex);
        struct record rec;
        enum err got = record_read(in, &rec);
        if (got != shapes[i].want)
            fail_msg("%s: got '%s', want '%s'", shapes[i].why, err_text(got), err_text(shapes[i].want));
        bytes_free(in);
    }
}

/* Ops of a body, as they stand there. */
static const struct { const char *why; uint64_t codec; const char *hex; enum err want; size_t n; } op_rows[] = {
    { "no op at all",               0, "",                                          OK, 0 },
    { "one put",                    0, "94 01 a26b76 c4016b c40176",                OK, 1 },
    { "a put without a value",      0, "93 01 a26b76 c4016b",                       ERR_BAD, 0 },
    { "one delete",                 0, "93 02 a26b76 c4016b",                       OK, 1 },
    { "a newer version's element",  0, "94 02 a26b76 c4016b c3",                    OK, 1 },
    { "unknown kind",               0, "93 03 a26b76 c4016b",                       ERR_BAD, 0 },
    { "empty key",                  0, "93 02 a26b76 c400",                         ERR_BAD, 0 },
    { "namespace in capitals",      0, "93 02 a24b76 c4016b",                       ERR_BAD, 0 },
    { "empty namespace",            0, "93 02 a0 c4016b",                           ERR_BAD, 0 },
    { "second op ends early",       0, "93 02 a26b76 c4016b 93 02 a26b",            ERR_BAD, 0 },
    { "not zstd",                   1, "93 02 a26b76 c4016b",                       ERR_BAD, 0 },
    { "zstd that claims 2 GiB",     1, "28b52ffd a0 00000080 010000",               ERR_LIMIT, 0 },
};
static void ops_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(op_rows); i++) {
        struct bytes in = heap_from_hex(op_rows[i].hex);
        struct record rec = { .codec = op_rows[i].codec, .ops = in };
        struct arena a;
        struct op *ops = NULL;
        size_t n = 0;
        arena_init(&a);
        enum err got = record_ops(&rec, NULL, &a, &ops, &n);
        if (got != op_rows[i].want || (got == OK && n != op_rows[i].n))
            fail_msg("%s: got '%s' and %zu ops, want '%s'", op_rows[i].why, err_text(got), n, err_text(op_rows[i].want));
        arena_release(&a);
        bytes_free(in);
    }
}

/* Parts of any transaction give its ops back, in order, chained, within the limits. */
static void encoder_round_trip(void **state)
{
    uint64_t seed = seed_from_env(41);
    struct rnd rnd = rnd_seed(seed);
    struct node_key key = key_of(3);
    uint8_t cluster[CLUSTER_LEN] = { 1, 2, 3 }, *noise = malloc(STORE_VALUE_MAX);
    struct encoder *e;
    (void)state;
    assert_int_equal(encoder_open(&e, cluster, &key), OK);
    for (size_t i = 0; i < STORE_VALUE_MAX; i++)
        noise[i] = (uint8_t)(rnd_u64(&rnd) >> 30);
    for (int round = 0; round < 12; round++) {
        size_t n = 1 + rnd_below(&rnd, round < 8 ? 300 : 6), done = 0;
        struct op *ops = calloc(n, sizeof *ops);
        for (size_t i = 0; i < n; i++) {
            size_t most = round < 8 ? 9000 : STORE_VALUE_MAX;
            ops[i].kind = rnd_below(&rnd, 5) == 0 ? OP_DEL : OP_PUT;
            ops[i].ns = bytes_of_text(rnd_below(&rnd, 2) ? "dns" : "a-namespace_of.32-bytes-in-all-00");
            ops[i].ns.len = ops[i].ns.len > 32 ? 32 : ops[i].ns.len;
            ops[i].key = bytes_of(noise, 1 + rnd_below(&rnd, STORE_KEY_MAX));
            if (ops[i].kind == OP_PUT)
                ops[i].value = bytes_of(noise, rnd_below(&rnd, 4) == 0 && round >= 8 ? most : rnd_below(&rnd, (uint32_t)most + 1));
        }
        struct position at = { .epoch = 2, .seq = 10, .chain = { 5 } }, now;
        struct head h = { .epoch = 2, .time_ms = 777, .cohorts_n = 1, .cohorts = { { "all", 0 } } };
        memcpy(h.cluster, cluster, CLUSTER_LEN);
        encoder_begin(e, &at, 2, 777, ops, n);
        do {
            struct record rec;
            struct signed_head sh;
            struct bytes bytes;
            struct arena a;
            struct op *got;
            size_t got_n;
            assert_int_equal(encoder_part(e, &now), OK);
            h.seq = now.seq;
            memcpy(h.chain, now.chain, CHAIN_LEN);
            head_sign(&sh, &h, &key);
            assert_int_equal(encoder_record(e, now.more ? NULL : &sh, &bytes, NULL), OK);
            assert_true(bytes.len <= RECORD_MAX);
            assert_int_equal(record_read(bytes, &rec), OK);
            assert_int_equal(record_verify(&rec, key.pub), OK);
            assert_int_equal(record_joins(&at, &rec), OK);
            position_move(&at, &rec);
            arena_init(&a);
            assert_int_equal(record_ops(&rec, NULL, &a, &got, &got_n), OK);
            for (size_t i = 0; i < got_n; i++, done++) {
                assert_true(done < n);
                if (got[i].kind != ops[done].kind || !bytes_equal(got[i].ns, ops[done].ns)
                    || !bytes_equal(got[i].key, ops[done].key) || !bytes_equal(got[i].value, ops[done].value))
                    fail_msg("op %zu differs, seed %llu", done, (unsigned long long)seed);
            }
            arena_release(&a);
        } while (now.more);
        assert_int_equal(done, n);
        free(ops);
    }
    encoder_close(e);
    free(noise);
}

/* The same ops, encrypted: nobody without the key reads them, all else is as before; the largest op still is a record. */
static void secrets(void **state)
{
    static uint8_t value[STORE_VALUE_MAX], nskey[STORE_KEY_MAX];
    static const size_t sizes[] = { 0, 1, 20000, STORE_VALUE_MAX };
    uint8_t cluster[CLUSTER_LEN] = { 1 }, secret[RECORD_SECRET_KEY_LEN] = { 7 }, wrong[RECORD_SECRET_KEY_LEN] = { 8 };
    struct node_key key = key_of(3);
    struct position now, at = { .epoch = 2, .seq = 10 };
    struct head h = { .epoch = 2, .seq = 11, .time_ms = 777, .cohorts_n = 1, .cohorts = { { "all", 0 } } };
    struct signed_head sh;
    struct encoder *e;
    struct record rec;
    struct bytes bytes;
    struct arena a;
    struct op *ops;
    size_t n;
    (void)state;
    randombytes_buf_deterministic(value, sizeof value, secret);
    memset(nskey, 'k', sizeof nskey);
    arena_init(&a);
    assert_int_equal(encoder_open(&e, cluster, &key), OK);
    for (size_t i = 0; i < ROWS(sizes); i++) {
        struct op op = { OP_PUT, bytes_of_text("a-namespace_of.32-bytes-in-all-0"), bytes_of(nskey, sizeof nskey), bytes_of(value, sizes[i]) };
        encoder_secret(e, 0x1234, secret);
        encoder_begin(e, &at, 2, 777, &op, 1);
        assert_int_equal(encoder_part(e, &now), OK);
        memcpy(h.chain, now.chain, CHAIN_LEN);
        memcpy(h.cluster, cluster, CLUSTER_LEN);
        head_sign(&sh, &h, &key);
        assert_int_equal(encoder_record(e, &sh, &bytes, NULL), OK);
        assert_int_equal(record_read(bytes, &rec), OK);
        assert_int_equal(record_verify(&rec, key.pub), OK);
        assert_int_equal(rec.key_id, 0x1234);
        assert_true(memmem(bytes.ptr, bytes.len, nskey, 16) == NULL && memmem(bytes.ptr, bytes.len, "namespace", 9) == NULL);
        assert_int_equal(record_ops(&rec, NULL, &a, &ops, &n), ERR_KEY);
        assert_int_equal(record_decrypt(&rec, wrong, &a), ERR_BAD);
        struct record cut = rec;
        cut.ops.len--;
        assert_int_equal(record_decrypt(&cut, secret, &a), ERR_BAD);
        assert_int_equal(record_decrypt(&rec, secret, &a), OK);
        assert_int_equal(rec.key_id, 0);
        assert_int_equal(record_ops(&rec, NULL, &a, &ops, &n), OK);
        assert_true(n == 1 && bytes_equal(ops[0].key, op.key) && bytes_equal(ops[0].value, op.value));
        encoder_secret(e, 0, NULL);             /* switched off */
        encoder_begin(e, &at, 2, 777, &op, 1);
        assert_int_equal(encoder_part(e, &now), OK);
        memcpy(h.chain, now.chain, CHAIN_LEN);
        head_sign(&sh, &h, &key);
        assert_int_equal(encoder_record(e, &sh, &bytes, NULL), OK);
        assert_int_equal(record_read(bytes, &rec), OK);
        assert_int_equal(rec.key_id, 0);
        arena_reset(&a);
    }
    /* a record that names a key must have room for nonce and tag */
    uint8_t buf[400], chain[CHAIN_LEN];
    for (size_t len = RECORD_SECRET_EXTRA - 1; len <= RECORD_SECRET_EXTRA; len++) {
        uint8_t whole[600];
        struct record_body b = { .epoch = 1, .seq = 1, .more = true, .key_id = 5, .ops = bytes_of(value, len) };
        struct wr w = wr_over(buf, sizeof buf), out = wr_over(whole, sizeof whole);
        record_body_put(&w, &b);
        record_chain(wr_done(&w), chain);
        record_put(&out, wr_done(&w), chain, NULL, &key);
        assert_int_equal(record_read(wr_done(&out), &rec), len < RECORD_SECRET_EXTRA ? ERR_BAD : OK);
    }
    encoder_close(e);
    arena_release(&a);
}

static const struct { const char *why; struct position at; uint64_t epoch, seq, part; bool prev_fits; enum err want; } joins[] = {
    { "the next one",               { .epoch = 1, .seq = 4 },                           1, 5, 0, true,  OK },
    { "first record",               { .epoch = 0, .seq = 0 },                           1, 1, 0, true,  OK },
    { "first of a new epoch",       { .epoch = 1, .seq = 4 },                           2, 5, 0, true,  OK },
    { "of an old epoch",            { .epoch = 2, .seq = 4 },                           1, 5, 0, true,  ERR_EPOCH },
    { "sent twice",                 { .epoch = 1, .seq = 4 },                           1, 4, 0, true,  ERR_EXISTS },
    { "before ours",                { .epoch = 1, .seq = 4 },                           1, 2, 0, true,  ERR_EXISTS },
    { "one is missing",             { .epoch = 1, .seq = 4 },                           1, 6, 0, true,  ERR_GAP },
    { "of another history",         { .epoch = 1, .seq = 4 },                           1, 5, 0, false, ERR_FORK },
    { "second part",                { .epoch = 1, .seq = 4, .more = true, .part = 0 },  1, 5, 1, true,  OK },
    { "part out of order",          { .epoch = 1, .seq = 4, .more = true, .part = 0 },  1, 5, 2, true,  ERR_BAD },
    { "part without a first",       { .epoch = 1, .seq = 4 },                           1, 5, 1, true,  ERR_BAD },
    { "transaction over two epochs", { .epoch = 1, .seq = 4, .more = true, .part = 0 }, 2, 5, 1, true,  ERR_BAD },
};
static void join_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(joins); i++) {
        struct record rec = { .epoch = joins[i].epoch, .seq = joins[i].seq, .part = joins[i].part };
        struct position at = joins[i].at;
        memset(at.chain, 0x77, CHAIN_LEN);
        memset(rec.prev, joins[i].prev_fits ? 0x77 : 0x78, CHAIN_LEN);
        enum err got = record_joins(&at, &rec);
        if (got != joins[i].want)
            fail_msg("%s: got '%s', want '%s'", joins[i].why, err_text(got), err_text(joins[i].want));
    }
}

/* --- node keys ----------------------------------------------------------------------------------------------------- */
static void node_keys(void **state)
{
    char dir[256], path[300], text[80];
    struct node_key made, loaded, again;
    struct fault fault;
    struct stat st;
    uint8_t pub[32];
    (void)state;
    dir_make(dir, sizeof dir, "key");
    assert_int_equal(node_key_load(dir, &loaded, &fault), ERR_NOTFOUND);
    assert_non_null(strstr(fault.text, "azoth keygen"));
    assert_int_equal(node_key_make(dir, false, &made, &fault), OK);
    assert_int_equal(node_key_make(dir, false, &again, &fault), ERR_EXISTS);
    assert_int_equal(node_key_load(dir, &loaded, &fault), OK);
    assert_memory_equal(&made, &loaded, sizeof made);
    snprintf(path, sizeof path, "%s/node.key", dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(node_pub_parse(node_pub_text(text, sizeof text, made.pub), pub), OK);
    assert_memory_equal(pub, made.pub, 32);
    assert_int_equal(node_key_make(dir, true, &again, &fault), OK);
    assert_memory_not_equal(again.secret, made.secret, 64);
    for (unsigned round = 0; round < 3; round++) {          /* node.pub of another key, then right, then gone */
        char pub_path[300];
        struct bytes is;
        snprintf(pub_path, sizeof pub_path, "%s/node.pub", dir);
        if (round == 2)
            assert_int_equal(unlink(pub_path), 0);
        assert_int_equal(node_pub_keep(dir, &made, &fault), OK);
        assert_int_equal(file_read(pub_path, 4096, &is, &fault), OK);
        assert_int_equal(node_pub_parse((const char *)is.ptr, pub), OK);
        assert_memory_equal(pub, made.pub, 32);
        free((void *)(uintptr_t)is.ptr);
    }
    int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "AAAA", 4, 20), 4);      /* one half no longer fits the other */
    close(fd);
    assert_int_equal(node_key_load(dir, &loaded, &fault), ERR_BAD);
    assert_int_equal(truncate(path, 30), 0);
    assert_int_equal(node_key_load(dir, &loaded, &fault), ERR_BAD);
    dir_remove(dir);
}

static const struct { const char *text; enum err want; } pubs[] = {
    { "ed25519:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", OK },
    { "ed25519:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", OK },
    { "ED25519:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", ERR_BAD },
    { "ed25519:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==", ERR_BAD },
    { "ed25519:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= ", ERR_BAD },
    { "ed25519:", ERR_BAD },
    { "", ERR_BAD },
};
static void pub_rows(void **state)
{
    uint8_t pub[32];
    (void)state;
    for (size_t i = 0; i < ROWS(pubs); i++) {
        if (node_pub_parse(pubs[i].text, pub) != pubs[i].want)
            fail_msg("'%s'", pubs[i].text);
    }
}

/* --- messages -------------------------------------------------------------------------------------------------------- */
static void announce_round_trip(void **state)
{
    struct node_key key;
    struct bytes record = example(&key);
    struct record rec;
    struct announce a;
    uint8_t buf[4096];
    (void)state;
    assert_int_equal(record_read(record, &rec), OK);
    for (int with = 0; with < 2; with++)
    for (uint64_t nodes = 0; nodes < 3000; nodes += 1500) {
        struct wr w = wr_over(buf, sizeof buf);
        announce_put_nodes(&w, &rec.signed_head, with ? record : (struct bytes){ 0 }, nodes);
        struct bytes whole = heap_copy(w.buf, w.len);
        assert_int_equal(announce_read(whole, &a), OK);
        assert_true(bytes_equal(a.record, with ? record : (struct bytes){ 0 }));
        assert_int_equal(a.nodes, nodes);
        assert_memory_equal(a.head.body, rec.signed_head.body, rec.signed_head.len);
        for (size_t n = 0; n < whole.len; n++) {
            struct bytes cut = heap_copy(whole.ptr, n);
            assert_int_equal(announce_read(cut, &a), ERR_SHORT);
            bytes_free(cut);
        }
        bytes_free(whole);
    }
    bytes_free(record);
}

static const struct { const char *why, *hex; enum err want; } requests[] = {
    { "hello",                  "92 01 a165",                       OK },
    { "hello of a newer node",  "93 01 a165 c3",                    OK },
    { "records",                "94 02 01 05 ce00180000",           OK },
    { "unknown type",           "92 09 a165",                       ERR_FORMAT },
    { "type is text",           "92 a131 a165",                     ERR_BAD },
    { "hello without a name",   "91 01",                            ERR_SHORT },
    { "records, one missing",   "93 02 01 05",                      ERR_SHORT },
    { "rest behind the end",    "92 01 a165 00",                    ERR_BAD },
    { "nested for ever",        "93 01 a165 91919191919191919191919191919191919191919191 00", ERR_BAD },
    { "empty",                  "",                                 ERR_SHORT },
};
static void request_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(requests); i++) {
        struct bytes in = heap_from_hex(requests[i].hex);
        struct request q;
        enum err got = request_read(in, &q);
        if (got != requests[i].want)
            fail_msg("%s: got '%s', want '%s'", requests[i].why, err_text(got), err_text(requests[i].want));
        bytes_free(in);
    }
}

static void reply_round_trip(void **state)
{
    struct node_key key;
    struct bytes record = example(&key), one;
    struct record rec;
    struct reply r;
    uint8_t buf[8192], nonce[NONCE_LEN] = { 1 }, cluster[CLUSTER_LEN] = { 2 };
    (void)state;
    assert_int_equal(record_read(record, &rec), OK);
    struct wr w = wr_over(buf, sizeof buf);
    reply_records_put(&w, 6, 1, 9, &rec.signed_head, 2);
    msg_put_bin(&w, record);
    msg_put_bin(&w, record);
    struct bytes whole = heap_copy(w.buf, w.len);
    assert_int_equal(reply_read(whole, &r), OK);
    assert_true(r.type == MESSAGE_RECORDS && r.after == 6 && r.first == 1 && r.last == 9 && r.has_head && r.left == 2);
    assert_true(reply_next(&r, &one) && bytes_equal(one, record) && reply_next(&r, &one) && !reply_next(&r, &one));
    for (size_t n = 0; n < whole.len; n++) {
        struct bytes cut = heap_copy(whole.ptr, n);
        assert_int_equal(reply_read(cut, &r), ERR_SHORT);
        bytes_free(cut);
    }
    bytes_free(whole);
    w = wr_over(buf, sizeof buf);
    reply_records_put(&w, 6, 0, 0, NULL, 0);
    assert_int_equal(reply_read(wr_done(&w), &r), OK);
    assert_false(r.has_head);
    w = wr_over(buf, sizeof buf);
    reply_hello_put(&w, nonce, cluster, 3, 4, "core-1", key.pub);
    assert_int_equal(reply_read(wr_done(&w), &r), OK);
    assert_true(r.type == MESSAGE_HELLO && r.first == 3 && r.last == 4 && bytes_equal(r.text, bytes_of_text("core-1")));
    w = wr_over(buf, sizeof buf);
    reply_error_put(&w, REPLY_UNKNOWN, "no", 0);
    assert_int_equal(reply_read(wr_done(&w), &r), OK);
    assert_true(r.type == MESSAGE_ERROR && r.code == REPLY_UNKNOWN);
    bytes_free(record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(example_is_that_of_the_format), cmocka_unit_test(prefixes_are_short),
        cmocka_unit_test(flipped_bits_are_seen), cmocka_unit_test(other_key_is_refused), cmocka_unit_test(head_and_body_agree),
        cmocka_unit_test(parts_are_no_ends), cmocka_unit_test(shape_rows), cmocka_unit_test(ops_rows),
        cmocka_unit_test(encoder_round_trip), cmocka_unit_test(secrets), cmocka_unit_test(join_rows), cmocka_unit_test(node_keys),
        cmocka_unit_test(pub_rows), cmocka_unit_test(announce_round_trip), cmocka_unit_test(request_rows),
        cmocka_unit_test(reply_round_trip),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
