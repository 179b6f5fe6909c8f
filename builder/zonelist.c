#include "builder/zonelist.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define YOUNG_MS 2000           /* the coarsest times of file systems in use */
#define LIST_FILE "zones.list"
#define LIST_BYTES_MAX ((size_t)1 << 30)
static const char list_head[] = "# zones that came from core.zones; kept by azoth-core\n";

void zonelist_init(struct zonelist *l)
{
    *l = (struct zonelist){ 0 };
    arena_init(&l->arena);
}

void zonelist_release(struct zonelist *l)
{
    free(l->zones);
    arena_release(&l->arena);
    zonelist_init(l);
}

static int by_apex(const void *a, const void *b)
{
    const struct zone_want *x = a, *y = b;
    return bytes_compare(name_bytes(&x->apex), name_bytes(&y->apex));
}

static int by_apex_and_place(const void *a, const void *b)
{
    const struct zone_want *x = a, *y = b;
    int c = by_apex(a, b);
    return c != 0 ? c : (x->place > y->place) - (x->place < y->place);
}

/* Fills *z from text; false: no name. */
static bool want_set(struct zone_want *z, struct bytes text)
{
    *z = (struct zone_want){ .text = NULL };
    if (name_from_text(text, bytes_of(NULL, 0), &z->apex) != OK)
        return false;
    name_lower(z->apex.wire, z->apex.len);
    return true;
}

static enum err keep_texts(struct zonelist *l, struct zone_want *z, const char *file)
{
    char text[NAME_TEXT_MAX];
    z->text = arena_text(&l->arena, name_text(text, sizeof text, name_bytes(&z->apex)));
    z->file = arena_text(&l->arena, file);
    return z->text != NULL && z->file != NULL ? OK : ERR_NOMEM;
}

/* Sorts, and drops all but the first of equal names. */
static void sort_out(struct zonelist *l)
{
    char a[NAME_TEXT_MAX + 16], b[600];
    size_t kept = 0;
    qsort(l->zones, l->n, sizeof *l->zones, by_apex_and_place);
    for (size_t i = 0; i < l->n; i++) {
        if (kept > 0 && by_apex(&l->zones[kept - 1], &l->zones[i]) == 0) {
            log_error("zone.twice", "zone=%s file=%s next=\"this line of core.zones is ignored\"",
                      log_quote(a, sizeof a, l->zones[i].text), log_quote(b, sizeof b, l->zones[i].file));
            continue;
        }
        l->zones[kept++] = l->zones[i];
    }
    l->n = kept;
}

MUST_USE enum err zonelist_take(struct zonelist *l, const struct config_zone *list, size_t n)
{
    char quoted[600];
    if ((l->zones = calloc(n > 0 ? n : 1, sizeof *l->zones)) == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++) {
        struct zone_want *z = &l->zones[l->n];
        if (!want_set(z, bytes_of_text(list[i].name))) {
            log_error("zone.name", "zone=%s err=\"no domain name\" next=\"this line of core.zones is ignored\"",
                      log_quote(quoted, sizeof quoted, list[i].name));
            continue;
        }
        if (keep_texts(l, z, list[i].file) != OK)
            return ERR_NOMEM;
        z->place = i;
        l->n++;
    }
    sort_out(l);
    return OK;
}

struct zone_want *zonelist_find(const struct zonelist *l, struct bytes apex)
{
    struct zone_want key = { .apex.len = (uint8_t)apex.len };
    memcpy(key.apex.wire, apex.ptr, apex.len);
    return l->n == 0 ? NULL : bsearch(&key, l->zones, l->n, sizeof *l->zones, by_apex);
}

void zonelist_carry_over(struct zonelist *l, const struct zonelist *before)
{
    for (size_t i = 0; i < l->n; i++) {
        struct zone_want *z = &l->zones[i];
        const struct zone_want *old = zonelist_find(before, name_bytes(&z->apex));
        if (old == NULL || strcmp(old->file, z->file) != 0)
            continue;
        z->loaded = old->loaded;
        z->mark = old->mark;
        memcpy(z->hash, old->hash, FILE_HASH_LEN);
    }
}

/* --- DIR/zones.list ---------------------------------------------------------------------------------------------- */
static enum err read_lines(struct zonelist *l, struct bytes text, const char *path, struct fault *fault)
{
    size_t lines = 1;
    for (size_t i = 0; i < text.len; i++)
        lines += text.ptr[i] == '\n';
    if ((l->zones = calloc(lines, sizeof *l->zones)) == NULL)
        return ERR_NOMEM;
    for (size_t number = 1; text.len > 0; number++) {
        const uint8_t *end = memchr(text.ptr, '\n', text.len);
        size_t len = end != NULL ? (size_t)(end - text.ptr) : text.len;
        struct zone_want *z = &l->zones[l->n];
        if (len > 0 && text.ptr[0] != '#') {
            if (!want_set(z, bytes_of(text.ptr, len)))
                return fault_set(fault, ERR_BAD, "%s:%zu: no domain name", path, number);
            if (keep_texts(l, z, "") != OK)
                return ERR_NOMEM;
            l->n++;
        }
        text = bytes_of(text.ptr + len + (end != NULL), text.len - len - (end != NULL));
    }
    sort_out(l);
    return OK;
}

