/* metadata/metadata_moves.c - replicas that are to move: asked for by names, answered with what was set going. */
#include "base/arena.h"
#include "base/error.h"
#include "cmd/broker/metadata/metadata_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

__attribute__((format(printf, 3, 4))) static int refuse(char *message, int error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(message, METADATA_MESSAGE_SIZE, format, arguments);
    va_end(arguments);
    return error;
}

/* ---- brokers by name ---- */

static bool is_called(const struct image_broker *broker, const char *text)
{
    char number[16];

    snprintf(number, sizeof(number), "%d", broker->node_id);
    return strcmp(broker->name, text) == 0 || strcmp(number, text) == 0;
}

/* `text` is a uuid, a name or a node id. */
static int find_broker(const struct image *image, const char *text, int32_t *ret_node_id, char *message)
{
    const struct image_broker *found = NULL;
    struct uuid id;

    if (text == NULL || text[0] == '\0') return refuse(message, MESH_EINVAL, "a broker has no name");
    if (uuid_parse(text, &id) == 0) {
        found = image_find_broker_by_uuid(image, &id);
    } else {
        for (size_t i = 0; i < image_broker_count(image); i++) {
            const struct image_broker *broker = image_broker_at(image, i);

            if (!is_called(broker, text)) continue;
            if (found != NULL) return refuse(message, MESH_EINVAL, "several brokers are called '%.64s': give node ids ('mesh status' shows them)", text);
            found = broker;
        }
    }
    if (found == NULL) return refuse(message, MESH_ENOTFOUND, "the mesh has no broker '%.64s' ('mesh status' shows them)", text);
    *ret_node_id = found->node_id;
    return 0;
}

/* ---- what a change has set going ---- */

struct difference {
    struct arena arena;
    const struct image *before;
    const struct uuid *topic_id; /* the only one that counts; NULL: all */
    struct message_moves_response response;
    size_t capacity;
};

static bool is_moved(const struct image_partition *before, const struct image_partition *after)
{
    return before->replica_count != after->replica_count || before->adding != after->adding || before->removing != after->removing ||
           memcmp(before->replicas, after->replicas, before->replica_count * sizeof(before->replicas[0])) != 0;
}

static int copy_list(struct arena *arena, const struct image_partition *partition, uint32_t without, int32_t **ret_list, size_t *ret_count)
{
    size_t count = 0;
    int32_t *list = arena_alloc(arena, partition->replica_count, sizeof(list[0]));

    if (list == NULL) return MESH_ENOMEM;
    for (uint32_t i = 0; i < partition->replica_count; i++)
        if ((without >> i & 1) == 0) list[count++] = partition->replicas[i];
    *ret_list = list;
    *ret_count = count;
    return 0;
}

static int add_move(struct difference *difference, const struct image_topic *topic, uint32_t number, const struct image_partition *before,
                    const struct image_partition *after)
{
    struct message_moves_response *response = &difference->response;
    struct message_move *move;
    int err;

    if (response->move_count == difference->capacity) {
        size_t capacity = difference->capacity == 0 ? 16 : difference->capacity * 2;
        struct message_move *moves = arena_alloc(&difference->arena, capacity, sizeof(moves[0]));

        if (moves == NULL) return MESH_ENOMEM;
        if (response->move_count != 0) memcpy(moves, response->moves, response->move_count * sizeof(moves[0]));
        response->moves = moves;
        difference->capacity = capacity;
    }
    move = &response->moves[response->move_count];
    *move = (struct message_move){.topic = arena_strdup(&difference->arena, topic->name), .partition = number};
    err = move->topic == NULL ? MESH_ENOMEM : copy_list(&difference->arena, before, before->adding, &move->from, &move->from_count);
    if (err == 0) err = copy_list(&difference->arena, after, after->removing, &move->to, &move->to_count);
    if (err == 0) response->move_count++;
    return err;
}

