/* Settings of a zone and rights of a key: every member, what is refused and in which words; text and back. */
#include "tests/util.h"

#include "builder/rights.h"
#include "builder/settings_kept.h"

static struct arena arena;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena);
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

/* --- settings ------------------------------------------------------------------------------------------------------- */
/* want: the text that is stored of it; NULL: refused with these words. */
static const struct { const char *why, *in, *want, *words; } stored[] = {
    { "nothing said: a native zone", "{}", "{\"kind\":\"native\"}", NULL },
    { "defaults are not stored", "{\"kind\":\"native\",\"serial_policy\":\"increment\",\"guard\":\"normal\",\"account\":\"\",\"notify\":[]}",
      "{\"kind\":\"native\"}", NULL },
    { "everything at once",
      "{\"kind\":\"secondary\",\"serial_policy\":\"date\",\"guard\":\"strict\",\"account\":\"ops\",\"update_acl\":[\"192.0.2.0/24\",\"2001:db8::1\"],"
      "\"primaries\":[{\"address\":\"192.0.2.1@5300\",\"tsig\":\"KEY.example\"},{\"address\":\"2001:db8::2\"}],\"notify\":[\"192.0.2.9\",\"2001:db8::9@53\",\"192.0.2.7@54 key:K.Example\"],"
      "\"transfer_acl\":[\"key:Other\",\"192.0.2.0/24\"],\"pdns\":{\"soa_edit\":\"EPOCH\"},\"created\":5,\"edited\":6}",
      "{\"kind\":\"secondary\",\"serial_policy\":\"date\",\"guard\":\"strict\",\"account\":\"ops\",\"update_acl\":[\"192.0.2.0/24\",\"2001:db8::1\"],"
      "\"primaries\":[{\"address\":\"192.0.2.1@5300\",\"tsig\":\"key.example.\"},{\"address\":\"2001:db8::2\"}],\"notify\":[\"192.0.2.9\",\"2001:db8::9@53\",\"192.0.2.7@54 key:k.example.\"],"
      "\"transfer_acl\":[\"key:other.\",\"192.0.2.0/24\"],\"created\":5,\"edited\":6,\"pdns\":{\"soa_edit\":\"EPOCH\"}}", NULL },
    { "members of a later version are kept", "{\"later\":[1,{\"a\":null}]}", "{\"later\":[1,{\"a\":null}],\"kind\":\"native\"}", NULL },
    { "no JSON", "{\"kind\":", NULL, "settings: " },
    { "no object", "[]", NULL, "settings: an object is wanted" },
    { "a member twice", "{\"kind\":\"native\",\"kind\":\"file\"}", NULL, "settings: " },
    { "a text with a zero byte", "{\"account\":\"a\\u0000b\"}", NULL, "settings: " },
    { "no such kind", "{\"kind\":\"master\"}", NULL, "kind: native, secondary or file is wanted" },
    { "the empty kind is none", "{\"kind\":\"\"}", NULL, "kind: native, secondary or file is wanted" },
    { "a kind that is a number", "{\"kind\":2}", NULL, "kind: native, secondary or file is wanted" },
    { "no such policy", "{\"serial_policy\":\"EPOCH\"}", NULL, "serial_policy: increment, unixtime, date or keep is wanted" },
    { "no such guard", "{\"guard\":true}", NULL, "guard: normal or strict is wanted" },
    { "an account that is a list", "{\"account\":[]}", NULL, "account: a text is wanted" },
    { "an account with a line end", "{\"account\":\"a\\nb\"}", NULL, "account: control characters are not allowed" },
    { "a network with bits behind it", "{\"update_acl\":[\"192.0.2.1/24\"]}", NULL, "update_acl: \"192.0.2.1/24\" is no network" },
    { "a key in the list for UPDATE without one", "{\"update_acl\":[\"key:a\"]}", NULL, "update_acl: \"key:a\" is no network" },
    { "a list that is a text", "{\"update_acl\":\"192.0.2.1\"}", NULL, "update_acl: a list is wanted" },
    { "a list of numbers", "{\"notify\":[1]}", NULL, "notify: a list of texts is wanted" },
    { "port 0", "{\"notify\":[\"192.0.2.1@0\"]}", NULL, "notify: \"192.0.2.1@0\" is neither ADDRESS nor ADDRESS@PORT" },
    { "a port with more digits than one has: who asks the primary has no room for them", "{\"primaries\":[{\"address\":\"192.0.2.1@000053\"}]}", NULL,
      "primaries: \"192.0.2.1@000053\" is neither ADDRESS nor ADDRESS@PORT" },
    { "port 65536", "{\"notify\":[\"192.0.2.1@65536\"]}", NULL, "is neither ADDRESS nor ADDRESS@PORT" },
    { "a key of nothing", "{\"notify\":[\"192.0.2.1 key:\"]}", NULL, "notify: \"\" is no name of a key" },
    { "a key, and another word", "{\"notify\":[\"192.0.2.1 k\"]}", NULL, "is neither ADDRESS nor ADDRESS@PORT" },
    { "a key of a network", "{\"notify\":[\"192.0.2.0/24 key:k\"]}", NULL, "is neither ADDRESS nor ADDRESS@PORT" },
    { "a network to be notified", "{\"notify\":[\"192.0.2.0/24\"]}", NULL, "is neither ADDRESS nor ADDRESS@PORT" },
    { "a name to be notified", "{\"notify\":[\"ns1.example.com\"]}", NULL, "is neither ADDRESS nor ADDRESS@PORT" },
    { "an address of 70 letters", "{\"notify\":[\"0000000000000000000000000000000000000000000000000000000000000000000000\"]}", NULL,
      "is neither ADDRESS nor ADDRESS@PORT" },
    { "a key without a name", "{\"transfer_acl\":[\"key:\"]}", NULL, "transfer_acl: \"\" is no name of a key" },
    { "the root is no key", "{\"transfer_acl\":[\"key:.\"]}", NULL, "transfer_acl: \".\" is no name of a key" },
    { "neither network nor key", "{\"transfer_acl\":[\"any\"]}", NULL, "transfer_acl: \"any\" is neither a network" },
    { "a primary without an address", "{\"primaries\":[{\"tsig\":\"a\"}]}", NULL, "primaries: a list of {\"address\", \"tsig\"} is wanted" },
    { "a primary with more", "{\"primaries\":[{\"address\":\"192.0.2.1\",\"port\":53}]}", NULL, "primaries: a list of" },
    { "a primary that is a text", "{\"primaries\":[\"192.0.2.1\"]}", NULL, "primaries: a list of" },
    { "primaries that are an object", "{\"primaries\":{\"address\":\"192.0.2.1\"}}", NULL, "primaries: a list is wanted" },
    { "a primary's key that is a number", "{\"primaries\":[{\"address\":\"192.0.2.1\",\"tsig\":1}]}", NULL, "primaries: a list of" },
    { "a catalog zone whose members get what it has", "{\"kind\":\"secondary\",\"catalog\":true}", "{\"kind\":\"secondary\",\"catalog\":{}}", NULL },
    { "no catalog zone", "{\"kind\":\"secondary\",\"catalog\":false}", "{\"kind\":\"secondary\"}", NULL },
    { "what its members get, and those of a group",
      "{\"catalog\":{\"notify\":[\"192.0.2.1\"],\"groups\":{\"eu\":{\"primaries\":[{\"address\":\"192.0.2.2\"}],\"transfer_acl\":[\"key:a\"]}}}}",
      "{\"kind\":\"native\",\"catalog\":{\"notify\":[\"192.0.2.1\"],\"groups\":{\"eu\":{\"primaries\":[{\"address\":\"192.0.2.2\"}],\"transfer_acl\":[\"key:a\"]}}}}", NULL },
    { "a member of a catalog", "{\"kind\":\"secondary\",\"member_of\":{\"catalog\":\"c.\",\"id\":\"x\"}}", "{\"kind\":\"secondary\",\"member_of\":{\"catalog\":\"c.\",\"id\":\"x\"}}", NULL },
    { "a catalog that is a text", "{\"catalog\":\"c.\"}", NULL, "catalog: an object is wanted" },
    { "a catalog with more", "{\"catalog\":{\"account\":\"a\"}}", NULL, "catalog: only primaries, notify, transfer_acl and groups are known" },
    { "a catalog with a wrong list", "{\"catalog\":{\"notify\":[\"ns1\"]}}", NULL, "notify: \"ns1\" is neither ADDRESS nor ADDRESS@PORT" },
    { "groups that are a list", "{\"catalog\":{\"groups\":[]}}", NULL, "catalog: groups: an object is wanted" },
    { "a group in a group", "{\"catalog\":{\"groups\":{\"a\":{\"groups\":{}}}}}", NULL, "catalog: a group has primaries, notify and transfer_acl only" },
    { "a group without a name", "{\"catalog\":{\"groups\":{\"\":{}}}}", NULL, "catalog: a group's name has 1 to 255 bytes" },
    { "a group that is null", "{\"catalog\":{\"groups\":{\"a\":null}}}", NULL, "catalog: an object is wanted" },
    { "a member of nothing", "{\"member_of\":{}}", NULL, "member_of: {\"catalog\", \"id\"} is wanted" },
    { "pdns that is a list", "{\"pdns\":[]}", NULL, "pdns: an object is wanted" },
    { "a time before 1970", "{\"created\":-1}", NULL, "created: seconds since 1970 are wanted" },
    { "a time with a fraction", "{\"edited\":1.5}", NULL, "edited: seconds since 1970 are wanted" },
};

