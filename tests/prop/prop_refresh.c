/* Ten thousand zones and a few primaries that come and go, in a world whose time is made here: limits hold at every moment, one
 * question per zone, nothing before its time, no burst, nobody is forgotten, who expires has reason to.
 * AZOTH_SEED says which world (printed). */
#include "tests/util.h"

#include "builder/refresh.h"

#include <inttypes.h>
#include <time.h>

#define ZONES 10000
#define PRIMARIES 7
#define ROOM 400
#define HOURS 6
#define CALM_HOURS 4                    /* at the end all primaries are well */
#define UNIX_START 1795262400u
#define SLACK_MS 400000u                /* back-off, the wait for a turn, and rounding */

enum health { WELL, SILENT, SAYS_NO };
struct world_zone { uint64_t good_ms; uint32_t serial; uint8_t under_way, n; uint32_t primaries[2]; bool expired, soon, again, heard, failing, early; struct refresh_timers t; };
struct flight { struct refresh_todo todo; unsigned zone; uint64_t end_ms; bool notified; };
struct world {
    struct refresh *r;
    struct refresh_limits l;
    uint64_t random, now_ms, begun_ms;
    struct world_zone z[ZONES];
    enum health health[PRIMARIES];
    uint64_t turn_ms[PRIMARIES];
    struct flight flying[ROOM]; unsigned flying_n;
    unsigned at[PRIMARIES][2], all[2];
    unsigned second_n; uint64_t second;
    uint64_t questions, transfers, expiries, silences;
};

static uint64_t dice(struct world *w, uint64_t n)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return w->random % n;
}

static struct bytes apex_of(struct name *n, unsigned i)
{
    char text[32];
    (void)snprintf(text, sizeof text, "z%05u.test.", i);
    assert_int_equal(name_from_text(bytes_of_text(text), bytes_of(NULL, 0), n), OK);
    return name_bytes(n);
}

static unsigned zone_of(const struct refresh_todo *t)
{
    unsigned v = 0;
    for (unsigned i = 2; i < 7; i++)
        v = v * 10 + (unsigned)(t->apex.wire[i] - '0');
    return v;
}

static uint64_t unix_s(const struct world *w) { return UNIX_START + w->now_ms / 1000; }

/* All overdue: the start of a core that was down for a day. */
static void people(struct world *w)
{
    struct name name;
    for (unsigned i = 0; i < ZONES; i++) {
        struct world_zone *z = &w->z[i];
        z->t = (struct refresh_timers){ (uint32_t)(600 + dice(w, 3000)), (uint32_t)(60 + dice(w, 300)), (uint32_t)(9000 + dice(w, 9000)) };
        z->serial = 1;
        z->good_ms = w->now_ms;
        z->n = (uint8_t)(1 + dice(w, 2));
        z->primaries[0] = (uint32_t)dice(w, PRIMARIES);
        z->primaries[1] = (z->primaries[0] + 1) % PRIMARIES;
        struct refresh_kept k = { .checked_s = unix_s(w) - 86400, .next_s = unix_s(w) - 80000, .expires_s = unix_s(w) + z->t.expire_s, .serial = 1 };
        assert_int_equal(refresh_zone(w->r, apex_of(&name, i), z->primaries, z->n, true, &z->t, &k, w->now_ms, unix_s(w)), OK);
    }
}

/* --- what must hold ------------------------------------------------------------------------------------------------------- */
static void limits_hold(const struct world *w, const struct refresh_todo *t)
{
    unsigned which = t->what == REFRESH_TRANSFER, times = which == 0 ? 8 : 1;
    if (w->all[which] > w->l.at_once * times || w->at[t->primary][which] > w->l.at_once_each * times)
        fail_msg("at %" PRIu64 " ms: %u in all and %u at primary %u, transfers %u", w->now_ms, w->all[which],
                 w->at[t->primary][which], t->primary, which);
}

static void no_burst(struct world *w)
{
    if (w->now_ms / 1000 != w->second)
        w->second_n = 0;
    w->second = w->now_ms / 1000;
    /* Due are 5 a second on the average, 60 behind the start; the rest is who was kept waiting by a silent primary. */
    bool steady = w->now_ms > w->begun_ms + (uint64_t)(HOURS - CALM_HOURS + 2) * 3600 * 1000;
    if (++w->second_n > (steady ? 60u : 4000u))
        fail_msg("%u questions within second %" PRIu64, w->second_n, w->second);
}

/* The first wait behind the start, where all were overdue, and those behind failures may be half as long. */
static void in_time(const struct world *w, const struct world_zone *z, unsigned zone)
{
    if (!z->soon && w->now_ms < z->good_ms + (uint64_t)z->t.refresh_s * (z->early ? 500 : 900) && z->good_ms > w->begun_ms)
        fail_msg("zone %u is asked for %" PRIu64 " ms behind the last answer, its refresh time is %u s", zone, w->now_ms - z->good_ms,
                 z->t.refresh_s);
}

/* --- the world goes on ------------------------------------------------------------------------------------------------------ */
static void begin(struct world *w, const struct refresh_todo *t)
{
    unsigned zone = zone_of(t), which = t->what == REFRESH_TRANSFER;
    struct world_zone *z = &w->z[zone];
    struct flight f = { .todo = *t, .zone = zone, .end_ms = w->now_ms + 1 + dice(w, 30) };
    if (t->what == REFRESH_EXPIRE && w->now_ms < z->good_ms + (uint64_t)z->t.expire_s * 1000)
        fail_msg("zone %u expires %" PRIu64 " ms behind its last good answer", zone, w->now_ms - z->good_ms);
    if (t->what == REFRESH_SOA || t->what == REFRESH_TRANSFER) {
        if (z->under_way++ > 0)
            fail_msg("zone %u: two under way", zone);
        w->all[which]++;
        w->at[t->primary][which]++;
        limits_hold(w, t);
        if (t->what == REFRESH_SOA) {
            no_burst(w);
            in_time(w, z, zone);
            w->questions++;
        }
        f.end_ms += w->health[t->primary] == SILENT ? 3000 : which * dice(w, 500);
    }
    assert_true(w->flying_n < ROOM);
    w->flying[w->flying_n++] = f;
}

