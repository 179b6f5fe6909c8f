#include "store/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"

#define SMALL_FILE 4096

static enum err errno_err(struct fault *fault, const char *what, const char *path)
{
    enum err err = errno == ENOENT || errno == ENOTDIR ? ERR_NOTFOUND
                 : errno == ENOSPC || errno == EDQUOT ? ERR_FULL : ERR_IO;
    return fault_set(fault, err, "cannot %s %s: %s", what, path, strerror(errno));
}

MUST_USE enum err folder_make(const char *path, struct fault *fault)
{
    struct stat st;
    if (mkdir(path, 0750) == 0)
        return OK;
    if (errno != EEXIST)
        return errno_err(fault, "make folder", path);
    if (stat(path, &st) != 0)
        return errno_err(fault, "look at", path);
    return S_ISDIR(st.st_mode) ? OK : fault_set(fault, ERR_IO, "%s is not a folder", path);
}

void env_files_remove(const char *path, bool folder_too)
{
    char file[STORE_PATH_MAX + 16];
    static const char *const names[] = { "data.mdb", "lock.mdb", "anchor" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (file_path(file, sizeof file, path, names[i]) == OK)
            (void)unlink(file);
    if (folder_too)
        (void)rmdir(path);
}

MUST_USE enum err data_path(char out[STORE_PATH_MAX], const char *dir, unsigned number)
{
    int n = snprintf(out, STORE_PATH_MAX, "%s/data.%u", dir, number);
    return n > 0 && n < STORE_PATH_MAX ? OK : ERR_LIMIT;
}

/* Without syncs, for tests and simulators that make thousands of stores. */
static enum err replace_unsynced(const char *path, const char *text, struct fault *fault)
{
    char beside[STORE_PATH_MAX + 32];
    int n = snprintf(beside, sizeof beside, "%s.new", path);
    if (n < 0 || (size_t)n >= sizeof beside)
        return ERR_LIMIT;
    (void)unlink(beside);
    int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    if (fd < 0)
        return errno_err(fault, "create", beside);
    size_t len = strlen(text);
    ssize_t wrote = write(fd, text, len);
    if (wrote < 0 || (size_t)wrote != len || close(fd) != 0)
        return errno_err(fault, "write", beside);
    return rename(beside, path) == 0 ? OK : errno_err(fault, "rename to", path);
}

static enum err small_write(const char *dir, const char *name, const char *text, bool volatile_data,
                            struct fault *fault)
{
    char path[STORE_PATH_MAX];
    if (file_path(path, sizeof path, dir, name) != OK)
        return fault_set(fault, ERR_LIMIT, "%s: path is too long", dir);
    return volatile_data ? replace_unsynced(path, text, fault) : file_replace(path, bytes_of_text(text), 0640, fault);
}

/* Text of DIR/NAME into out, terminated. ERR_BAD: longer than a small file, or with a 0 byte in it. */
static enum err small_read(const char *dir, const char *name, char out[SMALL_FILE], struct fault *fault)
{
    char path[STORE_PATH_MAX];
    struct bytes b;
    if (file_path(path, sizeof path, dir, name) != OK)
        return fault_set(fault, ERR_LIMIT, "%s: path is too long", dir);
    enum err err = file_read(path, SMALL_FILE - 1, &b, fault);
    if (err != OK)
        return err == ERR_LIMIT ? ERR_BAD : err;
    bool text = memchr(b.ptr, 0, b.len) == NULL;
    memcpy(out, b.ptr, b.len);
    out[b.len] = '\0';
    free((void *)(uintptr_t)b.ptr);
    return text ? OK : ERR_BAD;
}

/* The rest of the line at *p that begins with `word` and a space; *p moves to the next line. NULL: another line. */
static const char *line_of(char **p, const char *word)
{
    size_t n = strlen(word);
    char *end = strchr(*p, '\n');
    if (end == NULL || strncmp(*p, word, n) != 0 || (*p)[n] != ' ')
        return NULL;
    *end = '\0';
    const char *value = *p + n + 1;
    *p = end + 1;
    return value;
}

/* --- magic -------------------------------------------------------------------------------------------------------- */
static enum err magic_parse(char *text, const char *dir, struct magic *out, struct fault *fault)
{
    struct magic m = { 0 };
    uint64_t version;
    char ours[32];
    const char *format = line_of(&text, "azoth-store");
    if (format == NULL || text_number(format, UINT32_MAX, &version) != OK)
        return fault_set(fault, ERR_FORMAT, "%s/magic: not the mark of an azoth store", dir);
    if (version != STORE_FORMAT)
        return fault_set(fault, ERR_FORMAT, "%s: store format %s, this program knows format %d only", dir, format,
                         STORE_FORMAT);
    (void)snprintf(ours, sizeof ours, "%d.%d", MDB_VERSION_MAJOR, MDB_VERSION_MINOR);
    const char *lmdb = line_of(&text, "lmdb");
    if (lmdb == NULL)
        return fault_set(fault, ERR_FORMAT, "%s/magic: line 2 is not 'lmdb VERSION'", dir);
    if (strcmp(lmdb, ours) != 0)
        return fault_set(fault, ERR_FORMAT, "%s: files of LMDB %.20s, this program has LMDB %s", dir, lmdb, ours);
    const char *cluster = line_of(&text, "cluster");
    if (cluster == NULL || text_from_hex(cluster, m.cluster, CLUSTER_LEN) != OK)
        return fault_set(fault, ERR_FORMAT, "%s/magic: line 3 is not 'cluster HEX'", dir);
    const char *role = line_of(&text, "role");
    if (role != NULL && strcmp(role, "core") == 0)
        m.role = STORE_CORE;
    else if (role != NULL && strcmp(role, "edge") == 0)
        m.role = STORE_EDGE;
    else
        return fault_set(fault, ERR_FORMAT, "%s/magic: line 4 is not 'role core' or 'role edge'", dir);
    if (*text != '\0')
        return fault_set(fault, ERR_FORMAT, "%s/magic: more lines than this program knows", dir);
    *out = m;
    return OK;
}

MUST_USE enum err magic_read(const char *dir, struct magic *out, struct fault *fault)
{
    char text[SMALL_FILE];
    enum err err = small_read(dir, "magic", text, fault);
    if (err == ERR_NOTFOUND)
        return fault_set(fault, err, "%s: no azoth store there (no file magic)", dir);
    if (err == ERR_BAD)
        return fault_set(fault, ERR_FORMAT, "%s/magic: not the mark of an azoth store", dir);
    return err != OK ? err : magic_parse(text, dir, out, fault);
}

MUST_USE enum err magic_write(const char *dir, const struct magic *m, bool volatile_data, struct fault *fault)
{
    char text[256], hex[2 * CLUSTER_LEN + 1];
    (void)snprintf(text, sizeof text, "azoth-store %d\nlmdb %d.%d\ncluster %s\nrole %s\n", STORE_FORMAT,
                   MDB_VERSION_MAJOR, MDB_VERSION_MINOR, text_hex(hex, sizeof hex, bytes_of(m->cluster, CLUSTER_LEN)),
                   m->role == STORE_CORE ? "core" : "edge");
    return small_write(dir, "magic", text, volatile_data, fault);
}

/* --- current ------------------------------------------------------------------------------------------------------ */
MUST_USE enum err current_read(const char *dir, unsigned *out, struct fault *fault)
{
    char text[SMALL_FILE];
    uint64_t n;
    enum err err = small_read(dir, "current", text, fault);
    if (err == ERR_NOTFOUND)
        return fault_set(fault, err, "%s/current is missing: it names the generation of the data", dir);
    if (err != OK && err != ERR_BAD)
        return err;
    char *end = err == OK ? strchr(text, '\n') : NULL;
    if (end == NULL || end[1] != '\0')
        return fault_set(fault, ERR_FORMAT, "%s/current: not a number on one line", dir);
    *end = '\0';
    if (text_number(text, UINT32_MAX >> 8, &n) != OK || n == 0 || (text[0] == '0'))
        return fault_set(fault, ERR_FORMAT, "%s/current: not a number on one line", dir);
    *out = (unsigned)n;
    return OK;
}

MUST_USE enum err current_write(const char *dir, unsigned number, bool volatile_data, struct fault *fault)
{
    char text[16];
    (void)snprintf(text, sizeof text, "%u\n", number);
    return small_write(dir, "current", text, volatile_data, fault);
}

/* --- the log's mark ----------------------------------------------------------------------------------------------- */
MUST_USE enum err log_mark_read(const char *dir, struct log_mark *out)
{
    char text[SMALL_FILE], *p = text;
    enum err err = small_read(dir, "log/mark", text, NULL);
    if (err != OK)
        return err;
    const char *boot = line_of(&p, "boot"), *stop = boot != NULL ? line_of(&p, "stop") : NULL;
    if (stop == NULL || *p != '\0' || strlen(boot) >= sizeof out->boot)
        return ERR_BAD;
    memcpy(out->boot, boot, strlen(boot) + 1);
    out->clean = strcmp(stop, "clean") == 0;
    return OK;
}

MUST_USE enum err log_mark_write(const char *dir, const struct log_mark *m, bool volatile_data, struct fault *fault)
{
    char text[128];
    (void)snprintf(text, sizeof text, "boot %s\nstop %s\n", m->boot, m->clean ? "clean" : "none");
    return small_write(dir, "log/mark", text, volatile_data, fault);
}

MUST_USE enum err log_mark_empty(const char *dir, struct fault *fault)
{
    char path[STORE_PATH_MAX];
    if (file_path(path, sizeof path, dir, "log/mark") != OK)
        return ERR_LIMIT;
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOFOLLOW);
    enum err err = fd >= 0 && fsync(fd) == 0 ? OK : errno_err(fault, "empty", path);
    if (fd >= 0)
        (void)close(fd);
    return err;
}

