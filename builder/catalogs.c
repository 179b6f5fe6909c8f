/* Which catalog is looked at when. */
#include "builder/catalogs_parts.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"

#include <inttypes.h>
#include <stdlib.h>

#define REST_MS 250
#define READ_PART 20                    /* reading which zones there are takes at most so small a part of the time */
#define READ_PAUSE_MS 200
#define AGAIN_MS 5000                   /* behind failures, and where zones clash, when there are other zones than before */
#define CLASH_MS 60000                  /* where zones clash, in any case: those of files come and go without the source */

static int by_apex(const void *a, const void *b)
{
    return name_compare(name_bytes(&((const struct catalogs_one *)a)->apex), name_bytes(&((const struct catalogs_one *)b)->apex));
}

struct catalogs_one *catalogs_find(struct catalogs *cs, struct bytes apex)
{
    struct catalogs_one key = { .apex.len = (uint8_t)apex.len };
    memcpy(key.apex.wire, apex.ptr, apex.len);
    return cs->n == 0 ? NULL : bsearch(&key, cs->v, cs->n, sizeof *cs->v, by_apex);
}

/* --- which there are ------------------------------------------------------------------------------------------------------ */
struct found { struct catalogs_one *v; size_t n, cap; };

static enum err found_add(struct found *f, const struct zone_row *row)
{
    if (f->n == f->cap) {
        size_t cap = f->cap == 0 ? 8 : 2 * f->cap;
        struct catalogs_one *more = realloc(f->v, cap * sizeof *more);
        if (more == NULL)
            return ERR_NOMEM;
        f->v = more;
        f->cap = cap;
    }
    f->v[f->n++] = (struct catalogs_one){ .apex = row->apex, .settings = bytes_fnv(BYTES_FNV_START, row->settings), .due = true };
    return OK;
}

/* One whose settings do not read is a catalog, too: its members must not be let go for that. */
static bool is_catalog(const struct zone_row *row, struct arena *a)
{
    struct zone_settings s;
    if (memmem(row->settings.ptr, row->settings.len, "\"catalog\":{", 11) == NULL)
        return false;
    arena_reset(a);
    bool yes = settings_read(row->settings, a, &s, NULL) != OK || s.catalog != NULL;
    settings_release(&s);
    return yes;
}

static enum err find_all(struct catalogs *cs, struct found *f, struct fault *fault)
{
    struct source_txn *t = NULL;
    struct zone_row row;
    struct name after = { .len = 0 };
    struct arena a;
    enum err err = source_begin(cs->o.source, SOURCE_READ_NAMED, &t, fault);
    if (err != OK)
        return err;
    arena_init(&a);
    while (err == OK && (err = source_zone_next(t, name_bytes(&after), &row)) == OK) {
        after = row.apex;
        if (is_catalog(&row, &a))
            err = found_add(f, &row);
    }
    arena_release(&a);
    source_abort(t);
    return err == ERR_NOTFOUND ? OK : err;
}

/* What was known of a catalog stays, unless its settings moved. Under lock. */
static void take_over(struct catalogs *cs, struct found *f)
{
    for (size_t i = 0; i < f->n; i++) {
        const struct catalogs_one *old = catalogs_find(cs, name_bytes(&f->v[i].apex));
        uint64_t settings = f->v[i].settings;
        if (old == NULL)
            continue;
        f->v[i] = *old;
        if (old->settings != settings) {
            f->v[i].due = true;
            f->v[i].after_ms = 0;
        }
        f->v[i].settings = settings;
    }
    for (size_t i = 0, at = 0; i < cs->n; i++) {
        while (at < f->n && by_apex(&f->v[at], &cs->v[i]) < 0)
            at++;
        if (at == f->n || by_apex(&f->v[at], &cs->v[i]) != 0) {
            cs->orphans = true;
            cs->orphans_at.len = 0;
            cs->orphans_ms = 0;
        }
    }
    free(cs->v);
    cs->v = f->v;
    cs->n = f->n;
}

