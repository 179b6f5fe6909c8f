/* How long a DNS change takes from the primary until a secondary (or an edge) answers with it: asked over and over.
 *
 *     bench-visible update PORT SEEN_PORT ZONE FIRST CHANGES PAUSE_MS      an UPDATE over UDP adds uN.ZONE A
 *     bench-visible file PID FILE SEEN_PORT ZONE FIRST CHANGES PAUSE_MS    FILE.N becomes FILE, SIGHUP; it holds uN.ZONE
 *
 * N runs from FIRST on. Prints a line per change: microseconds until the UPDATE's answer (0 for a file) and until a
 * question for uN.ZONE A at SEEN_PORT was answered with an address. A change that takes 20 s ends the run. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/asking.h"
#include "wire/name.h"
#include "wire/rrtype.h"

#define GIVE_UP_US 20000000u
#define ANSWER_WAIT_MS 100
#define ASK_EVERY_US 50
#define RESEND_US 1000000u

void die(const char *what, const char *why)
{
    fprintf(stderr, "bench-visible: %s: %s\n", what, why);
    exit(1);
}

static void put_header(struct wr *w, uint16_t id, uint16_t flags, uint16_t records)
{
    wr_u16(w, id);
    wr_u16(w, flags);
    wr_u16(w, 1);
    wr_u16(w, 0);
    wr_u16(w, records);
    wr_u16(w, 0);
}

struct target { const char *zone; unsigned n; char name[300]; };
static void target_set(struct target *t, unsigned n)
{
    t->n = n;
    (void)snprintf(t->name, sizeof t->name, "u%u.%s", n, t->zone);
}

static void send_update(int fd, const struct target *t)
{
    uint8_t buf[600];
    struct wr w = wr_over(buf, sizeof buf);
    put_header(&w, (uint16_t)t->n, 0x2800, 1);
    put_name(&w, t->zone);
    wr_u16(&w, TYPE_SOA);
    wr_u16(&w, CLASS_IN);
    put_name(&w, t->name);
    wr_u16(&w, TYPE_A);
    wr_u16(&w, CLASS_IN);
    wr_u32(&w, 60);
    wr_u16(&w, 4);
    wr_u32(&w, 0x0a000000 + t->n);
    if (w.full || send(fd, buf, w.len, 0) < 0)
        die("UPDATE", strerror(errno));
}

/* Is there an answer with this id? rcode and the number of answers of it. */
static bool take(int fd, uint16_t id, int wait_ms, unsigned *rcode, unsigned *answers)
{
    uint8_t buf[4096];
    struct pollfd p = { .fd = fd, .events = POLLIN };
    while (poll(&p, 1, wait_ms) > 0) {
        ssize_t n = recv(fd, buf, sizeof buf, MSG_DONTWAIT);
        struct rd r = rd_over(bytes_of(buf, n > 0 ? (size_t)n : 0));
        uint16_t got = rd_u16(&r), flags = rd_u16(&r);
        (void)rd_u16(&r);
        *answers = rd_u16(&r);
        *rcode = flags & 15;
        if (!r.bad && got == id)
            return true;
    }
    return false;
}

static bool seen(int fd, const struct target *t, uint16_t id)
{
    uint8_t buf[400];
    unsigned rcode, answers;
    struct wr w = wr_over(buf, sizeof buf);
    put_header(&w, id, 0, 0);
    put_name(&w, t->name);
    wr_u16(&w, TYPE_A);
    wr_u16(&w, CLASS_IN);
    return send(fd, buf, w.len, 0) > 0 && take(fd, id, ANSWER_WAIT_MS, &rcode, &answers) && rcode == 0 && answers > 0;
}

static void nap_us(long us)
{
    (void)nanosleep(&(struct timespec){ us / 1000000, us % 1000000 * 1000 }, NULL);
}

/* update_fd: -1 when there is no answer to wait for. */
static void watch(int update_fd, int seen_fd, const struct target *t)
{
    uint64_t since = clock_mono_us(), acked = 0, visible = 0, sent = since, now;
    unsigned rcode, answers;
    uint16_t id = 0;
    while (visible == 0 || (acked == 0 && update_fd >= 0)) {
        now = clock_mono_us();
        if (now - since > GIVE_UP_US)
            die(t->name, "not seen within 20 s");
        if (acked == 0 && update_fd >= 0 && take(update_fd, (uint16_t)t->n, 0, &rcode, &answers)) {
            acked = clock_mono_us();
            if (rcode != 0)
                die(t->name, "UPDATE refused");
        } else if (acked == 0 && update_fd >= 0 && now - sent > RESEND_US) {
            send_update(update_fd, t);
            sent = now;
        }
        if (visible == 0 && seen(seen_fd, t, ++id))
            visible = clock_mono_us();
        if (visible == 0)
            nap_us(ASK_EVERY_US);
    }
    printf("%llu %llu\n", (unsigned long long)(acked > 0 ? acked - since : 0), (unsigned long long)(visible - since));
    (void)fflush(stdout);
}

static void updates(char **arg)
{
    int to = socket_to(arg[0]), at = socket_to(arg[1]);
    struct target t = { .zone = arg[2] };
    unsigned first = (unsigned)atoi(arg[3]), n = (unsigned)atoi(arg[4]);
    for (unsigned i = first; i < first + n; i++) {
        target_set(&t, i);
        send_update(to, &t);
        watch(to, at, &t);
        nap_us(atol(arg[5]) * 1000);
    }
}

static void files(char **arg)
{
    int at = socket_to(arg[2]);
    char new[4096];
    struct target t = { .zone = arg[3] };
    unsigned first = (unsigned)atoi(arg[4]), n = (unsigned)atoi(arg[5]);
    for (unsigned i = first; i < first + n; i++) {
        target_set(&t, i);
        (void)snprintf(new, sizeof new, "%s.%u", arg[1], i);
        if (rename(new, arg[1]) != 0 || kill((pid_t)atoi(arg[0]), SIGHUP) != 0)
            die(new, strerror(errno));
        watch(-1, at, &t);
        nap_us(atol(arg[6]) * 1000);
    }
}

int main(int argc, char **argv)
{
    (void)prctl(PR_SET_TIMERSLACK, 1);
    if (argc == 8 && strcmp(argv[1], "update") == 0)
        updates(argv + 2);
    else if (argc == 9 && strcmp(argv[1], "file") == 0)
        files(argv + 2);
    else
        die("usage", "update PORT SEEN_PORT ZONE FIRST CHANGES PAUSE_MS | file PID FILE SEEN_PORT ZONE FIRST CHANGES PAUSE_MS");
    return 0;
}
