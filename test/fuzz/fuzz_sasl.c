/* Fuzzes the broker's side of a login: byte 0 chooses the mechanism, then come tokens, each behind its size in two bytes. Whatever is sent, nobody
 * is let in: the verifier's password is not in any input. */
#include "sasl/sasl_server.h"

#include "base/assert.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void step(struct sasl_server *server, struct slice token)
{
    static const uint8_t secret[32] = {2};
    struct scram_verifier verifier;
    struct buffer reply = BUFFER_INIT;
    enum sasl_step next = sasl_server_step(server, token, &reply);

    MESH_ASSERT(next != SASL_DONE && reply.size == 0);
    if (next == SASL_LOOK_UP || next == SASL_CHECK) {
        size_t length = strnlen(server->name, sizeof(server->name));

        MESH_ASSERT(length > 0 && length <= SASL_NAME_SIZE_MAX);
        MESH_ASSERT(server->password_size <= SCRAM_PASSWORD_SIZE_MAX && strlen(server->password) == server->password_size);
    }
    if (next == SASL_LOOK_UP) {
        scram_verifier_fake(sasl_mechanism_hash(server->mechanism), secret, slice_of_string(server->name), &verifier);
        MESH_ASSERT(sasl_server_challenge(server, &verifier, "ours", &reply) == 0);
        MESH_ASSERT(reply.size > 0);
    }
    buffer_deinit(&reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sasl_server server;
    size_t at = 1;

    if (size < 1) return 0;
    sasl_server_init(&server, (enum sasl_mechanism)(data[0] % SASL_MECHANISM_COUNT));
    while (size - at >= 2) {
        size_t token_size = (size_t)(data[at] << 8 | data[at + 1]);

        at += 2;
        if (token_size > size - at) token_size = size - at;
        step(&server, slice_of(data + at, token_size));
        at += token_size;
    }
    sasl_server_deinit(&server);
    return 0;
}
