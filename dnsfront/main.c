/* azoth-dns: authoritative DNS from the local store, which another process writes. */
#include "dnsfront/server.h"

#include "base/clock.h"
#include "base/daemon.h"
#include "base/log.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct main {
    struct server server;
    struct config *config;
    const char *config_path;
    struct daemon_signals *signals;
    struct event *tick, *superseded;
    int superseded_fd;
    bool told_waiting, told_ready;
    struct log_brake brake;
};

/* --- the store -------------------------------------------------------------------------------------------------- */
static enum err store_try(struct main *m, struct fault *fault)
{
    struct server *s = &m->server;
    struct store_options o = { .dir = m->config->node.dir, .mode = STORE_READ, .map_size = m->config->node.map_size };
    struct store *store;
    enum err err = store_open(&store, &o, fault);
    if (err != OK)
        return err;
    if ((err = view_open(store, &s->view, fault)) != OK) {
        store_close(store);
        return err;
    }
    s->store = store;
    return OK;
}

/* Also those that serve already: an idle worker moves to a new generation then, so that the old one can go. */
static void serve_all(struct server *s)
{
    for (unsigned i = 0; i < s->workers_n && s->store != NULL; i++)
        worker_serve(&s->workers[i], s->store);
}

static void tell_waiting(struct main *m, enum err err, const struct fault *fault)
{
    char dir[256], text[FAULT_TEXT_MAX];
    unsigned held;
    if (err == ERR_NOTFOUND && !m->told_waiting)
        log_warn("dns.wait", "dir=%s reason=\"no store there yet\" next=wait",
                 log_quote(dir, sizeof dir, m->config->node.dir));
    else if (err != ERR_NOTFOUND && log_brake_pass(&m->brake, clock_mono_ms(), 1, &held))
        log_error("dns.store", "err=%s next=retry", log_quote(text, sizeof text, fault_text(fault, err)));
    m->told_waiting = true;
}

static void tell_ready(struct main *m)
{
    struct head head;
    if (server_head(&m->server, &head) != OK || m->told_ready)
        return;
    m->told_ready = true;
    log_info("dns.ready", "epoch=%llu seq=%llu", (unsigned long long)head.epoch, (unsigned long long)head.seq);
}

static void follow(struct main *m)
{
    struct fault fault = { "" };
    enum err err = m->server.store == NULL ? store_try(m, &fault) : store_follow(m->server.store, &fault);
    if (err != OK)
        tell_waiting(m, err, &fault);
    serve_all(&m->server);
    tell_ready(m);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    follow(arg);
}

static void on_superseded(evutil_socket_t fd, short what, void *arg)
{
    uint64_t rings;
    ssize_t n = read(fd, &rings, sizeof rings);
    (void)n, (void)what;
    follow(arg);
}

/* --- signals ---------------------------------------------------------------------------------------------------- */
static void on_reload(void *arg)
{
    struct main *m = arg;
    struct fault fault = { "" };
    struct config *c;
    char text[FAULT_TEXT_MAX];
    enum err err = config_load(m->config_path, &c, &fault);
    if (err != OK) {
        log_error("dns.reload", "err=%s next=\"old configuration stays\"",
                  log_quote(text, sizeof text, fault_text(&fault, err)));
        return;
    }
    log_setup(c->log.level, c->log.json);
    config_free(c);
    log_info("dns.reload", "what=log");
}

static void on_drain(void *arg)
{
    struct main *m = arg;
    log_info("dns.stop", "next=drain");
    daemon_notify("STOPPING=1");
    (void)event_base_loopexit(m->server.base, NULL);
}

/* --- start and end ---------------------------------------------------------------------------------------------- */
static enum err listens_prepare(const struct config_dns *d, struct listen_address *listens, struct fault *fault)
{
    for (size_t i = 0; i < d->listens; i++) {
        enum err err = listen_parse(d->listen[i], &listens[i], fault);
        if (err != OK || (err = listen_probe(&listens[i], fault)) != OK)
            return err;
    }
    return OK;
}

