/* Requests to PowerDNS's API below its server's path: a byte for the method, then path, query and body, the first two ended by a
 * line feed. They meet a source with one zone, and plans a zone of rows in memory: whatever comes, there is a whole reply or a
 * change, and a plan that is run leaves rows that are in the zone, and no CNAME beside other data. */
#include "tests/fuzz/fuzz.h"

#include <sodium.h>
#include <stdlib.h>

#include "builder/pdns.h"
#include "builder/recordbook.h"
#include "tests/unit/draft_model.h"
#include "tests/util_folder.h"

#define MUST(what) do { if (!(what)) abort(); } while (0)
#define BASE "/api/v1/servers/localhost"
#define SETTINGS "{\"kind\":\"native\",\"serial_policy\":\"date\",\"pdns\":{\"soa_edit_api\":\"DEFAULT\",\"metadata\":{\"X-A\":[\"b\"]}}}"

/* --- what a draft has beside the model's rows ------------------------------------------------------------------------------ */
static struct zone_settings settings;

const struct zone_settings *draft_settings(const struct draft *d) { (void)d; return &settings; }
uint32_t draft_serial(const struct draft *d) { (void)d; return 7; }
uint64_t draft_now_s(const struct draft *d) { (void)d; return 1700000000; }

enum err draft_row(struct draft *d, struct bytes owner, uint16_t type, uint16_t covers, struct row *out, struct fault *fault)
{
    (void)fault;
    for (size_t i = 0; i < d->n; i++)
        if (d->rows[i].type == type && d->rows[i].covers == covers && name_equal(d->rows[i].owner, owner)) {
            *out = d->rows[i];
            out->comments_n = 0;                /* the model counts them only */
            return OK;
        }
    return ERR_NOTFOUND;
}

enum err draft_settings_set(struct draft *d, const struct zone_settings *s, struct fault *fault)
{
    struct bytes text;
    enum err err = settings_text(s, draft_arena(d), &text);
    struct zone_settings again;
    settings_init(&again, ZONE_NATIVE);
    if (err == OK)                              /* what the API lets pass is what a row can say */
        MUST(settings_read(text, draft_arena(d), &again, fault) == OK && again.kind == ZONE_NATIVE);
    settings_release(&again);
    return err;
}

/* --- the zone ---------------------------------------------------------------------------------------------------------------- */
static const struct { const char *owner; uint16_t type; const char *rdata; size_t len; } rows[] = {
    { "z.", TYPE_SOA, "\0\0\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1", 22 }, { "z.", TYPE_NS, "\1n\1z", 5 },
    { "n.z.", TYPE_A, "\300\0\2\1", 4 }, { "c.z.", TYPE_CNAME, "\1n\1z", 5 }, { "t.z.", TYPE_TXT, "\3a;\"", 4 },
};

static struct row row_of(size_t i, struct name *n, struct row_rr *rr)
{
    MUST(name_from_text(bytes_of_text(rows[i].owner), bytes_of(NULL, 0), n) == OK);
    *rr = (struct row_rr){ bytes_of(rows[i].rdata, rows[i].len), false };
    return (struct row){ .owner = name_bytes(n), .type = rows[i].type, .ttl = 300, .modified_s = 1, .rr = rr, .n = 1 };
}

static void zone_put(struct source *s)
{
    struct zone_row z = { .settings = bytes_of_text(SETTINGS) };
    struct source_txn *t;
    MUST(source_begin(s, SOURCE_WRITE, &t, NULL) == OK && source_fresh_id(t, &z.id, NULL) == OK);
    MUST(name_from_text(bytes_of_text("z."), bytes_of(NULL, 0), &z.apex) == OK && source_zone_put(t, &z, NULL) == OK);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct name n;
        struct row_rr rr;
        struct row row = row_of(i, &n, &rr);
        MUST(source_row_put(t, z.id, &row, NULL) == OK);
    }
    MUST(source_commit(t, NULL) == OK);
}

static struct draft *draft_of_zone(void)
{
    struct draft *d = model_new("z.");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct name n;
        struct row_rr rr;
        struct row row = row_of(i, &n, &rr);
        MUST(draft_set(d, &row, NULL) == OK);
    }
    return d;
}

static bool is_live(const struct row *row)
{
    for (size_t i = 0; i < row->n; i++)
        if (!row->rr[i].disabled)
            return true;
    return false;
}

