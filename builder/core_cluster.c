#include "builder/core_cluster.h"

#include "base/log.h"
#include "builder/core.h"

#include <inttypes.h>
#include <stdlib.h>

struct order { struct core *core; const char *why; core_cluster_told_fn *told; void *arg; };

static void end(struct order *o, const struct core_cluster_result *result)
{
    o->told(o->arg, result);
    free(o);
}

static void raise_run(void *arg)
{
    struct order *o = arg;
    struct committer *c = o->core->committer;
    struct core_cluster_result r = { .fault = { "" } };
    uint64_t before = commit_epoch(c);
    char why[600];
    r.err = commit_raise_epoch(c, 0, &r.seq, &r.fault);
    r.epoch = commit_epoch(c);
    if (r.err == OK)
        log_warn("core.epoch", "from=%" PRIu64 " to=%" PRIu64 " seq=%" PRIu64 " why=\"asked for\"", before, r.epoch, r.seq);
    else
        log_error("core.epoch", "epoch=%" PRIu64 " err=%s next=\"as before\"", r.epoch,
                  log_quote(why, sizeof why, fault_text(&r.fault, r.err)));
    end(o, &r);
}

static void rotate_run(void *arg)
{
    struct order *o = arg;
    struct core *c = o->core;
    struct core_cluster_result r = { .fault = { "" } };
    char why[600];
    r.err = c->config->core->encrypt ? keyring_rotate(c->keyring, &r.key_id, &r.fault)
                                     : fault_set(&r.fault, ERR_NOTNOW, "core.encrypt is off");
    if (r.err == OK)
        log_info("core.cluster_key", "id=%016" PRIx64 " why=\"%s\"", r.key_id, o->why);
    else
        log_error("core.cluster_key", "err=%s next=\"as before\"", log_quote(why, sizeof why, fault_text(&r.fault, r.err)));
    end(o, &r);
}

static void order_drop(void *arg)
{
    struct core_cluster_result r = { .err = ERR_NOTNOW, .fault = { "the core is ending" } };
    end(arg, &r);
}

static void order_give(struct core *c, void (*run)(void *arg), const char *why, core_cluster_told_fn *told, void *arg)
{
    struct core_cluster_result r = { .err = ERR_NOMEM, .fault = { "" } };
    struct order *o = malloc(sizeof *o);
    if (o == NULL) {
        told(arg, &r);
        return;
    }
    *o = (struct order){ c, why, told, arg };
    if (queue_push(c->queue, &(struct job){ run, order_drop, o }, 0) != OK)
        order_drop(o);
}

void core_cluster_raise_epoch(struct core *c, core_cluster_told_fn *told, void *arg)
{
    order_give(c, raise_run, "", told, arg);
}

void core_cluster_rotate_key(struct core *c, const char *why, core_cluster_told_fn *told, void *arg)
{
    order_give(c, rotate_run, why, told, arg);
}
