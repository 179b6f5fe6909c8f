/* What the files of core_zones.h share. */
#ifndef AZOTH_BUILDER_CORE_ZONES_PARTS_H
#define AZOTH_BUILDER_CORE_ZONES_PARTS_H

#include "builder/core_zones.h"
#include "builder/zonelist.h"

#include <pthread.h>

#define ZONES_LINES_MOST 100        /* more zones than this in one job: good ones are told at level debug only */

struct zones {
    struct zones_options o;
    struct zones_stats stats;
    pthread_mutex_t lock;
    struct zonelist *wish;              /* newest list that no job has taken yet; under lock */
    struct name_set named;              /* of the newest list, taken or not; under lock */
    /* of the writing thread */
    struct zonelist list, known;        /* wanted now; names in DIR/zones.list */
    struct view *view;
    bool retry_waits;
    uint64_t retry_at_ms;
    unsigned failed_n;                  /* jobs in a row that the store failed */
};

/* One job's course. */
struct pass {
    struct zones *z;
    struct load_zone *load;             /* what is given to load_zones */
    struct zone_want **want;            /* of each of them, the entry of z->list */
    struct file_mark *mark;             /* the files as they were before they were read */
    uint8_t (*hash)[FILE_HASH_LEN];
    bool *done;                         /* loaded or refused in this pass */
    size_t n;
    struct source_txn *rows;            /* while files are looked at */
    uint64_t loaded, refused, withdrawn;
    enum err err;                       /* what the store said; OK: it did all */
    struct fault fault;
};

/* The first failure of the store counts. */
void pass_failed(struct pass *p, enum err err, const char *text);
/* The zone has a row: its records, or where they come from, are edited through the API. Between begin and end. */
bool pass_has_row(struct pass *p, struct bytes apex);
bool pass_rows_begin(struct pass *p);       /* false: it failed */
void pass_rows_end(struct pass *p);
/* Refused zones of which the store holds nothing stand there without data: an edge must not say that they are not ours. */
void pass_publish_empty(struct pass *p);
/* Zones that we brought and that nobody wants any more go; those that could not stay in z->known, for the next job. */
void pass_withdraw(struct pass *p);
/* The file and z->known say: what is wanted, and what is known still. Written before the zones come (a crash in between
 * must not leave a zone that nobody remembers as ours) and after the unwanted ones went. */
void pass_remember(struct pass *p);
void pass_forget(struct pass *p, size_t known_before);

#endif
