/* Options of the azoth command: one table per command says which it takes; the parser, `azoth help CMD` and the test
 * that compares them with azoth(1) all read that table.
 *
 *     azoth [GLOBAL]... COMMAND [OPTION | ARGUMENT]...        --name VALUE | --name=VALUE | --flag | -- ends options
 *
 * An option whose value may be left out takes it behind = only. Those of lists may be given again and again. */
#ifndef AZOTH_TOOLS_OPTIONS_H
#define AZOTH_TOOLS_OPTIONS_H

#include "base/err.h"

#include <stdio.h>

#define OPTION_LIST_MAX 64
struct option_list { const char *v[OPTION_LIST_MAX]; size_t n; };

struct options {
    const char *dir, *list, *ns, *zone, *format, *core_key;     /* NULL: not given; borrowed from argv */
    const char *api, *key_file, *ca_file, *file, *if_version, *prefix, *after, *timeout, *quorum;
    uint64_t map_size, from, limit, epoch;                             /* map_size in bytes; 0: not given */
    bool json, help, version, force, strict, verify, replace, new_key;
    bool if_absent, key64, deep, all, watch;
    const char *kind, *serial, *tsig, *if_serial, *wait, *comment, *from_seq, *to_seq, *algorithm, *secret;
    struct option_list nameservers, primaries, update, transfer;
    bool dry_run, yes, secrets, records;
    struct option_list servers;
    const char *axfr, *key, *types, *retries;
    bool transfer_all;          /* zone transfer --axfr */
    bool catalog;               /* zone add --catalog */
    bool failing, counts;       /* zone list --failing, zone show --counts */
    uint64_t limit_differences, rate;
    bool dnssec, ignore_ttl, ignore_signatures;
    const char *const *args;                                    /* what is no option, in order; borrowed from argv */
    size_t args_n;
};

enum option_kind { OPTION_FLAG, OPTION_TEXT, OPTION_MAYBE, OPTION_LIST, OPTION_NUMBER, OPTION_SIZE };
struct option_spec {
    const char *name;           /* without the two dashes; NULL ends a table */
    const char *value;          /* what help calls the value; NULL for flags; of OPTION_MAYBE also what no value means */
    const char *help;
    enum option_kind kind;
    size_t offset;              /* of the member in struct options */
};
#define OPTION(name, value, kind, member, help) { name, value, help, kind, offsetof(struct options, member) }
#define OPTION_END { NULL, NULL, NULL, OPTION_FLAG, 0 }

extern const struct option_spec options_global[];       /* accepted before and after the command */

/* Reads argv[*at ..]. Options are looked up in options_global and in `own` (may be NULL). With stop_at_word the first
 * word that is no option ends the reading and *at names it (the command); otherwise words are collected, in order, in
 * the front of argv[*at ..] and become out->args. out keeps what an earlier call read.
 * ERR_BAD: *fault says what is wrong with which option. */
MUST_USE enum err options_read(int argc, char **argv, int *at, const struct option_spec *own, bool stop_at_word,
                               struct options *out, struct fault *fault);
/* Was it given? Numbers and sizes: is it not 0? */
bool option_given(const struct option_spec *spec, const struct options *o);
/* One line per option of a table. */
void options_print(FILE *to, const struct option_spec *specs);

#endif
