/* The records of a zone, the complaints about it, and lists of operations: memory only. */
#include "builder/records.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void zone_init(struct zone *z, struct bytes apex, const char *source)
{
    *z = (struct zone){ 0 };
    arena_init(&z->arena);
    zone_restart(z, apex, source);
}

void zone_restart(struct zone *z, struct bytes apex, const char *source)
{
    arena_reset(&z->arena);
    z->n = 0;
    z->includes = false;
    z->source = source;
    z->apex.len = (uint8_t)apex.len;
    memcpy(z->apex.wire, apex.ptr, apex.len);
    name_lower(z->apex.wire, apex.len);
}

void zone_release(struct zone *z)
{
    arena_release(&z->arena);
    free(z->rr);
    z->rr = NULL;
    z->n = z->cap = 0;
}

static bool grow(struct zone *z)
{
    size_t cap = z->cap == 0 ? 64 : z->cap * 2;
    struct zone_rr *rr = realloc(z->rr, cap * sizeof *rr);
    if (rr == NULL)
        return false;
    z->rr = rr;
    z->cap = cap;
    return true;
}

enum err zone_put(struct zone *z, struct bytes owner, uint16_t type, uint32_t ttl, struct bytes rdata, uint32_t line)
{
    struct bytes copy = arena_copy(&z->arena, rdata);
    if ((copy.ptr == NULL && rdata.len > 0) || (z->n == z->cap && !grow(z)))
        return ERR_NOMEM;
    z->rr[z->n++] = (struct zone_rr){ owner, copy, ttl, type, line };
    return OK;
}

enum err zone_add(struct zone *z, struct bytes owner, uint16_t type, uint32_t ttl, struct bytes rdata, uint32_t line)
{
    struct bytes last = z->n > 0 ? z->rr[z->n - 1].owner : (struct bytes){ 0 };
    if (z->n > 0 && bytes_equal(last, owner))                   /* records come owner by owner: share the name */
        return zone_put(z, last, type, ttl, rdata, line);
    struct bytes copy = arena_copy(&z->arena, owner);
    if (copy.ptr == NULL)
        return ERR_NOMEM;
    name_lower((uint8_t *)(uintptr_t)copy.ptr, copy.len);
    return zone_put(z, copy, type, ttl, rdata, line);
}

/* --- complaints ----------------------------------------------------------------------------------------------- */
static void complain(struct complaint *list, unsigned *n, uint32_t line, const char *format, va_list args)
{
    if (*n < COMPLAINTS_MAX) {
        struct complaint *at = &list[*n];
        at->line = line;
        (void)vsnprintf(at->text, sizeof at->text, format, args);
        for (char *p = at->text; *p != '\0'; p++)               /* words of a file may be anything */
            if ((uint8_t)*p < 0x20 || (uint8_t)*p > 0x7e)
                *p = '?';
    }
    ++*n;
}

void complain_error(struct complaints *c, uint32_t line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    complain(c->errors, &c->errors_n, line, format, args);
    va_end(args);
}

void complain_warning(struct complaints *c, uint32_t line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    complain(c->warnings, &c->warnings_n, line, format, args);
    va_end(args);
}

static void join(struct complaint *list, unsigned *n, const struct complaint *more, unsigned more_n)
{
    for (unsigned i = 0; i < more_n && *n + i < COMPLAINTS_MAX; i++)
        list[*n + i] = more[i];
    *n += more_n;
}

void complaints_join(struct complaints *c, const struct complaints *later)
{
    join(c->errors, &c->errors_n, later->errors, later->errors_n);
    join(c->warnings, &c->warnings_n, later->warnings, later->warnings_n);
}

/* --- operations ----------------------------------------------------------------------------------------------- */
void op_list_init(struct op_list *l)
{
    *l = (struct op_list){ 0 };
    arena_init(&l->arena);
}

void op_list_restart(struct op_list *l)
{
    arena_reset(&l->arena);
    l->n = 0;
}

void op_list_release(struct op_list *l)
{
    arena_release(&l->arena);
    free(l->ops);
    l->ops = NULL;
    l->n = l->cap = 0;
}

enum err op_list_put(struct op_list *l, const struct op *op)
{
    if (l->n == l->cap) {
        size_t cap = l->cap == 0 ? 64 : l->cap * 2;
        struct op *ops = realloc(l->ops, cap * sizeof *ops);
        if (ops == NULL)
            return ERR_NOMEM;
        l->ops = ops;
        l->cap = cap;
    }
    l->ops[l->n++] = *op;
    return OK;
}

enum err op_list_add(struct op_list *l, const struct op *op)
{
    struct op copy = { op->kind, op->ns, arena_copy(&l->arena, op->key), arena_copy(&l->arena, op->value) };
    if ((copy.key.ptr == NULL && op->key.len > 0) || (copy.value.ptr == NULL && op->value.len > 0))
        return ERR_NOMEM;
    return op_list_put(l, &copy);
}
