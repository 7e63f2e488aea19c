#include "unit/consensus/raft_rig.h"

#include "base/assert.h"
#include "base/error.h"

#include <string.h>

struct raft_server rig_server(unsigned who)
{
    struct raft_server server;

    memset(&server, 0, sizeof(server));
    server.broker.bytes[0] = (uint8_t)(who + 1);
    server.dir.bytes[0] = (uint8_t)(who + 51);
    return server;
}

static void rig_open(struct rig *rig, uint32_t defects, unsigned learners, const struct raft_recovered *recovered)
{
    struct raft_options options;
    struct raft_config config;
    int err;

    memset(rig, 0, sizeof(*rig));
    memset(&config, 0, sizeof(config));
    rig->now_us = NET_S;
    raft_options_init(&options);
    options.self = rig_server(A);
    options.seed = 5;
    options.chain = net_chain;
    err = raft_new(&options, recovered, rig->now_us, &rig->raft);
    MESH_ASSERT(err == 0);
    for (unsigned i = A; i <= C; i++) config.voters[config.voter_count++] = rig_server(i);
    for (unsigned i = 0; i < learners; i++) config.learners[config.learner_count++] = rig_server(D + i);
    err = raft_bootstrap(rig->raft, rig->now_us, &config, (struct slice){NULL, 0});
    MESH_ASSERT(err == 0);
    (void)defects;
#ifdef MESH_TEST_SWITCHES
    for (unsigned defect = 1; defect < RAFT_DEFECT_COUNT; defect++) {
        if ((defects >> defect & 1) != 0) raft_bring_back(rig->raft, (enum raft_defect)defect);
    }
#endif
    rig_drain(rig);
    rig_stored(rig);
}

void rig_init(struct rig *rig, uint32_t defects, unsigned learners, uint64_t damaged_until)
{
    struct raft_recovered recovered;

    memset(&recovered, 0, sizeof(recovered));
    recovered.damaged_until = damaged_until;
    if (damaged_until != 0) recovered.term = 1; /* it has spoken in it */
    rig_open(rig, defects, learners, &recovered);
}

void rig_init_life(struct rig *rig, uint32_t defects, const struct raft_life *life, const struct raft_claim *past, size_t past_count)
{
    struct raft_recovered recovered;

    memset(&recovered, 0, sizeof(recovered));
    recovered.life = *life;
    recovered.past = past;
    recovered.past_count = past_count;
    rig_open(rig, defects, 0, &recovered);
}

void rig_free(struct rig *rig)
{
    raft_free(rig->raft);
}

void rig_drain(struct rig *rig)
{
    struct raft_output output;

    while (raft_next_output(rig->raft, rig->now_us, &output)) {
        switch (output.type) {
        case RAFT_OUTPUT_SEND:
            MESH_ASSERT(rig->sent_count < RIG_SENT_MAX);
            MESH_ASSERT(message_decode(output.message, &rig->sent[rig->sent_count++]) == 0);
            break;
        case RAFT_OUTPUT_STORE_STATE:
            rig->stored_term = output.term;
            rig->voted_for = output.voted_for;
            rig->damaged_until = output.damaged_until;
            rig->forced_term = output.forced_term;
            rig->store = output.store;
            break;
        case RAFT_OUTPUT_STORE_ENTRIES:
        case RAFT_OUTPUT_STORE_CHUNK: rig->store = output.store; break;
        case RAFT_OUTPUT_COMMIT: rig->committed = output.entries[output.entry_count - 1].index; break;
        default: break;
        }
    }
}

void rig_stored(struct rig *rig)
{
    while (true) { /* what is durable lets more out */
        uint64_t store = rig->store;
        raft_stored(rig->raft, rig->now_us, store);
        rig_drain(rig);
        if (rig->store == store) return;
    }
}

void rig_tick(struct rig *rig, uint64_t us)
{
    rig->now_us += us;
    raft_tick(rig->raft, rig->now_us);
    rig_drain(rig);
}

