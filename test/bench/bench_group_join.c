/* What one more member does to a large group: who is told anything, which partitions change hands, and how long the others pause. One thread polls all members in
 * turns, while somebody else produces. Arguments: addresses, topic, partitions, members, seconds before and after. Prints a line of JSON. */
#include <mesh/mesh.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SETTLE_MS  60000
#define RECORDS    200
#define NOBODY     (-1)

struct member {
    struct mesh_client *client;
    struct mesh_consumer *consumer;
    int partitions;  /* that it was told of, and has */
    int revoked;     /* since the count was last set back */
};

struct partition {
    int owner, owner_before; /* NOBODY: none */
    double last_ms, gap_ms;  /* of two records one after the other */
};

static struct member *members;
static struct partition *partitions;
static int partition_count, member_count, told; /* told: callbacks */

static double now_ms(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

static void must(int err, const struct member *member)
{
    if (err == 0) return;
    fprintf(stderr, "%s\n", member->client != NULL ? mesh_client_error(member->client) : mesh_strerror(err));
    exit(1);
}

static void rebalanced(void *user, struct mesh_consumer *consumer, struct mesh_rebalance *rebalance)
{
    struct member *member = user;
    bool is_coming = mesh_rebalance_kind(rebalance) == MESH_REBALANCE_ASSIGNED;

    (void)consumer;
    told++;
    for (size_t i = 0; i < mesh_rebalance_count(rebalance); i++) {
        const char *topic;
        int32_t partition;
        int64_t offset;

        must(mesh_rebalance_get(rebalance, i, &topic, &partition, &offset), member);
        if (is_coming) partitions[partition].owner = (int)(member - members);
        member->partitions += is_coming ? 1 : -1;
        member->revoked += !is_coming;
    }
}

static void join(struct member *member, const char *addresses, const char *topic)
{
    struct mesh_group_options *options = NULL;

    must(mesh_client_new(addresses, &member->client), member);
    must(mesh_consumer_new(member->client, &member->consumer), member);
    must(mesh_group_options_new(&options), member);
    must(mesh_group_options_set(options, "group", "large"), member);
    must(mesh_group_options_set(options, "liveness", "poll"), member);
    must(mesh_group_options_set(options, "start", "latest"), member);
    mesh_consumer_on_rebalance(member->consumer, rebalanced, member);
    must(mesh_consumer_subscribe(member->consumer, options, &topic, 1), member);
    mesh_group_options_free(options);
    member_count++;
}

static void poll_all(void)
{
    struct mesh_consumed records[RECORDS];

    for (int m = 0; m < member_count; m++) {
        size_t count;

        must(mesh_consumer_poll(members[m].consumer, records, RECORDS, m == 0, &count), &members[m]);
        for (size_t i = 0; i < count; i++) {
            struct partition *partition = &partitions[records[i].partition];
            double now = now_ms();

            if (partition->last_ms != 0 && now - partition->last_ms > partition->gap_ms) partition->gap_ms = now - partition->last_ms;
            partition->last_ms = now;
        }
    }
}

/* Each has its share, and has had it for a second. */
static bool is_even(void)
{
    int least = partition_count / member_count, all = 0;

    for (int m = 0; m < member_count; m++) {
        if (members[m].partitions < least || members[m].partitions > least + 1) return false;
        all += members[m].partitions;
    }
    return all == partition_count;
}

static double settle(void)
{
    double began = now_ms(), even_since = 0;

    while (even_since == 0 || now_ms() - even_since < 1000) {
        poll_all();
        if (!is_even()) even_since = 0;
        else if (even_since == 0) even_since = now_ms();
        if (now_ms() - began > SETTLE_MS) {
            fprintf(stderr, "the group does not settle\n");
            exit(1);
        }
    }
    return even_since - began;
}

/* The longest pauses of those that stay, and of those that move, over so many seconds. */
static void watch(int seconds, double *ret_stay_ms, double *ret_move_ms)
{
    double end = now_ms() + seconds * 1e3;

    while (now_ms() < end)
        poll_all();
    *ret_stay_ms = *ret_move_ms = 0;
    for (int p = 0; p < partition_count; p++) {
        double *longest = partitions[p].owner == partitions[p].owner_before ? ret_stay_ms : ret_move_ms, open_ms = now_ms() - partitions[p].last_ms;
        double gap_ms = partitions[p].gap_ms > open_ms ? partitions[p].gap_ms : open_ms;

        if (gap_ms > *longest) *longest = gap_ms;
    }
}

static void begin(void)
{
    told = 0;
    for (int m = 0; m <= member_count; m++)
        members[m].revoked = 0;
    for (int p = 0; p < partition_count; p++) {
        partitions[p].owner_before = partitions[p].owner;
        partitions[p].gap_ms = 0;
    }
}

int main(int argc, char **argv)
{
    double before_ms, stay_ms, move_ms, none_ms, took_ms;
    int first, seconds, moved = 0, revoked = 0;

    if (argc != 6) return 2;
    partition_count = (int)strtol(argv[3], NULL, 10);
    first = (int)strtol(argv[4], NULL, 10);
    seconds = (int)strtol(argv[5], NULL, 10);
    members = calloc((size_t)first + 2, sizeof(*members));
    partitions = calloc((size_t)partition_count, sizeof(*partitions));
    if (members == NULL || partitions == NULL) return 1;
    for (int p = 0; p < partition_count; p++)
        partitions[p].owner = NOBODY;
    while (member_count < first)
        join(&members[member_count], argv[1], argv[2]);
    settle();
    begin();
    watch(seconds, &before_ms, &none_ms); /* nothing happens */
    begin();
    join(&members[first], argv[1], argv[2]);
    took_ms = settle();
    watch(seconds, &stay_ms, &move_ms);
    for (int p = 0; p < partition_count; p++)
        moved += partitions[p].owner != partitions[p].owner_before;
    for (int m = 0; m < first; m++)
        revoked += members[m].revoked;
    printf("{\"moved\": %d, \"revoked\": %d, \"callbacks\": %d, \"share\": %d, \"settled_ms\": %.0f, \"gap_before_ms\": %.0f, \"gap_stay_ms\": %.0f, \"gap_move_ms\": %.0f}\n", moved,
           revoked, told, members[first].partitions, took_ms, before_ms, stay_ms, move_ms);
    return 0;
}
