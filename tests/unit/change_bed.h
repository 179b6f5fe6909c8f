/* A core's insides for tests of changes: store, committer, records, the writing thread and its changer. */
#ifndef AZOTH_TESTS_UNIT_CHANGE_BED_H
#define AZOTH_TESTS_UNIT_CHANGE_BED_H

#include "builder/change.h"
#include "builder/draft.h"
#include "builder/queue.h"
#include "builder/recordbook.h"
#include "tests/unit/builder_zone.h"

#include <pthread.h>

struct bed {
    char dir[256];
    uint64_t map, records_map;
    const char *boot;               /* of the machine; NULL: nothing is synced */
    struct store *store;
    struct node_key key;
    struct committer *committer;
    struct view *view;
    struct source *source;
    struct queue *queue;
    struct changer_options with;
    struct changer *changer;
    pthread_mutex_t lock;
    pthread_cond_t moved;
    unsigned told, wanted;          /* changes */
    bool stalled, at_work;          /* the writing thread waits for us; it does */
};

static inline void bed_ended(void *arg) { (void)arg; }
static inline bool bed_configured(void *arg, struct bytes apex)
{
    (void)arg, (void)apex;
    return false;
}

static inline void bed_start_store(struct bed *b, commit_told_fn *told)
{
    struct fault fault = { "" };
    struct store_options o = { .dir = b->dir, .mode = STORE_CREATE, .role = STORE_CORE, .map_size = b->map,
                               .volatile_data = b->boot == NULL, .soft = b->boot != NULL, .boot_id = b->boot };
    struct recordbook_options ro = { .dir = b->dir, .map_size = b->records_map, .volatile_data = b->boot == NULL, .boot_id = b->boot };
    if (store_open(&b->store, &o, &fault) != OK || recordbook_open(&b->source, &ro, &fault) != OK
        || commit_open(&b->committer, b->store, &b->key, told, b, &fault) != OK || view_open(b->store, &b->view, &fault) != OK
        || queue_open(&b->queue, bed_ended, b) != OK)
        fail_msg("cannot open: %s", fault.text);
}
static inline void bed_start_changer(struct bed *b)
{
    struct fault fault = { "" };
    b->with = (struct changer_options){ .source = b->source, .store = b->store, .committer = b->committer, .queue = b->queue,
                                        .is_configured = bed_configured };
    if (changer_open(&b->changer, &b->with, &fault) != OK)
        fail_msg("cannot open the changer: %s", fault.text);
}
static inline void bed_end(struct bed *b)
{
    queue_close(b->queue);
    changer_close(b->changer);
    b->changer = NULL;
    view_close(b->view);
    commit_close(b->committer);
    source_close(b->source);
    store_close(b->store);
}
static inline void bed_open_on(struct bed *b, const char *boot, uint64_t map, uint64_t records_map, commit_told_fn *told)
{
    struct fault fault = { "" };
    *b = (struct bed){ .map = map, .records_map = records_map, .boot = boot };
    dir_make(b->dir, sizeof b->dir, "change");
    (void)pthread_mutex_init(&b->lock, NULL);
    (void)pthread_cond_init(&b->moved, NULL);
    if (sodium_init() < 0 || node_key_make(b->dir, true, &b->key, &fault) != OK)
        fail_msg("no key: %s", fault.text);
    bed_start_store(b, told);
    bed_start_changer(b);
}
static inline void bed_open_sized(struct bed *b, uint64_t map, uint64_t records_map, commit_told_fn *told)
{
    bed_open_on(b, NULL, map, records_map, told);
}
static inline void bed_open(struct bed *b) { bed_open_sized(b, (uint64_t)64 << 20, (uint64_t)64 << 20, NULL); }
static inline void bed_close(struct bed *b)
{
    bed_end(b);
    (void)pthread_cond_destroy(&b->moved);
    (void)pthread_mutex_destroy(&b->lock);
    dir_remove(b->dir);
}

