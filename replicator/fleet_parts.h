/* What the files of the fleet share; for them only. */
#ifndef AZOTH_REPLICATOR_FLEET_PARTS_H
#define AZOTH_REPLICATOR_FLEET_PARTS_H

#include "replicator/fleet.h"

struct histogram { uint64_t bucket[FLEET_BUCKETS], sum_us; };
/* Upper bounds of all buckets but the last. */
extern const uint32_t histogram_us[FLEET_BUCKETS - 1];

struct fleet_counts { uint64_t taken, shape, signature, cluster, unlisted, old, fast, failed; };

const struct histogram *fleet_histogram(const struct fleet *f);
const struct fleet_counts *fleet_counts(const struct fleet *f);

#endif
