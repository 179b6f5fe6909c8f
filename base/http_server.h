/* libevent's evhttp with the limits that it lacks: a number of connections, and a time for each. For I/O shells only:
 * base/http.c (pages of a daemon) and the core's API.
 *
 *     accept ─► a place ─► head: room? ─► request (its time begins anew) ─► hold ... reply ─► release ─► next request, or too old
 *
 * While all places are taken, further connections wait in the listener's backlog. A connection that nobody has vouched for yet
 * (http_server_trust; without `room` its first whole request does) has HTTP_STRANGER_MS from its begin, and one second while
 * places are short or more of its kind come from the same address: so whoever only holds connections holds them for moments,
 * and those who work keep theirs. A connection whose body was refused is read on for a moment behind its reply, so that a client which sends
 * first and reads then has the reply. */
#ifndef AZOTH_BASE_HTTP_SERVER_H
#define AZOTH_BASE_HTTP_SERVER_H

#include "base/err.h"

#define HTTP_CONNECTIONS_MAX 64

struct bufferevent;
struct event_base;
struct evhttp_request;
struct http_server;

struct http_limits {
    unsigned methods;               /* EVHTTP_REQ_GET | ...; others are refused */
    long headers, body;             /* bytes of each, at most */
    int timeout_s;                  /* a connection on which nothing moves for so long is closed */
    uint64_t life_ms;               /* and one that lives so long without a request that was held */
    /* Makes the bufferevent of a connection (TLS, say), BEV_OPT_CLOSE_ON_FREE; NULL: a plain one. */
    struct bufferevent *(*make)(struct event_base *base, void *arg);
    void *arg;
    /* How large the body of a request may be, given its head as it came (request line and headers); asked before any of the
     * body is waited for. NULL: body, for all. */
    long (*room)(void *arg, struct bytes head, size_t coming);     /* coming: bytes that bodies of others may grow to; or HTTP_ROOM_BUSY */
    void *room_arg;
    long stranger;                  /* with room: as long as the head is not there, or longer than HTTP_HEAD_MAX */
};
#define HTTP_HEAD_MAX 16384
#define HTTP_ROOM_BUSY (-1L)        /* not now */
#define HTTP_STRANGER_MS 10000
#define HTTP_STRANGERS_MAX 16       /* of one address, that may take longer than a second */

/* A request that came whole. Exactly one reply must follow, at once or later. */
typedef void http_request_fn(void *arg, struct evhttp_request *req);

/* listen: "ADDRESS@PORT", IPv6 without brackets. ERR_CONFIG: it is not. ERR_NET: address in use and the like, *fault
 * names it. */
MUST_USE enum err http_server_open(struct http_server **out, struct event_base *base, const char *listen,
                                   const struct http_limits *limits, http_request_fn *on_request, void *arg,
                                   struct fault *fault);
/* Replies must be out: requests that are still held are freed. NULL is fine. */
void http_server_close(struct http_server *s);
void http_server_pause(struct http_server *s);              /* accepts no more connections */

/* true: the body is larger than *room, which limits.room said, or that said HTTP_ROOM_BUSY; it was not read, and the connection ends
 * behind the reply. (Of a head that comes in pieces, or a chunked body, evhttp refuses by itself.) */
bool http_server_refused(struct http_server *s, struct evhttp_request *req, long *room);
/* Whoever asked is known. */
void http_server_trust(struct http_server *s, struct evhttp_request *req);
/* Between these two the request's connection does not grow old. release: before the reply is given to evhttp. */
void http_server_hold(struct http_server *s, struct evhttp_request *req);
void http_server_release(struct http_server *s, struct evhttp_request *req);

#endif
