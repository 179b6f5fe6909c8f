/* Waiting until a change has reached the fleet: for `azoth wait`, and for the --wait of whatever makes a change. */
#ifndef AZOTH_TOOLS_FLEET_WAIT_H
#define AZOTH_TOOLS_FLEET_WAIT_H

#include "tools/client_json.h"

struct fleet_wait {
    uint64_t epoch, seq;                /* epoch 0: the core's, and it is filled in */
    uint64_t quorum, timeout_ms;        /* quorum: per cent */
    bool all;
};
/* "75%", "75" and "500ms"; NULL: 100% and 5s. option: for messages. Exit codes. */
int fleet_wait_quorum(const char *option, const char *text, uint64_t *out);
int fleet_wait_timeout(const char *option, const char *text, uint64_t *out_ms);
/* Until the quorum has it, the time is over, or nobody is there to wait for. *out: the last answer, owned by caller; NULL
 * going in. EXIT_FINE: there is one, whatever it says. */
int fleet_wait(struct client *c, struct fleet_wait *w, json_t **out);
/* Prints that answer: EXIT_FINE, or EXIT_TIMEOUT when the quorum was not reached. */
int fleet_wait_tell(const struct fleet_wait *w, const json_t *reply, bool json);

#endif
