#include "builder/core_check.h"

#include "base/openssl.h"
#include "builder/api_keys.h"
#include "replicator/nodes.h"
#include "wire/name.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

const char *config_file_problem(const char *path, bool folder, struct fault *fault)
{
    struct stat st;
    if (path == NULL)
        return NULL;
    if (stat(path, &st) != 0 || access(path, folder ? R_OK | X_OK : R_OK) != 0)
        (void)fault_set(fault, ERR_IO, "%.300s: %s", path, strerror(errno));
    else if (folder ? !S_ISDIR(st.st_mode) : !S_ISREG(st.st_mode))
        (void)fault_set(fault, ERR_IO, "%.300s is no %s", path, folder ? "folder" : "regular file");
    else
        return NULL;
    return fault->text;
}

const char *config_nodes_problem(const char *path, struct fault *fault)
{
    struct nodes *nodes = NULL;
    const char *why = config_file_problem(path, true, fault);
    if (path == NULL || why != NULL)
        return why;
    enum err err = nodes_open(&nodes, path, fault);
    nodes_close(nodes);
    return err == OK ? NULL : fault_text(fault, err);
}

unsigned config_tls_problem(const char *part, const char *cert, const char *key, config_problem_fn *told, void *arg)
{
    char name[64];
    struct fault fault = { "" };
    SSL_CTX *tls = NULL;
    const char *const paths[] = { cert, key };
    unsigned n = 0;
    for (size_t i = 0; i < 2; i++) {
        const char *why = config_file_problem(paths[i], false, &fault);
        (void)snprintf(name, sizeof name, "%s.%s", part, i == 0 ? "cert" : "key");
        if (why != NULL) {
            told(arg, name, why);
            n++;
        }
    }
    if (n > 0 || cert == NULL || key == NULL)
        return n;
    enum err err = openssl_server(&tls, part, cert, key, &fault);
    SSL_CTX_free(tls);
    if (err == OK)
        return 0;
    const char *text = fault_text(&fault, err), *colon = strstr(text, ": ");        /* it begins with the key */
    bool named = colon != NULL && (size_t)(colon - text) < sizeof name && strncmp(text, part, strlen(part)) == 0;
    (void)snprintf(name, sizeof name, "%.*s", named ? (int)(colon - text) : (int)sizeof name - 1, named ? text : part);
    told(arg, name, named ? colon + 2 : text);
    return 1;
}

struct checks { config_problem_fn *told; void *arg; unsigned n; };

static void problem(struct checks *c, const char *key, const char *text)
{
    c->n++;
    c->told(c->arg, key, text);
}

static void check_path(struct checks *c, const char *key, const char *path, bool folder)
{
    struct fault fault = { "" };
    const char *why = config_file_problem(path, folder, &fault);
    if (why != NULL)
        problem(c, key, why);
}

static void check_key_file(struct checks *c, const char *path)
{
    struct fault fault = { "" };
    struct api_keys *keys = NULL;
    unsigned before = c->n;
    check_path(c, "core.api.key_file", path, false);
    if (path == NULL || c->n > before)
        return;
    enum err err = api_keys_load(&keys, path, &fault);
    if (err != OK)
        problem(c, "core.api.key_file", fault_text(&fault, err));
    api_keys_free(keys);
}

unsigned core_check_files(const struct config_core *core, config_problem_fn *told, void *arg)
{
    struct checks c = { told, arg, 0 };
    struct fault fault = { "" };
    const char *why = config_nodes_problem(core->nodes, &fault);
    if (why != NULL)
        problem(&c, "core.nodes", why);
    check_key_file(&c, core->api_key_file);
    return c.n + config_tls_problem("core.api", core->api_cert, core->api_key, told, arg);
}

struct numbered { struct name name; size_t number; };

static int by_name(const void *a, const void *b)
{
    const struct numbered *x = a, *y = b;
    int c = bytes_compare(name_bytes(&x->name), name_bytes(&y->name));
    return c != 0 ? c : (x->number > y->number) - (x->number < y->number);
}

static void check_twice(struct checks *c, struct numbered *names, size_t n)
{
    char key[64], text[64];
    qsort(names, n, sizeof *names, by_name);
    for (size_t i = 1; i < n; i++) {
        if (!bytes_equal(name_bytes(&names[i - 1].name), name_bytes(&names[i].name)))
            continue;
        (void)snprintf(key, sizeof key, "core.zones.%zu.name", names[i].number);
        (void)snprintf(text, sizeof text, "the same zone as core.zones.%zu", names[i - 1].number);
        problem(c, key, text);
    }
}

unsigned core_check_zones(const struct config_core *core, config_problem_fn *told, void *arg)
{
    struct checks c = { told, arg, 0 };
    struct numbered *names = malloc((core->zones_n > 0 ? core->zones_n : 1) * sizeof *names);
    size_t n = 0;
    char key[64];
    if (names == NULL) {
        problem(&c, "core.zones", err_text(ERR_NOMEM));
        return c.n;
    }
    for (size_t i = 0; i < core->zones_n; i++) {
        const struct config_zone *z = &core->zones[i];
        (void)snprintf(key, sizeof key, "core.zones.%zu.name", i + 1);
        names[n].number = i + 1;
        if (name_from_text(bytes_of_text(z->name), bytes_of(NULL, 0), &names[n].name) != OK) {
            problem(&c, key, "no domain name");
        } else {
            name_lower(names[n].name.wire, names[n].name.len);
            n++;
        }
        (void)snprintf(key, sizeof key, "core.zones.%zu.file", i + 1);
        check_path(&c, key, z->file, false);
    }
    check_twice(&c, names, n);
    free(names);
    return c.n;
}
