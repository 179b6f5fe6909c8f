/* The azoth command: finds the subcommand, reads its options, runs it. */
#include "tools/verbs.h"

#include <config.h>

#include <sodium.h>

const struct command commands[] = {
    { "keygen", "--dir DIR [--force]", "make the node's key pair", keygen_options, 0, 0, true, cmd_keygen, NULL },
    { "load", "--dir DIR [--list FILE] [--strict] [--force] [--map-size SIZE] [ORIGIN=FILE]...",
      "load zone files into a core's store while no daemon runs", load_options, 0, SIZE_MAX, true, cmd_load, NULL },
    { "dump", "--dir DIR [--ns NAME] [--zone ZONE] [--format zone|json|keys]", "print what is stored",
      dump_options, 0, 0, true, cmd_dump, NULL },
    { "get", "--dir DIR NAME TYPE", "print one RRset, as stored and as text", NULL, 2, 2, true, cmd_get, NULL },
    { "kv", "put|get|del|list|apply [NS] [KEY] [VALUE|FILE|-] [--file FILE] [--if-version EPOCH.SEQ] [--if-absent] [--key64] "
      "[--prefix PREFIX] [--after KEY] [--limit COUNT] [--timeout TIME]",
      "read and write the entries of general namespaces", kv_options, 2, 4, false, cmd_kv, NULL },
    { "zone", "add|import|export|list|show|remove|set|rebuild|transfer|notify|log|diff|rollback [NAME] [FILE | SETTING=VALUE...] [--ns NAME]... "
      "[--kind KIND] [--primary ADDRESS[@PORT][/KEY]]... [--tsig KEY] [--catalog] [--serial POLICY] [--file FILE] [--from SEQ] [--to SEQ] "
      "[--limit COUNT] [--records] [--axfr] [--failing] [--counts] [--force] [--if-serial SERIAL] [--dry-run] [--yes] [--wait[=SHARE]] [--timeout TIME]",
      "zones: make, fill, look at, change and remove them, and what was done to them", zone_options, 1, SIZE_MAX, false, cmd_zone, zone_verbs },
    { "rrset", "set|add|delete|get NAME [TTL] TYPE RDATA... [--zone ZONE] [--comment TEXT] [--force] [--if-serial SERIAL] "
      "[--dry-run] [--yes] [--wait[=SHARE]] [--timeout TIME]",
      "change and show the records of a zone, one argument per record", rrset_options, 1, SIZE_MAX, false, cmd_rrset, rrset_verbs },
    { "tsig", "add|list|remove|log [NAME] [--algorithm NAME] [--secret BASE64] [--update ZONE[:TYPE,...]]... [--transfer ZONE]... "
      "[--format bind|knot|nsd|powerdns|nsupdate] [--secrets] [--limit COUNT]",
      "keys that sign updates and transfers", tsig_options, 1, 2, false, cmd_tsig, tsig_verbs },
    { "log", "--dir DIR [--from SEQ] [--limit COUNT] [--verify] [--core-key KEY]", "print log records", log_options,
      0, 0, true, cmd_log, NULL },
    { "stat", "--dir DIR [--deep]", "print position, digest, counts, and where the bytes go", stat_options, 0, 0, true,
      cmd_stat, NULL },
    { "status", "[--watch]", "print the fleet: who is where, how far behind, and whether its data is right", status_options, 0, 0,
      false, cmd_status, NULL },
    { "wait", "SEQ [--quorum SHARE] [--all] [--timeout TIME] [--epoch EPOCH]", "wait until a change has reached the fleet",
      wait_options, 1, 1, false, cmd_wait, NULL },
    { "cluster", "raise-epoch|rotate-key", "give an order about the whole cluster", NULL, 1, 1, false, cmd_cluster, NULL },
    { "verify", "--dir DIR [--core-key KEY]", "recompute the digest and check every entry", verify_options, 0, 0, true,
      cmd_verify, NULL },
    { "backup", "--dir DIR FILE|-", "write one state of the store into a file, beside running daemons", NULL, 1, 1, true,
      cmd_backup, NULL },
    { "restore", "--dir DIR [--core-key KEY] [--replace] [--new-key] [--map-size SIZE] FILE|-",
      "make a node's store of a backup while no daemon runs", restore_options, 1, 1, true, cmd_restore, NULL },
    { "compact", "--dir DIR", "copy the data into full pages while no daemon runs", NULL, 0, 0, true, cmd_compact, NULL },
    { "compare", "--server ADDRESS[@PORT] --server ADDRESS[@PORT] --zone [ORIGIN=]FILE | --axfr ZONE [--key NAME:ALGORITHM:SECRET] "
      "[--types TYPE[,TYPE]...] [--dnssec] [--strict] [--ignore-ttl] [--ignore-signatures] [--limit-differences COUNT] [--rate COUNT] "
      "[--timeout TIME] [--retries COUNT]",
      "ask two DNS servers the same about a zone, and tell where they differ", compare_options, 0, 0, false, cmd_compare, NULL },
    { "check-config", "FILE", "check azoth.yaml and the files that it names", NULL, 1, 1, false, cmd_check_config, NULL },
    { NULL, NULL, NULL, NULL, 0, 0, false, NULL, NULL },
};

