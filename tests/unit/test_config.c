/* azoth.yaml: what is read, and what a wrong file is told. */
#include "tests/util.h"

#include "base/text.h"
#include "config/config.h"

#define ONES "1111111111111111111111111111111"
#define SECRET "0123456789abcdef0123456789ABCDEF"
#define FIFTY "abcdefghijklmnopqrstuvwxyabcdefghijklmnopqrstuvwxy"
#define NODE "node: { name: n1, dir: /tmp/x }\n"
#define KEY "ed25519:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

static enum err load_text(const char *text, size_t len, struct config **out, struct fault *fault)
{
    char path[] = "/tmp/azoth-config-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, len), (ssize_t)len);
    (void)close(fd);
    enum err err = config_load(path, out, fault);
    (void)unlink(path);
    return err;
}

static void cookie_secrets(void **state)
{
    static const struct { const char *why, *text; unsigned n; bool off; uint8_t first, second; } rows[] = {
        { "none given",                "",                                                    0, false, 0, 0 },
        { "off",                       "  cookie_secret: off\n",                              0, true,  0, 0 },
        { "one, in letters of any case", "  cookie_secret: " SECRET "\n",                     1, false, 0x01, 0 },
        { "two with a comma",          "  cookie_secret: \"" SECRET ",f" ONES "\"\n",         2, false, 0x01, 0xf1 },
        { "two with a space",          "  cookie_secret: f" ONES " " SECRET "\n",             2, false, 0xf1, 0x01 },
        { "two with both",             "  cookie_secret: \"" SECRET ", f" ONES "\"\n",        2, false, 0x01, 0xf1 },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        char text[512];
        struct config *c;
        struct fault fault = { "" };
        int len = snprintf(text, sizeof text, "%sdns:\n  listen: [\"::@53\"]\n%s", NODE, rows[i].text);
        if (load_text(text, (size_t)len, &c, &fault) != OK)
            fail_msg("%s: %s", rows[i].why, fault.text);
        if (c->dns->cookie.n != rows[i].n || c->dns->cookie.off != rows[i].off || c->dns->cookie.secret[0][0] != rows[i].first
            || c->dns->cookie.secret[1][0] != rows[i].second)
            fail_msg("%s: n=%u %02x %02x", rows[i].why, c->dns->cookie.n, c->dns->cookie.secret[0][0], c->dns->cookie.secret[1][0]);
        config_free(c);
    }
}

