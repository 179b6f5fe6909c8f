#include "builder/api_shell.h"

#include "base/clock.h"
#include "builder/api_tls.h"
#include "builder/core.h"
#include "builder/core_fleet.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define HEADERS_MAX 8192            /* a key of 500 bytes, each as %XX, fits thrice */
#define TIMEOUT_S 30
#define LIFE_MS 60000               /* to send a request or take a reply, at most */
#define REFUSED_BURST 10            /* lines per 10 s about keys that are not known */

static const int statuses[API_STATUSES] = { 200, 201, 202, 204, 400, 401, 403, 404, 405, 409, 410, 412, 413, 422, 500, 503, 507 };

/* --- replies --------------------------------------------------------------------------------------------------------- */
static void count(struct api_http *a, int status)
{
    for (size_t i = 0; i < API_STATUSES; i++)
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
    if (r->type != NULL)
        (void)evhttp_add_header(headers, "Content-Type", r->type);
    if (r->status == 401)
        (void)evhttp_add_header(headers, "WWW-Authenticate", "X-API-Key");
    if (r->allow != NULL)
        (void)evhttp_add_header(headers, "Allow", r->allow);
    for (unsigned i = 0; i < r->headers_n; i++)
        (void)evhttp_add_header(headers, r->headers[i].name, r->headers[i].value);
    if (!r->versioned)
        return;
    (void)snprintf(number, sizeof number, "%" PRIu64, r->version.epoch);
    (void)evhttp_add_header(headers, "X-Azoth-Epoch", number);
    (void)snprintf(number, sizeof number, "%" PRIu64, r->version.seq);
    (void)evhttp_add_header(headers, "X-Azoth-Seq", number);
}

static void asked_free(struct asked *q)
{
    api_call_release(&q->call);
    free(q);
}

static void sending_give(struct api_sending *s)
{
    if (s != NULL && --s->users == 0)
        free(s);
}

/* evhttp has sent the body, or given it up; the API may be gone. */
static void on_sent(const void *body, size_t len, void *arg)
{
    struct asked *q = arg;
    (void)body;
    q->sending->bytes -= len;
    sending_give(q->sending);
    asked_free(q);
}

/* evhttp keeps a request whose peer is gone until now. The body is sent from where it is: zones are large. */
void api_http_reply(struct asked *q)
{
    const struct api_reply *r = &q->call.reply;
    struct evbuffer *body = evbuffer_new();
    struct evhttp_request *req = q->req;
    bool taken = false;
    tell(q);
    q->api->bodies -= q->body;
    http_server_release(q->api->server, req);
    count(q->api, r->status);
    if (body != NULL)
        put_headers(evhttp_request_get_output_headers(req), r);
    if (body != NULL && r->body.len > 0)
        taken = evbuffer_add_reference(body, r->body.ptr, r->body.len, on_sent, q) == 0;
    if (taken) {
        q->sending = q->api->sending;
        q->sending->bytes += r->body.len;
        q->sending->users++;
    }
    if (body == NULL || (r->body.len > 0 && !taken))
        evhttp_send_error(req, HTTP_INTERNAL, NULL);
    else
        evhttp_send_reply(req, r->status, NULL, body);      /* q may be gone behind this */
    if (body != NULL)
        evbuffer_free(body);
    if (!taken)
        asked_free(q);
}

/* Any thread. Not by event_active: that wakes the loop with the lock in hand that the loop asks for next. */
static void done_put(struct api_http *a, struct asked *q)
{
    const uint64_t one = 1;
    q->next = NULL;
    (void)pthread_mutex_lock(&a->lock);
    bool first = a->done == NULL;
    *a->done_end = q;
    a->done_end = &q->next;
    (void)pthread_mutex_unlock(&a->lock);
    if (first && write(a->ready_fd, &one, sizeof one) != (ssize_t)sizeof one)
        log_error("api.ready", "err=\"cannot wake the loop\"");
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

static void on_change(void *arg, struct change *change)
{
    struct asked *q = arg;
    (void)change;
    done_put(q->api, q);
}

static void on_worked(struct asked *q)
{
    done_put(q->api, q);
}

static void take_order(struct asked *q)
{
    const struct core_cluster_result *r = &q->order;
    api_ordered(&q->call, &(struct api_ordered){ r->err, fault_text(&r->fault, r->err), r->epoch, r->seq, r->key_id });
}

/* Goes on with what a step said; each call of it ends one step. */
static void go_on(struct asked *q, enum api_next next);

static void take_done(struct asked *q)
{
    switch (q->kind) {
    case API_ORDER:
        take_order(q);
        go_on(q, API_REPLY);
        break;
    case API_WRITE:
        api_written(&q->call);
        go_on(q, API_REPLY);
        break;
    case API_CHANGE:
        go_on(q, q->call.finish(&q->call));
        break;
    default:
        go_on(q, q->worked);
    }
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
        take_done(q);
        q = next;
    }
}

