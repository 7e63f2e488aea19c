/* Four whole brokers in this process, three replicas of each group partition: the fourth hears of every committed offset, within seconds, and goes on
 * hearing of them when a leader ends. */
#include "broker_fixture.h"
#include "base/clock.h"
#include "cmd/broker/broker_private.h"
#include "cmd/broker/groups/groups.h"
#include "cmd/broker/groups/query.h"
#include "cmd/broker/metadata/metadata_internal.h"
#include "cmd/broker/operate/events.h"
#include "cmd/broker/peers/seed.h"
#include "cmd/broker/runtime/shard.h"
#include "cmd/broker/spread/ends_tell.h"
#include "cmd/broker/spread/spread_internal.h"
#include "raw_client.h"
#include "replication/coordinator/groups_topic.h"
#include "replication/coordinator/image.h"
#include "replication/metadata/node_internal.h"
#include "support/run_suite.h"

#include <stdio.h>

#define BROKERS 4
#define GROUPS  12
#define STALE_MS_MAX 5000 /* of what is recovered */

static struct broker_fixture brokers[BROKERS];
static struct seed seed;
static char key_path[128];
static struct raw_client clients[BROKERS];
static struct uuid orders, groups_topic;
static int32_t leaders[GROUPS_TOPIC_PARTITIONS];

/* ---- the mesh ---- */

struct errand {
    struct mail mail;
    sem_t done;
    int broker;
    struct slice group;
    struct uuid from;
    uint32_t partition;
    uint64_t offset; /* UINT64_MAX: nothing is known */
    uint64_t age_ms;
    bool is_elsewhere;
    struct spread_stats stats;
};

static void run_on_control(struct errand *errand, int broker, mail_fn *run)
{
    errand->mail.deliver = run;
    errand->broker = broker;
    sem_init(&errand->done, 0, 0);
    mailbox_post(&brokers[broker].broker->control.mailbox, &errand->mail);
    sem_wait(&errand->done);
    sem_destroy(&errand->done);
}

static void topic_made(void *user, int error, const char *message, const struct image_topic *topic)
{
    (void)message;
    ck_assert_int_eq(error, 0);
    groups_topic = topic->topic_id;
    sem_post(user);
}

static void make_topic(struct mail *mail)
{
    struct errand *errand = container_of(mail, struct errand, mail);

    metadata_groups_topic(brokers[0].broker->control.metadata, topic_made, &errand->done);
}

static void wait_for_leaders(void)
{
    for (int b = 0; b < BROKERS; b++) {
        bool is_known = false;

        while (!is_known && brokers[b].is_running) {
            is_known = raw_topic_leaders(&clients[b], GROUPS_TOPIC_NAME, leaders, GROUPS_TOPIC_PARTITIONS);
            for (int i = 0; is_known && i < GROUPS_TOPIC_PARTITIONS; i++)
                is_known = leaders[i] > 0 && brokers[leaders[i] - 1].is_running;
        }
    }
}

static void start(int b)
{
    broker_fixture_init(&brokers[b]);
    if (b > 0) {
        brokers[b].options.seeds = &seed;
        brokers[b].options.seed_count = 1;
        brokers[b].options.key_places.option = key_path;
    }
    broker_fixture_start(&brokers[b]);
    raw_hello(&clients[b], brokers[b].port, -1);
}

static void setup(void)
{
    struct errand make = {.offset = 0};
    char address[64];

    start(0);
    snprintf(address, sizeof(address), "127.0.0.1:%u", brokers[0].port);
    ck_assert_int_eq(seed_parse(address, &seed), 0);
    snprintf(key_path, sizeof(key_path), "%s/key", brokers[0].data_dir);
    for (int b = 1; b < BROKERS; b++)
        start(b);
    orders = raw_topic_create(&clients[0], "orders", 8, NULL, NULL);
    run_on_control(&make, 0, make_topic);
    wait_for_leaders();
}

