/* What the files of PowerDNS's API share; for them only. */
#ifndef AZOTH_BUILDER_PDNS_PARTS_H
#define AZOTH_BUILDER_PDNS_PARTS_H

#include "builder/api_parts.h"
#include "builder/pdns.h"
#include "builder/rrjson.h"

#define PDNS_VERSION "4.7.3"                /* of PowerDNS's server whose API this is: clients decide by it what they may ask */
#define PDNS_BASE "/api/v1/servers/localhost"
#define PDNS_TTL 3600                       /* of the SOA and NS that a zone gets */

struct pdns;
typedef enum api_next pdns_fn(struct pdns *p, const struct api_work *w);

struct pdns_zone {                          /* as it is in the source or, without a row there, in the store */
    bool is_file;                           /* no row */
    struct zone_row row;                    /* row.apex always */
    struct zone_settings settings;          /* must be released */
};
struct pdns_edit;
struct pdns_text { char *at; size_t len, cap; };
/* One request; in the call's arena. */
struct pdns {
    struct api_call *c;
    enum api_method method;
    struct bytes body;
    const char *query;                      /* as sent; "" none */
    const char *id, *arg, *arg2;            /* parts of the path that stand for something, decoded; "" none */
    bool text;                              /* the client would rather not have JSON */
    struct pdns_zone zone;
    struct source_txn *txn;                 /* of the work at hand */
    pdns_fn *work, *finish;                 /* what comes next */
    int status;                             /* of the reply that shows the zone */
    struct pdns_edit *edits; size_t edits_n;        /* of PATCH */
    uint32_t old_serial;
    const char *kind; json_t *values;       /* of metadata: the reply is about these; values in c->json or owned by extra */
    json_t *extra;                          /* dropped with the call */
    struct pdns_text out;                   /* the same */
    struct zone *whole;                     /* a zone to be made; dropped with the call */
    struct bytes settings;                  /* of it */
};

