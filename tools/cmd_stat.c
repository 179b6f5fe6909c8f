/* azoth stat: what a store is and how it does: position, digest, where its bytes go, readers. */
#include "base/text.h"
#include "builder/recordbook.h"
#include "builder/zone.h"
#include "replicator/record.h"
#include "tools/progress.h"
#include "tools/rrtext.h"
#include "tools/stat_parts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#define TRY_US 1000         /* until the state between two commits of a busy writer is caught */
#define ROWS_MOST 14        /* namespaces that get a line of their own, so that all stays one screen */

const struct option_spec stat_options[] = {
    OPTION("deep", NULL, OPTION_FLAG, deep, "look at every entry: bytes of keys and values, fill, what compact gives back"),
    OPTION_END,
};

/* --- finding out -------------------------------------------------------------------------------------------------- */
/* The seq of the newest head in the log: the last record that is a transaction's end. The log of an edge may be ahead
 * of its data; records are read backwards, no further than what is applied. */
static uint64_t log_head(const struct tool_store *t, uint64_t applied)
{
    struct log_reader *reader = NULL;
    struct bytes bytes;
    struct record r;
    uint64_t first = 0, last = 0, found = applied;
    size_t need = 0;
    uint8_t *buf = malloc(RECORD_MAX);
    if (buf != NULL && log_reader_open(t->store, &reader, NULL) == OK && tool_log_begin(t, reader) == OK) {
        if (log_reader_range(reader, &first, &last) == OK)
            for (uint64_t seq = last; seq > applied && seq >= first && found == applied; seq--)
                if (log_reader_get(reader, seq, buf, RECORD_MAX, &bytes, &need) == OK && record_read(bytes, &r) == OK
                    && r.has_head)
                    found = seq;
        log_reader_end(reader);
    }
    if (reader != NULL)
        log_reader_close(reader);
    free(buf);
    return found;
}

static bool count_zone(void *arg, struct bytes apex, const struct zone_header *header)
{
    uint64_t *n = arg;
    (void)apex, (void)header;
    *n += 1;
    return true;
}

/* The pages of the view's state; the view moves on until they are exact. */
static enum err data_take(struct stat *s, struct tool_store *t)
{
    enum err err = view_space(t->view, &s->data);
    for (unsigned i = 0; i < SPACE_TRIES && err == OK && !s->data.exact; i++) {
        view_end(t->view);
        (void)usleep(TRY_US);
        if ((err = view_begin(t->view)) != OK)
            return err;
        err = view_head(t->view, &t->head, &t->signed_head);
        t->empty = err == ERR_NOTFOUND;
        if (err == OK || err == ERR_NOTFOUND)
            err = view_space(t->view, &s->data);
    }
    return err;
}

struct walk { struct stat *s; struct progress *bar; uint64_t seen; };

static uint64_t rrset_records(const struct rrset *rr) { return (uint64_t)rr->count + rr->sigs; }

/* DNS records in a value; false: it is no blob. A zone header's SOA is a copy. */
static bool count_records(struct bytes key, struct bytes value, uint64_t *n)
{
    struct rrkey_parts parts;
    struct blob blob;
    if (rrkey_split(key, &parts) != OK)
        return false;
    if (parts.slot == RRSLOT_ZONE)
        return true;
    if (blob_read(value, &blob) != OK)
        return false;
    for (unsigned i = 0; i < blob.n; i++)
        *n += rrset_records(&blob.rr[i]);
    struct rd r = rd_over(blob.below);
    for (unsigned i = 0; i < blob.below_n; i++) {
        struct below below;
        if (below_read(&r, &below) != OK)
            return false;
        for (unsigned k = 0; k < below.n + below.more; k++) {
            struct rrset rr;
            if (below_rrset(&below, k, &rr) != OK)
                return false;
            *n += rrset_records(&rr);
        }
    }
    return true;
}

static void on_entry(void *arg, const struct space_tree *t, struct bytes key, struct bytes value)
{
    struct walk *w = arg;
    if (t->kind == SPACE_NAMESPACE && strcmp(t->name, "dns") == 0 && !count_records(key, value, &w->s->records))
        w->s->unread++;
    progress_set(w->bar, ++w->seen);
}

static enum err look_deep(struct stat *s, struct progress *bar)
{
    struct walk w = { .s = s, .bar = bar };
    return view_space_walk(s->t->view, &s->data, on_entry, &w);
}

