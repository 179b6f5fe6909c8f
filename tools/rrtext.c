#include "tools/rrtext.h"

#include "base/text.h"
#include "builder/zonefile.h"
#include "rrset/rrkey.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <ldns/ldns.h>
#include <stdlib.h>
#include <time.h>

/* --- types and slots --------------------------------------------------------------------------------------------- */
const char *type_text(char out[TYPE_TEXT_MAX], uint16_t type)
{
    switch (type) {     /* the most common ones without a search */
    case TYPE_A: return "A";
    case TYPE_AAAA: return "AAAA";
    case TYPE_NS: return "NS";
    case TYPE_CNAME: return "CNAME";
    }
    const ldns_rr_descriptor *d = ldns_rr_descript(type);
    if (d != NULL && d->_name != NULL && (uint16_t)d->_type == type && !rrtype_is_meta(type))
        (void)snprintf(out, TYPE_TEXT_MAX, "%s", d->_name);
    else
        (void)snprintf(out, TYPE_TEXT_MAX, "TYPE%u", type);
    return out;
}

const char *slot_text(char out[TYPE_TEXT_MAX], uint16_t slot)
{
    switch (slot) {
    case RRSLOT_ADDRESS: return "address";
    case RRSLOT_ZONE: return "zone-header";
    case RRSLOT_PARENT_NS: return "parent-ns";
    case RRSLOT_PARENT_NSEC: return "parent-nsec";
    case RRSLOT_SHADOW: return "shadow";
    default: return type_text(out, slot);
    }
}

MUST_USE enum err type_from_text(const char *text, uint16_t *out)
{
    uint64_t n;
    if (strncasecmp(text, "TYPE", 4) == 0 && text_number(text + 4, UINT16_MAX, &n) == OK) {
        *out = (uint16_t)n;
        return OK;
    }
    ldns_rr_type t = ldns_get_rr_type_by_name(text);
    if (t == 0 || (unsigned)t > UINT16_MAX)
        return ERR_BAD;
    *out = (uint16_t)t;
    return OK;
}

/* --- records ----------------------------------------------------------------------------------------------------- */
static void put_text(struct wr *w, const char *text) { wr_put(w, text, strlen(text)); }

static void put_number(struct wr *w, uint64_t v)
{
    char digits[24];
    size_t at = sizeof digits;
    do
        digits[--at] = (char)('0' + v % 10);
    while ((v /= 10) > 0);
    wr_put(w, digits + at, sizeof digits - at);
}

static void put_name(struct wr *w, struct rd *r)
{
    char text[NAME_TEXT_MAX];
    struct bytes name;
    if (name_read(r, &name) == OK)
        put_text(w, name_text(text, sizeof text, name));
    else
        rd_fail(r);
}

static void put_address(struct wr *w, struct rd *r, int family)
{
    char text[INET6_ADDRSTRLEN];
    struct bytes b = rd_take(r, family == AF_INET ? 4 : 16);
    if (r->bad)
        return;
    if (family == AF_INET) {
        for (size_t i = 0; i < 4; i++) {
            put_number(w, b.ptr[i]);
            if (i < 3)
                wr_u8(w, '.');
        }
    } else if (inet_ntop(AF_INET6, b.ptr, text, sizeof text) != NULL) {
        put_text(w, text);
    }
}

/* One <character-string> in quotes, RFC 1035 section 5.1. */
static void put_string(struct wr *w, struct rd *r)
{
    struct bytes s = rd_take(r, rd_u8(r));
    wr_u8(w, '"');
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];
        if (c < 0x20 || c > 0x7e) {
            const uint8_t code[4] = { '\\', (uint8_t)('0' + c / 100), (uint8_t)('0' + c / 10 % 10),
                                      (uint8_t)('0' + c % 10) };
            wr_put(w, code, sizeof code);
            continue;
        }
        if (c == '"' || c == '\\')
            wr_u8(w, '\\');
        wr_u8(w, c);
    }
    wr_u8(w, '"');
}

/* RDATA whose layout is this string, element by element: n name, 1 2 4 numbers of that width, a A, q AAAA,
 * t one or more character-strings up to the end. */
