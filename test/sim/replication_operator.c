#include "sim/replication_operator.h"

#include "base/assert.h"
#include "sim/sim_sometimes.h"
#include "wire/message.h"

#define TIMEOUT_US (2 * SIM_SECOND)

/* NULL: the one that was drawn is not up. */
static struct metadata_process *draw_process(struct replication_mesh *mesh, struct random *random)
{
    struct sim_host *host = sim_host_at(mesh->sim, (uint32_t)random_below(random, sim_host_count(mesh->sim)));

    return sim_host_is_awake(host) ? sim_host_process(host) : NULL;
}

static void ask(struct replication_mesh *mesh, struct random *random, enum node_op op, struct buffer *body)
{
    struct metadata_process *process = draw_process(mesh, random);

    if (process != NULL) metadata_clients_send(&mesh->metadata.clients, process, op, buffer_slice(body), TIMEOUT_US);
    buffer_deinit(body);
}

static struct watch_partition *draw_partition(struct replication_mesh *mesh, struct random *random)
{
    uint32_t count = mesh->watch->partition_count;

    return count == 0 ? NULL : &mesh->watch->partitions[random_below(random, count)];
}

/* ---- moves ---- */

/* How many replicas it is to have. Modes that need a certain number keep theirs; so does whatever is to survive the loss of a disk. */
static uint32_t draw_count(struct replication_mesh *mesh, struct random *random, const struct image_topic *topic, const struct image_partition *facts)
{
    uint32_t factor = image_partition_factor(facts), hosts = sim_host_count(mesh->sim);

    if (image_topic_mode(topic) == TOPIC_MODE_ISR && !mesh->has_losses && random_below(random, 3) == 0) return 1 + (uint32_t)random_below(random, hosts);
    return factor < hosts ? factor : hosts;
}

/* As many brokers as are wanted, in an order of chance; of mode quorum all replicas but one stay. */
static void draw_replicas(struct replication_mesh *mesh, struct random *random, const struct image_topic *topic, const struct image_partition *facts,
                          struct decide_move *move)
{
    uint32_t hosts = sim_host_count(mesh->sim);
    int32_t nodes[CONSENSUS_HOSTS_MAX];

    for (uint32_t i = 0; i < hosts; i++)
        nodes[i] = (int32_t)i + 1; /* node ids are given from 1 on; who is not registered is refused */
    for (uint32_t i = hosts; i-- > 1;) {
        uint32_t k = (uint32_t)random_below(random, i + 1);
        int32_t other = nodes[k];

        nodes[k] = nodes[i];
        nodes[i] = other;
    }
    move->count = draw_count(mesh, random, topic, facts);
    for (uint32_t i = 0; i < move->count; i++)
        move->replicas[i] = image_topic_mode(topic) == TOPIC_MODE_QUORUM && i > 0 ? facts->replicas[i] : nodes[i];
}

/* Not while a disk is gone that the coordinator does not know of: a move may take the copy away that is left, and one onto fewer brokers promises less
 * from the moment on in which it is asked for. */
void replication_operator_move(struct replication_mesh *mesh, struct random *random)
{
    struct watch_partition *partition = draw_partition(mesh, random);
    struct buffer body = BUFFER_INIT;
    const struct image_topic *topic;
    struct image_partition facts;
    struct decide_move move;

    if (partition == NULL || replication_mesh_is_in_doubt(mesh) || !replication_mesh_facts(mesh, partition, &topic, &facts)) return;
    move = (struct decide_move){.topic_id = partition->topic_id, .partition = partition->number};
    if ((facts.adding | facts.removing) == 0 || random_below(random, 2) == 0) draw_replicas(mesh, random, topic, &facts, &move);
    else SIM_SOMETIMES("a move was to be taken back");
    MESH_ASSERT(node_encode_moves(&body, &move, 1) == 0);
    ask(mesh, random, NODE_OP_MOVE, &body);
}

/* ---- topics ---- */

static uint32_t first_partitions(const struct replication_mesh *mesh)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < mesh->topic_count; i++)
        count += mesh->topics[i].partitions;
    return count;
}

/* The observer remembers all partitions that there ever were, and sees new ones when a broker has them: several deletions later, perhaps. So what counts is
 * what was asked for. */
void replication_operator_delete(struct replication_mesh *mesh, struct random *random, uint32_t first)
{
    const struct replication_topic *topic = &mesh->topics[first + random_below(random, mesh->topic_count - first)];
    struct metadata_process *process = draw_process(mesh, random);

    if (process == NULL || !replication_mesh_has_topics(mesh) || replication_mesh_is_in_doubt(mesh)) return;
    if (first_partitions(mesh) + mesh->partitions_again + topic->partitions > REPLICATION_PARTITIONS_MAX) return;
    mesh->partitions_again += topic->partitions;
    metadata_clients_ask(&mesh->metadata.clients, process, METADATA_ASK_DELETE, topic->name, topic->partitions, TIMEOUT_US);
}

void replication_operator_change(struct replication_mesh *mesh, struct random *random)
{
    static char key[] = "min.insync";
    struct watch_partition *partition = draw_partition(mesh, random);
    char value[2] = {'1', '\0'};
    struct message_config config = {.key = key, .value = value};
    struct message_topic_alter alter = {.configs = &config, .config_count = 1};
    struct buffer body = BUFFER_INIT;
    const struct image_topic *topic;
    struct image_partition facts;

    if (partition == NULL || !replication_mesh_facts(mesh, partition, &topic, &facts) || image_topic_mode(topic) != TOPIC_MODE_ISR) return;
    value[0] += (char)random_below(random, image_partition_factor(&facts));
    alter.name = (char *)(uintptr_t)topic->name;
    MESH_ASSERT(message_encode_topic_alter(&body, &alter) == 0);
    SIM_SOMETIMES("min.insync was to change");
    ask(mesh, random, NODE_OP_TOPIC_ALTER, &body);
}