static void on_ready(evutil_socket_t fd, short what, void *arg)
{
    uint64_t count;
    ssize_t n = read(fd, &count, sizeof count);         /* before the list is taken: what comes behind that rings again */
    (void)n, (void)what;
    reply_done(arg);
}

/* --- requests -------------------------------------------------------------------------------------------------------- */
static enum api_method method_of(const struct evhttp_request *req)
{
    switch (evhttp_request_get_command(req)) {
    case EVHTTP_REQ_PUT: return API_PUT;
    case EVHTTP_REQ_DELETE: return API_DELETE;
    case EVHTTP_REQ_POST: return API_POST;
    case EVHTTP_REQ_PATCH: return API_PATCH;
    case EVHTTP_REQ_OPTIONS: return API_OPTIONS;
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
    struct evhttp_connection *evcon = evhttp_request_get_connection(q->req);
    size_t len = evbuffer_get_length(input);
    char *client = NULL;
    uint16_t port = 0;
    if (evcon != NULL)
        evhttp_connection_get_peer(evcon, &client, &port);
    struct api_request r = {
        .method = method_of(q->req), .path = path != NULL ? path : "", .query = evhttp_uri_get_query(uri),
        .key = evhttp_find_header(headers, "X-API-Key"), .client = client,
        .head = evhttp_request_get_command(q->req) == EVHTTP_REQ_HEAD, .accept = evhttp_find_header(headers, "Accept"),
        .if_version = evhttp_find_header(headers, "X-Azoth-If-Version"),
        .if_absent = evhttp_find_header(headers, "X-Azoth-If-Absent"),
        .body = bytes_of(len > 0 ? evbuffer_pullup(input, -1) : NULL, len),
    };
    if (len > 0 && r.body.ptr == NULL)
        r.body.len = 0;
    (void)http_server_refused(q->api->server, q->req, &r.refused);
    q->body = r.body.len;
    q->api->bodies += q->body;
    enum api_next next = api_begin(&q->call, &r, q->api->keys);
    if (q->call.known)
        http_server_trust(q->api->server, q->req);
    return next;
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

static void give_change(struct asked *q)
{
    struct api_http *a = q->api;
    if (a->o.put == NULL) {
        api_fail(&q->call, 503, "there are no records here");
        api_http_reply(q);
        return;
    }
    q->call.change->told = on_change;
    q->call.change->told_arg = q;
    http_server_hold(a->server, q->req);
    a->o.put(a->o.changer, q->call.change);
}

static void go_on(struct asked *q, enum api_next next)
{
    struct api_http *a = q->api;
    switch (q->kind = next) {
    case API_REPLY:
        if (!api_will_wait(&q->call) || api_waits_park(a, q))
            api_http_reply(q);
        return;
    case API_READ:
        read_now(q);
        break;
    case API_FLEET:
        api_fleet(&q->call, core_fleet_look(a->o.core->fleet), clock_mono_us());
        break;
    case API_CHANGES:
        if (!api_waits_park(a, q))
            return;
        break;
    case API_WRITE:
        http_server_hold(a->server, q->req);
        kv_writer_put(a->writer, &q->call.txn);
        return;
    case API_ORDER:
        if (!give_order(a, q))
            return;
        break;
    case API_CHANGE:
        give_change(q);
        return;
    case API_WORK:
        if (a->o.source == NULL) {
            api_fail(&q->call, 503, "there are no records here");
            break;
        }
        if (q->call.brief) {
            go_on(q, api_lanes_now(a->lanes, a->view, &q->call));
            return;
        }
        if (q->call.slow && a->sending->bytes > API_SENDING_MAX) {
            api_fail(&q->call, 503, "large replies are still being sent; ask again later");
            break;
        }
        http_server_hold(a->server, q->req);
        api_lanes_put(a->lanes, q);
        return;
    }
    api_http_reply(q);
}

static void on_request(void *arg, struct evhttp_request *req)
{
    struct asked *q = calloc(1, sizeof *q);
    if (q == NULL) {
        evhttp_send_error(req, HTTP_INTERNAL, NULL);
        return;
    }
    q->api = arg;
    q->req = req;
    go_on(q, begin(q));
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

enum err api_http_reload(struct api_http *a)
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
        return err;
    }
    api_keys_free(a->keys);
    a->keys = keys;
    SSL_CTX_free(a->tls);           /* connections hold references of their own */
    a->tls = tls;
    log_info("api.reload", "keys=%zu tls=%s", api_keys_count(keys), tls != NULL ? "yes" : "no");
    return OK;
}

/* --- start and end --------------------------------------------------------------------------------------------------- */
static bool ready_open(struct api_http *a)
{
    a->ready_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    a->ready = a->ready_fd < 0 ? NULL : event_new(a->o.base, a->ready_fd, EV_READ | EV_PERSIST, on_ready, a);
    return a->ready != NULL && event_add(a->ready, NULL) == 0;
}

MUST_USE enum err api_http_open(struct api_http **out, const struct api_http_options *o, struct fault *fault)
{
    struct api_http *a = calloc(1, sizeof *a);
    struct http_limits limits = {
        .methods = EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE | EVHTTP_REQ_POST
                 | EVHTTP_REQ_PATCH | EVHTTP_REQ_OPTIONS,       /* the last gets its 405 as JSON */
        .headers = HEADERS_MAX, .room = api_room, .room_arg = a, .stranger = (long)API_STRANGER_MAX, .timeout_s = TIMEOUT_S, .life_ms = LIFE_MS,
    };
    enum err err;
    if (a == NULL)
        return ERR_NOMEM;
    a->o = *o;
    a->done_end = &a->done;
    a->ready_fd = -1;
    (void)pthread_mutex_init(&a->lock, NULL);
    if ((a->sending = calloc(1, sizeof *a->sending)) == NULL) {
        api_http_close(a);
        return ERR_NOMEM;
    }
    a->sending->users = 1;
    const struct api_lanes_options lanes = { .store = o->store, .source = o->source, .wishes = o->wishes, .board = o->board, .catalogs = o->catalogs, .done = on_worked };
    err = ready_open(a) ? api_waits_open(a) : ERR_NOMEM;
    if (err != OK || (err = keys_load(a, &a->keys, fault)) != OK || (err = api_tls_load(&a->tls, a->o.cert, a->o.key, fault)) != OK
        || (err = view_open(o->store, &a->view, fault)) != OK
        || (err = api_lanes_open(&a->lanes, &lanes, fault)) != OK
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
    api_lanes_stop(a->lanes);
    reply_done(a);                  /* a reply may ask for more: that is refused by now */
    reply_done(a);
    api_waits_end(a);
}

void api_http_close(struct api_http *a)
{
    if (a == NULL)
        return;
    if (a->writer != NULL)
        kv_writer_stop(a->writer);
    if (a->lanes != NULL)
        api_lanes_stop(a->lanes);
    reply_done(a);
    reply_done(a);
    api_waits_end(a);               /* each request has had its reply when evhttp goes */
    http_server_close(a->server);
    api_lanes_close(a->lanes);
    kv_writer_close(a->writer);
    view_close(a->view);
    api_keys_free(a->keys);
    SSL_CTX_free(a->tls);
    if (a->ready != NULL)
        event_free(a->ready);
    if (a->ready_fd >= 0)
        (void)close(a->ready_fd);
    api_waits_close(a);
    (void)pthread_mutex_destroy(&a->lock);
    sending_give(a->sending);
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
    for (size_t i = 0; i < API_STATUSES; i++) {
        (void)snprintf(label, sizeof label, "status=\"%d\"", statuses[i]);
        stat_value(p, "azoth_core_api_requests_total", label, stat_get(&a->replies[i]));
    }
    stat_head(p, "azoth_core_api_waiting", "gauge", "requests that wait for a change to reach the fleet");
    stat_value(p, "azoth_core_api_waiting", NULL, a->waits.n);
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
