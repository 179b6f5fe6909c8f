/* azoth.yaml: one file for all daemons. Each daemon checks all of it and reads its part. Keys, defaults and
 * meaning: azoth.yaml(5) and etc/azoth.yaml. Read with libcyaml; sizes and durations are strings in the file and
 * numbers here; a part that is absent in the file is NULL here.
 *
 * An unknown key, a missing required one or a bad value: ERR_CONFIG, and the fault names file, line and key. */
#ifndef AZOTH_CONFIG_CONFIG_H
#define AZOTH_CONFIG_CONFIG_H

#include "base/err.h"
#include "base/log.h"
#include "base/net.h"

#define CONFIG_FILE_MAX ((size_t)16 * 1024 * 1024)
#define CONFIG_LISTEN_MAX 64
#define CONFIG_UPSTREAM_MAX 16
#define CONFIG_WORKERS_MAX 256
#define CONFIG_COPIES_MAX 64
#define CONFIG_NSID_MAX 128         /* bytes; it takes room from every answer that is asked to carry it */
#define CONFIG_VERSION_MAX 255      /* one string of a TXT record */
#define CONFIG_COOKIE_SECRETS 2
#define CONFIG_COOKIE_LEN 16

struct config_node { const char *name, *dir; uint64_t map_size; };      /* name default: host name; map_size default 64G */
struct config_links { const char *publish, *serve, *collect; };         /* nanomsg addresses: tcp:// or ipc:// */
struct config_zone { const char *name, *file; };
struct config_snapshots { uint64_t rate; unsigned at_once; };           /* bytes a second, default 200M; nodes, default 4 */
struct config_http { const char *listen; };                             /* ADDRESS@PORT, or NULL when off */
/* core.dns.transfers: zones from their primaries; bytes, bytes a second and milliseconds. */
struct config_transfers {
    uint64_t at_once, per_primary;              /* transfers, defaults 16 and 4 */
    uint64_t memory;                            /* of all together; 0: an eighth of the machine's */
    uint64_t zone_size, zone_records;           /* of one: its messages, its records; defaults 4G, 50 M */
    uint64_t steps_records;                     /* of an IXFR: beyond it all of the zone is asked for; default 100,000 */
    uint64_t time, rate;                        /* of one: the longest, and the least bytes a second (0: none); defaults 1h, 1k */
    uint64_t refresh_min, refresh_max, retry_min, retry_max, expire_max;        /* bounds on what a SOA says: 30s, 1d, 15s, 1h, 28d */
};

struct config_rrl { uint32_t rate, slip; const struct net *allow; size_t allow_n; };       /* rate 0: off */
struct config_core {
    struct config_links links;
    const char *nodes;                          /* folder of NAME.pub */
    bool encrypt;
    uint64_t retention_ms, retention_bytes;     /* log_retention, defaults 7d and 4G */
    uint64_t journal_ms, journal_bytes;         /* journal, defaults 30d and 1G */
    struct config_snapshots snapshots;
    const char *api_listen, *api_key_file, *api_cert, *api_key;         /* NULL when absent */
    const char *const *dns_listen; size_t dns_listens;
    const struct net *dns_proxies; size_t dns_proxies_n;
    struct config_transfers dns_transfers;
    struct config_rrl dns_rrl;                  /* default: 100, every second one truncated */
    struct config_zone *zones; size_t zones_n;
    struct config_http http;
};
struct config_edge {
    uint8_t core_key[32];                       /* Ed25519 public key of the core */
    const char *cohort;                         /* default "all" */
    struct config_links *upstreams; size_t upstreams_n;     /* at least one */
    struct config_links *relay;                 /* NULL: no relay */
    const char *relay_nodes;                    /* folder of NAME.pub; NULL: no relay */
    struct config_snapshots relay_snapshots;
    uint64_t retention_ms, retention_bytes;     /* log_retention, defaults as the core's */
    struct config_http http;
};
struct config_dns {
    const char *const *listen; size_t listens;  /* ADDRESS@PORT */
    unsigned workers;                           /* default 1 */
    uint64_t cache;                             /* bytes, default 64M; 0: off */
    const char *nsid, *version;                 /* NULL when absent */
    struct { uint8_t secret[CONFIG_COOKIE_SECRETS][CONFIG_COOKIE_LEN]; unsigned n; bool off; } cookie;  /* n 0: none given */
    const struct net *proxies; size_t proxies_n;
    struct config_rrl rrl;                      /* default: off */
    struct { const char *const *listen; size_t listens; const char *cert, *key; } tls;
    struct { uint64_t idle_ms, connections, per_client; } tcp;  /* defaults 10s, 1000 and a quarter of them; per_client 0: no limit */
    struct config_http http;
};
struct config {
    struct config_node node;
    struct config_core *core;
    struct config_edge *edge;
    struct config_dns *dns;
    struct { enum log_level level; bool json; } log;
};

/* *out is owned by the caller until config_free; all strings belong to it. */
MUST_USE enum err config_load(const char *path, struct config **out, struct fault *fault);
void config_free(struct config *c);

#endif
