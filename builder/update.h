/* UPDATE (RFC 2136): a message read, judged, and made a change of the zone. Pure.
 *
 *     update_read ─► [TSIG, who may] ─► update_prescan ─► update_plan (a change's plan, change.h) ─► update_rcode
 *        sections         the shell's      section 3.4.1      prerequisites, then the edits in order
 *
 *     │ header, opcode 5 │ zone: one question │ prerequisites │ edits │ additional: OPT, TSIG (last) │
 *
 * What differs from section 3's order of checks: who may is asked, and the edits are prescanned, before prerequisites are
 * looked at, so that nobody learns from their rcodes what a zone holds that it may not change. */
#ifndef AZOTH_BUILDER_UPDATE_H
#define AZOTH_BUILDER_UPDATE_H

#include "builder/change.h"
#include "wire/rrtype.h"

/* A prerequisite or an edit. owner: uncompressed, any case; rdata: as in the message until update_prescan, then uncompressed. */
struct update_rr { struct bytes owner, rdata; uint32_t ttl; uint16_t type, class; };
struct update {
    uint16_t id, flags;
    struct bytes question;              /* of the zone section, for the reply; empty: it could not be read */
    struct name zone;
    struct update_rr *needs, *edits; size_t needs_n, edits_n;
    bool has_edns; uint8_t edns_version; uint16_t udp_size;
    bool has_tsig; uint16_t tsig_at;
    struct bytes msg;                   /* rdata and all above point there */
    /* Whether a record of that owner and type may be touched; NULL: all may. Set by whoever knows the client; called in
     * update_prescan's thread and in the plan's. */
    bool (*may)(void *arg, struct bytes owner, uint16_t type); void *may_arg;
    const struct update_rr *blamed; const char *why;        /* of update_prescan, when it says no: the record, and which rule */
    uint16_t rcode;                     /* update_plan's verdict, anew each time */
    uint32_t edits_ignored;             /* for the log: edits that section 3.4.2 has ignored silently */
};
/* msg: a whole message of opcode UPDATE, at least a header; borrowed as long as out is used. Everything goes into a.
 * Gives an rcode: FORMERR, NOTIMP (class of the zone), BADVERS, SERVFAIL (out of memory). In all cases id, flags, and what was
 * understood of question, EDNS and TSIG are set, so that there can be a reply. */
uint16_t update_read(struct bytes msg, struct arena *a, struct update *out);
/* Section 3.4.1, and RDATA made whole: FORMERR, NOTZONE, REFUSED (may), SERVFAIL. */
uint16_t update_prescan(struct update *u, struct arena *a);
/* "www.example.com. A: ...": what update_prescan said, for the log. Gives out. cap >= UPDATE_TEXT_MAX. */
#define UPDATE_TEXT_MAX (NAME_TEXT_MAX + 160)
const char *update_text(const struct update *u, char *out, size_t cap);
/* A change_plan_fn; arg: the update. ERR_REFUSED: u->rcode says why. */
MUST_USE enum err update_plan(void *arg, struct draft *d, struct fault *fault);
/* What the client is told, given how the change ended. */
uint16_t update_rcode(const struct update *u, const struct change_result *r);
const char *update_rcode_text(uint16_t rcode);              /* "NXRRSET" ... */

#endif
