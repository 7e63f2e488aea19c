/* metadata/message.c - messages of metadata nodes as bytes. One type byte, then the fields in the order of PROTOCOL.md. */
#include "replication/metadata/message.h"

#include "replication/consensus/config_codec.h"
#include "replication/consensus/entry_codec.h"

#define RECOVER_BYTES_MAX (64u << 10) /* of one of its messages */

static void put_bytes(struct codec_writer *writer, struct slice bytes)
{
    codec_put_varint(writer, bytes.size);
    if (bytes.size != 0) codec_put_raw(writer, bytes.data, bytes.size);
}

static struct slice get_bytes(struct codec_reader *reader, size_t max)
{
    return codec_get_raw(reader, (size_t)codec_get_bounded(reader, max));
}

/* ---- each type: write and read side by side ---- */

static void put_hint(struct codec_writer *writer, const struct node_message *message)
{
    codec_put_varint(writer, message->term);
    raft_put_server(writer, &message->leader);
}

static void get_hint(struct codec_reader *reader, struct node_message *message)
{
    message->term = codec_get_varint(reader);
    message->leader = raft_get_server(reader);
}

static void put_standing(struct codec_writer *writer, const struct node_message *message)
{
    codec_put_varint(writer, message->serial);
    codec_put_varint(writer, message->depth);
    codec_put_varint(writer, message->committed);
}

static void get_standing(struct codec_reader *reader, struct node_message *message)
{
    message->serial = codec_get_varint(reader);
    message->depth = (uint32_t)codec_get_bounded(reader, NODE_DEPTH_ADRIFT);
    message->committed = codec_get_varint(reader);
}

static void put_chunk(struct codec_writer *writer, const struct node_message *message)
{
    struct buffer config = BUFFER_INIT;

    codec_put_varint(writer, message->serial);
    codec_put_varint(writer, message->position.index);
    codec_put_varint(writer, message->position.term);
    codec_put_raw(writer, message->position.chain, RAFT_CHAIN_SIZE);
    codec_put_varint(writer, message->offset);
    codec_put_varint(writer, message->total);
    if (writer->error == 0) writer->error = raft_config_encode(&config, &message->config);
    put_bytes(writer, buffer_slice(&config));
    put_bytes(writer, message->bytes);
    buffer_deinit(&config);
}

static void get_chunk(struct codec_reader *reader, struct node_message *message)
{
    struct slice config;

    message->serial = codec_get_varint(reader);
    message->position.index = codec_get_varint(reader);
    message->position.term = codec_get_varint(reader);
    raft_get_chain(reader, message->position.chain);
    message->offset = codec_get_varint(reader);
    message->total = codec_get_varint(reader);
    config = get_bytes(reader, RAFT_CONFIG_BYTES_MAX);
    message->bytes = get_bytes(reader, NODE_MESSAGE_MAX);
    if (reader->is_bad || raft_config_decode(config, &message->config) != 0 || message->position.index == 0 ||
        message->offset > message->total || message->bytes.size > message->total - message->offset)
        reader->is_bad = true;
}

static void put_turned_away(struct codec_writer *writer, const struct node_message *message)
{
    codec_put_varint(writer, message->serial);
    codec_put_varint(writer, message->refusal);
    codec_put_varint(writer, message->position.index);
    codec_put_raw(writer, message->position.chain, RAFT_CHAIN_SIZE);
    codec_put_varint(writer, message->suggestion_count);
    for (size_t i = 0; i < message->suggestion_count; i++)
        codec_put_uuid(writer, &message->suggestions[i]);
}

static void get_turned_away(struct codec_reader *reader, struct node_message *message)
{
    message->serial = codec_get_varint(reader);
    message->refusal = (enum node_refusal)codec_get_bounded(reader, NODE_REFUSAL_BROKEN);
    message->position.index = codec_get_varint(reader);
    raft_get_chain(reader, message->position.chain);
    message->suggestion_count = (size_t)codec_get_bounded(reader, NODE_SUGGESTIONS_MAX);
    for (size_t i = 0; i < message->suggestion_count; i++)
        message->suggestions[i] = codec_get_uuid(reader);
    if (message->refusal == 0) reader->is_bad = true;
}

static void put_heartbeat(struct codec_writer *writer, const struct node_message *message)
{
    codec_put_varint(writer, message->boot);
    codec_put_varint(writer, message->applied);
    codec_put_varint(writer, message->flags);
    codec_put_varint(writer, message->load.disk_free_bytes);
    codec_put_varint(writer, message->load.disk_size_bytes);
    codec_put_varint(writer, message->load.bytes_per_s);
    codec_put_varint(writer, message->load.health);
}

