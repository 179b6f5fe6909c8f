/* Snapshots: what comes out is what went in; whatever is cut, flipped, out of order or too much is refused and leaves
 * the store as it was. */
#include <fcntl.h>
#include <sodium.h>
#include <sys/mman.h>
#include <zstd.h>

#include "base/msg.h"
#include "store/snapshot.h"
#include "tests/util_store.h"

/* --- helpers ------------------------------------------------------------------------------------------------------ */
static struct bytes fd_read_all(int fd)
{
    off_t n = lseek(fd, 0, SEEK_END);
    uint8_t *buf = malloc(n > 0 ? (size_t)n : 1);
    assert_int_equal(pread(fd, buf, (size_t)n, 0), n);
    return bytes_of(buf, (size_t)n);
}

static int fd_over(struct bytes b)
{
    int fd = memfd_create("snapshot", MFD_CLOEXEC);
    assert_true(fd >= 0);
    for (size_t at = 0; at < b.len;) {
        ssize_t n = write(fd, b.ptr + at, b.len - at);
        assert_true(n > 0);
        at += (size_t)n;
    }
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

static const struct snapshot_file one_file[] = { { "zones.list", { (const uint8_t *)"a.\nb.\n", 6 } } };

static struct bytes snapshot_of(struct tmp_store *t, struct snapshot_totals *totals)
{
    struct snapshot_totals sum;
    struct view *v;
    struct fault fault = { "" };
    int fd = memfd_create("snapshot", MFD_CLOEXEC);
    assert_ok(view_open(t->s, &v, &fault), &fault);
    assert_ok(view_begin(v), NULL);
    assert_ok(snapshot_write(fd, v, STORE_CORE, one_file, 1, NULL, NULL, &sum, &fault), &fault);
    view_end(v);
    view_close(v);
    struct bytes b = fd_read_all(fd);
    assert_int_equal(sum.bytes, b.len);
    (void)close(fd);
    if (totals != NULL)
        *totals = sum;
    return b;
}

/* Reads to the end. piped: not seekable. */
static enum err drain_fd(int fd, uint64_t *entries, struct fault *fault)
{
    struct snapshot_reader *r;
    const struct op *ops;
    size_t n;
    *entries = 0;
    enum err err = snapshot_reader_open(&r, fd, fault);
    if (err != OK)
        return err;
    while ((err = snapshot_reader_next(r, &ops, &n, fault)) == OK)
        *entries += n;
    if (err == ERR_NOTFOUND)
        assert_int_equal(snapshot_reader_next(r, &ops, &n, fault), ERR_NOTFOUND);
    snapshot_reader_close(r);
    return err == ERR_NOTFOUND ? OK : err;
}

static enum err drain(struct bytes b, bool piped, struct fault *fault)
{
    uint64_t entries;
    int fd = fd_over(b), ends[2];
    fault->text[0] = '\0';
    if (piped) {
        assert_true(b.len < 60000);
        assert_int_equal(pipe(ends), 0);
        assert_int_equal(write(ends[1], b.ptr, b.len), (ssize_t)b.len);
        (void)close(ends[1]);
        (void)close(fd);
        fd = ends[0];
    }
    enum err err = drain_fd(fd, &entries, fault);
    (void)close(fd);
    if (err != OK && fault->text[0] == '\0')
        fail_msg("refused without words: %s", err_text(err));
    return err;
}

static enum err load(struct store *s, struct bytes b, snapshot_go_fn *go, struct fault *fault)
{
    struct snapshot_reader *r;
    int fd = fd_over(b);
    enum err err = snapshot_reader_open(&r, fd, fault);
    if (err == OK) {
        err = snapshot_load(s, r, NULL, go, NULL, fault);
        snapshot_reader_close(r);
    }
    (void)close(fd);
    return err;
}

static void digest_of(struct store *s, uint8_t out[DIGEST_LEN], uint64_t *entries)
{
    char names[STORE_NAMESPACES_MAX][STORE_NS_MAX + 1];
    struct digest sum = { { 0 } };
    struct view *v;
    struct cursor *c;
    struct entry e;
    size_t n;
    *entries = 0;
    assert_ok(view_open(s, &v, NULL), NULL);
    assert_ok(view_begin(v), NULL);
    assert_ok(view_namespaces(v, names, &n), NULL);
    for (size_t i = 0; i < n; i++) {
        assert_ok(cursor_open(v, bytes_of_text(names[i]), &c), NULL);
        for (enum err err = cursor_seek(c, bytes_of("", 0), &e); err == OK; err = cursor_next(c, &e)) {
            digest_add(&sum, bytes_of_text(names[i]), e.key, e.value);
            ++*entries;
        }
        cursor_close(c);
    }
    view_end(v);
    view_close(v);
    digest_final(&sum, out);
}

static void assert_same_data(struct store *a, struct store *b)
{
    uint8_t x[DIGEST_LEN], y[DIGEST_LEN];
    uint64_t n, m;
    digest_of(a, x, &n);
    digest_of(b, y, &m);
    assert_int_equal(n, m);
    assert_memory_equal(x, y, DIGEST_LEN);
}

static void log_put(struct store *s, uint64_t seq, const char *record)
{
    struct log_txn *t;
    assert_ok(log_begin(s, &t, NULL), NULL);
    assert_ok(log_append(t, seq, bytes_of_text(record), NULL), NULL);
    assert_ok(log_commit(t, NULL), NULL);
}

static uint64_t log_last(struct store *s)
{
    uint64_t first, last;
    assert_ok(log_range(s, &first, &last), NULL);
    return last;
}

static unsigned generation(struct store *s)
{
    struct store_figures f;
    assert_ok(store_figures(s, &f), NULL);
    return f.generation;
}

/* --- contents ----------------------------------------------------------------------------------------------------- */
static void fill_nothing(struct tmp_store *t)
{
    struct op put = op_put("kv", "k", "v"), del = op_del("kv", "k");
    tmp_store_commit(t, &put, 1);
    tmp_store_commit(t, &del, 1);
}

static void fill_one(struct tmp_store *t)
{
    struct op put = op_put("kv", "k", "");
    tmp_store_commit(t, &put, 1);
}

static void fill_few(struct tmp_store *t)
{
    struct op ops[] = { op_put("kv", "k", "some value"), op_put("kv", "l", "some value"), op_put("zz", "k", "") };
    tmp_store_commit(t, ops, 3);
}

static void fill_namespaces(struct tmp_store *t)
{
    for (int i = 0; i < STORE_NAMESPACES_MAX - 1; i++) {        /* and dns */
        char ns[16], key[16];
        (void)snprintf(ns, sizeof ns, "n%02d.x-y_z", i);
        (void)snprintf(key, sizeof key, "k%d", i % 3);
        struct op ops[] = { op_put(ns, key, ns), op_put(ns, "same", "same") };
        tmp_store_commit(t, ops, 2);
    }
    struct op dns = op_put("dns", "d", "e");
    tmp_store_commit(t, &dns, 1);
}

static void fill_large(struct tmp_store *t)
{
    struct rnd r = rnd_seed(7);
    uint8_t *big = malloc(STORE_VALUE_MAX);
    char key[STORE_KEY_MAX + 1];
    for (size_t i = 0; i < STORE_VALUE_MAX; i++)
        big[i] = (uint8_t)rnd_u64(&r);          /* does not compress */
    memset(key, 'k', sizeof key);
    for (int i = 0; i < 4; i++) {
        key[0] = (char)('a' + i);
        struct op ops[] = {
            { OP_PUT, bytes_of_text("files"), bytes_of(key, STORE_KEY_MAX), bytes_of(big, STORE_VALUE_MAX - (size_t)i) },
            { OP_PUT, bytes_of_text("files"), bytes_of(key, 1), bytes_of_text("small") },
            { OP_PUT, bytes_of_text("longest-name-of-a-namespace-0123"), bytes_of(key, STORE_KEY_MAX),
              bytes_of(big, STORE_VALUE_MAX) } };
        tmp_store_commit(t, ops, 3);
    }
    free(big);
}

static void fill_many(struct tmp_store *t)
{
    enum { N = 60000 };
    struct op *ops = malloc(N * sizeof *ops);
    char (*text)[24] = malloc(N * sizeof *text);
    for (int i = 0; i < N; i++) {
        (void)snprintf(text[i], sizeof text[i], "key-%08d-of-many", i * 7919 % N);
        ops[i] = op_put(i % 2 ? "kv" : "dns", text[i], text[(i * 31) % (i + 1)]);
    }
    tmp_store_commit(t, ops, N);
    free(text);
    free(ops);
}

static const struct { const char *why; void (*fill)(struct tmp_store *t); uint64_t entries; size_t chunks; } contents[] = {
    { "no entries", fill_nothing, 0, 0 },
    { "one entry without a value", fill_one, 1, 1 },
    { "all namespaces", fill_namespaces, 2 * (STORE_NAMESPACES_MAX - 1) + 1, 1 },
    { "the largest keys and values", fill_large, 12, 12 },
    { "more than a chunk holds", fill_many, 60000, 3 },
};

static void round_trips(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(contents); i++) {
        struct tmp_store from, to;
        struct snapshot_totals totals;
        struct head h, got;
        struct signed_head sh, got_sh;
        uint64_t over = 99;
        tmp_store_open(&from, STORE_CORE);
        contents[i].fill(&from);
        struct bytes b = snapshot_of(&from, &totals);
        if (totals.entries != contents[i].entries || totals.chunks != contents[i].chunks)
            fail_msg("%s: %llu entries in %llu chunks", contents[i].why, (unsigned long long)totals.entries,
                     (unsigned long long)totals.chunks);
        struct bytes again = snapshot_of(&from, NULL);
        assert_true(bytes_equal(b, again));
        bytes_free(again);

        tmp_store_open(&to, STORE_EDGE);
        struct op old = op_put("old", "o", "o");
        tmp_store_commit(&to, &old, 1);
        tmp_store_commit(&to, &(struct op){ OP_DEL, old.ns, old.key, { 0 } }, 1);
        log_put(to.s, 2, "of the old");
        struct fault fault = { "" };
        unsigned before = generation(to.s);
        assert_ok(load(to.s, b, NULL, &fault), &fault);
        assert_int_equal(generation(to.s), before + 1);
        assert_same_data(from.s, to.s);
        assert_int_equal(log_last(to.s), 0);
        assert_ok(store_head(from.s, &h, &sh), NULL);
        assert_ok(store_head(to.s, &got, &got_sh), NULL);
        assert_memory_equal(sh.body, got_sh.body, sh.len);
        assert_memory_equal(sh.sig, got_sh.sig, HEAD_SIG_LEN);
        assert_true(store_is_loaded(to.s, &over));
        assert_int_equal(over, 1);
        tmp_store_reopen(&to);
        assert_same_data(from.s, to.s);
        bytes_free(b);
        tmp_store_close(&to);
        tmp_store_close(&from);
    }
}

