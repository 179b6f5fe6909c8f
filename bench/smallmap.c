/* Preloaded under valgrind, which has no room for the 64 GiB that readers of a store map: they get the first 8 GiB.
 * bench/run dns --instr builds it: cc -shared -fPIC -o smallmap.so smallmap.c */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MOST ((size_t)8 << 30)

void *mmap(void *at, size_t len, int protection, int flags, int fd, off_t offset)
{
    return (void *)syscall(SYS_mmap, at, len > MOST ? MOST : len, protection, flags, fd, offset);
}

void *mmap64(void *at, size_t len, int protection, int flags, int fd, off_t offset)
{
    return mmap(at, len, protection, flags, fd, offset);
}
