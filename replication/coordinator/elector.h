/* coordinator/elector.h - who is the best of those that may lead a partition, and why (PROTOCOLS 4.1, leader scoring).
 *
 * Only the eligible are ranked: the usable (registered, not fenced, not draining) of the ISR; if there are none, those of the ELR; if both
 * are empty, the last one known to be complete, if it is a single one. The score is a sum whose parts cannot outweigh each other but
 * for the last two, and is kept with every election:
 *
 *     1,000,000 in sync   100,000 * log (0..9)   50,000 zone   4,000 * health (0..10)   30 * load (0..100)   900 preferred
 *
 * Equal scores: the lower uuid. While many partitions are elected in one go, each choice counts as load for the next. Pure. */
#ifndef COORDINATOR_ELECTOR_H
#define COORDINATOR_ELECTOR_H

#include "replication/coordinator/decide.h"
#include "replication/coordinator/record_body.h"

struct elector_broker {
    int32_t node_id;
    struct uuid broker_id;
    bool is_fenced, is_draining, is_witness, is_in_zone;
    uint8_t health;     /* 0..10 */
    uint64_t leaders;   /* that it leads, with those that were elected here */
    uint64_t bytes_per_s;
};

struct elector {
    const struct decide_facts *facts; /* NULL: none */
    struct elector_broker *brokers;   /* owned, ordered by node id */
    size_t count, data_count;
    uint64_t leaders_total, bytes_total;
    size_t score_bytes; /* that the scores of elections have taken so far; beyond a limit they are left out */
};

/* Errors: MESH_ENOMEM. */
int elector_init(struct elector *elector, const struct image *image, const struct decide_facts *facts);
void elector_deinit(struct elector *elector);

struct elector_broker *elector_find(const struct elector *elector, int32_t node_id); /* NULL: not registered */
bool elector_is_usable(const struct elector_broker *broker);                         /* accepts NULL */

/* Makes the best candidate the leader: sets state's leader, ISR, ELR, leader epoch and election. False: nobody may lead; then there
 * is no leader from this epoch on. A leader that is in neither ISR nor ELR (the last one known to be complete) may lack acknowledged records:
 * the reason is then UNCLEAN and the reset epoch rises. `state` has its old leader still. Neither touches the partition epoch. */
bool elector_choose(struct elector *elector, const struct uuid *topic_id, struct body_partition *state,
                    enum image_election_reason reason);

/* The same with the leader given, who is one of the ISR: the scores are there to be read. */
void elector_appoint(struct elector *elector, const struct uuid *topic_id, struct body_partition *state, int32_t leader,
                     enum image_election_reason reason);

/* Who would be chosen; IMAGE_NO_LEADER: nobody. Changes nothing. */
int32_t elector_best(const struct elector *elector, const struct uuid *topic_id, const struct body_partition *state);

/* An election for people, "broker 3 (b3): 1,953,100: in sync ..., ..." for candidate i. Returns the size as snprintf() does. */
int election_explain_candidate(const struct image *image, const struct image_election *election, uint32_t i, char *to, size_t size);
/* The same without who it is and without the figures: "elected: in sync, in the preferred zone". */
int election_explain_standing(const struct image_election *election, uint32_t i, char *to, size_t size);
/* One sentence: who leads since when and why. */
int election_explain(const struct image *image, const struct image_election *election, char *to, size_t size);

#endif
