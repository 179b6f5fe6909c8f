/* One stream connection; internal to tcp.c, opening.c and conn.c.
 *
 *     OPENING ──► IDLE ◄──► PARTIAL          a message has begun
 *                  ▲  ▲        │
 *                  │  └────────┤
 *                  └──────► WRITING          answers wait for the client to take them
 *
 * Each stage has one time limit, so that the list of its connections, which is in the order in which they entered, is also
 * in the order in which they are due. */
#ifndef AZOTH_DNSFRONT_CONN_H
#define AZOTH_DNSFRONT_CONN_H

#include "dnsfront/peer.h"
#include "dnsfront/shared.h"
#include "dnsfront/tcp.h"
#include "wire/tcp.h"

#include <openssl/ssl.h>

#define MESSAGE_MAX (TCP_PREFIX + TCP_MESSAGE_MAX)
#define OUT_MAX ((size_t)2 * MESSAGE_MAX)       /* answers made under one view */
#define CONN_PER_WAKE 64                        /* questions answered before other connections have their turn */

enum stage { STAGE_OPENING, STAGE_IDLE, STAGE_PARTIAL, STAGE_WRITING, STAGES };

struct bufferevent;
struct opening;
struct conn {
    struct tcp *tcp;
    struct bufferevent *bev;        /* NULL while opening */
    struct opening *opening;        /* NULL otherwise */
    struct conn *prev, *next;       /* of the same stage */
    uint64_t since_ms;              /* in this stage; IDLE: also the last whole message */
    uint64_t queued, taken_then;    /* bytes left to libevent ever; of them taken by the client when since_ms was set */
    size_t held;                    /* bytes of it in memory, as far as tcp->held knows */
    struct peer client;
    uint8_t stage, proto;
    bool counted;                   /* among its client's connections */
    bool eof, paused;
};
struct conn_list { struct conn *first, *last; };
struct tcp_listener { struct tcp *tcp; int fd; bool tls, resting; struct event *acceptable; };
struct tcp {
    struct worker *worker;
    const struct config_dns *config;
    struct shared *shared;
    struct tcp_listener *listeners;
    size_t listeners_n;
    struct conn_list stages[STAGES];
    uint64_t limit_ms[STAGES];
    unsigned open;
    size_t held;                    /* bytes of all connections, about: never less than it is */
    bool draining;
    struct event *sweep;
    struct log_brake brake;
    uint8_t out[OUT_MAX];
};

/* --- conn.c ----------------------------------------------------------------------------------------------------- */
/* fd is taken, and so are its place and, unless proxied, its client's (clients.h). NULL: out of memory. */
struct conn *conn_new(struct tcp *t, int fd, const struct peer *p, bool tls, bool proxied);
void conn_close(struct conn *c);
void conn_enter(struct conn *c, enum stage stage);      /* at the end of its list, from now */
size_t conn_pending(const struct conn *c);              /* bytes that the client has not taken */
/* The client took something worth the name since it was last asked. */
bool conn_gets_on(struct conn *c);
/* An open connection over fd, which is taken also on failure; ssl: NULL, or a finished handshake, taken as well. */
MUST_USE bool conn_open(struct conn *c, int fd, SSL *ssl);

/* --- opening.c -------------------------------------------------------------------------------------------------- */
/* What comes before the first message: a PROXY header, a TLS handshake. fd is taken also on failure. */
MUST_USE bool opening_begin(struct conn *c, int fd, bool tls, bool proxied);
void opening_end(struct opening *o);                    /* NULL is fine; closes what it has */

#endif
