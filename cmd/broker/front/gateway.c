/* broker/front/gateway.c - see gateway.h. */
#include "cmd/broker/front/gateway.h"

#include "base/address.h"
#include "base/error.h"
#include "base/log.h"
#include "cmd/broker/broker.h"
#include "cmd/broker/front/accept.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_wildcard(const char *host)
{
    return *host == '\0' || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

/* What the options say of the address, without asking any resolver: clients will. */
static int advertise(struct gateway *gateway, const char *text)
{
    const char *colon = strrchr(text, ':');
    bool has_port = colon != NULL && strchr(colon, ']') == NULL;
    struct address address;

    if (address_parse(slice_of_string(text), &address) != 0 || (has_port && address.port == 0) || is_wildcard(address.host)) {
        log_error("cannot advertise the gateway as \"%s\": write HOST or HOST:PORT, as clients reach it", text);
        return MESH_EINVAL;
    }
    free(gateway->host);
    gateway->host = strdup(address.host);
    if (has_port) gateway->port = address.port;
    return gateway->host == NULL ? MESH_ENOMEM : 0;
}

static int bind_sockets(struct gateway *gateway, const struct broker_options *options, int port_fd)
{
    char message[ACCEPT_MESSAGE_SIZE] = "";
    int err = accept_bind(options->gateway_listen, gateway->count, gateway->fds, &gateway->host, &gateway->port, message);

    if (err != 0) {
        log_error("the Kafka gateway: %s", message);
        gateway->count = 0; /* none of them is bound */
        return err;
    }
    if (accept_is_same_port(port_fd, gateway->fds[0])) {
        log_error("the Kafka gateway needs a port of its own: %u is the broker's", gateway->port);
        return MESH_EINVAL;
    }
    if (options->gateway_advertise != NULL) return advertise(gateway, options->gateway_advertise);
    if (is_wildcard(gateway->host)) {
        free(gateway->host);
        gateway->host = NULL;
    }
    return 0;
}

int gateway_open(const struct broker_options *options, uint32_t shard_count, int port_fd, struct gateway **ret_gateway)
{
    struct gateway *gateway;
    int err = MESH_ENOMEM;

    *ret_gateway = NULL;
    if (options->gateway_listen == NULL) {
        if (options->gateway_advertise == NULL) return 0;
        log_error("there is no Kafka gateway to be advertised: add --listen kafka-gateway://HOST:PORT");
        return MESH_EINVAL;
    }
    gateway = calloc(1, sizeof(*gateway));
    if (gateway == NULL) return err;
    gateway->count = shard_count;
    gateway->fds = calloc(shard_count, sizeof(*gateway->fds));
    if (gateway->fds == NULL) gateway->count = 0;
    else err = bind_sockets(gateway, options, port_fd);
    if (err == 0) *ret_gateway = gateway;
    else gateway_free(gateway);
    return err;
}

int gateway_name(struct gateway *gateway, const char *advertised_host)
{
    if (gateway->host == NULL) gateway->host = strdup(advertised_host);
    return gateway->host == NULL ? MESH_ENOMEM : 0;
}

int gateway_take(struct gateway *gateway, uint32_t shard)
{
    int fd = -1;

    if (gateway == NULL) return fd;
    fd = gateway->fds[shard];
    gateway->fds[shard] = -1;
    return fd;
}

void gateway_free(struct gateway *gateway)
{
    if (gateway == NULL) return;
    for (uint32_t i = 0; i < gateway->count; i++)
        if (gateway->fds[i] >= 0) close(gateway->fds[i]);
    free(gateway->fds);
    free(gateway->host);
    free(gateway);
}

bool gateway_lets_in(enum sniff verdict)
{
    return verdict == SNIFF_MORE || verdict == SNIFF_KAFKA || verdict == SNIFF_TLS;
}
