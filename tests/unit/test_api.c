/* The API without sockets: keys, requests, operations in JSON, replies. */
#include "tests/unit/kv_bed.h"

#include <sodium.h>
#include <sys/stat.h>

#include "builder/api.h"

#define RW "write-key-write"
#define RO "read-key-read"

/* --- the key file ------------------------------------------------------------------------------------------------ */
static const struct { const char *why, *text, *wrong; size_t n; } files[] = {
    { "nothing",                   "",                                                  NULL, 0 },
    { "comments and blank lines",  "# keys\n\n  \t\n#x\n",                              NULL, 0 },
    { "key alone",                 "abcdefgh",                                          NULL, 1 },
    { "all forms",                 "abcdefgh\nabcdefgi ro\r\n\tabcdefgj ro name\nabcdefgk name  \n", NULL, 4 },
    { "a name that begins so",     "abcdefgh rohan",                                    NULL, 1 },
    { "too short",                 "# one\nabcdefg",                                    "f:2: a key has 8 to 256", 0 },
    { "too many words",            "abcdefgh ro name more",                             "f:1: more than", 0 },
    { "too many words, rw",        "abcdefgh name more",                                "f:1: more than", 0 },
    { "twice",                     "abcdefgh\nabcdefgi\nabcdefgh ro\n",                 "f:3: this key stands", 0 },
    { "not ASCII",                 "abcdefgh\xc3\xa4",                                  "f:1: only printable", 0 },
    { "a control byte in a name",  "abcdefgh a\x01",                                    "f:1: only printable", 0 },
    { "name too long", "abcdefgh aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "f:1: a name has", 0 },
};
static void key_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(files); i++) {
        struct bytes text = heap_copy(files[i].text, strlen(files[i].text));
        struct api_keys *k = NULL;
        struct fault fault = { "" };
        enum err err = api_keys_parse(&k, "f", text, &fault);
        if (err != (files[i].wrong != NULL ? ERR_CONFIG : OK)
            || (err == OK ? api_keys_count(k) != files[i].n : strstr(fault.text, files[i].wrong) == NULL))
            fail_msg("%s: %s, '%s'", files[i].why, err_text(err), fault.text);
        if (strstr(fault.text, "abcdefg") != NULL)
            fail_msg("%s: the fault shows the key", files[i].why);
        api_keys_free(k);
        bytes_free(text);
    }
}

static void key_look_up(void **state)
{
    struct api_keys *k = NULL;
    struct fault fault = { "" };
    char dir[256], path[300], longest[API_KEY_MOST + 2];
    (void)state;
    dir_make(dir, sizeof dir, "api");
    (void)snprintf(path, sizeof path, "%s/keys", dir);
    memset(longest, 'l', sizeof longest - 1);
    longest[API_KEY_MOST] = '\0';
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    (void)fprintf(f, "%s ops\n%s ro\n%s\n", RW, RO, longest);
    (void)fclose(f);
    assert_int_equal(chmod(path, 0600), 0);
    assert_false(api_keys_file_is_open(path));
    assert_int_equal(chmod(path, 0644), 0);
    assert_true(api_keys_file_is_open(path));
    assert_int_equal(api_keys_load(&k, path, &fault), OK);
    assert_int_equal(api_keys_count(k), 3);
    assert_string_equal(api_keys_find(k, RW)->name, "ops");
    assert_false(api_keys_find(k, RW)->read_only);
    assert_true(api_keys_find(k, RO)->read_only);
    assert_non_null(api_keys_find(k, longest));
    longest[API_KEY_MOST] = 'l';
    longest[API_KEY_MOST + 1] = '\0';
    const char *const others[] = { "", RW "x", "write-key-writ", " " RW, "ops", "ro", longest };
    for (size_t i = 0; i < ROWS(others); i++)
        assert_null(api_keys_find(k, others[i]));
    assert_null(api_keys_find(k, NULL));
    api_keys_free(k);
    assert_int_equal(api_keys_load(&k, "/nonexistent/keys", &fault), ERR_NOTFOUND);
    dir_remove(dir);
}

/* --- requests ---------------------------------------------------------------------------------------------------- */
struct api_bed { struct kv_bed kv; struct api_keys *keys; };
static void api_bed_open(struct api_bed *b)
{
    struct fault fault = { "" };
    kv_bed_open(&b->kv, 0);
    assert_int_equal(api_keys_parse(&b->keys, "f", bytes_of_text(RW " ops\n" RO " ro\n"), &fault), OK);
}
static void api_bed_close(struct api_bed *b)
{
    api_keys_free(b->keys);
    kv_bed_close(&b->kv);
}

