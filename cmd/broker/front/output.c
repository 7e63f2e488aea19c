/* broker/front/output.c - the queue of things to send, and sending them. */
#include "cmd/broker/front/output.h"

#include "base/assert.h"
#include "base/error.h"
#include "cmd/broker/front/cold.h"
#include "cmd/broker/front/connection.h"
#include "cmd/broker/front/tls_stream.h"
#include "cmd/broker/ops/fetch.h"
#include "cmd/broker/runtime/shard.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#define BLOCK_CAPACITY  (16384 - POOL_HEADER_SIZE)
#define IOV_MAX_PER_CALL 64
#define FLUSH_BYTES_MAX (4u << 20) /* of one connection per turn */

struct output_item {
    struct output_item *next;
    struct pool_buffer *buffer;    /* bytes: lies in the buffer itself; start..end of it are unsent */
    struct fetch_records *records; /* or records */
    uint32_t extent;               /* the one being sent */
    uint32_t sent;                 /* bytes of it */
    uint64_t read_ms;              /* when the records were read */
    bool is_resident;              /* the extent being sent has been brought into the page cache */
};

static void output_push(struct output *output, struct output_item *item)
{
    item->next = NULL;
    if (output->last == NULL)
        output->first = item;
    else
        output->last->next = item;
    output->last = item;
}

#define RECORDS_STRUCT_BYTES (sizeof(struct output_item) + sizeof(struct fetch_records))

static void records_item_free(struct output *output, struct output_item *item)
{
    output->struct_bytes -= RECORDS_STRUCT_BYTES;
    fetch_records_free(item->records);
    free(item);
}

static void output_pop(struct connection *connection)
{
    struct output *output = &connection->out;
    struct output_item *item = output->first;

    output->first = item->next;
    if (output->first == NULL) output->last = NULL;
    if (item->buffer != NULL) {
        pool_release(&connection->shard->pool, item->buffer);
        return;
    }
    records_item_free(output, item);
}

void output_clear(struct connection *connection)
{
    while (connection->out.first != NULL)
        output_pop(connection);
    connection->out.bytes = 0;
}

/* ---- adding ---- */

/* Answers are never refused for lack of pool memory: what is answered has been limited before it was begun. */
static struct pool_buffer *block_new(struct connection *connection, size_t capacity)
{
    struct pool_buffer *buffer =
        pool_acquire(&connection->shard->pool, capacity + sizeof(struct output_item), true);
    struct output_item *item;

    if (buffer == NULL) return NULL;
    item = (struct output_item *)(void *)buffer->data;
    *item = (struct output_item){.buffer = buffer};
    buffer->start = buffer->end = sizeof(struct output_item);
    output_push(&connection->out, item);
    return buffer;
}

static struct pool_buffer *block_with_room(struct connection *connection, size_t size)
{
    struct output_item *last = connection->out.last;

    if (last != NULL && last->buffer != NULL && last->buffer->capacity - last->buffer->end >= size)
        return last->buffer;
    return block_new(connection, BLOCK_CAPACITY - sizeof(struct output_item));
}

uint8_t *output_reserve(struct connection *connection, size_t size)
{
    struct pool_buffer *buffer;

    MESH_ASSERT(size <= OUTPUT_RESERVE_MAX);
    buffer = block_with_room(connection, size);
    return buffer == NULL ? NULL : buffer->data + buffer->end;
}

void output_commit(struct connection *connection, size_t size)
{
    struct pool_buffer *buffer = connection->out.last->buffer;

    MESH_ASSERT(size <= buffer->capacity - buffer->end);
    buffer->end += (uint32_t)size;
    connection->out.bytes += size;
    if (list_is_empty(&connection->flush_link))
        list_push_back(&connection->shard->connections.flushing, &connection->flush_link);
}

int output_append(struct connection *connection, struct slice bytes)
{
    while (bytes.size > 0) {
        struct pool_buffer *buffer = block_with_room(connection, 1);
        size_t room;

        if (buffer == NULL) return MESH_ENOMEM;
        room = buffer->capacity - buffer->end;
        if (room > bytes.size) room = bytes.size;
        memcpy(buffer->data + buffer->end, bytes.data, room);
        output_commit(connection, room);
        bytes = slice_of(bytes.data + room, bytes.size - room);
    }
    return 0;
}

