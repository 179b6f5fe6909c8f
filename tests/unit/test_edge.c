#include "tests/util.h"

#include "replicator/commit.h"
#include "replicator/edge.h"
#include "replicator/edge_thread.h"
#include "tests/sim/model.h"
#include "tests/unit/replicator_dir.h"

/* An edge's real store, fed by a core in memory. */
struct bed {
    struct model_core core;
    struct rnd rnd;
    char dir[256];
    uint64_t map;
    const char *boot;
    struct store *store;
    struct edge edge;
    struct fault fault;
};

static void up(struct bed *b)
{
    struct store_options o = { .dir = b->dir, .mode = STORE_CREATE, .role = STORE_EDGE, .map_size = b->map,
                               .boot_id = b->boot, .volatile_data = true };
    b->fault.text[0] = '\0';
    if (store_open(&b->store, &o, &b->fault) != OK || store_join(b->store, b->core.cluster, &b->fault) != OK
        || edge_open(&b->edge, b->store, b->core.key.pub, &b->fault) != OK)
        fail_msg("%s", b->fault.text);
}
static void down(struct bed *b)
{
    edge_close(&b->edge);
    store_close(b->store);
}
static void bed_open(struct bed *b, uint64_t map)
{
    memset(b, 0, sizeof *b);
    model_open(&b->core, 21);
    b->rnd = rnd_seed(21);
    b->map = map;
    b->boot = "boot-1";
    dir_make(b->dir, sizeof b->dir, "edge");
    up(b);
}
static void bed_close(struct bed *b)
{
    down(b);
    dir_remove(b->dir);
    model_close(&b->core);
}

static enum err store(struct bed *b, uint64_t from, uint64_t to, uint64_t apply_to)
{
    struct job job = { .kind = JOB_STORE, .records = &b->core.log[from], .n = to + 1 - from, .apply_to = apply_to };
    struct job_result res;
    edge_do(&b->edge, &job, &res, &b->fault);
    return res.err;
}

/* The data that readers see is the core's behind seq; 0: empty. */
static void shows(struct bed *b, uint64_t seq)
{
    struct view *v;
    struct head h = { .seq = 0 };
    assert_int_equal(view_open(b->store, &v, &b->fault), OK);
    assert_int_equal(view_begin(v), OK);
    enum err err = view_head(v, &h, NULL);
    assert_int_equal(err, seq == 0 ? ERR_NOTFOUND : OK);
    assert_int_equal(h.seq, seq);
    for (int i = 0; i < MODEL_KEYS; i++) {
        char key[16], want[16];
        struct bytes got = { 0 };
        uint32_t value = b->core.state[seq].value[i];
        snprintf(key, sizeof key, "key-%02d", i);
        snprintf(want, sizeof want, "%u", value);
        err = view_get(v, bytes_of_text("kv"), bytes_of_text(key), &got);
        assert_int_equal(err, value == 0 ? ERR_NOTFOUND : OK);
        if (value != 0)
            assert_true(bytes_equal(got, bytes_of_text(want)));
    }
    view_end(v);
    view_close(v);
}
static void commits(struct bed *b, unsigned n, unsigned parts)
{
    for (unsigned i = 0; i < n; i++)
        model_commit(&b->core, &b->rnd, parts, false);
}

static void records_become_data(void **state)
{
    struct bed b;
    (void)state;
    bed_open(&b, 0);
    shows(&b, 0);
    commits(&b, 5, 1);
    assert_int_equal(store(&b, 1, 1, 9), OK);
    shows(&b, 1);
    assert_int_equal(store(&b, 2, 5, 9), OK);
    shows(&b, 5);
    assert_int_equal(b.edge.transactions, 5);
    down(&b);
    up(&b);
    assert_int_equal(b.edge.applied.seq, 5);
    assert_int_equal(b.edge.log.seq, 5);
    shows(&b, 5);
    bed_close(&b);
}

static void parts_wait_for_the_last(void **state)
{
    struct bed b;
    (void)state;
    bed_open(&b, 0);
    commits(&b, 1, 1);
    commits(&b, 1, 4);                          /* records 2 to 5 */
    assert_int_equal(store(&b, 1, 3, 9), OK);
    shows(&b, 1);
    assert_true(b.edge.log.more && b.edge.log.seq == 3 && b.edge.complete == 1);
    down(&b);
    up(&b);                                     /* an edge keeps the parts that it has */
    assert_true(b.edge.log.more && b.edge.log.seq == 3 && b.edge.log.part == 1);
    assert_int_equal(store(&b, 4, 5, 9), OK);
    shows(&b, 5);
    bed_close(&b);
}

