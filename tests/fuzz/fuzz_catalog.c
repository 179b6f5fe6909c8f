/* A catalog zone with any records: each a prefix of its owner's name, a type, RDATA, behind their lengths. Members in order and each
 * once, with names and labels that are whole; or broken, with words. */
#include "tests/fuzz/fuzz.h"

#include "builder/catalog.h"

#include <stdlib.h>

#define MUST(what) do { if (!(what)) abort(); } while (0)

static void check(const struct catalog *c)
{
    char id[CATALOG_ID_TEXT];
    MUST(!c->broken || (c->n == 0 && c->why[0] != '\0'));
    for (size_t i = 0; i < c->n; i++) {
        const struct catalog_member *m = &c->v[i];
        struct rd r = rd_over(m->apex), coo = rd_over(m->coo);
        struct bytes name;
        MUST(name_read(&r, &name) == OK && rd_done(&r) && name_is_lower(name));
        MUST(m->coo.len == 0 || (name_read(&coo, &name) == OK && rd_done(&coo)));
        MUST(m->id.len > 0 && m->id.len < 64 && m->groups_n <= CATALOG_GROUPS_MAX && catalog_id_text(id, m->id)[0] != '\0');
        MUST(i == 0 || name_compare(c->v[i - 1].apex, m->apex) < 0);
        MUST(catalog_find(c, m->apex) == m);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t apex[] = "\x04" "catz";
    static const uint16_t types[] = { TYPE_PTR, TYPE_TXT, TYPE_A, TYPE_NS };
    struct rd r = rd_over(bytes_of(data, size));
    struct catalog c;
    bool more = true;
    catalog_init(&c, bytes_of(apex, sizeof apex));
    while (more && !r.bad && !rd_done(&r)) {
        struct bytes prefix = rd_take(&r, rd_u8(&r)), name;
        uint16_t type = types[rd_u8(&r) % 4];
        struct bytes rdata = rd_take(&r, rd_u8(&r));
        struct name owner;
        if (r.bad || name_join(prefix, bytes_of(apex, sizeof apex), &owner) != OK)
            break;
        struct rd whole = rd_over(name_bytes(&owner));
        if (name_read(&whole, &name) != OK || !rd_done(&whole))
            break;                      /* no name: the store has none such */
        name_lower(owner.wire, owner.len);
        more = catalog_add(&c, &(struct zone_rr){ .owner = name_bytes(&owner), .rdata = rdata, .type = type });
    }
    MUST(catalog_end(&c) == OK);
    check(&c);
    catalog_release(&c);
    return 0;
}