int output_records(struct connection *connection, struct fetch_records *records)
{
    struct output_item *item = calloc(1, sizeof(*item));

    if (item == NULL) {
        fetch_records_free(records);
        return MESH_ENOMEM;
    }
    item->records = records;
    item->read_ms = connection->shard->now_ms;
    output_push(&connection->out, item);
    connection->out.bytes += records->view.size;
    connection->out.struct_bytes += RECORDS_STRUCT_BYTES;
    if (list_is_empty(&connection->flush_link))
        list_push_back(&connection->shard->connections.flushing, &connection->flush_link);
    return 0;
}

/* ---- sending ---- */

struct gathered {
    struct iovec iov[IOV_MAX_PER_CALL];
    size_t count;
    size_t bytes;
    bool is_file_next; /* what follows is a file range: keep the last packet open */
    bool is_more;      /* more memory follows than fits */
};

static bool gather_add(struct gathered *gathered, const uint8_t *data, size_t size)
{
    if (gathered->count == IOV_MAX_PER_CALL || gathered->bytes >= FLUSH_BYTES_MAX) {
        gathered->is_more = true;
        return false;
    }
    gathered->iov[gathered->count++] = (struct iovec){(void *)(uintptr_t)data, size};
    gathered->bytes += size;
    return true;
}

static bool gather_item(struct gathered *gathered, const struct output_item *item)
{
    const struct plog_view *view;

    if (item->buffer != NULL) {
        uint32_t size = item->buffer->end - item->buffer->start;
        return size == 0 || gather_add(gathered, item->buffer->data + item->buffer->start, size);
    }
    view = &item->records->view;
    for (uint32_t i = item->extent; i < view->extent_count; i++) {
        const struct plog_extent *extent = &view->extents[i];
        uint32_t sent = i == item->extent ? item->sent : 0;

        if (extent->file != NULL) {
            gathered->is_file_next = true;
            return false;
        }
        if (!gather_add(gathered, extent->memory + sent, extent->size - sent)) return false;
    }
    return true;
}

static void gather(const struct output *output, struct gathered *gathered)
{
    gathered->count = gathered->bytes = 0;
    gathered->is_file_next = gathered->is_more = false;
    for (const struct output_item *item = output->first; item != NULL; item = item->next)
        if (!gather_item(gathered, item)) return;
}

/* Takes `size` sent bytes off the records at the front; returns what remains to be taken off the next item. */
static size_t records_advance(struct output_item *item, size_t size)
{
    const struct plog_view *view = &item->records->view;

    while (item->extent < view->extent_count) {
        uint32_t left = view->extents[item->extent].size - item->sent;

        if (size < left) {
            item->sent += (uint32_t)size;
            return 0;
        }
        size -= left;
        item->extent++;
        item->sent = 0;
        item->is_resident = false;
    }
    return size;
}

static bool item_is_sent(const struct output_item *item)
{
    if (item->buffer != NULL) return item->buffer->start == item->buffer->end;
    return item->extent == item->records->view.extent_count;
}

static void output_advance(struct connection *connection, size_t size)
{
    struct output *output = &connection->out;

    output->bytes -= size;
    connection->shard->metrics.sent_bytes += size;
    while (output->first != NULL) {
        struct output_item *item = output->first;

        if (item->buffer != NULL) {
            uint32_t left = item->buffer->end - item->buffer->start;
            uint32_t taken = size < left ? (uint32_t)size : left;
            item->buffer->start += taken;
            size -= taken;
        } else {
            size = records_advance(item, size);
        }
        if (!item_is_sent(item)) return;
        output_pop(connection);
    }
    MESH_ASSERT(size == 0);
}

static enum output_state send_memory(struct connection *connection, const struct gathered *gathered, size_t *ret_sent)
{
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)gathered->iov, .msg_iovlen = gathered->count};
    int flags = MSG_NOSIGNAL | (gathered->is_file_next || gathered->is_more ? MSG_MORE : 0);
    bool is_sealed = connection->tls != NULL; /* then a record at a time: less than all of it is no sign of a full socket */
    ssize_t sent = is_sealed ? tls_stream_send(connection->tls, gathered->iov, gathered->count) : sendmsg(connection->fd, &message, flags);

    if (sent < 0) {
        if (errno == EINTR) return OUTPUT_AGAIN;
        return errno == EAGAIN || errno == EWOULDBLOCK ? OUTPUT_BLOCKED : OUTPUT_FAILED;
    }
    *ret_sent = (size_t)sent;
    return (size_t)sent < gathered->bytes && !is_sealed ? OUTPUT_BLOCKED : OUTPUT_SENT;
}

