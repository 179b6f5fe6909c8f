#include "builder/core_desk.h"

#include "base/clock.h"
#include "base/log.h"
#include "builder/replays.h"
#include "builder/core_limit.h"
#include "builder/core_out.h"
#include "builder/core_reply.h"
#include "builder/core_waiting.h"
#include "builder/notify.h"
#include "wire/query.h"

#include <stdio.h>
#include <stdlib.h>

#define RCODES 17
#define LOG_BURST 5
#define TRANSFER_THREADS 2             /* so that a large zone does not keep small ones waiting */

struct desk {
    struct desk_options o;
    struct view *view;
    struct answerer *answerer, *blank;
    bool viewing;
    struct policies *policies;
    struct out_desk out;
    struct core_limit *limit;           /* NULL: there is none */
    struct replays *replays;
    struct answer_counters answers;
    stat_count updates[RCODES], twice, replayed, failed_seals, notified, notify_refused;
    struct log_brake brake;
    struct waiting waiting;
    uint8_t bare[ANSWER_MAX];           /* a signed question without its TSIG */
};

/* --- the log ------------------------------------------------------------------------------------------------------------ */
static const char *client_text(const struct asker *from, char *out, size_t cap)
{
    struct net n = { .len = from->client.len, .bits = (uint8_t)(8 * from->client.len) };
    memcpy(n.addr, from->client.addr, sizeof n.addr);
    if (n.len == 0)
        (void)snprintf(out, cap, "unknown");
    else
        (void)net_text(&n, out, cap);
    return out;
}

/* key: as it was named, good or not; "-" none. */
static void tell_refused(struct desk *k, const char *event, const struct asker *from, const struct seal *seal, struct bytes zone,
                         uint16_t rcode, const char *why)
{
    char name[NAME_TEXT_MAX], key[NAME_TEXT_MAX], client[NET_TEXT_MAX], quoted[1400];
    unsigned held;
    if (!log_brake_pass(&k->brake, clock_mono_ms(), LOG_BURST, &held))
        return;
    bool named = seal->present && seal->tsig.key.len > 0;
    log_warn(event, "zone=%s from=%s port=%u key=%s rcode=%s err=%s held=%u", name_text(name, sizeof name, zone),
             client_text(from, client, sizeof client), from->port,
             named ? name_text(key, sizeof key, name_bytes(&seal->tsig.key)) : "-", update_rcode_text(rcode),
             log_quote(quoted, sizeof quoted, why), held);
}

/* --- questions ---------------------------------------------------------------------------------------------------------- */
static struct answer_from answer_from(const struct asker *from)
{
    bool tcp = from->conn != NULL;
    return (struct answer_from){ .proto = tcp ? ANSWER_TCP : ANSWER_UDP, .max = tcp ? ANSWER_MAX : ANSWER_UDP_MAX,
                                 .client = peer_bytes(&from->client), .now_s = clock_wall_s() };
}

/* The question as it was before it was signed, answered in what room the reply's own TSIG leaves. */
static size_t answer_signed(struct desk *k, struct bytes msg, const struct query *q, const struct asker *from, struct seal *seal,
                            uint8_t *out)
{
    struct answer_from f = answer_from(from);
    size_t room = seal_room(seal), most = f.proto == ANSWER_UDP && q->udp_size < f.max ? q->udp_size : f.max;
    f.max = most > room ? most - room : 0;
    struct wr w = wr_over(k->bare, sizeof k->bare);
    wr_bytes(&w, bytes_of(msg.ptr, q->tsig_at));
    struct rd r = rd_over(bytes_of(msg.ptr + 10, 2));
    wr_patch_u16(&w, 10, (uint16_t)(rd_u16(&r) - 1));
    size_t n = answer(k->viewing ? k->answerer : k->blank, wr_done(&w), &f, out, ANSWER_MAX);
    struct wr reply = { out, n, most, false };
    return n > 0 && seal_sign(seal, &reply, clock_wall_ms() / 1000) == OK ? reply.len : 0;
}

