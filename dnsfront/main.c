/* azoth-dns: authoritative DNS from the local store, which another process writes. */
#include "dnsfront/server.h"

#include "base/clock.h"
#include "base/daemon.h"
#include "base/log.h"
#include "dnsfront/cache.h"
#include "dnsfront/fit.h"
#include "dnsfront/tls.h"

#include <config.h>
#include <event2/event.h>
#include <sodium.h>
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
    bool told_ready;
    struct fault told;              /* what keeps us from (newer) data, as last logged; empty: nothing */
    struct log_brake brake;
};

/* --- the store -------------------------------------------------------------------------------------------------- */
static enum err store_try(struct main *m, struct fault *fault)
{
    struct server *s = &m->server;
    struct store_options o = { .dir = m->config->node.dir, .mode = STORE_READ, .map_size = m->config->node.map_size,
                               .forward_only = true, .needs_slot = true };
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

/* Behind the start: the first answers do not wait for it. */
static void fill_names(struct server *s)
{
    struct fault fault = { "" };
    char text[FAULT_TEXT_MAX];
    if (s->filler != NULL || s->store == NULL || cache_known(s->cache) == NULL)
        return;
    enum err err = filler_open(&s->filler, s->cache, s->store, &fault);
    if (err != OK)
        log_warn("dns.names", "err=%s next=retry", log_quote(text, sizeof text, fault_text(&fault, err)));
}

/* Once, and once a minute while it goes on. */
static void tell_waiting(struct main *m, enum err err, const struct fault *fault)
{
    char text[FAULT_TEXT_MAX];
    const char *words = fault_text(fault, err);
    unsigned held;
    bool news = strcmp(words, m->told.text) != 0;
    if (!log_brake_pass_in(&m->brake, clock_mono_ms(), LOG_SLOW_MS, 1, &held) && !news)
        return;
    (void)snprintf(m->told.text, sizeof m->told.text, "%s", words);
    if (m->server.store == NULL)
        log_warn("dns.wait", "reason=%s next=wait", log_quote(text, sizeof text, words));
    else
        log_error("dns.store", "err=%s next=\"the data at hand is answered from\"", log_quote(text, sizeof text, words));
}

static void tell_followed(struct main *m)
{
    struct head head;
    if (m->told.text[0] == '\0' || server_head(&m->server, &head) != OK)
        return;
    m->told.text[0] = '\0';
    if (m->told_ready)
        log_info("dns.store", "epoch=%llu seq=%llu next=followed", (unsigned long long)head.epoch, (unsigned long long)head.seq);
}

static void tell_ready(struct main *m)
{
    struct head head;
    if (m->told_ready || server_head(&m->server, &head) != OK)
        return;
    m->told_ready = true;
    log_info("dns.ready", "epoch=%llu seq=%llu", (unsigned long long)head.epoch, (unsigned long long)head.seq);
}

/* The main thread's own view, which may rest for long: it must not keep an old generation's files on the disk. */
static void view_move(struct server *s)
{
    if (s->view != NULL && view_is_stale(s->view) && view_begin(s->view) == OK)
        view_end(s->view);
}

static void follow(struct main *m)
{
    struct fault fault = { "" };
    enum err err = m->server.store == NULL ? store_try(m, &fault) : store_follow(m->server.store, &fault);
    if (err != OK)
        tell_waiting(m, err, &fault);
    else
        tell_followed(m);
    view_move(&m->server);
    serve_all(&m->server);
    tell_ready(m);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct main *m = arg;
    (void)fd, (void)what;
    follow(m);
    fill_names(&m->server);
    server_tell_limits(&m->server);
}

static void on_superseded(evutil_socket_t fd, short what, void *arg)
{
    uint64_t rings;
    ssize_t n = read(fd, &rings, sizeof rings);
    (void)n, (void)what;
    follow(arg);
}

/* --- signals ---------------------------------------------------------------------------------------------------- */
static enum err on_reload(void *arg)
{
    struct main *m = arg;
    struct fault fault = { "" };
    struct config *c;
    char text[FAULT_TEXT_MAX], keys[FIT_KEYS_TEXT];
    enum err err = config_load(m->config_path, &c, &fault);
    if (err != OK) {
        log_error("dns.reload", "err=%s next=\"old configuration stays\"",
                  log_quote(text, sizeof text, fault_text(&fault, err)));
        return err;
    }
    log_setup(c->log.level, c->log.json);
    if (fit_restart_keys(m->config, c, keys) > 0)
        log_warn("dns.reload", "changed=%s next=\"these count from the next start on\"", keys);
    if (c->dns != NULL && (err = shared_reload(&m->server.shared, c->dns, &fault)) != OK)
        log_error("dns.reload", "err=%s next=\"old certificate stays\"",
                  log_quote(text, sizeof text, fault_text(&fault, err)));
    bool certificate = err == OK && m->server.shared.tls != NULL && c->dns != NULL && c->dns->tls.cert != NULL;
    config_free(c);
    serve_all(&m->server);                      /* the workers take what is theirs */
    log_info("dns.reload", "what=%s", certificate ? "log,cookies,certificate" : "log,cookies");
    return err;
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
        enum err err = listen_parse("dns.listen", d->listen[i], &listens[i], fault);
        if (err != OK || (err = listen_probe(&listens[i], LISTEN_BOTH, fault)) != OK
            || (err = listen_once("dns.listen", &listens[i], listens, i, fault)) != OK)
            return err;
    }
    return OK;
}

