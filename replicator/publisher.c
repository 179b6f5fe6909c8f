/* Serving: log records, snapshots and keys to whoever the gate lets in; and the publisher's events, metrics and life. Everything
 * here runs in the loop's thread. Announcing is in publisher_tell.c. */
#include "replicator/publisher.h"

#include "base/clock.h"
#include "base/msg.h"
#include "replicator/gate.h"
#include "replicator/publisher_parts.h"
#include "replicator/snapserve.h"

#include <event2/event.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>

#define REQUESTS_PER_WAKE 16            /* then the other events run */
#define REPLY_BYTES_PER_WAKE ((size_t)4 << 20)          /* the same: what is read, sealed and copied for replies */
#define EPOCH_MS 1000                   /* our data is of an older epoch than the newest head: ask again */
#define ROTTEN_MS 10000                 /* our data is rotten: ask again, or another upstream */

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

/* What comes behind `after` was told already, and the log holds it back still (log_hold). Who asks for it asks again in some ms; but a log
 * that seems empty would make him copy, so the first records of all are waited for. An error of the reader leaves nothing to read. */
static void see_newest(struct publisher *p, uint64_t after, uint64_t *first, uint64_t *last)
{
    if (after < *last || after >= p->seen.limit)
        return;
    log_want(p->o.store);
    if (*first > 0)
        return;
    log_reader_end(p->reader);
    if (log_reader_begin(p->reader) == OK || log_reader_begin_past(p->reader) == OK)
        served_range(p, first, last);
    else
        *first = *last = 0;
}

static void serve_records(struct publisher *p, const struct request *q, struct wr *w)
{
    uint64_t first, last;
    uint32_t count = 0;
    size_t most = q->max_bytes < REPLY_RECORDS_MAX ? (size_t)q->max_bytes : REPLY_RECORDS_MAX;
    struct wr body = wr_over(p->out + 1024, REPLY_MAX - 1024);      /* the header takes less than HEAD_MAX + 200 */
    enum err err = OK;
    served_range(p, &first, &last);
    see_newest(p, q->after, &first, &last);
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
    if (log_reader_begin_past(p->reader) != OK) {
        p->n.failed++;
        reply_error_put(w, REPLY_STORE, "the log cannot be read", 0);
        return;
    }
    p->seen = publisher_told(p);
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

void publisher_rotten(struct publisher *p, bool rotten)
{
    p->rotten = rotten;
}

void publisher_nodes(struct publisher *p, struct nodes *nodes)
{
    gate_nodes(p->gate, nodes);
}

/* --- life ---------------------------------------------------------------------------------------------------------------------- */
static void on_post(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    publisher_tell_posted(arg);
}

static void on_beat(evutil_socket_t fd, short what, void *arg)
{
    struct publisher *p = arg;
    (void)fd, (void)what;
    snapserve_tick(p->snapshots, clock_mono_ms());
    publisher_tell_beat(p);
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
    p->out = malloc(REPLY_MAX);
    p->sealed = malloc(REPLY_MAX + SEAL_EXTRA);
    p->record = malloc(RECORD_MAX);
    if (publisher_tell_open(p) != OK || p->out == NULL || p->sealed == NULL || p->record == NULL || sodium_init() < 0
        || gate_open(&p->gate, o->key, o->nodes, clock_mono_ms()) != OK) {
        fault_set(fault, err, "no memory for the publisher");
        goto failed;
    }
    struct snapserve_options so = { .store = o->store, .role = store_role(o->store), .rate = o->snapshot_rate,
                                    .leases = o->snapshot_leases };
    if ((err = log_reader_open(o->store, &p->reader, fault)) != OK || (err = publisher_tell_first(p, fault)) != OK
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
    publisher_tell_close(p);
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
