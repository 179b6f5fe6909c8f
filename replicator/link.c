#include "replicator/link.h"

#include "replicator/message.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <nanomsg/bus.h>
#include <nanomsg/nn.h>
#include <nanomsg/pipeline.h>
#include <nanomsg/reqrep.h>
#include <nanomsg/tcp.h>
#include <sodium.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define ADDRESS_MAX 512
#define HOST_MAX 256
#define SEND_BUFFER (4 * 1024 * 1024)   /* PUB and REP: what a busy receiver may lag behind before PUB drops */
#define RECONNECT_MS 100                /* and up to RECONNECT_SPREAD_MS more: nanomsg spreads nothing by itself */
#define RECONNECT_SPREAD_MS 200
#define RECONNECT_TIMES_MAX 8           /* each reconnection takes twice as long as the one before: nanomsg never forgets */
#define LATE_REPLIES 64                 /* dropped in one go */
#define SOON_TRIES 30                   /* a new connection is there after a few */
#define FINAL_ID 0x80000000u            /* marks the asker's id among those that a request collects on its way */

/* Requests and replies are matched here, over a raw socket: nanomsg 1.1.5's own NN_REQ frees a reply that came too late a
 * second time when the socket is closed, and ends the process. */
struct asking { uint32_t id; uint8_t *request; size_t len; bool waiting, sent; unsigned tries; uint64_t connection; };
struct link { int socket, fd; enum link_kind kind; void *msg; struct asking ask; };

/* Announcements go over BUS sockets, which hand them out as PUB does: nanomsg 1.1.5's PUB ends the process when a
 * subscriber sends it a message, so anybody who reaches the port could end a core. Ours takes none: whoever sends is cut. */
static const struct { int protocol, receive_max; bool listens; } kinds[] = {
    [LINK_PUB] = { NN_BUS, 0, true },
    [LINK_SUB] = { NN_BUS, (int)ANNOUNCE_MAX, false },
    [LINK_REQ] = { NN_REQ, (int)REPLY_MAX, false },
    [LINK_REP] = { NN_REP, (int)REQUEST_MAX, true },
    [LINK_PUSH] = { NN_PUSH, 0, false },        /* takes none, as above */
    [LINK_PULL] = { NN_PULL, (int)REQUEST_MAX, true },
};

static bool set_int(struct link *l, int level, int option, int value)
{
    return nn_setsockopt(l->socket, level, option, &value, sizeof value) == 0;
}

/* --- addresses ------------------------------------------------------------------------------------------------------ */
static bool host_of(const char *address, char host[HOST_MAX])
{
    const char *start = address + strlen("tcp://"), *end = strrchr(start, ':');
    if (end == NULL || end == start || end[1] == '\0' || (size_t)(end - start) >= HOST_MAX)
        return false;
    if (*start == '[' && end[-1] == ']') {
        start++;
        end--;
    }
    memcpy(host, start, (size_t)(end - start));
    host[end - start] = '\0';
    return true;
}

static bool is_literal(int family, const char *host)
{
    uint8_t binary[16];
    return inet_pton(family, host, binary) == 1;
}

/* A name as one of its addresses. nanomsg is given addresses only: with a resolver that does not answer, closing a socket would
 * wait for it, and 1.1.5 ends the process when a socket open for IPv6 connects to an IPv4 address, so IPv4 goes first and a
 * connecting socket is opened for IPv6 only where there is nothing else. 0, or a code for gai_strerror. */
static int resolve(const char *host, char out[HOST_MAX], bool *v6)
{
    struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM }, *list = NULL;
    int code = getaddrinfo(host, NULL, &hints, &list);
    if (code != 0)
        return code;
    const struct addrinfo *a = list;
    while (a != NULL && a->ai_family != AF_INET)
        a = a->ai_next;
    *v6 = a == NULL;
    a = a != NULL ? a : list;
    code = getnameinfo(a->ai_addr, a->ai_addrlen, out, HOST_MAX, NULL, 0, NI_NUMERICHOST);
    freeaddrinfo(list);
    return code;
}

static enum err refused(const struct link *l, const char *address, int code, struct fault *fault)
{
    return fault_set(fault, ERR_NET, "cannot %s %s: %s", kinds[l->kind].listens ? "listen on" : "connect to", address,
                     code == EADDRINUSE ? "address already in use" : nn_strerror(code));
}

/* nanomsg unlinks whatever stands at the path, and aborts the process when that is a folder. */
static bool ipc_is_free(const char *path)
{
    struct stat st;
    return lstat(path, &st) != 0 || S_ISSOCK(st.st_mode);
}

