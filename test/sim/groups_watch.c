#include "sim/groups_watch.h"

#include "base/assert.h"
#include "base/error.h"
#include "sim/groups_internal.h"
#include "sim/sim_sometimes.h"

#include <stdio.h>
#include <string.h>

typedef unsigned long long ull;

void groups_watch_reset(struct groups_watch *watch, struct sim *sim, struct replication_watch *logs)
{
    memset(watch, 0, sizeof(*watch));
    watch->sim = sim;
    watch->logs = logs;
}

bool groups_is_older(const struct groups_version *a, const struct groups_version *b)
{
    if (a->is_there != b->is_there) return b->is_there;
    return a->epoch != b->epoch ? a->epoch < b->epoch : a->lsn < b->lsn;
}

uint32_t groups_place(const struct groups_watch *watch, const struct uuid *topic, uint32_t number)
{
    struct watch_partition *partition = replication_watch_find(watch->logs, topic, number);

    return partition == NULL ? UINT32_MAX : (uint32_t)(partition - watch->logs->partitions);
}

static uint32_t host_of(const struct groups_partition *partition)
{
    return sim_host_index(replication_process_host(partition->replica->process));
}

static struct groups_leading *leading_of(struct groups_watch *watch, const struct groups_partition *partition)
{
    MESH_ASSERT(partition->replica->number < GROUPS_PARTITIONS);
    return &watch->leading[host_of(partition)][partition->replica->number];
}

/* ---- G1 ---- */

/* Logs that have the same last record are the same: their states are to be. */
void groups_watch_applied(struct groups_watch *watch, struct groups_partition *partition, uint32_t epoch, uint64_t lsn)
{
    struct groups_state_seen *seen = &watch->states[partition->replica->number][lsn % GROUPS_STATES];
    uint64_t hash = groups_hash(partition->part.state);

    if (seen->lsn == lsn && seen->epoch == epoch && seen->hash != hash && watch->compares_states)
        sim_fail(watch->sim, "G1 equal logs make equal group states", "partition %u: h%u and h%u differ at %llu of epoch %u", partition->replica->number, seen->host,
                 host_of(partition), (ull)lsn, epoch);
    *seen = (struct groups_state_seen){lsn, hash, epoch, host_of(partition)};
}

void groups_watch_broke(struct groups_watch *watch, struct groups_partition *partition, int error)
{
    if (sim_host_is_dying(replication_process_host(partition->replica->process))) return;
    sim_fail(watch->sim, "G1 every record can follow", "partition %u at h%u: %d at %llu", partition->replica->number, host_of(partition), error,
             (ull)partition->part.applied);
}

/* ---- G4 ---- */

/* Whether this group's members have balanced shares of everything there is, so that nothing is left to be assigned. */
static bool is_settled(const struct group *group, uint32_t total)
{
    uint32_t least = UINT32_MAX, most = 0, sum = 0;

    for (const struct group_member *member = group_next_member(group, NULL); member != NULL; member = group_next_member(group, member)) {
        uint32_t count = group_member_view_of(member).target_count;

        if (count < least) least = count;
        if (count > most) most = count;
        sum += count;
    }
    return least == UINT32_MAX || (sum == total && most <= least + 1);
}

/* What there is to be consumed by the newest metadata: a leader's may be older, and then it has yet to hear of something. */
static uint32_t count_newest(const struct groups_watch *watch, const struct groups_config *config)
{
    const struct image *image = metadata_watch_image(watch->logs->metadata);
    uint32_t total = 0;

    for (int i = 0; i < GROUPS_TOPICS_MAX && image != NULL; i++) {
        const struct image_topic *topic = config->topics[i] == NULL ? NULL : image_find_topic_by_name(image, config->topics[i]);

        if (topic != NULL) total += topic->partition_count;
    }
    return total;
}

static uint32_t count_partitions(const struct group_catalog *catalog)
{
    struct group_topic topic;
    uint32_t total = 0;
    size_t cursor = 0;

    while (catalog->next(catalog->arg, &cursor, &topic))
        total += topic.partition_count;
    return total;
}

