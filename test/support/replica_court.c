#include "support/replica_court.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

int court_init(struct court *court)
{
    memset(court, 0, sizeof(*court));
    court->versions = calloc(COURT_VERSIONS_MAX, sizeof(*court->versions));
    return court->versions == NULL ? -1 : 0;
}

void court_deinit(struct court *court)
{
    free(court->versions);
}

const struct court_version *court_now(const struct court *court)
{
    return &court->versions[court->last];
}

static struct court_version *change(struct court *court)
{
    MESH_ASSERT(court->last + 1 < COURT_VERSIONS_MAX);
    court->versions[court->last + 1] = court->versions[court->last];
    return &court->versions[++court->last];
}

void court_begin(struct court *court, int broker_count, int partition_count, int min_insync, bool is_quorum)
{
    struct court_version *now = &court->versions[0];

    court->broker_count = broker_count;
    court->partition_count = partition_count;
    court->min_insync = min_insync;
    court->is_quorum = is_quorum;
    court->last = 0;
    court->counter = 100;
    court->elr_elections = court->refusals = court->seals = 0;
    memset(court->reports, 0, sizeof(court->reports));
    memset(now, 0, sizeof(*now));
    for (int b = 0; b < broker_count; b++)
        now->brokers[b] = (struct court_broker){.epoch = ++court->counter};
    for (int p = 0; p < partition_count; p++) {
        struct court_partition *partition = &now->partitions[p];

        *partition = (struct court_partition){
            .leader = p % broker_count, .leader_epoch = 0, .partition_epoch = 1, .isr = (uint16_t)((1u << broker_count) - 1)};
        for (int b = 0; b < broker_count; b++)
            partition->generations[b] = ++court->counter;
    }
}

static int size_of(uint16_t mask)
{
    return __builtin_popcount(mask);
}

static uint16_t unfenced(const struct court *court, const struct court_version *now)
{
    uint16_t mask = 0;

    for (int b = 0; b < court->broker_count; b++)
        if (!now->brokers[b].is_fenced) mask |= (uint16_t)(1u << b);
    return mask;
}

/* R9. Without anybody to elect the partition waits. */
static void elect(struct court *court, struct court_version *now, struct court_partition *partition)
{
    uint16_t live = unfenced(court, now), choice = partition->isr & live;

    if (choice == 0 && (partition->elr & live) != 0) {
        choice = partition->elr & live;
        court->elr_elections++;
        partition->isr = (uint16_t)(choice & -choice);
        partition->elr &= (uint16_t)~partition->isr;
    }
    partition->leader = choice == 0 ? -1 : __builtin_ctz(choice);
    partition->leader_epoch++;
    partition->partition_epoch++;
}

static void seal(struct court *court, struct court_partition *partition, int p)
{
    partition->leader = -1;
    partition->leader_epoch++;
    partition->partition_epoch++;
    memset(court->reports[p], 0, sizeof(court->reports[p]));
    court->seals++;
}

static void fence(struct court *court, struct court_version *now, int broker)
{
    uint16_t bit = (uint16_t)(1u << broker);

    if (now->brokers[broker].is_fenced) return;
    now->brokers[broker].is_fenced = true;
    for (int p = 0; p < court->partition_count; p++) {
        struct court_partition *partition = &now->partitions[p];

        if (court->is_quorum) {
            if (partition->leader == broker) seal(court, partition, p);
            continue;
        }
        if ((partition->isr & bit) != 0) {
            partition->isr &= (uint16_t)~bit;
            if (size_of(partition->isr) < court->min_insync) partition->elr |= bit;
            partition->partition_epoch++;
        }
        if (partition->leader == broker) elect(court, now, partition);
    }
}

void court_fence(struct court *court, int broker)
{
    if (!court_now(court)->brokers[broker].is_fenced) fence(court, change(court), broker);
}

void court_register(struct court *court, int broker, enum court_loss loss)
{
    struct court_version *now = change(court);
    uint16_t bit = (uint16_t)(1u << broker);

    fence(court, now, broker);
    now->brokers[broker].epoch = ++court->counter;
    now->brokers[broker].registered = court->last;
    for (int p = 0; loss != COURT_LOST_NOTHING && p < court->partition_count; p++) {
        if ((now->partitions[p].elr & bit) != 0) now->partitions[p].partition_epoch++;
        now->partitions[p].elr &= (uint16_t)~bit;
        if (loss != COURT_LOST_ALL) continue;
        now->partitions[p].generations[broker] = ++court->counter;
        now->partitions[p].partition_epoch++;
    }
}

