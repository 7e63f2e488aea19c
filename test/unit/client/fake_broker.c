#include "fake_broker.h"

#include "fake_log.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- answers ---- */

struct answer {
    struct buffer message;
    struct buffer attachment;
    uint8_t flags;
};

static void send_bytes(struct fake_connection *connection, const uint8_t *data, size_t size, bool is_drip)
{
    while (size > 0) {
        ssize_t sent = send(connection->fd, data, is_drip ? 1 : size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent <= 0) return; /* the client has gone; the next poll says so */
        data += sent;
        size -= (size_t)sent;
    }
}

static void frame_answer(const struct frame_header *request, const struct answer *answer, struct buffer *to)
{
    struct frame_header header = {.flags = FRAME_FLAG_RESPONSE | answer->flags,
                                  .op = request->op,
                                  .correlation_id = request->correlation_id,
                                  .message_size = (uint32_t)answer->message.size,
                                  .attachment_size = (uint32_t)answer->attachment.size};

    MESH_ASSERT(buffer_reserve(to, FRAME_HEADER_SIZE) == 0);
    frame_write_header(to->data + to->size, &header, answer->message.data);
    to->size += FRAME_HEADER_SIZE;
    buffer_append(to, answer->message.data, answer->message.size);
    buffer_append(to, answer->attachment.data, answer->attachment.size);
}

static void refuse(struct answer *answer, int error)
{
    const struct message_error message = {error, (char *)(uintptr_t) "refused by the script"};

    answer->flags = FRAME_FLAG_ERROR;
    message_encode_error(&answer->message, &message);
}

/* ---- several brokers ---- */

static struct fake_broker *data_of(struct fake_broker *broker)
{
    return broker->mesh != NULL ? broker->mesh->brokers[0] : broker;
}

static int epoch_of(const struct fake_broker *broker, uint32_t partition)
{
    return broker->mesh != NULL ? atomic_load(&broker->mesh->epochs[partition]) : atomic_load(&broker->epoch);
}

/* Errors: of an entry that this broker does not serve. Those that it serves in place of their leader are counted. */
static int judge_entry(struct fake_broker *broker, uint32_t partition, int32_t leader_epoch, bool forwards, enum frame_op op)
{
    struct fake_mesh *mesh = broker->mesh;

    if (partition >= broker->partition_count) return 0;
    if (mesh != NULL && mesh->brokers[atomic_load(&mesh->leaders[partition])] != broker) {
        if (!forwards) {
            atomic_fetch_add(&mesh->misdirected, 1);
            return MESH_ENOT_LEADER;
        }
        atomic_fetch_add(op == FRAME_OP_LIST_OFFSETS ? &mesh->forwarded_offsets : &mesh->forwarded, 1);
    }
    return leader_epoch >= 0 && leader_epoch < epoch_of(broker, partition) ? MESH_ESTALE_EPOCH : 0;
}

/* ---- produce ---- */

static struct fake_window *window_of(struct fake_partition *partition, int64_t producer_id)
{
    struct fake_window *window;

    for (uint32_t i = 0; i < partition->window_count; i++)
        if (partition->windows[i].producer_id == producer_id) return &partition->windows[i];
    if (partition->window_count == FAKE_PRODUCERS_MAX) partition->window_count = 0;
    window = &partition->windows[partition->window_count++];
    *window = (struct fake_window){.producer_id = producer_id, .next_sequence = -1};
    return window;
}

/* Duplicate: *ret_offset is the first one's. Errors: MESH_EOUT_OF_ORDER_SEQUENCE. */
static int check_sequence(struct fake_window *window, const struct record_batch_header *header,
                          uint64_t *ret_offset, bool *ret_duplicate)
{
    if (header->producer_epoch < window->producer_epoch) return MESH_EPRODUCER_FENCED;
    if (header->producer_epoch > window->producer_epoch && header->base_sequence == 0) {
        window->batch_count = 0;
        window->next_sequence = -1;
    }
    for (uint32_t i = 0; i < window->batch_count; i++) {
        if (window->batches[i].first_sequence != header->base_sequence ||
            window->batches[i].count != header->record_count)
            continue;
        *ret_offset = window->batches[i].base_offset;
        *ret_duplicate = true;
        return 0;
    }
    if (window->next_sequence >= 0 && window->next_sequence != header->base_sequence)
        return MESH_EOUT_OF_ORDER_SEQUENCE;
    if (window->next_sequence < 0 && header->base_sequence != 0) return MESH_EUNKNOWN_PRODUCER;
    return 0;
}

