#include "tests/util.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <dlfcn.h>
#include <nanomsg/nn.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "replicator/link.h"
#include "replicator/message.h"
#include "tests/unit/ports.h"
#include "tests/unit/replicator_dir.h"

static struct link *open_ok(enum link_kind kind, const char *address)
{
    struct fault fault = { .text = "" };
    struct link *l = NULL;
    if (link_open(&l, kind, address, &fault) != OK)
        fail_msg("%s", fault.text);
    return l;
}

/* As a loop does it: wait for the descriptor, but look now and then. false: nothing came within the time. */
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

/* The same at a server, while the asker's loop turns too. */
static bool serve(struct link *rep, struct link *req, struct bytes *out, int wait_ms)
{
    struct bytes none;
    for (; wait_ms > 0; wait_ms -= 10) {
        if (link_recv(req, &none) == OK)
            fail_msg("a reply that nobody gave");
        if (receive(rep, out, 10))
            return true;
    }
    return false;
}

/* A subscriber hears only what is sent after it joined: send until it hears. */
static void pub_to_sub(const char *listen, const char *connect)
{
    struct link *sub = open_ok(LINK_SUB, connect), *pub = open_ok(LINK_PUB, listen);
    struct bytes got = { 0 };
    int i;
    for (i = 0; i < 200; i++) {
        assert_int_equal(link_send(pub, bytes_of_text("head")), OK);
        if (receive(sub, &got, 25))
            break;
    }
    if (i == 200)
        fail_msg("%s does not reach %s", listen, connect);
    assert_true(bytes_equal(got, bytes_of_text("head")));
    link_close(sub);
    link_close(pub);
}

static void addresses_that_work(void **state)
{
    char dir[256], ipc[300], listen[64], connect[64];
    unsigned port = free_port();
    (void)state;
    dir_make(dir, sizeof dir, "link");
    snprintf(ipc, sizeof ipc, "ipc://%s/s", dir);
    pub_to_sub(ipc, ipc);
    snprintf(listen, sizeof listen, "tcp://127.0.0.1:%u", port);
    pub_to_sub(listen, listen);
    snprintf(listen, sizeof listen, "tcp://0.0.0.0:%u", free_port());
    snprintf(connect, sizeof connect, "tcp://127.0.0.1%s", strrchr(listen, ':'));
    pub_to_sub(listen, connect);
    snprintf(listen, sizeof listen, "tcp://[::]:%u", free_port());
    snprintf(connect, sizeof connect, "tcp://localhost%s", strrchr(listen, ':'));
    pub_to_sub(listen, connect);
    int v6 = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    if (v6 >= 0 && bind(v6, (struct sockaddr *)&a, sizeof a) == 0) {
        snprintf(listen, sizeof listen, "tcp://[::1]:%u", free_port());
        pub_to_sub(listen, listen);
    }
    if (v6 >= 0)
        close(v6);
    dir_remove(dir);
}

/* nanomsg would remove what stands at the path. */
static void files_stay(void **state)
{
    char dir[256], path[270], ipc[300];
    struct fault fault = { .text = "" };
    struct link *l = NULL;
    (void)state;
    dir_make(dir, sizeof dir, "link");
    snprintf(path, sizeof path, "%s/f", dir);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fclose(f);
    snprintf(ipc, sizeof ipc, "ipc://%s", path);
    assert_int_equal(link_open(&l, LINK_PUB, ipc, &fault), ERR_NET);
    assert_int_equal(access(path, F_OK), 0);
    dir_remove(dir);
}

static const struct { const char *address; enum link_kind kind; } wrong[] = {
    { "127.0.0.1:7400",             LINK_PUB },
    { "tcp://",                     LINK_PUB },
    { "tcp://127.0.0.1",            LINK_REP },
    { "tcp://127.0.0.1:",           LINK_REP },
    { "tcp://127.0.0.1:99999",      LINK_REP },
    { "tcp://192.0.2.1:7400",       LINK_PUB },     /* not ours (RFC 5737) */
    { "http://127.0.0.1:80",        LINK_SUB },
    { "tcp://127.0.0.1",            LINK_SUB },
    { "",                           LINK_REQ },
    { "ipc:///tmp",                 LINK_PUB },     /* a folder: nanomsg would abort */
};
static void wrong_addresses(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(wrong); i++) {
        struct fault fault = { .text = "" };
        struct link *l = NULL;
        if (link_open(&l, wrong[i].kind, wrong[i].address, &fault) != ERR_NET)
            fail_msg("'%s' is taken", wrong[i].address);
        if (wrong[i].address[0] != '\0' && strstr(fault.text, wrong[i].address) == NULL)
            fail_msg("'%s' is not named: %s", wrong[i].address, fault.text);
    }
}

