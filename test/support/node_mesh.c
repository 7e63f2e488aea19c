#include "support/node_mesh.h"

#include "base/assert.h"
#include "base/buffer.h"
#include "base/error.h"
#include "base/random.h"
#include "support/node_disk.h"
#include "wire/message.h"

#include <stdio.h>
#include <stdlib.h>

#define ANSWERS_MAX 200000
#define SEEN_MAX    65536
#define SPARSE_LINKS 5
#define FRONTIER_FEW 12
#define TERMS_MAX    4096
#define HISTORIES_MAX 8
#define REPORTS_MAX   1024

enum event_type { EVENT_TICK, EVENT_DELIVER, EVENT_STORED, EVENT_READ, EVENT_TAKEN, EVENT_RESTORED, EVENT_LINK, EVENT_FRONTIER, EVENT_MEMBER, EVENT_GONE };

struct event {
    uint64_t at_us, order;
    enum event_type type;
    uint32_t host, other, life, other_life;
    enum node_link link;
    bool is_up;
    uint64_t number, offset, size, index;
    struct node_frontier frontier;
    struct disk_job *job;
    struct image *image;
    struct raft_position position;
    uint8_t *bytes;
    size_t byte_count;
};

struct host {
    struct raft_server server;
    uint64_t boot;
    uint32_t life;
    struct node *node;
    struct node_disk *disk;
    uint64_t disk_free_us, armed_us, paused_until_us;
    bool *is_linked, *is_cut, *wants;
    uint64_t *last_delivery_us; /* links keep their order */
    uint64_t published;
    uint64_t *seen_us;
    bool has_left, is_written_off;
    uint64_t published_ever;
    char last_error[NODE_TEXT_SIZE];
};

struct node_mesh {
    struct node_mesh_options options;
    struct random random;
    uint64_t now_us, order, messages;
    struct host hosts[NODE_MESH_MAX];
    struct event *heap;
    size_t heap_count, heap_capacity;
    struct node_answer *answers;
    int answer_count;
    uint32_t owners[HISTORIES_MAX][TERMS_MAX]; /* by history and term in it: 1 + the host that coordinated */
    struct node_recovery_report reports[REPORTS_MAX];
    int report_count;
    bool counts_splits;
    size_t splits;
    uint64_t *chains; /* by index: what the first who published it said */
};

/* ---- time ---- */

