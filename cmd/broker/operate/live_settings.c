#include "cmd/broker/operate/live_settings.h"

#include "base/error.h"
#include "base/log.h"
#include "cmd/broker/broker_private.h"
#include "cmd/broker/metadata/metadata.h"
#include "cmd/broker/runtime/shard.h"
#include "cmd/broker/start.h"
#include "segment/store.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* ---- a start ---- */

static void tell_bad(void *user, const char *line, const char *reason)
{
    (void)user;
    log_warn("a setting that is kept is not used line=\"%s\" reason=\"%s\" file=" KEPT_SETTINGS_PATH, line, reason);
}

/* Those that nothing else names. */
static void use_kept(struct broker *broker)
{
    const struct kept_settings *kept = &broker->live.kept;
    char text[SETTINGS_TEXT_MAX];

    for (size_t i = 0; settings_info(i) != NULL; i++) {
        const char *key = settings_info(i)->key;

        if (!kept->is_kept[i]) continue;
        if (broker->live.at_start.sources[i] != SETTING_DEFAULT) {
            log_info("a setting that is kept is not used: an option, the environment or the file says another thing key=%s kept=%s", key, settings_format_number(i, kept->numbers[i], text));
            continue;
        }
        settings_put(&broker->settings, i, kept->numbers[i], SETTING_KEPT);
        if (strcmp(key, "log-level") == 0) log_set_level((enum log_level)kept->numbers[i]);
        log_info("a setting that was set while a broker ran key=%s value=%s", key, settings_format_number(i, kept->numbers[i], text));
    }
}

int live_settings_open(struct broker *broker)
{
    int err = kept_settings_read(broker->fs, &broker->live.kept, tell_bad, NULL);

    if (err == MESH_ENOMEM) return err;
    if (err != 0) log_warn("what 'mesh config set' has changed cannot be read, and is not used file=" KEPT_SETTINGS_PATH " error=\"%s\"", mesh_strerror(err));
    use_kept(broker);
    broker->settings.connections_max = start_raise_descriptors(broker->settings.connections_max);
    return 0;
}

/* ---- changes ---- */

/* The variable of a setting. */
static void name_variable(const char *key, char *to, size_t size)
{
    size_t used = (size_t)snprintf(to, size, "MESH_");

    for (; *key != '\0' && used + 1 < size; key++)
        to[used++] = *key == '.' || *key == '-' ? '_' : (char)toupper((unsigned char)*key);
    to[used] = '\0';
}

/* What this machine does not let be. */
static int judge_machine(const char *key, uint64_t number, char text[LIVE_SETTINGS_TEXT_SIZE])
{
    uint64_t possible = strcmp(key, "connections.max") == 0 ? start_raise_descriptors(number) : number;

    if (possible >= number) return 0;
    snprintf(text, LIVE_SETTINGS_TEXT_SIZE, "the system allows this process descriptors for %llu connections (ulimit -n)", (unsigned long long)possible);
    return MESH_EINVAL;
}

static int judge(const struct live_setting_change *change, size_t *ret_index, uint64_t *ret_number, char text[LIVE_SETTINGS_TEXT_SIZE])
{
    char key[SETTINGS_TEXT_MAX], value[SETTINGS_TEXT_MAX], variable[SETTINGS_TEXT_MAX];
    int err;

    if (change->value.size >= sizeof(value)) {
        snprintf(text, LIVE_SETTINGS_TEXT_SIZE, "the value is too long");
        return MESH_EINVAL;
    }
    snprintf(key, sizeof(key), "%.*s", (int)(change->key.size < sizeof(key) ? change->key.size : sizeof(key) - 1), (const char *)change->key.data);
    snprintf(value, sizeof(value), "%.*s", (int)change->value.size, (const char *)change->value.data);
    *ret_index = settings_index(key);
    if (*ret_index == SETTINGS_MAX && strncmp(key, "topic.", 6) != 0) {
        snprintf(text, LIVE_SETTINGS_TEXT_SIZE, "there is no setting \"%.64s\"", key);
        return MESH_EINVAL;
    }
    if (*ret_index == SETTINGS_MAX || (settings_info(*ret_index)->flags & SETTING_LIVE) == 0) {
        name_variable(key, variable, sizeof(variable));
        snprintf(text, LIVE_SETTINGS_TEXT_SIZE, "%.64s is read at a start alone: put it into the file of --config, into %.80s or behind --set, and restart", key, variable);
        return MESH_EINVAL;
    }
    if (change->is_unset) return 0;
    err = settings_parse(*ret_index, value, ret_number, text, LIVE_SETTINGS_TEXT_SIZE);
    return err != 0 ? err : judge_machine(key, *ret_number, text);
}