static void remember(struct fake_window *window, const struct record_batch_header *header,
                     uint64_t base_offset)
{
    if (window->batch_count == FAKE_WINDOW)
        memmove(window->batches, window->batches + 1, sizeof(window->batches[0]) * --window->batch_count);
    window->batches[window->batch_count].first_sequence = header->base_sequence;
    window->batches[window->batch_count].count = header->record_count;
    window->batches[window->batch_count++].base_offset = base_offset;
    window->producer_epoch = header->producer_epoch;
    window->next_sequence =
        (int32_t)(((uint32_t)header->base_sequence + (uint32_t)header->record_count) & INT32_MAX);
}

static void append(struct fake_broker *broker, uint32_t index, uint8_t *batch, size_t size,
                   struct produce_result *result)
{
    struct fake_partition *partition = &data_of(broker)->partitions[index];
    struct record_batch_header header;
    struct fake_window *window = NULL;
    bool is_duplicate = false;
    uint64_t offset = partition->next_offset;

    result->error = record_batch_verify_produced(slice_of(batch, size), 2u << 20, &header);
    if (result->error != 0) return;
    if (header.producer_id >= 0 && !broker->is_null) {
        window = window_of(partition, header.producer_id);
        result->error = check_sequence(window, &header, &offset, &is_duplicate);
        if (result->error != 0) return;
    }
    result->base_offset = offset;
    result->leader_epoch = epoch_of(broker, index);
    result->replicas_holding = result->replicas_synced = 1;
    result->append_time_ms = -1;
    result->is_duplicate = is_duplicate;
    if (is_duplicate) return;
    record_batch_set_base_offset(batch, (int64_t)offset);
    record_batch_set_leader_epoch(batch, epoch_of(broker, index));
    if (!broker->is_null) MESH_ASSERT(buffer_append(&partition->log, batch, size) == 0);
    if (window != NULL) remember(window, &header, offset);
    partition->next_offset += (uint64_t)header.record_count;
    atomic_fetch_add(&broker->produced_records, (unsigned)header.record_count);
}

static void serve_produce(struct fake_broker *broker, struct slice message, struct slice attachment,
                          int fail_error, struct answer *answer)
{
    struct produce_request_reader reader;
    struct produce_entry entry;
    uint8_t *at = (uint8_t *)(uintptr_t)attachment.data;
    unsigned limit = atomic_load(&broker->batch_bytes_max);

    MESH_ASSERT(produce_request_reader_init(&reader, message, (uint32_t)attachment.size) == 0);
    while (produce_request_reader_next(&reader, &entry)) {
        struct produce_result result = {.error = fail_error, .leader_epoch = -1, .append_time_ms = -1};
        if (fail_error == 0 &&
            (entry.partition >= broker->partition_count || !uuid_equal(&entry.topic_id, &broker->topic_id)))
            result.error = MESH_EUNKNOWN_TOPIC;
        else if (fail_error == 0 && limit > 0 && entry.batch_size > limit)
            result.error = MESH_ETOOLARGE;
        else if (fail_error == 0)
            result.error = judge_entry(broker, entry.partition, entry.leader_epoch, reader.forwards, FRAME_OP_PRODUCE);
        if (result.error == 0)
            append(broker, entry.partition, at, entry.batch_size, &result);
        produce_response_add(&answer->message, &result);
        at += entry.batch_size;
    }
    if (reader.acks == 0) answer->flags = 0xff; /* nobody waits for it */
}

void fake_broker_append(struct fake_broker *broker, uint32_t partition, const char *const *values,
                        size_t count, enum record_compression compression)
{
    struct record_batch_builder builder;
    const struct record_batch_producer producer = {-1, -1, -1};
    struct buffer compressed = BUFFER_INIT;
    struct produce_result result;
    struct slice batch;

    record_batch_builder_init(&builder);
    for (size_t i = 0; i < count; i++) {
        const struct record record = {
            .timestamp_ms = 1000 + (int64_t)i, .key_is_null = true, .value = slice_of_string(values[i])};
        MESH_ASSERT(record_batch_builder_add(&builder, &record) == 0);
    }
    MESH_ASSERT(record_batch_builder_finish(&builder, &producer, 0, compression, &compressed, &batch) == 0);
    append(broker, partition, (uint8_t *)(uintptr_t)batch.data, batch.size, &result);
    MESH_ASSERT(result.error == 0);
    record_batch_builder_deinit(&builder);
    buffer_deinit(&compressed);
}

