/* azoth compact: the data into a new generation with full pages, while no daemon runs. */
#include "base/clock.h"
#include "base/text.h"
#include "tools/rrtext.h"
#include "tools/tool.h"

#include <inttypes.h>

/* The role stands in the store's magic; opening for writing must name it. */
static enum err open_any(struct store **out, const char *dir, struct fault *fault)
{
    struct store_options so = { .dir = dir, .mode = STORE_READ };
    struct store *look;
    enum err err = store_open(&look, &so, fault);
    if (err != OK)
        return err;
    so.role = store_role(look);
    store_close(look);
    so.mode = STORE_WRITE;
    return store_open(out, &so, fault);
}

static int report(const struct options *o, uint64_t before, uint64_t after, uint64_t ms)
{
    char a[32], b[32];
    if (o->json)
        return json_line(json_pack("{s:I,s:I,s:I}", "before", (json_int_t)before, "after", (json_int_t)after, "ms",
                                   (json_int_t)ms)) == OK
                   ? EXIT_FINE : tool_fail(EXIT_USAGE, "out of memory");
    (void)printf("data: %s before, %s after, %.2f s\n", text_of_size(a, sizeof a, before),
                 text_of_size(b, sizeof b, after), (double)ms / 1000);
    return EXIT_FINE;
}

int cmd_compact(const struct options *o)
{
    struct store *store = NULL;
    struct fault fault = { "" };
    uint64_t before = 0, after = 0, start_ms = clock_mono_ms();
    int code;
    enum err err = open_any(&store, o->dir, &fault);
    if (err == ERR_LOCKED)
        return tool_fail(EXIT_USAGE, "%s is in use by a running daemon; send it SIGUSR1 instead", o->dir);
    if (err == ERR_NOTFOUND)
        return tool_fail(EXIT_USAGE, "%s (see azoth --help)", fault_text(&fault, err));
    if (err != OK)
        return tool_fail(EXIT_USAGE, "cannot open the store in %s: %s", o->dir, fault_text(&fault, err));
    err = store_compact(store, &before, &after, &fault);
    if (err == ERR_FULL)
        code = tool_fail(EXIT_USAGE, "no room for the compacted copy beside the data (%s); nothing changed",
                         fault_text(&fault, err));
    else if (err == ERR_BAD)
        code = tool_fail(EXIT_DATA, "%s; nothing changed, see azoth verify", fault_text(&fault, err));
    else if (err != OK)
        code = tool_fail(EXIT_USAGE, "cannot compact %s: %s; nothing changed", o->dir, fault_text(&fault, err));
    else
        code = report(o, before, after, clock_mono_ms() - start_ms);
    store_close(store);
    return tool_done(code);
}
