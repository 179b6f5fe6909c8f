/* How long a change takes from the API call until readers see it in the edges' stores, and how many a second arrive.
 *
 *     bench-propagation latency PORT KEY CHANGES PAUSE_US DIR...
 *     bench-propagation flood PORT KEY RATE SECONDS OPS CONNECTIONS DIR...
 *
 * latency: one change at a time. Prints a line per change: microseconds until the API's answer (synced to disk at the
 * core), then per DIR until a reader of that store sees it.
 * flood: RATE changes a second (0: as many as go), OPS of them in a request; every 5 ms one of them puts the key
 * `probe`, whose value is the time of sending, and the readers look how old it is when they first see it. Prints
 * `sent CHANGES SECONDS`, `ack US...` (p50 p99 max), `seen US...` (p50 p99 max over all stores, looks), `last US...`
 * (p50 p99 max of the store that was last), `refused N`, and at the end, when all stores stand at the last seq,
 * `settled SECONDS keys N equal 0|1`. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "bench/api.h"
#include "lib/azoth.h"

#define NS "bench"
#define SETTLE_S 60
#define GIVE_UP_NS 20000000000u
#define KEYS 50000                      /* a flood writes them in turn */
#define VALUE_LEN 40
#define PROBE_EVERY_NS 5000000u
#define SAMPLES_MAX 4000000

struct store { struct azoth *a; uint64_t seen; };
struct stores { size_t n; struct store s[256]; };

static void nap(uint64_t us)
{
    struct timespec t = { (time_t)(us / 1000000), (long)(us % 1000000) * 1000 };
    (void)nanosleep(&t, NULL);
}

static void stores_open(struct stores *all, char *const *dirs, size_t n)
{
    char why[300];
    all->n = n;
    if (n == 0 || n > 256)
        die("stores", "1 to 256");
    for (size_t i = 0; i < n; i++) {
        all->s[i] = (struct store){ .seen = 0 };
        if (azoth_open(dirs[i], &all->s[i].a, why, sizeof why) != AZOTH_OK)
            die(dirs[i], why);
    }
}

/* The number that the store has under `key`; 0: none. */
static uint64_t number_in(struct store *s, const char *key)
{
    struct azoth_value v;
    char text[24] = "";
    uint64_t got = 0;
    if (azoth_begin(s->a) != AZOTH_OK)
        die("store", azoth_words(s->a));
    if (azoth_get(s->a, NS, key, strlen(key), &v) == AZOTH_OK && v.len < sizeof text) {
        memcpy(text, v.data, v.len);
        got = strtoull(text, NULL, 10);
    }
    azoth_end(s->a);
    return got;
}

/* What this thread has computed so far. */
static uint64_t worked_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Readers look seldom enough to leave the processor to the others: by ONE_IN, one part in so many of a core at most. The time that they
 * had to wait for it is no work: a rest after that would be seen as the edges' delay. */
enum { ONE_IN_SINGLE = 6, ONE_IN_FLOOD = 20 };
static void rest_after(uint64_t worked_before_ns, unsigned one_in)
{
    uint64_t us = (worked_ns() - worked_before_ns) / 1000 * (one_in - 1);
    nap(us > 20 ? us : 20);
}

/* --- one change at a time --------------------------------------------------------------------------------------- */
struct single { uint64_t acked_ns; int status; };

static void on_single(void *arg, const struct api_reply *r)
{
    *(struct single *)arg = (struct single){ r->got_ns, r->status };
}

static void one_change(struct api *api, struct stores *all, uint64_t number, struct single *reply)
{
    uint64_t at_ns[256] = { 0 }, since;
    size_t missing = all->n;
    char text[24];
    int len = snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    *reply = (struct single){ 0 };
    since = now_ns();
    api_send(api, "PUT", "/v1/kv/" NS "/change", text, (size_t)len, 0);
    while (missing > 0 || reply->acked_ns == 0) {
        uint64_t worked = worked_ns();
        if (reply->acked_ns == 0)
            api_wait(api, 0);
        for (size_t i = 0; i < all->n; i++) {
            if (at_ns[i] == 0 && number_in(&all->s[i], "change") == number) {
                at_ns[i] = now_ns();
                missing--;
            }
        }
        if (now_ns() - since > GIVE_UP_NS)
            die("change", "a store did not get it");
        rest_after(worked, ONE_IN_SINGLE);
    }
    if (reply->status != 200 && reply->status != 201 && reply->status != 204)
        die("change", "refused by the API");
    printf("%.1f", (double)(reply->acked_ns - since) / 1000);
    for (size_t i = 0; i < all->n; i++)
        printf(" %.1f", (double)(at_ns[i] - since) / 1000);
    printf("\n");
}

