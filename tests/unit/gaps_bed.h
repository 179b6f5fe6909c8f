/* What the tests of gaps share: an answerer with a cache, whose answers are those of one that keeps nothing. */
#ifndef AZOTH_TESTS_GAPS_BED_H
#define AZOTH_TESTS_GAPS_BED_H

#include "dnsfront/answer_parts.h"
#include "dnsfront/known.h"
#include "tests/unit/cache_bed.h"

struct twins { struct front front; struct answerer *plain; struct answer_counters plain_counts; };

static inline void names_fill(struct twins *t)
{
    static const atomic_bool never;
    struct bed *b = &t->front.bed;
    struct view *v;
    BED(view_open(b->store, &v, &b->fault));
    BED(known_fill(cache_known(t->front.cache), cache_changes(t->front.cache), v, &never));
    view_close(v);
}

static inline void twins_open(struct twins *t, uint64_t bytes)
{
    struct bed *b = &t->front.bed;
    struct answer_options o = { .counts = &t->plain_counts };
    front_open(&t->front, bytes);
    BED(answerer_open(&t->plain, b->view, &o));
}

static inline void twins_close(struct twins *t)
{
    answerer_close(t->plain);
    front_close(&t->front);
}

struct asked { const char *name; uint16_t type; size_t max; bool no_dnssec, tcp; };  /* max: of the transport; 0: the usual one */

/* The answer, which is that of an answerer that keeps nothing; true: it came from a gap. */
static inline bool ask_twins(struct twins *t, const struct asked *row)
{
    struct bed *b = &t->front.bed;
    struct answerer *kept = b->answerer;
    uint64_t before = stat_get(&b->counts.gaps);
    struct name name;
    bed_name(row->name, &name);
    struct ask q = { .qname = name_bytes(&name), .qtype = row->type != 0 ? row->type : TYPE_A, .qclass = CLASS_IN,
                     .udp_size = 1232, .dnssec_ok = !row->no_dnssec, .max = row->max,
                     .tcp = row->tcp, .nsid = row->tcp };
    struct bytes got = bed_ask(b, &q);
    b->answerer = t->plain;
    struct bytes want = bed_ask(b, &q);
    b->answerer = kept;
    if (!bytes_equal(got, want))
        fail_msg("%s: %zu bytes, %zu without a cache", row->name, got.len, want.len);
    bytes_free(got);
    bytes_free(want);
    return stat_get(&b->counts.gaps) > before;
}

/* A name of that zone with an address and proofs. */
static inline bool ask_one(struct twins *t, const char *name) { return ask_twins(t, &(struct asked){ .name = name }); }

#endif
