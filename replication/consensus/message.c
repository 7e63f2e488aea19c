#include "replication/consensus/message.h"

#include "base/assert.h"
#include "replication/consensus/config_codec.h"
#include "replication/consensus/entry_codec.h"

#define VERSION_WITHOUT_LIVES 1
#define VERSION_WITH_LIVES    2

static void put_u32(struct codec_writer *writer, uint32_t v)
{
    uint8_t bytes[4];

    le_store32(bytes, v);
    codec_put_raw(writer, bytes, sizeof(bytes));
}

static void put_place(struct codec_writer *writer, const struct raft_position *position)
{
    codec_put_varint(writer, position->index);
    codec_put_varint(writer, position->term);
}

static void put_position(struct codec_writer *writer, const struct raft_position *position)
{
    put_place(writer, position);
    codec_put_raw(writer, position->chain, RAFT_CHAIN_SIZE);
}

static void put_snapshot(struct codec_writer *writer, const struct message *message)
{
    put_position(writer, &message->position);
    if (writer->error == 0) writer->error = raft_config_encode(writer->to, &message->config);
    codec_put_varint(writer, message->offset);
    codec_put_varint(writer, message->total);
    put_u32(writer, message->crc);
    codec_put_varint(writer, message->bytes.size);
    codec_put_raw(writer, message->bytes.data, message->bytes.size);
}

static void put_life(struct codec_writer *writer, const struct raft_life *life)
{
    uint8_t nonce[8];

    codec_put_varint(writer, life->boot);
    if (life->boot == 0) return;
    le_store64(nonce, life->nonce);
    codec_put_raw(writer, nonce, sizeof(nonce));
}

static void put_claim(struct codec_writer *writer, const struct raft_claim *claim)
{
    put_life(writer, &claim->life);
    if (claim->life.boot == 0) return;
    codec_put_varint(writer, claim->term);
    codec_put_varint(writer, claim->durable);
}

static void put_told(struct codec_writer *writer, const struct message *message)
{
    codec_put_varint(writer, message->told_count);
    for (uint32_t i = 0; i < message->told_count; i++) {
        raft_put_server(writer, &message->told[i].server);
        put_claim(writer, &message->told[i].claim);
        codec_put_varint(writer, message->told[i].claim.has_voted);
    }
}

int message_encode(const struct message *message, struct buffer *to)
{
    struct codec_writer writer = {to, 0};
    bool has_lives = message->claim.life.boot != 0;
    uint8_t head[2] = {has_lives ? VERSION_WITH_LIVES : VERSION_WITHOUT_LIVES, (uint8_t)message->type};
    uint32_t lives_flags = (message->claim.has_voted ? MESSAGE_VOTED : 0u) | (message->known.has_voted ? MESSAGE_KNOWN_VOTED : 0u) |
                           (message->vouched.has_voted ? MESSAGE_VOUCHED_VOTED : 0u);

    codec_put_raw(&writer, head, sizeof(head));
    raft_put_server(&writer, &message->to);
    raft_put_server(&writer, &message->from);
    codec_put_varint(&writer, message->term);
    codec_put_varint(&writer, message->flags | (has_lives ? lives_flags : 0u));
    if (has_lives) {
        put_claim(&writer, &message->claim);
        put_claim(&writer, &message->vouched);
        put_claim(&writer, &message->known);
        if (message->type == MESSAGE_APPEND) put_told(&writer, message);
    }
    switch (message->type) {
    case MESSAGE_VOTE_REQUEST:
    case MESSAGE_TIMEOUT_NOW: put_place(&writer, &message->position); break;
    case MESSAGE_VOTE_RESPONSE:
    case MESSAGE_PRESENCE: break;
    case MESSAGE_APPEND:
        codec_put_varint(&writer, message->sequence);
        put_position(&writer, &message->position);
        codec_put_varint(&writer, message->committed);
        codec_put_varint(&writer, message->entry_count);
        if (message->entry_count != 0) codec_put_raw(&writer, message->chain, RAFT_CHAIN_SIZE);
        break;
    case MESSAGE_APPEND_RESPONSE:
        codec_put_varint(&writer, message->sequence);
        codec_put_varint(&writer, message->match);
        codec_put_varint(&writer, message->position.index);
        codec_put_varint(&writer, message->hint_index);
        codec_put_varint(&writer, message->hint_term);
        break;
    case MESSAGE_SNAPSHOT: put_snapshot(&writer, message); break;
    case MESSAGE_SNAPSHOT_RESPONSE:
        codec_put_varint(&writer, message->position.index);
        codec_put_varint(&writer, message->offset);
        break;
    }
    return writer.error;
}