static void held_back_by_release(void **state)
{
    struct bed b;
    (void)state;
    bed_open(&b, 0);
    commits(&b, 3, 2);                          /* ends at 2, 4, 6 */
    assert_int_equal(store(&b, 1, 6, 5), OK);
    shows(&b, 4);
    assert_int_equal(store(&b, 7, 6, 5), OK);   /* no record, same limit */
    shows(&b, 4);
    assert_int_equal(store(&b, 7, 6, 6), OK);
    shows(&b, 6);
    bed_close(&b);
}

static void log_ahead_is_applied_at_start(void **state)
{
    struct bed b;
    struct log_txn *t;
    (void)state;
    bed_open(&b, 0);
    commits(&b, 4, 1);
    assert_int_equal(store(&b, 1, 2, 9), OK);
    assert_int_equal(log_begin(b.store, &t, &b.fault), OK);     /* killed between the two commits */
    assert_int_equal(log_append(t, 3, b.core.log[3], &b.fault), OK);
    assert_int_equal(log_append(t, 4, b.core.log[4], &b.fault), OK);
    assert_int_equal(log_commit(t, &b.fault), OK);
    down(&b);
    up(&b);
    shows(&b, 4);
    bed_close(&b);
}

/* What the log may hold at start besides, and how much of it is kept. */
enum damage { EMPTIED, FLIPPED, FOREIGN_TAIL, STARTS_LATER, OTHER_HISTORY };
static const struct { const char *why; enum damage damage; uint64_t log, applied; } damages[] = {
    { "thrown away",                    EMPTIED,        3, 3 },
    { "a flipped bit behind the data",  FLIPPED,        3, 3 },
    { "signed by somebody else",        FOREIGN_TAIL,   3, 3 },
    { "a hole behind the data",         STARTS_LATER,   3, 3 },
    { "another history",                OTHER_HISTORY,  3, 3 },
};
static void damaged_log_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(damages); i++) {
        struct bed b;
        struct log_txn *t;
        static struct model_core other;
        uint64_t cut = 3;
        bed_open(&b, 0);
        commits(&b, 5, 1);
        assert_int_equal(store(&b, 1, 3, 9), OK);
        struct bytes tail = heap_copy(b.core.log[4].ptr, b.core.log[4].len);
        model_open(&other, 22);
        struct rnd rnd = rnd_seed(5);
        for (int k = 0; k < 5; k++)
            model_commit(&other, &rnd, 1, false);
        assert_int_equal(log_begin(b.store, &t, &b.fault), OK);
        switch (damages[i].damage) {
        case EMPTIED:       cut = 0; break;
        case FLIPPED:       ((uint8_t *)(uintptr_t)tail.ptr)[70] ^= 1; break;
        case FOREIGN_TAIL:  bytes_free(tail); tail = heap_copy(other.log[4].ptr, other.log[4].len); break;
        case STARTS_LATER:
        case OTHER_HISTORY: cut = 0; break;
        }
        assert_int_equal(log_cut(t, cut, &b.fault), OK);
        if (damages[i].damage == STARTS_LATER)
            assert_int_equal(log_append(t, 5, b.core.log[5], &b.fault), OK);
        else if (damages[i].damage == OTHER_HISTORY)
            for (uint64_t s = 1; s <= 5; s++)
                assert_int_equal(log_append(t, s, other.log[s], &b.fault), OK);
        else if (damages[i].damage != EMPTIED)
            assert_int_equal(log_append(t, 4, tail, &b.fault), OK);
        assert_int_equal(log_commit(t, &b.fault), OK);
        down(&b);
        up(&b);
        if (b.edge.log.seq != damages[i].log || b.edge.applied.seq != damages[i].applied)
            fail_msg("%s: log %llu, applied %llu", damages[i].why, (unsigned long long)b.edge.log.seq, (unsigned long long)b.edge.applied.seq);
        if (damages[i].damage != EMPTIED && b.fault.text[0] == '\0')
            fail_msg("%s: nothing is said", damages[i].why);
        if (store(&b, 4, 5, 9) != OK)
            fail_msg("%s: does not go on: %s", damages[i].why, b.fault.text);
        shows(&b, 5);
        bytes_free(tail);
        model_close(&other);
        bed_close(&b);
    }
}

