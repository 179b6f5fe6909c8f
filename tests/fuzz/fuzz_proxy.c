/* PROXY headers: any bytes get a verdict; what is believed lies inside them, and `need` never asks for a byte behind. */
#include "tests/fuzz/fuzz.h"

#include "wire/proxy.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_of(data, size);
    struct proxy p, again;
    size_t need = 0, all = 0;
    enum err err = proxy_read(in, &p, &need);
    if (err == ERR_SHORT && (need <= size || need > PROXY_MAX))
        abort();
    if (err != OK)
        return 0;
    if (p.len > size || p.len < PROXY_HEAD || need != p.len || p.source.len != p.dest.len)
        abort();
    if (p.source.len > 0 && (p.source.ptr < data + PROXY_HEAD || p.dest.ptr + p.dest.len > data + p.len))
        abort();
    if (proxy_read(bytes_of(data, p.len), &again, &all) != OK || again.len != p.len)
        abort();
    if (proxy_read(bytes_of(data, p.len - 1), &again, &all) != ERR_SHORT)
        abort();
    return 0;
}
