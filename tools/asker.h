/* Asks two DNS servers the same questions, many at a time: over UDP in batches, over TCP when an answer is cut off. The only
 * part of azoth compare that knows sockets, beside axfr.h.
 *
 *     next (a question) ─► slot ─┬─► server 0 ─┬─► done (both answers, or what there is of them)
 *                                └─► server 1 ─┘
 *
 * A slot is free again when both have answered, or have been asked `retries` times more in vain. */
#ifndef AZOTH_TOOLS_ASKER_H
#define AZOTH_TOOLS_ASKER_H

#include "tools/questions.h"

#include <sys/socket.h>

#define SERVER_TEXT_MAX 80
struct server { struct sockaddr_storage addr; socklen_t len; char text[SERVER_TEXT_MAX]; };   /* text: ADDRESS@PORT */
/* ADDRESS or ADDRESS@PORT (53), IPv4 or IPv6. ERR_BAD. */
MUST_USE enum err server_parse(const char *text, struct server *out);

struct asker_options {
    struct server server[2];
    uint64_t timeout_ms, retries;           /* of one try over UDP or TCP; how many more */
    uint64_t rate;                          /* questions per second; 0: as fast as they answer */
};
/* answers and tcp: messages that were taken; retries: questions sent again; unanswered: given up; problem: errno of the last call
 * that failed, or 0. */
struct asker_figures { uint64_t answers, tcp, retries, unanswered; int problem; };

typedef bool asker_next(void *arg, struct question *out);                   /* false: there are no more */
/* msg[i].ptr NULL: server i did not answer. Borrowed for the call. What is not OK ends the run. */
typedef enum err asker_done(void *arg, const struct question *q, const struct bytes msg[2]);

struct asker;
/* ERR_NET: no socket. ERR_NOMEM. */
MUST_USE enum err asker_open(struct asker **out, const struct asker_options *o, struct fault *fault);
void asker_close(struct asker *a);                                          /* NULL is fine */
/* Until the last answer is there. ERR_NET: a server does not answer any more. May be called again unless it failed. */
MUST_USE enum err asker_run(struct asker *a, asker_next *next, asker_done *done, void *arg, struct fault *fault);
struct asker_figures asker_figures(const struct asker *a, unsigned server);

/* The question as a message: EDNS, 1232 bytes, no recursion. */
void question_write(struct wr *w, const struct question *q, uint16_t id);
/* Is msg an answer to that query (a message of question_write)? One that says what was wrong may leave the question out. */
bool question_answers(struct bytes query, struct bytes msg);

#endif
