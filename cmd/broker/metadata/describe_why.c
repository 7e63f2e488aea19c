/* metadata/describe_why.c - why a broker leads a partition, for people and scripts (describe.h). */
#include "base/error.h"
#include "cmd/broker/metadata/describe.h"
#include "replication/coordinator/elector.h"

#define WHY_TEXT_SIZE 512

static const char *name_of(const struct image *image, int32_t node_id)
{
    const struct image_broker *broker = image_find_broker(image, node_id);

    return broker == NULL ? "no longer in the mesh" : broker->name;
}

/* The words for a replica where no election was held, or none of its scores were kept. */
static const char *placed_standing(const struct image_partition *partition, uint32_t i)
{
    if (partition->replicas[i] == partition->leader) return i == 0 ? "leads: placed as leader" : "leads";
    return partition->isr & 1u << i ? "in sync" : "not in sync";
}

static int fill_placed(struct arena *arena, const struct image *image, const struct image_partition *partition,
                       struct message_why_response *why)
{
    for (uint32_t i = 0; i < partition->replica_count; i++) {
        struct message_candidate *candidate = &why->candidates[i];

        candidate->node_id = partition->replicas[i];
        candidate->name = arena_strdup(arena, name_of(image, partition->replicas[i]));
        candidate->standing = arena_strdup(arena, placed_standing(partition, i));
        if (candidate->name == NULL || candidate->standing == NULL) return MESH_ENOMEM;
        why->candidate_count++;
    }
    return 0;
}

static int fill_elected(struct arena *arena, const struct image *image, const struct image_election *election,
                        struct message_why_response *why)
{
    char standing[WHY_TEXT_SIZE];

    for (uint32_t i = 0; i < election->candidate_count; i++) {
        const struct image_candidate *from = &election->candidates[i];
        struct message_candidate *to = &why->candidates[i];

        election_explain_standing(election, i, standing, sizeof(standing));
        *to = (struct message_candidate){
            .node_id = from->node_id,
            .name = arena_strdup(arena, name_of(image, from->node_id)),
            .standing = arena_strdup(arena, standing),
            .score = from->score,
            .flags = from->flags,
            .log = from->log,
            .health = from->health,
            .load = from->load,
        };
        if (to->name == NULL || to->standing == NULL) return MESH_ENOMEM;
        why->candidate_count++;
    }
    return 0;
}

/* The sentence. With one replica there is nobody to choose from, whatever the election says. */
static char *reason(struct arena *arena, const struct image *image, const struct image_partition *partition,
                    const struct image_election *election)
{
    char text[WHY_TEXT_SIZE];
    int32_t only = partition->replicas[0];

    if (election == NULL)
        return arena_printf(arena, "it was never elected: broker %d (%s) was chosen as its first leader when the partition was made", partition->leader,
                            name_of(image, partition->leader));
    election_explain(image, election, text, sizeof(text));
    if (partition->replica_count != 1) return arena_strdup(arena, text);
    if (partition->leader != IMAGE_NO_LEADER)
        return arena_printf(arena, "%s. It has one replica, so there is no other candidate", text);
    return arena_printf(arena, "%s. It has one replica, so there is no other candidate: it is back when broker %d (%s) is", text, only,
                        name_of(image, only));
}

int describe_why(struct arena *arena, const struct image *image, const struct message_why_request *request,
                 struct message_why_response *ret_why)
{
    const struct image_topic *topic = image_find_topic_by_name(image, request->topic);
    struct message_why_response why = {.topic = request->topic, .partition = request->partition};
    const struct image_election *election;
    struct image_partition partition;
    size_t count;
    int err;

    if (topic == NULL || !image_topic_partition(topic, request->partition, &partition)) return MESH_EUNKNOWN_TOPIC;
    election = image_election(image, &topic->topic_id, request->partition);
    count = election != NULL && election->candidate_count != 0 ? election->candidate_count : partition.replica_count;
    why.topic_id = topic->topic_id;
    why.leader = partition.leader;
    why.leader_epoch = partition.leader_epoch;
    why.leader_name = arena_strdup(arena, partition.leader == IMAGE_NO_LEADER ? "" : name_of(image, partition.leader));
    why.was_elected = election != NULL;
    why.decided_index = election != NULL ? election->index : 0;
    why.reason = reason(arena, image, &partition, election);
    why.candidates = arena_alloc(arena, count, sizeof(why.candidates[0]));
    if (why.leader_name == NULL || why.reason == NULL || why.candidates == NULL) return MESH_ENOMEM;
    err = election != NULL && election->candidate_count != 0 ? fill_elected(arena, image, election, &why)
                                                             : fill_placed(arena, image, &partition, &why);
    if (err == 0) *ret_why = why;
    return err;
}
