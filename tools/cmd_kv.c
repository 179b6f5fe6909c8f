/* azoth kv: general namespaces. Writes go through the core's API; reads come from the replica in --dir. */
#include "base/file.h"
#include "base/text.h"
#include "builder/api.h"
#include "tools/kv_parts.h"
#include "tools/rrtext.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>

const struct option_spec kv_options[] = {
    OPTION("file", "FILE", OPTION_TEXT, file, "put: the value is what this file holds"),
    OPTION("if-version", "EPOCH.SEQ", OPTION_TEXT, if_version, "put, del: only if this is the entry's version"),
    OPTION("if-absent", NULL, OPTION_FLAG, if_absent, "put: only if the key is not there"),
    OPTION("key64", NULL, OPTION_FLAG, key64, "KEY and PREFIX are given, and list shows keys, in base64"),
    OPTION("prefix", "PREFIX", OPTION_TEXT, prefix, "list: only keys that begin so"),
    OPTION("after", "KEY", OPTION_TEXT, after, "list: only keys behind this one"),
    OPTION("limit", "COUNT", OPTION_NUMBER, limit, "list: at most so many"),
    OPTION("timeout", "TIME", OPTION_TEXT, timeout, "put, del, apply: how long to wait for the core (default 30s)"),
    OPTION_END,
};

/* --- arguments ------------------------------------------------------------------------------------------------------- */
/* A key as it was typed; with --key64 decoded. buf: KV_KEY_MAX + 1 bytes. */
static int take_key(const struct options *o, const char *what, const char *text, uint8_t *buf, struct bytes *out)
{
    size_t len = strlen(text);
    const char *end = NULL;
    if (o->key64 && (sodium_base642bin(buf, KV_KEY_MAX + 1, text, len, NULL, &len, &end, sodium_base64_VARIANT_ORIGINAL)
                     != 0 || *end != '\0'))
        return tool_fail(EXIT_USAGE, "kv: %s '%.100s' is not base64 of at most %d bytes", what, text, KV_KEY_MAX);
    *out = bytes_of(o->key64 ? (const void *)buf : text, len);
    if (len == 0 || len > KV_KEY_MAX)
        return tool_fail(EXIT_USAGE, "kv: a %s of %zu bytes: 1 to %d are allowed", what, len, KV_KEY_MAX);
    return EXIT_FINE;
}

static int take_ns(const char *ns)
{
    if (!ns_name_fits(bytes_of_text(ns)))
        return tool_fail(EXIT_USAGE, "kv: '%.100s' is no namespace: 1 to %d of a-z 0-9 _ . -", ns, STORE_NS_MAX);
    if (strcmp(ns, KV_NS_DNS) == 0)
        return tool_fail(EXIT_USAGE, "kv: namespace " KV_NS_DNS " holds zones, no general entries (see azoth get, dump)");
    return EXIT_FINE;
}

int kv_timeout(const struct options *o, uint64_t *ms)
{
    *ms = CLIENT_TIMEOUT_MS;
    if (o->timeout != NULL && (text_duration(o->timeout, ms) != OK || *ms == 0 || *ms > 86400000))
        return tool_fail(EXIT_USAGE, "kv: --timeout: '%s' is not a time such as 500ms, 5s or 2m", o->timeout);
    return EXIT_FINE;
}

static int read_stdin(size_t most, struct bytes *out)
{
    size_t cap = 65536, n = 0;
    uint8_t *buf = malloc(cap);
    while (buf != NULL && n <= most) {
        if (n == cap) {
            uint8_t *more = realloc(buf, cap *= 2);
            if (more == NULL) {
                free(buf);
                buf = NULL;
                break;
            }
            buf = more;
        }
        size_t got = fread(buf + n, 1, cap - n, stdin);
        if (got == 0)
            break;
        n += got;
    }
    if (buf == NULL)
        return tool_fail(EXIT_USAGE, "out of memory");
    if (!ferror(stdin) && n <= most) {
        *out = bytes_of(buf, n);
        return EXIT_FINE;
    }
    int code = ferror(stdin) ? tool_fail(EXIT_USAGE, "cannot read stdin: %s", strerror(errno))
                             : tool_fail(EXIT_USAGE, "stdin holds more than %zu bytes", most);
    free(buf);
    return code;
}

