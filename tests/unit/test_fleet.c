/* The fleet: whose receipts are taken, who is away, who has what, what the API tells of it. */
#include "tests/unit/receipt_bed.h"

#include "builder/api.h"
#include "tests/unit/replicator_dir.h"

#define S ((uint64_t)1000000)
#define START (100 * S)

struct bed { char dir[256]; struct nodes *nodes; struct fleet *fleet; uint64_t now; };

static void list_put(const struct bed *b, const char *name, unsigned key)
{
    char path[400], line[128];
    struct node_key k = bed_key(key);
    (void)snprintf(path, sizeof path, "%s/%s.pub", b->dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    (void)fprintf(f, "%s\n", node_pub_text(line, sizeof line, k.pub));
    (void)fclose(f);
}
static void list_drop(const struct bed *b, const char *name)
{
    char path[400];
    (void)snprintf(path, sizeof path, "%s/%s.pub", b->dir, name);
    assert_int_equal(remove(path), 0);
}
static void list_read(struct bed *b)
{
    struct nodes *old = b->nodes;
    struct fault fault = { "" };
    if (nodes_open(&b->nodes, b->dir, &fault) != OK)
        fail_msg("%s", fault.text);
    assert_int_equal(fleet_list(b->fleet, b->nodes), OK);
    nodes_close(old);
}
/* Nodes a, b, c with keys 1, 2, 3; a second past the time in which the fleet settles. */
static void bed_open(struct bed *b)
{
    *b = (struct bed){ .now = START };
    dir_make(b->dir, sizeof b->dir, "fleet");
    assert_int_equal(fleet_open(&b->fleet, bed_cluster, b->now), OK);
    list_put(b, "b", 2);
    list_put(b, "a", 1);
    list_put(b, "c", 3);
    list_read(b);
    b->now += FLEET_SETTLE_MS * 1000 + S;
}
static void bed_close(struct bed *b)
{
    fleet_close(b->fleet);
    nodes_close(b->nodes);
    dir_remove(b->dir);
}
static enum err give(struct bed *b, const struct receipt *r, unsigned key)
{
    struct node_key k = bed_key(key);
    struct bytes msg = bed_message(r, &k);
    enum err err = fleet_take(b->fleet, msg, b->now, b->now / 1000);
    bytes_free(msg);
    return err;
}
static enum err heard(struct bed *b, const char *node, uint64_t counter, uint64_t epoch, uint64_t seq)
{
    struct receipt r = bed_receipt(node, counter, epoch, seq);
    return give(b, &r, (unsigned)(node[0] - 'a') + 1);
}
static void commit(struct bed *b, uint64_t epoch, uint64_t seq)
{
    struct head h = { .epoch = epoch, .seq = seq };
    h.digest[0] = (uint8_t)seq;                 /* as bed_receipt has it */
    fleet_committed(b->fleet, &h, b->now);
}
static struct fleet_node node(const struct bed *b, size_t i)
{
    struct fleet_node n;
    fleet_node(b->fleet, i, b->now, &n);
    return n;
}

/* --- receipts ------------------------------------------------------------------------------------------------------ */
static void what_is_taken(void **state)
{
    struct bed b;
    struct receipt r;
    (void)state;
    bed_open(&b);
    assert_int_equal(heard(&b, "a", 5, 1, 7), OK);
    assert_true(fleet_moved(b.fleet) && !fleet_moved(b.fleet));
    assert_int_equal(heard(&b, "a", 5, 1, 7), ERR_EXISTS);          /* replayed */
    assert_int_equal(heard(&b, "a", 4, 1, 6), ERR_EXISTS);
    assert_int_equal(heard(&b, "a", 6, 1, 7), OK);
    assert_false(fleet_moved(b.fleet));
    r = bed_receipt("a", 7, 1, 8);
    assert_int_equal(give(&b, &r, 2), ERR_SIGNATURE);               /* b signs in the name of a */
    assert_int_equal(heard(&b, "d", 1, 1, 1), ERR_NOTFOUND);
    r = bed_receipt("b", 1, 1, 1);
    r.cluster[0] ^= 1;
    assert_int_equal(give(&b, &r, 2), ERR_CLUSTER);
    assert_int_equal(fleet_take(b.fleet, bytes_of_text("x"), b.now, 1), ERR_BAD);
    assert_int_equal(fleet_take(b.fleet, bytes_of_text(""), b.now, 1), ERR_SHORT);
    struct fleet_node n = node(&b, 0);
    assert_string_equal(n.name, "a");
    assert_true(n.ever && !n.away && n.epoch == 1 && n.seq == 7 && n.receipts == 2 && n.qps == 9 && n.uptime_s == 5);
    assert_string_equal(n.parent, "core");
    assert_string_equal(n.version, "1.0");
    assert_false(node(&b, 1).ever);
    bed_close(&b);
}

/* A node that started anew has another boot number: what counts is the later head; a recorded receipt cannot undo it. */
static void boots(void **state)
{
    static const struct { const char *why; uint64_t boot, counter, time_ms, seq; enum err want; } rows[] = {
        { "the first",                          1, 100, 5000, 9,  OK },
        { "started anew, has heard no head yet", 2, 1,  0,    9,  ERR_EXISTS },
        { "has heard one",                      2, 2,   6000, 3,  OK },
        { "the old boot's, recorded",           1, 101, 5900, 10, ERR_EXISTS },
        { "goes on, heads stand still",         2, 3,   6000, 4,  OK },
        { "goes on, its head is of long ago",   2, 4,   1,    4,  OK },
        { "the old boot's, a later head",       1, 102, 2,    10, OK },
    };
    struct bed b;
    (void)state;
    bed_open(&b);
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct receipt r = bed_receipt("a", rows[i].counter, 1, rows[i].seq);
        r.boot = rows[i].boot;
        r.head_time_ms = rows[i].time_ms;
        enum err err = give(&b, &r, 1);
        if (err != rows[i].want)
            fail_msg("%s: '%s'", rows[i].why, err_text(err));
    }
    bed_close(&b);
}

