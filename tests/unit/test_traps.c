/* What nanomsg 1.1.5 does wrong or without a word, and what a link makes of it: every row is something that really happens
 * on a wire. The other side is a plain socket where nanomsg itself would not misbehave. */
#include "tests/util.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "replicator/link.h"
#include "replicator/message.h"
#include "tests/unit/ports.h"
#include "tests/unit/replicator_dir.h"

#define PATIENCE_MS 20000
#define SUBSCRIBERS 60

enum { SP_REQ = 0x30, SP_REP = 0x31, SP_PUSH = 0x50, SP_PULL = 0x51, SP_BUS = 0x70 };

/* --- plain sockets ------------------------------------------------------------------------------------------------------ */
/* *port: 0 for one that is free, which it then is. */
static int raw_listen(unsigned *port)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)*port) };
    socklen_t len = sizeof a;
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0
                && bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 2 * SUBSCRIBERS) == 0
                && getsockname(fd, (struct sockaddr *)&a, &len) == 0);
    *port = ntohs(a.sin_port);
    return fd;
}

static int raw_accept(int listener)
{
    struct pollfd p = { .fd = listener, .events = POLLIN };
    assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    int fd = accept(listener, NULL, NULL);
    assert_true(fd >= 0);
    return fd;
}

static int raw_connect(unsigned port)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port) };
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0);
    return fd;
}

/* Whether the other side still takes bytes is what some tests ask. */
static void raw_send(int fd, const void *bytes, size_t len)
{
    (void)!send(fd, bytes, len, MSG_NOSIGNAL);
}

/* What each side of a connection says first. */
static void raw_greet(int fd, int protocol)
{
    uint8_t hello[8] = { 0, 'S', 'P', 0, 0, (uint8_t)protocol, 0, 0 };
    raw_send(fd, hello, sizeof hello);
}

/* A message that says it has `claimed` bytes. */
static void raw_message(int fd, uint64_t claimed, const void *bytes, size_t len)
{
    uint8_t size[8];
    struct wr w = wr_over(size, sizeof size);
    wr_u64(&w, claimed);
    raw_send(fd, size, sizeof size);
    raw_send(fd, bytes, len);
}

/* Reads exactly len bytes. */
static void raw_take(int fd, void *out, size_t len)
{
    for (size_t have = 0; have < len;) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
        ssize_t n = recv(fd, (uint8_t *)out + have, len - have, 0);
        assert_true(n > 0);
        have += (size_t)n;
    }
}

/* Until the other side has closed. */
static bool raw_is_cut(int fd)
{
    uint8_t dump[4096];
    uint64_t end = clock_mono_ms() + PATIENCE_MS;
    while (clock_mono_ms() < end) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        if (poll(&p, 1, 20) == 1 && recv(fd, dump, sizeof dump, 0) <= 0)
            return true;
    }
    return false;
}

/* --- links ---------------------------------------------------------------------------------------------------------------- */
static struct link *open_ok(enum link_kind kind, const char *address)
{
    struct fault fault = { .text = "" };
    struct link *l = NULL;
    if (link_open(&l, kind, address, &fault) != OK)
        fail_msg("%s", fault.text);
    return l;
}

static struct link *open_at(enum link_kind kind, unsigned port)
{
    char address[64];
    snprintf(address, sizeof address, "tcp://127.0.0.1:%u", port);
    return open_ok(kind, address);
}

static bool receive(struct link *l, struct bytes *out, int wait_ms)
{
    uint64_t end = clock_mono_ms() + (uint64_t)wait_ms;
    while (link_recv(l, out) != OK) {
        struct pollfd p = { .fd = link_fd(l), .events = POLLIN };
        if (clock_mono_ms() >= end)
            return false;
        poll(&p, 1, 20);
    }
    return true;
}

static void put_number(uint8_t *at, uint64_t n)
{
    struct wr w = wr_over(at, 8);
    wr_u64(&w, n);
}

static uint64_t number_of(struct bytes msg)
{
    struct rd r = rd_over(msg);
    return rd_u64(&r);
}

