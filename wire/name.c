#include "wire/name.h"

MUST_USE enum err name_read(struct rd *r, struct bytes *out)
{
    size_t at = 0, left = rd_left(r);
    while (at < left && r->p[at] != 0) {
        uint8_t label = r->p[at];
        at += 1u + label;
        if (label > LABEL_MAX_LEN || at >= NAME_MAX_LEN) {
            rd_fail(r);
            return rd_err(r);
        }
    }
    *out = rd_take(r, at + 1);                  /* with the final 0, which may be missing */
    return r->bad ? rd_err(r) : OK;
}

MUST_USE enum err name_unpack(struct rd *r, struct bytes whole, struct name *out)
{
    struct rd at = *r;                          /* runs away from r with the first pointer */
    size_t below = (size_t)(r->p - whole.ptr);  /* the next pointer must lead before this */
    bool jumped = false;
    out->len = 0;
    for (;;) {
        size_t label = rd_u8(&at);
        if (!at.bad && label >= 0xc0) {
            size_t target = (label & 0x3f) << 8 | rd_u8(&at);
            if (!jumped && !at.bad)
                *r = at;
            if (at.bad || target >= below)
                break;
            jumped = true;
            below = target;
            at = rd_over(whole);
            (void)rd_take(&at, target);
            continue;
        }
        if (label > LABEL_MAX_LEN || out->len + 2 + label > NAME_MAX_LEN + (label == 0)) {
            rd_fail(&at);
            break;
        }
        struct bytes text = rd_take(&at, label);
        if (at.bad)
            break;
        out->wire[out->len++] = (uint8_t)label;
        if (label == 0) {
            if (!jumped)
                *r = at;
            return OK;
        }
        memcpy(out->wire + out->len, text.ptr, label);
        out->len = (uint8_t)(out->len + label);
    }
    if (at.bad && !at.wrong)
        r->bad = true;
    else
        rd_fail(r);
    return rd_err(r);
}

/* Length bytes are at most 63, below 'A', so whole names can be lowered and compared byte by byte. */
void name_lower(uint8_t *wire, size_t len)
{
    for (size_t i = 0; i < len; i++)
        wire[i] = name_lower_byte(wire[i]);
}

bool name_is_lower(struct bytes name)
{
    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] >= 'A' && name.ptr[i] <= 'Z')
            return false;
    return true;
}

/* The next label of a name without its length byte; empty: the end. */
static struct bytes next_label(struct rd *r)
{
    return rd_take(r, rd_u8(r));
}

unsigned name_labels(struct bytes name)
{
    struct rd r = rd_over(name);
    unsigned n = 0;
    while (next_label(&r).len > 0)
        n++;
    return n;
}

static bool same_bytes(const uint8_t *a, const uint8_t *b, size_t len)
{
    size_t i = 0;
    for (; i + 8 <= len; i += 8) {
        uint64_t x, y;
        memcpy(&x, a + i, 8);
        memcpy(&y, b + i, 8);
        if (x != y && name_lower8(x) != name_lower8(y))
            return false;
    }
    for (; i < len; i++)
        if (name_lower_byte(a[i]) != name_lower_byte(b[i]))
            return false;
    return true;
}

bool name_equal(struct bytes a, struct bytes b)
{
    return a.len == b.len && same_bytes(a.ptr, b.ptr, a.len);
}

bool name_under(struct bytes name, struct bytes ancestor)
{
    struct rd r = rd_over(name);
    while (rd_left(&r) > ancestor.len)
        if (next_label(&r).len == 0)
            return false;
    return rd_left(&r) == ancestor.len && same_bytes(r.p, ancestor.ptr, ancestor.len);
}

struct bytes name_parent(struct bytes name)
{
    struct rd r = rd_over(name);
    if (next_label(&r).len == 0)
        return name;
    return rd_take(&r, rd_left(&r));
}

bool name_is_wildcard(struct bytes name)
{
    return name.len >= 3 && name.ptr[0] == 1 && name.ptr[1] == '*';
}

/* Labels in order of the wire; how many. */
static unsigned split(struct bytes name, struct bytes label[NAME_LABELS_MAX])
{
    struct rd r = rd_over(name);
    unsigned n = 0;
    for (; n < NAME_LABELS_MAX; n++) {
        label[n] = next_label(&r);
        if (label[n].len == 0)
            break;
    }
    return n;
}

static int label_compare(struct bytes a, struct bytes b)
{
    for (size_t i = 0; i < a.len && i < b.len; i++) {
        int c = name_lower_byte(a.ptr[i]) - name_lower_byte(b.ptr[i]);
        if (c != 0)
            return c;
    }
    return (a.len > b.len) - (a.len < b.len);
}

int name_compare(struct bytes a, struct bytes b)
{
    struct bytes la[NAME_LABELS_MAX], lb[NAME_LABELS_MAX];
    unsigned na = split(a, la), nb = split(b, lb);
    for (unsigned i = 1; i <= na && i <= nb; i++) {
        int c = label_compare(la[na - i], lb[nb - i]);
        if (c != 0)
            return c;
    }
    return (na > nb) - (na < nb);
}

MUST_USE enum err name_join(struct bytes prefix, struct bytes name, struct name *out)
{
    if (prefix.len + name.len > NAME_MAX_LEN)
        return ERR_LIMIT;
    struct wr w = wr_over(out->wire, sizeof out->wire);
    wr_bytes(&w, prefix);
    wr_bytes(&w, name);
    out->len = (uint8_t)w.len;
    return OK;
}
