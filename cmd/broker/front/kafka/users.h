/* broker/front/kafka/users.h - users as requests name them. */
#ifndef BROKER_FRONT_KAFKA_USERS_H
#define BROKER_FRONT_KAFKA_USERS_H

#include "base/slice.h"
#include "replication/coordinator/image.h"

int kafka_compare_users(struct slice a, struct slice b); /* by name */

/* NULL: there is none, or nobody can be called so. */
const struct image_user *kafka_user_of(const struct image *image, struct slice name);

#endif
