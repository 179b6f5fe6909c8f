#include "store/internal.h"

#include <stdlib.h>

#define HEAD_KEY "head"
#define LANES_KEY "lanes"
#define FORMAT_KEY "format"
#define SUPERSEDED_KEY "superseded"
#define LOADED_KEY "loaded"

static MDB_val text_val(const char *text) { return (MDB_val){ strlen(text), (void *)(uintptr_t)text }; }

bool ns_name_fits(struct bytes ns)
{
    if (ns.len == 0 || ns.len > STORE_NS_MAX)
        return false;
    for (size_t i = 0; i < ns.len; i++) {
        uint8_t c = ns.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-'))
            return false;
    }
    return true;
}

/* --- meta --------------------------------------------------------------------------------------------------------- */
MUST_USE enum err meta_head(MDB_txn *txn, MDB_dbi meta, struct head *out, struct signed_head *out_signed)
{
    MDB_val k = text_val(HEAD_KEY), v;
    struct head h;
    int rc = mdb_get(txn, meta, &k, &v);
    if (rc != 0)
        return lmdb_err(NULL, rc, "read", "head");
    struct rd r = rd_over(bytes_of_val(v));
    struct bytes sig = rd_take(&r, HEAD_SIG_LEN);
    struct bytes body = bytes_of(r.p, rd_left(&r));
    if (r.bad || body.len > HEAD_MAX || head_read(&r, &h) != OK || !rd_done(&r))
        return ERR_BAD;
    if (out_signed != NULL) {
        memcpy(out_signed->sig, sig.ptr, HEAD_SIG_LEN);
        memcpy(out_signed->body, body.ptr, body.len);
        out_signed->len = body.len;
    }
    *out = h;
    return OK;
}

MUST_USE enum err meta_lanes(MDB_txn *txn, MDB_dbi meta, struct digest *out)
{
    MDB_val k = text_val(LANES_KEY), v;
    int rc = mdb_get(txn, meta, &k, &v);
    if (rc != 0)
        return lmdb_err(NULL, rc, "read", "lanes");
    if (v.mv_size != 2 * DIGEST_LANES)
        return ERR_BAD;
    digest_read(out, v.mv_data);
    return OK;
}

MUST_USE enum err meta_put(MDB_txn *txn, MDB_dbi meta, const struct signed_head *sh, const struct digest *lanes,
                           struct fault *fault)
{
    uint8_t buf[HEAD_SIG_LEN + HEAD_MAX], *stored = buf;
    MDB_val k = text_val(HEAD_KEY), v = { HEAD_SIG_LEN + sh->len, buf };
    memcpy(buf, sh->sig, HEAD_SIG_LEN);
    memcpy(buf + HEAD_SIG_LEN, sh->body, sh->len);
    int rc = mdb_put(txn, meta, &k, &v, 0);
    if (rc == 0) {
        k = text_val(LANES_KEY);
        v = (MDB_val){ 2 * DIGEST_LANES, NULL };
        rc = mdb_put(txn, meta, &k, &v, MDB_RESERVE);
        stored = v.mv_data;
    }
    if (rc != 0)
        return lmdb_err(fault, rc, "write", "head");
    digest_write(lanes, stored);
    return OK;
}

MUST_USE enum err meta_loaded_put(MDB_txn *txn, MDB_dbi meta, bool on, uint64_t epoch, struct fault *fault)
{
    uint8_t value[8];
    struct wr w = wr_over(value, sizeof value);
    MDB_val k = text_val(LOADED_KEY), v = { sizeof value, value };
    wr_u64(&w, epoch);
    int rc = on ? mdb_put(txn, meta, &k, &v, 0) : mdb_del(txn, meta, &k, NULL);
    return lmdb_err(fault, !on && rc == MDB_NOTFOUND ? 0 : rc, "write", "mark of a load");
}

MUST_USE enum err meta_loaded(MDB_txn *txn, MDB_dbi meta, uint64_t *epoch)
{
    MDB_val k = text_val(LOADED_KEY), v;
    int rc = mdb_get(txn, meta, &k, &v);
    if (rc != 0)
        return lmdb_err(NULL, rc, "read", "mark of a load");
    struct rd r = rd_over(bytes_of_val(v));
    *epoch = rd_u64(&r);
    return rd_done(&r) ? OK : ERR_BAD;
}

bool meta_superseded(MDB_txn *txn, MDB_dbi meta)
{
    MDB_val k = text_val(SUPERSEDED_KEY), v;
    return mdb_get(txn, meta, &k, &v) == 0;
}

