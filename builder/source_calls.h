/* What an implementation of source.h is made of: its struct source and struct source_txn begin with the table of its calls,
 * which say what the functions of the same names say. */
#ifndef AZOTH_BUILDER_SOURCE_CALLS_H
#define AZOTH_BUILDER_SOURCE_CALLS_H

#include "builder/source.h"

struct source_calls {
    void (*close)(struct source *s);
    enum err (*begin)(struct source *s, enum source_mode mode, struct source_txn **out, struct fault *fault);
    enum err (*commit)(struct source_txn *t, struct fault *fault);
    void (*abort)(struct source_txn *t);
    enum err (*kept)(struct source_txn *t, struct bytes *out);
    enum err (*commit_soft)(struct source_txn *t, struct fault *fault);
    enum err (*commit_later)(struct source_txn *t, struct fault *fault);
    void (*on_hold)(struct source *s, void (*want)(void *arg), void *arg);
    enum err (*let_go)(struct source *s, struct fault *fault);
    bool (*is_held)(struct source *s);
    enum err (*again)(struct source *s, struct bytes kept, struct fault *fault);
    enum err (*settle)(struct source *s, struct fault *fault);
    void (*bar)(struct source *s, bool on);
    bool (*is_barred)(struct source *s);
    uint64_t (*version)(const struct source *s);
    enum err (*figures)(struct source *s, struct source_figures *out);

    enum err (*zone)(struct source_txn *t, struct bytes apex, struct zone_row *out);
    enum err (*zone_next)(struct source_txn *t, struct bytes after, struct zone_row *out);
    enum err (*fresh_id)(struct source_txn *t, uint64_t *out, struct fault *fault);
    enum err (*drop_id)(struct source_txn *t, uint64_t id, struct fault *fault);
    enum err (*zone_put)(struct source_txn *t, const struct zone_row *z, struct fault *fault);
    enum err (*zone_del)(struct source_txn *t, struct bytes apex, struct fault *fault);
    enum err (*zone_count)(struct source_txn *t, uint64_t *out);
    enum err (*secondary)(struct source_txn *t, struct bytes apex, struct refresh_kept *out);
    enum err (*secondary_put)(struct source_txn *t, struct bytes apex, const struct refresh_kept *k, struct fault *fault);
    enum err (*secondary_del)(struct source_txn *t, struct bytes apex, struct fault *fault);

    enum err (*row)(struct source_txn *t, uint64_t zone, struct bytes owner, uint16_t type, uint16_t covers, struct row *out);
    enum err (*owner)(struct source_txn *t, uint64_t zone, struct bytes owner, const struct row **out, size_t *n);
    enum err (*rows)(struct source_txn *t, uint64_t zone, struct bytes from, row_visit_fn *visit, void *arg);
    enum err (*row_put)(struct source_txn *t, uint64_t zone, const struct row *row, struct fault *fault);
    enum err (*sweep)(struct source_txn *t, unsigned most, bool *left, struct fault *fault);

    enum err (*event_add)(struct source_txn *t, struct event *e, struct fault *fault);
    enum err (*events)(struct source_txn *t, uint64_t from, event_visit_fn *visit, void *arg);
    enum err (*event_done)(struct source_txn *t, uint64_t number, struct fault *fault);
    enum err (*mark)(struct source_txn *t, struct source_mark *out);
    enum err (*mark_put)(struct source_txn *t, const struct source_mark *m, struct fault *fault);

    enum err (*history_add)(struct source_txn *t, struct history_row *h, struct fault *fault);
    enum err (*history_del)(struct source_txn *t, uint64_t number, struct fault *fault);
    enum err (*history)(struct source_txn *t, enum history_subject subject, struct bytes name, uint64_t before,
                        history_visit_fn *visit, void *arg);

    enum err (*tsig)(struct source_txn *t, struct bytes name, struct tsig_key_row *out);
    enum err (*tsig_next)(struct source_txn *t, struct bytes after, struct tsig_key_row *out);
    enum err (*tsig_put)(struct source_txn *t, const struct tsig_key_row *k, struct fault *fault);
    enum err (*tsig_del)(struct source_txn *t, struct bytes name, struct fault *fault);
};
struct source { const struct source_calls *calls; };
struct source_txn { const struct source_calls *calls; };

#endif
