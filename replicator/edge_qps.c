#include "replicator/edge_qps.h"

#include "base/clock.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <stdio.h>
#include <stdlib.h>

#define PAGE_MAX ((size_t)1 << 20)
#define HEADERS_MAX 8192
#define TIMEOUT_S 1

struct edge_qps {
    struct event_base *base;
    char address[64];
    uint16_t port;
    struct event *timer;                /* NULL: nobody to ask */
    struct evhttp_connection *connection;
    bool asking, has_count;
    uint64_t count, count_ms, qps;
};

/* --- the page -------------------------------------------------------------------------------------------------------- */
/* The number at the end of a line, if the line is about the counter. */
static bool line_read(struct bytes line, uint64_t *n)
{
    static const char name[] = "azoth_dns_queries_total";
    char digits[24];
    size_t at = line.len;
    if (!bytes_starts(line, bytes_of_text(name)) || line.len == sizeof name - 1
        || (line.ptr[sizeof name - 1] != '{' && line.ptr[sizeof name - 1] != ' '))
        return false;
    while (at > 0 && line.ptr[at - 1] != ' ')
        at--;
    size_t len = line.len - at;
    if (len >= sizeof digits)
        return false;
    memcpy(digits, line.ptr + at, len);
    digits[len] = '\0';
    return text_number(digits, INT64_MAX, n) == OK;
}

enum err edge_qps_sum(struct bytes page, uint64_t *out)
{
    struct rd r = rd_over(page);
    uint64_t sum = 0, n;
    bool any = false;
    while (rd_left(&r) > 0) {
        const uint8_t *end = memchr(r.p, '\n', rd_left(&r));
        struct bytes line = rd_take(&r, end != NULL ? (size_t)(end - r.p) : rd_left(&r));
        if (end != NULL)
            (void)rd_take(&r, 1);
        if (line_read(line, &n) && sum + n >= sum) {
            sum += n;
            any = true;
        }
    }
    if (!any)
        return ERR_NOTFOUND;
    *out = sum;
    return OK;
}

static void counted(struct edge_qps *q, uint64_t count)
{
    uint64_t now = clock_mono_ms(), ms = now - q->count_ms;
    q->qps = q->has_count && count >= q->count && ms > 0 ? (count - q->count) * 1000 / ms : 0;
    q->has_count = true;
    q->count = count;
    q->count_ms = now;
}

/* --- asking ---------------------------------------------------------------------------------------------------------- */
/* req NULL: no reply. */
static void on_reply(struct evhttp_request *req, void *arg)
{
    struct edge_qps *q = arg;
    uint64_t count = 0;
    bool good = false;
    q->asking = false;
    if (req != NULL && evhttp_request_get_response_code(req) == HTTP_OK) {
        struct evbuffer *in = evhttp_request_get_input_buffer(req);
        size_t len = evbuffer_get_length(in);
        const uint8_t *page = len > 0 ? evbuffer_pullup(in, -1) : NULL;
        good = page != NULL && edge_qps_sum(bytes_of(page, len), &count) == OK;
    }
    if (good) {
        counted(q, count);
    } else {
        q->has_count = false;
        q->qps = 0;
    }
}

static void forget_connection(struct edge_qps *q)
{
    if (q->connection != NULL)
        evhttp_connection_free(q->connection);
    q->connection = NULL;
}

static void ask(struct edge_qps *q)
{
    forget_connection(q);               /* azoth-dns ends idle ones anyway */
    q->connection = evhttp_connection_base_new(q->base, NULL, q->address, q->port);
    struct evhttp_request *req = q->connection != NULL ? evhttp_request_new(on_reply, q) : NULL;
    if (req == NULL)
        return;
    evhttp_connection_set_timeout(q->connection, TIMEOUT_S);
    evhttp_connection_set_max_body_size(q->connection, (ev_ssize_t)PAGE_MAX);
    evhttp_connection_set_max_headers_size(q->connection, HEADERS_MAX);
    (void)evhttp_add_header(evhttp_request_get_output_headers(req), "Host", q->address);
    (void)evhttp_add_header(evhttp_request_get_output_headers(req), "Connection", "close");
    q->asking = true;
    if (evhttp_make_request(q->connection, req, EVHTTP_REQ_GET, "/metrics") != 0)
        q->asking = false;              /* req is freed */
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct edge_qps *q = arg;
    (void)fd, (void)what;
    if (!q->asking)
        ask(q);
}

/* --- life ------------------------------------------------------------------------------------------------------------ */
/* ADDRESS@PORT; one that stands for all addresses is asked at the loopback one. Names are not looked up: that may wait. */
static bool address_read(struct edge_qps *q, const char *listen)
{
    const char *at = strrchr(listen, '@');
    uint8_t binary[16];
    uint64_t port;
    if (at == NULL || text_number(at + 1, 65535, &port) != OK || (size_t)(at - listen) >= sizeof q->address)
        return false;
    (void)snprintf(q->address, sizeof q->address, "%.*s", (int)(at - listen), listen);
    if (strcmp(q->address, "0.0.0.0") == 0 || strcmp(q->address, "localhost") == 0)
        (void)snprintf(q->address, sizeof q->address, "127.0.0.1");
    else if (strcmp(q->address, "::") == 0)
        (void)snprintf(q->address, sizeof q->address, "::1");
    q->port = (uint16_t)port;
    return inet_pton(AF_INET, q->address, binary) == 1 || inet_pton(AF_INET6, q->address, binary) == 1;
}

enum err edge_qps_open(struct edge_qps **out, struct event_base *base, const char *listen)
{
    static const struct timeval every = { EDGE_QPS_EVERY_MS / 1000, 0 };
    struct edge_qps *q = calloc(1, sizeof *q);
    if (q == NULL)
        return ERR_NOMEM;
    q->base = base;
    if (listen != NULL && address_read(q, listen)) {
        q->timer = event_new(base, -1, EV_PERSIST, on_timer, q);
        if (q->timer == NULL || event_add(q->timer, &every) != 0) {
            edge_qps_close(q);
            return ERR_NOMEM;
        }
    }
    *out = q;
    return OK;
}

void edge_qps_close(struct edge_qps *q)
{
    if (q == NULL)
        return;
    forget_connection(q);
    if (q->timer != NULL)
        event_free(q->timer);
    free(q);
}

uint64_t edge_qps_now(const struct edge_qps *q)
{
    return q->qps;
}
