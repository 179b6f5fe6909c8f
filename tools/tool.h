/* What the commands share: their table, how they fail, how they open a store. */
#ifndef AZOTH_TOOLS_TOOL_H
#define AZOTH_TOOLS_TOOL_H

#include "store/store.h"
#include "tools/options.h"

enum { EXIT_FINE = 0, EXIT_USAGE = 1, EXIT_DATA = 2, EXIT_TIMEOUT = 3 };    /* fixed: scripts depend on them */

struct command {
    const char *name, *takes, *about;           /* takes: what stands behind the name in the usage line */
    const struct option_spec *options;          /* own ones; NULL: only the global ones */
    size_t args_least, args_most;
    bool needs_dir;
    int (*run)(const struct options *o);        /* the exit code; has told the reason on stderr when not EXIT_FINE */
    const struct verb *verbs;                   /* commands of its own (verbs.h), for help; NULL: none are listed */
};
extern const struct command commands[];         /* ended by a NULL name; the order of `azoth help` */
const struct command *command_find(const char *name);

int cmd_keygen(const struct options *o);
int cmd_load(const struct options *o);
int cmd_dump(const struct options *o);
int cmd_get(const struct options *o);
int cmd_log(const struct options *o);
int cmd_stat(const struct options *o);
int cmd_verify(const struct options *o);
int cmd_check_config(const struct options *o);
int cmd_kv(const struct options *o);
int cmd_backup(const struct options *o);
int cmd_restore(const struct options *o);
int cmd_compact(const struct options *o);
int cmd_status(const struct options *o);
int cmd_wait(const struct options *o);
int cmd_cluster(const struct options *o);
int cmd_zone(const struct options *o);
int cmd_rrset(const struct options *o);
int cmd_tsig(const struct options *o);
int cmd_compare(const struct options *o);

extern const struct option_spec restore_options[];
extern const struct option_spec zone_options[], rrset_options[], tsig_options[], compare_options[];
extern const struct option_spec kv_options[], status_options[], wait_options[];
extern const struct option_spec keygen_options[], load_options[], dump_options[], log_options[], verify_options[], stat_options[];

/* One line "azoth: ..." on stderr; gives code back. */
int tool_fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Flushes stdout: EXIT_USAGE with a message when the output could not be written, else code. */
int tool_done(int code);

/* An existing store for reading, and a view of its newest state, begun: everything printed is one state. */
struct tool_store {
    struct store *store;
    struct view *view;
    struct head head;
    struct signed_head signed_head;
    bool empty;                 /* nothing was ever committed: no head */
};
/* EXIT_FINE or, after telling why, EXIT_USAGE (no store there, cannot be opened). tool_close in both cases. */
int tool_open(struct tool_store *t, const char *dir);
void tool_close(struct tool_store *t);
/* Beside a core at work, whose newest records may reach the log some ms behind the data: when it has all that the view has. */
MUST_USE enum err tool_log_begin(const struct tool_store *t, struct log_reader *r);

/* The key that the core signs with: --core-key, else on a core DIR/node.pub. *known false: an edge without --core-key.
 * EXIT_FINE, or EXIT_USAGE after telling why. */
int tool_core_key(const struct tool_store *t, const struct options *o, uint8_t pub[32], bool *known);

#endif