static void machine_crash_throws_the_log_away(void **state)
{
    struct bed b;
    uint64_t first, last;
    (void)state;
    bed_open(&b, 0);
    commits(&b, 4, 1);
    assert_int_equal(store(&b, 1, 3, 9), OK);
    /* no clean stop: the folder as a crash leaves it, and another boot */
    char copy[256], command[600];
    dir_make(copy, sizeof copy, "crash");
    snprintf(command, sizeof command, "cp -r %s/. %s/", b.dir, copy);
    assert_int_equal(system(command), 0);
    down(&b);
    dir_remove(b.dir);
    memcpy(b.dir, copy, sizeof b.dir);
    b.boot = "boot-2";
    up(&b);
    assert_int_equal(log_range(b.store, &first, &last), OK);
    assert_int_equal(last, 0);
    shows(&b, 3);
    assert_int_equal(store(&b, 4, 4, 9), OK);
    shows(&b, 4);
    bed_close(&b);
}

/* --- copies ------------------------------------------------------------------------------------------------------------- */
/* A real snapshot of `entries` values of noise under the head of the core's record at seq, signed by the core. Of many the
 * second half stands in a namespace of its own. */
#define SNAP_CHUNKS 40
struct snap {
    struct head head;
    struct signed_head sh;
    struct bytes manifest, chunk[SNAP_CHUNKS];      /* owned */
    struct snapshot_chunk row[SNAP_CHUNKS];
    size_t chunks;
};
static void snap_end(struct snap *s, struct snapshot_pack *pack)
{
    struct bytes stored;
    assert_int_equal(snapshot_pack_end(pack, &s->row[s->chunks], &stored), OK);
    s->chunk[s->chunks++] = heap_copy(stored.ptr, stored.len);
}
/* The manifest as the head and rows are now. */
static void snap_sign(struct bed *b, struct snap *s)
{
    static uint8_t out[8192];
    uint8_t table[SNAP_CHUNKS * SNAPSHOT_ROW];
    struct wr t = wr_over(table, sizeof table), w = wr_over(out, sizeof out);
    for (size_t i = 0; i < s->chunks; i++)
        snapshot_row_put(&t, &s->row[i]);
    head_sign(&s->sh, &s->head, &b->core.key);
    struct snapshot_manifest m = { .about = { STORE_CORE, s->head, s->sh }, .table = wr_done(&t) };
    snapshot_manifest_put(&w, &m);
    assert_false(w.full);
    bytes_free(s->manifest);
    s->manifest = heap_copy(w.buf, w.len);
}
static void snap_make(struct bed *b, struct snap *s, uint64_t seq, unsigned entries, size_t len)
{
    struct snapshot_pack *pack;
    struct digest lanes = { .lane = { 0 } };
    struct record rec;
    uint8_t *noise = malloc(len);
    *s = (struct snap){ .chunks = 0 };
    assert_int_equal(record_read(b->core.log[seq], &rec), OK);
    s->head = rec.head;
    s->head.keys = s->head.bytes = 0;
    randombytes_buf(noise, len);
    assert_int_equal(snapshot_pack_open(&pack), OK);
    for (unsigned i = 0; i < entries; i++) {
        char key[16];
        snprintf(key, sizeof key, "n%06u", i);
        struct entry e = { bytes_of_text(key), bytes_of(noise, len) };
        struct bytes ns = bytes_of_text(entries > 500 && i >= entries / 2 ? "second" : "kv");
        if (!snapshot_pack_add(pack, ns, &e)) {
            snap_end(s, pack);
            assert_true(snapshot_pack_add(pack, ns, &e));
        }
        digest_add(&lanes, ns, e.key, e.value);
        s->head.keys++;
        s->head.bytes += e.key.len + e.value.len;
    }
    if (snapshot_pack_entries(pack) > 0)
        snap_end(s, pack);
    digest_final(&lanes, s->head.digest);
    snap_sign(b, s);
    snapshot_pack_close(pack);
    free(noise);
}
static void snap_free(struct snap *s)
{
    bytes_free(s->manifest);
    for (size_t i = 0; i < s->chunks; i++)
        bytes_free(s->chunk[i]);
}
static struct job_result do_job(struct bed *b, enum job_kind kind, struct bytes bytes, size_t index)
{
    struct job job = { .kind = kind, .bytes = bytes, .index = index };
    struct job_result res;
    edge_do(&b->edge, &job, &res, &b->fault);
    return res;
}
static enum err begin(struct bed *b, const struct snap *s) { return do_job(b, JOB_COPY, s->manifest, 0).err; }
static enum err load(struct bed *b, const struct snap *s, size_t i) { return do_job(b, JOB_LOAD, s->chunk[i], i).err; }
static enum err flip(struct bed *b) { return do_job(b, JOB_FLIP, (struct bytes){ 0 }, 0).err; }

