/* Catalog zones (RFC 9432) as a consumer: what a catalog's records say, and what becomes of its members. Pure.
 *
 *     version.CATZ          TXT "2"             <id>.zones.CATZ        PTR member.example.     one member each
 *     coo.<id>.zones.CATZ   PTR other catalog   group.<id>.zones.CATZ  TXT "group" ...         everything else is passed over
 *
 *     view ─► catalog_read ─► members, or why it is broken         source's zones, in order ─┬─► catalog_look_zone ... _end ─► steps
 *                                        settings of the catalog zone (settings_of_member) ──┘
 *
 * A catalog says what zones there are to be, so its look is a difference between it and the source: what a crash left undone is in the
 * next one. Broken (section 5.1): nothing is done, the members stay as they are. A zone belongs to the catalog that its setting
 * member_of names and to no other: what is there already and belongs elsewhere is a clash and left alone (5.2), unless the catalog
 * that has it gives it away with coo (5.5). Another unique label is another zone of the same name: it is made anew (5.4). */
#ifndef AZOTH_BUILDER_CATALOG_H
#define AZOTH_BUILDER_CATALOG_H

#include "builder/settings.h"
#include "builder/zone.h"

#define CATALOG_MEMBERS_MAX 1000000     /* of one catalog: some 120 bytes each while it is looked at */
#define CATALOG_GROUPS_MAX 64           /* of one member; those behind are passed over */
#define CATALOG_GUARDED 10              /* that many members may go at once, whatever share of all they are */
#define CATALOG_ID_TEXT 256             /* of a label of 63 bytes, each as \DDD */

/* In the catalog's arena, names lower case. id: the unique label without its length. coo: empty, none. */
struct catalog_member { struct bytes apex, id, coo; const struct bytes *groups; size_t groups_n; };
struct catalog {
    struct name apex;
    struct arena arena;
    struct catalog_member *v;           /* ascending by apex */
    size_t n, cap;
    bool broken; char why[FAULT_TEXT_MAX];
    struct catalog_node *node;          /* the one that is being read */
    unsigned versions; bool version_good;
    enum err err;                       /* out of memory */
};
void catalog_init(struct catalog *c, struct bytes apex);
void catalog_release(struct catalog *c);
/* Its records in canonical order; false: no more are wanted. Then catalog_end says whether it is broken. ERR_NOMEM. */
bool catalog_add(struct catalog *c, const struct zone_rr *rr);
MUST_USE enum err catalog_end(struct catalog *c);
/* All of that from the store; c is made by it and released in any case. ERR_NOTFOUND: it has no data (yet). */
MUST_USE enum err catalog_read(struct bytes apex, struct view *v, struct catalog *c, struct fault *fault);
const struct catalog_member *catalog_find(const struct catalog *c, struct bytes apex);      /* NULL: no member */
/* A unique label as settings.member_of has it: with what is not plain escaped. */
const char *catalog_id_text(char out[CATALOG_ID_TEXT], struct bytes id);

enum catalog_what {
    CATALOG_MAKE,       /* a member that is not there */
    CATALOG_SET,        /* its settings are others now, or it came from another catalog */
    CATALOG_RESET,      /* its unique label is another: removed, made */
    CATALOG_REMOVE,     /* no member any more */
};
/* m: NULL of CATALOG_REMOVE. apex, m: of the look or its catalog. guarded: a zone that is ours already goes. */
struct catalog_step { enum catalog_what what; bool guarded; struct bytes apex; const struct catalog_member *m; };
struct catalog_look {
    /* by the caller */
    const struct catalog *catalog;                  /* read, not broken */
    const struct zone_settings *settings;           /* of the catalog zone */
    bool force;                                     /* members may go, however many */
    bool (*is_there)(void *arg, struct bytes apex); /* in the store, without a row: of kind file */
    /* Does the other catalog say that this zone, its member, goes over to ours? */
    bool (*gives)(void *arg, const char *other, struct bytes apex);
    void *arg;
    /* found */
    struct catalog_step *v; size_t n, cap;
    size_t members;                                 /* that the zones say are ours */
    size_t going, held;                             /* to be removed or made anew; held: too many, none of them is */
    size_t clashes; struct name clash;              /* the first one */
    /* inside */
    size_t at;
    struct zone_settings plain;
    bool plain_made;
    struct arena arena, scratch;
};
void catalog_look_init(struct catalog_look *l);
void catalog_look_release(struct catalog_look *l);
/* The source's zones in order, all of them. One whose settings do not read belongs to nobody. ERR_NOMEM. */
MUST_USE enum err catalog_look_zone(struct catalog_look *l, struct bytes apex, struct bytes settings, struct fault *fault);
MUST_USE enum err catalog_look_end(struct catalog_look *l);
/* The settings of a member, over what it has already (before; NULL: it is new). Strings in a; out must be released in any case. */
MUST_USE enum err catalog_settings(const struct catalog_look *l, const struct catalog_member *m, const struct zone_settings *before,
                                   struct arena *a, struct zone_settings *out, struct fault *fault);

/* --- how one stands ------------------------------------------------------------------------------------------------------- */
enum catalog_state { CATALOG_WAITING, CATALOG_GOOD, CATALOG_BROKEN };       /* waiting: it was never transferred, or never looked at */
struct catalog_report {
    enum catalog_state state;
    char why[FAULT_TEXT_MAX];           /* of CATALOG_BROKEN */
    uint64_t members;                   /* that the catalog lists; broken: that it has */
    uint64_t clashes, held, failed;     /* see catalog_look; failed: changes that could not be made, tried again */
    struct name clash;
};
/* Any thread. false: no catalog zone (yet). read NULL: nobody knows. */
struct catalog_reports { bool (*read)(void *arg, struct bytes apex, struct catalog_report *out); void *arg; };

#endif
