/* consensus/store_format.c - see store_format.h. All little endian; a CRC covers everything before it in its block. */
#include "replication/consensus/store_format.h"

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "replication/consensus/config_codec.h"

static const uint8_t state_magic[4] = "MRST", mark_magic[4] = "MRMK", segment_magic[4] = "MRLG", header_magic[4] = "MREN",
                     snapshot_magic[4] = "MRSN", lives_magic[4] = "MRLV";

static void put_server(uint8_t *to, const struct raft_server *server)
{
    memcpy(to, server->broker.bytes, UUID_SIZE);
    memcpy(to + UUID_SIZE, server->dir.bytes, UUID_SIZE);
}

static void get_server(const uint8_t *from, struct raft_server *server)
{
    memcpy(server->broker.bytes, from, UUID_SIZE);
    memcpy(server->dir.bytes, from + UUID_SIZE, UUID_SIZE);
}

static void open_block(uint8_t *to, size_t size, const uint8_t magic[4])
{
    memset(to, 0, size);
    memcpy(to, magic, 4);
    le_store32(to + 4, STORE_VERSION);
}

static void seal_block(uint8_t *to, size_t size)
{
    le_store32(to + size - 4, crc32c(to, size - 4));
}

static int check_block(const uint8_t *from, size_t size, const uint8_t magic[4])
{
    if (memcmp(from, magic, 4) != 0 || le_load32(from + size - 4) != crc32c(from, size - 4)) return MESH_ECORRUPT;
    return le_load32(from + 4) > STORE_VERSION ? MESH_EVERSION : 0;
}

void store_state_encode(const struct store_state *state, uint8_t to[STORE_STATE_SIZE])
{
    open_block(to, STORE_STATE_SIZE, state_magic);
    le_store64(to + 8, state->sequence);
    put_server(to + 16, &state->self);
    le_store64(to + 48, state->term);
    put_server(to + 56, &state->voted_for);
    le_store64(to + 88, state->generation);
    le_store64(to + 96, state->cut_index);
    le_store64(to + 104, state->damaged_until);
    le_store64(to + 112, state->forced_term);
    seal_block(to, STORE_STATE_SIZE);
}

int store_state_decode(const uint8_t from[STORE_STATE_SIZE], struct store_state *ret_state)
{
    int err = check_block(from, STORE_STATE_SIZE, state_magic);

    if (err != 0) return err;
    ret_state->sequence = le_load64(from + 8);
    get_server(from + 16, &ret_state->self);
    ret_state->term = le_load64(from + 48);
    get_server(from + 56, &ret_state->voted_for);
    ret_state->generation = le_load64(from + 88);
    ret_state->cut_index = le_load64(from + 96);
    ret_state->damaged_until = le_load64(from + 104);
    ret_state->forced_term = le_load64(from + 112);
    return 0;
}

void store_claim_encode(const struct raft_other *other, uint8_t to[STORE_CLAIM_SIZE])
{
    const struct raft_claim *claim = &other->claim;

    memset(to, 0, STORE_CLAIM_SIZE);
    put_server(to, &other->server);
    le_store64(to + 32, claim->life.boot);
    le_store64(to + 40, claim->life.nonce);
    le_store64(to + 48, claim->term);
    le_store64(to + 56, claim->durable);
    le_store32(to + 64, claim->has_voted);
}

void store_claim_decode(const uint8_t from[STORE_CLAIM_SIZE], struct raft_other *ret_other)
{
    get_server(from, &ret_other->server);
    ret_other->claim = (struct raft_claim){
        .life = {le_load64(from + 32), le_load64(from + 40)},
        .term = le_load64(from + 48),
        .durable = le_load64(from + 56),
        .has_voted = le_load32(from + 64) != 0,
    };
}