static enum err workers_open(struct main *m, struct fault *fault)
{
    struct server *s = &m->server;
    struct listen_address listens[CONFIG_LISTEN_MAX];
    enum err err = listens_prepare(m->config->dns, listens, fault);
    if (err != OK)
        return err;
    s->workers = calloc(m->config->dns->workers, sizeof *s->workers);
    if (s->workers == NULL)
        return ERR_NOMEM;
    while (s->workers_n < m->config->dns->workers) {
        struct worker *w = &s->workers[s->workers_n++];
        w->config = m->config->dns;
        w->number = s->workers_n;
        w->workers = m->config->dns->workers;
        w->superseded_fd = m->superseded_fd;
        if ((err = worker_open(w, listens, m->config->dns->listens, fault)) != OK)
            return err;
    }
    for (size_t i = 0; i < m->config->dns->listens; i++) {
        char text[64];
        log_info("dns.listen", "address=%s workers=%u", listen_text(&listens[i], text, sizeof text), s->workers_n);
    }
    return OK;
}

static enum err loop_open(struct main *m)
{
    static const struct timeval second = { 1, 0 };
    struct daemon_hooks hooks = { .arg = m, .reload = on_reload, .drain = on_drain };
    m->server.base = event_base_new();
    m->superseded_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (m->server.base == NULL || m->superseded_fd < 0)
        return ERR_NOMEM;
    m->tick = event_new(m->server.base, -1, EV_PERSIST, on_tick, m);
    m->superseded = event_new(m->server.base, m->superseded_fd, EV_READ | EV_PERSIST, on_superseded, m);
    if (m->tick == NULL || m->superseded == NULL || event_add(m->tick, &second) != 0
        || event_add(m->superseded, NULL) != 0)
        return ERR_NOMEM;
    return daemon_signals_open(&m->signals, m->server.base, &hooks);
}

/* Everything that can fail is tried before the first thread starts. A store that is not there yet is no failure. */
static enum err start(struct main *m, struct fault *fault)
{
    enum err err;
    if ((err = loop_open(m)) != OK || (err = workers_open(m, fault)) != OK
        || (err = metrics_open(&m->server, fault)) != OK)
        return err;
    if ((err = store_try(m, fault)) == ERR_NOTFOUND)
        tell_waiting(m, err, fault);
    else if (err != OK)
        return err;
    for (unsigned i = 0; i < m->server.workers_n; i++)
        if ((err = worker_start(&m->server.workers[i], fault)) != OK)
            return err;
    serve_all(&m->server);
    tell_ready(m);
    return OK;
}

static void stop(struct main *m)
{
    struct server *s = &m->server;
    for (unsigned i = 0; i < s->workers_n; i++)
        if (s->workers[i].started)
            worker_stop(&s->workers[i]);
    for (unsigned i = 0; i < s->workers_n; i++)
        worker_close(&s->workers[i]);
    free(s->workers);
    http_close(s->http);
    view_close(s->view);
    store_close(s->store);
    daemon_signals_close(m->signals);
    if (m->tick != NULL)
        event_free(m->tick);
    if (m->superseded != NULL)
        event_free(m->superseded);
    if (s->base != NULL)
        event_base_free(s->base);
    if (m->superseded_fd >= 0)
        (void)close(m->superseded_fd);
    config_free(m->config);
}

static int fail(struct main *m, enum err err, const struct fault *fault)
{
    fprintf(stderr, "azoth-dns: %s\n", fault_text(fault, err));
    stop(m);
    return 1;
}

int main(int argc, char **argv)
{
    static struct main m = { .superseded_fd = -1 };
    struct daemon_options options;
    struct fault fault = { "" };
    daemon_options(argc, argv, "azoth-dns", "Authoritative DNS server over an azoth store.", &options);
    m.config_path = options.config_path;
    enum err err = config_load(options.config_path, &m.config, &fault);
    if (err != OK)
        return fail(&m, err, &fault);
    if (m.config->dns == NULL) {
        (void)fault_set(&fault, ERR_CONFIG, "%s: has no part dns", options.config_path);
        return fail(&m, ERR_CONFIG, &fault);
    }
    if (options.check) {
        (void)printf("%s: good\n", options.config_path);
        stop(&m);
        return 0;
    }
    log_setup(m.config->log.level, m.config->log.json);
    m.server.config = m.config;
    m.server.started_ms = clock_mono_ms();
    if ((err = start(&m, &fault)) != OK)
        return fail(&m, err, &fault);
    daemon_notify("READY=1");
    (void)event_base_dispatch(m.server.base);
    stop(&m);
    log_info("dns.stopped", "uptime_s=%llu", (unsigned long long)((clock_mono_ms() - m.server.started_ms) / 1000));
    return 0;
}
