/* Snapshots: all entries of one state in one stream that no database engine has a part in. A backup is such a stream in
 * a file; a node that must start over is given one. FORMAT.md section 9.
 *
 *     opening [role, signed head] ► chunk ► chunk ► ... ► manifest [the same, totals, table of chunks] ► end
 *
 * Entries ascend strictly by (namespace, key). A chunk is about 1 MiB of them, compressed alone, with a hash of its own:
 * it can be fetched in pieces, checked, asked for again and decoded without any other. The signed head stands in front,
 * so that whoever reads knows from the start how many entries and bytes may come, and stops what exceeds them. */
#ifndef AZOTH_STORE_SNAPSHOT_H
#define AZOTH_STORE_SNAPSHOT_H

#include "store/store.h"

#define SNAPSHOT_FORMAT 1
#ifndef SNAPSHOT_CHUNK                                  /* the simulator builds the codecs with small ones */
#define SNAPSHOT_CHUNK ((size_t)1 << 20)                /* raw bytes that entries share; a longer one stands alone */
#endif
#define SNAPSHOT_RAW_MAX (((size_t)1 << 20) + 1024)
#define SNAPSHOT_STORED_MAX (SNAPSHOT_RAW_MAX + SNAPSHOT_RAW_MAX / 256 + 1024)      /* zstd at its worst */
#define SNAPSHOT_HASH_LEN 32
#define SNAPSHOT_FILES_MAX 16
#define SNAPSHOT_FILE_MAX ((size_t)16 << 20)
#define SNAPSHOT_NAME_MAX 64                            /* [a-z0-9._-], does not begin with a dot */
#define SNAPSHOT_END "azoth-snapshot-end"
#define SNAPSHOT_END_LEN 18
#define SNAPSHOT_TRAILER (8 + SNAPSHOT_HASH_LEN + SNAPSHOT_END_LEN)
#define SNAPSHOT_MANIFEST_MAX ((uint64_t)1 << 30)       /* the table of 12 TiB; bytes are believed only as they come */

struct snapshot_about {
    enum store_role role;           /* of the store that it was taken from */
    struct head head;
    struct signed_head signed_head;
};
struct snapshot_chunk {
    uint32_t entries, raw, stored;  /* bytes before and after compression */
    uint8_t hash[SNAPSHOT_HASH_LEN];        /* BLAKE2b-256 of the stored bytes */
};
struct snapshot_file { char name[SNAPSHOT_NAME_MAX + 1]; struct bytes bytes; };     /* travels beside them */

/* --- chunks: bytes to bytes --------------------------------------------------------------------------------------- */
struct snapshot_pack;
MUST_USE enum err snapshot_pack_open(struct snapshot_pack **out);
void snapshot_pack_close(struct snapshot_pack *p);              /* NULL is fine */
/* Entries in ascending order, each within the store's limits. false: the chunk is full and must be ended first. */
bool snapshot_pack_add(struct snapshot_pack *p, struct bytes ns, const struct entry *e);
uint32_t snapshot_pack_entries(const struct snapshot_pack *p);  /* of the chunk at hand */
/* The chunk at hand, of at least one entry; stored: borrowed until the next end. */
MUST_USE enum err snapshot_pack_end(struct snapshot_pack *p, struct snapshot_chunk *out, struct bytes *stored);

/* Takes the chunks of one snapshot in order; knows what the head still allows. */
struct snapshot_unpack;
MUST_USE enum err snapshot_unpack_open(struct snapshot_unpack **out, const struct head *head);
void snapshot_unpack_close(struct snapshot_unpack *u);          /* NULL is fine */
/* The chunk's entries as puts, borrowed until the next call. Hash, sizes, order, limits and chunk borders are checked.
 * ERR_BAD: damaged. ERR_LIMIT: more entries or bytes than the head says. The fault names the chunk, counted from 1. */
MUST_USE enum err snapshot_unpack_chunk(struct snapshot_unpack *u, const struct snapshot_chunk *c, struct bytes stored,
                                        const struct op **ops, size_t *n, struct fault *fault);
/* OK when all that the head says was there. */
MUST_USE enum err snapshot_unpack_end(const struct snapshot_unpack *u, struct fault *fault);

/* --- the manifest ------------------------------------------------------------------------------------------------- */
#define SNAPSHOT_ROW (3 * 4 + SNAPSHOT_HASH_LEN)        /* one chunk in the table: entries, raw, stored, hash */
struct snapshot_manifest {
    struct snapshot_about about;
    struct bytes table;             /* SNAPSHOT_ROW bytes per chunk */
    size_t chunks;
    uint64_t entries, raw, stored;  /* sums over the table */
    size_t files_n;
    struct snapshot_file files[SNAPSHOT_FILES_MAX];
};
void snapshot_row_put(struct wr *w, const struct snapshot_chunk *c);
/* table: whole rows; i < chunks. */
struct snapshot_chunk snapshot_row(struct bytes table, size_t i);
/* Bytes that snapshot_manifest_put needs at most. */
size_t snapshot_manifest_size(const struct snapshot_manifest *m);
/* entries, raw and stored are computed. */
void snapshot_manifest_put(struct wr *w, const struct snapshot_manifest *m);
/* Everything borrowed from `in`. ERR_FORMAT: of a newer version. ERR_SHORT, ERR_BAD: not a manifest, or its sums, sizes
 * or chunk borders do not fit together or the head. */
