/* The API's I/O shell: evhttp, TLS, the key file. Lives in the loop thread; writes and orders go to the writing thread and
 * their replies are sent when they are durable. Who waits for a change to reach the fleet is parked until it has, or the
 * time is over, or the peer is gone. */
#ifndef AZOTH_BUILDER_API_HTTP_H
#define AZOTH_BUILDER_API_HTTP_H

#include "builder/catalog.h"
#include "base/stat.h"
#include "builder/queue.h"
#include "replicator/commit.h"

#define API_PARKED_MAX 32           /* half of the server's connections */

struct change;
struct changer;
struct core;
struct event_base;
struct source;
struct api_http;
struct api_http_options {               /* strings: borrowed until api_http_close */
    struct event_base *base;
    const char *listen, *key_file;
    const char *cert, *key;             /* PEM files; NULL: no TLS */
    struct store *store;
    struct committer *committer;
    struct queue *queue;
    struct source *source;              /* zones, records and keys, read by the API's own threads */
    struct wishes *wishes;              /* what core.dns is asked to do soon; NULL: nothing can be asked */
    struct catalog_reports catalogs;    /* how catalog zones stand */
    struct board *board;                /* what secondaries are doing (secondary_board.h); NULL: nothing is told of them */
    struct changer *changer;            /* where changes of zones go, by changer_put; put NULL: none are taken */
    void (*put)(struct changer *ch, struct change *c);
    struct core *core;                  /* whose fleet is told of, and whom orders are for */
};

/* ERR_CONFIG: key file, certificate or listen address are not good; ERR_NET: cannot listen. */
MUST_USE enum err api_http_open(struct api_http **out, const struct api_http_options *o, struct fault *fault);
/* Reads key file, certificate and its key again; logs what it did. What is not good is not taken. */
enum err api_http_reload(struct api_http *a);
/* The fleet has changed: those who wait are looked at when the loop turns. */
void api_http_moved(struct api_http *a);
/* No job will run any more: whoever waits is told so. The loop should turn a little longer, for the replies. */
void api_http_end(struct api_http *a);
void api_http_close(struct api_http *a);            /* after queue_close; NULL is fine */
void api_http_metrics(const struct api_http *a, struct stat_page *p);

#endif
