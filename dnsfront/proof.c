#include "dnsfront/proof.h"

struct prover {                     /* one proof being put together */
    struct proofs *p;
    struct reply *r;
    struct lookup *l;
    const struct subject *s;
    const struct zone_entry *zone;
    unsigned apex;                  /* labels */
};

static bool proves(const struct zone_entry *z) { return z->soa.sigs > 0 && (z->has_nsec3 || (z->bits & ZONE_HAS_NSEC) != 0); }

void proof_begin(struct proofs *p, struct reply *r)
{
    p->records = p->rounds = p->notes = 0;
    r->proofs = p;
}

/* --- into the message ------------------------------------------------------------------------------------------- */
/* Owner and first RR of a set whose owner stands nowhere in the message: labels, and then the subject's from `end` on. */
static enum err put_first(struct wr *w, struct bytes wire, struct bytes labels, const struct rr_place *end, size_t *rest)
{
    struct rd r = rd_over(wire);
    (void)rd_take(&r, 10);                      /* pointer, type, class, TTL */
    (void)rd_take(&r, rd_u16(&r));
    if (r.bad)
        return ERR_BAD;
    *rest = (size_t)(r.p - wire.ptr);
    wr_bytes(w, labels);
    if (end->owner_at <= POINTER_MAX && end->owner_name.len > 1)
        wr_u16(w, (uint16_t)(0xc000 | end->owner_at));
    else
        wr_bytes(w, end->owner_name);
    wr_put(w, wire.ptr + 2, *rest - 2);
    return w->full ? ERR_NOSPACE : OK;
}

static enum err put_elsewhere(struct wr *w, const struct rrset *rr, struct bytes labels, const struct rr_place *end)
{
    uint8_t owner[2 * NAME_MAX_LEN];
    memcpy(owner, labels.ptr, labels.len);
    memcpy(owner + labels.len, end->owner_name.ptr, end->owner_name.len);
    struct rr_place place = { bytes_of(owner, labels.len + end->owner_name.len), (uint16_t)w->len, 0 };
    size_t first, start = w->len;
    enum err err = place.owner_name.len > NAME_MAX_LEN ? ERR_BAD : put_first(w, rr->wire, labels, end, &first);
    if (err == OK && rr->count > 1)
        err = rrset_place(w, bytes_of(rr->wire.ptr + first, rr->wire.len - first), rr->count - 1u, &place);
    if (err == OK && rr->sigs > 0)
        err = rrset_place(w, rr->sig_wire, rr->sigs, &place);
    if (err != OK) {
        w->len = start;
        w->full = false;
    }
    return err;
}

/* Of a record whose owner is some labels (without end) and the subject's last `shared` ones. */
static enum err put_record(const struct prover *v, const struct rrset *rr, struct bytes labels, unsigned shared)
{
    struct proofs *p = v->p;
    for (unsigned i = 0; i < p->records; i++)
        if (bytes_equal(p->record[i], rr->wire))
            return OK;
    struct rr_place end = section_place(v->r, v->s, shared);
    enum err err;
    if (labels.len == 0) {
        err = section_put(v->r, SECTION_AUTHORITY, rr, &end);
    } else if ((err = put_elsewhere(&v->r->w, rr, labels, &end)) == OK) {
        v->r->ns = (uint16_t)(v->r->ns + rr->count + rr->sigs);
    }
    if (err == ERR_NOSPACE)
        v->r->tc = v->r->bound = true;
    if (err == OK && p->records < PROOF_RECORDS)
        p->record[p->records++] = rr->wire;
    return err;
}

/* --- the names that proofs are about ---------------------------------------------------------------------------- */
static struct bytes ancestor(const struct prover *v, unsigned depth)
{
    struct bytes name = v->s->name;
    for (unsigned i = depth; i < v->s->key.labels; i++)
        name = name_parent(name);
    return name;
}

