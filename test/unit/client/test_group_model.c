/* Members of a group against the real decisions of its leader, over a network that loses, delays, doubles and holds back, with leaders that fail over,
 * handlers that take too long, and processes that die. An observer knows what was handled and acknowledged. `test_group_model SEED` runs one seed. */
#include "client/group_member.h"
#include "client/group_pulse.h"
#include "group_rig.h"

#include "base/assert.h"
#include "base/error.h"
#include "base/random.h"
#include "support/run_suite.h"

#include <stdio.h>
#include <stdlib.h>

#define MEMBERS    4
#define PARTITIONS 12
#define OFFSETS    20000
#define STEP_MS    50
#define SESSION_MS 6000
#define LIMIT_MS   9000
#define CELLS      64

static const char *const topic_name = "orders";

/* One message on its way, either way. */
struct parcel {
    bool is_answer, is_heartbeat;
    int member;
    uint32_t life;
    uint64_t due_ms, sent_ms, sequence, barrier;
    enum consumer_member_request_kind kind;
    char id[UUID_STRING_SIZE], instance[16];
    uint32_t epoch, generation;
    size_t count;
    struct consumer_member_cell cells[CELLS];
    struct consumer_member_answer answer;
    struct consumer_member_item items[CELLS];
    struct consumer_member_work work[CELLS];
};

struct hand {
    struct consumer_member *machine; /* NULL: dead */
    struct consumer_pulse pulse;
    uint64_t pulse_deadline_ms, deadline_ms; /* when what is under way is given up; 0: nothing is */
    uint64_t under_way;
    uint32_t life;
    char instance[16];
    uint64_t busy_until_ms, back_ms;
    int busy_with; /* -1: no partition */
    bool is_overdue; /* something was taken from somebody while it was busy: perhaps this */
    struct {
        bool is_mine, is_asked_back;
        uint64_t position, asked_ms;
    } parts[PARTITIONS];
};

struct model {
    struct group_rig rig;
    struct random random;
    struct parcel *parcels[4096];
    size_t parcel_count;
    struct hand hands[MEMBERS];
    bool is_calm;
    uint64_t acked[PARTITIONS], handled[PARTITIONS];
    uint64_t excused_until_ms; /* what was not released in time was taken away, as its member had agreed to */
    bool was_handled[PARTITIONS][OFFSETS];
    uint64_t failovers, handovers, losses, total, late, taken;
    uint64_t committed; /* the group partition's high watermark */
    const char *violation;
};

static bool chance(struct model *model, uint32_t per_mille)
{
    return !model->is_calm && random_below(&model->random, 1000) < per_mille;
}

static void violate(struct model *model, const char *what)
{
    if (model->violation == NULL) model->violation = what;
}

/* ---- the network ---- */

static struct parcel *post(struct model *model, const struct parcel *parcel)
{
    struct parcel *copy = malloc(sizeof(*copy));

    *copy = *parcel;
    copy->due_ms = model->rig.now_ms + 1 + random_below(&model->random, model->is_calm ? 20 : 300);
    if (chance(model, 20)) copy->due_ms += random_below(&model->random, 3 * SESSION_MS); /* held back */
    MESH_ASSERT(model->parcel_count < sizeof(model->parcels) / sizeof(model->parcels[0]));
    model->parcels[model->parcel_count++] = copy;
    return copy;
}

static void post_perhaps(struct model *model, const struct parcel *parcel)
{
    if (!chance(model, 60)) post(model, parcel);
    if (chance(model, 60)) post(model, parcel);
}

/* ---- the leader ---- */

static void serve_work(struct model *model, struct parcel *parcel)
{
    struct group_cursor cursor = {0};
    struct group_work work;

    while (parcel->answer.work_count < CELLS && group_lead_work(model->rig.lead, slice_of_string("g"), slice_of_string(parcel->id), &cursor, &work))
        parcel->work[parcel->answer.work_count++] = (struct consumer_member_work){(enum consumer_member_work_kind)work.kind, work.topic, work.partition};
}