static void teardown(void)
{
    for (int b = 0; b < BROKERS; b++) /* all at once: the last ones would wait for a coordinator */
        if (brokers[b].is_running) broker_fixture_stop_begin(&brokers[b]);
    for (int b = 0; b < BROKERS; b++) {
        if (brokers[b].is_running) raw_close(&clients[b]);
        broker_fixture_deinit(&brokers[b]);
    }
}

/* ---- requests to leaders ---- */

struct ask {
    struct mail mail;
    struct group_request request;
    struct shard *shard;
    sem_t done;
    struct slice group;
    uint32_t partition;
    uint64_t offset;
    int error;
};

static void on_done(struct group_request *request, int error)
{
    struct ask *ask = container_of(request, struct ask, request);

    ask->error = error;
    sem_post(&ask->done);
}

static void ask_arrives(struct mail *mail)
{
    struct ask *ask = container_of(mail, struct ask, mail);

    groups_request(ask->shard, &ask->request);
}

static void ask_leader(struct ask *ask, int (*judge)(struct group_request *request, struct group_judging *judging), bool is_change)
{
    uint32_t number = group_partition_of(ask->group);

    do {
        struct broker *broker = brokers[leaders[number] - 1].broker;
        ask->shard = broker->shards[image_shard_of(&groups_topic, number, broker->shard_count)];
        ask->request = (struct group_request){.judge = judge, .done = on_done, .number = number, .timeout_ms = 10000, .is_change = is_change};
        ask->mail.deliver = ask_arrives;
        sem_init(&ask->done, 0, 0);
        mailbox_post(&ask->shard->mailbox, &ask->mail);
        sem_wait(&ask->done);
        sem_destroy(&ask->done);
        if (ask->error == MESH_ENOT_LEADER) wait_for_leaders();
    } while (ask->error == MESH_ENOT_LEADER || ask->error == MESH_EAGAIN || ask->error == MESH_ENOT_ENOUGH_REPLICAS || ask->error == MESH_EUNCOMMITTED);
    ck_assert_int_eq(ask->error, 0);
}

static const char *name_of(int group)
{
    static char name[16];

    snprintf(name, sizeof(name), "group-%d", group);
    return name;
}

/* By nobody in particular. */
static int on_commit(struct group_request *request, struct group_judging *judging)
{
    struct ask *ask = container_of(request, struct ask, request);
    struct group_commit_cell cell = {.topic = orders, .partition = ask->partition, .offset = ask->offset, .record_epoch = -1};
    struct group_commit commit = {.caller = {.group = ask->group}, .generation = GROUP_GENERATION_NONE, .reset_epoch = GROUP_RESET_EPOCH_ANY, .cells = &cell,
                                  .cell_count = 1};
    struct group_reply reply;
    int err = group_lead_commit(judging->lead, judging->now_ms, judging->wall_ms, &commit, &reply);

    if (err == 0) judging->barrier = reply.barrier;
    return err != 0 ? err : cell.error;
}

static void commit(int group, uint32_t partition, uint64_t offset)
{
    struct ask ask = {.group = slice_of_string(name_of(group)), .partition = partition, .offset = offset};

    ask_leader(&ask, on_commit, true);
}

/* ---- what a broker heard ---- */

static void look(struct mail *mail)
{
    struct errand *errand = container_of(mail, struct errand, mail);
    struct spread *spread = brokers[errand->broker].broker->control.spread;
    uint32_t number = group_partition_of(errand->group);
    const struct spread_cells *cells = spread_feed_cells(spread->feed, number);
    const struct spread_group *group = cells == NULL ? NULL : spread_cells_find(cells, errand->group);
    struct spread_row row;

    errand->is_elsewhere = spread->here_ms[number] == 0;
    errand->offset = group != NULL && spread_group_committed(cells, group, &orders, errand->partition, &row) ? row.offset : UINT64_MAX;
    spread_get_stats(spread, &errand->stats);
    sem_post(&errand->done);
}

