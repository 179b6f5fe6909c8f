/* The state of a secondary: expired, so that it is answered with SERVFAIL until its primaries are heard again, or live. One key,
 * its header; the records stay as they are. */
#include "builder/changer_parts.h"

static const struct bytes dns = { (const uint8_t *)"dns", 3 };

static enum err check_kind(struct changer *ch, const struct change *c, struct fault *fault)
{
    struct zone_settings settings;
    struct source_txn *t = NULL;
    struct zone_row row;
    struct arena arena;
    arena_init(&arena);
    settings_init(&settings, ZONE_SECONDARY);
    enum err err = source_begin(ch->o.source, SOURCE_READ, &t, fault);
    if (err == OK && (err = source_zone(t, name_bytes(&c->apex), &row)) == ERR_NOTFOUND)
        (void)fault_set(fault, err, "no such zone");
    if (err == OK)
        err = settings_read(row.settings, &arena, &settings, fault);
    if (err == OK && settings.kind != ZONE_SECONDARY)
        err = fault_set(fault, ERR_NOTNOW, "the zone is no secondary: it does not expire");
    settings_release(&settings);
    arena_release(&arena);
    source_abort(t);
    return err;
}

/* The header with that state; n 0: it has it. */
static enum err build(struct changer *ch, struct change *c, struct op_list *out, struct fault *fault)
{
    uint8_t key[RRKEY_MAX], value[BLOB_MAX / 8];
    struct wr k = wr_over(key, sizeof key), w = wr_over(value, sizeof value);
    struct zone_header h;
    enum err err = zone_header_get(name_bytes(&c->apex), ch->view, &h);
    if (err == ERR_NOTFOUND || (err == OK && h.state == ZONE_EMPTY))
        return fault_set(fault, ERR_NOTNOW, "the zone has no data: it was never transferred");
    if (err == OK && zone_header_serial(&h, &c->result.serial) != OK)
        c->result.serial = 0;
    if (err != OK || h.state == c->state)
        return err;
    h.state = c->state;
    zone_header_write(&w, &h);
    err = rrkey_write(name_bytes(&c->apex), RRSLOT_ZONE, &k);
    if (err == OK && w.full)
        err = fault_set(fault, ERR_LIMIT, "the zone's header is too large");
    return err != OK ? err : op_list_add(out, &(struct op){ OP_PUT, dns, wr_done(&k), wr_done(&w) });
}

static enum err commit(struct changer *ch, struct change *c, const struct op_list *ops, uint64_t *seq, struct fault *fault)
{
    enum err err = commit_stage(ch->o.committer, ops->ops, ops->n, seq, fault);
    if (err == OK)
        err = journal_note(ch->o.committer, ch->view, name_bytes(&c->apex), ops->ops, ops->n, *seq, &c->author, c->force, fault);
    if (err != OK)
        commit_drop(ch->o.committer);
    return err;
}

static enum err work(struct changer *ch, struct change *c, struct op_list *ops)
{
    struct fault *fault = &c->result.fault;
    enum err err = check_kind(ch, c, fault);
    if (err != OK || (err = view_begin(ch->view)) != OK)
        return err;
    if ((err = build(ch, c, ops, fault)) == OK && ops->n > 0 && !c->dry_run)
        err = commit(ch, c, ops, &c->result.seq, fault);
    view_end(ch->view);
    return err;
}

void changer_state(struct changer *ch, struct change *c)
{
    struct fault *fault = &c->result.fault;
    struct op_list ops;
    op_list_init(&ops);
    name_lower(c->apex.wire, c->apex.len);
    c->result.end = CHANGE_DONE;
    c->result.err = OK;
    enum err err = work(ch, c, &ops);
    if (err != OK)
        changer_end(c, err == ERR_NOTNOW || err == ERR_NOTFOUND || err == ERR_LIMIT ? CHANGE_REFUSED : CHANGE_FAILED, err, fault);
    bool staged = err == OK && ops.n > 0 && !c->dry_run;
    if (staged && (err = commit_flush(ch->o.committer, fault)) != OK)
        changer_end(c, err == ERR_FULL ? CHANGE_FAILED : CHANGE_UNKNOWN, err, fault);
    struct source_mark place = changer_place(ch);
    c->result.epoch = place.epoch;
    c->result.changed = err == OK && ops.n > 0;
    if (!staged)
        c->result.seq = place.seq;
    op_list_release(&ops);
    changer_tell(ch, c);
}
