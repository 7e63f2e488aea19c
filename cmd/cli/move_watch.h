/* cli/move_watch.h - follows replicas that move until they have moved: how much is copied of how much, how fast, and when it will end.
 *
 * Watching changes nothing: the moves go on without it. */
#ifndef CLI_MOVE_WATCH_H
#define CLI_MOVE_WATCH_H

#include "cmd/cli/session.h"

struct move_progress {
    size_t moves, over, queued;
    uint64_t total_bytes, copied_bytes;
    uint64_t begin_bytes; /* copied when the watching began: what was copied before says nothing of the speed */
};

/* "2 of 3 partitions moved, 1 waits for its turn  45 % of 1.2 GB  52.1 MB/s  ETA 12 s". Pure. */
void move_progress_format(char *to, size_t size, const struct move_progress *progress, double seconds);

/* How much a partition's move has to copy, and has; false: it does not move. Pure. */
bool move_copied(const struct mesh_partition_info *partition, uint64_t *ret_total, uint64_t *ret_copied);

/* Waits until the moves have ended, one way or another, or a signal came (interrupt_signal()). A line on standard error, when that is a terminal, shows
 * how far they are. Errors: as mesh_topic_describe(), whose sentence the client then has; MESH_ENOMEM. */
int move_watch(struct session *session, const struct mesh_moves *moves, struct move_progress *ret_progress);

#endif
