#include "builder/api_http.h"

#include "base/clock.h"
#include "base/http_server.h"
#include "base/log.h"
#include "builder/api.h"
#include "builder/api_tls.h"
#include "builder/core.h"
#include "builder/core_cluster.h"
#include "builder/core_fleet.h"
#include "builder/kv_writer.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <inttypes.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define HEADERS_MAX 8192            /* a key of 500 bytes, each as %XX, fits thrice */
#define TIMEOUT_S 30
#define LIFE_MS 60000               /* to send a request or take a reply, at most */
#define PARKED_LOOK_MS 250          /* whose time is over, and whose peer is gone */
#define REFUSED_BURST 10            /* lines per 10 s about keys that are not known */

static const int statuses[] = { 200, 400, 401, 403, 404, 405, 409, 412, 413, 500, 503, 507 };
#define STATUSES_N (sizeof statuses / sizeof statuses[0])

/* One request that is being answered. */
struct asked {
    struct api_call call;
    enum api_next kind;
    struct core_cluster_result order;       /* API_ORDER, when it is told */
    struct evhttp_request *req;
    struct api_http *api;
    struct asked *next;             /* in api->done, or api->parked */
    uint64_t until_ms;              /* parked */
};

struct api_http {
    struct api_http_options o;
    struct api_keys *keys;
    SSL_CTX *tls;                   /* NULL: plain HTTP */
    struct view *view;
    struct kv_writer *writer;
    struct http_server *server;
    struct log_brake brake;
    stat_count replies[STATUSES_N];
    struct asked *parked;           /* API_CHANGES */
    unsigned parked_n;
    struct event *look;             /* at those */
    uint64_t look_ms;               /* it is due then; 0: it is not waiting */
    struct event *ready;            /* made active by the writing thread */
    pthread_mutex_t lock;           /* of what follows */
    struct asked *done, **done_end;
};

/* --- replies --------------------------------------------------------------------------------------------------------- */
static void count(struct api_http *a, int status)
{
    for (size_t i = 0; i < STATUSES_N; i++)
        if (statuses[i] == status)
            stat_add(&a->replies[i], 1);
}

static void tell(struct asked *q)
{
    struct evhttp_connection *evcon = evhttp_request_get_connection(q->req);
    const struct api_call *c = &q->call;
    char *peer = NULL, path[400];
    uint16_t port = 0;
    unsigned dropped = 0;
    bool stranger = c->reply.status == 401;
    if (stranger && !log_brake_pass(&q->api->brake, clock_mono_ms(), REFUSED_BURST, &dropped))
        return;
    if (evcon != NULL)
        evhttp_connection_get_peer(evcon, &peer, &port);
    log_line(stranger ? LOG_WARN : LOG_DEBUG, stranger ? "api.refused" : "api.reply",
             "status=%d from=%s key=%s path=%s dropped=%u", c->reply.status, peer != NULL ? peer : "gone",
             !c->known ? "unknown" : c->who.name[0] != '\0' ? c->who.name : "unnamed",
             log_quote(path, sizeof path, evhttp_request_get_uri(q->req)), dropped);
}

static void put_headers(struct evkeyvalq *headers, const struct api_reply *r)
{
    char number[24];
    (void)evhttp_add_header(headers, "Content-Type", r->type);
    if (r->status == 401)
        (void)evhttp_add_header(headers, "WWW-Authenticate", "X-API-Key");
    if (r->allow != NULL)
        (void)evhttp_add_header(headers, "Allow", r->allow);
    if (!r->versioned)
        return;
    (void)snprintf(number, sizeof number, "%" PRIu64, r->version.epoch);
    (void)evhttp_add_header(headers, "X-Azoth-Epoch", number);
    (void)snprintf(number, sizeof number, "%" PRIu64, r->version.seq);
    (void)evhttp_add_header(headers, "X-Azoth-Seq", number);
}

/* Sends the reply and frees q. evhttp keeps a request whose peer is gone until now. */
static void reply(struct asked *q)
{
    const struct api_reply *r = &q->call.reply;
    struct evbuffer *body = evbuffer_new();
    tell(q);
    http_server_release(q->api->server, q->req);
    count(q->api, r->status);
    if (body == NULL || evbuffer_add(body, r->body.ptr, r->body.len) != 0) {
        evhttp_send_error(q->req, HTTP_INTERNAL, NULL);
    } else {
        put_headers(evhttp_request_get_output_headers(q->req), r);
        evhttp_send_reply(q->req, r->status, NULL, body);
    }
    if (body != NULL)
        evbuffer_free(body);
    api_call_release(&q->call);
    free(q);
}

/* Any thread. */
static void done_put(struct api_http *a, struct asked *q)
{
    q->next = NULL;
    (void)pthread_mutex_lock(&a->lock);
    *a->done_end = q;
    a->done_end = &q->next;
    (void)pthread_mutex_unlock(&a->lock);
    event_active(a->ready, EV_READ, 0);
}

