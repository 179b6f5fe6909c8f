/* Certificate and key of DNS over TLS (RFC 7858, RFC 9103's ALPN "dot"): TLS 1.2 and newer, sessions resumed by tickets. */
#ifndef AZOTH_DNSFRONT_TLS_H
#define AZOTH_DNSFRONT_TLS_H

#include "base/err.h"

#include <openssl/ssl.h>

struct tls;
/* cert (with its chain), key: PEM files. ERR_CONFIG: the fault names the file. */
MUST_USE enum err tls_open(struct tls **out, const char *cert, const char *key, struct fault *fault);
/* Other files, or new contents of the same: for connections from now on. On error the old ones stay. */
MUST_USE enum err tls_reload(struct tls *t, const char *cert, const char *key, struct fault *fault);
void tls_close(struct tls *t);      /* NULL is fine */

/* The server's side of a connection. Any thread. NULL: out of memory. */
SSL *tls_accept(struct tls *t, int fd);

#endif
