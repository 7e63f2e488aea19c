/* metadata/describe_mesh.c - who votes, and what is wrong with the coordination of the mesh, in plain words. */
#include "base/error.h"
#include "cmd/broker/metadata/describe_internal.h"
#include "replication/coordinator/replica_facts.h"
#include "replication/coordinator/voters.h"

#include <stdio.h>
#include <string.h>

#define NAMES_SIZE 256 /* of a list of brokers, for people */

enum member_state { MEMBER_ALIVE, MEMBER_SUSPECT, MEMBER_DEAD, MEMBER_LEFT }; /* describe_facts.member_state */

static int state_of(const struct describe_facts *facts, const struct uuid *broker_id)
{
    return facts->member_state == NULL ? MEMBER_ALIVE : facts->member_state(facts->member_user, broker_id);
}

/* A suspect one may still say otherwise. */
static bool is_heard(const struct describe_facts *facts, const struct uuid *broker_id)
{
    int state = state_of(facts, broker_id);

    return state == MEMBER_ALIVE || state == MEMBER_SUSPECT;
}

static void add_name(char names[NAMES_SIZE], const char *name)
{
    size_t used = strlen(names);

    if (used + strlen(name) + 8 <= NAMES_SIZE)
        snprintf(names + used, NAMES_SIZE - used, "%s%s", used == 0 ? "" : ", ", name);
    else if (used < 3 || strcmp(names + used - 3, "...") != 0)
        snprintf(names + used, NAMES_SIZE - used, ", ...");
}

/* ---- voters ---- */

static int add_voter(struct arena *arena, const struct image *image, const struct describe_facts *facts, const struct raft_server *server,
                     bool is_learner, struct message_status_response *status)
{
    const struct image_broker *broker = image_find_broker_by_uuid(image, &server->broker);
    char *name = arena_strdup(arena, broker != NULL ? broker->name : "a broker that was removed");
    bool is_disk_there = broker == NULL || uuid_equal(&broker->dir_id, &server->dir); /* on another disk it is not this voter */

    if (name == NULL) return MESH_ENOMEM;
    status->voters[status->voter_count++] = (struct message_voter){server->broker, broker != NULL ? broker->node_id : 0, name,
                                                                   is_disk_there && is_heard(facts, &server->broker), is_learner};
    return 0;
}

int describe_voters(struct arena *arena, const struct image *image, const struct describe_facts *facts, struct message_status_response *status)
{
    const struct raft_config *config = image_raft_config(image);
    int err = 0;

    status->voters = arena_alloc(arena, (size_t)config->voter_count + config->learner_count + 1, sizeof(status->voters[0]));
    if (status->voters == NULL) return MESH_ENOMEM;
    for (uint8_t i = 0; i < config->voter_count && err == 0; i++)
        err = add_voter(arena, image, facts, &config->voters[i], false, status);
    for (uint8_t i = 0; i < config->learner_count && err == 0; i++)
        err = add_voter(arena, image, facts, &config->learners[i], true, status);
    return err;
}

/* ---- no coordinator ---- */

static char *no_coordinator_what(struct arena *arena, const struct describe_facts *facts, const struct message_status_response *status,
                                 unsigned *ret_heard, unsigned *ret_needed)
{
    char names[NAMES_SIZE] = "";
    unsigned voters = 0, heard = 0;

    for (size_t i = 0; i < status->voter_count; i++) {
        if (status->voters[i].is_learner) continue;
        voters++;
        heard += status->voters[i].is_heard;
        if (!status->voters[i].is_heard) add_name(names, status->voters[i].name);
    }
    *ret_heard = heard;
    *ret_needed = voters / 2 + 1;
    return arena_printf(arena, "no coordinator for %llu s: %u of %u voters %s heard, %u %s needed%s%s",
                        (unsigned long long)(facts->no_coordinator_ms / 1000), heard, voters, heard == 1 ? "is" : "are", *ret_needed,
                        *ret_needed == 1 ? "is" : "are", names[0] != '\0' ? "; not heard: " : "", names);
}

