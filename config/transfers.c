#include "config/transfers.h"

#include "base/text.h"

#include <stddef.h>
#include <stdio.h>

enum unit { NUMBER, SIZE, DURATION };
#define K(n) ((uint64_t)(n) << 10)
#define M(n) ((uint64_t)(n) << 20)
#define G(n) ((uint64_t)(n) << 30)
#define SECONDS(n) ((uint64_t)(n) * 1000)
#define DAYS(n) ((uint64_t)(n) * 86400000)

/* range: of what is written, as it is written. */
#define ROW(key, unit, member, least, most, standard, range) \
    { key, unit, offsetof(struct yaml_transfers, member), offsetof(struct config_transfers, member), least, most, standard, range }
static const struct row { const char *key; enum unit unit; size_t from, to; uint64_t least, most, standard; const char *range; } rows[] = {
    ROW("at_once", NUMBER, at_once, 1, 1000, 16, "1 to 1000"),
    ROW("per_primary", NUMBER, per_primary, 1, 1000, 4, "1 to 1000"),
    ROW("memory", SIZE, memory, M(16), G(1024), 0, "16M to 1T"),
    ROW("zone_size", SIZE, zone_size, K(64), G(1024), G(4), "64k to 1T"),
    ROW("zone_records", NUMBER, zone_records, 100, 1000000000, 50000000, "100 to 1000000000"),
    ROW("steps_records", NUMBER, steps_records, 1, 1000000000, 100000, "1 to 1000000000"),
    ROW("time", DURATION, time, SECONDS(10), DAYS(7), SECONDS(3600), "10s to 7d"),
    ROW("rate", SIZE, rate, 0, G(1), K(1), "0 to 1G"),
    ROW("refresh_min", DURATION, refresh_min, SECONDS(1), DAYS(28), SECONDS(30), "1s to 28d"),
    ROW("refresh_max", DURATION, refresh_max, SECONDS(1), DAYS(28), DAYS(1), "1s to 28d"),
    ROW("retry_min", DURATION, retry_min, SECONDS(1), DAYS(28), SECONDS(15), "1s to 28d"),
    ROW("retry_max", DURATION, retry_max, SECONDS(1), DAYS(28), SECONDS(3600), "1s to 28d"),
    ROW("expire_max", DURATION, expire_max, SECONDS(60), DAYS(3650), DAYS(28), "1m to 3650d"),
};

static const char *value_read(const struct row *row, const char *text, uint64_t *out, char buf[TRANSFERS_TEXT_MAX])
{
    static const char *const words[] = { [NUMBER] = "not a number", [SIZE] = "not a size such as 64M or 4G",
                                         [DURATION] = "not a duration such as 500ms, 10s or 7d" };
    enum err err = row->unit == NUMBER ? text_number(text, UINT64_MAX, out) : row->unit == SIZE ? text_size(text, out) : text_duration(text, out);
    if (err == OK && *out >= row->least && *out <= row->most)
        return NULL;
    (void)snprintf(buf, TRANSFERS_TEXT_MAX, "%s from %s", words[row->unit], row->range);
    return buf;
}

const char *transfers_read(const struct yaml_transfers *y, struct config_transfers *out, const char **key, char buf[TRANSFERS_TEXT_MAX])
{
    const char *why = NULL;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0] && why == NULL; i++) {
        const struct row *row = &rows[i];
        uint64_t *to = (uint64_t *)(void *)((char *)out + row->to);
        const char *text = y == NULL ? NULL : *(char *const *)(const void *)((const char *)y + row->from);
        *to = row->standard;
        *key = row->key;
        why = text == NULL ? NULL : value_read(row, text, to, buf);
    }
    if (why == NULL && out->refresh_max < out->refresh_min) {
        *key = y->refresh_max != NULL ? "refresh_max" : "refresh_min";
        why = "refresh_max is less than refresh_min";
    }
    if (why == NULL && out->retry_max < out->retry_min) {
        *key = y->retry_max != NULL ? "retry_max" : "retry_min";
        why = "retry_max is less than retry_min";
    }
    return why;
}
