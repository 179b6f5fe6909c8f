/* TSIG: MACs against those of another implementation, what is refused and how, streams of many messages. */
#include "wire/query.h"
#include "wire/rrtype.h"
#include "wire/tsig_sign.h"
#include "tests/util.h"

#define NOW 1700000000u

static uint8_t secret_bytes[32];

static struct tsig_key key_of(const char *name, enum tsig_hash hash)
{
    struct tsig_key k = { .hash = hash, .secret = { secret_bytes, sizeof secret_bytes } };
    for (size_t i = 0; i < sizeof secret_bytes; i++)
        secret_bytes[i] = (uint8_t)i;
    assert_int_equal(name_from_text(bytes_of_text(name), (struct bytes){ 0 }, &k.name), OK);
    return k;
}

/* www.example.com. SOA, as a question (flags 0) or a reply (0x8000). */
static struct wr message(uint8_t *buf, size_t cap, uint16_t flags)
{
    struct wr w = wr_over(buf, cap);
    wr_u16(&w, 0x1234);
    wr_u16(&w, flags);
    wr_u16(&w, 1);
    wr_u32(&w, 0);
    wr_u16(&w, 0);
    wr_put(&w, "\3www\7example\3com", 17);
    wr_u16(&w, TYPE_SOA);
    wr_u16(&w, CLASS_IN);
    return w;
}
#define PLAIN 33        /* its length */

static struct tsig_chain *chain_of(const struct tsig_key *k)
{
    struct tsig_chain *c;
    assert_int_equal(tsig_open(&c, k), OK);
    return c;
}

static enum tsig_verdict check(struct tsig_chain *c, struct bytes msg, size_t at, uint64_t now)
{
    struct tsig t;
    assert_int_equal(tsig_read(msg, at, &t), OK);
    return tsig_check(c, msg, at, &t, now);
}

static void assert_mac(const struct wr *w, const char *hex, const char *what)
{
    struct bytes want = heap_from_hex(hex);
    struct tsig t;
    assert_int_equal(tsig_read(wr_done(w), PLAIN, &t), OK);
    if (!bytes_equal(t.mac, want))
        fail_msg("%s: another MAC", what);
    bytes_free(want);
}

/* By dnspython: the key "Key.Example." (its case does not count) with secret 00 .. 1f, a request and a stream of three replies. */
static const struct { enum tsig_hash hash; const char *request, *replies[3]; } vectors[] = {
    { TSIG_SHA1, "9f11ee3023dfa140ab1504b0cddbdf07b8e9fbcf",
      { "c67b99d810188aa9f8306df0d9b91427f52eb4fd",
        "b6d81f23dd69f7da015575ea83aa422d2209444c",
        "f67c4f58f9b321355ea8aa7c3a9219b9b2f86c78" } },
    { TSIG_SHA224, "25d13720fd0c9d078a70ba6930788d02fc3d8e87e42cbee3aaee3880",
      { "07f09800159c4f2fc41162d6e9d51a4da50e29b2ff1023d6565198c9",
        "dda8f45184db83ed262a9f06517fbf3cb20d72a697a336e6134c051b",
        "41c3dc549610987765bdb2ef70790954c22a004338608c4cbe4ac20b" } },
    { TSIG_SHA256, "b2e426b19ffca2b109280982a9442cc7a5624de717be83d15102251cd3e8078f",
      { "60860ea3a8234fee0bdb9a76c1ff959c11f70c0723d1e9e9ff5bf63bc036f56d",
        "c1d2f7d61fd24ed87c81af3784468795d31e618136f0eb30362b59181a9ace9c",
        "efe5b3228c5faeebeb2d93d79a759d99fe2f79f510e878a411bfcaf6355d2ea5" } },
    { TSIG_SHA384, "ccaad3675176f3ccdaeed8f0487afd332913806a6aba54e5e0c19ff4b87a195304d229cb0f49e012f6607218d24b1621",
      { "7167895e849c638206510ffa451c82e5862f7acf49efcb9549fafe9fb62cbddbe5465f8a488f8f18d19b5ef835b268bb",
        "a5aab4bd7a443a2dcbf867f1b4aed4f7915f6068dbd2d84407a44f6eae959c488ce60a62637a8c1fe5df11c396239b4a",
        "3770d45d43e9b29cab8f6e0d5206814d940cda96db590f7c1caf71fa9fe668eac6a4e865cede0e71a748213d1cde7704" } },
    { TSIG_SHA512, "342acf114340e9336ff408a483a0a29fb522db14b2a5360a8131e6449337f8b4a96f408831dc58927480972d553d73a51cdc741b3882fdd0dc4bc3115b78ad89",
      { "afffc692ebd9930500287f566ea37bd6dfe7117206fb81ea5f0e93ac633fe1f69f512034c7275564b46d88d452e450b76d4969cd0ca7bd33667609a357d9b467",
        "bcb55988107fec5c4ef439442369d1e70e0d20c77f7d673e917bd1979b0d2b01be7988eba66d4aa93729bbfcfc2cbb9abe6ba5722a5c8e9e88ca4a651c25aed1",
        "888fbe5c86aa5b85545e654e51097d062865fdc632a51106895751f3c6083c06dab7a4611758bf91cf6c6dbd85d6a174c55fdda32806c5bfedd908070b782d09" } },
};