/* Every broker without a replica has heard of it. How many there are. */
static int wait_until_heard(int group, uint32_t partition, uint64_t offset)
{
    int elsewhere = 0;

    for (int b = 0; b < BROKERS; b++) {
        struct errand errand = {.group = slice_of_string(name_of(group)), .partition = partition};

        if (!brokers[b].is_running) continue;
        do {
            run_on_control(&errand, b, look);
        } while (errand.is_elsewhere && errand.offset != offset);
        elsewhere += errand.is_elsewhere;
    }
    return elsewhere;
}

/* ---- what any broker says by itself ---- */

static void was_listed(void *user, int error, struct slice answer)
{
    struct message_group_list_response response;
    struct errand *errand = user;

    ck_assert_int_eq(error, 0);
    ck_assert_int_eq(message_decode_group_list_response(answer, &response), 0);
    for (size_t i = 1; i < response.row_count; i++)
        ck_assert(!slice_equal(response.rows[i - 1].name, response.rows[i].name));
    errand->offset = response.row_count + 1000 * (uint64_t)response.partitions_unknown;
    message_deinit_group_list_response(&response);
    sem_post(&errand->done);
}

static void list(struct mail *mail)
{
    struct errand *errand = container_of(mail, struct errand, mail);
    struct message_group_list request = {.is_local = true, .partition = -1};

    ck_assert_int_eq(groups_query_list(&brokers[errand->broker].broker->control, &request, was_listed, errand), 0);
}

static void was_described(void *user, int error, struct slice answer)
{
    struct message_group_describe_response response;
    struct errand *errand = user;

    errand->offset = UINT64_MAX;
    if (error == 0 && message_decode_group_describe_response(answer, &response) == 0) {
        if (response.source == MESSAGE_GROUP_FROM_CACHE && response.topic_count == 1) {
            ck_assert(!response.has_members && response.row.cell_count == response.topics[0].partition_count && response.age_ms >= SPREAD_ROUND_MS);
            errand->offset = (uint64_t)response.topics[0].offsets[0];
        }
        message_deinit_group_describe_response(&response);
    }
    sem_post(&errand->done);
}

static void describe(struct mail *mail)
{
    struct errand *errand = container_of(mail, struct errand, mail);
    struct message_group_describe request = {.head = {.group = errand->group, .epoch = -1}, .is_local = true, .after_partition = -1};

    ck_assert_int_eq(groups_query_describe(&brokers[errand->broker].broker->control, &request, was_described, errand), 0);
}

static void look_at_end(struct mail *mail)
{
    struct errand *errand = container_of(mail, struct errand, mail);
    struct spread_end end;

    errand->offset = ends_find(brokers[errand->broker].broker->control.spread, &orders, errand->partition, &end, &errand->age_ms) ? end.high_watermark : UINT64_MAX;
    sem_post(&errand->done);
}

/* Who leads each of the 8 partitions, -1: nobody, as its only replica has ended. */
static void find_leaders(int32_t led_by[8])
{
    bool is_known = false;

    while (!is_known) {
        is_known = raw_topic_leaders(&clients[0], "orders", led_by, 8);
        for (uint32_t i = 0; i < 8; i++)
            is_known = is_known && (led_by[i] < 0 || (led_by[i] > 0 && brokers[led_by[i] - 1].is_running));
    }
}

/* Every broker knows where each partition ends, also those that nobody leads; and how old that is. */
static void wait_until_ends_are_heard(uint64_t led, uint64_t leaderless)
{
    int32_t led_by[8];

    find_leaders(led_by);
    for (uint32_t i = 0; i < 8; i++) {
        for (int b = 0; b < BROKERS; b++) {
            struct errand errand = {.partition = i};

            while (brokers[b].is_running && (errand.offset != (led_by[i] > 0 ? led : leaderless) || (led_by[i] > 0) != (errand.age_ms == ENDS_FRESH_MS)))
                run_on_control(&errand, b, look_at_end);
        }
    }
}

