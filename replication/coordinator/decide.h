/* coordinator/decide.h - the coordinator's decisions: image x request -> a command to commit, or an error with
 * its reason.
 *
 * Pure functions: no clock, no random source (new uuids are handed in), no log. The caller commits the
 * command through the consensus log and applies the entry that comes back. A decision is valid only for the
 * image it was made from, so the caller makes the next one after the last is applied. */
#ifndef COORDINATOR_DECIDE_H
#define COORDINATOR_DECIDE_H

#include "base/buffer.h"
#include "replication/coordinator/image.h"

#define DECISION_MESSAGE_SIZE 384

struct decision {
    struct buffer command; /* the body of the entry to propose: decision_command() */
    size_t change_count;   /* in it; 0: nothing needs to change */
    struct buffer scratch; /* the body of the change that is being written */
    uint64_t loss_count;   /* partitions in it whose new leaders may lack acknowledged records, and the first of them */
    struct uuid lost_topic;
    uint32_t lost_partition;
    char message[DECISION_MESSAGE_SIZE]; /* on an error: a sentence for the requester; on success: a warning, or "" */
};

void decision_init(struct decision *decision);
void decision_deinit(struct decision *decision);

/* The body of the COMMAND entry that makes the decision true; lives as long as the decision. Only when change_count is not 0. */
struct slice decision_command(const struct decision *decision);

/* The image as it would be if the decision were the next entry: for people who ask what would happen. The caller ends *ret_next with image_unref().
 * Errors: MESH_ENOMEM. */
int decision_preview(const struct image *image, const struct decision *decision, struct image **ret_next);

/* What the caller knows beyond the image, of as many brokers as it likes; those that are missing count as well and idle. Evidence only
 * ranks: it never makes anybody eligible, nor anything true. */
struct decide_broker_facts {
    int32_t node_id;
    uint32_t health;       /* Lifeguard's local health: 0 is good, 8 very bad */
    uint64_t bytes_per_s;  /* in and out */
    uint64_t stored_bytes;
    bool is_gone;    /* silent for so long that its replicas should be elsewhere (decide_moves()) */
    bool is_leaving; /* it serves, and is to keep no replicas any more: somebody will take it out for good */
};
struct decide_facts {
    const struct decide_broker_facts *brokers; /* in any order */
    size_t broker_count;
    const char *preferred_zone; /* where leaders would rather be; NULL or "": anywhere */
    /* How far a replica's log reaches, 0 (far behind) to 9 (to the end); NULL: not known, all count alike. */
    uint8_t (*log_rank)(void *user, const struct uuid *topic_id, uint32_t partition, int32_t node_id);
    void *user;
};

struct decide_config {
    const char *key, *value; /* as the user wrote them */
};

struct decide_topic_create {
    const char *name;
    int32_t partition_count; /* 0 or -1: partition_count_default */
    int32_t replication_factor; /* 0 or -1: the setting `replicas`, else replication_factor_default, but never more than the mesh has
                                   brokers; otherwise more than there are is a wish, kept in that setting and met as brokers come */
    const struct decide_config *configs;
    size_t config_count;
    struct uuid topic_id; /* fresh and random */
    int32_t partition_count_default, replication_factor_default;
    const struct decide_config *config_defaults; /* of the broker; recorded unless `configs` says otherwise */
    size_t config_default_count;
    const int32_t *replicas; /* node ids, replication_factor of them for each partition, who leads first; both numbers are given then */
    size_t replica_count; /* 0: they are chosen here */
    bool is_internal; /* the mesh itself asks: "__mesh" names are allowed */
    const struct decide_facts *facts; /* NULL: none */
};

struct decide_topic_alter {
    const char *name;
    int32_t partition_count; /* 0: unchanged; otherwise more than now */
    const struct decide_config *configs;
    size_t config_count;
    const char *const *removed_keys; /* back to the default */
    size_t removed_key_count;
    const struct decide_facts *facts; /* NULL: none */
};

