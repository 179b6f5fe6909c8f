/* A store with zones in it and an answerer over it, for the tests of dnsfront. Zones are built by builder/ and written
 * straight into the store; nothing here checks signatures. Any failure of the bed itself ends the program. */
#ifndef AZOTH_TESTS_ANSWER_BED_H
#define AZOTH_TESTS_ANSWER_BED_H

#include <ftw.h>

#include "builder/zonefile.h"
#include "dnsfront/answer.h"
#include "dnsfront/cookies.h"
#include "tests/util.h"
#include "wire/query.h"

struct bed {
    char dir[64];
    struct store *store;
    struct view *view, *build_view;
    struct answerer *answerer;
    struct answer_counters counts;
    struct cookie_secrets cookies;
    struct answer_from from;        /* client, time and idle time of the questions; zero: not known */
    uint64_t seq, epoch;            /* of the head; epoch counts from 0, the head's is one more */
    struct fault fault;
};

#define BED(call) do {                                                                                  \
    enum err bed_err = (call);                                                                          \
    if (bed_err != OK) {                                                                                \
        fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, fault_text(&b->fault, bed_err));  \
        abort();                                                                                        \
    } } while (0)

static inline void bed_open(struct bed *b, const char *nsid, const char *version)
{
    static const uint8_t cluster[CLUSTER_LEN] = { 1 };
    memset(b, 0, sizeof *b);
    memcpy(b->dir, "/tmp/azoth-bed-XXXXXX", sizeof "/tmp/azoth-bed-XXXXXX");
    if (mkdtemp(b->dir) == NULL)
        abort();
    struct store_options o = { .dir = b->dir, .mode = STORE_CREATE, .role = STORE_CORE, .map_size = (uint64_t)64 << 20,
                               .cluster = cluster, .volatile_data = true };
    struct answer_options ao = { .nsid = nsid, .version = version, .counts = &b->counts, .cookies = &b->cookies };
    BED(store_open(&b->store, &o, &b->fault));
    BED(view_open(b->store, &b->view, &b->fault));
    BED(view_open(b->store, &b->build_view, &b->fault));
    BED(answerer_open(&b->answerer, b->view, &ao));
}

