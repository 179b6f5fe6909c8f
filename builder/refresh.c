#include "builder/refresh_parts.h"

#include "builder/serial.h"

#include <stdlib.h>

#define SOA_TIMES 8             /* SOA questions at once, for each transfer that may be */
#define STATES_AT_ONCE 64       /* changes of state that the store is asked for at once */
#define SPREAD_PART 10          /* who is overdue at a start is asked within a tenth of its refresh time */
#define DOUBLINGS_MAX 16

const struct refresh_limits refresh_defaults = { .refresh_min_s = 30, .refresh_max_s = 86400, .retry_min_s = 15, .retry_max_s = 3600,
    .expire_max_s = 2419200, .at_once = 16, .at_once_each = 4, .backoff_max_s = 300 };
/* Of a zone whose SOA is not known. */
static const struct refresh_timers timers_unknown = { .refresh_s = 3600, .retry_s = 600, .expire_s = 1209600 };

/* --- numbers ------------------------------------------------------------------------------------------------------------ */
static uint64_t random_below(struct refresh *r, uint64_t n)        /* splitmix64 */
{
    uint64_t x = r->random += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return n == 0 ? 0 : (x ^ x >> 31) % n;
}

static uint64_t jittered(struct refresh *r, uint64_t wait_ms) { return wait_ms - random_below(r, wait_ms / 10 + 1); }
/* Zones that were asked all at once, at a start or when a silent primary came back, would be so ever after. */
static uint64_t dispersed(struct refresh *r, uint64_t wait_ms) { return wait_ms - random_below(r, wait_ms / 2 + 1); }
static uint32_t within(uint32_t v, uint32_t least, uint32_t most) { return v < least ? least : v > most ? most : v; }
static uint64_t less_of(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* A zone lives at least until its second question after a good one. */
static struct refresh_timers bounded(const struct refresh *r, const struct refresh_timers *t)
{
    struct refresh_timers b = t != NULL ? *t : timers_unknown;
    b.refresh_s = within(b.refresh_s, r->l.refresh_min_s, r->l.refresh_max_s);
    b.retry_s = within(b.retry_s, r->l.retry_min_s, r->l.retry_max_s);
    uint32_t least = b.refresh_s + b.retry_s;
    b.expire_s = within(b.expire_s, least, r->l.expire_max_s > least ? r->l.expire_max_s : least);
    return b;
}

static void wake_at(struct refresh *r, struct rzone *z, uint64_t at_ms)
{
    if (z->state != ASLEEP)
        return;
    z->next_ms = z->n > 0 ? at_ms : NEVER;
    heap_moved(r, z);
}

static void again_drop(struct refresh *r, struct rzone *z)
{
    r->again -= z->again;
    z->again = false;
}

/* --- life ---------------------------------------------------------------------------------------------------------------- */
static uint32_t or_default(uint32_t v, uint32_t standard) { return v != 0 ? v : standard; }

MUST_USE enum err refresh_open(struct refresh **out, const struct refresh_limits *l, uint64_t seed)
{
    static const struct refresh_limits none;
    const struct refresh_limits *d = &refresh_defaults;
    struct refresh *r = calloc(1, sizeof *r);
    if (r == NULL)
        return ERR_NOMEM;
    l = l != NULL ? l : &none;
    r->l = (struct refresh_limits){
        .refresh_min_s = or_default(l->refresh_min_s, d->refresh_min_s), .refresh_max_s = or_default(l->refresh_max_s, d->refresh_max_s),
        .retry_min_s = or_default(l->retry_min_s, d->retry_min_s), .retry_max_s = or_default(l->retry_max_s, d->retry_max_s),
        .expire_max_s = or_default(l->expire_max_s, d->expire_max_s), .at_once = or_default(l->at_once, d->at_once),
        .at_once_each = or_default(l->at_once_each, d->at_once_each), .backoff_max_s = or_default(l->backoff_max_s, d->backoff_max_s) };
    r->random = seed;
    memcpy(r->secret.key, (const uint64_t[]){ seed, ~seed }, sizeof r->secret.key);
    r->bytes = sizeof *r;
    *out = r;
    return OK;
}

void refresh_close(struct refresh *r)
{
    if (r == NULL)
        return;
    for (size_t i = 0; i < r->heap_n; i++) {
        free(r->heap[i]->primaries);
        free(r->heap[i]);
    }
    for (size_t i = 0; i < r->primaries_cap; i++)
        free(r->primaries[i]);
    free(r->primaries);
    free(r->heap);
    free(r->buckets);
    free(r);
}

/* --- zones come, change and go --------------------------------------------------------------------------------------------- */
static bool primaries_same(const struct rzone *z, const uint32_t *numbers, size_t n)
{
    bool same = z->n == n;
    for (size_t i = 0; same && i < n; i++)
        same = z->primaries[i]->number == numbers[i];
    return same;
}

static enum err primaries_set(struct refresh *r, struct rzone *z, const uint32_t *numbers, size_t n)
{
    struct primary **p = n == 0 ? NULL : calloc(n, sizeof *p);
    enum err err = n == 0 || p != NULL ? OK : ERR_NOMEM;
    for (size_t i = 0; err == OK && i < n; i++)
        err = primary_get(r, numbers[i], &p[i]);
    if (err != OK) {
        free(p);
        return err;
    }
    if (z->state == IN_LINE)
        line_leave(r, z);
    r->bytes += n * sizeof *p - z->n * sizeof *p;
    free(z->primaries);
    z->primaries = p;
    z->n = (uint8_t)n;
    z->at = z->tried = 0;
    z->rounds = 0;
    z->said_no = z->hinted = false;
    z->not_before_ms = 0;
    return OK;
}

/* Seconds from now to a Unix time that was kept, at most `most` (the clock was set back), in ms. 0: it is over. */
static uint64_t left_ms(uint64_t then_s, uint64_t now_s, uint32_t most)
{
    return then_s <= now_s ? 0 : less_of(then_s - now_s, most) * 1000;
}

/* Where a zone stands that was here before this start. */
static void resume(struct refresh *r, struct rzone *z, const struct refresh_kept *k, uint64_t now_ms, uint64_t now_s)
{
    uint64_t expire_ms = k->expires_s == 0 ? (uint64_t)z->t.expire_s * 1000 : left_ms(k->expires_s, now_s, z->t.expire_s);
    uint64_t next_ms = left_ms(k->next_s, now_s, z->t.refresh_s), spread = (uint64_t)z->t.refresh_s * 1000 / SPREAD_PART;
    z->checked_s = k->checked_s;
    z->transferred_s = k->transferred_s;
    z->serial = k->serial;
    z->shown_expired = z->has_data && k->expired;
    r->expired += z->shown_expired;
    if (z->has_data)
        z->expires_ms = expire_ms > 0 || !z->shown_expired ? now_ms + expire_ms : 0;
    z->late = next_ms == 0;
    if (!z->has_data || (z->shown_expired && expire_ms == 0))
        next_ms = 0;                            /* nothing to answer with: the limits alone hold it back */
    else if (next_ms == 0 && expire_ms > 0)
        next_ms = random_below(r, less_of(spread, expire_ms / 2) + 1);
    wake_at(r, z, now_ms + next_ms);
}

static void update(struct refresh *r, struct rzone *z, bool has_data, bool wake, uint64_t now_ms)
{
    bool came = has_data && !z->has_data, went = !has_data && z->has_data;
    z->has_data = has_data;
    if (came)
        z->expires_ms = now_ms + (uint64_t)z->t.expire_s * 1000;
    if (went) {
        r->expired -= z->shown_expired;
        z->shown_expired = false;
        z->expires_ms = NEVER;
        z->serial = 0;
    }
    heap_moved(r, z);
    if (wake || went)
        wake_at(r, z, now_ms);
}

MUST_USE enum err refresh_zone(struct refresh *r, struct bytes apex, const uint32_t *primaries, size_t n, bool has_data,
                               const struct refresh_timers *t, const struct refresh_kept *kept, uint64_t now_ms, uint64_t now_s)
{
    static const struct refresh_kept never;
    struct rzone *z = book_find(r, apex);
    bool is_new = z == NULL;
    if (n > REFRESH_PRIMARIES_MAX)
        return ERR_LIMIT;
    enum err err = is_new ? book_add(r, apex, &z) : OK;
    if (err != OK)
        return err;
    bool moved = !primaries_same(z, primaries, n);
    if (moved && (err = primaries_set(r, z, primaries, n)) != OK) {
        if (is_new)
            book_drop(r, z);
        return err;
    }
    if (is_new || t != NULL)
        z->t = bounded(r, t);
    if (!is_new) {
        update(r, z, has_data, moved, now_ms);
        return OK;
    }
    z->has_data = has_data;
    resume(r, z, kept != NULL ? kept : &never, now_ms, now_s);
    return OK;
}

void refresh_zone_gone(struct refresh *r, struct bytes apex)
{
    struct rzone *z = book_find(r, apex);
    if (z == NULL)
        return;
    if (z->state == IN_LINE)
        line_leave(r, z);
    if (z->state_lined)
        states_leave(r, z);
    again_drop(r, z);
    r->expired -= z->shown_expired;
    book_drop(r, z);
}

/* --- to which primary ------------------------------------------------------------------------------------------------------- */
/* The next in turn that is not silent; when all are, the one that may be tried the soonest. */
static uint8_t choose(const struct rzone *z)
{
    uint8_t best = z->at;
    for (unsigned i = 0; i < z->n; i++) {
        uint8_t at = (uint8_t)((z->at + i) % z->n);
        if (z->primaries[at]->failures == 0)
            return at;
        if (z->primaries[at]->until_ms < z->primaries[best]->until_ms)
            best = at;
    }
    return best;
}

static void ask(struct refresh *r, struct rzone *z)
{
    z->at = z->hinted ? z->at : choose(z);
    z->hinted = false;
    line_join(r, z, LINE_SOA);
}

static bool may_start(const struct refresh *r, const struct primary *p, unsigned which, uint64_t now_ms)
{
    unsigned times = which == LINE_SOA ? SOA_TIMES : 1;
    if (p->failures > 0)
        return now_ms >= p->until_ms && p->running[LINE_SOA] + p->running[LINE_TRANSFER] == 0 && r->running[which] < r->l.at_once * times;
    return r->running[which] < r->l.at_once * times && p->running[which] < r->l.at_once_each * times;
}

static void start(struct refresh *r, struct rzone *z, struct refresh_todo *out)
{
    struct primary *p = z->primaries[z->at];
    unsigned which = z->line;
    line_leave(r, z);
    z->state = RUNNING;
    heap_moved(r, z);
    z->ticket = ++r->tickets;
    p->running[which]++;
    r->running[which]++;
    *out = (struct refresh_todo){ .what = which == LINE_SOA ? REFRESH_SOA : REFRESH_TRANSFER, .primary = p->number, .ticket = z->ticket };
    if (which == LINE_TRANSFER) {
        if (z->axfr)
            again_drop(r, z);                   /* that is what was asked for */
        out->axfr = z->running_axfr = z->axfr;
        z->axfr = false;
    }
    out->apex.len = z->apex_len;
    memcpy(out->apex.wire, z->apex, z->apex_len);
}

/* The longest waiting of the next primary that may be asked; transfers before questions. */
static bool next_in_line(struct refresh *r, uint64_t now_ms, struct refresh_todo *out, uint64_t *soonest_ms)
{
    struct primary *first = r->ring, *p = first;
    if (p == NULL)
        return false;
    do {
        for (unsigned which = LINES; which-- > 0;)
            if (p->line[which].n > 0 && may_start(r, p, which, now_ms)) {
                r->ring = p->next;
                start(r, p->line[which].first, out);
                return true;
            }
        if (p->failures > 0 && now_ms < p->until_ms)
            *soonest_ms = less_of(*soonest_ms, p->until_ms);
        p = p->next;
    } while (p != first);
    return false;
}

/* --- the next to-do --------------------------------------------------------------------------------------------------------- */
static bool next_state(struct refresh *r, uint64_t now_ms, struct refresh_todo *out)
{
    while (r->states.first != NULL && r->states_running < STATES_AT_ONCE) {
        struct rzone *z = r->states.first;
        bool wanted = z->has_data && (z->shown_expired ? z->expires_ms != 0 : z->expires_ms <= now_ms);
        z->state_running = wanted;
        states_leave(r, z);
        if (!wanted)
            continue;
        z->state_ticket = ++r->tickets;
        r->states_running++;
        *out = (struct refresh_todo){ .what = z->shown_expired ? REFRESH_REVIVE : REFRESH_EXPIRE, .ticket = z->state_ticket };
        out->apex.len = z->apex_len;
        memcpy(out->apex.wire, z->apex, z->apex_len);
        return true;
    }
    return false;
}

static void wake_due(struct refresh *r, uint64_t now_ms)
{
    while (r->heap_n > 0 && rzone_due(r->heap[0]) <= now_ms) {
        struct rzone *z = r->heap[0];
        if (z->state == ASLEEP && z->next_ms <= now_ms)
            ask(r, z);
        else
            states_join(r, z);
    }
}

bool refresh_next(struct refresh *r, uint64_t now_ms, struct refresh_todo *out, uint64_t *wait_ms)
{
    uint64_t soonest = NEVER;
    wake_due(r, now_ms);
    *wait_ms = 0;
    if (next_state(r, now_ms, out) || next_in_line(r, now_ms, out, &soonest))
        return true;
    if (r->heap_n > 0)
        soonest = less_of(soonest, rzone_due(r->heap[0]));
    *wait_ms = soonest == NEVER ? NEVER : soonest - now_ms;
    return false;
}

/* --- NOTIFY ------------------------------------------------------------------------------------------------------------------ */
/* The line of the primary that has something new, also when it was thought silent. */
static void hint(struct refresh *r, struct rzone *z, uint32_t number, uint64_t now_ms)
{
    for (uint8_t i = 0; i < z->n; i++) {
        if (z->primaries[i]->number != number)
            continue;
        z->primaries[i]->until_ms = less_of(z->primaries[i]->until_ms, now_ms);
        if (z->state == RUNNING || (z->state == IN_LINE && z->at == i))
            return;
        if (z->state == IN_LINE)
            line_leave(r, z);
        z->at = i;
        z->hinted = true;
        return;
    }
}

void refresh_notified(struct refresh *r, struct bytes apex, uint32_t primary, bool has_serial, uint32_t serial, bool axfr,
                      uint64_t now_ms)
{
    struct rzone *z = book_find(r, apex);
    if (z == NULL || (has_serial && !axfr && z->has_data && z->expires_ms > now_ms && !serial_later(serial, z->serial)))
        return;
    z->axfr |= axfr;
    hint(r, z, primary, now_ms);
    for (unsigned i = 0; i < z->n && primary == REFRESH_ANYBODY; i++)
        z->primaries[i]->until_ms = less_of(z->primaries[i]->until_ms, now_ms);      /* they may have been mended just now */
    if (z->state == RUNNING) {
        /* Of several the one that says the latest serial; one that says none wants a look in any case. */
        if (!z->again || !has_serial || (z->again_has_serial && serial_later(serial, z->again_serial))) {
            z->again_has_serial = has_serial;
            z->again_serial = serial;
        }
        r->again += !z->again;
        z->again = true;
    } else if (z->state == ASLEEP) {
        uint64_t at_ms = primary == REFRESH_ANYBODY || z->not_before_ms < now_ms ? now_ms : z->not_before_ms;
        wake_at(r, z, less_of(z->next_ms, at_ms));
    }
    if (primary != REFRESH_ANYBODY || z->n == 0)
        return;
    if (z->state == ASLEEP)
        ask(r, z);
    if (z->state == IN_LINE)
        line_first(z);
}

/* --- how it ended ------------------------------------------------------------------------------------------------------------- */
static void keep(const struct rzone *z, uint64_t now_ms, uint64_t now_s, struct refresh_kept *out)
{
    *out = (struct refresh_kept){ .checked_s = z->checked_s, .transferred_s = z->transferred_s, .serial = z->serial,
                                  .expired = z->shown_expired, .next_s = now_s };
    if (z->state == ASLEEP && z->next_ms != NEVER && z->next_ms > now_ms)
        out->next_s += (z->next_ms - now_ms) / 1000;
    if (z->has_data)                            /* 1: over long ago; 0 would say never */
        out->expires_s = z->expires_ms <= now_ms ? (z->expires_ms == 0 ? 1 : now_s) : now_s + (z->expires_ms - now_ms) / 1000;
}

static void primary_heard(struct primary *p) { p->failures = 0; p->until_ms = 0; }

/* Zones in line there that have another primary go to that one. */
static void primary_silent(struct refresh *r, struct primary *p, uint64_t now_ms)
{
    if (p->failures > 0 && now_ms < p->until_ms)
        return;                                 /* it was asked before the last silence was seen */
    unsigned doublings = p->failures < DOUBLINGS_MAX ? p->failures : DOUBLINGS_MAX;
    p->failures++;
    p->until_ms = now_ms + less_of((uint64_t)1000 << doublings, (uint64_t)r->l.backoff_max_s * 1000);
    for (unsigned which = 0; which < LINES; which++)
        for (struct rzone *z = p->line[which].first, *next; z != NULL; z = next) {
            next = z->lined.next;
            uint8_t at = choose(z);
            if (z->primaries[at] == p || z->primaries[at]->failures > 0)
                continue;
            line_leave(r, z);
            z->at = at;
            line_join(r, z, LINE_SOA);
        }
}

/* Until its time, or until now when somebody asked meanwhile for more than there is. */
static void rest(struct refresh *r, struct rzone *z, uint64_t wait_ms, uint64_t now_ms)
{
    bool again = z->again && (!z->again_has_serial || !z->has_data || serial_later(z->again_serial, z->serial));
    again_drop(r, z);
    z->state = ASLEEP;
    wake_at(r, z, now_ms + (again || z->axfr ? 0 : wait_ms));
}

static void good(struct refresh *r, struct rzone *z, uint64_t now_ms, uint64_t now_s)
{
    uint64_t wait_ms = (uint64_t)(z->has_data ? z->t.refresh_s : z->t.retry_s) * 1000;
    bool crowd = z->late || z->rounds > 0;
    z->tried = 0;
    z->rounds = z->failures = 0;
    z->said_no = z->late = false;
    z->not_before_ms = 0;
    z->checked_s = now_s;
    z->state_after_ms = 0;
    if (z->has_data)
        z->expires_ms = now_ms + (uint64_t)z->t.expire_s * 1000;
    rest(r, z, crowd ? dispersed(r, wait_ms) : jittered(r, wait_ms), now_ms);
}

/* No primary would do. */
static void round_over(struct refresh *r, struct rzone *z, uint64_t now_ms)
{
    uint64_t wait = (uint64_t)(z->has_data ? z->t.retry_s : r->l.retry_min_s) * 1000, most = (uint64_t)r->l.retry_max_s * 1000;
    unsigned doublings = z->rounds < DOUBLINGS_MAX ? z->rounds : DOUBLINGS_MAX;
    if (z->said_no || !z->has_data)
        wait = less_of(wait << doublings, most);
    z->rounds++;
    z->tried = 0;
    z->not_before_ms = now_ms + less_of((uint64_t)1000 << doublings, wait);
    bool again = z->again;
    again_drop(r, z);
    z->said_no = false;
    z->state = ASLEEP;
    wake_at(r, z, again ? z->not_before_ms : now_ms + jittered(r, wait));
}

static void bad(struct refresh *r, struct rzone *z, bool silent, uint64_t now_ms)
{
    z->failures++;
    z->tried++;
    z->said_no |= !silent;
    z->axfr |= z->running_axfr;
    z->running_axfr = false;
    if (z->n > 0)
        z->at = (uint8_t)((z->at + 1) % z->n);
    if (z->tried >= z->n) {
        round_over(r, z, now_ms);
        return;
    }
    z->state = ASLEEP;
    z->hinted = z->primaries[z->at]->until_ms <= now_ms;       /* its turn, also when it was silent: else it has none as long as the others say no */
    ask(r, z);
}

static void transferred(struct refresh *r, struct rzone *z, uint32_t serial, const struct refresh_timers *t, uint64_t now_ms,
                        uint64_t now_s)
{
    z->has_data = true;
    z->serial = serial;
    z->transferred_s = now_s;
    z->running_axfr = false;
    if (t != NULL)
        z->t = bounded(r, t);
    good(r, z, now_ms, now_s);
}

static void asked(struct refresh *r, struct rzone *z, const struct refresh_todo *todo, enum refresh_outcome outcome, uint32_t serial,
                  const struct refresh_timers *t, uint64_t now_ms, uint64_t now_s)
{
    bool listed = z->n > 0 && z->primaries[z->at]->number == todo->primary;        /* it may have gone meanwhile */
    bool all = todo->what == REFRESH_SOA && outcome == REFRESH_CURRENT && z->axfr;
    if (todo->what == REFRESH_SOA && (outcome == REFRESH_NEWER || all)) {
        z->state = ASLEEP;
        if (listed)
            line_join(r, z, LINE_TRANSFER);
        else
            wake_at(r, z, now_ms);
    } else if (outcome == REFRESH_CURRENT) {
        z->running_axfr = false;
        good(r, z, now_ms, now_s);
    } else if (outcome == REFRESH_DONE && todo->what == REFRESH_TRANSFER) {
        transferred(r, z, serial, t, now_ms, now_s);
    } else {
        bad(r, z, outcome == REFRESH_SILENT, now_ms);
    }
}

static void state_told(struct refresh *r, struct rzone *z, enum refresh_what what, bool done, uint64_t now_ms)
{
    z->state_running = false;
    if (!done)
        z->state_after_ms = now_ms + (uint64_t)r->l.retry_min_s * 1000;
    else if (z->has_data) {
        r->expired -= z->shown_expired;
        z->shown_expired = what == REFRESH_EXPIRE;
        r->expired += z->shown_expired;
        if (z->shown_expired && z->expires_ms <= now_ms)
            z->expires_ms = 0;
    }
    heap_moved(r, z);
}

MUST_USE enum err refresh_told(struct refresh *r, const struct refresh_todo *todo, enum refresh_outcome outcome, uint32_t serial,
                               const struct refresh_timers *t, uint64_t now_ms, uint64_t now_s, struct refresh_kept *kept)
{
    struct rzone *z = book_find(r, name_bytes(&todo->apex));
    if (todo->what == REFRESH_EXPIRE || todo->what == REFRESH_REVIVE) {
        r->states_running--;
        if (z == NULL || !z->state_running || z->state_ticket != todo->ticket)
            return ERR_NOTFOUND;
        state_told(r, z, todo->what, outcome == REFRESH_DONE, now_ms);
    } else {
        struct primary *p = r->primaries[todo->primary];
        unsigned which = todo->what == REFRESH_SOA ? LINE_SOA : LINE_TRANSFER;
        p->running[which]--;
        r->running[which]--;
        if (outcome == REFRESH_SILENT)
            primary_silent(r, p, now_ms);
        else
            primary_heard(p);
        if (z == NULL || z->state != RUNNING || z->ticket != todo->ticket)
            return ERR_NOTFOUND;
        asked(r, z, todo, outcome, serial, t, now_ms, now_s);
    }
    keep(z, now_ms, now_s, kept);
    return OK;
}

/* --- figures -------------------------------------------------------------------------------------------------------------------- */
/* Behind a primary that is silent all wait until it is heard again, and none but the first is ever told so. */
static bool is_failing(const struct rzone *z)
{
    return z->rounds > 0 || (z->state == IN_LINE && z->primaries[z->at]->failures > 1);
}

MUST_USE enum err refresh_status(const struct refresh *r, struct bytes apex, uint64_t now_ms, uint64_t now_s,
                                 struct refresh_status *out)
{
    const struct rzone *z = book_find(r, apex);
    if (z == NULL)
        return ERR_NOTFOUND;
    *out = (struct refresh_status){ .failing = is_failing(z), .running = z->state == RUNNING,
                                    .left_alone = z->state == IN_LINE && z->primaries[z->at]->until_ms > now_ms, .waiting = z->state == IN_LINE || z->again,
                                    .expired = z->shown_expired, .next_in_ms = NEVER, .failures = z->failures,
                                    .primary = z->n > 0 ? z->primaries[z->at]->number : REFRESH_ANYBODY };
    if (z->state == ASLEEP && z->next_ms != NEVER)
        out->next_in_ms = z->next_ms > now_ms ? z->next_ms - now_ms : 0;
    keep(z, now_ms, now_s, &out->kept);
    return OK;
}

void refresh_figures(const struct refresh *r, struct refresh_figures *out)
{
    *out = (struct refresh_figures){ .zones = r->zones_n, .waiting = r->waiting + r->again, .questions = r->running[LINE_SOA],
                                     .transfers = r->running[LINE_TRANSFER], .expired = r->expired, .bytes = r->bytes };
}

void refresh_far(const struct refresh *r, struct refresh_far *out)
{
    *out = (struct refresh_far){ .oldest_s = NEVER };
    for (size_t i = 0; i < r->heap_n; i++) {
        const struct rzone *z = r->heap[i];
        out->failing += is_failing(z);
        if (z->checked_s != 0)
            out->oldest_s = less_of(out->oldest_s, z->checked_s);
    }
    if (out->oldest_s == NEVER)
        out->oldest_s = 0;
}
