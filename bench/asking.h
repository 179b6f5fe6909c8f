/* What programs that ask DNS servers on loopback share. */
#ifndef AZOTH_BENCH_ASKING_H
#define AZOTH_BENCH_ASKING_H

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "wire/name.h"

/* Says so and ends the program; each has its own. */
void die(const char *what, const char *why);

/* A connected UDP socket. */
static inline int socket_to(const char *port)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)) };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
        die("socket", strerror(errno));
    return fd;
}

static inline void put_name(struct wr *w, const char *text)
{
    struct name name;
    if (name_from_text(bytes_of_text(text), bytes_of(NULL, 0), &name) != OK)
        die(text, "not a domain name");
    wr_bytes(w, name_bytes(&name));
}

#endif
