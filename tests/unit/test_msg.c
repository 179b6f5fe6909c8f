/* MessagePack: what is written is what msgpack-c's own unpacker reads (here, as oracle, and nowhere else); each value has one
 * form that is read; every proper prefix is ERR_SHORT; hostile counts cost nothing. */
#include "tests/util.h"

#include "base/msg.h"

#include <msgpack/unpack.h>

/* --- against msgpack-c ------------------------------------------------------------------------------------------------- */
static void put_random(struct rnd *r, struct wr *w, unsigned depth)
{
    uint8_t buf[300];
    unsigned kind = rnd_below(r, depth > 3 ? 5 : 7), n = rnd_below(r, 6) == 0 ? rnd_below(r, 70) : rnd_below(r, 4);
    size_t len = rnd_below(r, 4) == 0 ? rnd_below(r, sizeof buf) : rnd_below(r, 40);
    for (size_t i = 0; i < len; i++)
        buf[i] = (uint8_t)('a' + rnd_below(r, 26));
    switch (kind) {
    case 0: msg_put_nil(w); break;
    case 1: msg_put_bool(w, rnd_below(r, 2) == 1); break;
    case 2: msg_put_uint(w, rnd_u64(r) >> rnd_below(r, 64)); break;
    case 3: msg_put_bin(w, bytes_of(buf, len)); break;
    case 4: msg_put_text(w, bytes_of(buf, len)); break;
    case 5:
        msg_put_array(w, n);
        for (unsigned i = 0; i < n; i++)
            put_random(r, w, depth + 1);
        break;
    default:
        msg_put_map(w, n);
        for (unsigned i = 0; i < 2 * n; i++)
            put_random(r, w, depth + 1);
    }
}

static void same_as(struct rd *r, const msgpack_object *o)
{
    struct bytes b;
    switch (o->type) {
    case MSGPACK_OBJECT_NIL:
        assert_int_equal(msg_peek(r), MSG_NIL);
        assert_true(msg_nil(r));
        break;
    case MSGPACK_OBJECT_BOOLEAN:
        assert_int_equal(msg_peek(r), MSG_BOOL);
        assert_int_equal(msg_bool(r), o->via.boolean);
        break;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        assert_int_equal(msg_peek(r), MSG_UINT);
        assert_true(msg_uint(r) == o->via.u64);
        break;
    case MSGPACK_OBJECT_BIN:
        assert_int_equal(msg_peek(r), MSG_BIN);
        b = msg_bin(r);
        assert_true(bytes_equal(b, bytes_of(o->via.bin.ptr, o->via.bin.size)));
        break;
    case MSGPACK_OBJECT_STR:
        assert_int_equal(msg_peek(r), MSG_TEXT);
        b = msg_text(r);
        assert_true(bytes_equal(b, bytes_of(o->via.str.ptr, o->via.str.size)));
        break;
    case MSGPACK_OBJECT_ARRAY:
        assert_int_equal(msg_peek(r), MSG_ARRAY);
        assert_int_equal(msg_array(r), o->via.array.size);
        for (uint32_t i = 0; i < o->via.array.size; i++)
            same_as(r, &o->via.array.ptr[i]);
        break;
    case MSGPACK_OBJECT_MAP:
        assert_int_equal(msg_peek(r), MSG_MAP);
        assert_int_equal(msg_map(r), o->via.map.size);
        for (uint32_t i = 0; i < o->via.map.size; i++) {
            same_as(r, &o->via.map.ptr[i].key);
            same_as(r, &o->via.map.ptr[i].val);
        }
        break;
    default:
        fail_msg("a type that was not written: %d", (int)o->type);
    }
    assert_false(r->bad);
}

