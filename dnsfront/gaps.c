#include "dnsfront/gaps.h"

#include "dnsfront/cache.h"

#include <assert.h>
#include <stdlib.h>

#define KEY_MAX 80                  /* of an owner beside a gap: real ones have 10 to 30 bytes */
#define POINTERS_MAX 16             /* three RRsets with three signatures each make 14 */
#define SAME_LOW 3u                 /* answers of one gap: one for each encloser */
#define NONE UINT32_MAX
#define LOOKS 256u                  /* after so many it is counted anew how many found something: */
#define FOUND_LEAST 26u             /* fewer of these, and only one name in RESTS is looked for */
#define RESTS 32u
#define HANDS 16u                   /* gaps asked in turn who may go */

struct gap {
    uint64_t tick;                  /* of the table of changes */
    uint32_t place;                 /* in it: of the zone, with all below */
    uint16_t body_len;
    uint8_t low_len, high_len;
    uint8_t low_common, high_common;            /* labels that the names of this answer share with the owners beside them */
    uint8_t ns, pointers;
    bool bounded;                   /* false: nothing of the zone is behind it, and there is no high */
    bool asked;                     /* for, since its place was wanted */
    int16_t at[POINTERS_MAX], target[POINTERS_MAX];         /* from the body's first byte on; < 0: in the question */
    uint8_t low[KEY_MAX], high[KEY_MAX];        /* labels of an owner, as in a key (rrkey.h) */
    uint8_t body[CACHE_BODY_MAX];
};
/* The gaps by zone, front, low. tag: a hash of the zone's apex, with the gap's number as its low 16 bits. */
struct order { uint64_t tag, front; };
struct gaps {
    uint32_t n, room;
    uint32_t used;                  /* numbers from here on were never given */
    uint32_t free;                  /* one that was given back, its `place` is the next; NONE: there is none */
    uint32_t turn, crowd, hand;     /* counts of names without a place of their own, and of those at a crowded one; who may go next */
    uint32_t looks, found, skipped;             /* of the last LOOKS */
    bool rests;
    bool wanted;                    /* the answer of the name that was looked for last */
    struct order *order;
    struct gap *gap;
};

static_assert(GAPS_MAX <= 1u << 16, "a gap's number stands in 16 bits");
static_assert(KEY_MAX <= UINT8_MAX && NAME_LABELS_MAX <= UINT8_MAX, "lengths and counts of labels stand in a byte");

MUST_USE enum err gaps_open(struct gaps **out, uint64_t bytes)
{
    uint64_t room = bytes / (sizeof(struct gap) + sizeof(struct order));
    *out = NULL;
    if (room < GAPS_MIN)
        return OK;
    struct gaps *g = calloc(1, sizeof *g);
    if (g == NULL)
        return ERR_NOMEM;
    g->room = room < GAPS_MAX ? (uint32_t)room : GAPS_MAX;
    g->free = NONE;
    g->order = calloc(g->room, sizeof *g->order);
    g->gap = calloc(g->room, sizeof *g->gap);
    if (g->order == NULL || g->gap == NULL) {
        gaps_close(g);
        return ERR_NOMEM;
    }
    *out = g;
    return OK;
}

void gaps_close(struct gaps *g)
{
    if (g == NULL)
        return;
    free(g->order);
    free(g->gap);
    free(g);
}

uint64_t gaps_bytes(const struct gaps *g)
{
    return g != NULL ? g->room * (uint64_t)(sizeof *g->gap + sizeof *g->order) : 0;
}

/* --- order ---------------------------------------------------------------------------------------------------------- */
static struct gap *gap_of(const struct gaps *g, const struct order *o) { return &g->gap[o->tag & 0xffff]; }
static struct bytes low_of(const struct gap *p) { return bytes_of(p->low, p->low_len); }

/* What is looked for: the labels of a name. */
struct sought { struct order order; struct bytes labels; };

/* The bytes of the first labels below the apex decide nearly always, and stand side by side. */
static uint64_t front_of(struct bytes labels, size_t apex)
{
    uint64_t front = 0;
    size_t len = labels.len > apex ? labels.len - apex : 0;
    if (len >= sizeof front)
        front = load8(labels.ptr + apex);
    else if (len > 0)
        memcpy(&front, labels.ptr + apex, len);
    return LOW_BYTE_FIRST ? __builtin_bswap64(front) : front;
}