void meta_supersede(struct gen *g)
{
    MDB_txn *txn;
    MDB_val k = text_val(SUPERSEDED_KEY), v = { 0, NULL };
    if (mdb_txn_begin(g->env->mdb, NULL, 0, &txn) != 0)
        return;
    if (mdb_put(txn, g->meta, &k, &v, 0) == 0)
        (void)mdb_txn_commit(txn);
    else
        mdb_txn_abort(txn);
}

/* --- namespaces --------------------------------------------------------------------------------------------------- */
const struct ns_slot *gen_ns(const struct gen *g, struct bytes ns)
{
    unsigned n = atomic_load_explicit(&g->names_n, memory_order_acquire);
    for (unsigned i = 0; i < n; i++)
        if (g->names[i].len == ns.len && memcmp(g->names[i].name, ns.ptr, ns.len) == 0)
            return &g->names[i];
    return NULL;
}

/* One thread at a time: the writing one, or the holder of env.lock in a process that only reads. */
void gen_names_add(struct gen *g, struct bytes ns, MDB_dbi dbi)
{
    unsigned n = atomic_load(&g->names_n);
    struct ns_slot *slot = &g->names[n];
    memcpy(slot->name, ns.ptr, ns.len);
    slot->name[ns.len] = '\0';
    slot->len = ns.len;
    slot->dbi = dbi;
    atomic_store_explicit(&g->names_n, n + 1, memory_order_release);
}

/* Opens every named database that is a namespace and not open yet. */
static enum err names_walk(struct gen *g, MDB_txn *txn)
{
    MDB_cursor *c = NULL;
    MDB_val k, v;
    MDB_stat st;
    int rc = mdb_stat(txn, MAIN_DBI, &st);
    if (rc == 0)
        rc = mdb_cursor_open(txn, MAIN_DBI, &c);
    for (int op = MDB_FIRST; rc == 0 && (rc = mdb_cursor_get(c, &k, &v, (MDB_cursor_op)op)) == 0; op = MDB_NEXT) {
        struct bytes ns = bytes_of_val(k);
        char name[STORE_NS_MAX + 1] = { 0 };
        MDB_dbi dbi;
        if (!ns_name_fits(ns) || gen_ns(g, ns) != NULL)
            continue;
        memcpy(name, ns.ptr, ns.len);
        if (atomic_load(&g->names_n) == STORE_NAMESPACES_MAX)
            rc = MDB_DBS_FULL;
        else if ((rc = mdb_dbi_open(txn, name, 0, &dbi)) == 0)
            gen_names_add(g, bytes_of(name, ns.len), dbi);
    }
    if (c != NULL)
        mdb_cursor_close(c);
    if (rc == MDB_NOTFOUND) {
        atomic_store(&g->names_seen, st.ms_entries);
        rc = 0;
    }
    return lmdb_err(NULL, rc, "read", "names");
}

MUST_USE enum err gen_names_load(struct gen *g, struct fault *fault)
{
    MDB_txn *txn;
    enum err err = env_read_begin(g->env, &txn, fault);
    if (err != OK)
        return err;
    err = names_walk(g, txn);
    env_read_end(g->env, txn);
    return err == OK ? OK : fault_set(fault, err, "cannot read the namespaces of %s", env_path(g->env));
}

/* --- opening ------------------------------------------------------------------------------------------------------ */
static unsigned env_flags(const struct store *s)
{
    if (!store_writable(s))
        return MDB_RDONLY;
    return s->volatile_data ? MDB_NOSYNC : MDB_NOMETASYNC;
}

static enum err gen_make(struct gen **out, const char *path, unsigned number, unsigned flags, const struct store *s,
                         struct fault *fault)
{
    struct gen *g = calloc(1, sizeof *g);
    if (g == NULL)
        return ERR_NOMEM;
    g->number = number;
    g->refs = 1;
    enum err err = env_open(&g->env, path, flags, s->map, fault);
    if (err != OK) {
        free(g);
        return err;
    }
    if (s->soft && store_writable(s) && !s->volatile_data)
        env_allow_soft(g->env, s->boot);
    *out = g;
    return OK;
}

void gen_close(struct gen *g)
{
    char path[STORE_PATH_MAX];
    if (g == NULL)
        return;
    (void)memccpy(path, env_path(g->env), 0, sizeof path);
    if (g->doomed)
        env_abandon(g->env);
    env_close(g->env);
    if (g->doomed)
        env_files_remove(path, true);
    free(g);
}

