/* What a zone holds below a cut or a DNAME: kept inside the blob of that cut or DNAME, owner by owner. */
#include "builder/build.h"

#include <stdlib.h>

/* The records of the lowest type above `last` at o, as they go into an entry (types ascending); false: no more. */
static bool next_type(const struct layout *l, const struct owner *o, uint32_t last, size_t *from, size_t *to)
{
    bool found = false;
    for (size_t at = o->first, end; at < o->first + o->n; at = end) {
        uint16_t type = l->z->rr[at].type;
        end = run_end(l->z, o, at);
        if (type <= last || layout_skips(o, type) || (found && type >= l->z->rr[*from].type))
            continue;
        if (type == TYPE_RRSIG && !layout_has_orphans(l, o))
            continue;
        *from = at;
        *to = end;
        found = true;
    }
    return found;
}

/* At the cut itself these stand in keys of their own. */
static bool at_cut(uint16_t type) { return type == TYPE_NS || type == TYPE_DS || type == TYPE_NSEC; }

static unsigned rrsets_of(const struct layout *l, const struct owner *o, bool is_cut)
{
    unsigned n = 0;
    size_t from, to;
    for (uint32_t last = 0; next_type(l, o, last, &from, &to); last = l->z->rr[from].type)
        n += !(is_cut && at_cut(l->z->rr[from].type));
    return n;
}

unsigned below_count(const struct layout *l, size_t i, size_t j, bool cut)
{
    unsigned n = 0;
    for (size_t k = cut ? i : i + 1; k < j; k++)
        n += rrsets_of(l, &l->owners->v[k], k == i) > 0;
    return n;
}

enum err layout_stray(struct layout *l, struct bytes name, uint32_t line)
{
    if (l->stray_n == l->stray_cap) {
        size_t cap = l->stray_cap == 0 ? 64 : l->stray_cap * 2;
        struct bytes *names = realloc(l->stray, cap * sizeof *names);
        if (names == NULL)
            return ERR_NOMEM;
        l->stray = names;
        uint32_t *lines = realloc(l->stray_line, cap * sizeof *lines);
        if (lines == NULL)
            return ERR_NOMEM;
        l->stray_line = lines;
        l->stray_cap = cap;
    }
    l->stray[l->stray_n] = name;
    l->stray_line[l->stray_n++] = line;
    return OK;
}

static enum err note(struct layout *l, const struct owner *o, const struct zone_rr *rr, bool cut, uint16_t ns_offset)
{
    char text[NAME_TEXT_MAX];
    if (!cut) {
        complain_warning(l->c, rr->line, "type %u at %s lies below a DNAME and is not served", rr->type,
                         name_text(text, sizeof text, o->name));
        return OK;
    }
    if (rr->type == TYPE_A || rr->type == TYPE_AAAA)
        return ns_offset != 0 ? OK : layout_stray(l, o->name, rr->line);
    complain_warning(l->c, rr->line, "type %u at %s lies below a delegation and is not served", rr->type,
                     name_text(text, sizeof text, o->name));
    return OK;
}

static enum err put_entry(struct layout *l, struct wr *w, const struct owner *top, const struct owner *o,
                          struct bytes ns)
{
    bool cut = ns.len > 0;
    unsigned n = rrsets_of(l, o, o == top);
    uint16_t ns_offset = cut ? rrset_ns_offset(ns, top->name, o->name) : 0;
    size_t from, to;
    if (n == 0)
        return OK;
    msg_put_array(w, n + 2);
    msg_put_bin(w, bytes_of(o->name.ptr, o->name.len - top->name.len));
    msg_put_uint(w, ns_offset);
    for (uint32_t last = 0; next_type(l, o, last, &from, &to) && !w->full; last = l->z->rr[from].type) {
        const struct zone_rr *rr = &l->z->rr[from];
        if (o == top && at_cut(rr->type))
            continue;
        enum err err = rr->type == TYPE_RRSIG ? layout_orphans(l, w, o, false) : layout_rrset(l, w, o, from, to, false);
        if (err == OK)
            err = note(l, o, rr, cut, ns_offset);
        if (err != OK)
            return err;
    }
    return OK;
}

enum err below_write(struct layout *l, struct wr *w, size_t i, size_t j, struct bytes ns, unsigned count)
{
    struct bytes kept = arena_copy(&l->scratch, ns);            /* ns points into w, which goes on being written */
    if (ns.len > 0 && kept.ptr == NULL)
        return ERR_NOMEM;
    msg_put_nil(w);
    msg_put_array(w, count);
    for (size_t k = ns.len > 0 ? i : i + 1; k < j && !w->full; k++) {
        enum err err = put_entry(l, w, &l->owners->v[i], &l->owners->v[k], kept);
        if (err != OK)
            return err;
    }
    return OK;
}

/* --- glue of other cuts --------------------------------------------------------------------------------------- */
static int by_name(const void *a, const void *b)
{
    return bytes_compare(*(const struct bytes *)a, *(const struct bytes *)b);
}

/* All NS targets of the zone, lower case, sorted; malloc'ed. */
static struct bytes *ns_targets(struct layout *l, size_t *n)
{
    size_t count = 0;
    for (size_t i = 0; i < l->z->n; i++)
        count += l->z->rr[i].type == TYPE_NS;
    struct bytes *v = malloc((count + 1) * sizeof *v);
    *n = 0;
    for (size_t i = 0; i < l->z->n && v != NULL; i++) {
        if (l->z->rr[i].type != TYPE_NS)
            continue;
        struct bytes lower = arena_copy(&l->scratch, l->z->rr[i].rdata);
        if (lower.ptr == NULL) {
            free(v);
            return NULL;
        }
        name_lower((uint8_t *)(uintptr_t)lower.ptr, lower.len);
        v[(*n)++] = lower;
    }
    if (v != NULL)
        qsort(v, *n, sizeof *v, by_name);
    return v;
}

enum err below_warn(struct layout *l)
{
    char text[NAME_TEXT_MAX];
    size_t n;
    if (l->stray_n == 0)
        return OK;
    struct bytes *targets = ns_targets(l, &n);
    if (targets == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < l->stray_n; i++)
        if (bsearch(&l->stray[i], targets, n, sizeof *targets, by_name) == NULL)
            complain_warning(l->c, l->stray_line[i], "address at %s lies below a delegation and is glue of none",
                             name_text(text, sizeof text, l->stray[i]));
    free(targets);
    arena_reset(&l->scratch);
    return OK;
}
