#include "builder/notifier.h"

#include "base/text.h"
#include "builder/xfrin_parts.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#define FIRST_WAIT_MS 1000u
#define BUCKETS 4096u

/* One target of one zone. WAITS: goes out when it is due. OPEN: went out, due is its next try. QUIET: was told; stands here until the
 * next change may be told, and then no more. */
enum state { WAITS, OPEN, QUIET };
struct question {
    struct name apex;
    struct notify_target to;
    enum state state;
    bool newer, wanted;                 /* newer: open, and the SOA is not the one that was told */
    bool asked, silent;                 /* since asked_ms without an answer; that was told */
    uint64_t asked_ms;
    uint16_t id, soa_len;
    unsigned tries;
    uint32_t ttl;
    uint64_t due_ms, sent_ms;
    struct tsig_chain *chain;           /* of what is open; NULL: it was not signed */
    size_t place;                       /* in v */
    struct question *next, *next_id;    /* of its buckets */
    bool has_id;                        /* it stands in that of its id */
    uint8_t soa[NOTIFIER_SOA_MAX];
};
struct notifier {
    struct question **v; size_t n, cap;
    struct question *buckets[BUCKETS];  /* by zone */
    struct question *ids[BUCKETS];      /* those that went out: anybody can send answers, and most are to nothing */
    size_t at;                          /* v is gone through once in several calls: up to here so far, */
    uint64_t least_ms;                  /* and this is due first of what was gone through */
    uint64_t earliest_ms;               /* before that nothing at all is due */
    size_t quiet;
    struct question *last;              /* that notifier_next gave */
    notifier_silent_fn *silent; void *arg;
    struct notifier_figures figures;
};

enum err notify_target_parse(const char *text, struct notify_target *out)
{
    char address[NET_TEXT_MAX];
    const char *at = strchr(text, '@'), *key = strstr(text, NOTIFY_KEY_WORD);
    size_t whole = key != NULL ? (size_t)(key - text) : strlen(text);
    size_t len = at == NULL || (size_t)(at - text) > whole ? whole : (size_t)(at - text);
    char number[8] = "53";
    uint64_t port;
    *out = (struct notify_target){ .port = 0 };
    if (len < whole)
        (void)snprintf(number, sizeof number, "%.*s", (int)(whole - len - 1), at + 1);
    if (len >= sizeof address || whole > len + sizeof number || text_number(number, UINT16_MAX, &port) != OK || port == 0)
        return ERR_BAD;
    (void)snprintf(address, sizeof address, "%.*s", (int)len, text);
    out->port = (uint16_t)port;
    if (key != NULL) {
        struct bytes name = bytes_of_text(key + sizeof NOTIFY_KEY_WORD - 1);
        if (name_from_text(name, (struct bytes){ 0 }, &out->key) != OK || out->key.len <= 1)
            return ERR_BAD;
        name_lower(out->key.wire, out->key.len);
    }
    return net_parse(address, &out->address);
}

/* --- the list --------------------------------------------------------------------------------------------------------- */
static struct question **bucket_of(struct notifier *n, struct bytes apex)
{
    struct name lower = { .len = (uint8_t)apex.len };
    memcpy(lower.wire, apex.ptr, apex.len);
    name_lower(lower.wire, lower.len);
    return &n->buckets[bytes_fnv(BYTES_FNV_START, name_bytes(&lower)) % BUCKETS];
}

static void due_at(struct notifier *n, struct question *q, uint64_t ms)
{
    q->due_ms = ms;
    n->least_ms = ms < n->least_ms ? ms : n->least_ms;
    n->earliest_ms = ms < n->earliest_ms ? ms : n->earliest_ms;
}

static void state_set(struct notifier *n, struct question *q, enum state s)
{
    n->quiet += s == QUIET;
    n->quiet -= q->state == QUIET;
    q->state = s;
}

static void chain_end(struct question *q)
{
    tsig_close(q->chain);
    q->chain = NULL;
}

static void id_leave(struct notifier *n, struct question *q)
{
    struct question **at = &n->ids[q->id % BUCKETS];
    if (!q->has_id)
        return;
    while (*at != q)
        at = &(*at)->next_id;
    *at = q->next_id;
    q->has_id = false;
}

static void id_take(struct notifier *n, struct question *q, uint16_t id)
{
    struct question **head = &n->ids[id % BUCKETS];
    id_leave(n, q);
    q->id = id;
    q->next_id = *head;
    *head = q;
    q->has_id = true;
}

