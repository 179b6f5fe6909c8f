/* The physical limit of answers over UDP on this machine: every packet goes back with one record behind it.
 *
 *     bench-limit ADDRESS PORT [DATA]
 *
 * Without DATA nothing is looked up: the kernel's share alone. DATA: the data.N folder of a store; the question's name and
 * type become the key, a plain mdb_get fetches the value and what was found goes into the answer, unread. One thread, one
 * blocking recvmmsg and one sendmmsg per batch, one read transaction per batch. */
#include <arpa/inet.h>
#include <errno.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rrset/rrkey.h"

#define BATCH 64
#define PACKET_MAX 4096
#define TAIL 16             /* an A record with a compressed owner */

struct data { MDB_env *env; MDB_txn *txn; MDB_dbi dbi; };
struct batch {
    struct mmsghdr msg[BATCH];
    struct iovec part[BATCH];
    struct sockaddr_in from[BATCH];
    uint8_t bytes[BATCH][PACKET_MAX];
};

static void die(const char *what, const char *why)
{
    fprintf(stderr, "bench-limit: %s: %s\n", what, why);
    exit(1);
}
static void must(int rc, const char *what)
{
    if (rc != 0)
        die(what, mdb_strerror(rc));
}

static void data_open(struct data *d, const char *folder)
{
    must(mdb_env_create(&d->env), "mdb_env_create");
    must(mdb_env_set_maxdbs(d->env, 8), "maxdbs");
    must(mdb_env_open(d->env, folder, MDB_RDONLY | MDB_NOTLS, 0), folder);
    must(mdb_txn_begin(d->env, NULL, MDB_RDONLY, &d->txn), "begin");
    must(mdb_dbi_open(d->txn, "dns", 0, &d->dbi), "dns");
    must(mdb_txn_commit(d->txn), "commit");             /* else the handle would end with the transaction */
    must(mdb_txn_begin(d->env, NULL, MDB_RDONLY, &d->txn), "begin");
    mdb_txn_reset(d->txn);
}

static int socket_at(const char *address, const char *port)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)) };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (inet_pton(AF_INET, address, &at.sin_addr) != 1 || fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) != 0)
        die(address, strerror(errno));
    return fd;
}

/* The value of the question's key behind the packet; its length. Nothing when there is none. */
static size_t look_up(struct data *d, uint8_t *packet, size_t len)
{
    uint8_t key[RRKEY_MAX];
    struct wr w = wr_over(key, sizeof key);
    size_t end = 12;
    MDB_val k, v;
    while (end < len && packet[end] != 0)
        end += packet[end] + 1u;
    if (end + 5 > len)
        return 0;
    uint16_t type = (uint16_t)(packet[end + 1] << 8 | packet[end + 2]);
    if (rrkey_write(bytes_of(packet + 12, end + 1 - 12), rrslot_of(type), &w) != OK)
        return 0;
    k = (MDB_val){ w.len, key };
    if (mdb_get(d->txn, d->dbi, &k, &v) != 0 || v.mv_size > PACKET_MAX - len)
        return 0;
    memcpy(packet + len, v.mv_data, v.mv_size);
    return v.mv_size;
}

static size_t answer(struct data *d, uint8_t *packet, size_t len)
{
    if (len < 12 || len > PACKET_MAX - TAIL)
        return 0;
    packet[2] |= 0x84;              /* QR, AA; rcode 0 */
    if (d->env != NULL)
        return len + look_up(d, packet, len);
    memset(packet + len, 0, TAIL);
    return len + TAIL;
}

static void serve(int fd, struct data *d)
{
    static struct batch b;
    for (;;) {
        for (unsigned i = 0; i < BATCH; i++) {
            b.part[i] = (struct iovec){ b.bytes[i], PACKET_MAX };
            b.msg[i].msg_hdr = (struct msghdr){ .msg_name = &b.from[i], .msg_namelen = sizeof b.from[i], .msg_iov = &b.part[i],
                                                .msg_iovlen = 1 };
        }
        int got = recvmmsg(fd, b.msg, BATCH, MSG_WAITFORONE, NULL);
        if (got < 0 && errno != EINTR)
            die("recvmmsg", strerror(errno));
        if (got > 0 && d->env != NULL)
            must(mdb_txn_renew(d->txn), "renew");
        for (int i = 0; i < got; i++)
            b.part[i].iov_len = answer(d, b.bytes[i], b.msg[i].msg_len);
        if (got > 0 && d->env != NULL)
            mdb_txn_reset(d->txn);
        for (int at = 0; at < got;) {
            int sent = sendmmsg(fd, b.msg + at, (unsigned)(got - at), 0);
            at += sent > 0 ? sent : 1;
        }
    }
}

int main(int argc, char **argv)
{
    struct data d = { 0 };
    if (argc < 3 || argc > 4)
        die("usage", "bench-limit ADDRESS PORT [DATA]");
    (void)prctl(PR_SET_PDEATHSIG, 9);
    if (argc == 4)
        data_open(&d, argv[3]);
    serve(socket_at(argv[1], argv[2]), &d);
    return 0;
}
