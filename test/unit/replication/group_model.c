#include "group_model.h"

#include "base/random.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define MEMBERS    8
#define TOPICS     3
#define PARTITIONS 16
#define CELLS      (TOPICS * PARTITIONS)
#define PENDING    256
#define LATE       16

struct version {
    uint32_t epoch;
    uint64_t lsn, offset;
    bool is_there;
};

struct actor {
    char id[16];
    bool is_alive, is_hog;       /* a hog never releases */
    uint64_t stalled_until_ms;
    uint32_t generation;
    bool believes[CELLS];        /* it consumes this, as far as it knows */
    bool is_exclusive[CELLS];    /* and nobody has the right to doubt it: the observer's */
    uint64_t next[CELLS];
    uint64_t sequence, judged; /* of its requests: the last, and the last that was good */
    uint32_t epoch;            /* that it has heard of */
};

/* A copy of what a member asked for, which somebody holds back. */
struct late {
    char id[16];
    struct group_caller caller; /* but for its names */
    int actor;
    uint32_t generation, cell;
    uint64_t offset;
    bool is_commit; /* else a release */
};

enum pending_kind { PENDING_CLAIM, PENDING_COMMIT, PENDING_RESET };

/* An answer that waits for the high watermark. */
struct pending {
    enum pending_kind kind;
    uint64_t barrier;
    int actor;
    char id[16]; /* the actor's, then */
    uint32_t cell;
    bool is_over; /* a claim that has ended before it was heard of */
    struct version version;
};

struct model {
    struct group_rig rig;
    struct random random;
    struct actor actors[MEMBERS];
    struct version acked[CELLS];
    struct late late[LATE];
    struct pending pending[PENDING];
    size_t pending_count;
    uint32_t serial, partitions[TOPICS];
    uint64_t high_watermark;
    struct group_model_result *result;
};

static const char *const topic_names[TOPICS] = {"t0", "t1", "t2"};
static const struct slice group_g = {(const uint8_t *)"g", 1};

static void __attribute__((format(printf, 2, 3))) violate(struct model *model, const char *format, ...)
{
    va_list args;

    if (model->result->violation[0] != '\0') return;
    va_start(args, format);
    vsnprintf(model->result->violation, sizeof(model->result->violation), format, args);
    va_end(args);
}

static uint64_t below(struct model *model, uint64_t limit)
{
    return random_below(&model->random, limit);
}

static struct groups *leader_of(struct model *model)
{
    return model->rig.replicas[model->rig.leader];
}

static struct uuid topic_of(struct model *model, uint32_t cell)
{
    return rig_topic_id(&model->rig, topic_names[cell / PARTITIONS]);
}

static uint32_t cell_of(struct model *model, const struct uuid *topic, uint32_t partition)
{
    for (uint32_t t = 0; t < TOPICS; t++) {
        struct uuid id = rig_topic_id(&model->rig, topic_names[t]);
        if (uuid_equal(&id, topic)) return t * PARTITIONS + partition;
    }
    return 0;
}

static struct slice id_of(const struct actor *actor)
{
    return slice_of_string(actor->id);
}

static bool is_older(struct version a, struct version b)
{
    return a.epoch != b.epoch ? a.epoch < b.epoch : a.lsn < b.lsn;
}

static struct version committed(struct model *model, uint32_t cell)
{
    const struct group *group = groups_find(leader_of(model), group_g);
    struct uuid topic = topic_of(model, cell);
    struct group_offset offset;

    if (group == NULL || !group_committed(leader_of(model), group, &topic, cell % PARTITIONS, &offset)) return (struct version){0};
    return (struct version){offset.version_epoch, offset.version_lsn, offset.offset, true};
}

/* ---- answers ---- */

static void await(struct model *model, struct pending pending)
{
    if (pending.actor >= 0) memcpy(pending.id, model->actors[pending.actor].id, sizeof(pending.id));
    if (model->pending_count < PENDING) model->pending[model->pending_count++] = pending;
}

/* A claim ends, also one of which the member has not heard yet. */
static void end_claim(struct model *model, int index, uint32_t cell)
{
    model->actors[index].is_exclusive[cell] = false;
    for (size_t i = 0; i < model->pending_count; i++)
        if (model->pending[i].kind == PENDING_CLAIM && model->pending[i].actor == index && model->pending[i].cell == cell) model->pending[i].is_over = true;
}

static void end_claims(struct model *model, int index)
{
    for (uint32_t cell = 0; cell < CELLS; cell++)
        end_claim(model, index, cell);
}

