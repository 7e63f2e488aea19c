/* What a simulated broker makes of requests to its groups: the words of the leads, and back. */
#include "base/assert.h"
#include "base/error.h"
#include "sim/groups_internal.h"
#include "sim/replication_internal.h"
#include "sim/sim_sometimes.h"

#include <stdlib.h>
#include <string.h>

struct asked {
    struct groups_partition *partition;
    struct groups_answer *answer;
    struct group_caller caller;
    uint64_t now_ms, wall_ms;
    struct group_reply reply;
};

static int join(struct asked *asked)
{
    struct groups_request *request = &asked->answer->request;
    struct groups_guest *guest = asked->partition->guest;
    struct group_member_info info = {.id = asked->caller.member,
                                     .instance = asked->caller.instance,
                                     .session_timeout_ms = request->session_ms,
                                     .processing_limit_ms = request->processing_ms,
                                     .strategy = request->strategy};

    buffer_clear(&guest->names);
    if (request->has_pattern) {
        info.pattern = slice_of_string("topic-.*");
    } else {
        for (int i = 0; i < GROUPS_TOPICS_MAX; i++) {
            if (guest->config->topics[i] == NULL) continue;
            MESH_ASSERT(group_names_put(&guest->names, slice_of_string(guest->config->topics[i])) == 0);
            info.name_count++;
        }
        info.names = buffer_slice(&guest->names);
    }
    return group_lead_join(asked->partition->part.lead, asked->now_ms, asked->wall_ms, &asked->caller, &info, &asked->reply);
}

/* A heartbeat that tells, besides, all that concerns the member. */
static int work(struct asked *asked)
{
    struct groups_request *request = &asked->answer->request;
    struct group_cursor cursor = {0};
    struct group_work work;
    int err = group_lead_heartbeat(asked->partition->part.lead, asked->now_ms, &asked->caller, &asked->reply);

    request->cell_count = 0;
    while (err == 0 && request->cell_count < GROUPS_CELLS_MAX && group_lead_work(asked->partition->part.lead, asked->caller.group, asked->caller.member, &cursor, &work))
        request->cells[request->cell_count++] = (struct groups_cell){.topic = work.topic, .partition = work.partition, .work = (uint8_t)work.kind};
    return err;
}

static void note_found(const struct asked *asked, struct groups_cell *cell)
{
    const struct groups *state = asked->partition->part.state;
    const struct group *group = groups_find(state, asked->caller.group);
    struct group_offset offset = {0};

    if (group == NULL || !group_committed(state, group, &cell->topic, cell->partition, &offset)) offset = (struct group_offset){0};
    cell->found_epoch = offset.version_epoch;
    cell->found_lsn = offset.version_lsn;
}

static int claim_or_release(struct asked *asked, bool is_claim)
{
    struct groups_request *request = &asked->answer->request;
    struct group_claim claims[GROUPS_CELLS_MAX];
    int err;

    for (uint32_t i = 0; i < request->cell_count; i++)
        claims[i] = (struct group_claim){.topic = request->cells[i].topic, .partition = request->cells[i].partition};
    if (is_claim) err = group_lead_claim(asked->partition->part.lead, asked->now_ms, &asked->caller, request->generation, claims, request->cell_count, &asked->reply);
    else err = group_lead_release(asked->partition->part.lead, asked->now_ms, &asked->caller, claims, request->cell_count, &asked->reply);
    for (uint32_t i = 0; err == 0 && i < request->cell_count; i++) {
        request->cells[i].error = claims[i].error;
        if (!is_claim || claims[i].error != 0) continue;
        request->cells[i].offset = claims[i].offset;
        request->cells[i].record_epoch = claims[i].record_epoch;
        note_found(asked, &request->cells[i]);
    }
    return err;
}

static void to_commit_cells(const struct groups_request *request, struct group_commit_cell *cells)
{
    for (uint32_t i = 0; i < request->cell_count; i++) {
        const struct groups_cell *cell = &request->cells[i];

        cells[i] = (struct group_commit_cell){.topic = cell->topic, .partition = cell->partition, .offset = cell->offset, .record_epoch = cell->record_epoch};
    }
}

static void from_commit_cells(struct groups_request *request, const struct group_commit_cell *cells)
{
    for (uint32_t i = 0; i < request->cell_count; i++)
        request->cells[i].error = cells[i].error;
}

static int commit(struct asked *asked)
{
    struct groups_request *request = &asked->answer->request;
    struct group_commit_cell cells[GROUPS_CELLS_MAX];
    struct group_commit what = {asked->caller, request->generation, request->reset_epoch, cells, request->cell_count};
    int err;

    to_commit_cells(request, cells);
    err = group_lead_commit(asked->partition->part.lead, asked->now_ms, asked->wall_ms, &what, &asked->reply);
    if (err == 0) from_commit_cells(request, cells);
    return err;
}

static int reset(struct asked *asked)
{
    struct groups_request *request = &asked->answer->request;
    struct group_commit_cell cells[GROUPS_CELLS_MAX];
    struct group_reset what = {.group = asked->caller.group,
                               .who = slice_of_string("operator"),
                               .reset_epoch = request->reset_epoch,
                               .is_forced = request->is_forced,
                               .cells = cells,
                               .cell_count = request->cell_count};
    int err;

    to_commit_cells(request, cells);
    err = group_lead_reset(asked->partition->part.lead, asked->wall_ms, &what, &asked->reply);
    if (err == 0) from_commit_cells(request, cells);
    return err;
}

