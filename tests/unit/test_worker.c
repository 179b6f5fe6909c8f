/* The sockets of azoth-dns: one worker in its thread, real clients over loopback. */
#include "tests/answer_bed.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <linux/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>

#include "base/clock.h"
#include "dnsfront/shared.h"
#include "dnsfront/tcp.h"
#include "dnsfront/udp.h"

#define WAIT_MS 5000
#define UDP_QUERIES 200             /* what a default receive buffer holds */

struct shop {
    struct bed bed;
    struct config_dns config;
    struct shared shared;
    struct worker worker;
    struct listen_address address;
    bool by_hand;                       /* the test turns the loop, there is no thread */
};

/* huge.b. TXT: 64 records that make an answer without EDNS of 65,535 bytes: 12 of header, 12 of question, and of each
 * record 12 and its RDATA: 63 of 1,010 bytes, one of 1,113. */
static const char *huge_zone(void)
{
    static char text[80000] = "$TTL 300\n@ SOA ns h 1 2 3 4 5\n@ NS ns\n";
    static const int ordinary[] = { 255, 255, 255, 241 }, last[] = { 255, 255, 255, 255, 88 };
    size_t n = strlen(text);
    if (strstr(text, "huge") != NULL)
        return text;
    for (int i = 0; i < 64; i++) {
        n += (size_t)snprintf(text + n, sizeof text - n, "huge TXT");
        for (size_t k = 0; k < (i < 63 ? ROWS(ordinary) : ROWS(last)); k++)
            n += (size_t)snprintf(text + n, sizeof text - n, " %0*d", i < 63 ? ordinary[k] : last[k], i);
        n += (size_t)snprintf(text + n, sizeof text - n, "\n");
    }
    return text;
}

/* What a test sets in s->config stays; s is zeroed before. */
static void shop_open_with(struct shop *s, const char *listen, uint64_t idle_ms, uint64_t connections)
{
    struct fault fault = { "" };
    bed_open(&s->bed, NULL, NULL);
    char big[8192] = "$TTL 300\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nwww A 192.0.2.1\n";
    for (size_t i = 0; i < 15; i++)
        (void)snprintf(big + strlen(big), sizeof big - strlen(big), "big TXT \"%zu%0240d\"\n", i, 0);
    bed_load(&s->bed, "a.", big);
    bed_load(&s->bed, "b.", huge_zone());
    s->config.tcp.idle_ms = idle_ms;
    s->config.tcp.connections = connections;
    s->config.workers = 1;
    s->worker.config = &s->config;
    s->worker.shared = &s->shared;
    s->worker.workers = 1;
    s->worker.superseded_fd = -1;
    enum err err = ERR_NET;
    for (int i = 0; i < 50 && err == ERR_NET; i++) {        /* a port free for UDP may be taken for TCP */
        assert_int_equal(listen_parse("dns.listen", listen, &s->address, &fault), OK);
        err = listen_probe(&s->address, LISTEN_BOTH, &fault);
    }
    assert_int_equal(err, OK);
    assert_int_equal(shared_open(&s->shared, &s->config, &fault), OK);
    if (worker_open(&s->worker, &s->address, 1, &fault) != OK || (!s->by_hand && worker_start(&s->worker, &fault) != OK))
        fail_msg("%s", fault.text);
    worker_serve(&s->worker, s->bed.store);
    for (uint64_t end = clock_mono_ms() + WAIT_MS; !atomic_load(&s->worker.serving) && clock_mono_ms() < end; )
        if (s->by_hand)
            (void)event_base_loop(s->worker.base, EVLOOP_NONBLOCK);
        else
            (void)usleep(1000);
    assert_true(atomic_load(&s->worker.serving));
}

static void shop_open(struct shop *s, const char *listen, uint64_t idle_ms, uint64_t connections)
{
    memset(s, 0, sizeof *s);
    shop_open_with(s, listen, idle_ms, connections);
}

static void shop_close(struct shop *s)
{
    worker_stop(&s->worker);
    worker_close(&s->worker);
    shared_close(&s->shared);
    bed_close(&s->bed);
}

static int client(const struct shop *s, int type)
{
    struct listen_address to = s->address;
    struct timeval wait = { WAIT_MS / 1000, 0 };
    if (to.wildcard)
        to.addr.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1);        /* 127.0.0.2: not what the route would choose */
    int fd = socket(to.addr.sa.sa_family, type | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait), 0);
    assert_int_equal(connect(fd, &to.addr.sa, to.len), 0);
    return fd;
}

