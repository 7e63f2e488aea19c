/* support/replica_watch.h - the observer of a mesh of replicas: sees all logs, and says what may never happen (PROTOCOLS 5.1, S1-S9). */
#ifndef SUPPORT_REPLICA_WATCH_H
#define SUPPORT_REPLICA_WATCH_H

#include "support/replica_court.h"
#include "support/replica_log.h"

#define WATCH_OFFSETS_MAX 16384
#define WATCH_EPOCHS_MAX  4096

struct replica_watch {
    int partition_count;
    /* What has been committed, by offset, once and for all: whoever shows something else there lies. */
    struct watch_truth {
        uint64_t end;
        uint32_t crc[WATCH_OFFSETS_MAX];
        int32_t epoch[WATCH_OFFSETS_MAX];
        int32_t committed_in[WATCH_OFFSETS_MAX]; /* epoch of who showed it first; never falls */
        int8_t leader_of[WATCH_EPOCHS_MAX]; /* broker + 1 */
    } truth[COURT_PARTITIONS_MAX];
    char violation[256]; /* the first one; "": none */
};

void replica_watch_begin(struct replica_watch *watch, int partition_count);
void replica_watch_violate(struct replica_watch *watch, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* S2, S3: everything in [from, to) of this log is visible now. */
void replica_watch_visible(struct replica_watch *watch, int partition, int broker, int32_t leader_epoch,
                           const struct replica_log *log, uint64_t from, uint64_t to);
/* S1, S4, S7: an epoch begins: nobody else leads in it, and its leader has all that was committed in earlier ones. (It may learn of its
 * election when others lead already.) */
void replica_watch_leads(struct replica_watch *watch, int partition, int broker, int32_t epoch, const struct replica_log *log);
/* The state of one replica makes sense. */
void replica_watch_replica(struct replica_watch *watch, int partition, int broker, const struct replica *replica,
                           const struct replica_log *log);
/* A log is about to be cut. */
void replica_watch_cut(struct replica_watch *watch, int partition, int broker, const struct replica *replica);
/* S5: the present leader's high watermark has risen: everyone who may be elected holds it durably (or, async, in the kernel). NULL: a disk that is gone. */
void replica_watch_electable(struct replica_watch *watch, int partition, const struct court_partition *facts, const struct replica *leader,
                             const struct replica_log *const *logs, int broker_count);
/* L4: two logs are the same where both have something. */
void replica_watch_equal(struct replica_watch *watch, int partition, const struct replica_log *a, const struct replica_log *b);

#endif
