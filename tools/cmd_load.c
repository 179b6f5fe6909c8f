/* azoth load: zone files into a core's store while no daemon runs. */
#include "base/clock.h"
#include "replicator/keyring.h"
#include "tools/loadlist.h"
#include "tools/progress.h"
#include "tools/rrtext.h"
#include "tools/tool.h"

#include <inttypes.h>
#include <signal.h>
#include <sodium.h>
#include <stdatomic.h>
#include <unistd.h>

#define LINES_MOST 20       /* with more zones only the bad ones get a line */

const struct option_spec load_options[] = {
    OPTION("list", "FILE", OPTION_TEXT, list, "file with lines ORIGIN FILE"),
    OPTION("strict", NULL, OPTION_FLAG, strict, "all zones or none"),
    OPTION("force", NULL, OPTION_FLAG, force, "also when more than half of a zone would vanish"),
    OPTION("map-size", "SIZE", OPTION_SIZE, map_size, "most bytes that the data may grow to (default 64G)"),
    OPTION_END,
};

struct load_run {
    const struct options *o;
    struct progress *bar;
    size_t zones, told, refused, changed;
    uint64_t records, puts, deletes, seq, warnings;
    bool printed;               /* a JSON element stands already */
};

static atomic_bool interrupted;   /* the one thing that a signal handler may touch */

static void on_interrupt(int number)
{
    (void)number;
    interrupted = true;
}

static const char *why(const struct load_report *r)
{
    return r->fault != NULL && r->fault[0] != '\0' ? r->fault : err_text(r->err);
}

/* FILE:LINE: TEXT, without a line for what is wrong with the zone as a whole. */
static void print_complaint(const char *file, uint32_t line, const char *kind, const char *text)
{
    if (line > 0)
        (void)fprintf(stderr, "%s:%" PRIu32 ": %s%s\n", file, line, kind, text);
    else
        (void)fprintf(stderr, "%s: %s%s\n", file, kind, text);
}

static void print_complaints(const struct load_report *r)
{
    const struct complaints *c = r->complaints;
    for (unsigned i = 0; c != NULL && i < c->warnings_n && i < COMPLAINTS_MAX; i++)
        print_complaint(r->zone->file, c->warnings[i].line, "warning: ", c->warnings[i].text);
    for (unsigned i = 0; c != NULL && i < c->errors_n && i < COMPLAINTS_MAX; i++)
        print_complaint(r->zone->file, c->errors[i].line, "", c->errors[i].text);
    if (c != NULL && c->warnings_n > COMPLAINTS_MAX)
        (void)fprintf(stderr, "%s: %u more warnings\n", r->zone->file, c->warnings_n - COMPLAINTS_MAX);
    if (c != NULL && c->errors_n > COMPLAINTS_MAX)
        (void)fprintf(stderr, "%s: %u more errors\n", r->zone->file, c->errors_n - COMPLAINTS_MAX);
}

static void print_zone(const struct load_run *run, const struct load_report *r)
{
    print_complaints(r);
    if (r->err != OK)
        (void)fprintf(stderr, "azoth: %s from %s is not loaded: %s\n", r->zone->origin, r->zone->file,
                      why(r));
    else if (run->zones <= LINES_MOST && !r->changed)
        (void)printf("%s: %" PRIu64 " records, unchanged\n", r->zone->origin, r->records);
    else if (run->zones <= LINES_MOST)
        (void)printf("%s: %" PRIu64 " records, %" PRIu64 " RRsets put, %" PRIu64 " deleted, seq %" PRIu64 "\n",
                     r->zone->origin,
                     r->records, r->puts, r->deletes, r->seq);
}

static json_t *json_complaints(const struct complaint *list, unsigned n)
{
    json_t *all = json_array();
    for (unsigned i = 0; i < n && i < COMPLAINTS_MAX; i++)
        (void)json_array_append_new(all, json_pack("{s:I,s:o}", "line", (json_int_t)list[i].line, "text",
                                                   json_words(list[i].text)));
    return all;
}

