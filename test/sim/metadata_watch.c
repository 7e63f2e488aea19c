#include "sim/metadata_watch.h"

#include "base/assert.h"
#include "replication/consensus/config_codec.h"
#include "replication/coordinator/record.h"
#include "replication/metadata/message.h"
#include "sim/consensus_machine.h" /* consensus_chain_mark() */
#include "sim/consensus_shadow.h"
#include "sim/sim_sometimes.h"

#include <stdlib.h>

#define SERVERS_MAX 256 /* disks that ever were */
#define CONFIGS_MAX 512
#define TERMS_MAX   65536

/* A disk, and what is durable on it. A damaged one is remembered as it was: what others heard of it stays true. */
struct server {
    struct raft_server id;
    bool is_damaged;
    struct shadow_log durable;
};

/* A process, as last seen. */
struct view {
    struct server *server;
    struct shadow_log log; /* in memory */
    uint64_t published;
    bool is_running;
};

struct truth {
    uint64_t mark, sum; /* 0: not known. sum: of the image's bytes */
};

struct proposed {
    uint64_t index, mark;
    struct raft_config config;
};

struct metadata_watch {
    struct sim *sim;
    const struct metadata_config *config;
    struct metadata_clients *clients;
    struct server servers[SERVERS_MAX];
    uint32_t server_count;
    struct view views[CONSENSUS_HOSTS_MAX];
    struct truth *truth; /* by index */
    size_t truth_capacity;
    uint64_t committed;
    struct image *image; /* at committed; a reference */
    struct raft_config voters; /* as of committed */
    struct proposed configs[CONFIGS_MAX];
    uint32_t config_count;
    uint32_t leaders[TERMS_MAX]; /* by term: 1 + host */
    uint64_t leader_term, leader_count;
    struct uuid brokers[1024]; /* by node id */
    struct buffer scratch;
};

struct metadata_watch *metadata_watch_new(void)
{
    struct metadata_watch *watch = calloc(1, sizeof(*watch));

    MESH_ASSERT(watch != NULL);
    return watch;
}

void metadata_watch_free(struct metadata_watch *watch)
{
    if (watch == NULL) return;
    for (uint32_t i = 0; i < SERVERS_MAX; i++)
        shadow_deinit(&watch->servers[i].durable);
    for (uint32_t i = 0; i < CONSENSUS_HOSTS_MAX; i++)
        shadow_deinit(&watch->views[i].log);
    image_unref(watch->image);
    buffer_deinit(&watch->scratch);
    free(watch->truth);
    free(watch);
}

void metadata_watch_reset(struct metadata_watch *watch, struct sim *sim, const struct metadata_config *config, struct metadata_clients *clients)
{
    watch->sim = sim;
    watch->config = config;
    watch->clients = clients;
    watch->server_count = watch->config_count = 0;
    for (uint32_t i = 0; i < CONSENSUS_HOSTS_MAX; i++)
        watch->views[i].is_running = false;
    if (watch->truth_capacity > 0) memset(watch->truth, 0, watch->truth_capacity * sizeof(watch->truth[0]));
    watch->committed = 0;
    image_unref(watch->image);
    watch->image = NULL;
    watch->voters = (struct raft_config){.voter_count = 0};
    memset(watch->leaders, 0, sizeof(watch->leaders));
    watch->leader_term = watch->leader_count = 0;
    memset(watch->brokers, 0, sizeof(watch->brokers));
}

uint64_t metadata_watch_committed(const struct metadata_watch *watch)
{
    return watch->committed;
}

const struct image *metadata_watch_image(const struct metadata_watch *watch)
{
    return watch->image;
}

uint64_t metadata_watch_leaders(const struct metadata_watch *watch)
{
    return watch->leader_count;
}

static uint32_t host_of(const struct metadata_process *process)
{
    return sim_host_index(metadata_process_host(process));
}

static struct view *view_of(struct metadata_watch *watch, const struct metadata_process *process)
{
    return &watch->views[host_of(process)];
}

/* ---- disks ---- */

static struct server *server_of(struct metadata_watch *watch, const struct raft_server *id)
{
    static const struct raft_position beginning;
    struct server *server;

    for (uint32_t i = watch->server_count; i-- > 0;) {
        if (raft_server_equal(&watch->servers[i].id, id)) return &watch->servers[i];
    }
    MESH_ASSERT(watch->server_count < SERVERS_MAX);
    server = &watch->servers[watch->server_count++];
    server->id = *id;
    server->is_damaged = false;
    shadow_begin(&server->durable, &beginning);
    return server;
}

void metadata_watch_damaged(struct metadata_watch *watch, const struct raft_server *server)
{
    server_of(watch, server)->is_damaged = true;
}

bool metadata_watch_is_damaged(struct metadata_watch *watch, const struct raft_server *server)
{
    return server_of(watch, server)->is_damaged;
}

