/* The shape of azoth.yaml for libcyaml. Every number, size and duration is text in the file: an absent optional one is
 * then NULL and not 0, and the units are ours (config.c turns them into numbers). */
#include "config/schema.h"

#define OPTIONAL (CYAML_FLAG_OPTIONAL | CYAML_FLAG_POINTER)
#define TEXT(name, flags, type, member) CYAML_FIELD_STRING_PTR(name, flags, type, member, 1, CYAML_UNLIMITED)
#define PART(name, type, member, fields) CYAML_FIELD_MAPPING_PTR(name, OPTIONAL, type, member, fields)
#define LIST(name, type, member, entry, most) CYAML_FIELD_SEQUENCE(name, OPTIONAL, type, member, entry, 0, most)

static const cyaml_schema_value_t text_value = { CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, CYAML_UNLIMITED) };

static const cyaml_schema_field_t node_fields[] = {
    TEXT("name", OPTIONAL, struct yaml_node, name),
    TEXT("dir", CYAML_FLAG_POINTER, struct yaml_node, dir),
    TEXT("map_size", OPTIONAL, struct yaml_node, map_size),
    CYAML_FIELD_END
};
static const cyaml_schema_field_t http_fields[] = {
    TEXT("listen", CYAML_FLAG_POINTER, struct yaml_http, listen),
    CYAML_FIELD_END
};
static const cyaml_schema_field_t retention_fields[] = {
    TEXT("age", OPTIONAL, struct yaml_retention, age),
    TEXT("size", OPTIONAL, struct yaml_retention, size),
    CYAML_FIELD_END
};
static const cyaml_schema_field_t snapshots_fields[] = {
    TEXT("rate", OPTIONAL, struct yaml_snapshots, rate),
    TEXT("at_once", OPTIONAL, struct yaml_snapshots, at_once),
    CYAML_FIELD_END
};
static const cyaml_schema_field_t api_fields[] = {
    TEXT("listen", CYAML_FLAG_POINTER, struct yaml_api, listen),
    TEXT("key_file", CYAML_FLAG_POINTER, struct yaml_api, key_file),
    TEXT("cert", OPTIONAL, struct yaml_api, cert),
    TEXT("key", OPTIONAL, struct yaml_api, key),
    CYAML_FIELD_END
};
static const cyaml_schema_field_t transfers_fields[] = {
    TEXT("at_once", OPTIONAL, struct yaml_transfers, at_once),
    TEXT("per_primary", OPTIONAL, struct yaml_transfers, per_primary),
    TEXT("memory", OPTIONAL, struct yaml_transfers, memory),
    TEXT("zone_size", OPTIONAL, struct yaml_transfers, zone_size),
    TEXT("zone_records", OPTIONAL, struct yaml_transfers, zone_records),
    TEXT("steps_records", OPTIONAL, struct yaml_transfers, steps_records),
    TEXT("time", OPTIONAL, struct yaml_transfers, time),
    TEXT("rate", OPTIONAL, struct yaml_transfers, rate),
    TEXT("refresh_min", OPTIONAL, struct yaml_transfers, refresh_min),
    TEXT("refresh_max", OPTIONAL, struct yaml_transfers, refresh_max),
    TEXT("retry_min", OPTIONAL, struct yaml_transfers, retry_min),
    TEXT("retry_max", OPTIONAL, struct yaml_transfers, retry_max),
    TEXT("expire_max", OPTIONAL, struct yaml_transfers, expire_max),
    CYAML_FIELD_END
};
static const cyaml_schema_field_t rrl_fields[] = {
    TEXT("rate", CYAML_FLAG_POINTER, struct yaml_rrl, rate),
    TEXT("slip", OPTIONAL, struct yaml_rrl, slip),
    LIST("allow", struct yaml_rrl, allow, &text_value, CONFIG_LISTEN_MAX),
    CYAML_FIELD_END
};
static const cyaml_schema_field_t core_dns_fields[] = {
    LIST("listen", struct yaml_core_dns, listen, &text_value, CONFIG_LISTEN_MAX),
    LIST("proxies", struct yaml_core_dns, proxies, &text_value, CONFIG_LISTEN_MAX),
    PART("rrl", struct yaml_core_dns, rrl, rrl_fields),
    PART("transfers", struct yaml_core_dns, transfers, transfers_fields),
    CYAML_FIELD_END
};
static const cyaml_schema_field_t zone_fields[] = {
    TEXT("name", CYAML_FLAG_POINTER, struct config_zone, name),
    TEXT("file", CYAML_FLAG_POINTER, struct config_zone, file),
    CYAML_FIELD_END
};
static const cyaml_schema_value_t zone_value = { CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct config_zone, zone_fields) };

