/* Transactions of records and log that stay open behind a group (source_commit_later, log_hold): the next group goes on in them, so that the
 * pages of both are written once for many groups. What they hold is safe ahead of the log. They end before any other job of the writing
 * thread: one comes a moment later, or as soon as anybody waits to read. */
#include "builder/changer_parts.h"

#include "base/log.h"

#define HOLD_MS 5               /* so old may be what another process reads, the command line's tools */

static void let_go(struct changer *ch)
{
    struct fault fault = { "" };
    char why[FAULT_TEXT_MAX + 64];
    enum err err = source_let_go(ch->o.source, &fault), log_err = commit_let_go(ch->o.committer, err == OK ? &fault : NULL);
    if (err == OK)
        err = log_err;
    if (err != OK)
        log_error("changes.hold", "err=%s next=\"brought back from log/ahead\"", log_quote(why, sizeof why, fault_text(&fault, err)));
}

/* Before a job. What a group of general entries lost comes back as well; while things are unsettled changer_settle does it, now and then. */
static void before(void *changer)
{
    struct changer *ch = changer;
    let_go(ch);
    if (!ch->unsettled)
        changer_hold_lost(ch);
}

/* Let go has been by now: the queue saw to it. */
static void over(void *changer)
{
    struct changer *ch = changer;
    ch->hold_waits = false;
}

static void wanted(void *changer) { (void)changer; }

/* Any thread. When the queue is ending, that ends them. */
static void want(void *changer)
{
    struct changer *ch = changer;
    if (queue_push(ch->o.queue, &(struct job){ wanted, NULL, ch }, 0) == ERR_NOMEM)
        log_warn("changes.hold", "err=\"out of memory\" next=\"readers wait some ms\"");
}

void changer_held(void *changer)
{
    struct changer *ch = changer;
    if (!ch->hold_waits)
        ch->hold_waits = queue_push(ch->o.queue, &(struct job){ over, NULL, ch }, HOLD_MS) == OK;
    if (!ch->hold_waits)
        let_go(ch);
}

void changer_hold_lost(struct changer *ch)
{
    struct fault fault = { "" };
    char why[FAULT_TEXT_MAX + 64];
    if (!source_is_barred(ch->o.source) && !log_is_behind(ch->o.store))
        return;
    enum err err = commit_settle(ch->o.committer, &fault);
    if (err == OK || err == ERR_NOTNOW)
        err = changer_catch_up(&ch->o, &fault);
    if (err == OK)
        return;
    ch->unsettled = true;
    log_error("changes.lost", "err=%s next=\"they follow before the next change\"", log_quote(why, sizeof why, fault_text(&fault, err)));
    changer_again_soon(ch);
}

void changer_hold_open(struct changer *ch)
{
    queue_before(ch->o.queue, before, ch);
    source_on_hold(ch->o.source, want, ch);
    commit_on_hold(ch->o.committer, changer_held, want, ch);
}

/* The queue's end lets go of what is held; threads that read longer must not ask it then. */
void changer_hold_stop(struct changer *ch)
{
    source_on_hold(ch->o.source, NULL, NULL);
    log_on_hold(ch->o.store, NULL, NULL);
}

void changer_hold_close(struct changer *ch)
{
    changer_hold_stop(ch);
    commit_on_hold(ch->o.committer, NULL, NULL, NULL);
}
