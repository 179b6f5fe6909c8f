#include "replicator/receipt.h"

#include "base/msg.h"

#include <sodium.h>

#define ELEMENTS 17
#define NUMBER_MAX ((uint64_t)INT64_MAX)        /* JSON's, where they end up */

static const uint8_t purpose[] = "azoth receipt 1";     /* with the 0 behind it */

const char *receipt_state_text(enum receipt_state s)
{
    static const char *const text[RECEIPT_STATES] = { "live", "catching-up", "copying", "stopped", "rotten" };
    return text[s];
}

/* --- bytes ----------------------------------------------------------------------------------------------------------- */
static void put_body(struct wr *w, const struct receipt *r)
{
    msg_put_array(w, ELEMENTS);
    msg_put_bin(w, bytes_of(r->cluster, CLUSTER_LEN));
    msg_put_text(w, r->node);
    msg_put_text(w, r->parent);
    msg_put_text(w, r->cohort);
    msg_put_uint(w, r->boot);
    msg_put_uint(w, r->counter);
    msg_put_uint(w, r->epoch);
    msg_put_uint(w, r->seq);
    msg_put_bin(w, bytes_of(r->digest, HEAD_DIGEST_LEN));
    msg_put_uint(w, r->head_seq);
    msg_put_uint(w, r->head_time_ms);
    msg_put_uint(w, r->held_us);
    msg_put_uint(w, r->lag_ms);
    msg_put_uint(w, (uint64_t)r->state);
    msg_put_text(w, r->version);
    msg_put_uint(w, r->uptime_s);
    msg_put_uint(w, r->qps);
}

/* What is signed; len 0: the body is too long. */
static struct bytes signed_text(uint8_t out[sizeof purpose + RECEIPT_MAX], struct bytes body)
{
    struct wr w = wr_over(out, sizeof purpose + RECEIPT_MAX);
    wr_put(&w, purpose, sizeof purpose);
    wr_bytes(&w, body);
    return w.full ? (struct bytes){ 0 } : wr_done(&w);
}

void receipt_put(struct wr *w, const struct receipt *r, const struct node_key *key)
{
    uint8_t body[RECEIPT_MAX], text[sizeof purpose + RECEIPT_MAX], sig[crypto_sign_BYTES];
    struct wr b = wr_over(body, sizeof body - 80);      /* the array, its type, both headers and the signature */
    put_body(&b, r);
    if (b.full) {
        w->full = true;
        return;
    }
    struct bytes all = signed_text(text, wr_done(&b));
    crypto_sign_detached(sig, NULL, all.ptr, all.len, key->secret);
    msg_put_array(w, 3);
    msg_put_uint(w, 1);
    msg_put_bin(w, wr_done(&b));
    msg_put_bin(w, bytes_of(sig, sizeof sig));
}

/* They are shown on terminals. */
static struct bytes take_word(struct rd *r, size_t least, size_t most)
{
    struct bytes b = msg_text(r);
    if (!r->bad && (b.len < least || b.len > most))
        rd_fail(r);
    for (size_t i = 0; i < b.len && !r->bad; i++)
        if (b.ptr[i] <= ' ' || b.ptr[i] > '~')
            rd_fail(r);
    return r->bad ? (struct bytes){ 0 } : b;
}

static uint64_t take_number(struct rd *r, uint64_t most)
{
    uint64_t n = msg_uint(r);
    if (!r->bad && n > most)
        rd_fail(r);
    return n;
}

static enum err ended(const struct rd *r)
{
    return r->bad ? rd_err(r) : rd_done(r) ? OK : ERR_BAD;
}

static enum err body_read(struct bytes in, struct receipt *out)
{
    struct rd r = rd_over(in);
    uint32_t n = msg_array(&r);
    if (!r.bad && n < ELEMENTS)
        rd_fail(&r);
    msg_fixed(&r, out->cluster, CLUSTER_LEN);
    out->node = take_word(&r, 1, NODE_NAME_MAX);
    out->parent = take_word(&r, 0, NODE_NAME_MAX);
    out->cohort = take_word(&r, 0, COHORT_NAME_MAX);
    out->boot = msg_uint(&r);
    out->counter = take_number(&r, NUMBER_MAX);
    out->epoch = take_number(&r, NUMBER_MAX);
    out->seq = take_number(&r, NUMBER_MAX);
    msg_fixed(&r, out->digest, HEAD_DIGEST_LEN);
    out->head_seq = take_number(&r, NUMBER_MAX);
    out->head_time_ms = take_number(&r, NUMBER_MAX);
    out->held_us = take_number(&r, NUMBER_MAX);
    out->lag_ms = take_number(&r, NUMBER_MAX);
    out->state = (enum receipt_state)take_number(&r, RECEIPT_STATES - 1);
    out->version = take_word(&r, 0, RECEIPT_VERSION_MAX);
    out->uptime_s = take_number(&r, NUMBER_MAX);
    out->qps = take_number(&r, NUMBER_MAX);
    msg_skip_rest(&r, n, ELEMENTS);
    return ended(&r);
}

