/* Logs and roles from images, as cmd/broker/runtime/partitions.c and cmd/broker/replicas/replicas.c have them. */
#include "base/assert.h"
#include "base/error.h"
#include "cmd/broker/replicas/roles.h"
#include "replication/partition/switches.h"
#include "segment/healing.h"
#include "sim/replication_internal.h"
#include "sim/sim_sometimes.h"

#include <stdlib.h>

#define RECOVERED_MAX 512
#define RETRY_MS      1000

/* ---- one log ---- */

/* As the driver does it; or as one would with a defect that is brought back. */
static uint64_t delete_before(struct replication_replica *replica, const struct image_deletion *deletion, uint64_t epoch_end, int32_t known_epoch)
{
    uint32_t defects = replica->process->config->driver_defects;
    const struct replica *core = &replica->replica;
    struct replica other;
    bool is_late = (defects >> REPLICATION_DRIVER_DELETES_LATE & 1) != 0, is_hasty = (defects >> REPLICATION_DRIVER_DELETES_HASTILY & 1) != 0;
    bool is_once = (defects >> REPLICATION_DRIVER_DELETES_ONCE & 1) != 0;
    uint64_t offset;

    if (!is_late && !is_hasty && !is_once) return roles_delete_before(deletion, epoch_end, known_epoch, core, &replica->is_deletion_due);
    other = *core;
    if (is_late) other.role = REPLICA_FOLLOWER;
    if (is_hasty) other.partition.high_watermark = core->partition.log_end;
    offset = roles_delete_before(deletion, epoch_end, known_epoch, &other, &replica->is_deletion_due);
    if (is_once && (offset > 0 || epoch_end <= core->partition.first)) replica->is_deletion_due = false;
    return offset;
}

void replication_delete_records(struct replication_replica *replica)
{
    struct replication_process *process = replica->process;
    const struct image_deletion *deletion = image_deletion(process->image, &replica->topic_id, replica->number);
    struct partition_positions positions;
    uint64_t offset, epoch_end;
    int32_t epoch;

    replica->is_deletion_due = false;
    if (deletion == NULL) return;
    epoch_end = plog_epoch_end_offset(replica->plog, deletion->leader_epoch, &epoch);
    SIM_SOMETIMES_IF(epoch_end < deletion->offset && epoch_end > 0, "what was to be deleted was lost before, and others stand there");
    offset = delete_before(replica, deletion, epoch_end, epoch);
    if (offset == 0 || plog_delete_before(replica->plog, offset) != 0) return;
    SIM_SOMETIMES_IF(replica_leads(&replica->replica) && offset > replica->replica.partition.high_watermark, "a leader gave up records that it did not know to be committed");
    process->is_store_touched = true;
    replication_replica_positions(replica, &positions);
    replica_set_positions(&replica->replica, &positions);
}

static void assign(struct replication_replica *replica)
{
    struct replication_process *process = replica->process;
    struct roles_assignment role;
    struct image_partition facts;

    if (!process->is_registered) return;
    if (!image_topic_partition(replica->topic, replica->number, &facts)) return;
    if (!roles_describe(process->image, &facts, process->node_id, &role)) return;
    if (plog_limit_epoch(replica->plog, facts.leader_epoch) != 0) {
        process->is_incomplete = true;
        process->incomplete_ms = process->now_ms + RETRY_MS;
        return;
    }
    MESH_ASSERT(replica_assign(&replica->replica, &role.assignment) == 0);
    replication_delete_records(replica);
}

static void set_defects(struct replication_replica *replica)
{
#ifdef MESH_TEST_SWITCHES
    for (int defect = 1; defect < REPLICA_DEFECT_COUNT; defect++) {
        if (replica->process->config->replica_defects >> defect & 1) replica_bring_back(&replica->replica, (enum replica_defect)defect);
    }
#else
    MESH_ASSERT(replica->process->config->replica_defects == 0);
#endif
}

static void plog_config_of(const struct replication_process *process, const struct image_topic *topic, struct plog_config *ret_config)
{
    topic_config_to_plog(topic, ret_config);
    if (process->config->segment_bytes == 0) return;
    ret_config->segment_bytes = process->config->segment_bytes;
    ret_config->retention_bytes = process->config->retention_bytes;
}

/* Takes `recovered`. */
static void open_log(struct replication_process *process, const struct image_topic *topic, uint32_t number, struct plog_recovered *recovered)
{
    struct replication_replica *replica = calloc(1, sizeof(*replica));
    struct plog_id id = {topic->topic_id, number};
    struct partition_positions positions;
    struct partition_config config;
    struct plog_config plog_config;
    struct image_partition facts;

    MESH_ASSERT(replica != NULL);
    replica->process = process;
    replica->topic_id = topic->topic_id;
    replica->number = number;
    replica->topic = image_topic_ref(topic);
    list_init(&replica->redo_link);
    list_init(&replica->alter_link);
    list_init(&replica->acks_link);
    list_init(&replica->report_link);
    plog_config_of(process, topic, &plog_config);
    MESH_ASSERT(store_open_log(process->store.store, &id, &plog_config, recovered, &replica->plog) == 0);
    plog_set_user(replica->plog, replica);
    if (image_topic_partition(topic, number, &facts) && facts.replica_count > 1) plog_set_high_watermark(replica->plog, plog_high_watermark(replica->plog));
    roles_config(topic, number, &config);
    replication_replica_positions(replica, &positions);
    replica_init(&replica->replica, &process->board, process->node_id, &config, &positions, plog_high_watermark(replica->plog));
    set_defects(replica);
    list_push_back(&process->replicas, &replica->link);
    REPLICATION_HOOK(process, opened, replica);
    REPLICATION_GUEST(process, opened, replica);
    assign(replica);
}