void court_unfence(struct court *court, int broker)
{
    struct court_version *now;

    if (!court_now(court)->brokers[broker].is_fenced) return;
    now = change(court);
    now->brokers[broker].is_fenced = false;
    for (int p = 0; p < court->partition_count && !court->is_quorum; p++) {
        struct court_partition *partition = &now->partitions[p];

        if (partition->leader < 0 && ((partition->isr | partition->elr) & unfenced(court, now)) != 0) elect(court, now, partition);
    }
}

void court_replace(struct court *court, int p, int broker)
{
    const struct court_partition *was = &court_now(court)->partitions[p];
    uint16_t bit = (uint16_t)(1u << broker), rest = was->isr & (uint16_t)~bit;
    struct court_partition *partition;

    if (court->is_quorum || was->leader == broker || size_of(rest) < court->min_insync) return; /* R18 */
    partition = &change(court)->partitions[p];
    partition->isr = rest;
    partition->elr &= (uint16_t)~bit;
    partition->generations[broker] = ++court->counter;
    partition->partition_epoch++;
}

/* R7: one life, one epoch, one version of the partition. */
static bool alter_fits(const struct court *court, int p, int leader, const struct replica_alter *alter, uint16_t *ret_isr)
{
    const struct court_version *now = court_now(court);
    const struct court_partition *partition = &now->partitions[p];

    *ret_isr = 0;
    if (partition->leader != leader || partition->leader_epoch != alter->leader_epoch ||
        partition->partition_epoch != alter->partition_epoch || now->brokers[leader].epoch != alter->leader_broker_epoch)
        return false;
    for (int i = 0; i < alter->isr_count; i++) {
        const struct replica_alter_member *member = &alter->isr[i];
        int b = member->node_id - 1;

        if (now->brokers[b].is_fenced) return false;
        if (member->broker_epoch != 0 && member->broker_epoch != now->brokers[b].epoch) return false;
        if (member->generation != 0 && member->generation != partition->generations[b]) return false;
        *ret_isr |= (uint16_t)(1u << b);
    }
    return true;
}

bool court_alter(struct court *court, int p, int leader, const struct replica_alter *alter, uint32_t *ret_partition_epoch)
{
    struct court_partition *partition;
    uint16_t isr, removed;

    if (!alter_fits(court, p, leader, alter, &isr)) {
        court->refusals++;
        return false;
    }
    partition = &change(court)->partitions[p];
    removed = partition->isr & (uint16_t)~isr;
    partition->isr = isr;
    partition->elr = size_of(isr) >= court->min_insync ? 0 : (uint16_t)((partition->elr | removed) & ~isr);
    *ret_partition_epoch = ++partition->partition_epoch;
    return true;
}

void court_report(struct court *court, int p, int broker, int32_t leader_epoch, const struct court_report *report)
{
    const struct court_partition *was = &court_now(court)->partitions[p];
    int best = -1, count = 0;

    if (!court->is_quorum || was->leader >= 0 || was->leader_epoch != leader_epoch) return; /* nobody accepts a loss here */
    court->reports[p][broker] = *report;
    for (int b = 0; b < court->broker_count; b++) {
        const struct court_report *theirs = &court->reports[p][b], *top = best < 0 ? NULL : &court->reports[p][best];

        if (!theirs->is_there) continue;
        count++;
        if (court_now(court)->brokers[b].is_fenced) continue;
        if (top == NULL || theirs->last_epoch > top->last_epoch || (theirs->last_epoch == top->last_epoch && theirs->end > top->end))
            best = b;
    }
    if (count <= court->broker_count / 2 || best < 0) return;
    /* who reported and was fenced since may go further than who is there: then the seal waits for it, or for another */
    for (int b = 0; b < court->broker_count; b++) {
        const struct court_report *theirs = &court->reports[p][b], *top = &court->reports[p][best];

        if (theirs->is_there && (theirs->last_epoch > top->last_epoch || (theirs->last_epoch == top->last_epoch && theirs->end > top->end)))
            return;
    }
    change(court)->partitions[p].leader = best;
    court->versions[court->last].partitions[p].isr = (uint16_t)(1u << best); /* the others show that they follow it, as with the coordinator */
    court->versions[court->last].partitions[p].partition_epoch++;
}
