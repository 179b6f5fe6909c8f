/* Events that the store has leave the outbox, and rows that no zone points to any more go: with the next group, or behind a moment of quiet. */
#include "builder/changer_parts.h"

#include "base/log.h"

#include <stdlib.h>
#include <string.h>

#define TIDY_MORE_MS 200
#define TIDY_AGAIN_MS 10000     /* behind a failure */
#define SWEEP_ROWS 10000

MUST_USE enum err changer_done(struct changer *ch, const uint64_t *events, size_t n)
{
    if (ch->done_cap - ch->done_n < n) {
        size_t cap = ch->done_n + n + 1024;
        uint64_t *more = realloc(ch->done, cap * sizeof *more);
        if (more == NULL)
            return ERR_NOMEM;
        ch->done = more;
        ch->done_cap = cap;
    }
    for (size_t i = 0; i < n; i++)
        ch->done[ch->done_n++] = events[i];
    uint64_t left = stat_get(&ch->stats.events);
    stat_set(&ch->stats.events, left > n ? left - n : 0);
    if (left <= n)
        stat_set(&ch->stats.oldest_ms, 0);
    return OK;
}

MUST_USE enum err changer_drop(struct changer *ch, struct source_txn *t, struct fault *fault)
{
    enum err err = OK;
    for (size_t i = 0; i < ch->done_n && err == OK; i++)
        if ((err = source_event_done(t, ch->done[i], fault)) == ERR_NOTFOUND)
            err = OK;
    return err == OK && ch->mark_due && changer_is_level(ch) ? source_mark_put(t, &ch->mark, fault) : err;
}

void changer_dropped(struct changer *ch, size_t n)
{
    ch->mark_due &= !changer_is_level(ch);
    ch->done_n -= n;
    if (ch->done_n > 0)
        memmove(ch->done, ch->done + n, ch->done_n * sizeof *ch->done);
}

MUST_USE enum err changer_tidy(struct changer *ch, bool *left, struct fault *fault)
{
    struct source_txn *t = NULL;
    size_t n = ch->done_n;
    bool sweep = ch->sweep && ch->held == 0;        /* a whole zone's old rows may have to come back until it is done */
    enum err err = source_begin(ch->o.source, SOURCE_WRITE, &t, fault);
    *left = false;
    if (err == OK)
        err = changer_drop(ch, t, fault);
    if (err == OK && sweep)
        err = source_sweep(t, SWEEP_ROWS, left, fault);
    if (err != OK) {
        source_abort(t);
        return err;
    }
    if ((err = source_commit(t, fault)) != OK)
        return err;
    changer_dropped(ch, n);
    if (sweep)
        ch->sweep = *left;
    return OK;
}

static bool has_to_tidy(const struct changer *ch)
{
    return ch->done_n > 0 || (ch->sweep && ch->held == 0) || (ch->mark_due && changer_is_level(ch));
}

static void tidy(void *arg)
{
    struct changer *ch = arg;
    struct fault fault = { "" };
    char why[FAULT_TEXT_MAX + 64];
    bool left;
    ch->tidy_waits = false;
    if (!ch->started || !has_to_tidy(ch))
        return;
    enum err err = changer_tidy(ch, &left, &fault);
    if (err != OK)
        log_warn("records.tidy", "err=%s next=\"tried again\"", log_quote(why, sizeof why, fault_text(&fault, err)));
    if (err != OK || left)
        changer_tidy_soon(ch, err != OK ? TIDY_AGAIN_MS : TIDY_MORE_MS);
}

void changer_tidy_soon(struct changer *ch, uint64_t delay_ms)
{
    if (!ch->tidy_waits && has_to_tidy(ch))
        ch->tidy_waits = queue_push(ch->o.queue, &(struct job){ tidy, NULL, ch }, delay_ms) == OK;
}
