/* coordinator/topic_name.h - what a topic may be called. Pure; any thread. */
#ifndef COORDINATOR_TOPIC_NAME_H
#define COORDINATOR_TOPIC_NAME_H

#include <stdbool.h>
#include <stddef.h>

#define TOPIC_NAME_SIZE_MAX 249 /* bytes */

/* 1 to 249 of [A-Za-z0-9._-], not "." nor "..". Errors: MESH_EINVALID_TOPIC with a sentence in `message`,
 * which never repeats unprintable bytes. */
int topic_name_check(const char *name, char *message, size_t message_size);

bool topic_name_is_internal(const char *name); /* begins with "__mesh": made by the mesh itself only */

#endif
