#include "replication/founding/state.h"

#include "base/codec.h"
#include "replication/founding/parts.h"

#define STATE_VERSION 2 /* 1: without stamps */

int founding_server_compare(const struct raft_server *a, const struct raft_server *b)
{
    int order = memcmp(a->broker.bytes, b->broker.bytes, UUID_SIZE);

    return order != 0 ? order : memcmp(a->dir.bytes, b->dir.bytes, UUID_SIZE);
}

int founding_ballot_compare(const struct founding_ballot *a, const struct founding_ballot *b)
{
    if (a->round != b->round) return a->round < b->round ? -1 : 1;
    return a->round == 0 ? 0 : founding_server_compare(&a->proposer, &b->proposer);
}

bool founding_value_equal(const struct founding_value *a, const struct founding_value *b)
{
    if (!uuid_equal(&a->cluster, &b->cluster) || a->founder_count != b->founder_count) return false;
    for (unsigned i = 0; i < a->founder_count; i++)
        if (!raft_server_equal(&a->founders[i], &b->founders[i])) return false;
    return true;
}

bool founding_value_has(const struct founding_value *value, const struct raft_server *server)
{
    for (unsigned i = 0; i < value->founder_count; i++)
        if (raft_server_equal(&value->founders[i], server)) return true;
    return false;
}

unsigned founding_voters(unsigned brokers)
{
    return brokers < 3 ? 1 : brokers < 5 ? 3 : 5;
}

unsigned founding_quorum(unsigned expect, unsigned known)
{
    return expect / 2 + 1 + (known > expect ? known - expect : 0);
}

/* ---- parts of states and messages ---- */

struct raft_server founding_get_server(struct codec_reader *reader)
{
    struct raft_server server = raft_get_server(reader);

    if (uuid_is_zero(&server.broker) || uuid_is_zero(&server.dir)) reader->is_bad = true;
    return server;
}

void founding_put_ballot(struct codec_writer *writer, const struct founding_ballot *ballot)
{
    codec_put_varint(writer, ballot->round);
    if (ballot->round != 0) raft_put_server(writer, &ballot->proposer);
}

struct founding_ballot founding_get_ballot(struct codec_reader *reader)
{
    struct founding_ballot ballot = {.round = codec_get_bounded(reader, FOUNDING_ROUND_MAX)};

    if (ballot.round != 0) ballot.proposer = founding_get_server(reader);
    return ballot;
}

void founding_put_value(struct codec_writer *writer, const struct founding_value *value)
{
    codec_put_uuid(writer, &value->cluster);
    codec_put_varint(writer, value->founder_count);
    for (unsigned i = 0; i < value->founder_count; i++)
        raft_put_server(writer, &value->founders[i]);
}

struct founding_value founding_get_value(struct codec_reader *reader)
{
    struct founding_value value = {.cluster = codec_get_uuid(reader)};

    value.founder_count = (uint8_t)codec_get_bounded(reader, FOUNDING_FOUNDERS_MAX);
    for (unsigned i = 0; i < value.founder_count && !reader->is_bad; i++) {
        value.founders[i] = founding_get_server(reader);
        if (i > 0 && founding_server_compare(&value.founders[i - 1], &value.founders[i]) >= 0) reader->is_bad = true;
    }
    if (uuid_is_zero(&value.cluster)) reader->is_bad = true;
    return value;
}

/* ---- the state ---- */

static bool has_value(const struct founding_state *state)
{
    return state->phase == FOUNDING_MEMBER || state->accepted.round != 0;
}

int founding_state_encode(const struct founding_state *state, struct buffer *to)
{
    struct codec_writer writer = {to, 0};

    codec_put_varint(&writer, STATE_VERSION);
    codec_put_varint(&writer, state->phase);
    codec_put_varint(&writer, state->expect);
    founding_put_ballot(&writer, &state->promised);
    founding_put_ballot(&writer, &state->accepted);
    if (has_value(state)) founding_put_value(&writer, &state->value);
    codec_put_varint(&writer, state->known_count);
    for (size_t i = 0; i < state->known_count; i++) {
        raft_put_server(&writer, &state->known[i]);
        founding_put_stamp(&writer, &state->heard[i]);
    }
    founding_put_stamps(&writer, &state->stamps);
    codec_put_varint(&writer, state->is_set_back);
    return writer.error;
}

/* What no broker writes. */
static bool is_sound(const struct founding_state *state)
{
    if (founding_ballot_compare(&state->accepted, &state->promised) > 0) return false;
    if (state->promised.round != 0 && state->expect == 0) return false;
    if (state->phase == FOUNDING_BLANK && state->promised.round != 0) return false;
    if (state->phase == FOUNDING_PROMISED && state->promised.round == 0) return false;
    if (state->phase == FOUNDING_PROMISED && state->accepted.round != 0 && state->value.founder_count == 0) return false;
    return true;
}

int founding_state_decode(struct slice from, struct founding_state *ret_state)
{
    struct codec_reader reader = codec_reader_of(from);
    struct founding_state state = {.phase = FOUNDING_BLANK};
    uint64_t version = codec_get_varint(&reader);

    if (!reader.is_bad && version > STATE_VERSION) return MESH_EVERSION;
    if (version == 0) return MESH_ECORRUPT;
    state.phase = (enum founding_phase)codec_get_bounded(&reader, FOUNDING_MEMBER);
    state.expect = (uint32_t)codec_get_bounded(&reader, FOUNDING_EXPECT_MAX);
    state.promised = founding_get_ballot(&reader);
    state.accepted = founding_get_ballot(&reader);
    if (!reader.is_bad && has_value(&state)) state.value = founding_get_value(&reader);
    state.known_count = codec_get_bounded(&reader, FOUNDING_SERVERS_MAX - 1);
    for (size_t i = 0; i < state.known_count && !reader.is_bad; i++) {
        state.known[i] = founding_get_server(&reader);
        if (version > 1) state.heard[i] = founding_get_stamp(&reader);
    }
    if (version > 1) {
        state.stamps = founding_get_stamps(&reader);
        state.is_set_back = codec_get_bounded(&reader, 1) != 0;
    }
    if (!codec_reader_is_done(&reader) || !is_sound(&state)) return MESH_ECORRUPT;
    *ret_state = state;
    return 0;
}
