/* UPDATE, RFC 2136 section 3 rule by rule: a message against a small zone, the rcode, and what an owner holds afterwards. */
#include "builder/replays.h"
#include "builder/update.h"

#include "tests/unit/draft_model.h"
#include "wire/query.h"

#include <stdio.h>

static const char zone_text[] =
    "@      3600 IN SOA ns1 hostmaster 100 7200 900 1209600 300\n"
    "@      3600 IN NS ns1\n"
    "@      3600 IN NS ns2\n"
    "@      3600 IN MX 10 mail\n"
    "ns1    3600 IN A 192.0.2.1\n"
    "ns2    3600 IN A 192.0.2.2\n"
    "www    300 IN A 192.0.2.10\n"
    "www    300 IN A 192.0.2.11\n"
    "www    300 IN TXT \"x\"\n"
    "alias  300 IN CNAME www\n"
    "d      300 IN DNAME other.example.org.\n"
    "*.wild 300 IN A 192.0.2.20\n"
    "a.ent  300 IN A 192.0.2.21\n"
    "sub    300 IN NS ns.sub\n"
    "ns.sub 300 IN A 192.0.2.30\n";

static struct name name_in(const char *text)
{
    struct name apex, out;
    assert_int_equal(name_from_text(bytes_of_text("example.com."), (struct bytes){ 0 }, &apex), OK);
    if (name_from_text(bytes_of_text(text), name_bytes(&apex), &out) != OK)
        fail_msg("not a name: %s", text);
    return out;
}

static void add_row(struct draft *d, const char *owner, uint16_t type, uint32_t ttl, struct bytes rdata, bool disabled)
{
    struct name n = name_in(owner);
    const struct row *rows;
    struct row_rr rr[16];
    size_t rows_n, at = 0;
    assert_int_equal(draft_owner(d, name_bytes(&n), &rows, &rows_n, NULL), OK);
    for (size_t i = 0; i < rows_n; i++)
        for (size_t k = 0; rows[i].type == type && k < rows[i].n; k++)
            rr[at++] = rows[i].rr[k];
    rr[at++] = (struct row_rr){ rdata, disabled };
    name_lower(n.wire, n.len);
    struct row row = { .owner = name_bytes(&n), .type = type, .ttl = ttl, .rr = rr, .n = at };
    assert_int_equal(draft_set(d, &row, NULL), OK);
}

static struct draft *small_zone(void)
{
    struct draft *d = model_new("example.com.");
    struct complaints c = { .errors_n = 0 };
    struct fault fault = { "" };
    struct zone z;
    uint8_t disabled[4] = { 192, 0, 2, 99 };
    zone_init(&z, name_bytes(&d->apex), "test");
    assert_int_equal(zonefile_read_text(bytes_of_text(zone_text), "test", &z, &c, &fault), OK);
    for (size_t i = 0; i < z.n; i++) {
        char owner[NAME_TEXT_MAX];
        add_row(d, name_text(owner, sizeof owner, z.rr[i].owner), z.rr[i].type, z.rr[i].ttl, z.rr[i].rdata, false);
    }
    zone_release(&z);
    add_row(d, "hidden", TYPE_A, 300, bytes_of(disabled, sizeof disabled), true);
    add_row(d, "ns1", TYPE_A, 3600, bytes_of(disabled, sizeof disabled), true);
    d->sets = 0;
    return d;
}

/* --- messages from lines --------------------------------------------------------------------------------------------- */
/* "OWNER CLASS TTL TYPE [RDATA]" per line; CLASS: IN, ANY, NONE or a number; TYPE: a name or a number. */
static unsigned put_lines(struct wr *w, const char *lines)
{
    unsigned n = 0;
    while (lines != NULL && *lines != '\0') {
        char line[256], owner[64], class[16], type[24], rdata[160] = "";
        unsigned ttl;
        size_t len = strcspn(lines, "\n");
        (void)snprintf(line, sizeof line, "%.*s", (int)len, lines);
        lines += len + (lines[len] == '\n');
        if (sscanf(line, "%63s %15s %u %23s %159[^\n]", owner, class, &ttl, type, rdata) < 4)
            fail_msg("not a line: %s", line);
        struct name name = name_in(owner), apex = name_in("@");
        uint16_t number = (uint16_t)atoi(type);
        if (number == 0 && strcmp(type, "ANY") == 0)
            number = TYPE_ANY;
        else if (number == 0 && strcmp(type, "0") != 0)
            assert_int_equal(rrtype_from_text(bytes_of_text(type), &number), OK);
        wr_bytes(w, name_bytes(&name));
        wr_u16(w, number);
        wr_u16(w, strcmp(class, "IN") == 0 ? CLASS_IN : strcmp(class, "ANY") == 0 ? CLASS_ANY
                  : strcmp(class, "NONE") == 0 ? CLASS_NONE : (uint16_t)atoi(class));
        wr_u32(w, ttl);
        size_t len_at = w->len;
        wr_u16(w, 0);
        struct fault fault = { "" };
        if (strncmp(rdata, "\\x ", 3) == 0) {
            struct bytes raw = heap_from_hex(rdata + 3);
            wr_bytes(w, raw);
            bytes_free(raw);
        } else if (rdata[0] != '\0' && rdata_from_text(number, bytes_of_text(rdata), name_bytes(&apex), w, &fault) != OK) {
            fail_msg("%s: %s", line, fault.text);
        }
        wr_patch_u16(w, len_at, (uint16_t)(w->len - len_at - 2));
        n++;
    }
    return n;
}

