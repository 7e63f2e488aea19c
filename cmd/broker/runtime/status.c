/* broker/runtime/status.c - puts the image, the runtime and the shards' numbers together. */
#include "cmd/broker/forward/forward.h"
#include "cmd/broker/runtime/status.h"

#include "base/clock.h"
#include "base/error.h"
#include "cmd/broker/front/tls.h"
#include "cmd/broker/groups/query.h"
#include "cmd/broker/metadata/metadata.h"
#include "cmd/broker/peers/peers.h"
#include "cmd/broker/runtime/metrics_gather.h"
#include "cmd/broker/runtime/shard.h"
#include "cmd/broker/groups/lag.h"
#include "cmd/broker/spread/spread.h"

#include <stdlib.h>

struct status_call {
    struct control *control;
    status_done_fn *done;
    void *user;
};

/* The members' states, and the names of as many of the dead as fit. */
static void facts_members(const struct control *control, struct describe_facts *facts)
{
    struct peers_stats stats;

    if (control->peers == NULL) return;
    peers_get_stats(control->peers, &stats);
    facts->members_alive = stats.gossip.alive;
    facts->members_suspect = stats.gossip.suspect;
    facts->members_dead = stats.gossip.dead;
    facts->members_left = stats.gossip.left;
    peers_dead_names(control->peers, facts->dead_names, sizeof(facts->dead_names));
}

int32_t status_coordinator(const struct control *control)
{
    const struct node_status *status = metadata_status(control->metadata);
    const struct image_broker *broker = image_find_broker_by_uuid(metadata_image(control->metadata), &status->coordinator);

    return broker != NULL && status->has_session ? broker->node_id : -1;
}

static int member_state(const void *user, const struct uuid *broker_id)
{
    return peers_member_state(user, broker_id);
}

static bool refuses(const void *user, const struct raft_server *server)
{
    return node_refuses(metadata_node(user), server);
}

/* How long no coordinator has answered; all the time since the start when none ever did. */
static uint64_t no_coordinator_ms(const struct control *control)
{
    uint64_t lost_ms = metadata_session_lost_us(control->metadata) / 1000;

    return clock_monotonic_ms() - (lost_ms != 0 ? lost_ms : control->started_ms);
}

static void facts_fill(void *user, struct describe_facts *ret_facts)
{
    struct control *control = user;
    struct fs *fs = control->shards[0]->broker->fs;
    uint64_t free_bytes = 0;

    (void)fs->ops->free_bytes(fs, &free_bytes);
    *ret_facts = (struct describe_facts){
        .coordinator = status_coordinator(control),
        .self = control->node_id,
        .uptime_ms = clock_monotonic_ms() - control->started_ms,
        .disk_free_bytes = free_bytes,
        .disk_free_bytes_min = control->disk_free_bytes_min,
        .metadata_error = metadata_error(control->metadata),
        .metadata_failure = metadata_status(control->metadata)->failure,
        .is_recovering = metadata_status(control->metadata)->is_recovering,
        .is_set_back = metadata_status(control->metadata)->is_set_back,
        .is_shut_out = control->peers != NULL && peers_is_shut_out(control->peers),
        .refuses = refuses,
        .refuses_user = control->metadata,
        .no_coordinator_ms = no_coordinator_ms(control),
        .member_state = control->peers != NULL ? member_state : NULL,
        .member_user = control->peers,
        .version = BROKER_VERSION,
        .tls_expires_s = tls_expires_s(control->shards[0]->broker->tls),
    };
    facts_members(control, ret_facts);
}

static void facts_add(struct describe_facts *facts, const struct metrics_set *set)
{
    for (size_t i = 0; i < set->shard_count; i++) {
        const struct metrics_shard *shard = set->shards[i];

        for (size_t j = 0; j < shard->topic_count; j++)
            facts->stored_bytes += shard->topics[j].stored_bytes;
        facts->failed_logs += shard->store.failed_logs;
        facts->holes += shard->store.holes;
        facts->failed_stores += shard->store.is_failed;
    }
}

static void on_metrics(void *user, const struct metrics_set *set)
{
    struct status_call *call = user;
    struct message_status_response status;
    struct describe_facts facts;
    struct arena arena = ARENA_INIT;
    int err = set == NULL ? MESH_ENOMEM : 0;

    if (err == 0) {
        facts_fill(call->control, &facts);
        facts_add(&facts, set);
        err = describe_status(&arena, metadata_image(call->control->metadata), &facts, &status);
    }
    call->done(call->user, err, err == 0 ? &status : NULL);
    arena_deinit(&arena);
    free(call);
}

void status_collect(struct control *control, status_done_fn *done, void *user)
{
    struct status_call *call = malloc(sizeof(*call));

    if (call == NULL) {
        done(user, MESH_ENOMEM, NULL);
        return;
    }
    *call = (struct status_call){control, done, user};
    metrics_collect(control, on_metrics, call);
}

/* ---- the http door's source ---- */

static const struct image *source_image(void *user)
{
    return metadata_image(((struct control *)user)->metadata);
}

static const char *source_not_ready(void *user)
{
    struct control *control = user;

    if (control->is_stopping) return "the broker is stopping";
    if (!control->is_ready) return "the broker is starting";
    if (!metadata_status(control->metadata)->is_serving) return "no coordinator has let this broker in since its start";
    if (catch_up_is_behind(&control->catch_up, metadata_image(control->metadata), metadata_status(control->metadata)->node_id, clock_monotonic_ms()))
        return "its copies are not in sync again since its start; 'mesh status' tells which are missing";
    return NULL;
}

static void source_gather(void *user, http_gathered_fn *done, void *done_user)
{
    metrics_collect(user, done, done_user);
}

static int source_members(void *user, struct arena *arena, struct message_members_response *ret_members)
{
    const struct control *control = user;

    if (control->peers != NULL) return peers_describe(control->peers, arena, ret_members);
    *ret_members = (struct message_members_response){control->cluster_id, NULL, 0};
    return 0;
}

static bool source_peers(void *user, struct peers_stats *ret_stats)
{
    const struct control *control = user;

    if (control->peers != NULL) peers_get_stats(control->peers, ret_stats);
    return control->peers != NULL;
}

static void source_forward(void *user, struct forward_stats *ret_stats)
{
    const struct control *control = user;

    forward_get_stats(control->forward, ret_stats);
}

static void source_spread(void *user, struct spread_stats *ret_stats)
{
    const struct control *control = user;

    spread_get_stats(control->spread, ret_stats);
}

static void source_group_lags(void *user, const struct metrics_set *set, struct group_lags *ret_lags)
{
    group_lags_of(user, set, ret_lags);
}

static int source_groups(void *user, const struct message_group_list *request, http_groups_fn *done, void *done_user)
{
    return groups_query_list(user, request, done, done_user);
}

static int source_group(void *user, const struct message_group_describe *request, http_groups_fn *done, void *done_user)
{
    return groups_query_describe(user, request, done, done_user);
}

void status_http_source(struct control *control, struct http_source *ret_source)
{
    *ret_source = (struct http_source){
        .user = control,
        .image = source_image,
        .not_ready = source_not_ready,
        .facts = facts_fill,
        .gather = source_gather,
        .members = source_members,
        .peers = source_peers,
        .forward = source_forward,
        .spread = source_spread,
        .group_lags = source_group_lags,
        .groups = source_groups,
        .group = source_group,
        .start_wall_ms = clock_wall_ms(),
        .version = BROKER_VERSION,
    };
}
