#include "tools/client.h"

#include "base/file.h"
#include "tools/progress.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/http.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/socket.h>

#define KEY_FILE_MAX ((size_t)1 << 20)
#define HEADERS_MAX 65536
#define FETCH_MAX ((ev_ssize_t)1 << 40)
#define TICK_US 200000

struct client {
    struct event_base *base;
    struct evhttp_uri *uri;
    SSL_CTX *tls;                   /* NULL: plain HTTP */
    char key[512], host[300];       /* host: as in the Host header */
    uint16_t port;
    uint64_t timeout_ms;
    struct progress *bar;           /* NULL: none */
    client_take_fn *take;           /* NULL: the reply is kept */
    void *take_arg;
    /* of one call */
    struct bufferevent *bev;
    uint8_t *body;
    struct client_reply reply;
    struct evbuffer *kept;          /* of a reply that take is not for */
    size_t body_len, sent;          /* sent: with the headers */
    bool replied, timed_out, writes, ended, given_up, garbled, too_long;
    int error;                      /* errno when there is no reply; 0: the peer just ended */
    char tls_error[160];
};

/* --- the key and the address ----------------------------------------------------------------------------------------- */
static int key_from_file(struct client *c, const char *path)
{
    struct bytes text;
    struct fault fault = { "" };
    enum err err = file_read(path, KEY_FILE_MAX, &text, &fault);
    if (err != OK)
        return tool_fail(EXIT_USAGE, "%s", fault_text(&fault, err));
    char *file = (char *)(uintptr_t)text.ptr;       /* file_read ends it with a 0 byte */
    char *rest = NULL, *word = NULL;
    for (char *line = strtok_r(file, "\r\n", &rest); line != NULL && word == NULL; line = strtok_r(NULL, "\r\n", &rest)) {
        line += strspn(line, " \t");
        line[strcspn(line, " \t")] = '\0';
        if (line[0] != '\0' && line[0] != '#')
            word = line;
    }
    bool fits = word != NULL && strlen(word) < sizeof c->key;
    if (fits)
        (void)snprintf(c->key, sizeof c->key, "%s", word);
    sodium_memzero(file, text.len);
    free(file);
    return fits ? EXIT_FINE : tool_fail(EXIT_USAGE, "%s holds no API key", path);
}

static int take_key(struct client *c, const struct options *o)
{
    const char *key = getenv("AZOTH_API_KEY"), *file = getenv("AZOTH_API_KEY_FILE");
    bool no_key = key == NULL || key[0] == '\0';
    if (o->key_file != NULL)
        return key_from_file(c, o->key_file);
    if (no_key && file != NULL && file[0] != '\0')
        return key_from_file(c, file);
    if (no_key)
        return tool_fail(EXIT_USAGE, "no API key: give --key-file FILE, or set AZOTH_API_KEY or AZOTH_API_KEY_FILE");
    if (strlen(key) >= sizeof c->key || strpbrk(key, "\r\n") != NULL)
        return tool_fail(EXIT_USAGE, "AZOTH_API_KEY holds no API key");
    (void)snprintf(c->key, sizeof c->key, "%s", key);
    return EXIT_FINE;
}

static int take_address(struct client *c, const struct options *o, bool *https)
{
    const char *api = o->api != NULL ? o->api : getenv("AZOTH_API");
    if (api == NULL || api[0] == '\0')
        return tool_fail(EXIT_USAGE, "where the API listens is not known: give --api URL or set AZOTH_API");
    c->uri = evhttp_uri_parse(api);
    const char *scheme = c->uri != NULL ? evhttp_uri_get_scheme(c->uri) : NULL;
    const char *host = c->uri != NULL ? evhttp_uri_get_host(c->uri) : NULL;
    const char *path = c->uri != NULL ? evhttp_uri_get_path(c->uri) : NULL;
    *https = scheme != NULL && strcmp(scheme, "https") == 0;
    if (scheme == NULL || (!*https && strcmp(scheme, "http") != 0) || host == NULL || host[0] == '\0'
        || (path != NULL && path[0] != '\0' && strcmp(path, "/") != 0) || strlen(host) > 255)
        return tool_fail(EXIT_USAGE, "'%s' is not http://HOST:PORT or https://HOST:PORT", api);
    int port = evhttp_uri_get_port(c->uri);
    c->port = port > 0 ? (uint16_t)port : *https ? 443 : 80;
    (void)snprintf(c->host, sizeof c->host, "%s:%u", host, c->port);
    return EXIT_FINE;
}

