/* Inside secondary*.c only. */
#ifndef AZOTH_BUILDER_SECONDARY_PARTS_H
#define AZOTH_BUILDER_SECONDARY_PARTS_H

#include "base/log.h"
#include "builder/policies.h"
#include "builder/secondary.h"
#include "builder/xfrin_apply.h"
#include "dnsfront/listen.h"

#include <event2/event.h>
#include <pthread.h>

#define SECONDARY_TEXT_MAX 64
/* A primary as settings name it: its place in the list is the scheduler's number. They stay until the end. */
struct secondary_primary {
    char text[SECONDARY_TEXT_MAX];              /* ADDRESS@PORT */
    struct listen_address address;
    struct net host;
    struct name key;                            /* len 0: none */
    uint64_t udp_after_ms[2];                   /* SOA, IXFR: not over UDP before, which was lost or in vain where TCP was not */
};
/* A zone as the source had it when it was read last, in the source's order. */
struct secondary_zone {
    uint64_t settings; uint32_t *primaries; unsigned n;
    bool large;                                 /* its last steps did not fit into a datagram: so the next ones may not */
    uint64_t records;                           /* since it came as a whole, about; 0: not known */
    uint8_t apex_len; uint8_t apex[];
};

struct secondary_job;
struct secondary_kept { struct name apex; struct refresh_kept kept; };
struct secondary {
    struct secondary_options o;
    struct refresh *refresh;
    struct policies *policies;
    struct view *view;
    struct secondary_primary *primaries; size_t primaries_n, primaries_cap;
    struct secondary_zone **zones; size_t zones_n;
    uint64_t version, read_ms; bool was_read;   /* of the source; when it may be read again */
    struct event *timer, *tick, *bell;
    int bell_fd;
    pthread_mutex_t lock;
    struct secondary_job *told;                 /* whose change was told, by any thread; under lock */
    struct secondary_job *jobs;
    struct secondary_kept *kept; size_t kept_n, kept_cap;
    bool stopping;
    unsigned ticks;
    struct log_brake brake_failed, brake_again, brake_recovered;
    stat_count questions, answers_bad, silent, whole, steps, current, failed, expired, revived;
    stat_count zones_now, waiting_now, transfers_now, expired_now, failing_now, oldest_now, bytes_now;
};

enum secondary_stage { STAGE_UDP, STAGE_CONNECT, STAGE_TCP, STAGE_CHANGE };
struct secondary_job {
    struct secondary *s;
    struct secondary_job *prev, *next, *told;
    struct refresh_todo todo;
    enum secondary_stage stage;
    enum xfrin_kind kind;
    struct policy_key *key;
    struct xfrin *x;
    int fd;                                     /* UDP; -1 */
    struct event *readable, *timeout;
    struct bufferevent *bev;
    unsigned tries;
    bool heard, retried_all, udp_lost, over_udp;
    bool udp_tried;                             /* an IXFR, which a datagram did not bring */
    bool has_serial; uint32_t serial;           /* the primary's, when it told it */
    uint64_t begun_ms, until_ms, heard_ms;      /* heard_ms: of the first message of this connection */
    bool has_soa; uint32_t from; size_t soa_len; uint8_t soa[1024];
    bool putting;                               /* its change is with the changer */
    struct change change;
};

/* --- secondary_zones.c --------------------------------------------------------------------------------------------------- */
/* Brings the scheduler up to date with the source. */
void secondary_read_zones(struct secondary *s);
void secondary_drop_zones(struct secondary *s);
struct secondary_zone *secondary_find(struct secondary *s, struct bytes apex);       /* NULL: no such zone */
/* The SOA's RDATA of a zone that has data, and its timers. false: it has none. */
bool secondary_soa(struct secondary *s, struct bytes apex, uint8_t *rdata, size_t cap, size_t *len, uint32_t *serial,
                   struct refresh_timers *t);

/* --- secondary_ask.c ------------------------------------------------------------------------------------------------------- */
/* Ends in secondary_end, at once or later. */
void secondary_ask(struct secondary_job *j);
void secondary_change_told(struct secondary_job *j);        /* in the base's thread */
void secondary_ask_close(struct secondary_job *j);          /* sockets, timers, the transfer, the key */

/* --- secondary_tell.c ------------------------------------------------------------------------------------------------------- */
void secondary_count(struct secondary *s, const struct secondary_job *j, enum refresh_outcome outcome);
/* On the board, which is held, before the scheduler is told. why: NULL when it went well. true: the log should have it too. */
bool secondary_note(struct secondary_job *j, enum refresh_outcome outcome, uint32_t serial, const char *why);
/* In the log. turn: what the board said behind the scheduler. */
void secondary_tell(struct secondary_job *j, enum refresh_outcome outcome, uint32_t serial, const char *why, bool is_news, enum board_turn turn);
void secondary_look(struct secondary *s);                   /* figures of now */
void secondary_look_far(struct secondary *s);               /* those that need a look at every zone */

/* --- secondary.c ------------------------------------------------------------------------------------------------------------ */
void secondary_put(struct secondary_job *j);                /* j->change goes to the changer */
/* why: NULL when it went well. Frees j. */
void secondary_end(struct secondary_job *j, enum refresh_outcome outcome, uint32_t serial, const char *why);

#endif
