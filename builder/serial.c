#include "builder/serial.h"

#include "wire/name.h"

#include <time.h>

#define HALF 0x80000000u                /* RFC 1982: so far ahead, and it would be behind */
#define SOA_NUMBERS 20                  /* serial, refresh, retry, expire, minimum */
#define DATE_MOST ((int64_t)2335 * 31556952)    /* until about the year 4290 YYYYMMDDnn fits 32 bits */

const char *const serial_policy_names[4] = { "increment", "unixtime", "date", "keep" };

bool serial_later(uint32_t a, uint32_t b)
{
    return a != b && (uint32_t)(a - b) < HALF;
}

static uint32_t one_more(uint32_t now)
{
    return now + 1 == 0 ? 1 : now + 1;
}

/* YYYYMMDD00 in UTC; 0: no such number. */
static uint32_t date_serial(uint64_t unix_s)
{
    struct tm tm;
    time_t t = (time_t)unix_s;
    if (unix_s > (uint64_t)DATE_MOST || gmtime_r(&t, &tm) == NULL)
        return 0;
    return ((uint32_t)(tm.tm_year + 1900) * 10000 + (uint32_t)(tm.tm_mon + 1) * 100 + (uint32_t)tm.tm_mday) * 100;
}

uint32_t serial_next(enum serial_policy policy, uint32_t now, uint64_t unix_s)
{
    uint32_t wish = policy == SERIAL_UNIXTIME ? (uint32_t)unix_s : policy == SERIAL_DATE ? date_serial(unix_s) : 0;
    if (policy == SERIAL_KEEP)
        return now;
    return wish != 0 && serial_later(wish, now) ? wish : one_more(now);
}

/* Where the serial stands. ERR_BAD: no SOA. */
static enum err find_serial(struct bytes rdata, size_t *at)
{
    struct rd r = rd_over(rdata);
    struct bytes mname, rname;
    if (name_read(&r, &mname) != OK || name_read(&r, &rname) != OK || rd_left(&r) != SOA_NUMBERS)
        return ERR_BAD;
    *at = rdata.len - SOA_NUMBERS;
    return OK;
}

MUST_USE enum err soa_serial(struct bytes rdata, uint32_t *out)
{
    size_t at;
    enum err err = find_serial(rdata, &at);
    if (err != OK)
        return err;
    struct rd r = rd_over(bytes_of(rdata.ptr + at, 4));
    *out = rd_u32(&r);
    return OK;
}

MUST_USE enum err soa_serial_put(uint8_t *rdata, size_t len, uint32_t serial)
{
    size_t at;
    enum err err = find_serial(bytes_of(rdata, len), &at);
    if (err != OK)
        return err;
    struct wr w = wr_over(rdata + at, 4);
    wr_u32(&w, serial);
    return OK;
}
