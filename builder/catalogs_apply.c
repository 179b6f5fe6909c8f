/* The steps of a look as changes: a batch, then all of it is told, then the next. Nothing is kept of what was done: what fails
 * or is cut off is in the next look again. */
#include "builder/catalogs_parts.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

struct item {
    struct change change;
    struct batch *batch;
    const struct catalog_look *look;
    const struct catalog_member *m;
};
struct batch {
    struct catalogs *cs;
    struct item v[CATALOGS_BATCH];
    size_t n, down;                     /* down: of those that failed, what the machine could not make */
    struct catalogs_outcome came;
    struct arena arena;
    struct name catalog;                /* who asks, as the author */
};

/* --- plans -------------------------------------------------------------------------------------------------------------- */
static enum err plan_set(void *arg, struct draft *d, struct fault *fault)
{
    const struct item *i = arg;
    const struct zone_settings *now = draft_settings(d);
    struct zone_settings s;
    if (now->kind != ZONE_SECONDARY || now->member_catalog[0] == '\0')
        return fault_set(fault, ERR_REFUSED, "the zone is no member any more");
    enum err err = catalog_settings(i->look, i->m, now, draft_arena(d), &s, fault);
    if (err == OK)
        err = draft_settings_set(d, &s, fault);
    settings_release(&s);
    return err;
}

static enum err plan_free(void *arg, struct draft *d, struct fault *fault)
{
    struct zone_settings s = *draft_settings(d);
    (void)arg;
    s.member_catalog = s.member_id = "";
    return draft_settings_set(d, &s, fault);
}

/* --- a batch ------------------------------------------------------------------------------------------------------------- */
/* In the writing thread, that of full builds, or whoever ends the changer. */
static void on_told(void *arg, struct change *c)
{
    struct catalogs *cs = ((struct item *)arg)->batch->cs;
    (void)c;
    (void)pthread_mutex_lock(&cs->lock);
    if (--cs->untold == 0)
        (void)pthread_cond_broadcast(&cs->wake);
    (void)pthread_mutex_unlock(&cs->lock);
}

static struct item *item_add(struct batch *b, enum change_kind kind, struct bytes apex)
{
    struct item *i = &b->v[b->n++];
    char name[NAME_TEXT_MAX];
    *i = (struct item){ .batch = b };
    change_init(&i->change, kind, apex);
    i->change.author.via = VIA_CATALOG;
    (void)snprintf(i->change.author.name, sizeof i->change.author.name, "%s", name_text(name, sizeof name, name_bytes(&b->catalog)));
    i->change.told = on_told;
    i->change.told_arg = i;
    return i;
}

static enum err make(struct batch *b, const struct catalog_look *l, const struct catalog_step *step)
{
    struct zone_settings s;
    struct bytes text;
    struct fault fault = { "" };
    enum err err = catalog_settings(l, step->m, NULL, &b->arena, &s, &fault);
    s.created_s = s.edited_s = clock_wall_ms() / 1000;
    if (err == OK)
        err = settings_text(&s, &b->arena, &text);
    settings_release(&s);
    if (err == OK)
        item_add(b, CHANGE_CREATE, step->apex)->change.settings = text;
    return err;
}

/* Removal and making anew are two changes of one zone: made in this order. */
static enum err add(struct batch *b, const struct catalog_look *l, const struct catalog_step *step)
{
    if (step->what == CATALOG_REMOVE || step->what == CATALOG_RESET)
        (void)item_add(b, CHANGE_REMOVE, step->apex);
    if (step->what == CATALOG_MAKE || step->what == CATALOG_RESET)
        return make(b, l, step);
    if (step->what == CATALOG_SET) {
        struct item *i = item_add(b, CHANGE_EDIT, step->apex);
        i->look = l;
        i->m = step->m;
        i->change.plan = plan_set;
        i->change.arg = i;
    }
    return OK;
}

/* false: the end has come, nothing was put. */
static bool may_put(struct catalogs *cs, size_t n)
{
    (void)pthread_mutex_lock(&cs->lock);
    bool may = !cs->stopping;
    cs->putting = may;
    cs->untold = may ? n : 0;
    (void)pthread_mutex_unlock(&cs->lock);
    return may;
}

static void wait_told(struct catalogs *cs)
{
    (void)pthread_mutex_lock(&cs->lock);
    cs->putting = false;
    (void)pthread_cond_broadcast(&cs->wake);
    while (cs->untold > 0)
        (void)pthread_cond_wait(&cs->wake, &cs->lock);
    (void)pthread_mutex_unlock(&cs->lock);
}

