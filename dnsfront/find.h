/* The look-up: which records answer a question, found with one descent of the tree and a look at its neighbours.
 *
 *     question ─► key(name, slot) ─► cursor_seek ─► S, the first key at or behind it   P, the last key before it
 *
 *     S is the key           the RRset, or the CNAME in its place, or the referral of a cut
 *     S or P has the owner   the name exists: alias, cut, or no data
 *     S is below the name    the name is an empty non-terminal: no data
 *     else                   the name is not there. P tells its zone (nothing of the zone lies between P and the name),
 *                            a cut or DNAME above it (P's owner), and with S the closest encloser for a wildcard
 *
 * P and S in zones nested below the name's own cost further descents (step "zone"). */
#ifndef AZOTH_DNSFRONT_FIND_H
#define AZOTH_DNSFRONT_FIND_H

#include "dnsfront/answer.h"
#include "dnsfront/changes.h"
#include "dnsfront/zones.h"

#define FIND_ZONE_SEEKS 64          /* descents that one look-up may spend on stepping over nested zones */

/* A name that is certainly not there (known.h), and whose say that is. All about it follows from the filter and the zone's
 * header: NXDOMAIN without a proof needs no more. */
struct absence {
    bool ours;                      /* false: it is in none of our zones, and nothing of what follows is set */
    bool starred;                   /* there may be a wildcard at encloser_at, and none between there and the name */
    size_t encloser_at;             /* where the deepest name above it that may be there begins in the name */
    size_t apex_at;                 /* where the apex begins */
    unsigned zone;                  /* labels of the apex */
    const struct zone_entry *header;
};

/* The keys around a name's place; high empty: there is none behind it. Borrowed from the view. */
struct gap_edges { struct bytes low, high; };

struct lookup {                     /* what every look-up of a worker works with */
    struct cursor *cursor;
    struct view *view;
    struct zones *zones;
    struct cache *headers;          /* of zones that the table does not hold; NULL: none */
    unsigned worker;                /* whose part of it is written */
    struct answer_counters *counts;
    struct watch watch;             /* what changed since something was kept */
    struct trace trace;             /* what this answer hangs on */
    const struct absence *absence;  /* of the question's name; NULL: it may be there */
    struct gap_edges edges;         /* what find_denied found around the name; low empty before */
    const struct foreseen *foreseen;        /* of the question, with find_key; NULL: nothing was */
    uint64_t version;               /* of the view, this query */
    unsigned budget;                /* of FIND_ZONE_SEEKS, this look-up */
};

/* Every descent goes through here, so that none is uncounted. */
static inline MUST_USE enum err lookup_seek(struct lookup *l, enum step step, struct bytes key, struct entry *out)
{
    const struct foreseen *f = step == STEP_EXACT ? l->foreseen : NULL;
    stat_add(&l->counts->descents[step], 1);
    return f != NULL && bytes_equal(key, f->key) ? cursor_seek_foreseen(l->cursor, f, out) : cursor_seek(l->cursor, key, out);
}

/* A name that is asked for: the question's, or an alias target standing in the message already. */
struct subject {
    struct bytes name;              /* uncompressed, any case */
    size_t at;                      /* where it stands in the message */
    struct rrkey key;
};

enum found {
    FOUND_BROKEN,                   /* a stored value does not read, or contradicts another one */
    FOUND_NOZONE,                   /* the name is in none of our zones */
    FOUND_EMPTY,                    /* there is no data at all yet */
    FOUND_DOWN,                     /* the zone is not live */
    FOUND_RRSET,                    /* rr */
    FOUND_ALIAS,                    /* rr: the CNAME */
    FOUND_DNAME,                    /* rr: the DNAME of the ancestor with `owner` labels */
    FOUND_REFERRAL,                 /* blob: the delegation at the ancestor with `owner` labels; ds when has_ds */
    FOUND_NODATA,
    FOUND_NXDOMAIN,
};
struct finding {                    /* everything is borrowed from the view */
    enum found what;
    unsigned zone;                  /* labels of the apex of the zone that answers */
    unsigned owner;                 /* labels of the owner; for a wildcard, and for NXDOMAIN with want_ds in a signed
                                     * zone, those of the closest encloser */
    bool wildcard, has_ds, apex;    /* apex: the owner is one */
    bool starred;                   /* by find_starred: of the wildcard that the filter points to */
    struct blob blob;
    struct rrset rr, ds;
    struct entry before;            /* where the name has no key: the last key before its place; empty: there is none */
    const struct zone_entry *header;        /* of the zone; NULL for NOZONE, EMPTY, BROKEN */
};
/* step: STEP_EXACT for the question, STEP_ALIAS for what follows. want_ds: the client wants DNSSEC: a referral
 * shall carry its DS, NXDOMAIN the closest encloser. */
void find(struct lookup *l, const struct subject *s, uint16_t qtype, enum step step, bool want_ds, struct finding *f);

