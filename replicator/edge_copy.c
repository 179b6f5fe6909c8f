#include "replicator/edge_copy.h"

#include <stdlib.h>

void edge_copy_drop(struct edge_copy *c)
{
    snapshot_load_drop(c->load);
    snapshot_unpack_close(c->unpack);
    free(c->table);
    *c = (struct edge_copy){ .load = NULL };
}

static enum err begin(struct edge_copy *c, struct store *s, const struct snapshot_manifest *m, struct fault *fault)
{
    c->head = m->about.signed_head;
    c->chunks = m->chunks;
    if ((c->table = malloc(m->table.len + 1)) == NULL)
        return ERR_NOMEM;
    memcpy(c->table, m->table.ptr, m->table.len);
    enum err err = snapshot_unpack_open(&c->unpack, &m->about.head);
    return err == OK ? snapshot_load_begin(&c->load, s, &m->about.head, fault) : err;
}

enum err edge_copy_begin(struct edge_copy *c, struct store *s, struct bytes manifest, struct fault *fault)
{
    struct snapshot_manifest m;
    edge_copy_drop(c);
    enum err err = snapshot_manifest_read(manifest, &m);
    if (err != OK)
        return fault_set(fault, err, "the snapshot's manifest: %s", err_text(err));
    if ((err = begin(c, s, &m, fault)) != OK)
        edge_copy_drop(c);
    return err;
}

enum err edge_copy_chunk(struct edge_copy *c, size_t index, struct bytes stored, struct fault *fault)
{
    const struct op *ops;
    size_t n;
    if (c->load == NULL || index != c->next || index >= c->chunks) {
        edge_copy_drop(c);
        return fault_set(fault, ERR_NOTNOW, "chunk %zu is not the next one", index + 1);
    }
    struct snapshot_chunk row = snapshot_row(bytes_of(c->table, c->chunks * SNAPSHOT_ROW), index);
    enum err err = snapshot_unpack_chunk(c->unpack, &row, stored, &ops, &n, fault);
    if (err == OK)
        err = snapshot_load_put(c->load, ops, n, fault);
    if (err == OK)
        c->next++;
    else
        edge_copy_drop(c);
    return err;
}

enum err edge_copy_flip(struct edge_copy *c, struct fault *fault)
{
    enum err err = c->load != NULL && c->next == c->chunks ? snapshot_unpack_end(c->unpack, fault)
                                                          : fault_set(fault, ERR_NOTNOW, "the copy is not complete");
    if (err == OK) {
        struct snapshot_load *load = c->load;
        c->load = NULL;
        err = snapshot_load_end(load, &c->head, fault);
    }
    edge_copy_drop(c);
    return err;
}
