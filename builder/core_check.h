/* What can be checked of the core's part of azoth.yaml without starting: the files that it names. For azoth-core
 * --check, its start, and `azoth check-config`. */
#ifndef AZOTH_BUILDER_CORE_CHECK_H
#define AZOTH_BUILDER_CORE_CHECK_H

#include "config/config.h"

/* key: as in the file, "core.zones.3.file". Called once per problem. */
typedef void config_problem_fn(void *arg, const char *key, const char *text);

/* Files without which the core must not start: API key, certificate and its key, the folder of admitted nodes.
 * Both give the number of problems. */
unsigned core_check_files(const struct config_core *core, config_problem_fn *told, void *arg);
/* Zone names are names and not given twice; zone files are there, regular and readable. */
unsigned core_check_zones(const struct config_core *core, config_problem_fn *told, void *arg);

/* One file or folder: NULL when it can be read, else why not, in *fault. path NULL: not configured, fine. */
const char *config_file_problem(const char *path, bool folder, struct fault *fault);
/* A certificate and its key, PEM files that PART.cert and PART.key name: told what is wrong with them or between them, and how
 * many such things there are. NULL: not configured. */
unsigned config_tls_problem(const char *part, const char *cert, const char *key, config_problem_fn *told, void *arg);
/* Likewise a folder of nodes, with what is in it. */
const char *config_nodes_problem(const char *path, struct fault *fault);

#endif