/* --- the writing thread ------------------------------------------------------------------------------------------------ */
static inline void bed_set(struct bed *b, bool *what, bool value)
{
    (void)pthread_mutex_lock(&b->lock);
    *what = value;
    (void)pthread_cond_broadcast(&b->moved);
    (void)pthread_mutex_unlock(&b->lock);
}
static inline void bed_wait_job(void *arg)
{
    struct bed *b = arg;
    (void)pthread_mutex_lock(&b->lock);
    b->at_work = true;
    (void)pthread_cond_broadcast(&b->moved);
    while (b->stalled)
        (void)pthread_cond_wait(&b->moved, &b->lock);
    b->at_work = false;
    (void)pthread_cond_broadcast(&b->moved);
    (void)pthread_mutex_unlock(&b->lock);
}
/* What is put until bed_go waits together. */
static inline void bed_stall(struct bed *b)
{
    bed_set(b, &b->stalled, true);
    assert_int_equal(queue_push(b->queue, &(struct job){ bed_wait_job, NULL, b }, 0), OK);
    (void)pthread_mutex_lock(&b->lock);
    while (!b->at_work)
        (void)pthread_cond_wait(&b->moved, &b->lock);
    (void)pthread_mutex_unlock(&b->lock);
}
static inline void bed_go(struct bed *b) { bed_set(b, &b->stalled, false); }

static inline void bed_told(void *arg, struct change *c)
{
    struct bed *b = arg;
    (void)c;
    (void)pthread_mutex_lock(&b->lock);
    b->told++;
    (void)pthread_cond_broadcast(&b->moved);
    (void)pthread_mutex_unlock(&b->lock);
}
static inline void bed_put(struct bed *b, struct change *c)
{
    c->told = bed_told;
    c->told_arg = b;
    b->wanted++;
    changer_put(b->changer, c);
}
static inline void bed_wait(struct bed *b)
{
    (void)pthread_mutex_lock(&b->lock);
    while (b->told < b->wanted)
        (void)pthread_cond_wait(&b->moved, &b->lock);
    (void)pthread_mutex_unlock(&b->lock);
}
/* Behind all that waited in the queue when it was called. */
static inline void bed_quiet(struct bed *b)
{
    bed_stall(b);
    bed_go(b);
    (void)pthread_mutex_lock(&b->lock);
    while (b->at_work)
        (void)pthread_cond_wait(&b->moved, &b->lock);
    (void)pthread_mutex_unlock(&b->lock);
}

/* --- edits out of text --------------------------------------------------------------------------------------------------- */
/* set: records as in a zone file, each RRset is replaced by them; del: "OWNER TYPE" each, by ';'. disabled: all of set are. */
struct edit {
    struct change c;
    struct zone set;
    const char *del, *comment;
    bool disabled;
    uint32_t seen_serial;
    unsigned planned;
};

static inline uint16_t edit_covers(const struct zone_rr *rr)
{
    return rr->type == TYPE_RRSIG ? (uint16_t)(rr->rdata.ptr[0] << 8 | rr->rdata.ptr[1]) : 0;
}

static inline enum err edit_set(struct edit *e, struct draft *d, size_t first, struct fault *fault)
{
    struct row_rr rr[64];
    const struct zone_rr *f = &e->set.rr[first];
    struct comment comment = { bytes_of_text(e->comment != NULL ? e->comment : ""), bytes_of("", 0), 7 };
    struct row row = { .owner = f->owner, .type = f->type, .covers = edit_covers(f), .ttl = f->ttl, .rr = rr,
                       .comments = &comment, .comments_n = e->comment != NULL };
    for (size_t i = 0; i < e->set.n; i++) {
        const struct zone_rr *z = &e->set.rr[i];
        if (!bytes_equal(z->owner, f->owner) || z->type != f->type || edit_covers(z) != row.covers)
            continue;
        if (i < first)
            return OK;                              /* set already */
        assert_true(row.n < ROWS(rr));
        rr[row.n++] = (struct row_rr){ z->rdata, e->disabled };
    }
    return draft_set(d, &row, fault);
}

