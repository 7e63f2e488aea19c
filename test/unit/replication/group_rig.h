/* Three replicas of one group partition in memory, one of them leading, and a small catalog of topics. */
#ifndef GROUP_RIG_H
#define GROUP_RIG_H

#include "replication/groups/lead.h"
#include "replication/groups/switches.h"

#define RIG_REPLICAS   3
#define RIG_TOPICS_MAX 64
#define RIG_PARTITIONS 4096

struct rig_record {
    uint32_t epoch;
    uint64_t lsn;
    struct slice bytes; /* owned */
};

struct rig_topic {
    char name[32];
    struct uuid id;
    uint32_t partition_count; /* 0: there is none (any more) */
    uint16_t zones[RIG_PARTITIONS];
};

struct group_rig {
    struct rig_record *log; /* owned; log[0] is at the start */
    size_t log_count, log_room;
    uint64_t log_start, log_end;
    struct groups *replicas[RIG_REPLICAS];
    uint64_t applied[RIG_REPLICAS]; /* the next place */
    int leader;
    uint32_t epoch;
    struct group_lead *lead;
    struct group_limits limits;
    struct group_catalog catalog;
    struct rig_topic topics[RIG_TOPICS_MAX]; /* in the order of names */
    size_t topic_count;
    uint64_t ends; /* what log_end() answers */
    uint64_t now_ms, wall_ms, deadline_ms;
    uint32_t processing_limit_ms; /* of who joins */
    enum group_defect defect; /* of every replica that is made from now on; rig_init_with() */
    void (*told)(void *arg, const struct group_event *event);
    void *told_arg;
    uint64_t sequence;  /* of the last request of any member */
    uint32_t events[GROUP_EVENT_FORGOTTEN + 1]; /* by kind */
    struct group_event last_event;
    const char *violation; /* a replica that could not follow */
};

void rig_init(struct group_rig *rig); /* broker 0 leads; no topics; everything is replicated at once */
void rig_init_with(struct group_rig *rig, enum group_defect defect);
void rig_deinit(struct group_rig *rig);
void rig_topic(struct group_rig *rig, const char *name, uint32_t partition_count); /* new, or another count */
struct uuid rig_topic_id(const struct group_rig *rig, const char *name);

/* The outbox goes to the leader's log; a follower applies what lies below `upto`. */
void rig_append(struct group_rig *rig);
void rig_follow(struct group_rig *rig, int replica, uint64_t upto);
void rig_replicate(struct group_rig *rig); /* append, everybody follows */
uint64_t rig_high_watermark(const struct group_rig *rig);

void rig_tick(struct group_rig *rig, uint64_t by_ms); /* time passes; one tick; everything is replicated */
void rig_settle(struct group_rig *rig);               /* ticks as long as one is due at once */

/* Another replica leads; what it has not got is lost, and who has more starts again from the log. */
void rig_failover(struct group_rig *rig, int leader, bool is_unclean);

/* A replica with an empty disk: the log from its start. */
void rig_restart(struct group_rig *rig, int replica);

/* The log begins where a complete checkpoint says it may. True when that moved it. */
bool rig_trim(struct group_rig *rig);

/* ---- short forms for stories ---- */

/* Who knows the leader, and has not asked for this before. */
struct group_caller rig_caller(struct group_rig *rig, const char *group, const char *id);

struct rig_member {
    const char *id, *instance, *zone, *names, *pattern; /* names: separated by spaces */
    enum group_strategy strategy;
};
int rig_join_as(struct group_rig *rig, const char *group, const struct rig_member *member, struct group_reply *ret_reply);
int rig_join(struct group_rig *rig, const char *group, const char *id, const char *names); /* then ticks and replicates */
int rig_beat(struct group_rig *rig, const char *group, const char *id, struct group_reply *ret_reply);
/* Does all of a member's work: releases, claims. Returns how many partitions it holds then. */
uint32_t rig_work(struct group_rig *rig, const char *group, const char *id);
/* Both for all members until nothing changes. */
void rig_work_all(struct group_rig *rig, const char *group);
int rig_claim(struct group_rig *rig, const char *group, const char *id, const char *topic, uint32_t partition, uint64_t *ret_offset);
int rig_release(struct group_rig *rig, const char *group, const char *id, const char *topic, uint32_t partition);
int rig_commit(struct group_rig *rig, const char *group, const char *id, uint32_t generation, const char *topic, uint32_t partition, uint64_t offset);
int rig_reset(struct group_rig *rig, const char *group, const char *topic, uint32_t partition, uint64_t offset, bool is_forced, bool is_dry);
uint32_t rig_generation(const struct group_rig *rig, const char *group);
/* UINT64_MAX: nothing was committed. Of the given replica. */
uint64_t rig_offset(const struct group_rig *rig, int replica, const char *group, const char *topic, uint32_t partition);
/* Ids of target and owner ("-": nobody), as "target/owner". */
const char *rig_claim_text(const struct group_rig *rig, const char *group, const char *topic, uint32_t partition);
bool rig_replicas_agree(struct group_rig *rig);

#endif
