/* The commands about zones share these. */
#ifndef AZOTH_TOOLS_ZONE_PARTS_H
#define AZOTH_TOOLS_ZONE_PARTS_H

#include "tools/edit.h"
#include "wire/name.h"

#define ZONE_PATH_MAX 3600              /* "/v1/zones/", a name of 255 bytes escaped and percent-encoded, what follows */
#define ZONE_FILE_MAX ((size_t)1 << 30)

/* A zone's name as typed; the final dot may be left out. EXIT_FINE, or EXIT_USAGE after telling. */
int tool_zone_name(const char *what, const char *text, struct name *out);
/* Says that a name with dots but without a final one is relative to the zone, which is seldom meant. */
void tool_note_relative(const char *what, const char *name);
/* "/v1/zones/NAME" and rest, percent-encoded. out: ZONE_PATH_MAX. */
void tool_zone_path(char *out, const struct name *zone, const char *rest);
/* Both. */
int tool_zone_path_of(const char *what, const char *text, const char *rest, char *out);

/* The members of a change's record "SEQ" or "EPOCH.SEQ": just the seq. */
int tool_seq(const char *what, const char *option, const char *text, uint64_t *out);

int cmd_zone_add(const struct options *o);
int cmd_zone_import(const struct options *o);
int cmd_zone_export(const struct options *o);
int cmd_zone_list(const struct options *o);
int cmd_zone_show(const struct options *o);
int cmd_zone_remove(const struct options *o);
int cmd_zone_set(const struct options *o);
int cmd_zone_rebuild(const struct options *o);
int cmd_zone_transfer(const struct options *o);
int cmd_zone_notify(const struct options *o);
int cmd_zone_log(const struct options *o);
int cmd_zone_diff(const struct options *o);
int cmd_zone_rollback(const struct options *o);

/* A member of an object as text to be printed: "-" when it is not there. */
const char *tool_member(const json_t *o, const char *member);

#endif
