#include "dnsfront/listen.h"

#include "base/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define BACKLOG 511
#define UDP_RECEIVE_BYTES (1 << 20)     /* bursts of some thousand queries; the kernel may give less */

MUST_USE enum err listen_parse(const char *key, const char *text, struct listen_address *out, struct fault *fault)
{
    char host[INET6_ADDRSTRLEN];
    const char *at = strrchr(text, '@');
    uint64_t port;
    struct listen_address a = { .len = 0 };
    if (at == NULL || (size_t)(at - text) >= sizeof host || text_number(at + 1, 65535, &port) != OK)
        return fault_set(fault, ERR_CONFIG, "%s: '%s' is not ADDRESS@PORT", key, text);
    memcpy(host, text, (size_t)(at - text));
    host[at - text] = '\0';
    if (inet_pton(AF_INET, host, &a.addr.v4.sin_addr) == 1) {
        a.addr.v4.sin_family = AF_INET;
        a.addr.v4.sin_port = htons((uint16_t)port);
        a.len = sizeof a.addr.v4;
        a.wildcard = a.addr.v4.sin_addr.s_addr == htonl(INADDR_ANY);
    } else if (inet_pton(AF_INET6, host, &a.addr.v6.sin6_addr) == 1) {
        a.addr.v6.sin6_family = AF_INET6;
        a.addr.v6.sin6_port = htons((uint16_t)port);
        a.len = sizeof a.addr.v6;
        a.wildcard = IN6_IS_ADDR_UNSPECIFIED(&a.addr.v6.sin6_addr);
    } else {
        return fault_set(fault, ERR_CONFIG, "%s: '%s' is no IPv4 or IPv6 address", key, host);
    }
    *out = a;
    return OK;
}

const char *listen_text(const struct listen_address *a, char *out, size_t cap)
{
    char host[INET6_ADDRSTRLEN] = "?";
    bool v6 = a->addr.sa.sa_family == AF_INET6;
    (void)inet_ntop(a->addr.sa.sa_family, v6 ? (const void *)&a->addr.v6.sin6_addr : (const void *)&a->addr.v4.sin_addr,
                    host, sizeof host);
    (void)snprintf(out, cap, "%s@%u", host, ntohs(v6 ? a->addr.v6.sin6_port : a->addr.v4.sin_port));
    return out;
}

MUST_USE enum err listen_once(const char *key, const struct listen_address *a, const struct listen_address *others, size_t n,
                              struct fault *fault)
{
    char text[64];
    for (size_t i = 0; i < n; i++)
        if (a->len == others[i].len && memcmp(&a->addr, &others[i].addr, a->len) == 0)
            return fault_set(fault, ERR_CONFIG, "%s: %s is listened on already", key, listen_text(a, text, sizeof text));
    return OK;
}

static enum err failed(const struct listen_address *a, int type, int fd, struct fault *fault)
{
    char text[64];
    int error = errno;
    if (fd >= 0)
        (void)close(fd);
    return fault_set(fault, ERR_NET, "cannot listen on %s/%s: %s", listen_text(a, text, sizeof text),
                     type == SOCK_STREAM ? "tcp" : "udp", strerror(error));
}

static bool set(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

static int open_socket(const struct listen_address *a, int type)
{
    int fd = socket(a->addr.sa.sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if ((a->addr.sa.sa_family == AF_INET6 && !set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1))
        || (type == SOCK_STREAM && !set(fd, SOL_SOCKET, SO_REUSEADDR, 1))) {
        int error = errno;
        (void)close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

MUST_USE enum err listen_probe(struct listen_address *a, enum listen_for what, struct fault *fault)
{
    static const int types[] = { SOCK_DGRAM, SOCK_STREAM };
    for (size_t i = what == LISTEN_STREAM ? 1 : 0; i < 2; i++) {
        socklen_t len = a->len;
        int fd = open_socket(a, types[i]);
        if (fd < 0 || bind(fd, &a->addr.sa, a->len) != 0 || getsockname(fd, &a->addr.sa, &len) != 0
            || (types[i] == SOCK_STREAM && listen(fd, 1) != 0))
            return failed(a, types[i], fd, fault);
        (void)close(fd);
    }
    return OK;
}

/* Which address did a query come to, and no fragments that anybody could forge (RFC 9715). */
static bool set_udp(int fd, const struct listen_address *a)
{
    bool v6 = a->addr.sa.sa_family == AF_INET6;
    (void)set(fd, SOL_SOCKET, SO_RCVBUF, UDP_RECEIVE_BYTES);
    if (v6)
        (void)set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_OMIT);
    else
        (void)set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_OMIT);
    if (!a->wildcard)
        return true;
    return v6 ? set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1) : set(fd, IPPROTO_IP, IP_PKTINFO, 1);
}

MUST_USE enum err listen_socket(const struct listen_address *a, int type, int *out_fd, struct fault *fault)
{
    int fd = open_socket(a, type);
    if (fd < 0 || !set(fd, SOL_SOCKET, SO_REUSEPORT, 1) || (type == SOCK_DGRAM && !set_udp(fd, a))
        || bind(fd, &a->addr.sa, a->len) != 0 || (type == SOCK_STREAM && listen(fd, BACKLOG) != 0))
        return failed(a, type, fd, fault);
    *out_fd = fd;
    return OK;
}

/* The kernel's own block goes back to it: only what it says about the interface is dropped where the route decides
 * (link-local IPv6 needs it). */
void listen_reply_from(struct msghdr *m)
{
    struct cmsghdr *c = CMSG_FIRSTHDR(m);
    if (c == NULL || (m->msg_flags & MSG_CTRUNC) != 0) {
        m->msg_control = NULL;
        m->msg_controllen = 0;
        return;
    }
    if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
        struct in_pktinfo info;
        memcpy(&info, CMSG_DATA(c), sizeof info);
        info.ipi_ifindex = 0;
        memcpy(CMSG_DATA(c), &info, sizeof info);
        m->msg_controllen = CMSG_SPACE(sizeof info);
    } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
        struct in6_pktinfo info;
        memcpy(&info, CMSG_DATA(c), sizeof info);
        if (!IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
            info.ipi6_ifindex = 0;
        memcpy(CMSG_DATA(c), &info, sizeof info);
        m->msg_controllen = CMSG_SPACE(sizeof info);
    }
}
