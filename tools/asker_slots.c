/* The asker's slots: a question under way to both servers, sent again when its time is over, done when both have answered. */
#include "tools/asker_parts.h"

#include "base/clock.h"
#include "wire/rrtype.h"

#include <stdlib.h>

#define UDP_SIZE 1232           /* what passes everywhere without fragments */
#define WINDOW_LEAST 16
#define WINDOW_NEAR 256         /* fits the buffer that a socket has when nobody asked for more */
#define WINDOW_GROWS 8          /* with each window of answers */
#define SHRINK_US 100000        /* losses within that are one */

void question_write(struct wr *w, const struct question *q, uint16_t id)
{
    wr_u16(w, id);
    wr_u16(w, 0);
    wr_u16(w, 1);
    wr_u32(w, 0);
    wr_u16(w, 1);
    wr_bytes(w, name_bytes(&q->name));
    wr_u16(w, q->type);
    wr_u16(w, CLASS_IN);
    wr_u8(w, 0);
    wr_u16(w, TYPE_OPT);
    wr_u16(w, UDP_SIZE);
    wr_u16(w, EDNS_VERSION);
    wr_u16(w, q->dnssec ? EDNS_DO : 0);
    wr_u16(w, 0);
}

bool question_answers(struct bytes query, struct bytes msg)
{
    enum { OPT_LEN = 11, TYPE_CLASS = 4 };
    struct rd r = rd_over(msg), q = rd_over(query);
    uint16_t id = rd_u16(&r), flags = rd_u16(&r), questions = rd_u16(&r);
    (void)rd_take(&r, 6);
    if (r.bad || id != rd_u16(&q) || (flags & DNS_QR) == 0 || (flags & DNS_OPCODE) != 0)
        return false;
    if (questions == 0)
        return (flags & DNS_RCODE) != RCODE_NOERROR;
    (void)rd_take(&q, DNS_HEADER_LEN - 2);
    size_t name = query.len - DNS_HEADER_LEN - OPT_LEN - TYPE_CLASS;
    struct bytes asked = rd_take(&q, name), told = rd_take(&r, name);
    struct bytes what = rd_take(&q, TYPE_CLASS);
    return questions == 1 && told.len == name && name_equal(asked, told) && bytes_equal(what, rd_take(&r, TYPE_CLASS));
}

static void slot_free(struct asker *a, struct slot *s)
{
    s->used = false;
    a->free[a->free_n++] = (uint16_t)(s - a->slots);
}

static void slot_check(struct asker *a, struct slot *s)
{
    struct bytes msg[2];
    if (s->side[0].state != SIDE_DONE || s->side[1].state != SIDE_DONE)
        return;
    for (unsigned i = 0; i < 2; i++)
        msg[i] = s->side[i].len > 0 ? bytes_of(s->side[i].msg, s->side[i].len) : bytes_of(NULL, 0);
    enum err err = a->done(a->arg, &s->q, msg);
    if (err != OK && !a->failed) {
        a->failed = true;
        a->err = err;
    }
    slot_free(a, s);
}

static bool keep(struct side_slot *side, struct bytes msg)
{
    if (msg.len > side->cap) {
        uint8_t *more = realloc(side->msg, msg.len);
        if (more == NULL)
            return false;
        side->msg = more;
        side->cap = msg.len;
    }
    memcpy(side->msg, msg.ptr, msg.len);
    side->len = msg.len;
    return true;
}

static void window_grow(struct asker *a, uint64_t took_us)
{
    if (took_us < a->best_us)
        a->best_us = took_us;
    uint64_t most = a->best_us / 1000 * 64;         /* what is on its way all the time, at 64,000 a second */
    most = most < WINDOW_NEAR ? WINDOW_NEAR : most > SLOTS ? SLOTS : most;
    if (++a->grown < a->window)
        return;
    a->grown = 0;
    a->window = a->window + WINDOW_GROWS < most ? a->window + WINDOW_GROWS : (unsigned)most;
}

void slot_answer(struct asker *a, unsigned server, struct bytes msg, enum side_state from, uint64_t now_us)
{
    struct rd r = rd_over(msg);
    uint16_t id = rd_u16(&r), flags = rd_u16(&r);
    struct slot *s = &a->slots[id % SLOTS];
    struct side_slot *side = &s->side[server];
    if (r.bad || !s->used || s->id != id || side->state != from || !question_answers(bytes_of(s->query, s->query_len), msg))
        return;                                     /* late, or not ours */
    a->figures[server].answers++;
    a->vain[server] = 0;
    if (from == SIDE_UDP && (flags & DNS_TC) != 0) {
        side->tries = 0;
        stream_put(a, server, s, now_us);
        return;
    }
    if (!keep(side, msg)) {
        a->failed = true;
        a->err = ERR_NOMEM;
    }
    if (from == SIDE_UDP && !side->again)
        window_grow(a, now_us - side->sent_us);
    side->state = SIDE_DONE;
    slot_check(a, s);
}

static void slot_give_up(struct asker *a, struct slot *s, unsigned server)
{
    a->figures[server].unanswered++;
    a->vain[server]++;
    s->side[server].len = 0;
    s->side[server].state = SIDE_DONE;
    slot_check(a, s);
}

static void send_again(struct asker *a, struct slot *s, unsigned server, uint64_t now_us)
{
    struct side_slot *side = &s->side[server];
    a->figures[server].retries++;
    side->again = true;
    side->tries++;
    if (side->state == SIDE_TCP) {
        stream_put(a, server, s, now_us);
        return;
    }
    side->state = SIDE_SEND;
    a->queue[server][a->queue_n[server]++] = (uint16_t)(s - a->slots);
    if (now_us - a->lost_us > SHRINK_US) {
        a->lost_us = now_us;
        a->window = a->window / 2 > WINDOW_LEAST ? a->window / 2 : WINDOW_LEAST;
    }
}

/* A stream with something overdue is closed: then all that waits there is sent over another one. */
static void sweep_streams(struct asker *a, uint64_t now_us)
{
    for (unsigned i = 0; i < SLOTS; i++)
        for (unsigned server = 0; server < 2; server++) {
            const struct side_slot *side = &a->slots[i].side[server];
            if (a->slots[i].used && side->state == SIDE_TCP && side->due_us <= now_us && a->stream[server].fd >= 0)
                stream_close(a, server, now_us);
        }
}

void slots_sweep(struct asker *a, uint64_t now_us)
{
    sweep_streams(a, now_us);
    for (unsigned i = 0; i < SLOTS; i++)
        for (unsigned server = 0; server < 2; server++) {
            struct slot *s = &a->slots[i];
            struct side_slot *side = &s->side[server];
            if (!s->used || (side->state != SIDE_UDP && side->state != SIDE_TCP) || side->due_us > now_us)
                continue;
            if (side->tries >= a->o.retries)
                slot_give_up(a, s, server);
            else
                send_again(a, s, server, now_us);
        }
}
