/* azoth restore: a node's store of a backup.
 *
 *     opening, key ─► may it go there? ─► fresh generation ─► records beside ─► digest, flip ─► records, files ─► core: a new
 *                                                                                                     epoch, signed
 * Up to the flip nothing of the folder changes. */
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "replicator/commit.h"
#include "store/snapshot.h"
#include "tools/progress.h"
#include "tools/records.h"
#include "tools/rrtext.h"
#include "tools/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#define ZONES_FILE "zones.list"

const struct option_spec restore_options[] = {
    OPTION("core-key", "KEY", OPTION_TEXT, core_key,
           "the key that signed, ed25519:BASE64 (default for a core: its node.key)"),
    OPTION("replace", NULL, OPTION_FLAG, replace, "in place of what the store of the same cluster holds"),
    OPTION("new-key", NULL, OPTION_FLAG, new_key, "sign anew with DIR/node.key; every edge must then be re-pinned"),
    OPTION("map-size", "SIZE", OPTION_SIZE, map_size, "most bytes that the data may grow to (default 64G)"),
    OPTION_END,
};

struct restore {
    const struct options *o;
    const char *from;               /* FILE as the user named it */
    int fd;
    struct snapshot_reader *reader;
    const struct snapshot_about *about;
    struct node_key key;            /* of a core */
    bool resign, no_folder, no_store;      /* before: DIR is absent, DIR holds no store */
    bool made_store;
    struct signed_head resigned;
    struct store *store;
    unsigned generation;            /* before the load */
    struct progress *bar;
    struct head head;               /* of the store at the end */
};

static atomic_bool interrupted;

static void on_interrupt(int number)
{
    (void)number;
    interrupted = true;
}

static bool go(void *arg, uint64_t entries)
{
    struct restore *r = arg;
    progress_set(r->bar, entries);
    return !interrupted;
}

static bool go_on(void *arg)
{
    (void)arg;
    return !interrupted;
}

/* --- the file ----------------------------------------------------------------------------------------------------- */
static int source_open(struct restore *r)
{
    struct fault fault = { "" };
    bool is_stdin = strcmp(r->from, "-") == 0;
    if (is_stdin)
        r->from = "standard input";
    r->fd = is_stdin ? STDIN_FILENO : open(r->from, O_RDONLY | O_CLOEXEC);
    if (r->fd < 0)
        return tool_fail(EXIT_USAGE, "cannot open %s: %s", r->from, strerror(errno));
    enum err err = snapshot_reader_open(&r->reader, r->fd, &fault);
    if (err != OK)
        return tool_fail(err == ERR_IO || err == ERR_NOMEM ? EXIT_USAGE : EXIT_DATA, "%s: %s", r->from,
                         fault_text(&fault, err));
    r->about = snapshot_reader_about(r->reader);
    return EXIT_FINE;
}

/* --- the key ------------------------------------------------------------------------------------------------------ */
/* *known false: no --core-key given. */
static int given_key(const struct restore *r, bool *known)
{
    uint8_t pub[32];
    *known = r->o->core_key != NULL;
    if (!*known)
        return EXIT_FINE;
    if (node_pub_parse(r->o->core_key, pub) != OK)
        return tool_fail(EXIT_USAGE, "--core-key: '%s' is not ed25519:BASE64", r->o->core_key);
    if (head_verify(&r->about->signed_head, pub) != OK)
        return tool_fail(EXIT_DATA, "%s: its head was not signed by --core-key", r->from);
    return EXIT_FINE;
}

static int core_key(struct restore *r)
{
    struct fault fault = { "" };
    bool known;
    enum err err = node_key_load(r->o->dir, &r->key, &fault);
    if (err == ERR_NOTFOUND)
        return tool_fail(EXIT_USAGE, "%s has no node.key: put the core's there, or make one with azoth keygen --dir %s "
                         "and restore with --new-key", r->o->dir, r->o->dir);
    if (err != OK || (err = node_pub_keep(r->o->dir, &r->key, &fault)) != OK)
        return tool_fail(EXIT_USAGE, "%s", fault_text(&fault, err));
    int code = given_key(r, &known);
    if (code != EXIT_FINE || head_verify(&r->about->signed_head, r->key.pub) == OK)
        return code;
    if (!r->o->new_key)
        return tool_fail(EXIT_DATA, "%s: not signed by the key in %s/node.key; put the key there that signed it, or give "
                         "--new-key, after which every edge must be re-pinned", r->from, r->o->dir);
    if (!known)
        (void)fprintf(stderr, "azoth: the old signature was not checked: give the key with --core-key\n");
    r->resign = true;
    head_sign(&r->resigned, &r->about->head, &r->key);
    return EXIT_FINE;
}

