#include "sim/metadata_clients.h"

#include "base/assert.h"
#include "sim/sim_sometimes.h"
#include "wire/message.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define NAME_SIZE 24

void metadata_clients_reset(struct metadata_clients *clients, struct sim *sim)
{
    memset(clients, 0, sizeof(*clients));
    clients->sim = sim;
}

/* ---- names ---- */

static void name_of(uint32_t name, char to[NAME_SIZE])
{
    snprintf(to, NAME_SIZE, "topic-%" PRIu32, name);
}

static uint32_t number_of(const char *name)
{
    uint32_t number = METADATA_NAMES_MAX;

    if (sscanf(name, "topic-%" SCNu32, &number) != 1) return METADATA_NAMES_MAX;
    return number < METADATA_NAMES_MAX ? number : METADATA_NAMES_MAX;
}

uint32_t metadata_clients_new_name(struct metadata_clients *clients)
{
    return clients->name_count < METADATA_NAMES_MAX ? clients->name_count++ : METADATA_NAMES_MAX;
}

const struct image_topic *metadata_clients_topic(const struct image *image, uint32_t name)
{
    char text[NAME_SIZE];

    name_of(name, text);
    return image == NULL ? NULL : image_find_topic_by_name(image, text);
}

bool metadata_clients_asked_to_delete(const struct metadata_clients *clients, const char *name)
{
    uint32_t number = number_of(name);

    return number < METADATA_NAMES_MAX && clients->names[number].deletes > 0;
}

/* ---- asking ---- */

static int encode(const struct metadata_clients *clients, enum metadata_ask kind, char *name, uint32_t count, struct buffer *body)
{
    struct message_topic_create create = clients->form != NULL ? *clients->form : (struct message_topic_create){.replication_factor = 0};
    struct message_topic_alter alter = {.name = name, .partition_count = (int32_t)count};
    struct message_topic_delete gone = {.name = name};

    create.name = name;
    create.partition_count = (int32_t)count;
    switch (kind) {
    case METADATA_ASK_CREATE: return message_encode_topic_create(body, &create);
    case METADATA_ASK_ALTER: return message_encode_topic_alter(body, &alter);
    case METADATA_ASK_DELETE: return message_encode_topic_delete(body, &gone);
    default: return node_encode_producer_ids(body, count);
    }
}

static void note(struct metadata_clients *clients, const struct metadata_request *request)
{
    struct metadata_name *name = &clients->names[request->name];

    if (request->kind == METADATA_ASK_CREATE) name->creates++;
    if (request->kind == METADATA_ASK_DELETE) name->deletes++;
    if (request->kind == METADATA_ASK_PRODUCER_IDS) clients->ids_asked += request->count;
}

int metadata_clients_ask(struct metadata_clients *clients, struct metadata_process *process, enum metadata_ask kind, uint32_t name, uint32_t count,
                         uint64_t timeout_us)
{
    static const enum node_op ops[] = {NODE_OP_TOPIC_CREATE, NODE_OP_TOPIC_ALTER, NODE_OP_TOPIC_DELETE, NODE_OP_PRODUCER_IDS};
    struct metadata_request *request = &clients->requests[clients->request_count];
    struct buffer body = BUFFER_INIT;
    char text[NAME_SIZE];
    int err;

    if (clients->request_count == METADATA_REQUESTS_MAX || clients->topic_count == METADATA_TOPICS_MAX) return -1;
    name_of(name, text);
    MESH_ASSERT(encode(clients, kind, text, count, &body) == 0);
    *request = (struct metadata_request){.kind = kind, .name = name, .count = count};
    note(clients, request);
    err = node_request(metadata_process_node(process), sim_host_now_us(metadata_process_host(process)), ops[kind], buffer_slice(&body), timeout_us,
                       clients->request_count);
    buffer_deinit(&body);
    MESH_ASSERT(err == 0 || err == MESH_EBUSY);
    sim_trace(clients->sim, metadata_process_host(process), "is asked, request %u: kind %d, %s, %u", clients->request_count, (int)kind, text, count);
    clients->request_count++;
    metadata_process_drain(process);
    return (int)clients->request_count - 1;
}

void metadata_clients_send(struct metadata_clients *clients, struct metadata_process *process, enum node_op op, struct slice body, uint64_t timeout_us)
{
    int err;

    if (clients->request_count == METADATA_REQUESTS_MAX) return;
    clients->requests[clients->request_count] = (struct metadata_request){.kind = METADATA_ASK_OTHER};
    err = node_request(metadata_process_node(process), sim_host_now_us(metadata_process_host(process)), op, body, timeout_us, clients->request_count);
    MESH_ASSERT(err == 0 || err == MESH_EBUSY);
    sim_trace(clients->sim, metadata_process_host(process), "is asked, request %u: operation %d", clients->request_count, (int)op);
    clients->request_count++;
    metadata_process_drain(process);
}

