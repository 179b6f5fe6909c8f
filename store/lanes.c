#include "store/lanes.h"

#include <assert.h>

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>
#include <string.h>

#define WIDE __attribute__((target("avx512f,avx512bw")))
#define AT_ONCE 16              /* blocks; one word of each in a vector */

bool lanes_wide(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
}

#define QUARTER(a, b, c, d)                                                                     \
    do {                                                                                        \
        a = _mm512_add_epi32(a, b), d = _mm512_rol_epi32(_mm512_xor_si512(d, a), 16);           \
        c = _mm512_add_epi32(c, d), b = _mm512_rol_epi32(_mm512_xor_si512(b, c), 12);           \
        a = _mm512_add_epi32(a, b), d = _mm512_rol_epi32(_mm512_xor_si512(d, a), 8);            \
        c = _mm512_add_epi32(c, d), b = _mm512_rol_epi32(_mm512_xor_si512(b, c), 7);            \
    } while (0)

/* x[w]: word w of the blocks from `first` on, before and after the rounds. */
WIDE static void blocks(__m512i x[16], const uint32_t key[8], uint32_t first)
{
    static const uint32_t words[4] = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574 };     /* "expand 32-byte k" */
    const __m512i count = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    __m512i in[16];
    for (int i = 0; i < 4; i++)
        in[i] = _mm512_set1_epi32((int)words[i]);
    for (int i = 0; i < 8; i++)
        in[4 + i] = _mm512_set1_epi32((int)key[i]);
    in[12] = _mm512_add_epi32(count, _mm512_set1_epi32((int)first));
    in[13] = in[14] = in[15] = _mm512_setzero_si512();
    for (int i = 0; i < 16; i++)
        x[i] = in[i];
    for (int round = 0; round < 20; round += 2) {
        QUARTER(x[0], x[4], x[8], x[12]);
        QUARTER(x[1], x[5], x[9], x[13]);
        QUARTER(x[2], x[6], x[10], x[14]);
        QUARTER(x[3], x[7], x[11], x[15]);
        QUARTER(x[0], x[5], x[10], x[15]);
        QUARTER(x[1], x[6], x[11], x[12]);
        QUARTER(x[2], x[7], x[8], x[13]);
        QUARTER(x[3], x[4], x[9], x[14]);
    }
    for (int i = 0; i < 16; i++)
        x[i] = _mm512_add_epi32(x[i], in[i]);
}

/* From word by word to block by block: four by four words inside the 128-bit quarters, then the quarters themselves. */
WIDE static void transpose(__m512i x[16])
{
    __m512i u[4][4];            /* [g][k], quarter q: words 4g .. 4g+3 of block 4q+k */
    for (int g = 0; g < 4; g++) {
        __m512i a = _mm512_unpacklo_epi32(x[4 * g], x[4 * g + 1]), b = _mm512_unpackhi_epi32(x[4 * g], x[4 * g + 1]);
        __m512i c = _mm512_unpacklo_epi32(x[4 * g + 2], x[4 * g + 3]);
        __m512i d = _mm512_unpackhi_epi32(x[4 * g + 2], x[4 * g + 3]);
        u[g][0] = _mm512_unpacklo_epi64(a, c);
        u[g][1] = _mm512_unpackhi_epi64(a, c);
        u[g][2] = _mm512_unpacklo_epi64(b, d);
        u[g][3] = _mm512_unpackhi_epi64(b, d);
    }
    for (int k = 0; k < 4; k++) {
        __m512i even01 = _mm512_shuffle_i32x4(u[0][k], u[1][k], 0x88), odd01 = _mm512_shuffle_i32x4(u[0][k], u[1][k], 0xdd);
        __m512i even23 = _mm512_shuffle_i32x4(u[2][k], u[3][k], 0x88), odd23 = _mm512_shuffle_i32x4(u[2][k], u[3][k], 0xdd);
        x[k] = _mm512_shuffle_i32x4(even01, even23, 0x88);
        x[4 + k] = _mm512_shuffle_i32x4(odd01, odd23, 0x88);
        x[8 + k] = _mm512_shuffle_i32x4(even01, even23, 0xdd);
        x[12 + k] = _mm512_shuffle_i32x4(odd01, odd23, 0xdd);
    }
}

WIDE void lanes_sum(uint16_t sum[LANES], const uint8_t key[32], bool minus)
{
    uint32_t words[8];
    memcpy(words, key, sizeof words);           /* x86 is little-endian, as the stream is */
    for (uint32_t first = 0; first < LANES / 32; first += AT_ONCE) {
        __m512i x[16];
        blocks(x, words, first);
        transpose(x);
        for (uint32_t b = 0; b < AT_ONCE; b++) {
            uint16_t *at = sum + 32 * (first + b);
            __m512i was = _mm512_loadu_si512(at);
            _mm512_storeu_si512(at, minus ? _mm512_sub_epi16(was, x[b]) : _mm512_add_epi16(was, x[b]));
        }
    }
}

#else

bool lanes_wide(void) { return false; }

void lanes_sum(uint16_t sum[LANES], const uint8_t key[32], bool minus)
{
    (void)sum, (void)key, (void)minus;
    assert(!"lanes_wide says no");
}

#endif
