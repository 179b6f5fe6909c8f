/* Queries: any bytes get a verdict; what it says about the message lies inside the message. */
#include "tests/fuzz/fuzz.h"

#include "wire/name.h"
#include "wire/query.h"
#include "wire/tcp.h"

#include <stdlib.h>

static void inside(struct bytes part, struct bytes whole)
{
    if (part.len > 0 && (part.ptr < whole.ptr || part.ptr + part.len > whole.ptr + whole.len))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes msg = bytes_of(data, size > 65535 ? 65535 : size), framed, option;
    struct query q;
    struct name n;
    size_t need;
    enum query_verdict v = query_read(msg, &q);
    inside(q.qname, msg);
    inside(q.options, msg);
    if (q.udp_size < DNS_UDP_MIN || (q.question_len > 0 && q.question_len != q.qname.len + 4))
        abort();
    if (v == QUERY_ANSWER && q.question_len == 0)
        abort();
    for (uint16_t code = 0; code < 20; code++)
        if (v == QUERY_ANSWER && query_option(&q, code, &option))
            inside(option, msg);
    if (v == QUERY_ANSWER && q.has_edns && q.edns_version != EDNS_VERSION)
        abort();
    if (q.has_tsig && q.tsig_at < DNS_HEADER_LEN)
        abort();
    if (tcp_next(msg, &framed, &need) == OK)
        inside(framed, msg);
    struct rd r = rd_over(msg);
    (void)rd_take(&r, DNS_HEADER_LEN);
    if (name_unpack(&r, msg, &n) == OK && (n.len == 0 || n.wire[n.len - 1] != 0))
        abort();
    return 0;
}