static void macs_are_those_of_others(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(vectors); i++) {
        struct tsig_key k = key_of("Key.Example.", vectors[i].hash), lower = key_of("key.example.", vectors[i].hash);
        struct tsig_chain *client = chain_of(&k), *server = chain_of(&lower);
        uint8_t buf[512];
        struct wr w = message(buf, sizeof buf, 0);
        assert_int_equal(tsig_sign(client, &w, NOW, 0, NULL), OK);
        assert_true(w.len - PLAIN <= tsig_room(&k));
        assert_mac(&w, vectors[i].request, tsig_hash_text(vectors[i].hash));
        assert_int_equal(check(server, wr_done(&w), PLAIN, NOW), TSIG_GOOD);
        for (size_t r = 0; r < 3; r++) {
            w = message(buf, sizeof buf, 0x8000);
            assert_int_equal(tsig_sign(server, &w, NOW, 0, NULL), OK);
            assert_mac(&w, vectors[i].replies[r], "reply");
            assert_int_equal(check(client, wr_done(&w), PLAIN, NOW), TSIG_GOOD);
        }
        tsig_close(client);
        tsig_close(server);
    }
}

/* --- what is refused -------------------------------------------------------------------------------------------------- */
struct tampered { uint8_t buf[512]; struct wr w; };

static void flip_body(struct tampered *t)  { t->buf[14] ^= 0x20; }
static void flip_mac(struct tampered *t)   { t->buf[t->w.len - 8] ^= 1; }
static void flip_id(struct tampered *t)    { t->buf[0] ^= 1; }
static void flip_time(struct tampered *t)  { t->buf[PLAIN + 13 + 10 + 13 + 5] ^= 1; }
static void flip_name(struct tampered *t)  { t->buf[PLAIN + 1] ^= 1; }
static void upper_name(struct tampered *t) { t->buf[PLAIN + 1] ^= 0x20; }
static void flip_hash(struct tampered *t)  { t->buf[PLAIN + 13 + 10 + 1] ^= 1; }
static void no_records(struct tampered *t) { t->buf[11] = 0; }

/* The MAC cut to n bytes. */
static void cut(struct tampered *t, size_t n)
{
    struct tsig s;
    uint8_t copy[512];
    memcpy(copy, t->buf, sizeof copy);
    assert_int_equal(tsig_read(bytes_of(copy, t->w.len), PLAIN, &s), OK);
    s.mac.len = n;
    t->w.len = PLAIN;
    tsig_write(&t->w, &s);
}
static void cut_15(struct tampered *t) { cut(t, 15); }
static void cut_16(struct tampered *t) { cut(t, 16); }
static void cut_31(struct tampered *t) { cut(t, 31); }
static void cut_0(struct tampered *t)  { cut(t, 0); }
static void longer(struct tampered *t)
{
    struct tsig s;
    uint8_t mac[33] = { 0 }, copy[512];
    memcpy(copy, t->buf, sizeof copy);
    assert_int_equal(tsig_read(bytes_of(copy, t->w.len), PLAIN, &s), OK);
    s.mac = bytes_of(mac, sizeof mac);
    t->w.len = PLAIN;
    tsig_write(&t->w, &s);
}

