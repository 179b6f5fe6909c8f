#include "builder/policies.h"

#include <openssl/crypto.h>
#include <stdlib.h>

#define BUCKETS 64
#define KEPT_MAX 256            /* of each; beyond that all are asked for anew */

struct policies {
    struct source *source;
    uint64_t version;                   /* of the source, when the first of these was asked for */
    struct policy_key *keys[BUCKETS];
    struct policy_zone *zones[BUCKETS];
    unsigned keys_n, zones_n;
};

static size_t bucket_of(struct bytes name)
{
    struct name lower = { .len = (uint8_t)name.len };
    memcpy(lower.wire, name.ptr, name.len);
    name_lower(lower.wire, lower.len);
    return (size_t)(bytes_fnv(BYTES_FNV_START, name_bytes(&lower)) % BUCKETS);
}

void policies_key_give(struct policy_key *key)
{
    if (key == NULL || --key->users > 0)
        return;
    OPENSSL_cleanse((uint8_t *)(uintptr_t)key->key.secret.ptr, key->key.secret.len);
    arena_release(&key->arena);
    free(key);
}

static void zone_free(struct policy_zone *z)
{
    free(z->update_acl);
    free(z->transfer_acl);
    free(z->transfer_keys);
    free(z->notify);
    free(z->peers);
    free(z);
}

static void forget(struct policies *k)
{
    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct policy_key *key = k->keys[i], *next; key != NULL; key = next) {
            next = key->next;
            policies_key_give(key);
        }
        for (struct policy_zone *z = k->zones[i], *next; z != NULL; z = next) {
            next = z->next;
            zone_free(z);
        }
        k->keys[i] = NULL;
        k->zones[i] = NULL;
    }
    k->keys_n = k->zones_n = 0;
}

/* Before anything is looked up: the version is that from before what is read next, so a change meanwhile is seen later. */
static void follow(struct policies *k)
{
    uint64_t version = source_version(k->source);
    if (version == k->version && k->keys_n < KEPT_MAX && k->zones_n < KEPT_MAX)
        return;
    forget(k);
    k->version = version;
}

MUST_USE enum err policies_open(struct policies **out, struct source *s)
{
    struct policies *k = calloc(1, sizeof *k);
    if (k == NULL)
        return ERR_NOMEM;
    k->source = s;
    k->version = source_version(s);
    *out = k;
    return OK;
}

void policies_close(struct policies *k)
{
    if (k == NULL)
        return;
    forget(k);
    free(k);
}

/* --- keys --------------------------------------------------------------------------------------------------------------- */
static enum err fill_key(struct policy_key *key, const struct tsig_key_row *row, struct fault *fault)
{
    key->key.name = row->name;
    if (tsig_hash_of_text(row->algorithm, &key->key.hash) != OK)
        return fault_set(fault, ERR_NOTFOUND, "the key's algorithm is not one of ours");     /* hmac-md5, of PowerDNS's API */
    key->key.secret = arena_copy(&key->arena, row->secret);
    if (key->key.secret.ptr == NULL)
        return ERR_NOMEM;
    return rights_read(row->rights, &key->arena, &key->rights, fault);
}

static enum err read_key(struct policies *k, struct bytes name, struct policy_key *key, struct fault *fault)
{
    struct source_txn *t;
    struct tsig_key_row row;
    enum err err = source_begin(k->source, SOURCE_READ_NAMED, &t, fault);
    if (err != OK)
        return err;
    err = source_tsig(t, name, &row);
    if (err == OK)
        err = fill_key(key, &row, fault);
    source_abort(t);
    return err;
}

MUST_USE enum err policies_key(struct policies *k, struct bytes name, struct policy_key **out, struct fault *fault)
{
    follow(k);
    struct policy_key **head = &k->keys[bucket_of(name)], *key = *head;
    while (key != NULL && !name_equal(name_bytes(&key->key.name), name))
        key = key->next;
    if (key == NULL) {
        if ((key = calloc(1, sizeof *key)) == NULL)
            return ERR_NOMEM;
        key->users = 1;                         /* ours */
        arena_init(&key->arena);
        enum err err = read_key(k, name, key, fault);
        if (err != OK) {
            policies_key_give(key);
            return err;
        }
        key->next = *head;
        *head = key;
        k->keys_n++;
    }
    key->users++;
    *out = key;
    return OK;
}

/* --- zones --------------------------------------------------------------------------------------------------------------- */
#define KEY_PREFIX "key:"

