/* PowerDNS's API: TSIG keys. Their names are without the final dot here, their ids with it. */
#include "builder/pdns_parts.h"

#include "base/text.h"
#include "builder/traces.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/* Algorithms and how long a secret drawn for them is (RFC 8945 section 6: at least the hash's length). */
static const char *const algorithms[] = { "hmac-md5", "hmac-sha1", "hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512" };
#define DRAWN_BYTES 64

static const char *algorithm_of(const char *text)
{
    for (size_t i = 0; i < sizeof algorithms / sizeof algorithms[0]; i++)
        if (strcasecmp(algorithms[i], text) == 0)
            return algorithms[i];
    return NULL;
}

static json_t *key_object(struct pdns *p, const struct tsig_key_row *k, bool secret)
{
    const char *name = pdns_text_of(&p->c->arena, name_bytes(&k->name)), *id = pdns_id_of(&p->c->arena, name_bytes(&k->name));
    size_t cap = 4 * ((k->secret.len + 2) / 3) + 1, len = name != NULL ? strlen(name) : 0;
    char *text = malloc(cap);
    json_t *o = NULL;
    if (name != NULL && id != NULL && text != NULL)
        o = json_pack("{s:s,s:o,s:s,s:o,s:s}", "type", "TSIGKey", "name", json_stringn(name, len > 1 ? len - 1 : len), "id", id,
                      "algorithm", json_stringn((const char *)k->algorithm.ptr, k->algorithm.len), "key",
                      secret ? text_base64(text, cap, k->secret) : "");
    if (text != NULL)
        sodium_memzero(text, cap);
    free(text);
    return o;
}

/* --- reading ---------------------------------------------------------------------------------------------------------------- */
enum api_next pdns_tsigs(struct pdns *p, const struct api_work *w)
{
    struct fault fault = { "" };
    struct tsig_key_row k;
    struct name after = { 0 };
    enum err err;
    struct source_txn *t = pdns_txn(p, w, &fault);
    if (t == NULL)
        return pdns_failed(p, ERR_STORE, &fault);
    json_t *list = json_array();
    while ((err = source_tsig_next(t, name_bytes(&after), &k)) == OK) {
        after = k.name;
        (void)json_array_append_new(list, key_object(p, &k, false));
    }
    if (err == ERR_NOTFOUND)
        return pdns_reply(p, 200, list);
    json_decref(list);
    return pdns_failed(p, err, &fault);
}

/* The key that the path names. false: the reply says why. */
static bool find(struct pdns *p, struct source_txn *t, struct tsig_key_row *out)
{
    const char *text;
    struct name name;
    enum err err = pdns_id_read(&p->c->arena, p->id, &text, &name);
    if (err == OK)
        err = source_tsig(t, name_bytes(&name), out);
    if (err == OK)
        return true;
    if (err == ERR_BAD)
        (void)pdns_status(p, 400);
    else if (err == ERR_NOTFOUND || err == ERR_LIMIT)
        (void)pdns_status(p, 404);
    else
        (void)pdns_failed(p, err, NULL);
    return false;
}

enum api_next pdns_tsig(struct pdns *p, const struct api_work *w)
{
    struct fault fault = { "" };
    struct tsig_key_row k;
    struct source_txn *t = pdns_txn(p, w, &fault);
    if (t == NULL)
        return pdns_failed(p, ERR_STORE, &fault);
    if (!find(p, t, &k))
        return API_REPLY;
    return pdns_reply(p, 200, key_object(p, &k, !p->c->who.read_only));
}

/* --- writing ---------------------------------------------------------------------------------------------------------------- */
static bool read_algorithm(struct pdns *p, const char *text, struct tsig_key_row *k)
{
    const char *algorithm = algorithm_of(text);
    if (algorithm == NULL)
        return (void)pdns_refuse(p, "Unknown TSIG algorithm: %s", text), false;
    k->algorithm = bytes_of_text(algorithm);
    return true;
}

