/* How long a change of a primary takes until its secondaries (for azoth the azoth-dns of an edge) answer with it.
 *
 *     bench-transfer PORT ZONE HOSTS ZONES REFRESH_S
 *
 * is a primary itself (primary.h) and takes orders from its input, a line each, until that ends:
 *
 *     notify RECORDS ROUNDS PAUSE_MS TARGET...          so many addresses change here
 *     update PORT RECORDS ROUNDS PAUSE_MS TARGET...     they change at the server of that port, by UPDATE
 *     questions                                         SOA questions in each second since the start, transfers
 *
 * TARGET: NAME:PORT:SEEN_PORT. In each round, behind the change, one after the other is sent a NOTIFY at PORT, and SEEN_PORT is
 * asked for the last changed address until it answers with it. Whose turn is first goes round. For each a line:
 *
 *     seen NAME VISIBLE ASKED_SOA ASKED SENT BUSY       microseconds from sending NOTIFY
 *
 * ASKED_SOA, ASKED: first question for the SOA, for the transfer; SENT: the last byte of it was handed to the kernel; BUSY: what
 * the primary spent; all 0 with update. VISIBLE 0: not within 20 s; it is left alone then until the
 * order's end, which is a line `done`. */
#include "bench/primary.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/asking.h"
#include "wire/query.h"
#include "wire/rrtype.h"

#define TARGETS 8
#define GIVE_UP_US 20000000u
#define ASK_EVERY_US 100
#define ASK_AGAIN_US 100000u    /* the question was lost */
#define NOTIFY_AGAIN_US 1000000u
#define UPDATE_MAX 1400
#define SERVE_US 1000000

struct target { char name[40]; int notify, seen; bool lost; };
struct asked { uint32_t host, address; };
struct bench {
    struct primary *p;
    struct primary_options o;
    struct target target[TARGETS];
    unsigned targets, round;
    uint16_t id;
    uint32_t changed;           /* addresses so far */
};

void die(const char *what, const char *why)
{
    fprintf(stderr, "bench-transfer: %s: %s\n", what, why);
    exit(1);
}

/* --- messages ---------------------------------------------------------------------------------------------------------- */
static void put_question(struct wr *w, uint16_t id, uint16_t flags, uint16_t answers, uint16_t updates, const char *name, uint16_t type)
{
    wr_u16(w, id);
    wr_u16(w, flags);
    wr_u16(w, 1);
    wr_u16(w, answers);
    wr_u16(w, updates);
    wr_u16(w, 0);
    put_name(w, name);
    wr_u16(w, type);
    wr_u16(w, CLASS_IN);
}

static const char *host_name(const struct bench *b, uint32_t host, char *out, size_t cap)
{
    (void)snprintf(out, cap, "h%u.%s", (unsigned)host, b->o.zone);
    return out;
}

/* A reply with this id that waits at the socket. */
static bool reply(int fd, uint16_t id, uint8_t *buf, size_t cap, struct bytes *out)
{
    ssize_t n;
    while ((n = recv(fd, buf, cap, MSG_DONTWAIT)) > 0) {
        struct rd r = rd_over(bytes_of(buf, (size_t)n));
        if (rd_u16(&r) == id && (rd_u16(&r) & DNS_QR) != 0 && !r.bad) {
            *out = bytes_of(buf, (size_t)n);
            return true;
        }
    }
    return false;
}

/* The first answer's RDATA, behind the question. */
static bool first_rdata(struct bytes msg, struct bytes *out)
{
    struct rd r = rd_over(msg);
    struct name skipped;
    (void)rd_take(&r, 6);
    if (rd_u16(&r) == 0)
        return false;
    (void)rd_take(&r, 4);
    if (name_unpack(&r, msg, &skipped) != OK)
        return false;
    (void)rd_take(&r, 4);
    if (name_unpack(&r, msg, &skipped) != OK)
        return false;
    (void)rd_take(&r, 8);
    *out = rd_take(&r, rd_u16(&r));
    return !r.bad;
}

static bool has_address(struct bytes msg, uint32_t address)
{
    struct bytes rdata;
    if (!first_rdata(msg, &rdata))
        return false;
    struct rd r = rd_over(rdata);
    return rd_u32(&r) == address && rd_done(&r);
}

/* --- changes -------------------------------------------------------------------------------------------------------------- */
/* Spread over the zone, and another address each time. */
static struct asked next_change(struct bench *b)
{
    uint32_t n = b->changed++;
    return (struct asked){ (uint32_t)((uint64_t)n * 2654435761u % b->o.hosts), 0x0b000000 + n };
}

static struct asked change_here(struct bench *b, unsigned records, uint32_t *serial)
{
    struct asked a = { 0, 0 };
    for (unsigned i = 0; i < records; i++) {
        a = next_change(b);
        primary_change(b->p, a.host, a.address);
    }
    *serial = primary_commit(b->p);
    return a;
}