MUST_USE enum err boot_id_read(char out[ANCHOR_BOOT], struct fault *fault)
{
    struct bytes b;
    enum err err = file_read("/proc/sys/kernel/random/boot_id", ANCHOR_BOOT - 1, &b, fault);
    if (err != OK)
        return err;
    size_t n = strcspn((const char *)b.ptr, "\n");
    memcpy(out, b.ptr, n);
    out[n] = '\0';
    free((void *)(uintptr_t)b.ptr);
    return n > 0 ? OK : fault_set(fault, ERR_IO, "the kernel's boot id is empty");
}

MUST_USE enum err env_mend(const char *path, const struct store *s, struct fault *fault)
{
    enum anchor_state state;
    int lock;
    enum err err = anchor_look(path, s->boot, &state, fault);
    if (err != OK || state == ANCHOR_NONE || s->volatile_data)
        return err;
    if (s->boot[0] == '\0')
        return fault_set(fault, ERR_IO, "%s: whether the machine stopped while it was written the kernel's boot id would say, which cannot "
                         "be read", path);
    if (store_writable(s))
        return anchor_mend(path, s->boot, fault);
    if (state != ANCHOR_LOST)
        return OK;
    if ((err = writer_lock(s->dir, &lock, NULL)) == OK) {
        err = anchor_mend(path, s->boot, NULL);
        (void)close(lock);
    }
    return err == OK ? OK : fault_set(fault, ERR_NOTNOW, "%s: the machine stopped while it was written; the daemon that writes it puts "
                                      "it right when it starts, or any azoth command of its user", path);
}

