/* coordinator/voters_text.c - what a mesh of this size can and cannot promise, in words (voters.h). */
#include "replication/coordinator/voters.h"

#include <stdio.h>
#include <string.h>

#define VOTERS_NAMES_SIZE 160

struct census {
    size_t hosts, witnesses;
    uint32_t silent;         /* voters that are not heard */
    char silent_names[VOTERS_NAMES_SIZE];
    bool is_any_witness_voting;
};

static bool is_heard(const struct voters_input *input, const struct raft_server *server)
{
    if (raft_server_equal(server, &input->self)) return true;
    for (size_t i = 0; i < input->fact_count; i++) {
        if (uuid_equal(&input->facts[i].broker_id, &server->broker)) return input->facts[i].alive_us != 0;
    }
    return false;
}

static void add_name(char *to, size_t size, const char *name)
{
    size_t used = strlen(to);

    snprintf(to + used, size - used, "%s%s", used == 0 ? "" : ", ", name);
}

static void count_all(const struct image *image, const struct voters_input *input, struct census *census)
{
    memset(census, 0, sizeof(*census));
    for (size_t i = 0; i < image_broker_count(image); i++)
        *(image_broker_at(image, i)->is_witness ? &census->witnesses : &census->hosts) += 1;
    for (uint8_t i = 0; i < input->config->voter_count; i++) {
        const struct image_broker *broker = image_find_broker_by_uuid(image, &input->config->voters[i].broker);
        census->is_any_witness_voting |= broker != NULL && broker->is_witness;
        if (input->fact_count == 0 || is_heard(input, &input->config->voters[i])) continue;
        census->silent++;
        add_name(census->silent_names, sizeof(census->silent_names), broker == NULL ? "a broker that was removed" : broker->name);
    }
}

static const char *voter_name(const struct image *image, const struct voters_input *input)
{
    const struct image_broker *broker =
        input->config->voter_count == 0 ? NULL : image_find_broker_by_uuid(image, &input->config->voters[0].broker);

    return broker == NULL ? "the first one" : broker->name;
}

static void two_brokers(const struct image *image, const struct voters_input *input, const struct census *census,
                        struct voters_problem *problem)
{
    if (census->witnesses == 0) {
        snprintf(problem->what, sizeof(problem->what), "two brokers, and only %s votes", voter_name(image, input));
        problem->meaning = "no two brokers can tell a dead partner from a cut wire, so nothing fails over by itself: while the voting broker is "
                           "away, partitions that the other leads go on, but no topic can be made or changed and no leader moves; while the "
                           "other is away, everything else goes on";
        problem->remedy = "start a witness on a third machine (mesh join --witness SEED; it stores no data) or a third broker; a voting "
                          "broker that stopped comes back with its data directory, on any machine, and one that is gone for good is given up with mesh "
                          "recover --accept-loss-of BROKER, asked of the other";
        return;
    }
    snprintf(problem->what, sizeof(problem->what), "two brokers and a witness, but only %u vote%s yet", input->config->voter_count,
             input->config->voter_count == 1 ? "s" : "");
    problem->meaning = "until both brokers and the witness vote, the loss of a voter stops decisions";
    problem->remedy = "wait until all three have been up for ten seconds; if it stays so, see which of them mesh members does not show alive";
}

static void silent_voters(const struct voters_input *input, const struct census *census, struct voters_problem *problem)
{
    uint32_t voters = input->config->voter_count, living = voters - census->silent, needed = voters / 2 + 1;

    snprintf(problem->what, sizeof(problem->what), "%u of %u voters %s not heard: %s", census->silent, voters,
             census->silent == 1 ? "is" : "are", census->silent_names);
    if (living < needed) {
        problem->meaning = "there is no majority: nothing can be decided. Partitions with a living leader go on; topics cannot be made or "
                           "changed, and no leader moves";
        problem->remedy = "start voters again until more than half are there; each comes back with its data directory, on any machine. If they are gone for "
                          "good: mesh recover --accept-loss-of BROKER[,BROKER...]";
    } else if (living == needed) {
        problem->meaning = "everything works, but the loss of one more voter stops decisions";
        problem->remedy = "bring it back, or add a broker: it takes over the vote of one that is silent for a minute";
    } else {
        problem->meaning = "everything works, and a further voter may be lost";
        problem->remedy = "bring it back, or add a broker: it takes over the vote of one that is silent for a minute";
    }
}

