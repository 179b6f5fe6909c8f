/* A folder of its own for a test, removed with all it holds. */
#ifndef AZOTH_TESTS_UNIT_REPLICATOR_DIR_H
#define AZOTH_TESTS_UNIT_REPLICATOR_DIR_H

#include <ftw.h>

#include "tests/util.h"

static inline int dir_unlink(const char *path, const struct stat *st, int flag, struct FTW *at)
{
    (void)st, (void)flag, (void)at;
    return remove(path);
}
static inline void dir_remove(const char *path)
{
    nftw(path, dir_unlink, 16, FTW_DEPTH | FTW_PHYS);
}
static inline const char *dir_make(char *out, size_t cap, const char *name)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(out, cap, "%s/azoth-%s-XXXXXX", tmp != NULL && tmp[0] == '/' ? tmp : "/tmp", name);
    assert_non_null(mkdtemp(out));
    return out;
}

#endif
