/* Each rule that history got wrong, played out twice: as it is, and with the defect brought back. The first must show nothing wrong, the
 * second must: so the scene tests the rule. */
#include "base/error.h"
#include "support/run_suite.h"
#include "unit/consensus/raft_chaos.h"
#include "unit/consensus/raft_rig.h"

#include <check.h>
#include <stdlib.h>

static struct rig rig;
static struct raft_net net;

static bool answered(enum message_type type, uint32_t flags)
{
    const struct message *last = rig_last(&rig, type);

    return last != NULL && (last->flags & flags) == flags;
}

static struct message vote_request(unsigned from, uint64_t term)
{
    struct message message = rig_message(from, MESSAGE_VOTE_REQUEST, term);

    message.position.index = 100;
    message.position.term = term - 1;
    return message;
}

static bool vote_leaves_before_it_is_durable(uint32_t defects)
{
    struct message message = vote_request(B, 5);

    rig_init(&rig, defects, 0, 0);
    rig_hear(&rig, &message);
    return answered(MESSAGE_VOTE_RESPONSE, MESSAGE_GRANTED);
}

/* A candidate that gives up in its own term votes once more in it. */
static bool vote_is_forgotten(uint32_t defects)
{
    struct message message;

    rig_init(&rig, defects, 0, 0);
    while (rig_status(&rig).role == RAFT_FOLLOWER) rig_befriend(&rig), rig_tick(&rig, 300 * NET_MS);
    message = rig_message(B, MESSAGE_VOTE_RESPONSE, 2);
    message.flags = MESSAGE_PRE_VOTE | MESSAGE_GRANTED;
    rig_hear(&rig, &message);
    rig_stored(&rig);
    rig_tick(&rig, 5 * NET_S); /* nobody is heard: not connected, so it stands no longer */
    message = vote_request(C, 2);
    rig_hear(&rig, &message);
    rig_stored(&rig);
    return answered(MESSAGE_VOTE_RESPONSE, MESSAGE_GRANTED);
}

static bool older_term_is_counted(uint32_t defects)
{
    struct message message;

    rig_init(&rig, defects, 0, 0);
    rig_append(&rig, B, 2, 1, 2, 3, 0); /* 2..4 in term 2 */
    rig_stored(&rig);
    rig_elect(&rig, false);             /* 5: its first, in term 3 */
    message = rig_message(C, MESSAGE_APPEND_RESPONSE, 3);
    message.sequence = 1;
    message.match = message.hint_index = 4;
    rig_hear(&rig, &message);
    return rig.committed >= 4;
}

static int add_learner(unsigned who)
{
    struct raft_config config = *raft_get_config(rig.raft);
    int err;

    config.learners[config.learner_count++] = rig_server(who);
    err = raft_change_config(rig.raft, rig.now_us, &config);
    rig_drain(&rig);
    return err;
}

static bool change_comes_before_the_first_entry(uint32_t defects)
{
    rig_init(&rig, defects, 0, 0);
    rig_append(&rig, B, 2, 1, 2, 1, 2); /* what it was founded with is committed */
    rig_stored(&rig);
    rig_elect(&rig, false);
    return add_learner(D) == 0;
}

static bool two_changes_are_under_way(uint32_t defects)
{
    rig_init(&rig, defects, 0, 0);
    rig_elect(&rig, true);
    ck_assert_int_eq(add_learner(D), 0);
    return add_learner(X) == 0;
}

static bool read_is_reused(uint32_t defects)
{
    uint64_t committed;
    bool is_stale;

    net_init(&net, 3, 3);
    net.defects = defects;
    net_start_all(&net, 3, 0);
    ck_assert(net_until(&net, 5 * NET_S, net_all_equal, NULL));
    ck_assert_int_eq(net_read(&net, (unsigned)net_leader(&net), 7), 0);
    net_run(&net, 50 * NET_MS);
    ck_assert_int_eq(net_propose(&net, "later", &committed), 0);
    ck_assert(net_until(&net, NET_S, net_all_equal, NULL));
    ck_assert_int_eq(net_read(&net, (unsigned)net_leader(&net), 7), 0); /* asked again */
    net_run(&net, 50 * NET_MS);
    is_stale = net.hosts[net_leader(&net)].last_read_index < committed;
    net_free(&net);
    return is_stale;
}

/* An entry is stored, cut and replaced; then the first store completes. */
static bool stale_store_counts(uint32_t defects)
{
    uint64_t first;

    rig_init(&rig, defects, 0, 0);
    rig_append(&rig, B, 2, 1, 2, 2, 0); /* 2, 3 in term 2 */
    first = rig.store;
    rig_append(&rig, C, 3, 1, 3, 2, 0); /* 2, 3 in term 3 */
    ck_assert_uint_gt(rig.store, first);
    raft_stored(rig.raft, rig.now_us, first);
    rig_drain(&rig);
    return rig_status(&rig).durable_index >= 2;
}

