/* One question or transfer. SOA over UDP, and IXFR too when the zone's last steps fitted into a datagram: what is cut off, lost or will not do is
 * asked again over TCP, and a primary whose datagrams are lost is asked over TCP alone for a while. IXFR gives way to AXFR. */
#include "builder/secondary_parts.h"

#include "base/clock.h"
#include "base/log.h"
#include "builder/serial.h"
#include "wire/tcp.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <unistd.h>

#define RATE_FROM_MS 10000       /* behind the first message: from then on a transfer has to be as fast as it must */
#define UDP_TRIES 3
#define UDP_WAIT_MS 2000
#define UDP_IXFR_MS 500         /* once: a connection, which does not get lost, is no more than two round trips */
#define UDP_AGAIN_MS 600000     /* a primary whose datagrams were lost, or did not bring what would have fitted */
#define CONNECT_MS 5000
#define IDLE_MS 10000           /* from one whole message to the next */
#define REPLY_MAX 65535
#define SMALL_BYTES 1200        /* of an IXFR that a datagram could have brought */
#define FREE_BYTES ((uint64_t)256 << 10)        /* of a transfer that is let go on, whatever the others hold */
#define STEPS_FREE 1000         /* records of differences for which nobody asks how large the zone is */

static struct secondary_primary *primary_of(const struct secondary_job *j) { return &j->s->primaries[j->todo.primary]; }

static void wait_ms(struct secondary_job *j, uint64_t ms)
{
    uint64_t now = clock_mono_ms(), left = j->until_ms > now ? j->until_ms - now : 0;
    if (ms > left)
        ms = left;
    struct timeval tv = { (time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000) };
    (void)event_add(j->timeout, &tv);
}

static void transport_close(struct secondary_job *j)
{
    if (j->readable != NULL)
        event_free(j->readable);
    if (j->bev != NULL)
        bufferevent_free(j->bev);
    if (j->fd >= 0)
        (void)close(j->fd);
    j->readable = NULL;
    j->bev = NULL;
    j->fd = -1;
}

void secondary_ask_close(struct secondary_job *j)
{
    transport_close(j);
    if (j->timeout != NULL)
        event_free(j->timeout);
    xfrin_end(j->x);
    policies_key_give(j->key);
    j->timeout = NULL;
    j->x = NULL;
    j->key = NULL;
}

static void fail_silent(struct secondary_job *j, const char *why) { secondary_end(j, REFRESH_SILENT, 0, why); }
static void fail(struct secondary_job *j, const char *why) { secondary_end(j, REFRESH_FAILED, 0, why); }

/* --- the question ---------------------------------------------------------------------------------------------------------- */
/* Differences that are larger than the zone cost more than the zone. */
static struct xfrin_limits limits_of(const struct secondary_job *j)
{
    const struct secondary_zone *z = secondary_find(j->s, name_bytes(&j->todo.apex));
    struct xfrin_limits l = j->s->o.transfers.each;
    if (z != NULL && z->records > 0 && z->records + STEPS_FREE < l.steps)
        l.steps = z->records + STEPS_FREE;
    return l;
}

static enum err question_make(struct secondary_job *j, bool udp)
{
    struct xfrin_ask ask = { .apex = j->todo.apex, .kind = j->kind, .udp = udp, .have = j->has_soa && j->kind != XFRIN_AXFR,
                             .soa = bytes_of(j->soa, j->soa_len), .key = j->key != NULL ? &j->key->key : NULL, .limits = limits_of(j) };
    uint16_t id;
    xfrin_end(j->x);
    j->x = NULL;
    if (RAND_bytes((unsigned char *)&id, sizeof id) != 1)
        return ERR_NOMEM;
    return xfrin_begin(&j->x, &ask, id, clock_wall_ms() / 1000);
}

/* --- TCP ---------------------------------------------------------------------------------------------------------------------- */
static void tcp_start(struct secondary_job *j);

/* Its zone, or this primary of it, may have been removed while it was on its way. */
static bool is_listed(const struct secondary_job *j)
{
    const struct secondary_zone *z = secondary_find(j->s, name_bytes(&j->todo.apex));
    for (unsigned i = 0; z != NULL && i < z->n; i++)
        if (z->primaries[i] == j->todo.primary)
            return true;
    return false;
}

static void change_put(struct secondary_job *j)
{
    if (!is_listed(j)) {
        fail(j, "the zone does not name this primary any more");
        return;
    }
    xfrin_change(&j->change, j->x, name_bytes(&j->todo.apex), primary_of(j)->text);
    transport_close(j);
    (void)event_del(j->timeout);
    j->stage = STAGE_CHANGE;
    secondary_put(j);
}