static void settings_text_and_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(stored); i++) {
        struct bytes in = heap_copy(stored[i].in, strlen(stored[i].in)), out = { NULL, 0 };
        struct zone_settings s;
        struct fault fault = { "" };
        enum err err = settings_read(in, &arena, &s, &fault);
        if (stored[i].words != NULL && (err != ERR_BAD || strstr(fault.text, stored[i].words) == NULL))
            fail_msg("%s: got '%s' (%s)", stored[i].why, err_text(err), fault.text);
        if (stored[i].want != NULL && (err != OK || settings_text(&s, &arena, &out) != OK
                                       || !bytes_equal(out, bytes_of_text(stored[i].want))))
            fail_msg("%s: got '%s' (%s), text %.*s", stored[i].why, err_text(err), fault.text, (int)out.len, (const char *)out.ptr);
        settings_release(&s);
        bytes_free(in);
    }
}

static bool is_name(const char *member) { return strcmp(member, "name") == 0; }

static const struct { const char *why, *before, *object, *want, *words; } merges[] = {
    { "what is not said stays", "{\"account\":\"a\",\"guard\":\"strict\"}", "{\"account\":\"b\"}", "{\"kind\":\"native\",\"guard\":\"strict\",\"account\":\"b\"}", NULL },
    { "null puts the default back", "{\"account\":\"a\",\"guard\":\"strict\",\"notify\":[\"192.0.2.1\"],\"serial_policy\":\"keep\",\"pdns\":{\"a\":1}}",
      "{\"account\":null,\"guard\":null,\"notify\":null,\"serial_policy\":null,\"pdns\":null}", "{\"kind\":\"native\"}", NULL },
    { "members of others are left alone", "{}", "{\"name\":7}", "{\"kind\":\"native\"}", NULL },
    { "unknown members of the row stay", "{\"later\":1}", "{\"account\":\"b\"}", "{\"later\":1,\"kind\":\"native\",\"account\":\"b\"}", NULL },
    { "an unknown member is told", "{}", "{\"acount\":\"b\"}", NULL, "acount: no such member" },
    { "a known one with a wrong value", "{}", "{\"guard\":\"loose\"}", NULL, "guard: normal or strict is wanted" },
    { "times are not set by hand", "{}", "{\"created\":1}", NULL, "created: is not set by hand" },
    { "nor whose member a zone is", "{}", "{\"member_of\":{\"catalog\":\"c.\",\"id\":\"x\"}}", NULL, "member_of: is not set by hand" },
    { "a catalog no more", "{\"kind\":\"secondary\",\"catalog\":{}}", "{\"catalog\":null}", "{\"kind\":\"secondary\"}", NULL },
    { "no object", "{}", "[]", NULL, "an object is wanted" },
    { "a text with a zero byte is not cut off", "{}", "{\"account\":\"a\\u0000b\"}", NULL, "account: a text is wanted" },
    { "nor read as the word before it", "{}", "{\"guard\":\"strict\\u0000\"}", NULL, "guard: normal or strict is wanted" },
    { "nor a key's name", "{}", "{\"primaries\":[{\"address\":\"192.0.2.1\",\"tsig\":\"k\\u0000x\"}]}", NULL, "primaries: a list of {\"address\", \"tsig\"} is wanted" },
};

