/* Many zones into one store. The store's crew reads and scans files ahead; the caller's thread builds and commits.
 * Small zones share a sync: they are staged, and flushed together. Staged data is not seen by views, so a zone that stands
 * above or below a staged one waits for the flush; so does its report. */
#include "builder/load.h"

#include "base/clock.h"
#include "builder/near.h"
#include "builder/readahead.h"
#include "builder/records.h"

#include <inttypes.h>
#include <stdlib.h>

#define FLUSH_BYTES ((size_t)16 << 20)
#define FLUSH_ZONES 4096

struct pending {
    size_t zone;
    enum err err;
    bool changed, includes;
    uint64_t seq, records, puts, deletes;
    struct complaints *complaints;  /* NULL: none */
    char *fault;                    /* NULL: none */
};
struct loader {
    struct committer *c;
    struct crew *crew;
    struct view *view;
    const struct load_zone *zones;
    size_t n;
    const struct load_options *o;
    load_told_fn *told;
    void *arg;
    struct near near;               /* names at, above and below which something is staged */
    size_t staged;
    struct pending *pending;        /* to be told when what is staged is in; in order */
    size_t pending_n, pending_cap;
    struct op_list ops;
    size_t refused;
    bool dry;                       /* build, but commit nothing: the first round of a strict load */
};

/* --- reports -------------------------------------------------------------------------------------------------- */
static void tell(struct loader *l, const struct pending *p)
{
    static const struct complaints none;
    struct load_report r = { .zone = &l->zones[p->zone], .err = p->err,
                             .complaints = p->complaints != NULL ? p->complaints : &none,
                             .fault = p->fault != NULL ? p->fault : "", .changed = p->changed,
                             .includes = p->includes, .seq = p->seq, .records = p->records, .puts = p->puts,
                             .deletes = p->deletes };
    l->refused += p->err != OK;
    if (l->told != NULL)
        l->told(l->arg, &r);
}

static void drop_pending(struct loader *l)
{
    for (size_t i = 0; i < l->pending_n; i++) {
        free(l->pending[i].complaints);
        free(l->pending[i].fault);
    }
    l->pending_n = 0;
}

/* why: how the flush of what is staged ended; zones that were not changed by it keep their own outcome. */
static void tell_pending(struct loader *l, enum err why, const struct fault *fault)
{
    for (size_t i = 0; i < l->pending_n; i++) {
        struct pending *p = &l->pending[i];
        if (why != OK && p->err == OK && p->changed) {
            p->err = why;
            p->changed = false;
            p->seq = p->puts = p->deletes = 0;
            p->fault = strdup(fault_text(fault, why));
        }
        tell(l, p);
    }
    drop_pending(l);
}

static enum err add_pending(struct loader *l, const struct pending *p, const struct complaints *c, const char *fault)
{
    if (l->pending_n == l->pending_cap) {
        size_t cap = l->pending_cap == 0 ? 64 : l->pending_cap * 2;
        struct pending *grown = realloc(l->pending, cap * sizeof *grown);
        if (grown == NULL)
            return ERR_NOMEM;
        l->pending = grown;
        l->pending_cap = cap;
    }
    struct pending copy = *p;
    if (c->errors_n + c->warnings_n > 0) {
        if ((copy.complaints = malloc(sizeof *c)) == NULL)
            return ERR_NOMEM;
        *copy.complaints = *c;
    }
    if (fault[0] != '\0' && (copy.fault = strdup(fault)) == NULL) {
        free(copy.complaints);
        return ERR_NOMEM;
    }
    l->pending[l->pending_n++] = copy;
    return OK;
}

/* --- committing ----------------------------------------------------------------------------------------------- */
static enum err flush(struct loader *l, struct fault *fault)
{
    enum err err = l->staged > 0 ? commit_flush(l->c, fault) : OK;
    l->staged = 0;
    near_clear(&l->near);
    if (!l->dry)
        tell_pending(l, err, fault);
    return err;
}

static enum err build(struct loader *l, struct zone *z, struct complaints *c, struct fault *fault)
{
    struct zone_build_options o = { .kind = l->o->kind, .force = l->o->force, .crew = l->crew,
                                    .now_s = clock_wall_s() };
    op_list_restart(&l->ops);
    enum err err = view_begin(l->view);
    if (err != OK)
        return fault_set(fault, err, "cannot read the store");
    err = zone_build(z, l->view, &o, c, &l->ops, fault);
    view_end(l->view);
    return err;
}

static void count_ops(const struct op_list *ops, struct pending *p)
{
    for (size_t i = 0; i < ops->n; i++) {
        p->puts += ops->ops[i].kind == OP_PUT;
        p->deletes += ops->ops[i].kind == OP_DEL;
    }
    p->changed = ops->n > 0;
}

/* Errors of this one zone; others mean that the store failed. */
static bool of_the_zone(enum err err)
{
    return err == ERR_REFUSED || err == ERR_LIMIT || err == ERR_BAD || err == ERR_NOTFOUND || err == ERR_IO;
}

/* What is staged, views do not see yet: they still show what was there before. */
static enum err note(struct loader *l, struct bytes apex, uint64_t seq, struct fault *fault)
{
    const struct author by = { .via = l->o->via != 0 ? l->o->via : VIA_FILE };
    enum err err = view_begin(l->view);
    if (err != OK) {
        commit_drop(l->c);
        return fault_set(fault, err, "cannot read the store");
    }
    err = journal_note(l->c, l->view, apex, l->ops.ops, l->ops.n, seq, &by, l->o->force, fault);
    view_end(l->view);
    return err;
}

