/* coordinator/record.c - see record.h. */
#include "replication/coordinator/record.h"

#include "base/bytes.h"
#include "base/error.h"

#include <sodium.h>

static void record_write_header(uint8_t to[METADATA_RECORD_HEADER_SIZE], const struct metadata_record *record)
{
    le_store64(to, record->index);
    le_store64(to + 8, record->term);
    le_store16(to + 16, record->kind);
    le_store16(to + 18, (uint16_t)record->key.size);
    le_store32(to + 20, (uint32_t)record->body.size);
}

void metadata_record_chain(const uint8_t previous[METADATA_CHAIN_SIZE], const struct metadata_record *record,
                           uint8_t ret_chain[METADATA_CHAIN_SIZE])
{
    uint8_t header[METADATA_RECORD_HEADER_SIZE];
    crypto_generichash_state state;

    record_write_header(header, record);
    crypto_generichash_init(&state, NULL, 0, METADATA_CHAIN_SIZE);
    crypto_generichash_update(&state, previous, METADATA_CHAIN_SIZE);
    crypto_generichash_update(&state, header, sizeof(header));
    crypto_generichash_update(&state, record->key.data, record->key.size);
    crypto_generichash_update(&state, record->body.data, record->body.size);
    crypto_generichash_final(&state, ret_chain, METADATA_CHAIN_SIZE);
}

size_t metadata_record_size(const struct metadata_record *record)
{
    return METADATA_RECORD_HEADER_SIZE + record->key.size + record->body.size + METADATA_CHAIN_SIZE;
}

int metadata_record_encode(struct buffer *to, const struct metadata_record *record)
{
    uint8_t header[METADATA_RECORD_HEADER_SIZE];
    int err;

    if (record->key.size > METADATA_KEY_SIZE_MAX || record->body.size > METADATA_BODY_SIZE_MAX)
        return MESH_ETOOLARGE;
    err = buffer_reserve(to, metadata_record_size(record));
    if (err != 0) return err;
    record_write_header(header, record);
    buffer_append(to, header, sizeof(header)); /* cannot fail: the room is reserved */
    buffer_append(to, record->key.data, record->key.size);
    buffer_append(to, record->body.data, record->body.size);
    buffer_append(to, record->chain, METADATA_CHAIN_SIZE);
    return 0;
}

int metadata_record_decode(struct slice from, struct metadata_record *ret_record, size_t *ret_size)
{
    struct metadata_record record;
    size_t key_size, body_size, size;

    if (from.size < METADATA_RECORD_HEADER_SIZE) return MESH_EAGAIN;
    record.index = le_load64(from.data);
    record.term = le_load64(from.data + 8);
    record.kind = le_load16(from.data + 16);
    key_size = le_load16(from.data + 18);
    body_size = le_load32(from.data + 20);
    if (record.index == 0 || record.kind == 0 || key_size > METADATA_KEY_SIZE_MAX ||
        body_size > METADATA_BODY_SIZE_MAX)
        return MESH_ECORRUPT;
    size = METADATA_RECORD_HEADER_SIZE + key_size + body_size + METADATA_CHAIN_SIZE;
    if (from.size < size) return MESH_EAGAIN;
    record.key = slice_of(from.data + METADATA_RECORD_HEADER_SIZE, key_size);
    record.body = slice_of(record.key.data + key_size, body_size);
    memcpy(record.chain, record.body.data + body_size, METADATA_CHAIN_SIZE);
    *ret_record = record;
    *ret_size = size;
    return 0;
}
