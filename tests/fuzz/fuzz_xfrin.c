/* A primary that says anything: the first byte says what was asked (kind, UDP, data or none), the rest are messages, each behind
 * its length. Always a verdict with words, never a record out of the zone, steps that chain. */
#include "tests/fuzz/fuzz.h"

#include "builder/rdata.h"
#include "builder/serial.h"
#include "builder/xfrin.h"

#include <stdlib.h>

#define MUST(what) do { if (!(what)) abort(); } while (0)

static void check_record(const struct zone_rr *rr, struct bytes apex)
{
    struct rd r = rd_over(rr->owner);
    struct bytes name;
    MUST(name_read(&r, &name) == OK && rd_done(&r) && name_is_lower(name) && name_under(name, apex));
    MUST(!rrtype_is_meta(rr->type) && rr->ttl <= INT32_MAX && rdata_check(rr->type, rr->rdata, NULL) == OK);
}

static void check_steps(const struct xfrin *x, uint32_t ours)
{
    size_t n, at = 0;
    const struct xfrin_step *s = xfrin_steps(x, &n);
    uint32_t serial;
    MUST(n > 0 && s[0].from == ours && s[n - 1].to == xfrin_serial(x));
    for (size_t i = 0; i < n; i++) {
        MUST(serial_later(s[i].to, s[i].from) && (i == 0 || s[i].from == s[i - 1].to));
        MUST(s[i].gone == at && s[i].come == at + s[i].gone_n);
        MUST(soa_serial(s[i].soa, &serial) == OK && serial == s[i].to);
        at = s[i].come + s[i].come_n;
    }
    for (size_t i = 0; i < at; i++)
        MUST(xfrin_records(x)[i].type != TYPE_SOA);
}

static void check_whole(struct xfrin *x)
{
    const struct zone *z = xfrin_zone(x);
    uint32_t serial;
    MUST(z->n > 0 && z->rr[0].type == TYPE_SOA && soa_serial(z->rr[0].rdata, &serial) == OK && serial == xfrin_serial(x));
    for (size_t i = 1; i < z->n; i++)
        MUST(z->rr[i].type != TYPE_SOA);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t soa[22] = { 0, 0, 0, 0, 0, 4 };
    struct xfrin_ask ask = { .apex = { 3, { 1, 'z', 0 } }, .soa = bytes_of(soa, sizeof soa), .limits = { .records = 10000 } };
    struct rd r = rd_over(bytes_of(data, size));
    uint8_t how = rd_u8(&r);
    struct fault fault = { "" };
    struct xfrin *x;
    ask.kind = (enum xfrin_kind)(how % 3);
    ask.udp = (how & 4) != 0;
    ask.have = ask.kind == XFRIN_IXFR || (how & 8) != 0;
    struct tsig_key key = { .name = { 3, { 1, 'k', 0 } }, .hash = TSIG_SHA1, .secret = bytes_of("k", 1) };
    ask.key = (how & 16) != 0 ? &key : NULL;
    MUST(xfrin_begin(&x, &ask, 1, 1700000000) == OK);
    enum xfrin_verdict v = XFRIN_MORE;
    while (v == XFRIN_MORE && rd_left(&r) > 0) {
        size_t len = rd_u16(&r);
        v = xfrin_take(x, rd_take(&r, len < rd_left(&r) ? len : rd_left(&r)), 1700000000, &fault);
    }
    if (v == XFRIN_MORE)
        v = xfrin_closed(x, &fault);
    MUST(v != XFRIN_MORE && (v == XFRIN_DONE || v == XFRIN_CURRENT || fault.text[0] != '\0'));
    MUST(v != XFRIN_TRY_AXFR || ask.kind == XFRIN_IXFR);
    MUST(v != XFRIN_TRY_TCP || ask.udp);
    for (size_t i = 0; v == XFRIN_DONE && i < xfrin_zone(x)->n; i++)
        check_record(&xfrin_records(x)[i], name_bytes(&ask.apex));
    if (v == XFRIN_DONE && xfrin_is_whole(x))
        check_whole(x);
    else if (v == XFRIN_DONE && ask.kind == XFRIN_IXFR)
        check_steps(x, 4);
    MUST(v != XFRIN_CURRENT || !serial_later(xfrin_serial(x), 4));
    xfrin_end(x);
    return 0;
}
