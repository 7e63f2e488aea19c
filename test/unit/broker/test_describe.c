/* The image in the words of the native protocol. */
#include "base/error.h"
#include "base/log.h"
#include "cmd/broker/metadata/describe.h"
#include "metadata_history.h"
#include "metadata_home.h"
#include "replication/consensus/config_codec.h"
#include "support/failing_alloc.h"
#include "support/fs_mem.h"
#include "support/run_suite.h"

#define TEXT(literal) ((char *)(uintptr_t)(literal)) /* for the messages, whose strings are not const */

static struct fs_mem *mem;
static struct fs *fs;

static void set_up(void)
{
    log_set_level(LOG_LEVEL_ERROR);
    mem = fs_mem_new(1);
    fs = fs_mem_fs(mem);
}

static void tear_down(void)
{
    fs->ops->free(fs);
    fs_mem_free(mem);
}

static struct metadata_home home;

static void open_home(void)
{
    ck_assert_msg(metadata_home_open(&home, fs, NULL) == 0, "%s", home.message);
    ck_assert_int_eq(metadata_home_start(&home), 0);
}

START_TEST(topics_are_described)
{
    struct description description;
    char *names[] = {TEXT("b"), TEXT("missing"), TEXT("a")};
    struct message_topic_describe all = {.all = true}, named = {.names = names, .name_count = 3};
    struct message_config async = {.key = TEXT("flush"), .value = TEXT("async")};
    struct message_topic_create with_config = {
        .name = TEXT("a"), .partition_count = 4, .configs = &async, .config_count = 1};
    struct metadata_answer answer;
    const struct message_topic *topic;

    open_home();
    ck_assert_int_eq(metadata_home_create(&home, "b", 2, &answer), 0);
    ck_assert_int_eq(metadata_home_create_as(&home, &with_config, &answer), 0);
    description_init(&description);
    ck_assert_int_eq(describe_topics(&description, metadata_image(home.metadata), &all), 0);
    ck_assert_uint_eq(description.topics.topic_count, 2);
    topic = &description.topics.topics[0];
    ck_assert_str_eq(topic->name, "a");
    ck_assert_uint_eq(topic->partition_count, 4);
    ck_assert_uint_eq(topic->config_count, TOPIC_CONFIG_COUNT);
    ck_assert_str_eq(topic->configs[0].key, "flush");
    ck_assert_str_eq(topic->configs[0].value, "async");
    ck_assert(!topic->configs[0].is_default);
    ck_assert(topic->configs[1].is_default);
    for (uint32_t i = 0; i < 4; i++) {
        ck_assert_uint_eq(topic->partitions[i].partition, i);
        ck_assert_int_eq(topic->partitions[i].leader, 1);
        ck_assert_uint_eq(topic->partitions[i].replica_count, 1);
        ck_assert_uint_eq(topic->partitions[i].isr_count, 1);
        ck_assert_int_eq(topic->partitions[i].isr[0], 1);
        ck_assert_uint_eq(topic->partitions[i].shard, image_shard_of(&topic->topic_id, i, 2));
        ck_assert_str_eq(topic->partitions[i].problem, "");
    }
    description_deinit(&description);
    ck_assert_int_eq(describe_topics(&description, metadata_image(home.metadata), &named), 0);
    ck_assert_uint_eq(description.topics.topic_count, 3);
    ck_assert_str_eq(description.topics.topics[0].name, "b");
    ck_assert_int_eq(description.topics.topics[1].error, MESH_EUNKNOWN_TOPIC);
    ck_assert_str_eq(description.topics.topics[1].name, "missing");
    ck_assert_str_eq(description.topics.topics[2].name, "a");
    description_deinit(&description);
    metadata_home_close(&home);
}
END_TEST

START_TEST(a_description_of_a_topic_survives_every_failed_allocation)
{
    struct description description;
    struct message_topic_describe all = {.all = true};
    struct metadata_answer answer;
    int err = 0;

    open_home();
    ck_assert_int_eq(metadata_home_create(&home, "a", 200, &answer), 0);
    failing_alloc_each(n)
    {
        description_init(&description);
        failing_alloc_arm(n);
        err = describe_topics(&description, metadata_image(home.metadata), &all);
        bool refused = failing_alloc_disarm();
        description_deinit(&description);
        if (!refused) break;
        ck_assert_int_eq(err, MESH_ENOMEM);
    }
    ck_assert_int_eq(err, 0);
    metadata_home_close(&home);
}
END_TEST

