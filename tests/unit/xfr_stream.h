/* Messages of a primary, made record by record: names packed or not, signed or not. */
#ifndef AZOTH_TESTS_UNIT_XFR_STREAM_H
#define AZOTH_TESTS_UNIT_XFR_STREAM_H

#include "builder/rdata.h"
#include "builder/xfrin.h"
#include "builder/zonefile.h"
#include "tests/util.h"
#include "wire/query.h"

#define XFR_ID 0x4711
#define XFR_NAMES 200
struct xfr_message {
    uint8_t buf[65535];
    struct wr w;
    unsigned answers;
    bool packed;
    struct { struct name name; uint16_t at; } seen[XFR_NAMES];
    size_t seen_n;
};

static inline struct name xfr_name(const char *text, struct bytes origin)
{
    struct name n;
    if (name_from_text(bytes_of_text(text), origin, &n) != OK)
        fail_msg("not a name: %s", text);
    return n;
}

static inline void xfr_put_name(struct xfr_message *m, struct bytes name)
{
    for (; name.len > 1 && m->packed; name = name_parent(name)) {
        for (size_t i = 0; i < m->seen_n; i++) {
            if (bytes_equal(name_bytes(&m->seen[i].name), name)) {
                wr_u16(&m->w, (uint16_t)(0xc000 | m->seen[i].at));
                return;
            }
        }
        if (m->seen_n < XFR_NAMES && m->w.len <= POINTER_MAX) {
            m->seen[m->seen_n].name.len = (uint8_t)name.len;
            memcpy(m->seen[m->seen_n].name.wire, name.ptr, name.len);
            m->seen[m->seen_n++].at = (uint16_t)m->w.len;
        }
        wr_put(&m->w, name.ptr, name.ptr[0] + 1u);
    }
    wr_bytes(&m->w, name);
}

/* qtype 0: without a question. */
static inline void xfr_start(struct xfr_message *m, uint16_t flags, struct bytes apex, uint16_t qtype, bool packed)
{
    m->w = wr_over(m->buf, sizeof m->buf);
    m->answers = 0;
    m->packed = packed;
    m->seen_n = 0;
    wr_u16(&m->w, XFR_ID);
    wr_u16(&m->w, flags);
    wr_u16(&m->w, qtype != 0);
    for (unsigned i = 0; i < 3; i++)
        wr_u16(&m->w, 0);
    if (qtype == 0)
        return;
    xfr_put_name(m, apex);
    wr_u16(&m->w, qtype);
    wr_u16(&m->w, CLASS_IN);
}

static inline void xfr_put_rdata(struct xfr_message *m, uint16_t type, struct bytes rdata)
{
    unsigned skip, names;
    struct rd r = rd_over(rdata);
    struct bytes name;
    if (rrtype_compresses(type, &skip, &names)) {
        wr_bytes(&m->w, rd_take(&r, skip));
        for (; names > 0; names--) {
            assert_int_equal(name_read(&r, &name), OK);
            xfr_put_name(m, name);
        }
    }
    wr_bytes(&m->w, rd_take(&r, rd_left(&r)));
}

static inline void xfr_put(struct xfr_message *m, struct bytes owner, uint16_t type, uint16_t class, uint32_t ttl, struct bytes rdata)
{
    xfr_put_name(m, owner);
    wr_u16(&m->w, type);
    wr_u16(&m->w, class);
    wr_u32(&m->w, ttl);
    size_t len_at = m->w.len;
    wr_u16(&m->w, 0);
    xfr_put_rdata(m, type, rdata);
    wr_patch_u16(&m->w, len_at, (uint16_t)(m->w.len - len_at - 2));
    m->answers++;
    wr_patch_u16(&m->w, 6, (uint16_t)m->answers);
    assert_false(m->w.full);
}

static inline void xfr_put_rr(struct xfr_message *m, const struct zone_rr *rr)
{
    xfr_put(m, rr->owner, rr->type, CLASS_IN, rr->ttl, rr->rdata);
}

