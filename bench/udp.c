/* Asks DNS servers over UDP as fast as they answer: a closed loop with a fixed number of questions under way.
 *
 *     bench-udp FILE [--do]
 *
 * FILE: lines `NAME TYPE`; --do: with EDNS, 1232 bytes, DO set. Then it takes orders from its input, a line each:
 *
 *     ADDRESS PORT SECONDS FIRST COUNT
 *
 * asks the questions of FILE from line FIRST on (again from the top at the end), for SECONDS or until COUNT (0: no limit)
 * are asked, waits for the answers under way, and prints a line of name=value: answered, lost (nothing heard for 200 ms),
 * stray (nobody asked that), seconds, client_cpu (seconds of this process), bytes, filled (answer section not empty),
 * truncated, and rcodes as r0= ... r15=. */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "wire/name.h"
#include "wire/rrtype.h"

#define LANES 8             /* sockets, so source ports */
#define WINDOW 25           /* under way on each: all together fit a default socket buffer, so that nothing is dropped */
#define ANSWER_MAX 4096
#define GIVE_UP_US 200000
#define QUESTION_MAX 300

/* All packets in one block, one behind the other: what is asked next lies where the last one ended. */
struct questions { uint8_t *bytes; uint32_t *at; size_t n, cap, used, room, next; };
struct lane {
    int fd;
    uint16_t next_id;
    unsigned under_way;
    uint64_t heard_us;
    uint64_t waits[65536 / 64];     /* ids under way */
};
struct order { char address[64]; unsigned port; double seconds; size_t first; uint64_t count; };
struct counts { uint64_t sent, answered, lost, stray, bytes, filled, truncated, rcode[16]; };

static void die(const char *what, const char *why)
{
    fprintf(stderr, "bench-udp: %s: %s\n", what, why);
    exit(1);
}

/* --- questions ------------------------------------------------------------------------------------------------------ */
static uint16_t type_number(const char *word)
{
    static const struct { const char *word; uint16_t type; } types[] = {
        { "A", TYPE_A }, { "AAAA", TYPE_AAAA }, { "MX", TYPE_MX }, { "TXT", TYPE_TXT }, { "SRV", TYPE_SRV }, { "NS", TYPE_NS },
        { "SOA", TYPE_SOA }, { "CNAME", TYPE_CNAME }, { "DS", TYPE_DS }, { "DNSKEY", TYPE_DNSKEY },
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(word, types[i].word) == 0)
            return types[i].type;
    die(word, "no type that this program knows");
    return 0;
}

static void put_opt(struct wr *w)
{
    wr_put(w, "\0", 1);
    wr_u16(w, TYPE_OPT);
    wr_u16(w, 1232);
    wr_u32(w, 0x8000);              /* DO */
    wr_u16(w, 0);
}

static size_t question_write(uint8_t *out, const char *name_word, const char *type_word, bool with_do)
{
    struct name name;
    struct wr w = wr_over(out, QUESTION_MAX);
    if (name_from_text(bytes_of_text(name_word), bytes_of(NULL, 0), &name) != OK)
        die(name_word, "not a domain name");
    wr_u16(&w, 0);                  /* id, set when it is sent */
    wr_u16(&w, 0);
    wr_u16(&w, 1);
    wr_u32(&w, 0);
    wr_u16(&w, with_do);
    wr_bytes(&w, name_bytes(&name));
    wr_u16(&w, type_number(type_word));
    wr_u16(&w, CLASS_IN);
    if (with_do)
        put_opt(&w);
    return w.len;
}

static void questions_grow(struct questions *q)
{
    if (q->n + 1 >= q->cap) {
        q->cap = q->cap == 0 ? 65536 : 2 * q->cap;
        q->at = realloc(q->at, q->cap * sizeof *q->at);
    }
    if (q->used + QUESTION_MAX > q->room) {
        q->room = q->room == 0 ? 1 << 22 : 2 * q->room;
        q->bytes = realloc(q->bytes, q->room);
    }
    if (q->at == NULL || q->bytes == NULL)
        die("questions", "out of memory");
}

