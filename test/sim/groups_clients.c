#include "sim/groups_clients.h"

#include "base/assert.h"
#include "base/error.h"
#include "sim/sim_sometimes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEP_MIN_US   5000 /* between two looks of a member at what is to be done */
#define STEP_MEAN_US  30000
#define WAY_MIN_US    200 /* between a client and a broker, and between two */
#define WAY_MEAN_US   2000
#define LATE_MEAN_US  (4 * SIM_SECOND) /* of copies */
#define PAUSE_US      (SIM_SECOND / 5) /* what came for a stopped process waits */
#define PAUSES_MAX    150
#define BATCH_MAX     8 /* records taken at once */

typedef unsigned long long ull;

void groups_clients_init(struct groups_clients *clients)
{
    memset(clients, 0, sizeof(*clients));
    for (uint32_t g = 0; g < GROUPS_MAX; g++)
        for (uint32_t p = 0; p < REPLICATION_PARTITIONS_MAX; p++) {
            clients->done[g][p] = calloc(1, GROUPS_OFFSETS_MAX / 8);
            MESH_ASSERT(clients->done[g][p] != NULL);
        }
}

static void end_process(struct groups_member *member)
{
    consumer_member_free(member->machine);
    member->machine = NULL;
    member->sequence = member->request_until_us = member->pulse_number = member->pulse_until_us = 0;
    member->unplaced_count = 0;
    member->is_closing = member->is_leaving = member->leaves_for_good = false;
    memset(member->shares, 0, sizeof(member->shares));
}

void groups_clients_deinit(struct groups_clients *clients)
{
    for (uint32_t i = 0; i < clients->member_count; i++)
        end_process(&clients->members[i]);
    for (uint32_t g = 0; g < GROUPS_MAX; g++)
        for (uint32_t p = 0; p < REPLICATION_PARTITIONS_MAX; p++)
            free(clients->done[g][p]);
}

void groups_clients_reset(struct groups_clients *clients, struct sim *sim, struct groups_watch *watch, const struct groups_config *config, uint32_t groups, uint32_t members)
{
    MESH_ASSERT(groups <= GROUPS_MAX && members <= GROUPS_MEMBERS_MAX);
    for (uint32_t i = 0; i < clients->member_count; i++)
        end_process(&clients->members[i]);
    clients->sim = sim;
    clients->watch = watch;
    clients->config = config;
    clients->group_count = groups;
    clients->member_count = members;
    memset(clients->members, 0, sizeof(clients->members));
    memset(clients->parcels, 0, sizeof(clients->parcels));
    clients->next_parcel = 0;
    clients->numbers = clients->handled = clients->again = clients->joined = clients->lost = 0;
    for (uint32_t g = 0; g < GROUPS_MAX; g++)
        for (uint32_t p = 0; p < REPLICATION_PARTITIONS_MAX; p++)
            memset(clients->done[g][p], 0, GROUPS_OFFSETS_MAX / 8);
    for (uint32_t i = 0; i < members; i++) {
        struct groups_member *member = &clients->members[i];

        member->clients = clients;
        member->index = i;
        member->group = i % groups;
        member->host = UINT32_MAX;
    }
}

static struct random *chance(const struct groups_clients *clients)
{
    return sim_random(clients->sim, SIM_RANDOM_WORKLOAD);
}

static uint64_t now_us(const struct groups_clients *clients)
{
    return sim_now_us(clients->sim);
}

static uint64_t now_ms(const struct groups_clients *clients)
{
    return now_us(clients) / 1000;
}

/* ---- the network ---- */

static void arrives(void *user, uint64_t argument);

static void post(struct groups_clients *clients, uint32_t host, const struct groups_answer *what, bool is_answer, uint64_t mean_us)
{
    uint64_t delay_us = WAY_MIN_US + sim_random_exponential(chance(clients), mean_us);

    for (uint32_t i = 0; i < GROUPS_PARCELS_MAX; i++) {
        uint32_t at = clients->next_parcel++ % GROUPS_PARCELS_MAX;

        if (clients->parcels[at].is_used) continue;
        clients->parcels[at] = (struct groups_parcel){true, is_answer, host, 0, *what};
        sim_at(clients->sim, now_us(clients) + delay_us, arrives, clients, at);
        return;
    }
}