static int compare_topic(void *user, const struct image_topic *topic)
{
    struct difference *difference = user;
    const struct image_topic *former = image_find_topic(difference->before, &topic->topic_id);
    struct image_partition before, after;
    int err = 0;

    if (former == NULL || former->changed_index == topic->changed_index) return 0;
    if (difference->topic_id != NULL && !uuid_equal(difference->topic_id, &topic->topic_id)) return 0;
    for (uint32_t i = 0; err == 0 && image_topic_partition(former, i, &before) && image_topic_partition(topic, i, &after); i++)
        if (is_moved(&before, &after)) err = add_move(difference, topic, i, &before, &after);
    return err;
}

/* Tells done() what lies between the images. */
static void tell(const struct image *before, const struct image *after, const struct uuid *topic_id, metadata_moves_fn *done, void *user)
{
    struct difference difference = {.arena = ARENA_INIT, .before = before, .topic_id = topic_id};
    int err = image_each_topic(after, compare_topic, &difference);

    if (err == 0) done(user, 0, "", &difference.response);
    else done(user, err, mesh_strerror(err), NULL);
    arena_deinit(&difference.arena);
}

/* ---- asking ---- */

struct moving {
    struct metadata *metadata;
    const struct image *before; /* referenced */
    struct uuid topic_id;       /* zero: all */
    metadata_moves_fn *done;
    void *user;
};

static void on_answered(void *user, int error, const char *message)
{
    struct moving *moving = user;

    if (error != 0) moving->done(moving->user, error, message, NULL);
    else
        tell(moving->before, node_image(moving->metadata->node), uuid_is_zero(&moving->topic_id) ? NULL : &moving->topic_id, moving->done,
             moving->user);
    image_unref(moving->before);
    free(moving);
}

/* Takes `body`, made with error `err`. */
static void ask(struct metadata *metadata, enum node_op op, const struct uuid *topic_id, struct buffer *body, int err, metadata_moves_fn *done,
                void *user)
{
    struct moving *moving = err == 0 ? calloc(1, sizeof(*moving)) : NULL;

    if (moving == NULL) {
        if (err == 0) err = MESH_ENOMEM;
        buffer_deinit(body);
        done(user, err, mesh_strerror(err), NULL);
        return;
    }
    *moving = (struct moving){metadata, image_ref(node_image(metadata->node)), *topic_id, done, user};
    metadata_request_plain(metadata, op, body, 0, on_answered, moving);
}

/* Each partition of a topic begins with another one of the brokers: that one will lead it. */
static void rotate(struct decide_move *move, const int32_t *nodes, uint32_t count, uint32_t by)
{
    move->count = count;
    for (uint32_t i = 0; i < count; i++)
        move->replicas[i] = nodes[(i + by) % count];
}

static bool is_moving(const struct image_topic *topic, uint32_t number)
{
    struct image_partition partition;

    return image_topic_partition(topic, number, &partition) && (partition.adding | partition.removing) != 0;
}

static int encode_moves(const struct image_topic *topic, const struct message_topic_move *request, const int32_t *nodes, struct buffer *body)
{
    uint32_t first = request->partition < 0 ? 0 : (uint32_t)request->partition;
    uint32_t end = request->partition < 0 ? topic->partition_count : first + 1;
    struct decide_move *moves = calloc(end - first, sizeof(moves[0]));
    size_t count = 0;
    int err;

    if (moves == NULL) return MESH_ENOMEM;
    for (uint32_t i = first; i < end; i++) {
        if (request->is_cancel && request->partition < 0 && !is_moving(topic, i)) continue;
        moves[count].topic_id = topic->topic_id;
        moves[count].partition = i;
        if (!request->is_cancel) rotate(&moves[count], nodes, (uint32_t)request->broker_count, request->partition < 0 ? i : 0);
        count++;
    }
    err = count == 0 ? MESH_ENOTFOUND : count > DECIDE_PARTITIONS_MAX ? MESH_ETOOLARGE : node_encode_moves(body, moves, count);
    free(moves);
    return err;
}