static void as_the_oracle_reads(void **state)
{
    static uint8_t buf[1 << 20];
    uint64_t first = seed_from_env(1), last = getenv("AZOTH_SEED") != NULL ? first : 400;
    (void)state;
    for (uint64_t seed = first; seed <= last; seed++) {
        struct rnd r = rnd_seed(seed);
        struct wr w = wr_over(buf, sizeof buf);
        msgpack_unpacked un;
        size_t used = 0;
        put_random(&r, &w, 1);
        if (w.full)
            continue;
        struct bytes value = heap_copy(buf, w.len);
        msgpack_unpacked_init(&un);
        if (msgpack_unpack_next(&un, (const char *)value.ptr, value.len, &used) != MSGPACK_UNPACK_SUCCESS || used != value.len)
            fail_msg("seed %llu: the oracle does not read it", (unsigned long long)seed);
        struct rd rd = rd_over(value), skipped = rd_over(value);
        same_as(&rd, &un.data);
        assert_true(rd_done(&rd));
        msg_skip(&skipped);
        assert_true(rd_done(&skipped));
        for (size_t len = 0; len < value.len; len += 1 + value.len / 400) {
            struct bytes part = heap_copy(value.ptr, len);
            struct rd cut = rd_over(part);
            msg_skip(&cut);
            if (rd_err(&cut) != ERR_SHORT)
                fail_msg("seed %llu: %zu of %zu bytes: '%s'", (unsigned long long)seed, len, value.len, err_text(rd_err(&cut)));
            bytes_free(part);
        }
        msgpack_unpacked_destroy(&un);
        bytes_free(value);
    }
}

/* --- one form each ------------------------------------------------------------------------------------------------------ */
enum as { UINT, BIN, TEXT, ARRAY, MAP, BOOL };

static enum err read_as(enum as as, struct bytes in, uint64_t *v)
{
    struct rd r = rd_over(in);
    switch (as) {
    case UINT: *v = msg_uint(&r); break;
    case BIN: *v = msg_bin(&r).len; break;
    case TEXT: *v = msg_text(&r).len; break;
    case ARRAY: *v = msg_array(&r); return rd_err(&r);       /* the elements are still to come */
    case MAP: *v = msg_map(&r); return rd_err(&r);
    default: *v = msg_bool(&r);
    }
    return rd_err(&r) != OK ? rd_err(&r) : rd_done(&r) ? OK : ERR_NOTNOW;
}

