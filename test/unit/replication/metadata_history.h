/* A metadata history for tests: decisions go in, entries and images come out, as the log would number them.
 */
#ifndef TEST_METADATA_HISTORY_H
#define TEST_METADATA_HISTORY_H

#include "replication/coordinator/decide.h"

#define HISTORY_ENTRIES_MAX 8192

struct history {
    struct image *image;                                 /* after the last entry */
    struct raft_entry entries[HISTORY_ENTRIES_MAX]; /* bodies are owned */
    size_t entry_count;
    uint64_t uuid_seed;
};

struct history *history_new(void); /* empty: not even a mesh */
struct history *history_new_mesh(int broker_count,
                                 const char *zones); /* founded, with brokers; zones: one letter each */
void history_free(struct history *history);

struct uuid history_uuid(struct history *history); /* a fresh one, the same in every run */

/* Numbers and applies a decision as one entry, then empties it. */
void history_commit(struct history *history, struct decision *decision);
/* One raw entry; the history grows only on 0, which image_apply() says. */
int history_append(struct history *history, enum raft_entry_type type, struct slice body);
/* The same with a command of one raw change. Returns what image_apply() says; the history grows only on 0. */
int history_commit_raw(struct history *history, uint16_t kind, struct slice key, struct slice body);

/* Creates a topic; asserts that it works. */
const struct image_topic *history_create_topic(struct history *history, const char *name, int32_t partitions,
                                               int32_t replicas);
void history_register_broker(struct history *history, const struct uuid *broker_id, uint64_t boot,
                             const char *zone);

#endif
