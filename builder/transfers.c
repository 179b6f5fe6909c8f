#include "builder/transfers.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "builder/spool.h"
#include "builder/turns.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define THREADS_MAX 4
#define SPOOL_STEP ((uint64_t)8 << 20)      /* the disk is looked at anew when the spools have grown by so much */
#define QUESTION_MAX (NAME_MAX_LEN + 4)

struct transfer {
    struct transfers *all;
    struct transfer_ask ask;
    uint8_t question[QUESTION_MAX];
    struct tsig_chain *chain;
    void *of;
    uint64_t since_ms;
    struct turn turn;                   /* of those that wait to be made */
    struct transfer *prev_live, *next_live;
    /* the sender's */
    uint64_t sent, bytes;
    bool told, over;                    /* over: the last message was given, or an error */
    struct spool spool;
    /* under the lock */
    bool made, dropped, wanted, ready;  /* made: no thread is at it, nor will be; wanted: the sender waits */
    uint64_t spooled;
    /* the making thread's, until made */
    enum err err;
    struct xfrout_made what;
    struct fault fault;
};

struct lane { struct transfers *all; struct view *view; struct journal *journal; pthread_t thread; bool started; };
struct transfers {
    struct transfers_options o;
    pthread_mutex_t lock;
    pthread_cond_t come;
    bool stop;
    struct turns turns;                 /* to be made */
    struct transfer *live;              /* all of them; the sender's list */
    unsigned live_n;
    uint64_t spooled, granted;          /* bytes in files; what they may grow to without another look at the disk */
    struct log_brake brake;
    stat_count forms[XFROUT_FORMS], failed, busy, sent_bytes, running;
    struct lane lanes[THREADS_MAX];
    unsigned lanes_n;
};

/* --- making: in a thread of ours --------------------------------------------------------------------------------------------- */
static void ring(struct transfers *t)
{
    uint64_t one = 1;
    if (write(t->o.bell_fd, &one, sizeof one) != (ssize_t)sizeof one)
        log_error("core.dns", "err=\"cannot wake the thread\"");
}

/* Under the lock. The sender hears of it if it waits. */
static void wake(struct transfer *x)
{
    if (!x->wanted || x->dropped)
        return;
    x->wanted = false;
    x->ready = true;
    ring(x->all);
}

uint64_t transfers_allowance(uint64_t spooled, uint64_t left)
{
    uint64_t all = left > UINT64_MAX - spooled ? UINT64_MAX : spooled + left;
    return all / TRANSFERS_SPOOL_SHARE < TRANSFERS_SPOOL_MAX ? all / TRANSFERS_SPOOL_SHARE : TRANSFERS_SPOOL_MAX;
}

static uint64_t disk_left(const struct transfers *t)
{
    struct statvfs disk;
    if (t->o.left != NULL)
        return t->o.left(t->o.left_arg);
    return statvfs(store_dir(t->o.store), &disk) == 0 ? (uint64_t)disk.f_bavail * disk.f_frsize : 0;
}

/* Under the lock. May the files of all spools grow by n? The store writes to the same disk and must never find it full because of us. */
static bool spools_may_grow(struct transfers *t, uint64_t n)
{
    if (n == 0 || t->spooled + n <= t->granted)
        return true;
    uint64_t most = transfers_allowance(t->spooled, disk_left(t)), want = t->spooled + n + SPOOL_STEP;
    t->granted = want < most ? want : most;
    return t->spooled + n <= t->granted;
}

static enum err on_message(void *arg, struct bytes msg)
{
    struct transfer *x = arg;
    struct transfers *t = x->all;
    uint64_t n = spool_file_bytes(&x->spool, msg);
    (void)pthread_mutex_lock(&t->lock);
    bool unwanted = x->dropped || t->stop;
    bool full = !unwanted && !spools_may_grow(t, n);
    if (!unwanted && !full) {
        t->spooled += n;
        x->spooled += n;
    }
    (void)pthread_mutex_unlock(&t->lock);
    if (unwanted)
        return ERR_NOTNOW;
    if (full)
        return fault_set(&x->fault, ERR_LIMIT, "the spools of all transfers together would take too much of the disk that the store is on");
    enum err err = spool_put(&x->spool, store_dir(t->o.store), msg, &x->fault);
    (void)pthread_mutex_lock(&t->lock);
    wake(x);
    (void)pthread_mutex_unlock(&t->lock);
    return err;
}

