#include "sim/replication_mesh.h"

#include "base/assert.h"
#include "base/error.h"
#include "sim/consensus_program.h" /* consensus_server() */
#include "sim/replication_rot.h"
#include "sim/sim_sometimes.h"
#include "wire/message.h"

#include <stdio.h>
#include <string.h>

#define ASK_TIMEOUT_US (2 * SIM_SECOND)

typedef unsigned long long ull;

/* ---- hooks ---- */

static void started(void *user, struct replication_process *process)
{
    replication_watch_started(((struct replication_mesh *)user)->watch, process);
}

static void opened(void *user, struct replication_replica *replica)
{
    replication_watch_opened(((struct replication_mesh *)user)->watch, replica);
}

static void appended(void *user, struct replication_replica *replica, const struct record_batch_header *header)
{
    replication_watch_appended(((struct replication_mesh *)user)->watch, replica, header);
}

static void cutting(void *user, struct replication_replica *replica, const struct replica_cut *cut)
{
    replication_watch_cutting(((struct replication_mesh *)user)->watch, replica, cut);
}

static void not_cut(void *user, struct replication_replica *replica)
{
    replication_watch_not_cut(((struct replication_mesh *)user)->watch, replica);
}

static void leads(void *user, struct replication_replica *replica)
{
    replication_watch_leads(((struct replication_mesh *)user)->watch, replica);
}

static void committed(void *user, struct replication_replica *replica)
{
    replication_watch_committed(((struct replication_mesh *)user)->watch, replica);
}

static void removing(void *user, struct replication_replica *replica)
{
    replication_watch_removing(((struct replication_mesh *)user)->watch, replica);
}

static void answered(void *user, struct replication_process *process, const struct replication_answer *answer)
{
    replication_clients_answered(&((struct replication_mesh *)user)->clients, process, answer);
}

static void lied(void *user, struct replication_process *process, int32_t node_id, const char *lie)
{
    struct replication_mesh *mesh = user;

    if (sim_host_is_dying(replication_process_host(process))) return;
    if (mesh->has_rot) return; /* what it sends may have been damaged where it lay */
    sim_fail(mesh->sim, "nobody lies", "h%u ends the stream to broker %d: %s", sim_host_index(replication_process_host(process)), node_id, lie);
}

static void refused(void *user, struct replication_process *process, int error)
{
    struct replication_mesh *mesh = user;

    sim_trace(mesh->sim, replication_process_host(process), "a log takes nothing: %d", error);
}

static void drained(void *user, struct replication_process *process, int error)
{
    struct replication_mesh *mesh = user;

    sim_trace(mesh->sim, replication_process_host(process), "is drained: %d", error);
    if (error == 0) replication_watch_drained(mesh->watch, process);
}

static void observe(void *user, struct sim_host *host)
{
    struct replication_mesh *mesh = user;

    metadata_watch_event(mesh->metadata.watch, host);
    replication_watch_image(mesh->watch, host);
    if (sim_host_process(host) == NULL) replication_watch_stopped(mesh->watch, sim_host_index(host));
}

/* ---- disks ---- */

struct loss_search {
    struct replication_mesh *mesh;
    const struct image *image;
    uint32_t without; /* the host whose disk is to go */
};

/* Of the replicas that hold all that is committed, as far as the coordinator knows: those whose disks are there, and those whose are gone. */
static void count_complete(const struct loss_search *search, const struct image_partition *facts, uint32_t *ret_whole, uint32_t *ret_lost)
{
    *ret_whole = *ret_lost = 0;
    for (uint32_t i = 0; i < facts->replica_count; i++) {
        const struct image_broker *broker = image_find_broker(search->image, facts->replicas[i]);
        struct raft_server present;
        uint32_t host;

        if (((facts->isr | facts->elr) >> i & 1) == 0 || broker == NULL) continue;
        host = consensus_host_of(&broker->broker_id);
        present = metadata_mesh_server(&search->mesh->metadata, host);
        if (host != search->without && uuid_equal(&broker->dir_id, &present.dir)) (*ret_whole)++;
        else (*ret_lost)++;
    }
}

static int look_for_loss(void *user, const struct image_topic *topic)
{
    const struct loss_search *search = user;
    struct image_partition facts;
    uint32_t whole, lost;

    for (uint32_t p = 0; image_topic_partition(topic, p, &facts); p++) {
        count_complete(search, &facts, &whole, &lost);
        if (lost > 0 && image_topic_mode(topic) == TOPIC_MODE_QUORUM && whole <= facts.replica_count / 2) return 1;
        if (lost > 0 && (whole == 0 || lost >= image_min_insync(topic, image_partition_factor(&facts)))) return 1;
    }
    return 0;
}

/* Its disk is damaged, or gone and its broker not registered with the new one yet: whatever the coordinator decides until then, it counts on a
 * replica that may not be there. */
