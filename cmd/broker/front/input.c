/* broker/front/input.c - receiving: as much per call as there is, into a buffer borrowed for as long as it holds something.
 *
 * A frame is served where it lies, so it must lie in one piece: a buffer grows to the frame that has begun. While a large
 * frame arrives, no more than its end is asked for, so that the next one starts at the front and is not moved. */
#include "cmd/broker/front/connection.h"

#include "base/error.h"
#include "cmd/broker/front/handover.h"
#include "cmd/broker/front/gateway.h"
#include "cmd/broker/front/kafka/door.h"
#include "cmd/broker/front/sniff.h"
#include "cmd/broker/front/tls_stream.h"
#include "cmd/broker/runtime/shard.h"

#include <errno.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define RECEIVE_CHUNK     (65536u - POOL_HEADER_SIZE) /* bytes of small requests taken per call */
#define RECEIVE_BYTES_MAX (2u << 20)                  /* of one connection per turn */

static struct slice input_bytes(const struct connection *connection)
{
    const struct pool_buffer *in = connection->in;

    return in == NULL ? slice_of(NULL, 0) : slice_of(in->data + in->start, in->end - in->start);
}

/* Moves the input into a buffer of another size. */
static bool input_rebuffer(struct connection *connection, size_t capacity, bool is_urgent)
{
    struct pool *pool = &connection->shard->pool;
    struct slice bytes = input_bytes(connection);
    struct pool_buffer *buffer = pool_acquire(pool, capacity, is_urgent);

    if (buffer == NULL) return false;
    if (bytes.size > 0) memcpy(buffer->data, bytes.data, bytes.size);
    buffer->end = (uint32_t)bytes.size;
    pool_release(pool, connection->in);
    connection->in = buffer;
    return true;
}

/* Makes room to receive into; false: memory is full. More than the request needs is taken only while there is plenty. */
static bool input_make_room(struct connection *connection)
{
    size_t need = connection->in_need > RECEIVE_CHUNK ? connection->in_need : RECEIVE_CHUNK;
    struct pool_buffer *in = connection->in;

    if (in == NULL && connection->in_want > need && input_rebuffer(connection, connection->in_want, false)) return true;
    if (in == NULL || in->capacity < need) {
        if (input_rebuffer(connection, need, connection_has_turn(connection))) return true;
        if (in == NULL || in->capacity < connection->in_need) return false;
    }
    if (in->start > 0 && in->capacity - in->start < need) {
        memmove(in->data, in->data + in->start, in->end - in->start);
        in->end -= in->start;
        in->start = 0;
    }
    return true;
}

bool connection_finds_memory(const struct connection *connection)
{
    const struct pool *pool = &connection->shard->pool;
    const struct pool_buffer *in = connection->in;
    size_t need = connection->in_need > RECEIVE_CHUNK ? connection->in_need : RECEIVE_CHUNK;

    if (in != NULL && in->capacity >= connection->in_need) return true;
    return pool->used_bytes + pool_cost(need) <= pool->bytes_max;
}

static size_t input_room(const struct connection *connection)
{
    const struct pool_buffer *in = connection->in;

    if (connection->in_need > RECEIVE_CHUNK) return connection->in_need - (in->end - in->start);
    return in->capacity - in->end < RECEIVE_CHUNK ? in->capacity - in->end : RECEIVE_CHUNK;
}

/* A connection at rest holds no buffer; one with a little left over holds a little one, which passes the limit only until
 * the large one is given back. */
static void input_settle(struct connection *connection)
{
    struct pool *pool = &connection->shard->pool;
    struct pool_buffer *in = connection->in;

    if (in != NULL && in->start == in->end) {
        pool_release(pool, in);
        connection->in = NULL;
        connection->in_need = 0;
    } else if (in != NULL && in->size_class > 0 && in->end - in->start <= POOL_CAPACITY_MIN &&
               connection->in_need <= POOL_CAPACITY_MIN) {
        (void)input_rebuffer(connection, POOL_CAPACITY_MIN, true); /* if there is none, the large one stays */
    }
}

/* The holder of the turn has received, or its request was served: the turn is over when nothing of it is beyond the limit. */
static void input_end_turn(struct connection *connection)
{
    const struct pool *pool = &connection->shard->pool;

    if (connection->in == NULL || pool->used_bytes <= pool->bytes_max) connections_end_turn(connection);
}