static void latency(int port, const char *key, uint64_t changes, uint64_t pause_us, struct stores *all)
{
    struct single reply;
    struct api *api = api_open(port, key, 1, on_single, &reply);
    uint64_t first = now_ns();
    for (uint64_t i = 0; i < changes; i++) {
        one_change(api, all, first + i, &reply);
        nap(pause_us);
    }
    api_close(api);
}

/* --- a flood ---------------------------------------------------------------------------------------------------- */
struct samples { size_t n; uint32_t *us; };
struct flood {
    int port;
    const char *key;
    double rate, seconds;
    size_t ops, connections;
    struct samples acks;
    uint64_t sent, probed_ns, refused, epoch, seq;
    double took;
    atomic_bool done;
};

static void sample(struct samples *s, uint64_t ns)
{
    if (s->us == NULL && (s->us = malloc(SAMPLES_MAX * sizeof *s->us)) == NULL)
        die("memory", strerror(errno));
    if (s->n < SAMPLES_MAX)
        s->us[s->n++] = (uint32_t)(ns / 1000);
}

static int by_size(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void print_samples(const char *what, struct samples *s)
{
    if (s->n == 0) {
        printf("%s 0 0 0 0\n", what);
        return;
    }
    qsort(s->us, s->n, sizeof *s->us, by_size);
    printf("%s %u %u %u %zu\n", what, s->us[s->n / 2], s->us[s->n * 99 / 100], s->us[s->n - 1], s->n);
}

static void on_flooded(void *arg, const struct api_reply *r)
{
    struct flood *f = arg;
    if (r->status != 200 && r->status != 201 && r->status != 204)
        f->refused++;
    if (r->seq > f->seq) {
        f->seq = r->seq;
        f->epoch = r->epoch;
    }
    sample(&f->acks, r->got_ns - r->sent_ns);
}

/* The next op: a put of one of the keys in turn, or of the time under `probe`. */
struct put { char key[32], value[64]; };
static void next_put(struct flood *f, struct put *p)
{
    uint64_t now = now_ns();
    if (now - f->probed_ns > PROBE_EVERY_NS) {
        f->probed_ns = now;
        (void)snprintf(p->key, sizeof p->key, "probe");
        (void)snprintf(p->value, sizeof p->value, "%llu", (unsigned long long)now);
    } else {
        (void)snprintf(p->key, sizeof p->key, "host-%05llu.example", (unsigned long long)(f->sent * 2654435761u % KEYS));
        (void)snprintf(p->value, sizeof p->value, "%0*llu", VALUE_LEN, (unsigned long long)f->sent);
    }
    f->sent++;
}

static void send_one(struct flood *f, struct api *api)
{
    struct put p;
    char path[64];
    next_put(f, &p);
    (void)snprintf(path, sizeof path, "/v1/kv/" NS "/%s", p.key);
    api_send(api, "PUT", path, p.value, strlen(p.value), 0);
}

static void send_many(struct flood *f, struct api *api)
{
    static char body[API_REQUEST_MAX];
    size_t len = (size_t)snprintf(body, sizeof body, "{\"ops\":[");
    for (size_t i = 0; i < f->ops; i++) {
        struct put p;
        next_put(f, &p);
        len += (size_t)snprintf(body + len, sizeof body - len, "%s{\"op\":\"put\",\"ns\":\"" NS "\",\"key\":\"%s\",\"value\":\"%s\"}",
                                i > 0 ? "," : "", p.key, p.value);
    }
    len += (size_t)snprintf(body + len, sizeof body - len, "]}");
    api_send(api, "POST", "/v1/kv", body, len, 0);
}

static void *flood_send(void *arg)
{
    struct flood *f = arg;
    struct api *api = api_open(f->port, f->key, f->connections, on_flooded, f);
    uint64_t since = now_ns(), end = since + (uint64_t)(f->seconds * 1e9);
    for (uint64_t now = since; now < end; now = now_ns()) {
        double due = f->rate > 0 ? f->rate * (double)(now - since) / 1e9 : 1e18;
        while (api_idle(api) && (double)f->sent < due) {
            if (f->ops == 1)
                send_one(f, api);
            else
                send_many(f, api);
        }
        api_wait(api, api_idle(api) ? 200 : 1000);
    }
    while (api_under_way(api) > 0)
        api_wait(api, 1000);
    f->took = (double)(now_ns() - since) / 1e9;
    api_close(api);
    atomic_store(&f->done, true);
    return NULL;
}

/* Until all stores stand at the last seq, with the same digest. */
static void settle(struct stores *all, const struct flood *f, uint64_t ended_ns)
{
    struct azoth_position first = { .seq = 0 }, p;
    int equal = 1;
    for (size_t i = 0; i < all->n; i++) {
        if (azoth_wait(all->s[i].a, f->epoch, f->seq, SETTLE_S * 1000) != AZOTH_OK)
            equal = 0;
        if (azoth_position(all->s[i].a, &p) != AZOTH_OK)
            die("store", azoth_words(all->s[i].a));
        if (i == 0)
            first = p;
        equal = equal && p.seq == first.seq && memcmp(p.digest, first.digest, sizeof p.digest) == 0;
    }
    printf("settled %.3f keys %llu equal %d\n", (double)(now_ns() - ended_ns) / 1e9, (unsigned long long)first.keys, equal);
}

static void flood(struct flood *f, struct stores *all)
{
    struct samples seen = { 0 }, last = { 0 };
    pthread_t sender;
    if (pthread_create(&sender, NULL, flood_send, f) != 0)
        die("thread", "cannot begin");
    while (!atomic_load(&f->done)) {
        uint64_t worked = worked_ns(), oldest = UINT64_MAX, now;
        for (size_t i = 0; i < all->n; i++) {
            uint64_t at = number_in(&all->s[i], "probe");
            if (at != 0 && at != all->s[i].seen) {
                now = now_ns();
                sample(&seen, now - at);
            }
            all->s[i].seen = at;
            oldest = at < oldest ? at : oldest;
        }
        if ((now = now_ns()) > oldest && oldest != 0)
            sample(&last, now - oldest);
        rest_after(worked, ONE_IN_FLOOD);
    }
    uint64_t ended = now_ns();
    (void)pthread_join(sender, NULL);
    printf("sent %llu %.3f\n", (unsigned long long)f->sent, f->took);
    print_samples("ack", &f->acks);
    print_samples("seen", &seen);
    print_samples("last", &last);
    printf("refused %llu\n", (unsigned long long)f->refused);
    settle(all, f, ended);
    free(seen.us);
    free(last.us);
    free(f->acks.us);
}

int main(int argc, char **argv)
{
    static struct stores all;
    (void)prctl(PR_SET_TIMERSLACK, 1);
    if (argc >= 7 && strcmp(argv[1], "latency") == 0) {
        stores_open(&all, argv + 6, (size_t)argc - 6);
        latency(atoi(argv[2]), argv[3], strtoull(argv[4], NULL, 10), strtoull(argv[5], NULL, 10), &all);
    } else if (argc >= 9 && strcmp(argv[1], "flood") == 0) {
        struct flood f = { .port = atoi(argv[2]), .key = argv[3], .rate = atof(argv[4]), .seconds = atof(argv[5]),
                           .ops = (size_t)atoi(argv[6]), .connections = (size_t)atoi(argv[7]) };
        stores_open(&all, argv + 8, (size_t)argc - 8);
        flood(&f, &all);
    } else {
        die("usage", "latency PORT KEY CHANGES PAUSE_US DIR... | flood PORT KEY RATE SECONDS OPS CONNECTIONS DIR...");
    }
    for (size_t i = 0; i < all.n; i++)
        azoth_close(all.s[i].a);
    return 0;
}
