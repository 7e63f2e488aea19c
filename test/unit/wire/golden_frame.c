#include "unit/wire/golden_frame.h"

#include <check.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

static void read_line(const char *line, struct buffer *to)
{
    for (const char *at = line; *at != '\0' && *at != '\n' && *at != '#'; at++) {
        unsigned value;
        uint8_t byte;

        if (*at == ' ') continue;
        ck_assert_msg(isxdigit((unsigned char)at[0]) && isxdigit((unsigned char)at[1]), "not a byte: %s",
                      line);
        ck_assert_int_eq(sscanf(at, "%2x", &value), 1);
        byte = (uint8_t)value;
        ck_assert_int_eq(buffer_append(to, &byte, 1), 0);
        at++;
    }
}

void golden_frame_read(const char *name, struct buffer *to)
{
    char path[256], line[512];
    FILE *file;

    snprintf(path, sizeof(path), "test/golden/native/%s.hex", name);
    file = fopen(path, "r");
    ck_assert_msg(file != NULL, "no such file: %s", path);
    while (fgets(line, sizeof(line), file) != NULL)
        read_line(line, to);
    fclose(file);
}
