/* What fits the machine, and which keys SIGHUP does not take over: each key of dns is in the list. */
#include "dnsfront/fit.h"

#include "tests/util.h"

static void cache_and_memory(void **state)
{
    static const struct { const char *why; uint64_t cache, memory; enum err want; } rows[] = {
        { "the default",                       (uint64_t)64 << 20, (uint64_t)1 << 30, OK },
        { "all there is: who says so knows",   (uint64_t)1 << 30,  (uint64_t)1 << 30, OK },
        { "a slip of the pen: T for G",        (uint64_t)2 << 40,  (uint64_t)1 << 34, ERR_CONFIG },
        { "off",                               0,                  1,                 OK },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct config_dns c = { .cache = rows[i].cache };
        struct machine m = { rows[i].memory, 2 };
        struct fault fault = { "" };
        enum err got = fit_check(&c, &m, &fault);
        if (got != rows[i].want || (got != OK && strstr(fault.text, "dns.cache") == NULL))
            fail_msg("%s: %s (%s)", rows[i].why, err_text(got), fault.text);
    }
}

static void this_machine(void **state)
{
    struct machine m;
    (void)state;
    machine_read(&m);
    assert_true(m.cpus >= 1 && m.memory_bytes > (uint64_t)1 << 20);
}

static void changed_keys(void **state)
{
    static const char *const one[] = { "127.0.0.1@53" }, *const other[] = { "127.0.0.2@53" }, *const both[] = { "127.0.0.1@53", "::1@53" };
    static const struct net n1[] = { { { 192, 0, 2 }, 4, 24 } }, n2[] = { { { 192, 0, 2 }, 4, 25 } };
    static const struct config_dns base = { .listen = one, .listens = 1, .workers = 2, .cache = 64, .nsid = "a" };
    static const struct { const char *want; struct config_dns now; } rows[] = {
        { "",                  { .listen = one, .listens = 1, .workers = 2, .cache = 64, .nsid = "a" } },
        { "dns.listen",        { .listen = other, .listens = 1, .workers = 2, .cache = 64, .nsid = "a" } },
        { "dns.listen",        { .listen = both, .listens = 2, .workers = 2, .cache = 64, .nsid = "a" } },
        { "dns.workers",       { .listen = one, .listens = 1, .workers = 3, .cache = 64, .nsid = "a" } },
        { "dns.cache,dns.nsid", { .listen = one, .listens = 1, .workers = 2, .cache = 65 } },
        { "dns.nsid",          { .listen = one, .listens = 1, .workers = 2, .cache = 64, .nsid = "b" } },
        { "dns.version",       { .listen = one, .listens = 1, .workers = 2, .cache = 64, .nsid = "a", .version = "x" } },
        { "",                  { .listen = one, .listens = 1, .workers = 2, .cache = 64, .nsid = "a", .cookie = { .n = 1 } } },
        { "",                  { .listen = one, .listens = 1, .workers = 2, .cache = 64, .nsid = "a", .cookie = { .off = true } } },
        { "dns.proxies",       { .listen = one, .listens = 1, .workers = 2, .cache = 64, .nsid = "a", .proxies = n1, .proxies_n = 1 } },
        { "dns.rrl",           { .listen = one, .listens = 1, .workers = 2, .cache = 64, .nsid = "a", .rrl = { .rate = 5 } } },
        { "dns.rrl",           { .listen = one, .listens = 1, .workers = 2, .cache = 64, .nsid = "a", .rrl = { .allow = n2, .allow_n = 1 } } },
        { "",                  { .listen = one, .listens = 1, .workers = 2, .cache = 64, .nsid = "a", .tls = { .cert = "c", .key = "k" } } },
        { "dns.tls.listen",    { .listen = one, .listens = 1, .workers = 2, .cache = 64, .nsid = "a", .tls = { .listen = one, .listens = 1 } } },
        { "dns.tcp",           { .listen = one, .listens = 1, .workers = 2, .cache = 64, .nsid = "a", .tcp = { .idle_ms = 1 } } },
        { "dns.http",          { .listen = one, .listens = 1, .workers = 2, .cache = 64, .nsid = "a", .http = { "127.0.0.1@80" } } },
    };
    struct config_dns was_dns = base, now_dns;
    struct config was = { .node = { "n", "/a", 0 }, .dns = &was_dns }, now = { .node = { "n", "/a", 0 }, .dns = &now_dns };
    char text[FIT_KEYS_TEXT];
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        now_dns = rows[i].now;
        unsigned n = fit_restart_keys(&was, &now, text);
        assert_string_equal(text, rows[i].want);
        assert_int_equal(n > 0, text[0] != '\0');
    }
    now_dns = base;
    was_dns.proxies = n1, was_dns.proxies_n = 1;
    now_dns.proxies = n2, now_dns.proxies_n = 1;
    now.node.dir = "/b";
    assert_int_equal(fit_restart_keys(&was, &now, text), 2);
    assert_string_equal(text, "node.dir,dns.proxies");
    now.node.map_size = 1;
    assert_int_equal(fit_restart_keys(&was, &now, text), 3);
    assert_string_equal(text, "node.dir,node.map_size,dns.proxies");
    now.node.map_size = 0;
    now.dns = NULL;
    assert_int_equal(fit_restart_keys(&was, &now, text), 2);
    assert_string_equal(text, "node.dir,dns");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cache_and_memory), cmocka_unit_test(this_machine), cmocka_unit_test(changed_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
