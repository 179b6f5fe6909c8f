/* azoth stat --json */
#include "tools/rrtext.h"
#include "tools/stat_parts.h"

static void number(json_t *to, const char *key, uint64_t value)
{
    (void)json_object_set_new(to, key, json_integer((json_int_t)value));
}

static void real(json_t *to, const char *key, double value)
{
    (void)json_object_set_new(to, key, json_real(value));
}

static json_t *json_tree(const struct stat *s, const struct space *file, const struct space_tree *t)
{
    struct stat_tree d = stat_tree_of(file, t);
    json_t *v = json_object();
    number(v, "entries", t->entries);
    number(v, "branch_pages", t->branch_pages);
    number(v, "leaf_pages", t->leaf_pages);
    number(v, "overflow_pages", t->overflow_pages);
    number(v, "page_size", file->page_size);
    number(v, "page_bytes", d.bytes);
    if (t->kind == SPACE_NAMESPACE || t->kind == SPACE_LOG)
        real(v, "bytes_per_entry", stat_bytes_per(d.bytes, t->entries));
    if (!s->deep || !stat_tree_walked(t))
        return v;
    number(v, "key_bytes", d.keys);
    number(v, "value_bytes", d.values);
    number(v, "overhead_bytes", d.own);
    real(v, "leaf_fill_percent", d.fill);
    return v;
}

static json_t *json_namespaces(const struct stat *s)
{
    json_t *all = json_object();
    for (size_t i = 0; i < s->data.trees_n; i++) {
        const struct space_tree *t = &s->data.trees[i];
        if (t->kind != SPACE_NAMESPACE)
            continue;
        json_t *v = json_tree(s, &s->data, t);
        if (s->deep && strcmp(t->name, "dns") == 0) {
            number(v, "records", s->records);
            real(v, "bytes_per_record", stat_bytes_per(space_tree_pages(t) * s->data.page_size, s->records));
        }
        (void)json_object_set_new(all, t->name, v);
    }
    return all;
}

/* The parts that every file has; with the trees that carry the user's data they add up to used_bytes. */
static json_t *json_file(const struct stat *s, const struct space *f)
{
    json_t *v = json_object(), *books = json_object();
    number(v, "map_bytes", f->map_bytes);
    number(v, "used_bytes", f->file_pages * f->page_size);
    number(v, "free_bytes", f->free_pages * f->page_size);
    number(v, "header_bytes", f->header_pages * f->page_size);
    number(v, "newer_bytes", f->newer_pages * f->page_size);
    for (size_t i = 0; i < f->trees_n; i++)
        if (f->trees[i].kind != SPACE_NAMESPACE && f->trees[i].kind != SPACE_LOG)
            (void)json_object_set_new(books, stat_tree_name(&f->trees[i]), json_tree(s, f, &f->trees[i]));
    (void)json_object_set_new(v, "bookkeeping", books);
    return v;
}

static json_t *json_data(const struct stat *s)
{
    const struct space *f = &s->data;
    json_t *v = json_file(s, f);
    real(v, "map_percent", stat_percent((f->file_pages - f->free_pages) * f->page_size, f->map_bytes));
    real(v, "fragmentation_percent", stat_percent(f->free_pages, f->file_pages));
    real(v, "bytes_per_entry", stat_bytes_per(f->file_pages * f->page_size, s->t->head.keys));
    if (s->deep) {
        number(v, "compacted_bytes", space_compacted_pages(f) * f->page_size);
        number(v, "reclaimable_bytes", stat_reclaimable(f));
    }
    return v;
}

static json_t *json_log(const struct stat *s)
{
    json_t *v = json_file(s, &s->log.space);
    number(v, "first", s->log.first);
    number(v, "last", s->log.last);
    number(v, "records", s->log.last > 0 ? s->log.last - s->log.first + 1 : 0);
    if (s->deep)
        number(v, "record_bytes", s->log.record_bytes);
    for (size_t i = 0; i < s->log.space.trees_n; i++)
        if (s->log.space.trees[i].kind == SPACE_LOG)
            (void)json_object_set_new(v, "pieces", json_tree(s, &s->log.space, &s->log.space.trees[i]));
    return v;
}

/* null: this user may not read them. */
static json_t *json_book(const struct stat *s)
{
    const struct source_figures *f = &s->book;
    if (s->book_closed)
        return json_null();
    json_t *v = json_object();
    number(v, "zones", f->zones);
    number(v, "rrsets", f->rows);
    number(v, "events", f->events);
    number(v, "keys", f->keys);
    number(v, "used_bytes", f->used_bytes);
    number(v, "free_bytes", f->free_bytes);
    number(v, "map_bytes", f->map_bytes);
    return v;
}

int stat_print_json(const struct stat *s)
{
    const struct head *h = &s->t->head;
    json_t *v = json_object();
    (void)json_object_set_new(v, "dir", json_words(store_dir(s->t->store)));
    (void)json_object_set_new(v, "role", json_string(store_role(s->t->store) == STORE_CORE ? "core" : "edge"));
    (void)json_object_set_new(v, "cluster", json_hex(bytes_of(store_cluster(s->t->store), CLUSTER_LEN)));
    number(v, "epoch", h->epoch);
    number(v, "applied", h->seq);
    number(v, "head", s->head);
    number(v, "time_ms", h->time_ms);
    (void)json_object_set_new(v, "digest", json_hex(bytes_of(s->digest, DIGEST_LEN)));
    number(v, "entries", h->keys);
    number(v, "bytes", h->bytes);
    number(v, "zones", s->zones);
    (void)json_object_set_new(v, "namespaces", json_namespaces(s));
    (void)json_object_set_new(v, "data", json_data(s));
    (void)json_object_set_new(v, "log", json_log(s));
    if (s->has_book)
        (void)json_object_set_new(v, "records", json_book(s));
    number(v, "readers", s->store.readers);
    number(v, "oldest_reader_lag", s->store.oldest_reader_lag);
    number(v, "generation", s->store.generation);
    return json_line(v) == OK ? EXIT_FINE : tool_fail(EXIT_USAGE, "out of memory");
}