/* Sends numbers from *n on until the subscriber hears one of them. */
static void until_heard(struct link *pub, struct link *sub, uint64_t *n)
{
    uint8_t beat[8];
    struct bytes got;
    uint64_t first = *n, end = clock_mono_ms() + PATIENCE_MS;
    while (clock_mono_ms() < end) {
        put_number(beat, (*n)++);
        assert_int_equal(link_send(pub, bytes_of(beat, sizeof beat)), OK);
        while (receive(sub, &got, 20)) {
            if (number_of(got) >= first)
                return;
        }
    }
    fail_msg("nothing is heard within %d ms", PATIENCE_MS);
}

/* A question gets its answer. */
static void until_answered(struct link *req, struct link *rep, const char *question)
{
    struct bytes got;
    uint64_t end = clock_mono_ms() + PATIENCE_MS;
    assert_int_equal(link_send(req, bytes_of_text(question)), OK);
    while (clock_mono_ms() < end) {
        if (receive(rep, &got, 10) && bytes_equal(got, bytes_of_text(question)))
            assert_int_equal(link_send(rep, bytes_of_text("yes")), OK);
        if (receive(req, &got, 10)) {
            assert_true(bytes_equal(got, bytes_of_text("yes")));
            return;
        }
    }
    fail_msg("%s: no answer", question);
}

/* --- loss --------------------------------------------------------------------------------------------------------------------- */
/* A burst to a subscriber that does not read: every send succeeds, what arrives is a beginning in order, and nothing tells that the
 * end is missing; the next announcement behind it does. So heads are repeated, and records can be fetched. */
static void burst_loses_its_tail(void **state)
{
    static uint8_t msg[60000];
    enum { BURST = 2000 };
    unsigned port = free_port();
    struct link *pub = open_at(LINK_PUB, port), *sub = open_at(LINK_SUB, port);
    struct bytes got;
    uint64_t n = 0, heard = 0, last = 0;
    (void)state;
    until_heard(pub, sub, &n);
    uint64_t first = n;
    for (; n < first + BURST; n++) {
        put_number(msg, n);
        enum err err = link_send(pub, bytes_of(msg, sizeof msg));
        if (err != OK && err != ERR_AGAIN)
            fail_msg("message %u of the burst: %s", (unsigned)(n - first), err_text(err));
    }
    while (receive(sub, &got, 300)) {
        if (number_of(got) < first)
            continue;                           /* a late one of those that were to be heard */
        if (heard > 0 && number_of(got) <= last)
            fail_msg("%u came behind %u", (unsigned)number_of(got), (unsigned)last);
        last = number_of(got);
        heard++;
    }
    assert_true(heard > 0 && heard < BURST && last < n - 1);
    until_heard(pub, sub, &n);
    link_close(sub);
    link_close(pub);
}

/* One subscriber that does not read costs the other nothing: it hears every message of a slow series. */
static void slow_sibling_costs_nothing(void **state)
{
    static uint8_t msg[60000];
    enum { SERIES = 300 };
    unsigned port = free_port();
    struct link *pub = open_at(LINK_PUB, port), *slow = open_at(LINK_SUB, port), *sub = open_at(LINK_SUB, port);
    struct bytes got;
    uint64_t n = 0;
    (void)state;
    until_heard(pub, slow, &n);
    until_heard(pub, sub, &n);
    while (receive(sub, &got, 100))
        continue;
    for (uint64_t end = n + SERIES; n < end; n++) {
        put_number(msg, n);
        assert_int_equal(link_send(pub, bytes_of(msg, sizeof msg)), OK);
        if (!receive(sub, &got, PATIENCE_MS) || number_of(got) != n)
            fail_msg("message %u of the series is lost", (unsigned)n);
    }
    link_close(slow);
    link_close(sub);
    link_close(pub);
}

/* --- sizes ------------------------------------------------------------------------------------------------------------------- */
/* An announcement over the limit is never delivered and costs the connection; nanomsg then never connects again, and
 * nothing tells so. Another link hears. (What a listening link is sent too much costs its peer a reconnection: test_link.) */
static void oversized_announcement(void **state)
{
    static uint8_t big[ANNOUNCE_MAX + 1];
    unsigned port = free_port();
    struct link *pub = open_at(LINK_PUB, port);
    uint64_t n = 0;
    (void)state;
    for (int round = 0; round < 3; round++) {
        struct link *sub = open_at(LINK_SUB, port);
        struct bytes got;
        until_heard(pub, sub, &n);
        assert_int_equal(link_send(pub, bytes_of(big, sizeof big)), OK);
        while (receive(sub, &got, 100)) {
            if (got.len > 8)
                fail_msg("%zu bytes are delivered", got.len);
        }
        link_close(sub);
    }
    link_close(pub);
}

