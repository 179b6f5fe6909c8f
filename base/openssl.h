/* What OpenSSL says of files, in words for the one who wrote their names into the configuration. */
#ifndef AZOTH_BASE_OPENSSL_H
#define AZOTH_BASE_OPENSSL_H

#include "base/err.h"

#include <openssl/ssl.h>

/* Why the last call of this thread failed; forgets it. Gives out. */
const char *openssl_why(char *out, size_t cap);

/* For servers: TLS 1.2 and up, with the certificate (and those behind it) and key of two PEM files. part: of the
 * configuration that names them as PART.cert and PART.key. *out is owned by the caller, SSL_CTX_free. ERR_CONFIG, ERR_NOMEM. */
MUST_USE enum err openssl_server(SSL_CTX **out, const char *part, const char *cert, const char *key, struct fault *fault);

#endif