static const cyaml_schema_field_t core_fields[] = {
    TEXT("publish", CYAML_FLAG_POINTER, struct yaml_core, publish),
    TEXT("serve", CYAML_FLAG_POINTER, struct yaml_core, serve),
    TEXT("collect", OPTIONAL, struct yaml_core, collect),
    TEXT("nodes", OPTIONAL, struct yaml_core, nodes),
    TEXT("encrypt", OPTIONAL, struct yaml_core, encrypt),
    PART("log_retention", struct yaml_core, log_retention, retention_fields),
    PART("journal", struct yaml_core, journal, retention_fields),
    PART("snapshots", struct yaml_core, snapshots, snapshots_fields),
    PART("api", struct yaml_core, api, api_fields),
    PART("dns", struct yaml_core, dns, core_dns_fields),
    LIST("zones", struct yaml_core, zones, &zone_value, CYAML_UNLIMITED),
    PART("http", struct yaml_core, http, http_fields),
    CYAML_FIELD_END
};

static const cyaml_schema_field_t upstream_fields[] = {
    TEXT("publish", CYAML_FLAG_POINTER, struct config_links, publish),
    TEXT("serve", CYAML_FLAG_POINTER, struct config_links, serve),
    TEXT("collect", OPTIONAL, struct config_links, collect),
    CYAML_FIELD_END
};
static const cyaml_schema_value_t upstream_value = { CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct config_links, upstream_fields) };

static const cyaml_schema_field_t relay_fields[] = {
    TEXT("publish", CYAML_FLAG_POINTER, struct yaml_relay, publish),
    TEXT("serve", CYAML_FLAG_POINTER, struct yaml_relay, serve),
    TEXT("collect", OPTIONAL, struct yaml_relay, collect),
    TEXT("nodes", OPTIONAL, struct yaml_relay, nodes),
    PART("snapshots", struct yaml_relay, snapshots, snapshots_fields),
    CYAML_FIELD_END
};
static const cyaml_schema_field_t edge_fields[] = {
    TEXT("core_key", CYAML_FLAG_POINTER, struct yaml_edge, core_key),
    TEXT("cohort", OPTIONAL, struct yaml_edge, cohort),
    CYAML_FIELD_SEQUENCE("upstream", CYAML_FLAG_POINTER, struct yaml_edge, upstream, &upstream_value, 1, CONFIG_UPSTREAM_MAX),
    PART("log_retention", struct yaml_edge, log_retention, retention_fields),
    PART("relay", struct yaml_edge, relay, relay_fields),
    PART("http", struct yaml_edge, http, http_fields),
    CYAML_FIELD_END
};

static const cyaml_schema_field_t tls_fields[] = {
    LIST("listen", struct yaml_tls, listen, &text_value, CONFIG_LISTEN_MAX),
    TEXT("cert", CYAML_FLAG_POINTER, struct yaml_tls, cert),
    TEXT("key", CYAML_FLAG_POINTER, struct yaml_tls, key),
    CYAML_FIELD_END
};
static const cyaml_schema_field_t tcp_fields[] = {
    TEXT("idle", OPTIONAL, struct yaml_tcp, idle),
    TEXT("connections", OPTIONAL, struct yaml_tcp, connections),
    TEXT("per_client", OPTIONAL, struct yaml_tcp, per_client),
    CYAML_FIELD_END
};
static const cyaml_schema_field_t dns_fields[] = {
    CYAML_FIELD_SEQUENCE("listen", CYAML_FLAG_POINTER, struct yaml_dns, listen, &text_value, 1, CONFIG_LISTEN_MAX),
    TEXT("workers", OPTIONAL, struct yaml_dns, workers),
    TEXT("cache", OPTIONAL, struct yaml_dns, cache),
    TEXT("nsid", OPTIONAL, struct yaml_dns, nsid),
    TEXT("version", OPTIONAL, struct yaml_dns, version),
    TEXT("cookie_secret", OPTIONAL, struct yaml_dns, cookie_secret),
    LIST("proxies", struct yaml_dns, proxies, &text_value, CONFIG_LISTEN_MAX),
    PART("rrl", struct yaml_dns, rrl, rrl_fields),
    PART("tls", struct yaml_dns, tls, tls_fields),
    PART("tcp", struct yaml_dns, tcp, tcp_fields),
    PART("http", struct yaml_dns, http, http_fields),
    CYAML_FIELD_END
};
static const cyaml_schema_field_t log_fields[] = {
    TEXT("level", OPTIONAL, struct yaml_log, level),
    TEXT("format", OPTIONAL, struct yaml_log, format),
    CYAML_FIELD_END
};

static const cyaml_schema_field_t top_fields[] = {
    CYAML_FIELD_MAPPING("node", CYAML_FLAG_DEFAULT, struct yaml_top, node, node_fields),
    PART("core", struct yaml_top, core, core_fields),
    PART("edge", struct yaml_top, edge, edge_fields),
    PART("dns", struct yaml_top, dns, dns_fields),
    PART("log", struct yaml_top, log, log_fields),
    CYAML_FIELD_END
};
const cyaml_schema_value_t yaml_top_schema = { CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct yaml_top, top_fields) };
