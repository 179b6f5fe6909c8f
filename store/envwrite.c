/* Writing to an environment: commits that are on the disk when they are over, and soft ones, which are by the next env_settle.
 *
 *     first soft commit ─► sync, anchor, pin ─► commits, unsynced ─► env_settle: sync, anchor, pin moved ─► ... ─► env_soft_end: none is soft */
#include "store/internal.h"

#include <fcntl.h>
#include <stdio.h>

#define SOFTS_MOST 512              /* commits, */
#define WRITE_OUT_EVERY 16          /* commits, and what was held of one: what they wrote is handed to the disk, which nobody waits for */
#define SOFT_PAGES_MOST 16384       /* and pages that they may take, from anchor to anchor */

/* --- commits ----------------------------------------------------------------------------------------------------------- */
/* After a failed fdatasync the kernel counts the pages as written, so a later one does not say whether they are. Of
 * what LMDB builds on, that can be missing on the disk only the meta page before: it goes out with the next commit's
 * sync. A commit whose own meta page is synced at once closes the gap: until that is on the disk, nothing that the
 * commits before need is overwritten. */
int env_write_begin(struct env *e, MDB_txn **out)
{
    bool meta_async = (e->flags & (MDB_NOMETASYNC | MDB_NOSYNC)) == MDB_NOMETASYNC;
    if (atomic_load(&e->dead))
        return MDB_PANIC;
    int rc = e->doubt && meta_async ? mdb_env_set_flags(e->mdb, MDB_NOMETASYNC, 0) : 0;
    if (rc == 0)
        rc = mdb_txn_begin(e->mdb, NULL, 0, out);
    if (rc == MDB_PANIC)
        atomic_store(&e->dead, true);
    return rc;
}

/* Behind a commit that failed: its meta page may be on the disk, or not, and LMDB begins nothing any more then. */
static void look_for_panic(struct env *e)
{
    MDB_txn *probe;
    int now = mdb_txn_begin(e->mdb, NULL, MDB_RDONLY, &probe);
    if (now == 0)
        mdb_txn_abort(probe);
    else if (now == MDB_PANIC)
        atomic_store(&e->dead, true);
}

static int commit_synced(struct env *e, MDB_txn *txn)
{
    int rc = mdb_txn_commit(txn);
    if (rc != 0)
        look_for_panic(e);
    if (rc == 0 && e->doubt && (e->flags & MDB_NOMETASYNC) != 0)
        rc = mdb_env_set_flags(e->mdb, MDB_NOMETASYNC, 1);
    e->doubt = rc != 0;
    return rc;
}

