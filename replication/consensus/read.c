/* consensus/read.c - linearizable reads without a write (ReadIndex, Raft 6.4): the commit index when the read was asked for, once answers
 * to messages that were sent *after* it show that this is still the leader. Every message has its own number, so no answer to an
 * earlier one can pass for it, however often a read is asked again (etcd #397). */
#include "replication/consensus/internal.h"

static struct read *read_at(struct raft *raft, unsigned i)
{
    return &raft->reads[(raft->read_head + i) % READS_MAX];
}

#ifdef MESH_TEST_SWITCHES
static bool read_reuse(struct raft *raft, uint64_t context, uint64_t *ret_index)
{
    for (unsigned i = 0; i < 16 && RAFT_DEFECT(raft, READ_REUSED); i++) {
        if (raft->answered[i].index == 0 || raft->answered[i].context != context) continue;
        *ret_index = raft->answered[i].index;
        return true;
    }
    return false;
}

static void read_remember(struct raft *raft, const struct read *read)
{
    raft->answered[raft->answered_count++ % 16] = *read;
}
#else
static bool read_reuse(struct raft *raft, uint64_t context, uint64_t *ret_index)
{
    (void)raft, (void)context, (void)ret_index;
    return false;
}

static void read_remember(struct raft *raft, const struct read *read)
{
    (void)raft, (void)read;
}
#endif

int raft_read(struct raft *raft, uint64_t now_us, uint64_t context)
{
    struct read *read;

    if (now_us > raft->now_us) raft->now_us = now_us;
    if (raft->role != RAFT_LEADER) return MESH_ENOT_LEADER;
    if (!is_leader_ready(raft) || raft->read_count == READS_MAX) return MESH_EAGAIN;
    read = read_at(raft, raft->read_count);
    *read = (struct read){context, raft->committed, raft->sequence};
    if (read_reuse(raft, context, &read->index)) read->sequence = 0;
    /* one round of questions at a time: those who come meanwhile share the next */
    if (raft->read_count++ == raft->reads_ready) leader_wake_peers(raft, WANT_HEARTBEAT);
    reads_confirm(raft);
    return 0;
}

static uint64_t peer_acked_sequence(const struct raft *raft, const struct peer *peer)
{
    (void)raft;
    return peer->acked_sequence;
}

void reads_confirm(struct raft *raft)
{
    uint64_t confirmed;
    unsigned ready = raft->reads_ready;

    if (raft->role != RAFT_LEADER || ready == raft->read_count) return;
    confirmed = majority_value(raft, RAFT_NEVER, peer_acked_sequence);
    while (raft->reads_ready < raft->read_count && read_at(raft, raft->reads_ready)->sequence < confirmed)
        raft->reads_ready++;
    if (raft->reads_ready != ready && raft->reads_ready < raft->read_count) leader_wake_peers(raft, WANT_HEARTBEAT);
}

void reads_lose(struct raft *raft)
{
    for (; raft->reads_ready < raft->read_count; raft->reads_ready++)
        read_at(raft, raft->reads_ready)->index = 0;
}

bool next_read(struct raft *raft, struct raft_output *output)
{
    struct read *read = read_at(raft, 0);

    if (raft->reads_ready == 0) return false;
    output->type = RAFT_OUTPUT_READ;
    output->context = read->context;
    output->index = read->index;
    if (read->index != 0) read_remember(raft, read);
    raft->read_head = (raft->read_head + 1) % READS_MAX;
    raft->read_count--;
    raft->reads_ready--;
    return true;
}
