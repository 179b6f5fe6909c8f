#include "tools/terminal.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

bool terminal_colours(FILE *to)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    if (no != NULL && no[0] != '\0')
        return false;
    return isatty(fileno(to)) == 1 && (term == NULL || strcmp(term, "dumb") != 0);
}

void terminal_text(FILE *to, const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
        if (*c < ' ' || *c == 0x7f)
            (void)fprintf(to, "\\x%02x", *c);
        else if (*c == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0)     /* U+0080 .. U+009F: controls too */
            (void)fprintf(to, "\\x%02x", *++c);
        else
            (void)fputc(*c, to);
    }
}

bool terminal_is_there(void)
{
    return isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1;
}

bool terminal_ask(const char *question)
{
    char line[64] = "";
    (void)fflush(stdout);
    terminal_text(stderr, question);
    (void)fputs(" [y/N] ", stderr);
    (void)fflush(stderr);
    if (fgets(line, sizeof line, stdin) == NULL) {
        (void)fputc('\n', stderr);
        return false;
    }
    line[strcspn(line, "\r\n")] = '\0';
    return strcasecmp(line, "y") == 0 || strcasecmp(line, "yes") == 0;
}
