/* /v1/zones and /v1/tsig without sockets: requests in order on a core's insides, each with its reply; and RRsets as JSON. */
#include "tests/unit/change_bed.h"

#include <sodium.h>

#include "builder/api.h"
#include "builder/journal.h"
#include "builder/rrjson.h"

#define RW "write-key-write"
#define RO "read-key-read"

struct api_bed { struct bed core; struct api_keys *keys; struct journal *journal; struct view *view; };

/* All steps of a call, as the shell takes them. */
static void go_on(struct api_bed *b, struct api_call *c, enum api_next next)
{
    const atomic_bool stop = false;
    const struct api_work w = { .source = b->core.source, .store = b->core.store, .view = b->view, .journal = b->journal,
                                .now_s = 1700000000, .stop = &stop };
    while (next != API_REPLY) {
        if (next == API_WORK) {
            assert_int_equal(view_begin(b->view), OK);
            next = c->work(c, &w);
            view_end(b->view);
        } else if (next == API_CHANGE) {
            bed_put(&b->core, c->change);
            bed_wait(&b->core);
            next = c->finish(c);
        } else {
            fail_msg("step %d is none of a zone's", (int)next);
        }
    }
}

static void ask(struct api_bed *b, struct api_call *c, enum api_method method, const char *key, const char *target, struct bytes body)
{
    char path[4096];
    (void)snprintf(path, sizeof path, "%s", target);
    char *query = strchr(path, '?');
    if (query != NULL)
        *query++ = '\0';
    const struct api_request r = { .method = method, .path = path, .query = query, .key = key, .client = "192.0.2.200", .body = body };
    go_on(b, c, api_begin(c, &r, b->keys));
}

static int api_bed_open(void **state)
{
    struct api_bed *b = calloc(1, sizeof *b);
    struct fault fault = { "" };
    assert_non_null(b);
    bed_open(&b->core);
    assert_int_equal(api_keys_parse(&b->keys, "f", bytes_of_text(RW " ops\n" RO " ro\n"), &fault), OK);
    assert_int_equal(journal_open(&b->journal, b->core.store, &fault), OK);
    assert_int_equal(view_open(b->core.store, &b->view, &fault), OK);
    *state = b;
    return 0;
}

static int api_bed_close(void **state)
{
    struct api_bed *b = *state;
    view_close(b->view);
    journal_close(b->journal);
    api_keys_free(b->keys);
    bed_close(&b->core);
    free(b);
    return 0;
}

struct step { const char *why; enum api_method method; const char *key, *target, *body; int status; const char *want; };

static void run(struct api_bed *b, const struct step *steps, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct step *s = &steps[i];
        struct api_call c;
        struct bytes body = heap_copy(s->body, strlen(s->body));
        ask(b, &c, s->method, s->key, s->target, body);
        char *text = strndup((const char *)c.reply.body.ptr, c.reply.body.len);
        if (c.reply.status != s->status || strstr(text, s->want) == NULL)
            fail_msg("%s: %s %s: %d %s, not %d %s", s->why, s->target, s->body, c.reply.status, text, s->status, s->want);
        if (s->status >= 400) {
            json_t *v = json_loads(text, 0, NULL);
            assert_true(json_is_string(json_object_get(v, "error")));
            json_decref(v);
        }
        free(text);
        api_call_release(&c);
        bytes_free(body);
    }
}
#define RUN(b, steps) run(b, steps, sizeof (steps) / sizeof (steps)[0])
#define LABEL64 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define LABEL512 LABEL64 LABEL64 LABEL64 LABEL64 LABEL64 LABEL64 LABEL64 LABEL64
#define LABEL4096 LABEL512 LABEL512 LABEL512 LABEL512 LABEL512 LABEL512 LABEL512 LABEL512
#define LABEL60 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define ZONE "/v1/zones/example.com"
#define SETS ZONE "/rrsets"
#define ONE(members) "{\"rrsets\":[{\"name\":\"a\",\"type\":\"A\"" members "}]}"

