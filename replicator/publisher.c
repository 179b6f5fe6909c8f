#include "replicator/publisher.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/msg.h"
#include "replicator/gate.h"
#include "replicator/link.h"
#include "replicator/lot.h"
#include "replicator/snapserve.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define REQUESTS_PER_WAKE 16            /* then the other events run */
#define REPLY_BYTES_PER_WAKE ((size_t)4 << 20)          /* the same: what is read, sealed and copied for replies */
#define EPOCH_MS 1000                   /* our data is of an older epoch than the newest head: ask again */
#define ROTTEN_MS 10000                 /* our data is rotten: ask again, or another upstream */
#define QUEUE_BYTES_MAX ((size_t)8 << 20)
#define PEERS_AT_ONCE 4                 /* subscribers that who posts sends to itself: for so few waking the loop costs more */

struct post { struct signed_head head; uint8_t *record; size_t len; };
/* What subscribers may know. */
struct told {
    bool has_head;
    struct signed_head head;            /* the newest that may be told */
    uint64_t head_epoch, head_seq;
    uint64_t limit, limit_epoch;        /* records up to this seq, of that epoch, are served */
    uint64_t nodes;                     /* of the fleet; 0: not known */
};

struct publisher {
    struct publisher_options o;
    struct link *pub, *rep;
    struct log_reader *reader;
    struct event *on_request, *on_post, *on_beat, *on_look, *on_more;
    int wake;                           /* eventfd: something was posted */
    pthread_mutex_t lock;               /* of what follows, and of who announces: in the order of the log */
    struct told told;
    uint8_t announcement[ANNOUNCE_MAX]; /* being written */
    struct lot lot;                     /* goes out as one message */
    struct post queue[PUBLISHER_QUEUE_MAX];
    size_t queue_n, queue_bytes;
    bool handing;                       /* the loop is announcing what it took */
                                        /* the loop's from here on */
    struct post taken[PUBLISHER_QUEUE_MAX];         /* the loop's: what it is announcing */
    struct told seen;                   /* told, as it was when the request at hand came */
    bool rotten;                        /* the data: what was copied from it would be refused at its last byte */
    uint64_t told_bare_epoch, told_bare_seq;    /* relay: a head that went out before its records could be served; seq 0: none */
    struct gate *gate;
    uint8_t *out, *sealed;              /* REPLY_MAX, and SEAL_EXTRA more: reply being written, and the same sealed */
    uint8_t *record;                    /* RECORD_MAX */
    struct snapserve *snapshots;
    struct log_brake brake;
    struct { uint64_t unsent, beats, hello, records, keys, snapshots, unknown, failed, records_out, bytes_out; } n;
    stat_count announced, dropped, collapsed, seq;     /* counted by who announces or posts */
};

/* --- announcing, under the lock --------------------------------------------------------------------------------------------- */
static void send_lot(struct publisher *p)
{
    size_t n = p->lot.n;
    if (n > 0)
        stat_add(link_send(p->pub, lot_done(&p->lot)) == OK ? &p->announced : &p->dropped, n);
}

/* It goes with the next send_lot. */
static void announce_as_is(struct publisher *p, struct bytes announcement)
{
    if (lot_put(&p->lot, announcement))
        return;
    send_lot(p);
    if (!lot_put(&p->lot, announcement))
        stat_add(&p->dropped, 1);
}

static void announce(struct publisher *p, const struct signed_head *head, struct bytes record)
{
    struct wr w = wr_over(p->announcement, sizeof p->announcement);
    announce_put_nodes(&w, head, record, p->told.nodes);
    if (!w.full)
        announce_as_is(p, wr_done(&w));
}

