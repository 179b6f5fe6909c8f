/* Two answers of any bytes (the first behind its length in 2 bytes): comparing ends, says the same the other way round, finds no
 * difference between an answer and itself, and shows records where it says that they differ. */
#include "tests/fuzz/fuzz.h"

#include "tools/compare.h"

#include <stdlib.h>

static void count(void *arg, int side, const struct answer_rr *rr)
{
    (void)side;
    if (rr->owner.len == 0)
        abort();
    ++*(size_t *)arg;
}

static unsigned run(const struct compare_rules *rules, const struct question *q, struct bytes a, struct bytes b)
{
    struct bytes msg[2] = { a, b };
    struct arena arena;
    struct compared c;
    size_t shown = 0;
    arena_init(&arena);
    if (compare_answers(rules, q, msg, &arena, &c) != OK)
        abort();
    for (unsigned s = 0; s < SECTIONS; s++)
        compare_apart(rules, c.part[s], count, &shown);
    if ((c.bits & DIFF_ANSWER) != 0 && shown == 0)
        abort();
    arena_release(&arena);
    return c.bits;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rd r = rd_over(bytes_of(data, size));
    struct bytes a = rd_take(&r, rd_u16(&r));
    struct bytes b = rd_take(&r, rd_left(&r));
    struct question q = { .name = { 5, { 1, 'w', 1, 'z', 0 } }, .type = 1 };
    struct name apex = { 3, { 1, 'z', 0 } };
    if (r.bad)
        return 0;
    for (unsigned i = 0; i < 8; i++) {
        struct compare_rules rules = { name_bytes(&apex), (i & 1) != 0, (i & 2) != 0, (i & 4) != 0 };
        unsigned same = run(&rules, &q, a, a), bits = run(&rules, &q, a, b);
        if ((same & ~(unsigned)DIFF_MALFORMED) != 0 || bits != run(&rules, &q, b, a))
            abort();
    }
    return 0;
}
