/* broker/runtime/partitions.c - opening, finding, reconfiguring and dropping partitions. */
#include "cmd/broker/metadata/metadata.h"
#include "cmd/broker/runtime/partitions.h"

#include "base/assert.h"
#include "base/error.h"
#include "base/log.h"
#include "cmd/broker/groups/groups.h"
#include "cmd/broker/ops/fetch_wait.h"
#include "cmd/broker/ops/produce_local.h"
#include "cmd/broker/replicas/replicas.h"
#include "replication/coordinator/topic_name.h"
#include "segment/healing.h"
#include "cmd/broker/replicas/roles.h"

#include <stdlib.h>

/* ---- topics ---- */

static struct shard_topic *topic_find(struct shard *shard, const struct uuid *topic_id)
{
    struct map_node *node = map_find(&shard->topics, partition_hash(topic_id, 0));

    for (; node != NULL; node = map_find_next(node)) {
        struct shard_topic *topic = container_of(node, struct shard_topic, node);
        if (uuid_equal(&topic->metrics.topic_id, topic_id)) return topic;
    }
    return NULL;
}

static int topic_get(struct shard *shard, const struct uuid *topic_id, struct shard_topic **ret_topic)
{
    struct shard_topic *topic = topic_find(shard, topic_id);
    const struct image_topic *image_topic;
    int err;

    if (topic == NULL) {
        image_topic = image_find_topic(shard->image, topic_id);
        if (image_topic == NULL) return MESH_EUNKNOWN_TOPIC;
        topic = calloc(1, sizeof(*topic));
        if (topic == NULL) return MESH_ENOMEM;
        topic->metrics.topic_id = *topic_id;
        err = map_insert(&shard->topics, &topic->node, partition_hash(topic_id, 0));
        if (err != 0) {
            free(topic);
            return err;
        }
        topic->topic = image_topic_ref(image_topic);
        topic->is_internal = topic_name_is_internal(image_topic->name);
        list_init(&topic->partitions);
    }
    *ret_topic = topic;
    return 0;
}

void shard_topic_free_if_empty(struct shard *shard, struct shard_topic *topic)
{
    if (!list_is_empty(&topic->partitions)) return;
    map_remove(&shard->topics, &topic->node);
    image_topic_unref(topic->topic);
    free(topic);
}

/* ---- one partition ---- */

/* Does this broker keep a replica of the partition? */
static bool is_replica_here(const struct shard *shard, const struct image_topic *topic, uint32_t number)
{
    struct image_partition facts;

    if (!image_topic_partition(topic, number, &facts)) return false;
    for (uint32_t i = 0; i < facts.replica_count; i++)
        if (facts.replicas[i] == shard->broker->node_id) return true;
    return false;
}

static void cap(struct partition_positions *positions, uint64_t offset)
{
    if (offset < positions->start) offset = positions->start;
    if (positions->written > offset) positions->written = offset;
    if (positions->durable > offset) positions->durable = offset;
}

void shard_partition_positions(const struct shard_partition *partition, struct partition_positions *ret_positions)
{
    const struct plog *plog = partition->plog;
    struct plog_damage damage;

    *ret_positions = (struct partition_positions){
        .start = plog_start_offset(plog),
        .end = plog_end_offset(plog),
        .written = plog_written_offset(plog),
        .durable = plog_durable_offset(plog),
        .deleted = plog_first_offset(plog),
    };
    if (!replica_leads(&partition->replica) && plog_find_damage(plog, 0, &damage)) cap(ret_positions, damage.from);
}

static bool is_replicated(const struct image_topic *topic, uint32_t number)
{
    struct image_partition facts;

    return image_topic_partition(topic, number, &facts) && facts.replica_count > 1;
}

/* Opens the log of a partition that is already in the table, and fills in the rest. */
static int partition_open_log(struct shard *shard, struct shard_partition *partition, struct plog_recovered *recovered)
{
    const struct image_topic *topic = partition->topic->topic;
    struct plog_id id = {partition->topic->metrics.topic_id, partition->number};
    struct partition_positions positions;
    struct partition_config config;
    struct plog_config plog_config;
    int err;

    topic_config_to_plog(topic, &plog_config);
    err = store_open_log(shard->store, &id, &plog_config, recovered, &partition->plog);
    if (err != 0) return err;
    plog_set_user(partition->plog, partition);
    /* What is not known to be committed is kept from the start on: retention would make it pass for committed by dropping what is before it. */
    if (is_replicated(topic, partition->number)) plog_set_high_watermark(partition->plog, plog_high_watermark(partition->plog));
    roles_config(topic, partition->number, &config);
    shard_partition_positions(partition, &positions);
    replica_init(&partition->replica, &shard->replicas.board, shard->broker->node_id, &config, &positions, plog_high_watermark(partition->plog));
    list_push_back(&partition->topic->partitions, &partition->link);
    partition->topic->metrics.partition_count++;
    groups_opened(shard, partition);
    replicas_assign(shard, partition);
    return 0;
}