static void start_all(struct secondary_job *j)
{
    j->kind = XFRIN_AXFR;
    tcp_start(j);
}

/* All of the zone, for want of steps, from a server that lags behind the one that told the serial: one address may be many. */
static bool is_older(const struct secondary_job *j)
{
    return j->kind == XFRIN_AXFR && j->has_soa && !j->todo.axfr && !serial_later(xfrin_serial(j->x), j->from);
}

/* Over UDP an IXFR is there as a whole, or there is none: whatever else came, be it of the primary or not, is asked over TCP. */
static bool wants_tcp(struct secondary_job *j, enum xfrin_verdict v)
{
    struct secondary_zone *z = secondary_find(j->s, name_bytes(&j->todo.apex));
    if (j->stage != STAGE_UDP || j->kind != XFRIN_IXFR || v == XFRIN_MORE || v == XFRIN_DONE || v == XFRIN_CURRENT)
        return false;
    if (z != NULL)
        z->large = true;
    j->udp_tried = true;
    return true;
}

static bool judged(struct secondary_job *j, enum xfrin_verdict v, const struct fault *fault)
{
    if (wants_tcp(j, v))
        v = XFRIN_TRY_TCP;
    if (v == XFRIN_CURRENT || v == XFRIN_DONE) {
        j->has_serial = true;
        j->serial = xfrin_serial(j->x);
    }
    switch (v) {
    case XFRIN_MORE: return false;
    case XFRIN_CURRENT:
        if (j->has_soa && xfrin_serial(j->x) != j->from)        /* it must not keep a zone alive, nor hide the other primaries */
            fail(j, "the primary's serial is older than ours");
        else
            secondary_end(j, REFRESH_CURRENT, xfrin_serial(j->x), NULL);
        break;
    case XFRIN_DONE:
        if (j->kind == XFRIN_SOA)
            secondary_end(j, REFRESH_NEWER, xfrin_serial(j->x), NULL);
        else if (is_older(j))
            fail(j, "the primary sends a zone that is not later than ours");
        else
            change_put(j);
        break;
    case XFRIN_TRY_TCP: tcp_start(j); break;
    case XFRIN_TRY_AXFR:
        if (j->kind == XFRIN_IXFR)
            start_all(j);
        else
            fail(j, fault_text(fault, ERR_BAD));
        break;
    case XFRIN_FAILED: default: fail(j, fault_text(fault, ERR_BAD)); break;
    }
    return true;
}

/* What a hostile primary could take: memory, with records for ever; and a place, with ever so few. */
static struct secondary_job *over_memory(const struct secondary *s)
{
    uint64_t all = 0, most = 0;
    struct secondary_job *largest = NULL;
    for (struct secondary_job *k = s->jobs; k != NULL; k = k->next) {
        uint64_t held = k->x != NULL ? xfrin_memory(k->x) : 0;
        all += held;
        if (!k->putting && held > most) {
            most = held;
            largest = k;
        }
    }
    return all > s->o.transfers.memory && most > FREE_BYTES ? largest : NULL;
}

static bool too_slow(const struct secondary_job *j)
{
    uint64_t took_ms = clock_mono_ms() - j->heard_ms;
    return took_ms > RATE_FROM_MS && xfrin_bytes(j->x) < took_ms / 1000 * j->s->o.transfers.rate;
}

/* Of those that hold too much together the largest ends: the others may be all that they should be. true: that is j, or it is too slow. */
static bool ended(struct secondary_job *j)
{
    struct secondary_job *largest = over_memory(j->s);
    bool slow = largest != j && too_slow(j);
    if (largest != NULL)
        fail(largest, "the transfers under way hold more memory than they may, this one the most");
    if (slow)
        fail(j, "the primary sends too slowly");
    return slow || largest == j;
}

/* Where TCP goes and UDP does not, UDP is not waited for. */
static void tcp_heard(struct secondary_job *j)
{
    uint64_t now = clock_mono_ms();
    if (!j->heard)
        j->heard_ms = now;
    j->heard = true;
    if (j->udp_lost)
        primary_of(j)->udp_after_ms[j->kind == XFRIN_SOA ? XFRIN_SOA : XFRIN_IXFR] = now + UDP_AGAIN_MS;
    j->udp_lost = false;
}

