/* Everything that a stored value must be: what `azoth verify` says about it. Each RRset is taken apart and written again;
 * the bytes must come out the same, which checks owner pointers, class, TTLs, lengths, compression and MessagePack at once. */
#include "rrset/rrkey.h"
#include "rrset/rrwire.h"

struct check {
    struct arena arena;
    struct fault *fault;
    struct bytes owner;             /* of the RRset at hand */
};

static enum err bad(const struct check *c, const char *what)
{
    return fault_set(c->fault, ERR_BAD, "%s", what);
}

/* --- RDATA -------------------------------------------------------------------------------------------------------- */
static bool rdata_fits(uint16_t type, struct bytes rdata)
{
    struct rdata_shape shape;
    struct rd r = rd_over(rdata);
    if (type == TYPE_A || type == TYPE_AAAA)
        return rdata.len == (type == TYPE_A ? 4 : 16);
    if (!rrtype_shape(type, &shape))
        return true;
    (void)rd_take(&r, shape.skip);
    for (unsigned i = 0; i < shape.strings; i++)
        (void)rd_take(&r, rd_u8(&r));
    for (unsigned i = 0; i < shape.names; i++) {
        struct bytes name;
        if (r.bad || name_read(&r, &name) != OK)
            return false;
    }
    if (r.bad)
        return false;
    if (type == TYPE_RRSIG || shape.skip == 18)
        return rd_left(&r) > 0;
    return rd_left(&r) == (type == TYPE_SOA ? 20 : 0);
}

/* The RDATA of one wire, expanded into the arena. *ttl: of the first RR; that the others have it too, writing again shows. */
static enum err collect(struct check *c, struct bytes wire, unsigned count, uint16_t type, struct bytes **out, uint32_t *ttl)
{
    uint8_t buf[65535];
    struct rr_iter it;
    struct rr rr;
    enum err err;
    size_t n = 0;
    struct bytes *rdata = arena_take(&c->arena, count * sizeof *rdata);
    if (rdata == NULL)
        return ERR_NOMEM;
    rr_iter_init(&it, c->owner, wire, count);
    while ((err = rr_iter_next(&it, buf, sizeof buf, &rr)) == OK) {
        if (rr.type != type)
            return bad(c, "an RR has another type than its RRset");
        if (!rdata_fits(type, rr.rdata))
            return bad(c, "RDATA breaks the form of its type");
        rdata[n] = arena_copy(&c->arena, rr.rdata);
        if (rdata[n].ptr == NULL)
            return ERR_NOMEM;
        if (n > 0 && bytes_compare(rdata[n - 1], rdata[n]) >= 0)
            return bad(c, "RRs are not in order, or twice there");
        if (n++ == 0)
            *ttl = rr.ttl;
    }
    if (err != ERR_NOTFOUND)
        return bad(c, "the wire form does not hold as many RRs as the count says, or a broken one");
    *out = rdata;
    return OK;
}

/* --- one rrset element -------------------------------------------------------------------------------------------- */
static enum err check_written(struct check *c, struct bytes element, const struct rrset_in *in, bool compress)
{
    uint8_t *again = arena_take(&c->arena, element.len);
    struct wr w = wr_over(again, element.len);
    if (again == NULL)
        return ERR_NOMEM;
    enum err err = rrset_write(&w, c->owner, in, compress, &c->arena);
    if (err == ERR_NOMEM)
        return err;
    if (err == ERR_LIMIT)
        return bad(c, "no message holds this RRset");
    /* the array's head differs when a newer version added elements; it is one byte in both */
    if (err != OK || !bytes_starts(bytes_of(element.ptr + 1, element.len - 1), bytes_of(again + 1, w.len - 1)))
        return bad(c, "an RRset is not in the form that it is written in");
    return OK;
}

/* The element at the cursor, for c->owner. */
static enum err check_rrset(struct check *c, struct rd *r, bool compress, struct rrset *out)
{
    const uint8_t *start = r->p;
    struct rrset_in in = { 0 };
    struct bytes *rdata = NULL, *sigs = NULL;
    enum err err = rrset_read(r, out);
    if (err != OK)
        return err;
    if ((err = collect(c, out->wire, out->count, out->type, &rdata, &in.ttl)) != OK)
        return err;
    if (out->count > 1 && (out->type == TYPE_CNAME || out->type == TYPE_DNAME || out->type == TYPE_SOA))
        return bad(c, "more than one RR of a type that allows one");
    if (out->sigs > 0 && (err = collect(c, out->sig_wire, out->sigs, TYPE_RRSIG, &sigs, &in.sig_ttl)) != OK)
        return err;
    for (size_t i = 0; i < out->sigs; i++) {
        struct rd covered = rd_over(sigs[i]);
        if (rd_u16(&covered) != out->type)
            return bad(c, "a signature covers another type");
    }
    in.type = out->type;
    in.rdata = rdata;
    in.n = out->count;
    in.sigs = sigs;
    in.sigs_n = out->sigs;
    return check_written(c, bytes_of(start, (size_t)(r->p - start)), &in, compress);
}