static void drop(struct notifier *n, struct question *q)
{
    struct question **at = bucket_of(n, name_bytes(&q->apex)), *moved = n->v[--n->n];
    while (*at != q)
        at = &(*at)->next;
    *at = q->next;
    n->v[q->place] = moved;
    moved->place = q->place;
    if (moved != q && moved->place < n->at)             /* it was still to be gone through */
        n->least_ms = moved->due_ms < n->least_ms ? moved->due_ms : n->least_ms;
    state_set(n, q, WAITS);
    n->last = n->last == q ? NULL : n->last;
    id_leave(n, q);
    chain_end(q);
    free(q);
}

enum err notifier_open(struct notifier **out, notifier_silent_fn *silent, void *arg)
{
    struct notifier *n = calloc(1, sizeof *n);
    if (n == NULL)
        return ERR_NOMEM;
    n->silent = silent;
    n->arg = arg;
    n->least_ms = n->earliest_ms = UINT64_MAX;
    *out = n;
    return OK;
}

void notifier_close(struct notifier *n)
{
    if (n == NULL)
        return;
    while (n->n > 0)
        drop(n, n->v[n->n - 1]);
    free(n->v);
    free(n);
}

static enum err add(struct notifier *n, struct bytes apex, const struct notify_target *to, struct question **out)
{
    if (n->n - n->quiet >= NOTIFIER_OPEN_MAX)
        return ERR_LIMIT;
    if (n->n == n->cap) {
        size_t cap = n->cap == 0 ? 16 : 2 * n->cap;
        struct question **more = realloc(n->v, cap * sizeof(struct question *));
        if (more == NULL)
            return ERR_NOMEM;
        n->v = more;
        n->cap = cap;
    }
    struct question *q = calloc(1, sizeof *q), **head = bucket_of(n, apex);
    if (q == NULL)
        return ERR_NOMEM;
    q->apex.len = (uint8_t)apex.len;
    memcpy(q->apex.wire, apex.ptr, apex.len);
    q->to = *to;
    q->next = *head;
    *head = q;
    q->place = n->n;
    n->v[n->n++] = q;
    *out = q;
    return OK;
}

static bool same_target(const struct notify_target *a, const struct notify_target *b)
{
    return a->port == b->port && bytes_equal(bytes_of(a->address.addr, a->address.len), bytes_of(b->address.addr, b->address.len))
        && bytes_equal(name_bytes(&a->key), name_bytes(&b->key));
}

static struct question *find(struct notifier *n, struct bytes apex, const struct notify_target *to)
{
    struct question *q = *bucket_of(n, apex);
    while (q != NULL && !(name_equal(name_bytes(&q->apex), apex) && same_target(&q->to, to)))
        q = q->next;
    return q;
}

/* --- changes ------------------------------------------------------------------------------------------------------------ */
static uint64_t later_of(uint64_t a, uint64_t b) { return a > b ? a : b; }

static void tell_again(struct notifier *n, struct question *q, uint64_t now_ms)
{
    uint64_t soon = later_of(now_ms, q->sent_ms + FIRST_WAIT_MS);
    if (q->state == OPEN) {
        q->newer = true;
        if (soon < q->due_ms)
            due_at(n, q, soon);
    } else if (q->state == QUIET) {
        q->tries = 0;
        state_set(n, q, WAITS);
        due_at(n, q, later_of(now_ms, q->sent_ms + NOTIFIER_QUIET_MS));
    }
}

enum err notifier_changed(struct notifier *n, struct bytes apex, struct bytes soa, uint32_t ttl, const struct notify_target *to,
                          size_t to_n, uint64_t now_ms)
{
    enum err err = OK;
    if (soa.len > NOTIFIER_SOA_MAX)
        return ERR_LIMIT;
    for (size_t i = 0; i < to_n && err == OK; i++) {
        struct question *q = find(n, apex, &to[i]);
        if (q != NULL)
            tell_again(n, q, now_ms);
        else if ((err = add(n, apex, &to[i], &q)) == OK)
            due_at(n, q, now_ms);
        if (q == NULL)
            continue;
        q->wanted = true;
        q->ttl = ttl;
        q->soa_len = (uint16_t)soa.len;
        memcpy(q->soa, soa.ptr, soa.len);
    }
    for (struct question *q = *bucket_of(n, apex), *next; q != NULL; q = next) {
        next = q->next;
        if (name_equal(name_bytes(&q->apex), apex) && !q->wanted && err == OK)
            drop(n, q);
        else
            q->wanted = false;
    }
    return err;
}