/* The writing thread (or whoever ends the queue) has the result. */
static void on_told(void *arg, struct kv_txn *t)
{
    done_put(arg, (struct asked *)(void *)((char *)t - offsetof(struct asked, call) - offsetof(struct api_call, txn)));
}

static void on_order(void *arg, const struct core_cluster_result *result)
{
    struct asked *q = arg;
    q->order = *result;
    done_put(q->api, q);
}

static void take_order(struct asked *q)
{
    const struct core_cluster_result *r = &q->order;
    api_ordered(&q->call, &(struct api_ordered){ r->err, fault_text(&r->fault, r->err), r->epoch, r->seq, r->key_id });
}

static void reply_done(struct api_http *a)
{
    (void)pthread_mutex_lock(&a->lock);
    struct asked *q = a->done;
    a->done = NULL;
    a->done_end = &a->done;
    (void)pthread_mutex_unlock(&a->lock);
    while (q != NULL) {
        struct asked *next = q->next;
        if (q->kind == API_ORDER)
            take_order(q);
        else
            api_written(&q->call);
        reply(q);
        q = next;
    }
}

static void on_ready(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    reply_done(arg);
}

/* --- those who wait for the fleet ------------------------------------------------------------------------------------- */
/* evhttp does not look at a connection whose request is being answered. */
static bool peer_is_gone(const struct asked *q)
{
    struct evhttp_connection *evcon = evhttp_request_get_connection(q->req);
    if (evcon == NULL)
        return true;
    struct pollfd p = { .fd = bufferevent_getfd(evhttp_connection_get_bufferevent(evcon)), .events = POLLRDHUP };
    return p.fd < 0 || (poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0);
}

static void look_later(struct api_http *a, uint64_t now_ms)
{
    uint64_t ms = PARKED_LOOK_MS;
    for (const struct asked *q = a->parked; q != NULL; q = q->next) {
        uint64_t left = q->until_ms > now_ms ? q->until_ms - now_ms : 0;
        ms = left < ms ? left : ms;
    }
    const struct timeval tv = { 0, (suseconds_t)ms * 1000 };
    if (a->parked == NULL || (a->look_ms != 0 && a->look_ms <= now_ms + ms))
        return;                     /* never later than it stands: who comes must not hold it off */
    a->look_ms = now_ms + ms;
    (void)event_add(a->look, &tv);
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    struct api_http *a = arg;
    struct asked **at = &a->parked, *q;
    struct fleet *fleet = core_fleet_look(a->o.core->fleet);
    uint64_t now_ms = clock_mono_ms();
    (void)fd, (void)what;
    a->look_ms = 0;
    while ((q = *at) != NULL) {
        if (!api_changes(&q->call, fleet, clock_mono_us(), now_ms >= q->until_ms || peer_is_gone(q))) {
            at = &q->next;
            continue;
        }
        *at = q->next;
        a->parked_n--;
        reply(q);
    }
    look_later(a, now_ms);
}

void api_http_moved(struct api_http *a)
{
    if (a->parked != NULL)
        event_active(a->look, EV_TIMEOUT, 0);
}

/* true: it has its reply already. */
static bool park(struct api_http *a, struct asked *q)
{
    uint64_t now_ms = clock_mono_ms();
    if (api_changes(&q->call, core_fleet_look(a->o.core->fleet), clock_mono_us(), q->call.changes.wait_ms == 0))
        return true;
    if (a->parked_n == API_PARKED_MAX) {
        api_fail(&q->call, 503, "too many requests wait for changes; ask again without wait, or later");
        return true;
    }
    http_server_hold(a->server, q->req);
    q->until_ms = now_ms + q->call.changes.wait_ms;
    q->next = a->parked;
    a->parked = q;
    a->parked_n++;
    look_later(a, now_ms);
    return false;
}

static void unpark_all(struct api_http *a)
{
    while (a->parked != NULL) {
        struct asked *q = a->parked;
        a->parked = q->next;
        a->parked_n--;
        api_fail(&q->call, 503, "the core is ending");
        reply(q);
    }
}

/* --- requests -------------------------------------------------------------------------------------------------------- */
static enum api_method method_of(const struct evhttp_request *req)
{
    switch (evhttp_request_get_command(req)) {
    case EVHTTP_REQ_PUT: return API_PUT;
    case EVHTTP_REQ_DELETE: return API_DELETE;
    case EVHTTP_REQ_POST: return API_POST;
    case EVHTTP_REQ_GET:
    case EVHTTP_REQ_HEAD: return API_GET;
    default: return API_OTHER;
    }
}