static bool undurable_is_acknowledged(uint32_t defects)
{
    rig_init(&rig, defects, 0, 0);
    rig_append(&rig, B, 2, 1, 2, 2, 0);
    raft_stored(rig.raft, rig.now_us, rig.store - 1); /* the term is durable, the entries are not */
    rig_drain(&rig);
    return rig_last(&rig, MESSAGE_APPEND_RESPONSE)->match > 1;
}

static bool learners_count(uint32_t defects)
{
    struct message message;

    rig_init(&rig, defects, 1, 0);
    rig_elect(&rig, false);
    message = rig_message(D, MESSAGE_APPEND_RESPONSE, 2);
    message.sequence = 1;
    message.match = message.hint_index = 2;
    rig_hear(&rig, &message);
    return rig.committed != 0;
}

static bool term_rises_alone(uint32_t defects)
{
    rig_init(&rig, defects, 0, 0);
    for (int i = 0; i < 100; i++) rig_befriend(&rig), rig_tick(&rig, 300 * NET_MS), rig_stored(&rig);
    return rig_status(&rig).term > 1;
}

static bool vote_although_a_leader_is_heard(uint32_t defects)
{
    struct message message = vote_request(C, 3);

    rig_init(&rig, defects, 0, 0);
    rig_append(&rig, B, 2, 1, 2, 1, 0);
    rig_stored(&rig);
    rig_hear(&rig, &message);
    return rig_status(&rig).term > 2;
}

static bool leads_without_a_majority(uint32_t defects)
{
    rig_init(&rig, defects, 0, 0);
    rig_elect(&rig, true);
    for (int i = 0; i < 50; i++) rig_tick(&rig, 100 * NET_MS);
    return rig_status(&rig).role == RAFT_LEADER;
}

static bool campaigns_unheard(uint32_t defects)
{
    rig_init(&rig, defects, 0, 0);
    for (int i = 0; i < 50; i++) rig_tick(&rig, 100 * NET_MS);
    return rig_status(&rig).role != RAFT_FOLLOWER;
}

static bool takes_over_what_is_not_durable(uint32_t defects)
{
    struct message message = rig_message(B, MESSAGE_TIMEOUT_NOW, 2);

    rig_init(&rig, defects, 0, 0);
    rig_append(&rig, B, 2, 1, 2, 1, 0);
    raft_stored(rig.raft, rig.now_us, rig.store - 1);
    rig_drain(&rig);
    rig_befriend(&rig);
    message.position.index = message.position.term = 2;
    rig_hear(&rig, &message);
    return rig_status(&rig).elections != 0;
}

static bool hole_votes(uint32_t defects)
{
    struct message message = vote_request(B, 5);

    rig_init(&rig, defects, 0, 9);
    rig_hear(&rig, &message);
    rig_stored(&rig);
    return answered(MESSAGE_VOTE_RESPONSE, MESSAGE_GRANTED);
}

static bool stranger_disrupts(uint32_t defects)
{
    struct message message = vote_request(X, 9);

    rig_init(&rig, defects, 0, 0);
    rig_append(&rig, B, 2, 1, 2, 1, 0);
    rig_stored(&rig);
    rig_hear(&rig, &message);
    return rig_status(&rig).term != 2;
}

static bool other_disk_is_believed(uint32_t defects)
{
    struct message message = vote_request(B, 5);

    rig_init(&rig, defects, 0, 0);
    message.to.dir.bytes[0] ^= 1; /* the disk that this broker had before */
    rig_hear(&rig, &message);
    rig_stored(&rig);
    return answered(MESSAGE_VOTE_RESPONSE, 0);
}

static bool wiped_log_stays_empty(uint32_t defects)
{
    unsigned who;
    bool is_empty;

    net_init(&net, 3, 3);
    net.defects = defects;
    net_start_all(&net, 3, 0);
    ck_assert(net_until(&net, 5 * NET_S, net_all_equal, NULL));
    who = ((unsigned)net_leader(&net) + 1) % 3;
    net_crash(&net, who, false);
    net_disk_wipe(&net, who);
    net_start(&net, who);
    net_run(&net, 10 * NET_S); /* and nothing is written */
    is_empty = net_status(&net, who).last.index == 0;
    net_free(&net);
    return is_empty;
}