/* ---- fetch ---- */

static bool serve_fetch(struct fake_broker *broker, struct slice message, int fail_error,
                        enum fake_action action, struct answer *answer, uint32_t *ret_wait_ms)
{
    struct fetch_request_reader reader;
    struct fetch_entry entry;
    uint32_t index = 0, results = 0;

    MESH_ASSERT(fetch_request_reader_init(&reader, message) == 0);
    *ret_wait_ms = reader.max_wait_ms;
    for (; fetch_request_reader_next(&reader, &entry); index++) {
        struct fake_partition *partition = &data_of(broker)->partitions[entry.partition];
        struct fetch_result result = {.entry = index, .error = fail_error, .leader_epoch = 7};
        struct slice batches = {NULL, 0};
        if (entry.is_doubted) atomic_fetch_add(&broker->doubted, 1);
        if (fail_error == 0) result.error = judge_entry(broker, entry.partition, entry.leader_epoch, reader.forwards, FRAME_OP_FETCH);
        if (result.error == 0 && (entry.offset > partition->next_offset || entry.offset < partition->log_start))
            result.error = MESH_EOFFSET_OUT_OF_RANGE;
        result.high_watermark = partition->next_offset;
        result.log_start = partition->log_start;
        result.next_offset = entry.offset;
        if (result.error == 0)
            batches = fake_log_find(partition, entry.offset, entry.bytes_max, &result.next_offset);
        if (result.error == 0 && batches.size == 0) continue;
        if (action == FAKE_TRUNCATED_BATCH && batches.size > 0) batches.size -= 5;
        result.records_size = (uint32_t)batches.size;
        fetch_response_add(&answer->message, &result);
        buffer_append(&answer->attachment, batches.data, batches.size);
        results++;
    }
    if (action == FAKE_BAD_BATCH && answer->attachment.size > 0)
        answer->attachment.data[answer->attachment.size - 1] ^= 1;
    return results > 0;
}

/* ---- the rest ---- */

static void serve_hello(struct fake_broker *broker, struct slice message, struct answer *answer)
{
    struct message_hello_request request;
    struct message_hello_response response = {.node_id = broker->node_id,
                                              .shard_count = broker->shard_count,
                                              .frame_bytes_max = broker->frame_bytes_max,
                                              .version = FRAME_VERSION,
                                              .broker_version = (char *)(uintptr_t) "fake"};

    MESH_ASSERT(message_decode_hello_request(message, &request) == 0);
    response.shard = request.shard >= 0 ? (uint32_t)request.shard : 0;
    message_deinit_hello_request(&request);
    response.cluster_id.bytes[0] = response.broker_id.bytes[0] = 1;
    message_encode_hello_response(&answer->message, &response);
}

static void serve_describe(struct fake_broker *broker, struct slice message, struct answer *answer)
{
    struct message_topic_describe request;
    struct message_partition partitions[FAKE_PARTITIONS_MAX];
    char limit[16];
    struct message_config config = {(char[]){"max.batch.bytes"}, limit, false};
    struct message_topic topic = {
        .topic_id = broker->topic_id, .partitions = partitions, .partition_count = broker->partition_count};
    struct message_topic_response response = {.topics = &topic, .topic_count = 1};
    int32_t replica = broker->leader != NULL ? broker->leader->node_id : broker->node_id;

    memset(partitions, 0, sizeof(partitions));
    for (uint32_t i = 0; i < broker->partition_count; i++) {
        partitions[i] = (struct message_partition){.partition = i,
                                                   .leader = replica,
                                                   .leader_epoch = epoch_of(broker, i),
                                                   .replicas = &replica,
                                                   .isr = &replica,
                                                   .replica_count = 1,
                                                   .isr_count = 1,
                                                   .shard = i % broker->shard_count,
                                                   .high_watermark = data_of(broker)->partitions[i].next_offset};
        if (broker->mesh == NULL) continue;
        partitions[i].leader = broker->mesh->brokers[atomic_load(&broker->mesh->leaders[i])]->node_id;
        partitions[i].leader_epoch = epoch_of(broker, i);
        if (!atomic_load(&broker->is_behind)) continue;
        partitions[i].leader = broker->mesh->brokers[broker->seen_leaders[i]]->node_id;
        partitions[i].leader_epoch = broker->seen_epochs[i];
    }
    if (atomic_load(&broker->batch_bytes_max) > 0) {
        snprintf(limit, sizeof(limit), "%u", atomic_load(&broker->batch_bytes_max));
        topic.configs = &config;
        topic.config_count = 1;
    }
    MESH_ASSERT(message_decode_topic_describe(message, &request) == 0);
    topic.name = (char *)(uintptr_t)broker->topic;
    if (!request.all && (request.name_count != 1 || strcmp(request.names[0], broker->topic) != 0)) {
        topic = (struct message_topic){.error = MESH_EUNKNOWN_TOPIC,
                                       .name = request.name_count > 0 ? request.names[0] : NULL};
    }
    message_encode_topic_response(&answer->message, &response);
    message_deinit_topic_describe(&request);
}

