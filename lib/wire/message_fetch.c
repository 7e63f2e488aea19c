/* The fetch messages, walked by hand like the produce messages (see message_produce.c and message.h). */
#include "wire/message.h"

#include "base/assert.h"
#include "base/error.h"
#include "wire/proto.h"

/* FetchEntry */
#define ENTRY_TOPIC_ID      PROTO_TAG(1, PROTO_BYTES)
#define ENTRY_PARTITION     PROTO_TAG(2, PROTO_VARINT)
#define ENTRY_LEADER_EPOCH  PROTO_TAG(3, PROTO_VARINT)
#define ENTRY_OFFSET        PROTO_TAG(4, PROTO_VARINT)
#define ENTRY_BYTES_MAX     PROTO_TAG(5, PROTO_VARINT)
#define ENTRY_IS_DOUBTED    PROTO_TAG(6, PROTO_VARINT)
#define ENTRY_SKIPS_CONTROL PROTO_TAG(7, PROTO_VARINT)
#define ENTRY_KNOWN_MAX     7
#define ENTRY_SIZE_MAX      (PROTO_UUID_SIZE + 6 * PROTO_SCALAR_SIZE_MAX)

/* FetchRequest */
#define REQUEST_MAX_WAIT  PROTO_TAG(1, PROTO_VARINT)
#define REQUEST_BYTES_MIN PROTO_TAG(2, PROTO_VARINT)
#define REQUEST_BYTES_MAX PROTO_TAG(3, PROTO_VARINT)
#define REQUEST_ENTRIES   PROTO_TAG(4, PROTO_BYTES)
#define REQUEST_FORWARD   PROTO_TAG(5, PROTO_VARINT)
#define REQUEST_KNOWN_MAX 5

/* FetchResult */
#define RESULT_ENTRY          PROTO_TAG(1, PROTO_VARINT)
#define RESULT_ERROR          PROTO_TAG(2, PROTO_VARINT)
#define RESULT_HIGH_WATERMARK PROTO_TAG(3, PROTO_VARINT)
#define RESULT_LOG_START      PROTO_TAG(4, PROTO_VARINT)
#define RESULT_RECORDS_SIZE   PROTO_TAG(5, PROTO_VARINT)
#define RESULT_NEXT_OFFSET    PROTO_TAG(6, PROTO_VARINT)
#define RESULT_LEADER_EPOCH   PROTO_TAG(7, PROTO_VARINT)
#define RESULT_KNOWN_MAX      7
#define RESULT_SIZE_MAX       (7 * PROTO_SCALAR_SIZE_MAX)

/* FetchResponse */
#define RESPONSE_RESULTS   PROTO_TAG(1, PROTO_BYTES)
#define RESPONSE_KNOWN_MAX 1

/* Submessages stay below 128 bytes, so that their length is one byte, written after them. */
_Static_assert(ENTRY_SIZE_MAX < 0x80 && RESULT_SIZE_MAX < 0x80, "a longer submessage needs a longer length");

/* ---- request ---- */

int fetch_request_start(struct buffer *to, uint32_t max_wait_ms, uint32_t bytes_min, uint32_t bytes_max)
{
    uint8_t *at = proto_room(to, 3 * PROTO_SCALAR_SIZE_MAX);

    if (at == NULL) return MESH_ENOMEM;
    at = proto_write_varint(at, REQUEST_MAX_WAIT, max_wait_ms);
    at = proto_write_varint(at, REQUEST_BYTES_MIN, bytes_min);
    at = proto_write_varint(at, REQUEST_BYTES_MAX, bytes_max);
    to->size = (size_t)(at - to->data);
    return 0;
}

int fetch_request_forward(struct buffer *to)
{
    uint8_t *at = proto_room(to, PROTO_SCALAR_SIZE_MAX);

    if (at == NULL) return MESH_ENOMEM;
    to->size = (size_t)(proto_write_varint(at, REQUEST_FORWARD, 1) - to->data);
    return 0;
}

