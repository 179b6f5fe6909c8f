/* Catalog zones (RFC 9432): what their records say, each way of being broken, and what becomes of the members. */
#include "tests/unit/catalog_bed.h"

#define V "version TXT \"2\"\n"

/* want: "APEX=ID[>COO][+GROUP...]" of each member in order; NULL: broken, with these words. */
static const struct { const char *why, *text, *want, *words; } reads[] = {
    { "a catalog without members", V, "", NULL },
    { "two members, in the order of their names", V "b.zones PTR a.example.\na.zones PTR b.example.\n", "a.example.=b b.example.=a", NULL },
    { "names and labels count without their case", V "AbC.Zones PTR A.Example.\n", "a.example.=abc", NULL },
    { "a label that is not plain", V "a\\.b\\001.zones PTR a.example.\n", "a.example.=a\\.b\\001", NULL },
    { "the root may be one", V "a.zones PTR .\n", ".=a", NULL },
    { "of two characters' strings, version is not the expected one", "version TXT \"2\" \"\"\n", NULL, "version is not \"2\"" },
    { "the version of the first drafts", "version TXT \"1\"\n", NULL, "version is not \"2\"" },
    { "a later version", "version TXT \"3\"\na.zones PTR a.example.\n", NULL, "version is not \"2\"" },
    { "no version", "a.zones PTR a.example.\n", NULL, "it has no version" },
    { "a version at another place is none", "version.zones TXT \"2\"\nx.version TXT \"2\"\n", NULL, "it has no version" },
    { "a version that is no TXT is none", "version A 192.0.2.2\n", NULL, "it has no version" },
    { "two versions", V "version TXT \"1\"\n", NULL, "version has more than one TXT record" },
    { "two PTR records in a node", V "a.zones PTR a.example.\na.zones PTR b.example.\n", NULL, "a.zones has more than one PTR record" },
    { "a member listed twice", V "b.zones PTR a.example.\na.zones PTR A.example.\n", NULL, "a.example. is listed twice: as" },
    { "the change of ownership", V "a.zones PTR a.example.\ncoo.a.zones PTR Other.example.\n", "a.example.=a>other.example.", NULL },
    { "two of them", V "a.zones PTR a.example.\ncoo.a.zones PTR b.example.\ncoo.a.zones PTR c.example.\n", NULL, "coo.a.zones has more than one PTR record" },
    { "coo of another type is passed over", V "a.zones PTR a.example.\ncoo.a.zones TXT \"b.example.\"\n", "a.example.=a", NULL },
    { "a group", V "a.zones PTR a.example.\ngroup.a.zones TXT \"eu\"\n", "a.example.=a+eu", NULL },
    { "a group in two strings, and one in upper case", V "a.zones PTR a.example.\ngroup.a.zones TXT \"e\" \"u\"\nb.zones PTR b.example.\ngroup.b.zones TXT EU\n",
      "a.example.=a+eu b.example.=b+EU", NULL },
    { "two groups", V "a.zones PTR a.example.\ngroup.a.zones TXT \"a\"\ngroup.a.zones TXT \"b\"\n", "a.example.=a+a+b", NULL },
    { "properties that nobody knows", V "a.zones PTR a.example.\nserial.a.zones TXT \"7\"\nx.y.a.zones TXT \"7\"\nowner TXT \"o\"\n", "a.example.=a", NULL },
    { "custom properties", V "a.zones PTR a.example.\nx.ext.a.zones TXT \"7\"\nx.ext PTR b.\ngroup.ext.a.zones TXT \"g\"\n", "a.example.=a", NULL },
    { "properties of no member", V "coo.a.zones PTR b.example.\ngroup.a.zones TXT \"g\"\nb.zones PTR b.example.\n", "b.example.=b", NULL },
    { "a node with other types beside", V "a.zones PTR a.example.\na.zones TXT \"text\"\na.zones A 192.0.2.1\n", "a.example.=a", NULL },
    { "PTR at zones itself, or too deep", V "zones PTR a.example.\nx.y.zones PTR b.example.\nc.zones PTR c.example.\n", "c.example.=c", NULL },
    { "zones at another place", V "a.zones.x PTR a.example.\n", "", NULL },
    { "a node's properties before the next node", V "a.zones PTR a.\ngroup.a.zones TXT 1\naa.zones PTR aa.\nb.zones PTR b.\ngroup.b.zones TXT 2\n", "a.=a+1 aa.=aa b.=b+2", NULL },
};

