/* The secondary's scheduler: scripts of what happens to one zone, limits, many primaries, and what is kept over a restart. */
#include "tests/util.h"

#include "builder/refresh.h"

#include <stdlib.h>

#define UNIX_START 1795262400u
/* One zone, a.test., with data of serial 5 and refresh 1000 s, retry 100 s, expire 5000 s, checked just now. A script, word by word:
 *     +N       N seconds pass                    U+N U-N   the Unix clock jumps
 *     S0 T0    SOA question, transfer of primary 0 is to be done now; A0: transfer of all; X: expire; R: revive
 *     -        nothing is to be done now         Z         a restart with what was kept
 *     c n f s  the last to-do: current, newer (serial 9), failed, silent; dN: done, serial N
 *     N N7 F   NOTIFY without a serial, of serial 7, of primary 0; all is asked for by hand
 *     M1       NOTIFY of primary 1               P         by hand, whatever the serial
 *     G        the zone goes                     E         the zone is without data */
struct play {
    struct refresh *r;
    struct refresh_todo todo[8]; unsigned todos;
    struct refresh_kept kept;
    uint64_t ms, s;
    uint32_t primaries[3]; unsigned n;
    bool empty;
};
static const struct refresh_timers timers = { 1000, 100, 5000 };
static const uint8_t apex_wire[] = "\1a\4test";
static struct bytes apex(void) { return bytes_of(apex_wire, sizeof apex_wire); }

static void play_zone(struct play *p)
{
    assert_int_equal(refresh_zone(p->r, apex(), p->primaries, p->n, !p->empty, p->empty ? NULL : &timers, &p->kept, p->ms, p->s), OK);
}

static void play_open(struct play *p)
{
    static const struct refresh_limits limits = { .at_once = 2, .at_once_each = 1 };
    assert_int_equal(refresh_open(&p->r, &limits, 7), OK);
    play_zone(p);
}

static void play_todo(struct play *p, const char *why, const char *word)
{
    struct refresh_todo t;
    uint64_t wait;
    bool got = refresh_next(p->r, p->ms, &t, &wait);
    if (word[0] == '-') {
        if (got)
            fail_msg("%s: to-do %d of primary %u at '%s'", why, (int)t.what, t.primary, word);
        return;
    }
    if (!got)
        fail_msg("%s: nothing to do at '%s' (in %llu ms)", why, word, (unsigned long long)wait);
    enum refresh_what want = word[0] == 'S' ? REFRESH_SOA : word[0] == 'X' ? REFRESH_EXPIRE : word[0] == 'R' ? REFRESH_REVIVE
                           : REFRESH_TRANSFER;
    bool asks = want == REFRESH_SOA || want == REFRESH_TRANSFER;
    if (t.what != want || t.axfr != (word[0] == 'A') || (asks && t.primary != (uint32_t)atoi(word + 1)))
        fail_msg("%s: to-do %d of primary %u, axfr %d at '%s'", why, (int)t.what, t.primary, t.axfr, word);
    p->todo[p->todos++] = t;
}

static void play_told(struct play *p, const char *why, const char *word)
{
    enum refresh_outcome o = word[0] == 'c' ? REFRESH_CURRENT : word[0] == 'n' ? REFRESH_NEWER : word[0] == 'f' ? REFRESH_FAILED
                           : word[0] == 's' ? REFRESH_SILENT : REFRESH_DONE;
    if (p->todos == 0)
        fail_msg("%s: nothing is under way at '%s'", why, word);
    struct refresh_todo t = p->todo[--p->todos];
    uint32_t serial = o == REFRESH_NEWER ? 9 : (uint32_t)atoi(word + 1);
    struct refresh_kept kept;
    enum err err = refresh_told(p->r, &t, o, serial, o == REFRESH_DONE ? &timers : NULL, p->ms, p->s, &kept);
    if (err == OK)
        p->kept = kept;
    if (t.what == REFRESH_TRANSFER && o == REFRESH_DONE)
        p->empty = false;
}

