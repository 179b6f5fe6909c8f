#include "builder/turns.h"

#define HOST_LEN 8              /* bytes of an IPv6 address that say whose it is: /64 */

bool turns_same(const struct peer *a, const struct peer *b)
{
    size_t n = a->len == 16 ? HOST_LEN : a->len;
    return a->len == b->len && memcmp(a->addr, b->addr, n) == 0;
}

void turns_put(struct turns *t, struct turn *x)
{
    struct turn **at = &t->first;
    x->round = t->round;
    for (const struct turn *w = t->first; w != NULL; w = w->next)
        if (turns_same(&w->client, &x->client) && w->round >= x->round)
            x->round = w->round + 1;
    while (*at != NULL && (*at)->round <= x->round)
        at = &(*at)->next;
    x->next = *at;
    *at = x;
}

struct turn *turns_take(struct turns *t)
{
    struct turn *x = t->first;
    if (x == NULL)
        return NULL;
    t->first = x->next;
    t->round = x->round;
    return x;
}

bool turns_remove(struct turns *t, const struct turn *x)
{
    struct turn **at = &t->first;
    while (*at != NULL && *at != x)
        at = &(*at)->next;
    if (*at == NULL)
        return false;
    *at = x->next;
    return true;
}
