/* The core's API without its sockets: a request becomes a job, the job's outcome a reply.
 *
 *     api_begin ─► API_REPLY ──────────────────────────────────────► reply
 *               ─► API_READ ──► api_read (a view) ─────────────────► reply
 *               ─► API_WRITE ─► kv_writer_put ... told ─► api_written ─► reply (?wait=: when the fleet has it)
 *               ─► API_FLEET ─► api_fleet ─────────────────────────► reply
 *               ─► API_CHANGES ─► api_changes, again and again ────► reply
 *               ─► API_ORDER ─► core_cluster.h ... told ─► api_ordered ─► reply (the same)
 *               ─► API_WORK ──► c->work, in a reading thread ──────► reply, or API_CHANGE
 *               ─► API_CHANGE ► changer_put ... told ─► c->finish ─► reply (the same), or API_WORK
 *
 *     GET    /v1/kv/NS                    list: ?prefix= &after= &limit=
 *     GET    /v1/kv/NS/KEY                the value's bytes; ?json=1: an object
 *     PUT    /v1/kv/NS/KEY                body: the value; ?if_version=EPOCH.SEQ, ?if_absent=1, or as headers
 *     DELETE /v1/kv/NS/KEY                ?if_version=, or as a header
 *     POST   /v1/kv                       {"ops": [{"op": "put", "ns": ..., "key": ..., "value": ...}, ...]}
 *     GET    /v1/fleet                    every listed node
 *     GET    /v1/changes/SEQ              who has it: ?wait=5s &quorum=100 &all=1 &epoch=E
 *     POST   /v1/cluster/raise-epoch, /v1/cluster/rotate-key
 *     all but rotate-key                  ?wait=SHARE &timeout=T: a write is answered when the fleet has it
 *     /v1/zones, /v1/tsig                 doc/openapi.yaml has all of it
 *
 * Keys in paths and queries are percent-encoded bytes, and in a query + is a space. In JSON, key64 and value64 hold
 * base64 where key and value hold text. Errors are {"error": "..."}; azoth-core(8) lists the status codes. */
#ifndef AZOTH_BUILDER_API_H
#define AZOTH_BUILDER_API_H

#include "base/arena.h"
#include "builder/api_keys.h"
#include "builder/catalog.h"
#include "builder/change.h"
#include "builder/kv.h"
#include "replicator/fleet.h"

#include <jansson.h>
#include <stdatomic.h>

#define API_BODY_MAX ((size_t)4 << 20)      /* a value of 1 MiB in base64 fits, and files of operations */
#define API_STRANGER_MAX ((size_t)64 << 10) /* of those whose key may not write: their bodies are not waited for */
#define API_IMPORT_MAX ((size_t)256 << 20)  /* a zone file */
#define API_IMPORTS_MAX ((size_t)512 << 20) /* all bodies that are coming or wait, before another zone file may come */
#define API_HEADERS_MAX 6
#define API_LIST_DEFAULT 1000
#define API_LIST_MAX 10000
#define API_WAIT_MAX_MS 60000
#define API_WAIT_DEFAULT_MS 5000
#define API_NAMES_MAX 1000                  /* of nodes that lack a change, in one reply */

enum api_method { API_GET, API_PUT, API_DELETE, API_POST, API_PATCH, API_OPTIONS, API_OTHER };     /* GET: HEAD too */
struct api_request {
    enum api_method method;
    const char *path, *query;                       /* as sent, percent-encoded; query NULL: none */
    const char *key, *if_version, *if_absent;       /* headers X-API-Key, X-Azoth-If-...; NULL: not sent */
    bool head;                                      /* HEAD: the shell leaves the body out */
    const char *accept;                             /* header Accept; NULL: not sent */
    const char *client;                             /* address of whoever asks; NULL: not known */
    struct bytes body;                              /* borrowed until the reply is there */
    long refused;                                   /* the body was not read: it is over this; -1: there is no room now; 0: it is here */
};