struct message rig_message(unsigned from, enum message_type type, uint64_t term)
{
    struct message message;

    memset(&message, 0, sizeof(message));
    message.type = type;
    message.from = rig_server(from);
    message.to = rig_server(A);
    message.term = term;
    return message;
}

static void rig_hear_bytes(struct rig *rig, const struct message *message, struct buffer *bytes)
{
    raft_receive(rig->raft, rig->now_us, &message->from, buffer_slice(bytes));
    rig_drain(rig);
    buffer_deinit(bytes);
}

void rig_hear(struct rig *rig, const struct message *message)
{
    struct buffer bytes = BUFFER_INIT;

    MESH_ASSERT(message_encode(message, &bytes) == 0);
    rig_hear_bytes(rig, message, &bytes);
}

void rig_append(struct rig *rig, unsigned from, uint64_t term, uint64_t previous, uint64_t entry_term, unsigned count, uint64_t committed)
{
    struct message message = rig_message(from, MESSAGE_APPEND, term);
    struct buffer bytes = BUFFER_INIT;
    struct raft_entry entries[16], before;

    memset(&before, 0, sizeof(before));
    MESH_ASSERT(count <= 16 && (previous == 0 || raft_get_entry(rig->raft, previous, &before)));
    message.position.index = previous;
    message.position.term = before.term;
    memcpy(message.position.chain, before.chain, RAFT_CHAIN_SIZE);
    memcpy(message.chain, before.chain, RAFT_CHAIN_SIZE);
    message.sequence = rig->now_us;
    message.committed = committed;
    message.entry_count = count;
    for (unsigned i = 0; i < count; i++) {
        entries[i] = (struct raft_entry){.index = previous + i + 1, .term = entry_term, .type = RAFT_ENTRY_COMMAND};
        entries[i].body = slice_of("body", 4);
        net_chain(message.chain, &entries[i], message.chain);
    }
    MESH_ASSERT(message_encode(&message, &bytes) == 0);
    for (unsigned i = 0; i < count; i++) MESH_ASSERT(message_put_entry(&entries[i], &bytes) == 0);
    rig_hear_bytes(rig, &message, &bytes);
}

void rig_befriend(struct rig *rig)
{
    for (unsigned i = B; i <= C; i++) {
        struct message message = rig_message(i, MESSAGE_PRESENCE, 1);
        message.flags = MESSAGE_HEARS_YOU;
        rig_hear(rig, &message);
    }
}

void rig_elect(struct rig *rig, bool noop_commits)
{
    struct message message;
    uint64_t term = rig_status(rig).term + 1;

    while (rig_status(rig).role == RAFT_FOLLOWER) {
        rig_befriend(rig);
        rig_tick(rig, 300 * NET_MS);
    }
    message = rig_message(B, MESSAGE_VOTE_RESPONSE, term);
    message.flags = MESSAGE_PRE_VOTE | MESSAGE_GRANTED;
    rig_hear(rig, &message);
    rig_stored(rig);
    message.flags = MESSAGE_GRANTED;
    rig_hear(rig, &message);
    MESH_ASSERT(rig_status(rig).role == RAFT_LEADER && rig_status(rig).term == term);
    rig_stored(rig);
    if (!noop_commits) return;
    message = rig_message(B, MESSAGE_APPEND_RESPONSE, term);
    message.sequence = 1;
    message.match = message.hint_index = rig_status(rig).last.index;
    rig_hear(rig, &message);
    MESH_ASSERT(rig_status(rig).is_leader_ready);
}

struct raft_status rig_status(const struct rig *rig)
{
    struct raft_status status;

    raft_get_status(rig->raft, &status);
    return status;
}

const struct message *rig_last(const struct rig *rig, enum message_type type)
{
    for (size_t i = rig->sent_count; i > 0; i--) {
        if (rig->sent[i - 1].type == type) return &rig->sent[i - 1];
    }
    return NULL;
}
