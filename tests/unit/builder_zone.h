/* For tests of builder/: a store of its own with a committer, zones from text, and what the store then holds. */
#ifndef AZOTH_TESTS_BUILDER_ZONE_H
#define AZOTH_TESTS_BUILDER_ZONE_H

#include "builder/zonefile.h"
#include "replicator/commit.h"
#include "tests/unit/replicator_dir.h"

#include <sodium.h>

struct place { char dir[256]; struct store *store; struct committer *committer; struct view *view; };

static inline void place_open_in(struct place *p, uint64_t map_size)
{
    struct fault fault = { .text = "" };
    struct node_key key;
    dir_make(p->dir, sizeof p->dir, "builder");
    struct store_options o = { .dir = p->dir, .mode = STORE_CREATE, .role = STORE_CORE, .map_size = map_size,
                               .volatile_data = true };
    if (sodium_init() < 0 || store_open(&p->store, &o, &fault) != OK || node_key_make(p->dir, true, &key, &fault) != OK ||
        commit_open(&p->committer, p->store, &key, NULL, NULL, &fault) != OK || view_open(p->store, &p->view, &fault) != OK)
        fail_msg("cannot open a store: %s", fault.text);
}

static inline void place_open(struct place *p) { place_open_in(p, (uint64_t)64 << 20); }

static inline void place_close(struct place *p)
{
    view_close(p->view);
    commit_close(p->committer);
    store_close(p->store);
    dir_remove(p->dir);
}

static inline struct name name_of(const char *text)
{
    struct name name;
    if (name_from_text(bytes_of_text(text), (struct bytes){ 0 }, &name) != OK)
        fail_msg("not a name: %s", text);
    return name;
}

static inline void place_commit(struct place *p, const struct op_list *ops)
{
    struct fault fault = { .text = "" };
    uint64_t seq;
    for (size_t i = 1; i < ops->n; i++)
        if (bytes_compare(ops->ops[i - 1].key, ops->ops[i].key) >= 0)
            fail_msg("ops are not in ascending order");
    if (commit_run(p->committer, ops->ops, ops->n, &seq, &fault) != OK)
        fail_msg("commit: %s", fault.text);
}

/* Builds z against the store, and commits it when that goes well. *n: ops. */
static inline enum err place_build(struct place *p, struct zone *z, bool force, struct complaints *c, size_t *n, struct fault *fault)
{
    struct zone_build_options o = { .kind = ZONE_FILE, .force = force };
    struct op_list ops;
    op_list_init(&ops);
    c->errors_n = c->warnings_n = 0;
    assert_int_equal(view_begin(p->view), OK);
    enum err err = zone_build(z, p->view, &o, c, &ops, fault);
    view_end(p->view);
    if (err == OK)
        place_commit(p, &ops);
    *n = ops.n;
    op_list_release(&ops);
    return err;
}

/* The same for text. */
static inline enum err place_load(struct place *p, const char *origin, const char *text, bool force, struct complaints *c, size_t *n)
{
    struct name apex = name_of(origin);
    struct fault fault = { .text = "" };
    struct zone z;
    zone_init(&z, name_bytes(&apex), "test");
    c->errors_n = c->warnings_n = 0;
    enum err err = zonefile_read_text(bytes_of_text(text), "test", &z, c, &fault);
    if (err == OK)
        err = place_build(p, &z, force, c, n, &fault);
    zone_release(&z);
    return err;
}

static inline enum err place_withdraw(struct place *p, struct bytes apex)
{
    struct fault fault = { .text = "" };
    struct op_list ops;
    op_list_init(&ops);
    assert_int_equal(view_begin(p->view), OK);
    enum err err = zone_withdraw(apex, p->view, &ops, &fault);
    view_end(p->view);
    if (err == OK)
        place_commit(p, &ops);
    op_list_release(&ops);
    return err;
}

/* Every key and value, each checked by blob_check; owned by caller. */
struct dump { struct entry *v; size_t n, cap; };
static inline void dump_release(struct dump *d)
{
    for (size_t i = 0; i < d->n; i++) {
        bytes_free(d->v[i].key);
        bytes_free(d->v[i].value);
    }
    free(d->v);
    *d = (struct dump){ 0 };
}
static inline struct dump place_dump(struct place *p)
{
    struct dump d = { 0 };
    struct cursor *c;
    struct entry e;
    struct fault fault = { .text = "" };
    assert_int_equal(view_begin(p->view), OK);
    assert_int_equal(cursor_open(p->view, bytes_of_text("dns"), &c), OK);
    for (enum err err = cursor_seek(c, bytes_of("", 1), &e); err == OK; err = cursor_next(c, &e)) {
        if (blob_check(e.key, e.value, &fault) != OK)
            fail_msg("a value in the store is wrong: %s", fault.text);
        if (d.n == d.cap)
            d.v = realloc(d.v, (d.cap = d.cap * 2 + 64) * sizeof *d.v);
        d.v[d.n++] = (struct entry){ heap_copy(e.key.ptr, e.key.len), heap_copy(e.value.ptr, e.value.len) };
    }
    cursor_close(c);
    view_end(p->view);
    return d;
}

/* A walk, as text: one record a line. */
struct lines { char *text; size_t len, cap; };
static inline bool lines_add(void *arg, const struct zone_rr *rr)
{
    struct lines *l = arg;
    struct fault fault = { .text = "" };
    if (l->cap - l->len < 300000)
        l->text = realloc(l->text, l->cap = l->cap * 2 + 600000);
    if (rr_to_text(rr, l->text + l->len, l->cap - l->len - 1, &fault) != OK)
        fail_msg("rr_to_text: %s", fault.text);
    for (char *at = l->text + l->len; *at != '\0'; at++)
        if (*at == '\t')
            *at = ' ';
    l->len += strlen(l->text + l->len);
    l->text[l->len++] = '\n';
    l->text[l->len] = '\0';
    return true;
}

#endif