/* From request to reply. path: with its query; changed back. The call must be released. */
static void ask(struct api_bed *b, struct api_call *c, struct api_request r, const char *target)
{
    char path[4096];
    (void)snprintf(path, sizeof path, "%s", target);
    char *query = strchr(path, '?');
    if (query != NULL)
        *query++ = '\0';
    r.path = path;
    r.query = query;
    struct kv_txn *txn = &c->txn;
    switch (api_begin(c, &r, b->keys)) {
    case API_REPLY:
        break;
    case API_READ:
        assert_int_equal(view_begin(b->kv.view), OK);
        api_read(c, b->kv.view);
        view_end(b->kv.view);
        break;
    case API_WRITE:
        (void)kv_commit(b->kv.committer, &txn, 1);
        api_written(c);
        break;
    case API_FLEET:
    case API_CHANGES:
    case API_ORDER:
    case API_CHANGE:
    case API_WORK:
        fail_msg("%s is none of the store's", target);
    }
}
/* The body of a reply as text, in exact memory. */
static void reply_is(struct api_bed *b, enum api_method method, const char *key, const char *target, const char *body,
                     int status, const char *want)
{
    struct api_call c;
    struct bytes copy = heap_copy(body, strlen(body));
    ask(b, &c, (struct api_request){ .method = method, .key = key, .body = copy }, target);
    char *text = strndup((const char *)c.reply.body.ptr, c.reply.body.len);
    if (c.reply.status != status || strstr(text, want) == NULL)
        fail_msg("%s %s: %d %s, not %d %s", target, body, c.reply.status, text, status, want);
    if (status != 200) {        /* an error is an object with one text, whatever was sent */
        json_t *v = json_loads(text, 0, NULL);
        assert_true(json_is_string(json_object_get(v, "error")));
        json_decref(v);
    }
    free(text);
    api_call_release(&c);
    bytes_free(copy);
}

