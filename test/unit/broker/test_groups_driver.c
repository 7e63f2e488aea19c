/* Groups on the shards of whole brokers: three of them in this process, a group partition on each, its leader stopped. Requests are put to the shard that leads, as
 * the door will. */
#include "base/clock.h"
#include "broker_fixture.h"
#include "cmd/broker/broker_private.h"
#include "cmd/broker/groups/groups.h"
#include "cmd/broker/metadata/metadata.h"
#include "cmd/broker/peers/seed.h"
#include "cmd/broker/runtime/shard.h"
#include "raw_client.h"
#include "replication/coordinator/groups_topic.h"
#include "replication/coordinator/image.h"
#include "support/run_suite.h"

#include <stdio.h>

#define BROKERS_MAX 3
#define PARTITIONS  4

static struct broker_fixture brokers[BROKERS_MAX];
static int broker_count;
static struct seed seed;
static char key_path[128];
static struct raw_client clients[BROKERS_MAX];
static struct uuid orders, groups_topic;
static int32_t leaders[GROUPS_TOPIC_PARTITIONS];
static char group_name[32];
static uint32_t number; /* the group's partition */
static uint64_t sequence;
static int32_t epoch_known;

/* ---- the mesh ---- */

static void topic_made(void *user, int error, const char *message, const struct image_topic *topic)
{
    (void)message;
    ck_assert_int_eq(error, 0);
    groups_topic = topic->topic_id;
    sem_post(user);
}

struct make {
    struct mail mail;
    sem_t done;
};

/* On the control loop. */
static void make_topic(struct mail *mail)
{
    struct make *make = container_of(mail, struct make, mail);

    metadata_groups_topic(brokers[0].broker->control.metadata, topic_made, &make->done);
}

/* Until every partition has a leader that all its replicas follow, as far as each broker knows. */
static void wait_for_leaders(void)
{
    for (int b = 0; b < broker_count; b++) {
        bool is_known = false;

        while (!is_known && brokers[b].is_running) {
            is_known = raw_topic_leaders(&clients[b], GROUPS_TOPIC_NAME, leaders, GROUPS_TOPIC_PARTITIONS);
            for (int i = 0; is_known && i < GROUPS_TOPIC_PARTITIONS; i++)
                is_known = leaders[i] > 0;
        }
    }
}

static void start(int b)
{
    broker_fixture_init(&brokers[b]);
    broker_fixture_set(&brokers[b], "groups.session.ms.min", "1000");
    if (b > 0) {
        brokers[b].options.seeds = &seed;
        brokers[b].options.seed_count = 1;
        brokers[b].options.key_places.option = key_path;
    }
    broker_fixture_start(&brokers[b]);
    raw_hello(&clients[b], brokers[b].port, -1);
}

/* A group that is led by the first broker, or by one that may be stopped. */
static void choose_group(bool is_first)
{
    int i = 0;

    do {
        snprintf(group_name, sizeof(group_name), "group-%d", i++);
        number = group_partition_of(slice_of_string(group_name));
    } while ((leaders[number] == 1) != is_first);
}

static void set_up(int count, bool is_first)
{
    struct make make = {.mail.deliver = make_topic};
    char address[64];

    broker_count = count;
    epoch_known = -1;
    start(0);
    snprintf(address, sizeof(address), "127.0.0.1:%u", brokers[0].port);
    ck_assert_int_eq(seed_parse(address, &seed), 0);
    snprintf(key_path, sizeof(key_path), "%s/key", brokers[0].data_dir);
    for (int b = 1; b < count; b++)
        start(b);
    orders = raw_topic_create(&clients[0], "orders", PARTITIONS, NULL, NULL);
    sem_init(&make.done, 0, 0);
    mailbox_post(&brokers[0].broker->control.mailbox, &make.mail);
    sem_wait(&make.done);
    sem_destroy(&make.done);
    wait_for_leaders();
    choose_group(is_first);
}

static void set_up_three(void)
{
    set_up(3, false);
}

static void set_up_two(void)
{
    set_up(2, true);
}

static void set_up_one(void)
{
    set_up(1, true);
}

static void teardown(void)
{
    for (int b = 0; b < broker_count; b++) {
        raw_close(&clients[b]);
        broker_fixture_deinit(&brokers[b]);
    }
}

