#include "builder/core_zones_parts.h"

#include "base/clock.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define RETRY_MS 5000       /* after the store failed; then twice as long each time, up to: */
#define RETRY_MOST_MS 60000
#define FULL_MOST 16        /* zones in one job that may find the store full before the rest is left for the next */

static bool store_failed(enum err err)
{
    return err == ERR_FULL || err == ERR_STORE || err == ERR_NOMEM || err == ERR_DIGEST || err == ERR_GAP
        || err == ERR_NOTNOW;
}

/* --- log lines --------------------------------------------------------------------------------------------------- */
/* FILE:LINE, or FILE for what is wrong with the zone as a whole. */
static const char *place(char *out, size_t cap, const char *file, uint32_t line)
{
    char number[16] = "";
    if (line > 0)
        (void)snprintf(number, sizeof number, ":%" PRIu32, line);
    (void)snprintf(out, cap, "%.560s%s", file, number);
    return out;
}

static void log_complaints(const struct load_report *r)
{
    char at[600], text[600];
    const struct complaints *c = r->complaints;
    if (c == NULL)
        return;
    for (unsigned i = 0; i < c->warnings_n && i < COMPLAINTS_MAX; i++)
        log_warn("zone.warning", "at=\"%s\" reason=%s", place(at, sizeof at, r->zone->file, c->warnings[i].line),
                 log_quote(text, sizeof text, c->warnings[i].text));
    for (unsigned i = 0; i < c->errors_n && i < COMPLAINTS_MAX; i++)
        log_error("zone.error", "at=\"%s\" reason=%s", place(at, sizeof at, r->zone->file, c->errors[i].line),
                 log_quote(text, sizeof text, c->errors[i].text));
    if (c->errors_n > COMPLAINTS_MAX || c->warnings_n > COMPLAINTS_MAX)
        log_warn("zone.more", "file=%s errors=%u warnings=%u", log_quote(at, sizeof at, r->zone->file), c->errors_n,
                 c->warnings_n);
}

static void log_refused(const struct zone_want *w, enum err err, const char *why)
{
    char name[NAME_TEXT_MAX + 16], file[600], text[600];
    log_error("zone.refused", "zone=%s file=%s err=%s next=\"what it held stays live, read again at SIGHUP\"",
              log_quote(name, sizeof name, w->text), log_quote(file, sizeof file, w->file),
              log_quote(text, sizeof text, why != NULL && why[0] != '\0' ? why : err_text(err)));
}

static void log_loaded(const struct load_report *r, size_t of)
{
    char name[NAME_TEXT_MAX + 16];
    if (r->changed)
        log_line(of > ZONES_LINES_MOST ? LOG_DEBUG : LOG_INFO, "zone.loaded",
                 "zone=%s records=%" PRIu64 " puts=%" PRIu64 " deletes=%" PRIu64 " seq=%" PRIu64,
                 log_quote(name, sizeof name, r->zone->origin), r->records, r->puts, r->deletes, r->seq);
    else
        log_debug("zone.unchanged", "zone=%s records=%" PRIu64, log_quote(name, sizeof name, r->zone->origin),
                  r->records);
}

/* --- loading ----------------------------------------------------------------------------------------------------- */
static void on_zone(void *arg, const struct load_report *r)
{
    struct pass *p = arg;
    size_t i = (size_t)(r->zone - p->load);
    struct zone_want *w = p->want[i];
    log_complaints(r);
    p->done[i] = !store_failed(r->err);
    if (r->err == OK) {
        log_loaded(r, p->n);
        w->loaded = !r->includes;       /* what is included has no mark: read again at every SIGHUP */
        w->refused = false;
        w->mark = p->mark[i];
        memcpy(w->hash, p->hash[i], FILE_HASH_LEN);
        p->loaded += r->changed;
        stat_add(&p->z->stats.loads, r->changed);
        stat_add(&p->z->stats.same_serial, r->changed && r->complaints != NULL && r->complaints->same_serial);
    } else if (store_failed(r->err)) {
        pass_failed(p, r->err, r->fault);
    } else {
        log_refused(w, r->err, r->fault);
        w->refused = true;
        p->refused++;
    }
}

/* Puts w on the list of files to load when its contents are not those that we loaded last. */
static void consider(struct pass *p, struct zone_want *w)
{
    struct file_mark mark;
    struct fault fault = { "" };
    uint8_t *hash = p->hash[p->n];
    w->foreign = pass_has_row(p, name_bytes(&w->apex));
    enum err err = w->foreign ? fault_set(&fault, ERR_EXISTS, "there is a zone of this name that was made through the API: remove it "
                                          "there, or this line") : file_mark_take(w->file, &mark, &fault);
    if (err == OK && w->loaded && !w->mark.young && file_mark_equal(&mark, &w->mark))
        return;
    if (err == OK)
        err = file_hash(w->file, hash, &fault);
    if (err == ERR_NOMEM) {             /* of memory, or of descriptors: says nothing about the file */
        pass_failed(p, err, fault.text);
        return;
    }
    if (err != OK) {
        log_refused(w, err, fault.text);
        w->loaded = w->loaded && !w->foreign;
        w->refused = true;
        p->refused++;
        return;
    }
    if (w->loaded && memcmp(hash, w->hash, FILE_HASH_LEN) == 0) {
        w->mark = mark;         /* touched, or replaced by the same contents */
        return;
    }
    p->want[p->n] = w;
    p->mark[p->n] = mark;
    p->load[p->n] = (struct load_zone){ .origin = w->text, .file = w->file };
    p->n++;
}