static void read_catalogs(struct catalogs *cs)
{
    struct found f = { .n = 0 };
    struct fault fault = { "" };
    char why[600];
    uint64_t version = source_version(cs->o.source), now = clock_mono_ms();
    if ((cs->was_read && version == cs->version) || now < cs->read_ms)
        return;
    enum err err = find_all(cs, &f, &fault);
    if (err == OK) {
        (void)pthread_mutex_lock(&cs->lock);
        take_over(cs, &f);
        (void)pthread_mutex_unlock(&cs->lock);
        cs->was_read = true;
        cs->version = version;
    } else {
        free(f.v);
        log_warn("catalog.zones", "err=%s next=\"again in a moment\"", log_quote(why, sizeof why, fault_text(&fault, err)));
    }
    cs->read_ms = clock_mono_ms() + (clock_mono_ms() - now) * READ_PART + READ_PAUSE_MS;
}

/* --- one look ---------------------------------------------------------------------------------------------------------------- */
struct looking {
    struct catalogs *cs;
    struct catalogs_one *one;
    struct catalog catalog;
    struct catalog_look look;
    struct zone_settings settings;
    struct arena arena;
    struct catalog *others; size_t others_n;        /* of which a zone wants to come over: each read once */
    uint64_t until_ms;                              /* its turn */
};

static bool is_there(void *arg, struct bytes apex)
{
    const struct looking *k = arg;
    struct zone_header h;
    return zone_header_get(apex, k->cs->view, &h) != ERR_NOTFOUND;
}

/* NULL: out of memory. One that is broken, or no catalog, has no members. */
static const struct catalog *other_of(struct looking *k, struct bytes apex)
{
    for (size_t i = 0; i < k->others_n; i++)
        if (name_equal(name_bytes(&k->others[i].apex), apex))
            return &k->others[i];
    struct catalog *more = realloc(k->others, (k->others_n + 1) * sizeof *more);
    if (more == NULL)
        return NULL;
    k->others = more;
    struct catalog *c = &more[k->others_n++];
    if (catalogs_find(k->cs, apex) == NULL)
        catalog_init(c, apex);
    else if (catalog_read(apex, k->cs->view, c, NULL) != OK || c->broken)
        c->n = 0;
    return c;
}

static bool gives(void *arg, const char *other, struct bytes apex)
{
    struct looking *k = arg;
    struct name name;
    const struct catalog *c = name_from_text(bytes_of_text(other), bytes_of(NULL, 0), &name) == OK ? other_of(k, name_bytes(&name)) : NULL;
    const struct catalog_member *m = c != NULL ? catalog_find(c, apex) : NULL;
    return m != NULL && m->coo.len > 0 && name_equal(m->coo, name_bytes(&k->catalog.apex));
}

static enum err look_zones(struct looking *k, struct source_txn *t, struct fault *fault)
{
    struct zone_row row;
    struct name after = { .len = 0 };
    enum err err = source_zone(t, name_bytes(&k->one->apex), &row);
    if (err == OK)
        err = settings_read(row.settings, &k->arena, &k->settings, fault);
    if (err == OK && k->settings.catalog == NULL)
        err = ERR_NOTFOUND;                             /* it is a catalog no more */
    if (err != OK)
        return err;
    k->look.settings = &k->settings;
    while (err == OK && (err = source_zone_next(t, name_bytes(&after), &row)) == OK) {
        after = row.apex;
        err = catalog_look_zone(&k->look, name_bytes(&row.apex), row.settings, fault);
    }
    return err == ERR_NOTFOUND ? catalog_look_end(&k->look) : err;
}

/* ERR_NOTFOUND: there is nothing to look at. */
static enum err look(struct looking *k, struct fault *fault)
{
    struct source_txn *t = NULL;
    enum err err = view_begin(k->cs->view);
    if (err != OK)
        return err;
    err = catalog_read(name_bytes(&k->one->apex), k->cs->view, &k->catalog, fault);
    if (err == OK && !k->catalog.broken) {
        k->look.catalog = &k->catalog;
        err = source_begin(k->cs->o.source, SOURCE_READ_NAMED, &t, fault);
        if (err == OK)
            err = look_zones(k, t, fault);
        source_abort(t);
    }
    view_end(k->cs->view);
    return err;
}

/* --- what it came to ----------------------------------------------------------------------------------------------------------- */
static void tell_clashes(const struct looking *k, const struct catalog_report *was, const struct catalog_report *is)
{
    char name[NAME_TEXT_MAX], clash[NAME_TEXT_MAX];
    if (is->clashes > 0 && is->clashes != was->clashes)
        log_warn("catalog.clash", "zone=%s clashes=%" PRIu64 " first=%s next=\"those zones are not the catalog's, and left alone\"",
                 name_text(name, sizeof name, name_bytes(&k->one->apex)), is->clashes, name_text(clash, sizeof clash, name_bytes(&is->clash)));
}

