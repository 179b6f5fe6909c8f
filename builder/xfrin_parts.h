/* What the files of xfrin share: the transfer so far, and one message's sections. */
#ifndef AZOTH_BUILDER_XFRIN_PARTS_H
#define AZOTH_BUILDER_XFRIN_PARTS_H

#include "builder/xfrin.h"
#include "wire/query.h"
#include "wire/rrtype.h"

#define XFRIN_UDP_SIZE 1232         /* what a reply to an IXFR over UDP may have: fits every path (DNS flag day 2020) */
#define XFRIN_QUERY_MAX 2048        /* header, question, SOA, OPT and TSIG with the longest names are below 1,700 */
#define XFRIN_KEPT_TIMES 4          /* what is kept of a transfer, names unpacked, may be so much larger than its messages */

/* Where in the stream the next record stands. */
enum xfrin_at {
    AT_FIRST,           /* the SOA that every answer begins with: the primary's serial */
    AT_SECOND,          /* of an IXFR: a SOA begins steps, all else is a whole zone */
    AT_WHOLE,           /* until that SOA comes again */
    AT_GONE,            /* of a step: what goes, until the SOA that it leads to */
    AT_COME,            /* what comes, until the SOA of the next step or the last one */
};
struct xfrin {
    struct name apex;                   /* lower case */
    enum xfrin_kind kind;
    bool udp, have, whole;
    uint32_t ours;
    struct xfrin_limits limits;
    uint16_t id;
    struct tsig_chain *chain;           /* NULL: unsigned */
    enum xfrin_verdict verdict;
    enum xfrin_at at;
    struct bytes soa; uint32_t soa_ttl, serial;     /* the first record; RDATA in the zone's arena */
    struct zone zone;                   /* the zone, or the records of all steps */
    struct xfrin_step *steps; size_t steps_n, steps_cap;
    uint64_t bytes, records, messages;
    uint8_t query[XFRIN_QUERY_MAX]; size_t query_len;
};

/* --- xfrin_message.c: a message's form, nothing of its meaning ------------------------------------------------------- */
struct xfrin_message {
    uint16_t id, flags, rcode;          /* rcode: with the bits that OPT adds */
    bool has_question; struct name qname; uint16_t qtype, qclass;
    unsigned answers;
    struct rd records;                  /* stands at the first record of the answer section */
    bool has_tsig; size_t tsig_at;
};
/* The header alone is there (id and flags) also when the rest cannot be read. NULL, or what is wrong with it. */
MUST_USE const char *xfrin_message_read(struct bytes msg, struct xfrin_message *out);
/* "REFUSED", or "rcode 11". */
const char *xfrin_rcode_text(uint16_t rcode, char *buf, size_t cap);
/* NULL, or what is wrong: MAC, time, an error that the primary tells, unsigned where signed was asked for. */
MUST_USE const char *xfrin_verify(struct xfrin *x, struct bytes msg, const struct xfrin_message *m, uint64_t now_s, struct fault *why);

/* --- xfrin_records.c: what the records mean ------------------------------------------------------------------------------ */
/* All of the answer section. MORE: nothing decided yet. */
enum xfrin_verdict xfrin_take_answers(struct xfrin *x, struct bytes msg, const struct xfrin_message *m, struct fault *fault);
/* The stream breaks the protocol: an IXFR may do better as AXFR. */
enum xfrin_verdict xfrin_bad(const struct xfrin *x, struct fault *fault, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
enum xfrin_verdict xfrin_fail(struct fault *fault, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