static void hear_claim(struct model *model, const struct pending *pending)
{
    struct actor *actor = &model->actors[pending->actor];

    if (strcmp(actor->id, pending->id) != 0) return; /* another life by now */
    actor->believes[pending->cell] = true;
    actor->is_exclusive[pending->cell] = !pending->is_over;
    actor->next[pending->cell] = pending->version.is_there ? pending->version.offset : 0;
}

static void deliver(struct model *model)
{
    uint64_t mark = rig_high_watermark(&model->rig);
    size_t kept = 0;

    if (mark > model->high_watermark) model->high_watermark = mark;
    for (size_t i = 0; i < model->pending_count; i++) {
        const struct pending *pending = &model->pending[i];

        if (pending->barrier > model->high_watermark) {
            model->pending[kept++] = *pending;
        } else if (pending->kind == PENDING_CLAIM) {
            hear_claim(model, pending);
        } else {
            model->acked[pending->cell] = pending->version;
        }
    }
    model->pending_count = kept;
}

static void replicate(struct model *model)
{
    rig_replicate(&model->rig);
    deliver(model);
}

static void lag(struct model *model)
{
    rig_append(&model->rig);
    for (int i = 0; i < RIG_REPLICAS; i++) {
        uint64_t missing = model->rig.log_end - model->rig.applied[i];
        if (i != model->rig.leader) rig_follow(&model->rig, i, model->rig.applied[i] + below(model, missing + 1));
    }
    deliver(model);
}

/* ---- what members ask for ---- */

static struct group_caller caller_of(struct model *model, struct actor *actor)
{
    (void)model;
    return (struct group_caller){.group = group_g, .member = id_of(actor), .epoch_plus_one = actor->epoch + 1, .sequence = ++actor->sequence};
}

static void hold_back(struct model *model, int index, const struct late *late)
{
    struct late *place = &model->late[below(model, LATE)];

    if (below(model, 4) != 0) return;
    *place = *late;
    place->actor = index;
    memcpy(place->id, model->actors[index].id, sizeof(place->id));
}

/* It counts once at most, and not after what the same member was told since. */
static void deliver_late(struct model *model)
{
    struct late late = model->late[below(model, LATE)];
    struct actor *actor = &model->actors[late.actor];
    struct uuid topic = topic_of(model, late.cell);
    struct group_commit_cell cell = {.topic = topic, .partition = late.cell % PARTITIONS, .offset = late.offset};
    struct group_claim claim = {.topic = topic, .partition = late.cell % PARTITIONS};
    struct group_commit commit;
    struct group_reply reply;
    int err;

    if (late.caller.sequence == 0 || strcmp(late.id, actor->id) != 0) return;
    late.caller.group = group_g;
    late.caller.member = slice_of_string(late.id);
    commit = (struct group_commit){late.caller, late.generation, GROUP_RESET_EPOCH_ANY, &cell, 1};
    err = late.is_commit ? group_lead_commit(model->rig.lead, model->rig.now_ms, model->rig.wall_ms, &commit, &reply)
                         : group_lead_release(model->rig.lead, model->rig.now_ms, &late.caller, &claim, 1, &reply);
    if (err == 0) err = late.is_commit ? cell.error : claim.error;
    model->result->late_refused += err == MESH_ESTALE_EPOCH || err == MESH_EOUT_OF_ORDER_SEQUENCE;
    if (err == 0 && late.caller.sequence <= actor->judged) violate(model, "a late copy of %s's counts in partition %u", actor->id, late.cell);
}

/* ---- what members do ---- */

static void forget_all(struct actor *actor)
{
    memset(actor->believes, 0, sizeof(actor->believes));
    memset(actor->is_exclusive, 0, sizeof(actor->is_exclusive));
}

static void join(struct model *model, struct actor *actor)
{
    struct group_reply reply;

    snprintf(actor->id, sizeof(actor->id), "m%u", model->serial++);
    forget_all(actor); /* answers to the life before are for another id */
    actor->is_alive = rig_join_as(&model->rig, "g", &(struct rig_member){.id = actor->id, .names = "t0 t1 t2"}, &reply) == 0;
    actor->epoch = model->rig.epoch;
    actor->sequence = actor->judged = model->rig.sequence;
    if (actor->is_alive) actor->generation = reply.generation;
}