MUST_USE enum err snapshot_manifest_read(struct bytes in, struct snapshot_manifest *out);
/* Most bytes that the manifest of this head's entries can have, when no files travel with them. 0: no store has such. */
uint64_t snapshot_manifest_most(const struct head *head);

/* --- to and from file descriptors: written and read from front to end, so a pipe will do -------------------------- */
/* false: stop. Called once per chunk with the number of entries so far. */
typedef bool snapshot_go_fn(void *arg, uint64_t entries);

struct snapshot_totals { uint64_t entries, bytes, raw, stored, chunks; };     /* bytes: of the whole stream */
/* All entries of a view that has begun. files: n of them, may be NULL for none. ERR_FULL, ERR_IO: fd takes no more.
 * ERR_NOTFOUND: an empty store has no head and so no snapshot. ERR_NOTNOW: go said stop. ERR_DIGEST: the view's entries
 * are not as many as its head says. */
MUST_USE enum err snapshot_write(int fd, struct view *v, enum store_role role, const struct snapshot_file *files,
                                 size_t n, snapshot_go_fn *go, void *arg, struct snapshot_totals *out,
                                 struct fault *fault);

/* A finished file of our own, for reading at any place: its manifest, and where each chunk's stored bytes begin. */
struct snapshot_index { uint8_t *buf; size_t len; struct snapshot_manifest manifest; uint64_t *offsets; };  /* owned */
/* ERR_SHORT, ERR_BAD: the file is not what was written. */
MUST_USE enum err snapshot_index_load(struct snapshot_index *out, int fd, struct fault *fault);
void snapshot_index_release(struct snapshot_index *x);          /* zeroed is fine */
/* The manifest as it stands in the file; borrowed. */
struct bytes snapshot_index_manifest(const struct snapshot_index *x);

struct snapshot_reader;
/* Reads the opening; of a file also its end, so that one that was cut off is known at once. ERR_BAD: not a snapshot.
 * ERR_FORMAT: of a newer version. ERR_SHORT: cut off. Nothing is verified against a key yet. */
MUST_USE enum err snapshot_reader_open(struct snapshot_reader **out, int fd, struct fault *fault);
void snapshot_reader_close(struct snapshot_reader *r);          /* NULL is fine; fd stays open */
const struct snapshot_about *snapshot_reader_about(const struct snapshot_reader *r);
/* The next chunk as puts, borrowed until the next call. ERR_NOTFOUND: the end; manifest and trailer were right. */
MUST_USE enum err snapshot_reader_next(struct snapshot_reader *r, const struct op **ops, size_t *n,
                                       struct fault *fault);
/* Behind ERR_NOTFOUND only; borrowed until close. */
const struct snapshot_manifest *snapshot_reader_manifest(const struct snapshot_reader *r);
/* Behind ERR_NOTFOUND only: a book follows (a core's backup with its records); bookcopy_reader_open goes on from the same fd. */
bool snapshot_reader_has_book(const struct snapshot_reader *r);

/* --- into the store ------------------------------------------------------------------------------------------------ */
/* Piece by piece, for who gets the chunks one after the other: a fresh generation of s is begun and one transaction opened,
 * which is s's only one until the end. All by the same thread. */
struct snapshot_load;
MUST_USE enum err snapshot_load_begin(struct snapshot_load **out, struct store *s, const struct head *head,
                                      struct fault *fault);
/* What snapshot_unpack_chunk gave. Behind any error only the drop is left. */
MUST_USE enum err snapshot_load_put(struct snapshot_load *l, const struct op *ops, size_t n, struct fault *fault);
/* Digest compared with the head, then the flip, as below. sh: the head as it is to be stored. Takes l in every case. */
MUST_USE enum err snapshot_load_end(struct snapshot_load *l, const struct signed_head *sh, struct fault *fault);
void snapshot_load_drop(struct snapshot_load *l);              /* data and log are as before; NULL is fine */

/* The rest of r into a fresh generation of s, digest compared with the head, then the flip: the log is emptied, views
 * change over. sh: the head as it is to be stored, NULL: as in the snapshot (its signature is not looked at here).
 * Any error before the flip leaves data and log as they were. ERR_DIGEST: the entries are not what the head says. */
MUST_USE enum err snapshot_load(struct store *s, struct snapshot_reader *r, const struct signed_head *sh,
                                snapshot_go_fn *go, void *arg, struct fault *fault);

#endif
