/* Any bytes as a query, over UDP, TCP and TLS, against a store with zones that have everything: what comes back must be a
 * well-formed message within the limits, the same from the store and from the cache, and nothing that is stored may turn
 * out broken. */
#include "tests/answer_bed.h"
#include "tests/fuzz/zones.h"
#include "tests/packet.h"
#include "tests/signed_zones.h"

#include "dnsfront/cache.h"
#include "dnsfront/known.h"

#define MUST(what) do { if (!(what)) abort(); } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* RRsets of many and of long records: for answers that do not fit. */
static void load_big(struct bed *b)
{
    char text[16384];
    int at = snprintf(text, sizeof text, "$TTL 300\n@ SOA ns h 1 2 3 4 5\n@ NS ns\n");
    for (int i = 0; i < 90; i++)
        at += snprintf(text + at, sizeof text - (size_t)at, "m A 192.0.2.%d\nt TXT \"%060d\"\n@ NS n%d.very.long.name.of.a.server\n", i, i, i);
    bed_load(b, "big.", text);
}

/* A second answerer over the same view, which keeps answers and knows which names there are. */
static struct answerer *answerer_with_cache(struct bed *b)
{
    static const uint64_t secret[2] = { 1, 2 };
    static const atomic_bool never;
    struct view *view;
    struct answer_options o = { .nsid = "site", .version = "v", .counts = &b->counts, .cookies = &b->cookies };
    struct answerer *a;
    struct cache *c;
    BED(answerer_open(&a, b->view, &o));
    BED(cache_open(&c, (uint64_t)8 << 20, 1, secret));
    answerer_share(a, c, 0);
    BED(view_open(b->store, &view, &b->fault));
    BED(known_fill(cache_known(c), cache_changes(c), view, &never));
    view_close(view);
    return a;
}

struct both { struct bed bed; struct answerer *plain, *cached; };

static struct both *bed_once(void)
{
    static const uint8_t client[16] = { 0x20, 0x01, 0x0d, 0xb8, 1 };
    static struct both both;
    struct bed *b = &both.bed;
    if (b->store == NULL) {
        bed_open(b, "site", "v");
        bed_load(b, ".", root_zone);
        bed_load(b, "a.", a_zone);
        bed_load(b, "k.w.a.", ka_zone);
        bed_load(b, "nsec.", nsec_zone);
        bed_load(b, "nsec3.", nsec3_zone);
        bed_load(b, "s.", signed_s);
        bed_load(b, "t.", signed_t);
        load_big(b);
        b->cookies.n = 2;
        b->from = (struct answer_from){ .client = bytes_of(client, sizeof client), .now_s = 1700000000, .idle_100ms = 100 };
        both.plain = b->answerer;
        both.cached = answerer_with_cache(b);
        (void)nftw(b->dir, bed_remove_one, 8, FTW_DEPTH | FTW_PHYS);   /* open files stay usable, and nothing is left behind */
    }
    return &both;
}

static void check_said(const struct bed *b, struct bytes query)
{
    struct answer_said said = answer_said(b->answerer);
    MUST(said.kind < ANSWER_KINDS);
    if (said.name.len > 0)
        MUST(said.name.ptr >= query.ptr + DNS_HEADER_LEN && said.name.ptr + said.name.len <= query.ptr + query.len);
    else
        MUST(said.kind == ANSWER_ERROR || said.kind == ANSWER_POSITIVE);
}

static void check_reply(struct bytes query, struct bytes reply, bool udp, size_t most)
{
    struct packet p;
    struct query q;
    enum query_verdict v = query_read(query, &q);
    MUST((v == QUERY_DROP) <= (reply.len == 0));
    if (reply.len == 0)
        return;
    MUST(packet_walk(query, reply, &p) == NULL);
    MUST(reply.len <= most && (!udp || reply.len <= q.udp_size));
    MUST(p.has_opt == q.has_edns && p.edns_version == 0);
    MUST(!p.has_opt || (p.edns_flags & EDNS_DO) == (q.dnssec_ok ? EDNS_DO : 0));
    MUST(p.qd == (q.question_len > 0));
    if (v != QUERY_ANSWER)
        MUST(p.an == 0 && p.ns == 0 && p.ar == 0 && (p.flags & (DNS_AA | DNS_TC)) == 0);
    if (v == QUERY_NOTIMP)
        MUST(p.rcode == RCODE_NOTIMP);
    if (v == QUERY_BADVERS)
        MUST(p.rcode == RCODE_BADVERS);
    if (p.rcode != RCODE_NOERROR && p.rcode != RCODE_NXDOMAIN && p.rcode != RCODE_YXDOMAIN)
        MUST(p.an == 0 && p.ns == 0 && p.ar == 0);
}

static bool said_alike(struct answer_said a, struct answer_said b)
{
    return a.kind == b.kind && a.known == b.known && bytes_equal(a.name, b.name);
}

static void ask(struct both *both, struct bytes query, enum answer_proto proto, size_t max)
{
    struct bed *b = &both->bed;
    bool udp = proto == ANSWER_UDP;
    b->from.proto = proto;
    b->answerer = both->plain;
    struct bytes reply = bed_send(b, query, !udp, max);
    struct answer_said said = answer_said(b->answerer);
    check_said(b, query);
    check_reply(query, reply, udp, max != 0 ? max : udp ? ANSWER_UDP_MAX : ANSWER_MAX);
    b->answerer = both->cached;
    for (int i = 0; i < 2; i++) {                               /* built and kept; found */
        struct bytes again = bed_send(b, query, !udp, max);
        MUST(bytes_equal(reply, again));
        MUST(said_alike(said, answer_said(b->answerer)));
        bytes_free(again);
    }
    bytes_free(reply);
}

/* The answer that a rate limit gives: never more than the question, OPT and a cookie. */
static void ask_limited(struct bed *b, struct bytes query)
{
    struct answer_from from = b->from;
    uint8_t out[ANSWER_UDP_MAX];
    from.proto = ANSWER_UDP;
    from.max = sizeof out;
    size_t len = answer_limited(b->answerer, query, &from, out, sizeof out);
    struct packet p;
    if (len == 0)
        return;
    MUST(packet_walk(query, bytes_of(out, len), &p) == NULL);
    MUST(p.an == 0 && p.ns == 0 && p.ar == 0 && p.qd == 1 && ((p.flags & DNS_TC) != 0) != (p.rcode == RCODE_BADCOOKIE));
    MUST(len <= query.len + 28);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct both *b = bed_once();
    if (size > ANSWER_MAX)
        return 0;
    struct bytes query = heap_copy(data, size);                 /* exact: byte n+1 is nobody's */
    unsigned sum = 0;
    for (size_t i = 0; i < size; i++)
        sum = sum * 31 + data[i];
    ask(b, query, ANSWER_UDP, 0);
    ask(b, query, ANSWER_TCP, 0);
    ask(b, query, ANSWER_TLS, 0);
    ask(b, query, ANSWER_TCP, DNS_HEADER_LEN + sum % 1500);     /* limits of all sizes */
    ask_limited(&b->bed, query);
    bytes_free(query);
    MUST(stat_get(&b->bed.counts.broken) == 0);
    return 0;
}