static enum err fill_transfer(struct policy_zone *z, const struct text_list *l, struct fault *fault)
{
    if (l->n == 0)
        return OK;
    z->transfer_acl = calloc(l->n, sizeof *z->transfer_acl);
    z->transfer_keys = calloc(l->n, sizeof *z->transfer_keys);
    if (z->transfer_acl == NULL || z->transfer_keys == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < l->n; i++) {
        const char *text = l->v[i];
        bool key = strncmp(text, KEY_PREFIX, sizeof KEY_PREFIX - 1) == 0;
        struct bytes name = bytes_of_text(key ? text + sizeof KEY_PREFIX - 1 : "");
        if (key ? name_from_text(name, (struct bytes){ 0 }, &z->transfer_keys[z->transfer_keys_n++]) != OK
                : net_parse(text, &z->transfer_acl[z->transfer_acl_n++]) != OK)
            return fault_set(fault, ERR_BAD, "transfer_acl: %s is neither a network nor a key", text);
    }
    return OK;
}

static enum err fill_notify(struct policy_zone *z, const struct text_list *l, struct fault *fault)
{
    if (l->n > 0 && (z->notify = calloc(l->n, sizeof *z->notify)) == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < l->n; i++)
        if (notify_target_parse(l->v[i], &z->notify[z->notify_n++]) != OK)
            return fault_set(fault, ERR_BAD, "notify: %s is no address", l->v[i]);
    return OK;
}

/* Behind fill_notify. */
static enum err fill_peers(struct policy_zone *z, const struct zone_settings *s, struct fault *fault)
{
    size_t n = z->notify_n + s->primaries_n;
    if (n > 0 && (z->peers = calloc(n, sizeof *z->peers)) == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < z->notify_n; i++)
        z->peers[z->peers_n++] = z->notify[i].address;
    for (size_t i = 0; i < s->primaries_n; i++) {
        struct notify_target t;
        if (notify_target_parse(s->primaries[i].address, &t) != OK)
            return fault_set(fault, ERR_BAD, "primaries: %s is no address", s->primaries[i].address);
        z->peers[z->peers_n++] = t.address;
    }
    return OK;
}

static enum err fill_zone(struct policy_zone *z, const struct zone_row *row, struct arena *a, struct fault *fault)
{
    struct zone_settings s;
    enum err err = settings_read(row->settings, a, &s, fault);
    z->apex = row->apex;
    z->kind = s.kind;
    size_t n = err == OK ? s.update_acl.n : 0;
    if (n > 0 && (z->update_acl = calloc(n, sizeof *z->update_acl)) == NULL)
        err = ERR_NOMEM;
    for (size_t i = 0; err == OK && i < n; i++)
        if ((err = net_parse(s.update_acl.v[i], &z->update_acl[z->update_acl_n++])) != OK)
            err = fault_set(fault, ERR_BAD, "update_acl: %s is no network", s.update_acl.v[i]);
    if (err == OK)
        err = fill_transfer(z, &s.transfer_acl, fault);
    if (err == OK)
        err = fill_notify(z, &s.notify, fault);
    if (err == OK)
        err = fill_peers(z, &s, fault);
    settings_release(&s);
    return err;
}

static enum err read_zone(struct policies *k, struct bytes apex, struct policy_zone *z, struct fault *fault)
{
    struct source_txn *t;
    struct zone_row row;
    struct arena a;
    enum err err = source_begin(k->source, SOURCE_READ_NAMED, &t, fault);
    if (err != OK)
        return err;
    arena_init(&a);
    err = source_zone(t, apex, &row);
    if (err == OK)
        err = fill_zone(z, &row, &a, fault);
    arena_release(&a);
    source_abort(t);
    return err;
}

MUST_USE enum err policies_zone(struct policies *k, struct bytes apex, const struct policy_zone **out, struct fault *fault)
{
    follow(k);
    struct policy_zone **head = &k->zones[bucket_of(apex)], *z = *head;
    while (z != NULL && !name_equal(name_bytes(&z->apex), apex))
        z = z->next;
    if (z == NULL) {
        if ((z = calloc(1, sizeof *z)) == NULL)
            return ERR_NOMEM;
        enum err err = read_zone(k, apex, z, fault);
        if (err != OK) {
            zone_free(z);
            return err;
        }
        z->next = *head;
        *head = z;
        k->zones_n++;
    }
    *out = z;
    return OK;
}