/* A reader without rights on the log sees zeros for it. */
static enum err log_take(struct stat *s)
{
    enum err err = store_log_space(s->t->store, s->deep, &s->log, NULL, NULL, NULL);
    if (err == ERR_IO || err == ERR_NOTNOW || err == ERR_NOTFOUND) {
        s->log = (struct log_space){ .first = 0 };
        return OK;
    }
    return err;
}

/* The records are for the user of azoth-core alone; what they are to others is said, and is no failure. */
static enum err book_take(struct stat *s, struct fault *fault)
{
    const struct recordbook_options o = { .dir = store_dir(s->t->store), .read_only = true };
    struct source *source = NULL;
    enum err err = recordbook_open(&source, &o, fault);
    s->book_closed = err == ERR_IO;
    s->has_book = err != ERR_NOTFOUND;
    if (err == OK)
        err = source_figures(source, &s->book);
    source_close(source);
    return s->book_closed || !s->has_book ? OK : err;
}

static int stat_take(struct stat *s, struct tool_store *t)
{
    static struct digest lanes;
    struct progress *bar = NULL;
    struct fault fault = { "" };
    enum err err;
    s->t = t;
    if ((err = data_take(s, t)) != OK)
        return tool_fail(EXIT_DATA, "cannot look at the data: %s", err_text(err));
    if ((err = view_digest(t->view, &lanes)) != OK)
        return tool_fail(EXIT_DATA, "cannot read meta: %s", err_text(err));
    digest_final(&lanes, s->digest);
    if ((err = zone_list(t->view, count_zone, &s->zones, &fault)) != OK)
        return tool_fail(EXIT_DATA, "cannot list the zones: %s", fault_text(&fault, err));
    s->head = log_head(t, t->head.seq);
    if ((err = store_figures(t->store, &s->store)) != OK)
        return tool_fail(EXIT_DATA, "cannot read the figures: %s", err_text(err));
    if (s->deep) {
        progress_open(&bar, "stat", "entries", t->head.keys);
        err = look_deep(s, bar);
        progress_close(bar);
    }
    if (err != OK)
        return tool_fail(EXIT_DATA, "cannot look at all entries: %s (see azoth verify)", err_text(err));
    if ((err = log_take(s)) != OK)
        return tool_fail(EXIT_DATA, "cannot look at the log: %s", err_text(err));
    if (store_role(t->store) == STORE_CORE && (err = book_take(s, &fault)) != OK)
        return tool_fail(EXIT_DATA, "cannot look at the records: %s", fault_text(&fault, err));
    return EXIT_FINE;
}

/* --- what follows from it ----------------------------------------------------------------------------------------- */
double stat_percent(uint64_t part, uint64_t whole)
{
    return whole > 0 ? 100.0 * (double)part / (double)whole : 0;
}

double stat_bytes_per(uint64_t bytes, uint64_t n) { return n > 0 ? (double)bytes / (double)n : 0; }

struct stat_tree stat_tree_of(const struct space *s, const struct space_tree *t)
{
    struct stat_tree d = { .bytes = space_tree_pages(t) * s->page_size, .keys = t->pack.key_bytes,
                           .values = t->pack.value_bytes };
    d.own = d.bytes > d.keys + d.values ? d.bytes - d.keys - d.values : 0;
    d.fill = t->pack.page_size == 0 ? 0 : stat_percent(t->pack.leaf_bytes, t->leaf_pages * pack_page_room(&t->pack));
    return d;
}

bool stat_tree_walked(const struct space_tree *t) { return t->kind != SPACE_DATABASES && t->kind != SPACE_FREE_LIST; }

const char *stat_tree_name(const struct space_tree *t)
{
    switch (t->kind) {
    case SPACE_NAMESPACE: break;
    case SPACE_META: return "meta";
    case SPACE_RING: return "ring";
    case SPACE_LOG: return "log";
    case SPACE_DATABASES: return "databases";
    case SPACE_FREE_LIST: return "free_list";
    }
    return t->name;
}

static uint64_t stat_dns_pages(const struct stat *s)
{
    for (size_t i = 0; i < s->data.trees_n; i++)
        if (s->data.trees[i].kind == SPACE_NAMESPACE && strcmp(s->data.trees[i].name, "dns") == 0)
            return space_tree_pages(&s->data.trees[i]);
    return 0;
}