MUST_USE enum err gen_create(struct gen **out, const char *path, unsigned number, const struct store *s,
                             struct fault *fault)
{
    struct gen *g;
    MDB_txn *txn = NULL;
    MDB_dbi first = 0;
    MDB_val k = text_val(FORMAT_KEY), v;
    uint8_t format[4];
    struct wr w = wr_over(format, sizeof format);
    wr_u32(&w, STORE_FORMAT);
    v = (MDB_val){ sizeof format, format };
    enum err err = folder_make(path, fault);
    if (err != OK)
        return err;
    env_files_remove(path, false);
    /* filled without syncs: nothing points here before store_fresh_flip or store_open has synced it as a whole */
    if ((err = gen_make(&g, path, number, MDB_NOSYNC, s, fault)) != OK)
        return err;
    int rc = mdb_txn_begin(g->env->mdb, NULL, 0, &txn);
    if (rc == 0 && (rc = mdb_dbi_open(txn, META_DB, MDB_CREATE, &g->meta)) == 0 &&
        (rc = mdb_dbi_open(txn, RING_DB, MDB_CREATE, &g->ring)) == 0 &&
        (rc = mdb_dbi_open(txn, FIRST_NS, MDB_CREATE, &first)) == 0)
        rc = mdb_put(txn, g->meta, &k, &v, 0);
    if (rc == 0)
        rc = mdb_txn_commit(txn);
    else if (txn != NULL)
        mdb_txn_abort(txn);
    if (rc != 0) {
        err = lmdb_err(fault, rc, "make", path);
        g->doomed = true;
        gen_close(g);
        return err;
    }
    gen_names_add(g, bytes_of_text(FIRST_NS), first);
    atomic_store(&g->names_seen, 3);
    *out = g;
    return OK;
}

/* Our own databases and the format. */
static enum err own_open(struct gen *g, const char *path, struct fault *fault)
{
    MDB_txn *txn;
    MDB_val k = text_val(FORMAT_KEY), v;
    enum err err = env_read_begin(g->env, &txn, fault);
    if (err != OK)
        return err;
    int rc = mdb_dbi_open(txn, META_DB, 0, &g->meta);
    if (rc == 0)
        rc = mdb_dbi_open(txn, RING_DB, 0, &g->ring);
    if (rc == 0)
        rc = mdb_get(txn, g->meta, &k, &v);
    if (rc == MDB_NOTFOUND || rc == MDB_INCOMPATIBLE) {
        err = fault_set(fault, ERR_FORMAT, "%s: not the data of an azoth store", path);
    } else if (rc != 0) {
        err = lmdb_err(fault, rc, "read", path);
    } else {
        struct rd r = rd_over(bytes_of_val(v));
        uint32_t format = rd_u32(&r);
        if (!rd_done(&r) || format != STORE_FORMAT)
            err = fault_set(fault, ERR_FORMAT, "%s: data format %u, this program knows format %d only", path, format,
                            STORE_FORMAT);
    }
    env_read_end(g->env, txn);
    return err;
}

/* What the writer keeps in memory; head and lanes must fit together. */
static enum err newest_load(struct gen *g, const char *path, struct fault *fault)
{
    uint8_t sum[DIGEST_LEN];
    MDB_txn *txn;
    enum err err = env_read_begin(g->env, &txn, fault);
    if (err != OK)
        return err;
    err = meta_head(txn, g->meta, &g->head, &g->signed_head);
    if (err == OK) {
        g->has_head = true;
        g->keys = g->head.keys;
        g->bytes = g->head.bytes;
        err = meta_lanes(txn, g->meta, &g->lanes);
        digest_final(&g->lanes, sum);
        if (err != OK || memcmp(sum, g->head.digest, DIGEST_LEN) != 0)
            err = ERR_BAD;
    } else if (err == ERR_NOTFOUND) {
        err = OK;
    }
    if (err == OK) {
        err = meta_loaded(txn, g->meta, &g->loaded_over);
        g->loaded = err == OK;
        err = err == ERR_NOTFOUND ? OK : err;
    }
    env_read_end(g->env, txn);
    return err == OK ? OK : fault_set(fault, err, "%s: head and digest of the data do not fit together", path);
}

MUST_USE enum err gen_open(struct gen **out, const char *path, unsigned number, const struct store *s,
                           struct fault *fault)
{
    struct gen *g;
    enum err err = env_mend(path, s, fault);
    if (err != OK || (err = gen_make(&g, path, number, env_flags(s), s, fault)) != OK)
        return err;
    if (s->needs_slot && !env_has_slots(g->env))
        err = fault_set(fault, ERR_IO, "%s/lock.mdb: no reader slot can be taken on a read-only file system, and the writer would "
                        "overwrite what is being read (in a systemd unit: ReadWritePaths)", path);
    if (err == OK && (err = own_open(g, path, fault)) == OK && (err = gen_names_load(g, fault)) == OK && store_writable(s))
        err = newest_load(g, path, fault);
    if (err != OK) {
        gen_close(g);
        return err;
    }
    *out = g;
    return OK;
}