/* The copied entries are what readers see. */
static void shows_snap(struct bed *b, const struct snap *s)
{
    struct view *v;
    struct head h;
    struct bytes got;
    assert_int_equal(view_open(b->store, &v, &b->fault), OK);
    assert_int_equal(view_begin(v), OK);
    assert_int_equal(view_head(v, &h, NULL), OK);
    assert_true(h.seq == s->head.seq && h.keys == s->head.keys);
    assert_int_equal(view_get(v, bytes_of_text("kv"), bytes_of_text("n000000"), &got), OK);
    assert_int_equal(view_get(v, bytes_of_text("kv"), bytes_of_text("key-00"), &got), ERR_NOTFOUND);
    view_end(v);
    view_close(v);
}

/* A copy fills beside the data; readers see the old one until the flip. */
static void copy_and_flip(void **state)
{
    struct bed b;
    struct snap s;
    uint64_t first, last;
    (void)state;
    bed_open(&b, 0);
    commits(&b, 6, 1);
    assert_int_equal(store(&b, 1, 4, 9), OK);
    snap_make(&b, &s, 6, 100, 40000);
    assert_true(s.chunks == 4);
    assert_int_equal(begin(&b, &s), OK);
    for (size_t i = 0; i < s.chunks; i++) {
        struct job_result res = do_job(&b, JOB_LOAD, s.chunk[i], i);
        assert_true(res.err == OK && res.applied.seq == 4 && res.log.seq == 4);
        shows(&b, 4);
    }
    struct job_result res = do_job(&b, JOB_FLIP, (struct bytes){ 0 }, 0);
    assert_true(res.err == OK && res.applied.seq == 6 && res.log.seq == 6 && res.complete == 6);
    assert_memory_equal(res.applied.chain, s.head.chain, CHAIN_LEN);
    shows_snap(&b, &s);
    assert_int_equal(log_range(b.store, &first, &last), OK);
    assert_true(first == 0 && last == 0 && b.edge.served.len > 0);
    down(&b);
    up(&b);
    shows_snap(&b, &s);
    assert_true(b.edge.applied.seq == 6 && b.edge.log.seq == 6 && b.edge.complete == 6 && b.edge.served.len > 0);
    snap_free(&s);
    bed_close(&b);
}

/* More than the store keeps in memory: written out in between, also behind a namespace that is made in between. */
static void large_copy(void **state)
{
    (void)state;
    for (int cut = 0; cut < 2; cut++) {
        struct bed b;
        struct snap s;
        struct view *v;
        struct bytes got;
        bed_open(&b, 0);
        commits(&b, 6, 1);
        assert_int_equal(store(&b, 1, 4, 9), OK);
        snap_make(&b, &s, 6, 900, 40000);
        assert_int_equal(begin(&b, &s), OK);
        for (size_t i = 0; i + (size_t)cut < s.chunks; i++)
            assert_int_equal(load(&b, &s, i), OK);
        if (cut)
            assert_int_equal(do_job(&b, JOB_DROP, (struct bytes){ 0 }, 0).err, OK);
        else
            assert_int_equal(flip(&b), OK);
        down(&b);
        up(&b);
        if (cut) {
            shows(&b, 4);
        } else {
            shows_snap(&b, &s);
            assert_int_equal(view_open(b.store, &v, &b.fault), OK);
            assert_int_equal(view_begin(v), OK);
            assert_int_equal(view_get(v, bytes_of_text("second"), bytes_of_text("n000899"), &got), OK);
            assert_int_equal(view_get(v, bytes_of_text("kv"), bytes_of_text("n000899"), &got), ERR_NOTFOUND);
            view_end(v);
            view_close(v);
        }
        snap_free(&s);
        bed_close(&b);
    }
}

