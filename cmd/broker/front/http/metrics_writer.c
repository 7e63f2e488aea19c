/* front/http/metrics_writer.c - see metrics_writer.h. */
#include "cmd/broker/front/http/metrics_writer.h"

void metrics_family(struct metrics_writer *writer, const char *name, const char *type, const char *help)
{
    METRICS_WRITE(writer, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void metrics_single(struct metrics_writer *writer, const char *name, const char *type, const char *help, double value)
{
    metrics_family(writer, name, type, help);
    METRICS_WRITE(writer, "%s %.17g\n", name, value);
}

void metrics_escaped(struct metrics_writer *writer, const char *value)
{
    for (; *value != '\0'; value++) {
        if (*value == '\n')
            METRICS_WRITE(writer, "\\n");
        else
            METRICS_WRITE(writer, "%s%c", *value == '\\' || *value == '"' ? "\\" : "", *value);
    }
}