static int key_check(struct restore *r)
{
    bool known;
    if (r->about->role == STORE_CORE)
        return core_key(r);
    if (r->o->new_key)
        return tool_fail(EXIT_USAGE, "--new-key: an edge signs no heads, and %s is an edge's backup", r->from);
    if (r->o->core_key == NULL)
        return tool_fail(EXIT_USAGE, "%s is an edge's backup: give its core's key with --core-key ed25519:BASE64",
                         r->from);
    return given_key(r, &known);
}

/* --- the folder --------------------------------------------------------------------------------------------------- */
static const char *role_text(enum store_role role) { return role == STORE_CORE ? "a core" : "an edge"; }

/* What stands there may be replaced, or is nothing. */
static int look(struct restore *r, struct store *s)
{
    char a[2 * CLUSTER_LEN + 1], b[2 * CLUSTER_LEN + 1];
    struct view *v = NULL;
    struct head h = { .seq = 0 };
    struct fault fault = { "" };
    if (store_role(s) != r->about->role)
        return tool_fail(EXIT_USAGE, "%s belongs to %s, and %s is %s's backup", r->o->dir, role_text(store_role(s)),
                         r->from, role_text(r->about->role));
    enum err err = view_open(s, &v, &fault);
    if (err == OK && (err = view_begin(v)) == OK) {
        err = view_head(v, &h, NULL);
        view_end(v);
    }
    view_close(v);
    if (err != OK && err != ERR_NOTFOUND && !r->o->replace)
        return tool_fail(EXIT_USAGE, "the store in %s cannot be read: %s; --replace puts the backup in its place",
                         r->o->dir, fault_text(&fault, err));
    if (err == OK && !r->o->replace)
        return tool_fail(EXIT_USAGE, "%s holds a store already (epoch %" PRIu64 " seq %" PRIu64 "); --replace puts the "
                         "backup in its place", r->o->dir, h.epoch, h.seq);
    const uint8_t *cluster = store_cluster(s);
    if (sodium_is_zero(cluster, CLUSTER_LEN) || memcmp(cluster, r->about->head.cluster, CLUSTER_LEN) == 0)
        return EXIT_FINE;
    if (err == ERR_NOTFOUND && !r->o->replace)
        return tool_fail(EXIT_USAGE, "%s holds an empty store of another cluster; empty the folder to change",
                         r->o->dir);
    return tool_fail(EXIT_DATA, "%s is a backup of cluster %s, %s holds cluster %s", r->from,
                     text_hex(a, sizeof a, bytes_of(r->about->head.cluster, CLUSTER_LEN)), r->o->dir,
                     text_hex(b, sizeof b, bytes_of(cluster, CLUSTER_LEN)));
}

static int place_check(struct restore *r)
{
    struct store_options so = { .dir = r->o->dir, .mode = STORE_READ };
    struct store *there = NULL;
    struct fault fault = { "" };
    enum err err = store_open(&there, &so, &fault);
    if (err == OK) {
        int code = look(r, there);
        store_close(there);
        return code;
    }
    if (err != ERR_NOTFOUND)
        return tool_fail(EXIT_USAGE, "cannot open the store in %s: %s", r->o->dir, fault_text(&fault, err));
    r->no_store = true;
    r->no_folder = access(r->o->dir, F_OK) != 0;
    return EXIT_FINE;
}

static int store_make(struct restore *r)
{
    struct fault fault = { "" };
    enum err err;
    struct store_options so = { .dir = r->o->dir, .mode = STORE_CREATE, .role = r->about->role,
                                .map_size = r->o->map_size, .cluster = r->about->head.cluster };
    if ((err = store_open(&r->store, &so, &fault)) == ERR_LOCKED)
        return tool_fail(EXIT_USAGE, "%s is in use by a running daemon; stop it first", r->o->dir);
    if (err != OK)
        return tool_fail(EXIT_USAGE, "cannot open the store in %s: %s", r->o->dir, fault_text(&fault, err));
    r->made_store = r->no_store;
    if ((err = store_join(r->store, r->about->head.cluster, &fault)) != OK)
        return tool_fail(EXIT_USAGE, "%s", fault_text(&fault, err));
    return EXIT_FINE;
}