int kv_read_all(const char *path, size_t most, struct bytes *out)
{
    struct fault fault = { "" };
    if (strcmp(path, "-") == 0)
        return read_stdin(most, out);
    enum err err = file_read(path, most, out, &fault);
    return err == OK ? EXIT_FINE : tool_fail(EXIT_USAGE, "%s", fault_text(&fault, err));
}

/* --- writes ---------------------------------------------------------------------------------------------------------- */
static int code_of(int status)
{
    return status == 200 ? EXIT_FINE : status == 404 || status == 409 || status == 412 ? EXIT_DATA : EXIT_USAGE;
}

/* The error in a reply, and the number of the op that it is about, -1: of none. */
static const char *error_of(const json_t *reply, long *op)
{
    const char *text = json_string_value(json_object_get(reply, "error"));
    const json_t *number = json_object_get(reply, "op");
    int skip = 0;
    unsigned long at;
    *op = json_is_integer(number) ? (long)json_integer_value(number) : -1;
    if (text != NULL && sscanf(text, "ops[%lu]: %n", &at, &skip) == 1 && skip > 0) {
        *op = (long)at;
        return text + skip;
    }
    return text != NULL ? text : "refused";
}

static int print_version(const struct options *o, const json_t *reply)
{
    json_int_t epoch = 0, seq = 0;
    if (json_unpack((json_t *)(uintptr_t)reply, "{s:I,s:I}", "epoch", &epoch, "seq", &seq) != 0)
        return tool_fail(EXIT_USAGE, "the core's answer makes no sense");
    if (o->json)
        return json_line(json_incref((json_t *)(uintptr_t)reply)) == OK ? EXIT_FINE : tool_fail(EXIT_USAGE, "out of memory");
    (void)printf("%" JSON_INTEGER_FORMAT ".%" JSON_INTEGER_FORMAT "\n", epoch, seq);
    return EXIT_FINE;
}

static int show_reply(const struct options *o, const struct client_reply *r, kv_op_error_fn *op_error, void *arg)
{
    json_t *reply = json_loadb((const char *)r->body.ptr, r->body.len, JSON_ALLOW_NUL, NULL);
    long op = -1;
    int code = code_of(r->status);
    if (code == EXIT_FINE) {
        code = print_version(o, reply);
    } else if (!json_is_object(reply)) {        /* an answer of the HTTP layer */
        code = tool_fail(code, "kv: the core refuses this: status %d", r->status);
    } else {
        const char *text = error_of(reply, &op);
        code = op >= 0 && op_error != NULL ? op_error(arg, (size_t)op, text, code)
                                           : tool_fail(code, "kv: %s (status %d)", text, r->status);
    }
    json_decref(reply);
    return code;
}

int kv_send(const struct options *o, enum client_method method, const char *path, struct bytes body,
            kv_op_error_fn *op_error, void *arg)
{
    struct client *client = NULL;
    struct client_reply reply;
    uint64_t ms = 0;
    int code = kv_timeout(o, &ms);
    if (code == EXIT_FINE)
        code = client_open(&client, o, ms);
    if (code == EXIT_FINE)
        code = client_call(client, method, path, body, &reply);
    if (code == EXIT_FINE)
        code = show_reply(o, &reply, op_error, arg);
    client_close(client);
    return code;
}

