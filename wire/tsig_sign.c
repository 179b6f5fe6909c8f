#include "wire/tsig_sign.h"

#include "wire/query.h"
#include "wire/rrtype.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <strings.h>

#define MAC_MIN 10          /* RFC 8945 section 5.2.2.1: and no less than half of the whole */
#define TIME_LEN 6

/* --- algorithms ------------------------------------------------------------------------------------------------------ */
static const struct algorithm { const char *text; char wire[14]; uint8_t wire_len, mac_len; const char *digest; } algorithms[] = {
    [TSIG_SHA1]   = { "hmac-sha1", "\x09" "hmac-sha1", 11, 20, "SHA1" },
    [TSIG_SHA224] = { "hmac-sha224", "\x0b" "hmac-sha224", 13, 28, "SHA224" },
    [TSIG_SHA256] = { "hmac-sha256", "\x0b" "hmac-sha256", 13, 32, "SHA256" },
    [TSIG_SHA384] = { "hmac-sha384", "\x0b" "hmac-sha384", 13, 48, "SHA384" },
    [TSIG_SHA512] = { "hmac-sha512", "\x0b" "hmac-sha512", 13, 64, "SHA512" },
};

MUST_USE enum err tsig_hash_of_text(struct bytes text, enum tsig_hash *out)
{
    if (text.len > 0 && text.ptr[text.len - 1] == '.')
        text.len--;
    for (size_t i = 0; i < TSIG_HASHES; i++) {
        if (strlen(algorithms[i].text) == text.len && strncasecmp(algorithms[i].text, (const char *)text.ptr, text.len) == 0) {
            *out = (enum tsig_hash)i;
            return OK;
        }
    }
    return ERR_NOTFOUND;
}

MUST_USE enum err tsig_hash_of_name(struct bytes name, enum tsig_hash *out)
{
    for (size_t i = 0; i < TSIG_HASHES; i++) {
        if (name_equal(name, tsig_hash_name((enum tsig_hash)i))) {
            *out = (enum tsig_hash)i;
            return OK;
        }
    }
    return ERR_NOTFOUND;
}

struct bytes tsig_hash_name(enum tsig_hash hash) { return bytes_of(algorithms[hash].wire, algorithms[hash].wire_len); }
const char *tsig_hash_text(enum tsig_hash hash) { return algorithms[hash].text; }
unsigned tsig_hash_len(enum tsig_hash hash) { return algorithms[hash].mac_len; }

size_t tsig_room(const struct tsig_key *key)
{
    enum { FIXED = 10 + 16 + TIME_LEN };        /* of the record; of its data; our time when the client's is wrong */
    return key->name.len + tsig_hash_name(key->hash).len + tsig_hash_len(key->hash) + FIXED;
}

uint16_t tsig_error(enum tsig_verdict v)
{
    switch (v) {
    case TSIG_UNKNOWN:      return TSIG_BADKEY;
    case TSIG_FORGED:       return TSIG_BADSIG;
    case TSIG_LATE:         return TSIG_BADTIME;
    case TSIG_SHORT_MAC:    return TSIG_BADTRUNC;
    case TSIG_GOOD:
    case TSIG_MALFORMED:    break;
    }
    return 0;
}

/* --- the chain --------------------------------------------------------------------------------------------------------- */
struct tsig_chain {
    struct tsig_key key;            /* without the secret */
    EVP_MAC_CTX *mac;               /* of the next MAC: over the one before it and what was skipped */
    unsigned macs, skipped;         /* macs: taken so far, 2 when there are more */
    bool failed;                    /* the library: all that follows is ERR_NOMEM or TSIG_FORGED */
};

static void feed(struct tsig_chain *c, struct bytes b)
{
    if (b.len > 0 && EVP_MAC_update(c->mac, b.ptr, b.len) != 1)
        c->failed = true;
}

static void feed_be(struct tsig_chain *c, uint64_t v, size_t width)
{
    uint8_t buf[8];
    struct wr w = wr_over(buf, sizeof buf);
    wr_be(&w, v, width);
    feed(c, wr_done(&w));
}

static void feed_lower(struct tsig_chain *c, struct bytes name)
{
    struct name n = { .len = (uint8_t)name.len };
    memcpy(n.wire, name.ptr, name.len);
    name_lower(n.wire, n.len);
    feed(c, name_bytes(&n));
}

MUST_USE enum err tsig_open(struct tsig_chain **out, const struct tsig_key *key)
{
    if (key->secret.len == 0)
        return ERR_BAD;
    struct tsig_chain *c = calloc(1, sizeof *c);
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    const struct algorithm *a = &algorithms[key->hash];
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)(uintptr_t)a->digest, 0), OSSL_PARAM_construct_end(),
    };
    if (c != NULL)
        *c = (struct tsig_chain){ .key = *key, .mac = hmac == NULL ? NULL : EVP_MAC_CTX_new(hmac) };
    EVP_MAC_free(hmac);                         /* the context keeps it */
    if (c != NULL)
        c->key.secret = (struct bytes){ 0 };
    if (c == NULL || c->mac == NULL || EVP_MAC_init(c->mac, key->secret.ptr, key->secret.len, params) != 1) {
        tsig_close(c);
        return ERR_NOMEM;
    }
    *out = c;
    return OK;
}

void tsig_close(struct tsig_chain *c)
{
    if (c == NULL)
        return;
    EVP_MAC_CTX_free(c->mac);
    free(c);
}

