#include "dnsfront/cookies.h"

#include <assert.h>
#include <sodium.h>

#define HASHED_LEN 16               /* client cookie, version, reserved, time */
#define VERSION 1

static_assert(crypto_shorthash_KEYBYTES == COOKIE_SECRET_LEN, "SipHash takes 16 bytes of key");
static_assert(HASHED_LEN + crypto_shorthash_BYTES == COOKIE_LEN, "a cookie ends with the hash");

/* cookie: its first HASHED_LEN bytes count. */
static void hash(const uint8_t *secret, const uint8_t *cookie, struct bytes client, uint8_t out[crypto_shorthash_BYTES])
{
    uint8_t in[HASHED_LEN + 16];
    memcpy(in, cookie, HASHED_LEN);
    memcpy(in + HASHED_LEN, client.ptr, client.len);
    (void)crypto_shorthash(out, in, HASHED_LEN + client.len, secret);
}

static bool is_from(const uint8_t *secret, struct bytes option, struct bytes client)
{
    uint8_t want[crypto_shorthash_BYTES];
    hash(secret, option.ptr, client, want);
    return sodium_memcmp(want, option.ptr + HASHED_LEN, sizeof want) == 0;
}

static void make(const struct cookie_secrets *s, struct bytes option, struct bytes client, uint32_t now_s,
                 uint8_t out[COOKIE_LEN])
{
    struct wr w = wr_over(out, COOKIE_LEN);
    wr_put(&w, option.ptr, COOKIE_CLIENT_LEN);
    wr_u32(&w, (uint32_t)VERSION << 24);
    wr_u32(&w, now_s);
    hash(s->secret[0], out, client, out + HASHED_LEN);
}

bool cookie_answer(const struct cookie_secrets *s, struct bytes option, struct bytes client, uint32_t now_s,
                   uint8_t out[COOKIE_LEN])
{
    struct rd r = rd_over(option);
    bool good = false, keep = false;
    (void)rd_take(&r, COOKIE_CLIENT_LEN);
    uint8_t version = rd_u8(&r);
    (void)rd_take(&r, 3);                       /* reserved: hashed as it came, nothing asked of it */
    int32_t age_s = (int32_t)(now_s - rd_u32(&r));      /* the counter may wrap (RFC 1982) */
    if (option.len == COOKIE_LEN && version == VERSION && age_s <= COOKIE_PAST_S && age_s >= -COOKIE_FUTURE_S)
        for (unsigned i = 0; i < s->n && !good; i++) {
            good = is_from(s->secret[i], option, client);
            keep = good && i == 0 && age_s <= COOKIE_RENEW_S;
        }
    if (keep)
        memcpy(out, option.ptr, COOKIE_LEN);
    else
        make(s, option, client, now_s, out);
    return good;
}