static int write_key(const struct options *o, enum client_method method, struct bytes body)
{
    char path[3 * KV_KEY_MAX + 200], key_text[3 * KV_KEY_MAX + 1], condition[KV_VERSION_TEXT_MAX + 16] = "";
    uint8_t buf[KV_KEY_MAX + 1];
    struct kv_version version;
    struct bytes key;
    int code = take_ns(o->args[1]);
    if (code == EXIT_FINE)
        code = take_key(o, "key", o->args[2], buf, &key);
    if (code != EXIT_FINE)
        return code;
    if (o->if_version != NULL && kv_version_read(o->if_version, &version) != OK)
        return tool_fail(EXIT_USAGE, "kv: --if-version: '%s' is not EPOCH.SEQ", o->if_version);
    if (o->if_version != NULL && o->if_absent)
        return tool_fail(EXIT_USAGE, "kv: --if-version and --if-absent exclude each other");
    if (o->if_version != NULL)
        (void)snprintf(condition, sizeof condition, "?if_version=%" PRIu64 ".%" PRIu64, version.epoch, version.seq);
    else if (o->if_absent)
        (void)snprintf(condition, sizeof condition, "?if_absent=1");
    client_percent(key_text, key);
    (void)snprintf(path, sizeof path, "/v1/kv/%s/%s%s", o->args[1], key_text, condition);
    return kv_send(o, method, path, body, NULL, NULL);
}

static int kv_put(const struct options *o)
{
    struct bytes value = { 0 };
    const char *path = o->file != NULL ? o->file : o->args_n == 4 && strcmp(o->args[3], "-") == 0 ? "-" : NULL;
    if ((o->file != NULL) == (o->args_n == 4))
        return tool_fail(EXIT_USAGE, "kv put: give VALUE, - or --file FILE, one of them");
    if (path == NULL) {
        value = bytes_of_text(o->args[3]);
        if (value.len > KV_BYTES_MAX)
            return tool_fail(EXIT_USAGE, "kv put: a value of %zu bytes: up to %zu are allowed", value.len, KV_BYTES_MAX);
        return write_key(o, CLIENT_PUT, value);
    }
    int code = kv_read_all(path, KV_BYTES_MAX, &value);
    if (code == EXIT_FINE)
        code = write_key(o, CLIENT_PUT, value);
    free((void *)(uintptr_t)value.ptr);
    return code;
}

static int kv_del(const struct options *o)
{
    return write_key(o, CLIENT_DELETE, bytes_of(NULL, 0));
}

/* --- reads ----------------------------------------------------------------------------------------------------------- */
static json_t *json_base64(struct bytes b)
{
    size_t cap = sodium_base64_encoded_len(b.len, sodium_base64_VARIANT_ORIGINAL);
    char *text = malloc(cap);
    json_t *v = NULL;
    if (text != NULL)
        v = json_string(text_base64(text, cap, b));
    free(text);
    return v;
}

/* Members NAME, when b is UTF-8, and NAME64. */
static void put_bytes(json_t *o, const char *name, const char *name64, struct bytes b)
{
    json_t *plain = json_stringn(b.len > 0 ? (const char *)b.ptr : "", b.len);
    if (plain != NULL)
        (void)json_object_set_new(o, name, plain);
    (void)json_object_set_new(o, name64, json_base64(b));
}

static json_t *entry_json(const struct options *o, uint64_t epoch, struct bytes key, const struct kvvalue *v)
{
    json_t *e = json_pack("{s:s}", "ns", o->args[1]);
    if (e == NULL)
        return NULL;
    put_bytes(e, "key", "key64", key);
    (void)json_object_set_new(e, "epoch", json_integer((json_int_t)epoch));
    (void)json_object_set_new(e, "seq", json_integer((json_int_t)v->seq));
    return e;
}

static int broken(const struct options *o, struct bytes key)
{
    char text[KV_KEY_TEXT_MAX];
    return tool_fail(EXIT_DATA, "the entry %s of namespace %s is not [seq, bytes] (see azoth verify)",
                     kv_text(text, sizeof text, key), o->args[1]);
}