static struct groups_member *member_of(struct groups_clients *clients, const struct groups_request *request)
{
    uint64_t index = request->number & 0xff;

    return request->number != 0 && index < clients->member_count ? &clients->members[index] : NULL;
}

static void taken_in(struct groups_member *member, const struct groups_answer *answer);

/* Not from a broker's decision: nothing was done. */
static void fails(struct groups_clients *clients, const struct groups_request *request, int error)
{
    struct groups_member *member = member_of(clients, request);

    if (member == NULL || request->is_copy) return;
    taken_in(member, &(struct groups_answer){.request = *request, .error = error});
}

/* The request has reached a broker. */
static void served(struct groups_clients *clients, struct groups_parcel *parcel, uint32_t at)
{
    struct sim_host *host = sim_host_at(clients->sim, parcel->host);
    struct groups_answer what = parcel->what;
    struct replication_process *process;
    uint32_t leader;
    int err;

    if (sim_host_is_running(host) && !sim_host_is_awake(host) && parcel->waits++ < PAUSES_MAX) {
        SIM_SOMETIMES("a request waited at a stopped broker");
        sim_at(clients->sim, now_us(clients) + PAUSE_US, arrives, clients, at);
        return;
    }
    parcel->is_used = false;
    if (!sim_host_is_awake(host)) {
        fails(clients, &what.request, MESH_EUNREACHABLE);
        return;
    }
    process = replication_process_of(sim_host_process(host));
    err = groups_ask(process, &what.request);
    leader = groups_leader_of(process, what.request.group);
    metadata_process_drain(replication_process_metadata(process));
    if (err == 0) return;
    if (what.request.is_forwarded || leader == UINT32_MAX || leader == parcel->host) {
        fails(clients, &what.request, MESH_ENOT_LEADER);
        return;
    }
    what.request.is_forwarded = true;
    post(clients, leader, &what, false, WAY_MEAN_US);
}

static void arrives(void *user, uint64_t argument)
{
    struct groups_clients *clients = user;
    struct groups_parcel *parcel = &clients->parcels[argument];
    struct groups_member *member;

    if (!parcel->is_answer) {
        served(clients, parcel, (uint32_t)argument);
        return;
    }
    parcel->is_used = false;
    member = member_of(clients, &parcel->what.request);
    if (member == NULL) return;
    if (now_us(clients) < member->stalled_until_us) { /* it is read when the process goes on */
        struct groups_answer what = parcel->what;

        post(clients, parcel->host, &what, true, PAUSE_US);
        return;
    }
    if (parcel->what.error == 0) member->host = parcel->host;
    taken_in(member, &parcel->what);
}

static uint32_t draw_host(struct groups_member *member)
{
    struct groups_clients *clients = member->clients;

    if (member->host != UINT32_MAX && sim_random_chance(chance(clients), clients->route_ppm)) return member->host;
    return (uint32_t)random_below(chance(clients), sim_host_count(clients->sim));
}

static void send_out(struct groups_member *member, const struct groups_request *request)
{
    struct groups_clients *clients = member->clients;
    struct groups_answer what = {.request = *request};
    uint32_t host = draw_host(member);

    if (sim_random_chance(chance(clients), clients->copied_ppm)) {
        struct groups_answer copy = what;
        uint32_t other = (uint32_t)random_below(chance(clients), sim_host_count(clients->sim));

        copy.request.is_copy = true;
        post(clients, other, &copy, false, LATE_MEAN_US);
    }
    if (!sim_random_chance(chance(clients), clients->lost_ppm)) post(clients, host, &what, false, WAY_MEAN_US);
}

/* ---- what is handled ---- */

static void note_done(struct groups_clients *clients, uint32_t group, uint32_t place, uint64_t from, uint64_t to)
{
    uint8_t *bits = clients->done[group][place];

    for (uint64_t offset = from; offset < to && offset < GROUPS_OFFSETS_MAX; offset++) {
        clients->again += bits[offset / 8] >> (offset % 8) & 1;
        bits[offset / 8] |= (uint8_t)(1u << (offset % 8));
    }
    clients->handled += to - from;
}

static const struct watch_partition *truth_of(const struct groups_clients *clients, uint32_t place)
{
    return &clients->watch->logs->partitions[place];
}