const struct command *command_find(const char *name)
{
    for (const struct command *c = commands; c->name != NULL; c++)
        if (strcmp(c->name, name) == 0)
            return c;
    return NULL;
}

static int help_all(void)
{
    (void)printf("Usage: azoth [OPTION]... COMMAND [ARGUMENT]...\n\nCommands:\n");
    for (const struct command *c = commands; c->name != NULL; c++)
        (void)printf("  %-14s %s\n", c->name, c->about);
    (void)printf("  %-14s %s\n\nOptions of all commands:\n", "help COMMAND", "show what COMMAND takes");
    options_print(stdout, options_global);
    (void)printf("\nExit codes: 0 ok, 1 usage or environment, 2 data wrong, 3 timeout. See azoth(1).\n");
    return tool_done(EXIT_FINE);
}

static int help_one(const struct command *c)
{
    (void)printf("Usage: azoth %s %s\n\n%c%s.\n\n", c->name, c->takes, c->about[0] - 'a' + 'A', c->about + 1);
    if (c->verbs != NULL)
        verbs_print(stdout, c->name, c->verbs);
    (void)printf("%sOptions:\n", c->verbs != NULL ? "\n" : "");
    options_print(stdout, c->options);
    options_print(stdout, options_global);
    return tool_done(EXIT_FINE);
}

static int help(const struct options *o)
{
    const struct command *c;
    if (o->args_n == 0)
        return help_all();
    if (o->args_n > 1)
        return tool_fail(EXIT_USAGE, "help takes one command (see azoth --help)");
    if ((c = command_find(o->args[0])) == NULL)
        return tool_fail(EXIT_USAGE, "there is no command '%s' (see azoth --help)", o->args[0]);
    return help_one(c);
}

static int version(void)
{
    (void)printf("azoth %s\n", PACKAGE_VERSION);
    return tool_done(EXIT_FINE);
}

/* Its arguments, in a line that is read: the options behind them are many, and help has them. */
static int too_few(const struct command *c)
{
    const char *options = strstr(c->takes, " [--");
    size_t len = options != NULL ? (size_t)(options - c->takes) : strlen(c->takes);
    return tool_fail(EXIT_USAGE, "%s: an argument is missing: azoth %s %.*s (see azoth help %s)", c->name, c->name, (int)len, c->takes,
                     c->name);
}

static int run(const struct command *c, const struct options *o)
{
    if (o->args_n < c->args_least)
        return too_few(c);
    if (o->args_n > c->args_most)
        return tool_fail(EXIT_USAGE, "%s: '%s' is one argument too many (see azoth help %s)", c->name,
                         o->args[c->args_most],
                         c->name);
    if (c->needs_dir && o->dir == NULL)
        return tool_fail(EXIT_USAGE, "%s: --dir DIR is missing (see azoth help %s)", c->name, c->name);
    return c->run(o);
}

int main(int argc, char **argv)
{
    struct options o = { 0 };
    struct fault fault = { "" };
    const struct command *c = NULL;
    bool is_help = false;
    int at = 1;
    if (sodium_init() < 0)
        return tool_fail(EXIT_USAGE, "libsodium cannot start");
    if (options_read(argc, argv, &at, NULL, true, &o, &fault) != OK)
        return tool_fail(EXIT_USAGE, "%s (see azoth --help)", fault.text);
    if (at < argc) {
        is_help = strcmp(argv[at], "help") == 0;
        c = command_find(argv[at]);
        if (c == NULL && !is_help)
            return tool_fail(EXIT_USAGE, "there is no command '%s' (see azoth --help)", argv[at]);
        at++;
        if (options_read(argc, argv, &at, c != NULL ? c->options : NULL, false, &o, &fault) != OK)
            return tool_fail(EXIT_USAGE, "%s: %s (see azoth help %s)", is_help ? "help" : c->name, fault.text,
                             is_help ? "" : c->name);
    }
    if (o.version)
        return version();
    if (is_help || (o.help && c == NULL))
        return help(&o);
    if (o.help)
        return help_one(c);
    if (c == NULL)
        return tool_fail(EXIT_USAGE, "a command is missing (see azoth --help)");
    return run(c, &o);
}