/* --- below -------------------------------------------------------------------------------------------------------- */
/* *name: the entry's whole name. */
static enum err check_relname(struct check *c, struct bytes relname, struct bytes owner, struct name *name)
{
    struct bytes whole;
    if (name_join(relname, owner, name) != OK)
        return bad(c, "a name below is too long");
    struct rd r = rd_over(name_bytes(name));
    if (name_read(&r, &whole) != OK || !rd_done(&r) || !name_is_lower(relname))
        return bad(c, "a name below is malformed");
    return OK;
}

static enum err check_entry(struct check *c, struct rd *r, const struct name *name, bool at_owner)
{
    uint32_t elements = msg_array(r), last = 0;
    (void)msg_bin(r);
    (void)msg_uint(r);
    c->owner = name_bytes(name);
    for (uint32_t i = 2; i < elements; i++) {
        struct rrset rr;
        enum err err = check_rrset(c, r, false, &rr);
        if (err != OK)
            return err;
        if (rr.type <= last || rrtype_is_meta(rr.type) || (at_owner && rr.type == TYPE_NS))
            return bad(c, "types below are out of order or do not belong there");
        last = rr.type;
    }
    return OK;
}

static enum err check_below(struct check *c, const struct blob *b, struct bytes owner)
{
    struct rd r = rd_over(b->below);
    struct name last = { 0 };
    bool is_ns = b->rr[0].type == TYPE_NS;
    for (unsigned i = 0; i < b->below_n; i++) {
        struct rd at = r;
        struct below entry;
        struct name name;
        enum err err = below_read(&r, &entry);
        if (err != OK || (err = check_relname(c, entry.relname, owner, &name)) != OK)
            return err;
        if (i > 0 && name_compare(name_bytes(&last), name_bytes(&name)) >= 0)
            return bad(c, "names below are out of order");
        if (!is_ns && entry.relname.len == 0)
            return bad(c, "data of the owner itself among what is below a DNAME");
        if (entry.ns_offset != (is_ns ? rrset_ns_offset(b->rr[0].wire, owner, name_bytes(&name)) : 0))
            return bad(c, "the NS offset of a name below is wrong");
        if ((err = check_entry(c, &at, &name, entry.relname.len == 0)) != OK)
            return err;
        last = name;
    }
    return rd_left(&r) == 0 && !r.bad ? OK : ERR_BAD;
}

/* --- flags and slot ----------------------------------------------------------------------------------------------- */
struct place_in_zone { uint16_t slot; unsigned labels, apex_labels; bool shadow; };    /* apex_labels: for shadow keys */

static enum err check_flags(const struct check *c, const struct blob *b, const struct place_in_zone *at)
{
    unsigned depth = blob_depth(b->flags), bits = b->flags & 15;
    bool parents = at->slot == RRSLOT_PARENT_NS || at->slot == RRSLOT_PARENT_NSEC;
    if (at->shadow)
        return depth == at->apex_labels ? OK : bad(c, "the depth is not that of the key's apex");
    if (depth > at->labels || ((bits & BLOB_APEX) == 0 && depth == at->labels))
        return bad(c, "the flags give a depth that the owner cannot have");
    if ((bits & BLOB_APEX) != 0 && depth < at->labels && !parents && at->slot != TYPE_DS)
        return bad(c, "an apex is not as deep as its owner");
    if (parents && ((bits & BLOB_APEX) == 0 || depth == at->labels))
        return bad(c, "a parent's data where no child's apex is");
    if (at->slot == TYPE_NS && (bits & (BLOB_APEX | BLOB_CUT)) == 0)
        return bad(c, "NS without the flag apex or cut");
    if (at->slot == TYPE_DNAME && (bits & BLOB_DNAME) == 0)
        return bad(c, "DNAME without its flag");
    if (at->slot == TYPE_NSEC3 && (bits & BLOB_APEX) == 0)
        return bad(c, "NSEC3 under an owner that is no apex");
    if (at->slot == RRSLOT_ADDRESS && ((bits & BLOB_ALIAS) != 0) != (b->rr[0].type == TYPE_CNAME))
        return bad(c, "the flag alias does not fit the address group");
    return OK;
}

