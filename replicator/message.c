#include "replicator/message.h"

#include "base/msg.h"

static void take_signed_head(struct rd *r, struct signed_head *out)
{
    struct bytes body = msg_bin(r);
    if (!r->bad && (body.len == 0 || body.len > HEAD_MAX))
        rd_fail(r);
    if (!r->bad) {
        memcpy(out->body, body.ptr, body.len);
        out->len = body.len;
    }
    msg_fixed(r, out->sig, HEAD_SIG_LEN);
}

static enum err ended(const struct rd *r)
{
    return r->bad ? rd_err(r) : rd_done(r) ? OK : ERR_BAD;
}

/* --- announce ------------------------------------------------------------------------------------------------------ */
static void signed_head_put(struct wr *w, const struct signed_head *head)
{
    msg_put_bin(w, bytes_of(head->body, head->len));
    msg_put_bin(w, bytes_of(head->sig, HEAD_SIG_LEN));
}

void announce_put(struct wr *w, const struct signed_head *head, struct bytes record)
{
    announce_put_nodes(w, head, record, 0);
}

void announce_put_nodes(struct wr *w, const struct signed_head *head, struct bytes record, uint64_t nodes)
{
    msg_put_array(w, nodes > 0 ? 5 : record.len > 0 ? 4 : 3);
    msg_put_uint(w, MESSAGE_ANNOUNCE);
    signed_head_put(w, head);
    if (record.len > 0)
        msg_put_bin(w, record);
    else if (nodes > 0)
        msg_put_nil(w);
    if (nodes > 0)
        msg_put_uint(w, nodes);
}

enum err announce_read(struct bytes in, struct announce *out)
{
    struct rd r = rd_over(in);
    uint32_t n = msg_array(&r);
    uint64_t type = msg_uint(&r);
    if (r.bad)
        return rd_err(&r);
    if (type != MESSAGE_ANNOUNCE && type != MESSAGE_LOT)
        return ERR_FORMAT;
    if (type == MESSAGE_LOT || n < 3)
        return ERR_BAD;
    take_signed_head(&r, &out->head);
    out->record = (struct bytes){ 0 };
    if (n > 3 && !(n > 4 && msg_nil(&r))) {
        out->record = msg_bin(&r);
        if (!r.bad && (out->record.len == 0 || out->record.len > RECORD_INLINE_MAX))
            rd_fail(&r);
    }
    out->nodes = n > 4 ? msg_uint(&r) : 0;
    msg_skip_rest(&r, n, 5);
    return ended(&r);
}

/* --- requests ------------------------------------------------------------------------------------------------------ */
void request_put(struct wr *w, const struct request *q)
{
    static const uint32_t elements[] = {
        [MESSAGE_HELLO] = 2, [MESSAGE_RECORDS] = 4, [MESSAGE_MANIFEST] = 4, [MESSAGE_CHUNK] = 4, [MESSAGE_KEYS] = 1,
        [MESSAGE_SIGNED] = 6,
    };
    msg_put_array(w, elements[q->type]);
    msg_put_uint(w, q->type);
    switch (q->type) {
    case MESSAGE_HELLO:
        msg_put_text(w, q->node);
        break;
    case MESSAGE_RECORDS:
        msg_put_uint(w, q->epoch);
        msg_put_uint(w, q->after);
        msg_put_uint(w, q->max_bytes);
        break;
    case MESSAGE_MANIFEST:
    case MESSAGE_CHUNK:
        msg_put_uint(w, q->epoch);
        msg_put_uint(w, q->seq);
        msg_put_uint(w, q->offset);
        break;
    case MESSAGE_SIGNED:
        msg_put_text(w, q->node);
        msg_put_bin(w, bytes_of(q->nonce, NONCE_LEN));
        msg_put_uint(w, q->number);
        msg_put_bin(w, q->inner);
        msg_put_bin(w, bytes_of(q->sig, sizeof q->sig));
        break;
    default:
        break;
    }
}

static struct bytes take_node(struct rd *r)
{
    struct bytes node = msg_text(r);
    if (!r->bad && (node.len == 0 || node.len > NODE_NAME_MAX))
        rd_fail(r);
    return node;
}