static void rates(void **state)
{
    struct bed b;
    unsigned taken = 0, forged = 0;
    (void)state;
    bed_open(&b);
    for (unsigned i = 1; i <= 100; i++)
        taken += heard(&b, "a", i, 1, i) == OK;
    assert_int_equal(taken, RECEIPT_RATE + 1);              /* the first one is a new boot's */
    assert_int_equal(heard(&b, "b", 1, 1, 1), OK);
    for (unsigned i = 0; i < 2 * FLEET_NEW_RATE; i++) {     /* in the name of b, by somebody who does not know its boot */
        struct receipt r = bed_receipt("b", 1, 1, 1);
        r.boot = 77 + i;
        r.head_time_ms = INT64_MAX;
        forged += give(&b, &r, 3) == ERR_SIGNATURE;
    }
    assert_in_range(forged, FLEET_NEW_RATE - 3, FLEET_NEW_RATE);
    assert_int_equal(heard(&b, "c", 1, 1, 1), ERR_LIMIT);   /* a new one has to wait */
    assert_int_equal(heard(&b, "b", 2, 1, 2), OK);          /* a known one has not */
    b.now += S;
    assert_int_equal(heard(&b, "c", 1, 1, 1), OK);
    assert_int_equal(heard(&b, "a", 200, 1, 200), OK);
    bed_close(&b);
}

