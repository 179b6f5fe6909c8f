/* A source of records in a folder of its own, for tests. */
#ifndef AZOTH_TESTS_SOURCE_BED_H
#define AZOTH_TESTS_SOURCE_BED_H

#include "builder/recordbook.h"
#include "tests/util_folder.h"

struct source_bed { char dir[PATH_MAX]; struct source *s; uint64_t map_size; bool synced; };

static inline void source_bed_open(struct source_bed *b)
{
    struct fault fault = { "" };
    struct recordbook_options o = { .dir = b->dir, .map_size = b->map_size, .volatile_data = !b->synced };
    if (b->dir[0] == '\0')
        tmp_folder(b->dir);
    assert_ok(recordbook_open(&b->s, &o, &fault), &fault);
}
static inline void source_bed_again(struct source_bed *b)
{
    source_close(b->s);
    source_bed_open(b);
}
static inline void source_bed_close(struct source_bed *b)
{
    source_close(b->s);
    remove_tree(b->dir);
}

static inline struct source_txn *txn_begin(struct source *s, enum source_mode mode)
{
    struct source_txn *t;
    struct fault fault = { "" };
    assert_ok(source_begin(s, mode, &t, &fault), &fault);
    return t;
}
static inline void txn_commit(struct source_txn *t)
{
    struct fault fault = { "" };
    assert_ok(source_commit(t, &fault), &fault);
}

static inline struct name name_of_text(const char *text)
{
    struct name n;
    if (name_from_text(bytes_of_text(text), bytes_of(NULL, 0), &n) != OK)
        fail_msg("%s is no name", text);
    return n;
}

/* A zone with a fresh id and these settings; gives the id. */
static inline uint64_t zone_make(struct source_txn *t, const char *apex, const char *settings)
{
    struct zone_row z = { .apex = name_of_text(apex), .settings = bytes_of_text(settings) };
    struct fault fault = { "" };
    assert_ok(source_fresh_id(t, &z.id, &fault), &fault);
    assert_ok(source_zone_put(t, &z, &fault), &fault);
    return z.id;
}

/* A row with one record. */
static inline enum err row_make(struct source_txn *t, uint64_t zone, const char *owner, uint16_t type, const char *rdata,
                                struct fault *fault)
{
    struct name n = name_of_text(owner);
    struct row_rr rr = { .rdata = bytes_of_text(rdata) };
    struct row row = { .owner = name_bytes(&n), .type = type, .ttl = 300, .modified_s = 1700000000, .rr = &rr, .n = 1 };
    return source_row_put(t, zone, &row, fault);
}

#endif
