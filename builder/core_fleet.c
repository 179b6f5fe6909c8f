#include "builder/core_fleet.h"

#include "base/clock.h"
#include "base/log.h"
#include "builder/core.h"
#include "replicator/collect.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

#define BAD_BURST 5                     /* lines a minute about receipts that are not taken */
#define WRONG_LINES 10                  /* nodes named in a tick */
#define TURN_LINES 10                   /* the same, of those that went away or came back */

struct waiting { uint64_t epoch, seq, us; uint8_t digest[HEAD_DIGEST_LEN]; };
struct core_fleet {
    struct core *core;
    struct fleet *fleet;
    struct collect *collect;            /* NULL: core.collect is not configured */
    struct log_brake bad;
    pthread_mutex_t lock;               /* of what follows */
    struct waiting *list;
    size_t list_n;
};

/* --- commits --------------------------------------------------------------------------------------------------------- */
static void list_halve(struct core_fleet *f)
{
    f->list_n -= CORE_FLEET_WAITING / 2;
    memmove(f->list, f->list + CORE_FLEET_WAITING / 2, f->list_n * sizeof *f->list);
}

void core_fleet_committed(struct core_fleet *f, const struct head *head)
{
    if (f == NULL)
        return;
    struct waiting w = { .epoch = head->epoch, .seq = head->seq, .us = clock_mono_us() };
    memcpy(w.digest, head->digest, sizeof w.digest);
    (void)pthread_mutex_lock(&f->lock);
    if (f->list_n == CORE_FLEET_WAITING)        /* the loop stands still; what is newest matters */
        list_halve(f);
    f->list[f->list_n++] = w;
    (void)pthread_mutex_unlock(&f->lock);
}

struct fleet *core_fleet_look(struct core_fleet *f)
{
    (void)pthread_mutex_lock(&f->lock);
    for (size_t i = 0; i < f->list_n; i++) {
        const struct waiting *w = &f->list[i];
        struct head h = { .epoch = w->epoch, .seq = w->seq };
        memcpy(h.digest, w->digest, sizeof h.digest);
        fleet_committed(f->fleet, &h, w->us);
    }
    f->list_n = 0;
    (void)pthread_mutex_unlock(&f->lock);
    return f->fleet;
}

/* --- receipts -------------------------------------------------------------------------------------------------------- */
static void tell_bad(struct core_fleet *f, struct bytes msg, enum err err)
{
    struct receipt r = { .node = { 0 } };
    struct bytes body;
    uint8_t sig[64];
    char text[300], node[NODE_NAME_MAX + 1] = "";
    unsigned held;
    if (err == ERR_EXISTS || err == ERR_LIMIT || !log_brake_pass_in(&f->bad, clock_mono_ms(), LOG_SLOW_MS, BAD_BURST, &held))
        return;
    if (receipt_read(msg, &r, &body, sig) == OK)
        memcpy(node, r.node.ptr, r.node.len);
    log_warn("fleet.receipt", "node=%s err=\"%s\" held=%u next=drop", log_quote(text, sizeof text, node),
             err == ERR_NOTFOUND ? "no such node in core.nodes" : err_text(err), held);
}

static void on_receipt(void *arg, struct bytes msg, uint64_t now_us)
{
    struct core_fleet *f = arg;
    struct fleet *fleet = core_fleet_look(f);
    enum err err = fleet_take(fleet, msg, now_us, commit_time_ms(f->core->committer));
    if (err != OK)
        tell_bad(f, msg, err);
    else if (f->core->api != NULL && fleet_moved(fleet))
        api_http_moved(f->core->api);
}

uint64_t core_fleet_heard(struct core_fleet *f)
{
    struct fleet_has has = { .nodes = 0 };
    if (f->collect != NULL)
        fleet_has(f->fleet, 0, 0, false, clock_mono_us(), &has);
    return has.nodes;
}