int message_put_entry(const struct raft_entry *entry, struct buffer *to)
{
    struct codec_writer writer = {to, 0};
    uint8_t type = (uint8_t)entry->type;

    codec_put_varint(&writer, entry->term);
    codec_put_raw(&writer, &type, 1);
    codec_put_varint(&writer, entry->body.size);
    codec_put_raw(&writer, entry->body.data, entry->body.size);
    return writer.error;
}

size_t message_entry_size(const struct raft_entry *entry)
{
    return varint_size(entry->term) + 1 + varint_size(entry->body.size) + entry->body.size;
}

static struct raft_life get_life(struct codec_reader *reader)
{
    struct raft_life life = {.boot = codec_get_varint(reader)};
    struct slice nonce;

    if (life.boot == 0) return life;
    nonce = codec_get_raw(reader, 8);
    if (nonce.size == 8) life.nonce = le_load64(nonce.data);
    return life;
}

/* Into where it is kept: three or more of these are in each message. */
static void get_claim(struct codec_reader *reader, bool has_voted, struct raft_claim *ret_claim)
{
    ret_claim->life = get_life(reader);
    ret_claim->term = ret_claim->durable = 0;
    ret_claim->has_voted = has_voted;
    if (ret_claim->life.boot == 0) {
        reader->is_bad |= has_voted;
        return;
    }
    ret_claim->term = codec_get_varint(reader);
    ret_claim->durable = codec_get_varint(reader);
}

static void get_told_one(struct codec_reader *reader, struct raft_other *ret_other)
{
    ret_other->server = raft_get_server(reader);
    get_claim(reader, false, &ret_other->claim);
    ret_other->claim.has_voted = codec_get_bounded(reader, 1) != 0;
    if (ret_other->claim.life.boot == 0) reader->is_bad = true;
}

static void get_told(struct codec_reader *reader, struct message *message)
{
    const uint8_t *begin;
    struct raft_other other;

    message->told_count = (uint32_t)codec_get_bounded(reader, MESSAGE_TOLD_MAX);
    begin = reader->at;
    for (uint32_t i = 0; i < message->told_count && !reader->is_bad; i++)
        get_told_one(reader, &other);
    if (!reader->is_bad) message->told_bytes = slice_of(begin, (size_t)(reader->at - begin));
}

static void get_lives(struct codec_reader *reader, struct message *message)
{
    get_claim(reader, (message->flags & MESSAGE_VOTED) != 0, &message->claim);
    if (message->claim.life.boot == 0) reader->is_bad = true;
    get_claim(reader, (message->flags & MESSAGE_VOUCHED_VOTED) != 0, &message->vouched);
    get_claim(reader, (message->flags & MESSAGE_KNOWN_VOTED) != 0, &message->known);
    message->flags &= ~(uint32_t)(MESSAGE_VOTED | MESSAGE_KNOWN_VOTED | MESSAGE_VOUCHED_VOTED);
    if (message->type == MESSAGE_APPEND) get_told(reader, message);
}

static void get_place(struct codec_reader *reader, struct raft_position *position)
{
    position->index = codec_get_varint(reader);
    position->term = codec_get_varint(reader);
}

static void get_position(struct codec_reader *reader, struct raft_position *position)
{
    get_place(reader, position);
    raft_get_chain(reader, position->chain);
}

static struct raft_entry get_entry(struct codec_reader *reader)
{
    struct raft_entry entry;
    struct slice type;

    memset(&entry, 0, sizeof(entry));
    entry.term = codec_get_varint(reader);
    type = codec_get_raw(reader, 1);
    entry.type = type.size == 1 ? (enum raft_entry_type)type.data[0] : RAFT_ENTRY_NOOP;
    entry.body = codec_get_raw(reader, (size_t)codec_get_bounded(reader, RAFT_BODY_SIZE_MAX));
    return entry;
}

static bool entry_is_sound(const struct raft_entry *entry)
{
    struct raft_config config;

    switch (entry->type) {
    case RAFT_ENTRY_NOOP: return entry->body.size == 0;
    case RAFT_ENTRY_CONFIG: return raft_config_decode(entry->body, &config) == 0 && config.voter_count != 0;
    case RAFT_ENTRY_COMMAND: return true;
    }
    return false;
}

/* Terms of entries never fall and are none above the leader's; indexes stay far from the end of their range. */
static void get_append(struct codec_reader *reader, struct message *message)
{
    uint64_t term;

    message->sequence = codec_get_varint(reader);
    get_position(reader, &message->position);
    message->committed = codec_get_varint(reader);
    message->entry_count = (uint32_t)codec_get_bounded(reader, RAFT_MESSAGE_MAX / 3);
    if (message->entry_count != 0) raft_get_chain(reader, message->chain);
    if (reader->is_bad) return;
    message->entries = slice_of(reader->at, (size_t)(reader->end - reader->at));
    term = message->position.term;
    for (uint32_t i = 0; i < message->entry_count && !reader->is_bad; i++) {
        struct raft_entry entry = get_entry(reader);
        if (entry.term < term || entry.term > message->term || entry.term == 0 || !entry_is_sound(&entry))
            reader->is_bad = true;
        term = entry.term;
    }
    if (message->position.term > message->term || message->position.index > RAFT_NEVER / 2) reader->is_bad = true;
}

