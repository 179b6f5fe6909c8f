/* What a catalog zone's records say. */
#include "builder/catalog.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define LABEL_MAX 63

/* <id>.zones and what stands below it, as far as it was read. */
struct catalog_node {
    uint8_t id[LABEL_MAX];
    uint8_t id_len;                     /* 0: none yet */
    struct name apex, coo;
    unsigned ptrs, coos;
    struct bytes groups[CATALOG_GROUPS_MAX];
    size_t groups_n;
};

static bool broken(struct catalog *c, const char *format, ...)
{
    va_list args;
    if (c->broken)
        return false;
    c->broken = true;
    va_start(args, format);
    (void)vsnprintf(c->why, sizeof c->why, format, args);
    va_end(args);
    return false;
}

static bool no_memory(struct catalog *c)
{
    c->err = ERR_NOMEM;
    return false;
}

void catalog_init(struct catalog *c, struct bytes apex)
{
    *c = (struct catalog){ .err = OK };
    c->apex.len = (uint8_t)apex.len;
    memcpy(c->apex.wire, apex.ptr, apex.len);
    name_lower(c->apex.wire, c->apex.len);
    arena_init(&c->arena);
}

void catalog_release(struct catalog *c)
{
    arena_release(&c->arena);
    free(c->v);
    free(c->node);
    c->v = NULL;
    c->node = NULL;
    c->n = 0;
}

/* --- text ------------------------------------------------------------------------------------------------------------- */
const char *catalog_id_text(char out[CATALOG_ID_TEXT], struct bytes id)
{
    char text[NAME_TEXT_MAX];
    struct name n = { .len = (uint8_t)(id.len + 2) };
    n.wire[0] = (uint8_t)id.len;
    memcpy(n.wire + 1, id.ptr, id.len);
    n.wire[id.len + 1] = 0;
    (void)name_text(text, sizeof text, name_bytes(&n));
    (void)snprintf(out, CATALOG_ID_TEXT, "%.*s", (int)strlen(text) - 1, text);
    return out;
}

static struct bytes node_id(const struct catalog *c) { return bytes_of(c->node->id, c->node->id_len); }

/* --- members ------------------------------------------------------------------------------------------------------------ */
static bool room(struct catalog *c)
{
    if (c->n < c->cap)
        return true;
    size_t cap = c->cap == 0 ? 64 : 2 * c->cap;
    struct catalog_member *more = realloc(c->v, cap * sizeof *more);
    if (more == NULL)
        return no_memory(c);
    c->v = more;
    c->cap = cap;
    return true;
}

/* The node that was read is whole: it is a member, or nothing. */
static bool node_end(struct catalog *c)
{
    struct catalog_node *n = c->node;
    struct catalog_member m = { .groups_n = n->groups_n };
    bool member = n->id_len > 0 && n->ptrs > 0;
    if (!member)
        return true;
    if (c->n == CATALOG_MEMBERS_MAX)
        return broken(c, "it has more than %d members", CATALOG_MEMBERS_MAX);
    m.apex = arena_copy(&c->arena, name_bytes(&n->apex));
    m.id = arena_copy(&c->arena, node_id(c));
    m.coo = n->coos > 0 ? arena_copy(&c->arena, name_bytes(&n->coo)) : bytes_of(NULL, 0);
    struct bytes *groups = n->groups_n > 0 ? arena_take(&c->arena, n->groups_n * sizeof *groups) : NULL;
    if (m.apex.ptr == NULL || m.id.ptr == NULL || (n->coos > 0 && m.coo.ptr == NULL) || (n->groups_n > 0 && groups == NULL) || !room(c))
        return no_memory(c);
    for (size_t i = 0; i < n->groups_n; i++)
        groups[i] = n->groups[i];
    m.groups = groups;
    c->v[c->n++] = m;
    return true;
}

static bool node_begin(struct catalog *c, struct bytes id)
{
    if (bytes_equal(node_id(c), id))
        return true;
    if (!node_end(c))
        return false;
    *c->node = (struct catalog_node){ .id_len = (uint8_t)id.len };
    memcpy(c->node->id, id.ptr, id.len);
    return true;
}

/* --- records ------------------------------------------------------------------------------------------------------------ */
static bool take_version(struct catalog *c, struct bytes rdata)
{
    static const uint8_t two[] = { 1, '2' };
    if (++c->versions > 1)
        return broken(c, "version has more than one TXT record");
    c->version_good = bytes_equal(rdata, bytes_of(two, sizeof two));
    return c->version_good || broken(c, "version is not \"2\"");
}

static bool take_ptr(struct catalog *c, const struct zone_rr *rr, struct name *to, unsigned *count, const char *what)
{
    char id[CATALOG_ID_TEXT];
    struct rd r = rd_over(rr->rdata);
    struct bytes name;
    if (name_read(&r, &name) != OK || !rd_done(&r))
        return broken(c, "the PTR record of %s%s.zones does not read", what, catalog_id_text(id, node_id(c)));
    if (++*count > 1)
        return broken(c, "%s%s.zones has more than one PTR record", what, catalog_id_text(id, node_id(c)));
    to->len = (uint8_t)name.len;
    memcpy(to->wire, name.ptr, name.len);
    name_lower(to->wire, to->len);
    return true;
}

