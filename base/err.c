#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>

const char *err_text(enum err err)
{
    switch (err) {
    case OK:
        return "ok";
#define X(name, num, text) case ERR_##name: return text;
    ERR_MAP(X)
#undef X
    }
    return "unknown error";
}

enum err fault_set(struct fault *f, enum err err, const char *format, ...)
{
    if (f != NULL) {
        va_list ap;
        va_start(ap, format);
        (void)vsnprintf(f->text, sizeof f->text, format, ap);
        va_end(ap);
        for (char *c = f->text; *c != '\0'; c++)        /* one line, whatever a library or file put into it */
            if ((unsigned char)*c < 0x20 || *c == 0x7f)
                *c = ' ';
    }
    return err;
}

const char *fault_text(const struct fault *f, enum err err)
{
    return f != NULL && f->text[0] != '\0' ? f->text : err_text(err);
}
