/* A primary of the bench: it holds one large zone whose changes it remembers, and many small ones, answers SOA over UDP and
 * TCP, AXFR over TCP, IXFR over both, at once, and says when who asked what. A loop turns it: primary_wait.
 *
 *     ZONE                SOA, NS, ns1 A, h0 ... hN-1 A: changes go to the addresses
 *     zI.many.ZONE        the same with 3 addresses, serial 1 */
#ifndef AZOTH_BENCH_PRIMARY_H
#define AZOTH_BENCH_PRIMARY_H

#include "bench/asking.h"
#include "wire/name.h"

#include <poll.h>

struct primary_options { uint16_t port; const char *zone; uint32_t hosts, zones, refresh_s; };
/* Since they were last cleared, in us of the clock; 0: not yet. busy_us: spent on answers. */
struct primary_times { uint64_t asked_soa_us, asked_us, sent_us, busy_us; };
#define PRIMARY_SECONDS 4096
struct primary_counts { uint64_t soa, transfers; uint32_t second[PRIMARY_SECONDS]; };    /* SOA questions in each second from the start on */

struct primary;
void primary_open(struct primary **out, const struct primary_options *o);
/* Serves what comes, for wait_us at most, or until something comes for one of the caller's. */
void primary_wait(struct primary *p, struct pollfd *more, unsigned more_n, uint64_t wait_us);
/* The address of host i becomes this; primary_commit makes the next serial of all since the last one. */
void primary_change(struct primary *p, uint32_t host, uint32_t address);
uint32_t primary_commit(struct primary *p);
uint32_t primary_serial(const struct primary *p);
const struct primary_counts *primary_counts(const struct primary *p);
unsigned primary_seconds(const struct primary *p);              /* since the start */
struct primary_times *primary_times(struct primary *p);
/* The SOA's record behind a question about its zone, at offset 12. */
void primary_put_soa(struct wr *w, uint32_t serial, uint32_t refresh_s);

#endif
