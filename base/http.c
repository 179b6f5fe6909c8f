#include "base/http.h"

#include "base/http_server.h"

#include <event2/buffer.h>
#include <event2/http.h>
#include <stdlib.h>

#define HTTP_ROUTES_MAX 8
#define HTTP_TIMEOUT_S 5
#define HTTP_HEADERS_MAX 8192
#define HTTP_LIFE_MS 10000      /* of a connection, however busy: scrapers reconnect */

struct route { const char *path, *type; http_page_fn *page; void *arg; };
struct http {
    struct http_server *server;
    struct route routes[HTTP_ROUTES_MAX];
    size_t routes_n;
};

static const struct route *find_route(const struct http *h, const char *path)
{
    for (size_t i = 0; i < h->routes_n && path != NULL; i++)
        if (strcmp(h->routes[i].path, path) == 0)
            return &h->routes[i];
    return NULL;
}

static void on_request(void *arg, struct evhttp_request *req)
{
    const struct route *route = find_route(arg, evhttp_uri_get_path(evhttp_request_get_evhttp_uri(req)));
    struct stat_page page;
    if (route == NULL) {
        evhttp_send_error(req, HTTP_NOTFOUND, NULL);
        return;
    }
    stat_page_init(&page);
    int status = route->page(route->arg, &page);
    struct evbuffer *body = evbuffer_new();
    if (body == NULL || page.failed || evbuffer_add(body, page.text, page.len) != 0) {
        evhttp_send_error(req, HTTP_INTERNAL, NULL);
    } else {
        (void)evhttp_add_header(evhttp_request_get_output_headers(req), "Content-Type", route->type);
        evhttp_send_reply(req, status, status == 200 ? "OK" : "Service Unavailable", body);
    }
    if (body != NULL)
        evbuffer_free(body);
    stat_page_release(&page);
}

MUST_USE enum err http_open(struct http **out, struct event_base *base, const char *listen, struct fault *fault)
{
    const struct http_limits limits = { .methods = EVHTTP_REQ_GET | EVHTTP_REQ_HEAD, .headers = HTTP_HEADERS_MAX,
                                        .body = 0, .timeout_s = HTTP_TIMEOUT_S, .life_ms = HTTP_LIFE_MS };
    struct http *h = calloc(1, sizeof *h);
    if (h == NULL)
        return ERR_NOMEM;
    enum err err = http_server_open(&h->server, base, listen, &limits, on_request, h, fault);
    if (err != OK) {
        free(h);
        return err;
    }
    *out = h;
    return OK;
}

MUST_USE enum err http_route(struct http *h, const char *path, const char *type, http_page_fn *page, void *arg)
{
    if (h->routes_n == HTTP_ROUTES_MAX)
        return ERR_LIMIT;
    if (find_route(h, path) != NULL)
        return ERR_EXISTS;
    h->routes[h->routes_n++] = (struct route){ path, type, page, arg };
    return OK;
}

void http_close(struct http *h)
{
    if (h == NULL)
        return;
    http_server_close(h->server);
    free(h);
}
