/* Which answers of core.dns leave over UDP (dnsfront/rrl.h): whoever forges the address of a victim gets no more of them sent there than a
 * handful, while a zone's own secondaries and primaries are never held back from its SOA. */
#ifndef AZOTH_BUILDER_CORE_LIMIT_H
#define AZOTH_BUILDER_CORE_LIMIT_H

#include "base/stat.h"
#include "builder/core_desk.h"
#include "builder/policies.h"
#include "dnsfront/answer.h"
#include "wire/query.h"

struct core_limit;
/* *out NULL: there is no limit, as with rate 0. o: borrowed are its networks. */
MUST_USE enum err core_limit_open(struct core_limit **out, const struct desk_limit *o);
void core_limit_close(struct core_limit *l);                /* NULL is fine */
/* The answer to msg stands in out, n bytes, and a made it: what leaves instead, 0: nothing. k: for who is one of the zone's. NULL is fine. */
size_t core_limit_answer(struct core_limit *l, struct policies *k, struct answerer *a, struct bytes msg, const struct query *q,
                         const struct answer_from *from, uint8_t *out, size_t n);
/* A question for an IXFR over UDP, unsigned: whoever forges an address of transfer_acl has more sent there than it asked with, and takes the
 * places of that client's transfers. true: held back; *n bytes stand in out, 0: nothing. NULL is fine. */
bool core_limit_transfer(struct core_limit *l, struct answerer *a, struct bytes msg, const struct query *q, const struct answer_from *from,
                         uint8_t *out, size_t *n);
void core_limit_metrics(const struct core_limit *l, struct stat_page *p);

#endif
