/* Any text as a zone file: records or complaints, never a crash; and each record goes to text and back unchanged. */
#include "builder/zonefile.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct zone_rr *rr)
{
    static const uint8_t root[1] = { 0 };
    static char text[4 * 65536 + 2 * NAME_TEXT_MAX];
    static uint8_t again[65535];
    struct wr w = wr_over(again, sizeof again);
    const char *rdata = text;
    if (rr_to_text(rr, text, sizeof text, NULL) != OK)
        abort();
    for (int i = 0; i < 4; i++)                 /* owner, TTL, class, type */
        if ((rdata = strchr(rdata, '\t')) == NULL || *++rdata == '\0')
            return;                             /* RDATA without text: an empty APL */
    if (rdata_from_text(rr->type, bytes_of_text(rdata), bytes_of(root, 1), &w, NULL) != OK || !bytes_equal(wr_done(&w), rr->rdata))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t apex[] = "\7example";
    static struct complaints c;
    struct zone z;
    c.errors_n = c.warnings_n = 0;
    zone_init(&z, bytes_of(apex, sizeof apex), "fuzz");
    enum err err = zonefile_read_text(bytes_of(data, size), "fuzz", &z, &c, NULL);
    if (err != (c.errors_n > 0 ? ERR_REFUSED : OK))
        abort();
    for (size_t i = 0; i < z.n && i < 1000; i++)
        check(&z.rr[i]);
    zone_release(&z);
    return 0;
}
