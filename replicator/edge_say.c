#include "replicator/edge_say.h"

#include "base/clock.h"
#include "base/text.h"

#include <inttypes.h>

#define HEARD_MS 1500           /* a head is younger: the upstream is back */
#define UPSTREAM_BURST 3        /* lines of a kind a minute: what is wrong with an upstream may stay so for long */

static void say_store(struct edge_say *s, const struct note *n, const char *fault)
{
    char words[FAULT_TEXT_MAX + 64];
    uint64_t now = clock_mono_ms();
    unsigned held;
    log_quote(words, sizeof words, fault);
    switch (n->kind) {
    case NOTE_MISMATCH:
        log_error("edge.mismatch", "applied=%" PRIu64 " err=%s", n->a, words);
        break;
    case NOTE_FULL:
        if (!s->full_said || now - s->full_ms >= SAY_AGAIN_MS) {
            log_error("edge.full", "applied=%" PRIu64 " err=%s next=serve-on-and-retry", n->a, words);
            s->full_ms = now;
        }
        s->full_said = true;
        break;
    case NOTE_STORE:
        if (log_brake_pass(&s->store, now, 1, &held))
            log_error("edge.store", "applied=%" PRIu64 " err=%s held=%u next=retry", n->a, words, held);
        break;
    case NOTE_RESUMED:
        s->full_said = false;
        log_info("edge.resumed", "applied=%" PRIu64, n->a);
        break;
    default: break;
    }
}

static const char *why_text(uint64_t why)
{
    switch ((enum copy_why)why) {
    case COPY_FORK:     return "fork";
    case COPY_MISMATCH: return "digest";
    case COPY_ROTTEN:   return "rot";
    case COPY_LOG:      return "log-begins-later";
    case COPY_EMPTY:    return "empty";
    case COPY_KEY:      return "no-cluster-key";
    case COPY_NOT:      break;
    }
    return "-";
}

static void say_copy(struct edge_say *s, const struct note *n, const char *fault)
{
    char words[FAULT_TEXT_MAX + 64];
    unsigned held;
    log_quote(words, sizeof words, fault[0] != '\0' ? fault : "its size is not what the manifest says");
    switch (n->kind) {
    case NOTE_COPY:
        log_line(n->b == COPY_EMPTY ? LOG_INFO : LOG_WARN, "edge.copy", "why=%s upstream=%" PRIu64 " seq=%" PRIu64 " chunks=%" PRIu64 " bytes=%" PRIu64, why_text(n->b), n->c,
                 n->a, n->d, n->e);
        break;
    case NOTE_COPIED:
        log_info("edge.copied", "seq=%" PRIu64 " ms=%" PRIu64 " entries=%" PRIu64, n->a, n->b, n->c);
        break;
    case NOTE_COPY_SAME:
        log_info("edge.copy-goes-on", "chunk=%" PRIu64 " upstream=%" PRIu64, n->a + 1, n->b);
        break;
    case NOTE_COPY_BAD:
        log_error("edge.copy-bad", "chunk=%" PRIu64 " of=%" PRIu64 " err=%s next=next-upstream", n->a, n->b, words);
        break;
    case NOTE_LATER:
        if (log_brake_pass(&s->later, clock_mono_ms(), 1, &held))
            log_info("edge.copy-later", "wait_ms=%" PRIu64 " held=%u", n->a, held);
        break;
    default: break;
    }
}

static void say_upstream(struct edge_say *s, const struct note *n)
{
    unsigned held;
    if (n->kind == NOTE_SERVER_LOG) {
        if (log_brake_pass(&s->behind_log, clock_mono_ms(), 1, &held))
            log_warn("edge.log-begins-later", "need=%" PRIu64 " upstream_first=%" PRIu64 " held=%u next=\"another upstream, or a copy\"",
                     n->a, n->b, held);
        return;
    }
    struct log_brake *brake = n->kind == NOTE_SILENT ? &s->silent : n->kind == NOTE_LEFT || n->kind == NOTE_HOME ? &s->left
                            : n->kind == NOTE_STALLED ? &s->stalled : n->kind == NOTE_TIMEOUT ? &s->timeout : &s->refused;
    if (!log_brake_pass_in(brake, clock_mono_ms(), LOG_SLOW_MS, UPSTREAM_BURST, &held))
        return;
    switch (n->kind) {
    case NOTE_SILENT:
        log_warn("edge.silent", "age_ms=%" PRIu64 " held=%u err=\"nothing is heard\" next=\"%s\" upstream=%" PRIu64, n->a, held,
                 s->upstreams[n->b].publish, n->b);
        s->silent_said = true;
        break;
    case NOTE_HOME:
        log_info("edge.home", "upstream=%" PRIu64 " next=\"the first upstream is tried again\"", n->b);
        break;
    case NOTE_LEFT:
        log_info("edge.left", "held=%u next=upstream upstream=%" PRIu64, held, n->b);
        break;
    case NOTE_STALLED:
        log_warn("edge.stalled", "have=%" PRIu64 " head=%" PRIu64 " held=%u err=\"the upstream has no records for us\" next=ask-again",
                 n->a, n->b, held);
        break;
    case NOTE_TIMEOUT:
        log_info("edge.timeout", "wait_ms=%" PRIu64 " held=%u next=\"new connection\"%s", n->a, held,
                 n->a < REPLICA_FETCH_MS ? "" : " hint=\"when it stays so: the upstream may list another key under our name\"");
        break;
    case NOTE_REFUSED:
        if (n->a == REPLY_UNLISTED) {
            log_error("edge.unlisted", "held=%u err=\"not listed at the upstream\" next=ask-again hint=\"put %s/node.pub there as "
                      "nodes.d/%s.pub, then SIGHUP\"", held, s->dir, s->node);
            break;
        }
        log_warn("edge.refused", "code=%" PRIu64 " held=%u next=ask-again", n->a, held);
        break;
    default: break;
    }
}