/* --- one writer --------------------------------------------------------------------------------------------------- */
#define LOOKERS_MS 50                   /* who only looks (writer_there) is gone long before */

static bool lock_in_time(int fd)
{
    static const struct timespec step = { 0, 5000000 };
    for (int left_ms = LOOKERS_MS; flock(fd, LOCK_EX | LOCK_NB) != 0; left_ms -= 5) {
        if (errno != EWOULDBLOCK || left_ms <= 0)
            return false;
        (void)nanosleep(&step, NULL);
    }
    return true;
}

MUST_USE enum err writer_lock(const char *dir, int *out, struct fault *fault)
{
    char path[STORE_PATH_MAX], pid[32] = "";
    if (file_path(path, sizeof path, dir, "writer.lock") != OK)
        return fault_set(fault, ERR_LIMIT, "%s: path is too long", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (fd < 0)
        return errno_err(fault, "open", path);
    if (!lock_in_time(fd)) {
        bool held = errno == EWOULDBLOCK;
        enum err err = held ? ERR_LOCKED : errno_err(fault, "lock", path);
        if (held && pread(fd, pid, sizeof pid - 1, 0) >= 0)
            pid[strspn(pid, "0123456789")] = '\0';
        if (held)
            (void)fault_set(fault, err, "%s: another process writes to it (pid %s)", dir,
                            pid[0] != '\0' ? pid : "unknown");
        (void)close(fd);
        return err;
    }
    int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, pid, (size_t)n, 0) != n)
        n = 0;      /* only what an error message would say; a full disk must not keep deletes out */
    *out = fd;
    return OK;
}

/* Shared, and for no longer than the call: a writer that comes just then waits for it. */
bool writer_there(const char *dir)
{
    char path[STORE_PATH_MAX];
    int fd = file_path(path, sizeof path, dir, "writer.lock") == OK ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    bool there = fd < 0 || flock(fd, LOCK_SH | LOCK_NB) != 0;
    if (fd >= 0)
        (void)close(fd);
    return there;
}