/* --- damage ------------------------------------------------------------------------------------------------------- */
static void prefixes_are_refused(void **state)
{
    (void)state;
    struct tmp_store t;
    struct fault fault;
    tmp_store_open(&t, STORE_CORE);
    fill_few(&t);
    struct bytes b = snapshot_of(&t, NULL);
    for (size_t n = 0; n < b.len; n++) {
        struct bytes cut = heap_copy(b.ptr, n);
        for (int piped = 0; piped < 2; piped++) {
            enum err err = drain(cut, piped, &fault);
            if (err != ERR_SHORT && !(n < 14 && err == ERR_BAD))
                fail_msg("%zu of %zu bytes, piped %d: %s (%s)", n, b.len, piped, err_text(err), fault.text);
        }
        bytes_free(cut);
    }
    assert_ok(drain(b, false, &fault), &fault);
    assert_ok(drain(b, true, &fault), &fault);
    uint8_t *longer = malloc(b.len + 1);
    memcpy(longer, b.ptr, b.len);
    longer[b.len] = 'x';
    assert_int_equal(drain(bytes_of(longer, b.len + 1), true, &fault), ERR_BAD);
    assert_int_not_equal(drain(bytes_of(longer, b.len + 1), false, &fault), OK);
    free(longer);
    bytes_free(b);
    tmp_store_close(&t);
}

