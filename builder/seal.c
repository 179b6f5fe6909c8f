#include "builder/seal.h"

#include "wire/rrtype.h"

uint16_t seal_open(struct seal *s, struct policies *k, struct bytes msg, size_t at, uint64_t now_s, struct fault *fault)
{
    *s = (struct seal){ .verdict = TSIG_MALFORMED };
    if (tsig_read(msg, at, &s->tsig) != OK)
        return RCODE_FORMERR;
    s->present = true;
    enum err err = policies_key(k, name_bytes(&s->tsig.key), &s->key, fault);
    if (err == ERR_NOTFOUND) {
        s->verdict = TSIG_UNKNOWN;
        return RCODE_NOTAUTH;
    }
    if (err == OK)
        err = tsig_open(&s->chain, &s->key->key);
    if (err != OK)
        return RCODE_SERVFAIL;
    s->verdict = tsig_check(s->chain, msg, at, &s->tsig, now_s);
    return s->verdict == TSIG_GOOD ? RCODE_NOERROR : s->verdict == TSIG_MALFORMED ? RCODE_FORMERR : RCODE_NOTAUTH;
}

const char *seal_text(const struct seal *s)
{
    switch (s->verdict) {
    case TSIG_UNKNOWN: return s->key == NULL ? "no such key (BADKEY)" : "the key has another algorithm (BADKEY)";
    case TSIG_FORGED: return "the MAC is not that of the key's secret (BADSIG)";
    case TSIG_LATE: return "signed too long ago, or the clocks differ (BADTIME)";
    case TSIG_SHORT_MAC: return "the MAC is too short (BADTRUNC)";
    default: return "its TSIG is not good";
    }
}

void seal_release(struct seal *s)
{
    tsig_close(s->chain);
    policies_key_give(s->key);
    s->chain = NULL;
    s->key = NULL;
}

static bool is_signed(const struct seal *s)
{
    return s->chain != NULL && (s->verdict == TSIG_GOOD || s->verdict == TSIG_LATE || s->verdict == TSIG_SHORT_MAC);
}

static bool is_unsigned(const struct seal *s) { return s->verdict == TSIG_UNKNOWN || s->verdict == TSIG_FORGED; }

size_t seal_room(const struct seal *s)
{
    enum { FIXED = 10 + 16 };
    if (!s->present)
        return 0;
    return is_signed(s) ? tsig_room(&s->key->key) : is_unsigned(s) ? s->tsig.key.len + s->tsig.algorithm.len + FIXED : 0;
}

MUST_USE enum err seal_sign(struct seal *s, struct wr *w, uint64_t now_s)
{
    if (!s->present || w->full)
        return w->full ? ERR_NOSPACE : OK;
    if (is_signed(s))
        return tsig_sign(s->chain, w, now_s, tsig_error(s->verdict), &s->tsig);
    if (!is_unsigned(s))
        return OK;
    struct rd r = rd_over(wr_done(w));
    (void)rd_take(&r, 10);
    uint16_t additional = rd_u16(&r);
    tsig_write_unsigned(w, &s->tsig, tsig_error(s->verdict));
    wr_patch_u16(w, 10, (uint16_t)(additional + 1));
    return w->full ? ERR_NOSPACE : OK;
}