/* Else env_settle finds the pages of a hundred commits to write, which takes ten times as long as any commit. */
static void write_out(const struct env *e)
{
    int fd;
    if (mdb_env_get_fd(e->mdb, &fd) == 0)
        (void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}

/* A failure of this one says nothing of what is on the disk: it asks for no sync. */
static int commit_unsynced(struct env *e, MDB_txn *txn)
{
    int rc = mdb_env_set_flags(e->mdb, MDB_NOSYNC, 1);
    if (rc != 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    if ((rc = mdb_txn_commit(txn)) != 0)
        look_for_panic(e);
    else if (++e->softs - e->written_out >= WRITE_OUT_EVERY) {
        e->written_out = e->softs;
        write_out(e);
    }
    int back = mdb_env_set_flags(e->mdb, MDB_NOSYNC, 0);
    return rc != 0 ? rc : back;
}

/* --- soft commits ----------------------------------------------------------------------------------------------------- */
/* The newest state, which is on the disk, becomes the anchored one. Until the file says so, the pin keeps the one before. */
static int anchor_newest(struct env *e)
{
    struct anchor_place place;
    MDB_envinfo info;
    int fd, rc = mdb_env_info(e->mdb, &info);
    if (rc != 0 || (rc = mdb_env_get_fd(e->mdb, &fd)) != 0)
        return rc;
    if ((rc = anchor_place_read(fd, (uint32_t)e->page_size, info.me_last_txnid, &place)) != 0
        || (rc = anchor_write(&e->anchor, ANCHOR_HELD, e->boot, &place)) != 0)
        return rc;
    e->place = place;
    e->softs = e->written_out = 0;
    e->steps = 0;
    e->pages = info.me_last_pgno + 1;
    mdb_txn_reset(e->pin);
    if ((rc = mdb_txn_renew(e->pin)) == 0)
        atomic_store(&e->pinned, place.txn);
    return rc;
}

void env_allow_soft(struct env *e, const char *boot)
{
    (void)snprintf(e->boot, sizeof e->boot, "%s", boot);
}

static void unpin(struct env *e)
{
    if (e->pin != NULL)
        mdb_txn_abort(e->pin);
    e->pin = NULL;
    atomic_store(&e->pinned, 0);
}

/* Where it cannot begin (no room for the file, no reader slot) commits stay what they were. */
static bool soft_begin(struct env *e)
{
    if (e->anchored)
        return true;
    if (e->boot[0] == '\0' || e->doubt || (e->flags & MDB_NOSYNC) != 0 || atomic_load(&e->dead))
        return false;
    if (e->anchor.fd < 0 && anchor_open(&e->anchor, env_path(e)) != 0)
        return false;
    if (mdb_env_sync(e->mdb, 1) != 0) {
        e->doubt = true;
        return false;
    }
    if (mdb_txn_begin(e->mdb, NULL, MDB_RDONLY, &e->pin) != 0)
        return false;
    e->anchored = anchor_newest(e) == 0;
    if (e->anchored)
        return true;
    unpin(e);
    if (anchor_write(&e->anchor, ANCHOR_NONE, e->boot, &e->place) != 0)
        atomic_store(&e->dead, true);       /* it may say that a crash takes back what comes now */
    return false;
}

/* Commits since the anchor take new pages instead of those that they free: not many, and none where the map ends. */
static bool soft_goes_on(const struct env *e)
{
    MDB_envinfo info;
    if (e->softs >= SOFTS_MOST || mdb_env_info(e->mdb, &info) != 0)
        return false;
    uint64_t total = info.me_mapsize / e->page_size, pages = info.me_last_pgno + 1;
    uint64_t most = total / 8 < SOFT_PAGES_MOST ? total / 8 : SOFT_PAGES_MOST;
    return e->steps <= most && pages - e->pages <= most && pages < total - total / 4;
}

int env_write_commit_soft(struct env *e, MDB_txn *txn)
{
    if (!soft_begin(e))
        return env_write_commit(e, txn);
    int rc = commit_unsynced(e, txn);
    return rc != 0 || soft_goes_on(e) ? rc : env_settle(e);
}

int env_write_commit(struct env *e, MDB_txn *txn)
{
    if (!e->anchored)
        return commit_synced(e, txn);
    int rc = commit_unsynced(e, txn);
    return rc != 0 ? rc : env_settle(e);
}

/* What the commits since the anchor wrote may never reach the disk, whatever later syncs say: the next start goes back to it. */
static int soft_failed(struct env *e, int rc)
{
    atomic_store(&e->dead, true);
    (void)anchor_write(&e->anchor, ANCHOR_DOUBT, e->boot, &e->place);
    return rc;
}

int env_settle(struct env *e)
{
    if (!e->anchored)
        return (e->flags & MDB_NOSYNC) != 0 ? 0 : mdb_env_sync(e->mdb, 1);
    if (atomic_load(&e->dead))
        return MDB_PANIC;
    if (e->softs == 0)
        return 0;
    int rc = mdb_env_sync(e->mdb, 1);
    if (rc == 0)
        rc = anchor_newest(e);
    return rc == 0 ? 0 : soft_failed(e, rc);
}

void env_abandon(struct env *e)
{
    atomic_store(&e->dead, true);
}

/* In order: what is there is on the disk, and the file says so. */
void env_soft_end(struct env *e)
{
    if (e->anchored && !atomic_load(&e->dead) && env_settle(e) == 0)
        (void)anchor_write(&e->anchor, ANCHOR_NONE, e->boot, &e->place);
    unpin(e);
    anchor_close(&e->anchor);
}