/* What the read has just seen is not looked at again: for every page, that costs a twentieth of what sending it does. */
static bool is_in_page_cache(const struct connection *connection, const struct output_item *item, const struct plog_extent *extent)
{
    if (extent->is_cached && item->read_ms == connection->shard->now_ms) return true;
    return cold_is_resident(extent->file, extent->position + item->sent, extent->size - item->sent);
}

static enum output_state send_file(struct connection *connection, size_t *ret_sent)
{
    struct output_item *item = connection->out.first;
    const struct plog_extent *extent = &item->records->view.extents[item->extent];
    off_t position = (off_t)(extent->position + item->sent);
    size_t size = extent->size - item->sent;
    ssize_t sent;

    if (!item->is_resident) {
        if (!is_in_page_cache(connection, item, extent)) {
            int err = cold_load(connection, extent->file, extent->position + item->sent, size);
            if (err != 0) return OUTPUT_FAILED;
            item->is_resident = true; /* believed once it is loaded: no endless loop under memory pressure */
            return OUTPUT_BLOCKED;
        }
        item->is_resident = true;
    }
    sent = connection->tls != NULL ? tls_stream_send_file(connection->tls, extent->file->fd, position, size)
                                   : sendfile(connection->fd, extent->file->fd, &position, size);
    if (sent < 0) {
        if (errno == EINTR) return OUTPUT_AGAIN;
        return errno == EAGAIN || errno == EWOULDBLOCK ? OUTPUT_BLOCKED : OUTPUT_FAILED;
    }
    if (sent == 0) return OUTPUT_FAILED; /* the file is shorter than the log said: cut under our feet */
    *ret_sent = (size_t)sent;
    return (size_t)sent < size && connection->tls == NULL ? OUTPUT_BLOCKED : OUTPUT_SENT;
}

enum output_state output_flush(struct connection *connection)
{
    struct output *output = &connection->out;
    size_t total = 0;

    while (output->first != NULL) {
        struct gathered gathered;
        enum output_state state;
        size_t sent = 0;

        if (output->is_loading) return OUTPUT_BLOCKED;
        if (total >= FLUSH_BYTES_MAX) return OUTPUT_AGAIN;
        gather(output, &gathered);
        state = gathered.count > 0 ? send_memory(connection, &gathered, &sent) : send_file(connection, &sent);
        total += sent;
        if (sent > 0) output_advance(connection, sent);
        if (state == OUTPUT_BLOCKED || state == OUTPUT_FAILED) return state;
    }
    return OUTPUT_SENT;
}

/* ---- readers that do not read ---- */

/* The unsent bytes of records that all lie in the store's memory; 0 when a part of them lies in a file. */
static size_t records_memory_bytes(const struct output_item *item)
{
    const struct plog_view *view = &item->records->view;
    size_t size = 0;

    if (item->records->shared != NULL) return 0;
    for (uint32_t i = item->extent; i < view->extent_count; i++) {
        if (view->extents[i].file != NULL) return 0;
        size += view->extents[i].size;
    }
    return size - item->sent;
}

/* A block with the unsent bytes of `item`, or NULL when the pool has no room for it. */
static struct output_item *records_copy(struct connection *connection, const struct output_item *item, size_t size)
{
    struct pool_buffer *buffer = pool_acquire(&connection->shard->pool, size + sizeof(struct output_item), false);
    const struct plog_view *view = &item->records->view;
    struct output_item *copy;

    if (buffer == NULL) return NULL;
    buffer->start = buffer->end = sizeof(struct output_item);
    for (uint32_t i = item->extent; i < view->extent_count; i++) {
        uint32_t sent = i == item->extent ? item->sent : 0;

        memcpy(buffer->data + buffer->end, view->extents[i].memory + sent, view->extents[i].size - sent);
        buffer->end += view->extents[i].size - sent;
    }
    copy = (struct output_item *)(void *)buffer->data;
    *copy = (struct output_item){.next = item->next, .buffer = buffer};
    return copy;
}

size_t output_copy_records(struct connection *connection)
{
    struct output *output = &connection->out;
    size_t total = 0;

    for (struct output_item **at = &output->first; *at != NULL; at = &(*at)->next) {
        struct output_item *item = *at, *copy;
        size_t size = item->records == NULL ? 0 : records_memory_bytes(item);

        if (size == 0) continue;
        copy = records_copy(connection, item, size);
        if (copy == NULL) return total;
        if (output->last == item) output->last = copy;
        *at = copy;
        records_item_free(output, item);
        total += size;
    }
    return total;
}