/* Sizes that only a stranger claims: the connection is cut before memory is asked for. */
static const struct { const char *why; enum link_kind kind; int greet; uint64_t claimed; } sizes[] = {
    { "publisher, one byte",            LINK_PUB,  SP_BUS,  1 },
    { "publisher, all there is",        LINK_PUB,  SP_BUS,  UINT64_MAX },
    { "server, over its limit",         LINK_REP,  SP_REQ,  REQUEST_MAX + 1 },
    { "server, a size beyond 32 bits",  LINK_REP,  SP_REQ,  (uint64_t)1 << 32 },
    { "server, all there is",           LINK_REP,  SP_REQ,  UINT64_MAX },
    { "collector, over its limit",      LINK_PULL, SP_PUSH, REQUEST_MAX + 1 },
    { "collector, a terabyte",          LINK_PULL, SP_PUSH, (uint64_t)1 << 40 },
    { "subscriber, over its limit",     LINK_SUB,  SP_BUS,  ANNOUNCE_MAX + 1 },
    { "subscriber, a terabyte",         LINK_SUB,  SP_BUS,  (uint64_t)1 << 40 },
    { "asker, over its limit",          LINK_REQ,  SP_REP,  REPLY_MAX + 1 },
    { "asker, a terabyte",              LINK_REQ,  SP_REP,  (uint64_t)1 << 40 },
    { "pusher, one byte",               LINK_PUSH, SP_PULL, 1 },
};
static bool listens(enum link_kind kind)
{
    return kind == LINK_PUB || kind == LINK_REP || kind == LINK_PULL;
}

/* A link of that kind and a plain connection to it; *listener: -1 when the link listens. */
static struct link *link_to_stranger(enum link_kind kind, int *listener, int *fd)
{
    unsigned port = 0;
    *listener = -1;
    if (!listens(kind)) {
        *listener = raw_listen(&port);
        struct link *l = open_at(kind, port);
        *fd = raw_accept(*listener);
        return l;
    }
    port = free_port();
    struct link *l = open_at(kind, port);
    *fd = raw_connect(port);
    return l;
}

static void sizes_that_are_claimed(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(sizes); i++) {
        int listener, fd;
        uint8_t hello[8];
        struct link *l = link_to_stranger(sizes[i].kind, &listener, &fd);
        raw_greet(fd, sizes[i].greet);
        raw_take(fd, hello, sizeof hello);
        raw_message(fd, sizes[i].claimed, "x", 1);
        if (!raw_is_cut(fd))
            fail_msg("%s: the connection goes on", sizes[i].why);
        close(fd);
        if (listener >= 0)
            close(listener);
        link_close(l);
    }
}

/* --- strangers ------------------------------------------------------------------------------------------------------------- */
/* Whole messages where none is meant, or of a form that is none: nanomsg's PUB would end the process. */
static const struct { const char *why; enum link_kind kind; int greet; const char *hex; } messages[] = {
    { "publisher hears nothing",            LINK_PUB,  SP_BUS,  "" },
    { "publisher hears five bytes",         LINK_PUB,  SP_BUS,  "01 02 03 04 05" },
    { "subscriber hears nothing",           LINK_SUB,  SP_BUS,  "" },
    { "server: no request id",              LINK_REP,  SP_REQ,  "" },
    { "server: half a request id",          LINK_REP,  SP_REQ,  "80 00" },
    { "server: an id without end",          LINK_REP,  SP_REQ,  "00 00 00 01 00 00 00 02 00 00 00 03" },
    { "server: an empty request",           LINK_REP,  SP_REQ,  "80 00 00 01" },
    { "asker: no request id",               LINK_REQ,  SP_REP,  "" },
    { "asker: half a request id",           LINK_REQ,  SP_REP,  "80 00" },
    { "asker: an id without end",           LINK_REQ,  SP_REP,  "00 00 00 01 00 00 00 02" },
    { "asker: a reply to no question",      LINK_REQ,  SP_REP,  "80 00 00 01 61" },
    { "pusher hears nothing",               LINK_PUSH, SP_PULL, "" },
    { "collector: an empty receipt",        LINK_PULL, SP_PUSH, "" },
};
static void messages_that_are_none(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(messages); i++) {
        int listener, fd;
        uint8_t hello[8];
        struct bytes body = heap_from_hex(messages[i].hex), got;
        struct link *l = link_to_stranger(messages[i].kind, &listener, &fd);
        raw_greet(fd, messages[i].greet);
        raw_take(fd, hello, sizeof hello);
        for (int n = 0; n < 3; n++)
            raw_message(fd, body.len, body.ptr, body.len);
        for (int n = 0; n < 5 && link_fd(l) >= 0; n++) {
            if (receive(l, &got, 10) && got.len > body.len)
                fail_msg("%s: more came than was sent", messages[i].why);
        }
        close(fd);
        if (listener >= 0)
            close(listener);
        link_close(l);
        free((void *)body.ptr);
    }
}

