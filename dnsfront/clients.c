#include "dnsfront/clients.h"

#include "config/config.h"

#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>

#define PREFIX 8                    /* bytes of an IPv6 address that are one client */

/* Open addressing, at most half full: a place is free when n is 0. */
struct client { uint8_t who[PREFIX + 1]; unsigned n; };      /* who: address and, last, its length */
struct clients {
    unsigned most, per_client;
    atomic_uint open;
    pthread_mutex_t lock;           /* of the table */
    size_t places;                  /* a power of two */
    uint8_t key[16];
    struct client *table;
};

static struct client client_of(const struct peer *p)
{
    struct client c = { .who[PREFIX] = p->len, .n = 1 };
    memcpy(c.who, p->addr, p->len < PREFIX ? p->len : PREFIX);
    return c;
}

static bool same(const struct client *a, const struct client *b)
{
    return memcmp(a->who, b->who, sizeof a->who) == 0;
}

static size_t home_of(const struct clients *c, const struct client *who)
{
    uint64_t hash;
    (void)crypto_shorthash((uint8_t *)&hash, who->who, sizeof who->who, c->key);
    return hash & (c->places - 1);
}

static size_t find(const struct clients *c, const struct client *who)
{
    size_t at = home_of(c, who);
    while (c->table[at].n > 0 && !same(&c->table[at], who))
        at = (at + 1) & (c->places - 1);
    return at;
}

/* Takes an entry out and moves those behind it up, as far as they may stand before where they stand. */
static void take_out(struct clients *c, size_t hole)
{
    size_t mask = c->places - 1;
    for (size_t at = (hole + 1) & mask; c->table[at].n > 0; at = (at + 1) & mask) {
        size_t home = home_of(c, &c->table[at]);
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            c->table[hole] = c->table[at];
            hole = at;
        }
    }
    c->table[hole].n = 0;
}

bool clients_enter(struct clients *c)
{
    if (atomic_fetch_add(&c->open, 1) < c->most)
        return true;
    (void)atomic_fetch_sub(&c->open, 1);
    return false;
}

void clients_leave(struct clients *c)
{
    (void)atomic_fetch_sub(&c->open, 1);
}

bool clients_take(struct clients *c, const struct peer *p)
{
    if (c->table == NULL || p->len == 0)
        return true;
    struct client who = client_of(p);
    pthread_mutex_lock(&c->lock);
    struct client *at = &c->table[find(c, &who)];
    bool good = at->n < c->per_client;
    if (good && at->n > 0)
        at->n++;
    else if (good)
        *at = who;
    pthread_mutex_unlock(&c->lock);
    return good;
}

void clients_give(struct clients *c, const struct peer *p)
{
    if (c->table == NULL || p->len == 0)
        return;
    struct client who = client_of(p);
    pthread_mutex_lock(&c->lock);
    size_t at = find(c, &who);
    if (c->table[at].n > 1)
        c->table[at].n--;
    else if (c->table[at].n == 1)
        take_out(c, at);
    pthread_mutex_unlock(&c->lock);
}

MUST_USE enum err clients_open(struct clients **out, unsigned most, unsigned per_client, const uint8_t key[16])
{
    struct clients *c = calloc(1, sizeof *c);
    if (c == NULL)
        return ERR_NOMEM;
    c->most = most;
    c->per_client = per_client;
    memcpy(c->key, key, sizeof c->key);
    size_t counted = (size_t)most + CONFIG_WORKERS_MAX;     /* each worker may be about to be told that all places are taken */
    for (c->places = 16; c->places < 2 * counted; c->places *= 2)
        ;
    if (per_client > 0 && per_client < most && (c->table = calloc(c->places, sizeof *c->table)) == NULL) {
        free(c);
        return ERR_NOMEM;
    }
    (void)pthread_mutex_init(&c->lock, NULL);
    *out = c;
    return OK;
}

void clients_close(struct clients *c)
{
    if (c == NULL)
        return;
    (void)pthread_mutex_destroy(&c->lock);
    free(c->table);
    free(c);
}
