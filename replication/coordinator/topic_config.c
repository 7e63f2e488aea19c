/* coordinator/topic_config.c - see topic_config.h. */
#include "replication/coordinator/topic_config.h"

#include "base/assert.h"
#include "base/error.h"
#include "replication/coordinator/image.h"
#include "replication/coordinator/suggest.h"
#include "segment/store.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define MS_SECOND 1000ll
#define MS_DAY    (24 * 3600 * MS_SECOND)
#define KIB       1024ll
#define MIB       (1024 * KIB)
#define GIB       (1024 * MIB)

/* The defaults of storage settings are those of plog_config_init(); a unit test compares them. */
static const struct topic_config_info table[TOPIC_CONFIG_COUNT] = {
    [TOPIC_CONFIG_FLUSH] =
        {"flush", "", TOPIC_CONFIG_TYPE_WORD, TOPIC_FLUSH_GROUP, 0, 1, "group,async",
         "when a record counts as kept: synced to the disk (group) or handed to the kernel (async)"},
    [TOPIC_CONFIG_FLUSH_INTERVAL_MS] =
        {"flush.interval.ms", "flush.ms", TOPIC_CONFIG_TYPE_DURATION_MS, MS_SECOND, 1, MS_DAY, "",
         "flush=async: sync at least this often while there is something to sync"},
    [TOPIC_CONFIG_FLUSH_BYTES] = {"flush.bytes", "", TOPIC_CONFIG_TYPE_BYTES, 16 * MIB, 4 * KIB, 1024 * GIB,
                                  "", "flush=async: sync after this many bytes"},
    [TOPIC_CONFIG_RETENTION_MS] = {"retention.ms", "", TOPIC_CONFIG_TYPE_DURATION_MS, 7 * MS_DAY, -1,
                                   INT64_MAX, "", "how long records are kept at least; -1: for ever"},
    [TOPIC_CONFIG_RETENTION_BYTES] = {"retention.bytes", "", TOPIC_CONFIG_TYPE_BYTES, -1, -1, INT64_MAX, "",
                                      "how much of each partition is kept at most, roughly; -1: no limit"},
    [TOPIC_CONFIG_SEGMENT_BYTES] = {"segment.bytes", "", TOPIC_CONFIG_TYPE_BYTES, GIB, 16 * KIB,
                                    2 * GIB - MIB, "", "size at which a partition starts its next file"},
    [TOPIC_CONFIG_SEGMENT_MS] = {"segment.ms", "", TOPIC_CONFIG_TYPE_DURATION_MS, 7 * MS_DAY, 100,
                                 3650 * MS_DAY, "", "age at which a partition starts its next file"},
    [TOPIC_CONFIG_MAX_BATCH_BYTES] = {"max.batch.bytes", "max.message.bytes", TOPIC_CONFIG_TYPE_BYTES, MIB,
                                      1 * KIB, 64 * MIB, "",
                                      "largest record batch that is accepted, as sent (compressed)"},
    [TOPIC_CONFIG_MIN_INSYNC] = {"min.insync", "min.insync.replicas", TOPIC_CONFIG_TYPE_NUMBER, 0, 1,
                                 IMAGE_REPLICAS_MAX, "auto",
                                 "replicas that must hold a record before acks=all is answered; auto: the majority of all"},
    [TOPIC_CONFIG_TIMESTAMP_TYPE] =
        {"timestamp.type", "message.timestamp.type", TOPIC_CONFIG_TYPE_WORD, TOPIC_TIMESTAMP_CREATE, 0, 1,
         "create,append", "whose clock stamps the records: the producer's (create) or the broker's (append)"},
    [TOPIC_CONFIG_INDEX_INTERVAL_BYTES] = {"index.interval.bytes", "", TOPIC_CONFIG_TYPE_BYTES, 16 * KIB,
                                           1 * KIB, 16 * MIB, "",
                                           "an index entry is written about every so many bytes"},
    [TOPIC_CONFIG_CLEANUP] = {"cleanup", "cleanup.policy", TOPIC_CONFIG_TYPE_WORD, 0, 0, 0, "delete",
                              "what becomes of old records: whole files are deleted"},
    [TOPIC_CONFIG_COMPRESSION] = {"compression", "compression.type", TOPIC_CONFIG_TYPE_WORD, 0, 0, 0,
                                  "producer", "records are kept as the producer compressed them"},
    [TOPIC_CONFIG_MODE] =
        {"mode", "", TOPIC_CONFIG_TYPE_WORD, TOPIC_MODE_ISR, 0, 3, "isr,async,sync-double-write,quorum",
         "how replicas follow: all in sync (isr), behind the leader's acknowledgement (async), both of two (sync-double-write), or a "
         "majority (quorum)"},
    [TOPIC_CONFIG_UNCLEAN] =
        {"unclean", "unclean.leader.election.enable", TOPIC_CONFIG_TYPE_WORD, TOPIC_UNCLEAN_MANUAL, 0, 2, "manual,balanced,proactive",
         "when no complete replica is left: wait for the operator (manual), for those known to be nearly complete (balanced), or for whoever is up "
         "(proactive)"},
    [TOPIC_CONFIG_REPLICAS] = {"replicas", "", TOPIC_CONFIG_TYPE_NUMBER, 0, 1, IMAGE_REPLICAS_MAX, "placed",
                               "the replication factor that is wanted, met when there are brokers for it; placed: as many as there are"},
};

