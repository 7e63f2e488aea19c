/* metadata/metadata_recover.c - brokers that are gone for good: one is taken out, or many are given up; asked for by name, answered in words. */
#include "base/arena.h"
#include "base/error.h"
#include "cmd/broker/metadata/metadata_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define RECOVER_TIMEOUT_US 15000000

/* ---- names ---- */

__attribute__((format(printf, 3, 4))) static int refuse(char *message, int error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(message, METADATA_MESSAGE_SIZE, format, arguments);
    va_end(arguments);
    return error;
}

/* A voter may be unknown to the image: one that never registered. */
static bool is_voter(const struct metadata *metadata, const struct uuid *id)
{
    const struct raft_config *config = node_config(metadata->node);

    for (size_t i = 0; i < config->voter_count; i++)
        if (uuid_equal(&config->voters[i].broker, id)) return true;
    return false;
}

/* `text` is a name or a uuid. Errors: MESH_ENOTFOUND, MESH_EINVAL (many have that name). */
static int find_broker(const struct metadata *metadata, const char *text, struct uuid *ret_id, char *message)
{
    const struct image *image = metadata_image(metadata);
    const struct image_broker *found = NULL;

    if (text == NULL || text[0] == '\0') return refuse(message, MESH_EINVAL, "no broker is named");
    if (uuid_parse(text, ret_id) == 0) {
        if (image_find_retired(image, ret_id) != NULL) return refuse(message, MESH_ENOTFOUND, "broker %.64s was removed already", text);
        if (image_find_broker_by_uuid(image, ret_id) != NULL || is_voter(metadata, ret_id)) return 0;
        return refuse(message, MESH_ENOTFOUND, "the mesh knows no broker %.64s ('mesh status' shows them)", text);
    }
    for (size_t i = 0; i < image_broker_count(image); i++) {
        const struct image_broker *broker = image_broker_at(image, i);

        if (strcmp(broker->name, text) != 0) continue;
        if (found != NULL) return refuse(message, MESH_EINVAL, "several brokers are called '%.64s': give the uuid that 'mesh status --json' shows", text);
        found = broker;
    }
    if (found == NULL) return refuse(message, MESH_ENOTFOUND, "the mesh has no broker called '%.64s' ('mesh status' shows them)", text);
    *ret_id = found->broker_id;
    return 0;
}

static char *name_of(struct arena *arena, const struct image *image, const struct uuid *id)
{
    const struct image_broker *broker = image_find_broker_by_uuid(image, id);
    char text[UUID_STRING_SIZE];

    if (broker == NULL) broker = image_find_retired(image, id);
    return arena_strdup(arena, broker != NULL ? broker->name : uuid_format(id, text));
}

/* ---- what is lost ---- */

struct loss {
    const struct image *image;
    const int32_t *lost; /* node ids */
    size_t lost_count;
    uint32_t partitions; /* without another copy */
};

static bool has_copy(const struct loss *loss, const struct image_partition *partition)
{
    for (uint32_t i = 0; i < partition->replica_count; i++) {
        bool is_lost = false;

        for (size_t k = 0; k < loss->lost_count; k++)
            is_lost |= loss->lost[k] == partition->replicas[i];
        if (!is_lost) return true;
    }
    return false;
}

static int count_topic(void *user, const struct image_topic *topic)
{
    struct image_partition partition;
    struct loss *loss = user;

    for (uint32_t i = 0; i < topic->partition_count; i++)
        loss->partitions += image_topic_partition(topic, i, &partition) && !has_copy(loss, &partition);
    return 0;
}

static uint32_t count_lost(const struct image *image, const int32_t *lost, size_t lost_count)
{
    struct loss loss = {image, lost, lost_count, 0};

    if (lost_count != 0) (void)image_each_topic(image, count_topic, &loss);
    return loss.partitions;
}

/* ---- one broker ---- */

struct removal {
    metadata_remove_fn *done;
    void *user;
    struct uuid id;
    char name[IMAGE_BROKER_STRING_SIZE_MAX + 1];
    uint32_t hosted, lost;
};

static void on_removed(void *user, int error, const char *message)
{
    struct removal *removal = user;
    struct message_remove_response response = {removal->id, removal->name, removal->hosted, removal->lost};

    removal->done(removal->user, error, message, error == 0 ? &response : NULL);
    free(removal);
}