static void check_draft(const struct draft *d)
{
    for (size_t i = 0; i < d->n; i++) {
        const struct row *r = &d->rows[i];
        MUST(name_under(r->owner, name_bytes(&d->apex)) && !rrtype_is_meta(r->type) && r->ttl <= 0x7fffffff);
        for (size_t k = 0; r->type == TYPE_CNAME && is_live(r) && k < d->n; k++)
            MUST(k == i || !name_equal(d->rows[k].owner, r->owner) || rrtype_beside_cname(d->rows[k].type) || !is_live(&d->rows[k]));
    }
}

/* --- a request ----------------------------------------------------------------------------------------------------------------- */
struct bed { struct store *store; char store_dir[PATH_MAX], dir[PATH_MAX]; struct source *source; struct view *view; struct api_keys *keys; };

static struct bed *bed;

static void bed_end(void)
{
    view_close(bed->view);
    store_close(bed->store);
    remove_tree(bed->store_dir);
    source_close(bed->source);
    remove_tree(bed->dir);
    api_keys_free(bed->keys);
    settings_release(&settings);
    free(bed);
}

static void bed_make(void)
{
    struct recordbook_options o = { .volatile_data = true };
    bed = calloc(1, sizeof *bed);
    MUST(bed != NULL && sodium_init() >= 0 && api_keys_parse(&bed->keys, "f", bytes_of_text("a-key-of-the-test"), NULL) == OK);
    settings_init(&settings, ZONE_NATIVE);
    tmp_folder(bed->dir);
    o.dir = bed->dir;
    MUST(recordbook_open(&bed->source, &o, NULL) == OK);
    zone_put(bed->source);
    tmp_folder(bed->store_dir);
    const struct store_options so = { .dir = bed->store_dir, .mode = STORE_CREATE, .role = STORE_CORE, .map_size = (uint64_t)1 << 24,
                                      .volatile_data = true };
    MUST(store_open(&bed->store, &so, NULL) == OK && view_open(bed->store, &bed->view, NULL) == OK && atexit(bed_end) == 0);
}

static enum api_next work(struct api_call *c)
{
    static const atomic_bool stop = false;
    const struct api_work w = { .source = bed->source, .view = bed->view, .now_s = 1700000000, .stop = &stop };
    MUST(view_begin(bed->view) == OK);
    enum api_next next = c->work(c, &w);
    view_end(bed->view);
    return next;
}

static enum api_next make_change(struct api_call *c)
{
    struct change *change = c->change;
    struct draft *d = draft_of_zone();
    struct change_result *r = &change->result;
    r->end = CHANGE_DONE;
    if (change->kind == CHANGE_EDIT)
        r->err = change->plan(change->arg, d, &r->fault);
    if (r->err == OK)
        check_draft(d);
    else
        r->end = CHANGE_REFUSED;
    if (change->kind == CHANGE_CREATE)          /* it is not made here, so that its reply finds none */
        r->end = CHANGE_REFUSED, r->err = ERR_EXISTS;
    model_free(d);
    return c->finish(c);
}

static char *line_of(struct rd *r, const char *before)
{
    const uint8_t *from = r->p, *end = r->p < r->end ? memchr(from, '\n', (size_t)(r->end - from)) : NULL;
    size_t len = end != NULL ? (size_t)(end - from) : (size_t)(r->end - from);
    char *text = calloc(1, strlen(before) + len + 1);
    (void)rd_take(r, len + (end != NULL));
    MUST(text != NULL);
    memcpy(text, before, strlen(before));
    memcpy(text + strlen(before), from, len);
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum api_method methods[] = { API_GET, API_PUT, API_DELETE, API_POST, API_PATCH, API_OPTIONS, API_OTHER };
    struct rd r = rd_over(bytes_of(data, size));
    struct api_request request = { .key = "a-key-of-the-test" };
    struct api_call call;
    if (bed == NULL)
        bed_make();
    request.method = methods[rd_u8(&r) % (sizeof methods / sizeof methods[0])];
    if (r.bad)
        return 0;
    char *path = line_of(&r, BASE), *query = line_of(&r, "");
    request.path = path;
    request.query = query;
    request.body = rd_take(&r, rd_left(&r));
    enum api_next next = api_begin(&call, &request, bed->keys);
    for (unsigned steps = 0; next != API_REPLY; steps++) {
        MUST(steps < 8 && (next == API_WORK || next == API_CHANGE));
        next = next == API_WORK ? work(&call) : make_change(&call);
    }
    MUST(call.reply.status >= 200 && call.reply.status < 600 && (call.reply.status != 500 || call.reply.body.len > 0));
    api_call_release(&call);
    free(path);
    free(query);
    return 0;
}