static void on_readable(struct bufferevent *bev, void *arg)
{
    struct secondary_job *j = arg;
    struct evbuffer *in = bufferevent_get_input(bev);
    struct fault fault = { "" };
    for (;;) {
        size_t have = evbuffer_get_length(in), need;
        struct bytes msg, got = bytes_of(evbuffer_pullup(in, (ev_ssize_t)(have < TCP_PREFIX + REPLY_MAX ? have : TCP_PREFIX + REPLY_MAX)),
                                         have < TCP_PREFIX + REPLY_MAX ? have : TCP_PREFIX + REPLY_MAX);
        enum err err = tcp_next(got, &msg, &need);
        if (err == ERR_SHORT) {
            bufferevent_setwatermark(bev, EV_READ, need, 0);
            return;
        }
        if (err != OK) {
            fail(j, "a message of no length");
            return;
        }
        tcp_heard(j);
        wait_ms(j, IDLE_MS);
        if (judged(j, xfrin_take(j->x, msg, clock_wall_ms() / 1000, &fault), &fault))
            return;
        (void)evbuffer_drain(in, TCP_PREFIX + msg.len);
        if (ended(j))
            return;
    }
}

static void on_connected(struct secondary_job *j)
{
    struct bytes q = xfrin_query(j->x);
    uint8_t prefix[TCP_PREFIX];
    tcp_put_prefix(prefix, q.len);
    j->stage = STAGE_TCP;
    (void)bufferevent_write(j->bev, prefix, sizeof prefix);
    (void)bufferevent_write(j->bev, q.ptr, q.len);
    wait_ms(j, IDLE_MS);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    struct secondary_job *j = arg;
    struct fault fault = { "" };
    (void)bev;
    if ((what & BEV_EVENT_CONNECTED) != 0) {
        on_connected(j);
        return;
    }
    if (!j->heard) {
        fail_silent(j, j->stage == STAGE_CONNECT ? "no connection" : "the connection was closed without an answer");
        return;
    }
    (void)judged(j, xfrin_closed(j->x, &fault), &fault);
}

static void tcp_start(struct secondary_job *j)
{
    const struct secondary_primary *p = primary_of(j);
    transport_close(j);
    j->stage = STAGE_CONNECT;
    j->heard = j->over_udp = false;
    if (question_make(j, false) != OK || (j->bev = bufferevent_socket_new(j->s->o.base, -1, BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS)) == NULL) {
        fail(j, "out of memory");
        return;
    }
    wait_ms(j, CONNECT_MS);
    bufferevent_setcb(j->bev, on_readable, NULL, on_event, j);
    bufferevent_setwatermark(j->bev, EV_READ, TCP_PREFIX, 0);
    (void)bufferevent_enable(j->bev, EV_READ | EV_WRITE);
    /* What fails at once is told by the callback, or by the time. */
    (void)bufferevent_socket_connect(j->bev, (struct sockaddr *)(uintptr_t)&p->address.addr.sa, (int)p->address.len);
}

/* --- UDP ---------------------------------------------------------------------------------------------------------------------- */
static bool udp_send(struct secondary_job *j)
{
    struct bytes q = xfrin_query(j->x);
    j->tries++;
    wait_ms(j, j->kind == XFRIN_IXFR ? UDP_IXFR_MS : UDP_WAIT_MS);
    return send(j->fd, q.ptr, q.len, MSG_DONTWAIT) == (ssize_t)q.len;
}

/* A transfer goes on over TCP: the SOA question has just been answered. */
static void udp_failed(struct secondary_job *j, const char *why)
{
    if (j->kind == XFRIN_IXFR)
        tcp_start(j);
    else
        fail_silent(j, why);
}

static void on_datagram(evutil_socket_t fd, short what, void *arg)
{
    struct secondary_job *j = arg;
    struct bytes q = xfrin_query(j->x);
    struct fault fault = { "" };
    uint8_t buf[4096];
    (void)what;
    ssize_t n = recv(fd, buf, sizeof buf, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0) {
        udp_failed(j, "nobody listens there");
        return;
    }
    if (n < 2 || q.ptr[0] != buf[0] || q.ptr[1] != buf[1])
        return;                                 /* not to this question: somebody guesses */
    (void)judged(j, xfrin_take(j->x, bytes_of(buf, (size_t)n), clock_wall_ms() / 1000, &fault), &fault);
}

