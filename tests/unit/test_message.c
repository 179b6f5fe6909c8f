#include "tests/util.h"

#include "base/msg.h"
#include "replicator/seal.h"
#include "tests/unit/seal_keys.h"

/* --- requests: what is read is what was written, prefixes are short ------------------------------------------------------ */
static void request_round_trips(void **state)
{
    static uint8_t inner[REQUEST_MAX - 400];
    static const struct { const char *why; struct request q; size_t inner; } rows[] = {
        { "hello",          { .type = MESSAGE_HELLO, .node = { (const uint8_t *)"edge-1", 6 } }, 0 },
        { "records",        { .type = MESSAGE_RECORDS, .epoch = 3, .after = UINT64_MAX, .max_bytes = 1 }, 0 },
        { "manifest",       { .type = MESSAGE_MANIFEST, .epoch = 1, .seq = 300, .offset = 70000 }, 0 },
        { "chunk",          { .type = MESSAGE_CHUNK, .epoch = UINT64_MAX, .seq = UINT64_MAX, .offset = 0 }, 0 },
        { "keys",           { .type = MESSAGE_KEYS }, 0 },
        { "signed",         { .type = MESSAGE_SIGNED, .node = { (const uint8_t *)"e", 1 }, .nonce = { 1, 2 }, .number = 77, .sig = { 9 } }, 1 },
        { "signed, large",  { .type = MESSAGE_SIGNED, .node = { (const uint8_t *)"e", 1 }, .nonce = { 255 }, .number = UINT64_MAX }, sizeof inner },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        uint8_t buf[REQUEST_MAX];
        struct wr w = wr_over(buf, sizeof buf);
        struct request q = rows[i].q, got;
        q.inner = bytes_of(inner, rows[i].inner);
        request_put(&w, &q);
        assert_false(w.full);
        struct bytes whole = heap_copy(w.buf, w.len);
        enum err err = request_read(whole, &got);
        if (err != OK || got.type != q.type || got.epoch != q.epoch || got.after != q.after || got.max_bytes != q.max_bytes
            || got.seq != q.seq || got.offset != q.offset || got.number != q.number || !bytes_equal(got.node, q.node)
            || !bytes_equal(got.inner, q.inner) || memcmp(got.nonce, q.nonce, NONCE_LEN) != 0 || memcmp(got.sig, q.sig, 64) != 0)
            fail_msg("%s: %s", rows[i].why, err_text(err));
        for (size_t n = 0; n < whole.len; n += n < 300 ? 1 : 97) {
            struct bytes cut = heap_copy(whole.ptr, n);
            if ((err = request_read(cut, &got)) != ERR_SHORT)
                fail_msg("%s, %zu bytes of it: %s", rows[i].why, n, err_text(err));
            bytes_free(cut);
        }
        bytes_free(whole);
    }
}

