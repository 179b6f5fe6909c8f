/* Records as zone-file lines, by ldns. What ldns prints is read back and compared: where that does not give the same
 * bytes (or ldns does not know the type) the form of RFC 3597 is written, so a dump never loses anything. */
#include "builder/zonefile.h"

#include <ldns/ldns.h>
#include "builder/rdata.h"
#include "builder/words.h"

#include <stdlib.h>

const char *rrtype_text(char out[RRTYPE_TEXT_MAX], uint16_t type)
{
    const ldns_rr_descriptor *d = ldns_rr_descript(type);
    if (d != NULL && d->_name != NULL && (uint16_t)d->_type == type && !rrtype_is_meta(type))
        (void)snprintf(out, RRTYPE_TEXT_MAX, "%s", d->_name);
    else
        (void)snprintf(out, RRTYPE_TEXT_MAX, "TYPE%u", type);
    return out;
}

enum err rrtype_from_text(struct bytes text, uint16_t *out)
{
    const struct token word = { .text = text };
    return text.len > 0 && word_type(&word, out) == NULL ? OK : ERR_BAD;
}

static ldns_rr *to_rr(const struct zone_rr *in)
{
    uint8_t head[10];
    struct wr h = wr_over(head, sizeof head);
    wr_u16(&h, in->type);
    wr_u16(&h, CLASS_IN);
    wr_u32(&h, in->ttl);
    wr_u16(&h, (uint16_t)in->rdata.len);
    size_t len = 1 + sizeof head + in->rdata.len, pos = 0;
    uint8_t *buf = calloc(1, len);                              /* the root as owner: RDATA is all we want */
    ldns_rr *rr = NULL;
    if (buf == NULL)
        return NULL;
    struct wr w = wr_over(buf + 1, len - 1);
    wr_bytes(&w, wr_done(&h));
    wr_bytes(&w, in->rdata);
    if (ldns_wire2rr(&rr, buf, len, &pos, LDNS_SECTION_ANSWER) != LDNS_STATUS_OK) {
        ldns_rr_free(rr);
        rr = NULL;
    }
    free(buf);
    return rr;
}

static bool reads_back(const struct zone_rr *in, const char *rdata)
{
    static const uint8_t root[1] = { 0 };
    uint8_t *again = malloc(RDATA_MAX);
    if (again == NULL)
        return false;
    struct wr w = wr_over(again, RDATA_MAX);
    bool same = rdata_from_text(in->type, bytes_of_text(rdata), bytes_of(root, 1), &w, NULL) == OK &&
                bytes_equal(wr_done(&w), in->rdata);
    free(again);
    return same;
}

/* "TYPE RDATA" as ldns writes it, without newline; malloc'ed. NULL: it cannot. */
static char *by_ldns(const struct zone_rr *in)
{
    ldns_rr *rr = to_rr(in);
    char *line = rr == NULL ? NULL : ldns_rr2str_fmt(ldns_output_format_nocomments, rr), *type = line, *rdata;
    char *kept = NULL;
    ldns_rr_free(rr);
    for (int i = 0; i < 3 && type != NULL; i++)                 /* owner, TTL, class */
        type = (type = strchr(type, '\t')) == NULL ? NULL : type + 1;
    if (type != NULL && (rdata = strchr(type, '\t')) != NULL) {
        rdata[strcspn(rdata, "\n")] = '\0';
        for (size_t n = strlen(rdata); n > 0 && rdata[n - 1] == ' '; n--)
            rdata[n - 1] = '\0';
        if (reads_back(in, rdata + 1))
            kept = strdup(type);
    }
    free(line);
    return kept;
}

static void put_generic(const struct zone_rr *in, struct wr *w)
{
    static const char digits[] = "0123456789abcdef";
    char head[40];
    snprintf(head, sizeof head, "TYPE%u\t\\# %zu", in->type, in->rdata.len);
    wr_put(w, head, strlen(head));
    if (in->rdata.len > 0)
        wr_u8(w, ' ');
    for (size_t i = 0; i < in->rdata.len; i++) {
        wr_u8(w, (uint8_t)digits[in->rdata.ptr[i] >> 4]);
        wr_u8(w, (uint8_t)digits[in->rdata.ptr[i] & 15]);
    }
}

enum err rr_to_text(const struct zone_rr *rr, char *out, size_t cap, struct fault *fault)
{
    char owner[NAME_TEXT_MAX], head[24];
    struct wr w = wr_over(out, cap);
    struct rd r = rd_over(rr->owner);
    struct bytes name;
    if (name_read(&r, &name) != OK || !rd_done(&r) || rr->rdata.len > RDATA_MAX)
        return fault_set(fault, ERR_BAD, "not a record");
    name_text(owner, sizeof owner, name);
    snprintf(head, sizeof head, "\t%u\tIN\t", rr->ttl);
    wr_put(&w, owner, strlen(owner));
    wr_put(&w, head, strlen(head));
    char *text = by_ldns(rr);
    if (text != NULL)
        wr_put(&w, text, strlen(text));
    else
        put_generic(rr, &w);
    free(text);
    wr_u8(&w, '\0');
    return w.full ? fault_set(fault, ERR_NOSPACE, "record is too long for the buffer") : OK;
}