static void flipped_bits_are_refused(void **state)
{
    (void)state;
    struct tmp_store t;
    struct fault fault;
    tmp_store_open(&t, STORE_CORE);
    fill_few(&t);
    struct bytes b = snapshot_of(&t, NULL);
    uint8_t *bad = malloc(b.len);
    memcpy(bad, b.ptr, b.len);
    for (size_t i = 0; i < b.len; i++) {
        for (int half = 0; half < 2; half++) {      /* in a file, in a pipe */
            int bit = (int)(i + 5 * (size_t)half) % 8;
            bad[i] ^= (uint8_t)(1 << bit);
            enum err err = drain(bytes_of(bad, b.len), half, &fault);
            if (err == OK)
                fail_msg("byte %zu of %zu, bit %d: not noticed", i, b.len, bit);
            bad[i] ^= (uint8_t)(1 << bit);
        }
    }
    free(bad);
    bytes_free(b);
    tmp_store_close(&t);
}

static void damage_names_its_chunk(void **state)
{
    (void)state;
    struct tmp_store t;
    struct fault fault;
    struct snapshot_totals totals;
    tmp_store_open(&t, STORE_CORE);
    fill_many(&t);
    struct bytes b = snapshot_of(&t, &totals);
    uint8_t *bad = malloc(b.len);
    memcpy(bad, b.ptr, b.len);
    bad[b.len / 2] ^= 1;
    assert_int_equal(drain(bytes_of(bad, b.len), false, &fault), ERR_BAD);
    assert_non_null(strstr(fault.text, "chunk 2 is damaged"));
    free(bad);
    bytes_free(b);
    tmp_store_close(&t);
}