/* ---- serving ---- */

static void input_refuse_door(struct connection *connection, const char *what)
{
    connection->shard->metrics.protocol_errors++;
    connection_complain(connection, what);
    connection_close(connection);
}

/* Decides the door: the state is then HELLO, OPEN (Kafka), still SNIFF (more bytes are needed) or CLOSED. */
static void input_sniff(struct connection *connection)
{
    enum sniff verdict = sniff(input_bytes(connection));

    if (connection->is_gateway && !gateway_lets_in(verdict)) {
        input_refuse_door(connection, "closed a connection to the Kafka gateway that speaks something else");
        return;
    }
    if (connection->tls != NULL && (verdict == SNIFF_HTTP || verdict == SNIFF_PEER || verdict == SNIFF_STREAM)) {
        input_refuse_door(connection, "closed a connection that speaks TLS: what it speaks inside is served without TLS only");
        return;
    }
    switch (verdict) {
    case SNIFF_MORE: break;
    case SNIFF_NATIVE: connection->state = CONNECTION_HELLO; break;
    case SNIFF_HTTP: handover(connection, HANDOVER_HTTP, input_bytes(connection)); break;
    case SNIFF_PEER: handover(connection, HANDOVER_PEER, input_bytes(connection)); break;
    case SNIFF_STREAM: handover(connection, HANDOVER_STREAM, input_bytes(connection)); break;
    case SNIFF_TLS:
        input_refuse_door(connection, connection->tls != NULL ? "closed a connection that speaks TLS inside of TLS"
                                                                : "closed a connection that speaks TLS: this broker has no certificate (tls.certificate)");
        break;
    case SNIFF_KAFKA:
        if (kafka_open(connection) != 0) connection_close(connection);
        break;
    }
}

static void input_wait(struct connection *connection)
{
    if (!connection->is_over_limit && list_is_empty(&connection->wait_link))
        connections_wait_for_memory(connection);
    connection_update(connection, true);
}

enum input_verdict { INPUT_MORE, INPUT_STOP };

static enum input_verdict input_serve(struct connection *connection)
{
    struct pool_buffer *in = connection->in;
    size_t used = 0, need = 0;
    enum serve serve;

    if (connection->state == CONNECTION_SNIFF) {
        input_sniff(connection);
        if (connection->state != CONNECTION_HELLO && connection->state != CONNECTION_OPEN)
            return connection->state == CONNECTION_SNIFF ? INPUT_MORE : INPUT_STOP;
    }
    if (connection->kafka != NULL)
        serve = connection_serve_kafka(connection, in->data + in->start, in->end - in->start, &used, &need);
    else
        serve = connection_serve_native(connection, in->data + in->start, in->end - in->start, &used, &need);
    if (serve == SERVE_GONE) return INPUT_STOP;
    in->start += (uint32_t)used;
    if (used > 0) {
        connection->wait_since_ms = 0;
        if (connection_has_turn(connection)) list_remove(&connection->stall_link); /* its time starts again */
    }
    connection->in_need = (uint32_t)need;
    if (connection->in_want < need) connection->in_want = (uint32_t)need;
    if (serve == SERVE_MORE) return INPUT_MORE;
    input_wait(connection);
    return INPUT_STOP;
}

/* ---- receiving ---- */

static void input_discard(struct connection *connection)
{
    uint8_t scratch[4096];
    ssize_t size = recv(connection->fd, scratch, sizeof(scratch), 0);

    if (size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR)) connection_close(connection);
}

/* Whoever has only the first bytes of a request does not keep a large buffer while it waits. */
static void input_wait_for_room(struct connection *connection)
{
    struct pool_buffer *in = connection->in;

    if (connection_has_turn(connection)) { /* memory itself is out */
        connection_close(connection);
        return;
    }
    if (in != NULL && in->size_class > 0 && in->end - in->start <= POOL_CAPACITY_MIN)
        (void)input_rebuffer(connection, POOL_CAPACITY_MIN, true);
    input_wait(connection);
}

/* What was decrypted already: no descriptor becomes readable for it. */
static bool input_has_more(const struct connection *connection)
{
    return connection->tls != NULL && tls_stream_has_more(connection->tls);
}