static void zone_steps(void **state)
{
    static const struct step steps[] = {
        { "no zones yet", API_GET, RO, "/v1/zones", "", 200, "{\"zones\":[],\"next\":null}" },
        { "no nameserver", API_POST, RW, "/v1/zones", "{\"name\":\"example.com\"}", 422, "give nameservers" },
        { "no name", API_POST, RW, "/v1/zones", "{}", 400, "name is missing" },
        { "name of a wrong type", API_POST, RW, "/v1/zones", "{\"name\":1}", 400, "name is missing" },
        { "a label too long", API_POST, RW, "/v1/zones", "{\"name\":\"" LABEL64 "\"}", 400, "no domain name" },
        { "a name too long", API_POST, RW, "/v1/zones", "{\"name\":\"" LABEL60 "." LABEL60 "." LABEL60 "." LABEL60 "." LABEL60 "\"}",
          400, "no domain name" },
        { "letters that DNS does not have", API_POST, RW, "/v1/zones", "{\"name\":\"b\303\274cher.example\"}", 400, "as DNS has them" },
        { "of a name server neither", API_POST, RW, "/v1/zones", "{\"name\":\"a.example\",\"nameservers\":[\"b\303\274cher.\"]}", 400, "as DNS has them" },
        { "a dry run makes nothing", API_POST, RW, "/v1/zones?dry_run=1", "{\"name\":\"example.com\",\"nameservers\":[\"ns.example.net.\"]}",
          200, "\"dry_run\":true" },
        { "so it is not there", API_GET, RW, ZONE, "", 404, "no such zone" },
        { "may not write", API_POST, RO, "/v1/zones", "{\"name\":\"example.com\",\"nameservers\":[\"ns.example.net.\"]}", 403, "read only" },
        { "made", API_POST, RW, "/v1/zones", "{\"name\":\"Example.com\",\"nameservers\":[\"ns.example.net.\"],\"serial_policy\":\"unixtime\"}",
          201, "\"changed\":true" },
        { "there already", API_POST, RW, "/v1/zones", "{\"name\":\"example.com.\",\"nameservers\":[\"ns.example.net.\"]}", 409, "" },
        { "its settings", API_GET, RO, ZONE, "", 200, "\"serial_policy\":\"unixtime\"" },
        { "its SOA", API_GET, RO, SETS "/@/SOA", "", 200, "ns.example.net. hostmaster.example.com. " },
        { "a setting that is none", API_PATCH, RW, ZONE, "{\"guard\":\"maybe\"}", 400, "guard" },
        { "a setting", API_PATCH, RW, ZONE, "{\"guard\":\"strict\"}", 200, "" },
        { "native already", API_PATCH, RW, ZONE, "{\"kind\":\"native\"}", 200, "\"changed\":false" },
        { "native already, another setting", API_PATCH, RW, ZONE, "{\"kind\":\"native\",\"account\":\"a\"}", 200, "\"changed\":true" },
        { "a secondary out of it", API_PATCH, RW, ZONE, "{\"kind\":\"secondary\"}", 422, "but that a secondary becomes native" },
        { "is kept", API_GET, RO, ZONE, "", 200, "\"guard\":\"strict\"" },
        { "secondary without records", API_POST, RW, "/v1/zones", "{\"name\":\"s.example\",\"kind\":\"secondary\",\"rrsets\":[]}", 422, "primaries" },
        { "kind file", API_POST, RW, "/v1/zones", "{\"name\":\"s.example\",\"kind\":\"file\"}", 409, "core.zones" },
        { "unknown member", API_POST, RW, "/v1/zones", "{\"name\":\"s.example\",\"nameserver\":\"x\"}", 400, "nameserver" },
        { "settings that are too long", API_POST, RW, "/v1/zones", "{\"name\":\"s.example\",\"nameservers\":[\"ns.example.net.\"],\"pdns\":{\"a\":\""
          LABEL4096 LABEL4096 LABEL4096 LABEL4096 "\"}}", 413, "too long" },
        { "the same as a change", API_PATCH, RW, ZONE, "{\"pdns\":{\"a\":\"" LABEL4096 LABEL4096 LABEL4096 LABEL4096 "\"}}", 413, "" },
        { "a zero byte, which could not be read again", API_POST, RW, "/v1/zones", "{\"name\":\"s.example\",\"nameservers\":[\"ns.example.net.\"],"
          "\"pdns\":{\"a\":\"\\u0000\"}}", 422, "" },
        { "the same as a change", API_PATCH, RW, ZONE, "{\"pdns\":{\"a\":\"\\u0000\"}}", 422, "" },
        { "and where it would cut off", API_PATCH, RW, ZONE, "{\"account\":\"a\\u0000b\"}", 400, "account: a text is wanted" },

        { "malformed", API_PATCH, RW, SETS, "{\"rrsets\":[", 400, "no JSON" },
        { "no object", API_PATCH, RW, SETS, "\"rrsets\"", 400, "no JSON" },
        { "a member twice", API_PATCH, RW, SETS, "{\"rrsets\":[],\"rrsets\":[]}", 400, "duplicate" },
        { "records missing", API_PATCH, RW, SETS, ONE(""), 400, "records are missing" },
        { "delete with records", API_PATCH, RW, SETS, ONE(",\"change\":\"delete\",\"records\":[]"), 400, "a delete has no records" },
        { "an owner that is not ASCII", API_PATCH, RW, SETS, "{\"rrsets\":[{\"name\":\"\303\274\",\"type\":\"A\",\"records\":[]}]}", 422, "as DNS has them" },
        { "nor in the path", API_GET, RO, SETS "/%C3%BC/A", "", 400, "as DNS has them" },
        { "RDATA that does not parse", API_PATCH, RW, SETS, ONE(",\"records\":[{\"content\":\"1.2.3\"}]"), 422, "a A: content" },
        { "one bad one takes all", API_PATCH, RW, SETS, "{\"rrsets\":[{\"name\":\"a\",\"type\":\"A\",\"records\":[{\"content\":\"192.0.2.1\"}]},"
          "{\"name\":\"b\",\"type\":\"A\",\"records\":[{\"content\":\"x\"}]}]}", 422, "b A: content" },
        { "so nothing is there", API_GET, RO, SETS "/a/A", "", 404, "no such RRset" },
        { "several", API_PATCH, RW, SETS, "{\"rrsets\":[{\"name\":\"a\",\"type\":\"A\",\"ttl\":60,\"records\":[{\"content\":\"192.0.2.1\"}]},"
          "{\"name\":\"b.example.com.\",\"type\":\"CNAME\",\"records\":[{\"content\":\"a\"}]}]}", 200, "\"changed\":true" },
        { "CNAME beside A", API_PUT, RW, SETS "/b/A", "{\"records\":[{\"content\":\"192.0.2.1\"}]}", 422, "CNAME beside other data" },
        { "A beside CNAME, the other way", API_PUT, RW, SETS "/a/CNAME", "{\"records\":[{\"content\":\"b\"}]}", 422, "CNAME beside" },
        { "a swap in one change is fine", API_PATCH, RW, SETS, "{\"rrsets\":[{\"name\":\"b\",\"type\":\"CNAME\",\"change\":\"delete\"},"
          "{\"name\":\"b\",\"type\":\"A\",\"records\":[{\"content\":\"192.0.2.2\"}]}]}", 200, "\"changed\":true" },
        { "add keeps the TTL", API_PATCH, RW, SETS, ONE(",\"change\":\"add\",\"records\":[{\"content\":\"192.0.2.7\"}]"), 200, "" },
        { "two of them", API_GET, RO, SETS "/a/A", "", 200, "\"ttl\":60,\"records\":[{\"content\":\"192.0.2.1\",\"disabled\":false},{\"content\":\"192.0.2.7\"" },
        { "remove", API_PATCH, RW, SETS, ONE(",\"change\":\"remove\",\"records\":[{\"content\":\"192.0.2.1\"}]"), 200, "\"changed\":true" },
        { "again is no change", API_PATCH, RW, SETS, ONE(",\"change\":\"remove\",\"records\":[{\"content\":\"192.0.2.1\"}]"), 200, "\"changed\":false" },
        { "comments alone", API_PATCH, RW, SETS, ONE(",\"comments\":[{\"content\":\"why\",\"modified_at\":5}]"), 200, "" },
        { "stay with the records", API_GET, RO, SETS "/a/A", "", 200, "\"comments\":[{\"content\":\"why\",\"account\":\"\",\"modified_at\":5}]" },
        { "the SOA must stay", API_DELETE, RW, SETS "/@/SOA", "", 422, "SOA" },
        { "not there", API_DELETE, RW, SETS "/c/A", "", 404, "no such RRset" },
        { "not in the zone", API_GET, RO, SETS "/a.example.net./A", "", 404, "not in the zone" },
        { "no type", API_GET, RO, SETS "/a/NOTYPE", "", 400, "not known" },
        { "type by number", API_GET, RO, SETS "/a/TYPE1", "", 200, "192.0.2.7" },
        { "wrong serial", API_DELETE, RW, SETS "/a/A?if_serial=1", "", 412, "" },
        { "the list of one owner", API_GET, RO, SETS "?name=a", "", 200, "{\"rrsets\":[{\"name\":\"a.example.com.\"" },
        { "no zone", API_PATCH, RW, "/v1/zones/example.org/rrsets", ONE(",\"records\":[]"), 404, "zone" },
        { "export", API_GET, RO, ZONE "/export", "", 200, "a.example.com.\t60\tIN\tA\t192.0.2.7\n" },
        { "import of nothing", API_POST, RW, ZONE "/import", "", 422, "SOA" },
        { "import with errors has them all", API_POST, RW, ZONE "/import", "@ 1 IN A x\n@ 1 IN A y\n", 422, "\"errors\":[{\"line\":1" },
        { "import", API_POST, RW, ZONE "/import?force=1", "@ 60 IN SOA ns.example.net. h 9 2 3 4 5\n@ 60 IN NS ns.example.net.\n", 200, "\"changed\":true" },
        { "took a away", API_GET, RO, SETS "/a/A", "", 404, "" },
        { "who did it", API_GET, RO, ZONE "/log", "", 200, "\"via\":\"api\",\"name\":\"ops\",\"address\":\"192.0.2.200\"" },
        { "removed", API_DELETE, RW, ZONE, "", 200, "\"changed\":true" },
        { "twice", API_DELETE, RW, ZONE, "", 404, "zone" },
    };
    RUN(*state, steps);
}