const struct topic_config_info *topic_config_info(enum topic_config_id id)
{
    MESH_ASSERT((unsigned)id < TOPIC_CONFIG_COUNT);
    return &table[id];
}

int64_t topic_config_fallback(enum topic_config_id id, enum topic_mode mode)
{
    if (mode == TOPIC_MODE_ASYNC && id == TOPIC_CONFIG_FLUSH) return TOPIC_FLUSH_ASYNC;
    if (mode == TOPIC_MODE_ASYNC && id == TOPIC_CONFIG_MIN_INSYNC) return 1;
    if (mode == TOPIC_MODE_SYNC_DOUBLE_WRITE && id == TOPIC_CONFIG_MIN_INSYNC) return 2;
    return topic_config_info(id)->fallback;
}

#define ECHO_SIZE 65

/* What the user wrote, fit for a line of log or a terminal: cut, and without anything unprintable. */
static const char *echo(const char *text, char to[ECHO_SIZE])
{
    size_t size = 0;

    for (; text[size] != '\0' && size < ECHO_SIZE - 1; size++)
        to[size] = text[size] >= ' ' && text[size] < 127 ? text[size] : '?';
    to[size] = '\0';
    return to;
}

int topic_config_find(const char *key, enum topic_config_id *ret_id, char *message, size_t message_size)
{
    const char *names[2 * TOPIC_CONFIG_COUNT];
    size_t count = 0;
    const char *closest;
    char echoed[ECHO_SIZE];

    for (unsigned id = 0; id < TOPIC_CONFIG_COUNT; id++) {
        if (strcmp(key, table[id].name) == 0 || (key[0] != '\0' && strcmp(key, table[id].kafka_name) == 0)) {
            *ret_id = (enum topic_config_id)id;
            return 0;
        }
        names[count++] = table[id].name;
        if (table[id].kafka_name[0] != '\0') names[count++] = table[id].kafka_name;
    }
    closest = suggest_closest(key, names, count);
    if (closest != NULL)
        snprintf(message, message_size, "unknown topic configuration \"%s\"; did you mean \"%s\"?",
                 echo(key, echoed), closest);
    else
        snprintf(message, message_size, "unknown topic configuration \"%s\"", echo(key, echoed));
    return MESH_EINVALID_CONFIG;
}

/* ---- values ---- */

struct unit {
    const char *suffix;
    int64_t factor;
};

static const struct unit duration_units[] = {{"", 1},
                                             {"ms", 1},
                                             {"s", MS_SECOND},
                                             {"m", 60 * MS_SECOND},
                                             {"min", 60 * MS_SECOND},
                                             {"h", 3600 * MS_SECOND},
                                             {"d", MS_DAY},
                                             {"w", 7 * MS_DAY},
                                             {NULL, 0}};