static bool is_before(const struct event *a, const struct event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void push(struct node_mesh *mesh, struct event event)
{
    size_t i = mesh->heap_count++;

    if (mesh->heap_count > mesh->heap_capacity) {
        mesh->heap_capacity = mesh->heap_capacity * 2 + 64;
        mesh->heap = realloc(mesh->heap, mesh->heap_capacity * sizeof(mesh->heap[0]));
        MESH_ASSERT(mesh->heap != NULL);
    }
    if (event.order == 0) event.order = ++mesh->order; /* what is put off keeps its place among its like */
    while (i > 0 && is_before(&event, &mesh->heap[(i - 1) / 2])) {
        mesh->heap[i] = mesh->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    mesh->heap[i] = event;
}

static struct event pop(struct node_mesh *mesh)
{
    struct event first = mesh->heap[0], last = mesh->heap[--mesh->heap_count];
    size_t i = 0;

    for (;;) {
        size_t child = 2 * i + 1;

        if (child >= mesh->heap_count) break;
        if (child + 1 < mesh->heap_count && is_before(&mesh->heap[child + 1], &mesh->heap[child])) child++;
        if (!is_before(&mesh->heap[child], &last)) break;
        mesh->heap[i] = mesh->heap[child];
        i = child;
    }
    if (mesh->heap_count != 0) mesh->heap[i] = last;
    return first;
}

static void event_free(struct event *event)
{
    free(event->bytes);
    disk_job_free(event->job);
    image_unref(event->image);
}

/* ---- outputs ---- */

static size_t find_host(const struct node_mesh *mesh, const struct uuid *id)
{
    size_t index = (size_t)id->bytes[14] << 8 | id->bytes[15];

    MESH_ASSERT(index < mesh->options.count && uuid_equal(&mesh->hosts[index].server.broker, id));
    return index;
}

static void send_bytes(struct node_mesh *mesh, struct host *host, const struct node_output *output)
{
    size_t to = find_host(mesh, &output->peer);
    uint64_t at = mesh->now_us + mesh->options.link_us + (mesh->options.link_jitter_us == 0 ? 0 : random_below(&mesh->random, mesh->options.link_jitter_us));
    struct event event = {
        .type = EVENT_DELIVER,
        .host = (uint32_t)to,
        .other = (uint32_t)(host - mesh->hosts),
        .life = mesh->hosts[to].life,
        .other_life = host->life,
        .link = output->link,
        .byte_count = output->bytes.size,
    };

    mesh->messages++;
    if (!host->is_linked[to]) return;
    MESH_ASSERT(output->bytes.size <= NODE_MESSAGE_MAX);
    if (at < host->last_delivery_us[to]) at = host->last_delivery_us[to];
    host->last_delivery_us[to] = event.at_us = at;
    event.bytes = malloc(output->bytes.size + 1);
    MESH_ASSERT(event.bytes != NULL);
    memcpy(event.bytes, output->bytes.data, output->bytes.size);
    push(mesh, event);
}

static void disk_event(struct node_mesh *mesh, struct host *host, struct event event)
{
    if (host->disk_free_us < mesh->now_us) host->disk_free_us = mesh->now_us;
    host->disk_free_us += mesh->options.disk_us;
    event.host = (uint32_t)(host - mesh->hosts);
    event.life = host->life;
    event.at_us = host->disk_free_us;
    push(mesh, event);
}

static void publish(struct node_mesh *mesh, struct host *host, const struct image *image)
{
    uint64_t index = image_applied_index(image), chain;

    memcpy(&chain, image_chain(image), sizeof(chain));
    MESH_ASSERT(index >= host->published);
    MESH_ASSERT(index < SEEN_MAX);
    if (index != 0 && mesh->chains[index] == 0 && !host->is_written_off) mesh->chains[index] = chain;
    if (index != 0 && mesh->chains[index] != chain && !host->is_written_off) {
        MESH_ASSERT(mesh->counts_splits);
        mesh->splits++;
    }
    if (index > host->published_ever) host->published_ever = index;
    for (uint64_t i = host->published + 1; i <= index; i++)
        host->seen_us[i] = mesh->now_us;
    host->published = index;
}

static void take_answer(struct node_mesh *mesh, const struct node_output *output)
{
    struct node_answer *answer = &mesh->answers[output->cookie];

    MESH_ASSERT(!answer->is_there);
    answer->is_there = true;
    answer->error = output->error;
    snprintf(answer->text, sizeof(answer->text), "%s", output->text);
    answer->index = output->index;
    answer->at_us = mesh->now_us;
    answer->topic_id = output->topic_id;
    answer->first_id = output->first_id;
    answer->id_count = output->id_count;
    answer->result_size = output->bytes.size < sizeof(answer->result) ? output->bytes.size : sizeof(answer->result);
    if (answer->result_size != 0) memcpy(answer->result, output->bytes.data, answer->result_size);
}

/* To everybody in a small mesh, to a few in a large one. */
static void spread_frontier(struct node_mesh *mesh, struct host *host, const struct node_frontier *frontier)
{
    size_t count = mesh->options.count, told = count < FRONTIER_FEW ? count : FRONTIER_FEW;

    for (size_t i = 0; i < told; i++) {
        size_t to = count < FRONTIER_FEW ? i : random_below(&mesh->random, count);
        struct event event = {
            .type = EVENT_FRONTIER,
            .host = (uint32_t)to,
            .other = (uint32_t)(host - mesh->hosts),
            .life = mesh->hosts[to].life,
            .frontier = *frontier,
            .at_us = mesh->now_us + random_below(&mesh->random, mesh->options.gossip_us + 1),
        };

        if (&mesh->hosts[to] != host && mesh->hosts[to].node != NULL && !host->is_cut[to]) push(mesh, event);
    }
}

static void update_link(struct node_mesh *mesh, size_t a, size_t b);

/* A term has one coordinator. */
static void watch_role(struct node_mesh *mesh, const struct host *host)
{
    struct node_status status;
    uint32_t owner = (uint32_t)(host - mesh->hosts) + 1, term, *known;

    node_get_status(host->node, &status);
    term = (uint32_t)status.term;
    if (status.role != NODE_COORDINATOR || term >= TERMS_MAX || status.term >> 32 >= HISTORIES_MAX) return;
    known = &mesh->owners[status.term >> 32][term];
    MESH_ASSERT(*known == 0 || *known == owner);
    *known = owner;
}

static void take_report(struct node_mesh *mesh, uint64_t number, const struct recover_report *from)
{
    struct node_recovery_report *report = &mesh->reports[number];

    MESH_ASSERT(!report->is_there);
    report->is_there = true;
    report->error = from->error;
    report->history = from->value.history;
    if (from->value.history != 0) report->chosen = find_host(mesh, &from->value.chosen);
    for (size_t i = 0; i < from->survivor_count; i++) {
        const struct recover_survivor *survivor = &from->survivors[i];

        if (survivor->has_answered) report->answered |= UINT64_C(1) << find_host(mesh, &survivor->id);
        if (report->objection[0] == '\0') snprintf(report->objection, sizeof(report->objection), "%s", survivor->objection);
    }
}

static void perform(struct node_mesh *mesh, struct host *host, const struct node_output *output)
{
    struct event event = {0};

    switch (output->type) {
    case NODE_OUTPUT_SEND: send_bytes(mesh, host, output); return;
    case NODE_OUTPUT_WANT_LINK:
        host->wants[find_host(mesh, &output->peer)] = output->is_wanted;
        update_link(mesh, (size_t)(host - mesh->hosts), find_host(mesh, &output->peer));
        return;
    case NODE_OUTPUT_STORE_STATE:
    case NODE_OUTPUT_STORE_ENTRIES:
    case NODE_OUTPUT_STORE_CHUNK:
    case NODE_OUTPUT_STORE_RECOVERY:
        event.type = EVENT_STORED;
        event.number = output->store;
        event.job = disk_job_new(output);
        disk_event(mesh, host, event);
        return;
    case NODE_OUTPUT_SNAPSHOT_TAKE:
        event.type = EVENT_TAKEN;
        event.job = disk_job_new(output);
        event.index = output->position.index;
        disk_event(mesh, host, event);
        return;
    case NODE_OUTPUT_SNAPSHOT_READ:
        event.type = EVENT_READ;
        event.number = output->read;
        event.index = output->index;
        event.offset = output->offset;
        event.size = output->size;
        disk_event(mesh, host, event);
        return;
    case NODE_OUTPUT_RESTORE:
        event.type = EVENT_RESTORED;
        disk_event(mesh, host, event);
        return;
    case NODE_OUTPUT_PUBLISH: publish(mesh, host, output->image); return;
    case NODE_OUTPUT_ANSWER: take_answer(mesh, output); return;
    case NODE_OUTPUT_FRONTIER: spread_frontier(mesh, host, &output->frontier); return;
    case NODE_OUTPUT_STATUS: watch_role(mesh, host); return;
    case NODE_OUTPUT_EVENT:
        if (getenv("NODE_MESH_EVENTS") != NULL)
            fprintf(stderr, "%9.3f host %zu: %s\n", (double)mesh->now_us / 1e6, (size_t)(host - mesh->hosts), output->text);
        if (output->level == NODE_LEVEL_ERROR) snprintf(host->last_error, sizeof(host->last_error), "%s", output->text);
        return;
    case NODE_OUTPUT_LEFT: host->has_left = true; return;
    case NODE_OUTPUT_RECOVERED: take_report(mesh, output->cookie, output->report); return;
    }
}

static void drive(struct node_mesh *mesh, struct host *host)
{
    struct node_output output;
    uint64_t due;

    while (node_next_output(host->node, mesh->now_us, &output))
        perform(mesh, host, &output);
    due = node_due_us(host->node);
    if (due == host->armed_us || due == NODE_NEVER) return;
    host->armed_us = due;
    push(mesh, (struct event){.type = EVENT_TICK,
                              .at_us = due > mesh->now_us ? due : mesh->now_us,
                              .number = due,
                              .host = (uint32_t)(host - mesh->hosts),
                              .life = host->life});
}

/* ---- links ---- */

static bool is_to_be_linked(const struct node_mesh *mesh, size_t a, size_t b)
{
    const struct host *one = &mesh->hosts[a], *other = &mesh->hosts[b];
    size_t apart = a > b ? a - b : b - a;

    if (a == b || one->node == NULL || other->node == NULL || one->is_cut[b]) return false;
    return !mesh->options.is_sparse || one->wants[b] || other->wants[a] || apart <= SPARSE_LINKS;
}

static void update_link(struct node_mesh *mesh, size_t a, size_t b)
{
    bool is_up = is_to_be_linked(mesh, a, b);

    if (mesh->hosts[a].is_linked[b] == is_up) return;
    mesh->hosts[a].is_linked[b] = mesh->hosts[b].is_linked[a] = is_up;
    for (size_t i = 0; i < 2; i++) {
        size_t at = i == 0 ? a : b, to = i == 0 ? b : a;
        struct event event = {
            .type = EVENT_LINK,
            .host = (uint32_t)at,
            .other = (uint32_t)to,
            .life = mesh->hosts[at].life,
            .is_up = is_up,
            .at_us = mesh->now_us + mesh->options.link_us,
        };

        mesh->hosts[at].last_delivery_us[to] = mesh->now_us + mesh->options.link_us;
        push(mesh, event);
    }
}

static void update_links(struct node_mesh *mesh, size_t host)
{
    for (size_t i = 0; i < mesh->options.count; i++)
        update_link(mesh, host, i);
}

void node_mesh_cut(struct node_mesh *mesh, size_t a, size_t b, bool is_cut)
{
    mesh->hosts[a].is_cut[b] = mesh->hosts[b].is_cut[a] = is_cut;
    update_link(mesh, a, b);
}

void node_mesh_isolate(struct node_mesh *mesh, size_t host, bool is_isolated)
{
    for (size_t i = 0; i < mesh->options.count; i++)
        if (i != host) node_mesh_cut(mesh, host, i, is_isolated);
}

/* ---- life ---- */

void node_mesh_options_init(struct node_mesh_options *options, size_t count)
{
    *options = (struct node_mesh_options){
        .seed = 1, .count = count, .link_us = 100, .link_jitter_us = 100, .disk_us = 500, .gossip_us = 200000};
    node_options_init(&options->node);
    options->node.moves_per_broker = 0; /* nothing here copies what would be moved */
}

struct node_mesh *node_mesh_new(const struct node_mesh_options *options)
{
    struct node_mesh *mesh = calloc(1, sizeof(*mesh));

    MESH_ASSERT(mesh != NULL && options->count <= NODE_MESH_MAX);
    mesh->options = *options;
    mesh->now_us = 1000000;
    random_init(&mesh->random, options->seed);
    mesh->answers = calloc(ANSWERS_MAX, sizeof(mesh->answers[0]));
    mesh->chains = calloc(SEEN_MAX, sizeof(mesh->chains[0]));
    for (size_t i = 0; i < options->count; i++) {
        struct host *host = &mesh->hosts[i];
        uint64_t words[2] = {random_next(&mesh->random), random_next(&mesh->random)};

        memcpy(host->server.broker.bytes, words, sizeof(words));
        host->server.broker.bytes[14] = (uint8_t)(i >> 8);
        host->server.broker.bytes[15] = (uint8_t)i;
        host->server.dir = host->server.broker;
        host->server.dir.bytes[0] ^= 0xff;
        host->disk = node_disk_new();
        host->is_linked = calloc(options->count, sizeof(bool));
        host->is_cut = calloc(options->count, sizeof(bool));
        host->wants = calloc(options->count, sizeof(bool));
        host->last_delivery_us = calloc(options->count, sizeof(uint64_t));
        host->seen_us = calloc(SEEN_MAX, sizeof(uint64_t));
    }
    return mesh;
}

void node_mesh_free(struct node_mesh *mesh)
{
    for (size_t i = 0; i < mesh->options.count; i++) {
        struct host *host = &mesh->hosts[i];

        node_free(host->node);
        node_disk_free(host->disk);
        free(host->is_linked);
        free(host->is_cut);
        free(host->wants);
        free(host->last_delivery_us);
        free(host->seen_us);
    }
    for (size_t i = 0; i < mesh->heap_count; i++)
        event_free(&mesh->heap[i]);
    free(mesh->heap);
    free(mesh->answers);
    free(mesh->chains);
    free(mesh);
}

void node_mesh_start(struct node_mesh *mesh, size_t index)
{
    struct host *host = &mesh->hosts[index];
    struct node_options options = mesh->options.node;
    struct raft_recovered recovered;
    struct image *image = NULL;
    char name[32];
    struct node_self self = {name, "host.example", "", 7777, 4};
    int err;

    MESH_ASSERT(host->node == NULL);
    options.self = host->server;
    options.boot = ++host->boot;
    for (size_t i = 0; i < sizeof(options.seed); i++)
        options.seed[i] = (uint8_t)random_next(&mesh->random);
    node_disk_recover(host->disk, &recovered, &image);
    options.recovery = node_disk_recovery(host->disk);
    if (mesh->options.prepare != NULL) mesh->options.prepare(index, &options);
    err = node_new(&options, &recovered, image, mesh->now_us, &host->node);
    MESH_ASSERT(err == 0);
    if (mesh->options.began != NULL) mesh->options.began(host->node);
    image_unref(image);
    free((void *)(uintptr_t)recovered.entries);
    host->life++;
    host->published = host->armed_us = host->disk_free_us = host->paused_until_us = 0;
    host->has_left = false;
    memset(host->wants, 0, mesh->options.count);
    snprintf(name, sizeof(name), "broker-%zu", index);
    drive(mesh, host);
    MESH_ASSERT(node_set_self(host->node, mesh->now_us, &self) == 0);
    drive(mesh, host);
    update_links(mesh, index);
}

static void tell_member(struct node_mesh *mesh, size_t host, enum node_member_state state, uint64_t after_us)
{
    for (size_t i = 0; i < mesh->options.count; i++)
        if (i != host && mesh->hosts[i].node != NULL)
            push(mesh, (struct event){.type = EVENT_MEMBER,
                                      .at_us = mesh->now_us + after_us,
                                      .host = (uint32_t)i,
                                      .other = (uint32_t)host,
                                      .life = mesh->hosts[i].life,
                                      .index = state});
}

void node_mesh_kill(struct node_mesh *mesh, size_t index)
{
    struct host *host = &mesh->hosts[index];

    if (host->node == NULL) return;
    node_free(host->node);
    host->node = NULL;
    host->life++;
    update_links(mesh, index);
    tell_member(mesh, index, NODE_MEMBER_DEAD, 1000000);
}

void node_mesh_see_end(struct node_mesh *mesh, size_t index)
{
    for (size_t i = 0; i < mesh->options.count; i++)
        if (i != index && mesh->hosts[i].node != NULL)
            push(mesh, (struct event){.type = EVENT_GONE,
                                      .at_us = mesh->now_us + 2 * (mesh->options.link_us + mesh->options.link_jitter_us) + random_below(&mesh->random, 5000),
                                      .host = (uint32_t)i,
                                      .other = (uint32_t)index,
                                      .life = mesh->hosts[i].life});
}

void node_mesh_wipe(struct node_mesh *mesh, size_t index)
{
    struct host *host = &mesh->hosts[index];

    MESH_ASSERT(host->node == NULL);
    node_disk_free(host->disk);
    host->disk = node_disk_new();
    host->server.dir.bytes[1]++;
    memset(host->seen_us, 0, SEEN_MAX * sizeof(host->seen_us[0]));
}

void node_mesh_found(struct node_mesh *mesh, size_t founders)
{
    static const struct uuid cluster_id = {{0xc1, 1}};
    struct raft_server servers[RAFT_SERVERS_MAX];

    for (size_t i = 0; i < founders; i++)
        servers[i] = mesh->hosts[i].server;
    for (size_t i = 0; i < founders; i++) {
        MESH_ASSERT(node_found(mesh->hosts[i].node, mesh->now_us, &cluster_id, servers, founders) == 0);
        drive(mesh, &mesh->hosts[i]);
    }
}

/* ---- events ---- */

static void read_snapshot(struct node_mesh *mesh, struct host *host, const struct event *event)
{
    struct node_snapshot snapshot = {0};
    int err = node_disk_read(host->disk, event->index, event->offset, event->size, &snapshot);

    node_snapshot_bytes(host->node, mesh->now_us, event->number, err, &snapshot);
}

static void stored(struct node_mesh *mesh, struct host *host, const struct event *event)
{
    int err = node_disk_do(host->disk, event->job);

    if (err == 0)
        node_stored(host->node, mesh->now_us, event->number);
    else
        node_store_failed(host->node, mesh->now_us, event->number, err);
}

static void handle(struct node_mesh *mesh, const struct event *event)
{
    struct host *host = &mesh->hosts[event->host], *other = &mesh->hosts[event->other];
    struct image *image = NULL;
    int err;

    switch (event->type) {
    case EVENT_TICK:
        if (event->number != host->armed_us) return;
        host->armed_us = 0;
        node_tick(host->node, mesh->now_us);
        break;
    case EVENT_DELIVER:
        if (!host->is_linked[event->other] || other->life != event->other_life) return;
        node_receive(host->node, mesh->now_us, &other->server.broker, event->link, slice_of(event->bytes, event->byte_count));
        break;
    case EVENT_STORED: stored(mesh, host, event); break;
    case EVENT_READ: read_snapshot(mesh, host, event); break;
    case EVENT_TAKEN:
        err = node_disk_do(host->disk, event->job);
        node_snapshot_taken(host->node, mesh->now_us, event->index, err);
        break;
    case EVENT_RESTORED:
        err = node_disk_image(host->disk, &image);
        node_restored(host->node, mesh->now_us, err, image);
        image_unref(image);
        break;
    case EVENT_LINK:
        if (event->is_up != host->is_linked[event->other]) return;
        if (event->is_up)
            node_link_up(host->node, mesh->now_us, &other->server);
        else
            node_link_down(host->node, mesh->now_us, &other->server.broker);
        break;
    case EVENT_FRONTIER: node_heard_frontier(host->node, mesh->now_us, &other->server.broker, &event->frontier); break;
    case EVENT_MEMBER: node_member(host->node, mesh->now_us, &other->server.broker, (enum node_member_state)event->index); break;
    case EVENT_GONE: node_peer_gone(host->node, mesh->now_us, &other->server.broker); break;
    }
    drive(mesh, host);
}

static void step(struct node_mesh *mesh)
{
    struct event event = pop(mesh);
    struct host *host = &mesh->hosts[event.host];

    if (event.at_us > mesh->now_us) mesh->now_us = event.at_us;
    if (host->node != NULL && host->paused_until_us > mesh->now_us) {
        event.at_us = host->paused_until_us;
        push(mesh, event);
        return;
    }
    if (host->node != NULL && host->life == event.life) handle(mesh, &event);
    event_free(&event);
}

void node_mesh_run(struct node_mesh *mesh, uint64_t for_us)
{
    uint64_t until = mesh->now_us + for_us;

    while (mesh->heap_count != 0 && mesh->heap[0].at_us <= until)
        step(mesh);
    mesh->now_us = until;
}

bool node_mesh_run_until(struct node_mesh *mesh, node_mesh_fn *is_so, void *user, uint64_t at_most_us)
{
    uint64_t until = mesh->now_us + at_most_us;

    while (!is_so(mesh, user)) {
        for (size_t i = 0; i <= (mesh->options.count < 64 ? 0 : mesh->options.count); i++) { /* looking at many hosts takes longer than what one of them does */
            if (mesh->heap_count == 0 || mesh->heap[0].at_us > until) return is_so(mesh, user);
            step(mesh);
        }
    }
    return true;
}

/* ---- asking ---- */

int node_mesh_request(struct node_mesh *mesh, size_t index, enum node_op op, struct slice body, uint64_t timeout_us)
{
    struct host *host = &mesh->hosts[index];
    int number = mesh->answer_count, err;

    MESH_ASSERT(number < ANSWERS_MAX);
    err = node_request(host->node, mesh->now_us, op, body, timeout_us, (uint64_t)number);
    drive(mesh, host);
    if (err != 0) return err;
    mesh->answer_count++;
    return number;
}

int node_mesh_create(struct node_mesh *mesh, size_t host, const char *topic, int partitions)
{
    struct message_topic_create request = {.name = (char *)(uintptr_t)topic, .partition_count = partitions, .replication_factor = 1};
    struct buffer body = BUFFER_INIT;
    int number;

    MESH_ASSERT(message_encode_topic_create(&body, &request) == 0);
    number = node_mesh_request(mesh, host, NODE_OP_TOPIC_CREATE, buffer_slice(&body), 10000000);
    buffer_deinit(&body);
    return number;
}

int node_mesh_delete(struct node_mesh *mesh, size_t host, const char *topic)
{
    struct message_topic_delete request = {.name = (char *)(uintptr_t)topic};
    struct buffer body = BUFFER_INIT;
    int number;

    MESH_ASSERT(message_encode_topic_delete(&body, &request) == 0);
    number = node_mesh_request(mesh, host, NODE_OP_TOPIC_DELETE, buffer_slice(&body), 10000000);
    buffer_deinit(&body);
    return number;
}

const struct node_answer *node_mesh_answer(const struct node_mesh *mesh, int request)
{
    MESH_ASSERT(request >= 0 && request < mesh->answer_count);
    return &mesh->answers[request];
}

int node_mesh_recover(struct node_mesh *mesh, size_t index, uint64_t lost, bool is_dry, uint64_t timeout_us)
{
    struct uuid ids[64];
    size_t count = 0;
    int number = mesh->report_count, err;

    MESH_ASSERT(number < REPORTS_MAX);
    for (size_t i = 0; i < 64; i++)
        if (lost >> i & 1) ids[count++] = mesh->hosts[i].server.broker;
    err = node_recover(mesh->hosts[index].node, mesh->now_us, ids, count, is_dry, timeout_us, (uint64_t)number);
    mesh->report_count += err == 0;
    drive(mesh, &mesh->hosts[index]);
    return err == 0 ? number : err;
}

const struct node_recovery_report *node_mesh_report(const struct node_mesh *mesh, int number)
{
    MESH_ASSERT(number >= 0 && number < mesh->report_count);
    return &mesh->reports[number];
}

void node_mesh_write_off(struct node_mesh *mesh, size_t index)
{
    uint64_t known = 0;

    mesh->hosts[index].is_written_off = true;
    for (size_t i = 0; i < mesh->options.count; i++)
        if (!mesh->hosts[i].is_written_off && mesh->hosts[i].published_ever > known) known = mesh->hosts[i].published_ever;
    memset(mesh->chains + known + 1, 0, (SEEN_MAX - known - 1) * sizeof(mesh->chains[0])); /* what only the lost have seen */
}

void node_mesh_count_splits(struct node_mesh *mesh)
{
    mesh->counts_splits = true;
}

size_t node_mesh_splits(const struct node_mesh *mesh)
{
    return mesh->splits;
}

void node_mesh_leave(struct node_mesh *mesh, size_t host)
{
    node_leave(mesh->hosts[host].node, mesh->now_us);
    drive(mesh, &mesh->hosts[host]);
}

/* ---- looking ---- */

bool node_mesh_has_left(const struct node_mesh *mesh, size_t host)
{
    return mesh->hosts[host].has_left;
}

uint64_t node_mesh_now(const struct node_mesh *mesh)
{
    return mesh->now_us;
}

struct node *node_mesh_node(struct node_mesh *mesh, size_t host)
{
    return mesh->hosts[host].node;
}

struct raft_server node_mesh_server(const struct node_mesh *mesh, size_t host)
{
    return mesh->hosts[host].server;
}

int node_mesh_coordinator(const struct node_mesh *mesh)
{
    uint64_t term = 0;
    int best = -1;

    for (size_t i = 0; i < mesh->options.count; i++) {
        struct node_status status;

        if (mesh->hosts[i].node == NULL) continue;
        node_get_status(mesh->hosts[i].node, &status);
        if (status.role != NODE_COORDINATOR || status.term <= term) continue;
        term = status.term;
        best = (int)i;
    }
    return best;
}

uint64_t node_mesh_seen_us(const struct node_mesh *mesh, size_t host, uint64_t index)
{
    return index < SEEN_MAX ? mesh->hosts[host].seen_us[index] : 0;
}

uint64_t node_mesh_messages(const struct node_mesh *mesh)
{
    return mesh->messages;
}

const char *node_mesh_last_event(const struct node_mesh *mesh, size_t host)
{
    return mesh->hosts[host].last_error;
}

void node_mesh_damage_chunk(struct node_mesh *mesh, size_t host)
{
    node_disk_damage_chunk(mesh->hosts[host].disk);
}

void node_mesh_pause(struct node_mesh *mesh, size_t host, uint64_t for_us)
{
    uint64_t until = mesh->now_us + for_us;

    if (until > mesh->hosts[host].paused_until_us) mesh->hosts[host].paused_until_us = until; /* never earlier: what waits keeps its order */
}

size_t node_mesh_count(const struct node_mesh *mesh)
{
    return mesh->options.count;
}

void node_mesh_break_disk(struct node_mesh *mesh, size_t host)
{
    node_disk_break(mesh->hosts[host].disk);
}
