#include "tools/tool.h"

#include "base/file.h"
#include "replicator/record.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#define LOG_TRIES 1000
#define LOG_TRY_US 1000

int tool_fail(int code, const char *format, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, format);
    (void)vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    (void)fflush(stdout);
    (void)fprintf(stderr, "azoth: %s\n", text);
    return code;
}

int tool_done(int code)
{
    errno = 0;
    bool failed = fflush(stdout) != 0;
    if (failed && errno == EPIPE)       /* as of `| head`: who read has seen enough */
        return EXIT_USAGE;
    if (failed || ferror(stdout))
        return tool_fail(EXIT_USAGE, "cannot write the output: %s", strerror(errno));
    return code;
}

/* Whoever finds a crash's folder must not think that what was acknowledged is lost. Where it cannot be found out nothing is said: the
 * file that it stands in is for the user of azoth-core alone. */
static void tell_waiting(const struct tool_store *t, const char *dir)
{
    uint64_t seq, last;
    if (store_waiting(t->store, &seq, &last, NULL) != OK || last == seq)
        return;
    uint64_t n = last - seq;
    (void)tool_fail(EXIT_FINE, "%s is at seq %" PRIu64 ": %" PRIu64 " newer change%s, up to seq %" PRIu64 ", stand%s in %s/log and "
                    "azoth-core takes %s in when it starts", dir, seq, n, n == 1 ? "" : "s", last, n == 1 ? "s" : "", dir,
                    n == 1 ? "it" : "them");
}

int tool_open(struct tool_store *t, const char *dir)
{
    struct store_options so = { .dir = dir, .mode = STORE_READ };
    struct fault fault = { "" };
    enum err err;
    *t = (struct tool_store){ 0 };
    if ((err = store_open(&t->store, &so, &fault)) == ERR_NOTFOUND)
        return tool_fail(EXIT_USAGE, "%s (see azoth --help)", fault_text(&fault, err));
    if (err != OK)
        return tool_fail(EXIT_USAGE, "cannot open the store in %s: %s", dir, fault_text(&fault, err));
    if ((err = view_open(t->store, &t->view, &fault)) != OK || (err = view_begin(t->view)) != OK)
        return tool_fail(EXIT_USAGE, "cannot read the store in %s: %s", dir, fault_text(&fault, err));
    err = view_head(t->view, &t->head, &t->signed_head);
    t->empty = err == ERR_NOTFOUND;
    if (err != OK && err != ERR_NOTFOUND)
        return tool_fail(EXIT_DATA, "the head in %s cannot be read: %s", dir, err_text(err));
    tell_waiting(t, dir);
    return EXIT_FINE;
}

void tool_close(struct tool_store *t)
{
    if (t->view != NULL)
        view_end(t->view);
    view_close(t->view);
    if (t->store != NULL)
        store_close(t->store);
    *t = (struct tool_store){ 0 };
}

MUST_USE enum err tool_log_begin(const struct tool_store *t, struct log_reader *r)
{
    bool waits = !t->empty && store_role(t->store) == STORE_CORE && store_is_written(t->store);
    for (unsigned i = 0;; i++) {
        uint64_t first = 0, last = 0;
        enum err err = log_reader_begin(r);
        if (err != OK)
            return err;
        if (!waits || i == LOG_TRIES || log_reader_range(r, &first, &last) != OK || last >= t->head.seq)
            return OK;
        log_reader_end(r);
        (void)usleep(LOG_TRY_US);
    }
}

static int read_pub(const char *dir, uint8_t pub[32])
{
    char path[PATH_MAX];
    struct bytes text;
    struct fault fault = { "" };
    enum err err;
    if (file_path(path, sizeof path, dir, "node.pub") != OK)
        return tool_fail(EXIT_USAGE, "%s: path is too long", dir);
    if ((err = file_read(path, 4096, &text, &fault)) != OK)
        return tool_fail(EXIT_USAGE, "%s (or give the core's key with --core-key)", fault_text(&fault, err));
    char *line = (char *)(uintptr_t)text.ptr;       /* file_read ends it with a 0 byte */
    line[strcspn(line, "\r\n")] = '\0';
    err = node_pub_parse(line, pub);
    free(line);
    return err == OK ? EXIT_FINE : tool_fail(EXIT_USAGE, "%s holds no line ed25519:BASE64", path);
}

int tool_core_key(const struct tool_store *t, const struct options *o, uint8_t pub[32], bool *known)
{
    *known = true;
    if (o->core_key != NULL)
        return node_pub_parse(o->core_key, pub) == OK
                   ? EXIT_FINE : tool_fail(EXIT_USAGE, "--core-key: '%s' is not ed25519:BASE64 of 32 bytes", o->core_key);
    if (store_role(t->store) == STORE_CORE)
        return read_pub(o->dir, pub);
    *known = false;
    return EXIT_FINE;
}
