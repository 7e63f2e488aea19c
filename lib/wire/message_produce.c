/* The produce messages, walked by hand: one request in a million a second comes through here (see message.h).
 */
#include "wire/message.h"

#include "base/assert.h"
#include "base/error.h"
#include "wire/proto.h"

/* ProduceEntry */
#define ENTRY_TOPIC_ID     PROTO_TAG(1, PROTO_BYTES)
#define ENTRY_PARTITION    PROTO_TAG(2, PROTO_VARINT)
#define ENTRY_LEADER_EPOCH PROTO_TAG(3, PROTO_VARINT)
#define ENTRY_BATCH_SIZE   PROTO_TAG(4, PROTO_VARINT)
#define ENTRY_KNOWN_MAX    4
#define ENTRY_SIZE_MAX     (PROTO_UUID_SIZE + 3 * PROTO_SCALAR_SIZE_MAX)

/* ProduceRequest */
#define REQUEST_ACKS      PROTO_TAG(1, PROTO_VARINT)
#define REQUEST_TIMEOUT   PROTO_TAG(2, PROTO_VARINT)
#define REQUEST_ENTRIES   PROTO_TAG(3, PROTO_BYTES)
#define REQUEST_KNOWN_MAX 3

/* ProduceResult */
#define RESULT_ERROR        PROTO_TAG(1, PROTO_VARINT)
#define RESULT_BASE_OFFSET  PROTO_TAG(2, PROTO_VARINT)
#define RESULT_LEADER_EPOCH PROTO_TAG(3, PROTO_VARINT)
#define RESULT_HOLDING      PROTO_TAG(4, PROTO_VARINT)
#define RESULT_SYNCED       PROTO_TAG(5, PROTO_VARINT)
#define RESULT_APPEND_TIME  PROTO_TAG(6, PROTO_VARINT)
#define RESULT_IS_DUPLICATE PROTO_TAG(7, PROTO_VARINT)
#define RESULT_KNOWN_MAX    7
#define RESULT_SIZE_MAX     (7 * PROTO_SCALAR_SIZE_MAX)

/* ProduceResponse */
#define RESPONSE_RESULTS   PROTO_TAG(1, PROTO_BYTES)
#define RESPONSE_KNOWN_MAX 1

/* Submessages stay below 128 bytes, so that their length is one byte, written after them. */
_Static_assert(ENTRY_SIZE_MAX < 0x80 && RESULT_SIZE_MAX < 0x80, "a longer submessage needs a longer length");

/* ---- request ---- */

int produce_request_start(struct buffer *to, int32_t acks, uint32_t timeout_ms)
{
    uint8_t *at = proto_room(to, 2 * PROTO_SCALAR_SIZE_MAX);

    if (at == NULL) return MESH_ENOMEM;
    at = proto_write_sint32(at, REQUEST_ACKS, acks);
    at = proto_write_varint(at, REQUEST_TIMEOUT, timeout_ms);
    to->size = (size_t)(at - to->data);
    return 0;
}

int produce_request_add(struct buffer *to, const struct produce_entry *entry)
{
    uint8_t *start = proto_room(to, 2 + ENTRY_SIZE_MAX);
    uint8_t *at;

    if (start == NULL) return MESH_ENOMEM;
    at = start + 2;
    if (entry->leader_epoch < -1 || entry->leader_epoch == INT32_MAX) return MESH_EINVAL;
    at = proto_write_uuid(at, ENTRY_TOPIC_ID, &entry->topic_id);
    at = proto_write_varint(at, ENTRY_PARTITION, entry->partition);
    at = proto_write_sint32(at, ENTRY_LEADER_EPOCH, entry->leader_epoch + 1);
    at = proto_write_varint(at, ENTRY_BATCH_SIZE, entry->batch_size);
    start[0] = REQUEST_ENTRIES;
    start[1] = (uint8_t)(at - start - 2);
    to->size = (size_t)(at - to->data);
    return 0;
}

