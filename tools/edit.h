/* Changes to zones through the core's API: looked at first where records would go, made, told, waited for.
 *
 *     edit_open ─► edit_make ─┬─ --dry-run: the difference is shown ─► *reply NULL
 *                             └─ [difference, question] ─► made ─► edit_tell (EPOCH.SEQ, --wait) ─► edit_close
 *
 * Options that it heeds: --dry-run, --yes, --force, --if-serial, --wait, --timeout. */
#ifndef AZOTH_TOOLS_EDIT_H
#define AZOTH_TOOLS_EDIT_H

#include "tools/fleet_wait.h"

#define EDIT_OPTIONS " force if-serial dry-run yes wait timeout "
/* Of a command's table: those of all commands that make changes. */
#define EDIT_OPTION_ROWS                                                                                              \
    OPTION("force", NULL, OPTION_FLAG, force, "change it even if a guard refuses"),                                    \
    OPTION("if-serial", "SERIAL", OPTION_TEXT, if_serial, "change it only if this is the zone's serial"),              \
    OPTION("dry-run", NULL, OPTION_FLAG, dry_run, "show the difference, change nothing"),                              \
    OPTION("yes", NULL, OPTION_FLAG, yes, "ask nothing"),                                                              \
    OPTION("wait", "100%", OPTION_MAYBE, wait, "return when that share of the nodes has the change"),                  \
    OPTION("timeout", "TIME", OPTION_TEXT, timeout, "how long --wait waits (default 5s)")

enum edit_ask {
    EDIT_ASK_NEVER,
    EDIT_ASK_MANY,          /* when more than one record would go */
    EDIT_ASK_LOSS,          /* when a record would go */
    EDIT_ASK_SHOW,          /* likewise, and on a terminal whenever anything would change */
    EDIT_ASK_ALWAYS,
};
struct edit {
    const char *what;               /* for messages: "zone import" */
    const char *about;              /* for the question: "example.com." */
    enum client_method method;
    const char *path;               /* without a query */
    struct bytes body;
    const char *file;               /* whose lines errors name; NULL: none */
    enum edit_ask ask;
    int hint_status; const char *hint;  /* what to do after a reply of that status; NULL: nothing is said */
    bool whole;                     /* takes long, with a bar; a yes holds only for the serial that was shown */
};
struct editor { const struct options *o; struct client *client; bool waits; struct fleet_wait wait; const char *file; /* of the last edit */ };

/* Exit codes in all of them; what went wrong was told. */
int edit_open(struct editor *ed, const char *what, const struct options *o);
/* EXIT_FINE: *reply is owned by caller, NULL when nothing was to be done but to look. */
int edit_make(struct editor *ed, const struct edit *e, json_t **reply);
int edit_tell(struct editor *ed, const char *what, const json_t *reply);
/* Both, with one that is all a command does. */
int edit_run(const struct options *o, const struct edit *e);
void edit_close(struct editor *ed);

#endif