static void judged_rows(void **state)
{
    static const struct { const char *why; void (*tamper)(struct tampered *); int64_t late_s; uint8_t mac_min; enum tsig_verdict want; }
    rows[] = {
        { "as it was signed", NULL, 0, 0, TSIG_GOOD },
        { "a proxy gave it another id: the original one counts", flip_id, 0, 0, TSIG_GOOD },
        { "the key's name in another case is the same name", upper_name, 0, 0, TSIG_GOOD },
        { "one bit of the question", flip_body, 0, 0, TSIG_FORGED },
        { "one bit of the MAC", flip_mac, 0, 0, TSIG_FORGED },
        { "the time is signed too", flip_time, 0, 0, TSIG_FORGED },
        { "another key's name", flip_name, 0, 0, TSIG_UNKNOWN },
        { "another algorithm", flip_hash, 0, 0, TSIG_UNKNOWN },
        { "no MAC at all in a request", cut_0, 0, 0, TSIG_FORGED },
        { "half of the MAC is the least", cut_16, 0, 0, TSIG_GOOD },
        { "less than half", cut_15, 0, 0, TSIG_MALFORMED },
        { "more than the whole", longer, 0, 0, TSIG_MALFORMED },
        { "cut, and the key asks for a whole one", cut_31, 0, 32, TSIG_SHORT_MAC },
        { "a header that counts no record for it", no_records, 0, 0, TSIG_FORGED },
        { "just in time, late", NULL, 300, 0, TSIG_GOOD },
        { "too late", NULL, 301, 0, TSIG_LATE },
        { "just in time, early", NULL, -300, 0, TSIG_GOOD },
        { "too early", NULL, -301, 0, TSIG_LATE },
        { "forged and late: the MAC is looked at first", flip_mac, 301, 0, TSIG_FORGED },
        { "cut too short and late: BADTIME goes before BADTRUNC", cut_31, 301, 32, TSIG_LATE },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct tsig_key k = key_of("key.example.", TSIG_SHA256);
        k.mac_min = rows[i].mac_min;
        struct tsig_chain *client = chain_of(&k), *server = chain_of(&k);
        struct tampered t;
        t.w = message(t.buf, sizeof t.buf, 0);
        assert_int_equal(tsig_sign(client, &t.w, NOW, 0, NULL), OK);
        if (rows[i].tamper != NULL)
            rows[i].tamper(&t);
        struct bytes exact = heap_copy(t.buf, t.w.len);
        enum tsig_verdict got = check(server, exact, PLAIN, (uint64_t)((int64_t)NOW + rows[i].late_s));
        if (got != rows[i].want)
            fail_msg("%s: verdict %d, wanted %d", rows[i].why, (int)got, (int)rows[i].want);
        bytes_free(exact);
        tsig_close(client);
        tsig_close(server);
    }
}

/* RFC 8945 section 5.2.3: the reply to a late request is signed, gives its time back, and says ours. */
static void badtime_tells_our_time(void **state)
{
    struct tsig_key k = key_of("key.example.", TSIG_SHA256);
    struct tsig_chain *client = chain_of(&k), *server = chain_of(&k);
    uint8_t request[512], reply[512];
    struct tsig asked, told;
    (void)state;
    struct wr w = message(request, sizeof request, 0), r = message(reply, sizeof reply, 0x8009);
    assert_int_equal(tsig_sign(client, &w, NOW, 0, NULL), OK);
    assert_int_equal(tsig_read(wr_done(&w), PLAIN, &asked), OK);
    assert_int_equal(tsig_check(server, wr_done(&w), PLAIN, &asked, NOW + 1000), TSIG_LATE);
    assert_int_equal(tsig_sign(server, &r, NOW + 1000, TSIG_BADTIME, &asked), OK);
    assert_int_equal(tsig_read(wr_done(&r), PLAIN, &told), OK);
    assert_int_equal(told.error, TSIG_BADTIME);
    assert_int_equal(told.time_s, NOW);
    assert_int_equal(told.other.len, 6);
    struct rd other = rd_over(told.other);
    assert_int_equal(rd_be(&other, 6), NOW + 1000);
    assert_int_equal(tsig_check(client, wr_done(&r), PLAIN, &told, NOW), TSIG_GOOD);
    assert_true(r.len - PLAIN <= tsig_room(&k));
    tsig_close(client);
    tsig_close(server);
}

/* 250 replies of which every 100th is signed, and the last: good; one more in a row without a MAC: too many; one changed on the
 * way, signed or not: found at the next MAC. */
