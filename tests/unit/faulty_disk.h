/* A disk below a store, for tests: what LMDB writes goes through the calls below, which keep an image of what a disk would have: a
 * write reaches it with the next sync that works; a sync that fails loses what it should have written, and, as on Linux, a later
 * one does not bring it back. The power may go at any call: `cut` is what the disk holds then.
 *
 *     disk_names[] of `t`'s folder ─► disk_begin ─► fail_at, cut_in ... ─► power_goes ─► after_power_loss ─► disk_end */
#ifndef AZOTH_TESTS_UNIT_FAULTY_DISK_H
#define AZOTH_TESTS_UNIT_FAULTY_DISK_H

#include "tests/util_store.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/uio.h>

/* --- calls ----------------------------------------------------------------------------------------------------------- */
#define FILES 3
static const char *disk_names[FILES];  /* NULL: fewer */
#define PAGE 4096
static struct disk_file { ino_t ino; uint8_t *bytes; size_t len; } disk[FILES];
static struct waiting { struct disk_file *file; size_t at, len; uint8_t *bytes; } waiting[4096];
static size_t waiting_n;
static uint64_t fail_at, calls;         /* the how many-th call fails; 0: none */
static int fail_with;
static bool fail_sync_only;
static struct rnd disk_rnd;
static uint64_t acked;                  /* seq of the newest commit that was told to have worked */
/* The power goes at some call: what the disk holds then. */
static uint64_t cut_in, acked_at_cut;   /* in so many calls; 0: it does not, or has */
static struct disk_file cut[FILES];

static struct disk_file *disk_of(int fd)
{
    struct stat st;
    if (disk[0].bytes == NULL || fstat(fd, &st) != 0)
        return NULL;
    for (size_t i = 0; i < FILES; i++)
        if (disk[i].bytes != NULL && disk[i].ino == st.st_ino)
            return &disk[i];
    return NULL;
}
static void reaches_disk(struct disk_file *f, size_t at, const uint8_t *bytes, size_t len);
/* Or goes again: the later state counts. */
static void power_goes(void)
{
    unsigned chance = rnd_below(&disk_rnd, 5);
    for (size_t i = 0; i < FILES && disk[i].bytes != NULL; i++) {
        free(cut[i].bytes);
        cut[i] = disk[i];
        cut[i].bytes = malloc(disk[i].len);
        memcpy(cut[i].bytes, disk[i].bytes, disk[i].len);
    }
    for (size_t i = 0; i < waiting_n; i++)
        if (rnd_below(&disk_rnd, 4) < chance)
            reaches_disk(&cut[waiting[i].file - disk], waiting[i].at, waiting[i].bytes, waiting[i].len);
    acked_at_cut = acked;
}
static bool fails(bool sync)
{
    if (cut_in > 0 && --cut_in == 0)
        power_goes();
    if (fail_at == 0 || (fail_sync_only && !sync) || ++calls != fail_at)
        return false;
    errno = fail_with;
    if (cut[0].bytes == NULL)
        cut_in = 1 + rnd_below(&disk_rnd, 40);
    return true;
}
static void reaches_disk(struct disk_file *f, size_t at, const uint8_t *bytes, size_t len)
{
    if (at + len > f->len) {
        f->bytes = realloc(f->bytes, at + len);
        memset(f->bytes + f->len, 0, at + len - f->len);
        f->len = at + len;
    }
    memcpy(f->bytes + at, bytes, len);
}
static void wait_for_sync(struct disk_file *f, size_t at, const uint8_t *bytes, size_t len)
{
    for (size_t done = 0; done < len; done += PAGE) {           /* page by page: any of them may come first */
        size_t n = len - done < PAGE ? len - done : PAGE;
        struct waiting *w = &waiting[waiting_n++];
        if (waiting_n == ROWS(waiting))
            abort();
        *w = (struct waiting){ f, at + done, n, malloc(n) };
        memcpy(w->bytes, bytes + done, n);
    }
}
/* Of the pages of f that wait, those that `chance` of 4 lets through reach the disk, the others are lost. */
static void settle(const struct disk_file *f, unsigned chance)
{
    size_t left = 0;
    for (size_t i = 0; i < waiting_n; i++) {
        struct waiting *w = &waiting[i];
        if (w->file != f) {
            waiting[left++] = *w;
            continue;
        }
        if (rnd_below(&disk_rnd, 4) < chance)
            reaches_disk(w->file, w->at, w->bytes, w->len);
        free(w->bytes);
    }
    waiting_n = left;
}
static void written(int fd, size_t at, const void *bytes, size_t len)
{
    struct disk_file *f = disk_of(fd);
    if (f == NULL)
        return;
    if ((fcntl(fd, F_GETFL) & O_DSYNC) != 0)
        reaches_disk(f, at, bytes, len);
    else
        wait_for_sync(f, at, bytes, len);
}

