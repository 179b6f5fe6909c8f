#include "lib/azoth.h"

#include <config.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "lib/shared.h"
#include "store/kvvalue.h"

static_assert(AZOTH_DIGEST_LEN == DIGEST_LEN && AZOTH_KEY_MAX == STORE_KEY_MAX && AZOTH_NS_MAX == STORE_NS_MAX,
              "the header's numbers are the store's");

#define LOOK_MS 1000                /* between looks at the folder */
#define FOLLOW_ROUNDS 4             /* generations that may pass while we open one */
#define WAIT_STEP_MAX_MS 50

struct azoth {
    struct shared *shared;          /* both NULL: it was lost on the way, and is opened anew by the next azoth_begin */
    struct view *view;
    unsigned generation;            /* that the view saw last */
    uint64_t looked_ms;             /* when the folder was looked at; 0: at once */
    unsigned forks;                 /* of the process that opened it */
    bool open;                      /* a snapshot is */
    unsigned visiting;              /* depth of visits under way */
    bool has_head;                  /* `head` is of this snapshot */
    struct head head;
    struct fault words;
    char dir[];
};

/* --- errors ---------------------------------------------------------------------------------------------------- */
const char *azoth_strerror(enum azoth_err err)
{
    switch (err) {
    case AZOTH_OK: return "ok";
    case AZOTH_NOTFOUND: return "no such key or namespace";
    case AZOTH_NOSTORE: return "no azoth store there";
    case AZOTH_IO: return "a file cannot be read";
    case AZOTH_FORMAT: return "the store was made by a version that this one cannot read";
    case AZOTH_LIMIT: return "a key, a name or a path is empty, too long or not allowed";
    case AZOTH_MISUSE: return "the call does not fit the state or its arguments";
    case AZOTH_TIMEOUT: return "not applied yet";
    case AZOTH_FORKED: return "opened by the parent process; open it anew after a fork";
    case AZOTH_BUSY: return "another reader of this process is in the way";
    case AZOTH_NOMEM: return "out of memory";
    case AZOTH_DAMAGED: return "stored data is damaged";
    case AZOTH_STORE: return "the store refused the operation";
    }
    return "unknown error";
}

/* What the store says, as its caller has to hear it. ERR_NOTFOUND is the one that depends on the question. */
static enum azoth_err public_err(enum err err, enum azoth_err notfound)
{
    switch (err) {
    case OK: return AZOTH_OK;
    case ERR_NOTFOUND: return notfound;
    case ERR_IO: return AZOTH_IO;
    case ERR_FORMAT: return AZOTH_FORMAT;
    case ERR_LIMIT: return AZOTH_LIMIT;
    case ERR_NOMEM: return AZOTH_NOMEM;
    case ERR_SHORT: case ERR_BAD: return AZOTH_DAMAGED;
    case ERR_LOCKED: case ERR_NOTNOW: return AZOTH_BUSY;
    default: return AZOTH_STORE;
    }
}

static enum azoth_err refuse(struct azoth *a, enum azoth_err err, const char *words)
{
    (void)fault_set(&a->words, OK, "%s", words);
    return err;
}

static enum azoth_err failed(struct azoth *a, enum err err, enum azoth_err notfound)
{
    enum azoth_err e = public_err(err, notfound);
    if (e != AZOTH_OK && e != AZOTH_NOTFOUND && a->words.text[0] == '\0')
        (void)fault_set(&a->words, err, "%s", err == ERR_NOTFOUND ? azoth_strerror(e) : err_text(err));
    return e;
}

static bool forked(const struct azoth *a) { return a->forks != shared_forks(); }

/* May this call go on? inside: it needs a snapshot, or must not have one. */
static enum azoth_err check(struct azoth *a, bool inside)
{
    if (a == NULL)
        return AZOTH_MISUSE;
    a->words.text[0] = '\0';
    if (forked(a))
        return refuse(a, AZOTH_FORKED, azoth_strerror(AZOTH_FORKED));
    if (a->open != inside)
        return refuse(a, AZOTH_MISUSE, inside ? "no snapshot is open: azoth_begin comes first"
                                              : "a snapshot is open: azoth_end comes first");
    return AZOTH_OK;
}

const char *azoth_words(const struct azoth *a) { return a == NULL ? azoth_strerror(AZOTH_MISUSE) : a->words.text; }
const char *azoth_version(void) { return PACKAGE_VERSION; }