enum err request_read(struct bytes in, struct request *out)
{
    struct rd r = rd_over(in);
    uint32_t n = msg_array(&r), known;
    memset(out, 0, sizeof *out);
    out->type = msg_uint(&r);
    if (r.bad)
        return rd_err(&r);
    switch (out->type) {
    case MESSAGE_HELLO:
        known = 2;
        out->node = take_node(&r);
        break;
    case MESSAGE_RECORDS:
        known = 4;
        out->epoch = msg_uint(&r);
        out->after = msg_uint(&r);
        out->max_bytes = msg_uint(&r);
        break;
    case MESSAGE_MANIFEST:
    case MESSAGE_CHUNK:
        known = 4;
        out->epoch = msg_uint(&r);
        out->seq = msg_uint(&r);
        out->offset = msg_uint(&r);
        break;
    case MESSAGE_KEYS:
        known = 1;
        break;
    case MESSAGE_SIGNED:
        known = 6;
        out->node = take_node(&r);
        msg_fixed(&r, out->nonce, NONCE_LEN);
        out->number = msg_uint(&r);
        out->inner = msg_bin(&r);
        msg_fixed(&r, out->sig, sizeof out->sig);
        break;
    default:
        return ERR_FORMAT;
    }
    if (!r.bad && n < known)
        rd_fail(&r);
    msg_skip_rest(&r, n, known);
    return ended(&r);
}

/* --- replies ------------------------------------------------------------------------------------------------------- */
void reply_error_put(struct wr *w, enum reply_error code, const char *text, uint64_t wait_ms)
{
    msg_put_array(w, 4);
    msg_put_uint(w, MESSAGE_ERROR);
    msg_put_uint(w, (uint64_t)code);
    msg_put_text(w, bytes_of_text(text));
    msg_put_uint(w, wait_ms);
}

void reply_hello_put(struct wr *w, const uint8_t nonce[NONCE_LEN], const uint8_t cluster[CLUSTER_LEN],
                     uint64_t first, uint64_t last, const char *node, const uint8_t pub[32])
{
    msg_put_array(w, 7);
    msg_put_uint(w, MESSAGE_HELLO);
    msg_put_bin(w, bytes_of(nonce, NONCE_LEN));
    msg_put_bin(w, bytes_of(cluster, CLUSTER_LEN));
    msg_put_uint(w, first);
    msg_put_uint(w, last);
    msg_put_text(w, bytes_of_text(node));
    msg_put_bin(w, bytes_of(pub, 32));
}

void reply_manifest_put(struct wr *w, const struct signed_head *head, uint64_t total, uint64_t offset, struct bytes bytes)
{
    msg_put_array(w, 6);
    msg_put_uint(w, MESSAGE_MANIFEST);
    signed_head_put(w, head);
    msg_put_uint(w, total);
    msg_put_uint(w, offset);
    msg_put_bin(w, bytes);
}

void reply_chunk_put(struct wr *w, uint64_t epoch, uint64_t seq, uint64_t index, struct bytes bytes)
{
    msg_put_array(w, 5);
    msg_put_uint(w, MESSAGE_CHUNK);
    msg_put_uint(w, epoch);
    msg_put_uint(w, seq);
    msg_put_uint(w, index);
    msg_put_bin(w, bytes);
}

void reply_keys_put(struct wr *w, const uint8_t *keys, size_t n)
{
    msg_put_array(w, 2);
    msg_put_uint(w, MESSAGE_KEYS);
    msg_put_array(w, (uint32_t)n);
    for (size_t i = 0; i < n; i++)
        msg_put_bin(w, bytes_of(keys + i * CLUSTER_KEY_LEN, CLUSTER_KEY_LEN));
}

void reply_sealed_put(struct wr *w, const uint8_t nonce[SEAL_NONCE_LEN], struct bytes box)
{
    msg_put_array(w, 3);
    msg_put_uint(w, MESSAGE_SEALED);
    msg_put_bin(w, bytes_of(nonce, SEAL_NONCE_LEN));
    msg_put_bin(w, box);
}