static void input_complain_of_tls(struct connection *connection)
{
    char line[160];

    connection->shard->metrics.protocol_errors++;
    snprintf(line, sizeof(line), "closed a connection that speaks TLS reason=\"%s\"", tls_stream_reason(connection->tls));
    connection_complain(connection, line);
}

static void input_charge_tls(struct connection *connection)
{
    struct pool *pool = &connection->shard->pool;
    size_t before = connection->tls_bytes;

    if (connection->tls == NULL) return;
    connection->tls_bytes = tls_stream_bytes(connection->tls);
    pool_charge(pool, connection->tls_bytes);
    pool_uncharge(pool, before);
}

/* The first byte tells TLS from all else, and stays in the socket: OpenSSL reads that itself. False: the connection is closed. */
static bool input_begin_tls(struct connection *connection)
{
    struct tls *tls = connection->shard->broker->tls;
    uint8_t first;

    if (tls == NULL || connection->tls != NULL || connection->in != NULL) return true;
    if (recv(connection->fd, &first, 1, MSG_PEEK) != 1 || !tls_is_first_byte(first)) return true;
    connection->tls = tls_stream_new(tls, connection->fd);
    if (connection->tls == NULL) {
        connection_close(connection);
        return false;
    }
    input_charge_tls(connection);
    return true;
}

/* Receives once. 1: got some, and the socket may hold more; 0: got all there is; -1: stop, it waits or is gone. */
static int input_receive_once(struct connection *connection, size_t *total)
{
    struct pool_buffer *in;
    size_t room;
    ssize_t size;

    if (!input_make_room(connection)) {
        input_wait_for_room(connection);
        return -1;
    }
    in = connection->in;
    room = input_room(connection);
    size = connection->tls != NULL ? tls_stream_receive(connection->tls, in->data + in->end, room)
                                   : recv(connection->fd, in->data + in->end, room, 0);
    if (size < 0 && errno == EIO && connection->tls != NULL) input_complain_of_tls(connection);
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return 0;
    if (size <= 0) {
        connection_close(connection);
        return -1;
    }
    in->end += (uint32_t)size;
    connection->wait_since_ms = 0;
    *total += (size_t)size;
    connection->shard->metrics.received_bytes += (uint64_t)size;
    if (in->end - in->start >= connection->in_need && input_serve(connection) == INPUT_STOP) return -1;
    if (connection->tls != NULL) return 1; /* a record at a time */
    if (in->start == in->end && connection_has_turn(connection)) return 0; /* others wait for it */
    return (size_t)size == room;
}

void connection_receive(struct connection *connection)
{
    bool is_large = connection->in_need > RECEIVE_CHUNK;
    size_t total = 0;
    int more;

    if (connection->state == CONNECTION_CLOSING) {
        input_discard(connection);
        return;
    }
    if (connection->state == CONNECTION_SNIFF && !input_begin_tls(connection)) return;
    do {
        more = input_receive_once(connection, &total);
    } while (more > 0 && (total < RECEIVE_BYTES_MAX || input_has_more(connection)));
    if (more < 0) return;
    input_charge_tls(connection);
    /* Whoever sends large frames gets a large buffer for the next one at once. */
    if (!is_large && connection->in_need <= RECEIVE_CHUNK) connection->in_want = 0;
    input_settle(connection);
    input_end_turn(connection);
    connection_update(connection, total > 0);
}

void connection_serve(struct connection *connection)
{
    const struct pool_buffer *in = connection->in;
    bool has_request = in != NULL && in->end > in->start && in->end - in->start >= connection->in_need;

    connection->is_over_limit = false;
    if (has_request && input_serve(connection) == INPUT_STOP) return;
    input_settle(connection);
    if (has_request) input_end_turn(connection);
    connection_update(connection, true);
    if (input_has_more(connection) && !connection->is_over_limit && list_is_empty(&connection->wait_link)) connection_receive(connection);
}

void connection_peer_ended(struct connection *connection, bool is_broken)
{
    const struct pool_buffer *in = connection->in;
    size_t size = in == NULL ? 0 : in->end - in->start;
    int unread = 0;

    if (ioctl(connection->fd, FIONREAD, &unread) == 0 && unread > 0) size += (size_t)unread;
    if (is_broken || size == 0 || size < connection->in_need) connection_close(connection);
}
