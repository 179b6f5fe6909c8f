/* DNS over a byte stream: each message behind its length in 2 bytes (RFC 1035 section 4.2.2, RFC 7766 section 8).
 *
 *     │ 00 1d │ message (29) │ 00 2c │ message (44) ...        several may be in the buffer: pipelining
 */
#ifndef AZOTH_WIRE_TCP_H
#define AZOTH_WIRE_TCP_H

#include "base/err.h"

#define TCP_PREFIX 2
#define TCP_MESSAGE_MAX 65535

/* The first message in what a stream has delivered so far; borrowed from `in`. It takes TCP_PREFIX + msg->len bytes.
 * ERR_SHORT: not complete yet; *need is the number of bytes that `in` must hold (at least TCP_PREFIX), for read marks.
 * ERR_BAD: length 0: the framing is broken, close the stream. *need is set in every case but ERR_BAD. */
static inline MUST_USE enum err tcp_next(struct bytes in, struct bytes *msg, size_t *need)
{
    struct rd r = rd_over(in);
    size_t len = rd_u16(&r);
    if (r.bad) {
        *need = TCP_PREFIX;
        return ERR_SHORT;
    }
    if (len == 0)
        return ERR_BAD;
    *need = TCP_PREFIX + len;
    struct bytes got = rd_take(&r, len);
    if (r.bad)
        return ERR_SHORT;
    *msg = got;
    return OK;
}

/* The prefix of a message of len bytes, len <= TCP_MESSAGE_MAX. */
static inline void tcp_put_prefix(uint8_t at[TCP_PREFIX], size_t len)
{
    at[0] = (uint8_t)(len >> 8);
    at[1] = (uint8_t)len;
}

#endif
