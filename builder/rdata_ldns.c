/* RDATA of all other types by ldns. ldns is lax (it wraps numbers, pads odd hex digits), so each word is checked against
 * ldns' own description of the type first, names are made absolute, strings are written anew, and ldns sees one clean
 * line. Its memory is given back before return. */
#include "builder/rdata.h"

#include <ldns/ldns.h>
#include "builder/words.h"

#include <stdlib.h>

#define TYPE_NULL 10
#define TYPE_HIP 55
#define TYPE_CSYNC 62
#define AT_MOST 2               /* no type has more names in fields of their own */

struct line { char *text; size_t len, cap; bool failed; };

static void put(struct line *l, const char *text, size_t n)
{
    if (l->failed)
        return;
    if (l->cap - l->len <= n) {
        size_t cap = l->cap * 2 + n + 1;
        char *grown = realloc(l->text, cap);
        if (grown == NULL) {
            l->failed = true;
            return;
        }
        l->text = grown;
        l->cap = cap;
    }
    memcpy(l->text + l->len, text, n);
    l->len += n;
    l->text[l->len] = '\0';
}

static void put_text(struct line *l, const char *text) { put(l, text, strlen(text)); }

static const char *put_name(struct line *l, const struct token *word, struct bytes origin)
{
    struct name name;
    char text[NAME_TEXT_MAX];
    const char *why = word_name(word, origin, false, &name);
    if (why == NULL)
        put_text(l, name_text(text, sizeof text, name_bytes(&name)));
    return why;
}

/* A string between quotes, each byte in its plainest form. */
static const char *put_string(struct line *l, const struct token *word, size_t most)
{
    const uint8_t *p = word->text.ptr, *end = p + word->text.len;
    size_t len = 0;
    put(l, "\"", 1);
    for (bool literal; p < end; len++) {
        uint8_t c = word->quoted && *p != '\\' ? *p++ : scan_char(&p, &literal);
        char form[5] = { (char)c };
        if (c == '"' || c == '\\')
            snprintf(form, sizeof form, "\\%c", c);
        else if (c < 0x20 || c > 0x7e)
            snprintf(form, sizeof form, "\\%03u", c);
        put_text(l, form);
    }
    put(l, "\"", 1);
    return len > most ? "string is over 255 bytes long" : NULL;
}

static bool all_digits(const struct token *t)
{
    for (size_t i = 0; i < t->text.len; i++)
        if (t->text.ptr[i] < '0' || t->text.ptr[i] > '9')
            return false;
    return t->text.len > 0;
}

static bool type_name(const struct token *t)
{
    uint16_t type;
    const char *why = word_type(t, &type);
    return why == NULL || strcmp(why, "no zone may hold this type") == 0;
}

static const char *check_number(const struct token *word, uint32_t max)
{
    uint32_t v;
    return word_number(word, max, &v);
}

/* A word of a field that ldns reads as one word. NULL: fine. */
static const char *check_field(ldns_rdf_type field, const struct token *word)
{
    uint32_t v;
    switch (field) {
    case LDNS_RDF_TYPE_INT8:
        return check_number(word, UINT8_MAX);
    case LDNS_RDF_TYPE_INT16:
        return check_number(word, UINT16_MAX);
    case LDNS_RDF_TYPE_INT32:
        return check_number(word, UINT32_MAX);
    case LDNS_RDF_TYPE_ALG: case LDNS_RDF_TYPE_CERTIFICATE_USAGE: case LDNS_RDF_TYPE_SELECTOR:
    case LDNS_RDF_TYPE_MATCHING_TYPE:
        return all_digits(word) ? check_number(word, UINT8_MAX) : NULL;
    case LDNS_RDF_TYPE_CERT_ALG:
        return all_digits(word) ? check_number(word, UINT16_MAX) : NULL;
    case LDNS_RDF_TYPE_PERIOD:
        return word_period(word, &v);
    case LDNS_RDF_TYPE_TIME:
        if (!all_digits(word) || (word->text.len != 14 && word_number(word, UINT32_MAX, &v) != NULL))
            return "not a time";
        return NULL;
    case LDNS_RDF_TYPE_TYPE:
        return type_name(word) ? NULL : "not a type";
    case LDNS_RDF_TYPE_TAG:
        return word->text.len > 255 ? "tag is over 255 bytes long" : NULL;
    default:
        return NULL;
    }
}

