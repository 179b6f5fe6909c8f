#include "builder/core_records.h"

#include "base/log.h"
#include "replicator/watch.h"

#include <inttypes.h>

static void look(struct records_watch *w, struct source *s)
{
    if (source_figures(s, &w->figures) != OK)
        w->figures = (struct source_figures){ 0 };
}

bool records_watch_tick(struct records_watch *w, struct source *s)
{
    const struct source_figures *f = &w->figures;
    look(w, s);
    if (f->broken) {
        log_error("records.broken", "err=\"a write failed and cannot be taken back\" next=\"exit; the next start opens them anew\"");
        return false;
    }
    unsigned mark = watch_mark(f->used_bytes, f->free_bytes, f->map_bytes);
    if (mark > w->mark)
        log_warn("store.watermark", "of=records above=%u%% used=%" PRIu64 " map=%" PRIu64
                 " next=\"raise node.map_size before they are full\"", mark, f->used_bytes - f->free_bytes, f->map_bytes);
    else if (mark < w->mark)
        log_info("store.watermark", "of=records below=%u%% used=%" PRIu64 " map=%" PRIu64, w->mark, f->used_bytes, f->map_bytes);
    w->mark = mark;
    return true;
}

static void gauge(struct stat_page *p, const char *name, const char *help, uint64_t v)
{
    stat_head(p, name, "gauge", help);
    stat_value(p, name, NULL, v);
}

void records_watch_metrics(struct records_watch *w, struct source *s, struct stat_page *p)
{
    const struct source_figures *f = &w->figures;
    look(w, s);
    gauge(p, "azoth_records_zones", "zones that have settings or records", f->zones);
    gauge(p, "azoth_records_rrsets", "RRsets in the records", f->rows);
    gauge(p, "azoth_records_tsig_keys", "TSIG keys", f->keys);
    gauge(p, "azoth_records_map_bytes", "size limit of the records' file", f->map_bytes);
    gauge(p, "azoth_records_used_bytes", "bytes of the records' file in pages used or free", f->used_bytes);
    gauge(p, "azoth_records_free_bytes", "bytes of the records' file in free pages", f->free_bytes);
    gauge(p, "azoth_records_watermark", "highest of 70, 85, 95 percent that what is in use has reached",
          watch_mark(f->used_bytes, f->free_bytes, f->map_bytes));
}
