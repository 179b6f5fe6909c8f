/* azoth get: one RRset, as stored and as text. A name's RRset stands under its own key, or inside the delegation blob
 * of a cut or DNAME above it, or, with parent and child zone in one store, in the parent's private slots and shadow
 * keys: all those places are looked at and every find is printed. */
#include "rrset/rrset.h"
#include "tools/rrtext.h"
#include "tools/tool.h"

#include <inttypes.h>
#include <stdlib.h>

struct get {
    const struct options *o;
    struct view *view;
    struct name name;
    uint16_t type;
    struct rrkey key;
    unsigned found;
    int code;
};

static int get_failed(struct get *g, const char *what, enum err err)
{
    char text[NAME_TEXT_MAX];
    g->code = tool_fail(EXIT_DATA, "%s %s: %s", name_text(text, sizeof text, name_bytes(&g->name)), what,
                        err_text(err));
    return g->code;
}

/* --- output ------------------------------------------------------------------------------------------------------ */
/* The RRs of one RRset, as lines on stdout (json NULL) or into an array. */
static enum err records(struct bytes owner, struct bytes wire, unsigned count, json_t *json)
{
    struct rr_iter it;
    struct rr rr;
    struct rr_text text = { .owner_len = 0 };
    uint8_t *buf = malloc(65535);
    char *line = malloc(RR_TEXT_MAX);
    size_t len;
    enum err err = buf == NULL || line == NULL ? ERR_NOMEM : OK;
    rr_iter_init(&it, owner, wire, count);
    while (err == OK && (err = rr_iter_next(&it, buf, 65535, &rr)) == OK) {
        struct zone_rr z = { .owner = owner, .rdata = rr.rdata, .ttl = rr.ttl, .type = rr.type };
        if ((err = rr_text_line(&text, &z, line, RR_TEXT_MAX, &len, NULL)) != OK)
            break;
        if (json != NULL)
            (void)json_array_append_new(json, json_words(line));
        else
            (void)printf("%s\n", line);
    }
    free(line);
    free(buf);
    return err == ERR_NOTFOUND ? OK : err;
}

static void print_flags(uint32_t flags)
{
    (void)printf("; flags       zone apex of %u labels%s%s%s%s\n", blob_depth(flags), flags & BLOB_APEX ? ", apex" : "",
                 flags & BLOB_CUT ? ", cut" : "", flags & BLOB_DNAME ? ", dname" : "",
                 flags & BLOB_ALIAS ? ", alias" : "");
}

/* One find: the entry it stands in, and the RRset itself. inside: told when it is only a part of the blob. */
static void found(struct get *g, struct bytes key, struct bytes value, uint32_t flags, const struct rrset *rr,
                  const char *inside)
{
    char text[KEY_TEXT_MAX], type[TYPE_TEXT_MAX];
    const char *readable = key_text(text, sizeof text, bytes_of_text("dns"), key);
    enum err err;
    g->found++;
    if (g->o->json) {
        json_t *lines = json_array();
        err = records(name_bytes(&g->name), rr->wire, rr->count, lines);
        if (err == OK && rr->sigs > 0)
            err = records(name_bytes(&g->name), rr->sig_wire, rr->sigs, lines);
        json_t *v = json_pack("{s:s,s:o,s:o,s:s,s:I,s:I,s:I,s:I,s:o,s:o}", "key", readable, "key_hex", json_hex(key),
                              "value_hex",
                              json_hex(value), "type", type_text(type, rr->type), "flags", (json_int_t)flags,
                              "apex_labels",
                              (json_int_t)blob_depth(flags), "count", (json_int_t)rr->count, "signatures",
                              (json_int_t)rr->sigs, "wire_hex", json_hex(rr->wire), "records", lines);
        if (json_line(v) != OK && err == OK)
            err = ERR_NOMEM;
    } else {
        (void)printf("; key         %s\n; key hex     ", readable);
        print_hex(stdout, key);
        (void)printf("\n; value hex   ");
        print_hex(stdout, value);
        (void)putchar('\n');
        print_flags(flags);
        if (inside != NULL)
            (void)printf("; kept in     %s\n", inside);
        (void)printf("; rrset       %s, %u records, %zu bytes of wire, %u signatures\n", type_text(type, rr->type),
                     rr->count,
                     rr->wire.len, rr->sigs);
        err = records(name_bytes(&g->name), rr->wire, rr->count, NULL);
        if (err == OK && rr->sigs > 0)
            err = records(name_bytes(&g->name), rr->sig_wire, rr->sigs, NULL);
    }
    if (err != OK)
        (void)get_failed(g, "cannot be shown", err);
}

/* --- where it may stand ------------------------------------------------------------------------------------------ */
static bool fetch(struct get *g, struct bytes key, struct bytes *value)
{
    enum err err = view_get(g->view, bytes_of_text("dns"), key, value);
    if (err != OK && err != ERR_NOTFOUND)
        (void)get_failed(g, "cannot be read", err);
    return err == OK;
}

/* A key whose blob holds RRsets of the name itself. */
static void look_at_key(struct get *g, struct bytes key)
{
    struct bytes value;
    struct blob blob;
    enum err err;
    if (!fetch(g, key, &value))
        return;
    if ((err = blob_read(value, &blob)) != OK) {
        (void)get_failed(g, "has a broken blob", err);
        return;
    }
    for (unsigned i = 0; i < blob.n; i++)
        if (blob.rr[i].type == g->type)
            found(g, key, value, blob.flags, &blob.rr[i], NULL);
}

