/* Announcing: heads and small records to all subscribers, by whichever thread has them. What subscribers may know (told), the
 * lot that goes out as one message and the queue of what waits for the loop keep the order of the log, whoever announces: all of
 * it is under one lock. */
#include "replicator/publisher_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define QUEUE_BYTES_MAX ((size_t)8 << 20)
#define PEERS_AT_ONCE 4                 /* subscribers that who posts sends to itself: for so few waking the loop costs more */

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

/* --- the core --------------------------------------------------------------------------------------------------------------- */
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

void publisher_tell_posted(struct publisher *p)
{
    uint64_t count;
    if (read(p->wake, &count, sizeof count) < 0 && errno != EAGAIN)
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

void publisher_tell_beat(struct publisher *p)
{
    struct signed_head head;
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

/* --- the relay -------------------------------------------------------------------------------------------------------------- */
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

/* --- what is told, life ----------------------------------------------------------------------------------------------------- */
void publisher_fleet(struct publisher *p, uint64_t nodes)
{
    pthread_mutex_lock(&p->lock);
    p->told.nodes = nodes;
    pthread_mutex_unlock(&p->lock);
}

struct told publisher_told(struct publisher *p)
{
    pthread_mutex_lock(&p->lock);
    struct told t = p->told;
    pthread_mutex_unlock(&p->lock);
    return t;
}

enum err publisher_tell_open(struct publisher *p)
{
    pthread_mutex_init(&p->lock, NULL);
    p->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return p->wake < 0 ? ERR_NOMEM : OK;
}

enum err publisher_tell_first(struct publisher *p, struct fault *fault)
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

void publisher_tell_close(struct publisher *p)
{
    for (size_t i = 0; i < p->queue_n; i++)
        free(p->queue[i].record);
    if (p->wake >= 0)
        close(p->wake);
    pthread_mutex_destroy(&p->lock);
}