static void stream(unsigned every, unsigned changed, enum tsig_verdict want)
{
    enum { MESSAGES = 250 };
    struct tsig_key k = key_of("key.example.", TSIG_SHA512);
    struct tsig_chain *client = chain_of(&k), *server = chain_of(&k);
    enum tsig_verdict worst = TSIG_GOOD;
    uint8_t buf[512];
    struct wr w = message(buf, sizeof buf, 0);
    assert_int_equal(tsig_sign(client, &w, NOW, 0, NULL), OK);
    assert_int_equal(check(server, wr_done(&w), PLAIN, NOW), TSIG_GOOD);
    for (unsigned i = 0; i < MESSAGES && worst == TSIG_GOOD; i++) {
        bool sign = i % every == 0 || i + 1 == MESSAGES;
        w = message(buf, sizeof buf, 0x8000);
        buf[3] = (uint8_t)i;
        assert_int_equal(sign ? tsig_sign(server, &w, NOW + i, 0, NULL) : tsig_skip(server, wr_done(&w)), OK);
        if (i == changed)
            buf[15] ^= 1;
        if (sign)
            worst = check(client, wr_done(&w), PLAIN, NOW + i);
        else
            assert_int_equal(tsig_skip(client, wr_done(&w)), OK);
        if (worst == TSIG_GOOD)
            assert_int_equal(tsig_skipped(client) == 0, sign);
    }
    assert_int_equal(worst, want);
    tsig_close(client);
    tsig_close(server);
}

static void streams_are_one_chain(void **state)
{
    (void)state;
    stream(1, 1000, TSIG_GOOD);
    stream(100, 1000, TSIG_GOOD);
    stream(100, 30, TSIG_FORGED);
    stream(100, 100, TSIG_FORGED);
    stream(1, 3, TSIG_FORGED);
}

static void a_hundred_unsigned_are_too_many(void **state)
{
    struct tsig_key k = key_of("key.example.", TSIG_SHA256);
    struct tsig_chain *c = chain_of(&k);
    uint8_t buf[64];
    (void)state;
    struct wr w = message(buf, sizeof buf, 0x8000);
    for (unsigned i = 0; i < TSIG_UNSIGNED_MAX; i++)
        assert_int_equal(tsig_skip(c, wr_done(&w)), OK);
    assert_int_equal(tsig_skip(c, wr_done(&w)), ERR_LIMIT);
    tsig_close(c);
}

static void no_room_is_told(void **state)
{
    struct tsig_key k = key_of("key.example.", TSIG_SHA256);
    (void)state;
    for (size_t cap = PLAIN; cap <= PLAIN + tsig_room(&k); cap++) {
        struct tsig_chain *c = chain_of(&k);
        uint8_t *buf = malloc(cap);
        struct wr w = message(buf, cap, 0);
        enum err err = tsig_sign(c, &w, NOW, 0, NULL);
        assert_true(err == OK || err == ERR_NOSPACE);
        assert_int_equal(err == OK, !w.full);
        free(buf);
        tsig_close(c);
    }
    struct tsig_key empty = k;
    struct tsig_chain *none;
    empty.secret.len = 0;
    assert_int_equal(tsig_open(&none, &empty), ERR_BAD);
}

static void algorithms_have_names(void **state)
{
    enum tsig_hash h;
    (void)state;
    for (size_t i = 0; i < TSIG_HASHES; i++) {
        assert_int_equal(tsig_hash_of_text(bytes_of_text(tsig_hash_text((enum tsig_hash)i)), &h), OK);
        assert_int_equal(h, i);
        assert_int_equal(tsig_hash_of_name(tsig_hash_name((enum tsig_hash)i), &h), OK);
        assert_int_equal(h, i);
    }
    assert_int_equal(tsig_hash_of_text(bytes_of_text("HMAC-SHA256."), &h), OK);
    assert_int_equal(tsig_hash_of_text(bytes_of_text("hmac-md5.sig-alg.reg.int"), &h), ERR_NOTFOUND);
    assert_int_equal(tsig_hash_of_text(bytes_of_text("hmac-sha25"), &h), ERR_NOTFOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(macs_are_those_of_others), cmocka_unit_test(judged_rows), cmocka_unit_test(badtime_tells_our_time),
        cmocka_unit_test(streams_are_one_chain), cmocka_unit_test(a_hundred_unsigned_are_too_many),
        cmocka_unit_test(no_room_is_told), cmocka_unit_test(algorithms_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
