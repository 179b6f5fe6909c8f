#include "replicator/publisher.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/msg.h"
#include "replicator/link.h"
#include "replicator/message.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define REQUESTS_PER_WAKE 16            /* then the other events run */
#define QUEUE_BYTES_MAX ((size_t)8 << 20)

struct post { struct signed_head head; uint8_t *record; size_t len; };

struct publisher {
    struct publisher_options o;
    struct link *pub, *rep;
    struct log_reader *reader;
    struct event *on_request, *on_post, *on_beat, *on_look;
    int wake;                           /* eventfd: something was posted */
    pthread_mutex_t lock;               /* of the queue */
    struct post queue[PUBLISHER_QUEUE_MAX];
    size_t queue_n, queue_bytes;
    bool closing;
    bool asked_before;                  /* for records from before our log's begin */
    bool has_head;
    struct signed_head head;            /* the newest that may be told */
    uint64_t head_epoch, head_seq;
    uint64_t limit;                     /* records up to this seq are served */
    uint64_t told_bare_epoch, told_bare_seq;    /* relay: a head that went out before its records could be served; seq 0: none */
    uint8_t nonce[NONCE_LEN];
    uint8_t *out;                       /* REPLY_MAX: message being written */
    uint8_t *record;                    /* RECORD_MAX */
    struct log_brake brake;
    struct { uint64_t announced, dropped, beats, hello, records, unknown, malformed, failed, records_out, bytes_out; } n;
    stat_count collapsed;               /* counted by who posts, under the lock */
};

/* --- announcing ----------------------------------------------------------------------------------------------------------- */
static void send_announce(struct publisher *p, struct bytes msg)
{
    if (link_send(p->pub, msg) == OK)
        p->n.announced++;
    else
        p->n.dropped++;
}

static void announce(struct publisher *p, const struct signed_head *head, struct bytes record)
{
    struct wr w = wr_over(p->out, ANNOUNCE_MAX);
    announce_put(&w, head, record);
    if (!w.full)
        send_announce(p, wr_done(&w));
}

/* The newest head by (epoch, seq, time); false when this one is older. */
static bool head_is_newest(struct publisher *p, const struct signed_head *sh)
{
    struct head h, have;
    struct rd rd = rd_over(bytes_of(sh->body, sh->len)), old = rd_over(bytes_of(p->head.body, p->head.len));
    if (head_read(&rd, &h) != OK)
        return false;
    if (p->has_head && head_read(&old, &have) == OK) {
        int order = head_compare(&h, &have);
        if (order < 0 || (order == 0 && h.time_ms < have.time_ms))
            return false;
    }
    p->head = *sh;
    p->has_head = true;
    p->head_epoch = h.epoch;
    p->head_seq = h.seq;
    return true;
}

