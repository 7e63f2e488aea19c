/* broker/settings.h - what `--set KEY=VALUE` may change: one table of keys, units, bounds and defaults.
 *
 * Keys that start with "topic." are defaults for new topics: "topic.partitions", and "topic.KEY" for every topic
 * configuration key (their values are judged by the metadata at start). */
#ifndef BROKER_SETTINGS_H
#define BROKER_SETTINGS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SETTINGS_MAX                64 /* entries of the table */
#define SETTINGS_TOPIC_DEFAULTS_MAX 32
#define SETTINGS_PATH_MAX           512 /* bytes of a file's path, NUL included */
#define SETTINGS_TEXT_MAX           128 /* bytes of a topic default's key or value, NUL included */

struct setting_topic_default {
    char key[SETTINGS_TEXT_MAX]; /* without "topic." */
    char value[SETTINGS_TEXT_MAX];
    uint8_t source; /* enum setting_source */
};

/* Where a value comes from; the last one that names a setting holds. Numbers are told to clients: never renumber. */
enum setting_source { SETTING_DEFAULT, SETTING_KEPT, SETTING_FILE, SETTING_ENVIRONMENT, SETTING_OPTION };

/* Some change while the broker runs (SETTING_LIVE): the control loop writes them, anybody reads them. */
typedef _Atomic uint64_t setting_number;

struct settings {
    setting_number log_level;               /* log-level: enum log_level */
    setting_number connections_max;             /* connections.max */
    setting_number connection_requests_max;     /* connection.requests.max: unanswered ones of one connection */
    setting_number connection_memory_bytes_max; /* connection.memory.bytes.max: unread answers of one connection */
    setting_number connection_stall_ms;         /* connection.stall.ms: silence before hello, inside a frame, or in reading */
    setting_number memory_bytes_max;            /* memory.bytes.max: all connections' buffers */
    setting_number request_bytes_max;           /* request.bytes.max: one frame */
    setting_number fetch_bytes_max;             /* fetch.bytes.max: one answer, whatever the client asks for */
    setting_number fetch_wait_ms_max;           /* fetch.wait.ms.max */
    setting_number store_memory_bytes_max;      /* store.memory.bytes.max: records not yet in segments; 0: by the machine */
    setting_number journal_bytes_max;           /* journal.bytes.max: all shards' journals; 0: the store's default */
    setting_number disk_free_bytes_min;         /* disk.free.bytes.min: refuse appends below; 0: the store's default */
    setting_number scrub_first_ms;              /* scrub.first.ms: from the start to the first look at all stored records */
    setting_number scrub_rest_ms;               /* scrub.rest.ms: between two of them */
    setting_number scrub_bytes_per_s;          /* scrub.bytes.per.second: of all shards; 0: the store's default for each */
    setting_number requests_slow_ms;            /* requests.slow.ms: what takes longer is logged; 0: nothing */
    setting_number stop_ms_max;                 /* stop.ms.max: a stop that takes longer gives up */
    setting_number election_ms;                 /* election.ms: of the coordinator */
    setting_number moves_per_broker;            /* moves.per.broker: copies of partitions that a broker takes part in at a time */
    setting_number moves_replace_ms;            /* moves.replace.ms: a broker that is silent for so long is gone */
    setting_number moves_spread_ms;             /* moves.spread.ms: so long after the last session began or ended, replicas are spread */
    setting_number groups_gather_ms;            /* groups.gather.ms: how long the first members of a group of Kafka clients wait for others */
    setting_number groups_session_ms_min;       /* groups.session.ms.min: the shortest session that a member may ask for */
    setting_number groups_retention_ms;         /* groups.retention.ms: offsets of a group without members; 0: for ever */
    setting_number groups_checkpoint_bytes;     /* groups.checkpoint.bytes: of records, before a group partition's log starts anew */
    setting_number groups_cache_bytes_max;      /* groups.cache.bytes.max: offsets of groups that are not replicated here */
    setting_number auth_required;               /* auth.required: 1 or 0 */
    setting_number auth_lifetime_ms;            /* auth.lifetime.ms: how long a login holds; 0: as long as its connection */
    setting_number kafka_create_topics;         /* kafka.topics.create: 1 or 0: make topics that clients of the Kafka door name */
    setting_number topic_partitions;            /* topic.partitions: of a topic created without a number */
    char tls_certificate[SETTINGS_PATH_MAX]; /* tls.certificate; "": no TLS. Files of PEM */
    char tls_key[SETTINGS_PATH_MAX];         /* tls.key */
    char tls_clients_ca[SETTINGS_PATH_MAX];  /* tls.clients.ca; "": clients need no certificate */
    struct setting_topic_default topic_defaults[SETTINGS_TOPIC_DEFAULTS_MAX];
    size_t topic_default_count;
    uint8_t sources[SETTINGS_MAX]; /* enum setting_source, by the table's index */
};

#define SETTING_LIVE  1u /* may change while the broker runs (`mesh config set`) */
#define SETTING_ALIKE 2u /* the same on every broker */

struct setting_info {
    const char *key;
    const char *unit; /* "bytes", "ms", "count"; "word": one of `words`, numbered; "file": a path, and none by default, whatever the numbers say */
    uint64_t minimum, maximum, fallback;
    unsigned flags;
    const char *help; /* one sentence */
    const char *const *words; /* NULL after the last; of words only */
};

void settings_init(struct settings *settings);

/* Sets one key from its text: digits, for bytes also with k, m, g, t or KiB... (powers of 1024), for ms with ms, s, m, h, d. Errors: MESH_EINVAL, then
 * `reason` (reason_size bytes, may be 0) holds a sentence that names the key and what is allowed. The second one as an option does. */
int settings_set_from(struct settings *settings, enum setting_source source, const char *key, const char *value, char *reason, size_t reason_size);
int settings_set(struct settings *settings, const char *key, const char *value, char *reason, size_t reason_size);

/* The place in the table, SETTINGS_MAX: there is none. */
size_t settings_index(const char *key);

/* Judges a value of entry number index, which is no file. Errors: as above. */
int settings_parse(size_t index, const char *value, uint64_t *ret_number, char *reason, size_t reason_size);

/* What entry number index, which is no file, stands at. */
uint64_t settings_get(const struct settings *settings, size_t index);
void settings_put(struct settings *settings, size_t index, uint64_t number, enum setting_source source);

/* The table, for help and documentation: entry number index, or NULL beyond the last. */
const struct setting_info *settings_info(size_t index);

/* What entry number index stands at, as settings_set() would take it ("" for no file), and whether that is what stands there unsaid. `text` has
 * SETTINGS_PATH_MAX bytes. */
const char *settings_format(const struct settings *settings, size_t index, char text[SETTINGS_PATH_MAX]);
bool settings_is_default(const struct settings *settings, size_t index);

/* Any number of entry number index as it is told, and the values that it may have ("1 to 100", "debug, info"). `text` has SETTINGS_TEXT_MAX bytes. */
const char *settings_format_number(size_t index, uint64_t number, char text[SETTINGS_TEXT_MAX]);
const char *settings_format_range(size_t index, char text[SETTINGS_TEXT_MAX]);

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
