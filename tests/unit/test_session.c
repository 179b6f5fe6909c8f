#include "tests/util.h"

#include <sys/stat.h>

#include "base/file.h"
#include "base/msg.h"
#include "replicator/gate.h"
#include "replicator/keyring.h"
#include "replicator/session.h"
#include "tests/unit/replicator_dir.h"
#include "tests/unit/seal_keys.h"

/* An edge's session and a server's gate, with nothing between them but this file. */
struct bed {
    char dir[256];
    struct node_key server, edge;
    struct nodes *nodes;
    struct gate *gate;
    struct session *session;
    uint64_t now;
    uint8_t plain[4096], sealed[8192];
    enum gate_verdict verdict;
    struct gate_asked asked;
    uint8_t keys[2 * CLUSTER_KEY_LEN];          /* what `keys` gives */
    size_t keys_n;
};

static void list_node(struct bed *b, const char *name, const struct node_key *key)
{
    char path[600], file[300], line[80];
    snprintf(file, sizeof file, "%s.pub", name);
    assert_int_equal(file_path(path, sizeof path, b->dir, file), OK);
    assert_int_equal(file_replace(path, bytes_of_text(node_pub_text(line, sizeof line, key->pub)), 0644, NULL), OK);
}

static void bed_open(struct bed *b)
{
    memset(b, 0, sizeof *b);
    b->now = 1000;
    b->server = key_of(1);
    b->edge = key_of(2);
    dir_make(b->dir, sizeof b->dir, "session");
    list_node(b, "edge-1", &b->edge);
    assert_int_equal(nodes_open(&b->nodes, b->dir, NULL), OK);
    assert_int_equal(gate_open(&b->gate, &b->server, b->nodes, b->now), OK);
    assert_int_equal(session_open(&b->session, &b->edge, "edge-1"), OK);
}
static void bed_close(struct bed *b)
{
    session_close(b->session);
    gate_close(b->gate);
    nodes_close(b->nodes);
    dir_remove(b->dir);
}

static struct bytes request_bytes(struct request q)
{
    static uint8_t buf[512];
    struct wr w = wr_over(buf, sizeof buf);
    request_put(&w, &q);
    assert_false(w.full);
    return wr_done(&w);
}
static struct bytes records(uint64_t after) { return request_bytes((struct request){ .type = MESSAGE_RECORDS, .after = after, .max_bytes = 9 }); }
static struct bytes hello(void) { return request_bytes((struct request){ .type = MESSAGE_HELLO, .node = bytes_of_text("edge-1") }); }

/* What a server does about a message; len 0: it does not answer. */
static struct bytes serve(struct bed *b, struct bytes msg)
{
    struct wr w = wr_over(b->plain, sizeof b->plain), sealed = wr_over(b->sealed, sizeof b->sealed);
    static const uint8_t cluster[CLUSTER_LEN] = { 7 };
    b->verdict = gate_check(b->gate, msg, b->now, &b->asked, &w);
    switch (b->verdict) {
    case GATE_DROP:    return (struct bytes){ 0 };
    case GATE_REFUSED: return wr_done(&w);
    case GATE_HELLO:
        reply_hello_put(&w, gate_nonce(b->gate, b->now), cluster, 1, 5, "core-1", b->server.pub);
        return wr_done(&w);
    case GATE_PASSED:
        break;
    }
    if (b->asked.q.type == MESSAGE_KEYS)
        reply_keys_put(&w, b->keys, b->keys_n);
    else
        reply_records_put(&w, b->asked.q.after, 1, 5, NULL, 0);
    assert_int_equal(gate_seal(&b->asked, wr_done(&w), &sealed), OK);
    return wr_done(&sealed);
}