/* Those that somebody has a copy of. */
static void hand_out(struct broker *broker)
{
    struct settings *settings = &broker->settings;
    struct store_options defaults;

    settings->connections_max = start_raise_descriptors(settings->connections_max);
    store_options_init(&defaults, NULL, 0);
    broker->control.disk_free_bytes_min = settings->disk_free_bytes_min > 0 ? settings->disk_free_bytes_min : defaults.free_bytes_min;
    if (broker->control.metadata != NULL)
        metadata_set_terms(broker->control.metadata, (int32_t)settings->topic_partitions, (uint32_t)settings->moves_per_broker, settings->moves_replace_ms, settings->moves_spread_ms);
    for (uint32_t i = 0; i < broker->shard_count; i++)
        shard_tell_settings(broker->shards[i]);
}

static void use(struct broker *broker, size_t index, bool is_unset, uint64_t number)
{
    uint64_t before = settings_get(&broker->settings, index);
    char from[SETTINGS_TEXT_MAX], to[SETTINGS_TEXT_MAX];

    if (is_unset)
        settings_put(&broker->settings, index, settings_get(&broker->live.at_start, index), (enum setting_source)broker->live.at_start.sources[index]);
    else
        settings_put(&broker->settings, index, number, SETTING_KEPT);
    number = settings_get(&broker->settings, index);
    if (number == before) return;
    if (strcmp(settings_info(index)->key, "log-level") == 0) log_set_level((enum log_level)number);
    event_note(&broker->control.events, EVENT_CONFIG, LOG_LEVEL_INFO, "a setting was changed key=%s from=%s to=%s", settings_info(index)->key,
               settings_format_number(index, before, from), settings_format_number(index, number, to));
}

int live_settings_change(struct broker *broker, const struct live_setting_change *changes, size_t count, char text[LIVE_SETTINGS_TEXT_SIZE])
{
    struct kept_settings kept = broker->live.kept;
    size_t indexes[LIVE_SETTINGS_MAX];
    uint64_t numbers[LIVE_SETTINGS_MAX] = {0};
    int err = 0;

    text[0] = '\0';
    if (count > LIVE_SETTINGS_MAX) {
        snprintf(text, LIVE_SETTINGS_TEXT_SIZE, "at most %d settings at a time", LIVE_SETTINGS_MAX);
        return MESH_EINVAL;
    }
    for (size_t i = 0; err == 0 && i < count; i++) {
        err = judge(&changes[i], &indexes[i], &numbers[i], text);
        if (err != 0) break;
        kept.is_kept[indexes[i]] = !changes[i].is_unset;
        kept.numbers[indexes[i]] = numbers[i];
    }
    if (err == 0 && memcmp(&kept, &broker->live.kept, sizeof(kept)) != 0) {
        err = kept_settings_write(broker->fs, &kept);
        if (err != 0) snprintf(text, LIVE_SETTINGS_TEXT_SIZE, "it cannot be kept, and nothing was changed: %s/" KEPT_SETTINGS_PATH ": %s", broker->data_dir, mesh_strerror(err));
    }
    if (err != 0) return err;
    broker->live.kept = kept;
    for (size_t i = 0; i < count; i++)
        use(broker, indexes[i], changes[i].is_unset, numbers[i]);
    hand_out(broker);
    return 0;
}
