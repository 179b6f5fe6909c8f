/* For tests of catalog zones: a catalog from the text of a zone, zones that are there as lines, steps as text. */
#ifndef AZOTH_TESTS_CATALOG_BED_H
#define AZOTH_TESTS_CATALOG_BED_H

#include "tests/util.h"

#include "builder/catalog.h"
#include "builder/zonefile.h"

#include <stdlib.h>

static int bed_by_owner(const void *a, const void *b)
{
    return name_compare(((const struct zone_rr *)a)->owner, ((const struct zone_rr *)b)->owner);
}

/* The text's records, in canonical order; SOA and NS are put in front. */
static inline enum err bed_catalog(const char *apex, const char *text, struct catalog *c)
{
    struct complaints *complaints = calloc(1, sizeof *complaints);
    struct fault fault = { "" };
    struct zone z;
    struct name name;
    size_t len = strlen(text) + 1024;
    char *all = malloc(len);
    assert_int_equal(name_from_text(bytes_of_text(apex), bytes_of(NULL, 0), &name), OK);
    (void)snprintf(all, len, "$ORIGIN %s\n$TTL 0\n@ SOA invalid. invalid. 1 2 3 4 5\n@ NS invalid.\n%s", apex, text);
    zone_init(&z, name_bytes(&name), "text");
    if (zonefile_read_text(bytes_of_text(all), "text", &z, complaints, &fault) != OK)
        fail_msg("%s: %s %s", text, complaints->errors_n > 0 ? complaints->errors[0].text : "", fault.text);
    qsort(z.rr, z.n, sizeof *z.rr, bed_by_owner);
    catalog_init(c, name_bytes(&name));
    for (size_t i = 0; i < z.n && catalog_add(c, &z.rr[i]); i++)
        ;
    zone_release(&z);
    free(all);
    free(complaints);
    return catalog_end(c);
}

static inline void bed_put(char *out, size_t cap, const char *text)
{
    size_t at = strlen(out), n = strlen(text);
    assert_true(at + n + 2 <= cap);
    if (at > 0)
        out[at++] = ' ';
    memcpy(out + at, text, n + 1);
}

/* "add a.example. id, set ..." */
static inline void bed_steps(const struct catalog_look *l, char *out, size_t cap)
{
    static const char *const words[] = { [CATALOG_MAKE] = "make", [CATALOG_SET] = "set", [CATALOG_RESET] = "reset", [CATALOG_REMOVE] = "remove" };
    char name[NAME_TEXT_MAX];
    out[0] = '\0';
    for (size_t i = 0; i < l->n; i++) {
        bed_put(out, cap, words[l->v[i].what]);
        bed_put(out, cap, name_text(name, sizeof name, l->v[i].apex));
    }
}

#endif
