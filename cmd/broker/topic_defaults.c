/* broker/topic_defaults.c - checked at start, filled in when a topic is created. */
#include "cmd/broker/topic_defaults.h"

#include "base/error.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

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

/* Words, or the bounds; the upper one where it is more than what the type holds. */
static void write_values(const struct topic_config_info *info, char *to, size_t size)
{
    const char *is_or = info->words[0] != '\0' ? ", or " : "";

    if (info->type == TOPIC_CONFIG_TYPE_WORD) snprintf(to, size, "%s", info->words);
    else if (info->max == INT64_MAX) snprintf(to, size, "from %" PRId64 "%s%s", info->min, is_or, info->words);
    else snprintf(to, size, "%" PRId64 " to %" PRId64 "%s%s", info->min, info->max, is_or, info->words);
}

bool settings_topic_info(size_t index, struct setting_topic_info *ret_info)
{
    static const char *const units[] = {[TOPIC_CONFIG_TYPE_WORD] = "word", [TOPIC_CONFIG_TYPE_DURATION_MS] = "ms", [TOPIC_CONFIG_TYPE_BYTES] = "bytes",
                                        [TOPIC_CONFIG_TYPE_NUMBER] = "count"};
    const struct topic_config_info *info;
    char fallback[TOPIC_CONFIG_TEXT_SIZE];

    if (index >= TOPIC_CONFIG_COUNT) return false;
    info = topic_config_info((enum topic_config_id)index);
    *ret_info = (struct setting_topic_info){.name = info->name, .kafka_name = info->kafka_name, .unit = units[info->type], .help = info->text};
    write_values(info, ret_info->values, sizeof(ret_info->values));
    snprintf(ret_info->fallback, sizeof(ret_info->fallback), "%s", topic_config_format((enum topic_config_id)index, info->fallback, fallback));
    return true;
}
