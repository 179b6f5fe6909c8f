/* Threads that lend a hand. Work is cut into pieces that do not depend on each other; the thread that wants it done and
 * the crew's own threads take piece after piece, so nothing has to be balanced beforehand:
 *
 *     crew_begin(c, &task)  ►  the caller does something else  ►  crew_end(c, &task): does what nobody has begun, waits
 *
 * The order in which pieces run is not defined: results go where the piece's number says, or into sums that do not
 * depend on the order (each thread has its own, by `who`). So a result never depends on the number of threads, and a
 * crew without any thread does all of it in crew_end. Tasks are taken in the order of their crew_begin. */
#ifndef AZOTH_BASE_CREW_H
#define AZOTH_BASE_CREW_H

#include "base/err.h"

#define CREW_MAX 8              /* threads of a crew, the caller among them */

struct crew;
struct task {
    void (*run)(void *arg, size_t piece, unsigned who);     /* who: 0 the caller, below crew_size the others */
    void *arg;
    size_t pieces;
    size_t begun, done;         /* what follows is the crew's */
    struct task *next;
};

/* size: threads, the caller among them; 0: as many as there are processors, at most CREW_MAX. They start with the first
 * task; those that cannot be started are done without. ERR_NOMEM. */
MUST_USE enum err crew_open(struct crew **out, unsigned size);
/* No task may be open. NULL is fine. */
void crew_close(struct crew *c);
unsigned crew_size(const struct crew *c);
/* t and its arg: borrowed until crew_end, which each crew_begin needs, in the same thread. Any thread may give tasks, a
 * piece of another task too: who waits for a task has begun all of it. c NULL: there is no crew, crew_end does it all. */
void crew_begin(struct crew *c, struct task *t);
void crew_end(struct crew *c, struct task *t);
/* Both at once. */
void crew_run(struct crew *c, struct task *t);

#endif
