#include "cmd/cli/start_offset.h"

#include "cmd/cli/value.h"

#include <mesh/error.h>

#include <string.h>

int start_offset_parse(const char *text, int64_t now_ms, struct start_offset *ret_start)
{
    struct start_offset start = {START_BEGINNING, 0};

    if (strcmp(text, "beginning") == 0) {
        start.kind = START_BEGINNING;
    } else if (strcmp(text, "end") == 0) {
        start.kind = START_END;
    } else if (strncmp(text, "offset:", 7) == 0) {
        if (value_parse_integer(text + 7, INT64_MIN + 1, INT64_MAX, &start.value) != 0) return MESH_EINVAL;
        start.kind = text[7] == '-' ? START_BEFORE_END : START_OFFSET;
        if (start.kind == START_BEFORE_END) start.value = -start.value;
    } else if (strncmp(text, "time:", 5) == 0) {
        if (value_parse_time(text + 5, now_ms, &start.value) != 0) return MESH_EINVAL;
        start.kind = START_TIME;
    } else {
        return MESH_EINVAL;
    }
    *ret_start = start;
    return 0;
}