static size_t query_of(uint8_t *out, size_t cap, const char *text, uint16_t type, uint16_t id)
{
    struct name name;
    bed_name(text, &name);
    struct ask q = { .qname = name_bytes(&name), .qtype = type, .qclass = CLASS_IN };
    size_t len = ask_write(&q, out, cap);
    out[0] = (uint8_t)(id >> 8);
    out[1] = (uint8_t)id;
    return len;
}

/* --- UDP -------------------------------------------------------------------------------------------------------- */
static void udp_batches(const char *listen)
{
    static struct shop s;
    uint8_t buf[2048];
    bool seen[UDP_QUERIES] = { false };
    shop_open(&s, listen, 1000, 10);
    int fd = client(&s, SOCK_DGRAM);
    for (uint16_t i = 0; i < UDP_QUERIES; i++) {
        size_t len = query_of(buf, sizeof buf, "www.a.", TYPE_A, i);
        assert_int_equal(send(fd, buf, len, 0), (ssize_t)len);
        if (i % 50 == 7)                                    /* noise in the middle of a batch gets no reply */
            assert_int_equal(send(fd, buf, 5, 0), 5);
    }
    for (unsigned left = UDP_QUERIES; left > 0; left--) {
        ssize_t n = recv(fd, buf, sizeof buf, 0);           /* connected: only what comes from the address asked */
        assert_true(n > 12);
        unsigned id = (unsigned)buf[0] << 8 | buf[1];
        assert_true(id < UDP_QUERIES && !seen[id]);
        seen[id] = true;
        assert_int_equal(buf[7], 1);
    }
    assert_int_equal(stat_get(&s.worker.counters.answers.queries[ANSWER_UDP]), UDP_QUERIES + 4);
    assert_int_equal(stat_get(&s.worker.counters.answers.dropped), 4);
    (void)close(fd);
    shop_close(&s);
}

static void udp_on_an_address(void **state)
{
    (void)state;
    udp_batches("127.0.0.1@0");
}

static void udp_on_all_addresses(void **state)
{
    (void)state;
    udp_batches("0.0.0.0@0");
}

/* How many descriptors the loops of this process wait for. */
static unsigned waited_for(void)
{
    char path[64], line[256];
    unsigned n = 0;
    for (int fd = 0; fd < 256; fd++) {
        (void)snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
        FILE *f = fopen(path, "r");
        while (f != NULL && fgets(line, sizeof line, f) != NULL)
            n += strncmp(line, "tfd:", 4) == 0;
        if (f != NULL)
            (void)fclose(f);
    }
    return n;
}

static void turn_with(struct shop *s, int fd, unsigned queries)
{
    uint8_t buf[2048];
    size_t len = query_of(buf, sizeof buf, "www.a.", TYPE_A, 1);
    for (unsigned i = 0; i < queries; i++)
        assert_int_equal(send(fd, buf, len, 0), (ssize_t)len);
    assert_int_equal(event_base_loop(s->worker.base, EVLOOP_NONBLOCK | EVLOOP_ONCE), 0);
    for (unsigned i = 0; i < queries; i++)
        assert_true(recv(fd, buf, sizeof buf, 0) > 12);
}

static void udp_is_waited_for_unless_much_comes(void **state)
{
    static const struct { const char *why; unsigned queries, out; } turns[] = {
        { "one query: the loop waits for the next", 1, 0 },
        { "a few: the same", UDP_MANY - 1, 0 },
        { "many: replies shall not pay for somebody who waits", UDP_MANY, 1 },
        { "it stays out as long as something comes", 1, 1 },
        { "and when more comes than a batch holds", UDP_QUERIES, 1 },
        { "nothing left: the loop must not go round for nothing", 0, 0 },
        { "nothing, and nobody has looked", 0, 0 },
        { "the next one is not missed", 1, 0 },
        { "out again", UDP_QUERIES, 1 },
        { "and back again", 0, 0 },
    };
    static struct shop s;
    (void)state;
    memset(&s, 0, sizeof s);
    s.by_hand = true;
    shop_open_with(&s, "127.0.0.1@0", 1000, 10);
    unsigned all = waited_for();
    int fd = client(&s, SOCK_DGRAM);
    assert_true(all > 1);                               /* the bell too */
    for (size_t i = 0; i < ROWS(turns); i++) {
        turn_with(&s, fd, turns[i].queries);
        if (waited_for() != all - turns[i].out)
            fail_msg("%s: %u of %u are waited for", turns[i].why, waited_for(), all);
    }
    (void)close(fd);
    shop_close(&s);
}

/* --- TCP -------------------------------------------------------------------------------------------------------- */
static size_t framed(uint8_t *out, size_t cap, const char *name, uint16_t type, uint16_t id)
{
    size_t len = query_of(out + 2, cap - 2, name, type, id);
    out[0] = (uint8_t)(len >> 8);
    out[1] = (uint8_t)len;
    return len + 2;
}