/* ---- images ---- */

static void check_counts(struct metadata_clients *clients, uint32_t number)
{
    const struct metadata_name *name = &clients->names[number];

    if (name->came > name->creates - name->void_creates)
        sim_fail(clients->sim, "what is asked once is done once", "%u topics were made as topic-%u; %u were asked for, %u of them refused", name->came,
                 number, name->creates, name->void_creates);
    if (name->gone > name->deletes - name->void_deletes)
        sim_fail(clients->sim, "what is created stays", "%u topics went as topic-%u; %u deletions were asked for, %u of them refused", name->gone,
                 number, name->deletes, name->void_deletes);
}

static struct metadata_topic *find_topic(struct metadata_clients *clients, const struct uuid *topic_id)
{
    for (uint32_t i = clients->topic_count; i-- > 0;) {
        if (uuid_equal(&clients->topics[i].topic_id, topic_id)) return &clients->topics[i];
    }
    return NULL;
}

static struct metadata_topic *add_topic(struct metadata_clients *clients, const struct uuid *topic_id, uint32_t name)
{
    struct metadata_topic *topic = &clients->topics[clients->topic_count];

    if (clients->topic_count == METADATA_TOPICS_MAX) return NULL;
    clients->topic_count++;
    *topic = (struct metadata_topic){.topic_id = *topic_id, .name = name, .leaders = {-1, -1, -1, -1}, .epochs = {-1, -1, -1, -1}};
    clients->names[name].came++;
    check_counts(clients, name);
    return topic;
}

static void check_leaders(struct metadata_clients *clients, struct metadata_topic *topic, const struct image_topic *now)
{
    for (uint32_t i = 0; i < now->partition_count && i < 4; i++) {
        struct image_partition partition;

        MESH_ASSERT(image_topic_partition(now, i, &partition));
        if (partition.leader_epoch < topic->epochs[i] || partition.partition_epoch < topic->partition_epochs[i])
            sim_fail(clients->sim, "S7 epochs only rise", "%s-%u: epoch %d after %d", now->name, i, partition.leader_epoch, topic->epochs[i]);
        if (partition.leader_epoch == topic->epochs[i] && partition.leader != topic->leaders[i])
            sim_fail(clients->sim, "S7 one leader for each epoch", "%s-%u: %d and %d lead in epoch %d", now->name, i, topic->leaders[i], partition.leader,
                     partition.leader_epoch);
        topic->epochs[i] = partition.leader_epoch;
        topic->leaders[i] = partition.leader;
        topic->partition_epochs[i] = partition.partition_epoch;
    }
}

static int look_at(void *user, const struct image_topic *now)
{
    struct metadata_clients *clients = user;
    struct metadata_topic *topic = find_topic(clients, &now->topic_id);
    uint32_t name = number_of(now->name);

    clients->alive_count++;
    if (topic == NULL) {
        if (name == METADATA_NAMES_MAX) {
            sim_fail(clients->sim, "what is asked once is done once", "nobody asked for a topic %s", now->name);
            return 1;
        }
        topic = add_topic(clients, &now->topic_id, name);
    }
    if (topic == NULL) return 0;
    if (topic->is_gone) sim_fail(clients->sim, "what is deleted stays so", "a topic %s is there again", now->name);
    check_leaders(clients, topic, now);
    return 0;
}

static void note_gone(struct metadata_clients *clients, struct metadata_topic *topic)
{
    topic->is_gone = true;
    clients->names[topic->name].gone++;
    check_counts(clients, topic->name);
}

void metadata_clients_image(struct metadata_clients *clients, const struct image *image)
{
    int64_t ids = image_next_producer_id(image);

    clients->alive_count = 0;
    image_each_topic(image, look_at, clients);
    for (uint32_t i = 0; i < clients->topic_count; i++) {
        struct metadata_topic *topic = &clients->topics[i];
        if (!topic->is_gone && image_find_topic(image, &topic->topic_id) == NULL) note_gone(clients, topic);
    }
    if (ids > 0 && (uint64_t)ids > clients->ids_asked + 1)
        sim_fail(clients->sim, "what is asked once is done once", "producer ids up to %lld are given; %llu were asked for", (long long)ids,
                 (unsigned long long)clients->ids_asked);
}

/* ---- answers ---- */