static void settings_of_an_api(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(merges); i++) {
        struct zone_settings s;
        struct fault fault = { "" };
        struct bytes out = { NULL, 0 };
        json_t *o = json_loads(merges[i].object, JSON_ALLOW_NUL, NULL);
        assert_non_null(o);
        assert_int_equal(settings_read(bytes_of_text(merges[i].before), &arena, &s, &fault), OK);
        enum err err = settings_merge(&s, o, is_name, &arena, &fault);
        json_decref(o);
        if (merges[i].words != NULL && (err != ERR_BAD || strcmp(fault.text, merges[i].words) != 0))
            fail_msg("%s: got '%s' (%s)", merges[i].why, err_text(err), fault.text);
        if (merges[i].want != NULL && (err != OK || settings_text(&s, &arena, &out) != OK || !bytes_equal(out, bytes_of_text(merges[i].want))))
            fail_msg("%s: got '%s' (%s), text %.*s", merges[i].why, err_text(err), fault.text, (int)out.len, (const char *)out.ptr);
        settings_release(&s);
    }
}

static void settings_shown_whole(void **state)
{
    struct zone_settings s;
    (void)state;
    settings_init(&s, ZONE_SECONDARY);
    json_t *o = settings_object(&s);
    char *text = json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER);
    assert_string_equal(text, "{\"kind\":\"secondary\",\"serial_policy\":\"increment\",\"guard\":\"normal\",\"account\":\"\",\"update_acl\":[],"
                              "\"primaries\":[],\"notify\":[],\"transfer_acl\":[],\"created\":0,\"edited\":0}");
    free(text);
    json_decref(o);
    settings_release(&s);
}

