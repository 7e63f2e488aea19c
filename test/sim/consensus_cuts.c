#include "sim/consensus_cuts.h"

/* The last entry that both have: a chain's mark stands for all before it. */
static uint64_t common_end(const struct shadow_log *a, const struct shadow_log *b)
{
    uint64_t index = a->last < b->last ? a->last : b->last;

    while (index >= a->first && index >= b->first && a->entries[index].mark != b->entries[index].mark)
        index--;
    return index;
}

void consensus_cuts_note(struct consensus_cuts *cuts, uint64_t term, uint64_t index, const struct shadow_log *log, const struct shadow_log *durable)
{
    cuts->all[cuts->count++ % CONSENSUS_CUTS_MAX] = (struct consensus_cut){term, index, common_end(log, durable)};
}

bool consensus_cuts_cover(const struct consensus_cuts *cuts, uint64_t term, uint64_t match)
{
    for (uint32_t i = 0; i < cuts->count && i < CONSENSUS_CUTS_MAX; i++) {
        const struct consensus_cut *cut = &cuts->all[i];
        if (cut->term > term && cut->index <= match && match <= cut->durable) return true;
    }
    return false;
}
