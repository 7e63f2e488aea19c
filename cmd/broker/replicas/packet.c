/* replicas/packet.c - see packet.h. */
#include "cmd/broker/replicas/packet.h"

#include "base/assert.h"
#include "base/error.h"
#include "replication/partition/message.h"

#include <string.h>

#define PACKET_KEEP (1u << 20) /* room for what was read from files */

void packet_init(struct packet *packet)
{
    *packet = (struct packet){.heads = BUFFER_INIT, .files = BUFFER_INIT};
}

void packet_clear(struct packet *packet)
{
    for (uint32_t i = 0; i < packet->view_count; i++)
        plog_view_release(&packet->views[i]);
    buffer_clear(&packet->heads);
    buffer_clear(&packet->files);
    packet->part_count = packet->view_count = 0;
    packet->heads_at = packet->size = 0;
}

void packet_deinit(struct packet *packet)
{
    packet_clear(packet);
    buffer_deinit(&packet->heads);
    buffer_deinit(&packet->files);
}

void packet_trim(struct packet *packet)
{
    MESH_ASSERT(packet->view_count == 0);
    if (packet->files.capacity > PACKET_KEEP) buffer_deinit(&packet->files);
    if (packet->heads.capacity > PACKET_KEEP) buffer_deinit(&packet->heads);
}

int packet_begin(struct packet *packet)
{
    packet_clear(packet);
    return stream_packet_begin(&packet->heads);
}

int packet_continue(struct packet *packet)
{
    MESH_ASSERT(packet->view_count > 0);
    for (uint32_t i = 0; i + 1 < packet->view_count; i++)
        plog_view_release(&packet->views[i]);
    packet->views[0] = packet->views[packet->view_count - 1];
    packet->view_count = 1;
    packet->part_count = 0;
    packet->heads_at = packet->size = 0;
    buffer_clear(&packet->heads);
    return stream_packet_begin(&packet->heads);
}

size_t packet_size(const struct packet *packet)
{
    return packet->size + packet->heads.size - packet->heads_at;
}

bool packet_has_room(const struct packet *packet)
{
    return packet_size(packet) < PACKET_AIM && packet->view_count < PACKET_VIEWS_MAX &&
           packet->part_count + PLOG_VIEW_EXTENTS_MAX + 3 <= PACKET_PARTS_MAX; /* messages before, these, messages behind, and what is cut in two */
}

static void add_part(struct packet *packet, struct packet_part part)
{
    MESH_ASSERT(packet->part_count < PACKET_PARTS_MAX);
    packet->parts[packet->part_count++] = part;
    packet->size += part.size;
}

static void close_heads(struct packet *packet)
{
    size_t size = packet->heads.size - packet->heads_at;

    if (size == 0) return;
    add_part(packet, (struct packet_part){.buffer = &packet->heads, .at = packet->heads_at, .size = size});
    packet->heads_at = packet->heads.size;
}

size_t packet_pieces(struct packet *packet, struct slice pieces[PACKET_PARTS_MAX])
{
    close_heads(packet);
    for (uint32_t i = 0; i < packet->part_count; i++) {
        const struct packet_part *part = &packet->parts[i];

        pieces[i] = slice_of(part->memory != NULL ? part->memory : part->buffer->data + part->at, part->size);
    }
    return packet->part_count;
}

/* ---- batches ---- */

static int read_extent(struct packet *packet, const struct plog_extent *extent, struct packet_part *ret_part)
{
    struct buffer *files = &packet->files;
    size_t size = 0;
    int err = buffer_reserve(files, extent->size);

    if (err == 0) err = extent->file->fs->ops->read(extent->file, files->data + files->size, extent->size, extent->position, &size);
    if (err == 0 && size != extent->size) err = MESH_ECORRUPT;
    if (err != 0) return err;
    *ret_part = (struct packet_part){.buffer = files, .at = files->size, .size = extent->size};
    files->size += extent->size;
    return 0;
}

static int gather(struct packet *packet, const struct plog_view *view, packet_resident_fn *is_resident, struct packet_batches *batches,
                  struct plog_extent *ret_missing)
{
    for (uint32_t i = 0; i < view->extent_count; i++) {
        const struct plog_extent *extent = &view->extents[i];
        struct packet_part *part = &batches->parts[i];
        int err;

        if (extent->file == NULL) {
            *part = (struct packet_part){.memory = extent->memory, .size = extent->size};
            continue;
        }
        if (!is_resident(extent->file, extent->position, extent->size)) {
            *ret_missing = *extent;
            return MESH_EAGAIN;
        }
        err = read_extent(packet, extent, part);
        if (err != 0) return err;
    }
    batches->part_count = view->extent_count;
    batches->size = view->size;
    batches->next_offset = view->next_offset;
    return 0;
}

int packet_gather(struct packet *packet, struct plog_view *view, packet_resident_fn *is_resident, struct packet_batches *ret_batches,
                  struct plog_extent *ret_missing)
{
    size_t files_size = packet->files.size;
    int err;

    MESH_ASSERT(packet->view_count < PACKET_VIEWS_MAX);
    err = gather(packet, view, is_resident, ret_batches, ret_missing);
    if (err != 0) {
        packet->files.size = files_size;
        if (err == MESH_EAGAIN) (void)fs_ref(ret_missing->file);
        plog_view_release(view);
        return err;
    }
    packet->views[packet->view_count++] = *view;
    return 0;
}

static const uint8_t *part_data(const struct packet_part *part)
{
    return part->memory != NULL ? part->memory : part->buffer->data + part->at;
}

int packet_put(struct packet *packet, struct packet_batches *batches, size_t bytes_max)
{
    bool is_copied = batches->size <= PACKET_COPY_MAX && batches->size <= bytes_max;

    if (!is_copied) close_heads(packet);
    while (batches->part_count > 0 && bytes_max > 0) {
        struct packet_part part = batches->parts[0];

        if (part.size > bytes_max) part.size = bytes_max;
        if (is_copied) {
            int err = buffer_append(&packet->heads, part_data(&part), part.size);
            if (err != 0) return err;
        } else {
            add_part(packet, part);
        }
        bytes_max -= part.size;
        batches->size -= part.size;
        if (part.size < batches->parts[0].size) {
            if (part.memory != NULL) batches->parts[0].memory += part.size;
            batches->parts[0].at += part.size;
            batches->parts[0].size -= part.size;
            break;
        }
        batches->part_count--;
        memmove(batches->parts, batches->parts + 1, batches->part_count * sizeof(batches->parts[0]));
    }
    if (is_copied) plog_view_release(&packet->views[--packet->view_count]); /* theirs: it was the last one */
    return 0;
}