/* Behind a copy of the model's own state the log goes on. */
static void log_goes_on_behind_a_copy(void **state)
{
    struct bed b;
    struct snap s = { .chunks = 0 };
    struct snapshot_pack *pack;
    struct record rec;
    (void)state;
    bed_open(&b, 0);
    commits(&b, 6, 1);
    assert_int_equal(record_read(b.core.log[5], &rec), OK);
    s.head = rec.head;
    assert_int_equal(snapshot_pack_open(&pack), OK);
    for (int i = 0; i < MODEL_KEYS; i++) {
        char key[16], value[16];
        snprintf(key, sizeof key, "key-%02d", i);
        snprintf(value, sizeof value, "%u", b.core.state[5].value[i]);
        struct entry e = { bytes_of_text(key), bytes_of_text(value) };
        if (b.core.state[5].value[i] != 0)
            assert_true(snapshot_pack_add(pack, bytes_of_text("kv"), &e));
    }
    snap_end(&s, pack);
    snapshot_pack_close(pack);
    snap_sign(&b, &s);
    assert_int_equal(begin(&b, &s), OK);
    assert_int_equal(load(&b, &s, 0), OK);
    assert_int_equal(flip(&b), OK);
    shows(&b, 5);
    assert_int_equal(store(&b, 6, 6, 9), OK);
    shows(&b, 6);
    down(&b);
    up(&b);
    shows(&b, 6);
    snap_free(&s);
    bed_close(&b);
}

/* What is done to a snapshot of four chunks, which job refuses it and how. Data and log are as before, and the right one
 * can be copied behind it. */
enum tamper { TORN_MANIFEST, NO_MANIFEST, FLIPPED_BIT, OTHER_CHUNK, CUT_CHUNK, TOO_MANY, TOO_MANY_BYTES, TOO_FEW, WRONG_DIGEST, OTHER_CLUSTER,
              SKIPPED, EARLY_FLIP, NO_COPY };
static const struct { const char *why; enum tamper tamper; enum job_kind at; enum err want; } tampers[] = {
    { "a manifest that ends early",             TORN_MANIFEST,  JOB_COPY, ERR_BAD },
    { "no manifest",                            NO_MANIFEST,    JOB_COPY, ERR_BAD },
    { "a chunk with a flipped bit",             FLIPPED_BIT,    JOB_LOAD, ERR_BAD },
    { "another chunk in its place",             OTHER_CHUNK,    JOB_LOAD, ERR_BAD },
    { "a chunk cut short",                      CUT_CHUNK,      JOB_LOAD, ERR_BAD },
    { "a table with an entry too many",         TOO_MANY,       JOB_LOAD, ERR_BAD },
    { "values longer than the head allows",     TOO_MANY_BYTES, JOB_LOAD, ERR_LIMIT },
    { "fewer bytes than the head says",         TOO_FEW,        JOB_FLIP, ERR_BAD },
    { "another digest than the head's",         WRONG_DIGEST,   JOB_FLIP, ERR_DIGEST },
    { "another cluster's",                      OTHER_CLUSTER,  JOB_FLIP, ERR_CLUSTER },
    { "a chunk left out",                       SKIPPED,        JOB_LOAD, ERR_NOTNOW },
    { "the flip too early",                     EARLY_FLIP,     JOB_FLIP, ERR_NOTNOW },
    { "a chunk without a copy",                 NO_COPY,        JOB_LOAD, ERR_NOTNOW },
};
static void tamper(struct bed *b, struct snap *s, enum tamper how)
{
    switch (how) {
    case TORN_MANIFEST: s->manifest.len--; break;
    case NO_MANIFEST:   s->manifest.len = 0; break;
    case FLIPPED_BIT:   ((uint8_t *)(uintptr_t)s->chunk[2].ptr)[9] ^= 1; break;
    case CUT_CHUNK:     s->chunk[2].len--; break;
    case TOO_MANY:      s->row[2].entries++; s->head.keys++; s->head.bytes -= 7; break;
    case TOO_MANY_BYTES: s->head.bytes -= 100; break;       /* within what namespace names may add to raw */
    case TOO_FEW:       s->head.bytes++; break;
    case WRONG_DIGEST:  s->head.digest[0] ^= 1; break;
    case OTHER_CLUSTER: s->head.cluster[0] ^= 1; break;
    case OTHER_CHUNK: case SKIPPED: case EARLY_FLIP: case NO_COPY: break;
    }
    if (how >= TOO_MANY && how <= OTHER_CLUSTER)
        snap_sign(b, s);
}
static void tampered_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(tampers); i++) {
        struct bed b;
        struct snap s;
        enum err err = OK;
        enum job_kind at = JOB_COPY;
        enum tamper how = tampers[i].tamper;
        bed_open(&b, 0);
        commits(&b, 6, 1);
        assert_int_equal(store(&b, 1, 4, 9), OK);
        snap_make(&b, &s, 6, 100, 40000);
        tamper(&b, &s, how);
        err = how == NO_COPY ? OK : begin(&b, &s);
        for (size_t k = 0; k < s.chunks && err == OK; k++) {
            at = JOB_LOAD;
            if (how == OTHER_CHUNK && k == 2)
                err = do_job(&b, JOB_LOAD, s.chunk[1], 2).err;
            else if (!((how == SKIPPED && k == 2) || (how == EARLY_FLIP && k == 3)))
                err = load(&b, &s, k);
        }
        if (err == OK) {
            at = JOB_FLIP;
            err = flip(&b);
        }
        if (err != tampers[i].want || at != tampers[i].at)
            fail_msg("%s: job %d says '%s' (%s)", tampers[i].why, (int)at, err_text(err), b.fault.text);
        shows(&b, 4);
        assert_true(b.edge.applied.seq == 4 && b.edge.log.seq == 4);
        if (store_is_fresh(b.store))
            fail_msg("%s: the fresh generation stays", tampers[i].why);
        assert_int_equal(store(&b, 5, 5, 9), OK);           /* and the log goes on */
        shows(&b, 5);
        snap_free(&s);
        snap_make(&b, &s, 6, 100, 40000);
        assert_int_equal(begin(&b, &s), OK);
        for (size_t k = 0; k < s.chunks; k++)
            assert_int_equal(load(&b, &s, k), OK);
        assert_int_equal(flip(&b), OK);
        shows_snap(&b, &s);
        snap_free(&s);
        bed_close(&b);
    }
}