static void tell(const struct looking *k, const struct catalog_report *was, const struct catalog_report *is)
{
    char name[NAME_TEXT_MAX], why[600];
    const char *zone = name_text(name, sizeof name, name_bytes(&k->one->apex));
    if (is->state == CATALOG_BROKEN && (was->state != CATALOG_BROKEN || strcmp(was->why, is->why) != 0))
        log_warn("catalog.broken", "zone=%s err=%s next=\"its members stay as they are\"", zone, log_quote(why, sizeof why, is->why));
    if (is->held > 0 && is->held != was->held)
        log_warn("catalog.held", "zone=%s going=%" PRIu64 " of=%zu next=\"none goes unless forced: azoth zone transfer %s --force\"", zone,
                 is->held, k->look.members, zone);
    if (k->look.n > 0)
        log_info("catalog.look", "zone=%s members=%" PRIu64 " steps=%zu going=%zu", zone, is->members, k->look.n, k->look.going);
}

static struct catalog_report report_of(const struct looking *k)
{
    struct catalog_report r = { .state = CATALOG_GOOD, .members = k->catalog.n, .clashes = k->look.clashes, .held = k->look.held,
                                .clash = k->look.clash };
    if (k->catalog.broken) {
        r = (struct catalog_report){ .state = CATALOG_BROKEN };
        memcpy(r.why, k->catalog.why, sizeof r.why);
    }
    return r;
}

/* What it is due for is taken; what comes meanwhile makes it due again. false: it is not due. */
static bool take_due(struct catalogs *cs, struct catalogs_one *one, bool *moved, bool *force)
{
    (void)pthread_mutex_lock(&cs->lock);
    bool other = one->version != source_version(cs->o.source) || clock_mono_ms() >= one->after_ms + CLASH_MS;
    bool due = one->due || one->report.failed > 0 || (one->report.clashes > 0 && other);
    due = due && !cs->stopping && (one->force || one->moved || clock_mono_ms() >= one->after_ms);
    *moved = due && one->moved;
    *force = due && one->force;
    if (due)
        one->due = one->moved = one->force = false;
    (void)pthread_mutex_unlock(&cs->lock);
    return due;
}

/* false: the end, newer data, or its turn is over; then what was forced still is. */
static bool go_on(struct catalogs *cs, void *arg)
{
    const struct looking *k = arg;
    struct catalogs_one *one = k->one;
    (void)pthread_mutex_lock(&cs->lock);
    if (!one->due && clock_mono_ms() >= k->until_ms) {
        one->due = true;
        one->force |= k->look.force;
    }
    bool on = !cs->stopping && !one->due;
    (void)pthread_mutex_unlock(&cs->lock);
    return on;
}

static void put_report(struct catalogs *cs, struct catalogs_one *one, const struct catalog_report *r)
{
    (void)pthread_mutex_lock(&cs->lock);
    one->report = *r;
    (void)pthread_mutex_unlock(&cs->lock);
}

/* Zones that this catalog gives away, or no longer has, may be those that others wait for. */
static void wake_others(struct catalogs *cs, const struct catalogs_one *one)
{
    (void)pthread_mutex_lock(&cs->lock);
    for (size_t i = 0; i < cs->n; i++)
        if (&cs->v[i] != one && cs->v[i].report.clashes > 0) {
            cs->v[i].due = true;
            cs->v[i].after_ms = 0;
        }
    (void)pthread_mutex_unlock(&cs->lock);
}

static void look_failed(struct catalogs *cs, struct catalogs_one *one, enum err err, const struct fault *fault)
{
    char name[NAME_TEXT_MAX], why[600];
    if (err == ERR_NOTFOUND)
        return;
    log_warn("catalog.look", "zone=%s err=%s next=\"again in a moment\"", name_text(name, sizeof name, name_bytes(&one->apex)),
             log_quote(why, sizeof why, fault_text(fault, err)));
    (void)pthread_mutex_lock(&cs->lock);
    one->due = true;
    (void)pthread_mutex_unlock(&cs->lock);
}

