/* azoth-edge: the upstream. What comes is given to the replica, what it wants is done (edge_jobs.c). */
#include "replicator/edge_app.h"

#include "base/clock.h"
#include "base/log.h"

#include <inttypes.h>
#include <sodium.h>

#define MESSAGES_PER_WAKE 64            /* then the other events run */
#define REQUEST_SOON_MS 10              /* a request waits for its connection */

void app_arm(struct app *a)
{
    uint64_t ms = replica_wake_ms(a->replica, clock_mono_ms());
    if (a->req != NULL && link_is_soon(a->req) && ms > REQUEST_SOON_MS)
        ms = REQUEST_SOON_MS;
    uint64_t at_ms = clock_mono_ms() + ms;
    if (a->timer_ms != 0 && a->timer_ms <= at_ms)
        return;                         /* never later than it stands: messages must not hold the timer off */
    struct timeval tv = { (time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000) };
    a->timer_ms = at_ms;
    event_add(a->on_timer, &tv);
}

static void drain_sub(struct app *a)
{
    struct bytes msg;
    struct todo t;
    enum err err;
    while (a->sub != NULL && link_recv(a->sub, &msg) == OK && replica_gather(a->replica, msg))
        continue;
    while (replica_hear(a->replica, clock_mono_ms(), &err, &t)) {
        edge_say_bad(&a->say, err, "announce", a->stat.replica.upstream);
        app_hear(a, &t);
    }
    app_send_on(a);                                     /* subscribers get together what came together */
    replica_go(a->replica, clock_mono_ms(), &t);        /* what came together is proven and stored together */
    app_do(a, &t);
}

void app_send(struct app *a, struct bytes send)
{
    if (send.len > 0 && a->req != NULL && link_send(a->req, send) != OK)
        log_debug("edge.ask", "err=\"%s\" next=timeout", err_text(ERR_NET));
}

/* A cluster key came: what waited for it goes on. Or we are refused one. */
static void take_key(struct app *a)
{
    uint8_t key[CLUSTER_KEY_LEN];
    struct fault fault = { .text = "" };
    char words[FAULT_TEXT_MAX + 64];
    struct todo t;
    bool news = false;
    struct note refused = { .kind = NOTE_REFUSED, .a = session_take_refusal(a->session) };
    if (refused.a != 0)
        edge_say_note(&a->say, &refused, "", store_cluster(a->store));
    if (!session_take_key(a->session, key))
        return;
    enum err err = keyring_take(a->keyring, key, 1, &news, &fault);
    if (err == OK)
        log_info("edge.cluster_key", "id=%016" PRIx64, keyring_id(key));
    else
        log_error("edge.cluster_key", "err=%s next=ask-again", log_quote(words, sizeof words, fault_text(&fault, err)));
    sodium_memzero(key, sizeof key);
    if (err != OK)
        return;
    replica_keyed(a->replica);
    replica_tick(a->replica, clock_mono_ms(), &t);
    app_do(a, &t);
}

static void drain_req(struct app *a)
{
    struct bytes msg, plain, send;
    struct todo t;
    for (int left = MESSAGES_PER_WAKE; left > 0 && a->req != NULL && link_recv(a->req, &msg) == OK; left--) {
        enum err err = session_reply(a->session, msg, clock_mono_ms(), &plain, &send);
        app_send(a, send);
        take_key(a);
        if (plain.len > 0) {
            err = replica_reply(a->replica, plain, clock_mono_ms(), &t);
            app_do(a, &t);
        }
        edge_say_bad(&a->say, err, "reply", a->stat.replica.upstream);
    }
}

void app_on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct app *a = arg;
    struct todo t;
    struct bytes send;
    (void)fd, (void)what;
    a->timer_ms = 0;
    drain_sub(a);                       /* nanomsg may have missed to say so */
    drain_req(a);
    session_tick(a->session, clock_mono_ms(), &send);
    app_send(a, send);
    replica_tick(a->replica, clock_mono_ms(), &t);
    app_do(a, &t);
    replica_figures(a->replica, clock_mono_ms(), &a->stat.replica);
    a->stat.was_live = a->stat.was_live || a->stat.replica.state == REPLICA_LIVE;
    edge_say_heard(&a->say, a->stat.replica.age_ms, a->stat.replica.upstream);
    if (a->stat.replica.stopped)
        edge_say_stopped(&a->say, a->stat.replica.applied.seq);
    app_arm(a);
}

/* --- opening and closing -------------------------------------------------------------------------------------------- */
static void on_sub(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    drain_sub(arg);
    app_arm(arg);
}

static void on_req(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    drain_req(arg);
    app_arm(arg);
}

void app_links_close(struct app *a)
{
    if (a->on_sub != NULL)
        event_free(a->on_sub);
    if (a->on_req != NULL)
        event_free(a->on_req);
    a->on_sub = a->on_req = NULL;
    link_close(a->sub);
    link_close(a->req);
    a->sub = a->req = NULL;
}

void app_links_open(struct app *a, unsigned upstream)
{
    const struct config_links *u = &a->config->edge->upstreams[upstream];
    struct fault fault = { .text = "" };
    char words[FAULT_TEXT_MAX + 64];
    unsigned held;
    session_reset(a->session);
    enum err err = link_open(&a->sub, LINK_SUB, u->publish, &fault);
    if (err == OK && (err = link_open(&a->req, LINK_REQ, u->serve, &fault)) == OK) {
        a->on_sub = event_new(a->base, link_fd(a->sub), EV_READ | EV_PERSIST, on_sub, a);
        a->on_req = event_new(a->base, link_fd(a->req), EV_READ | EV_PERSIST, on_req, a);
        if (a->on_sub == NULL || a->on_req == NULL || event_add(a->on_sub, NULL) != 0
            || event_add(a->on_req, NULL) != 0)
            err = fault_set(&fault, ERR_NOMEM, "no memory for an upstream's events");
    }
    if (err == OK && collect_connect(a->collect, u->collect, &fault) != OK)
        log_error("edge.receipts", "upstream=%u err=%s next=\"none are sent\"", upstream,
                  log_quote(words, sizeof words, fault_text(&fault, ERR_NET)));
    if (err == OK)
        return;
    if (log_brake_pass_in(&a->say.links, clock_mono_ms(), LOG_SLOW_MS, 3, &held))
        log_error("edge.upstream", "upstream=%u err=%s held=%u next=next-upstream", upstream,
                  log_quote(words, sizeof words, fault_text(&fault, err)), held);
    app_links_close(a);                     /* silence brings us to the next one */
}
