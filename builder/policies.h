/* What the source says of zones and TSIG keys, kept as long as source_version stands still: asked for with each message of
 * core.dns. One thread's. */
#ifndef AZOTH_BUILDER_POLICIES_H
#define AZOTH_BUILDER_POLICIES_H

#include "base/net.h"
#include "builder/notifier.h"
#include "builder/rights.h"
#include "builder/settings.h"
#include "builder/source.h"
#include "wire/tsig_sign.h"

struct policy_key {
    struct tsig_key key;
    struct rights rights;
    struct arena arena;                 /* the secret and the rights */
    unsigned users;
    struct policy_key *next;
};
struct policy_zone {
    struct name apex;
    enum zone_kind kind;
    struct net *update_acl; size_t update_acl_n;
    struct net *transfer_acl; size_t transfer_acl_n;    /* networks that may take the zone, and names of keys that may */
    struct name *transfer_keys; size_t transfer_keys_n;
    struct notify_target *notify; size_t notify_n;      /* who is told of changes */
    struct net *peers; size_t peers_n;  /* the addresses of those, and of primaries */
    struct policy_zone *next;
};

struct policies;
MUST_USE enum err policies_open(struct policies **out, struct source *s);
void policies_close(struct policies *k);                          /* all keys are given back; NULL is fine */
/* The key stays as it is until it is given back. ERR_NOTFOUND; ERR_BAD: a stored one does not read; the storage's errors. */
MUST_USE enum err policies_key(struct policies *k, struct bytes name, struct policy_key **out, struct fault *fault);
void policies_key_give(struct policy_key *key);                 /* NULL is fine */
/* Borrowed until the next call. */
MUST_USE enum err policies_zone(struct policies *k, struct bytes apex, const struct policy_zone **out, struct fault *fault);

#endif