int fetch_request_add(struct buffer *to, const struct fetch_entry *entry)
{
    uint8_t *start = proto_room(to, 2 + ENTRY_SIZE_MAX);
    uint8_t *at;

    if (start == NULL) return MESH_ENOMEM;
    if (entry->leader_epoch < -1 || entry->leader_epoch == INT32_MAX) return MESH_EINVAL;
    at = start + 2;
    at = proto_write_uuid(at, ENTRY_TOPIC_ID, &entry->topic_id);
    at = proto_write_varint(at, ENTRY_PARTITION, entry->partition);
    at = proto_write_sint32(at, ENTRY_LEADER_EPOCH, entry->leader_epoch + 1);
    at = proto_write_varint(at, ENTRY_OFFSET, entry->offset);
    at = proto_write_varint(at, ENTRY_BYTES_MAX, entry->bytes_max);
    at = proto_write_varint(at, ENTRY_IS_DOUBTED, entry->is_doubted);
    at = proto_write_varint(at, ENTRY_SKIPS_CONTROL, entry->skips_control);
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
    uint64_t offset;
    uint32_t bytes_max;
    uint64_t is_doubted, skips_control;
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
        case ENTRY_OFFSET: at = proto_read_varint(at, end, &fields->offset); break;
        case ENTRY_BYTES_MAX: at = proto_read_uint32(at, end, &fields->bytes_max); break;
        case ENTRY_IS_DOUBTED: at = proto_read_varint(at, end, &fields->is_doubted); break;
        case ENTRY_SKIPS_CONTROL: at = proto_read_varint(at, end, &fields->skips_control); break;
        default: at = proto_skip(at, end, tag, ENTRY_KNOWN_MAX); break;
        }
        if (at == NULL) return false;
    }
    return true;
}

/* Reads [at, end); *entry is garbage after a failure. */
static bool parse_entry(const uint8_t *at, const uint8_t *end, struct fetch_entry *entry)
{
    struct entry_fields fields = {0};

    if (!proto_take_uuid(&at, end, ENTRY_TOPIC_ID, &fields.topic_id)) return false;
    if (!proto_take_uint32(&at, end, ENTRY_PARTITION, &fields.partition)) return false;
    if (!proto_take_sint32(&at, end, ENTRY_LEADER_EPOCH, &fields.leader_epoch_plus_one)) return false;
    if (!proto_take_varint(&at, end, ENTRY_OFFSET, &fields.offset)) return false;
    if (!proto_take_uint32(&at, end, ENTRY_BYTES_MAX, &fields.bytes_max)) return false;
    if (at < end && !parse_entry_rest(at, end, &fields)) return false;
    if (fields.topic_id == NULL || fields.leader_epoch_plus_one < 0) return false;
    memcpy(entry->topic_id.bytes, fields.topic_id, UUID_SIZE);
    entry->partition = fields.partition;
    entry->leader_epoch = fields.leader_epoch_plus_one - 1;
    entry->offset = fields.offset;
    entry->bytes_max = fields.bytes_max;
    entry->is_doubted = fields.is_doubted != 0;
    entry->skips_control = fields.skips_control != 0;
    return true;
}

int fetch_request_reader_init(struct fetch_request_reader *reader, struct slice message)
{
    const uint8_t *at = message.data, *end = proto_end(message), *after_first = end;
    uint32_t max_wait_ms = 0, bytes_min = 0, bytes_max = 0, entry_count = 0;
    uint64_t forward = 0;

    while (at < end) {
        const uint8_t *entry_end = NULL;
        struct fetch_entry entry;
        uint32_t tag = 0;

        at = proto_read_tag(at, end, &tag);
        if (at == NULL) return MESH_EPROTO;
        switch (tag) {
        case REQUEST_MAX_WAIT: at = proto_read_uint32(at, end, &max_wait_ms); break;
        case REQUEST_BYTES_MIN: at = proto_read_uint32(at, end, &bytes_min); break;
        case REQUEST_BYTES_MAX: at = proto_read_uint32(at, end, &bytes_max); break;
        case REQUEST_ENTRIES:
            at = proto_read_length(at, end, &entry_end);
            if (at == NULL || !parse_entry(at, entry_end, &entry)) return MESH_EPROTO;
            if (++entry_count > MESSAGE_ENTRIES_MAX) return MESH_EPROTO;
            if (entry_count == 1) {
                reader->first = entry;
                after_first = entry_end;
            }
            at = entry_end;
            break;
        case REQUEST_FORWARD: at = proto_read_varint(at, end, &forward); break;
        default: at = proto_skip(at, end, tag, REQUEST_KNOWN_MAX); break;
        }
        if (at == NULL) return MESH_EPROTO;
    }
    reader->max_wait_ms = max_wait_ms;
    reader->bytes_min = bytes_min;
    reader->bytes_max = bytes_max;
    reader->entry_count = entry_count;
    reader->forwards = forward != 0;
    reader->has_first = entry_count > 0;
    reader->at = after_first;
    reader->end = end;
    return 0;
}

bool fetch_request_reader_next(struct fetch_request_reader *reader, struct fetch_entry *ret_entry)
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