/* k: a name of that zone; labels: of any. */
static struct sought sought_of(const struct watch *w, const struct rrkey *k, unsigned zone, struct bytes labels)
{
    return (struct sought){ { hash_of_ancestor(w->changes, k, zone) | 0xffff, front_of(labels, k->at[zone]) }, labels };
}

/* Before, not at. */
static bool is_before(const struct gaps *g, const struct order *o, const struct sought *s)
{
    uint64_t tag = o->tag | 0xffff;
    if (tag != s->order.tag)
        return tag < s->order.tag;
    if (o->front != s->order.front)
        return o->front < s->order.front;
    return bytes_compare(low_of(gap_of(g, o)), s->labels) < 0;
}

/* How many gaps begin before it. */
static uint32_t place_for(const struct gaps *g, const struct sought *s)
{
    uint32_t from = 0, n = g->n;
    while (n > 0) {
        uint32_t half = n / 2;
        bool before = is_before(g, &g->order[from + half], s);
        from = before ? from + half + 1 : from;
        n = before ? n - half - 1 : half;
    }
    return from;
}

/* --- finding -------------------------------------------------------------------------------------------------------- */
/* Where k stands to that gap. BESIDE: in it, but deeper below an owner beside it, or less deep, than the names whose answer this is. */
enum side { INSIDE, BESIDE, BEHIND };
static enum side side_of(const struct gap *p, const struct rrkey *k)
{
    unsigned low, high = 0;
    if (p->bounded && rrkey_compare(k, bytes_of(p->high, p->high_len), &high) >= 0)
        return BEHIND;
    if (rrkey_compare(k, low_of(p), &low) <= 0)
        return BEHIND;                          /* at it: the owner itself */
    return low == p->low_common && high == p->high_common && low < k->labels && high < k->labels ? INSIDE : BESIDE;
}

static bool is_stale(const struct gap *p, const struct watch *w) { return !watch_holds(w, p->tick, p->place); }

static bool is_full(const struct gaps *g) { return g->free == NONE && g->used == g->room; }

/* Over many more gaps than there is room for, nearly every look is in vain. */
static bool rests(struct gaps *g)
{
    if (g->looks == LOOKS) {
        g->rests = is_full(g) && g->found < FOUND_LEAST;
        g->looks = g->found = 0;
    }
    return g->rests && ++g->skipped % RESTS != 0;
}

static bool put_body(const struct gap *p, struct reply *r)
{
    size_t body = body_at(r);
    if (p->body_len > r->w.cap - body)
        return false;
    memcpy(r->w.buf + body, p->body, p->body_len);
    r->w.len = body + p->body_len;
    for (unsigned i = 0; i < p->pointers; i++)
        wr_patch_u16(&r->w, body + (size_t)p->at[i], (uint16_t)(0xc000 | ((int)body + p->target[i])));
    r->ns = p->ns;
    r->aa = true;
    r->rcode = RCODE_NXDOMAIN;
    return true;
}

/* The gap in which k lies, with that answer; NULL: none. *stale: one was in the way that is none any more. */
static struct gap *gap_at(const struct gaps *g, const struct watch *w, const struct sought *s, const struct rrkey *k, bool *stale)
{
    uint32_t at = place_for(g, s), end = at < SAME_LOW ? 0 : at - SAME_LOW;
    for (; at > end && (g->order[at - 1].tag | 0xffff) == s->order.tag; at--) {
        struct gap *p = gap_of(g, &g->order[at - 1]);
        enum side side = side_of(p, k);
        bool good = !is_stale(p, w);
        if (side == INSIDE && good)
            return p;
        *stale |= !good;
        if (side == BEHIND && good)             /* what is true no more says nothing of others that begin there */
            break;
    }
    return NULL;
}

bool gaps_find(struct gaps *g, const struct watch *w, const struct rrkey *k, unsigned zone, struct reply *r)
{
    bool stale = false;
    g->wanted = false;
    if (w->tick == 0 || rests(g))
        return false;
    struct sought s = sought_of(w, k, zone, bytes_of(k->buf, k->at[k->labels]));
    struct gap *p = gap_at(g, w, &s, k, &stale);
    g->looks++;
    if (p == NULL) {
        g->wanted = stale || !is_full(g) || ++g->turn % GAPS_TURN == 0;
        return false;
    }
    g->found++;
    if (!p->asked)
        p->asked = true;
    return put_body(p, r);
}