/* Greetings that are wrong, cut off or never come: connections end or stay, and whoever greets well is heard. */
static void greetings_that_are_none(void **state)
{
    static const struct { const char *why; size_t len; uint8_t bytes[8]; } rows[] = {
        { "nothing",                0, { 0 } },
        { "half a greeting",        4, { 0, 'S', 'P', 0 } },
        { "another version",        8, { 0, 'S', 'P', 1, 0, SP_BUS, 0, 0 } },
        { "another protocol",       8, { 0, 'S', 'P', 0, 0, SP_REQ, 0, 0 } },
        { "a line of HTTP",         8, { 'G', 'E', 'T', ' ', '/', ' ', 'H', 'T' } },
        { "zeros",                  8, { 0 } },
    };
    unsigned port = free_port();
    struct link *pub = open_at(LINK_PUB, port), *sub = open_at(LINK_SUB, port);
    int fds[ROWS(rows)];
    uint64_t n = 0;
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        fds[i] = raw_connect(port);
        raw_send(fds[i], rows[i].bytes, rows[i].len);
    }
    until_heard(pub, sub, &n);
    for (size_t i = 0; i < ROWS(rows); i++) {
        if (!raw_is_cut(fds[i]))
            fail_msg("%s: the connection stays for ever", rows[i].why);
        close(fds[i]);
    }
    until_heard(pub, sub, &n);
    link_close(sub);
    link_close(pub);
}

/* --- peers that are gone ------------------------------------------------------------------------------------------------------ */
/* A peer that went without a word: the link never tells. Only the silence does; another link then works at once. */
static void dead_peer_says_nothing(void **state)
{
    unsigned port = free_port(), dead = 0;
    int listener = raw_listen(&dead);
    struct link *sub = open_at(LINK_SUB, dead), *req = open_at(LINK_REQ, dead);
    int a = raw_accept(listener), b = raw_accept(listener);
    struct bytes got;
    uint64_t n = 0;
    (void)state;
    raw_greet(a, SP_BUS);               /* one of them is greeted as it expects, the other is refused and comes again */
    raw_greet(b, SP_REP);
    assert_int_equal(link_send(req, bytes_of_text("are you there?")), OK);
    assert_false(receive(sub, &got, 200));
    assert_false(receive(req, &got, 200));
    link_close(sub);
    link_close(req);
    struct link *pub = open_at(LINK_PUB, port), *rep = open_at(LINK_REP, free_port());
    sub = open_at(LINK_SUB, port);
    until_heard(pub, sub, &n);
    link_close(sub);
    link_close(pub);
    link_close(rep);
    close(a);
    close(b);
    close(listener);
}

/* Beats until each of the subscribers has heard one of them. */
static void until_all_heard(struct link *pub, struct link *subs[SUBSCRIBERS], uint64_t *n)
{
    bool heard[SUBSCRIBERS] = { false };
    uint8_t beat[8];
    struct bytes got;
    uint64_t first = *n, end = clock_mono_ms() + PATIENCE_MS;
    size_t left = SUBSCRIBERS;
    while (left > 0 && clock_mono_ms() < end) {
        put_number(beat, (*n)++);
        assert_int_equal(link_send(pub, bytes_of(beat, sizeof beat)), OK);
        usleep(5000);
        for (size_t i = 0; i < SUBSCRIBERS; i++) {
            while (link_recv(subs[i], &got) == OK) {
                if (number_of(got) >= first && !heard[i]) {
                    heard[i] = true;
                    left--;
                }
            }
        }
    }
    if (left > 0)
        fail_msg("%zu of %d subscribers hear nothing within %d ms", left, SUBSCRIBERS, PATIENCE_MS);
}

