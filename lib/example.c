/* flags DIR: prints the entries of the namespace "flags" whose keys begin with "beta.", then each change of that state.
 *     cc -o flags example.c $(pkg-config --cflags --libs azoth) */
#include <azoth.h>
#include <stdio.h>

static bool show(void *arg, const void *key, size_t key_len, const struct azoth_value *value)
{
    (void)arg;
    printf("%.*s = %.*s (version %llu)\n", (int)key_len, (const char *)key, (int)value->len,
           (const char *)value->data, (unsigned long long)value->seq);
    return true;
}

int main(int argc, char **argv)
{
    const struct azoth_range beta = { .prefix = "beta.", .prefix_len = 5 };
    struct azoth_position at = { .seq = 0 };
    char why[256];
    struct azoth *a;
    enum azoth_err err = azoth_open(argc > 1 ? argv[1] : "/var/lib/azoth", &a, why, sizeof why);
    if (err != AZOTH_OK) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    do {
        if ((err = azoth_begin(a)) != AZOTH_OK)         /* one state for all that follows */
            break;
        err = azoth_position(a, &at);
        if (err == AZOTH_OK)
            err = azoth_scan(a, "flags", &beta, show, NULL);
        azoth_end(a);                                   /* never held across the wait */
        printf("as of %llu.%llu\n", (unsigned long long)at.epoch, (unsigned long long)at.seq);
        fflush(stdout);
        if (err == AZOTH_OK || err == AZOTH_NOTFOUND)   /* the namespace may come later */
            err = azoth_wait(a, at.epoch, at.seq + 1, 5000);
    } while (err == AZOTH_OK);
    if (err != AZOTH_TIMEOUT)
        fprintf(stderr, "%s: %s\n", azoth_strerror(err), azoth_words(a));
    azoth_close(a);
    return err != AZOTH_TIMEOUT;
}
