/* Who the core serves, and with which cluster keys.
 *
 *     SIGHUP ─► nodes.d read anew ─► somebody gone? ─► core_cluster_rotate_key ─► done ─► DIR/cluster.nodes
 *
 * DIR/cluster.nodes is whom the newest cluster key may be known to. It is written only behind the new key, so a removal
 * brings one also when the core was down, ended in between, or could not keep the key at first. */
#include "builder/core.h"

#include "base/file.h"
#include "base/log.h"
#include "builder/core_cluster.h"
#include "builder/core_fleet.h"

#include <inttypes.h>
#include <limits.h>
#include <sodium.h>

static const char removed[] = "a node was removed";

/* --- the keys' nodes ------------------------------------------------------------------------------------------------ */
static enum err known_path(struct core *c, char path[PATH_MAX])
{
    return file_path(path, PATH_MAX, c->config->node.dir, "cluster.nodes");
}

static void known_save(struct core *c)
{
    char path[PATH_MAX], why[600];
    struct fault fault = { "" };
    enum err err = known_path(c, path);
    if (err == OK)
        err = nodes_save(c->nodes, path, &fault);
    c->known_stale = err != OK;         /* the next tick tries again */
    if (err != OK)
        log_warn("core.nodes", "err=%s next=retry", log_quote(why, sizeof why, fault_text(&fault, err)));
}

static enum err new_key(struct core *c, const char *why, struct fault *fault)
{
    uint64_t id;
    enum err err = keyring_rotate(c->keyring, &id, fault);
    if (err == OK)
        log_info("core.cluster_key", "id=%016" PRIx64 " why=\"%s\"", id, why);
    return err;
}

/* At start, when nobody encrypts yet: is the newest key known to listed nodes only? */
static enum err key_start(struct core *c, struct fault *fault)
{
    struct nodes *known = NULL;
    uint8_t key[CLUSTER_KEY_LEN];
    char path[PATH_MAX];
    uint64_t id;
    enum err err = keyring_find(c->keyring, 0, key, &id);
    sodium_memzero(key, sizeof key);
    if (err == ERR_NOTFOUND)
        return new_key(c, "the first one", fault);
    if ((err = known_path(c, path)) == OK)
        err = nodes_load(&known, path, fault);
    if (err == ERR_BAD || err == ERR_NOTFOUND) {        /* whoever it may have been */
        log_warn("core.nodes", "file=cluster.nodes err=\"%s\" next=\"a new cluster key\"", err_text(err));
        return new_key(c, "who knows the last one is not known", fault);
    }
    if (err == OK && !nodes_keep(c->nodes, known))
        err = new_key(c, removed, fault);
    nodes_close(known);
    return err;
}

/* --- life ----------------------------------------------------------------------------------------------------------- */
MUST_USE enum err core_nodes_open(struct core *c, struct fault *fault)
{
    enum err err = nodes_open(&c->nodes, c->config->core->nodes, fault);
    if (err == OK)
        err = keyring_open(&c->keyring, c->config->node.dir, fault);
    if (err == OK && c->config->core->encrypt && (err = key_start(c, fault)) == OK)
        known_save(c);
    if (err == OK)
        log_info("core.nodes", "listed=%zu", nodes_count(c->nodes));
    return err;
}

void core_nodes_close(struct core *c)
{
    nodes_close(c->nodes);
    keyring_close(c->keyring);
}

/* In the writing thread; the order itself wrote the log line. */
static void on_rotated(void *arg, const struct core_cluster_result *result)
{
    struct core *c = arg;
    if (result->err == OK)
        c->rotations--;
    else if (result->err != ERR_NOTNOW)
        c->rotations_failed++;
}

MUST_USE enum err core_nodes_reload(struct core *c, const char *folder, struct fault *fault)
{
    struct nodes *now = NULL, *old = c->nodes;
    enum err err = nodes_open(&now, folder, fault);
    if (err != OK)
        return err;
    if ((err = core_fleet_listed(c, now)) != OK) {
        nodes_close(now);
        return fault_set(fault, err, "no memory for the nodes of %s", folder);
    }
    char gone[400], text[800];
    bool kept = nodes_gone(now, old, gone, sizeof gone) == 0;
    c->nodes = now;
    publisher_nodes(c->publisher, now);
    nodes_close(old);
    log_info("core.nodes", "listed=%zu removed=%s", nodes_count(now), log_quote(text, sizeof text, gone));
    if (c->config->core->encrypt) {
        c->known_stale = true;
        if (!kept) {
            c->rotations++;
            core_cluster_rotate_key(c, removed, on_rotated, c);
        }
        core_nodes_tick(c);
    }
    return OK;
}

void core_nodes_tick(struct core *c)
{
    unsigned failed = atomic_exchange(&c->rotations_failed, 0);
    if (failed > 0) {
        c->rotations -= failed - 1;
        core_cluster_rotate_key(c, removed, on_rotated, c);
    } else if (c->known_stale && c->rotations == 0) {
        known_save(c);
    }
}