/* --- the list ------------------------------------------------------------------------------------------------------ */
static void lists(void **state)
{
    struct bed b;
    (void)state;
    bed_open(&b);
    for (const char *p = "abc"; *p != '\0'; p++)
        assert_int_equal(heard(&b, (char[]){ *p, '\0' }, 5, 1, 7), OK);
    list_drop(&b, "b");
    list_put(&b, "c", 9);                       /* another machine of that name */
    list_put(&b, "aa", 4);
    list_read(&b);
    assert_int_equal(fleet_count(b.fleet), 3);
    static const struct { const char *name; bool ever; } want[] = { { "a", true }, { "aa", false }, { "c", false } };
    for (size_t i = 0; i < ROWS(want); i++) {
        struct fleet_node n = node(&b, i);
        assert_string_equal(n.name, want[i].name);
        assert_int_equal(n.ever, want[i].ever);
    }
    assert_string_equal(node(&b, 0).parent, "core");
    assert_int_equal(heard(&b, "b", 6, 1, 8), ERR_NOTFOUND);
    assert_int_equal(heard(&b, "c", 6, 1, 8), ERR_SIGNATURE);
    assert_int_equal(heard(&b, "a", 6, 1, 8), OK);
    assert_int_equal(fleet_list(b.fleet, NULL), OK);
    assert_int_equal(fleet_count(b.fleet), 0);
    bed_close(&b);
}

/* --- commits ------------------------------------------------------------------------------------------------------- */
static void digests_and_lag(void **state)
{
    struct bed b;
    struct receipt r;
    (void)state;
    bed_open(&b);
    fleet_committed(b.fleet, &(struct head){ .epoch = 1, .seq = 4, .digest = { 4 } }, 0);   /* as it was at the start */
    commit(&b, 1, 5);
    b.now += 2 * S;
    commit(&b, 1, 9);
    b.now += S;
    assert_int_equal(heard(&b, "a", 1, 1, 4), OK);
    struct fleet_node n = node(&b, 0);
    assert_true(n.digest_known && n.digest_ok && n.lag_records == 5 && n.lag_ms == 3000);
    assert_int_equal(heard(&b, "a", 2, 1, 5), OK);
    n = node(&b, 0);
    assert_true(n.digest_known && n.digest_ok && n.lag_records == 4 && n.lag_ms == 1000);
    assert_int_equal(heard(&b, "a", 3, 1, 9), OK);
    n = node(&b, 0);
    assert_true(n.digest_known && n.digest_ok && n.lag_records == 0 && n.lag_ms == 0);
    r = bed_receipt("b", 1, 1, 9);
    r.digest[5] ^= 1;
    assert_int_equal(give(&b, &r, 2), OK);
    assert_true(node(&b, 1).digest_known && !node(&b, 1).digest_ok);
    assert_int_equal(heard(&b, "c", 1, 1, 3), OK);          /* from before the core's start */
    n = node(&b, 2);
    assert_true(!n.digest_known && n.lag_records == 6 && n.lag_ms == (b.now - START) / 1000);
    bed_close(&b);
}

/* Epochs: a position of a later one is further, whatever its seq; what a restore undid is no more. */
static void epochs(void **state)
{
    struct bed b;
    struct fleet_has has;
    uint64_t epoch, seq;
    (void)state;
    bed_open(&b);
    assert_false(fleet_newest(b.fleet, &epoch, &seq));
    commit(&b, 1, 10);
    commit(&b, 2, 6);
    assert_true(fleet_newest(b.fleet, &epoch, &seq) && epoch == 2 && seq == 6);
    assert_int_equal(heard(&b, "a", 1, 2, 6), OK);
    assert_int_equal(heard(&b, "b", 1, 1, 10), OK);
    fleet_has(b.fleet, 1, 10, false, b.now, &has);
    assert_true(has.nodes == 2 && has.have == 2 && has.known);
    fleet_has(b.fleet, 2, 6, false, b.now, &has);
    assert_true(has.nodes == 2 && has.have == 1 && has.known);
    fleet_has(b.fleet, 2, 7, false, b.now, &has);
    assert_true(has.nodes == 2 && has.have == 0 && !has.known);
    assert_int_equal(node(&b, 1).lag_records, 0);
    commit(&b, 1, 8);                           /* a history that took the place of what was behind it */
    assert_true(fleet_newest(b.fleet, &epoch, &seq) && epoch == 1 && seq == 8);
    fleet_has(b.fleet, 1, 10, false, b.now, &has);
    assert_false(has.known);
    bed_close(&b);
}