static int get_from(const struct options *o, const struct tool_store *t, struct bytes key)
{
    struct bytes value;
    struct kvvalue v;
    enum err err = view_get(t->view, bytes_of_text(o->args[1]), key, &value);
    if (err == ERR_NOTFOUND)
        return tool_fail(EXIT_DATA, "no such key in namespace %s of %s", o->args[1], o->dir);
    if (err != OK)
        return tool_fail(EXIT_DATA, "cannot read the store in %s: %s", o->dir, err_text(err));
    if (kvvalue_read(value, &v) != OK)
        return broken(o, key);
    if (!o->json) {
        (void)fwrite(v.bytes.ptr, 1, v.bytes.len, stdout);
        return EXIT_FINE;
    }
    json_t *e = entry_json(o, t->head.epoch, key, &v);
    if (e != NULL)
        put_bytes(e, "value", "value64", v.bytes);
    return json_line(e) == OK ? EXIT_FINE : tool_fail(EXIT_USAGE, "out of memory");
}

static int kv_get(const struct options *o)
{
    struct tool_store t = { 0 };
    uint8_t buf[KV_KEY_MAX + 1];
    struct bytes key;
    int code = take_ns(o->args[1]);
    if (code == EXIT_FINE)
        code = take_key(o, "key", o->args[2], buf, &key);
    if (code != EXIT_FINE)
        return code;
    if ((code = tool_open(&t, o->dir)) == EXIT_FINE)
        code = get_from(o, &t, key);
    tool_close(&t);
    return code;
}

/* Version, size and key; the key stands last because it may hold spaces. */
static int list_line(const struct options *o, uint64_t epoch, struct bytes key, const struct kvvalue *v)
{
    char text[KV_KEY_TEXT_MAX];
    if (!o->json) {
        (void)printf("%" PRIu64 ".%" PRIu64 " %zu %s\n", epoch, v->seq, v->bytes.len,
                     o->key64 ? text_base64(text, sizeof text, key) : kv_text(text, sizeof text, key));
        return EXIT_FINE;
    }
    json_t *e = entry_json(o, epoch, key, v);
    if (e != NULL)
        (void)json_object_set_new(e, "bytes", json_integer((json_int_t)v->bytes.len));
    return json_line(e) == OK ? EXIT_FINE : tool_fail(EXIT_USAGE, "out of memory");
}

static int list_walk(const struct options *o, const struct tool_store *t, struct cursor *c, struct bytes prefix,
                     struct bytes after)
{
    uint8_t from[KV_KEY_MAX + 1];
    struct bytes first = prefix;
    struct entry e;
    uint64_t n = 0;
    int code = EXIT_FINE;
    enum err err;
    if (after.len > 0 && bytes_compare(after, prefix) >= 0) {
        memcpy(from, after.ptr, after.len);
        from[after.len] = 0;                    /* the least key above it */
        first = bytes_of(from, after.len + 1);
    }
    for (err = cursor_seek(c, first, &e); err == OK && code == EXIT_FINE && bytes_starts(e.key, prefix)
         && (o->limit == 0 || n < o->limit); err = cursor_next(c, &e), n++) {
        struct kvvalue v;
        code = kvvalue_read(e.value, &v) == OK ? list_line(o, t->head.epoch, e.key, &v) : broken(o, e.key);
    }
    if (err != OK && err != ERR_NOTFOUND)
        return tool_fail(EXIT_DATA, "cannot read the store in %s: %s", o->dir, err_text(err));
    return code;
}