/* Several zones, and all votes in one of them. */
static bool is_one_zone(const struct image *image, const struct voters_input *input, const char **ret_zone)
{
    const char *zone = NULL;
    bool has_other = false;

    if (input->config->voter_count < 3) return false;
    for (uint8_t i = 0; i < input->config->voter_count; i++) {
        const struct image_broker *broker = image_find_broker_by_uuid(image, &input->config->voters[i].broker);
        if (broker == NULL || broker->zone[0] == '\0') return false;
        if (zone != NULL && strcmp(zone, broker->zone) != 0) return false;
        zone = broker->zone;
    }
    for (size_t i = 0; i < image_broker_count(image); i++)
        has_other |= strcmp(image_broker_at(image, i)->zone, zone) != 0;
    *ret_zone = zone;
    return has_other;
}

/* Some brokers with a zone beside some without: names of these. Returns how many they are, 0 where nobody has a zone. */
static size_t count_zoneless(const struct image *image, char names[VOTERS_NAMES_SIZE])
{
    size_t without = 0, with = 0;

    names[0] = '\0';
    for (size_t i = 0; i < image_broker_count(image); i++) {
        const struct image_broker *broker = image_broker_at(image, i);

        if (broker->is_witness) continue;
        *(broker->zone[0] == '\0' ? &without : &with) += 1;
        if (broker->zone[0] == '\0') add_name(names, VOTERS_NAMES_SIZE, broker->name);
    }
    return with == 0 ? 0 : without;
}

size_t voters_problems(const struct image *image, const struct voters_input *input, struct voters_problem problems[VOTERS_PROBLEMS_MAX])
{
    struct census census;
    char names[VOTERS_NAMES_SIZE];
    const char *zone;
    size_t count = 0, zoneless = count_zoneless(image, names);

    count_all(image, input, &census);
    if (census.hosts == 2 && (census.witnesses == 0 || !census.is_any_witness_voting))
        two_brokers(image, input, &census, &problems[count++]);
    if (census.silent != 0) silent_voters(input, &census, &problems[count++]);
    if (is_one_zone(image, input, &zone)) {
        snprintf(problems[count].what, sizeof(problems[count].what), "all votes are in zone %s", zone);
        problems[count].meaning = "when that zone is lost, nothing can be decided any more";
        problems[count++].remedy = "add brokers in other zones, or look why those there do not stay up: votes move by themselves";
    }
    if (zoneless != 0) {
        snprintf(problems[count].what, sizeof(problems[count].what), "%zu of %zu brokers %s no zone: %s", zoneless, census.hosts, zoneless == 1 ? "has" : "have", names);
        problems[count].meaning = "copies and votes are spread over zones, and nobody knows where these stand: a zone that is lost may take more with it than it should";
        problems[count++].remedy = "start them with --zone NAME, or MESH_ZONE: on Kubernetes it is the pod's label topology.kubernetes.io/zone";
    }
    if (census.witnesses != 0 && census.hosts > 2) {
        snprintf(problems[count].what, sizeof(problems[count].what), "%zu witness%s without use", census.witnesses,
                 census.witnesses == 1 ? "" : "es");
        problems[count].meaning = "a witness votes where there are two brokers; three and more have votes enough of their own";
        problems[count++].remedy = "nothing breaks; to tidy up, stop it with mesh leave on its machine, then take it out with mesh remove";
    }
    return count;
}
