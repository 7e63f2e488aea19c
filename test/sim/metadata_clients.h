/* sim/metadata_clients.h - who asks simulated brokers for topics and producer ids, and holds them to their answers.
 *
 * Counts tell whether a request was done once, twice or not at all: of each name, no more topics come than creations were asked for that
 * were not refused, and no more go than deletions; whoever created one alone is never told that it exists already (PROTOCOLS 4.2, 24).
 * An error means that nothing was done, but for a timeout. Blocks of producer ids are disjoint, and no more go than were asked for. */
#ifndef SIM_METADATA_CLIENTS_H
#define SIM_METADATA_CLIENTS_H

#include "sim/metadata_program.h"

struct message_topic_create;

#define METADATA_NAMES_MAX    1024
#define METADATA_REQUESTS_MAX 4096
#define METADATA_TOPICS_MAX   2048

enum metadata_ask { METADATA_ASK_CREATE, METADATA_ASK_ALTER, METADATA_ASK_DELETE, METADATA_ASK_PRODUCER_IDS, METADATA_ASK_OTHER, METADATA_ASK_KINDS };

struct metadata_name {
    uint32_t creates, void_creates, came, deletes, void_deletes, gone; /* void: refused, nothing was done */
};

struct metadata_topic {
    struct uuid topic_id;
    uint32_t name;
    bool is_gone;
    int32_t leaders[4], epochs[4];
    uint32_t partition_epochs[4];
};

struct metadata_request {
    enum metadata_ask kind;
    uint32_t name, count;
    bool is_answered, is_done;
    int error; /* of the answer */
    int64_t first_id;
};

struct metadata_clients {
    struct sim *sim;
    struct metadata_name names[METADATA_NAMES_MAX];
    uint32_t name_count;
    struct metadata_topic topics[METADATA_TOPICS_MAX];
    uint32_t topic_count, alive_count;
    struct metadata_request requests[METADATA_REQUESTS_MAX];
    uint32_t request_count;
    uint64_t acknowledged, refused, timed_out, unreachable;
    uint64_t ids_asked, ids_given; /* producer ids */
    const struct message_topic_create *form; /* of topics that are created: their replication and settings; NULL: the defaults. Borrowed */
};

void metadata_clients_reset(struct metadata_clients *clients, struct sim *sim);

/* Asks the broker; `name` is for all but producer ids. Returns the request's number, or -1: refused at once, or too many. */
int metadata_clients_ask(struct metadata_clients *clients, struct metadata_process *process, enum metadata_ask kind, uint32_t name, uint32_t count,
                         uint64_t timeout_us);
/* Anything else; of its answer only the error is kept. Nothing when too much was asked already. */
void metadata_clients_send(struct metadata_clients *clients, struct metadata_process *process, enum node_op op, struct slice body, uint64_t timeout_us);
uint32_t metadata_clients_new_name(struct metadata_clients *clients); /* METADATA_NAMES_MAX: there are too many */
const struct image_topic *metadata_clients_topic(const struct image *image, uint32_t name); /* NULL: there is none */

/* The newest image: every one of them, as soon as anybody publishes it. */
void metadata_clients_image(struct metadata_clients *clients, const struct image *image);
void metadata_clients_answered(struct metadata_clients *clients, struct metadata_process *process, const struct node_output *answer,
                               const struct image *newest);
bool metadata_clients_asked_to_delete(const struct metadata_clients *clients, const char *name);

#endif
