/* Which zones are secondaries, and of whom: as the source says, read again when its version moved. */
#include "builder/secondary_parts.h"

#include "base/clock.h"
#include "base/log.h"
#include "builder/serial.h"
#include "dnsfront/peer.h"

#include <stdio.h>
#include <stdlib.h>

#define READ_PART 20            /* reading the list takes at most so small a part of the thread's time */
#define READ_PAUSE_MS 200
#define SOA_TIMERS 16u          /* bytes of a SOA's RDATA from its refresh time on */

static int apex_compare(const struct secondary_zone *z, struct bytes apex)
{
    return name_compare(bytes_of(z->apex, z->apex_len), apex);
}

/* --- primaries ----------------------------------------------------------------------------------------------------------- */
static enum err primary_read(const struct zone_primary *p, struct secondary_primary *out, struct fault *fault)
{
    const char *at = strchr(p->address, '@');
    char host[SECONDARY_TEXT_MAX];
    *out = (struct secondary_primary){ .key.len = 0 };
    int n = snprintf(out->text, sizeof out->text, "%s%s", p->address, at != NULL ? "" : "@53");
    (void)snprintf(host, sizeof host, "%.*s", at != NULL ? (int)(at - p->address) : (int)strlen(p->address), p->address);
    if (n < 0 || (size_t)n >= sizeof out->text)
        return fault_set(fault, ERR_BAD, "a primary's address is too long");
    enum err err = listen_parse("primaries", out->text, &out->address, fault);
    if (err == OK)
        err = net_parse(host, &out->host);
    if (err == OK && p->tsig[0] != '\0')
        err = name_from_text(bytes_of_text(p->tsig), bytes_of(NULL, 0), &out->key);
    return err;
}

static enum err primary_number(struct secondary *s, const struct zone_primary *p, uint32_t *out, struct fault *fault)
{
    struct secondary_primary read;
    enum err err = primary_read(p, &read, fault);
    if (err != OK)
        return err;
    for (uint32_t i = 0; i < s->primaries_n; i++)
        if (strcmp(s->primaries[i].text, read.text) == 0 && name_equal(name_bytes(&s->primaries[i].key), name_bytes(&read.key))) {
            *out = i;
            return OK;
        }
    if (s->primaries_n == s->primaries_cap) {
        size_t cap = s->primaries_cap == 0 ? 16 : 2 * s->primaries_cap;
        struct secondary_primary *grown = realloc(s->primaries, cap * sizeof *grown);
        if (grown == NULL)
            return ERR_NOMEM;
        s->primaries = grown;
        s->primaries_cap = cap;
    }
    char tsig[NAME_TEXT_MAX];
    board_hold(s->o.board);
    err = board_primary(s->o.board, (uint32_t)s->primaries_n, read.text, read.key.len > 0 ? name_text(tsig, sizeof tsig, name_bytes(&read.key)) : "");
    board_let(s->o.board);
    if (err != OK)
        return err;
    *out = (uint32_t)s->primaries_n;
    s->primaries[s->primaries_n++] = read;
    return OK;
}

/* --- the store's part ------------------------------------------------------------------------------------------------------ */
bool secondary_soa(struct secondary *s, struct bytes apex, uint8_t *rdata, size_t cap, size_t *len, uint32_t *serial,
                   struct refresh_timers *t)
{
    struct zone_header h;
    struct rr_iter it;
    struct rr rr;
    bool has = false;
    if (view_begin(s->view) != OK)
        return false;
    if (zone_header_get(apex, s->view, &h) == OK && h.state != ZONE_EMPTY && h.has_soa) {
        rr_iter_init(&it, apex, h.soa.wire, h.soa.count);
        has = rr_iter_next(&it, rdata, cap, &rr) == OK && soa_serial(rr.rdata, serial) == OK && rr.rdata.len > SOA_TIMERS;
    }
    if (has) {
        struct rd r = rd_over(bytes_of(rr.rdata.ptr + rr.rdata.len - SOA_TIMERS, SOA_TIMERS));
        t->refresh_s = rd_u32(&r);
        t->retry_s = rd_u32(&r);
        t->expire_s = rd_u32(&r);
        *len = rr.rdata.len;
        memmove(rdata, rr.rdata.ptr, rr.rdata.len);
    }
    view_end(s->view);
    return has;
}

/* What the store says counts, also where nothing was kept of it: a crash in between, a copy of the records that was put back. */
static bool is_expired(struct secondary *s, struct bytes apex)
{
    struct zone_header h;
    if (view_begin(s->view) != OK)
        return false;
    bool expired = zone_header_get(apex, s->view, &h) == OK && h.state == ZONE_EXPIRED;
    view_end(s->view);
    return expired;
}

