#include "config/config.h"

#include "base/file.h"
#include "base/text.h"
#include "config/schema.h"
#include "config/transfers.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Everything config_load allocates hangs here, so that config_free is short. */
struct loaded {
    struct config config;               /* first: config_free gets a pointer to it */
    struct config_core core;
    struct config_edge edge;
    struct config_dns dns;
    struct config_links relay;
    struct yaml_top *yaml;
    struct net core_proxies[CONFIG_LISTEN_MAX], core_allow[CONFIG_LISTEN_MAX], proxies[CONFIG_LISTEN_MAX], allow[CONFIG_LISTEN_MAX];
    char host[HOST_NAME_MAX + 1];
};
/* One check of one file: where complaints go. The first one wins. */
struct check { const char *file; struct bytes text; struct fault *fault; enum err err; };

static void wrong(struct check *c, const char *path, const char *what)
{
    if (c->err != OK)
        return;
    unsigned line = yaml_line_of(c->text, path);
    c->err = fault_set(c->fault, ERR_CONFIG, "%s:%u: %s: %s", c->file, line, path, what);
}

/* As libcyaml says it for keys that are always needed: on the line of the part. */
static void missing(struct check *c, const char *part, const char *key)
{
    if (c->err == OK)
        c->err = fault_set(c->fault, ERR_CONFIG, "%s:%u: %s.%s: missing", c->file, yaml_line_of(c->text, part), part, key);
}

/* --- libcyaml's own complaints ------------------------------------------------------------------------------- */
#define TRACE_MAX 8
struct trace { char what[160]; char word[TRACE_MAX][64]; unsigned line, n; };

/* One step outwards; the innermost one tells the line. */
static void trace_push(struct trace *t, const char *word, unsigned line)
{
    if (t->line == 0)
        t->line = line;
    if (word != NULL && t->n < TRACE_MAX)
        (void)snprintf(t->word[t->n++], sizeof t->word[0], "%s", word);
}

static void on_cyaml(cyaml_log_t level, void *arg, const char *format, va_list args)
{
    struct trace *t = arg;
    char text[256], word[64];
    unsigned line, column;
    (void)level;
    (void)vsnprintf(text, sizeof text, format, args);
    text[strcspn(text, "\n")] = '\0';
    const char *p = strncmp(text, "Load: ", 6) == 0 ? text + 6 : text;
    if (sscanf(p, " in sequence entry '%63[^']' (line: %u, column: %u", word, &line, &column) == 3) {
        bool whole = strstr(t->what, " entries (") != NULL && t->n == 0;        /* too few or too many, of the list itself */
        trace_push(t, whole ? NULL : word, line);
    } else if (sscanf(p, " in mapping field '%63[^']' (line: %u, column: %u", word, &line, &column) == 3) {
        trace_push(t, word, line);
    } else if (t->what[0] == '\0' && p[0] != ' ') {
        (void)snprintf(t->what, sizeof t->what, "%.150s", p);
    } else if (t->line == 0 && sscanf(p, " in mapping (line: %u, column: %u", &line, &column) == 2) {
        t->line = line;
    }
}

/* Its words about values are a programmer's: ours, where we know better. */
static const char *plain_words(const char *what)
{
    static const struct { const char *theirs, *ours; } words[] = {
        { "Expecting SEQUENCE", "not a list: [ONE, TWO]" }, { "Expecting MAPPING", "not a part with keys of its own" },
        { "Expecting STRING", "not a single value" },       { "STRING length < 1", "empty" },
        { "Insufficient entries", "fewer elements than it needs" }, { "Excessive entries", "more elements than it can have" },
        { "Mapping field already seen", "given twice" },
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strncmp(what, words[i].theirs, strlen(words[i].theirs)) == 0)
            return words[i].ours;
    return what;
}