static inline int bed_remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static inline void bed_close(struct bed *b)
{
    answerer_close(b->answerer);
    view_close(b->view);
    view_close(b->build_view);
    store_close(b->store);
    (void)nftw(b->dir, bed_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Ops as one transaction with a head of our own. */
static inline void bed_apply(struct bed *b, const struct op *ops, size_t n)
{
    struct store_txn *t;
    struct store_state state;
    struct head head = { .epoch = 1 + b->epoch, .seq = ++b->seq, .time_ms = 1000 + b->seq, .cohorts_n = 1,
                         .cohorts = { { "all", b->seq } } };
    struct signed_head sh = { .len = 0 };
    memcpy(head.cluster, store_cluster(b->store), CLUSTER_LEN);
    BED(store_begin(b->store, &t, &b->fault));
    BED(store_apply(t, ops, n, &b->fault));
    store_state(t, &state);
    memcpy(head.digest, state.digest, DIGEST_LEN);
    head.keys = state.keys;
    head.bytes = state.bytes;
    head.chain[0] = 1;
    struct wr w = wr_over(sh.body, sizeof sh.body);
    head_write(&w, &head);
    sh.len = w.len;
    BED(store_commit(t, &head, &sh, &b->fault));
}

/* Builds and commits z. ERR_REFUSED: guards. */
static inline enum err bed_zone(struct bed *b, struct zone *z)
{
    struct zone_build_options o = { .kind = ZONE_FILE, .force = true };
    struct complaints *c = calloc(1, sizeof *c);
    struct op_list ops;
    op_list_init(&ops);
    BED(view_begin(b->build_view));
    enum err err = zone_build(z, b->build_view, &o, c, &ops, &b->fault);
    if (err == OK && ops.n > 0)
        bed_apply(b, ops.ops, ops.n);
    view_end(b->build_view);
    if (err == ERR_REFUSED)
        for (unsigned i = 0; i < c->errors_n; i++)
            fprintf(stderr, "refused: line %u: %s\n", c->errors[i].line, c->errors[i].text);
    op_list_release(&ops);
    free(c);
    return err;
}

static inline void bed_name(const char *text, struct name *out)
{
    if (name_from_text(bytes_of_text(text), (struct bytes){ 0 }, out) != OK) {
        fprintf(stderr, "bad name %s\n", text);
        abort();
    }
}

/* A zone file in memory. */
static inline void bed_load(struct bed *b, const char *origin, const char *text)
{
    struct complaints *c = calloc(1, sizeof *c);
    struct name apex;
    struct zone z;
    bed_name(origin, &apex);
    zone_init(&z, name_bytes(&apex), origin);
    enum err err = zonefile_read_text(bytes_of_text(text), origin, &z, c, &b->fault);
    for (unsigned i = 0; i < c->errors_n; i++)
        fprintf(stderr, "%s: line %u: %s\n", origin, c->errors[i].line, c->errors[i].text);
    BED(err);
    BED(bed_zone(b, &z));
    zone_release(&z);
    free(c);
}

/* --- questions -------------------------------------------------------------------------------------------------- */
struct ask {
    struct bytes qname;
    uint16_t qtype, qclass, udp_size;       /* udp_size 0: no EDNS */
    bool dnssec_ok, nsid, tcp, rd;
    bool options;                           /* every option that is answered; without nsid */
    size_t max;                             /* 0: the transport's usual one */
};
static inline size_t ask_write(const struct ask *q, uint8_t *out, size_t cap)
{
    struct wr w = wr_over(out, cap);
    wr_u16(&w, 0x1234);
    wr_u16(&w, q->rd ? DNS_RD : 0);
    wr_u16(&w, 1);
    wr_u16(&w, 0);
    wr_u16(&w, 0);
    wr_u16(&w, q->udp_size > 0);
    wr_bytes(&w, q->qname);
    wr_u16(&w, q->qtype);
    wr_u16(&w, q->qclass);
    if (q->udp_size > 0) {
        wr_u8(&w, 0);
        wr_u16(&w, TYPE_OPT);
        wr_u16(&w, q->udp_size);
        wr_u32(&w, q->dnssec_ok ? EDNS_DO : 0);
        wr_u16(&w, q->options ? 28 : q->nsid ? 4 : 0);
        if (q->nsid || q->options)
            wr_u32(&w, EDNS_OPTION_NSID << 16);
        if (q->options) {
            wr_u32(&w, EDNS_OPTION_COOKIE << 16 | 8);
            wr_u64(&w, 1);
            wr_u32(&w, EDNS_OPTION_KEEPALIVE << 16);
            wr_u32(&w, EDNS_OPTION_PADDING << 16);
            wr_u32(&w, EDNS_OPTION_ZONEVERSION << 16);
        }
    }
    return w.full ? 0 : w.len;
}

/* The reply in exact-size memory, owned by caller. */
static inline struct bytes bed_send(struct bed *b, struct bytes query, bool tcp, size_t max)
{
    struct answer_from from = b->from;
    from.proto = !tcp ? ANSWER_UDP : b->from.proto == ANSWER_TLS ? ANSWER_TLS : ANSWER_TCP;
    from.max = max != 0 ? max : tcp ? ANSWER_MAX : ANSWER_UDP_MAX;
    uint8_t *out = malloc(from.max);
    BED(view_begin(b->view));
    size_t len = answer(b->answerer, query, &from, out, from.max);
    view_end(b->view);
    struct bytes reply = heap_copy(out, len);
    free(out);
    return reply;
}
static inline struct bytes bed_ask(struct bed *b, const struct ask *q)
{
    uint8_t buf[512];
    size_t len = ask_write(q, buf, sizeof buf);
    struct bytes query = heap_copy(buf, len), reply = bed_send(b, query, q->tcp, q->max);
    bytes_free(query);
    return reply;
}

#endif
