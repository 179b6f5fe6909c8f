#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum err file_errno(int number)
{
    switch (number) {
    case ENOENT:
        return ERR_NOTFOUND;
    case ENOSPC:
    case EDQUOT:
        return ERR_FULL;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
        return ERR_NOMEM;
    default:
        return ERR_IO;
    }
}

static enum err from_errno(struct fault *fault, const char *what, const char *path)
{
    return fault_set(fault, file_errno(errno), "%s %s: %s", what, path, strerror(errno));
}

MUST_USE enum err file_path(char *out, size_t cap, const char *dir, const char *name)
{
    int n = snprintf(out, cap, "%s/%s", dir, name);
    return n > 0 && (size_t)n < cap ? OK : ERR_LIMIT;
}

MUST_USE enum err file_read(const char *path, size_t most, struct bytes *out, struct fault *fault)
{
    uint8_t *buf = NULL;
    size_t len = 0, cap = 0;
    enum err err = OK;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return from_errno(fault, "cannot open", path);
    for (;;) {
        if (cap - len < 2) {
            size_t want = cap == 0 ? 4096 : cap * 2;
            uint8_t *more = realloc(buf, want);
            if (more == NULL) {
                err = fault_set(fault, ERR_NOMEM, "%s: out of memory", path);
                break;
            }
            buf = more;
            cap = want;
        }
        ssize_t n = read(fd, buf + len, cap - len - 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            err = from_errno(fault, "cannot read", path);
            break;
        }
        if (n == 0)
            break;
        len += (size_t)n;
        if (len > most) {
            err = fault_set(fault, ERR_LIMIT, "%s is larger than %zu bytes", path, most);
            break;
        }
    }
    (void)close(fd);
    if (err != OK) {
        free(buf);
        return err;
    }
    buf[len] = 0;
    *out = bytes_of(buf, len);
    return OK;
}

MUST_USE enum err file_sync_folder(const char *path, struct fault *fault)
{
    char dir[PATH_MAX];
    const char *slash = strrchr(path, '/');
    int n = slash == NULL ? snprintf(dir, sizeof dir, ".")
                          : snprintf(dir, sizeof dir, "%.*s", (int)(slash - path + (slash == path)), path);
    if (n < 0 || (size_t)n >= sizeof dir)
        return ERR_LIMIT;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return from_errno(fault, "cannot open", dir);
    enum err err = fsync(fd) == 0 ? OK : from_errno(fault, "cannot sync", dir);
    (void)close(fd);
    return err;
}

static enum err write_all(int fd, struct bytes b)
{
    while (b.len > 0) {
        ssize_t n = write(fd, b.ptr, b.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return ERR_IO;
        b.ptr += n;
        b.len -= (size_t)n;
    }
    return OK;
}

MUST_USE enum err file_replace(const char *path, struct bytes contents, mode_t mode, struct fault *fault)
{
    char beside[PATH_MAX];
    enum err err = OK;
    int n = snprintf(beside, sizeof beside, "%s.new", path);
    if (n < 0 || (size_t)n >= sizeof beside)
        return fault_set(fault, ERR_LIMIT, "%s: path is too long", path);
    (void)unlink(beside);       /* what a crash left; O_EXCL below keeps us from following a link put there */
    int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return from_errno(fault, "cannot create", beside);
    if (fchmod(fd, mode) != 0 || write_all(fd, contents) != OK || fsync(fd) != 0)
        err = from_errno(fault, "cannot write", beside);
    if (close(fd) != 0 && err == OK)
        err = from_errno(fault, "cannot close", beside);
    if (err == OK && rename(beside, path) != 0)
        err = from_errno(fault, "cannot rename to", path);
    if (err != OK) {
        (void)unlink(beside);
        return err;
    }
    return file_sync_folder(path, fault);
}

MUST_USE enum err file_folder(const char *path, struct fault *fault)
{
    struct stat st;
    if (mkdir(path, 0755) == 0)
        return OK;
    if (errno != EEXIST)
        return from_errno(fault, "cannot make folder", path);
    if (stat(path, &st) != 0)
        return from_errno(fault, "cannot look at", path);
    return S_ISDIR(st.st_mode) ? OK : fault_set(fault, ERR_IO, "%s is not a folder", path);
}

bool file_put_at(int fd, const uint8_t *p, size_t len, off_t at)
{
    while (len > 0) {
        ssize_t n = pwrite(fd, p, len, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n == 0 ? EIO : errno;
            return false;
        }
        p += n;
        len -= (size_t)n;
        at += n;
    }
    return true;
}