static struct bytes message_of(const char *needs, const char *edits)
{
    static uint8_t buf[65535];
    struct name apex = name_in("@");
    struct wr w = wr_over(buf, sizeof buf);
    wr_u16(&w, 1);
    wr_u16(&w, OPCODE_UPDATE << DNS_OPCODE_SHIFT);
    wr_u16(&w, 1);
    wr_u16(&w, 0);
    wr_u16(&w, 0);
    wr_u16(&w, 0);
    wr_bytes(&w, name_bytes(&apex));
    wr_u16(&w, TYPE_SOA);
    wr_u16(&w, CLASS_IN);
    wr_patch_u16(&w, 6, (uint16_t)put_lines(&w, needs));
    wr_patch_u16(&w, 8, (uint16_t)put_lines(&w, edits));
    assert_false(w.full);
    return heap_copy(w.buf, w.len);
}

/* --- what an owner holds ------------------------------------------------------------------------------------------------ */
/* "TTL TYPE RDATA" joined by "; ", disabled records in brackets. */
static const char *holds(struct draft *d, const char *owner, char *out, size_t cap)
{
    struct name n = name_in(owner);
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < d->n; i++) {
        const struct row *row = &d->rows[i];
        for (size_t k = 0; name_equal(row->owner, name_bytes(&n)) && k < row->n; k++) {
            struct zone_rr rr = { .owner = row->owner, .rdata = row->rr[k].rdata, .ttl = row->ttl, .type = row->type };
            char text[600], type[24], data[400] = "";
            unsigned ttl;
            assert_int_equal(rr_to_text(&rr, text, sizeof text, NULL), OK);
            assert_true(sscanf(text, "%*s %u IN %23s %399[^\n]", &ttl, type, data) >= 2);
            bool off = row->rr[k].disabled;
            len += (size_t)snprintf(out + len, cap - len, "%s%s%u %s %s%s", len > 0 ? "; " : "", off ? "[" : "", ttl, type, data,
                                    off ? "]" : "");
        }
    }
    return out;
}

static uint16_t judge(struct update *u, struct bytes msg, struct draft *d, struct arena *a)
{
    struct fault fault = { "" };
    uint16_t rcode = update_read(msg, a, u);
    if (rcode == RCODE_NOERROR)
        rcode = update_prescan(u, a);
    if (rcode != RCODE_NOERROR)
        return rcode;
    enum err err = update_plan(u, d, &fault);
    assert_true(err == OK || err == ERR_REFUSED);
    struct change_result r = { .end = err == OK ? CHANGE_DONE : CHANGE_REFUSED, .err = err };
    return update_rcode(u, &r);
}

