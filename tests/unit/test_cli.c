/* What the azoth command is made of besides its calls: options, tables, differences, addresses that clash. */
#include "tests/util.h"

#include "tools/check_listen.h"
#include "tools/options.h"
#include "tools/rrdiff.h"
#include "tools/table.h"
#include "tools/terminal.h"
#include "tools/zone_parts.h"

#include <stdlib.h>

/* --- options --------------------------------------------------------------------------------------------------------- */
static const struct option_spec specs[] = {
    OPTION("wait", "100%", OPTION_MAYBE, wait, ""), OPTION("ns", "NAME", OPTION_LIST, nameservers, ""), OPTION_END,
};
static const struct { const char *why, *args[4]; enum err want; const char *wait, *first; size_t servers, words; } lines[] = {
    { "nothing", { "a" }, OK, NULL, NULL, 0, 1 },
    { "a value may be left out, and the next word is no value", { "--wait", "75%" }, OK, "100%", NULL, 0, 1 },
    { "a value behind the sign", { "--wait=75%", "a" }, OK, "75%", NULL, 0, 1 },
    { "an empty value is none", { "--wait=" }, ERR_BAD, NULL, NULL, 0, 0 },
    { "the last one counts", { "--wait", "--wait=1" }, OK, "1", NULL, 0, 0 },
    { "one of a list", { "--ns", "a", "b" }, OK, NULL, "a", 1, 1 },
    { "both of a list, in order", { "--ns", "a", "--ns=b" }, OK, NULL, "a", 2, 0 },
    { "an empty one", { "--ns", "" }, ERR_BAD, NULL, NULL, 0, 0 },
};
static void option_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(lines); i++) {
        char *argv[4];
        int argc = 0, at = 0;
        struct options o = { 0 };
        struct fault fault = { "" };
        for (; argc < 4 && lines[i].args[argc] != NULL; argc++)
            argv[argc] = (char *)(uintptr_t)lines[i].args[argc];
        enum err got = options_read(argc, argv, &at, specs, false, &o, &fault);
        if (got != lines[i].want)
            fail_msg("%s: got '%s' (%s)", lines[i].why, err_text(got), fault.text);
        if (got != OK)
            continue;
        const char *first = o.nameservers.n > 0 ? o.nameservers.v[0] : NULL;
        if (o.nameservers.n != lines[i].servers || o.args_n != lines[i].words || (o.wait == NULL) != (lines[i].wait == NULL)
            || (o.wait != NULL && strcmp(o.wait, lines[i].wait) != 0) || (first != NULL && strcmp(first, lines[i].first) != 0))
            fail_msg("%s: wait %s, %zu of ns, %zu words", lines[i].why, o.wait != NULL ? o.wait : "-", o.nameservers.n, o.args_n);
        assert_int_equal(option_given(&specs[0], &o), o.wait != NULL);
        assert_int_equal(option_given(&specs[1], &o), o.nameservers.n > 0);
    }
}

static void too_many_of_a_list(void **state)
{
    char word[] = "--ns=a", *argv[OPTION_LIST_MAX + 1];
    struct options o = { 0 };
    struct fault fault = { "" };
    int at = 0;
    (void)state;
    for (size_t i = 0; i < ROWS(argv); i++)
        argv[i] = word;
    assert_int_equal(options_read(OPTION_LIST_MAX, argv, &at, specs, false, &o, &fault), OK);
    o = (struct options){ 0 };
    at = 0;
    assert_int_equal(options_read(OPTION_LIST_MAX + 1, argv, &at, specs, false, &o, &fault), ERR_BAD);
}