/* The newest head by (epoch, seq, time); false when this one is older. */
static bool head_is_newest(struct publisher *p, const struct signed_head *sh)
{
    struct told *t = &p->told;
    struct head h, have;
    struct rd rd = rd_over(bytes_of(sh->body, sh->len)), old = rd_over(bytes_of(t->head.body, t->head.len));
    if (head_read(&rd, &h) != OK)
        return false;
    if (t->has_head && head_read(&old, &have) == OK) {
        int order = head_compare(&h, &have);
        if (order < 0 || (order == 0 && h.time_ms < have.time_ms))
            return false;
    }
    t->head = *sh;
    t->has_head = true;
    t->head_epoch = h.epoch;
    t->head_seq = h.seq;
    stat_set(&p->seq, h.seq);
    return true;
}

static void limit_is_head(struct publisher *p)
{
    p->told.limit = p->told.head_seq;
    p->told.limit_epoch = p->told.head_epoch;
}

static void announce_post(struct publisher *p, const struct signed_head *head, struct bytes record)
{
    bool newest = head_is_newest(p, head);
    if (newest)
        limit_is_head(p);
    if (newest || record.len > 0)               /* a heartbeat may have told this head already, but not its record */
        announce(p, head, record);
}

/* true: the loop must be woken for it. */
static bool enqueue(struct publisher *p, const struct signed_head *head, struct bytes record)
{
    if (p->queue_n == PUBLISHER_QUEUE_MAX || p->queue_bytes + record.len > QUEUE_BYTES_MAX) {
        for (size_t i = 0; i < p->queue_n; i++)
            free(p->queue[i].record);
        stat_add(&p->collapsed, p->queue_n);
        p->queue_n = p->queue_bytes = 0;
    }
    struct post *post = &p->queue[p->queue_n++];
    *post = (struct post){ .head = *head };
    if (record.len > 0 && (post->record = malloc(record.len)) != NULL) {
        memcpy(post->record, record.ptr, record.len);
        post->len = record.len;
        p->queue_bytes += record.len;
    }
    return p->queue_n == 1;
}

static bool forward(struct publisher *p, struct bytes msg, const struct signed_head *head)
{
    if (!head_is_newest(p, head))
        return false;
    if (msg.len == 0)                           /* it came in a reply */
        announce(p, head, (struct bytes){ 0 });
    else
        announce_as_is(p, msg);
    return true;
}

static void reached(struct publisher *p, const struct signed_head *sh, const struct head *h)
{
    p->told.limit = h->seq;
    p->told.limit_epoch = h->epoch;
    if (!p->told.has_head)
        (void)head_is_newest(p, sh);
    if (p->told_bare_seq > 0 && (h->epoch > p->told_bare_epoch
                                 || (h->epoch == p->told_bare_epoch && h->seq >= p->told_bare_seq))) {
        p->told_bare_seq = 0;                   /* who asked for it in vain asks again */
        announce(p, &p->told.head, (struct bytes){ 0 });
        send_lot(p);
    }
}

