/* Stored values: 2 bytes length of a key, the key, the value. Whatever comes, reading, iterating and placing stay inside
 * their memory; a value that passes the check can be placed. */
#include "tests/fuzz/fuzz.h"

#include "rrset/rrkey.h"
#include "rrset/rrset.h"

#include <stdlib.h>

static void use(const struct rrset *rr, struct bytes owner, bool good)
{
    static uint8_t message[65535], rdata[65535];
    struct rr_iter it;
    struct rr one;
    enum err err;
    rr_iter_init(&it, owner, rr->wire, rr->count);
    while ((err = rr_iter_next(&it, rdata, sizeof rdata, &one)) == OK)
        if (one.rdata.len > sizeof rdata)
            abort();
    if (good && err != ERR_NOTFOUND)
        abort();
    (void)rrset_ns_offset(rr->wire, owner, owner);
    for (unsigned far = 0; far < 2; far++) {
        struct wr w = wr_over(message, sizeof message);
        static const uint8_t header[12], front[3] = { 2, 'q', 'q' };
        struct rr_place where = { owner, 15, 0 };
        wr_put(&w, header, sizeof header);
        wr_put(&w, front, sizeof front);
        wr_bytes(&w, owner);
        wr_u32(&w, 0xff0001);
        if (far)
            (void)wr_room(&w, 16384 - 40);
        size_t before = w.len;
        err = rrset_place(&w, rr->wire, rr->count, &where);
        if (w.full || (err != OK && w.len != before) || (good && err == ERR_BAD))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rd r = rd_over(bytes_of(data, size));
    struct bytes key = rd_take(&r, rd_u16(&r)), value = rd_take(&r, rd_left(&r));
    struct fault fault;
    struct blob b;
    struct name owner;
    uint16_t slot;
    uint32_t flags;
    bool good = blob_check(key, value, &fault) == OK;
    if (rrkey_name(key, &owner, &slot) != OK)
        return 0;
    if (blob_read_flags(value, &flags) != OK && good)
        abort();
    if (slot == RRSLOT_ZONE || blob_read(value, &b) != OK)
        return 0;
    for (unsigned i = 0; i < b.n; i++)
        use(&b.rr[i], name_bytes(&owner), good);
    struct rd below = rd_over(b.below);
    for (unsigned i = 0; i < b.below_n; i++) {
        struct below entry;
        if (below_read(&below, &entry) != OK)
            return good ? (abort(), 0) : 0;
        for (unsigned k = 0; k < entry.n + entry.more; k++) {
            struct rrset rr;
            if (below_rrset(&entry, k, &rr) == OK)
                use(&rr, name_bytes(&owner), false);
        }
    }
    return 0;
}
