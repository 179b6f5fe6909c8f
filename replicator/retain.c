#include "replicator/retain.h"

#define CHUNKS_PER_RUN 2000         /* about 4 MB, 4 ms */
#define RECORDS_PER_RUN 4096
#define RECORD_COST 40              /* LMDB's and our own bytes around a record */

bool retain_wants(struct retain *r, const struct retain_limits *l, uint64_t log_bytes, uint64_t oldest_ms,
                  uint64_t now_ms, uint64_t keep)
{
    *r = (struct retain){ .keep = keep, .first = true };
    if (log_bytes > l->bytes)
        r->need = log_bytes - l->bytes + l->bytes / RETAIN_SLACK;
    r->old_ms = now_ms > l->age_ms ? now_ms - l->age_ms : 0;
    return r->need > 0 || oldest_ms < r->old_ms;
}

bool retain_take(struct retain *r, const struct record_front *f, size_t len)
{
    if (r->first)
        r->rest = f->part > 0;
    r->first = false;
    r->bytes += len + RECORD_COST + len / 64;       /* chunks do not fill their pages to the brim */
    if (f->seq >= r->keep)
        return false;
    if (f->more)
        return true;
    if (!r->rest && r->freed >= r->need && f->time_ms >= r->old_ms)
        return false;
    r->before = f->seq + 1;
    r->freed += r->bytes;
    r->bytes = 0;
    r->rest = false;
    return true;
}

/* What has to go, from a look at the fronts of the oldest records. OK with *before 0: nothing. */
static enum err decide(struct log_reader *reader, const struct retain_limits *l, uint64_t now_ms, uint64_t applied,
                       uint64_t *first, uint64_t *before, bool *more)
{
    struct retain r;
    struct record_front f;
    struct bytes front;
    uint64_t last, bytes;
    size_t len;
    enum err err = log_reader_range(reader, first, &last);
    *before = 0;
    if (err != OK || *first == 0)
        return err;
    if ((err = log_reader_size(reader, &bytes)) != OK || (err = log_reader_peek(reader, *first, &front, &len)) != OK
        || (err = record_front_read(front, &f)) != OK || !retain_wants(&r, l, bytes, f.time_ms, now_ms, applied))
        return err;
    for (uint64_t seq = *first; seq <= last; seq++) {
        if ((err = log_reader_peek(reader, seq, &front, &len)) != OK || (err = record_front_read(front, &f)) != OK)
            return err;
        if (!retain_take(&r, &f, len))
            break;
        if (r.before > 0 && seq - *first >= RECORDS_PER_RUN) {
            *more = true;
            break;
        }
    }
    *before = r.before;
    return OK;
}

enum err retain_run(struct store *s, struct log_reader *reader, const struct retain_limits *l, uint64_t now_ms,
                    uint64_t applied, uint64_t *trimmed, bool *more, struct fault *fault)
{
    struct log_txn *txn = NULL;
    uint64_t first = 0, before, left, last;
    bool again = false;
    *more = false;
    enum err err = log_reader_begin(reader);
    if (err != OK)
        return fault_set(fault, err, "cannot read the log: %s", err_text(err));
    err = decide(reader, l, now_ms, applied, &first, &before, more);
    log_reader_end(reader);
    if (err != OK)
        return fault_set(fault, err, "log record %llu: %s", (unsigned long long)first, err_text(err));
    if (before == 0 || (err = log_begin(s, &txn, fault)) != OK)
        return err;
    if ((err = log_trim(txn, before, CHUNKS_PER_RUN, &again, fault)) != OK) {
        log_abort(txn);
        return err;
    }
    if ((err = log_commit(txn, fault)) != OK)
        return err;
    *more = *more || again;
    if (log_range(s, &left, &last) == OK && left > first)
        *trimmed += left - first;
    return OK;
}
