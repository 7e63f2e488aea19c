/* The fetch messages, walked by hand like the produce messages (see message_produce.c and message.h). */
#include "wire/message.h"

#include "base/assert.h"
#include "base/error.h"
#include "wire/proto.h"

/* FetchEntry */
#define ENTRY_TOPIC_ID     PROTO_TAG(1, PROTO_BYTES)
#define ENTRY_PARTITION    PROTO_TAG(2, PROTO_VARINT)
#define ENTRY_LEADER_EPOCH PROTO_TAG(3, PROTO_VARINT)
#define ENTRY_OFFSET       PROTO_TAG(4, PROTO_VARINT)
#define ENTRY_BYTES_MAX    PROTO_TAG(5, PROTO_VARINT)
#define ENTRY_KNOWN_MAX    5
#define ENTRY_SIZE_MAX     (PROTO_UUID_SIZE + 4 * PROTO_SCALAR_SIZE_MAX)

/* FetchRequest */
#define REQUEST_MAX_WAIT  PROTO_TAG(1, PROTO_VARINT)
#define REQUEST_BYTES_MIN PROTO_TAG(2, PROTO_VARINT)
#define REQUEST_BYTES_MAX PROTO_TAG(3, PROTO_VARINT)
#define REQUEST_ENTRIES   PROTO_TAG(4, PROTO_BYTES)
#define REQUEST_KNOWN_MAX 4

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
    start[0] = REQUEST_ENTRIES;
    start[1] = (uint8_t)(at - start - 2);
    to->size = (size_t)(at - to->data);
    return 0;
}

static inline bool parse_entry(const uint8_t *at, const uint8_t *end, struct fetch_entry *ret_entry)
{
    const uint8_t *topic_id = NULL;
    uint32_t partition = 0, bytes_max = 0;
    int32_t leader_epoch_plus_one = 0;
    uint64_t offset = 0;

    while (at < end) {
        uint32_t tag = 0;
        at = proto_read_tag(at, end, &tag);
        if (at == NULL) return false;
        switch (tag) {
        case ENTRY_TOPIC_ID: at = proto_read_uuid(at, end, &topic_id); break;
        case ENTRY_PARTITION: at = proto_read_uint32(at, end, &partition); break;
        case ENTRY_LEADER_EPOCH: at = proto_read_sint32(at, end, &leader_epoch_plus_one); break;
        case ENTRY_OFFSET: at = proto_read_varint(at, end, &offset); break;
        case ENTRY_BYTES_MAX: at = proto_read_uint32(at, end, &bytes_max); break;
        default: at = proto_skip(at, end, tag, ENTRY_KNOWN_MAX); break;
        }
        if (at == NULL) return false;
    }
    if (topic_id == NULL || leader_epoch_plus_one < 0) return false;
    memcpy(ret_entry->topic_id.bytes, topic_id, UUID_SIZE);
    ret_entry->partition = partition;
    ret_entry->leader_epoch = leader_epoch_plus_one - 1;
    ret_entry->offset = offset;
    ret_entry->bytes_max = bytes_max;
    return true;
}

int fetch_request_reader_init(struct fetch_request_reader *reader, struct slice message)
{
    const uint8_t *at = message.data, *end = proto_end(message), *first_entry = end;
    uint32_t max_wait_ms = 0, bytes_min = 0, bytes_max = 0, entry_count = 0;

    while (at < end) {
        const uint8_t *field = at, *entry_end = NULL;
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
            if (entry_count == 0) first_entry = field;
            if (++entry_count > MESSAGE_ENTRIES_MAX) return MESH_EPROTO;
            at = entry_end;
            break;
        default: at = proto_skip(at, end, tag, REQUEST_KNOWN_MAX); break;
        }
        if (at == NULL) return MESH_EPROTO;
    }
    *reader = (struct fetch_request_reader){max_wait_ms, bytes_min, bytes_max, entry_count, first_entry, end};
    return 0;
}

bool fetch_request_reader_next(struct fetch_request_reader *reader, struct fetch_entry *ret_entry)
{
    const uint8_t *entry_end = NULL;
    const uint8_t *entry = proto_next_submessage(&reader->at, reader->end, REQUEST_ENTRIES, &entry_end);

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

static inline bool parse_result(const uint8_t *at, const uint8_t *end, struct fetch_result *ret_result)
{
    struct fetch_result result = {0};
    uint32_t leader_epoch = 0;
    int32_t error = 0;

    while (at < end) {
        uint32_t tag = 0;
        at = proto_read_tag(at, end, &tag);
        if (at == NULL) return false;
        switch (tag) {
        case RESULT_ENTRY: at = proto_read_uint32(at, end, &result.entry); break;
        case RESULT_ERROR: at = proto_read_sint32(at, end, &error); break;
        case RESULT_HIGH_WATERMARK: at = proto_read_varint(at, end, &result.high_watermark); break;
        case RESULT_LOG_START: at = proto_read_varint(at, end, &result.log_start); break;
        case RESULT_RECORDS_SIZE: at = proto_read_uint32(at, end, &result.records_size); break;
        case RESULT_NEXT_OFFSET: at = proto_read_varint(at, end, &result.next_offset); break;
        case RESULT_LEADER_EPOCH: at = proto_read_uint32(at, end, &leader_epoch); break;
        default: at = proto_skip(at, end, tag, RESULT_KNOWN_MAX); break;
        }
        if (at == NULL) return false;
    }
    if (error > 0) return false;
    result.error = error;
    result.leader_epoch = (int32_t)leader_epoch;
    *ret_result = result;
    return true;
}

int fetch_response_reader_init(struct fetch_response_reader *reader, struct slice message,
                               uint32_t attachment_size)
{
    const uint8_t *at = message.data, *end = proto_end(message);
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
            records_size_sum += result.records_size;
            at = result_end;
        } else {
            at = proto_skip(at, end, tag, RESPONSE_KNOWN_MAX);
            if (at == NULL) return MESH_EPROTO;
        }
    }
    if (records_size_sum != attachment_size) return MESH_EPROTO;
    *reader = (struct fetch_response_reader){result_count, message.data, end};
    return 0;
}

bool fetch_response_reader_next(struct fetch_response_reader *reader, struct fetch_result *ret_result)
{
    const uint8_t *result_end = NULL;
    const uint8_t *result = proto_next_submessage(&reader->at, reader->end, RESPONSE_RESULTS, &result_end);

    if (result == NULL) return false;
    if (!parse_result(result, result_end, ret_result)) MESH_ASSERT(!"the message changed after init");
    return true;
}