static void tsig_steps(void **state)
{
    static const struct step steps[] = {
        { "none", API_GET, RO, "/v1/tsig", "", 200, "{\"keys\":[],\"next\":null}" },
        { "too short", API_POST, RW, "/v1/tsig", "{\"name\":\"k\",\"secret\":\"c2hvcnQ=\"}", 422, "16 or more" },
        { "no base64", API_POST, RW, "/v1/tsig", "{\"name\":\"k\",\"secret\":\"?\"}", 422, "base64" },
        { "unknown algorithm", API_POST, RW, "/v1/tsig", "{\"name\":\"k\",\"algorithm\":\"hmac-md5\"}", 422, "algorithm" },
        { "no rights", API_POST, RW, "/v1/tsig", "{\"name\":\"k\",\"rights\":[]}", 422, "" },
        { "made", API_POST, RW, "/v1/tsig", "{\"name\":\"K\",\"secret\":\"MDEyMzQ1Njc4OWFiY2RlZg==\"}", 201, "\"name\":\"k.\"" },
        { "twice", API_POST, RW, "/v1/tsig", "{\"name\":\"k.\"}", 409, "such a key" },
        { "the secret", API_GET, RW, "/v1/tsig/k", "", 200, "MDEyMzQ1Njc4OWFiY2RlZg==" },
        { "rights by PUT, the secret stays", API_PUT, RW, "/v1/tsig/k", "{\"rights\":{\"transfer\":[\"*\"]}}", 200, "MDEyMzQ1Njc4OWFiY2RlZg==" },
        { "a reader sees no secret", API_GET, RO, "/v1/tsig/k", "", 200, "{\"name\":\"k.\",\"algorithm\":\"hmac-sha256\",\"rights\":{\"transfer\":[\"*\"]}}" },
        { "may not write", API_DELETE, RO, "/v1/tsig/k", "", 403, "read only" },
        { "gone", API_DELETE, RW, "/v1/tsig/k", "", 200, "{}" },
        { "twice gone", API_DELETE, RW, "/v1/tsig/k", "", 404, "no such key" },
    };
    RUN(*state, steps);
}