static bool read_all(int fd, uint8_t *out, size_t n)
{
    for (size_t at = 0; at < n; ) {
        ssize_t got = recv(fd, out + at, n - at, 0);
        if (got <= 0)
            return false;
        at += (size_t)got;
    }
    return true;
}

/* The next message's id; -1: the stream ended. */
static int read_message(int fd, size_t *len)
{
    static uint8_t buf[65535];
    uint8_t prefix[2];
    if (!read_all(fd, prefix, 2))
        return -1;
    *len = (size_t)prefix[0] << 8 | prefix[1];
    assert_true(*len >= 12 && read_all(fd, buf, *len));
    return buf[0] << 8 | buf[1];
}

static void send_all(int fd, const uint8_t *p, size_t n)
{
    for (size_t at = 0; at < n; ) {
        ssize_t sent = send(fd, p + at, n - at, MSG_NOSIGNAL);
        assert_true(sent > 0);
        at += (size_t)sent;
    }
}

static void tcp_pipelining_and_half_close(void **state)
{
    static struct shop s;
    uint8_t buf[8192];
    size_t n = 0, len;
    (void)state;
    shop_open(&s, "127.0.0.1@0", 3000, 10);
    int fd = client(&s, SOCK_STREAM);
    for (uint16_t i = 0; i < 100; i++)
        n += framed(buf + n, sizeof buf - n, "www.a.", TYPE_A, i);
    send_all(fd, buf, 1);                           /* in odd pieces */
    (void)usleep(20000);
    send_all(fd, buf + 1, 30);
    (void)usleep(20000);
    send_all(fd, buf + 31, n - 31);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(read_message(fd, &len), i);
    assert_int_equal(read_message(fd, &len), -1);
    (void)close(fd);
    shop_close(&s);
}

/* A client that sends 3,000 questions for 4 KB each and reads nothing meanwhile: all answers come in the end. */
static void tcp_slow_reader(void **state)
{
    static struct shop s;
    uint8_t buf[64];
    size_t len, total = 0;
    (void)state;
    shop_open(&s, "127.0.0.1@0", 3000, 10);
    int fd = client(&s, SOCK_STREAM), sent = 0, got = 0, small = 65536;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    len = framed(buf, sizeof buf, "big.a.", TYPE_TXT, 1);
    for (uint64_t end = clock_mono_ms() + 300; sent < 3000 && clock_mono_ms() < end; ) {
        ssize_t n = send(fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            (void)usleep(1000);
            continue;
        }
        assert_int_equal(n, (ssize_t)len);
        sent++;
    }
    uint64_t before = UINT64_MAX, now;
    while ((now = stat_get(&s.worker.counters.answers.queries[ANSWER_TCP])) != before) {
        before = now;
        (void)usleep(50000);
    }
    assert_true(now > 0 && now < (uint64_t)sent);       /* it stopped reading */
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    while (read_message(fd, &total) == 1)
        got++;
    assert_int_equal(got, sent);
    assert_true(total > 3600);
    (void)close(fd);
    shop_close(&s);
}

static bool closed_within(int fd, int wait_ms)
{
    struct pollfd p = { fd, POLLIN, 0 };
    char c;
    return poll(&p, 1, wait_ms) == 1 && recv(fd, &c, 1, MSG_DONTWAIT) <= 0;
}

/* One that takes nothing at all is given up after the idle time, whatever it has not been told yet. */
static void tcp_stuck_reader(void **state)
{
    static struct shop s;
    uint8_t buf[64];
    (void)state;
    shop_open(&s, "127.0.0.1@0", 300, 10);
    int fd = client(&s, SOCK_STREAM), small = 4096;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    size_t len = framed(buf, sizeof buf, "huge.b.", TYPE_TXT, 1);
    for (int i = 0; i < 200; i++)
        if (send(fd, buf, len, MSG_NOSIGNAL) < 0)
            break;
    for (uint64_t end = clock_mono_ms() + WAIT_MS; stat_get(&s.worker.counters.tcp_timeouts) == 0 && clock_mono_ms() < end; )
        (void)usleep(10000);
    assert_int_equal(stat_get(&s.worker.counters.tcp_timeouts), 1);
    (void)close(fd);
    shop_close(&s);
}

