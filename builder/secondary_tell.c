/* What came of the questions and transfers: metrics, the log, and the board, from where the API reads it. */
#include "builder/secondary_parts.h"

#include "base/clock.h"

#include <inttypes.h>

#define NEWS_TOLD 200                   /* lines of log in ten seconds: of primaries that begin to fail, or to be well */
#define FAILURES_TOLD 20                /* and of those that go on failing for the same reason */

static bool asks(const struct secondary_job *j) { return j->todo.what == REFRESH_SOA || j->todo.what == REFRESH_TRANSFER; }

void secondary_count(struct secondary *s, const struct secondary_job *j, enum refresh_outcome outcome)
{
    stat_count *c = outcome == REFRESH_SILENT ? &s->silent : j->todo.what == REFRESH_SOA ? outcome == REFRESH_FAILED ? &s->answers_bad : NULL
                  : j->todo.what == REFRESH_EXPIRE ? outcome == REFRESH_DONE ? &s->expired : NULL
                  : j->todo.what == REFRESH_REVIVE ? outcome == REFRESH_DONE ? &s->revived : NULL
                  : outcome == REFRESH_FAILED ? &s->failed : outcome == REFRESH_CURRENT ? &s->current
                  : xfrin_is_whole(j->x) ? &s->whole : &s->steps;
    if (c != NULL)
        stat_add(c, 1);
}

/* --- the board -------------------------------------------------------------------------------------------------------------- */
static uint64_t records_of(struct xfrin *x)
{
    size_t n;
    uint64_t records = 0;
    if (xfrin_is_whole(x))
        return xfrin_zone(x)->n;
    const struct xfrin_step *step = xfrin_steps(x, &n);
    for (size_t i = 0; i < n; i++)
        records += step[i].gone_n + step[i].come_n;
    return records;
}

static void note_transfer(struct secondary_job *j)
{
    const struct board_transfer t = { .bytes = xfrin_bytes(j->x), .records = records_of(j->x), .primary = j->todo.primary, .from = j->from,
                                      .took_ms = (uint32_t)(clock_mono_ms() - j->begun_ms), .whole = xfrin_is_whole(j->x), .has_from = j->has_soa };
    board_transferred(j->s->o.board, name_bytes(&j->todo.apex), &t);
}

bool secondary_note(struct secondary_job *j, enum refresh_outcome outcome, uint32_t serial, const char *why)
{
    struct board *b = j->s->o.board;
    struct bytes apex = name_bytes(&j->todo.apex);
    uint64_t now_s = clock_wall_s();
    if (!asks(j))
        return true;
    if (outcome == REFRESH_NEWER || outcome == REFRESH_CURRENT || outcome == REFRESH_DONE)
        board_heard(b, apex, j->todo.primary, serial, now_s);
    else if (j->has_serial)
        board_heard(b, apex, j->todo.primary, j->serial, now_s);
    if (why != NULL)
        return board_failed(b, apex, j->todo.primary, why, now_s);
    if (j->todo.what == REFRESH_TRANSFER && outcome == REFRESH_DONE)
        note_transfer(j);
    if (outcome != REFRESH_NEWER)               /* what it has is still to come, and that may fail */
        board_good(b, apex, j->todo.primary);
    return true;
}

/* --- the log ------------------------------------------------------------------------------------------------------------------ */
/* A primary of thousands of zones that goes is told of by some of them. */
static void tell_failure(struct secondary_job *j, const char *zone, const char *primary, const char *why, bool is_news)
{
    static const char *const what[] = { [REFRESH_SOA] = "soa", [REFRESH_TRANSFER] = "transfer", [REFRESH_EXPIRE] = "expire", [REFRESH_REVIVE] = "revive" };
    struct secondary *s = j->s;
    char quoted[700];
    unsigned held;
    if (!log_brake_pass(is_news ? &s->brake_failed : &s->brake_again, clock_mono_ms(), is_news ? NEWS_TOLD : FAILURES_TOLD, &held))
        return;
    log_warn("secondary.failed", "zone=%s what=%s primary=%s err=%s held=%u", zone, what[j->todo.what], primary,
             log_quote(quoted, sizeof quoted, why), held);
}

static void tell_recovery(struct secondary_job *j, const char *zone, const char *primary, uint32_t serial)
{
    unsigned held;
    if (log_brake_pass(&j->s->brake_recovered, clock_mono_ms(), NEWS_TOLD, &held))
        log_info("secondary.recovered", "zone=%s primary=%s serial=%" PRIu32 " held=%u", zone, primary, serial, held);
}