uint64_t stat_reclaimable(const struct space *s)
{
    return (s->file_pages - space_compacted_pages(s)) * s->page_size;
}

/* --- as text ------------------------------------------------------------------------------------------------------ */
static void row(const char *name, const char *value)
{
    (void)printf("%-14s %s\n", name, value);
}

static void row_number(const char *name, uint64_t value)
{
    (void)printf("%-14s %" PRIu64 "\n", name, value);
}

static const char *size_text(char out[32], uint64_t bytes) { return text_of_size(out, 32, bytes); }

/* Width of the first column: that of the longest name. */
static int name_width(const struct stat *s)
{
    size_t most = 14;
    for (size_t i = 0; i < s->data.trees_n; i++)
        most = strlen(s->data.trees[i].name) > most ? strlen(s->data.trees[i].name) : most;
    return (int)most;
}

static void print_tree(const struct stat *s, const struct space *file, const struct space_tree *t, const char *name)
{
    struct stat_tree d = stat_tree_of(file, t);
    char a[32], b[32], c[32], e[32];
    (void)printf("%-*s %10" PRIu64 " %7" PRIu64 " %8" PRIu64 " %8" PRIu64 " %10s", name_width(s), name, t->entries,
                 t->branch_pages, t->leaf_pages, t->overflow_pages, size_text(a, d.bytes));
    if (s->deep && stat_tree_walked(t))
        (void)printf(" %10s %10s %10s %5.1f %%", size_text(b, d.keys), size_text(c, d.values), size_text(e, d.own),
                     d.fill);
    (void)printf("\n");
}

static void add_tree(struct space_tree *sum, const struct space_tree *t)
{
    sum->entries += t->entries;
    sum->branch_pages += t->branch_pages;
    sum->leaf_pages += t->leaf_pages;
    sum->overflow_pages += t->overflow_pages;
    sum->pack.page_size = t->pack.page_size;
    sum->pack.key_bytes += t->pack.key_bytes;
    sum->pack.value_bytes += t->pack.value_bytes;
    sum->pack.leaf_bytes += t->pack.leaf_bytes;
}

static void print_namespaces(const struct stat *s)
{
    static struct space_tree others;
    char name[48];
    size_t n = 0, shown = 0, rest = 0;
    others = (struct space_tree){ .kind = SPACE_NAMESPACE };
    for (size_t i = 0; i < s->data.trees_n; i++)
        n += s->data.trees[i].kind == SPACE_NAMESPACE;
    for (size_t i = 0; i < n; i++) {
        const struct space_tree *t = &s->data.trees[i];     /* namespaces come first */
        if (n > ROWS_MOST && shown == ROWS_MOST - 1) {
            add_tree(&others, t);
            rest++;
        } else {
            print_tree(s, &s->data, t, t->name);
            shown++;
        }
    }
    (void)snprintf(name, sizeof name, "%zu more, see --json", rest);
    if (rest > 0)
        print_tree(s, &s->data, &others, name);
}

static void print_part(const struct stat *s, const char *name, uint64_t bytes)
{
    char a[32];
    (void)printf("%-*s %10s %7s %8s %8s %10s\n", name_width(s), name, "", "", "", "", size_text(a, bytes));
}

static void print_where(const struct stat *s)
{
    static const char *const names[] = { [SPACE_META] = "(meta)", [SPACE_RING] = "(ring)", [SPACE_LOG] = "log (pieces)",
                                         [SPACE_DATABASES] = "(databases)", [SPACE_FREE_LIST] = "(free list)" };
    const struct space *d = &s->data;
    (void)printf("\n%-*s %10s %7s %8s %8s %10s", name_width(s), "namespace", "entries", "branch", "leaf", "overflow",
                 "of pages");
    (void)printf(s->deep ? " %10s %10s %10s %7s\n" : "\n", "keys", "values", "LMDB's own", "filled");
    print_namespaces(s);
    for (size_t i = 0; i < d->trees_n; i++)
        if (d->trees[i].kind != SPACE_NAMESPACE)
            print_tree(s, d, &d->trees[i], names[d->trees[i].kind]);
    print_part(s, "(header)", d->header_pages * d->page_size);
    print_part(s, "(free pages)", d->free_pages * d->page_size);
    if (d->newer_pages > 0)
        print_part(s, "(newer pages)", d->newer_pages * d->page_size);
    print_part(s, "data file", d->file_pages * d->page_size);
    for (size_t i = 0; i < s->log.space.trees_n; i++)
        if (s->log.space.trees[i].kind == SPACE_LOG)
            print_tree(s, &s->log.space, &s->log.space.trees[i], names[SPACE_LOG]);
    (void)printf("\n");
}