static void given_up_or_begun_anew(void **state)
{
    struct bed b;
    struct snap s;
    (void)state;
    bed_open(&b, 0);
    commits(&b, 6, 1);
    assert_int_equal(store(&b, 1, 4, 9), OK);
    snap_make(&b, &s, 6, 100, 40000);
    assert_int_equal(do_job(&b, JOB_DROP, (struct bytes){ 0 }, 0).err, OK);    /* nothing to drop */
    assert_int_equal(begin(&b, &s), OK);
    assert_int_equal(load(&b, &s, 0), OK);
    assert_int_equal(do_job(&b, JOB_DROP, (struct bytes){ 0 }, 0).err, OK);
    assert_false(store_is_fresh(b.store));
    assert_int_equal(store(&b, 5, 5, 9), OK);
    shows(&b, 5);
    assert_int_equal(begin(&b, &s), OK);
    assert_int_equal(load(&b, &s, 0), OK);
    assert_int_equal(begin(&b, &s), OK);                    /* from the first chunk again */
    assert_int_equal(load(&b, &s, 1), ERR_NOTNOW);
    assert_int_equal(begin(&b, &s), OK);
    for (size_t k = 0; k < s.chunks; k++)
        assert_int_equal(load(&b, &s, k), OK);
    assert_int_equal(flip(&b), OK);
    shows_snap(&b, &s);
    snap_free(&s);
    bed_close(&b);
}

/* Killed behind each job: the old data, until the flip is done. The folder is copied as a kill leaves it. */
static void killed_between_jobs(void **state)
{
    (void)state;
    for (size_t jobs = 0; jobs <= 6; jobs++) {
        struct bed b, after;
        struct snap s;
        char command[600];
        bed_open(&b, 0);
        commits(&b, 6, 1);
        assert_int_equal(store(&b, 1, 4, 9), OK);
        snap_make(&b, &s, 6, 100, 40000);
        if (jobs > 0)
            assert_int_equal(begin(&b, &s), OK);
        for (size_t k = 0; k + 1 < jobs && k < s.chunks; k++)
            assert_int_equal(load(&b, &s, k), OK);
        if (jobs == 6)
            assert_int_equal(flip(&b), OK);
        after = b;
        dir_make(after.dir, sizeof after.dir, "killed");
        snprintf(command, sizeof command, "cp -r %s/. %s/", b.dir, after.dir);
        assert_int_equal(system(command), 0);
        up(&after);
        if (jobs == 6) {
            shows_snap(&after, &s);
        } else {
            shows(&after, 4);
            assert_true(after.edge.applied.seq == 4 && after.edge.log.seq == 4 && !store_is_fresh(after.store));
            assert_int_equal(store(&after, 5, 5, 9), OK);
            shows(&after, 5);
            snprintf(command, sizeof command, "test $(ls -d %s/data.* | wc -l) = 1", after.dir);
            assert_int_equal(system(command), 0);
        }
        down(&after);
        dir_remove(after.dir);
        snap_free(&s);
        bed_close(&b);
    }
}