void store_lives_head_encode(const struct store_lives_head *head, uint8_t to[STORE_LIVES_HEAD_SIZE])
{
    memset(to, 0, STORE_LIVES_HEAD_SIZE);
    memcpy(to, lives_magic, 4);
    le_store32(to + 4, STORE_VERSION);
    put_server(to + 8, &head->self);
    le_store64(to + 40, head->life.boot);
    le_store64(to + 48, head->life.nonce);
    le_store32(to + 56, head->past_count);
    le_store32(to + 60, head->other_count);
}

int store_lives_head_decode(struct slice from, struct store_lives_head *ret_head)
{
    int err;

    if (from.size < STORE_LIVES_HEAD_SIZE + 4) return MESH_ECORRUPT;
    err = check_block(from.data, from.size, lives_magic);
    if (err != 0) return err;
    get_server(from.data + 8, &ret_head->self);
    ret_head->life = (struct raft_life){le_load64(from.data + 40), le_load64(from.data + 48)};
    ret_head->past_count = le_load32(from.data + 56);
    ret_head->other_count = le_load32(from.data + 60);
    if (ret_head->life.boot == 0 || ret_head->past_count > RAFT_PAST_MAX || ret_head->other_count > RAFT_OTHERS_MAX ||
        from.size != STORE_LIVES_HEAD_SIZE + (ret_head->past_count + ret_head->other_count) * STORE_CLAIM_SIZE + 4)
        return MESH_ECORRUPT;
    return 0;
}

void store_mark_encode(const struct store_mark *mark, uint8_t to[STORE_MARK_SIZE])
{
    open_block(to, STORE_MARK_SIZE, mark_magic);
    le_store64(to + 8, mark->generation);
    le_store64(to + 16, mark->durable);
    le_store64(to + 24, mark->committed);
    seal_block(to, STORE_MARK_SIZE);
}

int store_mark_decode(const uint8_t from[STORE_MARK_SIZE], struct store_mark *ret_mark)
{
    int err = check_block(from, STORE_MARK_SIZE, mark_magic);

    if (err != 0) return err;
    ret_mark->generation = le_load64(from + 8);
    ret_mark->durable = le_load64(from + 16);
    ret_mark->committed = le_load64(from + 24);
    return 0;
}

void store_segment_head_encode(const struct store_segment_head *head, uint8_t to[STORE_BLOCK_SIZE])
{
    open_block(to, STORE_BLOCK_SIZE, segment_magic);
    le_store64(to + 8, head->base);
    le_store64(to + 16, head->generation);
    put_server(to + 24, &head->self);
    seal_block(to, STORE_BLOCK_SIZE);
}

int store_segment_head_decode(const uint8_t from[STORE_BLOCK_SIZE], struct store_segment_head *ret_head)
{
    int err = check_block(from, STORE_BLOCK_SIZE, segment_magic);

    if (err != 0) return err;
    ret_head->base = le_load64(from + 8);
    ret_head->generation = le_load64(from + 16);
    get_server(from + 24, &ret_head->self);
    return 0;
}

/* No version: the segment's head has it. */
void store_header_encode(const struct store_header *header, uint8_t to[STORE_HEADER_SIZE])
{
    memset(to, 0, STORE_HEADER_SIZE);
    memcpy(to, header_magic, 4);
    to[4] = (uint8_t)header->type;
    le_store64(to + 8, header->index);
    le_store64(to + 16, header->term);
    le_store64(to + 24, header->generation);
    le_store64(to + 32, header->durable);
    le_store64(to + 40, header->position);
    le_store32(to + 48, header->size);
    le_store32(to + 52, header->body_crc);
    memcpy(to + 56, header->chain, RAFT_CHAIN_SIZE);
    seal_block(to, STORE_HEADER_SIZE);
}

