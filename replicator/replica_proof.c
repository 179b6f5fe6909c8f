/* One signature for announcements that came together. Each record names the one before it, with its head and signature (its
 * witness), so the signature of the newest proves those that lead to it:
 *
 *     1 ◄─ 2 ◄─ 3 ◄─ 4 signed             proven: all four
 *     1 ◄─ 2    3 ◄─ 4 signed             3 and 4; 2 by its own signature, and 1 with it
 *
 * Nothing is believed for being among good ones: what no proven record names is looked at alone, as if it had come alone. And
 * no announcement's signature is verified twice, so whatever is mixed in costs no more than it would have cost by itself. */
#include "replicator/replica_parts.h"

/* From the newest to the oldest. */
struct walk {
    bool any;                           /* something is proven: */
    struct position at;                 /* the oldest of it */
    uint8_t own[CHAIN_LEN];             /* its witness */
    bool names;                         /* and that of the one before it */
    uint8_t before[CHAIN_LEN];
};

/* Would its signature be looked at if it came alone, behind what is older? */
static bool is_news(const struct replica *r, const struct walk *w, const struct record *rec)
{
    struct position at = replica_head_position(&rec->head), have = replica_head_position(&r->newest);
    return (!r->joined || memcmp(rec->cluster, r->cluster, CLUSTER_LEN) == 0)
        && (!r->have_head || position_compare(&at, &have) > 0) && (!w->any || position_compare(&at, &w->at) < 0);
}

static bool reads(struct bytes msg, struct record *rec)
{
    struct announce a;
    return announce_read(msg, &a) == OK && a.record.len > 0 && record_read(a.record, rec) == OK && rec->has_head
        && replica_same_signed(&a.head, &rec->signed_head) && record_agrees(rec) == OK;
}

static enum proof prove(struct replica *r, struct walk *w, struct bytes msg)
{
    struct record rec;
    uint8_t own[CHAIN_LEN];
    if (!reads(msg, &rec))
        return PROOF_OWN;
    record_witness(rec.chain, &rec.signed_head, own);
    if (w->any && memcmp(own, w->own, CHAIN_LEN) == 0)
        return PROOF_GOOD;                      /* it came twice */
    if (!w->names || memcmp(own, w->before, CHAIN_LEN) != 0) {
        if (!is_news(r, w, &rec))
            return PROOF_OWN;
        if (replica_head_verify(r, &rec.signed_head) != OK)
            return PROOF_BAD;
    }
    *w = (struct walk){ .any = true, .at = replica_head_position(&rec.head), .names = rec.has_witness };
    memcpy(w->own, own, CHAIN_LEN);
    memcpy(w->before, rec.witness, CHAIN_LEN);
    return PROOF_GOOD;
}

void replica_prove(struct replica *r)
{
    struct gathered *g = &r->gathered;
    struct walk w = { .any = false };
    for (size_t i = g->n; i-- > 0 && g->n > 1;) {
        bool first = !w.any;
        g->proof[i] = prove(r, &w, gathered_at(g, i));
        if (first && w.any)
            g->newest = w.at;
    }
}
