/* azoth backup: one state of a store, as a snapshot, into a file; of a core also its records. Runs beside the daemons: one
 * view, no lock. */
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
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
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* What stands beside a core's store and belongs to its state; ascending. Never the node's key. */
static const char *const core_files[] = { "zones.list" };

struct backup {
    struct tool_store t;
    struct progress *bar;
    const char *to;             /* as the user named it */
    bool is_stdout, is_file;    /* is_file: written beside `to` and renamed */
    char beside[PATH_MAX];
    int fd;
    struct snapshot_file files[1];
    size_t files_n;
    struct snapshot_totals totals;
    struct source *source;      /* NULL: no records */
    struct source_txn *records;
    uint64_t records_bytes;
};

static atomic_bool interrupted;

static void on_interrupt(int number)
{
    (void)number;
    interrupted = true;
}

static bool go(void *arg, uint64_t entries)
{
    struct backup *b = arg;
    progress_set(b->bar, entries);
    return !interrupted;
}

static bool go_on(void *arg)
{
    (void)arg;
    return !interrupted;
}

/* --- where it goes ------------------------------------------------------------------------------------------------ */
static int target_open(struct backup *b)
{
    struct stat st;
    b->is_stdout = strcmp(b->to, "-") == 0;
    if (b->is_stdout) {
        b->fd = STDOUT_FILENO;
        return isatty(STDOUT_FILENO) ? tool_fail(EXIT_USAGE, "a backup is not written to a terminal") : EXIT_FINE;
    }
    bool there = stat(b->to, &st) == 0;
    if (there && S_ISDIR(st.st_mode))
        return tool_fail(EXIT_USAGE, "%s is a folder; name a file", b->to);
    b->is_file = !there || S_ISREG(st.st_mode);     /* a pipe or device is written to as it is */
    if (!b->is_file) {
        if ((b->fd = open(b->to, O_WRONLY | O_CLOEXEC)) < 0)
            return tool_fail(EXIT_USAGE, "cannot open %s: %s", b->to, strerror(errno));
        return EXIT_FINE;
    }
    int n = snprintf(b->beside, sizeof b->beside, "%s.XXXXXX", b->to);
    if (n < 0 || (size_t)n >= sizeof b->beside)
        return tool_fail(EXIT_USAGE, "%s: path is too long", b->to);
    if ((b->fd = mkostemp(b->beside, O_CLOEXEC)) < 0) {        /* mode 0600 */
        b->beside[0] = '\0';
        return tool_fail(EXIT_USAGE, "cannot create a file beside %s: %s", b->to, strerror(errno));
    }
    return EXIT_FINE;
}

static enum err target_keep(struct backup *b, struct fault *fault)
{
    if (!b->is_file)
        return OK;
    if (fsync(b->fd) != 0)
        return fault_set(fault, errno == ENOSPC || errno == EDQUOT ? ERR_FULL : ERR_IO, "cannot sync: %s",
                         strerror(errno));
    if (rename(b->beside, b->to) != 0)
        return fault_set(fault, ERR_IO, "cannot rename: %s", strerror(errno));
    b->beside[0] = '\0';
    return file_sync_folder(b->to, fault);
}

static void target_close(struct backup *b)
{
    if (b->beside[0] != '\0')
        (void)unlink(b->beside);
    if (b->fd > STDERR_FILENO)
        (void)close(b->fd);
}

/* --- what goes ---------------------------------------------------------------------------------------------------- */
static int files_take(struct backup *b, const char *dir)
{
    char path[PATH_MAX];
    struct fault fault = { "" };
    for (size_t i = 0; i < sizeof core_files / sizeof core_files[0]; i++) {
        struct snapshot_file *f = &b->files[b->files_n];
        if (file_path(path, sizeof path, dir, core_files[i]) != OK)
            return tool_fail(EXIT_USAGE, "%s: path is too long", dir);
        enum err err = file_read(path, SNAPSHOT_FILE_MAX, &f->bytes, &fault);
        if (err == ERR_NOTFOUND)
            continue;
        if (err != OK)
            return tool_fail(EXIT_USAGE, "%s", fault_text(&fault, err));
        (void)snprintf(f->name, sizeof f->name, "%s", core_files[i]);
        b->files_n++;
    }
    return EXIT_FINE;
}

/* Before anything else of the state is read: the view moves for it. */
static int records_look(struct backup *b, const char *dir)
{
    int code = records_open(&b->source, dir);
    return code != EXIT_FINE || b->source == NULL ? code : records_begin(&b->records, b->source, &b->t);
}

