/* metadata/describe.h - the image in the words of the native protocol: what TOPIC_DESCRIBE, CLUSTER and
 * STATUS say.
 *
 * Functions of an image; any thread that holds it. A description owns its memory (one arena) and none of the
 * image's, so that offsets can be filled in later, when the shards have answered. */
#ifndef METADATA_DESCRIBE_H
#define METADATA_DESCRIBE_H

#include "base/arena.h"
#include "replication/coordinator/image.h"
#include "wire/message.h"

/* Messages filled here are released by arena_deinit() of the arena that they were made in, never by
 * message_deinit_*(). */
struct description {
    struct arena arena;
    struct message_topic_response topics;
};

void description_init(struct description *description);
void description_deinit(struct description *description);

/* One topic after the other is added; partitions without offsets (0). Errors: MESH_ENOMEM. */
int describe_topic(struct description *description, const struct image *image,
                   const struct image_topic *topic);

/* What TOPIC_DESCRIBE asks for: all topics by name, or the named ones in their order; an unknown name gives
 * an entry with MESH_EUNKNOWN_TOPIC. Errors: MESH_ENOMEM. */
int describe_topics(struct description *description, const struct image *image,
                    const struct message_topic_describe *request);

/* Replicas, ISR, ELR and a move of one partition, and room for what its leader says of each. Errors: MESH_ENOMEM. */
int describe_replicas(struct arena *arena, const struct image_partition *partition, struct message_partition *message);

/* Into `arena`. coordinator: node id of this broker while a mesh has one broker. Errors: MESH_ENOMEM. */
int describe_cluster(struct arena *arena, const struct image *image, int32_t coordinator,
                     struct message_cluster_response *ret_cluster);

/* What WHY asks: who leads a partition, since when, how all that might have led it were judged, where it is, and what cannot be done with it now. Into `arena` (`request` is borrowed for
 * as long). Errors: MESH_EUNKNOWN_TOPIC (or no such partition), MESH_ENOMEM. */
int describe_why(struct arena *arena, const struct image *image, const struct message_why_request *request,
                 struct message_why_response *ret_why);

/* What the image does not know; gathered from the shards and the runtime. */
struct describe_facts {
    int32_t coordinator; /* node id, -1: none */
    int32_t self;        /* node id of the answering broker */
    uint64_t uptime_ms, stored_bytes, disk_free_bytes, disk_free_bytes_min;
    uint64_t failed_logs, holes; /* of all shards */
    uint32_t failed_stores;      /* shards whose journal is poisoned */
    int metadata_error;          /* metadata_error() */
    const char *metadata_failure; /* the sentence to it; NULL or "": none */
    bool is_recovering;           /* a recovery of the mesh was accepted here and has not begun */
    bool is_set_back;            /* node_status.is_set_back */
    bool is_shut_out;            /* peers_is_shut_out() */
    bool (*refuses)(const void *user, const struct raft_server *server); /* node_refuses(); NULL: nobody */
    const void *refuses_user;
    uint64_t no_coordinator_ms;  /* how long there has been none, when there is none */
    /* How a broker looks to gossip: 0 alive, 1 suspect, 2 dead, 3 left, -1 not known. NULL: no gossip, nothing is said of who is heard. */
    int (*member_state)(const void *user, const struct uuid *broker_id);
    const void *member_user;
    const char *version;
    uint32_t members_alive, members_suspect, members_dead, members_left; /* as gossip sees them; 0: no gossip */
    int64_t tls_expires_s; /* tls_expires_s(); 0: no TLS */
    char dead_names[256]; /* of as many of the dead as fit, for people */
};

/* With problems in plain words, each with a meaning and a remedy. Errors: MESH_ENOMEM. */
int describe_status(struct arena *arena, const struct image *image, const struct describe_facts *facts,
                    struct message_status_response *ret_status);

#endif
