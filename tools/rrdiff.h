/* A difference of RRsets, as the API tells it, for people's eyes: one record per line, as in a zone file.
 *
 *     - www.example.com. 300 IN A 192.0.2.1          red
 *     + www.example.com. 300 IN A 192.0.2.2          green */
#ifndef AZOTH_TOOLS_RRDIFF_H
#define AZOTH_TOOLS_RRDIFF_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* reply: has "differences" and maybe "cut", "added", "removed". most: RRsets printed at most, 0: all; what is left out is
 * counted in a line of its own. */
void rrdiff_print(FILE *to, const json_t *reply, size_t most);
/* Records that go and that come, the SOA's apart, which moves with every change; a record whose TTL alone changes does
 * neither. When the API has cut the differences off: at least as many as it has counted. */
struct rrdiff_count { uint64_t go, come; };
struct rrdiff_count rrdiff_count(const json_t *reply);
/* The serial of the SOA before the change; false: the SOA does not stand in the difference. */
bool rrdiff_serial(const json_t *reply, uint32_t *out);

#endif