static enum err check_types(const struct check *c, const struct blob *b, const struct place_in_zone *at)
{
    uint16_t first = b->rr[0].type, second = b->n > 1 ? b->rr[1].type : 0;
    bool ok;
    if (at->slot == RRSLOT_ADDRESS)
        ok = b->n == 1 ? rrslot_of(first) == RRSLOT_ADDRESS : first == TYPE_A && second == TYPE_AAAA;
    else if (at->slot == RRSLOT_PARENT_NS)
        ok = b->n == 1 && first == TYPE_NS;
    else if (at->slot == RRSLOT_PARENT_NSEC)
        ok = b->n == 1 && first == TYPE_NSEC;
    else
        ok = b->n == 1 && first == at->slot && !rrtype_is_meta(first) && rrslot_of(first) == first;
    if (!ok)
        return bad(c, "a type that does not belong to the slot");
    if (b->below_n == 0 || first == TYPE_DNAME || at->slot == RRSLOT_PARENT_NS || (first == TYPE_NS && at->shadow) ||
        (first == TYPE_NS && (b->flags & BLOB_CUT) != 0))
        return OK;
    return bad(c, "data below an owner that is neither cut nor DNAME");
}

static enum err check_blob(struct check *c, struct bytes value, const struct place_in_zone *at)
{
    struct bytes owner = c->owner;
    struct rd r = rd_over(value);
    struct blob b;
    struct rrset rr;
    enum err err = blob_read(value, &b);
    if (err != OK)
        return err;
    if ((err = check_types(c, &b, at)) != OK || (err = check_flags(c, &b, at)) != OK)
        return err;
    (void)msg_array(&r);
    (void)msg_uint(&r);
    for (unsigned i = 0; i < b.n; i++)
        if ((err = check_rrset(c, &r, true, &rr)) != OK)
            return err;
    return check_below(c, &b, owner);
}

/* --- zone header -------------------------------------------------------------------------------------------------- */
static enum err check_zone_soa(struct check *c, struct bytes value)
{
    struct rd r = rd_over(value);
    struct rrset soa;
    (void)msg_array(&r);
    for (unsigned i = 0; i < 4; i++)
        (void)msg_uint(&r);
    enum err err = check_rrset(c, &r, true, &soa);
    if (err != OK)
        return err;
    if (soa.type != TYPE_SOA)
        return bad(c, "the zone header holds another type than SOA");
    struct rd ttl = rd_over(bytes_of(soa.wire.ptr + 6, 4)), minimum = rd_over(bytes_of(soa.wire.ptr + soa.wire.len - 4, 4));
    return rd_u32(&ttl) <= rd_u32(&minimum) ? OK : bad(c, "the SOA for negative answers has a TTL above MINIMUM");
}

static enum err check_zone_header(struct check *c, struct bytes value, const struct place_in_zone *at)
{
    struct zone_header h;
    enum err err = zone_header_read(value, &h);
    if (err != OK)
        return err;
    if ((h.flags & BLOB_APEX) == 0 || blob_depth(h.flags) != at->labels)
        return bad(c, "the zone header does not stand at its apex");
    if ((h.bits & ~(uint32_t)(ZONE_HAS_WILDCARD | ZONE_HAS_NSEC | ZONE_HAS_DNAME)) != 0)
        return bad(c, "unknown bits in the zone header");
    if (h.has_soa != (h.state != ZONE_EMPTY))
        return bad(c, "SOA and state of the zone header do not fit");
    return h.has_soa ? check_zone_soa(c, value) : OK;
}

MUST_USE enum err blob_check(struct bytes key, struct bytes value, struct fault *fault)
{
    struct check c = { .fault = fault };
    struct rrkey_parts parts;
    struct place_in_zone at = { 0 };
    struct name owner;
    enum err err;
    if ((err = rrkey_split(key, &parts)) != OK || (err = rrkey_name(key, &owner, &at.slot)) != OK)
        return fault_set(fault, err, "the key is malformed");
    if (fault != NULL)
        fault->text[0] = '\0';
    arena_init(&c.arena);
    c.owner = name_bytes(&owner);
    at.labels = name_labels(c.owner);
    at.apex_labels = parts.labels;
    at.shadow = parts.slot == RRSLOT_SHADOW;
    if (at.shadow && (at.slot == TYPE_NSEC3 || (at.slot >= RRSLOT_ZONE && at.slot <= RRSLOT_PRIVATE_LAST)))
        err = bad(&c, "a slot that does not belong inside a shadow key");
    else if (at.slot == RRSLOT_ZONE)
        err = check_zone_header(&c, value, &at);
    else
        err = check_blob(&c, value, &at);
    arena_release(&c.arena);
    if (err != OK && fault != NULL && fault->text[0] == '\0')
        return fault_set(fault, err, "the value: %s", err_text(err));
    return err;
}
