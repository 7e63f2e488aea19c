#include "cmd/cli/delivery_tally.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define PARTITIONS_MAX                                                                                       \
    (1u << 20) /* beyond what a topic may have: a receipt that says more is not believed                     \
                */

void delivery_tally_init(struct delivery_tally *tally, const char *topic)
{
    *tally = (struct delivery_tally){.receipts_fd = -1, .topic = topic};
}

void delivery_tally_deinit(struct delivery_tally *tally)
{
    free(tally->partitions);
    buffer_deinit(&tally->receipts);
    if (tally->receipts_fd >= 0) (void)close(tally->receipts_fd); /* what was written was checked */
    delivery_tally_init(tally, NULL);
}

int delivery_tally_open_receipts(struct delivery_tally *tally, const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);

    if (fd < 0) return error_from_errno(errno);
    tally->receipts_fd = fd;
    return 0;
}

/* The entry of a partition, growing the table to it, or NULL. */
static struct delivery_partition *find_partition(struct delivery_tally *tally, int32_t partition)
{
    size_t index = (size_t)partition, count = tally->partition_count > 0 ? tally->partition_count : 16;
    struct delivery_partition *partitions;

    if (index < tally->partition_count) return &tally->partitions[index];
    if (partition < 0 || index >= PARTITIONS_MAX) return NULL;
    while (count <= index)
        count *= 2;
    partitions = realloc(tally->partitions, count * sizeof(*partitions));
    if (partitions == NULL) return NULL;
    memset(partitions + tally->partition_count, 0, (count - tally->partition_count) * sizeof(*partitions));
    tally->partitions = partitions;
    tally->partition_count = count;
    return &partitions[index];
}

static void count_delivered(struct delivery_tally *tally, const struct mesh_receipt *receipt)
{
    struct delivery_partition *partition = find_partition(tally, receipt->partition);

    if (partition == NULL) {
        tally->error = MESH_ENOMEM;
        return;
    }
    if (partition->records++ == 0) {
        partition->first_offset = receipt->offset;
        partition->replicas_holding = receipt->replicas_holding;
        partition->replicas_synced = receipt->replicas_synced;
    }
    partition->last_offset = receipt->offset;
    if (receipt->replicas_holding < partition->replicas_holding)
        partition->replicas_holding = receipt->replicas_holding;
    if (receipt->replicas_synced < partition->replicas_synced)
        partition->replicas_synced = receipt->replicas_synced;
}

static void end_run(struct delivery_tally *tally)
{
    const struct delivery_run *run = &tally->run;
    struct json_writer json;

    if (!tally->has_run) return;
    tally->has_run = false;
    json_writer_init(&json, &tally->receipts);
    json_writer_begin_object(&json);
    json_writer_key(&json, "topic");
    json_writer_text(&json, tally->topic);
    json_writer_key(&json, "partition");
    json_writer_integer(&json, run->partition);
    json_writer_key(&json, "first_offset");
    json_writer_integer(&json, run->first_offset);
    json_writer_key(&json, "last_offset");
    json_writer_integer(&json, run->last_offset);
    json_writer_key(&json, "leader_epoch");
    json_writer_integer(&json, run->leader_epoch);
    json_writer_key(&json, "replicas_holding");
    json_writer_unsigned(&json, run->replicas_holding);
    json_writer_key(&json, "replicas_synced");
    json_writer_unsigned(&json, run->replicas_synced);
    json_writer_end_object(&json);
    if (json_writer_error(&json) != 0 || buffer_append(&tally->receipts, "\n", 1) != 0)
        tally->error = MESH_ENOMEM;
}

static bool run_continues(const struct delivery_run *run, const struct mesh_receipt *receipt)
{
    return run->partition == receipt->partition && run->last_offset + 1 == receipt->offset &&
           run->leader_epoch == receipt->leader_epoch && run->replicas_holding == receipt->replicas_holding &&
           run->replicas_synced == receipt->replicas_synced;
}

