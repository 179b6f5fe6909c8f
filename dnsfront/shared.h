/* What all workers of azoth-dns use together: the certificate, the limits of connections and of equal answers, the cookies' secrets. Opened by
 * the main thread before the first worker, closed after the last. */
#ifndef AZOTH_DNSFRONT_SHARED_H
#define AZOTH_DNSFRONT_SHARED_H

#include "config/config.h"
#include "dnsfront/cookies.h"
#include "dnsfront/listen.h"

#include <pthread.h>

struct clients;
struct rrl;
struct tls;

struct shared {
    struct listen_address tls_listens[CONFIG_LISTEN_MAX];
    size_t tls_listens_n;           /* 0: no DNS over TLS */
    struct tls *tls;
    struct clients *clients;
    struct rrl *rrl;                /* NULL: answers are not limited */
    pthread_mutex_t lock;           /* of cookies, which shared_reload changes; workers have copies */
    struct cookie_secrets cookies;
    bool cookies_made;              /* up, since the configuration has none */
};

/* Checks addresses and certificate, and raises the limit of descriptors to what the connections need; where that is not
 * allowed there are fewer connections, and the log says so. c: borrowed until shared_close. */
MUST_USE enum err shared_open(struct shared *s, const struct config_dns *c, struct fault *fault);
/* The cookies' secrets and the certificate's files of the new configuration. After an error the old certificate stays. */
MUST_USE enum err shared_reload(struct shared *s, const struct config_dns *c, struct fault *fault);
/* The secrets of now. Any thread; not on the way of a query. */
struct cookie_secrets shared_cookies(struct shared *s);
void shared_close(struct shared *s);

#endif
