/* What the API answers. */
#include "builder/api_parts.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static struct bytes body_of(struct api_call *c, const char *text)
{
    struct bytes body = arena_copy(&c->arena, bytes_of_text(text));
    return body.ptr != NULL ? body : bytes_of_text("{\"error\":\"out of memory\"}");
}

enum api_next api_object(struct api_call *c, int status, json_t *object)
{
    char *text = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;
    c->reply.type = "application/json";
    c->reply.status = text != NULL ? status : 500;
    c->reply.body = body_of(c, text != NULL ? text : "{\"error\":\"out of memory\"}");
    free(text);
    json_decref(object);
    return API_REPLY;
}

json_t *api_plain_text(const char *text)
{
    char plain[1024];
    (void)snprintf(plain, sizeof plain, "%s", text);
    for (char *p = plain; *p != '\0'; p++)          /* it may quote what the client sent */
        if (*p < 0x20 || *p > 0x7e)
            *p = '?';
    return json_string(plain);
}

json_t *api_error_object(const char *text)
{
    return json_pack("{s:o}", "error", api_plain_text(text));
}

enum api_next api_refuse(struct api_call *c, int status, const char *format, ...)
{
    char text[900];
    va_list ap;
    va_start(ap, format);
    (void)vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    return api_object(c, status, api_error_object(text));
}

void api_put_bytes(struct api_call *c, json_t *o, const char *name, struct bytes b)
{
    char name64[16];
    size_t cap = sodium_base64_encoded_len(b.len, sodium_base64_VARIANT_ORIGINAL);
    char *text = arena_take(&c->arena, cap);
    json_t *plain = json_stringn(b.len > 0 ? (const char *)b.ptr : "", b.len);      /* NULL: not UTF-8 */
    if (plain != NULL)
        (void)json_object_set_new(o, name, plain);
    if (text == NULL)
        return;
    (void)snprintf(name64, sizeof name64, "%s64", name);
    (void)sodium_bin2base64(text, cap, b.ptr, b.len, sodium_base64_VARIANT_ORIGINAL);
    (void)json_object_set_new(o, name64, json_stringn(text, cap - 1));
}

enum api_next api_work_failed(struct api_call *c, enum err err, const struct fault *fault)
{
    int status = err == ERR_NOTFOUND ? 404 : err == ERR_NOTNOW ? 503 : err == ERR_FULL ? 507 : 500;
    return api_refuse(c, status, "%s", fault_text(fault, err));
}

/* --- reads ----------------------------------------------------------------------------------------------------------- */
static enum err epoch_of(struct view *v, uint64_t *epoch)
{
    struct head h;
    enum err err = view_head(v, &h, NULL);
    if (err == OK)
        *epoch = h.epoch;
    return err;
}

static void read_failed(struct api_call *c, enum err err)
{
    if (err == ERR_NOTFOUND)
        (void)api_refuse(c, 404, "no such key");
    else
        (void)api_refuse(c, 500, "cannot be read: %s", err_text(err));
}

static json_t *entry_object(struct api_call *c, struct bytes key, struct kv_version version)
{
    json_t *o = json_pack("{s:o}", "ns", json_stringn((const char *)c->ns.ptr, c->ns.len));
    if (o == NULL)
        return NULL;
    api_put_bytes(c, o, "key", key);
    (void)json_object_set_new(o, "epoch", json_integer((json_int_t)version.epoch));
    (void)json_object_set_new(o, "seq", json_integer((json_int_t)version.seq));
    return o;
}

static void read_entry(struct api_call *c, struct view *v)
{
    struct bytes value;
    struct kvvalue kv;
    struct kv_version version = { 0 };
    enum err err = epoch_of(v, &version.epoch);
    if (err == OK && (err = view_get(v, c->ns, c->key, &value)) == OK)
        err = kvvalue_read(value, &kv);
    if (err != OK) {
        read_failed(c, err);
        return;
    }
    version.seq = kv.seq;
    if (c->as_json) {
        json_t *o = entry_object(c, c->key, version);
        if (o != NULL)
            api_put_bytes(c, o, "value", kv.bytes);
        (void)api_object(c, 200, o);
    } else {
        c->reply = (struct api_reply){ .status = 200, .type = "application/octet-stream" };
        c->reply.body = arena_copy(&c->arena, kv.bytes);
        if (c->reply.body.ptr == NULL)
            (void)api_refuse(c, 500, "%s", err_text(ERR_NOMEM));
    }
    c->reply.versioned = c->reply.status == 200;
    c->reply.version = version;
}

/* The first key that is wanted: not below the prefix, and behind `after`. */
static struct bytes list_begin(const struct api_call *c, uint8_t buf[KV_KEY_MAX + 1])
{
    if (c->after.len == 0 || bytes_compare(c->after, c->prefix) < 0)
        return c->prefix;
    memcpy(buf, c->after.ptr, c->after.len);
    buf[c->after.len] = 0;                          /* the least key above it */
    return bytes_of(buf, c->after.len + 1);
}