static void play_word(struct play *p, const char *why, const char *word)
{
    uint64_t n = (uint64_t)strtoull(word[0] == 'U' ? word + 2 : word + 1, NULL, 10);
    switch (word[0]) {
    case '+': p->ms += n * 1000; p->s += n; break;
    case 'U': p->s = word[1] == '+' ? p->s + n : p->s - n; break;
    case 'S': case 'T': case 'A': case 'X': case 'R': case '-': play_todo(p, why, word); break;
    case 'N': refresh_notified(p->r, apex(), 0, word[1] != '\0', (uint32_t)n, false, p->ms); break;
    case 'M': refresh_notified(p->r, apex(), (uint32_t)n, false, 0, false, p->ms); break;
    case 'P': refresh_notified(p->r, apex(), REFRESH_ANYBODY, false, 0, false, p->ms); break;
    case 'F': refresh_notified(p->r, apex(), REFRESH_ANYBODY, false, 0, true, p->ms); break;
    case 'G': refresh_zone_gone(p->r, apex()); break;
    case 'E': p->empty = true; play_zone(p); break;
    case 'Z': refresh_close(p->r); p->todos = 0; p->ms = 1; play_open(p); break;
    default: play_told(p, why, word); break;
    }
}

static void script_rows(void **state)
{
    static const struct { const char *why, *script; unsigned n; bool empty; } rows[] = {
        { "asked when its refresh time has come, not before", "- +899 - +102 S0 c - +899 - +102 S0", 1, false },
        { "a later serial is transferred of the same primary", "+1001 S0 n T0 d9 - +899 - +102 S0", 2, false },
        { "a zone without data is asked for at once", "S0 n T0 d9 -", 1, true },
        { "and again behind 15 s, 30 s, 60 s when its primary says no", "S0 f - +12 - +4 S0 f +26 - +5 S0 f +53 - +8 S0", 1, true },
        { "one that has no primary asks nobody, and expires", "+4999 - +2 X d - +9999 -", 0, false },
        { "the second primary has its turn when the first says no", "+1001 S0 f S1 c - +899 - +102 S1", 2, false },
        { "behind a transfer that failed the SOA comes first at the next one too", "+1001 S0 n T0 f S1 n T1 d9 -", 2, false },
        { "retry behind a round", "+1001 S0 s S1 s - +89 - +12 S0", 2, false },
        { "who says no waits longer each time", "+1001 S0 f - +101 S0 f - +101 - +100 S0 f - +350 - +51 S0", 1, false },
        { "who is silent does not: its primary does", "+1001 S0 s - +101 S0 s - +101 S0 s - +101 S0", 1, false },
        { "NOTIFY asks at once", "+5 N7 S0 n T0 d9 -", 1, false },
        { "NOTIFY of a serial that is there already", "+5 N5 - N4 - N", 1, false },
        { "a storm costs one question, and one more", "+5 N7 N7 N7 S0 N7 N7 N7 - c S0 c -", 1, false },
        { "a storm without serials too", "+5 N N N S0 N N N - c S0 c -", 1, false },
        { "what the transfer brought answers what came meanwhile", "+5 N7 S0 n T0 N8 N9 - d9 -", 1, false },
        { "and what is later than that makes one more", "+5 N7 S0 n T0 N10 N8 - d9 S0 n T0 d10 -", 1, false },
        { "the primary that notifies is asked", "+5 M1 S1 c -", 2, false },
        { "also when it was silent", "+1001 S0 s S1 s - M1 - +1 S1 c -", 2, false },
        { "notified by who says no: a second's wait, then two", "+5 N S0 f - N - +1 S0 f N +1 - +1 S0", 1, false },
        { "by hand: at once also then", "+5 N S0 f - P S0 c -", 1, false },
        { "by hand: one that was silent just now is asked too", "+1001 S0 s - P S0 c -", 1, false },
        { "who was silent has its turn again when the other says no", "+1001 S0 s S1 c - +1001 S1 f S0 c -", 2, false },
        { "but not before its back-off is over", "+1001 S0 f S1 s - +101 S0 s S1 s - +101 S0 f S1 c -", 2, false },
        { "all by hand: the SOA first, then all though the serial is the same", "F S0 c A0 d5 - +899 -", 1, false },
        { "all by hand that fails is tried again as such", "F S0 c A0 f - +101 S0 c A0 d5 -", 1, false },
        { "all by hand while a question is under way", "+1001 S0 F - c A0 d5 -", 1, false },
        { "all by hand while a transfer is under way", "+1001 S0 n T0 F - d9 S0 c A0 d9 -", 1, false },
        { "expires, and comes back by the same serial", "+1001 S0 s +5000 X S0 s d - +101 S0 c R d - +499 -", 1, false },
        { "expires in the middle of a question", "+1001 S0 +4001 X d - c R d -", 1, false },
        { "a good answer while the store is told that it expired", "+5001 X S0 c d R d -", 1, false },
        { "the store could not be told", "+1001 S0 s +5000 X S0 s f - +14 - +2 X d -", 1, false },
        { "comes back by a transfer", "+1001 S0 s +5000 X S0 s d +101 S0 n T0 d9 R d -", 1, false },
        { "a refresh that comes while it waits for its turn to expire", "+1001 S0 s +101 S0 c +4899 S0 c - +4890 S0 c -", 1, false },
        { "a restart keeps the time of the next question", "+1001 S0 c +500 Z - +398 - +103 S0 c", 1, false },
        { "a restart behind the time asks within a tenth of the refresh time", "+1001 S0 c +1100 Z +101 S0 c -", 1, false },
        { "a restart behind the end expires it and asks at once", "+1001 S0 c U+6000 Z X d +101 S0 c R d -", 1, false },
        { "a restart of an expired one does not say it again", "+1001 S0 s +5000 X S0 s d Z S0 s - +5000 S0 c R d -", 1, false },
        { "a restart before the store was told that it is good again", "+1001 S0 s +5000 X S0 s d +101 S0 c Z R d -", 1, false },
        { "a restart behind a clock that was set back", "+1001 S0 c U-900000 Z - +899 - +102 S0 c", 1, false },
        { "a clock that jumps in the middle of a run moves nothing", "+1001 S0 c U+900000 - +899 - +102 S0 c - U-9999999 - +899 - +102 S0", 1, false },
        { "what was taken at a start is asked again earlier once: all are taken at once then", "S0 n T0 d9 - +499 - +502 S0 c - +899 - +102 S0", 1, true },
        { "also behind a round in which nobody answered", "+1001 S0 s - +101 S0 c - +499 - +502 S0 c - +899 - +102 S0", 1, false },
        { "and when it was overdue at the start", "+1001 S0 c +1100 Z +101 S0 c - +499 - +502 S0 c - +899 - +102 S0", 1, false },
        { "a zone that goes while a question is under way", "+1001 S0 G - c - +9999 -", 1, false },
        { "its data went: it is asked for at once", "+5 E S0 n T0 d9 -", 1, false },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct play p = { .ms = 1000, .s = UNIX_START, .n = rows[i].n, .primaries = { 0, 1, 2 }, .empty = rows[i].empty };
        char script[256], *at = script;
        (void)snprintf(script, sizeof script, "%s", rows[i].script);
        if (!p.empty)
            p.kept = (struct refresh_kept){ .checked_s = p.s, .next_s = p.s + 1000, .expires_s = p.s + 5000, .serial = 5 };
        play_open(&p);
        for (char *word; (word = strsep(&at, " ")) != NULL;)
            play_word(&p, rows[i].why, word);
        refresh_close(p.r);
    }
}

