#include "replicator/collect.h"

#include "base/clock.h"
#include "replicator/link.h"
#include "replicator/receipt_queue.h"

#include <event2/event.h>
#include <stdlib.h>

#define AGAIN_FIRST_MS 5                /* the link up was busy, or has no connection: 5, 10, 20 ... */
#define AGAIN_LAST_MS 250

struct collect {
    struct collect_options o;
    struct link *down, *up;
    struct event *on_down, *on_look, *on_more, *on_again;
    struct receipt_queue *queue;
    uint64_t again_ms;
    struct { uint64_t received, sent, shape, old, fast, failed; } n;
};

/* --- up -------------------------------------------------------------------------------------------------------------- */
static void again_later(struct collect *c)
{
    struct timeval tv = { (time_t)(c->again_ms / 1000), (suseconds_t)(c->again_ms % 1000 * 1000) };
    if (event_add(c->on_again, &tv) == 0)
        c->again_ms = 2 * c->again_ms < AGAIN_LAST_MS ? 2 * c->again_ms : AGAIN_LAST_MS;
}

static void send_up(struct collect *c)
{
    struct bytes msg;
    for (int left = COLLECT_PER_WAKE; left > 0 && receipt_queue_first(c->queue, &msg); left--) {
        if (c->up == NULL || link_send(c->up, msg) != OK)
            break;
        receipt_queue_drop(c->queue);
        c->n.sent++;
        c->again_ms = AGAIN_FIRST_MS;
    }
    if (c->up != NULL && receipt_queue_waiting(c->queue) > 0 && !event_pending(c->on_again, EV_TIMEOUT, NULL))
        again_later(c);
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    send_up(arg);
}

static void queue_up(struct collect *c, struct bytes msg, bool ours, uint64_t now_us)
{
    switch (receipt_queue_take(c->queue, msg, ours, now_us)) {
    case OK: break;
    case ERR_EXISTS: c->n.old++; break;
    case ERR_LIMIT: c->n.fast++; break;
    case ERR_NOMEM: c->n.failed++; break;
    default: c->n.shape++; break;
    }
}

void collect_push(struct collect *c, struct bytes own)
{
    if (c->up == NULL)
        return;
    queue_up(c, own, true, clock_mono_us());
    send_up(c);
}

bool collect_connected(const struct collect *c)
{
    return c->up != NULL;
}

enum err collect_connect(struct collect *c, const char *address, struct fault *fault)
{
    link_close(c->up);
    c->up = NULL;
    c->again_ms = AGAIN_FIRST_MS;
    return address != NULL ? link_open(&c->up, LINK_PUSH, address, fault) : OK;
}

/* --- down ------------------------------------------------------------------------------------------------------------ */
/* Without an upstream that collects, what comes is of no use to anybody. */
static void took(struct collect *c, struct bytes msg)
{
    c->n.received++;
    if (c->o.take != NULL)
        c->o.take(c->o.arg, msg, clock_mono_us());
    else if (c->up != NULL)
        queue_up(c, msg, false, clock_mono_us());
}

static void on_down(evutil_socket_t fd, short what, void *arg)
{
    static const struct timeval at_once;
    struct collect *c = arg;
    struct bytes msg;
    int left = COLLECT_PER_WAKE;
    (void)fd, (void)what;
    for (; left > 0 && link_recv(c->down, &msg) == OK; left--)
        took(c, msg);
    if (left == 0)
        (void)event_add(c->on_more, &at_once);      /* more may wait: after the other events, as event_active would not be */
    send_up(c);
}

/* --- life ------------------------------------------------------------------------------------------------------------ */
static enum err listen_at(struct collect *c, const char *address, struct fault *fault)
{
    static const struct timeval look = { 0, LINK_LOOK_MS * 1000 };
    enum err err = link_open(&c->down, LINK_PULL, address, fault);
    if (err != OK)
        return err;
    c->on_down = event_new(c->o.base, link_fd(c->down), EV_READ | EV_PERSIST, on_down, c);
    c->on_look = event_new(c->o.base, -1, EV_PERSIST, on_down, c);
    c->on_more = event_new(c->o.base, -1, 0, on_down, c);
    if (c->on_down == NULL || c->on_look == NULL || c->on_more == NULL || event_add(c->on_down, NULL) != 0 || event_add(c->on_look, &look) != 0)
        return fault_set(fault, ERR_NOMEM, "no memory for the events of receipts");
    return OK;
}

enum err collect_open(struct collect **out, const struct collect_options *o, struct fault *fault)
{
    struct collect *c = calloc(1, sizeof *c);
    enum err err = OK;
    if (c == NULL)
        return fault_set(fault, ERR_NOMEM, "no memory for receipts");
    c->o = *o;
    c->o.listen = NULL;
    c->again_ms = AGAIN_FIRST_MS;
    c->on_again = event_new(o->base, -1, 0, on_again, c);
    if (c->on_again == NULL || receipt_queue_open(&c->queue) != OK)
        err = fault_set(fault, ERR_NOMEM, "no memory for receipts");
    if (err == OK && o->listen != NULL)
        err = listen_at(c, o->listen, fault);
    if (err != OK) {
        collect_close(c);
        return err;
    }
    *out = c;
    return OK;
}

void collect_close(struct collect *c)
{
    if (c == NULL)
        return;
    struct event *events[] = { c->on_down, c->on_look, c->on_more, c->on_again };
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        if (events[i] != NULL)
            event_free(events[i]);
    }
    link_close(c->down);
    link_close(c->up);
    receipt_queue_close(c->queue);
    free(c);
}

/* On a core the fleet says what became of them. */
void collect_metrics(const struct collect *c, struct stat_page *page)
{
    static const char name[] = "azoth_receipts_total";
    stat_head(page, name, "counter", "receipts of nodes that came in, went up, or were dropped");
    stat_value(page, name, "result=\"received\"", c->n.received);
    stat_value(page, name, "result=\"sent\"", c->n.sent);
    if (c->o.take != NULL)
        return;
    stat_value(page, name, "result=\"malformed\"", c->n.shape);
    stat_value(page, name, "result=\"old\"", c->n.old);
    stat_value(page, name, "result=\"too-fast\"", c->n.fast);
    stat_value(page, name, "result=\"failed\"", c->n.failed);
    stat_head(page, "azoth_receipts_waiting", "gauge", "receipts that wait for the link up");
    stat_value(page, "azoth_receipts_waiting", NULL, receipt_queue_waiting(c->queue));
}
