#include "builder/xfrpack.h"

#include "wire/query.h"

#define OPT_LEN 11
#define EDNS_SIZE 1232
#define CLASS_INTERNET 1
#define POINTER 0xc000u
#define RR_FIXED 10u                    /* type, class, TTL, rdlength */

/* --- names -------------------------------------------------------------------------------------------------------------- */
/* Does this name stand at `at`? Only what was written here is read (a name that is being written ends in the middle), and its
 * pointers go backwards. */
static bool stands(const struct xfrpack *p, size_t at, struct bytes name)
{
    for (size_t i = 0; i < name.len;) {
        if (at >= p->w.len)
            return false;
        uint8_t len = p->buf[at];
        if ((len & 0xc0) == 0xc0) {
            at = (size_t)(len & 0x3f) << 8 | p->buf[at + 1];
            continue;
        }
        if (len != name.ptr[i] || memcmp(&p->buf[at], name.ptr + i, (size_t)len + 1) != 0)
            return false;
        at += (size_t)len + 1;
        i += (size_t)len + 1;
    }
    return true;
}

/* Where this name stands; 0: nowhere, *slot is where it could be noted. */
static uint16_t name_find(const struct xfrpack *p, struct bytes name, size_t *slot)
{
    size_t i = (size_t)(bytes_fnv(BYTES_FNV_START, name) % XFRPACK_SLOTS);
    for (; p->slots[i].turn == p->turn; i = (i + 1) % XFRPACK_SLOTS)
        if (stands(p, p->slots[i].at, name))
            return p->slots[i].at;
    *slot = i;
    return 0;
}

/* The labels up to a name that stands there already, and a pointer to it. */
static void name_put(struct xfrpack *p, struct bytes name)
{
    while (name.len > 1) {
        size_t slot = 0;
        uint16_t at = name_find(p, name, &slot), here = (uint16_t)p->w.len;
        if (at != 0) {
            wr_u16(&p->w, (uint16_t)(POINTER | at));
            return;
        }
        if (p->w.len <= POINTER_MAX && p->names < XFRPACK_SLOTS / 2) {
            p->slots[slot].turn = p->turn;
            p->slots[slot].at = here;
            p->names++;
        }
        size_t label = (size_t)name.ptr[0] + 1;
        wr_bytes(&p->w, bytes_of(name.ptr, label));
        name = bytes_of(name.ptr + label, name.len - label);
    }
    wr_u8(&p->w, 0);
}

/* The question's own name may be pointed at too, where its case is that of the owners. */
static void question_put(struct xfrpack *p)
{
    struct bytes q = p->q->question;
    name_put(p, bytes_of(q.ptr, q.len - 4));
    wr_bytes(&p->w, bytes_of(q.ptr + q.len - 4, 4));
}

/* --- messages ------------------------------------------------------------------------------------------------------------ */
static bool is_first(const struct xfrpack *p) { return p->messages == 0; }

static void message_begin(struct xfrpack *p)
{
    p->w = wr_over(p->buf, p->q->max - p->q->room - (is_first(p) && p->q->has_edns ? OPT_LEN : 0));
    p->turn++;
    p->names = p->answers = 0;
    wr_u16(&p->w, p->q->id);
    wr_u16(&p->w, (uint16_t)(DNS_QR | DNS_AA | (p->q->flags & DNS_RD)));
    wr_u16(&p->w, is_first(p));
    wr_u32(&p->w, 0);
    wr_u16(&p->w, 0);
    if (is_first(p))
        question_put(p);
}

static enum err message_end(struct xfrpack *p)
{
    p->w.cap = p->q->max - p->q->room;
    wr_patch_u16(&p->w, 6, (uint16_t)p->answers);
    if (is_first(p) && p->q->has_edns) {
        wr_patch_u16(&p->w, 10, 1);
        wr_u8(&p->w, 0);
        wr_u16(&p->w, TYPE_OPT);
        wr_u16(&p->w, EDNS_SIZE);
        wr_u32(&p->w, 0);
        wr_u16(&p->w, 0);
    }
    if (p->w.full)
        return ERR_NOSPACE;
    p->messages++;
    p->bytes += p->w.len;
    return p->put(p->arg, wr_done(&p->w));
}

static void record_put(struct xfrpack *p, const struct zone_rr *rr)
{
    name_put(p, rr->owner);
    wr_u16(&p->w, rr->type);
    wr_u16(&p->w, CLASS_INTERNET);
    wr_u32(&p->w, rr->ttl);
    wr_u16(&p->w, (uint16_t)rr->rdata.len);
    wr_bytes(&p->w, rr->rdata);
    p->answers++;
    p->records++;
}

void xfrpack_begin(struct xfrpack *p, const struct xfr_question *q, xfrpack_put_fn *put, void *arg)
{
    *p = (struct xfrpack){ .q = q, .put = put, .arg = arg };
    message_begin(p);
}

enum err xfrpack_add(struct xfrpack *p, const struct zone_rr *rr)
{
    size_t need = rr->owner.len + RR_FIXED + rr->rdata.len;     /* at most */
    if (p->answers > 0 && (p->w.len + need > p->w.cap || p->w.len + need > XFRPACK_FULL) && p->q->max == XFRPACK_MAX) {
        enum err err = message_end(p);
        if (err != OK)
            return err;
        message_begin(p);
    }
    record_put(p, rr);
    return p->w.full ? ERR_NOSPACE : OK;
}

enum err xfrpack_end(struct xfrpack *p) { return message_end(p); }