static void look_inside(struct get *g, struct bytes key, struct bytes value, const struct blob *blob,
                        struct bytes owner)
{
    struct rd r = rd_over(blob->below);
    char text[KEY_TEXT_MAX];
    for (unsigned i = 0; i < blob->below_n; i++) {
        struct below b;
        struct name name;
        struct rrset rr;
        enum err err = below_read(&r, &b);
        if (err == OK)
            err = name_join(b.relname, owner, &name);
        for (unsigned k = 0; err == OK && name_equal(name_bytes(&name), name_bytes(&g->name)) && k < b.n + b.more; k++)
            if ((err = below_rrset(&b, k, &rr)) == OK && rr.type == g->type)
                found(g, key, value, blob->flags, &rr, key_text(text, sizeof text, bytes_of_text("dns"), key));
        if (err != OK) {
            (void)get_failed(g, "has a broken delegation blob above", err);
            return;
        }
    }
}

/* The blob of an ancestor that may keep the name below it: its NS, its DNAME, or the parent's NS at a child's apex. */
static void look_below(struct get *g, unsigned depth, uint16_t slot, struct bytes owner)
{
    uint8_t buf[RRKEY_MAX];
    struct bytes value, key = bytes_of(buf, rrkey_at(&g->key, depth, slot, buf));
    struct blob blob;
    enum err err;
    if (!fetch(g, key, &value))
        return;
    if ((err = blob_read(value, &blob)) != OK)
        (void)get_failed(g, "has a broken blob above", err);
    else
        look_inside(g, key, value, &blob, owner);
}

static void look_shadow(struct get *g, struct bytes apex)
{
    uint8_t buf[RRKEY_SHADOW_MAX];
    struct wr w = wr_over(buf, sizeof buf);
    if (rrkey_write_shadow(apex, name_bytes(&g->name), rrslot_of(g->type), &w) == OK)
        look_at_key(g, wr_done(&w));
}

/* Base32hex (RFC 4648 section 7) of 20 bytes, as the first label of an NSEC3 owner. */
static bool nsec3_hash(struct bytes label, uint8_t hash[NSEC3_HASH_LEN])
{
    uint64_t bits = 0;
    size_t n = 0, at = 0;
    if (label.len != NSEC3_HASH_LEN * 8 / 5)
        return false;
    for (size_t i = 0; i < label.len; i++) {
        uint8_t c = name_lower_byte(label.ptr[i]);
        unsigned v = c >= '0' && c <= '9' ? (unsigned)(c - '0') : c >= 'a' && c <= 'v' ? (unsigned)(c - 'a' + 10) : 32;
        if (v > 31)
            return false;
        bits = bits << 5 | v;
        if ((n += 5) >= 8) {
            n -= 8;
            hash[at++] = (uint8_t)(bits >> n);
        }
    }
    return at == NSEC3_HASH_LEN;
}

static void look_nsec3(struct get *g)
{
    uint8_t hash[NSEC3_HASH_LEN], buf[RRKEY_MAX];
    struct wr w = wr_over(buf, sizeof buf);
    struct bytes name = name_bytes(&g->name);
    if (nsec3_hash(bytes_of(name.ptr + 1, name.ptr[0]), hash) && rrkey_write_nsec3(name_parent(name), hash, &w) == OK)
        look_at_key(g, wr_done(&w));
}

static void look_everywhere(struct get *g)
{
    uint8_t buf[RRKEY_MAX];
    look_at_key(g, bytes_of(buf, rrkey_at(&g->key, g->key.labels, rrslot_of(g->type), buf)));
    if (g->type == TYPE_NS)
        look_at_key(g, bytes_of(buf, rrkey_at(&g->key, g->key.labels, RRSLOT_PARENT_NS, buf)));
    if (g->type == TYPE_NSEC)
        look_at_key(g, bytes_of(buf, rrkey_at(&g->key, g->key.labels, RRSLOT_PARENT_NSEC, buf)));
    if (g->type == TYPE_NSEC3)
        look_nsec3(g);
    struct bytes ancestor = name_bytes(&g->name);
    for (unsigned depth = g->key.labels; depth-- > 0; ) {
        ancestor = name_parent(ancestor);
        look_below(g, depth, TYPE_NS, ancestor);
        look_below(g, depth, TYPE_DNAME, ancestor);
        look_below(g, depth, RRSLOT_PARENT_NS, ancestor);
        look_shadow(g, ancestor);
    }
}

int cmd_get(const struct options *o)
{
    struct tool_store t = { 0 };
    struct get g = { .o = o, .code = EXIT_FINE };
    if (name_from_text(bytes_of_text(o->args[0]), bytes_of(NULL, 0), &g.name) != OK)
        return tool_fail(EXIT_USAGE, "get: '%s' is no domain name", o->args[0]);
    if (type_from_text(o->args[1], &g.type) != OK || rrtype_is_meta(g.type))
        return tool_fail(EXIT_USAGE, "get: '%s' is no type that a zone may hold", o->args[1]);
    name_lower(g.name.wire, g.name.len);
    if (rrkey_of_name(name_bytes(&g.name), &g.key) != OK)
        return tool_fail(EXIT_USAGE, "get: '%s' is no domain name", o->args[0]);
    int code = tool_open(&t, o->dir);
    if (code == EXIT_FINE) {
        g.view = t.view;
        look_everywhere(&g);
        code = g.code;
        if (code == EXIT_FINE && g.found == 0)
            code = tool_fail(EXIT_DATA, "no such RRset: %s %s%s", o->args[0], o->args[1],
                             g.type == TYPE_RRSIG ? " (signatures are stored with the RRset that they cover)" : "");
    }
    tool_close(&t);
    return tool_done(code);
}
