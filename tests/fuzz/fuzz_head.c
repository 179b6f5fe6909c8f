/* Heads: what passes for one is written again byte for byte, unless a newer version's elements were skipped. */
#include "tests/fuzz/fuzz.h"

#include "store/head.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rd r = rd_over(bytes_of(data, size));
    struct head h, again;
    uint8_t buf[HEAD_MAX];
    struct wr w = wr_over(buf, sizeof buf);
    if (head_read(&r, &h) != OK)
        return 0;
    head_write(&w, &h);
    if (w.full)
        abort();
    if (data[0] == 0x99 && rd_done(&r) && (w.len != size || memcmp(buf, data, size) != 0))
        abort();
    struct rd back = rd_over(wr_done(&w));
    if (head_read(&back, &again) != OK || !rd_done(&back) || memcmp(&h, &again, sizeof h) != 0 ||
        head_compare(&h, &again) != 0)
        abort();
    return 0;
}
