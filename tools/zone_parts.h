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

/* What an entry of settings or of a key says: "made", "removed", or "member: before -> after; ...". Gives out. */
const char *tool_trace_text(char *out, size_t cap, const json_t *entry);
/* --- what secondaries are doing (zone_secondary.c) ------------------------------------------------------------------------- */
#define TOOL_WAIT_ALL "100%"            /* --wait without a share */
#define TOOL_SPAN_MAX 40
/* Seconds as people say them: "12 s", "47 min", "5 h", "13 d". */
const char *tool_span(char out[TOOL_SPAN_MAX], json_int_t s);
/* Lines about a zone of the API whose member `secondary` is there; nothing when it is not. */
void tool_secondary_print(const json_t *zone);
/* "ADDRESS@PORT: reason" of the primary that failed last; how long ago one did. */
const char *tool_secondary_why(char *out, size_t cap, const json_t *zone);
const char *tool_secondary_checked(char out[TOOL_SPAN_MAX], const json_t *zone);
/* Are --wait and --timeout as they may be? EXIT_FINE, or EXIT_USAGE after telling. */
int tool_secondary_may_wait(const struct options *o);
/* Waits until the transfer that has this ticket has ended, and tells how: EXIT_USAGE when no primary would do, EXIT_TIMEOUT. */
int tool_secondary_wait(const struct options *o, struct client *c, const struct name *zone, json_int_t ticket);

/* --- catalog zones (zone_catalog.c) ---------------------------------------------------------------------------------------- */
/* Lines about a zone of the API that is a catalog zone, or a member of one; nothing when it is neither. */
void tool_catalog_print(const json_t *zone);

/* A member of an object as text to be printed: "-" when it is not there. */
const char *tool_member(const json_t *o, const char *member);

#endif
