/* Class CH: what a server tells about itself (RFC 4892): version.bind, version.server, id.server, hostname.bind. */
#ifndef AZOTH_DNSFRONT_CHAOS_H
#define AZOTH_DNSFRONT_CHAOS_H

#include "dnsfront/section.h"

/* nsid, version: empty when there is none. The rest is REFUSED. */
void chaos_answer(struct reply *r, struct bytes nsid, struct bytes version);

#endif
