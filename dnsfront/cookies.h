/* DNS cookies (RFC 7873) in the form that servers of all makes can share (RFC 9018): a client that sends back what it was
 * given shows that its address is its own. Nothing is remembered: the cookie proves itself.
 *
 *     │ client cookie (8) │ version 1 │ reserved (3) │ made at (4) │ SipHash-2-4 of all before and the client's address (8) │
 *                         ◄───────────────────── server cookie ───────────────────────────────────────────────────────►
 *
 * The first secret makes cookies, all of them check: so a new one can come in while cookies of the old one are about. */
#ifndef AZOTH_DNSFRONT_COOKIES_H
#define AZOTH_DNSFRONT_COOKIES_H

#include "base/bytes.h"

#define COOKIE_SECRET_LEN 16
#define COOKIE_SECRETS_MAX 2
#define COOKIE_CLIENT_LEN 8
#define COOKIE_LEN 24               /* client and server cookie */
#define COOKIE_PAST_S 3600          /* older ones are not good any more */
#define COOKIE_RENEW_S 1800         /* older ones are answered with a new one */
#define COOKIE_FUTURE_S 300         /* clocks of servers that share a secret may be that far apart */

struct cookie_secrets {
    uint8_t secret[COOKIE_SECRETS_MAX][COOKIE_SECRET_LEN];
    unsigned n;                     /* 0: cookies are off */
};

/* Writes the cookie to answer with. option: what the client sent, 8 or more bytes. client: its address, 4 or 16 bytes.
 * true: it sent a good server cookie. s->n > 0. */
bool cookie_answer(const struct cookie_secrets *s, struct bytes option, struct bytes client, uint32_t now_s,
                   uint8_t out[COOKIE_LEN]);

#endif