/* The fake's records have the timestamps 1000, 1001, ... so that times can be looked up by arithmetic. */
static void serve_list_offsets(struct fake_broker *broker, struct slice message, int fail_error,
                               struct answer *answer)
{
    struct message_list_offsets_request request;
    struct list_offsets_result results[FAKE_PARTITIONS_MAX];
    struct message_list_offsets_response response = {results, 0};

    MESH_ASSERT(message_decode_list_offsets_request(message, &request) == 0);
    for (size_t i = 0; i < request.entry_count; i++) {
        struct fake_partition *partition = &data_of(broker)->partitions[request.entries[i].partition];
        int64_t timestamp_ms = request.entries[i].timestamp_ms;
        struct list_offsets_result *result = &results[response.result_count++];
        *result = (struct list_offsets_result){.error = fail_error, .leader_epoch = 7, .timestamp_ms = -1};
        if (fail_error == 0)
            result->error = judge_entry(broker, request.entries[i].partition, (int32_t)request.entries[i].leader_epoch_plus_one - 1, request.forwards, FRAME_OP_LIST_OFFSETS);
        if (timestamp_ms == -6)
            fake_log_epoch_end(partition, request.entries[i].epoch, result);
        else if (timestamp_ms == -1)
            result->offset = (int64_t)partition->next_offset;
        else if (timestamp_ms == -2 || timestamp_ms < 1000)
            result->offset = (int64_t)partition->log_start;
        else
            result->offset = timestamp_ms - 1000 < (int64_t)partition->next_offset ? timestamp_ms - 1000 : -1;
    }
    message_encode_list_offsets_response(&answer->message, &response);
    message_deinit_list_offsets_request(&request);
}

static void describe_broker(const struct fake_broker *broker, struct message_broker *to)
{
    *to = (struct message_broker){.node_id = broker->node_id,
                                  .host = (char *)(uintptr_t) "127.0.0.1",
                                  .shard_count = broker->shard_count,
                                  .port = atomic_load(&broker->port)};
}

static void serve_cluster(struct fake_broker *broker, struct answer *answer)
{
    struct message_broker brokers[FAKE_BROKERS_MAX];
    struct message_cluster_response response = {
        .coordinator = broker->node_id, .brokers = brokers, .broker_count = broker->leader != NULL ? 2 : 1};

    describe_broker(broker, &brokers[0]);
    if (broker->leader != NULL) describe_broker(broker->leader, &brokers[1]);
    if (broker->mesh != NULL) response.broker_count = broker->mesh->broker_count;
    for (uint32_t i = 0; broker->mesh != NULL && i < broker->mesh->broker_count; i++)
        describe_broker(broker->mesh->brokers[i], &brokers[i]);
    message_encode_cluster_response(&answer->message, &response);
}

static void serve_status(struct fake_broker *broker, struct answer *answer)
{
    const struct message_status_response response = {.coordinator = broker->node_id,
                                                     .topics_total = 1,
                                                     .partitions_total = broker->partition_count,
                                                     .version = (char *)(uintptr_t) "fake"};

    message_encode_status_response(&answer->message, &response);
}

static void serve_change(struct fake_broker *broker, struct answer *answer, int error)
{
    struct message_topic topic = {.error = error, .name = (char *)(uintptr_t)broker->topic};
    const struct message_topic_response response = {.topics = &topic, .topic_count = 1};

    message_encode_topic_response(&answer->message, &response);
}