/* --- the source's part ------------------------------------------------------------------------------------------------------ */
static void zone_free(struct secondary_zone *z)
{
    if (z != NULL)
        free(z->primaries);
    free(z);
}

static struct secondary_zone *zone_new(const struct zone_row *row, uint64_t settings, size_t primaries)
{
    struct secondary_zone *z = calloc(1, sizeof *z + row->apex.len);
    if (z == NULL || (primaries > 0 && (z->primaries = calloc(primaries, sizeof *z->primaries)) == NULL)) {
        zone_free(z);
        return NULL;
    }
    z->settings = settings;
    z->apex_len = row->apex.len;
    memcpy(z->apex, row->apex.wire, row->apex.len);
    return z;
}

static enum err zone_schedule(struct secondary *s, struct source_txn *t, const struct secondary_zone *z)
{
    uint8_t rdata[1024];
    size_t len;
    struct bytes apex = bytes_of(z->apex, z->apex_len);
    struct refresh_kept kept = { .serial = 0 };
    struct refresh_timers timers;
    uint32_t serial = 0;
    bool has = secondary_soa(s, apex, rdata, sizeof rdata, &len, &serial, &timers);
    enum err err = source_secondary(t, apex, &kept);
    if (err != OK && err != ERR_NOTFOUND)
        kept = (struct refresh_kept){ .serial = 0 };            /* as if it were new here */
    kept.serial = serial;
    kept.expired = has && is_expired(s, apex);
    board_hold(s->o.board);
    err = board_zone(s->o.board, apex, z->primaries, z->n);
    if (err == OK)
        err = refresh_zone(s->refresh, apex, z->primaries, z->n, has, has ? &timers : NULL, &kept, clock_mono_ms(), clock_wall_ms() / 1000);
    board_let(s->o.board);
    return err;
}

/* A zone that is new or has other settings. *out NULL: no secondary. */
static enum err zone_read(struct secondary *s, struct source_txn *t, const struct zone_row *row, uint64_t hash,
                          struct secondary_zone **out, struct fault *fault)
{
    struct zone_settings settings;
    struct arena a;
    *out = NULL;
    arena_init(&a);
    enum err err = settings_read(row->settings, &a, &settings, fault);
    if (err == OK && settings.kind == ZONE_SECONDARY) {
        *out = zone_new(row, hash, settings.primaries_n);
        err = *out == NULL ? ERR_NOMEM : OK;
        for (size_t i = 0; err == OK && i < settings.primaries_n; i++) {
            uint32_t number;
            bool twice = false;
            if ((err = primary_number(s, &settings.primaries[i], &number, fault)) != OK)
                break;
            for (unsigned k = 0; k < (*out)->n; k++)
                twice |= (*out)->primaries[k] == number;
            if (!twice)
                (*out)->primaries[(*out)->n++] = number;
        }
        if (err == OK)
            err = zone_schedule(s, t, *out);
    }
    settings_release(&settings);
    arena_release(&a);
    if (err != OK) {
        zone_free(*out);
        *out = NULL;
    }
    return err;
}

struct reading { struct secondary_zone **zones; size_t n, cap, old; };

static enum err list_add(struct reading *l, struct secondary_zone *z)
{
    if (l->n == l->cap) {
        size_t cap = l->cap == 0 ? 64 : 2 * l->cap;
        struct secondary_zone **grown = realloc(l->zones, cap * sizeof *grown);
        if (grown == NULL)
            return ERR_NOMEM;
        l->zones = grown;
        l->cap = cap;
    }
    l->zones[l->n++] = z;
    return OK;
}

static void unschedule(struct secondary *s, struct bytes apex)
{
    board_hold(s->o.board);
    refresh_zone_gone(s->refresh, apex);
    board_zone_gone(s->o.board, apex);
    board_let(s->o.board);
}

static void zone_gone(struct secondary *s, size_t i)
{
    unschedule(s, bytes_of(s->zones[i]->apex, s->zones[i]->apex_len));
    zone_free(s->zones[i]);
    s->zones[i] = NULL;
}

