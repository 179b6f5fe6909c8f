/* Keys of the namespace dns: what passes for one is written again byte for byte. */
#include "tests/fuzz/fuzz.h"

#include "rrset/rrkey.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes key = bytes_of(data, size);
    struct rrkey_parts parts;
    struct rrkey k;
    struct name name, apex;
    uint16_t slot, apex_slot;
    uint8_t again[RRKEY_SHADOW_MAX];
    struct wr w = wr_over(again, sizeof again);
    size_t owner_len = rrkey_owner_len(key);
    if (owner_len + 2 > size && owner_len != 0)
        abort();
    if (rrkey_of_name(key, &k) == OK)
        (void)rrkey_common(&k, key);
    if (rrkey_split(key, &parts) != OK)
        return 0;
    if (size > RRKEY_SHADOW_MAX || parts.owner.len != owner_len || rrkey_name(key, &name, &slot) != OK)
        abort();
    unsigned labels, common;
    if (rrkey_of_name(name_bytes(&name), &k) != OK || rrkey_beside(&k, key, &labels, &common) != owner_len
        || labels != parts.labels || common != rrkey_common(&k, key))
        abort();
    enum err err;
    if (parts.slot == TYPE_NSEC3) {
        err = rrkey_write_nsec3(name_bytes(&name), parts.rest.ptr, &w);
    } else if (parts.slot == RRSLOT_SHADOW) {
        uint8_t front[RRKEY_MAX];
        struct wr f = wr_over(front, sizeof front);
        wr_bytes(&f, parts.owner);
        wr_u16(&f, 0);
        if (rrkey_name(wr_done(&f), &apex, &apex_slot) != OK)
            abort();
        err = rrkey_write_shadow(name_bytes(&apex), name_bytes(&name), slot, &w);
    } else {
        err = rrkey_write(name_bytes(&name), slot, &w);
    }
    if (err != OK || !bytes_equal(wr_done(&w), key))
        abort();
    return 0;
}
