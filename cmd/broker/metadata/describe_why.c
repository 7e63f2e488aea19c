/* metadata/describe_why.c - why a broker leads a partition, for people and scripts (describe.h). */
#include "base/error.h"
#include "cmd/broker/metadata/describe.h"
#include "replication/coordinator/elector.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define WHY_TEXT_SIZE 1024

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

/* ---- where it is, and what is possible now ---- */

struct sentence {
    char text[WHY_TEXT_SIZE];
    size_t used;
};

__attribute__((format(printf, 2, 3))) static void say(struct sentence *sentence, const char *format, ...)
{
    size_t left = sizeof(sentence->text) - sentence->used;
    va_list arguments;
    int size;

    va_start(arguments, format);
    size = vsnprintf(sentence->text + sentence->used, left, format, arguments);
    va_end(arguments);
    sentence->used += size < 0 ? 0 : (size_t)size < left ? (size_t)size : left - 1; /* the rest is cut off */
}

/* "broker 1 (alpha), 2 (beta)" */
static void say_brokers(struct sentence *sentence, const struct image *image, const struct image_partition *partition, uint32_t mask)
{
    const char *before = __builtin_popcount(mask) == 1 ? "broker " : "brokers ";

    for (uint32_t i = 0; i < partition->replica_count; i++) {
        if ((mask >> i & 1) == 0) continue;
        say(sentence, "%s%d (%s)", before, partition->replicas[i], name_of(image, partition->replicas[i]));
        before = ", ";
    }
}

/* Those of the mask whose brokers have no session, or are being stopped. */
static uint32_t those_away(const struct image *image, const struct image_partition *partition, uint32_t mask)
{
    uint32_t away = 0;

    for (uint32_t i = 0; i < partition->replica_count; i++) {
        const struct image_broker *broker = image_find_broker(image, partition->replicas[i]);
        if ((mask >> i & 1) != 0 && (broker == NULL || broker->is_fenced)) away |= 1u << i;
    }
    return away;
}

static uint32_t all_of(const struct image_partition *partition)
{
    return (1u << partition->replica_count) - 1;
}

static void explain_placement(const struct image *image, const struct image_topic *topic, const struct image_partition *partition,
                              struct sentence *sentence)
{
    uint32_t staying = all_of(partition) & ~partition->adding, wanted = (uint32_t)image_topic_config(topic, TOPIC_CONFIG_REPLICAS);
    uint32_t factor = (uint32_t)__builtin_popcount(all_of(partition) & ~partition->removing);

    say(sentence, "its records are kept by ");
    say_brokers(sentence, image, partition, staying);
    if (partition->adding != 0) {
        say(sentence, partition->is_queued ? "; a move to " : "; they are being copied to ");
        say_brokers(sentence, image, partition, partition->adding);
        if (partition->is_queued) say(sentence, " waits for its turn");
    }
    if (partition->removing != 0) {
        say(sentence, "; it leaves ");
        say_brokers(sentence, image, partition, partition->removing);
        say(sentence, " when the others are in sync");
    }
    if (partition->is_pinned) say(sentence, "; somebody placed it there, so it is moved only on request");
    if (wanted > factor) say(sentence, "; the topic asks for %u replicas, and no other broker could be given one", wanted);
}

/* Nobody leads. */
static void explain_offline(const struct image *image, const struct image_partition *partition, struct sentence *sentence)
{
    uint32_t complete = partition->isr | partition->elr, away;

    if (partition->is_sealing) {
        away = those_away(image, partition, all_of(partition) & ~partition->adding);
        say(sentence, "nobody leads it: mode=quorum elects by what a majority of the replicas reports");
    } else if (complete == 0) {
        away = those_away(image, partition, all_of(partition));
        say(sentence, "nobody leads it: no replica is known to be complete, and whoever led would lack acknowledged records. The setting unclean says whether one may");
    } else {
        away = those_away(image, partition, complete);
        say(sentence, "nobody leads it: only ");
        say_brokers(sentence, image, partition, complete);
        say(sentence, " %s known to have all acknowledged records", __builtin_popcount(complete) == 1 ? "is" : "are");
    }
    if (away == 0) return;
    say(sentence, "; not up: ");
    say_brokers(sentence, image, partition, away);
}

static void explain_writes(const struct image *image, const struct image_topic *topic, const struct image_partition *partition,
                           struct sentence *sentence)
{
    uint32_t min = image_min_insync(topic, image_partition_factor(partition)), in_sync = (uint32_t)__builtin_popcount(partition->isr);
    uint32_t missing = all_of(partition) & ~partition->adding & ~partition->isr, away = those_away(image, partition, missing);

    if (partition->leader == IMAGE_NO_LEADER) {
        explain_offline(image, partition, sentence);
        return;
    }
    if (image_topic_mode(topic) == TOPIC_MODE_QUORUM || in_sync >= min) return;
    say(sentence, "acks=all is refused: %u of the %u replicas that min.insync asks for %s in sync", in_sync, min, in_sync == 1 ? "is" : "are");
    if (away != 0) {
        say(sentence, "; not up: ");
        say_brokers(sentence, image, partition, away);
    }
    if ((missing & ~away) != 0) {
        say(sentence, "; up, and behind: ");
        say_brokers(sentence, image, partition, missing & ~away);
    }
}

static int explain_now(struct arena *arena, const struct image *image, const struct image_topic *topic, const struct image_partition *partition,
                       struct message_why_response *why)
{
    struct sentence placement = {.used = 0}, writes = {.used = 0}, reads = {.used = 0};

    explain_placement(image, topic, partition, &placement);
    explain_writes(image, topic, partition, &writes);
    if (partition->leader == IMAGE_NO_LEADER) explain_offline(image, partition, &reads);
    why->placement = arena_strdup(arena, placement.text);
    why->writes = arena_strdup(arena, writes.text);
    why->reads = arena_strdup(arena, reads.text);
    return why->placement == NULL || why->writes == NULL || why->reads == NULL ? MESH_ENOMEM : 0;
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
    if (err == 0) err = explain_now(arena, image, topic, &partition, &why);
    if (err == 0) *ret_why = why;
    return err;
}
