/* Fuzzes what a server of consensus does with messages of other members, whatever they say: it stays whole, its term never falls,
 * what is committed never does, and what it says can be read.
 *
 * The input is a list of events: kind (1 byte), size (2 bytes, little endian), and for a message that many bytes.
 * Server 0 of four is played: it votes with 1 and 2; 3 learns. */
#include "base/assert.h"
#include "base/bytes.h"
#include "replication/consensus/message.h"
#include "replication/consensus/raft.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum event { EVENT_MESSAGE, EVENT_TICK, EVENT_STORED, EVENT_PROPOSE, EVENT_KINDS };

static struct raft_server server(unsigned i)
{
    struct raft_server made;

    memset(&made, 0, sizeof(made));
    made.broker.bytes[0] = (uint8_t)(i + 1);
    made.dir.bytes[0] = (uint8_t)(i + 101);
    return made;
}

static void chain(const uint8_t previous[RAFT_CHAIN_SIZE], const struct raft_entry *entry, uint8_t ret_chain[RAFT_CHAIN_SIZE])
{
    uint64_t mix = entry->index * 0x9e3779b97f4a7c15u ^ entry->term * 0xbf58476d1ce4e5b9u ^ (uint64_t)entry->type << 56, lanes[4];

    memcpy(lanes, previous, sizeof(lanes));
    for (size_t i = 0; i < entry->body.size; i++) mix = (mix ^ entry->body.data[i]) * 0x100000001b3u;
    for (int i = 0; i < 4; i++) {
        lanes[i] = (lanes[i] ^ mix) * 0x94d049bb133111ebu + lanes[(i + 1) & 3] + 1;
        lanes[i] ^= lanes[i] >> 29;
    }
    memcpy(ret_chain, lanes, sizeof(lanes));
}

static uint64_t drain(struct raft *raft, uint64_t now_us, uint64_t store)
{
    struct raft_output output;
    struct message message;
    uint64_t last = 0;

    while (raft_next_output(raft, now_us, &output)) {
        if (output.type == RAFT_OUTPUT_SEND) MESH_ASSERT(message_decode(output.message, &message) == 0);
        if (output.store != 0) {
            MESH_ASSERT(output.store > store);
            store = output.store;
        }
        if (output.type == RAFT_OUTPUT_SNAPSHOT_READ) {
            struct raft_server to = output.to;
            raft_snapshot_bytes(raft, now_us, &to, output.index, output.offset, slice_of("snapshot", 8), 8 + output.offset, 0);
        }
        for (size_t i = 0; i < output.entry_count && output.type == RAFT_OUTPUT_COMMIT; i++) {
            MESH_ASSERT(output.entries[i].index > last);
            last = output.entries[i].index;
        }
    }
    return store;
}

static void play(struct raft *raft, const uint8_t *data, size_t size)
{
    uint64_t now_us = 1000000, store = drain(raft, now_us, 0), index, term;
    struct raft_status before, after;
    struct message message;

    while (size >= 3) {
        enum event event = (enum event)(data[0] % EVENT_KINDS);
        size_t length = le_load16(data + 1);
        data += 3, size -= 3;
        raft_get_status(raft, &before);
        switch (event) {
        case EVENT_MESSAGE:
            if (length > size) length = size;
            if (message_decode(slice_of(data, length), &message) != 0) message.from = server(1);
            raft_receive(raft, now_us, &message.from, slice_of(data, length));
            data += length, size -= length;
            break;
        case EVENT_TICK:
            now_us += length * 1000;
            raft_tick(raft, now_us);
            break;
        case EVENT_STORED: raft_stored(raft, now_us, store); break;
        default: (void)raft_propose(raft, now_us, slice_of("proposed", 8), &index, &term);
        }
        store = drain(raft, now_us, store);
        raft_get_status(raft, &after);
        MESH_ASSERT(after.term >= before.term && after.committed.index >= before.committed.index);
        MESH_ASSERT(after.last.index >= after.committed.index && after.durable_index <= after.last.index);
    }
}

static void play_life(const uint8_t *data, size_t size, struct raft_life life)
{
    static const struct raft_claim past = {{1, 1}, 1, true, 1};
    struct raft_recovered recovered;
    struct raft_options options;
    struct raft_config config;
    struct raft *raft;

    memset(&recovered, 0, sizeof(recovered));
    memset(&config, 0, sizeof(config));
    recovered.life = life;
    recovered.past = &past;
    recovered.past_count = 1;
    raft_options_init(&options);
    options.self = server(0);
    options.chain = chain;
    options.retained_bytes_max = 500;
    for (unsigned i = 0; i < 3; i++) config.voters[config.voter_count++] = server(i);
    config.learners[config.learner_count++] = server(3);
    if (raft_new(&options, &recovered, 1000000, &raft) != 0) return;
    if (raft_bootstrap(raft, 1000000, &config, slice_of("first", 5)) == 0) play(raft, data, size);
    raft_free(raft);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    play_life(data, size, (struct raft_life){0, 0});
    play_life(data, size, (struct raft_life){2, 2}); /* the same, compared with what others know of its disk */
    return 0;
}
