#include "cmd/cli/listen_option.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>

#define GATEWAY_SCHEME "kafka-gateway://"

static int set_one(char **listen, char **gateway, const char *text, size_t size, const char *where, struct buffer *fault)
{
    size_t scheme_size = strlen(GATEWAY_SCHEME);
    bool is_gateway = size >= scheme_size && memcmp(text, GATEWAY_SCHEME, scheme_size) == 0;
    const char *address = is_gateway ? text + scheme_size : text;
    size_t address_size = size - (size_t)(address - text);
    char **to = is_gateway ? gateway : listen, *copy;

    if (address_size == 0 || memmem(address, address_size, "://", 3) != NULL) {
        buffer_printf(fault, "%s: '%.*s' is nothing to listen on: write HOST:PORT, or " GATEWAY_SCHEME "HOST:PORT", where, (int)(size < 200 ? size : 200), text);
        return MESH_EINVAL;
    }
    copy = strndup(address, address_size);
    if (copy == NULL) return MESH_ENOMEM;
    free(*to);
    *to = copy;
    return 0;
}

int listen_option_set(char **listen, char **gateway, const char *text, const char *where, struct buffer *fault)
{
    int err;

    for (const char *comma; (comma = strchr(text, ',')) != NULL; text = comma + 1) {
        err = set_one(listen, gateway, text, (size_t)(comma - text), where, fault);
        if (err != 0) return err;
    }
    return set_one(listen, gateway, text, strlen(text), where, fault);
}