/* The primary's end of the chain, behind the question. */
static inline struct tsig_chain *xfr_server(const struct tsig_key *key, struct bytes query, uint64_t now_s)
{
    struct tsig_chain *c;
    struct query q;
    struct tsig t;
    assert_int_equal(tsig_open(&c, key), OK);
    assert_int_equal(query_read(query, &q), QUERY_ANSWER);
    assert_true(q.has_tsig);
    assert_int_equal(tsig_read(query, q.tsig_at, &t), OK);
    assert_int_equal(tsig_check(c, query, q.tsig_at, &t, now_s), TSIG_GOOD);
    return c;
}

/* Memory of exactly its size, so that the sanitizers see byte n+1. */
static inline enum xfrin_verdict xfr_give(struct xfrin *x, struct bytes msg, uint64_t now_s, struct fault *fault)
{
    struct bytes exact = heap_copy(msg.ptr, msg.len);
    enum xfrin_verdict v = xfrin_take(x, exact, now_s, fault);
    bytes_free(exact);
    return v;
}

/* The records, cut into messages at random places; questions come and go, names are packed or not, and with a chain some messages
 * are not signed. Gives the last verdict; every record was taken unless it came too early. */
static inline enum xfrin_verdict xfr_feed(struct xfrin *x, struct rnd *r, struct tsig_chain *chain, struct bytes apex, uint16_t qtype,
                                          const struct zone_rr *rr, size_t n, uint64_t now_s, struct fault *fault)
{
    static struct xfr_message m;
    static const uint32_t most_of[] = { 1, 3, 20, 1000 };
    uint32_t most = most_of[rnd_below(r, 4)];
    enum xfrin_verdict v = XFRIN_MORE;
    for (size_t i = 0; i < n && v == XFRIN_MORE;) {
        bool first = i == 0;
        xfr_start(&m, DNS_QR | DNS_AA, apex, first || rnd_below(r, 2) == 0 ? qtype : 0, rnd_below(r, 4) != 0);
        for (uint32_t k = 1 + rnd_below(r, most); i < n && k > 0 && m.w.len < 60000; k--)
            xfr_put_rr(&m, &rr[i++]);
        if (chain != NULL && !first && i < n && tsig_skipped(chain) < 90 && rnd_below(r, 3) != 0)
            assert_int_equal(tsig_skip(chain, wr_done(&m.w)), OK);
        else if (chain != NULL)
            assert_int_equal(tsig_sign(chain, &m.w, now_s, 0, NULL), OK);
        v = xfr_give(x, wr_done(&m.w), now_s, fault);
        if (v != XFRIN_MORE && i < n)
            fail_msg("verdict %d behind %zu of %zu records: %s", v, i, n, fault->text);
    }
    return v;
}

/* All records of a zone as sorted bytes; what two zones must agree in. Of signatures the TTL is left out: the store gives them that
 * of what they cover (RFC 4034 section 3). Owned by caller. */
struct xfr_set { struct bytes *v; size_t n, cap; };
static inline void xfr_set_add(struct xfr_set *s, const struct zone_rr *rr)
{
    size_t len = rr->owner.len + 6 + rr->rdata.len;
    struct wr w = wr_over(malloc(len), len);
    wr_bytes(&w, rr->owner);
    wr_u16(&w, rr->type);
    wr_u32(&w, rr->type == TYPE_RRSIG ? 0 : rr->ttl);
    wr_bytes(&w, rr->rdata);
    if (s->n == s->cap)
        s->v = realloc(s->v, (s->cap = 2 * s->cap + 64) * sizeof *s->v);
    s->v[s->n++] = wr_done(&w);
}
static inline bool xfr_set_visit(void *arg, const struct zone_rr *rr)
{
    xfr_set_add(arg, rr);
    return true;
}
static inline int xfr_by_bytes(const void *a, const void *b) { return bytes_compare(*(const struct bytes *)a, *(const struct bytes *)b); }
static inline void xfr_set_sort(struct xfr_set *s)
{
    if (s->n > 0)
        qsort(s->v, s->n, sizeof *s->v, xfr_by_bytes);
}
static inline bool xfr_set_equal(const struct xfr_set *a, const struct xfr_set *b)
{
    bool same = a->n == b->n;
    for (size_t i = 0; same && i < a->n; i++)
        same = bytes_equal(a->v[i], b->v[i]);
    return same;
}
static inline void xfr_set_release(struct xfr_set *s)
{
    for (size_t i = 0; i < s->n; i++)
        bytes_free(s->v[i]);
    free(s->v);
    *s = (struct xfr_set){ 0 };
}

#endif
