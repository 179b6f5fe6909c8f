/* Receipts over real sockets: up through relays, with and without somebody there; and what azoth-dns tells of its load. */
#include "tests/unit/receipt_bed.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "replicator/collect.h"
#include "replicator/edge_qps.h"
#include "replicator/edge_report.h"
#include "replicator/link.h"
#include "tests/unit/ports.h"

#define PATIENCE_MS 30000

struct address { char text[64]; };
static struct address fresh(void)
{
    struct address a;
    (void)snprintf(a.text, sizeof a.text, "tcp://127.0.0.1:%u", free_port());
    return a;
}

/* What came to a core. */
struct core { struct collect *collect; unsigned n; struct bytes last; };
static void took(void *arg, struct bytes msg, uint64_t now_us)
{
    struct core *c = arg;
    (void)now_us;
    bytes_free(c->last);
    c->last = heap_copy(msg.ptr, msg.len);
    c->n++;
}
static struct collect *open_ok(struct event_base *base, const char *listen, struct core *core)
{
    struct collect_options o = { .base = base, .listen = listen, .take = core != NULL ? took : NULL, .arg = core };
    struct collect *c = NULL;
    struct fault fault = { "" };
    if (collect_open(&c, &o, &fault) != OK)
        fail_msg("%s", fault.text);
    if (core != NULL)
        core->collect = c;
    return c;
}
static void connect_ok(struct collect *c, const char *address)
{
    struct fault fault = { "" };
    if (collect_connect(c, address, &fault) != OK)
        fail_msg("%s", fault.text);
}

/* Turns the loop for a moment. */
static void turn(struct event_base *base)
{
    const struct timeval tv = { 0, 5000 };
    (void)event_base_loopexit(base, &tv);
    (void)event_base_dispatch(base);
}
static bool until(struct event_base *base, const unsigned *n, unsigned want)
{
    for (uint64_t end = clock_mono_ms() + PATIENCE_MS; *n < want; turn(base))
        if (clock_mono_ms() > end)
            return false;
    return true;
}

static void push(struct collect *c, const char *node, uint64_t counter, struct bytes *keep)
{
    struct node_key key = bed_key(1);
    struct receipt r = bed_receipt(node, counter, 1, counter);
    struct bytes msg = bed_message(&r, &key);
    collect_push(c, msg);
    if (keep != NULL)
        *keep = msg;
    else
        bytes_free(msg);
}

/* edge ─► relay ─► relay ─► core: byte for byte what the edge sent. */
static void through_relays(void **state)
{
    struct event_base *base = event_base_new();
    struct address a[3] = { fresh(), fresh(), fresh() };
    struct core core = { .n = 0 };
    struct bytes sent;
    (void)state;
    struct collect *top = open_ok(base, a[0].text, &core), *one = open_ok(base, a[1].text, NULL),
                   *two = open_ok(base, a[2].text, NULL), *edge = open_ok(base, NULL, NULL);
    connect_ok(one, a[0].text);
    connect_ok(two, a[1].text);
    connect_ok(edge, a[2].text);
    push(edge, "edge", 1, &sent);
    assert_true(until(base, &core.n, 1));
    assert_true(bytes_equal(core.last, sent));
    push(two, "two", 1, NULL);              /* a relay's own go the same way */
    assert_true(until(base, &core.n, 2));
    bytes_free(sent);
    bytes_free(core.last);
    collect_close(edge);
    collect_close(two);
    collect_close(one);
    collect_close(top);
    event_base_free(base);
}

/* Nobody listens: nothing blocks, and of all that was said meanwhile the newest arrives. */
static void nobody_there(void **state)
{
    struct event_base *base = event_base_new();
    struct address a = fresh();
    struct core core = { .n = 0 };
    struct bytes sent = { 0 };
    (void)state;
    struct collect *edge = open_ok(base, NULL, NULL);
    push(edge, "edge", 1, NULL);            /* nowhere to send it to */
    assert_false(collect_connected(edge));
    connect_ok(edge, a.text);
    assert_true(collect_connected(edge));
    for (unsigned i = 2; i < 2000; i++)
        push(edge, "edge", i, NULL);
    turn(base);
    push(edge, "edge", 2000, &sent);
    struct collect *top = open_ok(base, a.text, &core);
    assert_true(until(base, &core.n, 1));
    assert_true(bytes_equal(core.last, sent));
    for (int i = 0; i < 20; i++)
        turn(base);
    assert_int_equal(core.n, 1);
    collect_close(top);                     /* the core goes, and comes back */
    for (unsigned i = 2001; i <= 2100; i++) {
        push(edge, "edge", i, NULL);
        turn(base);
    }
    bytes_free(sent);
    core.n = 0;
    top = open_ok(base, a.text, &core);
    push(edge, "edge", 3000, &sent);
    for (uint64_t end = clock_mono_ms() + PATIENCE_MS; !bytes_equal(core.last, sent) && clock_mono_ms() < end;)
        turn(base);
    assert_true(bytes_equal(core.last, sent));
    bytes_free(sent);
    bytes_free(core.last);
    collect_close(edge);
    collect_close(top);
    event_base_free(base);
}

