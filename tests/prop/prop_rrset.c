/* RRsets against themselves and against ldns: what is written comes back, and what is placed anywhere into a message is
 * read there by ldns as what it was. AZOTH_SEED=n repeats a run. */
#include <ldns/ldns.h>

#include "tests/util.h"

#include "rrset/rrkey.h"
#include "rrset/rrset.h"

#define MESSAGE 65535
#define MANY 4000

static uint64_t seed;

/* --- random names that share ends, in few letters and both cases ---------------------------------------------------- */
static void put_label(struct rnd *r, struct wr *w, bool lower)
{
    static const char *const words[] = { "a", "b", "ns", "MX", "example", "Com", "x-y", "A" };
    uint8_t label[LABEL_MAX_LEN];
    size_t len;
    if (rnd_below(r, 12) == 0) {
        len = 1 + rnd_below(r, LABEL_MAX_LEN);
        for (size_t i = 0; i < len; i++)
            label[i] = (uint8_t)rnd_u64(r);
    } else {
        const char *word = words[rnd_below(r, ROWS(words))];
        len = strlen(word);
        memcpy(label, word, len);
    }
    if (lower)
        name_lower(label, len);
    if (w->len + 1 + len > NAME_MAX_LEN - 1)
        return;
    wr_u8(w, (uint8_t)len);
    wr_put(w, label, len);
}

static struct name random_name(struct rnd *r, struct bytes end, bool lower)
{
    static const uint8_t root[1] = { 0 };
    struct name n = { 0 };
    uint8_t front[NAME_MAX_LEN];
    struct wr w = wr_over(front, sizeof front);
    unsigned labels = rnd_below(r, 20) == 0 ? 1 + rnd_below(r, 100) : 1 + rnd_below(r, 3);
    for (unsigned i = 0; i < labels; i++)
        put_label(r, &w, lower);
    if (name_join(wr_done(&w), end.len > 0 ? end : bytes_of(root, 1), &n) != OK)
        assert_int_equal(name_join(bytes_of(NULL, 0), end, &n), OK);
    return n;
}

/* A name that ends somewhere inside `of` (often), or anywhere. */
static struct name related_name(struct rnd *r, struct bytes of)
{
    unsigned up = rnd_below(r, name_labels(of) + 1);
    if (rnd_below(r, 3) == 0)
        return random_name(r, bytes_of(NULL, 0), rnd_below(r, 2) == 0);
    for (unsigned i = 0; i < up; i++)
        of = name_parent(of);
    if (rnd_below(r, 4) == 0) {
        struct name same = { 0 };
        assert_int_equal(name_join(bytes_of(NULL, 0), of, &same), OK);
        return same;
    }
    struct name n = random_name(r, of, rnd_below(r, 2) == 0);
    if (rnd_below(r, 6) == 0)
        for (size_t i = 0; i < n.len; i++)
            if (n.wire[i] >= 'a' && n.wire[i] <= 'z' && rnd_below(r, 3) == 0)
                n.wire[i] = (uint8_t)(n.wire[i] - 32);
    return n;
}

/* --- random RRsets --------------------------------------------------------------------------------------------------- */
static const uint16_t types[] = { TYPE_NS, TYPE_CNAME, TYPE_SOA, TYPE_PTR, TYPE_MX, TYPE_MINFO, TYPE_MB, TYPE_MG, TYPE_MR,
                                  TYPE_MD, TYPE_MF, TYPE_A, TYPE_AAAA, TYPE_TXT, TYPE_SRV, 65280 };

struct made { struct name owner; struct rrset_in in; struct bytes rdata[MANY]; struct bytes sigs[2]; struct arena arena; };