static const struct {
    struct describe_facts facts;
    const char *what; /* NULL: healthy */
} status_cases[] = {
    {{.coordinator = 1, .disk_free_bytes = 2, .disk_free_bytes_min = 1}, NULL},
    {{.coordinator = 1, .failed_stores = 1}, "the journal of 1 shard(s) has failed"},
    {{.coordinator = 1, .failed_logs = 3}, "3 partition(s) accept no records"},
    {{.coordinator = 1, .holes = 2}, "2 damaged range(s)"},
    {{.coordinator = 1, .disk_free_bytes = 5 << 20, .disk_free_bytes_min = 6 << 20},
     "the disk is full: 5 MiB free"},
    {{.coordinator = 1, .metadata_error = MESH_EIO}, "the metadata log has failed"},
    {{.coordinator = 1, .metadata_error = MESH_EIO, .metadata_failure = "write of f: EIO"}, "the metadata log has failed: write of f: EIO"},
    {{.coordinator = 1, .metadata_error = MESH_EFULL}, "the metadata log's disk is full"},
};

START_TEST(problems_are_said_with_a_remedy)
{
    struct describe_facts facts = status_cases[_i].facts;
    struct message_status_response status;
    struct arena arena = ARENA_INIT;
    struct metadata_answer answer;

    open_home();
    ck_assert_int_eq(metadata_home_create(&home, "a", 200, &answer), 0);
    facts.version = "1.2.3";
    ck_assert_int_eq(describe_status(&arena, metadata_image(home.metadata), &facts, &status), 0);
    ck_assert_uint_eq(status.partitions_total, 200);
    ck_assert_uint_eq(status.partitions_offline, 0);
    ck_assert_uint_eq(status.topics_total, 1);
    ck_assert_uint_eq(status.broker_count, 1);
    ck_assert_str_eq(status.brokers[0].name, "one");
    ck_assert_str_eq(status.version, "1.2.3");
    ck_assert_uint_eq(status.problem_count, status_cases[_i].what == NULL ? 0 : 1);
    if (status.problem_count == 1) {
        ck_assert_ptr_nonnull(strstr(status.problems[0].what, status_cases[_i].what));
        ck_assert_uint_gt(strlen(status.problems[0].meaning), 20);
        ck_assert_uint_gt(strlen(status.problems[0].remedy), 20);
    }
    arena_deinit(&arena);
    metadata_home_close(&home);
}
END_TEST

/* ---- why ---- */

static struct history *history;

/* Three brokers, and topic "a" with `replicas` copies on 1, 2, 3 (as far as they go), led by 1. */
static void open_history(int32_t replicas)
{
    history = history_new_mesh(3, "abc");
    history_create_topic(history, "a", 1, replicas);
}

static void fence(int32_t node_id)
{
    struct uuid id = image_find_broker(history->image, node_id)->broker_id;
    struct decision decision;

    decision_init(&decision);
    ck_assert_int_eq(decide_broker_fence(history->image, &id, NULL, &decision), 0);
    history_commit(history, &decision);
    decision_deinit(&decision);
}

static void ask_why(struct arena *arena, struct message_why_response *ret_why)
{
    const struct message_why_request request = {.topic = TEXT("a")};

    ck_assert_int_eq(describe_why(arena, history->image, &request, ret_why), 0);
    ck_assert_str_eq(ret_why->topic, "a");
    ck_assert_uint_eq(ret_why->partition, 0);
}

START_TEST(a_partition_that_was_never_elected_says_who_was_placed)
{
    struct message_why_response why;
    struct arena arena = ARENA_INIT;

    open_history(3);
    ask_why(&arena, &why);
    ck_assert_int_eq(why.leader, 1);
    ck_assert_str_eq(why.leader_name, "broker");
    ck_assert(!why.was_elected);
    ck_assert_uint_eq(why.decided_index, 0);
    ck_assert_str_eq(why.reason, "it was never elected: broker 1 (broker) was chosen as its first leader when the partition was made");
    ck_assert_uint_eq(why.candidate_count, 3);
    ck_assert_str_eq(why.candidates[0].standing, "leads: placed as leader");
    ck_assert_str_eq(why.candidates[1].standing, "in sync");
    ck_assert_int_eq(why.candidates[0].score, 0);
    arena_deinit(&arena);
    history_free(history);
}
END_TEST

START_TEST(an_election_is_told_with_every_candidate)
{
    struct message_why_response why;
    struct arena arena = ARENA_INIT;

    open_history(3);
    fence(1);
    ask_why(&arena, &why);
    ck_assert(why.was_elected);
    ck_assert_uint_eq(why.decided_index, image_applied_index(history->image));
    ck_assert_int_gt(why.leader, 1);
    ck_assert_int_eq(why.leader_epoch, 1);
    ck_assert_msg(strstr(why.reason, "leads since epoch 1: the leader before lost its session") != NULL, "%s", why.reason);
    ck_assert_uint_eq(why.candidate_count, 3);
    for (size_t i = 0; i < 3; i++) {
        const struct message_candidate *candidate = &why.candidates[i];
        const char *wanted = candidate->node_id == 1 ? "could not lead: " : candidate->node_id == why.leader ? "elected: " : "could have led: ";

        ck_assert_ptr_eq(strstr(candidate->standing, wanted), candidate->standing);
        ck_assert(candidate->node_id == 1 ? candidate->score == 0 : candidate->score > 1000000);
    }
    arena_deinit(&arena);
    history_free(history);
}
END_TEST