/* --- open, close ----------------------------------------------------------------------------------------------- */
static void detach(struct azoth *a)
{
    view_close(a->view);
    if (a->shared != NULL)
        shared_close(a->shared);
    a->view = NULL;
    a->shared = NULL;
}

static enum err look(struct azoth *a, bool *replaced)
{
    enum err err = shared_look(a->shared, a->dir, a->generation, replaced, &a->words);
    a->looked_ms = err == OK ? clock_mono_ms() : 0;     /* until all is well nobody is told that it is */
    return err;
}

/* Opens its store and learns which files that are, so that a later look can tell others from them. */
static enum err attach(struct azoth *a)
{
    bool replaced = false;
    enum err err = shared_open(a->dir, &a->shared, &a->words);
    if (err != OK)
        return err;
    if ((err = view_open(shared_store(a->shared), &a->view, &a->words)) == OK && (err = view_begin(a->view)) == OK) {
        a->generation = view_generation(a->view);
        view_end(a->view);
        err = look(a, &replaced);
    }
    if (err == OK && replaced)      /* in this very moment */
        err = fault_set(&a->words, ERR_NOTNOW, "%s: is being replaced", a->dir);
    if (err != OK)
        detach(a);
    return err;
}

/* dir behind the working directory of now, which may be another when the store has to be opened anew. */
static enum err make(const char *dir, struct azoth **out, struct fault *fault)
{
    char cwd[4096] = "";
    if (dir[0] == '\0')
        return fault_set(fault, ERR_LIMIT, "the store's folder has no name");
    if (dir[0] != '/' && getcwd(cwd, sizeof cwd) == NULL)
        return fault_set(fault, ERR_IO, "cannot tell the working directory: %s", strerror(errno));
    size_t n = strlen(cwd) + 1 + strlen(dir) + 1;
    struct azoth *a = calloc(1, sizeof *a + n);
    if (a == NULL)
        return fault_set(fault, ERR_NOMEM, "out of memory");
    (void)snprintf(a->dir, n, "%s%s%s", cwd, cwd[0] != '\0' ? "/" : "", dir);
    *out = a;
    return OK;
}

enum azoth_err azoth_open(const char *dir, struct azoth **out, char *error, size_t error_cap)
{
    struct fault fault = { "" };
    struct azoth *a = NULL;
    enum azoth_err e = AZOTH_MISUSE;
    if (dir != NULL && out != NULL) {
        enum err err = make(dir, &a, &fault);
        if (err == OK && (err = attach(a)) != OK)
            fault = a->words;
        e = public_err(err, AZOTH_NOSTORE);
        if (e != AZOTH_OK && fault.text[0] == '\0')
            (void)fault_set(&fault, err, "%s: %s", dir, err_text(err));
        if (e != AZOTH_OK) {
            free(a);
            a = NULL;
        } else {
            a->forks = shared_forks();
        }
    }
    if (out != NULL)
        *out = a;
    if (error != NULL && error_cap > 0)
        (void)snprintf(error, error_cap, "%s", e == AZOTH_OK ? "" : e == AZOTH_MISUSE ? azoth_strerror(e) : fault.text);
    return e;
}

void azoth_close(struct azoth *a)
{
    if (a == NULL || (a->visiting > 0 && !forked(a)))
        return;
    if (!forked(a)) {           /* LMDB's reader slot, else, is the parent's */
        if (a->open)
            view_end(a->view);
        detach(a);
    }
    free(a);
}

/* --- snapshots ------------------------------------------------------------------------------------------------- */
/* Goes to where the newest data are, as far as the last look knows. */
static enum err follow(struct azoth *a)
{
    bool replaced = false;
    enum err err = OK;
    if (a->shared != NULL && clock_mono_ms() - a->looked_ms >= LOOK_MS)
        err = look(a, &replaced);
    if (replaced)
        detach(a);
    return err == OK && a->shared == NULL ? attach(a) : err;
}

