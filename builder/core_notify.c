#include "builder/core_notify.h"

#include "base/clock.h"
#include "base/log.h"
#include "builder/zone.h"
#include "wire/query.h"

#include <stdlib.h>

#define TOUCHED_MAX 512                 /* zones of one look; more: all are gone through */
#define SCAN_AT_ONCE 1000
#define SEND_AT_ONCE 256
#define SEND_PAUSE_MS 10
#define SILENT_BURST 20                 /* lines a minute about targets that do not answer */
#define NOTIFY_MAX 1232

struct core_notify {
    struct core_notify_options o;
    struct view *view;
    struct policies *policies;
    struct notifier *notifier;
    uint64_t seq;                       /* looked at so far */
    uint64_t version;
    struct name touched[TOUCHED_MAX]; size_t touched_n;
    bool many, scanning, again;         /* again: more came while all were gone through, so once more behind that */
    struct name after;                  /* scanning: the zone that was last */
    struct log_brake brake, silence;
    stat_count sent, answered, refused, given_up, open;
};

/* --- what changed ------------------------------------------------------------------------------------------------------- */
static void on_touched(void *arg, struct bytes ns, struct bytes key, enum ring_mark mark)
{
    struct core_notify *c = arg;
    struct rrkey_parts parts;
    uint16_t slot;
    if (mark == RING_VANISHED || !bytes_equal(ns, bytes_of_text("dns")) || rrkey_split(key, &parts) != OK || parts.slot != TYPE_SOA)
        return;
    if (c->touched_n == TOUCHED_MAX)
        c->many = true;
    else if (rrkey_name(key, &c->touched[c->touched_n], &slot) == OK)
        c->touched_n++;
}

static void on_many(void *arg, struct bytes ns)
{
    struct core_notify *c = arg;
    c->many |= bytes_equal(ns, bytes_of_text("dns"));
}

/* The zone's SOA, uncompressed; its own, not the header's, whose TTL is that of negative answers. */
static enum err soa_of(struct core_notify *c, struct bytes apex, uint8_t *buf, size_t cap, struct rr *out)
{
    uint8_t key[RRKEY_MAX];
    struct wr k = wr_over(key, sizeof key);
    struct bytes value;
    struct rr_iter it;
    struct blob b;
    enum err err = rrkey_write(apex, TYPE_SOA, &k);
    if (err == OK)
        err = view_get(c->view, bytes_of_text("dns"), wr_done(&k), &value);
    if (err == OK)
        err = blob_read(value, &b);
    if (err != OK)
        return err;
    rr_iter_init(&it, apex, b.rr[0].wire, b.rr[0].count);
    return rr_iter_next(&it, buf, cap, out);
}

static void tell(struct core_notify *c, struct bytes apex)
{
    const struct policy_zone *z;
    struct fault fault = { "" };
    uint8_t rdata[NOTIFIER_SOA_MAX];
    struct rr soa;
    char name[NAME_TEXT_MAX];
    unsigned held;
    if (policies_zone(c->policies, apex, &z, &fault) != OK || z->notify_n == 0)
        return;
    enum err err = soa_of(c, apex, rdata, sizeof rdata, &soa);
    if (err == OK)
        err = notifier_changed(c->notifier, apex, soa.rdata, soa.ttl, z->notify, z->notify_n, clock_mono_ms());
    if (err != OK && err != ERR_NOTFOUND && log_brake_pass(&c->brake, clock_mono_ms(), 1, &held))
        log_warn("notify.out", "zone=%s err=\"%s\" held=%u", name_text(name, sizeof name, apex), err_text(err), held);
}

static bool is_live(struct core_notify *c, struct bytes apex)
{
    uint8_t key[RRKEY_MAX];
    struct wr k = wr_over(key, sizeof key);
    struct bytes value;
    struct zone_header h;
    return rrkey_write(apex, RRSLOT_ZONE, &k) == OK && view_get(c->view, bytes_of_text("dns"), wr_done(&k), &value) == OK
        && zone_header_read(value, &h) == OK && h.state == ZONE_LIVE;
}