static const char *layout_of(uint16_t type)
{
    switch (type) {
    case TYPE_A: return "a";
    case TYPE_AAAA: return "q";
    case TYPE_NS: case TYPE_CNAME: case TYPE_PTR: case TYPE_DNAME: return "n";
    case TYPE_MX: return "2n";
    case TYPE_SOA: return "nn44444";
    case TYPE_SRV: return "222n";
    case TYPE_TXT: return "t";
    default: return NULL;
    }
}

/* false: not of this layout (ldns then prints it, as RFC 3597 if it must). */
static bool put_layout(struct wr *w, struct bytes rdata, const char *layout)
{
    struct rd r = rd_over(rdata);
    for (const char *l = layout; *l != '\0' && !r.bad; l++) {
        if (l > layout)
            wr_u8(w, ' ');
        switch (*l) {
        case 'n': put_name(w, &r); break;
        case '2': put_number(w, rd_u16(&r)); break;
        case '4': put_number(w, rd_u32(&r)); break;
        case 'a': put_address(w, &r, AF_INET); break;
        case 'q': put_address(w, &r, AF_INET6); break;
        case 't':
            put_string(w, &r);
            while (!r.bad && !rd_done(&r)) {
                wr_u8(w, ' ');
                put_string(w, &r);
            }
        }
    }
    return rd_done(&r);
}

static void put_owner(struct wr *w, struct rr_text *t, struct bytes owner)
{
    if (!bytes_equal(owner, bytes_of(t->owner, t->owner_len))) {
        t->owner_len = owner.len <= sizeof t->owner ? owner.len : 0;
        memcpy(t->owner, owner.ptr, t->owner_len);
        (void)name_text(t->owner_text, sizeof t->owner_text, owner);
        t->owner_text_len = strlen(t->owner_text);
    }
    wr_put(w, t->owner_text, t->owner_text_len);
}

/* The line by our own path, and where its RDATA begins; false: not one of our types. */
static bool fast_line(struct rr_text *t, const struct zone_rr *rr, struct wr *w, size_t *rdata_at)
{
    char type[TYPE_TEXT_MAX];
    const char *layout = layout_of(rr->type);
    if (layout == NULL)
        return false;
    put_owner(w, t, rr->owner);
    wr_u8(w, ' ');
    put_number(w, rr->ttl);
    wr_put(w, " IN ", 4);
    put_text(w, type_text(type, rr->type));
    wr_u8(w, ' ');
    *rdata_at = w->len;
    return put_layout(w, rr->rdata, layout);
}

MUST_USE enum err rr_text_line(struct rr_text *t, const struct zone_rr *rr, char *out, size_t cap, size_t *len,
                               struct fault *fault)
{
    struct wr w = wr_over(out, cap);
    size_t rdata_at = 0;
    enum err err;
    if (fast_line(t, rr, &w, &rdata_at)) {
        wr_u8(&w, 0);
        if (w.full)
            return ERR_NOSPACE;
        *len = w.len - 1;
        return OK;
    }
    if ((err = rr_to_text(rr, out, cap, fault)) != OK)
        return err;
    for (char *c = out; (c = strchr(c, '\t')) != NULL; c++)
        *c = ' ';               /* ldns separates by tabs; in strings it escapes them */
    *len = strlen(out);
    return OK;
}

MUST_USE enum err rr_text_rdata(struct rr_text *t, const struct zone_rr *rr, char *out, size_t cap, const char **rdata,
                                struct fault *fault)
{
    struct wr w = wr_over(out, cap);
    size_t at = 0;
    enum err err;
    if (fast_line(t, rr, &w, &at)) {
        wr_u8(&w, 0);
        *rdata = out + at;
        return w.full ? ERR_NOSPACE : OK;
    }
    if ((err = rr_to_text(rr, out, cap, fault)) != OK)
        return err;
    const char *p = out;        /* behind owner, TTL, class and type; an owner's spaces are escaped as \032 */
    for (int field = 0; field < 4; field++) {
        p += strcspn(p, " \t");
        p += strspn(p, " \t");
    }
    *rdata = p;
    return OK;
}

/* --- keys -------------------------------------------------------------------------------------------------------- */
static bool printable(struct bytes key)
{
    for (size_t i = 0; i < key.len; i++)
        if (key.ptr[i] <= 0x20 || key.ptr[i] >= 0x7f || key.ptr[i] == '"' || key.ptr[i] == '\\')
            return false;
    return key.len > 0;
}