static void say(const struct catalog *c, char *out, size_t cap)
{
    char name[NAME_TEXT_MAX], coo[NAME_TEXT_MAX], id[CATALOG_ID_TEXT], one[2000];
    out[0] = '\0';
    for (size_t i = 0; i < c->n; i++) {
        const struct catalog_member *m = &c->v[i];
        int n = snprintf(one, sizeof one, "%s=%s%s%s", name_text(name, sizeof name, m->apex), catalog_id_text(id, m->id), m->coo.len > 0 ? ">" : "",
                         m->coo.len > 0 ? name_text(coo, sizeof coo, m->coo) : "");
        for (size_t k = 0; k < m->groups_n; k++)
            n += snprintf(one + n, sizeof one - (size_t)n, "+%.*s", (int)m->groups[k].len, (const char *)m->groups[k].ptr);
        bed_put(out, cap, one);
        assert_ptr_equal(catalog_find(c, m->apex), m);
    }
}

static void read_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(reads); i++) {
        struct catalog c;
        char got[2000];
        assert_int_equal(bed_catalog("catalog.example.", reads[i].text, &c), OK);
        say(&c, got, sizeof got);
        if (reads[i].want != NULL && (c.broken || strcmp(got, reads[i].want) != 0))
            fail_msg("%s: got '%s' %s", reads[i].why, got, c.broken ? c.why : "");
        if (reads[i].want == NULL && (!c.broken || c.n > 0 || strstr(c.why, reads[i].words) == NULL))
            fail_msg("%s: got '%s', '%s'", reads[i].why, c.broken ? c.why : "not broken", got);
        catalog_release(&c);
    }
}

/* --- looks ---------------------------------------------------------------------------------------------------------------- */
#define CATALOG "catalog.example."
#define MINE(id) "{\"kind\":\"secondary\",\"primaries\":[{\"address\":\"192.0.2.1\"}],\"member_of\":{\"catalog\":\"" CATALOG "\",\"id\":\"" id "\"}}"
#define OTHER(id) "{\"kind\":\"secondary\",\"member_of\":{\"catalog\":\"other.example.\",\"id\":\"" id "\"}}"
#define NOTED(id, who) "{\"kind\":\"secondary\",\"primaries\":[{\"address\":\"192.0.2.1\"}],\"notify\":[\"" who "\"],\"member_of\":{\"catalog\":\"" CATALOG "\",\"id\":\"" id "\"}}"

struct there { const char *apex, *settings; };
/* zones: ascending. clash: the first, NULL none. */
static const struct { const char *why, *catalog, *members; struct there zones[4]; const char *steps; size_t clashes; const char *clash; } looks[] = {
    { "all are new", "{}", "a.zones PTR a.\nb.zones PTR b.\n", { { NULL, NULL } }, "make a. make b.", 0, NULL },
    { "all are there", "{}", "a.zones PTR a.\nb.zones PTR b.\n", { { "a.", MINE("a") }, { "b.", MINE("b") } }, "", 0, NULL },
    { "one went", "{}", "a.zones PTR a.\n", { { "a.", MINE("a") }, { "b.", MINE("b") } }, "remove b.", 0, NULL },
    { "another label: another zone of that name", "{}", "x.zones PTR a.\n", { { "a.", MINE("a") } }, "reset a.", 0, NULL },
    { "zones of others are passed over", "{}", "", { { "a.", "{\"kind\":\"native\"}" }, { "b.", OTHER("b") } }, "", 0, NULL },
    { "a zone of that name is there", "{}", "a.zones PTR a.\nb.zones PTR b.\n", { { "a.", "{\"kind\":\"native\"}" } }, "make b.", 1, "a." },
    { "also as a secondary that somebody made", "{}", "a.zones PTR a.\n", { { "a.", "{\"kind\":\"secondary\"}" } }, "", 1, "a." },
    { "or of another catalog, which says nothing", "{}", "a.zones PTR a.\n", { { "a.", OTHER("a") } }, "", 1, "a." },
    { "another catalog gives it to us", "{}", "a.zones PTR given.\n", { { "given.", OTHER("a") } }, "set given.", 0, NULL },
    { "with another label: without its data", "{}", "b.zones PTR given.\n", { { "given.", OTHER("a") } }, "reset given.", 0, NULL },
    { "we gave it away: it is no clash", "{}", "a.zones PTR a.\ncoo.a.zones PTR other.example.\n", { { "a.", OTHER("a") } }, "", 0, NULL },
    { "given away, but nobody took it yet", "{}", "a.zones PTR a.\ncoo.a.zones PTR other.example.\n", { { "a.", MINE("a") } }, "", 0, NULL },
    { "a zone of a file, which has no row", "{}", "a.zones PTR file.\n", { { NULL, NULL } }, "", 1, "file." },
    { "settings that do not read belong to nobody", "{}", "a.zones PTR a.\n", { { "a.", "{\"member_of\":1}" }, { "b.", "{\"member_of\":1}" } }, "", 1, "a." },
    { "what the catalog's settings say is new", "{\"notify\":[\"192.0.2.9\"]}", "a.zones PTR a.\nb.zones PTR b.\n",
      { { "a.", MINE("a") }, { "b.", NOTED("b", "192.0.2.9") } }, "set a.", 0, NULL },
    { "a group's settings are over them", "{\"notify\":[\"192.0.2.9\"],\"groups\":{\"g\":{\"notify\":[\"192.0.2.8\"]}}}",
      "a.zones PTR a.\ngroup.a.zones TXT g\nb.zones PTR b.\ngroup.b.zones TXT h\n", { { "a.", NOTED("a", "192.0.2.8") }, { "b.", NOTED("b", "192.0.2.8") } }, "set b.", 0, NULL },
    { "of two groups the first one with settings", "{\"groups\":{\"z\":{\"notify\":[\"192.0.2.8\"]}}}", "a.zones PTR a.\ngroup.a.zones TXT b\ngroup.a.zones TXT z\n",
      { { "a.", MINE("a") } }, "set a.", 0, NULL },
    { "the catalog lists itself", "{}", "a.zones PTR " CATALOG "\n", { { CATALOG, "{\"kind\":\"secondary\",\"catalog\":{}}" } }, "", 1, CATALOG },
};

