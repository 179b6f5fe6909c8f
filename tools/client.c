#include "tools/client.h"

#include "base/file.h"

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

#define KEY_FILE_MAX ((size_t)1 << 20)
#define HEADERS_MAX 65536

struct client {
    struct event_base *base;
    struct evhttp_uri *uri;
    SSL_CTX *tls;                   /* NULL: plain HTTP */
    char key[512], host[300];       /* host: as in the Host header */
    uint16_t port;
    uint64_t timeout_ms;
    /* of one call */
    struct bufferevent *bev;
    uint8_t *body;
    struct client_reply reply;
    bool replied, timed_out;
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
    c->error = errno;
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
        struct evbuffer *in = evhttp_request_get_input_buffer(req);
        size_t len = evbuffer_get_length(in);
        c->body = malloc(len + 1);
        c->replied = c->body != NULL && (len == 0 || evbuffer_remove(in, c->body, len) == (int)len);
        c->error = c->replied ? 0 : ENOMEM;
        c->reply = (struct client_reply){ status, bytes_of(c->body, len) };
    }
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
                                                  [CLIENT_DELETE] = EVHTTP_REQ_DELETE, [CLIENT_POST] = EVHTTP_REQ_POST };
    struct evhttp_request *req = evhttp_request_new(on_reply, c);
    if (req == NULL)
        return false;
    struct evkeyvalq *headers = evhttp_request_get_output_headers(req);
    struct evbuffer *out = evhttp_request_get_output_buffer(req);
    if (evhttp_add_header(headers, "Host", c->host) != 0 || evhttp_add_header(headers, "Connection", "close") != 0
        || evhttp_add_header(headers, "X-API-Key", c->key) != 0 || evbuffer_add(out, body.ptr, body.len) != 0) {
        evhttp_request_free(req);
        return false;
    }
    return evhttp_make_request(evcon, req, types[method], path) == 0;
}

static int no_reply(const struct client *c)
{
    long verify = c->tls != NULL && c->bev != NULL ? SSL_get_verify_result(bufferevent_openssl_get_ssl(c->bev)) : X509_V_OK;
    if (c->timed_out)
        return tool_fail(EXIT_TIMEOUT, "no answer from %s in time", c->host);
    if (verify != X509_V_OK)
        return tool_fail(EXIT_USAGE, "the certificate of %s is not good: %s", c->host,
                         X509_verify_cert_error_string(verify));
    if (c->tls_error[0] != '\0')
        return tool_fail(EXIT_USAGE, "cannot talk to %s: %s", c->host, c->tls_error);
    if (c->error == ENOTCONN)           /* all that libevent leaves of why connect failed */
        return tool_fail(EXIT_USAGE, "cannot connect to %s: nothing listens there, or it cannot be reached", c->host);
    return tool_fail(EXIT_USAGE, "no answer from %s: %s", c->host,
                     c->error != 0 ? strerror(c->error) : "the connection was closed");
}

int client_call(struct client *c, enum client_method method, const char *path, struct bytes body,
                struct client_reply *out)
{
    const struct timeval limit = { (time_t)(c->timeout_ms / 1000), (suseconds_t)(c->timeout_ms % 1000) * 1000 };
    struct event *timer = event_new(c->base, -1, 0, on_timeout, c);
    struct evhttp_connection *evcon = NULL;
    int code = EXIT_FINE;
    free(c->body);
    c->body = NULL;
    c->replied = c->timed_out = false;
    c->tls_error[0] = '\0';
    if ((c->bev = make_bev(c)) != NULL)
        evcon = evhttp_connection_base_bufferevent_new(c->base, NULL, c->bev, evhttp_uri_get_host(c->uri), c->port);
    if (evcon == NULL || timer == NULL || event_add(timer, &limit) != 0) {
        code = tool_fail(EXIT_USAGE, "out of memory");
    } else {
        evhttp_connection_set_timeout(evcon, (int)(c->timeout_ms / 1000) + 1);
        evhttp_connection_set_max_body_size(evcon, (ev_ssize_t)CLIENT_REPLY_MAX);
        evhttp_connection_set_max_headers_size(evcon, HEADERS_MAX);
        (void)evhttp_connection_set_flags(evcon, EVHTTP_CON_READ_ON_WRITE_ERROR);   /* refused before all was sent */
        errno = 0;
        if (send_request(c, evcon, method, path, body))
            (void)event_base_dispatch(c->base);
        if (!c->replied)
            code = no_reply(c);
        else
            *out = c->reply;
    }
    if (evcon != NULL)
        evhttp_connection_free(evcon);          /* with its bufferevent */
    else if (c->bev != NULL)
        bufferevent_free(c->bev);
    c->bev = NULL;
    if (timer != NULL)
        event_free(timer);
    return code;
}
