/* Commands that have commands of their own: `azoth zone add`, `azoth rrset set` ... */
#ifndef AZOTH_TOOLS_VERBS_H
#define AZOTH_TOOLS_VERBS_H

#include "tools/tool.h"

struct verb {                           /* a table of them is ended by a NULL name */
    const char *name, *takes;           /* takes: what stands behind the name */
    size_t args_least, args_most;       /* the verb itself counts */
    const char *options;                /* names of the command's own options that it heeds, between spaces: " force yes " */
    int (*run)(const struct options *o);
};
/* Runs the verb that o->args[0] names. An option that the verb would not heed is an error: what was asked for must not be
 * left out silently. */
int verbs_run(const char *command, const struct option_spec *own, const struct verb *verbs, const struct options *o);
/* One line for each. */
void verbs_print(FILE *to, const char *command, const struct verb *verbs);
extern const struct verb zone_verbs[], rrset_verbs[], tsig_verbs[];

#endif
