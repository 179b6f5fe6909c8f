/* Loaded before a program (LD_PRELOAD): writes the name of a program that starts a thread as a line into the file AZOTH_THREADS.
 * ThreadSanitizer can find nothing in the others. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef int (*create_fn)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

static void note(void)
{
    const char *path = getenv("AZOTH_THREADS");
    int fd = path != NULL ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666) : -1;
    if (fd >= 0) {
        dprintf(fd, "%s\n", program_invocation_short_name);
        close(fd);
    }
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *arg)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    union { void *object; create_fn function; } next = { dlsym(RTLD_NEXT, "pthread_create") };
    pthread_once(&once, note);
    return next.function(thread, attributes, start, arg);
}