static enum err list_fill(struct api_call *c, struct cursor *cursor, uint64_t epoch, json_t *entries, bool *more)
{
    uint8_t buf[KV_KEY_MAX + 1];
    struct entry e;
    uint64_t n = 0;
    enum err err;
    for (err = cursor_seek(cursor, list_begin(c, buf), &e); err == OK && bytes_starts(e.key, c->prefix);
         err = cursor_next(cursor, &e)) {
        struct kvvalue kv;
        if (n++ == c->limit) {
            *more = true;
            break;
        }
        if ((err = kvvalue_read(e.value, &kv)) != OK)
            return err;
        json_t *o = entry_object(c, e.key, (struct kv_version){ epoch, kv.seq });
        if (o == NULL || json_object_set_new(o, "bytes", json_integer((json_int_t)kv.bytes.len)) != 0
            || json_array_append_new(entries, o) != 0)
            return ERR_NOMEM;
    }
    return err == ERR_NOTFOUND ? OK : err;
}

static bool ns_exists(const struct api_call *c, struct view *v)
{
    char names[STORE_NAMESPACES_MAX][STORE_NS_MAX + 1];
    size_t n = 0;
    if (view_namespaces(v, names, &n) != OK)
        return false;
    for (size_t i = 0; i < n; i++)
        if (bytes_equal(bytes_of_text(names[i]), c->ns))
            return true;
    return false;
}

static void read_list(struct api_call *c, struct view *v)
{
    struct cursor *cursor = NULL;
    json_t *o = json_pack("{s:o,s:[]}", "ns", json_stringn((const char *)c->ns.ptr, c->ns.len), "entries");
    uint64_t epoch = 0;
    bool more = false;
    enum err err = o == NULL ? ERR_NOMEM : OK;
    if (err == OK && !ns_exists(c, v)) {
        json_decref(o);
        (void)api_refuse(c, 404, "there is no namespace %.*s", (int)c->ns.len, (const char *)c->ns.ptr);
        return;
    }
    if (err == OK && (err = epoch_of(v, &epoch)) == OK && (err = cursor_open(v, c->ns, &cursor)) == OK)
        err = list_fill(c, cursor, epoch, json_object_get(o, "entries"), &more);
    cursor_close(cursor);
    if (err == OK) {
        (void)json_object_set_new(o, "more", json_boolean(more));
        (void)api_object(c, 200, o);
        return;
    }
    json_decref(o);
    read_failed(c, err);
}

void api_read(struct api_call *c, struct view *v)
{
    if (c->list)
        read_list(c, v);
    else
        read_entry(c, v);
}

/* --- writes ---------------------------------------------------------------------------------------------------------- */
static void refused(struct api_call *c)
{
    const struct kv_result *r = &c->txn.result;
    const struct op *op = &c->txn.ops[r->at];
    enum kv_if kind = c->txn.conds[r->at].kind;
    int status = kind == KV_IF_ABSENT ? 409 : kind == KV_IF_PRESENT && !c->many ? 404 : 412;
    char key[KV_KEY_TEXT_MAX], version[KV_VERSION_TEXT_MAX], text[900];
    (void)kv_version_text(version, r->version);
    (void)snprintf(text, sizeof text, "namespace %.*s, key %.600s: %s%s", (int)op->ns.len, (const char *)op->ns.ptr,
                   kv_text(key, sizeof key, op->key),
                   r->present ? kind == KV_IF_ABSENT ? "is there, its version is " : "its version is " : "no such key",
                   r->present ? version : "");
    json_t *o = api_error_object(text);
    if (o != NULL) {
        (void)json_object_set_new(o, "ns", json_stringn((const char *)op->ns.ptr, op->ns.len));
        api_put_bytes(c, o, "key", op->key);
        (void)json_object_set_new(o, "version", r->present ? json_string(version) : json_null());
        if (c->many)
            (void)json_object_set_new(o, "op", json_integer((json_int_t)r->at));
    }
    (void)api_object(c, status, o);
}

static void failed(struct api_call *c)
{
    const struct kv_result *r = &c->txn.result;
    const char *why = fault_text(&r->fault, r->err);
    if (r->end == KV_UNKNOWN)
        (void)api_refuse(c, 500, "the store failed, and it is not known whether this was written: %s", why);
    else if (r->err == ERR_FULL)
        (void)api_refuse(c, 507, "the store is full: %s", why);
    else if (r->err == ERR_NOTNOW)
        (void)api_refuse(c, 503, "the core is ending, nothing was written");
    else
        (void)api_refuse(c, r->err == ERR_LIMIT ? 400 : 500, "%s", why);
}

static void done(struct api_call *c)
{
    const struct kv_result *r = &c->txn.result;
    json_t *o = json_pack("{s:I,s:I}", "epoch", (json_int_t)r->version.epoch, "seq", (json_int_t)r->version.seq);
    if (c->many && o != NULL) {
        json_t *seqs = json_array();
        for (size_t i = 0; i < c->txn.n; i++)
            (void)json_array_append_new(seqs, json_integer((json_int_t)c->txn.seqs[i]));
        (void)json_object_set_new(o, "seqs", seqs);
    }
    (void)api_object(c, 200, o);
    c->reply.versioned = true;
    c->reply.version = r->version;
}

void api_written(struct api_call *c)
{
    switch (c->txn.result.end) {
    case KV_DONE: done(c); break;
    case KV_REFUSED: refused(c); break;
    case KV_FAILED:
    case KV_UNKNOWN: failed(c); break;
    }
}
