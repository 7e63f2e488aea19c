/* Fuzzes the messages of the founding, and what a broker does with them. The first byte says whose words the pieces are and how willing
 * the disk is; then: 2 bytes size, a message of a peer, and so on. What must hold: whatever can be read can be written and read again; the state moves
 * forward only; nobody is in a mesh that it was not told of, or did not find a quorum for; what is said can be read. */
#include "base/assert.h"
#include "base/bytes.h"
#include "replication/founding/founding.h"
#include "replication/founding/message.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct founding_message message, again;

static void check_codec(struct slice bytes)
{
    struct buffer written = BUFFER_INIT;
    struct founding_state state, state_again;

    if (founding_message_decode(bytes, &message) == 0) {
        MESH_ASSERT(founding_message_encode(&message, &written) == 0);
        MESH_ASSERT(founding_message_decode(buffer_slice(&written), &again) == 0);
    }
    buffer_clear(&written);
    if (founding_state_decode(bytes, &state) == 0) {
        MESH_ASSERT(founding_state_encode(&state, &written) == 0);
        MESH_ASSERT(founding_state_decode(buffer_slice(&written), &state_again) == 0);
        MESH_ASSERT(state_again.phase == state.phase && founding_value_equal(&state.value, &state_again.value));
    }
    buffer_deinit(&written);
}

static void drain(struct founding *founding, uint64_t now_us, bool is_disk_good)
{
    struct founding_output output;
    uint64_t store;

    do {
        store = 0;
        while (founding_next_output(founding, now_us, &output)) {
            if (output.type == FOUNDING_OUTPUT_SEND) MESH_ASSERT(founding_message_decode(output.message, &again) == 0);
            if (output.type == FOUNDING_OUTPUT_STORE) store = output.store;
        }
        if (store != 0 && is_disk_good) founding_stored(founding, now_us, store);
    } while (store != 0 && is_disk_good);
}

static void check_forward(const struct founding_state *before, const struct founding_state *after)
{
    MESH_ASSERT(after->phase >= before->phase);
    if (before->phase == FOUNDING_MEMBER) MESH_ASSERT(uuid_equal(&before->value.cluster, &after->value.cluster));
    MESH_ASSERT(founding_ballot_compare(&after->promised, &before->promised) >= 0);
}

static void feed(struct founding *founding, uint64_t now_us, struct slice piece, bool is_disk_good)
{
    static const struct net_address source = {{1, 2, 3, 4}, 5};
    const struct founding_state before = *founding_get_state(founding);
    struct uuid from = {{0}};

    check_codec(piece);
    if (founding_message_decode(piece, &message) == 0) from = message.sender.broker;
    founding_receive(founding, now_us, &from, &source, piece);
    drain(founding, now_us, is_disk_good);
    founding_tick(founding, now_us);
    drain(founding, now_us, is_disk_good);
    check_forward(&before, founding_get_state(founding));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct founding_options options;
    struct founding *founding;
    size_t at = 1;

    check_codec(slice_of(data, size));
    if (size == 0) return 0;
    founding_options_init(&options);
    options.self = (struct raft_server){{{0x77}}, {{0x78}}};
    options.fresh_cluster = (struct uuid){{0x79}};
    options.expect = data[0] & 7;
    options.keeps_marker = data[0] & 8;
    MESH_ASSERT(founding_new(&options, NULL, 1000000, &founding) == 0);
    for (uint64_t piece = 0; piece < 64 && at + 2 <= size; piece++) {
        size_t piece_size = le_load16(data + at);
        uint8_t *copy;
        at += 2;
        if (piece_size > size - at) piece_size = size - at;
        copy = malloc(piece_size > 0 ? piece_size : 1); /* exact size, so that a sanitizer sees reads past the end */
        if (copy == NULL) abort();
        memcpy(copy, data + at, piece_size);
        feed(founding, 1000000 + piece * 700000, slice_of(copy, piece_size), !(data[0] & 16));
        free(copy);
        at += piece_size;
    }
    founding_free(founding);
    return 0;
}