static void serve_init_producer(struct fake_broker *broker, struct answer *answer)
{
    const struct message_init_producer_response response = {data_of(broker)->next_producer_id++, 0};

    message_encode_init_producer_response(&answer->message, &response);
}

/* ---- losses ---- */

static void lose(struct fake_broker *broker)
{
    unsigned long long losing = atomic_exchange(&broker->losing, 0);

    if (losing == 0) return;
    atomic_fetch_add(&broker->epoch, 1);
    for (uint32_t i = 0; i < broker->partition_count; i++)
        fake_log_cut(&broker->partitions[i], losing - 1);
}

/* ---- frames ---- */

/* False: a FETCH that found nothing and may wait. */
static bool serve(struct fake_broker *broker, const struct frame_header *header, struct slice message,
                  struct slice attachment, enum fake_action action, int error, bool may_wait,
                  struct answer *answer, uint32_t *ret_wait_ms)
{
    int fail_error = action == FAKE_FAIL_EACH ? error : 0;

    lose(broker);
    if (action == FAKE_REFUSE) {
        refuse(answer, error);
        return true;
    }
    if (header->op >= FRAME_OP_GROUP_JOIN && header->op <= FRAME_OP_GROUP_DESCRIBE && broker->serve_group != NULL) {
        if (!broker->serve_group(broker->group_user, header->op, message, &answer->message)) answer->flags = FRAME_FLAG_ERROR;
        return true;
    }
    switch (header->op) {
    case FRAME_OP_HELLO: serve_hello(broker, message, answer); break;
    case FRAME_OP_CLUSTER: serve_cluster(broker, answer); break;
    case FRAME_OP_TOPIC_DESCRIBE: serve_describe(broker, message, answer); break;
    case FRAME_OP_TOPIC_CREATE:
    case FRAME_OP_TOPIC_ALTER:
    case FRAME_OP_TOPIC_DELETE: serve_change(broker, answer, fail_error); break;
    case FRAME_OP_PRODUCE: serve_produce(broker, message, attachment, fail_error, answer); break;
    case FRAME_OP_FETCH:
        if (!serve_fetch(broker, message, fail_error, action, answer, ret_wait_ms) && may_wait) return false;
        break;
    case FRAME_OP_LIST_OFFSETS: serve_list_offsets(broker, message, fail_error, answer); break;
    case FRAME_OP_TOPIC_TRIM: fake_log_trim(broker, message, &answer->message); break;
    case FRAME_OP_INIT_PRODUCER: serve_init_producer(broker, answer); break;
    case FRAME_OP_STATUS: serve_status(broker, answer); break;
    default: refuse(answer, MESH_EUNSUPPORTED);
    }
    return true;
}

static void flush_out(struct fake_connection *connection)
{
    send_bytes(connection, connection->out.data, connection->out.size, false);
    buffer_clear(&connection->out);
}

/* Sends the answer in the way that the action asks for. False: close the connection. */
static bool deliver(struct fake_connection *connection, const struct frame_header *header,
                    const struct answer *answer, enum fake_action action)
{
    struct buffer bytes = BUFFER_INIT;
    bool stays_open = true;

    frame_answer(header, answer, &bytes);
    if (action != FAKE_SERVE) flush_out(connection);
    switch (action) {
    case FAKE_SERVE_AND_CLOSE: stays_open = false; break;
    case FAKE_SERVE_CUT:
        send_bytes(connection, bytes.data, bytes.size / 2, false);
        stays_open = false;
        break;
    case FAKE_SERVE_DRIP: send_bytes(connection, bytes.data, bytes.size, true); break;
    case FAKE_SERVE_LATER: buffer_append(&connection->held, bytes.data, bytes.size); break;
    case FAKE_SILENT: break;
    case FAKE_GARBAGE:
        send_bytes(connection, (const uint8_t *)"HTTP/1.1 400 Bad Request\r\n\r\n", 28, false);
        break;
    case FAKE_LIE_LENGTH:
        le_store32(bytes.data + 16, 0x7fffffff);
        send_bytes(connection, bytes.data, bytes.size, false);
        break;
    case FAKE_LIE_CORRELATION: {
        struct frame_header other = *header;
        other.correlation_id += 1000;
        buffer_clear(&bytes);
        frame_answer(&other, answer, &bytes);
        send_bytes(connection, bytes.data, bytes.size, false);
        break;
    }
    case FAKE_BAD_CRC:
        bytes.data[answer->message.size > 0 ? FRAME_HEADER_SIZE : 20] ^= 4;
        send_bytes(connection, bytes.data, bytes.size, false);
        break;
    default:
        buffer_append(&connection->out, bytes.data, bytes.size);
        buffer_append(&connection->out, connection->held.data, connection->held.size);
        buffer_clear(&connection->held);
    }
    buffer_deinit(&bytes);
    return stays_open;
}