static void extend_run(struct delivery_tally *tally, const struct mesh_receipt *receipt)
{
    if (tally->has_run && run_continues(&tally->run, receipt)) {
        tally->run.last_offset = receipt->offset;
        return;
    }
    end_run(tally);
    tally->has_run = true;
    tally->run = (struct delivery_run){.first_offset = receipt->offset,
                                       .last_offset = receipt->offset,
                                       .partition = receipt->partition,
                                       .leader_epoch = receipt->leader_epoch,
                                       .replicas_holding = receipt->replicas_holding,
                                       .replicas_synced = receipt->replicas_synced};
}

static void note_error(struct delivery_tally *tally, int error)
{
    if (tally->first_error == 0) tally->first_error = error;
}

void delivery_tally_record(void *user, const struct mesh_receipt *receipt)
{
    struct delivery_tally *tally = user;

    if (receipt->status == MESH_DELIVERED) {
        tally->delivered++;
        count_delivered(tally, receipt);
        if (tally->receipts_fd >= 0 && receipt->offset >= 0) extend_run(tally, receipt);
        return;
    }
    note_error(tally, receipt->error != 0 ? receipt->error : MESH_EUNKNOWN);
    if (receipt->status == MESH_DELIVERY_UNKNOWN)
        tally->unknown++;
    else
        tally->failed++;
}

void delivery_tally_refuse(struct delivery_tally *tally, int error)
{
    note_error(tally, error);
    tally->failed++;
}

void delivery_tally_write_receipts(struct delivery_tally *tally)
{
    size_t done = 0;

    if (tally->receipts_fd < 0) return;
    end_run(tally);
    while (done < tally->receipts.size) {
        ssize_t written = write(tally->receipts_fd, tally->receipts.data + done, tally->receipts.size - done);
        if (written < 0 && errno != EINTR) {
            tally->error = error_from_errno(errno);
            break;
        }
        if (written > 0) done += (size_t)written;
    }
    buffer_clear(&tally->receipts);
}

uint32_t delivery_tally_replicas_synced(const struct delivery_tally *tally)
{
    uint32_t least = UINT32_MAX;

    for (size_t i = 0; i < tally->partition_count; i++)
        if (tally->partitions[i].records > 0 && tally->partitions[i].replicas_synced < least)
            least = tally->partitions[i].replicas_synced;
    return least == UINT32_MAX ? 0 : least;
}

uint32_t delivery_tally_replicas_holding(const struct delivery_tally *tally)
{
    uint32_t least = UINT32_MAX;

    for (size_t i = 0; i < tally->partition_count; i++)
        if (tally->partitions[i].records > 0 && tally->partitions[i].replicas_holding < least)
            least = tally->partitions[i].replicas_holding;
    return least == UINT32_MAX ? 0 : least;
}

void delivery_tally_write_json(const struct delivery_tally *tally, struct json_writer *json)
{
    json_writer_key(json, "failed");
    json_writer_unsigned(json, tally->failed);
    json_writer_key(json, "unknown");
    json_writer_unsigned(json, tally->unknown);
    json_writer_key(json, "replicas_holding");
    json_writer_unsigned(json, delivery_tally_replicas_holding(tally));
    json_writer_key(json, "replicas_synced");
    json_writer_unsigned(json, delivery_tally_replicas_synced(tally));
    json_writer_key(json, "partitions");
    json_writer_begin_array(json);
    for (size_t i = 0; i < tally->partition_count; i++) {
        const struct delivery_partition *partition = &tally->partitions[i];
        if (partition->records == 0) continue;
        json_writer_begin_object(json);
        json_writer_key(json, "partition");
        json_writer_unsigned(json, i);
        json_writer_key(json, "records");
        json_writer_unsigned(json, partition->records);
        json_writer_key(json, "first_offset");
        json_writer_integer(json, partition->first_offset);
        json_writer_key(json, "last_offset");
        json_writer_integer(json, partition->last_offset);
        json_writer_key(json, "replicas_holding");
        json_writer_unsigned(json, partition->replicas_holding);
        json_writer_key(json, "replicas_synced");
        json_writer_unsigned(json, partition->replicas_synced);
        json_writer_end_object(json);
    }
    json_writer_end_array(json);
}