static int list_from(const struct options *o, const struct tool_store *t, struct bytes prefix, struct bytes after)
{
    static char names[STORE_NAMESPACES_MAX][STORE_NS_MAX + 1];
    struct cursor *c = NULL;
    size_t n = 0;
    bool there = false;
    enum err err = view_namespaces(t->view, names, &n);
    for (size_t i = 0; err == OK && i < n; i++)
        there = there || strcmp(names[i], o->args[1]) == 0;
    if (err == OK && !there)
        return tool_fail(EXIT_DATA, "there is no namespace %s in %s", o->args[1], o->dir);
    if (err == OK)
        err = cursor_open(t->view, bytes_of_text(o->args[1]), &c);
    if (err != OK)
        return tool_fail(EXIT_DATA, "cannot read the store in %s: %s", o->dir, err_text(err));
    int code = list_walk(o, t, c, prefix, after);
    cursor_close(c);
    return code;
}

static int kv_list(const struct options *o)
{
    struct tool_store t = { 0 };
    uint8_t prefix_buf[KV_KEY_MAX + 1], after_buf[KV_KEY_MAX + 1];
    struct bytes prefix = { 0 }, after = { 0 };
    int code = take_ns(o->args[1]);
    if (code == EXIT_FINE && o->prefix != NULL)
        code = take_key(o, "prefix", o->prefix, prefix_buf, &prefix);
    if (code == EXIT_FINE && o->after != NULL)
        code = take_key(o, "key", o->after, after_buf, &after);
    if (code != EXIT_FINE)
        return code;
    if ((code = tool_open(&t, o->dir)) == EXIT_FINE)
        code = list_from(o, &t, prefix, after);
    tool_close(&t);
    return code;
}

/* --- which one ------------------------------------------------------------------------------------------------------- */
struct verb {
    const char *name, *takes;
    size_t args_least, args_most;       /* the verb itself counts */
    bool reads, value, version, absent, key64, range;
    int (*run)(const struct options *o);
};

static const struct verb verbs[] = {
    { "put", "NS KEY VALUE|-|--file FILE", 3, 4, false, true, true, true, true, false, kv_put },
    { "get", "--dir DIR NS KEY", 3, 3, true, false, false, false, true, false, kv_get },
    { "del", "NS KEY", 3, 3, false, false, true, false, true, false, kv_del },
    { "list", "--dir DIR NS", 2, 2, true, false, false, false, true, true, kv_list },
    { "apply", "FILE|-", 2, 2, false, false, false, false, false, false, kv_apply },
};

/* An option that this verb would not heed, or NULL: what was asked for must not be left out silently. */
static const char *unheeded(const struct verb *v, const struct options *o)
{
    return o->file != NULL && !v->value ? "file" : o->if_version != NULL && !v->version ? "if-version"
         : o->if_absent && !v->absent ? "if-absent" : o->key64 && !v->key64 ? "key64"
         : o->prefix != NULL && !v->range ? "prefix" : o->after != NULL && !v->range ? "after"
         : o->limit != 0 && !v->range ? "limit" : o->timeout != NULL && v->reads ? "timeout" : NULL;
}

int cmd_kv(const struct options *o)
{
    const struct verb *v = NULL;
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0] && v == NULL; i++)
        if (strcmp(verbs[i].name, o->args[0]) == 0)
            v = &verbs[i];
    if (v == NULL)
        return tool_fail(EXIT_USAGE, "kv: '%s' is none of put, get, del, list, apply (see azoth help kv)", o->args[0]);
    if (o->args_n < v->args_least || o->args_n > v->args_most)
        return tool_fail(EXIT_USAGE, "kv %s: an argument is %s: azoth kv %s %s (see azoth help kv)", v->name,
                         o->args_n < v->args_least ? "missing" : "too many", v->name, v->takes);
    const char *option = unheeded(v, o);
    if (option != NULL)
        return tool_fail(EXIT_USAGE, "kv %s takes no --%s (see azoth help kv)", v->name, option);
    if (v->reads && o->dir == NULL)
        return tool_fail(EXIT_USAGE, "kv %s: --dir DIR is missing: reads come from a replica (see azoth help kv)", v->name);
    return tool_done(v->run(o));
}