static void count(struct batch *b, const struct change *c)
{
    struct catalogs *cs = b->cs;
    char name[NAME_TEXT_MAX], why[600];
    if (c->result.end == CHANGE_DONE) {
        stat_add(c->kind == CHANGE_CREATE ? &cs->made : c->kind == CHANGE_REMOVE ? &cs->removed : &cs->changed, c->result.changed);
        return;
    }
    if (c->kind == CHANGE_REMOVE && c->result.err == ERR_NOTFOUND)
        return;                         /* it went by itself */
    if (c->kind == CHANGE_CREATE && c->result.err == ERR_EXISTS) {
        if (b->came.clashes++ == 0)
            b->came.clash = c->apex;
        return;
    }
    stat_add(&cs->failed, 1);
    b->down += c->result.end != CHANGE_REFUSED;
    if (b->came.failed++ == 0 && c->result.err != ERR_NOTNOW)
        log_warn("catalog.failed", "zone=%s err=%s next=\"tried again\"", name_text(name, sizeof name, name_bytes(&c->apex)),
                 log_quote(why, sizeof why, fault_text(&c->result.fault, c->result.err)));
}

/* false: the machine could make none of them, and so it will be with the others. */
static bool run(struct batch *b)
{
    size_t n = b->n, before = b->down;
    bool put = b->n > 0 && may_put(b->cs, b->n);
    for (size_t i = 0; i < b->n && put; i++)
        changer_put(b->cs->o.changer, &b->v[i].change);
    if (put)
        wait_told(b->cs);
    for (size_t i = 0; i < b->n; i++) {
        if (put)
            count(b, &b->v[i].change);
        change_release(&b->v[i].change);
    }
    b->n = 0;
    arena_reset(&b->arena);
    return n == 0 || b->down - before < n;
}

static struct batch *batch_begin(struct catalogs *cs)
{
    struct batch *b = calloc(1, sizeof *b);
    if (b != NULL) {
        b->cs = cs;
        arena_init(&b->arena);
    }
    return b;
}

static void batch_end(struct batch *b)
{
    arena_release(&b->arena);
    free(b);
}

struct catalogs_outcome catalogs_apply(struct catalogs *cs, const struct catalog_look *l, bool (*go_on)(struct catalogs *cs, void *arg),
                                       void *arg)
{
    struct batch *b = batch_begin(cs);
    struct catalogs_outcome came = { .failed = b == NULL };
    bool on = b != NULL;
    if (on)
        b->catalog = l->catalog->apex;
    for (size_t i = 0; i < l->n && on; i++) {
        if (add(b, l, &l->v[i]) != OK)
            b->came.failed++;
        if (b->n + 2 > CATALOGS_BATCH) {
            on = run(b) && go_on(cs, arg);
        }
    }
    if (on)
        (void)run(b);
    if (b != NULL) {
        came = b->came;
        batch_end(b);
    }
    return came;
}

/* --- without a catalog ---------------------------------------------------------------------------------------------------- */
struct orphan { struct name apex, catalog; bool there; };

/* The next zone behind o->apex whose catalog is none. ERR_NOTFOUND: there is no other. */
static enum err next_orphan(struct catalogs *cs, struct source_txn *t, struct arena *a, struct orphan *o, struct fault *fault)
{
    struct zone_row row, catalog;
    struct zone_settings s;
    enum err err;
    while ((err = source_zone_next(t, name_bytes(&o->apex), &row)) == OK) {
        o->apex = row.apex;
        if (memmem(row.settings.ptr, row.settings.len, "\"member_of\"", 11) == NULL)
            continue;
        arena_reset(a);
        err = settings_read(row.settings, a, &s, fault);
        bool member = err == OK && s.member_catalog[0] != '\0'
                      && name_from_text(bytes_of_text(s.member_catalog), bytes_of(NULL, 0), &o->catalog) == OK;
        settings_release(&s);
        if (!member || catalogs_find(cs, name_bytes(&o->catalog)) != NULL)
            continue;
        o->there = source_zone(t, name_bytes(&o->catalog), &catalog) == OK;
        return OK;
    }
    return err;
}

static void add_orphan(struct batch *b, const struct orphan *o)
{
    b->catalog = o->catalog;
    struct item *i = item_add(b, o->there ? CHANGE_EDIT : CHANGE_REMOVE, name_bytes(&o->apex));
    i->change.plan = o->there ? plan_free : NULL;
}

MUST_USE enum err catalogs_orphans(struct catalogs *cs, size_t *failed, struct fault *fault)
{
    struct batch *b = batch_begin(cs);
    struct orphan o = { .apex = cs->orphans_at };
    struct arena a;
    uint64_t until_ms = clock_mono_ms() + CATALOGS_TURN_MS;
    enum err err = b == NULL ? ERR_NOMEM : OK;
    bool on = err == OK;
    arena_init(&a);
    while (on) {
        struct source_txn *t = NULL;
        err = source_begin(cs->o.source, SOURCE_READ_NAMED, &t, fault);
        while (err == OK && b->n < CATALOGS_BATCH && (err = next_orphan(cs, t, &a, &o, fault)) == OK)
            add_orphan(b, &o);
        source_abort(t);
        if (!run(b) && err == OK)
            err = ERR_NOTFOUND;         /* the next time */
        on = err == OK && clock_mono_ms() < until_ms;
    }
    cs->orphans_at = err == OK ? o.apex : (struct name){ .len = 0 };
    arena_release(&a);
    if (b != NULL) {
        *failed = b->came.failed;
        batch_end(b);
    }
    return err == ERR_NOTFOUND ? OK : err;
}