/* The ancestor, in lower case, with a "*" in front when it is the wildcard there that is meant. */
static struct bytes lower_name(const struct prover *v, unsigned depth, bool wildcard, uint8_t buf[NAME_MAX_LEN + 2])
{
    struct wr w = wr_over(buf, NAME_MAX_LEN + 2);
    if (wildcard)
        wr_put(&w, "\1*", 2);
    wr_bytes(&w, ancestor(v, depth));
    name_lower(buf, w.len);
    return wr_done(&w);
}

/* --- NSEC ------------------------------------------------------------------------------------------------------- */
/* How the owner of a record stands to the subject: some labels of its own, and then the subject's last `shared` ones. */
struct owner_name { unsigned shared; struct bytes labels; uint8_t buf[NAME_MAX_LEN]; };

static enum err nsec_owner(const struct prover *v, const struct nsec_record *found, struct owner_name *out)
{
    struct bytes owner = bytes_of(found->key, found->owner_len);
    out->shared = rrkey_common(&v->s->key, owner);
    size_t from = v->s->key.at[out->shared];
    out->labels = bytes_of(out->buf, rrkey_owner_name(owner, from, out->buf));
    return out->labels.len == 0 && from + 1 < owner.len ? ERR_BAD : OK;
}

static enum err put_nsec(const struct prover *v, const struct rrkey *k, unsigned depth, const struct entry *before)
{
    struct nsec_record found;
    struct owner_name owner;
    enum err err = nsec_find(v->l, k, depth, v->apex, before, &found);
    if (err != OK)
        return err == ERR_NOTFOUND ? OK : err;  /* the zone is signed in part only: what there is was sent */
    err = nsec_owner(v, &found, &owner);
    return err != OK ? err : put_record(v, &found.rr, owner.labels, owner.shared);
}

/* The NSEC's owner is there, and of the subject nothing below the encloser: so it shares the same labels with each such name. */
static enum err put_nsec_wildcard(const struct prover *v, unsigned encloser)
{
    const struct denial *known = zones_denial(v->l, &v->s->key, v->apex, encloser);
    uint8_t buf[NAME_MAX_LEN + 2];
    struct nsec_record found;
    struct owner_name owner;
    struct rrkey k;
    if (known != NULL)
        return put_record(v, &known->rr, bytes_of(known->labels, known->labels_len), known->shared);
    if (rrkey_of_name(lower_name(v, encloser, true, buf), &k) != OK)
        return ERR_BAD;
    enum err err = nsec_find(v->l, &k, k.labels, v->apex, NULL, &found);
    if (err != OK)
        return err == ERR_NOTFOUND ? OK : err;
    if ((err = nsec_owner(v, &found, &owner)) != OK)
        return err;
    if (owner.shared <= encloser)
        zones_note_denial(v->l, &v->s->key, v->apex, encloser, owner.labels, owner.shared, &found.rr);
    return put_record(v, &found.rr, owner.labels, owner.shared);
}

/* --- NSEC3 ------------------------------------------------------------------------------------------------------ */
static enum err find_nsec3(const struct prover *v, unsigned depth, bool wildcard, struct nsec3_record *out)
{
    const struct zone_nsec3 *param = &v->zone->nsec3;
    uint8_t buf[NAME_MAX_LEN + 2];
    v->p->rounds += param->iterations + 1u;
    if (v->p->rounds > NSEC3_ROUNDS_MAX)
        return ERR_LIMIT;
    struct nsec3_hash h = nsec3_hash(param, lower_name(v, depth, wildcard, buf));
    return nsec3_find(v->l, &v->s->key, v->apex, param, &h, out);
}

static enum err put_nsec3_record(const struct prover *v, const struct nsec3_record *found)
{
    uint8_t label[NSEC3_LABEL_LEN];
    nsec3_label(found->owner.b, label);
    return put_record(v, &found->rr, bytes_of(label, sizeof label), v->apex);
}

static enum err put_nsec3(const struct prover *v, unsigned depth, bool wildcard)
{
    struct nsec3_record found;
    enum err err = find_nsec3(v, depth, wildcard, &found);
    return err == OK ? put_nsec3_record(v, &found) : err == ERR_NOTFOUND ? OK : err;
}

