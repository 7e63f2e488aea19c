#include "cmd/cli/value.h"

#include <mesh/error.h>

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int value_parse_integer(const char *text, int64_t minimum, int64_t maximum, int64_t *ret_integer)
{
    const char *digits = text[0] == '-' || text[0] == '+' ? text + 1 : text;
    long long integer;
    char *end;

    if (!isdigit((unsigned char)digits[0])) return MESH_EINVAL;
    errno = 0;
    integer = strtoll(text, &end, 10);
    if (errno != 0 || *end != '\0') return MESH_EINVAL;
    if (integer < minimum || integer > maximum) return MESH_EINVAL;
    *ret_integer = integer;
    return 0;
}

/* The power of two that a size suffix stands for, or -1. */
static int size_suffix_shift(const char *suffix)
{
    static const struct {
        char letter;
        int shift;
    } units[] = {{'k', 10}, {'K', 10}, {'M', 20}, {'G', 30}, {'T', 40}};

    if (suffix[0] == '\0' || strcmp(suffix, "B") == 0) return 0;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (suffix[0] == units[i].letter) {
            const char *rest = suffix + 1;
            return rest[0] == '\0' || strcmp(rest, "B") == 0 || strcmp(rest, "iB") == 0 ? units[i].shift : -1;
        }
    return -1;
}

int value_parse_size(const char *text, int64_t minimum, int64_t maximum, int64_t *ret_bytes)
{
    long long number;
    char *end;
    int shift;

    if (!isdigit((unsigned char)text[0])) return MESH_EINVAL;
    errno = 0;
    number = strtoll(text, &end, 10);
    shift = size_suffix_shift(end);
    if (errno != 0 || shift < 0 || number > INT64_MAX >> shift) return MESH_EINVAL;
    number <<= shift;
    if (number < minimum || number > maximum) return MESH_EINVAL;
    *ret_bytes = number;
    return 0;
}

int value_parse_duration(const char *text, int64_t *ret_ms)
{
    static const struct {
        const char *suffix;
        double ms;
    } units[] = {{"", 1e3}, {"ms", 1}, {"s", 1e3}, {"m", 60e3}, {"h", 3600e3}, {"d", 86400e3}};
    double number;
    char *end;

    if (!isdigit((unsigned char)text[0]) || text[strspn(text, "0123456789.")] == 'x') return MESH_EINVAL;
    number = strtod(text, &end);
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (strcmp(end, units[i].suffix) == 0) {
            if (number * units[i].ms > 1e15) return MESH_EINVAL; /* 30,000 years */
            *ret_ms = (int64_t)(number * units[i].ms + 0.5);
            return 0;
        }
    return MESH_EINVAL;
}

/* Reads exactly `digits` decimal digits at *cursor and moves it; -1 when there are fewer. */
static int take_digits(const char **cursor, int digits)
{
    int number = 0;

    for (int i = 0; i < digits; i++) {
        if (!isdigit((unsigned char)**cursor)) return -1;
        number = number * 10 + (*(*cursor)++ - '0');
    }
    return number;
}

static bool take_char(const char **cursor, char wanted)
{
    if (**cursor != wanted) return false;
    (*cursor)++;
    return true;
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return month == 2 && is_leap ? 29 : days[month - 1];
}

/* "hh:mm[:ss[.fff...]]"; the milliseconds apart. */
static int take_clock(const char **cursor, struct tm *tm, int *ret_ms)
{
    int scale = 100, ms = 0;

    tm->tm_hour = take_digits(cursor, 2);
    if (tm->tm_hour < 0 || tm->tm_hour > 23 || !take_char(cursor, ':')) return MESH_EINVAL;
    tm->tm_min = take_digits(cursor, 2);
    if (tm->tm_min < 0 || tm->tm_min > 59) return MESH_EINVAL;
    if (take_char(cursor, ':')) {
        tm->tm_sec = take_digits(cursor, 2);
        if (tm->tm_sec < 0 || tm->tm_sec > 60) return MESH_EINVAL;
        if (take_char(cursor, '.')) {
            if (!isdigit((unsigned char)**cursor)) return MESH_EINVAL;
            for (; isdigit((unsigned char)**cursor); (*cursor)++, scale /= 10)
                ms += (**cursor - '0') * scale;
        }
    }
    *ret_ms = ms;
    return 0;
}