/* S20 */
static void check_alone(struct groups_member *member, uint32_t place)
{
    struct groups_clients *clients = member->clients;

    for (uint32_t i = 0; i < clients->member_count; i++) {
        const struct groups_member *other = &clients->members[i];
        const struct groups_share *share = &other->shares[place];

        if (other == member || other->group != member->group || other->machine == NULL || !share->is_owned || share->is_excused) continue;
        if (share->is_asked_back && share->until_us == 0) continue; /* it hands out nothing of it any more */
        if (!consumer_member_may_handle(other->machine, now_ms(clients))) continue;
        sim_fail(clients->sim, "S20 one member at a time handles a partition", "p%u: %s (m%u) begins at %llu, and %s (m%u) may handle it, too", place, member->id, member->index,
                 (ull)member->shares[place].position, other->id, i);
    }
}

static void take(struct groups_member *member, uint32_t place)
{
    struct groups_clients *clients = member->clients;
    struct groups_share *share = &member->shares[place];
    uint64_t end = truth_of(clients, place)->truth.end, mean_us = clients->handler_mean_us;

    if (!share->is_owned || share->is_asked_back || member->is_closing || share->until_us != 0 || share->position >= end) return;
    if (!consumer_member_may_handle(member->machine, now_ms(clients))) {
        SIM_SOMETIMES("a member handed out nothing, for its lease was over");
        return;
    }
    if (!share->is_excused) check_alone(member, place);
    share->taken_to = share->position + 1 + random_below(chance(clients), BATCH_MAX);
    if (share->taken_to > end) share->taken_to = end;
    if (member->is_hog) mean_us = (uint64_t)clients->processing_ms * 1500;
    share->until_us = now_us(clients) + 1 + sim_random_exponential(chance(clients), mean_us);
    share->position = share->taken_to;
}

static void store(struct groups_member *member, uint32_t place)
{
    const struct watch_partition *partition = truth_of(member->clients, place);
    const struct groups_share *share = &member->shares[place];

    (void)consumer_member_store(member->machine, &partition->topic_id, partition->number, share->handled, -1, slice_of(NULL, 0));
}

/* The handler is done with what it took; now and then the application goes back. */
static void finish(struct groups_member *member, uint32_t place)
{
    struct groups_clients *clients = member->clients;
    struct groups_share *share = &member->shares[place];

    if (share->until_us == 0 || now_us(clients) < share->until_us) return;
    note_done(clients, member->group, place, share->handled, share->taken_to);
    share->until_us = 0;
    share->handled = share->taken_to;
    if (!share->is_owned) return;
    if (sim_random_chance(chance(clients), clients->seek_ppm) && share->handled > 3) {
        SIM_SOMETIMES("a member went back");
        share->handled -= 1 + random_below(chance(clients), 3);
        share->position = share->handled;
    }
    store(member, place);
}

static void let_go(struct groups_member *member, uint32_t place)
{
    const struct watch_partition *partition = truth_of(member->clients, place);
    struct groups_share *share = &member->shares[place];

    if (!share->is_owned || !share->is_asked_back || share->until_us != 0) return;
    consumer_member_let_go(member->machine, &partition->topic_id, partition->number);
}

/* ---- what the machine says ---- */

static void assigned(struct groups_member *member, uint32_t place, const struct consumer_member_change *change)
{
    uint64_t offset = change->offset == CONSUMER_MEMBER_OFFSET_NONE ? 0 : change->offset;

    member->shares[place] = (struct groups_share){.is_owned = true, .position = offset, .handled = offset};
    sim_trace(member->clients->sim, NULL, "m%u %s has p%u of group %u from %llu", member->index, member->id, place, member->group, (ull)offset);
}

static void drop(struct groups_member *member, uint32_t place, const char *why)
{
    member->shares[place] = (struct groups_share){0};
    sim_trace(member->clients->sim, NULL, "m%u %s has p%u of group %u no longer: %s", member->index, member->id, place, member->group, why);
}

/* Of a partition that the observer does not know yet. */
static void put_aside(struct groups_member *member, const struct consumer_member_change *change)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < member->unplaced_count; i++)
        if (member->unplaced[i].partition != change->partition || !uuid_equal(&member->unplaced[i].topic, &change->topic)) member->unplaced[kept++] = member->unplaced[i];
    member->unplaced_count = kept;
    if (change->kind != CONSUMER_MEMBER_ASSIGNED) return; /* it was never begun with */
    MESH_ASSERT(kept < GROUPS_CELLS_MAX);
    member->unplaced[member->unplaced_count++] = *change;
}