static int take_tls(struct client *c, const struct options *o)
{
    if ((c->tls = SSL_CTX_new(TLS_client_method())) == NULL)
        return tool_fail(EXIT_USAGE, "out of memory");
    SSL_CTX_set_verify(c->tls, SSL_VERIFY_PEER, NULL);
    (void)SSL_CTX_set_min_proto_version(c->tls, TLS1_2_VERSION);
    int fine = o->ca_file != NULL ? SSL_CTX_load_verify_locations(c->tls, o->ca_file, NULL)
                                  : SSL_CTX_set_default_verify_paths(c->tls);
    return fine == 1 ? EXIT_FINE : tool_fail(EXIT_USAGE, "%s holds no certificate of an authority",
                                             o->ca_file != NULL ? o->ca_file : "the system");
}

int client_open(struct client **out, const struct options *o, uint64_t timeout_ms)
{
    struct client *c = calloc(1, sizeof *c);
    bool https = false;
    if (c == NULL || (c->base = event_base_new()) == NULL) {
        client_close(c);
        return tool_fail(EXIT_USAGE, "out of memory");
    }
    c->timeout_ms = timeout_ms;
    (void)signal(SIGPIPE, SIG_IGN);
    int code = take_address(c, o, &https);
    if (code == EXIT_FINE)
        code = take_key(c, o);
    if (code == EXIT_FINE && https)
        code = take_tls(c, o);
    if (code != EXIT_FINE) {
        client_close(c);
        return code;
    }
    *out = c;
    return EXIT_FINE;
}

void client_close(struct client *c)
{
    if (c == NULL)
        return;
    free(c->body);
    SSL_CTX_free(c->tls);
    if (c->uri != NULL)
        evhttp_uri_free(c->uri);
    if (c->base != NULL)
        event_base_free(c->base);
    sodium_memzero(c->key, sizeof c->key);
    free(c);
}

void client_percent(char *out, struct bytes b)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < b.len; i++) {
        uint8_t c = b.ptr[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_'
                  || c == '~';
        if (plain) {
            *out++ = (char)c;
        } else {
            *out++ = '%';
            *out++ = hex[c >> 4];
            *out++ = hex[c & 15];
        }
    }
    *out = '\0';
}

/* --- one call -------------------------------------------------------------------------------------------------------- */
static void note_error(struct client *c)
{
    unsigned long code = c->tls != NULL ? bufferevent_get_openssl_error(c->bev) : 0;
    c->error = errno != EAGAIN ? errno : 0;     /* EAGAIN: a leftover of a read before the connection was closed */
    if (code != 0)
        ERR_error_string_n(code, c->tls_error, sizeof c->tls_error);
}

/* req NULL, or without a status: no reply came. */
static void on_reply(struct evhttp_request *req, void *arg)
{
    struct client *c = arg;
    int status = req != NULL ? evhttp_request_get_response_code(req) : 0;
    if (status == 0) {
        note_error(c);
    } else {
        struct evbuffer *in = c->kept != NULL ? c->kept : evhttp_request_get_input_buffer(req);
        size_t len = evbuffer_get_length(in);
        c->body = malloc(len + 1);
        c->replied = c->body != NULL && (len == 0 || evbuffer_remove(in, c->body, len) == (int)len);
        c->error = c->replied ? 0 : ENOMEM;
        c->reply = (struct client_reply){ status, bytes_of(c->body, len) };
    }
    (void)event_base_loopbreak(c->base);
}

/* Of client_fetch: some of the reply's body, which goes when this returns. */
static void on_piece(struct evhttp_request *req, void *arg)
{
    struct client *c = arg;
    struct evbuffer *in = evhttp_request_get_input_buffer(req);
    bool fine = true;
    if (evhttp_request_get_response_code(req) != 200) {
        fine = evbuffer_get_length(c->kept) + evbuffer_get_length(in) <= CLIENT_REPLY_MAX;
        c->too_long = !fine;
        fine = fine && evbuffer_add_buffer(c->kept, in) == 0;
    }
    while (fine && evbuffer_get_length(in) > 0) {
        size_t len = evbuffer_get_contiguous_space(in);
        fine = c->take(c->take_arg, bytes_of(evbuffer_pullup(in, (ev_ssize_t)len), len));
        (void)evbuffer_drain(in, len);
    }
    if (!fine) {
        c->given_up = true;
        (void)event_base_loopbreak(c->base);
    }
}