struct decide_broker_register {
    struct uuid broker_id, dir_id;
    uint64_t boot;
    const char *name, *host, *zone;
    uint16_t port;
    uint32_t shard_count;
    bool is_witness;
    bool starts_fenced; /* a new life begins without a session; decide_broker_unfence() once it has caught up. A mesh without sessions
                           (one broker, its own coordinator) may leave it out; whoever was fenced or draining begins fenced in any case, and, where
                           there are other brokers, whoever stopped uncleanly or lost data */
    bool was_unclean;   /* its former life left no mark of a clean stop: what async topics had not flushed may be missing */
    bool was_set_back;  /* its disk went back in time, or is a copy, and the mesh has not been told yet: any record may be missing */
    bool has_lost_data; /* its logs did not verify, or its disk is another one (implied by a dir_id that is not raft_dir_is_same_disk()) */
    const struct decide_facts *facts; /* NULL: none */
};

struct decide_broker_retire {
    struct uuid broker_id;
    bool accepts_loss; /* partitions whose only complete copy is there may be lost */
    bool is_alive_ok;  /* it may have a session: it asks for it itself, or was told to go */
    const struct decide_facts *facts; /* NULL: none */
};

/* All: on success `decision` (initialised by the caller) holds the changes; on an error its message says why.
 * Errors besides MESH_ENOMEM are named at each. */

/* MESH_EEXISTS (already founded). */
int decide_cluster_create(const struct image *image, const struct uuid *cluster_id,
                          struct decision *decision);

/* ---- brokers (decide_broker.c) ---- */

/* Gives a new broker its node id, updates a known one; nothing changes when all of it is known already. A known uuid with a higher boot is a new
 * life: it gets a new epoch; when it starts fenced, what it led and was in sync with is taken from it in the same entry, else the epochs of
 * all that it leads rise. The same name with another uuid is another broker; the old one stays until it is retired. Errors: MESH_EINVAL (texts
 * too long, no port, an older boot, a witness that hosts partitions), MESH_EUNAUTHORIZED (it was retired: KAFKA-19850), MESH_EFULL. */
int decide_broker_register(const struct image *image, const struct decide_broker_register *request,
                           struct decision *decision);

/* Its session is lost. One entry fences it and takes it out of every ISR and leadership (rule R9): where |ISR| falls below min.insync it
 * becomes eligible (ELR); a new leader comes from the rest of the ISR, else from the ELR, else there is none. Nothing changes when it is
 * fenced already. Errors: MESH_ENOTFOUND. */
int decide_broker_fence(const struct image *image, const struct uuid *broker_id, const struct decide_facts *facts,
                        struct decision *decision);

/* Its session is back and it has applied what was committed. It becomes leader where there is none and it may (ISR, ELR, or the last one known
 * to be complete); followers join ISRs later, by themselves. Ends draining, too. Errors: MESH_ENOTFOUND. */
int decide_broker_unfence(const struct image *image, const struct uuid *broker_id, const struct decide_facts *facts,
                          struct decision *decision);

/* It is about to stop: it gets nothing new, and gives up the leadership and ISR of all partitions where another in-sync replica can take over.
 * The rest goes with its session, or when it is drained again and others can by now: then nothing changes but that. has_bad_disk: it goes because
 * its disk has failed, which people are told of. Errors: MESH_ENOTFOUND. */
int decide_broker_drain(const struct image *image, const struct uuid *broker_id, bool has_bad_disk, const struct decide_facts *facts,
                        struct decision *decision);

/* Removes it for good: its uuid is refused from then on. Its replicas stay named until their partitions move or are deleted. Errors:
 * MESH_ENOTFOUND, MESH_EINVAL (it has a session, or complete copies are only there: the message says how many and which first). */
int decide_broker_retire(const struct image *image, const struct decide_broker_retire *request, struct decision *decision);

/* ---- leadership (decide_leader.c, balance.c) ---- */

/* Elects the best in-sync replica anew, whoever leads now. Errors: MESH_EUNKNOWN_TOPIC (or partition), MESH_ENOT_ENOUGH_REPLICAS (nobody may lead). */
int decide_elect_leader(const struct image *image, const struct uuid *topic_id, uint32_t partition, const struct decide_facts *facts,
                        struct decision *decision);

/* Makes the first replica in the list leader, where it may be; nothing changes when it leads. Errors: MESH_EUNKNOWN_TOPIC (or partition),
 * MESH_ENOT_ENOUGH_REPLICAS (it is not in sync, or not up), MESH_EUNSUPPORTED (mode=quorum: who leads there is whose log is longest). */
