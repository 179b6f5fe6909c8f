/* Records to blobs: which RRset stands under which key, with which flags. rrset/ writes the bytes. */
#include "builder/build.h"
#include "builder/rdata.h"

#include <stdio.h>
#include <stdlib.h>

#define VALUE_CAP (BLOB_MAX + (size_t)4 * 65536)    /* room to see that a blob is over its limit */
#define AHEAD 8
#define SAME_MOST 2000                              /* RRs compared pair by pair, ignoring the case of names */

static const char *text_of(char *out, const struct owner *o) { return name_text(out, NAME_TEXT_MAX, o->name); }

static uint32_t line_of(const struct layout *l, size_t at) { return l->z->rr[at].line; }

/* --- one RRset ------------------------------------------------------------------------------------------------ */
static enum err room_for(struct bytes **list, size_t *cap, size_t n)
{
    if (n <= *cap)
        return OK;
    struct bytes *grown = realloc(*list, (n + 64) * 2 * sizeof *grown);
    if (grown == NULL)
        return ERR_NOMEM;
    *list = grown;
    *cap = (n + 64) * 2;
    return OK;
}

/* Sorted, without duplicates, also such that differ in the case of a name only. */
static size_t without_twins(uint16_t type, struct bytes *rdata, size_t n)
{
    struct rdata_shape shape;
    if (n < 2)
        return n;
    n = rrset_sort(rdata, n);
    if (n < 2 || n > SAME_MOST || !rrtype_shape(type, &shape))
        return n;
    size_t kept = 1;
    for (size_t i = 1; i < n; i++) {
        bool twin = false;
        for (size_t k = 0; k < kept && !twin; k++)
            twin = rdata_same(type, rdata[k], rdata[i]);
        if (!twin)
            rdata[kept++] = rdata[i];
    }
    return kept;
}

static uint16_t covered(struct bytes rrsig)
{
    struct rd r = rd_over(rrsig);
    return rd_u16(&r);
}

static enum err collect_sigs(struct layout *l, const struct owner *o, uint16_t type, struct rrset_in *in)
{
    const struct zone_rr *rr = l->z->rr;
    if ((o->has & HAS_RRSIG) == 0)
        return OK;
    enum err err = room_for(&l->sigs, &l->sigs_cap, o->n);
    if (err != OK)
        return err;
    size_t n = 0;
    for (size_t i = o->first; i < o->first + o->n; i++) {
        if (rr[i].type != TYPE_RRSIG || covered(rr[i].rdata) != type)
            continue;
        l->sigs[n++] = rr[i].rdata;
    }
    in->sigs_n = without_twins(TYPE_RRSIG, l->sigs, n);
    in->sigs = l->sigs;
    in->sig_ttl = in->ttl;                                      /* as it must be (RFC 4034 section 3), whatever the file says */
    return OK;
}

static enum err put_rrset(struct layout *l, struct wr *w, const struct owner *o, const struct rrset_in *in,
                          uint32_t line, bool compress)
{
    char text[NAME_TEXT_MAX];
    enum err err = rrset_write(w, o->name, in, compress, &l->scratch);
    if (err == ERR_LIMIT)
        complain_error(l->c, line, "RRset of type %u at %s fits into no message", in->type, text_of(text, o));
    else if (err == ERR_BAD)
        complain_error(l->c, line, "RDATA of type %u at %s is malformed", in->type, text_of(text, o));
    if (err == ERR_LIMIT || err == ERR_BAD)
        return ERR_REFUSED;
    return err == ERR_NOSPACE ? OK : err;                       /* w is full: keep() will see that */
}

enum err layout_rrset(struct layout *l, struct wr *w, const struct owner *o, size_t from, size_t to, bool compress)
{
    const struct zone_rr *rr = l->z->rr;
    struct rrset_in in = { .type = rr[from].type, .ttl = rr[from].ttl };
    bool differ = false;
    enum err err = room_for(&l->rdata, &l->rdata_cap, to - from);
    if (err != OK)
        return err;
    for (size_t i = from; i < to; i++) {
        differ |= rr[i].ttl != rr[from].ttl;
        in.ttl = rr[i].ttl < in.ttl ? rr[i].ttl : in.ttl;
        l->rdata[i - from] = rr[i].rdata;
    }
    in.n = without_twins(in.type, l->rdata, to - from);
    in.rdata = l->rdata;
    if (differ) {
        char text[NAME_TEXT_MAX];
        complain_warning(l->c, line_of(l, from), "TTLs differ in the RRset of type %u at %s: %u is taken", in.type,
                         text_of(text, o), in.ttl);
    }
    err = collect_sigs(l, o, in.type, &in);
    return err != OK ? err : put_rrset(l, w, o, &in, line_of(l, from), compress);
}