void secondary_tell(struct secondary_job *j, enum refresh_outcome outcome, uint32_t serial, const char *why, bool is_news, enum board_turn turn)
{
    char name[NAME_TEXT_MAX];
    const char *zone = name_text(name, sizeof name, name_bytes(&j->todo.apex));
    const char *primary = asks(j) ? j->s->primaries[j->todo.primary].text : "-";
    if (why != NULL)
        tell_failure(j, zone, primary, why, is_news);
    else if (j->todo.what == REFRESH_TRANSFER && outcome == REFRESH_DONE)
        log_info("secondary.transfer", "zone=%s primary=%s from=%" PRIu32 " to=%" PRIu32 " kind=%s over=%s messages=%" PRIu64 " bytes=%" PRIu64 " seq=%" PRIu64 " ms=%" PRIu64,
                 zone, primary, j->has_soa ? j->from : 0, serial, xfrin_is_whole(j->x) ? "whole" : "steps", j->over_udp ? "udp" : "tcp", xfrin_messages(j->x), xfrin_bytes(j->x),
                 j->change.result.seq, clock_mono_ms() - j->begun_ms);
    else if (j->todo.what == REFRESH_EXPIRE)
        log_warn("secondary.expired", "zone=%s next=\"SERVFAIL until a primary is heard\"", zone);
    else if (j->todo.what == REFRESH_REVIVE)
        log_info("secondary.revived", "zone=%s", zone);
    if (turn == BOARD_RECOVERED)
        tell_recovery(j, zone, primary, serial);
}

/* --- metrics -------------------------------------------------------------------------------------------------------------------- */
void secondary_look(struct secondary *s)
{
    struct refresh_figures f;
    struct board_figures b;
    refresh_figures(s->refresh, &f);
    board_hold(s->o.board);
    board_figures(s->o.board, &b);
    board_let(s->o.board);
    stat_set(&s->zones_now, f.zones);
    stat_set(&s->waiting_now, f.waiting);
    stat_set(&s->transfers_now, f.transfers);
    stat_set(&s->expired_now, f.expired);
    stat_set(&s->bytes_now, f.bytes + b.bytes);
}

void secondary_look_far(struct secondary *s)
{
    struct refresh_far far;
    refresh_far(s->refresh, &far);
    stat_set(&s->oldest_now, far.oldest_s);
    stat_set(&s->failing_now, far.failing);
}

void secondary_metrics(const struct secondary *s, struct stat_page *p)
{
    static const char transfers[] = "azoth_core_secondary_transfers_total", oldest[] = "azoth_core_secondary_oldest_check_seconds";
    uint64_t checked = stat_get(&s->oldest_now), now = clock_wall_s();
    const struct { const char *name, *kind, *help; const stat_count *v; } rows[] = {
        { "azoth_core_secondary_questions_total", "counter", "SOA questions to primaries", &s->questions },
        { "azoth_core_secondary_bad_answers_total", "counter", "SOA questions with an answer that would not do", &s->answers_bad },
        { "azoth_core_secondary_silent_total", "counter", "questions and transfers that had no answer", &s->silent },
        { "azoth_core_secondary_expired_total", "counter", "zones that expired", &s->expired },
        { "azoth_core_secondary_revived_total", "counter", "expired zones that came back", &s->revived },
        { "azoth_core_secondary_zones", "gauge", "secondary zones", &s->zones_now },
        { "azoth_core_secondary_zones_waiting", "gauge", "secondary zones that wait for their turn at a primary", &s->waiting_now },
        { "azoth_core_secondary_zones_failing", "gauge", "secondary zones of which no primary would do the last time, or whose primary is silent", &s->failing_now },
        { "azoth_core_secondary_zones_expired", "gauge", "secondary zones that are expired", &s->expired_now },
        { "azoth_core_secondary_transfers_running", "gauge", "transfers under way", &s->transfers_now },
        { "azoth_core_secondary_scheduler_bytes", "gauge", "memory of the scheduler, and of what is told of its zones", &s->bytes_now },
    };
    stat_head(p, transfers, "counter", "transfers of zones by outcome");
    stat_value(p, transfers, "outcome=\"whole\"", stat_get(&s->whole));
    stat_value(p, transfers, "outcome=\"steps\"", stat_get(&s->steps));
    stat_value(p, transfers, "outcome=\"current\"", stat_get(&s->current));
    stat_value(p, transfers, "outcome=\"failed\"", stat_get(&s->failed));
    stat_head(p, oldest, "gauge", "since the last good check of the secondary zone whose is the longest ago");
    stat_value(p, oldest, NULL, checked != 0 && checked < now ? now - checked : 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        stat_head(p, rows[i].name, rows[i].kind, rows[i].help);
        stat_value(p, rows[i].name, NULL, stat_get(rows[i].v));
    }
}