static int serve_join(struct model *model, const struct parcel *parcel, const struct group_caller *caller, struct group_reply *reply)
{
    struct buffer names = BUFFER_INIT;
    struct group_member_info info = {.id = slice_of_string(parcel->id),
                                     .instance = slice_of_string(parcel->instance),
                                     .name_count = 1,
                                     .session_timeout_ms = SESSION_MS,
                                     .processing_limit_ms = LIMIT_MS,
                                     .strategy = GROUP_STICKY};
    int err;

    group_names_put(&names, slice_of_string(topic_name));
    info.names = buffer_slice(&names);
    err = group_lead_join(model->rig.lead, model->rig.now_ms, model->rig.wall_ms, caller, &info, reply);
    buffer_deinit(&names);
    return err;
}

static int serve_claims(struct model *model, struct parcel *parcel, const struct group_caller *caller, struct group_reply *reply)
{
    struct group_claim claims[CELLS];
    int err;

    for (size_t i = 0; i < parcel->count; i++)
        claims[i] = (struct group_claim){.topic = parcel->cells[i].topic, .partition = parcel->cells[i].partition};
    if (parcel->kind == CONSUMER_MEMBER_CLAIM)
        err = group_lead_claim(model->rig.lead, model->rig.now_ms, caller, parcel->generation, claims, parcel->count, reply);
    else
        err = group_lead_release(model->rig.lead, model->rig.now_ms, caller, claims, parcel->count, reply);
    for (size_t i = 0; i < parcel->count; i++)
        parcel->items[i] = (struct consumer_member_item){claims[i].error, claims[i].offset, claims[i].record_epoch};
    return err;
}

static int serve_commit(struct model *model, struct parcel *parcel, const struct group_caller *caller, struct group_reply *reply)
{
    struct group_commit_cell cells[CELLS];
    struct group_commit commit = {.caller = *caller, .generation = parcel->generation, .cells = cells, .cell_count = parcel->count};
    int err;

    for (size_t i = 0; i < parcel->count; i++)
        cells[i] = (struct group_commit_cell){
            .topic = parcel->cells[i].topic, .partition = parcel->cells[i].partition, .offset = parcel->cells[i].offset, .record_epoch = -1};
    err = group_lead_commit(model->rig.lead, model->rig.now_ms, model->rig.wall_ms, &commit, reply);
    for (size_t i = 0; i < parcel->count; i++)
        parcel->items[i] = (struct consumer_member_item){cells[i].error, 0, -1};
    return err;
}

static void serve(struct model *model, struct parcel *parcel)
{
    struct group_rig *rig = &model->rig;
    const struct group_caller caller = {slice_of_string("g"), slice_of_string(parcel->id), slice_of_string(parcel->instance),
                                        parcel->epoch == 0 ? 0 : parcel->epoch + 1, parcel->sequence};
    struct group_reply reply = {0};
    int err;

    switch (parcel->is_heartbeat ? CONSUMER_MEMBER_WORK : parcel->kind) {
    case CONSUMER_MEMBER_JOIN: err = serve_join(model, parcel, &caller, &reply); break;
    case CONSUMER_MEMBER_WORK: err = group_lead_heartbeat(rig->lead, rig->now_ms, &caller, &reply); break;
    case CONSUMER_MEMBER_COMMIT: err = serve_commit(model, parcel, &caller, &reply); break;
    case CONSUMER_MEMBER_LEAVE: err = group_lead_leave(rig->lead, rig->wall_ms, &caller, &reply); break;
    default: err = serve_claims(model, parcel, &caller, &reply); break;
    }
    if (err == MESH_EOUT_OF_ORDER_SEQUENCE || err == MESH_ESTALE_EPOCH) model->late++;
    parcel->is_answer = true;
    parcel->answer = (struct consumer_member_answer){
        .error = err, .epoch = rig->epoch, .generation = reply.generation, .has_work = reply.has_work, .heartbeat_ms = 1500};
    if (err == 0 && !parcel->is_heartbeat && parcel->kind == CONSUMER_MEMBER_WORK) serve_work(model, parcel);
    parcel->barrier = err == 0 ? group_lead_barrier(rig->lead) : 0;
    rig_append(rig);
}

/* ---- members ---- */