static void ring_wraps(void **state)
{
    struct bed b;
    struct fleet_has has;
    (void)state;
    bed_open(&b);
    for (uint64_t i = 1; i <= FLEET_RING + 100; i++, b.now += 10)
        commit(&b, 1, 3 * i);
    static const struct { uint64_t seq; bool known; } rows[] = {
        { 3, false }, { 300, false }, { 303, true }, { 304, false }, { 3 * 40000, true }, { 3 * (FLEET_RING + 100), true },
        { 3 * (FLEET_RING + 100) + 1, false },
    };
    for (size_t i = 0; i < ROWS(rows); i++) {
        fleet_has(b.fleet, 1, rows[i].seq, false, b.now, &has);
        if (has.known != rows[i].known)
            fail_msg("seq %lu: known %d", (unsigned long)rows[i].seq, has.known);
    }
    assert_int_equal(heard(&b, "a", 1, 1, 3), OK);              /* older than all */
    assert_int_equal(node(&b, 0).lag_ms, FLEET_RING * 10 / 1000);
    bed_close(&b);
}

/* --- propagation --------------------------------------------------------------------------------------------------- */
static void propagation(void **state)
{
    struct bed b;
    struct receipt r;
    (void)state;
    bed_open(&b);
    commit(&b, 1, 5);
    b.now += 700;
    assert_int_equal(heard(&b, "a", 1, 1, 5), OK);          /* the first one: who knows since when it has it */
    assert_int_equal(node(&b, 0).propagation_us, 0);
    static const struct { uint64_t us, held_us; size_t bucket; } rows[] = {
        { 500, 0, 0 }, { 501, 0, 1 }, { 40900, 40000, 1 }, { 20000, 0, 5 }, { 100, 5000, 0 }, { 29999999, 0, 14 },
        { 30000001, 0, 15 }, { 45 * S, S, 15 },
    };
    for (size_t i = 0; i < ROWS(rows); i++) {
        uint64_t before = node(&b, 0).propagation[rows[i].bucket];
        commit(&b, 1, 6 + i);
        b.now += rows[i].us;
        r = bed_receipt("a", 2 + i, 1, 6 + i);
        r.held_us = rows[i].held_us;
        assert_int_equal(give(&b, &r, 1), OK);
        if (node(&b, 0).propagation[rows[i].bucket] != before + 1)
            fail_msg("row %zu: %lu us", i, (unsigned long)node(&b, 0).propagation_us);
    }
    uint64_t sum = node(&b, 0).propagation_sum_us;
    assert_int_equal(heard(&b, "a", 20, 1, 5 + ROWS(rows)), OK);        /* has it still */
    assert_int_equal(heard(&b, "a", 21, 1, 5), OK);                     /* went back */
    assert_int_equal(node(&b, 0).propagation_sum_us, sum);
    bed_close(&b);
}

static uint64_t metric(const struct stat_page *p, const char *line)
{
    const char *at = strstr(p->text, line);
    if (at == NULL)
        fail_msg("no line '%s' in\n%s", line, p->text);
    return strtoull(at + strlen(line), NULL, 10);
}