static bool read_secret(struct pdns *p, const char *text, const char *wrong, struct tsig_key_row *k)
{
    uint8_t *secret = arena_take(&p->c->arena, TSIG_SECRET_MAX);
    size_t len = 0;
    if (secret == NULL)
        return (void)pdns_failed(p, ERR_NOMEM, NULL), false;
    if (sodium_base642bin(secret, TSIG_SECRET_MAX, text, strlen(text), NULL, &len, NULL, sodium_base64_VARIANT_ORIGINAL) != 0 || len == 0)
        return (void)pdns_refuse(p, wrong, text), false;
    k->secret = bytes_of(secret, len);
    return true;
}

static bool draw_secret(struct pdns *p, struct tsig_key_row *k)
{
    uint8_t *secret = arena_take(&p->c->arena, DRAWN_BYTES);
    if (secret == NULL)
        return (void)pdns_failed(p, ERR_NOMEM, NULL), false;
    randombytes_buf(secret, DRAWN_BYTES);
    k->secret = bytes_of(secret, DRAWN_BYTES);
    return true;
}

static bool read_name(struct pdns *p, const char *text, struct tsig_key_row *k)
{
    if (text[0] == '\0' || name_from_text(bytes_of_text(text), bytes_of(NULL, 0), &k->name) != OK)
        return (void)pdns_refuse(p, "Unable to parse DNS Name '%s'", text), false;
    name_lower(k->name.wire, k->name.len);
    return true;
}

static enum api_next not_written(struct pdns *p, struct source_txn *t, enum err err, const struct fault *fault)
{
    source_abort(t);
    if (err == ERR_EXISTS)
        return pdns_status(p, 409);
    return err == ERR_NOTFOUND ? pdns_status(p, 404) : pdns_failed(p, err, fault);
}

/* A transaction that writes: the only other one is the writing thread's, which holds it for moments. */
enum api_next pdns_tsigs_post(struct pdns *p, const struct api_work *w)
{
    struct fault fault = { "" };
    struct tsig_key_row k = { .rights = { NULL, 0 } }, there;
    struct source_txn *t = NULL;
    const char *name, *algorithm, *secret;
    if (!pdns_body(p) || (name = pdns_string(p, p->c->json, "name")) == NULL
        || (algorithm = pdns_string(p, p->c->json, "algorithm")) == NULL)
        return API_REPLY;
    secret = pdns_string_or(p->c->json, "key", "");
    if (algorithm_of(algorithm) == NULL && secret[0] == '\0')
        return pdns_status(p, 400);
    if (!read_algorithm(p, algorithm, &k) || !read_name(p, name, &k)
        || (secret[0] != '\0' ? !read_secret(p, secret, "TSIG content '%s' cannot be base64-decoded", &k) : !draw_secret(p, &k)))
        return API_REPLY;
    enum err err = source_begin(w->source, SOURCE_WRITE, &t, &fault);
    if (err == OK && (err = source_tsig(t, name_bytes(&k.name), &there)) == OK)
        err = ERR_EXISTS;
    if (err != ERR_NOTFOUND)
        return not_written(p, t, err, &fault);
    if ((err = source_tsig_put(t, &k, &fault)) != OK || (err = trace_key(t, &p->c->author, NULL, &k, &fault)) != OK)
        return not_written(p, t, err, &fault);
    err = source_commit(t, &fault);
    return err == OK ? pdns_reply(p, 201, key_object(p, &k, true)) : pdns_failed(p, err, &fault);
}

/* What the body says, over what the key is. false: the reply says why. */
static bool read_over(struct pdns *p, struct tsig_key_row *k)
{
    const char *name = json_string_value(json_object_get(p->c->json, "name"));
    const char *algorithm = json_string_value(json_object_get(p->c->json, "algorithm"));
    const char *secret = json_string_value(json_object_get(p->c->json, "key"));
    return (name == NULL || read_name(p, name, k)) && (algorithm == NULL || read_algorithm(p, algorithm, k))
           && (secret == NULL || read_secret(p, secret, "Can not base64 decode key content '%s'", k));
}