static void foreign_files(void **state)
{
    (void)state;
    struct tmp_store t;
    struct fault fault;
    tmp_store_open(&t, STORE_CORE);
    fill_one(&t);
    struct bytes b = snapshot_of(&t, NULL);
    uint8_t *bad = malloc(b.len);
    memcpy(bad, b.ptr, b.len);
    assert_int_equal(drain(bytes_of_text("PK\003\004 something else that is long enough to be read"), false, &fault),
                     ERR_BAD);
    assert_non_null(strstr(fault.text, "not a backup"));
    assert_int_equal(drain(bytes_of_text(""), false, &fault), ERR_SHORT);
    bad[15] = 2;
    assert_int_equal(drain(bytes_of(bad, b.len), false, &fault), ERR_FORMAT);
    assert_non_null(strstr(fault.text, "format 2"));
    free(bad);
    bytes_free(b);
    tmp_store_close(&t);
}

/* --- one chunk, made by hand -------------------------------------------------------------------------------------- */
static struct bytes compress(struct bytes raw, struct snapshot_chunk *c, uint32_t entries)
{
    size_t cap = ZSTD_compressBound(raw.len);
    uint8_t *stored = malloc(cap);
    size_t n = ZSTD_compress(stored, cap, raw.ptr, raw.len, 1);
    *c = (struct snapshot_chunk){ entries, (uint32_t)raw.len, (uint32_t)n, { 0 } };
    (void)crypto_generichash(c->hash, sizeof c->hash, stored, n, NULL, 0);
    return bytes_of(stored, n);
}

static enum err unpack_one(struct snapshot_unpack *u, struct bytes raw, uint32_t entries, struct fault *fault)
{
    struct snapshot_chunk c;
    const struct op *ops;
    size_t n;
    struct bytes stored = compress(raw, &c, entries);
    enum err err = snapshot_unpack_chunk(u, &c, stored, &ops, &n, fault);
    bytes_free(stored);
    return err;
}

static const struct { const char *why, *raw; uint32_t entries; uint64_t keys, bytes; enum err want, end; } chunks[] = {
    { "one entry", "01 61 0001 6b 00000001 76", 1, 1, 2, OK, OK },
    { "two of one namespace", "01 61 0001 6b 00000000 00 0001 6c 00000000", 2, 2, 2, OK, OK },
    { "two namespaces", "01 61 0001 6b 00000000 01 62 0001 61 00000000", 2, 2, 2, OK, OK },
    { "fewer entries than the head says", "01 61 0001 6b 00000001 76", 1, 2, 4, OK, ERR_BAD },
    { "fewer bytes than the head says", "01 61 0001 6b 00000001 76", 1, 1, 3, OK, ERR_BAD },
    { "more entries than the head says", "01 61 0001 6b 00000000 00 0001 6c 00000000", 2, 1, 99, ERR_LIMIT, OK },
    { "more bytes than the head says", "01 61 0001 6b 00000001 76", 1, 1, 1, ERR_LIMIT, OK },
    { "keys descend", "01 61 0001 6c 00000000 00 0001 6b 00000000", 2, 2, 2, ERR_BAD, OK },
    { "the same key twice", "01 61 0001 6b 00000000 00 0001 6b 00000000", 2, 2, 2, ERR_BAD, OK },
    { "namespaces descend", "01 62 0001 6b 00000000 01 61 0001 6c 00000000", 2, 2, 2, ERR_BAD, OK },
    { "a namespace named twice", "01 61 0001 6b 00000000 01 61 0001 6c 00000000", 2, 2, 2, ERR_BAD, OK },
    { "the first names no namespace", "00 0001 6b 00000001 76", 1, 1, 2, ERR_BAD, OK },
    { "a name that is not allowed", "01 2f 0001 6b 00000001 76", 1, 1, 2, ERR_BAD, OK },
    { "a name too long", "21 616161616161616161616161616161616161616161616161616161616161616161 0001 6b 00000000", 1, 1, 2,
      ERR_BAD, OK },
    { "no key", "01 61 0000 00000002 7676", 1, 1, 2, ERR_BAD, OK },
    { "ends inside the value", "01 61 0001 6b 00000003 7676", 1, 1, 4, ERR_BAD, OK },
    { "ends inside a length", "01 61 0001 6b 0000 00 00 00 00 00 00", 2, 2, 9, ERR_BAD, OK },
    { "bytes behind the entries", "01 61 0001 6b 00000001 76 00", 1, 1, 2, ERR_BAD, OK },
    { "fewer entries than the chunk says", "01 61 0001 6b 00000001 76 0000000000", 2, 2, 2, ERR_BAD, OK },
    { "no entries at all", "01 61 0001 6b 00000001 76", 0, 1, 2, ERR_BAD, OK },
    { "more entries than bytes can hold", "01 61 0001 6b 00000001 76", 2, 2, 2, ERR_BAD, OK },
};