static const struct { const char *why, *needs, *edits; uint16_t want; const char *owner, *after; } rows[] = {
    /* section 3.2: prerequisites */
    { "RRset exists, value independent: it does", "www ANY 0 A", NULL, RCODE_NOERROR, NULL, NULL },
    { "RRset exists, value independent: another type", "www ANY 0 AAAA", NULL, RCODE_NXRRSET, NULL, NULL },
    { "RRset exists: a disabled record is not there", "hidden ANY 0 A", NULL, RCODE_NXRRSET, NULL, NULL },
    { "RRset exists, value dependent: the same set in another order, case and TTL aside", "www IN 0 A 192.0.2.11\nWWW IN 0 A 192.0.2.10",
      NULL, RCODE_NOERROR, NULL, NULL },
    { "value dependent: a subset is another set", "www IN 0 A 192.0.2.11", NULL, RCODE_NXRRSET, NULL, NULL },
    { "value dependent: a superset is another set", "www IN 0 A 192.0.2.10\nwww IN 0 A 192.0.2.11\nwww IN 0 A 192.0.2.12", NULL,
      RCODE_NXRRSET, NULL, NULL },
    { "value dependent: a record said twice counts once", "www IN 0 A 192.0.2.10\nwww IN 0 A 192.0.2.10\nwww IN 0 A 192.0.2.11", NULL,
      RCODE_NOERROR, NULL, NULL },
    { "value dependent: said twice does not make up for one missing", "www IN 0 A 192.0.2.10\nwww IN 0 A 192.0.2.10", NULL,
      RCODE_NXRRSET, NULL, NULL },
    { "value dependent: names in data ignore case", "@ IN 0 MX 10 MAIL", NULL, RCODE_NOERROR, NULL, NULL },
    { "value dependent: a disabled record does not count", "ns1 IN 0 A 192.0.2.1", NULL, RCODE_NOERROR, NULL, NULL },
    { "value dependent: no such RRset", "new IN 0 A 192.0.2.1", NULL, RCODE_NXRRSET, NULL, NULL },
    { "RRset does not exist: right", "www NONE 0 AAAA", NULL, RCODE_NOERROR, NULL, NULL },
    { "RRset does not exist: it does", "www NONE 0 A", NULL, RCODE_YXRRSET, NULL, NULL },
    { "name in use: right", "www ANY 0 ANY", NULL, RCODE_NOERROR, NULL, NULL },
    { "name in use: it is not", "new ANY 0 ANY", NULL, RCODE_NXDOMAIN, NULL, NULL },
    { "an empty non-terminal is not in use", "ent ANY 0 ANY", NULL, RCODE_NXDOMAIN, NULL, NULL },
    { "a name that only a wildcard covers is not in use", "x.wild ANY 0 ANY", NULL, RCODE_NXDOMAIN, NULL, NULL },
    { "the wildcard itself is a name like others", "*.wild ANY 0 A", NULL, RCODE_NOERROR, NULL, NULL },
    { "name not in use: right", "new NONE 0 ANY", NULL, RCODE_NOERROR, NULL, NULL },
    { "name not in use: it is", "www NONE 0 ANY", NULL, RCODE_YXDOMAIN, NULL, NULL },
    { "a name of disabled records only is not in use", "hidden NONE 0 ANY", NULL, RCODE_NOERROR, NULL, NULL },
    { "glue below a cut is in use", "ns.sub ANY 0 A", NULL, RCODE_NOERROR, NULL, NULL },
    { "a prerequisite's TTL must be 0", "www ANY 1 A", NULL, RCODE_FORMERR, NULL, NULL },
    { "a prerequisite outside of the zone", "www.example.org. ANY 0 A", NULL, RCODE_NOTZONE, NULL, NULL },
    { "class ANY with data", "www ANY 0 A 192.0.2.1", NULL, RCODE_FORMERR, NULL, NULL },
    { "class NONE with data", "www NONE 0 A 192.0.2.1", NULL, RCODE_FORMERR, NULL, NULL },
    { "a class of nobody", "www 3 0 A", NULL, RCODE_FORMERR, NULL, NULL },
    { "value dependent for ANY", "www IN 0 ANY", NULL, RCODE_FORMERR, NULL, NULL },
    { "value dependent, the data is no A", "www IN 0 A \\x 00", NULL, RCODE_FORMERR, NULL, NULL },
    { "the first that does not hold is told", "www ANY 0 AAAA\nnew ANY 0 ANY", NULL, RCODE_NXRRSET, NULL, NULL },
    { "value-dependent ones are compared at the end", "www IN 0 A 192.0.2.1\nnew ANY 0 ANY", NULL, RCODE_NXDOMAIN, NULL, NULL },
    { "a prerequisite that does not hold: nothing is done", "new ANY 0 ANY", "www ANY 0 ANY", RCODE_NXDOMAIN, "www",
      "300 A 192.0.2.10; 300 A 192.0.2.11; 300 TXT \"x\"" },
    { "prerequisites do not see the edits", "new NONE 0 ANY", "new IN 60 A 192.0.2.50", RCODE_NOERROR, "new", "60 A 192.0.2.50" },
    /* section 3.4.1: prescan */
    { "an edit outside of the zone", NULL, "www.example.org. IN 60 A 192.0.2.1", RCODE_NOTZONE, NULL, NULL },
    { "an edit at a name that only ends alike", NULL, "wwwexample.com. IN 60 A 192.0.2.1", RCODE_NOTZONE, NULL, NULL },
    { "the second edit is bad: the first is not made", NULL, "www ANY 0 A\nwww.example.org. ANY 0 A", RCODE_NOTZONE, "www",
      "300 A 192.0.2.10; 300 A 192.0.2.11; 300 TXT \"x\"" },
    { "adding ANY", NULL, "www IN 60 ANY", RCODE_FORMERR, NULL, NULL },
    { "adding AXFR", NULL, "www IN 60 252", RCODE_FORMERR, NULL, NULL },
    { "adding MAILB", NULL, "www IN 60 253", RCODE_FORMERR, NULL, NULL },
    { "adding type 0", NULL, "www IN 60 0", RCODE_FORMERR, NULL, NULL },
    { "adding data that is no A", NULL, "www IN 60 A \\x c000", RCODE_FORMERR, NULL, NULL },
    { "adding an A without data", NULL, "www IN 60 A", RCODE_FORMERR, NULL, NULL },
    { "deleting an RRset with a TTL", NULL, "www ANY 1 A", RCODE_FORMERR, NULL, NULL },
    { "deleting an RRset with data", NULL, "www ANY 0 A 192.0.2.10", RCODE_FORMERR, NULL, NULL },
    { "deleting a meta type", NULL, "www ANY 0 252", RCODE_FORMERR, NULL, NULL },
    { "deleting a record with a TTL", NULL, "www NONE 1 A 192.0.2.10", RCODE_FORMERR, NULL, NULL },
    { "deleting a record of type ANY", NULL, "www NONE 0 ANY", RCODE_FORMERR, NULL, NULL },
    { "an edit of class CH", NULL, "www 3 60 TXT \\x 0161", RCODE_FORMERR, NULL, NULL },
    /* section 3.4.2.2: adding */
    { "a record joins its RRset, whose TTL becomes its own", NULL, "www IN 60 A 192.0.2.12", RCODE_NOERROR, "www",
      "60 A 192.0.2.10; 60 A 192.0.2.11; 60 A 192.0.2.12; 300 TXT \"x\"" },
    { "a record that is there: only the TTL", NULL, "www IN 60 A 192.0.2.10", RCODE_NOERROR, "www",
      "60 A 192.0.2.10; 60 A 192.0.2.11; 300 TXT \"x\"" },
    { "a record that is there in another case stays as it is", NULL, "@ IN 3600 MX 10 MAIL\n@ ANY 0 NS", RCODE_NOERROR, "@",
      "3600 SOA ns1.example.com. hostmaster.example.com. 100 7200 900 1209600 300; 3600 NS ns1.example.com.; "
      "3600 NS ns2.example.com.; 3600 MX 10 mail.example.com." },
    { "a TTL with its highest bit set is 0", NULL, "new IN 2147483648 A 192.0.2.12", RCODE_NOERROR, "new", "0 A 192.0.2.12" },
    { "a name that is new, in capitals", NULL, "NEW IN 60 AAAA 2001:db8::1", RCODE_NOERROR, "new", "60 AAAA 2001:db8::1" },
    { "a type that nobody knows", NULL, "new IN 60 65400 \\x 0102", RCODE_NOERROR, "new", "60 TYPE65400 \\# 2 0102" },
    { "a CNAME beside other data is ignored", NULL, "www IN 60 CNAME alias", RCODE_NOERROR, "www",
      "300 A 192.0.2.10; 300 A 192.0.2.11; 300 TXT \"x\"" },
    { "other data beside a CNAME is ignored", NULL, "alias IN 60 A 192.0.2.1", RCODE_NOERROR, "alias", "300 CNAME www.example.com." },
    { "a CNAME takes the old one's place", NULL, "alias IN 60 CNAME ns1", RCODE_NOERROR, "alias", "60 CNAME ns1.example.com." },
    { "a DNAME takes the old one's place", NULL, "d IN 60 DNAME new.example.org.", RCODE_NOERROR, "d", "60 DNAME new.example.org." },
    { "a CNAME where a delete made room", NULL, "www ANY 0 ANY\nwww IN 60 CNAME alias", RCODE_NOERROR, "www",
      "60 CNAME alias.example.com." },
    { "a CNAME where the delete comes too late", NULL, "www IN 60 CNAME alias\nwww ANY 0 ANY", RCODE_NOERROR, "www", "" },
    { "a CNAME beside disabled records: they are not there", NULL, "hidden IN 60 CNAME www", RCODE_NOERROR, "hidden",
      "[300 A 192.0.2.99]; 60 CNAME www.example.com." },
    { "a record that is there but disabled is enabled", NULL, "hidden IN 60 A 192.0.2.99", RCODE_NOERROR, "hidden",
      "60 A 192.0.2.99" },
    { "a SOA with a later serial", NULL, "@ IN 60 SOA ns1 hostmaster 101 1 2 3 4", RCODE_NOERROR, "@",
      "60 SOA ns1.example.com. hostmaster.example.com. 101 1 2 3 4; 3600 NS ns1.example.com.; 3600 NS ns2.example.com.; "
      "3600 MX 10 mail.example.com." },
    { "a SOA with the same serial is ignored", NULL, "@ IN 60 SOA ns1 hostmaster 100 1 2 3 4\n@ ANY 0 MX", RCODE_NOERROR, "@",
      "3600 SOA ns1.example.com. hostmaster.example.com. 100 7200 900 1209600 300; 3600 NS ns1.example.com.; "
      "3600 NS ns2.example.com." },
    { "a SOA with a serial that wrapped below is ignored", NULL, "@ IN 60 SOA ns1 hostmaster 4294967295 1 2 3 4\n@ ANY 0 MX",
      RCODE_NOERROR, "@", "3600 SOA ns1.example.com. hostmaster.example.com. 100 7200 900 1209600 300; 3600 NS ns1.example.com.; "
      "3600 NS ns2.example.com." },
    { "a SOA elsewhere is ignored", NULL, "www IN 60 SOA ns1 hostmaster 101 1 2 3 4", RCODE_NOERROR, "www",
      "300 A 192.0.2.10; 300 A 192.0.2.11; 300 TXT \"x\"" },
    { "a literal wildcard", NULL, "*.new IN 60 A 192.0.2.1", RCODE_NOERROR, "*.new", "60 A 192.0.2.1" },
    /* section 3.4.2.3: deleting RRsets and names */
    { "an RRset", NULL, "www ANY 0 A", RCODE_NOERROR, "www", "300 TXT \"x\"" },
    { "an RRset that is not there", NULL, "www ANY 0 AAAA", RCODE_NOERROR, "www", "300 A 192.0.2.10; 300 A 192.0.2.11; 300 TXT \"x\"" },
    { "all of a name", NULL, "www ANY 0 ANY", RCODE_NOERROR, "www", "" },
    { "what is disabled stays", NULL, "ns1 ANY 0 ANY", RCODE_NOERROR, "ns1", "[3600 A 192.0.2.99]" },
    { "all of the apex but SOA and NS", NULL, "@ ANY 0 ANY", RCODE_NOERROR, "@",
      "3600 SOA ns1.example.com. hostmaster.example.com. 100 7200 900 1209600 300; 3600 NS ns1.example.com.; "
      "3600 NS ns2.example.com." },
    { "the apex's NS as a set is ignored, and so is its SOA", NULL, "@ ANY 0 NS\n@ ANY 0 SOA\n@ ANY 0 MX", RCODE_NOERROR, "@",
      "3600 SOA ns1.example.com. hostmaster.example.com. 100 7200 900 1209600 300; 3600 NS ns1.example.com.; "
      "3600 NS ns2.example.com." },
    { "NS of a delegation as a set", NULL, "sub ANY 0 NS", RCODE_NOERROR, "sub", "" },
    /* section 3.4.2.4: deleting a record */
    { "one of two", NULL, "www NONE 0 A 192.0.2.10", RCODE_NOERROR, "www", "300 A 192.0.2.11; 300 TXT \"x\"" },
    { "one that is not there", NULL, "www NONE 0 A 192.0.2.77", RCODE_NOERROR, "www",
      "300 A 192.0.2.10; 300 A 192.0.2.11; 300 TXT \"x\"" },
    { "without data: no record is like that", NULL, "www NONE 0 A", RCODE_NOERROR, "www",
      "300 A 192.0.2.10; 300 A 192.0.2.11; 300 TXT \"x\"" },
    { "names in data ignore case", NULL, "alias NONE 0 CNAME WWW", RCODE_NOERROR, "alias", "" },
    { "the SOA is never deleted", NULL, "@ NONE 0 SOA ns1 hostmaster 100 7200 900 1209600 300\n@ ANY 0 MX", RCODE_NOERROR, "@",
      "3600 SOA ns1.example.com. hostmaster.example.com. 100 7200 900 1209600 300; 3600 NS ns1.example.com.; "
      "3600 NS ns2.example.com." },
    { "the apex's last NS is not deleted", NULL, "@ NONE 0 NS ns1\n@ NONE 0 NS ns2\n@ ANY 0 MX", RCODE_NOERROR, "@",
      "3600 SOA ns1.example.com. hostmaster.example.com. 100 7200 900 1209600 300; 3600 NS ns2.example.com." },
    { "a delegation's last NS is", NULL, "sub NONE 0 NS ns.sub", RCODE_NOERROR, "sub", "" },
    { "in order: a delete and an add of the same", NULL, "www NONE 0 A 192.0.2.10\nwww IN 60 A 192.0.2.10", RCODE_NOERROR, "www",
      "60 A 192.0.2.11; 60 A 192.0.2.10; 300 TXT \"x\"" },
    { "in order: an add and a delete of the same", NULL, "new IN 60 A 192.0.2.10\nnew NONE 0 A 192.0.2.10", RCODE_NOERROR, "new", "" },
};

