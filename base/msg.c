#include "base/msg.h"

#include <msgpack/pack.h>
#include <msgpack/version.h>

/* --- writing: msgpack-c's packer straight into the caller's buffer --------------------------------------------- */
static int put(void *data, const char *buf, size_t len)
{
    wr_put(data, buf, len);
    return 0;       /* a full writer is sticky and checked by its owner */
}

static msgpack_packer packer(struct wr *w)
{
    msgpack_packer pk;
    msgpack_packer_init(&pk, w, put);
    return pk;
}

void msg_put_nil(struct wr *w)
{
    msgpack_packer pk = packer(w);
    (void)msgpack_pack_nil(&pk);
}

void msg_put_bool(struct wr *w, bool v)
{
    msgpack_packer pk = packer(w);
    (void)(v ? msgpack_pack_true(&pk) : msgpack_pack_false(&pk));
}

void msg_put_uint(struct wr *w, uint64_t v)
{
    msgpack_packer pk = packer(w);
    (void)msgpack_pack_uint64(&pk, v);
}

void msg_put_bin_head(struct wr *w, uint32_t len)
{
    msgpack_packer pk = packer(w);
    (void)msgpack_pack_bin(&pk, len);
}

void msg_put_bin(struct wr *w, struct bytes b)
{
    msg_put_bin_head(w, (uint32_t)b.len);
    wr_bytes(w, b);
}

void msg_put_text(struct wr *w, struct bytes text)
{
    msgpack_packer pk = packer(w);
    (void)msgpack_pack_str(&pk, text.len);
    wr_bytes(w, text);
}

void msg_put_array(struct wr *w, uint32_t count)
{
    msgpack_packer pk = packer(w);
    (void)msgpack_pack_array(&pk, count);
}

void msg_put_map(struct wr *w, uint32_t count)
{
    msgpack_packer pk = packer(w);
    (void)msgpack_pack_map(&pk, count);
}

/* --- reading --------------------------------------------------------------------------------------------------- */
/* A number of `width` bytes that must not fit a smaller form: at least `least`. */
static uint64_t sized(struct rd *r, size_t width, uint64_t least)
{
    uint64_t v = rd_be(r, width);
    if (!r->bad && v < least)
        rd_fail(r);
    return r->bad ? 0 : v;
}

uint64_t msg_uint_slow(struct rd *r)
{
    uint8_t tag = rd_u8(r);
    if (r->bad || tag < 0x80)
        return r->bad ? 0 : tag;
    switch (tag) {
    case 0xcc: return sized(r, 1, 0x80);
    case 0xcd: return sized(r, 2, 0x100);
    case 0xce: return sized(r, 4, 0x10000);
    case 0xcf: return sized(r, 8, 0x100000000);
    default: rd_fail(r); return 0;
    }
}

bool msg_bool(struct rd *r)
{
    uint8_t tag = rd_u8(r);
    if (!r->bad && tag != 0xc2 && tag != 0xc3)
        rd_fail(r);
    return !r->bad && tag == 0xc3;
}

bool msg_nil(struct rd *r)
{
    if (r->bad || r->p == r->end || *r->p != 0xc0)
        return false;
    r->p++;
    return true;
}

struct bytes msg_bin_slow(struct rd *r)
{
    uint64_t len = 0;
    uint8_t tag = rd_u8(r);
    switch (tag) {
    case 0xc4: len = sized(r, 1, 0); break;
    case 0xc5: len = sized(r, 2, 0x100); break;
    case 0xc6: len = sized(r, 4, 0x10000); break;
    default: if (!r->bad) rd_fail(r);
    }
    return rd_take(r, (size_t)len);
}

struct bytes msg_text(struct rd *r)
{
    uint64_t len = 0;
    uint8_t tag = rd_u8(r);
    if (!r->bad && (tag & 0xe0) == 0xa0)
        return rd_take(r, tag & 0x1f);
    switch (tag) {
    case 0xd9: len = sized(r, 1, 0x20); break;
    case 0xda: len = sized(r, 2, 0x100); break;
    case 0xdb: len = sized(r, 4, 0x10000); break;
    default: if (!r->bad) rd_fail(r);
    }
    return rd_take(r, (size_t)len);
}