/* --- announcing ----------------------------------------------------------------------------------------------------------- */
void publisher_post(void *publisher, const struct signed_head *head, struct bytes record)
{
    struct publisher *p = publisher;
    uint64_t one = 1;
    bool wake = false;
    pthread_mutex_lock(&p->lock);
    if (p->queue_n == 0 && !p->handing && link_peers(p->pub) <= PEERS_AT_ONCE) {
        announce_post(p, head, record);
        send_lot(p);
    } else {
        wake = enqueue(p, head, record);
    }
    pthread_mutex_unlock(&p->lock);
    while (wake && write(p->wake, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

static size_t queue_take(struct publisher *p)
{
    pthread_mutex_lock(&p->lock);
    size_t n = p->queue_n;
    memcpy(p->taken, p->queue, n * sizeof *p->taken);
    p->queue_n = p->queue_bytes = 0;
    p->handing = n > 0;
    pthread_mutex_unlock(&p->lock);
    return n;
}

static void on_post(evutil_socket_t fd, short what, void *arg)
{
    struct publisher *p = arg;
    uint64_t count;
    (void)what;
    if (read(fd, &count, sizeof count) < 0 && errno != EAGAIN)
        log_warn("publish.wake", "err=\"%s\"", strerror(errno));
    size_t n = queue_take(p);
    for (size_t i = 0; i < n; i++) {
        const struct post *post = &p->taken[i];
        pthread_mutex_lock(&p->lock);
        announce_post(p, &post->head, bytes_of(post->record, post->len));
        if (i + 1 == n) {
            send_lot(p);
            p->handing = false;
        }
        pthread_mutex_unlock(&p->lock);
        free(post->record);
    }
}

static void on_beat(evutil_socket_t fd, short what, void *arg)
{
    struct publisher *p = arg;
    struct signed_head head;
    (void)fd, (void)what;
    snapserve_tick(p->snapshots, clock_mono_ms());
    if (p->o.beat == NULL || p->o.beat(p->o.beat_arg, &head) != OK)
        return;
    pthread_mutex_lock(&p->lock);
    if (head_is_newest(p, &head)) {
        limit_is_head(p);
        p->n.beats++;
        announce(p, &head, (struct bytes){ 0 });
        send_lot(p);
    }
    pthread_mutex_unlock(&p->lock);
}

void publisher_forward(struct publisher *p, struct bytes msg, const struct signed_head *head)
{
    struct announce a;
    pthread_mutex_lock(&p->lock);
    bool went = forward(p, msg, head);
    struct told t = p->told;
    pthread_mutex_unlock(&p->lock);
    if (!went)
        return;
    bool bare = msg.len == 0 || announce_read(msg, &a) != OK || a.record.len == 0;
    if (t.head_seq > t.limit + (bare ? 0 : 1)) {
        p->told_bare_epoch = t.head_epoch;
        p->told_bare_seq = t.head_seq;
    }
}

void publisher_send(struct publisher *p)
{
    pthread_mutex_lock(&p->lock);
    send_lot(p);
    pthread_mutex_unlock(&p->lock);
}

void publisher_reached(struct publisher *p, const struct signed_head *head)
{
    struct head h = { .seq = 0 };
    if (head != NULL) {
        struct rd rd = rd_over(bytes_of(head->body, head->len));
        if (head_read(&rd, &h) != OK)
            return;
    }
    pthread_mutex_lock(&p->lock);
    if (head != NULL)
        reached(p, head, &h);
    else
        p->told.limit = 0;
    pthread_mutex_unlock(&p->lock);
}

void publisher_fleet(struct publisher *p, uint64_t nodes)
{
    pthread_mutex_lock(&p->lock);
    p->told.nodes = nodes;
    pthread_mutex_unlock(&p->lock);
}

void publisher_rotten(struct publisher *p, bool rotten)
{
    p->rotten = rotten;
}

void publisher_nodes(struct publisher *p, struct nodes *nodes)
{
    gate_nodes(p->gate, nodes);
}

/* --- serving ---------------------------------------------------------------------------------------------------------------- */
static void served_range(struct publisher *p, uint64_t *first, uint64_t *last)
{
    *first = *last = 0;
    if (log_reader_range(p->reader, first, last) != OK || *first > p->seen.limit)
        *first = *last = 0;
    else if (*last > p->seen.limit)
        *last = p->seen.limit;
}

static void serve_hello(struct publisher *p, struct wr *w)
{
    uint64_t first, last;
    served_range(p, &first, &last);
    reply_hello_put(w, gate_nonce(p->gate, clock_mono_ms()), store_cluster(p->o.store), first, last, p->o.node,
                    p->o.key->pub);
    p->n.hello++;
}

/* Records behind `after` while they fit, at least one; how many go into the header is known only afterwards, so they are
 * written behind room for it and the header is put in front. */
static enum err gather_records(struct publisher *p, uint64_t after, uint64_t last, size_t most, struct wr *w, uint32_t *count)
{
    struct bytes record;
    size_t need;
    *count = 0;
    for (uint64_t seq = after + 1; seq <= last; seq++) {
        size_t room = *count == 0 ? RECORD_MAX : most > w->len + 5 ? most - w->len - 5 : 0;
        if (room == 0)
            break;
        enum err err = log_reader_get(p->reader, seq, p->record, room < RECORD_MAX ? room : RECORD_MAX, &record, &need);
        if (err == ERR_NOSPACE && *count > 0)
            break;
        if (err != OK)
            return err;
        msg_put_bin(w, record);
        (*count)++;
    }
    return w->full ? ERR_NOSPACE : OK;
}

static void serve_records(struct publisher *p, const struct request *q, struct wr *w)
{
    uint64_t first, last;
    uint32_t count = 0;
    size_t most = q->max_bytes < REPLY_RECORDS_MAX ? (size_t)q->max_bytes : REPLY_RECORDS_MAX;
    struct wr body = wr_over(p->out + 1024, REPLY_MAX - 1024);      /* the header takes less than HEAD_MAX + 200 */
    enum err err = OK;
    served_range(p, &first, &last);
    if (first > 0 && q->after + 1 >= first && q->after < last)
        err = gather_records(p, q->after, last, most, &body, &count);
    if (err != OK) {
        unsigned held;
        p->n.failed++;
        if (log_brake_pass(&p->brake, clock_mono_ms(), 1, &held))
            log_error("publish.read", "after=%" PRIu64 " err=\"%s\" held=%u next=error-reply", q->after,
                      err_text(err), held);
        reply_error_put(w, REPLY_STORE, "the log cannot be read", 0);
        return;
    }
    reply_records_put(w, q->after, first, last, p->seen.has_head ? &p->seen.head : NULL, count);
    uint8_t *at = wr_room(w, body.len);
    if (at != NULL && body.len > 0)
        memmove(at, body.buf, body.len);
    p->n.records++;
    p->n.records_out += count;
    p->n.bytes_out += body.len;
}

/* A relay that copies itself goes on serving what it had, but nothing that a newer epoch has left behind. */
static void serve_snapshot(struct publisher *p, struct bytes node, const struct request *q, struct wr *w)
{
    uint64_t first, last;
    served_range(p, &first, &last);
    if (p->rotten)
        reply_error_put(w, REPLY_LATER, "the data is damaged", ROTTEN_MS);
    else if (p->seen.has_head && p->seen.head_epoch > p->seen.limit_epoch)
        reply_error_put(w, REPLY_LATER, "data of the newest epoch is not here yet", EPOCH_MS);
    else
        snapserve_answer(p->snapshots, node, q, first, p->seen.limit, clock_mono_ms(), w);
    p->n.snapshots++;
}

static void serve_keys(struct publisher *p, struct wr *w)
{
    uint8_t keys[REPLY_KEYS_MAX * CLUSTER_KEY_LEN];
    size_t n = p->o.keys == NULL ? 0 : keyring_all(p->o.keys, keys);
    reply_keys_put(w, keys, n);
    sodium_memzero(keys, sizeof keys);
    p->n.keys++;
}

static void answer(struct publisher *p, struct bytes node, const struct request *q, struct wr *w)
{
    if (log_reader_begin(p->reader) != OK) {
        p->n.failed++;
        reply_error_put(w, REPLY_STORE, "the log cannot be read", 0);
        return;
    }
    pthread_mutex_lock(&p->lock);
    p->seen = p->told;
    pthread_mutex_unlock(&p->lock);
    switch (q->type) {
    case MESSAGE_HELLO:    serve_hello(p, w); break;
    case MESSAGE_RECORDS:  serve_records(p, q, w); break;
    case MESSAGE_KEYS:     serve_keys(p, w); break;
    case MESSAGE_MANIFEST:
    case MESSAGE_CHUNK:    serve_snapshot(p, node, q, w); break;
    default:
        p->n.unknown++;
        reply_error_put(w, REPLY_UNKNOWN, "request type is not known here", 0);
    }
    log_reader_end(p->reader);
}

/* Bytes of the reply. */
static size_t serve(struct publisher *p, struct bytes msg)
{
    struct gate_asked asked;
    struct wr plain = wr_over(p->out, REPLY_MAX), sealed = wr_over(p->sealed, REPLY_MAX + SEAL_EXTRA), *out = &plain;
    enum gate_verdict verdict = gate_check(p->gate, msg, clock_mono_ms(), &asked, &plain);
    if (verdict == GATE_DROP)
        return 0;
    if (verdict != GATE_REFUSED)
        answer(p, asked.node, &asked.q, &plain);
    if (verdict == GATE_PASSED) {
        out = &sealed;
        if (gate_seal(&asked, wr_done(&plain), &sealed) != OK) {
            p->n.failed++;
            return 0;
        }
        if (asked.q.type == MESSAGE_KEYS)
            sodium_memzero(plain.buf, plain.len);
    }
    if (link_send(p->rep, wr_done(out)) != OK)
        p->n.unsent++;                              /* whoever asked is gone, or asks again */
    return out->len;
}

static void on_request(evutil_socket_t fd, short what, void *arg)
{
    static const struct timeval at_once;
    struct publisher *p = arg;
    struct bytes msg;
    size_t bytes = 0;
    (void)fd, (void)what;
    for (int left = REQUESTS_PER_WAKE; left > 0 && bytes < REPLY_BYTES_PER_WAKE; left--) {
        if (link_recv(p->rep, &msg) != OK)
            return;
        bytes += serve(p, msg);
    }
    (void)event_add(p->on_more, &at_once);          /* more may wait: after the other events, as event_active would not be */
}

/* --- life ---------------------------------------------------------------------------------------------------------------------- */
static enum err first_head(struct publisher *p, struct fault *fault)
{
    struct view *v = NULL;
    struct head h;
    struct signed_head sh;
    enum err err = view_open(p->o.store, &v, fault);
    if (err != OK)
        return err;
    if ((err = view_begin(v)) == OK) {
        err = view_head(v, &h, &sh);
        view_end(v);
    }
    view_close(v);
    if (err == OK && head_is_newest(p, &sh))
        limit_is_head(p);
    return err == OK || err == ERR_NOTFOUND ? OK : fault_set(fault, err, "cannot read the store's head: %s", err_text(err));
}

static bool events_add(struct publisher *p)
{
    static const struct timeval beat = { PUBLISHER_BEAT_MS / 1000, 0 }, look = { 0, LINK_LOOK_MS * 1000 };
    p->on_request = event_new(p->o.base, link_fd(p->rep), EV_READ | EV_PERSIST, on_request, p);
    p->on_look = event_new(p->o.base, -1, EV_PERSIST, on_request, p);
    p->on_more = event_new(p->o.base, -1, 0, on_request, p);
    p->on_post = event_new(p->o.base, p->wake, EV_READ | EV_PERSIST, on_post, p);
    p->on_beat = event_new(p->o.base, -1, EV_PERSIST, on_beat, p);
    return p->on_request != NULL && p->on_look != NULL && p->on_more != NULL && p->on_post != NULL && p->on_beat != NULL
        && event_add(p->on_request, NULL) == 0 && event_add(p->on_look, &look) == 0
        && event_add(p->on_post, NULL) == 0 && event_add(p->on_beat, &beat) == 0;
}

enum err publisher_open(struct publisher **out, const struct publisher_options *o, struct fault *fault)
{
    struct publisher *p = calloc(1, sizeof *p);
    enum err err = ERR_NOMEM;
    if (p == NULL)
        return fault_set(fault, ERR_NOMEM, "no memory for the publisher");
    p->o = *o;
    pthread_mutex_init(&p->lock, NULL);
    p->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    p->out = malloc(REPLY_MAX);
    p->sealed = malloc(REPLY_MAX + SEAL_EXTRA);
    p->record = malloc(RECORD_MAX);
    if (p->out == NULL || p->sealed == NULL || p->record == NULL || p->wake < 0 || sodium_init() < 0
        || gate_open(&p->gate, o->key, o->nodes, clock_mono_ms()) != OK) {
        fault_set(fault, err, "no memory for the publisher");
        goto failed;
    }
    struct snapserve_options so = { .store = o->store, .role = store_role(o->store), .rate = o->snapshot_rate,
                                    .leases = o->snapshot_leases };
    if ((err = log_reader_open(o->store, &p->reader, fault)) != OK || (err = first_head(p, fault)) != OK
        || (err = snapserve_open(&p->snapshots, &so, fault)) != OK
        || (err = link_open(&p->pub, LINK_PUB, o->publish, fault)) != OK
        || (err = link_open(&p->rep, LINK_REP, o->serve, fault)) != OK)
        goto failed;
    if (!events_add(p)) {
        err = fault_set(fault, ERR_NOMEM, "no memory for the publisher's events");
        goto failed;
    }
    *out = p;
    return OK;
failed:
    publisher_close(p);
    return err;
}

void publisher_close(struct publisher *p)
{
    if (p == NULL)
        return;
    struct event *events[] = { p->on_request, p->on_look, p->on_more, p->on_post, p->on_beat };
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        if (events[i] != NULL)
            event_free(events[i]);
    }
    link_close(p->rep);
    link_close(p->pub);
    snapserve_close(p->snapshots);
    if (p->reader != NULL)
        log_reader_close(p->reader);
    for (size_t i = 0; i < p->queue_n; i++)
        free(p->queue[i].record);
    if (p->wake >= 0)
        close(p->wake);
    pthread_mutex_destroy(&p->lock);
    gate_close(p->gate);
    free(p->record);
    free(p->sealed);
    free(p->out);
    free(p);
}

uint64_t publisher_needs(const struct publisher *p)
{
    return snapserve_needs(p->snapshots);
}

void publisher_metrics(const struct publisher *p, struct stat_page *page)
{
    static const char announced[] = "azoth_publish_announcements_total", requests[] = "azoth_publish_requests_total";
    stat_head(page, announced, "counter", "announcements sent or dropped");
    stat_value(page, announced, "result=\"sent\"", stat_get(&p->announced));
    stat_value(page, announced, "result=\"dropped\"", stat_get(&p->dropped) + p->n.unsent);
    stat_value(page, announced, "result=\"collapsed\"", stat_get(&p->collapsed));
    stat_head(page, "azoth_publish_heartbeats_total", "counter", "heads signed anew without a change");
    stat_value(page, "azoth_publish_heartbeats_total", NULL, p->n.beats);
    stat_head(page, requests, "counter", "requests by type");
    stat_value(page, requests, "type=\"hello\"", p->n.hello);
    stat_value(page, requests, "type=\"records\"", p->n.records);
    stat_value(page, requests, "type=\"snapshot\"", p->n.snapshots);
    stat_value(page, requests, "type=\"unknown\"", p->n.unknown);
    stat_value(page, requests, "type=\"keys\"", p->n.keys);
    stat_value(page, requests, "type=\"failed\"", p->n.failed);
    stat_head(page, "azoth_publish_records_total", "counter", "log records served");
    stat_value(page, "azoth_publish_records_total", NULL, p->n.records_out);
    stat_head(page, "azoth_publish_bytes_total", "counter", "bytes of log records served");
    stat_value(page, "azoth_publish_bytes_total", NULL, p->n.bytes_out);
    stat_head(page, "azoth_publish_seq", "gauge", "seq of the newest head announced");
    stat_value(page, "azoth_publish_seq", NULL, stat_get(&p->seq));
    gate_metrics(p->gate, page);
    snapserve_metrics(p->snapshots, page);
}