/* Elements of one array, written as they come: a hundred thousand zones need no memory. */
static void json_zone(struct load_run *run, const struct load_report *r)
{
    json_t *v = json_pack("{s:o,s:o,s:b,s:b,s:I,s:I,s:I,s:I}", "zone", json_words(r->zone->origin), "file",
                          json_words(r->zone->file), "loaded", r->err == OK, "changed", r->changed, "records",
                          (json_int_t)r->records, "puts", (json_int_t)r->puts, "deletes", (json_int_t)r->deletes, "seq",
                          (json_int_t)r->seq);
    if (r->err != OK)
        (void)json_object_set_new(v, "error", json_words(why(r)));
    if (r->complaints != NULL && r->complaints->errors_n > 0)
        (void)json_object_set_new(v, "errors", json_complaints(r->complaints->errors, r->complaints->errors_n));
    if (r->complaints != NULL && r->complaints->warnings_n > 0)
        (void)json_object_set_new(v, "warnings", json_complaints(r->complaints->warnings, r->complaints->warnings_n));
    (void)fputs(run->printed ? ",\n" : "", stdout);
    run->printed = true;
    if (v != NULL)
        (void)json_dumpf(v, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
    json_decref(v);
}

static void on_zone(void *arg, const struct load_report *r)
{
    struct load_run *run = arg;
    run->told++;
    run->refused += r->err != OK;
    run->warnings += r->complaints != NULL ? r->complaints->warnings_n : 0;
    if (r->err == OK) {
        run->changed += r->changed;
        run->records += r->records;
        run->puts += r->puts;
        run->deletes += r->deletes;
        run->seq = r->seq;
    }
    progress_set(run->bar, run->told);
    progress_hide(run->bar);
    if (run->o->json)
        json_zone(run, r);
    else
        print_zone(run, r);
    progress_show(run->bar);
}

static int load_end(const struct load_run *run, const struct loadlist *list, uint64_t took_ms, enum err err,
                    const struct fault *fault)
{
    const char *at = run->told < list->n ? list->zones[run->told].origin : "the end";
    size_t loaded = run->told - run->refused;
    if (run->o->json) {
        json_t *sum = json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "zones", (json_int_t)run->zones, "loaded",
                                (json_int_t)loaded, "changed", (json_int_t)run->changed, "refused",
                                (json_int_t)run->refused,
                                "records", (json_int_t)run->records, "puts", (json_int_t)run->puts, "deletes",
                                (json_int_t)run->deletes, "warnings", (json_int_t)run->warnings, "seq",
                                (json_int_t)run->seq,
                                "ms", (json_int_t)took_ms);
        (void)fputs("],\n\"summary\":", stdout);
        if (sum == NULL || json_dumpf(sum, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER) != 0)
            err = err == OK ? ERR_NOMEM : err;
        json_decref(sum);
        (void)fputs("}\n", stdout);
    } else if (run->told > 0) {
        (void)printf("%zu of %zu zones loaded, %zu changed: %" PRIu64 " records, %" PRIu64 " RRsets put, %" PRIu64
                     " deleted, %" PRIu64 " warnings, seq %" PRIu64 ", %.2f s\n", loaded, run->zones, run->changed,
                     run->records,
                     run->puts, run->deletes, run->warnings, run->seq, (double)took_ms / 1000);
    }
    if (interrupted && run->told < run->zones)
        return tool_fail(EXIT_USAGE, "interrupted at %s: what is loaded stays", at);
    if (err == ERR_FULL)
        return tool_fail(EXIT_USAGE,
                         "the store is full at %s: %s (give it a larger --map-size or disk; what is loaded stays)",
                         at, fault_text(fault, err));
    if (err != OK && err != ERR_REFUSED)
        return tool_fail(EXIT_USAGE, "load failed at %s: %s", at, fault_text(fault, err));
    if (run->refused > 0 || err == ERR_REFUSED)
        return !run->o->strict ? EXIT_DATA
             : tool_fail(EXIT_DATA, "%zu zones refused, so nothing is loaded (--strict)", run->refused);
    return EXIT_FINE;
}