/* Fields that take all words up to the end of the RDATA. */
static bool is_tail(ldns_rdf_type field)
{
    switch (field) {
    case LDNS_RDF_TYPE_APL: case LDNS_RDF_TYPE_B64: case LDNS_RDF_TYPE_HEX: case LDNS_RDF_TYPE_NSEC:
    case LDNS_RDF_TYPE_UNKNOWN: case LDNS_RDF_TYPE_HIP: case LDNS_RDF_TYPE_LOC: case LDNS_RDF_TYPE_WKS:
    case LDNS_RDF_TYPE_NSAP: case LDNS_RDF_TYPE_ATMA: case LDNS_RDF_TYPE_SVCPARAMS:
        return true;
    default:
        return false;
    }
}

struct fields {
    const ldns_rr_descriptor *type;
    uint16_t number;
    size_t i;                   /* words so far */
    ldns_rdf_type tail;         /* of the words from here on; NONE: not there yet */
    size_t hex;                 /* digits of a HEX tail */
    struct bytes origin;
    struct name at[AT_MOST];    /* names that begin with an @, which ldns takes for the origin, also when it is escaped */
    size_t at_field[AT_MOST], at_n;
};

/* ldns takes a port modulo 65,536. */
static const char *check_port(const struct token *word)
{
    struct token value = *word;
    uint32_t port;
    if (word->text.len < 5 || memcmp(word->text.ptr, "port=", 5) != 0)
        return NULL;
    value.text = bytes_of(word->text.ptr + 5, word->text.len - 5);
    if (value.text.len >= 2 && value.text.ptr[0] == '"')
        value.text = bytes_of(value.text.ptr + 1, value.text.len - 2);
    return word_number(&value, UINT16_MAX, &port);
}

static const char *put_tail(struct line *l, struct fields *f, const struct token *word)
{
    if (word->quoted)
        return "a quoted string has no place here";
    if (f->number == TYPE_HIP && f->i >= 3)                     /* rendezvous servers, inside a field of ldns */
        return put_name(l, word, f->origin);
    if (word->escaped && f->tail != LDNS_RDF_TYPE_SVCPARAMS)
        return "an escape has no place here";
    if (f->tail == LDNS_RDF_TYPE_NSEC && !type_name(word))
        return "not a type";
    const char *why = f->tail == LDNS_RDF_TYPE_SVCPARAMS ? check_port(word) : NULL;
    if (why != NULL)
        return why;
    if (f->tail == LDNS_RDF_TYPE_HEX)
        f->hex += word->text.len;
    put(l, (const char *)word->text.ptr, word->text.len);
    return NULL;
}

/* A name in a field of its own. */
static const char *put_name_field(struct line *l, struct fields *f, const struct token *word)
{
    struct name *name = &f->at[f->at_n];
    if (f->at_n == AT_MOST || word_name(word, f->origin, false, name) != NULL || name->wire[0] == 0 || name->wire[1] != '@')
        return put_name(l, word, f->origin);
    f->at_field[f->at_n++] = f->i;
    put_text(l, ".");
    return NULL;
}