/* A server of an older state of its disk is told what it has forgotten, and votes all the same. */
static bool set_back_votes(uint32_t defects)
{
    static const struct raft_claim past = {.life = {1, 11}, .term = 1};
    struct message message = vote_request(B, 5);

    rig_init_life(&rig, defects, &(struct raft_life){2, 22}, &past, 1);
    message.claim = (struct raft_claim){.life = {1, 33}, .term = 4};
    message.known = (struct raft_claim){.life = past.life, .term = 4, .has_voted = true};
    rig_hear(&rig, &message);
    rig_stored(&rig);
    return answered(MESSAGE_VOTE_RESPONSE, MESSAGE_GRANTED);
}

static const struct {
    enum raft_defect defect;
    bool (*goes_wrong)(uint32_t defects);
    bool uses_rig;
} scenes[] = {
    {RAFT_DEFECT_VOTE_NOT_HELD, vote_leaves_before_it_is_durable, true},
    {RAFT_DEFECT_VOTE_FORGOTTEN, vote_is_forgotten, true},
    {RAFT_DEFECT_OLD_TERM_COUNTED, older_term_is_counted, true},
    {RAFT_DEFECT_CHANGE_BEFORE_NOOP, change_comes_before_the_first_entry, true},
    {RAFT_DEFECT_TWO_CHANGES, two_changes_are_under_way, true},
    {RAFT_DEFECT_READ_REUSED, read_is_reused, false},
    {RAFT_DEFECT_STALE_STORE_COUNTED, stale_store_counts, true},
    {RAFT_DEFECT_UNDURABLE_ACKNOWLEDGED, undurable_is_acknowledged, true},
    {RAFT_DEFECT_LEARNERS_COUNTED, learners_count, true},
    {RAFT_DEFECT_NO_PRE_VOTE, term_rises_alone, true},
    {RAFT_DEFECT_NO_STICKINESS, vote_although_a_leader_is_heard, true},
    {RAFT_DEFECT_NO_CHECK_QUORUM, leads_without_a_majority, true},
    {RAFT_DEFECT_UNCONNECTED_CAMPAIGNS, campaigns_unheard, true},
    {RAFT_DEFECT_TRANSFER_UNDURABLE, takes_over_what_is_not_durable, true},
    {RAFT_DEFECT_HOLE_VOTES, hole_votes, true},
    {RAFT_DEFECT_REMOVED_DISRUPTS, stranger_disrupts, true},
    {RAFT_DEFECT_DISK_IGNORED, other_disk_is_believed, true},
    {RAFT_DEFECT_NO_REPAIR_BY_HEARTBEAT, wiped_log_stays_empty, false},
    {RAFT_DEFECT_LIVES_IGNORED, set_back_votes, true},
};

_Static_assert(sizeof(scenes) / sizeof(scenes[0]) == RAFT_DEFECT_COUNT - 1, "a defect without a scene");

START_TEST(a_defect_shows_in_its_scene_and_only_there)
{
    bool without = scenes[_i].goes_wrong(0), with;

    if (scenes[_i].uses_rig) rig_free(&rig);
    with = scenes[_i].goes_wrong(1u << scenes[_i].defect);
    if (scenes[_i].uses_rig) rig_free(&rig);
    ck_assert_msg(!without, "defect %d: goes wrong without it", scenes[_i].defect);
    ck_assert_msg(with, "defect %d: nothing goes wrong with it", scenes[_i].defect);
}
END_TEST

/* Those that lose data, through random trouble: what is said is not judged, only what comes of it. */
static const struct {
    enum raft_defect defect;
    unsigned seeds;
} losses[] = {
    {RAFT_DEFECT_VOTE_NOT_HELD, 300},          {RAFT_DEFECT_TWO_CHANGES, 300},      {RAFT_DEFECT_READ_REUSED, 20},
    {RAFT_DEFECT_UNDURABLE_ACKNOWLEDGED, 100}, {RAFT_DEFECT_LEARNERS_COUNTED, 200}, {RAFT_DEFECT_HOLE_VOTES, 300},
};

START_TEST(trouble_finds_the_defects_that_lose_data)
{
    struct chaos_result result = {.breach = NULL};

    for (unsigned seed = 1; seed <= losses[_i].seeds && result.breach == NULL; seed++)
        chaos_run(seed, 300, 1u << losses[_i].defect, &result);
    ck_assert_msg(result.breach != NULL, "defect %d: not found in %u seeds", losses[_i].defect, losses[_i].seeds);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("raft switches");
    TCase *tcase = tcase_create("switches");

    tcase_set_timeout(tcase, 100);
    tcase_add_loop_test(tcase, a_defect_shows_in_its_scene_and_only_there, 0, RAFT_DEFECT_COUNT - 1);
    tcase_add_loop_test(tcase, trouble_finds_the_defects_that_lose_data, 0, (int)(sizeof(losses) / sizeof(losses[0])));
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
