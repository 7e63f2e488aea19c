/* broker/settings.c - the table behind settings.h. */
#include "cmd/broker/settings.h"

#include "base/log.h"

#include <mesh/error.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define KIB (1ull << 10)
#define MIB (1ull << 20)
#define GIB (1ull << 30)
#define TIB (1ull << 40)

struct setting {
    struct setting_info info;
    size_t field; /* offset of a setting_number in struct settings, or of a path */
};

#define FIELD(name) offsetof(struct settings, name)

static const struct setting setting_table[] = {
    {{"log-level", "word", LOG_LEVEL_DEBUG, LOG_LEVEL_ERROR, LOG_LEVEL_INFO, SETTING_LIVE,
      "The least important lines that are logged.", log_level_names},
     FIELD(log_level)},
    {{"connections.max", "count", 1, 1000000, 16384, SETTING_LIVE,
      "Open connections; more are closed at once.", NULL},
     FIELD(connections_max)},
    {{"connection.requests.max", "count", 1, 1000000, 32768, SETTING_LIVE,
      "Unanswered requests of one connection before the broker stops reading from it.", NULL},
     FIELD(connection_requests_max)},
    {{"connection.memory.bytes.max", "bytes", 64 * KIB, 4 * GIB, 32 * MIB, SETTING_LIVE,
      "Unread answers of one connection before the broker stops reading from it.", NULL},
     FIELD(connection_memory_bytes_max)},
    {{"connection.stall.ms", "ms", 100, 86400000, 30000, SETTING_LIVE,
      "A connection that is silent this long before its hello or inside a request, or does not read, is closed.", NULL},
     FIELD(connection_stall_ms)},
    {{"memory.bytes.max", "bytes", 4 * MIB, TIB, 256 * MIB, SETTING_LIVE,
      "Memory for requests and answers in flight, in total.", NULL},
     FIELD(memory_bytes_max)},
    {{"request.bytes.max", "bytes", 64 * KIB, GIB, 16 * MIB, 0,
      "The largest request.", NULL},
     FIELD(request_bytes_max)},
    {{"fetch.bytes.max", "bytes", 64 * KIB, GIB, 16 * MIB, SETTING_LIVE,
      "Records in one answer, whatever the client asks for.", NULL},
     FIELD(fetch_bytes_max)},
    {{"fetch.wait.ms.max", "ms", 1, 86400000, 300000, SETTING_LIVE,
      "How long a fetch may wait for records.", NULL},
     FIELD(fetch_wait_ms_max)},
    {{"store.memory.bytes.max", "bytes", 0, TIB, 0, 0,
      "Memory for records that are not yet in segments, all shards together; 0: by the machine.", NULL},
     FIELD(store_memory_bytes_max)},
    {{"journal.bytes.max", "bytes", 0, TIB, 0, 0,
      "Journal files on disk, all shards together; 0: the store's default.", NULL},
     FIELD(journal_bytes_max)},
    {{"disk.free.bytes.min", "bytes", 0, 1024 * TIB, 0, SETTING_LIVE,
      "Appends are refused when the disk would have less left; 0: the store's default.", NULL},
     FIELD(disk_free_bytes_min)},
    {{"scrub.first.ms", "ms", 1, 31536000000, 60000, 0,
      "After the start, all stored records are checked, slowly: when that begins.", NULL},
     FIELD(scrub_first_ms)},
    {{"scrub.rest.ms", "ms", 1, 31536000000, 604800000, SETTING_LIVE,
      "How long the next check of all stored records waits after one has ended.", NULL},
     FIELD(scrub_rest_ms)},
    {{"scrub.bytes.per.second", "bytes", 0, TIB, 0, SETTING_LIVE,
      "How much a check of all stored records reads in a second at most, all shards together; 0: 8 MiB for each shard.", NULL},
     FIELD(scrub_bytes_per_s)},
    {{"requests.slow.ms", "ms", 0, 86400000, 1000, SETTING_LIVE,
      "Requests that take longer, beyond what they are to wait for, are logged, and those that fail for a disk or another broker: a few a second; 0: none.", NULL},
     FIELD(requests_slow_ms)},
    {{"stop.ms.max", "ms", 100, 86400000, 30000, 0,
      "How long a stop may take to finish what is in flight and to sync; then it gives up, and the next start recovers.", NULL},
     FIELD(stop_ms_max)},
    {{"election.ms", "ms", 50, 60000, 1000, SETTING_ALIKE,
      "Without a word from the coordinator for this long, up to twice that, another one is elected. The same on every broker; ten round trips at least.", NULL},
     FIELD(election_ms)},
    {{"moves.per.broker", "count", 0, 1000, 2, SETTING_LIVE | SETTING_ALIKE,
      "Copies of partitions that a broker takes part in at a time, as source or target, when replicas move; 0: nothing moves. The coordinator's holds; the same on "
      "every broker.", NULL},
     FIELD(moves_per_broker)},
    {{"moves.replace.ms", "ms", 1000, 604800000, 600000, SETTING_LIVE | SETTING_ALIKE,
      "A broker that has had no session for this long is gone: its replicas are made anew elsewhere. The coordinator's holds.", NULL},
     FIELD(moves_replace_ms)},
    {{"moves.spread.ms", "ms", 1000, 604800000, 60000, SETTING_LIVE | SETTING_ALIKE,
      "When no broker has come or gone for this long and no replica is missing, replicas are spread evenly over the brokers. The coordinator's holds.", NULL},
     FIELD(moves_spread_ms)},
    {{"groups.session.ms.min", "ms", 100, 1800000, 6000, SETTING_ALIKE,
      "The shortest session that a member of a consumer group may ask for.", NULL},
     FIELD(groups_session_ms_min)},
    {{"groups.gather.ms", "ms", 0, 60000, 1000, SETTING_ALIKE,
      "After the first member of an empty group of Kafka clients has joined others are waited for, so long after each: a group that starts is assigned once.", NULL},
     FIELD(groups_gather_ms)},
    {{"groups.retention.ms", "ms", 0, 31536000000, 604800000, SETTING_ALIKE,
      "Committed offsets that nobody has used for so long are forgotten: of a group without members since then, and of a topic that its members do not "
      "consume; 0: never (but for those of deleted topics, after an hour). The same on every broker.", NULL},
     FIELD(groups_retention_ms)},
    {{"groups.checkpoint.bytes", "bytes", 4 * KIB, GIB, MIB, 0,
      "Records of consumer groups, per partition of theirs, before their log starts anew.", NULL},
     FIELD(groups_checkpoint_bytes)},
    {{"groups.cache.bytes.max", "bytes", 0, TIB, 256 * MIB, 0,
      "Memory for committed offsets of consumer groups that are not replicated here; beyond, others are asked.", NULL},
     FIELD(groups_cache_bytes_max)},
    {{"auth.required", "count", 0, 1, 0, SETTING_ALIKE,
      "1: clients of Kafka's protocol log in before anything else (SASL: 'mesh user add'), and clients of the native protocol, which have no login yet, are served on this "
      "machine alone; 0: nobody has to. The same on every broker.", NULL},
     FIELD(auth_required)},
    {{"auth.lifetime.ms", "ms", 0, 31536000000, 0, SETTING_ALIKE,
      "A client that has logged in must do so again before this has passed, on the same connection (KIP-368); 0: never.", NULL},
     FIELD(auth_lifetime_ms)},
    {{"tls.certificate", "file", 0, 0, 0, 0,
      "The certificate of this broker and those that sign it, PEM: with it and tls.key the port speaks TLS too, beside what it speaks without. Read again when it changes, and "
      "on SIGHUP.", NULL},
     FIELD(tls_certificate)},
    {{"tls.key", "file", 0, 0, 0, 0,
      "The key to tls.certificate, PEM, without a passphrase.", NULL},
     FIELD(tls_key)},
    {{"tls.clients.ca", "file", 0, 0, 0, 0,
      "Certificates, PEM: clients that speak TLS must show one that these have signed.", NULL},
     FIELD(tls_clients_ca)},
    {{"kafka.topics.create", "count", 0, 1, 1, SETTING_LIVE | SETTING_ALIKE,
      "1: a topic that a client of Kafka's protocol names and that is not there is made, with the mesh's defaults; 0: it is not.", NULL},
     FIELD(kafka_create_topics)},
    {{"topic.partitions", "count", 1, 100000, 1, SETTING_LIVE | SETTING_ALIKE,
      "Partitions of a topic created without a number.", NULL},
     FIELD(topic_partitions)},
};

