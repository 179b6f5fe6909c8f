/* Queries: any bytes get a verdict; what it says about the message lies inside the message. */
#include "tests/fuzz/fuzz.h"

#include "wire/name.h"
#include "wire/query.h"
#include "wire/tcp.h"
#include "wire/tsig.h"

#include <stdlib.h>

#define MUST(what) do { if (!(what)) abort(); } while (0)

static void inside(struct bytes part, struct bytes whole)
{
    MUST(part.len == 0 || (part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len));
}

static void check_options(const struct query *q, enum query_verdict v)
{
    struct bytes option;
    MUST(v == QUERY_ANSWER || v == QUERY_EMPTY || v == QUERY_NOTIMP || q->asks == 0);
    MUST(q->has_edns || q->asks == 0);
    MUST(query_asks(q, EDNS_OPTION_COOKIE) == (q->cookie.len > 0));
    MUST(q->cookie.len == 0 || q->cookie.len == 8 || (q->cookie.len >= 16 && q->cookie.len <= 40));
    inside(q->cookie, q->options);
    for (uint16_t code = 0; code < 32 && v == QUERY_ANSWER; code++) {
        MUST(query_option(q, code, &option) == query_asks(q, code));
        if (query_asks(q, code))
            inside(option, q->options);
    }
}

static void check_tsig(const struct query *q, struct bytes msg)
{
    struct tsig t;
    uint8_t out[600];
    struct wr w = wr_over(out, sizeof out);
    MUST(q->tsig_at >= DNS_HEADER_LEN);
    if (tsig_read(msg, q->tsig_at, &t) != OK)
        return;
    inside(t.algorithm, msg);
    inside(t.signed_at, msg);
    tsig_write_unsigned(&w, &t, TSIG_BADKEY);
    MUST(!w.full);
    struct tsig again;
    MUST(tsig_read(wr_done(&w), 0, &again) == OK && again.original_id == t.original_id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes msg = bytes_of(data, size > 65535 ? 65535 : size), framed;
    struct query q;
    struct name n;
    size_t need;
    enum query_verdict v = query_read(msg, &q);
    inside(q.qname, msg);
    inside(q.options, msg);
    MUST(q.udp_size >= DNS_UDP_MIN && (q.question_len == 0 || q.question_len == q.qname.len + 4));
    MUST(v != QUERY_ANSWER || q.question_len > 0);
    MUST(v != QUERY_ANSWER || !q.has_edns || q.edns_version == EDNS_VERSION);
    check_options(&q, v);
    if (q.has_tsig)
        check_tsig(&q, msg);
    if (tcp_next(msg, &framed, &need) == OK)
        inside(framed, msg);
    struct rd r = rd_over(msg);
    (void)rd_take(&r, DNS_HEADER_LEN);
    if (name_unpack(&r, msg, &n) == OK)
        MUST(n.len > 0 && n.wire[n.len - 1] == 0);
    return 0;
}