/* The loop answers for all: what is long to read is read in a thread. */
static void large_bodies_leave_the_loop(void **state)
{
    static const struct { const char *why, *target, *body; enum api_method method; } calls[] = {
        { "several RRsets", SETS, ONE(",\"records\":[]"), API_PATCH },
        { "one RRset", SETS "/a/A", "{\"records\":[]}", API_PUT },
    };
    struct api_bed *b = *state;
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        for (int large = 0; large < 2; large++) {
            char *body = malloc(40000);
            (void)snprintf(body, 40000, "%s%*s", calls[i].body, large ? 20000 : 1, "");
            const struct api_request r = { .method = calls[i].method, .path = calls[i].target, .key = RW, .body = bytes_of_text(body) };
            struct api_call c;
            enum api_next next = api_begin(&c, &r, b->keys);
            if (next != (large ? API_WORK : API_CHANGE))
                fail_msg("%s, %zu bytes: step %d", calls[i].why, strlen(body), (int)next);
            api_call_release(&c);
            free(body);
        }
}

/* --- RRsets as JSON -------------------------------------------------------------------------------------------------- */
static const struct { const char *why, *type, *content, *back; bool absolute; } contents[] = {
    { "an address", "A", "192.0.2.1", "192.0.2.1", false },
    { "a relative name gets the zone", "MX", "10 mx", "10 mx.example.com.", false },
    { "which PowerDNS refuses", "MX", "10 mx", NULL, true },
    { "an absolute name", "MX", "10 mx.example.com.", "10 mx.example.com.", true },
    { "several strings", "TXT", "\"a\" \"b;c\"", "\"a\" \"b;c\"", false },
    { "a string without quotes", "TXT", "abc", "\"abc\"", false },
    { "a ; outside of quotes would cut it off", "TXT", "a; b", NULL, false },
    { "escaped it does not", "TXT", "a\\;b", "\"a;b\"", false },
    { "a quote left open", "TXT", "\"abc", NULL, false },
    { "a second line", "A", "192.0.2.1\n192.0.2.2", NULL, false },
    { "two words too many", "A", "192.0.2.1 192.0.2.2", NULL, false },
    { "nothing", "A", "", NULL, false },
    { "an unknown type by its bytes", "TYPE65000", "\\# 2 abcd", "\\# 2 abcd", false },
    { "bytes that are no address", "A", "\\# 2 abcd", NULL, false },
    { "a type that no zone holds", "ANY", "\\# 0", NULL, false },
};
static void content_rows(void **state)
{
    static const uint8_t apex[] = "\7example\3com";
    (void)state;
    for (size_t i = 0; i < sizeof contents / sizeof contents[0]; i++) {
        const struct rrjson_options how = { .apex = bytes_of(apex, sizeof apex), .absolute = contents[i].absolute, .default_ttl = 7 };
        struct arena a;
        struct row row;
        struct fault fault = { "" };
        bool records, comments;
        char text[1024] = "";
        arena_init(&a);
        json_t *o = json_pack("{s:s,s:s,s:[{s:s}]}", "name", "www.example.com.", "type", contents[i].type, "records", "content", contents[i].content);
        enum err err = rrjson_read(o, &how, &a, &row, &records, &comments, &fault);
        if (contents[i].back == NULL) {
            if (err != ERR_BAD || fault.text[0] == '\0')
                fail_msg("%s: %s, '%s'", contents[i].why, err_text(err), fault.text);
        } else if (err != OK || rrjson_content(row.type, row.rr[0].rdata, text, sizeof text) != OK
                   || strcmp(text, contents[i].back) != 0 || row.ttl != 7 || row.n != 1 || !records || comments) {
            fail_msg("%s: %s '%s', gives %s", contents[i].why, err_text(err), fault.text, text);
        }
        json_decref(o);
        arena_release(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(zone_steps, api_bed_open, api_bed_close),
        cmocka_unit_test_setup_teardown(tsig_steps, api_bed_open, api_bed_close),
        cmocka_unit_test_setup_teardown(large_bodies_leave_the_loop, api_bed_open, api_bed_close),
        cmocka_unit_test(content_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
