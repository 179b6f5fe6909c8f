/* What goes ahead of the log (store.h: log_ahead) and the records' share in it: they get what they lack of it at the start and behind a
 * failure; and now and then all three are settled, so that its room can be used again. */
#include "builder/changer_parts.h"

#include "base/log.h"

#define CHECKPOINT_AGAIN_MS 10000       /* behind a failure */

static enum err catch_up_one(void *source, struct bytes kept, struct fault *fault) { return source_again(source, kept, fault); }

MUST_USE enum err changer_catch_up(const struct changer_options *o, struct fault *fault)
{
    char why[FAULT_TEXT_MAX + 64];
    enum err err = log_extras(o->store, catch_up_one, o->source, fault);
    if (err == ERR_GAP || err == ERR_BAD) {             /* so are those behind it */
        log_error("changes.again", "err=%s next=\"records stay as they are\"", log_quote(why, sizeof why, fault_text(fault, err)));
        err = OK;
    }
    if (err == OK)
        err = source_settle(o->source, fault);
    source_bar(o->source, err != OK);
    return err;
}

static void checkpoint(void *arg)
{
    struct changer *ch = arg;
    struct fault fault = { "" };
    char why[FAULT_TEXT_MAX + 64];
    ch->checkpoint_waits = false;
    if (!ch->started || ch->unsettled || source_is_barred(ch->o.source))
        return;                         /* the records may lack something: a later commit asks again */
    enum err err = source_settle(ch->o.source, &fault);
    if (err == OK && (err = commit_checkpoint(ch->o.committer, &fault)) == ERR_NOTNOW)
        err = OK;
    ch->checkpoint_failed = err != OK;
    if (err != OK)
        log_warn("changes.checkpoint", "err=%s next=\"tried again\"", log_quote(why, sizeof why, fault_text(&fault, err)));
}

void changer_checkpoint_soon(void *changer)
{
    struct changer *ch = changer;
    if (!ch->checkpoint_waits)
        ch->checkpoint_waits = queue_push(ch->o.queue, &(struct job){ checkpoint, NULL, ch },
                                          ch->checkpoint_failed ? CHECKPOINT_AGAIN_MS : 0) == OK;
}
