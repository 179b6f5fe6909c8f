/* What is told of secondary zones: scripts of what happens to one zone with two primaries, over the real scheduler; and what a zone costs. */
#include "tests/util.h"

#include "builder/secondary_board.h"
#include "builder/secondary_parts.h"
#include "builder/wishes.h"

#include "base/clock.h"

#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define UNIX_START 1795262400u
/* a.test., with data of serial 5 and primaries 0 and 1, refresh 1000 s, retry 100 s. A script, word by word:
 *     +N        N seconds pass, and what is due is asked for
 *     N         NOTIFY of primary 0              W   somebody asks for it: the next ticket (1, 2 ...)
 *     c n f s   the question or transfer under way: current, newer (9), failed ("bad"), silent ("mute"); d: done, serial 9
 *     o         it failed for another reason     P   the zone has primaries 1 and 2 now
 *     G         the zone goes, and comes again   ?   nothing is under way */
struct play {
    struct board *b;
    struct refresh *r;
    struct refresh_todo todo; bool running;
    uint64_t ms, ticket;
};
static const struct refresh_timers timers = { 1000, 100, 5000 };
static const uint8_t apex_wire[] = "\1A\4test";
static struct bytes apex(void) { return bytes_of(apex_wire, sizeof apex_wire); }
static uint64_t now_s(const struct play *p) { return UNIX_START + p->ms / 1000; }

static void zone(struct play *p, uint32_t first)
{
    const uint32_t primaries[] = { first, first + 1 };
    struct refresh_kept kept = { .checked_s = now_s(p), .serial = 5, .next_s = now_s(p) + 1000 };
    assert_int_equal(board_zone(p->b, apex(), primaries, 2), OK);
    assert_int_equal(refresh_zone(p->r, apex(), primaries, 2, true, &timers, &kept, p->ms, now_s(p)), OK);
}

static void next(struct play *p)
{
    uint64_t wait;
    if (p->running || !refresh_next(p->r, p->ms, &p->todo, &wait))
        return;
    p->running = true;
    board_begins(p->b, apex());
}

/* As secondary_end does. */
static char told(struct play *p, enum refresh_outcome outcome, const char *why)
{
    struct refresh_kept kept;
    bool transfer = p->todo.what == REFRESH_TRANSFER, done = outcome == REFRESH_DONE;
    uint32_t serial = outcome == REFRESH_CURRENT ? 5 : 9;
    assert_true(p->running);
    p->running = false;
    if (why != NULL)
        (void)board_failed(p->b, apex(), p->todo.primary, why, now_s(p));
    else
        board_heard(p->b, apex(), p->todo.primary, serial, now_s(p));
    if (transfer && done)
        board_transferred(p->b, apex(), &(struct board_transfer){ .bytes = 300, .records = 7, .primary = p->todo.primary, .from = 5, .has_from = true });
    if (why == NULL && outcome != REFRESH_NEWER)
        board_good(p->b, apex(), p->todo.primary);
    assert_int_equal(refresh_told(p->r, &p->todo, outcome, serial, transfer && done ? &timers : NULL, p->ms, now_s(p), &kept), OK);
    enum board_turn turn = board_ended(p->b, apex(), p->ms, now_s(p));
    next(p);
    return turn == BOARD_FAILS ? '!' : turn == BOARD_RECOVERED ? '+' : '\0';
}

static char word(struct play *p, const char *w)
{
    switch (w[0]) {
    case '+': p->ms += (uint64_t)atoi(w + 1) * 1000; break;
    case 'N': refresh_notified(p->r, apex(), 0, false, 0, false, p->ms); break;
    case 'W':
        board_wanted(p->b, apex(), ++p->ticket);
        refresh_notified(p->r, apex(), REFRESH_ANYBODY, false, 0, false, p->ms);
        break;
    case 'P': zone(p, 1); break;
    case 'G':
        refresh_zone_gone(p->r, apex());
        board_zone_gone(p->b, apex());
        p->running = false;
        zone(p, 0);
        break;
    case '?': assert_false(p->running); break;
    case 'c': return told(p, REFRESH_CURRENT, NULL);
    case 'n': return told(p, REFRESH_NEWER, NULL);
    case 'd': return told(p, REFRESH_DONE, NULL);
    case 'f': return told(p, REFRESH_FAILED, "bad");
    case 'o': return told(p, REFRESH_FAILED, "worse");
    case 's': return told(p, REFRESH_SILENT, "mute");
    default: fail_msg("no such word '%s'", w);
    }
    next(p);
    return '\0';
}