static inline enum err edit_del(struct draft *d, const char *word, struct fault *fault)
{
    char text[300], *type;
    uint16_t number = 0;
    snprintf(text, sizeof text, "%.*s", (int)strcspn(word, ";"), word);
    type = strchr(text, ' ');
    if (type == NULL)
        return fault_set(fault, ERR_BAD, "'%s': OWNER TYPE", text);
    *type++ = '\0';
    struct name owner = name_of(text);
    if (strncmp(type, "TYPE", 4) == 0)
        number = (uint16_t)atoi(type + 4);
    else if (rrtype_from_text(bytes_of_text(type), &number) != OK)
        return fault_set(fault, ERR_BAD, "'%s': no type", type);
    return draft_set(d, &(struct row){ .owner = name_bytes(&owner), .type = number }, fault);
}

static inline enum err edit_plan(void *arg, struct draft *d, struct fault *fault)
{
    struct edit *e = arg;
    enum err err = OK;
    e->planned++;
    e->seen_serial = draft_serial(d);
    for (const char *w = e->del; err == OK && w != NULL && *w != '\0'; w = strchr(w, ';') != NULL ? strchr(w, ';') + 1 : NULL)
        err = edit_del(d, w, fault);
    for (size_t i = 0; err == OK && i < e->set.n; i++)
        err = edit_set(e, d, i, fault);
    return err;
}

static inline struct edit *edit_new(const char *zone, const char *set, const char *del)
{
    struct edit *e = calloc(1, sizeof *e);
    struct name apex = name_of(zone);
    struct complaints c = { 0 };
    struct fault fault = { "" };
    assert_non_null(e);
    change_init(&e->c, CHANGE_EDIT, name_bytes(&apex));
    zone_init(&e->set, name_bytes(&apex), "test");
    if (set != NULL && zonefile_read_text(bytes_of_text(set), "test", &e->set, &c, &fault) != OK)
        fail_msg("%s: %s", set, fault.text);
    e->del = del;
    e->c.plan = edit_plan;
    e->c.arg = e;
    e->c.author = (struct author){ .via = VIA_API, .name = "test" };
    return e;
}
static inline void edit_free(struct edit *e)
{
    change_release(&e->c);
    zone_release(&e->set);
    free(e);
}
static inline void edit_run(struct bed *b, struct edit *e)
{
    bed_put(b, &e->c);
    bed_wait(b);
}
/* One that has to go well. Gives its seq. */
static inline uint64_t bed_edit(struct bed *b, const char *zone, const char *set, const char *del)
{
    struct edit *e = edit_new(zone, set, del);
    edit_run(b, e);
    if (e->c.result.end != CHANGE_DONE)
        fail_msg("%s | %s: %s", set != NULL ? set : "", del != NULL ? del : "", fault_text(&e->c.result.fault, e->c.result.err));
    uint64_t seq = e->c.result.seq;
    edit_free(e);
    return seq;
}

/* A whole zone: created, or in place of what is there. settings: JSON. */
static inline void bed_whole_via(struct bed *b, enum change_kind kind, const char *zone, const char *text, const char *settings,
                                 enum author_via via)
{
    struct name apex = name_of(zone);
    struct complaints c = { 0 };
    struct fault fault = { "" };
    struct change change;
    struct zone z;
    zone_init(&z, name_bytes(&apex), "test");
    change_init(&change, kind, name_bytes(&apex));
    if (text != NULL && zonefile_read_text(bytes_of_text(text), "test", &z, &c, &fault) != OK)
        fail_msg("%s: %s", text, fault.text);
    change.whole = text != NULL ? &z : NULL;
    change.settings = bytes_of_text(settings != NULL ? settings : "{\"kind\":\"native\"}");
    change.author = (struct author){ .via = via, .name = "test" };
    bed_put(b, &change);
    bed_wait(b);
    if (change.result.end != CHANGE_DONE)
        fail_msg("%s: %s", zone, fault_text(&change.result.fault, change.result.err));
    change_release(&change);
    zone_release(&z);
}

static inline void bed_whole(struct bed *b, enum change_kind kind, const char *zone, const char *text, const char *settings)
{
    bed_whole_via(b, kind, zone, text, settings, VIA_API);
}
static inline void bed_transfer(struct bed *b, const char *zone, const char *text)
{
    bed_whole_via(b, CHANGE_WHOLE, zone, text, NULL, VIA_TRANSFER);
}

