/* The azoth command as a client of the core's API, over HTTP or HTTPS.
 *
 *     client_open ─► client_call ... ─► client_close           one connection per call
 *
 * The API's address is --api or $AZOTH_API; its key the first word of --key-file, else $AZOTH_API_KEY, else the first
 * word of the file $AZOTH_API_KEY_FILE. The server's certificate is checked against --ca-file, or the system's. */
#ifndef AZOTH_TOOLS_CLIENT_H
#define AZOTH_TOOLS_CLIENT_H

#include "tools/tool.h"

#define CLIENT_TIMEOUT_MS 30000
#define CLIENT_REPLY_MAX ((size_t)64 << 20)

struct client;
struct client_reply { int status; struct bytes body; };     /* body: owned by the client until the next call */
enum client_method { CLIENT_GET, CLIENT_PUT, CLIENT_DELETE, CLIENT_POST, CLIENT_PATCH };

/* Exit codes; the reason was told when it is not EXIT_FINE. timeout_ms: of each call, from connecting to the last byte. */
int client_open(struct client **out, const struct options *o, uint64_t timeout_ms);
/* path: from "/v1/" on, percent-encoded. EXIT_FINE: there is a reply, whatever it says. EXIT_TIMEOUT: none in time. */
int client_call(struct client *c, enum client_method method, const char *path, struct bytes body,
                struct client_reply *out);
void client_timeout(struct client *c, uint64_t timeout_ms);         /* of the calls to come */
/* A reply of status 200 is given to take piece by piece, whatever its size, and out->body is empty then; false gives up.
 * Any other reply is as client_call's. */
typedef bool client_take_fn(void *arg, struct bytes piece);
int client_fetch(struct client *c, const char *path, client_take_fn *take, void *arg, struct client_reply *out);
/* Calls from now on count the body's bytes that are on their way in bar (NULL: no more). */
struct progress;
void client_show(struct client *c, struct progress *bar);
void client_close(struct client *c);                /* NULL is fine */

/* b as it stands in a path or query; the terminated text is written to out, which takes 3 * b.len + 1 bytes. */
void client_percent(char *out, struct bytes b);

#endif
