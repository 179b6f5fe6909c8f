#include "base/daemon.h"

#include "base/log.h"

#include <config.h>
#include <event2/event.h>
#include <getopt.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void usage(FILE *to, const char *program, const char *about)
{
    fprintf(to, "usage: %s -c FILE [--check]\n"
                "%s\n\n"
                "  -c, --config FILE   configuration, see azoth.yaml(5) (default %s/azoth.yaml)\n"
                "      --check         check the configuration and exit\n"
                "      --version       print the version and exit\n"
                "      --help          print this and exit\n"
                "\nSIGHUP re-reads what can change, SIGTERM ends cleanly. Manual: %s(8)\n",
            program, about, AZOTH_SYSCONFDIR, program);
}

void daemon_options(int argc, char **argv, const char *program, const char *about, struct daemon_options *out)
{
    static const struct option longs[] = {
        { "config", required_argument, NULL, 'c' }, { "check", no_argument, NULL, 'k' },
        { "version", no_argument, NULL, 'V' }, { "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 },
    };
    int c;
    *out = (struct daemon_options){ .config_path = AZOTH_SYSCONFDIR "/azoth.yaml" };
    while ((c = getopt_long(argc, argv, "c:", longs, NULL)) != -1) {
        switch (c) {
        case 'c': out->config_path = optarg; break;
        case 'k': out->check = true; break;
        case 'V': printf("%s %s\n", program, PACKAGE_VERSION); exit(0);
        case 'h': usage(stdout, program, about); exit(0);
        default:  fprintf(stderr, "%s: see %s --help\n", program, program); exit(1);
        }
    }
    if (optind < argc) {
        fprintf(stderr, "%s: unexpected argument '%s', see %s --help\n", program, argv[optind], program);
        exit(1);
    }
}

#define SIGNALS_N 4
#define AGAIN_S 1               /* then twice as long each time, up to: */
#define AGAIN_MOST_S 32
struct daemon_signals { struct daemon_hooks hooks; struct event *events[SIGNALS_N], *again; unsigned again_s; };

/* A SIGHUP that found no descriptor free must not be lost: whoever sent it believes that it was heard. */
static void reload(struct daemon_signals *s)
{
    if (s->hooks.reload == NULL || s->hooks.reload(s->hooks.arg) != ERR_NOMEM) {
        (void)event_del(s->again);
        s->again_s = AGAIN_S;
        return;
    }
    const struct timeval wait = { s->again_s, 0 };
    log_warn("reload.again", "in_s=%u", s->again_s);
    (void)event_add(s->again, &wait);
    s->again_s = s->again_s < AGAIN_MOST_S ? 2 * s->again_s : AGAIN_MOST_S;
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    reload(arg);
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
    struct daemon_signals *s = arg;
    (void)what;
    switch (number) {
    case SIGHUP:
        s->again_s = AGAIN_S;
        reload(s);
        break;
    case SIGUSR1:
        if (s->hooks.user1 != NULL)
            s->hooks.user1(s->hooks.arg);
        break;
    default:
        s->hooks.drain(s->hooks.arg);
    }
}

MUST_USE enum err daemon_signals_open(struct daemon_signals **out, struct event_base *base, const struct daemon_hooks *hooks)
{
    static const int numbers[SIGNALS_N] = { SIGHUP, SIGTERM, SIGINT, SIGUSR1 };
    struct daemon_signals *s = calloc(1, sizeof *s);
    if (s == NULL)
        return ERR_NOMEM;
    s->hooks = *hooks;
    s->again_s = AGAIN_S;
    (void)signal(SIGPIPE, SIG_IGN);
    if ((s->again = event_new(base, -1, 0, on_again, s)) == NULL) {
        daemon_signals_close(s);
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < SIGNALS_N; i++) {
        s->events[i] = evsignal_new(base, numbers[i], on_signal, s);
        if (s->events[i] == NULL || event_add(s->events[i], NULL) != 0) {
            daemon_signals_close(s);
            return ERR_NOMEM;
        }
    }
    *out = s;
    return OK;
}

void daemon_signals_close(struct daemon_signals *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < SIGNALS_N; i++)
        if (s->events[i] != NULL)
            event_free(s->events[i]);
    if (s->again != NULL)
        event_free(s->again);
    free(s);
}

void daemon_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    if (path == NULL || strlen(path) >= sizeof to.sun_path || strlen(path) < 2)
        return;
    memcpy(to.sun_path, path, strlen(path));
    if (to.sun_path[0] == '@')
        to.sun_path[0] = '\0';          /* abstract name */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&to,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path)));
    (void)close(fd);
}
