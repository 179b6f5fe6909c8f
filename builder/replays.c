#include "builder/replays.h"

#include "wire/rrtype.h"

#include <stdlib.h>

#define WAYS 4
#define MAC_LEN 10                  /* no MAC that is sent is shorter (RFC 8945 section 5.2.2.1) */
#define BEING_MADE 0xffff

struct place { uint8_t mac[MAC_LEN]; uint16_t rcode; uint64_t until_s; };      /* until_s 0: free */
struct replays { size_t sets; struct place place[]; };

MUST_USE enum err replays_open(struct replays **out, size_t places)
{
    struct replays *r = calloc(1, sizeof *r + places * sizeof r->place[0]);
    if (r == NULL)
        return ERR_NOMEM;
    r->sets = places / WAYS;
    *out = r;
    return OK;
}

void replays_close(struct replays *r) { free(r); }

/* MACs are as good as random. */
static struct place *set_of(struct replays *r, struct bytes mac)
{
    struct rd rd = rd_over(mac);
    return &r->place[(rd_u32(&rd) & (r->sets - 1)) * WAYS];
}

static struct place *find(struct place *set, struct bytes mac)
{
    for (size_t i = 0; i < WAYS; i++)
        if (set[i].until_s != 0 && memcmp(set[i].mac, mac.ptr, MAC_LEN) == 0)
            return &set[i];
    return NULL;
}

enum replay replays_look(struct replays *r, const struct tsig *t, uint64_t now_s, uint16_t *rcode)
{
    if (t->mac.len < MAC_LEN)
        return REPLAY_NEW;
    struct place *set = set_of(r, t->mac), *p = find(set, t->mac);
    if (p != NULL) {
        *rcode = p->rcode;
        return p->rcode == BEING_MADE ? REPLAY_BEING_MADE : REPLAY_MADE;
    }
    p = set;
    for (size_t i = 0; i < WAYS && p->until_s >= now_s; i++)
        if (set[i].until_s < p->until_s)
            p = &set[i];
    *p = (struct place){ .rcode = BEING_MADE, .until_s = t->time_s + t->fudge_s + 1 };
    memcpy(p->mac, t->mac.ptr, MAC_LEN);
    return REPLAY_NEW;
}

void replays_end(struct replays *r, const struct tsig *t, uint16_t rcode)
{
    struct place *p = t->mac.len < MAC_LEN ? NULL : find(set_of(r, t->mac), t->mac);
    if (p != NULL && rcode == RCODE_SERVFAIL)
        p->until_s = 0;
    else if (p != NULL)
        p->rcode = rcode;
}