static size_t take_transfer(struct desk *k, struct bytes msg, const struct query *q, const struct asker *from, uint8_t *out)
{
    struct fault fault = { "" };
    struct seal seal = { .present = false };
    const char *why = "";
    size_t n = 0;
    uint16_t rcode = !q->has_tsig ? RCODE_NOERROR : seal_open(&seal, k->policies, msg, q->tsig_at, clock_wall_ms() / 1000, &fault);
    if (rcode != RCODE_NOERROR)
        stat_add(&k->failed_seals, 1);
    else
        rcode = out_begin(&k->out, k->viewing ? k->view : NULL, msg, q, from, &seal, &why);
    if (rcode != RCODE_NOERROR) {
        struct bytes question = { msg.ptr + DNS_HEADER_LEN, q->question_len };
        tell_refused(k, "transfer.refused", from, &seal, q->qname, rcode,
                     fault.text[0] != '\0' ? fault.text : why[0] != '\0' ? why : seal_text(&seal));
        n = short_reply_put(&(struct short_reply){ q->id, q->flags, rcode, question, q->has_edns }, &seal, out);
    }
    seal_release(&seal);
    return n;
}

static size_t take_query(struct desk *k, struct bytes msg, const struct asker *from, uint8_t *out)
{
    struct answer_from f = answer_from(from);
    struct fault fault = { "" };
    struct seal seal = { .present = false };
    struct query q;
    size_t n;
    enum query_verdict v = query_read(msg, &q);
    struct answerer *a = k->viewing ? k->answerer : k->blank;
    if (v == QUERY_ANSWER && out_is(&q, from))
        return core_limit_transfer(k->limit, a, msg, &q, &f, out, &n) ? n : take_transfer(k, msg, &q, from, out);
    if (!q.has_tsig || (v != QUERY_ANSWER && v != QUERY_EMPTY)) {
        n = answer(a, msg, &f, out, ANSWER_MAX);
        return core_limit_answer(k->limit, k->policies, a, msg, &q, &f, out, n);
    }
    uint16_t rcode = seal_open(&seal, k->policies, msg, q.tsig_at, clock_wall_ms() / 1000, &fault);
    if (rcode == RCODE_NOERROR) {
        n = answer_signed(k, msg, &q, from, &seal, out);
    } else {
        stat_add(&k->failed_seals, 1);
        struct bytes question = { msg.ptr + DNS_HEADER_LEN, q.question_len };
        n = short_reply_put(&(struct short_reply){ q.id, q.flags, rcode, question, q.has_edns }, &seal, out);
    }
    seal_release(&seal);
    return n;
}

/* --- NOTIFY --------------------------------------------------------------------------------------------------------------- */
/* Nothing is believed but that somebody should look: strangers are told that they are, and signed ones must have signed well. */
static size_t take_notify(struct desk *k, struct bytes msg, const struct asker *from, uint8_t *out)
{
    struct fault fault = { "" };
    struct seal seal = { .present = false };
    struct notify n;
    struct query q;
    enum err err = notify_read(msg, &n);
    uint16_t rcode = err == ERR_NOTFOUND ? RCODE_NOTIMP : err != OK ? RCODE_FORMERR : RCODE_NOERROR;
    if (query_read(msg, &q) == QUERY_DROP)
        return 0;
    if (rcode == RCODE_NOERROR && q.has_tsig)
        rcode = seal_open(&seal, k->policies, msg, q.tsig_at, clock_wall_ms() / 1000, &fault);
    stat_add(&k->failed_seals, rcode == RCODE_NOTAUTH);
    if (rcode == RCODE_NOERROR) {
        struct bytes key = { NULL, 0 };
        if (seal.present)
            key = name_bytes(&seal.tsig.key);
        bool heard = secondary_notified(k->o.secondary, name_bytes(&n.apex), peer_bytes(&from->client), key, n.has_serial, n.serial);
        rcode = heard ? RCODE_NOERROR : RCODE_REFUSED;
    }
    stat_add(rcode == RCODE_NOERROR ? &k->notified : &k->notify_refused, 1);
    struct wr w = { out, notify_answer(msg, rcode, out, ANSWER_MAX), ANSWER_MAX, false };
    size_t len = w.len > 0 && seal.present ? (seal_sign(&seal, &w, clock_wall_ms() / 1000) == OK ? w.len : 0) : w.len;
    seal_release(&seal);
    return len;
}

/* --- who may -------------------------------------------------------------------------------------------------------------- */
static bool key_may(void *arg, struct bytes owner, uint16_t type)
{
    const struct pending *p = arg;
    return rights_update(&p->seal.key->rights, name_bytes(&p->zone.apex), owner, type);
}

