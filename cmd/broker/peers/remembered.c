#include "cmd/broker/peers/remembered.h"

#include "base/assert.h"
#include "base/error.h"
#include "base/fs_whole.h"

#include <string.h>

#define HEAD       "mesh members "
#define VERSION    "1\n"
#define BYTES_MAX  (64u << 10)
#define TEMPORARY  REMEMBERED_PATH ".new"

static int take_head(struct slice *text)
{
    size_t head = strlen(HEAD), version = strlen(VERSION);

    if (text->size < head || memcmp(text->data, HEAD, head) != 0) return MESH_ECORRUPT;
    if (text->size < head + version || memcmp(text->data + head, VERSION, version) != 0) return MESH_EVERSION;
    *text = slice_of(text->data + head + version, text->size - head - version);
    return 0;
}

/* The next line, without its end; false when there is none. */
static bool take_line(struct slice *text, char to[NET_ADDRESS_STRING_SIZE])
{
    const uint8_t *end = text->size == 0 ? NULL : memchr(text->data, '\n', text->size);
    size_t size = end == NULL ? text->size : (size_t)(end - text->data);

    if (text->size == 0) return false;
    to[0] = '\0';
    if (size < NET_ADDRESS_STRING_SIZE && memchr(text->data, '\0', size) == NULL) {
        memcpy(to, text->data, size);
        to[size] = '\0';
    }
    size += end != NULL;
    *text = slice_of(text->data + size, text->size - size);
    return true;
}

int remembered_read(struct fs *fs, struct net_address to[REMEMBERED_MAX], size_t *ret_count)
{
    struct buffer bytes = BUFFER_INIT;
    char line[NET_ADDRESS_STRING_SIZE];
    struct slice text;
    int err = fs_read_whole(fs, REMEMBERED_PATH, BYTES_MAX, &bytes);

    *ret_count = 0;
    text = buffer_slice(&bytes);
    if (err == 0) err = take_head(&text);
    while (err == 0 && *ret_count < REMEMBERED_MAX && take_line(&text, line)) {
        struct net_address address;

        if (net_address_parse(line, &address) == 0 && address.port != 0 && !net_address_is_wildcard(&address))
            to[(*ret_count)++] = address;
    }
    buffer_deinit(&bytes);
    return err;
}

int remembered_write(struct fs *fs, const struct net_address *addresses, size_t count)
{
    struct buffer text = BUFFER_INIT;
    int err = buffer_append_string(&text, HEAD VERSION);

    MESH_ASSERT(count <= REMEMBERED_MAX);
    for (size_t i = 0; i < count && err == 0; i++) {
        char line[NET_ADDRESS_STRING_SIZE];

        err = buffer_printf(&text, "%s\n", net_address_format(&addresses[i], line));
    }
    if (err == 0) err = fs_replace(fs, ".", REMEMBERED_PATH, TEMPORARY, buffer_slice(&text));
    buffer_deinit(&text);
    return err;
}
