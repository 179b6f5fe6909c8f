/* Any bytes as a query, over UDP and TCP, against a store with zones that have everything: what comes back must be a
 * well-formed message within the limits, and nothing that is stored may turn out broken. */
#include "tests/answer_bed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char root_zone[] =
    "$TTL 300\n@ SOA ns h 1 2 3 4 5\n@ NS ns.a.\n@ NS n.\nn. A 192.0.2.1\na. NS ns.a.\nns.a. AAAA 2001:db8::1\na. DS 1 "
    "13 2 00\n"
    "b. NS ns.c.\nc. NS ns.b.\nns.b. A 192.0.2.2\nns.c. A 192.0.2.3\n*.w. CNAME *.w.a.\nw.a. TXT \"shadow\"\n";
static const char a_zone[] = "$TTL 300\n@ SOA ns h 1 2 3 4 5\n@ NS ns\n@ NS x.c\nns AAAA 2001:db8::1\n@ MX 1 m\n@ MX 2 "
                             "m.m\nm A 192.0.2.4\n*.w A 192.0.2.5\n*.w AAAA ::1\n"
                             "*.w.w CNAME a.b.c.d\nd DNAME dd.d2\nd2 DNAME @\nl CNAME l2\nl2 CNAME l\nc NS x.c\nc NS "
                             "c\nc A 192.0.2.6\nx.c A 192.0.2.7\n"
                             "x.c AAAA ::2\nc DS 1 13 2 00\ne.e.e.e TXT \"\"\n\\000 A 192.0.2.8\n\\001.\\000 A "
                             "192.0.2.9\n\\* CNAME \\*.b.\ns RRSIG A 13 2 1 20300101000000 20200101000000 1 a. AAAA\n"
                             "s A 192.0.2.10\nk CNAME w\nk NSEC l CNAME NSEC\n@ TYPE65535 \\# 1 00\n";
static const char ka_zone[] = "$TTL 300\n@ SOA ns h 1 2 3 4 5\n@ NS ns\n@ DNAME a.\n";

static struct bed *bed_once(void)
{
    static struct bed bed;
    if (bed.store == NULL) {
        bed_open(&bed, "site", "v");
        bed_load(&bed, ".", root_zone);
        bed_load(&bed, "a.", a_zone);
        bed_load(&bed, "k.w.a.", ka_zone);
        (void)nftw(bed.dir, bed_remove_one, 8,
                   FTW_DEPTH | FTW_PHYS); /* open files stay usable, and nothing is left behind */
    }
    return &bed;
}

static void check(struct bytes query, struct bytes reply, size_t most)
{
    struct rd r = rd_over(reply), q = rd_over(query);
    struct name name;
    if (reply.len > most)
        abort();
    uint16_t id = rd_u16(&r), flags = rd_u16(&r), questions = rd_u16(&r);
    uint32_t records = rd_u16(&r);
    records += rd_u16(&r);
    records += rd_u16(&r);
    if (r.bad || id != rd_u16(&q) || (flags & DNS_QR) == 0 || questions > 1)
        abort();
    if (questions == 1 && (name_unpack(&r, reply, &name) != OK || rd_take(&r, 4).ptr == NULL))
        abort();
    for (; records > 0; records--) {
        if (name_unpack(&r, reply, &name) != OK)
            abort();
        (void)rd_take(&r, 8);
        (void)rd_take(&r, rd_u16(&r));
        if (r.bad)
            abort();
    }
    if (!rd_done(&r))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bed *b = bed_once();
    struct bytes query = { data, size };
    if (size > ANSWER_MAX)
        return 0;
    for (int tcp = 0; tcp < 2; tcp++) {
        struct bytes reply = bed_send(b, query, tcp != 0, 0);
        if (reply.len > 0)
            check(query, reply, tcp ? ANSWER_MAX : ANSWER_UDP_MAX);
        bytes_free(reply);
    }
    if (stat_get(&b->counts.broken) > 0)
        abort();
    return 0;
}