/* --- differences ----------------------------------------------------------------------------------------------------- */
#define SOA(n) "{\"ttl\":60,\"records\":[\"a. b. " n " 1 2 3 4\"]}"
#define SET(ttl, ...) "{\"ttl\":" ttl ",\"records\":[" __VA_ARGS__ "]}"
static const struct { const char *why, *differences; uint64_t go, come; long serial; const char *shown; } changes[] = {
    { "nothing", "[]", 0, 0, -1, "" },
    { "the SOA moves with every change and is no loss", "[{\"name\":\"z.\",\"type\":\"SOA\",\"before\":" SOA("7") ",\"after\":" SOA("8") "}]", 0, 0, 7,
      "- z. 60 IN SOA a. b. 7 1 2 3 4\n+ z. 60 IN SOA a. b. 8 1 2 3 4\n" },
    { "a zone that goes loses it", "[{\"name\":\"z.\",\"type\":\"SOA\",\"before\":" SOA("4294967295") ",\"after\":null}]", 1, 0, 4294967295,
      "- z. 60 IN SOA a. b. 4294967295 1 2 3 4\n" },
    { "a new one has no serial before", "[{\"name\":\"z.\",\"type\":\"SOA\",\"before\":null,\"after\":" SOA("1") "}]", 0, 1, -1,
      "+ z. 60 IN SOA a. b. 1 1 2 3 4\n" },
    { "what stays is not shown", "[{\"name\":\"w.z.\",\"type\":\"A\",\"before\":" SET("9", "\"1\",\"2\"") ",\"after\":" SET("9", "\"2\",\"3\"") "}]", 1, 1, -1,
      "- w.z. 9 IN A 1\n+ w.z. 9 IN A 3\n" },
    { "another TTL is shown, and no loss", "[{\"name\":\"w.z.\",\"type\":\"A\",\"before\":" SET("9", "\"1\"") ",\"after\":" SET("8", "\"1\"") "}]", 0, 0, -1,
      "- w.z. 9 IN A 1\n+ w.z. 8 IN A 1\n" },
    { "control characters are no commands", "[{\"name\":\"w.z.\",\"type\":\"A\",\"before\":null,\"after\":" SET("9", "\"\\u001b[2J\\u009b\"") "}]", 0, 1, -1,
      "+ w.z. 9 IN A \\x1b[2J\\x9b\n" },
    { "what makes no sense is passed over", "[1,{\"name\":7,\"before\":[],\"after\":{\"records\":[1,{}]}}]", 0, 0, -1, "" },
};
static void difference_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(changes); i++) {
        char *shown = NULL;
        size_t len = 0;
        uint32_t serial = 0;
        json_t *list = json_loads(changes[i].differences, 0, NULL), *reply = json_pack("{s:o}", "differences", list);
        assert_non_null(reply);
        struct rrdiff_count c = rrdiff_count(reply);
        bool has = rrdiff_serial(reply, &serial);
        FILE *to = open_memstream(&shown, &len);
        rrdiff_print(to, reply, 0);
        assert_int_equal(fclose(to), 0);
        if (c.go != changes[i].go || c.come != changes[i].come || has != (changes[i].serial >= 0)
            || (has && serial != (uint32_t)changes[i].serial) || strcmp(shown, changes[i].shown) != 0)
            fail_msg("%s: %u go, %u come, serial %u:\n%s", changes[i].why, (unsigned)c.go, (unsigned)c.come, serial, shown);
        free(shown);
        json_decref(reply);
    }
}

static void a_difference_that_is_cut(void **state)
{
    char *shown = NULL;
    size_t len = 0;
    json_t *reply = json_loads("{\"cut\":true,\"added\":5,\"removed\":20000,\"differences\":[{\"name\":\"w.z.\",\"type\":\"A\",\"before\":"
                               SET("9", "\"1\"") ",\"after\":null}]}", 0, NULL);
    (void)state;
    struct rrdiff_count c = rrdiff_count(reply);
    assert_true(c.go == 20000 && c.come == 5);
    FILE *to = open_memstream(&shown, &len);
    rrdiff_print(to, reply, 1);
    assert_int_equal(fclose(to), 0);
    assert_non_null(strstr(shown, "20000 records go, 5 come in all"));
    free(shown);
    json_decref(reply);
}