static void live(struct model *model, int index)
{
    struct hand *hand = &model->hands[index];
    const struct consumer_member_terms terms = {SESSION_MS, LIMIT_MS, 700, hand->instance[0] != '\0'};

    hand->life++;
    MESH_ASSERT(consumer_member_new(&terms, random_next(&model->random), model->rig.now_ms, &hand->machine) == 0);
    consumer_pulse_init(&hand->pulse, SESSION_MS);
    hand->under_way = hand->deadline_ms = hand->pulse_deadline_ms = hand->busy_until_ms = 0;
    hand->busy_with = -1;
    memset(hand->parts, 0, sizeof(hand->parts));
}

static void die(struct model *model, int index)
{
    struct hand *hand = &model->hands[index];

    consumer_member_free(hand->machine);
    hand->machine = NULL;
    hand->back_ms = model->rig.now_ms + random_below(&model->random, 2 * SESSION_MS);
}

static struct parcel parcel_of(const struct model *model, int index)
{
    struct parcel parcel = {.member = index, .life = model->hands[index].life, .sent_ms = model->rig.now_ms};

    memcpy(parcel.instance, model->hands[index].instance, sizeof(parcel.instance));
    return parcel;
}

static void send(struct model *model, int index)
{
    struct hand *hand = &model->hands[index];
    struct consumer_member_request request;
    struct parcel parcel = parcel_of(model, index);
    uint32_t timeout_ms;

    if (consumer_pulse_next(&hand->pulse, model->rig.now_ms, &timeout_ms)) {
        parcel.is_heartbeat = true;
        memcpy(parcel.id, hand->pulse.id, hand->pulse.id_size);
        hand->pulse_deadline_ms = model->rig.now_ms + timeout_ms;
        post_perhaps(model, &parcel);
    }
    if (model->rig.now_ms < hand->busy_until_ms) return; /* requests are sent inside calls, heartbeats by a thread */
    parcel = parcel_of(model, index);
    if (!consumer_member_next_request(hand->machine, model->rig.now_ms, &request)) return;
    MESH_ASSERT(request.cell_count <= CELLS);
    parcel.kind = request.kind;
    parcel.sequence = request.sequence;
    parcel.epoch = request.epoch;
    parcel.generation = request.generation;
    memcpy(parcel.id, request.member.data, request.member.size);
    parcel.count = request.cell_count;
    if (request.cell_count > 0) memcpy(parcel.cells, request.cells, request.cell_count * sizeof(parcel.cells[0]));
    hand->under_way = request.sequence;
    hand->deadline_ms = model->rig.now_ms + request.timeout_ms;
    post_perhaps(model, &parcel);
}

/* What the observer learns from an answer that its member takes for the one to its request. */
static void observe(struct model *model, const struct parcel *parcel)
{
    for (size_t i = 0; i < parcel->count && parcel->answer.error == 0; i++) {
        uint32_t partition = parcel->cells[i].partition;

        if (parcel->items[i].error != 0) continue;
        if (parcel->kind == CONSUMER_MEMBER_COMMIT && parcel->cells[i].offset > model->acked[partition]) model->acked[partition] = parcel->cells[i].offset;
        if (parcel->kind != CONSUMER_MEMBER_CLAIM) continue;
        if ((parcel->items[i].offset == GROUP_OFFSET_NONE ? 0 : parcel->items[i].offset) < model->acked[partition])
            violate(model, "a claim began before an acknowledged commit");
    }
}

static void receive(struct model *model, struct parcel *parcel)
{
    struct hand *hand = &model->hands[parcel->member];

    if (hand->machine == NULL || hand->life != parcel->life) return;
    parcel->answer.work = parcel->work;
    parcel->answer.items = parcel->items;
    if (parcel->is_heartbeat) {
        if (!hand->pulse.is_under_way || parcel->sent_ms != hand->pulse.sent_ms) return;
        consumer_pulse_answered(&hand->pulse, model->rig.now_ms, parcel->answer.error);
        consumer_member_heard(hand->machine, model->rig.now_ms, parcel->sent_ms, slice_of_string(parcel->id), &parcel->answer);
        return;
    }
    if (hand->under_way == parcel->sequence) observe(model, parcel);
    consumer_member_answered(hand->machine, model->rig.now_ms, parcel->sequence, &parcel->answer);
    if (hand->under_way == parcel->sequence) hand->under_way = 0;
}