#define SETTING_COUNT (sizeof(setting_table) / sizeof(setting_table[0]))
#define TOPIC_PREFIX  "topic."

_Static_assert(SETTING_COUNT <= SETTINGS_MAX, "raise SETTINGS_MAX");

static setting_number *setting_field(struct settings *settings, const struct setting *setting)
{
    return (setting_number *)(void *)((char *)settings + setting->field);
}

static bool is_path(const struct setting *setting)
{
    return strcmp(setting->info.unit, "file") == 0;
}

static int set_path(struct settings *settings, const struct setting *setting, const char *value, char *reason, size_t reason_size)
{
    size_t size = strlen(value) + 1;

    if (size > SETTINGS_PATH_MAX) {
        snprintf(reason, reason_size, "%s must be a path of at most %d bytes", setting->info.key, SETTINGS_PATH_MAX - 1);
        return MESH_EINVAL;
    }
    memcpy((char *)settings + setting->field, value, size);
    return 0;
}

void settings_init(struct settings *settings)
{
    memset(settings, 0, sizeof(*settings));
    for (size_t i = 0; i < SETTING_COUNT; i++)
        if (!is_path(&setting_table[i])) *setting_field(settings, &setting_table[i]) = setting_table[i].info.fallback;
}

const struct setting_info *settings_info(size_t index)
{
    return index < SETTING_COUNT ? &setting_table[index].info : NULL;
}

