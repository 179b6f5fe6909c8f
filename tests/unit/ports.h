/* Ports for tests that listen on loopback. */
#ifndef AZOTH_TESTS_UNIT_PORTS_H
#define AZOTH_TESTS_UNIT_PORTS_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/util.h"

/* Ours until this process ends, among all programs that run these tests on this machine: byte n of one file is locked. It is the file of
 * the system tests too (tests/system/lab.py). Where there is none, ports are only looked at. */
static inline bool port_claim(unsigned n)
{
    static int fd = -1;
    char path[256];
    struct flock byte = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)n, .l_len = 1 };
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(path, sizeof path, "%s/azoth-test-ports-%u", tmp != NULL && tmp[0] == '/' ? tmp : "/tmp", (unsigned)geteuid());
    if (fd < 0)
        fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    return fd < 0 || fcntl(fd, F_SETLK, &byte) == 0;
}

/* A TCP port that is free and given to nobody else, below the range of outgoing connections: there a socket that tries and tries to
 * connect while nobody listens is one day given the same port as its own, and is connected with itself from then on.
 * Ports from 26000 on are those of the system tests, which may run at the same time. */
static inline unsigned free_port(void)
{
    static unsigned next;
    if (next == 0)
        next = (unsigned)getpid() * 61 % 6000;
    for (int tries = 0; tries < 6000; tries++) {
        next = (next + 1) % 6000;
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)(20000 + next)) };
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        bool good = fd >= 0 && port_claim(20000 + next) && bind(fd, (struct sockaddr *)&a, sizeof a) == 0;
        if (fd >= 0)
            close(fd);
        if (good)
            return 20000 + next;
    }
    fail_msg("no port is free");
    return 0;
}

#endif
