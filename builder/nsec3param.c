/* The parameters of a zone's NSEC3 chain, as the zone header carries them to the front end. */
#include "builder/build.h"

#define ITERATIONS_WARN 150     /* above that the usual validators take a zone for unsigned (RFC 9276 section 3.2: they may) */
#define ITERATIONS_MAX 2500     /* of the longest keys (RFC 5155 section 10.3) */

/* A chain that the front end can prove with: by SHA-1, and whole (flags 0, RFC 5155 section 4.1.2). */
static bool read_param(struct bytes rdata, struct zone_nsec3 *p)
{
    struct rd r = rd_over(rdata);
    p->algorithm = rd_u8(&r);
    p->flags = rd_u8(&r);
    p->iterations = rd_u16(&r);
    p->salt = rd_take(&r, rd_u8(&r));
    return rd_done(&r) && p->algorithm == 1 && p->flags == 0;
}

bool nsec3_choose(const struct zone *z, const struct owner *apex, struct complaints *c, struct zone_nsec3 *out)
{
    const struct zone_rr *best = NULL;
    for (const struct zone_rr *rr = &z->rr[apex->first]; rr < &z->rr[apex->first + apex->n]; rr++) {
        if (rr->type != TYPE_NSEC3PARAM)
            continue;
        if (!read_param(rr->rdata, out))
            complain_warning(c, rr->line, "NSEC3PARAM with algorithm %u, flags %u: not a chain to prove with",
                             out->algorithm, out->flags);
        else if (best == NULL || bytes_compare(rr->rdata, best->rdata) < 0)
            best = rr;
    }
    if (best == NULL || !read_param(best->rdata, out))
        return false;
    if (out->iterations > ITERATIONS_MAX)
        complain_error(c, best->line, "NSEC3 with %u iterations, at most %u are possible", out->iterations, ITERATIONS_MAX);
    else if (out->iterations > ITERATIONS_WARN)
        complain_warning(c, best->line, "NSEC3 with %u iterations: above %u validators take a zone for unsigned",
                         out->iterations, ITERATIONS_WARN);
    return true;
}