/* A question to the other server, until it answers; what it says. */
static struct bytes ask(struct bench *b, int fd, const struct wr *w, uint8_t *buf, size_t cap)
{
    struct bytes msg;
    uint64_t since = clock_mono_us();
    uint16_t id = (uint16_t)(w->buf[0] << 8 | w->buf[1]);
    if (w->full || send(fd, w->buf, w->len, 0) < 0)
        die("the primary", w->full ? "too many records for an UPDATE" : strerror(errno));
    while (!reply(fd, id, buf, cap, &msg)) {
        struct pollfd f = { .fd = fd, .events = POLLIN };
        if (clock_mono_us() - since > GIVE_UP_US)
            die("the primary", "no answer within 20 s");
        primary_wait(b->p, &f, 1, ASK_AGAIN_US);
    }
    return msg;
}

static struct asked change_there(struct bench *b, int fd, unsigned records, uint32_t *serial)
{
    uint8_t out[UPDATE_MAX], in[4096];
    char name[300];
    struct asked a = { 0, 0 };
    struct bytes rdata;
    struct wr w = wr_over(out, sizeof out);
    put_question(&w, ++b->id, OPCODE_UPDATE << DNS_OPCODE_SHIFT, 0, (uint16_t)(2 * records), b->o.zone, TYPE_SOA);
    for (unsigned i = 0; i < records; i++) {
        a = next_change(b);
        put_name(&w, host_name(b, a.host, name, sizeof name));
        wr_u16(&w, TYPE_A);
        wr_u16(&w, CLASS_ANY);
        wr_u32(&w, 0);
        wr_u16(&w, 0);
        put_name(&w, name);
        wr_u16(&w, TYPE_A);
        wr_u16(&w, CLASS_IN);
        wr_u32(&w, 300);
        wr_u16(&w, 4);
        wr_u32(&w, a.address);
    }
    if ((ask(b, fd, &w, in, sizeof in).ptr[3] & DNS_RCODE) != 0)
        die("the primary", "UPDATE refused");
    w = wr_over(out, sizeof out);
    put_question(&w, ++b->id, 0, 0, 0, b->o.zone, TYPE_SOA);
    if (!first_rdata(ask(b, fd, &w, in, sizeof in), &rdata) || rdata.len < 20)
        die("the primary", "no SOA");
    struct rd r = rd_over(bytes_of(rdata.ptr + rdata.len - 20, 4));
    *serial = rd_u32(&r);
    return a;
}

/* --- until it is seen ------------------------------------------------------------------------------------------------------ */
static void send_notify(struct bench *b, const struct target *t, uint32_t serial)
{
    uint8_t out[600];
    struct wr w = wr_over(out, sizeof out);
    put_question(&w, ++b->id, OPCODE_NOTIFY << DNS_OPCODE_SHIFT | DNS_AA, 1, 0, b->o.zone, TYPE_SOA);
    primary_put_soa(&w, serial, b->o.refresh_s);
    (void)send(t->notify, out, w.len, 0);
}

static void send_question(struct bench *b, const struct target *t, const struct asked *a)
{
    uint8_t out[600];
    char name[300];
    struct wr w = wr_over(out, sizeof out);
    put_question(&w, ++b->id, 0, 0, 0, host_name(b, a->host, name, sizeof name), TYPE_A);
    (void)send(t->seen, out, w.len, 0);
}

static uint64_t watch(struct bench *b, const struct target *t, const struct asked *a, uint32_t serial)
{
    uint64_t since = clock_mono_us(), notified = since, asked = 0, answered = 0, now;
    uint8_t in[4096];
    struct bytes msg;
    send_notify(b, t, serial);
    while ((now = clock_mono_us()) - since < GIVE_UP_US) {
        if (asked != 0 && answered == 0 && reply(t->seen, b->id, in, sizeof in, &msg)) {
            answered = clock_mono_us();
            if (has_address(msg, a->address))
                return answered - since;
        }
        if (now - notified >= NOTIFY_AGAIN_US) {
            send_notify(b, t, serial);
            notified = now;
            asked = 0;
        }
        if (asked == 0 || (answered != 0 && now - answered >= ASK_EVERY_US) || now - asked >= ASK_AGAIN_US) {
            send_question(b, t, a);
            asked = now;
            answered = 0;
        }
        struct pollfd f = { .fd = answered == 0 ? t->seen : -1, .events = POLLIN };
        primary_wait(b->p, &f, 1, answered == 0 ? ASK_AGAIN_US / 10 : ASK_EVERY_US);
    }
    return 0;
}

static uint64_t behind(uint64_t at, uint64_t since) { return at > since ? at - since : 0; }