static enum err from_cyaml(const struct check *c, const struct trace *t, cyaml_err_t err)
{
    char path[WHERE_TEXT_MAX] = "";
    size_t n = 0;
    unsigned line = t->line > 0 ? t->line : 1;
    const char *key = strncmp(t->what, "Unexpected key: ", 16) == 0 ? t->what + 16 : NULL;
    const char *lacks = strncmp(t->what, "Missing required mapping field: ", 32) == 0 ? t->what + 32 : NULL;
    unsigned innermost = lacks != NULL && t->n > 0 ? 1 : 0;    /* there it names the key read last */
    for (unsigned i = t->n; i-- > innermost && n < sizeof path - 70; )
        n += (size_t)snprintf(path + n, sizeof path - n, "%s%s", n > 0 ? "." : "", t->word[i]);
    if (key != NULL) {      /* libcyaml names the line before it: look the key up */
        (void)snprintf(path + n, sizeof path - n, "%s%s", n > 0 ? "." : "", key);
        unsigned found = yaml_line_of(c->text, path);
        line = found > 0 ? found : line;
        return fault_set(c->fault, ERR_CONFIG, "%s:%u: %s: unknown key", c->file, line, path);
    }
    if (lacks != NULL)
        return fault_set(c->fault, ERR_CONFIG, "%s:%u: %s%s%s: missing", c->file, line, path, n > 0 ? "." : "", lacks);
    return fault_set(c->fault, ERR_CONFIG, "%s:%u: %s%s%s", c->file, line, path, n > 0 ? ": " : "",
                     t->what[0] != '\0' ? plain_words(t->what) : cyaml_strerror(err));
}

static const struct cyaml_config *cyaml_setup(struct cyaml_config *config, struct trace *t)
{
    *config = (struct cyaml_config){ .log_fn = on_cyaml, .log_ctx = t, .log_level = CYAML_LOG_WARNING,
                                     .mem_fn = cyaml_mem, .flags = CYAML_CFG_NO_ALIAS };
    return config;
}

/* --- values --------------------------------------------------------------------------------------------------- */
static uint64_t size_or(struct check *c, const char *path, const char *text, uint64_t otherwise)
{
    uint64_t v = otherwise;
    if (text != NULL && text_size(text, &v) != OK)
        wrong(c, path, "not a size such as 64M or 4G");
    return v;
}

static uint64_t duration_or(struct check *c, const char *path, const char *text, uint64_t otherwise)
{
    uint64_t v = otherwise;
    if (text != NULL && text_duration(text, &v) != OK)
        wrong(c, path, "not a duration such as 500ms, 10s or 7d");
    return v;
}

static uint64_t number_or(struct check *c, const char *path, const char *text, uint64_t least, uint64_t most, uint64_t otherwise)
{
    uint64_t v = otherwise;
    char what[80];
    if (text != NULL && (text_number(text, most, &v) != OK || v < least)) {
        (void)snprintf(what, sizeof what, "not a number from %llu to %llu", (unsigned long long)least, (unsigned long long)most);
        wrong(c, path, what);
    }
    return v;
}

static bool flag_or(struct check *c, const char *path, const char *text, bool otherwise)
{
    if (text == NULL)
        return otherwise;
    if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
        wrong(c, path, "neither true nor false");
    return strcmp(text, "true") == 0;
}

/* ADDRESS@PORT */
static void check_listen(struct check *c, const char *path, const char *text)
{
    const char *at = text == NULL ? NULL : strrchr(text, '@');
    uint64_t port;
    if (text != NULL && (at == NULL || at == text || text_number(at + 1, 65535, &port) != OK))
        wrong(c, path, "not ADDRESS@PORT");
}

/* Sockets of our own know addresses only; what libevent opens takes names of hosts too. */
static bool has_address(const char *text)
{
    char host[NET_TEXT_MAX];
    struct net net;
    size_t n = strcspn(text, "@");
    if (n >= sizeof host)
        return false;
    memcpy(host, text, n);
    host[n] = '\0';
    return strchr(host, '/') == NULL && net_parse(host, &net) == OK;
}

