#include "tools/loadlist.h"

#include "base/file.h"
#include "wire/name.h"

#include <stdlib.h>

#define LIST_FILE_MAX ((size_t)1 << 30)

void loadlist_init(struct loadlist *l)
{
    *l = (struct loadlist){ 0 };
    arena_init(&l->arena);
}

void loadlist_release(struct loadlist *l)
{
    free(l->zones);
    arena_release(&l->arena);
}

static enum err add(struct loadlist *l, struct bytes origin, struct bytes file, struct fault *fault)
{
    struct name name;
    if (origin.len == 0 || file.len == 0)
        return fault_set(fault, ERR_BAD, "%s is missing", origin.len == 0 ? "the origin" : "the file");
    if (memchr(origin.ptr, 0, origin.len) != NULL || memchr(file.ptr, 0, file.len) != NULL
        || name_from_text(origin, bytes_of(NULL, 0), &name) != OK)
        return fault_set(fault, ERR_BAD, "'%.*s' is no domain name", (int)(origin.len < 300 ? origin.len : 300),
                         (const char *)origin.ptr);
    if (l->n == l->cap) {
        size_t cap = l->cap == 0 ? 64 : l->cap * 2;
        struct load_zone *more = realloc(l->zones, cap * sizeof *more);
        if (more == NULL)
            return fault_set(fault, ERR_NOMEM, "out of memory");
        l->zones = more;
        l->cap = cap;
    }
    char *both = arena_take(&l->arena, origin.len + file.len + 2);
    if (both == NULL)
        return fault_set(fault, ERR_NOMEM, "out of memory");
    memcpy(both, origin.ptr, origin.len);
    both[origin.len] = '\0';
    memcpy(both + origin.len + 1, file.ptr, file.len);
    both[origin.len + 1 + file.len] = '\0';
    l->zones[l->n++] = (struct load_zone){ .origin = both, .file = both + origin.len + 1 };
    return OK;
}

MUST_USE enum err loadlist_argument(struct loadlist *l, const char *argument, struct fault *fault)
{
    struct fault why = { "" };
    const char *equals = strchr(argument, '=');
    if (equals == NULL)
        return fault_set(fault, ERR_BAD, "'%.300s' is not ORIGIN=FILE", argument);
    enum err err = add(l, bytes_of(argument, (size_t)(equals - argument)), bytes_of_text(equals + 1), &why);
    return err == OK ? OK : fault_set(fault, err, "'%.200s': %.250s", argument, why.text);
}

static bool blank(uint8_t c) { return c == ' ' || c == '\t' || c == '\r'; }

static enum err list_line(struct loadlist *l, struct bytes line, struct fault *fault)
{
    while (line.len > 0 && blank(line.ptr[line.len - 1]))
        line.len--;
    while (line.len > 0 && blank(line.ptr[0]))
        line = bytes_of(line.ptr + 1, line.len - 1);
    if (line.len == 0 || line.ptr[0] == '#')
        return OK;
    size_t word = 0;
    while (word < line.len && !blank(line.ptr[word]))
        word++;
    size_t file = word;
    while (file < line.len && blank(line.ptr[file]))
        file++;
    return add(l, bytes_of(line.ptr, word), bytes_of(line.ptr + file, line.len - file), fault);
}

MUST_USE enum err loadlist_file(struct loadlist *l, const char *path, struct fault *fault)
{
    struct bytes text;
    struct fault why = { "" };
    size_t number = 0;
    enum err err = file_read(path, LIST_FILE_MAX, &text, fault);
    if (err != OK)
        return err;
    struct bytes rest = text;
    while (err == OK && rest.len > 0) {
        const uint8_t *end = memchr(rest.ptr, '\n', rest.len);
        size_t len = end != NULL ? (size_t)(end - rest.ptr) : rest.len, step = end != NULL ? len + 1 : len;
        number++;
        if ((err = list_line(l, bytes_of(rest.ptr, len), &why)) != OK)
            err = fault_set(fault, err, "%.200s:%zu: %.250s (a line is: ORIGIN FILE)", path, number, why.text);
        rest = bytes_of(rest.ptr + step, rest.len - step);
    }
    free((void *)(uintptr_t)text.ptr);
    return err;
}

static int by_origin(const void *a, const void *b)
{
    return bytes_compare(name_bytes(a), name_bytes(b));
}

MUST_USE enum err loadlist_check(const struct loadlist *l, struct fault *fault)
{
    char text[NAME_TEXT_MAX];
    enum err err = OK;
    struct name *names = malloc((l->n > 0 ? l->n : 1) * sizeof *names);
    if (names == NULL)
        return fault_set(fault, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < l->n && err == OK; i++) {
        err = name_from_text(bytes_of_text(l->zones[i].origin), bytes_of(NULL, 0), &names[i]);
        if (err == OK)
            name_lower(names[i].wire, names[i].len);
    }
    if (err == OK)
        qsort(names, l->n, sizeof *names, by_origin);
    for (size_t i = 1; i < l->n && err == OK; i++)
        if (bytes_equal(name_bytes(&names[i - 1]), name_bytes(&names[i])))
            err = fault_set(fault, ERR_EXISTS, "zone %.480s is given twice",
                            name_text(text, sizeof text, name_bytes(&names[i])));
    free(names);
    return err;
}
