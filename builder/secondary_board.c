#include "builder/secondary_board.h"

#include "base/clock.h"
#include "builder/secret_hash.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define BUCKETS_MIN 64

struct failure { uint64_t at_s; char why[]; };
struct row { uint32_t number, serial; uint64_t heard_s; struct failure *failure; };     /* heard_s 0: never */
struct entry {
    struct entry *next;                 /* of its bucket */
    uint64_t ticket;                    /* 0: nobody wished for it */
    struct board_transfer last;         /* took place when has_last */
    bool has_last;
    bool failed;                        /* so did its last round */
    bool asks;                          /* somebody was asked since the wish */
    bool brought;                       /* and a transfer came */
    uint8_t request, n, apex_len;
    struct row rows[];                  /* n of them, and behind those the apex, lower case */
};
struct named { char *address, *tsig; };
struct board {
    pthread_mutex_t lock;
    struct refresh *scheduler;
    struct entry **buckets; size_t buckets_n, zones;
    struct secret_hash secret;          /* a catalog says which zones there are */
    struct named *named; size_t named_n;
    uint64_t ticket;                    /* the newest wish of all */
    size_t bytes;
};

/* --- life ----------------------------------------------------------------------------------------------------------------------- */
MUST_USE enum err board_open(struct board **out)
{
    struct board *b = calloc(1, sizeof *b);
    if (b == NULL)
        return ERR_NOMEM;
    (void)pthread_mutex_init(&b->lock, NULL);
    secret_hash_init(&b->secret);
    b->bytes = sizeof *b;
    *out = b;
    return OK;
}

static void failure_drop(struct board *b, struct row *row)
{
    if (row->failure != NULL)
        b->bytes -= sizeof *row->failure + strlen(row->failure->why) + 1;
    free(row->failure);
    row->failure = NULL;
}

static size_t entry_size(size_t primaries, size_t apex_len) { return sizeof(struct entry) + primaries * sizeof(struct row) + apex_len; }

static void entry_free(struct board *b, struct entry *e)
{
    for (unsigned i = 0; i < e->n; i++)
        failure_drop(b, &e->rows[i]);
    b->bytes -= entry_size(e->n, e->apex_len);
    free(e);
}

void board_close(struct board *b)
{
    if (b == NULL)
        return;
    for (size_t i = 0; i < b->buckets_n; i++)
        for (struct entry *e = b->buckets[i], *next; e != NULL; e = next) {
            next = e->next;
            entry_free(b, e);
        }
    for (size_t i = 0; i < b->named_n; i++) {
        free(b->named[i].address);
        free(b->named[i].tsig);
    }
    free(b->named);
    free(b->buckets);
    (void)pthread_mutex_destroy(&b->lock);
    free(b);
}

void board_hold(struct board *b) { (void)pthread_mutex_lock(&b->lock); }
void board_let(struct board *b) { (void)pthread_mutex_unlock(&b->lock); }
void board_scheduler(struct board *b, struct refresh *r) { b->scheduler = r; }

/* --- zones by name -------------------------------------------------------------------------------------------------------------- */
static struct bytes entry_apex(const struct entry *e) { return bytes_of((const uint8_t *)&e->rows[e->n], e->apex_len); }

static struct name lower_of(struct bytes apex)
{
    struct name n = { .len = (uint8_t)apex.len };
    memcpy(n.wire, apex.ptr, apex.len);
    name_lower(n.wire, n.len);
    return n;
}

/* Where the zone's entry hangs, or would; NULL: there is no table yet. */
static struct entry **place(const struct board *b, struct bytes lower)
{
    struct entry **at = b->buckets_n == 0 ? NULL : &b->buckets[secret_hash(&b->secret, lower) & (b->buckets_n - 1)];
    while (at != NULL && *at != NULL && !bytes_equal(entry_apex(*at), lower))
        at = &(*at)->next;
    return at;
}

static struct entry *find(const struct board *b, struct bytes apex)
{
    if (apex.len == 0 || apex.len > NAME_MAX_LEN)
        return NULL;
    struct name lower = lower_of(apex);
    struct entry **at = place(b, name_bytes(&lower));
    return at != NULL ? *at : NULL;
}

static enum err buckets_grow(struct board *b)
{
    size_t n = b->buckets_n == 0 ? BUCKETS_MIN : 2 * b->buckets_n;
    if (b->zones < b->buckets_n)
        return OK;
    struct entry **grown = calloc(n, sizeof(struct entry *));
    if (grown == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < b->buckets_n; i++)
        for (struct entry *e = b->buckets[i], *next; e != NULL; e = next) {
            struct entry **head = &grown[secret_hash(&b->secret, entry_apex(e)) & (n - 1)];
            next = e->next;
            e->next = *head;
            *head = e;
        }
    free(b->buckets);
    b->bytes += (n - b->buckets_n) * sizeof(struct entry *);
    b->buckets = grown;
    b->buckets_n = n;
    return OK;
}

