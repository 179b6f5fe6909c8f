/* azoth-core's upkeep: a job of the writing thread that comes back, and what it knows about entries. */
#include "builder/core.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "rrset/rrkey.h"
#include "rrset/rrset.h"
#include "store/kvvalue.h"
#include "wire/name.h"

#include <stdio.h>

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

static void run(void *arg)
{
    struct core *c = arg;
    if (c->stop)
        return;
    struct upkeep_now now = now_of(c);
    uint64_t ms = upkeep_step(c->upkeep, &now);
    enum err err = queue_push(c->queue, &(struct job){ run, NULL, c }, ms);
    if (err != OK && err != ERR_NOTNOW)
        log_error("core.upkeep", "err=\"%s\" next=\"no scrub, no retention until the next start\"", err_text(err));
}

void core_upkeep_committed(struct core *c)
{
    if (c->upkeep == NULL)
        return;             /* while starting */
    struct upkeep_now now = now_of(c);
    upkeep_retain(c->upkeep, &now);
}

MUST_USE enum err core_upkeep_open(struct core *c, struct fault *fault)
{
    const struct config_core *f = c->config->core;
    struct upkeep_options o = { .store = c->store, .keep = { f->retention_ms, f->retention_bytes }, .check = check,
                                .key_text = key_text };
    enum err err = upkeep_open(&c->upkeep, &o, clock_mono_ms(), fault);
    return err != OK ? err : queue_push(c->queue, &(struct job){ run, NULL, c }, UPKEEP_STEP_MS);
}
