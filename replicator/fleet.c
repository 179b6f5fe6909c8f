#include "replicator/fleet_parts.h"

#include <sodium.h>
#include <stdlib.h>

struct commit { uint64_t epoch, seq, us; uint8_t digest[HEAD_DIGEST_LEN]; };

/* One listed node; all from parent on is what its newest receipt said, or about that. */
struct member {
    const struct node_entry *entry;     /* borrowed from the list */
    char *parent;                       /* owned; NULL: it named none */
    char cohort[COHORT_NAME_MAX + 1], version[RECEIPT_VERSION_MAX + 1];
    bool ever;
    uint64_t heard_us, heard_core_ms, boot, counter, head_time_ms, head_seq, epoch, seq, head_age_ms, uptime_s, qps;
    uint8_t digest[HEAD_DIGEST_LEN];
    enum receipt_state state;
    uint64_t receipts, due_us;
    struct histogram spread;
    uint64_t spread_last_us;
    bool went;                          /* fleet_turn told so */
};
struct fleet {
    uint8_t cluster[CLUSTER_LEN];
    uint64_t opened_us;
    struct member *members;             /* ascending by name */
    size_t members_n;
    struct commit *ring;                /* FLEET_RING; ascending from `first` on */
    size_t ring_first, ring_n;
    uint64_t new_due_us;
    bool moved;
    struct histogram spread;
    struct fleet_counts n;
};

const uint32_t histogram_us[FLEET_BUCKETS - 1] = {
    500, 1000, 2000, 5000, 10000, 20000, 50000, 100000, 200000, 500000, 1000000, 2000000, 5000000, 10000000, 30000000,
};

static int compare(uint64_t epoch_a, uint64_t seq_a, uint64_t epoch_b, uint64_t seq_b)
{
    return epoch_a != epoch_b ? (epoch_a > epoch_b) - (epoch_a < epoch_b) : (seq_a > seq_b) - (seq_a < seq_b);
}

/* --- commits --------------------------------------------------------------------------------------------------------- */
static struct commit *ring_at(const struct fleet *f, size_t i)
{
    return &f->ring[(f->ring_first + i) % FLEET_RING];
}