/* --- the work ----------------------------------------------------------------------------------------------------- */
static unsigned generation(const struct restore *r)
{
    struct store_figures f = { .generation = 0 };
    enum err err = store_figures(r->store, &f);
    return err == OK ? f.generation : 0;
}

static int load_failed(struct restore *r, enum err err, const struct fault *fault)
{
    const char *why = fault_text(fault, err);
    if (generation(r) != r->generation) {       /* the data is there, its log could not be emptied yet */
        r->made_store = false;
        return tool_fail(EXIT_USAGE, "%s", why);
    }
    switch (err) {
    case ERR_NOTNOW: return tool_fail(EXIT_USAGE, "interrupted: %s is as it was", r->o->dir);
    case ERR_FULL: return tool_fail(EXIT_USAGE, "no room in %s: %s; it is as it was", r->o->dir, why);
    case ERR_SHORT: case ERR_BAD: case ERR_LIMIT: case ERR_FORMAT: case ERR_DIGEST:
        return tool_fail(EXIT_DATA, "%s: %s; %s is as it was", r->from, why, r->o->dir);
    default: return tool_fail(EXIT_USAGE, "cannot restore %s: %s; %s is as it was", r->from, why, r->o->dir);
    }
}

/* The names of zones that came from the configuration belong to the state. */
static int files_put(const struct restore *r)
{
    const struct snapshot_manifest *m = snapshot_reader_manifest(r->reader);
    struct fault fault = { "" };
    char path[PATH_MAX];
    enum err err = file_path(path, sizeof path, r->o->dir, ZONES_FILE);
    bool put = false;
    for (size_t i = 0; i < m->files_n && err == OK; i++) {
        if (strcmp(m->files[i].name, ZONES_FILE) != 0)
            continue;               /* of a newer version: nothing that we would read */
        err = file_replace(path, m->files[i].bytes, 0644, &fault);
        put = true;
    }
    if (err == OK && !put && unlink(path) != 0 && errno != ENOENT)
        err = fault_set(&fault, ERR_IO, "cannot remove %s: %s", path, strerror(errno));
    return err == OK ? EXIT_FINE : tool_fail(EXIT_USAGE, "the entries are restored, but not %s: %s; restore again with "
                                             "--replace", ZONES_FILE, fault_text(&fault, err));
}

/* The records of a core go or come with its state. */
static int records_put(const struct restore *r)
{
    struct fault fault = { "" };
    enum err err = records_put_back(r->o->dir, &fault);
    return err == OK ? EXIT_FINE : tool_fail(EXIT_USAGE, "the entries are restored, but not the records: %s; restore again with "
                                             "--replace", fault_text(&fault, err));
}

/* Opening the committer raises the epoch of loaded data. */
static int epoch_raise(struct restore *r)
{
    struct committer *c = NULL;
    struct fault fault = { "" };
    enum err err = commit_open(&c, r->store, &r->key, NULL, NULL, &fault);
    if (err != OK)
        return tool_fail(EXIT_USAGE, "the entries are restored, but the new epoch cannot be begun: %s; azoth-core tries "
                         "again when it starts", fault_text(&fault, err));
    commit_close(c);
    return EXIT_FINE;
}

static int report(const struct restore *r, uint64_t ms)
{
    const struct head *was = &r->about->head, *is = &r->head;
    char hex[2 * DIGEST_LEN + 1], pub[128] = "";
    bool core = r->about->role == STORE_CORE;
    (void)text_hex(hex, sizeof hex, bytes_of(is->digest, DIGEST_LEN));
    if (core)
        (void)node_pub_text(pub, sizeof pub, r->key.pub);
    if (r->o->json) {
        json_t *j = json_pack("{s:I,s:I,s:I,s:I,s:s,s:I,s:b,s:s*,s:I}", "epoch", (json_int_t)is->epoch, "applied",
                              (json_int_t)is->seq, "backup_epoch", (json_int_t)was->epoch, "backup_seq",
                              (json_int_t)was->seq, "digest", hex, "entries", (json_int_t)is->keys, "new_key", r->resign,
                              "core_key", core ? pub : NULL, "ms", (json_int_t)ms);
        return json_line(j) == OK ? EXIT_FINE : tool_fail(EXIT_USAGE, "out of memory");
    }
    (void)printf("restored epoch %" PRIu64 " seq %" PRIu64 ": %" PRIu64 " entries, digest %s, %.2f s\n", was->epoch,
                 was->seq, is->keys, hex, (double)ms / 1000);
    if (core)
        (void)printf("epoch %" PRIu64 " begins with seq %" PRIu64 ": edges that hold exactly seq %" PRIu64 " go on, all "
                     "others copy\n", is->epoch, is->seq, was->seq);
    if (r->resign)
        (void)printf("signed by a new key: every edge must be re-pinned, edge.core_key: %s\n", pub);
    return EXIT_FINE;
}

