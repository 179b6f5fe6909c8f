/* What the files of the API's shell share, for them only: a request that is being answered, and where it waits.
 *
 *     on_request ─► api_begin ─┬─► reply                                                 api_http.c, loop thread
 *                              ├─► kv_writer, changer, orders ─► done ─► finish ─► reply
 *                              ├─► parked ─► the fleet has it ─► reply                   api_wait.c, loop thread
 *                              └─► lanes ─► work ─► done ─► reply                        api_work.c, two threads; brief work: the loop thread */
#ifndef AZOTH_BUILDER_API_SHELL_H
#define AZOTH_BUILDER_API_SHELL_H

#include "base/http_server.h"
#include "base/log.h"
#include "builder/api.h"
#include "builder/api_http.h"
#include "builder/core_cluster.h"
#include "builder/kv_writer.h"

#include <openssl/ssl.h>
#include <pthread.h>

/* Bytes of replies that are on their way. evhttp's connections give theirs up when libevent finds time for it, the last of them
 * when its base is freed: so this outlives the API, until nobody counts here any more. */
struct api_sending { size_t bytes; unsigned users; };

/* One request that is being answered. */
struct asked {
    struct api_call call;
    enum api_next kind;             /* the step that it is at */
    enum api_next worked;           /* API_WORK: what came out of it */
    struct core_cluster_result order;       /* API_ORDER, when it is told */
    struct evhttp_request *req;
    struct api_http *api;
    struct asked *next;             /* in a list: done, parked, a lane's */
    struct api_sending *sending;    /* once its reply is given to evhttp */
    uint64_t until_ms;              /* parked */
    size_t body;                    /* bytes, counted in bodies */
};

/* --- those who wait for the fleet (api_wait.c) ------------------------------------------------------------------------ */
struct api_waits {
    struct asked *parked;
    unsigned n;
    struct event *look;             /* at those */
    uint64_t look_ms;               /* it is due then; 0: it is not waiting */
};
MUST_USE enum err api_waits_open(struct api_http *a);
/* true: it has its reply already. */
bool api_waits_park(struct api_http *a, struct asked *q);
/* All have their reply. */
void api_waits_end(struct api_http *a);
void api_waits_close(struct api_http *a);

/* --- those who read rows and zones (api_work.c) ------------------------------------------------------------------------ */
struct api_lanes;
struct api_lanes_options {
    struct store *store;
    struct source *source;
    struct wishes *wishes;
    struct catalog_reports catalogs;
    struct board *board;
    void (*done)(struct asked *q);  /* its work is done, q->worked says what comes next; in a thread of the lanes */
};
MUST_USE enum err api_lanes_open(struct api_lanes **out, const struct api_lanes_options *o, struct fault *fault);
/* Taken until done. */
void api_lanes_put(struct api_lanes *l, struct asked *q);
/* The call's brief work, here and now. v: of the calling thread; there is no journal. */
enum api_next api_lanes_now(struct api_lanes *l, struct view *v, struct api_call *c);
/* Those that wait are done with 503, and so are all that come later; what is at work is told to end. Waits for it. */
void api_lanes_stop(struct api_lanes *l);
void api_lanes_close(struct api_lanes *l);          /* NULL is fine */

/* Of http_limits; arg: struct api_http (api_room.c). */
long api_room(void *arg, struct bytes head, size_t coming);

/* --- the shell (api_http.c) -------------------------------------------------------------------------------------------- */
#define API_STATUSES 17
#define API_SENDING_MAX ((size_t)512 << 20)     /* beyond that no whole zone is read for a reply */
struct api_http {
    struct api_http_options o;
    struct api_keys *keys;
    SSL_CTX *tls;                   /* NULL: plain HTTP */
    struct view *view;
    struct kv_writer *writer;
    struct http_server *server;
    struct log_brake brake;
    size_t bodies;                  /* bytes of the bodies of requests that have no reply yet */
    stat_count replies[API_STATUSES];
    struct api_waits waits;
    struct api_lanes *lanes;
    struct api_sending *sending;
    struct event *ready; int ready_fd;      /* rung by other threads */
    pthread_mutex_t lock;           /* of what follows */
    struct asked *done, **done_end;
};
/* Sends the reply and frees q. */
void api_http_reply(struct asked *q);

#endif