START_TEST(what_cannot_be_done_now_is_said)
{
    struct message_why_response why;
    struct arena arena = ARENA_INIT;

    open_history(3);
    ask_why(&arena, &why);
    ck_assert_msg(strstr(why.placement, "its records are kept by brokers 1 (broker), ") == why.placement, "%s", why.placement);
    ck_assert_str_eq(why.writes, "");
    ck_assert_str_eq(why.reads, "");
    fence(1);
    fence(2);
    ask_why(&arena, &why);
    ck_assert_str_eq(why.writes, "acks=all is refused: 1 of the 2 replicas that min.insync asks for is in sync; not up: brokers 1 (broker), 2 (broker)");
    ck_assert_str_eq(why.reads, "");
    fence(3);
    ask_why(&arena, &why);
    ck_assert_msg(strstr(why.reads, "nobody leads it: only brokers ") == why.reads, "%s", why.reads);
    ck_assert_msg(strstr(why.reads, "; not up: brokers ") != NULL, "%s", why.reads);
    ck_assert_str_eq(why.reads, why.writes);
    arena_deinit(&arena);
    history_free(history);
}
END_TEST

START_TEST(one_replica_has_no_other_candidate)
{
    struct message_why_response why;
    struct arena arena = ARENA_INIT;
    int32_t only;

    open_history(1);
    ask_why(&arena, &why);
    only = why.leader;
    fence(only);
    ask_why(&arena, &why);
    ck_assert_int_eq(why.leader, -1);
    ck_assert_str_eq(why.leader_name, "");
    ck_assert_msg(strstr(why.reason, "It has one replica, so there is no other candidate: it is back when broker") != NULL, "%s", why.reason);
    ck_assert_uint_eq(why.candidate_count, 1);
    ck_assert_int_eq(why.candidates[0].node_id, only);
    arena_deinit(&arena);
    history_free(history);
}
END_TEST

START_TEST(why_refuses_what_does_not_exist)
{
    struct message_why_request no_partition = {.topic = TEXT("a"), .partition = 1}, no_topic = {.topic = TEXT("b")};
    struct message_why_response why;
    struct arena arena = ARENA_INIT;

    open_history(3);
    ck_assert_int_eq(describe_why(&arena, history->image, &no_partition, &why), MESH_EUNKNOWN_TOPIC);
    ck_assert_int_eq(describe_why(&arena, history->image, &no_topic, &why), MESH_EUNKNOWN_TOPIC);
    arena_deinit(&arena);
    history_free(history);
}
END_TEST

/* ---- the mesh's coordination ---- */

/* The brokers 1..`voters` vote. */
static void set_voters(uint8_t voters)
{
    struct raft_config config = {.voter_count = voters};
    struct buffer body = BUFFER_INIT;

    for (uint8_t i = 0; i < voters; i++)
        config.voters[i] = (struct raft_server){image_broker_at(history->image, i)->broker_id, image_broker_at(history->image, i)->dir_id};
    ck_assert_int_eq(raft_config_encode(&body, &config), 0);
    ck_assert_int_eq(history_append(history, RAFT_ENTRY_CONFIG, buffer_slice(&body)), 0);
    buffer_deinit(&body);
}

/* `user`: a digit for the state of each broker, by node id from 1; '-' for one that gossip does not know. */
static int scripted_state(const void *user, const struct uuid *broker_id)
{
    char state = ((const char *)user)[image_find_broker_by_uuid(history->image, broker_id)->node_id - 1];

    return state == '-' ? -1 : state - '0';
}

static const struct {
    int brokers;
    uint8_t voters;
    int32_t coordinator, fenced; /* fenced: 0 nobody */
    const char *states;
    const char *what[3]; /* of each problem; NULL: no more */
} mesh_cases[] = {
    {3, 3, 1, 0, "000", {NULL}},
    {3, 3, 1, 0, "010", {NULL}}, /* a suspicion is no loss */
    {3, 3, 1, 0, "002", {"1 of 3 voters is not heard: broker"}},
    {3, 3, -1, 0, "022", {"no coordinator for 7 s: 1 of 3 voters is heard, 2 are needed; not heard: broker, broker"}},
    {3, 3, -1, 0, "03-", {"no coordinator for 7 s: 1 of 3 voters is heard, 2 are needed; not heard: broker, broker"}},
    {3, 3, -1, 0, "000", {"no coordinator for 7 s: 3 of 3 voters are heard, 2 are needed"}},
    {2, 1, 1, 0, "00", {"two brokers, and only broker votes"}},
    {2, 1, -1, 0, "20", {"no coordinator for 7 s: 0 of 1 voters are heard, 1 is needed; not heard: broker", "two brokers, and only broker votes"}},
    {3, 3, 1, 2, "000", {"1 living broker has no session with the coordinator: broker"}},
    {3, 3, 1, 2, "020", {"1 of 3 voters is not heard: broker"}}, /* the dead are named elsewhere */
};