static void check_listens(struct check *c, const char *path, char **list, size_t n)
{
    char each[WHERE_TEXT_MAX];
    for (size_t i = 0; i < n; i++) {
        (void)snprintf(each, sizeof each, "%s.%zu", path, i + 1);
        check_listen(c, each, list[i]);
        if (!has_address(list[i]))
            wrong(c, each, "not ADDRESS@PORT: a name, or brackets, where an IPv4 or IPv6 address belongs");
    }
}

/* A list of networks into out, which has room for CONFIG_LISTEN_MAX. */
static const struct net *nets_of(struct check *c, const char *path, char *const *list, size_t n, struct net *out)
{
    char each[WHERE_TEXT_MAX];
    for (size_t i = 0; i < n; i++) {
        (void)snprintf(each, sizeof each, "%s.%zu", path, i + 1);
        if (net_parse(list[i], &out[i]) != OK)
            wrong(c, each, "not a network (ADDRESS or ADDRESS/BITS, no bits set behind those)");
    }
    return out;
}

/* tcp://HOST:PORT or ipc://PATH */
static void check_link(struct check *c, const char *path, const char *text)
{
    uint64_t port;
    if (text == NULL)
        return;
    const char *colon = strrchr(text, ':');
    bool tcp = strncmp(text, "tcp://", 6) == 0 && colon > text + 6 && text_number(colon + 1, 65535, &port) == OK;
    if (!tcp && (strncmp(text, "ipc://", 6) != 0 || text[6] == '\0'))
        wrong(c, path, "not tcp://HOST:PORT or ipc://PATH");
}

static void check_links(struct check *c, const char *part, const struct config_links *l)
{
    char path[WHERE_TEXT_MAX];
    const char *const words[] = { "publish", "serve", "collect" };
    const char *const values[] = { l->publish, l->serve, l->collect };
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(path, sizeof path, "%s.%s", part, words[i]);
        check_link(c, path, values[i]);
    }
}

static struct config_http http_of(struct check *c, const char *path, const struct yaml_http *y)
{
    if (y != NULL)
        check_listen(c, path, y->listen);
    return (struct config_http){ y != NULL ? y->listen : NULL };
}

static struct config_snapshots snapshots_of(struct check *c, const char *part, const struct yaml_snapshots *y)
{
    static const struct yaml_snapshots none = { NULL, NULL };
    char rate[WHERE_TEXT_MAX], at_once[WHERE_TEXT_MAX];
    (void)snprintf(rate, sizeof rate, "%s.snapshots.rate", part);
    (void)snprintf(at_once, sizeof at_once, "%s.snapshots.at_once", part);
    if (y == NULL)
        y = &none;
    struct config_snapshots s = { size_or(c, rate, y->rate, (uint64_t)200 << 20),
                                  (unsigned)number_or(c, at_once, y->at_once, 1, CONFIG_COPIES_MAX, 4) };
    if (s.rate < (uint64_t)64 << 10 || s.rate > (uint64_t)1 << 40)
        wrong(c, rate, "not between 64k and 1T");
    return s;
}

/* --- parts ---------------------------------------------------------------------------------------------------- */
static void take_node(struct check *c, struct loaded *l)
{
    const struct yaml_node *y = &l->yaml->node;
    struct config_node *n = &l->config.node;
    n->name = y->name;
    if (n->name == NULL) {
        (void)gethostname(l->host, sizeof l->host - 1);
        n->name = l->host;
    }
    if (strlen(n->name) > 64)
        wrong(c, "node.name", "longer than 64 characters");
    for (const char *p = n->name; *p != '\0'; p++) {
        if (*p <= ' ' || *p >= 0x7f || *p == '/' || n->name[0] == '.')
            wrong(c, "node.name", "not letters, digits and signs as in a file's name (its key is listed as NAME.pub)");
    }
    n->dir = y->dir;
    n->map_size = size_or(c, "node.map_size", y->map_size, (uint64_t)64 << 30);
    if (n->map_size < (uint64_t)1 << 20 || n->map_size > (uint64_t)1 << 45)
        wrong(c, "node.map_size", "not between 1M and 32T");
}