/* What was put aside, and is known by now. */
static void place_rest(struct groups_member *member)
{
    for (uint32_t i = 0; i < member->unplaced_count;) {
        struct consumer_member_change change = member->unplaced[i];
        uint32_t place = groups_place(member->clients->watch, &change.topic, change.partition);

        if (place == UINT32_MAX) {
            i++;
            continue;
        }
        member->unplaced[i] = member->unplaced[--member->unplaced_count];
        assigned(member, place, &change);
    }
}

/* True: the process ends. */
static bool changed(struct groups_member *member, const struct consumer_member_change *change)
{
    uint32_t place = groups_place(member->clients->watch, &change->topic, change->partition);

    if (change->kind == CONSUMER_MEMBER_FAILED || change->kind == CONSUMER_MEMBER_LEFT) {
        SIM_SOMETIMES_IF(change->kind == CONSUMER_MEMBER_LEFT, "a member left in good order");
        return true;
    }
    if (place == UINT32_MAX) {
        put_aside(member, change);
        return false;
    }
    switch (change->kind) {
    case CONSUMER_MEMBER_ASSIGNED: assigned(member, place, change); break;
    case CONSUMER_MEMBER_ASKED_BACK: member->shares[place].is_asked_back = true; break;
    case CONSUMER_MEMBER_RESUMED: member->shares[place].is_asked_back = false; break;
    case CONSUMER_MEMBER_RELEASED: drop(member, place, "released"); break;
    case CONSUMER_MEMBER_LOST:
        member->clients->lost++;
        drop(member, place, "lost");
        break;
    default: break;
    }
    return false;
}

static void hear_changes(struct groups_member *member)
{
    struct consumer_member_change change;
    struct slice id;

    while (member->machine != NULL && consumer_member_next_change(member->machine, &change))
        if (changed(member, &change)) end_process(member);
    if (member->machine == NULL) return;
    id = consumer_member_view(member->machine).id;
    if (slice_equal(id, slice_of_string(member->id))) return;
    snprintf(member->id, sizeof(member->id), "%.*s", (int)id.size, (const char *)id.data);
    member->acked_sequence = 0;
}

/* ---- requests ---- */

static void describe(struct groups_member *member, struct groups_request *request, enum groups_op op, struct slice id)
{
    struct groups_clients *clients = member->clients;

    *request = (struct groups_request){.op = op,
                                       .number = ++clients->numbers << 8 | member->index,
                                       .group = member->group,
                                       .session_ms = clients->session_ms,
                                       .processing_ms = clients->processing_ms,
                                       .strategy = GROUP_STICKY,
                                       .reset_epoch = GROUP_RESET_EPOCH_ANY,
                                       .has_pattern = clients->has_patterns && member->index % 2 == 1};
    snprintf(request->member, sizeof(request->member), "%.*s", (int)id.size, (const char *)id.data);
    memcpy(request->instance, member->instance, sizeof(request->instance));
}

static void beat(struct groups_member *member)
{
    struct consumer_member_view view = consumer_member_view(member->machine);
    struct groups_request request;
    uint32_t timeout_ms;

    consumer_pulse_follow(&member->pulse, now_ms(member->clients), &view);
    if (!consumer_pulse_next(&member->pulse, now_ms(member->clients), &timeout_ms)) return;
    describe(member, &request, GROUPS_HEARTBEAT, slice_of(member->pulse.id, member->pulse.id_size));
    member->pulse_number = request.number;
    member->pulse_until_us = now_us(member->clients) + (uint64_t)timeout_ms * 1000;
    send_out(member, &request);
}

static enum groups_op op_of(enum consumer_member_request_kind kind)
{
    static const enum groups_op ops[] = {[CONSUMER_MEMBER_JOIN] = GROUPS_JOIN,       [CONSUMER_MEMBER_WORK] = GROUPS_WORK,
                                         [CONSUMER_MEMBER_CLAIM] = GROUPS_CLAIM,     [CONSUMER_MEMBER_RELEASE] = GROUPS_RELEASE,
                                         [CONSUMER_MEMBER_COMMIT] = GROUPS_COMMIT,   [CONSUMER_MEMBER_LEAVE] = GROUPS_LEAVE};
    return ops[kind];
}

