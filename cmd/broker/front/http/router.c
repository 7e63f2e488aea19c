/* front/http/router.c - see router.h. */
#include "cmd/broker/front/http/router.h"

#include "base/error.h"
#include "cmd/broker/front/http/metrics_text.h"
#include "cmd/broker/front/http/server.h"
#include "cmd/broker/front/http/views.h"
#include "cmd/broker/front/http/views_groups.h"
#include "cmd/broker/forward/forward.h"
#include "cmd/broker/peers/peers.h"
#include "cmd/broker/groups/lag.h"
#include "cmd/broker/spread/spread.h"
#include "replication/coordinator/topic_name.h"

#include <errno.h>
#include <stdlib.h>

#define PATH_BYTES_MAX 512

static const char front_page[] =
    "mesh: a message broker without a middle. This is the http door of one broker; it only reads.\n"
    "\n"
    "  /livez            200 while the process runs\n"
    "  /readyz           200 when it is recovered, serves and has caught up; 503 with the reason until then\n"
    "  /metrics          everything it counts, in Prometheus' text format\n"
    "  /v1/status        what is healthy, what is not, and what to do about it (JSON)\n"
    "  /v1/cluster       the brokers of the mesh (JSON)\n"
    "  /v1/members       who looks alive from here (JSON)\n"
    "  /v1/topics        the topics (JSON; ?limit=N&after=NAME for pages)\n"
    "  /v1/topics/NAME   one topic with its settings and partitions (JSON; ?from=N for pages)\n"
    "  /v1/groups        the consumer groups whose replicas are here (JSON; ?limit=N&after=NAME for pages)\n"
    "  /v1/groups/NAME   one group with its members, offsets and lag (JSON)\n"
    "  /v1/groups/NAME/lag  how far it lags behind in each topic (JSON)\n";

struct http_exchange *http_exchange_new(struct http_server *server, const struct http_request *request,
                                        http_answered_fn *answered, void *user)
{
    struct http_exchange *exchange = calloc(1, sizeof(*exchange));

    if (exchange == NULL) return NULL;
    exchange->server = server;
    exchange->request = *request;
    exchange->answered = answered;
    exchange->user = user;
    http_response_init(&exchange->response);
    description_init(&exchange->description);
    return exchange;
}

static void exchange_free(struct http_exchange *exchange)
{
    http_response_deinit(&exchange->response);
    description_deinit(&exchange->description);
    free(exchange);
}

void http_exchange_release(struct http_exchange *exchange)
{
    exchange->answered = NULL;
    if (!exchange->is_waiting) exchange_free(exchange);
}

/* True: somebody still wants the answer. Otherwise the exchange is gone. */
static bool exchange_resumes(struct http_exchange *exchange)
{
    exchange->is_waiting = false;
    if (exchange->answered != NULL) return true;
    exchange_free(exchange);
    return false;
}

/* Hands the response over; err: what went wrong while it was made. */
static void answer(struct http_exchange *exchange, int err)
{
    if (err != 0 && http_response_text(&exchange->response, 500, "%s", mesh_strerror(err)) != 0)
        exchange->response.status = 500;
    exchange->answered(exchange->user, exchange);
}

static void answer_text(struct http_exchange *exchange, int status, const char *text)
{
    answer(exchange, http_response_text(&exchange->response, status, "%s", text));
}

static void answer_json_error(struct http_exchange *exchange, int status, int error, const char *message)
{
    exchange->response.status = status;
    exchange->response.type = HTTP_TYPE_JSON;
    answer(exchange, view_error(error, message, &exchange->response.body));
}

static const struct http_source *source_of(const struct http_exchange *exchange)
{
    return &exchange->server->source;
}

/* ---- health ---- */

static void answer_front_page(struct http_exchange *exchange, const char *rest)
{
    (void)rest;
    answer(exchange, buffer_append_string(&exchange->response.body, front_page));
}

static void answer_alive(struct http_exchange *exchange, const char *rest)
{
    (void)rest;
    answer_text(exchange, 200, "alive");
}

static void answer_ready(struct http_exchange *exchange, const char *rest)
{
    const char *reason = source_of(exchange)->not_ready(source_of(exchange)->user);

    (void)rest;
    if (reason == NULL)
        answer_text(exchange, 200, "ready");
    else
        answer(exchange, http_response_text(&exchange->response, 503, "not ready: %s", reason));
}

/* ---- what needs the shards' numbers ---- */

static void add_up(const struct metrics_set *set, struct describe_facts *facts)
{
    for (size_t i = 0; i < set->shard_count; i++) {
        const struct metrics_shard *shard = set->shards[i];
        facts->failed_logs += shard->store.failed_logs;
        facts->holes += shard->store.holes;
        facts->failed_stores += shard->store.is_failed;
        for (size_t j = 0; j < shard->topic_count; j++)
            facts->stored_bytes += shard->topics[j].stored_bytes;
    }
}