#define RETENTION_MS ((uint64_t)7 * 86400000)
#define RETENTION_BYTES ((uint64_t)4 << 30)
#define JOURNAL_MS ((uint64_t)30 * 86400000)
#define JOURNAL_BYTES ((uint64_t)1 << 30)

static void take_transfers(struct check *c, const struct yaml_transfers *y, struct config_transfers *out)
{
    char buf[TRANSFERS_TEXT_MAX], path[WHERE_TEXT_MAX];
    const char *key, *why = transfers_read(y, out, &key, buf);
    (void)snprintf(path, sizeof path, "core.dns.transfers.%s", key);
    if (why != NULL)
        wrong(c, path, why);
}

/* What an absent log_retention or journal says. */
static const struct yaml_retention no_retention = { NULL, NULL };

#define CORE_RRL_RATE 100
#define CORE_RRL_SLIP 2

static void take_rrl(struct check *c, const char *path, const struct yaml_rrl *y, struct config_rrl *out, struct net *allow)
{
    char key[WHERE_TEXT_MAX];
    (void)snprintf(key, sizeof key, "%s.rate", path);
    out->rate = (uint32_t)number_or(c, key, y->rate, 0, 1000000, 0);
    (void)snprintf(key, sizeof key, "%s.slip", path);
    out->slip = (uint32_t)number_or(c, key, y->slip, 0, 100, 2);
    (void)snprintf(key, sizeof key, "%s.allow", path);
    out->allow = nets_of(c, key, y->allow, y->allow_count, allow);
    out->allow_n = y->allow_count;
}

static void take_core(struct check *c, struct loaded *l)
{
    const struct yaml_core *y = l->yaml->core;
    if (y == NULL)
        return;
    const struct yaml_retention *keep = y->log_retention != NULL ? y->log_retention : &no_retention;
    const struct yaml_retention *history = y->journal != NULL ? y->journal : &no_retention;
    l->core = (struct config_core){
        .links = { y->publish, y->serve, y->collect }, .nodes = y->nodes,
        .encrypt = flag_or(c, "core.encrypt", y->encrypt, false),
        .retention_ms = duration_or(c, "core.log_retention.age", keep->age, RETENTION_MS),
        .retention_bytes = size_or(c, "core.log_retention.size", keep->size, RETENTION_BYTES),
        .journal_ms = duration_or(c, "core.journal.age", history->age, JOURNAL_MS),
        .journal_bytes = size_or(c, "core.journal.size", history->size, JOURNAL_BYTES),
        .snapshots = snapshots_of(c, "core", y->snapshots),
        .zones = y->zones, .zones_n = y->zones_count, .http = http_of(c, "core.http.listen", y->http),
    };
    check_links(c, "core", &l->core.links);
    if (y->nodes == NULL)
        missing(c, "core", "nodes");
    if (y->api != NULL) {
        check_listen(c, "core.api.listen", y->api->listen);
        if ((y->api->cert == NULL) != (y->api->key == NULL))
            wrong(c, "core.api", "cert and key go together");
        l->core.api_listen = y->api->listen;
        l->core.api_key_file = y->api->key_file;
        l->core.api_cert = y->api->cert;
        l->core.api_key = y->api->key;
    }
    take_transfers(c, y->dns != NULL ? y->dns->transfers : NULL, &l->core.dns_transfers);
    if (y->dns != NULL) {
        check_listens(c, "core.dns.listen", y->dns->listen, y->dns->listen_count);
        l->core.dns_listen = (const char *const *)y->dns->listen;
        l->core.dns_listens = y->dns->listen_count;
        l->core.dns_proxies = nets_of(c, "core.dns.proxies", y->dns->proxies, y->dns->proxies_count, l->core_proxies);
        l->core.dns_proxies_n = y->dns->proxies_count;
    }
    l->core.dns_rrl = (struct config_rrl){ .rate = CORE_RRL_RATE, .slip = CORE_RRL_SLIP };
    if (y->dns != NULL && y->dns->rrl != NULL)
        take_rrl(c, "core.dns.rrl", y->dns->rrl, &l->core.dns_rrl, l->core_allow);
    l->config.core = &l->core;
}