static int failed(const struct backup *b, enum err err, const struct fault *fault)
{
    if (err == ERR_NOTNOW)
        return tool_fail(EXIT_USAGE, "interrupted: nothing was written to %s", b->to);
    if (err == ERR_FULL)
        return tool_fail(EXIT_USAGE, "the disk of %s is full (%s); what was written of it is removed", b->to,
                         fault_text(fault, err));
    return tool_fail(err == ERR_DIGEST ? EXIT_DATA : EXIT_USAGE, "cannot back up to %s: %s%s", b->to,
                     fault_text(fault, err), err == ERR_DIGEST ? "; see azoth verify" : "");
}

static int report(const struct backup *b, const struct options *o, uint64_t ms)
{
    char hex[2 * DIGEST_LEN + 1], size[32];
    const struct snapshot_totals *s = &b->totals;
    (void)text_hex(hex, sizeof hex, bytes_of(b->t.head.digest, DIGEST_LEN));
    if (o->json) {
        json_t *j = json_pack("{s:I,s:I,s:s,s:I,s:I,s:I,s:I,s:I}", "epoch", (json_int_t)b->t.head.epoch, "applied",
                              (json_int_t)b->t.head.seq, "digest", hex, "entries", (json_int_t)s->entries, "chunks",
                              (json_int_t)s->chunks, "bytes", (json_int_t)(s->bytes + b->records_bytes), "records_bytes",
                              (json_int_t)b->records_bytes, "ms", (json_int_t)ms);
        char *text = j == NULL ? NULL : json_dumps(j, JSON_COMPACT | JSON_PRESERVE_ORDER);
        if (text == NULL)
            return tool_fail(EXIT_USAGE, "out of memory");
        (void)fprintf(b->is_stdout ? stderr : stdout, "%s\n", text);
        free(text);
        json_decref(j);
    } else {
        (void)fprintf(b->is_stdout ? stderr : stdout,
                      "backup of epoch %" PRIu64 " seq %" PRIu64 ": %" PRIu64 " entries, digest %s, %s%s, %.2f s\n",
                      b->t.head.epoch, b->t.head.seq, s->entries, hex,
                      text_of_size(size, sizeof size, s->bytes + b->records_bytes),
                      b->records_bytes > 0 ? " with the records" : "", (double)ms / 1000);
    }
    return EXIT_FINE;
}

static int run(struct backup *b, const struct options *o)
{
    /* a second signal kills; what is left then is a file beside */
    struct sigaction act = { .sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND };
    struct sigaction ignore = { .sa_handler = SIG_IGN };
    struct fault fault = { "" };
    uint64_t start_ms = clock_mono_ms();
    int code;
    if (store_role(b->t.store) == STORE_CORE && (code = records_look(b, o->dir)) != EXIT_FINE)
        return code;
    if (b->t.empty)
        return tool_fail(EXIT_USAGE, "nothing was committed to %s yet: there is nothing to back up", o->dir);
    if (store_role(b->t.store) == STORE_CORE && (code = files_take(b, o->dir)) != EXIT_FINE)
        return code;
    if ((code = target_open(b)) != EXIT_FINE)
        return code;
    (void)sigaction(SIGINT, &act, NULL);
    (void)sigaction(SIGTERM, &act, NULL);
    (void)sigaction(SIGPIPE, &ignore, NULL);
    progress_open(&b->bar, "backup", "entries", b->t.head.keys);
    enum err err = snapshot_write(b->fd, b->t.view, store_role(b->t.store), b->files, b->files_n, go, b, &b->totals,
                                  &fault);
    if (err == OK && b->records != NULL)
        err = records_copy(b->records, b->fd, go_on, b, &b->records_bytes, &fault);
    if (err == OK)
        err = target_keep(b, &fault);
    progress_close(b->bar);
    return err == OK ? report(b, o, clock_mono_ms() - start_ms) : failed(b, err, &fault);
}

int cmd_backup(const struct options *o)
{
    static struct backup b;
    b.to = o->args[0];
    b.fd = -1;
    int code = tool_open(&b.t, o->dir);
    if (code == EXIT_FINE)
        code = run(&b, o);
    target_close(&b);
    for (size_t i = 0; i < b.files_n; i++)
        free((void *)(uintptr_t)b.files[i].bytes.ptr);
    source_abort(b.records);
    source_close(b.source);
    tool_close(&b.t);
    return tool_done(code);
}
