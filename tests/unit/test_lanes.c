/* Sixteen blocks at once give what libsodium's stream gives. */
#include "store/lanes.h"
#include "tests/util.h"

#include <endian.h>
#include <sodium.h>

static void as_libsodium(void **state)
{
    uint64_t seed = seed_from_env(11);
    struct rnd r = rnd_seed(seed);
    uint16_t *got = calloc(LANES, sizeof *got), *want = calloc(LANES, sizeof *want), stream[LANES];
    static const uint8_t nonce[crypto_stream_chacha20_NONCEBYTES];
    (void)state;
    if (!lanes_wide()) {
        free(got);
        free(want);
        skip();
    }
    for (unsigned round = 0; round < 2000; round++) {
        uint8_t key[32];
        bool minus = rnd_below(&r, 3) == 0;
        for (size_t i = 0; i < sizeof key; i++)
            key[i] = round < 3 ? (uint8_t)(round * 255 / 2) : (uint8_t)rnd_u64(&r);
        crypto_stream_chacha20((uint8_t *)stream, sizeof stream, nonce, key);
        for (size_t i = 0; i < LANES; i++)
            want[i] = (uint16_t)(minus ? want[i] - le16toh(stream[i]) : want[i] + le16toh(stream[i]));
        lanes_sum(got, key, minus);
        if (memcmp(got, want, LANES * sizeof *got) != 0)
            fail_msg("seed %llu, round %u: other lanes", (unsigned long long)seed, round);
    }
    free(got);
    free(want);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(as_libsodium) };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
