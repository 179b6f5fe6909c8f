#include "tools/questions.h"

#include "builder/build.h"

#include <stdlib.h>

#define LABEL "azoth-compare"           /* nobody has that */

#define ASK_TOO (sizeof ask_too / sizeof ask_too[0])
static const uint16_t ask_too[] = { TYPE_A, TYPE_AAAA, TYPE_MX, TYPE_TXT };       /* most names lack some of them */

/* What a node is asked: its own name first, then names made of it. */
enum step { STEP_SELF, STEP_WILDCARD, STEP_BELOW, STEP_BESIDE, STEP_END };

struct questions {
    struct question_options o;
    struct zone *zone;
    struct owners owners;
    size_t owner;                       /* the next one */
    unsigned empty;                     /* how many names above it, up to the owner before, are still to come */
    struct name name;                   /* the node that is asked about */
    struct name made;                   /* the name that goes out, of this step */
    bool is_apex, is_empty, open;       /* open: a node is at hand */
    uint16_t *types;                    /* of the node; room for any owner's */
    size_t types_n, there_n;            /* the first there_n of them are there */
    enum step step;
    size_t at;                          /* type within the step */
    bool second;                        /* the same once more, with DO */
};

const char *question_why_text(enum question_why why)
{
    static const char *const texts[] = { "there", "nodata", "empty", "wildcard", "below", "beside" };
    return texts[why];
}

static size_t types_most(const struct owners *o)
{
    size_t most = 0;
    for (size_t i = 0; i < o->n; i++)
        if (o->v[i].n > most)
            most = o->v[i].n;
    return most + ASK_TOO + 1;
}

MUST_USE enum err questions_open(struct questions **out, struct zone *z, const struct question_options *o, struct fault *fault)
{
    struct complaints *c = calloc(1, sizeof *c);
    struct questions *q = calloc(1, sizeof *q);
    enum err err = ERR_NOMEM;
    if (q != NULL && c != NULL) {
        q->o = *o;
        q->zone = z;
        if ((err = owners_make(z, &q->owners, c)) == ERR_REFUSED && c->errors_n > 0)
            (void)fault_set(fault, err, "%.250s", c->errors[0].text);
        if (err == OK && (q->types = malloc(types_most(&q->owners) * sizeof *q->types)) == NULL)
            err = ERR_NOMEM;
    }
    free(c);
    if (err != OK) {
        questions_close(q);
        return err;
    }
    questions_restart(q);
    *out = q;
    return OK;
}

void questions_close(struct questions *q)
{
    if (q == NULL)
        return;
    owners_release(&q->owners);
    free(q->types);
    free(q);
}

void questions_restart(struct questions *q)
{
    q->owner = 0;
    q->empty = 0;
    q->open = q->second = false;
}

/* --- names ------------------------------------------------------------------------------------------------------------ */
static struct bytes above(struct bytes name, unsigned steps)
{
    while (steps-- > 0)
        name = name_parent(name);
    return name;
}

static void set_name(struct name *to, struct bytes from)
{
    memcpy(to->wire, from.ptr, from.len);
    to->len = (uint8_t)from.len;
}

/* A name directly below: a label that nobody has, or one letter where that does not fit. */
static bool make_below(struct bytes name, struct name *out)
{
    static const uint8_t label[] = "\x0d" LABEL, letter[] = "\x01" "0";
    return name_join(bytes_of(label, sizeof label - 1), name, out) == OK
           || name_join(bytes_of(letter, sizeof letter - 1), name, out) == OK;
}

/* A name that sorts right behind this one, or near it: one letter more in the first label, or another last one. */
static bool make_beside(struct bytes name, struct name *out)
{
    uint8_t label[1 + LABEL_MAX_LEN];
    size_t len = name.ptr[0];
    if (len == 0)
        return false;
    memcpy(label, name.ptr, 1 + len);
    if (len < LABEL_MAX_LEN && name.len < NAME_MAX_LEN) {
        label[0] = (uint8_t)(len + 1);
        label[1 + len] = '0';
    } else {
        label[len] = label[len] == '0' ? '1' : '0';
    }
    return name_join(bytes_of(label, 1u + label[0]), name_parent(name), out) == OK;
}

/* --- nodes ------------------------------------------------------------------------------------------------------------ */
static bool has_type(const struct questions *q, uint16_t type, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (q->types[i] == type)
            return true;
    return false;
}

static void put_type(struct questions *q, uint16_t type)
{
    if (!has_type(q, type, q->types_n))
        q->types[q->types_n++] = type;
}

/* RRSIG alone is no question: servers may give any part of them (RFC 8482 section 7). */
static void put_there(struct questions *q, const struct owner *o)
{
    for (size_t i = o->first; i < o->first + o->n; i = run_end(q->zone, o, i))
        if (q->zone->rr[i].type != TYPE_RRSIG)
            q->types[q->types_n++] = q->zone->rr[i].type;
}