static void get_snapshot(struct codec_reader *reader, struct message *message)
{
    struct slice config, crc;
    size_t size = 1;

    get_position(reader, &message->position);
    config = slice_of(reader->at, (size_t)(reader->end - reader->at));
    for (int list = 0; list < 3; list++) { /* its size: version, three counted lists */
        size_t count = size < config.size && !reader->is_bad ? config.data[size] : 0;
        size += 1 + count * 2 * UUID_SIZE;
    }
    config = codec_get_raw(reader, size);
    if (reader->is_bad || raft_config_decode(config, &message->config) != 0) {
        reader->is_bad = true;
        return;
    }
    message->offset = codec_get_varint(reader);
    message->total = codec_get_varint(reader);
    crc = codec_get_raw(reader, 4);
    if (crc.size == 4) message->crc = le_load32(crc.data);
    message->bytes = codec_get_raw(reader, (size_t)codec_get_bounded(reader, RAFT_BODY_SIZE_MAX));
    if (message->position.index == 0 || message->position.term > message->term || message->position.term == 0 ||
        message->position.index > RAFT_NEVER / 2 || message->offset > message->total ||
        message->bytes.size > message->total - message->offset)
        reader->is_bad = true;
    if (((message->flags & MESSAGE_LAST) != 0) != (message->offset + message->bytes.size == message->total))
        reader->is_bad = true;
    if (message->bytes.size == 0 && (message->flags & MESSAGE_LAST) == 0) reader->is_bad = true;
}

static void get_body(struct codec_reader *reader, struct message *message)
{
    switch (message->type) {
    case MESSAGE_VOTE_REQUEST:
    case MESSAGE_TIMEOUT_NOW: get_place(reader, &message->position); break;
    case MESSAGE_VOTE_RESPONSE:
    case MESSAGE_PRESENCE: break;
    case MESSAGE_APPEND: get_append(reader, message); break;
    case MESSAGE_APPEND_RESPONSE:
        message->sequence = codec_get_varint(reader);
        message->match = codec_get_varint(reader);
        message->position.index = codec_get_varint(reader);
        message->hint_index = codec_get_varint(reader);
        message->hint_term = codec_get_varint(reader);
        break;
    case MESSAGE_SNAPSHOT: get_snapshot(reader, message); break;
    case MESSAGE_SNAPSHOT_RESPONSE:
        message->position.index = codec_get_varint(reader);
        message->offset = codec_get_varint(reader);
        break;
    default: reader->is_bad = true;
    }
}

int message_decode(struct slice from, struct message *ret_message)
{
    struct codec_reader reader = codec_reader_of(from);
    struct slice head;

    if (from.size > RAFT_MESSAGE_MAX) return MESH_ETOOLARGE;
    head = codec_get_raw(&reader, 2);
    if (reader.is_bad) return MESH_EPROTO;
    if (head.data[0] != VERSION_WITHOUT_LIVES && head.data[0] != VERSION_WITH_LIVES) return MESH_EVERSION;
    /* not the whole structure: a configuration is large, and only snapshots have one */
    bytes_clear(ret_message, offsetof(struct message, config));
    ret_message->type = (enum message_type)head.data[1];
    ret_message->to = raft_get_server(&reader);
    ret_message->from = raft_get_server(&reader);
    ret_message->term = codec_get_bounded(&reader, RAFT_NEVER / 2);
    ret_message->flags = (uint32_t)codec_get_bounded(&reader, head.data[0] == VERSION_WITH_LIVES ? MESSAGE_FLAGS_ALL : MESSAGE_VOTED - 1);
    if (head.data[0] == VERSION_WITH_LIVES && !reader.is_bad) get_lives(&reader, ret_message);
    get_body(&reader, ret_message);
    return codec_reader_is_done(&reader) ? 0 : MESH_EPROTO;
}

bool message_next_told(struct slice *told_bytes, struct raft_other *ret_other)
{
    struct codec_reader reader = codec_reader_of(*told_bytes);

    if (told_bytes->size == 0) return false;
    get_told_one(&reader, ret_other);
    MESH_ASSERT(!reader.is_bad); /* message_decode() has read it */
    *told_bytes = slice_of(reader.at, (size_t)(reader.end - reader.at));
    return true;
}

bool message_next_entry(struct slice *entries, struct raft_entry *ret_entry)
{
    struct codec_reader reader = codec_reader_of(*entries);

    if (entries->size == 0) return false;
    *ret_entry = get_entry(&reader);
    if (reader.is_bad) return false;
    *entries = slice_of(reader.at, (size_t)(reader.end - reader.at));
    return true;
}
