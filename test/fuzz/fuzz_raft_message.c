/* Fuzzes what a server of consensus does with messages of other members, whatever they say: it stays whole, its term never falls,
 * what is committed never does, and what it says can be read.
 *
 * The input is a list of events: kind (1 byte), a number (2 bytes, little endian: the size, the time, the servers that are meant), and
 * for a message that many bytes. Server 0 of four is played: it votes with 1 and 2; 3 learns. The driver may be told to do anything
 * that a driver may, at any time; only the others lie. */
#include "base/assert.h"
#include "base/bytes.h"
#include "replication/consensus/message.h"
#include "replication/consensus/raft.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum event {
    EVENT_MESSAGE,
    EVENT_TICK,
    EVENT_STORED,
    EVENT_PROPOSE,
    EVENT_COMPACT,
    EVENT_READ,
    EVENT_TRANSFER,
    EVENT_GONE,
    EVENT_CHANGE,
    EVENT_REFUSE,
    EVENT_KINDS
};

/* The server, and what its driver knows. */
struct player {
    struct raft *raft;
    uint64_t now_us;
    uint64_t store;     /* the newest that was given out */
    bool is_chunk;      /* it is a chunk of a snapshot */
    uint64_t delivered; /* the last index of a COMMIT or RESTORE */
};

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

static void note_store(struct player *player, const struct raft_output *output)
{
    if (output->store == 0) return;
    MESH_ASSERT(output->store > player->store);
    player->store = output->store;
    player->is_chunk = output->type == RAFT_OUTPUT_STORE_CHUNK;
}

static void note_delivered(struct player *player, const struct raft_output *output)
{
    if (output->type == RAFT_OUTPUT_RESTORE) {
        MESH_ASSERT(output->position.index > player->delivered);
        player->delivered = output->position.index;
    }
    for (size_t i = 0; i < output->entry_count && output->type == RAFT_OUTPUT_COMMIT; i++) {
        MESH_ASSERT(output->entries[i].index == player->delivered + 1);
        player->delivered++;
    }
}

static void drain(struct player *player)
{
    struct raft_output output;
    struct message message;

    while (raft_next_output(player->raft, player->now_us, &output)) {
        if (output.type == RAFT_OUTPUT_SEND) MESH_ASSERT(message_decode(output.message, &message) == 0);
        if (output.type == RAFT_OUTPUT_SNAPSHOT_READ) {
            struct raft_server to = output.to;
            raft_snapshot_bytes(player->raft, player->now_us, &to, output.index, output.offset, slice_of("snapshot", 8), 8 + output.offset, 0);
        }
        note_store(player, &output);
        note_delivered(player, &output);
    }
}

/* Returns how many bytes behind the event belong to it. */
static size_t play_message(struct player *player, const uint8_t *data, size_t size)
{
    struct message message;

    if (message_decode(slice_of(data, size), &message) != 0) message.from = server(1);
    raft_receive(player->raft, player->now_us, &message.from, slice_of(data, size));
    return size;
}

/* Two bits of the number for each server: voter, learner, neither. */
static void play_change(struct player *player, unsigned number)
{
    struct raft_config config;

    memset(&config, 0, sizeof(config));
    for (unsigned i = 0; i < 6; i++, number >>= 2) {
        if ((number & 3) == 1) config.voters[config.voter_count++] = server(i);
        if ((number & 3) == 2) config.learners[config.learner_count++] = server(i);
    }
    (void)raft_change_config(player->raft, player->now_us, &config);
}

static void play_driver(struct player *player, enum event event, unsigned number)
{
    struct raft_server other = server(number & 3);
    uint64_t index, term;

    switch (event) {
    case EVENT_TICK:
        player->now_us += number * UINT64_C(1000);
        raft_tick(player->raft, player->now_us);
        break;
    case EVENT_STORED: raft_stored(player->raft, player->now_us, player->store); break;
    case EVENT_PROPOSE: (void)raft_propose(player->raft, player->now_us, slice_of("proposed", 8), &index, &term); break;
    case EVENT_COMPACT: raft_compact(player->raft, player->now_us, player->delivered); break;
    case EVENT_READ: (void)raft_read(player->raft, player->now_us, number); break;
    case EVENT_TRANSFER: (void)raft_transfer(player->raft, player->now_us, &other); break;
    case EVENT_GONE: raft_server_gone(player->raft, player->now_us, &other); break;
    case EVENT_CHANGE: play_change(player, number); break;
    case EVENT_REFUSE:
        if (player->is_chunk) raft_chunk_refused(player->raft, player->now_us, player->store);
        break;
    default: break;
    }
}

static void play(struct raft *raft, const uint8_t *data, size_t size)
{
    struct player player = {.raft = raft, .now_us = 1000000};
    struct raft_status before, after;

    drain(&player);
    while (size >= 3) {
        enum event event = (enum event)(data[0] % EVENT_KINDS);
        size_t number = le_load16(data + 1), used = 0;
        data += 3, size -= 3;
        raft_get_status(raft, &before);
        if (event == EVENT_MESSAGE) {
            used = play_message(&player, data, number < size ? number : size);
        } else {
            play_driver(&player, event, (unsigned)number);
        }
        data += used, size -= used;
        drain(&player);
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