/* Of the commits, the first that is not before (epoch, seq); ring_n: none. */
static size_t ring_find(const struct fleet *f, uint64_t epoch, uint64_t seq)
{
    size_t low = 0, high = f->ring_n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const struct commit *c = ring_at(f, mid);
        if (compare(c->epoch, c->seq, epoch, seq) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static const struct commit *commit_of(const struct fleet *f, uint64_t epoch, uint64_t seq)
{
    size_t at = ring_find(f, epoch, seq);
    const struct commit *c = at < f->ring_n ? ring_at(f, at) : NULL;
    return c != NULL && c->epoch == epoch && c->seq == seq ? c : NULL;
}

void fleet_committed(struct fleet *f, const struct head *h, uint64_t now_us)
{
    size_t at = ring_find(f, h->epoch, h->seq);
    if (at < f->ring_n)
        f->ring_n = at;                 /* what stood there is of a history that is no more */
    if (f->ring_n == FLEET_RING) {
        f->ring_first = (f->ring_first + 1) % FLEET_RING;
        f->ring_n--;
    }
    struct commit *c = ring_at(f, f->ring_n++);
    *c = (struct commit){ .epoch = h->epoch, .seq = h->seq, .us = now_us };
    memcpy(c->digest, h->digest, HEAD_DIGEST_LEN);
}

bool fleet_newest(const struct fleet *f, uint64_t *epoch, uint64_t *seq)
{
    if (f->ring_n == 0)
        return false;
    const struct commit *c = ring_at(f, f->ring_n - 1);
    *epoch = c->epoch;
    *seq = c->seq;
    return true;
}

/* --- who is listed --------------------------------------------------------------------------------------------------- */
static int by_name(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    return strcmp(x->entry->name, y->entry->name);
}

static struct member *find(const struct fleet *f, struct bytes name)
{
    size_t low = 0, high = f->members_n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = bytes_compare(bytes_of_text(f->members[mid].entry->name), name);
        if (order == 0)
            return &f->members[mid];
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

enum err fleet_list(struct fleet *f, const struct nodes *nodes)
{
    size_t n = nodes != NULL ? nodes_count(nodes) : 0;
    struct member *list = calloc(n + 1, sizeof *list);
    if (list == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++) {
        const struct node_entry *entry = nodes_at(nodes, i);
        struct member *old = find(f, bytes_of_text(entry->name));
        if (old != NULL && sodium_memcmp(old->entry->pub, entry->pub, sizeof entry->pub) == 0) {
            list[i] = *old;
            old->parent = NULL;         /* it moves along */
        }
        list[i].entry = entry;
    }
    qsort(list, n, sizeof *list, by_name);
    for (size_t i = 0; i < f->members_n; i++)
        free(f->members[i].parent);
    free(f->members);
    f->members = list;
    f->members_n = n;
    f->moved = true;
    return OK;
}

/* --- receipts -------------------------------------------------------------------------------------------------------- */
static bool is_newer(const struct member *m, const struct receipt *r)
{
    if (!m->ever)
        return true;
    return m->boot == r->boot ? r->counter > m->counter : r->head_time_ms > m->head_time_ms;
}

/* Only the node, and who hears its receipts, can name its boot number: so what others send in its name uses up what is
 * for new ones, and not what is the node's own. */
static bool may_check(struct fleet *f, struct member *m, const struct receipt *r, uint64_t now_us)
{
    if (m->ever && m->boot == r->boot)
        return receipt_rate_pass(&m->due_us, RECEIPT_RATE, now_us);
    return receipt_rate_pass(&f->new_due_us, FLEET_NEW_RATE, now_us);
}

static void histogram_add(struct histogram *h, uint64_t us)
{
    size_t i = 0;
    while (i < FLEET_BUCKETS - 1 && us > histogram_us[i])
        i++;
    h->bucket[i]++;
    h->sum_us += us;
}

static void measure(struct fleet *f, struct member *m, const struct receipt *r, uint64_t now_us)
{
    const struct commit *c = commit_of(f, r->epoch, r->seq);
    if (c == NULL || c->us == 0 || !m->ever || compare(r->epoch, r->seq, m->epoch, m->seq) <= 0)
        return;
    uint64_t took = now_us > c->us ? now_us - c->us : 0;
    took = took > r->held_us ? took - r->held_us : 0;
    m->spread_last_us = took;
    histogram_add(&m->spread, took);
    histogram_add(&f->spread, took);
}

static void word(char *out, size_t cap, struct bytes b)
{
    size_t n = b.len < cap - 1 ? b.len : cap - 1;
    if (n > 0)
        memcpy(out, b.ptr, n);
    out[n] = '\0';
}

static enum err take_parent(struct member *m, struct bytes parent)
{
    const char *had = m->parent != NULL ? m->parent : "";
    if (bytes_equal(bytes_of_text(had), parent))
        return OK;
    char *copy = malloc(parent.len + 1);
    if (copy == NULL)
        return ERR_NOMEM;
    word(copy, parent.len + 1, parent);
    free(m->parent);
    m->parent = copy;
    return OK;
}

static enum err take(struct fleet *f, struct member *m, const struct receipt *r, uint64_t now_us, uint64_t core_time_ms)
{
    enum err err = take_parent(m, r->parent);
    if (err != OK)
        return err;
    measure(f, m, r, now_us);
    f->moved = f->moved || !m->ever || m->epoch != r->epoch || m->seq != r->seq;
    word(m->cohort, sizeof m->cohort, r->cohort);
    word(m->version, sizeof m->version, r->version);
    m->ever = true;
    m->heard_us = now_us;
    m->heard_core_ms = core_time_ms;
    m->boot = r->boot;
    m->counter = r->counter;
    m->head_time_ms = r->head_time_ms;
    m->head_seq = r->head_seq;
    m->epoch = r->epoch;
    m->seq = r->seq;
    m->head_age_ms = r->lag_ms;
    m->uptime_s = r->uptime_s;
    m->qps = r->qps;
    memcpy(m->digest, r->digest, HEAD_DIGEST_LEN);
    m->state = r->state;
    m->receipts++;
    return OK;
}

static enum err check(struct fleet *f, struct bytes msg, uint64_t now_us, struct receipt *r, struct member **out)
{
    struct bytes body;
    uint8_t sig[64];
    enum err err = receipt_read(msg, r, &body, sig);
    if (err != OK)
        return err;
    if (memcmp(r->cluster, f->cluster, CLUSTER_LEN) != 0)
        return ERR_CLUSTER;
    struct member *m = find(f, r->node);
    if (m == NULL)
        return ERR_NOTFOUND;
    if (!is_newer(m, r))
        return ERR_EXISTS;
    if (!may_check(f, m, r, now_us))
        return ERR_LIMIT;
    *out = m;
    return receipt_verify(body, sig, m->entry->pub);
}

static enum err counted(struct fleet *f, enum err err)
{
    switch (err) {
    case OK: f->n.taken++; break;
    case ERR_SIGNATURE: f->n.signature++; break;
    case ERR_CLUSTER: f->n.cluster++; break;
    case ERR_NOTFOUND: f->n.unlisted++; break;
    case ERR_EXISTS: f->n.old++; break;
    case ERR_LIMIT: f->n.fast++; break;
    case ERR_NOMEM: f->n.failed++; break;
    default: f->n.shape++; break;
    }
    return err;
}

enum err fleet_take(struct fleet *f, struct bytes msg, uint64_t now_us, uint64_t core_time_ms)
{
    struct receipt r;
    struct member *m = NULL;
    enum err err = check(f, msg, now_us, &r, &m);
    if (err == OK)
        err = take(f, m, &r, now_us, core_time_ms);
    return counted(f, err);
}

bool fleet_moved(struct fleet *f)
{
    bool moved = f->moved;
    f->moved = false;
    return moved;
}

/* --- answers --------------------------------------------------------------------------------------------------------- */
static uint64_t since_ms(uint64_t then_us, uint64_t now_us)
{
    return now_us > then_us ? (now_us - then_us) / 1000 : 0;
}

static bool is_away(const struct member *m, uint64_t now_us)
{
    return !m->ever || since_ms(m->heard_us, now_us) >= FLEET_HEARD_MS;
}

static bool is_counted(const struct fleet *f, const struct member *m, uint64_t now_us)
{
    return m->ever ? !is_away(m, now_us) : since_ms(f->opened_us, now_us) < FLEET_SETTLE_MS;
}

/* The commit behind the one that it has; when the ring does not reach back so far, the oldest it has. */
static uint64_t lag_of(const struct fleet *f, const struct member *m, uint64_t now_us)
{
    size_t at = ring_find(f, m->epoch, m->seq);
    if (at < f->ring_n && compare(ring_at(f, at)->epoch, ring_at(f, at)->seq, m->epoch, m->seq) == 0)
        at++;
    if (at >= f->ring_n)
        return 0;
    uint64_t us = ring_at(f, at)->us;
    return since_ms(us != 0 ? us : f->opened_us, now_us);
}

size_t fleet_count(const struct fleet *f)
{
    return f->members_n;
}

void fleet_node(const struct fleet *f, size_t i, uint64_t now_us, struct fleet_node *out)
{
    const struct member *m = &f->members[i];
    uint64_t epoch = 0, seq = 0;
    *out = (struct fleet_node){
        .name = m->entry->name, .parent = m->parent != NULL ? m->parent : "", .cohort = m->cohort, .version = m->version,
        .ever = m->ever, .away = is_away(m, now_us), .counted = is_counted(f, m, now_us),
        .propagation = m->spread.bucket, .propagation_sum_us = m->spread.sum_us, .propagation_us = m->spread_last_us,
    };
    if (!m->ever)
        return;
    const struct commit *c = commit_of(f, m->epoch, m->seq);
    out->heard_ms = since_ms(m->heard_us, now_us);
    out->heard_core_ms = m->heard_core_ms;
    out->epoch = m->epoch;
    out->seq = m->seq;
    out->head_seq = m->head_seq;
    out->lag_records = fleet_newest(f, &epoch, &seq) && seq > m->seq ? seq - m->seq : 0;
    out->lag_ms = lag_of(f, m, now_us);
    out->head_age_ms = m->head_age_ms;
    out->digest_known = c != NULL;
    out->digest_ok = c != NULL && memcmp(c->digest, m->digest, HEAD_DIGEST_LEN) == 0;
    out->state = m->state;
    out->uptime_s = m->uptime_s;
    out->qps = m->qps;
    out->boot = m->boot;
    out->receipts = m->receipts;
}

enum fleet_turn fleet_turn(struct fleet *f, size_t i, uint64_t now_us)
{
    struct member *m = &f->members[i];
    bool was = m->went;
    m->went = m->ever && is_away(m, now_us);
    return m->went == was ? FLEET_SAME : m->went ? FLEET_WENT : FLEET_CAME;
}

bool fleet_node_has(const struct fleet_node *n, uint64_t epoch, uint64_t seq)
{
    return n->ever && compare(n->epoch, n->seq, epoch, seq) >= 0;
}

void fleet_has(const struct fleet *f, uint64_t epoch, uint64_t seq, bool all, uint64_t now_us, struct fleet_has *out)
{
    *out = (struct fleet_has){ .known = commit_of(f, epoch, seq) != NULL };
    for (size_t i = 0; i < f->members_n; i++) {
        const struct member *m = &f->members[i];
        if (!all && !is_counted(f, m, now_us))
            continue;
        out->nodes++;
        out->have += m->ever && compare(m->epoch, m->seq, epoch, seq) >= 0;
    }
}

size_t fleet_quorum(size_t nodes, unsigned percent)
{
    if (percent == 0)
        return 0;
    size_t need = nodes / 100 * percent + (nodes % 100 * percent + 99) / 100;
    return need > 0 ? need : 1;
}

const char *fleet_node_state(const struct fleet_node *n)
{
    return !n->ever ? "never" : n->away ? "away" : receipt_state_text(n->state);
}

const struct histogram *fleet_histogram(const struct fleet *f)
{
    return &f->spread;
}

const struct fleet_counts *fleet_counts(const struct fleet *f)
{
    return &f->n;
}

/* --- life ------------------------------------------------------------------------------------------------------------ */
enum err fleet_open(struct fleet **out, const uint8_t cluster[CLUSTER_LEN], uint64_t now_us)
{
    struct fleet *f = calloc(1, sizeof *f);
    if (f == NULL || (f->ring = calloc(FLEET_RING, sizeof *f->ring)) == NULL) {
        free(f);
        return ERR_NOMEM;
    }
    memcpy(f->cluster, cluster, CLUSTER_LEN);
    f->opened_us = now_us;
    *out = f;
    return OK;
}

void fleet_close(struct fleet *f)
{
    if (f == NULL)
        return;
    for (size_t i = 0; i < f->members_n; i++)
        free(f->members[i].parent);
    free(f->members);
    free(f->ring);
    free(f);
}