static void settings_have_limits(void **state)
{
    struct zone_settings s;
    struct fault fault = { "" };
    struct bytes out;
    char account[SETTINGS_ACCOUNT_MAX + 2];
    json_t *list = json_array(), *o = json_object();
    (void)state;
    memset(account, 'a', sizeof account);
    account[sizeof account - 1] = '\0';
    settings_init(&s, ZONE_NATIVE);
    assert_int_equal(json_object_set_new(o, "account", json_string(account)), 0);
    assert_int_equal(settings_merge(&s, o, NULL, &arena, &fault), ERR_BAD);
    assert_int_equal(json_object_set_new(o, "account", json_string(account + 1)), 0);
    assert_int_equal(settings_merge(&s, o, NULL, &arena, &fault), OK);
    for (int i = 0; i < SETTINGS_LIST_MAX; i++)
        assert_int_equal(json_array_append_new(list, json_string("192.0.2.1")), 0);
    assert_int_equal(json_object_set(o, "notify", list), 0);
    assert_int_equal(settings_merge(&s, o, NULL, &arena, &fault), OK);
    assert_int_equal(json_array_append_new(list, json_string("192.0.2.1")), 0);
    assert_int_equal(settings_merge(&s, o, NULL, &arena, &fault), ERR_BAD);
    assert_int_equal(settings_text(&s, &arena, &out), OK);
    s.pdns = json_object();
    for (int i = 0; i < 200; i++) {
        char key[8];
        (void)snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(json_object_set_new(s.pdns, key, json_string("................................................................................")), 0);
    }
    assert_int_equal(settings_text(&s, &arena, &out), ERR_LIMIT);
    settings_release(&s);
    json_decref(o);
    json_decref(list);
}