/* Garbage ends at the first relay, which says so; a message that is too long ends its connection and nothing else. */
static void garbage(void **state)
{
    static uint8_t big[100000];
    struct event_base *base = event_base_new();
    struct address a[2] = { fresh(), fresh() };
    struct core core = { .n = 0 };
    struct fault fault = { "" };
    struct stat_page p;
    struct link *wild = NULL;
    (void)state;
    struct collect *top = open_ok(base, a[0].text, &core), *relay = open_ok(base, a[1].text, NULL);
    connect_ok(relay, a[0].text);
    assert_int_equal(link_open(&wild, LINK_PUSH, a[1].text, &fault), OK);
    unsigned sent = 0;
    for (uint64_t end = clock_mono_ms() + PATIENCE_MS; sent < 50 && clock_mono_ms() < end; turn(base))
        sent += link_send(wild, bytes_of_text("garbage")) == OK;
    assert_int_equal(sent, 50);
    (void)!link_send(wild, bytes_of(big, sizeof big));
    struct collect *edge = open_ok(base, NULL, NULL);
    connect_ok(edge, a[1].text);
    push(edge, "edge", 1, NULL);
    assert_true(until(base, &core.n, 1));
    for (int i = 0; i < 20; i++)
        turn(base);
    assert_int_equal(core.n, 1);
    stat_page_init(&p);
    collect_metrics(relay, &p);
    assert_non_null(strstr(p.text, "result=\"malformed\"} 50\n"));
    assert_non_null(strstr(p.text, "result=\"sent\"} 1\n"));
    stat_page_release(&p);
    bytes_free(core.last);
    link_close(wild);
    collect_close(edge);
    collect_close(relay);
    collect_close(top);
    event_base_free(base);
}

/* Whoever is connected to may send what he likes: a LINK_PUSH takes nothing, and lives. */
static void hostile_upstream(void **state)
{
    static const uint8_t greeting[] = { 0, 'S', 'P', 0, 0, 0x51, 0, 0 }, message[] = { 0, 0, 0, 0, 0, 0, 0, 1, 'x' };
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct event_base *base = event_base_new();
    unsigned port = free_port();
    char address[64];
    (void)state;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    to.sin_port = htons((uint16_t)port);
    const struct timeval patience = { PATIENCE_MS / 1000, 0 };
    assert_true(bind(fd, (struct sockaddr *)&to, sizeof to) == 0 && listen(fd, 8) == 0
                && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0);
    (void)snprintf(address, sizeof address, "tcp://127.0.0.1:%u", port);
    struct collect *edge = open_ok(base, NULL, NULL);
    connect_ok(edge, address);
    for (int i = 0; i < 2; i++) {
        int peer = accept(fd, NULL, NULL);
        assert_true(peer >= 0);
        assert_int_equal(write(peer, greeting, sizeof greeting), sizeof greeting);
        assert_int_equal(write(peer, message, sizeof message), sizeof message);
        char rest[64];
        while (read(peer, rest, sizeof rest) > 0)           /* it is cut */
            continue;
        close(peer);
        push(edge, "edge", (uint64_t)i + 1, NULL);
    }
    close(fd);
    collect_close(edge);
    event_base_free(base);
}

static void addresses_in_use(void **state)
{
    struct event_base *base = event_base_new();
    struct address a = fresh();
    struct core core = { .n = 0 };
    struct fault fault = { "" };
    struct collect *other = NULL;
    (void)state;
    struct collect *top = open_ok(base, a.text, &core);
    struct collect_options o = { .base = base, .listen = a.text };
    assert_int_equal(collect_open(&other, &o, &fault), ERR_NET);
    assert_non_null(strstr(fault.text, a.text));
    assert_int_equal(collect_connect(top, "nonsense", &fault), ERR_NET);
    assert_false(collect_connected(top));
    collect_close(top);
    event_base_free(base);
}

/* --- an edge's own ------------------------------------------------------------------------------------------------ */
static void fill(void *arg, struct receipt *out)
{
    const uint64_t *seq = arg;
    out->epoch = 1;
    out->seq = *seq;
    memcpy(out->cluster, bed_cluster, CLUSTER_LEN);
    out->parent = bytes_of_text("up");
}

