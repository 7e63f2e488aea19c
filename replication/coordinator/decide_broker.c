/* coordinator/decide_broker.c - decisions about brokers: registration, sessions, going and being removed. */
#include "replication/coordinator/decide_internal.h"

#include "base/error.h"
#include "replication/coordinator/leader_walk.h"

/* ---- registration ---- */

static bool fits(const char *text)
{
    return strlen(text) <= IMAGE_BROKER_STRING_SIZE_MAX;
}

static int check_texts(const struct decide_broker_register *request, struct decision *decision)
{
    if (!fits(request->name) || !fits(request->host) || !fits(request->zone))
        return decision_refuse(decision, MESH_EINVAL, "name, host and zone may have at most %d bytes each",
                               IMAGE_BROKER_STRING_SIZE_MAX);
    if (request->name[0] == '\0' || request->host[0] == '\0' || request->port == 0)
        return decision_refuse(decision, MESH_EINVAL, "a broker needs a name, a host and a port");
    if (request->shard_count == 0 || request->shard_count > UINT16_MAX)
        return decision_refuse(decision, MESH_EINVAL, "a broker has 1 to %d shards", UINT16_MAX);
    return 0;
}

static int check_broker(const struct image *image, const struct decide_broker_register *request,
                        const struct image_broker *known, struct decision *decision)
{
    int err = check_texts(request, decision);

    if (err != 0) return err;
    if (image_find_retired(image, &request->broker_id) != NULL)
        return decision_refuse(decision, MESH_EUNAUTHORIZED,
                               "this broker was removed from the mesh and does not come back by itself; start it with an "
                               "empty data directory, and it joins as a new one");
    if (known == NULL && image_broker_count(image) >= IMAGE_BROKERS_MAX)
        return decision_refuse(decision, MESH_EFULL, "the mesh has %d brokers, its limit", IMAGE_BROKERS_MAX);
    if (known == NULL) return 0;
    if (request->boot < known->boot)
        return decision_refuse(
            decision, MESH_EINVAL,
            "boot %llu of this broker has registered before: its data directory is older than the mesh "
            "knows (restored from a copy?)",
            (unsigned long long)known->boot);
    if (request->is_witness && image_replica_count(image, known->node_id) != 0)
        return decision_refuse(decision, MESH_EINVAL, "this broker hosts %llu partitions, so it cannot become a witness",
                               (unsigned long long)image_replica_count(image, known->node_id));
    return 0;
}

static bool is_known_as_such(const struct image_broker *known, const struct decide_broker_register *request)
{
    return known->boot == request->boot && uuid_equal(&known->dir_id, &request->dir_id) && known->port == request->port &&
           known->shard_count == request->shard_count && known->is_witness == request->is_witness &&
           strcmp(known->name, request->name) == 0 && strcmp(known->host, request->host) == 0 &&
           strcmp(known->zone, request->zone) == 0;
}

/* Takes from a new life what the one before held and this one need not hold any more. */
static int begin_life(const struct image *image, const struct decide_broker_register *request, const struct image_broker *known,
                      struct decision *decision)
{
    struct elector elector;
    struct leader_walk walk = {
        .kind = LEADER_WALK_NEW_LIFE,
        .node_id = known->node_id,
        .reason = IMAGE_ELECTION_RESTARTED,
        .was_unclean = request->was_unclean,
        .was_set_back = request->was_set_back,
        .has_lost_data = request->has_lost_data || !raft_dir_is_same_disk(&known->dir_id, &request->dir_id),
        .elector = &elector,
        .decision = decision,
    };
    int err = elector_init(&elector, image, request->facts);

    if (err != 0) return err;
    elector_find(&elector, known->node_id)->is_fenced = true;
    err = leader_walk(image, &walk);
    elector_deinit(&elector);
    return err;
}

/* Whether a life that could begin unfenced begins fenced all the same: it was without a session, or may lack what others may have. */
static bool must_prove(const struct image *image, const struct decide_broker_register *request, const struct image_broker *known)
{
    bool is_less = request->was_unclean || request->was_set_back || request->has_lost_data;

    if (known == NULL) return false;
    if (known->is_fenced || known->is_draining) return true;
    return (is_less || !uuid_equal(&known->dir_id, &request->dir_id)) && image_broker_count(image) > 1;
}

int decide_broker_register(const struct image *image, const struct decide_broker_register *request,
                           struct decision *decision)
{
    const struct image_broker *known = image_find_broker_by_uuid(image, &request->broker_id);
    bool is_new_life = known == NULL || request->boot > known->boot || !uuid_equal(&known->dir_id, &request->dir_id);
    struct body_broker body = {
        .node_id = known == NULL ? image_next_node_id(image) : known->node_id,
        .dir_id = request->dir_id,
        .boot = request->boot,
        .port = request->port,
        .shard_count = request->shard_count,
        .flags = request->is_witness ? BODY_BROKER_WITNESS : 0,
        .name = slice_of_string(request->name),
        .host = slice_of_string(request->host),
        .zone = slice_of_string(request->zone),
    };
    int err = check_broker(image, request, known, decision);

    if (err != 0) return err;
    if (known != NULL && is_known_as_such(known, request)) return 0;
    if (is_new_life && (request->starts_fenced || must_prove(image, request, known))) {
        body.flags |= BODY_BROKER_FENCED; /* only decide_broker_unfence() ends that */
        if (known != NULL) err = begin_life(image, request, known, decision);
    } else if (!is_new_life) {
        body.flags |= (known->is_fenced ? BODY_BROKER_FENCED : 0) | (known->is_draining ? BODY_BROKER_DRAINING : 0) |
                      (known->has_bad_disk ? BODY_BROKER_BAD_DISK : 0);
    }
    if (err == 0) err = body_encode_broker(decision_body(decision), &body);
    return err != 0 ? err : decision_add_uuid(decision, METADATA_BROKER_REGISTERED, &request->broker_id);
}