static void make(struct lane *l, struct transfer *x)
{
    struct xfr_question q = { .id = x->ask.id, .flags = x->ask.flags, .question = x->ask.question, .has_edns = x->ask.has_edns,
                              .max = x->ask.max, .room = x->ask.room };
    enum err err = view_begin(l->view);
    if (err == OK) {
        err = xfrout_make(&x->ask.ask, &q, l->view, l->journal, on_message, x, &x->what, &x->fault);
        view_end(l->view);
    }
    x->err = err;
}

static void transfer_free(struct transfer *x)
{
    struct transfers *t = x->all;
    t->spooled -= x->spooled;
    t->granted = t->granted > x->spooled ? t->granted - x->spooled : 0;         /* what it had belongs to the store again */
    spool_release(&x->spool);
    free(x->of);
    free(x);
}

/* Waits, under the lock. A view that is idle holds the generation that it saw last: so it looks again once a second. */
static void rest(struct lane *l)
{
    struct transfers *t = l->all;
    if (cond_rest(&t->come, &t->lock, 1000) || t->turns.first != NULL)
        return;
    (void)pthread_mutex_unlock(&t->lock);
    if (view_begin(l->view) == OK)
        view_end(l->view);
    (void)pthread_mutex_lock(&t->lock);
}

static void *thread(void *arg)
{
    struct lane *l = arg;
    struct transfers *t = l->all;
    (void)pthread_mutex_lock(&t->lock);
    while (!t->stop) {
        struct turn *turn = turns_take(&t->turns);
        if (turn == NULL) {
            rest(l);
            continue;
        }
        struct transfer *x = (struct transfer *)(void *)((char *)turn - offsetof(struct transfer, turn));
        (void)pthread_mutex_unlock(&t->lock);
        make(l, x);
        (void)pthread_mutex_lock(&t->lock);
        x->made = true;
        wake(x);
        if (x->dropped)
            transfer_free(x);
    }
    (void)pthread_mutex_unlock(&t->lock);
    return NULL;
}

/* --- sending: the thread of core.dns -------------------------------------------------------------------------------------------- */
static unsigned of_client(const struct transfers *t, const struct peer *p)
{
    unsigned n = 0;
    for (const struct transfer *x = t->live; x != NULL; x = x->next_live)
        n += turns_same(&x->ask.client, p);
    return n;
}

static bool is_full(const struct transfers *t, const struct transfer_ask *ask)
{
    unsigned udp = 0;
    for (const struct transfer *x = t->live; x != NULL; x = x->next_live)
        udp += x->ask.ask.udp;
    return t->live_n >= TRANSFERS_MAX || (ask->ask.udp && udp >= TRANSFERS_UDP_MAX) || of_client(t, &ask->client) >= TRANSFERS_CLIENT_MAX;
}

static void link_live(struct transfers *t, struct transfer *x)
{
    x->next_live = t->live;
    if (t->live != NULL)
        t->live->prev_live = x;
    t->live = x;
    t->live_n++;
    stat_set(&t->running, t->live_n);
}

static void unlink_live(struct transfers *t, struct transfer *x)
{
    *(x->prev_live != NULL ? &x->prev_live->next_live : &t->live) = x->next_live;
    if (x->next_live != NULL)
        x->next_live->prev_live = x->prev_live;
    t->live_n--;
    stat_set(&t->running, t->live_n);
}

enum err transfers_put(struct transfers *t, const struct transfer_ask *ask, struct tsig_chain *chain, void *of, struct transfer **out)
{
    if (is_full(t, ask)) {
        stat_add(&t->busy, 1);
        return ERR_LIMIT;
    }
    struct transfer *x = ask->question.len > QUESTION_MAX ? NULL : calloc(1, sizeof *x);
    if (x == NULL)
        return ERR_NOMEM;
    x->all = t;
    x->ask = *ask;
    memcpy(x->question, ask->question.ptr, ask->question.len);
    x->ask.question.ptr = x->question;
    x->chain = chain;
    x->of = of;
    x->wanted = true;
    x->since_ms = clock_mono_ms();
    spool_init(&x->spool);
    link_live(t, x);
    (void)pthread_mutex_lock(&t->lock);
    x->turn.client = ask->client;
    turns_put(&t->turns, &x->turn);
    (void)pthread_cond_signal(&t->come);
    (void)pthread_mutex_unlock(&t->lock);
    *out = x;
    return OK;
}