static enum err entries_take(struct restore *r, struct snapshot_load *l, struct fault *fault)
{
    const struct op *ops;
    uint64_t entries = 0;
    size_t n;
    enum err err;
    while ((err = snapshot_reader_next(r->reader, &ops, &n, fault)) == OK) {
        if ((err = snapshot_load_put(l, ops, n, fault)) != OK)
            return err;
        entries += n;
        if (!go(r, entries))
            return ERR_NOTNOW;
    }
    return err == ERR_NOTFOUND ? OK : err;
}

/* All that the file has is read and checked before the flip. */
static enum err take(struct restore *r, struct fault *fault)
{
    struct snapshot_load *l;
    bool core = r->about->role == STORE_CORE;
    enum err err = snapshot_load_begin(&l, r->store, &r->about->head, fault);
    if (err != OK)
        return err;
    err = entries_take(r, l, fault);
    if (err == OK && !core && snapshot_reader_has_book(r->reader))
        err = fault_set(fault, ERR_BAD, "damaged: an edge's backup with records");
    if (err == OK && core)
        err = records_take(r->o->dir, r->reader, r->fd, r->o->map_size, go_on, r, fault);
    if (err != OK) {
        snapshot_load_drop(l);
        return err;
    }
    err = snapshot_load_end(l, r->resign ? &r->resigned : &r->about->signed_head, fault);
    if (err != OK && core && generation(r) == r->generation)
        records_drop(r->o->dir);
    return err;
}

static int load(struct restore *r)
{
    /* a second signal kills: safe too */
    struct sigaction act = { .sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND };
    struct fault fault = { "" };
    uint64_t start_ms = clock_mono_ms();
    int code = EXIT_FINE;
    (void)sigaction(SIGINT, &act, NULL);
    (void)sigaction(SIGTERM, &act, NULL);
    r->generation = generation(r);
    progress_open(&r->bar, "restore", "entries", r->about->head.keys);
    enum err err = take(r, &fault);
    progress_close(r->bar);
    r->bar = NULL;
    if (err != OK)
        return load_failed(r, err, &fault);
    r->made_store = false;          /* from here on it stays */
    if (r->about->role == STORE_CORE
        && ((code = records_put(r)) != EXIT_FINE || (code = files_put(r)) != EXIT_FINE || (code = epoch_raise(r)) != EXIT_FINE))
        return code;
    if ((err = store_head(r->store, &r->head, NULL)) != OK)
        return tool_fail(EXIT_USAGE, "cannot read the restored head: %s", err_text(err));
    return report(r, clock_mono_ms() - start_ms);
}

int cmd_restore(const struct options *o)
{
    struct restore r = { .o = o, .from = o->args[0], .fd = -1 };
    int code = EXIT_FINE;
    if (o->map_size > 0 && o->map_size < STORE_MAP_MIN)
        return tool_fail(EXIT_USAGE, "restore: --map-size: the least is %" PRIu64, STORE_MAP_MIN);
    if (sodium_init() < 0)
        return tool_fail(EXIT_USAGE, "libsodium does not start");
    if ((code = source_open(&r)) == EXIT_FINE && (code = place_check(&r)) == EXIT_FINE &&
        (code = key_check(&r)) == EXIT_FINE && (code = store_make(&r)) == EXIT_FINE)
        code = load(&r);
    if (r.store != NULL && r.made_store)
        store_discard(r.store);
    else
        store_close(r.store);
    if (r.no_folder && r.made_store)
        (void)rmdir(o->dir);
    snapshot_reader_close(r.reader);
    if (r.fd > STDERR_FILENO)
        (void)close(r.fd);
    sodium_memzero(&r.key, sizeof r.key);
    return tool_done(code);
}
