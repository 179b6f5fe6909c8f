/* The state of reading one zone file and what it includes; shared by zonefile.c and generate.c. */
#ifndef AZOTH_BUILDER_READER_H
#define AZOTH_BUILDER_READER_H

#include "builder/rdata.h"
#include "builder/scan.h"
#include "builder/zone.h"

#define INCLUDE_MAX 10

/* One text: the zone file, an included one, or what $GENERATE makes. */
struct source {
    struct scan scan;
    const char *name;
    struct name origin;
    unsigned origin_serial;         /* changes with the origin: whether a relative owner still means the same */
    unsigned nesting;
    uint32_t included_at;           /* line of the $INCLUDE in the outermost file; 0: that is this one */
};
struct reader {
    struct zone *z;
    struct complaints *c;
    struct fault why;
    bool has_default, has_last;     /* $TTL was seen; a record without $TTL had one */
    bool in_memory;                 /* the text is no file: nothing can be included */
    bool owner_failed;              /* the owner to inherit was no name, and that was complained about */
    bool is_slice;                  /* of a text: directives are an error here */
    struct crew *crew;              /* helps; NULL: nobody does */
    uint32_t ttl_default, ttl_last;
    struct bytes owner;             /* of the entry before, in the zone's arena; ptr NULL: none */
    struct bytes owner_text;        /* its words, to recognise them; borrowed from the text */
    unsigned owner_origin, origins;
    uint8_t rdata[RDATA_MAX];
};

/* NULL: out of memory. Freed with free. */
struct reader *zone_reader_open(struct zone *z, struct complaints *c);
void reader_complain(struct reader *r, const struct source *src, uint32_t line, const char *why);
/* One entry, at whose begin src->scan stands. ERR_BAD: complained about; the rest of it may be unread. */
MUST_USE enum err reader_entry(struct reader *r, struct source *src);
/* All entries up to the end of the text, or to the last complaint that is kept. */
MUST_USE enum err reader_entries(struct reader *r, struct source *src);
/* The rest of a large text, from an entry on, by the crew. *done false: nothing was read (slices.c). */
MUST_USE enum err read_slices(struct reader *r, struct source *src, bool *done);
/* $GENERATE, its arguments still unread. */
MUST_USE enum err read_generate(struct reader *r, struct source *src, uint32_t line);

#endif