/* Before on_reply gets no request. */
static void on_error(enum evhttp_request_error error, void *arg)
{
    struct client *c = arg;
    c->garbled = error == EVREQ_HTTP_INVALID_HEADER;
    c->too_long = error == EVREQ_HTTP_DATA_TOO_LONG;
}

static void on_sent(struct evbuffer *out, const struct evbuffer_cb_info *info, void *arg)
{
    struct client *c = arg;
    (void)out;
    c->sent += info->n_deleted;
}

/* Has the peer ended, and is all that it sent read? */
static bool ended(struct client *c)
{
    evutil_socket_t fd = bufferevent_getfd(c->bev);
    char byte;
    return fd >= 0 && recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

/* Besides the bar: libevent forgets an end that comes in the middle of a reply while EVHTTP_CON_READ_ON_WRITE_ERROR is set.
 * An end that is still there at the next tick is one. */
static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct client *c = arg;
    bool was_ended = c->ended;
    (void)fd, (void)what;
    progress_set(c->bar, c->sent < c->body_len ? c->sent : c->body_len);
    c->ended = ended(c);
    if (c->ended && was_ended)
        (void)event_base_loopbreak(c->base);
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
    struct client *c = arg;
    (void)fd, (void)what;
    c->timed_out = true;
    (void)event_base_loopbreak(c->base);
}

static struct bufferevent *make_bev(struct client *c)
{
    const char *host = evhttp_uri_get_host(c->uri);
    uint8_t address[16];
    if (c->tls == NULL)
        return bufferevent_socket_new(c->base, -1, BEV_OPT_CLOSE_ON_FREE);
    SSL *ssl = SSL_new(c->tls);
    if (ssl == NULL)
        return NULL;
    bool numeric = inet_pton(AF_INET, host, address) == 1 || strchr(host, ':') != NULL;
    if (numeric ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) != 1
                : SSL_set1_host(ssl, host) != 1 || SSL_set_tlsext_host_name(ssl, host) != 1) {
        SSL_free(ssl);
        return NULL;
    }
    struct bufferevent *bev = bufferevent_openssl_socket_new(c->base, -1, ssl, BUFFEREVENT_SSL_CONNECTING,
                                                             BEV_OPT_CLOSE_ON_FREE);
    if (bev != NULL)                            /* else the SSL is freed already */
        bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
    return bev;
}

static bool send_request(struct client *c, struct evhttp_connection *evcon, enum client_method method,
                         const char *path, struct bytes body)
{
    static const enum evhttp_cmd_type types[] = { [CLIENT_GET] = EVHTTP_REQ_GET, [CLIENT_PUT] = EVHTTP_REQ_PUT,
                                                  [CLIENT_DELETE] = EVHTTP_REQ_DELETE, [CLIENT_POST] = EVHTTP_REQ_POST,
                                                  [CLIENT_PATCH] = EVHTTP_REQ_PATCH };
    struct evhttp_request *req = evhttp_request_new(on_reply, c);
    if (req == NULL)
        return false;
    evhttp_request_set_error_cb(req, on_error);
    if (c->take != NULL)
        evhttp_request_set_chunked_cb(req, on_piece);
    struct evkeyvalq *headers = evhttp_request_get_output_headers(req);
    struct evbuffer *out = evhttp_request_get_output_buffer(req);
    char length[24];
    (void)snprintf(length, sizeof length, "%zu", body.len);         /* libevent would say it of POST and PUT alone */
    if ((body.len > 0 && evhttp_add_header(headers, "Content-Length", length) != 0)
        || evhttp_add_header(headers, "Host", c->host) != 0 || evhttp_add_header(headers, "Connection", "close") != 0
        || evhttp_add_header(headers, "X-API-Key", c->key) != 0 || evbuffer_add(out, body.ptr, body.len) != 0) {
        evhttp_request_free(req);
        return false;
    }
    return evhttp_make_request(evcon, req, types[method], path) == 0;
}

