/* A client of the core's API for benchmarks: many connections, one request under way on each, in one thread.
 *
 *     api_idle ─► api_send ... api_wait ─► on_reply, once per request */
#ifndef AZOTH_BENCH_API_H
#define AZOTH_BENCH_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define API_CONNECTIONS_MAX 60          /* the server takes 64 */
#define API_REQUEST_MAX (256 * 1024)

struct api_reply {
    int status;
    uint64_t epoch, seq;
    uint64_t sent_ns, got_ns;
    size_t tag;                         /* as given to api_send */
};
typedef void api_reply_fn(void *arg, const struct api_reply *r);

struct api;
/* Ends the process with a line when nobody listens. key: borrowed. */
struct api *api_open(int port, const char *key, size_t connections, api_reply_fn *fn, void *arg);
void api_close(struct api *a);
/* Is a connection free? */
bool api_idle(const struct api *a);
size_t api_under_way(const struct api *a);
/* The answer comes in api_wait. */
void api_send(struct api *a, const char *method, const char *path, const char *body, size_t len, size_t tag);
/* Takes what has come, waiting for it up to wait_us. */
void api_wait(struct api *a, uint64_t wait_us);

uint64_t now_ns(void);
void die(const char *what, const char *why);

#endif
