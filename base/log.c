#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* Set by the main thread on start and reload, read by all: plain values, so relaxed atomics do. */
static struct { _Atomic int least; atomic_bool json; } sink = { LOG_INFO, false };

static const char *const level_word[] = { "DEBUG", "INFO", "WARN", "ERROR" };

void log_setup(enum log_level least, bool json)
{
    atomic_store_explicit(&sink.least, (int)least, memory_order_relaxed);
    atomic_store_explicit(&sink.json, json, memory_order_relaxed);
}

bool log_level_parse(const char *text, enum log_level *out)
{
    static const char *const words[] = { "debug", "info", "warn", "error" };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(text, words[i]) == 0) {
            *out = (enum log_level)i;
            return true;
        }
    return false;
}

const char *log_quote(char *out, size_t cap, const char *text)
{
    static const char hex[] = "0123456789abcdef";
    size_t n = 0;
    if (cap < 8)
        return "";
    out[n++] = '"';
    for (const char *p = text; *p != '\0' && n + 6 < cap; p++) {
        unsigned char c = (unsigned char)*p;
        if (c == '"' || c == '\\') {
            out[n++] = '\\';
            out[n++] = (char)c;
        } else if (c < 0x20 || c > 0x7e) {
            out[n++] = '\\';
            out[n++] = 'x';
            out[n++] = hex[c >> 4];
            out[n++] = hex[c & 15];
        } else {
            out[n++] = (char)c;
        }
    }
    out[n++] = '"';
    out[n] = '\0';
    return out;
}

/* JSON string contents: the escapes of JSON; control bytes and everything outside ASCII as \u00XX. */
static size_t json_escape(char *out, size_t cap, const char *text)
{
    size_t n = 0;
    for (const char *p = text; *p != '\0' && n + 8 < cap; p++) {
        unsigned char c = (unsigned char)*p;
        if (c == '"' || c == '\\') {
            out[n++] = '\\';
            out[n++] = (char)c;
        } else if (c < 0x20 || c > 0x7e) {
            n += (size_t)snprintf(out + n, cap - n, "\\u%04x", c);
        } else {
            out[n++] = (char)c;
        }
    }
    out[n] = '\0';
    return n;
}

void log_line(enum log_level level, const char *event, const char *format, ...)
{
    char pairs[2048], line[4608], when[40];
    struct timespec ts;
    struct tm tm;
    va_list ap;
    int n;
    if ((int)level < atomic_load_explicit(&sink.least, memory_order_relaxed))
        return;
    va_start(ap, format);
    (void)vsnprintf(pairs, sizeof pairs, format, ap);
    va_end(ap);
    for (char *c = pairs; *c != '\0'; c++)
        if (*c == '\n' || *c == '\r')
            *c = ' ';
    (void)clock_gettime(CLOCK_REALTIME, &ts);
    (void)gmtime_r(&ts.tv_sec, &tm);
    size_t at = strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &tm);
    (void)snprintf(when + at, sizeof when - at, ".%03ldZ", ts.tv_nsec / 1000000);
    if (atomic_load_explicit(&sink.json, memory_order_relaxed)) {
        char text[4200];
        (void)json_escape(text, sizeof text, pairs);
        n = snprintf(line, sizeof line, "{\"time\":\"%s\",\"level\":\"%s\",\"event\":\"%s\",\"text\":\"%s\"}\n",
                     when, level_word[level], event, text);
    } else {
        n = snprintf(line, sizeof line, "%s %s %s%s%s\n", when, level_word[level], event, pairs[0] != '\0' ? " " : "", pairs);
    }
    if (n >= (int)sizeof line) {
        n = (int)sizeof line - 1;
        line[n - 1] = '\n';
    }
    /* one write: lines of several threads do not mix; a full or closed stderr must not stop the daemon */
    if (n > 0 && write(STDERR_FILENO, line, (size_t)n) < 0)
        return;
}

bool log_brake_pass(struct log_brake *b, uint64_t now_ms, unsigned burst, unsigned *dropped)
{
    return log_brake_pass_in(b, now_ms, 10000, burst, dropped);
}

bool log_brake_pass_in(struct log_brake *b, uint64_t now_ms, uint64_t span_ms, unsigned burst, unsigned *dropped)
{
    *dropped = 0;
    if (b->passed == 0 || now_ms - b->since_ms >= span_ms) {
        *dropped = b->held;
        *b = (struct log_brake){ .since_ms = now_ms, .passed = 1 };
        return true;
    }
    if (b->passed < burst) {
        b->passed++;
        return true;
    }
    b->held++;
    return false;
}