static enum err rewrite(struct pdns *p, struct source_txn *t, const struct tsig_key_row *before, const struct tsig_key_row *k,
                        struct fault *fault)
{
    struct tsig_key_row there;
    enum err err = OK;
    bool renamed = !name_equal(name_bytes(&before->name), name_bytes(&k->name));
    if (renamed && (err = trace_key(t, &p->c->author, before, NULL, fault)) == OK)
        err = trace_key(t, &p->c->author, NULL, k, fault);
    else if (!renamed)
        err = trace_key(t, &p->c->author, before, k, fault);
    if (err != OK)
        return err;
    if (renamed) {
        if ((err = source_tsig(t, name_bytes(&k->name), &there)) != ERR_NOTFOUND)
            return err == OK ? ERR_EXISTS : err;
        err = source_tsig_del(t, name_bytes(&before->name), fault);
    }
    return err == OK ? source_tsig_put(t, k, fault) : err;
}

/* A key as it is, with copies of what it borrows from the transaction. */
static bool copy_key(struct pdns *p, struct tsig_key_row *k)
{
    k->algorithm = arena_copy(&p->c->arena, k->algorithm);
    k->secret = arena_copy(&p->c->arena, k->secret);
    k->rights = arena_copy(&p->c->arena, k->rights);
    return k->algorithm.ptr != NULL && k->secret.ptr != NULL;
}

/* In the transaction, so that nothing of another change is lost. */
static enum api_next put_over(struct pdns *p, struct source_txn *t, struct tsig_key_row *k, struct fault *fault)
{
    struct tsig_key_row before;
    if (!find(p, t, &before)) {
        source_abort(t);
        return API_REPLY;
    }
    *k = before;
    if (!copy_key(p, k))
        return not_written(p, t, ERR_NOMEM, fault);
    if (!read_over(p, k)) {
        source_abort(t);
        return API_REPLY;
    }
    enum err err = rewrite(p, t, &before, k, fault);
    if (err != OK)
        return not_written(p, t, err, fault);
    err = source_commit(t, fault);
    return err == OK ? pdns_reply(p, 200, key_object(p, k, true)) : pdns_failed(p, err, fault);
}

enum api_next pdns_tsig_put(struct pdns *p, const struct api_work *w)
{
    struct fault fault = { "" };
    struct tsig_key_row k;
    struct source_txn *t = pdns_txn(p, w, &fault);
    if (t == NULL)
        return pdns_failed(p, ERR_STORE, &fault);
    bool there = find(p, t, &k);
    source_abort(t);                    /* the body is read with no transaction open, the writing thread waits for ours */
    p->txn = t = NULL;
    if (!there || !pdns_body(p))
        return API_REPLY;
    enum err err = source_begin(w->source, SOURCE_WRITE, &t, &fault);
    return err == OK ? put_over(p, t, &k, &fault) : pdns_failed(p, err, &fault);
}

enum api_next pdns_tsig_delete(struct pdns *p, const struct api_work *w)
{
    struct fault fault = { "" };
    struct tsig_key_row k;
    struct source_txn *t = NULL;
    enum err err = source_begin(w->source, SOURCE_WRITE, &t, &fault);
    if (err != OK)
        return not_written(p, t, err, &fault);
    if (!find(p, t, &k)) {
        source_abort(t);
        return API_REPLY;
    }
    if ((err = trace_key(t, &p->c->author, &k, NULL, &fault)) != OK
        || (err = source_tsig_del(t, name_bytes(&k.name), &fault)) != OK)
        return not_written(p, t, err, &fault);
    err = source_commit(t, &fault);
    return err == OK ? pdns_status(p, 204) : pdns_failed(p, err, &fault);
}
