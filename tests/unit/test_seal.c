#include "tests/util.h"

#include "replicator/seal.h"
#include "tests/unit/seal_keys.h"

static const uint8_t nonce[NONCE_LEN] = "a nonce of 16 by";

/* A signed request as it travels; *hash: what its reply must name. */
static struct bytes signed_request(const struct node_key *key, const char *node, const char *inner, uint64_t number, uint8_t *hash)
{
    static uint8_t buf[REQUEST_MAX];
    struct wr w = wr_over(buf, sizeof buf);
    seal_request(&w, key, bytes_of_text(node), nonce, number, bytes_of_text(inner), hash);
    assert_false(w.full);
    return wr_done(&w);
}

static void requests_are_whose_they_say(void **state)
{
    struct node_key edge = key_of(1), other = key_of(2);
    uint8_t hash[SEAL_HASH_LEN], again[SEAL_HASH_LEN];
    struct request q;
    (void)state;
    struct bytes msg = signed_request(&edge, "edge-1", "what is asked", 7, hash);
    assert_int_equal(request_read(msg, &q), OK);
    assert_true(q.type == MESSAGE_SIGNED && q.number == 7 && bytes_equal(q.node, bytes_of_text("edge-1")));
    assert_true(bytes_equal(q.inner, bytes_of_text("what is asked")));
    assert_int_equal(seal_verify(&q, edge.pub), OK);
    assert_int_equal(seal_verify(&q, other.pub), ERR_SIGNATURE);
    seal_hash(msg, again);
    assert_memory_equal(hash, again, sizeof hash);
    struct request changed[5] = { q, q, q, q, q };
    changed[0].number++;
    changed[1].nonce[3] ^= 1;
    changed[2].node = bytes_of_text("edge-2");
    changed[3].inner = bytes_of_text("what is askee");
    changed[4].sig[10] ^= 4;
    for (size_t i = 0; i < ROWS(changed); i++)
        if (seal_verify(&changed[i], edge.pub) != ERR_SIGNATURE)
            fail_msg("row %zu: still fits", i);
    changed[0] = q;                     /* the border between name and request is signed too */
    changed[0].node = bytes_of_text("edge-1w");
    changed[0].inner = bytes_of_text("hat is asked");
    assert_int_equal(seal_verify(&changed[0], edge.pub), ERR_SIGNATURE);
}

/* Every flipped bit of a signed request is refused: by its shape, or by the signature, or it names another node or nonce. */
static void flipped_bits_of_requests(void **state)
{
    struct node_key edge = key_of(1);
    uint8_t hash[SEAL_HASH_LEN], copy[512];
    struct request q;
    (void)state;
    struct bytes msg = signed_request(&edge, "edge-1", "x", 1, hash);
    assert_true(msg.len <= sizeof copy);
    for (size_t bit = 0; bit < 8 * msg.len; bit++) {
        memcpy(copy, msg.ptr, msg.len);
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (request_read(bytes_of(copy, msg.len), &q) == OK && q.type == MESSAGE_SIGNED && seal_verify(&q, edge.pub) == OK)
            fail_msg("bit %zu of %zu", bit, 8 * msg.len);
    }
}

static void what_does_not_fit_is_not_written(void **state)
{
    struct node_key edge = key_of(1);
    uint8_t hash[SEAL_HASH_LEN], small[80];
    static char long_name[NODE_NAME_MAX + 2];
    memset(long_name, 'n', NODE_NAME_MAX + 1);
    struct wr w = wr_over(small, sizeof small);
    (void)state;
    seal_request(&w, &edge, bytes_of_text("edge-1"), nonce, 1, bytes_of_text("x"), hash);
    assert_true(w.full);
    uint8_t large[REQUEST_MAX];
    w = wr_over(large, sizeof large);
    seal_request(&w, &edge, bytes_of_text(long_name), nonce, 1, bytes_of_text("x"), hash);
    assert_true(w.full);
}

static struct bytes sealed_reply(const struct seal_key *k, const uint8_t *hash, struct bytes reply)
{
    static uint8_t buf[4096];
    struct wr w = wr_over(buf, sizeof buf);
    assert_int_equal(seal_reply(&w, k, hash, reply), OK);
    assert_true(w.len <= reply.len + SEAL_EXTRA);
    return wr_done(&w);
}