/* To and fro until there is something for the replica, or nothing more to send. */
static struct bytes talk(struct bed *b, struct bytes send)
{
    struct bytes plain = { 0 };
    for (int i = 0; send.len > 0 && plain.len == 0; i++) {
        struct bytes back = serve(b, send);
        if (i > 20)
            fail_msg("it goes to and fro without end");
        if (back.len == 0)
            return back;
        assert_int_equal(session_reply(b->session, back, b->now, &plain, &send), OK);
    }
    return plain;
}
static struct reply ask(struct bed *b, struct bytes request)
{
    struct bytes send, plain;
    struct reply r = { .type = 99 };
    session_ask(b->session, request, b->now, &send);
    plain = talk(b, send);
    if (plain.len > 0)
        assert_int_equal(reply_read(plain, &r), OK);
    return r;
}

static void asks_and_is_answered(void **state)
{
    struct bed b;
    (void)state;
    bed_open(&b);
    struct reply r = ask(&b, hello());
    assert_true(r.type == MESSAGE_HELLO && bytes_equal(r.text, bytes_of_text("core-1")));
    assert_string_equal(session_upstream(b.session), "core-1");
    r = ask(&b, records(3));
    assert_true(r.type == MESSAGE_RECORDS && r.after == 3);
    assert_true(b.verdict == GATE_PASSED && bytes_equal(b.asked.node, bytes_of_text("edge-1")));
    session_reset(b.session);
    assert_string_equal(session_upstream(b.session), "");
    r = ask(&b, records(4));            /* says hello by itself */
    assert_true(r.type == MESSAGE_RECORDS && r.after == 4);
    bed_close(&b);
}

static void refuses_who_is_not_listed(void **state)
{
    struct bed b;
    struct node_key other = key_of(9);
    struct nodes *now;
    (void)state;
    bed_open(&b);
    assert_int_equal(ask(&b, records(0)).type, MESSAGE_RECORDS);
    gate_nodes(b.gate, NULL);           /* nobody is listed any more */
    struct reply r = ask(&b, records(0));
    assert_true(r.type == MESSAGE_ERROR && r.code == REPLY_UNLISTED);
    list_node(&b, "edge-1", &other);    /* our name, with another key */
    assert_int_equal(nodes_open(&now, b.dir, NULL), OK);
    gate_nodes(b.gate, now);
    r = ask(&b, records(0));
    assert_int_equal(b.verdict, GATE_DROP);
    assert_int_equal(r.type, 99);
    gate_nodes(b.gate, b.nodes);        /* as before */
    assert_int_equal(ask(&b, records(0)).type, MESSAGE_RECORDS);
    nodes_close(now);
    bed_close(&b);
}

/* The nonce of the hour, the one before, and no older one; each time the session finds its way back by itself. */
static void nonces_live_for_two_hours(void **state)
{
    static const struct { uint64_t after_ms; bool old_is_good; } rows[] = {
        { 0, true }, { GATE_NONCE_MS - 1, true }, { GATE_NONCE_MS, true }, { 2 * GATE_NONCE_MS - 1, true },
        { 2 * GATE_NONCE_MS, false }, { 50 * GATE_NONCE_MS, false },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct bed b;
        struct bytes send;
        bed_open(&b);
        assert_int_equal(ask(&b, hello()).type, MESSAGE_HELLO);
        session_ask(b.session, records(1), b.now, &send);
        struct bytes old = heap_copy(send.ptr, send.len);
        b.now += rows[i].after_ms;
        (void)serve(&b, old);
        if ((b.verdict == GATE_PASSED) != rows[i].old_is_good)
            fail_msg("row %zu: verdict %d", i, b.verdict);
        struct reply r = ask(&b, records(2));
        if (r.type != MESSAGE_RECORDS || r.after != 2)
            fail_msg("row %zu: type %d", i, (int)r.type);
        bytes_free(old);
        bed_close(&b);
    }
}