ssize_t pwrite(int fd, const void *buf, size_t n, off_t at)
{
    if (disk_of(fd) != NULL && fails(false))
        return -1;
    ssize_t got = syscall(SYS_pwrite64, fd, buf, n, at);
    if (got > 0)
        written(fd, (size_t)at, buf, (size_t)got);
    return got;
}
ssize_t writev(int fd, const struct iovec *v, int count)
{
    struct disk_file *f = disk_of(fd);
    if (f != NULL && fails(false))
        return -1;
    off_t at = f != NULL ? lseek(fd, 0, SEEK_CUR) : 0;
    ssize_t got = syscall(SYS_writev, fd, v, count);
    for (ssize_t i = 0, left = got; f != NULL && i < count && left > 0; i++) {
        size_t n = v[i].iov_len < (size_t)left ? v[i].iov_len : (size_t)left;
        written(fd, (size_t)at, v[i].iov_base, n);
        at += (off_t)n;
        left -= (ssize_t)n;
    }
    return got;
}
static int synced(int fd)
{
    struct disk_file *f = disk_of(fd);
    if (f == NULL)
        return 0;               /* nothing here is about the small files */
    bool failed = fails(true);
    settle(f, failed ? rnd_below(&disk_rnd, 4) : 4);
    if (failed)
        errno = fail_with;
    return failed ? -1 : 0;
}
int fdatasync(int fd) { return synced(fd); }
int fsync(int fd) { return synced(fd); }

static struct tmp_store t;

static void path_of(char out[PATH_MAX], const char *dir, const char *name)
{
    if (snprintf(out, PATH_MAX, "%s/%s", dir, name) >= PATH_MAX)
        fail_msg("path too long");
}
/* What is in the files now is on the disk. */
static void disk_begin(void)
{
    for (size_t i = 0; i < FILES && disk_names[i] != NULL; i++) {
        char path[PATH_MAX];
        struct stat st;
        path_of(path, t.dir, disk_names[i]);
        int fd = open(path, O_RDONLY);
        assert_true(fd >= 0 && fstat(fd, &st) == 0);
        disk[i] = (struct disk_file){ st.st_ino, malloc((size_t)st.st_size), (size_t)st.st_size };
        assert_int_equal(read(fd, disk[i].bytes, disk[i].len), (ssize_t)disk[i].len);
        (void)close(fd);
    }
}
static void disk_end(void)
{
    cut_in = 0;
    for (size_t i = 0; i < FILES; i++) {
        settle(&disk[i], 0);
        free(disk[i].bytes);
        disk[i] = (struct disk_file){ 0 };
        free(cut[i].bytes);
        cut[i] = (struct disk_file){ 0 };
    }
    fail_at = 0;
}
static void file_write(const char *dir, const char *name, const uint8_t *bytes, size_t len)
{
    char path[PATH_MAX];
    path_of(path, dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0640);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), (ssize_t)len);
    (void)close(fd);
}
static void copy_small(const char *to, const char *name)
{
    char path[PATH_MAX];
    uint8_t buf[4096];
    path_of(path, t.dir, name);
    int fd = open(path, O_RDONLY);
    ssize_t n = fd >= 0 ? read(fd, buf, sizeof buf) : -1;
    assert_true(n >= 0);
    (void)close(fd);
    file_write(to, name, buf, (size_t)n);
}
/* The folder as it is found after the power came back. */
static void after_power_loss(char dir[PATH_MAX])
{
    char path[PATH_MAX];
    tmp_folder(dir);
    for (size_t i = 0; i < FILES && disk_names[i] != NULL; i++) {
        path_of(path, dir, disk_names[i]);
        *strrchr(path, '/') = '\0';
        assert_true(mkdir(path, 0750) == 0 || errno == EEXIST);
    }
    path_of(path, dir, "log");
    assert_true(mkdir(path, 0750) == 0 || errno == EEXIST);
    copy_small(dir, "magic");
    copy_small(dir, "current");
    copy_small(dir, "log/mark");
    for (size_t i = 0; i < FILES && disk_names[i] != NULL; i++)
        file_write(dir, disk_names[i], cut[i].bytes, cut[i].len);
}

/* --- the store on it ------------------------------------------------------------------------------------------------------ */
/* One transaction, the log first. */
static enum err change(struct rnd *r)
{
    static uint8_t value[9000];
    struct store_txn *x;
    struct log_txn *l;
    uint64_t first, last, seq = seq_now(t.s) + 1;
    enum err err = store_begin(t.s, &x, &t.fault);
    if (err != OK)
        return err;
    for (unsigned n = 1 + rnd_below(r, 20); n > 0 && err == OK; n--) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%03u", rnd_below(r, 200));
        memset(value, (int)rnd_below(r, 256), sizeof value);
        struct op op = { OP_PUT, bytes_of_text("kv"), bytes_of_text(key),
                         bytes_of(value, rnd_below(r, 30) == 0 ? sizeof value : rnd_below(r, 400)) };
        if (rnd_below(r, 4) == 0)
            op = (struct op){ OP_DEL, op.ns, op.key, { 0 } };
        err = store_apply(x, &op, 1, &t.fault);
    }
    if (err == OK)
        err = log_range(t.s, &first, &last);
    if (err == OK && (err = log_begin(t.s, &l, &t.fault)) == OK) {
        if (last >= seq)
            err = log_cut(l, seq - 1, &t.fault);
        if (err == OK)
            err = log_append(l, seq, bytes_of(value, 2500), &t.fault);
        if (err == OK)
            err = log_commit(l, &t.fault);
        else
            log_abort(l);
    }
    if (err != OK) {
        store_abort(x);
        return err;
    }
    return commit_at(t.s, x, seq, &t.fault);
}

#endif