static enum refresh_outcome answer(struct world *w, const struct flight *f)
{
    struct world_zone *z = &w->z[f->zone];
    if (f->todo.what == REFRESH_EXPIRE || f->todo.what == REFRESH_REVIVE) {
        z->expired = f->todo.what == REFRESH_EXPIRE;
        w->expiries += z->expired;
        return REFRESH_DONE;
    }
    z->under_way--;
    w->all[f->todo.what == REFRESH_TRANSFER]--;
    w->at[f->todo.primary][f->todo.what == REFRESH_TRANSFER]--;
    if (w->health[f->todo.primary] != WELL) {
        z->soon = z->failing = true;            /* retries have times of their own */
        w->silences++;
        return w->health[f->todo.primary] == SILENT ? REFRESH_SILENT : REFRESH_FAILED;
    }
    if (f->todo.what == REFRESH_SOA && dice(w, 4) == 0)
        return REFRESH_NEWER;
    w->transfers += f->todo.what == REFRESH_TRANSFER;
    z->serial += f->todo.what == REFRESH_TRANSFER;
    z->good_ms = w->now_ms;
    z->early = z->failing || !z->heard;
    z->heard = true;
    z->failing = false;
    z->soon = z->again;
    z->again = false;
    return f->todo.what == REFRESH_SOA ? REFRESH_CURRENT : REFRESH_DONE;
}

static void end(struct world *w, unsigned i)
{
    struct flight f = w->flying[i];
    struct refresh_kept kept;
    w->flying[i] = w->flying[--w->flying_n];
    enum refresh_outcome o = answer(w, &f);
    assert_int_equal(refresh_told(w->r, &f.todo, o, w->z[f.zone].serial, &w->z[f.zone].t, w->now_ms, unix_s(w), &kept), OK);
    if (o == REFRESH_DONE && f.todo.what == REFRESH_TRANSFER && kept.serial != w->z[f.zone].serial)
        fail_msg("zone %u: serial %u is kept", f.zone, kept.serial);
}

static void weather(struct world *w, bool calm)
{
    for (unsigned p = 0; p < PRIMARIES; p++) {
        if (calm)
            w->health[p] = WELL;
        else if (w->now_ms >= w->turn_ms[p]) {
            w->health[p] = (enum health)dice(w, 3);
            w->turn_ms[p] = w->now_ms + dice(w, 2400) * 1000;
        }
    }
}

static uint64_t until_next(const struct world *w, uint64_t wait_ms)
{
    uint64_t next = wait_ms < 60000 ? w->now_ms + wait_ms : w->now_ms + 60000;
    for (unsigned i = 0; i < w->flying_n; i++)
        next = w->flying[i].end_ms < next ? w->flying[i].end_ms : next;
    return next > w->now_ms ? next : w->now_ms + 1;
}

static void live(struct world *w, uint64_t until_ms, bool calm)
{
    struct refresh_todo t;
    struct name name;
    uint64_t wait;
    while (w->now_ms < until_ms) {
        weather(w, calm);
        for (unsigned i = w->flying_n; i-- > 0;)
            if (w->flying[i].end_ms <= w->now_ms)
                end(w, i);
        if (!calm && dice(w, 50) == 0) {
            unsigned i = (unsigned)dice(w, ZONES);
            *(w->z[i].under_way > 0 ? &w->z[i].again : &w->z[i].soon) = true;
            refresh_notified(w->r, apex_of(&name, i), w->z[i].primaries[0], false, 0, false, w->now_ms);
        }
        while (refresh_next(w->r, w->now_ms, &t, &wait))
            begin(w, &t);
        w->now_ms = until_next(w, wait);
    }
}

static void all_are_fresh(const struct world *w)
{
    for (unsigned i = 0; i < ZONES; i++) {
        const struct world_zone *z = &w->z[i];
        if (w->now_ms > z->good_ms + (uint64_t)z->t.refresh_s * 1000 + SLACK_MS)
            fail_msg("zone %u was forgotten for %" PRIu64 " ms", i, w->now_ms - z->good_ms);
        if (z->expired)
            fail_msg("zone %u is still expired", i);
    }
}

static void ten_thousand(void **state)
{
    static struct world w;
    const char *text = getenv("AZOTH_SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 10) : 20261121;
    (void)state;
    print_message("seed %" PRIu64 "\n", seed);
    w = (struct world){ .random = seed | 1, .now_ms = 5000, .begun_ms = 5000, .l = { .at_once = 12, .at_once_each = 3 } };
    assert_int_equal(refresh_open(&w.r, &w.l, seed), OK);
    people(&w);
    live(&w, w.begun_ms + (uint64_t)(HOURS - CALM_HOURS) * 3600 * 1000, false);
    live(&w, w.begun_ms + (uint64_t)HOURS * 3600 * 1000, true);
    all_are_fresh(&w);
    struct refresh_figures f;
    refresh_figures(w.r, &f);
    print_message("%" PRIu64 " questions, %" PRIu64 " transfers, %" PRIu64 " not answered, %" PRIu64 " expired, %zu bytes per zone\n",
                  w.questions, w.transfers, w.silences, w.expiries, f.bytes / ZONES);
    assert_int_equal(f.expired, 0);
    assert_true(f.bytes / ZONES < 1000);
    refresh_close(w.r);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(ten_thousand) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