static int no_reply(const struct client *c)
{
    const char *open_end = c->writes ? "; the change may have been made or not" : "";
    long verify = c->tls != NULL && c->bev != NULL ? SSL_get_verify_result(bufferevent_openssl_get_ssl(c->bev)) : X509_V_OK;
    if (c->given_up && !c->too_long)
        return EXIT_USAGE;              /* take has told why */
    if (c->timed_out)
        return tool_fail(EXIT_TIMEOUT, "no answer from %s in time%s", c->host, open_end);
    if (c->too_long)
        return tool_fail(EXIT_USAGE, "the answer of %s is longer than %zu bytes%s", c->host, CLIENT_REPLY_MAX, open_end);
    if (c->garbled)
        return tool_fail(EXIT_USAGE, "what answers at %s does not speak HTTP", c->host);
    if (verify != X509_V_OK)
        return tool_fail(EXIT_USAGE, "the certificate of %s is not good: %s", c->host,
                         X509_verify_cert_error_string(verify));
    if (c->tls_error[0] != '\0')
        return tool_fail(EXIT_USAGE, "cannot talk to %s: %s", c->host, c->tls_error);
    if (c->error == ENOTCONN)           /* all that libevent leaves of why connect failed */
        return tool_fail(EXIT_USAGE, "cannot connect to %s: nothing listens there, or it cannot be reached", c->host);
    return tool_fail(c->writes ? EXIT_TIMEOUT : EXIT_USAGE, "no answer from %s: %s%s", c->host,
                     c->error != 0 ? strerror(c->error) : "the connection was closed", open_end);
}

static void begin_call(struct client *c, enum client_method method, struct bytes body)
{
    free(c->body);
    c->body = NULL;
    c->body_len = body.len;
    c->sent = 0;
    c->replied = c->timed_out = c->ended = c->given_up = c->garbled = c->too_long = false;
    c->writes = method != CLIENT_GET;
    c->tls_error[0] = '\0';
}

static struct evhttp_connection *connect_call(struct client *c)
{
    if ((c->bev = make_bev(c)) == NULL)
        return NULL;
    struct evhttp_connection *evcon = evhttp_connection_base_bufferevent_new(c->base, NULL, c->bev,
                                                                             evhttp_uri_get_host(c->uri), c->port);
    if (evcon == NULL || evbuffer_add_cb(bufferevent_get_output(c->bev), on_sent, c) == NULL) {
        if (evcon != NULL)
            evhttp_connection_free(evcon);      /* with its bufferevent */
        else
            bufferevent_free(c->bev);
        return NULL;
    }
    evhttp_connection_set_timeout(evcon, (int)(c->timeout_ms / 1000) + 1);
    evhttp_connection_set_max_body_size(evcon, c->take != NULL ? FETCH_MAX : (ev_ssize_t)CLIENT_REPLY_MAX);
    evhttp_connection_set_max_headers_size(evcon, HEADERS_MAX);
    (void)evhttp_connection_set_flags(evcon, EVHTTP_CON_READ_ON_WRITE_ERROR);   /* refused before all was sent */
    return evcon;
}

int client_call(struct client *c, enum client_method method, const char *path, struct bytes body,
                struct client_reply *out)
{
    const struct timeval limit = { (time_t)(c->timeout_ms / 1000), (suseconds_t)(c->timeout_ms % 1000) * 1000 };
    const struct timeval tick = { 0, TICK_US };
    struct event *timer = event_new(c->base, -1, 0, on_timeout, c), *ticker = event_new(c->base, -1, EV_PERSIST, on_tick, c);
    int code = EXIT_FINE;
    begin_call(c, method, body);
    struct evhttp_connection *evcon = connect_call(c);
    if (evcon == NULL || timer == NULL || ticker == NULL || event_add(timer, &limit) != 0
        || event_add(ticker, &tick) != 0) {
        code = tool_fail(EXIT_USAGE, "out of memory");
    } else {
        errno = c->error = 0;
        if (send_request(c, evcon, method, path, body))
            (void)event_base_dispatch(c->base);
        if (!c->replied || c->given_up)
            code = no_reply(c);
        else
            *out = c->reply;
    }
    if (evcon != NULL)
        evhttp_connection_free(evcon);          /* with its bufferevent */
    c->bev = NULL;
    if (timer != NULL)
        event_free(timer);
    if (ticker != NULL)
        event_free(ticker);
    return code;
}

int client_fetch(struct client *c, const char *path, client_take_fn *take, void *arg, struct client_reply *out)
{
    if ((c->kept = evbuffer_new()) == NULL)
        return tool_fail(EXIT_USAGE, "out of memory");
    c->take = take;
    c->take_arg = arg;
    int code = client_call(c, CLIENT_GET, path, (struct bytes){ 0 }, out);
    c->take = NULL;
    evbuffer_free(c->kept);
    c->kept = NULL;
    return code;
}

void client_timeout(struct client *c, uint64_t timeout_ms)
{
    c->timeout_ms = timeout_ms;
}

void client_show(struct client *c, struct progress *bar)
{
    c->bar = bar;
}
