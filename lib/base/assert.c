#include "base/assert.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void assert_failed(const char *expression, const char *file, int line)
{
    if (log_get_format() == LOG_FORMAT_TEXT) fprintf(stderr, "mesh: bug: assertion failed: %s (%s:%d)\n", expression, file, line);
    else log_error("bug: assertion failed expression=\"%s\" file=\"%s\" line=%d", expression, file, line);
    abort();
}