/* Along the records' zones: the store's own list is all its keys, and whom to tell stands with the records anyway. */
static enum err scan_some(struct core_notify *c)
{
    struct source_txn *t;
    struct zone_row row;
    enum err err = source_begin(c->o.source, SOURCE_READ_NAMED, &t, NULL);
    if (err != OK)
        return err;
    for (unsigned n = 0; n < SCAN_AT_ONCE && (err = source_zone_next(t, name_bytes(&c->after), &row)) == OK; n++) {
        c->after = row.apex;
        if (is_live(c, name_bytes(&c->after)))
            tell(c, name_bytes(&c->after));
    }
    source_abort(t);
    return err;
}

static void scan(struct core_notify *c)
{
    c->scanning = scan_some(c) != ERR_NOTFOUND;         /* behind a failure: from there, with the next look */
    if (!c->scanning && c->again) {
        c->scanning = true;
        c->again = false;
        c->after.len = 0;
    }
}

static void look_back(struct core_notify *c)
{
    const struct ring_visit visit = { c, on_touched, on_many };
    struct head head;
    if (view_head(c->view, &head, NULL) != OK || view_version(c->view) == c->version)
        return;
    c->version = view_version(c->view);
    c->touched_n = 0;
    c->many = false;
    if (view_ring(c->view, c->seq, &visit) != OK)
        c->many = true;                         /* on_many may have said so already */
    c->seq = head.seq;
    c->again |= c->many && c->scanning;         /* from the first again, and those at the end would never be told */
    if (c->many && !c->scanning) {
        c->scanning = true;
        c->after.len = 0;
    }
    for (size_t i = 0; !c->many && i < c->touched_n; i++)
        tell(c, name_bytes(&c->touched[i]));
}

/* --- sending -------------------------------------------------------------------------------------------------------------- */
static void count(struct core_notify *c)
{
    struct notifier_figures f;
    notifier_figures(c->notifier, &f);
    stat_set(&c->sent, f.sent);
    stat_set(&c->answered, f.answered);
    stat_set(&c->given_up, f.given_up);
    stat_set(&c->open, f.open);
}

/* Signs the message in w when its target asks for that. */
static enum err sign(struct core_notify *c, const struct notify_target *to, struct wr *w, struct fault *fault)
{
    struct policy_key *key;
    struct tsig_chain *chain = NULL;
    if (to->key.len == 0)
        return OK;
    enum err err = policies_key(c->policies, name_bytes(&to->key), &key, fault);
    if (err != OK)
        return fault_set(fault, err, "its TSIG key cannot be had");
    err = tsig_open(&chain, &key->key);
    policies_key_give(key);
    if (err == OK)
        err = tsig_sign(chain, w, clock_wall_s(), 0, NULL);
    if (err == OK)
        notifier_signed(c->notifier, chain);
    else
        tsig_close(chain);
    return err;
}

static void send_one(struct core_notify *c, const struct notify_target *to, struct wr *w)
{
    struct fault fault = { "" };
    char text[NET_TEXT_MAX], quoted[FAULT_TEXT_MAX];
    unsigned held;
    enum err err = sign(c, to, w, &fault);
    if (err == OK)
        c->o.send(c->o.arg, to, wr_done(w));
    else if (log_brake_pass(&c->brake, clock_mono_ms(), 1, &held))
        log_warn("notify.unsigned", "to=%s port=%u err=%s held=%u next=\"not sent, again soon\"", net_text(&to->address, text, sizeof text),
                 to->port, log_quote(quoted, sizeof quoted, fault_text(&fault, err)), held);
}

static void send_due(struct core_notify *c)
{
    uint8_t msg[NOTIFY_MAX];
    struct notify_target to;
    size_t n;
    for (unsigned left = SEND_AT_ONCE; left > 0 && (n = notifier_next(c->notifier, clock_mono_ms(), msg, sizeof msg, &to)) > 0; left--)
        send_one(c, &to, &(struct wr){ msg, n, sizeof msg, false });
    count(c);
}

uint64_t core_notify_wait_ms(const struct core_notify *c)
{
    uint64_t due = notifier_due_ms(c->notifier), now = clock_mono_ms();
    return due == UINT64_MAX ? due : due > now + SEND_PAUSE_MS ? due - now : SEND_PAUSE_MS;
}

void core_notify_look(struct core_notify *c)
{
    if (view_begin(c->view) == OK) {
        look_back(c);
        if (c->scanning)
            scan(c);
        view_end(c->view);
    }
    send_due(c);
}

void core_notify_wanted(struct core_notify *c, struct bytes apex)
{
    if (view_begin(c->view) == OK) {
        tell(c, apex);
        view_end(c->view);
    }
    send_due(c);
}