/* It came and went between two images that were published. */
static void note_unseen(struct metadata_clients *clients, const struct metadata_request *request, const struct node_output *answer, const struct image *newest)
{
    struct metadata_topic *topic;

    if (find_topic(clients, &answer->topic_id) != NULL || newest == NULL || !image_topic_was_deleted(newest, &answer->topic_id)) return;
    topic = add_topic(clients, &answer->topic_id, request->name);
    if (topic != NULL) note_gone(clients, topic);
}

static void check_ids(struct metadata_clients *clients, const struct metadata_request *request)
{
    for (const struct metadata_request *other = clients->requests; other < clients->requests + clients->request_count; other++) {
        if (other == request || other->kind != METADATA_ASK_PRODUCER_IDS || !other->is_done) continue;
        if (request->first_id < other->first_id + other->count && other->first_id < request->first_id + request->count)
            sim_fail(clients->sim, "producer ids are given once", "%lld and %lld begin blocks of %u and %u", (long long)request->first_id,
                     (long long)other->first_id, request->count, other->count);
    }
}

static void check_done(struct metadata_clients *clients, struct metadata_process *process, struct metadata_request *request,
                       const struct node_output *answer, const struct image *newest)
{
    const struct metadata_topic *topic;

    clients->acknowledged++;
    request->is_done = true;
    if (answer->index > metadata_process_published(process))
        sim_fail(clients->sim, "an answer follows the image that shows it", "index %llu is answered, %llu is published",
                 (unsigned long long)answer->index, (unsigned long long)metadata_process_published(process));
    if (request->kind == METADATA_ASK_OTHER) return;
    if (request->kind == METADATA_ASK_PRODUCER_IDS) {
        request->first_id = answer->first_id;
        clients->ids_given += answer->id_count;
        if (answer->id_count != request->count) sim_fail(clients->sim, "answers are true", "%u producer ids instead of %u", answer->id_count, request->count);
        check_ids(clients, request);
        return;
    }
    note_unseen(clients, request, answer, newest);
    topic = find_topic(clients, &answer->topic_id);
    if (topic == NULL || topic->name != request->name) {
        sim_fail(clients->sim, "answers are true", "topic-%u is said to be made, changed or deleted; there was none of that id", request->name);
        return;
    }
    if (request->kind == METADATA_ASK_DELETE && !topic->is_gone)
        sim_fail(clients->sim, "answers are true", "topic-%u is said to be deleted, and is there", request->name);
    if (request->kind == METADATA_ASK_ALTER && !topic->is_gone && image_find_topic(newest, &topic->topic_id)->partition_count < request->count)
        sim_fail(clients->sim, "answers are true", "topic-%u has fewer than %u partitions", request->name, request->count);
}

/* Nothing was done, and there is a reason. */
static void check_refused(struct metadata_clients *clients, struct metadata_request *request, const struct node_output *answer)
{
    struct metadata_name *name = &clients->names[request->name];

    clients->refused++;
    if (request->kind == METADATA_ASK_CREATE) name->void_creates++;
    if (request->kind == METADATA_ASK_DELETE) name->void_deletes++;
    if (request->kind == METADATA_ASK_PRODUCER_IDS) clients->ids_asked -= request->count;
    check_counts(clients, request->name);
    if (request->kind == METADATA_ASK_CREATE && answer->error == MESH_ETOPIC_EXISTS && name->creates - name->void_creates == 0)
        sim_fail(clients->sim, "what is asked once is done once", "topic-%u is said to exist; nobody else has asked for it", request->name);
}

void metadata_clients_answered(struct metadata_clients *clients, struct metadata_process *process, const struct node_output *answer,
                               const struct image *newest)
{
    struct metadata_request *request = &clients->requests[answer->cookie];

    sim_trace(clients->sim, metadata_process_host(process), "answers request %llu: %d, at %llu; %s", (unsigned long long)answer->cookie,
              answer->error, (unsigned long long)answer->index, answer->text);
    request->is_answered = true;
    request->error = answer->error;
    SIM_SOMETIMES_IF(answer->error == MESH_ENO_COORDINATOR, "a request found no coordinator");
    SIM_SOMETIMES_IF(answer->error == MESH_ETIMEDOUT, "a request was not answered in time");
    SIM_SOMETIMES_IF(answer->error == MESH_ETOPIC_EXISTS, "a topic existed already");
    SIM_SOMETIMES_IF(answer->error == MESH_EUNKNOWN_TOPIC, "a topic was not there any more");
    if (answer->error == MESH_ETIMEDOUT)
        clients->timed_out++;
    else if (answer->error != 0)
        check_refused(clients, request, answer);
    else
        check_done(clients, process, request, answer, newest);
}
