#include "cmd/broker/operate/config.h"

#include "base/arena.h"
#include "base/error.h"
#include "cmd/broker/operate/live_settings.h"
#include "cmd/broker/runtime/control.h"
#include "cmd/broker/runtime/shard.h"
#include "wire/message_operate.h"

#include <stdio.h>
#include <string.h>

_Static_assert(OPERATE_TEXT_SIZE >= LIVE_SETTINGS_TEXT_SIZE, "one takes the other's texts");

/* ---- how things stand ---- */

static struct slice copy(struct arena *arena, const char *text, int *err)
{
    const char *kept = arena_strdup(arena, text);

    if (kept == NULL) *err = MESH_ENOMEM;
    return slice_of_string(kept != NULL ? kept : "");
}

/* What the next start uses is what it was told, else what is kept. */
static struct slice next_value(const struct broker *broker, size_t index, uint64_t now, struct arena *arena, int *err)
{
    const struct live_settings *live = &broker->live;
    bool is_told = live->at_start.sources[index] != SETTING_DEFAULT;
    uint64_t next = !is_told && live->kept.is_kept[index] ? live->kept.numbers[index] : settings_get(&live->at_start, index);
    char text[SETTINGS_TEXT_MAX];

    return next == now ? slice_of_string("") : copy(arena, settings_format_number(index, next, text), err);
}

static int describe_setting(const struct broker *broker, size_t index, struct arena *arena, struct message_config_entry *to)
{
    const struct setting_info *info = settings_info(index);
    char text[SETTINGS_PATH_MAX];
    int err = 0;

    *to = (struct message_config_entry){.key = slice_of_string(info->key),
                                        .value = copy(arena, settings_format(&broker->settings, index, text), &err),
                                        .unit = slice_of_string(info->unit),
                                        .values = copy(arena, settings_format_range(index, text), &err),
                                        .help = slice_of_string(info->help),
                                        .source = broker->settings.sources[index],
                                        .scope = (info->flags & SETTING_ALIKE) != 0 ? MESSAGE_CONFIG_ALIKE : MESSAGE_CONFIG_OF_BROKER,
                                        .is_live = (info->flags & SETTING_LIVE) != 0};
    if (strcmp(info->unit, "file") == 0) return err;
    to->fallback = copy(arena, settings_format_number(index, info->fallback, text), &err);
    if (broker->live.kept.is_kept[index]) to->kept = copy(arena, settings_format_number(index, broker->live.kept.numbers[index], text), &err);
    if (to->is_live) to->at_start = next_value(broker, index, settings_get(&broker->settings, index), arena, &err);
    return err;
}

static const struct setting_topic_default *find_topic_default(const struct settings *settings, const struct setting_topic_info *info)
{
    for (size_t i = 0; i < settings->topic_default_count; i++) {
        const struct setting_topic_default *given = &settings->topic_defaults[i];

        if (strcmp(given->key, info->name) == 0 || strcmp(given->key, info->kafka_name) == 0) return given;
    }
    return NULL;
}

static int describe_topic_default(const struct broker *broker, const struct setting_topic_info *info, struct arena *arena, struct message_config_entry *to)
{
    const struct setting_topic_default *given = find_topic_default(&broker->settings, info);
    char key[SETTINGS_TEXT_MAX];
    int err = 0;

    snprintf(key, sizeof(key), "topic.%s", info->name);
    *to = (struct message_config_entry){.key = copy(arena, key, &err),
                                        .value = given != NULL ? slice_of_string(given->value) : copy(arena, info->fallback, &err),
                                        .unit = slice_of_string(info->unit),
                                        .values = copy(arena, info->values, &err),
                                        .fallback = copy(arena, info->fallback, &err),
                                        .help = slice_of_string(info->help),
                                        .source = given != NULL ? given->source : SETTING_DEFAULT,
                                        .scope = MESSAGE_CONFIG_OF_NEW_TOPICS};
    return err;
}

static int describe(const struct control *control, struct buffer *to)
{
    const struct broker *broker = control->shards[0]->broker;
    struct message_config_entry entries[SETTINGS_MAX + SETTINGS_TOPIC_DEFAULTS_MAX];
    struct message_config_response response = {.broker = control->broker_id, .name = slice_of_string(control->name != NULL ? control->name : ""), .entries = entries};
    struct arena arena = ARENA_INIT;
    struct setting_topic_info info;
    char path[SETTINGS_PATH_MAX];
    int err = 0;

    snprintf(path, sizeof(path), "%s/" KEPT_SETTINGS_PATH, broker->data_dir);
    response.path = slice_of_string(path);
    for (size_t i = 0; err == 0 && settings_info(i) != NULL; i++)
        err = describe_setting(broker, i, &arena, &entries[response.entry_count++]);
    for (size_t i = 0; err == 0 && i < SETTINGS_TOPIC_DEFAULTS_MAX && settings_topic_info(i, &info); i++)
        err = describe_topic_default(broker, &info, &arena, &entries[response.entry_count++]);
    if (err == 0) err = message_encode_config_response(to, &response);
    arena_deinit(&arena);
    return err;
}

/* ---- changes ---- */

static int change(struct control *control, const struct message_config_request *request, char text[OPERATE_TEXT_SIZE])
{
    struct live_setting_change changes[LIVE_SETTINGS_MAX];

    if (request->action > MESSAGE_CONFIG_UNSET) return MESH_EUNSUPPORTED;
    if (request->change_count > LIVE_SETTINGS_MAX) return MESH_ETOOLARGE;
    for (size_t i = 0; i < request->change_count; i++)
        changes[i] = (struct live_setting_change){request->changes[i].key, request->changes[i].value, request->action == MESSAGE_CONFIG_UNSET};
    return live_settings_change(control->shards[0]->broker, changes, request->change_count, text);
}

int config_answer(struct control *control, struct slice request, struct buffer *to, char text[OPERATE_TEXT_SIZE])
{
    struct message_config_request message;
    int err = message_decode_config_request(request, &message);

    if (err != 0) return err;
    if (message.action != MESSAGE_CONFIG_LOOK) err = change(control, &message, text);
    message_deinit_config_request(&message);
    return err == 0 ? describe(control, to) : err;
}
