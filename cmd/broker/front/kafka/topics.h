/* broker/front/kafka/topics.h - topics by the names and ids that requests give. */
#ifndef BROKER_FRONT_KAFKA_TOPICS_H
#define BROKER_FRONT_KAFKA_TOPICS_H

#include "base/slice.h"
#include "replication/coordinator/image.h"

/* NULL: there is none (or it is the mesh's own, which clients do not see). The image owns it. */
const struct image_topic *kafka_topic_by_name(const struct image *image, struct slice name);
const struct image_topic *kafka_topic_by_id(const struct image *image, const struct uuid *topic_id);

/* What requests for records name: by name before they did it by id. 0 and the id, or Kafka's code. */
int16_t kafka_topic_resolve(const struct image *image, bool is_by_id, struct slice name, const struct uuid *topic_id, struct uuid *ret_topic_id);

#endif
