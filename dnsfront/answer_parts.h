/* What answer.c and chain.c share: the answerer itself. */
#ifndef AZOTH_DNSFRONT_ANSWER_PARTS_H
#define AZOTH_DNSFRONT_ANSWER_PARTS_H

#include "dnsfront/cache.h"
#include "dnsfront/gaps.h"
#include "dnsfront/proof.h"

struct prepared {                   /* a query of the batch */
    const uint8_t *query;
    struct cache_key key;
    const struct foretold *foretold;            /* NULL: it will hardly take a look-up */
};
struct foretold { struct rrkey owner; uint8_t key[RRKEY_MAX + 8]; };    /* its name, and what is looked for, with room behind it */

struct answerer {
    struct lookup look;
    struct option_values values;                /* borrowed from the options */
    struct bytes version;                       /* the same */
    uint8_t options[OPTIONS_MAX];               /* of the answer at hand */
    struct subject subject;                     /* the name at hand */
    struct name chain[ANSWER_LINKS_MAX + 1];    /* alias targets so far */
    struct proofs proofs;
    struct answer_said said;                    /* of the last answer */
    struct cache *cache;                        /* NULL: none */
    struct gaps *gaps;                          /* this worker's, of the cache; NULL: none */
    unsigned worker;                            /* whose part of it is written */
    uint32_t zone_place;                        /* of the link at hand, in the table of changes */
    struct cache_key key;                       /* of a question that was not prepared */
    struct cache_key star;                      /* of the wildcard that may answer it */
    unsigned prepared_n, prepared_at;
    bool denies;                                /* the last name that was not there, asked for with DO, took a proof */
    struct prepared prepared[ANSWER_BATCH];
    uint64_t foresee_leaves;                    /* a tree of fewer is not worth it */
    uint64_t leaves_version;                    /* of the view in which they were counted; 0: none yet */
    bool foresees;
    const struct foretold *asked;               /* the question at hand; NULL: nothing was made ready */
    struct foretold spare;                      /* for one that was not: its name alone */
    struct foreseen foreseen[ANSWER_BATCH];     /* where the look-ups end */
    struct foretold foretold[ANSWER_BATCH];     /* one of each */
};

/* chain.c: the answer to a question of class IN, for a name that may be ours. Sets sections, rcode, AA and TC. */
void answer_in(struct answerer *a, struct reply *r);

#endif