static struct bytes random_rdata(struct rnd *r, struct made *m, uint16_t type, bool few_names, struct bytes some)
{
    uint8_t buf[1024];
    struct wr w = wr_over(buf, sizeof buf);
    unsigned skip, names;
    if (rrtype_compresses(type, &skip, &names)) {
        for (unsigned i = 0; i < skip; i++)
            wr_u8(&w, (uint8_t)rnd_u64(r));
        for (unsigned i = 0; i < names; i++) {
            struct name n = related_name(r, name_bytes(&m->owner));
            wr_bytes(&w, few_names ? some : name_bytes(&n));
        }
        for (unsigned i = 0; type == TYPE_SOA && i < 5; i++)
            wr_u32(&w, (uint32_t)rnd_u64(r));
    } else if (type == TYPE_TXT) {
        unsigned len = rnd_below(r, 60);
        wr_u8(&w, (uint8_t)len);
        for (unsigned i = 0; i < len; i++)
            wr_u8(&w, (uint8_t)rnd_u64(r));
    } else if (type == TYPE_SRV) {
        struct name n = related_name(r, name_bytes(&m->owner));
        wr_be(&w, rnd_u64(r) >> 16, 6);
        wr_bytes(&w, name_bytes(&n));
    } else {
        unsigned len = type == TYPE_A ? 4 : type == TYPE_AAAA ? 16 : rnd_below(r, 40);
        for (unsigned i = 0; i < len; i++)
            wr_u8(&w, (uint8_t)rnd_u64(r));
    }
    return arena_copy(&m->arena, wr_done(&w));
}

static struct bytes random_sig(struct rnd *r, struct made *m, uint16_t type)
{
    uint8_t buf[512];
    struct wr w = wr_over(buf, sizeof buf);
    struct bytes signer = name_bytes(&m->owner);
    wr_u16(&w, type);
    for (unsigned i = 0; i < 4; i++)
        wr_u32(&w, (uint32_t)rnd_u64(r));
    wr_bytes(&w, signer);
    for (unsigned i = 0; i < 64; i++)
        wr_u8(&w, (uint8_t)rnd_u64(r));
    return arena_copy(&m->arena, wr_done(&w));
}

static void make(struct rnd *r, struct made *m, size_t n, uint16_t type)
{
    static const uint8_t star[] = { 1, '*' };
    arena_init(&m->arena);
    m->owner = random_name(r, bytes_of(NULL, 0), true);
    if (rnd_below(r, 4) == 0 && m->owner.len + 2 <= NAME_MAX_LEN) {
        struct name under = m->owner;
        assert_int_equal(name_join(bytes_of(star, 2), name_bytes(&under), &m->owner), OK);
    } else if (rnd_below(r, 20) == 0) {
        m->owner = (struct name){ .len = 1 };
    }
    struct name some = related_name(r, name_bytes(&m->owner));
    for (size_t i = 0; i < n; i++)
        m->rdata[i] = random_rdata(r, m, type, n > 200 || rnd_below(r, 4) == 0, name_bytes(&some));
    size_t sigs = rnd_below(r, 3);
    for (size_t i = 0; i < sigs; i++)
        m->sigs[i] = random_sig(r, m, type);
    m->in = (struct rrset_in){ .type = type, .ttl = (uint32_t)rnd_u64(r) >> 1, .rdata = m->rdata, .n = rrset_sort(m->rdata, n),
                               .sigs = m->sigs, .sigs_n = rrset_sort(m->sigs, sigs), .sig_ttl = 300 };
}

/* The element in exact memory; {NULL, 0}: no message holds it. */
static struct bytes write_rrset(struct made *m, bool compress)
{
    static uint8_t buf[4 * MESSAGE];
    struct wr w = wr_over(buf, sizeof buf);
    enum err err = rrset_write(&w, name_bytes(&m->owner), &m->in, compress, &m->arena);
    if (err == ERR_LIMIT)
        return bytes_of(NULL, 0);
    assert_int_equal(err, OK);
    return heap_copy(w.buf, w.len);
}

static void check_iterates(struct bytes owner, struct bytes wire, unsigned count, const struct bytes *rdata, uint16_t type, uint32_t ttl)
{
    static uint8_t buf[MESSAGE];
    struct rr_iter it;
    struct rr rr;
    rr_iter_init(&it, owner, wire, count);
    for (unsigned i = 0; i < count; i++) {
        if (rr_iter_next(&it, buf, sizeof buf, &rr) != OK || !bytes_equal(rr.rdata, rdata[i]))
            fail_msg("seed %llu: RR %u differs", (unsigned long long)seed, i);
        assert_int_equal(rr.type, type);
        assert_int_equal(rr.rrclass, CLASS_IN);
        assert_int_equal(rr.ttl, ttl);
    }
    assert_int_equal(rr_iter_next(&it, buf, sizeof buf, &rr), ERR_NOTFOUND);
}

/* --- a message around it ---------------------------------------------------------------------------------------------- */
struct message { uint8_t *buf; struct wr w; unsigned answers; };