static void give_up(struct model *model, struct hand *hand)
{
    const struct consumer_member_answer none = {.error = MESH_ETIMEDOUT};

    if (hand->pulse.is_under_way && model->rig.now_ms >= hand->pulse_deadline_ms) consumer_pulse_answered(&hand->pulse, model->rig.now_ms, MESH_ETIMEDOUT);
    if (hand->under_way == 0 || model->rig.now_ms < hand->deadline_ms) return;
    consumer_member_answered(hand->machine, model->rig.now_ms, hand->under_way, &none);
    hand->under_way = 0;
}

/* ---- handlers ---- */

static void apply_change(struct model *model, int index, const struct consumer_member_change *change)
{
    struct hand *hand = &model->hands[index];
    uint32_t p = change->partition;

    switch (change->kind) {
    case CONSUMER_MEMBER_ASSIGNED:
        hand->parts[p].is_mine = true;
        hand->parts[p].is_asked_back = false;
        hand->parts[p].position = change->offset == CONSUMER_MEMBER_OFFSET_NONE ? 0 : change->offset;
        model->handovers++;
        break;
    case CONSUMER_MEMBER_ASKED_BACK:
        hand->parts[p].is_asked_back = true;
        hand->parts[p].asked_ms = model->rig.now_ms;
        break;
    case CONSUMER_MEMBER_RESUMED: hand->parts[p].is_asked_back = false; break;
    case CONSUMER_MEMBER_LOST: model->losses++; /* fallthrough */
    case CONSUMER_MEMBER_RELEASED:
        if (!hand->parts[p].is_mine) violate(model, "something unknown was taken away");
        hand->parts[p].is_mine = false;
        break;
    case CONSUMER_MEMBER_FAILED:
        /* A copy of a former life's join that took the place of this one: it comes back as another. */
        if (change->error != MESH_EFENCED_INSTANCE) violate(model, "a member failed");
        die(model, index);
        break;
    case CONSUMER_MEMBER_REFUSED: violate(model, "a commit was refused"); break;
    default: break;
    }
}

/* Somebody else is at this partition, and may rely on having it. */
static bool is_contested(struct model *model, int index, uint32_t p)
{
    for (int i = 0; i < MEMBERS; i++) {
        const struct hand *other = &model->hands[i];
        if (i == index || other->machine == NULL || model->rig.now_ms >= other->busy_until_ms || other->busy_with != (int)p) continue;
        if (!other->is_overdue && consumer_member_may_handle(other->machine, model->rig.now_ms)) return true;
    }
    return false;
}

static void begin_handling(struct model *model, int index, uint32_t p)
{
    struct hand *hand = &model->hands[index];

    if (is_contested(model, index, p) && model->rig.now_ms >= model->excused_until_ms) violate(model, "two handle a partition at once");
    hand->busy_with = (int)p;
    hand->busy_until_ms = model->rig.now_ms + random_below(&model->random, 100);
    if (chance(model, 10)) hand->busy_until_ms += random_below(&model->random, 2 * LIMIT_MS); /* its heartbeats go on */
    MESH_ASSERT(hand->parts[p].position < OFFSETS);
}

static void end_handling(struct model *model, struct hand *hand)
{
    int p = hand->busy_with;

    hand->busy_with = -1;
    hand->is_overdue = false;
    if (p < 0) return;
    model->was_handled[p][hand->parts[p].position++] = true;
    model->total++;
    while (model->was_handled[p][model->handled[p]])
        model->handled[p]++;
}

