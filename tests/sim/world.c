#include "tests/sim/sim.h"

/* --- what a seed says ------------------------------------------------------------------------------------------------ */
void wrong(struct sim *s, int node, const char *what)
{
    printf("seed %llu, %llu ms, node %d: %s\n", (unsigned long long)s->seed, (unsigned long long)s->now, node, what);
    printf("again with: AZOTH_SEED=%llu AZOTH_TRACE=1 tests/sim/test_sim\n", (unsigned long long)s->seed);
    fflush(stdout);
    exit(1);
}

void say(const struct sim *s, int node, const char *format, ...)
{
    va_list args;
    if (!s->trace)
        return;
    printf("%8llu ms  node %d  ", (unsigned long long)s->now, node);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
}

void count(struct sim *s, enum count what) { s->tally->n[what]++; }

const char *step_text(enum step step)
{
    static const char *const text[] = {
#define X(name, text) text,
        STEPS(X)
#undef X
    };
    return text[step];
}

const char *lie_text(enum lie lie)
{
    static const char *const text[] = {
#define X(name, text) text,
        LIES(X)
#undef X
    };
    return text[lie];
}

const char *count_text(enum count what, bool *must)
{
    static const struct { const char *text; bool must; } row[] = {
#define X(name, text, must) { text, must },
        COUNTS(X)
#undef X
    };
    *must = row[what].must;
    return row[what].text;
}

bool chance(struct sim *s, unsigned percent) { return rnd_below(&s->rnd, 100) < percent; }
bool chance_of_1000(struct sim *s, unsigned n) { return rnd_below(&s->rnd, 1000) < n; }

uint64_t bytes_hash(struct bytes b, uint64_t start)
{
    uint64_t h = start ^ 0xcbf29ce484222325u;           /* FNV-1a: nobody here looks for collisions */
    for (size_t i = 0; i < b.len; i++)
        h = (h ^ b.ptr[i]) * 0x100000001b3u;
    return h ^ h >> 32;
}

/* --- events: a heap by time, in the order of their making at the same time ---------------------------------------------- */
static bool sooner(const struct event *a, const struct event *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void push(struct sim *s, struct event e)
{
    size_t i = s->heap_n++;
    if (i == s->heap_cap) {
        s->heap_cap = 2 * s->heap_cap + 256;
        if (s->heap_cap > 100000 || (s->heap = realloc(s->heap, s->heap_cap * sizeof *s->heap)) == NULL)
            wrong(s, e.to, "too many events");
    }
    e.order = s->order++;
    for (; i > 0 && sooner(&e, &s->heap[(i - 1) / 2]); i = (i - 1) / 2)
        s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = e;
}

struct event pop(struct sim *s)
{
    struct event top = s->heap[0], last = s->heap[--s->heap_n];
    size_t i = 0;
    for (;;) {
        size_t c = 2 * i + 1;
        if (c >= s->heap_n)
            break;
        if (c + 1 < s->heap_n && sooner(&s->heap[c + 1], &s->heap[c]))
            c++;
        if (!sooner(&s->heap[c], &last))
            break;
        s->heap[i] = s->heap[c];
        i = c;
    }
    s->heap[i] = last;
    return top;
}

void later(struct sim *s, uint64_t in_ms, enum kind kind, int to)
{
    push(s, (struct event){ .at = s->now + in_ms, .kind = kind, .to = to });
}

/* --- the network: lost, doubled, past each other, cut off ----------------------------------------------------------------- */
void transmit(struct sim *s, enum kind kind, int from, int to, uint64_t tag, struct bytes msg)
{
    unsigned copies = 1;
    if (s->cut[from][to]) {
        count(s, N_CUT);
        return;
    }
    if (chance(s, s->loss)) {
        count(s, N_LOST);
        return;
    }
    if (chance(s, s->twice)) {
        count(s, N_TWICE);
        copies = 2;
    }
    for (unsigned i = 0; i < copies; i++)
        push(s, (struct event){ .at = s->now + 1 + rnd_below(&s->rnd, (uint32_t)s->delay_ms), .kind = kind, .to = to, .from = from,
                                .tag = tag, .msg = heap_copy(msg.ptr, msg.len) });
}
