/* coordinator/topic_name.c - see topic_name.h. */
#include "replication/coordinator/topic_name.h"

#include "base/error.h"

#include <stdio.h>
#include <string.h>

static bool is_allowed(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

int topic_name_check(const char *name, char *message, size_t message_size)
{
    size_t size = strlen(name), good = 0;

    if (size == 0) {
        snprintf(message, message_size, "a topic needs a name");
        return MESH_EINVALID_TOPIC;
    }
    if (size > TOPIC_NAME_SIZE_MAX) {
        snprintf(message, message_size, "the topic name has %zu characters; at most %d are allowed", size,
                 TOPIC_NAME_SIZE_MAX);
        return MESH_EINVALID_TOPIC;
    }
    while (good < size && is_allowed(name[good]))
        good++;
    if (good < size) {
        snprintf(message, message_size,
                 "character %zu of the topic name is not allowed: a name is made of letters, digits, '.', "
                 "'_' and '-'",
                 good + 1);
        return MESH_EINVALID_TOPIC;
    }
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        snprintf(message, message_size, "\"%s\" cannot be the name of a topic", name);
        return MESH_EINVALID_TOPIC;
    }
    return 0;
}

bool topic_name_is_internal(const char *name)
{
    return strncmp(name, "__mesh", 6) == 0;
}