enum azoth_err azoth_begin(struct azoth *a)
{
    enum azoth_err e = check(a, false);
    if (e != AZOTH_OK)
        return e;
    enum err err = OK;
    for (unsigned round = 0; round < FOLLOW_ROUNDS; round++) {
        if ((err = follow(a)) != OK || (err = view_begin(a->view)) != OK)
            return failed(a, err, AZOTH_NOSTORE);
        a->generation = view_generation(a->view);
        if (!view_superseded(a->view))
            break;
        if (round + 1 == FOLLOW_ROUNDS)     /* it flips faster than we follow: one of them is as good as any */
            break;
        view_end(a->view);
        if ((err = store_follow(shared_store(a->shared), &a->words)) != OK)
            return failed(a, err, AZOTH_NOSTORE);
    }
    a->open = true;
    a->has_head = false;
    return AZOTH_OK;
}

void azoth_end(struct azoth *a)
{
    if (check(a, true) != AZOTH_OK || a->visiting > 0)
        return;
    view_end(a->view);
    a->open = false;
}

/* The head of the snapshot; zeroed when nothing was applied yet. Decoded once per snapshot, not once per
 * view_version: when two commits pass while LMDB begins a transaction, it shows the newer under the number of the
 * older. */
static enum err head_now(struct azoth *a)
{
    if (a->has_head)
        return OK;
    enum err err = view_head(a->view, &a->head, NULL);
    if (err == ERR_NOTFOUND) {
        a->head = (struct head){ .epoch = 0 };
        digest_final(&(struct digest){ { 0 } }, a->head.digest);
        err = OK;
    }
    a->has_head = err == OK;
    return err;
}

/* --- reading --------------------------------------------------------------------------------------------------- */
static bool ns_fits(const char *ns)
{
    size_t n = 0;
    for (; ns != NULL && n <= AZOTH_NS_MAX && ns[n] != '\0'; n++) {
        char c = ns[n];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-'))
            return false;
    }
    return n > 0 && n <= AZOTH_NS_MAX;
}

static enum azoth_err check_ns(struct azoth *a, const char *ns)
{
    enum azoth_err e = check(a, true);
    if (e != AZOTH_OK)
        return e;
    return ns_fits(ns) ? AZOTH_OK : refuse(a, AZOTH_LIMIT, "a namespace's name is 1 to 32 of a-z 0-9 _ . -");
}

/* A stored value as its reader gets it. */
static enum err unwrap(struct azoth *a, const char *ns, struct bytes stored, struct azoth_value *out)
{
    struct kvvalue v = { .bytes = stored };
    enum err err = head_now(a);
    if (err == OK && strcmp(ns, KV_NS_DNS) != 0)
        err = kvvalue_read(stored, &v);
    if (err != OK)
        return fault_set(&a->words, err, "namespace %s: a value does not decode: %s", ns, err_text(err));
    *out = (struct azoth_value){ v.bytes.ptr, v.bytes.len, a->head.epoch, v.seq };
    return OK;
}

enum azoth_err azoth_get(struct azoth *a, const char *ns, const void *key, size_t key_len, struct azoth_value *out)
{
    struct bytes stored;
    enum azoth_err e = check_ns(a, ns);
    if (e != AZOTH_OK)
        return e;
    if (key == NULL || out == NULL)
        return refuse(a, AZOTH_MISUSE, "key or out is NULL");
    if (key_len == 0 || key_len > AZOTH_KEY_MAX)
        return refuse(a, AZOTH_LIMIT, "a key has 1 to 510 bytes");
    enum err err = view_get(a->view, bytes_of_text(ns), bytes_of(key, key_len), &stored);
    if (err == OK)
        err = unwrap(a, ns, stored, out);
    return failed(a, err, AZOTH_NOTFOUND);
}

static enum err walk(struct azoth *a, const char *ns, struct cursor *c, const struct azoth_range *range,
                     azoth_visit *visit, void *arg)
{
    struct bytes prefix = bytes_of(range->prefix, range->prefix_len), from = bytes_of(range->from, range->from_len);
    struct azoth_value value;
    struct entry entry;
    uint64_t n = 0;
    enum err err = cursor_seek(c, bytes_compare(from, prefix) > 0 ? from : prefix, &entry);
    if (err == OK && range->after && bytes_equal(entry.key, from))
        err = cursor_next(c, &entry);
    for (; err == OK && bytes_starts(entry.key, prefix); err = cursor_next(c, &entry)) {
        if ((err = unwrap(a, ns, entry.value, &value)) != OK)
            return err;
        if (!visit(arg, entry.key.ptr, entry.key.len, &value) || ++n == range->limit)
            return OK;
    }
    return err == ERR_NOTFOUND ? OK : err;
}