/* The publisher goes, and somebody else listens in its place: over how many ms do its subscribers come? */
static uint64_t come_back_over(struct link *pub, unsigned port)
{
    uint64_t first = 0, last = 0;
    int fds[SUBSCRIBERS];
    link_close(pub);
    usleep(50000);                      /* each tries at once, in vain, and then waits */
    int listener = raw_listen(&port);
    for (size_t i = 0; i < SUBSCRIBERS; i++) {
        fds[i] = raw_accept(listener);
        last = clock_mono_ms();
        first = i == 0 ? last : first;
    }
    for (size_t i = 0; i < SUBSCRIBERS; i++)
        close(fds[i]);
    close(listener);
    return last - first;
}

/* A publisher's restart: all its subscribers come back by themselves, also after another. They do not all come in the same
 * moment: each link waits for a time of its own, drawn from 200 ms. A machine that lets us sleep so long sees them at once, hence
 * some tries. */
static void reconnect_storm(void **state)
{
    unsigned port = free_port();
    struct link *subs[SUBSCRIBERS];
    uint64_t n = 0;
    bool spread = false;
    (void)state;
    for (size_t i = 0; i < SUBSCRIBERS; i++)
        subs[i] = open_at(LINK_SUB, port);
    for (int restart = 0; restart < 10 && !(spread && restart > 1); restart++) {
        struct link *pub = open_at(LINK_PUB, port);
        until_all_heard(pub, subs, &n);
        spread = come_back_over(pub, port) >= 20 || spread;
    }
    if (!spread)
        fail_msg("all %d come back in the same moment", SUBSCRIBERS);
    for (size_t i = 0; i < SUBSCRIBERS; i++)
        link_close(subs[i]);
}

/* --- replies --------------------------------------------------------------------------------------------------------------------- */
/* A server that answers wrongly, late and twice, and then in order: only the answer arrives, and nothing ends the process. */
static void replies_in_disorder(void **state)
{
    unsigned port = 0;
    int listener = raw_listen(&port);
    struct link *req = open_at(LINK_REQ, port);
    int fd = raw_accept(listener);
    uint8_t hello[8], size[8], asked[16], answer[16];
    struct bytes got;
    (void)state;
    raw_greet(fd, SP_REP);
    raw_take(fd, hello, sizeof hello);
    for (int round = 0; round < 20; round++) {
        assert_int_equal(link_send(req, bytes_of_text("question")), OK);
        for (int n = 0; n < 200 && link_is_soon(req); n++)
            (void)receive(req, &got, 1);        /* sent as soon as there is a connection */
        do {                                    /* a young connection may carry the question before twice */
            raw_take(fd, size, sizeof size);
            assert_int_equal(number_of(bytes_of(size, sizeof size)), 4 + strlen("question"));
            raw_take(fd, asked, 4 + strlen("question"));
        } while (round > 0 && memcmp(answer, asked, 4) == 0);
        memcpy(answer, asked, 4);
        answer[3] ^= 1;
        memcpy(answer + 4, "wrong", 5);
        raw_message(fd, 9, answer, 9);          /* another question's */
        raw_message(fd, 2, answer, 2);          /* cut off in its id */
        raw_message(fd, 0, answer, 0);
        answer[3] ^= 1;
        memcpy(answer + 4, "right", 5);
        for (int n = 0; n < 3; n++)
            raw_message(fd, 9, answer, 9);      /* the one, and twice more */
        if (!receive(req, &got, PATIENCE_MS) || !bytes_equal(got, bytes_of_text("right")))
            fail_msg("round %d: not the answer", round);
        if (receive(req, &got, 1))
            fail_msg("round %d: answered twice", round);
    }
    link_close(req);
    close(fd);
    close(listener);
}

