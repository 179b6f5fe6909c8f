/* Two small signed zones (no signature would verify) for tests that want every kind of proof: s. with NSEC, t. with NSEC3 and
 * opt-out. Aliases lead from one into the other. */
#ifndef AZOTH_TESTS_SIGNED_ZONES_H
#define AZOTH_TESTS_SIGNED_ZONES_H

static const char signed_s[] =
    "$TTL 300\n"
    "@ SOA ns h 1 2 3 4 5\n"
    "@ RRSIG SOA 13 1 300 20300101000000 20200101000000 1 s. AAAA\n"
    "@ NS ns.other.\n"
    "@ NSEC *.w NS SOA RRSIG NSEC\n"
    "@ RRSIG NSEC 13 1 300 20300101000000 20200101000000 1 s. AAAA\n"
    "*.w CNAME x.w.t.\n"
    "*.w NSEC cut CNAME RRSIG NSEC\n"
    "cut NS ns.other.\n"
    "cut NSEC a.ent NS RRSIG NSEC\n"
    "a.ent DNAME w\n"
    "a.ent NSEC @ DNAME RRSIG NSEC\n";

static const char signed_t[] =
    "$TTL 300\n"
    "@ SOA ns h 1 2 3 4 5\n"
    "@ RRSIG SOA 13 1 300 20300101000000 20200101000000 1 t. AAAA\n"
    "@ NS ns.other.\n"
    "@ NSEC3PARAM 1 0 5 ab\n"
    "*.w CNAME y.z.a.ent\n"
    "cut NS ns.other.\n"
    "a.ent DNAME nothing.s.\n"
    "2acu1anh8ac4e3op40ngli0ufje6h3hf NSEC3 1 1 5 ab eo6e0pa6fg7jv6drs3hjh3uicijtnh7t CNAME RRSIG\n"
    "eo6e0pa6fg7jv6drs3hjh3uicijtnh7t NSEC3 1 1 5 ab h9ssaq8hjdcmnasrlc836iv15510k364\n"
    "h9ssaq8hjdcmnasrlc836iv15510k364 NSEC3 1 1 5 ab mk0jgb4ovu0ooskdim3hj8d081425o5b DNAME RRSIG\n"
    "mk0jgb4ovu0ooskdim3hj8d081425o5b NSEC3 1 1 5 ab tavcfh9nbeh8el6g8lm4uedtqgj1oddo\n"
    "tavcfh9nbeh8el6g8lm4uedtqgj1oddo NSEC3 1 1 5 ab 2acu1anh8ac4e3op40ngli0ufje6h3hf NS SOA RRSIG NSEC3PARAM\n";

#endif
