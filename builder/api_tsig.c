/* /v1/tsig: the keys that sign updates and transfers. Secrets are shown one key at a time, and to API keys that may write. */
#include "builder/api_zones.h"

#include "builder/rights.h"
#include "builder/traces.h"
#include "wire/tsig_sign.h"

#include <sodium.h>
#include <stdlib.h>

#define ALGORITHM "hmac-sha256"         /* where the client does not say */
#define SECRET_LEAST 16                 /* bytes: 128 bits */

struct tsig_call {
    struct name name, after;            /* len 0: not given */
    uint64_t limit;
};

/* --- one key as an object ------------------------------------------------------------------------------------------- */
static json_t *secret_json(struct bytes secret)
{
    char text[sodium_base64_ENCODED_LEN(TSIG_SECRET_MAX, sodium_base64_VARIANT_ORIGINAL)];
    if (secret.len > TSIG_SECRET_MAX)
        return json_null();
    (void)sodium_bin2base64(text, sizeof text, secret.ptr, secret.len, sodium_base64_VARIANT_ORIGINAL);
    json_t *v = json_string(text);
    sodium_memzero(text, sizeof text);
    return v;
}

static json_t *key_json(const struct tsig_key_row *k, bool secret)
{
    char name[NAME_TEXT_MAX];
    json_t *rights = k->rights.len > 0 ? json_loadb((const char *)k->rights.ptr, k->rights.len, 0, NULL) : NULL;
    json_t *o = json_pack("{s:s,s:o,s:o}", "name", name_text(name, sizeof name, name_bytes(&k->name)), "algorithm",
                          json_stringn((const char *)k->algorithm.ptr, k->algorithm.len), "rights",
                          rights != NULL ? rights : json_object());
    if (o != NULL && secret)
        (void)json_object_set_new(o, "secret", secret_json(k->secret));
    return o;
}

/* --- reading -------------------------------------------------------------------------------------------------------- */
static enum api_next list(struct api_call *c, const struct api_work *w)
{
    const struct tsig_call *q = c->own;
    struct source_txn *txn = NULL;
    struct tsig_key_row k = { .name = q->after };
    struct fault fault = { "" };
    char next[NAME_TEXT_MAX];
    bool more = false;
    enum err err = source_begin(w->source, SOURCE_READ, &txn, &fault);
    if (err != OK)
        return api_work_failed(c, err, &fault);
    json_t *keys = json_array();
    struct name last = q->after;
    while (err == OK) {
        struct name after = k.name;
        err = source_tsig_next(txn, name_bytes(&after), &k);
        if (err == OK && (more = json_array_size(keys) == q->limit))
            break;
        if (err == OK && json_array_append_new(keys, key_json(&k, false)) != 0)
            err = ERR_NOMEM;
        if (err == OK)
            last = k.name;
    }
    source_abort(txn);
    if (err != OK && err != ERR_NOTFOUND) {
        json_decref(keys);
        return api_work_failed(c, err, &fault);
    }
    return api_object(c, 200, json_pack("{s:o,s:o}", "keys", keys, "next",
                                        more ? json_string(name_text(next, sizeof next, name_bytes(&last))) : json_null()));
}

static enum api_next show(struct api_call *c, const struct api_work *w)
{
    const struct tsig_call *q = c->own;
    struct source_txn *txn = NULL;
    struct tsig_key_row k;
    struct fault fault = { "" };
    json_t *o = NULL;
    enum err err = source_begin(w->source, SOURCE_READ, &txn, &fault);
    if (err == OK && (err = source_tsig(txn, name_bytes(&q->name), &k)) == OK)
        o = key_json(&k, !c->who.read_only);
    source_abort(txn);
    if (err == ERR_NOTFOUND)
        return api_refuse(c, 404, "there is no such key");
    return err == OK ? api_object(c, 200, o) : api_work_failed(c, err, &fault);
}

/* --- what a client says of a key ------------------------------------------------------------------------------------ */
static bool take_algorithm(struct api_call *c, struct tsig_key_row *k)
{
    const json_t *v = json_object_get(c->json, "algorithm");
    enum tsig_hash hash;
    if (v != NULL) {
        struct bytes text = bytes_of(json_string_value(v), json_string_length(v));
        if (!json_is_string(v) || tsig_hash_of_text(text, &hash) != OK) {
            (void)api_refuse(c, 422, "algorithm is hmac-sha1, -sha224, -sha256, -sha384 or -sha512");
            return false;
        }
        k->algorithm = bytes_of_text(tsig_hash_text(hash));
    } else if (k->algorithm.len == 0) {
        k->algorithm = bytes_of_text(ALGORITHM);
    }
    return true;
}

