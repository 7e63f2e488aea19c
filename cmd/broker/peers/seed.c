/* peers/seed.c - told apart by their looks. */
#include "cmd/broker/peers/seed.h"

#include "base/error.h"
#include "base/net_address.h"

#include <stdio.h>
#include <string.h>

static bool is_numeric(const struct address *address)
{
    char text[ADDRESS_TEXT_SIZE];
    struct net_address numeric;

    return net_address_parse(address_format(address, text), &numeric) == 0;
}

int seed_parse(const char *text, struct seed *ret_seed)
{
    struct seed seed;
    int err = address_parse(slice_of_string(text), &seed.address);

    if (err != 0) return err;
    if (seed.address.port == 0) return MESH_EINVAL; /* nobody can be found at a port that is not known yet */
    seed.kind = seed.address.host[0] == '_' ? SEED_SERVICE : is_numeric(&seed.address) ? SEED_ADDRESS : SEED_HOST;
    *ret_seed = seed;
    return 0;
}

char *seed_format(const struct seed *seed, char to[ADDRESS_TEXT_SIZE])
{
    if (seed->kind != SEED_SERVICE) return address_format(&seed->address, to);
    snprintf(to, ADDRESS_TEXT_SIZE, "%s", seed->address.host);
    return to;
}