/* A replayed request is answered again, and only its signer can open that; an old reply does not answer a new request. */
static void replays(void **state)
{
    struct bed b;
    struct bytes send, plain;
    struct session *thief;
    struct node_key other = key_of(9);
    (void)state;
    bed_open(&b);
    assert_int_equal(ask(&b, hello()).type, MESSAGE_HELLO);
    session_ask(b.session, records(1), b.now, &send);
    struct bytes request = heap_copy(send.ptr, send.len), back = serve(&b, request), first = heap_copy(back.ptr, back.len);
    assert_int_equal(session_reply(b.session, first, b.now, &plain, &send), OK);
    assert_true(plain.len > 0);
    back = serve(&b, request);
    assert_int_equal(b.verdict, GATE_PASSED);
    assert_int_equal(session_open(&thief, &other, "edge-1"), OK);
    session_ask(thief, hello(), b.now, &send);
    struct bytes greeting = serve(&b, send);
    assert_int_equal(session_reply(thief, greeting, b.now, &plain, &send), OK);
    session_ask(thief, records(1), b.now, &send);
    back = serve(&b, request);
    assert_int_equal(session_reply(thief, back, b.now, &plain, &send), ERR_SIGNATURE);
    assert_int_equal(plain.len, 0);
    session_ask(b.session, records(1), b.now, &send);
    assert_int_equal(session_reply(b.session, first, b.now, &plain, &send), ERR_SIGNATURE);     /* of the first time */
    assert_true(plain.len == 0 && send.len > 0);                                                /* hello, and once more */
    plain = talk(&b, send);
    assert_true(plain.len > 0);
    session_close(b.session);                                   /* the nonce outlives our restart */
    assert_int_equal(session_open(&b.session, &b.edge, "edge-1"), OK);
    assert_int_equal(ask(&b, hello()).type, MESSAGE_HELLO);
    session_ask(b.session, records(1), b.now, &send);
    assert_int_equal(session_reply(b.session, first, b.now, &plain, &send), ERR_SIGNATURE);
    assert_int_equal(plain.len, 0);
    session_close(thief);
    bytes_free(request);
    bytes_free(first);
    bed_close(&b);
}

/* What somebody on the way puts in the place of a reply. */
static void forged_replies(void **state)
{
    static const uint8_t zero[CLUSTER_LEN] = { 0 };
    (void)state;
    for (int kind = 0; kind < 7; kind++) {
        struct bed b;
        struct bytes send, plain;
        uint8_t buf[512], box[60] = { 7 }, keys[CLUSTER_KEY_LEN] = { 1 };
        struct node_key liar = key_of(66);
        struct wr w = wr_over(buf, sizeof buf);
        bed_open(&b);
        assert_int_equal(ask(&b, hello()).type, MESSAGE_HELLO);
        session_ask(b.session, records(1), b.now, &send);
        switch (kind) {
        case 0: reply_records_put(&w, 1, 1, 5, NULL, 0); break;                         /* not sealed */
        case 1: reply_keys_put(&w, keys, 1); break;
        case 2: reply_sealed_put(&w, (const uint8_t *)"24 bytes of nothing much", bytes_of(box, sizeof box)); break;
        case 3: reply_hello_put(&w, zero, zero, 1, 9, "liar", liar.pub); break;         /* hello, unasked */
        case 4: reply_chunk_put(&w, 1, 1, 0, bytes_of_text("chunk")); break;
        case 5: wr_put(&w, "garbage", 7); break;
        case 6: break;                                                                  /* empty */
        }
        for (int n = 0; n < 2; n++) {           /* the second time it is left to the replica to ask again */
            enum err err = session_reply(b.session, wr_done(&w), b.now, &plain, &send);
            if (err == OK || plain.len > 0)
                fail_msg("kind %d: %s, %zu bytes", kind, err_text(err), plain.len);
            if (n == 0) {
                struct bytes back = serve(&b, send);
                assert_int_equal(b.verdict, GATE_HELLO);
                assert_int_equal(session_reply(b.session, back, b.now, &plain, &send), OK);
                assert_true(send.len > 0);
            }
        }
        assert_int_equal(send.len, 0);
        struct reply r = ask(&b, records(2));
        if (r.type != MESSAGE_RECORDS || r.after != 2)
            fail_msg("kind %d: afterwards type %d", kind, (int)r.type);
        bed_close(&b);
    }
}

