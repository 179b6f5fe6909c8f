/* What the changer tells of itself. */
#include "builder/changer_parts.h"

#include "base/clock.h"

#include <stdio.h>

struct changer_lag changer_lag(const struct changer *ch)
{
    uint64_t since = stat_get(&ch->stats.oldest_ms), now = clock_mono_ms();
    return (struct changer_lag){ stat_get(&ch->stats.events), since > 0 && now > since ? now - since : 0 };
}

static void ends(const struct changer_stats *s, struct stat_page *p)
{
    stat_head(p, "azoth_core_changes_total", "counter", "edits of zones, by how they ended; dry runs count too");
    stat_value(p, "azoth_core_changes_total", "end=\"done\"", stat_get(&s->done));
    stat_value(p, "azoth_core_changes_total", "end=\"unchanged\"", stat_get(&s->unchanged));
    stat_value(p, "azoth_core_changes_total", "end=\"refused\"", stat_get(&s->refused));
    stat_value(p, "azoth_core_changes_total", "end=\"failed\"", stat_get(&s->failed));
    stat_value(p, "azoth_core_changes_total", "end=\"unknown\"", stat_get(&s->unknown));
    stat_head(p, "azoth_core_dry_runs_total", "counter", "edits that were only asked about");
    stat_value(p, "azoth_core_dry_runs_total", NULL, stat_get(&s->dry));
}

static void histogram(struct stat_page *p, const char *name, const stat_count *bucket, size_t n, double first, double sum)
{
    char line[96], le[48];
    uint64_t all = 0;
    (void)snprintf(line, sizeof line, "%s_bucket", name);
    for (size_t i = 0; i + 1 < n; i++, first *= 2) {
        (void)snprintf(le, sizeof le, "le=\"%g\"", first);
        stat_value(p, line, le, all += stat_get(&bucket[i]));
    }
    all += stat_get(&bucket[n - 1]);
    stat_value(p, line, "le=\"+Inf\"", all);
    (void)snprintf(line, sizeof line, "%s_sum", name);
    stat_ratio(p, line, NULL, sum);
    (void)snprintf(line, sizeof line, "%s_count", name);
    stat_value(p, line, NULL, all);
}

void changer_metrics(const struct changer *ch, struct stat_page *p)
{
    const struct changer_stats *s = &ch->stats;
    struct changer_lag lag = changer_lag(ch);
    ends(s, p);
    stat_head(p, "azoth_core_change_groups", "histogram", "edits that shared a sync");
    histogram(p, "azoth_core_change_groups", s->groups, GROUP_SIZES, 1, (double)stat_get(&s->grouped));
    stat_head(p, "azoth_core_change_build_seconds", "histogram", "what a group of edits took before its syncs");
    histogram(p, "azoth_core_change_build_seconds", s->builds, BUILD_STEPS, 0.00025, (double)stat_get(&s->builds_us) / 1e6);
    stat_head(p, "azoth_core_events_pending", "gauge", "changes of records that the store does not have");
    stat_value(p, "azoth_core_events_pending", NULL, lag.events);
    stat_head(p, "azoth_core_events_oldest_seconds", "gauge", "how long the oldest of them has waited");
    stat_ratio(p, "azoth_core_events_oldest_seconds", NULL, (double)lag.oldest_ms / 1000);
    stat_head(p, "azoth_core_events_replayed_total", "counter", "events built again, at the start or behind a failure");
    stat_value(p, "azoth_core_events_replayed_total", NULL, stat_get(&s->replays));
    full_metrics(ch->full, p);
}
