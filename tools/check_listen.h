/* Do two of the addresses that an azoth.yaml has its daemons listen on exclude each other? All daemons of a file are taken
 * to run on one host.
 *
 *     0.0.0.0@53  ::@53             fine: one family each            127.0.0.1@8080  127.0.0.2@8080    fine
 *     0.0.0.0@53  192.0.2.1@53      one port, and the first address is all IPv4 addresses                                  */
#ifndef AZOTH_TOOLS_CHECK_LISTEN_H
#define AZOTH_TOOLS_CHECK_LISTEN_H

#include "builder/core_check.h"

/* told: once for each address that another one before it takes; its key and which one that is. Gives their number.
 * Port 0 is any free one and clashes with none; names of hosts are equal when they are spelled so. */
unsigned check_listens(const struct config *c, config_problem_fn *told, void *arg);

#endif
