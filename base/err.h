/* What can go wrong, one list for the whole program; each entry has one number and one text.
 * Codes of libraries (LMDB, nanomsg, ldns) are translated once, in the file that wraps the library, which keeps the
 * library's own words in a `struct fault` for whoever reports them. Lower layers return, the top layer logs. */
#ifndef AZOTH_BASE_ERR_H
#define AZOTH_BASE_ERR_H

#include "base/bytes.h"

#define ERR_MAP(X)                                                                      \
    X(NOMEM,     -1, "out of memory")                                                   \
    X(SHORT,     -2, "input ends inside a field")                                       \
    X(BAD,       -3, "input breaks its format")                                         \
    X(NOSPACE,   -4, "output buffer is too small")                                      \
    X(NOTFOUND,  -5, "no such key")                                                     \
    X(AGAIN,     -6, "nothing to read now")                                             \
    X(GAP,       -7, "log sequence has a gap")                                          \
    X(STORE,     -8, "store refused the operation")                                     \
    X(FULL,      -9, "store is full")                                                   \
    X(IO,       -10, "input or output failed")                                          \
    X(SIGNATURE,-11, "signature does not fit")                                          \
    X(CLUSTER,  -12, "belongs to another cluster")                                      \
    X(EPOCH,    -13, "epoch is older than ours")                                        \
    X(FORK,     -14, "history differs from ours")                                       \
    X(DIGEST,   -15, "digest differs from the signed one")                              \
    X(LOCKED,   -16, "another process writes to this directory")                        \
    X(FORMAT,   -17, "made by a version that this one cannot read")                     \
    X(LIMIT,    -18, "a limit is exceeded")                                             \
    X(REFUSED,  -19, "refused by a guard")                                              \
    X(CONFIG,   -20, "configuration is wrong")                                          \
    X(NET,      -21, "network operation failed")                                        \
    X(EXISTS,   -22, "is there already")                                                \
    X(ROLE,     -23, "directory belongs to another role")                               \
    X(NOTNOW,   -24, "not possible in this state")                                      \
    X(KEY,      -25, "encrypted with a key that is not here")                           \
    X(STALE,    -26, "it has changed meanwhile")

enum err {                      /* OK == 0; numbers never change once released */
    OK = 0,
#define X(name, num, text) ERR_##name = num,
    ERR_MAP(X)
#undef X
};

const char *err_text(enum err err);

/* How a decoder ended: OK, ERR_SHORT (input ended inside a field) or ERR_BAD (rd_fail was called). */
static inline enum err rd_err(const struct rd *r)
{
    return !r->bad ? OK : r->wrong ? ERR_BAD : ERR_SHORT;
}

/* What exactly failed, in words for the operator: filled by whoever knows (file, line, library text), read by
 * whoever logs. One line, no newline, always terminated. Functions that take one accept NULL. */
#define FAULT_TEXT_MAX 512
struct fault { char text[FAULT_TEXT_MAX]; };

/* Fills f (when not NULL) and gives err back, so that `return fault_set(f, ERR_BAD, "...")` reads as one thought. */
enum err fault_set(struct fault *f, enum err err, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The text of f when it has one, else the text of err. */
const char *fault_text(const struct fault *f, enum err err);

#endif
