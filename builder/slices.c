/* A large zone file read in slices, by whichever thread has time. Where an entry begins is a guess (a line that begins
 * like an owner), and so is that nothing in a slice changes what later ones mean. Both are checked afterwards: a slice that
 * begins at an entry and reads to its end without any complaint or directive ends at an entry too, and the next one began
 * there. If that does not hold from the first to the last, all of it is thrown away and the text is read in one go. */
#include "builder/reader.h"
#include "builder/records.h"

#include <malloc.h>
#include <stdlib.h>

#define SLICE ((size_t)512 << 10)
#define SLICED_LEAST (4 * SLICE)        /* a shorter text is not worth it */
#define SLICES_MAX 256

struct slice { struct bytes text; struct zone zone; struct complaints c; uint32_t lines; bool good; };
struct slices { const struct reader *r; const struct source *src; struct slice *v; size_t n; };

/* --- where to cut --------------------------------------------------------------------------------------------- */
static bool begins_owner(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '*' || c == '@';
}

/* The first line behind `from` that begins like an entry; NULL: none. */
static const uint8_t *next_entry(const uint8_t *from, const uint8_t *end)
{
    const uint8_t *p = from;
    while (p < end && (p = memchr(p, '\n', (size_t)(end - p))) != NULL && ++p < end)
        if (begins_owner(*p))
            return p;
    return NULL;
}

static void cut(struct slices *s)
{
    const uint8_t *p = s->src->scan.p, *end = s->src->scan.end;
    size_t size = (size_t)(end - p) / SLICES_MAX + SLICE;
    while (p < end) {
        const uint8_t *to = (size_t)(end - p) > size ? next_entry(p + size, end) : NULL;
        to = to == NULL || s->n + 1 == SLICES_MAX ? end : to;
        s->v[s->n++].text = bytes_of(p, (size_t)(to - p));
        p = to;
    }
}

/* --- reading -------------------------------------------------------------------------------------------------- */
static void read_slice(void *arg, size_t piece, unsigned who)
{
    struct slices *all = arg;
    struct slice *s = &all->v[piece];
    struct source src = *all->src;
    struct reader *r = zone_reader_open(&s->zone, &s->c);
    (void)who;
    zone_init(&s->zone, name_bytes(&all->r->z->apex), all->r->z->source);
    if (r == NULL)
        return;
    r->is_slice = r->has_default = true;
    r->ttl_default = all->r->ttl_default;
    scan_init(&src.scan, s->text, 1);
    s->good = reader_entries(r, &src) == OK && s->c.errors_n == 0 && s->c.warnings_n == 0 && src.scan.p == src.scan.end;
    s->lines = src.scan.line - 1;
    free(r);
}

/* --- all of it ------------------------------------------------------------------------------------------------ */
static enum err take_slices(struct zone *z, struct slices *s, uint32_t line)
{
    size_t n = z->n;
    for (size_t i = 0; i < s->n; i++)
        n += s->v[i].zone.n;
    struct zone_rr *rr = realloc(z->rr, n * sizeof *rr);
    if (rr == NULL)
        return ERR_NOMEM;
    z->rr = rr;
    z->cap = n;
    for (size_t i = 0; i < s->n; i++) {
        struct slice *part = &s->v[i];
        for (size_t k = 0; k < part->zone.n; k++) {
            rr[z->n] = part->zone.rr[k];
            rr[z->n++].line += line - 1;
        }
        line += part->lines;
        arena_join(&z->arena, &part->zone.arena);
        zone_release(&part->zone);
    }
    return OK;
}

enum err read_slices(struct reader *r, struct source *src, bool *done)
{
    struct slices s = { .r = r, .src = src };
    enum err err = OK;
    *done = false;
    if (crew_size(r->crew) < 2 || (size_t)(src->scan.end - src->scan.p) < SLICED_LEAST || !r->has_default)
        return OK;
    if ((s.v = calloc(SLICES_MAX, sizeof *s.v)) == NULL)
        return ERR_NOMEM;
    cut(&s);
    struct task task = { .run = read_slice, .arg = &s, .pieces = s.n };
    crew_run(r->crew, &task);
    *done = true;
    for (size_t i = 0; i < s.n; i++)
        *done &= s.v[i].good;
    if (*done)
        err = take_slices(r->z, &s, src->scan.line);
    for (size_t i = 0; i < s.n; i++)
        zone_release(&s.v[i].zone);
    free(s.v);
    (void)malloc_trim(0);       /* the slices' own lists are gone, and large */
    return err;
}