static struct row *row_of(struct entry *e, uint32_t number)
{
    for (unsigned i = 0; e != NULL && i < e->n; i++)
        if (e->rows[i].number == number)
            return &e->rows[i];
    return NULL;
}

static bool has_primaries(const struct entry *e, const uint32_t *primaries, size_t n)
{
    bool same = e->n == n;
    for (size_t i = 0; same && i < n; i++)
        same = e->rows[i].number == primaries[i];
    return same;
}

/* What is known of the zone, and of those primaries that it keeps. */
static void take_over(struct entry *e, struct entry *old)
{
    e->ticket = old->ticket;
    e->last = old->last;
    e->has_last = old->has_last;
    e->failed = old->failed;
    e->asks = old->asks;
    e->brought = old->brought;
    e->request = old->request;
    for (unsigned i = 0; i < e->n; i++) {
        struct row *row = row_of(old, e->rows[i].number);
        if (row == NULL)
            continue;
        e->rows[i] = *row;
        row->failure = NULL;
    }
}

MUST_USE enum err board_zone(struct board *b, struct bytes apex, const uint32_t *primaries, size_t n)
{
    if (apex.len == 0 || apex.len > NAME_MAX_LEN || n > REFRESH_PRIMARIES_MAX)
        return ERR_LIMIT;
    struct name lower = lower_of(apex);
    enum err err = buckets_grow(b);
    if (err != OK)
        return err;
    struct entry **at = place(b, name_bytes(&lower)), *old = *at;
    if (old != NULL && has_primaries(old, primaries, n))
        return OK;
    struct entry *e = calloc(1, entry_size(n, lower.len));
    if (e == NULL)
        return ERR_NOMEM;
    e->n = (uint8_t)n;
    e->apex_len = lower.len;
    memcpy(&e->rows[n], lower.wire, lower.len);
    for (size_t i = 0; i < n; i++)
        e->rows[i].number = primaries[i];
    b->bytes += entry_size(n, lower.len);
    if (old != NULL) {
        take_over(e, old);
        e->next = old->next;
        entry_free(b, old);
    } else {
        e->ticket = b->ticket;          /* a wish for a zone that was too new to be known: it is asked in any case */
        e->request = b->ticket != 0 ? BOARD_PENDING : BOARD_NONE;
        b->zones++;
    }
    *at = e;
    return OK;
}

void board_zone_gone(struct board *b, struct bytes apex)
{
    struct name lower = lower_of(apex);
    struct entry **at = place(b, name_bytes(&lower)), *e = at != NULL ? *at : NULL;
    if (e == NULL)
        return;
    *at = e->next;
    b->zones--;
    entry_free(b, e);
}

/* --- primaries by number ---------------------------------------------------------------------------------------------------------- */
MUST_USE enum err board_primary(struct board *b, uint32_t number, const char *address, const char *tsig)
{
    if (number >= REFRESH_PRIMARIES)
        return ERR_LIMIT;
    if (number >= b->named_n) {
        size_t n = (size_t)number + 16;
        struct named *grown = realloc(b->named, n * sizeof *grown);
        if (grown == NULL)
            return ERR_NOMEM;
        memset(grown + b->named_n, 0, (n - b->named_n) * sizeof *grown);
        b->bytes += (n - b->named_n) * sizeof *grown;
        b->named = grown;
        b->named_n = n;
    }
    struct named *p = &b->named[number];
    if (p->address != NULL)
        return OK;
    p->address = strdup(address);
    p->tsig = strdup(tsig);
    if (p->address == NULL || p->tsig == NULL) {
        free(p->address);
        free(p->tsig);
        *p = (struct named){ NULL, NULL };
        return ERR_NOMEM;
    }
    b->bytes += strlen(address) + strlen(tsig) + 2;
    return OK;
}

static struct named named_of(const struct board *b, uint32_t number)
{
    static char unknown[] = "-", none[] = "";
    return number < b->named_n && b->named[number].address != NULL ? b->named[number] : (struct named){ unknown, none };
}

/* --- what happens ------------------------------------------------------------------------------------------------------------------- */
void board_wanted(struct board *b, struct bytes apex, uint64_t ticket)
{
    struct entry *e = find(b, apex);
    b->ticket = ticket;
    if (e == NULL)
        return;
    e->ticket = ticket;
    e->request = BOARD_PENDING;
    e->asks = e->brought = false;
}

void board_begins(struct board *b, struct bytes apex)
{
    struct entry *e = find(b, apex);
    if (e != NULL)
        e->asks = true;
}

void board_heard(struct board *b, struct bytes apex, uint32_t primary, uint32_t serial, uint64_t now_s)
{
    struct row *row = row_of(find(b, apex), primary);
    if (row == NULL)
        return;
    row->serial = serial;
    row->heard_s = now_s;
}

