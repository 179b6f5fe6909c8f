/* What OpenSSL says of files, in words for the one who wrote their names into the configuration. */
#ifndef AZOTH_BASE_OPENSSL_H
#define AZOTH_BASE_OPENSSL_H

#include <stddef.h>

/* Why the last call of this thread failed; forgets it. Gives out. */
const char *openssl_why(char *out, size_t cap);

#endif
