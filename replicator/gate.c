#include "replicator/gate.h"

#include "base/log.h"

#include <sodium.h>
#include <stdlib.h>

#define BUCKET_MS 2000                  /* of hellos: what comes at once */

enum why { WHY_MALFORMED, WHY_UNKNOWN, WHY_HELLOS, WHY_UNSIGNED, WHY_NONCE, WHY_UNLISTED, WHY_FORGED, WHYS };
static const char *const why_text[WHYS] = { "malformed", "unknown", "too-fast", "unsigned", "nonce", "unlisted", "forged" };

struct gate {
    struct node_key key;
    struct nodes *nodes;
    uint8_t nonce[2][NONCE_LEN];        /* the newest first */
    uint64_t nonce_ms;                  /* when it was made */
    struct bucket { uint64_t at_ms, taken; } hellos, strangers;
    struct log_brake unlisted, forged;
    uint64_t n[WHYS];
};

enum err gate_open(struct gate **out, const struct node_key *key, struct nodes *nodes, uint64_t now_ms)
{
    struct gate *g = calloc(1, sizeof *g);
    if (g == NULL)
        return ERR_NOMEM;
    g->key = *key;
    g->nodes = nodes;
    g->nonce_ms = g->hellos.at_ms = g->strangers.at_ms = now_ms;
    randombytes_buf(g->nonce, sizeof g->nonce);
    *out = g;
    return OK;
}

void gate_close(struct gate *g)
{
    if (g == NULL)
        return;
    sodium_memzero(g, sizeof *g);
    free(g);
}

void gate_nodes(struct gate *g, struct nodes *nodes)
{
    g->nodes = nodes;
}

/* --- nonces --------------------------------------------------------------------------------------------------------- */
static void nonces_turn(struct gate *g, uint64_t now_ms)
{
    uint64_t age = now_ms - g->nonce_ms;
    if (age < GATE_NONCE_MS)
        return;
    if (age < 2 * GATE_NONCE_MS)
        memcpy(g->nonce[1], g->nonce[0], NONCE_LEN);
    else                                /* nobody asked for so long: both are old */
        randombytes_buf(g->nonce[1], NONCE_LEN);
    randombytes_buf(g->nonce[0], NONCE_LEN);
    g->nonce_ms = now_ms - age % GATE_NONCE_MS;
}

const uint8_t *gate_nonce(struct gate *g, uint64_t now_ms)
{
    nonces_turn(g, now_ms);
    return g->nonce[0];
}

static bool nonce_is_ours(struct gate *g, const uint8_t nonce[NONCE_LEN], uint64_t now_ms)
{
    nonces_turn(g, now_ms);
    return memcmp(nonce, g->nonce[0], NONCE_LEN) == 0 || memcmp(nonce, g->nonce[1], NONCE_LEN) == 0;
}

/* --- verdicts ------------------------------------------------------------------------------------------------------- */
static enum gate_verdict drop(struct gate *g, enum why why)
{
    g->n[why]++;
    return GATE_DROP;
}

static enum gate_verdict refuse(struct gate *g, enum why why, enum reply_error code, const char *text, struct wr *w)
{
    g->n[why]++;
    reply_error_put(w, code, text, 0);
    return GATE_REFUSED;
}

static void say(struct log_brake *brake, const char *event, struct bytes node, uint64_t now_ms, const char *words)
{
    char name[NODE_NAME_MAX + 1], quoted[4 * NODE_NAME_MAX + 3];
    unsigned held;
    if (!log_brake_pass_in(brake, now_ms, LOG_SLOW_MS, 5, &held))
        return;
    memcpy(name, node.ptr, node.len);   /* request_read allows no longer one */
    name[node.len] = '\0';
    log_warn(event, "node=%s held=%u %s", log_quote(quoted, sizeof quoted, name), held, words);
}

static enum gate_verdict unlisted(struct gate *g, struct bytes node, uint64_t now_ms, struct wr *w)
{
    say(&g->unlisted, "publish.unlisted", node, now_ms,
        "next=refuse hint=\"to admit it, put its node.pub as NAME.pub into the folder nodes, then SIGHUP\"");
    return refuse(g, WHY_UNLISTED, REPLY_UNLISTED, "this node is not listed here", w);
}