/* A count of values: each takes a byte at least, so more than the bytes left cannot be complete. */
static uint32_t counted(struct rd *r, uint64_t count, uint64_t each)
{
    if (!r->bad && count > rd_left(r) / each)
        r->bad = true;
    return r->bad ? 0 : (uint32_t)count;
}

uint32_t msg_array_slow(struct rd *r)
{
    uint8_t tag = rd_u8(r);
    if (!r->bad && (tag & 0xf0) == 0x90)
        return counted(r, tag & 0x0f, 1);
    if (tag == 0xdc)
        return counted(r, sized(r, 2, 0x10), 1);
    if (tag == 0xdd)
        return counted(r, sized(r, 4, 0x10000), 1);
    if (!r->bad)
        rd_fail(r);
    return 0;
}

uint32_t msg_map(struct rd *r)
{
    uint8_t tag = rd_u8(r);
    if (!r->bad && (tag & 0xf0) == 0x80)
        return counted(r, tag & 0x0f, 2);
    if (tag == 0xde)
        return counted(r, sized(r, 2, 0x10), 2);
    if (tag == 0xdf)
        return counted(r, sized(r, 4, 0x10000), 2);
    if (!r->bad)
        rd_fail(r);
    return 0;
}

enum msg_kind msg_peek(const struct rd *r)
{
    if (r->bad || r->p == r->end)
        return MSG_NONE;
    uint8_t tag = *r->p;
    if (tag < 0x80 || (tag >= 0xcc && tag <= 0xcf))
        return MSG_UINT;
    if (tag >= 0xe0 || (tag >= 0xd0 && tag <= 0xd3))
        return MSG_INT;
    if (tag < 0x90 || tag == 0xde || tag == 0xdf)
        return MSG_MAP;
    if (tag < 0xa0 || tag == 0xdc || tag == 0xdd)
        return MSG_ARRAY;
    if (tag < 0xc0 || (tag >= 0xd9 && tag <= 0xdb))
        return MSG_TEXT;
    if (tag >= 0xc4 && tag <= 0xc6)
        return MSG_BIN;
    if (tag == 0xc2 || tag == 0xc3)
        return MSG_BOOL;
    if (tag == 0xca || tag == 0xcb)
        return MSG_FLOAT;
    return tag == 0xc0 ? MSG_NIL : tag == 0xc1 ? MSG_NONE : MSG_EXT;
}

static void skip(struct rd *r, unsigned depth)
{
    static const uint8_t fixed[] = { 1, 2, 4, 8, 16 };      /* fixext 1..16 and the sizes of int, float */
    if (depth > MSG_DEPTH_MAX) {
        rd_fail(r);
        return;
    }
    enum msg_kind kind = msg_peek(r);
    if (kind == MSG_ARRAY || kind == MSG_MAP) {
        uint64_t n = kind == MSG_ARRAY ? msg_array(r) : (uint64_t)2 * msg_map(r);
        for (; n > 0 && !r->bad; n--)
            skip(r, depth + 1);
    } else if (kind == MSG_TEXT) {
        (void)msg_text(r);
    } else if (kind == MSG_BIN) {
        (void)msg_bin(r);
    } else if (kind == MSG_UINT) {
        (void)msg_uint(r);
    } else {
        uint8_t tag = rd_u8(r);
        if (tag == 0xca || tag == 0xcb)
            (void)rd_take(r, tag == 0xca ? 4 : 8);
        else if (tag >= 0xd0 && tag <= 0xd3)
            (void)rd_take(r, fixed[tag - 0xd0]);
        else if (tag >= 0xd4 && tag <= 0xd8)
            (void)rd_take(r, 1u + fixed[tag - 0xd4]);
        else if (tag >= 0xc7 && tag <= 0xc9)
            (void)rd_take(r, 1u + (size_t)rd_be(r, fixed[tag - 0xc7]));
        else if (!r->bad && tag == 0xc1)
            rd_fail(r);
    }
}

void msg_skip(struct rd *r)
{
    skip(r, 1);
}

void msg_fixed(struct rd *r, uint8_t *out, size_t len)
{
    struct bytes b = msg_bin(r);
    if (!r->bad && b.len != len)
        rd_fail(r);
    if (!r->bad)
        memcpy(out, b.ptr, len);
}
