/* The wanted zone files, by name; and the names remembered in DIR/zones.list. */
#ifndef AZOTH_BUILDER_ZONELIST_H
#define AZOTH_BUILDER_ZONELIST_H

#include "base/arena.h"
#include "config/config.h"
#include "wire/name.h"

#include <sys/types.h>

#define FILE_HASH_LEN 32
/* What tells without reading that a file is the one we read before. */
struct file_mark {
    dev_t dev;
    ino_t ino;
    off_t size;
    int64_t mtime_ns, ctime_ns;
    bool young;                     /* changed so lately that the next change may leave the same times: tells nothing */
};

struct zone_want {
    struct name apex;               /* lower case */
    const char *text, *file;        /* canonical text of the name; both in the list's arena */
    size_t place;                   /* in the list it was taken from: of equal names the first counts */
    bool loaded, refused;           /* loaded: mark and hash are of contents that are all that stands in the store */
    bool foreign;                   /* refused because the zone has records of its own */
    struct file_mark mark;
    uint8_t hash[FILE_HASH_LEN];
};
/* ascending by apex bytes, none twice */
struct zonelist { struct zone_want *zones; size_t n; struct arena arena; };

void zonelist_init(struct zonelist *l);
void zonelist_release(struct zonelist *l);
/* Copies; logs a line for each entry that is no name or is there already, and leaves it out. ERR_NOMEM. */
MUST_USE enum err zonelist_take(struct zonelist *l, const struct config_zone *list, size_t n);
struct zone_want *zonelist_find(const struct zonelist *l, struct bytes apex);   /* NULL: not in it */
/* The names of a list alone, small: a hash of each. */
struct name_set { struct name_hash *v; size_t n; };
MUST_USE enum err name_set_make(struct name_set *out, const struct zonelist *l);
void name_set_release(struct name_set *s);
bool name_set_has(const struct name_set *s, struct bytes apex);         /* any case */
/* What `before` knows of the same zone and file. */
void zonelist_carry_over(struct zonelist *l, const struct zonelist *before);

/* DIR/zones.list as a list without files; a missing file is an empty one. Lines that are no names: ERR_BAD. */
MUST_USE enum err zonelist_read(struct zonelist *l, const char *dir, struct fault *fault);
/* Names of both lists (either may be empty), replaced atomically. */
MUST_USE enum err zonelist_write(const struct zonelist *a, const struct zonelist *b, const char *dir,
                                 struct fault *fault);

/* ERR_NOTFOUND, ERR_IO: the fault says why. */
MUST_USE enum err file_mark_take(const char *path, struct file_mark *out, struct fault *fault);
bool file_mark_equal(const struct file_mark *a, const struct file_mark *b);
MUST_USE enum err file_hash(const char *path, uint8_t out[FILE_HASH_LEN], struct fault *fault);

#endif