static int check_removal(const struct metadata *metadata, const struct uuid *id, const struct image_broker *broker, char *message)
{
    if (uuid_equal(id, &metadata->self))
        return refuse(message, MESH_EINVAL, "broker %.64s is the one that was asked: ask another one, when this one has left", broker->name);
    if (!node_hears(metadata->node, id)) return 0;
    return refuse(message, MESH_EINVAL,
                  "broker %.64s is alive: stop it first ('mesh leave' lets it go in good order), and wait until 'mesh members' calls it left or dead", broker->name);
}

void metadata_remove(struct metadata *metadata, const struct message_remove_request *request, metadata_remove_fn *done, void *user)
{
    const struct image *image = metadata_image(metadata);
    const struct image_broker *broker = NULL;
    struct removal *removal = calloc(1, sizeof(*removal));
    char message[METADATA_MESSAGE_SIZE] = "";
    struct uuid id;
    int err = removal == NULL ? MESH_ENOMEM : find_broker(metadata, request->broker, &id, message);

    if (err == 0) broker = image_find_broker_by_uuid(image, &id);
    if (err == 0 && broker == NULL) err = refuse(message, MESH_ENOTFOUND, "broker %.64s is not registered", request->broker);
    if (err == 0) err = check_removal(metadata, &id, broker, message);
    if (err != 0) {
        free(removal);
        done(user, err, message[0] != '\0' ? message : mesh_strerror(err), NULL);
        return;
    }
    *removal = (struct removal){.done = done, .user = user, .id = id};
    snprintf(removal->name, sizeof(removal->name), "%s", broker->name);
    removal->hosted = (uint32_t)image_replica_count(image, broker->node_id);
    removal->lost = count_lost(image, &broker->node_id, 1);
    metadata_request_retire(metadata, &id, request->accepts_loss, on_removed, removal);
}

/* ---- many ---- */

struct metadata_recovery {
    metadata_recover_fn *done;
    void *user;
    struct arena arena;
    struct message_recover_response response;
    const struct image *image; /* as it was when it was asked: the lost are in it */
    int error;
    bool is_answered;
};

static void recovery_free(struct metadata_recovery *recovery)
{
    if (recovery == NULL) return;
    arena_deinit(&recovery->arena);
    image_unref(recovery->image);
    free(recovery);
}

static int describe_lost(struct metadata *metadata, struct metadata_recovery *recovery, const struct recover_party *party)
{
    struct message_recover_response *response = &recovery->response;
    int32_t *nodes = arena_alloc(&recovery->arena, party->count + 1, sizeof(nodes[0]));
    size_t node_count = 0;

    response->lost = arena_alloc(&recovery->arena, party->count + 1, sizeof(response->lost[0]));
    if (nodes == NULL || response->lost == NULL) return MESH_ENOMEM;
    for (size_t i = 0; i < party->count; i++) {
        const struct image_broker *broker = image_find_broker_by_uuid(recovery->image, &party->brokers[i].id);
        struct message_lost_broker *lost = &response->lost[response->lost_count];

        if (!party->brokers[i].is_lost) continue;
        *lost = (struct message_lost_broker){.broker_id = party->brokers[i].id, .is_voter = is_voter(metadata, &party->brokers[i].id)};
        lost->name = name_of(&recovery->arena, recovery->image, &lost->broker_id);
        if (lost->name == NULL) return MESH_ENOMEM;
        response->lost_count++;
        if (broker == NULL) continue;
        nodes[node_count++] = broker->node_id;
        lost->hosted_partitions = (uint32_t)image_replica_count(recovery->image, broker->node_id);
    }
    response->lost_partitions = count_lost(recovery->image, nodes, node_count);
    return 0;
}

static int describe_survivors(struct metadata_recovery *recovery, const struct recover_report *report)
{
    struct message_recover_response *response = &recovery->response;

    response->survivors = arena_alloc(&recovery->arena, report->survivor_count + 1, sizeof(response->survivors[0]));
    if (response->survivors == NULL) return MESH_ENOMEM;
    for (size_t i = 0; i < report->survivor_count; i++) {
        const struct recover_survivor *from = &report->survivors[i];
        struct message_survivor *to = &response->survivors[response->survivor_count++];

        *to = (struct message_survivor){
            .broker_id = from->id,
            .name = name_of(&recovery->arena, recovery->image, &from->id),
            .objection = arena_strdup(&recovery->arena, from->objection),
            .has_answered = from->has_answered,
            .is_voter = from->facts.is_voter,
            .is_damaged = from->facts.is_damaged,
            .is_chosen = report->error == 0 && uuid_equal(&from->id, &report->value.chosen),
            .last_index = from->facts.last.index,
            .committed = from->facts.committed.index,
        };
        if (to->name == NULL || to->objection == NULL) return MESH_ENOMEM;
    }
    return 0;
}