static void chunk_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(chunks); i++) {
        struct bytes raw = heap_from_hex(chunks[i].raw);
        struct head h = { .keys = chunks[i].keys, .bytes = chunks[i].bytes };
        struct snapshot_unpack *u;
        struct fault fault = { "" };
        assert_ok(snapshot_unpack_open(&u, &h), NULL);
        enum err got = unpack_one(u, raw, chunks[i].entries, &fault);
        if (got != chunks[i].want)
            fail_msg("%s: got '%s' (%s)", chunks[i].why, err_text(got), fault.text);
        if (got == OK && (got = snapshot_unpack_end(u, &fault)) != chunks[i].end)
            fail_msg("%s: the end is '%s' (%s)", chunks[i].why, err_text(got), fault.text);
        snapshot_unpack_close(u);
        bytes_free(raw);
    }
}

static void order_and_borders_over_chunks(void **state)
{
    (void)state;
    static const struct { const char *why, *second; bool short_first; enum err want; } rows[] = {
        { "goes on", "01 61 0001 7a 00000000", false, OK },
        { "the same key again", "01 61 0001 6b 00000000", false, ERR_BAD },
        { "goes back", "01 61 0001 61 00000000", false, ERR_BAD },
        { "goes back to another namespace", "01 2d 0001 7a 00000000", false, ERR_BAD },
        { "would have fitted into the chunk before", "01 61 0001 7a 00000000", true, ERR_BAD },
    };
    size_t value = SNAPSHOT_CHUNK - 9;
    for (size_t i = 0; i < ROWS(rows); i++) {
        size_t len = rows[i].short_first ? 100 : value;
        uint8_t *first = calloc(1, 9 + len);
        struct wr w = wr_over(first, 9 + len);
        wr_put(&w, "\1a\0\1k", 5);
        wr_u32(&w, (uint32_t)len);
        (void)wr_room(&w, len);
        struct head h = { .keys = 2, .bytes = len + 2 };
        struct snapshot_unpack *u;
        struct fault fault = { "" };
        assert_ok(snapshot_unpack_open(&u, &h), NULL);
        assert_ok(unpack_one(u, wr_done(&w), 1, &fault), &fault);
        struct bytes second = heap_from_hex(rows[i].second);
        enum err got = unpack_one(u, second, 1, &fault);
        if (got != rows[i].want)
            fail_msg("%s: got '%s' (%s)", rows[i].why, err_text(got), fault.text);
        snapshot_unpack_close(u);
        bytes_free(second);
        free(first);
    }
}