void metadata_watch_started(struct metadata_watch *watch, struct metadata_process *process, const struct raft_recovered *recovered)
{
    struct view *view = view_of(watch, process);
    struct server *server = server_of(watch, metadata_process_self(process));

    view->server = server;
    view->published = 0;
    view->is_running = true;
    shadow_begin(&view->log, &recovered->snapshot);
    if (!server->is_damaged || recovered->snapshot.index > server->durable.last) shadow_begin(&server->durable, &recovered->snapshot);
    for (size_t i = 0; i < recovered->entry_count; i++) {
        shadow_append(&view->log, &recovered->entries[i]);
        if (!server->is_damaged || recovered->entries[i].index > server->durable.last) shadow_append(&server->durable, &recovered->entries[i]);
    }
    sim_trace(watch->sim, metadata_process_host(process), "starts in term %llu with entries %llu..%llu, committed %llu, hole until %llu",
              (unsigned long long)recovered->term, (unsigned long long)recovered->snapshot.index + 1,
              (unsigned long long)(recovered->snapshot.index + recovered->entry_count), (unsigned long long)recovered->committed,
              (unsigned long long)recovered->damaged_until);
}

static void check_noted(struct metadata_watch *watch, const struct view *view, const struct consensus_job *job, uint32_t host)
{
    const struct shadow_log *durable = &view->server->durable;
    uint64_t index = job->committed;

    if (index == 0 || view->server->is_damaged || index < durable->first) return;
    if (index <= watch->committed && watch->truth[index].mark != 0 && !shadow_holds(durable, index, watch->truth[index].mark))
        sim_fail(watch->sim, "S14 only what is committed is noted so", "h%u notes %llu as committed over another entry on its disk", host,
                 (unsigned long long)index);
}

void metadata_watch_doing(struct metadata_watch *watch, struct metadata_process *process, const struct consensus_job *job, bool is_done)
{
    struct view *view = view_of(watch, process);

    if (job->type == CONSENSUS_JOB_ENTRIES) {
        for (size_t i = 0; is_done && i < job->entry_count; i++)
            shadow_append(&view->server->durable, &job->entries[i]);
        if (is_done) check_noted(watch, view, job, host_of(process)); /* it is written with them */
    } else if (job->type == CONSENSUS_JOB_CHUNK && job->is_last && is_done) {
        shadow_install(&view->server->durable, &job->position);
    }
}

/* ---- what is committed ---- */

bool metadata_watch_each_config(struct metadata_watch *watch, bool (*each)(void *user, const struct raft_config *config), void *user)
{
    if (watch->voters.voter_count > 0 && !each(user, &watch->voters)) return false;
    for (uint32_t i = 0; i < watch->config_count; i++) {
        if (watch->configs[i].index > watch->committed && !each(user, &watch->configs[i].config)) return false;
    }
    return true;
}

static void note_config(struct metadata_watch *watch, const struct raft_entry *entry)
{
    uint64_t mark = consensus_chain_mark(entry->chain);
    struct proposed *proposed;
    uint32_t kept = 0;

    for (uint32_t i = 0; i < watch->config_count; i++) {
        if (watch->configs[i].index == entry->index && watch->configs[i].mark == mark) return;
    }
    for (uint32_t i = 0; i < watch->config_count; i++) {
        if (watch->configs[i].index > watch->committed) watch->configs[kept++] = watch->configs[i];
    }
    watch->config_count = kept;
    MESH_ASSERT(kept < CONFIGS_MAX);
    proposed = &watch->configs[watch->config_count++];
    *proposed = (struct proposed){.index = entry->index, .mark = mark};
    MESH_ASSERT(raft_config_decode(entry->body, &proposed->config) == 0);
}

struct place {
    struct metadata_watch *watch;
    uint64_t index, mark;
};

static bool has_majority(const struct place *place, const struct raft_server *voters, unsigned count)
{
    unsigned holding = 0;

    for (unsigned i = 0; i < count; i++)
        holding += shadow_holds(&server_of(place->watch, &voters[i])->durable, place->index, place->mark);
    return count == 0 || holding * 2 > count;
}

static bool is_not_enough(void *user, const struct raft_config *config)
{
    const struct place *place = user;

    return !has_majority(place, config->voters, config->voter_count) || !has_majority(place, config->old_voters, config->old_voter_count);
}

/* Entries up to there are committed: a majority holds them, in some configuration that may count. */
static bool is_committed(struct metadata_watch *watch, uint64_t index, uint64_t mark)
{
    struct place place = {watch, index, mark};

    if (index <= watch->committed && watch->truth[index].mark != 0) return watch->truth[index].mark == mark;
    if (index < watch->committed) return true; /* passed over by a snapshot */
    return !metadata_watch_each_config(watch, is_not_enough, &place);
}