/* "fails; 0:9,bad@120 1:-; w2 current; t9": failing, each primary's serial and reason, when (seconds), the wish, the transfer's bytes. */
static void show(struct play *p, char *out, size_t cap)
{
    static const char *const outcomes[] = { "none", "pending", "current", "transferred", "failed" };
    struct arena a;
    struct board_report r;
    size_t n;
    arena_init(&a);
    assert_int_equal(board_report(p->b, apex(), &a, &r), OK);
    assert_true(board_is_failing(p->b, apex()) == r.status.failing);
    n = (size_t)snprintf(out, cap, "%s;", r.status.failing ? "fails" : "well");
    for (size_t i = 0; i < r.primaries_n; i++) {
        const struct board_primary *q = &r.primaries[i];
        n += (size_t)snprintf(out + n, cap - n, " %s", q->address);
        n += q->has_serial ? (size_t)snprintf(out + n, cap - n, ":%u@%u", q->serial, (unsigned)(q->heard_s - UNIX_START)) : (size_t)snprintf(out + n, cap - n, ":-");
        if (q->why != NULL)
            n += (size_t)snprintf(out + n, cap - n, ",%s@%u", q->why, (unsigned)(q->failed_s - UNIX_START));
    }
    if (r.request != BOARD_NONE)
        n += (size_t)snprintf(out + n, cap - n, "; w%u %s", (unsigned)r.ticket, outcomes[r.request]);
    if (r.has_transfer)
        (void)snprintf(out + n, cap - n, "; %s of %s", r.transfer.whole ? "all" : "steps", r.transfer_address);
    arena_release(&a);
}

static const struct { const char *why, *script, *turns, *want; } rows[] = {
    { "nobody was asked yet", "?", "", "well; p0:- p1:-" },
    { "the primary has what we have", "+1000 c ?", "", "well; p0:5@1000 p1:-" },
    { "a serial was heard, and the transfer is under way", "+1000 n", "", "well; p0:9@1000 p1:-" },
    { "a transfer came", "+1000 n +2 d ?", "", "well; p0:9@1002 p1:-; steps of p0" },
    { "one primary fails and the other does: the zone is well", "+1000 f c ?", "", "well; p0:-,bad@1000 p1:5@1000" },
    { "in the middle of a round the zone does not fail yet", "+1000 f", "", "well; p0:-,bad@1000 p1:-" },
    { "both fail: the zone does, once", "+1000 f s ?", "!", "fails; p0:-,bad@1000 p1:-,mute@1000" },
    { "and it is told of once, however often it fails again", "+1000 f f +100 f f +200 f f", "!", "fails; p0:-,bad@1300 p1:-,bad@1300" },
    { "another reason takes the place of the one before", "+1000 f f +100 o o ?", "!", "fails; p0:-,worse@1100 p1:-,worse@1100" },
    { "it is well again when one of them is", "+1000 f f +100 f c ?", "!+", "well; p0:-,bad@1100 p1:5@1100" },
    { "a serial alone takes no reason away: what it has may fail", "+1000 f f +100 n f", "!", "fails; p0:9@1100,bad@1100 p1:-,bad@1000" },
    { "the transfer does", "+1000 n f n d ?", "", "well; p0:9@1000,bad@1000 p1:9@1000; steps of p1" },
    { "a wish waits for its answer", "W", "", "well; p0:- p1:-; w1 pending" },
    { "a wish: nothing new", "W c ?", "", "well; p0:5@0 p1:-; w1 current" },
    { "a wish: a transfer", "W n d ?", "", "well; p0:9@0 p1:-; w1 transferred; steps of p0" },
    { "a wish: no primary would do", "W f s ?", "!", "fails; p0:-,bad@0 p1:-,mute@0; w1 failed" },
    { "a wish is not at its end with the first primary", "W f", "", "well; p0:-,bad@0 p1:-; w1 pending" },
    { "a wish while a primary is asked: what that one says may be old, so another look is taken", "N W c", "", "well; p0:5@0 p1:-; w1 pending" },
    { "and that ends it", "N W c c ?", "", "well; p0:5@0 p1:-; w1 current" },
    { "a wish while a question fails: not its end, the next round's is", "N s W s", "!", "fails; p0:-,mute@0 p1:-,mute@0; w1 pending" },
    { "which comes soon", "N s W s +2 f f", "!", "fails; p0:-,bad@2 p1:-,bad@2; w1 failed" },
    { "a wish while a transfer runs: it is looked again", "N n W d c ?", "", "well; p0:5@0 p1:-; w1 transferred; steps of p0" },
    { "two wishes, the later one counts", "W W c c ?", "", "well; p0:5@0 p1:-; w2 current" },
    { "a wish tries those that are silent", "+1000 s s +1 W s c ?", "!+", "well; p0:-,mute@1001 p1:5@1001; w1 current" },
    { "other primaries: what is known of those that stay does", "+1000 f c P", "", "well; p1:5@1000 p2:-" },
    { "a zone that fails may do with other primaries", "+1000 f f P", "!", "well; p1:-,bad@1000 p2:-" },
    { "a zone that went and came is a new one", "+1000 f f G", "!", "well; p0:- p1:-" },
    { "a zone that came behind a wish for it has that wish", "W c G", "", "well; p0:- p1:-; w1 pending" },
};

