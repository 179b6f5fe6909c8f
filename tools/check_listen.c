#include "tools/check_listen.h"

#include "base/text.h"

#include <stdio.h>
#include <strings.h>

#define HOST_MAX 256
#define PLACES_MAX (3 * CONFIG_LISTEN_MAX + 16)

struct place { char key[48]; const char *text; char host[HOST_MAX]; bool is_path, any4, any6; struct net net; uint64_t port; };
struct places { struct place v[PLACES_MAX]; size_t n; };

/* --- what is listened on --------------------------------------------------------------------------------------------- */
static void take_host(struct place *p, const char *host, size_t len)
{
    if (len >= 2 && host[0] == '[' && host[len - 1] == ']')
        host++, len -= 2;
    (void)snprintf(p->host, sizeof p->host, "%.*s", (int)(len < HOST_MAX ? len : HOST_MAX - 1), host);
    if (strchr(p->host, '/') != NULL || net_parse(p->host, &p->net) != OK)
        p->net.len = 0;                 /* a name */
    p->any4 = strcmp(p->host, "*") == 0 || strcmp(p->host, "0.0.0.0") == 0;
    p->any6 = strcmp(p->host, "*") == 0 || strcmp(p->host, "::") == 0;
}

/* ADDRESS@PORT, tcp://HOST:PORT or ipc://PATH; NULL: not configured. config_load has looked at their form. */
static void add(struct places *all, const char *key, const char *text)
{
    const char *tcp = text != NULL && strncmp(text, "tcp://", 6) == 0 ? text + 6 : NULL;
    const char *end = text != NULL ? strrchr(text, tcp != NULL ? ':' : '@') : NULL;
    if (text == NULL || all->n == PLACES_MAX)
        return;
    struct place *p = &all->v[all->n];
    *p = (struct place){ .text = text, .is_path = strncmp(text, "ipc://", 6) == 0 };
    (void)snprintf(p->key, sizeof p->key, "%s", key);
    if (!p->is_path) {
        const char *host = tcp != NULL ? tcp : text;
        if (end == NULL || end < host || text_number(end + 1, 65535, &p->port) != OK || p->port == 0)
            return;
        take_host(p, host, (size_t)(end - host));
    }
    all->n++;
}

static void add_list(struct places *all, const char *key, const char *const *list, size_t n)
{
    char each[48];
    for (size_t i = 0; i < n; i++) {
        (void)snprintf(each, sizeof each, "%s.%zu", key, i + 1);
        add(all, each, list[i]);
    }
}

static void add_links(struct places *all, const char *part, const struct config_links *l)
{
    const struct { const char *name, *text; } rows[] = { { "publish", l->publish }, { "serve", l->serve }, { "collect", l->collect } };
    char key[48];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        (void)snprintf(key, sizeof key, "%s.%s", part, rows[i].name);
        add(all, key, rows[i].text);
    }
}

static void add_all(struct places *all, const struct config *c)
{
    if (c->core != NULL) {
        add_links(all, "core", &c->core->links);
        add(all, "core.api.listen", c->core->api_listen);
        add_list(all, "core.dns.listen", c->core->dns_listen, c->core->dns_listens);
        add(all, "core.http.listen", c->core->http.listen);
    }
    if (c->edge != NULL && c->edge->relay != NULL)
        add_links(all, "edge.relay", c->edge->relay);
    if (c->edge != NULL)
        add(all, "edge.http.listen", c->edge->http.listen);
    if (c->dns != NULL) {
        add_list(all, "dns.listen", c->dns->listen, c->dns->listens);
        add_list(all, "dns.tls.listen", c->dns->tls.listen, c->dns->tls.listens);
        add(all, "dns.http.listen", c->dns->http.listen);
    }
}

/* --- which exclude each other ---------------------------------------------------------------------------------------- */
static bool covers(const struct place *any, const struct place *p)
{
    return (any->any4 && (p->any4 || p->net.len == 4)) || (any->any6 && (p->any6 || p->net.len == 16));
}

static bool clash(const struct place *a, const struct place *b)
{
    if (a->is_path || b->is_path)
        return a->is_path && b->is_path && strcmp(a->text, b->text) == 0;
    if (a->port != b->port)
        return false;
    if (covers(a, b) || covers(b, a))
        return true;
    if (a->net.len != 0 && b->net.len != 0)
        return a->net.len == b->net.len && memcmp(a->net.addr, b->net.addr, a->net.len) == 0;
    return strcasecmp(a->host, b->host) == 0;
}

unsigned check_listens(const struct config *c, config_problem_fn *told, void *arg)
{
    struct places all = { .n = 0 };
    unsigned n = 0;
    add_all(&all, c);
    for (size_t i = 1; i < all.n; i++) {
        for (size_t j = 0; j < i; j++) {
            char text[700];
            if (!clash(&all.v[i], &all.v[j]))
                continue;
            (void)snprintf(text, sizeof text, "%.200s cannot be listened on beside %s, which is %.200s", all.v[i].text, all.v[j].key,
                           all.v[j].text);
            told(arg, all.v[i].key, text);
            n++;
            break;
        }
    }
    return n;
}