/* Zones without a row are of kind file: those in the store that nobody edits here. */
static bool is_stored(struct desk *k, struct bytes apex)
{
    struct rrkey key;
    uint8_t buf[RRKEY_MAX];
    struct bytes value;
    if (!k->viewing || rrkey_of_name(apex, &key) != OK)
        return false;
    return view_get(k->view, bytes_of_text("dns"), bytes_of(buf, rrkey_at(&key, key.labels, RRSLOT_ZONE, buf)), &value) == OK;
}

/* May this client send updates to the zone? Sets what it may touch. */
static uint16_t admit(struct desk *k, struct pending *p, const char **why)
{
    const struct policy_zone *z;
    struct fault fault = { "" };
    struct bytes apex = name_bytes(&p->update.zone);
    enum err err = policies_zone(k->policies, apex, &z, &fault);
    if (err == ERR_NOTFOUND) {
        bool stored = is_stored(k, apex);
        *why = stored ? "the zone is not edited here: its records come from a file" : "there is no such zone";
        return stored ? RCODE_REFUSED : RCODE_NOTAUTH;
    }
    *why = "the records cannot be read";
    if (err != OK)
        return RCODE_SERVFAIL;
    *why = z->kind == ZONE_SECONDARY ? "the zone is a secondary: updates are not passed on to its primary"
                                     : "the zone is not edited here: its records come from a file";
    if (z->kind != ZONE_NATIVE)
        return RCODE_REFUSED;
    p->zone.apex = z->apex;
    *why = p->seal.present ? "the key has no update rights in this zone, and the zone's update_acl does not name the address"
                           : "there is no key, and the zone's update_acl does not name the address";
    if (nets_have(z->update_acl, z->update_acl_n, peer_bytes(&p->from.client)))
        return RCODE_NOERROR;                   /* all of the zone */
    if (!p->seal.present || !rights_update_some(&p->seal.key->rights, apex))
        return RCODE_REFUSED;
    p->update.may = key_may;
    p->update.may_arg = p;
    return RCODE_NOERROR;
}

/* --- UPDATE ---------------------------------------------------------------------------------------------------------------- */
static void set_author(struct pending *p)
{
    struct author *a = &p->change.author;
    char key[NAME_TEXT_MAX];
    a->via = VIA_UPDATE;
    (void)client_text(&p->from, a->address, sizeof a->address);
    if (p->seal.present)
        (void)snprintf(a->name, sizeof a->name, "%.*s", (int)sizeof a->name - 1,
                       name_text(key, sizeof key, name_bytes(&p->seal.tsig.key)));
}

/* Everything up to the changer. NOERROR: it is to be put there. */
static uint16_t judge(struct desk *k, struct pending *p)
{
    struct update *u = &p->update;
    struct fault fault = { "" };
    const char *why = "";
    char text[UPDATE_TEXT_MAX];
    uint16_t read = update_read(p->msg, &p->arena, u), rcode = RCODE_NOERROR;
    if (u->has_tsig)
        rcode = seal_open(&p->seal, k->policies, p->msg, u->tsig_at, clock_wall_ms() / 1000, &fault);
    if (rcode != RCODE_NOERROR) {
        stat_add(&k->failed_seals, 1);
        tell_refused(k, "update.refused", &p->from, &p->seal, name_bytes(&u->zone), rcode,
                     fault.text[0] != '\0' ? fault.text : seal_text(&p->seal));
        return rcode;
    }
    if (read != RCODE_NOERROR)
        return read;
    if ((rcode = admit(k, p, &why)) == RCODE_NOERROR) {
        rcode = update_prescan(u, &p->arena);
        why = rcode != RCODE_NOERROR ? update_text(u, text, sizeof text) : "";
    }
    if (rcode == RCODE_NOERROR && !waiting_has_room(&k->waiting, p)) {
        why = "too many updates at once";
        rcode = RCODE_SERVFAIL;
    }
    if (rcode != RCODE_NOERROR)
        tell_refused(k, "update.refused", &p->from, &p->seal, name_bytes(&u->zone), rcode, why);
    return rcode;
}

static void count_update(struct desk *k, uint16_t rcode)
{
    stat_add(&k->updates[rcode < RCODES ? rcode : RCODE_SERVFAIL], 1);
}