static void look_at(struct catalogs *cs, struct catalogs_one *one)
{
    struct looking k = { .cs = cs, .one = one };
    struct fault fault = { "" };
    struct catalog_report was = one->report, is;
    struct catalogs_outcome came = { .failed = 0 };
    bool moved, force;
    uint64_t began = clock_mono_ms(), took;
    if (!take_due(cs, one, &moved, &force))
        return;
    catalog_look_init(&k.look);
    catalog_init(&k.catalog, name_bytes(&one->apex));
    settings_init(&k.settings, ZONE_SECONDARY);
    arena_init(&k.arena);
    k.look.force = force;
    k.look.is_there = is_there;
    k.look.gives = gives;
    k.look.arg = &k;
    one->version = source_version(cs->o.source);
    enum err err = look(&k, &fault);
    took = clock_mono_ms() - began;
    k.until_ms = began + took + (took * READ_PART > CATALOGS_TURN_MS ? took * READ_PART : CATALOGS_TURN_MS);
    if (err == OK) {
        stat_add(&cs->looks, 1);
        is = report_of(&k);
        if (is.state == CATALOG_BROKEN)
            is.members = was.members;
        tell(&k, &was, &is);
        put_report(cs, one, &is);
        if (is.state == CATALOG_GOOD)
            came = catalogs_apply(cs, &k.look, go_on, &k);
        is.failed = came.failed;
        if (is.clashes == 0)
            is.clash = came.clash;
        is.clashes += came.clashes;
        put_report(cs, one, &is);
        tell_clashes(&k, &was, &is);
        if (moved)
            wake_others(cs, one);
    } else {
        look_failed(cs, one, err, &fault);
    }
    bool cut = err == OK && came.failed == 0 && clock_mono_ms() >= k.until_ms;
    one->after_ms = cut ? 0 : clock_mono_ms() + AGAIN_MS + took * READ_PART;
    for (size_t i = 0; i < k.others_n; i++)
        catalog_release(&k.others[i]);
    free(k.others);
    catalog_look_release(&k.look);
    catalog_release(&k.catalog);
    settings_release(&k.settings);
    arena_release(&k.arena);
}

/* --- the thread ------------------------------------------------------------------------------------------------------------------ */
static void look_orphans(struct catalogs *cs)
{
    struct fault fault = { "" };
    char why[600];
    size_t failed = 0;
    uint64_t began = clock_mono_ms();
    if (!cs->was_read || !cs->orphans || began < cs->orphans_ms)
        return;
    enum err err = catalogs_orphans(cs, &failed, &fault);
    if (err != OK)
        log_warn("catalog.orphans", "err=%s next=\"again in a moment\"", log_quote(why, sizeof why, fault_text(&fault, err)));
    cs->orphans_failed |= err != OK || failed > 0;
    if (cs->orphans_at.len > 0)
        return;                                         /* the others are next */
    cs->orphans = cs->orphans_failed;
    cs->orphans_failed = false;
    if (cs->orphans)
        cs->orphans_ms = clock_mono_ms() + AGAIN_MS + (clock_mono_ms() - began) * READ_PART;
}

static bool rest(struct catalogs *cs)
{
    bool due = cs->orphans_at.len > 0;
    (void)pthread_mutex_lock(&cs->lock);
    for (size_t i = 0; i < cs->n; i++)
        due |= cs->v[i].moved || cs->v[i].force || (cs->v[i].due && cs->v[i].after_ms == 0);
    if (!cs->stopping && !due)
        (void)cond_rest(&cs->wake, &cs->lock, REST_MS);
    bool on = !cs->stopping;
    (void)pthread_mutex_unlock(&cs->lock);
    return on;
}

static void *run(void *arg)
{
    struct catalogs *cs = arg;
    do {
        if (view_is_stale(cs->view) && view_begin(cs->view) == OK)
            view_end(cs->view);                         /* lets go of a generation that was compacted away */
        read_catalogs(cs);
        look_orphans(cs);
        for (size_t i = 0; i < cs->n; i++)
            look_at(cs, &cs->v[i]);
    } while (rest(cs));
    return NULL;
}