static bool of_file(void *arg, struct bytes apex)
{
    (void)arg;
    return bytes_equal(apex, bytes_of_text("\x04" "file")) || (apex.len == 6 && memcmp(apex.ptr, "\x04" "file", 5) == 0);
}

static bool gives(void *arg, const char *other, struct bytes apex)
{
    (void)arg;
    return strcmp(other, "other.example.") == 0 && apex.len == 7 && memcmp(apex.ptr, "\x05given", 6) == 0;
}

/* A catalog zone with these settings of its members, from 192.0.2.1. */
static void settings_of(const char *catalog, struct arena *a, struct zone_settings *out)
{
    char text[1000];
    struct fault fault = { "" };
    (void)snprintf(text, sizeof text, "{\"kind\":\"secondary\",\"primaries\":[{\"address\":\"192.0.2.1\"}],\"catalog\":%s}", catalog);
    if (settings_read(bytes_of_text(text), a, out, &fault) != OK)
        fail_msg("%s: %s", text, fault.text);
}

static void look_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(looks); i++) {
        struct catalog c;
        struct catalog_look l;
        struct zone_settings s;
        struct arena a;
        struct fault fault = { "" };
        char text[1000], got[1000], name[NAME_TEXT_MAX];
        arena_init(&a);
        settings_of(looks[i].catalog, &a, &s);
        (void)snprintf(text, sizeof text, V "%s", looks[i].members);
        assert_int_equal(bed_catalog(CATALOG, text, &c), OK);
        assert_false(c.broken);
        catalog_look_init(&l);
        l.catalog = &c;
        l.settings = &s;
        l.is_there = of_file;
        l.gives = gives;
        for (size_t k = 0; k < 4 && looks[i].zones[k].apex != NULL; k++) {
            struct name apex;
            assert_int_equal(name_from_text(bytes_of_text(looks[i].zones[k].apex), bytes_of(NULL, 0), &apex), OK);
            assert_int_equal(catalog_look_zone(&l, name_bytes(&apex), bytes_of_text(looks[i].zones[k].settings), &fault), OK);
        }
        assert_int_equal(catalog_look_end(&l), OK);
        bed_steps(&l, got, sizeof got);
        if (strcmp(got, looks[i].steps) != 0 || l.clashes != looks[i].clashes)
            fail_msg("%s: got '%s', %zu clashes", looks[i].why, got, l.clashes);
        if (looks[i].clash != NULL && strcmp(name_text(name, sizeof name, name_bytes(&l.clash)), looks[i].clash) != 0)
            fail_msg("%s: the clash is %s", looks[i].why, name);
        catalog_look_release(&l);
        catalog_release(&c);
        settings_release(&s);
        arena_release(&a);
    }
}

/* --- too many at once -------------------------------------------------------------------------------------------------------- */
static const struct { const char *why; unsigned here, kept, anew; bool force; size_t steps, held; } guards[] = {
    { "all of a few", 10, 0, 0, false, 10, 0 },
    { "all of one more", 11, 0, 0, false, 0, 11 },
    { "all of them, as somebody said", 11, 0, 0, true, 11, 0 },
    { "half of many", 40, 20, 0, false, 20, 0 },
    { "more than half", 40, 19, 0, false, 0, 21 },
    { "made anew counts as gone", 40, 40, 21, false, 0, 21 },
    { "both together", 40, 30, 11, false, 0, 21 },
};