/* ---- requests ---- */

struct ask {
    struct mail mail;
    struct group_request request;
    struct shard *shard;
    sem_t done;
    int error;
    uint64_t proof_behind_us;
    int32_t epoch;
    /* The question, and the rest of the answer. */
    int (*judge)(struct ask *ask, struct group_judging *judging);
    struct group_caller caller;
    struct group_reply reply;
    uint32_t generation;
    uint64_t offset;
    struct group_claim claims[PARTITIONS];
    size_t claim_count;
};

static int on_judge(struct group_request *request, struct group_judging *judging)
{
    struct ask *ask = container_of(request, struct ask, request);
    int err = ask->judge(ask, judging);

    if (err == 0) judging->barrier = ask->reply.barrier;
    judging->session_ms = 10000;
    return err;
}

static void on_done(struct group_request *request, int error)
{
    struct ask *ask = container_of(request, struct ask, request);

    ask->error = error;
    ask->proof_behind_us = groups_proof_behind(request);
    ask->epoch = groups_epoch(request);
    sem_post(&ask->done);
}

/* On the shard. */
static void ask_arrives(struct mail *mail)
{
    struct ask *ask = container_of(mail, struct ask, mail);

    groups_request(ask->shard, &ask->request);
}

static int ask_broker(int b, struct ask *ask, bool is_change)
{
    struct broker *broker = brokers[b].broker;

    ask->shard = broker->shards[image_shard_of(&groups_topic, number, broker->shard_count)];
    ask->request = (struct group_request){.judge = on_judge, .done = on_done, .number = number, .timeout_ms = 10000, .is_change = is_change};
    ask->caller.group = slice_of_string(group_name);
    ask->caller.epoch_plus_one = (uint32_t)(epoch_known + 1);
    ask->caller.sequence = ++sequence;
    ask->mail.deliver = ask_arrives;
    sem_init(&ask->done, 0, 0);
    mailbox_post(&ask->shard->mailbox, &ask->mail);
    sem_wait(&ask->done);
    sem_destroy(&ask->done);
    if (ask->error == 0) epoch_known = ask->epoch;
    return ask->error;
}

static int leader(void)
{
    return leaders[number] - 1; /* node ids are given in the order of joining */
}

static int judge_join(struct ask *ask, struct group_judging *judging)
{
    struct group_member_info info = {.id = ask->caller.member, .names = slice_of("\6orders", 7), .name_count = 1, .session_timeout_ms = 10000, .processing_limit_ms = 1000};

    return group_lead_join(judging->lead, judging->now_ms, judging->wall_ms, &ask->caller, &info, &ask->reply);
}

static int judge_heartbeat(struct ask *ask, struct group_judging *judging)
{
    struct group_cursor cursor = {0};
    struct group_work work;
    int err = group_lead_heartbeat(judging->lead, judging->now_ms, &ask->caller, &ask->reply);

    while (err == 0 && ask->claim_count < PARTITIONS && group_lead_work(judging->lead, ask->caller.group, ask->caller.member, &cursor, &work))
        if (work.kind == GROUP_WORK_CLAIM) ask->claims[ask->claim_count++] = (struct group_claim){.topic = work.topic, .partition = work.partition};
    return err;
}

static int judge_claim(struct ask *ask, struct group_judging *judging)
{
    return group_lead_claim(judging->lead, judging->now_ms, &ask->caller, ask->generation, ask->claims, ask->claim_count, &ask->reply);
}

static int judge_commit(struct ask *ask, struct group_judging *judging)
{
    struct group_commit_cell cell = {.topic = orders, .offset = ask->offset, .record_epoch = -1};
    struct group_commit commit = {ask->caller, ask->generation, GROUP_RESET_EPOCH_ANY, &cell, 1};
    int err = group_lead_commit(judging->lead, judging->now_ms, judging->wall_ms, &commit, &ask->reply);

    return err != 0 ? err : cell.error;
}

/* The shard may not have the image yet that the broker tells of. */
static int join(const char *id)
{
    struct ask ask;
    int err;

    do {
        ask = (struct ask){.judge = judge_join, .caller.member = slice_of_string(id)};
        err = ask_broker(leader(), &ask, true);
    } while (err == MESH_ENOT_LEADER);
    return err;
}