static void forms(void **state)
{
    static const struct { const char *why; enum as as; const char *hex; enum err want; uint64_t v; } rows[] = {
        { "0",                       UINT, "00", OK, 0 },
        { "127",                     UINT, "7f", OK, 127 },
        { "128",                     UINT, "cc80", OK, 128 },
        { "255",                     UINT, "ccff", OK, 255 },
        { "256",                     UINT, "cd0100", OK, 256 },
        { "65535",                   UINT, "cdffff", OK, 65535 },
        { "65536",                   UINT, "ce00010000", OK, 65536 },
        { "2^32-1",                  UINT, "ceffffffff", OK, 0xffffffff },
        { "2^32",                    UINT, "cf0000000100000000", OK, 0x100000000 },
        { "2^64-1",                  UINT, "cfffffffffffffffff", OK, UINT64_MAX },
        { "127 in two bytes",        UINT, "cc7f", ERR_BAD, 0 },
        { "255 in three",            UINT, "cd00ff", ERR_BAD, 0 },
        { "65535 in five",           UINT, "ce0000ffff", ERR_BAD, 0 },
        { "2^32-1 in nine",          UINT, "cf00000000ffffffff", ERR_BAD, 0 },
        { "signed 1",                UINT, "d001", ERR_BAD, 0 },
        { "-1",                      UINT, "ff", ERR_BAD, 0 },
        { "a float",                 UINT, "ca3f800000", ERR_BAD, 0 },
        { "nil",                     UINT, "c0", ERR_BAD, 0 },
        { "nothing",                 UINT, "", ERR_SHORT, 0 },
        { "cut",                     UINT, "cdff", ERR_SHORT, 0 },
        { "empty",                   BIN, "c400", OK, 0 },
        { "one byte",                BIN, "c40161", OK, 1 },
        { "one byte, length of two", BIN, "c5000161", ERR_BAD, 0 },
        { "one byte, length of four", BIN, "c60000000161", ERR_BAD, 0 },
        { "text",                    BIN, "a161", ERR_BAD, 0 },
        { "cut",                     BIN, "c402 61", ERR_SHORT, 0 },
        { "no length",               BIN, "c4", ERR_SHORT, 0 },
        { "4 GiB that are not there", BIN, "c6ffffffff", ERR_SHORT, 0 },
        { "nothing",                 BIN, "", ERR_SHORT, 0 },
        { "empty",                   TEXT, "a0", OK, 0 },
        { "31 bytes",                TEXT, "bf 61616161616161616161616161616161616161616161616161616161616161", OK, 31 },
        { "31 bytes, longer form",   TEXT, "d91f 61616161616161616161616161616161616161616161616161616161616161", ERR_BAD, 0 },
        { "32 bytes",                TEXT, "d920 6161616161616161616161616161616161616161616161616161616161616161", OK, 32 },
        { "bin",                     TEXT, "c40161", ERR_BAD, 0 },
        { "cut",                     TEXT, "a261", ERR_SHORT, 0 },
        { "empty",                   ARRAY, "90", OK, 0 },
        { "of two",                  ARRAY, "92 01 02", OK, 2 },
        { "of two, longer form",     ARRAY, "dc0002 01 02", ERR_BAD, 0 },
        { "of 16",                   ARRAY, "dc0010 01020304050607080910111213141516", OK, 16 },
        { "of 16, longer form",      ARRAY, "dd00000010 01020304050607080910111213141516", ERR_BAD, 0 },
        { "of more than is there",   ARRAY, "93 01 02", ERR_SHORT, 0 },
        { "of 4 G that are not there", ARRAY, "ddffffffff", ERR_SHORT, 0 },
        { "a map",                   ARRAY, "80", ERR_BAD, 0 },
        { "empty",                   MAP, "80", OK, 0 },
        { "of one",                  MAP, "81 01 02", OK, 1 },
        { "of one, half there",      MAP, "81 01", ERR_SHORT, 0 },
        { "of one, longer form",     MAP, "de0001 01 02", ERR_BAD, 0 },
        { "of 4 G that are not there", MAP, "dfffffffff", ERR_SHORT, 0 },
        { "an array",                MAP, "90", ERR_BAD, 0 },
        { "false",                   BOOL, "c2", OK, 0 },
        { "true",                    BOOL, "c3", OK, 1 },
        { "1",                       BOOL, "01", ERR_BAD, 0 },
        { "nothing",                 BOOL, "", ERR_SHORT, 0 },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct bytes in = heap_from_hex(rows[i].hex);
        uint64_t v = 99;
        enum err got = read_as(rows[i].as, in, &v);
        if (got != rows[i].want || v != rows[i].v)
            fail_msg("%d, %s: '%s', %llu", (int)rows[i].as, rows[i].why, err_text(got), (unsigned long long)v);
        bytes_free(in);
    }
}

/* Lengths around every border between two forms: written, then read, and by the oracle's count of bytes. */
static void borders(void **state)
{
    static const uint32_t lens[] = { 0, 1, 31, 32, 255, 256, 65535, 65536 };
    static uint8_t zeros[65536], buf[70000];
    (void)state;
    for (size_t i = 0; i < ROWS(lens); i++) {
        size_t n = lens[i];
        struct wr w = wr_over(buf, sizeof buf);
        msg_put_bin(&w, bytes_of(zeros, n));
        assert_int_equal(w.len, n + (n < 256 ? 2 : n < 65536 ? 3 : 5));
        struct rd r = rd_over(wr_done(&w));
        assert_int_equal(msg_bin(&r).len, n);
        assert_true(rd_done(&r));
        w = wr_over(buf, sizeof buf);
        msg_put_text(&w, bytes_of(zeros, n));
        assert_int_equal(w.len, n + (n < 32 ? 1 : n < 256 ? 2 : n < 65536 ? 3 : 5));
        r = rd_over(wr_done(&w));
        assert_int_equal(msg_text(&r).len, n);
        assert_true(rd_done(&r));
        w = wr_over(buf, sizeof buf);
        msg_put_array(&w, (uint32_t)n);
        assert_int_equal(w.len, n < 16 ? 1 : n < 65536 ? 3 : 5);
        if (n < 65536) {
            memset(buf + w.len, 0, n);
            r = rd_over(bytes_of(buf, w.len + n));
            assert_int_equal(msg_array(&r), n);
            msg_skip_rest(&r, (uint32_t)n, 0);
            assert_true(rd_done(&r));
        }
    }
}