/* Whatever it is told to do, but for what is still being answered; a claim may be asked for twice. */
static void work(struct model *model, int index)
{
    struct actor *actor = &model->actors[index];
    struct group_claim claims[CELLS], releases[CELLS];
    struct group_cursor cursor = {0};
    struct group_caller caller;
    struct group_reply reply;
    struct group_work todo;
    size_t claim_count = 0, release_count = 0;

    while (group_lead_work(model->rig.lead, group_g, id_of(actor), &cursor, &todo)) {
        uint32_t cell = cell_of(model, &todo.topic, todo.partition);
        struct group_claim claim = {.topic = todo.topic, .partition = todo.partition};

        if (todo.kind == GROUP_WORK_RELEASE && !actor->is_hog) {
            actor->believes[cell] = false;
            end_claim(model, index, cell);
            releases[release_count++] = claim;
        }
        /* A hold that it knows nothing of: the answer to its claim was lost. */
        if (todo.kind == GROUP_WORK_CLAIM || (todo.kind == GROUP_WORK_HOLD && !actor->believes[cell])) claims[claim_count++] = claim;
    }
    caller = caller_of(model, actor);
    if (release_count > 0 && group_lead_release(model->rig.lead, model->rig.now_ms, &caller, releases, release_count, &reply) == 0) actor->judged = caller.sequence;
    for (size_t i = 0; i < release_count; i++)
        hold_back(model, index, &(struct late){.caller = caller, .cell = cell_of(model, &releases[i].topic, releases[i].partition)});
    if (claim_count == 0) return;
    caller = caller_of(model, actor);
    if (group_lead_claim(model->rig.lead, model->rig.now_ms, &caller, actor->generation, claims, claim_count, &reply) != 0) return;
    actor->judged = caller.sequence;
    for (size_t i = 0; i < claim_count; i++) {
        uint32_t cell = cell_of(model, &claims[i].topic, claims[i].partition);
        struct version version = committed(model, cell), acked = model->acked[cell];

        if (claims[i].error != 0) continue;
        model->result->claims++;
        for (int other = 0; other < MEMBERS; other++)
            if (other != index && model->actors[other].is_exclusive[cell]) violate(model, "partition %u is claimed by %s while %s consumes it", cell, actor->id, model->actors[other].id);
        if (acked.is_there && (!version.is_there || is_older(version, acked))) violate(model, "an acknowledged commit of partition %u is older on return", cell);
        if (acked.is_there && !is_older(acked, version) && version.offset != acked.offset) violate(model, "partition %u: offset %llu became %llu", cell, (unsigned long long)acked.offset, (unsigned long long)version.offset);
        if (claims[i].offset != (version.is_there ? version.offset : GROUP_OFFSET_NONE)) violate(model, "a claim tells another offset");
        await(model, (struct pending){.kind = PENDING_CLAIM, .barrier = reply.barrier, .actor = index, .cell = cell, .version = version});
    }
}

/* Commits some of what it believes to consume, though it may long have lost it. */
static void commit(struct model *model, int index)
{
    struct actor *actor = &model->actors[index];
    struct group_commit_cell cells[CELLS];
    uint32_t numbers[CELLS];
    struct group_commit request = {caller_of(model, actor), actor->generation, GROUP_RESET_EPOCH_ANY, cells, 0};
    struct group_reply reply;

    for (uint32_t cell = 0; cell < CELLS; cell++) {
        if (!actor->believes[cell] || below(model, 2) == 0) continue;
        if (below(model, 8) == 0 && actor->next[cell] > 3)
            actor->next[cell] -= 1 + below(model, 3); /* seeks back */
        else
            actor->next[cell] += below(model, 100);
        numbers[request.cell_count] = cell;
        cells[request.cell_count++] = (struct group_commit_cell){.topic = topic_of(model, cell), .partition = cell % PARTITIONS, .offset = actor->next[cell]};
    }
    if (request.cell_count == 0 || group_lead_commit(model->rig.lead, model->rig.now_ms, model->rig.wall_ms, &request, &reply) != 0) return;
    actor->judged = request.caller.sequence;
    for (size_t i = 0; i < request.cell_count; i++)
        hold_back(model, index,
                  &(struct late){.caller = request.caller, .generation = actor->generation, .cell = numbers[i], .offset = cells[i].offset, .is_commit = true});
    for (size_t i = 0; i < request.cell_count; i++) {
        struct version version = {model->rig.epoch, reply.barrier - 1, cells[i].offset, true};

        if (cells[i].error != 0) {
            actor->believes[numbers[i]] = false; /* that is how it learns, of a reset too */
            end_claim(model, index, numbers[i]);
            model->result->zombie_commits_refused++;
            continue;
        }
        model->result->commits++;
        for (int other = 0; other < MEMBERS; other++)
            if (other != index && model->actors[other].is_exclusive[numbers[i]]) violate(model, "%s commits partition %u of %s", actor->id, numbers[i], model->actors[other].id);
        await(model, (struct pending){.kind = PENDING_COMMIT, .barrier = reply.barrier, .actor = index, .cell = numbers[i], .version = version});
    }
}

