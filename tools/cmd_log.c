/* azoth log: decoded log records, oldest first; with --verify their signatures and the chain from one to the next. */
#include "replicator/keyring.h"
#include "replicator/record.h"
#include "store/kvvalue.h"
#include "tools/rrtext.h"
#include "tools/tool.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>

const struct option_spec log_options[] = {
    OPTION("from", "SEQ", OPTION_NUMBER, from, "begin with this record (default: the oldest there is)"),
    OPTION("limit", "COUNT", OPTION_NUMBER, limit, "print at most so many records"),
    OPTION("verify", NULL, OPTION_FLAG, verify, "check signatures and the chain"),
    OPTION("core-key", "KEY", OPTION_TEXT, core_key,
           "the core's public key, ed25519:BASE64 (default on a core: its node.pub)"),
    OPTION_END,
};

struct log_run {
    const struct options *o;
    const struct tool_store *t;
    struct log_reader *reader;
    struct keyring *keys;       /* NULL: not ours to read */
    uint8_t *buf;               /* of `cap` bytes: the record at hand */
    size_t cap;
    struct arena arena;         /* its ops */
    uint8_t pub[32];
    bool have_prev;
    uint8_t prev[CHAIN_LEN];    /* chain hash of the record before the one at hand */
    uint64_t records, bad;
};

/* The record with this seq, decoded; borrowed from run->buf until the next call. */
static enum err take(struct log_run *run, uint64_t seq, struct bytes *bytes, struct record *out)
{
    size_t need = 0;
    enum err err = log_reader_get(run->reader, seq, run->buf, run->cap, bytes, &need);
    if (err == ERR_NOSPACE) {
        uint8_t *more = realloc(run->buf, need);
        if (more == NULL)
            return ERR_NOMEM;
        run->buf = more;
        run->cap = need;
        err = log_reader_get(run->reader, seq, run->buf, run->cap, bytes, &need);
    }
    return err != OK ? err : record_read(*bytes, out);
}

/* What is wrong with the record, or NULL. */
static const char *judge(struct log_run *run, uint64_t seq, const struct record *r)
{
    static const uint8_t zero[CHAIN_LEN];
    const struct head *h = &run->t->head;
    enum err err = record_verify(r, run->pub);
    if (err != OK)
        return err_text(err);
    if (r->seq != seq)
        return "it says another seq than it is stored under";
    if (memcmp(r->cluster, store_cluster(run->t->store), CLUSTER_LEN) != 0)
        return err_text(ERR_CLUSTER);
    if (seq == 1 ? memcmp(r->prev, zero, CHAIN_LEN) != 0 : run->have_prev && memcmp(r->prev, run->prev, CHAIN_LEN) != 0)
        return "it does not join the record before it";
    if (!run->t->empty && h->seq == seq && memcmp(h->chain, r->chain, CHAIN_LEN) != 0)
        return "the head of the data names another chain hash for it";
    return NULL;
}

/* What a put says of a general entry; false: it is in dns, or not one. */
static bool general(const struct op *op, struct kvvalue *out)
{
    return op->kind == OP_PUT && !bytes_equal(op->ns, bytes_of_text(KV_NS_DNS)) && kvvalue_read(op->value, out) == OK;
}

static void print_ops(uint64_t epoch, const struct op *ops, size_t n)
{
    char key[KEY_TEXT_MAX];
    struct kvvalue v;
    for (size_t i = 0; i < n; i++) {
        (void)printf("  %s %.*s %s", ops[i].kind == OP_PUT ? "put" : "del", (int)ops[i].ns.len,
                     (const char *)ops[i].ns.ptr,
                     key_text(key, sizeof key, ops[i].ns, ops[i].key));
        if (general(&ops[i], &v))
            (void)printf(" %zu bytes, version %" PRIu64 ".%" PRIu64, v.bytes.len, epoch, v.seq);
        else if (ops[i].kind == OP_PUT)
            (void)printf(" %zu bytes", ops[i].value.len);
        (void)putchar('\n');
    }
}

