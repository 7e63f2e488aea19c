/* A broker that does the least one can do and still be measured by `mesh bench produce`: it receives, checks each batch's
 * CRC, appends the bytes to one file through the page cache, never syncs, and acknowledges. What it costs is what any
 * broker must cost on this machine; Mesh is judged beside it.
 *
 * usage: null_broker DIR        prints "mesh: ready on HOST:PORT" to stderr; runs until SIGTERM
 * One thread, poll(2), any topic exists with as many partitions as NULL_PARTITIONS says (default 1). */
#include "base/bytes.h"
#include "base/error.h"
#include "wire/frame.h"
#include "wire/message.h"
#include "wire/record_batch.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS_MAX 64
#define RECEIVE_SIZE    (16u << 20) /* bytes; also the largest frame */

struct connection {
    int fd;
    uint8_t *bytes; /* RECEIVE_SIZE */
    size_t size;
    struct buffer out;
};

static struct connection connections[CONNECTIONS_MAX];
static struct pollfd polls[CONNECTIONS_MAX + 1];
static unsigned connection_count;
static int log_fd;
static uint64_t log_position, next_offset;
static uint32_t partition_count = 1;

static void check(int error, const char *what)
{
    if (error == 0) return;
    fprintf(stderr, "null_broker: %s: %s\n", what, mesh_strerror(error));
    exit(1);
}

static void respond(struct connection *connection, const struct frame_header *request, const struct buffer *message)
{
    uint8_t bytes[FRAME_HEADER_SIZE];
    struct frame_header header = {.flags = FRAME_FLAG_RESPONSE,
                                  .op = request->op,
                                  .correlation_id = request->correlation_id,
                                  .message_size = (uint32_t)message->size};

    frame_write_header(bytes, &header, message->data);
    check(buffer_append(&connection->out, bytes, sizeof(bytes)), "memory");
    check(buffer_append(&connection->out, message->data, message->size), "memory");
}

/* Appends all batches of one request with one write, after looking at each. */
static void produce(struct slice message, struct slice attachment, struct buffer *to)
{
    struct produce_request_reader reader;
    struct produce_entry entry;
    const uint8_t *at = attachment.data;

    check(produce_request_reader_init(&reader, message, (uint32_t)attachment.size), "produce request");
    while (produce_request_reader_next(&reader, &entry)) {
        struct record_batch_header header;
        struct produce_result result = {.leader_epoch = 0, .replicas_holding = 1, .append_time_ms = -1};
        result.error = record_batch_verify(slice_of(at, entry.batch_size), &header);
        if (result.error == 0) {
            result.base_offset = next_offset;
            next_offset += (uint64_t)header.record_count;
        }
        check(produce_response_add(to, &result), "memory");
        at += entry.batch_size;
    }
    if (pwrite(log_fd, attachment.data, attachment.size, (off_t)log_position) != (ssize_t)attachment.size) {
        perror("null_broker: append");
        exit(1);
    }
    log_position += attachment.size;
}

static void describe(struct buffer *to)
{
    static char name[] = "null";
    struct message_topic topic = {.name = name, .partition_count = partition_count};
    struct message_topic_response response = {.topics = &topic, .topic_count = 1};
    static int32_t self = 1;

    topic.topic_id.bytes[0] = 1;
    topic.partitions = calloc(partition_count, sizeof(*topic.partitions));
    if (topic.partitions == NULL) check(MESH_ENOMEM, "describe");
    for (uint32_t i = 0; i < partition_count; i++)
        topic.partitions[i] = (struct message_partition){
            .partition = i, .leader = 1, .replicas = &self, .isr = &self, .replica_count = 1, .isr_count = 1};
    check(message_encode_topic_response(to, &response), "memory");
    free(topic.partitions);
}

static void cluster(struct buffer *to)
{
    static char host[] = "127.0.0.1";
    struct message_broker broker = {.node_id = 1, .host = host, .shard_count = 1};
    struct message_cluster_response response = {.coordinator = 1, .brokers = &broker, .broker_count = 1};
    struct sockaddr_in address;
    socklen_t size = sizeof(address);

    getsockname(polls[0].fd, (struct sockaddr *)&address, &size);
    broker.port = ntohs(address.sin_port);
    check(message_encode_cluster_response(to, &response), "memory");
}