static void act(struct model *model, int index)
{
    struct actor *actor = &model->actors[index];
    struct group_caller caller;
    struct group_reply reply;
    int err;

    if (!actor->is_alive || model->rig.now_ms < actor->stalled_until_ms) return;
    if (below(model, 3) == 0) commit(model, index); /* before it hears what has changed */
    caller = caller_of(model, actor);
    err = group_lead_heartbeat(model->rig.lead, model->rig.now_ms, &caller, &reply);
    if (err != 0) {
        join(model, actor);
        return;
    }
    actor->generation = reply.generation;
    actor->epoch = model->rig.epoch;
    if (below(model, 4) != 0) work(model, index);
}

/* ---- what befalls them ---- */

static void told(void *arg, const struct group_event *event)
{
    struct model *model = arg;

    model->result->generations += event->kind == GROUP_EVENT_ASSIGNED;
    if (event->kind != GROUP_EVENT_EXPIRED && event->kind != GROUP_EVENT_SLOW) return;
    model->result->slow += event->kind == GROUP_EVENT_SLOW;
    model->result->expired += event->kind == GROUP_EVENT_EXPIRED;
    for (int i = 0; i < MEMBERS; i++)
        if (slice_equal(id_of(&model->actors[i]), event->member)) end_claims(model, i);
}

static void reset(struct model *model)
{
    uint32_t cell = (uint32_t)below(model, CELLS);
    struct group_commit_cell to = {.topic = topic_of(model, cell), .partition = cell % PARTITIONS, .offset = below(model, 1000), .record_epoch = -1};
    struct group_reset request = {group_g, slice_of_string("op"), GROUP_RESET_EPOCH_ANY, true, false, &to, 1};
    struct group_reply reply;

    if (group_lead_reset(model->rig.lead, model->rig.wall_ms, &request, &reply) != 0) return;
    model->result->resets++;
    await(model, (struct pending){.kind = PENDING_RESET,
                                  .barrier = reply.barrier,
                                  .actor = -1,
                                  .cell = cell,
                                  .version = {model->rig.epoch, reply.barrier - 1, to.offset, true}});
}

static void failover(struct model *model)
{
    int next = (model->rig.leader + 1 + (int)below(model, RIG_REPLICAS - 1)) % RIG_REPLICAS;
    bool is_calm = below(model, 2) == 0;
    uint32_t generation;

    if (is_calm) {
        rig_settle(&model->rig);
        replicate(model);
    }
    /* Whoever is in sync has what lies below the high watermark. */
    rig_follow(&model->rig, next, model->high_watermark < model->rig.log_end ? model->high_watermark : model->rig.log_end);
    generation = rig_generation(&model->rig, "g");
    rig_failover(&model->rig, next, false);
    model->result->failovers++;
    model->pending_count = 0; /* nobody knows what became of them */
    if (!is_calm) return;
    rig_settle(&model->rig);
    model->result->calm_failovers++;
    if (rig_generation(&model->rig, "g") != generation) violate(model, "a failover rebalances");
}

static void grow(struct model *model)
{
    uint32_t topic = (uint32_t)below(model, TOPICS);

    if (model->partitions[topic] < PARTITIONS) rig_topic(&model->rig, topic_names[topic], ++model->partitions[topic]);
}

static void leave(struct model *model, int index)
{
    struct actor *actor = &model->actors[index];
    struct group_caller caller = caller_of(model, actor);
    struct group_reply reply;

    if (!actor->is_alive) return;
    end_claims(model, index);
    group_lead_leave(model->rig.lead, model->rig.wall_ms, &caller, &reply);
    actor->is_alive = false;
    forget_all(actor);
}

static void pass_time(struct model *model, uint64_t by_ms)
{
    model->rig.now_ms += by_ms;
    model->rig.wall_ms += by_ms;
    if (group_lead_tick(model->rig.lead, model->rig.now_ms, model->rig.wall_ms, told, model, &model->rig.deadline_ms) != 0) violate(model, "a tick fails");
}