static const char *put_word(struct line *l, struct fields *f, const struct token *word)
{
    const char *why = NULL;
    ldns_rdf_type field = f->tail;
    put(l, " ", 1);
    if (field == LDNS_RDF_TYPE_NONE) {
        bool more = f->i < ldns_rr_descriptor_maximum(f->type) || f->type->_variable != LDNS_RDF_TYPE_NONE;
        field = more ? ldns_rr_descriptor_field_type(f->type, f->i) : LDNS_RDF_TYPE_NONE;
        if (!more)
            return "too many words";
        if (is_tail(field))
            f->tail = field;
    }
    if (f->tail != LDNS_RDF_TYPE_NONE) {
        why = put_tail(l, f, word);
    } else if (field == LDNS_RDF_TYPE_DNAME) {
        why = put_name_field(l, f, word);
    } else if (field == LDNS_RDF_TYPE_STR || field == LDNS_RDF_TYPE_LONG_STR) {
        why = put_string(l, word, field == LDNS_RDF_TYPE_STR ? 255 : RDATA_MAX);
    } else {
        why = word->quoted ? "a quoted string has no place here" : word->escaped ? "an escape has no place here"
                                                                                 : check_field(field, word);
        put(l, (const char *)word->text.ptr, word->text.len);
    }
    f->i++;
    return why;
}

/* RDATA of rr to wire form. */
static enum err to_wire(const ldns_rr *rr, struct wr *out, struct fault *why)
{
    enum err err = OK;
    ldns_buffer *buf = ldns_buffer_new(512);
    if (buf == NULL)
        return ERR_NOMEM;
    if (ldns_rr_rdata2buffer_wire(buf, rr) != LDNS_STATUS_OK || ldns_buffer_position(buf) > RDATA_MAX)
        err = fault_set(why, ERR_BAD, "RDATA is too long");
    else
        wr_put(out, ldns_buffer_begin(buf), ldns_buffer_position(buf));
    ldns_buffer_free(buf);
    return err != OK ? err : out->full ? fault_set(why, ERR_BAD, "RDATA is too long") : OK;
}

/* The names that ldns was not shown take their places. */
static enum err put_back(ldns_rr *rr, const struct fields *f)
{
    for (size_t i = 0; i < f->at_n; i++) {
        ldns_rdf *name = ldns_rdf_new_frm_data(LDNS_RDF_TYPE_DNAME, f->at[i].len, f->at[i].wire);
        if (name == NULL)
            return ERR_NOMEM;
        ldns_rdf_deep_free(ldns_rr_set_rdf(rr, name, f->at_field[i]));
    }
    return OK;
}

static enum err by_ldns(const char *text, const struct fields *f, struct wr *out, struct fault *why)
{
    uint16_t type = f->number;
    ldns_rr *rr = NULL;
    size_t from = out->len;
    ldns_status status = ldns_rr_new_frm_str(&rr, text, 0, NULL, NULL);
    if (status != LDNS_STATUS_OK || rr == NULL)
        return fault_set(why, ERR_BAD, "%s", ldns_get_errorstr_by_id(status));
    enum err err = (uint16_t)ldns_rr_get_type(rr) == type ? put_back(rr, f)
                                                          : fault_set(why, ERR_BAD, "not understood by ldns");
    if (err == OK)
        err = to_wire(rr, out, why);
    ldns_rr_free(rr);
    return err != OK ? err : rdata_check(type, bytes_of(out->buf + from, out->len - from), why);
}

static enum err read_words(struct scan *s, enum scan_got got, const struct token *first, struct line *l,
                           struct fields *f, struct fault *why)
{
    struct token word;
    if (got == SCAN_WORD)
        word = *first;
    for (; got == SCAN_WORD; got = scan_word(s, f->number == TYPE_SVCB || f->number == TYPE_HTTPS, &word)) {
        const char *reason = put_word(l, f, &word);
        if (reason != NULL)
            return fault_set(why, ERR_BAD, "%s: '%.*s'", reason, (int)(word.text.len < 40 ? word.text.len : 40),
                             (const char *)word.text.ptr);
        if (l->failed)
            return ERR_NOMEM;
    }
    if (got == SCAN_ERROR)
        return fault_set(why, ERR_BAD, "%s", s->problem);
    if (f->hex % 2 != 0)
        return fault_set(why, ERR_BAD, "odd number of hex digits");
    if (f->number == TYPE_CSYNC && f->i == 2)                   /* no types: nothing is to be copied (RFC 7477) */
        return OK;
    return f->i < ldns_rr_descriptor_minimum(f->type) ? fault_set(why, ERR_BAD, "RDATA ends too early") : OK;
}