/* The closest encloser, or with opt-out the closest that has a record, and the next closer name. *encloser: its labels. */
static enum err put_encloser(const struct prover *v, unsigned *encloser)
{
    struct nsec3_record found;
    for (unsigned depth = *encloser + 1; depth-- > v->apex;) {
        enum err err = find_nsec3(v, depth, false, &found);
        if (err != OK)
            return err == ERR_NOTFOUND ? OK : err;
        if (!found.matches)
            continue;
        *encloser = depth;
        err = put_nsec3_record(v, &found);
        return err != OK ? err : put_nsec3(v, depth + 1, false);
    }
    return OK;                                  /* not even the apex: the chain is broken */
}

/* The name exists, without what was asked for; so does a cut without DS. */
static enum err put_nsec3_match(const struct prover *v, unsigned depth)
{
    struct nsec3_record found;
    unsigned above = depth - 1;
    enum err err = find_nsec3(v, depth, false, &found);
    if (err != OK)
        return err == ERR_NOTFOUND ? OK : err;
    return found.matches || depth == v->apex ? put_nsec3_record(v, &found) : put_encloser(v, &above);
}

static enum err put_by_nsec3(const struct prover *v, const struct finding *f)
{
    unsigned encloser = f->owner;
    if (f->what == FOUND_REFERRAL)
        return put_nsec3_match(v, f->owner);
    if (f->what == FOUND_NODATA && !f->wildcard)
        return put_nsec3_match(v, v->s->key.labels);
    enum err err = put_encloser(v, &encloser);
    return err != OK ? err : put_nsec3(v, encloser, true);
}

static enum err put_by_nsec(const struct prover *v, const struct finding *f)
{
    const struct rrkey *k = &v->s->key;
    bool referral = f->what == FOUND_REFERRAL;
    enum err err = put_nsec(v, k, referral ? f->owner : k->labels, referral ? NULL : &f->before);
    if (err == OK && (f->wildcard || f->what == FOUND_NXDOMAIN))
        err = put_nsec_wildcard(v, f->owner);
    return err;
}

/* --- what is called --------------------------------------------------------------------------------------------- */
MUST_USE enum err proof_put(struct reply *r, struct lookup *l, const struct subject *s, const struct finding *f)
{
    const struct prover v = { r->proofs, r, l, s, f->header, f->zone };
    if (!r->q.dnssec_ok || !proves(f->header))
        return OK;
    return f->header->has_nsec3 ? put_by_nsec3(&v, f) : put_by_nsec(&v, f);
}

void proof_note(struct reply *r, const struct subject *s, const struct finding *f)
{
    struct proofs *p = r->proofs;
    if (f->wildcard && r->q.dnssec_ok && proves(f->header) && p->notes < sizeof p->note / sizeof p->note[0])
        p->note[p->notes++] = (struct proof_note){ s->name, s->at, f->zone, f->owner, f->before };
}

static enum err put_noted(struct reply *r, struct lookup *l, const struct proof_note *n)
{
    struct subject s = { .name = n->name, .at = n->at };
    enum err err = rrkey_of_name(s.name, &s.key);
    if (err != OK)
        return err;
    const struct zone_entry *zone = zones_get(l, &s.key, n->zone);
    if (zone == NULL)
        return ERR_BAD;
    const struct prover v = { r->proofs, r, l, &s, zone, n->zone };
    return zone->has_nsec3 ? put_nsec3(&v, n->encloser + 1, false) : put_nsec(&v, &s.key, s.key.labels, &n->before);
}

MUST_USE enum err proof_put_noted(struct reply *r, struct lookup *l)
{
    struct proofs *p = r->proofs;
    enum err err = OK;
    for (unsigned i = 0; i < p->notes && err == OK; i++)
        err = put_noted(r, l, &p->note[i]);
    p->notes = 0;
    return err;
}