static void print_record(const struct record *r, size_t bytes, const struct op *ops, size_t n, const char *state)
{
    char when[TIME_TEXT_MAX], codec[32];
    (void)snprintf(codec, sizeof codec, "codec %" PRIu64, r->codec);
    (void)printf("seq %" PRIu64 " part %" PRIu64 "%s epoch %" PRIu64 " time %s ops %zu bytes %zu %s%s\n  chain ", r->seq,
                 r->part,
                 r->more ? " more" : " last", r->epoch, time_text(when, r->time_ms), n, bytes,
                 r->codec == 0 ? "uncompressed" : r->codec == 1 ? "zstd" : codec, r->key_id != 0 ? " encrypted" : "");
    print_hex(stdout, bytes_of(r->chain, CHAIN_LEN));
    (void)printf("\n  prev  ");
    print_hex(stdout, bytes_of(r->prev, CHAIN_LEN));
    if (r->has_head) {
        (void)printf("\n  head  keys %" PRIu64 " bytes %" PRIu64 " digest ", r->head.keys, r->head.bytes);
        print_hex(stdout, bytes_of(r->head.digest, HEAD_DIGEST_LEN));
    }
    (void)printf("\n  signature %s\n", state);
    print_ops(r->epoch, ops, n);
}

static json_t *json_ops(const struct op *ops, size_t n)
{
    json_t *all = json_array();
    struct kvvalue value;
    for (size_t i = 0; i < n; i++) {
        json_t *v = json_pack("{s:s,s:o,s:o,s:o}", "op", ops[i].kind == OP_PUT ? "put" : "del", "ns",
                              json_stringn((const char *)ops[i].ns.ptr, ops[i].ns.len), "key",
                              json_key(ops[i].ns, ops[i].key), "key_hex", json_hex(ops[i].key));
        if (ops[i].kind == OP_PUT)
            (void)json_object_set_new(v, "bytes", json_integer((json_int_t)ops[i].value.len));
        if (general(&ops[i], &value)) {
            (void)json_object_set_new(v, "version_seq", json_integer((json_int_t)value.seq));
            (void)json_object_set_new(v, "data_bytes", json_integer((json_int_t)value.bytes.len));
        }
        (void)json_array_append_new(all, v);
    }
    return all;
}

static enum err json_record(const struct record *r, size_t bytes, const struct op *ops, size_t n, const char *state)
{
    json_t *v = json_pack("{s:I,s:I,s:b,s:I,s:o,s:I,s:I,s:I,s:I,s:o,s:o,s:s}", "seq", (json_int_t)r->seq, "part",
                          (json_int_t)r->part, "more", r->more, "epoch", (json_int_t)r->epoch, "cluster",
                          json_hex(bytes_of(r->cluster, CLUSTER_LEN)), "time_ms", (json_int_t)r->time_ms, "codec",
                          (json_int_t)r->codec, "key_id", (json_int_t)r->key_id, "bytes", (json_int_t)bytes, "chain",
                          json_hex(bytes_of(r->chain, CHAIN_LEN)), "prev", json_hex(bytes_of(r->prev, CHAIN_LEN)),
                          "signature", state);
    if (r->has_head)
        (void)json_object_set_new(v, "head", json_pack("{s:I,s:I,s:o}", "keys", (json_int_t)r->head.keys, "bytes",
                                                       (json_int_t)r->head.bytes, "digest",
                                                       json_hex(bytes_of(r->head.digest, HEAD_DIGEST_LEN))));
    (void)json_object_set_new(v, "ops", json_ops(ops, n));
    return json_line(v);
}

/* ERR_KEY: encrypted, and the key is not here or not ours to read. */
static enum err ops_of(struct log_run *run, const struct record *r, struct op **ops, size_t *n)
{
    struct record plain = *r;
    uint8_t key[CLUSTER_KEY_LEN];
    uint64_t id;
    if (r->key_id != 0 && run->keys != NULL && keyring_find(run->keys, r->key_id, key, &id) == OK) {
        enum err err = record_decrypt(&plain, key, &run->arena);
        sodium_memzero(key, sizeof key);
        if (err != OK)
            return err;
    }
    return record_ops(&plain, NULL, &run->arena, ops, n);
}