/* --- addresses ------------------------------------------------------------------------------------------------------- */
static const struct { const char *why, *dns, *http, *serve; unsigned want; } places[] = {
    { "ports differ", "127.0.0.1@53", "127.0.0.1@54", "tcp://127.0.0.1:55", 0 },
    { "the same twice", "127.0.0.1@53", "127.0.0.1@53", "tcp://127.0.0.1:55", 1 },
    { "three on one port: two are too many", "127.0.0.1@53", "127.0.0.1@53", "tcp://127.0.0.1:53", 2 },
    { "other addresses, one port", "127.0.0.1@53", "127.0.0.2@53", "tcp://[::1]:53", 0 },
    { "all IPv4 addresses, and one", "0.0.0.0@53", "127.0.0.1@53", "tcp://127.0.0.1:55", 1 },
    { "one, and all of them later", "127.0.0.1@53", "0.0.0.0@53", "tcp://127.0.0.1:55", 1 },
    { "all of each family stand beside each other", "0.0.0.0@53", "::@53", "tcp://127.0.0.1:55", 0 },
    { "all IPv6 addresses, and one", "::@53", "::1@53", "tcp://127.0.0.1:55", 1 },
    { "one IPv6 address spelled in two ways", "2001:db8::1@53", "2001:db8:0::1@53", "tcp://[2001:db8::0:1]:53", 2 },
    { "nanomsg's name of all addresses", "192.0.2.1@53", "::1@54", "tcp://*:53", 1 },
    { "names are equal when they are spelled so", "127.0.0.1@53", "localhost@55", "tcp://LocalHost:55", 1 },
    { "any free port", "127.0.0.1@0", "127.0.0.1@0", "tcp://127.0.0.1:0", 0 },
    { "a path has no port", "127.0.0.1@53", "127.0.0.1@54", "ipc:///tmp/x", 0 },
};
static void on_clash(void *arg, const char *key, const char *text)
{
    (void)arg;
    assert_true(key[0] != '\0' && strstr(text, "cannot be listened on beside") != NULL);
}
static void address_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(places); i++) {
        const char *listen[] = { places[i].dns };
        struct config_dns dns = { .listen = listen, .listens = 1, .http.listen = places[i].http };
        struct config_core core = { .links.serve = places[i].serve };
        struct config c = { .core = &core, .dns = &dns };
        unsigned got = check_listens(&c, on_clash, NULL);
        if (got != places[i].want)
            fail_msg("%s: %u clash, not %u", places[i].why, got, places[i].want);
    }
}

static void paths_clash(void **state)
{
    struct config_links links = { "ipc:///tmp/x", "ipc:///tmp/y", "ipc:///tmp/x" };
    struct config_core core = { .links = links };
    struct config c = { .core = &core };
    (void)state;
    assert_int_equal(check_listens(&c, on_clash, NULL), 1);
}

/* --- spans of time ----------------------------------------------------------------------------------------------------- */
static void span_rows(void **state)
{
    static const struct { const char *why; json_int_t s; const char *want; } spans[] = {
        { "now", 0, "0 s" }, { "a clock that was set back", -5, "0 s" }, { "two minutes are the first told in minutes", 119, "119 s" },
        { "whole minutes", 2820, "47 min" }, { "hours from two on", 7199, "119 min" }, { "hours", 7200, "2 h" }, { "days from two on", 172799, "47 h" },
        { "days", 172800, "2 d" }, { "a serial space of seconds", 4294967296, "49710 d" },
    };
    char span[TOOL_SPAN_MAX];
    (void)state;
    for (size_t i = 0; i < ROWS(spans); i++)
        if (strcmp(tool_span(span, spans[i].s), spans[i].want) != 0)
            fail_msg("%s: got '%s', want '%s'", spans[i].why, span, spans[i].want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(option_rows), cmocka_unit_test(too_many_of_a_list), cmocka_unit_test(difference_rows),
        cmocka_unit_test(a_difference_that_is_cut), cmocka_unit_test(address_rows), cmocka_unit_test(paths_clash), cmocka_unit_test(span_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