/* As the position moves, and in between by itself. */
static void reports(void **state)
{
    struct event_base *base = event_base_new();
    struct address a = fresh();
    struct core core = { .n = 0 };
    struct node_key key = bed_key(1);
    struct receipt r = { .seq = 0 };
    struct bytes body;
    struct fault fault = { "" };
    struct edge_report *report = NULL;
    uint8_t sig[64];
    uint64_t seq = 1;
    (void)state;
    struct collect *top = open_ok(base, a.text, &core), *edge = open_ok(base, NULL, NULL);
    connect_ok(edge, a.text);
    struct edge_report_options o = { .base = base, .key = &key, .node = "me", .cohort = "all", .collect = edge, .fill = fill,
                                     .arg = &seq };
    assert_int_equal(edge_report_open(&report, &o, &fault), OK);
    assert_true(until(base, &core.n, 2));                   /* nothing moves */
    for (seq = 2; seq < 100; seq++)
        edge_report_look(report);
    uint64_t counter = 0;
    for (uint64_t end = clock_mono_ms() + PATIENCE_MS; r.seq != seq && clock_mono_ms() < end; turn(base)) {
        assert_int_equal(receipt_read(core.last, &r, &body, sig), OK);
        assert_int_equal(receipt_verify(body, sig, key.pub), OK);
        assert_true(r.counter >= counter);
        counter = r.counter;
    }
    assert_int_equal(r.seq, seq);
    assert_true(bytes_equal(r.node, bytes_of_text("me")) && bytes_equal(r.parent, bytes_of_text("up")) && r.qps == 0
                && r.version.len > 0);
    edge_report_close(report);
    bytes_free(core.last);
    collect_close(edge);
    collect_close(top);
    event_base_free(base);
}

/* --- azoth-dns' load ---------------------------------------------------------------------------------------------- */
static const struct { const char *page; enum err want; uint64_t sum; } pages[] = {
    { "", ERR_NOTFOUND, 0 },
    { "azoth_dns_queries_total", ERR_NOTFOUND, 0 },
    { "azoth_dns_queries_total ", ERR_NOTFOUND, 0 },
    { "azoth_dns_queries_total 7", OK, 7 },
    { "# HELP azoth_dns_queries_total queries received\n# TYPE azoth_dns_queries_total counter\n"
      "azoth_dns_queries_total{proto=\"udp\"} 40\nazoth_dns_queries_total{proto=\"tcp\"} 2\nother 1\n", OK, 42 },
    { "azoth_dns_queries_total_more 7\n", ERR_NOTFOUND, 0 },
    { "azoth_dns_queries_total{proto=\"udp\"} -7\n", ERR_NOTFOUND, 0 },
    { "azoth_dns_queries_total{proto=\"udp\"} 99999999999999999999999999\n", ERR_NOTFOUND, 0 },
    { "azoth_dns_queries_total{proto=\"udp\"} 1.5e3\nazoth_dns_queries_total{proto=\"tcp\"} 1\n", OK, 1 },
    { "\n\n\nazoth_dns_queries_total 1\r\n", ERR_NOTFOUND, 0 },
};
static void metrics_pages(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(pages); i++) {
        struct bytes page = heap_copy(pages[i].page, strlen(pages[i].page));
        uint64_t sum = 0;
        enum err err = edge_qps_sum(page, &sum);
        if (err != pages[i].want || sum != pages[i].sum)
            fail_msg("'%s': %s, %lu", pages[i].page, err_text(err), (unsigned long)sum);
        bytes_free(page);
    }
}

static void serve_page(struct evhttp_request *req, void *arg)
{
    unsigned *asked = arg;
    struct evbuffer *body = evbuffer_new();
    evbuffer_add_printf(body, "azoth_dns_queries_total{proto=\"udp\"} %u\n", ++*asked * 1000000);
    evhttp_send_reply(req, 200, "OK", body);
    evbuffer_free(body);
}

static void asks_the_page(void **state)
{
    struct event_base *base = event_base_new();
    struct evhttp *server = evhttp_new(base);
    struct edge_qps *q = NULL;
    unsigned asked = 0, port = free_port();
    char listen[64];
    (void)state;
    (void)snprintf(listen, sizeof listen, "0.0.0.0@%u", port);
    assert_int_equal(edge_qps_open(&q, base, listen), OK);
    evhttp_set_gencb(server, serve_page, &asked);
    assert_int_equal(evhttp_bind_socket(server, "127.0.0.1", (uint16_t)port), 0);
    for (uint64_t end = clock_mono_ms() + PATIENCE_MS; edge_qps_now(q) == 0 && clock_mono_ms() < end;)
        turn(base);
    assert_true(edge_qps_now(q) > 0 && edge_qps_now(q) <= 1000000);
    evhttp_free(server);
    edge_qps_close(q);
    static const char *const nobody[] = { NULL, "host.example@80", "127.0.0.1", "127.0.0.1@x", "@1" };
    for (size_t i = 0; i < ROWS(nobody); i++) {
        assert_int_equal(edge_qps_open(&q, base, nobody[i]), OK);
        assert_int_equal(edge_qps_now(q), 0);
        edge_qps_close(q);
    }
    event_base_free(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(through_relays), cmocka_unit_test(nobody_there), cmocka_unit_test(garbage),
        cmocka_unit_test(hostile_upstream), cmocka_unit_test(addresses_in_use), cmocka_unit_test(reports),
        cmocka_unit_test(metrics_pages), cmocka_unit_test(asks_the_page),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