/* Frames that lie about their size, two frames in one, a frame that can be skipped: never more memory than a chunk. */
static void frames(void **state)
{
    (void)state;
    struct head h = { .keys = UINT64_MAX, .bytes = UINT64_MAX };
    struct bytes raw = heap_from_hex("01 61 0001 6b 00000001 76");
    struct snapshot_chunk good, c;
    struct bytes stored = compress(raw, &good, 1), two;
    uint8_t *twice = malloc(2 * stored.len);
    memcpy(twice, stored.ptr, stored.len);
    memcpy(twice + stored.len, stored.ptr, stored.len);
    two = bytes_of(twice, 2 * stored.len);
    static const uint8_t skippable[] = { 0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4 };
    static const uint8_t vast[] = { 0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0 };
    const struct { const char *why; struct bytes stored; uint32_t raw; } rows[] = {
        { "two frames", two, 2 * good.raw },
        { "two frames told as one", two, good.raw },
        { "another size", stored, good.raw + 8 },
        { "a smaller size", stored, good.raw - 1 },
        { "over the limit", stored, (uint32_t)SNAPSHOT_RAW_MAX + 1 },
        { "skippable", bytes_of(skippable, sizeof skippable), 8 },
        { "says a tebibyte", bytes_of(vast, sizeof vast), (uint32_t)SNAPSHOT_RAW_MAX },
        { "no frame", raw, 10 },
    };
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct snapshot_unpack *u;
        const struct op *ops;
        size_t n;
        struct fault fault = { "" };
        c = (struct snapshot_chunk){ 1, rows[i].raw, (uint32_t)rows[i].stored.len, { 0 } };
        (void)crypto_generichash(c.hash, sizeof c.hash, rows[i].stored.ptr, rows[i].stored.len, NULL, 0);
        assert_ok(snapshot_unpack_open(&u, &h), NULL);
        enum err got = snapshot_unpack_chunk(u, &c, rows[i].stored, &ops, &n, &fault);
        if (got != ERR_BAD)
            fail_msg("%s: got '%s'", rows[i].why, err_text(got));
        snapshot_unpack_close(u);
    }
    free(twice);
    bytes_free(stored);
    bytes_free(raw);
}

/* --- the manifest ------------------------------------------------------------------------------------------------- */
static void manifest_alone(void **state)
{
    (void)state;
    struct tmp_store t;
    struct fault fault = { "" };
    struct snapshot_reader *r;
    const struct op *ops;
    size_t n;
    tmp_store_open(&t, STORE_CORE);
    fill_many(&t);
    struct bytes b = snapshot_of(&t, NULL);
    int fd = fd_over(b);
    assert_ok(snapshot_reader_open(&r, fd, &fault), &fault);
    while (snapshot_reader_next(r, &ops, &n, &fault) == OK)
        continue;
    const struct snapshot_manifest *m = snapshot_reader_manifest(r);
    assert_int_equal(m->chunks, 3);
    assert_int_equal(m->entries, 60000);
    assert_int_equal(m->files_n, 1);
    assert_string_equal(m->files[0].name, "zones.list");
    assert_true(bytes_equal(m->files[0].bytes, one_file[0].bytes));

    size_t cap = snapshot_manifest_size(m);
    uint8_t *buf = malloc(cap);
    struct wr w = wr_over(buf, cap);
    struct snapshot_manifest got;
    snapshot_manifest_put(&w, m);
    assert_false(w.full);
    assert_ok(snapshot_manifest_read(wr_done(&w), &got), NULL);
    for (size_t i = 0; i < w.len; i++) {
        struct bytes cut = heap_copy(buf, i);
        enum err err = snapshot_manifest_read(cut, &got);
        if (err != ERR_SHORT)
            fail_msg("%zu of %zu bytes of a manifest: %s", i, w.len, err_text(err));
        bytes_free(cut);
    }
    /* a table with a row less, entries that the head does not have, borders that no writer makes */
    struct snapshot_manifest bad = *m;
    uint8_t *table = malloc(m->table.len);
    bad.table = bytes_of(m->table.ptr, m->table.len - SNAPSHOT_ROW);
    w = wr_over(buf, cap);
    snapshot_manifest_put(&w, &bad);
    assert_int_equal(snapshot_manifest_read(wr_done(&w), &got), ERR_BAD);
    memcpy(table, m->table.ptr, m->table.len);
    table[7] ^= 1;                          /* raw bytes of the first chunk */
    table[4] = 0;
    table[5] = 0;
    bad.table = bytes_of(table, m->table.len);
    w = wr_over(buf, cap);
    snapshot_manifest_put(&w, &bad);
    assert_int_equal(snapshot_manifest_read(wr_done(&w), &got), ERR_BAD);
    bad = *m;
    static const char *const names[] = { "../node.key", ".hidden", "a/b", "", "Upper" };
    for (size_t i = 0; i < ROWS(names); i++) {
        (void)snprintf(bad.files[0].name, sizeof bad.files[0].name, "%s", names[i]);
        w = wr_over(buf, cap);
        snapshot_manifest_put(&w, &bad);
        assert_int_equal(snapshot_manifest_read(wr_done(&w), &got), ERR_BAD);
    }
    free(table);
    free(buf);
    snapshot_reader_close(r);
    (void)close(fd);
    bytes_free(b);
    tmp_store_close(&t);
}

