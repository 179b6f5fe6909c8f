/* azoth check-config: azoth.yaml itself, and the files that it names. */
#include "tools/check_listen.h"
#include "tools/rrtext.h"
#include "tools/tool.h"

#include <stdlib.h>
#include <sys/stat.h>

struct check { const struct options *o; const char *path; unsigned n; json_t *problems; };

static void on_problem(void *arg, const char *key, const char *text)
{
    struct check *c = arg;
    c->n++;
    if (c->o->json)
        (void)json_array_append_new(c->problems, json_pack("{s:o,s:o}", "key",
                                                           key != NULL ? json_words(key) : json_null(),
                                                           "text", json_words(text)));
    else
        (void)tool_fail(EXIT_USAGE, "%s%s%s: %s", c->path, key != NULL ? ": " : "", key != NULL ? key : "", text);
}

static void check_path(struct check *c, const char *key, const char *path, bool folder)
{
    struct fault fault = { "" };
    const char *why = config_file_problem(path, folder, &fault);
    if (why != NULL)
        on_problem(c, key, why);
}

/* The directory itself is made by the daemon; what it stands in must be there. */
static void check_dir(struct check *c, const char *dir)
{
    struct stat st;
    if (dir[0] == '\0') {
        on_problem(c, "node.dir", "is empty");
        return;
    }
    if (stat(dir, &st) == 0) {
        check_path(c, "node.dir", dir, true);
        return;
    }
    char *parent = strdup(dir);
    if (parent == NULL)
        return;
    for (size_t n = strlen(parent); n > 1 && parent[n - 1] == '/'; n--)
        parent[n - 1] = '\0';
    char *slash = strrchr(parent, '/');
    if (slash == NULL)
        (void)strcpy(parent, ".");      /* dir is not empty: there is room */
    else
        slash[slash == parent] = '\0';
    check_path(c, "node.dir", parent, true);
    free(parent);
}

static void check_files(struct check *c, const struct config *config)
{
    struct fault fault = { "" };
    const char *why;
    check_dir(c, config->node.dir);
    if (config->core != NULL) {
        (void)core_check_files(config->core, on_problem, c);
        (void)core_check_zones(config->core, on_problem, c);
    }
    if (config->edge != NULL && (why = config_nodes_problem(config->edge->relay_nodes, &fault)) != NULL)
        on_problem(c, "edge.relay.nodes", why);
    if (config->dns != NULL)
        (void)config_tls_problem("dns.tls", config->dns->tls.cert, config->dns->tls.key, on_problem, c);
    (void)check_listens(config, on_problem, c);
    if (config->core == NULL && config->edge == NULL && config->dns == NULL)
        on_problem(c, NULL, "has none of core, edge, dns: no daemon would run from it");
}

int cmd_check_config(const struct options *o)
{
    struct check c = { .o = o, .path = o->args[0], .problems = json_array() };
    struct config *config = NULL;
    struct fault fault = { "" };
    enum err err = config_load(c.path, &config, &fault);
    if (err == OK) {
        check_files(&c, config);
        config_free(config);
    } else if (o->json) {
        on_problem(&c, NULL, fault_text(&fault, err));
    } else {
        c.n++;
        (void)tool_fail(EXIT_USAGE, "%s", fault_text(&fault, err));     /* names file, line and key itself */
    }
    if (o->json) {
        if (json_line(json_pack("{s:o,s:b,s:O}", "file", json_words(c.path), "good", c.n == 0, "problems",
                                c.problems)) != OK)
            c.n++;
    } else if (c.n == 0) {
        (void)printf("%s: good\n", c.path);
    }
    json_decref(c.problems);
    return tool_done(c.n == 0 ? EXIT_FINE : EXIT_USAGE);
}