/* A stranger that tells another key in its hello gets requests, and can answer none of them. */
static void a_liar_at_hello(void **state)
{
    struct bed b;
    struct bytes send, plain;
    uint8_t buf[512], zero[32] = { 0 };
    struct wr w = wr_over(buf, sizeof buf);
    (void)state;
    bed_open(&b);
    session_ask(b.session, hello(), b.now, &send);
    reply_hello_put(&w, zero, zero, 1, 9, "liar", zero);        /* a key that is no point of use */
    assert_int_equal(session_reply(b.session, wr_done(&w), b.now, &plain, &send), ERR_BAD);
    struct node_key liar = key_of(66);
    w = wr_over(buf, sizeof buf);
    reply_hello_put(&w, zero, zero, 1, 9, "l\ni a\x7fr\xe4", liar.pub);
    session_ask(b.session, hello(), b.now, &send);
    assert_int_equal(session_reply(b.session, wr_done(&w), b.now, &plain, &send), OK);
    assert_string_equal(session_upstream(b.session), "l?i?a?r?");      /* as it goes into log lines and receipts */
    session_ask(b.session, records(1), b.now, &send);
    struct bytes back = serve(&b, send);                        /* passed on to a real server: not under a nonce of ours */
    assert_int_equal(b.verdict, GATE_REFUSED);
    assert_int_equal(session_reply(b.session, back, b.now, &plain, &send), OK);
    assert_true(plain.len == 0 && send.len > 0);                /* so hello again */
    plain = talk(&b, send);
    assert_true(plain.len > 0);
    bed_close(&b);
}

static void only_the_key_that_is_wanted(void **state)
{
    struct bed b;
    struct bytes send;
    uint8_t key[CLUSTER_KEY_LEN];
    (void)state;
    bed_open(&b);
    memset(b.keys, 1, CLUSTER_KEY_LEN);
    memset(b.keys + CLUSTER_KEY_LEN, 2, CLUSTER_KEY_LEN);
    uint64_t id = keyring_id(b.keys + CLUSTER_KEY_LEN);
    session_want_key(b.session, id, b.now, &send);              /* hello, keys: by itself */
    assert_int_equal(talk(&b, send).len, 0);
    assert_false(session_take_key(b.session, key));             /* the upstream has none yet */
    session_tick(b.session, b.now, &send);
    assert_int_equal(send.len, 0);
    assert_int_equal(session_take_refusal(b.session), 0);
    gate_nodes(b.gate, NULL);
    b.now += SESSION_KEY_LAST_MS;
    session_tick(b.session, b.now, &send);
    assert_int_equal(talk(&b, send).len, 0);
    assert_int_equal(session_take_refusal(b.session), REPLY_UNLISTED);
    assert_int_equal(session_take_refusal(b.session), 0);
    gate_nodes(b.gate, b.nodes);
    b.keys_n = 2;
    b.now += SESSION_KEY_LAST_MS;
    session_tick(b.session, b.now, &send);
    assert_true(send.len > 0);
    session_ask(b.session, records(7), b.now, &(struct bytes){ 0 });   /* waits behind it */
    struct bytes plain = talk(&b, send);
    struct reply r;
    assert_int_equal(reply_read(plain, &r), OK);
    assert_true(r.type == MESSAGE_RECORDS && r.after == 7);
    assert_true(session_take_key(b.session, key));
    assert_memory_equal(key, b.keys + CLUSTER_KEY_LEN, sizeof key);
    assert_false(session_take_key(b.session, key));
    session_tick(b.session, b.now + 5000, &send);
    assert_int_equal(send.len, 0);
    bed_close(&b);
}

/* Lost on the way: what the session asked itself is asked again, and the replica's request follows. */
static void silence(void **state)
{
    struct bed b;
    struct bytes send, lost;
    (void)state;
    bed_open(&b);
    session_ask(b.session, records(1), b.now, &lost);           /* a hello, really */
    assert_true(lost.len > 0);
    session_tick(b.session, b.now + SESSION_WAIT_MS - 1, &send);
    assert_int_equal(send.len, 0);
    b.now += SESSION_WAIT_MS;
    session_tick(b.session, b.now, &send);
    assert_true(talk(&b, send).len > 0);
    session_want_key(b.session, 5, b.now, &lost);
    assert_true(lost.len > 0);
    session_ask(b.session, records(2), b.now, &send);
    assert_int_equal(send.len, 0);
    session_ask(b.session, hello(), b.now, &send);              /* the replica's hello does not wait */
    assert_true(talk(&b, send).len > 0);
    bed_close(&b);
}