/* S10: all that was acknowledged in earlier epochs is here. Returns whether there was anything. */
static bool check_whole(struct groups_watch *watch, struct groups_partition *partition, uint32_t number)
{
    char name[GROUPS_NAME_SIZE];
    const struct group *group = groups_find(partition->part.state, groups_name(number, name, sizeof(name)));
    bool is_asked = false;

    for (uint32_t place = 0; place < watch->logs->partition_count; place++) {
        const struct groups_version *acked = &watch->acked[number][place];
        const struct watch_partition *truth = &watch->logs->partitions[place];
        struct groups_version version = {0};
        struct group_offset offset;

        if (!acked->is_there || acked->epoch >= (uint32_t)partition->began_in) continue;
        is_asked = true;
        if (group != NULL && group_committed(partition->part.state, group, &truth->topic_id, truth->number, &offset))
            version = (struct groups_version){offset.version_epoch, offset.version_lsn, offset.offset, true};
        if (groups_is_older(&version, acked))
            sim_fail(watch->sim, "S10 an acknowledged offset is never older on return", "%s p%u: %llu was acknowledged at %llu of epoch %u; the leader of epoch %d begins with %llu at %llu",
                     name, place, (ull)acked->offset, (ull)acked->lsn, acked->epoch, partition->began_in, (ull)version.offset, (ull)version.lsn);
    }
    return is_asked;
}

void groups_watch_began(struct groups_watch *watch, struct groups_partition *partition)
{
    struct groups_leading *leading = leading_of(watch, partition);
    uint32_t total = count_partitions(groups_catalog_of(partition));
    bool is_asked = false;

    *leading = (struct groups_leading){partition, total, watch->compares_shares && total == count_newest(watch, partition->guest->config)};
    for (uint32_t number = 0; number < GROUPS_NAMES; number++)
        if (groups_find_partition(partition->replica->process, number) == partition) is_asked |= check_whole(watch, partition, number);
    for (const struct group *group = groups_next(partition->part.state, NULL); group != NULL; group = groups_next(partition->part.state, group))
        if (!is_settled(group, total)) leading->is_settled = false;
    sim_trace(watch->sim, replication_process_host(partition->replica->process), "leads groups of partition %u in epoch %d%s", partition->replica->number, partition->began_in,
              leading->is_settled ? ", settled" : "");
    watch->failovers++;
    watch->proved_failovers += is_asked;
    watch->calm_failovers += leading->is_settled;
    SIM_SOMETIMES_IF(leading->is_settled && groups_count(partition->part.state) > 0, "a new leader found its groups settled");
}

void groups_watch_told(struct groups_watch *watch, struct groups_partition *partition, const struct group_event *event)
{
    struct groups_leading *leading = leading_of(watch, partition);
    static const char *const kinds[] = {"expired", "slow", "assigned", "deleted", "too large", "salvaged", "forgotten"};

    sim_trace(watch->sim, replication_process_host(partition->replica->process), "%.*s: %s %.*s, generation %u, %u partitions", (int)event->group.size, (const char *)event->group.data,
              kinds[event->kind], (int)event->member.size, (const char *)event->member.data, event->generation, event->partitions);
    watch->slow += event->kind == GROUP_EVENT_SLOW;
    watch->expired += event->kind == GROUP_EVENT_EXPIRED;
    if (event->kind == GROUP_EVENT_EXPIRED) leading->is_settled = false;
    if (event->kind != GROUP_EVENT_ASSIGNED) return;
    watch->generations++;
    if (leading->total != count_newest(watch, partition->guest->config)) leading->is_settled = false; /* a topic that was asked for before is there now */
    if (leading->is_settled && leading->partition == partition)
        sim_fail(watch->sim, "G4 a failover gives nobody anything else", "partition %u: h%u assigns generation %u of %.*s, and nobody has come or gone",
                 partition->replica->number, host_of(partition), event->generation, (int)event->group.size, (const char *)event->group.data);
}

void groups_watch_topics_changed(struct groups_watch *watch)
{
    for (uint32_t h = 0; h < CONSENSUS_HOSTS_MAX; h++)
        for (uint32_t p = 0; p < GROUPS_PARTITIONS; p++)
            watch->leading[h][p].is_settled = false;
}

/* ---- S10 ---- */

static struct groups_version version_of(const struct groups_answer *answer, uint64_t offset)
{
    return (struct groups_version){answer->epoch_plus_one - 1, answer->lsn, offset, answer->lsn != 0};
}

static struct groups_version found_by(const struct groups_cell *cell)
{
    return (struct groups_version){cell->found_epoch, cell->found_lsn, cell->offset, cell->offset != GROUP_OFFSET_NONE};
}

