#include "base/net.h"

#include "base/text.h"

#include <arpa/inet.h>
#include <stdio.h>

struct bytes net_plain(struct bytes addr)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    return addr.len == 16 && memcmp(addr.ptr, mapped, sizeof mapped) == 0 ? bytes_of(addr.ptr + 12, 4) : addr;
}

/* Are the first `bits` bits the same? */
static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;
    if (memcmp(a, b, whole) != 0)
        return false;
    return rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0;
}

static bool clear_behind(const struct net *n)
{
    for (unsigned bit = n->bits; bit < n->len * 8u; bit++)
        if ((n->addr[bit / 8] & 0x80u >> bit % 8) != 0)
            return false;
    return true;
}

MUST_USE enum err net_parse(const char *text, struct net *out)
{
    char host[NET_TEXT_MAX];
    const char *slash = strchr(text, '/');
    size_t n = slash != NULL ? (size_t)(slash - text) : strlen(text);
    uint8_t addr[16];
    uint64_t bits;
    if (n >= sizeof host)
        return ERR_BAD;
    memcpy(host, text, n);
    host[n] = '\0';
    unsigned len = inet_pton(AF_INET, host, addr) == 1 ? 4 : inet_pton(AF_INET6, host, addr) == 1 ? 16 : 0;
    if (len == 0)
        return ERR_BAD;
    bits = len * 8u;
    if (slash != NULL && text_number(slash + 1, len * 8u, &bits) != OK)
        return ERR_BAD;
    struct bytes plain = net_plain(bytes_of(addr, len));
    if (plain.len < len) {
        if (bits < 96)
            return ERR_BAD;
        bits -= 96;
    }
    struct net net = { .len = (uint8_t)plain.len, .bits = (uint8_t)bits };
    memcpy(net.addr, plain.ptr, plain.len);
    if (!clear_behind(&net))
        return ERR_BAD;
    *out = net;
    return OK;
}

bool net_has(const struct net *net, struct bytes addr)
{
    return addr.len == net->len && same_bits(net->addr, addr.ptr, net->bits);
}

bool nets_have(const struct net *nets, size_t n, struct bytes addr)
{
    addr = net_plain(addr);
    for (size_t i = 0; i < n; i++)
        if (net_has(&nets[i], addr))
            return true;
    return false;
}

const char *net_text(const struct net *net, char *out, size_t cap)
{
    char host[INET6_ADDRSTRLEN] = "?";
    (void)inet_ntop(net->len == 4 ? AF_INET : AF_INET6, net->addr, host, sizeof host);
    if (net->bits < net->len * 8u)
        (void)snprintf(out, cap, "%s/%u", host, net->bits);
    else
        (void)snprintf(out, cap, "%s", host);
    return out;
}
