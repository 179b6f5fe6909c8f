/* The expensive half of the digest: a ChaCha20 stream (RFC 8439, 64-bit counter from 0, zero nonce) of 2048 bytes, added
 * number by number. What lanes_sum does is what libsodium's stream and a loop do, in a third of the time: sixteen blocks
 * at once, and the stream never goes to memory. Only processors with AVX-512 gain; elsewhere libsodium is as good. */
#ifndef AZOTH_STORE_LANES_H
#define AZOTH_STORE_LANES_H

#include <stdbool.h>
#include <stdint.h>

#define LANES 1024

bool lanes_wide(void);          /* lanes_sum may be called on this processor */
void lanes_sum(uint16_t sum[LANES], const uint8_t key[32], bool minus);

#endif