static void get_heartbeat(struct codec_reader *reader, struct node_message *message)
{
    message->boot = codec_get_varint(reader);
    message->applied = codec_get_varint(reader);
    message->flags = (uint32_t)codec_get_bounded(reader, UINT32_MAX);
    message->load.disk_free_bytes = codec_get_varint(reader);
    message->load.disk_size_bytes = codec_get_varint(reader);
    message->load.bytes_per_s = codec_get_varint(reader);
    message->load.health = (uint32_t)codec_get_bounded(reader, UINT32_MAX);
}

static void put_request(struct codec_writer *writer, const struct node_message *message)
{
    codec_put_varint(writer, message->boot);
    codec_put_varint(writer, message->sequence);
    codec_put_varint(writer, message->sequence - message->oldest);
    codec_put_varint(writer, message->term);
    codec_put_varint(writer, message->op);
    put_bytes(writer, message->bytes);
}

static void get_request(struct codec_reader *reader, struct node_message *message)
{
    message->boot = codec_get_varint(reader);
    message->sequence = codec_get_varint(reader);
    message->oldest = message->sequence - codec_get_bounded(reader, NODE_REQUEST_WINDOW - 1);
    message->term = codec_get_varint(reader);
    message->op = (uint16_t)codec_get_bounded(reader, UINT16_MAX);
    message->bytes = get_bytes(reader, NODE_REQUEST_BODY_MAX);
}

static void put_answer(struct codec_writer *writer, const struct node_message *message)
{
    codec_put_varint(writer, message->boot);
    codec_put_varint(writer, message->sequence);
    codec_put_varint(writer, message->verdict);
    put_hint(writer, message);
    codec_put_zigzag(writer, message->error);
    codec_put_varint(writer, message->index);
    codec_put_uuid(writer, &message->topic_id);
    codec_put_zigzag(writer, message->first_id);
    codec_put_varint(writer, message->id_count);
    put_bytes(writer, message->bytes);
    put_bytes(writer, message->result);
}

static void get_answer(struct codec_reader *reader, struct node_message *message)
{
    message->boot = codec_get_varint(reader);
    message->sequence = codec_get_varint(reader);
    message->verdict = (enum node_verdict)codec_get_bounded(reader, NODE_VERDICT_BUSY);
    get_hint(reader, message);
    message->error = codec_get_int32(reader);
    message->index = codec_get_varint(reader);
    message->topic_id = codec_get_uuid(reader);
    message->first_id = codec_get_zigzag(reader);
    message->id_count = (uint32_t)codec_get_bounded(reader, NODE_PRODUCER_IDS_MAX);
    message->bytes = codec_get_string(reader, NODE_TEXT_SIZE - 1);
    message->result = codec_get_raw(reader, (size_t)codec_get_bounded(reader, NODE_RESULT_MAX));
    if (message->verdict == 0 || message->error > 0) reader->is_bad = true;
}

/* ---- all ---- */

static void put_fields(struct codec_writer *writer, const struct node_message *message)
{
    switch (message->type) {
    case NODE_MESSAGE_HERE:
        put_hint(writer, message);
        codec_put_varint(writer, message->depth);
        codec_put_varint(writer, message->committed);
        return;
    case NODE_MESSAGE_PULL:
        codec_put_varint(writer, message->serial);
        codec_put_varint(writer, message->position.index);
        codec_put_raw(writer, message->position.chain, RAFT_CHAIN_SIZE);
        return;
    case NODE_MESSAGE_ENTRIES: return; /* node_entries_*() */
    case NODE_MESSAGE_CHUNK: put_chunk(writer, message); return;
    case NODE_MESSAGE_PULL_CHUNK:
        codec_put_varint(writer, message->serial);
        codec_put_varint(writer, message->position.index);
        codec_put_varint(writer, message->offset);
        return;
    case NODE_MESSAGE_TURNED_AWAY: put_turned_away(writer, message); return;
    case NODE_MESSAGE_HEARTBEAT: put_heartbeat(writer, message); return;
    case NODE_MESSAGE_PULSE:
        put_hint(writer, message);
        codec_put_varint(writer, message->committed);
        codec_put_varint(writer, message->is_coordinator);
        return;
    case NODE_MESSAGE_REQUEST: put_request(writer, message); return;
    case NODE_MESSAGE_ANSWER: put_answer(writer, message); return;
    case NODE_MESSAGE_STANDING: put_standing(writer, message); return;
    case NODE_MESSAGE_RECOVER: put_bytes(writer, message->bytes); return;
    case NODE_MESSAGE_REMOVED:
        codec_put_varint(writer, message->history);
        codec_put_varint(writer, message->committed);
        return;
    }
}

static int start(struct buffer *to, uint8_t type, struct codec_writer *writer)
{
    *writer = (struct codec_writer){.to = to};
    codec_put_raw(writer, &type, 1);
    return writer->error;
}

int node_message_encode(struct buffer *to, const struct node_message *message)
{
    size_t size = to->size;
    struct codec_writer writer;

    start(to, (uint8_t)message->type, &writer);
    put_fields(&writer, message);
    if (writer.error != 0) to->size = size;
    return writer.error;
}

