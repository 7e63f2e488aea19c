#include "client/group.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int mesh_group_options_new(struct mesh_group_options **ret_options)
{
    struct mesh_group_options *options = calloc(1, sizeof(*options));

    if (options == NULL) return MESH_ENOMEM;
    options->session_ms = 30000;
    options->processing_ms = 300000;
    options->commit_interval_ms = 5000;
    options->has_thread = true;
    *ret_options = options;
    return 0;
}

void mesh_group_options_free(struct mesh_group_options *options)
{
    free(options);
}

static int set_text(char *to, const char *value)
{
    size_t size = strlen(value);

    if (size >= GROUP_NAME_ROOM) return MESH_EINVALID_CONFIG;
    memcpy(to, value, size + 1);
    return 0;
}

static int set_choice(const char *const *choices, size_t count, const char *value, uint32_t *to)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(choices[i], value) == 0) {
            *to = (uint32_t)i;
            return 0;
        }
    return MESH_EINVALID_CONFIG;
}

static int set_ms(uint32_t *to, uint32_t least, const char *value)
{
    unsigned long number;
    char *end;

    if (value[0] < '0' || value[0] > '9') return MESH_EINVALID_CONFIG;
    errno = 0;
    number = strtoul(value, &end, 10);
    if (errno != 0 || *end != '\0' || number < least || number > GROUP_LONGEST_MS) return MESH_EINVALID_CONFIG;
    *to = (uint32_t)number;
    return 0;
}

int mesh_group_options_set(struct mesh_group_options *options, const char *key, const char *value)
{
    static const char *const strategies[] = {"sticky", "range", "round-robin", "zone"}; /* as enum group_strategy */
    static const char *const deliveries[] = {"at-least-once", "at-most-once", "manual"};
    static const char *const starts[] = {"earliest", "latest", "error"};
    static const char *const switches[] = {"off", "on"};
    static const char *const livenesses[] = {"poll", "thread"};
    uint32_t choice = 0;
    int err = MESH_EINVALID_CONFIG;

    if (key == NULL || value == NULL) return MESH_EINVALID_CONFIG;
    if (strcmp(key, "group") == 0) return set_text(options->group, value);
    if (strcmp(key, "instance") == 0) return set_text(options->instance, value);
    if (strcmp(key, "zone") == 0) return set_text(options->zone, value);
    if (strcmp(key, "session.ms") == 0) return set_ms(&options->session_ms, 1, value);
    if (strcmp(key, "processing.ms") == 0) return set_ms(&options->processing_ms, 1, value);
    if (strcmp(key, "commit.interval.ms") == 0) return set_ms(&options->commit_interval_ms, 0, value);
    if (strcmp(key, "broadcast") == 0) {
        err = set_choice(switches, 2, value, &choice);
        if (err == 0) options->is_broadcast = choice == 1;
        return err;
    }
    if (strcmp(key, "strategy") == 0) return set_choice(strategies, 4, value, &options->strategy);
    if (strcmp(key, "delivery") == 0) {
        err = set_choice(deliveries, 3, value, &choice);
        if (err == 0) options->delivery = (enum group_delivery)choice;
    } else if (strcmp(key, "start") == 0) {
        err = set_choice(starts, 3, value, &choice);
        if (err == 0) options->start = (enum group_start)choice;
    } else if (strcmp(key, "liveness") == 0) {
        err = set_choice(livenesses, 2, value, &choice);
        if (err == 0) options->has_thread = choice == 1;
    }
    return err;
}

/* Everybody gets everything where everybody is a group of its own. The instance is part of its name, so it is the same one after a restart. */
int group_options_settle(struct mesh_client *client, struct mesh_group_options *options)
{
    char name[2 * GROUP_NAME_ROOM];
    int size;

    if (!options->is_broadcast) return 0;
    if (options->instance[0] == '\0') return client_fail(client, MESH_EINVAL, "broadcast needs the name of an instance, under which it finds its offsets again");
    size = snprintf(name, sizeof(name), "%s/%s", options->group, options->instance);
    if (size < 0 || set_text(options->group, name) != 0)
        return client_fail(client, MESH_EINVAL, "group and instance are together at most %d bytes", GROUP_NAME_ROOM - 2);
    return 0;
}
