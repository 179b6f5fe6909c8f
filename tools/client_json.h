/* A call of the core's API whose reply is a JSON object. */
#ifndef AZOTH_TOOLS_CLIENT_JSON_H
#define AZOTH_TOOLS_CLIENT_JSON_H

#include "tools/client.h"

#include <jansson.h>

/* what: the command, for messages. *out: the object of a reply of status 200, owned by caller (json_decref); else what went
 * wrong was told, but for that of the status `quiet` (0: none), which gives EXIT_FINE and *out NULL. */
int client_json(struct client *c, const char *what, enum client_method method, const char *path, int quiet, json_t **out);
/* The exit code that a status stands for: 200 and 201 are fine; the data is wrong (EXIT_DATA) with 400, 404, 409, 410, 412, 413
 * and 422; anything else is the environment's. */
int client_json_code(int status);
/* The object in a reply, or NULL. */
json_t *client_json_body(const struct client_reply *r);
/* Tells what a reply that is not fine says: its errors with their lines in `file` (NULL: the API's errors have no lines), then
 * the one line of `what`. Gives the exit code. */
int client_json_error(const char *what, const char *file, const struct client_reply *r);
/* A call that needs an object as its reply, errors told: exit codes as client_json_code. quiet: as above. body NULL: none. */
int client_json_call(struct client *c, const char *what, enum client_method method, const char *path, const json_t *body,
                     int quiet, json_t **out);
/* One call over a client of its own. */
int client_json_once(const struct options *o, const char *what, enum client_method method, const char *path, json_t **out);
/* The object on one line of stdout. */
int client_json_print(const json_t *v);

#endif