static int commit(int b, const char *id, uint32_t generation, uint64_t offset)
{
    struct ask ask = {.judge = judge_commit, .caller.member = slice_of_string(id), .generation = generation, .offset = offset};

    return ask_broker(b, &ask, true);
}

/* Claims whatever there is to be claimed; the group's generation. */
static uint32_t claim_all(const char *id, size_t want)
{
    struct ask beat = {.claim_count = 0};
    struct ask claim = {.judge = judge_claim, .caller.member = slice_of_string(id)};

    while (beat.claim_count < want) {
        beat = (struct ask){.judge = judge_heartbeat, .caller.member = slice_of_string(id)};
        ck_assert_int_eq(ask_broker(leader(), &beat, false), 0);
    }
    memcpy(claim.claims, beat.claims, sizeof(claim.claims));
    claim.claim_count = beat.claim_count;
    claim.generation = beat.reply.generation;
    ck_assert_int_eq(ask_broker(leader(), &claim, true), 0);
    for (size_t i = 0; i < claim.claim_count; i++)
        ck_assert_int_eq(claim.claims[i].error, 0);
    return beat.reply.generation;
}

/* ---- looking into a replica ---- */

struct look {
    struct mail mail;
    struct shard *shard;
    sem_t done;
    uint64_t offset; /* UINT64_MAX: none, or no state */
    uint32_t generation;
    bool leads;
};

static void look_arrives(struct mail *mail)
{
    struct look *look = container_of(mail, struct look, mail);
    const struct group_lead *lead = NULL;
    const struct groups *groups = groups_state_of(look->shard, number, &lead);
    const struct group *group = groups == NULL ? NULL : groups_find(groups, slice_of_string(group_name));
    struct group_offset offset;

    look->offset = group != NULL && group_committed(groups, group, &orders, 0, &offset) ? offset.offset : UINT64_MAX;
    look->generation = group == NULL ? 0 : group_view_of(group).generation;
    look->leads = lead != NULL;
    sem_post(&look->done);
}

static struct look look_into(int b)
{
    struct broker *broker = brokers[b].broker;
    struct look look = {.mail.deliver = look_arrives, .shard = broker->shards[image_shard_of(&groups_topic, number, broker->shard_count)]};

    sem_init(&look.done, 0, 0);
    mailbox_post(&look.shard->mailbox, &look.mail);
    sem_wait(&look.done);
    sem_destroy(&look.done);
    return look;
}

/* ---- stories ---- */

START_TEST(a_group_lives_through_the_end_of_its_leader)
{
    int was = leader(), err;
    uint32_t generation;

    ck_assert_int_eq(join("a"), 0);
    generation = claim_all("a", PARTITIONS);
    ck_assert_int_eq(commit(leader(), "a", generation, 7), 0);
    ck_assert_int_eq(commit(leader(), "a", generation, 5), 0); /* seeks back */
    ck_assert_int_eq(commit(leader(), "b", generation, 9), MESH_EUNKNOWN_MEMBER);
    ck_assert_int_eq(commit(leader(), "", GROUP_GENERATION_NONE, 9), MESH_EUNKNOWN_MEMBER);
    /* A follower applies what its log gets, and answers nobody. */
    for (int b = 0; b < broker_count; b++) {
        while (look_into(b).offset != 5) {
        }
        if (b != was) ck_assert_int_eq(commit(b, "a", generation, 8), MESH_ENOT_LEADER);
    }
    ck_assert_int_eq(broker_fixture_stop(&brokers[was]), 0);
    while (leaders[number] == was + 1)
        ck_assert(raw_topic_leaders(&clients[0], GROUPS_TOPIC_NAME, leaders, GROUPS_TOPIC_PARTITIONS));
    /* Nothing was loaded, nobody assigned anew. What was sent to the one before counts no more. */
    do
        err = commit(leader(), "a", generation, 6);
    while (err == MESH_ENOT_LEADER);
    ck_assert_int_eq(err, MESH_ESTALE_EPOCH);
    struct ask beat = {.judge = judge_heartbeat, .caller.member = slice_of_string("a")};
    ck_assert_int_eq(ask_broker(leader(), &beat, false), 0);
    ck_assert_uint_eq(beat.claim_count, 0);
    ck_assert_uint_eq(beat.reply.generation, generation);
    ck_assert_int_eq(commit(leader(), "a", generation, 11), 0);
    ck_assert_uint_eq(look_into(leader()).offset, 11);
    ck_assert(look_into(leader()).leads);
    /* Back again, it reads its log, and what it missed. */
    raw_close(&clients[was]);
    broker_fixture_start(&brokers[was]);
    raw_hello(&clients[was], brokers[was].port, -1);
    while (look_into(was).offset != 11) {
    }
    ck_assert_uint_eq(look_into(was).generation, generation);
}
END_TEST