bool board_failed(struct board *b, struct bytes apex, uint32_t primary, const char *why, uint64_t now_s)
{
    struct row *row = row_of(find(b, apex), primary);
    size_t len = strnlen(why, BOARD_WHY_MAX - 1);
    if (row == NULL)
        return true;
    if (row->failure != NULL && strlen(row->failure->why) == len && memcmp(row->failure->why, why, len) == 0) {
        row->failure->at_s = now_s;
        return false;
    }
    failure_drop(b, row);
    struct failure *f = malloc(sizeof *f + len + 1);
    if (f == NULL)
        return true;                    /* the log has it */
    f->at_s = now_s;
    memcpy(f->why, why, len);
    f->why[len] = '\0';
    row->failure = f;
    b->bytes += sizeof *f + len + 1;
    return true;
}

void board_good(struct board *b, struct bytes apex, uint32_t primary)
{
    struct row *row = row_of(find(b, apex), primary);
    if (row != NULL)
        failure_drop(b, row);
}

void board_transferred(struct board *b, struct bytes apex, const struct board_transfer *t)
{
    struct entry *e = find(b, apex);
    if (e == NULL)
        return;
    e->last = *t;
    e->has_last = e->brought = true;
}

enum board_turn board_ended(struct board *b, struct bytes apex, uint64_t now_ms, uint64_t now_s)
{
    struct entry *e = find(b, apex);
    struct refresh_status st;
    if (e == NULL || b->scheduler == NULL || refresh_status(b->scheduler, apex, now_ms, now_s, &st) != OK || st.running || st.waiting
        || st.next_in_ms == 0)
        return BOARD_SAME;              /* the next primary, a transfer, or another look: the round goes on */
    bool fails = st.failures > 0;
    enum board_turn turn = fails == e->failed ? BOARD_SAME : fails ? BOARD_FAILS : BOARD_RECOVERED;
    e->failed = fails;
    if (e->request == BOARD_PENDING && e->asks)
        e->request = fails ? BOARD_FAILED : e->brought ? BOARD_TRANSFERRED : BOARD_CURRENT;
    return turn;
}

void board_figures(const struct board *b, struct board_figures *out)
{
    *out = (struct board_figures){ b->zones, b->bytes };
}

/* --- reports -------------------------------------------------------------------------------------------------------------------------- */
static bool primary_report(const struct board *b, const struct row *row, struct arena *a, struct board_primary *out)
{
    struct named named = named_of(b, row->number);
    *out = (struct board_primary){ .address = arena_text(a, named.address), .tsig = arena_text(a, named.tsig), .has_serial = row->heard_s != 0,
                                   .serial = row->serial, .heard_s = row->heard_s };
    if (row->failure != NULL) {
        out->failed_s = row->failure->at_s;
        out->why = arena_text(a, row->failure->why);
    }
    return out->address != NULL && out->tsig != NULL && (row->failure == NULL || out->why != NULL);
}

static enum err entry_report(const struct board *b, const struct entry *e, struct arena *a, struct board_report *out)
{
    out->ticket = e->ticket;
    out->request = (enum board_request)e->request;
    out->has_transfer = e->has_last;
    out->transfer = e->last;
    out->transfer_address = arena_text(a, named_of(b, e->last.primary).address);
    out->primaries = arena_take(a, (e->n + 1u) * sizeof *out->primaries);
    bool good = out->transfer_address != NULL && out->primaries != NULL;
    for (unsigned i = 0; good && i < e->n; i++)
        good = primary_report(b, &e->rows[i], a, &out->primaries[i]);
    out->primaries_n = e->n;
    for (unsigned i = 0; good && out->status.left_alone && i < e->n; i++)
        if (e->rows[i].number == out->status.primary && out->primaries[i].why == NULL)
            out->primaries[i].why = "it is silent, and left alone for a while";
    return good ? OK : ERR_NOMEM;
}

MUST_USE enum err board_report(struct board *b, struct bytes apex, struct arena *a, struct board_report *out)
{
    *out = (struct board_report){ .request = BOARD_NONE };
    board_hold(b);
    const struct entry *e = find(b, apex);
    enum err err = e == NULL || b->scheduler == NULL ? ERR_NOTFOUND
                 : refresh_status(b->scheduler, apex, clock_mono_ms(), clock_wall_s(), &out->status);
    if (err == OK)
        err = entry_report(b, e, a, out);
    board_let(b);
    return err;
}

static struct refresh_status status_of(struct board *b, struct bytes apex)
{
    struct refresh_status st = { .running = false };
    board_hold(b);
    if (b->scheduler == NULL || refresh_status(b->scheduler, apex, clock_mono_ms(), clock_wall_s(), &st) != OK)
        st = (struct refresh_status){ .running = false };
    board_let(b);
    return st;
}

bool board_is_failing(struct board *b, struct bytes apex)
{
    return status_of(b, apex).failing;
}

uint64_t board_checked_s(struct board *b, struct bytes apex)
{
    return status_of(b, apex).kept.checked_s;
}
