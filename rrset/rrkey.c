#include "rrset/rrkey.h"

#include <assert.h>

static_assert(RRKEY_SHADOW_MAX <= 511, "LMDB's longest key");

/* Is one of the eight bytes 00 or 01? */
static bool has_escaped8(uint64_t x)
{
    const uint64_t ones = 0x0101010101010101u;
    return ((x - 2 * ones) & ~x & (0x80 * ones)) != 0;
}

/* A word of which the first n bytes count, the others as something that needs no escape. */
static uint64_t first_of(uint64_t x, size_t n)
{
    bool low_first = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;
    return n >= 8 ? x : low_first ? x | ~UINT64_C(0) << 8 * n : x | ~UINT64_C(0) >> 8 * n;
}

/* A label eight bytes at a time, as long as nothing needs an escape; how many of its bytes that were. `beyond`: bytes behind
 * the label that may be read. What is written behind its end is to be overwritten. */
static size_t put_words(uint8_t *out, size_t room, struct bytes label, size_t beyond)
{
    size_t i = 0, most = label.len + beyond < room ? label.len + beyond : room;
    for (; i < label.len && i + 8 <= most; i += 8) {
        uint64_t x;
        memcpy(&x, label.ptr + i, 8);
        if (has_escaped8(first_of(x, label.len - i)))
            break;
        x = name_lower8(x);
        memcpy(out + i, &x, 8);
    }
    return i < label.len ? i : label.len;
}

/* One label of a name behind what k holds, lower-cased and escaped, with its end. buf always has room: the longest name
 * is 254 bytes before its final 0, each at most doubled. */
static uint16_t put_label(struct rrkey *k, uint16_t at, struct bytes label, size_t beyond)
{
    uint8_t *buf = k->buf;
    size_t whole = put_words(buf + at, sizeof k->buf - at, label, beyond);
    at = (uint16_t)(at + whole);
    for (size_t i = whole; i < label.len; i++) {
        uint8_t c = name_lower_byte(label.ptr[i]);
        if (c <= 1) {
            buf[at++] = 1;
            c++;
        }
        buf[at++] = c;
    }
    buf[at++] = 0;
    return at;
}

MUST_USE enum err rrkey_of_name(struct bytes name, struct rrkey *k)
{
    uint8_t label_at[NAME_LABELS_MAX];
    size_t end = 0;
    unsigned n = 0;
    while (end < name.len && name.ptr[end] != 0) {             /* as name_read */
        size_t label = end;
        end += 1u + name.ptr[label];
        if (name.ptr[label] > LABEL_MAX_LEN || end >= NAME_MAX_LEN)
            return ERR_BAD;
        label_at[n++] = (uint8_t)label;         /* at most 127 fit into a name */
    }
    if (end >= name.len)
        return ERR_SHORT;
    if (end + 1 < name.len)
        return ERR_BAD;
    k->labels = (uint8_t)n;
    k->at[0] = 0;
    for (unsigned i = 0; i < n; i++) {
        size_t at = label_at[n - 1 - i] + 1u, len = name.ptr[at - 1];
        k->at[i + 1] = put_label(k, k->at[i], bytes_of(name.ptr + at, len), name.len - at - len);
    }
    return OK;
}

void rrkey_copy(struct rrkey *to, const struct rrkey *from, unsigned depth)
{
    memcpy(to->buf, from->buf, from->at[depth]);
    memcpy(to->at, from->at, (depth + 1) * sizeof from->at[0]);
    to->labels = (uint8_t)depth;
}

size_t rrkey_at(const struct rrkey *k, unsigned depth, uint16_t slot, uint8_t *out)
{
    size_t len = k->at[depth];
    memcpy(out, k->buf, len);
    out[len] = 0;
    out[len + 1] = (uint8_t)(slot >> 8);
    out[len + 2] = (uint8_t)slot;
    return len + 3;
}

static enum err put_key(const struct rrkey *k, unsigned from, uint16_t slot, struct wr *out)
{
    wr_put(out, k->buf + k->at[from], (size_t)(k->at[k->labels] - k->at[from]));
    wr_u8(out, 0);
    wr_u16(out, slot);
    return out->full ? ERR_NOSPACE : OK;
}

MUST_USE enum err rrkey_write(struct bytes name, uint16_t slot, struct wr *out)
{
    struct rrkey k;
    enum err err = rrkey_of_name(name, &k);
    return err != OK ? err : put_key(&k, 0, slot, out);
}

MUST_USE enum err rrkey_write_nsec3(struct bytes apex, const uint8_t hash[NSEC3_HASH_LEN], struct wr *out)
{
    size_t start = out->len;
    enum err err = rrkey_write(apex, TYPE_NSEC3, out);
    if (err != OK)
        return err;
    wr_put(out, hash, NSEC3_HASH_LEN);
    return out->full || out->len - start > RRKEY_SHADOW_MAX ? ERR_NOSPACE : OK;
}

