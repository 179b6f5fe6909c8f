/* azoth verify: recomputes the digest over all entries of one view, checks every key and value, and holds the result
 * against the stored lanes, the counts of the head and the head's signature. On a core every entry of its records is read too. */
#include "base/clock.h"
#include "base/text.h"
#include "replicator/record.h"
#include "tools/checker.h"
#include "tools/progress.h"
#include "tools/records.h"
#include "tools/rrtext.h"
#include "tools/tool.h"

#include <inttypes.h>

#define NAMED_MOST 100      /* bad entries that get a line */

const struct option_spec verify_options[] = {
    OPTION("core-key", "KEY", OPTION_TEXT, core_key,
           "the core's public key, ed25519:BASE64 (default on a core: its node.pub)"),
    OPTION_END,
};

struct verify {
    struct tool_store t;
    struct progress *bar;
    struct checker *checker;
    char names[STORE_NAMESPACES_MAX][STORE_NS_MAX + 1];
    size_t names_n;
    struct checker_result sum;
    uint64_t named, fed, wrong;         /* wrong: findings other than bad entries */
    bool has_book;                      /* a core's records */
    uint64_t book_entries, book_bad;
};

static void on_bad(void *arg, struct bytes ns, struct bytes key, const char *why)
{
    struct verify *v = arg;
    char text[KEY_TEXT_MAX];
    if (v->named++ >= NAMED_MOST)
        return;
    progress_hide(v->bar);
    (void)fprintf(stderr, "azoth: bad entry %.*s %s: %s\n", (int)ns.len, (const char *)ns.ptr,
                  key_text(text, sizeof text, ns, key), why);
    progress_show(v->bar);
}

/* In the feeding thread, beside the workers: has its own count. */
static void out_of_order(struct verify *v, struct bytes ns, struct bytes key)
{
    char text[KEY_TEXT_MAX];
    if (v->wrong++ >= NAMED_MOST)
        return;
    progress_hide(v->bar);
    (void)fprintf(stderr, "azoth: bad entry %.*s %s: does not sort behind the one before it\n", (int)ns.len,
                  (const char *)ns.ptr, key_text(text, sizeof text, ns, key));
    progress_show(v->bar);
}

static enum err feed_namespace(struct verify *v, struct bytes ns)
{
    struct cursor *c = NULL;
    struct entry e, before = { { NULL, 0 }, { NULL, 0 } };
    enum err err = cursor_open(v->t.view, ns, &c);
    if (err == OK)
        err = cursor_seek(c, bytes_of("", 1), &e);     /* one 00 byte: no key sorts before it */
    for (; err == OK; err = cursor_next(c, &e)) {
        if (before.key.ptr != NULL && bytes_compare(before.key, e.key) >= 0) {
            out_of_order(v, ns, e.key);
        }
        before = e;
        checker_feed(v->checker, ns, &e);
        progress_set(v->bar, ++v->fed);
    }
    cursor_close(c);
    return err == ERR_NOTFOUND ? OK : err;
}

static int wrong(struct verify *v, const char *what)
{
    v->wrong++;
    return tool_fail(EXIT_DATA, "%s", what);
}

/* What the entries add up to against what meta and the signed head say. */
static int judge(struct verify *v, const uint8_t digest[DIGEST_LEN])
{
    static struct digest stored;
    uint8_t stored_digest[DIGEST_LEN];
    const struct head *h = &v->t.head;
    char a[2 * DIGEST_LEN + 1], b[2 * DIGEST_LEN + 1], text[256];
    enum err err = view_digest(v->t.view, &stored);
    if (err != OK)
        return tool_fail(EXIT_DATA, "the stored lanes cannot be read: %s", err_text(err));
    digest_final(&stored, stored_digest);
    if (memcmp(stored_digest, digest, DIGEST_LEN) != 0)
        (void)wrong(v, "the digest of the entries differs from the stored lanes");
    if (v->t.empty) {
        if (v->sum.entries > 0)
            (void)wrong(v, "there are entries but no head");
        return EXIT_FINE;
    }
    if (memcmp(h->digest, digest, DIGEST_LEN) != 0) {
        (void)snprintf(text, sizeof text, "digest mismatch: the entries give %s, the head says %s",
                       text_hex(a, sizeof a, bytes_of(digest, DIGEST_LEN)),
                       text_hex(b, sizeof b, bytes_of(h->digest, DIGEST_LEN)));
        (void)wrong(v, text);
    }
    if (h->keys != v->sum.entries || h->bytes != v->sum.bytes) {
        (void)snprintf(text, sizeof text,
                       "counts differ: %" PRIu64 " entries of %" PRIu64 " bytes, the head says %" PRIu64
                       " of %" PRIu64, v->sum.entries, v->sum.bytes, h->keys, h->bytes);
        (void)wrong(v, text);
    }
    if (memcmp(h->cluster, store_cluster(v->t.store), CLUSTER_LEN) != 0)
        (void)wrong(v, "the head belongs to another cluster than the directory");
    return EXIT_FINE;
}