static void step(struct model *model)
{
    int index = (int)below(model, MEMBERS);
    struct actor *actor = &model->actors[index];

    if (below(model, 8) == 0) deliver_late(model);
    switch (below(model, 40)) {
    case 0:
        if (!actor->is_alive) join(model, actor);
        break;
    case 1: leave(model, index); break;
    case 2: actor->stalled_until_ms = model->rig.now_ms + below(model, 30000); break;
    case 3: actor->is_alive = false; break; /* dies: what it held stays held until its session ends */
    case 4:
        if (below(model, 3) == 0) failover(model);
        break;
    case 5: reset(model); break;
    case 6: grow(model); break;
    case 7: {
        int replica = (int)below(model, RIG_REPLICAS);
        if (replica == model->rig.leader) break;
        replicate(model); /* a restarted one is out of the ISR until it has all */
        rig_restart(&model->rig, replica);
        model->result->restarts++;
        break;
    }
    case 8: model->result->trims += rig_trim(&model->rig); break;
    case 9: actor->is_hog = !actor->is_hog; break;
    case 10:
    case 11:
    case 12:
    case 13: pass_time(model, below(model, 4000)); break;
    case 14:
    case 15:
    case 16: lag(model); break;
    case 17:
    case 18:
    case 19: replicate(model); break;
    default: act(model, index); break;
    }
}

/* ---- peace ---- */

static void check_end(struct model *model)
{
    const struct groups *groups = leader_of(model);
    const struct group *group = groups_find(groups, group_g);
    uint32_t least = UINT32_MAX, most = 0;

    if (group == NULL) return;
    for (const struct group_member *member = group_next_member(group, NULL); member != NULL; member = group_next_member(group, member)) {
        uint32_t targets = group_member_view_of(member).target_count;
        if (targets < least) least = targets;
        if (targets > most) most = targets;
    }
    if (most > least + 1) violate(model, "shares of %u to %u", least, most);
    for (uint32_t cell = 0; cell < CELLS; cell++) {
        struct uuid topic = topic_of(model, cell);
        struct group_claim_view claim = group_claim_of(groups, group, &topic, cell % PARTITIONS);
        int consumers = 0;

        if (cell % PARTITIONS >= model->partitions[cell / PARTITIONS]) continue;
        for (int i = 0; i < MEMBERS; i++)
            consumers += model->actors[i].is_alive && claim.owner != NULL && model->actors[i].believes[cell] &&
                         slice_equal(group_member_view_of(claim.owner).info.id, id_of(&model->actors[i]));
        if (claim.owner == NULL || claim.owner != claim.target || consumers != 1) violate(model, "partition %u is stuck", cell);
    }
}

/* Nothing fails any more; who is alive goes on, except that one hog may still never let go: within the limits all partitions are consumed again. */
static void make_peace(struct model *model)
{
    bool has_hog = below(model, 3) == 0;

    for (int i = 0; i < MEMBERS; i++) {
        model->actors[i].stalled_until_ms = 0;
        model->actors[i].is_hog = has_hog && i == 0;
    }
    if (!model->actors[1].is_alive) join(model, &model->actors[1]);
    for (int second = 0; second < 90 && model->result->violation[0] == '\0'; second++) {
        for (int i = 0; i < MEMBERS; i++)
            act(model, i);
        pass_time(model, 1000);
        replicate(model);
    }
    for (int round = 0; round < 8; round++)
        for (int i = 0; i < MEMBERS; i++) {
            act(model, i);
            replicate(model);
        }
    check_end(model);
    if (!rig_replicas_agree(&model->rig)) violate(model, "the replicas differ");
}

void group_model_run(uint64_t seed, uint32_t steps, enum group_defect defect, struct group_model_result *ret_result)
{
    struct model *model = calloc(1, sizeof(*model));

    memset(ret_result, 0, sizeof(*ret_result));
    if (model == NULL) abort();
    model->result = ret_result;
    random_init(&model->random, seed);
    rig_init_with(&model->rig, defect);
    model->rig.told = told;
    model->rig.told_arg = model;
    model->rig.processing_limit_ms = 8000;
    model->rig.limits.checkpoint_bytes_min = 1000 + below(model, 8000);
    for (uint32_t t = 0; t < TOPICS; t++)
        rig_topic(&model->rig, topic_names[t], model->partitions[t] = 1 + (uint32_t)below(model, PARTITIONS / 2));
    rig_failover(&model->rig, 0, false); /* with these limits */
    for (int i = 0; i < 3; i++)
        join(model, &model->actors[i]);
    for (uint32_t i = 0; i < steps && ret_result->violation[0] == '\0'; i++)
        step(model);
    make_peace(model);
    if (model->rig.violation != NULL) violate(model, "%s", model->rig.violation);
    rig_deinit(&model->rig);
    free(model);
}