static void guard_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(guards); i++) {
        struct catalog c;
        struct catalog_look l;
        struct zone_settings s;
        struct arena a;
        char text[4000] = V, row[400];
        arena_init(&a);
        settings_of("{}", &a, &s);
        for (unsigned k = 0; k < guards[i].kept; k++) {
            (void)snprintf(row, sizeof row, "%s%02u.zones PTR z%02u.\n", k < guards[i].anew ? "new" : "id", k, k);
            (void)strncat(text, row, sizeof text - strlen(text) - 1);
        }
        assert_int_equal(bed_catalog(CATALOG, text, &c), OK);
        catalog_look_init(&l);
        l.catalog = &c;
        l.settings = &s;
        l.gives = gives;
        l.force = guards[i].force;
        for (unsigned k = 0; k < guards[i].here; k++) {
            struct name apex;
            struct fault fault = { "" };
            (void)snprintf(row, sizeof row, "z%02u.", k);
            assert_int_equal(name_from_text(bytes_of_text(row), bytes_of(NULL, 0), &apex), OK);
            (void)snprintf(row, sizeof row, "{\"kind\":\"secondary\",\"primaries\":[{\"address\":\"192.0.2.1\"}],\"member_of\":{\"catalog\":\"" CATALOG "\",\"id\":\"id%02u\"}}", k);
            assert_int_equal(catalog_look_zone(&l, name_bytes(&apex), bytes_of_text(row), &fault), OK);
        }
        assert_int_equal(catalog_look_end(&l), OK);
        if (l.n != guards[i].steps || l.held != guards[i].held)
            fail_msg("%s: %zu steps, %zu held", guards[i].why, l.n, l.held);
        catalog_look_release(&l);
        catalog_release(&c);
        settings_release(&s);
        arena_release(&a);
    }
}

/* --- edits of members ---------------------------------------------------------------------------------------------------------- */
static const struct { const char *why, *before, *after; bool by_catalog; const char *words; } edits[] = {
    { "what is the users' own", MINE("a"), "{\"account\":\"me\",\"guard\":\"strict\",\"update_acl\":[\"192.0.2.1\"]}", false, NULL },
    { "who is asked", MINE("a"), "{\"primaries\":[{\"address\":\"192.0.2.9\"}]}", false, "the zone is a member of the catalog zone " CATALOG },
    { "with which key", MINE("a"), "{\"primaries\":[{\"address\":\"192.0.2.1\",\"tsig\":\"k\"}]}", false, "the zone is a member" },
    { "who is told", MINE("a"), "{\"notify\":[\"192.0.2.9\"]}", false, "the zone is a member" },
    { "who may take it", MINE("a"), "{\"transfer_acl\":[\"192.0.2.9\"]}", false, "the zone is a member" },
    { "the catalog may", MINE("a"), "{\"notify\":[\"192.0.2.9\"]}", true, NULL },
    { "a zone that is no member", "{\"kind\":\"secondary\"}", "{\"notify\":[\"192.0.2.9\"]}", false, NULL },
    { "a catalog that is a native zone", "{}", "{\"catalog\":{}}", false, "catalog: only a secondary" },
    { "of a secondary", "{\"kind\":\"secondary\"}", "{\"catalog\":{}}", false, NULL },
};

static void edit_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(edits); i++) {
        struct zone_settings before, after;
        struct arena a;
        struct fault fault = { "" };
        json_t *o = json_loads(edits[i].after, 0, NULL);
        arena_init(&a);
        assert_int_equal(settings_read(bytes_of_text(edits[i].before), &a, &before, &fault), OK);
        after = before;
        settings_hold(&after);
        assert_int_equal(settings_merge(&after, o, NULL, &a, &fault), OK);
        enum err err = settings_check(&after, &fault);
        if (err == OK)
            err = settings_check_edit(&before, &after, edits[i].by_catalog, &fault);
        if (edits[i].words == NULL ? err != OK : err != ERR_REFUSED || strstr(fault.text, edits[i].words) == NULL)
            fail_msg("%s: got '%s' (%s)", edits[i].why, err_text(err), fault.text);
        json_decref(o);
        settings_release(&before);
        settings_release(&after);
        arena_release(&a);
    }
    struct zone_settings mine, by_hand;
    struct arena a;
    struct fault fault = { "" };
    arena_init(&a);
    assert_int_equal(settings_read(bytes_of_text(MINE("a")), &a, &mine, &fault), OK);
    by_hand = mine;
    by_hand.member_id = "b";
    assert_int_equal(settings_check_edit(&mine, &by_hand, false, &fault), ERR_REFUSED);
    assert_int_equal(settings_check_edit(&mine, &by_hand, true, &fault), OK);
    settings_release(&mine);
    arena_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_rows), cmocka_unit_test(look_rows), cmocka_unit_test(guard_rows), cmocka_unit_test(edit_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