static void targets(void **state)
{
    const struct { enum api_method method; const char *key, *target, *body; int status; const char *want; } rows[] = {
        { API_GET,    NULL, "/v1/kv/a/k", "", 401, "X-API-Key is missing" },
        { API_GET,    "nobody's", "/v1/nothing", "", 401, "not known" },
        { API_GET,    RW, "/v1/nothing", "", 404, "no such path" },
        { API_GET,    RW, "/v1/kvx", "", 404, "no such path" },
        { API_GET,    RW, "", "", 404, "no such path" },
        { API_PUT,    RO, "/v1/kv/a/k", "v", 403, "may read only" },
        { API_DELETE, RO, "/v1/kv/a/k", "", 403, "may read only" },
        { API_POST,   RO, "/v1/kv", "", 403, "may read only" },
        { API_OTHER,  RO, "/v1/kv", "", 403, "may read only" },
        { API_PUT,    RW, "/v1/kv/a/k", "v", 200, "{\"epoch\":1,\"seq\":1}" },
        { API_GET,    RO, "/v1/kv/a/k", "", 200, "v" },
        { API_GET,    RO, "/v1/kv/%61/%6b", "", 200, "v" },
        { API_GET,    RO, "/v1/kv/a/k?json=1", "", 200, "{\"ns\":\"a\",\"key\":\"k\",\"key64\":\"aw==\",\"epoch\":1,\"seq\":1,\"value\":\"v\",\"value64\":\"dg==\"}" },
        { API_GET,    RO, "/v1/kv/a/k?json=2", "", 400, "json is 1 or 0" },
        { API_GET,    RO, "/v1/kv/a/k?limit=2", "", 400, "are for lists" },
        { API_GET,    RO, "/v1/kv/a/k?if_absent=1", "", 400, "a read has no conditions" },
        { API_GET,    RO, "/v1/kv/a/other", "", 404, "no such key" },
        { API_GET,    RO, "/v1/kv/b/k", "", 404, "no such key" },
        { API_GET,    RO, "/v1/kv/b", "", 404, "no namespace b" },
        { API_GET,    RO, "/v1/kv/", "", 400, "a namespace is named" },
        { API_GET,    RO, "/v1/kv/a/", "", 400, "1 to 500 bytes" },
        { API_GET,    RO, "/v1/kv/A", "", 400, "a namespace is named" },
        { API_GET,    RO, "/v1/kv/dns/k", "", 403, "holds zones" },
        { API_GET,    RO, "/v1/kv/a/%", "", 400, "not percent-encoded" },
        { API_GET,    RO, "/v1/kv/a/%4", "", 400, "not percent-encoded" },
        { API_GET,    RO, "/v1/kv/a/%4g", "", 400, "not percent-encoded" },
        { API_GET,    RO, "/v1/kv/a?prefix=%4", "", 400, "not percent-encoded" },
        { API_GET,    RO, "/v1/kv/a?limit=0", "", 400, "1 to 10000" },
        { API_GET,    RO, "/v1/kv/a?limit=10001", "", 400, "1 to 10000" },
        { API_GET,    RO, "/v1/kv/a?limit=1&limit=2", "", 400, "given twice" },
        { API_GET,    RO, "/v1/kv/a?colour=1", "", 400, "unknown parameter 'colour'" },
        { API_GET,    RO, "/v1/kv/a?json=1", "", 400, "JSON always" },
        { API_GET,    RO, "/v1/kv/a?&", "", 200, "\"more\":false" },
        { API_POST,   RW, "/v1/kv/a/k", "", 405, "GET, HEAD, PUT, DELETE" },
        { API_PUT,    RW, "/v1/kv/a", "", 405, "GET, HEAD" },
        { API_GET,    RW, "/v1/kv", "", 405, "POST" },
        { API_OTHER,  RW, "/v1/kv/a/k", "", 405, "GET" },
        { API_PUT,    RW, "/v1/kv/dns/k", "v", 403, "holds zones" },
        { API_DELETE, RW, "/v1/kv/dns/k", "", 403, "holds zones" },
        { API_PUT,    RW, "/v1/kv/a/k?if_version=7", "w", 400, "EPOCH.SEQ" },
        { API_PUT,    RW, "/v1/kv/a/k?if_version=1.1&if_absent=1", "w", 400, "exclude" },
        { API_PUT,    RW, "/v1/kv/a/k?if_absent=yes", "w", 400, "1 or 0" },
        { API_PUT,    RW, "/v1/kv/a/k?json=1", "w", 400, "only" },
        { API_PUT,    RW, "/v1/kv/a/k?wait=101%25", "w", 400, "a share of the nodes from 0 to 100" },
        { API_PUT,    RW, "/v1/kv/a/k?wait=100&timeout=61s", "w", 400, "up to 60 s" },
        { API_PUT,    RW, "/v1/kv/a/k?timeout=5s", "w", 400, "timeout goes with wait" },
        { API_DELETE, RW, "/v1/kv/a/k?wait=all", "", 400, "a share of the nodes" },
        { API_GET,    RO, "/v1/kv/a/k?wait=100", "", 400, "for writes" },
        { API_GET,    RO, "/v1/kv/a?timeout=5s", "", 400, "for writes" },
        { API_DELETE, RW, "/v1/kv/a/k?if_absent=1", "", 400, "no if_absent" },
        { API_PUT,    RW, "/v1/kv/a/k?if_absent=1", "w", 409, "\"version\":\"1.1\"" },
        { API_PUT,    RW, "/v1/kv/a/k?if_version=1.2", "w", 412, "key k: its version is 1.1" },
        { API_PUT,    RW, "/v1/kv/a/k?if_version=2.1", "w", 412, "key k: its version is 1.1" },
        { API_PUT,    RW, "/v1/kv/a/n?if_version=1.1", "w", 412, "\"version\":null" },
        { API_PUT,    RW, "/v1/kv/a/k?if_version=1.1", "w", 200, "\"seq\":2" },
        { API_PUT,    RW, "/v1/kv/a/k?if_absent=0", "", 200, "\"seq\":3" },
        { API_GET,    RO, "/v1/kv/a/k?json=true", "", 200, "\"value\":\"\"" },
        { API_DELETE, RW, "/v1/kv/a/k?if_version=1.2", "", 412, "1.3" },
        { API_DELETE, RW, "/v1/kv/a/none", "", 404, "no such key" },
        { API_DELETE, RW, "/v1/kv/a/k?if_version=1.3", "", 200, "\"seq\":4" },
        { API_DELETE, RW, "/v1/kv/a/k", "", 404, "no such key" },
        { API_POST,   RW, "/v1/kv?x=1", "", 400, "unknown parameter" },
        { API_POST,   RW, "/v1/kv?limit=1", "", 400, "unknown parameter 'limit'" },
        { API_POST,   RW, "/v1/kv?timeout=1s", "", 400, "goes with wait" },
    };
    struct api_bed b;
    (void)state;
    api_bed_open(&b);
    reply_is(&b, API_GET, RO, "/v1/kv/a/k", "", 404, "no such key");        /* an empty store */
    for (size_t i = 0; i < ROWS(rows); i++)
        reply_is(&b, rows[i].method, rows[i].key, rows[i].target, rows[i].body, rows[i].status, rows[i].want);
    api_bed_close(&b);
}