static void ask(struct groups_member *member)
{
    struct consumer_member_request what;
    struct groups_request request;

    if (member->request_until_us != 0 || !consumer_member_next_request(member->machine, now_ms(member->clients), &what)) return;
    describe(member, &request, op_of(what.kind), what.member);
    request.epoch_plus_one = what.epoch;
    request.sequence = what.sequence;
    request.generation = what.generation;
    MESH_ASSERT(what.cell_count <= GROUPS_CELLS_MAX);
    for (size_t i = 0; i < what.cell_count; i++)
        request.cells[request.cell_count++] = (struct groups_cell){.topic = what.cells[i].topic, .partition = what.cells[i].partition, .offset = what.cells[i].offset,
                                                                    .record_epoch = what.cells[i].record_epoch};
    member->sequence = what.sequence;
    member->request_until_us = now_us(member->clients) + (uint64_t)what.timeout_ms * 1000;
    send_out(member, &request);
}

static void hear_answer(struct groups_member *member, const struct groups_answer *answer)
{
    struct consumer_member_work work[GROUPS_CELLS_MAX];
    struct consumer_member_item items[GROUPS_CELLS_MAX];
    struct consumer_member_answer to = {.error = answer->error,
                                        .epoch = answer->epoch_plus_one,
                                        .generation = answer->generation,
                                        .heard_us = answer->heard_us,
                                        .proof_behind_us = answer->proof_behind_us,
                                        .has_work = answer->has_work,
                                        .work = work,
                                        .items = items};

    for (uint32_t i = 0; i < answer->request.cell_count; i++) {
        const struct groups_cell *cell = &answer->request.cells[i];

        work[i] = (struct consumer_member_work){(enum consumer_member_work_kind)cell->work, cell->topic, cell->partition};
        items[i] = (struct consumer_member_item){cell->error, cell->offset, cell->record_epoch};
    }
    if (answer->request.op == GROUPS_WORK) to.work_count = answer->request.cell_count;
    member->request_until_us = 0;
    consumer_member_answered(member->machine, now_ms(member->clients), answer->request.sequence, &to);
}

static void hear_beat(struct groups_member *member, const struct groups_answer *answer)
{
    struct consumer_member_answer to = {.error = answer->error,
                                        .epoch = answer->epoch_plus_one,
                                        .generation = answer->generation,
                                        .heard_us = answer->heard_us,
                                        .proof_behind_us = answer->proof_behind_us,
                                        .has_work = answer->has_work};

    member->pulse_number = member->pulse_until_us = 0;
    consumer_pulse_answered(&member->pulse, now_ms(member->clients), answer->error);
    consumer_member_heard(member->machine, now_ms(member->clients), member->pulse.sent_ms, slice_of_string(answer->request.member), &to);
}

static void taken_in(struct groups_member *member, const struct groups_answer *answer)
{
    if (member->machine == NULL) return;
    if (answer->error == MESH_ENOT_LEADER || answer->error == MESH_EUNREACHABLE) member->host = UINT32_MAX;
    if (answer->request.op == GROUPS_HEARTBEAT) {
        if (answer->request.number == member->pulse_number) hear_beat(member, answer);
    } else if (member->request_until_us != 0 && answer->request.sequence == member->sequence && slice_equal(slice_of_string(answer->request.member), slice_of_string(member->id))) {
        hear_answer(member, answer);
    }
    hear_changes(member);
}

static void end_waits(struct groups_member *member)
{
    struct groups_answer late = {.error = MESH_ETIMEDOUT};
    uint64_t at_us = now_us(member->clients);

    snprintf(late.request.member, sizeof(late.request.member), "%s", member->id);
    if (member->request_until_us != 0 && at_us >= member->request_until_us) {
        SIM_SOMETIMES("a member got no answer");
        if (member->request_until_us + SIM_SECOND < at_us || sim_random_chance(chance(member->clients), 500000)) member->host = UINT32_MAX;
        late.request.op = GROUPS_WORK;
        late.request.sequence = member->sequence;
        hear_answer(member, &late);
    }
    if (member->pulse_number != 0 && at_us >= member->pulse_until_us) hear_beat(member, &late);
}

/* ---- a member's life ---- */

