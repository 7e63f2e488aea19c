/* Fuzzes everything that reads metadata: commands, their changes, and snapshots of the image.
 *
 * The first byte chooses what the rest is. Beyond "no crash, no read outside":
 *   - a command that can be read can be written again;
 *   - entries with a right chain are applied or refused as a whole, and the image that comes out survives the
 * way through its snapshot unchanged, with counts that agree with its partitions;
 *   - a snapshot that decodes encodes to a snapshot that decodes to the same. */
#include "base/assert.h"
#include "base/error.h"
#include "replication/coordinator/record_body.h"

#include <stdlib.h>
#include <string.h>

#define ENTRIES_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct buffer first, second;

static uint64_t count_replicas(const struct image *image)
{
    uint64_t count = 0;

    for (size_t i = 0; i < image_broker_count(image); i++)
        count += image_replica_count(image, image_broker_at(image, i)->node_id);
    return count;
}

static uint64_t count_leaders(const struct image *image)
{
    uint64_t count = 0;

    for (size_t i = 0; i < image_broker_count(image); i++)
        count += image_leader_count(image, image_broker_at(image, i)->node_id);
    return count;
}

struct totals {
    const struct image *image;
    uint64_t topics, partitions, replicas, leaders;
};

static int add_up(void *user, const struct image_topic *topic)
{
    struct totals *totals = user;
    struct image_partition partition;

    totals->topics++;
    for (uint32_t i = 0; image_topic_partition(topic, i, &partition); i++) {
        totals->partitions++;
        for (uint32_t j = 0; j < partition.replica_count; j++)
            totals->replicas += image_find_broker(totals->image, partition.replicas[j]) != NULL; /* the retired are not asked for */
        totals->leaders += partition.leader != IMAGE_NO_LEADER;
        MESH_ASSERT((partition.isr | partition.elr | partition.last_known_elr) >> partition.replica_count == 0);
        MESH_ASSERT((partition.isr & partition.elr) == 0);
        MESH_ASSERT(partition.leader == IMAGE_NO_LEADER || !image_find_broker(totals->image, partition.leader)->is_fenced);
    }
    return 0;
}

/* The image's books are right, and its snapshot says all of it. */
static void check_image(const struct image *image)
{
    struct totals totals = {.image = image};
    struct image *again;

    image_each_topic(image, add_up, &totals);
    MESH_ASSERT(totals.topics == image_topic_count(image));
    MESH_ASSERT(totals.partitions == image_partition_count(image));
    MESH_ASSERT(totals.replicas == count_replicas(image));
    MESH_ASSERT(totals.leaders == count_leaders(image));
    buffer_clear(&first);
    buffer_clear(&second);
    MESH_ASSERT(image_encode(image, &first) == 0);
    MESH_ASSERT(image_decode(buffer_slice(&first), &again) == 0);
    MESH_ASSERT(image_encode(again, &second) == 0);
    MESH_ASSERT(slice_equal(buffer_slice(&first), buffer_slice(&second)));
    image_unref(again);
}

static void fuzz_command(struct slice bytes)
{
    struct codec_reader reader;
    struct metadata_change change;

    if (metadata_command_open(bytes, &reader) != 0) return;
    buffer_clear(&first);
    MESH_ASSERT(metadata_command_start(&first) == 0);
    while (metadata_command_next(&reader, &change))
        MESH_ASSERT(metadata_command_add(&first, &change) == 0);
    MESH_ASSERT(codec_reader_is_done(&reader));
    MESH_ASSERT(metadata_command_open(buffer_slice(&first), &reader) == 0);
}

static void fuzz_snapshot(struct slice bytes)
{
    struct image *image;

    if (image_decode(bytes, &image) != 0) return;
    check_image(image);
    image_unref(image);
}

/* The next change of (kind, key size, body size, key, body)...; false: the bytes are used up. */
static bool take_change(struct slice *bytes, struct metadata_change *ret_change)
{
    size_t key_size, body_size;

    if (bytes->size < 4) return false;
    key_size = bytes->data[1];
    body_size = bytes->data[2] | (size_t)bytes->data[3] << 8;
    ret_change->kind = bytes->data[0] % 32;
    *bytes = slice_of(bytes->data + 4, bytes->size - 4);
    if (key_size > bytes->size) key_size = bytes->size;
    ret_change->key = slice_of(bytes->data, key_size);
    *bytes = slice_of(bytes->data + key_size, bytes->size - key_size);
    if (body_size > bytes->size) body_size = bytes->size;
    ret_change->body = slice_of(bytes->data, body_size);
    *bytes = slice_of(bytes->data + body_size, bytes->size - body_size);
    return true;
}

/* Applies entries as a log would hold them; a refused one changes nothing. The upper bits of a change's first byte choose:
 * an entry of its own, the type CONFIG, or one entry with the change that follows. */
static void fuzz_history(struct slice bytes)
{
    struct image *image, *next;

    if (image_new_empty(&image) != 0) return;
    for (int i = 0; i < ENTRIES_MAX && bytes.size >= 4; i++) {
        struct raft_entry entry = {.index = image_applied_index(image) + 1,
                                   .term = image_applied_term(image) + bytes.data[0] / 128};
        struct metadata_change change;
        unsigned shape = bytes.data[0] / 32 % 4;
        if (!take_change(&bytes, &change)) break;
        buffer_clear(&first);
        MESH_ASSERT(metadata_command_start(&first) == 0 && metadata_command_add(&first, &change) == 0);
        if (shape == 3 && take_change(&bytes, &change)) MESH_ASSERT(metadata_command_add(&first, &change) == 0);
        entry.type = shape == 1 ? RAFT_ENTRY_CONFIG : RAFT_ENTRY_COMMAND;
        entry.body = shape == 1 ? change.body : buffer_slice(&first);
        metadata_chain(image_chain(image), &entry, entry.chain);
        if (image_apply(image, &entry, 1, &next) != 0) continue;
        image_unref(image);
        image = next;
    }
    check_image(image);
    image_unref(image);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_of(data + 1, size > 0 ? size - 1 : 0);

    if (size == 0) return 0;
    if (data[0] % 3 == 0) fuzz_command(rest);
    if (data[0] % 3 == 1) fuzz_snapshot(rest);
    if (data[0] % 3 == 2) fuzz_history(rest);
    return 0;
}
