#include "replicator/nodes.h"

#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#define PUB_FILE_MAX 1024
static const char suffix[] = ".pub";

struct nodes { struct node_entry *list; size_t n, cap; };      /* in order of names */

/* --- reading the folder --------------------------------------------------------------------------------------------- */
/* NAME.pub, not hidden: editors and copies leave other files. */
static bool is_pub_file(const char *file, size_t *name_len)
{
    size_t len = strlen(file), tail = sizeof suffix - 1;
    if (len <= tail || file[0] == '.' || strcmp(file + len - tail, suffix) != 0)
        return false;
    *name_len = len - tail;
    return true;
}

static enum err add(struct nodes *n, const char *name, size_t len, const uint8_t pub[32])
{
    if (n->n == n->cap) {
        size_t cap = n->cap == 0 ? 16 : 2 * n->cap;
        struct node_entry *more = realloc(n->list, cap * sizeof *more);
        if (more == NULL)
            return ERR_NOMEM;
        n->list = more;
        n->cap = cap;
    }
    struct node_entry *e = &n->list[n->n++];
    memset(e, 0, sizeof *e);
    memcpy(e->name, name, len);
    memcpy(e->pub, pub, sizeof e->pub);
    return OK;
}

static enum err read_one(struct nodes *n, const char *folder, const char *file, size_t name_len, struct fault *fault)
{
    char path[PATH_MAX];
    struct bytes text;
    uint8_t pub[32];
    enum err err;
    if (file_path(path, sizeof path, folder, file) != OK || name_len > NODE_NAME_MAX)
        return fault_set(fault, ERR_LIMIT, "%s/%s: the path is too long", folder, file);
    if (n->n == NODES_MAX)
        return fault_set(fault, ERR_LIMIT, "%s: more than %d nodes", folder, NODES_MAX);
    if ((err = file_read(path, PUB_FILE_MAX, &text, fault)) != OK)
        return err;
    bool whole = memchr(text.ptr, '\0', text.len) == NULL;
    err = whole ? node_pub_parse((const char *)text.ptr, pub) : ERR_BAD;    /* file_read ends it with a 0 */
    free((void *)(uintptr_t)text.ptr);
    if (err != OK)
        return fault_set(fault, ERR_BAD, "%s:1: not one line ed25519:BASE64 (the node's DIR/node.pub)", path);
    if ((err = add(n, file, name_len, pub)) != OK)
        return fault_set(fault, err, "no memory for the nodes of %s", folder);
    return OK;
}

static enum err read_folder(struct nodes *n, const char *folder, struct fault *fault)
{
    const struct dirent *e;
    size_t name_len;
    enum err err = OK;
    DIR *d = opendir(folder);
    if (d == NULL)
        return fault_set(fault, file_errno(errno) == ERR_NOMEM ? ERR_NOMEM : ERR_IO,
                         "%s: %s (a folder with the NAME.pub of each node that is served)", folder, strerror(errno));
    while (err == OK && (errno = 0, e = readdir(d)) != NULL) {
        if (is_pub_file(e->d_name, &name_len))
            err = read_one(n, folder, e->d_name, name_len, fault);
    }
    if (err == OK && errno != 0)
        err = fault_set(fault, ERR_IO, "%s: %s", folder, strerror(errno));
    (void)closedir(d);
    return err == ERR_LIMIT ? ERR_BAD : err == ERR_NOTFOUND ? ERR_IO : err;     /* a file that went while we read: again */
}

/* --- the list ------------------------------------------------------------------------------------------------------- */
static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct node_entry *)a)->name, ((const struct node_entry *)b)->name);
}

static int by_key(const void *a, const void *b)
{
    return memcmp(((const struct node_entry *)a)->pub, ((const struct node_entry *)b)->pub, 32);
}

/* A key under two names would stay when one of the two is removed. */
static enum err keys_check(struct nodes *n, const char *folder, struct fault *fault)
{
    qsort(n->list, n->n, sizeof *n->list, by_key);
    for (size_t i = 1; i < n->n; i++) {
        if (by_key(&n->list[i - 1], &n->list[i]) == 0)
            return fault_set(fault, ERR_BAD, "%s: %s.pub and %s.pub hold the same key", folder, n->list[i - 1].name,
                             n->list[i].name);
    }
    return OK;
}

enum err nodes_open(struct nodes **out, const char *folder, struct fault *fault)
{
    struct nodes *n = calloc(1, sizeof *n);
    if (n == NULL)
        return fault_set(fault, ERR_NOMEM, "no memory for the nodes of %s", folder);
    enum err err = read_folder(n, folder, fault);
    if (err == OK && n->n > 0)
        err = keys_check(n, folder, fault);
    if (err != OK) {
        nodes_close(n);
        return err;
    }
    if (n->n > 0)
        qsort(n->list, n->n, sizeof *n->list, by_name);
    *out = n;
    return OK;
}

void nodes_close(struct nodes *n)
{
    if (n == NULL)
        return;
    if (n->list != NULL)
        sodium_memzero(n->list, n->n * sizeof *n->list);
    free(n->list);
    free(n);
}