static inline bool parse_entry(const uint8_t *at, const uint8_t *end, struct produce_entry *ret_entry)
{
    const uint8_t *topic_id = NULL;
    uint32_t partition = 0, batch_size = 0;
    int32_t leader_epoch_plus_one = 0;

    while (at < end) {
        uint32_t tag = 0;
        at = proto_read_tag(at, end, &tag);
        if (at == NULL) return false;
        switch (tag) {
        case ENTRY_TOPIC_ID: at = proto_read_uuid(at, end, &topic_id); break;
        case ENTRY_PARTITION: at = proto_read_uint32(at, end, &partition); break;
        case ENTRY_LEADER_EPOCH: at = proto_read_sint32(at, end, &leader_epoch_plus_one); break;
        case ENTRY_BATCH_SIZE: at = proto_read_uint32(at, end, &batch_size); break;
        default: at = proto_skip(at, end, tag, ENTRY_KNOWN_MAX); break;
        }
        if (at == NULL) return false;
    }
    if (topic_id == NULL || leader_epoch_plus_one < 0) return false;
    memcpy(ret_entry->topic_id.bytes, topic_id, UUID_SIZE);
    ret_entry->partition = partition;
    ret_entry->leader_epoch = leader_epoch_plus_one - 1;
    ret_entry->batch_size = batch_size;
    return true;
}

int produce_request_reader_init(struct produce_request_reader *reader, struct slice message,
                                uint32_t attachment_size)
{
    const uint8_t *at = message.data, *end = proto_end(message), *first_entry = end;
    uint64_t batch_size_sum = 0; /* at most MESSAGE_ENTRIES_MAX * 2^32 */
    uint32_t entry_count = 0, timeout_ms = 0;
    int32_t acks = 0;

    while (at < end) {
        const uint8_t *field = at, *entry_end = NULL;
        struct produce_entry entry;
        uint32_t tag = 0;

        at = proto_read_tag(at, end, &tag);
        if (at == NULL) return MESH_EPROTO;
        switch (tag) {
        case REQUEST_ACKS: at = proto_read_sint32(at, end, &acks); break;
        case REQUEST_TIMEOUT: at = proto_read_uint32(at, end, &timeout_ms); break;
        case REQUEST_ENTRIES:
            at = proto_read_length(at, end, &entry_end);
            if (at == NULL || !parse_entry(at, entry_end, &entry)) return MESH_EPROTO;
            if (entry_count == 0) first_entry = field;
            if (++entry_count > MESSAGE_ENTRIES_MAX) return MESH_EPROTO;
            batch_size_sum += entry.batch_size;
            at = entry_end;
            break;
        default: at = proto_skip(at, end, tag, REQUEST_KNOWN_MAX); break;
        }
        if (at == NULL) return MESH_EPROTO;
    }
    if (acks < -1 || acks > 1 || batch_size_sum != attachment_size) return MESH_EPROTO;
    *reader = (struct produce_request_reader){acks, timeout_ms, entry_count, first_entry, end};
    return 0;
}

bool produce_request_reader_next(struct produce_request_reader *reader, struct produce_entry *ret_entry)
{
    const uint8_t *entry_end = NULL;
    const uint8_t *entry = proto_next_submessage(&reader->at, reader->end, REQUEST_ENTRIES, &entry_end);

    if (entry == NULL) return false;
    if (!parse_entry(entry, entry_end, ret_entry)) MESH_ASSERT(!"the message changed after init");
    return true;
}

/* ---- response ---- */