static void read_facts(const struct http_exchange *exchange, const struct metrics_set *set,
                       struct describe_facts *ret_facts)
{
    *ret_facts = (struct describe_facts){.coordinator = -1, .version = source_of(exchange)->version};
    source_of(exchange)->facts(source_of(exchange)->user, ret_facts);
    ret_facts->version = source_of(exchange)->version;
    ret_facts->stored_bytes = ret_facts->failed_logs = ret_facts->holes = 0;
    ret_facts->failed_stores = 0;
    add_up(set, ret_facts);
}

static void metrics_gathered(void *user, const struct metrics_set *set)
{
    struct http_exchange *exchange = user;
    const struct http_source *source;
    struct describe_facts facts;
    struct process_stats process;
    struct peers_stats peers;
    struct forward_stats forward;
    struct spread_stats spread;
    struct group_lags lags = {.rows = NULL};
    bool has_peers;

    if (!exchange_resumes(exchange)) return;
    if (set == NULL) {
        answer_text(exchange, 503, "a shard did not answer");
        return;
    }
    source = source_of(exchange);
    read_facts(exchange, set, &facts);
    process_stats_read(&process);
    has_peers = source->peers != NULL && source->peers(source->user, &peers);
    if (source->forward != NULL) source->forward(source->user, &forward);
    if (source->spread != NULL) source->spread(source->user, &spread);
    if (source->group_lags != NULL) source->group_lags(source->user, set, &lags);
    exchange->response.type = HTTP_TYPE_METRICS;
    struct metrics_input input = {
        .set = set,
        .image = source->image(source->user),
        .facts = &facts,
        .process = &process,
        .is_ready = source->not_ready(source->user) == NULL,
        .start_wall_ms = source->start_wall_ms,
        .topics_max = exchange->server->options.metric_topics_max,
        .http_connections = exchange->server->connection_count,
        .peers = has_peers ? &peers : NULL,
        .forward = source->forward != NULL ? &forward : NULL,
        .spread = source->spread != NULL ? &spread : NULL,
        .group_lags = source->group_lags != NULL ? &lags : NULL,
    };
    answer(exchange, metrics_text_write(&input, &exchange->response.body));
    group_lags_deinit(&lags);
}

static void status_gathered(void *user, const struct metrics_set *set)
{
    struct http_exchange *exchange = user;
    struct describe_facts facts;
    struct message_status_response status;
    struct arena arena = ARENA_INIT;
    int err;

    if (!exchange_resumes(exchange)) return;
    if (set == NULL) {
        answer_json_error(exchange, 503, MESH_ETIMEDOUT, "a shard did not answer");
        return;
    }
    read_facts(exchange, set, &facts);
    exchange->response.type = HTTP_TYPE_JSON;
    err = describe_status(&arena, source_of(exchange)->image(source_of(exchange)->user), &facts, &status);
    if (err == 0) err = view_status(&status, &exchange->response.body);
    arena_deinit(&arena);
    answer(exchange, err);
}

static void gather(struct http_exchange *exchange, http_gathered_fn *done)
{
    exchange->is_waiting = true;
    source_of(exchange)->gather(source_of(exchange)->user, done, exchange);
}

static void answer_metrics(struct http_exchange *exchange, const char *rest)
{
    (void)rest;
    gather(exchange, metrics_gathered);
}

static void answer_status(struct http_exchange *exchange, const char *rest)
{
    (void)rest;
    gather(exchange, status_gathered);
}

/* ---- what the image knows ---- */

static void answer_cluster(struct http_exchange *exchange, const char *rest)
{
    const struct http_source *source = source_of(exchange);
    struct describe_facts facts = {.coordinator = -1};
    struct message_cluster_response cluster;
    struct arena arena = ARENA_INIT;
    int err;

    (void)rest;
    source->facts(source->user, &facts);
    exchange->response.type = HTTP_TYPE_JSON;
    err = describe_cluster(&arena, source->image(source->user), facts.coordinator, &cluster);
    if (err == 0) err = view_cluster(&cluster, &exchange->response.body);
    arena_deinit(&arena);
    answer(exchange, err);
}

static void answer_members(struct http_exchange *exchange, const char *rest)
{
    const struct http_source *source = source_of(exchange);
    struct message_members_response members = {.member_count = 0};
    struct arena arena = ARENA_INIT;
    int err = source->members == NULL ? 0 : source->members(source->user, &arena, &members);

    (void)rest;
    exchange->response.type = HTTP_TYPE_JSON;
    if (err == 0) err = view_members(&members, &exchange->response.body);
    arena_deinit(&arena);
    answer(exchange, err);
}

