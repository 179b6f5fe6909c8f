#include "builder/traces.h"

#include "base/clock.h"
#include "builder/settings.h"

#include <stdlib.h>

#define EDITED "edited"                 /* moves with each change, and says nothing */

/* --- JSON ----------------------------------------------------------------------------------------------------------- */
static json_t *settings_of(struct bytes text, struct arena *a)
{
    struct zone_settings s;
    struct fault fault = { "" };
    enum err err = settings_read(text, a, &s, &fault);
    json_t *o = err == OK ? settings_object(&s) : json_object();        /* what does not read moved as a whole */
    settings_release(&s);
    (void)json_object_del(o, EDITED);
    return o;
}

/* What is the same on both sides goes from both. */
static void drop_same(json_t *before, json_t *after)
{
    const char *member;
    void *next;
    json_t *v;
    json_object_foreach_safe(before, next, member, v) {
        const json_t *now = json_object_get(after, member);
        if (now == NULL || !json_equal(v, now))
            continue;
        (void)json_object_del(after, member);
        (void)json_object_del(before, member);
    }
}

static enum err text_of(const json_t *o, struct arena *a, struct bytes *out)
{
    char *text = o != NULL ? json_dumps(o, JSON_COMPACT) : NULL;
    *out = text != NULL ? arena_copy(a, bytes_of_text(text)) : (struct bytes){ 0 };
    free(text);
    return out->ptr != NULL ? OK : ERR_NOMEM;
}

static enum err moved_texts(struct bytes *before, struct bytes *after, struct arena *a, bool *moved)
{
    json_t *was = settings_of(*before, a), *is = settings_of(*after, a);
    enum err err = was == NULL || is == NULL ? ERR_NOMEM : OK;
    if (err == OK) {
        drop_same(was, is);
        *moved = json_object_size(was) > 0 || json_object_size(is) > 0;
        err = text_of(was, a, before);
    }
    if (err == OK)
        err = text_of(is, a, after);
    json_decref(was);
    json_decref(is);
    return err;
}

/* --- entries -------------------------------------------------------------------------------------------------------- */
static enum err add(struct source_txn *t, struct history_row *h, const struct author *author, uint64_t *number, struct fault *fault)
{
    uint8_t by[AUTHOR_BYTES_MAX];
    struct wr w = wr_over(by, sizeof by);
    author_write(&w, author);
    h->author = wr_done(&w);
    h->time_ms = clock_wall_ms();
    enum err err = source_history_add(t, h, fault);
    *number = err == OK ? h->number : 0;
    return err;
}

static struct name lower(struct bytes of)
{
    struct name n = { .len = (uint8_t)of.len };
    memcpy(n.wire, of.ptr, of.len);
    name_lower(n.wire, n.len);
    return n;
}

MUST_USE enum err trace_zone(struct source_txn *t, const struct trace *of, struct bytes before, struct bytes after, uint64_t *number,
                             struct fault *fault)
{
    struct arena a;
    bool moved = true;
    enum err err = OK;
    *number = 0;
    arena_init(&a);
    if (before.ptr != NULL && after.ptr != NULL)
        err = moved_texts(&before, &after, &a, &moved);
    struct history_row h = { .subject = HISTORY_ZONE, .name = lower(of->apex), .epoch = of->epoch, .seq = of->seq,
                             .before = before, .after = after };
    if (err == OK && moved)
        err = add(t, &h, of->author, number, fault);
    arena_release(&a);
    return err;
}

/* --- keys ----------------------------------------------------------------------------------------------------------- */
static json_t *key_object(const struct tsig_key_row *k)
{
    json_t *rights = k->rights.len > 0 ? json_loadb((const char *)k->rights.ptr, k->rights.len, 0, NULL) : NULL;
    return json_pack("{s:s%,s:o}", "algorithm", (const char *)k->algorithm.ptr, k->algorithm.len, "rights",
                     rights != NULL ? rights : json_object());
}

MUST_USE enum err trace_key(struct source_txn *t, const struct author *author, const struct tsig_key_row *before,
                            const struct tsig_key_row *after, struct fault *fault)
{
    struct history_row h = { .subject = HISTORY_KEY, .name = after != NULL ? after->name : before->name };
    json_t *was = before != NULL ? key_object(before) : NULL, *is = after != NULL ? key_object(after) : NULL;
    struct arena a;
    uint64_t number;
    bool another = before != NULL && after != NULL && !bytes_equal(before->secret, after->secret);
    enum err err = OK;
    arena_init(&a);
    if (another)
        (void)json_object_set_new(is, "secret", json_string("another"));
    bool same = was != NULL && is != NULL && json_equal(was, is);
    if (before != NULL)
        err = text_of(was, &a, &h.before);
    if (err == OK && after != NULL)
        err = text_of(is, &a, &h.after);
    if (err == OK && !same)
        err = add(t, &h, author, &number, fault);
    json_decref(was);
    json_decref(is);
    arena_release(&a);
    return err;
}
