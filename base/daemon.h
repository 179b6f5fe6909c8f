/* What every daemon does alike: options, signals, the event loop.
 *
 *     azoth-xyz -c FILE [--check] [--version] [--help]
 *
 * daemon_options ends the process itself for --help and --version (exit 0) and for wrong options (exit 1). */
#ifndef AZOTH_BASE_DAEMON_H
#define AZOTH_BASE_DAEMON_H

#include "base/err.h"

struct event_base;
struct daemon_options { const char *config_path; bool check; };

void daemon_options(int argc, char **argv, const char *program, const char *about, struct daemon_options *out);

struct daemon_hooks {
    void *arg;
    enum err (*reload)(void *arg);  /* SIGHUP. ERR_NOMEM: memory or file descriptors are short, it is called again soon */
    void (*drain)(void *arg);       /* SIGTERM, SIGINT: end work soon, then event_base_loopexit */
    void (*user1)(void *arg);       /* SIGUSR1; may be NULL */
};
struct daemon_signals;
/* Signals become events of the loop; SIGPIPE is ignored. */
MUST_USE enum err daemon_signals_open(struct daemon_signals **out, struct event_base *base, const struct daemon_hooks *hooks);
void daemon_signals_close(struct daemon_signals *s);

/* $NOTIFY_SOCKET's READY=1 and the like (systemd Type=notify); nothing when not set. */
void daemon_notify(const char *state);

#endif