/* --- many zones -------------------------------------------------------------------------------------------------------- */
static struct bytes numbered(struct name *n, unsigned i)
{
    char text[32];
    (void)snprintf(text, sizeof text, "zone%06u.test.", i);
    assert_int_equal(name_from_text(bytes_of_text(text), bytes_of(NULL, 0), n), OK);
    return name_bytes(n);
}

static unsigned take_all(struct refresh *r, uint64_t now_ms, struct refresh_todo *out, unsigned room)
{
    uint64_t wait;
    unsigned n = 0;
    while (n < room && refresh_next(r, now_ms, &out[n], &wait))
        n++;
    return n;
}

static void zones_add(struct refresh *r, unsigned from, unsigned n, const uint32_t *primaries, size_t primaries_n)
{
    struct name name;
    for (unsigned i = from; i < from + n; i++)
        assert_int_equal(refresh_zone(r, numbered(&name, i), primaries, primaries_n, false, NULL, NULL, 1000, UNIX_START), OK);
}

static unsigned told_all(struct refresh *r, struct refresh_todo *todo, unsigned n, enum refresh_outcome o, uint64_t now_ms)
{
    struct refresh_kept kept;
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(refresh_told(r, &todo[i], o, 9, &timers, now_ms, UNIX_START, &kept), OK);
    return n;
}

