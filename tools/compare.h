/* Two servers' answers to one question: do they say the same? Pure: two messages in, what differs out.
 *
 *     message ─► answer_read ─► the parts that matter ─► sorted, side by side ─► bits
 *
 * What matters unless `strict`: the rcode, AA; of the answer all records, their order not; of the authority its kind and, where
 * it counts, its records: the SOA of a negative answer, NS and DS of a referral, whether there is a proof (NSEC, NSEC3); of the
 * additional section the glue that a referral needs: addresses below the cut. Records of other zones that a server knows about
 * (behind a CNAME that leaves this one) say nothing about this one. Serials are told apart from all else: two servers that are
 * one change apart would differ in every negative answer. */
#ifndef AZOTH_TOOLS_COMPARE_H
#define AZOTH_TOOLS_COMPARE_H

#include "base/arena.h"
#include "tools/questions.h"
#include "wire/query.h"

enum { SECTION_ANSWER, SECTION_AUTHORITY, SECTION_ADDITIONAL, SECTIONS };
/* One record; owner and the names in its RDATA are uncompressed and lower case. Both live in the arena. */
struct answer_rr { struct bytes owner, rdata; uint32_t ttl; uint16_t type, rrclass; };
struct answer_rrs { struct answer_rr *v; size_t n; };
enum answer_kind { KIND_ANSWER, KIND_NODATA, KIND_NXDOMAIN, KIND_REFERRAL, KIND_EMPTY, KIND_ERROR };
struct answer {
    uint16_t id, flags, rcode;              /* rcode: with the bits that OPT holds */
    struct answer_rrs section[SECTIONS];    /* without OPT */
    enum answer_kind kind;
    size_t tsig_at;                         /* where a last record of type TSIG begins; 0: there is none */
};
/* ERR_SHORT, ERR_BAD: no DNS message, or no answer. ERR_NOMEM. What stands behind the last record is passed over. */
MUST_USE enum err answer_read(struct bytes msg, struct arena *a, struct answer *out);
const char *answer_kind_text(enum answer_kind kind);
/* "NOERROR", "RCODE31". Gives out. */
#define RCODE_TEXT_MAX 16
const char *rcode_text(char out[RCODE_TEXT_MAX], unsigned rcode);
/* The serial of a SOA's RDATA as this file makes it. false: too short. */
bool answer_soa_serial(struct bytes rdata, uint32_t *out);

enum {                                      /* what differs */
    DIFF_UNANSWERED = 1,                    /* one of them, or both, did not answer: nothing else was looked at */
    DIFF_MALFORMED = 2,                     /* what came is no DNS answer: nothing else either */
    DIFF_RCODE = 4, DIFF_AA = 8, DIFF_ANSWER = 16, DIFF_TTL = 32, DIFF_AUTHORITY = 64, DIFF_GLUE = 128,
    DIFF_FLAGS = 256, DIFF_ADDITIONAL = 512,                    /* strict */
    DIFF_SERIAL = 1024,
    DIFF_BITS = 11,                         /* how many there are */
};
const char *difference_text(unsigned bit);                      /* of one bit: "rcode", "ttl" ... */

struct compare_rules { struct bytes apex; bool strict, ignore_ttl, ignore_signatures; };
struct compared {
    unsigned bits;
    bool read[2];                           /* of[i] is there: it answered, and the answer could be read */
    struct answer of[2];
    uint32_t serial[2];                     /* behind DIFF_SERIAL */
    struct answer_rrs part[SECTIONS][2];    /* what was held against each other, sorted */
};
/* msg[i].ptr NULL: server i did not answer. Everything in out lives in the arena or in the messages. ERR_NOMEM. */
MUST_USE enum err compare_answers(const struct compare_rules *rules, const struct question *q, const struct bytes msg[2],
                                  struct arena *a, struct compared *out);
/* The records of a part that only one side has (also by their TTL, unless that is ignored): side 0 or 1, in order. */
typedef void compare_visit(void *arg, int side, const struct answer_rr *rr);
void compare_apart(const struct compare_rules *rules, const struct answer_rrs part[2], compare_visit *visit, void *arg);

#endif
