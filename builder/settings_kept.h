/* Settings as they were read last: the same zone's next change finds them again instead of reading the same text anew. One thread's. */
#ifndef AZOTH_BUILDER_SETTINGS_KEPT_H
#define AZOTH_BUILDER_SETTINGS_KEPT_H

#include "base/arena.h"
#include "builder/settings.h"

struct settings_kept { struct arena arena; struct bytes text; struct zone_settings s; size_t users; };      /* text.ptr NULL: none */
void settings_kept_init(struct settings_kept *k);
void settings_kept_release(struct settings_kept *k);
/* What text says into *out, held as by settings_hold; its lists and texts are borrowed until settings_kept_give. ERR_NOTNOW: others are
 * borrowed at the moment. Else as settings_read. */
MUST_USE enum err settings_kept_take(struct settings_kept *k, struct bytes text, struct zone_settings *out, struct fault *fault);
void settings_kept_give(struct settings_kept *k);

#endif
