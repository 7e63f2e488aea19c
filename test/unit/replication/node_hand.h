/* node_hand.h - metadata nodes driven by hand: one to three of them, wired to each other without a delay, on disks that are done at once; and
 * peers that are only names, whose messages the test writes and reads itself.
 *
 * Nothing is allocated here after hand_begin(), so that a test may let allocations fail (support/failing_alloc.h). */
#ifndef NODE_HAND_H
#define NODE_HAND_H

#include "replication/metadata/message.h"
#include "replication/metadata/node.h"

#define HAND_NODES_MAX   3
#define HAND_ANSWERS_MAX 64

struct hand_answer {
    unsigned times; /* that it was given; once is right */
    int error;
    uint64_t index;
    struct uuid topic_id;
    char text[NODE_TEXT_SIZE];
};

struct hand_node {
    struct node *node; /* NULL: none (any more) */
    struct raft_server server;
    uint64_t store_due; /* the last store that is done and not told; 0: none */
    struct buffer snapshot;
    struct raft_position snapshot_at;
    struct raft_config snapshot_config;
    struct hand_read {
        uint64_t read, index, offset, size;
    } reads[NODE_READS_MAX];
    size_t read_count;
    uint64_t taken_index; /* of a snapshot that is to be told; 0: none */
    int taken_error;
    bool is_restore_due;
    struct hand_answer answers[HAND_ANSWERS_MAX]; /* by cookie */
    unsigned recovered; /* answers to node_recover(), and what the last one said */
    int recover_error;
};

struct hand {
    uint64_t now_us;
    struct hand_node nodes[HAND_NODES_MAX];
    size_t count;
    struct node_options options; /* for nodes made from now on; self and boot are filled in */
    bool is_nameless;            /* they register nowhere */
    struct buffer pool;          /* messages under way, one behind the other */
    size_t delivered;            /* bytes of it */
    struct buffer scratch;
};

extern struct hand hand;

struct raft_server hand_server(unsigned number); /* of node `number`, or of a name */

void hand_begin(size_t count);
int hand_make(size_t at); /* node_new(). It describes itself, unless it is to be nameless */
void hand_end(void);
void hand_link(size_t a, size_t b); /* two nodes */

void hand_run(uint64_t for_us); /* delivers, stores and ticks */
bool hand_await_serving(size_t at, uint64_t at_most_us);

/* A request of node `at`; its answer comes to nodes[at].answers[cookie]. */
int hand_create(size_t at, const char *topic, uint64_t timeout_us, uint64_t cookie);
int hand_delete(size_t at, const char *topic, uint64_t timeout_us, uint64_t cookie);

/* The name `from` says it to the node; what the node said to that name last, of a type (false: nothing). */
void hand_say(unsigned from, size_t at, const struct node_message *message);
bool hand_heard(unsigned name, enum node_message_type type, struct node_message *ret_message);
void hand_forget(void); /* what was heard so far */

#endif