bool layout_skips(const struct owner *o, uint16_t type) { return o->hashed && type == TYPE_NSEC3; }

/* A signature over a type that is not at its owner. */
static bool is_orphan(const struct layout *l, const struct owner *o, const struct zone_rr *rr)
{
    uint16_t type = covered(rr->rdata);
    return rr->type == TYPE_RRSIG && (type == TYPE_RRSIG || !owner_has_type(l->z, o, type));
}

bool layout_has_orphans(const struct layout *l, const struct owner *o)
{
    for (size_t i = o->first; i < o->first + o->n && (o->has & HAS_RRSIG) != 0; i++)
        if (is_orphan(l, o, &l->z->rr[i]))
            return true;
    return false;
}

enum err layout_orphans(struct layout *l, struct wr *w, const struct owner *o, bool compress)
{
    const struct zone_rr *rr = l->z->rr;
    struct rrset_in in = { .type = TYPE_RRSIG, .ttl = UINT32_MAX };
    enum err err = room_for(&l->rdata, &l->rdata_cap, o->n);
    if (err != OK)
        return err;
    for (size_t i = o->first; i < o->first + o->n; i++) {
        if (is_orphan(l, o, &rr[i])) {
            in.ttl = rr[i].ttl < in.ttl ? rr[i].ttl : in.ttl;
            l->rdata[in.n++] = rr[i].rdata;
        }
    }
    in.n = without_twins(in.type, l->rdata, in.n);
    in.rdata = l->rdata;
    return put_rrset(l, w, o, &in, line_of(l, o->first), compress);
}

/* --- keys and flags ------------------------------------------------------------------------------------------- */
static bool is_apex(const struct layout *l, const struct owner *o) { return o->labels.len == l->apex.at[l->depth]; }
static bool is_cut(const struct layout *l, const struct owner *o) { return (o->has & HAS_NS) != 0 && !is_apex(l, o); }

static unsigned bits_of(const struct layout *l, const struct owner *o)
{
    if (is_apex(l, o))
        return l->apex_bits;
    if (is_cut(l, o))
        return BLOB_CUT;
    return (o->has & HAS_DNAME) != 0 ? BLOB_DNAME : (o->has & HAS_CNAME) != 0 ? BLOB_ALIAS : 0;
}

/* Where an RRset goes: the key and the flags of its value. */
struct spot { uint8_t key[RRKEY_SHADOW_MAX]; size_t len; uint32_t flags; bool top; };

static void put_key(struct spot *s, struct bytes labels, uint16_t slot)
{
    struct wr w = { s->key, s->len, sizeof s->key, false };
    wr_bytes(&w, labels);
    wr_u8(&w, 0);
    wr_u16(&w, slot);
    s->len = w.len;
}

static void spot_of(const struct layout *l, const struct owner *o, enum place place, const struct hosted *child,
                    uint16_t slot, struct spot *s)
{
    struct bytes apex = bytes_of(l->apex.buf, l->apex.at[l->depth]);
    s->len = 0;
    s->top = false;
    if (place == IN_ZONE) {
        put_key(s, o->labels, slot);
        s->flags = blob_flags(l->depth, bits_of(l, o));
        s->top = is_apex(l, o);
        return;
    }
    if (place == AT_CHILD && (slot == TYPE_NS || slot == TYPE_NSEC || slot == TYPE_DS)) {
        put_key(s, o->labels, slot == TYPE_NS ? RRSLOT_PARENT_NS : slot == TYPE_NSEC ? RRSLOT_PARENT_NSEC : TYPE_DS);
        s->flags = blob_flags(l->depth, child->bits);
        return;
    }
    put_key(s, apex, RRSLOT_SHADOW);
    put_key(s, bytes_of(o->labels.ptr + apex.len, o->labels.len - apex.len), slot);
    s->flags = blob_flags(l->depth, l->apex_bits);
    s->top = true;
}