static int decide(struct asked *asked)
{
    switch (asked->answer->request.op) {
    case GROUPS_JOIN: return join(asked);
    case GROUPS_HEARTBEAT: return group_lead_heartbeat(asked->partition->part.lead, asked->now_ms, &asked->caller, &asked->reply);
    case GROUPS_WORK: return work(asked);
    case GROUPS_CLAIM: return claim_or_release(asked, true);
    case GROUPS_RELEASE: return claim_or_release(asked, false);
    case GROUPS_COMMIT: return commit(asked);
    case GROUPS_LEAVE: return group_lead_leave(asked->partition->part.lead, asked->wall_ms, &asked->caller, &asked->reply);
    case GROUPS_RESET: return reset(asked);
    }
    return MESH_EINVAL;
}

/* ---- waiting ---- */

/* A request from its coming to its answer. */
struct waiting {
    struct group_waiter waiter;
    struct groups_partition *partition;
    bool is_judged; /* it waits for the high watermark; otherwise for a lead */
    struct groups_answer answer;
};

static bool is_change(enum groups_op op)
{
    return op != GROUPS_HEARTBEAT && op != GROUPS_WORK;
}

static void answer(struct waiting *waiting, int error)
{
    struct groups_partition *partition = waiting->partition;
    struct group_facts facts;

    if (error != 0) {
        waiting->answer.error = error;
    } else {
        facts = groups_facts(partition);
        waiting->answer.heard_us = waiting->waiter.heard;
        waiting->answer.proof_behind_us = group_part_proof_behind(&partition->part, &facts, waiting->waiter.heard);
    }
    if (!partition->guest->is_stopping) GROUPS_HOOK(partition->guest, answered, partition->guest->process, &waiting->answer);
    free(waiting);
}

static void judge(struct waiting *waiting)
{
    struct groups_partition *partition = waiting->partition;
    struct groups_answer *to = &waiting->answer;
    struct group_facts facts = groups_facts(partition);
    struct group_lead *lead = partition->part.lead;
    char name[GROUPS_NAME_SIZE];
    uint64_t before = groups_next_lsn(partition->part.state);
    struct asked asked = {.partition = partition, .answer = to, .now_ms = facts.now_ms, .wall_ms = facts.wall_ms};

    groups_note_lead(partition);
    asked.caller = (struct group_caller){.group = groups_name(to->request.group, name, sizeof(name)),
                                         .member = slice_of_string(to->request.member),
                                         .instance = slice_of_string(to->request.instance),
                                         .epoch_plus_one = to->request.epoch_plus_one,
                                         .sequence = to->request.sequence};
    to->error = decide(&asked);
    if (to->error != 0) {
        asked.reply.barrier = group_lead_barrier(lead); /* also what was refused was judged by what may be lost */
        waiting->waiter.session_ms = 0;                 /* but prolongs no lease */
    }
    to->epoch_plus_one = facts.epoch + 1;
    to->generation = asked.reply.generation;
    to->has_work = asked.reply.has_work;
    to->place = groups_next_lsn(partition->part.state);
    if (to->place > before) to->lsn = to->place - 1;
    GROUPS_HOOK(partition->guest, judged, partition, to);
    waiting->is_judged = true;
    waiting->waiter.barrier = asked.reply.barrier;
    waiting->waiter.due_ms = facts.now_ms + GROUPS_WAIT_MS;
    group_part_wait(&partition->part, &facts, &waiting->waiter);
}

static void ready_or_refused(struct waiting *waiting)
{
    struct groups_partition *partition = waiting->partition;
    struct group_facts facts = groups_facts(partition);
    int err = group_part_ready(&partition->part, &facts, is_change(waiting->answer.request.op));

    if (err == MESH_EAGAIN && group_part_await(&partition->part, &facts, &waiting->waiter)) return;
    if (err != 0 && err != MESH_EAGAIN && err != MESH_ENOT_LEADER && partition->part.lead != NULL && waiting->answer.request.op == GROUPS_COMMIT)
        SIM_SOMETIMES("a commit was refused as too few replicas were in sync");
    if (err != 0) answer(waiting, err);
    else judge(waiting);
}

static void done(struct group_waiter *waiter, int error)
{
    struct waiting *waiting = container_of(waiter, struct waiting, waiter);

    if (error != 0 || waiting->is_judged) answer(waiting, error);
    else ready_or_refused(waiting);
}

int groups_ask(struct replication_process *process, const struct groups_request *request)
{
    struct groups_partition *partition;
    struct waiting *waiting;

    replication_process_stir(process);
    partition = groups_find_partition(process, request->group);
    if (partition == NULL || partition->replica->plog == NULL || !replica_leads(&partition->replica->replica)) return MESH_ENOT_LEADER;
    waiting = calloc(1, sizeof(*waiting));
    MESH_ASSERT(waiting != NULL);
    waiting->partition = partition;
    waiting->answer.request = *request;
    waiting->waiter.done = done;
    waiting->waiter.session_ms = request->op == GROUPS_RESET ? 0 : partition->guest->config->session_ms;
    ready_or_refused(waiting);
    return 0;
}
