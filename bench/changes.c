/* Changes to the addresses of a zone's hosts, through an API or as UPDATEs, and how long each took until it was answered.
 *
 *     bench-changes native|pdns PORT KEY ZONE HOSTS CHANGES OPS AT_ONCE       PATCHes with OPS RRsets, on AT_ONCE connections
 *     bench-changes update PORT ZONE HOSTS CHANGES OPS AT_ONCE                UPDATEs over UDP with OPS RRsets, AT_ONCE under way
 *
 * A host h0 .. h(HOSTS-1) gets a new address with each change; CHANGES counts RRsets. Prints
 * `done CHANGES SECONDS refused N us P50 P99 MAX`: from sending a request until its answer. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/api.h"
#include "wire/name.h"
#include "wire/rrtype.h"

#define UNDER_WAY_MAX 256
#define RESEND_NS 2000000000u
#define GIVE_UP_NS 30000000000u
#define PATH "/v1/zones/%s/rrsets"
#define PDNS_PATH "/api/v1/servers/localhost/zones/%s"

struct run {
    const char *zone;
    unsigned long hosts, changes, ops, at_once;
    unsigned long begun, ended, refused;        /* RRsets; requests */
    unsigned *us;
    size_t us_n;
    unsigned salt;
};

static void took(struct run *r, uint64_t ns, bool good)
{
    r->us[r->us_n++] = (unsigned)(ns / 1000);
    r->ended += r->ops;
    r->refused += !good;
}

struct host { unsigned long number; unsigned address[3]; };
static struct host next_host(struct run *r)
{
    unsigned long i = r->begun++;
    unsigned a = (unsigned)(i * 2654435761u) ^ r->salt;
    return (struct host){ i * 7919 % r->hosts, { a & 255, a >> 8 & 255, a >> 16 & 255 } };
}

/* --- the APIs --------------------------------------------------------------------------------------------------- */
static void on_reply(void *arg, const struct api_reply *reply)
{
    took(arg, reply->got_ns - reply->sent_ns, reply->status >= 200 && reply->status < 300);
}

static void send_patch(struct run *r, struct api *api, bool pdns)
{
    static char body[API_REQUEST_MAX];
    char path[400];
    size_t len = (size_t)snprintf(body, sizeof body, "{\"rrsets\":[");
    for (unsigned long i = 0; i < r->ops; i++) {
        struct host h = next_host(r);
        len += (size_t)snprintf(body + len, sizeof body - len, "%s{\"name\":\"h%lu.%s\",\"type\":\"A\",\"ttl\":300,%s\"records\":[{\"content\":"
                                "\"10.%u.%u.%u\"}]}", i > 0 ? "," : "", h.number, r->zone, pdns ? "\"changetype\":\"REPLACE\"," : "",
                                h.address[0], h.address[1], h.address[2]);
    }
    len += (size_t)snprintf(body + len, sizeof body - len, "]}");
    (void)snprintf(path, sizeof path, pdns ? PDNS_PATH : PATH, r->zone);
    api_send(api, "PATCH", path, body, len, 0);
}

static void through_api(struct run *r, int port, const char *key, bool pdns)
{
    struct api *api = api_open(port, key, r->at_once, on_reply, r);
    while (r->ended < r->changes) {
        while (api_idle(api) && r->begun < r->changes)
            send_patch(r, api, pdns);
        api_wait(api, 1000);
    }
    api_close(api);
}

/* --- UPDATE ------------------------------------------------------------------------------------------------------ */
struct asked { bool busy; uint64_t first_ns, sent_ns; size_t len; uint8_t bytes[4096]; };

static void put_text(struct wr *w, const char *text)
{
    struct name name;
    if (name_from_text(bytes_of_text(text), bytes_of(NULL, 0), &name) != OK)
        die(text, "not a domain name");
    wr_bytes(w, name_bytes(&name));
}

static void put_rr(struct wr *w, const char *owner, uint16_t class, uint32_t ttl, const uint8_t *rdata, size_t len)
{
    put_text(w, owner);
    wr_u16(w, TYPE_A);
    wr_u16(w, class);
    wr_u32(w, ttl);
    wr_u16(w, (uint16_t)len);
    wr_put(w, rdata, len);
}

