#include "base/uuid.h"

#include "base/error.h"

struct uuid uuid_from_random(const uint8_t random_bytes[UUID_SIZE])
{
    struct uuid uuid;

    memcpy(uuid.bytes, random_bytes, UUID_SIZE);
    uuid.bytes[6] = (uint8_t)((uuid.bytes[6] & 0x0f) | 0x40); /* RFC 9562: version 4 */
    uuid.bytes[8] = (uint8_t)((uuid.bytes[8] & 0x3f) | 0x80); /* RFC 9562: variant 10 */
    return uuid;
}

static bool dash_before(int byte_index)
{
    return byte_index == 4 || byte_index == 6 || byte_index == 8 || byte_index == 10;
}

char *uuid_format(const struct uuid *uuid, char to[UUID_STRING_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    char *at = to;

    for (int i = 0; i < UUID_SIZE; i++) {
        if (dash_before(i)) *at++ = '-';
        *at++ = digits[uuid->bytes[i] >> 4];
        *at++ = digits[uuid->bytes[i] & 15];
    }
    *at = '\0';
    return to;
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

int uuid_parse(const char *text, struct uuid *ret_uuid)
{
    struct uuid uuid;

    for (int i = 0; i < UUID_SIZE; i++) {
        if (dash_before(i) && *text++ != '-') return MESH_EINVAL;
        int high = digit_value(text[0]);
        int low = high < 0 ? -1 : digit_value(text[1]);
        if (low < 0) return MESH_EINVAL;
        uuid.bytes[i] = (uint8_t)(high << 4 | low);
        text += 2;
    }
    if (*text != '\0') return MESH_EINVAL;
    *ret_uuid = uuid;
    return 0;
}