static enum err stage(struct loader *l, const struct readahead_zone *rz, struct pending *p, struct fault *fault)
{
    if (l->dry)
        return OK;
    enum err err = commit_stage(l->c, l->ops.ops, l->ops.n, &p->seq, fault);
    if (err == OK && l->ops.n > 0)
        err = note(l, name_bytes(&rz->zone.apex), p->seq, fault);
    if (err == OK && l->ops.n > 0) {
        l->staged++;
        near_add(&l->near, name_bytes(&rz->zone.apex));
    }
    if (err != OK && err != ERR_LIMIT)
        l->staged = 0;                          /* all of it is gone */
    return err;
}

static enum err take_zone(struct loader *l, struct readahead_zone *rz)
{
    struct fault *fault = &rz->fault;
    struct pending p = { .zone = rz->index, .err = rz->err, .includes = rz->zone.includes };
    enum err err;
    if (p.err == OK && near_has(&l->near, name_bytes(&rz->zone.apex)) && (err = flush(l, fault)) != OK)
        return err;
    if (p.err == OK)
        p.err = build(l, &rz->zone, rz->complaints, fault);
    if (p.err == OK) {
        p.records = rz->zone.n;
        readahead_done(rz);
        count_ops(&l->ops, &p);
        if ((p.err = stage(l, rz, &p, fault)) != OK && p.err != ERR_LIMIT) {
            tell_pending(l, p.err, fault);
            return p.err;
        }
    }
    if (p.err != OK && !of_the_zone(p.err)) {
        enum err why = p.err;
        struct fault second = { .text = "" };
        return flush(l, &second) == OK ? why : ERR_STORE;       /* what was staged before is sound */
    }
    if (p.err != OK)
        p.changed = false;
    l->refused += l->dry && p.err != OK;
    if ((err = add_pending(l, &p, rz->complaints, p.err == OK ? "" : fault_text(fault, p.err))) != OK)
        return err;
    if (l->staged >= FLUSH_ZONES || l->staged == 0 || commit_staged_bytes(l->c) >= FLUSH_BYTES)
        return flush(l, fault);
    return OK;
}

static bool stopped(const struct loader *l) { return l->o->stop != NULL && *l->o->stop; }

static enum err run(struct loader *l, struct readahead *ra, struct fault *fault)
{
    struct readahead_zone *rz;
    enum err err = OK;
    while (err == OK && !stopped(l) && (rz = readahead_take(ra)) != NULL) {
        if ((err = take_zone(l, rz)) != OK)
            (void)fault_set(fault, err, "%s", fault_text(&rz->fault, err));
        readahead_give_back(ra, rz);
    }
    if (err == OK)
        err = flush(l, fault);
    if (err == OK && stopped(l))
        err = fault_set(fault, ERR_NOTNOW, "stopped before all zones were loaded");
    return err;
}

/* --- strict: all or none -------------------------------------------------------------------------------------- */
/* After the dry round: tells all when some were refused, or when a file was changed meanwhile. */
static enum err strict_verdict(struct loader *l, const struct readahead *ra, struct fault *fault)
{
    size_t moved;
    if (l->refused == 0 && readahead_unchanged(ra, &moved)) {
        drop_pending(l);
        return OK;
    }
    for (size_t i = 0; i < l->pending_n; i++) {
        struct pending *p = &l->pending[i];
        if (p->err == OK)
            p->fault = strdup(l->refused > 0 ? "not loaded: another zone was refused"
                                             : "not loaded: a file changed meanwhile");
        p->err = p->err == OK ? ERR_REFUSED : p->err;
        p->changed = false;
        p->puts = p->deletes = 0;
    }
    size_t refused = l->refused;
    tell_pending(l, OK, NULL);
    return fault_set(fault, ERR_REFUSED, refused > 0 ? "%zu of %zu zones refused, none is loaded"
                                                     : "%zu of %zu zones refused, a file changed meanwhile: none is loaded",
                     refused, l->n);
}

static enum err round_of(struct loader *l, bool dry, struct fault *fault)
{
    struct readahead *ra;
    enum err err = readahead_open(&ra, l->zones, l->n, l->crew, fault);
    if (err != OK)
        return err;
    l->dry = dry;
    err = run(l, ra, fault);
    if (err == OK && dry)
        err = strict_verdict(l, ra, fault);
    readahead_close(ra);
    return err;
}

enum err load_zones(struct committer *c, struct store *s, const struct load_zone *zones, size_t n,
                    const struct load_options *o, load_told_fn *told, void *arg, struct fault *fault)
{
    if (n == 0)
        return OK;
    struct loader *l = calloc(1, sizeof *l);
    if (l == NULL)
        return ERR_NOMEM;
    *l = (struct loader){ .c = c, .crew = store_crew(s), .zones = zones, .n = n, .o = o, .told = told, .arg = arg };
    op_list_init(&l->ops);
    enum err err = commit_settle(c, fault);         /* else it came with commit_stage, behind the view */
    if (err == OK || err == ERR_NOTNOW)
        err = view_open(s, &l->view, fault);
    if (err == OK && o->strict)
        err = round_of(l, true, fault);
    if (err == OK)
        err = round_of(l, false, fault);
    if (err == OK && l->refused > 0)
        err = fault_set(fault, ERR_REFUSED, "%zu of %zu zones refused", l->refused, n);
    drop_pending(l);
    free(l->pending);
    op_list_release(&l->ops);
    view_close(l->view);
    free(l);
    return err;
}
