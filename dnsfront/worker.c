#include "dnsfront/worker.h"

#include "base/clock.h"
#include "base/thread.h"
#include "dnsfront/shared.h"
#include "dnsfront/tcp.h"
#include "dnsfront/udp.h"

#include <errno.h>
#include <event2/event.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void ring(int fd)
{
    uint64_t one = 1;
    ssize_t n = write(fd, &one, sizeof one);
    (void)n;                                    /* full: it rings already */
}

/* --- views ------------------------------------------------------------------------------------------------------ */
struct answerer *worker_view_begin(struct worker *w)
{
    if (w->view == NULL)
        return w->blank;
    if (view_begin(w->view) != OK) {
        stat_add(&w->counters.view_failed, 1);
        return w->blank;
    }
    w->viewing = true;
    if (view_version(w->view) != w->version) {
        w->version = view_version(w->view);
        if (view_superseded(w->view))
            ring(w->superseded_fd);
    }
    return w->answerer;
}

void worker_view_end(struct worker *w)
{
    if (w->viewing)
        view_end(w->view);
    w->viewing = false;
}

void worker_slice(struct worker *w)
{
    if (clock_mono_us() - w->sliced_us < SLICE_US)
        return;
    udp_look(w->udp);
    w->sliced_us = clock_mono_us();
}

static struct answer_options options_of(struct worker *w)
{
    return (struct answer_options){ .nsid = w->config->nsid, .version = w->config->version, .counts = &w->counters.answers,
                                    .cookies = &w->cookies };
}

static void view_take(struct worker *w)
{
    struct answer_options o = options_of(w);
    struct store *s = atomic_exchange(&w->store_given, NULL);
    struct fault fault = { "" };
    unsigned held;
    if (s == NULL || w->view != NULL)
        return;
    enum err err = view_open(s, &w->view, &fault);
    if (err == OK)
        err = answerer_open(&w->answerer, w->view, &o);
    if (err == OK) {
        answerer_share(w->answerer, w->cache, w->number - 1);
        atomic_store(&w->serving, true);
        return;
    }
    view_close(w->view);                        /* the main thread gives the store again in a second */
    w->view = NULL;
    if (log_brake_pass(&w->brake, clock_mono_ms(), 1, &held)) {
        char text[FAULT_TEXT_MAX];
        log_error("dns.view", "worker=%u err=%s next=retry", w->number,
                  log_quote(text, sizeof text, fault_text(&fault, err)));
    }
}

/* --- the bell --------------------------------------------------------------------------------------------------- */
static void on_drained(evutil_socket_t fd, short what, void *arg)
{
    struct worker *w = arg;
    (void)fd, (void)what;
    (void)event_base_loopbreak(w->base);
}

static void on_bell(evutil_socket_t fd, short what, void *arg)
{
    struct worker *w = arg;
    static const struct timeval most = { DRAIN_MS / 1000, DRAIN_MS % 1000 * 1000 };
    uint64_t rings;
    ssize_t n = read(fd, &rings, sizeof rings);
    (void)n, (void)what;
    w->cookies = shared_cookies(w->shared);
    view_take(w);
    (void)worker_view_begin(w);                 /* follows the store's generation */
    worker_view_end(w);
    if (!atomic_load(&w->stopping))
        return;
    udp_drain(w->udp);
    if (tcp_drain(w->tcp) == 0 || event_base_once(w->base, -1, EV_TIMEOUT, on_drained, w, &most) != 0)
        (void)event_base_loopbreak(w->base);
}

/* --- life ------------------------------------------------------------------------------------------------------- */
static enum err bell_open(struct worker *w)
{
    w->base = event_base_new();
    w->bell_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (w->base == NULL || w->bell_fd < 0)
        return ERR_NOMEM;
    w->bell = event_new(w->base, w->bell_fd, EV_READ | EV_PERSIST, on_bell, w);
    return w->bell == NULL || event_add(w->bell, NULL) != 0 ? ERR_NOMEM : OK;
}

MUST_USE enum err worker_open(struct worker *w, const struct listen_address *listens, size_t n, struct fault *fault)
{
    struct answer_options o = options_of(w);
    enum err err;
    w->bell_fd = -1;
    w->cookies = shared_cookies(w->shared);
    if ((err = bell_open(w)) != OK || (err = answerer_open(&w->blank, NULL, &o)) != OK)
        return err;
    if ((err = udp_open(&w->udp, w, listens, n, fault)) != OK)
        return err;
    return tcp_open(&w->tcp, w, listens, n, fault);
}

/* As many workers as processors or fewer: each stays on one of those that this process may use, with its caches. One worker
 * alone, or more than processors: the scheduler places them. */
static void stay(const struct worker *w)
{
    cpu_set_t may, one;
    unsigned left = w->number;
    if (w->workers < 2 || sched_getaffinity(0, sizeof may, &may) != 0 || (unsigned)CPU_COUNT(&may) < w->workers)
        return;
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &may) || --left > 0)
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        (void)sched_setaffinity(0, sizeof one, &one);
        return;
    }
}

static void *worker_run(void *arg)
{
    struct worker *w = arg;
    stay(w);
    (void)event_base_dispatch(w->base);
    return NULL;
}

MUST_USE enum err worker_start(struct worker *w, struct fault *fault)
{
    if (!thread_start(&w->thread, worker_run, w))
        return fault_set(fault, ERR_NOMEM, "cannot start a thread");
    w->started = true;
    return OK;
}

void worker_serve(struct worker *w, struct store *s)
{
    if (!atomic_load(&w->serving))
        atomic_store(&w->store_given, s);
    ring(w->bell_fd);
}

void worker_stop(struct worker *w)
{
    atomic_store(&w->stopping, true);
    ring(w->bell_fd);
}

void worker_close(struct worker *w)
{
    if (w->started)
        (void)pthread_join(w->thread, NULL);
    tcp_close(w->tcp);
    udp_close(w->udp);
    answerer_close(w->answerer);
    answerer_close(w->blank);
    view_close(w->view);
    if (w->bell != NULL)
        event_free(w->bell);
    if (w->base != NULL)
        event_base_free(w->base);
    if (w->bell_fd >= 0)
        (void)close(w->bell_fd);
}
