#include "builder/readahead.h"

#include "builder/records.h"

#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define GROUP 16                            /* zones that the crew gets at a time */
#define GROUPS 4
#define AHEAD_ZONES (GROUP * GROUPS)
#define AHEAD_BYTES ((size_t)64 << 20)      /* with more than this ahead, zones are left to be read when they are taken */
#define KEPT_RECORDS 65536                  /* a larger zone gives its memory back */

struct seen { dev_t dev; ino_t ino; off_t size; struct timespec time; };
struct readahead;
struct group { struct readahead *ra; struct task task; size_t first; bool begun; };
struct readahead {
    const struct load_zone *zones;
    size_t n;
    struct crew *crew;
    struct arena names;
    struct bytes *apex;             /* of each zone; ptr NULL: not a name */
    bool *twin;                     /* an earlier zone of the list has the same apex */
    struct seen *seen;
    struct readahead_zone ring[AHEAD_ZONES];
    size_t bytes[AHEAD_ZONES];      /* of each zone in the ring; 0: not read yet */
    atomic_size_t held;             /* their sum */
    struct group group[GROUPS];
    size_t taken;                   /* zones handed out */
    atomic_bool quit;
};

/* --- names ---------------------------------------------------------------------------------------------------- */
static int by_apex(const void *a, const void *b, void *arg)
{
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    const struct bytes *apex = arg;
    int c = bytes_compare(apex[x], apex[y]);
    return c != 0 ? c : (x > y) - (x < y);
}

static enum err read_names(struct readahead *ra)
{
    struct name name;
    size_t *order = malloc(ra->n * sizeof *order);
    if (order == NULL)
        return ERR_NOMEM;
    for (size_t i = 0; i < ra->n; i++) {
        order[i] = i;
        if (name_from_text(bytes_of_text(ra->zones[i].origin), (struct bytes){ 0 }, &name) != OK)
            continue;
        name_lower(name.wire, name.len);
        if ((ra->apex[i] = arena_copy(&ra->names, name_bytes(&name))).ptr == NULL) {
            free(order);
            return ERR_NOMEM;
        }
    }
    qsort_r(order, ra->n, sizeof *order, by_apex, ra->apex);
    for (size_t i = 1; i < ra->n; i++)
        ra->twin[order[i]] = ra->apex[order[i]].ptr != NULL && bytes_equal(ra->apex[order[i]], ra->apex[order[i - 1]]);
    free(order);
    return OK;
}

/* --- reading -------------------------------------------------------------------------------------------------- */
static bool look(const char *path, struct seen *out)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return false;
    *out = (struct seen){ st.st_dev, st.st_ino, st.st_size, st.st_mtim };
    return true;
}

bool readahead_unchanged(const struct readahead *ra, size_t *moved)
{
    for (size_t i = 0; i < ra->n; i++) {
        struct seen now, *was = &ra->seen[i];
        if (!look(ra->zones[i].file, &now) || now.dev != was->dev || now.ino != was->ino || now.size != was->size ||
            now.time.tv_sec != was->time.tv_sec || now.time.tv_nsec != was->time.tv_nsec) {
            *moved = i;
            return false;
        }
    }
    return true;
}

static size_t bytes_of_zone(const struct zone *z) { return z->arena.used + z->n * sizeof *z->rr + 1; }

static void read_zone(struct readahead *ra, size_t i, struct crew *crew)
{
    static const uint8_t root[1] = { 0 };
    const struct load_zone *z = &ra->zones[i];
    struct readahead_zone *rz = &ra->ring[i % AHEAD_ZONES];
    bool named = ra->apex[i].ptr != NULL;
    rz->index = i;
    rz->complaints->errors_n = rz->complaints->warnings_n = 0;
    rz->fault.text[0] = '\0';
    zone_restart(&rz->zone, named ? ra->apex[i] : bytes_of(root, 1), z->file);
    if (!named)
        rz->err = fault_set(&rz->fault, ERR_REFUSED, "'%s' is not a name", z->origin);
    else if (ra->twin[i])
        rz->err = fault_set(&rz->fault, ERR_REFUSED, "the zone stands in the list twice");
    else if (!look(z->file, &ra->seen[i]))
        rz->err = fault_set(&rz->fault, ERR_NOTFOUND, "cannot open %s: %s", z->file, strerror(errno));
    else
        rz->err = zonefile_read_with(z->file, crew, &rz->zone, rz->complaints, &rz->fault);
    ra->bytes[i % AHEAD_ZONES] = bytes_of_zone(&rz->zone);
    atomic_fetch_add(&ra->held, ra->bytes[i % AHEAD_ZONES]);
}