/* --- rights --------------------------------------------------------------------------------------------------------- */
#define DYN "{\"update\":[{\"zone\":\"example.com\",\"names\":[\"host.example.com.\",\"*.dyn.example.com.\",\"sub:All\",\"@\"],\"types\":[\"A\",\"txt\",\"TYPE65280\"]}]}"
#define WHOLE "{\"update\":[{\"zone\":\"Example.COM.\"}],\"transfer\":[\"example.com\",\"example.org.\"]}"
#define TWO "{\"update\":[{\"zone\":\"example.com.\",\"names\":[\"a\"],\"types\":[\"A\"]},{\"zone\":\"*\",\"names\":[\"sub:b.example.com.\"],\"types\":[\"TXT\",\"ANY\"]}]}"
#define ALL "{\"update\":[{\"zone\":\"*\"}],\"transfer\":[\"*\"]}"
static const struct { const char *why, *rights, *zone, *owner; uint16_t type; bool may; } updates[] = {
    { "nothing is said", "{}", "example.com.", "a.example.com.", TYPE_A, false },
    { "no text at all", "", "example.com.", "a.example.com.", TYPE_A, false },
    { "an empty list", "{\"update\":[]}", "example.com.", "a.example.com.", TYPE_A, false },
    { "the zone, any name and type", WHOLE, "example.com.", "A.example.com.", TYPE_MX, true },
    { "the zone, a whole name", WHOLE, "example.com.", "a.example.com.", TYPE_ANY, true },
    { "another zone", WHOLE, "example.org.", "a.example.org.", TYPE_A, false },
    { "a zone below", WHOLE, "sub.example.com.", "a.sub.example.com.", TYPE_A, false },
    { "a name outside the zone", WHOLE, "example.com.", "example.org.", TYPE_A, false },
    { "every zone", ALL, "example.org.", "a.example.org.", TYPE_A, true },
    { "that name", DYN, "example.com.", "HOST.example.com.", TYPE_A, true },
    { "below that name", DYN, "example.com.", "x.host.example.com.", TYPE_A, false },
    { "below the starred name", DYN, "example.com.", "x.y.dyn.example.com.", TYPE_A, true },
    { "the starred name itself", DYN, "example.com.", "dyn.example.com.", TYPE_A, false },
    { "a name that only ends alike", DYN, "example.com.", "xdyn.example.com.", TYPE_A, false },
    { "a wildcard owner is below", DYN, "example.com.", "*.dyn.example.com.", TYPE_A, true },
    { "the name of a sub", DYN, "example.com.", "all.example.com.", TYPE_A, true },
    { "below the name of a sub", DYN, "example.com.", "x.all.example.com.", TYPE_A, true },
    { "the apex", DYN, "example.com.", "example.com.", TYPE_TXT, true },
    { "another name", DYN, "example.com.", "www.example.com.", TYPE_A, false },
    { "another type", DYN, "example.com.", "host.example.com.", TYPE_AAAA, false },
    { "a type by number", DYN, "example.com.", "host.example.com.", 65280, true },
    { "a whole name needs all types", DYN, "example.com.", "host.example.com.", TYPE_ANY, false },
    { "the first of two", TWO, "example.com.", "a.example.com.", TYPE_A, true },
    { "the name of one with the types of the other", TWO, "example.com.", "a.example.com.", TYPE_TXT, false },
    { "ANY among the types", TWO, "example.com.", "x.b.example.com.", TYPE_ANY, true },
    { "names with any zone", TWO, "b.example.com.", "x.b.example.com.", TYPE_A, true },
    { "below the apex", "{\"update\":[{\"zone\":\"x.\",\"names\":[\"*\"]}]}", "x.", "a.x.", TYPE_A, true },
    { "below the apex is not the apex", "{\"update\":[{\"zone\":\"x.\",\"names\":[\"*\"]}]}", "x.", "x.", TYPE_A, false },
};