static bool is_doubtful(const struct replication_mesh *mesh, const struct image *image, uint32_t host)
{
    struct raft_server present = metadata_mesh_server(&mesh->metadata, host);
    const struct image_broker *broker = image_find_broker_by_uuid(image, &present.broker);

    return metadata_watch_is_damaged(mesh->metadata.watch, &present) || (broker != NULL && !uuid_equal(&broker->dir_id, &present.dir));
}

bool replication_mesh_is_in_doubt(struct replication_mesh *mesh)
{
    const struct image *image = metadata_watch_image(mesh->metadata.watch);

    for (uint32_t host = 0; image != NULL && host < sim_host_count(mesh->sim); host++)
        if (is_doubtful(mesh, image, host)) return true;
    return false;
}

/* What min.insync promises to survive: one disk fewer, of those that hold everything; one at a time, and none while a topic is being made, perhaps on
 * the only broker that is up. */
static bool may_lose(void *user, uint32_t host)
{
    struct replication_mesh *mesh = user;
    struct loss_search search = {mesh, metadata_watch_image(mesh->metadata.watch), host};

    if (!replication_mesh_has_topics(mesh)) return false;
    for (uint32_t other = 0; other < sim_host_count(mesh->sim); other++)
        if (other != host && is_doubtful(mesh, search.image, other)) return false;
    return image_each_topic(search.image, look_for_loss, &search) == 0;
}

/* ---- the mesh ---- */

void replication_mesh_init(struct replication_mesh *mesh, struct sim *sim)
{
    memset(mesh, 0, sizeof(*mesh));
    mesh->sim = sim;
    mesh->watch = replication_watch_new();
    metadata_mesh_init(&mesh->metadata, sim);
    replication_clients_init(&mesh->clients);
}

void replication_mesh_deinit(struct replication_mesh *mesh)
{
    metadata_mesh_deinit(&mesh->metadata);
    replication_watch_free(mesh->watch);
    replication_clients_deinit(&mesh->clients);
}

void replication_mesh_reset(struct replication_mesh *mesh, uint32_t founders, uint32_t producers)
{
    static const struct replication_hooks hooks = {started, opened, appended, cutting, not_cut, leads, committed, removing, answered, lied, refused, drained};

    metadata_mesh_reset(&mesh->metadata, founders);
    mesh->metadata.config.tenant = &replication_tenant;
    mesh->metadata.config.tenant_context = &mesh->config;
    mesh->metadata.may_lose = may_lose;
    mesh->metadata.user = mesh;
    mesh->config = (struct replication_config){.alter_timeout_us = 2 * SIM_SECOND, .lag_max_ms = REPLICA_LAG_MAX_MS, .hooks = &hooks, .user = mesh};
    replication_store_options_init(&mesh->config.store);
    replication_watch_reset(mesh->watch, mesh->sim, mesh->metadata.watch);
    replication_clients_reset(&mesh->clients, mesh->sim, mesh->watch, producers);
    mesh->topic_count = mesh->partitions_again = 0;
    mesh->has_losses = mesh->has_rot = mesh->is_healed = false;
    sim_set_observer(mesh->sim, observe, mesh);
}

struct replication_process *replication_mesh_process(struct replication_mesh *mesh, uint32_t host)
{
    struct metadata_process *process = metadata_mesh_process(&mesh->metadata, host);

    return process == NULL ? NULL : replication_process_of(process);
}

/* ---- topics ---- */

static void ask_for(struct replication_mesh *mesh, struct replication_topic *topic, struct metadata_process *process)
{
    struct {
        const char *key, *value;
    } settings[] = {{"mode", topic->mode}, {"flush", topic->flush}, {"min.insync", topic->min_insync}, {"unclean", topic->unclean}};
    struct message_config configs[sizeof(settings) / sizeof(settings[0])];
    struct message_topic_create form = {.replication_factor = topic->replicas, .configs = configs};

    memset(configs, 0, sizeof(configs));
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        if (settings[i].value == NULL) continue;
        configs[form.config_count].key = (char *)settings[i].key;
        configs[form.config_count++].value = (char *)settings[i].value;
    }
    mesh->metadata.clients.form = &form;
    metadata_clients_ask(&mesh->metadata.clients, process, METADATA_ASK_CREATE, topic->name, topic->partitions, ASK_TIMEOUT_US);
    mesh->metadata.clients.form = NULL;
}

/* A topic that no broker would ever make is a mistake of the world: nothing would be tried on it. */
static void check_refusals(struct replication_mesh *mesh)
{
    const struct metadata_clients *clients = &mesh->metadata.clients;

    for (uint32_t i = 0; i < clients->request_count; i++) {
        if (clients->requests[i].error == MESH_EINVALID_CONFIG)
            sim_fail(mesh->sim, "topics are such as can be made", "topic-%u is refused", clients->requests[i].name);
    }
}

