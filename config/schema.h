/* azoth.yaml as libcyaml fills it: text everywhere, absent parts NULL. Internal to config/. */
#ifndef AZOTH_CONFIG_SCHEMA_H
#define AZOTH_CONFIG_SCHEMA_H

#include <cyaml/cyaml.h>

#include "config/config.h"

struct yaml_node { char *name, *dir, *map_size; };
struct yaml_http { char *listen; };
struct yaml_retention { char *age, *size; };
struct yaml_snapshots { char *rate, *at_once; };
struct yaml_api { char *listen, *key_file, *cert, *key; };
struct yaml_transfers {
    char *at_once, *per_primary, *memory, *zone_size, *zone_records, *steps_records, *time, *rate;
    char *refresh_min, *refresh_max, *retry_min, *retry_max, *expire_max;
};
struct yaml_rrl { char *rate, *slip; char **allow; unsigned allow_count; };
struct yaml_core_dns { char **listen; unsigned listen_count; char **proxies; unsigned proxies_count; struct yaml_rrl *rrl; struct yaml_transfers *transfers; };
struct yaml_core {
    char *publish, *serve, *collect, *nodes;
    char *encrypt;
    struct yaml_retention *log_retention, *journal;
    struct yaml_snapshots *snapshots;
    struct yaml_api *api;
    struct yaml_core_dns *dns;
    struct config_zone *zones; unsigned zones_count;
    struct yaml_http *http;
};
struct yaml_relay { char *publish, *serve, *collect, *nodes; struct yaml_snapshots *snapshots; };
struct yaml_edge {
    char *core_key, *cohort;
    struct config_links *upstream; unsigned upstream_count;
    struct yaml_retention *log_retention;
    struct yaml_relay *relay;
    struct yaml_http *http;
};
struct yaml_tls { char **listen; unsigned listen_count; char *cert, *key; };
struct yaml_tcp { char *idle, *connections, *per_client; };
struct yaml_dns {
    char **listen; unsigned listen_count;
    char *workers, *cache, *nsid, *version, *cookie_secret;
    char **proxies; unsigned proxies_count;
    struct yaml_rrl *rrl;
    struct yaml_tls *tls;
    struct yaml_tcp *tcp;
    struct yaml_http *http;
};
struct yaml_log { char *level, *format; };
struct yaml_top {
    struct yaml_node node;
    struct yaml_core *core;
    struct yaml_edge *edge;
    struct yaml_dns *dns;
    struct yaml_log *log;
};

extern const cyaml_schema_value_t yaml_top_schema;

/* The line (from 1) on which the key at a dotted path stands, sequence elements by number: "core.zones.3.file";
 * 0: not found. Asks libyaml again, only when there is something to complain about. */
#define WHERE_TEXT_MAX 256
unsigned yaml_line_of(struct bytes text, const char *path);

#endif