static void udp_start(struct secondary_job *j)
{
    const struct secondary_primary *p = primary_of(j);
    j->stage = STAGE_UDP;
    j->over_udp = true;
    if (question_make(j, true) != OK) {
        fail(j, "out of memory");
        return;
    }
    j->fd = socket(p->address.addr.sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (j->fd < 0 || connect(j->fd, &p->address.addr.sa, p->address.len) != 0
        || (j->readable = event_new(j->s->o.base, j->fd, EV_READ | EV_PERSIST, on_datagram, j)) == NULL
        || event_add(j->readable, NULL) != 0 || !udp_send(j))
        udp_failed(j, "no way there");
}

/* --- both ------------------------------------------------------------------------------------------------------------------- */
static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
    struct secondary_job *j = arg;
    struct fault fault = { "" };
    (void)fd, (void)what;
    if (j->stage == STAGE_UDP && j->kind == XFRIN_SOA && j->tries < UDP_TRIES && clock_mono_ms() < j->until_ms) {
        (void)udp_send(j);                      /* what an error means is told by the answer that does not come */
        return;
    }
    if (j->stage == STAGE_UDP) {
        j->udp_lost = true;
        tcp_start(j);
        return;
    }
    if (j->heard && xfrin_closed(j->x, &fault) == XFRIN_TRY_AXFR)
        start_all(j);
    else if (j->heard)
        fail(j, "no more came in time");
    else
        fail_silent(j, j->stage == STAGE_CONNECT ? "no connection in time" : "no answer in time");
}

static bool may_udp(const struct secondary_job *j)
{
    const struct secondary_zone *z = secondary_find(j->s, name_bytes(&j->todo.apex));
    bool small = j->kind == XFRIN_SOA || (j->kind == XFRIN_IXFR && z != NULL && !z->large);
    return small && j->begun_ms >= primary_of(j)->udp_after_ms[j->kind];
}

void secondary_ask(struct secondary_job *j)
{
    struct secondary *s = j->s;
    struct fault fault = { "" };
    struct refresh_timers t;
    const struct name *key = &primary_of(j)->key;
    j->until_ms = j->begun_ms + s->o.transfers.time_ms;
    j->has_soa = secondary_soa(s, name_bytes(&j->todo.apex), j->soa, sizeof j->soa, &j->soa_len, &j->from, &t);
    j->kind = j->todo.what == REFRESH_SOA ? XFRIN_SOA : j->todo.axfr || !j->has_soa ? XFRIN_AXFR : XFRIN_IXFR;
    j->timeout = evtimer_new(s->o.base, on_timeout, j);
    if (j->timeout == NULL) {
        fail(j, "out of memory");
        return;
    }
    enum err err = key->len == 0 ? OK : policies_key(s->policies, name_bytes(key), &j->key, &fault);
    if (err != OK) {
        fail(j, err == ERR_NOTFOUND ? "there is no TSIG key of this name here (azoth tsig add)" : fault_text(&fault, err));
        return;
    }
    if (may_udp(j))
        udp_start(j);
    else
        tcp_start(j);
}

/* How large the zone is now, and whether its next steps are likely to fit into a datagram: these would have. */
static void note_size(const struct secondary_job *j)
{
    struct secondary_zone *z = secondary_find(j->s, name_bytes(&j->todo.apex));
    size_t n = 0;
    bool small = j->kind == XFRIN_IXFR && !xfrin_is_whole(j->x) && xfrin_bytes(j->x) <= SMALL_BYTES;
    if (small && j->udp_tried)                  /* many servers send steps over TCP alone, and the SOA over UDP */
        primary_of(j)->udp_after_ms[XFRIN_IXFR] = clock_mono_ms() + UDP_AGAIN_MS;
    if (z == NULL)
        return;
    if (j->kind == XFRIN_IXFR)
        z->large = !small;
    if (xfrin_is_whole(j->x)) {
        z->records = xfrin_zone(j->x)->n;
        return;
    }
    const struct xfrin_step *step = xfrin_steps(j->x, &n);
    for (size_t i = 0; i < n && z->records > 0; i++)
        z->records = z->records + step[i].come_n > step[i].gone_n ? z->records + step[i].come_n - step[i].gone_n : 0;
}

void secondary_change_told(struct secondary_job *j)
{
    const struct change_result *r = &j->change.result;
    struct refresh_timers t;
    if (r->end == CHANGE_DONE) {
        uint32_t serial = xfrin_serial(j->x);
        note_size(j);
        (void)secondary_soa(j->s, name_bytes(&j->todo.apex), j->soa, sizeof j->soa, &j->soa_len, &serial, &t);
        secondary_end(j, REFRESH_DONE, serial, NULL);
        return;
    }
    /* ERR_NOTNOW: it expired, and takes no steps before it is live again (draft.c) */
    if ((r->err == ERR_STALE || r->err == ERR_NOTNOW) && j->kind == XFRIN_IXFR && !j->s->stopping && !j->retried_all) {
        j->retried_all = true;
        change_release(&j->change);
        change_init(&j->change, CHANGE_EDIT, name_bytes(&j->todo.apex));
        start_all(j);
        return;
    }
    char why[600];
    (void)snprintf(why, sizeof why, "%s", r->complaints.errors_n > 0 ? r->complaints.errors[0].text : fault_text(&r->fault, r->err));
    fail(j, why);
}