/* The first that speaks against it, in one sentence. */
static char *find_objection(struct metadata_recovery *recovery, const struct recover_report *report)
{
    const struct message_recover_response *response = &recovery->response;

    if (report->error == MESH_ECORRUPT) return arena_strdup(&recovery->arena, "no survivor's metadata log can go on");
    for (size_t i = 0; i < response->survivor_count; i++)
        if (response->survivors[i].objection[0] != '\0')
            return arena_printf(&recovery->arena, "broker %s says: %s", response->survivors[i].name, response->survivors[i].objection);
    for (size_t i = 0; i < response->survivor_count && report->error == MESH_ETIMEDOUT; i++)
        if (!response->survivors[i].has_answered)
            return arena_printf(&recovery->arena, "broker %s does not answer: start it, or name it as lost, too", response->survivors[i].name);
    return arena_strdup(&recovery->arena, report->error == 0 ? "" : "the survivors have not agreed in time: look at 'mesh status' and ask again");
}

void metadata_note_recovered(struct metadata *metadata, const struct node_output *output)
{
    struct metadata_recovery *recovery = metadata->recovery;
    const struct recover_report *report = output->report;
    int err;

    if (recovery == NULL) return;
    err = describe_lost(metadata, recovery, report->party);
    if (err == 0) err = describe_survivors(recovery, report);
    if (err == 0) recovery->response.objection = find_objection(recovery, report);
    if (recovery->response.objection == NULL) err = MESH_ENOMEM;
    recovery->response.is_done = report->error == 0 && !report->is_dry;
    recovery->response.history = report->value.history;
    recovery->error = err;
    recovery->is_answered = true;
}

void metadata_tell_recovered(struct metadata *metadata, int error)
{
    struct metadata_recovery *recovery = metadata->recovery;

    if (recovery == NULL || (!recovery->is_answered && error == 0)) return;
    metadata->recovery = NULL;
    if (error == 0) error = recovery->error;
    recovery->done(recovery->user, error, mesh_strerror(error), error == 0 ? &recovery->response : NULL);
    recovery_free(recovery);
}

static int find_lost(const struct metadata *metadata, const struct message_recover_request *request, struct uuid *lost, char *message)
{
    int err = 0;

    if (request->lost_count == 0) return refuse(message, MESH_EINVAL, "nobody was named as lost");
    for (size_t i = 0; i < request->lost_count && err == 0; i++) {
        err = find_broker(metadata, request->lost[i], &lost[i], message);
        if (err == 0 && uuid_equal(&lost[i], &metadata->self))
            err = refuse(message, MESH_EINVAL, "broker %.64s is the one that was asked, and lives", request->lost[i]);
    }
    return err;
}

static int ask(struct metadata *metadata, const struct message_recover_request *request, char *message)
{
    struct uuid *lost = calloc(request->lost_count + 1, sizeof(lost[0]));
    int err = lost == NULL ? MESH_ENOMEM : find_lost(metadata, request, lost, message);

    if (err == 0)
        err = node_recover(metadata->node, metadata_now_us(), lost, request->lost_count, !request->is_for_real, RECOVER_TIMEOUT_US, 0);
    if (err == MESH_EBUSY) (void)refuse(message, err, "a recovery is under way at this broker");
    free(lost);
    return err;
}

void metadata_recover(struct metadata *metadata, const struct message_recover_request *request, metadata_recover_fn *done, void *user)
{
    struct metadata_recovery *recovery = calloc(1, sizeof(*recovery));
    char message[METADATA_MESSAGE_SIZE] = "";
    int err = recovery == NULL ? MESH_ENOMEM : metadata->is_closing ? MESH_ESHUTDOWN : metadata->recovery != NULL ? MESH_EBUSY : metadata_error(metadata);

    if (err == 0) err = ask(metadata, request, message);
    if (err != 0) {
        recovery_free(recovery);
        done(user, err, message[0] != '\0' ? message : mesh_strerror(err), NULL);
        return;
    }
    *recovery = (struct metadata_recovery){.done = done, .user = user, .arena = ARENA_INIT, .image = image_ref(metadata_image(metadata))};
    metadata->recovery = recovery;
    metadata_drive(metadata);
}
