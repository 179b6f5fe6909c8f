/* What is for people's eyes: colours, text that others wrote, a question. */
#ifndef AZOTH_TOOLS_TERMINAL_H
#define AZOTH_TOOLS_TERMINAL_H

#include "base/bytes.h"

#include <stdio.h>

/* Is `to` a terminal that shows colours, and does nobody mind them (NO_COLOR)? */
bool terminal_colours(FILE *to);
/* UTF-8 text with its control characters as \xNN: what somebody put into a zone must not steer the terminal. */
void terminal_text(FILE *to, const char *text);
/* Is there somebody to ask: are stdin and stderr a terminal? */
bool terminal_is_there(void);
/* Asks "QUESTION [y/N] " on stderr: true when the answer is y or yes. */
bool terminal_ask(const char *question);

#endif
