/* Zone headers: what is read is written again byte for byte, unless a newer version put more into it. */
#include "tests/fuzz/fuzz.h"

#include "rrset/rrset.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct zone_header h;
    struct bytes value = bytes_of(data, size);
    struct rd r = rd_over(value);
    uint8_t *again = malloc(size + 1);
    struct wr w = wr_over(again, size);
    if (again != NULL && zone_header_read(value, &h) == OK) {
        zone_header_write(&w, &h);
        bool newer = size > 0 && (msg_array(&r) != 6 || w.full || w.len < size);
        if (!newer && !bytes_equal(wr_done(&w), value))
            abort();
    }
    free(again);
    return 0;
}
