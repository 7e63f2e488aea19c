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
#define REQUEST_FORWARD   PROTO_TAG(4, PROTO_VARINT)
#define REQUEST_KNOWN_MAX 4

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

int produce_request_forward(struct buffer *to)
{
    uint8_t *at = proto_room(to, PROTO_SCALAR_SIZE_MAX);

    if (at == NULL) return MESH_ENOMEM;
    to->size = (size_t)(proto_write_varint(at, REQUEST_FORWARD, 1) - to->data);
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

/* The fields as they stand in the message, defaults for those that do not. */
struct entry_fields {
    const uint8_t *topic_id;
    uint32_t partition;
    int32_t leader_epoch_plus_one;
    uint32_t batch_size;
};

/* Reads fields in whatever order. */
static bool parse_entry_rest(const uint8_t *at, const uint8_t *end, struct entry_fields *fields)
{
    while (at < end) {
        uint32_t tag = 0;
        at = proto_read_tag(at, end, &tag);
        if (at == NULL) return false;
        switch (tag) {
        case ENTRY_TOPIC_ID: at = proto_read_uuid(at, end, &fields->topic_id); break;
        case ENTRY_PARTITION: at = proto_read_uint32(at, end, &fields->partition); break;
        case ENTRY_LEADER_EPOCH: at = proto_read_sint32(at, end, &fields->leader_epoch_plus_one); break;
        case ENTRY_BATCH_SIZE: at = proto_read_uint32(at, end, &fields->batch_size); break;
        default: at = proto_skip(at, end, tag, ENTRY_KNOWN_MAX); break;
        }
        if (at == NULL) return false;
    }
    return true;
}

/* Reads [at, end); *entry is garbage after a failure. */
static bool parse_entry(const uint8_t *at, const uint8_t *end, struct produce_entry *entry)
{
    struct entry_fields fields = {0};

    if (!proto_take_uuid(&at, end, ENTRY_TOPIC_ID, &fields.topic_id)) return false;
    if (!proto_take_uint32(&at, end, ENTRY_PARTITION, &fields.partition)) return false;
    if (!proto_take_sint32(&at, end, ENTRY_LEADER_EPOCH, &fields.leader_epoch_plus_one)) return false;
    if (!proto_take_uint32(&at, end, ENTRY_BATCH_SIZE, &fields.batch_size)) return false;
    if (at < end && !parse_entry_rest(at, end, &fields)) return false;
    if (fields.topic_id == NULL || fields.leader_epoch_plus_one < 0) return false;
    memcpy(entry->topic_id.bytes, fields.topic_id, UUID_SIZE);
    entry->partition = fields.partition;
    entry->leader_epoch = fields.leader_epoch_plus_one - 1;
    entry->batch_size = fields.batch_size;
    return true;
}

int produce_request_reader_init(struct produce_request_reader *reader, struct slice message,
                                uint32_t attachment_size)
{
    const uint8_t *at = message.data, *end = proto_end(message), *after_first = end;
    uint64_t batch_size_sum = 0; /* at most MESSAGE_ENTRIES_MAX * 2^32 */
    uint64_t forward = 0;
    uint32_t entry_count = 0, timeout_ms = 0;
    int32_t acks = 0;

    while (at < end) {
        const uint8_t *entry_end = NULL;
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
            if (++entry_count > MESSAGE_ENTRIES_MAX) return MESH_EPROTO;
            if (entry_count == 1) {
                reader->first = entry;
                after_first = entry_end;
            }
            batch_size_sum += entry.batch_size;
            at = entry_end;
            break;
        case REQUEST_FORWARD: at = proto_read_varint(at, end, &forward); break;
        default: at = proto_skip(at, end, tag, REQUEST_KNOWN_MAX); break;
        }
        if (at == NULL) return MESH_EPROTO;
    }
    if (acks < -1 || acks > 1 || batch_size_sum != attachment_size) return MESH_EPROTO;
    reader->acks = acks;
    reader->timeout_ms = timeout_ms;
    reader->entry_count = entry_count;
    reader->forwards = forward != 0;
    reader->has_first = entry_count > 0;
    reader->at = after_first;
    reader->end = end;
    return 0;
}