static void check_told(struct groups_watch *watch, struct groups_partition *partition, const struct groups_answer *answer, const struct groups_cell *cell)
{
    uint32_t place = groups_place(watch, &cell->topic, cell->partition), group_number = answer->request.group;
    char name[GROUPS_NAME_SIZE];
    const struct group *group = groups_find(partition->part.state, groups_name(group_number, name, sizeof(name)));
    struct groups_version version = found_by(cell);
    const struct groups_version *acked;
    struct group_offset offset;
    bool is_there;

    if (place == UINT32_MAX || group == NULL) return;
    acked = &watch->acked[group_number][place];
    is_there = group_committed(partition->part.state, group, &cell->topic, cell->partition, &offset);
    if (acked->is_there && version.lsn == acked->lsn && version.epoch == acked->epoch && version.offset != acked->offset)
        sim_fail(watch->sim, "S10 an acknowledged offset is never older on return", "%s p%u: %llu became %llu", name, place, (ull)acked->offset, (ull)version.offset);
    if (cell->offset != (is_there ? offset.offset : GROUP_OFFSET_NONE))
        sim_fail(watch->sim, "S10 a claim tells what is committed", "%s p%u: %llu, not %llu", name, place, (ull)cell->offset, (ull)offset.offset);
    watch->claimed++;
}

/* Asked of what leaves: who was deposed in its sleep judges claims by what it has, and is never told that they are committed. What was acknowledged
 * behind the claim in the log was not there for it to find. */
static void check_claim(struct groups_watch *watch, const struct groups_answer *answer, const struct groups_cell *cell, uint32_t place)
{
    const struct groups_version *acked = &watch->acked[answer->request.group][place];
    struct groups_version version = found_by(cell), claim = {answer->epoch_plus_one - 1, answer->lsn != 0 ? answer->lsn : answer->place, 0, true};

    if (!acked->is_there || !groups_is_older(acked, &claim) || !groups_is_older(&version, acked)) return;
    sim_fail(watch->sim, "S10 an acknowledged offset is never older on return", "group %u p%u: %llu was acknowledged at %llu of epoch %u; a claim at %llu of epoch %u finds %llu at %llu of epoch %u",
             answer->request.group, place, (ull)acked->offset, (ull)acked->lsn, acked->epoch, (ull)claim.lsn, claim.epoch, (ull)version.offset, (ull)version.lsn, version.epoch);
}

/* For traces. */
static void trace(struct groups_watch *watch, struct groups_partition *partition, const struct groups_answer *answer)
{
    static const char *const ops[] = {"join", "heartbeat", "work", "claim", "release", "commit", "leave", "reset"};
    const struct groups_request *request = &answer->request;
    char cells[200] = "";
    size_t at = 0;

    if (!sim_is_traced(watch->sim)) return;
    for (uint32_t i = 0; i < request->cell_count && at + 40 < sizeof(cells); i++) {
        const struct groups_cell *cell = &request->cells[i];

        at += (size_t)snprintf(cells + at, sizeof(cells) - at, " p%u", groups_place(watch, &cell->topic, cell->partition));
        if (request->op == GROUPS_WORK) at += (size_t)snprintf(cells + at, sizeof(cells) - at, "%c", "hrcw"[cell->work]);
        if (request->op == GROUPS_CLAIM || request->op == GROUPS_COMMIT || request->op == GROUPS_RESET) at += (size_t)snprintf(cells + at, sizeof(cells) - at, ":%lld", (long long)cell->offset);
        if (cell->error != 0) at += (size_t)snprintf(cells + at, sizeof(cells) - at, "(%d)", cell->error);
    }
    sim_trace(watch->sim, replication_process_host(partition->replica->process), "group %u: %s%s of %.8s, number %llu: %d, generation %u, lsn %llu%s", request->group,
              request->is_copy ? "late " : "", ops[request->op], request->member, (ull)request->sequence, answer->error, answer->generation, (ull)answer->lsn, cells);
}