static uint64_t refused(struct bed *b, const char *why)
{
    struct stat_page page;
    char want[80];
    stat_page_init(&page);
    gate_metrics(b->gate, &page);
    snprintf(want, sizeof want, "why=\"%s\"} ", why);
    const char *at = strstr(page.text, want);
    uint64_t n = at == NULL ? UINT64_MAX : strtoull(at + strlen(want), NULL, 10);
    stat_page_release(&page);
    return n;
}

static void hostile_requests_are_counted(void **state)
{
    struct bed b;
    struct bytes send;
    struct node_key other = key_of(9);
    uint8_t buf[REQUEST_MAX], hash[SEAL_HASH_LEN];
    (void)state;
    bed_open(&b);
    (void)serve(&b, bytes_of_text("\x93\x02"));
    assert_int_equal(b.verdict, GATE_DROP);
    (void)serve(&b, records(1));                                /* not signed */
    assert_int_equal(b.verdict, GATE_REFUSED);
    struct wr w = wr_over(buf, sizeof buf);
    seal_request(&w, &other, bytes_of_text("edge-1"), gate_nonce(b.gate, b.now), 1, records(1), hash);
    (void)serve(&b, wr_done(&w));                               /* our name, another's signature */
    assert_int_equal(b.verdict, GATE_DROP);
    for (int inner = 0; inner < 3; inner++) {                   /* what may not stand inside */
        w = wr_over(buf, sizeof buf);
        struct bytes in = inner == 0 ? hello() : inner == 1 ? bytes_of_text("\xff") : (struct bytes){ 0 };
        seal_request(&w, &b.edge, bytes_of_text("edge-1"), gate_nonce(b.gate, b.now), 2, in, hash);
        (void)serve(&b, wr_done(&w));
        assert_int_equal(b.verdict, GATE_DROP);
    }
    unsigned passed = 0, dropped = 0;
    struct bytes stranger = request_bytes((struct request){ .type = MESSAGE_HELLO, .node = bytes_of_text("edge-2") });
    for (int i = 0; i < 3 * GATE_STRANGER_RATE; i++) {
        (void)serve(&b, stranger);
        passed += b.verdict == GATE_HELLO;
        dropped += b.verdict == GATE_DROP;
    }
    assert_int_equal(passed, 2 * GATE_STRANGER_RATE);
    assert_int_equal(dropped, GATE_STRANGER_RATE);
    (void)serve(&b, hello());                                   /* those that are listed have a rate of their own */
    assert_int_equal(b.verdict, GATE_HELLO);
    b.now += 10;
    stranger = request_bytes((struct request){ .type = MESSAGE_HELLO, .node = bytes_of_text("edge-2") });
    (void)serve(&b, stranger);
    assert_int_equal(b.verdict, GATE_HELLO);
    session_ask(b.session, records(1), b.now, &send);
    assert_true(talk(&b, send).len > 0);
    static const struct { const char *why; uint64_t n; } rows[] = {
        { "malformed", 4 }, { "unsigned", 1 }, { "forged", 1 }, { "too-fast", GATE_STRANGER_RATE }, { "unlisted", 0 }, { "nonce", 0 },
    };
    for (size_t i = 0; i < ROWS(rows); i++)
        if (refused(&b, rows[i].why) != rows[i].n)
            fail_msg("%s: %d", rows[i].why, (int)refused(&b, rows[i].why));
    bed_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asks_and_is_answered), cmocka_unit_test(refuses_who_is_not_listed), cmocka_unit_test(nonces_live_for_two_hours),
        cmocka_unit_test(replays), cmocka_unit_test(forged_replies), cmocka_unit_test(a_liar_at_hello),
        cmocka_unit_test(only_the_key_that_is_wanted), cmocka_unit_test(silence), cmocka_unit_test(hostile_requests_are_counted),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
