#include "base/log.h"

#include "base/clock.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define LINE_SIZE_MAX 4096

static _Atomic int current_level = LOG_LEVEL_INFO;

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&current_level, (int)level, memory_order_relaxed);
}

enum log_level log_get_level(void)
{
    return (enum log_level)atomic_load_explicit(&current_level, memory_order_relaxed);
}

const char *log_time(int64_t wall_ms, char text[LOG_TIME_SIZE])
{
    int64_t since_ms = wall_ms < 0 ? 0 : wall_ms;
    time_t seconds = since_ms / 1000;
    struct tm tm;
    size_t used;

    gmtime_r(&seconds, &tm);
    used = strftime(text, LOG_TIME_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text + used, LOG_TIME_SIZE - used, ".%03uZ", (unsigned)(since_ms % 1000));
    return text;
}

static size_t format_head(char *line, size_t size, enum log_level level)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    char now[LOG_TIME_SIZE];

    return (size_t)snprintf(line, size, "%s %s ", log_time(clock_wall_ms(), now), names[level]);
}

void log_write(enum log_level level, const char *format, ...)
{
    char line[LINE_SIZE_MAX];
    va_list arguments;
    size_t used;
    int size;

    if (level < log_get_level()) return;
    used = format_head(line, sizeof(line), level);
    va_start(arguments, format);
    size = vsnprintf(line + used, sizeof(line) - used - 1, format, arguments);
    va_end(arguments);
    if (size < 0) return;
    used += (size_t)size < sizeof(line) - used - 1 ? (size_t)size : sizeof(line) - used - 2;
    /* A peer's text must not forge a second line. */
    for (size_t i = 0; i < used; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f) line[i] = '?';
    line[used++] = '\n';
    if (write(STDERR_FILENO, line, used) < 0) return; /* a log that cannot be written has nowhere to say so */
}