static void take_edge(struct check *c, struct loaded *l)
{
    const struct yaml_edge *y = l->yaml->edge;
    char path[WHERE_TEXT_MAX];
    if (y == NULL)
        return;
    const struct yaml_retention *keep = y->log_retention != NULL ? y->log_retention : &no_retention;
    l->edge = (struct config_edge){
        .cohort = y->cohort != NULL ? y->cohort : "all", .upstreams = y->upstream, .upstreams_n = y->upstream_count,
        .retention_ms = duration_or(c, "edge.log_retention.age", keep->age, RETENTION_MS),
        .retention_bytes = size_or(c, "edge.log_retention.size", keep->size, RETENTION_BYTES),
        .http = http_of(c, "edge.http.listen", y->http),
    };
    if (strncmp(y->core_key, "ed25519:", 8) != 0 || text_from_base64(y->core_key + 8, l->edge.core_key, 32) != OK)
        wrong(c, "edge.core_key", "not a key of the form ed25519:BASE64 (see node.pub in the core's directory)");
    if (strlen(l->edge.cohort) > 32 || l->edge.cohort[0] == '\0')
        wrong(c, "edge.cohort", "not 1 to 32 characters");
    for (size_t i = 0; i < l->edge.upstreams_n; i++) {
        (void)snprintf(path, sizeof path, "edge.upstream.%zu", i + 1);
        check_links(c, path, &l->edge.upstreams[i]);
    }
    if (y->relay != NULL) {
        l->relay = (struct config_links){ y->relay->publish, y->relay->serve, y->relay->collect };
        check_links(c, "edge.relay", &l->relay);
        l->edge.relay = &l->relay;
        l->edge.relay_nodes = y->relay->nodes;
        l->edge.relay_snapshots = snapshots_of(c, "edge.relay", y->relay->snapshots);
        if (y->relay->nodes == NULL)
            missing(c, "edge.relay", "nodes");
    }
    l->config.edge = &l->edge;
}

/* 32 hex digits at *p, which moves behind them. */
static bool cookie_secret_read(const char **p, uint8_t out[CONFIG_COOKIE_LEN])
{
    char hex[2 * CONFIG_COOKIE_LEN + 1];
    if (strcspn(*p, ", ") != sizeof hex - 1)
        return false;
    memcpy(hex, *p, sizeof hex - 1);
    hex[sizeof hex - 1] = '\0';
    *p += sizeof hex - 1;
    return text_from_hex(hex, out, CONFIG_COOKIE_LEN) == OK;
}

/* "off", or one or two secrets with a comma or space between them: the first makes cookies, both check them. */
static bool cookie_secrets_read(struct config_dns *d, const char *text)
{
    d->cookie.off = strcmp(text, "off") == 0;
    if (d->cookie.off)
        return true;
    while (d->cookie.n < CONFIG_COOKIE_SECRETS && cookie_secret_read(&text, d->cookie.secret[d->cookie.n])) {
        d->cookie.n++;
        if (*text == '\0')
            return true;
        text += strspn(text, ", ");
    }
    return false;
}