/* A map that the copy does not fit into: the data serves on and follows; with room it is copied. */
static void full_while_copying(void **state)
{
    struct bed b;
    struct snap s;
    enum err err;
    (void)state;
    bed_open(&b, 3 << 20);
    commits(&b, 6, 1);
    assert_int_equal(store(&b, 1, 4, 9), OK);
    snap_make(&b, &s, 6, 100, 40000);
    err = begin(&b, &s);
    for (size_t k = 0; k < s.chunks && err == OK; k++)
        err = load(&b, &s, k);
    assert_int_equal(err == OK ? flip(&b) : err, ERR_FULL);
    assert_false(store_is_fresh(b.store));
    shows(&b, 4);
    assert_int_equal(store(&b, 5, 5, 9), OK);
    shows(&b, 5);
    down(&b);
    b.map = 64 << 20;
    up(&b);
    assert_int_equal(begin(&b, &s), OK);
    for (size_t k = 0; k < s.chunks; k++)
        assert_int_equal(load(&b, &s, k), OK);
    assert_int_equal(flip(&b), OK);
    shows_snap(&b, &s);
    snap_free(&s);
    bed_close(&b);
}

/* The worker copies the job's bytes, and drops an unfinished copy at its end. */
static void worker_copies(void **state)
{
    (void)state;
    for (int whole = 0; whole < 2; whole++) {
        struct bed b;
        struct snap s;
        struct edge_thread *w;
        struct job_result res;
        bed_open(&b, 0);
        commits(&b, 6, 1);
        assert_int_equal(store(&b, 1, 4, 9), OK);
        snap_make(&b, &s, 6, 100, 40000);
        assert_int_equal(edge_thread_open(&w, &b.edge), OK);
        for (size_t k = 0; k < (whole ? s.chunks + 2 : 3); k++) {
            struct bytes from = k == 0 ? s.manifest : k <= s.chunks ? s.chunk[k - 1] : (struct bytes){ 0 };
            struct bytes bytes = heap_copy(from.ptr, from.len);
            struct job job = { .kind = k == 0 ? JOB_COPY : k <= s.chunks ? JOB_LOAD : JOB_FLIP, .bytes = bytes,
                               .index = k > 0 ? k - 1 : 0 };
            enum err err;
            assert_true(edge_is_large(&b.edge, &job));
            assert_int_equal(edge_thread_begin(w, &job), OK);
            bytes_free(bytes);
            while ((err = edge_thread_take(w, &res, &b.fault)) == ERR_AGAIN)
                usleep(200);
            assert_int_equal(err, OK);
            assert_int_equal(res.err, OK);
        }
        edge_thread_close(w);
        assert_false(store_is_fresh(b.store));
        if (whole)
            shows_snap(&b, &s);
        else
            shows(&b, 4);
        snap_free(&s);
        bed_close(&b);
    }
}

static void wrong_digest_changes_nothing(void **state)
{
    struct bed b;
    (void)state;
    bed_open(&b, 0);
    commits(&b, 2, 1);
    assert_int_equal(store(&b, 1, 2, 9), OK);
    model_commit(&b.core, &b.rnd, 1, true);
    assert_int_equal(store(&b, 3, 3, 9), ERR_DIGEST);
    shows(&b, 2);
    down(&b);
    up(&b);
    shows(&b, 2);
    bed_close(&b);
}

