#include "replicator/session.h"

#include "base/msg.h"
#include "replicator/keyring.h"

#include <sodium.h>
#include <stdlib.h>

#define ASK_MAX 512                     /* a request in plain: a few numbers, or a name */
#define KEY_FIRST_MS 20
#define REPLICA_LONG_MS 100000          /* by then the replica has given up its request: a chunk on a slow line may take 80 s */

enum out { OUT_NOTHING, OUT_HELLO, OUT_KEYS, OUT_REPLICA_HELLO, OUT_REPLICA };     /* what is on its way */

struct session {
    struct node_key key;
    const char *node;
    bool greeted;                       /* the next three are the upstream's */
    uint8_t nonce[NONCE_LEN], pub[32];
    struct seal_key shared;
    char upstream[NODE_NAME_MAX + 1];
    uint64_t number;
    enum out out;
    uint64_t out_ms;
    uint8_t hash[SEAL_HASH_LEN];        /* of the signed request on its way */
    uint8_t ask[ASK_MAX];               /* the replica's request; len 0: none */
    size_t ask_len;
    bool ask_again;                     /* it had its second try, behind a new hello */
    uint64_t want, want_at_ms;          /* id of a key; 0: none */
    unsigned want_tries;
    uint64_t refusal;
    bool found;
    uint8_t key_found[CLUSTER_KEY_LEN];
    uint8_t sending[REQUEST_MAX];
    uint8_t *plain;                     /* REPLY_MAX */
};

enum err session_open(struct session **out, const struct node_key *key, const char *node)
{
    struct session *s = calloc(1, sizeof *s);
    if (s == NULL || (s->plain = malloc(REPLY_MAX)) == NULL) {
        free(s);
        return ERR_NOMEM;
    }
    s->key = *key;
    s->node = node;
    /* A nonce outlives our restart: no request of before may have the hash of a later one. */
    randombytes_buf(&s->number, sizeof s->number);
    *out = s;
    return OK;
}

void session_close(struct session *s)
{
    if (s == NULL)
        return;
    free(s->plain);
    sodium_memzero(s, sizeof *s);
    free(s);
}

void session_reset(struct session *s)
{
    s->greeted = false;
    s->out = OUT_NOTHING;
    s->ask_len = 0;
    s->want_at_ms = 0;
    s->want_tries = 0;
    s->upstream[0] = '\0';
}

const char *session_upstream(const struct session *s)
{
    return s->upstream;
}

/* --- sending -------------------------------------------------------------------------------------------------------- */
static void on_its_way(struct session *s, enum out out, uint64_t now, const struct wr *w, struct bytes *send)
{
    s->out = out;
    s->out_ms = now;
    *send = wr_done(w);
}

static void send_hello(struct session *s, uint64_t now, struct bytes *send)
{
    struct request q = { .type = MESSAGE_HELLO, .node = bytes_of_text(s->node) };
    struct wr w = wr_over(s->sending, sizeof s->sending);
    request_put(&w, &q);
    on_its_way(s, OUT_HELLO, now, &w, send);
}

static void send_signed(struct session *s, enum out out, struct bytes request, uint64_t now, struct bytes *send)
{
    struct wr w = wr_over(s->sending, sizeof s->sending);
    seal_request(&w, &s->key, bytes_of_text(s->node), s->nonce, ++s->number, request, s->hash);
    on_its_way(s, out, now, &w, send);
}

static void send_keys(struct session *s, uint64_t now, struct bytes *send)
{
    uint8_t buf[16];
    struct wr w = wr_over(buf, sizeof buf);
    struct request q = { .type = MESSAGE_KEYS };
    request_put(&w, &q);
    send_signed(s, OUT_KEYS, wr_done(&w), now, send);
}

/* Nothing is on its way: what is next? */
static void next(struct session *s, uint64_t now, struct bytes *send)
{
    bool keys = s->want != 0 && now >= s->want_at_ms;
    if (!keys && s->ask_len == 0)
        return;
    if (!s->greeted)
        send_hello(s, now, send);
    else if (keys)
        send_keys(s, now, send);
    else
        send_signed(s, OUT_REPLICA, bytes_of(s->ask, s->ask_len), now, send);
}

static bool is_hello(struct bytes ask)
{
    struct request q;
    return request_read(ask, &q) == OK && q.type == MESSAGE_HELLO;
}

void session_ask(struct session *s, struct bytes ask, uint64_t now, struct bytes *send)
{
    *send = (struct bytes){ 0 };
    s->ask_len = 0;
    if (is_hello(ask)) {
        s->out = OUT_REPLICA_HELLO;
        s->out_ms = now;
        *send = ask;
        return;
    }
    if (ask.len > sizeof s->ask)
        return;
    memcpy(s->ask, ask.ptr, ask.len);
    s->ask_len = ask.len;
    s->ask_again = false;
    if (s->out == OUT_NOTHING || s->out == OUT_REPLICA)
        next(s, now, send);
}

void session_tick(struct session *s, uint64_t now, struct bytes *send)
{
    uint64_t most = s->out == OUT_REPLICA || s->out == OUT_REPLICA_HELLO ? REPLICA_LONG_MS : SESSION_WAIT_MS;
    *send = (struct bytes){ 0 };
    if (s->out != OUT_NOTHING && now - s->out_ms >= most) {
        if (s->out == OUT_REPLICA)
            s->ask_len = 0;
        s->out = OUT_NOTHING;
        s->greeted = false;
    }
    if (s->out == OUT_NOTHING)
        next(s, now, send);
}

