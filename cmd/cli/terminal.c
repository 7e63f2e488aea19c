#include "cmd/cli/terminal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

bool terminal_is(int fd)
{
    return isatty(fd) == 1;
}

size_t terminal_width(int fd)
{
    struct winsize size;

    if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
    if (size.ws_col < 40) return 40;
    return size.ws_col > 200 ? 200 : size.ws_col;
}

bool terminal_has_colours(int fd)
{
    const char *no_colour = getenv("NO_COLOR"), *term = getenv("TERM");

    if (no_colour != NULL && no_colour[0] != '\0') return false;
    if (term == NULL || strcmp(term, "dumb") == 0) return false;
    return terminal_is(fd);
}

char *terminal_count(uint64_t count, char to[TERMINAL_FIGURE_SIZE])
{
    char digits[24];
    size_t size = (size_t)snprintf(digits, sizeof(digits), "%" PRIu64, count), out = 0;

    for (size_t i = 0; i < size; i++) {
        if (i > 0 && (size - i) % 3 == 0) to[out++] = ',';
        to[out++] = digits[i];
    }
    to[out] = '\0';
    return to;
}

char *terminal_bytes(uint64_t bytes, char to[TERMINAL_FIGURE_SIZE])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double figure = (double)bytes;
    size_t unit = 0;

    while (figure >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        figure /= 1024;
        unit++;
    }
    snprintf(to, TERMINAL_FIGURE_SIZE, "%.*f %s", unit == 0 || figure >= 100 ? 0 : 1, figure, units[unit]);
    return to;
}

char *terminal_megabytes(double bytes, char to[TERMINAL_FIGURE_SIZE])
{
    snprintf(to, TERMINAL_FIGURE_SIZE, "%.*f MB", bytes >= 100e6 ? 0 : bytes >= 1e6 ? 1 : 3, bytes / 1e6);
    return to;
}

char *terminal_seconds(double seconds, char to[TERMINAL_FIGURE_SIZE])
{
    uint64_t whole = (uint64_t)seconds;

    if (seconds < 10)
        snprintf(to, TERMINAL_FIGURE_SIZE, "%.2f s", seconds);
    else if (whole < 60)
        snprintf(to, TERMINAL_FIGURE_SIZE, "%" PRIu64 " s", whole);
    else if (whole < 3600)
        snprintf(to, TERMINAL_FIGURE_SIZE, "%" PRIu64 " min %" PRIu64 " s", whole / 60, whole % 60);
    else if (whole < 86400)
        snprintf(to, TERMINAL_FIGURE_SIZE, "%" PRIu64 " h %" PRIu64 " min", whole / 3600, whole / 60 % 60);
    else
        snprintf(to, TERMINAL_FIGURE_SIZE, "%" PRIu64 " d %" PRIu64 " h", whole / 86400, whole / 3600 % 24);
    return to;
}

char *terminal_nanoseconds(uint64_t ns, char to[TERMINAL_FIGURE_SIZE])
{
    if (ns < 1000)
        snprintf(to, TERMINAL_FIGURE_SIZE, "%" PRIu64 " ns", ns);
    else if (ns < 1000000)
        snprintf(to, TERMINAL_FIGURE_SIZE, "%.1f us", (double)ns / 1e3);
    else if (ns < 1000000000)
        snprintf(to, TERMINAL_FIGURE_SIZE, "%.2f ms", (double)ns / 1e6);
    else
        snprintf(to, TERMINAL_FIGURE_SIZE, "%.3f s", (double)ns / 1e9);
    return to;
}