/* A number in a query; absent: fallback. false: it is not a number within [0, max]. */
static bool number_parameter(const struct http_exchange *exchange, const char *name, uint32_t fallback,
                             uint32_t max, uint32_t *ret_value)
{
    char text[16], *end;
    unsigned long value;
    int err = http_target_parameter(exchange->request.target, name, text, sizeof(text));

    *ret_value = fallback;
    if (err == MESH_ENOTFOUND) return true;
    if (err != 0 || text[0] < '0' || text[0] > '9') return false;
    errno = 0;
    value = strtoul(text, &end, 10);
    if (errno != 0 || *end != '\0' || value > max) return false;
    *ret_value = (uint32_t)value;
    return true;
}

static void answer_topics(struct http_exchange *exchange, const char *rest)
{
    const struct http_source *source = source_of(exchange);
    char after[TOPIC_NAME_SIZE_MAX + 1] = "";
    uint32_t limit;
    int err = http_target_parameter(exchange->request.target, "after", after, sizeof(after));

    (void)rest;
    if (!number_parameter(exchange, "limit", VIEW_TOPICS_DEFAULT, VIEW_TOPICS_MAX, &limit) || limit == 0) {
        answer_json_error(exchange, 400, MESH_EINVAL, "limit is a number from 1 to 10000");
    } else if (err != 0 && err != MESH_ENOTFOUND) {
        answer_json_error(exchange, 400, MESH_EINVALID_TOPIC, "after is the name of a topic");
    } else {
        exchange->response.type = HTTP_TYPE_JSON;
        answer(exchange, view_topics(source->image(source->user), after, limit, &exchange->response.body));
    }
}

static void show_topic(struct http_exchange *exchange, bool has_offsets)
{
    exchange->response.type = HTTP_TYPE_JSON;
    answer(exchange, view_topic(&exchange->description.topics.topics[0], exchange->partition_from,
                                has_offsets, &exchange->response.body));
}

static void offsets_described(void *user)
{
    struct http_exchange *exchange = user;

    if (exchange_resumes(exchange)) show_topic(exchange, true);
}

static void answer_topic(struct http_exchange *exchange, const char *name)
{
    const struct http_source *source = source_of(exchange);
    const struct image *image = source->image(source->user);
    const struct image_topic *topic = image_find_topic_by_name(image, name);
    char message[TOPIC_NAME_SIZE_MAX + 64];
    int err;

    if (topic_name_check(name, message, sizeof(message)) != 0) {
        answer_json_error(exchange, 404, MESH_EINVALID_TOPIC, message);
        return;
    }
    if (topic == NULL) {
        answer_json_error(exchange, 404, MESH_EUNKNOWN_TOPIC,
                          "there is no such topic; /v1/topics lists them");
        return;
    }
    if (!number_parameter(exchange, "from", 0, IMAGE_TOPIC_PARTITIONS_MAX, &exchange->partition_from)) {
        answer_json_error(exchange, 400, MESH_EINVAL, "from is the number of a partition");
        return;
    }
    err = describe_topic(&exchange->description, image, topic);
    if (err != 0) {
        answer(exchange, err);
    } else if (source->offsets == NULL) {
        show_topic(exchange, false);
    } else {
        exchange->is_waiting = true;
        source->offsets(source->user, &exchange->description.topics, offsets_described, exchange);
    }
}

/* ---- groups ---- */

#define LAG "/lag"

static void groups_listed(void *user, int error, struct slice answer_bytes)
{
    struct http_exchange *exchange = user;
    struct message_group_list_response list;

    if (!exchange_resumes(exchange)) return;
    if (error == 0) error = message_decode_group_list_response(answer_bytes, &list);
    if (error == 0) {
        exchange->response.type = HTTP_TYPE_JSON;
        error = view_groups(&list, &exchange->response.body);
        message_deinit_group_list_response(&list);
    }
    answer(exchange, error);
}

/* Looks at the bytes as they were sent: a slash that belongs to the name is escaped. */
static bool asks_for_lag(const struct http_exchange *exchange, const char *name)
{
    size_t size = strcspn(exchange->request.target, "?");

    return strlen(name) > strlen(LAG) && size > strlen(LAG) && memcmp(exchange->request.target + size - strlen(LAG), LAG, strlen(LAG)) == 0;
}

/* A group that is not there is the asker's mistake; a leader that cannot be asked is nobody's. */
static void show_group(struct http_exchange *exchange, int error, struct slice answer_bytes,
                       int (*view)(const struct message_group_describe_response *group, struct buffer *to))
{
    struct message_group_describe_response group;

    if (!exchange_resumes(exchange)) return;
    if (error == 0) error = message_decode_group_describe_response(answer_bytes, &group);
    if (error == 0) {
        exchange->response.type = HTTP_TYPE_JSON;
        error = view(&group, &exchange->response.body);
        message_deinit_group_describe_response(&group);
        answer(exchange, error);
    } else {
        answer_json_error(exchange, error == MESH_ENOTFOUND || error == MESH_EINVALID_GROUP ? 404 : 503, error,
                          error == MESH_ENOTFOUND ? "there is no such group; /v1/groups lists them" : mesh_strerror(error));
    }
}