static void serve(struct connection *connection, const struct frame_header *header, const uint8_t *frame)
{
    static struct buffer message = BUFFER_INIT;
    struct slice request = slice_of(frame + FRAME_HEADER_SIZE, header->message_size);
    struct slice attachment = slice_of(request.data + request.size, header->attachment_size);

    buffer_clear(&message);
    switch (header->op) {
    case FRAME_OP_HELLO: {
        struct message_hello_response hello = {
            .node_id = 1, .shard_count = 1, .frame_bytes_max = RECEIVE_SIZE, .version = FRAME_VERSION};
        check(message_encode_hello_response(&message, &hello), "memory");
        break;
    }
    case FRAME_OP_PRODUCE: produce(request, attachment, &message); break;
    case FRAME_OP_CLUSTER: cluster(&message); break;
    case FRAME_OP_INIT_PRODUCER: {
        struct message_init_producer_response response = {.producer_id = 1};
        check(message_encode_init_producer_response(&message, &response), "memory");
        break;
    }
    default: describe(&message);
    }
    respond(connection, header, &message);
}

/* Serves every whole frame in the receive buffer. Returns false when the connection is to be closed. */
static bool serve_frames(struct connection *connection)
{
    size_t at = 0;

    while (connection->size - at >= FRAME_HEADER_SIZE) {
        struct frame_header header;
        const uint8_t *frame = connection->bytes + at;
        size_t size;
        if (frame_parse_header(slice_of(frame, connection->size - at), RECEIVE_SIZE, &header) != 0) return false;
        size = (size_t)FRAME_HEADER_SIZE + header.message_size + header.attachment_size;
        if (connection->size - at < size) break;
        if (frame_verify(frame, &header) != 0) return false;
        serve(connection, &header, frame);
        at += size;
    }
    connection->size -= at;
    if (at > 0 && connection->size > 0) memmove(connection->bytes, connection->bytes + at, connection->size);
    return true;
}

static bool send_all(struct connection *connection)
{
    size_t sent = 0;

    while (sent < connection->out.size) {
        ssize_t n = send(connection->fd, connection->out.data + sent, connection->out.size - sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        sent += (size_t)n;
    }
    buffer_clear(&connection->out);
    return true;
}

static bool receive(struct connection *connection)
{
    ssize_t n = recv(connection->fd, connection->bytes + connection->size, RECEIVE_SIZE - connection->size, 0);

    if (n < 0 && errno == EINTR) return true;
    if (n <= 0) return false;
    connection->size += (size_t)n;
    return serve_frames(connection) && send_all(connection);
}

static void drop(unsigned index)
{
    close(connections[index].fd);
    free(connections[index].bytes);
    buffer_deinit(&connections[index].out);
    connections[index] = connections[--connection_count];
    polls[index + 1] = polls[connection_count + 1];
}

static void accept_one(int listener)
{
    struct connection *connection = &connections[connection_count];
    int one = 1, fd = accept(listener, NULL, NULL);

    if (fd < 0) return;
    if (connection_count == CONNECTIONS_MAX) {
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
    *connection = (struct connection){.fd = fd, .bytes = malloc(RECEIVE_SIZE)};
    if (connection->bytes == NULL) check(MESH_ENOMEM, "accept");
    polls[++connection_count] = (struct pollfd){.fd = fd, .events = POLLIN};
}

static int listen_anywhere(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) != 0 || listen(listener, 16) != 0) {
        perror("null_broker: listen");
        exit(1);
    }
    setsockopt(listener, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
    getsockname(listener, (struct sockaddr *)&address, &size);
    fprintf(stderr, "mesh: ready on 127.0.0.1:%u\n", ntohs(address.sin_port));
    return listener;
}

int main(int argc, char **argv)
{
    char path[4096];

    if (argc != 2) {
        fprintf(stderr, "usage: null_broker DIR\n");
        return 2;
    }
    if (getenv("NULL_PARTITIONS") != NULL) partition_count = (uint32_t)strtoul(getenv("NULL_PARTITIONS"), NULL, 10);
    snprintf(path, sizeof(path), "%s/null.log", argv[1]);
    log_fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (log_fd < 0) {
        perror(path);
        return 1;
    }
    polls[0] = (struct pollfd){.fd = listen_anywhere(), .events = POLLIN};
    for (;;) {
        if (poll(polls, connection_count + 1, -1) < 0 && errno != EINTR) return 1;
        for (unsigned i = connection_count; i-- > 0;)
            if ((polls[i + 1].revents & (POLLIN | POLLHUP | POLLERR)) && !receive(&connections[i])) drop(i);
        if (polls[0].revents & POLLIN) accept_one(polls[0].fd);
    }
}