START_TEST(problems_of_the_coordination_are_said_with_a_remedy)
{
    struct describe_facts facts = {.coordinator = mesh_cases[_i].coordinator, .no_coordinator_ms = 7900, .disk_free_bytes = 1, .version = "",
                                   .member_state = scripted_state, .member_user = mesh_cases[_i].states};
    struct message_status_response status;
    struct arena arena = ARENA_INIT;
    size_t wanted = 0;

    history = history_new_mesh(mesh_cases[_i].brokers, "aaa");
    set_voters(mesh_cases[_i].voters);
    if (mesh_cases[_i].fenced != 0) fence(mesh_cases[_i].fenced);
    ck_assert_int_eq(describe_status(&arena, history->image, &facts, &status), 0);
    while (wanted < 3 && mesh_cases[_i].what[wanted] != NULL)
        wanted++;
    ck_assert_msg(status.problem_count == wanted, "%s", status.problem_count != 0 ? status.problems[0].what : "none");
    for (size_t i = 0; i < wanted; i++) {
        ck_assert_str_eq(status.problems[i].what, mesh_cases[_i].what[i]);
        ck_assert_uint_gt(strlen(status.problems[i].meaning), 20);
        ck_assert_uint_gt(strlen(status.problems[i].remedy), 20);
    }
    ck_assert_uint_eq(status.voter_count, mesh_cases[_i].voters);
    for (size_t i = 0; i < status.voter_count; i++) {
        ck_assert_int_eq(status.voters[i].node_id, (int32_t)i + 1);
        ck_assert(status.voters[i].is_heard == (mesh_cases[_i].states[i] == '0' || mesh_cases[_i].states[i] == '1'));
        ck_assert(!status.voters[i].is_learner);
    }
    for (size_t i = 0; i < status.broker_count; i++)
        ck_assert(status.brokers[i].is_fenced == (status.brokers[i].node_id == mesh_cases[_i].fenced));
    arena_deinit(&arena);
    history_free(history);
}
END_TEST

START_TEST(a_broker_whose_disk_failed_is_named_with_the_cure)
{
    struct describe_facts facts = {.coordinator = 1, .disk_free_bytes = 1, .version = "", .member_state = scripted_state, .member_user = "000"};
    struct message_status_response status;
    struct arena arena = ARENA_INIT;
    struct decision decision;
    struct uuid id;

    history = history_new_mesh(3, "aaa");
    set_voters(3);
    id = image_find_broker(history->image, 2)->broker_id;
    decision_init(&decision);
    ck_assert_int_eq(decide_broker_drain(history->image, &id, true, NULL, &decision), 0);
    history_commit(history, &decision);
    decision_deinit(&decision);
    ck_assert_int_eq(describe_status(&arena, history->image, &facts, &status), 0);
    ck_assert_uint_eq(status.problem_count, 1);
    ck_assert_str_eq(status.problems[0].what, "the disk of 1 broker has failed: broker");
    ck_assert_ptr_nonnull(strstr(status.problems[0].remedy, "replace the disk"));
    for (size_t i = 0; i < status.broker_count; i++)
        ck_assert(status.brokers[i].has_bad_disk == (status.brokers[i].node_id == 2));
    arena_deinit(&arena);
    history_free(history);
}
END_TEST

#define ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

int main(void)
{
    Suite *suite = suite_create("describe");
    TCase *tcase = tcase_create("describe");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, topics_are_described);
    tcase_add_test(tcase, a_description_of_a_topic_survives_every_failed_allocation);
    tcase_add_test(tcase, a_partition_that_was_never_elected_says_who_was_placed);
    tcase_add_test(tcase, an_election_is_told_with_every_candidate);
    tcase_add_test(tcase, one_replica_has_no_other_candidate);
    tcase_add_test(tcase, why_refuses_what_does_not_exist);
    tcase_add_test(tcase, what_cannot_be_done_now_is_said);
    tcase_add_loop_test(tcase, problems_are_said_with_a_remedy, 0, ROWS(status_cases));
    tcase_add_loop_test(tcase, problems_of_the_coordination_are_said_with_a_remedy, 0, ROWS(mesh_cases));
    tcase_add_test(tcase, a_broker_whose_disk_failed_is_named_with_the_cure);
    tcase_set_timeout(tcase, 100);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
