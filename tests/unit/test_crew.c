/* The crew: every piece once, whatever the number of threads, tasks and nestings. */
#include "base/crew.h"
#include "tests/util.h"

#include <stdatomic.h>

#define PIECES_MAX 1000

struct job {
    struct crew *crew;
    unsigned size;
    atomic_uint times[PIECES_MAX];
    atomic_bool busy[CREW_MAX];     /* no two threads share a `who` */
    atomic_bool wrong;
    bool nested;
};

static void inner(void *arg, size_t piece, unsigned who)
{
    atomic_uint *sum = arg;
    (void)who;
    atomic_fetch_add(sum, (unsigned)piece);
}

static void count(void *arg, size_t piece, unsigned who)
{
    struct job *j = arg;
    if (who >= j->size || atomic_exchange(&j->busy[who], true))
        j->wrong = true;
    atomic_fetch_add(&j->times[piece], 1);
    if (j->nested && piece % 7 == 0) {
        atomic_uint sum = 0;
        struct task task = { .run = inner, .arg = &sum, .pieces = 10 };
        crew_run(j->crew, &task);
        j->wrong = j->wrong || sum != 45;
    }
    atomic_store(&j->busy[who], false);
}

static void check(const char *why, struct job *j, size_t n)
{
    for (size_t i = 0; i < PIECES_MAX; i++)
        if (j->times[i] != (i < n))
            fail_msg("%s: piece %zu of %zu done %u times", why, i, n, j->times[i]);
    if (j->wrong)
        fail_msg("%s: two threads are the same, or there are too many", why);
}

static void every_piece_once(void **state)
{
    static const struct { const char *why; unsigned size; size_t pieces; bool nested; } rows[] = {
        { "nobody beside the caller",   1, 100, false }, { "no piece at all", 4, 0, false },
        { "one piece",                  4, 1,   false }, { "two threads",     2, PIECES_MAX, false },
        { "more threads than processors", CREW_MAX, PIECES_MAX, false },
        { "tasks inside of pieces",     4, 500, true  }, { "the same alone",  1, 50, true },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct crew *crew;
        assert_int_equal(crew_open(&crew, rows[i].size), OK);
        assert_int_equal(crew_size(crew), rows[i].size);
        for (int round = 0; round < 50; round++) {
            struct job *j = calloc(1, sizeof *j);
            j->crew = crew;
            j->size = rows[i].size;
            j->nested = rows[i].nested;
            struct task task = { .run = count, .arg = j, .pieces = rows[i].pieces };
            crew_run(crew, &task);
            check(rows[i].why, j, rows[i].pieces);
            free(j);
        }
        crew_close(crew);
    }
}

static void several_at_once(void **state)
{
    struct crew *crew;
    struct job *j = calloc(3, sizeof *j);
    struct task task[3];
    (void)state;
    assert_int_equal(crew_open(&crew, 3), OK);
    for (unsigned i = 0; i < 3; i++) {
        j[i].size = 3;
        task[i] = (struct task){ .run = count, .arg = &j[i], .pieces = 300 };
        crew_begin(crew, &task[i]);
    }
    for (unsigned i = 3; i-- > 0;)              /* the last first */
        crew_end(crew, &task[i]);
    for (unsigned i = 0; i < 3; i++)
        check("three tasks, ended from the last to the first", &j[i], 300);
    crew_close(crew);
    free(j);
}

static void no_crew(void **state)
{
    struct job *j = calloc(1, sizeof *j);
    struct task task = { .run = count, .arg = j, .pieces = 20 };
    (void)state;
    j->size = 1;
    crew_begin(NULL, &task);
    assert_int_equal(j->times[0], 0);
    crew_end(NULL, &task);
    check("no crew", j, 20);
    crew_close(NULL);
    free(j);
}

static void size_of_its_own(void **state)
{
    struct crew *crew;
    (void)state;
    assert_int_equal(crew_open(&crew, 0), OK);
    assert_true(crew_size(crew) >= 1 && crew_size(crew) <= CREW_MAX);
    crew_close(crew);                           /* without any task: no thread was started */
    assert_int_equal(crew_open(&crew, 1000), OK);
    assert_int_equal(crew_size(crew), CREW_MAX);
    crew_close(crew);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_piece_once), cmocka_unit_test(several_at_once), cmocka_unit_test(no_crew),
        cmocka_unit_test(size_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
