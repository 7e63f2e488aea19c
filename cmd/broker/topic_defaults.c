/* broker/topic_defaults.c - checked at start, filled in when a topic is created. */
#include "cmd/broker/topic_defaults.h"

#include "base/error.h"

int topic_defaults_check(const struct settings *settings, char *message, size_t message_size)
{
    for (size_t i = 0; i < settings->topic_default_count; i++) {
        const struct setting_topic_default *topic_default = &settings->topic_defaults[i];
        enum topic_config_id id;
        int64_t value;

        if (topic_config_find(topic_default->key, &id, message, message_size) != 0 ||
            topic_config_parse(id, topic_default->value, &value, message, message_size) != 0)
            return MESH_EINVAL;
    }
    return 0;
}

/* Two names may mean one key. A name that means none is left to the metadata to refuse. */
static bool request_has(const struct message_topic_create *request, enum topic_config_id id)
{
    char unused[256];

    for (size_t i = 0; i < request->config_count; i++) {
        enum topic_config_id other;

        if (topic_config_find(request->configs[i].key, &other, unused, sizeof(unused)) == 0 && other == id) return true;
    }
    return false;
}

bool topic_defaults_fill(const struct settings *settings, const struct message_topic_create *request,
                         struct message_config configs[SETTINGS_TOPIC_DEFAULTS_MAX + TOPIC_CONFIG_COUNT],
                         size_t *ret_count)
{
    char unused[256];
    size_t count = 0;

    if (request->config_count > TOPIC_CONFIG_COUNT) return false;
    for (; count < request->config_count; count++)
        configs[count] = request->configs[count];
    for (size_t i = 0; i < settings->topic_default_count; i++) {
        const struct setting_topic_default *topic_default = &settings->topic_defaults[i];
        enum topic_config_id id;

        if (topic_config_find(topic_default->key, &id, unused, sizeof(unused)) != 0 || request_has(request, id)) continue;
        configs[count++] = (struct message_config){.key = (char *)(uintptr_t)topic_default->key,
                                                   .value = (char *)(uintptr_t)topic_default->value};
    }
    *ret_count = count;
    return true;
}
