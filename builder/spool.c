#include "builder/spool.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#define PREFIX 2

void spool_init(struct spool *s)
{
    s->mem = NULL;
    s->fd = -1;
    s->read = 0;
    atomic_init(&s->kept, SPOOL_MEMORY);
    atomic_init(&s->written, 0);
}

void spool_release(struct spool *s)
{
    free(s->mem);
    if (s->fd >= 0)
        (void)close(s->fd);
    spool_init(s);
}

/* Its name is gone at once: nothing is left behind a crash but what falls between the two calls. */
static enum err file_open(struct spool *s, const char *dir, struct fault *fault)
{
    char path[PATH_MAX];
    s->fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (s->fd < 0 && file_path(path, sizeof path, dir, "transfer.XXXXXX") == OK && (s->fd = mkostemp(path, O_CLOEXEC)) >= 0)
        (void)unlink(path);
    return s->fd >= 0 ? OK : fault_set(fault, ERR_IO, "%s: no file for a transfer: %s", dir, strerror(errno));
}

static enum err file_put(struct spool *s, const uint8_t *p, size_t n, uint64_t at, struct fault *fault)
{
    while (n > 0) {
        ssize_t done = pwrite(s->fd, p, n, (off_t)at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return fault_set(fault, ERR_IO, "the file of a transfer: %s", done < 0 ? strerror(errno) : "nothing is written");
        p += done;
        n -= (size_t)done;
        at += (uint64_t)done;
    }
    return OK;
}

static enum err file_get(const struct spool *s, uint8_t *p, size_t n, uint64_t at)
{
    while (n > 0) {
        ssize_t done = pread(s->fd, p, n, (off_t)at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return ERR_IO;
        p += done;
        n -= (size_t)done;
        at += (uint64_t)done;
    }
    return OK;
}

uint64_t spool_file_bytes(const struct spool *s, struct bytes msg)
{
    uint64_t n = PREFIX + msg.len;
    return s->fd < 0 && atomic_load(&s->written) + n <= SPOOL_MEMORY ? 0 : n;
}

/* A message stands whole on one side: in memory as long as all before it do and it fits there. What is written becomes visible to
 * the reader with `written`. */
enum err spool_put(struct spool *s, const char *dir, struct bytes msg, struct fault *fault)
{
    uint8_t whole[PREFIX + SPOOL_MESSAGE_MAX];
    struct wr w = wr_over(whole, sizeof whole);
    uint64_t at = atomic_load(&s->written);
    enum err err = OK;
    wr_u16(&w, (uint16_t)msg.len);
    wr_bytes(&w, msg);
    if (w.full || msg.len > SPOOL_MESSAGE_MAX)
        return ERR_LIMIT;
    if (s->mem == NULL && (s->mem = malloc(SPOOL_MEMORY)) == NULL)
        return ERR_NOMEM;
    if (spool_file_bytes(s, msg) == 0) {
        memcpy(s->mem + at, whole, w.len);
    } else {
        if (s->fd < 0) {
            if ((err = file_open(s, dir, fault)) != OK)
                return err;
            atomic_store(&s->kept, at);
        }
        err = file_put(s, whole, w.len, at - atomic_load(&s->kept), fault);
    }
    if (err == OK)
        atomic_store(&s->written, at + w.len);
    return err;
}

static enum err get(const struct spool *s, uint8_t *p, size_t n, uint64_t at)
{
    uint64_t kept = atomic_load(&s->kept);
    if (at >= kept)
        return file_get(s, p, n, at - kept);
    memcpy(p, s->mem + at, n);
    return OK;
}

enum err spool_next(struct spool *s, uint8_t *out, size_t *len)
{
    uint8_t prefix[PREFIX];
    if (s->read == atomic_load(&s->written))
        return ERR_AGAIN;
    enum err err = get(s, prefix, sizeof prefix, s->read);
    if (err != OK)
        return err;
    *len = (size_t)prefix[0] << 8 | prefix[1];
    if ((err = get(s, out, *len, s->read + PREFIX)) == OK)
        s->read += PREFIX + *len;
    return err;
}
