/* coordinator/record.c - see record.h. */
#include "replication/coordinator/record.h"

#include <sodium.h>

#define CHANGES_MAX       (1u << 20)
#define CHAIN_HEADER_SIZE 21

void metadata_chain(const uint8_t previous[RAFT_CHAIN_SIZE], const struct raft_entry *entry,
                    uint8_t ret_chain[RAFT_CHAIN_SIZE])
{
    uint8_t header[CHAIN_HEADER_SIZE];
    crypto_generichash_state state;

    le_store64(header, entry->index);
    le_store64(header + 8, entry->term);
    header[16] = (uint8_t)entry->type;
    le_store32(header + 17, (uint32_t)entry->body.size);
    crypto_generichash_init(&state, NULL, 0, RAFT_CHAIN_SIZE);
    crypto_generichash_update(&state, previous, RAFT_CHAIN_SIZE);
    crypto_generichash_update(&state, header, sizeof(header));
    crypto_generichash_update(&state, entry->body.data, entry->body.size);
    crypto_generichash_final(&state, ret_chain, RAFT_CHAIN_SIZE);
}

int metadata_command_start(struct buffer *to)
{
    struct codec_writer writer = {to, 0};

    codec_put_varint(&writer, METADATA_COMMAND_VERSION);
    return writer.error;
}

static void put_slice(struct codec_writer *writer, struct slice bytes)
{
    codec_put_varint(writer, bytes.size);
    codec_put_raw(writer, bytes.data, bytes.size);
}

int metadata_command_add(struct buffer *to, const struct metadata_change *change)
{
    struct codec_writer writer = {to, 0};
    size_t before = to->size, room = 3 * VARINT_SIZE_MAX;

    if (change->key.size > METADATA_KEY_SIZE_MAX || change->body.size > METADATA_BODY_SIZE_MAX ||
        before + room + change->key.size + change->body.size > RAFT_BODY_SIZE_MAX)
        return MESH_ETOOLARGE;
    codec_put_varint(&writer, change->kind);
    put_slice(&writer, change->key);
    put_slice(&writer, change->body);
    if (writer.error != 0) to->size = before;
    return writer.error;
}

bool metadata_command_next(struct codec_reader *reader, struct metadata_change *ret_change)
{
    if (reader->is_bad || reader->at == reader->end) return false;
    ret_change->kind = (uint16_t)codec_get_bounded(reader, UINT16_MAX);
    ret_change->key = codec_get_raw(reader, (size_t)codec_get_bounded(reader, METADATA_KEY_SIZE_MAX));
    ret_change->body = codec_get_raw(reader, (size_t)codec_get_bounded(reader, METADATA_BODY_SIZE_MAX));
    if (ret_change->kind == 0) reader->is_bad = true;
    return !reader->is_bad;
}

int metadata_command_open(struct slice command, struct codec_reader *ret_reader)
{
    struct codec_reader reader = codec_reader_of(command), probe;
    uint64_t version = codec_get_varint(&reader);
    struct metadata_change change;
    uint32_t count = 0;

    if (reader.is_bad || version == 0) return MESH_ECORRUPT;
    if (version > METADATA_COMMAND_VERSION) return MESH_EVERSION;
    probe = reader;
    while (metadata_command_next(&probe, &change))
        count++;
    if (probe.is_bad || count == 0 || count > CHANGES_MAX) return MESH_ECORRUPT;
    *ret_reader = reader;
    return 0;
}

uint32_t metadata_kind_level(uint16_t kind)
{
    if (kind == METADATA_RECORDS_DELETED) return 2;
    return kind >= METADATA_CLUSTER_CREATED && kind <= METADATA_REQUEST_DONE ? 1 : METADATA_LEVEL + 1;
}

uint32_t metadata_command_level(struct slice command, metadata_level_fn *level_of)
{
    uint32_t level = 1;
    struct codec_reader reader;
    struct metadata_change change;

    if (metadata_command_open(command, &reader) != 0) return METADATA_LEVEL + 1;
    while (metadata_command_next(&reader, &change)) {
        struct codec_reader body = codec_reader_of(change.body);
        uint32_t version = (uint32_t)codec_get_bounded(&body, METADATA_LEVEL_MAX), kind = level_of(change.kind);

        if (version > level) level = version;
        if (kind > level) level = kind;
    }
    return level;
}