MUST_USE enum err rrkey_write_shadow(struct bytes apex, struct bytes name, uint16_t slot, struct wr *out)
{
    struct rrkey ka, kn;
    enum err err;
    if ((err = rrkey_of_name(apex, &ka)) != OK || (err = rrkey_of_name(name, &kn)) != OK)
        return err;
    if (kn.labels <= ka.labels || kn.at[ka.labels] != ka.at[ka.labels] || memcmp(kn.buf, ka.buf, ka.at[ka.labels]) != 0)
        return ERR_BAD;
    if ((err = put_key(&ka, 0, RRSLOT_SHADOW, out)) != OK)
        return err;
    return put_key(&kn, ka.labels, slot, out);
}

/* --- reading ------------------------------------------------------------------------------------------------------ */
/* Labels with their terminator at the cursor. *name_len: what they take as a name, without the final 0. */
static enum err read_owner(struct rd *r, struct bytes *owner, unsigned *labels, size_t *name_len)
{
    const uint8_t *start = r->p;
    size_t label = 0, total = 0;
    unsigned n = 0;
    for (;;) {
        uint8_t c = rd_u8(r);
        if (r->bad)
            return ERR_SHORT;
        if (c == 0 && label == 0)
            break;
        if (c == 0) {
            total += label + 1;
            label = 0;
            n++;
            continue;
        }
        if (c == 1) {
            c = rd_u8(r);
            if (r->bad)
                return ERR_SHORT;
            if (c != 1 && c != 2)
                return ERR_BAD;
        } else if (c != name_lower_byte(c)) {
            return ERR_BAD;
        }
        if (++label > LABEL_MAX_LEN || total + label + 2 > NAME_MAX_LEN)
            return ERR_BAD;
    }
    *owner = bytes_of(start, (size_t)(r->p - start));
    *labels = n;
    *name_len = total;
    return OK;
}

/* What follows the slot of a shadow key: a relative key that together with its apex is a name. */
static enum err check_shadow(struct bytes rest, size_t apex_len)
{
    struct rd r = rd_over(rest);
    struct bytes owner;
    unsigned labels;
    size_t len;
    enum err err = read_owner(&r, &owner, &labels, &len);
    if (err != OK)
        return err;
    (void)rd_u16(&r);
    if (r.bad)
        return ERR_SHORT;
    return labels == 0 || apex_len + len + 1 > NAME_MAX_LEN || !rd_done(&r) ? ERR_BAD : OK;
}

MUST_USE enum err rrkey_split(struct bytes key, struct rrkey_parts *out)
{
    struct rd r = rd_over(key);
    struct rrkey_parts p = { 0 };
    size_t len;
    if (key.len > RRKEY_SHADOW_MAX)
        return ERR_BAD;
    enum err err = read_owner(&r, &p.owner, &p.labels, &len);
    if (err != OK)
        return err;
    p.slot = rd_u16(&r);
    if (r.bad)
        return ERR_SHORT;
    p.rest = rd_take(&r, rd_left(&r));
    if (p.slot == RRSLOT_SHADOW)
        err = check_shadow(p.rest, len);
    else if (p.slot == TYPE_NSEC3)
        err = p.rest.len == NSEC3_HASH_LEN ? OK : p.rest.len < NSEC3_HASH_LEN ? ERR_SHORT : ERR_BAD;
    else if (p.rest.len > 0)
        err = ERR_BAD;
    if (err == OK)
        *out = p;
    return err;
}

/* Puts the labels of a checked owner part in front of what stands at name->wire + *at (names grow towards the front). */
static void prepend_labels(struct bytes owner, uint8_t wire[NAME_MAX_LEN], size_t *at)
{
    struct rd r = rd_over(owner);
    uint8_t label[LABEL_MAX_LEN];
    size_t n = 0;
    for (;;) {
        uint8_t c = rd_u8(&r);
        if (c == 0 && n == 0)
            return;
        if (c == 0) {
            *at -= n + 1;
            wire[*at] = (uint8_t)n;
            memcpy(wire + *at + 1, label, n);
            n = 0;
        } else {
            label[n++] = c == 1 ? (uint8_t)(rd_u8(&r) - 1) : c;
        }
    }
}

