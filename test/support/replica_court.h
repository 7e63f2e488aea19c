/* support/replica_court.h - a small coordinator for tests of replication: brokers' lives, ISRs and elections, as a row of versions.
 *
 * It decides as PROTOCOLS 4.1 says (R7, R9, R10): an ELR while the ISR is below min.insync, leaders from the ISR or the ELR alone; in quorum
 * mode a seal and the highest end of a majority. Every change is a new version; brokers see them later, in order, some of them
 * at once. */
#ifndef SUPPORT_REPLICA_COURT_H
#define SUPPORT_REPLICA_COURT_H

#include "replication/partition/replica.h"

#define COURT_BROKERS_MAX    5
#define COURT_PARTITIONS_MAX 3
#define COURT_VERSIONS_MAX   4096

struct court_broker {
    uint64_t epoch;      /* of its registration; 0: never */
    uint32_t registered; /* the version that has it */
    bool is_fenced;
};

struct court_partition {
    int32_t leader; /* number of the broker, -1: none */
    int32_t leader_epoch;
    uint32_t partition_epoch;
    uint16_t isr, elr;
    uint64_t generations[COURT_BROKERS_MAX];
};

struct court_version {
    struct court_broker brokers[COURT_BROKERS_MAX];
    struct court_partition partitions[COURT_PARTITIONS_MAX];
};

struct court_report {
    bool is_there;
    int32_t last_epoch;
    uint64_t end;
};

struct court {
    int broker_count, partition_count, min_insync;
    bool is_quorum;
    struct court_version *versions; /* owned */
    uint32_t last;                  /* the newest one */
    uint64_t counter;               /* of broker epochs and generations */
    struct court_report reports[COURT_PARTITIONS_MAX][COURT_BROKERS_MAX]; /* of the seal under way */
    uint64_t elr_elections, refusals, seals;
};

int court_init(struct court *court);
void court_deinit(struct court *court);
/* All brokers are registered and every partition is led by one of them. */
void court_begin(struct court *court, int broker_count, int partition_count, int min_insync, bool is_quorum);

const struct court_version *court_now(const struct court *court);

void court_fence(struct court *court, int broker);
/* A new life. Who has lost something is in no ELR any more (R10); who has lost its disk is another replica besides. */
enum court_loss { COURT_LOST_NOTHING, COURT_LOST_SOME, COURT_LOST_ALL };
void court_register(struct court *court, int broker, enum court_loss loss);
void court_unfence(struct court *court, int broker);
/* The replica is taken away and given back, in one change. */
void court_replace(struct court *court, int partition, int broker);
/* True: done, and the new partition epoch. */
bool court_alter(struct court *court, int partition, int leader, const struct replica_alter *alter, uint32_t *ret_partition_epoch);
/* Quorum: how far a replica goes that has the sealed epoch. */
void court_report(struct court *court, int partition, int broker, int32_t leader_epoch, const struct court_report *report);

#endif
