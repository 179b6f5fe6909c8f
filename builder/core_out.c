#include "builder/core_out.h"

#include <stdlib.h>

#define CLASS_INTERNET 1

/* What a transfer is of ours; its own from transfers_put on. */
struct outgoing { struct asker from; };

/* AXFR over UDP is nothing that RFC 5936 knows: it is refused with all other questions of that kind. */
bool out_is(const struct query *q, const struct asker *from)
{
    return q->qclass == CLASS_INTERNET && (q->qtype == TYPE_IXFR || (q->qtype == TYPE_AXFR && from->conn != NULL));
}

/* --- who may ------------------------------------------------------------------------------------------------------------ */
static bool zone_lets(const struct policy_zone *z, const struct seal *seal, const struct asker *from)
{
    if (nets_have(z->transfer_acl, z->transfer_acl_n, peer_bytes(&from->client)))
        return true;
    for (size_t i = 0; seal->present && i < z->transfer_keys_n; i++)
        if (name_equal(name_bytes(&z->transfer_keys[i]), name_bytes(&seal->key->key.name)))
            return true;
    return false;
}

/* Zones of kind file have no settings: only a key's own rights open them. */
static uint16_t admit(struct out_desk *d, struct view *v, const struct xfrout_ask *ask, const struct asker *from,
                      const struct seal *seal, const char **why)
{
    const struct policy_zone *z = NULL;
    struct zone_header h;
    struct fault fault = { "" };
    struct bytes apex = name_bytes(&ask->apex);
    *why = "the store cannot be read";
    enum err err = v == NULL ? ERR_STORE : zone_header_get(apex, v, &h);
    if (err != OK && err != ERR_NOTFOUND)
        return RCODE_SERVFAIL;
    *why = "the zone is not served here";
    if (err == ERR_NOTFOUND)
        return RCODE_NOTAUTH;
    *why = "the records cannot be read";
    err = policies_zone(d->policies, apex, &z, &fault);
    if (err != OK && err != ERR_NOTFOUND)
        return RCODE_SERVFAIL;
    *why = seal->present ? "the key may not take the zone" : "no key, and transfer_acl does not name the address";
    if (!(err == OK && zone_lets(z, seal, from)) && !(seal->present && rights_transfer(&seal->key->rights, apex)))
        return RCODE_REFUSED;
    *why = "the zone is not live: it is expired, or was never loaded";
    return h.state == ZONE_LIVE ? RCODE_NOERROR : RCODE_SERVFAIL;
}

/* --- beginning ------------------------------------------------------------------------------------------------------------ */
static size_t message_max(const struct query *q, bool udp)
{
    return !udp ? XFRPACK_MAX : q->udp_size < ANSWER_UDP_MAX ? q->udp_size : ANSWER_UDP_MAX;
}

static uint16_t put(struct out_desk *d, const struct xfrout_ask *ask, struct bytes msg, const struct query *q,
                    const struct asker *from, struct seal *seal, const char **why)
{
    struct transfer *x;
    struct outgoing *o = malloc(sizeof *o);
    struct transfer_ask ta = { .ask = *ask, .id = q->id, .flags = q->flags, .has_edns = q->has_edns,
                               .question = { msg.ptr + DNS_HEADER_LEN, q->question_len }, .max = message_max(q, ask->udp),
                               .client = from->client, .port = from->port, .room = seal_room(seal) };
    *why = "out of memory";
    if (o == NULL)
        return RCODE_SERVFAIL;
    o->from = *from;
    *why = "too many transfers at once";
    if (transfers_put(d->transfers, &ta, seal->chain, o, &x) != OK) {
        free(o);
        return RCODE_SERVFAIL;
    }
    seal->chain = NULL;
    if (!ask->udp)
        d->o->transfer(d->o->arg, from, x);
    return RCODE_NOERROR;
}

uint16_t out_begin(struct out_desk *d, struct view *v, struct bytes msg, const struct query *q, const struct asker *from,
                   struct seal *seal, const char **why)
{
    struct xfrout_ask ask;
    *why = "an IXFR without its one SOA";
    uint16_t rcode = xfrout_read(msg, q, from->conn == NULL, &ask);
    if (rcode == RCODE_NOERROR)
        rcode = admit(d, v, &ask, from, seal, why);
    if (rcode == RCODE_NOERROR)
        rcode = put(d, &ask, msg, q, from, seal, why);
    stat_add(&d->refused, rcode != RCODE_NOERROR);
    return rcode;
}

/* --- sending ---------------------------------------------------------------------------------------------------------------- */
struct ready { struct out_desk *d; uint8_t *buf; };

static void on_ready(void *arg, struct transfer *x, void *of)
{
    const struct ready *r = arg;
    const struct outgoing *o = of;
    size_t n;
    if (o->from.conn != NULL) {
        r->d->o->transfer(r->d->o->arg, &o->from, x);
        return;
    }
    enum err err = transfer_next(x, r->buf, &n);
    if (err == ERR_AGAIN)
        return;
    if (err == OK) {
        r->d->o->reply(r->d->o->arg, &o->from, bytes_of(r->buf, n));
        err = transfer_next(x, r->buf, &n);         /* there is no other */
    }
    if (err != ERR_AGAIN)
        transfer_end(x);
}

void out_ready(struct out_desk *d, uint8_t *buf)
{
    struct ready r = { d, buf };
    transfers_ready(d->transfers, on_ready, &r);
}