void transfers_ready(struct transfers *t, transfers_ready_fn *ready, void *arg)
{
    for (struct transfer *x = t->live, *next; x != NULL; x = next) {
        next = x->next_live;
        (void)pthread_mutex_lock(&t->lock);
        bool is = x->ready;
        x->ready = false;
        (void)pthread_mutex_unlock(&t->lock);
        if (is)
            ready(arg, x, x->of);       /* may end x, and no other */
    }
}

#define LOG_BURST 5             /* lines a second about datagrams, whose sender may be anybody */

static void log_end(const struct transfer *x)
{
    unsigned held = 0;
    if (x->ask.ask.udp && !log_brake_pass(&x->all->brake, clock_mono_ms(), LOG_BURST, &held))
        return;
    char zone[NAME_TEXT_MAX], client[NET_TEXT_MAX], quoted[700];
    struct net n = { .len = x->ask.client.len, .bits = (uint8_t)(8 * x->ask.client.len) };
    memcpy(n.addr, x->ask.client.addr, sizeof n.addr);
    (void)name_text(zone, sizeof zone, name_bytes(&x->ask.ask.apex));
    (void)net_text(&n, client, sizeof client);
    if (x->err != OK)
        log_warn("transfer.failed", "zone=%s to=%s port=%u form=%s messages=%" PRIu64 " err=%s held=%u", zone, client, x->ask.port,
                 xfrout_form_names[x->what.form], x->sent, log_quote(quoted, sizeof quoted, fault_text(&x->fault, x->err)), held);
    else if (x->what.form != XFROUT_SOA)
        log_info("transfer.out", "zone=%s to=%s port=%u form=%s serial=%" PRIu32 " records=%" PRIu64 " messages=%" PRIu64
                 " bytes=%" PRIu64 " ms=%" PRIu64, zone, client, x->ask.port, xfrout_form_names[x->what.form], x->what.serial,
                 x->what.records, x->sent, x->bytes, clock_mono_ms() - x->since_ms);
}

static enum err seal(struct transfer *x, uint8_t *out, size_t *len)
{
    struct wr w = { out, *len, x->ask.max, false };
    enum err err = x->chain == NULL ? OK : tsig_sign(x->chain, &w, clock_wall_s(), 0, NULL);
    *len = w.len;
    x->sent++;
    x->bytes += w.len;
    stat_add(&x->all->sent_bytes, w.len);
    return err;
}

/* It failed before the first message left: the client is told, and the connection can go on. */
static enum err servfail(struct transfer *x, uint8_t *out, size_t *len)
{
    struct wr w = wr_over(out, x->ask.max);
    wr_u16(&w, x->ask.id);
    wr_u16(&w, (uint16_t)(DNS_QR | (x->ask.flags & DNS_RD) | RCODE_SERVFAIL));
    wr_u16(&w, 1);
    wr_u32(&w, 0);
    wr_u16(&w, 0);
    wr_bytes(&w, x->ask.question);
    *len = w.len;
    return w.full ? ERR_NOSPACE : seal(x, out, len);
}

static void end_told(struct transfer *x)
{
    if (x->told)
        return;
    x->told = true;
    stat_add(x->err != OK ? &x->all->failed : &x->all->forms[x->what.form], 1);
    log_end(x);
}

enum err transfer_next(struct transfer *x, uint8_t *out, size_t *len)
{
    struct transfers *t = x->all;
    if (x->over)
        return ERR_NOTFOUND;
    (void)pthread_mutex_lock(&t->lock);
    bool made = x->made;                /* before the look into the spool */
    (void)pthread_mutex_unlock(&t->lock);
    bool vain = made && x->err != OK && x->sent == 0;           /* what was made of it is no use to anybody */
    enum err err = vain ? ERR_AGAIN : spool_next(&x->spool, out, len);
    if (err == OK)
        return seal(x, out, len);
    if (err != ERR_AGAIN)
        return err;
    if (!made) {
        (void)pthread_mutex_lock(&t->lock);
        x->wanted = true;
        if (x->made || x->spool.read != atomic_load(&x->spool.written))
            wake(x);                    /* came in between */
        (void)pthread_mutex_unlock(&t->lock);
        return ERR_AGAIN;
    }
    x->over = true;
    end_told(x);
    if (x->err == OK)
        return ERR_NOTFOUND;
    return x->sent == 0 ? servfail(x, out, len) : x->err;
}