int produce_response_add(struct buffer *to, const struct produce_result *result)
{
    uint8_t *start = proto_room(to, 2 + RESULT_SIZE_MAX);
    uint8_t *at;

    if (start == NULL) return MESH_ENOMEM;
    at = start + 2;
    MESH_ASSERT(result->error <= 0);
    if (result->append_time_ms < -1) return MESH_EINVAL;
    at = proto_write_sint32(at, RESULT_ERROR, result->error);
    at = proto_write_varint(at, RESULT_BASE_OFFSET, result->base_offset);
    at = proto_write_int32(at, RESULT_LEADER_EPOCH, result->leader_epoch);
    at = proto_write_varint(at, RESULT_HOLDING, result->replicas_holding);
    at = proto_write_varint(at, RESULT_SYNCED, result->replicas_synced);
    at = proto_write_varint(at, RESULT_APPEND_TIME, (uint64_t)result->append_time_ms + 1);
    at = proto_write_varint(at, RESULT_IS_DUPLICATE, result->is_duplicate);
    start[0] = RESPONSE_RESULTS;
    start[1] = (uint8_t)(at - start - 2);
    to->size = (size_t)(at - to->data);
    return 0;
}

static inline bool parse_result(const uint8_t *at, const uint8_t *end, struct produce_result *ret_result)
{
    uint64_t base_offset = 0, append_time_plus_one_ms = 0, is_duplicate = 0;
    uint32_t leader_epoch = 0, holding = 0, synced = 0;
    int32_t error = 0;

    while (at < end) {
        uint32_t tag = 0;
        at = proto_read_tag(at, end, &tag);
        if (at == NULL) return false;
        switch (tag) {
        case RESULT_ERROR: at = proto_read_sint32(at, end, &error); break;
        case RESULT_BASE_OFFSET: at = proto_read_varint(at, end, &base_offset); break;
        case RESULT_LEADER_EPOCH: at = proto_read_uint32(at, end, &leader_epoch); break;
        case RESULT_HOLDING: at = proto_read_uint32(at, end, &holding); break;
        case RESULT_SYNCED: at = proto_read_uint32(at, end, &synced); break;
        case RESULT_APPEND_TIME: at = proto_read_varint(at, end, &append_time_plus_one_ms); break;
        case RESULT_IS_DUPLICATE: at = proto_read_varint(at, end, &is_duplicate); break;
        default: at = proto_skip(at, end, tag, RESULT_KNOWN_MAX); break;
        }
        if (at == NULL) return false;
    }
    if (error > 0 || append_time_plus_one_ms > (uint64_t)INT64_MAX + 1) return false;
    *ret_result = (struct produce_result){
        .error = error,
        .base_offset = base_offset,
        .leader_epoch = (int32_t)leader_epoch,
        .replicas_holding = holding,
        .replicas_synced = synced,
        .append_time_ms = (int64_t)(append_time_plus_one_ms - 1),
        .is_duplicate = is_duplicate != 0,
    };
    return true;
}

int produce_response_reader_init(struct produce_response_reader *reader, struct slice message)
{
    const uint8_t *at = message.data, *end = proto_end(message);
    uint32_t result_count = 0;

    while (at < end) {
        const uint8_t *result_end = NULL;
        struct produce_result result;
        uint32_t tag = 0;

        at = proto_read_tag(at, end, &tag);
        if (at == NULL) return MESH_EPROTO;
        if (tag == RESPONSE_RESULTS) {
            at = proto_read_length(at, end, &result_end);
            if (at == NULL || !parse_result(at, result_end, &result)) return MESH_EPROTO;
            if (++result_count > MESSAGE_ENTRIES_MAX) return MESH_EPROTO;
            at = result_end;
        } else {
            at = proto_skip(at, end, tag, RESPONSE_KNOWN_MAX);
            if (at == NULL) return MESH_EPROTO;
        }
    }
    *reader = (struct produce_response_reader){result_count, message.data, end};
    return 0;
}

bool produce_response_reader_next(struct produce_response_reader *reader, struct produce_result *ret_result)
{
    const uint8_t *result_end = NULL;
    const uint8_t *result = proto_next_submessage(&reader->at, reader->end, RESPONSE_RESULTS, &result_end);

    if (result == NULL) return false;
    if (!parse_result(result, result_end, ret_result)) MESH_ASSERT(!"the message changed after init");
    return true;
}