static void section_3(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct draft *d = small_zone();
        struct bytes msg = message_of(rows[i].needs, rows[i].edits);
        struct arena a;
        struct update u;
        char text[2000];
        arena_init(&a);
        uint16_t got = judge(&u, msg, d, &a);
        if (got != rows[i].want)
            fail_msg("%s: %s, wanted %s", rows[i].why, update_rcode_text(got), update_rcode_text(rows[i].want));
        if (got != RCODE_NOERROR)
            assert_int_equal(d->sets, 0);
        if (rows[i].owner != NULL && strcmp(holds(d, rows[i].owner, text, sizeof text), rows[i].after) != 0)
            fail_msg("%s: '%s', wanted '%s'", rows[i].why, text, rows[i].after);
        arena_release(&a);
        model_free(d);
        bytes_free(msg);
    }
}

/* A plan that is run on a second draft does what it did on the first. */
static void a_plan_can_be_run_again(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct bytes msg = message_of(rows[i].needs, rows[i].edits);
        struct draft *d[2] = { small_zone(), small_zone() };
        struct fault fault = { "" };
        struct arena a;
        struct update u;
        char text[2][2000];
        arena_init(&a);
        if (update_read(msg, &a, &u) == RCODE_NOERROR && update_prescan(&u, &a) == RCODE_NOERROR) {
            enum err err = update_plan(&u, d[0], &fault);
            uint16_t rcode = u.rcode;
            assert_int_equal(update_plan(&u, d[1], &fault), err);
            assert_int_equal(u.rcode, rcode);
            if (rows[i].owner != NULL)
                assert_string_equal(holds(d[0], rows[i].owner, text[0], sizeof text[0]), holds(d[1], rows[i].owner, text[1], sizeof text[1]));
        }
        arena_release(&a);
        model_free(d[0]);
        model_free(d[1]);
        bytes_free(msg);
    }
}

