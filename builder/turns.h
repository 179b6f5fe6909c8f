/* Whose turn is it? Work of several clients, one after the other, so that none of them waits for all that another one has put:
 * round by round, each client once in each, in order of arrival. Pure.
 *
 *     put: A A A A B A C   ─►   take: A B C A A A A */
#ifndef AZOTH_BUILDER_TURNS_H
#define AZOTH_BUILDER_TURNS_H

#include "dnsfront/peer.h"

#include <stdint.h>

struct turn { struct turn *next; struct peer client; uint64_t round; };     /* in what waits; client: set by the caller */
struct turns { struct turn *first; uint64_t round; };                       /* zeros: nobody waits */
void turns_put(struct turns *t, struct turn *x);
struct turn *turns_take(struct turns *t);                   /* NULL: nobody waits */
bool turns_remove(struct turns *t, const struct turn *x);   /* false: it does not wait */
/* One client: an address, or a network of IPv6 that one host may have to itself. */
bool turns_same(const struct peer *a, const struct peer *b);

#endif
