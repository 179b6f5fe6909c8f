#include "tools/dump.h"

#include "base/arena.h"
#include "rrset/rrset.h"
#include "store/kvvalue.h"
#include "tools/rrtext.h"

#include <errno.h>
#include <stdlib.h>

/* --- zone files -------------------------------------------------------------------------------------------------- */
struct zone_print { struct rr_text text; char *line; enum err err; struct fault fault; };

static bool print_rr(void *arg, const struct zone_rr *rr)
{
    struct zone_print *p = arg;
    size_t len;
    if ((p->err = rr_text_line(&p->text, rr, p->line, RR_TEXT_MAX - 1, &len, &p->fault)) != OK)
        return false;
    p->line[len] = '\n';
    if (fwrite_unlocked(p->line, 1, len + 1, stdout) != len + 1) {
        p->err = fault_set(&p->fault, ERR_IO, "cannot write the output: %s", strerror(errno));
        return false;
    }
    return true;
}

/* The apexes are listed first: a walk uses cursors of its own. */
struct zone_names { struct arena arena; struct bytes *names; size_t n, cap; bool failed; };

static bool keep_name(void *arg, struct bytes apex, const struct zone_header *header)
{
    struct zone_names *z = arg;
    (void)header;
    if (z->n == z->cap) {
        size_t cap = z->cap == 0 ? 64 : z->cap * 2;
        struct bytes *more = realloc(z->names, cap * sizeof *more);
        if (more == NULL) {
            z->failed = true;
            return false;
        }
        z->names = more;
        z->cap = cap;
    }
    z->names[z->n] = arena_copy(&z->arena, apex);
    z->failed = z->names[z->n].ptr == NULL;
    return !z->failed && ++z->n > 0;
}

static int failed(const struct dump_what *d, struct bytes apex, enum err err, const struct fault *fault)
{
    char text[NAME_TEXT_MAX];
    (void)name_text(text, sizeof text, apex);
    if (err == ERR_NOTFOUND)
        return tool_fail(EXIT_DATA, "there is no zone %s in %s", text, store_dir(d->t->store));
    if (err == ERR_IO || err == ERR_NOMEM)
        return tool_fail(EXIT_USAGE, "%s", fault_text(fault, err));
    return tool_fail(EXIT_DATA, "zone %s: %s (azoth verify names what is wrong)", text, fault_text(fault, err));
}

/* Runs one for each zone that is asked for, in order. */
typedef int one_zone_fn(const struct dump_what *d, struct bytes apex, bool alone);
static int each_zone(const struct dump_what *d, one_zone_fn *one)
{
    struct zone_names z = { .n = 0 };
    struct fault fault = { "" };
    int code = EXIT_FINE;
    if (d->one_zone)
        return one(d, name_bytes(&d->zone), true);
    arena_init(&z.arena);
    enum err err = zone_list(d->t->view, keep_name, &z, &fault);
    if (err != OK || z.failed)
        code = tool_fail(err == OK ? EXIT_USAGE : EXIT_DATA, "cannot list the zones: %s",
                         fault_text(&fault, err == OK ? ERR_NOMEM : err));
    for (size_t i = 0; i < z.n && code == EXIT_FINE; i++)
        code = one(d, z.names[i], z.n == 1);
    free(z.names);
    arena_release(&z.arena);
    return code;
}

static int zone_file(const struct dump_what *d, struct bytes apex, bool alone)
{
    struct zone_print p = { .line = malloc(RR_TEXT_MAX) };
    char text[NAME_TEXT_MAX];
    if (p.line == NULL)
        return tool_fail(EXIT_USAGE, "out of memory");
    if (!alone)
        (void)printf("; zone %s\n", name_text(text, sizeof text, apex));
    enum err err = zone_walk(apex, d->t->view, print_rr, &p, &p.fault);
    if (err == OK)
        err = p.err;
    free(p.line);
    return err == OK ? EXIT_FINE : failed(d, apex, err, &p.fault);
}

int dump_zone_files(const struct dump_what *d)
{
    return each_zone(d, zone_file);
}

/* --- JSON lines -------------------------------------------------------------------------------------------------- */
struct json_print {
    struct zone_print p;
    const char *zone;
    json_t *rrset, *rdata;      /* the RRset being collected; rdata is borrowed from it */
    struct name owner;
    uint16_t type;
    uint32_t ttl;
};

static void rrset_end(struct json_print *j)
{
    if (j->rrset != NULL && json_line(j->rrset) != OK)
        j->p.err = ERR_NOMEM;
    j->rrset = NULL;
}

static void rrset_begin(struct json_print *j, const struct zone_rr *rr)
{
    char name[NAME_TEXT_MAX], type[TYPE_TEXT_MAX];
    rrset_end(j);
    j->rdata = json_array();
    j->rrset = json_pack("{s:s,s:s,s:s,s:s,s:I,s:o}", "ns", "dns", "zone", j->zone, "name",
                         name_text(name, sizeof name, rr->owner), "type", type_text(type, rr->type), "ttl",
                         (json_int_t)rr->ttl, "rdata", j->rdata);
    j->owner.len = (uint8_t)rr->owner.len;
    memcpy(j->owner.wire, rr->owner.ptr, rr->owner.len);
    j->type = rr->type;
    j->ttl = rr->ttl;
    if (j->rrset == NULL)
        j->p.err = ERR_NOMEM;
}

