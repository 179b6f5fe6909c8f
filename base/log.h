/* Log lines to stderr: an event word, then key=value pairs, safe to grep. The only mutable global of the program
 * is the sink below; it is set once at start.
 *     2026-11-20T18:00:00.123Z WARN pull.gap have=1041 got=1043 err="log sequence has a gap" next=catch-up
 * log_line takes the event and a printf format of the pairs; values from outside go through log_quote. */
#ifndef AZOTH_BASE_LOG_H
#define AZOTH_BASE_LOG_H

#include "base/bytes.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* json: each line a JSON object {"time","level","event", "text"}; else logfmt as above. */
void log_setup(enum log_level least, bool json);
bool log_level_parse(const char *text, enum log_level *out);    /* "debug" | "info" | "warn" | "error" */
void log_line(enum log_level level, const char *event, const char *format, ...) __attribute__((format(printf, 3, 4)));

#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)

/* text between double quotes, with quotes, backslashes and bytes outside 20..7e escaped; cut at cap.
 * Gives out, so that it can stand in an argument list: log_warn("x", "name=%s", log_quote(buf, sizeof buf, text)) */
const char *log_quote(char *out, size_t cap, const char *text);

/* A burst brake: true for the first `burst` calls in a span of 10 s, false for the rest; the first true of the next
 * span tells through *dropped how many were held back. now_ms: monotonic. Start with a zeroed struct. */
struct log_brake { uint64_t since_ms; unsigned passed, held; };
#define LOG_SLOW_MS 60000       /* span for what goes on until somebody mends it */
bool log_brake_pass_in(struct log_brake *b, uint64_t now_ms, uint64_t span_ms, unsigned burst, unsigned *dropped);
bool log_brake_pass(struct log_brake *b, uint64_t now_ms, unsigned burst, unsigned *dropped);

#endif
