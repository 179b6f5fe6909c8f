/* A new epoch: history goes on from here under a higher number. Its first record changes nothing; it names the record
 * before it by seq and chain hash like any other, so whoever stands exactly there goes on, and whoever went further on
 * the old history sees that it was left behind. */
#include "replicator/commit.h"

enum err commit_raise_epoch(struct committer *c, uint64_t above, uint64_t *seq, struct fault *fault)
{
    uint64_t got = 0, epoch = commit_epoch(c);
    enum err err = commit_flush(c, fault);
    if (err == OK)
        err = commit_stage_epoch(c, (epoch > above ? epoch : above) + 1, &got, fault);
    if (err == OK)
        err = commit_flush(c, fault);
    if (err == OK)
        *seq = got;
    return err;
}