static void metrics(void **state)
{
    struct bed b;
    struct stat_page p;
    (void)state;
    bed_open(&b);
    assert_int_equal(heard(&b, "a", 1, 1, 1), OK);
    assert_int_equal(heard(&b, "b", 1, 1, 1), OK);
    assert_int_equal(heard(&b, "b", 1, 1, 1), ERR_EXISTS);
    commit(&b, 1, 2);
    b.now += 1500;
    assert_int_equal(heard(&b, "a", 2, 1, 2), OK);
    b.now += 1500;
    assert_int_equal(heard(&b, "b", 2, 1, 2), OK);
    stat_page_init(&p);
    fleet_metrics(b.fleet, b.now + (FLEET_HEARD_MS - 1) * 1000, &p);
    assert_int_equal(metric(&p, "azoth_fleet_nodes{state=\"live\"} "), 1);
    assert_int_equal(metric(&p, "azoth_fleet_nodes{state=\"away\"} "), 1);
    assert_int_equal(metric(&p, "azoth_fleet_nodes{state=\"never\"} "), 1);
    assert_int_equal(metric(&p, "azoth_fleet_receipts_total{result=\"taken\"} "), 4);
    assert_int_equal(metric(&p, "azoth_fleet_receipts_total{result=\"old\"} "), 1);
    assert_int_equal(metric(&p, "azoth_propagation_seconds_bucket{le=\"0.001\"} "), 0);
    assert_int_equal(metric(&p, "azoth_propagation_seconds_bucket{le=\"0.002\"} "), 1);
    assert_int_equal(metric(&p, "azoth_propagation_seconds_bucket{le=\"0.005\"} "), 2);
    assert_int_equal(metric(&p, "azoth_propagation_seconds_bucket{le=\"+Inf\"} "), 2);
    assert_int_equal(metric(&p, "azoth_propagation_seconds_count "), 2);
    assert_int_equal(metric(&p, "azoth_node_propagation_seconds_bucket{node=\"b\",le=\"0.002\"} "), 0);
    assert_int_equal(metric(&p, "azoth_node_propagation_seconds_count{node=\"b\"} "), 1);
    assert_int_equal(metric(&p, "azoth_node_seq{node=\"a\"} "), 2);
    assert_non_null(strstr(p.text, "azoth_propagation_seconds_sum 0.004500\n"));
    stat_page_release(&p);
    bed_close(&b);
}

/* --- who has it ---------------------------------------------------------------------------------------------------- */
static void quorums(void **state)
{
    static const struct { size_t nodes; unsigned percent; size_t need; } rows[] = {
        { 0, 100, 1 }, { 0, 1, 1 }, { 0, 0, 0 }, { 7, 0, 0 }, { 1, 1, 1 }, { 1, 100, 1 }, { 3, 50, 2 }, { 3, 66, 2 },
        { 3, 67, 3 }, { 4, 50, 2 }, { 100, 99, 99 }, { 1000, 1, 10 }, { 1001, 1, 11 }, { 100000, 100, 100000 },
        { SIZE_MAX, 100, SIZE_MAX },
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++)
        if (fleet_quorum(rows[i].nodes, rows[i].percent) != rows[i].need)
            fail_msg("%u %% of %zu: %zu", rows[i].percent, rows[i].nodes, fleet_quorum(rows[i].nodes, rows[i].percent));
}

static void who_counts(void **state)
{
    struct bed b;
    struct fleet_has has;
    (void)state;
    bed_open(&b);
    assert_int_equal(heard(&b, "a", 1, 1, 5), OK);
    b.now += (FLEET_HEARD_MS - 1) * 1000;
    assert_int_equal(heard(&b, "b", 1, 1, 6), OK);
    fleet_has(b.fleet, 1, 6, false, b.now, &has);
    assert_true(has.nodes == 2 && has.have == 1);
    b.now += 1000;                                          /* now a is away */
    assert_true(node(&b, 0).away && !node(&b, 1).away && node(&b, 0).heard_ms == FLEET_HEARD_MS);
    assert_string_equal(fleet_node_state(&(struct fleet_node){ .ever = false, .away = true }), "never");
    struct fleet_node a = node(&b, 0);
    assert_string_equal(fleet_node_state(&a), "away");
    fleet_has(b.fleet, 1, 6, false, b.now, &has);
    assert_true(has.nodes == 1 && has.have == 1);
    fleet_has(b.fleet, 1, 6, true, b.now, &has);
    assert_true(has.nodes == 3 && has.have == 1);
    fleet_has(b.fleet, 1, 0, true, b.now, &has);            /* who was never heard has nothing, not even nothing */
    assert_true(has.nodes == 3 && has.have == 2);
    fleet_has(b.fleet, 0, 0, true, b.now, &has);
    assert_true(has.nodes == 3 && has.have == 2);
    assert_int_equal(heard(&b, "a", 2, 1, 6), OK);
    fleet_has(b.fleet, 1, 6, false, b.now, &has);
    assert_true(has.nodes == 2 && has.have == 2);
    bed_close(&b);
}