static const struct unit byte_units[] = {{"", 1},
                                         {"B", 1},
                                         {"k", KIB},
                                         {"K", KIB},
                                         {"KiB", KIB},
                                         {"M", MIB},
                                         {"m", MIB},
                                         {"MiB", MIB},
                                         {"G", GIB},
                                         {"g", GIB},
                                         {"GiB", GIB},
                                         {"TiB", 1024 * GIB},
                                         {"kB", 1000},
                                         {"KB", 1000},
                                         {"MB", 1000000},
                                         {"GB", 1000000000},
                                         {"TB", 1000000000000},
                                         {NULL, 0}};
static const struct unit plain_units[] = {{"", 1}, {NULL, 0}};

static const struct unit *units_of(enum topic_config_type type)
{
    if (type == TOPIC_CONFIG_TYPE_DURATION_MS) return duration_units;
    return type == TOPIC_CONFIG_TYPE_BYTES ? byte_units : plain_units;
}

/* "-1", "500ms", "1GiB". No fractions, no spaces, no sign but that of -1. */
static int parse_number(const char *text, const struct unit *units, int64_t *ret_value)
{
    int64_t value = 0;
    const char *at = text;

    if (strcmp(text, "-1") == 0) {
        *ret_value = -1;
        return 0;
    }
    if (*at < '0' || *at > '9') return MESH_EINVALID_CONFIG;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, *at - '0', &value))
            return MESH_EINVALID_CONFIG;
    }
    for (; units->suffix != NULL; units++) {
        if (strcmp(at, units->suffix) != 0) continue;
        return __builtin_mul_overflow(value, units->factor, ret_value) ? MESH_EINVALID_CONFIG : 0;
    }
    return MESH_EINVALID_CONFIG;
}

/* The text of word number `index` of a comma-separated list, as a run of bytes; NULL beyond the last. */
static const char *word_at(const char *words, int64_t index, size_t *ret_size)
{
    for (; index > 0 && words != NULL; index--) {
        words = strchr(words, ',');
        if (words != NULL) words++;
    }
    if (words != NULL) *ret_size = strcspn(words, ",");
    return words;
}

static int parse_word(const char *words, const char *text, int64_t *ret_value)
{
    const char *word;
    size_t size;

    for (int64_t i = 0; (word = word_at(words, i, &size)) != NULL; i++) {
        if (strlen(text) != size || memcmp(word, text, size) != 0) continue;
        *ret_value = i;
        return 0;
    }
    return MESH_EINVALID_CONFIG;
}

/* Kafka's words where they differ from ours. */
static const char *translate_word(enum topic_config_id id, const char *text)
{
    if (id == TOPIC_CONFIG_UNCLEAN && strcmp(text, "false") == 0) return "manual";
    if (id == TOPIC_CONFIG_UNCLEAN && strcmp(text, "true") == 0) return "proactive";
    if (id != TOPIC_CONFIG_TIMESTAMP_TYPE) return text;
    if (strcmp(text, "CreateTime") == 0) return "create";
    return strcmp(text, "LogAppendTime") == 0 ? "append" : text;
}

/* "auto" and the like. */
static bool is_word_for_zero(const struct topic_config_info *info, const char *text)
{
    return info->type == TOPIC_CONFIG_TYPE_NUMBER && info->words[0] != '\0' && strcmp(text, info->words) == 0;
}

int topic_config_check(enum topic_config_id id, int64_t value)
{
    const struct topic_config_info *info = topic_config_info(id);

    if (info->type == TOPIC_CONFIG_TYPE_NUMBER && info->words[0] != '\0' && value == 0) return 0;
    if (value < info->min || value > info->max) return MESH_EINVALID_CONFIG;
    return info->min == -1 && value == 0 ? MESH_EINVALID_CONFIG : 0;
}

