/* broker/front/kafka/topic_jobs.c - topics made and deleted, on the control loop; see job.h. */
#include "cmd/broker/front/kafka/job.h"

#include "base/error.h"
#include "cmd/broker/metadata/metadata.h"
#include "cmd/broker/topic_defaults.h"

static void on_changed(void *user, int error, const char *message, const struct image_topic *topic)
{
    struct kafka_topic_job *topics = user;
    struct kafka_topic_order *order = &topics->orders[topics->steps.next];
    struct image_partition first;

    order->error = error;
    if (message != NULL && message[0] != '\0') order->message = arena_strdup(&topics->steps.job.call->arena, message);
    if (error == 0 && topic != NULL) {
        order->topic_id = topic->topic_id;
        order->partitions_made = (int32_t)topic->partition_count;
        if (image_topic_partition(topic, 0, &first)) order->replicas_made = (int32_t)image_partition_factor(&first);
    }
    kafka_step_done(&topics->steps);
}

static void create(struct kafka_topic_job *topics, struct kafka_topic_order *order)
{
    struct message_config configs[SETTINGS_TOPIC_DEFAULTS_MAX + TOPIC_CONFIG_COUNT];
    struct message_topic_create request = {
        .name = order->name,
        .partition_count = order->partition_count,
        .replication_factor = order->replication_factor,
        .configs = order->configs,
        .config_count = order->config_count,
        .validate_only = order->validate_only,
        .replicas = order->replicas,
        .replica_count = order->replicas == NULL ? 0 : (size_t)order->partition_count * (size_t)order->replication_factor,
    };
    struct message_topic_create filled = request;

    filled.configs = configs;
    if (!topic_defaults_fill(topics->steps.job.control->settings, &request, configs, &filled.config_count)) filled = request;
    metadata_topic_create(topics->steps.job.control->metadata, &filled, on_changed, topics);
}

static void alter(struct kafka_topic_job *topics, struct kafka_topic_order *order)
{
    const struct message_topic_alter request = {
        .name = order->name,
        .partition_count = order->partition_count,
        .configs = order->configs,
        .config_count = order->config_count,
        .removed_keys = order->removed_keys,
        .removed_key_count = order->removed_key_count,
    };

    if (order->validate_only || (order->partition_count == 0 && order->config_count == 0 && order->removed_key_count == 0))
        on_changed(topics, 0, NULL, NULL); /* nothing is to change */
    else
        metadata_topic_alter(topics->steps.job.control->metadata, &request, on_changed, topics);
}

static void carry_out(struct kafka_topic_job *topics, struct kafka_topic_order *order)
{
    if (order->is_delete && order->name == NULL)
        metadata_topic_delete_id(topics->steps.job.control->metadata, &order->topic_id, on_changed, topics);
    else if (order->is_delete)
        metadata_topic_delete(topics->steps.job.control->metadata, &(struct message_topic_delete){.name = order->name}, on_changed, topics);
    else if (order->is_alter)
        alter(topics, order);
    else
        create(topics, order);
}

/* An order may be answered within the call that gives it, or later. */
static void step(struct kafka_steps *steps)
{
    struct kafka_topic_job *topics = container_of(steps, struct kafka_topic_job, steps);
    struct kafka_topic_order *order = &topics->orders[steps->next];

    if (order->error == 0 && !steps->job.control->is_ready) order->error = MESH_ENO_COORDINATOR;
    if (order->error != 0)
        kafka_step_done(steps);
    else
        carry_out(topics, order);
}

void kafka_topic_job_start(struct kafka_topic_job *topics, struct kafka_call *call)
{
    topics->steps.step = step;
    kafka_steps_start(&topics->steps, call);
}
