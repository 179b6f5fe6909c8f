#include "bench/primary.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "wire/query.h"
#include "wire/rrtype.h"
#include "wire/tcp.h"

#define LINKS 128               /* connections at once; more wait in the listener */
#define MORE_MAX 8
#define MESSAGE_MAX 16000       /* of a transfer: pointers reach that far */
#define UDP_MAX 1232
#define QUERY_MAX 2048
#define SMALL_HOSTS 3
#define POINTER 0xc00c          /* to the question's name */
#define TTL 300

struct zone { uint32_t serial, hosts; const uint32_t *addr; };
struct past { uint32_t host, old, new; };
/* What is to be sent to one who asked. `what` is the next record; see next_record. */
enum next { SOA_FIRST, ALL_NS, ALL_NS_ADDRESS, ALL_HOSTS, STEP_OLD_SOA, STEP_OLD, STEP_NEW_SOA, STEP_NEW, SOA_LAST, NOTHING };
struct transfer {
    const struct zone *z;
    enum next next;
    bool steps;
    uint32_t serial, to;        /* of the steps */
    size_t i;
    uint16_t id, question_len;
    uint8_t question[NAME_MAX_LEN + 4];
};
struct link { int fd; size_t in_len, out_at, out_len; struct transfer t; uint8_t in[QUERY_MAX], out[TCP_PREFIX + MESSAGE_MAX]; };
struct primary {
    struct primary_options o;
    struct name apex, many;
    struct zone zone, small;
    uint32_t *addr;
    struct past *past;          /* changes in order; those of serial s begin at from[s - 1] */
    size_t past_n, past_cap, *from, from_cap;
    int udp, listener;
    struct link *link[LINKS];
    unsigned links;
    uint64_t begun_us;
    struct primary_times times;
    struct primary_counts counts;
};

static void *grown(void *old, size_t n, size_t size)
{
    void *got = realloc(old, n * size);
    if (got == NULL)
        die("memory", strerror(errno));
    return got;
}

/* --- records --------------------------------------------------------------------------------------------------------- */
static void put_head(struct wr *w, uint16_t type, uint16_t rdata_len)
{
    wr_u16(w, type);
    wr_u16(w, CLASS_IN);
    wr_u32(w, TTL);
    wr_u16(w, rdata_len);
}

static void put_label(struct wr *w, const char *label)
{
    wr_u8(w, (uint8_t)strlen(label));
    wr_bytes(w, bytes_of_text(label));
    wr_u16(w, POINTER);
}