static bool is_handling(const struct groups_member *member)
{
    for (uint32_t place = 0; place < REPLICATION_PARTITIONS_MAX; place++)
        if (member->shares[place].until_us != 0) return true;
    return false;
}

/* As libmesh has it: a pool is freed before its consumer unsubscribes, and that waits for the handlers at work. Who left before they have returned would
 * let somebody else begin beside them. */
static void leave(struct groups_member *member)
{
    if (!member->is_closing || member->is_leaving) return;
    if (is_handling(member)) {
        SIM_SOMETIMES("a member that is to leave waits for its handlers");
        return;
    }
    member->is_leaving = true;
    for (uint32_t place = 0; place < REPLICATION_PARTITIONS_MAX; place++)
        member->shares[place].is_asked_back = true; /* all is as let go */
    consumer_member_leave(member->machine, member->leaves_for_good);
    hear_changes(member);
}

static void step(void *user, uint64_t argument)
{
    struct groups_clients *clients = user;
    struct groups_member *member = &clients->members[argument & 0xff];
    uint64_t next_us = now_us(clients) + STEP_MIN_US + sim_random_exponential(chance(clients), STEP_MEAN_US);

    if (member->machine == NULL || member->life != argument >> 8) return;
    if (now_us(clients) < member->stalled_until_us) {
        sim_at(clients->sim, member->stalled_until_us, step, clients, argument);
        return;
    }
    end_waits(member);
    hear_changes(member);
    place_rest(member);
    for (uint32_t place = 0; place < clients->watch->logs->partition_count && member->machine != NULL; place++) {
        finish(member, place);
        take(member, place);
        let_go(member, place);
    }
    if (member->machine != NULL) leave(member);
    if (member->machine != NULL) ask(member);
    if (member->machine != NULL) beat(member);
    sim_at(clients->sim, next_us, step, clients, argument);
}

void groups_clients_start(struct groups_clients *clients, uint32_t index)
{
    struct groups_member *member = &clients->members[index];
    struct consumer_member_terms terms = {.session_timeout_ms = clients->session_ms,
                                          .processing_limit_ms = clients->processing_ms,
                                          .commit_interval_ms = (uint32_t)(100 + random_below(chance(clients), 900)),
                                          .is_static = clients->has_instances && index % 3 == 0};

    if (member->machine != NULL) return;
    member->instance[0] = '\0';
    if (terms.is_static) snprintf(member->instance, sizeof(member->instance), "instance-%u", index);
    MESH_ASSERT(consumer_member_new(&terms, random_next(chance(clients)), now_ms(clients), &member->machine) == 0);
    consumer_pulse_init(&member->pulse, clients->session_ms);
    member->life++;
    member->stalled_until_us = 0;
    member->id[0] = '\0';
    clients->joined++;
    hear_changes(member);
    step(clients, (uint64_t)member->life << 8 | index);
}

void groups_clients_kill(struct groups_clients *clients, uint32_t index)
{
    if (clients->members[index].machine != NULL) end_process(&clients->members[index]);
}

void groups_clients_leave(struct groups_clients *clients, uint32_t index)
{
    struct groups_member *member = &clients->members[index];

    if (member->machine == NULL) return;
    member->is_closing = true; /* nothing more is handed out */
    member->leaves_for_good |= random_below(chance(clients), 2) == 0;
}

void groups_clients_stall(struct groups_clients *clients, uint32_t index, uint64_t for_us)
{
    clients->members[index].stalled_until_us = now_us(clients) + for_us;
}

uint32_t groups_clients_alive(const struct groups_clients *clients, uint32_t group)
{
    uint32_t alive = 0;

    for (uint32_t i = 0; i < clients->member_count; i++)
        alive += clients->members[i].group == group && clients->members[i].machine != NULL;
    return alive;
}

/* ---- the operator ---- */

/* As the leader of now has it: what a reader is told, or the dry run before a reset. GROUP_RESET_EPOCH_ANY: nobody tells. */
static uint32_t read_reset_epoch(struct groups_clients *clients, uint32_t group)
{
    uint32_t epoch = GROUP_RESET_EPOCH_ANY;
    char name[GROUPS_NAME_SIZE];

    for (uint32_t h = 0; h < sim_host_count(clients->sim); h++) {
        struct sim_host *at = sim_host_at(clients->sim, h);
        const struct groups_partition *home = sim_host_is_awake(at) ? groups_find_partition(replication_process_of(sim_host_process(at)), group) : NULL;
        const struct group *found = home == NULL || home->part.lead == NULL ? NULL : groups_find(home->part.state, groups_name(group, name, sizeof(name)));

        if (found != NULL) epoch = group_view_of(found).reset_epoch;
    }
    return epoch;
}