static void rounds(struct bench *b, int update, unsigned records, unsigned n, unsigned pause_ms)
{
    for (unsigned i = 0; i < n; i++, b->round++) {
        uint32_t serial;
        struct asked a = update >= 0 ? change_there(b, update, records, &serial) : change_here(b, records, &serial);
        for (unsigned k = 0; k < b->targets; k++) {
            struct target *t = &b->target[(b->round + k) % b->targets];
            struct primary_times *times = primary_times(b->p);
            if (t->lost)
                continue;
            memset(times, 0, sizeof *times);
            uint64_t since = clock_mono_us(), visible = watch(b, t, &a, serial);
            t->lost = visible == 0;
            printf("seen %s %llu %llu %llu %llu %llu\n", t->name, (unsigned long long)visible, (unsigned long long)behind(times->asked_soa_us, since),
                   (unsigned long long)behind(times->asked_us, since), (unsigned long long)behind(times->sent_us, since),
                   (unsigned long long)times->busy_us);
        }
        primary_wait(b->p, NULL, 0, (uint64_t)pause_ms * 1000);
    }
}

/* --- orders ---------------------------------------------------------------------------------------------------------------- */
static void target_add(struct bench *b, char *word)
{
    char *state = NULL, *name = strtok_r(word, ":", &state), *notify = strtok_r(NULL, ":", &state), *seen = strtok_r(NULL, ":", &state);
    if (b->targets == TARGETS || seen == NULL)
        die(word, b->targets == TARGETS ? "too many of them" : "not NAME:PORT:SEEN_PORT");
    struct target *t = &b->target[b->targets++];
    (void)snprintf(t->name, sizeof t->name, "%s", name);
    t->lost = false;
    t->notify = socket_to(notify);
    t->seen = socket_to(seen);
}

static unsigned number(char **state)
{
    const char *word = strtok_r(NULL, " \n", state);
    return word == NULL ? 0 : (unsigned)atoi(word);
}

static void measure(struct bench *b, char **state, bool is_update)
{
    const char *port = is_update ? strtok_r(NULL, " \n", state) : NULL;
    int update = port != NULL ? socket_to(port) : -1;
    unsigned records = number(state), n = number(state), pause_ms = number(state);
    char *word;
    while ((word = strtok_r(NULL, " \n", state)) != NULL)
        target_add(b, word);
    if (records == 0 || b->targets == 0)
        die("order", "no records or no targets");
    rounds(b, update, records, n, pause_ms);
    for (; b->targets > 0; b->targets--) {
        (void)close(b->target[b->targets - 1].notify);
        (void)close(b->target[b->targets - 1].seen);
    }
    if (update >= 0)
        (void)close(update);
}

static void questions(const struct bench *b)
{
    const struct primary_counts *c = primary_counts(b->p);
    unsigned seconds = primary_seconds(b->p);
    printf("questions %llu %llu", (unsigned long long)c->soa, (unsigned long long)c->transfers);
    for (unsigned i = 0; i < seconds && i < PRIMARY_SECONDS; i++)
        printf(" %u", (unsigned)c->second[i]);
    printf("\n");
}

static void obey(struct bench *b, char *line)
{
    char *state = NULL;
    const char *what = strtok_r(line, " \n", &state);
    if (what != NULL && strcmp(what, "questions") == 0)
        questions(b);
    else if (what != NULL && (strcmp(what, "notify") == 0 || strcmp(what, "update") == 0))
        measure(b, &state, strcmp(what, "update") == 0);
    else
        die("order", what != NULL ? what : "empty");
    printf("done\n");
    (void)fflush(stdout);
}

/* Serves while it waits. false: the input ended. */
static bool order(struct bench *b, char *line, size_t cap)
{
    size_t len = 0;
    while (len + 1 < cap) {
        struct pollfd f = { .fd = STDIN_FILENO, .events = POLLIN };
        primary_wait(b->p, &f, 1, SERVE_US);
        if (f.revents == 0)
            continue;
        ssize_t n = read(STDIN_FILENO, line + len, 1);
        if (n <= 0)
            return false;
        if (line[len++] == '\n')
            break;
    }
    line[len] = '\0';
    return true;
}

int main(int argc, char **argv)
{
    char line[1000];
    if (argc != 6)
        die("usage", "PORT ZONE HOSTS ZONES REFRESH_S");
    struct bench b = { .o = { (uint16_t)atoi(argv[1]), argv[2], (uint32_t)atoi(argv[3]), (uint32_t)atoi(argv[4]), (uint32_t)atoi(argv[5]) } };
    (void)prctl(PR_SET_TIMERSLACK, 1);
    primary_open(&b.p, &b.o);
    printf("done\n");
    (void)fflush(stdout);
    while (order(&b, line, sizeof line))
        obey(&b, line);
    return 0;
}
