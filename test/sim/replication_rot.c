#include "sim/replication_rot.h"

#include "segment/healing.h"
#include "sim/sim_sometimes.h"
#include "support/fs_mem.h"

#include <stdio.h>
#include <string.h>

#define FILES_MAX 64
#define PATH_SIZE 128

struct files {
    char prefix[PATH_SIZE];
    char paths[FILES_MAX][PATH_SIZE];
    uint64_t sizes[FILES_MAX];
    unsigned count;
};

static void add_file(void *user, const char *path, uint64_t size)
{
    struct files *files = user;

    if (files->count == FILES_MAX || size == 0 || strncmp(path, files->prefix, strlen(files->prefix)) != 0) return;
    snprintf(files->paths[files->count], PATH_SIZE, "%s", path);
    files->sizes[files->count++] = size;
}

static void flip(struct replication_mesh *mesh, uint32_t host, const struct watch_partition *partition, struct random *random)
{
    struct fs_mem *disk = sim_host_disk(sim_host_at(mesh->sim, host));
    struct files files = {.count = 0};
    char id[UUID_STRING_SIZE];
    unsigned which, bit;
    uint64_t position;

    snprintf(files.prefix, sizeof(files.prefix), "topics/%s/%u/", uuid_format(&partition->topic_id, id), partition->number);
    fs_mem_each_file(disk, add_file, &files);
    if (files.count == 0) return;
    which = (unsigned)random_below(random, files.count);
    position = random_below(random, files.sizes[which]);
    bit = (unsigned)random_below(random, 8);
    if (fs_mem_flip_bit(disk, files.paths[which], position, bit) != 0) return;
    SIM_SOMETIMES("a bit of a segment file was flipped at rest");
    sim_trace(mesh->sim, sim_host_at(mesh->sim, host), "has a flipped bit in %s at %llu of %llu", files.paths[which], (unsigned long long)position,
              (unsigned long long)files.sizes[which]);
}

/* Whoever is in sync besides replica `victim`. */
static bool has_another(const struct image_partition *facts, uint32_t victim)
{
    return (facts->isr & ~(1u << victim)) != 0;
}

void replication_rot_strike(struct replication_mesh *mesh, struct random *random)
{
    uint32_t count = mesh->watch->partition_count, victim, host;
    struct watch_partition *partition = count == 0 ? NULL : &mesh->watch->partitions[random_below(random, count)];
    const struct image_topic *topic;
    const struct image_broker *broker;
    struct image_partition facts;

    if (partition == NULL || partition->is_gone || !replication_mesh_facts(mesh, partition, &topic, &facts)) return;
    if (image_min_insync(topic, image_partition_factor(&facts)) < 2) return; /* it may hold what nobody else does */
    victim = (uint32_t)random_below(random, facts.replica_count);
    broker = image_find_broker(metadata_watch_image(mesh->metadata.watch), facts.replicas[victim]);
    if (broker == NULL || !has_another(&facts, victim)) return;
    host = consensus_host_of(&broker->broker_id);
    if (partition->rotten != 0 && partition->rotten != host + 1) return;
    partition->rotten = (uint8_t)(host + 1);
    for (uint64_t i = random_below(random, 3) + 1; i > 0; i--)
        flip(mesh, host, partition, random);
}

/* What is in the file, against what the observer knows that was written. */
static bool is_sound(const struct watch_log *log, struct slice bytes, uint64_t *offset)
{
    struct record_batch_header header;

    for (size_t at = 0; at < bytes.size; at += header.size) {
        struct slice batch = slice_of(bytes.data + at, bytes.size - at);
        const struct watch_batch *known = watch_log_find(log, *offset);

        if (record_batch_parse_header(batch, &header) != 0 || header.size > batch.size) return false;
        if (record_batch_verify(slice_of(batch.data, header.size), &header) != 0 || (uint64_t)header.base_offset != *offset) return false;
        if (known == NULL || known->base != *offset || known->crc != header.crc || known->epoch != header.leader_epoch) return false;
        *offset = (uint64_t)record_batch_last_offset(&header) + 1;
    }
    return true;
}

const char *replication_rot_remains(struct replication_mesh *mesh)
{
    static _Thread_local char text[96];

    for (uint32_t p = 0; p < mesh->watch->partition_count; p++) {
        struct watch_partition *partition = &mesh->watch->partitions[p];
        const struct watch_log *log = partition->rotten == 0 ? NULL : &partition->logs[partition->rotten - 1];
        uint64_t offset;

        if (log == NULL || partition->is_gone || !log->is_open || log->replica->plog == NULL) continue;
        for (offset = plog_start_offset(log->replica->plog); offset < plog_end_offset(log->replica->plog);) {
            struct buffer *scratch = &mesh->watch->scratch;

            buffer_clear(scratch);
            if (plog_damage_count(log->replica->plog) == 0 && replication_read_log(log->replica, offset, plog_end_offset(log->replica->plog), 1u << 20, scratch) == 0 &&
                scratch->size > 0 && is_sound(log, buffer_slice(scratch), &offset))
                continue;
            snprintf(text, sizeof(text), "p%u is damaged at h%u, at %llu or behind it", p, partition->rotten - 1, (unsigned long long)offset);
            return text;
        }
    }
    return NULL;
}
