/* broker/settings.h - what `--set KEY=VALUE` may change: one table of keys, units, bounds and defaults.
 *
 * Keys that start with "topic." are defaults for new topics: "topic.partitions", and "topic.KEY" for every topic
 * configuration key (their values are judged by the metadata at start). */
#ifndef BROKER_SETTINGS_H
#define BROKER_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SETTINGS_TOPIC_DEFAULTS_MAX 32
#define SETTINGS_PATH_MAX           512 /* bytes of a file's path, NUL included */
#define SETTINGS_TEXT_MAX           128 /* bytes of a topic default's key or value, NUL included */

struct setting_topic_default {
    char key[SETTINGS_TEXT_MAX]; /* without "topic." */
    char value[SETTINGS_TEXT_MAX];
};

struct settings {
    uint64_t connections_max;             /* connections.max */
    uint64_t connection_requests_max;     /* connection.requests.max: unanswered ones of one connection */
    uint64_t connection_memory_bytes_max; /* connection.memory.bytes.max: unread answers of one connection */
    uint64_t connection_stall_ms;         /* connection.stall.ms: silence before hello, inside a frame, or in reading */
    uint64_t memory_bytes_max;            /* memory.bytes.max: all connections' buffers */
    uint64_t request_bytes_max;           /* request.bytes.max: one frame */
    uint64_t fetch_bytes_max;             /* fetch.bytes.max: one answer, whatever the client asks for */
    uint64_t fetch_wait_ms_max;           /* fetch.wait.ms.max */
    uint64_t store_memory_bytes_max;      /* store.memory.bytes.max: records not yet in segments; 0: by the machine */
    uint64_t journal_bytes_max;           /* journal.bytes.max: all shards' journals; 0: the store's default */
    uint64_t disk_free_bytes_min;         /* disk.free.bytes.min: refuse appends below; 0: the store's default */
    uint64_t scrub_first_ms;              /* scrub.first.ms: from the start to the first look at all stored records */
    uint64_t scrub_rest_ms;               /* scrub.rest.ms: between two of them */
    uint64_t stop_ms_max;                 /* stop.ms.max: a stop that takes longer gives up */
    uint64_t election_ms;                 /* election.ms: of the coordinator */
    uint64_t moves_per_broker;            /* moves.per.broker: copies of partitions that a broker takes part in at a time */
    uint64_t moves_replace_ms;            /* moves.replace.ms: a broker that is silent for so long is gone */
    uint64_t moves_spread_ms;             /* moves.spread.ms: so long after the last session began or ended, replicas are spread */
    uint64_t groups_gather_ms;            /* groups.gather.ms: how long the first members of a group of Kafka clients wait for others */
    uint64_t groups_session_ms_min;       /* groups.session.ms.min: the shortest session that a member may ask for */
    uint64_t groups_retention_ms;         /* groups.retention.ms: offsets of a group without members; 0: for ever */
    uint64_t groups_checkpoint_bytes;     /* groups.checkpoint.bytes: of records, before a group partition's log starts anew */
    uint64_t groups_cache_bytes_max;      /* groups.cache.bytes.max: offsets of groups that are not replicated here */
    uint64_t auth_required;               /* auth.required: 1 or 0 */
    uint64_t auth_lifetime_ms;            /* auth.lifetime.ms: how long a login holds; 0: as long as its connection */
    uint64_t kafka_create_topics;         /* kafka.topics.create: 1 or 0: make topics that clients of the Kafka door name */
    uint64_t topic_partitions;            /* topic.partitions: of a topic created without a number */
    char tls_certificate[SETTINGS_PATH_MAX]; /* tls.certificate; "": no TLS. Files of PEM */
    char tls_key[SETTINGS_PATH_MAX];         /* tls.key */
    char tls_clients_ca[SETTINGS_PATH_MAX];  /* tls.clients.ca; "": clients need no certificate */
    struct setting_topic_default topic_defaults[SETTINGS_TOPIC_DEFAULTS_MAX];
    size_t topic_default_count;
};

struct setting_info {
    const char *key;
    const char *unit; /* "bytes", "ms", "count"; "file": a path, and none by default, whatever the numbers say */
    uint64_t minimum, maximum, fallback;
    const char *help; /* one sentence */
};

void settings_init(struct settings *settings);

/* Sets one key from its text: digits, for bytes also with a suffix k, m, g (powers of 1024). Errors: MESH_EINVAL, then
 * `reason` (reason_size bytes, may be 0) holds a sentence that names the key and what is allowed. */
int settings_set(struct settings *settings, const char *key, const char *value, char *reason, size_t reason_size);

/* The table, for help and documentation: entry number index, or NULL beyond the last. */
const struct setting_info *settings_info(size_t index);

/* What entry number index stands at, as settings_set() would take it ("" for no file), and whether that is what stands there unsaid. `text` has
 * SETTINGS_PATH_MAX bytes. */
const char *settings_format(const struct settings *settings, size_t index, char text[SETTINGS_PATH_MAX]);
bool settings_is_default(const struct settings *settings, size_t index);

/* A topic's configuration key, as texts; "topic." in front of its name makes it a setting. */
struct setting_topic_info {
    const char *name, *kafka_name; /* the second is "" when it is the same or there is none */
    const char *unit;              /* "bytes", "ms", "count", "word" */
    char values[SETTINGS_TEXT_MAX], fallback[SETTINGS_TEXT_MAX];
    const char *help;
};

/* Key number index; false: there is none. Implemented with the topics' table, in topic_defaults.c. */
bool settings_topic_info(size_t index, struct setting_topic_info *ret_info);

#endif