/* Was this very message made before, or is it being made? Then *rcode is what its sender hears: what the first one brought, or
 * SERVFAIL as long as that is not known. */
static bool is_replay(struct desk *k, struct pending *p, uint16_t *rcode)
{
    uint16_t first = RCODE_NOERROR;
    enum replay r = p->seal.present ? replays_look(k->replays, &p->seal.tsig, clock_wall_ms() / 1000, &first) : REPLAY_NEW;
    *rcode = r == REPLAY_BEING_MADE ? RCODE_SERVFAIL : first;
    stat_set(&k->replayed, stat_get(&k->replayed) + (r != REPLAY_NEW));
    return r != REPLAY_NEW;
}

static size_t take_update(struct desk *k, struct bytes msg, const struct asker *from, uint8_t *out, bool *taken)
{
    struct pending *p;
    bool twice = waiting_new(&k->waiting, msg, from, &p) == ERR_EXISTS;
    stat_add(&k->twice, twice);
    if (p == NULL)
        return 0;
    uint16_t rcode = judge(k, p);
    if (rcode != RCODE_NOERROR || is_replay(k, p, &rcode)) {
        size_t n = update_reply_put(&p->update, rcode, &p->seal, out);
        count_update(k, rcode);
        pending_free(p);
        return n;
    }
    set_author(p);
    *taken = true;
    waiting_put(&k->waiting, p);
    return 0;
}

static void tell_end(struct desk *k, const struct pending *p, uint16_t rcode)
{
    const struct change_result *r = &p->change.result;
    if (rcode == RCODE_NOERROR || (r->end == CHANGE_REFUSED && p->update.rcode != RCODE_NOERROR && rcode != RCODE_REFUSED))
        return;                                 /* prerequisites that do not hold are no event */
    tell_refused(k, "update.refused", &p->from, &p->seal, name_bytes(&p->update.zone), rcode,
                 r->complaints.errors_n > 0 ? r->complaints.errors[0].text : fault_text(&r->fault, r->err));
}

static void reply(struct desk *k, struct pending *p, uint16_t rcode, uint8_t *out)
{
    tell_end(k, p, rcode);
    size_t n = update_reply_put(&p->update, rcode, &p->seal, out);
    if (p->from.fd >= 0 || p->from.conn != NULL)
        k->o.reply(k->o.arg, &p->from, bytes_of(out, n));
}

static void end(struct desk *k, struct pending *p, uint8_t *out)
{
    uint16_t rcode = update_rcode(&p->update, &p->change.result);
    if (p->seal.present)
        replays_end(k->replays, &p->seal.tsig, rcode);
    waiting_end(&k->waiting, p);
    count_update(k, rcode);
    if (!p->replied)
        reply(k, p, rcode, out);
    pending_free(p);
}

static void end_told(struct desk *k, bool all)
{
    struct pending *p = waiting_told(&k->waiting, all);
    while (p != NULL) {
        struct pending *next = p->told;
        end(k, p, k->bare);
        p = next;
    }
}

void desk_done(struct desk *k)
{
    end_told(k, true);
    out_ready(&k->out, k->bare);
}

void desk_forget(struct desk *k, const void *conn) { waiting_forget(&k->waiting, conn); }

unsigned desk_in_flight(const struct desk *k) { return (unsigned)stat_get(&k->waiting.n); }

/* --- messages -------------------------------------------------------------------------------------------------------------- */
void desk_begin(struct desk *k)
{
    end_told(k, false);
    k->viewing = view_begin(k->view) == OK;
}

void desk_end(struct desk *k)
{
    if (k->viewing)
        view_end(k->view);
    k->viewing = false;
}

size_t desk_take(struct desk *k, struct bytes msg, const struct asker *from, uint8_t *out, bool *taken)
{
    struct rd r = rd_over(msg);
    (void)rd_u16(&r);
    uint16_t flags = rd_u16(&r);
    *taken = false;
    if (msg.len < DNS_HEADER_LEN || msg.len > ANSWER_MAX || (flags & DNS_QR) != 0) {
        stat_add(&k->answers.dropped, 1);
        return 0;
    }
    switch ((flags & DNS_OPCODE) >> DNS_OPCODE_SHIFT) {
    case OPCODE_UPDATE: return take_update(k, msg, from, out, taken);
    case OPCODE_NOTIFY: return take_notify(k, msg, from, out);
    default:            return take_query(k, msg, from, out);           /* what is not served is told so */
    }
}