static void print_files(const struct stat *s)
{
    const struct space *d = &s->data, *l = &s->log.space;
    uint64_t used = d->file_pages * d->page_size, unused = d->free_pages * d->page_size;
    uint64_t dns = stat_dns_pages(s) * d->page_size;
    char a[32], b[32], c[32];
    (void)printf("%-14s %s used of %s (%.2f %%), %s of it free pages, fragmentation %.1f %%\n", "data", size_text(a, used),
                 size_text(b, d->map_bytes), stat_percent(used - unused, d->map_bytes), size_text(c, unused),
                 stat_percent(unused, used));
    (void)printf("%-14s %.1f bytes of data file", "each entry", stat_bytes_per(used, s->t->head.keys));
    if (s->records > 0)
        (void)printf("; each of %" PRIu64 " DNS records %.1f bytes of dns", s->records, stat_bytes_per(dns, s->records));
    (void)printf("\n");
    if (s->deep)
        (void)printf("%-14s would give back about %s, to %s\n", "compact", size_text(a, stat_reclaimable(d)),
                     size_text(b, space_compacted_pages(d) * d->page_size));
    (void)printf("%-14s seq %" PRIu64 " to %" PRIu64, "log", s->log.first, s->log.last);
    if (s->deep)
        (void)printf(", records of %s", size_text(a, s->log.record_bytes));
    (void)printf(", %s used of %s, %s of it free pages\n", size_text(a, l->file_pages * l->page_size),
                 size_text(b, l->map_bytes), size_text(c, l->free_pages * l->page_size));
}

static void print_book(const struct stat *s)
{
    char a[32], b[32];
    const struct source_figures *f = &s->book;
    if (s->has_book && s->book_closed)
        row("records", "for the user of azoth-core alone");
    else if (s->has_book)
        (void)printf("%-14s %" PRIu64 " zones, %" PRIu64 " RRsets, %" PRIu64 " pending events, %" PRIu64
                     " TSIG keys; %s used of %s\n", "records", f->zones, f->rows, f->events, f->keys, size_text(a, f->used_bytes),
                     size_text(b, f->map_bytes));
}

static void print_table(const struct stat *s)
{
    const struct head *h = &s->t->head;
    char hex[2 * HEAD_DIGEST_LEN + 1], when[TIME_TEXT_MAX];
    row("directory", store_dir(s->t->store));
    row("role", store_role(s->t->store) == STORE_CORE ? "core" : "edge");
    row("cluster", text_hex(hex, sizeof hex, bytes_of(store_cluster(s->t->store), CLUSTER_LEN)));
    row_number("epoch", h->epoch);
    row_number("applied", h->seq);
    row_number("head", s->head);
    row("time", s->t->empty ? "-" : time_text(when, h->time_ms));
    row("digest", text_hex(hex, sizeof hex, bytes_of(s->digest, DIGEST_LEN)));
    row_number("entries", h->keys);
    row_number("bytes", h->bytes);
    row_number("zones", s->zones);
    print_where(s);
    print_files(s);
    print_book(s);
    (void)printf("%-14s %u, the oldest open view is %" PRIu64 " commits behind\n", "readers", s->store.readers,
                 s->store.oldest_reader_lag);
    row_number("generation", s->store.generation);
}

int cmd_stat(const struct options *o)
{
    static struct stat s;       /* too large for a stack frame, one per process */
    struct tool_store t = { 0 };
    (void)memset(&s, 0, sizeof s);
    s.deep = o->deep;
    int code = tool_open(&t, o->dir);
    if (code == EXIT_FINE)
        code = stat_take(&s, &t);
    if (code == EXIT_FINE && o->json)
        code = stat_print_json(&s);
    else if (code == EXIT_FINE)
        print_table(&s);
    if (code == EXIT_FINE && s.unread > 0)
        code = tool_fail(EXIT_DATA, "values of dns that cannot be read: %" PRIu64 " (see azoth verify)", s.unread);
    tool_close(&t);
    return tool_done(code);
}
