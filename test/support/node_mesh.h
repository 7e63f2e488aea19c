/* support/node_mesh.h - metadata nodes on hosts in memory: links with a delay, disks that are done later and lose what was not durable, kills
 * and restarts, cuts, a gossip of frontiers. One virtual clock; everything is drawn from one seed.
 *
 * Watched all the time: nobody publishes another history than anybody else (equal chains at equal indices), nobody goes back within a life. */
#ifndef SUPPORT_NODE_MESH_H
#define SUPPORT_NODE_MESH_H

#include "replication/metadata/node.h"

#define NODE_MESH_MAX 320

struct node_mesh;

struct node_mesh_options {
    uint64_t seed;
    size_t count;
    uint32_t link_us, link_jitter_us, disk_us, gossip_us;
    bool is_sparse;         /* links only where one of the two wants it, and to a few others; else everybody to everybody */
    struct node_options node; /* self, boot and seed are filled in */
    void (*began)(struct node *node); /* called with each new node; may be NULL */
    void (*prepare)(size_t host, struct node_options *options); /* before each is made; may be NULL */
};
void node_mesh_options_init(struct node_mesh_options *options, size_t count);

struct node_mesh *node_mesh_new(const struct node_mesh_options *options);
void node_mesh_free(struct node_mesh *mesh);

struct node_answer {
    bool is_there;
    int error;
    char text[NODE_TEXT_SIZE];
    uint64_t index, at_us;
    struct uuid topic_id;
    int64_t first_id;
    uint32_t id_count;
    uint8_t result[64]; /* its beginning */
    size_t result_size;
};

void node_mesh_start(struct node_mesh *mesh, size_t host);    /* from its disk, which may be blank */
void node_mesh_kill(struct node_mesh *mesh, size_t host);     /* what was not durable is gone */
/* All others see, each by itself and soon, that the process of `host` has ended; it may be untrue, or meet its next life. */
void node_mesh_see_end(struct node_mesh *mesh, size_t host);
void node_mesh_wipe(struct node_mesh *mesh, size_t host);     /* a dead one's disk is replaced: another dir uuid */
void node_mesh_found(struct node_mesh *mesh, size_t founders); /* the first so many hosts */
void node_mesh_cut(struct node_mesh *mesh, size_t a, size_t b, bool is_cut);
void node_mesh_isolate(struct node_mesh *mesh, size_t host, bool is_isolated);

size_t node_mesh_count(const struct node_mesh *mesh);
uint64_t node_mesh_now(const struct node_mesh *mesh);
void node_mesh_run(struct node_mesh *mesh, uint64_t for_us);
typedef bool node_mesh_fn(struct node_mesh *mesh, void *user);
/* Runs until `is_so`, at most so long. False: it never became so. */
bool node_mesh_run_until(struct node_mesh *mesh, node_mesh_fn *is_so, void *user, uint64_t at_most_us);

struct node *node_mesh_node(struct node_mesh *mesh, size_t host); /* NULL: dead */
struct raft_server node_mesh_server(const struct node_mesh *mesh, size_t host);
int node_mesh_coordinator(const struct node_mesh *mesh);           /* the ready one of the highest term; -1 */

/* Asks at `host`; returns a number for node_mesh_answer(), or a negative error. */
int node_mesh_request(struct node_mesh *mesh, size_t host, enum node_op op, struct slice body, uint64_t timeout_us);
int node_mesh_create(struct node_mesh *mesh, size_t host, const char *topic, int partitions);
int node_mesh_delete(struct node_mesh *mesh, size_t host, const char *topic);
const struct node_answer *node_mesh_answer(const struct node_mesh *mesh, int request);

/* Recovers at `host` without the `lost` (one bit per host); a number for node_mesh_report(), or a negative error. */
int node_mesh_recover(struct node_mesh *mesh, size_t host, uint64_t lost, bool is_dry, uint64_t timeout_us);
struct node_recovery_report {
    bool is_there;
    int error;
    uint64_t history;
    size_t chosen;                    /* host */
    uint64_t answered;                /* one bit per host */
    char objection[RECOVER_TEXT_SIZE]; /* the first one */
};
const struct node_recovery_report *node_mesh_report(const struct node_mesh *mesh, int number);
/* What `host` publishes is not compared with the others' any more: it was declared lost. */
void node_mesh_write_off(struct node_mesh *mesh, size_t host);
/* From now on another history is counted instead of ending the test. */
void node_mesh_count_splits(struct node_mesh *mesh);
size_t node_mesh_splits(const struct node_mesh *mesh);

void node_mesh_leave(struct node_mesh *mesh, size_t host);
bool node_mesh_has_left(const struct node_mesh *mesh, size_t host);
uint64_t node_mesh_seen_us(const struct node_mesh *mesh, size_t host, uint64_t index); /* when it published it; 0: not yet */
uint64_t node_mesh_messages(const struct node_mesh *mesh);  /* sent so far */
const char *node_mesh_last_event(const struct node_mesh *mesh, size_t host); /* the last line of level ERROR */
/* The next snapshot chunk that `host` stores is damaged on its way to the disk. */
void node_mesh_damage_chunk(struct node_mesh *mesh, size_t host);
/* The process sleeps so long: nothing reaches it, and it does nothing. */
void node_mesh_pause(struct node_mesh *mesh, size_t host, uint64_t for_us);
/* Every store of `host` fails from now on. */
void node_mesh_break_disk(struct node_mesh *mesh, size_t host);

#endif