/* Each turn is told once, and the first sign of life is none. */
static void comings_and_goings(void **state)
{
    struct bed b;
    (void)state;
    bed_open(&b);
    assert_int_equal(fleet_turn(b.fleet, 0, b.now), FLEET_SAME);
    assert_int_equal(heard(&b, "a", 1, 1, 5), OK);
    assert_int_equal(fleet_turn(b.fleet, 0, b.now), FLEET_SAME);
    b.now += FLEET_HEARD_MS * 1000;
    assert_int_equal(fleet_turn(b.fleet, 0, b.now), FLEET_WENT);
    assert_int_equal(fleet_turn(b.fleet, 0, b.now + S), FLEET_SAME);
    list_drop(&b, "c");                                     /* another list: what was told of a stays told */
    list_read(&b);
    assert_int_equal(fleet_turn(b.fleet, 0, b.now + S), FLEET_SAME);
    assert_int_equal(heard(&b, "a", 2, 1, 5), OK);
    assert_int_equal(fleet_turn(b.fleet, 0, b.now), FLEET_CAME);
    assert_int_equal(fleet_turn(b.fleet, 0, b.now), FLEET_SAME);
    assert_int_equal(fleet_turn(b.fleet, 1, b.now), FLEET_SAME);    /* never heard */
    bed_close(&b);
}

/* Right behind the start nobody was heard yet, which does not mean that nobody is there. */
static void settling(void **state)
{
    struct bed b;
    struct fleet_has has;
    (void)state;
    bed_open(&b);
    b.now = START;
    assert_int_equal(heard(&b, "a", 1, 1, 5), OK);
    fleet_has(b.fleet, 1, 5, false, b.now, &has);
    assert_true(has.nodes == 3 && has.have == 1);
    b.now = START + FLEET_SETTLE_MS * 1000;
    fleet_has(b.fleet, 1, 5, false, b.now, &has);
    assert_true(has.nodes == 1 && has.have == 1);
    bed_close(&b);
}

/* --- the API ------------------------------------------------------------------------------------------------------- */
/* From request to reply; NULL: it waits. owned by caller (free). */
static char *ask(struct bed *b, enum api_method method, const char *path, const char *query, const char *body, bool last,
                 int *status)
{
    struct api_keys *keys;
    struct api_call c;
    struct fault fault;
    struct api_request r = { .method = method, .path = path, .query = query, .key = "key-to-read",
                             .body = bytes_of_text(body) };
    bool done = true;
    if (method == API_POST)
        r.key = "key-to-write";
    assert_int_equal(api_keys_parse(&keys, "f", bytes_of_text("key-to-write\nkey-to-read ro\n"), &fault), OK);
    switch (api_begin(&c, &r, keys)) {
    case API_FLEET: api_fleet(&c, b->fleet, b->now); break;
    case API_CHANGES: done = api_changes(&c, b->fleet, b->now, last); break;
    case API_ORDER:
        api_ordered(&c, &(struct api_ordered){ .err = OK, .epoch = 7, .seq = 8, .key_id = 0xabc });
        break;
    case API_REPLY: break;
    default: fail_msg("%s: not for the fleet", path);
    }
    *status = c.reply.status;
    char *text = done ? strndup((const char *)c.reply.body.ptr, c.reply.body.len) : NULL;
    if (text != NULL) {
        json_t *v = json_loads(text, 0, NULL);
        if (v == NULL)
            fail_msg("%s: no JSON: %s", path, text);
        json_decref(v);
    }
    api_call_release(&c);
    api_keys_free(keys);
    return text;
}