static enum err fits(const struct config_dns *c, struct fault *fault)
{
    struct machine machine;
    machine_read(&machine);
    if (c->workers > machine.cpus)
        log_warn("dns.workers", "workers=%u processors=%u reason=\"more than one to a processor only costs\"", c->workers, machine.cpus);
    return fit_check(c, &machine, fault);
}

/* What --check looks at besides the file: nothing that only the start can find out, such as addresses in use. */
static enum err check(const struct config_dns *c, struct fault *fault)
{
    struct tls *tls = NULL;
    enum err err = fits(c, fault);
    if (err == OK && c->tls.listens > 0)
        err = tls_open(&tls, c->tls.cert, c->tls.key, fault);
    tls_close(tls);
    return err;
}

static enum err workers_open(struct main *m, struct fault *fault)
{
    struct server *s = &m->server;
    struct listen_address listens[CONFIG_LISTEN_MAX];
    enum err err = listens_prepare(m->config->dns, listens, fault);
    if (err != OK || (err = shared_open(&s->shared, m->config->dns, fault)) != OK)
        return err;
    for (size_t i = 0; i < s->shared.tls_listens_n; i++)
        if ((err = listen_once("dns.tls.listen", &s->shared.tls_listens[i], listens, m->config->dns->listens, fault)) != OK
            || (err = listen_once("dns.tls.listen", &s->shared.tls_listens[i], s->shared.tls_listens, i, fault)) != OK)
            return err;
    uint64_t secret[2];
    randombytes_buf(secret, sizeof secret);
    if ((err = cache_open(&s->cache, m->config->dns->cache, m->config->dns->workers, secret)) != OK)
        return err;
    if (m->config->dns->cache > 0 && !cache_keeps(s->cache))
        log_warn("dns.cache", "bytes=%llu workers=%u reason=\"too small to keep answers\" next=\"no cache\"",
                 (unsigned long long)m->config->dns->cache, m->config->dns->workers);
    s->workers = calloc(m->config->dns->workers, sizeof *s->workers);
    if (s->workers == NULL)
        return ERR_NOMEM;
    while (s->workers_n < m->config->dns->workers) {
        struct worker *w = &s->workers[s->workers_n++];
        w->config = m->config->dns;
        w->shared = &s->shared;
        w->number = s->workers_n;
        w->workers = m->config->dns->workers;
        w->superseded_fd = m->superseded_fd;
        w->cache = s->cache;
        if ((err = worker_open(w, listens, m->config->dns->listens, fault)) != OK)
            return err;
    }
    for (size_t i = 0; i < m->config->dns->listens; i++) {
        char text[64];
        log_info("dns.listen", "address=%s workers=%u", listen_text(&listens[i], text, sizeof text), s->workers_n);
    }
    for (size_t i = 0; i < s->shared.tls_listens_n; i++) {
        char text[64];
        log_info("dns.listen", "address=%s proto=tls", listen_text(&s->shared.tls_listens[i], text, sizeof text));
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

static void tell_start(const struct config *c)
{
    const struct config_dns *d = c->dns;
    char dir[FAULT_TEXT_MAX];
    log_info("dns.start", "version=%s dir=%s workers=%u cache_bytes=%llu rrl_rate=%u cookies=%s http=%s", PACKAGE_VERSION,
             log_quote(dir, sizeof dir, c->node.dir), d->workers, (unsigned long long)d->cache, d->rrl.rate,
             d->cookie.off ? "off" : d->cookie.n > 0 ? "configured" : "made-up", d->http.listen != NULL ? d->http.listen : "no");
}

/* Everything that can fail is tried before the first thread starts. A store that is not there yet is no failure. */
static enum err start(struct main *m, struct fault *fault)
{
    enum err err;
    if ((err = fits(m->config->dns, fault)) != OK || (err = loop_open(m)) != OK || (err = workers_open(m, fault)) != OK
        || (err = metrics_open(&m->server, fault)) != OK)
        return err;
    tell_start(m->config);
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
    filler_close(s->filler);
    cache_close(s->cache);
    shared_close(&s->shared);
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
    if (options.check && (err = check(m.config->dns, &fault)) != OK)
        return fail(&m, err, &fault);
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
