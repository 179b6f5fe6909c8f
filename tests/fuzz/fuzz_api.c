/* Requests to the API: a byte for the method, then path, query and body, each ended by a line feed. Whatever comes, there
 * is a reply or a job whose ops are within their limits. */
#include "tests/fuzz/fuzz.h"

#include <sodium.h>
#include <stdlib.h>

#include "builder/api.h"

static char *line_of(struct rd *r)
{
    const uint8_t *from = r->p, *end = r->p < r->end ? memchr(from, '\n', (size_t)(r->end - from)) : NULL;
    size_t len = end != NULL ? (size_t)(end - from) : (size_t)(r->end - from);
    (void)rd_take(r, len + (end != NULL));
    return strndup(len > 0 ? (const char *)from : "", len);
}

static void check_job(const struct api_call *c)
{
    if (c->txn.n == 0)
        abort();
    for (size_t i = 0; i < c->txn.n; i++) {
        const struct op *op = &c->txn.ops[i];
        if (op->key.len == 0 || op->key.len > KV_KEY_MAX || op->value.len > KV_BYTES_MAX || !ns_name_fits(op->ns)
            || bytes_equal(op->ns, bytes_of_text(KV_NS_DNS)) || (op->kind != OP_PUT && op->kind != OP_DEL))
            abort();
    }
}

/* PowerDNS's API says some things at once, and some without a body. */
static bool is_pdns(const char *path)
{
    return strncmp(path, "/api", 4) == 0;
}

/* Bodies that a reading thread would read: zones that are made or imported, RRsets. */
static enum api_next read_body(struct api_call *c, const struct api_request *r)
{
    const atomic_bool stop = false;
    const struct api_work w = { .now_s = 1700000000, .stop = &stop };
    bool whole = c->change != NULL && (c->change->kind == CHANGE_CREATE || c->change->kind == CHANGE_WHOLE);
    bool edit = c->change != NULL && c->change->kind == CHANGE_EDIT && r->method == API_PATCH;
    return !is_pdns(r->path) && (whole || edit) ? c->work(c, &w) : API_WORK;
}

/* What becomes of a zone is a zone: names within limits, something that makes it. */
static void check_change(const struct api_call *c)
{
    const struct change *change = c->change;
    if (change->apex.len == 0 || (change->kind == CHANGE_EDIT && change->plan == NULL) || c->finish == NULL
        || (change->kind == CHANGE_CREATE && change->settings.len == 0) || (change->kind == CHANGE_WHOLE && change->whole == NULL)
        || c->changes.wait_ms > API_WAIT_MAX_MS || c->changes.quorum > 100)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct api_keys *keys;
    struct rd r = rd_over(bytes_of(data, size));
    struct api_request request = { .key = "a-key-of-the-test" };
    struct api_call call;
    if (keys == NULL && (sodium_init() < 0 || api_keys_parse(&keys, "f", bytes_of_text(request.key), NULL) != OK))
        abort();
    uint8_t method = rd_u8(&r) % 6;
    request.method = method == 4 ? API_OTHER : method == 5 ? API_PATCH : (enum api_method)method;
    if (r.bad)
        return 0;
    char *path = line_of(&r), *query = line_of(&r);
    request.path = path;
    request.query = query;
    request.body = rd_take(&r, rd_left(&r));
    enum api_next next = api_begin(&call, &request, keys);
    if (next == API_WORK)
        next = read_body(&call, &request);
    if (next == API_WRITE)
        check_job(&call);
    else if (next == API_CHANGE && !is_pdns(path))
        check_change(&call);
    else if (next == API_REPLY && !is_pdns(path) && (call.reply.status < 400 || call.reply.body.len == 0))
        abort();
    else if (next == API_READ && (!ns_name_fits(call.ns) || call.key.len > KV_KEY_MAX))
        abort();
    else if (next == API_CHANGES && (call.changes.wait_ms > API_WAIT_MAX_MS || call.changes.quorum > 100))
        abort();
    api_call_release(&call);
    free(path);
    free(query);
    return 0;
}