MUST_USE enum err zonelist_read(struct zonelist *l, const char *dir, struct fault *fault)
{
    char path[PATH_MAX];
    struct bytes text;
    if (file_path(path, sizeof path, dir, LIST_FILE) != OK)
        return fault_set(fault, ERR_LIMIT, "%s: path is too long", dir);
    enum err err = file_read(path, LIST_BYTES_MAX, &text, fault);
    if (err == ERR_NOTFOUND)
        return OK;
    if (err != OK)
        return err;
    err = read_lines(l, text, path, fault);
    free((void *)(uintptr_t)text.ptr);
    return err;
}

static size_t lines_len(const struct zonelist *l)
{
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++)
        n += strlen(l->zones[i].text) + 1;
    return n;
}

static void put_line(struct wr *w, const struct zone_want *z)
{
    wr_put(w, z->text, strlen(z->text));
    wr_u8(w, '\n');
}

MUST_USE enum err zonelist_write(const struct zonelist *a, const struct zonelist *b, const char *dir,
                                 struct fault *fault)
{
    char path[PATH_MAX];
    size_t cap = sizeof list_head + lines_len(a) + lines_len(b);
    uint8_t *buf = malloc(cap);
    struct wr w = wr_over(buf, cap);
    if (buf == NULL || file_path(path, sizeof path, dir, LIST_FILE) != OK) {
        free(buf);
        return buf == NULL ? ERR_NOMEM : ERR_LIMIT;
    }
    wr_put(&w, list_head, sizeof list_head - 1);
    for (size_t i = 0; i < a->n; i++)
        put_line(&w, &a->zones[i]);
    for (size_t i = 0; i < b->n; i++)
        if (zonelist_find(a, name_bytes(&b->zones[i].apex)) == NULL)
            put_line(&w, &b->zones[i]);
    enum err err = file_replace(path, wr_done(&w), 0644, fault);
    free(buf);
    return err;
}

/* --- files ------------------------------------------------------------------------------------------------------- */
static enum err from_errno(const char *path, struct fault *fault)
{
    return fault_set(fault, file_errno(errno), "%.300s: %s", path, strerror(errno));
}

static int64_t ns_of(const struct timespec *t) { return (int64_t)t->tv_sec * 1000000000 + t->tv_nsec; }

MUST_USE enum err file_mark_take(const char *path, struct file_mark *out, struct fault *fault)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return from_errno(path, fault);
    if (!S_ISREG(st.st_mode))
        return fault_set(fault, ERR_IO, "%.300s is no regular file", path);
    *out = (struct file_mark){ st.st_dev, st.st_ino, st.st_size, ns_of(&st.st_mtim), ns_of(&st.st_ctim), false };
    out->young = out->ctime_ns / 1000000 + YOUNG_MS > (int64_t)clock_wall_ms();
    return OK;
}

bool file_mark_equal(const struct file_mark *a, const struct file_mark *b)
{
    return a->dev == b->dev && a->ino == b->ino && a->size == b->size && a->mtime_ns == b->mtime_ns
        && a->ctime_ns == b->ctime_ns;
}

MUST_USE enum err file_hash(const char *path, uint8_t out[FILE_HASH_LEN], struct fault *fault)
{
    crypto_generichash_state hash;
    uint8_t buf[65536];
    ssize_t n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);      /* not to hang in a pipe's open */
    if (fd < 0)
        return from_errno(path, fault);
    (void)crypto_generichash_init(&hash, NULL, 0, FILE_HASH_LEN);
    while ((n = read(fd, buf, sizeof buf)) > 0 || (n < 0 && errno == EINTR))
        if (n > 0)
            (void)crypto_generichash_update(&hash, buf, (unsigned long long)n);
    enum err err = n < 0 ? from_errno(path, fault) : OK;
    (void)close(fd);
    (void)crypto_generichash_final(&hash, out, FILE_HASH_LEN);
    return err;
}

/* --- names alone -------------------------------------------------------------------------------------------------- */
#define NAME_HASH_LEN 16
struct name_hash { uint8_t h[NAME_HASH_LEN]; };

static struct name_hash hash_name(struct bytes apex)
{
    struct name lower = { .len = (uint8_t)apex.len };
    struct name_hash hash;
    memcpy(lower.wire, apex.ptr, apex.len);
    name_lower(lower.wire, lower.len);
    (void)crypto_generichash(hash.h, sizeof hash.h, lower.wire, lower.len, NULL, 0);
    return hash;
}

static int by_hash(const void *a, const void *b) { return memcmp(a, b, NAME_HASH_LEN); }

MUST_USE enum err name_set_make(struct name_set *out, const struct zonelist *l)
{
    struct name_hash *v = malloc((l->n + 1) * sizeof *v);
    if (v == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < l->n; i++)
        v[i] = hash_name(name_bytes(&l->zones[i].apex));
    qsort(v, l->n, sizeof *v, by_hash);
    *out = (struct name_set){ v, l->n };
    return OK;
}

void name_set_release(struct name_set *s)
{
    free(s->v);
    *s = (struct name_set){ NULL, 0 };
}

bool name_set_has(const struct name_set *s, struct bytes apex)
{
    struct name_hash hash = hash_name(apex);
    return s->n > 0 && bsearch(&hash, s->v, s->n, sizeof hash, by_hash) != NULL;
}
