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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct api_keys *keys;
    struct rd r = rd_over(bytes_of(data, size));
    struct api_request request = { .key = "a-key-of-the-test" };
    struct api_call call;
    if (keys == NULL && (sodium_init() < 0 || api_keys_parse(&keys, "f", bytes_of_text(request.key), NULL) != OK))
        abort();
    request.method = (enum api_method)(rd_u8(&r) % 5);
    if (r.bad)
        return 0;
    char *path = line_of(&r), *query = line_of(&r);
    request.path = path;
    request.query = query;
    request.body = rd_take(&r, rd_left(&r));
    enum api_next next = api_begin(&call, &request, keys);
    if (next == API_WRITE)
        check_job(&call);
    else if (next == API_REPLY && (call.reply.status < 400 || call.reply.body.len == 0))
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