/* --- loading ------------------------------------------------------------------------------------------------------ */
static bool stop_soon(void *arg, uint64_t entries)
{
    (void)arg;
    return entries < 20000;
}

/* What fails leaves data, head and log as they were, also over a restart. */
static void failures_leave_the_old_state(void **state)
{
    (void)state;
    struct tmp_store from, to;
    struct fault fault = { "" };
    struct head h;
    tmp_store_open(&from, STORE_CORE);
    fill_many(&from);
    struct bytes good = snapshot_of(&from, NULL);
    uint8_t *bad = malloc(good.len);
    memcpy(bad, good.ptr, good.len);
    bad[good.len * 3 / 4] ^= 1;
    tmp_store_open(&to, STORE_EDGE);
    struct op old = op_put("old", "o", "o");
    tmp_store_commit(&to, &old, 1);
    log_put(to.s, 1, "of the old");
    to.options.map_size = STORE_MAP_MIN;
    tmp_store_reopen(&to);
    const struct { const char *why; struct bytes b; snapshot_go_fn *go; uint64_t map; enum err want; } rows[] = {
        { "damaged late", bytes_of(bad, good.len), NULL, (uint64_t)1 << 30, ERR_BAD },
        { "stopped", good, stop_soon, (uint64_t)1 << 30, ERR_NOTNOW },
        { "full", good, NULL, STORE_MAP_MIN, ERR_FULL },
    };
    for (size_t i = 0; i < ROWS(rows); i++) {
        to.options.map_size = rows[i].map;
        tmp_store_reopen(&to);
        enum err got = load(to.s, rows[i].b, rows[i].go, &fault);
        if (got != rows[i].want)
            fail_msg("%s: got '%s' (%s)", rows[i].why, err_text(got), fault.text);
        for (int again = 0; again < 2; again++) {
            uint8_t digest[DIGEST_LEN];
            uint64_t n, over;
            assert_false(store_is_fresh(to.s));
            assert_false(store_is_loaded(to.s, &over));
            assert_ok(store_head(to.s, &h, NULL), NULL);
            assert_int_equal(h.seq, 1);
            digest_of(to.s, digest, &n);
            assert_int_equal(n, 1);
            assert_memory_equal(digest, h.digest, DIGEST_LEN);
            assert_int_equal(log_last(to.s), 1);
            tmp_store_reopen(&to);
        }
    }
    to.options.map_size = (uint64_t)1 << 30;
    tmp_store_reopen(&to);
    assert_ok(load(to.s, good, NULL, &fault), &fault);
    assert_same_data(from.s, to.s);
    free(bad);
    bytes_free(good);
    tmp_store_close(&to);
    tmp_store_close(&from);
}

/* Entries in order, hashes right, and yet not what the head says. */
static void wrong_digest(void **state)
{
    (void)state;
    struct tmp_store a, b;
    struct fault fault = { "" };
    tmp_store_open(&a, STORE_EDGE);
    tmp_store_open(&b, STORE_EDGE);
    struct op one = op_put("kv", "k", "v"), other = op_put("kv", "k", "w");
    tmp_store_commit(&a, &one, 1);
    tmp_store_commit(&b, &other, 1);
    struct bytes x = snapshot_of(&a, NULL), y = snapshot_of(&b, NULL);
    assert_int_equal(x.len, y.len);
    /* opening, manifest and trailer of one around the chunk of the other: the hashes must be made anew */
    struct snapshot_manifest m;
    struct snapshot_reader *r;
    const struct op *ops;
    size_t n, opening = 14 + 2 + 4 + ((size_t)x.ptr[18] << 8 | x.ptr[19]) + SNAPSHOT_HASH_LEN;
    struct bytes chunk = bytes_of(y.ptr + opening, SNAPSHOT_ROW + (size_t)y.ptr[opening + 11]);
    int fd = fd_over(x);
    assert_ok(snapshot_reader_open(&r, fd, &fault), &fault);
    while (snapshot_reader_next(r, &ops, &n, &fault) == OK)
        continue;
    m = *snapshot_reader_manifest(r);
    m.table = bytes_of(chunk.ptr, SNAPSHOT_ROW);
    size_t cap = x.len + 4096;
    uint8_t *forged = malloc(cap), hash[SNAPSHOT_HASH_LEN];
    struct wr w = wr_over(forged, cap);
    wr_put(&w, x.ptr, opening);
    wr_bytes(&w, chunk);
    size_t at = w.len;
    wr_u32(&w, 0);
    wr_u32(&w, 0);
    snapshot_manifest_put(&w, &m);
    struct wr length = wr_over(forged + at + 4, 4);
    wr_u32(&length, (uint32_t)(w.len - at - 8));
    (void)crypto_generichash(hash, sizeof hash, forged + at + 4, w.len - at - 4, NULL, 0);
    wr_u64(&w, at);
    wr_put(&w, hash, sizeof hash);
    wr_put(&w, "azoth-snapshot-end", 18);
    assert_ok(drain(wr_done(&w), true, &fault), &fault);
    struct tmp_store to;
    tmp_store_open(&to, STORE_EDGE);
    assert_int_equal(load(to.s, wr_done(&w), NULL, &fault), ERR_DIGEST);
    assert_int_equal(seq_now(to.s), 0);
    snapshot_reader_close(r);
    (void)close(fd);
    free(forged);
    bytes_free(x);
    bytes_free(y);
    tmp_store_close(&to);
    tmp_store_close(&b);
    tmp_store_close(&a);
}