enum err receipt_read(struct bytes in, struct receipt *out, struct bytes *body, uint8_t sig[64])
{
    struct rd r = rd_over(in);
    struct receipt got = { .counter = 0 };
    uint8_t signature[crypto_sign_BYTES];
    if (in.len > RECEIPT_MAX)
        return ERR_BAD;
    uint32_t n = msg_array(&r);
    uint64_t type = msg_uint(&r);
    if (r.bad)
        return rd_err(&r);
    if (type != 1)
        return ERR_FORMAT;
    if (n < 3)
        return ERR_BAD;
    struct bytes inner = msg_bin(&r);
    msg_fixed(&r, signature, sizeof signature);
    msg_skip_rest(&r, n, 3);
    enum err err = ended(&r);
    /* What the body lacks no further byte would bring. */
    if (err == OK && (err = body_read(inner, &got)) == ERR_SHORT)
        err = ERR_BAD;
    if (err != OK)
        return err;
    *out = got;
    *body = inner;
    memcpy(sig, signature, sizeof signature);
    return OK;
}

enum err receipt_verify(struct bytes body, const uint8_t sig[64], const uint8_t pub[32])
{
    uint8_t text[sizeof purpose + RECEIPT_MAX];
    struct bytes all = signed_text(text, body);
    return all.len > 0 && crypto_sign_verify_detached(sig, all.ptr, all.len, pub) == 0 ? OK : ERR_SIGNATURE;
}

/* --- pace ------------------------------------------------------------------------------------------------------------ */
#define SPREAD_NODES 1000       /* so many a ms each */
#define NODES_MOST 50000        /* whatever is said: 13 s. Two receipts are at most two such waits apart, so nobody seems away
                                 * for that (FLEET_HEARD_MS) */

uint64_t receipt_spread_ms(uint64_t nodes)
{
    uint64_t n = nodes < NODES_MOST ? nodes : NODES_MOST;
    return n <= RECEIPT_AT_ONCE ? 0 : n <= SPREAD_NODES ? n : SPREAD_NODES + (n - SPREAD_NODES) / 4;
}

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

uint64_t receipt_wake_ms(struct receipt_pace *p, uint64_t epoch, uint64_t seq, uint64_t now_ms)
{
    uint64_t spread = receipt_spread_ms(p->nodes);
    bool moved = p->sent_epoch != epoch || p->sent_seq != seq;
    if (moved && !p->moved)
        p->moved_ms = now_ms;
    p->moved = moved;
    uint64_t at = p->sent_ms + later(spread, moved ? RECEIPT_BURST_MS : RECEIPT_IDLE_MS);
    if (moved)
        at = later(at, p->moved_ms + spread / 2 + spread / 2 * (p->random >> 56) / 256);
    return !p->ever || at <= now_ms ? 0 : at - now_ms;
}

bool receipt_is_due(struct receipt_pace *p, uint64_t epoch, uint64_t seq, uint64_t now_ms)
{
    return receipt_wake_ms(p, epoch, seq, now_ms) == 0;
}

void receipt_sent(struct receipt_pace *p, uint64_t epoch, uint64_t seq, uint64_t now_ms)
{
    p->sent_ms = now_ms;
    p->sent_epoch = epoch;
    p->sent_seq = seq;
    p->ever = true;
    p->moved = false;
    p->random = p->random * 6364136223846793005u + 1442695040888963407u;
}

bool receipt_rate_pass(uint64_t *due_us, uint64_t per_second, uint64_t now_us)
{
    uint64_t each = 1000000 / per_second;
    uint64_t due = *due_us > now_us ? *due_us : now_us;
    if (due + each > now_us + 1000000)
        return false;
    *due_us = due + each;
    return true;
}