enum azoth_err azoth_scan(struct azoth *a, const char *ns, const struct azoth_range *range, azoth_visit *visit,
                          void *arg)
{
    static const struct azoth_range all = { .limit = 0 };
    struct ns_figures figures;
    struct cursor *c;
    enum azoth_err e = check_ns(a, ns);
    if (e != AZOTH_OK)
        return e;
    range = range == NULL ? &all : range;
    if (visit == NULL || (range->prefix == NULL && range->prefix_len > 0) ||
        (range->from == NULL && range->from_len > 0))
        return refuse(a, AZOTH_MISUSE, "visit is NULL, or prefix or from without bytes");
    if (range->prefix_len > AZOTH_KEY_MAX || range->from_len > AZOTH_KEY_MAX)
        return refuse(a, AZOTH_LIMIT, "a key has at most 510 bytes");
    enum err err = view_ns_figures(a->view, bytes_of_text(ns), &figures);
    if (err != OK || (err = cursor_open(a->view, bytes_of_text(ns), &c)) != OK)
        return failed(a, err, AZOTH_NOTFOUND);
    a->visiting++;
    err = walk(a, ns, c, range, visit, arg);
    a->visiting--;
    cursor_close(c);
    return failed(a, err, AZOTH_NOTFOUND);
}

enum azoth_err azoth_namespaces(struct azoth *a, azoth_visit_ns *visit, void *arg)
{
    char names[STORE_NAMESPACES_MAX][STORE_NS_MAX + 1];
    size_t n = 0;
    enum azoth_err e = check(a, true);
    if (e != AZOTH_OK)
        return e;
    if (visit == NULL)
        return refuse(a, AZOTH_MISUSE, "visit is NULL");
    enum err err = view_namespaces(a->view, names, &n);
    a->visiting++;
    for (size_t i = 0; err == OK && i < n && visit(arg, names[i]); i++)
        ;
    a->visiting--;
    return failed(a, err, AZOTH_STORE);
}

/* --- the applied position -------------------------------------------------------------------------------------- */
enum azoth_err azoth_position(struct azoth *a, struct azoth_position *out)
{
    enum azoth_err e = check(a, a != NULL && a->open);
    if (e != AZOTH_OK)
        return e;
    if (out == NULL)
        return refuse(a, AZOTH_MISUSE, "out is NULL");
    bool mine = !a->open;
    if (mine && (e = azoth_begin(a)) != AZOTH_OK)
        return e;
    enum err err = head_now(a);
    if (err == OK) {
        const struct head *h = &a->head;
        *out = (struct azoth_position){ .epoch = h->epoch, .seq = h->seq, .time_ms = h->time_ms, .keys = h->keys,
                                        .bytes = h->bytes };
        memcpy(out->digest, h->digest, DIGEST_LEN);
    }
    if (mine)
        azoth_end(a);
    return failed(a, err, AZOTH_STORE);
}

static void sleep_ms(uint64_t ms)
{
    struct timespec left = { (time_t)(ms / 1000), (long)(ms % 1000) * 1000000 };
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}

/* Nothing wakes a reader: the daemon commits through its own map of the file, which is no write that inotify would see,
 * and knows no readers. Looking costs a fraction of a microsecond, so we look: after each 16th of the time waited so
 * far. */
enum azoth_err azoth_wait(struct azoth *a, uint64_t epoch, uint64_t seq, int timeout_ms)
{
    struct azoth_position at;
    enum azoth_err e = check(a, false);
    if (e != AZOTH_OK)
        return e;
    const uint64_t start = clock_mono_ms();
    for (;;) {
        if ((e = azoth_position(a, &at)) != AZOTH_OK)
            return e;
        if (at.epoch > epoch || (at.epoch == epoch && at.seq >= seq))
            return AZOTH_OK;
        uint64_t waited = clock_mono_ms() - start, step = 1 + waited / 16;
        if (timeout_ms >= 0 && waited >= (uint64_t)timeout_ms)
            return refuse(a, AZOTH_TIMEOUT, azoth_strerror(AZOTH_TIMEOUT));
        if (step > WAIT_STEP_MAX_MS)
            step = WAIT_STEP_MAX_MS;
        if (timeout_ms >= 0 && step > (uint64_t)timeout_ms - waited)
            step = (uint64_t)timeout_ms - waited;
        sleep_ms(step);
    }
}