/* --- life -------------------------------------------------------------------------------------------------------------------- */
MUST_USE enum err desk_open(struct desk **out, const struct desk_options *o, struct fault *fault)
{
    struct desk *k = calloc(1, sizeof *k);
    if (k == NULL)
        return ERR_NOMEM;
    struct answer_options ao = { .counts = &k->answers };
    k->o = *o;
    waiting_init(&k->waiting, &k->o);
    enum err err = view_open(o->store, &k->view, fault);
    if (err != OK || (err = answerer_open(&k->answerer, k->view, &ao)) != OK || (err = answerer_open(&k->blank, NULL, &ao)) != OK
        || (err = policies_open(&k->policies, o->source)) != OK || (err = replays_open(&k->replays, REPLAYS_PLACES)) != OK
        || (err = core_limit_open(&k->limit, &o->limit)) != OK
        || (err = transfers_open(&k->out.transfers, &(struct transfers_options){ .store = o->store, .bell_fd = o->bell_fd, .threads = TRANSFER_THREADS }, fault)) != OK) {
        desk_close(k);
        return err;
    }
    k->out.policies = k->policies;
    k->out.o = &k->o;
    *out = k;
    return OK;
}

void desk_close(struct desk *k)
{
    if (k == NULL)
        return;
    transfers_close(k->out.transfers);
    policies_close(k->policies);
    replays_close(k->replays);
    core_limit_close(k->limit);
    answerer_close(k->answerer);
    answerer_close(k->blank);
    view_close(k->view);
    waiting_release(&k->waiting);
    free(k);
}

void desk_metrics(const struct desk *k, struct stat_page *p)
{
    static const uint16_t shown[] = { 0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 16 };
    char label[32];
    stat_head(p, "azoth_core_dns_updates_total", "counter", "UPDATE messages by the rcode of their reply");
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++) {
        (void)snprintf(label, sizeof label, "rcode=\"%s\"", update_rcode_text(shown[i]));
        stat_value(p, "azoth_core_dns_updates_total", label, stat_get(&k->updates[shown[i]]));
    }
    stat_head(p, "azoth_core_dns_updates_waiting", "gauge", "UPDATE messages whose change is being made");
    stat_value(p, "azoth_core_dns_updates_waiting", NULL, stat_get(&k->waiting.n));
    stat_head(p, "azoth_core_dns_repeats_total", "counter", "datagrams that repeated an UPDATE that was being made");
    stat_value(p, "azoth_core_dns_repeats_total", NULL, stat_get(&k->twice));
    stat_head(p, "azoth_core_dns_replays_total", "counter", "signed UPDATEs that came again and were not made again");
    stat_value(p, "azoth_core_dns_replays_total", NULL, stat_get(&k->replayed));
    stat_head(p, "azoth_core_dns_tsig_refused_total", "counter", "messages whose TSIG was not good");
    stat_value(p, "azoth_core_dns_tsig_refused_total", NULL, stat_get(&k->failed_seals));
    stat_head(p, "azoth_core_dns_notifies_received_total", "counter", "NOTIFY messages of primaries, and of others");
    stat_value(p, "azoth_core_dns_notifies_received_total", "from=\"primary\"", stat_get(&k->notified));
    stat_value(p, "azoth_core_dns_notifies_received_total", "from=\"other\"", stat_get(&k->notify_refused));
    stat_head(p, "azoth_core_dns_queries_total", "counter", "messages of other kinds");
    stat_value(p, "azoth_core_dns_queries_total", "proto=\"udp\"", stat_get(&k->answers.queries[ANSWER_UDP]));
    stat_value(p, "azoth_core_dns_queries_total", "proto=\"tcp\"", stat_get(&k->answers.queries[ANSWER_TCP]));
    core_limit_metrics(k->limit, p);
    transfers_metrics(k->out.transfers, p);
    stat_head(p, "azoth_core_dns_transfers_refused_total", "counter", "questions for AXFR and IXFR that were refused");
    stat_value(p, "azoth_core_dns_transfers_refused_total", NULL, stat_get(&k->out.refused));
    stat_head(p, "azoth_core_dns_dropped_total", "counter", "messages that get no reply: too short, responses");
    stat_value(p, "azoth_core_dns_dropped_total", NULL, stat_get(&k->answers.dropped));
}
