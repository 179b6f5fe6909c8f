/* azoth-core's upkeep: a job of the writing thread that comes back, and what it knows about entries. */
#include "builder/core.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "builder/journal.h"
#include "rrset/rrkey.h"
#include "rrset/rrset.h"
#include "store/kvvalue.h"
#include "wire/name.h"

#include <inttypes.h>
#include <stdio.h>

#define SETTLE_MS 5000
#define JOURNAL_MS 10000                /* between looks at the journal while it is within its limits */

static enum err check(void *arg, struct bytes ns, const struct entry *e, struct fault *fault)
{
    struct kvvalue v;
    (void)arg;
    if (bytes_equal(ns, bytes_of_text(KV_NS_DNS)))
        return blob_check(e->key, e->value, fault);
    if (e->key.len > KV_KEY_MAX)
        return fault_set(fault, ERR_BAD, "key of %zu bytes, at most %d are allowed", e->key.len, KV_KEY_MAX);
    return kvvalue_read(e->value, &v) == OK ? OK : fault_set(fault, ERR_BAD, "value is not [seq, bytes]");
}

static const char *key_text(char *out, size_t cap, struct bytes ns, struct bytes key)
{
    char text[NAME_TEXT_MAX];
    struct name name;
    uint16_t slot;
    if (!bytes_equal(ns, bytes_of_text(KV_NS_DNS)) || rrkey_name(key, &name, &slot) != OK)
        return text_hex(out, cap, key);
    (void)snprintf(out, cap, "%s/%u", name_text(text, sizeof text, name_bytes(&name)), (unsigned)slot);
    return out;
}

static struct upkeep_now now_of(struct core *c)
{
    upkeep_hold(c->upkeep, publisher_needs(c->publisher));
    return (struct upkeep_now){ clock_mono_ms(), commit_time_ms(c->committer), stat_get(&c->stats.applied) };
}

/* What was told, and found the disk full on its way into the data, must not wait there for the next change. */
static void settle(struct core *c, uint64_t now_ms)
{
    struct fault fault = { "" };
    char why[FAULT_TEXT_MAX + 64];
    struct head h = { .seq = 0 };
    if (now_ms < c->settle_ms)
        return;
    c->settle_ms = now_ms + SETTLE_MS;
    enum err err = commit_settle(c->committer, &fault);
    if (err == ERR_NOTNOW)
        return;
    if (err == OK && (err = store_head(c->store, &h, NULL)) == OK) {
        stat_set(&c->stats.applied, h.seq);
        stat_set(&c->stats.epoch, h.epoch);
        log_info("core.settled", "epoch=%" PRIu64 " seq=%" PRIu64, h.epoch, h.seq);
    } else {
        log_warn("core.unsettled", "err=%s next=\"the data stays behind the log; tried again\"",
                 log_quote(why, sizeof why, fault_text(&fault, err)));
    }
}

/* --- the journal ------------------------------------------------------------------------------------------------------- */
static void journal_count(struct core *c)
{
    struct journal *j = NULL;
    uint64_t entries = 0, bytes = 0;
    if (journal_open(&j, c->store, NULL) == OK && journal_figures(j, &entries, &bytes) == OK) {
        stat_set(&c->stats.journal_entries, entries);
        stat_set(&c->stats.journal_bytes, bytes);
    }
    journal_close(j);
}

/* Some of what is too old or too much; true: there may be more. */
static bool journal_step(struct core *c, const struct upkeep_now *now)
{
    const struct journal_limits limits = { c->journal_keep.age_ms, c->journal_keep.bytes };
    struct fault fault = { "" };
    char why[FAULT_TEXT_MAX + 64];
    if (now->mono_ms < c->journal_ms)
        return false;
    enum err err = journal_trim(c->store, &limits, now->core_ms, &fault);
    if (err == OK)
        return true;
    c->journal_ms = now->mono_ms + JOURNAL_MS;
    journal_count(c);
    if (err != ERR_NOTNOW)
        log_warn("journal.trim", "err=%s next=\"again in 10 s\"", log_quote(why, sizeof why, fault_text(&fault, err)));
    return false;
}

void core_upkeep_keep(struct core *c, const struct config_core *f)
{
    upkeep_keep(c->upkeep, &(struct retain_limits){ f->retention_ms, f->retention_bytes });
    c->journal_keep.age_ms = f->journal_ms;
    c->journal_keep.bytes = f->journal_bytes;
}

static void run(void *arg)
{
    struct core *c = arg;
    if (c->stop)
        return;
    settle(c, clock_mono_ms());
    struct upkeep_now now = now_of(c);
    uint64_t ms = upkeep_step(c->upkeep, &now);
    if (journal_step(c, &now) && ms > UPKEEP_MORE_MS)
        ms = UPKEEP_MORE_MS;
    enum err err = queue_push(c->queue, &(struct job){ run, NULL, c }, ms);
    if (err != OK && err != ERR_NOTNOW)
        log_error("core.upkeep", "err=\"%s\" next=\"no scrub, no retention until the next start\"", err_text(err));
}

void core_upkeep_committed(struct core *c)
{
    if (c->upkeep == NULL || log_is_held(c->store))
        return;             /* while starting; and what is held is looked at with the next step, or commit */
    struct upkeep_now now = now_of(c);
    upkeep_retain(c->upkeep, &now);
}

MUST_USE enum err core_upkeep_open(struct core *c, struct fault *fault)
{
    const struct config_core *f = c->config->core;
    struct upkeep_options o = { .store = c->store, .keep = { f->retention_ms, f->retention_bytes }, .check = check,
                                .key_text = key_text };
    enum err err = upkeep_open(&c->upkeep, &o, clock_mono_ms(), fault);
    if (err == OK)
        core_upkeep_keep(c, f);
    return err != OK ? err : queue_push(c->queue, &(struct job){ run, NULL, c }, UPKEEP_STEP_MS);
}