/* A relay that ends takes all behind it along: some are named, the others counted. */
static void tell_turns(struct fleet *fleet)
{
    struct fleet_node n;
    char text[300], parent[300];
    size_t went = 0, came = 0;
    for (size_t i = 0; i < fleet_count(fleet); i++) {
        enum fleet_turn turn = fleet_turn(fleet, i, clock_mono_us());
        went += turn == FLEET_WENT;
        came += turn == FLEET_CAME;
        if (turn == FLEET_SAME || went + came > TURN_LINES)
            continue;
        fleet_node(fleet, i, clock_mono_us(), &n);
        (void)log_quote(text, sizeof text, n.name);
        (void)log_quote(parent, sizeof parent, n.parent);
        if (turn == FLEET_WENT)
            log_warn("fleet.away", "node=%s parent=%s heard_s=%" PRIu64 " seq=%" PRIu64, text, parent, n.heard_ms / 1000, n.seq);
        else
            log_info("fleet.back", "node=%s parent=%s seq=%" PRIu64 " behind=%" PRIu64, text, parent, n.seq, n.lag_records);
    }
    if (went + came > TURN_LINES)
        log_warn("fleet.turns", "away=%zu back=%zu named=%d next=\"azoth status names all\"", went, came, TURN_LINES);
}

void core_fleet_tick(struct core_fleet *f)
{
    struct fleet *fleet = core_fleet_look(f);
    struct fleet_node n;
    char text[300];
    unsigned told = 0;
    tell_turns(fleet);
    for (size_t i = 0; i < fleet_count(fleet) && told < WRONG_LINES; i++) {
        fleet_node(fleet, i, clock_mono_us(), &n);
        if (n.away || !n.digest_known || n.digest_ok)
            continue;
        told++;
        log_error("fleet.digest", "node=%s epoch=%" PRIu64 " seq=%" PRIu64 " err=\"its data is not what was committed\"",
                  log_quote(text, sizeof text, n.name), n.epoch, n.seq);
    }
}

void core_fleet_metrics(struct core_fleet *f, struct stat_page *page)
{
    fleet_metrics(core_fleet_look(f), clock_mono_us(), page);
}

/* --- life ------------------------------------------------------------------------------------------------------------ */
enum err core_fleet_listed(struct core *c, const struct nodes *nodes)
{
    enum err err = fleet_list(c->fleet->fleet, nodes);
    if (err == OK && c->api != NULL)
        api_http_moved(c->api);
    return err;
}

static enum err start(struct core_fleet *f, struct fault *fault)
{
    struct core *c = f->core;
    struct head h;
    struct signed_head sh;
    enum err err = fleet_open(&f->fleet, store_cluster(c->store), clock_mono_us());
    if (err != OK)
        return err;
    if (store_head(c->store, &h, &sh) == OK)
        fleet_committed(f->fleet, &h, 0);
    if ((err = fleet_list(f->fleet, c->nodes)) != OK)
        return err;
    if (c->config->core->links.collect == NULL)
        return OK;
    struct collect_options co = { .base = c->base, .listen = c->config->core->links.collect, .take = on_receipt, .arg = f };
    return collect_open(&f->collect, &co, fault);
}

MUST_USE enum err core_fleet_open(struct core *c, struct fault *fault)
{
    struct core_fleet *f = calloc(1, sizeof *f);
    if (f == NULL || (f->list = calloc(CORE_FLEET_WAITING, sizeof *f->list)) == NULL) {
        free(f);
        return fault_set(fault, ERR_NOMEM, "no memory for the fleet");
    }
    f->core = c;
    (void)pthread_mutex_init(&f->lock, NULL);
    c->fleet = f;
    enum err err = start(f, fault);
    return err == ERR_NOMEM ? fault_set(fault, err, "no memory for the fleet") : err;
}

void core_fleet_close(struct core *c)
{
    struct core_fleet *f = c->fleet;
    if (f == NULL)
        return;
    c->fleet = NULL;
    collect_close(f->collect);
    fleet_close(f->fleet);
    (void)pthread_mutex_destroy(&f->lock);
    free(f->list);
    free(f);
}
