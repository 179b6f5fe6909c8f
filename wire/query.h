/* A DNS query as it comes from a client: header, question, EDNS (RFC 1035 section 4.1, RFC 6891). Pure: nothing is
 * copied, nothing allocated; what is not clearly a good query gets a verdict instead of a guess.
 *
 *     │ header (12) │ question: name, type, class │ other records, skipped │ OPT │ TSIG (last) │ ignored
 *                    ◄────── question_len ───────►
 */
#ifndef AZOTH_WIRE_QUERY_H
#define AZOTH_WIRE_QUERY_H

#include "base/err.h"

#define DNS_HEADER_LEN 12
#define DNS_UDP_MIN 512             /* every client takes that much; smaller sizes in OPT mean this (RFC 6891 section 6.2.3) */
#define EDNS_VERSION 0              /* the highest that we speak */

enum {                              /* bits of `flags`, the second 16 bits of the header */
    DNS_QR = 0x8000, DNS_OPCODE = 0x7800, DNS_AA = 0x0400, DNS_TC = 0x0200, DNS_RD = 0x0100, DNS_RA = 0x0080,
    DNS_AD = 0x0020, DNS_CD = 0x0010, DNS_RCODE = 0x000f,
    DNS_OPCODE_SHIFT = 11,
    EDNS_DO = 0x8000,               /* in the flags of OPT */
    EDNS_OPTION_NSID = 3, EDNS_OPTION_COOKIE = 10, EDNS_OPTION_KEEPALIVE = 11, EDNS_OPTION_PADDING = 12,
    EDNS_OPTION_EDE = 15, EDNS_OPTION_ZONEVERSION = 19,
};

enum query_verdict {
    QUERY_ANSWER,       /* opcode QUERY, one question: answer it */
    QUERY_EMPTY,        /* opcode QUERY, no question, but a COOKIE option: NOERROR without records (RFC 7873 section 5.4) */
    QUERY_DROP,         /* shorter than a header, or a response (QR=1): never reply, nothing in *out is set */
    QUERY_FORMERR,
    QUERY_NOTIMP,       /* opcode other than QUERY; out->opcode is to be copied into the reply */
    QUERY_BADVERS,      /* EDNS version above ours, any opcode; options are not looked at */
};

/* All bytes are borrowed from the message. Unless dropped, id, flags and opcode are always set, the question is set when
 * it could be read (question_len 0: it could not, the reply carries none). EDNS and TSIG are set when all records could be
 * read: of a section that breaks off nothing counts. */
struct query {
    uint16_t id, flags;
    uint8_t opcode;
    struct bytes qname;             /* uncompressed, final 0 included, the client's case; empty when question_len is 0 */
    uint16_t qtype, qclass;
    uint16_t question_len;          /* bytes of the question behind the header: qname.len + 4 */
    bool has_edns;                  /* the reply gets an OPT too */
    bool dnssec_ok;
    bool has_tsig;                  /* a TSIG stands at tsig_at in the message, as its last record */
    uint8_t edns_version;
    uint16_t udp_size;              /* what the client takes over UDP: at least DNS_UDP_MIN; that without EDNS */
    uint16_t tsig_at;
    uint32_t asks;                  /* bit n: an option with code n < 32 is there (query_asks); none but for ANSWER, EMPTY, NOTIMP */
    struct bytes cookie;            /* contents of the first COOKIE, 8 or 16 to 40 bytes; empty: none */
    struct bytes options;           /* RDATA of OPT, checked to be whole options unless QUERY_BADVERS */
};

/* msg: one whole message, at most 65,535 bytes; bytes behind its last record are ignored.
 * FORMERR: QDCOUNT not 1 (QUERY_EMPTY apart), a compression pointer in the question, counts above what is there, two OPT,
 * OPT with an owner, an option over the end of its OPT, TSIG that is not last, OPT or TSIG outside the additional section,
 * the first COOKIE of another length (RFC 7873 section 5.2.2), ZONEVERSION with contents (RFC 9660 section 3). */
enum query_verdict query_read(struct bytes msg, struct query *out);

static inline bool query_asks(const struct query *q, unsigned code) { return (q->asks >> code & 1) != 0; }
/* The first option with that code. false: there is none. Only after QUERY_ANSWER or QUERY_EMPTY. */
bool query_option(const struct query *q, uint16_t code, struct bytes *out);

#endif