/* As from another broker: ends that nobody believes, of errand->offset bytes or a little more. */
static void hear_ends(struct mail *mail)
{
    struct errand *errand = container_of(mail, struct errand, mail);
    struct buffer rows = BUFFER_INIT;
    struct spread_ends_writer writer = spread_ends_write(&rows);
    struct spread_message message = {.kind = SPREAD_ENDS};

    do {
        spread_ends_put(&writer, &(struct spread_end){.topic = orders, .partition = errand->partition});
    } while (rows.size < errand->offset);
    message.rows = buffer_slice(&rows);
    ends_receive(brokers[errand->broker].broker->control.spread, &errand->from, &message);
    buffer_deinit(&rows);
    sem_post(&errand->done);
}

/* A message that is full leaves something out: from then on what its sender said before grows old, until one is not full. */
static void check_that_full_messages_leave_doubt(void)
{
    struct errand errand = {.partition = 0};
    int32_t led_by[8];
    int there;

    find_leaders(led_by);
    there = led_by[0] == 1 ? 1 : 0;
    errand.from = brokers[led_by[0] - 1].broker->control.broker_id;
    do {
        errand.offset = ENDS_BYTES;
        run_on_control(&errand, there, hear_ends);
        run_on_control(&errand, there, look_at_end);
        ck_assert_uint_eq(errand.offset, 1000);
    } while (errand.age_ms == ENDS_FRESH_MS);
    errand.offset = 0;
    run_on_control(&errand, there, hear_ends);
    run_on_control(&errand, there, look_at_end);
    ck_assert(errand.offset == 1000 && errand.age_ms == ENDS_FRESH_MS);
}

static void produce_everywhere(int records)
{
    struct buffer batch = raw_batch(records, 10, -1, -1, raw_now_ms());
    int32_t led_by[8];

    find_leaders(led_by);
    for (uint32_t i = 0; i < 8; i++)
        if (led_by[i] > 0) ck_assert_int_eq(raw_produce(&clients[led_by[i] - 1], &orders, i, &batch).error, 0);
    buffer_deinit(&batch);
}

START_TEST(every_broker_hears_of_every_committed_offset)
{
    int victim = 0, elsewhere = 0;

    produce_everywhere(1000);
    wait_until_ends_are_heard(1000, 0);
    check_that_full_messages_leave_doubt();

    for (int group = 0; group < GROUPS; group++)
        commit(group, 0, (uint64_t)group);
    for (int group = 0; group < GROUPS; group++)
        elsewhere += wait_until_heard(group, 0, (uint64_t)group);
    ck_assert_int_eq(elsewhere, GROUPS); /* one of four has no replica */
    for (int b = 0; b < BROKERS; b++) {
        struct errand errand = {.offset = 0};
        do {
            run_on_control(&errand, b, list);
        } while (errand.offset != GROUPS); /* all of them, each once, and no partition unknown */
    }
    /* Seeking back is heard of like any other commit, and so is a group's second partition. */
    commit(5, 0, 1000);
    commit(5, 7, 3);
    wait_until_heard(5, 0, 1000);
    commit(5, 0, 2);
    wait_until_heard(5, 0, 2);
    wait_until_heard(5, 7, 3);
    /* A leader ends: who leads next tells everything once more. */
    for (int group = 0; group < GROUPS && victim == 0; group++) /* the first coordinates, which is another story */
        victim = leaders[group_partition_of(slice_of_string(name_of(group)))] - 1;
    ck_assert_int_ne(victim, 0);
    raw_close(&clients[victim]);
    ck_assert_int_eq(broker_fixture_stop(&brokers[victim]), 0);
    wait_for_leaders();
    wait_until_ends_are_heard(1000, 1000); /* what is gone is not forgotten */
    produce_everywhere(2);
    wait_until_ends_are_heard(1002, 1000);
    for (int group = 0; group < GROUPS; group++)
        commit(group, 1, (uint64_t)group + 100);
    for (int group = 0; group < GROUPS; group++)
        wait_until_heard(group, 1, (uint64_t)group + 100);
}
END_TEST

/* ---- every replica is lost ---- */

static void count_voters(struct mail *mail)
{
    struct errand *errand = container_of(mail, struct errand, mail);
    const struct image *image = metadata_image(brokers[errand->broker].broker->control.metadata);

    errand->offset = image_raft_config(image)->voter_count;
    sem_post(&errand->done);
}