/* ---- sessions ---- */

static int find_broker(const struct image *image, const struct uuid *broker_id, struct decision *decision,
                       const struct image_broker **ret_broker)
{
    *ret_broker = image_find_broker_by_uuid(image, broker_id);
    if (*ret_broker != NULL) return 0;
    return decision_refuse(decision, MESH_ENOTFOUND, "%s",
                           image_find_retired(image, broker_id) != NULL ? "this broker was removed from the mesh"
                                                                        : "the mesh knows no such broker");
}

static int add_state(const struct uuid *broker_id, uint32_t flags, struct decision *decision)
{
    int err = body_encode_broker_state(decision_body(decision), flags);

    return err != 0 ? err : decision_add_uuid(decision, METADATA_BROKER_STATE, broker_id);
}

/* What follows for its partitions from the state that it has then. */
static int walk_as(const struct image *image, const struct image_broker *broker, uint32_t flags, const struct decide_facts *facts,
                   struct leader_walk *walk)
{
    struct elector elector;
    struct elector_broker *concerned;
    int err = elector_init(&elector, image, facts);

    if (err != 0) return err;
    concerned = elector_find(&elector, broker->node_id);
    concerned->is_fenced = (flags & BODY_BROKER_FENCED) != 0;
    concerned->is_draining = (flags & BODY_BROKER_DRAINING) != 0;
    walk->elector = &elector;
    walk->node_id = broker->node_id;
    err = leader_walk(image, walk);
    elector_deinit(&elector);
    return err;
}

/* The broker's new state, and what follows for its partitions, in one entry. */
static int change_state(const struct image *image, const struct image_broker *broker, uint32_t flags,
                        const struct decide_facts *facts, struct leader_walk *walk)
{
    int err = add_state(&broker->broker_id, flags, walk->decision);

    return err != 0 ? err : walk_as(image, broker, flags, facts, walk);
}

int decide_broker_fence(const struct image *image, const struct uuid *broker_id, const struct decide_facts *facts,
                        struct decision *decision)
{
    struct leader_walk walk = {.kind = LEADER_WALK_GONE, .reason = IMAGE_ELECTION_FENCED, .decision = decision};
    const struct image_broker *broker;
    int err = find_broker(image, broker_id, decision, &broker);

    if (err != 0 || broker->is_fenced) return err;
    if (broker->is_draining) walk.reason = IMAGE_ELECTION_DRAINED;
    return change_state(image, broker, BODY_BROKER_FENCED, facts, &walk);
}

int decide_broker_unfence(const struct image *image, const struct uuid *broker_id, const struct decide_facts *facts,
                          struct decision *decision)
{
    struct leader_walk walk = {.kind = LEADER_WALK_RETURN, .reason = IMAGE_ELECTION_RETURNED, .decision = decision};
    const struct image_broker *broker;
    int err = find_broker(image, broker_id, decision, &broker);

    if (err != 0 || (!broker->is_fenced && !broker->is_draining)) return err;
    return change_state(image, broker, 0, facts, &walk);
}

int decide_broker_drain(const struct image *image, const struct uuid *broker_id, bool has_bad_disk, const struct decide_facts *facts,
                        struct decision *decision)
{
    struct leader_walk walk = {.kind = LEADER_WALK_DRAIN, .reason = IMAGE_ELECTION_DRAINED, .decision = decision};
    const struct image_broker *broker;
    int err = find_broker(image, broker_id, decision, &broker);

    if (err != 0 || broker->is_fenced) return err;
    if (broker->is_draining && (broker->has_bad_disk || !has_bad_disk)) return walk_as(image, broker, BODY_BROKER_DRAINING, facts, &walk);
    return change_state(image, broker, BODY_BROKER_DRAINING | (has_bad_disk ? BODY_BROKER_BAD_DISK : 0), facts, &walk);
}

/* ---- removal ---- */

static int retire(const struct image *image, const struct decide_broker_retire *request, const struct image_broker *broker,
                  struct decision *decision)
{
    struct leader_walk walk = {.kind = LEADER_WALK_RETIRE, .reason = IMAGE_ELECTION_RETIRED, .decision = decision};
    int err = change_state(image, broker, BODY_BROKER_FENCED, request->facts, &walk);

    if (err != 0) return err;
    if (walk.lost_count != 0 && !request->accepts_loss)
        return decision_refuse(decision, MESH_EINVAL,
                               "%llu partition%s no complete copy but on this broker, first %s: bring it back, delete their "
                               "topics, or say that the loss is accepted",
                               (unsigned long long)walk.lost_count, walk.lost_count == 1 ? " has" : "s have", walk.lost_name);
    err = body_encode_empty(decision_body(decision));
    return err != 0 ? err : decision_add_uuid(decision, METADATA_BROKER_RETIRED, &request->broker_id);
}

int decide_broker_retire(const struct image *image, const struct decide_broker_retire *request, struct decision *decision)
{
    const struct image_broker *broker;
    int err = find_broker(image, &request->broker_id, decision, &broker);

    if (err != 0) return err;
    if (!broker->is_fenced && !request->is_alive_ok)
        return decision_refuse(decision, MESH_EINVAL, "broker %d (%s) is running, or was seconds ago: stop it first, then ask again", broker->node_id, broker->name);
    if (!image_can_retire(image))
        return decision_refuse(decision, MESH_EFULL,
                               "%d brokers were removed whose partitions still name them: move or delete those first",
                               IMAGE_RETIRED_MAX);
    return retire(image, request, broker, decision);
}