static int no_coordinator(struct arena *arena, const struct describe_facts *facts, struct message_status_response *status)
{
    unsigned heard, needed;
    char *what = no_coordinator_what(arena, facts, status, &heard, &needed);

    return describe_add_problem(arena, status, what,
                                "topics cannot be made, changed or deleted, and no leader moves; partitions whose leaders live can be written and read as "
                                "before",
                                heard < needed ? "start the voters that are not heard; each comes back with its data directory, on any machine. If they are gone for good: mesh "
                                                 "recover --accept-loss-of BROKER[,BROKER...] shows what would be given up, and asks"
                                               : "wait a few seconds: one is being elected; if it stays so, look in 'mesh members' and the brokers' logs for "
                                                 "links that are down");
}

/* ---- a recovery that is not finished ---- */

static int recovering(struct arena *arena, const struct describe_facts *facts, struct message_status_response *status)
{
    if (!facts->is_recovering) return 0;
    return describe_add_problem(arena, status, arena_strdup(arena, "a recovery of the mesh was begun and is not finished"),
                                "until all survivors have accepted it, this broker takes part in no decision",
                                "start the survivors: they finish it by themselves. If another one is gone for good, too: mesh recover --accept-loss-of with "
                                "all the lost");
}

/* ---- what this many voters can promise ---- */

static int voters_promise(struct arena *arena, const struct image *image, const struct describe_facts *facts, struct message_status_response *status)
{
    struct voter_facts heard[RAFT_SERVERS_MAX];
    struct voters_problem problems[VOTERS_PROBLEMS_MAX];
    struct voters_input input = {.config = image_raft_config(image), .facts = heard};
    size_t count;
    int err = 0;

    for (size_t i = 0; i < status->voter_count && status->coordinator >= 0 && facts->member_state != NULL; i++) {
        if (status->voters[i].is_learner) continue;
        heard[input.fact_count++] = (struct voter_facts){.broker_id = status->voters[i].broker_id,
                                                         .alive_us = status->voters[i].is_heard,
                                                         .silent_us = !status->voters[i].is_heard};
    }
    count = voters_problems(image, &input, problems);
    for (size_t i = 0; i < count && err == 0; i++)
        err = describe_add_problem(arena, status, arena_strdup(arena, problems[i].what), problems[i].meaning, problems[i].remedy);
    return err;
}

/* ---- replicas ---- */

static int replicas_are_missing(struct arena *arena, const struct replica_facts *facts, struct message_status_response *status)
{
    struct replica_problem problems[REPLICA_PROBLEMS_MAX];
    size_t count = replica_problems(facts, problems);
    int err = 0;

    for (size_t i = 0; i < count && err == 0; i++)
        err = describe_add_problem(arena, status, arena_strdup(arena, problems[i].what), problems[i].meaning, problems[i].remedy);
    return err;
}

/* ---- sessions ---- */

/* Fenced, though they live; the dead are told apart. */
static int fenced_brokers(struct arena *arena, const struct image *image, const struct describe_facts *facts, struct message_status_response *status)
{
    char names[NAMES_SIZE] = "";
    unsigned count = 0;

    for (size_t i = 0; i < image_broker_count(image); i++) {
        const struct image_broker *broker = image_broker_at(image, i);

        if (!broker->is_fenced || !is_heard(facts, &broker->broker_id)) continue;
        count++;
        add_name(names, broker->name);
    }
    if (count == 0) return 0;
    return describe_add_problem(arena, status,
                                arena_printf(arena, "%u living broker%s no session with the coordinator: %s", count, count == 1 ? " has" : "s have", names),
                                "fenced brokers lead no partition and get no new ones; those that only they hold can be neither written nor read",
                                "it ends by itself once the coordinator hears them: look at their logs, and at the network between them and the coordinator");
}

/* Without others to take over nobody is given up: then the broker itself tells what failed. */
static int bad_disks(struct arena *arena, const struct image *image, struct message_status_response *status)
{
    char names[NAMES_SIZE] = "";
    unsigned count = 0;

    for (size_t i = 0; i < image_broker_count(image); i++) {
        const struct image_broker *broker = image_broker_at(image, i);

        if (!broker->has_bad_disk) continue;
        count++;
        add_name(names, broker->name);
    }
    if (count == 0) return 0;
    return describe_add_problem(arena, status, arena_printf(arena, "the disk of %u broker%s has failed: %s", count, count == 1 ? "" : "s", names),
                                "a write or sync failed there: what others can take over they have taken over, the mesh tolerates fewer failures",
                                "look for disk errors in that machine's system log, replace the disk if needed, then restart the broker: it fetches what it lacks "
                                "from the others");
}