static void limits_each(void **state)
{
    static const uint32_t first[] = { 0 }, second[] = { 1 };
    struct refresh_limits l = { .at_once = 3, .at_once_each = 2 };
    struct refresh_todo todo[200];
    struct refresh *r;
    (void)state;
    assert_int_equal(refresh_open(&r, &l, 1), OK);
    zones_add(r, 0, 100, first, 1);
    zones_add(r, 100, 100, second, 1);
    assert_int_equal(take_all(r, 1000, todo, 200), 24);         /* SOA: 8 x 3 in all, 8 x 2 each */
    unsigned each[2] = { 0, 0 };
    for (unsigned i = 0; i < 24; i++)
        each[todo[i].primary]++;
    assert_true(each[0] <= 16 && each[1] <= 16 && each[0] >= 8 && each[1] >= 8);
    (void)told_all(r, todo, 24, REFRESH_NEWER, 1000);
    unsigned n = take_all(r, 1000, todo, 200), transfers = 0;
    for (unsigned i = 0; i < n; i++)
        transfers += todo[i].what == REFRESH_TRANSFER;
    assert_int_equal(transfers, 3);
    assert_int_equal(n, 27);
    struct refresh_figures f;
    refresh_figures(r, &f);
    assert_int_equal(f.transfers, 3);
    assert_int_equal(f.questions, 24);
    assert_int_equal(f.waiting, 200 - 27);
    refresh_close(r);
}

static void silent_primary(void **state)
{
    static const uint32_t both[] = { 0, 1 }, one[] = { 0 };
    struct refresh_limits l = { .at_once = 2, .at_once_each = 1 };
    struct refresh_todo todo[100];
    uint64_t wait, now = 1000;
    struct refresh *r;
    (void)state;
    assert_int_equal(refresh_open(&r, &l, 1), OK);
    zones_add(r, 0, 30, one, 1);
    unsigned n = take_all(r, now, todo, 100);
    assert_int_equal(n, 8);
    (void)told_all(r, todo, n, REFRESH_SILENT, now);            /* eight of one silence are one */
    assert_false(refresh_next(r, now, todo, &wait));
    assert_int_equal(wait, 1000);
    for (uint64_t pause = 1000; pause <= 16000; pause *= 2) {
        assert_false(refresh_next(r, now + pause - 1, todo, &wait));
        now += pause;
        assert_true(refresh_next(r, now, todo, &wait));
        assert_false(refresh_next(r, now, todo + 1, &wait));    /* one tries, the others wait */
        (void)told_all(r, todo, 1, REFRESH_SILENT, now);
    }
    zones_add(r, 30, 4, both, 2);                               /* who has another primary goes there */
    n = take_all(r, now, todo, 100);
    assert_int_equal(n, 4);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(todo[i].primary, 1);
    (void)told_all(r, todo, n, REFRESH_CURRENT, now);
    now += 32000;
    assert_true(refresh_next(r, now, todo, &wait));             /* heard again: all have their turn */
    (void)told_all(r, todo, 1, REFRESH_CURRENT, now);
    assert_int_equal(take_all(r, now, todo, 100), 8);
    refresh_close(r);
}

static void in_line_moves_over(void **state)
{
    static const uint32_t both[] = { 0, 1 };
    struct refresh_limits l = { .at_once = 1, .at_once_each = 1 };
    struct refresh_todo todo[100];
    struct refresh *r;
    (void)state;
    assert_int_equal(refresh_open(&r, &l, 1), OK);
    zones_add(r, 0, 20, both, 2);
    unsigned n = take_all(r, 1000, todo, 100);
    assert_int_equal(n, 8);
    (void)told_all(r, todo, n, REFRESH_SILENT, 1000);
    n = take_all(r, 1000, todo, 100);
    assert_int_equal(n, 8);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(todo[i].primary, 1);
    refresh_close(r);
}

/* All zones of a start at the same moment: the next questions come one after the other in half of the refresh time. */
static void together_not_for_ever(void **state)
{
    enum { ZONES = 1000, STEP_S = 50 };
    static const uint32_t one[] = { 0 };
    struct refresh_limits l = { .at_once = ZONES, .at_once_each = ZONES };
    static struct refresh_todo todo[ZONES];
    struct refresh *r;
    unsigned all = 0;
    (void)state;
    assert_int_equal(refresh_open(&r, &l, 1), OK);
    zones_add(r, 0, ZONES, one, 1);
    assert_int_equal(take_all(r, 1000, todo, ZONES), ZONES);
    (void)told_all(r, todo, ZONES, REFRESH_NEWER, 1000);
    assert_int_equal(take_all(r, 1000, todo, ZONES), ZONES);
    (void)told_all(r, todo, ZONES, REFRESH_DONE, 1000);
    assert_int_equal(take_all(r, 1000 + 499000, todo, ZONES), 0);
    for (uint64_t s = 500 + STEP_S; s <= 1000; s += STEP_S) {
        unsigned n = take_all(r, 1000 + s * 1000, todo, ZONES);
        assert_in_range(n, 60, 140);                            /* 100 if evenly; the seed is one of them all */
        all += told_all(r, todo, n, REFRESH_CURRENT, 1000 + s * 1000);
    }
    assert_int_equal(all, ZONES);
    refresh_close(r);
}