/* --- life --------------------------------------------------------------------------------------------------------------------------- */
MUST_USE enum err catalogs_open(struct catalogs **out, const struct catalogs_options *o, struct fault *fault)
{
    struct catalogs *cs = calloc(1, sizeof *cs);
    if (cs == NULL)
        return ERR_NOMEM;
    cs->o = *o;
    cs->orphans = true;
    (void)pthread_mutex_init(&cs->lock, NULL);
    cond_open(&cs->wake);
    enum err err = view_open(o->store, &cs->view, fault);
    if (err == OK && !(cs->started = thread_start(&cs->thread, run, cs)))
        err = fault_set(fault, ERR_NOMEM, "cannot start a thread");
    if (err != OK) {
        catalogs_close(cs);
        return err;
    }
    *out = cs;
    return OK;
}

void catalogs_stop(struct catalogs *cs)
{
    if (cs == NULL)
        return;
    (void)pthread_mutex_lock(&cs->lock);
    cs->stopping = true;
    (void)pthread_cond_broadcast(&cs->wake);
    while (cs->putting)
        (void)pthread_cond_wait(&cs->wake, &cs->lock);
    (void)pthread_mutex_unlock(&cs->lock);
}

void catalogs_close(struct catalogs *cs)
{
    if (cs == NULL)
        return;
    catalogs_stop(cs);
    if (cs->started)
        (void)pthread_join(cs->thread, NULL);
    view_close(cs->view);
    free(cs->v);
    (void)pthread_cond_destroy(&cs->wake);
    (void)pthread_mutex_destroy(&cs->lock);
    free(cs);
}

/* --- from outside ---------------------------------------------------------------------------------------------------------------- */
static void mark(struct catalogs *cs, struct bytes apex, bool force)
{
    if (cs == NULL)
        return;
    (void)pthread_mutex_lock(&cs->lock);
    struct catalogs_one *one = catalogs_find(cs, apex);
    if (one != NULL) {
        one->due = true;
        one->moved |= !force;
        one->force |= force;
        (void)pthread_cond_broadcast(&cs->wake);
    }
    (void)pthread_mutex_unlock(&cs->lock);
}

void catalogs_changed(struct catalogs *cs, struct bytes apex) { mark(cs, apex, false); }
void catalogs_wanted(struct catalogs *cs, struct bytes apex) { mark(cs, apex, true); }

static bool report(void *arg, struct bytes apex, struct catalog_report *out)
{
    struct catalogs *cs = arg;
    (void)pthread_mutex_lock(&cs->lock);
    const struct catalogs_one *one = catalogs_find(cs, apex);
    if (one != NULL)
        *out = one->report;
    (void)pthread_mutex_unlock(&cs->lock);
    return one != NULL;
}

struct catalog_reports catalogs_reports(struct catalogs *cs) { return (struct catalog_reports){ report, cs }; }

void catalogs_metrics(struct catalogs *cs, struct stat_page *p)
{
    static const char changes[] = "azoth_core_catalog_changes_total";
    uint64_t members = 0, broken = 0, clashes = 0, held = 0;
    (void)pthread_mutex_lock(&cs->lock);
    uint64_t n = cs->n;
    for (size_t i = 0; i < cs->n; i++) {
        const struct catalog_report *r = &cs->v[i].report;
        members += r->members;
        broken += r->state == CATALOG_BROKEN;
        clashes += r->clashes;
        held += r->held;
    }
    (void)pthread_mutex_unlock(&cs->lock);
    const struct { const char *name, *kind, *help; uint64_t v; } rows[] = {
        { "azoth_core_catalogs", "gauge", "catalog zones", n },
        { "azoth_core_catalogs_broken", "gauge", "catalog zones that are broken: their members stay as they are", broken },
        { "azoth_core_catalog_members", "gauge", "members that catalog zones list", members },
        { "azoth_core_catalog_clashes", "gauge", "members that are zones of somebody else here", clashes },
        { "azoth_core_catalog_held", "gauge", "members that would go, held back as too many at once", held },
        { "azoth_core_catalog_looks_total", "counter", "looks at catalog zones", stat_get(&cs->looks) },
    };
    stat_head(p, changes, "counter", "members of catalog zones made, changed, removed, or none of that");
    stat_value(p, changes, "what=\"made\"", stat_get(&cs->made));
    stat_value(p, changes, "what=\"changed\"", stat_get(&cs->changed));
    stat_value(p, changes, "what=\"removed\"", stat_get(&cs->removed));
    stat_value(p, changes, "what=\"failed\"", stat_get(&cs->failed));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        stat_head(p, rows[i].name, rows[i].kind, rows[i].help);
        stat_value(p, rows[i].name, NULL, rows[i].v);
    }
}
