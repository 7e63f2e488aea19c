/* sim/replication_mesh.h - simulated brokers with records, their observers and clients: what the world and the stories share. */
#ifndef SIM_REPLICATION_MESH_H
#define SIM_REPLICATION_MESH_H

#include "sim/metadata_mesh.h"
#include "sim/replication_clients.h"

#define REPLICATION_TOPICS_MAX 16

struct replication_topic {
    const char *mode, *flush, *min_insync, *unclean; /* NULL: the default */
    int32_t replicas;
    uint32_t partitions, name; /* name: of metadata_clients */
};

struct replication_mesh {
    struct sim *sim; /* borrowed */
    struct metadata_mesh metadata;
    struct replication_watch *watch;
    struct replication_clients clients;
    struct replication_config config;
    struct replication_topic topics[REPLICATION_TOPICS_MAX];
    uint32_t topic_count;
    uint32_t partitions_again; /* of topics that were to be deleted, and are made anew then */
    bool has_losses; /* disks may be lost: every topic is to survive that of one */
    bool has_rot; /* replication_rot.h */
    bool is_healed;
};

void replication_mesh_init(struct replication_mesh *mesh, struct sim *sim);
void replication_mesh_deinit(struct replication_mesh *mesh);

/* After sim_reset(): every host gets the program, none runs. The first `founders` hosts found; the configs and topics may be changed now. */
void replication_mesh_reset(struct replication_mesh *mesh, uint32_t founders, uint32_t producers);

struct replication_process *replication_mesh_process(struct replication_mesh *mesh, uint32_t host); /* NULL: none runs */

/* Asks for the topics that are not there. True: all are. */
bool replication_mesh_make_topics(struct replication_mesh *mesh);
bool replication_mesh_has_topics(const struct replication_mesh *mesh);
bool replication_mesh_is_in_doubt(struct replication_mesh *mesh); /* somebody's disk is damaged or gone, and not replaced yet */

/* What the newest metadata say; false: there is no such topic. */
bool replication_mesh_facts(struct replication_mesh *mesh, const struct watch_partition *partition, const struct image_topic **ret_topic,
                            struct image_partition *ret_facts);
/* The host that leads it and knows that, or METADATA_NOBODY. */
uint32_t replication_mesh_leader(struct replication_mesh *mesh, const struct watch_partition *partition);

void replication_mesh_fault(struct replication_mesh *mesh, uint32_t kinds, const struct sim_fault *fault, bool is_begin); /* as metadata_mesh_fault() */
void replication_mesh_heal(struct replication_mesh *mesh, uint32_t host);

/* Why the partitions are not as they are to be when all brokers run: led, all replicas in sync, their logs equal. NULL: they are. */
const char *replication_mesh_unrest(struct replication_mesh *mesh);

#endif
