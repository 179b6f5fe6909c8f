/* What libFuzzer, or tests/fuzz/main.c in its place, calls with each input. */
#ifndef AZOTH_TESTS_FUZZ_H
#define AZOTH_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
