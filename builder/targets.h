/* Names that records point to, and what to say when nothing is there. */
#ifndef AZOTH_BUILDER_TARGETS_H
#define AZOTH_BUILDER_TARGETS_H

#include "builder/zone.h"

/* The name in the RDATA of NS, CNAME, MX and SRV. false: another type, or it is too short. */
bool target_of(uint16_t type, struct bytes rdata, struct bytes *out);
/* One that is in the zone of that apex and not there (of NS: without address), as a warning. */
#define OCCLUDED "%.200s lies below another zone that is hosted here, and is not served"
struct target { struct bytes owner, name; uint16_t type; uint32_t line; };
void target_warn(const struct target *t, struct bytes apex, struct complaints *c);

#endif
