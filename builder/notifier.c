#include "builder/notifier.h"

#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>

#define FIRST_WAIT_MS 1000u

/* One target of one zone. */
struct question {
    struct name apex;
    struct notify_target to;
    uint16_t id, soa_len;
    unsigned tries;
    uint32_t ttl;
    uint64_t due_ms;
    uint8_t soa[NOTIFIER_SOA_MAX];
};
struct notifier {
    struct question **v; size_t n, cap;
    uint64_t state;                     /* of the ids */
    struct notifier_figures figures;
};

enum err notify_target_parse(const char *text, struct notify_target *out)
{
    char address[NET_TEXT_MAX];
    const char *at = strchr(text, '@');
    size_t len = at == NULL ? strlen(text) : (size_t)(at - text);
    uint64_t port = 53;
    if (len >= sizeof address || (at != NULL && (text_number(at + 1, UINT16_MAX, &port) != OK || port == 0)))
        return ERR_BAD;
    (void)snprintf(address, sizeof address, "%.*s", (int)len, text);
    out->port = (uint16_t)port;
    return net_parse(address, &out->address);
}

enum err notifier_open(struct notifier **out, uint64_t seed)
{
    struct notifier *n = calloc(1, sizeof *n);
    if (n == NULL)
        return ERR_NOMEM;
    n->state = seed | 1;
    *out = n;
    return OK;
}

static void drop(struct notifier *n, size_t i)
{
    free(n->v[i]);
    n->v[i] = n->v[--n->n];
}

void notifier_close(struct notifier *n)
{
    if (n == NULL)
        return;
    while (n->n > 0)
        drop(n, n->n - 1);
    free(n->v);
    free(n);
}

/* xorshift64*: whoever could see an answer's id could answer himself. */
static uint16_t next_id(struct notifier *n)
{
    n->state ^= n->state >> 12;
    n->state ^= n->state << 25;
    n->state ^= n->state >> 27;
    return (uint16_t)(n->state * 0x2545f4914f6cdd1du >> 48);
}

static enum err add(struct notifier *n, const struct question *like)
{
    if (n->n >= NOTIFIER_OPEN_MAX)
        return ERR_LIMIT;
    if (n->n == n->cap) {
        size_t cap = n->cap == 0 ? 16 : 2 * n->cap;
        struct question **more = realloc(n->v, cap * sizeof(struct question *));
        if (more == NULL)
            return ERR_NOMEM;
        n->v = more;
        n->cap = cap;
    }
    struct question *q = malloc(sizeof *q);
    if (q == NULL)
        return ERR_NOMEM;
    *q = *like;
    q->id = next_id(n);
    n->v[n->n++] = q;
    return OK;
}

enum err notifier_changed(struct notifier *n, struct bytes apex, struct bytes soa, uint32_t ttl, const struct notify_target *to,
                          size_t to_n, uint64_t now_ms)
{
    struct question like = { .apex.len = (uint8_t)apex.len, .soa_len = (uint16_t)soa.len, .ttl = ttl, .due_ms = now_ms };
    enum err err = OK;
    if (soa.len > sizeof like.soa)
        return ERR_LIMIT;
    memcpy(like.apex.wire, apex.ptr, apex.len);
    memcpy(like.soa, soa.ptr, soa.len);
    for (size_t i = n->n; i-- > 0;)
        if (name_equal(name_bytes(&n->v[i]->apex), apex))
            drop(n, i);
    for (size_t i = 0; i < to_n && err == OK; i++) {
        like.to = to[i];
        err = add(n, &like);
    }
    return err;
}

size_t notifier_next(struct notifier *n, uint64_t now_ms, uint8_t *out, size_t cap, struct notify_target *to)
{
    for (size_t i = 0; i < n->n; i++) {
        struct question *q = n->v[i];
        if (q->due_ms > now_ms)
            continue;
        if (q->tries == NOTIFIER_TRIES) {
            n->figures.given_up++;
            drop(n, i--);
            continue;
        }
        q->due_ms = now_ms + ((uint64_t)FIRST_WAIT_MS << q->tries);
        q->tries++;
        n->figures.sent++;
        *to = q->to;
        return notify_write(q->id, name_bytes(&q->apex), bytes_of(q->soa, q->soa_len), q->ttl, out, cap);
    }
    return 0;
}

bool notifier_answered(struct notifier *n, struct bytes addr, uint16_t port, struct bytes msg, uint16_t *rcode)
{
    for (size_t i = 0; i < n->n; i++) {
        const struct question *q = n->v[i];
        if (q->tries == 0 || q->to.port != port || !bytes_equal(bytes_of(q->to.address.addr, q->to.address.len), addr)
            || !notify_answered(msg, q->id, name_bytes(&q->apex), rcode))
            continue;
        n->figures.answered++;
        drop(n, i);
        return true;
    }
    return false;
}

void notifier_figures(const struct notifier *n, struct notifier_figures *out)
{
    *out = n->figures;
    out->open = n->n;
}
