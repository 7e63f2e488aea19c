/* metadata/quorum.c - who votes: the coordinator looks now and then, and changes the configuration one step at a time. */
#include "replication/metadata/node_internal.h"

bool node_quorum_run(struct node *node)
{
    (void)node;
    return false;
}

uint64_t node_quorum_due_us(const struct node *node)
{
    (void)node;
    return NODE_NEVER;
}
