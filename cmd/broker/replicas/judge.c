/* replicas/judge.c - see the header. */
#include "cmd/broker/replicas/judge.h"

#include <string.h>

static bool agree(const struct judge_voice *a, const struct judge_voice *b)
{
    return a->is_known && b->is_known && memcmp(a->digest, b->digest, HEAL_DIGEST_SIZE) == 0;
}

/* Twice the number of those that have the same records, and one more where the leader is among them. */
static size_t weight(const struct judge_voice *voices, size_t count, const struct judge_voice *voice)
{
    size_t weight = 0;

    for (size_t i = 0; i < count; i++)
        if (agree(&voices[i], voice)) weight += 2 + voices[i].is_leader;
    return weight;
}

enum judge_verdict judge_range(const struct judge_voice *voices, size_t count)
{
    const struct judge_voice *self = NULL, *leader = NULL, *best = NULL;
    bool all_agree = true;

    for (size_t i = 0; i < count; i++) {
        if (voices[i].is_self) self = &voices[i];
        if (voices[i].is_leader) leader = &voices[i];
    }
    if (self == NULL || leader == NULL || !self->is_known || !leader->is_known) return JUDGE_UNKNOWN;
    for (size_t i = 0; i < count; i++) {
        if (!voices[i].is_known) continue;
        all_agree = all_agree && agree(&voices[i], self);
        if (best == NULL || weight(voices, count, &voices[i]) > weight(voices, count, best)) best = &voices[i];
    }
    if (all_agree) return JUDGE_EQUAL;
    if (!agree(best, self)) return JUDGE_SELF;
    return agree(best, leader) ? JUDGE_OTHER : JUDGE_LEADER;
}