/* --- blobs ---------------------------------------------------------------------------------------------------- */
static enum err keep(struct layout *l, const struct spot *s, const struct wr *w, const struct owner *o)
{
    if (w->full || w->len > BLOB_MAX) {
        char text[NAME_TEXT_MAX];
        complain_error(l->c, line_of(l, o->first), "%s and what lies below it take over 1 MiB", text_of(text, o));
        return ERR_REFUSED;
    }
    struct bytes key = arena_copy(l->arena, bytes_of(s->key, s->len)), value = arena_copy(l->arena, wr_done(w));
    if (key.ptr == NULL || value.ptr == NULL)
        return ERR_NOMEM;
    return blobs_add(s->top ? &l->top : &l->main, key, value);
}

/* The wire of the RRset written at `from`. */
static struct bytes wire_at(const struct wr *w, size_t from)
{
    struct rd r = rd_over(bytes_of(w->buf + from, w->len - from));
    (void)msg_array(&r);
    (void)msg_uint(&r);
    return msg_bin(&r);
}

/* A cut or DNAME with what lies below it: owners i .. j. */
static enum err put_covering(struct layout *l, const struct spot *s, size_t i, size_t j, size_t from, size_t to)
{
    const struct owner *o = &l->owners->v[i];
    bool cut = l->z->rr[from].type == TYPE_NS;
    struct wr w = wr_over(l->buf, VALUE_CAP);
    unsigned below = below_count(l, i, j, cut);
    msg_put_array(&w, below > 0 ? 4 : 2);
    msg_put_uint(&w, s->flags);
    size_t at = w.len;
    enum err err = layout_rrset(l, &w, o, from, to, true);
    if (err == OK && below > 0 && !w.full)
        err = below_write(l, &w, i, j, cut ? wire_at(&w, at) : (struct bytes){ 0 }, below);
    return err != OK ? err : keep(l, s, &w, o);
}

/* One RRset, or A and AAAA together when a second run follows. */
static enum err put_plain(struct layout *l, const struct spot *s, const struct owner *o, size_t from, size_t to,
                          size_t second_to)
{
    struct wr w = wr_over(l->buf, VALUE_CAP);
    msg_put_array(&w, second_to > to ? 3 : 2);
    msg_put_uint(&w, s->flags);
    bool orphans = l->z->rr[from].type == TYPE_RRSIG;
    enum err err = orphans ? layout_orphans(l, &w, o, true) : layout_rrset(l, &w, o, from, to, true);
    if (err == OK && second_to > to)
        err = layout_rrset(l, &w, o, to, second_to, true);
    return err != OK ? err : keep(l, s, &w, o);
}

static enum err put_hashed(struct layout *l, const struct owner *o)
{
    struct spot s = { .flags = blob_flags(l->depth, l->apex_bits), .top = true };
    size_t from = o->first;
    put_key(&s, bytes_of(l->apex.buf, l->apex.at[l->depth]), TYPE_NSEC3);
    memcpy(s.key + s.len, o->hash, NSEC3_HASH_LEN);
    s.len += NSEC3_HASH_LEN;
    while (l->z->rr[from].type != TYPE_NSEC3)
        from++;
    return put_plain(l, &s, o, from, run_end(l->z, o, from), 0);
}

/* --- owners --------------------------------------------------------------------------------------------------- */
static void note_bits(struct layout *l, const struct owner *o)
{
    const uint8_t *p = o->labels.ptr + l->apex.at[l->depth], *end = o->labels.ptr + o->labels.len;
    for (const uint8_t *at = p; (at = memchr(at, '*', (size_t)(end - at))) != NULL; at++)
        if ((at == p || at[-1] == 0) && at[1] == 0)             /* also above an owner: an empty one matches (RFC 4592) */
            l->bits |= ZONE_HAS_WILDCARD;
    if ((o->has & HAS_NSEC) != 0)
        l->bits |= ZONE_HAS_NSEC;
    if ((o->has & HAS_DNAME) != 0 && !is_cut(l, o))
        l->bits |= ZONE_HAS_DNAME;
}

static bool below_takes(const struct layout *l, const struct owner *o, uint16_t type)
{
    return is_cut(l, o) && type != TYPE_NS && type != TYPE_DS && type != TYPE_NSEC;
}