/* ---- directories that were set back or copied ---- */

static int set_back_self(struct arena *arena, const struct describe_facts *facts, struct message_status_response *status)
{
    if (facts->is_set_back)
        return describe_add_problem(arena, status,
                                    arena_strdup(arena, "this broker's data directory is a copy or an older state of one that other brokers have met"),
                                    "it has forgotten what it told them, so it votes no more; everything else goes on",
                                    "if a copy of the directory is in use elsewhere, stop one of the two; then restart this broker: it keeps its records "
                                    "and gets a new vote");
    if (!facts->is_shut_out) return 0;
    return describe_add_problem(arena, status, arena_strdup(arena, "another process runs on a copy of this broker's data directory, and was started later"),
                                "other brokers listen to that one, so this one takes no part in what the mesh decides",
                                "stop one of the two: this one goes on when the other one is gone; a new broker begins with an empty directory");
}

static int set_back_others(struct arena *arena, const struct image *image, const struct describe_facts *facts, struct message_status_response *status)
{
    const struct raft_config *config = image_raft_config(image);
    char names[NAMES_SIZE] = "";
    unsigned count = 0;

    for (uint8_t i = 0; i < config->voter_count && facts->refuses != NULL; i++) {
        const struct image_broker *broker = image_find_broker_by_uuid(image, &config->voters[i].broker);

        if (!facts->refuses(facts->refuses_user, &config->voters[i])) continue;
        count++;
        add_name(names, broker != NULL ? broker->name : "a broker that was removed");
    }
    if (count == 0) return 0;
    return describe_add_problem(arena, status,
                                arena_printf(arena, "%u voter%s a data directory that was copied or set back to an older state: %s", count,
                                             count == 1 ? " speaks from" : "s speak from", names),
                                "what it votes is not counted here, as it has forgotten what it had told this broker; the mesh tolerates fewer failures",
                                "if the directory is in use twice, stop one of the two; then restart the broker that is left: it gets a new vote");
}

/* ---- the metadata's disk, here ---- */

static int metadata_disk(struct arena *arena, const struct describe_facts *facts, struct message_status_response *status)
{
    bool has_text = facts->metadata_failure != NULL && facts->metadata_failure[0] != '\0';

    if (facts->metadata_error == 0) return 0;
    if (facts->metadata_error == MESH_EFULL)
        return describe_add_problem(arena, status, arena_strdup(arena, "the metadata log's disk is full"),
                                    "this broker takes no changes of topics and does not vote until there is space; nothing that was decided is lost",
                                    "free space on the disk of the data directory; it goes on by itself");
    return describe_add_problem(arena, status,
                                arena_printf(arena, "the metadata log has failed%s%s", has_text ? ": " : "", has_text ? facts->metadata_failure : ""),
                                "this broker takes no changes of topics, does not vote and loses its session; what others lead goes on",
                                "look for disk errors in the system's log, replace the disk if needed, then restart the broker");
}

int describe_mesh_problems(struct arena *arena, const struct image *image, const struct describe_facts *facts,
                           const struct replica_facts *replicas, struct message_status_response *status)
{
    int err = metadata_disk(arena, facts, status);

    if (err == 0) err = recovering(arena, facts, status);
    if (err == 0) err = set_back_self(arena, facts, status);
    if (err == 0) err = set_back_others(arena, image, facts, status);
    if (err == 0 && facts->coordinator < 0) err = no_coordinator(arena, facts, status);
    if (err == 0) err = voters_promise(arena, image, facts, status);
    if (err == 0) err = fenced_brokers(arena, image, facts, status);
    if (err == 0) err = bad_disks(arena, image, status);
    if (err == 0) err = replicas_are_missing(arena, replicas, status);
    return err;
}
