/* How many committed offsets per second one core decides and applies: one leader and two followers of a group partition in one process, no log and
 * no network. Counts the time of the processor, so that other programs do not matter much. Arguments: groups, partitions each, cells per commit, seconds. */
#include "replication/groups/lead.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static uint32_t partition_count;

static bool find(void *arg, const struct uuid *id, struct group_topic *ret_topic)
{
    (void)arg;
    *ret_topic = (struct group_topic){*id, slice_of("t", 1), partition_count, NULL};
    return true;
}

static bool find_by_name(void *arg, struct slice name, struct group_topic *ret_topic)
{
    static const struct uuid id = {{1}};

    (void)name;
    return find(arg, &id, ret_topic);
}

static bool next(void *arg, size_t *cursor, struct group_topic *ret_topic)
{
    return (*cursor)++ == 0 && find_by_name(arg, slice_of("t", 1), ret_topic);
}

static uint16_t zone_number(void *arg, struct slice zone)
{
    (void)arg;
    (void)zone;
    return 0;
}

static const struct group_catalog catalog = {find, find_by_name, next, zone_number, NULL, NULL};

static void must(int err)
{
    if (err == 0) return;
    fprintf(stderr, "%s\n", mesh_strerror(err));
    exit(1);
}

static size_t name_of(uint32_t group, char to[32])
{
    return (size_t)snprintf(to, 32, "group-%u", group);
}

static void join(struct group_lead *lead, uint32_t group)
{
    struct group_member_info info = {.id = slice_of("m", 1), .names = slice_of("\1t", 2), .name_count = 1, .session_timeout_ms = 1800000, .processing_limit_ms = 1000};
    struct group_claim *claims = calloc(partition_count, sizeof(*claims));
    struct group_reply reply;
    uint64_t deadline;
    char name[32];
    struct group_caller caller = {.group = slice_of(name, name_of(group, name)), .member = info.id, .epoch_plus_one = 2, .sequence = 1};

    must(group_lead_join(lead, 1, 1, &caller, &info, &reply));
    caller.sequence++;
    must(group_lead_tick(lead, 1, 1, NULL, NULL, &deadline));
    for (uint32_t i = 0; i < partition_count; i++)
        claims[i] = (struct group_claim){.topic = {{1}}, .partition = i};
    must(group_lead_claim(lead, 1, &caller, 1, claims, partition_count, &reply));
    free(claims);
}

/* What a replica does with what the leader wrote; returns the bytes. */
static size_t follow(struct group_lead *lead, struct groups **followers)
{
    uint64_t lsn = group_lead_first_lsn(lead);
    struct slice record;
    size_t cursor = 0;

    for (; group_lead_next_record(lead, &cursor, &record); lsn++)
        for (int i = 0; i < 2; i++)
            must(groups_apply(followers[i], 1, lsn, record));
    group_lead_appended(lead, lsn);
    return cursor;
}

int main(int argc, char **argv)
{
    uint32_t group_count = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1000, batch = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 10;
    uint64_t seconds = argc > 4 ? strtoul(argv[4], NULL, 10) : 3, cells = 0, commits = 0, bytes = 0, deadline;
    struct group_commit_cell *requests = calloc(batch, sizeof(*requests));
    struct groups *leader, *followers[2];
    struct group_limits limits;
    struct group_lead *lead;
    clock_t began;
    double took;

    partition_count = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 100;
    group_limits_init(&limits);
    must(groups_new(0, &leader));
    for (int i = 0; i < 2; i++)
        must(groups_new(0, &followers[i]));
    must(group_lead_new(leader, &catalog, &limits, 1, 0, false, 1, &lead));
    for (uint32_t i = 0; i < group_count; i++)
        join(lead, i);
    follow(lead, followers);
    began = clock();
    while ((uint64_t)(clock() - began) < seconds * CLOCKS_PER_SEC) {
        for (int turn = 0; turn < 100; turn++, commits++) {
            char name[32];
            struct group_commit commit = {{slice_of(name, name_of((uint32_t)(commits % group_count), name)), slice_of("m", 1), {NULL, 0}, 2, commits + 3}, 1, GROUP_RESET_EPOCH_ANY, requests, batch};
            struct group_reply reply;

            for (uint32_t i = 0; i < batch; i++)
                requests[i] = (struct group_commit_cell){.topic = {{1}}, .partition = (uint32_t)((commits / group_count * batch + i) % partition_count), .offset = 1000000 + commits, .record_epoch = 3};
            must(group_lead_commit(lead, 1, 1700000000000, &commit, &reply));
            cells += batch;
        }
        if (group_lead_is_due(lead)) must(group_lead_tick(lead, 1, 1, NULL, NULL, &deadline));
        bytes += follow(lead, followers);
    }
    took = (double)(clock() - began) / CLOCKS_PER_SEC;
    printf("%.0f cells per second of one core, decided and applied three times (%.0f commits/s of %u cells, %.1f bytes of log per cell); %.1f bytes of memory per offset; hashes %s\n",
           (double)cells / took, (double)commits / took, batch, (double)bytes / (double)cells,
           (double)groups_offset_bytes(leader) / ((double)group_count * partition_count), groups_hash(leader) == groups_hash(followers[1]) ? "agree" : "DIFFER");
    group_lead_free(lead);
    groups_free(leader);
    groups_free(followers[0]);
    groups_free(followers[1]);
    free(requests);
    return 0;
}