static enum err listen_on(struct link *l, const char *address, struct fault *fault)
{
    char host[HOST_MAX], text[ADDRESS_MAX];
    bool tcp = strncmp(address, "tcp://", 6) == 0;
    if (tcp && !host_of(address, host))
        return refused(l, address, EINVAL, fault);
    if (!tcp && !ipc_is_free(address + strlen("ipc://")))
        return fault_set(fault, ERR_NET, "cannot listen on %s: something that is no socket stands there", address);
    bool any = tcp && (strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0 || strcmp(host, "*") == 0);
    snprintf(text, sizeof text, "%s%s", any ? "tcp://*" : address, any ? strrchr(address, ':') : "");
    bool v6 = any || (tcp && !is_literal(AF_INET, host));
    set_int(l, NN_SOL_SOCKET, NN_IPV4ONLY, v6 ? 0 : 1);
    if (nn_bind(l->socket, text) >= 0)
        return OK;
    int code = nn_errno();
    if (any && code != EADDRINUSE && set_int(l, NN_SOL_SOCKET, NN_IPV4ONLY, 1) && nn_bind(l->socket, text) >= 0)
        return OK;                      /* a machine without IPv6 */
    return refused(l, address, code, fault);
}

static enum err connect_to(struct link *l, const char *address, struct fault *fault)
{
    char name[HOST_MAX], host[HOST_MAX], text[ADDRESS_MAX];
    bool v6 = false, tcp = strncmp(address, "tcp://", 6) == 0;
    snprintf(text, sizeof text, "%s", address);
    if (tcp) {
        if (!host_of(address, name))
            return refused(l, address, EINVAL, fault);
        int code = resolve(name, host, &v6);
        if (code != 0)
            return fault_set(fault, ERR_NET, "cannot connect to %s: %s", address, gai_strerror(code));
        snprintf(text, sizeof text, v6 ? "tcp://[%s]%s" : "tcp://%s%s", host, strrchr(address, ':'));
    }
    set_int(l, NN_SOL_SOCKET, NN_IPV4ONLY, v6 ? 0 : 1);
    return nn_connect(l->socket, text) >= 0 ? OK : refused(l, address, nn_errno(), fault);
}

/* --- life ------------------------------------------------------------------------------------------------------------- */
static bool set_options(struct link *l)
{
    size_t size = sizeof l->fd;
    int reconnect_ms = RECONNECT_MS + (int)randombytes_uniform(RECONNECT_SPREAD_MS);
    bool good = set_int(l, NN_TCP, NN_TCP_NODELAY, 1) && set_int(l, NN_SOL_SOCKET, NN_RECONNECT_IVL, reconnect_ms)
        && set_int(l, NN_SOL_SOCKET, NN_RECONNECT_IVL_MAX, reconnect_ms * RECONNECT_TIMES_MAX)
        && set_int(l, NN_SOL_SOCKET, NN_RCVMAXSIZE, kinds[l->kind].receive_max);
    if (l->kind != LINK_PUB && l->kind != LINK_PUSH)
        good = good && nn_getsockopt(l->socket, NN_SOL_SOCKET, NN_RCVFD, &l->fd, &size) == 0;
    if (kinds[l->kind].listens)
        good = good && set_int(l, NN_SOL_SOCKET, NN_SNDBUF, SEND_BUFFER);
    return good;
}

enum err link_open(struct link **out, enum link_kind kind, const char *address, struct fault *fault)
{
    struct link *l = calloc(1, sizeof *l);
    enum err err;
    if (l == NULL)
        return fault_set(fault, ERR_NOMEM, "no memory for a link");
    l->kind = kind;
    l->fd = -1;
    randombytes_buf(&l->ask.id, sizeof l->ask.id);      /* no clash with what we asked before a restart */
    if ((l->socket = nn_socket(kind == LINK_REQ ? AF_SP_RAW : AF_SP, kinds[kind].protocol)) < 0) {
        err = fault_set(fault, ERR_NET, "cannot open a socket for %s: %s", address, nn_strerror(nn_errno()));
        free(l);
        return err;
    }
    if (!set_options(l))
        err = fault_set(fault, ERR_NET, "cannot prepare the socket for %s: %s", address, nn_strerror(nn_errno()));
    else if (strlen(address) >= ADDRESS_MAX || (strncmp(address, "tcp://", 6) != 0 && strncmp(address, "ipc://", 6) != 0))
        err = fault_set(fault, ERR_NET, "%s: an address is tcp://HOST:PORT or ipc://PATH", address);
    else
        err = kinds[kind].listens ? listen_on(l, address, fault) : connect_to(l, address, fault);
    if (err != OK) {
        link_close(l);
        return err;
    }
    *out = l;
    return OK;
}

static void drop(struct link *l)
{
    if (l->msg != NULL)
        nn_freemsg(l->msg);
    l->msg = NULL;
}