static void check_waiting(struct fake_broker *broker, struct fake_connection *connection, bool is_time_up);

static bool handle_frame(struct fake_broker *broker, struct fake_connection *connection,
                         const struct frame_header *header, uint8_t *frame, bool is_again)
{
    struct slice message = slice_of(frame + FRAME_HEADER_SIZE, header->message_size);
    struct slice attachment = slice_of(message.data + message.size, header->attachment_size);
    struct answer answer = {BUFFER_INIT, BUFFER_INIT, 0};
    bool may_wait = !is_again, is_open = true, is_served;
    enum fake_action action = FAKE_SERVE;
    uint32_t wait_ms = 0;
    int error = 0;

    MESH_ASSERT(frame_verify(frame, header) == 0);
    if (!is_again) {
        atomic_fetch_add(&broker->frames[header->op & 63], 1);
        if (broker->script != NULL) action = broker->script(broker->script_user, broker, header->op, &error);
    }
    if (action == FAKE_CLOSE) return false;
    if (broker->mesh != NULL) pthread_mutex_lock(&broker->mesh->mutex);
    is_served = serve(broker, header, message, attachment, action, error, may_wait, &answer, &wait_ms);
    if (broker->mesh != NULL) pthread_mutex_unlock(&broker->mesh->mutex);
    if (!is_served && wait_ms > 0) {
        check_waiting(broker, connection, true); /* only one can wait */
        buffer_append(&connection->waiting, frame, FRAME_HEADER_SIZE + header->message_size);
        connection->waiting_until_ms = clock_monotonic_ms() + wait_ms;
    } else if (answer.flags != 0xff) {
        if (action == FAKE_FEWER_RESULTS) {
            buffer_clear(&answer.message);
            buffer_clear(&answer.attachment);
        }
        is_open = deliver(connection, header, &answer, action);
    }
    buffer_deinit(&answer.message);
    buffer_deinit(&answer.attachment);
    return is_open;
}

static bool handle_input(struct fake_broker *broker, struct fake_connection *connection)
{
    size_t at = 0;
    ssize_t got;

    if (buffer_reserve(&connection->in, 256u << 10) != 0) return false;
    got = recv(connection->fd, connection->in.data + connection->in.size,
               connection->in.capacity - connection->in.size, 0);
    if (got <= 0) return false;
    connection->in.size += (size_t)got;
    for (;;) {
        struct frame_header header;
        size_t have = connection->in.size - at;
        int err = frame_parse_header(slice_of(connection->in.data + at, have), 64u << 20, &header);
        if (err == MESH_EAGAIN ||
            have < (size_t)FRAME_HEADER_SIZE + header.message_size + header.attachment_size)
            break;
        MESH_ASSERT(err == 0);
        if (!handle_frame(broker, connection, &header, connection->in.data + at, false)) return false;
        at += (size_t)FRAME_HEADER_SIZE + header.message_size + header.attachment_size;
    }
    flush_out(connection);
    atomic_fetch_add(&broker->answered, 1);
    buffer_consume(&connection->in, at);
    return true;
}

/* Looks again at a FETCH that waits; answers it when there is something, or when its time is up. */
static void check_waiting(struct fake_broker *broker, struct fake_connection *connection, bool is_time_up)
{
    struct frame_header header;
    struct fetch_request_reader reader;
    struct fetch_entry entry;
    bool has_data = false;

    if (connection->waiting.size == 0) return;
    frame_parse_header(buffer_slice(&connection->waiting), 64u << 20, &header);
    fetch_request_reader_init(&reader,
                              slice_of(connection->waiting.data + FRAME_HEADER_SIZE, header.message_size));
    if (broker->mesh != NULL) pthread_mutex_lock(&broker->mesh->mutex);
    while (fetch_request_reader_next(&reader, &entry))
        if (data_of(broker)->partitions[entry.partition].next_offset != entry.offset) has_data = true;
    if (broker->mesh != NULL) pthread_mutex_unlock(&broker->mesh->mutex);
    if (!has_data && !is_time_up && clock_monotonic_ms() < connection->waiting_until_ms) return;
    struct buffer frame = connection->waiting;
    connection->waiting = (struct buffer)BUFFER_INIT;
    handle_frame(broker, connection, &header, frame.data, true);
    flush_out(connection);
    buffer_deinit(&frame);
}