/* Takes `recovered`. */
static int partition_new(struct shard *shard, struct shard_topic *topic, uint32_t number,
                         struct plog_recovered *recovered, struct shard_partition **ret_partition)
{
    struct shard_partition *partition = NULL;
    int err = MESH_EUNKNOWN_TOPIC;

    if (number >= topic->topic->partition_count) goto fail;
    err = MESH_ENOT_LEADER; /* what is kept elsewhere gets no log here; one that is here already is opened all the same */
    if (recovered == NULL && !is_replica_here(shard, topic->topic, number)) goto fail;
    partition = calloc(1, sizeof(*partition));
    err = MESH_ENOMEM;
    if (partition == NULL) goto fail;
    partition->topic = topic;
    partition->number = number;
    list_init(&partition->waiters);
    list_init(&partition->redo_link);
    list_init(&partition->ask_link);
    err = map_insert(&shard->partitions, &partition->node, partition_hash(&topic->metrics.topic_id, number));
    if (err != 0) goto fail;
    err = partition_open_log(shard, partition, recovered);
    if (err != 0) {
        map_remove(&shard->partitions, &partition->node);
        free(partition);
        return err;
    }
    *ret_partition = partition;
    return 0;
fail:
    plog_recovered_free(recovered);
    free(partition);
    return err;
}

static int partition_open(struct shard *shard, const struct uuid *topic_id, uint32_t number,
                          struct plog_recovered *recovered, struct shard_partition **ret_partition)
{
    struct shard_topic *topic;
    int err = topic_get(shard, topic_id, &topic);

    if (err != 0) {
        plog_recovered_free(recovered);
        return err;
    }
    err = partition_new(shard, topic, number, recovered, ret_partition);
    if (err != 0) shard_topic_free_if_empty(shard, topic);
    return err;
}

struct shard_partition *shard_partition_find(struct shard *shard, const struct uuid *topic_id, uint32_t number)
{
    struct map_node *node = map_find(&shard->partitions, partition_hash(topic_id, number));

    for (; node != NULL; node = map_find_next(node)) {
        struct shard_partition *partition = container_of(node, struct shard_partition, node);
        if (partition->number == number && uuid_equal(&partition->topic->metrics.topic_id, topic_id))
            return partition;
    }
    return NULL;
}

int shard_partition_open(struct shard *shard, const struct uuid *topic_id, uint32_t number, struct shard_partition **ret_partition)
{
    *ret_partition = shard_partition_find(shard, topic_id, number);
    return *ret_partition != NULL ? 0 : partition_open(shard, topic_id, number, NULL, ret_partition);
}

int shard_partition_get(struct shard *shard, const struct uuid *topic_id, uint32_t number,
                        struct shard_partition **ret_partition)
{
    struct shard_partition *partition = shard_partition_find(shard, topic_id, number);
    struct image_partition facts;
    const struct image_topic *topic;

    if (partition == NULL) {
        topic = image_find_topic(shard->image, topic_id);
        if (topic != NULL && image_topic_partition(topic, number, &facts) && facts.leader != shard->broker->node_id) return MESH_ENOT_LEADER;
        return partition_open(shard, topic_id, number, NULL, ret_partition);
    }
    *ret_partition = partition;
    return 0;
}

int shard_partition_open_recovered(struct shard *shard, const struct plog_id *id, struct plog_recovered *recovered)
{
    struct shard_partition *partition;

    return partition_open(shard, &id->topic_id, id->partition, recovered, &partition);
}

static void partition_free(struct shard_partition *partition)
{
    produce_committing_free(partition);
    free(partition);
}

void shard_partition_release(struct shard_partition *partition)
{
    MESH_ASSERT(partition->pending > 0);
    if (--partition->pending == 0 && partition->plog == NULL) partition_free(partition);
}

/* Takes the partition out of every table. Whoever still waits for it finds plog == NULL. */
static void partition_detach(struct shard *shard, struct shard_partition *partition)
{
    groups_closing(shard, partition);
    replicas_forget(shard, partition);
    map_remove(&shard->partitions, &partition->node);
    list_remove(&partition->link);
    partition->topic->metrics.partition_count--;
    partition->topic = NULL;
    fetch_wake(shard, &partition->waiters);
    partition->plog = NULL;
    if (partition->pending == 0) partition_free(partition);
}

/* ---- images ---- */

bool shard_partition_drop_if_moved(struct shard *shard, struct shard_partition *partition)
{
    const struct image_topic *topic = image_find_topic(shard->image, &partition->topic->metrics.topic_id);
    struct plog *plog = partition->plog;

    /* Committed facts only, and none from before this process was registered: what an old image does not name may be here for good reason. */
    if (topic == NULL || !shard->replicas.is_registered || partition->number >= topic->partition_count) return false;
    if (is_replica_here(shard, topic, partition->number)) return false;
    log_info("a replica was moved to other brokers, and goes topic=%s partition=%u", topic->name, partition->number);
    partition_detach(shard, partition);
    plog_delete(plog);
    return true;
}

