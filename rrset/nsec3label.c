/* Hashes as labels: base32hex, five bits a digit. */
#include "rrset/rrkey.h"

void nsec3_label(const uint8_t hash[NSEC3_HASH_LEN], uint8_t out[NSEC3_LABEL_LEN])
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuv";
    uint64_t bits = 0;
    unsigned have = 0, n = 0;
    out[n++] = NSEC3_LABEL_LEN - 1;
    for (size_t i = 0; i < NSEC3_HASH_LEN; i++) {
        bits = bits << 8 | hash[i];
        for (have += 8; have >= 5;) {
            have -= 5;
            out[n++] = (uint8_t)digits[bits >> have & 31];
        }
    }
}

bool nsec3_label_read(struct bytes digits, uint8_t hash[NSEC3_HASH_LEN])
{
    uint64_t bits = 0;
    unsigned have = 0, n = 0;
    if (digits.len != NSEC3_LABEL_LEN - 1)
        return false;
    for (size_t i = 0; i < digits.len; i++) {
        uint8_t c = digits.ptr[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'v')))
            return false;
        bits = bits << 5 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
        if ((have += 5) >= 8) {
            have -= 8;
            hash[n++] = (uint8_t)(bits >> have);
        }
    }
    return true;
}