static void say_what_is_allowed(const struct topic_config_info *info, const char *value, char *message,
                                size_t size)
{
    static const char *const examples[] = {[TOPIC_CONFIG_TYPE_NUMBER] = "",
                                           [TOPIC_CONFIG_TYPE_DURATION_MS] =
                                               "; write it like 500ms, 30s, 12h or 7d",
                                           [TOPIC_CONFIG_TYPE_BYTES] = "; write it like 65536, 64KiB or 1GiB",
                                           [TOPIC_CONFIG_TYPE_WORD] = ""};
    static const char *const units[] = {[TOPIC_CONFIG_TYPE_NUMBER] = "",
                                        [TOPIC_CONFIG_TYPE_DURATION_MS] = " ms",
                                        [TOPIC_CONFIG_TYPE_BYTES] = " bytes",
                                        [TOPIC_CONFIG_TYPE_WORD] = ""};

    char echoed[ECHO_SIZE], most[40] = "";

    echo(value, echoed);
    if (info->max != INT64_MAX) snprintf(most, sizeof(most), " to %lld", (long long)info->max);
    if (info->type == TOPIC_CONFIG_TYPE_WORD)
        snprintf(message, size, "%s=%s is not supported; allowed: %s", info->name, echoed, info->words);
    else
        snprintf(message, size, "%s=%s is not allowed: %s%s%s%lld%s%s%s%s", info->name, echoed,
                 info->min == -1 ? "-1 (no limit), or " : "", info->words, info->words[0] == '\0' ? "" : ", or ",
                 info->min == -1 ? 1ll : (long long)info->min, most, units[info->type],
                 info->max == INT64_MAX ? " and more" : "", examples[info->type]);
}

int topic_config_parse(enum topic_config_id id, const char *value, int64_t *ret_value, char *message,
                       size_t message_size)
{
    const struct topic_config_info *info = topic_config_info(id);
    int64_t parsed = 0;
    int err = 0;

    if (info->type == TOPIC_CONFIG_TYPE_WORD)
        err = parse_word(info->words, translate_word(id, value), &parsed);
    else if (!is_word_for_zero(info, value))
        err = parse_number(value, units_of(info->type), &parsed);
    if (err == 0 && parsed == 0 && info->min > 0 && !is_word_for_zero(info, value)) err = MESH_EINVALID_CONFIG;
    if (err == 0) err = topic_config_check(id, parsed);
    if (err == 0)
        *ret_value = parsed;
    else
        say_what_is_allowed(info, value, message, message_size);
    return err;
}

char *topic_config_format(enum topic_config_id id, int64_t value, char to[TOPIC_CONFIG_TEXT_SIZE])
{
    const struct topic_config_info *info = topic_config_info(id);
    size_t size = 0;
    const char *word = info->type == TOPIC_CONFIG_TYPE_WORD ? word_at(info->words, value, &size) : NULL;

    if (word != NULL)
        snprintf(to, TOPIC_CONFIG_TEXT_SIZE, "%.*s", (int)size, word);
    else if (value == 0 && info->type == TOPIC_CONFIG_TYPE_NUMBER && info->words[0] != '\0')
        snprintf(to, TOPIC_CONFIG_TEXT_SIZE, "%s", info->words);
    else
        snprintf(to, TOPIC_CONFIG_TEXT_SIZE, "%lld", (long long)value);
    return to;
}

/* ---- for the storage ---- */

void topic_config_to_plog(const struct image_topic *topic, struct plog_config *ret_config)
{
    *ret_config = (struct plog_config){
        .flush = image_topic_config(topic, TOPIC_CONFIG_FLUSH) == TOPIC_FLUSH_ASYNC ? PLOG_FLUSH_ASYNC
                                                                                    : PLOG_FLUSH_GROUP,
        .flush_interval_ms = (uint32_t)image_topic_config(topic, TOPIC_CONFIG_FLUSH_INTERVAL_MS),
        .flush_bytes = (uint64_t)image_topic_config(topic, TOPIC_CONFIG_FLUSH_BYTES),
        .segment_bytes = (uint64_t)image_topic_config(topic, TOPIC_CONFIG_SEGMENT_BYTES),
        .segment_ms = (uint64_t)image_topic_config(topic, TOPIC_CONFIG_SEGMENT_MS),
        .retention_ms = image_topic_config(topic, TOPIC_CONFIG_RETENTION_MS),
        .retention_bytes = image_topic_config(topic, TOPIC_CONFIG_RETENTION_BYTES),
        .index_interval_bytes = (uint32_t)image_topic_config(topic, TOPIC_CONFIG_INDEX_INTERVAL_BYTES),
        .producer_expiry_ms = MS_DAY,
    };
}