static bool bucket_gives(struct bucket *b, uint64_t rate, uint64_t now_ms)
{
    uint64_t back = (now_ms - b->at_ms) * rate / 1000;
    if (back > 0) {
        b->taken = b->taken > back ? b->taken - back : 0;
        b->at_ms = now_ms;
    }
    if (b->taken >= rate * BUCKET_MS / 1000)
        return false;
    b->taken++;
    return true;
}

/* Strangers must not be able to keep our nodes from being heard. */
static bool hello_is_within_rate(struct gate *g, struct bytes node, uint64_t now_ms)
{
    bool listed = g->nodes != NULL && nodes_find(g->nodes, node) != NULL;
    return listed ? bucket_gives(&g->hellos, GATE_HELLO_RATE, now_ms)
                  : bucket_gives(&g->strangers, GATE_STRANGER_RATE, now_ms);
}

/* One scalar multiplication for each node, and only behind a good signature. */
static bool key_agreed(struct gate *g, struct node_entry *node)
{
    if (!node->has_shared)
        node->has_shared = seal_key_make(&node->shared, &g->key, node->pub) == OK;
    return node->has_shared;
}

static enum gate_verdict check_signed(struct gate *g, struct bytes msg, const struct request *q, uint64_t now_ms,
                                      struct gate_asked *out, struct wr *w)
{
    if (!nonce_is_ours(g, q->nonce, now_ms))
        return refuse(g, WHY_NONCE, REPLY_NONCE, "not a nonce of ours: hello first", w);
    struct node_entry *node = g->nodes == NULL ? NULL : nodes_find(g->nodes, q->node);
    if (node == NULL)
        return unlisted(g, q->node, now_ms, w);
    if (seal_verify(q, node->pub) != OK) {
        say(&g->forged, "publish.forged", q->node, now_ms,
            "err=\"signed with another key than that of NAME.pub in the folder nodes\" next=drop");
        return drop(g, WHY_FORGED);
    }
    if (!key_agreed(g, node))
        return unlisted(g, q->node, now_ms, w);
    out->node = q->node;
    out->key = node->shared;
    seal_hash(msg, out->hash);
    enum err err = request_read(q->inner, &out->q);
    if (err == ERR_FORMAT) {
        g->n[WHY_UNKNOWN]++;            /* answered by who serves, sealed */
        return GATE_PASSED;
    }
    return err != OK || out->q.type == MESSAGE_HELLO || out->q.type == MESSAGE_SIGNED ? drop(g, WHY_MALFORMED) : GATE_PASSED;
}

enum gate_verdict gate_check(struct gate *g, struct bytes msg, uint64_t now_ms, struct gate_asked *out, struct wr *refusal)
{
    enum err err = request_read(msg, &out->q);
    if (err == ERR_FORMAT)
        return refuse(g, WHY_UNKNOWN, REPLY_UNKNOWN, "request type is not known here", refusal);
    if (err != OK)
        return drop(g, WHY_MALFORMED);
    out->node = out->q.node;
    if (out->q.type == MESSAGE_HELLO)
        return hello_is_within_rate(g, out->q.node, now_ms) ? GATE_HELLO : drop(g, WHY_HELLOS);
    if (out->q.type != MESSAGE_SIGNED)
        return refuse(g, WHY_UNSIGNED, REPLY_UNLISTED, "only signed requests are answered", refusal);
    struct request q = out->q;
    return check_signed(g, msg, &q, now_ms, out, refusal);
}

enum err gate_seal(const struct gate_asked *asked, struct bytes reply, struct wr *w)
{
    return seal_reply(w, &asked->key, asked->hash, reply);
}

void gate_metrics(const struct gate *g, struct stat_page *page)
{
    static const char name[] = "azoth_publish_refused_total";
    char label[32];
    stat_head(page, name, "counter", "requests that were refused or dropped, by reason");
    for (size_t i = 0; i < WHYS; i++) {
        (void)snprintf(label, sizeof label, "why=\"%s\"", why_text[i]);
        stat_value(page, name, label, g->n[i]);
    }
}
