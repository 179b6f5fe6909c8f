/* Query in, answer out: the pure part of the DNS front end. No socket, no clock, no allocation, no lock; the bytes it
 * needs come from the view of the store that its owner holds open around it.
 *
 *     answerer_open ─► { view_begin ─► answer, answer, ... ─► view_end } ... ─► answerer_close
 *
 *     answer:  query_read ─► find (one descent) ─► put_answer / put_authority / put_additional ─► OPT, header
 *
 * One answerer per worker thread: it owns a cursor, a table of zone headers and scratch space. */
#ifndef AZOTH_DNSFRONT_ANSWER_H
#define AZOTH_DNSFRONT_ANSWER_H

#include "base/stat.h"
#include "store/store.h"

#define ANSWER_MAX 65535            /* no DNS message is longer */
#define ANSWER_UDP_MAX 1232         /* what we send over UDP at most, and tell clients to send (DNS flag day 2020) */
#define ANSWER_LINKS_MAX 16         /* CNAMEs and DNAMEs followed for one question */
#define ANSWER_BATCH 64             /* queries prepared together at most */
#define ANSWER_RCODES 24            /* counted one by one; higher ones do not occur */

/* What a descent of the store's tree was for. Each look-up of a kind counts one step and its cursor_seeks as descents. */
enum step { STEP_EXACT, STEP_ALIAS, STEP_WILDCARD, STEP_ADDITIONAL, STEP_PROOF, STEP_ZONE, STEP_N };
extern const char *const step_names[STEP_N];

enum answer_proto { ANSWER_UDP, ANSWER_TCP, ANSWER_TLS, ANSWER_PROTOS };
struct answer_from {
    enum answer_proto proto;
    size_t max;                     /* the transport's own limit: ANSWER_UDP_MAX or less, ANSWER_MAX */
    struct bytes client;            /* its address, 4 or 16 bytes: what cookies are bound to; empty: not known */
    uint32_t now_s;                 /* Unix time: the age of cookies */
    uint16_t idle_100ms;            /* over TCP and TLS: how long an idle connection is kept (RFC 7828) */
};

/* What the last answer was: what a limit of equal answers goes by. */
enum answer_kind {
    ANSWER_POSITIVE,                /* name: the question's, or the wildcard's closest encloser */
    ANSWER_NODATA,                  /* name: the question's, or the wildcard's closest encloser */
    ANSWER_NXDOMAIN,                /* name: the apex of the zone */
    ANSWER_REFERRAL,                /* name: the cut */
    ANSWER_ERROR,                   /* every other rcode; name: empty */
    ANSWER_KINDS
};
struct answer_said {
    enum answer_kind kind;
    struct bytes name;              /* uncompressed, any case; a suffix of the query's name: borrowed from the query */
    bool known;                     /* the client sent a good server cookie: its address is not forged */
};

/* Bumped by the answerer's thread, read by whoever writes /metrics. */
struct answer_counters {
    stat_count queries[ANSWER_PROTOS];
    stat_count responses[ANSWER_RCODES];
    stat_count dropped;             /* no response: too short or long, port 0, a proxy without a good header, responses themselves */
    stat_count truncated;           /* answers with TC */
    stat_count broken;              /* stored values that did not read: SERVFAIL */
    stat_count descents[STEP_N], steps[STEP_N];
    stat_count absent;              /* names told not to be there without a descent */
    stat_count gaps;                /* and with the proof of that, as it was sent for another name */
    stat_count cache_hits, cache_misses, cache_stores;
    stat_count cache_drops;         /* of everything kept: nobody could say what changed */
};

struct cookie_secrets;
struct answer_options {
    const char *nsid; /* NULL: none. At most 128 bytes are sent. Also id.server and hostname.bind in class CH */
    const char *version;            /* NULL: version.bind is REFUSED */
    struct answer_counters *counts; /* borrowed until answerer_close, as is cookies */
    const struct cookie_secrets *cookies;   /* NULL: none are given out */
};

struct answerer;
/* v: borrowed until answerer_close; NULL: there is no store yet, every question gets SERVFAIL. ERR_NOMEM, ERR_STORE. */
MUST_USE enum err answerer_open(struct answerer **out, struct view *v, const struct answer_options *o);
void answerer_close(struct answerer *a);                    /* NULL is fine */
struct cache;
/* Keeps answers in c, which others may share, as worker number 0..: one answerer each. c: borrowed until answerer_close. */
void answerer_share(struct answerer *a, struct cache *c, unsigned worker);

/* Before the first answer of a batch, between view_begin and view_end: the memory that the answers will look at is asked for
 * all at once, and their descents are made side by side. The queries, at most ANSWER_BATCH count, stay where and as they are
 * until they were answered, in this order, or the next call: they are known again by where they stand. n 0 forgets those that
 * got no answer, view or not. Optional. */
void answer_prepare(struct answerer *a, const struct bytes *queries, unsigned n);

/* The answer's length; 0: send nothing. Between view_begin and view_end. out: room for cap bytes; what is written never
 * exceeds cap, from->max, and over UDP what the client takes. query may not overlap out. */
size_t answer(struct answerer *a, struct bytes query, const struct answer_from *from, uint8_t *out, size_t cap);
/* About the last answer(); until the next one. */
struct answer_said answer_said(const struct answerer *a);
/* In place of an answer that a rate limit holds back: the question with TC=1 and no records, so that an honest client comes
 * again over TCP; to a client that sent a cookie but no good server cookie BADCOOKIE with one (RFC 7873 section 5.2.3).
 * 0: send nothing. Works without a view. */
size_t answer_limited(struct answerer *a, struct bytes query, const struct answer_from *from, uint8_t *out, size_t cap);

#endif
