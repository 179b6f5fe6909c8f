/* Inside store/ only. An anchor: which state of an LMDB environment is surely on the disk, so that its commits may go without a flush.
 *
 *     commit, not synced, again and again ─► sync of data.mdb ─► anchor of the state that this was, synced ─► ...
 *         └─ the machine stops ─► the next writer puts the anchored state's meta page back: the environment is whole, at that state
 *
 * Whoever commits without syncs keeps a read transaction at the anchored state, so that no commit overwrites its pages (env.c). A
 * process that is killed takes nothing back: what it wrote is in the kernel's hands, and the next writer syncs it.
 *
 *     PATH/anchor   two places of 512 bytes, at 0 and at 4096, written in turn; the whole one with the higher number counts
 *     place         "AZAN" 0 0 0 1 | number u64 | state u8 | boot id (64, zeros behind) | page size u32 | transaction u64 | its meta
 *                   page's first 152 bytes as LMDB 0.9 has them | hash (32, of all before) */
#ifndef AZOTH_STORE_ANCHOR_H
#define AZOTH_STORE_ANCHOR_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define ANCHOR_META 152
#define ANCHOR_BOOT 64

enum anchor_state {
    ANCHOR_NONE,        /* there is none, or the environment was closed in order: it is what it is */
    ANCHOR_HELD,        /* commits of this boot of the machine, which may not be on the disk yet */
    ANCHOR_LOST,        /* the machine has stopped: only the anchored state is whole */
    ANCHOR_DOUBT,       /* a sync has failed in this boot: the kernel calls pages written which are not */
};
struct anchor_place { uint64_t txn; uint32_t page_size; uint8_t meta[ANCHOR_META]; };

MUST_USE enum err anchor_look(const char *path, const char *boot, enum anchor_state *out, struct fault *fault);
/* For the only writer, while no process has the environment open that has read from it in this boot (ANCHOR_HELD: always). After it the
 * environment is at a state that is on the disk, and the anchor says so. */
MUST_USE enum err anchor_mend(const char *path, const char *boot, struct fault *fault);
/* ANCHOR_DOUBT where others read: the anchored state as a file of its own, TO/data.mdb, on the disk. */
MUST_USE enum err anchor_copy(const char *path, const char *to, struct fault *fault);

struct anchor { int fd; uint64_t number; };
/* The file, made where it is not there, with the rights of data.mdb. errno. */
int anchor_open(struct anchor *a, const char *path);
void anchor_close(struct anchor *a);
/* On the disk when it is 0, else errno. state: ANCHOR_NONE, _HELD or _DOUBT. */
int anchor_write(struct anchor *a, enum anchor_state state, const char *boot, const struct anchor_place *place);
/* The place of transaction txn, which is the newest or the one before: from the environment's file. LMDB's code, or errno. */
int anchor_place_read(int data_fd, uint32_t page_size, uint64_t txn, struct anchor_place *out);

#endif