static void take_types(struct questions *q, const struct owner *o)
{
    q->types_n = 0;
    if (o != NULL)
        put_there(q, o);
    q->there_n = q->types_n;
    if (q->o.types_n > 0)
        return;
    for (size_t i = 0; i < ASK_TOO; i++)
        put_type(q, ask_too[i]);
    if (o != NULL && (o->has & HAS_NS) != 0 && !q->is_apex)
        put_type(q, TYPE_DS);
}

static void node_open(struct questions *q, struct bytes name, const struct owner *o)
{
    set_name(&q->name, name);
    q->is_apex = name_equal(name, name_bytes(&q->zone->apex));
    q->is_empty = o == NULL;
    take_types(q, o);
    q->step = STEP_SELF;
    q->made = q->name;
    q->at = 0;
    q->open = true;
}

/* Names above this owner that have no records: those below what it shares with the owner before, which sorts before all of
 * them, so that none of them is an owner itself. */
static unsigned empties(const struct questions *q, size_t i)
{
    struct bytes name = q->owners.v[i].name;
    struct bytes before = i > 0 ? q->owners.v[i - 1].name : name_bytes(&q->zone->apex);
    unsigned n = 0;
    if (name_equal(name, name_bytes(&q->zone->apex)))
        return 0;
    for (struct bytes up = name_parent(name); !name_under(before, up); up = name_parent(up))
        n++;
    return n;
}

/* Names that hold nothing but NSEC3 do not exist (RFC 5155 section 7.2.8). */
static bool is_hash(const struct questions *q, const struct owner *o)
{
    if ((o->has & HAS_NSEC3) == 0)
        return false;
    for (size_t i = o->first; i < o->first + o->n; i++)
        if (q->zone->rr[i].type != TYPE_NSEC3 && q->zone->rr[i].type != TYPE_RRSIG)
            return false;
    return true;
}

static bool node_next(struct questions *q)
{
    for (; q->owner < q->owners.n; q->owner++) {
        const struct owner *o = &q->owners.v[q->owner];
        if (is_hash(q, o))
            continue;
        if (q->empty == 0)
            q->empty = empties(q, q->owner) + 1;
        q->empty--;
        if (q->empty > 0) {
            node_open(q, above(o->name, q->empty), NULL);
            return true;
        }
        node_open(q, o->name, o);
        q->owner++;
        return true;
    }
    return false;
}

/* --- questions --------------------------------------------------------------------------------------------------------- */
static bool step_names(struct questions *q)
{
    struct bytes name = name_bytes(&q->name);
    switch (q->step) {
    case STEP_SELF: q->made = q->name; return true;
    case STEP_WILDCARD: return name_is_wildcard(name) && make_below(name_parent(name), &q->made);
    case STEP_BELOW: return make_below(name, &q->made);
    case STEP_BESIDE: return !q->is_apex && make_beside(name, &q->made);
    case STEP_END: break;
    }
    return false;
}

static size_t step_types(const struct questions *q)
{
    bool all = q->step == STEP_SELF || q->step == STEP_WILDCARD;
    return !all ? 1 : q->o.types_n > 0 ? q->o.types_n : q->types_n;
}

/* At the next question; false when the node is through. */
static bool node_step(struct questions *q)
{
    while (q->step != STEP_END) {
        if (q->at < step_types(q) && (q->at > 0 || step_names(q)))
            return true;
        q->step++;
        q->at = 0;
    }
    q->open = false;
    return false;
}

static enum question_why why(const struct questions *q, uint16_t type)
{
    if (q->step == STEP_SELF)
        return q->is_empty ? WHY_EMPTY : has_type(q, type, q->there_n) ? WHY_THERE : WHY_NODATA;
    return q->step == STEP_WILDCARD ? WHY_WILDCARD : q->step == STEP_BELOW ? WHY_BELOW : WHY_BESIDE;
}

bool questions_next(struct questions *q, struct question *out)
{
    while (!q->open || !node_step(q))
        if (!q->open && !node_next(q))
            return false;
    bool made = q->step == STEP_BELOW || q->step == STEP_BESIDE;
    uint16_t type = q->o.types_n > 0 ? q->o.types[q->at] : made ? TYPE_A : q->types[q->at];
    out->name = q->made;
    out->type = type;
    out->why = why(q, type);
    out->dnssec = q->second;
    if (q->o.dnssec && !q->second) {
        q->second = true;
        return true;
    }
    q->second = false;
    q->at++;
    return true;
}

uint64_t questions_count(struct questions *q)
{
    struct question one;
    uint64_t n = 0;
    questions_restart(q);
    while (questions_next(q, &one))
        n++;
    questions_restart(q);
    return n;
}