static void poll(struct model *model, int index)
{
    struct hand *hand = &model->hands[index];
    struct consumer_member_change change;
    struct uuid topic = rig_topic_id(&model->rig, topic_name);
    int done = hand->busy_with;

    if (model->rig.now_ms < hand->busy_until_ms) return;
    if (done >= 0) {
        end_handling(model, hand);
        if (hand->parts[done].is_mine) consumer_member_store(hand->machine, &topic, (uint32_t)done, hand->parts[done].position, -1, slice_of(NULL, 0));
    }
    while (hand->machine != NULL && consumer_member_next_change(hand->machine, &change))
        apply_change(model, index, &change);
    if (hand->machine == NULL) return;
    for (uint32_t p = 0; p < PARTITIONS; p++)
        if (hand->parts[p].is_mine && hand->parts[p].is_asked_back) consumer_member_let_go(hand->machine, &topic, p);
}

static void handle_next(struct model *model, int index)
{
    struct hand *hand = &model->hands[index];
    struct uuid topic = rig_topic_id(&model->rig, topic_name);

    if (model->rig.now_ms < hand->busy_until_ms) return;
    if (!consumer_member_may_handle(hand->machine, model->rig.now_ms)) return;
    for (uint32_t i = 0, p = (uint32_t)random_below(&model->random, PARTITIONS); i < PARTITIONS; i++, p = (p + 1) % PARTITIONS)
        if (hand->parts[p].is_mine && !hand->parts[p].is_asked_back) {
            if (!consumer_member_owns(hand->machine, &topic, p)) violate(model, "what is handled is not owned");
            begin_handling(model, index, p);
            return;
        }
}

static void step_member(struct model *model, int index)
{
    struct hand *hand = &model->hands[index];
    struct consumer_member_view view;

    if (hand->machine == NULL) {
        if (model->rig.now_ms >= hand->back_ms) live(model, index);
        return;
    }
    if (chance(model, 1)) {
        die(model, index);
        return;
    }
    give_up(model, hand);
    poll(model, index);
    if (hand->machine == NULL) return;
    view = consumer_member_view(hand->machine);
    consumer_pulse_follow(&hand->pulse, model->rig.now_ms, &view);
    send(model, index);
    handle_next(model, index);
}

/* ---- the whole ---- */

static void deliver(struct model *model)
{
    if (rig_high_watermark(&model->rig) > model->committed) model->committed = rig_high_watermark(&model->rig);
    for (size_t i = 0; i < model->parcel_count;) {
        struct parcel *parcel = model->parcels[i];

        if (parcel->due_ms > model->rig.now_ms || (parcel->is_answer && parcel->barrier > model->committed)) {
            i++;
            continue;
        }
        model->parcels[i] = model->parcels[--model->parcel_count];
        if (parcel->is_answer) {
            receive(model, parcel);
        } else {
            serve(model, parcel);
            if (!chance(model, 60)) post(model, parcel);
        }
        free(parcel);
    }
}

/* A replica leads that has all that was ever acknowledged. Answers that wait for what it has not got: nobody knows. */
static void fail_over(struct model *model)
{
    int leader = (model->rig.leader + 1 + (int)random_below(&model->random, RIG_REPLICAS - 1)) % RIG_REPLICAS;

    if (model->rig.applied[leader] < model->committed) return;
    for (size_t i = 0; i < model->parcel_count; i++) {
        struct parcel *parcel = model->parcels[i];
        if (!parcel->is_answer || parcel->barrier <= model->committed) continue;
        parcel->answer = (struct consumer_member_answer){.error = MESH_EUNCOMMITTED};
        parcel->barrier = 0;
    }
    rig_failover(&model->rig, leader, false);
    model->failovers++;
}

static void told(void *arg, const struct group_event *event)
{
    struct model *model = arg;

    if (event->kind != GROUP_EVENT_SLOW) return;
    model->excused_until_ms = model->rig.now_ms + SESSION_MS;
    for (int i = 0; i < MEMBERS; i++)
        model->hands[i].is_overdue = model->rig.now_ms < model->hands[i].busy_until_ms;
    model->taken++;
}