/* One record: printed, judged when asked to. A record that cannot be read is named and the next one is taken. */
static enum err one(struct log_run *run, uint64_t seq)
{
    struct record r;
    struct bytes bytes;
    struct op *ops = NULL;
    size_t n = 0;
    const char *wrong = NULL;
    arena_reset(&run->arena);
    enum err err = take(run, seq, &bytes, &r);
    if (err == OK)
        err = ops_of(run, &r, &ops, &n);
    if (err == ERR_NOMEM)
        return err;
    if (err == ERR_KEY)
        err = OK;               /* key_id says so; all but the ops can be told */
    if (err != OK) {
        run->bad++;
        run->have_prev = false;
        (void)tool_fail(EXIT_DATA, "record %" PRIu64 " cannot be read: %s", seq, err_text(err));
        return OK;
    }
    if (run->o->verify)
        wrong = judge(run, seq, &r);
    const char *state = !run->o->verify ? "not checked" : wrong == NULL ? "good" : "BAD";
    if (run->o->json)
        err = json_record(&r, bytes.len, ops, n, state);
    else
        print_record(&r, bytes.len, ops, n, state);
    if (wrong != NULL) {
        run->bad++;
        (void)tool_fail(EXIT_DATA, "record %" PRIu64 " is bad: %s", seq, wrong);
    }
    run->have_prev = true;
    memcpy(run->prev, r.chain, CHAIN_LEN);
    return err;
}

static int log_walk(struct log_run *run)
{
    uint64_t first = 0, last = 0, from;
    struct record before;
    struct bytes bytes;
    enum err err = log_reader_range(run->reader, &first, &last);
    if (err != OK)
        return tool_fail(EXIT_DATA, "cannot read the log: %s", err_text(err));
    if (last == 0)
        return EXIT_FINE;
    from = run->o->from > first ? run->o->from : first;
    if (run->o->verify && from > first && from <= last && take(run, from - 1, &bytes, &before) == OK) {
        run->have_prev = true;
        memcpy(run->prev, before.chain, CHAIN_LEN);
    }
    for (uint64_t seq = from; seq <= last && (run->o->limit == 0 || run->records < run->o->limit); seq++) {
        if ((err = one(run, seq)) != OK)
            return tool_fail(EXIT_USAGE, "cannot go on: %s", err_text(err));
        run->records++;
    }
    if (run->o->verify && !run->o->json)
        (void)printf("%" PRIu64 " records checked, %" PRIu64 " bad\n", run->records, run->bad);
    return run->bad > 0 ? EXIT_DATA : EXIT_FINE;
}

int cmd_log(const struct options *o)
{
    struct tool_store t = { 0 };
    struct log_run run = { .o = o, .t = &t };
    struct fault fault = { "" };
    bool known = true;
    enum err err;
    arena_init(&run.arena);
    int code = tool_open(&t, o->dir);
    if (code == EXIT_FINE && o->verify)
        code = tool_core_key(&t, o, run.pub, &known);
    if (code == EXIT_FINE && !known)
        code = tool_fail(EXIT_USAGE, "log: on an edge --verify needs --core-key ed25519:BASE64");
    if (code == EXIT_FINE && keyring_open(&run.keys, o->dir, NULL) != OK)
        run.keys = NULL;
    if (code == EXIT_FINE) {
        err = log_reader_open(t.store, &run.reader, &fault);
        if (err == OK && (err = tool_log_begin(&t, run.reader)) == OK) {
            code = log_walk(&run);
            log_reader_end(run.reader);
        } else {
            code = tool_fail(EXIT_USAGE, "cannot read the log: %s", fault_text(&fault, err));
        }
    }
    if (run.reader != NULL)
        log_reader_close(run.reader);
    keyring_close(run.keys);
    free(run.buf);
    arena_release(&run.arena);
    tool_close(&t);
    return tool_done(code);
}
