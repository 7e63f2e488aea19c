#include "cmd/cli/listen_option.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>

#define GATEWAY_SCHEME "kafka-gateway://"

static bool has_scheme(const char *text, size_t size)
{
    return size >= strlen(GATEWAY_SCHEME) && memcmp(text, GATEWAY_SCHEME, strlen(GATEWAY_SCHEME)) == 0;
}

static int set_one(char **listen, char **gateway, const char *text, size_t size, const char *where, struct buffer *fault)
{
    bool is_gateway = has_scheme(text, size);
    const char *address = is_gateway ? text + strlen(GATEWAY_SCHEME) : text;
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
    unsigned count[2] = {0, 0};
    size_t size;
    int err = 0;

    for (const char *rest = text; err == 0; rest += size + 1) {
        size = strcspn(rest, ",");
        err = set_one(listen, gateway, rest, size, where, fault);
        if (err == 0 && count[has_scheme(rest, size)]++ > 0) {
            buffer_printf(fault, "%s: '%.200s' names two addresses for one port: the broker listens on one, the gateway on one", where, text);
            return MESH_EINVAL;
        }
        if (rest[size] == '\0') break;
    }
    return err;
}