static void address_in_use(void **state)
{
    char address[64];
    struct fault fault = { .text = "" };
    struct link *first, *second = NULL;
    (void)state;
    for (int any = 0; any < 2; any++) {
        snprintf(address, sizeof address, "tcp://%s:%u", any ? "0.0.0.0" : "127.0.0.1", free_port());
        first = open_ok(LINK_REP, address);
        assert_int_equal(link_open(&second, LINK_PUB, address, &fault), ERR_NET);
        assert_non_null(strstr(fault.text, "in use"));
        assert_non_null(strstr(fault.text, address));
        link_close(first);
    }
}

/* "one" is asked where nobody is yet. */
static struct link *ask_early(char address[64])
{
    snprintf(address, 64, "tcp://127.0.0.1:%u", free_port());
    struct link *req = open_ok(LINK_REQ, address);
    assert_int_equal(link_send(req, bytes_of_text("one")), OK);
    return req;
}

static void request_and_reply(void **state)
{
    char address[64];
    struct bytes got;
    (void)state;
    struct link *req = ask_early(address);
    assert_int_equal(link_recv(req, &got), ERR_AGAIN);
    struct link *rep = open_ok(LINK_REP, address);
    assert_true(serve(rep, req, &got, 5000) && bytes_equal(got, bytes_of_text("one")));
    assert_int_equal(link_send(rep, bytes_of_text("uno")), OK);
    assert_true(receive(req, &got, 5000) && bytes_equal(got, bytes_of_text("uno")));
    assert_int_equal(link_recv(req, &got), ERR_AGAIN);
    /* a new question replaces the one before: only its answer arrives */
    assert_int_equal(link_send(req, bytes_of_text("two")), OK);
    assert_true(serve(rep, req, &got, 5000) && bytes_equal(got, bytes_of_text("two")));
    assert_int_equal(link_send(req, bytes_of_text("three")), OK);
    assert_int_equal(link_send(rep, bytes_of_text("due")), OK);
    assert_true(serve(rep, req, &got, 5000) && bytes_equal(got, bytes_of_text("three")));
    assert_int_equal(link_send(rep, bytes_of_text("tre")), OK);
    assert_true(receive(req, &got, 5000) && bytes_equal(got, bytes_of_text("tre")));
    link_close(rep);                    /* the server restarts: the question is sent again */
    assert_int_equal(link_send(req, bytes_of_text("four")), OK);
    rep = open_ok(LINK_REP, address);
    assert_true(serve(rep, req, &got, 8000) && bytes_equal(got, bytes_of_text("four")));
    link_close(req);
    link_close(rep);
    link_close(NULL);
}

/* The asker loses the processor between looking at its connections and sending, and gets it back with a connection that was not
 * there when it looked: the request goes out on that one, once. nn_sendmsg here stands before nanomsg's own. */
static bool hold_until_connected;
int nn_sendmsg(int s, const struct nn_msghdr *msg, int flags)
{
    union { void *object; int (*function)(int, const struct nn_msghdr *, int); } nanomsg = { dlsym(RTLD_NEXT, "nn_sendmsg") };
    for (int left = 1000; hold_until_connected && left > 0 && nn_get_statistic(s, NN_STAT_CURRENT_CONNECTIONS) == 0; left--)
        poll(NULL, 0, 20);
    return nanomsg.function(s, msg, flags);
}

static void asked_once(void **state)
{
    char address[64];
    struct bytes got;
    (void)state;
    struct link *req = ask_early(address);
    struct link *rep = open_ok(LINK_REP, address);
    hold_until_connected = true;
    assert_int_equal(link_recv(req, &got), ERR_AGAIN);
    hold_until_connected = false;
    assert_true(serve(rep, req, &got, 5000) && bytes_equal(got, bytes_of_text("one")));
    for (int i = 0; i < 3; i++)
        assert_int_equal(link_recv(req, &got), ERR_AGAIN);
    assert_int_equal(link_send(req, bytes_of_text("two")), OK);
    assert_true(serve(rep, req, &got, 5000) && bytes_equal(got, bytes_of_text("two")));     /* not "one" again */
    link_close(req);
    link_close(rep);
}