static void api_targets(void **state)
{
    static const struct { enum api_method method; const char *path, *query, *body; int status; const char *want; } rows[] = {
        { API_GET,  "/v1/fleet", NULL, "", 200, "{\"epoch\":1,\"seq\":9,\"nodes\":[{\"node\":\"a\",\"parent\":\"core\",\"cohort\":\"all\"," },
        { API_GET,  "/v1/fleet", NULL, "", 200, "\"state\":\"live\",\"away\":false,\"epoch\":1,\"seq\":9,\"lag_records\":0,\"lag_ms\":0,\"digest_ok\":true," },
        { API_GET,  "/v1/fleet", NULL, "", 200, "\"version\":\"1.0\",\"uptime_s\":5,\"qps\":9,\"heard_ms_ago\":1000,\"last_heard\":\"1970-01-01T00:02:22.000Z\"" },
        { API_GET,  "/v1/fleet", NULL, "", 200, "\"state\":\"away\"" },
        { API_GET,  "/v1/fleet", NULL, "", 200, "\"heard_ms_ago\":null,\"last_heard\":null}]}" },
        { API_GET,  "/v1/fleet", "x=1", "", 400, "unknown parameter" },
        { API_GET,  "/v1/fleet/a", NULL, "", 404, "no such path" },
        { API_POST, "/v1/fleet", NULL, "", 405, "GET" },
        { API_GET,  "/v1/changes/9", NULL, "", 200, "{\"epoch\":1,\"seq\":9,\"known\":true,\"nodes\":1,\"have\":1,\"need\":1,\"missing\":[],\"absent\":[\"b\",\"c\"],\"done\":true}" },
        { API_GET,  "/v1/changes/9", "all=1", "", 200, "\"nodes\":3,\"have\":1,\"need\":3,\"missing\":[\"b\",\"c\"],\"absent\":[],\"done\":false}" },
        { API_GET,  "/v1/changes/9", "all=1&quorum=33", "", 200, "\"need\":1," },
        { API_GET,  "/v1/changes/9", "all=1&quorum=34%25", "", 200, "\"need\":2," },
        { API_GET,  "/v1/changes/9", "epoch=2", "", 200, "{\"epoch\":2,\"seq\":9,\"known\":false,\"nodes\":1,\"have\":0,\"need\":1,\"missing\":[\"a\"]" },
        { API_GET,  "/v1/changes/10", NULL, "", 200, "\"known\":false" },
        { API_GET,  "/v1/changes/8", "quorum=0", "", 200, "\"done\":true" },
        { API_GET,  "/v1/changes/9", "wait=60s", "", 200, "\"done\":true" },
        { API_GET,  "/v1/changes/9", "wait=61s", "", 400, "wait is a time up to 60 s" },
        { API_GET,  "/v1/changes/9", "wait=soon", "", 400, "wait is" },
        { API_GET,  "/v1/changes/9", "quorum=101", "", 400, "quorum is" },
        { API_GET,  "/v1/changes/9", "quorum=", "", 400, "quorum is" },
        { API_GET,  "/v1/changes/9", "quorum=%25", "", 400, "quorum is" },
        { API_GET,  "/v1/changes/9", "quorum=000000000100", "", 400, "quorum is" },
        { API_GET,  "/v1/changes/9", "all=maybe", "", 400, "all is" },
        { API_GET,  "/v1/changes/9", "epoch=0", "", 400, "epoch is" },
        { API_GET,  "/v1/changes/9", "epoch=1&epoch=1", "", 400, "given twice" },
        { API_GET,  "/v1/changes/", NULL, "", 400, "/v1/changes/SEQ" },
        { API_GET,  "/v1/changes/1.9", NULL, "", 400, "/v1/changes/SEQ" },
        { API_GET,  "/v1/changes/9223372036854775808", NULL, "", 400, "/v1/changes/SEQ" },
        { API_GET,  "/v1/changes", NULL, "", 404, "no such path" },
        { API_POST, "/v1/changes/9", NULL, "", 405, "GET" },
        { API_POST, "/v1/cluster/raise-epoch", NULL, "", 200, "{\"epoch\":7,\"seq\":8}" },
        { API_POST, "/v1/cluster/rotate-key", NULL, "", 200, "{\"key_id\":\"0000000000000abc\"}" },
        { API_POST, "/v1/cluster/rotate-key", "x=1", "", 400, "unknown parameter" },
        { API_POST, "/v1/cluster/rotate-key", NULL, "{}", 400, "no body" },
        { API_GET,  "/v1/cluster/rotate-key", NULL, "", 405, "POST" },
        { API_PUT,  "/v1/cluster/rotate-key", NULL, "", 403, "read only" },
        { API_POST, "/v1/cluster", NULL, "", 404, "no such path" },
        { API_POST, "/v1/cluster/destroy", NULL, "", 404, "no such path" },
    };
    struct bed b;
    int status;
    (void)state;
    bed_open(&b);
    commit(&b, 1, 9);
    assert_int_equal(heard(&b, "b", 1, 1, 8), OK);
    b.now += 31 * S;
    assert_int_equal(heard(&b, "a", 1, 1, 9), OK);
    b.now += S;
    for (size_t i = 0; i < ROWS(rows); i++) {
        char *text = ask(&b, rows[i].method, rows[i].path, rows[i].query, rows[i].body, true, &status);
        if (status != rows[i].status || text == NULL || strstr(text, rows[i].want) == NULL)
            fail_msg("%s?%s: %d %s, not %d %s", rows[i].path, rows[i].query, status, text, rows[i].status, rows[i].want);
        free(text);
    }
    bed_close(&b);
}