/* --- what must hold ------------------------------------------------------------------------------------------------------- */
struct bed_rows { struct zone *z; enum err err; };
static inline bool bed_on_row(void *arg, const struct row *row)
{
    struct zone *z = arg;
    for (size_t i = 0; i < row->n; i++)
        if (!row->rr[i].disabled)
            assert_int_equal(zone_add(z, row->owner, row->type, row->ttl, row->rr[i].rdata, 0), OK);
    return true;
}

static inline bool bed_is_header(const struct op *op)
{
    struct rrkey_parts parts;
    return rrkey_split(op->key, &parts) == OK && parts.slot == RRSLOT_ZONE;
}

/* Store == rows: a build of the whole zone out of its rows has nothing to do, but for bits of the header, which patches only
 * ever add. Gives its serial. */
static inline uint32_t bed_check(struct bed *b, const char *zone)
{
    struct name apex = name_of(zone);
    struct zone_build_options o = { .kind = ZONE_NATIVE, .force = true };
    struct complaints c = { 0 };
    struct fault fault = { "" };
    struct source_txn *t;
    struct zone_row zr;
    struct zone z;
    struct op_list ops;
    uint32_t serial = 0;
    zone_init(&z, name_bytes(&apex), "rows");
    op_list_init(&ops);
    assert_int_equal(source_begin(b->source, SOURCE_READ, &t, &fault), OK);
    assert_int_equal(source_zone(t, name_bytes(&apex), &zr), OK);
    assert_int_equal(source_rows(t, zr.id, bytes_of("", 0), bed_on_row, &z), OK);
    source_abort(t);
    for (size_t i = 0; i < z.n; i++)
        if (z.rr[i].type == TYPE_SOA)
            assert_int_equal(soa_serial(z.rr[i].rdata, &serial), OK);
    assert_int_equal(view_begin(b->view), OK);
    if (zone_build(&z, b->view, &o, &c, &ops, &fault) != OK)
        fail_msg("%s does not build out of its rows: %s", zone, fault.text);
    for (size_t i = 0; i < ops.n; i++)
        if (!bed_is_header(&ops.ops[i]))
            fail_msg("%s: the store is not what the rows say: %zu ops", zone, ops.n);
    view_end(b->view);
    op_list_release(&ops);
    zone_release(&z);
    return serial;
}

/* All of a zone in the store, as text; owned by caller. NULL: it is not there. */
static inline char *bed_text(struct bed *b, const char *zone)
{
    struct name apex = name_of(zone);
    struct fault fault = { "" };
    struct lines l = { 0 };
    assert_int_equal(view_begin(b->view), OK);
    enum err err = zone_walk(name_bytes(&apex), b->view, lines_add, &l, &fault);
    view_end(b->view);
    if (err != OK && err != ERR_NOTFOUND)
        fail_msg("%s: %s", zone, fault_text(&fault, err));
    return l.text;
}
static inline bool bed_has(struct bed *b, const char *zone, const char *line)
{
    char *text = bed_text(b, zone);
    bool has = text != NULL && strstr(text, line) != NULL;
    free(text);
    return has;
}
/* Does the store hold this name in the zone? */
struct bed_sought { struct name name; bool found; };
static inline bool bed_is_sought(void *arg, const struct zone_rr *rr)
{
    struct bed_sought *s = arg;
    s->found |= bytes_equal(rr->owner, name_bytes(&s->name));
    return !s->found;
}
static inline bool bed_holds(struct bed *b, const char *zone, const char *name)
{
    struct bed_sought s = { name_of(name), false };
    struct name apex = name_of(zone);
    assert_int_equal(view_begin(b->view), OK);
    assert_int_equal(zone_walk(name_bytes(&apex), b->view, bed_is_sought, &s, NULL), OK);
    view_end(b->view);
    return s.found;
}
static inline uint64_t bed_events(struct bed *b)
{
    struct source_figures f;
    struct source_txn *t;
    assert_int_equal(source_begin(b->source, SOURCE_READ, &t, NULL), OK);      /* nothing is held open then */
    source_abort(t);
    assert_int_equal(source_figures(b->source, &f), OK);
    return f.events;
}

#endif