int node_entries_begin(struct buffer *to, const struct node_message *message)
{
    size_t size = to->size;
    struct codec_writer writer;

    start(to, NODE_MESSAGE_ENTRIES, &writer);
    put_standing(&writer, message);
    codec_put_varint(&writer, message->first_index);
    if (writer.error != 0) to->size = size;
    return writer.error;
}

int node_entries_add(struct buffer *to, const struct raft_entry *entry)
{
    size_t size = to->size;
    struct codec_writer writer = {.to = to};

    codec_put_varint(&writer, entry->term);
    codec_put_varint(&writer, (uint64_t)entry->type);
    put_bytes(&writer, entry->body);
    if (writer.error != 0) to->size = size;
    return writer.error;
}

int node_entries_end(struct buffer *to, const uint8_t chain[RAFT_CHAIN_SIZE])
{
    return buffer_append(to, chain, RAFT_CHAIN_SIZE);
}

static bool get_entry(struct codec_reader *reader, struct raft_entry *ret_entry)
{
    ret_entry->term = codec_get_varint(reader);
    ret_entry->type = (enum raft_entry_type)codec_get_bounded(reader, RAFT_ENTRY_COMMAND);
    ret_entry->body = get_bytes(reader, RAFT_BODY_SIZE_MAX);
    return !reader->is_bad && ret_entry->type != 0 && ret_entry->term != 0;
}

bool node_entry_next(struct slice *entries, struct raft_entry *ret_entry)
{
    struct codec_reader reader = codec_reader_of(*entries);

    if (entries->size == 0 || !get_entry(&reader, ret_entry)) return false;
    *entries = slice_of(reader.at, (size_t)(reader.end - reader.at));
    return true;
}

static void get_entries(struct codec_reader *reader, struct node_message *message)
{
    struct slice rest;
    struct raft_entry entry;
    size_t size;

    get_standing(reader, message);
    message->first_index = codec_get_varint(reader);
    if (reader->is_bad || message->first_index == 0 || (size_t)(reader->end - reader->at) <= RAFT_CHAIN_SIZE) {
        reader->is_bad = true;
        return;
    }
    size = (size_t)(reader->end - reader->at) - RAFT_CHAIN_SIZE;
    message->entries = rest = codec_get_raw(reader, size);
    while (node_entry_next(&rest, &entry)) {
    }
    raft_get_chain(reader, message->chain);
    if (rest.size != 0) reader->is_bad = true;
}

static void get_fields(struct codec_reader *reader, struct node_message *message)
{
    switch (message->type) {
    case NODE_MESSAGE_HERE:
        get_hint(reader, message);
        message->depth = (uint32_t)codec_get_bounded(reader, NODE_DEPTH_ADRIFT);
        message->committed = codec_get_varint(reader);
        return;
    case NODE_MESSAGE_PULL:
        message->serial = codec_get_varint(reader);
        message->position.index = codec_get_varint(reader);
        raft_get_chain(reader, message->position.chain);
        return;
    case NODE_MESSAGE_ENTRIES: get_entries(reader, message); return;
    case NODE_MESSAGE_CHUNK: get_chunk(reader, message); return;
    case NODE_MESSAGE_PULL_CHUNK:
        message->serial = codec_get_varint(reader);
        message->position.index = codec_get_varint(reader);
        message->offset = codec_get_varint(reader);
        return;
    case NODE_MESSAGE_TURNED_AWAY: get_turned_away(reader, message); return;
    case NODE_MESSAGE_HEARTBEAT: get_heartbeat(reader, message); return;
    case NODE_MESSAGE_PULSE:
        get_hint(reader, message);
        message->committed = codec_get_varint(reader);
        message->is_coordinator = codec_get_bounded(reader, 1) != 0;
        return;
    case NODE_MESSAGE_REQUEST: get_request(reader, message); return;
    case NODE_MESSAGE_ANSWER: get_answer(reader, message); return;
    case NODE_MESSAGE_STANDING: get_standing(reader, message); return;
    case NODE_MESSAGE_RECOVER: message->bytes = get_bytes(reader, RECOVER_BYTES_MAX); return;
    case NODE_MESSAGE_REMOVED:
        message->history = codec_get_bounded(reader, RECOVER_HISTORY_MAX);
        message->committed = codec_get_varint(reader);
        return;
    }
    reader->is_bad = true; /* of a newer mesh */
}

int node_message_decode(struct slice from, struct node_message *ret_message)
{
    struct node_message message = {0};
    struct codec_reader reader;

    if (from.size == 0) return MESH_EPROTO;
    message.type = (enum node_message_type)from.data[0];
    reader = codec_reader_of(slice_of(from.data + 1, from.size - 1));
    get_fields(&reader, &message);
    if (!codec_reader_is_done(&reader)) return MESH_EPROTO;
    *ret_message = message;
    return 0;
}
