/* A simulated broker's image as consumer groups want to see it: without the topic in which they live themselves. */
#include "base/assert.h"
#include "sim/groups_internal.h"
#include "sim/replication_internal.h"

#include <stdlib.h>
#include <string.h>

static bool is_own(const struct groups_guest *guest, const struct image_topic *topic)
{
    return strcmp(topic->name, guest->config->topic) == 0;
}

static bool fill(const struct groups_guest *guest, const struct image_topic *topic, struct group_topic *ret_topic)
{
    if (topic == NULL || is_own(guest, topic)) return false;
    *ret_topic = (struct group_topic){.id = topic->topic_id, .name = slice_of_string(topic->name), .partition_count = topic->partition_count};
    return true;
}

static bool find(void *arg, const struct uuid *id, struct group_topic *ret_topic)
{
    struct groups_guest *guest = arg;

    return guest->image != NULL && fill(guest, image_find_topic(guest->image, id), ret_topic);
}

static bool find_by_name(void *arg, struct slice name, struct group_topic *ret_topic)
{
    struct groups_guest *guest = arg;
    char text[GROUPS_NAME_SIZE];

    if (guest->image == NULL || name.size >= sizeof(text)) return false;
    memcpy(text, name.data, name.size);
    text[name.size] = '\0';
    return fill(guest, image_find_topic_by_name(guest->image, text), ret_topic);
}

static bool next(void *arg, size_t *cursor, struct group_topic *ret_topic)
{
    struct groups_guest *guest = arg;

    while (*cursor < guest->topic_count)
        if (fill(guest, guest->topics[(*cursor)++], ret_topic)) return true;
    return false;
}

static uint16_t zone_number(void *arg, struct slice zone)
{
    (void)arg;
    (void)zone;
    return 0;
}

/* Known for sure where the partition is led here, and its leader knows what is committed of earlier epochs. */
static uint64_t log_end(void *arg, const struct uuid *topic, uint32_t number)
{
    struct groups_guest *guest = arg;
    struct replication_replica *replica = replication_process_find(guest->process, topic, number);

    if (replica == NULL || !replica_leads(&replica->replica) || !replica_end_is_known(&replica->replica)) return GROUP_LOG_END_UNKNOWN;
    return replica->replica.partition.high_watermark;
}

const struct group_catalog *groups_catalog_of(const struct groups_partition *partition)
{
    return &partition->guest->terms.catalog;
}

void groups_catalog_init(struct groups_guest *guest)
{
    guest->terms.catalog = (struct group_catalog){find, find_by_name, next, zone_number, log_end, guest};
}

void groups_catalog_deinit(struct groups_guest *guest)
{
    free(guest->topics);
    image_unref(guest->image);
}

/* Images come with each change of an ISR: leads look at their groups only when topics came, went or grew. */
void groups_catalog_look(struct groups_guest *guest)
{
    uint64_t hash = 0;

    if (guest->image == guest->process->image) return;
    groups_catalog_deinit(guest);
    guest->image = image_ref(guest->process->image);
    guest->topics = NULL;
    guest->topic_count = 0;
    MESH_ASSERT(image_topics_by_name(guest->image, &guest->topics, &guest->topic_count) == 0);
    for (size_t i = 0; i < guest->topic_count; i++)
        hash = sim_mix(sim_hash_bytes(hash, guest->topics[i]->topic_id.bytes, UUID_SIZE), guest->topics[i]->partition_count);
    if (hash == guest->topics_hash) return;
    guest->topics_hash = hash;
    list_for_each(node, &guest->partitions)
    {
        struct groups_partition *partition = container_of(node, struct groups_partition, link);

        if (partition->part.lead != NULL) group_lead_catalog_changed(partition->part.lead);
    }
}
