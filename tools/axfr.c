#include "tools/axfr.h"

#include "base/text.h"
#include "wire/tcp.h"

#include <errno.h>
#include <poll.h>
#include <sodium.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define IN_MAX (TCP_PREFIX + TCP_MESSAGE_MAX)

/* --- the key ----------------------------------------------------------------------------------------------------------- */
static enum err key_secret(const char *text, uint8_t *room, size_t cap, struct bytes *out)
{
    size_t len = strlen(text), want = len / 4 * 3;
    for (size_t i = 0; i < 2 && len > i && text[len - 1 - i] == '='; i++)
        want--;
    if (len == 0 || len % 4 != 0 || want == 0 || want > cap || text_from_base64(text, room, want) != OK)
        return ERR_BAD;
    *out = bytes_of(room, want);
    return OK;
}

MUST_USE enum err axfr_key_parse(const char *text, uint8_t *room, size_t cap, struct tsig_key *out, struct fault *fault)
{
    const char *secret = strrchr(text, ':');
    const char *hash = secret;
    struct tsig_key key = { .mac_min = 0 };
    while (hash != NULL && hash > text && hash[-1] != ':')
        hash--;
    if (secret == NULL || hash <= text + 1)
        return fault_set(fault, ERR_BAD, "it is not NAME:ALGORITHM:SECRET");
    if (name_from_text(bytes_of(text, (size_t)(hash - 1 - text)), bytes_of(NULL, 0), &key.name) != OK)
        return fault_set(fault, ERR_BAD, "the key's name is no domain name");
    name_lower(key.name.wire, key.name.len);
    if (tsig_hash_of_text(bytes_of(hash, (size_t)(secret - hash)), &key.hash) != OK)
        return fault_set(fault, ERR_BAD, "'%.*s' is no algorithm (hmac-sha256, ...)", (int)(secret - hash < 40 ? secret - hash : 40), hash);
    if (key_secret(secret + 1, room, cap, &key.secret) != OK)
        return fault_set(fault, ERR_BAD, "the secret is no base64");
    *out = key;
    return OK;
}

/* --- the connection ---------------------------------------------------------------------------------------------------- */
static enum err problem(const struct server *from, const char *what, int number, struct fault *fault)
{
    return fault_set(fault, ERR_NET, "%s: %s: %s", from->text, what, number != 0 ? strerror(number) : "no answer within the timeout");
}

static bool ready(int fd, short events, uint64_t timeout_ms)
{
    struct pollfd p = { .fd = fd, .events = events };
    int n;
    do
        n = poll(&p, 1, (int)timeout_ms);
    while (n < 0 && errno == EINTR);
    return n > 0;
}

static enum err open_stream(const struct server *from, uint64_t timeout_ms, int *out, struct fault *fault)
{
    int fd = socket(from->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), number = 0;
    socklen_t len = sizeof number;
    if (fd < 0)
        return problem(from, "socket", errno, fault);
    if (connect(fd, (const struct sockaddr *)&from->addr, from->len) != 0 && errno != EINPROGRESS)
        number = errno;
    else if (!ready(fd, POLLOUT, timeout_ms))
        number = ETIMEDOUT;
    else
        (void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &number, &len);
    if (number != 0) {
        (void)close(fd);
        return problem(from, "connecting over TCP", number, fault);
    }
    *out = fd;
    return OK;
}

static enum err send_all(const struct server *from, int fd, struct bytes b, uint64_t timeout_ms, struct fault *fault)
{
    while (b.len > 0) {
        ssize_t n = send(fd, b.ptr, b.len, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return problem(from, "asking for the zone", errno, fault);
        if (n > 0)
            b = bytes_of(b.ptr + n, b.len - (size_t)n);
        else if (!ready(fd, POLLOUT, timeout_ms))
            return problem(from, "asking for the zone", 0, fault);
    }
    return OK;
}

static enum err ask(const struct server *from, int fd, const struct xfrin *x, uint64_t timeout_ms, struct fault *fault)
{
    struct bytes query = xfrin_query(x);
    uint8_t prefix[TCP_PREFIX];
    tcp_put_prefix(prefix, query.len);
    enum err err = send_all(from, fd, bytes_of(prefix, sizeof prefix), timeout_ms, fault);
    return err == OK ? send_all(from, fd, query, timeout_ms, fault) : err;
}

/* --- the stream -------------------------------------------------------------------------------------------------------- */
/* The messages that are there; *used bytes of them were. */
static enum xfrin_verdict take(struct xfrin *x, struct bytes in, size_t *used, struct fault *fault)
{
    enum xfrin_verdict v = XFRIN_MORE;
    struct bytes msg;
    size_t need;
    enum err err = OK;
    while (v == XFRIN_MORE && (err = tcp_next(bytes_of(in.ptr + *used, in.len - *used), &msg, &need)) == OK) {
        v = xfrin_take(x, msg, (uint64_t)time(NULL), fault);
        *used += TCP_PREFIX + msg.len;
    }
    if (v == XFRIN_MORE && err == ERR_BAD) {
        (void)fault_set(fault, ERR_BAD, "a message of no length");
        return XFRIN_FAILED;
    }
    return v;
}

static enum err receive(const struct server *from, int fd, struct xfrin *x, uint8_t *in, uint64_t timeout_ms, struct fault *fault)
{
    struct fault why = { "" };
    enum xfrin_verdict v = XFRIN_MORE;
    size_t len = 0;
    while (v == XFRIN_MORE) {
        size_t used = 0;
        if (!ready(fd, POLLIN, timeout_ms))
            return problem(from, "the zone's transfer", 0, fault);
        ssize_t n = recv(fd, in + len, IN_MAX - len, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (n < 0)
            return problem(from, "the zone's transfer", errno, fault);
        len += (size_t)n;
        v = n == 0 ? xfrin_closed(x, &why) : take(x, bytes_of(in, len), &used, &why);
        memmove(in, in + used, len - used);
        len -= used;
    }
    if (v == XFRIN_DONE && xfrin_is_whole(x))
        return OK;
    return fault_set(fault, ERR_REFUSED, "%s does not give the zone: %s", from->text, fault_text(&why, ERR_REFUSED));
}

MUST_USE enum err axfr_fetch(const struct server *from, struct bytes apex, const struct tsig_key *key, uint64_t timeout_ms,
                             struct xfrin **out, struct fault *fault)
{
    struct xfrin_ask question = { .kind = XFRIN_AXFR, .key = key, .limits = { .records = AXFR_RECORDS_MAX } };
    struct xfrin *x = NULL;
    uint8_t *in = malloc(IN_MAX);
    int fd = -1;
    enum err err = in == NULL ? ERR_NOMEM : OK;
    memcpy(question.apex.wire, apex.ptr, apex.len);
    question.apex.len = (uint8_t)apex.len;
    if (err == OK)
        err = xfrin_begin(&x, &question, (uint16_t)randombytes_random(), (uint64_t)time(NULL));
    if (err == OK)
        err = open_stream(from, timeout_ms, &fd, fault);
    if (err == OK)
        err = ask(from, fd, x, timeout_ms, fault);
    if (err == OK)
        err = receive(from, fd, x, in, timeout_ms, fault);
    if (fd >= 0)
        (void)close(fd);
    free(in);
    if (err == OK)
        *out = x;
    else
        xfrin_end(x);
    return err;
}