static enum api_next begin(struct asked *q)
{
    struct evkeyvalq *headers = evhttp_request_get_input_headers(q->req);
    struct evbuffer *input = evhttp_request_get_input_buffer(q->req);
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(q->req);
    const char *path = evhttp_uri_get_path(uri);
    size_t len = evbuffer_get_length(input);
    struct api_request r = {
        .method = method_of(q->req), .path = path != NULL ? path : "", .query = evhttp_uri_get_query(uri),
        .key = evhttp_find_header(headers, "X-API-Key"),
        .if_version = evhttp_find_header(headers, "X-Azoth-If-Version"),
        .if_absent = evhttp_find_header(headers, "X-Azoth-If-Absent"),
        .body = bytes_of(len > 0 ? evbuffer_pullup(input, -1) : NULL, len),
    };
    if (len > 0 && r.body.ptr == NULL)
        r.body.len = 0;
    return api_begin(&q->call, &r, q->api->keys);
}

static void read_now(struct asked *q)
{
    struct view *v = q->api->view;
    if (view_begin(v) != OK) {
        q->call.reply.body = bytes_of_text("{\"error\":\"the store cannot be read\"}");
        return;
    }
    api_read(&q->call, v);
    view_end(v);
}

/* true: it has its reply already. */
static bool give_order(struct api_http *a, struct asked *q)
{
    if (q->call.order == API_ROTATE_KEY && !a->o.core->config->core->encrypt) {
        api_fail(&q->call, 409, "core.encrypt is off: there is no cluster key");
        return true;
    }
    http_server_hold(a->server, q->req);
    if (q->call.order == API_ROTATE_KEY)
        core_cluster_rotate_key(a->o.core, "asked for", on_order, q);
    else
        core_cluster_raise_epoch(a->o.core, on_order, q);
    return false;
}

static void on_request(void *arg, struct evhttp_request *req)
{
    struct api_http *a = arg;
    struct asked *q = calloc(1, sizeof *q);
    if (q == NULL) {
        evhttp_send_error(req, HTTP_INTERNAL, NULL);
        return;
    }
    q->api = a;
    q->req = req;
    switch (q->kind = begin(q)) {
    case API_REPLY:
        break;
    case API_READ:
        read_now(q);
        break;
    case API_FLEET:
        api_fleet(&q->call, core_fleet_look(a->o.core->fleet), clock_mono_us());
        break;
    case API_CHANGES:
        if (!park(a, q))
            return;
        break;
    case API_WRITE:
        http_server_hold(a->server, req);
        kv_writer_put(a->writer, &q->call.txn);
        return;
    case API_ORDER:
        if (!give_order(a, q))
            return;
        break;
    }
    reply(q);
}

/* --- keys and TLS ---------------------------------------------------------------------------------------------------- */
static enum err keys_load(const struct api_http *a, struct api_keys **out, struct fault *fault)
{
    char path[400];
    enum err err = api_keys_load(out, a->o.key_file, fault);
    if (err != OK)
        return err;
    (void)log_quote(path, sizeof path, a->o.key_file);
    if (api_keys_file_is_open(a->o.key_file))
        log_warn("api.keys", "file=%s err=\"every user of this machine can read it\" next=\"chmod o= it\"", path);
    if (api_keys_count(*out) == 0)
        log_warn("api.keys", "file=%s err=\"it holds no key\" next=\"refusing all requests\"", path);
    return OK;
}

/* A function and its argument for http_server: the certificate may be another one for the next connection. */
static struct bufferevent *make_connection(struct event_base *base, void *arg)
{
    const struct api_http *a = arg;
    return api_tls_connection(base, a->tls);
}

void api_http_reload(struct api_http *a)
{
    struct fault fault = { "" };
    struct api_keys *keys = NULL;
    SSL_CTX *tls = NULL;
    char why[600];
    enum err err = keys_load(a, &keys, &fault);
    if (err == OK)
        err = api_tls_load(&tls, a->o.cert, a->o.key, &fault);
    if (err != OK) {
        log_error("api.reload", "err=%s next=\"going on with the old keys and certificate\"",
                  log_quote(why, sizeof why, fault_text(&fault, err)));
        api_keys_free(keys);
        return;
    }
    api_keys_free(a->keys);
    a->keys = keys;
    SSL_CTX_free(a->tls);           /* connections hold references of their own */
    a->tls = tls;
    log_info("api.reload", "keys=%zu tls=%s", api_keys_count(keys), tls != NULL ? "yes" : "no");
}

