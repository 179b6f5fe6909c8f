/* PowerDNS's API: a zone as text, and what is asked of it as a whole. */
#include "builder/pdns_parts.h"
#include "builder/wishes.h"

#include "builder/zonefile.h"

#include <stdlib.h>
#include <string.h>

/* --- export ------------------------------------------------------------------------------------------------------------ */
struct text { struct pdns_text *out; const atomic_bool *stop; enum err err; };

static bool on_row(void *arg, const struct row *row)
{
    struct text *t = arg;
    for (size_t i = 0; i < row->n && t->err == OK; i++) {
        const struct zone_rr rr = { .owner = row->owner, .rdata = row->rr[i].rdata, .ttl = row->ttl, .type = row->type };
        size_t cap = 5 * rr.rdata.len + 2 * NAME_TEXT_MAX;
        if (row->rr[i].disabled)
            continue;
        char *line = malloc(cap);
        t->err = line == NULL ? ERR_NOMEM : rr_to_text(&rr, line, cap, NULL);
        if (t->err == OK && (!pdns_text_add(t->out, line, strlen(line)) || !pdns_text_add(t->out, "\n", 1)))
            t->err = ERR_NOMEM;
        free(line);
    }
    if (t->err == OK && atomic_load(t->stop))           /* the core ends */
        t->err = ERR_NOTNOW;
    return t->err == OK;
}

enum api_next pdns_zone_export(struct pdns *p, const struct api_work *w)
{
    struct fault fault = { "" };
    struct text t = { &p->out, w->stop, OK };
    if (!pdns_zone_find(p, w))
        return API_REPLY;
    enum err err = pdns_rows(&p->zone, pdns_txn(p, w, &fault), w->view, bytes_of(NULL, 0), on_row, &t, &fault);
    if (err == OK)
        err = t.err;
    if (err != OK)
        return pdns_failed(p, err, &fault);
    if (!p->text)
        return pdns_reply(p, 200, json_pack("{s:s}", "zone", p->out.at != NULL ? p->out.at : ""));
    return pdns_reply_text(p, 200, "text/plain; charset=us-ascii");
}

/* --- orders ------------------------------------------------------------------------------------------------------------ */
/* Edges have each change without being asked; there is nobody else here who would be told. */
enum api_next pdns_zone_notify(struct pdns *p, const struct api_work *w)
{
    if (!pdns_zone_find(p, w))
        return API_REPLY;
    if (w->wishes == NULL || wishes_put(w->wishes, WISH_NOTIFY, name_bytes(&p->zone.row.apex), NULL) != OK)
        return pdns_refuse(p, "%s", "Failed to add to the queue - see server log");
    return pdns_reply(p, 200, json_pack("{s:s}", "result", "Notification queued"));
}

enum api_next pdns_zone_retrieve(struct pdns *p, const struct api_work *w)
{
    if (!pdns_zone_find(p, w))
        return API_REPLY;
    const char *name = pdns_text_of(&p->c->arena, name_bytes(&p->zone.row.apex));
    if (p->zone.settings.kind != ZONE_SECONDARY || p->zone.settings.primaries_n == 0)
        return pdns_refuse(p, "Domain '%s' is not a slave domain (or has no master defined)", name != NULL ? name : "");
    if (w->wishes == NULL || wishes_put(w->wishes, WISH_TRANSFER_ALL, name_bytes(&p->zone.row.apex), NULL) != OK)
        return pdns_refuse(p, "%s", "Failed to add to the queue - see server log");
    return pdns_reply(p, 200, json_pack("{s:o}", "result", json_sprintf("Added retrieval request for '%s' from master %s",
                                                                       name != NULL ? name : "", p->zone.settings.primaries[0].address)));
}

/* What proofs need of a zone is laid out with each change. */
enum api_next pdns_zone_rectify(struct pdns *p, const struct api_work *w)
{
    if (!pdns_zone_find(p, w))
        return API_REPLY;
    return pdns_reply(p, 200, json_pack("{s:s}", "result", "Rectified"));
}

/* --- DNSSEC keys: there are none here ----------------------------------------------------------------------------------- */
enum api_next pdns_keys(struct pdns *p, const struct api_work *w)
{
    return pdns_zone_find(p, w) ? pdns_reply(p, 200, json_array()) : API_REPLY;
}

enum api_next pdns_key(struct pdns *p, const struct api_work *w)
{
    return pdns_zone_find(p, w) ? pdns_status(p, 404) : API_REPLY;
}

enum api_next pdns_keys_refuse(struct pdns *p, const struct api_work *w)
{
    const char *type;
    if (!pdns_zone_find(p, w) || !pdns_body(p) || (type = pdns_string(p, p->c->json, "keytype")) == NULL)
        return API_REPLY;
    if (strcmp(type, "ksk") != 0 && strcmp(type, "zsk") != 0 && strcmp(type, "csk") != 0)
        return pdns_refuse(p, "Invalid keytype %s", type);
    return pdns_refuse(p, "This server does not sign zones: load them signed");
}
