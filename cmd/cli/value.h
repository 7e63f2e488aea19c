/* cli/value.h - reads the values that people type: numbers, sizes, durations, times, escapes.
 *
 * Pure functions over text. Each takes the whole text or nothing: trailing letters, empty texts and numbers
 * out of range are MESH_EINVAL, and the output is then untouched. */
#ifndef CLI_VALUE_H
#define CLI_VALUE_H

#include <stddef.h>
#include <stdint.h>

#define VALUE_BYTES_MAX 16 /* of value_parse_bytes() */

/* A decimal integer with an optional sign. */
int value_parse_integer(const char *text, int64_t minimum, int64_t maximum, int64_t *ret_integer);

/* Bytes: digits, then nothing, B, or k, K, M, G or T with an optional "iB" or "B". Every suffix is a power of
 * 1024. */
int value_parse_size(const char *text, int64_t minimum, int64_t maximum, int64_t *ret_bytes);

/* Milliseconds: a decimal number that may have a fraction, then ms, s, m, h or d; none means seconds. */
int value_parse_duration(const char *text, int64_t *ret_ms);

/* A point in time in milliseconds since 1970-01-01 UTC, from one of
 *   1764000000000              milliseconds since 1970
 *   2026-11-21                 a date, 2026-11-21T21:30, 2026-11-21T21:30:05.250: local time without a zone;
 *                              with Z, +02:00 or -0530 in that zone; a blank may stand for the T
 *   -10m                       a duration before now_ms */
int value_parse_time(const char *text, int64_t now_ms, int64_t *ret_time_ms);

/* TOPIC or TOPIC/NUMBER: the name into `topic` (topic_size bytes), and the number, or -1 without one. Names have no slash. */
int value_parse_partition(const char *text, char *topic, size_t topic_size, int32_t *ret_partition);

/* Text with the escapes \t \n \r \0 \\ and \xHH, as bytes: 1 to VALUE_BYTES_MAX. */
int value_parse_bytes(const char *text, uint8_t to[VALUE_BYTES_MAX], size_t *ret_size);

#endif
