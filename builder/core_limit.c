#include "builder/core_limit.h"

#include "base/clock.h"
#include "dnsfront/rrl.h"

#include <sodium.h>
#include <stdlib.h>

#define SETS 4096               /* of 8 buckets: 256 KiB */

struct core_limit { struct rrl *rrl; stat_count dropped, slipped; };

enum err core_limit_open(struct core_limit **out, const struct desk_limit *o)
{
    struct rrl_options ro = { .rate = o->rate, .slip = o->slip, .allow = o->allow, .allow_n = o->allow_n, .sets = SETS };
    *out = NULL;
    if (o->rate == 0)
        return OK;
    struct core_limit *l = calloc(1, sizeof *l);
    if (l == NULL)
        return ERR_NOMEM;
    randombytes_buf(ro.key, sizeof ro.key);
    enum err err = rrl_open(&l->rrl, &ro);
    if (err != OK) {
        free(l);
        return err;
    }
    *out = l;
    return OK;
}

void core_limit_close(struct core_limit *l)
{
    if (l == NULL)
        return;
    rrl_close(l->rrl);
    free(l);
}

/* Does the client ask for the SOA of a zone that it takes from here, is told of, gives to us, or updates? It asks as often as it has to. */
static bool is_one_of_the_zone(struct policies *k, const struct query *q, struct bytes client)
{
    const struct policy_zone *z;
    struct name apex = { .len = (uint8_t)q->qname.len };
    if (q->qtype != TYPE_SOA || apex.len == 0)
        return false;
    memcpy(apex.wire, q->qname.ptr, apex.len);
    name_lower(apex.wire, apex.len);
    if (policies_zone(k, name_bytes(&apex), &z, NULL) != OK)
        return false;
    return nets_have(z->transfer_acl, z->transfer_acl_n, client) || nets_have(z->peers, z->peers_n, client)
        || nets_have(z->update_acl, z->update_acl_n, client);
}

static size_t hold(struct core_limit *l, enum rrl_verdict verdict, struct answerer *a, struct bytes msg, const struct answer_from *from,
                   uint8_t *out)
{
    size_t n = verdict == RRL_SLIP ? answer_limited(a, msg, from, out, ANSWER_MAX) : 0;
    stat_add(n > 0 ? &l->slipped : &l->dropped, 1);
    return n;
}

size_t core_limit_answer(struct core_limit *l, struct policies *k, struct answerer *a, struct bytes msg, const struct query *q,
                         const struct answer_from *from, uint8_t *out, size_t n)
{
    if (l == NULL || n == 0 || from->proto != ANSWER_UDP)
        return n;
    struct answer_said said = answer_said(a);
    enum rrl_verdict verdict = rrl_check(l->rrl, from->client, &said, (uint32_t)clock_mono_us());
    if (verdict == RRL_SEND || is_one_of_the_zone(k, q, from->client))
        return n;
    return hold(l, verdict, a, msg, from, out);
}

bool core_limit_transfer(struct core_limit *l, struct answerer *a, struct bytes msg, const struct query *q, const struct answer_from *from,
                         uint8_t *out, size_t *n)
{
    const struct answer_said said = { .kind = ANSWER_POSITIVE, .name = q->qname };
    if (l == NULL || from->proto != ANSWER_UDP || q->has_tsig)
        return false;
    enum rrl_verdict verdict = rrl_check(l->rrl, from->client, &said, (uint32_t)clock_mono_us());
    if (verdict == RRL_SEND)
        return false;
    *n = hold(l, verdict, a, msg, from, out);
    return true;
}

void core_limit_metrics(const struct core_limit *l, struct stat_page *p)
{
    stat_head(p, "azoth_core_dns_rrl_total", "counter", "answers over UDP that core.dns.rrl held back");
    stat_value(p, "azoth_core_dns_rrl_total", "result=\"dropped\"", l == NULL ? 0 : stat_get(&l->dropped));
    stat_value(p, "azoth_core_dns_rrl_total", "result=\"slipped\"", l == NULL ? 0 : stat_get(&l->slipped));
}
