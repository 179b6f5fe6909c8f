/* Runs a fuzz target on files, for `make check` (with --enable-fuzz libFuzzer takes this place): on those given as
 * arguments, folders opened up; without arguments on the target's corpus, $srcdir/tests/fuzz/corpus/NAME for fuzz_NAME. */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static unsigned ran;

/* In memory of exactly the file's size, so that the sanitizers see byte n+1. */
static int run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    struct stat st;
    if (f == NULL || fstat(fileno(f), &st) != 0) {
        perror(path);
        return 1;
    }
    size_t size = (size_t)st.st_size;
    uint8_t *data = malloc(size > 0 ? size : 1);
    int failed = data == NULL || fread(data, 1, size, f) != size;
    (void)fclose(f);
    if (failed)
        perror(path);
    else
        (void)LLVMFuzzerTestOneInput(data, size);
    free(data);
    ran++;
    return failed;
}

static int run_path(const char *path)
{
    DIR *dir = opendir(path);
    int failed = 0;
    if (dir == NULL)
        return run_file(path);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        char inside[4096];
        if (e->d_name[0] == '.')
            continue;
        if (snprintf(inside, sizeof inside, "%s/%s", path, e->d_name) >= (int)sizeof inside)
            failed = 1;
        else
            failed |= run_path(inside);
    }
    (void)closedir(dir);
    return failed;
}

int main(int argc, char **argv)
{
    const char *base = strrchr(argv[0], '/'), *srcdir = getenv("srcdir");
    char corpus[4096];
    int failed = 0;
    base = base != NULL ? base + 1 : argv[0];
    for (int i = 1; i < argc; i++)
        failed |= run_path(argv[i]);
    if (argc == 1) {
        (void)snprintf(corpus, sizeof corpus, "%s/tests/fuzz/corpus/%s", srcdir != NULL ? srcdir : ".",
                       strncmp(base, "fuzz_", 5) == 0 ? base + 5 : base);
        failed = run_path(corpus);
    }
    printf("%s: %u inputs\n", base, ran);
    return failed || ran == 0;
}