static void questions_read(struct questions *q, const char *path, bool with_do)
{
    char name[1024], type[16];
    FILE *f = fopen(path, "r");
    if (f == NULL)
        die(path, strerror(errno));
    while (fscanf(f, "%1023s %15s", name, type) == 2) {
        questions_grow(q);
        q->at[q->n++] = (uint32_t)q->used;
        q->used += question_write(q->bytes + q->used, name, type, with_do);
        q->at[q->n] = (uint32_t)q->used;
    }
    (void)fclose(f);
    if (q->n == 0)
        die(path, "no questions");
}

/* --- lanes ---------------------------------------------------------------------------------------------------------- */
static void lane_open(struct lane *l, const struct order *o)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)o->port) };
    *l = (struct lane){ .heard_us = clock_mono_us() };
    if (inet_pton(AF_INET, o->address, &to.sin_addr) != 1)
        die(o->address, "not an IPv4 address");
    l->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (l->fd < 0 || connect(l->fd, (const struct sockaddr *)&to, sizeof to) != 0)
        die(o->address, strerror(errno));
}

static uint64_t *lane_waits(struct lane *l, uint16_t id, uint64_t *bit)
{
    *bit = (uint64_t)1 << (id & 63);
    return &l->waits[id >> 6];
}

static void lane_fill(struct lane *l, struct questions *q, struct counts *c, uint64_t count)
{
    struct mmsghdr out[WINDOW];
    struct iovec part[WINDOW][2];
    uint8_t id[WINDOW][2];
    unsigned n = WINDOW - l->under_way;
    if (count > 0 && count - c->sent < n)
        n = (unsigned)(count - c->sent);
    for (unsigned i = 0; i < n; i++) {
        size_t at = (q->next + i) % q->n;
        uint16_t number = (uint16_t)(l->next_id + i);
        id[i][0] = (uint8_t)(number >> 8);
        id[i][1] = (uint8_t)number;
        part[i][0] = (struct iovec){ id[i], 2 };
        part[i][1] = (struct iovec){ q->bytes + q->at[at] + 2, q->at[at + 1] - q->at[at] - 2 };
        out[i] = (struct mmsghdr){ .msg_hdr = { .msg_iov = part[i], .msg_iovlen = 2 } };
    }
    int sent = n > 0 ? sendmmsg(l->fd, out, n, 0) : 0;
    for (int i = 0; i < sent; i++) {
        uint64_t bit;
        *lane_waits(l, l->next_id++, &bit) |= bit;
    }
    if (sent > 0) {
        q->next = (q->next + (unsigned)sent) % q->n;
        l->under_way += (unsigned)sent;
        c->sent += (unsigned)sent;
    }
}

static void take_answer(struct lane *l, struct counts *c, const uint8_t *p, unsigned len)
{
    uint64_t bit, *waits = lane_waits(l, (uint16_t)(p[0] << 8 | p[1]), &bit);
    if (len < 12 || (p[2] & 0x80) == 0 || (*waits & bit) == 0) {
        c->stray++;
        return;
    }
    *waits &= ~bit;
    l->under_way--;
    c->answered++;
    c->bytes += len;
    c->rcode[p[3] & 15]++;
    c->filled += (p[6] | p[7]) != 0;
    c->truncated += (p[2] & 2) != 0;
}

static unsigned lane_drain(struct lane *l, struct counts *c)
{
    static uint8_t buf[WINDOW][ANSWER_MAX];
    struct mmsghdr in[WINDOW];
    struct iovec part[WINDOW];
    for (unsigned i = 0; i < WINDOW; i++) {
        part[i] = (struct iovec){ buf[i], ANSWER_MAX };
        in[i] = (struct mmsghdr){ .msg_hdr = { .msg_iov = &part[i], .msg_iovlen = 1 } };
    }
    int got = recvmmsg(l->fd, in, WINDOW, MSG_DONTWAIT, NULL);
    for (int i = 0; i < got; i++)
        take_answer(l, c, buf[i], in[i].msg_len);
    if (got <= 0)
        return 0;
    l->heard_us = clock_mono_us();
    return (unsigned)got;
}

