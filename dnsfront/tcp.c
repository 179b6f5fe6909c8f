#include "dnsfront/tcp.h"

#include "base/clock.h"
#include "dnsfront/clients.h"
#include "dnsfront/conn.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#define SWEEP_MS 250                            /* time limits, listeners that ran out of descriptors */
#define ACCEPTS_PER_WAKE 32
#define SEND_BYTES (128 * 1024)                 /* of the kernel's memory for a client that does not read */
#define PATIENCE_MS 1000                        /* before one who is slow may be turned out for a new connection */

/* --- places ----------------------------------------------------------------------------------------------------- */
/* One that sends in dribs, does not finish opening or does not take its answers; else the longest idle, who loses least. */
static struct conn *who_gives_way(const struct tcp *t, uint64_t now)
{
    static const enum stage slow[] = { STAGE_PARTIAL, STAGE_OPENING, STAGE_WRITING };
    for (size_t i = 0; i < sizeof slow / sizeof slow[0]; i++) {
        struct conn *c = t->stages[slow[i]].first;
        if (c != NULL && now - c->since_ms >= PATIENCE_MS && !(slow[i] == STAGE_WRITING && conn_gets_on(c)))
            return c;
    }
    return t->stages[STAGE_IDLE].first;
}

static bool make_room(struct tcp *t)
{
    struct clients *all = t->shared->clients;
    if (clients_enter(all))
        return true;
    struct conn *c = who_gives_way(t, clock_mono_ms());
    if (c == NULL)
        return false;
    stat_add(&t->worker->counters.tcp_gave_way, 1);
    conn_close(c);
    return clients_enter(all);
}

/* --- callbacks -------------------------------------------------------------------------------------------------- */
static void accept_one(struct tcp_listener *l, int fd, const struct sockaddr_storage *addr)
{
    struct tcp *t = l->tcp;
    struct peer p = peer_of(addr);
    bool proxied = nets_have(t->config->proxies, t->config->proxies_n, peer_bytes(&p));
    if (!proxied && !clients_take(t->shared->clients, &p)) {     /* before anybody gives way for it */
        stat_add(&t->worker->counters.tcp_refused_client, 1);
        (void)close(fd);
    } else if (!make_room(t)) {
        stat_add(&t->worker->counters.tcp_refused, 1);
        if (!proxied)
            clients_give(t->shared->clients, &p);
        (void)close(fd);
    } else {
        (void)conn_new(t, fd, &p, l->tls, proxied);
    }
}

/* Until the next sweep: what lacks is not there the moment after. */
static void rest(struct tcp_listener *l, int error)
{
    struct tcp *t = l->tcp;
    unsigned held;
    stat_add(&t->worker->counters.tcp_refused_files, 1);
    l->resting = event_del(l->acceptable) == 0;
    if (log_brake_pass(&t->brake, clock_mono_ms(), 1, &held))
        log_warn("dns.accept", "worker=%u err=\"%s\" next=\"wait %d ms\"", t->worker->number, strerror(error), SWEEP_MS);
}

/* Some at a time: who connects faster than we accept must not keep the loop here. */
static void on_accept(evutil_socket_t fd, short what, void *arg)
{
    struct tcp_listener *l = arg;
    (void)what;
    for (int left = ACCEPTS_PER_WAKE; left > 0; left--) {
        struct sockaddr_storage from;
        socklen_t len = sizeof from;
        int conn = accept4(fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (conn >= 0) {
            accept_one(l, conn, &from);
            worker_slice(l->tcp->worker);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            rest(l, errno);
            return;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        }                           /* else: an error of that one connection, which is gone */
    }
}

static void sweep_stage(struct tcp *t, enum stage stage, uint64_t now)
{
    for (struct conn *c = t->stages[stage].first, *next; c != NULL; c = next) {
        next = c->next;
        if (t->draining && stage != STAGE_WRITING) {
            conn_close(c);
        } else if (now - c->since_ms < t->limit_ms[stage]) {
            return;
        } else if (stage == STAGE_WRITING && conn_gets_on(c)) {
            conn_enter(c, stage);               /* due again one limit from now */
        } else {
            stat_add(&t->worker->counters.tcp_timeouts, 1);
            conn_close(c);
        }
    }
}

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
    struct tcp *t = arg;
    uint64_t now = clock_mono_ms();
    (void)fd, (void)what;
    for (enum stage s = 0; s < STAGES; s++)
        sweep_stage(t, s, now);
    for (size_t i = 0; i < t->listeners_n && !t->draining; i++)
        if (t->listeners[i].resting)
            t->listeners[i].resting = event_add(t->listeners[i].acceptable, NULL) != 0;
}