/* The longest messages there are, three in one go. */
static void tcp_longest_answers(void **state)
{
    static struct shop s;
    uint8_t buf[256];
    size_t n = 0, len;
    (void)state;
    shop_open(&s, "127.0.0.1@0", 3000, 10);
    int fd = client(&s, SOCK_STREAM);
    for (uint16_t i = 0; i < 3; i++)
        n += framed(buf + n, sizeof buf - n, "huge.b.", TYPE_TXT, i);
    send_all(fd, buf, n);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(read_message(fd, &len), i);
        assert_int_equal(len, 65535);
    }
    (void)close(fd);
    shop_close(&s);
}

/* Length and message leave in one segment, since there are clients that take two for an error. */
static void tcp_one_write(void **state)
{
    static struct shop s;
    struct tcp_info info;
    socklen_t info_len = sizeof info;
    uint8_t buf[64];
    size_t len;
    (void)state;
    shop_open(&s, "127.0.0.1@0", 3000, 10);
    int fd = client(&s, SOCK_STREAM);
    for (unsigned i = 1; i < 4; i++) {
        send_all(fd, buf, framed(buf, sizeof buf, "www.a.", TYPE_A, 9));
        assert_int_equal(read_message(fd, &len), 9);
        assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &info_len), 0);
        assert_int_equal(info.tcpi_data_segs_in, i);
    }
    (void)close(fd);
    shop_close(&s);
}

/* What is wrong with a message is said in a reply, or met with silence; the stream goes on. */
static void tcp_errors_in_messages(void **state)
{
    static const struct { const char *why, *hex; bool replied; } rows[] = {
        { "opcode STATUS", "000c 0001 1000 0000 0000 0000 0000", true },
        { "a question that is not there", "000c 0001 0000 0001 0000 0000 0000", true },
        { "shorter than a header", "0003 000100", false },
        { "a response", "000c 0001 8000 0000 0000 0000 0000", false },
    };
    static struct shop s;
    uint8_t buf[64];
    size_t len;
    (void)state;
    shop_open(&s, "127.0.0.1@0", 3000, 10);
    int fd = client(&s, SOCK_STREAM);
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct bytes b = heap_from_hex(rows[i].hex);
        send_all(fd, b.ptr, b.len);
        send_all(fd, buf, framed(buf, sizeof buf, "www.a.", TYPE_A, 7));
        if ((rows[i].replied && read_message(fd, &len) != 1) || read_message(fd, &len) != 7)
            fail_msg("%s", rows[i].why);
        bytes_free(b);
    }
    (void)close(fd);
    shop_close(&s);
}

static void tcp_broken_framing(void **state)
{
    static struct shop s;
    (void)state;
    shop_open(&s, "127.0.0.1@0", 3000, 10);
    int fd = client(&s, SOCK_STREAM);
    send_all(fd, (const uint8_t *)"\0\0", 2);
    assert_true(closed_within(fd, WAIT_MS));
    (void)close(fd);
    assert_int_equal(stat_get(&s.worker.counters.tcp_broken), 1);
    shop_close(&s);
}

/* Idle ones, and those that send a byte now and then but never a message. */
static void tcp_idle(void **state)
{
    static struct shop s;
    (void)state;
    shop_open(&s, "127.0.0.1@0", 300, 10);
    int idle = client(&s, SOCK_STREAM), drip = client(&s, SOCK_STREAM);
    uint64_t start = clock_mono_ms();
    bool gone = false;
    send_all(drip, (const uint8_t *)"\xff\xff", 2);
    for (int i = 0; i < 40 && !gone; i++) {
        gone = closed_within(drip, 50);
        if (!gone)
            (void)send(drip, "x", 1, MSG_NOSIGNAL);
    }
    assert_true(gone);
    assert_true(clock_mono_ms() - start >= 250);
    assert_true(closed_within(idle, WAIT_MS));
    assert_int_equal(stat_get(&s.worker.counters.tcp_timeouts), 2);
    (void)close(idle);
    (void)close(drip);
    shop_close(&s);
}

/* With all places taken the longest idle one gives way. */
static void tcp_limit(void **state)
{
    static struct shop s;
    uint8_t buf[64];
    size_t len;
    int fds[4];
    (void)state;
    shop_open(&s, "127.0.0.1@0", 10000, 3);
    for (uint16_t i = 0; i < 4; i++) {
        fds[i] = client(&s, SOCK_STREAM);
        send_all(fds[i], buf, framed(buf, sizeof buf, "www.a.", TYPE_A, i));
        assert_int_equal(read_message(fds[i], &len), i);
        if (i == 1) {                               /* the second is older than the first now */
            send_all(fds[0], buf, framed(buf, sizeof buf, "www.a.", TYPE_A, 77));
            assert_int_equal(read_message(fds[0], &len), 77);
        }
    }
    assert_true(closed_within(fds[1], WAIT_MS));
    assert_false(closed_within(fds[0], 50));
    for (int i = 0; i < 4; i++)
        (void)close(fds[i]);
    shop_close(&s);
}