/* ---- loop ---- */

static void close_connection(struct fake_broker *broker, uint32_t index)
{
    struct fake_connection *connection = &broker->connections[index];

    close(connection->fd);
    buffer_deinit(&connection->in);
    buffer_deinit(&connection->held);
    buffer_deinit(&connection->out);
    buffer_deinit(&connection->waiting);
    *connection = broker->connections[--broker->connection_count];
}

static void accept_connection(struct fake_broker *broker)
{
    int fd = accept4(broker->listen_fd, NULL, NULL, SOCK_CLOEXEC), on = 1;

    if (fd < 0) return;
    if (broker->connection_count == FAKE_CONNECTIONS_MAX) {
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
    broker->connections[broker->connection_count++] = (struct fake_connection){.fd = fd};
}

static void *run(void *user)
{
    struct fake_broker *broker = user;

    while (!atomic_load(&broker->is_stopping)) {
        struct pollfd fds[FAKE_CONNECTIONS_MAX + 2] = {{broker->wake_fd, POLLIN, 0},
                                                       {broker->listen_fd, POLLIN, 0}};
        uint32_t count = broker->connection_count;
        for (uint32_t i = 0; i < count; i++)
            fds[2 + i] = (struct pollfd){broker->connections[i].fd, POLLIN, 0};
        poll(fds, 2 + count, 10);
        for (uint32_t i = count; i-- > 0;)
            if (fds[2 + i].revents != 0 && !handle_input(broker, &broker->connections[i]))
                close_connection(broker, i);
        for (uint32_t i = 0; i < broker->connection_count; i++)
            check_waiting(broker, &broker->connections[i], false);
        if (fds[1].revents & POLLIN) accept_connection(broker);
    }
    return NULL;
}

/* 0: where the system likes. */
static void listen_at(struct fake_broker *broker, uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    socklen_t size = sizeof(address);
    int on = 1;

    broker->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(broker->listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)); /* inherited: the port can be taken again */
    MESH_ASSERT(bind(broker->listen_fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    MESH_ASSERT(listen(broker->listen_fd, 64) == 0);
    MESH_ASSERT(getsockname(broker->listen_fd, (struct sockaddr *)&address, &size) == 0);
    atomic_store(&broker->port, ntohs(address.sin_port));
    snprintf(broker->address, sizeof(broker->address), "127.0.0.1:%u", ntohs(address.sin_port));
}

struct fake_broker *fake_broker_new(const char *topic, uint32_t partition_count)
{
    struct fake_broker *broker = calloc(1, sizeof(*broker));

    MESH_ASSERT(broker != NULL && partition_count <= FAKE_PARTITIONS_MAX);
    broker->topic = topic;
    broker->partition_count = partition_count;
    broker->shard_count = 1;
    broker->node_id = 3;
    broker->frame_bytes_max = 64u << 20;
    broker->topic_id.bytes[0] = 42;
    broker->next_producer_id = 100;
    atomic_init(&broker->epoch, 7);
    broker->wake_fd = eventfd(0, EFD_CLOEXEC);
    listen_at(broker, 0);
    return broker;
}

void fake_broker_start(struct fake_broker *broker)
{
    atomic_store(&broker->is_stopping, false);
    MESH_ASSERT(pthread_create(&broker->thread, NULL, run, broker) == 0);
}

void fake_broker_fork(struct fake_broker *broker)
{
    broker->process = fork();
    MESH_ASSERT(broker->process >= 0);
    if (broker->process > 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nobody behind */
    run(broker);
    _exit(0);
}

void fake_broker_kill(struct fake_broker *broker)
{
    kill(broker->process, SIGKILL);
    waitpid(broker->process, NULL, 0);
}

void fake_broker_stop(struct fake_broker *broker)
{
    uint64_t one = 1;

    atomic_store(&broker->is_stopping, true);
    MESH_ASSERT(write(broker->wake_fd, &one, sizeof(one)) == sizeof(one));
    pthread_join(broker->thread, NULL);
    while (broker->connection_count > 0)
        close_connection(broker, 0);
}

void fake_broker_hide(struct fake_broker *broker)
{
    fake_broker_stop(broker);
    close(broker->listen_fd);
    broker->listen_fd = -1;
}

void fake_broker_show(struct fake_broker *broker)
{
    listen_at(broker, (uint16_t)atomic_load(&broker->port));
    fake_broker_start(broker);
}

void fake_broker_show_elsewhere(struct fake_broker *broker)
{
    listen_at(broker, 0);
    fake_broker_start(broker);
}

/* ---- a mesh of them ---- */

void fake_mesh_start(struct fake_mesh *mesh, uint32_t broker_count, uint32_t partition_count, fake_script *script, void *script_user)
{
    memset(mesh, 0, sizeof(*mesh));
    pthread_mutex_init(&mesh->mutex, NULL);
    mesh->broker_count = broker_count;
    for (uint32_t i = 0; i < partition_count; i++) {
        atomic_init(&mesh->leaders[i], (int)(i % broker_count));
        atomic_init(&mesh->epochs[i], 7);
    }
    for (uint32_t i = 0; i < broker_count; i++) {
        mesh->brokers[i] = fake_broker_new("t", partition_count);
        mesh->brokers[i]->mesh = mesh;
        mesh->brokers[i]->node_id = (int32_t)i + 1;
        mesh->brokers[i]->script = script;
        mesh->brokers[i]->script_user = script_user;
    }
    for (uint32_t i = 0; i < broker_count; i++)
        fake_broker_start(mesh->brokers[i]);
}

void fake_mesh_stop(struct fake_mesh *mesh)
{
    for (uint32_t i = 0; i < mesh->broker_count; i++)
        if (mesh->brokers[i]->listen_fd >= 0) fake_broker_stop(mesh->brokers[i]);
    for (uint32_t i = 0; i < mesh->broker_count; i++)
        fake_broker_free(mesh->brokers[i]);
    pthread_mutex_destroy(&mesh->mutex);
}

void fake_broker_fall_behind(struct fake_broker *broker)
{
    for (uint32_t i = 0; i < broker->partition_count; i++) {
        broker->seen_leaders[i] = atomic_load(&broker->mesh->leaders[i]);
        broker->seen_epochs[i] = epoch_of(broker, i);
    }
    atomic_store(&broker->is_behind, true);
}

void fake_mesh_lead(struct fake_mesh *mesh, uint32_t partition, uint32_t broker)
{
    pthread_mutex_lock(&mesh->mutex);
    atomic_store(&mesh->leaders[partition], (int)broker);
    atomic_fetch_add(&mesh->epochs[partition], 1);
    pthread_mutex_unlock(&mesh->mutex);
}

void fake_mesh_bring_back(struct fake_mesh *mesh, uint32_t partition, uint32_t broker, uint64_t offset, int epoch, const char *const *values, size_t count)
{
    int newest;

    pthread_mutex_lock(&mesh->mutex);
    newest = atomic_load(&mesh->epochs[partition]);
    fake_log_cut(&mesh->brokers[0]->partitions[partition], offset);
    atomic_store(&mesh->epochs[partition], epoch);
    if (count > 0) fake_broker_append(mesh->brokers[0], partition, values, count, RECORD_COMPRESSION_NONE);
    atomic_store(&mesh->leaders[partition], (int)broker);
    atomic_store(&mesh->epochs[partition], newest + 1);
    pthread_mutex_unlock(&mesh->mutex);
}

void fake_mesh_lose(struct fake_mesh *mesh, uint32_t partition, uint32_t broker, uint64_t offset, const char *const *values, size_t count)
{
    fake_mesh_bring_back(mesh, partition, broker, offset, atomic_load(&mesh->epochs[partition]) + 1, values, count);
}

void fake_broker_free(struct fake_broker *broker)
{
    if (broker == NULL) return;
    for (uint32_t i = 0; i < FAKE_PARTITIONS_MAX; i++)
        buffer_deinit(&broker->partitions[i].log);
    close(broker->wake_fd);
    if (broker->listen_fd >= 0) close(broker->listen_fd);
    free(broker);
}