static int check(const struct message_topic_move *request, const struct image_topic *topic, char *message)
{
    uint32_t wanted = topic == NULL ? 0 : (uint32_t)image_topic_config(topic, TOPIC_CONFIG_REPLICAS);

    if (topic == NULL || (request->partition >= 0 && (uint32_t)request->partition >= topic->partition_count))
        return refuse(message, MESH_EUNKNOWN_TOPIC, topic == NULL ? "there is no such topic" : "the topic has no such partition");
    if (request->is_cancel && request->broker_count != 0) return refuse(message, MESH_EINVAL, "a move is cancelled without naming brokers");
    if (!request->is_cancel && request->broker_count == 0) return refuse(message, MESH_EINVAL, "no brokers are named");
    if (request->broker_count > IMAGE_REPLICAS_MAX)
        return refuse(message, MESH_EINVALID_REPLICATION, "a partition has at most %d replicas", IMAGE_REPLICAS_MAX);
    if (!request->is_cancel && wanted != 0 && request->broker_count != wanted) /* the coordinator would soon undo it */
        return refuse(message, MESH_EINVALID_REPLICATION, "the topic is to have %u replicas, not %zu: its setting replicas says how many", wanted,
                      request->broker_count);
    return 0;
}

void metadata_move(struct metadata *metadata, const struct message_topic_move *request, metadata_moves_fn *done, void *user)
{
    const struct image *image = node_image(metadata->node);
    const struct image_topic *topic = request->topic == NULL ? NULL : image_find_topic_by_name(image, request->topic);
    char message[METADATA_MESSAGE_SIZE] = "";
    int32_t nodes[IMAGE_REPLICAS_MAX];
    struct buffer body = BUFFER_INIT;
    int err = check(request, topic, message);

    for (size_t i = 0; err == 0 && i < request->broker_count; i++)
        err = find_broker(image, request->brokers[i], &nodes[i], message);
    if (err == 0) err = encode_moves(topic, request, nodes, &body);
    if (err == MESH_ENOTFOUND && message[0] == '\0') refuse(message, err, "no partition of the topic moves");
    if (err == MESH_ETOOLARGE) refuse(message, err, "one request moves at most %d partitions: name them one by one", DECIDE_PARTITIONS_MAX);
    if (err != 0) {
        buffer_deinit(&body);
        done(user, err, message[0] != '\0' ? message : mesh_strerror(err), NULL);
        return;
    }
    ask(metadata, NODE_OP_MOVE, &topic->topic_id, &body, 0, done, user);
}

/* ---- balance ---- */

/* By this broker's image alone, and without what the coordinator knows of load: so it is what would move, not a promise. */
static void balance_dry(const struct image *image, const struct uuid *topic_id, metadata_moves_fn *done, void *user)
{
    struct image *next = NULL;
    struct decision decision;
    int err;

    decision_init(&decision);
    err = decide_topic_balance(image, topic_id, NULL, &decision);
    if (err == 0) err = decision_preview(image, &decision, &next);
    if (err == 0) tell(image, next, NULL, done, user);
    else done(user, err, decision.message[0] != '\0' ? decision.message : mesh_strerror(err), NULL);
    image_unref(next);
    decision_deinit(&decision);
}

void metadata_balance(struct metadata *metadata, const struct message_topic_balance *request, metadata_moves_fn *done, void *user)
{
    const struct image *image = node_image(metadata->node);
    bool is_all = request->topic == NULL || request->topic[0] == '\0';
    const struct image_topic *topic = is_all ? NULL : image_find_topic_by_name(image, request->topic);
    struct uuid topic_id = {{0}};
    struct buffer body = BUFFER_INIT;

    if (topic == NULL && !is_all) {
        done(user, MESH_EUNKNOWN_TOPIC, "there is no such topic", NULL);
        return;
    }
    if (topic != NULL) topic_id = topic->topic_id;
    if (request->is_dry) {
        balance_dry(image, &topic_id, done, user);
        return;
    }
    ask(metadata, NODE_OP_TOPIC_BALANCE, &topic_id, &body, node_encode_balance(&body, &topic_id), done, user);
}