/* --- rights ------------------------------------------------------------------------------------------------------------- */
static bool only_txt(void *arg, struct bytes owner, uint16_t type)
{
    (void)arg, (void)owner;
    return type == TYPE_TXT;
}

static void the_log_says_which_record_and_which_rule(void **state)
{
    static const struct { const char *why, *edits; const char *want; } said[] = {
        { "nothing is wrong", "www IN 60 TXT \"y\"", "" },
        { "the second record", "www IN 60 TXT \"y\"\nwww IN 60 A 192.0.2.1", "www.example.com. A: the key's rights do not allow it" },
        { "a type that no zone holds", "www IN 60 0", "www.example.com. TYPE0: no zone holds such a type" },
        { "a deletion with a TTL", "www ANY 1 TXT", "www.example.com. TXT: a deletion's TTL is 0" },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(said); i++) {
        struct bytes msg = message_of(NULL, said[i].edits);
        char text[UPDATE_TEXT_MAX] = "";
        struct arena a;
        struct update u;
        arena_init(&a);
        assert_int_equal(update_read(msg, &a, &u), RCODE_NOERROR);
        u.may = only_txt;
        if (update_prescan(&u, &a) != RCODE_NOERROR)
            (void)update_text(&u, text, sizeof text);
        if (strcmp(text, said[i].want) != 0)
            fail_msg("%s: '%s'", said[i].why, text);
        arena_release(&a);
        bytes_free(msg);
    }
}