void edge_say_note(struct edge_say *s, const struct note *n, const char *fault, const uint8_t cluster[CLUSTER_LEN])
{
    char hex[2 * CLUSTER_LEN + 1];
    unsigned held;
    switch (n->kind) {
    case NOTE_JOINED:
        log_info("edge.joined", "cluster=%s", text_hex(hex, sizeof hex, bytes_of(cluster, CLUSTER_LEN)));
        break;
    case NOTE_LIVE:
        if (log_brake_pass(&s->live, clock_mono_ms(), 3, &held))
            log_info("edge.live", "seq=%" PRIu64, n->a);
        break;
    case NOTE_BEHIND:  log_debug("edge.behind", "have=%" PRIu64 " head=%" PRIu64 " next=fetch", n->a, n->b); break;
    case NOTE_HELLO:   log_debug("edge.hello", "first=%" PRIu64 " last=%" PRIu64, n->a, n->b); break;
    case NOTE_FORK:    log_error("edge.fork", "seq=%" PRIu64 " err=\"%s\" next=copy", n->a, err_text(ERR_FORK)); break;
    case NOTE_ROTTEN:
        log_warn("edge.rotten", "seq=%" PRIu64 " err=\"what is stored is not what was written\" next=copy", n->a);
        break;
    case NOTE_STOPPED: edge_say_stopped(s, n->a); break;
    case NOTE_MISMATCH: case NOTE_FULL: case NOTE_STORE: case NOTE_RESUMED:
        say_store(s, n, fault);
        break;
    case NOTE_COPY: case NOTE_COPIED: case NOTE_COPY_SAME: case NOTE_COPY_BAD: case NOTE_LATER:
        say_copy(s, n, fault);
        break;
    case NOTE_SERVER_LOG: case NOTE_SILENT: case NOTE_LEFT: case NOTE_HOME: case NOTE_TIMEOUT: case NOTE_REFUSED: case NOTE_STALLED:
        say_upstream(s, n);
        break;
    }
}

void edge_say_bad(struct edge_say *s, enum err err, const char *from, unsigned upstream)
{
    unsigned held;
    if (err == OK || !log_brake_pass_in(&s->bad[(unsigned)-err % 8], clock_mono_ms(), LOG_SLOW_MS, UPSTREAM_BURST, &held))
        return;
    log_warn("edge.bad-message", "from=%s upstream=%u err=\"%s\" held=%u next=drop%s", from, upstream, err_text(err), held,
             err == ERR_CLUSTER ? " hint=\"to change clusters, stop and remove all but node.key and node.pub\""
             : err == ERR_SIGNATURE ? " hint=\"edge.core_key must be the line in the core's node.pub\"" : "");
}

void edge_say_heard(struct edge_say *s, uint64_t age_ms, unsigned upstream)
{
    if (!s->silent_said || age_ms >= HEARD_MS)
        return;
    s->silent_said = false;
    log_info("edge.heard", "age_ms=%" PRIu64 " upstream=%u", age_ms, upstream);
}

void edge_say_stopped(struct edge_say *s, uint64_t applied)
{
    uint64_t now = clock_mono_ms();
    if (s->stopped_said && now - s->stopped_ms < SAY_AGAIN_MS)
        return;
    s->stopped_said = true;
    s->stopped_ms = now;
    log_error("edge.stopped", "applied=%" PRIu64 " err=\"a fresh copy has a wrong digest too\" next=wait-for-new-epoch", applied);
}