void reply_records_put(struct wr *w, uint64_t after, uint64_t first, uint64_t last, const struct signed_head *head,
                       uint32_t count)
{
    msg_put_array(w, 7);
    msg_put_uint(w, MESSAGE_RECORDS);
    msg_put_uint(w, after);
    msg_put_uint(w, first);
    msg_put_uint(w, last);
    if (head != NULL) {
        signed_head_put(w, head);
    } else {
        msg_put_nil(w);
        msg_put_nil(w);
    }
    msg_put_array(w, count);
}

static uint32_t records_reply(struct rd *r, struct reply *out)
{
    out->after = msg_uint(r);
    out->first = msg_uint(r);
    out->last = msg_uint(r);
    out->has_head = msg_peek(r) != MSG_NIL;
    if (out->has_head)
        take_signed_head(r, &out->head);
    else if (!msg_nil(r) || !msg_nil(r))
        rd_fail(r);
    out->left = msg_array(r);
    out->list = *r;
    for (uint32_t i = 0; i < out->left && !r->bad; i++) {
        struct bytes one = msg_bin(r);
        if (!r->bad && (one.len == 0 || one.len > RECORD_MAX))
            rd_fail(r);
    }
    return 7;
}

static uint32_t hello_reply(struct rd *r, struct reply *out)
{
    msg_fixed(r, out->nonce, NONCE_LEN);
    msg_fixed(r, out->cluster, CLUSTER_LEN);
    out->first = msg_uint(r);
    out->last = msg_uint(r);
    out->text = msg_text(r);
    if (!r->bad && out->text.len > NODE_NAME_MAX)
        rd_fail(r);
    msg_fixed(r, out->pub, sizeof out->pub);
    return 7;
}

static uint32_t manifest_reply(struct rd *r, struct reply *out)
{
    out->has_head = true;
    take_signed_head(r, &out->head);
    out->total = msg_uint(r);
    out->offset = msg_uint(r);
    out->bytes = msg_bin(r);
    if (!r->bad && (out->bytes.len == 0 || out->offset > out->total || out->bytes.len > out->total - out->offset))
        rd_fail(r);
    return 6;
}

static uint32_t chunk_reply(struct rd *r, struct reply *out)
{
    out->epoch = msg_uint(r);
    out->seq = msg_uint(r);
    out->offset = msg_uint(r);
    out->bytes = msg_bin(r);
    return 5;
}

static uint32_t keys_reply(struct rd *r, struct reply *out)
{
    out->left = msg_array(r);
    if (!r->bad && out->left > REPLY_KEYS_MAX)
        rd_fail(r);
    out->list = *r;
    for (uint32_t i = 0; i < out->left && !r->bad; i++) {
        struct bytes key = msg_bin(r);
        if (!r->bad && key.len != CLUSTER_KEY_LEN)
            rd_fail(r);
    }
    return 2;
}

static uint32_t sealed_reply(struct rd *r, struct reply *out)
{
    msg_fixed(r, out->seal_nonce, SEAL_NONCE_LEN);
    out->bytes = msg_bin(r);
    return 3;
}

enum err reply_read(struct bytes in, struct reply *out)
{
    struct rd r = rd_over(in);
    uint32_t n = msg_array(&r), known;
    memset(out, 0, sizeof *out);
    out->type = msg_uint(&r);
    if (r.bad)
        return rd_err(&r);
    switch (out->type) {
    case MESSAGE_ERROR:
        known = 4;
        out->code = msg_uint(&r);
        out->text = msg_text(&r);
        out->wait_ms = msg_uint(&r);
        break;
    case MESSAGE_HELLO:    known = hello_reply(&r, out); break;
    case MESSAGE_RECORDS:  known = records_reply(&r, out); break;
    case MESSAGE_MANIFEST: known = manifest_reply(&r, out); break;
    case MESSAGE_CHUNK:    known = chunk_reply(&r, out); break;
    case MESSAGE_KEYS:     known = keys_reply(&r, out); break;
    case MESSAGE_SEALED:   known = sealed_reply(&r, out); break;
    default:               return ERR_FORMAT;
    }
    if (!r.bad && n < known)
        rd_fail(&r);
    msg_skip_rest(&r, n, known);
    return ended(&r);
}

bool reply_next(struct reply *r, struct bytes *record)
{
    if (r->left == 0)
        return false;
    r->left--;
    *record = msg_bin(&r->list);
    return true;
}