/* ---- deleted records ---- */

void replication_operator_trim(struct replication_mesh *mesh, struct random *random)
{
    struct watch_partition *partition = draw_partition(mesh, random);
    uint32_t leader = partition == NULL || partition->is_gone ? METADATA_NOBODY : replication_mesh_leader(mesh, partition);
    struct replication_process *process = leader == METADATA_NOBODY ? NULL : replication_mesh_process(mesh, leader);
    struct image_deletion wish;
    const struct replica *replica;
    struct buffer body = BUFFER_INIT;
    uint64_t first, end;

    if (process == NULL || replication_process_find(process, &partition->topic_id, partition->number) == NULL) return;
    replica = &replication_process_find(process, &partition->topic_id, partition->number)->replica;
    first = replica->partition.first;
    end = replica->partition.high_watermark;
    if (!replica_leads(replica) || !replica_end_is_known(replica) || end == first) return;
    wish = (struct image_deletion){.topic_id = partition->topic_id, .partition = partition->number, .leader_epoch = replica->partition.leader_epoch};
    wish.offset = random_below(random, 4) == 0 ? end : first + 1 + random_below(random, end - first);
    MESH_ASSERT(node_encode_deletions(&body, &wish, 1) == 0);
    SIM_SOMETIMES("records were to be deleted");
    ask(mesh, random, NODE_OP_DELETE_RECORDS, &body);
}

/* ---- losses ---- */

/* What waits for somebody to accept a loss. In mode quorum that is one whose losses were accepted before: of its replicas the one that was left counts
 * until others have caught up with it, and stops that one before, then no majority can choose. */
static bool is_lost(const struct watch_partition *partition, const struct image_topic *topic, const struct image_partition *facts)
{
    uint32_t complete = (uint32_t)__builtin_popcount(facts->isr | facts->elr);

    if (image_topic_mode(topic) == TOPIC_MODE_QUORUM)
        return facts->leader == IMAGE_NO_LEADER && partition->is_given_up && complete <= image_partition_factor(facts) / 2;
    return facts->leader == IMAGE_NO_LEADER && (facts->isr | facts->elr) == 0 && image_topic_config(topic, TOPIC_CONFIG_FLUSH) == TOPIC_FLUSH_ASYNC;
}

static void recover(struct replication_mesh *mesh, struct random *random, struct watch_partition *partition)
{
    struct buffer body = BUFFER_INIT;

    partition->is_given_up = true;
    MESH_ASSERT(node_encode_recover(&body, &partition->topic_id, partition->number, 0) == 0);
    ask(mesh, random, NODE_OP_RECOVER, &body);
}

void replication_operator_recover(struct replication_mesh *mesh, struct random *random, bool is_rash)
{
    for (uint32_t p = 0; p < mesh->watch->partition_count; p++) {
        struct watch_partition *partition = &mesh->watch->partitions[p];
        const struct image_topic *topic;
        struct image_partition facts;

        if (!replication_mesh_facts(mesh, partition, &topic, &facts) || facts.leader != IMAGE_NO_LEADER) continue;
        if (is_lost(partition, topic, &facts) || (is_rash && random_below(random, 4) == 0)) recover(mesh, random, partition);
    }
}

/* ---- stops and starts ---- */

uint32_t replication_operator_stop(struct replication_mesh *mesh, struct random *random)
{
    struct metadata_process *process = draw_process(mesh, random);

    if (process == NULL) return METADATA_NOBODY;
    SIM_SOMETIMES("an operator stopped a broker");
    sim_trace(mesh->sim, metadata_process_host(process), "is told to stop");
    node_leave(metadata_process_node(process), sim_now_us(mesh->sim));
    metadata_process_drain(process);
    return sim_host_index(metadata_process_host(process));
}

uint32_t replication_operator_strike(struct replication_mesh *mesh, struct random *random)
{
    enum sim_stop how = random_below(random, 2) == 0 ? SIM_STOP_KILL : SIM_STOP_POWER;
    uint64_t output = random_below(random, 2) == 0 ? 0 : 1 + random_below(random, 40);
    uint32_t number = metadata_mesh_coordinator(&mesh->metadata);
    struct sim_host *host;

    if (number == METADATA_NOBODY) return METADATA_NOBODY;
    host = sim_host_at(mesh->sim, number);
    SIM_SOMETIMES_IF(replication_clients_busy(&mesh->clients) > 0, "the coordinator died while batches were under way");
    sim_trace(mesh->sim, host, "the coordinator is to die");
    if (output > 0) sim_host_kill_at_output(host, output, how);
    else sim_host_kill(host, how);
    return number;
}

uint64_t replication_operator_boot(struct replication_mesh *mesh, uint32_t host)
{
    struct metadata_process *process = metadata_mesh_process(&mesh->metadata, host);

    return process == NULL ? 0 : metadata_process_boot(process);
}

void replication_operator_start(struct replication_mesh *mesh, uint32_t host, uint64_t boot)
{
    struct sim_host *at = sim_host_at(mesh->sim, host);

    sim_trace(mesh->sim, at, "is to run");
    sim_host_kill_at_output(at, 0, SIM_STOP_KILL);
    if (sim_host_is_dying(at)) sim_host_kill(at, SIM_STOP_KILL); /* struck while a control acted on it: else it would be gone after its next event, and stay away */
    if (boot != 0 && replication_operator_boot(mesh, host) == boot) sim_host_kill(at, SIM_STOP_KILL);
    sim_host_start(at);
}