/* Many questions wait at a server that is gone and comes back; each gets its own answer. */
static void askers_survive_a_restart(void **state)
{
    enum { ASKERS = 20 };
    unsigned port = free_port();
    struct link *rep = open_at(LINK_REP, port), *reqs[ASKERS];
    char question[ASKERS][32];
    (void)state;
    for (size_t i = 0; i < ASKERS; i++) {
        reqs[i] = open_at(LINK_REQ, port);
        snprintf(question[i], sizeof question[i], "question %zu", i);
        until_answered(reqs[i], rep, question[i]);
    }
    link_close(rep);
    rep = open_at(LINK_REP, port);
    for (size_t i = 0; i < ASKERS; i++) {
        until_answered(reqs[i], rep, question[i]);
        link_close(reqs[i]);
    }
    link_close(rep);
}

/* --- addresses ------------------------------------------------------------------------------------------------------------------ */
/* Pairs of addresses of both families, as they would stand in a configuration. */
static const struct { const char *listen, *connect; bool needs_v6; } pairs[] = {
    { "tcp://[::1]:%u",     "tcp://[::1]:%u",       true },
    { "tcp://[::]:%u",      "tcp://[::1]:%u",       true },
    { "tcp://[::]:%u",      "tcp://127.0.0.1:%u",   false },
    { "tcp://0.0.0.0:%u",   "tcp://[::1]:%u",       true },
    { "tcp://0.0.0.0:%u",   "tcp://localhost:%u",   false },
    { "tcp://*:%u",         "tcp://127.0.0.1:%u",   false },
};
static bool has_v6(void)
{
    struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    bool has = fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0;
    if (fd >= 0)
        close(fd);
    return has;
}

static void families(void **state)
{
    bool v6 = has_v6();
    (void)state;
    for (size_t i = 0; i < ROWS(pairs); i++) {
        char at[64], to[64];
        unsigned port = free_port();
        uint64_t n = 0;
        if (pairs[i].needs_v6 && !v6) {
            print_message("no IPv6 here: %s not tried\n", pairs[i].connect);
            continue;
        }
        snprintf(at, sizeof at, pairs[i].listen, port);
        snprintf(to, sizeof to, pairs[i].connect, port);
        struct link *pub = open_ok(LINK_PUB, at), *sub = open_ok(LINK_SUB, to);
        until_heard(pub, sub, &n);
        link_close(sub);
        link_close(pub);
    }
}

/* Nobody there, or never will be: the link is refused with a reason or stays silent; the process goes on. */
static void addresses_without_anybody(void **state)
{
    static const struct { const char *address; enum link_kind kind; bool refused; } rows[] = {
        { "tcp://[::1]:1",                      LINK_SUB, false },
        { "tcp://127.0.0.1:1",                  LINK_REQ, false },
        { "tcp://192.0.2.1:7400",               LINK_REQ, false },      /* goes nowhere (RFC 5737) */
        { "ipc:///no/such/folder/socket",       LINK_SUB, false },
        { "ipc:///tmp",                         LINK_SUB, false },      /* a folder */
        { "ipc:///tmp",                         LINK_REP, true },
    };
    char longest[300] = "ipc:///tmp/";
    struct fault fault = { .text = "" };
    struct link *l = NULL;
    struct bytes got;
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        enum err err = link_open(&l, rows[i].kind, rows[i].address, &fault);
        if (err != (rows[i].refused ? ERR_NET : OK))
            fail_msg("%s: %s", rows[i].address, err_text(err));
        if (err != OK)
            continue;
        assert_int_equal(link_send(l, bytes_of_text("anybody?")), rows[i].kind == LINK_REQ ? OK : link_send(l, bytes_of_text("a")));
        assert_false(receive(l, &got, 250));
        link_close(l);
    }
    memset(longest + strlen(longest), 'x', 200);        /* longer than a socket's path may be */
    assert_int_equal(link_open(&l, LINK_PUB, longest, &fault), ERR_NET);
    assert_int_equal(link_open(&l, LINK_SUB, longest, &fault), ERR_NET);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(burst_loses_its_tail), cmocka_unit_test(slow_sibling_costs_nothing),
        cmocka_unit_test(oversized_announcement), cmocka_unit_test(sizes_that_are_claimed),
        cmocka_unit_test(messages_that_are_none), cmocka_unit_test(greetings_that_are_none),
        cmocka_unit_test(dead_peer_says_nothing), cmocka_unit_test(reconnect_storm),
        cmocka_unit_test(replies_in_disorder), cmocka_unit_test(askers_survive_a_restart),
        cmocka_unit_test(families), cmocka_unit_test(addresses_without_anybody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