/* --- start and end --------------------------------------------------------------------------------------------------- */
MUST_USE enum err api_http_open(struct api_http **out, const struct api_http_options *o, struct fault *fault)
{
    const struct http_limits plain = {
        .methods = EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE | EVHTTP_REQ_POST
                 | EVHTTP_REQ_PATCH | EVHTTP_REQ_OPTIONS,       /* these two get their 405 as JSON */
        .headers = HEADERS_MAX, .body = (long)API_BODY_MAX, .timeout_s = TIMEOUT_S, .life_ms = LIFE_MS,
    };
    struct http_limits limits = plain;
    struct api_http *a = calloc(1, sizeof *a);
    enum err err;
    if (a == NULL)
        return ERR_NOMEM;
    a->o = *o;
    a->done_end = &a->done;
    (void)pthread_mutex_init(&a->lock, NULL);
    if ((a->ready = event_new(o->base, -1, 0, on_ready, a)) == NULL
        || (a->look = event_new(o->base, -1, 0, on_look, a)) == NULL) {
        err = ERR_NOMEM;
        goto failed;
    }
    if ((err = keys_load(a, &a->keys, fault)) != OK || (err = api_tls_load(&a->tls, a->o.cert, a->o.key, fault)) != OK
        || (err = view_open(o->store, &a->view, fault)) != OK
        || (err = kv_writer_open(&a->writer, o->committer, o->queue, on_told, a)) != OK)
        goto failed;
    if (a->tls != NULL) {
        limits.make = make_connection;
        limits.arg = a;
    }
    if ((err = http_server_open(&a->server, o->base, o->listen, &limits, on_request, a, fault)) != OK)
        goto failed;
    log_info("api.start", "listen=%s tls=%s keys=%zu", o->listen, a->tls != NULL ? "yes" : "no",
             api_keys_count(a->keys));
    *out = a;
    return OK;
failed:
    api_http_close(a);
    return err;
}

void api_http_end(struct api_http *a)
{
    http_server_pause(a->server);
    kv_writer_stop(a->writer);
    unpark_all(a);
    reply_done(a);
}

void api_http_close(struct api_http *a)
{
    if (a == NULL)
        return;
    if (a->writer != NULL)
        kv_writer_stop(a->writer);
    unpark_all(a);
    reply_done(a);                  /* each request has had its reply when evhttp goes */
    http_server_close(a->server);
    kv_writer_close(a->writer);
    view_close(a->view);
    api_keys_free(a->keys);
    SSL_CTX_free(a->tls);
    if (a->ready != NULL)
        event_free(a->ready);
    if (a->look != NULL)
        event_free(a->look);
    (void)pthread_mutex_destroy(&a->lock);
    free(a);
}

/* --- metrics --------------------------------------------------------------------------------------------------------- */
static void group_metrics(const struct kv_writer_stats *s, struct stat_page *p)
{
    char label[32];
    uint64_t sum = 0;
    stat_head(p, "azoth_core_api_groups", "histogram", "transactions that arrived together, by their number");
    for (size_t i = 0; i < KV_GROUP_SIZES; i++) {
        sum += stat_get(&s->groups[i]);
        (void)snprintf(label, sizeof label, "le=\"%zu\"", (size_t)1 << i);
        stat_value(p, "azoth_core_api_groups_bucket", label, sum);
    }
    stat_value(p, "azoth_core_api_groups_bucket", "le=\"+Inf\"", sum);
    stat_value(p, "azoth_core_api_groups_sum", NULL, stat_get(&s->done) + stat_get(&s->refused) + stat_get(&s->failed));
    stat_value(p, "azoth_core_api_groups_count", NULL, sum);
}

void api_http_metrics(const struct api_http *a, struct stat_page *p)
{
    const struct kv_writer_stats *s = kv_writer_stats(a->writer);
    char label[32];
    stat_head(p, "azoth_core_api_requests_total", "counter", "API requests answered, by status");
    for (size_t i = 0; i < STATUSES_N; i++) {
        (void)snprintf(label, sizeof label, "status=\"%d\"", statuses[i]);
        stat_value(p, "azoth_core_api_requests_total", label, stat_get(&a->replies[i]));
    }
    stat_head(p, "azoth_core_api_waiting", "gauge", "requests that wait for a change to reach the fleet");
    stat_value(p, "azoth_core_api_waiting", NULL, a->parked_n);
    stat_head(p, "azoth_core_api_writes_total", "counter", "transactions of the API, by how they ended");
    stat_value(p, "azoth_core_api_writes_total", "end=\"done\"", stat_get(&s->done));
    stat_value(p, "azoth_core_api_writes_total", "end=\"refused\"", stat_get(&s->refused));
    stat_value(p, "azoth_core_api_writes_total", "end=\"failed\"", stat_get(&s->failed));
    stat_head(p, "azoth_core_api_ops_total", "counter", "puts and deletes in the transactions that are done");
    stat_value(p, "azoth_core_api_ops_total", NULL, stat_get(&s->ops));
    stat_head(p, "azoth_core_api_syncs_total", "counter", "syncs to disk that these transactions shared");
    stat_value(p, "azoth_core_api_syncs_total", NULL, stat_get(&s->syncs));
    group_metrics(s, p);
}