/* The source's next zone, beside the list of before, which has the same order. */
static enum err take(struct secondary *s, struct source_txn *t, struct reading *l, const struct zone_row *row)
{
    struct bytes apex = name_bytes(&row->apex);
    struct secondary_zone *z = NULL;
    struct fault fault = { "" };
    char name[NAME_TEXT_MAX], why[600];
    while (l->old < s->zones_n && apex_compare(s->zones[l->old], apex) < 0)
        zone_gone(s, l->old++);
    bool there = l->old < s->zones_n && apex_compare(s->zones[l->old], apex) == 0;
    if (!there && memmem(row->settings.ptr, row->settings.len, "secondary", 9) == NULL)
        return OK;                                              /* most are not */
    uint64_t hash = bytes_fnv(BYTES_FNV_START, row->settings);
    if (there && s->zones[l->old]->settings == hash) {
        z = s->zones[l->old];
        s->zones[l->old++] = NULL;
        return list_add(l, z);
    }
    enum err err = zone_read(s, t, row, hash, &z, &fault);
    if (there && z != NULL) {
        zone_free(s->zones[l->old]);
        s->zones[l->old++] = NULL;
    }
    if (err == ERR_NOMEM)
        return err;
    if (err != OK)
        log_warn("secondary.zone", "zone=%s err=%s next=\"it is not refreshed\"", name_text(name, sizeof name, apex),
                 log_quote(why, sizeof why, fault_text(&fault, err)));
    return z == NULL ? OK : list_add(l, z);
}

static enum err read_all(struct secondary *s, struct reading *l)
{
    struct source_txn *t;
    struct zone_row row;
    struct name after = { .len = 0 };
    enum err err = source_begin(s->o.source, SOURCE_READ_NAMED, &t, NULL);
    if (err != OK)
        return err;
    while (err == OK && (err = source_zone_next(t, name_bytes(&after), &row)) == OK) {
        after = row.apex;
        err = take(s, t, l, &row);
    }
    source_abort(t);
    if (err != ERR_NOTFOUND)
        return err;
    while (l->old < s->zones_n)
        zone_gone(s, l->old++);
    return OK;
}

void secondary_read_zones(struct secondary *s)
{
    uint64_t version = source_version(s->o.source), now = clock_mono_ms();
    struct reading l = { .n = 0 };
    if ((s->was_read && version == s->version) || now < s->read_ms)
        return;
    enum err err = read_all(s, &l);
    if (err != OK)
        log_error("secondary.zones", "err=\"%s\" next=\"again in a moment\"", err_text(err));
    while (err != OK && l.old < s->zones_n) {                   /* those behind stay as they were */
        struct secondary_zone *z = s->zones[l.old++];
        if (z != NULL && list_add(&l, z) != OK) {
            unschedule(s, bytes_of(z->apex, z->apex_len));
            zone_free(z);
        }
    }
    free(s->zones);
    s->zones = l.zones;
    s->zones_n = l.n;
    s->was_read = err == OK;
    s->version = version;
    s->read_ms = clock_mono_ms() + (clock_mono_ms() - now) * READ_PART + READ_PAUSE_MS;
}

void secondary_drop_zones(struct secondary *s)
{
    for (size_t i = 0; i < s->zones_n; i++)
        zone_free(s->zones[i]);
    free(s->zones);
    free(s->primaries);
}

/* --- NOTIFY ------------------------------------------------------------------------------------------------------------------- */
struct secondary_zone *secondary_find(struct secondary *s, struct bytes apex)
{
    size_t lo = 0, hi = s->zones_n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = apex_compare(s->zones[mid], apex);
        if (c == 0)
            return s->zones[mid];
        *(c < 0 ? &lo : &hi) = c < 0 ? mid + 1 : mid;
    }
    return NULL;
}

void secondary_wanted(struct secondary *s, struct bytes apex, bool all, uint64_t ticket)
{
    board_hold(s->o.board);
    board_wanted(s->o.board, apex, ticket);
    refresh_notified(s->refresh, apex, REFRESH_ANYBODY, false, 0, all, clock_mono_ms());
    board_let(s->o.board);
    event_active(s->timer, EV_TIMEOUT, 0);
}

bool secondary_notified(struct secondary *s, struct bytes apex, struct bytes client, struct bytes key, bool has_serial, uint32_t serial)
{
    const struct secondary_zone *z = secondary_find(s, apex);
    for (unsigned i = 0; z != NULL && i < z->n; i++) {
        const struct secondary_primary *p = &s->primaries[z->primaries[i]];
        bool same_key = key.len > 0 && name_equal(key, name_bytes(&p->key));
        if (!same_key && !net_has(&p->host, net_plain(client)))
            continue;
        board_hold(s->o.board);
        refresh_notified(s->refresh, apex, z->primaries[i], has_serial, serial, false, clock_mono_ms());
        board_let(s->o.board);
        event_active(s->timer, EV_TIMEOUT, 0);
        return true;
    }
    return false;
}
