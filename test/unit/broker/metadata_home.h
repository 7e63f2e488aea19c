/* The metadata of a broker on its own: an identity, a loop, a mailbox, and metadata.h over any disk. */
#ifndef TEST_METADATA_HOME_H
#define TEST_METADATA_HOME_H

#include "cmd/broker/metadata/metadata.h"
#include "cmd/broker/runtime/mailbox.h"

#include <ev.h>

struct metadata_home {
    struct ev_loop *loop;
    struct mailbox mailbox;
    struct identity identity;
    struct metadata *metadata;
    uint64_t published; /* index of the last image; 0: none */
    unsigned publications;
    char message[METADATA_MESSAGE_SIZE];
};

/* Opens identity and metadata in `fs` as a broker does that founds a mesh of one where there is none. `tune` (may be NULL) changes the
 * options. Returns metadata_open()'s error, or the identity's; the home is to be closed in any case. */
typedef void metadata_home_tune_fn(struct metadata_options *options);
int metadata_home_open(struct metadata_home *home, struct fs *fs, metadata_home_tune_fn *tune);

/* Takes part, and runs until the coordinator (this broker itself) has registered it. Returns 0, or why
 * the metadata failed. */
int metadata_home_start(struct metadata_home *home);

/* Runs the loop until *count has become at least `wanted`. */
void metadata_home_run(struct metadata_home *home, const int *count, int wanted);

void metadata_home_close(struct metadata_home *home);

/* What a callback said last. */
struct metadata_answer {
    int count, error;
    char message[METADATA_MESSAGE_SIZE];
    struct uuid topic_id;
    uint32_t partition_count;
    int64_t first;
};

/* Each waits for its answer and returns its error. */
int metadata_home_create(struct metadata_home *home, const char *name, int32_t partitions, struct metadata_answer *ret_answer);
int metadata_home_create_as(struct metadata_home *home, const struct message_topic_create *request, struct metadata_answer *ret_answer);
int metadata_home_alter(struct metadata_home *home, const struct message_topic_alter *request, struct metadata_answer *ret_answer);
int metadata_home_delete(struct metadata_home *home, const char *name, struct metadata_answer *ret_answer);
int metadata_home_ids(struct metadata_home *home, uint32_t count, struct metadata_answer *ret_answer);

#endif