static void topic_delete(struct shard *shard, struct shard_topic *topic)
{
    list_for_each_safe(node, &topic->partitions)
    {
        struct shard_partition *partition = container_of(node, struct shard_partition, link);
        struct plog *plog = partition->plog;

        partition_detach(shard, partition); /* first: its replica may still look at the log */
        plog_delete(plog);
    }
    shard_topic_free_if_empty(shard, topic);
}

void shard_partition_configure_log(struct shard *shard, struct shard_partition *partition)
{
    struct plog_config config;

    topic_config_to_plog(partition->topic->topic, &config);
    partition->is_config_due = plog_set_config(partition->plog, &config) != 0;
    if (partition->is_config_due) replicas_try_again(shard);
}

static void topic_update(struct shard *shard, struct shard_topic *topic, const struct image_topic *image_topic)
{
    struct partition_config config;

    topic->is_missing = false;
    if (image_topic->changed_index == topic->topic->changed_index) return;
    image_topic_unref(topic->topic);
    topic->topic = image_topic_ref(image_topic);
    shard->is_tick_wanted = true;
    list_for_each_safe(node, &topic->partitions)
    {
        struct shard_partition *partition = container_of(node, struct shard_partition, link);

        if (shard_partition_drop_if_moved(shard, partition)) continue;
        roles_config(image_topic, partition->number, &config);
        replica_set_config(&partition->replica, &config);
        replicas_assign(shard, partition);
        shard_partition_configure_log(shard, partition);
        shard_on_plog_change(shard, partition->plog);
    }
}

/* Absence deletes nothing (PROTOCOLS 2.6): only a committed deletion does. Requests find the topic unknown meanwhile. */
static void topic_keep(struct shard_topic *topic)
{
    char text[UUID_STRING_SIZE];

    if (topic->is_missing) return;
    topic->is_missing = true;
    log_error("the metadata do not know a topic that was here, and do not say that it was deleted: its records are kept topic_id=%s",
              uuid_format(&topic->metrics.topic_id, text));
}

void shard_install_image(struct shard *shard, const struct image *image)
{
    struct map_node *node = map_iterate(&shard->topics, NULL);

    image_unref(shard->image);
    shard->image = image;
    while (node != NULL) {
        struct shard_topic *topic = container_of(node, struct shard_topic, node);
        const struct image_topic *image_topic = image_find_topic(image, &topic->metrics.topic_id);

        node = map_iterate(&shard->topics, node);
        if (image_topic != NULL) {
            topic_update(shard, topic, image_topic);
            shard_topic_free_if_empty(shard, topic);
        } else if (image_topic_was_deleted(image, &topic->metrics.topic_id)) {
            topic_delete(shard, topic);
        } else {
            topic_keep(topic);
        }
    }
    replicas_install_image(shard);
    groups_image(shard);
}

/* ---- positions ---- */

/* On the control loop. */
static void failed_arrives(struct mail *mail)
{
    struct shard *shard = container_of(mail, struct shard, failed_mail);

    event_note(&shard->broker->control.events, EVENT_DISK, LOG_LEVEL_ERROR, "a disk has failed: this broker gives leadership up, and takes no more shard=%u", shard->index);
    metadata_set_disk_failed(shard->broker->control.metadata);
}

/* A disk that failed once is not to be trusted with leadership, though only one log may have noticed so far. */
static void tell_failure(struct shard *shard)
{
    if (shard->has_failed) return;
    shard->has_failed = true;
    shard->failed_mail.deliver = failed_arrives;
    mailbox_post(&shard->broker->control.mailbox, &shard->failed_mail);
}

void shard_on_plog_change(void *user, struct plog *plog)
{
    struct shard *shard = user;
    struct shard_partition *partition = plog_user(plog);
    struct partition_positions positions;

    if (plog_error(plog) == MESH_ESTORAGE) tell_failure(shard);
    if (partition == NULL || partition->plog == NULL) return;
    shard_partition_positions(partition, &positions);
    replica_set_positions(&partition->replica, &positions);
    heal_look(shard, partition);
    groups_stirred(shard, partition);
    if (partition->has_cold_readers && !list_is_empty(&partition->waiters)) fetch_wake(shard, &partition->waiters);
    partition->has_cold_readers = false;
}

void shard_partitions_deinit(struct shard *shard)
{
    struct map_node *node = map_iterate(&shard->partitions, NULL);

    while (node != NULL) {
        struct shard_partition *partition = container_of(node, struct shard_partition, node);

        node = map_iterate(&shard->partitions, node);
        replica_deinit(&partition->replica);
        compare_forget(partition);
        produce_committing_free(partition);
        free(partition);
    }
    node = map_iterate(&shard->topics, NULL);
    while (node != NULL) {
        struct shard_topic *topic = container_of(node, struct shard_topic, node);

        node = map_iterate(&shard->topics, node);
        image_topic_unref(topic->topic);
        free(topic);
    }
    map_deinit(&shard->partitions);
    map_deinit(&shard->topics);
    image_unref(shard->image);
    shard->image = NULL;
}