static void group_described(void *user, int error, struct slice answer_bytes)
{
    show_group(user, error, answer_bytes, view_group);
}

static void group_lag_described(void *user, int error, struct slice answer_bytes)
{
    show_group(user, error, answer_bytes, view_group_lag);
}

static void answer_groups(struct http_exchange *exchange, const char *rest)
{
    const struct http_source *source = source_of(exchange);
    char after[VIEW_GROUP_NAME_MAX + 1] = "";
    struct message_group_list request = {.partition = -1};
    int err = http_target_parameter(exchange->request.target, "after", after, sizeof(after));

    (void)rest;
    if (!number_parameter(exchange, "limit", VIEW_GROUPS_DEFAULT, MESSAGE_GROUP_ROWS_MAX, &request.limit) || request.limit == 0) {
        answer_json_error(exchange, 400, MESH_EINVAL, "limit is a number from 1 to 10000");
        return;
    }
    if (err != 0 && err != MESH_ENOTFOUND) {
        answer_json_error(exchange, 400, MESH_EINVALID_GROUP, "after is the name of a group");
        return;
    }
    request.after = slice_of_string(after);
    exchange->is_waiting = true;
    err = source->groups == NULL ? MESH_EUNSUPPORTED : source->groups(source->user, &request, groups_listed, exchange);
    if (err == 0) return;
    exchange->is_waiting = false;
    answer_json_error(exchange, 503, err, mesh_strerror(err));
}

static void answer_group(struct http_exchange *exchange, const char *name)
{
    const struct http_source *source = source_of(exchange);
    struct message_group_describe request = {
        .head = {.group = slice_of_string(name), .forwards = true, .epoch = -1}, .is_local = true, .with_lag = true, .after_partition = -1};
    bool is_lag = asks_for_lag(exchange, name);
    int err;

    if (is_lag) request.head.group.size -= strlen(LAG);
    exchange->is_waiting = true;
    err = source->group == NULL ? MESH_EUNSUPPORTED : source->group(source->user, &request, is_lag ? group_lag_described : group_described, exchange);
    if (err == 0) return;
    exchange->is_waiting = false;
    answer_json_error(exchange, 503, err, mesh_strerror(err));
}

/* ---- the table ---- */

static const struct {
    const char *path; /* one that ends in "*" takes what follows */
    void (*answer)(struct http_exchange *exchange, const char *rest);
} routes[] = {
    {"/", answer_front_page},      {"/livez", answer_alive},       {"/readyz", answer_ready},
    {"/metrics", answer_metrics},  {"/v1/status", answer_status},  {"/v1/cluster", answer_cluster},
    {"/v1/members", answer_members},
    {"/v1/topics", answer_topics}, {"/v1/topics/*", answer_topic},
    {"/v1/groups", answer_groups}, {"/v1/groups/*", answer_group},
};

static bool route_matches(const char *route, const char *path, const char **ret_rest)
{
    size_t size = strlen(route);

    *ret_rest = "";
    if (route[size - 1] != '*') return strcmp(route, path) == 0;
    if (strncmp(route, path, size - 1) != 0 || path[size - 1] == '\0') return false;
    *ret_rest = path + size - 1;
    return true;
}

void http_exchange_start(struct http_exchange *exchange)
{
    char path[PATH_BYTES_MAX];
    const char *rest;
    int err = http_target_path(exchange->request.target, path, sizeof(path));

    if (exchange->request.method != HTTP_GET && exchange->request.method != HTTP_HEAD) {
        exchange->response.allow = "GET, HEAD";
        answer_text(exchange, 405,
                    "this door only reads: use GET or HEAD; topics are changed by `mesh topic`");
        return;
    }
    if (err == MESH_EPROTO) {
        answer_text(exchange, 400, "the request's target must be a path that begins with '/'");
        return;
    }
    for (size_t i = 0; err == 0 && i < sizeof(routes) / sizeof(routes[0]); i++) {
        if (!route_matches(routes[i].path, path, &rest)) continue;
        routes[i].answer(exchange, rest);
        return;
    }
    answer_text(exchange, 404,
                "nothing is here; try /, /livez, /readyz, /metrics, /v1/status, /v1/cluster, /v1/topics, "
                "/v1/topics/NAME, /v1/groups, /v1/groups/NAME or /v1/groups/NAME/lag");
}
