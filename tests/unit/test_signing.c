/* Records that are signed beside the work come out in order, and as if they had been signed at once. */
#include "replicator/signing.h"
#include "tests/util.h"

#include <sodium.h>

#define RECORDS_MAX 400

struct out { struct bytes want[RECORDS_MAX]; uint64_t n, fail_at; };

static enum err take(void *arg, uint64_t seq, struct bytes record, struct fault *fault)
{
    struct out *o = arg;
    if (seq == o->fail_at)
        return fault_set(fault, ERR_FULL, "no room");
    assert_int_equal(seq, o->n + 1);
    if (!bytes_equal(record, o->want[o->n]))
        fail_msg("record %llu is not what signing at once makes", (unsigned long long)seq);
    o->n++;
    return OK;
}

/* Record `seq` around a body of len bytes, signed at once (kept in o->want) and blank (out). */
static struct bytes make(struct out *o, uint64_t seq, size_t len, const struct node_key *key, struct record_blanks *blanks)
{
    uint8_t chain[CHAIN_LEN], *body = malloc(len + 1);
    struct head h = { .epoch = 1, .seq = seq, .cohorts_n = 1, .cohorts[0] = { .name = "all", .released = seq } };
    struct signed_head sh;
    size_t cap = len + 2000;
    struct wr blank = wr_over(malloc(cap), cap), full = wr_over(malloc(cap), cap);
    memset(body, (int)seq, len);
    memset(chain, (int)(seq * 3), sizeof chain);
    bool last = seq % 5 != 0;                   /* the others are parts that more follow, without a head */
    head_put(&sh, &h);
    record_put_blank(&blank, bytes_of(body, len), chain, last ? &sh : NULL, blanks);
    head_sign(&sh, &h, key);
    record_put(&full, bytes_of(body, len), chain, last ? &sh : NULL, key);
    assert_false(blank.full || full.full);
    assert_int_equal(blank.len, full.len);
    o->want[seq - 1] = heap_copy(full.buf, full.len);
    struct bytes got = heap_copy(blank.buf, blank.len);
    free(blank.buf);
    free(full.buf);
    free(body);
    return got;
}

static void same_as_at_once(void **state)
{
    static const struct { const char *why; unsigned threads; uint64_t n; size_t len; uint64_t fail_at; enum err want; } rows[] = {
        { "one, alone",                     4, 1,   100,    0,  OK },
        { "none",                           4, 0,   100,    0,  OK },
        { "a batch to the brim",            2, 64,  100,    0,  OK },
        { "several batches",                4, 400, 300,    0,  OK },
        { "several batches, one thread",    1, 200, 300,    0,  OK },
        { "large ones, a batch each",       3, 6,   900000, 0,  OK },
        { "the log is full in the middle",  4, 400, 300,    70, ERR_FULL },
        { "the log is full at the end",     4, 30,  300,    30, ERR_FULL },
    };
    struct node_key key;
    (void)state;
    crypto_sign_keypair(key.pub, key.secret);
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct out *o = calloc(1, sizeof *o);
        struct crew *crew;
        struct signing *s;
        struct fault fault = { .text = "" };
        enum err err = OK;
        o->fail_at = rows[i].fail_at;
        assert_int_equal(crew_open(&crew, rows[i].threads), OK);
        assert_int_equal(signing_open(&s, crew, &key, take, o), OK);
        for (uint64_t seq = 1; seq <= rows[i].n && err == OK; seq++) {
            struct record_blanks blanks;
            struct bytes record = make(o, seq, rows[i].len, &key, &blanks);
            err = signing_add(s, seq, record, &blanks, &fault);
            bytes_free(record);
        }
        if (err == OK)
            err = signing_end(s, &fault);
        if (err != rows[i].want || o->n != (err == OK ? rows[i].n : rows[i].fail_at - 1))
            fail_msg("%s: %s after %llu", rows[i].why, err_text(err), (unsigned long long)o->n);
        signing_drop(s);
        assert_int_equal(signing_end(s, &fault), OK);       /* nothing is left */
        signing_close(s);
        crew_close(crew);
        for (size_t k = 0; k < RECORDS_MAX; k++)
            bytes_free(o->want[k]);
        free(o);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(same_as_at_once) };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
