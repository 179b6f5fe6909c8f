/* Does what a recordbook holds read? For `azoth verify`, and for entries of a backup on their way in. */
#include "builder/recordbook_parts.h"
#include "builder/rights.h"
#include "builder/settings.h"
#include "builder/zonefile.h"

#include <assert.h>

const char *const recordbook_tables[RECORDBOOK_TABLES] = { "zones", "rows", "loose", "outbox", "keys", "counters", "secondaries",
                                                               "history", "history.of" };
static_assert(SETTINGS_ROW_MAX == SETTINGS_TEXT_MAX && TSIG_RIGHTS_MAX == RIGHTS_TEXT_MAX, "one limit each");

static enum err zone_check_entry(struct bytes key, struct bytes value, struct arena *a, struct fault *fault)
{
    struct zone_row z;
    struct zone_settings s;
    enum err err = row_name_read(key, &z.apex);
    if (err == OK)
        err = zone_value_read(value, &z);
    if (err != OK)
        return err;
    err = settings_read(z.settings, a, &s, fault);
    settings_release(&s);
    return err;
}

static enum err key_check(struct bytes key, struct bytes value, struct arena *a, struct fault *fault)
{
    struct tsig_key_row k;
    struct rights rights;
    enum err err = row_name_read(key, &k.name);
    if (err == OK)
        err = tsig_value_read(value, &k);
    return err != OK ? err : rights_read(k.rights, a, &rights, fault);
}

static enum err row_check(struct bytes key, struct bytes value, struct arena *a)
{
    struct row_key_parts parts;
    struct row row;
    enum err err = row_key_read(key, &parts);
    return err != OK ? err : row_read(value, a, &row);
}

static enum err event_check(struct bytes key, struct bytes value, struct arena *a)
{
    struct event e;
    struct row row;
    enum err err = number_read(key, &e.number);
    if (err == OK)
        err = event_read(value, &e);
    if (err == OK && e.kind == EVENT_ROW && e.before.len > 0)
        err = row_read(e.before, a, &row);
    if (err == OK && e.kind == EVENT_ROW && e.after.len > 0)
        err = row_read(e.after, a, &row);
    return err;
}

static enum err counter_check(struct bytes key, struct bytes value)
{
    struct source_mark mark;
    uint64_t n;
    return bytes_equal(key, bytes_of_text(MARK)) ? mark_read(value, &mark) : key.len == 0 ? ERR_BAD : number_read(value, &n);
}

static enum err secondary_check(struct bytes key, struct bytes value)
{
    struct refresh_kept kept;
    struct name apex;
    enum err err = row_name_read(key, &apex);
    return err != OK ? err : kept_read(value, &kept);
}

static enum err loose_check(struct bytes key, struct bytes value)
{
    uint64_t id;
    return number_read(key, &id) == OK && value.len == 1 && value.ptr[0] <= LOOSE_DROPPED ? OK : ERR_BAD;
}

MUST_USE enum err recordbook_entry_check(unsigned table, struct bytes key, struct bytes value, struct arena *a,
                                         struct fault *fault)
{
    char text[RECORDBOOK_TEXT_MAX];
    struct fault why = { "" };
    enum err err = ERR_BAD;
    switch (table) {
    case ZONES: err = zone_check_entry(key, value, a, &why); break;
    case ROWS: err = row_check(key, value, a); break;
    case LOOSE: err = loose_check(key, value); break;
    case OUTBOX: err = event_check(key, value, a); break;
    case KEYS: err = key_check(key, value, a, &why); break;
    case COUNTERS: err = counter_check(key, value); break;
    case SECONDARIES: err = secondary_check(key, value); break;
    case HISTORY: err = rb_history_check(key, value); break;
    case HISTORY_OF: err = rb_history_of_check(key, value); break;
    default: break;
    }
    if (err == OK || err == ERR_NOMEM)
        return err;
    return fault_set(fault, ERR_BAD, "%.200s: %s", recordbook_entry_text(table, key, text, sizeof text),
                     why.text[0] != '\0' ? why.text : "does not read");
}

static void row_text(struct bytes key, char *out, size_t cap)
{
    struct row_key_parts p;
    char name[NAME_TEXT_MAX], type[RRTYPE_TEXT_MAX];
    if (row_key_read(key, &p) != OK)
        (void)snprintf(out, cap, "a row's key");
    else
        (void)snprintf(out, cap, "row %s %s (zone id %llu)", name_text(name, sizeof name, name_bytes(&p.owner)),
                       rrtype_text(type, p.type), (unsigned long long)p.zone);
}

static void named_text(const char *what, struct bytes key, char *out, size_t cap)
{
    char name[NAME_TEXT_MAX];
    struct name n;
    bool reads = row_name_read(key, &n) == OK;
    (void)snprintf(out, cap, "%s %s", what, reads ? name_text(name, sizeof name, name_bytes(&n)) : "of a broken name");
}

const char *recordbook_entry_text(unsigned table, struct bytes key, char *out, size_t cap)
{
    uint64_t n = 0;
    bool numbered = number_read(key, &n) == OK;
    switch (table) {
    case ZONES: named_text("zone", key, out, cap); break;
    case ROWS: row_text(key, out, cap); break;
    case KEYS: named_text("TSIG key", key, out, cap); break;
    case SECONDARIES: named_text("secondary", key, out, cap); break;
    case LOOSE: case OUTBOX:
        (void)snprintf(out, cap, "%s %llu%s", table == LOOSE ? "loose zone id" : "event", (unsigned long long)n,
                       numbered ? "" : " (broken)");
        break;
    case HISTORY: (void)snprintf(out, cap, "history entry %llu%s", (unsigned long long)n, numbered ? "" : " (broken)"); break;
    case HISTORY_OF: (void)snprintf(out, cap, "an entry of the history's lists"); break;
    case COUNTERS: (void)snprintf(out, cap, "counter %.*s", (int)(key.len < 20 ? key.len : 20), (const char *)key.ptr); break;
    default: (void)snprintf(out, cap, "table %u of another version", table); break;
    }
    return out;
}