static void was_removed(void *user, int error, const char *message, const struct message_remove_response *response)
{
    struct errand *errand = user;

    (void)message;
    (void)response;
    errand->offset = (uint64_t)-error;
    sem_post(&errand->done);
}

static void remove_first(struct mail *mail)
{
    static char id[UUID_STRING_SIZE];
    struct errand *errand = container_of(mail, struct errand, mail);
    struct message_remove_request request = {.broker = uuid_format(&brokers[0].broker_id, id), .accepts_loss = true};

    metadata_remove(brokers[errand->broker].broker->control.metadata, &request, was_removed, errand);
}

/* What a consumer would be told: a request that waits for the leader, as clients' do. */
static int on_peek(struct group_request *request, struct group_judging *judging)
{
    struct ask *ask = container_of(request, struct ask, request);
    const struct group *group = groups_find(judging->state, ask->group);
    struct group_offset offset;

    ask->offset = group != NULL && group_committed(judging->state, group, &orders, ask->partition, &offset) ? offset.offset : UINT64_MAX;
    return 0;
}

static uint64_t peek(int group)
{
    struct ask ask = {.group = slice_of_string(name_of(group))};

    ask_leader(&ask, on_peek, false);
    return ask.offset;
}

/* A broker votes sooner than after ten seconds; the coordinator's own loop. */
static void vote_soon(struct mail *mail)
{
    struct errand *errand = container_of(mail, struct errand, mail);
    struct node_options *options = &brokers[errand->broker].broker->control.metadata->node->options;

    options->voter_stable_us = 200000;
    options->voters_interval_us = 100000;
    sem_post(&errand->done);
}

/* All groups live on the first broker alone, whose coordinator moves nothing. */
static void setup_alone(void)
{
    struct errand errand = {.offset = 0};
    char address[64];

    broker_fixture_init(&brokers[0]);
    broker_fixture_set(&brokers[0], "moves.per.broker", "0");
    broker_fixture_start(&brokers[0]);
    raw_hello(&clients[0], brokers[0].port, -1);
    snprintf(address, sizeof(address), "127.0.0.1:%u", brokers[0].port);
    ck_assert_int_eq(seed_parse(address, &seed), 0);
    snprintf(key_path, sizeof(key_path), "%s/key", brokers[0].data_dir);
    orders = raw_topic_create(&clients[0], "orders", 8, NULL, NULL);
    run_on_control(&errand, 0, make_topic);
    run_on_control(&errand, 0, vote_soon);
    for (int b = 1; b < BROKERS; b++)
        start(b);
    wait_for_leaders();
    while (errand.offset < 3)
        run_on_control(&errand, 1, count_voters);
}

/* What a broker without a replica says by itself, of one partition or of all; as clients ask it. */
static void check_heard_offsets(int broker, int group, bool all, int64_t want)
{
    uint32_t partition = 0;
    struct message_group_partitions asked = {.topic_id = orders, .partitions = &partition, .partition_count = 1};
    struct message_group_offsets request = {.head = {.group = slice_of_string(name_of(group)), .epoch = -1}, .is_local = true, .topics = &asked, .topic_count = !all};
    struct message_group_response response;
    struct buffer bytes = BUFFER_INIT;
    struct raw_frame frame;

    ck_assert_int_eq(message_encode_group_offsets(&bytes, &request), 0);
    raw_expect(&clients[broker], raw_send(&clients[broker], FRAME_OP_GROUP_OFFSETS, buffer_slice(&bytes), slice_of(NULL, 0)), &frame);
    ck_assert_int_eq(frame.error, 0);
    ck_assert_int_eq(message_decode_group_response(buffer_slice(&frame.message), &response), 0);
    ck_assert(response.topic_count == 1 && response.topics[0].partitions[0] == 0 && response.topics[0].offsets[0] == want && !response.has_more);
    ck_assert_uint_ge(response.age_ms, SPREAD_ROUND_MS);
    message_deinit_group_response(&response);
    raw_frame_deinit(&frame);
    buffer_deinit(&bytes);
}