static void script_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct play p = { .ms = 0 };
        struct board_figures f;
        struct refresh_far far;
        char text[200], got[400], turns[40] = "";
        assert_int_equal(board_open(&p.b), OK);
        assert_int_equal(refresh_open(&p.r, NULL, 7), OK);
        board_scheduler(p.b, p.r);
        assert_int_equal(board_primary(p.b, 2, "p2", ""), OK);
        assert_int_equal(board_primary(p.b, 0, "p0", ""), OK);
        assert_int_equal(board_primary(p.b, 1, "p1", "k."), OK);
        zone(&p, 0);
        (void)snprintf(text, sizeof text, "%s", rows[i].script);
        for (char *rest = NULL, *w = strtok_r(text, " ", &rest); w != NULL; w = strtok_r(NULL, " ", &rest)) {
            char turn = word(&p, w);
            if (turn != '\0')
                turns[strlen(turns)] = turn;
        }
        show(&p, got, sizeof got);
        if (strcmp(got, rows[i].want) != 0 || strcmp(turns, rows[i].turns) != 0)
            fail_msg("%s: got '%s' with turns '%s', want '%s' with '%s'", rows[i].why, got, turns, rows[i].want, rows[i].turns);
        board_figures(p.b, &f);
        assert_int_equal(f.zones, 1);
        refresh_far(p.r, &far);
        assert_int_equal(far.failing, strncmp(got, "fails", 5) == 0);
        board_zone_gone(p.b, apex());
        board_figures(p.b, &f);
        assert_int_equal(f.zones, 0);
        board_scheduler(p.b, NULL);
        refresh_close(p.r);
        board_close(p.b);
    }
}

static void reasons_are_cut(void **state)
{
    char why[4 * BOARD_WHY_MAX];
    const uint32_t primary = 0;
    struct board_report r;
    struct arena a;
    struct board *b;
    struct refresh *sch;
    (void)state;
    memset(why, 'x', sizeof why - 1);
    why[sizeof why - 1] = '\0';
    arena_init(&a);
    assert_int_equal(board_open(&b), OK);
    assert_int_equal(refresh_open(&sch, NULL, 7), OK);
    assert_int_equal(board_report(b, apex(), &a, &r), ERR_NOTFOUND);
    board_scheduler(b, sch);
    assert_int_equal(board_zone(b, apex(), &primary, 1), OK);
    assert_int_equal(refresh_zone(sch, apex(), &primary, 1, false, NULL, NULL, 0, UNIX_START), OK);
    assert_true(board_failed(b, apex(), 0, why, UNIX_START));
    assert_false(board_failed(b, apex(), 0, why, UNIX_START + 1));          /* the same */
    assert_true(board_failed(b, apex(), 1, why, UNIX_START));               /* no primary of the zone any more: nothing is kept */
    assert_int_equal(board_report(b, apex(), &a, &r), OK);
    assert_int_equal(strlen(r.primaries[0].why), BOARD_WHY_MAX - 1);
    assert_int_equal(r.primaries[0].failed_s, UNIX_START + 1);
    assert_string_equal(r.primaries[0].address, "-");                       /* nobody said who it is */
    assert_int_equal(board_checked_s(b, apex()), 0);
    const uint32_t many[REFRESH_PRIMARIES_MAX + 1] = { 0 };
    assert_int_equal(board_zone(b, apex(), many, REFRESH_PRIMARIES_MAX + 1), ERR_LIMIT);
    assert_int_equal(board_primary(b, REFRESH_PRIMARIES, "a", ""), ERR_LIMIT);
    board_scheduler(b, NULL);
    assert_int_equal(board_report(b, apex(), &a, &r), ERR_NOTFOUND);
    refresh_close(sch);
    board_close(b);
    arena_release(&a);
}