static void make_update(struct run *r, struct asked *q, uint16_t id)
{
    struct wr w = wr_over(q->bytes, sizeof q->bytes);
    char owner[400];
    wr_u16(&w, id);
    wr_u16(&w, 5 << 11);
    wr_u16(&w, 1);
    wr_u16(&w, 0);
    wr_u16(&w, (uint16_t)(2 * r->ops));
    wr_u16(&w, 0);
    put_text(&w, r->zone);
    wr_u16(&w, TYPE_SOA);
    wr_u16(&w, CLASS_IN);
    for (unsigned long i = 0; i < r->ops; i++) {
        struct host h = next_host(r);
        uint8_t address[4] = { 10, (uint8_t)h.address[0], (uint8_t)h.address[1], (uint8_t)h.address[2] };
        (void)snprintf(owner, sizeof owner, "h%lu.%s", h.number, r->zone);
        put_rr(&w, owner, CLASS_ANY, 0, NULL, 0);
        put_rr(&w, owner, CLASS_IN, 300, address, sizeof address);
    }
    if (w.full)
        die("update", "too long");
    q->len = w.len;
    q->busy = true;
    q->first_ns = now_ns();
}

static void send_update(int fd, struct asked *q)
{
    q->sent_ns = now_ns();
    if (send(fd, q->bytes, q->len, 0) < 0 && errno != ECONNREFUSED)
        die("send", strerror(errno));
}

static void take_answers(struct run *r, int fd, struct asked *asked)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    uint8_t in[4096];
    if (poll(&p, 1, 10) <= 0)
        return;
    for (ssize_t n; (n = recv(fd, in, sizeof in, MSG_DONTWAIT)) >= 12; ) {
        unsigned id = (unsigned)in[0] << 8 | in[1];
        struct asked *q = id < r->at_once ? &asked[id] : NULL;
        if (q == NULL || !q->busy)
            continue;
        q->busy = false;
        took(r, now_ns() - q->first_ns, (in[3] & 15) == 0);
    }
}

static void through_updates(struct run *r, int port)
{
    static struct asked asked[UNDER_WAY_MAX];
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0 || r->at_once > UNDER_WAY_MAX)
        die("socket", strerror(errno));
    while (r->ended < r->changes) {
        for (unsigned long i = 0; i < r->at_once; i++) {
            struct asked *q = &asked[i];
            if (q->busy && now_ns() - q->first_ns > GIVE_UP_NS)
                die("update", "no answer");
            bool fresh = !q->busy && r->begun < r->changes;
            if (fresh)
                make_update(r, q, (uint16_t)i);
            if (fresh || (q->busy && now_ns() - q->sent_ns > RESEND_NS))
                send_update(fd, q);
        }
        take_answers(r, fd, asked);
    }
    (void)close(fd);
}

/* ----------------------------------------------------------------------------------------------------------------- */
static int by_size(const void *a, const void *b)
{
    const unsigned *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static struct run run_of(char **argv)           /* ZONE HOSTS CHANGES OPS AT_ONCE */
{
    struct run r = { .zone = argv[0], .hosts = strtoul(argv[1], NULL, 10), .changes = strtoul(argv[2], NULL, 10),
                     .ops = strtoul(argv[3], NULL, 10), .at_once = strtoul(argv[4], NULL, 10), .salt = (unsigned)now_ns() };
    if (r.hosts == 0 || r.ops == 0 || r.at_once == 0 || r.changes == 0)
        die("arguments", "numbers above 0");
    r.changes = (r.changes + r.ops - 1) / r.ops * r.ops;
    if ((r.us = malloc(r.changes / r.ops * sizeof *r.us)) == NULL)
        die("memory", strerror(errno));
    return r;
}

int main(int argc, char **argv)
{
    struct run r;
    uint64_t since = 0;
    (void)prctl(PR_SET_TIMERSLACK, 1);
    if (argc == 9 && (strcmp(argv[1], "native") == 0 || strcmp(argv[1], "pdns") == 0)) {
        r = run_of(argv + 4);
        since = now_ns();
        through_api(&r, atoi(argv[2]), argv[3], strcmp(argv[1], "pdns") == 0);
    } else if (argc == 8 && strcmp(argv[1], "update") == 0) {
        r = run_of(argv + 3);
        since = now_ns();
        through_updates(&r, atoi(argv[2]));
    } else {
        die("usage", "native|pdns PORT KEY ZONE HOSTS CHANGES OPS AT_ONCE | update PORT ZONE HOSTS CHANGES OPS AT_ONCE");
    }
    double seconds = (double)(now_ns() - since) / 1e9;
    qsort(r.us, r.us_n, sizeof *r.us, by_size);
    printf("done %lu %.3f refused %lu us %u %u %u\n", r.ended, seconds, r.refused, r.us[r.us_n / 2], r.us[r.us_n * 99 / 100],
           r.us[r.us_n - 1]);
    free(r.us);
    return 0;
}