struct node_entry *nodes_find(struct nodes *n, struct bytes name)
{
    struct node_entry key;
    if (n->n == 0 || name.len > NODE_NAME_MAX || (name.len > 0 && memchr(name.ptr, '\0', name.len) != NULL))
        return NULL;
    if (name.len > 0)
        memcpy(key.name, name.ptr, name.len);
    key.name[name.len] = '\0';
    return bsearch(&key, n->list, n->n, sizeof *n->list, by_name);
}

size_t nodes_count(const struct nodes *n)
{
    return n->n;
}

const struct node_entry *nodes_at(const struct nodes *n, size_t i)
{
    return &n->list[i];
}

static bool keeps(const struct nodes *now, const struct node_entry *old)
{
    const struct node_entry *e = now->n == 0 ? NULL : bsearch(old, now->list, now->n, sizeof *now->list, by_name);
    return e != NULL && by_key(e, old) == 0;
}

bool nodes_keep(const struct nodes *now, const struct nodes *old)
{
    for (size_t i = 0; i < old->n; i++) {
        if (!keeps(now, &old->list[i]))
            return false;
    }
    return true;
}

#define MORE_LEN 32             /* " and 100000 more" fits */

size_t nodes_gone(const struct nodes *now, const struct nodes *old, char *out, size_t cap)
{
    size_t gone = 0, named = 0, len = 0;
    for (size_t i = 0; i < old->n; i++) {
        const char *name = old->list[i].name;
        if (keeps(now, &old->list[i]))
            continue;
        if (named == gone++ && len + strlen(name) + MORE_LEN < cap) {
            len += (size_t)snprintf(out + len, cap - len, "%s%s", named > 0 ? "," : "", name);
            named++;
        }
    }
    if (gone == 0)
        (void)snprintf(out, cap, "none");
    else if (named < gone)
        (void)snprintf(out + len, cap - len, "%s%zu%s", named > 0 ? " and " : "", gone - named, named > 0 ? " more" : "");
    return gone;
}

/* --- as one file ---------------------------------------------------------------------------------------------------- */
#define PUB_TEXT ((size_t)52)           /* "ed25519:" and base64 of 32 bytes */

enum err nodes_save(const struct nodes *n, const char *path, struct fault *fault)
{
    char pub[PUB_TEXT + 1];
    size_t cap = n->n * (NODE_NAME_MAX + PUB_TEXT + 2) + 1;
    struct wr w = wr_over(malloc(cap), cap);
    if (w.buf == NULL)
        return fault_set(fault, ERR_NOMEM, "no memory for %s", path);
    for (size_t i = 0; i < n->n; i++) {
        wr_bytes(&w, bytes_of_text(n->list[i].name));
        wr_u8(&w, ' ');
        wr_bytes(&w, bytes_of_text(node_pub_text(pub, sizeof pub, n->list[i].pub)));
        wr_u8(&w, '\n');
    }
    enum err err = file_replace(path, wr_done(&w), 0640, fault);
    free(w.buf);
    return err;
}

/* One line; the name may hold spaces, the key does not. */
static enum err load_line(struct nodes *n, struct bytes line)
{
    char pub[PUB_TEXT + 1];
    uint8_t key[32];
    if (line.len <= PUB_TEXT + 1 || line.len - PUB_TEXT - 1 > NODE_NAME_MAX || line.ptr[line.len - PUB_TEXT - 1] != ' '
        || memchr(line.ptr, '\0', line.len) != NULL)
        return ERR_BAD;
    size_t name_len = line.len - PUB_TEXT - 1;
    memcpy(pub, line.ptr + name_len + 1, PUB_TEXT);
    pub[PUB_TEXT] = '\0';
    enum err err = node_pub_parse(pub, key);
    return err == OK ? add(n, (const char *)line.ptr, name_len, key) : err;
}

enum err nodes_load(struct nodes **out, const char *path, struct fault *fault)
{
    struct bytes file;
    enum err err = file_read(path, NODES_MAX * (NODE_NAME_MAX + PUB_TEXT + 2), &file, fault);
    if (err != OK)
        return err == ERR_LIMIT ? ERR_BAD : err;
    struct nodes *n = calloc(1, sizeof *n);
    struct rd r = rd_over(file);
    err = n == NULL ? ERR_NOMEM : OK;
    while (err == OK && rd_left(&r) > 0) {
        const uint8_t *end = memchr(r.p, '\n', rd_left(&r));
        if (end == NULL)
            err = ERR_BAD;
        else if ((err = load_line(n, rd_take(&r, (size_t)(end - r.p)))) == OK)
            (void)rd_u8(&r);
    }
    free((void *)(uintptr_t)file.ptr);
    if (err != OK) {
        nodes_close(n);
        return fault_set(fault, err, "%s: %s", path, err_text(err));
    }
    if (n->n > 0)
        qsort(n->list, n->n, sizeof *n->list, by_name);
    *out = n;
    return OK;
}
