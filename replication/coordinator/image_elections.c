/* coordinator/image_elections.c - the last election of each partition.
 *
 * After a restart of a broker that is each of thousands: those of partitions that are neighbours lie behind each other in one object, which names their topic
 * once. An object that others may see is never changed: who elects makes another one. */
#include "replication/coordinator/image_internal.h"

#include "base/error.h"

#include <stdlib.h>

#define UNIT sizeof(uint64_t) /* places within a page are counted in these */

static const struct election_page *find_page(const struct image *image, const struct uuid *topic_id, uint32_t number)
{
    uint64_t hash = image_hash_partition(topic_id, number);
    const struct election_page *found;

    for (size_t i = 0; (found = image_index_find(&image->elections, hash, i)) != NULL; i++) {
        if (found->number == number && uuid_equal(&found->topic_id, topic_id)) return found;
    }
    return NULL;
}

const struct image_election *election_page_at(const struct election_page *page, uint32_t slot)
{
    return page == NULL || page->at[slot] == 0 ? NULL : (const struct image_election *)(const void *)(page->units + page->at[slot] - 1);
}

const struct image_election *image_election(const struct image *image, const struct uuid *topic_id, uint32_t partition)
{
    if (image->elections.count == 0) return NULL;
    return election_page_at(find_page(image, topic_id, partition / ELECTION_PAGE_PARTITIONS), partition % ELECTION_PAGE_PARTITIONS);
}

size_t image_election_count(const struct image *image)
{
    return image->election_count;
}

static size_t size_of(uint32_t candidate_count)
{
    return sizeof(struct image_election) + candidate_count * sizeof(struct image_candidate);
}

static void fill(struct image_election *election, const struct body_partition *state, uint64_t index)
{
    election->index = index;
    election->reason = state->election.reason;
    election->leader = state->leader;
    election->leader_epoch = state->leader_epoch;
    election->candidate_count = state->election.candidate_count;
    if (state->election.candidate_count != 0)
        memcpy(election->candidates, state->election.candidates, state->election.candidate_count * sizeof(election->candidates[0]));
}

/* What `old` (may be NULL) says, with the election of state->partition in its place. NULL: no memory. */
static struct election_page *page_with(const struct election_page *old, const struct uuid *topic_id, const struct body_partition *state, uint64_t index)
{
    uint32_t changed = state->partition % ELECTION_PAGE_PARTITIONS;
    size_t sizes[ELECTION_PAGE_PARTITIONS], bytes = 0, at = 0;
    struct election_page *page;

    for (uint32_t i = 0; i < ELECTION_PAGE_PARTITIONS; i++) {
        const struct image_election *election = election_page_at(old, i);
        sizes[i] = i == changed ? size_of(state->election.candidate_count) : election == NULL ? 0 : size_of(election->candidate_count);
        bytes += sizes[i];
    }
    page = malloc(sizeof(*page) + bytes);
    if (page == NULL) return NULL;
    atomic_init(&page->object.references, 1);
    page->topic_id = *topic_id;
    page->number = state->partition / ELECTION_PAGE_PARTITIONS;
    for (uint32_t i = 0; i < ELECTION_PAGE_PARTITIONS; i++) {
        page->at[i] = sizes[i] == 0 ? 0 : (uint16_t)(at + 1);
        if (i == changed) fill((struct image_election *)(void *)(page->units + at), state, index);
        else if (sizes[i] != 0) memcpy(page->units + at, election_page_at(old, i), sizes[i]);
        at += sizes[i] / UNIT;
    }
    return page;
}

int image_put_election(struct image *image, const struct uuid *topic_id, const struct body_partition *state, uint64_t index)
{
    uint32_t number = state->partition / ELECTION_PAGE_PARTITIONS;
    const struct election_page *old = find_page(image, topic_id, number);
    bool is_first = election_page_at(old, state->partition % ELECTION_PAGE_PARTITIONS) == NULL;
    struct election_page *page = page_with(old, topic_id, state, index);
    uint64_t hash = image_hash_partition(topic_id, number);
    int err;

    if (page == NULL) return MESH_ENOMEM;
    err = old != NULL ? image_index_replace(&image->elections, hash, old, page) : image_index_insert(&image->elections, hash, page);
    if (err == 0) image->election_count += is_first;
    object_unref(page); /* the index has its own reference */
    return err;
}

int image_forget_elections(struct image *image, const struct image_topic *topic)
{
    uint32_t pages = topic->partition_count / ELECTION_PAGE_PARTITIONS + 1;
    int err = 0;

    for (uint32_t number = 0; image->elections.count != 0 && number < pages && err == 0; number++) {
        const struct election_page *page = find_page(image, &topic->topic_id, number);
        size_t count = 0;

        for (uint32_t i = 0; i < ELECTION_PAGE_PARTITIONS; i++)
            count += election_page_at(page, i) != NULL;
        if (page != NULL) err = image_index_remove(&image->elections, image_hash_partition(&topic->topic_id, number), page);
        if (err == 0) image->election_count -= count;
    }
    return err;
}