void primary_put_soa(struct wr *w, uint32_t serial, uint32_t refresh_s)
{
    const uint32_t numbers[] = { serial, refresh_s, refresh_s, 1209600, 300 };
    wr_u16(w, POINTER);
    put_head(w, TYPE_SOA, 6 + 13 + sizeof numbers);
    put_label(w, "ns1");
    put_label(w, "hostmaster");
    for (unsigned i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        wr_u32(w, numbers[i]);
}

static void put_ns(struct wr *w)
{
    wr_u16(w, POINTER);
    put_head(w, TYPE_NS, 6);
    put_label(w, "ns1");
}

static void put_address(struct wr *w, const char *label, uint32_t address)
{
    put_label(w, label);
    put_head(w, TYPE_A, 4);
    wr_u32(w, address);
}

static void put_host(struct wr *w, uint32_t host, uint32_t address)
{
    char label[16];
    (void)snprintf(label, sizeof label, "h%u", (unsigned)host);
    put_address(w, label, address);
}

/* --- transfers --------------------------------------------------------------------------------------------------------- */
static size_t step_end(const struct primary *p, uint32_t serial)
{
    return serial < p->zone.serial ? p->from[serial] : p->past_n;
}

static void step_begin(const struct primary *p, struct transfer *t)
{
    t->next = t->serial == t->to ? SOA_LAST : STEP_OLD_SOA;
    t->i = t->serial == t->to ? 0 : p->from[t->serial - 1];
}

/* One record more; the state moves on whether it fits or not: the caller keeps a copy. */
static void next_record(const struct primary *p, struct transfer *t, struct wr *w)
{
    switch (t->next) {
    case SOA_FIRST:
        primary_put_soa(w, t->to, p->o.refresh_s);
        if (t->steps)
            step_begin(p, t);
        else
            t->next = ALL_NS;
        break;
    case ALL_NS: put_ns(w); t->next = ALL_NS_ADDRESS; break;
    case ALL_NS_ADDRESS: put_address(w, "ns1", 0xc0000201); t->next = ALL_HOSTS; t->i = 0; break;
    case ALL_HOSTS:
        put_host(w, (uint32_t)t->i, t->z->addr[t->i]);
        t->next = ++t->i == t->z->hosts ? SOA_LAST : ALL_HOSTS;
        break;
    case STEP_OLD_SOA: primary_put_soa(w, t->serial, p->o.refresh_s); t->next = STEP_OLD; break;
    case STEP_OLD:
        put_host(w, p->past[t->i].host, p->past[t->i].old);
        t->next = ++t->i == step_end(p, t->serial) ? STEP_NEW_SOA : STEP_OLD;
        break;
    case STEP_NEW_SOA:
        primary_put_soa(w, t->serial + 1, p->o.refresh_s);
        t->next = STEP_NEW;
        t->i = p->from[t->serial - 1];
        break;
    case STEP_NEW:
        put_host(w, p->past[t->i].host, p->past[t->i].new);
        if (++t->i == step_end(p, t->serial)) {
            t->serial++;
            step_begin(p, t);
        }
        break;
    case SOA_LAST: primary_put_soa(w, t->to, p->o.refresh_s); t->next = NOTHING; break;
    case NOTHING: default: break;
    }
}

/* The next message, as full as it gets. */
static void next_message(const struct primary *p, struct transfer *t, struct wr *w)
{
    uint16_t n = 0;
    wr_u16(w, t->id);
    wr_u16(w, DNS_QR | DNS_AA);
    wr_u16(w, 1);
    size_t count_at = w->len;
    wr_u16(w, 0);
    wr_u32(w, 0);
    wr_put(w, t->question, t->question_len);
    while (t->next != NOTHING) {
        struct transfer before = *t;
        size_t len = w->len;
        next_record(p, t, w);
        if (w->full) {
            *t = before;
            w->len = len;
            w->full = false;
            break;
        }
        n++;
    }
    wr_patch_u16(w, count_at, n);
}

/* --- questions ---------------------------------------------------------------------------------------------------------- */
static const struct zone *zone_of(const struct primary *p, struct bytes qname)
{
    unsigned long number = 0;
    if (name_equal(qname, name_bytes(&p->apex)))
        return &p->zone;
    if (qname.len < 3 || qname.ptr[1] != 'z' || !name_equal(name_parent(qname), name_bytes(&p->many)))
        return NULL;
    for (unsigned i = 2; i <= qname.ptr[0]; i++)
        number = number * 10 + (unsigned)(qname.ptr[i] - '0');
    return number < p->o.zones ? &p->small : NULL;
}

/* The serial that an IXFR says its client has, or 0. */
static uint32_t serial_held(struct bytes msg, const struct query *q)
{
    struct rd r = rd_over(msg);
    struct name skipped;
    (void)rd_take(&r, DNS_HEADER_LEN + (size_t)q->question_len);
    if (name_unpack(&r, msg, &skipped) != OK)
        return 0;
    (void)rd_take(&r, 10);
    if (name_unpack(&r, msg, &skipped) != OK || name_unpack(&r, msg, &skipped) != OK)
        return 0;
    return rd_u32(&r);
}

/* false: the answer is an error, written to w. */
static bool transfer_begin(struct primary *p, struct bytes msg, struct transfer *t, struct wr *w)
{
    struct query q;
    enum query_verdict v = query_read(msg, &q);
    const struct zone *z = v == QUERY_ANSWER ? zone_of(p, q.qname) : NULL;
    if (v == QUERY_DROP || z == NULL) {
        wr_u16(w, q.id);
        wr_u16(w, (uint16_t)(DNS_QR | q.opcode << DNS_OPCODE_SHIFT | RCODE_REFUSED));
        wr_u64(w, 0);
        return false;
    }
    uint32_t held = q.qtype == TYPE_IXFR ? serial_held(msg, &q) : 0;
    *t = (struct transfer){ .z = z, .to = z->serial, .serial = held, .id = q.id, .question_len = q.question_len };
    memcpy(t->question, msg.ptr + DNS_HEADER_LEN, q.question_len);
    t->steps = q.qtype == TYPE_IXFR && z == &p->zone && held >= 1 && held < z->serial;
    t->next = (q.qtype != TYPE_AXFR && q.qtype != TYPE_IXFR) || held == z->serial ? SOA_LAST : SOA_FIRST;
    uint64_t now = clock_mono_us(), second = (now - p->begun_us) / 1000000;
    if (q.qtype == TYPE_SOA) {
        p->counts.soa++;
        if (second < PRIMARY_SECONDS)
            p->counts.second[second]++;
        p->times.asked_soa_us = p->times.asked_soa_us == 0 ? now : p->times.asked_soa_us;
    } else {
        p->counts.transfers += t->next == SOA_FIRST;
        p->times.asked_us = p->times.asked_us == 0 ? now : p->times.asked_us;
    }
    return true;
}

static void datagrams(struct primary *p)
{
    uint8_t in[QUERY_MAX], out[UDP_MAX];
    struct sockaddr_in from;
    socklen_t len = sizeof from;
    ssize_t n;
    while ((n = recvfrom(p->udp, in, sizeof in, MSG_DONTWAIT, (struct sockaddr *)&from, &len)) > 0) {
        struct transfer t;
        struct wr w = wr_over(out, sizeof out);
        if (transfer_begin(p, bytes_of(in, (size_t)n), &t, &w)) {
            next_message(p, &t, &w);
            if (t.next != NOTHING) {            /* too long for UDP: the SOA alone (RFC 1995 section 4) */
                t.next = SOA_LAST;
                w.len = 0;
                next_message(p, &t, &w);
            }
        }
        (void)sendto(p->udp, out, w.len, 0, (struct sockaddr *)&from, len);
        p->times.sent_us = clock_mono_us();
        len = sizeof from;
    }
}

/* --- connections --------------------------------------------------------------------------------------------------------- */
static void message_out(struct primary *p, struct link *l)
{
    struct wr w = wr_over(l->out + TCP_PREFIX, MESSAGE_MAX);
    next_message(p, &l->t, &w);
    tcp_put_prefix(l->out, w.len);
    l->out_at = 0;
    l->out_len = TCP_PREFIX + w.len;
}

static void question_in(struct primary *p, struct link *l)
{
    struct bytes msg;
    size_t need;
    if (tcp_next(bytes_of(l->in, l->in_len), &msg, &need) != OK)
        return;
    struct wr w = wr_over(l->out + TCP_PREFIX, MESSAGE_MAX);
    if (!transfer_begin(p, msg, &l->t, &w)) {
        tcp_put_prefix(l->out, w.len);
        l->out_at = 0;
        l->out_len = TCP_PREFIX + w.len;
    }
    memmove(l->in, l->in + need, l->in_len - need);
    l->in_len -= need;
}

/* false: it is over. */
static bool link_write(struct primary *p, struct link *l)
{
    for (;;) {
        if (l->out_at == l->out_len && l->t.next == NOTHING)
            question_in(p, l);
        if (l->out_at == l->out_len && l->t.next != NOTHING)
            message_out(p, l);
        if (l->out_at == l->out_len)
            return true;
        ssize_t n = send(l->fd, l->out + l->out_at, l->out_len - l->out_at, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN;
        l->out_at += (size_t)n;
        p->times.sent_us = clock_mono_us();
    }
}

static bool link_read(struct link *l)
{
    ssize_t n = recv(l->fd, l->in + l->in_len, sizeof l->in - l->in_len, MSG_DONTWAIT);
    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    l->in_len += (size_t)n;
    return true;
}

static void link_close(struct primary *p, unsigned i)
{
    (void)close(p->link[i]->fd);
    free(p->link[i]);
    p->link[i] = p->link[--p->links];
}

static void link_accept(struct primary *p)
{
    int fd, one = 1;
    while (p->links < LINKS && (fd = accept4(p->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct link *l = grown(NULL, 1, sizeof *l);
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        memset(l, 0, sizeof *l);
        l->fd = fd;
        l->t.next = NOTHING;
        p->link[p->links++] = l;
    }
}

/* --- the loop -------------------------------------------------------------------------------------------------------------- */
static void serve(struct primary *p, const struct pollfd *ready, unsigned links)
{
    uint64_t since = clock_mono_us();
    if (ready[0].revents != 0)
        datagrams(p);
    for (unsigned i = links; i-- > 0;) {        /* from the end: one that closes is replaced by one that was looked at */
        if (ready[2 + i].revents == 0)
            continue;
        if (((ready[2 + i].revents & POLLOUT) == 0 && !link_read(p->link[i])) || !link_write(p, p->link[i]))
            link_close(p, i);
    }
    if (ready[1].revents != 0)
        link_accept(p);
    p->times.busy_us += clock_mono_us() - since;
}

void primary_wait(struct primary *p, struct pollfd *more, unsigned more_n, uint64_t wait_us)
{
    uint64_t until = clock_mono_us() + wait_us, now;
    while ((now = clock_mono_us()) <= until) {
        struct pollfd f[2 + LINKS + MORE_MAX] = { { .fd = p->udp, .events = POLLIN },
                                                  { .fd = p->links < LINKS ? p->listener : -1, .events = POLLIN } };
        unsigned links = p->links, n = 2;
        for (unsigned i = 0; i < links; i++, n++)
            f[n] = (struct pollfd){ .fd = p->link[i]->fd, .events = p->link[i]->out_at < p->link[i]->out_len ? POLLOUT : POLLIN };
        memcpy(f + n, more, more_n * sizeof *more);
        uint64_t left = until - now;
        struct timespec ts = { (time_t)(left / 1000000), (long)(left % 1000000 * 1000) };
        int got = ppoll(f, n + more_n, &ts, NULL);
        if (got <= 0)
            return;
        serve(p, f, links);
        memcpy(more, f + n, more_n * sizeof *more);
        for (unsigned i = 0; i < more_n; i++)
            if (more[i].revents != 0)
                return;
    }
}

/* --- life ------------------------------------------------------------------------------------------------------------------- */
static int open_socket(uint16_t port, int type)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port) };
    int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1, bytes = 4 << 20;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 || bind(fd, (struct sockaddr *)&at, sizeof at) != 0
        || (type == SOCK_STREAM && listen(fd, 1024) != 0))
        die("the primary's port", strerror(errno));
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    return fd;
}