static void replies_are_for_one_node_and_one_request(void **state)
{
    struct node_key core = key_of(3), edge = key_of(1), thief = key_of(2);
    struct seal_key at_core, at_edge, at_thief;
    uint8_t hash[SEAL_HASH_LEN] = "hash of this re", other[SEAL_HASH_LEN] = "hash of another", out[4096];
    struct bytes plain;
    struct reply r;
    (void)state;
    assert_int_equal(seal_key_make(&at_core, &core, edge.pub), OK);
    assert_int_equal(seal_key_make(&at_edge, &edge, core.pub), OK);
    assert_int_equal(seal_key_make(&at_thief, &thief, core.pub), OK);
    assert_memory_equal(&at_core, &at_edge, sizeof at_core);
    struct bytes want = bytes_of_text("the reply itself"), msg = sealed_reply(&at_core, hash, want);
    assert_int_equal(reply_read(msg, &r), OK);
    assert_int_equal(r.type, MESSAGE_SEALED);
    assert_int_equal(seal_open_reply(&r, &at_edge, hash, out, sizeof out, &plain), OK);
    assert_true(bytes_equal(plain, want));
    assert_int_equal(seal_open_reply(&r, &at_thief, hash, out, sizeof out, &plain), ERR_SIGNATURE);
    assert_int_equal(seal_open_reply(&r, &at_edge, other, out, sizeof out, &plain), ERR_SIGNATURE);
    assert_int_equal(seal_open_reply(&r, &at_edge, hash, out, 8, &plain), ERR_SIGNATURE);
    for (size_t i = 0; i + want.len <= msg.len; i++)
        assert_memory_not_equal(msg.ptr + i, want.ptr, want.len);
    struct bytes first = heap_copy(msg.ptr, msg.len);
    msg = sealed_reply(&at_core, hash, want);           /* the same again looks otherwise */
    assert_memory_not_equal(msg.ptr, first.ptr, msg.len);
    bytes_free(first);
    plain = sealed_reply(&at_core, hash, (struct bytes){ 0 });
    assert_int_equal(reply_read(plain, &r), OK);
    assert_int_equal(seal_open_reply(&r, &at_edge, hash, out, sizeof out, &plain), OK);
    assert_int_equal(plain.len, 0);
}

static void flipped_bits_of_replies(void **state)
{
    struct node_key core = key_of(3), edge = key_of(1);
    struct seal_key k;
    uint8_t hash[SEAL_HASH_LEN] = "hash of this re", out[4096], copy[512];
    struct bytes plain;
    struct reply r;
    (void)state;
    assert_int_equal(seal_key_make(&k, &core, edge.pub), OK);
    struct bytes msg = sealed_reply(&k, hash, bytes_of_text("reply"));
    assert_true(msg.len <= sizeof copy);
    for (size_t bit = 0; bit < 8 * msg.len; bit++) {
        memcpy(copy, msg.ptr, msg.len);
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (reply_read(bytes_of(copy, msg.len), &r) == OK && r.type == MESSAGE_SEALED
            && seal_open_reply(&r, &k, hash, out, sizeof out, &plain) == OK)
            fail_msg("bit %zu of %zu", bit, 8 * msg.len);
    }
    for (size_t n = 0; n < msg.len; n++)
        assert_int_equal(reply_read(bytes_of(msg.ptr, n), &r), ERR_SHORT);
    r = (struct reply){ .type = MESSAGE_SEALED, .bytes = bytes_of(copy, 20) };      /* a box too short for tag and hash */
    assert_int_equal(seal_open_reply(&r, &k, hash, out, sizeof out, &plain), ERR_SIGNATURE);
}

/* Points that agree on a key that everybody knows. */
static void bad_points_agree_on_nothing(void **state)
{
    static const char *const points[] = {
        "0100000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "0200000000000000000000000000000000000000000000000000000000000000",
    };
    struct node_key ours = key_of(1);
    struct seal_key k;
    (void)state;
    for (size_t i = 0; i < ROWS(points); i++) {
        struct bytes point = heap_from_hex(points[i]);
        if (seal_key_make(&k, &ours, point.ptr) != ERR_BAD)
            fail_msg("point %zu is taken", i);
        bytes_free(point);
    }
}

/* FORMAT.md, section 7. */
static void example_of_the_format(void **state)
{
    static const char want[] = "96 10 a6656467652d31 c410 000102030405060708090a0b0c0d0e0f 01 c409 94020129ce00180000 c440 "
        "5435622761a6889f1bb3b9292e48db9f5cf81e087ededced88977bd6361a0b3074b673fe2be33388b2e7fc4022898b27d1a8fdc292ac13d77baef53fffd1b90b";
    struct node_key edge = key_of(1), core = key_of(2);
    struct bytes message = heap_from_hex(want), inner = heap_from_hex("94020129ce00180000"),
                 hash_want = heap_from_hex("e45c11256d51f62fc87341ae2d261472"), number = heap_from_hex("000102030405060708090a0b0c0d0e0f"),
                 shared = heap_from_hex("13258dcfb05c10ba16a2005936b2d4cacb01ee3ef83a0887abd63e4a0b80b3f4");
    uint8_t buf[512], hash[SEAL_HASH_LEN];
    struct seal_key k;
    struct wr w = wr_over(buf, sizeof buf);
    (void)state;
    seal_request(&w, &edge, bytes_of_text("edge-1"), number.ptr, 1, inner, hash);
    assert_true(bytes_equal(wr_done(&w), message));
    assert_memory_equal(hash, hash_want.ptr, sizeof hash);
    assert_int_equal(seal_key_make(&k, &edge, core.pub), OK);
    assert_memory_equal(k.shared, shared.ptr, sizeof k.shared);
    bytes_free(message);
    bytes_free(inner);
    bytes_free(hash_want);
    bytes_free(number);
    bytes_free(shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_whose_they_say), cmocka_unit_test(flipped_bits_of_requests),
        cmocka_unit_test(what_does_not_fit_is_not_written), cmocka_unit_test(replies_are_for_one_node_and_one_request),
        cmocka_unit_test(flipped_bits_of_replies), cmocka_unit_test(bad_points_agree_on_nothing),
        cmocka_unit_test(example_of_the_format),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