static struct bytes wire_of(const char *text, struct name *n)
{
    assert_int_equal(name_from_text(bytes_of_text(text), bytes_of(NULL, 0), n), OK);
    return name_bytes(n);
}

static void who_may_update(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(updates); i++) {
        struct rights r;
        struct name zone, owner;
        struct fault fault = { "" };
        enum err err = rights_read(bytes_of_text(updates[i].rights), &arena, &r, &fault);
        if (err != OK)
            fail_msg("%s: %s", updates[i].why, fault.text);
        if (rights_update(&r, wire_of(updates[i].zone, &zone), wire_of(updates[i].owner, &owner), updates[i].type) != updates[i].may)
            fail_msg("%s: %s %s", updates[i].why, updates[i].owner, updates[i].may ? "is refused" : "is allowed");
        if (updates[i].may && !rights_update_some(&r, name_bytes(&zone)))
            fail_msg("%s: nothing may be done in %s", updates[i].why, updates[i].zone);
    }
}

static void who_may_transfer(void **state)
{
    struct rights r;
    struct name n;
    (void)state;
    assert_int_equal(rights_read(bytes_of_text(WHOLE), &arena, &r, NULL), OK);
    assert_true(rights_transfer(&r, wire_of("EXAMPLE.com.", &n)));
    assert_true(rights_transfer(&r, wire_of("example.org.", &n)));
    assert_false(rights_transfer(&r, wire_of("a.example.org.", &n)));
    assert_false(rights_update_some(&r, name_bytes(&n)));
}

static const struct { const char *why, *in, *words; } refused[] = {
    { "no JSON", "{", "rights: " },
    { "a list", "[]", "rights: an object with \"update\" and \"transfer\" is wanted" },
    { "an unknown member", "{\"updates\":[]}", "rights: an object with" },
    { "update that is an object", "{\"update\":{}}", "rights: update: a list of at most 256 elements is wanted" },
    { "an element without a zone", "{\"update\":[{\"names\":[\"a.\"]}]}", "rights: update: a list of {\"zone\", \"names\", \"types\"} is wanted" },
    { "an element with more", "{\"update\":[{\"zone\":\"x.\",\"type\":[\"A\"]}]}", "rights: update: a list of {" },
    { "an element that is a text", "{\"update\":[\"x.\"]}", "rights: update: a list of {" },
    { "a zone that is no name", "{\"update\":[{\"zone\":\"a..b.\"}]}", "rights: zone: \"a..b.\" is no name" },
    { "an empty zone", "{\"update\":[{\"zone\":\"\"}]}", "rights: zone: \"\" is no name" },
    { "a name outside the zone", "{\"update\":[{\"zone\":\"x.\",\"names\":[\"a.y.\"]}]}", "rights: names: \"a.y.\" is not in the zone" },
    { "a relative name in any zone", "{\"update\":[{\"zone\":\"*\",\"names\":[\"a\"]}]}", "rights: names: \"a\" must be absolute when the zone is \"*\"" },
    { "a name that is a number", "{\"update\":[{\"zone\":\"x.\",\"names\":[1]}]}", "rights: names: a list of texts is wanted" },
    { "no names at all", "{\"update\":[{\"zone\":\"x.\",\"names\":[]}]}", "rights: names: an empty list grants nothing" },
    { "no types at all", "{\"update\":[{\"zone\":\"x.\",\"types\":[]}]}", "rights: types: an empty list grants nothing" },
    { "no such type", "{\"update\":[{\"zone\":\"x.\",\"types\":[\"B\"]}]}", "rights: types: \"B\" is no type of data" },
    { "a type of questions", "{\"update\":[{\"zone\":\"x.\",\"types\":[\"AXFR\"]}]}", "rights: types: \"AXFR\" is no type of data" },
    { "a transfer of no name", "{\"transfer\":[\"a..\"]}", "rights: transfer: \"a..\" is no name" },
    { "a transfer that is a number", "{\"transfer\":[1]}", "rights: transfer: a list of texts is wanted" },
};