/* Two hold what is committed, so nothing is while one is gone. But who consumes goes on: the coordinator proves that nobody else leads. */
START_TEST(who_consumes_goes_on_while_nothing_can_be_committed)
{
    struct ask beat = {.error = MESH_EAGAIN};
    uint32_t generation;
    int err = 0;

    ck_assert_int_eq(join("a"), 0);
    generation = claim_all("a", PARTITIONS);
    ck_assert_int_eq(broker_fixture_stop(&brokers[1]), 0);
    while (err != MESH_ENOT_ENOUGH_REPLICAS) {
        err = commit(0, "a", generation, 7);
        ck_assert(err == 0 || err == MESH_EUNCOMMITTED || err == MESH_ENOT_ENOUGH_REPLICAS || err == MESH_ESTALE_EPOCH || err == MESH_ENOT_LEADER);
    }
    beat = (struct ask){.judge = judge_heartbeat, .caller.member = slice_of_string("a")};
    ck_assert_int_eq(ask_broker(0, &beat, false), 0);
    ck_assert_uint_le(beat.proof_behind_us, 5000000);
    ck_assert_uint_le((uint64_t)clock_monotonic_ns() / 1000 - metadata_current_us(brokers[0].broker->control.metadata), 3000000);
    ck_assert_uint_eq(beat.claim_count, 0);
}
END_TEST

/* Nobody has a copy in memory: the logs are read from the disk. */
START_TEST(a_mesh_of_one_remembers_its_groups)
{
    struct ask beat;
    uint32_t generation;

    ck_assert_int_eq(join("a"), 0);
    generation = claim_all("a", PARTITIONS);
    for (uint64_t offset = 1; offset <= 40; offset++)
        ck_assert_int_eq(commit(0, "a", generation, offset), 0);
    raw_close(&clients[0]);
    ck_assert_int_eq(broker_fixture_stop(&brokers[0]), 0);
    broker_fixture_start(&brokers[0]);
    raw_hello(&clients[0], brokers[0].port, -1);
    beat = (struct ask){.judge = judge_heartbeat, .caller.member = slice_of_string("a")};
    while (ask_broker(0, &beat, false) == MESH_ENOT_LEADER)
        beat = (struct ask){.judge = judge_heartbeat, .caller.member = slice_of_string("a")};
    ck_assert_int_eq(beat.error, 0);
    ck_assert_uint_eq(beat.proof_behind_us, 0);
    ck_assert_uint_eq(beat.reply.generation, generation);
    ck_assert_uint_eq(look_into(0).offset, 40);
    ck_assert_int_eq(commit(0, "a", generation, 41), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("groups_driver");
    TCase *three = tcase_create("three"), *two = tcase_create("two"), *one = tcase_create("one");

    tcase_set_timeout(three, 60);
    tcase_add_checked_fixture(three, set_up_three, teardown);
    tcase_add_test(three, a_group_lives_through_the_end_of_its_leader);
    suite_add_tcase(suite, three);
    tcase_set_timeout(two, 60);
    tcase_add_checked_fixture(two, set_up_two, teardown);
    tcase_add_test(two, who_consumes_goes_on_while_nothing_can_be_committed);
    suite_add_tcase(suite, two);
    tcase_set_timeout(one, 60);
    tcase_add_checked_fixture(one, set_up_one, teardown);
    tcase_add_test(one, a_mesh_of_one_remembers_its_groups);
    suite_add_tcase(suite, one);
    return run_suite(suite);
}
