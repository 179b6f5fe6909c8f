/* What a job of core.zones does beside loading: who has rows of its own, what never loaded, what nobody wants any more. */
#include "builder/core_zones_parts.h"

#include "base/log.h"
#include "builder/withdraw.h"

#include <inttypes.h>
#include <stdlib.h>

void pass_failed(struct pass *p, enum err err, const char *text)
{
    if (p->err != OK)
        return;
    p->err = err;
    (void)fault_set(&p->fault, err, "%s", text != NULL && text[0] != '\0' ? text : err_text(err));
}

/* --- zones with records of their own ------------------------------------------------------------------------------- */
bool pass_has_row(struct pass *p, struct bytes apex)
{
    struct zone_row row;
    enum err err = p->rows != NULL ? source_zone(p->rows, apex, &row) : ERR_NOTFOUND;
    if (err != OK && err != ERR_NOTFOUND)
        pass_failed(p, err, "cannot read the zones' rows");
    return err != ERR_NOTFOUND;         /* who does not know lets go */
}

bool pass_rows_begin(struct pass *p)
{
    struct fault fault = { "" };
    enum err err = p->z->o.source != NULL ? source_begin(p->z->o.source, SOURCE_READ, &p->rows, &fault) : OK;
    if (err != OK)
        pass_failed(p, err, fault.text);
    return err == OK;
}

void pass_rows_end(struct pass *p)
{
    source_abort(p->rows);
    p->rows = NULL;
}

/* --- zones that never loaded ------------------------------------------------------------------------------------- */
struct without { struct pass *p; struct zone_want **want; };

static void on_empty(void *arg, size_t i, bool was, uint64_t seq)
{
    const struct without *w = arg;
    char name[NAME_TEXT_MAX + 16];
    if (was)
        log_warn("zone.empty", "zone=%s seq=%" PRIu64 " next=\"SERVFAIL everywhere until its file is good\"",
                 log_quote(name, sizeof name, w->want[i]->text), seq);
}

void pass_publish_empty(struct pass *p)
{
    struct zones *z = p->z;
    size_t room = p->refused > 0 ? p->refused : 1, n = 0;
    struct name *apex = calloc(room, sizeof *apex);
    struct without w = { p, calloc(room, sizeof *w.want) };
    struct fault fault = { "" };
    enum err err = apex != NULL && w.want != NULL ? OK : ERR_NOMEM;
    for (size_t i = 0; i < z->list.n && n < p->refused && err == OK; i++) {
        if (!z->list.zones[i].refused || z->list.zones[i].foreign)
            continue;
        apex[n] = z->list.zones[i].apex;
        w.want[n++] = &z->list.zones[i];
    }
    if (err == OK && n > 0)
        err = empty_zones(z->o.committer, z->view, apex, n, z->o.stop, on_empty, &w, &fault);
    if (err != OK)
        pass_failed(p, err, fault.text);
    free(apex);
    free(w.want);
}

/* --- withdrawing ------------------------------------------------------------------------------------------------- */
/* Zones that we brought and that nobody wants any more. */
struct unwanted { struct pass *p; struct name *apex; size_t *place, n; bool *gone; };      /* place: in z->known */

static void on_withdrawn(void *arg, size_t i, bool was, uint64_t seq)
{
    struct unwanted *u = arg;
    struct zones *z = u->p->z;
    char name[NAME_TEXT_MAX + 16];
    u->gone[u->place[i]] = true;
    u->p->withdrawn += was;
    stat_add(&z->stats.withdrawals, was);
    if (was)
        log_line(u->n > ZONES_LINES_MOST ? LOG_DEBUG : LOG_INFO, "zone.withdrawn", "zone=%s seq=%" PRIu64,
                 log_quote(name, sizeof name, z->known.zones[u->place[i]].text), seq);
}

static enum err find_unwanted(struct unwanted *u, const struct zones *z)
{
    struct pass *p = u->p;
    size_t room = z->known.n > 0 ? z->known.n : 1;
    u->apex = calloc(room, sizeof *u->apex);
    u->place = calloc(room, sizeof *u->place);
    u->gone = calloc(room, sizeof *u->gone);
    if (u->apex == NULL || u->place == NULL || u->gone == NULL)
        return ERR_NOMEM;
    if (!pass_rows_begin(p))
        return p->err;
    for (size_t i = 0; i < z->known.n; i++) {
        if (zonelist_find(&z->list, name_bytes(&z->known.zones[i].apex)) != NULL)
            continue;
        if (pass_has_row(p, name_bytes(&z->known.zones[i].apex))) {
            u->gone[i] = p->err == OK;      /* its line was refused: it was never ours */
            continue;
        }
        u->apex[u->n] = z->known.zones[i].apex;
        u->place[u->n++] = i;
    }
    pass_rows_end(p);
    return OK;
}

void pass_withdraw(struct pass *p)
{
    struct zones *z = p->z;
    struct unwanted u = { .p = p };
    struct fault fault = { "" };
    size_t kept = 0;
    enum err err = find_unwanted(&u, z);
    if (err == OK && u.n > 0)
        err = withdraw_zones(z->o.committer, z->view, u.apex, u.n, z->o.stop, on_withdrawn, &u, &fault);
    if (err != OK)
        pass_failed(p, err, fault.text);
    for (size_t i = 0; i < z->known.n && u.gone != NULL; i++)
        if (!u.gone[i])
            z->known.zones[kept++] = z->known.zones[i];
    if (u.gone != NULL)
        z->known.n = kept;
    free(u.apex);
    free(u.place);
    free(u.gone);
}

/* --- DIR/zones.list ---------------------------------------------------------------------------------------------- */
void pass_remember(struct pass *p)
{
    struct zones *z = p->z;
    struct fault fault = { "" };
    struct zonelist again;
    bool missing = false;
    for (size_t i = 0; i < z->list.n && !missing; i++)
        missing = zonelist_find(&z->known, name_bytes(&z->list.zones[i].apex)) == NULL;
    if (!missing)
        return;
    enum err err = zonelist_write(&z->list, &z->known, z->o.dir, &fault);
    zonelist_init(&again);
    if (err == OK)
        err = zonelist_read(&again, z->o.dir, &fault);
    if (err != OK) {
        pass_failed(p, err, fault.text);
        zonelist_release(&again);
        return;
    }
    zonelist_release(&z->known);
    z->known = again;
}

void pass_forget(struct pass *p, size_t known_before)
{
    struct zones *z = p->z;
    struct fault fault = { "" };
    static const struct zonelist none;
    if (z->known.n == known_before)
        return;
    enum err err = zonelist_write(&z->known, &none, z->o.dir, &fault);
    if (err != OK)
        pass_failed(p, err, fault.text);
}
