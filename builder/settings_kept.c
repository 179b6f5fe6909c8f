#include "builder/settings_kept.h"

void settings_kept_init(struct settings_kept *k)
{
    *k = (struct settings_kept){ .users = 0 };
    arena_init(&k->arena);
    settings_init(&k->s, ZONE_NATIVE);
}

void settings_kept_release(struct settings_kept *k)
{
    settings_release(&k->s);
    arena_release(&k->arena);
    k->text = (struct bytes){ 0 };
}

static enum err read_anew(struct settings_kept *k, struct bytes text, struct fault *fault)
{
    settings_release(&k->s);
    arena_reset(&k->arena);
    k->text = (struct bytes){ 0 };
    struct bytes kept = arena_copy(&k->arena, text);
    if (kept.ptr == NULL)
        return ERR_NOMEM;
    enum err err = settings_read(kept, &k->arena, &k->s, fault);
    if (err == OK)
        k->text = kept;
    return err;
}

MUST_USE enum err settings_kept_take(struct settings_kept *k, struct bytes text, struct zone_settings *out, struct fault *fault)
{
    enum err err = OK;
    if (k->text.ptr == NULL || !bytes_equal(k->text, text))
        err = k->users > 0 ? ERR_NOTNOW : read_anew(k, text, fault);
    if (err != OK)
        return err;
    settings_hold(&k->s);
    *out = k->s;
    k->users++;
    return OK;
}

void settings_kept_give(struct settings_kept *k) { k->users--; }
