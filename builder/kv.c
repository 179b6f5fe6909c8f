#include "builder/kv.h"

#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>

/* What the condition of one op says about the entry as it is now. */
static enum err judge(struct committer *c, struct kv_txn *t, size_t i)
{
    const struct kv_cond *cond = &t->conds[i];
    struct kv_result *r = &t->result;
    struct kvvalue v = { 0 };
    struct bytes value;
    enum err err = commit_peek(c, t->ops[i].ns, t->ops[i].key, &value, &r->fault);
    if (err != OK && err != ERR_NOTFOUND)
        return err;
    r->at = i;
    r->present = err == OK;
    if (r->present && kvvalue_read(value, &v) != OK) {
        r->err = fault_set(&r->fault, ERR_BAD, "the entry that is there is not [seq, bytes] (see azoth verify)");
        return ERR_REFUSED;
    }
    r->version = (struct kv_version){ commit_epoch(c), v.seq };
    bool holds = cond->kind == KV_IF_ABSENT ? !r->present
               : cond->kind == KV_IF_PRESENT ? r->present
               : r->present && cond->version.epoch == r->version.epoch && cond->version.seq == v.seq;
    if (holds)
        return OK;
    r->end = KV_REFUSED;
    return r->err = ERR_REFUSED;
}

/* ERR_REFUSED: this transaction cannot be, for the reasons in its result. Other errors: of the store. */
static enum err judge_all(struct committer *c, struct kv_txn *t)
{
    enum err err = OK;
    for (size_t i = 0; t->conds != NULL && i < t->n && err == OK; i++)
        if (t->conds[i].kind != KV_ANY)
            err = judge(c, t, i);
    return err;
}

/* false: the store failed, and everything staged so far is gone. */
static bool stage(struct committer *c, struct kv_txn *t)
{
    struct kv_result *r = &t->result;
    uint64_t seq = 0;
    *r = (struct kv_result){ .end = KV_FAILED };
    enum err err = judge_all(c, t);
    if (err == ERR_REFUSED)
        return true;
    if (err == OK)
        err = commit_stage_kv(c, t->ops, t->n, &seq, t->seqs, &r->fault);
    r->err = err;
    if (err == OK) {
        r->end = KV_DONE;
        r->version = (struct kv_version){ commit_epoch(c), seq };
    }
    return err == OK || err == ERR_LIMIT;
}

/* A flush failed. That of a full disk is known to leave all as it was. Who was refused is told nothing of a state that
 * may never have been. */
static void flush_failed(struct kv_txn *t, enum err err, const struct fault *fault)
{
    bool unknown = t->result.end == KV_DONE && err != ERR_FULL;
    if (t->result.end != KV_FAILED)     /* that one had reasons of its own */
        t->result = (struct kv_result){ .end = unknown ? KV_UNKNOWN : KV_FAILED, .err = err, .fault = *fault };
}

static void commit_alone(struct committer *c, struct kv_txn *t)
{
    struct fault fault = { "" };
    enum err err = stage(c, t) ? commit_flush(c, &fault) : OK;
    if (err != OK)
        flush_failed(t, err, &fault);
}

/* Staged together, flushed once. false: nothing got in, and each may be tried on its own. */
static bool commit_together(struct committer *c, struct kv_txn *const *txns, size_t n)
{
    struct fault fault = { "" };
    for (size_t i = 0; i < n; i++)
        if (!stage(c, txns[i]))
            return false;
    enum err err = commit_flush(c, &fault);
    for (size_t i = 0; i < n && err != OK; i++)
        flush_failed(txns[i], err, &fault);
    return err != ERR_FULL;
}

unsigned kv_commit(struct committer *c, struct kv_txn *const *txns, size_t n)
{
    bool together = n > 1 && commit_together(c, txns, n);
    unsigned done = 0;
    for (size_t i = 0; i < n; i++) {
        if (!together)
            commit_alone(c, txns[i]);
        done += txns[i]->result.end == KV_DONE;
    }
    return together && done > 0 ? 1 : done;
}

/* --- text ------------------------------------------------------------------------------------------------------------ */
MUST_USE enum err kv_version_read(const char *text, struct kv_version *out)
{
    char epoch[24];
    struct kv_version v;
    const char *dot = strchr(text, '.');
    if (dot == NULL || (size_t)(dot - text) >= sizeof epoch)
        return ERR_BAD;
    memcpy(epoch, text, (size_t)(dot - text));
    epoch[dot - text] = '\0';
    if (text_number(epoch, UINT64_MAX, &v.epoch) != OK || text_number(dot + 1, UINT64_MAX, &v.seq) != OK)
        return ERR_BAD;
    *out = v;
    return OK;
}

const char *kv_version_text(char out[KV_VERSION_TEXT_MAX], struct kv_version v)
{
    (void)snprintf(out, KV_VERSION_TEXT_MAX, "%" PRIu64 ".%" PRIu64, v.epoch, v.seq);
    return out;
}

const char *kv_text(char *out, size_t cap, struct bytes b)
{
    static const char hex[] = "0123456789abcdef";
    size_t n = 0;
    for (size_t i = 0; i < b.len && n + 5 <= cap; i++) {
        uint8_t c = b.ptr[i];
        if (c > 0x7e || c < 0x20) {
            out[n++] = '\\';
            out[n++] = 'x';
            out[n++] = hex[c >> 4];
            out[n++] = hex[c & 15];
        } else {
            if (c == '\\')
                out[n++] = '\\';
            out[n++] = (char)c;
        }
    }
    out[n] = '\0';
    return out;
}
