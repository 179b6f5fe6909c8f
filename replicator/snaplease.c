#include "replicator/snaplease.h"

void snapleases_init(struct snapleases *l, unsigned most, uint64_t lease_ms)
{
    memset(l, 0, sizeof *l);
    l->most = most < 1 ? 1 : most > SNAPLEASE_MAX ? SNAPLEASE_MAX : most;
    l->lease_ms = lease_ms;
}

static struct snapholder *find(struct snapholder *list, unsigned n, struct bytes node)
{
    for (unsigned i = 0; i < n; i++) {
        if (bytes_equal(bytes_of(list[i].name, list[i].len), node))
            return &list[i];
    }
    return NULL;
}

/* The order of the others stays. */
static void drop(struct snapholder *list, unsigned *n, unsigned at)
{
    (*n)--;
    memmove(&list[at], &list[at + 1], (*n - at) * sizeof *list);
}

static void expire(struct snapholder *list, unsigned *n, uint64_t now_ms)
{
    for (unsigned i = *n; i-- > 0;) {
        if (list[i].until_ms < now_ms)
            drop(list, n, i);
    }
}

void snapleases_expire(struct snapleases *l, uint64_t now_ms)
{
    expire(l->lease, &l->n, now_ms);
    expire(l->waiting, &l->waiting_n, now_ms);
}

static struct snapholder *add(struct snapholder *list, unsigned *n, struct bytes node, uint64_t now_ms)
{
    struct snapholder *h = &list[(*n)++];
    *h = (struct snapholder){ .len = node.len, .since_ms = now_ms };
    memcpy(h->name, node.ptr, node.len);
    return h;
}

static struct snapholder *wait_in_turn(struct snapleases *l, struct snapholder *w, uint64_t now_ms, uint64_t *wait_ms)
{
    uint64_t ahead = (uint64_t)(w - l->waiting) / l->most;
    *wait_ms = (1 + ahead) * SNAPLEASE_BACK_MS;
    if (*wait_ms > SNAPLEASE_BACK_MAX_MS)
        *wait_ms = SNAPLEASE_BACK_MAX_MS;
    w->until_ms = now_ms + *wait_ms + SNAPLEASE_SLACK_MS;
    return NULL;
}

struct snapholder *snapleases_ask(struct snapleases *l, struct bytes node, uint64_t now_ms, uint64_t *wait_ms)
{
    static const uint8_t nobody;
    if (node.len == 0 || node.len > NODE_NAME_MAX)
        node = bytes_of(&nobody, 1);
    snapleases_expire(l, now_ms);
    struct snapholder *h = find(l->lease, l->n, node);
    if (h == NULL) {
        struct snapholder *w = find(l->waiting, l->waiting_n, node);
        unsigned place = w != NULL ? (unsigned)(w - l->waiting) : l->waiting_n;
        if (place >= l->most - l->n) {
            if (w == NULL && l->waiting_n == SNAPLEASE_WAITING) {
                *wait_ms = SNAPLEASE_AWAY_MS;
                return NULL;
            }
            return wait_in_turn(l, w != NULL ? w : add(l->waiting, &l->waiting_n, node, now_ms), now_ms, wait_ms);
        }
        if (w != NULL)
            drop(l->waiting, &l->waiting_n, place);
        h = add(l->lease, &l->n, node, now_ms);
        snapleases_renew(l, h, now_ms);
    }
    return h;
}

void snapleases_renew(const struct snapleases *l, struct snapholder *lease, uint64_t now_ms)
{
    lease->until_ms = now_ms + l->lease_ms;
}

void snapleases_step(const struct snapleases *l, struct snapholder *lease, uint64_t file, uint64_t step, bool given,
                     uint64_t now_ms)
{
    if (file > lease->newest) {
        lease->newest = file;
        lease->step = 0;
    }
    lease->file = file;
    if (step <= lease->step)
        return;
    if (given)
        lease->step = step;
    snapleases_renew(l, lease, now_ms);
}

void snapleases_end(struct snapleases *l, struct bytes node)
{
    struct snapholder *h = find(l->lease, l->n, node);
    if (h != NULL)
        drop(l->lease, &l->n, (unsigned)(h - l->lease));
}

unsigned snapleases_hold(const struct snapleases *l, uint64_t file)
{
    unsigned n = 0;
    for (unsigned i = 0; i < l->n; i++)
        n += l->lease[i].file == file;
    return n;
}

/* --- rate ---------------------------------------------------------------------------------------------------------------- */
#define FILL_MS_MAX 60000               /* longer fills any burst, and no number overflows */

void snaprate_init(struct snaprate *r, uint64_t rate, uint64_t burst, uint64_t now_ms)
{
    *r = (struct snaprate){ .rate = rate < 1000 ? 1000 : rate, .burst = burst, .at_ms = now_ms, .level = (int64_t)burst };
}

uint64_t snaprate_wait_ms(struct snaprate *r, uint64_t now_ms)
{
    uint64_t ms = now_ms > r->at_ms ? now_ms - r->at_ms : 0;
    r->at_ms = now_ms;
    r->level += (int64_t)(r->rate / 1000 * (ms < FILL_MS_MAX ? ms : FILL_MS_MAX));
    if (r->level > (int64_t)r->burst)
        r->level = (int64_t)r->burst;
    return r->level > 0 ? 0 : (uint64_t)-r->level / (r->rate / 1000) + 1;
}

void snaprate_take(struct snaprate *r, size_t bytes)
{
    r->level -= (int64_t)bytes;
}