/* The same for a name that is not there (l->absence), in a zone that proves: what is beside it. false: find has to look. */
bool find_denied(struct lookup *l, const struct subject *s, uint16_t qtype, struct finding *f);

/* Addresses that a zone has for a name, its own ones or glue below one of its cuts. Step "additional". The cut looked at
 * last is kept, so that names below the same one cost one descent together; start with a zeroed struct. */
struct addresses {
    unsigned n;
    struct rrset rr[2];
    struct bytes cut;               /* owner part of its key; empty: none yet */
    struct blob blob;
    struct rd at;                   /* in blob.below: behind the entry found last, as names come in the same order */
};
MUST_USE enum err find_addresses(struct lookup *l, const struct subject *s, unsigned zone, struct addresses *a);

/* The key that the look-up of a name begins with; its length. out: room for RRKEY_MAX. */
size_t find_key(const struct rrkey *k, uint16_t qtype, uint8_t *out);

struct known;
/* The filter of names that may be there, when it says something about this view; else NULL. *round: for known_end. */
const struct known *find_names(const struct lookup *l, uint64_t *round);
/* Is it certain without a descent that the name is not there, and that no DNAME or cut answers for it, nor a wildcard unless
 * out->starred? false: it has to be looked up. name: in lower case, with eight bytes behind it that may be read; hash:
 * hash_of_name of it. */
bool find_absence(struct lookup *l, struct bytes name, uint64_t hash, struct absence *out);
/* For a name that is not there (l->absence, starred): what the wildcard has, with one descent. false: find has to look. */
bool find_starred(struct lookup *l, const struct subject *s, uint16_t qtype, struct finding *f);

/* --- what find.c and nested.c share ------------------------------------------------------------------------------- */
/* A key beside the place looked for, and what it tells. */
struct spot {
    bool there;
    struct entry entry;
    unsigned common;                /* labels that its owner shares with the name */
    unsigned labels;                /* of its owner */
    unsigned zone;                  /* labels of the apex of its owner's zone */
    uint32_t flags;
};
/* Fills *s from its entry. ERR_BAD: not a key or value of ours. */
MUST_USE enum err spot_read(struct spot *s, const struct rrkey *k);
static inline bool spot_is_owner(const struct spot *s, unsigned depth) /* the name's ancestor with that many labels */
{
    return s->there && s->labels == depth && s->common == depth;
}
static inline bool spot_is_below(const struct spot *s, unsigned depth)
{
    return s->there && s->common >= depth && s->labels > depth;
}
uint16_t key_slot(struct bytes key, unsigned owner_len);
/* Length of the label part of the topmost `depth` labels; the key is known to have that many. */
size_t key_prefix(struct bytes key, unsigned depth);

/* How the descent for a name ended. */
enum where { AT_KEY, AT_OWNER, ABSENT };
struct look { enum where where; struct spot *at; struct spot s, p; };      /* at: s or p, unless ABSENT; not copyable */
MUST_USE enum err find_descend(struct lookup *l, const struct rrkey *k, uint16_t qtype, enum step step,
                               struct look *out);
/* The name was not there, look.p and look.s are the keys around it; the cursor stands on p (or s, when there is no p). */
MUST_USE enum err find_absent(struct lookup *l, const struct subject *s, const struct look *look, uint16_t qtype,
                              bool want_ds, struct finding *f);
/* What the wildcard at the closest encloser, which has `encloser` labels, says of the name; f->zone is set. */
MUST_USE enum err find_wildcard(struct lookup *l, const struct subject *s, unsigned encloser, uint16_t qtype, struct finding *f);
/* The delegation at the owner of *at, on which the cursor stands. */
MUST_USE enum err find_referral(struct lookup *l, const struct spot *at, bool want_ds, struct finding *f);

/* Moves *p to the last key before the name that tells the name's zone: afterwards p->there is false (no zone of ours) or
 * p->zone <= p->common. Costs nothing unless p lies in a nested zone. The cursor stands on p. */
MUST_USE enum err nested_walk(struct lookup *l, const struct rrkey *k, struct spot *p);
/* Does the zone whose apex has `zone` labels hold shadowed data at or below the ancestor with `depth` labels? */
MUST_USE enum err nested_held(struct lookup *l, const struct rrkey *k, unsigned depth, unsigned zone, bool *out);
/* Does the ancestor with `depth` labels exist in the zone whose apex has `zone` labels? Steps over nested zones. */
MUST_USE enum err nested_exists(struct lookup *l, const struct rrkey *k, unsigned depth, unsigned zone, bool *out);
/* Labels of the closest encloser. p: as found by the descent, before nested_walk; walked: after it. */
MUST_USE enum err nested_encloser(struct lookup *l, const struct rrkey *k, const struct spot *s, const struct spot *p,
                                  const struct spot *walked, unsigned *out);

#endif