void link_close(struct link *l)
{
    if (l == NULL)
        return;
    drop(l);
    while (nn_close(l->socket) != 0 && nn_errno() == EINTR)
        continue;
    free(l->ask.request);
    free(l);
}

int link_fd(const struct link *l)
{
    return l->fd;
}

/* --- messages ----------------------------------------------------------------------------------------------------------- */
static enum err translated(void)
{
    int code = nn_errno();              /* EFSM: nothing is asked, so nothing can be answered or awaited */
    return code == EAGAIN || code == ETIMEDOUT || code == EINTR || code == EFSM ? ERR_AGAIN : ERR_NET;
}

/* The header of a raw message: the 4 bytes of the id, as nanomsg hands them over beside the body. */
struct control { struct nn_cmsghdr head; size_t len; uint8_t id[4]; uint8_t room[36]; };
#define CONTROL_LEN (offsetof(struct control, room) + 4)        /* a multiple of 8 */

uint64_t link_peers(const struct link *l)
{
    return nn_get_statistic(l->socket, NN_STAT_CURRENT_CONNECTIONS);
}

static uint64_t connections(const struct link *l)
{
    return nn_get_statistic(l->socket, NN_STAT_ESTABLISHED_CONNECTIONS);
}

/* Not sent when there is no connection yet: link_recv tries again, also when the connection is another one by then. A request that
 * finds none when we look, and one when nanomsg takes it, goes out on that one: counted before, it would be sent twice. */
static void send_request(struct link *l)
{
    bool connected = link_peers(l) > 0;
    struct control c = { .head = { CONTROL_LEN, PROTO_SP, SP_HDR }, .len = sizeof c.id };
    struct nn_iovec body = { l->ask.request, l->ask.len };
    struct nn_msghdr msg = { &body, 1, &c, CONTROL_LEN };
    struct wr w = wr_over(c.id, sizeof c.id);
    wr_u32(&w, l->ask.id);
    l->ask.connection = connections(l);
    l->ask.tries++;
    l->ask.sent = nn_sendmsg(l->socket, &msg, NN_DONTWAIT) >= 0;
    if (!connected)
        l->ask.connection = connections(l);
}

static enum err ask(struct link *l, struct bytes msg)
{
    uint8_t *copy = malloc(msg.len + 1);
    if (copy == NULL)
        return ERR_NOMEM;
    memcpy(copy, msg.ptr, msg.len);
    free(l->ask.request);
    l->ask = (struct asking){ .id = (l->ask.id + 1) | FINAL_ID, .request = copy, .len = msg.len, .waiting = true };
    send_request(l);
    return OK;
}

static bool is_awaited(const struct link *l, const struct control *c)
{
    struct rd r = rd_over(bytes_of(c->id, sizeof c->id));
    return l->ask.waiting && c->head.cmsg_level == PROTO_SP && c->head.cmsg_type == SP_HDR && c->len == sizeof c->id
        && rd_u32(&r) == l->ask.id;
}

/* Replies that come too late or twice are dropped here. */
static enum err recv_reply(struct link *l, struct bytes *out)
{
    if (l->ask.waiting && (!l->ask.sent || l->ask.connection != connections(l)))
        send_request(l);
    for (int left = LATE_REPLIES; left > 0; left--) {
        struct control c = { .len = 0 };
        struct nn_iovec body = { &l->msg, NN_MSG };
        struct nn_msghdr msg = { &body, 1, &c, sizeof c };
        drop(l);
        int n = nn_recvmsg(l->socket, &msg, NN_DONTWAIT);
        if (n < 0) {
            l->msg = NULL;
            return translated();
        }
        if (is_awaited(l, &c)) {
            l->ask.waiting = false;
            *out = bytes_of(l->msg, (size_t)n);
            return OK;
        }
    }
    return ERR_AGAIN;
}

bool link_is_soon(const struct link *l)
{
    return l->ask.waiting && !l->ask.sent && l->ask.tries < SOON_TRIES;
}

enum err link_send(struct link *l, struct bytes msg)
{
    if (l->kind == LINK_REQ)
        return ask(l, msg);
    return nn_send(l->socket, msg.ptr, msg.len, NN_DONTWAIT) >= 0 ? OK : translated();
}

enum err link_recv(struct link *l, struct bytes *out)
{
    if (l->kind == LINK_REQ)
        return recv_reply(l, out);
    drop(l);
    int n = nn_recv(l->socket, &l->msg, NN_MSG, NN_DONTWAIT);
    if (n < 0) {
        l->msg = NULL;
        return translated();
    }
    *out = bytes_of(l->msg, (size_t)n);
    return OK;
}
