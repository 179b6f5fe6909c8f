/* core.dns.transfers: what transfers of zones from primaries may cost. */
#ifndef AZOTH_CONFIG_TRANSFERS_H
#define AZOTH_CONFIG_TRANSFERS_H

#include "config/schema.h"

/* y: NULL all defaults. NULL, or what is wrong, and *key is the key in the part that it is wrong with; the text is in buf or static. */
#define TRANSFERS_TEXT_MAX 96
const char *transfers_read(const struct yaml_transfers *y, struct config_transfers *out, const char **key, char buf[TRANSFERS_TEXT_MAX]);

#endif