static void wrong_files(void **state)
{
    static const struct { const char *why, *text, *want; } rows[] = {
        { "empty", "", ":1: the file is empty" },
        { "comment only", "# nothing\n", ":1: the file is empty" },
        { "unknown key at the top", NODE "nodes: 1\n", ":2: nodes: unknown key" },
        { "unknown key inside", "node:\n  dir: /x\n  foo: 3\n", ":3: node.foo: unknown key" },
        { "required key missing", "node:\n  name: a\n", ": node.dir: missing" },
        { "required key missing in a list", NODE "core:\n  publish: tcp://a:1\n  serve: tcp://a:2\n  zones:\n"
          "  - { name: x., file: f }\n  - { name: y. }\n", ":7: core.zones.2.file: missing" },
        { "a list where a map belongs", "node: [1]\n", ":1: node: not a part with keys" },
        { "a list where the parts belong", "[1]\n", ":1: not a part with keys" },
        { "an element that is a list", NODE "dns:\n  listen: [127.0.0.1@53, [127.0.0.1@54]]\n", ":3: dns.listen.2: not a single value" },
        { "a name that is no file's", "node:\n  dir: /x\n  name: a/b\n", ":3: node.name: not letters" },
        { "a name with a space", "node:\n  dir: /x\n  name: a b\n", ":3: node.name: not letters" },
        { "a hidden name", "node:\n  dir: /x\n  name: .a\n", ":3: node.name: not letters" },
        { "an NSID of 129 bytes", NODE "dns:\n  listen: [127.0.0.1@53]\n  nsid: " FIFTY FIFTY "0123456789012345678901234567x\n",
          ":4: dns.nsid: longer than 128 bytes" },
        { "a version of 256 bytes", NODE "dns:\n  listen: [127.0.0.1@53]\n  version: " FIFTY FIFTY FIFTY FIFTY FIFTY "012345\n",
          ":4: dns.version: longer than 255 bytes" },
        { "bad size", "node:\n  dir: /x\n  map_size: 12Q\n", ":3: node.map_size: not a size" },
        { "map too small", "node:\n  dir: /x\n  map_size: 4k\n", ":3: node.map_size: not between" },
        { "bad size of the journal", NODE "core:\n  publish: tcp://a:1\n  serve: tcp://a:2\n  journal: { size: 1x }\n",
          ":5: core.journal.size: not a size" },
        { "bad duration", NODE "core:\n  publish: tcp://a:1\n  serve: tcp://a:2\n  log_retention: { age: 7x }\n",
          ":5: core.log_retention.age: not a duration" },
        { "bad size of an edge's log", NODE "edge:\n  core_key: " KEY "\n  upstream: [{ publish: tcp://a:1, serve: tcp://a:2 }]\n"
          "  log_retention:\n    size: lots\n", ":6: edge.log_retention.size: not a size" },
        { "bad flag", NODE "core: { publish: tcp://a:1, serve: tcp://a:2, encrypt: maybe }\n", ":2: core.encrypt: neither" },
        { "core without nodes", NODE "core:\n  publish: tcp://a:1\n  serve: tcp://a:2\n", ":2: core.nodes: missing" },
        { "relay without nodes", NODE "edge:\n  core_key: " KEY "\n  upstream: [{ publish: tcp://a:1, serve: tcp://a:2 }]\n"
          "  relay: { publish: tcp://a:3, serve: tcp://a:4 }\n", ":5: edge.relay.nodes: missing" },
        { "bad rate", NODE "core:\n  publish: tcp://a:1\n  serve: tcp://a:2\n  nodes: /n\n  snapshots: { rate: fast }\n",
          ":6: core.snapshots.rate: not a size" },
        { "too slow", NODE "core:\n  publish: tcp://a:1\n  serve: tcp://a:2\n  nodes: /n\n  snapshots:\n    rate: 63k\n",
          ":7: core.snapshots.rate: not between" },
        { "nobody at once", NODE "edge:\n  core_key: " KEY "\n  upstream: [{ publish: tcp://a:1, serve: tcp://a:2 }]\n"
          "  relay:\n    publish: tcp://a:1\n    serve: tcp://a:2\n    nodes: /n\n    snapshots: { at_once: 0 }\n",
          ":9: edge.relay.snapshots.at_once: not a number from 1 to 64" },
        { "unknown key of snapshots", NODE "core:\n  publish: tcp://a:1\n  serve: tcp://a:2\n  snapshots: { speed: 1 }\n",
          ":5: core.snapshots.speed: unknown key" },
        { "bad link", NODE "core:\n  publish: udp://a:1\n  serve: tcp://a:2\n", ":3: core.publish: not tcp://" },
        { "link without port", NODE "core:\n  publish: tcp://a\n  serve: tcp://a:2\n", ":3: core.publish: not tcp://" },
        { "bad listen", NODE "dns:\n  listen:\n  - 127.0.0.1@53\n  - 127.0.0.1:53\n", ":5: dns.listen.2: not ADDRESS@PORT" },
        { "port too high", NODE "dns:\n  listen: [127.0.0.1@65536]\n", ":3: dns.listen.1: not ADDRESS@PORT" },
        { "no listen", NODE "dns:\n  listen: []\n", ":3: dns.listen: fewer elements" },
        { "one address, no list", NODE "dns:\n  listen: 127.0.0.1@53\n", ":3: dns.listen: not a list" },
        { "a name to listen on", NODE "dns:\n  listen: [127.0.0.1@53, localhost@53]\n", ":3: dns.listen.2: not ADDRESS@PORT: a name" },
        { "an address in brackets", NODE "dns:\n  listen: [\"[::1]@53\"]\n", ":3: dns.listen.1: not ADDRESS@PORT: a name, or brackets" },
        { "a network to listen on", NODE "dns:\n  listen: [10.0.0.0/8@53]\n", ":3: dns.listen.1: not ADDRESS@PORT" },
        { "half a cookie secret", NODE "dns:\n  listen: [\"::@53\"]\n  cookie_secret: 0011\n", ":4: dns.cookie_secret: neither off nor" },
        { "a cookie secret with a letter too many", NODE "dns:\n  listen: [\"::@53\"]\n  cookie_secret: " SECRET "0\n",
          ":4: dns.cookie_secret: neither" },
        { "a cookie secret that is no hex", NODE "dns:\n  listen: [\"::@53\"]\n  cookie_secret: 0123456789abcdef0123456789abcdeg\n",
          ":4: dns.cookie_secret: neither" },
        { "three cookie secrets", NODE "dns:\n  listen: [\"::@53\"]\n  cookie_secret: \"" SECRET "," SECRET "," SECRET "\"\n",
          ":4: dns.cookie_secret: neither" },
        { "a comma behind the last one", NODE "dns:\n  listen: [\"::@53\"]\n  cookie_secret: \"" SECRET ",\"\n",
          ":4: dns.cookie_secret: neither" },
        { "no cookie secret", NODE "dns:\n  listen: [\"::@53\"]\n  cookie_secret: \"\"\n", ":4: dns.cookie_secret: empty" },
        { "no workers", NODE "dns:\n  listen: [\"::@53\"]\n  workers: 0\n", ":4: dns.workers: not a number" },
        { "a proxy's name", NODE "dns:\n  listen: [\"::@53\"]\n  proxies:\n  - 127.0.0.1\n  - localhost\n", ":6: dns.proxies.2: not a network" },
        { "a limit of the core's without a rate", NODE "core:\n  publish: tcp://a:1\n  serve: tcp://a:2\n  nodes: /n\n  dns:\n    rrl: { slip: 1 }\n",
          ":7: core.dns.rrl.rate: missing" },
        { "a network of the core's limit", NODE "core:\n  publish: tcp://a:1\n  serve: tcp://a:2\n  nodes: /n\n  dns:\n    rrl: { rate: 1, allow: [1.2.3] }\n",
          ":7: core.dns.rrl.allow.1: not a network" },
        { "bits behind a network", NODE "dns:\n  listen: [\"::@53\"]\n  rrl:\n    rate: 5\n    allow: [10.0.0.1/8]\n",
          ":6: dns.rrl.allow.1: not a network" },
        { "a proxy of the core's", NODE "core:\n  publish: tcp://a:1\n  serve: tcp://a:2\n  nodes: /n\n  dns:\n    proxies: [1.2.3]\n",
          ":7: core.dns.proxies.1: not a network" },
#define TRANSFERS NODE "core:\n  publish: tcp://a:1\n  serve: tcp://a:2\n  nodes: /n\n  dns:\n    transfers:\n"
        { "no transfer at once", TRANSFERS "      at_once: 0\n", ":8: core.dns.transfers.at_once: not a number from 1 to 1000" },
        { "too many to one primary", TRANSFERS "      at_once: 2\n      per_primary: 1001\n",
          ":9: core.dns.transfers.per_primary: not a number from 1 to 1000" },
        { "memory for nothing", TRANSFERS "      memory: 1M\n", ":8: core.dns.transfers.memory: not a size such as 64M or 4G from 16M to 1T" },
        { "no size of a zone", TRANSFERS "      zone_size: 4K8\n", ":8: core.dns.transfers.zone_size: not a size" },
        { "a unit where none belongs", TRANSFERS "      zone_records: 1M\n", ":8: core.dns.transfers.zone_records: not a number from 100" },
        { "no record of differences", TRANSFERS "      steps_records: 0\n", ":8: core.dns.transfers.steps_records: not a number from 1" },
        { "no time to transfer anything", TRANSFERS "      time: 9s\n", ":8: core.dns.transfers.time: not a duration such as 500ms, 10s or 7d from 10s to 7d" },
        { "a rate that nobody has", TRANSFERS "      rate: 2G\n", ":8: core.dns.transfers.rate: not a size" },
        { "zones asked for all the time", TRANSFERS "      refresh_min: 999ms\n", ":8: core.dns.transfers.refresh_min: not a duration" },
        { "zones that never expire", TRANSFERS "      expire_max: 3651d\n", ":8: core.dns.transfers.expire_max: not a duration" },
        { "a range upside down", TRANSFERS "      refresh_min: 2h\n      refresh_max: 1h\n",
          ":9: core.dns.transfers.refresh_max: refresh_max is less than refresh_min" },
        { "against the default", TRANSFERS "      retry_min: 2h\n", ":8: core.dns.transfers.retry_min: retry_max is less than retry_min" },
        { "an unknown limit", TRANSFERS "      speed: 5\n", ":8: core.dns.transfers.speed: unknown key" },
        { "a rate of nothing", NODE "dns:\n  listen: [\"::@53\"]\n  rrl: { slip: 1 }\n", ":4: dns.rrl.rate: missing" },
        { "a slip too rare", NODE "dns:\n  listen: [\"::@53\"]\n  rrl: { rate: 5, slip: 101 }\n", ":4: dns.rrl.slip: not a number" },
        { "TLS nowhere", NODE "dns:\n  listen: [\"::@53\"]\n  tls: { cert: /c, key: /k }\n", ":4: dns.tls.listen: missing" },
        { "TLS without a key", NODE "dns:\n  listen: [\"::@53\"]\n  tls: { listen: [\"::@853\"], cert: /c }\n", ":4: dns.tls.key: missing" },
        { "no time for anybody", NODE "dns:\n  listen: [\"::@53\"]\n  tcp: { idle: 99ms }\n", ":4: dns.tcp.idle: less than 100ms" },
        { "not a number of connections", NODE "dns:\n  listen: [\"::@53\"]\n  tcp: { per_client: few }\n", ":4: dns.tcp.per_client: not a number" },
        { "bad key", NODE "edge:\n  core_key: ed25519:AAAA\n  upstream: [{ publish: tcp://a:1, serve: tcp://a:2 }]\n",
          ":3: edge.core_key: not a key" },
        { "no upstream", NODE "edge:\n  core_key: " KEY "\n  upstream: []\n", ":4: edge.upstream: fewer elements" },
        { "bad level", NODE "log: { level: loud }\n", ":2: log.level: none of" },
        { "twice the same key", "node:\n  dir: /x\n  dir: /y\n", ": node.dir: given twice" },
        { "not YAML", "node: {\n", "libyaml" },
        { "alias bomb", "a: &a [x]\nb: [*a, *a]\n", ":1: " },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct config *c = NULL;
        struct fault fault = { "" };
        enum err err = load_text(rows[i].text, strlen(rows[i].text), &c, &fault);
        if (err != ERR_CONFIG || strstr(fault.text, rows[i].want) == NULL)
            fail_msg("%s: got %d '%s', want '...%s...'", rows[i].why, err, fault.text, rows[i].want);
    }
}