void groups_watch_judged(struct groups_watch *watch, struct groups_partition *partition, const struct groups_answer *answer)
{
    const struct groups_request *request = &answer->request;

    trace(watch, partition, answer);

    if (request->is_copy && (answer->error == MESH_EOUT_OF_ORDER_SEQUENCE || answer->error == MESH_ESTALE_EPOCH)) watch->refused_copies++;
    SIM_SOMETIMES_IF(request->is_copy && answer->error == MESH_EOUT_OF_ORDER_SEQUENCE, "a late copy of a request was refused");
    SIM_SOMETIMES_IF(answer->error == MESH_ESTALE_EPOCH, "a request was of another leader's time");
    if (answer->error != 0) return;
    if (request->op == GROUPS_JOIN || request->op == GROUPS_LEAVE) leading_of(watch, partition)->is_settled = false;
    for (uint32_t i = 0; request->op == GROUPS_CLAIM && i < request->cell_count; i++)
        if (request->cells[i].error == 0) check_told(watch, partition, answer, &request->cells[i]);
}

/* Whose claim it is under, as far as anybody was told. */
static void check_claimant(struct groups_watch *watch, const struct groups_answer *answer, uint32_t place, const struct groups_version *version)
{
    const struct groups_claimant *claim = &watch->claims[answer->request.group][place];

    if (!claim->version.is_there || groups_is_older(version, &claim->version) || answer->request.instance[0] != '\0') return;
    if (strcmp(claim->member, answer->request.member) == 0) return;
    sim_fail(watch->sim, "S10 no commit under a superseded claim counts", "p%u: %s commits at %llu; %s has claimed it at %llu", place, answer->request.member,
             (ull)version->lsn, claim->member, (ull)claim->version.lsn);
}

/* Also one that it had already, and is told again. */
static void note_claim(struct groups_watch *watch, const struct groups_answer *answer, uint32_t place)
{
    struct groups_claimant *claim = &watch->claims[answer->request.group][place];
    struct groups_version version = {answer->epoch_plus_one - 1, answer->lsn != 0 ? answer->lsn : answer->place, 0, true};

    if (!groups_is_older(&claim->version, &version)) return;
    claim->version = version;
    memcpy(claim->member, answer->request.member, sizeof(claim->member));
}

/* G3, outside of groups: who knows a reset epoch has read before the reset, and commits nothing after it. */
static void check_lone(struct groups_watch *watch, const struct groups_answer *answer)
{
    const struct groups_reset_seen *seen = &watch->set_back[answer->request.group];
    struct groups_version version = version_of(answer, 0);
    uint32_t epoch = answer->request.reset_epoch;

    watch->lone_commits++;
    if (epoch == GROUP_RESET_EPOCH_ANY || epoch >= seen->epoch || !groups_is_older(&seen->version, &version)) return;
    sim_fail(watch->sim, "G3 a reset wins over who has not heard of it", "group %u: a commit that knows reset epoch %u counts at %llu of epoch %u, after the one at %llu that made it %u",
             answer->request.group, epoch, (ull)version.lsn, version.epoch, (ull)seen->version.lsn, seen->epoch);
}

static void note_reset(struct groups_watch *watch, const struct groups_answer *answer)
{
    struct groups_reset_seen *seen = &watch->set_back[answer->request.group];
    struct groups_version version = version_of(answer, 0);

    if (groups_is_older(&seen->version, &version)) *seen = (struct groups_reset_seen){version, answer->request.reset_epoch + 1};
}

void groups_watch_answered(struct groups_watch *watch, const struct groups_answer *answer)
{
    const struct groups_request *request = &answer->request;

    if (answer->error == 0 && answer->lsn != 0 && request->op == GROUPS_RESET) note_reset(watch, answer);
    if (answer->error == 0 && answer->lsn != 0 && request->op == GROUPS_COMMIT && request->member[0] == '\0') check_lone(watch, answer);
    for (uint32_t i = 0; answer->error == 0 && i < request->cell_count; i++) {
        const struct groups_cell *cell = &request->cells[i];
        struct groups_version version = version_of(answer, cell->offset);
        uint32_t place = groups_place(watch, &cell->topic, cell->partition);

        if (cell->error != 0 || place == UINT32_MAX) continue;
        if (request->op == GROUPS_CLAIM) {
            check_claim(watch, answer, cell, place);
            note_claim(watch, answer, place);
        }
        if (answer->lsn == 0 || (request->op != GROUPS_COMMIT && request->op != GROUPS_RESET)) continue;
        if (request->op == GROUPS_COMMIT) check_claimant(watch, answer, place, &version);
        watch->commits += request->op == GROUPS_COMMIT;
        watch->resets += request->op == GROUPS_RESET;
        if (groups_is_older(&watch->acked[request->group][place], &version)) watch->acked[request->group][place] = version;
    }
}