static enum err pass_room(struct pass *p, size_t n)
{
    n = n > 0 ? n : 1;
    p->load = calloc(n, sizeof *p->load);
    p->want = calloc(n, sizeof *p->want);
    p->mark = calloc(n, sizeof *p->mark);
    p->hash = calloc(n, sizeof *p->hash);
    p->done = calloc(n, sizeof *p->done);
    return p->load != NULL && p->want != NULL && p->mark != NULL && p->hash != NULL && p->done != NULL ? OK : ERR_NOMEM;
}

static void pass_free(struct pass *p)
{
    free(p->load);
    free(p->want);
    free(p->mark);
    free(p->hash);
    free(p->done);
}

static enum err load_some(struct pass *p, size_t first, size_t n, struct fault *fault)
{
    const struct zones *z = p->z;
    struct load_options how = { .kind = ZONE_FILE, .stop = z->o.stop };
    enum err err = load_zones(z->o.committer, z->o.store, &p->load[first], n, &how, on_zone, p, fault);
    return err == ERR_REFUSED ? OK : err;
}

/* Zones share commits, so one that does not fit takes its neighbours with it: each gets its own try. */
static void load_one_by_one(struct pass *p)
{
    char name[NAME_TEXT_MAX + 16], why[600];
    unsigned full = 0;
    p->err = OK;
    for (size_t i = 0; i < p->n && full < FULL_MOST && !*p->z->o.stop; i++) {
        struct fault fault = { "" };
        enum err err = p->done[i] ? OK : load_some(p, i, 1, &fault);
        if (err == OK || *p->z->o.stop)
            continue;
        log_line(p->z->failed_n > 0 ? LOG_DEBUG : LOG_ERROR, "zone.failed", "zone=%s err=%s",
                 log_quote(name, sizeof name, p->want[i]->text), log_quote(why, sizeof why, fault_text(&fault, err)));
        pass_failed(p, err, fault.text);
        full++;
    }
}

static void load_changed(struct pass *p, bool again)
{
    struct zones *z = p->z;
    struct fault fault = { "" };
    enum err err = pass_room(p, z->list.n);
    if (err != OK) {
        pass_failed(p, err, NULL);
        return;
    }
    if (!pass_rows_begin(p))
        return;
    for (size_t i = 0; i < z->list.n && !*z->o.stop; i++) {
        struct zone_want *w = &z->list.zones[i];
        if (again && w->refused)        /* only the store's failure brought us back: its file was judged already */
            p->refused++;
        else
            consider(p, w);
    }
    pass_rows_end(p);
    if (p->n == 0 || *z->o.stop)
        return;
    if ((err = load_some(p, 0, p->n, &fault)) != OK)
        pass_failed(p, err, fault.text);
    if (p->err == ERR_FULL && !*z->o.stop)
        load_one_by_one(p);
}

/* --- the job ----------------------------------------------------------------------------------------------------- */
static bool count_zone(void *arg, struct bytes apex, const struct zone_header *header)
{
    uint64_t *n = arg;
    (void)apex, (void)header;
    *n += 1;
    return true;
}

static void count_zones(struct zones *z)
{
    uint64_t n = 0;
    if (view_begin(z->view) != OK)
        return;
    if (zone_list(z->view, count_zone, &n, NULL) == OK)
        stat_set(&z->stats.stored, n);
    view_end(z->view);
}

/* true: there is a new list, now in z->list. */
static bool take_wish(struct zones *z)
{
    (void)pthread_mutex_lock(&z->lock);
    struct zonelist *wish = z->wish;
    z->wish = NULL;
    (void)pthread_mutex_unlock(&z->lock);
    if (wish == NULL)
        return false;
    zonelist_carry_over(wish, &z->list);
    zonelist_release(&z->list);
    z->list = *wish;
    free(wish);
    return true;
}

static void retry(void *arg);

static void run_retry_later(struct zones *z)
{
    struct job job = { retry, NULL, z };
    uint64_t ms = (uint64_t)RETRY_MS << (z->failed_n > 5 ? 4 : z->failed_n - 1);
    ms = ms < RETRY_MOST_MS ? ms : RETRY_MOST_MS;
    if (z->retry_waits)
        return;
    enum err err = queue_push(z->o.queue, &job, ms);
    z->retry_waits = err == OK;
    z->retry_at_ms = clock_mono_ms() + ms;
    if (err != OK && err != ERR_NOTNOW)
        log_error("zones.retry", "err=\"%s\" next=\"at SIGHUP\"", err_text(err));
}

