/* cli/terminal.h - what kind of place the output goes to, and figures as people read them. */
#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H

#include "base/buffer.h"

#include <stdint.h>

bool terminal_is(int fd);
size_t terminal_width(int fd); /* columns, 80 when unknown; 40 to 200 */

/* Colours on this descriptor: a terminal, NO_COLOR unset or empty, TERM not "dumb". */
bool terminal_has_colours(int fd);

enum colour { COLOUR_NONE, COLOUR_BOLD, COLOUR_DIM, COLOUR_RED, COLOUR_GREEN, COLOUR_YELLOW };

#define TERMINAL_FIGURE_SIZE 32 /* room for what the following write, NUL included */

/* They write into `to` and return it. "12,345", "1.5 GiB", "83.1 MB" (10^6), "2 h 5 min", "1.25 ms". */
char *terminal_count(uint64_t count, char to[TERMINAL_FIGURE_SIZE]);
char *terminal_bytes(uint64_t bytes, char to[TERMINAL_FIGURE_SIZE]);
char *terminal_megabytes(double bytes, char to[TERMINAL_FIGURE_SIZE]);
char *terminal_seconds(double seconds, char to[TERMINAL_FIGURE_SIZE]);
char *terminal_nanoseconds(uint64_t ns, char to[TERMINAL_FIGURE_SIZE]);

#endif