static void sizes(void **state)
{
    static uint8_t big[KV_BYTES_MAX + 1];
    struct api_bed b;
    struct api_call c;
    char path[4096], key[3 * 501 + 1];
    (void)state;
    api_bed_open(&b);
    for (size_t i = 0; i < 501; i++)
        (void)snprintf(key + 3 * i, 4, "%%%02x", (unsigned)(i & 255));
    (void)snprintf(path, sizeof path, "/v1/kv/a/%s", key);
    reply_is(&b, API_PUT, RW, path, "v", 400, "a key of 501 bytes: 1 to 500 are allowed");
    reply_is(&b, API_GET, RW, path, "", 400, "1 to 500");
    path[strlen(path) - 3] = '\0';
    ask(&b, &c, (struct api_request){ .method = API_PUT, .key = RW, .body = bytes_of(big, KV_BYTES_MAX) }, path);
    assert_int_equal(c.reply.status, 200);
    assert_true(c.reply.versioned && c.reply.version.seq == 1);
    api_call_release(&c);
    ask(&b, &c, (struct api_request){ .method = API_GET, .key = RW }, path);
    assert_true(c.reply.status == 200 && c.reply.body.len == KV_BYTES_MAX && c.reply.versioned && c.reply.version.epoch == 1);
    assert_string_equal(c.reply.type, "application/octet-stream");
    api_call_release(&c);
    ask(&b, &c, (struct api_request){ .method = API_PUT, .key = RW, .body = bytes_of(big, sizeof big) }, path);
    assert_int_equal(c.reply.status, 413);
    api_call_release(&c);
    api_bed_close(&b);
}

/* Headers do what parameters do. */
static void condition_headers(void **state)
{
    struct api_bed b;
    struct api_call c;
    const struct { const char *version, *absent, *target; int status; } rows[] = {
        { NULL, "1", "/v1/kv/a/k", 200 }, { NULL, "1", "/v1/kv/a/k", 409 }, { "1.2", NULL, "/v1/kv/a/k", 412 },
        { "1.1", NULL, "/v1/kv/a/k", 200 }, { "1.1", "true", "/v1/kv/a/k", 400 }, { "x", NULL, "/v1/kv/a/k", 400 },
        { NULL, "", "/v1/kv/a/k", 400 }, { "1.1", NULL, "/v1/kv/a/k?if_version=1.2", 200 },     /* parameters first */
    };
    (void)state;
    api_bed_open(&b);
    for (size_t i = 0; i < ROWS(rows); i++) {
        ask(&b, &c, (struct api_request){ .method = API_PUT, .key = RW, .if_version = rows[i].version,
                                          .if_absent = rows[i].absent }, rows[i].target);
        if (c.reply.status != rows[i].status)
            fail_msg("row %zu: %d", i, c.reply.status);
        api_call_release(&c);
    }
    api_bed_close(&b);
}

static void lists(void **state)
{
    struct api_bed b;
    const char *const keys[] = { "a", "a%00", "a%00b", "ab", "b", "c+d", "%ff" };
    char path[64];
    (void)state;
    api_bed_open(&b);
    for (size_t i = 0; i < ROWS(keys); i++) {
        (void)snprintf(path, sizeof path, "/v1/kv/l/%s", keys[i]);
        reply_is(&b, API_PUT, RW, path, "12", 200, "seq");
    }
    const struct { const char *query, *want; } rows[] = {
        { "", "{\"ns\":\"l\",\"entries\":[{\"ns\":\"l\",\"key\":\"a\",\"key64\":\"YQ==\",\"epoch\":1,\"seq\":1,\"bytes\":2},"
              "{\"ns\":\"l\",\"key\":\"a\\u0000\"" },
        { "?limit=7", "\"more\":false" },
        { "?limit=6", "\"more\":true" },
        { "?prefix=a&limit=4", "\"more\":false" },
        { "?prefix=a&after=a&limit=1", "\"key64\":\"YQA=\"" },
        { "?after=a%00&limit=1", "\"key64\":\"YQBi\"" },
        { "?prefix=b&after=a", "[{\"ns\":\"l\",\"key\":\"b\"" },
        { "?prefix=b&after=b", "\"entries\":[]" },
        { "?prefix=c%2B", "\"key\":\"c+d\"" },
        { "?prefix=c+", "\"entries\":[]" },
        { "?after=%ff", "\"entries\":[]" },
        { "?prefix=%ff", "[{\"ns\":\"l\",\"key64\":\"/w==\"" },
        { "?prefix=", "\"key\":\"a\"" },
    };
    for (size_t i = 0; i < ROWS(rows); i++) {
        (void)snprintf(path, sizeof path, "/v1/kv/l%s", rows[i].query);
        reply_is(&b, API_GET, RO, path, "", 200, rows[i].want);
    }
    api_bed_close(&b);
}

