/* Entries of the journal: what passes for one is written again as the same bytes (but for elements of an author that a later
 * version added), its front reads alike, and its keys become differences or are refused. */
#include "tests/fuzz/fuzz.h"

#include "builder/journal_parts.h"

#include <stdlib.h>

static void written_again(struct bytes in, struct bytes apex, const struct journal_entry *e)
{
    size_t room = entry_room(e) + apex.len;
    uint8_t *buf = malloc(room);
    struct journal_entry back = { .seq = 1 };
    struct arena a;
    struct bytes of;
    if (buf == NULL)
        return;
    struct wr w = wr_over(buf, room);
    arena_init(&a);
    entry_write(&w, apex, e);
    if (w.full || w.len > in.len || (w.len == in.len && memcmp(buf, in.ptr, in.len) != 0))
        abort();
    if (entry_read(wr_done(&w), &a, &of, &back) != OK || back.n != e->n || back.whole != e->whole || !bytes_equal(of, apex)
        || back.serial_before != e->serial_before || back.serial_after != e->serial_after || back.author.via != e->author.via)
        abort();
    arena_release(&a);
    free(buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct journal_entry e = { .seq = 1 }, front = { .seq = 1 };
    struct bytes in = bytes_of(data, size), apex = { 0 }, of;
    struct rd r = rd_over(in);
    struct name name;
    struct arena a;
    arena_init(&a);
    enum err err = entry_read_front(&r, &of, &front);
    if (entry_read(in, &a, &apex, &e) == OK) {
        if (err != OK || front.time_ms != e.time_ms || front.whole != e.whole)
            abort();
        written_again(in, apex, &e);
        struct rd at = rd_over(apex);
        struct bytes whole;
        if (name_read(&at, &whole) == OK && rd_done(&at)) {
            struct difference d;
            name.len = (uint8_t)apex.len;
            memcpy(name.wire, apex.ptr, apex.len);
            difference_init(&d);
            if (difference_of_keys(name_bytes(&name), e.keys, e.n, 0, &d, NULL) == OK && d.n > 2 * 65536)
                abort();            /* no entry of a fuzzer's size holds so many */
            difference_release(&d);
        }
    }
    arena_release(&a);
    return 0;
}
