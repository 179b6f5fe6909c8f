#include "base/openssl.h"

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