bool produce_request_reader_next(struct produce_request_reader *reader, struct produce_entry *ret_entry)
{
    const uint8_t *entry_end = NULL, *entry;

    if (reader->has_first) {
        *ret_entry = reader->first;
        reader->has_first = false;
        return true;
    }
    entry = proto_next_submessage(&reader->at, reader->end, REQUEST_ENTRIES, &entry_end);
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

/* The fields as they stand in the message, defaults for those that do not. */
struct result_fields {
    int32_t error;
    uint64_t base_offset;
    uint32_t leader_epoch;
    uint32_t replicas_holding;
    uint32_t replicas_synced;
    uint64_t append_time_plus_one_ms;
    uint64_t is_duplicate;
};

/* Reads fields in whatever order. */
static bool parse_result_rest(const uint8_t *at, const uint8_t *end, struct result_fields *fields)
{
    while (at < end) {
        uint32_t tag = 0;
        at = proto_read_tag(at, end, &tag);
        if (at == NULL) return false;
        switch (tag) {
        case RESULT_ERROR: at = proto_read_sint32(at, end, &fields->error); break;
        case RESULT_BASE_OFFSET: at = proto_read_varint(at, end, &fields->base_offset); break;
        case RESULT_LEADER_EPOCH: at = proto_read_uint32(at, end, &fields->leader_epoch); break;
        case RESULT_HOLDING: at = proto_read_uint32(at, end, &fields->replicas_holding); break;
        case RESULT_SYNCED: at = proto_read_uint32(at, end, &fields->replicas_synced); break;
        case RESULT_APPEND_TIME: at = proto_read_varint(at, end, &fields->append_time_plus_one_ms); break;
        case RESULT_IS_DUPLICATE: at = proto_read_varint(at, end, &fields->is_duplicate); break;
        default: at = proto_skip(at, end, tag, RESULT_KNOWN_MAX); break;
        }
        if (at == NULL) return false;
    }
    return true;
}

/* Reads [at, end); *result is garbage after a failure. */
static bool parse_result(const uint8_t *at, const uint8_t *end, struct produce_result *result)
{
    struct result_fields fields = {0};

    if (!proto_take_sint32(&at, end, RESULT_ERROR, &fields.error)) return false;
    if (!proto_take_varint(&at, end, RESULT_BASE_OFFSET, &fields.base_offset)) return false;
    if (!proto_take_uint32(&at, end, RESULT_LEADER_EPOCH, &fields.leader_epoch)) return false;
    if (!proto_take_uint32(&at, end, RESULT_HOLDING, &fields.replicas_holding)) return false;
    if (!proto_take_uint32(&at, end, RESULT_SYNCED, &fields.replicas_synced)) return false;
    if (!proto_take_varint(&at, end, RESULT_APPEND_TIME, &fields.append_time_plus_one_ms)) return false;
    if (!proto_take_varint(&at, end, RESULT_IS_DUPLICATE, &fields.is_duplicate)) return false;
    if (at < end && !parse_result_rest(at, end, &fields)) return false;
    if (fields.error > 0 || fields.append_time_plus_one_ms > (uint64_t)INT64_MAX + 1) return false;
    result->error = fields.error;
    result->base_offset = fields.base_offset;
    result->leader_epoch = (int32_t)fields.leader_epoch;
    result->replicas_holding = fields.replicas_holding;
    result->replicas_synced = fields.replicas_synced;
    result->append_time_ms = (int64_t)(fields.append_time_plus_one_ms - 1);
    result->is_duplicate = fields.is_duplicate != 0;
    return true;
}

int produce_response_reader_init(struct produce_response_reader *reader, struct slice message)
{
    const uint8_t *at = message.data, *end = proto_end(message), *after_first = end;
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
            if (result_count == 1) {
                reader->first = result;
                after_first = result_end;
            }
            if (result_count == 1) {
                reader->first = result;
                after_first = result_end;
            }
            at = result_end;
        } else {
            at = proto_skip(at, end, tag, RESPONSE_KNOWN_MAX);
            if (at == NULL) return MESH_EPROTO;
        }
    }
    reader->result_count = result_count;
    reader->has_first = result_count > 0;
    reader->at = after_first;
    reader->end = end;
    return 0;
}

bool produce_response_reader_next(struct produce_response_reader *reader, struct produce_result *ret_result)
{
    const uint8_t *result_end = NULL, *result;

    if (reader->has_first) {
        *ret_result = reader->first;
        reader->has_first = false;
        return true;
    }
    result = proto_next_submessage(&reader->at, reader->end, RESPONSE_RESULTS, &result_end);
    if (result == NULL) return false;
    if (!parse_result(result, result_end, ret_result)) MESH_ASSERT(!"the message changed after init");
    return true;
}
