/* Stories about one partition, "t/0", as text: what happens, and how the partition stands after it.
 *
 *     "fence 2 = 1 13 - - 123; isr 13 = !EAGAIN"
 *
 * A state is: leader or none; ISR, ELR, last known ELR by node ids, - for nobody; the replicas in their order, each with + while it is added and
 * - while it is to go; then queued, sealed, reset<n> where that is so. !ERROR: the act is refused so, and nothing changes. An act without = is
 * not looked at. Acts:
 *     fence N, unfence N, drain N, restart N, unclean N (restart), wipe N (restart without its disk), retire N, gone N (facts say so)
 *     isr LIST (the leader's wish), stale LIST (the same from one partition epoch before), former LIST (with all members' former lives),
 *     original LIST (with the generations that the story began with)
 *     lost N, move LIST, cancel, balance, elect, set KEY=VALUE
 *     report N EPOCH END, recover, overdue (recover when the wait is over), accept, accept N
 *     tick (the coordinator moves what it wants, ten minutes later) */
#ifndef TEST_REPLICA_STORY_H
#define TEST_REPLICA_STORY_H

#include "metadata_history.h"
#include "replication/coordinator/decide_replicas.h"

/* zones: one letter for each broker. settings: "replicas=3,min.insync=2,...", which make the topic; "groups": it is the topic of groups. */
void replica_story(const char *zones, const char *settings, const char *script);

/* The same in pieces, for tests that look at more. */
struct replica_stage {
    struct history *history;
    const char *topic_name;
    struct decision decision;
    struct movement movement;
    struct reports *reports;
    uint64_t now_us;
    uint32_t gone;                /* mask by node id */
    uint64_t former_epochs[32];   /* by node id: of the life before */
    uint64_t original_generations[32];
};
void replica_stage_open(struct replica_stage *stage, const char *zones, const char *settings);
void replica_stage_close(struct replica_stage *stage);
void replica_stage_play(struct replica_stage *stage, const char *script);
struct image_partition replica_stage_partition(const struct replica_stage *stage);

#endif