static bool take_secret(struct api_call *c, struct tsig_key_row *k)
{
    const json_t *v = json_object_get(c->json, "secret");
    uint8_t *secret = arena_take(&c->arena, TSIG_SECRET_MAX);
    size_t len = 0;
    enum tsig_hash hash;
    if (v == NULL && k->secret.len > 0)
        return true;
    if (secret == NULL) {
        (void)api_refuse(c, 500, "%s", err_text(ERR_NOMEM));
        return false;
    }
    if (v == NULL) {                    /* as long as the hash: RFC 8945 section 8 */
        len = tsig_hash_of_text(k->algorithm, &hash) == OK ? tsig_hash_len(hash) : 32;
        randombytes_buf(secret, len);
    } else if (!json_is_string(v)
               || sodium_base642bin(secret, TSIG_SECRET_MAX, json_string_value(v), json_string_length(v), NULL, &len, NULL,
                                    sodium_base64_VARIANT_ORIGINAL) != 0) {
        (void)api_refuse(c, 422, "secret is base64 with padding, of up to %d bytes", TSIG_SECRET_MAX);
        return false;
    } else if (len < SECRET_LEAST) {
        (void)api_refuse(c, 422, "a secret of %zu bytes: %d or more are needed", len, SECRET_LEAST);
        return false;
    }
    k->secret = bytes_of(secret, len);
    return true;
}

static bool take_rights(struct api_call *c, struct tsig_key_row *k)
{
    const json_t *v = json_object_get(c->json, "rights");
    struct rights rights;
    struct fault fault = { "" };
    if (v == NULL)
        return true;
    char *text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
    enum err err = text == NULL ? ERR_NOMEM : rights_of_json(v, &c->arena, &rights, &fault);
    if (err == OK && strlen(text) > RIGHTS_TEXT_MAX)
        err = fault_set(&fault, ERR_LIMIT, "rights are too long");
    if (err == OK) {
        k->rights = arena_copy(&c->arena, bytes_of_text(text));
        err = k->rights.ptr != NULL ? OK : ERR_NOMEM;
    }
    free(text);
    if (err != OK)
        (void)api_refuse(c, err == ERR_NOMEM ? 500 : 422, "%s", fault_text(&fault, err));
    return err == OK;
}

static bool only_known(struct api_call *c, bool name_too)
{
    const char *name;
    json_t *v;
    json_object_foreach(c->json, name, v)
        if (strcmp(name, "algorithm") != 0 && strcmp(name, "secret") != 0 && strcmp(name, "rights") != 0
            && !(name_too && strcmp(name, "name") == 0)) {
            (void)api_refuse(c, 400, "unknown member '%.100s' of a key", name);
            return false;
        }
    return true;
}

/* --- writing -------------------------------------------------------------------------------------------------------- */
static enum api_next write_failed(struct api_call *c, struct source_txn *txn, enum err err, const struct fault *fault)
{
    source_abort(txn);
    return err == ERR_FULL ? api_refuse(c, 507, "the records are full: %s", fault_text(fault, err)) : api_work_failed(c, err, fault);
}

/* POST: must be new. PUT: as it is said, what is not said stays. */
static enum api_next keep(struct api_call *c, const struct api_work *w, bool create)
{
    const struct tsig_call *q = c->own;
    struct source_txn *txn = NULL;
    struct tsig_key_row k, before;
    struct fault fault = { "" };
    enum err err = source_begin(w->source, SOURCE_WRITE, &txn, &fault);
    if (err != OK)
        return write_failed(c, NULL, err, &fault);
    err = source_tsig(txn, name_bytes(&q->name), &k);
    bool is_there = err == OK;
    if (err == ERR_NOTFOUND)
        k = (struct tsig_key_row){ .name = q->name };
    else if (err != OK)
        return write_failed(c, txn, err, &fault);
    k.algorithm = arena_copy(&c->arena, k.algorithm);           /* the transaction's own must outlive the write */
    k.secret = arena_copy(&c->arena, k.secret);
    k.rights = arena_copy(&c->arena, k.rights);
    before = k;
    if (create && is_there)
        (void)api_refuse(c, 409, "there is such a key");
    else if (take_algorithm(c, &k) && take_secret(c, &k) && take_rights(c, &k)) {
        if ((err = source_tsig_put(txn, &k, &fault)) != OK
            || (err = trace_key(txn, &c->author, is_there ? &before : NULL, &k, &fault)) != OK)
            return write_failed(c, txn, err, &fault);
        err = source_commit(txn, &fault);
        return err == OK ? api_object(c, is_there ? 200 : 201, key_json(&k, true)) : write_failed(c, NULL, err, &fault);
    }
    source_abort(txn);
    return API_REPLY;
}