/* More of them than an answer tells, in a question of some bytes each: refused, not answered with as much as fits. */
static void check_heard_too_many(int broker, int group)
{
    static uint32_t partitions[50001];
    struct message_group_partitions asked = {.topic_id = orders, .partitions = partitions, .partition_count = 50001};
    struct message_group_offsets request = {.head = {.group = slice_of_string(name_of(group)), .epoch = -1}, .is_local = true, .topics = &asked, .topic_count = 1};
    struct buffer bytes = BUFFER_INIT;

    ck_assert_int_eq(message_encode_group_offsets(&bytes, &request), 0);
    raw_send(&clients[broker], FRAME_OP_GROUP_OFFSETS, buffer_slice(&bytes), slice_of(NULL, 0));
    ck_assert_int_ne(raw_expect_error(&clients[broker]), 0);
    buffer_deinit(&bytes);
}

static bool count_rescue(void *user, const struct event *event)
{
    *(uint32_t *)user += event->kind == EVENT_RESCUE && strstr(event->text, "offsets were recovered") != NULL;
    return true;
}

/* Of all brokers that are left: who leads a partition tells it. */
static uint32_t rescues_told(void)
{
    uint32_t told = 0;

    for (int b = 1; b < BROKERS; b++)
        events_each(&brokers[b].broker->control.events, 0, count_rescue, &told);
    return told;
}

START_TEST(what_was_heard_is_recovered_where_every_replica_is_lost)
{
    bool is_recovered[GROUP_PARTITIONS] = {false};
    struct errand errand = {.offset = 1};
    uint32_t recovered = 0;
    uint64_t ended_ms;

    for (int group = 0; group < GROUPS; group++)
        commit(group, 0, (uint64_t)group + 50);
    commit(3, 0, 7); /* seeks back */
    commit(4, 1, 9);
    wait_until_heard(3, 0, 7);
    wait_until_heard(4, 1, 9);
    for (int group = 0; group < GROUPS; group++)
        ck_assert_int_eq(wait_until_heard(group, 0, group == 3 ? 7 : (uint64_t)group + 50), BROKERS - 1);
    raw_close(&clients[0]);
    ended_ms = clock_monotonic_ms();
    ck_assert_int_eq(broker_fixture_stop(&brokers[0]), 0);
    errand.group = slice_of_string("group-3");
    while (errand.offset != 7) /* nobody leads it any more, and this broker says what it heard */
        run_on_control(&errand, 2, describe);
    check_heard_offsets(2, 3, false, 7);
    check_heard_offsets(3, 5, true, 55);
    check_heard_too_many(2, 3);
    while (errand.offset != 0)
        run_on_control(&errand, 1, remove_first);
    wait_for_leaders();
    for (int group = 0; group < GROUPS; group++) {
        ck_assert_uint_eq(peek(group), group == 3 ? 7 : (uint64_t)group + 50); /* its leader asked the others first */
    }
    for (int group = 0; group < GROUPS; group++) {
        uint32_t number = group_partition_of(slice_of_string(name_of(group)));
        const struct broker *broker = brokers[leaders[number] - 1].broker;
        const struct spread_rescue *slot =
            &broker->control.spread->shards[image_shard_of(&groups_topic, number, broker->shard_count)].rescues[number];

        ck_assert(slot->barrier > 0 && slot->tellers == BROKERS - 1);
        ck_assert_uint_le(ended_ms, slot->heard_ms + STALE_MS_MAX); /* as long as nobody was cut off */
        recovered += is_recovered[number] ? 0 : 1;
        is_recovered[number] = true;
    }
    ck_assert_uint_ge(rescues_told(), recovered);
    commit(3, 0, 8);
    ck_assert_uint_eq(peek(3), 8);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("spread_driver");
    TCase *tcase = tcase_create("all");

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, every_broker_hears_of_every_committed_offset);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("alone");
    tcase_set_timeout(tcase, 90);
    tcase_add_checked_fixture(tcase, setup_alone, teardown);
    tcase_add_test(tcase, what_was_heard_is_recovered_where_every_replica_is_lost);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