static void post_twice(struct groups_clients *clients, struct groups_answer *what)
{
    post(clients, (uint32_t)random_below(chance(clients), sim_host_count(clients->sim)), what, false, WAY_MEAN_US);
    if (!sim_random_chance(chance(clients), clients->copied_ppm)) return;
    what->request.is_copy = true;
    post(clients, (uint32_t)random_below(chance(clients), sim_host_count(clients->sim)), what, false, LATE_MEAN_US);
}

static struct groups_answer of_one(const struct groups_clients *clients, enum groups_op op, uint32_t group, uint32_t place, uint64_t offset)
{
    const struct watch_partition *partition = truth_of(clients, place);
    struct groups_answer what = {.request = {.op = op, .group = group, .generation = GROUP_GENERATION_NONE, .is_forced = true, .cell_count = 1}};

    what.request.cells[0] = (struct groups_cell){.topic = partition->topic_id, .partition = partition->number, .offset = offset, .record_epoch = -1};
    return what;
}

void groups_clients_set_offset(struct groups_clients *clients, uint32_t group, uint32_t place, uint64_t offset)
{
    struct groups_answer what = of_one(clients, GROUPS_RESET, group, place, offset);

    what.request.reset_epoch = read_reset_epoch(clients, group);
    if (what.request.reset_epoch == GROUP_RESET_EPOCH_ANY) return;
    clients->watch->is_reset[group][place] = true; /* from now on: it may be done and never acknowledged */
    post_twice(clients, &what);
}

/* ---- a consumer outside of groups ---- */

void groups_clients_commit_alone(struct groups_clients *clients, uint32_t group, uint32_t place, uint64_t offset)
{
    struct groups_answer what = of_one(clients, GROUPS_COMMIT, group, place, offset);

    what.request.reset_epoch = random_below(chance(clients), 4) == 0 ? GROUP_RESET_EPOCH_ANY : read_reset_epoch(clients, group);
    post_twice(clients, &what);
}

/* ---- hooks ---- */

void groups_clients_judged(struct groups_clients *clients, const struct groups_answer *answer)
{
    const struct groups_request *request = &answer->request;
    struct groups_member *member = member_of(clients, request);

    if (member == NULL || request->op != GROUPS_LEAVE || answer->error != 0 || strcmp(member->leaving.id, request->member) == 0) return;
    memcpy(member->leaving.id, request->member, sizeof(member->leaving.id));
    member->leaving.at_us = now_us(clients);
}

/* S10, of joins: a copy of one that comes after its member has left, where the leader has read that it left. */
static void check_left(struct groups_clients *clients, struct groups_member *member, struct replication_process *process, const struct groups_answer *answer)
{
    const struct groups_partition *partition = groups_find_partition(process, answer->request.group);
    const char *id = answer->request.member;

    if (answer->error != 0) return;
    if (answer->request.op == GROUPS_LEAVE && strcmp(member->leaving.id, id) == 0) member->left = member->leaving;
    if (answer->request.op != GROUPS_JOIN || strcmp(member->left.id, id) != 0 || partition == NULL || partition->read_from_us >= member->left.at_us) return;
    sim_fail(clients->sim, "S10 what was overtaken does not count", "m%u %s: it has left, and a late copy of its join brings it back", member->index, id);
}

/* S10: of each member what is newest counts. What was acknowledged of it in the order of its log is in the order in which it was asked for. */
static void check_order(struct groups_clients *clients, struct groups_member *member, const struct groups_answer *answer)
{
    struct groups_version version = {answer->epoch_plus_one - 1, answer->lsn, 0, answer->lsn != 0};
    uint64_t sequence = answer->request.sequence;

    if (answer->error != 0 || answer->lsn == 0 || strcmp(member->id, answer->request.member) != 0) return;
    /* A late copy of its first join comes after it has left: somebody joins who is not there, and claims nothing until the session ends. */
    if (answer->request.op == GROUPS_JOIN && answer->request.is_copy) return;
    if (sequence < member->acked_sequence && groups_is_older(&member->acked, &version))
        sim_fail(clients->sim, "S10 what was overtaken does not count", "m%u %s: request %llu is done at %llu, after %llu at %llu was acknowledged", member->index, member->id,
                 (ull)sequence, (ull)version.lsn, (ull)member->acked_sequence, (ull)member->acked.lsn);
    if (sequence <= member->acked_sequence) return;
    member->acked_sequence = sequence;
    member->acked = version;
}

