/* RDATA in wire form: of the types that ldns judges wrongly (it lets pass what no parameter list, prefix or PSDN address may
 * be, takes NSAP-PTR for a string, and refuses values and bitmaps that may be empty), and of those that most records have,
 * which need not wait for it; out of messages. */
#include "builder/rdata.h"

enum { MANDATORY = 0, ALPN = 1, NO_DEFAULT_ALPN = 2, PORT = 3, IPV4HINT = 4, IPV6HINT = 6, DOHPATH = 7 };

/* --- SVCB and HTTPS, RFC 9460 -------------------------------------------------------------------------------------- */
static bool has_param(struct bytes params, uint16_t key)
{
    struct rd r = rd_over(params);
    while (rd_left(&r) > 0) {
        if (rd_u16(&r) == key)
            return true;
        (void)rd_take(&r, rd_u16(&r));
    }
    return false;
}

/* Keys ascending, none twice, not "mandatory" itself, all of them there (section 8). */
static bool good_mandatory(struct bytes value, struct bytes params)
{
    struct rd r = rd_over(value);
    int before = MANDATORY;
    while (rd_left(&r) > 0) {
        uint16_t key = rd_u16(&r);
        if (r.bad || key <= before || !has_param(params, key))
            return false;
        before = key;
    }
    return value.len > 0;
}

static bool good_alpn(struct bytes value)
{
    struct rd r = rd_over(value);
    while (rd_left(&r) > 0)
        if (rd_take(&r, rd_u8(&r)).len == 0)
            return false;
    return value.len > 0 && !r.bad;
}

static bool good_param(uint16_t key, struct bytes value, struct bytes params)
{
    switch (key) {
    case MANDATORY:
        return good_mandatory(value, params);
    case ALPN:
        return good_alpn(value);
    case NO_DEFAULT_ALPN:
        return value.len == 0;
    case PORT:
        return value.len == 2;
    case IPV4HINT:
        return value.len > 0 && value.len % 4 == 0;
    case IPV6HINT:
        return value.len > 0 && value.len % 16 == 0;
    case DOHPATH:                               /* RFC 9461 section 5: a relative URI template with the variable "dns" */
        return value.len > 0 && value.ptr[0] == '/' && memmem(value.ptr, value.len, "dns", 3) != NULL;
    default:
        return true;
    }
}

static bool good_svcb(struct bytes rdata)
{
    struct rd r = rd_over(rdata);
    struct bytes name, params;
    int before = -1;
    (void)rd_u16(&r);
    if (r.bad || name_read(&r, &name) != OK)
        return false;
    params = bytes_of(r.p, rd_left(&r));
    while (rd_left(&r) > 0) {
        uint16_t key = rd_u16(&r);
        struct bytes value = rd_take(&r, rd_u16(&r));
        if (r.bad || key <= before || !good_param(key, value, params))
            return false;
        before = key;
    }
    return true;
}

/* --- others ---------------------------------------------------------------------------------------------------------- */
/* RFC 3123 section 4 */
static bool good_apl(struct bytes rdata)
{
    struct rd r = rd_over(rdata);
    while (rd_left(&r) > 0) {
        unsigned family = rd_u16(&r), prefix = rd_u8(&r), len = rd_u8(&r) & 0x7f;
        (void)rd_take(&r, len);
        if (r.bad || (family == 1 && (prefix > 32 || len > 4)) || (family == 2 && (prefix > 128 || len > 16)))
            return false;
    }
    return true;
}

/* RFC 1183 section 3.1: one string of at least four digits. */
static bool good_x25(struct bytes rdata)
{
    struct rd r = rd_over(rdata);
    struct bytes s = rd_take(&r, rd_u8(&r));
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
    return rd_done(&r) && s.len >= 4;
}

/* RFC 8659 section 4.1 */
static bool good_caa(struct bytes rdata)
{
    struct rd r = rd_over(rdata);
    (void)rd_u8(&r);
    struct bytes tag = rd_take(&r, rd_u8(&r));
    return !r.bad && tag.len > 0;
}

static bool good_nsap_ptr(struct bytes rdata)
{
    struct rd r = rd_over(rdata);
    struct bytes name;
    return name_read(&r, &name) == OK && rd_done(&r);
}