static enum api_next create(struct api_call *c, const struct api_work *w) { return keep(c, w, true); }
static enum api_next replace(struct api_call *c, const struct api_work *w) { return keep(c, w, false); }

static enum api_next delete(struct api_call *c, const struct api_work *w)
{
    const struct tsig_call *q = c->own;
    struct source_txn *txn = NULL;
    struct tsig_key_row before;
    struct fault fault = { "" };
    enum err err = source_begin(w->source, SOURCE_WRITE, &txn, &fault);
    if (err == OK && (err = source_tsig(txn, name_bytes(&q->name), &before)) == OK
        && (err = trace_key(txn, &c->author, &before, NULL, &fault)) == OK
        && (err = source_tsig_del(txn, name_bytes(&q->name), &fault)) == OK) {
        err = source_commit(txn, &fault);
        txn = NULL;
    }
    if (err == ERR_NOTFOUND) {
        source_abort(txn);
        return api_refuse(c, 404, "there is no such key");
    }
    return err == OK ? api_object(c, 200, json_object()) : write_failed(c, txn, err, &fault);
}

/* --- requests ------------------------------------------------------------------------------------------------------- */
static enum api_next begin_list(struct api_call *c, const struct api_request *r, struct tsig_call *q)
{
    struct bytes after = { 0 }, limit = { 0 };
    const struct api_param params[] = { { "after", &after }, { "limit", &limit } };
    if (!api_query_read(c, r->query, params, sizeof params / sizeof params[0]) || !api_limit_read(c, limit, &q->limit)
        || (after.ptr != NULL && !api_zone_name_read(c, after, &q->after)))
        return API_REPLY;
    c->work = list;
    return API_WORK;
}

static enum api_next begin_create(struct api_call *c, const struct api_request *r, struct tsig_call *q)
{
    if (!api_query_read(c, r->query, NULL, 0) || !api_body_read(c, r->body) || !only_known(c, true))
        return API_REPLY;
    const json_t *v = json_object_get(c->json, "name");
    if (!json_is_string(v))
        return api_refuse(c, 400, "name is missing, or no string");
    if (!api_zone_name_read(c, bytes_of(json_string_value(v), json_string_length(v)), &q->name))
        return API_REPLY;
    c->work = create;
    return API_WORK;
}

enum api_next api_route_tsig(struct api_call *c, const struct api_request *r, const char *rest)
{
    struct tsig_call *q = arena_take(&c->arena, sizeof *q);
    struct bytes text;
    if (q == NULL)
        return api_refuse(c, 500, "%s", err_text(ERR_NOMEM));
    *q = (struct tsig_call){ .limit = 0 };
    c->own = q;
    if (*rest == '\0')
        return r->method == API_GET ? begin_list(c, r, q) : r->method == API_POST ? begin_create(c, r, q)
               : api_not_allowed(c, "GET, HEAD, POST");
    if (strcmp(rest, "/log") == 0)          /* a key of that name is asked for with its final dot */
        return api_tsig_log(c, r);
    if (!api_path_read(c, &rest, &text))
        return API_REPLY;
    if (*rest != '\0')
        return api_refuse(c, 404, "no such path");
    if (!api_zone_name_read(c, text, &q->name))
        return API_REPLY;
    c->work = r->method == API_GET ? show : r->method == API_PUT ? replace : r->method == API_DELETE ? delete : NULL;
    if (c->work == NULL)
        return api_not_allowed(c, "GET, HEAD, PUT, DELETE");
    if (!api_query_read(c, r->query, NULL, 0) || (r->method == API_PUT && (!api_body_read(c, r->body) || !only_known(c, false))))
        return API_REPLY;
    return API_WORK;
}
