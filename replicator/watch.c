#include "replicator/watch.h"

#include "base/log.h"

#include <inttypes.h>

#define SAY_AGAIN_MS 600000

unsigned watch_mark(uint64_t used_bytes, uint64_t free_bytes, uint64_t map_bytes)
{
    uint64_t inuse = used_bytes > free_bytes ? used_bytes - free_bytes : 0;
    uint64_t percent = map_bytes > 0 ? inuse / (map_bytes / 100 + 1) : 0;
    return percent >= 95 ? 95 : percent >= 85 ? 85 : percent >= 70 ? 70 : 0;
}

static void say_mark(const char *what, unsigned *said, uint64_t used, uint64_t freed, uint64_t map)
{
    unsigned mark = watch_mark(used, freed, map);
    if (mark > *said)
        log_warn("store.watermark", "of=%s above=%u%% used=%" PRIu64 " map=%" PRIu64
                 " next=\"raise node.map_size before it is full\"", what, mark, used - freed, map);
    else if (mark < *said)
        log_info("store.watermark", "of=%s below=%u%% used=%" PRIu64 " map=%" PRIu64, what, *said, used - freed, map);
    *said = mark;
}

static void reader_look(struct watch *w, uint64_t now_ms)
{
    const struct store_figures *f = &w->figures;
    uint64_t reader = f->oldest_reader_lag > 0 ? f->oldest_reader : 0;      /* at the newest commit it keeps nothing */
    if (reader == 0 || reader != w->reader)
        w->reader_since_ms = now_ms;
    w->reader = reader;
    w->reader_age_ms = reader == 0 ? 0 : now_ms - w->reader_since_ms;
}

static void reader_say(struct watch *w, uint64_t now_ms)
{
    const struct store_figures *f = &w->figures;
    if (w->reader_age_ms < WATCH_READER_MS || f->oldest_reader_lag < WATCH_READER_LAG) {
        if (w->reader_said_ms != 0)
            log_info("store.reader", "info=\"the old view has ended\"");
        w->reader_said_ms = 0;
    } else if (w->reader_said_ms == 0 || now_ms - w->reader_said_ms >= SAY_AGAIN_MS) {
        log_warn("store.reader", "pid=%ld behind=%" PRIu64 " age_s=%" PRIu64
                 " err=\"a view that does not end keeps the file growing\" next=\"end that process\"",
                 f->oldest_reader_pid, f->oldest_reader_lag, w->reader_age_ms / 1000);
        w->reader_said_ms = now_ms > 0 ? now_ms : 1;
    }
}

void watch_look(struct watch *w, struct store *s, uint64_t now_ms)
{
    if (store_figures(s, &w->figures) != OK)
        w->figures = (struct store_figures){ 0 };
    reader_look(w, now_ms);
}

static void gone_look(struct watch *w, struct store *s)
{
    bool was = w->gone;
    w->gone = store_is_gone(s);
    if (w->gone && !was)
        log_error("store.gone", "dir=%s err=\"the store's files were removed under this process\" next=\"answers from what it has open, "
                  "which ends with it: start it anew\"", store_dir(s));
}

bool watch_tick(struct watch *w, struct store *s, uint64_t now_ms)
{
    const struct store_figures *f = &w->figures;
    if (store_is_broken(s)) {
        log_error("store.broken", "err=\"a write failed and cannot be taken back\" next=\"exit; the next start opens the store anew\"");
        return false;
    }
    unsigned cleared = store_clear_readers(s);
    if (cleared > 0)
        log_info("store.readers", "cleared=%u", cleared);
    w->readers_cleared += cleared;
    watch_look(w, s, now_ms);
    gone_look(w, s);
    say_mark("data", &w->data_mark, f->used_bytes, f->free_bytes, f->map_bytes);
    say_mark("log", &w->log_mark, f->log_used_bytes, f->log_free_bytes, f->log_map_bytes);
    reader_say(w, now_ms);
    return true;
}

static void gauge(struct stat_page *p, const char *name, const char *help, uint64_t v)
{
    stat_head(p, name, "gauge", help);
    stat_value(p, name, NULL, v);
}

void watch_metrics(const struct watch *w, struct stat_page *p)
{
    const struct store_figures *f = &w->figures;
    static const char mark[] = "azoth_store_watermark", age[] = "azoth_store_oldest_reader_age_seconds";
    gauge(p, "azoth_store_generation", "generation of the data", f->generation);
    gauge(p, "azoth_store_map_bytes", "size limit of the data file", f->map_bytes);
    gauge(p, "azoth_store_used_bytes", "bytes of the data file in pages used or free", f->used_bytes);
    gauge(p, "azoth_store_free_bytes", "bytes of the data file in free pages", f->free_bytes);
    gauge(p, "azoth_log_map_bytes", "size limit of the log file", f->log_map_bytes);
    gauge(p, "azoth_log_used_bytes", "bytes of the log file in pages used or free", f->log_used_bytes);
    gauge(p, "azoth_log_free_bytes", "bytes of the log file in free pages", f->log_free_bytes);
    gauge(p, "azoth_log_first_seq", "oldest record in the log", f->log_first);
    gauge(p, "azoth_log_last_seq", "newest record in the log", f->log_last);
    stat_head(p, mark, "gauge", "highest of 70, 85, 95 percent that what is in use has reached");
    stat_value(p, mark, "of=\"data\"", watch_mark(f->used_bytes, f->free_bytes, f->map_bytes));
    stat_value(p, mark, "of=\"log\"", watch_mark(f->log_used_bytes, f->log_free_bytes, f->log_map_bytes));
    gauge(p, "azoth_store_readers", "reader slots in use", f->readers);
    gauge(p, "azoth_store_oldest_reader_lag", "commits that the oldest open view is behind", f->oldest_reader_lag);
    stat_head(p, age, "gauge", "how long the oldest open view has been behind, at least");
    stat_ratio(p, age, NULL, (double)w->reader_age_ms / 1000);
    stat_head(p, "azoth_store_readers_cleared_total", "counter", "slots of dead readers cleared");
    stat_value(p, "azoth_store_readers_cleared_total", NULL, w->readers_cleared);
}