/* --- what a zone costs ------------------------------------------------------------------------------------------------------------ */
enum { ZONES = 10000 };

static struct bytes numbered(struct name *n, unsigned i)
{
    char text[64];
    (void)snprintf(text, sizeof text, "customer-%u.example.", i);
    assert_int_equal(name_from_text(bytes_of_text(text), bytes_of(NULL, 0), n), OK);
    return name_bytes(n);
}

static void memory_each(void **state)
{
    const uint32_t primaries[] = { 0, 1 };
    struct board_figures f;
    struct board *b;
    struct refresh *r;
    struct name name;
    (void)state;
    assert_int_equal(board_open(&b), OK);
    assert_int_equal(refresh_open(&r, NULL, 1), OK);
    board_scheduler(b, r);
    size_t before = mallinfo2().uordblks;
    for (unsigned i = 0; i < ZONES; i++) {
        assert_int_equal(board_zone(b, numbered(&name, i), primaries, 2), OK);
        board_transferred(b, name_bytes(&name), &(struct board_transfer){ .bytes = 300 });
        board_heard(b, name_bytes(&name), 0, 7, UNIX_START);
    }
    size_t board = mallinfo2().uordblks - before;
    for (unsigned i = 0; i < ZONES; i++)
        assert_int_equal(refresh_zone(r, numbered(&name, i), primaries, 2, true, &timers, NULL, 0, UNIX_START), OK);
    size_t both = mallinfo2().uordblks - before;
    struct secondary_zone **zones = calloc(ZONES, sizeof *zones);         /* as secondary_zones.c keeps them */
    assert_non_null(zones);
    for (unsigned i = 0; i < ZONES; i++) {
        zones[i] = calloc(1, sizeof **zones + numbered(&name, i).len);
        assert_non_null(zones[i]);
        zones[i]->primaries = calloc(2, sizeof *zones[i]->primaries);
    }
    size_t all = mallinfo2().uordblks - before;
    board_figures(b, &f);
    print_message("a zone that is well: board %zu bytes (%zu by its own count), with the scheduler %zu, with its entry in the list %zu\n",
                  board / ZONES, f.bytes / ZONES, both / ZONES, all / ZONES);
    for (unsigned i = 0; i < ZONES; i++) {
        free(zones[i]->primaries);
        free(zones[i]);
    }
    free(zones);
    assert_true(f.bytes / ZONES < 170);                 /* with two primaries */
    for (unsigned i = 0; i < ZONES; i++) {
        for (unsigned k = 0; k < 2; k++)
            assert_true(board_failed(b, numbered(&name, i), k, "no answer in time", UNIX_START));
        for (unsigned k = 0; k < 2; k++)
            board_good(b, name_bytes(&name), k);
    }
    struct board_figures again;
    board_figures(b, &again);
    assert_int_equal(again.bytes, f.bytes);             /* reasons leave nothing behind */
    for (unsigned i = 0; i < ZONES; i++)
        board_zone_gone(b, numbered(&name, i));
    board_figures(b, &f);
    assert_int_equal(f.zones, 0);
    assert_true(f.bytes < (size_t)ZONES * 16);          /* the table alone */
    board_scheduler(b, NULL);
    refresh_close(r);
    board_close(b);
}

/* --- one silent primary of many zones ------------------------------------------------------------------------------------------------ */
enum { CROWD = 20, ASKED = 8 };         /* eight questions at once */

