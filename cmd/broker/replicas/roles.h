/* replicas/roles.h - what the metadata say of replicas here, in the words of replication/partition; and what the coordinator's answers mean for them.
 *
 * Pure functions of an image: the shards of a broker and those of the simulator (test/sim) ask the same ones. Any thread that holds the image. */
#ifndef BROKER_REPLICAS_ROLES_H
#define BROKER_REPLICAS_ROLES_H

#include "replication/coordinator/decide_replicas.h"
#include "replication/coordinator/image.h"
#include "replication/partition/replica.h"

/* The registration of this very life is in the image: from then on it may give replicas their roles. */
bool roles_is_registered(const struct image *image, const struct uuid *broker_id, const struct uuid *dir_id, uint64_t boot);

/* Of all that leaders have to know of brokers: their lives, and whether they may be in sync. Another value: every replica is to be assigned anew. */
uint64_t roles_hash_brokers(const struct image *image);

/* The members are in the image's order, without those that a move adds and that wait for their turn. The assignment points into it: it is not to
 * be copied. */
struct roles_assignment {
    struct replica_assignment assignment;
    struct replica_member members[IMAGE_REPLICAS_MAX];
};
/* False: this broker keeps no replica of it, or not yet. */
bool roles_describe(const struct image *image, const struct image_partition *facts, int32_t self, struct roles_assignment *ret_assignment);
bool roles_is_kept(const struct image_partition *facts, int32_t self); /* the same answer */

/* What the topic's settings mean for one partition. */
void roles_config(const struct image_topic *topic, uint32_t partition, struct partition_config *ret_config);

/* Before which offset a replica's log is to give its records up, because clients had them deleted; 0: nothing is to be done. `epoch_end` is where
 * deletion->leader_epoch ends in it, and `known_epoch` the epoch that this was found by (plog_epoch_end_offset()): what is of newer epochs is not deleted, nor
 * what may be, where so old an epoch is not known any more (-1): records that an election lost may stand again there. A leader serves nothing of it, however little
 * it knows to be committed: the deletion was. Others wait until they know as much to be committed: what they have may be about to be cut. *ret_is_due: ask again
 * when more is known to be committed, also after what is given up now. */
uint64_t roles_delete_before(const struct image_deletion *deletion, uint64_t epoch_end, int32_t known_epoch, const struct replica *replica, bool *ret_is_due);

/* Is a batch acknowledged when the high watermark has passed it, which others have a say in? Otherwise when it is as safe here as the topic wants. */
bool roles_waits_for_others(const struct replica *replica, int32_t acks);

/* `error` is that of the whole request, `result` what became of the partition (read only if error is 0). */
enum replica_alter_outcome roles_alter_outcome(int error, const struct decide_result *result);

/* An ALTER in the coordinator's words; the members are written to members[REPLICA_MEMBERS_MAX], which the wish points to. */
void roles_wish(const struct uuid *topic_id, uint32_t partition, const struct replica_alter *alter, struct decide_member *members,
                struct decide_isr *ret_wish);

#endif
