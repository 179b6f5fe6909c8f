#include "store/head.h"

#include <assert.h>

#include "base/msg.h"

#define HEAD_FIELDS 9

/* array head, 16 + 2 * 32 bytes of hashes with their headers, five numbers, eight cohorts: always fits */
static_assert(1 + 18 + 2 * 34 + 5 * 9 + 1 + HEAD_COHORTS_MAX * (2 + COHORT_NAME_MAX + 9) <= HEAD_MAX, "HEAD_MAX");

void head_write(struct wr *w, const struct head *h)
{
    msg_put_array(w, HEAD_FIELDS);
    msg_put_bin(w, bytes_of(h->cluster, CLUSTER_LEN));
    msg_put_uint(w, h->epoch);
    msg_put_uint(w, h->seq);
    msg_put_bin(w, bytes_of(h->chain, CHAIN_LEN));
    msg_put_bin(w, bytes_of(h->digest, HEAD_DIGEST_LEN));
    msg_put_uint(w, h->keys);
    msg_put_uint(w, h->bytes);
    msg_put_uint(w, h->time_ms);
    msg_put_map(w, h->cohorts_n);
    for (unsigned i = 0; i < h->cohorts_n; i++) {
        msg_put_text(w, bytes_of_text(h->cohorts[i].name));
        msg_put_uint(w, h->cohorts[i].released);
    }
}

static bool cohort_name_fits(struct bytes name)
{
    if (name.len == 0 || name.len > COHORT_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-'))
            return false;
    }
    return true;
}

/* At least one, ascending, "all" among them. */
static void read_cohorts(struct rd *r, struct head *h)
{
    uint32_t n = msg_map(r);
    bool all = false;
    struct bytes before = { 0 };
    if (!r->bad && n > HEAD_COHORTS_MAX)
        rd_fail(r);
    for (uint32_t i = 0; i < n && !r->bad; i++) {
        struct bytes name = msg_text(r);
        uint64_t released = msg_uint(r);
        if (r->bad)
            return;
        if (!cohort_name_fits(name) || (i > 0 && bytes_compare(before, name) >= 0)) {
            rd_fail(r);
            return;
        }
        memcpy(h->cohorts[i].name, name.ptr, name.len);
        h->cohorts[i].released = released;
        all = all || bytes_equal(name, bytes_of_text("all"));
        before = name;
    }
    if (!r->bad && !all)
        rd_fail(r);
    h->cohorts_n = n;
}

MUST_USE enum err head_read(struct rd *r, struct head *out)
{
    struct head h = { 0 };
    uint32_t n = msg_array(r);
    if (!r->bad && n < HEAD_FIELDS)
        rd_fail(r);
    msg_fixed(r, h.cluster, CLUSTER_LEN);
    h.epoch = msg_uint(r);
    h.seq = msg_uint(r);
    msg_fixed(r, h.chain, CHAIN_LEN);
    msg_fixed(r, h.digest, HEAD_DIGEST_LEN);
    h.keys = msg_uint(r);
    h.bytes = msg_uint(r);
    h.time_ms = msg_uint(r);
    read_cohorts(r, &h);
    msg_skip_rest(r, n, HEAD_FIELDS);
    if (r->bad)
        return rd_err(r);
    *out = h;
    return OK;
}

int head_compare(const struct head *a, const struct head *b)
{
    if (a->epoch != b->epoch)
        return a->epoch < b->epoch ? -1 : 1;
    return (a->seq > b->seq) - (a->seq < b->seq);
}
