#include "tools/verbs.h"

#include <stdlib.h>

static int no_such_verb(const char *command, const struct verb *verbs, const char *name)
{
    char list[300] = "";
    size_t len = 0;
    for (size_t i = 0; verbs[i].name != NULL && len < sizeof list; i++)
        len += (size_t)snprintf(list + len, sizeof list - len, "%s%s", i > 0 ? ", " : "", verbs[i].name);
    return tool_fail(EXIT_USAGE, "%s: '%.100s' is none of %s (see azoth help %s)", command, name, list, command);
}

static bool heeds(const struct verb *v, const char *option)
{
    char word[64];
    (void)snprintf(word, sizeof word, " %s ", option);
    return strstr(v->options, word) != NULL;
}

int verbs_run(const char *command, const struct option_spec *own, const struct verb *verbs, const struct options *o)
{
    const struct verb *v = verbs;
    while (v->name != NULL && strcmp(v->name, o->args[0]) != 0)
        v++;
    if (v->name == NULL)
        return no_such_verb(command, verbs, o->args[0]);
    if (o->args_n < v->args_least || o->args_n > v->args_most)
        return tool_fail(EXIT_USAGE, "%s %s: an argument is %s: azoth %s %s %s (see azoth help %s)", command, v->name,
                         o->args_n < v->args_least ? "missing" : "too many", command, v->name, v->takes, command);
    for (const struct option_spec *spec = own; spec->name != NULL; spec++)
        if (option_given(spec, o) && !heeds(v, spec->name))
            return tool_fail(EXIT_USAGE, "%s %s takes no --%s (see azoth help %s)", command, v->name, spec->name, command);
    return tool_done(v->run(o));
}

void verbs_print(FILE *to, const char *command, const struct verb *verbs)
{
    for (; verbs->name != NULL; verbs++)
        (void)fprintf(to, "  azoth %s %s %s\n", command, verbs->name, verbs->takes);
}