static const void *value_of(const struct settings *settings, const struct setting *setting)
{
    return (const char *)settings + setting->field;
}

size_t settings_index(const char *key)
{
    for (size_t i = 0; i < SETTING_COUNT; i++)
        if (strcmp(setting_table[i].info.key, key) == 0) return i;
    return SETTINGS_MAX;
}

uint64_t settings_get(const struct settings *settings, size_t index)
{
    return atomic_load_explicit((const setting_number *)value_of(settings, &setting_table[index]), memory_order_relaxed);
}

void settings_put(struct settings *settings, size_t index, uint64_t number, enum setting_source source)
{
    atomic_store_explicit(setting_field(settings, &setting_table[index]), number, memory_order_relaxed);
    settings->sources[index] = (uint8_t)source;
}

const char *settings_format_number(size_t index, uint64_t number, char text[SETTINGS_TEXT_MAX])
{
    const struct setting_info *info = &setting_table[index].info;

    if (info->words != NULL && number <= info->maximum) return info->words[number];
    snprintf(text, SETTINGS_TEXT_MAX, "%llu", (unsigned long long)number);
    return text;
}

const char *settings_format_range(size_t index, char text[SETTINGS_TEXT_MAX])
{
    const struct setting_info *info = &setting_table[index].info;
    size_t used = 0;

    text[0] = '\0';
    if (info->words == NULL) snprintf(text, SETTINGS_TEXT_MAX, "%llu to %llu", (unsigned long long)info->minimum, (unsigned long long)info->maximum);
    for (size_t i = 0; info->words != NULL && info->words[i] != NULL && used < SETTINGS_TEXT_MAX; i++)
        used += (size_t)snprintf(text + used, SETTINGS_TEXT_MAX - used, "%s%s", i == 0 ? "" : ", ", info->words[i]);
    if (is_path(&setting_table[index])) snprintf(text, SETTINGS_TEXT_MAX, "a path");
    return text;
}

const char *settings_format(const struct settings *settings, size_t index, char text[SETTINGS_PATH_MAX])
{
    const struct setting *setting = &setting_table[index];

    return is_path(setting) ? value_of(settings, setting) : settings_format_number(index, settings_get(settings, index), text);
}

bool settings_is_default(const struct settings *settings, size_t index)
{
    const struct setting *setting = &setting_table[index];

    if (is_path(setting)) return *(const char *)value_of(settings, setting) == '\0';
    return settings_get(settings, index) == setting->info.fallback;
}

struct suffix {
    const char *text;
    uint64_t factor;
};

static const struct suffix byte_suffixes[] = {{"", 1}, {"k", KIB}, {"kib", KIB}, {"m", MIB}, {"mib", MIB}, {"g", GIB}, {"gib", GIB}, {"t", TIB}, {"tib", TIB}, {NULL, 0}};
static const struct suffix ms_suffixes[] = {{"", 1}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {NULL, 0}};
static const struct suffix no_suffixes[] = {{"", 1}, {NULL, 0}};