static int load_into(struct store *store, const struct node_key *key, const struct loadlist *list,
                     const struct options *o)
{
    struct load_run run = { .o = o, .zones = list->n };
    struct load_options how = { .strict = o->strict, .force = o->force, .kind = ZONE_FILE, .via = VIA_OFFLINE, .stop = &interrupted };
    /* a second one kills: safe too */
    struct sigaction act = { .sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND };
    struct committer *committer = NULL;
    struct keyring *keys = NULL;
    struct fault fault = { "" };
    uint64_t start_ms = clock_mono_ms();
    enum err err = keyring_open(&keys, o->dir, &fault);
    if (err == OK)
        err = commit_open_keys(&committer, store, key, keys, NULL, NULL, &fault);
    if (err != OK) {
        keyring_close(keys);
        return tool_fail(err == ERR_SIGNATURE || err == ERR_FORK ? EXIT_DATA : EXIT_USAGE,
                         "cannot go on with the log in %s: %s",
                         o->dir, fault_text(&fault, err));
    }
    struct commit_began began;
    if (commit_began(committer, &began))
        (void)fprintf(stderr, "azoth: epoch %" PRIu64 " begins with seq %" PRIu64 " (%s): edges that hold exactly the seq before "
                      "go on, all others copy\n", began.to, began.seq, began.why);
    (void)sigaction(SIGINT, &act, NULL);
    (void)sigaction(SIGTERM, &act, NULL);
    if (o->json)
        (void)fputs("{\"zones\":[\n", stdout);
    progress_open(&run.bar, "load", "zones", list->n);
    err = load_zones(committer, store, list->zones, list->n, &how, on_zone, &run, &fault);
    progress_close(run.bar);
    run.bar = NULL;
    commit_close(committer);
    keyring_close(keys);
    return load_end(&run, list, clock_mono_ms() - start_ms, err, &fault);
}

static bool is_edge(const char *dir)
{
    struct store_options so = { .dir = dir, .mode = STORE_READ };
    struct store *store;
    if (store_open(&store, &so, NULL) != OK)
        return false;
    bool edge = store_role(store) == STORE_EDGE;
    store_close(store);
    return edge;
}

static int load_open(const struct loadlist *list, const struct options *o)
{
    struct store_options so = { .dir = o->dir, .mode = STORE_CREATE, .role = STORE_CORE, .map_size = o->map_size };
    struct node_key key;
    struct store *store = NULL;
    struct fault fault = { "" };
    int code;
    enum err err = node_key_load(o->dir, &key, &fault);
    if (err == ERR_NOTFOUND && is_edge(o->dir))
        return tool_fail(EXIT_USAGE, "%s belongs to an edge; zones are loaded at the core", o->dir);
    if (err == ERR_NOTFOUND)
        return tool_fail(EXIT_USAGE, "%s has no node.key; make one with: azoth keygen --dir %s", o->dir, o->dir);
    if (err != OK)
        return tool_fail(EXIT_USAGE, "%s", fault_text(&fault, err));
    err = store_open(&store, &so, &fault);
    if (err == ERR_LOCKED)
        code = tool_fail(EXIT_USAGE, "%s is in use by a running daemon; stop it, or let azoth-core read the zones",
                         o->dir);
    else if (err == ERR_ROLE)
        code = tool_fail(EXIT_USAGE, "%s belongs to an edge; zones are loaded at the core", o->dir);
    else if (err != OK)
        code = tool_fail(EXIT_USAGE, "cannot open the store in %s: %s", o->dir, fault_text(&fault, err));
    else
        code = load_into(store, &key, list, o);
    if (err == OK)
        store_close(store);
    sodium_memzero(&key, sizeof key);
    return tool_done(code);
}

int cmd_load(const struct options *o)
{
    struct loadlist list;
    struct fault fault = { "" };
    enum err err = OK;
    int code;
    loadlist_init(&list);
    if (o->list != NULL)
        err = loadlist_file(&list, o->list, &fault);
    for (size_t i = 0; i < o->args_n && err == OK; i++)
        err = loadlist_argument(&list, o->args[i], &fault);
    if (err == OK)
        err = loadlist_check(&list, &fault);
    if (err != OK)
        code = tool_fail(EXIT_USAGE, "load: %s", fault_text(&fault, err));
    else if (o->map_size > 0 && o->map_size < STORE_MAP_MIN)
        code = tool_fail(EXIT_USAGE, "load: --map-size: the least is %" PRIu64, STORE_MAP_MIN);
    else if (list.n == 0)
        code = tool_fail(EXIT_USAGE, "load: no zone given: ORIGIN=FILE or --list FILE (see azoth help load)");
    else
        code = load_open(&list, o);
    loadlist_release(&list);
    return code;
}