static int client_from(const struct shop *s, uint32_t address)
{
    struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(address) };
    struct timeval wait = { WAIT_MS / 1000, 0 };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof from), 0);
    assert_int_equal(connect(fd, &s->address.addr.sa, s->address.len), 0);
    return fd;
}

/* Nobody gives way for a client that may not have one more. */
static void tcp_per_client_first(void **state)
{
    static struct shop s;
    uint8_t buf[64];
    size_t len;
    (void)state;
    memset(&s, 0, sizeof s);
    s.config.tcp.per_client = 1;
    shop_open_with(&s, "127.0.0.1@0", 10000, 2);
    int fd[2] = { client_from(&s, INADDR_LOOPBACK), client_from(&s, INADDR_LOOPBACK + 1) };
    for (int i = 0; i < 5; i++) {
        int more = client_from(&s, INADDR_LOOPBACK);
        assert_true(closed_within(more, WAIT_MS));
        (void)close(more);
    }
    for (uint16_t i = 0; i < 2; i++) {
        send_all(fd[i], buf, framed(buf, sizeof buf, "www.a.", TYPE_A, i));
        assert_int_equal(read_message(fd[i], &len), i);
        (void)close(fd[i]);
    }
    assert_int_equal(stat_get(&s.worker.counters.tcp_refused_client), 5);
    assert_int_equal(stat_get(&s.worker.counters.tcp_gave_way), 0);
    shop_close(&s);
}

/* --- UDP beside streams ----------------------------------------------------------------------------------------- */
#define STREAMS 250
#define SENT_FROM 50                    /* huge answers after which a UDP query is sent, and before which it must have been */
#define SENT_UNTIL 250
struct passer_by { struct shop *shop; int fd; uint64_t start, seen; };

static uint64_t passed(const struct passer_by *p)
{
    return stat_get(&p->shop->worker.counters.answers.queries[ANSWER_TCP]) - p->start;
}

static void *pass_by(void *arg)
{
    struct passer_by *p = arg;
    uint8_t buf[64];
    size_t len = query_of(buf, sizeof buf, "www.a.", TYPE_A, 1);
    uint64_t end = clock_mono_ms() + WAIT_MS;
    while (passed(p) < SENT_FROM && clock_mono_ms() < end)
        ;
    (void)send(p->fd, buf, len, 0);
    p->seen = passed(p);
    return NULL;
}

/* One turn of the loop, in which 250 streams have two huge answers each to get, and a UDP query that comes in the middle
 * of it. Gives whether it was answered in that turn; -1: it came too late to tell. */
static int one_turn(void)
{
    static struct shop s;
    uint8_t buf[256], small[64];
    int fd[STREAMS];
    struct passer_by p = { .shop = &s };
    pthread_t thread;
    size_t n = 0;
    memset(&s, 0, sizeof s);
    s.by_hand = true;
    shop_open_with(&s, "127.0.0.1@0", 10000, STREAMS);
    for (uint16_t i = 0; i < 2; i++)
        n += framed(buf + n, sizeof buf - n, "huge.b.", TYPE_TXT, i);
    for (int i = 0; i < STREAMS; i++) {
        fd[i] = client(&s, SOCK_STREAM);
        (void)event_base_loop(s.worker.base, EVLOOP_NONBLOCK);
    }
    for (int i = 0; i < STREAMS; i++)                   /* libevent learns to take so many events in one turn */
        send_all(fd[i], small, framed(small, sizeof small, "www.a.", TYPE_A, 1));
    (void)event_base_loop(s.worker.base, EVLOOP_NONBLOCK);
    for (int i = 0; i < STREAMS; i++)
        send_all(fd[i], buf, n);
    p.start = stat_get(&s.worker.counters.answers.queries[ANSWER_TCP]);
    p.fd = client(&s, SOCK_DGRAM);
    assert_int_equal(pthread_create(&thread, NULL, pass_by, &p), 0);
    (void)event_base_loop(s.worker.base, EVLOOP_NONBLOCK | EVLOOP_ONCE);
    int answered = (int)stat_get(&s.worker.counters.answers.queries[ANSWER_UDP]);
    assert_int_equal(passed(&p), 2 * STREAMS);          /* it was one turn */
    assert_int_equal(pthread_join(thread, NULL), 0);
    for (int i = 0; i < STREAMS; i++)
        (void)close(fd[i]);
    (void)close(p.fd);
    shop_close(&s);
    return p.seen > SENT_UNTIL ? -1 : answered;
}