/* "Z", "+hh:mm" or "+hhmm" as seconds east of UTC. */
static int take_zone(const char **cursor, int *ret_seconds)
{
    int sign, hours, minutes;

    if (take_char(cursor, 'Z')) {
        *ret_seconds = 0;
        return 0;
    }
    sign = **cursor == '-' ? -1 : 1;
    if (!take_char(cursor, '+') && !take_char(cursor, '-')) return MESH_EINVAL;
    hours = take_digits(cursor, 2);
    (void)take_char(cursor, ':');
    minutes = take_digits(cursor, 2);
    if (hours < 0 || hours > 14 || minutes < 0 || minutes > 59) return MESH_EINVAL;
    *ret_seconds = sign * (hours * 3600 + minutes * 60);
    return 0;
}

static int parse_date_time(const char *text, int64_t *ret_time_ms)
{
    struct tm tm = {.tm_isdst = -1};
    const char *cursor = text;
    int ms = 0, east = 0;
    bool has_zone = false;
    time_t seconds;

    tm.tm_year = take_digits(&cursor, 4);
    if (tm.tm_year < 1970 || !take_char(&cursor, '-')) return MESH_EINVAL;
    tm.tm_mon = take_digits(&cursor, 2);
    if (tm.tm_mon < 1 || tm.tm_mon > 12 || !take_char(&cursor, '-')) return MESH_EINVAL;
    tm.tm_mday = take_digits(&cursor, 2);
    if (tm.tm_mday < 1 || tm.tm_mday > days_in_month(tm.tm_year, tm.tm_mon)) return MESH_EINVAL;
    if (take_char(&cursor, 'T') || take_char(&cursor, ' ')) {
        if (take_clock(&cursor, &tm, &ms) != 0) return MESH_EINVAL;
        if (*cursor != '\0') {
            if (take_zone(&cursor, &east) != 0) return MESH_EINVAL;
            has_zone = true;
        }
    }
    if (*cursor != '\0') return MESH_EINVAL;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    seconds = has_zone ? timegm(&tm) - east : mktime(&tm);
    *ret_time_ms = (int64_t)seconds * 1000 + ms;
    return 0;
}

int value_parse_time(const char *text, int64_t now_ms, int64_t *ret_time_ms)
{
    int64_t ms;

    if (text[0] == '-') {
        if (value_parse_duration(text + 1, &ms) != 0) return MESH_EINVAL;
        *ret_time_ms = ms < now_ms ? now_ms - ms : 0;
        return 0;
    }
    if (value_parse_integer(text, 0, INT64_MAX, ret_time_ms) == 0) return 0;
    return parse_date_time(text, ret_time_ms);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* The byte that the escape after a backslash stands for, moving *cursor behind it; -1 when there is no such
 * escape. */
static int take_escape(const char **cursor)
{
    char letter = *(*cursor)++;
    int high, low;

    switch (letter) {
    case 't': return '\t';
    case 'n': return '\n';
    case 'r': return '\r';
    case '0': return '\0';
    case '\\': return '\\';
    case 'x':
        high = hex_digit(**cursor);
        if (high < 0) return -1;
        low = hex_digit((*cursor)[1]);
        if (low < 0) return -1;
        *cursor += 2;
        return high * 16 + low;
    default: return -1;
    }
}

int value_parse_bytes(const char *text, uint8_t to[VALUE_BYTES_MAX], size_t *ret_size)
{
    uint8_t bytes[VALUE_BYTES_MAX];
    size_t size = 0;

    while (*text != '\0') {
        int byte = (unsigned char)*text++;
        if (byte == '\\') byte = *text != '\0' ? take_escape(&text) : -1;
        if (byte < 0 || size == VALUE_BYTES_MAX) return MESH_EINVAL;
        bytes[size++] = (uint8_t)byte;
    }
    if (size == 0) return MESH_EINVAL;
    memcpy(to, bytes, size);
    *ret_size = size;
    return 0;
}

int value_parse_partition(const char *text, char *topic, size_t topic_size, int32_t *ret_partition)
{
    const char *slash = strrchr(text, '/');
    size_t size = slash == NULL ? strlen(text) : (size_t)(slash - text);
    int64_t partition = -1;

    if (size == 0 || size >= topic_size) return MESH_EINVAL;
    if (slash != NULL && value_parse_integer(slash + 1, 0, INT32_MAX, &partition) != 0) return MESH_EINVAL;
    memcpy(topic, text, size);
    topic[size] = '\0';
    *ret_partition = (int32_t)partition;
    return 0;
}
