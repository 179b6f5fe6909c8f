#include "base/openssl.h"

#include "base/file.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>

/* The first error of the queue is the cause, those after it say who passed it on. Nobody gives passphrases, so asking for
 * one ends as cancelled. */
const char *openssl_why(char *out, size_t cap)
{
    unsigned long e = ERR_peek_error();
    const char *reason = ERR_reason_error_string(e);
    if (ERR_SYSTEM_ERROR(e))
        reason = strerror(ERR_GET_REASON(e));
    else if (ERR_GET_REASON(e) == PEM_R_NO_START_LINE || ERR_GET_REASON(e) == ERR_R_UNSUPPORTED)
        reason = "there is none in it, in PEM form";
    else if (ERR_GET_REASON(e) == ERR_R_INTERRUPTED_OR_CANCELLED)
        reason = "needs a passphrase, and nobody is there to give it";
    (void)snprintf(out, cap, "%s", reason != NULL ? reason : "unreadable");
    ERR_clear_error();
    return out;
}

static enum err failed(const char *part, const char *what, const char *path, struct fault *fault)
{
    char text[160];
    unsigned long e = ERR_peek_error();
    bool later = ERR_SYSTEM_ERROR(e) && file_errno(ERR_GET_REASON(e)) == ERR_NOMEM;
    return fault_set(fault, later ? ERR_NOMEM : ERR_CONFIG, "%s.%s %.200s: %s", part, what, path, openssl_why(text, sizeof text));
}

/* A key behind a passphrase is refused: OpenSSL would ask the terminal, and a server has nobody there. */
static int no_passphrase(char *out, int cap, int writing, void *arg)
{
    (void)out, (void)cap, (void)writing, (void)arg;
    return -1;
}

MUST_USE enum err openssl_server(SSL_CTX **out, const char *part, const char *cert, const char *key, struct fault *fault)
{
    enum err err = OK;
    SSL_CTX *c = SSL_CTX_new(TLS_server_method());
    if (c == NULL)
        return ERR_NOMEM;
    (void)SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION);
    SSL_CTX_set_default_passwd_cb(c, no_passphrase);
    if (SSL_CTX_use_certificate_chain_file(c, cert) != 1)
        err = failed(part, "cert: certificate", cert, fault);
    else if (SSL_CTX_use_PrivateKey_file(c, key, SSL_FILETYPE_PEM) != 1)
        err = failed(part, "key: private key", key, fault);
    else if (SSL_CTX_check_private_key(c) != 1)
        err = failed(part, "key: the certificate does not belong to", key, fault);
    if (err != OK)
        SSL_CTX_free(c);
    else
        *out = c;
    return err;
}
