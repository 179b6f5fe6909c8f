#include "builder/near.h"

static uint64_t number_of(struct bytes name)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < name.len; i++)
        h = (h ^ name_lower_byte(name.ptr[i])) * 0x100000001b3u;
    return h;
}

static bool full(const struct near *s) { return s->used > NEAR_SLOTS / 2; }

void near_clear(struct near *s)
{
    s->round++;
    s->used = 0;
}

static size_t find(const struct near *s, uint64_t number)
{
    size_t at = number % NEAR_SLOTS;
    while (s->slot[at].round == s->round + 1 && s->slot[at].number != number)
        at = (at + 1) % NEAR_SLOTS;
    return at;
}

static void put(struct near *s, struct bytes name, bool itself)
{
    uint64_t number = number_of(name);
    size_t at = find(s, number);
    if (s->slot[at].round != s->round + 1) {
        s->slot[at].round = s->round + 1;
        s->slot[at].number = number;
        s->slot[at].itself = false;
        s->used++;
    }
    s->slot[at].itself |= itself;
}

void near_add(struct near *s, struct bytes name)
{
    if (full(s))
        return;
    put(s, name, true);
    while (name.len > 1) {
        name = name_parent(name);
        put(s, name, false);
    }
}

bool near_has(const struct near *s, struct bytes name)
{
    size_t at = find(s, number_of(name));
    if (full(s) || s->slot[at].round == s->round + 1)
        return true;                            /* equal to or above one of them */
    while (name.len > 1) {
        name = name_parent(name);
        at = find(s, number_of(name));
        if (s->slot[at].round == s->round + 1 && s->slot[at].itself)
            return true;
    }
    return false;
}