static void udp_does_not_wait_for_streams(void **state)
{
    int answered = -1;
    (void)state;
    for (int i = 0; i < 20 && answered < 0; i++)
        answered = one_turn();
    if (answered < 0)
        skip();                         /* a machine that never had time for a second thread */
    assert_int_equal(answered, 1);
}

/* As many as it may have, and no more; another client is not concerned; a place comes back when one is closed. */
static void tcp_per_client(void **state)
{
    static struct shop s;
    uint8_t buf[64];
    size_t len;
    (void)state;
    memset(&s, 0, sizeof s);
    s.config.tcp.per_client = 2;
    shop_open_with(&s, "127.0.0.1@0", 10000, 10);
    int one = client(&s, SOCK_STREAM), two = client(&s, SOCK_STREAM), three = client(&s, SOCK_STREAM);
    assert_true(closed_within(three, WAIT_MS));
    int other = client_from(&s, INADDR_LOOPBACK + 1);
    send_all(other, buf, framed(buf, sizeof buf, "www.a.", TYPE_A, 3));
    assert_int_equal(read_message(other, &len), 3);
    assert_int_equal(stat_get(&s.worker.counters.tcp_refused_client), 1);
    (void)close(one);
    while (stat_get(&s.worker.counters.tcp_closed) == 0)
        (void)usleep(1000);
    (void)close(three);
    three = client(&s, SOCK_STREAM);
    send_all(three, buf, framed(buf, sizeof buf, "www.a.", TYPE_A, 4));
    assert_int_equal(read_message(three, &len), 4);
    (void)close(two);
    (void)close(three);
    (void)close(other);
    shop_close(&s);
}

/* --- proxies ---------------------------------------------------------------------------------------------------- */
#define SIG "0d0a0d0a 000d0a51 5549540a "
#define FROM(last) "c00002" last " 7f000001 d903 0035 "

static void proxied_udp(void **state)
{
    static const struct { const char *why, *hex; unsigned replies; } rows[] = {
        { "a client behind it", SIG "21 12 000c " FROM("01"), 1 },
        { "itself", SIG "20 00 0000", 1 },
        { "no header", "", 0 },
        { "half a header", SIG, 0 },
        { "a header that says more than comes", SIG "21 12 0fff " FROM("01"), 0 },
    };
    static struct shop s;
    static struct net proxies[1];
    uint8_t buf[512];
    (void)state;
    assert_int_equal(net_parse("127.0.0.0/8", &proxies[0]), OK);
    memset(&s, 0, sizeof s);
    s.config.proxies = proxies;
    s.config.proxies_n = 1;
    shop_open_with(&s, "127.0.0.1@0", 10000, 10);
    int fd = client(&s, SOCK_DGRAM);
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct bytes head = heap_from_hex(rows[i].hex), good = heap_from_hex(SIG "21 12 000c " FROM("02"));
        memcpy(buf, head.ptr, head.len);
        size_t len = head.len + query_of(buf + head.len, sizeof buf - head.len, "www.a.", TYPE_A, (uint16_t)i);
        assert_int_equal(send(fd, buf, len, 0), (ssize_t)len);
        memcpy(buf, good.ptr, good.len);                /* then a good one, which tells that the other was done with */
        len = good.len + query_of(buf + good.len, sizeof buf - good.len, "www.a.", TYPE_A, 100);
        assert_int_equal(send(fd, buf, len, 0), (ssize_t)len);
        unsigned got = 0;
        for (int id = -1; id != 100; got += id == (int)i) {
            assert_true(recv(fd, buf, sizeof buf, 0) > 12);     /* what comes back has no header */
            id = buf[0] << 8 | buf[1];
        }
        if (got != rows[i].replies)
            fail_msg("%s: %u replies", rows[i].why, got);
        bytes_free(head);
        bytes_free(good);
    }
    assert_int_equal(stat_get(&s.worker.counters.proxy_refused), 3);
    (void)close(fd);
    shop_close(&s);
}

