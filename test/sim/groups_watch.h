/* sim/groups_watch.h - the omniscient observer of consumer groups: what leads decided, what was acknowledged, and what each replica's state is.
 *
 * S10: a claim never tells an offset older, in the order of versions, than one that was acknowledged; no commit under a superseded claim is acknowledged;
 * nothing counts that its member has overtaken by something that is acknowledged; who begins to lead has all that was acknowledged before. G1: equal logs make equal states. G3: an acknowledged reset wins over
 * all that was committed before (by versions: part of S10), and over what a consumer outside of groups commits later, who has not read since. G4: a failover gives nobody anything else. S20, S3 and L9 are with the members (groups_clients.h). */
#ifndef SIM_GROUPS_WATCH_H
#define SIM_GROUPS_WATCH_H

#include "sim/groups_program.h"
#include "sim/replication_watch.h"

#define GROUPS_MAX          4 /* groups of a world */
#define GROUPS_LONE         2 /* and consumers outside of groups, each with a name of its own: numbers behind those */
#define GROUPS_NAMES        (GROUPS_MAX + GROUPS_LONE)
#define GROUPS_PARTITIONS   8 /* at most, of the topic in which they live */
#define GROUPS_STATES       4096 /* remembered of each */

struct groups_version {
    uint32_t epoch;
    uint64_t lsn, offset;
    bool is_there;
};

struct groups_watch {
    struct sim *sim;
    struct replication_watch *logs;
    bool compares_states, compares_shares; /* G1, G4 */
    struct groups_version acked[GROUPS_NAMES][REPLICATION_PARTITIONS_MAX];
    struct groups_claimant {
        struct groups_version version;
        char member[GROUPS_NAME_SIZE];
    } claims[GROUPS_NAMES][REPLICATION_PARTITIONS_MAX];
    bool is_reset[GROUPS_NAMES][REPLICATION_PARTITIONS_MAX]; /* by an operator, at least once */
    struct groups_reset_seen {
        struct groups_version version; /* of the newest reset that was acknowledged, and the reset epoch from then on */
        uint32_t epoch;
    } set_back[GROUPS_NAMES];
    struct groups_state_seen {
        uint64_t lsn, hash;
        uint32_t epoch, host;
    } states[GROUPS_PARTITIONS][GROUPS_STATES];
    struct groups_leading {
        const struct groups_partition *partition;
        uint32_t total;  /* partitions that there were to be consumed when it began */
        bool is_settled; /* nothing was left to assign when it began, and nobody has come or gone since */
    } leading[CONSENSUS_HOSTS_MAX][GROUPS_PARTITIONS];
    uint64_t failovers, proved_failovers, calm_failovers, commits, claimed, refused_copies, resets, lone_commits, slow, expired, generations; /* proved: earlier leaders had acknowledged offsets */
};

void groups_watch_reset(struct groups_watch *watch, struct sim *sim, struct replication_watch *logs);

/* Each as the hook of its name. */
void groups_watch_began(struct groups_watch *watch, struct groups_partition *partition);
void groups_watch_applied(struct groups_watch *watch, struct groups_partition *partition, uint32_t epoch, uint64_t lsn);
void groups_watch_judged(struct groups_watch *watch, struct groups_partition *partition, const struct groups_answer *answer);
void groups_watch_answered(struct groups_watch *watch, const struct groups_answer *answer);
void groups_watch_told(struct groups_watch *watch, struct groups_partition *partition, const struct group_event *event);
void groups_watch_broke(struct groups_watch *watch, struct groups_partition *partition, int error);

void groups_watch_topics_changed(struct groups_watch *watch); /* some broker may have to assign something */

/* Its place in the observer's table of partitions; UINT32_MAX: nobody has opened it. */
uint32_t groups_place(const struct groups_watch *watch, const struct uuid *topic, uint32_t partition);
bool groups_is_older(const struct groups_version *a, const struct groups_version *b);

#endif