static void rights_are_asked_for_each_record(void **state)
{
    static const struct { const char *why, *needs, *edits; uint16_t want; } asked[] = {
        { "what the key may", NULL, "www IN 60 TXT \"y\"\nwww ANY 0 TXT\nwww NONE 0 TXT \"y\"", RCODE_NOERROR },
        { "one record of another type", NULL, "www IN 60 TXT \"y\"\nwww IN 60 A 192.0.2.1", RCODE_REFUSED },
        { "deleting an RRset of another type, even one that is not there", NULL, "www ANY 0 AAAA", RCODE_REFUSED },
        { "deleting a record of another type", NULL, "www NONE 0 A 192.0.2.10", RCODE_REFUSED },
        { "deleting a name that holds other types", NULL, "www ANY 0 ANY", RCODE_REFUSED },
        { "deleting a name that holds nothing else", NULL, "only ANY 0 ANY", RCODE_NOERROR },
        { "refused before prerequisites are looked at", "new ANY 0 ANY", "www IN 60 A 192.0.2.1", RCODE_REFUSED },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(asked); i++) {
        struct draft *d = small_zone();
        struct bytes msg = message_of(asked[i].needs, asked[i].edits);
        struct fault fault = { "" };
        struct arena a;
        struct update u;
        arena_init(&a);
        add_row(d, "only", TYPE_TXT, 300, bytes_of("\1x", 2), false);
        d->sets = 0;
        assert_int_equal(update_read(msg, &a, &u), RCODE_NOERROR);
        u.may = only_txt;
        uint16_t got = update_prescan(&u, &a);
        if (got == RCODE_NOERROR) {
            (void)!update_plan(&u, d, &fault);
            got = u.rcode;
        }
        if (got != asked[i].want)
            fail_msg("%s: %s, wanted %s", asked[i].why, update_rcode_text(got), update_rcode_text(asked[i].want));
        if (got != RCODE_NOERROR)
            assert_int_equal(d->sets, 0);
        arena_release(&a);
        model_free(d);
        bytes_free(msg);
    }
}