static void lane_give_up(struct lane *l, struct counts *c, uint64_t now)
{
    if (l->under_way == 0 || now < l->heard_us + GIVE_UP_US)
        return;
    c->lost += l->under_way;
    l->under_way = 0;
    l->heard_us = now;
    memset(l->waits, 0, sizeof l->waits);
}

/* --- one order ------------------------------------------------------------------------------------------------------ */
static double cpu_seconds(void)
{
    struct rusage r;
    (void)getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) + (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static void wait_readable(const struct lane *lane)
{
    struct pollfd p[LANES];
    for (unsigned i = 0; i < LANES; i++)
        p[i] = (struct pollfd){ .fd = lane[i].fd, .events = POLLIN };
    (void)poll(p, LANES, 20);
}

/* One look at every lane. How many answers came; *waiting: how many are still under way. */
static unsigned look(struct lane *lane, struct questions *q, struct counts *c, uint64_t count, bool asks, unsigned *waiting)
{
    unsigned got = 0;
    uint64_t now = clock_mono_us();
    *waiting = 0;
    for (unsigned i = 0; i < LANES; i++) {
        struct lane *l = &lane[i];
        if (l->under_way > 0)
            got += lane_drain(l, c);
        lane_give_up(l, c, now);
        if (asks && l->under_way <= WINDOW / 2) {
            if (l->under_way == 0)
                l->heard_us = now;
            lane_fill(l, q, c, count);
        }
        *waiting += l->under_way;
    }
    return got;
}

static void order_run(const struct order *o, struct questions *q)
{
    static struct lane lane[LANES];
    struct counts c = { 0 };
    unsigned waiting = 0;
    q->next = o->first % q->n;
    for (unsigned i = 0; i < LANES; i++)
        lane_open(&lane[i], o);
    double cpu = cpu_seconds();
    uint64_t since = clock_mono_us(), now = since, end = since + (uint64_t)(o->seconds * 1e6);
    bool asks = true;
    do {
        asks = asks && now < end && (o->count == 0 || c.sent < o->count);
        if (look(lane, q, &c, o->count, asks, &waiting) == 0 && waiting > 0)
            wait_readable(lane);
        now = clock_mono_us();
    } while (asks || waiting > 0);
    printf("answered=%" PRIu64 " lost=%" PRIu64 " stray=%" PRIu64 " seconds=%.6f client_cpu=%.6f bytes=%" PRIu64 " filled=%" PRIu64
           " truncated=%" PRIu64, c.answered, c.lost, c.stray, (double)(now - since) / 1e6, cpu_seconds() - cpu, c.bytes, c.filled,
           c.truncated);
    for (unsigned i = 0; i < 16; i++)
        printf(" r%u=%" PRIu64, i, c.rcode[i]);
    printf("\n");
    (void)fflush(stdout);
    for (unsigned i = 0; i < LANES; i++)
        (void)close(lane[i].fd);
}

int main(int argc, char **argv)
{
    struct questions q = { 0 };
    struct order o;
    bool with_do = argc == 3 && strcmp(argv[2], "--do") == 0;
    if (argc < 2 || (argc > 2 && !with_do))
        die("usage", "bench-udp FILE [--do]");
    questions_read(&q, argv[1], with_do);
    while (scanf("%63s %u %lf %zu %" SCNu64, o.address, &o.port, &o.seconds, &o.first, &o.count) == 5)
        order_run(&o, &q);
    free(q.bytes);
    free(q.at);
    return 0;
}