int store_header_decode(const uint8_t from[STORE_HEADER_SIZE], struct store_header *ret_header)
{
    if (memcmp(from, header_magic, 4) != 0 || le_load32(from + STORE_HEADER_SIZE - 4) != crc32c(from, STORE_HEADER_SIZE - 4) ||
        from[4] < RAFT_ENTRY_NOOP || from[4] > RAFT_ENTRY_COMMAND || le_load32(from + 48) > RAFT_BODY_SIZE_MAX ||
        le_load64(from + 40) < STORE_BODIES_POSITION || le_load64(from + 40) > INT64_MAX / 2 || le_load64(from + 8) == 0 ||
        le_load64(from + 32) >= le_load64(from + 8))
        return MESH_ECORRUPT;
    ret_header->type = (enum raft_entry_type)from[4];
    ret_header->index = le_load64(from + 8);
    ret_header->term = le_load64(from + 16);
    ret_header->generation = le_load64(from + 24);
    ret_header->durable = le_load64(from + 32);
    ret_header->position = le_load64(from + 40);
    ret_header->size = le_load32(from + 48);
    ret_header->body_crc = le_load32(from + 52);
    memcpy(ret_header->chain, from + 56, RAFT_CHAIN_SIZE);
    return 0;
}

/* ---- snapshots ---- */

#define SNAPSHOT_CONFIG_POSITION 128

_Static_assert(SNAPSHOT_CONFIG_POSITION + RAFT_CONFIG_BYTES_MAX <= STORE_BLOCK_SIZE - 4, "a configuration fits into the head");

int store_snapshot_head_encode(const struct store_snapshot_head *head, uint8_t to[STORE_BLOCK_SIZE])
{
    struct buffer config = BUFFER_INIT;
    int err = raft_config_encode(&config, &head->config);

    if (err == 0) {
        open_block(to, STORE_BLOCK_SIZE, snapshot_magic);
        le_store64(to + 8, head->position.index);
        le_store64(to + 16, head->position.term);
        memcpy(to + 24, head->position.chain, RAFT_CHAIN_SIZE);
        le_store64(to + 56, head->size);
        le_store32(to + 64, head->crc);
        le_store32(to + 68, (uint32_t)config.size);
        memcpy(to + SNAPSHOT_CONFIG_POSITION, config.data, config.size);
        seal_block(to, STORE_BLOCK_SIZE);
    }
    buffer_deinit(&config);
    return err;
}

int store_snapshot_head_decode(const uint8_t from[STORE_BLOCK_SIZE], struct store_snapshot_head *ret_head)
{
    int err = check_block(from, STORE_BLOCK_SIZE, snapshot_magic);
    uint32_t config_size = le_load32(from + 68);

    if (err != 0) return err;
    if (config_size > RAFT_CONFIG_BYTES_MAX || le_load64(from + 56) > INT64_MAX / 2) return MESH_ECORRUPT;
    err = raft_config_decode(slice_of(from + SNAPSHOT_CONFIG_POSITION, config_size), &ret_head->config);
    if (err != 0) return err;
    ret_head->position.index = le_load64(from + 8);
    ret_head->position.term = le_load64(from + 16);
    memcpy(ret_head->position.chain, from + 24, RAFT_CHAIN_SIZE);
    ret_head->size = le_load64(from + 56);
    ret_head->crc = le_load32(from + 64);
    return 0;
}

static uint32_t chunk_crc(uint64_t snapshot, uint64_t chunk, const uint8_t *bytes, uint32_t size)
{
    uint8_t place[20];

    le_store64(place, snapshot);
    le_store64(place + 8, chunk);
    le_store32(place + 16, size);
    return crc32c_extend(crc32c(place, sizeof(place)), bytes, size);
}

void store_chunk_seal(uint64_t snapshot, uint64_t chunk, const uint8_t *bytes, uint32_t size, uint8_t to[STORE_CHUNK_HEAD])
{
    le_store32(to, size);
    le_store32(to + 4, chunk_crc(snapshot, chunk, bytes, size));
}

bool store_chunk_is_good(uint64_t snapshot, uint64_t chunk, const uint8_t *bytes, uint32_t size,
                         const uint8_t head[STORE_CHUNK_HEAD])
{
    return le_load32(head) == size && le_load32(head + 4) == chunk_crc(snapshot, chunk, bytes, size);
}