static void proxied_tcp(void **state)
{
    static struct shop s;
    static struct net proxies[1];
    static const char *const client_of[] = { FROM("01"), FROM("01"), FROM("02") };
    struct bytes head;
    uint8_t buf[128];
    char hex[128];
    size_t len;
    int fd[3];
    (void)state;
    assert_int_equal(net_parse("127.0.0.1", &proxies[0]), OK);
    memset(&s, 0, sizeof s);
    s.config.proxies = proxies;
    s.config.proxies_n = 1;
    s.config.tcp.per_client = 1;
    shop_open_with(&s, "127.0.0.1@0", 10000, 10);
    for (int i = 0; i < 3; i++) {                       /* it is the client behind the proxy that is limited */
        fd[i] = client(&s, SOCK_STREAM);
        (void)snprintf(hex, sizeof hex, "%s 21 11 000f %s 040000", SIG, client_of[i]);
        head = heap_from_hex(hex);
        for (size_t at = 0; at < head.len; at++) {      /* in pieces, and the question right behind */
            if (at % 5 == 0)
                (void)usleep(1000);
            if (send(fd[i], head.ptr + at, 1, MSG_NOSIGNAL) != 1)
                break;
        }
        bytes_free(head);
        (void)send(fd[i], buf, framed(buf, sizeof buf, "www.a.", TYPE_A, 5), MSG_NOSIGNAL);
        assert_int_equal(read_message(fd[i], &len), i == 1 ? -1 : 5);
    }
    int bare = client(&s, SOCK_STREAM), other = client_from(&s, INADDR_LOOPBACK + 1);
    send_all(bare, buf, framed(buf, sizeof buf, "www.a.", TYPE_A, 6));
    assert_true(closed_within(bare, WAIT_MS));          /* without a header */
    head = heap_from_hex(SIG "21 11 000c " FROM("03"));
    send_all(other, head.ptr, head.len);                /* a header of somebody who is no proxy: the length 0d0a */
    send_all(other, buf, framed(buf, sizeof buf, "www.a.", TYPE_A, 6));
    assert_int_equal(shutdown(other, SHUT_WR), 0);
    assert_int_equal(read_message(other, &len), -1);
    bytes_free(head);
    assert_int_equal(stat_get(&s.worker.counters.proxy_refused), 1);
    assert_int_equal(stat_get(&s.worker.counters.tcp_refused_client), 1);
    for (int i = 0; i < 3; i++)
        (void)close(fd[i]);
    (void)close(bare);
    (void)close(other);
    shop_close(&s);
}

/* --- a store that changes --------------------------------------------------------------------------------------- */
static uint8_t last_byte(int fd, const char *name)
{
    uint8_t buf[512];
    size_t len = query_of(buf, sizeof buf, name, TYPE_A, 1);
    assert_int_equal(send(fd, buf, len, 0), (ssize_t)len);
    ssize_t n = recv(fd, buf, sizeof buf, 0);
    assert_true(n > 12 && buf[7] == 1);
    return buf[n - 1];
}

/* What is committed before a question is sent stands in its answer, also when it comes in a new generation. */
static void changes_show_at_once(void **state)
{
    static struct shop s;
    struct fault fault = { "" };
    char zone[200];
    (void)state;
    shop_open(&s, "127.0.0.1@0", 1000, 10);
    int fd = client(&s, SOCK_DGRAM);
    for (unsigned i = 2; i < 60; i++) {
        (void)snprintf(zone, sizeof zone, "$TTL 300\n@ SOA ns h %u 2 3 4 5\n@ NS ns\nwww A 192.0.2.%u\n", i, i);
        if (i == 40)
            assert_int_equal(store_fresh_begin(s.bed.store, &fault), OK);
        if (i < 40 || i > 40) {
            bed_load(&s.bed, "a.", zone);
        } else {                                    /* what there is goes over as it is */
            struct op op[64];
            struct cursor *c;
            struct entry e;
            size_t n = 0;
            assert_int_equal(view_begin(s.bed.build_view), OK);
            assert_int_equal(cursor_open(s.bed.build_view, bytes_of_text("dns"), &c), OK);
            for (enum err err = cursor_seek(c, (struct bytes){ 0 }, &e); err == OK && n < ROWS(op);
                 err = cursor_next(c, &e))
                op[n++] = (struct op){ OP_PUT, bytes_of_text("dns"), e.key, e.value };
            bed_apply(&s.bed, op, n);
            cursor_close(c);
            view_end(s.bed.build_view);
            assert_int_equal(store_fresh_flip(s.bed.store, &fault), OK);
        }
        assert_int_equal(last_byte(fd, "www.a."), i == 40 ? 39 : i);
    }
    (void)close(fd);
    shop_close(&s);
}

/* SIGTERM's way: what was asked before is answered, the rest is closed. */
static void drain(void **state)
{
    static struct shop s;
    uint8_t buf[64];
    size_t len;
    (void)state;
    shop_open(&s, "127.0.0.1@0", 10000, 10);
    int fd = client(&s, SOCK_STREAM), udp = client(&s, SOCK_DGRAM);
    send_all(fd, buf, framed(buf, sizeof buf, "www.a.", TYPE_A, 5));
    assert_int_equal(read_message(fd, &len), 5);
    len = query_of(buf, sizeof buf, "www.a.", TYPE_A, 6);
    assert_int_equal(send(udp, buf, len, 0), (ssize_t)len);
    send_all(fd, buf, framed(buf, sizeof buf, "www.a.", TYPE_A, 7));
    shop_close(&s);                                 /* joins the thread */
    assert_int_equal(read_message(fd, &len), 7);
    assert_int_equal(read_message(fd, &len), -1);
    assert_true(recv(udp, buf, sizeof buf, 0) > 12);
    (void)close(fd);
    (void)close(udp);
}