/* The run [from, to) of owner i; *to moves on when it takes the next run along. */
static enum err lay_run(struct layout *l, size_t i, size_t j, enum place place, const struct hosted *child, size_t from,
                        size_t *to)
{
    const struct owner *o = &l->owners->v[i];
    uint16_t type = l->z->rr[from].type;
    size_t end = o->first + o->n;
    if (layout_skips(o, type) || below_takes(l, o, type) || (type == TYPE_RRSIG && !layout_has_orphans(l, o)))
        return OK;
    if (type == TYPE_NSEC3) {
        char text[NAME_TEXT_MAX];
        complain_error(l->c, line_of(l, from), "NSEC3 at %s: not a hash under the apex", text_of(text, o));
        return ERR_REFUSED;
    }
    struct spot s;
    spot_of(l, o, place, child, rrslot_of(type), &s);
    if ((type == TYPE_NS && is_cut(l, o)) || (type == TYPE_DNAME && !is_cut(l, o)))
        return put_covering(l, &s, i, j, from, *to);
    size_t second = *to;
    if (type == TYPE_A && *to < end && l->z->rr[*to].type == TYPE_AAAA)
        second = run_end(l->z, o, *to);
    enum err err = put_plain(l, &s, o, from, *to, second);
    *to = second;
    return err;
}

/* Owner i, whose subtree ends before j when it is a cut or DNAME. */
static enum err lay_owner(struct layout *l, size_t i, size_t j, enum place place, const struct hosted *child)
{
    const struct owner *o = &l->owners->v[i];
    enum err err = OK;
    note_bits(l, o);
    for (int ds = place == AT_CHILD; ds >= 0; ds--) {           /* at a child's apex DS has the lowest slot: first */
        for (size_t from = o->first, to; from < o->first + o->n && err == OK; from = to) {
            to = run_end(l->z, o, from);
            if (place != AT_CHILD || (l->z->rr[from].type == TYPE_DS) == (ds == 1))
                err = lay_run(l, i, j, place, child, from, &to);
            arena_reset(&l->scratch);
        }
    }
    return err;
}

static enum place place_of(const struct layout *l, const struct owner *o, size_t *ci)
{
    for (; *ci < l->child_n; ++*ci) {
        struct bytes c = l->child[*ci].labels;
        if (bytes_equal(o->labels, c))
            return AT_CHILD;
        if (labels_under(o->labels, c))
            return SHADOWED;
        if (bytes_compare(o->labels, c) < 0)
            break;
    }
    return IN_ZONE;
}

/* Owners come in an order that jumps about in memory: what a later one needs is fetched meanwhile. */
static void fetch_ahead(const struct layout *l, const struct owner *o)
{
    const struct zone_rr *rr = &l->z->rr[o->first];
    __builtin_prefetch(o->labels.ptr);
    __builtin_prefetch(rr->owner.ptr);
    __builtin_prefetch(rr->rdata.ptr);
}

enum err layout_owners(struct layout *l, size_t from, size_t to)
{
    const struct owners *owners = l->owners;
    size_t ci = 0;
    for (size_t i = from, j; i < to; i = j) {
        const struct owner *o = &owners->v[i];
        if (i + AHEAD < to)
            fetch_ahead(l, &owners->v[i + AHEAD]);
        enum place place = is_apex(l, o) ? IN_ZONE : place_of(l, o, &ci);
        j = i + 1;
        if (is_cut(l, o) || (o->has & HAS_DNAME) != 0)
            while (j < owners->n && labels_under(owners->v[j].labels, o->labels))
                j++;
        enum err err = lay_owner(l, i, j, place, place == IN_ZONE ? NULL : &l->child[ci]);
        if (err != OK && err != ERR_REFUSED)
            return err;
    }
    return OK;
}

/* --- the zone header ------------------------------------------------------------------------------------------ */
static const struct zone_rr *at_apex(const struct layout *l, uint16_t type)
{
    const struct owner *o = &l->owners->v[0];
    for (size_t i = o->first; i < o->first + o->n; i++)
        if (l->z->rr[i].type == type)
            return &l->z->rr[i];
    return NULL;
}