/* --- cluster keys --------------------------------------------------------------------------------------------------- */
void session_want_key(struct session *s, uint64_t id, uint64_t now, struct bytes *send)
{
    *send = (struct bytes){ 0 };
    if (s->want != id) {
        s->want = id;
        s->want_at_ms = now;
        s->want_tries = 0;
    }
    if (s->out == OUT_NOTHING)
        next(s, now, send);
}

bool session_take_key(struct session *s, uint8_t key[CLUSTER_KEY_LEN])
{
    if (!s->found)
        return false;
    memcpy(key, s->key_found, CLUSTER_KEY_LEN);
    sodium_memzero(s->key_found, sizeof s->key_found);
    s->found = false;
    return true;
}

uint64_t session_take_refusal(struct session *s)
{
    uint64_t refusal = s->refusal;
    s->refusal = 0;
    return refusal;
}

static void want_later(struct session *s, uint64_t now)
{
    uint64_t wait = (uint64_t)KEY_FIRST_MS << (s->want_tries < 6 ? s->want_tries : 6);
    s->want_at_ms = now + (wait < SESSION_KEY_LAST_MS ? wait : SESSION_KEY_LAST_MS);
    s->want_tries++;
}

static void take_keys(struct session *s, struct reply *r, uint64_t now)
{
    struct bytes key;
    while (r->type == MESSAGE_KEYS && s->want != 0 && reply_next(r, &key)) {
        if (keyring_id(key.ptr) == s->want) {
            memcpy(s->key_found, key.ptr, CLUSTER_KEY_LEN);
            s->found = true;
            s->want = 0;
        }
    }
    if (s->want != 0)
        want_later(s, now);
}

/* --- receiving ------------------------------------------------------------------------------------------------------ */
static enum err take_hello(struct session *s, const struct reply *r)
{
    if (!s->greeted || memcmp(r->pub, s->pub, sizeof s->pub) != 0) {
        s->greeted = false;
        if (seal_key_make(&s->shared, &s->key, r->pub) != OK)
            return ERR_BAD;
    }
    memcpy(s->pub, r->pub, sizeof s->pub);
    memcpy(s->nonce, r->nonce, NONCE_LEN);
    for (size_t i = 0; i < r->text.len; i++)            /* reply_read allows no longer one; it will stand in log lines */
        s->upstream[i] = r->text.ptr[i] > ' ' && r->text.ptr[i] < 0x7f ? (char)r->text.ptr[i] : '?';
    s->upstream[r->text.len] = '\0';
    s->greeted = true;
    return OK;
}

/* Our nonce, or our key with the upstream, is out of date, or somebody meddles: hello, and the same once more. false: that
 * was tried, and who asked may ask anew when it has waited. */
static bool try_again(struct session *s, enum out was, uint64_t now)
{
    s->greeted = false;
    if (s->want != 0 && was != OUT_REPLICA)
        want_later(s, now);
    if (was == OUT_KEYS)
        return true;
    if (was != OUT_REPLICA || s->ask_again)
        return false;
    s->ask_again = true;
    return true;
}

static enum err take_plain(struct session *s, const struct reply *r, enum out was, struct bytes msg, uint64_t now,
                           struct bytes *plain)
{
    if (r->type == MESSAGE_HELLO && (was == OUT_HELLO || was == OUT_REPLICA_HELLO)) {
        *plain = was == OUT_REPLICA_HELLO ? msg : (struct bytes){ 0 };
        return take_hello(s, r);
    }
    if (r->type != MESSAGE_ERROR)
        return ERR_SIGNATURE;
    if (r->code == REPLY_NONCE && try_again(s, was, now))
        return OK;
    if (s->want != 0 && was != OUT_REPLICA)
        want_later(s, now);
    if (was == OUT_KEYS)
        s->refusal = r->code;
    if (was != OUT_KEYS && (s->ask_len > 0 || was == OUT_REPLICA_HELLO)) {     /* also when it waited for a hello of ours */
        *plain = msg;
        s->ask_len = 0;
    }
    return OK;
}

static enum err take_sealed(struct session *s, const struct reply *r, enum out was, uint64_t now, struct bytes *plain)
{
    struct bytes opened;
    struct reply inside;
    enum err err = was != OUT_KEYS && was != OUT_REPLICA ? ERR_SIGNATURE
                 : seal_open_reply(r, &s->shared, s->hash, s->plain, REPLY_MAX, &opened);
    if (err == OK)
        err = reply_read(opened, &inside);
    if (err == OK && (inside.type == MESSAGE_HELLO || inside.type == MESSAGE_SEALED))
        err = ERR_BAD;
    if (err != OK)
        return err;
    if (was == OUT_KEYS) {
        take_keys(s, &inside, now);
        sodium_memzero(s->plain, opened.len + SEAL_HASH_LEN);
    } else {
        s->ask_len = 0;
        *plain = opened;
    }
    return OK;
}

enum err session_reply(struct session *s, struct bytes msg, uint64_t now, struct bytes *plain, struct bytes *send)
{
    struct reply r;
    enum out was = s->out;
    *plain = *send = (struct bytes){ 0 };
    if (was == OUT_NOTHING)
        return OK;                      /* nobody waits for it any more */
    s->out = OUT_NOTHING;
    enum err err = reply_read(msg, &r);
    if (err == OK)
        err = r.type == MESSAGE_SEALED ? take_sealed(s, &r, was, now, plain) : take_plain(s, &r, was, msg, now, plain);
    if (err != OK && !try_again(s, was, now))
        s->ask_len = 0;
    if (err != OK)
        *plain = (struct bytes){ 0 };
    next(s, now, send);
    return err;
}
