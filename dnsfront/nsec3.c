/* The functions of one block that need no memory are old ones for OpenSSL 3; those that took their place allocate. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "dnsfront/nsec3.h"

#include <openssl/sha.h>

#define OTHER_CHAINS 16             /* records of another chain (a roll-over of the parameters) that are passed over */

static void hash_round(struct bytes in, struct bytes salt, uint8_t out[NSEC3_HASH_LEN])
{
    SHA_CTX c;
    (void)SHA1_Init(&c);
    (void)SHA1_Update(&c, in.ptr, in.len);
    if (salt.len > 0)
        (void)SHA1_Update(&c, salt.ptr, salt.len);
    (void)SHA1_Final(out, &c);
}

struct nsec3_hash nsec3_hash(const struct zone_nsec3 *param, struct bytes name)
{
    struct nsec3_hash h;
    hash_round(name, param->salt, h.b);
    for (unsigned i = 0; i < param->iterations; i++)
        hash_round(bytes_of(h.b, sizeof h.b), param->salt, h.b);
    return h;
}

/* --- the chain -------------------------------------------------------------------------------------------------- */
struct chain_place {                /* where the zone's NSEC3 begin, and whose parameters count */
    struct lookup *l;
    uint8_t key[RRKEY_SHADOW_MAX + NSEC3_HASH_LEN];
    size_t prefix;
    const struct zone_nsec3 *param;
};

static bool in_chain(const struct chain_place *c, struct bytes key)
{
    return key.len == c->prefix + NSEC3_HASH_LEN && memcmp(key.ptr, c->key, c->prefix) == 0;
}

/* OK: the entry is of the chain. ERR_NOTFOUND: of one with other parameters. */
static enum err read_record(const struct chain_place *c, const struct entry *e, struct nsec3_record *out)
{
    struct blob blob;
    enum err err = blob_read(e->value, &blob);
    if (err != OK || blob.rr[0].type != TYPE_NSEC3)
        return ERR_BAD;
    struct rd r = rd_over(blob.rr[0].wire);
    (void)rd_take(&r, 12);                      /* owner pointer, type, class, TTL, length */
    uint8_t algorithm = rd_u8(&r);
    (void)rd_u8(&r);                            /* flags */
    uint16_t iterations = rd_u16(&r);
    struct bytes salt = rd_take(&r, rd_u8(&r));
    if (r.bad)
        return ERR_BAD;
    out->rr = blob.rr[0];
    memcpy(out->owner.b, e->key.ptr + c->prefix, NSEC3_HASH_LEN);
    return algorithm == c->param->algorithm && iterations == c->param->iterations && bytes_equal(salt, c->param->salt)
               ? OK : ERR_NOTFOUND;
}

/* The last record of the chain before the cursor's place. ERR_NOTFOUND: none before it, or none near. */
static enum err last_before(const struct chain_place *c, struct nsec3_record *out)
{
    struct entry e;
    for (int left = OTHER_CHAINS; left > 0; left--) {
        enum err err = cursor_prev(c->l->cursor, &e);
        if (err != OK || !in_chain(c, e.key))
            return err == OK ? ERR_NOTFOUND : err;
        if ((err = read_record(c, &e, out)) != ERR_NOTFOUND)
            return err;
    }
    return ERR_NOTFOUND;
}

/* The last record of the zone: it covers what comes before the first. */
static enum err last_of_all(struct chain_place *c, struct nsec3_record *out)
{
    struct entry e;
    c->key[c->prefix - 1]++;                    /* the slot behind NSEC3's */
    enum err err = lookup_seek(c->l, STEP_PROOF, bytes_of(c->key, c->prefix), &e);
    c->key[c->prefix - 1]--;
    return err == OK || err == ERR_NOTFOUND ? last_before(c, out) : err;
}

MUST_USE enum err nsec3_find(struct lookup *l, const struct rrkey *k, unsigned zone, const struct zone_nsec3 *param,
                             const struct nsec3_hash *h, struct nsec3_record *out)
{
    struct chain_place c;       /* its key is written below, as far as it is read */
    struct entry e;
    c.l = l;
    c.param = param;
    c.prefix = rrkey_at(k, zone, TYPE_NSEC3, c.key);
    memcpy(c.key + c.prefix, h->b, NSEC3_HASH_LEN);
    stat_add(&l->counts->steps[STEP_PROOF], 1);
    *out = (struct nsec3_record){ .matches = false };
    if (c.prefix + NSEC3_HASH_LEN > RRKEY_SHADOW_MAX)
        return ERR_NOTFOUND;                    /* no such zone has NSEC3 */
    enum err err = lookup_seek(l, STEP_PROOF, bytes_of(c.key, c.prefix + NSEC3_HASH_LEN), &e);
    if (err == OK && bytes_equal(e.key, bytes_of(c.key, c.prefix + NSEC3_HASH_LEN))
        && (err = read_record(&c, &e, out)) != ERR_NOTFOUND) {
        out->matches = err == OK;
        return err;
    }
    if (err != OK && err != ERR_NOTFOUND)
        return err;
    if ((err = last_before(&c, out)) == ERR_NOTFOUND)
        err = last_of_all(&c, out);
    return err;
}
