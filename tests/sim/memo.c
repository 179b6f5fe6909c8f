/* A fleet checks the same few signatures again and again, and that is nearly all of its time. The result of a check depends
 * on its bytes alone, so each is made once. Linked in place of the original (-Wl,--wrap). */
#include "tests/sim/sim.h"

#define MEMO 4096

int __real_crypto_sign_verify_detached(const unsigned char *sig, const unsigned char *m, unsigned long long len, const unsigned char *pk);
int __wrap_crypto_sign_verify_detached(const unsigned char *sig, const unsigned char *m, unsigned long long len, const unsigned char *pk);

static uint64_t hash(const unsigned char *sig, struct bytes m, const unsigned char *pk, uint64_t start)
{
    return bytes_hash(m, bytes_hash(bytes_of(sig, 64), bytes_hash(bytes_of(pk, 32), start)));
}

int __wrap_crypto_sign_verify_detached(const unsigned char *sig, const unsigned char *m, unsigned long long len, const unsigned char *pk)
{
    static struct { uint64_t a, b; int result; } memo[MEMO];
    uint64_t a = hash(sig, bytes_of(m, (size_t)len), pk, 1), b = hash(sig, bytes_of(m, (size_t)len), pk, 2);
    size_t at = a % MEMO;
    if (memo[at].a != a || memo[at].b != b) {
        memo[at].result = __real_crypto_sign_verify_detached(sig, m, len, pk);
        memo[at].a = a;
        memo[at].b = b;
    }
    return memo[at].result;
}
