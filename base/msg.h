/* MessagePack, strict: what msg_put_* writes (with msgpack-c's packer, smallest form of each value) is the only form
 * that msg_* reads; anything else makes the cursor wrong (rd_fail). Nothing is allocated and no count is believed
 * before that many bytes are there, so a hostile value costs nothing. https://github.com/msgpack/msgpack spec.
 *
 *     struct rd r = rd_over(in);
 *     uint32_t n = msg_array(&r);                    [flags, rrset, ...]
 *     uint64_t flags = msg_uint(&r);
 *     ...
 *     return rd_err(&r);
 */
#ifndef AZOTH_BASE_MSG_H
#define AZOTH_BASE_MSG_H

#include "base/err.h"

#define MSG_DEPTH_MAX 16    /* nesting that msg_skip and msg_check follow; our formats need 5 */

void msg_put_nil(struct wr *w);
void msg_put_bool(struct wr *w, bool v);
void msg_put_uint(struct wr *w, uint64_t v);
void msg_put_bin(struct wr *w, struct bytes b);
void msg_put_text(struct wr *w, struct bytes text);         /* UTF-8 "str" */
void msg_put_array(struct wr *w, uint32_t count);           /* then count values */
void msg_put_map(struct wr *w, uint32_t count);             /* then count times key, value */
/* Header of a bin of len bytes that the caller then writes itself. */
void msg_put_bin_head(struct wr *w, uint32_t len);

bool msg_bool(struct rd *r);
uint64_t msg_uint_slow(struct rd *r);
struct bytes msg_bin_slow(struct rd *r);
/* A bin of exactly len bytes, copied; another length is wrong. out is unchanged then. */
void msg_fixed(struct rd *r, uint8_t *out, size_t len);
struct bytes msg_text(struct rd *r);
uint32_t msg_array_slow(struct rd *r);
uint32_t msg_map(struct rd *r);
/* true, and the nil is read, when the next value is nil. */
bool msg_nil(struct rd *r);
/* One value of any type, nested at most MSG_DEPTH_MAX deep: for elements that a newer version added. */
void msg_skip(struct rd *r);
/* The elements behind those a decoder knows: msg_skip_rest(r, count of the array, elements read). */
static inline void msg_skip_rest(struct rd *r, uint32_t count, uint32_t known)
{
    for (uint32_t i = known; i < count && !r->bad; i++)
        msg_skip(r);
}

/* The forms that fill RRset blobs, without a call. */
static inline uint64_t msg_uint(struct rd *r)
{
    if (!r->bad && r->p < r->end && *r->p < 0x80)
        return *r->p++;
    return msg_uint_slow(r);
}
static inline uint32_t msg_array(struct rd *r)
{
    if (!r->bad && r->p < r->end && (*r->p & 0xf0) == 0x90 && (size_t)(r->end - r->p) > (*r->p & 0x0fu))
        return *r->p++ & 0x0fu;
    return msg_array_slow(r);
}
static inline struct bytes msg_bin(struct rd *r)
{
    if (!r->bad && r->end - r->p >= 2 && r->p[0] == 0xc4 && r->end - r->p >= 2 + r->p[1]) {
        struct bytes b = { r->p + 2, r->p[1] };
        r->p += 2 + b.len;
        return b;
    }
    return msg_bin_slow(r);
}

/* What kind the next value is, without reading it. MSG_NONE at the end or when bad. */
enum msg_kind { MSG_NONE, MSG_NIL, MSG_BOOL, MSG_UINT, MSG_INT, MSG_FLOAT, MSG_TEXT, MSG_BIN, MSG_ARRAY, MSG_MAP, MSG_EXT };
enum msg_kind msg_peek(const struct rd *r);

#endif