/* --- datagrams ------------------------------------------------------------------------------------------------------------ */
static void listen_to(struct notifier *n, struct question *q, uint64_t now_ms)
{
    q->asked_ms = q->asked ? q->asked_ms : now_ms;
    q->asked = true;
    if (q->silent || now_ms - q->asked_ms < NOTIFIER_SILENT_MS)
        return;
    q->silent = true;
    n->silent(n->arg, name_bytes(&q->apex), &q->to, now_ms - q->asked_ms);
}

static size_t write_one(struct notifier *n, struct question *q, uint64_t now_ms, uint8_t *out, size_t cap)
{
    if (q->newer)
        q->tries = 0;
    if (q->tries == 0)
        id_take(n, q, (uint16_t)randombytes_random());          /* whoever guesses it could end what is open */
    q->newer = false;
    chain_end(q);
    state_set(n, q, OPEN);
    q->sent_ms = now_ms;
    due_at(n, q, now_ms + ((uint64_t)FIRST_WAIT_MS << q->tries++));
    n->figures.sent++;
    n->last = q;
    listen_to(n, q, now_ms);
    return notify_write(q->id, name_bytes(&q->apex), bytes_of(q->soa, q->soa_len), q->ttl, out, cap);
}

/* What is due of those that were not gone through yet; NULL: that was all. */
static struct question *next_due(struct notifier *n, uint64_t now_ms)
{
    while (n->at < n->n) {
        struct question *q = n->v[n->at];
        bool given_up = q->state == OPEN && !q->newer && q->tries == NOTIFIER_TRIES;
        if (q->due_ms > now_ms) {
            n->least_ms = q->due_ms < n->least_ms ? q->due_ms : n->least_ms;
            n->at++;
        } else if (q->state == QUIET || given_up) {
            n->figures.given_up += given_up;
            drop(n, q);
        } else {
            n->at++;
            return q;
        }
    }
    return NULL;
}

size_t notifier_next(struct notifier *n, uint64_t now_ms, uint8_t *out, size_t cap, struct notify_target *to)
{
    struct question *q = n->at > 0 ? next_due(n, now_ms) : NULL;
    n->last = NULL;
    while (q == NULL) {
        if (n->at > 0)                  /* all were gone through */
            n->earliest_ms = n->least_ms;
        n->at = 0;
        n->least_ms = UINT64_MAX;
        if (n->n == 0 || now_ms < n->earliest_ms)
            return 0;
        q = next_due(n, now_ms);
    }
    *to = q->to;
    return write_one(n, q, now_ms, out, cap);
}

void notifier_signed(struct notifier *n, struct tsig_chain *chain)
{
    if (n->last == NULL)
        tsig_close(chain);
    else
        n->last->chain = chain;
}

uint64_t notifier_due_ms(const struct notifier *n) { return n->n > 0 ? n->earliest_ms : UINT64_MAX; }

/* --- answers ---------------------------------------------------------------------------------------------------------------- */
static bool is_signed_well(struct question *q, struct bytes msg, uint64_t now_s)
{
    struct xfrin_message m;
    struct tsig t;
    if (q->to.key.len == 0)
        return true;
    return q->chain != NULL && xfrin_message_read(msg, &m) == NULL && m.has_tsig && tsig_read(msg, m.tsig_at, &t) == OK
        && tsig_check(q->chain, msg, m.tsig_at, &t, now_s) == TSIG_GOOD;
}

static void was_told(struct notifier *n, struct question *q, uint64_t now_ms)
{
    uint64_t quiet_ms = q->sent_ms + NOTIFIER_QUIET_MS;
    n->figures.answered++;
    q->asked = q->silent = false;
    chain_end(q);
    q->tries = 0;
    state_set(n, q, q->newer ? WAITS : QUIET);
    q->newer = false;
    due_at(n, q, later_of(now_ms, quiet_ms));
}

enum notifier_heard notifier_answered(struct notifier *n, struct bytes addr, uint16_t port, struct bytes msg, uint64_t now_ms,
                                      uint64_t now_s, uint16_t *rcode)
{
    struct rd r = rd_over(msg);
    for (struct question *q = n->ids[rd_u16(&r) % BUCKETS]; q != NULL; q = q->next_id) {
        if (q->state != OPEN || q->to.port != port || !bytes_equal(bytes_of(q->to.address.addr, q->to.address.len), addr)
            || !notify_answered(msg, q->id, name_bytes(&q->apex), rcode))
            continue;
        if (!is_signed_well(q, msg, now_s))
            return NOTIFIER_UNSIGNED;
        was_told(n, q, now_ms);
        return NOTIFIER_ANSWERED;
    }
    return NOTIFIER_NOT_OURS;
}

void notifier_figures(const struct notifier *n, struct notifier_figures *out)
{
    *out = n->figures;
    out->open = n->n - n->quiet;
}