void groups_clients_answered(struct groups_clients *clients, struct replication_process *process, const struct groups_answer *answer)
{
    struct groups_member *member = member_of(clients, &answer->request);

    if (sim_host_is_dying(replication_process_host(process))) return;
    groups_watch_answered(clients->watch, answer);
    if (member == NULL) return;
    check_order(clients, member, answer);
    check_left(clients, member, process, answer);
    if (answer->request.is_copy || sim_random_chance(chance(clients), clients->lost_ppm)) return;
    post(clients, sim_host_index(replication_process_host(process)), answer, true, WAY_MEAN_US);
}

void groups_clients_told(struct groups_clients *clients, const struct group_event *event)
{
    if (event->kind != GROUP_EVENT_SLOW) return;
    SIM_SOMETIMES("partitions were taken from a slow member");
    for (uint32_t i = 0; i < clients->member_count; i++) {
        struct groups_member *member = &clients->members[i];

        if (!slice_equal(slice_of_string(member->id), event->member)) continue;
        for (uint32_t place = 0; place < REPLICATION_PARTITIONS_MAX; place++)
            member->shares[place].is_excused = true;
    }
}

/* ---- rest ---- */

bool groups_clients_consume(const struct groups_clients *clients, uint32_t place)
{
    const struct watch_partition *partition = truth_of(clients, place);
    const struct image *image = metadata_watch_image(clients->watch->logs->metadata);
    const struct image_topic *topic = image == NULL || partition->is_gone ? NULL : image_find_topic(image, &partition->topic_id);

    for (int i = 0; topic != NULL && i < GROUPS_TOPICS_MAX; i++)
        if (clients->config->topics[i] != NULL && strcmp(topic->name, clients->config->topics[i]) == 0) return true;
    return false;
}

static uint64_t first_left_out(const struct groups_clients *clients, uint32_t group, uint32_t place, uint64_t end)
{
    const uint8_t *bits = clients->done[group][place];

    for (uint64_t offset = 0; offset < end && offset < GROUPS_OFFSETS_MAX; offset++)
        if ((bits[offset / 8] >> (offset % 8) & 1) == 0) return offset;
    return UINT64_MAX;
}

static const char *unrest_of(struct groups_clients *clients, uint32_t group, uint32_t place)
{
    static _Thread_local char text[160];
    const struct groups_version *acked = &clients->watch->acked[group][place];
    uint64_t end = truth_of(clients, place)->truth.end, left_out = first_left_out(clients, group, place, end);
    uint32_t owners = 0;

    for (uint32_t i = 0; i < clients->member_count; i++)
        owners += clients->members[i].group == group && clients->members[i].machine != NULL && clients->members[i].shares[place].is_owned;
    if (owners != 1) {
        snprintf(text, sizeof(text), "p%u has %u owners in group %u", place, owners, group);
        return text;
    }
    if (end > 0 && (!acked->is_there || acked->offset != end)) {
        snprintf(text, sizeof(text), "p%u: group %u has committed %llu of %llu", place, group, (ull)acked->offset, (ull)end);
        return text;
    }
    if (left_out != UINT64_MAX && !clients->watch->is_reset[group][place]) {
        snprintf(text, sizeof(text), "p%u: nobody in group %u has handled %llu", place, group, (ull)left_out);
        return text;
    }
    return NULL;
}

const char *groups_clients_unrest(struct groups_clients *clients)
{
    const char *why = NULL;

    for (uint32_t group = 0; group < clients->group_count; group++) {
        if (groups_clients_alive(clients, group) == 0) continue;
        for (uint32_t place = 0; place < clients->watch->logs->partition_count && why == NULL; place++)
            if (groups_clients_consume(clients, place)) why = unrest_of(clients, group, place);
    }
    return why;
}