/* --- life ------------------------------------------------------------------------------------------------------- */
static enum err listener_open(struct tcp *t, const struct listen_address *a, bool tls, struct fault *fault)
{
    struct tcp_listener *l = &t->listeners[t->listeners_n];
    int one = 1, send_bytes = SEND_BYTES;
    *l = (struct tcp_listener){ .tcp = t, .tls = tls };
    enum err err = listen_socket(a, SOCK_STREAM, &l->fd, fault);
    if (err != OK)
        return err;
    t->listeners_n++;
    (void)setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);        /* connections inherit both */
    (void)setsockopt(l->fd, SOL_SOCKET, SO_SNDBUF, &send_bytes, sizeof send_bytes);
    l->acceptable = event_new(t->worker->base, l->fd, EV_READ | EV_PERSIST, on_accept, l);
    return l->acceptable == NULL || event_add(l->acceptable, NULL) != 0 ? ERR_NOMEM : OK;
}

static enum err sweep_open(struct tcp *t)
{
    static const struct timeval every = { SWEEP_MS / 1000, SWEEP_MS % 1000 * 1000 };
    uint64_t idle = t->config->tcp.idle_ms;
    t->limit_ms[STAGE_OPENING] = TCP_OPENING_MS;
    t->limit_ms[STAGE_IDLE] = t->limit_ms[STAGE_WRITING] = idle;
    t->limit_ms[STAGE_PARTIAL] = idle < TCP_WHOLE_MS ? idle : TCP_WHOLE_MS;
    t->sweep = event_new(t->worker->base, -1, EV_PERSIST, on_sweep, t);
    return t->sweep == NULL || event_add(t->sweep, &every) != 0 ? ERR_NOMEM : OK;
}

MUST_USE enum err tcp_open(struct tcp **out, struct worker *w, const struct listen_address *listens, size_t n,
                           struct fault *fault)
{
    struct shared *s = w->shared;
    struct tcp *t = calloc(1, sizeof *t);
    if (t == NULL)
        return ERR_NOMEM;
    t->worker = w;
    t->config = w->config;
    t->shared = s;
    t->listeners = calloc(n + s->tls_listens_n, sizeof *t->listeners);
    enum err err = t->listeners == NULL ? ERR_NOMEM : sweep_open(t);
    for (size_t i = 0; err == OK && i < n; i++)
        err = listener_open(t, &listens[i], false, fault);
    for (size_t i = 0; err == OK && i < s->tls_listens_n; i++)
        err = listener_open(t, &s->tls_listens[i], true, fault);
    if (err != OK) {
        tcp_close(t);
        return err;
    }
    *out = t;
    return OK;
}

/* Who has connected already comes in; queries that are in the kernel's buffers are read and answered until the next sweep. */
unsigned tcp_drain(struct tcp *t)
{
    for (size_t i = 0; i < t->listeners_n; i++) {
        on_accept(t->listeners[i].fd, EV_READ, &t->listeners[i]);
        (void)event_del(t->listeners[i].acceptable);
    }
    t->draining = true;
    return t->open;
}

void tcp_close(struct tcp *t)
{
    if (t == NULL)
        return;
    for (size_t i = 0; i < t->listeners_n; i++) {
        if (t->listeners[i].acceptable != NULL)
            event_free(t->listeners[i].acceptable);
        (void)close(t->listeners[i].fd);
    }
    t->draining = false;                        /* nobody waits for the last one any more */
    for (enum stage s = 0; s < STAGES; s++)
        while (t->stages[s].first != NULL)
            conn_close(t->stages[s].first);
    if (t->sweep != NULL)
        event_free(t->sweep);
    free(t->listeners);
    free(t);
}