/* --- replies (pdns.c) ------------------------------------------------------------------------------------------------ */
/* The object is taken; NULL: out of memory. */
enum api_next pdns_reply(struct pdns *p, int status, json_t *object);
/* A reply without JSON: the words of the status, or nothing for 200, 201 and 204. */
enum api_next pdns_status(struct pdns *p, int status);
/* 422 with {"error": ...}. */
enum api_next pdns_refuse(struct pdns *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Something that could not be read. */
enum api_next pdns_failed(struct pdns *p, enum err err, const struct fault *fault);
/* A body that is made piece by piece; p->out, which becomes the reply's without a copy. false: out of memory. */
bool pdns_text_add(struct pdns_text *t, const char *text, size_t len);
bool pdns_text_json(struct pdns_text *t, const json_t *v);          /* behind ", " when something but [ stands there */
enum api_next pdns_reply_text(struct pdns *p, int status, const char *type);
void pdns_header(struct pdns *p, const char *name, const char *value);
/* Goes on in the reading thread. */
enum api_next pdns_then(struct pdns *p, pdns_fn *work);
/* The reading transaction of the work at hand; NULL: *fault says why. */
struct source_txn *pdns_txn(struct pdns *p, const struct api_work *w, struct fault *fault);
/* p->c->change of this kind for p->zone; told: what makes the reply when it is done; refused ones are answered before. */
enum api_next pdns_change(struct pdns *p, enum change_kind kind, change_plan_fn *plan, pdns_fn *told);

/* --- what a request says (pdns_read.c) -------------------------------------------------------------------------------- */
/* A parameter of the query; NULL: it is not there. */
const char *pdns_param(struct pdns *p, const char *name);
/* The part of a path or query that text[0..len) stands for; NULL: out of memory. Wrong escapes stay as they are. */
const char *pdns_decode(struct arena *a, const char *text, size_t len, bool query);
/* The body as c->json. false: the reply says why. */
bool pdns_body(struct pdns *p);
/* A member that must be a string; NULL: the reply says why. */
const char *pdns_string(struct pdns *p, const json_t *o, const char *member);
/* A member that may be a string. */
const char *pdns_string_or(const json_t *o, const char *member, const char *other);
bool pdns_bool_or(const json_t *o, const char *member, bool other);
/* A domain name that ends in a dot. false: the reply says why. */
bool pdns_name(struct pdns *p, const char *text, struct name *out);
/* Letters that PowerDNS takes in names. false: the reply says why. */
bool pdns_name_letters(struct pdns *p, const struct name *name);
const char *pdns_text_of(struct arena *a, struct bytes name);
/* The zone's name in paths: what is no letter, digit, dot or hyphen as =XX; and back. ERR_BAD: no such id; ERR_LIMIT: no such name. */
const char *pdns_id_of(struct arena *a, struct bytes name);
MUST_USE enum err pdns_id_read(struct arena *a, const char *id, const char **text, struct name *out);

/* --- zones ------------------------------------------------------------------------------------------------------------ */
void pdns_zone_release(struct pdns_zone *z);
/* p->zone by p->id. false: the reply says why (404). */
bool pdns_zone_find(struct pdns *p, const struct api_work *w);
/* What the list shows, with `all` also what a zone alone shows; without its rrsets. t: a reading transaction. */
json_t *pdns_zone_object(struct pdns *p, const struct pdns_zone *z, struct source_txn *t, const struct api_work *w, bool all, bool dnssec);
/* The serial of its SOA; 0: it has none. */
uint32_t pdns_serial(const struct pdns_zone *z, struct source_txn *t, struct view *v);
/* All zones, those with rows first; until visit gives false. */
typedef bool pdns_zone_visit(void *arg, const struct pdns_zone *z, enum err *err, struct fault *fault);
MUST_USE enum err pdns_each_zone(struct pdns *p, const struct api_work *w, pdns_zone_visit *visit, void *arg, struct fault *fault);
/* All RRsets of a zone, from its rows or from the store; until visit gives false. */
MUST_USE enum err pdns_rows(const struct pdns_zone *z, struct source_txn *t, struct view *v, struct bytes owner,
                            row_visit_fn *visit, void *arg, struct fault *fault);

/* --- settings (pdns_settings.c) ---------------------------------------------------------------------------------------- */
const char *pdns_kind_of(const struct zone_settings *s);                /* Native, Master, Slave, Producer, Consumer */
const char *pdns_edit_of(const struct zone_settings *s);                /* soa_edit_api */
json_t *pdns_masters_of(const struct zone_settings *s);                 /* ADDR or ADDR:PORT */
/* The kind that a member "kind" means; what is no kind means Native. */
enum zone_kind pdns_kind_read(const char *text);
/* Members of o over what *s says. ERR_REFUSED: *fault has PowerDNS's words. Strings go into a; s->pdns is changed in place. */
MUST_USE enum err pdns_settings_apply(struct zone_settings *s, const json_t *o, struct bytes apex, struct arena *a, struct fault *fault);
/* The TSIG keys that o names are there. false: the reply says why. */
bool pdns_keys_exist(struct pdns *p, const struct api_work *w, const json_t *o);
/* One member of s->pdns; value is taken. ERR_NOMEM. */
MUST_USE enum err pdns_keep(struct zone_settings *s, const char *member, json_t *value);
/* A kind of metadata has these values now (NULL: none): what that means for s (pdns_acts.c). ERR_REFUSED: too many. */
MUST_USE enum err pdns_act(struct zone_settings *s, const char *kind, const json_t *values, struct arena *a, struct fault *fault);
/* all: {kind: [value]}. What s says without any of these values, put there by another way, is one more of them. */
void pdns_act_show(const struct zone_settings *s, json_t *all);
/* "ADDRESS", "ADDRESS:PORT" or "[ADDRESS]:PORT" as ADDRESS or ADDRESS@PORT. */
bool pdns_address_read(const char *text, char *out, size_t cap);
/* And back, of the first len bytes of a text. A new reference. */
json_t *pdns_address_json(const char *text, size_t len);

/* --- RRsets (pdns_rrsets.c) --------------------------------------------------------------------------------------------- */
enum pdns_what { PDNS_REPLACE, PDNS_DELETE, PDNS_EXTEND, PDNS_PRUNE };
struct pdns_edit { struct row row; enum pdns_what what; bool records, comments; const char *name, *type; };
/* One element of a list "rrsets". create: it is for a new zone, so changetype does not count. false: the reply says why. */
bool pdns_rrset_read(struct pdns *p, const json_t *o, bool create, struct pdns_edit *out);
/* Whether no two records of it are the same, and no more than allowed. false: the reply says why. */
bool pdns_rrset_check(struct pdns *p, const struct pdns_edit *e);
/* GET of a zone, also behind its making: p->status is the reply's. */
pdns_fn pdns_zones, pdns_zones_post, pdns_zone_get, pdns_zone_put, pdns_zone_patch, pdns_zone_delete, pdns_zone_export;
pdns_fn pdns_zone_notify, pdns_zone_retrieve, pdns_zone_rectify;
pdns_fn pdns_metadata, pdns_metadata_post, pdns_metadata_one, pdns_metadata_put, pdns_metadata_delete;
pdns_fn pdns_keys, pdns_keys_refuse, pdns_key;
pdns_fn pdns_search, pdns_tsigs, pdns_tsigs_post, pdns_tsig, pdns_tsig_put, pdns_tsig_delete;
pdns_fn pdns_root, pdns_v1, pdns_servers, pdns_server, pdns_config, pdns_statistics, pdns_flush, pdns_autoprimaries,
        pdns_autoprimaries_refuse;

#endif
