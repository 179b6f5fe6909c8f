#include "builder/change.h"

void change_init(struct change *c, enum change_kind kind, struct bytes apex)
{
    *c = (struct change){ .kind = kind, .apex.len = (uint8_t)apex.len };
    memcpy(c->apex.wire, apex.ptr, apex.len);
    difference_init(&c->result.difference);
}

void change_release(struct change *c)
{
    difference_release(&c->result.difference);
    difference_init(&c->result.difference);
}
