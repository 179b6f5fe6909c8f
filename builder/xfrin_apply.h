/* What a transfer brought, as a change: a whole zone, or the steps of an IXFR as one edit, whose cost is that of the steps.
 * A step that takes away what is not there, or does not begin at our serial, makes the plan give ERR_STALE: then all of the
 * zone is to be asked for. */
#ifndef AZOTH_BUILDER_XFRIN_APPLY_H
#define AZOTH_BUILDER_XFRIN_APPLY_H

#include "builder/change.h"
#include "builder/xfrin.h"

/* Makes c (change_init too); the caller sets told, force and the like, and puts it. x, behind XFRIN_DONE of IXFR or AXFR, is borrowed
 * until told. from: the primary, as text: the author's name in the journal. */
void xfrin_change(struct change *c, struct xfrin *x, struct bytes apex, const char *from);

#endif