/* --- operations -------------------------------------------------------------------------------------------------- */
static void operations(void **state)
{
    const struct { const char *body; int status; const char *want; } rows[] = {
        { "", 400, "no JSON" },
        { "{\"ops\":[", 400, "no JSON: line 1" },
        { "{\"ops\":[]} x", 400, "no JSON" },
        { "{\"ops\":[],\"ops\":[]}", 400, "no JSON" },
        { "[]", 400, "the body is {" },
        { "{}", 400, "the body is {" },
        { "{\"ops\":{}}", 400, "the body is {" },
        { "{\"ops\":[],\"more\":1}", 400, "the body is {" },
        { "{\"ops\":[]}", 400, "no operation" },
        { "{\"ops\":[1]}", 400, "ops[0]: not an object" },
        { "{\"ops\":[{}]}", 400, "ops[0]: op, ns and key" },
        { "{\"ops\":[{\"op\":\"put\",\"ns\":\"a\",\"key\":\"k\",\"value\":\"v\"},{\"op\":\"put\"}]}", 400, "ops[1]: op, ns and key" },
        { "{\"ops\":[{\"op\":1,\"ns\":\"a\",\"key\":\"k\",\"value\":\"v\"}]}", 400, "ops[0]: op is" },
        { "{\"ops\":[{\"op\":\"put\",\"ns\":1,\"key\":\"k\",\"value\":\"v\"}]}", 400, "are strings" },
        { "{\"ops\":[{\"op\":\"put\",\"ns\":\"a\",\"key\":[],\"value\":\"v\"}]}", 400, "are strings" },
        { "{\"ops\":[{\"op\":\"put\",\"ns\":\"a\",\"key\":\"k\",\"value\":null}]}", 400, "are strings" },
        { "{\"ops\":[{\"op\":\"put\",\"ns\":\"a\",\"key\":\"k\"}]}", 400, "a put needs" },
        { "{\"ops\":[{\"op\":\"del\",\"ns\":\"a\",\"key\":\"k\",\"value\":\"\"}]}", 400, "no value" },
        { "{\"ops\":[{\"op\":\"put\",\"ns\":\"a\",\"key\":\"k\",\"value\":\"\",\"value64\":\"\"}]}", 400, "one of each" },
        { "{\"ops\":[{\"op\":\"put\",\"ns\":\"a\",\"key64\":\"aw\",\"value\":\"\"}]}", 400, "base64 with padding" },
        { "{\"ops\":[{\"op\":\"put\",\"ns\":\"a\",\"key64\":\"aw==x\",\"value\":\"\"}]}", 400, "base64 with padding" },
        { "{\"ops\":[{\"op\":\"put\",\"ns\":\"a\",\"key\":\"k\",\"value64\":\"*\"}]}", 400, "base64 with padding" },
        { "{\"ops\":[{\"op\":\"put\",\"ns\":\"a\",\"key\":\"k\",\"value\":\"\",\"if_absent\":1}]}", 400, "true or false" },
        { "{\"ops\":[{\"op\":\"put\",\"ns\":\"a\",\"key\":\"k\",\"value\":\"\",\"if_version\":1.5}]}", 400, "a string EPOCH.SEQ" },
        { "{\"ops\":[{\"op\":\"put\",\"ns\":\"a\",\"key\":\"k\",\"value\":\"\",\"if_absent\":true,\"if_present\":true}]}", 400, "exclude" },
        { "{\"ops\":[{\"op\":\"put\",\"ns\":\"a\",\"key\":\"k\",\"value\":\"\",\"Value\":\"\"}]}", 400, "unknown member 'Value'" },
        { "{\"ops\":[{\"op\":\"put\",\"ns\":\"dns\",\"key\":\"k\",\"value\":\"\"}]}", 403, "ops[0]: namespace dns" },
        { "{\"ops\":[{\"op\":\"put\",\"ns\":\"a b\",\"key\":\"k\",\"value\":\"\"}]}", 400, "a namespace is named" },
        { "{\"ops\":[{\"op\":\"put\",\"ns\":\"a\\u0000\",\"key\":\"k\",\"value\":\"\"}]}", 400, "a namespace is named" },
        { "{\"ops\":[{\"op\":\"put\",\"ns\":\"a\",\"key64\":\"\",\"value\":\"\"}]}", 400, "a key of 0 bytes" },
        { "{\"ops\":[{\"op\":\"del\",\"ns\":\"a\",\"key\":\"k\"}]}", 200, "\"seqs\":[0]" },     /* nothing to do: no transaction */
        { "{\"ops\":[{\"op\":\"put\",\"ns\":\"a\",\"key\":\"k\\u0000\",\"value\":\"\\u00e4\",\"if_absent\":true},"
          "{\"op\":\"put\",\"ns\":\"b\",\"key64\":\"aw==\",\"value64\":\"AAE=\",\"if_absent\":false}]}", 200,
          "{\"epoch\":1,\"seq\":1,\"seqs\":[1,1]}" },
        { "{\"ops\":[{\"op\":\"put\",\"ns\":\"a\",\"key\":\"n\",\"value\":\"\"},{\"op\":\"del\",\"ns\":\"a\",\"key\":\"x\",\"if_present\":true}]}",
          412, "\"version\":null,\"op\":1}" },
        { "{\"ops\":[{\"op\":\"put\",\"ns\":\"b\",\"key\":\"k\",\"value\":\"\",\"if_absent\":true}]}", 409, "\"version\":\"1.1\",\"op\":0}" },
        { "{\"ops\":[{\"op\":\"del\",\"ns\":\"b\",\"key\":\"k\",\"if_version\":\"1.1\"}]}", 200, "\"seq\":2" },
    };
    struct api_bed b;
    struct bytes value;
    uint64_t seq = 0;
    (void)state;
    api_bed_open(&b);
    for (size_t i = 0; i < ROWS(rows); i++)
        reply_is(&b, API_POST, RW, "/v1/kv", rows[i].body, rows[i].status, rows[i].want);
    assert_true(kv_bed_get(&b.kv, "a", bytes_of("k\0", 2), &seq, &value));
    assert_true(bytes_equal(value, bytes_of_text("\xc3\xa4")));
    bytes_free(value);
    assert_false(kv_bed_get(&b.kv, "a", bytes_of_text("n"), &seq, &value));
    assert_false(kv_bed_get(&b.kv, "b", bytes_of_text("k"), &seq, &value));
    api_bed_close(&b);
}