bool replication_mesh_make_topics(struct replication_mesh *mesh)
{
    const struct image *image = metadata_watch_image(mesh->metadata.watch);
    struct random *random = sim_random(mesh->sim, SIM_RANDOM_WORKLOAD);
    bool are_there = true;

    check_refusals(mesh);
    for (uint32_t i = 0; i < mesh->topic_count; i++) {
        struct sim_host *host = sim_host_at(mesh->sim, (uint32_t)random_below(random, sim_host_count(mesh->sim)));

        if (metadata_clients_topic(image, mesh->topics[i].name) != NULL) continue;
        are_there = false;
        if (!mesh->is_healed && replication_mesh_is_in_doubt(mesh)) continue; /* it might be on that disk alone */
        if (sim_host_is_awake(host)) ask_for(mesh, &mesh->topics[i], sim_host_process(host));
    }
    return are_there;
}

bool replication_mesh_has_topics(const struct replication_mesh *mesh)
{
    for (uint32_t i = 0; i < mesh->topic_count; i++)
        if (metadata_clients_topic(metadata_watch_image(mesh->metadata.watch), mesh->topics[i].name) == NULL) return false;
    return true;
}

bool replication_mesh_facts(struct replication_mesh *mesh, const struct watch_partition *partition, const struct image_topic **ret_topic,
                            struct image_partition *ret_facts)
{
    const struct image *image = metadata_watch_image(mesh->metadata.watch);

    *ret_topic = image == NULL ? NULL : image_find_topic(image, &partition->topic_id);
    return *ret_topic != NULL && image_topic_partition(*ret_topic, partition->number, ret_facts);
}

uint32_t replication_mesh_leader(struct replication_mesh *mesh, const struct watch_partition *partition)
{
    const struct image_topic *topic;
    struct image_partition facts;
    const struct image_broker *broker;
    const struct watch_log *log;

    if (!replication_mesh_facts(mesh, partition, &topic, &facts)) return METADATA_NOBODY;
    broker = image_find_broker(metadata_watch_image(mesh->metadata.watch), facts.leader);
    if (broker == NULL) return METADATA_NOBODY;
    log = &partition->logs[consensus_host_of(&broker->broker_id)];
    if (!log->is_open || !replica_leads(&log->replica->replica) || log->replica->replica.partition.leader_epoch != facts.leader_epoch) return METADATA_NOBODY;
    return consensus_host_of(&broker->broker_id);
}

/* ---- faults ---- */

static bool has_failed(struct replication_mesh *mesh, uint32_t host)
{
    struct replication_process *process = replication_mesh_process(mesh, host);

    return process != NULL && replication_process_has_failed(process);
}

/* Whoever looks after a broker whose disk has failed starts it again. */
static void restart_failed(struct replication_mesh *mesh, uint32_t host)
{
    if (!has_failed(mesh, host)) return;
    SIM_SOMETIMES("a broker with a store that had failed was started again");
    sim_host_kill(sim_host_at(mesh->sim, host), SIM_STOP_KILL);
    sim_host_start(sim_host_at(mesh->sim, host));
}

void replication_mesh_fault(struct replication_mesh *mesh, uint32_t kinds, const struct sim_fault *fault, bool is_begin)
{
    metadata_mesh_fault(&mesh->metadata, kinds, fault, is_begin);
    if (!is_begin) restart_failed(mesh, fault->a);
}

void replication_mesh_heal(struct replication_mesh *mesh, uint32_t host)
{
    metadata_mesh_heal(&mesh->metadata, host);
    restart_failed(mesh, host);
}

/* ---- rest ---- */

const char *replication_mesh_unrest(struct replication_mesh *mesh)
{
    static _Thread_local char text[160];

    for (uint32_t p = 0; p < mesh->watch->partition_count; p++) {
        struct watch_partition *partition = &mesh->watch->partitions[p];
        const struct image_topic *topic;
        struct image_partition facts;
        const char *difference;

        difference = replication_watch_leftover(mesh->watch, partition);
        if (difference != NULL) return difference;
        if (!replication_mesh_facts(mesh, partition, &topic, &facts)) continue;
        if (replication_mesh_leader(mesh, partition) == METADATA_NOBODY) {
            snprintf(text, sizeof(text), "p%u has no leader (epoch %d, leader %d, isr %x, elr %x)", p, facts.leader_epoch, facts.leader, facts.isr, facts.elr);
            return text;
        }
        if ((facts.adding | facts.removing) != 0) {
            snprintf(text, sizeof(text), "p%u still moves (adding %x, removing %x, isr %x)", p, facts.adding, facts.removing, facts.isr);
            return text;
        }
        if (facts.isr != (1u << facts.replica_count) - 1) {
            snprintf(text, sizeof(text), "p%u has replicas that are not in sync (epoch %d, leader %d, isr %x of %u)", p, facts.leader_epoch, facts.leader, facts.isr,
                     facts.replica_count);
            return text;
        }
        difference = replication_watch_difference(mesh->watch, partition);
        if (difference == NULL) difference = replication_watch_deleted_rest(mesh->watch, partition);
        if (difference != NULL) return difference;
    }
    return mesh->has_rot ? replication_rot_remains(mesh) : NULL;
}