/* Replies that nobody waits for any more: to a question that was replaced, or twice. The asker may be closed with them. */
static void late_replies(void **state)
{
    static const struct { const char *why; bool replaced, read; size_t len; } rows[] = {
        { "late, closed unread", true, false, 5000 }, { "late, read first", true, true, 5000 },
        { "late and short", true, true, 5 }, { "in time, closed unread", false, false, 5000 },
    };
    static uint8_t reply[5000];
    char address[64];
    struct bytes got;
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        snprintf(address, sizeof address, "tcp://127.0.0.1:%u", free_port());
        struct link *rep = open_ok(LINK_REP, address), *req = open_ok(LINK_REQ, address);
        assert_int_equal(link_send(req, bytes_of_text("one")), OK);
        assert_true(serve(rep, req, &got, 5000));
        if (rows[i].replaced)
            assert_int_equal(link_send(req, bytes_of_text("two")), OK);
        assert_int_equal(link_send(rep, bytes_of(reply, rows[i].len)), OK);
        usleep(50000);
        if (rows[i].read && link_recv(req, &got) != ERR_AGAIN)
            fail_msg("%s: delivered", rows[i].why);
        link_close(req);
        link_close(rep);
    }
}

/* Oversized: never delivered; the next one of the right size is. */
static void sizes_are_bounded(void **state)
{
    char address[64];
    struct bytes got;
    uint8_t *big = calloc(1, REPLY_MAX + 1);
    (void)state;
    snprintf(address, sizeof address, "tcp://127.0.0.1:%u", free_port());
    struct link *rep = open_ok(LINK_REP, address), *req = open_ok(LINK_REQ, address);
    size_t most = REQUEST_MAX - 8, most_reply = REPLY_MAX - 8;          /* nanomsg counts its own few bytes too */
    assert_int_equal(link_send(req, bytes_of(big, most)), OK);
    assert_true(serve(rep, req, &got, 5000) && got.len == most);
    assert_int_equal(link_send(rep, bytes_of(big, most_reply)), OK);
    assert_true(receive(req, &got, 5000) && got.len == most_reply);
    assert_int_equal(link_send(req, bytes_of(big, REQUEST_MAX + 1)), OK);
    assert_false(serve(rep, req, &got, 400));
    assert_int_equal(link_send(req, bytes_of_text("small")), OK);
    assert_true(serve(rep, req, &got, 8000) && got.len == 5);
    link_close(req);
    link_close(rep);
    free(big);
}

/* An edge that finds no good upstream opens its links again and again. Another socket keeps nanomsg itself open. */
static unsigned descriptors(void)
{
    DIR *d = opendir("/proc/self/fd");
    unsigned n = 0;
    if (d == NULL)
        return 0;
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n;
}

static void opened_again_and_again(void **state)
{
    static const struct { enum link_kind kind, to; } rows[] = { { LINK_SUB, LINK_PUB }, { LINK_REQ, LINK_REP }, { LINK_PUSH, LINK_PULL } };
    char address[64], nobody[64];
    (void)state;
    snprintf(nobody, sizeof nobody, "tcp://127.0.0.1:%u", free_port());
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        snprintf(address, sizeof address, "tcp://127.0.0.1:%u", free_port());
        struct link *server = open_ok(rows[i].to, address);
        unsigned before = descriptors();
        for (int n = 0; n < 100; n++) {
            link_close(open_ok(rows[i].kind, address));
            link_close(open_ok(rows[i].kind, nobody));
        }
        uint64_t end = clock_mono_ms() + 20000;
        while (descriptors() > before && clock_mono_ms() < end)     /* the server's ends of them close a little later */
            poll(NULL, 0, 20);
        assert_true(descriptors() <= before);
        link_close(server);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_that_work), cmocka_unit_test(files_stay), cmocka_unit_test(wrong_addresses), cmocka_unit_test(address_in_use),
        cmocka_unit_test(opened_again_and_again), cmocka_unit_test(request_and_reply), cmocka_unit_test(asked_once),
        cmocka_unit_test(late_replies), cmocka_unit_test(sizes_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