MUST_USE enum err rrkey_name(struct bytes key, struct name *out, uint16_t *slot)
{
    struct rrkey_parts p;
    uint8_t wire[NAME_MAX_LEN];
    size_t at = NAME_MAX_LEN - 1;
    enum err err = rrkey_split(key, &p);
    if (err != OK)
        return err;
    wire[at] = 0;
    prepend_labels(p.owner, wire, &at);
    *slot = p.slot;
    if (p.slot == RRSLOT_SHADOW) {
        struct bytes inner_slot = bytes_of(p.rest.ptr + p.rest.len - 2, 2);
        struct rd r = rd_over(inner_slot);
        prepend_labels(bytes_of(p.rest.ptr, p.rest.len - 2), wire, &at);
        *slot = rd_u16(&r);
    }
    out->len = (uint8_t)(NAME_MAX_LEN - at);
    memcpy(out->wire, wire + at, out->len);
    return OK;
}

/* --- the query path ----------------------------------------------------------------------------------------------- */
static size_t common_bytes(const uint8_t *a, const uint8_t *b, size_t len)
{
    size_t i = 0;
    for (; i + 8 <= len; i += 8) {
        uint64_t x, y;
        memcpy(&x, a + i, 8);
        memcpy(&y, b + i, 8);
        if (x != y)
            break;
    }
    while (i < len && a[i] == b[i])
        i++;
    return i;
}

/* A label of k ends with the only 00 in it, and no label begins with one; so where the bytes are equal up to an end in k,
 * the key has the same end there, and what lies behind the key's own terminator cannot pass for a label. */
static unsigned whole_labels(const struct rrkey *k, size_t same)
{
    unsigned n = k->labels;
    while (k->at[n] > same)
        n--;
    return n;
}

unsigned rrkey_common(const struct rrkey *k, struct bytes key)
{
    size_t len = k->at[k->labels];
    return whole_labels(k, common_bytes(k->buf, key.ptr, len < key.len ? len : key.len));
}

int rrkey_compare(const struct rrkey *k, struct bytes labels, unsigned *common)
{
    size_t len = k->at[k->labels], least = len < labels.len ? len : labels.len;
    size_t same = common_bytes(k->buf, labels.ptr, least);
    *common = whole_labels(k, same);
    return same < least ? (int)k->buf[same] - (int)labels.ptr[same] : (len > least) - (labels.len > least);
}

size_t rrkey_beside(const struct rrkey *k, struct bytes key, unsigned *labels, unsigned *common)
{
    unsigned n = rrkey_common(k, key);
    size_t at = k->at[n];
    *common = n;
    for (; at < key.len && key.ptr[at] != 0; n++) {
        const uint8_t *end = memchr(key.ptr + at, 0, key.len - at);
        if (end == NULL)
            return 0;
        at = (size_t)(end - key.ptr) + 1;
    }
    *labels = n;
    return at + 3 <= key.len ? at + 1 : 0;
}

size_t rrkey_owner_len(struct bytes key)
{
    size_t at = 0;
    while (at < key.len && key.ptr[at] != 0) {
        const uint8_t *end = memchr(key.ptr + at, 0, key.len - at);
        if (end == NULL)
            return 0;
        at = (size_t)(end - key.ptr) + 1;
    }
    return at + 3 <= key.len ? at + 1 : 0;      /* terminator and a slot are there */
}

/* One label of an owner part from its byte `at` on; where the next one begins, 0: it is none. */
static size_t read_label(struct bytes owner, size_t at, uint8_t label[LABEL_MAX_LEN], size_t *len)
{
    const uint8_t *end = memchr(owner.ptr + at, 0, owner.len - at);
    size_t n = end != NULL ? (size_t)(end - owner.ptr) - at : 0;
    if (n > 0 && n <= LABEL_MAX_LEN && memchr(owner.ptr + at, 1, n) == NULL) {      /* nothing is escaped */
        memcpy(label, owner.ptr + at, n);
        *len = n;
        return at + n + 1;
    }
    n = 0;
    for (; at < owner.len && owner.ptr[at] != 0; at++) {
        uint8_t c = owner.ptr[at];
        if (c == 1 && ++at < owner.len)
            c = (uint8_t)(owner.ptr[at] - 1);
        if (n == LABEL_MAX_LEN)
            return 0;
        label[n++] = c;
    }
    *len = n;
    return at < owner.len ? at + 1 : 0;
}

size_t rrkey_owner_name(struct bytes owner, size_t from, uint8_t out[NAME_MAX_LEN])
{
    uint8_t wire[NAME_MAX_LEN], label[LABEL_MAX_LEN];
    size_t at = NAME_MAX_LEN - 1, n;            /* a name's final 0 stands behind it */
    while (from < owner.len && owner.ptr[from] != 0) {
        from = read_label(owner, from, label, &n);
        if (from == 0 || n + 1 > at)
            return 0;
        at -= n + 1;
        wire[at] = (uint8_t)n;
        memcpy(wire + at + 1, label, n);
    }
    n = NAME_MAX_LEN - 1 - at;
    memcpy(out, wire + at, n);
    return n;
}