/* One zone of a group; left alone when enough is ahead, or nothing more is wanted. */
static void read_piece(void *arg, size_t piece, unsigned who)
{
    const struct group *g = arg;
    struct readahead *ra = g->ra;
    (void)who;
    if (!atomic_load(&ra->quit) && atomic_load(&ra->held) < AHEAD_BYTES)
        read_zone(ra, g->first + piece, NULL);
}

static void group_begin(struct readahead *ra, size_t first)
{
    struct group *g = &ra->group[first / GROUP % GROUPS];
    size_t left = first < ra->n ? ra->n - first : 0;
    *g = (struct group){ .ra = ra, .first = first, .begun = left > 0 };
    g->task = (struct task){ .run = read_piece, .arg = g, .pieces = left < GROUP ? left : GROUP };
    if (g->begun)
        crew_begin(ra->crew, &g->task);
}

static void group_end(struct readahead *ra, struct group *g)
{
    if (g->begun)
        crew_end(ra->crew, &g->task);
    g->begun = false;
}

/* --- for the builder ------------------------------------------------------------------------------------------ */
struct readahead_zone *readahead_take(struct readahead *ra)
{
    size_t i = ra->taken;
    if (i == ra->n)
        return NULL;
    if (i % GROUP == 0 && ra->n > 1) {
        group_end(ra, &ra->group[i / GROUP % GROUPS]);
        if (i > 0)                          /* the group before has been given back: its place in the ring is free */
            group_begin(ra, i - GROUP + AHEAD_ZONES);
    }
    ra->taken++;
    if (ra->bytes[i % AHEAD_ZONES] == 0)
        read_zone(ra, i, ra->crew);
    return &ra->ring[i % AHEAD_ZONES];
}

void readahead_done(struct readahead_zone *rz)
{
    if (rz->zone.cap <= KEPT_RECORDS)
        return;
    zone_release(&rz->zone);
    (void)malloc_trim(0);       /* what reading and building left in malloc's lists, too */
}

void readahead_give_back(struct readahead *ra, struct readahead_zone *rz)
{
    size_t at = (size_t)(rz - ra->ring);
    readahead_done(rz);
    atomic_fetch_sub(&ra->held, ra->bytes[at]);
    ra->bytes[at] = 0;
}

static bool make_ring(struct readahead *ra)
{
    static const uint8_t root[1] = { 0 };
    for (size_t i = 0; i < AHEAD_ZONES; i++) {
        zone_init(&ra->ring[i].zone, bytes_of(root, 1), NULL);
        if ((ra->ring[i].complaints = calloc(1, sizeof *ra->ring[i].complaints)) == NULL)
            return false;
    }
    return true;
}

enum err readahead_open(struct readahead **out, const struct load_zone *zones, size_t n, struct crew *crew,
                        struct fault *fault)
{
    struct readahead *ra = calloc(1, sizeof *ra);
    enum err err = ERR_NOMEM;
    if (ra == NULL)
        return fault_set(fault, err, "out of memory");
    ra->zones = zones;
    ra->n = n;
    ra->crew = crew;
    arena_init(&ra->names);
    ra->apex = calloc(n, sizeof *ra->apex);
    ra->twin = calloc(n, sizeof *ra->twin);
    ra->seen = calloc(n, sizeof *ra->seen);
    if (ra->apex != NULL && ra->twin != NULL && ra->seen != NULL && make_ring(ra))
        err = read_names(ra);
    if (err != OK) {
        readahead_close(ra);
        return fault_set(fault, err, "out of memory");
    }
    for (size_t i = 0; i < GROUPS && n > 1; i++)        /* a single one is read when it is taken, by the whole crew */
        group_begin(ra, i * GROUP);
    *out = ra;
    return OK;
}

void readahead_close(struct readahead *ra)
{
    if (ra == NULL)
        return;
    atomic_store(&ra->quit, true);
    for (size_t i = 0; i < GROUPS; i++)
        group_end(ra, &ra->group[i]);
    for (size_t i = 0; i < AHEAD_ZONES; i++) {
        zone_release(&ra->ring[i].zone);
        free(ra->ring[i].complaints);
    }
    arena_release(&ra->names);
    free(ra->seen);
    free(ra->twin);
    free(ra->apex);
    free(ra);
}