/* A record's strings are one text. */
static bool take_group(struct catalog *c, struct bytes rdata)
{
    struct catalog_node *n = c->node;
    struct rd r = rd_over(rdata);
    uint8_t *text = arena_take(&c->arena, rdata.len + 1);
    size_t len = 0;
    if (text == NULL)
        return no_memory(c);
    while (!r.bad && !rd_done(&r)) {
        struct bytes part = rd_take(&r, rd_u8(&r));
        if (part.len > 0)
            memcpy(text + len, part.ptr, part.len);
        len += part.len;
    }
    if (!r.bad && n->groups_n < CATALOG_GROUPS_MAX)
        n->groups[n->groups_n++] = bytes_of(text, len);
    return true;
}

/* The labels of a name above the apex, from the apex on: those of interest are the last four. */
struct above { struct bytes label[4]; unsigned n; };

static struct above above_apex(struct bytes owner, struct bytes apex)
{
    struct above a = { .n = name_labels(owner) - name_labels(apex) };
    const uint8_t *at = owner.ptr;
    for (unsigned i = a.n; i-- > 0; at += 1 + *at)
        if (i < 4)
            a.label[i] = bytes_of(at + 1, *at);
    return a;
}

static bool is_label(struct bytes label, const char *text) { return bytes_equal(label, bytes_of_text(text)); }

bool catalog_add(struct catalog *c, const struct zone_rr *rr)
{
    if (c->err != OK || c->broken)
        return false;
    if (c->node == NULL && (c->node = calloc(1, sizeof *c->node)) == NULL)
        return no_memory(c);
    if (!name_under(rr->owner, name_bytes(&c->apex)))
        return true;
    struct above a = above_apex(rr->owner, name_bytes(&c->apex));
    if (a.n == 1 && rr->type == TYPE_TXT && is_label(a.label[0], "version"))
        return take_version(c, rr->rdata);
    if (a.n < 2 || a.n > 3 || !is_label(a.label[0], "zones"))
        return true;
    if (!node_begin(c, a.label[1]))
        return false;
    if (a.n == 2)
        return rr->type != TYPE_PTR || take_ptr(c, rr, &c->node->apex, &c->node->ptrs, "");
    if (rr->type == TYPE_PTR && is_label(a.label[2], "coo"))
        return take_ptr(c, rr, &c->node->coo, &c->node->coos, "coo.");
    return rr->type != TYPE_TXT || !is_label(a.label[2], "group") || take_group(c, rr->rdata);
}

/* --- the end ------------------------------------------------------------------------------------------------------------ */
static int by_apex(const void *a, const void *b)
{
    return name_compare(((const struct catalog_member *)a)->apex, ((const struct catalog_member *)b)->apex);
}

static void find_doubles(struct catalog *c)
{
    char name[NAME_TEXT_MAX], one[CATALOG_ID_TEXT], two[CATALOG_ID_TEXT];
    for (size_t i = 1; i < c->n && !c->broken; i++)
        if (bytes_equal(c->v[i].apex, c->v[i - 1].apex))
            (void)broken(c, "%.300s is listed twice: as %s.zones and as %s.zones", name_text(name, sizeof name, c->v[i].apex),
                         catalog_id_text(one, c->v[i - 1].id), catalog_id_text(two, c->v[i].id));
}

MUST_USE enum err catalog_end(struct catalog *c)
{
    if (c->err == OK && !c->broken && c->node != NULL)
        (void)node_end(c);
    if (c->err == OK && !c->broken && c->versions == 0)
        (void)broken(c, "it has no version: no TXT record \"2\" at version");
    if (c->err == OK && !c->broken && c->n > 1) {
        qsort(c->v, c->n, sizeof *c->v, by_apex);
        find_doubles(c);
    }
    free(c->node);
    c->node = NULL;
    if (c->broken)
        c->n = 0;
    return c->err;
}

const struct catalog_member *catalog_find(const struct catalog *c, struct bytes apex)
{
    const struct catalog_member key = { .apex = apex };
    return c->n == 0 ? NULL : bsearch(&key, c->v, c->n, sizeof *c->v, by_apex);
}

static bool take_record(void *arg, const struct zone_rr *rr) { return catalog_add(arg, rr); }

MUST_USE enum err catalog_read(struct bytes apex, struct view *v, struct catalog *c, struct fault *fault)
{
    struct zone_header h;
    catalog_init(c, apex);
    enum err err = zone_header_get(apex, v, &h);
    if (err == OK && h.state == ZONE_EMPTY)
        err = ERR_NOTFOUND;
    if (err == OK)
        err = zone_walk(apex, v, take_record, c, fault);
    return err == OK ? catalog_end(c) : err;
}
