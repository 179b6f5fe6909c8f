#include "dnsfront/shared.h"

#include "base/log.h"
#include "dnsfront/clients.h"
#include "dnsfront/rrl.h"
#include "dnsfront/tls.h"

#include <assert.h>
#include <sodium.h>
#include <sys/resource.h>

#define SPARE_FILES 128             /* the store, metrics, what libraries open */
#define WORKER_FILES 16             /* loop, bell, view */

/* How many connections there may be so that nothing else runs out of descriptors. */
static unsigned connections_for(const struct config_dns *c)
{
    struct rlimit have;
    rlim_t others = SPARE_FILES + (rlim_t)c->workers * (WORKER_FILES + 2 * c->listens + c->tls.listens);
    rlim_t want = others + c->tcp.connections;
    if (getrlimit(RLIMIT_NOFILE, &have) != 0 || have.rlim_cur >= want)
        return (unsigned)c->tcp.connections;
    struct rlimit more = { want, have.rlim_max > want ? have.rlim_max : want };
    if (setrlimit(RLIMIT_NOFILE, &more) == 0)
        return (unsigned)c->tcp.connections;
    have.rlim_cur = have.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &have);
    rlim_t left = have.rlim_cur > others + 1 ? have.rlim_cur - others : 1;
    if (left >= c->tcp.connections)
        return (unsigned)c->tcp.connections;
    log_warn("dns.descriptors", "limit=%llu want=%llu connections=%llu next=\"fewer connections\"",
             (unsigned long long)have.rlim_cur, (unsigned long long)want, (unsigned long long)left);
    return (unsigned)left;
}

static enum err tls_prepare(struct shared *s, const struct config_dns *c, struct fault *fault)
{
    enum err err = OK;
    for (size_t i = 0; err == OK && i < c->tls.listens; i++)
        if ((err = listen_parse("dns.tls.listen", c->tls.listen[i], &s->tls_listens[i], fault)) == OK)
            err = listen_probe(&s->tls_listens[i], LISTEN_STREAM, fault);
    if (err == OK && c->tls.listens > 0)
        err = tls_open(&s->tls, c->tls.cert, c->tls.key, fault);
    if (err == OK)
        s->tls_listens_n = c->tls.listens;
    return err;
}

/* Without a secret in the configuration one is made up: good for this server, until it starts anew. */
static void cookies_prepare(struct shared *s, const struct config_dns *c)
{
    struct cookie_secrets next = { .n = c->cookie.n };
    static_assert(sizeof next.secret == sizeof c->cookie.secret, "config.h and cookies.h have the same secrets");
    bool make_up = next.n == 0 && !c->cookie.off;
    if (make_up && s->cookies_made)
        return;                                 /* what clients have of it stays good */
    memcpy(next.secret, c->cookie.secret, sizeof next.secret);
    if (make_up) {
        randombytes_buf(next.secret[0], sizeof next.secret[0]);
        next.n = 1;
    }
    (void)pthread_mutex_lock(&s->lock);
    s->cookies = next;
    (void)pthread_mutex_unlock(&s->lock);
    s->cookies_made = make_up;
}

struct cookie_secrets shared_cookies(struct shared *s)
{
    (void)pthread_mutex_lock(&s->lock);
    struct cookie_secrets now = s->cookies;
    (void)pthread_mutex_unlock(&s->lock);
    return now;
}

MUST_USE enum err shared_open(struct shared *s, const struct config_dns *c, struct fault *fault)
{
    struct rrl_options o = { .rate = c->rrl.rate, .slip = c->rrl.slip, .allow = c->rrl.allow, .allow_n = c->rrl.allow_n };
    uint8_t key[16];
    *s = (struct shared){ .lock = PTHREAD_MUTEX_INITIALIZER };
    if (sodium_init() < 0)
        return ERR_NOMEM;
    randombytes_buf(o.key, sizeof o.key);
    randombytes_buf(key, sizeof key);
    cookies_prepare(s, c);
    enum err err = tls_prepare(s, c, fault);
    if (err == OK)
        err = clients_open(&s->clients, connections_for(c), (unsigned)c->tcp.per_client, key);
    if (err == OK && o.rate > 0)
        err = rrl_open(&s->rrl, &o);
    if (err != OK)
        shared_close(s);
    return err;
}

MUST_USE enum err shared_reload(struct shared *s, const struct config_dns *c, struct fault *fault)
{
    cookies_prepare(s, c);
    return s->tls != NULL && c->tls.cert != NULL ? tls_reload(s->tls, c->tls.cert, c->tls.key, fault) : OK;
}

void shared_close(struct shared *s)
{
    tls_close(s->tls);
    clients_close(s->clients);
    rrl_close(s->rrl);
    *s = (struct shared){ .tls = NULL };
}
