/* The core's API without its sockets: a request becomes a job, the job's outcome a reply.
 *
 *     api_begin ─► API_REPLY ──────────────────────────────────────► reply
 *               ─► API_READ ──► api_read (a view) ─────────────────► reply
 *               ─► API_WRITE ─► kv_writer_put ... told ─► api_written ─► reply
 *
 *     GET    /v1/kv/NS                    list: ?prefix= &after= &limit=
 *     GET    /v1/kv/NS/KEY                the value's bytes; ?json=1: an object
 *     PUT    /v1/kv/NS/KEY                body: the value; ?if_version=EPOCH.SEQ, ?if_absent=1, or as headers
 *     DELETE /v1/kv/NS/KEY                ?if_version=
 *     POST   /v1/kv                       {"ops": [{"op": "put", "ns": ..., "key": ..., "value": ...}, ...]}
 *
 * Keys in paths and queries are percent-encoded bytes, and in a query + is a space. In JSON, key64 and value64 hold
 * base64 where key and value hold text. Errors are {"error": "..."}; azoth-core(8) lists the status codes. */
#ifndef AZOTH_BUILDER_API_H
#define AZOTH_BUILDER_API_H

#include "base/arena.h"
#include "builder/api_keys.h"
#include "builder/kv.h"

#include <jansson.h>

#define API_BODY_MAX ((size_t)4 << 20)      /* a value of 1 MiB in base64 fits, and files of operations */
#define API_LIST_DEFAULT 1000
#define API_LIST_MAX 10000

enum api_method { API_GET, API_PUT, API_DELETE, API_POST, API_OTHER };
struct api_request {
    enum api_method method;
    const char *path, *query;                       /* as sent, percent-encoded; query NULL: none */
    const char *key, *if_version, *if_absent;       /* headers X-API-Key, X-Azoth-If-...; NULL: not sent */
    struct bytes body;                              /* borrowed until the reply is there */
};

struct api_reply {
    int status;
    const char *type;                   /* Content-Type */
    const char *allow;                  /* with 405: the methods; else NULL */
    bool versioned;                     /* version goes into X-Azoth-Epoch and X-Azoth-Seq */
    struct kv_version version;
    struct bytes body;                  /* owned by the call */
};

enum api_next { API_REPLY, API_READ, API_WRITE };
struct api_call {
    struct arena arena;
    json_t *json;                       /* what ops borrow from */
    struct kv_txn txn;                  /* API_WRITE */
    bool many;                          /* POST: ops are named by number, each gets its seq told */
    struct bytes ns, key, prefix, after;
    uint64_t limit;
    bool list, as_json;
    const struct api_key *who;          /* borrowed from the keys; NULL: nobody we know */
    struct api_reply reply;
};

/* Fills c, which api_call_release must end. request's strings are not needed any more when this returns, its body is. */
enum api_next api_begin(struct api_call *c, const struct api_request *request, const struct api_keys *keys);
/* v: begun. */
void api_read(struct api_call *c, struct view *v);
/* c->txn.result is there. */
void api_written(struct api_call *c);
void api_call_release(struct api_call *c);

#endif
