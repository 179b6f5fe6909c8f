#include "tools/records.h"

#include "base/file.h"
#include "store/bookcopy.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FRESH RECORDBOOK_FOLDER ".restore"      /* being filled; then it is RECORDBOOK_NEXT */
#define FORMER RECORDBOOK_FOLDER ".former"      /* about to be removed */
#define BATCH 20000                             /* entries of one transaction */
#define TRIES 5000
#define TRY_US 1000

int records_open(struct source **out, const char *dir)
{
    const struct recordbook_options o = { .dir = dir, .read_only = true };
    struct fault fault = { "" };
    *out = NULL;
    enum err err = recordbook_open(out, &o, &fault);
    if (err == OK || err == ERR_NOTFOUND)
        return EXIT_FINE;
    return tool_fail(EXIT_USAGE, "cannot read the records in %s/%s: %s%s", dir, RECORDBOOK_FOLDER, fault_text(&fault, err),
                     err == ERR_IO ? "; they are for the user of azoth-core alone" : "");
}

/* --- a state that fits ---------------------------------------------------------------------------------------------- */
static int view_again(struct tool_store *t)
{
    view_end(t->view);
    enum err err = view_begin(t->view);
    if (err == OK)
        err = view_head(t->view, &t->head, &t->signed_head);
    t->empty = err == ERR_NOTFOUND;
    return err == OK || err == ERR_NOTFOUND ? EXIT_FINE : tool_fail(EXIT_DATA, "cannot read the head: %s", err_text(err));
}

/* azoth-core commits a small change to the store and then, the log holding it for them, to the records; any other first to the
 * records, with its event, which goes with the next change. So when nobody committed to the records from before the view was taken
 * until they were read, and the log holds nothing for them, they hold all that the view holds, and events of what it does not. */
int records_begin(struct source_txn **out, struct source *s, struct tool_store *t)
{
    struct fault fault = { "" };
    bool lags = false;
    for (unsigned i = 0; i < TRIES; i++) {
        uint64_t before = recordbook_newest(s);
        int code = view_again(t);
        if (code != EXIT_FINE)
            return code;
        enum err err = source_begin(s, SOURCE_READ, out, &fault);
        if (err != OK)
            return tool_fail(EXIT_USAGE, "%s", fault_text(&fault, err));
        if ((err = recordbook_lags(*out, t->store, &lags, &fault)) != OK)
            return tool_fail(EXIT_USAGE, "%s", fault_text(&fault, err));
        if (!lags && recordbook_state(*out) == before && recordbook_newest(s) == before)
            return EXIT_FINE;
        source_abort(*out);
        *out = NULL;
        if (lags && !store_is_written(t->store))
            break;                      /* nobody is at work who would bring them together */
        (void)usleep(TRY_US);
    }
    if (lags)
        return tool_fail(EXIT_USAGE, "the records lack a change that the log has; azoth-core gives it to them when it starts, "
                         "or when their disk has room");
    return tool_fail(EXIT_USAGE, "the records change all the time; try again when fewer changes are made");
}

/* --- out ------------------------------------------------------------------------------------------------------------ */
struct copy { struct bookcopy_writer *w; bool (*go)(void *arg); void *arg; uint64_t n; enum err err; struct fault *fault; };

static bool copy_entry(void *arg, unsigned table, struct bytes key, struct bytes value)
{
    struct copy *c = arg;
    const struct bookcopy_entry e = { table, key, value };
    c->err = bookcopy_put(c->w, &e, c->fault);
    if (c->err == OK && ++c->n % BATCH == 0 && !c->go(c->arg))
        c->err = ERR_NOTNOW;
    return c->err == OK;
}

MUST_USE enum err records_copy(struct source_txn *t, int fd, bool (*go)(void *arg), void *arg, uint64_t *bytes,
                               struct fault *fault)
{
    struct copy c = { .go = go, .arg = arg, .fault = fault };
    struct bookcopy_totals totals = { 0, 0 };
    enum err err = bookcopy_writer_open(&c.w, fd, RECORDBOOK_FOLDER, fault);
    for (unsigned i = 0; i < RECORDBOOK_TABLES && err == OK; i++) {
        err = recordbook_entries(t, i, copy_entry, &c);
        if (err == OK)
            err = c.err;
    }
    if (err == OK)
        err = bookcopy_end(c.w, &totals, fault);
    bookcopy_writer_close(c.w);
    *bytes = totals.bytes;
    return err;
}

/* --- in ------------------------------------------------------------------------------------------------------------- */
static enum err batch_take(struct source *s, struct bookcopy_reader *r, bool *more, struct fault *fault)
{
    struct source_txn *t;
    struct bookcopy_entry e;
    enum err err = source_begin(s, SOURCE_WRITE, &t, fault);
    if (err != OK)
        return err;
    for (unsigned i = 0; i < BATCH && err == OK; i++)
        if ((err = bookcopy_next(r, &e, fault)) == OK)
            err = recordbook_entry_put(t, e.table, e.key, e.value, fault);
    *more = err == OK;
    if (err == OK || err == ERR_NOTFOUND)
        return source_commit(t, fault);
    source_abort(t);
    return err;
}