static void on_bad_record(void *arg, const char *what)
{
    struct verify *v = arg;
    if (v->book_bad++ < NAMED_MOST)
        (void)fprintf(stderr, "azoth: bad entry of the records: %s\n", what);
}

static int book_check(struct verify *v, const char *dir)
{
    struct source *s = NULL;
    int code = store_role(v->t.store) == STORE_CORE ? records_open(&s, dir) : EXIT_FINE;
    v->has_book = s != NULL;
    enum err err = s != NULL ? records_check(s, on_bad_record, v, &v->book_entries) : OK;
    source_close(s);
    return err == OK ? code : tool_fail(err == ERR_NOMEM ? EXIT_USAGE : EXIT_DATA, "cannot read all records: %s", err_text(err));
}

static int report(const struct verify *v, const struct options *o, const uint8_t digest[DIGEST_LEN],
                  const char *signature,
                  uint64_t took_ms)
{
    char hex[2 * DIGEST_LEN + 1];
    double seconds = took_ms > 0 ? (double)took_ms / 1000 : 0.001;
    bool good = v->wrong == 0 && v->sum.bad == 0 && v->book_bad == 0;
    if (v->named > NAMED_MOST)
        (void)fprintf(stderr, "azoth: %" PRIu64 " more bad entries\n", v->named - NAMED_MOST);
    (void)text_hex(hex, sizeof hex, bytes_of(digest, DIGEST_LEN));
    if (o->json) {
        json_t *j = json_pack("{s:b,s:I,s:I,s:s,s:I,s:I,s:I,s:s,s:I}", "good", good, "epoch",
                              (json_int_t)v->t.head.epoch,
                              "applied", (json_int_t)v->t.head.seq, "digest", hex, "entries",
                              (json_int_t)v->sum.entries, "bytes",
                              (json_int_t)v->sum.bytes, "bad_entries", (json_int_t)v->sum.bad, "signature", signature,
                              "ms",
                              (json_int_t)took_ms);
        if (j != NULL && v->has_book)
            (void)json_object_set_new(j, "records", json_pack("{s:I,s:I}", "entries", (json_int_t)v->book_entries, "bad_entries",
                                                              (json_int_t)v->book_bad));
        if (json_line(j) != OK)
            return tool_fail(EXIT_USAGE, "out of memory");
    } else {
        (void)printf("%s: seq %" PRIu64 ", %" PRIu64 " entries, %" PRIu64 " bytes, digest %s, head signature %s, "
                     "%.2f s, %.0f entries/s\n",
                     good ? "good" : "BAD", v->t.head.seq, v->sum.entries, v->sum.bytes, hex, signature, seconds,
                     (double)v->sum.entries / seconds);
        if (v->has_book)
            (void)printf("records: %" PRIu64 " entries read, %" PRIu64 " bad\n", v->book_entries, v->book_bad);
    }
    return good ? EXIT_FINE : EXIT_DATA;
}

static int run(struct verify *v, const struct options *o)
{
    uint8_t pub[32], digest[DIGEST_LEN];
    bool known = false;
    const char *signature = "not checked";
    uint64_t start_ms = clock_mono_ms();
    int code = tool_core_key(&v->t, o, pub, &known);
    enum err err = OK;
    if (code != EXIT_FINE)
        return code;
    if ((err = view_namespaces(v->t.view, v->names, &v->names_n)) != OK)
        return tool_fail(EXIT_DATA, "cannot list the namespaces: %s", err_text(err));
    progress_open(&v->bar, "verify", "entries", v->t.head.keys);
    if ((err = checker_open(&v->checker, 0, v->t.empty ? 0 : v->t.head.seq, on_bad, v)) == OK) {
        for (size_t i = 0; i < v->names_n && err == OK; i++)
            err = feed_namespace(v, bytes_of_text(v->names[i]));
        checker_finish(v->checker, &v->sum);
    }
    progress_close(v->bar);
    v->bar = NULL;
    if (err != OK)
        return tool_fail(err == ERR_NOMEM ? EXIT_USAGE : EXIT_DATA, "cannot read all entries: %s", err_text(err));
    digest_final(&v->sum.lanes, digest);
    if ((code = judge(v, digest)) != EXIT_FINE)
        return code;
    if (v->t.empty) {
        signature = "none (empty store)";
    } else if (known && (err = head_verify(&v->t.signed_head, pub)) == OK) {
        signature = "good";
    } else if (known) {
        signature = "BAD";
        (void)wrong(v, "the head's signature does not fit the core's key");
    }
    if ((code = book_check(v, o->dir)) != EXIT_FINE)
        return code;
    code = report(v, o, digest, signature, clock_mono_ms() - start_ms);
    if (!known && !v->t.empty)
        (void)fprintf(stderr, "azoth: the head's signature was not checked: give --core-key ed25519:BASE64\n");
    return code;
}

int cmd_verify(const struct options *o)
{
    static struct verify v;     /* holds 2 KiB of lanes and all namespace names; one per process */
    int code = tool_open(&v.t, o->dir);
    if (code == EXIT_FINE)
        code = run(&v, o);
    tool_close(&v.t);
    return tool_done(code);
}