static void make_room(struct metadata_watch *watch, uint64_t index)
{
    size_t capacity = watch->truth_capacity == 0 ? 4096 : watch->truth_capacity;

    if (index < watch->truth_capacity) return;
    while (capacity <= index)
        capacity *= 2;
    watch->truth = realloc(watch->truth, capacity * sizeof(watch->truth[0]));
    MESH_ASSERT(watch->truth != NULL);
    memset(watch->truth + watch->truth_capacity, 0, (capacity - watch->truth_capacity) * sizeof(watch->truth[0]));
    watch->truth_capacity = capacity;
}

/* What lies between is as it is on a disk that holds the last of it. */
static void settle(struct metadata_watch *watch, uint64_t index, uint64_t mark)
{
    make_room(watch, index);
    for (uint32_t i = 0; i < watch->server_count; i++) {
        const struct shadow_log *log = &watch->servers[i].durable;

        if (index < log->first || index > log->last || log->entries[index].mark != mark) continue;
        for (uint64_t at = watch->committed + 1; at < index; at++) {
            if (at >= log->first && watch->truth[at].mark == 0) watch->truth[at].mark = log->entries[at].mark;
        }
    }
    watch->truth[index].mark = mark;
    watch->committed = index;
}

/* ---- images ---- */

static uint64_t sum_of(struct metadata_watch *watch, const struct image *image)
{
    buffer_clear(&watch->scratch);
    MESH_ASSERT(image_encode(image, &watch->scratch) == 0);
    return sim_hash_bytes(1, watch->scratch.data, watch->scratch.size) | 1;
}

static void check_brokers(struct metadata_watch *watch, const struct image *image)
{
    for (size_t i = 0; i < image_broker_count(image); i++) {
        const struct image_broker *broker = image_broker_at(image, i);
        uint32_t id = (uint32_t)broker->node_id % 1024;

        if (!uuid_is_zero(&watch->brokers[id]) && !uuid_equal(&watch->brokers[id], &broker->broker_id))
            sim_fail(watch->sim, "node ids are unique for ever", "node id %d is given to a second broker", broker->node_id);
        watch->brokers[id] = broker->broker_id;
        for (uint32_t other = 0; other < 1024; other++) {
            if (other != id && uuid_equal(&watch->brokers[other], &broker->broker_id))
                sim_fail(watch->sim, "node ids are unique for ever", "the broker of node id %u has %d too", other, broker->node_id);
            if (uuid_is_zero(&watch->brokers[other]) && other > id) break;
        }
    }
}

static void take_image(struct metadata_watch *watch, const struct image *image)
{
    const struct uuid *cluster_id = image_cluster_id(image);

    if (!uuid_is_zero(cluster_id) && !uuid_equal(cluster_id, &watch->config->cluster_id))
        sim_fail(watch->sim, "S13 one cluster id", "another cluster id is published at %llu", (unsigned long long)image_applied_index(image));
    check_brokers(watch, image);
    SIM_SOMETIMES_IF(watch->voters.voter_count > 0 && watch->voters.voter_count != image_raft_config(image)->voter_count,
                     "the number of voters has changed");
    watch->voters = *image_raft_config(image);
    image_unref(watch->image);
    watch->image = image_ref(image);
    metadata_clients_image(watch->clients, image);
}

static void publish(struct metadata_watch *watch, struct metadata_process *process, const struct image *image)
{
    struct view *view = view_of(watch, process);
    uint64_t index = image_applied_index(image), mark = consensus_chain_mark(image_chain(image)), sum;
    uint32_t host = host_of(process);

    if (index < view->published)
        sim_fail(watch->sim, "S12 nobody goes back", "h%u publishes %llu after %llu", host, (unsigned long long)index, (unsigned long long)view->published);
    view->published = index;
    if (index == 0) return;
    if (index <= watch->committed && watch->truth[index].mark != 0 && watch->truth[index].mark != mark) {
        sim_fail(watch->sim, "S12 one history", "h%u publishes another entry at %llu than others", host, (unsigned long long)index);
        return;
    }
    if (!is_committed(watch, index, mark)) {
        sim_fail(watch->sim, "S14 nothing uncommitted is published", "h%u publishes %llu, which no majority holds", host, (unsigned long long)index);
        return;
    }
    if (index > watch->committed) {
        settle(watch, index, mark);
        take_image(watch, image);
    }
    if (index % 4 != 0 || watch->truth[index].mark == 0) return;
    sum = sum_of(watch, image);
    if (watch->truth[index].sum != 0 && watch->truth[index].sum != sum)
        sim_fail(watch->sim, "S12 equal entries make equal images", "h%u has another image at %llu than others", host, (unsigned long long)index);
    watch->truth[index].sum = sum;
}

/* ---- what is said ---- */