static void pass_end(struct pass *p, uint64_t began_ms)
{
    struct zones *z = p->z;
    char why[600];
    stat_set(&z->stats.configured, z->list.n);
    stat_set(&z->stats.refused, p->refused);
    count_zones(z);
    bool same = p->err != OK && z->failed_n > 0 && p->loaded + p->withdrawn == 0;       /* as the job before */
    log_line(same ? LOG_DEBUG : LOG_INFO, "zones.done",
             "configured=%zu loaded=%" PRIu64 " refused=%" PRIu64 " withdrawn=%" PRIu64 " ms=%" PRIu64, z->list.n,
             p->loaded, p->refused, p->withdrawn, clock_mono_ms() - began_ms);
    atomic_store(&z->stats.failing, p->err != OK);
    stat_add(&z->stats.passes, 1);
    if (p->err == OK) {
        z->failed_n = 0;
        return;
    }
    z->failed_n++;
    stat_add(&z->stats.failures, 1);
    run_retry_later(z);
    uint64_t now_ms = clock_mono_ms(), wait_ms = z->retry_at_ms > now_ms ? z->retry_at_ms - now_ms : 0;
    log_error("store.failing", "err=%s next=\"serving what is there, trying again in %" PRIu64 " s\"",
              log_quote(why, sizeof why, p->fault.text), (wait_ms + 999) / 1000);
}

/* again: with the same list, because the store failed. */
static void run(struct zones *z, bool again)
{
    struct pass p = { .z = z };
    uint64_t began_ms = clock_mono_ms();
    pass_remember(&p);
    if (p.err == OK)
        load_changed(&p, again);
    size_t known = z->known.n;
    if (!*z->o.stop && p.refused > 0)
        pass_publish_empty(&p);
    if (!*z->o.stop)
        pass_withdraw(&p);
    pass_forget(&p, known);
    pass_free(&p);
    if (*z->o.stop)
        return;
    pass_end(&p, began_ms);
}

static void run_wish(void *arg)
{
    struct zones *z = arg;
    if (!take_wish(z))          /* the job of an earlier SIGHUP took the newest list already */
        return;
    z->failed_n = 0;
    run(z, false);
}

static void retry(void *arg)
{
    struct zones *z = arg;
    z->retry_waits = false;
    if (atomic_load(&z->stats.failing))     /* else a SIGHUP's job came first and went well */
        run(z, !take_wish(z));
}

/* --- which zones are named --------------------------------------------------------------------------------------- */
bool zones_names(struct zones *z, struct bytes apex)
{
    if (z == NULL)
        return false;
    (void)pthread_mutex_lock(&z->lock);
    bool named = name_set_has(&z->named, apex);
    (void)pthread_mutex_unlock(&z->lock);
    return named;
}

/* --- in the loop thread ------------------------------------------------------------------------------------------ */
MUST_USE enum err zones_want(struct zones *z, const struct config_zone *list, size_t n)
{
    struct zonelist *wish = malloc(sizeof *wish), *before;
    struct name_set named = { NULL, 0 };
    if (wish == NULL)
        return ERR_NOMEM;
    zonelist_init(wish);
    enum err err = zonelist_take(wish, list, n);
    if (err == OK)
        err = name_set_make(&named, wish);
    if (err != OK) {
        zonelist_release(wish);
        free(wish);
        return err;
    }
    (void)pthread_mutex_lock(&z->lock);
    before = z->wish;
    z->wish = wish;
    name_set_release(&z->named);
    z->named = named;
    (void)pthread_mutex_unlock(&z->lock);
    if (before != NULL) {
        zonelist_release(before);
        free(before);
    }
    return queue_push(z->o.queue, &(struct job){ run_wish, NULL, z }, 0);
}

MUST_USE enum err zones_open(struct zones **out, const struct zones_options *o, struct fault *fault)
{
    struct zones *z = calloc(1, sizeof *z);
    if (z == NULL)
        return ERR_NOMEM;
    z->o = *o;
    (void)pthread_mutex_init(&z->lock, NULL);
    zonelist_init(&z->list);
    zonelist_init(&z->known);
    enum err err = zonelist_read(&z->known, o->dir, fault);
    if (err == OK)
        err = view_open(o->store, &z->view, fault);
    if (err != OK) {
        zones_close(z);
        return err;
    }
    *out = z;
    return OK;
}

void zones_close(struct zones *z)
{
    if (z == NULL)
        return;
    view_close(z->view);
    if (z->wish != NULL)
        zonelist_release(z->wish);
    free(z->wish);
    name_set_release(&z->named);
    zonelist_release(&z->list);
    zonelist_release(&z->known);
    (void)pthread_mutex_destroy(&z->lock);
    free(z);
}

const struct zones_stats *zones_stats(const struct zones *z)
{
    return &z->stats;
}
