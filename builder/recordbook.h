/* The embedded source of records (source.h): an LMDB environment in DIR/records, FORMAT.md section 10. */
#ifndef AZOTH_BUILDER_RECORDBOOK_H
#define AZOTH_BUILDER_RECORDBOOK_H

#include "builder/source.h"

#define RECORDBOOK_FOLDER "records"
#define RECORDBOOK_NEXT "records.next"      /* of a restore, from before its data count until it is the folder: no daemon starts then */

struct recordbook_options {
    const char *dir;            /* of the node; DIR/records is made, for its user alone: it holds the secrets of keys */
    uint64_t map_size;          /* 0: 64 GiB; sparse */
    bool volatile_data;         /* tests: no sync at all */
    const char *boot_id;        /* NULL: the kernel's; tests pass their own to play a crash of the machine */
    const char *folder;         /* NULL: RECORDBOOK_FOLDER; one that is being filled stands beside it */
    bool read_only;             /* beside the process that writes; writing transactions are ERR_NOTNOW */
};
/* ERR_NOTFOUND: read_only, and there is none. ERR_NOTNOW: a restore was cut off in the middle. ERR_IO: no rights. ERR_FORMAT: made by a later version, or by another LMDB. */
MUST_USE enum err recordbook_open(struct source **out, const struct recordbook_options *o, struct fault *fault);

/* What a book holds, whole and as bytes, for copies of it: each table's entries in order. */
#define RECORDBOOK_TABLES 9
extern const char *const recordbook_tables[RECORDBOOK_TABLES];
/* t began in a recordbook. Until visit gives false. */
typedef bool recordbook_visit_fn(void *arg, unsigned table, struct bytes key, struct bytes value);
MUST_USE enum err recordbook_entries(struct source_txn *t, unsigned table, recordbook_visit_fn *visit, void *arg);
/* One entry as it was given there, into a book that is being filled. ERR_BAD: it reads as nothing that this version writes. */
MUST_USE enum err recordbook_entry_put(struct source_txn *t, unsigned table, struct bytes key, struct bytes value,
                                       struct fault *fault);
/* Does this entry read, down to the rows in events and the settings and rights in zones and keys? ERR_BAD: *fault says what does
 * not. a: scratch. */
MUST_USE enum err recordbook_entry_check(unsigned table, struct bytes key, struct bytes value, struct arena *a,
                                         struct fault *fault);
/* What an entry is, for the operator, in out: "row www.example.com. A", "event 7". cap >= RECORDBOOK_TEXT_MAX. Gives out. */
#define RECORDBOOK_TEXT_MAX (NAME_TEXT_MAX + 48)
const char *recordbook_entry_text(unsigned table, struct bytes key, char *out, size_t cap);
/* The number of the state that t reads, and that of the newest one: equal as long as nobody committed. */
uint64_t recordbook_state(const struct source_txn *t);
uint64_t recordbook_newest(const struct source *s);
/* Of what the log holds of the newest changes (store.h: log_extras) one is the next that t's state lacks. */
struct store;
MUST_USE enum err recordbook_lags(struct source_txn *t, struct store *log, bool *lags, struct fault *fault);

#endif
