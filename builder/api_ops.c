/* The body of POST /v1/kv: operations in JSON. */
#include "builder/api_parts.h"

#include <sodium.h>

/* Where one operation is read to. */
struct reading { struct api_call *c; size_t at; struct op *op; struct kv_cond *cond; bool version, absent, present; };

static bool wrong(const struct reading *r, int status, const char *what)
{
    (void)api_refuse(r->c, status, "ops[%zu]: %s", r->at, what);
    return false;
}

static bool is_text(const json_t *v)
{
    return json_is_string(v);
}

static struct bytes bytes_of_json(const json_t *v)
{
    return bytes_of(json_string_value(v), json_string_length(v));
}

static bool base64_read(const struct reading *r, const json_t *v, struct bytes *out)
{
    struct bytes text = bytes_of_json(v);
    size_t cap = text.len / 4 * 3 + 3, len = 0;
    uint8_t *bytes = arena_take(&r->c->arena, cap);
    const char *end = NULL;
    if (bytes == NULL)
        return wrong(r, 500, err_text(ERR_NOMEM));
    if (sodium_base642bin(bytes, cap, (const char *)text.ptr, text.len, NULL, &len, &end,
                          sodium_base64_VARIANT_ORIGINAL) != 0 || end != (const char *)text.ptr + text.len)
        return wrong(r, 400, "key64 and value64 are base64 with padding");
    *out = bytes_of(bytes, len);
    return true;
}

static bool take_kind(struct reading *r, const json_t *v)
{
    const char *word = is_text(v) ? json_string_value(v) : "";
    if (strcmp(word, "put") != 0 && strcmp(word, "del") != 0)
        return wrong(r, 400, "op is \"put\" or \"del\"");
    r->op->kind = word[0] == 'p' ? OP_PUT : OP_DEL;
    return true;
}

/* key, key64, value, value64: text or base64, once. */
static bool take_bytes(struct reading *r, const json_t *v, struct bytes *place, bool base64)
{
    if (!is_text(v))
        return wrong(r, 400, "ns, key, key64, value and value64 are strings");
    if (place->ptr != NULL)
        return wrong(r, 400, "key or key64, value or value64: one of each");
    if (base64)
        return base64_read(r, v, place);
    *place = bytes_of_json(v);
    return true;
}

static bool take_version(struct reading *r, const json_t *v)
{
    if (!is_text(v) || kv_version_read(json_string_value(v), &r->cond->version) != OK)
        return wrong(r, 400, "if_version is a string EPOCH.SEQ");
    r->version = true;
    return true;
}

static bool take_flag(struct reading *r, const json_t *v, bool *flag)
{
    if (!json_is_boolean(v))
        return wrong(r, 400, "if_absent and if_present are true or false");
    *flag = json_is_true(v);
    return true;
}

static bool take_member(struct reading *r, const char *name, const json_t *v)
{
    if (strcmp(name, "op") == 0)
        return take_kind(r, v);
    if (strcmp(name, "ns") == 0)
        return take_bytes(r, v, &r->op->ns, false);
    if (strcmp(name, "key") == 0 || strcmp(name, "key64") == 0)
        return take_bytes(r, v, &r->op->key, name[3] != '\0');
    if (strcmp(name, "value") == 0 || strcmp(name, "value64") == 0)
        return take_bytes(r, v, &r->op->value, name[5] != '\0');
    if (strcmp(name, "if_version") == 0)
        return take_version(r, v);
    if (strcmp(name, "if_absent") == 0)
        return take_flag(r, v, &r->absent);
    if (strcmp(name, "if_present") == 0)
        return take_flag(r, v, &r->present);
    (void)api_refuse(r->c, 400, "ops[%zu]: unknown member '%.100s'", r->at, name);
    return false;
}

static bool take_op(struct reading *r, json_t *v)
{
    const char *name;
    json_t *member;
    struct op *op = r->op;
    *op = (struct op){ .kind = (enum op_kind)0 };
    *r->cond = (struct kv_cond){ .kind = KV_ANY };
    if (!json_is_object(v))
        return wrong(r, 400, "not an object");
    json_object_foreach(v, name, member)
        if (!take_member(r, name, member))
            return false;
    if (op->kind == 0 || op->ns.ptr == NULL || op->key.ptr == NULL)
        return wrong(r, 400, "op, ns and key (or key64) are needed");
    if ((op->kind == OP_PUT) != (op->value.ptr != NULL))
        return wrong(r, 400, op->kind == OP_PUT ? "a put needs value or value64" : "a del has no value");
    if (r->version + r->absent + r->present > 1)
        return wrong(r, 400, "if_version, if_absent and if_present exclude each other");
    r->cond->kind = r->version ? KV_IF_VERSION : r->absent ? KV_IF_ABSENT : r->present ? KV_IF_PRESENT : KV_ANY;
    return api_check_op(r->c, op, r->at);
}

static enum api_next take_ops(struct api_call *c, json_t *list)
{
    size_t n = json_array_size(list);
    struct op *ops = arena_take(&c->arena, n * sizeof *ops);
    struct kv_cond *conds = arena_take(&c->arena, n * sizeof *conds);
    uint64_t *seqs = arena_take(&c->arena, n * sizeof *seqs);
    if (ops == NULL || conds == NULL || seqs == NULL)
        return api_refuse(c, 500, "%s", err_text(ERR_NOMEM));
    for (size_t i = 0; i < n; i++) {
        struct reading r = { .c = c, .at = i, .op = &ops[i], .cond = &conds[i] };
        if (!take_op(&r, json_array_get(list, i)))
            return API_REPLY;
    }
    c->txn = (struct kv_txn){ .ops = ops, .conds = conds, .seqs = seqs, .n = n };
    return API_WRITE;
}

enum api_next api_ops_read(struct api_call *c, struct bytes body)
{
    json_error_t error;
    c->many = true;
    c->json = json_loadb((const char *)body.ptr, body.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (c->json == NULL)
        return api_refuse(c, 400, "the body is no JSON: line %d, column %d: %s", error.line, error.column, error.text);
    json_t *list = json_object_get(c->json, "ops");
    if (!json_is_array(list) || json_object_size(c->json) != 1)
        return api_refuse(c, 400, "the body is {\"ops\": [operation, ...]}");
    if (json_array_size(list) == 0)
        return api_refuse(c, 400, "no operation is given");
    return take_ops(c, list);
}
