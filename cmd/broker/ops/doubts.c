/* ops/doubts.c - see the header. */
#include "cmd/broker/ops/doubts.h"

static struct doubter *find(struct doubts *doubts, const struct doubt_source *source)
{
    for (uint32_t i = 0; i < doubts->count; i++) {
        struct doubter *doubter = &doubts->doubters[i];

        if (doubter->source.address == source->address && doubter->source.connection == source->connection) return doubter;
    }
    return NULL;
}

static uint32_t count_of_address(const struct doubts *doubts, uint64_t address)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < doubts->count; i++)
        count += doubts->doubters[i].source.address == address;
    return count;
}

/* Who does not wait, and had its turn longest ago; else the one that waits shortest of the address with the most places, if the newcomer's has fewer. */
static struct doubter *find_place(struct doubts *doubts, uint64_t address)
{
    struct doubter *place = NULL;
    uint32_t most = count_of_address(doubts, address) + 1;

    if (doubts->count < DOUBTERS_MAX) return &doubts->doubters[doubts->count++];
    for (uint32_t i = 0; i < doubts->count; i++) {
        struct doubter *doubter = &doubts->doubters[i];

        if (doubter->heard == 0 && (place == NULL || doubter->turn < place->turn)) place = doubter;
    }
    if (place != NULL) return place;
    for (uint32_t i = 0; i < doubts->count; i++) {
        struct doubter *doubter = &doubts->doubters[i];
        uint32_t count = count_of_address(doubts, doubter->source.address);

        if (count < most || (count == most && (place == NULL || doubter->heard < place->heard))) continue;
        most = count;
        place = doubter;
    }
    return place;
}

/* The number of the last turn of anybody at this address. */
static uint64_t turn_of_address(const struct doubts *doubts, uint64_t address)
{
    uint64_t turn = 0;

    for (uint32_t i = 0; i < doubts->count; i++) {
        const struct doubter *doubter = &doubts->doubters[i];

        if (doubter->source.address == address && doubter->turn_of_address > turn) turn = doubter->turn_of_address;
    }
    return turn;
}

bool doubts_hear(struct doubts *doubts, const struct doubt_source *source, const struct doubt *doubt)
{
    struct doubter *doubter = find(doubts, source);

    if (doubter == NULL) {
        uint64_t turn = turn_of_address(doubts, source->address); /* before the place of one of them is taken */
        doubter = find_place(doubts, source->address);
        if (doubter == NULL) return false;
        *doubter = (struct doubter){.source = *source, .turn_of_address = turn};
    }
    if (doubter->heard != 0) return false;
    doubter->heard = ++doubts->words;
    doubter->doubt = *doubt;
    return true;
}

static bool goes_before(const struct doubts *doubts, const struct doubter *a, const struct doubter *b)
{
    uint64_t of_a = turn_of_address(doubts, a->source.address), of_b = turn_of_address(doubts, b->source.address);

    if (of_a != of_b) return of_a < of_b;
    return a->turn != b->turn ? a->turn < b->turn : a->heard < b->heard;
}

bool doubts_next(struct doubts *doubts, uint64_t now_ms, struct doubt *ret_doubt)
{
    struct doubter *next = NULL;

    if (now_ms < doubts->next_ms) return false;
    for (uint32_t i = 0; i < doubts->count; i++) {
        struct doubter *doubter = &doubts->doubters[i];

        if (doubter->heard != 0 && (next == NULL || goes_before(doubts, doubter, next))) next = doubter;
    }
    if (next == NULL) return false;
    *ret_doubt = next->doubt;
    next->heard = 0;
    next->turn = next->turn_of_address = ++doubts->turns;
    doubts->next_ms = now_ms + DOUBTS_PAUSE_MS;
    return true;
}

uint64_t doubts_due_ms(const struct doubts *doubts)
{
    for (uint32_t i = 0; i < doubts->count; i++)
        if (doubts->doubters[i].heard != 0) return doubts->next_ms;
    return UINT64_MAX;
}