/* --- keeping -------------------------------------------------------------------------------------------------------- */
/* A name of the body: past it, and its pointer noted. first: where those labels begin in the question that every name of the
 * gap has. false: it points to where others have something else. */
static bool note_name(struct gap *p, struct rd *r, const uint8_t *message, size_t body, size_t first)
{
    for (;;) {
        size_t at = (size_t)(r->p - message), label = rd_u8(r);
        if (label >= 0xc0) {
            size_t target = (label & 0x3f) << 8 | rd_u8(r);
            if (r->bad || p->pointers == POINTERS_MAX || target < first || target >= at)
                return false;
            p->at[p->pointers] = (int16_t)(at - body);
            p->target[p->pointers++] = (int16_t)((int)target - (int)body);
            return true;
        }
        (void)rd_take(r, label);
        if (r->bad || label > LABEL_MAX_LEN)
            return false;
        if (label == 0)
            return true;
    }
}

static bool note_pointers(struct gap *p, const struct reply *r, size_t first)
{
    struct rd msg = rd_over(wr_done(&r->w));
    size_t body = body_at(r);
    (void)rd_take(&msg, body);
    for (unsigned i = 0; i < r->ns; i++) {
        unsigned skip, names;
        if (!note_name(p, &msg, r->w.buf, body, first))
            return false;
        uint16_t type = rd_u16(&msg);
        (void)rd_take(&msg, 6);                 /* class, TTL */
        struct rd rdata = rd_over(rd_take(&msg, rd_u16(&msg)));
        if (msg.bad)
            return false;
        if (!rrtype_compresses(type, &skip, &names))
            continue;
        (void)rd_take(&rdata, skip);
        for (; names > 0; names--)
            if (!note_name(p, &rdata, r->w.buf, body, first))
                return false;
    }
    return rd_done(&msg);
}

/* Labels of the owner of a key of the store; how many of them k shares. Empty: it is the root's, or no key. */
static struct bytes labels_of(struct bytes key, const struct rrkey *k, uint8_t *common)
{
    unsigned labels, shared;
    size_t owner = key.len > 0 ? rrkey_beside(k, key, &labels, &shared) : 0;
    *common = owner > 0 ? (uint8_t)shared : 0;
    return bytes_of(key.ptr, owner > 0 ? owner - 1 : 0);
}

static void keep_labels(uint8_t *to, uint8_t *len, struct bytes labels)
{
    if (labels.len > 0)
        memcpy(to, labels.ptr, labels.len);
    *len = (uint8_t)labels.len;
}

/* All but pointers and body. false: nothing to be kept. */
static bool describe(struct gap *p, const struct watch *w, const struct rrkey *k, unsigned zone, struct gap_edges edges,
                     const struct reply *r)
{
    struct bytes low = labels_of(edges.low, k, &p->low_common), high = labels_of(edges.high, k, &p->high_common);
    size_t body = r->w.len - body_at(r);
    p->bounded = high.len > 0 && p->high_common >= zone;        /* else it is another zone's */
    if (!p->bounded) {
        high.len = 0;
        p->high_common = 0;
    }
    if (p->low_common < zone || low.len > KEY_MAX || high.len > KEY_MAX || body > CACHE_BODY_MAX || r->ns > UINT8_MAX
        || p->low_common >= k->labels || p->high_common >= k->labels)
        return false;
    keep_labels(p->low, &p->low_len, low);
    keep_labels(p->high, &p->high_len, high);
    p->ns = (uint8_t)r->ns;
    p->body_len = (uint16_t)body;
    p->pointers = 0;
    p->asked = false;
    p->tick = w->tick;
    p->place = place_of_subtree(w->changes, hash_of_ancestor(w->changes, k, zone));
    return true;
}

/* Where the labels that all names of the gap have begin in the question. */
static size_t first_common(const struct gap *p, const struct rrkey *k, const struct reply *r)
{
    unsigned common = p->low_common > p->high_common ? p->low_common : p->high_common;
    struct bytes name = r->q.qname;
    for (unsigned i = common; i < k->labels; i++)
        name = name_parent(name);
    return DNS_HEADER_LEN + r->q.qname.len - name.len;
}

/* Out of the order; its number. */
static uint32_t take_out(struct gaps *g, uint32_t at)
{
    uint32_t number = g->order[at].tag & 0xffff;
    g->n--;
    memmove(g->order + at, g->order + at + 1, (g->n - at) * sizeof *g->order);
    return number;
}