/* Those in line behind it never hear a no of their own, and fail all the same; whoever is wished for goes first. */
static void a_silent_primary_of_many(void **state)
{
    static const struct refresh_limits limits = { .at_once = 2, .at_once_each = 1 };
    const uint32_t primary = 0;
    struct refresh_todo todo[ASKED + 1];
    struct refresh_kept kept;
    struct refresh_far far;
    struct board_report report;
    struct board *b;
    struct refresh *r;
    struct arena a;
    struct name name;
    uint64_t wait;
    (void)state;
    arena_init(&a);
    assert_int_equal(board_open(&b), OK);
    assert_int_equal(refresh_open(&r, &limits, 7), OK);
    board_scheduler(b, r);
    for (unsigned i = 0; i < CROWD; i++) {
        assert_int_equal(board_zone(b, numbered(&name, i), &primary, 1), OK);
        assert_int_equal(refresh_zone(r, name_bytes(&name), &primary, 1, false, NULL, NULL, 0, UNIX_START), OK);
    }
    for (unsigned i = 0; i < ASKED; i++)
        assert_true(refresh_next(r, 1000, &todo[i], &wait));
    assert_false(refresh_next(r, 1000, &todo[ASKED], &wait));
    for (unsigned i = 0; i < ASKED; i++)
        assert_int_equal(refresh_told(r, &todo[i], REFRESH_SILENT, 0, NULL, 1000, UNIX_START, &kept), OK);
    refresh_far(r, &far);
    assert_int_equal(far.failing, ASKED);               /* one lost question is no failure of others */
    assert_true(refresh_next(r, 2000, todo, &wait));
    assert_false(refresh_next(r, 2000, &todo[1], &wait));
    assert_int_equal(refresh_told(r, todo, REFRESH_SILENT, 0, NULL, clock_mono_ms(), UNIX_START, &kept), OK);
    refresh_far(r, &far);
    assert_int_equal(far.failing, CROWD);
    assert_int_equal(board_report(b, numbered(&name, CROWD - 1), &a, &report), OK);
    assert_true(report.status.failing && report.status.waiting && report.status.left_alone);
    assert_string_equal(report.primaries[0].why, "it is silent, and left alone for a while");
    refresh_notified(r, name_bytes(&name), REFRESH_ANYBODY, false, 0, false, 3000);
    assert_true(refresh_next(r, 3000, todo, &wait));
    assert_true(name_equal(name_bytes(&todo->apex), name_bytes(&name)));
    board_scheduler(b, NULL);
    refresh_close(r);
    board_close(b);
    arena_release(&a);
}

/* --- wishes ------------------------------------------------------------------------------------------------------------------------- */
static void tickets(void **state)
{
    struct wishes *w;
    struct wish got;
    struct name name;
    uint64_t one, again, other, all, next;
    (void)state;
    assert_int_equal(wishes_open(&w), OK);
    assert_int_equal(wishes_put(w, WISH_TRANSFER, numbered(&name, 1), &one), OK);
    assert_int_equal(wishes_put(w, WISH_TRANSFER, numbered(&name, 2), &other), OK);
    assert_int_equal(wishes_put(w, WISH_TRANSFER_ALL, numbered(&name, 1), &all), OK);
    assert_int_equal(wishes_put(w, WISH_TRANSFER, numbered(&name, 1), &again), OK);
    assert_true(one > 0 && other > one && all > other);
    assert_true(again == one);                          /* it waits already */
    assert_true(wishes_take(w, &got) && got.ticket == one && got.what == WISH_TRANSFER);
    assert_int_equal(wishes_put(w, WISH_TRANSFER, numbered(&name, 1), &next), OK);
    assert_true(next > all);
    for (unsigned i = 0; i < WISHES_MAX - 3; i++)
        assert_int_equal(wishes_put(w, WISH_NOTIFY, numbered(&name, i), NULL), OK);
    assert_int_equal(wishes_put(w, WISH_NOTIFY, numbered(&name, WISHES_MAX), &next), ERR_LIMIT);
    assert_int_equal(wishes_put(w, WISH_NOTIFY, numbered(&name, 0), &next), OK);
    wishes_close(w);
}

/* --- threads ------------------------------------------------------------------------------------------------------------------------ */
static void *ask_often(void *arg)
{
    struct play *p = arg;
    struct board_report r;
    struct arena a;
    arena_init(&a);
    for (unsigned i = 0; i < 2000; i++) {
        arena_reset(&a);
        assert_int_equal(board_report(p->b, apex(), &a, &r), OK);
        (void)board_is_failing(p->b, apex());
        (void)board_checked_s(p->b, apex());
    }
    arena_release(&a);
    return NULL;
}

/* For the thread sanitizer: reports while primaries fail and recover. */
static void asked_from_elsewhere(void **state)
{
    struct play p = { .ms = 0 };
    pthread_t thread;
    (void)state;
    assert_int_equal(board_open(&p.b), OK);
    assert_int_equal(refresh_open(&p.r, NULL, 7), OK);
    board_scheduler(p.b, p.r);
    zone(&p, 0);
    assert_int_equal(pthread_create(&thread, NULL, ask_often, &p), 0);
    for (unsigned i = 0; i < 500; i++) {
        board_hold(p.b);
        (void)word(&p, "+5000");
        (void)told(&p, REFRESH_SILENT, "mute");
        board_let(p.b);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    board_scheduler(p.b, NULL);
    refresh_close(p.r);
    board_close(p.b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(script_rows), cmocka_unit_test(reasons_are_cut), cmocka_unit_test(memory_each), cmocka_unit_test(tickets), cmocka_unit_test(a_silent_primary_of_many),
        cmocka_unit_test(asked_from_elsewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
