/* The pure part of azoth-dns alone: what a question of a file costs without sockets.
 *
 *     bench-answers DIR QUESTIONS CACHE COUNT [do]
 *
 * DIR: a store. QUESTIONS: lines `NAME TYPE`. CACHE: bytes of dns.cache; 0: none. COUNT: so many questions are asked, in
 * batches as a worker has them, then as many again, measured; the file is read round and round. do: with DNSSEC wanted.
 * Prints nanoseconds per answer, and what was answered. Instructions of both halves, with smallmap.c preloaded:
 *
 *     valgrind --tool=callgrind "--toggle-collect=measured*" bench-answers ... */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "dnsfront/cache.h"
#include "dnsfront/known.h"

#define PACKET_MAX 320
struct packet { uint8_t bytes[PACKET_MAX]; size_t len; };
struct asked {
    struct packet *packets;
    size_t n, at;
    struct view *view;
    struct answerer *answerer;
    struct answer_counters counts;
    uint64_t bytes;                 /* of answers */
};

static void die(const char *what, const char *why)
{
    fprintf(stderr, "bench-answers: %s: %s\n", what, why);
    exit(1);
}
static void must(enum err err, const struct fault *fault, const char *what)
{
    if (err != OK)
        die(what, fault_text(fault, err));
}

static uint16_t type_number(const char *word)
{
    static const struct { const char *word; uint16_t type; } types[] = {
        { "A", TYPE_A }, { "AAAA", TYPE_AAAA }, { "MX", TYPE_MX }, { "TXT", TYPE_TXT }, { "SRV", TYPE_SRV },
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(word, types[i].word) == 0)
            return types[i].type;
    die(word, "no type that this program knows");
    return 0;
}

static void packet_write(struct packet *p, uint16_t id, const char *text, const char *type_text, bool dnssec)
{
    struct wr w = wr_over(p->bytes, sizeof p->bytes);
    struct name name;
    if (name_from_text(bytes_of_text(text), bytes_of(NULL, 0), &name) != OK)
        die(text, "not a domain name");
    wr_u16(&w, id);
    wr_u16(&w, 0);
    wr_u16(&w, 1);
    wr_put(&w, "\0\0\0\0", 4);
    wr_u16(&w, dnssec);
    wr_bytes(&w, name_bytes(&name));
    wr_u16(&w, type_number(type_text));
    wr_u16(&w, CLASS_IN);
    if (dnssec) {
        wr_u8(&w, 0);
        wr_u16(&w, TYPE_OPT);
        wr_u16(&w, ANSWER_UDP_MAX);
        wr_put(&w, "\0\0\200\0\0\0", 6);
    }
    p->len = w.len;
}

static void questions_read(struct asked *a, const char *path, size_t most, bool dnssec)
{
    char word[1024], type[16];
    FILE *f = fopen(path, "r");
    if (f == NULL || (a->packets = calloc(most, sizeof *a->packets)) == NULL)
        die(path, strerror(errno));
    while (a->n < most && fscanf(f, "%1023s %15s", word, type) == 2) {
        packet_write(&a->packets[a->n], (uint16_t)a->n, word, type, dnssec);
        a->n++;
    }
    (void)fclose(f);
    if (a->n == 0)
        die(path, "no questions");
}

/* Not inlined: what valgrind is told to count. */
__attribute__((noinline)) void measured(struct asked *a, size_t count);
void measured(struct asked *a, size_t count)
{
    static uint8_t query[ANSWER_BATCH][512 + 64], reply[ANSWER_BATCH][ANSWER_UDP_MAX];
    struct bytes queries[ANSWER_BATCH];
    struct answer_from from = { .proto = ANSWER_UDP, .max = ANSWER_UDP_MAX, .client = bytes_of_text("\1\2\3\4") };
    while (count > 0) {
        unsigned n = count < ANSWER_BATCH ? (unsigned)count : ANSWER_BATCH;
        for (unsigned i = 0; i < n; i++, a->at = a->at + 1 == a->n ? 0 : a->at + 1) {
            memcpy(query[i], a->packets[a->at].bytes, a->packets[a->at].len);
            queries[i] = bytes_of(query[i], a->packets[a->at].len);
        }
        if (view_begin(a->view) != OK)
            die("view", "does not begin");
        answer_prepare(a->answerer, queries, n);
        for (unsigned i = 0; i < n; i++)
            a->bytes += answer(a->answerer, queries[i], &from, reply[i], sizeof reply[i]);
        view_end(a->view);
        count -= n;
    }
}

static void tell(const struct asked *a, uint64_t us, size_t count)
{
    const struct answer_counters *n = &a->counts;
    double all = 2 * (double)count;
    printf("%.1f ns per answer, %.1f bytes; NOERROR %.3f NXDOMAIN %.3f other %.3f; hits %.3f stores %.3f absent %.3f;",
           (double)us * 1000 / (double)count, (double)a->bytes / all, (double)stat_get(&n->responses[0]) / all,
           (double)stat_get(&n->responses[3]) / all,
           1 - (double)(stat_get(&n->responses[0]) + stat_get(&n->responses[3])) / all, (double)stat_get(&n->cache_hits) / all,
           (double)stat_get(&n->cache_stores) / all, (double)stat_get(&n->absent) / all);
    for (unsigned i = 0; i < STEP_N; i++)
        if (stat_get(&n->descents[i]) > 0)
            printf(" %s %.3f", step_names[i], (double)stat_get(&n->descents[i]) / all);
    printf("\n");
}

int main(int argc, char **argv)
{
    static struct asked a;
    static const uint64_t secret[2] = { 0x123456789abcdef1u, 0xfedcba9876543210u };
    struct fault fault = { "" };
    struct store *store;
    struct cache *cache = NULL;
    struct view *view;
    atomic_bool stop = false;
    if (argc < 5 || argc > 6)
        die("usage", "bench-answers DIR QUESTIONS CACHE COUNT [do]");
    struct store_options so = { .dir = argv[1], .mode = STORE_READ, .map_size = (uint64_t)64 << 30 };
    struct answer_options ao = { .counts = &a.counts };
    size_t count = strtoull(argv[4], NULL, 10);
    uint64_t bytes = strtoull(argv[3], NULL, 10);
    questions_read(&a, argv[2], 2 * count, argc == 6);
    must(store_open(&store, &so, &fault), &fault, "store");
    must(view_open(store, &a.view, &fault), &fault, "view");
    must(answerer_open(&a.answerer, a.view, &ao), &fault, "answerer");
    must(cache_open(&cache, bytes, 1, secret), &fault, "cache");
    answerer_share(a.answerer, cache, 0);
    if (cache_known(cache) != NULL) {
        must(view_open(store, &view, &fault), &fault, "view");
        must(known_fill(cache_known(cache), cache_changes(cache), view, &stop), &fault, "names");
        view_close(view);
    }
    measured(&a, count);
    uint64_t began = clock_mono_us();
    measured(&a, count);
    tell(&a, clock_mono_us() - began, count);
    answerer_close(a.answerer);
    view_close(a.view);
    cache_close(cache);
    store_close(store);
    free(a.packets);
    return 0;
}