int decide_prefer_leader(const struct image *image, const struct uuid *topic_id, uint32_t partition, const struct decide_facts *facts,
                         struct decision *decision);

/* Leadership goes back to the brokers that it was placed on (replicas[0]). A broker that leads 10 % less than the partitions placed on it, for
 * 5 minutes, gets them back, at most 5 % of all partitions in a minute, until it is 5 % (the hysteresis). Only in-sync targets of good health that
 * are not loaded beyond twice the average. No session may begin or end meanwhile: balance_reset() starts the 5 minutes anew. */
struct balance {
    uint64_t imbalanced_us; /* since when some broker has been beyond 10 %; 0: none is */
    uint64_t window_us;     /* the minute that moved_count is of */
    uint32_t moved_count;
    bool is_moving;         /* between the two thresholds it goes on */
};
#define BALANCE_INIT {0, 0, 0, false}
void balance_reset(struct balance *balance); /* somebody was fenced or unfenced, or this is a new coordinator */
/* Call it now and then (every 10 s); mostly nothing changes. The moved count only when the decision is used, which it has to be. */
int decide_balance(const struct image *image, struct balance *balance, const struct decide_facts *facts, uint64_t now_us,
                   struct decision *decision);

/* ---- housekeeping, users, requests (decide_access.c) ---- */

/* Drops the tombstones of topics that every registered broker has seen deleted: `applied_min` is the lowest applied index of all of them, the
 * fenced included (0 while one's is not known). */
int decide_tombstones_drop(const struct image *image, uint64_t applied_min, struct decision *decision);

/* Adds the user or replaces its verifiers. MESH_EINVAL (name, iterations below 4096 or above 1,000,000, sizes), MESH_EFULL. */
int decide_user_set(const struct image *image, const struct image_user *user, struct decision *decision);
/* As set, but MESH_EEXISTS when there is one of this name, or MESH_ENOTFOUND when there is none. */
int decide_user_add(const struct image *image, const struct image_user *user, struct decision *decision);
int decide_user_replace(const struct image *image, const struct image_user *user, struct decision *decision);
int decide_user_delete(const struct image *image, const char *name, struct decision *decision); /* MESH_ENOTFOUND */

/* Nothing changes when it is so already. MESH_EINVAL (a field out of range, a principal without "User:"), MESH_EFULL. */
int decide_acl_add(const struct image *image, const struct image_acl *acl, struct decision *decision);
int decide_acl_remove(const struct image *image, const struct image_acl *acl, struct decision *decision); /* MESH_ENOTFOUND */

/* Adds to a decision that changes something: whose request it does, and what it is answered (at most IMAGE_REQUEST_RESULT_MAX bytes). A decision
 * that changes nothing may be given one as well; it is then about the request alone. Errors: MESH_ENOMEM, MESH_ETOOLARGE. */
int decision_add_request(struct decision *decision, const struct uuid *origin, uint64_t boot, uint64_t sequence, int error, struct slice result);

/* ---- topics (decide_topic.c) ---- */

/* MESH_EINVALID_TOPIC, MESH_ETOPIC_EXISTS (also for a case twin, which the message names),
 * MESH_EINVALID_PARTITIONS, MESH_EINVALID_REPLICATION, MESH_EINVALID_CONFIG, MESH_EFULL (too many topics). */
int decide_topic_create(const struct image *image, const struct decide_topic_create *request,
                        struct decision *decision);

/* MESH_EUNKNOWN_TOPIC, MESH_EINVALID_PARTITIONS (fewer or too many), MESH_EINVALID_CONFIG. */
int decide_topic_alter(const struct image *image, const struct decide_topic_alter *request,
                       struct decision *decision);

/* MESH_EUNKNOWN_TOPIC, MESH_EINVALID_TOPIC (an internal one). */
int decide_topic_delete(const struct image *image, const char *name, struct decision *decision);
/* The topic of this id, and no other that came to bear its name. */
int decide_topic_delete_id(const struct image *image, const struct uuid *topic_id, struct decision *decision);

/* A block of `count` (1..1,000,000) producer ids for a broker; the first is image_next_producer_id().
 * MESH_EINVAL. */
int decide_producer_ids(const struct image *image, int32_t node_id, uint32_t count,
                        struct decision *decision);

#endif