static const char *plain_key_text(char *out, size_t cap, struct bytes key)
{
    if (printable(key)) {
        (void)snprintf(out, cap, "\"%.*s\"", (int)key.len, (const char *)key.ptr);
        return out;
    }
    (void)snprintf(out, cap, "0x");
    return cap > 2 && text_hex(out + 2, cap - 2, key)[0] != '\0' ? out : "(key too long)";
}

const char *key_text(char *out, size_t cap, struct bytes ns, struct bytes key)
{
    struct rrkey_parts parts;
    struct name owner, inner;
    uint16_t slot, inner_slot;
    char name[NAME_TEXT_MAX], below[NAME_TEXT_MAX], type[TYPE_TEXT_MAX], type2[TYPE_TEXT_MAX];
    if (!bytes_equal(ns, bytes_of_text("dns")) || rrkey_split(key, &parts) != OK)
        return plain_key_text(out, cap, key);
    uint8_t plain[RRKEY_MAX];           /* the key without what follows the slot: the owner's own */
    struct wr w = wr_over(plain, sizeof plain);
    wr_bytes(&w, parts.owner);
    wr_u16(&w, RRSLOT_ADDRESS);
    if (w.full || rrkey_name(wr_done(&w), &owner, &slot) != OK)
        return plain_key_text(out, cap, key);
    (void)name_text(name, sizeof name, name_bytes(&owner));
    if (parts.slot == RRSLOT_SHADOW && rrkey_name(key, &inner, &inner_slot) == OK)
        (void)snprintf(out, cap, "%s/shadow/%s/%s", name, name_text(below, sizeof below, name_bytes(&inner)),
                       slot_text(type, inner_slot));
    else if (parts.rest.len == NSEC3_HASH_LEN)
        (void)snprintf(out, cap, "%s/%s/%s", name, slot_text(type, parts.slot),
                       text_hex(below, sizeof below, parts.rest));
    else
        (void)snprintf(out, cap, "%s/%s", name, slot_text(type2, parts.slot));
    return out;
}

json_t *json_key(struct bytes ns, struct bytes key)
{
    char text[KEY_TEXT_MAX];
    if (bytes_equal(ns, bytes_of_text("dns")))
        return json_string(key_text(text, sizeof text, ns, key));
    return printable(key) ? json_stringn((const char *)key.ptr, key.len) : json_null();
}

/* --- the rest ---------------------------------------------------------------------------------------------------- */
const char *time_text(char out[TIME_TEXT_MAX], uint64_t wall_ms)
{
    time_t s = (time_t)(wall_ms / 1000);
    struct tm tm;
    if (gmtime_r(&s, &tm) == NULL || tm.tm_year > 9999 - 1900) {
        (void)snprintf(out, TIME_TEXT_MAX, "%" PRIu64 "ms", wall_ms);
    } else {
        size_t at = strftime(out, TIME_TEXT_MAX - 6, "%Y-%m-%dT%H:%M:%S", &tm);
        (void)snprintf(out + at, TIME_TEXT_MAX - at, ".%03uZ", (unsigned)(wall_ms % 1000));
    }
    return out;
}

void print_hex(FILE *to, struct bytes b)
{
    char text[2 * 512 + 1];
    for (size_t at = 0; at < b.len; at += 512) {
        size_t n = b.len - at < 512 ? b.len - at : 512;
        (void)fputs(text_hex(text, sizeof text, bytes_of(b.ptr + at, n)), to);
    }
}

json_t *json_hex(struct bytes b)
{
    char *text = malloc(2 * b.len + 1);
    json_t *v = text == NULL ? NULL : json_string(text_hex(text, 2 * b.len + 1, b));
    free(text);
    return v;
}

json_t *json_words(const char *text)
{
    json_t *v = json_string(text);
    if (v != NULL)
        return v;
    char *copy = strdup(text);
    for (char *c = copy; c != NULL && *c != '\0'; c++)
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    v = copy != NULL ? json_string(copy) : NULL;
    free(copy);
    return v;
}

MUST_USE enum err json_line(json_t *v)
{
    int rc = v == NULL ? -1 : json_dumpf(v, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
    json_decref(v);
    if (rc != 0)
        return ERR_NOMEM;
    (void)putchar('\n');
    return OK;
}
