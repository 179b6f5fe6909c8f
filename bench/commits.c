/* Commits to a store that azoth-dns reads, at a fixed rate: each puts another value into one existing address entry.
 *
 *     bench-commits DIR FILE RATE SECONDS
 *
 * DIR: a core's store that nobody else writes. FILE: lines `NAME A`, all in DIR; each commit gives one of them the value of
 * the next one. Synced as a core syncs; heads are not signed (nobody fetches them). Prints how many commits there were. */
#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#include "base/clock.h"
#include "rrset/rrkey.h"
#include "store/store.h"

#define NAMES_MAX 20000

struct key { uint8_t bytes[RRKEY_MAX]; size_t len; };
struct writer { struct store *store; struct key *keys; size_t n; struct fault fault; };

static void die(const char *what, const char *why)
{
    fprintf(stderr, "bench-commits: %s: %s\n", what, why);
    exit(1);
}
static void must(struct writer *w, enum err err, const char *what)
{
    if (err != OK)
        die(what, fault_text(&w->fault, err));
}

static void keys_read(struct writer *w, const char *path)
{
    char word[1024], type[16];
    struct name name;
    FILE *f = fopen(path, "r");
    if (f == NULL || (w->keys = calloc(NAMES_MAX, sizeof *w->keys)) == NULL)
        die(path, strerror(errno));
    while (w->n < NAMES_MAX && fscanf(f, "%1023s %15s", word, type) == 2) {
        struct wr key = wr_over(w->keys[w->n].bytes, RRKEY_MAX);
        if (name_from_text(bytes_of_text(word), bytes_of(NULL, 0), &name) != OK ||
            rrkey_write(name_bytes(&name), RRSLOT_ADDRESS, &key) != OK)
            die(word, "not a domain name");
        w->keys[w->n++].len = key.len;
    }
    (void)fclose(f);
    if (w->n < 2)
        die(path, "fewer than two names");
}

static struct bytes key_of(const struct writer *w, size_t i)
{
    return bytes_of(w->keys[i % w->n].bytes, w->keys[i % w->n].len);
}

static void commit_one(struct writer *w, size_t i)
{
    static uint8_t value[65536];
    struct store_txn *t = NULL;
    struct store_state state;
    struct signed_head sh;
    struct head h;
    struct bytes next;
    struct bytes ns = bytes_of_text("dns");
    must(w, store_head(w->store, &h, &sh), "store_head");
    must(w, store_begin(w->store, &t, &w->fault), "store_begin");
    must(w, store_peek(t, ns, key_of(w, i + 1), &next), "no such entry");
    if (next.len > sizeof value)
        die("value", "too long");
    memcpy(value, next.ptr, next.len);
    struct op op = { OP_PUT, ns, key_of(w, i), bytes_of(value, next.len) };
    must(w, store_apply(t, &op, 1, &w->fault), "store_apply");
    store_state(t, &state);
    h.seq++;
    h.time_ms = clock_wall_ms();
    h.keys = state.keys;
    h.bytes = state.bytes;
    memcpy(h.digest, state.digest, DIGEST_LEN);
    for (unsigned c = 0; c < h.cohorts_n; c++)
        h.cohorts[c].released = h.seq;
    struct wr body = wr_over(sh.body, sizeof sh.body);
    head_write(&body, &h);
    sh.len = body.len;
    must(w, store_commit(t, &h, &sh, &w->fault), "store_commit");
}

static void sleep_until(uint64_t us)
{
    uint64_t now = clock_mono_us();
    if (now < us)
        (void)nanosleep(&(struct timespec){ (time_t)((us - now) / 1000000), (long)((us - now) % 1000000 * 1000) }, NULL);
}

int main(int argc, char **argv)
{
    struct writer w = { 0 };
    if (argc != 5)
        die("usage", "bench-commits DIR FILE RATE SECONDS");
    (void)prctl(PR_SET_PDEATHSIG, 9);
    if (sodium_init() < 0)
        die("sodium", "cannot start");
    struct store_options o = { .dir = argv[1], .mode = STORE_WRITE, .role = STORE_CORE };
    uint64_t rate = strtoull(argv[3], NULL, 10), made = 0;
    keys_read(&w, argv[2]);
    must(&w, store_open(&w.store, &o, &w.fault), argv[1]);
    uint64_t since = clock_mono_us(), end = since + (uint64_t)(strtod(argv[4], NULL) * 1e6);
    for (; clock_mono_us() < end; made++) {
        commit_one(&w, made);
        sleep_until(since + (made + 1) * 1000000 / rate);
    }
    printf("%" PRIu64 " %.6f\n", made, (double)(clock_mono_us() - since) / 1e6);
    store_close(w.store);
    free(w.keys);
    return 0;
}