void primary_open(struct primary **out, const struct primary_options *o)
{
    static const uint32_t small[SMALL_HOSTS] = { 0xc0000202, 0xc0000203, 0xc0000204 };
    static const uint8_t label[] = { 4, 'm', 'a', 'n', 'y' };
    struct primary *p = calloc(1, sizeof *p);
    if (p == NULL || name_from_text(bytes_of_text(o->zone), bytes_of(NULL, 0), &p->apex) != OK
        || name_join(bytes_of(label, sizeof label), name_bytes(&p->apex), &p->many) != OK)
        die(o->zone, "no zone");
    p->o = *o;
    p->addr = grown(NULL, o->hosts, sizeof *p->addr);
    for (uint32_t i = 0; i < o->hosts; i++)
        p->addr[i] = 0x0a000000 + i;
    p->zone = (struct zone){ .serial = 1, .hosts = o->hosts, .addr = p->addr };
    p->small = (struct zone){ .serial = 1, .hosts = SMALL_HOSTS, .addr = small };
    p->from_cap = 1024;
    p->from = grown(NULL, p->from_cap, sizeof *p->from);
    p->from[0] = 0;
    p->udp = open_socket(o->port, SOCK_DGRAM);
    p->listener = open_socket(o->port, SOCK_STREAM);
    p->begun_us = clock_mono_us();
    *out = p;
}

void primary_change(struct primary *p, uint32_t host, uint32_t address)
{
    if (p->past_n == p->past_cap) {
        p->past_cap = p->past_cap == 0 ? 1024 : 2 * p->past_cap;
        p->past = grown(p->past, p->past_cap, sizeof *p->past);
    }
    p->past[p->past_n++] = (struct past){ host, p->addr[host], address };
    p->addr[host] = address;
}

uint32_t primary_commit(struct primary *p)
{
    if (p->zone.serial == p->from_cap) {
        p->from_cap *= 2;
        p->from = grown(p->from, p->from_cap, sizeof *p->from);
    }
    p->from[p->zone.serial] = p->past_n;        /* where the changes of the serial behind this one begin */
    return ++p->zone.serial;
}

uint32_t primary_serial(const struct primary *p) { return p->zone.serial; }
const struct primary_counts *primary_counts(const struct primary *p) { return &p->counts; }
unsigned primary_seconds(const struct primary *p) { return (unsigned)((clock_mono_us() - p->begun_us) / 1000000); }
struct primary_times *primary_times(struct primary *p) { return &p->times; }