/* A core with real ops; its records go to an edge with a small map. */
static void full_edge(void **state)
{
    struct bed b;
    uint8_t *noise = malloc(32768);
    struct encoder *e;
    struct digest lanes = { .lane = { 0 } };
    struct position at = { 0 }, next;
    struct head h = { .epoch = 1, .cohorts_n = 1, .cohorts = { { "all", 0 } } };
    enum err err = OK;
    uint64_t good = 0;
    (void)state;
    bed_open(&b, 3 << 20);
    randombytes_buf(noise, 32768);
    memcpy(h.cluster, b.core.cluster, CLUSTER_LEN);
    assert_int_equal(encoder_open(&e, b.core.cluster, &b.core.key), OK);
    struct bytes last = { 0 };
    for (int i = 0; i < 300 && err == OK; i++) {
        char key[16];
        struct signed_head sh;
        struct bytes record;
        struct job_result res;
        snprintf(key, sizeof key, "key-%d", i);
        struct op op = { OP_PUT, bytes_of_text("kv"), bytes_of_text(key), bytes_of(noise, 32768) };
        digest_add(&lanes, op.ns, op.key, op.value);
        encoder_begin(e, &at, 1, 1, &op, 1);
        assert_int_equal(encoder_part(e, &next), OK);
        h.seq = next.seq;
        memcpy(h.chain, next.chain, CHAIN_LEN);
        digest_final(&lanes, h.digest);
        h.keys++;
        h.bytes += op.key.len + op.value.len;
        head_sign(&sh, &h, &b.core.key);
        assert_int_equal(encoder_record(e, &sh, &record, NULL), OK);
        struct job job = { .kind = JOB_STORE, .records = &record, .n = 1, .apply_to = UINT64_MAX };
        edge_do(&b.edge, &job, &res, &b.fault);
        err = res.err;
        at = next;
        if (err == OK)
            good = next.seq;
        bytes_free(last);
        last = heap_copy(record.ptr, record.len);
    }
    assert_int_equal(err, ERR_FULL);
    assert_true(good > 10 && b.edge.applied.seq == good);
    down(&b);
    b.map = 64 << 20;                                           /* there is room again */
    up(&b);
    struct job job = { .kind = JOB_STORE, .records = &last, .n = b.edge.log.seq == good ? 1 : 0, .apply_to = UINT64_MAX };     /* or the log had it already */
    struct job_result res;
    edge_do(&b.edge, &job, &res, &b.fault);
    assert_int_equal(res.err, OK);
    assert_int_equal(res.applied.seq, good + 1);
    encoder_close(e);
    bytes_free(last);
    free(noise);
    bed_close(&b);
}

static void worker_does_the_same(void **state)
{
    struct bed b;
    struct edge_thread *w;
    struct job_result res;
    (void)state;
    bed_open(&b, 0);
    commits(&b, 4, 1);
    assert_int_equal(edge_thread_open(&w, &b.edge), OK);
    assert_int_equal(edge_thread_take(w, &res, &b.fault), ERR_AGAIN);
    for (uint64_t seq = 1; seq <= 4; seq += 2) {
        struct bytes records[2] = { heap_copy(b.core.log[seq].ptr, b.core.log[seq].len),
                                    heap_copy(b.core.log[seq + 1].ptr, b.core.log[seq + 1].len) };
        struct job job = { .kind = JOB_STORE, .records = records, .n = 2, .apply_to = 9 };
        enum err err;
        assert_int_equal(edge_thread_begin(w, &job), OK);
        bytes_free(records[0]);                 /* they were copied */
        bytes_free(records[1]);
        while ((err = edge_thread_take(w, &res, &b.fault)) == ERR_AGAIN)
            usleep(200);
        assert_int_equal(err, OK);
        assert_int_equal(res.err, OK);
        assert_int_equal(res.applied.seq, seq + 1);
    }
    edge_thread_close(w);
    shows(&b, 4);
    bed_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_become_data), cmocka_unit_test(parts_wait_for_the_last), cmocka_unit_test(held_back_by_release),
        cmocka_unit_test(log_ahead_is_applied_at_start), cmocka_unit_test(damaged_log_rows),
        cmocka_unit_test(machine_crash_throws_the_log_away), cmocka_unit_test(copy_and_flip), cmocka_unit_test(large_copy), cmocka_unit_test(log_goes_on_behind_a_copy),
        cmocka_unit_test(tampered_rows), cmocka_unit_test(given_up_or_begun_anew), cmocka_unit_test(killed_between_jobs),
        cmocka_unit_test(full_while_copying), cmocka_unit_test(worker_copies),
        cmocka_unit_test(wrong_digest_changes_nothing), cmocka_unit_test(full_edge), cmocka_unit_test(worker_does_the_same),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