static void whole_file(void **state)
{
    static const char text[] =
        "node: { name: ams-1, dir: /var/lib/azoth, map_size: 2G }\n"
        "core:\n  publish: tcp://0.0.0.0:7400\n  serve: tcp://0.0.0.0:7401\n  collect: tcp://0.0.0.0:7402\n"
        "  nodes: /n\n"
        "  log_retention: { age: 2d }\n  journal: { age: 90d }\n  snapshots: { rate: 1500k }\n  zones:\n    - { name: example.com., file: /z }\n"
        "  dns: { listen: [127.0.0.1@5300], proxies: [], transfers: { at_once: 8, memory: 512M, rate: 0, refresh_max: 2h } }\n  http: { listen: 127.0.0.1@8090 }\n"
        "edge:\n  core_key: " KEY "\n  upstream:\n    - { publish: tcp://core:7400, serve: tcp://core:7401 }\n"
        "  log_retention: { size: 1G }\n"
        "  relay: { publish: ipc:///run/a, serve: ipc:///run/b, nodes: /r, snapshots: { at_once: 9 } }\n"
        "dns:\n  listen: [0.0.0.0@53, \"::@53\"]\n  workers: 2\n  cache: 0\n  tcp: { idle: 500ms }\n"
        "  proxies: [192.0.2.0/24, \"2001:db8::1\"]\n  rrl: { rate: 20, allow: [10.0.0.0/8] }\n"
        "log: { level: debug, format: json }\n";
    static const uint8_t zero[32];
    struct config *c = NULL;
    struct fault fault = { "" };
    (void)state;
    if (load_text(text, sizeof text - 1, &c, &fault) != OK)
        fail_msg("%s", fault.text);
    assert_string_equal(c->node.name, "ams-1");
    assert_int_equal(c->node.map_size, (uint64_t)2 << 30);
    assert_int_equal(c->core->retention_ms, 2 * 86400000);
    assert_int_equal(c->core->retention_bytes, (uint64_t)4 << 30);
    assert_int_equal(c->core->journal_ms, (uint64_t)90 * 86400000);
    assert_int_equal(c->core->journal_bytes, (uint64_t)1 << 30);
    assert_int_equal(c->core->zones_n, 1);
    const struct config_transfers *t = &c->core->dns_transfers;
    assert_int_equal(t->at_once, 8);
    assert_int_equal(t->per_primary, 4);
    assert_int_equal(t->memory, (uint64_t)512 << 20);
    assert_int_equal(t->zone_size, (uint64_t)4 << 30);
    assert_int_equal(t->time, 3600000);
    assert_int_equal(t->rate, 0);
    assert_int_equal(t->refresh_min, 30000);
    assert_int_equal(t->refresh_max, 7200000);
    assert_int_equal(t->expire_max, (uint64_t)28 * 86400000);
    assert_string_equal(c->core->zones[0].file, "/z");
    assert_string_equal(c->core->http.listen, "127.0.0.1@8090");
    assert_memory_equal(c->edge->core_key, zero, 32);
    assert_string_equal(c->edge->cohort, "all");
    assert_int_equal(c->edge->upstreams_n, 1);
    assert_null(c->edge->upstreams[0].collect);
    assert_string_equal(c->edge->relay->serve, "ipc:///run/b");
    assert_int_equal(c->edge->retention_ms, (uint64_t)7 * 86400000);
    assert_int_equal(c->edge->retention_bytes, (uint64_t)1 << 30);
    assert_int_equal(c->core->snapshots.rate, 1500 * 1024);
    assert_int_equal(c->core->snapshots.at_once, 4);
    assert_int_equal(c->edge->relay_snapshots.rate, (uint64_t)200 << 20);
    assert_int_equal(c->edge->relay_snapshots.at_once, 9);
    assert_string_equal(c->core->nodes, "/n");
    assert_string_equal(c->edge->relay_nodes, "/r");
    assert_null(c->edge->http.listen);
    assert_int_equal(c->dns->listens, 2);
    assert_int_equal(c->dns->proxies_n, 2);
    assert_true(nets_have(c->dns->proxies, 2, bytes_of("\xc0\0\2\7", 4)));
    assert_false(nets_have(c->dns->proxies, 2, bytes_of("\xc0\0\3\7", 4)));
    assert_int_equal(c->dns->rrl.rate, 20);
    assert_int_equal(c->dns->rrl.slip, 2);
    assert_int_equal(c->dns->rrl.allow_n, 1);
    assert_true(nets_have(c->dns->rrl.allow, 1, bytes_of("\12\1\2\3", 4)));
    assert_int_equal(c->dns->tcp.connections, 1000);
    assert_int_equal(c->dns->tcp.per_client, 250);
    assert_int_equal(c->dns->workers, 2);
    assert_int_equal(c->dns->cache, 0);
    assert_int_equal(c->dns->tcp.idle_ms, 500);
    assert_int_equal(c->dns->tcp.connections, 1000);
    assert_true(c->log.json);
    assert_int_equal(c->log.level, LOG_DEBUG);
    config_free(c);
}

static void small_file(void **state)
{
    struct config *c = NULL;
    (void)state;
    assert_int_equal(load_text("node: { dir: /d }\n", 18, &c, NULL), OK);
    assert_true(strlen(c->node.name) > 0);
    assert_int_equal(c->node.map_size, (uint64_t)64 << 30);
    assert_null(c->core);
    assert_null(c->edge);
    assert_null(c->dns);
    config_free(c);
    assert_int_equal(config_load("/nonexistent/azoth.yaml", &c, NULL), ERR_NOTFOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_files), cmocka_unit_test(cookie_secrets), cmocka_unit_test(whole_file), cmocka_unit_test(small_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