static void message_begin(struct message *m, struct bytes question, size_t cap)
{
    static const uint8_t header[12] = { 0x12, 0x34, 0x84, 0, 0, 1, 0, 0, 0, 0, 0, 0 };
    m->buf = malloc(cap);
    m->w = wr_over(m->buf, cap);
    m->answers = 0;
    wr_put(&m->w, header, sizeof header);
    wr_bytes(&m->w, question);
    wr_u16(&m->w, 255);
    wr_u16(&m->w, 1);
}

/* A NULL record of the question name that takes n bytes, n >= 12. */
static void message_fill(struct message *m, size_t n)
{
    wr_u16(&m->w, 0xc00c);
    wr_u16(&m->w, 10);
    wr_u16(&m->w, 1);
    wr_u32(&m->w, 0);
    wr_u16(&m->w, (uint16_t)(n - 12));
    uint8_t *at = wr_room(&m->w, n - 12);
    if (at != NULL)
        memset(at, 0x5a, n - 12);
    m->answers++;
}

/* A CNAME of the question to `owner`, whose last `shared` labels are a pointer into the question. Where RDATA stands. */
static size_t message_alias(struct message *m, struct bytes question, struct bytes owner, unsigned shared)
{
    struct bytes qend = question, oend = owner;
    while (name_labels(qend) > shared)
        qend = name_parent(qend);
    while (name_labels(oend) > shared)
        oend = name_parent(oend);
    wr_u16(&m->w, 0xc00c);
    wr_u16(&m->w, TYPE_CNAME);
    wr_u16(&m->w, 1);
    wr_u32(&m->w, 0);
    bool point = shared > 0 && bytes_equal(qend, oend);
    wr_u16(&m->w, (uint16_t)(point ? owner.len - oend.len + 2 : owner.len));
    size_t at = m->w.len;
    wr_put(&m->w, owner.ptr, point ? owner.len - oend.len : owner.len);
    if (point)
        wr_u16(&m->w, (uint16_t)(0xc000 | (12 + question.len - qend.len)));
    m->answers++;
    return at;
}

/* The RRs behind `skipped` others, as ldns reads them, are owner and rdata byte for byte. */
static void check_with_ldns(struct message *m, unsigned skipped, struct bytes owner, const struct made *made)
{
    ldns_pkt *pkt = NULL;
    ldns_buffer *buf = ldns_buffer_new(MESSAGE);
    wr_patch_u16(&m->w, 6, (uint16_t)(m->answers + made->in.n));
    assert_false(m->w.full);
    if (ldns_wire2pkt(&pkt, m->buf, m->w.len) != LDNS_STATUS_OK)
        fail_msg("seed %llu: ldns does not read the message", (unsigned long long)seed);
    ldns_rr_list *list = ldns_pkt_answer(pkt);
    assert_int_equal(ldns_rr_list_rr_count(list), m->answers + made->in.n);
    for (size_t i = 0; i < made->in.n; i++) {
        ldns_buffer_clear(buf);
        assert_int_equal(ldns_rr2buffer_wire(buf, ldns_rr_list_rr(list, skipped + i), LDNS_SECTION_ANSWER), LDNS_STATUS_OK);
        struct rd r = rd_over(bytes_of(ldns_buffer_begin(buf), ldns_buffer_position(buf)));
        bool same = bytes_equal(rd_take(&r, owner.len), owner) && rd_u16(&r) == made->in.type && rd_u16(&r) == 1 &&
                    rd_u32(&r) == made->in.ttl && rd_u16(&r) == made->rdata[i].len &&
                    bytes_equal(rd_take(&r, rd_left(&r)), made->rdata[i]);
        if (!same)
            fail_msg("seed %llu: ldns reads RR %zu of type %u otherwise", (unsigned long long)seed, i, made->in.type);
    }
    ldns_buffer_free(buf);
    ldns_pkt_free(pkt);
}

/* Places, and checks that with one byte less than it takes nothing changes. true: it fitted. */
static bool place(struct message *m, const struct rrset *rr, const struct rr_place *where)
{
    size_t before = m->w.len;
    enum err err = rrset_place(&m->w, rr->wire, rr->count, where);
    if (err == ERR_NOSPACE) {
        assert_int_equal(m->w.len, before);
        assert_false(m->w.full);
        return false;
    }
    if (err != OK)
        fail_msg("seed %llu: %s", (unsigned long long)seed, err_text(err));
    struct wr tight = wr_over(malloc(m->w.len - 1), m->w.len - 1);
    wr_put(&tight, m->buf, before);
    assert_int_equal(rrset_place(&tight, rr->wire, rr->count, where), ERR_NOSPACE);
    assert_int_equal(tight.len, before);
    assert_false(tight.full);
    free(tight.buf);
    return true;
}