static const struct suffix *suffixes_of(const struct setting_info *info)
{
    if (strcmp(info->unit, "bytes") == 0) return byte_suffixes;
    return strcmp(info->unit, "ms") == 0 ? ms_suffixes : no_suffixes;
}

/* Digits, and what the unit takes behind them, in either case. */
static bool number_parse(const char *text, const struct suffix *suffixes, uint64_t *ret_number)
{
    unsigned long long number;
    char *end;

    if (text[0] < '0' || text[0] > '9') return false;
    errno = 0;
    number = strtoull(text, &end, 10);
    if (errno != 0) return false;
    while (suffixes->text != NULL && strcasecmp(suffixes->text, end) != 0)
        suffixes++;
    if (suffixes->text == NULL) return false;
    return !__builtin_mul_overflow((uint64_t)number, suffixes->factor, ret_number);
}

static int topic_default_set(struct settings *settings, enum setting_source source, const char *key, const char *value, char *reason, size_t reason_size)
{
    struct setting_topic_default *slot = NULL;

    if (*key == '\0' || strlen(key) >= SETTINGS_TEXT_MAX || strlen(value) >= SETTINGS_TEXT_MAX) {
        snprintf(reason, reason_size, "a key or value that starts with \"topic.\" is empty or too long");
        return MESH_EINVAL;
    }
    for (size_t i = 0; i < settings->topic_default_count; i++)
        if (strcmp(settings->topic_defaults[i].key, key) == 0) slot = &settings->topic_defaults[i];
    if (slot == NULL) {
        if (settings->topic_default_count == SETTINGS_TOPIC_DEFAULTS_MAX) {
            snprintf(reason, reason_size, "more than %d defaults for topics", SETTINGS_TOPIC_DEFAULTS_MAX);
            return MESH_EINVAL;
        }
        slot = &settings->topic_defaults[settings->topic_default_count++];
    }
    memcpy(slot->key, key, strlen(key) + 1);
    memcpy(slot->value, value, strlen(value) + 1);
    slot->source = (uint8_t)source;
    return 0;
}

int settings_parse(size_t index, const char *value, uint64_t *ret_number, char *reason, size_t reason_size)
{
    const struct setting_info *info = &setting_table[index].info;
    char range[SETTINGS_TEXT_MAX];
    uint64_t number;

    settings_format_range(index, range);
    for (size_t i = 0; info->words != NULL && info->words[i] != NULL; i++) {
        if (strcmp(info->words[i], value) != 0) continue;
        *ret_number = i;
        return 0;
    }
    if (info->words != NULL) {
        snprintf(reason, reason_size, "%s is one of %s, not '%.64s'", info->key, range, value);
        return MESH_EINVAL;
    }
    if (!number_parse(value, suffixes_of(info), &number) || number < info->minimum || number > info->maximum) {
        snprintf(reason, reason_size, "%s must be a number of %s from %s%s", info->key, info->unit, range,
                 suffixes_of(info) == byte_suffixes ? ", or with a unit: 64k, 16MiB, 1g" : suffixes_of(info) == ms_suffixes ? ", or with a unit: 500ms, 5s, 10m, 1h, 7d" : "");
        return MESH_EINVAL;
    }
    *ret_number = number;
    return 0;
}

int settings_set_from(struct settings *settings, enum setting_source source, const char *key, const char *value, char *reason, size_t reason_size)
{
    size_t index = settings_index(key);
    uint64_t number = 0;
    int err;

    if (index == SETTINGS_MAX && strncmp(key, TOPIC_PREFIX, strlen(TOPIC_PREFIX)) == 0)
        return topic_default_set(settings, source, key + strlen(TOPIC_PREFIX), value, reason, reason_size);
    if (index == SETTINGS_MAX) {
        snprintf(reason, reason_size, "there is no setting \"%.64s\"", key);
        return MESH_EINVAL;
    }
    if (is_path(&setting_table[index])) {
        err = set_path(settings, &setting_table[index], value, reason, reason_size);
        if (err == 0) settings->sources[index] = (uint8_t)source;
        return err;
    }
    err = settings_parse(index, value, &number, reason, reason_size);
    if (err == 0) settings_put(settings, index, number, source);
    return err;
}

int settings_set(struct settings *settings, const char *key, const char *value, char *reason, size_t reason_size)
{
    return settings_set_from(settings, SETTING_OPTION, key, value, reason, reason_size);
}
