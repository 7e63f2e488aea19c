#include "raw_client.h"

#include "base/clock.h"
#include "base/error.h"
#include "replication/coordinator/image.h"
#include "wire/record_batch.h"

#include <arpa/inet.h>
#include <check.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define PATIENCE_SECONDS 30 /* how long a broken broker hangs a test */
#define SHARD_COUNT      2

void raw_frame_deinit(struct raw_frame *frame)
{
    buffer_deinit(&frame->message);
    buffer_deinit(&frame->attachment);
}

void raw_connect(struct raw_client *client, uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct timeval patience = {.tv_sec = PATIENCE_SECONDS};

    *client = (struct raw_client){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .next_correlation_id = 1,
                                  .produce_timeout_ms = 30000};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_ge(client->fd, 0);
    setsockopt(client->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    ck_assert_int_eq(connect(client->fd, (struct sockaddr *)&address, sizeof(address)), 0);
}

void raw_close(struct raw_client *client)
{
    if (client->fd >= 0) close(client->fd);
    client->fd = -1;
    buffer_deinit(&client->in);
}

void raw_send_bytes(struct raw_client *client, const void *bytes, size_t size)
{
    const char *at = bytes;

    while (size > 0) {
        ssize_t sent = send(client->fd, at, size, MSG_NOSIGNAL);
        if (sent <= 0) return; /* closed by the broker: the test will see that when it reads */
        at += sent;
        size -= (size_t)sent;
    }
}

uint32_t raw_send(struct raw_client *client, uint16_t op, struct slice message, struct slice attachment)
{
    struct frame_header header = {.op = op,
                                  .correlation_id = client->next_correlation_id++,
                                  .message_size = (uint32_t)message.size,
                                  .attachment_size = (uint32_t)attachment.size};
    struct buffer frame = BUFFER_INIT;
    uint8_t bytes[FRAME_HEADER_SIZE];

    frame_write_header(bytes, &header, message.data);
    ck_assert_int_eq(buffer_append(&frame, bytes, sizeof(bytes)), 0);
    ck_assert_int_eq(buffer_append(&frame, message.data, message.size), 0);
    ck_assert_int_eq(buffer_append(&frame, attachment.data, attachment.size), 0);
    raw_send_bytes(client, frame.data, frame.size);
    buffer_deinit(&frame);
    return header.correlation_id;
}

static bool receive_until(struct raw_client *client, size_t size)
{
    while (client->in.size < size) {
        uint8_t chunk[65536];
        ssize_t got = recv(client->fd, chunk, sizeof(chunk), 0);

        if (got <= 0) return false;
        ck_assert_int_eq(buffer_append(&client->in, chunk, (size_t)got), 0);
    }
    return true;
}

bool raw_receive(struct raw_client *client, struct raw_frame *ret_frame)
{
    struct frame_header *header = &ret_frame->header;
    size_t size;

    *ret_frame = (struct raw_frame){0};
    if (!receive_until(client, FRAME_HEADER_SIZE)) return false;
    ck_assert_int_eq(frame_parse_header(buffer_slice(&client->in), UINT32_MAX, header), 0);
    size = FRAME_HEADER_SIZE + (size_t)header->message_size + header->attachment_size;
    if (!receive_until(client, size)) return false;
    ck_assert_int_eq(frame_verify(client->in.data, header), 0);
    ck_assert(header->flags & FRAME_FLAG_RESPONSE);
    buffer_append(&ret_frame->message, client->in.data + FRAME_HEADER_SIZE, header->message_size);
    buffer_append(&ret_frame->attachment, client->in.data + FRAME_HEADER_SIZE + header->message_size,
                  header->attachment_size);
    if (header->flags & FRAME_FLAG_ERROR) {
        struct message_error error;
        ck_assert_int_eq(message_decode_error(buffer_slice(&ret_frame->message), &error), 0);
        ret_frame->error = error.error;
        ck_assert_int_lt(error.error, 0);
        ck_assert_str_ne(error.message, "");
        message_deinit_error(&error);
    }
    buffer_consume(&client->in, size);
    return true;
}

void raw_expect(struct raw_client *client, uint32_t correlation_id, struct raw_frame *ret_frame)
{
    ck_assert(raw_receive(client, ret_frame));
    ck_assert_msg(ret_frame->error == 0, "error frame: %s", mesh_strerror(ret_frame->error));
    ck_assert_uint_eq(ret_frame->header.correlation_id, correlation_id);
}

int raw_expect_error(struct raw_client *client)
{
    struct raw_frame frame;

    ck_assert(raw_receive(client, &frame));
    ck_assert_int_ne(frame.error, 0);
    raw_frame_deinit(&frame);
    return frame.error;
}

/* ---- requests ---- */

uint32_t raw_hello(struct raw_client *client, uint16_t port, int32_t shard)
{
    struct message_hello_request request = {
        .client_name = (char[]){"raw"}, .client_version = (char[]){"1"}, .version_min = 1, .version_max = 1, .shard = shard};
    struct message_hello_response response;
    struct buffer message = BUFFER_INIT;
    struct raw_frame frame;
    uint32_t answered;

    raw_connect(client, port);
    ck_assert_int_eq(message_encode_hello_request(&message, &request), 0);
    raw_expect(client, raw_send(client, FRAME_OP_HELLO, buffer_slice(&message), slice_of(NULL, 0)), &frame);
    ck_assert_int_eq(message_decode_hello_response(buffer_slice(&frame.message), &response), 0);
    answered = response.shard;
    ck_assert_uint_eq(response.shard_count, SHARD_COUNT);
    message_deinit_hello_response(&response);
    raw_frame_deinit(&frame);
    buffer_deinit(&message);
    return answered;
}

static struct uuid topic_request(struct raw_client *client, uint16_t op, struct buffer *message)
{
    struct message_topic_response response;
    struct raw_frame frame;
    struct uuid topic_id;

    raw_expect(client, raw_send(client, op, buffer_slice(message), slice_of(NULL, 0)), &frame);
    ck_assert_int_eq(message_decode_topic_response(buffer_slice(&frame.message), &response), 0);
    ck_assert_uint_eq(response.topic_count, 1);
    ck_assert_int_eq(response.topics[0].error, 0);
    topic_id = response.topics[0].topic_id;
    message_deinit_topic_response(&response);
    raw_frame_deinit(&frame);
    buffer_deinit(message);
    return topic_id;
}

struct uuid raw_topic_create(struct raw_client *client, const char *name, int32_t partitions, const char *config_key,
                             const char *config_value)
{
    struct message_config config = {(char *)(uintptr_t)config_key, (char *)(uintptr_t)config_value, false};
    struct message_topic_create request = {.name = (char *)(uintptr_t)name,
                                           .partition_count = partitions,
                                           .replication_factor = 1,
                                           .configs = &config,
                                           .config_count = config_key != NULL};
    struct buffer message = BUFFER_INIT;

    ck_assert_int_eq(message_encode_topic_create(&message, &request), 0);
    return topic_request(client, FRAME_OP_TOPIC_CREATE, &message);
}

void raw_topic_delete(struct raw_client *client, const char *name)
{
    struct message_topic_delete request = {.name = (char *)(uintptr_t)name};
    struct buffer message = BUFFER_INIT;

    ck_assert_int_eq(message_encode_topic_delete(&message, &request), 0);
    (void)topic_request(client, FRAME_OP_TOPIC_DELETE, &message);
}

bool raw_topic_leaders(struct raw_client *client, const char *name, int32_t *ret_leaders, size_t count)
{
    char *names[] = {(char *)(uintptr_t)name};
    const struct message_topic_describe request = {.names = names, .name_count = 1};
    struct message_topic_response response;
    struct buffer message = BUFFER_INIT;
    struct raw_frame frame;
    bool is_known;

    ck_assert_int_eq(message_encode_topic_describe(&message, &request), 0);
    raw_expect(client, raw_send(client, FRAME_OP_TOPIC_DESCRIBE, buffer_slice(&message), slice_of(NULL, 0)), &frame);
    ck_assert_int_eq(message_decode_topic_response(buffer_slice(&frame.message), &response), 0);
    ck_assert_uint_eq(response.topic_count, 1);
    is_known = response.topics[0].error == 0;
    for (size_t i = 0; is_known && i < count; i++)
        ret_leaders[i] = response.topics[0].partitions[i].leader;
    message_deinit_topic_response(&response);
    raw_frame_deinit(&frame);
    buffer_deinit(&message);
    return is_known;
}

int64_t raw_now_ms(void)
{
    return clock_wall_ms();
}

struct buffer raw_batch(int count, size_t value_size, int64_t producer_id, int32_t base_sequence, int64_t timestamp_ms)
{
    struct record_batch_producer producer = {producer_id, producer_id < 0 ? -1 : 0, base_sequence};
    struct buffer bytes = BUFFER_INIT, unused = BUFFER_INIT;
    struct record_batch_builder builder;
    char *value = malloc(value_size + 1);
    struct slice batch;

    memset(value, 'v', value_size);
    record_batch_builder_init(&builder);
    for (int i = 0; i < count; i++) {
        struct record record = {
            .timestamp_ms = timestamp_ms, .value = slice_of(value, value_size), .key_is_null = true};
        ck_assert_int_eq(record_batch_builder_add(&builder, &record), 0);
    }
    ck_assert_int_eq(
        record_batch_builder_finish(&builder, &producer, 0, RECORD_COMPRESSION_NONE, &unused, &batch), 0);
    ck_assert_int_eq(buffer_append(&bytes, batch.data, batch.size), 0);
    record_batch_builder_deinit(&builder);
    buffer_deinit(&unused);
    free(value);
    return bytes;
}

uint32_t raw_produce_send(struct raw_client *client, const struct uuid *topic_id, uint32_t partition,
                          const struct buffer *batch, int32_t acks)
{
    struct produce_entry entry = {*topic_id, partition, -1, (uint32_t)batch->size};
    struct buffer message = BUFFER_INIT;
    uint32_t correlation_id;

    ck_assert_int_eq(produce_request_start(&message, acks, client->produce_timeout_ms), 0);
    ck_assert_int_eq(produce_request_add(&message, &entry), 0);
    correlation_id = raw_send(client, FRAME_OP_PRODUCE, buffer_slice(&message), buffer_slice(batch));
    buffer_deinit(&message);
    return correlation_id;
}

struct produce_result raw_produce_result(struct raw_client *client, uint32_t correlation_id)
{
    struct produce_response_reader reader;
    struct produce_result result;
    struct raw_frame frame;

    raw_expect(client, correlation_id, &frame);
    ck_assert_int_eq(produce_response_reader_init(&reader, buffer_slice(&frame.message)), 0);
    ck_assert_uint_eq(reader.result_count, 1);
    ck_assert(produce_response_reader_next(&reader, &result));
    raw_frame_deinit(&frame);
    return result;
}

struct produce_result raw_produce(struct raw_client *client, const struct uuid *topic_id, uint32_t partition,
                                  const struct buffer *batch)
{
    return raw_produce_result(client, raw_produce_send(client, topic_id, partition, batch, -1));
}

uint32_t raw_fetch_send(struct raw_client *client, const struct raw_fetch *options, const struct fetch_entry *entries,
                        uint32_t count)
{
    struct buffer message = BUFFER_INIT;
    uint32_t correlation_id;

    ck_assert_int_eq(fetch_request_start(&message, options->max_wait_ms, options->bytes_min, options->bytes_max), 0);
    for (uint32_t i = 0; i < count; i++)
        ck_assert_int_eq(fetch_request_add(&message, &entries[i]), 0);
    correlation_id = raw_send(client, FRAME_OP_FETCH, buffer_slice(&message), slice_of(NULL, 0));
    buffer_deinit(&message);
    return correlation_id;
}

uint32_t raw_fetch_results(struct raw_client *client, uint32_t correlation_id, struct fetch_result *results,
                           uint32_t count, struct buffer *records)
{
    struct fetch_response_reader reader;
    struct raw_frame frame;
    uint32_t got = 0;

    raw_expect(client, correlation_id, &frame);
    ck_assert_int_eq(
        fetch_response_reader_init(&reader, buffer_slice(&frame.message), frame.header.attachment_size), 0);
    while (got < count && fetch_response_reader_next(&reader, &results[got]))
        got++;
    if (records != NULL) buffer_append(records, frame.attachment.data, frame.attachment.size);
    raw_frame_deinit(&frame);
    return got;
}

struct list_offsets_result raw_list_offsets(struct raw_client *client, const struct uuid *topic_id, uint32_t partition,
                                            int64_t timestamp_ms)
{
    struct list_offsets_entry entry = {*topic_id, partition, timestamp_ms, 0, 0, false};
    struct message_list_offsets_request request = {.entries = &entry, .entry_count = 1};
    struct message_list_offsets_response response;
    struct buffer message = BUFFER_INIT;
    struct list_offsets_result result;
    struct raw_frame frame;

    ck_assert_int_eq(message_encode_list_offsets_request(&message, &request), 0);
    raw_expect(client, raw_send(client, FRAME_OP_LIST_OFFSETS, buffer_slice(&message), slice_of(NULL, 0)), &frame);
    ck_assert_int_eq(message_decode_list_offsets_response(buffer_slice(&frame.message), &response), 0);
    ck_assert_uint_eq(response.result_count, 1);
    result = response.results[0];
    message_deinit_list_offsets_response(&response);
    raw_frame_deinit(&frame);
    buffer_deinit(&message);
    return result;
}

struct message_init_producer_response raw_init_producer(struct raw_client *client)
{
    struct message_init_producer_response response;
    struct raw_frame frame;

    raw_expect(client, raw_send(client, FRAME_OP_INIT_PRODUCER, slice_of(NULL, 0), slice_of(NULL, 0)), &frame);
    ck_assert_int_eq(message_decode_init_producer_response(buffer_slice(&frame.message), &response), 0);
    raw_frame_deinit(&frame);
    return response;
}

void raw_ping(struct raw_client *client)
{
    struct raw_frame frame;

    raw_expect(client, raw_send(client, FRAME_OP_PING, slice_of("hi", 2), slice_of(NULL, 0)), &frame);
    ck_assert_uint_eq(frame.message.size, 2);
    raw_frame_deinit(&frame);
}

uint32_t raw_shard_of(const struct uuid *topic_id, uint32_t partition)
{
    return image_shard_of(topic_id, partition, SHARD_COUNT);
}
