/* azoth-core: opens the store, publishes its log, keeps the zones of core.zones in it. */
#include "builder/core.h"

#include "base/clock.h"
#include "base/daemon.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "builder/core_check.h"
#include "builder/core_fleet.h"
#include "builder/recordbook.h"
#include "builder/secondary_board.h"

#include <config.h>
#include <dirent.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define PROGRAM "azoth-core"
#define REPLIES_MS 100      /* at the end, for the last replies of the API to leave */

static int refuse(const char *text)
{
    (void)fprintf(stderr, PROGRAM ": %s\n", text);
    return 1;
}

/* --- configuration ----------------------------------------------------------------------------------------------- */
static void on_problem(void *arg, const char *key, const char *text)
{
    (void)fprintf(stderr, PROGRAM ": %s: %s: %s\n", (const char *)arg, key, text);
}

static int check_only(const char *path, const struct config *config)
{
    char *where = (char *)(uintptr_t)path;      /* the callback's argument is not const */
    if (core_check_files(config->core, on_problem, where) + core_check_zones(config->core, on_problem, where) > 0)
        return 1;
    (void)printf("%s: good\n", path);
    return 0;
}

static bool text_same(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool rrl_same(const struct config_rrl *a, const struct config_rrl *b)
{
    return a->rate == b->rate && a->slip == b->slip && a->allow_n == b->allow_n
        && (a->allow_n == 0 || memcmp(a->allow, b->allow, a->allow_n * sizeof *a->allow) == 0);
}

static bool dns_same(const struct config_core *a, const struct config_core *b)
{
    bool same = rrl_same(&a->dns_rrl, &b->dns_rrl) && a->dns_listens == b->dns_listens && a->dns_proxies_n == b->dns_proxies_n
                && memcmp(&a->dns_transfers, &b->dns_transfers, sizeof a->dns_transfers) == 0;
    for (size_t i = 0; same && i < a->dns_listens; i++)
        same = strcmp(a->dns_listen[i], b->dns_listen[i]) == 0;
    for (size_t i = 0; same && i < a->dns_proxies_n; i++)
        same = memcmp(&a->dns_proxies[i], &b->dns_proxies[i], sizeof a->dns_proxies[i]) == 0;
    return same;
}

/* What SIGHUP cannot change. */
static void tell_restart(const struct config *old, const struct config *new)
{
    const struct { const char *key, *a, *b; } rows[] = {
        { "node.name", old->node.name, new->node.name },
        { "node.dir", old->node.dir, new->node.dir },
        { "core.publish", old->core->links.publish, new->core->links.publish },
        { "core.serve", old->core->links.serve, new->core->links.serve },
        { "core.collect", old->core->links.collect, new->core->links.collect },
        { "core.http.listen", old->core->http.listen, new->core->http.listen },
        { "core.api.listen", old->core->api_listen, new->core->api_listen },
        { "core.api.key_file", old->core->api_key_file, new->core->api_key_file },
        { "core.api.cert", old->core->api_cert, new->core->api_cert },
        { "core.api.key", old->core->api_key, new->core->api_key },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (!text_same(rows[i].a, rows[i].b))
            log_warn("config.restart", "key=%s next=\"takes effect at the next start\"", rows[i].key);
    if (!dns_same(old->core, new->core))
        log_warn("config.restart", "key=core.dns next=\"takes effect at the next start\"");
    if (old->core->encrypt != new->core->encrypt)
        log_warn("config.restart", "key=core.encrypt next=\"takes effect at the next start\"");
    if (old->node.map_size != new->node.map_size)
        log_warn("config.restart", "key=node.map_size next=\"takes effect at the next start\"");
    if (old->core->snapshots.rate != new->core->snapshots.rate || old->core->snapshots.at_once != new->core->snapshots.at_once)
        log_warn("config.restart", "key=core.snapshots next=\"takes effect at the next start\"");
}

static enum err on_reload(void *arg)
{
    struct core *c = arg;
    struct config *config = NULL;
    struct fault fault = { "" };
    char why[600];
    if (c->stop)
        return OK;
    daemon_notify("RELOADING=1");
    enum err err = config_load(c->config_path, &config, &fault);
    if (err == OK && config->core == NULL)
        err = fault_set(&fault, ERR_CONFIG, "%s has no part core", c->config_path);
    if (err == OK) {
        log_setup(config->log.level, config->log.json);
        log_info("config.reload", "zones=%zu", config->core->zones_n);
        tell_restart(c->config, config);
        core_upkeep_keep(c, config->core);
        err = zones_want(c->zones, config->core->zones, config->core->zones_n);
        enum err listed = core_nodes_reload(c, config->core->nodes, &fault);    /* who is barred must not depend on zones */
        err = err == OK ? listed : err;
    }
    enum err keys = c->api != NULL ? api_http_reload(c->api) : OK;
    if (err != OK)
        log_error("config.bad", "err=%s next=\"going on with the old one\"",
                  log_quote(why, sizeof why, fault_text(&fault, err)));
    if (config != NULL)
        config_free(config);
    daemon_notify("READY=1");
    return err == ERR_NOMEM ? err : keys;
}

/* --- the key ----------------------------------------------------------------------------------------------------- */
/* Nothing in it, or no such folder. What a fresh file system holds does not count. */
static bool folder_is_empty(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    bool empty = true;
    if (d == NULL)
        return access(dir, F_OK) != 0;
    while (empty && (e = readdir(d)) != NULL)
        empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || strcmp(e->d_name, "lost+found") == 0;
    (void)closedir(d);
    return empty;
}

MUST_USE enum err core_key(struct core *c, struct fault *fault)
{
    const char *dir = c->config->node.dir;
    char line[128];
    enum err err = node_key_load(dir, &c->key, fault);
    if (err == OK)
        return node_pub_keep(dir, &c->key, fault);
    if (err != ERR_NOTFOUND || !folder_is_empty(dir))
        return err;
    if ((err = file_folder(dir, fault)) != OK || (err = node_key_make(dir, false, &c->key, fault)) != OK)
        return err;
    log_info("core.key", "made=node.key public=%s", node_pub_text(line, sizeof line, c->key.pub));
    return OK;
}

/* --- the writing thread's calls ---------------------------------------------------------------------------------- */
static void note_head(struct core *c, const struct head *h)
{
    stat_set(&c->stats.applied, h->seq);
    stat_set(&c->stats.epoch, h->epoch);
    stat_set(&c->stats.last_commit_ms, h->time_ms);
}

static void on_commit(void *arg, const struct signed_head *sh, struct bytes record)
{
    struct core *c = arg;
    struct rd r = rd_over(bytes_of(sh->body, sh->len));
    if (head_read(&r, &c->told) == OK)
        core_fleet_committed(c->fleet, &c->told);
    stat_add(&c->stats.commits, 1);
    publisher_post(c->publisher, sh, record);
}

/* The data has it too, so the log may lose what is old. */
static void on_data(void *arg)
{
    struct core *c = arg;
    note_head(c, &c->told);
    core_upkeep_committed(c);
    if (!changer_is_quiet(c->changer))
        core_dns_changed(c->dns);
}

static void on_writer_ended(void *arg)
{
    struct core *c = arg;
    uint64_t one = 1;
    if (write(c->ended_fd, &one, sizeof one) != (ssize_t)sizeof one)
        log_error("core.ended", "err=\"cannot wake the loop\"");
}

static void compact(void *arg)
{
    struct core *c = arg;
    struct fault fault = { "" };
    char why[600];
    uint64_t before, after, start_ms = clock_mono_ms();
    enum err err = store_compact(c->store, &before, &after, &fault);
    changer_upkeep(c->changer);         /* or its view would keep the files of before */
    if (err == OK)
        log_info("store.compacted", "before=%" PRIu64 " after=%" PRIu64 " ms=%" PRIu64, before, after,
                 clock_mono_ms() - start_ms);
    else
        log_warn("store.compact", "err=%s next=\"as before\"", log_quote(why, sizeof why, fault_text(&fault, err)));
}

/* --- the loop thread's calls ------------------------------------------------------------------------------------- */
static enum err beat(void *arg, struct signed_head *out)
{
    struct core *c = arg;
    publisher_fleet(c->publisher, core_fleet_heard(c->fleet));
    publisher_rotten(c->publisher, upkeep_rotten(c->upkeep));
    return c->committer == NULL ? ERR_NOTFOUND : commit_heartbeat(c->committer, out);
}

/* The job at hand ends soon; heartbeats and fetches go on until then. */
static void on_drain(void *arg)
{
    struct core *c = arg;
    if (c->stop)
        return;
    log_info("core.drain", "next=\"ending the job at hand\"");
    daemon_notify("STOPPING=1");
    c->stop = true;
    queue_stop(c->queue);
}

/* Between two jobs of the writing thread. */
static void on_compact(void *arg)
{
    struct core *c = arg;
    if (queue_push(c->queue, &(struct job){ compact, NULL, c }, 0) != OK)
        log_warn("store.compact", "err=\"ending, or out of memory\" next=\"as before\"");
}

static void on_ended(evutil_socket_t fd, short what, void *arg)
{
    static const struct timeval soon = { 0, REPLIES_MS * 1000 };
    struct core *c = arg;
    (void)fd, (void)what;
    changer_stop(c->changer);
    if (c->api != NULL)
        api_http_end(c->api);
    (void)event_base_loopexit(c->base, c->api != NULL ? &soon : NULL);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct core *c = arg;
    (void)fd, (void)what;
    core_nodes_tick(c);
    if (!core_tick(c))
        (void)event_base_loopexit(c->base, NULL);
}

static int loop(struct core *c)
{
    const struct timeval every = { CORE_TICK_S, 0 };
    struct event *tick = event_new(c->base, -1, EV_PERSIST, on_tick, c);
    struct event *ended = event_new(c->base, c->ended_fd, EV_READ, on_ended, c);
    int code = 1;
    if (tick == NULL || ended == NULL || event_add(tick, &every) != 0 || event_add(ended, NULL) != 0) {
        log_error("core.start", "err=\"out of memory\"");
    } else if (zones_want(c->zones, c->config->core->zones, c->config->core->zones_n) != OK) {
        log_error("core.start", "err=\"cannot queue the zones\"");
    } else {
        daemon_notify("READY=1");
        code = event_base_dispatch(c->base) < 0 || c->broken ? 1 : 0;
    }
    if (tick != NULL)
        event_free(tick);
    if (ended != NULL)
        event_free(ended);
    return code;
}

/* --- start and end ----------------------------------------------------------------------------------------------- */
static bool is_configured(void *arg, struct bytes apex)
{
    const struct core *c = arg;
    return zones_names(c->zones, apex);
}

/* Behind committer, queue and zones; its first job makes the store say what the outbox still has. */
static enum err changes_open(struct core *c, struct fault *fault)
{
    const struct changer_options o = { .source = c->source, .store = c->store, .committer = c->committer, .queue = c->queue,
                                       .is_configured = is_configured, .configured_arg = c };
    return changer_open(&c->changer, &o, fault);
}

static struct refresh_limits refresh_limits_of(const struct config_transfers *t)
{
    return (struct refresh_limits){
        .at_once = (unsigned)t->at_once, .at_once_each = (unsigned)t->per_primary,
        .refresh_min_s = (uint32_t)(t->refresh_min / 1000), .refresh_max_s = (uint32_t)(t->refresh_max / 1000),
        .retry_min_s = (uint32_t)(t->retry_min / 1000), .retry_max_s = (uint32_t)(t->retry_max / 1000),
        .expire_max_s = (uint32_t)(t->expire_max / 1000),
    };
}

static struct secondary_limits transfer_limits_of(const struct config_transfers *t)
{
    return (struct secondary_limits){ .each = { .bytes = t->zone_size, .records = t->zone_records, .steps = t->steps_records },
                                      .memory = t->memory, .time_ms = t->time, .rate = t->rate };
}

static struct desk_limit limit_of(const struct config_rrl *r)
{
    return (struct desk_limit){ .rate = r->rate, .slip = r->slip, .allow = r->allow, .allow_n = r->allow_n };
}

static enum err dns_open(struct core *c, struct fault *fault)
{
    const struct config_core *f = c->config->core;
    const struct core_dns_options o = { .listen = f->dns_listen, .listens = f->dns_listens, .proxies = f->dns_proxies,
                                        .proxies_n = f->dns_proxies_n, .limit = limit_of(&f->dns_rrl), .store = c->store, .source = c->source, .changer = c->changer,
                                        .queue = c->queue, .wishes = c->wishes, .board = c->board, .catalogs = c->catalogs,
                                        .refresh = refresh_limits_of(&f->dns_transfers), .transfers = transfer_limits_of(&f->dns_transfers) };
    struct core_dns *dns = NULL;
    enum err err = core_dns_open(&dns, &o, fault);              /* also when nothing listens: secondaries are refreshed there */
    c->dns = dns;                       /* whole at once for the writing thread, which looks at it */
    for (size_t i = 0; i < o.listens && err == OK; i++)
        log_info("core.dns", "listen=%s", o.listen[i]);
    return err;
}

static enum err core_open(struct core *c, struct fault *fault)
{
    const struct config *f = c->config;
    struct store_options so = { .dir = f->node.dir, .mode = STORE_CREATE, .role = STORE_CORE,
                                .map_size = f->node.map_size, .soft = true };
    const struct daemon_hooks hooks = { c, on_reload, on_drain, on_compact };
    enum err err;
    /* Signals first, they wait for the loop: a SIGHUP must not end a core that is still starting. */
    if ((c->base = event_base_new()) == NULL || daemon_signals_open(&c->signals, c->base, &hooks) != OK)
        return ERR_NOMEM;
    if ((err = core_key(c, fault)) != OK || (err = store_open(&c->store, &so, fault)) != OK
        || (err = core_nodes_open(c, fault)) != OK)
        return err;
    if ((c->ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
        return ERR_NOMEM;
    struct publisher_options po = { .base = c->base, .store = c->store, .publish = f->core->links.publish,
                                    .serve = f->core->links.serve, .node = f->node.name, .key = &c->key, .nodes = c->nodes,
                                    .keys = c->keyring, .beat = beat, .beat_arg = c,
                                    .snapshot_rate = f->core->snapshots.rate,
                                    .snapshot_leases = f->core->snapshots.at_once };
    if ((err = publisher_open(&c->publisher, &po, fault)) != OK
        || (err = commit_open_keys(&c->committer, c->store, &c->key, c->keyring, on_commit, c, fault)) != OK
        || (err = queue_open(&c->queue, on_writer_ended, c)) != OK || (err = core_upkeep_open(c, fault)) != OK)
        return err;
    commit_encrypt(c->committer, f->core->encrypt);
    commit_on_data(c->committer, on_data, c);
    const struct recordbook_options ro = { .dir = f->node.dir, .map_size = f->node.map_size };
    if ((err = recordbook_open(&c->source, &ro, fault)) != OK)
        return err;
    if ((err = wishes_open(&c->wishes)) != OK || (err = board_open(&c->board)) != OK)
        return err;
    struct zones_options zo = { .dir = f->node.dir, .store = c->store, .committer = c->committer, .queue = c->queue,
                                .stop = &c->stop, .source = c->source };
    struct api_http_options ao = { .base = c->base, .listen = f->core->api_listen, .key_file = f->core->api_key_file,
                                   .cert = f->core->api_cert, .key = f->core->api_key, .store = c->store,
                                   .committer = c->committer, .queue = c->queue, .core = c };
    if ((err = core_fleet_open(c, fault)) != OK || (err = zones_open(&c->zones, &zo, fault)) != OK
        || (err = changes_open(c, fault)) != OK)
        return err;
    const struct catalogs_options co = { c->store, c->source, c->changer };
    if ((err = catalogs_open(&c->catalogs, &co, fault)) != OK)
        return err;
    ao.source = c->source;
    ao.catalogs = catalogs_reports(c->catalogs);
    ao.wishes = c->wishes;
    ao.board = c->board;
    ao.changer = c->changer;
    ao.put = changer_put;
    if (ao.listen != NULL && (err = api_http_open(&c->api, &ao, fault)) != OK)
        return err;
    if ((err = dns_open(c, fault)) != OK)
        return err;
    return core_http_open(c, fault);
}

static void core_close(struct core *c)
{
    c->stop = true;
    http_close(c->http);
    if (c->changer != NULL)
        changer_stop(c->changer);       /* its threads push no more jobs */
    core_dns_stop(c->dns);              /* puts no more changes and jobs */
    catalogs_stop(c->catalogs);
    queue_close(c->queue);
    changer_close(c->changer);          /* the API and core.dns are told of every change before they end */
    core_dns_close(c->dns);
    c->dns = NULL;
    api_http_close(c->api);
    catalogs_close(c->catalogs);        /* those before tell it, and ask */
    wishes_close(c->wishes);
    board_close(c->board);
    zones_close(c->zones);
    upkeep_close(c->upkeep);
    core_fleet_close(c);
    if (c->committer != NULL)
        commit_close(c->committer);
    source_close(c->source);
    publisher_close(c->publisher);
    core_nodes_close(c);
    daemon_signals_close(c->signals);
    if (c->base != NULL)
        event_base_free(c->base);
    if (c->store != NULL)
        store_close(c->store);
    if (c->ended_fd >= 0)
        (void)close(c->ended_fd);
    sodium_memzero(&c->key, sizeof c->key);
}

static void tell_epoch(const struct core *c)
{
    struct commit_began began;
    char why[2 * sizeof began.why];
    if (commit_began(c->committer, &began))
        log_warn("core.epoch", "from=%" PRIu64 " to=%" PRIu64 " seq=%" PRIu64 " why=%s next=\"edges that hold exactly the seq "
                 "before go on, all others copy\"", began.from, began.to, began.seq, log_quote(why, sizeof why, began.why));
}

static void tell_start(struct core *c)
{
    struct head h = { .seq = 0 };
    struct signed_head sh;
    char cluster[2 * CLUSTER_LEN + 1], line[128], dir[600];
    if (store_head(c->store, &h, &sh) == OK)
        note_head(c, &h);
    log_info("core.start",
             "version=%s dir=%s cluster=%s epoch=%" PRIu64 " applied=%" PRIu64 " public=%s publish=%s serve=%s collect=%s encrypt=%s",
             PACKAGE_VERSION, log_quote(dir, sizeof dir, store_dir(c->store)),
             text_hex(cluster, sizeof cluster, bytes_of(store_cluster(c->store), CLUSTER_LEN)), h.epoch, h.seq,
             node_pub_text(line, sizeof line, c->key.pub), c->config->core->links.publish,
             c->config->core->links.serve, c->config->core->links.collect != NULL ? c->config->core->links.collect : "none",
             c->config->core->encrypt ? "yes" : "no");
    (void)store_clear_readers(c->store);
    tell_epoch(c);
}

static int run(struct core *c)
{
    struct fault fault = { "" };
    int code = 1;
    enum err err;
    if (core_check_files(c->config->core, on_problem, (char *)(uintptr_t)c->config_path) > 0)
        return 1;
    log_setup(c->config->log.level, c->config->log.json);
    if ((err = core_open(c, &fault)) != OK) {
        (void)refuse(fault_text(&fault, err));
    } else {
        tell_start(c);
        code = loop(c);
    }
    core_close(c);
    if (err == OK)
        log_info("core.end", "code=%d", code);
    return code;
}

int main(int argc, char **argv)
{
    struct daemon_options options;
    struct core core = { .ended_fd = -1 };
    struct fault fault = { "" };
    daemon_options(argc, argv, PROGRAM, "builds zones into the store, signs and publishes its log", &options);
    if (sodium_init() < 0 || evthread_use_pthreads() != 0)
        return refuse("libsodium or libevent cannot start");
    core.config_path = options.config_path;
    enum err err = config_load(options.config_path, &core.config, &fault);
    if (err != OK)
        return refuse(fault_text(&fault, err));
    int code;
    if (core.config->core == NULL) {
        (void)fprintf(stderr, PROGRAM ": %s has no part core\n", options.config_path);
        code = 1;
    } else {
        code = options.check ? check_only(options.config_path, core.config) : run(&core);
    }
    config_free(core.config);
    return code;
}