static void give_back(struct gaps *g, uint32_t number)
{
    g->gap[number].place = g->free;
    g->free = number;
}

/* Gaps that begin inside the one found just now, at `at` and behind: their owners are gone, and they would stand between it and
 * its names. */
static void drop_inside(struct gaps *g, uint32_t at, const struct sought *s, const struct gap *p)
{
    struct bytes high = bytes_of(p->high, p->high_len);
    while (at < g->n && (g->order[at].tag | 0xffff) == s->order.tag
           && (!p->bounded || bytes_compare(low_of(gap_of(g, &g->order[at])), high) < 0))
        give_back(g, take_out(g, at));
}

/* How many from `at` on begin where p does. */
static uint32_t same_low(const struct gaps *g, uint32_t at, const struct sought *s, const struct gap *p)
{
    uint32_t n = 0;
    while (at + n < g->n && (g->order[at + n].tag | 0xffff) == s->order.tag && g->order[at + n].front == s->order.front
           && bytes_equal(low_of(gap_of(g, &g->order[at + n])), low_of(p)))
        n++;
    return n;
}

/* May it go? Not when somebody asked for it since this was asked before. */
static bool goes(struct gap *p, const struct watch *w)
{
    bool asked = p->asked;
    p->asked = false;
    return !asked || is_stale(p, w);
}

/* Of the n at `at` that begin where p does, whose place it takes; NONE: nobody's. */
static uint32_t same_place(struct gaps *g, const struct watch *w, uint32_t at, uint32_t n, struct gap *p)
{
    uint32_t stale = NONE;
    for (uint32_t i = at; i < at + n; i++) {
        const struct gap *old = gap_of(g, &g->order[i]);
        if (old->low_common == p->low_common && old->high_common == p->high_common) {
            p->asked = old->asked;
            return i;
        }
        stale = is_stale(old, w) ? i : stale;
    }
    if (stale != NONE || n < SAME_LOW)
        return stale;
    if (++g->crowd % GAPS_TURN != 0)
        return NONE;
    uint32_t one = at + g->crowd / GAPS_TURN % n;
    return goes(gap_of(g, &g->order[one]), w) ? one : NONE;
}

/* A number, taken from another gap if need be; NONE: nobody has to go. */
static uint32_t number_for(struct gaps *g, const struct watch *w)
{
    uint32_t number = g->free, at = 0;
    if (number != NONE) {
        g->free = g->gap[number].place;
        return number;
    }
    if (g->used < g->room)
        return g->used++;
    for (unsigned i = 0; i < HANDS; i++) {
        number = g->hand;
        g->hand = number + 1 == g->room ? 0 : number + 1;
        if (!goes(&g->gap[number], w))
            continue;
        while (at < g->n && (g->order[at].tag & 0xffff) != number)
            at++;
        return take_out(g, at);
    }
    return NONE;
}

static void body_keep(struct gaps *g, uint32_t number, const struct gap *made, const struct reply *r)
{
    struct gap *p = &g->gap[number];
    memcpy(p, made, offsetof(struct gap, body));
    memcpy(p->body, r->w.buf + body_at(r), made->body_len);
}

void gaps_keep(struct gaps *g, const struct watch *w, const struct rrkey *k, unsigned zone, struct gap_edges edges,
               const struct reply *r)
{
    struct gap made;
    if (!g->wanted || w->tick == 0 || r->rcode != RCODE_NXDOMAIN || r->an > 0 || r->ar > 0 || r->tc || r->bound || r->has_ede || r->w.full
        || !describe(&made, w, k, zone, edges, r))
        return;
    struct sought s = sought_of(w, k, zone, low_of(&made));
    uint32_t at = place_for(g, &s), same = same_low(g, at, &s, &made), number;
    drop_inside(g, at + same, &s, &made);
    if (!note_pointers(&made, r, first_common(&made, k, r)))
        return;
    uint32_t old = same_place(g, w, at, same, &made);
    if (old == NONE && (same >= SAME_LOW || (number = number_for(g, w)) == NONE))
        return;
    if (old != NONE)
        number = take_out(g, old);
    at = place_for(g, &s);
    memmove(g->order + at + 1, g->order + at, (g->n - at) * sizeof *g->order);
    g->order[at] = (struct order){ (s.order.tag & ~UINT64_C(0xffff)) | number, s.order.front };
    g->n++;
    body_keep(g, number, &made, r);
}