/* --- messages ------------------------------------------------------------------------------------------------------------ */
#define HEAD "0001 2800 0001 0000 0000 0000 "
#define ZONE "07 6578616d706c65 03 636f6d 00 0006 0001 "
static void messages(void **state)
{
    static const struct { const char *why, *hex; uint16_t want; bool question, edns, tsig; } raw[] = {
        { "nothing but the zone", HEAD ZONE, RCODE_NOERROR, true, false, false },
        { "no zone", "0001 2800 0000 0000 0000 0000", RCODE_FORMERR, false, false, false },
        { "two zones", "0001 2800 0002 0000 0000 0000" ZONE ZONE, RCODE_FORMERR, false, false, false },
        { "a zone that is asked for as A", HEAD "076578616d706c6503636f6d00 0001 0001", RCODE_FORMERR, true, false, false },
        { "a zone of class CH", HEAD "076578616d706c6503636f6d00 0006 0003", RCODE_NOTAUTH, true, false, false },
        { "a zone that breaks off", HEAD "076578616d706c6503", RCODE_FORMERR, false, false, false },
        { "a zone that is a pointer to the header", HEAD "c000 0006 0001", RCODE_FORMERR, false, false, false },
        { "one prerequisite is said to be there", "0001 2800 0001 0001 0000 0000" ZONE, RCODE_FORMERR, true, false, false },
        { "65,535 edits are said to be there", "0001 2800 0001 0000 ffff 0000" ZONE, RCODE_FORMERR, true, false, false },
        { "an edit whose owner is a pointer to the zone", "0001 2800 0001 0000 0001 0000" ZONE "c00c 0001 00ff 00000000 0000", RCODE_NOERROR,
          true, false, false },
        { "an edit whose owner points at itself", "0001 2800 0001 0000 0001 0000" ZONE "c01d 0001 00ff 00000000 0000", RCODE_FORMERR, true,
          false, false },
        { "OPT among the edits", "0001 2800 0001 0000 0001 0000" ZONE "00 0029 04d0 00000000 0000", RCODE_FORMERR, true, false, false },
        { "EDNS", "0001 2800 0001 0000 0000 0001" ZONE "00 0029 04d0 00000000 0000", RCODE_NOERROR, true, true, false },
        { "EDNS twice", "0001 2800 0001 0000 0000 0002" ZONE "00 0029 04d0 00000000 0000 00 0029 04d0 00000000 0000", RCODE_FORMERR, true,
          false, false },
        { "EDNS version 1", "0001 2800 0001 0000 0000 0001" ZONE "00 0029 04d0 00010000 0000", RCODE_BADVERS, true, true, false },
        { "an option that breaks off", "0001 2800 0001 0000 0000 0001" ZONE "00 0029 04d0 00000000 0003 000a00", RCODE_FORMERR, true, false,
          false },
        { "TSIG is the last record", "0001 2800 0001 0000 0000 0002" ZONE "00 0029 04d0 00000000 0000 00 00fa 00ff 00000000 0000",
          RCODE_NOERROR, true, true, true },
        { "TSIG before OPT", "0001 2800 0001 0000 0000 0002" ZONE "00 00fa 00ff 00000000 0000 00 0029 04d0 00000000 0000", RCODE_FORMERR,
          true, false, false },
        { "TSIG among the edits", "0001 2800 0001 0000 0001 0000" ZONE "00 00fa 00ff 00000000 0000", RCODE_FORMERR, true, false, false },
        { "TSIG among the prerequisites", "0001 2800 0001 0001 0000 0000" ZONE "00 00fa 00ff 00000000 0000", RCODE_FORMERR, true, false,
          false },
        { "other additional records mean nothing", "0001 2800 0001 0000 0000 0001" ZONE "00 0001 0001 00000000 0000", RCODE_NOERROR, true,
          false, false },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(raw); i++) {
        struct bytes msg = heap_from_hex(raw[i].hex);
        struct arena a;
        struct update u;
        arena_init(&a);
        uint16_t got = update_read(msg, &a, &u);
        if (got != raw[i].want || (u.question.len > 0) != raw[i].question || u.has_edns != raw[i].edns || u.has_tsig != raw[i].tsig)
            fail_msg("%s: %s, wanted %s; question %zu, edns %d, tsig %d", raw[i].why, update_rcode_text(got),
                     update_rcode_text(raw[i].want), u.question.len, u.has_edns, u.has_tsig);
        arena_release(&a);
        bytes_free(msg);
    }
}

/* MX 5 to a pointer at the zone's name: BIND's own nsupdate compresses so. SRV with one too: an old client's. */
static void names_in_data_are_made_whole(void **state)
{
    static const char hex[] = "0001 2800 0001 0000 0002 0000" ZONE "c00c 000f 0001 0000003c 0004 0005 c00c"
                              " c00c 0021 0001 0000003c 0008 0001 0002 0003 c00c";
    struct bytes msg = heap_from_hex(hex);
    struct arena a;
    struct update u;
    (void)state;
    arena_init(&a);
    assert_int_equal(update_read(msg, &a, &u), RCODE_NOERROR);
    assert_int_equal(update_prescan(&u, &a), RCODE_NOERROR);
    assert_true(bytes_equal(u.edits[0].rdata, bytes_of("\0\5\7example\3com\0", 15)));
    assert_true(bytes_equal(u.edits[1].rdata, bytes_of("\0\1\0\2\0\3\7example\3com\0", 19)));
    arena_release(&a);
    bytes_free(msg);
}