static void step(struct model *model)
{
    struct group_rig *rig = &model->rig;

    rig->now_ms += STEP_MS;
    rig->wall_ms += STEP_MS;
    if (chance(model, 4)) fail_over(model);
    do
        MESH_ASSERT(group_lead_tick(rig->lead, rig->now_ms, rig->wall_ms, told, model, &rig->deadline_ms) == 0);
    while (group_lead_is_due(rig->lead));
    rig_append(rig);
    for (int i = 0; i < RIG_REPLICAS; i++)
        if (i != rig->leader && !chance(model, 300)) rig_follow(rig, i, rig->log_end);
    deliver(model);
    for (int i = 0; i < MEMBERS; i++)
        step_member(model, i);
    for (uint32_t p = 0; p < PARTITIONS; p++)
        if (model->acked[p] > model->handled[p]) violate(model, "committed, and not handled");
}

static void check_end(struct model *model, const uint64_t *before)
{
    for (int i = 0; i < MEMBERS; i++) {
        uint32_t mine = 0;

        for (int p = 0; p < PARTITIONS; p++)
            mine += model->hands[i].machine != NULL && model->hands[i].parts[p].is_mine;
        if (mine != PARTITIONS / MEMBERS) violate(model, "shares are not equal in the end");
    }
    for (int p = 0; p < PARTITIONS; p++) {
        if (model->handled[p] <= before[p]) violate(model, "a partition is stuck");
        if (model->acked[p] <= before[p]) violate(model, "a partition's commits are stuck");
    }
}

static const char *run(struct model *model, uint64_t seed, uint32_t steps)
{
    uint64_t before[PARTITIONS];
    const char *violation;

    memset(model, 0, sizeof(*model));
    random_init(&model->random, seed);
    rig_init(&model->rig);
    rig_topic(&model->rig, topic_name, PARTITIONS);
    for (int i = 0; i < MEMBERS; i++) {
        if (i == 0) snprintf(model->hands[i].instance, sizeof(model->hands[i].instance), "first");
        live(model, i);
    }
    for (uint32_t i = 0; i < steps && model->violation == NULL; i++)
        step(model);
    model->is_calm = true; /* and then everything has to come right, once what is held back has come */
    for (uint32_t i = 0; i < 12 * SESSION_MS / STEP_MS && model->violation == NULL; i++)
        step(model);
    memcpy(before, model->handled, sizeof(before));
    for (uint32_t i = 0; i < 3 * SESSION_MS / STEP_MS && model->violation == NULL; i++)
        step(model);
    if (model->violation == NULL) check_end(model, before);
    violation = model->violation != NULL ? model->violation : model->rig.violation;
    while (model->parcel_count > 0)
        free(model->parcels[--model->parcel_count]);
    for (int i = 0; i < MEMBERS; i++)
        consumer_member_free(model->hands[i].machine);
    rig_deinit(&model->rig);
    return violation;
}

START_TEST(members_share_a_group_through_all_trouble)
{
    static struct model model;
    uint64_t failovers = 0, late = 0, total = 0, losses = 0;

    for (uint64_t seed = 1; seed <= 60; seed++) {
        const char *violation = run(&model, seed, 4000);
        if (violation != NULL) ck_abort_msg("seed %llu: %s", (unsigned long long)seed, violation);
        failovers += model.failovers;
        late += model.late;
        total += model.total;
        losses += model.losses;
    }
    /* The trouble was there. */
    ck_assert_uint_gt(failovers, 300);
    ck_assert_uint_gt(late, 1000);
    ck_assert_uint_gt(losses, 100);
    ck_assert_uint_gt(total, 100000);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *suite;
    TCase *tcase;

    if (argc > 1) {
        static struct model model;
        uint64_t seed = strtoull(argv[1], NULL, 10);
        const char *violation = run(&model, seed, argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 4000);

        printf("%s: at %llu ms; %llu handled, %llu failovers, %llu handovers, %llu lost, %llu late, %llu taken\n", violation == NULL ? "good" : violation,
               (unsigned long long)model.rig.now_ms, (unsigned long long)model.total, (unsigned long long)model.failovers,
               (unsigned long long)model.handovers, (unsigned long long)model.losses, (unsigned long long)model.late, (unsigned long long)model.taken);
        return violation != NULL;
    }
    suite = suite_create("group members");
    tcase = tcase_create("model");
    tcase_add_test(tcase, members_share_a_group_through_all_trouble);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
