/* Samples of blobs for tests: what goes in as text and hex, put together the way builders do it. */
#ifndef AZOTH_TESTS_RRSET_SAMPLE_H
#define AZOTH_TESTS_RRSET_SAMPLE_H

#include "tests/util.h"

#include "rrset/rrkey.h"
#include "rrset/rrset.h"

#define SAMPLE_RDATA 6

struct sample_rr { uint16_t type; uint32_t ttl; const char *rdata[SAMPLE_RDATA], *sigs[2]; };   /* rdata: hex, uncompressed */
struct sample_below { const char *name; struct sample_rr rr[3]; };          /* name: whole, as text */
struct sample {
    const char *why, *owner;
    uint16_t slot;
    const char *apex;                       /* of a shadow key, or NULL */
    uint32_t flags;
    struct sample_rr rr[2];
    struct sample_below below[4];
    const char *hex;                        /* the value; FORMAT.md shows some of them */
};

static inline struct name name_from(const char *text)
{
    struct name n;
    assert_int_equal(name_from_text(bytes_of_text(text), bytes_of(NULL, 0), &n), OK);
    return n;
}

static inline size_t sample_rdata(const char *const *hex, size_t max, struct bytes *out, struct arena *a)
{
    size_t n = 0;
    for (; n < max && hex[n] != NULL; n++) {
        struct bytes b = heap_from_hex(hex[n]);
        out[n] = arena_copy(a, b);
        bytes_free(b);
    }
    return rrset_sort(out, n);
}

static inline void sample_put_rrset(struct wr *w, const struct name *owner, const struct sample_rr *rr, bool compress, struct arena *a)
{
    struct bytes rdata[SAMPLE_RDATA], sigs[2];
    struct rrset_in in = { .type = rr->type, .ttl = rr->ttl, .rdata = rdata, .sigs = sigs, .sig_ttl = rr->ttl };
    in.n = sample_rdata(rr->rdata, SAMPLE_RDATA, rdata, a);
    in.sigs_n = sample_rdata(rr->sigs, 2, sigs, a);
    assert_int_equal(rrset_write(w, name_bytes(owner), &in, compress, a), OK);
}

static inline void sample_put_below(struct wr *w, const struct name *owner, const struct sample_below *b, struct bytes ns_wire, struct arena *a)
{
    struct name name = name_from(b->name);
    uint32_t rrs = 0;
    while (rrs < 3 && b->rr[rrs].type != 0)
        rrs++;
    msg_put_array(w, 2 + rrs);
    msg_put_bin(w, bytes_of(name.wire, (size_t)(name.len - owner->len)));
    msg_put_uint(w, ns_wire.len > 0 ? rrset_ns_offset(ns_wire, name_bytes(owner), name_bytes(&name)) : 0);
    for (uint32_t i = 0; i < rrs; i++)
        sample_put_rrset(w, &name, &b->rr[i], false, a);
}

/* The value, in exact memory; owned by caller. */
static inline struct bytes sample_value(const struct sample *s)
{
    static uint8_t buf[70000];
    struct name owner = name_from(s->owner);
    struct wr w = wr_over(buf, sizeof buf);
    struct arena a;
    uint32_t below = 0, rrs = s->rr[1].type != 0 ? 2 : 1;
    while (below < ROWS(s->below) && s->below[below].name != NULL)
        below++;
    arena_init(&a);
    msg_put_array(&w, below > 0 ? 4 : 1 + rrs);
    msg_put_uint(&w, s->flags);
    size_t first = w.len;
    for (uint32_t i = 0; i < rrs; i++)
        sample_put_rrset(&w, &owner, &s->rr[i], true, &a);
    if (below > 0) {
        struct rd r = rd_over(bytes_of(buf + first, w.len - first));
        struct rrset ns;
        assert_int_equal(rrset_read(&r, &ns), OK);
        msg_put_nil(&w);
        msg_put_array(&w, below);
        for (uint32_t i = 0; i < below; i++)
            sample_put_below(&w, &owner, &s->below[i], ns.type == TYPE_NS ? ns.wire : bytes_of(NULL, 0), &a);
    }
    arena_release(&a);
    assert_false(w.full);
    return heap_copy(buf, w.len);
}

static inline struct bytes sample_key(const char *owner, uint16_t slot, const char *apex)
{
    uint8_t buf[RRKEY_SHADOW_MAX + NSEC3_HASH_LEN];
    struct wr w = wr_over(buf, sizeof buf);
    struct name name = name_from(owner);
    if (apex != NULL) {
        struct name top = name_from(apex);
        assert_int_equal(rrkey_write_shadow(name_bytes(&top), name_bytes(&name), slot, &w), OK);
    } else if (slot == TYPE_NSEC3) {
        static const uint8_t hash[NSEC3_HASH_LEN] = { 1, 2, 3 };
        assert_int_equal(rrkey_write_nsec3(name_bytes(&name), hash, &w), OK);
    } else {
        assert_int_equal(rrkey_write(name_bytes(&name), slot, &w), OK);
    }
    return heap_copy(buf, w.len);
}

static inline const char *hex_of(char *out, size_t cap, struct bytes b)
{
    size_t n = 0;
    for (size_t i = 0; i < b.len && n + 3 < cap; i++)
        n += (size_t)snprintf(out + n, cap - n, "%02x", b.ptr[i]);
    return out;
}

#endif