bool transfer_is_late(const struct transfer *x, uint64_t now_ms) { return now_ms - x->since_ms > TRANSFER_MS_MAX; }

void transfer_end(struct transfer *x)
{
    struct transfers *t = x->all;
    unlink_live(t, x);
    tsig_close(x->chain);
    x->chain = NULL;
    (void)pthread_mutex_lock(&t->lock);
    x->dropped = true;
    bool waits = turns_remove(&t->turns, &x->turn);         /* nobody is at it yet */
    if (waits || x->made)
        transfer_free(x);               /* else its thread does */
    (void)pthread_mutex_unlock(&t->lock);
}

/* --- life ------------------------------------------------------------------------------------------------------------------------ */
static enum err lane_start(struct lane *l, struct fault *fault)
{
    enum err err = view_open(l->all->o.store, &l->view, fault);
    if (err == OK)
        err = journal_open(&l->journal, l->all->o.store, fault);
    if (err != OK)
        return err;
    l->started = thread_start(&l->thread, thread, l);
    return l->started ? OK : ERR_NOMEM;
}

enum err transfers_open(struct transfers **out, const struct transfers_options *o, struct fault *fault)
{
    struct transfers *t = calloc(1, sizeof *t);
    enum err err = OK;
    if (t == NULL)
        return ERR_NOMEM;
    t->o = *o;
    (void)pthread_mutex_init(&t->lock, NULL);
    cond_open(&t->come);
    while (err == OK && t->lanes_n < o->threads && t->lanes_n < THREADS_MAX) {
        struct lane *l = &t->lanes[t->lanes_n++];
        l->all = t;
        err = lane_start(l, fault);
    }
    if (err != OK) {
        transfers_close(t);
        return err;
    }
    *out = t;
    return OK;
}

void transfers_close(struct transfers *t)
{
    if (t == NULL)
        return;
    (void)pthread_mutex_lock(&t->lock);
    t->stop = true;
    (void)pthread_cond_broadcast(&t->come);
    (void)pthread_mutex_unlock(&t->lock);
    for (unsigned i = 0; i < t->lanes_n; i++) {
        struct lane *l = &t->lanes[i];
        if (l->started)
            (void)pthread_join(l->thread, NULL);
        view_close(l->view);
        journal_close(l->journal);
    }
    while (t->live != NULL)
        transfer_end(t->live);
    (void)pthread_cond_destroy(&t->come);
    (void)pthread_mutex_destroy(&t->lock);
    free(t);
}

void transfers_metrics(const struct transfers *t, struct stat_page *p)
{
    char label[32];
    stat_head(p, "azoth_core_dns_transfers_total", "counter", "transfers out by their form");
    for (unsigned i = XFROUT_SOA; i < XFROUT_FORMS; i++) {
        (void)snprintf(label, sizeof label, "form=\"%s\"", xfrout_form_names[i]);
        stat_value(p, "azoth_core_dns_transfers_total", label, stat_get(&t->forms[i]));
    }
    stat_head(p, "azoth_core_dns_transfers_failed_total", "counter", "transfers out that could not be finished");
    stat_value(p, "azoth_core_dns_transfers_failed_total", NULL, stat_get(&t->failed));
    stat_head(p, "azoth_core_dns_transfers_busy_total", "counter", "transfers out refused because of their number");
    stat_value(p, "azoth_core_dns_transfers_busy_total", NULL, stat_get(&t->busy));
    stat_head(p, "azoth_core_dns_transfer_bytes_total", "counter", "bytes of messages of transfers out");
    stat_value(p, "azoth_core_dns_transfer_bytes_total", NULL, stat_get(&t->sent_bytes));
    stat_head(p, "azoth_core_dns_transfers_running", "gauge", "transfers out that are being made or sent");
    stat_value(p, "azoth_core_dns_transfers_running", NULL, stat_get(&t->running));
}
