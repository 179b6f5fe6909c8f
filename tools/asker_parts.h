/* What the files of the asker share. */
#ifndef AZOTH_TOOLS_ASKER_PARTS_H
#define AZOTH_TOOLS_ASKER_PARTS_H

#include "tools/asker.h"
#include "wire/query.h"
#include "wire/tcp.h"

#define SLOT_BITS 9
#define SLOTS (1u << SLOT_BITS)             /* the other bits of an id tell a slot's questions apart */
#define QUERY_MAX (DNS_HEADER_LEN + NAME_MAX_LEN + 4 + 11)
#define STREAM_OUT_MAX (SLOTS * (TCP_PREFIX + QUERY_MAX))     /* a slot waits in it once at most */

enum side_state { SIDE_SEND, SIDE_UDP, SIDE_TCP, SIDE_DONE };
struct side_slot {
    enum side_state state;
    unsigned tries;
    bool again;                             /* asked more than once: its time says nothing */
    uint64_t sent_us, due_us;
    uint8_t *msg;                           /* owned; the answer, when len > 0 */
    size_t len, cap;
};
struct slot { bool used; uint16_t id, query_len; struct question q; struct side_slot side[2]; uint8_t query[QUERY_MAX]; };

/* A connection to a server, made when it is needed: questions in a row, answers in any order. */
struct stream { int fd; uint8_t *out, *in; size_t out_at, out_len, in_len; };

struct asker {
    struct asker_options o;
    struct asker_figures figures[2];
    int fd[2];
    struct stream stream[2];
    struct slot *slots;
    uint16_t free[SLOTS];
    unsigned free_n;
    uint16_t queue[2][SLOTS];               /* slots to be sent over UDP */
    unsigned queue_n[2];
    unsigned window, grown;                 /* how many may be under way; answers since it last grew */
    unsigned vain[2];                       /* questions given up in a row */
    uint64_t best_us, lost_us, swept_us;    /* fastest answer; when the window last shrank; when slots were last looked at */
    uint64_t start_us, given;
    uint16_t generation;
    asker_done *done;
    void *arg;
    bool failed;                            /* `err` ends the run */
    enum err err;
    struct batch *batch;
};

/* asker_slots.c */
void slot_answer(struct asker *a, unsigned server, struct bytes msg, enum side_state from, uint64_t now_us);
void slots_sweep(struct asker *a, uint64_t now_us);     /* what is due is sent again or given up */

/* asker_stream.c */
void stream_init(struct stream *t);
void stream_close(struct asker *a, unsigned server, uint64_t due_us);      /* what waited there is due then */
void stream_release(struct stream *t);
void stream_put(struct asker *a, unsigned server, struct slot *s, uint64_t now_us);
void stream_move(struct asker *a, unsigned server, uint64_t now_us);       /* as much as goes */

#endif