static void take_dns(struct check *c, struct loaded *l)
{
    const struct yaml_dns *y = l->yaml->dns;
    struct config_dns *d = &l->dns;
    static const struct yaml_tcp no_tcp = { NULL, NULL, NULL };
    if (y == NULL)
        return;
    const struct yaml_tcp *tcp = y->tcp != NULL ? y->tcp : &no_tcp;
    *d = (struct config_dns){
        .listen = (const char *const *)y->listen, .listens = y->listen_count,
        .workers = (unsigned)number_or(c, "dns.workers", y->workers, 1, CONFIG_WORKERS_MAX, 1),
        .cache = size_or(c, "dns.cache", y->cache, (uint64_t)64 << 20),
        .nsid = y->nsid, .version = y->version,
        .proxies = nets_of(c, "dns.proxies", y->proxies, y->proxies_count, l->proxies), .proxies_n = y->proxies_count,
        .tcp = { duration_or(c, "dns.tcp.idle", tcp->idle, 10000),
                 number_or(c, "dns.tcp.connections", tcp->connections, 1, 1000000, 1000), 0 },
        .http = http_of(c, "dns.http.listen", y->http),
    };
    if (y->nsid != NULL && strlen(y->nsid) > CONFIG_NSID_MAX)
        wrong(c, "dns.nsid", "longer than 128 bytes");
    if (y->version != NULL && strlen(y->version) > CONFIG_VERSION_MAX)
        wrong(c, "dns.version", "longer than 255 bytes");
    if (d->tcp.idle_ms < 100)
        wrong(c, "dns.tcp.idle", "less than 100ms");
    d->tcp.per_client = number_or(c, "dns.tcp.per_client", tcp->per_client, 0, 1000000, (d->tcp.connections + 3) / 4);
    check_listens(c, "dns.listen", y->listen, y->listen_count);
    if (y->cookie_secret != NULL && !cookie_secrets_read(d, y->cookie_secret))
        wrong(c, "dns.cookie_secret", "neither off nor one or two secrets of 32 hex digits");
    if (y->rrl != NULL)
        take_rrl(c, "dns.rrl", y->rrl, &d->rrl, l->allow);
    if (y->tls != NULL) {
        if (y->tls->listen_count == 0)
            missing(c, "dns.tls", "listen");
        check_listens(c, "dns.tls.listen", y->tls->listen, y->tls->listen_count);
        d->tls.listen = (const char *const *)y->tls->listen;
        d->tls.listens = y->tls->listen_count;
        d->tls.cert = y->tls->cert;
        d->tls.key = y->tls->key;
    }
    l->config.dns = d;
}

static void take_log(struct check *c, struct loaded *l)
{
    const struct yaml_log *y = l->yaml->log;
    l->config.log.level = LOG_INFO;
    if (y == NULL)
        return;
    if (y->level != NULL && !log_level_parse(y->level, &l->config.log.level))
        wrong(c, "log.level", "none of debug, info, warn, error");
    if (y->format != NULL && strcmp(y->format, "logfmt") != 0 && strcmp(y->format, "json") != 0)
        wrong(c, "log.format", "neither logfmt nor json");
    l->config.log.json = y->format != NULL && strcmp(y->format, "json") == 0;
}

static enum err parse(struct check *c, struct loaded *l)
{
    struct trace trace = { .n = 0 };
    struct cyaml_config setup;
    cyaml_err_t err = cyaml_load_data(c->text.ptr, c->text.len, cyaml_setup(&setup, &trace), &yaml_top_schema,
                                      (cyaml_data_t **)&l->yaml, NULL);
    if (err != CYAML_OK)
        return from_cyaml(c, &trace, err);
    if (l->yaml == NULL)
        return fault_set(c->fault, ERR_CONFIG, "%s:1: the file is empty", c->file);
    take_node(c, l);
    take_core(c, l);
    take_edge(c, l);
    take_dns(c, l);
    take_log(c, l);
    return c->err;
}

MUST_USE enum err config_load(const char *path, struct config **out, struct fault *fault)
{
    struct bytes text;
    enum err err = file_read(path, CONFIG_FILE_MAX, &text, fault);
    if (err != OK)
        return err;
    struct loaded *l = calloc(1, sizeof *l);
    if (l == NULL) {
        free((void *)(uintptr_t)text.ptr);
        return ERR_NOMEM;
    }
    struct check check = { path, text, fault, OK };
    err = text.len == 0 ? fault_set(fault, ERR_CONFIG, "%s:1: the file is empty", path) : parse(&check, l);
    free((void *)(uintptr_t)text.ptr);
    if (err != OK) {
        config_free(&l->config);
        return err;
    }
    *out = &l->config;
    return OK;
}

void config_free(struct config *c)
{
    struct loaded *l = (struct loaded *)c;
    struct trace trace = { .n = 0 };
    struct cyaml_config setup;
    if (l == NULL)
        return;
    (void)cyaml_free(cyaml_setup(&setup, &trace), &yaml_top_schema, l->yaml, 0);
    free(l);
}
