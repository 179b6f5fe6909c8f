/* What the files of this folder share about records and complaints; zone.h is the public part. */
#ifndef AZOTH_BUILDER_RECORDS_H
#define AZOTH_BUILDER_RECORDS_H

#include "builder/zone.h"

/* Empties z for the next zone and keeps its memory. */
void zone_restart(struct zone *z, struct bytes apex, const char *source);
/* As zone_add, but owner is lower case and stays where it is. */
MUST_USE enum err zone_put(struct zone *z, struct bytes owner, uint16_t type, uint32_t ttl, struct bytes rdata,
                           uint32_t line);

void op_list_restart(struct op_list *l);
MUST_USE enum err op_list_put(struct op_list *l, const struct op *op);          /* copies nothing */

#endif