bool core_notify_answer(struct core_notify *c, struct bytes addr, uint16_t port, struct bytes msg)
{
    char text[NET_TEXT_MAX];
    uint16_t rcode = 0;
    unsigned held;
    if (msg.len < DNS_HEADER_LEN || (msg.ptr[2] & DNS_QR >> 8) == 0)       /* a question: not all that is open is gone through for it */
        return false;
    enum notifier_heard heard = notifier_answered(c->notifier, addr, port, msg, clock_mono_ms(), clock_wall_s(), &rcode);
    if (heard == NOTIFIER_NOT_OURS)
        return false;
    if (rcode != RCODE_NOERROR || heard == NOTIFIER_UNSIGNED) {
        struct net n = { .len = (uint8_t)addr.len, .bits = (uint8_t)(8 * addr.len) };
        memcpy(n.addr, addr.ptr, addr.len);
        stat_add(&c->refused, heard == NOTIFIER_ANSWERED);
        if (log_brake_pass(&c->brake, clock_mono_ms(), 1, &held))
            log_warn("notify.refused", "by=%s port=%u rcode=%u signature=%s held=%u", net_text(&n, text, sizeof text), port, rcode,
                     heard == NOTIFIER_UNSIGNED ? "bad" : "none-or-good", held);
    }
    count(c);
    return true;
}

/* An address that is wrong is seen nowhere else. */
static void on_silent(void *arg, struct bytes apex, const struct notify_target *to, uint64_t silent_ms)
{
    struct core_notify *c = arg;
    char name[NAME_TEXT_MAX], text[NET_TEXT_MAX];
    unsigned held;
    if (log_brake_pass_in(&c->silence, clock_mono_ms(), LOG_SLOW_MS, SILENT_BURST, &held))
        log_warn("notify.silent", "zone=%s to=%s port=%u s=%u held=%u next=\"its own refresh timer, if it has the zone\"",
                 name_text(name, sizeof name, apex), net_text(&to->address, text, sizeof text), to->port, (unsigned)(silent_ms / 1000), held);
}

/* --- life -------------------------------------------------------------------------------------------------------------------- */
enum err core_notify_open(struct core_notify **out, const struct core_notify_options *o, struct fault *fault)
{
    struct core_notify *c = calloc(1, sizeof *c);
    const struct ring_visit none = { 0 };
    struct head head;
    if (c == NULL)
        return ERR_NOMEM;
    c->o = *o;
    enum err err = view_open(o->store, &c->view, fault);
    if (err == OK)
        err = policies_open(&c->policies, o->source);
    if (err == OK)
        err = notifier_open(&c->notifier, on_silent, c);
    if (err != OK) {
        core_notify_close(c);
        return err;
    }
    if (view_begin(c->view) == OK) {
        c->seq = view_head(c->view, &head, NULL) == OK ? head.seq : 0;
        c->version = view_version(c->view);
        err = view_ring(c->view, c->seq, &none);        /* says once that the view is new */
        view_end(c->view);
    }
    *out = c;
    return OK;
}

void core_notify_close(struct core_notify *c)
{
    if (c == NULL)
        return;
    notifier_close(c->notifier);
    policies_close(c->policies);
    view_close(c->view);
    free(c);
}

void core_notify_metrics(const struct core_notify *c, struct stat_page *p)
{
    stat_head(p, "azoth_core_dns_notifies_sent_total", "counter", "NOTIFY messages sent, with those sent again");
    stat_value(p, "azoth_core_dns_notifies_sent_total", NULL, stat_get(&c->sent));
    stat_head(p, "azoth_core_dns_notifies_total", "counter", "notifications of a zone to an address by how they ended");
    stat_value(p, "azoth_core_dns_notifies_total", "end=\"answered\"", stat_get(&c->answered));
    stat_value(p, "azoth_core_dns_notifies_total", "end=\"given_up\"", stat_get(&c->given_up));
    stat_head(p, "azoth_core_dns_notifies_refused_total", "counter", "of those answered: with an error");
    stat_value(p, "azoth_core_dns_notifies_refused_total", NULL, stat_get(&c->refused));
    stat_head(p, "azoth_core_dns_notifies_open", "gauge", "notifications that are not answered yet");
    stat_value(p, "azoth_core_dns_notifies_open", NULL, stat_get(&c->open));
}