/* What the store says becomes a status. */
static void failures(void **state)
{
    const struct { struct kv_result result; int status; const char *want; } rows[] = {
        { { .end = KV_FAILED, .err = ERR_FULL }, 507, "the store is full" },
        { { .end = KV_FAILED, .err = ERR_NOTNOW }, 503, "nothing was written" },
        { { .end = KV_FAILED, .err = ERR_LIMIT }, 400, "a limit is exceeded" },
        { { .end = KV_FAILED, .err = ERR_STORE }, 500, "store refused" },
        { { .end = KV_UNKNOWN, .err = ERR_STORE, .fault = { "input/output error" } }, 500,
          "not known whether this was written: input/output error" },
    };
    struct api_bed b;
    (void)state;
    api_bed_open(&b);
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct api_call c;
        struct api_request r = { .method = API_PUT, .key = RW, .path = "/v1/kv/a/k" };
        assert_int_equal(api_begin(&c, &r, b.keys), API_WRITE);
        c.txn.result = rows[i].result;
        api_written(&c);
        char *text = strndup((const char *)c.reply.body.ptr, c.reply.body.len);
        if (c.reply.status != rows[i].status || strstr(text, rows[i].want) == NULL || c.reply.versioned)
            fail_msg("row %zu: %d %s", i, c.reply.status, text);
        free(text);
        api_call_release(&c);
    }
    api_bed_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(key_files), cmocka_unit_test(key_look_up), cmocka_unit_test(targets), cmocka_unit_test(sizes),
        cmocka_unit_test(condition_headers), cmocka_unit_test(lists), cmocka_unit_test(operations),
        cmocka_unit_test(failures),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
