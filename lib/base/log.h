/* base/log.h - the broker's and the commands' log: one line per event, to stderr.
 *
 *   2026-11-21T21:30:00.123Z info topic created topic=orders partitions=3
 *
 * For machines the same in logfmt or JSON (log_render.h).
 *
 * Report once: whoever decides what to do logs, with ids. Cores never log. Any thread; a line is one write(2). */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdint.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_LOGFMT, LOG_FORMAT_JSON };

/* In the order of the enums; NULL after the last. */
extern const char *const log_level_names[];
extern const char *const log_format_names[];

void log_set_level(enum log_level level);
enum log_level log_get_level(void);
void log_set_format(enum log_format format);
enum log_format log_get_format(void);

/* The text is a sentence start followed by key=value pairs, values with blanks in quotes; secrets never go in. Longer than 4 KiB is cut. */
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Lines at the level of errors that were written so far: whoever reports an end says nothing that was said already. */
unsigned long log_error_lines(void);

/* A moment as lines begin with it; `text` is returned. Before 1970 is as 1970. */
#define LOG_TIME_SIZE 32
const char *log_time(int64_t wall_ms, char text[LOG_TIME_SIZE]);

#define log_debug(...)                                                                                        \
    (log_get_level() <= LOG_LEVEL_DEBUG ? log_write(LOG_LEVEL_DEBUG, __VA_ARGS__) : (void)0)
#define log_info(...)  log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)

#endif