/* The SOA for negative answers: as the zone's, with min(TTL, MINIMUM) (RFC 2308 section 3). */
static enum err soa_of(struct layout *l, struct rrset *out)
{
    struct owner *o = &l->owners->v[0];
    const struct zone_rr *soa = at_apex(l, TYPE_SOA);
    struct rrset_in in = { .type = TYPE_SOA, .ttl = soa->ttl, .rdata = &soa->rdata, .n = 1 };
    struct rd minimum = rd_over(bytes_of(soa->rdata.ptr + soa->rdata.len - 4, 4));
    uint32_t most = rd_u32(&minimum);
    uint8_t *buf = arena_take(&l->scratch, RRSET_WIRE_MAX * 2);
    if (buf == NULL)
        return ERR_NOMEM;
    struct wr w = wr_over(buf, RRSET_WIRE_MAX * 2);
    enum err err = room_for(&l->rdata, &l->rdata_cap, o->n);
    if (err != OK)
        return err;
    for (const struct zone_rr *rr = soa; rr < l->z->rr + o->first + o->n && rr->type == TYPE_SOA; rr++) {
        in.ttl = rr->ttl < in.ttl ? rr->ttl : in.ttl;
        l->rdata[(size_t)(rr - soa)] = rr->rdata;
        in.n = (size_t)(rr - soa) + 1;
    }
    in.n = without_twins(TYPE_SOA, l->rdata, in.n);
    in.rdata = l->rdata;
    in.ttl = most < in.ttl ? most : in.ttl;
    if ((err = collect_sigs(l, o, TYPE_SOA, &in)) != OK)
        return err;
    in.sig_ttl = in.ttl;
    msg_put_array(&w, 2);
    msg_put_uint(&w, blob_flags(l->depth, l->apex_bits));
    if ((err = put_rrset(l, &w, o, &in, soa->line, true)) != OK)
        return err;
    struct blob b;
    if ((err = blob_read(wr_done(&w), &b)) == OK)
        *out = b.rr[0];
    return err;
}

static enum err put_header(struct layout *l, enum zone_kind kind)
{
    struct zone_header h = { .flags = blob_flags(l->depth, l->apex_bits), .kind = kind, .state = ZONE_LIVE,
                             .bits = l->bits };
    struct spot s = { .top = true };
    struct wr w = wr_over(l->buf, VALUE_CAP);
    enum err err = soa_of(l, &h.soa);
    if (err != OK)
        return err;
    h.has_soa = true;
    h.has_nsec3 = nsec3_choose(l->z, &l->owners->v[0], l->c, &h.nsec3);
    put_key(&s, bytes_of(l->apex.buf, l->apex.at[l->depth]), RRSLOT_ZONE);
    zone_header_write(&w, &h);
    err = keep(l, &s, &w, &l->owners->v[0]);
    arena_reset(&l->scratch);
    return err;
}

/* --- all of it ------------------------------------------------------------------------------------------------ */
enum err layout_init(struct layout *l, const struct zone *z, const struct owners *o, struct arena *arena,
                     struct complaints *c)
{
    *l = (struct layout){ .z = z, .owners = o, .arena = arena, .c = c };
    arena_init(&l->scratch);
    enum err err = rrkey_of_name(name_bytes(&z->apex), &l->apex);
    if (err != OK)
        return err;
    l->depth = l->apex.labels;
    l->apex_bits = BLOB_APEX;
    if (o->n > 0 && is_apex(l, &o->v[0]) && (o->v[0].has & HAS_DNAME) != 0)
        l->apex_bits |= BLOB_DNAME;
    return (l->buf = malloc(VALUE_CAP)) == NULL ? ERR_NOMEM : OK;
}

void layout_release(struct layout *l)
{
    arena_release(&l->scratch);
    blobs_release(&l->top);
    blobs_release(&l->main);
    free(l->rdata);
    free(l->sigs);
    free(l->stray);
    free(l->stray_line);
    free(l->buf);
}

static enum err join(struct layout *l, struct blobs *out)
{
    blobs_sort(&l->top);
    enum err err = blobs_insert(&l->main, 0, &l->top);
    if (err != OK)
        return err;
    *out = l->main;
    l->main = (struct blobs){ 0 };
    return OK;
}

enum err layout_run(struct layout *l, enum zone_kind kind, bool with_apex, struct crew *crew, struct blobs *out)
{
    unsigned errors = l->c->errors_n;
    enum err err = OK;
    *out = (struct blobs){ 0 };
    for (size_t i = 0; i < l->owners->n && err == OK; i++)
        if (l->owners->v[i].hashed)
            err = put_hashed(l, &l->owners->v[i]);
    if (err == OK)
        err = layout_shares(l, crew);
    if (err == OK && with_apex)
        err = put_header(l, kind);
    if (err == OK && !l->part)
        err = below_warn(l);
    if (err == OK && l->c->errors_n > errors)
        err = ERR_REFUSED;
    return err != OK ? err : join(l, out);
}
