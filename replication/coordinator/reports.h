/* coordinator/reports.h - what replicas of partitions without a leader say of themselves: soft state of one coordinator.
 *
 * A broker that sees in its image a partition that it keeps a replica of, and nobody leads, reports how far its durable log goes, and
 * again to each new coordinator and from each new life. It reports from the image's entry *applied*: where the partition is sealed it has
 * refused earlier leader epochs before it reports, so the position is final for them. Pure memory, one thread. */
#ifndef COORDINATOR_REPORTS_H
#define COORDINATOR_REPORTS_H

#include "replication/coordinator/image.h"

#define REPORTS_PARTITIONS_MAX 200000 /* beyond it new ones are refused until others are settled */

struct replica_report {
    int32_t node_id;
    uint64_t broker_epoch; /* the life that reports */
    int32_t leader_epoch;  /* of the partition in the image that it reports from */
    int32_t last_epoch;    /* leader epoch of its last record; -1: there never was one, or it is not known */
    int64_t end;           /* its durable log end */
};

struct reports;

int reports_new(struct reports **ret_reports); /* MESH_ENOMEM */
void reports_free(struct reports *reports);    /* accepts NULL */
void reports_clear(struct reports *reports);
size_t reports_count(const struct reports *reports); /* partitions */

/* Takes a report in the place of that broker's last one of the partition. now_us: when the first one of a partition came. Errors: MESH_EFULL, MESH_ENOMEM. */
int reports_put(struct reports *reports, const struct uuid *topic_id, uint32_t partition, const struct replica_report *report, uint64_t now_us);

/* Those of one partition, and when the first one came; valid until the next change. 0: none. */
size_t reports_get(const struct reports *reports, const struct uuid *topic_id, uint32_t partition, const struct replica_report **ret_list,
                   uint64_t *ret_since_us);

/* Every partition with reports; stops when each() returns non-zero and returns that. each() may not change them. */
struct reports_place {
    struct uuid topic_id;
    uint32_t partition;
    uint64_t since_us;
    const struct replica_report *list;
    size_t count;
};
typedef int reports_fn(void *user, const struct reports_place *place);
int reports_each(const struct reports *reports, reports_fn *each, void *user);

/* Forgets what is settled: partitions that have a leader in the image, or that it does not have. */
void reports_prune(struct reports *reports, const struct image *image);

#endif
