/* kafka/header.c - see header.h. */
#include "kafka/header.h"

#include "kafka/messages.h"
#include "kafka/reader.h"

/* client_id, which is never compact, and tags; behind the fixed part. */
static int decode_rest(struct slice bytes, bool is_flexible, struct kafka_request_header *header)
{
    struct kafka_reader reader = kafka_reader_of(bytes, false);
    int err = kafka_read_slice(&reader, true, true, &header->client_id);

    reader.is_flexible = is_flexible;
    if (err == 0) err = kafka_skip_tags(&reader);
    header->message = slice_of(reader.at, kafka_bytes_left(&reader));
    return err;
}

int kafka_request_header_decode(struct slice request, struct kafka_request_header *ret_header)
{
    struct kafka_request_header header = {0};
    int err;

    if (request.size < KAFKA_REQUEST_SIZE_MIN) return MESH_EPROTO;
    header.key = (int16_t)be_load16(request.data);
    header.version = (int16_t)be_load16(request.data + 2);
    header.correlation_id = (int32_t)be_load32(request.data + 4);
    header.api = kafka_api_find(header.key);
    if (header.api == NULL || !kafka_api_has(header.api, header.version)) {
        *ret_header = header;
        return MESH_EUNSUPPORTED;
    }
    err = decode_rest(slice_of(request.data + KAFKA_REQUEST_SIZE_MIN, request.size - KAFKA_REQUEST_SIZE_MIN),
                      header.version >= header.api->flexible_min, &header);
    if (err == 0) *ret_header = header;
    return err;
}

size_t kafka_response_header_write(const struct kafka_api *api, int version, int32_t correlation_id, uint8_t to[KAFKA_RESPONSE_HEADER_MAX])
{
    be_store32(to, (uint32_t)correlation_id);
    if (version < api->flexible_min || api->key == KAFKA_API_VERSIONS) return 4;
    to[4] = 0; /* no tags */
    return 5;
}

/* Appends header and message, and sets the size in front of them. */
static int encode(struct kafka_form form, struct slice header, const void *message, struct buffer *buffer)
{
    uint8_t size[KAFKA_SIZE_SIZE] = {0};
    size_t start = buffer->size;
    int err = buffer_append(buffer, size, sizeof(size));

    if (err == 0) err = buffer_append(buffer, header.data, header.size);
    if (err == 0) err = kafka_encode(form, message, buffer);
    if (err == 0 && buffer->size - start - KAFKA_SIZE_SIZE > INT32_MAX) err = MESH_ETOOLARGE;
    if (err != 0) {
        buffer->size = start;
        return err;
    }
    be_store32(buffer->data + start, (uint32_t)(buffer->size - start - KAFKA_SIZE_SIZE));
    return 0;
}

int kafka_response_encode(const struct kafka_api *api, int version, int32_t correlation_id, const void *message, struct buffer *buffer)
{
    uint8_t header[KAFKA_RESPONSE_HEADER_MAX];
    size_t size = kafka_response_header_write(api, version, correlation_id, header);

    return encode(kafka_response_form(api, version), slice_of(header, size), message, buffer);
}

int kafka_request_encode(const struct kafka_api *api, int version, int32_t correlation_id, struct slice client_id, const void *message,
                         struct buffer *buffer)
{
    struct kafka_form form = kafka_request_form(api, version);
    struct buffer header = BUFFER_INIT;
    uint8_t fixed[KAFKA_REQUEST_SIZE_MIN + 2];
    int err;

    if (client_id.size > KAFKA_STRING_MAX) return MESH_ETOOLARGE;
    be_store16(fixed, (uint16_t)api->key);
    be_store16(fixed + 2, (uint16_t)version);
    be_store32(fixed + 4, (uint32_t)correlation_id);
    be_store16(fixed + 8, client_id.data == NULL ? 0xffff : (uint16_t)client_id.size);
    err = buffer_append(&header, fixed, sizeof(fixed));
    if (err == 0) err = buffer_append(&header, client_id.data, client_id.size);
    if (err == 0 && form.is_flexible) err = buffer_append(&header, "", 1);
    if (err == 0) err = encode(form, buffer_slice(&header), message, buffer);
    buffer_deinit(&header);
    return err;
}
