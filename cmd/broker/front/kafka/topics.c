/* broker/front/kafka/topics.c - see topics.h. */
#include "cmd/broker/front/kafka/topics.h"

#include "cmd/broker/front/kafka/errors.h"
#include "replication/coordinator/topic_name.h"

#include <string.h>

const struct image_topic *kafka_topic_by_name(const struct image *image, struct slice name)
{
    char text[TOPIC_NAME_SIZE_MAX + 1];

    if (name.size == 0 || name.size > TOPIC_NAME_SIZE_MAX || memchr(name.data, '\0', name.size) != NULL) return NULL;
    memcpy(text, name.data, name.size);
    text[name.size] = '\0';
    return topic_name_is_internal(text) ? NULL : image_find_topic_by_name(image, text);
}

const struct image_topic *kafka_topic_by_id(const struct image *image, const struct uuid *topic_id)
{
    const struct image_topic *topic = image_find_topic(image, topic_id);

    return topic == NULL || topic_name_is_internal(topic->name) ? NULL : topic;
}

int16_t kafka_topic_resolve(const struct image *image, bool is_by_id, struct slice name, const struct uuid *topic_id, struct uuid *ret_topic_id)
{
    const struct image_topic *topic = is_by_id ? kafka_topic_by_id(image, topic_id) : kafka_topic_by_name(image, name);

    if (topic == NULL) return is_by_id ? KAFKA_CODE_UNKNOWN_TOPIC_ID : KAFKA_CODE_UNKNOWN_TOPIC_OR_PARTITION;
    *ret_topic_id = topic->topic_id;
    return KAFKA_CODE_NONE;
}
