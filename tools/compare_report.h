/* What azoth compare found, as text while it goes on, or as one JSON object at its end. */
#ifndef AZOTH_TOOLS_COMPARE_REPORT_H
#define AZOTH_TOOLS_COMPARE_REPORT_H

#include "tools/compare.h"
#include "tools/progress.h"

#include <jansson.h>

struct compare_report {
    const struct compare_rules *rules;
    const char *server[2];
    bool json;
    uint64_t most;                  /* differences shown; all are counted */
    struct progress *bar;           /* out of the way while lines are printed; may be NULL */
    uint64_t asked, different, shown, of_kind[DIFF_BITS];
    uint64_t unanswered[2], retries[2];     /* retries: set before report_end */
    bool serials;                   /* they differ, at least once */
    uint32_t serial[2];
    json_t *list;                   /* JSON: what was shown */
};
/* One question's answers, as compare_answers found them. ERR_NOMEM. */
MUST_USE enum err report_take(struct compare_report *r, const struct question *q, const struct compared *c, const struct bytes msg[2]);
/* The sum of it. */
MUST_USE enum err report_end(struct compare_report *r, double seconds);
bool report_differs(const struct compare_report *r);
void report_release(struct compare_report *r);

#endif
