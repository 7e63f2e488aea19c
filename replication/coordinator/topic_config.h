/* coordinator/topic_config.h - the settings a topic can have: one table of names, types, units, defaults and
 * bounds.
 *
 * Every value is an int64: a number in its unit, or the index of a word. Text with units ("7d", "1GiB",
 * "500ms") is accepted; the canonical text is a plain number or the word. Kafka's names are accepted where
 * there is a twin. Pure functions and constant tables; any thread. */
#ifndef COORDINATOR_TOPIC_CONFIG_H
#define COORDINATOR_TOPIC_CONFIG_H

#include <stddef.h>
#include <stdint.h>

/* The numbers are in records on disk: never renumber, never reuse. */
enum topic_config_id {
    TOPIC_CONFIG_FLUSH = 0,             /* enum topic_flush */
    TOPIC_CONFIG_FLUSH_INTERVAL_MS = 1, /* async only */
    TOPIC_CONFIG_FLUSH_BYTES = 2,       /* async only */
    TOPIC_CONFIG_RETENTION_MS = 3,      /* -1: for ever */
    TOPIC_CONFIG_RETENTION_BYTES = 4,   /* per partition; -1: no limit */
    TOPIC_CONFIG_SEGMENT_BYTES = 5,
    TOPIC_CONFIG_SEGMENT_MS = 6,
    TOPIC_CONFIG_MAX_BATCH_BYTES = 7,
    TOPIC_CONFIG_MIN_INSYNC = 8,
    TOPIC_CONFIG_TIMESTAMP_TYPE = 9, /* enum topic_timestamp */
    TOPIC_CONFIG_INDEX_INTERVAL_BYTES = 10,
    TOPIC_CONFIG_CLEANUP = 11,     /* only 0 = delete */
    TOPIC_CONFIG_COMPRESSION = 12, /* only 0 = producer: batches are kept as the producer made them */
    TOPIC_CONFIG_MODE = 13,        /* enum topic_mode */
    TOPIC_CONFIG_UNCLEAN = 14,     /* enum topic_unclean */
    TOPIC_CONFIG_REPLICAS = 15,    /* the replication factor that is wanted; 0: what the partitions have */
    TOPIC_CONFIG_COUNT = 16,
};

enum topic_flush { TOPIC_FLUSH_GROUP, TOPIC_FLUSH_ASYNC };
enum topic_mode { TOPIC_MODE_ISR, TOPIC_MODE_ASYNC, TOPIC_MODE_SYNC_DOUBLE_WRITE, TOPIC_MODE_QUORUM };
enum topic_unclean { TOPIC_UNCLEAN_MANUAL, TOPIC_UNCLEAN_BALANCED, TOPIC_UNCLEAN_PROACTIVE };
enum topic_timestamp { TOPIC_TIMESTAMP_CREATE, TOPIC_TIMESTAMP_APPEND };

enum topic_config_type {
    TOPIC_CONFIG_TYPE_NUMBER,
    TOPIC_CONFIG_TYPE_DURATION_MS,
    TOPIC_CONFIG_TYPE_BYTES,
    TOPIC_CONFIG_TYPE_WORD
};

struct topic_config_info {
    const char *name;       /* "retention.ms" */
    const char *kafka_name; /* accepted too; "" when it is the same or there is none */
    enum topic_config_type type;
    int64_t fallback;  /* the default */
    int64_t min, max;  /* inclusive; min -1: -1 means "no limit", and 0 is illegal */
    const char *words; /* type WORD: "group,async", the index is the value; NUMBER: the word for 0, which is below min; "" when there is none */
    const char *text;  /* one line for people */
};

/* The default in this mode: a mode is a preset of others' defaults. */
int64_t topic_config_fallback(enum topic_config_id id, enum topic_mode mode);

/* The table's row; id < TOPIC_CONFIG_COUNT. */
const struct topic_config_info *topic_config_info(enum topic_config_id id);

/* Finds a key by our name or Kafka's. Errors: MESH_EINVALID_CONFIG with a sentence in `message` that suggests
 * the closest name. */
int topic_config_find(const char *key, enum topic_config_id *ret_id, char *message, size_t message_size);

/* Parses and checks a value. Errors: MESH_EINVALID_CONFIG with a sentence in `message`. */
int topic_config_parse(enum topic_config_id id, const char *value, int64_t *ret_value, char *message,
                       size_t message_size);

/* Whether value is legal for id (for bytes that we did not write). */
int topic_config_check(enum topic_config_id id, int64_t value);

#define TOPIC_CONFIG_TEXT_SIZE 24 /* fits every canonical text and its NUL */

/* Writes the canonical text ("604800000", "group") and returns `to`. */
char *topic_config_format(enum topic_config_id id, int64_t value, char to[TOPIC_CONFIG_TEXT_SIZE]);

struct image_topic;
struct plog_config;
/* What the storage needs to know of a topic's effective settings; starts from all fields set. */
void topic_config_to_plog(const struct image_topic *topic, struct plog_config *ret_config);

#endif
