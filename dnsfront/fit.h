/* What of the configuration fits this machine, and which of its keys a running azoth-dns cannot take over. */
#ifndef AZOTH_DNSFRONT_FIT_H
#define AZOTH_DNSFRONT_FIT_H

#include "config/config.h"

struct machine { uint64_t memory_bytes; unsigned cpus; };      /* cpus: those that this process may run on */
void machine_read(struct machine *out);

/* ERR_CONFIG: what it asks for would only fail later, or make the machine swap. */
MUST_USE enum err fit_check(const struct config_dns *c, const struct machine *m, struct fault *fault);

/* The keys in which `now` differs from `was` and which count from the next start on, as "dns.listen,dns.cache" in out; how
 * many they are. The log's keys, the cookies' secrets and the certificate's
 * files are not among them: SIGHUP takes those over. */
#define FIT_KEYS_TEXT 256
unsigned fit_restart_keys(const struct config *was, const struct config *now, char out[FIT_KEYS_TEXT]);

#endif