/* Asked again and again until it is done. */
static void api_waits(void **state)
{
    struct bed b;
    int status;
    (void)state;
    bed_open(&b);
    commit(&b, 1, 9);
    assert_null(ask(&b, API_GET, "/v1/changes/9", "wait=5s", "", false, &status));      /* nobody was heard: nobody has it */
    assert_int_equal(heard(&b, "a", 1, 1, 9), OK);
    assert_int_equal(heard(&b, "b", 1, 1, 8), OK);
    assert_null(ask(&b, API_GET, "/v1/changes/9", "wait=5s", "", false, &status));
    char *text = ask(&b, API_GET, "/v1/changes/9", "wait=5s&quorum=50", "", false, &status);
    assert_non_null(strstr(text, "\"missing\":[\"b\"],\"absent\":[\"c\"],\"done\":true"));
    free(text);
    assert_int_equal(heard(&b, "b", 2, 1, 9), OK);
    free(ask(&b, API_GET, "/v1/changes/9", "wait=5s", "", false, &status));
    assert_int_equal(status, 200);
    assert_null(ask(&b, API_GET, "/v1/changes/10", "wait=5s", "", false, &status));     /* not committed yet */
    bed_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_taken), cmocka_unit_test(boots), cmocka_unit_test(rates), cmocka_unit_test(lists),
        cmocka_unit_test(digests_and_lag), cmocka_unit_test(epochs), cmocka_unit_test(ring_wraps),
        cmocka_unit_test(propagation), cmocka_unit_test(metrics), cmocka_unit_test(quorums), cmocka_unit_test(who_counts),
        cmocka_unit_test(settling), cmocka_unit_test(comings_and_goings), cmocka_unit_test(api_targets), cmocka_unit_test(api_waits),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