static void place_for_question(struct rnd *r, struct made *made, const struct rrset *rr, bool longer)
{
    struct message m;
    struct name q = made->owner;
    if (longer)
        q = random_name(r, name_bytes(&made->owner), true);
    struct rr_place where = { name_bytes(&made->owner), (uint16_t)(12 + q.len - made->owner.len), 0 };
    message_begin(&m, name_bytes(&q), MESSAGE);
    unsigned fill = rnd_below(r, 3);
    if (fill == 1)
        message_fill(&m, 12 + rnd_below(r, 1000));
    else if (fill == 2)
        message_fill(&m, 15000 + rnd_below(r, 3000));
    if (place(&m, rr, &where))
        check_with_ldns(&m, m.answers, name_bytes(&made->owner), made);
    free(m.buf);
}

static void place_for_wildcard(struct rnd *r, struct made *made, const struct rrset *rr)
{
    struct message m;
    struct name q = random_name(r, name_parent(name_bytes(&made->owner)), true);
    if (q.len < made->owner.len)        /* "*" is the shortest label: only when random_name found no room */
        return;
    struct rr_place where = { name_bytes(&made->owner), 12, (uint16_t)(q.len - made->owner.len) };
    message_begin(&m, name_bytes(&q), MESSAGE);
    if (rnd_below(r, 3) == 0)
        message_fill(&m, 14000 + rnd_below(r, 4000));
    if (place(&m, rr, &where))
        check_with_ldns(&m, m.answers, name_bytes(&q), made);
    free(m.buf);
}

static void place_behind_alias(struct rnd *r, struct made *made, const struct rrset *rr)
{
    struct message m;
    struct bytes end = name_bytes(&made->owner);
    unsigned up = rnd_below(r, name_labels(end) + 1);
    for (unsigned i = 0; i < up; i++)
        end = name_parent(end);
    struct name q = random_name(r, end, true);
    message_begin(&m, name_bytes(&q), MESSAGE);
    if (rnd_below(r, 2) == 0)
        message_fill(&m, 16384 - 300 + rnd_below(r, 400));
    struct rr_place where = { name_bytes(&made->owner), 0, 0 };
    where.owner_at = (uint16_t)message_alias(&m, name_bytes(&q), name_bytes(&made->owner), name_labels(end));
    if (place(&m, rr, &where))
        check_with_ldns(&m, m.answers, name_bytes(&made->owner), made);
    free(m.buf);
}

/* As a value it passes the check; with a bit of it changed, what passes can still be read. */
static void check_as_value(struct rnd *r, struct made *made, struct bytes element)
{
    uint16_t type = made->in.type;
    uint8_t key[RRKEY_MAX], *value = malloc(element.len + 8);
    struct wr k = wr_over(key, sizeof key), w = wr_over(value, element.len + 8);
    struct fault fault;
    bool one = type == TYPE_CNAME || type == TYPE_SOA;
    assert_int_equal(rrkey_write(name_bytes(&made->owner), rrslot_of(type), &k), OK);
    msg_put_array(&w, 2);
    msg_put_uint(&w, blob_flags(name_labels(name_bytes(&made->owner)), BLOB_APEX | (type == TYPE_CNAME ? BLOB_ALIAS : 0)));
    wr_bytes(&w, element);
    enum err err = blob_check(wr_done(&k), wr_done(&w), &fault);
    if ((err == OK) == (one && made->in.n > 1))
        fail_msg("seed %llu: %s", (unsigned long long)seed, fault_text(&fault, err));
    if (err == OK && w.len < 4000) {
        value[rnd_below(r, (uint32_t)w.len)] ^= (uint8_t)(1 << rnd_below(r, 8));
        struct blob b;
        err = blob_check(wr_done(&k), wr_done(&w), NULL);
        assert_true(err != OK || blob_read(wr_done(&w), &b) == OK);
    }
    free(value);
}