static void ends(void **state)
{
    static const struct { const char *why; uint16_t plan; struct { enum change_end end; enum err err; } r; uint16_t want; } told[] = {
        { "done", 0, { CHANGE_DONE, OK }, RCODE_NOERROR },
        { "a prerequisite", RCODE_YXRRSET, { CHANGE_REFUSED, ERR_REFUSED }, RCODE_YXRRSET },
        { "a guard", 0, { CHANGE_REFUSED, ERR_REFUSED }, RCODE_REFUSED },
        { "the zone went meanwhile", 0, { CHANGE_REFUSED, ERR_NOTFOUND }, RCODE_NOTAUTH },
        { "its kind does not allow it", 0, { CHANGE_REFUSED, ERR_NOTNOW }, RCODE_REFUSED },
        { "the store is full", 0, { CHANGE_FAILED, ERR_FULL }, RCODE_SERVFAIL },
        { "out of memory in the plan", 0, { CHANGE_REFUSED, ERR_NOMEM }, RCODE_SERVFAIL },
        { "nobody knows yet", 0, { CHANGE_UNKNOWN, ERR_STORE }, RCODE_SERVFAIL },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(told); i++) {
        struct update u = { .rcode = told[i].plan };
        struct change_result r = { .end = told[i].r.end, .err = told[i].r.err };
        if (update_rcode(&u, &r) != told[i].want)
            fail_msg("%s: %s, wanted %s", told[i].why, update_rcode_text(update_rcode(&u, &r)), update_rcode_text(told[i].want));
    }
}

/* Signed messages by their MACs, one behind the other, in a memory of four places. */
static void replays(void **state)
{
    enum { T0 = 1000000, FUDGE = 300, NOT_YET = 0xffff };
    static const struct { const char *why, *mac; uint64_t at; enum replay want; uint16_t rcode, end; } seen[] = {
        { "the first of it", "0123456789abcdef", T0, REPLAY_NEW, 0, NOT_YET },
        { "while it is being made", "0123456789abcdef", T0, REPLAY_BEING_MADE, 0, RCODE_YXRRSET },
        { "made: what it brought", "0123456789abcdef", T0 + 299, REPLAY_MADE, RCODE_YXRRSET, RCODE_YXRRSET },
        { "its MAC cut short is the same message", "0123456789", T0 + 300, REPLAY_MADE, RCODE_YXRRSET, RCODE_YXRRSET },
        { "another MAC", "x123456789abcdef", T0, REPLAY_NEW, 0, RCODE_SERVFAIL },
        { "the machine failed: it may come again", "x123456789abcdef", T0 + 1, REPLAY_NEW, 0, RCODE_NOERROR },
        { "a third", "y123456789abcdef", T0 + 2, REPLAY_NEW, 0, RCODE_NOERROR },
        { "a fourth", "z123456789abcdef", T0 + 3, REPLAY_NEW, 0, RCODE_NOERROR },
        { "a fifth has the place of the one whose time is over first", "w123456789abcdef", T0 + 4, REPLAY_NEW, 0, RCODE_NOERROR },
        { "so that one is forgotten", "0123456789abcdef", T0, REPLAY_NEW, 0, RCODE_NOERROR },
        { "and the others are not", "z123456789abcdef", T0 + 3, REPLAY_MADE, RCODE_NOERROR, RCODE_NOERROR },
    };
    struct replays *r;
    (void)state;
    assert_int_equal(replays_open(&r, 4), OK);
    for (size_t i = 0; i < ROWS(seen); i++) {
        struct tsig t = { .mac = bytes_of_text(seen[i].mac), .time_s = seen[i].at < T0 + 10 ? seen[i].at : T0, .fudge_s = FUDGE };
        uint16_t rcode = 0;
        enum replay got = replays_look(r, &t, seen[i].at, &rcode);
        if (got != seen[i].want || (got == REPLAY_MADE && rcode != seen[i].rcode))
            fail_msg("%s: got %d, rcode %u", seen[i].why, (int)got, rcode);
        if (seen[i].end != NOT_YET)
            replays_end(r, &t, seen[i].end);
    }
    replays_close(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(section_3), cmocka_unit_test(a_plan_can_be_run_again), cmocka_unit_test(rights_are_asked_for_each_record),
        cmocka_unit_test(the_log_says_which_record_and_which_rule), cmocka_unit_test(messages), cmocka_unit_test(names_in_data_are_made_whole), cmocka_unit_test(ends),
        cmocka_unit_test(replays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
