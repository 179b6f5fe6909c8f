/* Folders for tests, and calls that must go well. */
#ifndef AZOTH_TESTS_UTIL_FOLDER_H
#define AZOTH_TESTS_UTIL_FOLDER_H

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#include "base/err.h"
#include "tests/util.h"

static inline void remove_tree(const char *path)
{
    char below[PATH_MAX];
    struct stat st;
    DIR *d = lstat(path, &st) == 0 && S_ISDIR(st.st_mode) ? opendir(path) : NULL;
    if (d == NULL) {
        (void)unlink(path);
        return;
    }
    for (const struct dirent *e; (e = readdir(d)) != NULL;) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (snprintf(below, sizeof below, "%s/%s", path, e->d_name) < (int)sizeof below)
            remove_tree(below);
    }
    (void)closedir(d);
    (void)rmdir(path);
}

static inline void copy_file(const char *from, const char *to)
{
    char buf[65536];
    int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ssize_t n;
    assert_true(in >= 0 && out >= 0);
    while ((n = read(in, buf, sizeof buf)) > 0)
        assert_true(write(out, buf, (size_t)n) == n);
    assert_true(n == 0 && close(in) == 0 && close(out) == 0);
}

/* All that is below from, but locks, which belong to who is at work there. */
static inline void copy_tree(const char *from, const char *to)
{
    char below[PATH_MAX], there[PATH_MAX];
    struct stat st;
    DIR *d = opendir(from);
    assert_non_null(d);
    (void)mkdir(to, 0700);
    for (const struct dirent *e; (e = readdir(d)) != NULL;) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || strcmp(e->d_name, "lock.mdb") == 0)
            continue;
        assert_true(snprintf(below, sizeof below, "%s/%s", from, e->d_name) < (int)sizeof below);
        assert_true(snprintf(there, sizeof there, "%s/%s", to, e->d_name) < (int)sizeof there);
        if (stat(below, &st) == 0 && S_ISDIR(st.st_mode))
            copy_tree(below, there);
        else
            copy_file(below, there);
    }
    (void)closedir(d);
}

/* A new empty folder; its path in out. */
static inline void tmp_folder(char out[PATH_MAX])
{
    const char *base = getenv("TMPDIR");
    (void)snprintf(out, PATH_MAX, "%s/azoth-test-XXXXXX", base != NULL && strlen(base) < PATH_MAX - 32 ? base : "/tmp");
    if (mkdtemp(out) == NULL)
        fail_msg("cannot make a folder like %s", out);
}

/* Whatever it gives but OK fails the test with its words. */
#define assert_ok(call, fault) assert_ok_at(call, fault, __FILE__, __LINE__)
static inline void assert_ok_at(enum err got, const struct fault *fault, const char *file, int line)
{
    if (got != OK)
        fail_msg("%s:%d: %s (%s)", file, line, fault_text(fault, got), err_text(got));
}

#endif
