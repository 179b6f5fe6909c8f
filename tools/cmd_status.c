/* azoth status: the fleet, as the core knows it from the nodes' receipts. */
#include "base/text.h"
#include "tools/client_json.h"

#include <inttypes.h>
#include <time.h>
#include <unistd.h>

#define WATCH_S 2
#define COLUMNS 12

const struct option_spec status_options[] = {
    OPTION("watch", NULL, OPTION_FLAG, watch, "again every 2 seconds, until interrupted"),
    OPTION_END,
};

/* --- the table ------------------------------------------------------------------------------------------------------- */
static const struct { const char *head; bool right; } columns[COLUMNS] = {
    { "NODE", false }, { "PARENT", false }, { "COHORT", false }, { "STATE", false }, { "SEQ", true }, { "LAG", true },
    { "LAG TIME", true }, { "DIGEST", false }, { "VERSION", false }, { "UP", true }, { "QPS", true }, { "HEARD", true },
};
struct row { char cell[COLUMNS][80]; };

static uint64_t number(const json_t *node, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(node, name));
}

static void text(char cell[80], const json_t *node, const char *name)
{
    const char *v = json_string_value(json_object_get(node, name));
    (void)snprintf(cell, 80, "%s", v != NULL && v[0] != '\0' ? v : "-");
}

/* 250 ms, 4.2 s, 3 m, 5 h, 12 d */
static void duration(char cell[80], uint64_t ms)
{
    static const struct { uint64_t below_s; unsigned unit_s; const char *name; } units[] = {
        { 120, 1, "s" }, { 7200, 60, "m" }, { 172800, 3600, "h" }, { UINT64_MAX, 86400, "d" },
    };
    uint64_t s = ms / 1000;
    size_t i = 0;
    while (s >= units[i].below_s)
        i++;
    if (ms < 1000)
        (void)snprintf(cell, 80, "%" PRIu64 " ms", ms);
    else if (s < 10)
        (void)snprintf(cell, 80, "%" PRIu64 ".%" PRIu64 " s", s, ms % 1000 / 100);
    else
        (void)snprintf(cell, 80, "%" PRIu64 " %s", s / units[i].unit_s, units[i].name);
}

static void digest(char cell[80], const json_t *node)
{
    const json_t *v = json_object_get(node, "digest_ok");
    (void)snprintf(cell, 80, "%s", json_is_true(v) ? "ok" : json_is_false(v) ? "WRONG" : "-");
}

static void fill(struct row *r, const json_t *node)
{
    text(r->cell[0], node, "node");
    text(r->cell[1], node, "parent");
    text(r->cell[2], node, "cohort");
    text(r->cell[3], node, "state");
    for (size_t i = 4; i < COLUMNS; i++)
        (void)snprintf(r->cell[i], sizeof r->cell[i], "-");
    if (json_is_null(json_object_get(node, "heard_ms_ago")))
        return;
    (void)snprintf(r->cell[4], sizeof r->cell[4], "%" PRIu64 ".%" PRIu64, number(node, "epoch"), number(node, "seq"));
    (void)snprintf(r->cell[5], sizeof r->cell[5], "%" PRIu64, number(node, "lag_records"));
    duration(r->cell[6], number(node, "lag_ms"));
    digest(r->cell[7], node);
    text(r->cell[8], node, "version");
    uint64_t up_s = number(node, "uptime_s");
    if (up_s < 10)                      /* whole seconds are all that a receipt tells */
        (void)snprintf(r->cell[9], sizeof r->cell[9], "%" PRIu64 " s", up_s);
    else
        duration(r->cell[9], up_s * 1000);
    (void)snprintf(r->cell[10], sizeof r->cell[10], "%" PRIu64, number(node, "qps"));
    duration(r->cell[11], number(node, "heard_ms_ago"));
}

/* Of one that is away: since when, by the clock. */
static void print_tail(const json_t *node)
{
    const char *heard = json_string_value(json_object_get(node, "last_heard"));
    if (json_is_true(json_object_get(node, "away")))
        (void)printf("  %s%s", heard != NULL ? "last heard " : "not heard since the core's start", heard != NULL ? heard : "");
    (void)putchar('\n');
}

static void widths(const json_t *nodes, int width[COLUMNS])
{
    struct row r;
    const json_t *node;
    size_t at;
    for (size_t i = 0; i < COLUMNS; i++)
        width[i] = (int)strlen(columns[i].head);
    json_array_foreach(nodes, at, node) {
        fill(&r, node);
        for (size_t i = 0; i < COLUMNS; i++)
            if ((int)strlen(r.cell[i]) > width[i])
                width[i] = (int)strlen(r.cell[i]);
    }
}

static void print_cell(size_t i, int width, const char *cell)
{
    (void)printf("%s%*s", i > 0 ? "  " : "", columns[i].right ? width : -width, cell);
}

static void print_table(const json_t *reply)
{
    const json_t *nodes = json_object_get(reply, "nodes"), *node;
    int width[COLUMNS];
    struct row r;
    size_t at, away = 0;
    widths(nodes, width);
    for (size_t i = 0; i < COLUMNS; i++)
        print_cell(i, width[i], columns[i].head);
    (void)putchar('\n');
    json_array_foreach(nodes, at, node) {
        fill(&r, node);
        for (size_t i = 0; i < COLUMNS; i++)
            print_cell(i, width[i], r.cell[i]);
        print_tail(node);
        away += json_is_true(json_object_get(node, "away"));
    }
    (void)printf("core at %" PRIu64 ".%" PRIu64 ", %zu node%s, %zu away\n", number(reply, "epoch"), number(reply, "seq"),
                 json_array_size(nodes), json_array_size(nodes) == 1 ? "" : "s", away);
}

/* --- again and again ------------------------------------------------------------------------------------------------- */
static int show(const struct options *o, bool clear)
{
    json_t *reply = NULL;
    int code = client_json_once(o, "status", CLIENT_GET, "/v1/fleet", &reply);
    if (code == EXIT_FINE && clear)
        (void)printf("\033[H\033[2J");
    if (code == EXIT_FINE && o->json)
        code = client_json_print(reply);
    else if (code == EXIT_FINE)
        print_table(reply);
    json_decref(reply);
    return tool_done(code);
}

int cmd_status(const struct options *o)
{
    const struct timespec pause = { WATCH_S, 0 };
    bool clear = o->watch && !o->json && isatty(STDOUT_FILENO) == 1;
    int code = show(o, clear);
    if (code != EXIT_FINE)
        return code;
    while (o->watch) {                  /* also while the core restarts: show said what is wrong */
        (void)nanosleep(&pause, NULL);
        if (!clear && !o->json)
            (void)putchar('\n');
        (void)show(o, clear);
        if (ferror(stdout))
            return EXIT_USAGE;
    }
    return code;
}
