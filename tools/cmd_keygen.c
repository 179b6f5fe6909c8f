/* azoth keygen: the node's Ed25519 key pair. */
#include "base/file.h"
#include "replicator/record.h"
#include "tools/rrtext.h"
#include "tools/tool.h"

#include <sodium.h>

const struct option_spec keygen_options[] = {
    OPTION("force", NULL, OPTION_FLAG, force, "replace an existing key (edges pinned to it must be re-pinned)"),
    OPTION_END,
};

int cmd_keygen(const struct options *o)
{
    struct node_key key;
    struct fault fault = { "" };
    char line[128];
    enum err err;
    if ((err = file_folder(o->dir, &fault)) != OK)
        return tool_fail(EXIT_USAGE, "%s", fault_text(&fault, err));
    if ((err = node_key_make(o->dir, o->force, &key, &fault)) == ERR_EXISTS)
        return tool_fail(EXIT_USAGE, "%s holds a key already; --force replaces it", o->dir);
    if (err != OK)
        return tool_fail(EXIT_USAGE, "cannot make the key: %s", fault_text(&fault, err));
    (void)node_pub_text(line, sizeof line, key.pub);
    sodium_memzero(&key, sizeof key);
    if (!o->json)
        (void)printf("%s\n", line);
    else if (json_line(json_pack("{s:s}", "public", line)) != OK)
        return tool_fail(EXIT_USAGE, "out of memory");
    return tool_done(EXIT_FINE);
}