void publisher_post(void *publisher, const struct signed_head *head, struct bytes record)
{
    struct publisher *p = publisher;
    uint64_t one = 1;
    pthread_mutex_lock(&p->lock);
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
    pthread_mutex_unlock(&p->lock);
    while (write(p->wake, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

static size_t queue_take(struct publisher *p, struct post *out)
{
    pthread_mutex_lock(&p->lock);
    size_t n = p->queue_n;
    memcpy(out, p->queue, n * sizeof *out);
    p->queue_n = p->queue_bytes = 0;
    pthread_mutex_unlock(&p->lock);
    return n;
}

static void on_post(evutil_socket_t fd, short what, void *arg)
{
    struct publisher *p = arg;
    static const uint64_t none;
    uint64_t count = none;
    struct post *posts = malloc(sizeof p->queue);
    (void)what;
    if (posts == NULL)
        return;                                     /* the eventfd stays readable: again */
    if (read(fd, &count, sizeof count) < 0 && errno != EAGAIN)
        log_warn("publish.wake", "err=\"%s\"", strerror(errno));
    size_t n = queue_take(p, posts);
    for (size_t i = 0; i < n; i++) {
        bool newest = head_is_newest(p, &posts[i].head);
        if (newest)
            p->limit = p->head_seq;
        if (newest || posts[i].len > 0)             /* a heartbeat may have told this head already, but not its record */
            announce(p, &posts[i].head, bytes_of(posts[i].record, posts[i].len));
        free(posts[i].record);
    }
    free(posts);
}

static void on_beat(evutil_socket_t fd, short what, void *arg)
{
    struct publisher *p = arg;
    struct signed_head head;
    (void)fd, (void)what;
    if (p->o.beat == NULL || p->o.beat(p->o.beat_arg, &head) != OK || !head_is_newest(p, &head))
        return;
    p->limit = p->head_seq;
    p->n.beats++;
    announce(p, &head, (struct bytes){ 0 });
}

void publisher_forward(struct publisher *p, struct bytes msg, const struct signed_head *head)
{
    struct announce a;
    if (!head_is_newest(p, head))
        return;
    if (msg.len == 0) {                             /* it came in a reply */
        announce(p, head, (struct bytes){ 0 });
    } else {
        send_announce(p, msg);
    }
    bool bare = msg.len == 0 || announce_read(msg, &a) != OK || a.record.len == 0;
    if (p->head_seq > p->limit + (bare ? 0 : 1)) {
        p->told_bare_epoch = p->head_epoch;
        p->told_bare_seq = p->head_seq;
    }
}

void publisher_reached(struct publisher *p, const struct signed_head *head)
{
    struct head h;
    struct rd rd;
    if (head == NULL) {
        p->limit = 0;
        return;
    }
    rd = rd_over(bytes_of(head->body, head->len));
    if (head_read(&rd, &h) != OK)
        return;
    p->limit = h.seq;
    if (!p->has_head)
        (void)head_is_newest(p, head);
    if (p->told_bare_seq > 0 && (h.epoch > p->told_bare_epoch
                                 || (h.epoch == p->told_bare_epoch && h.seq >= p->told_bare_seq))) {
        p->told_bare_seq = 0;                       /* who asked for it in vain asks again */
        announce(p, &p->head, (struct bytes){ 0 });
    }
}

bool publisher_asked_before(struct publisher *p)
{
    bool asked = p->asked_before;
    p->asked_before = false;
    return asked;
}

/* --- serving ---------------------------------------------------------------------------------------------------------------- */
static void served_range(struct publisher *p, uint64_t *first, uint64_t *last)
{
    *first = *last = 0;
    if (log_reader_range(p->reader, first, last) != OK || *first > p->limit)
        *first = *last = 0;
    else if (*last > p->limit)
        *last = p->limit;
}

static void serve_hello(struct publisher *p, struct wr *w)
{
    uint64_t first, last;
    served_range(p, &first, &last);
    reply_hello_put(w, p->nonce, store_cluster(p->o.store), first, last, p->o.node);
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
    if (q->after < p->limit && (first == 0 || q->after + 1 < first))
        p->asked_before = true;
    if (first > 0 && q->after + 1 >= first && q->after < last)
        err = gather_records(p, q->after, last, most, &body, &count);
    if (err != OK) {
        unsigned held;
        p->n.failed++;
        if (log_brake_pass(&p->brake, clock_mono_ms(), 1, &held))
            log_error("publish.read", "after=%" PRIu64 " err=\"%s\" held=%u next=error-reply", q->after,
                      err_text(err), held);
        reply_error_put(w, REPLY_STORE, "the log cannot be read");
        return;
    }
    reply_records_put(w, q->after, first, last, p->has_head ? &p->head : NULL, count);
    uint8_t *at = wr_room(w, body.len);
    if (at != NULL && body.len > 0)
        memmove(at, body.buf, body.len);
    p->n.records++;
    p->n.records_out += count;
    p->n.bytes_out += body.len;
}

static void serve(struct publisher *p, struct bytes msg)
{
    struct request q;
    struct wr w = wr_over(p->out, REPLY_MAX);
    enum err err = request_read(msg, &q);
    if (err == ERR_FORMAT) {
        p->n.unknown++;
        reply_error_put(&w, REPLY_UNKNOWN, "request type is not known here");
    } else if (err != OK) {
        p->n.malformed++;
        reply_error_put(&w, REPLY_MALFORMED, "request breaks its format");
    } else if (log_reader_begin(p->reader) != OK) {
        p->n.failed++;
        reply_error_put(&w, REPLY_STORE, "the log cannot be read");
    } else {
        if (q.type == MESSAGE_HELLO)
            serve_hello(p, &w);
        else
            serve_records(p, &q, &w);
        log_reader_end(p->reader);
    }
    if (link_send(p->rep, wr_done(&w)) != OK)
        p->n.dropped++;                             /* whoever asked is gone, or asks again */
}

static void on_request(evutil_socket_t fd, short what, void *arg)
{
    struct publisher *p = arg;
    struct bytes msg;
    (void)fd, (void)what;
    for (int left = REQUESTS_PER_WAKE; left > 0; left--) {
        if (link_recv(p->rep, &msg) != OK)
            return;
        serve(p, msg);
    }
    event_active(p->on_look, EV_TIMEOUT, 0);        /* more may wait: after the other events */
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
        p->limit = h.seq;
    return err == OK || err == ERR_NOTFOUND ? OK : fault_set(fault, err, "cannot read the store's head: %s", err_text(err));
}

static bool events_add(struct publisher *p)
{
    static const struct timeval beat = { PUBLISHER_BEAT_MS / 1000, 0 }, look = { 0, LINK_LOOK_MS * 1000 };
    p->on_request = event_new(p->o.base, link_fd(p->rep), EV_READ | EV_PERSIST, on_request, p);
    p->on_look = event_new(p->o.base, -1, EV_PERSIST, on_request, p);
    p->on_post = event_new(p->o.base, p->wake, EV_READ | EV_PERSIST, on_post, p);
    p->on_beat = event_new(p->o.base, -1, EV_PERSIST, on_beat, p);
    return p->on_request != NULL && p->on_look != NULL && p->on_post != NULL && p->on_beat != NULL
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
    p->record = malloc(RECORD_MAX);
    if (p->out == NULL || p->record == NULL || p->wake < 0 || sodium_init() < 0) {
        fault_set(fault, err, "no memory for the publisher");
        goto failed;
    }
    randombytes_buf(p->nonce, sizeof p->nonce);
    if ((err = log_reader_open(o->store, &p->reader, fault)) != OK || (err = first_head(p, fault)) != OK
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
    struct event *events[] = { p->on_request, p->on_look, p->on_post, p->on_beat };
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        if (events[i] != NULL)
            event_free(events[i]);
    }
    link_close(p->rep);
    link_close(p->pub);
    if (p->reader != NULL)
        log_reader_close(p->reader);
    for (size_t i = 0; i < p->queue_n; i++)
        free(p->queue[i].record);
    if (p->wake >= 0)
        close(p->wake);
    pthread_mutex_destroy(&p->lock);
    free(p->record);
    free(p->out);
    free(p);
}

void publisher_metrics(const struct publisher *p, struct stat_page *page)
{
    static const char announced[] = "azoth_publish_announcements_total", requests[] = "azoth_publish_requests_total";
    stat_head(page, announced, "counter", "announcements sent or dropped");
    stat_value(page, announced, "result=\"sent\"", p->n.announced);
    stat_value(page, announced, "result=\"dropped\"", p->n.dropped);
    stat_value(page, announced, "result=\"collapsed\"", stat_get(&p->collapsed));
    stat_head(page, "azoth_publish_heartbeats_total", "counter", "heads signed anew without a change");
    stat_value(page, "azoth_publish_heartbeats_total", NULL, p->n.beats);
    stat_head(page, requests, "counter", "requests by type");
    stat_value(page, requests, "type=\"hello\"", p->n.hello);
    stat_value(page, requests, "type=\"records\"", p->n.records);
    stat_value(page, requests, "type=\"unknown\"", p->n.unknown);
    stat_value(page, requests, "type=\"malformed\"", p->n.malformed);
    stat_value(page, requests, "type=\"failed\"", p->n.failed);
    stat_head(page, "azoth_publish_records_total", "counter", "log records served");
    stat_value(page, "azoth_publish_records_total", NULL, p->n.records_out);
    stat_head(page, "azoth_publish_bytes_total", "counter", "bytes of log records served");
    stat_value(page, "azoth_publish_bytes_total", NULL, p->n.bytes_out);
    stat_head(page, "azoth_publish_seq", "gauge", "seq of the newest head announced");
    stat_value(page, "azoth_publish_seq", NULL, p->head_seq);
}