static const ldns_rr_descriptor *describe(uint16_t type)
{
    const ldns_rr_descriptor *d = ldns_rr_descript(type);
    return d != NULL && (uint16_t)d->_type == type && d->_name != NULL ? d : NULL;
}

enum err rdata_scan_ldns(struct scan *s, enum scan_got got, const struct token *first, uint16_t type,
                         struct bytes origin, struct wr *out, struct fault *why)
{
    struct fields f = { .type = describe(type), .number = type, .tail = LDNS_RDF_TYPE_NONE, .origin = origin };
    struct line l = { 0 };
    if (f.type == NULL || type == TYPE_NULL)                    /* NULL has no text form (RFC 1035) */
        return fault_set(why, ERR_BAD, "RDATA of this type must be given as \\# LENGTH HEX");
    put_text(&l, ". 0 IN ");
    put_text(&l, f.type->_name);
    enum err err = read_words(s, got, first, &l, &f, why);
    bool empty_csync = type == TYPE_CSYNC && f.i == 2;          /* ldns wants one type at least: its bitmap is cut off again */
    if (empty_csync)
        put_text(&l, " A");
    if (err == OK)
        err = l.failed ? ERR_NOMEM : by_ldns(l.text, &f, out, why);
    if (err == OK && empty_csync)
        out->len -= 3;
    free(l.text);
    return err;
}

/* The record as ldns reads it from wire form, its RDATA given back byte for byte; NULL: not RDATA of this type. */
static ldns_rr *rr_of_wire(struct bytes owner, uint16_t type, uint32_t ttl, struct bytes rdata)
{
    uint8_t *buf = malloc(owner.len + 10 + rdata.len);
    ldns_rr *rr = NULL;
    size_t pos = 0;
    if (buf == NULL)
        return NULL;
    struct wr w = wr_over(buf, owner.len + 10 + rdata.len);
    wr_bytes(&w, owner);
    wr_u16(&w, type);
    wr_u16(&w, CLASS_IN);
    wr_u32(&w, ttl);
    wr_u16(&w, (uint16_t)rdata.len);
    wr_bytes(&w, rdata);
    if (ldns_wire2rr(&rr, buf, w.len, &pos, LDNS_SECTION_ANSWER) != LDNS_STATUS_OK || pos != w.len) {
        ldns_rr_free(rr);
        rr = NULL;
    }
    free(buf);
    return rr;
}

enum err rdata_check(uint16_t type, struct bytes rdata, struct fault *why)
{
    static const uint8_t root[1] = { 0 };
    if (rdata.len > RDATA_MAX)
        return fault_set(why, ERR_BAD, "RDATA is too long");
    const ldns_rr_descriptor *d = describe(type);
    enum rdata_verdict verdict = rdata_wire(type, rdata);
    if (verdict == RDATA_WRONG)
        return fault_set(why, ERR_BAD, "not RDATA of this type");
    if (verdict == RDATA_RIGHT || d == NULL || type == TYPE_NULL)
        return OK;
    ldns_rr *rr = rr_of_wire(bytes_of(root, 1), type, 0, rdata);
    uint8_t *again = malloc(rdata.len + 1);
    struct wr w = wr_over(again, rdata.len + 1);
    bool same = rr != NULL && again != NULL && ldns_rr_rd_count(rr) >= ldns_rr_descriptor_minimum(d) &&
                to_wire(rr, &w, NULL) == OK && bytes_equal(wr_done(&w), rdata);
    ldns_rr_free(rr);
    free(again);
    return same ? OK : fault_set(why, ERR_BAD, "not RDATA of this type");
}