static void check_sideways(struct metadata_watch *watch, struct metadata_process *process, struct slice bytes)
{
    struct node_message message;
    struct raft_entry entry;
    uint64_t index, mark;

    if (node_message_decode(bytes, &message) != 0) {
        sim_fail(watch->sim, "nodes say what nodes understand", "h%u says something malformed", host_of(process));
        return;
    }
    if (message.type == NODE_MESSAGE_ENTRIES) {
        index = message.first_index - 1;
        while (node_entry_next(&message.entries, &entry))
            index++;
        mark = consensus_chain_mark(message.chain);
        SIM_SOMETIMES("entries went sideways");
    } else if (message.type == NODE_MESSAGE_CHUNK) {
        index = message.position.index;
        mark = consensus_chain_mark(message.position.chain);
        SIM_SOMETIMES("a snapshot went sideways");
    } else {
        return;
    }
    if (!is_committed(watch, index, mark))
        sim_fail(watch->sim, "S14 nothing uncommitted goes sideways", "h%u sends %llu, which no majority holds", host_of(process),
                 (unsigned long long)index);
}

static void check_status(struct metadata_watch *watch, struct metadata_process *process)
{
    struct view *view = view_of(watch, process);
    struct node_status status;

    node_get_status(metadata_process_node(process), &status);
    if (!status.has_failed || sim_host_is_dying(metadata_process_host(process))) return;
    sim_trace(watch->sim, metadata_process_host(process), "stops: %s", status.failure);
    if (status.failure_error == MESH_EIO || view->server->is_damaged) return;
    sim_fail(watch->sim, "nobody stops for nothing", "h%u stops with a good disk: %s", host_of(process), status.failure);
}

void metadata_watch_output(struct metadata_watch *watch, struct metadata_process *process, const struct node_output *output)
{
    struct view *view = view_of(watch, process);

    switch (output->type) {
    case NODE_OUTPUT_SEND:
        if (output->link == NODE_LINK_METADATA) check_sideways(watch, process, output->bytes);
        break;
    case NODE_OUTPUT_STORE_ENTRIES:
        for (size_t i = 0; i < output->entry_count; i++) {
            shadow_append(&view->log, &output->entries[i]);
            if (output->entries[i].type == RAFT_ENTRY_CONFIG) note_config(watch, &output->entries[i]);
        }
        break;
    case NODE_OUTPUT_RESTORE: shadow_install(&view->log, &output->position); break;
    case NODE_OUTPUT_PUBLISH: publish(watch, process, output->image); break;
    case NODE_OUTPUT_STATUS: check_status(watch, process); break;
    case NODE_OUTPUT_ANSWER:
        if ((output->cookie & METADATA_TENANT_COOKIE) == 0) metadata_clients_answered(watch->clients, process, output, watch->image);
        break;
    default: break;
    }
}

void metadata_watch_removing(struct metadata_watch *watch, struct metadata_process *process, const struct uuid *topic_id, const char *name)
{
    SIM_SOMETIMES("the data of a deleted topic went");
    if (watch->image != NULL && image_find_topic(watch->image, topic_id) == NULL && metadata_clients_asked_to_delete(watch->clients, name)) return;
    sim_fail(watch->sim, "S17 data go only with their topic", "h%u removes the data of topic %s, which nobody deleted", host_of(process), name);
}

/* ---- leaders ---- */

static void check_leader(struct metadata_watch *watch, struct metadata_process *process, uint64_t term)
{
    const struct view *view = view_of(watch, process);
    uint32_t host = host_of(process);

    if (term >= TERMS_MAX || watch->leaders[term] == host + 1) return;
    if (watch->leaders[term] != 0)
        sim_fail(watch->sim, "S3 one leader for each term", "h%u and h%u lead in term %llu", watch->leaders[term] - 1, host, (unsigned long long)term);
    watch->leaders[term] = host + 1;
    watch->leader_count++;
    sim_trace(watch->sim, metadata_process_host(process), "leads in term %llu", (unsigned long long)term);
    if (term < watch->leader_term) return; /* a newer one has committed since, maybe */
    watch->leader_term = term;
    if (watch->committed > 0 && !shadow_holds(&view->log, watch->committed, watch->truth[watch->committed].mark))
        sim_fail(watch->sim, "S4 a leader holds all that is committed", "h%u leads in term %llu without entry %llu", host, (unsigned long long)term,
                 (unsigned long long)watch->committed);
}

void metadata_watch_event(void *user, struct sim_host *host)
{
    struct metadata_watch *watch = user;
    struct metadata_process *process = sim_host_process(host);
    struct raft_status status;

    if (process == NULL || !watch->views[sim_host_index(host)].is_running) return;
    node_raft_status(metadata_process_node(process), &status);
    if (status.role == RAFT_LEADER) check_leader(watch, process, status.term);
}