static void forget(struct replication_replica *replica)
{
    struct plog *plog = replica->plog;

    replication_refuse_waiting(replica, MESH_EUNKNOWN_TOPIC);
    REPLICATION_GUEST(replica->process, closing, replica);
    REPLICATION_HOOK(replica->process, removing, replica);
    list_remove(&replica->redo_link);
    list_remove(&replica->alter_link);
    list_remove(&replica->report_link);
    if (replica->damage.is_known) replication_heal_forget(replica);
    replica_deinit(&replica->replica);
    replica->plog = NULL;
    plog_delete(plog);
}

/* ---- images ---- */

static bool is_replica_here(const struct replication_process *process, const struct image_topic *topic, uint32_t number)
{
    struct image_partition facts;

    if (!image_topic_partition(topic, number, &facts)) return false;
    for (uint32_t i = 0; i < facts.replica_count; i++)
        if (facts.replicas[i] == process->node_id) return true;
    return false;
}

/* True: it is kept here no longer, and goes. */
static bool drop_if_moved(struct replication_replica *replica, const struct image_topic *topic)
{
    if (!replica->process->is_registered || is_replica_here(replica->process, topic, replica->number)) return false;
    SIM_SOMETIMES("a replica was moved away, and its log went");
    forget(replica);
    return true;
}

static void update(struct replication_replica *replica, const struct image_topic *topic)
{
    struct partition_positions positions;
    struct partition_config config;
    struct plog_config plog_config;

    if (topic->changed_index == replica->topic->changed_index) return;
    image_topic_unref(replica->topic);
    replica->topic = image_topic_ref(topic);
    if (drop_if_moved(replica, topic)) return;
    plog_config_of(replica->process, topic, &plog_config);
    roles_config(topic, replica->number, &config);
    replica_set_config(&replica->replica, &config);
    assign(replica);
    plog_set_config(replica->plog, &plog_config);
    replication_replica_positions(replica, &positions);
    replica_set_positions(&replica->replica, &positions);
}

static void update_all(struct replication_process *process, bool all_anew)
{
    list_for_each(node, &process->replicas)
    {
        struct replication_replica *replica = container_of(node, struct replication_replica, link);
        const struct image_topic *topic;

        if (replica->plog == NULL) continue;
        topic = image_find_topic(process->image, &replica->topic_id);
        if (topic != NULL) update(replica, topic);
        else if (image_topic_was_deleted(process->image, &replica->topic_id)) forget(replica);
        if (all_anew && topic != NULL && replica->plog != NULL && !drop_if_moved(replica, topic)) assign(replica);
    }
}

static int open_hosted(void *user, const struct image_topic *topic)
{
    struct replication_process *process = user;
    struct image_partition facts;

    if (topic->changed_index <= process->installed_index) return 0;
    for (uint32_t i = 0; image_topic_partition(topic, i, &facts); i++) {
        if (!roles_is_kept(&facts, process->node_id) || replication_process_find(process, &topic->topic_id, i) != NULL) continue;
        open_log(process, topic, i, NULL);
    }
    return 0;
}

struct found {
    struct plog_id ids[RECOVERED_MAX];
    uint32_t count;
};

static void note_found(void *user, const struct plog_id *id)
{
    struct found *found = user;

    MESH_ASSERT(found->count < RECOVERED_MAX);
    found->ids[found->count++] = *id;
}

static void delete_recovered(struct replication_process *process, const struct plog_id *id)
{
    struct plog_config config;
    struct plog *plog;

    plog_config_init(&config);
    MESH_ASSERT(store_open_log(process->store.store, id, &config, recovery_take(process->store.catalog, id), &plog) == 0);
    plog_delete(plog);
}

/* What recovery found is opened once an image knows it; until then it stays as it is. */
static void open_recovered(struct replication_process *process)
{
    static _Thread_local struct found found;

    if (process->store.catalog == NULL) return;
    found.count = 0;
    recovery_each(process->store.catalog, note_found, &found);
    for (uint32_t i = 0; i < found.count; i++) {
        const struct plog_id *id = &found.ids[i];
        const struct image_topic *topic = image_find_topic(process->image, &id->topic_id);

        if (topic != NULL && id->partition < topic->partition_count) open_log(process, topic, id->partition, recovery_take(process->store.catalog, id));
        else if (image_topic_was_deleted(process->image, &id->topic_id)) delete_recovered(process, id);
        else SIM_SOMETIMES("the log of a topic that is not in the image yet stays");
    }
}

void replication_install_image(struct replication_process *process)
{
    const struct image *image = process->image;
    const struct raft_server *self = metadata_process_self(process->metadata);
    const struct image_broker *broker = image_find_broker_by_uuid(image, &self->broker);
    uint64_t brokers_hash = roles_hash_brokers(image);
    bool is_registered = roles_is_registered(image, &self->broker, &self->dir, metadata_process_boot(process->metadata));
    bool all_anew = brokers_hash != process->brokers_hash || is_registered != process->is_registered || process->is_incomplete;

    if (broker != NULL) process->node_id = broker->node_id;
    process->has_news = process->is_incomplete = false;
    process->brokers_hash = brokers_hash;
    process->is_registered = is_registered;
    if (is_registered) process->board.broker_epoch = broker->epoch;
    if (is_registered) process->store.report.is_untold = false; /* with what its start said of the former life */
    if (all_anew) process->installed_index = 0;
    replication_reports_hear_of_coordinator(process, image_applied_term(image));
    if (broker == NULL) return; /* whose logs these are is not known yet */
    open_recovered(process);
    update_all(process, all_anew);
    if (is_registered) (void)image_each_topic(image, open_hosted, process);
    process->installed_index = image_applied_index(image);
}
