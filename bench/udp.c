/* Asks a DNS server over UDP as fast as it answers: a closed loop with a fixed number of questions under way.
 *
 *     bench-udp ADDRESS PORT FILE SECONDS [FIRST]
 *
 * FILE: lines `NAME TYPE`; asked in turn from line FIRST on, again from the top at the end. Prints one line:
 * answered, lost, NOERROR, NXDOMAIN, other, seconds. A question without an answer for 100 ms is given up as lost. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "wire/name.h"
#include "wire/rrtype.h"

#define SOCKETS 4
#define WINDOW 50           /* under way on each socket: fits a default socket buffer, so that nothing is dropped */
#define ANSWER_MAX 4096

struct question { uint16_t len; uint8_t bytes[300]; };
struct questions { struct question *list; size_t n, next; };
struct counts { uint64_t answered, lost, noerror, nxdomain, other; };
struct lane { int fd; unsigned under_way; uint64_t heard_us; };

static void die(const char *what, const char *why)
{
    fprintf(stderr, "bench-udp: %s: %s\n", what, why);
    exit(1);
}

static uint16_t type_number(const char *word)
{
    static const struct { const char *word; uint16_t type; } types[] = {
        { "A", TYPE_A }, { "AAAA", TYPE_AAAA }, { "MX", TYPE_MX }, { "TXT", TYPE_TXT }, { "SRV", TYPE_SRV }, { "NS", TYPE_NS },
        { "SOA", TYPE_SOA }, { "CNAME", TYPE_CNAME }, { "DS", TYPE_DS },
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(word, types[i].word) == 0)
            return types[i].type;
    die(word, "no type that this program knows");
    return 0;
}

static void question_make(struct question *q, const char *name_word, const char *type_word)
{
    struct name name;
    struct wr w = wr_over(q->bytes, sizeof q->bytes);
    if (name_from_text(bytes_of_text(name_word), bytes_of(NULL, 0), &name) != OK)
        die(name_word, "not a domain name");
    wr_u16(&w, 0);                  /* id, set when it is sent */
    wr_u16(&w, 0);
    wr_u16(&w, 1);
    wr_put(&w, "\0\0\0\0\0\0", 6);
    wr_bytes(&w, name_bytes(&name));
    wr_u16(&w, type_number(type_word));
    wr_u16(&w, CLASS_IN);
    q->len = (uint16_t)w.len;
}

static void questions_read(struct questions *q, const char *path)
{
    char name[1024], type[16];
    size_t cap = 0;
    FILE *f = fopen(path, "r");
    if (f == NULL)
        die(path, strerror(errno));
    while (fscanf(f, "%1023s %15s", name, type) == 2) {
        if (q->n == cap) {
            cap = cap == 0 ? 4096 : 2 * cap;
            if ((q->list = realloc(q->list, cap * sizeof *q->list)) == NULL)
                die(path, "out of memory");
        }
        question_make(&q->list[q->n++], name, type);
    }
    (void)fclose(f);
    if (q->n == 0)
        die(path, "no questions");
}

static void lane_open(struct lane *l, const char *address, uint16_t port)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
    if (inet_pton(AF_INET, address, &to.sin_addr) != 1)
        die(address, "not an IPv4 address");
    l->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    if (l->fd < 0 || connect(l->fd, (const struct sockaddr *)&to, sizeof to) != 0)
        die(address, strerror(errno));
}

static void lane_fill(struct lane *l, struct questions *q)
{
    struct mmsghdr out[WINDOW];
    struct iovec part[WINDOW];
    unsigned n = WINDOW - l->under_way;
    for (unsigned i = 0; i < n; i++) {
        struct question *one = &q->list[q->next];
        one->bytes[0] = (uint8_t)(q->next >> 8);
        one->bytes[1] = (uint8_t)q->next;
        q->next = (q->next + 1) % q->n;
        part[i] = (struct iovec){ one->bytes, one->len };
        out[i] = (struct mmsghdr){ .msg_hdr = { .msg_iov = &part[i], .msg_iovlen = 1 } };
    }
    int sent = n > 0 ? sendmmsg(l->fd, out, n, 0) : 0;
    if (sent > 0)
        l->under_way += (unsigned)sent;
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
    for (int i = 0; i < got; i++) {
        unsigned rcode = in[i].msg_len < 12 ? 16 : buf[i][3] & 15;
        c->noerror += rcode == 0;
        c->nxdomain += rcode == RCODE_NXDOMAIN;
        c->other += rcode != 0 && rcode != RCODE_NXDOMAIN;
    }
    if (got <= 0)
        return 0;
    c->answered += (unsigned)got;
    l->under_way -= (unsigned)got < l->under_way ? (unsigned)got : l->under_way;
    l->heard_us = clock_mono_us();
    return (unsigned)got;
}

int main(int argc, char **argv)
{
    struct questions q = { 0 };
    struct counts c = { 0 };
    struct lane lane[SOCKETS] = { { 0 } };
    if (argc < 5)
        die("usage", "bench-udp ADDRESS PORT FILE SECONDS [FIRST]");
    questions_read(&q, argv[3]);
    if (argc > 5)
        q.next = strtoul(argv[5], NULL, 10) % q.n;
    for (unsigned i = 0; i < SOCKETS; i++)
        lane_open(&lane[i], argv[1], (uint16_t)strtoul(argv[2], NULL, 10));
    uint64_t since = clock_mono_us(), end = since + (uint64_t)(strtod(argv[4], NULL) * 1e6), now = since;
    for (unsigned i = 0; i < SOCKETS; i++)
        lane[i].heard_us = since;
    while ((now = clock_mono_us()) < end) {
        unsigned got = 0;
        for (unsigned i = 0; i < SOCKETS; i++) {
            struct lane *l = &lane[i];
            got += lane_drain(l, &c);
            if (l->under_way > 0 && now > l->heard_us && now - l->heard_us > 100000) {
                c.lost += l->under_way;
                l->under_way = 0;
                l->heard_us = now;
            }
            if (l->under_way <= WINDOW / 2)
                lane_fill(l, &q);
        }
        if (got == 0) {
            struct pollfd p[SOCKETS];
            for (unsigned i = 0; i < SOCKETS; i++)
                p[i] = (struct pollfd){ .fd = lane[i].fd, .events = POLLIN };
            (void)poll(p, SOCKETS, 20);
        }
    }
    printf("%llu %llu %llu %llu %llu %.6f\n", (unsigned long long)c.answered, (unsigned long long)c.lost,
           (unsigned long long)c.noerror, (unsigned long long)c.nxdomain, (unsigned long long)c.other, (double)(now - since) / 1e6);
    for (unsigned i = 0; i < SOCKETS; i++)
        (void)close(lane[i].fd);
    free(q.list);
    return 0;
}