/* --- addresses -------------------------------------------------------------------------------------------------- */
/* The bell rings, a client connects and asks, and only then the loop looks: it is not sent away. */
static void drain_takes_who_has_connected(void **state)
{
    static struct shop s;
    uint8_t buf[64];
    size_t len;
    (void)state;
    memset(&s, 0, sizeof s);
    s.by_hand = true;
    shop_open_with(&s, "127.0.0.1@0", 10000, 10);
    worker_stop(&s.worker);
    int fd = client(&s, SOCK_STREAM);
    send_all(fd, buf, framed(buf, sizeof buf, "www.a.", TYPE_A, 8));
    assert_int_equal(event_base_dispatch(s.worker.base), 0);
    assert_int_equal(read_message(fd, &len), 8);
    assert_int_equal(read_message(fd, &len), -1);
    (void)close(fd);
    shop_close(&s);
}

static void addresses(void **state)
{
    static const struct { const char *text; enum err want; bool wildcard; } rows[] = {
        { "127.0.0.1@53", OK, false }, { "0.0.0.0@53", OK, true }, { "::@53", OK, true }, { "::1@0", OK, false },
        { "2001:db8::1@65535", OK, false }, { "127.0.0.1", ERR_CONFIG, false }, { "127.0.0.1@", ERR_CONFIG, false },
        { "127.0.0.1@65536", ERR_CONFIG, false }, { "localhost@53", ERR_CONFIG, false }, { "@53", ERR_CONFIG, false },
        { "1.2.3.4.5@53", ERR_CONFIG, false }, { "127.0.0.1@5x", ERR_CONFIG, false },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct listen_address a = { .len = 0 };
        struct fault fault = { "" };
        char text[64];
        if (listen_parse("dns.listen", rows[i].text, &a, &fault) != rows[i].want || a.wildcard != rows[i].wildcard)
            fail_msg("%s", rows[i].text);
        if (rows[i].want == OK)
            assert_string_equal(listen_text(&a, text, sizeof text), rows[i].text);
        else
            assert_true(fault.text[0] != '\0');
    }
}

/* A second server on the same port is found out, although sockets share their ports. */
static void port_in_use(void **state)
{
    static struct shop s;
    struct fault fault = { "" };
    (void)state;
    shop_open(&s, "127.0.0.1@0", 1000, 10);
    struct listen_address again = s.address, foreign;
    assert_int_equal(listen_probe(&again, LISTEN_BOTH, &fault), ERR_NET);
    assert_non_null(strstr(fault.text, "in use"));
    assert_int_equal(listen_parse("dns.listen", "192.0.2.77@5301", &foreign, &fault), OK);
    assert_int_equal(listen_probe(&foreign, LISTEN_STREAM, &fault), ERR_NET);
    assert_non_null(strstr(fault.text, "192.0.2.77@5301"));
    shop_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses),
        cmocka_unit_test(port_in_use),
        cmocka_unit_test(udp_on_an_address),
        cmocka_unit_test(udp_on_all_addresses),
        cmocka_unit_test(udp_is_waited_for_unless_much_comes),
        cmocka_unit_test(tcp_pipelining_and_half_close),
        cmocka_unit_test(tcp_slow_reader),
        cmocka_unit_test(tcp_stuck_reader),
        cmocka_unit_test(tcp_longest_answers),
        cmocka_unit_test(tcp_one_write),
        cmocka_unit_test(tcp_errors_in_messages),
        cmocka_unit_test(tcp_broken_framing),
        cmocka_unit_test(tcp_idle),
        cmocka_unit_test(tcp_limit),
        cmocka_unit_test(tcp_per_client),
        cmocka_unit_test(tcp_per_client_first),
        cmocka_unit_test(udp_does_not_wait_for_streams),
        cmocka_unit_test(proxied_udp),
        cmocka_unit_test(proxied_tcp),
        cmocka_unit_test(changes_show_at_once),
        cmocka_unit_test(drain),
        cmocka_unit_test(drain_takes_who_has_connected),
    };
    (void)signal(SIGPIPE, SIG_IGN);     /* as the daemon does */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