struct api_reply {
    int status;
    const char *type;                   /* Content-Type */
    const char *allow;                  /* with 405: the methods; else NULL */
    struct api_header { const char *name, *value; } headers[API_HEADERS_MAX];       /* more of them */
    unsigned headers_n;
    bool versioned;                     /* version goes into X-Azoth-Epoch and X-Azoth-Seq */
    struct kv_version version;
    struct bytes body;                  /* owned by the call */
};

enum api_next { API_REPLY, API_READ, API_WRITE, API_FLEET, API_CHANGES, API_ORDER, API_CHANGE, API_WORK };
enum api_order { API_RAISE_EPOCH, API_ROTATE_KEY };
struct api_changes { uint64_t epoch, seq, wait_ms; unsigned quorum; bool all; };    /* epoch 0: the core's; quorum: per cent */
struct api_call;
/* What work may use, in its thread: view is begun for the call. stop: the core ends, long work should too. */
struct journal;
struct api_work { struct source *source; struct store *store; struct view *view; struct journal *journal; struct wishes *wishes; struct board *board; struct catalog_reports catalogs; uint64_t now_s; const atomic_bool *stop; };
typedef enum api_next api_work_fn(struct api_call *c, const struct api_work *w);        /* API_REPLY or API_CHANGE */
typedef enum api_next api_finish_fn(struct api_call *c);                                /* API_REPLY or API_WORK */
struct api_call {
    struct arena arena;
    json_t *json;                       /* what ops borrow from */
    struct kv_txn txn;                  /* API_WRITE */
    bool many;                          /* POST: ops are named by number, each gets its seq told */
    struct bytes ns, key, prefix, after;
    uint64_t limit;
    bool list, as_json;
    struct api_changes changes;         /* API_CHANGES */
    enum api_order order;               /* API_ORDER */
    struct change *change;              /* API_CHANGE: in the arena; released with the call */
    api_finish_fn *finish;              /* it is told; in the loop thread */
    bool wait;                          /* of a write: answered when the fleet has it, as changes says (with the reply's version) */
    api_work_fn *work;                  /* API_WORK */
    bool brief;                         /* API_WORK: a look at a row or two, done at once in the loop; cleared by it */
    bool slow;                          /* whole zones: in the other thread, so that short work does not wait for it */
    void *own;                          /* of those who made finish and work; in the arena */
    void (*drop)(struct api_call *c);   /* gives back what own has beside the arena; NULL: nothing */
    struct author author;               /* of changes: who asks, through api */
    bool known;
    struct api_key who;                 /* when known; a copy: the keys may be read anew while a write waits for its commit */
    struct api_reply reply;
};

/* Fills c, which api_call_release must end. request's strings are not needed any more when this returns, its body is. */
enum api_next api_begin(struct api_call *c, const struct api_request *request, const struct api_keys *keys);
/* v: begun. */
void api_read(struct api_call *c, struct view *v);
/* c->txn.result is there. */
void api_written(struct api_call *c);
void api_fleet(struct api_call *c, const struct fleet *f, uint64_t now_us);
/* false: it is not done, and the reply is to be asked for later. last: there is a reply in any case. Behind a write: what
 * is told of the fleet joins the members of its reply. */
bool api_changes(struct api_call *c, const struct fleet *f, uint64_t now_us, bool last);
/* The reply is there. true: it is that of a write which waits for the fleet, as c->changes says now. */
bool api_will_wait(struct api_call *c);
/* The order is done, or not: epoch and seq as core_cluster.h tells them; key_id: of the new cluster key. */
struct api_ordered { enum err err; const char *why; uint64_t epoch, seq, key_id; };
void api_ordered(struct api_call *c, const struct api_ordered *o);
/* The reply is this error. */
void api_fail(struct api_call *c, int status, const char *why);
void api_call_release(struct api_call *c);

#endif
