/* Cursors over bytes that we did not make, and over buffers that we fill.
 *
 * A reader (struct rd) is the only way to look into a packet, a peer's message, a file or a stored value: it knows
 * where the bytes end and becomes `bad` when somebody reads past that, and stays bad; reads of a bad cursor give 0.
 * So a decoder reads as the format does and checks once at its end; a check that steers a loop happens at once.
 * A writer (struct wr) fills a caller's buffer and becomes `full` instead of running over.
 *
 *     p ──────────────► end          buf ─────len─────► cap
 *     │ not yet read  │               │ written │ room │
 */
#ifndef AZOTH_BASE_BYTES_H
#define AZOTH_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define MUST_USE __attribute__((warn_unused_result))

struct bytes { const uint8_t *ptr; size_t len; };   /* borrowed; the owner is named where it is filled */
struct rd { const uint8_t *p, *end; bool bad, wrong; };     /* p <= end; bad is sticky; wrong: bad for another reason than the end */
struct wr { uint8_t *buf; size_t len, cap; bool full; };    /* len <= cap; full is sticky, contents then undefined */

static inline struct bytes bytes_of(const void *ptr, size_t len)
{
    return (struct bytes){ ptr, len };
}
static inline struct bytes bytes_of_text(const char *text)
{
    return bytes_of(text, strlen(text));
}
static inline bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}
/* As memcmp, a proper prefix sorts first: the order of LMDB's keys. */
static inline int bytes_compare(struct bytes a, struct bytes b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n > 0 ? memcmp(a.ptr, b.ptr, n) : 0;
    return c != 0 ? c : (a.len > b.len) - (a.len < b.len);
}
static inline bool bytes_starts(struct bytes whole, struct bytes prefix)
{
    return whole.len >= prefix.len && (prefix.len == 0 || memcmp(whole.ptr, prefix.ptr, prefix.len) == 0);
}

/* FNV-1a, going on from h. For tables that nobody else fills on purpose: it has no secret. */
#define BYTES_FNV_START 14695981039346656037u
static inline uint64_t bytes_fnv(uint64_t h, struct bytes b)
{
    for (size_t i = 0; i < b.len; i++)
        h = (h ^ b.ptr[i]) * 1099511628211u;
    return h;
}

/* --- reading ------------------------------------------------------------------------------------------------- */
static inline struct rd rd_over(struct bytes in)
{
    return (struct rd){ in.ptr, in.ptr == NULL ? NULL : in.ptr + in.len, false, false };
}
static inline size_t rd_left(const struct rd *r)
{
    return r->bad ? 0 : (size_t)(r->end - r->p);
}
static inline struct bytes rd_take(struct rd *r, size_t n)
{
    if (r->bad || (size_t)(r->end - r->p) < n) {
        r->bad = true;
        return (struct bytes){ 0 };
    }
    struct bytes got = { r->p, n };
    if (n > 0)
        r->p += n;
    return got;
}
static inline uint64_t rd_be(struct rd *r, size_t width)    /* big-endian, width 1..8 bytes */
{
    struct bytes b = rd_take(r, width);
    uint64_t v = 0;
    for (size_t i = 0; i < b.len; i++)
        v = v << 8 | b.ptr[i];
    return v;
}
static inline uint8_t rd_u8(struct rd *r)
{
    struct bytes b = rd_take(r, 1);
    return b.len == 1 ? b.ptr[0] : 0;
}
static inline uint16_t rd_u16(struct rd *r)                 /* spelled out: compilers leave the loop above a loop */
{
    struct bytes b = rd_take(r, 2);
    return b.len == 2 ? (uint16_t)(b.ptr[0] << 8 | b.ptr[1]) : 0;
}
static inline uint32_t rd_u32(struct rd *r) { return (uint32_t)rd_be(r, 4); }
static inline uint64_t rd_u64(struct rd *r) { return rd_be(r, 8); }
/* The bytes that are there break the format, however many more would follow. */
static inline void rd_fail(struct rd *r)
{
    if (!r->bad)
        r->bad = r->wrong = true;
}
static inline bool rd_done(const struct rd *r) { return !r->bad && r->p == r->end; }

/* --- writing ------------------------------------------------------------------------------------------------- */
static inline struct wr wr_over(void *buf, size_t cap)
{
    return (struct wr){ buf, 0, cap, false };
}
/* Room for n bytes at the end, counted as written; NULL when they do not fit. */
static inline uint8_t *wr_room(struct wr *w, size_t n)
{
    if (w->full || w->cap - w->len < n) {
        w->full = true;
        return NULL;
    }
    uint8_t *at = w->buf + w->len;
    w->len += n;
    return at;
}
static inline void wr_put(struct wr *w, const void *ptr, size_t n)
{
    uint8_t *at = wr_room(w, n);
    if (at != NULL && n > 0)
        memcpy(at, ptr, n);
}
static inline void wr_bytes(struct wr *w, struct bytes b) { wr_put(w, b.ptr, b.len); }
static inline void wr_be(struct wr *w, uint64_t v, size_t width)
{
    uint8_t *at = wr_room(w, width);
    for (size_t i = width; at != NULL && i-- > 0; v >>= 8)
        at[i] = (uint8_t)v;
}
static inline void wr_u8(struct wr *w, uint8_t v)
{
    uint8_t *at = wr_room(w, 1);
    if (at != NULL)
        at[0] = v;
}
static inline void wr_u16(struct wr *w, uint16_t v)
{
    uint8_t *at = wr_room(w, 2);
    if (at != NULL) {
        at[0] = (uint8_t)(v >> 8);
        at[1] = (uint8_t)v;
    }
}
static inline void wr_u32(struct wr *w, uint32_t v) { wr_be(w, v, 4); }
static inline void wr_u64(struct wr *w, uint64_t v) { wr_be(w, v, 8); }
/* Overwrites 2 bytes already written at offset `at`; at + 2 <= w->len unless w is full. */
static inline void wr_patch_u16(struct wr *w, size_t at, uint16_t v)
{
    if (!w->full) {
        w->buf[at] = (uint8_t)(v >> 8);
        w->buf[at + 1] = (uint8_t)v;
    }
}
static inline struct bytes wr_done(const struct wr *w) { return (struct bytes){ w->buf, w->len }; }

#endif
