#include "dnsfront/fit.h"

#include <sched.h>
#include <stdio.h>
#include <unistd.h>

void machine_read(struct machine *out)
{
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE), cpus = sysconf(_SC_NPROCESSORS_ONLN);
    cpu_set_t mine;
    if (sched_getaffinity(0, sizeof mine, &mine) == 0)
        cpus = CPU_COUNT(&mine);
    *out = (struct machine){ pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : UINT64_MAX, cpus > 0 ? (unsigned)cpus : 1 };
}

MUST_USE enum err fit_check(const struct config_dns *c, const struct machine *m, struct fault *fault)
{
    if (c->cache > m->memory_bytes)
        return fault_set(fault, ERR_CONFIG, "dns.cache: %llu MB are more than the memory of this machine, %llu MB",
                         (unsigned long long)(c->cache >> 20), (unsigned long long)(m->memory_bytes >> 20));
    return OK;
}

/* --- what changed ------------------------------------------------------------------------------------------------- */
struct keys { char *out; size_t len; unsigned n; };

static void key_changed(struct keys *k, bool changed, const char *name)
{
    if (!changed)
        return;
    int len = snprintf(k->out + k->len, FIT_KEYS_TEXT - k->len, "%s%s", k->n > 0 ? "," : "", name);
    k->n++;
    k->len = len > 0 && k->len + (size_t)len < FIT_KEYS_TEXT ? k->len + (size_t)len : FIT_KEYS_TEXT - 1;
}

static bool text_differs(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a != b : strcmp(a, b) != 0;
}

static bool texts_differ(const char *const *a, size_t an, const char *const *b, size_t bn)
{
    if (an != bn)
        return true;
    for (size_t i = 0; i < an; i++)
        if (strcmp(a[i], b[i]) != 0)
            return true;
    return false;
}

static bool nets_differ(const struct net *a, size_t an, const struct net *b, size_t bn)
{
    if (an != bn)
        return true;
    for (size_t i = 0; i < an; i++)
        if (a[i].len != b[i].len || a[i].bits != b[i].bits || memcmp(a[i].addr, b[i].addr, a[i].len) != 0)
            return true;
    return false;
}

static void dns_keys(struct keys *k, const struct config_dns *a, const struct config_dns *b)
{
    key_changed(k, texts_differ(a->listen, a->listens, b->listen, b->listens), "dns.listen");
    key_changed(k, a->workers != b->workers, "dns.workers");
    key_changed(k, a->cache != b->cache, "dns.cache");
    key_changed(k, text_differs(a->nsid, b->nsid), "dns.nsid");
    key_changed(k, text_differs(a->version, b->version), "dns.version");
    key_changed(k, nets_differ(a->proxies, a->proxies_n, b->proxies, b->proxies_n), "dns.proxies");
    key_changed(k, a->rrl.rate != b->rrl.rate || a->rrl.slip != b->rrl.slip
                       || nets_differ(a->rrl.allow, a->rrl.allow_n, b->rrl.allow, b->rrl.allow_n), "dns.rrl");
    key_changed(k, texts_differ(a->tls.listen, a->tls.listens, b->tls.listen, b->tls.listens), "dns.tls.listen");
    key_changed(k, a->tcp.idle_ms != b->tcp.idle_ms || a->tcp.connections != b->tcp.connections
                       || a->tcp.per_client != b->tcp.per_client, "dns.tcp");
    key_changed(k, text_differs(a->http.listen, b->http.listen), "dns.http");
}

unsigned fit_restart_keys(const struct config *was, const struct config *now, char out[FIT_KEYS_TEXT])
{
    struct keys k = { .out = out };
    out[0] = '\0';
    key_changed(&k, text_differs(was->node.dir, now->node.dir), "node.dir");
    key_changed(&k, was->node.map_size != now->node.map_size, "node.map_size");
    if (now->dns == NULL)
        key_changed(&k, true, "dns");
    else
        dns_keys(&k, was->dns, now->dns);
    return k.n;
}