static void other_cluster(void **state)
{
    (void)state;
    struct tmp_store from, to;
    struct fault fault = { "" };
    tmp_store_open(&from, STORE_CORE);
    fill_one(&from);
    struct bytes b = snapshot_of(&from, NULL);
    tmp_store_open(&to, STORE_CORE);        /* draws its own cluster */
    fill_one(&to);
    assert_int_equal(load(to.s, b, NULL, &fault), ERR_CLUSTER);
    assert_int_equal(seq_now(to.s), 1);
    bytes_free(b);
    tmp_store_close(&to);
    tmp_store_close(&from);
}

/* A log that a crash behind the flip kept from being emptied never counts; the first commit ends that. */
static void mark_of_a_load(void **state)
{
    (void)state;
    struct tmp_store from, to;
    struct fault fault = { "" };
    uint64_t over;
    tmp_store_open(&from, STORE_CORE);
    fill_namespaces(&from);
    struct bytes b = snapshot_of(&from, NULL);
    tmp_store_open(&to, STORE_EDGE);
    assert_ok(load(to.s, b, NULL, &fault), &fault);
    log_put(to.s, 7, "of a history that is gone");
    tmp_store_reopen(&to);
    assert_int_equal(log_last(to.s), 0);
    assert_true(store_is_loaded(to.s, &over));
    assert_int_equal(over, 0);
    struct op put = op_put("dns", "new", "n");
    tmp_store_commit(&to, &put, 1);
    assert_false(store_is_loaded(to.s, &over));
    log_put(to.s, 7, "of this history");
    tmp_store_reopen(&to);
    assert_int_equal(log_last(to.s), 7);
    assert_false(store_is_loaded(to.s, &over));
    bytes_free(b);
    tmp_store_close(&to);
    tmp_store_close(&from);
}

/* A store that could not be filled goes away without a trace; what stood beside it stays. */
static void discarded(void **state)
{
    (void)state;
    char dir[PATH_MAX], key[PATH_MAX + 16];
    struct fault fault = { "" };
    struct store *s;
    tmp_folder(dir);
    (void)snprintf(key, sizeof key, "%s/node.key", dir);
    int fd = open(key, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
    struct store_options o = { .dir = dir, .mode = STORE_CREATE, .role = STORE_EDGE, .map_size = (uint64_t)1 << 30 };
    assert_ok(store_open(&s, &o, &fault), &fault);
    store_discard(s);
    assert_int_equal(access(key, F_OK), 0);
    assert_int_equal(unlink(key), 0);
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips),
        cmocka_unit_test(prefixes_are_refused),
        cmocka_unit_test(flipped_bits_are_refused),
        cmocka_unit_test(damage_names_its_chunk),
        cmocka_unit_test(foreign_files),
        cmocka_unit_test(chunk_rows),
        cmocka_unit_test(order_and_borders_over_chunks),
        cmocka_unit_test(frames),
        cmocka_unit_test(manifest_alone),
        cmocka_unit_test(failures_leave_the_old_state),
        cmocka_unit_test(wrong_digest),
        cmocka_unit_test(other_cluster),
        cmocka_unit_test(mark_of_a_load),
        cmocka_unit_test(discarded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