static void one_round(struct rnd *r, struct made *made, size_t n, uint16_t type)
{
    make(r, made, n, type);
    bool compress = rnd_below(r, 5) > 0;
    struct bytes element = write_rrset(made, compress);
    if (element.ptr != NULL) {
        struct rd rd = rd_over(element);
        struct rrset rr;
        assert_int_equal(rrset_read(&rd, &rr), OK);
        assert_true(rd_done(&rd));
        assert_int_equal(rr.type, type);
        assert_int_equal(rr.count, made->in.n);
        assert_int_equal(rr.sigs, made->in.sigs_n);
        check_iterates(name_bytes(&made->owner), rr.wire, rr.count, made->rdata, type, made->in.ttl);
        check_iterates(name_bytes(&made->owner), rr.sig_wire, rr.sigs, made->sigs, TYPE_RRSIG, 300);
        struct bytes wire = heap_copy(rr.wire.ptr, rr.wire.len);    /* alone in its memory */
        rr.wire = wire;
        place_for_question(r, made, &rr, false);
        place_for_question(r, made, &rr, true);
        place_behind_alias(r, made, &rr);
        if (name_is_wildcard(name_bytes(&made->owner)))
            place_for_wildcard(r, made, &rr);
        bytes_free(wire);
        if (compress)
            check_as_value(r, made, element);
    }
    bytes_free(element);
    arena_release(&made->arena);
}

static void small_rrsets(void **state)
{
    (void)state;
    static struct made made;
    uint64_t first = seed_from_env(1), last = getenv("AZOTH_SEED") != NULL ? first : 1500;
    for (seed = first; seed <= last; seed++) {
        struct rnd r = rnd_seed(seed);
        one_round(&r, &made, 1 + rnd_below(&r, 12), types[rnd_below(&r, ROWS(types))]);
    }
}

static void large_rrsets(void **state)
{
    (void)state;
    static struct made made;
    uint64_t first = seed_from_env(100001), last = getenv("AZOTH_SEED") != NULL ? first : 100012;
    for (seed = first; seed <= last; seed++) {
        struct rnd r = rnd_seed(seed);
        one_round(&r, &made, seed == first ? MANY : 300 + rnd_below(&r, 1500), seed % 2 == 1 ? TYPE_MX : types[rnd_below(&r, 11)]);
    }
}

/* Whatever stands in a wire, placing and iterating end, stay inside their memory and leave the message as it was. */
static void broken_wires(void **state)
{
    (void)state;
    static struct made made;
    static uint8_t buf[MESSAGE];
    uint64_t first = seed_from_env(200001), last = getenv("AZOTH_SEED") != NULL ? first : 203000;
    for (seed = first; seed <= last; seed++) {
        struct rnd r = rnd_seed(seed);
        make(&r, &made, 1 + rnd_below(&r, 6), types[rnd_below(&r, 11)]);
        struct bytes element = write_rrset(&made, true);
        struct rd rd = rd_over(element);
        struct rrset rr;
        assert_int_equal(rrset_read(&rd, &rr), OK);
        struct bytes wire = heap_copy(rr.wire.ptr, rr.wire.len - rnd_below(&r, 2));
        for (unsigned i = 0; i < 1 + rnd_below(&r, 3); i++)
            ((uint8_t *)(uintptr_t)wire.ptr)[rnd_below(&r, (uint32_t)wire.len)] = rnd_below(&r, 2) ? 0xc0 : (uint8_t)rnd_u64(&r);
        rr.wire = wire;
        struct message m;
        message_begin(&m, name_bytes(&made.owner), 512 + rnd_below(&r, 40000));
        if (rnd_below(&r, 2) == 0)
            message_fill(&m, 12 + rnd_below(&r, 400));
        size_t at = rnd_below(&r, 2) == 0 ? 12 : message_alias(&m, name_bytes(&made.owner), name_bytes(&made.owner), 1), before = m.w.len;
        struct rr_place where = { name_bytes(&made.owner), (uint16_t)at, 0 };
        if (rrset_place(&m.w, rr.wire, rr.count, &where) != OK)
            assert_int_equal(m.w.len, before);
        assert_false(m.w.full);
        struct rr_iter it;
        struct rr one;
        rr_iter_init(&it, name_bytes(&made.owner), wire, rr.count);
        for (unsigned i = 0; rr_iter_next(&it, buf, sizeof buf, &one) == OK; i++)
            assert_true(i < rr.count);
        free(m.buf);
        bytes_free(wire);
        bytes_free(element);
        arena_release(&made.arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_rrsets), cmocka_unit_test(large_rrsets), cmocka_unit_test(broken_wires),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