static bool collect_rr(void *arg, const struct zone_rr *rr)
{
    struct json_print *j = arg;
    const char *rdata;
    if (j->rrset == NULL || j->type != rr->type || j->ttl != rr->ttl || !bytes_equal(rr->owner, name_bytes(&j->owner)))
        rrset_begin(j, rr);
    if (j->p.err == OK)
        j->p.err = rr_text_rdata(&j->p.text, rr, j->p.line, RR_TEXT_MAX, &rdata, &j->p.fault);
    if (j->p.err == OK && json_array_append_new(j->rdata, json_words(rdata)) != 0)
        j->p.err = ERR_NOMEM;
    return j->p.err == OK;
}

static int zone_json(const struct dump_what *d, struct bytes apex, bool alone)
{
    char text[NAME_TEXT_MAX];
    struct json_print j = { .zone = name_text(text, sizeof text, apex), .p.line = malloc(RR_TEXT_MAX) };
    (void)alone;
    if (j.p.line == NULL)
        return tool_fail(EXIT_USAGE, "out of memory");
    enum err err = zone_walk(apex, d->t->view, collect_rr, &j, &j.p.fault);
    if (err == OK && j.p.err == OK)
        rrset_end(&j);
    json_decref(j.rrset);
    free(j.p.line);
    if (err == OK)
        err = j.p.err;
    return err == OK ? EXIT_FINE : failed(d, apex, err, &j.p.fault);
}

/* --- entries ----------------------------------------------------------------------------------------------------- */
typedef int entry_fn(struct bytes ns, const struct entry *e);

static bool in_zone(const struct dump_what *d, const struct entry *e, unsigned depth)
{
    uint32_t flags;
    return !d->one_zone || (blob_read_flags(e->value, &flags) == OK && blob_depth(flags) == depth);
}

/* Entries of one namespace; of one zone: those at or below its apex whose flags say that depth. */
static int each_entry(const struct dump_what *d, const char *ns, entry_fn *one)
{
    struct cursor *c = NULL;
    struct rrkey apex;
    struct bytes prefix = { NULL, 0 }, space = bytes_of_text(ns);
    struct entry e;
    int code = EXIT_FINE;
    bool any = false;
    enum err err = cursor_open(d->t->view, space, &c);
    if (err == OK && d->one_zone && (err = rrkey_of_name(name_bytes(&d->zone), &apex)) == OK)
        prefix = bytes_of(apex.buf, apex.at[apex.labels]);
    if (err == OK)
        err = cursor_seek(c, prefix.len > 0 ? prefix : bytes_of("", 1), &e);     /* no key sorts before one 00 byte */
    for (; err == OK && code == EXIT_FINE && bytes_starts(e.key, prefix); err = cursor_next(c, &e)) {
        if (in_zone(d, &e, d->one_zone ? apex.labels : 0)) {
            code = one(space, &e);
            any = true;
        }
    }
    cursor_close(c);
    if (code == EXIT_FINE && err != OK && err != ERR_NOTFOUND)
        return tool_fail(EXIT_DATA, "cannot read namespace %s: %s", ns, err_text(err));
    if (code == EXIT_FINE && !any && d->one_zone)
        return failed(d, name_bytes(&d->zone), ERR_NOTFOUND, NULL);
    return code;
}

typedef int ns_fn(const struct dump_what *d, const char *ns);
static int each_namespace(const struct dump_what *d, ns_fn *one)
{
    static char names[STORE_NAMESPACES_MAX][STORE_NS_MAX + 1];
    size_t n = 0;
    int code = EXIT_FINE;
    enum err err = view_namespaces(d->t->view, names, &n);
    if (err != OK)
        return tool_fail(EXIT_DATA, "cannot list the namespaces: %s", err_text(err));
    for (size_t i = 0; i < n && code == EXIT_FINE; i++)
        if ((d->ns == NULL || strcmp(names[i], d->ns) == 0) && (!d->one_zone || strcmp(names[i], "dns") == 0))
            code = one(d, names[i]);
    return code;
}

static int entry_json(struct bytes ns, const struct entry *e)
{
    struct kvvalue value;
    json_t *v = json_pack("{s:o,s:o,s:o,s:o}", "ns", json_stringn((const char *)ns.ptr, ns.len), "key",
                          json_key(ns, e->key),
                          "key_hex", json_hex(e->key), "value_hex", json_hex(e->value));
    if (kvvalue_read(e->value, &value) == OK) {
        (void)json_object_set_new(v, "seq", json_integer((json_int_t)value.seq));
        (void)json_object_set_new(v, "data_hex", json_hex(value.bytes));
    }
    return json_line(v) == OK ? EXIT_FINE : tool_fail(EXIT_USAGE, "out of memory");
}

static int ns_json(const struct dump_what *d, const char *ns)
{
    return strcmp(ns, "dns") == 0 ? each_zone(d, zone_json) : each_entry(d, ns, entry_json);
}

int dump_json(const struct dump_what *d)
{
    return each_namespace(d, ns_json);
}

static int entry_key(struct bytes ns, const struct entry *e)
{
    char key[KEY_TEXT_MAX];
    (void)fwrite_unlocked(ns.ptr, 1, ns.len, stdout);
    (void)putchar_unlocked(' ');
    print_hex(stdout, e->key);
    (void)putchar_unlocked(' ');
    (void)fputs_unlocked(key_text(key, sizeof key, ns, e->key), stdout);
    (void)putchar_unlocked('\n');
    return EXIT_FINE;
}

static int ns_keys(const struct dump_what *d, const char *ns)
{
    return each_entry(d, ns, entry_key);
}

int dump_keys(const struct dump_what *d)
{
    return each_namespace(d, ns_keys);
}
