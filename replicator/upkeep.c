#include "replicator/upkeep.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdlib.h>

#define NAMED_MOST 10               /* bad entries of a round that get a line */
#define KEY_TEXT_MAX 1200

struct upkeep {
    struct upkeep_options o;
    struct scrub *scrub;
    struct tidy *tidy;
    struct log_reader *reader;
    uint64_t scrub_at_ms, retain_at_ms;
    unsigned named;
    bool was_bad;                   /* the last round */
    bool had_error, more;           /* of retention: said once; it is not done yet */
    bool tidying;                   /* a pass is under way */
    _Atomic bool rotten;
    _Atomic uint64_t keep_age_ms, keep_bytes, held;
    stat_count rounds, errors, entries, bytes, done, last_good_ms, trimmed, rewritten;      /* done: entries of the round at hand */
};

/* --- scrub ----------------------------------------------------------------------------------------------------------- */
static const char *name_key(const struct upkeep *u, char out[KEY_TEXT_MAX], struct bytes ns, struct bytes key)
{
    if (u->o.key_text != NULL)
        return u->o.key_text(out, KEY_TEXT_MAX, ns, key);
    return text_hex(out, KEY_TEXT_MAX, key);
}

static void on_bad(void *arg, struct bytes ns, struct bytes key, const char *why)
{
    struct upkeep *u = arg;
    char space[STORE_NS_MAX + 1] = { 0 }, text[KEY_TEXT_MAX], name[KEY_TEXT_MAX], words[FAULT_TEXT_MAX + 64];
    memcpy(space, ns.ptr != NULL ? (const char *)ns.ptr : "", ns.ptr != NULL ? ns.len : 0);
    stat_add(&u->errors, 1);
    atomic_store(&u->rotten, true);
    if (u->named++ >= NAMED_MOST)
        return;
    log_error("scrub.bad", "ns=%s key=%s err=%s", ns.len > 0 ? space : "-",
              key.len > 0 ? log_quote(name, sizeof name, name_key(u, text, ns, key)) : "-",
              log_quote(words, sizeof words, why));
}

static enum err check_entry(void *arg, struct bytes ns, const struct entry *e, struct fault *fault)
{
    const struct upkeep *u = arg;
    return u->o.check(u->o.check_arg, ns, e, fault);
}

static void round_ended(struct upkeep *u, const struct scrub_news *n, const struct fault *fault, uint64_t now_ms)
{
    char words[FAULT_TEXT_MAX + 64];
    bool was = u->was_bad;
    u->was_bad = !n->good;
    atomic_store(&u->rotten, !n->good);
    stat_add(&u->rounds, 1);
    u->named = 0;
    u->scrub_at_ms = now_ms + (n->good ? UPKEEP_REST_MS : UPKEEP_DOUBT_MS);
    if (n->good)
        stat_set(&u->last_good_ms, clock_wall_ms());
    if (!n->good)
        log_error("scrub.rot", "entries=%" PRIu64 " bad=%" PRIu64 " err=%s", n->entries, n->bad,
                  log_quote(words, sizeof words, fault->text));
    else if (was)
        log_info("scrub.good", "entries=%" PRIu64 " bytes=%" PRIu64, n->entries, n->bytes);
    else
        log_debug("scrub.good", "entries=%" PRIu64 " bytes=%" PRIu64, n->entries, n->bytes);
}

static void scrub_step(struct upkeep *u, uint64_t now_ms)
{
    static const struct scrub_budget budget = { UPKEEP_ENTRIES_S * UPKEEP_STEP_MS / 1000,
                                                UPKEEP_BYTES_S * UPKEEP_STEP_MS / 1000, UPKEEP_SLICE_US };
    struct scrub_news news;
    struct fault fault = { "" };
    bool other = scrub_is_stale(u->scrub);
    if (now_ms < u->scrub_at_ms && !other)
        return;
    if (other && atomic_exchange(&u->rotten, false))
        return;                     /* other data, of which nothing is known: so it stays until the next step at least */
    enum err err = scrub_slice(u->scrub, &budget, &news, &fault);
    u->scrub_at_ms = now_ms + UPKEEP_STEP_MS;
    if (err != OK)
        return;                     /* a transaction is open, or no reader slot is free: next time */
    stat_add(&u->entries, news.slice_entries);
    stat_add(&u->bytes, news.slice_bytes);
    stat_set(&u->done, news.ended ? 0 : news.entries);
    if (news.ended)
        round_ended(u, &news, &fault, now_ms);
}

/* --- retention --------------------------------------------------------------------------------------------------------- */
/* The first seq that must stay. */
static uint64_t kept_from(struct upkeep *u, const struct retain_limits *l, uint64_t applied)
{
    uint64_t held = atomic_load(&u->held), bytes = 0;
    if (held == 0 || held >= applied || log_reader_begin(u->reader) != OK)
        return applied;
    enum err err = log_reader_size(u->reader, &bytes);
    log_reader_end(u->reader);
    return err == OK && bytes / 2 <= l->bytes ? held : applied;
}