#define NONCE "c410 00000000000000000000000000000000"
#define SIG "c440 00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
static const struct { const char *why, *hex; enum err want; } requests[] = {
    { "manifest",                       "94 03 01 05 00",                           OK },
    { "manifest of a newer node",       "95 03 01 05 00 c0",                        OK },
    { "manifest without an offset",     "93 03 01 05",                              ERR_SHORT },
    { "manifest, seq is text",          "94 03 01 a135 00",                         ERR_BAD },
    { "chunk",                          "94 04 01 05 cd0100",                       OK },
    { "chunk, index too long a form",   "94 04 01 05 cd0001",                       ERR_BAD },
    { "keys",                           "91 05",                                    OK },
    { "keys, and something behind",     "91 05 05",                                 ERR_BAD },
    { "signed",                         "96 10 a165 " NONCE " 01 c40105 " SIG,      OK },
    { "signed, no name",                "96 10 a0 " NONCE " 01 c40105 " SIG,        ERR_BAD },
    { "signed, nonce of one byte",      "96 10 a165 c40100 01 c40105 " SIG,         ERR_BAD },
    { "signed, without signature",      "95 10 a165 " NONCE " 01 c40105",           ERR_SHORT },
    { "signed, signature of one byte",  "96 10 a165 " NONCE " 01 c40105 c40100",    ERR_BAD },
    { "signed, the request is text",    "96 10 a165 " NONCE " 01 a105 " SIG,        ERR_BAD },
    { "number 6",                       "91 06",                                    ERR_FORMAT },
    { "number 15",                      "91 0f",                                    ERR_FORMAT },
    { "number 17",                      "91 11",                                    ERR_FORMAT },
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

/* --- replies ---------------------------------------------------------------------------------------------------------------- */
static struct bytes short_prefixes(struct wr *w, const char *why, struct reply *out)
{
    assert_false(w->full);
    struct bytes whole = heap_copy(w->buf, w->len);
    enum err err;
    for (size_t n = 0; n < whole.len; n++) {
        struct bytes cut = heap_copy(whole.ptr, n);
        if ((err = reply_read(cut, out)) != ERR_SHORT)
            fail_msg("%s, %zu of %zu bytes of it: %s", why, n, whole.len, err_text(err));
        bytes_free(cut);
    }
    if ((err = reply_read(whole, out)) != OK)
        fail_msg("%s: %s", why, err_text(err));
    return whole;
}

static void reply_round_trips(void **state)
{
    uint8_t buf[8192], nonce[SEAL_NONCE_LEN] = { 4 }, keys[(REPLY_KEYS_MAX + 1) * CLUSTER_KEY_LEN], cluster[CLUSTER_LEN] = { 2 };
    struct signed_head head = { .len = 10, .body = { 1, 2 }, .sig = { 3 } };
    struct node_key key = key_of(1);
    struct bytes whole, one;
    struct reply r;
    (void)state;
    for (size_t i = 0; i < sizeof keys; i++)
        keys[i] = (uint8_t)(i / CLUSTER_KEY_LEN);
    struct wr w = wr_over(buf, sizeof buf);
    reply_hello_put(&w, nonce, cluster, 3, 4, "core-1", key.pub);
    whole = short_prefixes(&w, "hello", &r);
    assert_true(r.type == MESSAGE_HELLO && r.first == 3 && r.last == 4 && bytes_equal(r.text, bytes_of_text("core-1")));
    assert_true(memcmp(r.nonce, nonce, NONCE_LEN) == 0 && memcmp(r.pub, key.pub, 32) == 0 && memcmp(r.cluster, cluster, CLUSTER_LEN) == 0);
    bytes_free(whole);
    w = wr_over(buf, sizeof buf);
    reply_error_put(&w, REPLY_LATER, "soon", 1234);
    whole = short_prefixes(&w, "error", &r);
    assert_true(r.type == MESSAGE_ERROR && r.code == REPLY_LATER && r.wait_ms == 1234 && bytes_equal(r.text, bytes_of_text("soon")));
    bytes_free(whole);
    w = wr_over(buf, sizeof buf);
    reply_manifest_put(&w, &head, 100, 60, bytes_of(keys, 40));
    whole = short_prefixes(&w, "manifest", &r);
    assert_true(r.type == MESSAGE_MANIFEST && r.has_head && r.head.len == 10 && r.total == 100 && r.offset == 60
                && bytes_equal(r.bytes, bytes_of(keys, 40)));
    bytes_free(whole);
    w = wr_over(buf, sizeof buf);
    reply_chunk_put(&w, 2, 9, 5, bytes_of(keys, 300));
    whole = short_prefixes(&w, "chunk", &r);
    assert_true(r.type == MESSAGE_CHUNK && r.epoch == 2 && r.seq == 9 && r.offset == 5 && bytes_equal(r.bytes, bytes_of(keys, 300)));
    bytes_free(whole);
    for (size_t n = 0; n <= REPLY_KEYS_MAX; n += n < 3 ? 1 : REPLY_KEYS_MAX - 3) {
        w = wr_over(buf, sizeof buf);
        reply_keys_put(&w, keys, n);
        whole = short_prefixes(&w, "keys", &r);
        assert_true(r.type == MESSAGE_KEYS && r.left == n);
        for (size_t i = 0; i < n; i++)
            assert_true(reply_next(&r, &one) && bytes_equal(one, bytes_of(keys + i * CLUSTER_KEY_LEN, CLUSTER_KEY_LEN)));
        assert_false(reply_next(&r, &one));
        bytes_free(whole);
    }
    w = wr_over(buf, sizeof buf);           /* one too many */
    reply_keys_put(&w, keys, REPLY_KEYS_MAX + 1);
    assert_int_equal(reply_read(wr_done(&w), &r), ERR_BAD);
    w = wr_over(buf, sizeof buf);
    reply_sealed_put(&w, nonce, bytes_of(keys, 77));
    whole = short_prefixes(&w, "sealed", &r);
    assert_true(r.type == MESSAGE_SEALED && memcmp(r.seal_nonce, nonce, sizeof nonce) == 0 && bytes_equal(r.bytes, bytes_of(keys, 77)));
    bytes_free(whole);
}

#define ZERO16 "c410 00000000000000000000000000000000"
#define ZERO32 "c420 0000000000000000000000000000000000000000000000000000000000000000"
#define ZERO24 "c418 000000000000000000000000000000000000000000000000"
static const struct { const char *why, *hex; enum err want; } replies[] = {
    { "hello",                          "97 01 " ZERO16 ZERO16 " 01 02 a163 " ZERO32,       OK },
    { "hello of a newer node",          "98 01 " ZERO16 ZERO16 " 01 02 a163 " ZERO32 " c2", OK },
    { "hello of an older node",         "96 01 " ZERO16 ZERO16 " 01 02 a163",               ERR_SHORT },
    { "hello, key of 16 bytes",         "97 01 " ZERO16 ZERO16 " 01 02 a163 " ZERO16,       ERR_BAD },
    { "error",                          "94 00 05 a26e6f 00",                               OK },
    { "error without a time",           "93 00 05 a26e6f",                                  ERR_SHORT },
    { "manifest",                       "96 03 c40101 " SIG " 02 00 c4020000",              OK },
    { "manifest without a head",        "96 03 c0 c0 02 00 c4020000",                       ERR_BAD },
    { "manifest, an empty head",        "96 03 c400 " SIG " 02 00 c4020000",                ERR_BAD },
    { "manifest, piece over its end",   "96 03 c40101 " SIG " 02 01 c4020000",              ERR_BAD },
    { "manifest, piece from behind it", "96 03 c40101 " SIG " 02 03 c40100",                ERR_BAD },
    { "manifest, offset near 2^64",     "96 03 c40101 " SIG " 02 cfffffffffffffffff c40100", ERR_BAD },
    { "manifest, an empty piece",       "96 03 c40101 " SIG " 02 00 c400",                  ERR_BAD },
    { "chunk",                          "95 04 01 05 00 c40100",                            OK },
    { "chunk without bytes",            "94 04 01 05 00",                                   ERR_SHORT },
    { "chunk, text",                    "95 04 01 05 00 a100",                              ERR_BAD },
    { "keys, none",                     "92 05 90",                                         OK },
    { "keys, one",                      "92 05 91 " ZERO32,                                 OK },
    { "keys, one of 16 bytes",          "92 05 91 " ZERO16,                                 ERR_BAD },
    { "keys, 2^32 of them",             "92 05 ddffffffff",                                 ERR_SHORT },
    { "keys, fewer than said",          "92 05 92 " ZERO32,                                 ERR_SHORT },
    { "sealed",                         "93 10 " ZERO24 " c40100",                          OK },
    { "sealed, nonce of 16",            "93 10 " ZERO16 " c40100",                          ERR_BAD },
    { "sealed without a box",           "92 10 " ZERO24,                                    ERR_SHORT },
    { "number 6",                       "91 06",                                            ERR_FORMAT },
    { "number 17",                      "91 11",                                            ERR_FORMAT },
};
static void reply_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(replies); i++) {
        struct bytes in = heap_from_hex(replies[i].hex);
        struct reply r;
        enum err got = reply_read(in, &r);
        if (got != replies[i].want)
            fail_msg("%s: got '%s', want '%s'", replies[i].why, err_text(got), err_text(replies[i].want));
        bytes_free(in);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_round_trips), cmocka_unit_test(request_rows), cmocka_unit_test(reply_round_trips), cmocka_unit_test(reply_rows),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