int fetch_response_add(struct buffer *to, const struct fetch_result *result)
{
    uint8_t *start = proto_room(to, 2 + RESULT_SIZE_MAX);
    uint8_t *at;

    if (start == NULL) return MESH_ENOMEM;
    MESH_ASSERT(result->error <= 0);
    at = start + 2;
    at = proto_write_varint(at, RESULT_ENTRY, result->entry);
    at = proto_write_sint32(at, RESULT_ERROR, result->error);
    at = proto_write_varint(at, RESULT_HIGH_WATERMARK, result->high_watermark);
    at = proto_write_varint(at, RESULT_LOG_START, result->log_start);
    at = proto_write_varint(at, RESULT_RECORDS_SIZE, result->records_size);
    at = proto_write_varint(at, RESULT_NEXT_OFFSET, result->next_offset);
    at = proto_write_int32(at, RESULT_LEADER_EPOCH, result->leader_epoch);
    start[0] = RESPONSE_RESULTS;
    start[1] = (uint8_t)(at - start - 2);
    to->size = (size_t)(at - to->data);
    return 0;
}

/* The fields as they stand in the message, defaults for those that do not. */
struct result_fields {
    uint32_t entry;
    int32_t error;
    uint64_t high_watermark;
    uint64_t log_start;
    uint32_t records_size;
    uint64_t next_offset;
    uint32_t leader_epoch;
};

/* Reads fields in whatever order. */
static bool parse_result_rest(const uint8_t *at, const uint8_t *end, struct result_fields *fields)
{
    while (at < end) {
        uint32_t tag = 0;
        at = proto_read_tag(at, end, &tag);
        if (at == NULL) return false;
        switch (tag) {
        case RESULT_ENTRY: at = proto_read_uint32(at, end, &fields->entry); break;
        case RESULT_ERROR: at = proto_read_sint32(at, end, &fields->error); break;
        case RESULT_HIGH_WATERMARK: at = proto_read_varint(at, end, &fields->high_watermark); break;
        case RESULT_LOG_START: at = proto_read_varint(at, end, &fields->log_start); break;
        case RESULT_RECORDS_SIZE: at = proto_read_uint32(at, end, &fields->records_size); break;
        case RESULT_NEXT_OFFSET: at = proto_read_varint(at, end, &fields->next_offset); break;
        case RESULT_LEADER_EPOCH: at = proto_read_uint32(at, end, &fields->leader_epoch); break;
        default: at = proto_skip(at, end, tag, RESULT_KNOWN_MAX); break;
        }
        if (at == NULL) return false;
    }
    return true;
}

/* Reads [at, end); *result is garbage after a failure. */
static bool parse_result(const uint8_t *at, const uint8_t *end, struct fetch_result *result)
{
    struct result_fields fields = {0};

    if (!proto_take_uint32(&at, end, RESULT_ENTRY, &fields.entry)) return false;
    if (!proto_take_sint32(&at, end, RESULT_ERROR, &fields.error)) return false;
    if (!proto_take_varint(&at, end, RESULT_HIGH_WATERMARK, &fields.high_watermark)) return false;
    if (!proto_take_varint(&at, end, RESULT_LOG_START, &fields.log_start)) return false;
    if (!proto_take_uint32(&at, end, RESULT_RECORDS_SIZE, &fields.records_size)) return false;
    if (!proto_take_varint(&at, end, RESULT_NEXT_OFFSET, &fields.next_offset)) return false;
    if (!proto_take_uint32(&at, end, RESULT_LEADER_EPOCH, &fields.leader_epoch)) return false;
    if (at < end && !parse_result_rest(at, end, &fields)) return false;
    if (fields.error > 0) return false;
    result->entry = fields.entry;
    result->error = fields.error;
    result->high_watermark = fields.high_watermark;
    result->log_start = fields.log_start;
    result->records_size = fields.records_size;
    result->next_offset = fields.next_offset;
    result->leader_epoch = (int32_t)fields.leader_epoch;
    return true;
}

int fetch_response_reader_init(struct fetch_response_reader *reader, struct slice message,
                               uint32_t attachment_size)
{
    const uint8_t *at = message.data, *end = proto_end(message), *after_first = end;
    uint64_t records_size_sum = 0; /* at most MESSAGE_ENTRIES_MAX * 2^32 */
    uint32_t result_count = 0;

    while (at < end) {
        const uint8_t *result_end = NULL;
        struct fetch_result result;
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
            records_size_sum += result.records_size;
            at = result_end;
        } else {
            at = proto_skip(at, end, tag, RESPONSE_KNOWN_MAX);
            if (at == NULL) return MESH_EPROTO;
        }
    }
    if (records_size_sum != attachment_size) return MESH_EPROTO;
    reader->result_count = result_count;
    reader->has_first = result_count > 0;
    reader->at = after_first;
    reader->end = end;
    return 0;
}

bool fetch_response_reader_next(struct fetch_response_reader *reader, struct fetch_result *ret_result)
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
