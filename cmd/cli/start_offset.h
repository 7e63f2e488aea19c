/* cli/start_offset.h - where a consumer starts: "beginning", "end", "offset:N", "offset:-N", "time:T". Pure.
 */
#ifndef CLI_START_OFFSET_H
#define CLI_START_OFFSET_H

#include <stdint.h>

enum start_kind {
    START_BEGINNING,
    START_END,
    START_OFFSET,     /* value: the offset */
    START_BEFORE_END, /* value: how many records before the end, > 0 */
    START_TIME,       /* value: milliseconds since 1970 */
};

struct start_offset {
    enum start_kind kind;
    int64_t value;
};

/* now_ms is for times relative to now. Errors: MESH_EINVAL. */
int start_offset_parse(const char *text, int64_t now_ms, struct start_offset *ret_start);

#endif