static void rights_that_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(refused); i++) {
        struct bytes in = heap_copy(refused[i].in, strlen(refused[i].in));
        struct rights r;
        struct fault fault = { "" };
        enum err err = rights_read(in, &arena, &r, &fault);
        if (err != ERR_BAD || strstr(fault.text, refused[i].words) == NULL)
            fail_msg("%s: got '%s' (%s)", refused[i].why, err_text(err), fault.text);
        bytes_free(in);
    }
}

/* The API's JSON may hold zero bytes, the row's may not: "*" and what follows it would be any zone now and no rights later. */
static void rights_with_a_zero_byte(void **state)
{
    static const char *const texts[] = {
        "{\"update\":[{\"zone\":\"*\\u0000.example.com.\"}]}", "{\"transfer\":[\"*\\u0000\"]}",
        "{\"update\":[{\"zone\":\"x.\",\"names\":[\"*\\u0000\"]}]}", "{\"update\":[{\"zone\":\"x.\",\"types\":[\"ANY\\u0000\"]}]}",
    };
    (void)state;
    for (size_t i = 0; i < ROWS(texts); i++) {
        struct rights r;
        struct fault fault = { "" };
        json_t *o = json_loads(texts[i], JSON_ALLOW_NUL, NULL);
        assert_non_null(o);
        if (rights_of_json(o, &arena, &r, &fault) != ERR_BAD)
            fail_msg("%s is taken", texts[i]);
        json_decref(o);
    }
}

/* Those that are borrowed stay what they are; a text that does not read leaves none behind. */
static void settings_that_are_kept(void **state)
{
    static const char one[] = "{\"kind\":\"native\",\"notify\":[\"192.0.2.1\"],\"pdns\":{\"a\":1}}", two[] = "{\"kind\":\"native\",\"notify\":[\"192.0.2.2\"]}";
    struct settings_kept kept;
    struct zone_settings s[3];
    struct fault fault = { "" };
    (void)state;
    settings_kept_init(&kept);
    for (size_t i = 0; i < 2; i++) {
        struct bytes in = heap_copy(one, strlen(one));
        assert_int_equal(settings_kept_take(&kept, in, &s[i], &fault), OK);
        bytes_free(in);                                         /* the caller's text may go */
    }
    assert_ptr_equal(s[0].notify.v, s[1].notify.v);
    assert_int_equal(settings_kept_take(&kept, bytes_of_text(two), &s[2], &fault), ERR_NOTNOW);
    settings_release(&s[1]);
    settings_kept_give(&kept);
    assert_int_equal(settings_kept_take(&kept, bytes_of_text(two), &s[2], &fault), ERR_NOTNOW);
    assert_string_equal(s[0].notify.v[0], "192.0.2.1");
    assert_int_equal(json_object_size(s[0].pdns), 1);
    settings_release(&s[0]);
    settings_kept_give(&kept);
    assert_int_equal(settings_kept_take(&kept, bytes_of_text("{"), &s[2], &fault), ERR_BAD);
    assert_int_equal(settings_kept_take(&kept, bytes_of_text("{"), &s[2], &fault), ERR_BAD);
    assert_int_equal(settings_kept_take(&kept, bytes_of_text(two), &s[2], &fault), OK);
    assert_string_equal(s[2].notify.v[0], "192.0.2.2");
    settings_release(&s[2]);
    settings_kept_give(&kept);
    settings_kept_release(&kept);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(settings_text_and_back), T(settings_of_an_api), T(settings_shown_whole), T(settings_have_limits),
        T(settings_that_are_kept),
        T(who_may_update), T(who_may_transfer), T(rights_that_are_refused), T(rights_with_a_zero_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