/* --- skipping, peeking -------------------------------------------------------------------------------------------------- */
static void skips_all_kinds(void **state)
{
    static const struct { const char *hex; enum msg_kind kind; enum err want; } rows[] = {
        { "00", MSG_UINT, OK }, { "ccff", MSG_UINT, OK }, { "e0", MSG_INT, OK }, { "d0ff", MSG_INT, OK }, { "d1ffff", MSG_INT, OK },
        { "d2ffffffff", MSG_INT, OK }, { "d3ffffffffffffffff", MSG_INT, OK }, { "ca00000000", MSG_FLOAT, OK },
        { "cb0000000000000000", MSG_FLOAT, OK }, { "c0", MSG_NIL, OK }, { "c2", MSG_BOOL, OK }, { "c40161", MSG_BIN, OK },
        { "a161", MSG_TEXT, OK }, { "91 c0", MSG_ARRAY, OK }, { "81 01 92 02 03", MSG_MAP, OK }, { "d401 61", MSG_EXT, OK },
        { "d501 6161", MSG_EXT, OK }, { "d601 61616161", MSG_EXT, OK }, { "d701 6161616161616161", MSG_EXT, OK },
        { "d801 61616161616161616161616161616161", MSG_EXT, OK }, { "c70201 6161", MSG_EXT, OK }, { "c8000101 61", MSG_EXT, OK },
        { "c90000000101 61", MSG_EXT, OK }, { "c1", MSG_NONE, ERR_BAD }, { "", MSG_NONE, ERR_SHORT }, { "d801 61", MSG_EXT, ERR_SHORT },
        { "c9ffffffff01 61", MSG_EXT, ERR_SHORT }, { "ca0000", MSG_FLOAT, ERR_SHORT },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct bytes in = heap_from_hex(rows[i].hex);
        struct rd r = rd_over(in);
        assert_int_equal(msg_peek(&r), rows[i].kind);
        msg_skip(&r);
        if (rd_err(&r) != rows[i].want || (rows[i].want == OK && !rd_done(&r)))
            fail_msg("%s: '%s'", rows[i].hex, err_text(rd_err(&r)));
        assert_int_equal(msg_peek(&r), MSG_NONE);
        bytes_free(in);
    }
}

/* What nests deeper than we follow is refused, not followed; a count that lies is not believed. */
static void hostile(void **state)
{
    static uint8_t nested[100000];
    (void)state;
    memset(nested, 0x91, sizeof nested);
    struct rd r = rd_over(bytes_of(nested, sizeof nested));
    msg_skip(&r);
    assert_int_equal(rd_err(&r), ERR_BAD);
    for (unsigned deep = 1; deep < 20; deep++) {
        nested[deep - 1] = 0xc0;
        r = rd_over(bytes_of(nested, deep));
        msg_skip(&r);
        assert_int_equal(rd_err(&r), deep <= MSG_DEPTH_MAX ? OK : ERR_BAD);
        nested[deep - 1] = 0x91;
    }
    struct bytes five = heap_from_hex("dd ffffffff");
    r = rd_over(five);
    msg_skip(&r);
    assert_int_equal(rd_err(&r), ERR_SHORT);
    bytes_free(five);
}

/* A nil that is not there is not read; a full writer stays full. */
static void edges(void **state)
{
    (void)state;
    struct rd r = rd_over(bytes_of("\001", 1));
    assert_false(msg_nil(&r));
    assert_int_equal(msg_uint(&r), 1);
    assert_false(msg_nil(&r));
    assert_false(r.bad);
    uint8_t small[3];
    struct wr w = wr_over(small, sizeof small);
    msg_put_uint(&w, 70000);
    assert_true(w.full);
    msg_put_nil(&w);
    assert_true(w.full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_the_oracle_reads), cmocka_unit_test(forms), cmocka_unit_test(borders), cmocka_unit_test(skips_all_kinds),
        cmocka_unit_test(hostile), cmocka_unit_test(edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