/* `skip` bytes, `names` names, `tail` bytes, nothing more. */
static bool good_names(struct bytes rdata, unsigned skip, unsigned names, unsigned tail)
{
    struct rd r = rd_over(rdata);
    struct bytes name;
    (void)rd_take(&r, skip);
    for (; names > 0; names--)
        if (name_read(&r, &name) != OK)
            return false;
    (void)rd_take(&r, tail);
    return rd_done(&r);
}

static bool good_strings(struct bytes rdata)
{
    struct rd r = rd_over(rdata);
    while (rd_left(&r) > 0)
        (void)rd_take(&r, rd_u8(&r));
    return rdata.len > 0 && !r.bad;
}

/* Of a signature; an empty one is left to ldns. */
static enum rdata_verdict judge_rrsig(struct bytes rdata)
{
    struct rd r = rd_over(rdata);
    struct bytes signer;
    (void)rd_take(&r, 18);
    if (r.bad || name_read(&r, &signer) != OK)
        return RDATA_WRONG;
    return rd_left(&r) > 0 ? RDATA_RIGHT : RDATA_UNSURE;
}

enum rdata_verdict rdata_wire(uint16_t type, struct bytes rdata)
{
    switch (type) {
    case TYPE_A:
        return rdata.len == 4 ? RDATA_RIGHT : RDATA_WRONG;
    case TYPE_AAAA:
        return rdata.len == 16 ? RDATA_RIGHT : RDATA_WRONG;
    case TYPE_NS: case TYPE_CNAME: case TYPE_PTR: case TYPE_DNAME:
        return good_names(rdata, 0, 1, 0) ? RDATA_RIGHT : RDATA_WRONG;
    case TYPE_SOA:
        return good_names(rdata, 0, 2, 20) ? RDATA_RIGHT : RDATA_WRONG;
    case TYPE_MX:
        return good_names(rdata, 2, 1, 0) ? RDATA_RIGHT : RDATA_WRONG;
    case TYPE_SRV:
        return good_names(rdata, 6, 1, 0) ? RDATA_RIGHT : RDATA_WRONG;
    case TYPE_TXT:
        return good_strings(rdata) ? RDATA_RIGHT : RDATA_WRONG;
    case TYPE_RRSIG:
        return judge_rrsig(rdata);
    case TYPE_SVCB: case TYPE_HTTPS:
        return good_svcb(rdata) ? RDATA_UNSURE : RDATA_WRONG;
    case TYPE_APL:
        return good_apl(rdata) ? RDATA_UNSURE : RDATA_WRONG;
    case TYPE_X25:
        return good_x25(rdata) ? RDATA_RIGHT : RDATA_WRONG;
    case TYPE_CAA:
        return good_caa(rdata) ? RDATA_RIGHT : RDATA_WRONG;
    case TYPE_URI:                              /* RFC 7553: the target may be empty */
        return rdata.len >= 4 ? RDATA_RIGHT : RDATA_WRONG;
    case TYPE_NSAP_PTR:
        return good_nsap_ptr(rdata) ? RDATA_RIGHT : RDATA_WRONG;
    case TYPE_CSYNC:                            /* RFC 7477: the bitmap may be empty */
        return rdata.len == 6 ? RDATA_RIGHT : RDATA_UNSURE;
    default:
        return RDATA_UNSURE;
    }
}

/* --- out of messages ------------------------------------------------------------------------------------------------ */
MUST_USE enum err rdata_unpack(uint16_t type, struct bytes rdata, struct bytes msg, struct wr *out)
{
    struct rd r = rd_over(rdata);
    struct rdata_shape shape;
    struct name name;
    size_t from = out->len;
    if (rrtype_shape(type, &shape)) {
        wr_bytes(out, rd_take(&r, shape.skip));
        for (unsigned i = 0; i < shape.strings; i++) {
            uint8_t len = rd_u8(&r);
            wr_u8(out, len);
            wr_bytes(out, rd_take(&r, len));
        }
        for (unsigned i = 0; i < shape.names; i++) {
            if (r.bad || name_unpack(&r, msg, &name) != OK)
                return ERR_BAD;
            wr_bytes(out, name_bytes(&name));
        }
    }
    wr_bytes(out, rd_take(&r, rd_left(&r)));
    return r.bad || out->full || out->len - from > RDATA_MAX ? ERR_BAD : OK;
}