static enum err fill(struct source *s, int fd, bool (*go)(void *arg), void *arg, struct fault *fault)
{
    struct bookcopy_reader *r = NULL;
    bool more = true;
    enum err err = bookcopy_reader_open(&r, fd, fault);
    if (err == OK && strcmp(bookcopy_name(r), RECORDBOOK_FOLDER) != 0)
        err = fault_set(fault, ERR_FORMAT, "holds a book '%s' that this program does not know", bookcopy_name(r));
    while (err == OK && more) {
        err = batch_take(s, r, &more, fault);
        if (err == OK && !go(arg))
            err = ERR_NOTNOW;
    }
    bookcopy_reader_close(r);
    return err;
}

/* The files of an environment and their folder. */
static void folder_remove(const char *dir, const char *folder)
{
    static const char *const names[] = { "data.mdb", "lock.mdb", "anchor" };
    char path[PATH_MAX], file[PATH_MAX];
    if (file_path(path, sizeof path, dir, folder) != OK)
        return;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (file_path(file, sizeof file, path, names[i]) == OK)
            (void)unlink(file);
    (void)rmdir(path);
}

void records_drop(const char *dir)
{
    folder_remove(dir, FRESH);
    folder_remove(dir, RECORDBOOK_NEXT);
}

static enum err folder_move(const char *dir, const char *from, const char *to, struct fault *fault)
{
    char a[PATH_MAX], b[PATH_MAX];
    if (file_path(a, sizeof a, dir, from) != OK || file_path(b, sizeof b, dir, to) != OK)
        return ERR_LIMIT;
    if (rename(a, b) != 0 && errno != ENOENT)
        return fault_set(fault, ERR_IO, "cannot move %s: %s", a, strerror(errno));
    return file_sync_folder(b, fault);
}

/* An empty folder: there are none. */
static enum err none_next(const char *dir, struct fault *fault)
{
    char path[PATH_MAX];
    if (file_path(path, sizeof path, dir, RECORDBOOK_NEXT) != OK)
        return ERR_LIMIT;
    if (mkdir(path, 0700) != 0)
        return fault_set(fault, errno == ENOSPC || errno == EDQUOT ? ERR_FULL : ERR_IO, "cannot make %s: %s", path, strerror(errno));
    return file_sync_folder(path, fault);
}

MUST_USE enum err records_take(const char *dir, struct snapshot_reader *r, int fd, uint64_t map_size, bool (*go)(void *arg),
                               void *arg, struct fault *fault)
{
    const struct recordbook_options o = { .dir = dir, .folder = FRESH, .map_size = map_size };
    struct source *s = NULL;
    records_drop(dir);              /* of a restore that was cut off */
    if (!snapshot_reader_has_book(r))
        return none_next(dir, fault);
    enum err err = recordbook_open(&s, &o, fault);
    if (err == OK)
        err = fill(s, fd, go, arg, fault);
    source_close(s);
    if (err == OK)
        err = folder_move(dir, FRESH, RECORDBOOK_NEXT, fault);
    if (err != OK)
        records_drop(dir);
    return err;
}

MUST_USE enum err records_put_back(const char *dir, struct fault *fault)
{
    char next[PATH_MAX];
    if (file_path(next, sizeof next, dir, RECORDBOOK_NEXT) != OK)
        return ERR_LIMIT;
    folder_remove(dir, FORMER);
    enum err err = folder_move(dir, RECORDBOOK_FOLDER, FORMER, fault);
    if (err == OK && rmdir(next) != 0)          /* an empty one: there are no records from now on */
        err = folder_move(dir, RECORDBOOK_NEXT, RECORDBOOK_FOLDER, fault);
    if (err == OK)
        folder_remove(dir, FORMER);
    return err;
}

/* --- looked at ------------------------------------------------------------------------------------------------------- */
struct check { void (*bad)(void *arg, const char *what); void *arg; uint64_t n; struct arena arena; enum err err; };

static bool check_entry(void *arg, unsigned table, struct bytes key, struct bytes value)
{
    struct check *c = arg;
    struct fault fault = { "" };
    arena_reset(&c->arena);
    c->n++;
    enum err err = recordbook_entry_check(table, key, value, &c->arena, &fault);
    if (err == ERR_BAD)
        c->bad(c->arg, fault.text);
    else
        c->err = err;
    return c->err == OK;
}

MUST_USE enum err records_check(struct source *s, void (*bad)(void *arg, const char *what), void *arg, uint64_t *entries)
{
    struct check c = { .bad = bad, .arg = arg };
    struct source_txn *t;
    enum err err = source_begin(s, SOURCE_READ, &t, NULL);
    if (err != OK)
        return err;
    arena_init(&c.arena);
    for (unsigned i = 0; i < RECORDBOOK_TABLES && err == OK; i++) {
        err = recordbook_entries(t, i, check_entry, &c);
        if (err == OK)
            err = c.err;
    }
    arena_release(&c.arena);
    source_abort(t);
    *entries = c.n;
    return err;
}
