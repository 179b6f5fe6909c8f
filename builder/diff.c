#include "builder/build.h"

static enum err put_delete(struct op_list *out, struct bytes key)
{
    struct op op = { .kind = OP_DEL, .ns = dns_namespace, .key = arena_copy(&out->arena, key) };
    return op.key.ptr == NULL ? ERR_NOMEM : op_list_put(out, &op);
}

enum err diff_run(const struct entry *old, size_t old_n, const struct entry *fresh, size_t fresh_n, struct op_list *out)
{
    size_t i = 0, j = 0;
    enum err err = OK;
    while ((i < old_n || j < fresh_n) && err == OK) {
        int c = i == old_n ? 1 : j == fresh_n ? -1 : bytes_compare(old[i].key, fresh[j].key);
        if (c < 0) {
            err = put_delete(out, old[i++].key);
            continue;
        }
        if (c > 0 || !bytes_equal(old[i].value, fresh[j].value))
            err = op_list_put(out, &(struct op){ OP_PUT, dns_namespace, fresh[j].key, fresh[j].value });
        i += c == 0;
        j++;
    }
    return err;
}
