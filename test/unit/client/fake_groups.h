/* fake_groups.h - consumer groups for fake_broker: the real decisions of a leader (replication/groups) behind the real messages, in memory. */
#ifndef FAKE_GROUPS_H
#define FAKE_GROUPS_H

#include "fake_broker.h"
#include "group_rig.h"

struct fake_groups {
    struct group_rig rig;
    atomic_uint served[64];  /* by operation; any thread */
    atomic_int fail_over;    /* set: before the next request another replica leads; any thread */
    atomic_uint session_ms;  /* that the last member declared; any thread */
};

/* The broker's, from before it is started until it is freed. */
void fake_groups_init(struct fake_groups *groups, struct fake_broker *broker);
void fake_groups_deinit(struct fake_groups *groups); /* once the broker has stopped */

/* What is committed; once the broker has stopped. -1: nothing. */
int64_t fake_groups_committed(const struct fake_groups *groups, const char *group, uint32_t partition);

#endif