static void memory_each(void **state)
{
    enum { ZONES = 10000 };
    static const uint32_t three[] = { 0, 1, 2 };
    struct refresh_figures f;
    struct refresh *r;
    struct name name;
    (void)state;
    assert_int_equal(refresh_open(&r, NULL, 1), OK);
    zones_add(r, 0, ZONES, three, 3);
    refresh_figures(r, &f);
    assert_true(f.bytes / ZONES < 500);
    for (unsigned i = 0; i < ZONES; i++)
        refresh_zone_gone(r, numbered(&name, i));
    refresh_figures(r, &f);
    assert_int_equal(f.zones, 0);
    assert_true(f.bytes < (size_t)ZONES * 64);                  /* the tables alone */
    refresh_close(r);
}

static void primaries_change(void **state)
{
    static const uint32_t old[] = { 4 }, new[] = { 5, 6 };
    struct refresh_todo todo;
    struct refresh_kept kept;
    struct refresh *r;
    struct name name;
    uint64_t wait;
    (void)state;
    assert_int_equal(refresh_open(&r, NULL, 1), OK);
    zones_add(r, 0, 1, old, 1);
    assert_true(refresh_next(r, 1000, &todo, &wait));
    zones_add(r, 0, 1, new, 2);                                 /* while the old one is asked */
    assert_int_equal(refresh_told(r, &todo, REFRESH_NEWER, 9, NULL, 1000, UNIX_START, &kept), OK);
    assert_true(refresh_next(r, 1000, &todo, &wait));
    assert_int_equal(todo.what, REFRESH_SOA);
    assert_int_equal(todo.primary, 5);
    static const uint32_t beyond[] = { REFRESH_PRIMARIES };
    assert_int_equal(refresh_zone(r, numbered(&name, 1), beyond, 1, false, NULL, NULL, 1000, UNIX_START), ERR_LIMIT);
    assert_int_equal(refresh_zone(r, numbered(&name, 1), new, REFRESH_PRIMARIES_MAX + 1, false, NULL, NULL, 1000, UNIX_START), ERR_LIMIT);
    struct refresh_status st;
    assert_int_equal(refresh_status(r, numbered(&name, 1), 1000, UNIX_START, &st), ERR_NOTFOUND);
    refresh_close(r);
}

static void kept_rows(void **state)
{
    static const struct refresh_kept k = { 1, 0x123456789a, 3, UINT64_MAX, 0xfffffff0u, true };
    struct refresh_kept got;
    uint8_t buf[REFRESH_KEPT_BYTES + 1];
    struct wr w = wr_over(buf, REFRESH_KEPT_BYTES);
    (void)state;
    refresh_kept_write(&w, &k);
    struct bytes all = wr_done(&w);
    assert_int_equal(all.len, REFRESH_KEPT_BYTES);
    struct rd r = rd_over(all);
    assert_int_equal(refresh_kept_read(&r, &got), OK);
    assert_true(rd_done(&r));
    assert_true(got.checked_s == k.checked_s && got.transferred_s == k.transferred_s && got.next_s == k.next_s
                && got.expires_s == k.expires_s && got.serial == k.serial && got.expired);
    for (size_t n = 0; n < all.len; n++) {
        r = rd_over(bytes_of(buf, n));
        assert_int_equal(refresh_kept_read(&r, &got), ERR_SHORT);
    }
    buf[REFRESH_KEPT_BYTES - 1] = 2;
    r = rd_over(all);
    assert_int_equal(refresh_kept_read(&r, &got), ERR_BAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(script_rows), cmocka_unit_test(limits_each), cmocka_unit_test(silent_primary),
        cmocka_unit_test(in_line_moves_over), cmocka_unit_test(together_not_for_ever), cmocka_unit_test(memory_each), cmocka_unit_test(primaries_change),
        cmocka_unit_test(kept_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
