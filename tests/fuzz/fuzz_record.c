/* A log record from anywhere: read, its ops decoded; what reads well writes back to the same bytes. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "base/msg.h"
#include "replicator/record.h"

/* The record around the same body, with the signature that was there. */
static void write_back(const struct record *r, struct bytes was)
{
    uint8_t *buf = malloc(was.len + 1);
    struct wr w = wr_over(buf, was.len);
    msg_put_array(&w, r->has_head ? 3 : 2);
    msg_put_bin(&w, r->body);
    if (!r->has_head) {
        msg_put_bin(&w, bytes_of(r->part_sig, sizeof r->part_sig));
    } else {
        msg_put_bin(&w, bytes_of(r->signed_head.body, r->signed_head.len));
        msg_put_bin(&w, bytes_of(r->signed_head.sig, HEAD_SIG_LEN));
    }
    if (w.full || !bytes_equal(wr_done(&w), was))
        abort();
    free(buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t pub[32];
    struct record r;
    struct arena a;
    struct op *ops;
    size_t n;
    arena_init(&a);
    if (record_read(bytes_of(data, size), &r) == OK) {
        write_back(&r, bytes_of(data, size));
        if (record_verify(&r, pub) == OK)
            abort();                    /* nobody has that key */
        if (record_ops(&r, NULL, &a, &ops, &n) == OK)
            for (size_t i = 0; i < n; i++)
                if (ops[i].key.len == 0 || ops[i].key.len > STORE_KEY_MAX || ops[i].value.len > STORE_VALUE_MAX)
                    abort();
    }
    arena_release(&a);
    return 0;
}
