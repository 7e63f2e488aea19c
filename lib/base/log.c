#include "base/log.h"

#include "base/clock.h"
#include "base/log_render.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define LINE_SIZE_MAX 4096 /* PIPE_BUF: so much goes into a pipe at once, and no other thread's line into its midst */

const char *const log_level_names[] = {"debug", "info", "warn", "error", NULL};
const char *const log_format_names[] = {"text", "logfmt", "json", NULL};

static _Atomic int current_level = LOG_LEVEL_INFO;
static _Atomic int current_format = LOG_FORMAT_TEXT;
static _Atomic unsigned long error_lines;

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&current_level, (int)level, memory_order_relaxed);
}

enum log_level log_get_level(void)
{
    return (enum log_level)atomic_load_explicit(&current_level, memory_order_relaxed);
}

void log_set_format(enum log_format format)
{
    atomic_store_explicit(&current_format, (int)format, memory_order_relaxed);
}

enum log_format log_get_format(void)
{
    return (enum log_format)atomic_load_explicit(&current_format, memory_order_relaxed);
}

unsigned long log_error_lines(void)
{
    return atomic_load_explicit(&error_lines, memory_order_relaxed);
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

/* A log that cannot be written has nowhere to say so. */
static void emit(const char *line, size_t size)
{
    if (write(STDERR_FILENO, line, size) < 0) return;
}

static void emit_text(const char *now, enum log_level level, const char *text, size_t size)
{
    char line[LINE_SIZE_MAX];
    int used = snprintf(line, sizeof(line), "%s %s %.*s", now, log_level_names[level], (int)size, text);

    if (used < 0) return;
    used = used < LINE_SIZE_MAX - 1 ? used : LINE_SIZE_MAX - 2;
    line[used++] = '\n';
    emit(line, (size_t)used);
}

/* What is too long with all that is escaped loses the end of its text. */
static void emit_rendered(const char *now, enum log_level level, const char *text, size_t size)
{
    char line[LOG_RENDER_SIZE(LINE_SIZE_MAX)];
    size_t used;

    while ((used = log_render(log_get_format(), now, log_level_names[level], text, size, line)) > LINE_SIZE_MAX)
        size -= (used - LINE_SIZE_MAX + 1) / 2; /* a byte of text rarely takes more than two */
    emit(line, used);
}

void log_write(enum log_level level, const char *format, ...)
{
    char text[LINE_SIZE_MAX], now[LOG_TIME_SIZE];
    va_list arguments;
    size_t size;
    int wanted;

    if (level >= LOG_LEVEL_ERROR) atomic_fetch_add_explicit(&error_lines, 1, memory_order_relaxed);
    if (level < log_get_level()) return;
    va_start(arguments, format);
    wanted = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (wanted < 0) return;
    size = (size_t)wanted < sizeof(text) ? (size_t)wanted : sizeof(text) - 1;
    /* A peer's text must not forge a second line. */
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) text[i] = '?';
    log_time(clock_wall_ms(), now);
    if (log_get_format() == LOG_FORMAT_TEXT) emit_text(now, level, text, size);
    else emit_rendered(now, level, text, size);
}
