/* A book: an LMDB environment of its own with some named tables, for what a daemon keeps beside the replicated data
 * (DIR/records). Bytes to bytes, whole transactions, synced to disk when they are committed.
 *
 *     book_open ─► { book_begin ─► book_get, book_put, book_cursor ... ─► book_commit or book_abort } ... ─► book_close
 *
 * One process writes, one of its threads at a time: book_begin waits for the other. Reading transactions may run in any
 * thread beside that, each in one, and in other processes of the same user (read_only); they are short: their state
 * cannot be overwritten while they live. A transaction ends in the thread in which it began.
 *
 * The last 5 % of the map are kept for deletes and for what book_put_reserved writes, so that a full book can be emptied. */
#ifndef AZOTH_STORE_BOOK_H
#define AZOTH_STORE_BOOK_H

#include "store/store.h"

#define BOOK_TABLES_MAX 16
#define BOOK_KEY_MAX 511                    /* LMDB's */
#define BOOK_VALUE_MAX ((size_t)64 << 20)   /* more is a mistake of the caller */

struct book;
struct book_options {
    const char *path;                       /* made when it is not there, its parent must be */
    const char *const *tables; size_t tables_n;     /* names; a table's place in this list is its number */
    uint64_t map_size;                      /* 0: 64 GiB; sparse */
    bool volatile_data;                     /* tests: no sync at all */
    const char *boot_id;                    /* NULL: the kernel's; tests pass their own to play a crash of the machine */
    bool secret;                            /* folder 0700, files 0600; else 0750, 0640 and a lock file of 0660 */
    bool read_only;                         /* beside the process that writes: nothing is made; tables it has not are empty */
    const char *writer_dir;                 /* read_only: the folder whose writer.lock says whether somebody writes; where nobody does, who has
                                             * the rights puts right what a stop of the machine left. NULL: ERR_NOTNOW then */
};
/* ERR_LOCKED: this process has it open already. ERR_IO: no rights. ERR_FORMAT: not an environment of this LMDB.
 * ERR_NOTFOUND: read_only, and there is none. */
MUST_USE enum err book_open(struct book **out, const struct book_options *o, struct fault *fault);
void book_close(struct book *b);            /* NULL is fine; no transaction is open */

struct book_txn;
/* BOOK_AGAIN: to write although the book is barred. BOOK_JOIN: to write on in what is held. BOOK_PAST: to read without what is held. */
enum book_mode { BOOK_READ, BOOK_WRITE, BOOK_AGAIN, BOOK_JOIN, BOOK_PAST };
MUST_USE enum err book_begin(struct book *b, enum book_mode mode, struct book_txn **out, struct fault *fault);
/* Of a writing transaction: all of it is on the disk, or nothing happened. ERR_FULL: no room. Frees t in every case. */
MUST_USE enum err book_commit(struct book_txn *t, struct fault *fault);
/* What t puts and deletes from here on, as bytes for book_redo; borrowed until t ends. ERR_NOMEM: not all of it is there. */
void book_keep(struct book_txn *t);
MUST_USE enum err book_kept(const struct book_txn *t, struct bytes *out);
/* The same as book_commit, but a crash of the machine may take t back, with all such commits since the newest book_commit or
 * book_settle: whoever has what was kept can do them again. */
MUST_USE enum err book_commit_soft(struct book_txn *t, struct fault *fault);
/* The same, but t stays open, for the thread that began it, so that the pages which it and those behind it touch are written once:
 * BOOK_JOIN goes on in it. BOOK_READ and who else writes wait until it is committed (book_let_go). One that is aborted after it put or
 * deleted something takes along what was held: then the book is barred, and who has what was kept does it again; until book_bar(b, false)
 * all others wait. Where nothing may be held it is book_commit_soft. */
MUST_USE enum err book_hold(struct book_txn *t, struct fault *fault);
/* want: asks the holder for book_let_go, as somebody waits; in any thread, it must not wait. NULL: nothing more is held. */
void book_on_hold(struct book *b, void (*want)(void *arg), void *arg);
/* By the thread that holds it; the same thread's book_begin and book_settle do it themselves. Errors: as of book_commit_soft. */
MUST_USE enum err book_let_go(struct book *b, struct fault *fault);
bool book_is_held(const struct book *b);            /* for the holder */
bool book_is_barred(const struct book *b);
/* All that was committed is on the disk. Waits for who writes. An error: the book is broken. */
MUST_USE enum err book_settle(struct book *b, struct fault *fault);
/* From now on, or no more: only BOOK_AGAIN begins, all other writing is ERR_STORE; a soft commit that fails does so itself. Any thread. */
void book_bar(struct book *b, bool on);
/* Puts and deletes as t did which these bytes were kept of. ERR_BAD: they are none. */
MUST_USE enum err book_redo(struct book_txn *t, struct bytes kept, struct fault *fault);
void book_abort(struct book_txn *t);        /* NULL is fine; how a reading transaction ends */
/* Of the state that t reads; one more with each commit. Of the newest state there is, also another process's. */
uint64_t book_txn_number(const struct book_txn *t);
uint64_t book_newest(const struct book *b);

/* Borrowed until the transaction ends or writes. ERR_NOTFOUND. */
MUST_USE enum err book_get(struct book_txn *t, unsigned table, struct bytes key, struct bytes *out);
/* ERR_LIMIT: key empty or too long, value too long. ERR_FULL: no room; the transaction can only be aborted then. */
MUST_USE enum err book_put(struct book_txn *t, unsigned table, struct bytes key, struct bytes value, struct fault *fault);
/* The same for what makes a later delete possible: it may take what is kept for deletes. */
MUST_USE enum err book_put_reserved(struct book_txn *t, unsigned table, struct bytes key, struct bytes value,
                                    struct fault *fault);
/* ERR_NOTFOUND: there was none. */
MUST_USE enum err book_del(struct book_txn *t, unsigned table, struct bytes key, struct fault *fault);
/* Entries of a table. */
MUST_USE enum err book_count(struct book_txn *t, unsigned table, uint64_t *out);

/* Ascending by bytes. ERR_NOTFOUND: no such entry. What is given is borrowed as by book_get. A cursor ends before its
 * transaction. */
struct book_cursor;
MUST_USE enum err book_cursor_open(struct book_txn *t, unsigned table, struct book_cursor **out);
void book_cursor_close(struct book_cursor *c);      /* NULL is fine */
/* The first entry whose key is not below; an empty key: the first of all. */
MUST_USE enum err book_seek(struct book_cursor *c, struct bytes key, struct entry *out);
MUST_USE enum err book_next(struct book_cursor *c, struct entry *out);
MUST_USE enum err book_last(struct book_cursor *c, struct entry *out);

/* used: pages that the file has, those that are free again included. */
struct book_figures { uint64_t map_bytes, used_bytes, free_bytes; };
MUST_USE enum err book_figures(struct book *b, struct book_figures *out);
/* A write failed and cannot be taken back: every transaction fails until the book is opened anew. */
bool book_is_broken(const struct book *b);

#endif