static void retain_step(struct upkeep *u, const struct upkeep_now *now, bool by_age)
{
    struct retain_limits limits = { atomic_load(&u->keep_age_ms), atomic_load(&u->keep_bytes) };
    struct fault fault = { "" };
    char words[FAULT_TEXT_MAX + 64];
    uint64_t trimmed = 0;
    bool more = false;
    if (!by_age)
        limits.age_ms = UINT64_MAX;
    uint64_t keep = kept_from(u, &limits, now->applied);
    enum err err = retain_run(u->o.store, u->reader, &limits, now->core_ms, keep, &trimmed, &more, &fault);
    if (by_age && !more)
        u->retain_at_ms = now->mono_ms + UPKEEP_RETAIN_MS;
    u->more = more;
    stat_add(&u->trimmed, trimmed);
    if (trimmed > 0)
        log_debug("log.trimmed", "records=%" PRIu64, trimmed);
    if (err != OK && !u->had_error)
        log_warn("log.trim", "err=%s next=\"again in 10 s\"", log_quote(words, sizeof words, fault_text(&fault, err)));
    if (err != OK)
        u->retain_at_ms = now->mono_ms + UPKEEP_RETAIN_MS;
    u->had_error = err != OK;
}

void upkeep_retain(struct upkeep *u, const struct upkeep_now *now)
{
    bool due = now->mono_ms >= u->retain_at_ms;
    if (due || !u->had_error)
        retain_step(u, now, due);
}

void upkeep_hold(struct upkeep *u, uint64_t seq)
{
    atomic_store(&u->held, seq);
}

/* --- tidying ------------------------------------------------------------------------------------------------------------- */
/* Whatever keeps it from its work (no room, a copy under way, a disk that fails) is told by others. */
static void tidy_step(struct upkeep *u)
{
    struct tidy_news news;
    enum err err = tidy_slice(u->tidy, TIDY_LEAVES, TIDY_RUNS, &news, NULL);
    u->tidying = err == OK && news.more;
    stat_add(&u->rewritten, err == OK ? news.rewritten : 0);
}

/* --- all ---------------------------------------------------------------------------------------------------------------- */
uint64_t upkeep_step(struct upkeep *u, const struct upkeep_now *now)
{
    upkeep_retain(u, now);
    tidy_step(u);
    scrub_step(u, now->mono_ms);
    return u->more || u->tidying ? UPKEEP_MORE_MS : UPKEEP_STEP_MS;
}

void upkeep_keep(struct upkeep *u, const struct retain_limits *keep)
{
    atomic_store(&u->keep_age_ms, keep->age_ms);
    atomic_store(&u->keep_bytes, keep->bytes);
}

bool upkeep_rotten(const struct upkeep *u) { return atomic_load(&u->rotten); }

static void counter(struct stat_page *p, const char *name, const char *help, uint64_t v)
{
    stat_head(p, name, "counter", help);
    stat_value(p, name, NULL, v);
}

void upkeep_metrics(const struct upkeep *u, struct stat_page *p)
{
    static const char good[] = "azoth_scrub_last_good_time", rotten[] = "azoth_scrub_rotten", done[] = "azoth_scrub_done_entries";
    counter(p, "azoth_scrub_rounds_total", "rounds of the scrub over all entries", stat_get(&u->rounds));
    counter(p, "azoth_scrub_errors_total", "bad entries, unreadable places and wrong digests that the scrub found", stat_get(&u->errors));
    counter(p, "azoth_scrub_entries_total", "entries read by the scrub", stat_get(&u->entries));
    counter(p, "azoth_scrub_bytes_total", "bytes of keys and values read by the scrub", stat_get(&u->bytes));
    stat_head(p, done, "gauge", "entries of the round at hand that the scrub has read");
    stat_value(p, done, NULL, stat_get(&u->done));
    stat_head(p, good, "gauge", "when the last round ended that found nothing wrong, seconds since 1970; 0: none yet");
    stat_ratio(p, good, NULL, (double)stat_get(&u->last_good_ms) / 1000);
    stat_head(p, rotten, "gauge", "1: the last round found bit rot");
    stat_value(p, rotten, NULL, atomic_load(&u->rotten));
    counter(p, "azoth_tidy_leaves_total", "sparse leaves of the data written anew", stat_get(&u->rewritten));
    counter(p, "azoth_log_trimmed_total", "log records retired", stat_get(&u->trimmed));
}

enum err upkeep_open(struct upkeep **out, const struct upkeep_options *o, uint64_t now_ms, struct fault *fault)
{
    struct upkeep *u = calloc(1, sizeof *u);
    if (u == NULL)
        return fault_set(fault, ERR_NOMEM, "no memory for the upkeep");
    u->o = *o;
    upkeep_keep(u, &o->keep);
    u->scrub_at_ms = now_ms + UPKEEP_STEP_MS;
    struct scrub_options so = { .store = o->store, .check = o->check != NULL ? check_entry : NULL,
                                .bad = on_bad, .arg = u };
    enum err err = scrub_open(&u->scrub, &so, fault);
    if (err == OK)
        err = tidy_open(&u->tidy, o->store, fault);
    if (err == OK)
        err = log_reader_open(o->store, &u->reader, fault);
    if (err != OK) {
        upkeep_close(u);
        return err;
    }
    *out = u;
    return OK;
}

void upkeep_close(struct upkeep *u)
{
    if (u == NULL)
        return;
    scrub_close(u->scrub);
    tidy_close(u->tidy);
    log_reader_close(u->reader);
    free(u);
}
