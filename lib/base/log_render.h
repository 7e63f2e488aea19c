/* base/log_render.h - a log line for machines, made of the text that log_write() got: logfmt or JSON. Pure; any thread.
 *
 *   recovered clean=1 logs=3 data="/srv/my mesh"
 *   time=2026-11-21T21:30:00.123Z level=info msg="recovered" clean=1 logs=3 data="/srv/my mesh"
 *   {"time":"2026-11-21T21:30:00.123Z","level":"info","msg":"recovered","clean":"1","logs":"3","data":"/srv/my mesh"}
 *
 * Fields are the run of key=value that the text ends with; whatever stands in front of it is the message, key=value in its midst included. A key
 * that comes twice, or that would be taken for the line's own (time, level, msg), does not begin a field: it and all before it stay in the message. So
 * nothing of the text is lost, and no text from elsewhere takes another field's place. Values are always strings: a field's type never changes. */
#ifndef BASE_LOG_RENDER_H
#define BASE_LOG_RENDER_H

#include "base/log.h"

#include <stddef.h>

#define LOG_RENDER_FIELDS_MAX 32
#define LOG_RENDER_SIZE(text_size) (4 * (text_size) + 256) /* what a line of such a text takes at most */

/* Writes the line, with its newline, and returns its size. `line` has LOG_RENDER_SIZE(size) bytes. `text` holds no control characters; what is no UTF-8 in it
 * becomes '?'. */
size_t log_render(enum log_format format, const char *time, const char *level, const char *text, size_t size, char *line);

#endif