/* Header and all records in front of the TSIG, as they were before it was added. */
static void feed_message(struct tsig_chain *c, struct bytes msg, size_t at, uint16_t original_id)
{
    struct rd r = rd_over(bytes_of(msg.ptr, at));
    (void)rd_u16(&r);
    struct bytes flags_and_counts = rd_take(&r, 8);
    uint16_t additional = rd_u16(&r);
    feed_be(c, original_id, 2);
    feed(c, flags_and_counts);
    feed_be(c, (uint64_t)additional - 1, 2);
    feed(c, rd_take(&r, rd_left(&r)));
}

static void feed_variables(struct tsig_chain *c, const struct tsig *t)
{
    if (c->macs < 2) {
        feed_lower(c, name_bytes(&t->key));
        feed_be(c, CLASS_ANY, 2);
        feed_be(c, 0, 4);
        feed_lower(c, t->algorithm);
    }
    feed(c, t->signed_at);
    if (c->macs < 2) {
        feed_be(c, t->error, 2);
        feed_be(c, t->other.len, 2);
        feed(c, t->other);
    }
}

/* The MAC over all that was fed. */
static void take(struct tsig_chain *c, uint8_t out[TSIG_MAC_MAX])
{
    size_t len = 0;
    if (EVP_MAC_final(c->mac, out, &len, TSIG_MAC_MAX) != 1 || len != algorithms[c->key.hash].mac_len)
        c->failed = true;
}

/* The next MAC begins with this one, as long as it was on the wire. */
static void go_on(struct tsig_chain *c, struct bytes mac)
{
    if (EVP_MAC_init(c->mac, NULL, 0, NULL) != 1)
        c->failed = true;
    feed_be(c, mac.len, 2);
    feed(c, mac);
    c->macs += c->macs < 2;
    c->skipped = 0;
}

static bool in_time(const struct tsig *t, uint64_t now_s)
{
    uint64_t apart = now_s > t->time_s ? now_s - t->time_s : t->time_s - now_s;
    return apart <= t->fudge_s;
}

MUST_USE enum tsig_verdict tsig_check(struct tsig_chain *c, struct bytes msg, size_t at, const struct tsig *t, uint64_t now_s)
{
    size_t whole = algorithms[c->key.hash].mac_len, least = whole / 2 > MAC_MIN ? whole / 2 : MAC_MIN;
    uint8_t mac[TSIG_MAC_MAX];
    if (!name_equal(name_bytes(&t->key), name_bytes(&c->key.name)) || !name_equal(t->algorithm, tsig_hash_name(c->key.hash)))
        return TSIG_UNKNOWN;
    if (t->mac.len > whole || (t->mac.len > 0 && t->mac.len < least))
        return TSIG_MALFORMED;
    if (t->mac.len == 0 || at < DNS_HEADER_LEN || at > msg.len || (msg.ptr[10] == 0 && msg.ptr[11] == 0))
        return TSIG_FORGED;
    feed_message(c, msg, at, t->original_id);
    feed_variables(c, t);
    take(c, mac);
    if (c->failed || CRYPTO_memcmp(mac, t->mac.ptr, t->mac.len) != 0)
        return TSIG_FORGED;
    go_on(c, t->mac);
    if (!in_time(t, now_s))
        return TSIG_LATE;
    return t->mac.len < c->key.mac_min ? TSIG_SHORT_MAC : TSIG_GOOD;
}

static struct bytes write_time(uint8_t *buf, uint64_t time_s, uint16_t fudge_s, bool fudge)
{
    struct wr w = wr_over(buf, TIME_LEN + 2);
    wr_be(&w, time_s, TIME_LEN);
    if (fudge)
        wr_u16(&w, fudge_s);
    return wr_done(&w);
}

MUST_USE enum err tsig_sign(struct tsig_chain *c, struct wr *w, uint64_t now_s, uint16_t error, const struct tsig *to)
{
    uint8_t mac[TSIG_MAC_MAX], at[TIME_LEN + 2], ours[TIME_LEN + 2];
    if (w->full || w->len < DNS_HEADER_LEN)
        return ERR_NOSPACE;
    struct rd r = rd_over(wr_done(w));
    struct tsig t = { .key = c->key.name, .algorithm = tsig_hash_name(c->key.hash), .error = error, .original_id = rd_u16(&r) };
    (void)rd_take(&r, 8);
    uint16_t additional = rd_u16(&r);
    bool late = error == TSIG_BADTIME && to != NULL;
    t.signed_at = write_time(at, late ? to->time_s : now_s, late ? to->fudge_s : TSIG_FUDGE_S, true);
    if (late)
        t.other = write_time(ours, now_s, 0, false);
    feed(c, wr_done(w));
    feed_variables(c, &t);
    take(c, mac);
    if (c->failed)
        return ERR_NOMEM;
    t.mac = bytes_of(mac, algorithms[c->key.hash].mac_len);
    tsig_write(w, &t);
    wr_patch_u16(w, 10, (uint16_t)(additional + 1));
    go_on(c, t.mac);
    return w->full ? ERR_NOSPACE : c->failed ? ERR_NOMEM : OK;
}

MUST_USE enum err tsig_skip(struct tsig_chain *c, struct bytes msg)
{
    if (c->skipped >= TSIG_UNSIGNED_MAX)
        return ERR_LIMIT;
    feed(c, msg);
    c->skipped++;
    return c->failed ? ERR_NOMEM : OK;
}

unsigned tsig_skipped(const struct tsig_chain *c) { return c->skipped; }
