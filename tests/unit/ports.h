/* Ports for tests that listen on loopback. */
#ifndef AZOTH_TESTS_UNIT_PORTS_H
#define AZOTH_TESTS_UNIT_PORTS_H

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/util.h"

/* A TCP port that is free right now, below the range of outgoing connections: there a socket that tries and tries to connect
 * while nobody listens is one day given the same port as its own, and is connected with itself from then on.
 * Ports from 26000 on are those of the system tests, which may run at the same time. */
static inline unsigned free_port(void)
{
    static uint16_t next;
    if (next == 0)
        next = (uint16_t)(getpid() * 61 % 6000);
    for (int tries = 0; tries < 6000; tries++) {
        next = (uint16_t)((next + 1) % 6000);
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                 .sin_port = htons((uint16_t)(20000 + next)) };
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        bool good = fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0;
        if (fd >= 0)
            close(fd);
        if (good)
            return 20000u + next;
    }
    fail_msg("no port is free");
    return 0;
}

#endif
