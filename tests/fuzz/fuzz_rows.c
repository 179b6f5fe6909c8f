/* What stands in DIR/records, and what is set by hand: a byte says what, the rest is it. Row keys: 2 bytes of length, key,
 * value. Whatever comes is refused or read; what was read is written back to the same bytes where one form is the only one. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "builder/recordbook.h"
#include "builder/rights.h"
#include "builder/rows.h"
#include "builder/settings.h"

static void key_again(struct bytes key)
{
    struct row_key_parts p;
    uint8_t buf[ROW_KEY_MAX];
    struct wr w = wr_over(buf, sizeof buf);
    if (row_key_read(key, &p) != OK)
        return;
    if (row_key(&w, p.zone, name_bytes(&p.owner), p.type, p.covers) != OK || !bytes_equal(wr_done(&w), key))
        if (!w.full)            /* longer than any key that is stored */
            abort();
}

/* Elements of a later version are dropped, so what is written back may be shorter; it reads the same then. */
static void row_again(struct bytes value, struct arena *a)
{
    struct row row = { .n = 0 }, again = { .n = 0 };
    if (row_read(value, a, &row) != OK)
        return;
    size_t size = row_size(&row);
    struct wr w = wr_over(arena_take(a, size), size);
    row_write(&w, &row);
    if (w.full || row_read(wr_done(&w), a, &again) != OK || again.n != row.n || again.comments_n != row.comments_n || again.ttl != row.ttl
        || w.len > value.len)
        abort();
}

static void event_again(struct bytes value, struct arena *a)
{
    struct event e = { .number = 1 }, again = { .number = 1 };
    if (event_read(value, &e) != OK)
        return;
    size_t size = event_size(&e);
    struct wr w = wr_over(arena_take(a, size), size);
    event_write(&w, &e);
    if (w.full || event_read(wr_done(&w), &again) != OK || again.kind != e.kind || !bytes_equal(again.after, e.after)
        || w.len > value.len)
        abort();
}

static void settings_again(struct bytes text, struct arena *a)
{
    struct zone_settings s, again;
    struct bytes out, twice;
    struct fault fault = { "" };
    enum err err = settings_read(text, a, &s, &fault);
    if (err == ERR_BAD && fault.text[0] == '\0')
        abort();
    if (err == OK && settings_text(&s, a, &out) == OK) {
        if (settings_read(out, a, &again, &fault) != OK || settings_text(&again, a, &twice) != OK || !bytes_equal(out, twice))
            abort();
        settings_release(&again);
    }
    settings_release(&s);
}

static void rights_asked(struct bytes text, struct arena *a)
{
    static const uint8_t zone[] = "\7example\3com", owner[] = "\3www\7example\3com";
    struct rights r;
    struct fault fault = { "" };
    enum err err = rights_read(text, a, &r, &fault);
    if (err == ERR_BAD && fault.text[0] == '\0')
        abort();
    if (err != OK)
        return;
    struct bytes z = bytes_of(zone, sizeof zone), o = bytes_of(owner, sizeof owner);
    if (rights_update(&r, z, o, TYPE_ANY) && (!rights_update(&r, z, o, TYPE_A) || !rights_update_some(&r, z)))
        abort();
    (void)rights_transfer(&r, z);
}

static void entry_checked(unsigned table, struct bytes in, struct arena *a)
{
    struct rd r = rd_over(in);
    struct bytes key = rd_take(&r, rd_u16(&r)), value = rd_take(&r, rd_left(&r));
    struct fault fault = { "" };
    if (r.bad)
        return;
    if (recordbook_entry_check(table, key, value, a, &fault) == ERR_BAD && fault.text[0] == '\0')
        abort();
    key_again(key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct bytes rest = bytes_of(data + 1, size - 1);
    if (size == 0)
        return 0;
    arena_init(&a);
    switch (data[0]) {
    case 'k': key_again(rest); break;
    case 'r': row_again(rest, &a); break;
    case 'e': event_again(rest, &a); break;
    case 's': settings_again(rest, &a); break;
    case 'R': rights_asked(rest, &a); break;
    default: entry_checked((unsigned)(data[0] - '0'), rest, &a);
    }
    arena_release(&a);
    return 0;
}
