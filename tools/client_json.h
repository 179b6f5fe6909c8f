/* A call of the core's API whose reply is a JSON object. */
#ifndef AZOTH_TOOLS_CLIENT_JSON_H
#define AZOTH_TOOLS_CLIENT_JSON_H

#include "tools/client.h"

#include <jansson.h>

/* what: the command, for messages. *out: the object of a reply of status 200, owned by caller (json_decref); else what went
 * wrong was told, but for that of the status `quiet` (0: none), which gives EXIT_FINE and *out NULL. */
int client_json(struct client *c, const char *what, enum client_method method, const char *path, int quiet, json_t **out);
/* One call over a client of its own. */
int client_json_once(const struct options *o, const char *what, enum client_method method, const char *path, json_t **out);
/* The object on one line of stdout. */
int client_json_print(const json_t *v);

#endif
