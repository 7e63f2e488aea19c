/* A directory that was set back: it goes on as another server of consensus, or begins again to do so. */
#include "base/error.h"
#include "base/log.h"
#include "cmd/broker/metadata/founding_file.h"
#include "cmd/broker/metadata/metadata.h"
#include "cmd/broker/metadata/recovery_file.h"
#include "replication/consensus/config_codec.h"
#include "replication/consensus/store.h"
#include "replication/coordinator/record.h"
#include "support/fs_mem.h"
#include "support/run_suite.h"

#include <stdio.h>

static struct fs_mem *mem;
static struct fs *fs;
static char message[METADATA_MESSAGE_SIZE];

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

static int open_store(const struct identity *identity, struct raft_store **ret_store, const struct raft_recovered **ret_recovered)
{
    const struct raft_server self = {identity->broker_id, identity->dir_id};
    struct raft_store_report report;

    return raft_store_open(fs, "consensus", &self, metadata_chain, ret_store, ret_recovered, &report, message, sizeof(message));
}

static struct identity make_member(uint64_t damaged_until)
{
    const struct founding_state state = {.phase = FOUNDING_MEMBER, .value = {.cluster = {{7}}}};
    const struct raft_server nobody = {.broker = {{0}}};
    const struct raft_recovered *recovered;
    struct raft_store *store;
    struct identity identity;

    ck_assert_int_eq(metadata_open_identity(fs, &identity, message), 0);
    ck_assert_int_eq(identity_set_cluster(fs, &identity, &state.value.cluster), 0);
    ck_assert_int_eq(recovery_file_store(fs, &(struct raft_server){identity.broker_id, identity.dir_id}, slice_of("promised", 8)), 0);
    ck_assert_int_eq(founding_file_store(fs, &(struct raft_server){identity.broker_id, identity.dir_id}, &state), 0);
    ck_assert_int_eq(open_store(&identity, &store, &recovered), 0);
    ck_assert_int_eq(raft_store_set_state(store, 3, &nobody, damaged_until), 0);
    raft_store_close(store);
    return identity;
}

/* Its log then says who votes. */
static void append_config(const struct identity *identity, uint64_t index, const struct raft_config *config)
{
    const struct raft_recovered *recovered;
    struct buffer body = BUFFER_INIT;
    struct raft_entry entry = {.index = index, .term = 3, .type = RAFT_ENTRY_CONFIG};
    uint8_t previous[RAFT_CHAIN_SIZE] = {0};
    struct raft_store *store;

    ck_assert_int_eq(raft_config_encode(&body, config), 0);
    entry.body = buffer_slice(&body);
    ck_assert_int_eq(open_store(identity, &store, &recovered), 0);
    ck_assert_uint_eq(recovered->entry_count + 1, index);
    if (index > 1) memcpy(previous, recovered->entries[index - 2].chain, sizeof(previous));
    metadata_chain(previous, &entry, entry.chain);
    ck_assert_int_eq(raft_store_append(store, &entry, 1), 0);
    raft_store_close(store);
    buffer_deinit(&body);
}

/* A member, found to be set back in its last life. */
static struct identity make_set_back(void)
{
    return make_member(RAFT_SET_BACK);
}

static const struct raft_server other = {.broker = {{8}}, .dir = {{9}}};

static struct raft_config alone(const struct identity *identity)
{
    return (struct raft_config){.voters = {{identity->broker_id, identity->dir_id}}, .voter_count = 1, .learners = {other}, .learner_count = 1};
}

/* Marked by consensus, and the only voter. */
static struct identity make_set_back_alone(void)
{
    const struct raft_server nobody = {.broker = {{0}}};
    const struct raft_recovered *recovered;
    struct identity identity = make_member(0);
    struct raft_config config = alone(&identity);
    struct raft_store *store;

    append_config(&identity, 1, &config);
    ck_assert_int_eq(open_store(&identity, &store, &recovered), 0);
    ck_assert_int_eq(raft_store_set_state(store, 3, &nobody, RAFT_SET_BACK), 0);
    raft_store_close(store);
    return identity;
}

/* The log that was given up, as it was. */
static void check_kept(const struct identity *before)
{
    const struct raft_server self = {before->broker_id, before->dir_id};
    const struct raft_recovered *recovered;
    char aside[64], id[UUID_STRING_SIZE];
    struct raft_store_report report;
    struct raft_store *store;

    snprintf(aside, sizeof(aside), "consensus-%s", uuid_format(&before->dir_id, id));
    ck_assert_msg(raft_store_open(fs, aside, &self, metadata_chain, &store, &recovered, &report, message, sizeof(message)) == 0, "%s", message);
    ck_assert(recovered->term == 3 && recovered->damaged_until == RAFT_SET_BACK && recovered->entry_count == 1);
    ck_assert_int_eq(recovered->entries[0].type, RAFT_ENTRY_CONFIG);
    raft_store_close(store);
}

/* A member of a mesh in which another broker votes too. */
static struct identity make_whole(void)
{
    struct identity identity = make_member(0);
    struct raft_config config = alone(&identity);

    append_config(&identity, 1, &config);
    config = (struct raft_config){.voters = {config.voters[0], other}, .voter_count = 2};
    append_config(&identity, 2, &config);
    return identity;
}

/* The same, and gossip has found in its last life that it was set back. */
static struct identity make_set_back_by_gossip(bool is_told)
{
    struct identity identity = make_whole();

    ck_assert_int_eq(identity_set_back(fs, &identity, 70), 0);
    if (is_told) ck_assert_int_eq(identity_set_told(fs, &identity), 0);
    return identity;
}

/* As a start does it. */
static bool renewed(const struct identity *before, struct identity *ret_identity)
{
    struct buffer promises = BUFFER_INIT;
    struct founding_state state;
    const struct raft_recovered *recovered;
    struct raft_store *store;
    bool is_renewed;

    ck_assert_int_eq(metadata_open_identity(fs, ret_identity, message), 0);
    ck_assert_msg(metadata_renew_if_set_back(fs, ret_identity, &is_renewed, message) == 0, "%s", message);
    ck_assert(uuid_equal(&ret_identity->broker_id, &before->broker_id) && uuid_equal(&ret_identity->cluster_id, &before->cluster_id));
    ck_assert(raft_dir_is_same_disk(&ret_identity->dir_id, &before->dir_id));
    ck_assert(!uuid_equal(&ret_identity->dir_id, &before->dir_id));
    ck_assert_int_eq(founding_file_load(fs, &(struct raft_server){ret_identity->broker_id, ret_identity->dir_id}, &ret_identity->cluster_id, &state, message,
                                        sizeof(message)),
                     0);
    ck_assert_int_eq(state.phase, FOUNDING_MEMBER);
    ck_assert_int_eq(recovery_file_load(fs, &(struct raft_server){ret_identity->broker_id, ret_identity->dir_id}, &promises, message, sizeof(message)), 0);
    ck_assert(slice_equal(buffer_slice(&promises), slice_of("promised", 8))); /* they are the disk's */
    buffer_deinit(&promises);
    ck_assert_int_eq(open_store(ret_identity, &store, &recovered), 0);
    ck_assert(recovered->term == 0 && recovered->damaged_until == 0 && recovered->entry_count == 0);
    raft_store_close(store);
    return is_renewed;
}

START_TEST(it_goes_on_as_another_server_with_its_name_and_its_records)
{
    struct identity before = make_set_back(), after, later;
    bool is_renewed;

    ck_assert(renewed(&before, &after));
    ck_assert_int_eq(metadata_open_identity(fs, &later, message), 0);
    ck_assert_int_eq(metadata_renew_if_set_back(fs, &later, &is_renewed, message), 0);
    ck_assert(!is_renewed && uuid_equal(&later.dir_id, &after.dir_id)); /* once */
    ck_assert_int_eq(later.past, IDENTITY_PAST_RENEWED);               /* until the mesh knows */
    ck_assert_int_eq(identity_set_told(fs, &later), 0);
    ck_assert_int_eq(metadata_open_identity(fs, &after, message), 0);
    ck_assert(after.past == IDENTITY_PAST_WHOLE && uuid_equal(&later.dir_id, &after.dir_id));
}
END_TEST

/* Others know a later boot, or what a life said: the mesh hears of it in this life, and of nothing more when the vote was given up at the next start. */
START_TEST(what_was_found_in_this_life_is_told_once)
{
    for (int is_told = 0; is_told < 2; is_told++) {
        struct identity before, after;

        fs_mem_reset(mem, 1);
        before = make_set_back_by_gossip(is_told);
        ck_assert(before.boot == 70);
        ck_assert(identity_is_to_tell(&before) == !is_told);
        ck_assert(renewed(&before, &after));
        ck_assert_uint_eq(after.boot, 71);
        ck_assert_int_eq(after.past, is_told ? IDENTITY_PAST_WHOLE : IDENTITY_PAST_RENEWED);
    }
}
END_TEST

/* Nobody else has to hold the log of the only voter: it would be lost, and the mesh without any. */
START_TEST(the_log_of_the_only_voter_is_kept)
{
    for (int way = 0; way < 4; way++) {
        const bool is_told = way % 2 != 0, is_joint = way / 2 != 0;
        const struct raft_recovered *recovered;
        struct identity before, after;
        struct raft_config config;
        struct raft_store *store;
        bool is_renewed = true;

        fs_mem_reset(mem, 1);
        before = make_member(0);
        config = alone(&before);
        append_config(&before, 1, &config);
        if (is_joint) { /* it may have been on its way to the others: the old set decides too */
            config = (struct raft_config){.voters = {config.voters[0], other}, .voter_count = 2, .old_voters = {config.voters[0]}, .old_voter_count = 1};
            append_config(&before, 2, &config);
        }
        ck_assert_int_eq(identity_set_back(fs, &before, 70), 0);
        if (is_told) ck_assert_int_eq(identity_set_told(fs, &before), 0);
        ck_assert_int_eq(metadata_open_identity(fs, &after, message), 0);
        ck_assert_int_eq(metadata_renew_if_set_back(fs, &after, &is_renewed, message), 0);
        ck_assert(!is_renewed && uuid_equal(&after.dir_id, &before.dir_id));
        ck_assert_int_eq(identity_is_to_tell(&after), !is_told); /* its records are distrusted all the same */
        ck_assert_int_eq(open_store(&after, &store, &recovered), 0);
        ck_assert(recovered->term == 3 && recovered->damaged_until == 0 && recovered->entry_count == (is_joint ? 2 : 1));
        raft_store_close(store);
    }
}
END_TEST

static int note_aside(void *user, const char *name, bool is_dir)
{
    if (is_dir && strncmp(name, "consensus-", 10) == 0) *(unsigned *)user += 1;
    return 0;
}

/* Given up it is, because somebody was told what it forgot; lost it is not, because nobody else had to hold it. Where others vote, it goes. */
START_TEST(what_the_only_voter_gives_up_is_kept_aside)
{
    struct identity before = make_set_back_alone(), after;
    unsigned count = 0;

    ck_assert(renewed(&before, &after));
    check_kept(&before);
    before = after;
    ck_assert_int_eq(metadata_open_identity(fs, &after, message), 0);
    ck_assert(uuid_equal(&after.dir_id, &before.dir_id));
    fs_mem_reset(mem, 2);
    before = make_set_back_by_gossip(false);
    ck_assert(renewed(&before, &after));
    ck_assert_int_eq(fs->ops->list(fs, ".", note_aside, &count), 0);
    ck_assert_uint_eq(count, 0);
}
END_TEST

/* A start that cannot read it now does not give it up unread. */
START_TEST(what_cannot_be_read_now_is_not_given_up)
{
    bool has_failed = true;

    for (uint64_t nth = 1; has_failed; nth++) {
        struct identity before, after;
        bool is_renewed;

        fs_mem_reset(mem, nth);
        before = make_set_back_alone();
        ck_assert_int_eq(metadata_open_identity(fs, &after, message), 0);
        fs_mem_fail(mem, 1u << FS_MEM_OP_READ, nth, _i == 0 ? MESH_ENOMEM : MESH_EIO, false);
        has_failed = metadata_renew_if_set_back(fs, &after, &is_renewed, message) != 0 || !is_renewed;
        fs_mem_fail(mem, 0, 0, 0, false);
        if (has_failed) ck_assert(renewed(&before, &after));
        check_kept(&before);
        ck_assert_uint_lt(nth, 50);
        has_failed = has_failed || nth < 20;
    }
}
END_TEST

/* Whoever found it: consensus, or gossip, and then whether the mesh had heard of it or not; or consensus, and it is the only voter. */
START_TEST(a_power_cut_anywhere_leaves_a_start_that_begins_again)
{
    for (uint64_t nth = 1;; nth++) {
        struct identity before, after;
        bool is_renewed;

        fs_mem_reset(mem, nth);
        before = _i == 0 ? make_set_back() : _i == 3 ? make_set_back_alone() : make_set_back_by_gossip(_i == 2);
        fs_mem_crash_at(mem, nth);
        if (metadata_open_identity(fs, &after, message) == 0) (void)metadata_renew_if_set_back(fs, &after, &is_renewed, message);
        if (!fs_mem_is_crashed(mem)) return;
        fs_mem_reboot(mem, FS_MEM_LOSE_ANY);
        (void)renewed(&before, &after);
        if (_i == 3) check_kept(&before);
    }
}
END_TEST

START_TEST(others_are_left_alone)
{
    struct identity identity, after;
    bool is_renewed = true;

    ck_assert_int_eq(metadata_open_identity(fs, &identity, message), 0);
    ck_assert_int_eq(metadata_renew_if_set_back(fs, &identity, &is_renewed, message), 0); /* blank: no store yet */
    ck_assert(!is_renewed);
    identity = make_set_back();
    after = identity;
    after.broker_id.bytes[0] ^= 1; /* the store of another broker: who opens it says what is wrong */
    ck_assert_int_eq(metadata_renew_if_set_back(fs, &after, &is_renewed, message), 0);
    ck_assert(!is_renewed && uuid_equal(&after.dir_id, &identity.dir_id));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("renewal");
    TCase *tcase = tcase_create("renewal");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, it_goes_on_as_another_server_with_its_name_and_its_records);
    tcase_add_test(tcase, what_was_found_in_this_life_is_told_once);
    tcase_add_test(tcase, the_log_of_the_only_voter_is_kept);
    tcase_add_test(tcase, what_the_only_voter_gives_up_is_kept_aside);
    tcase_add_loop_test(tcase, what_cannot_be_read_now_is_not_given_up, 0, 2);
    tcase_add_loop_test(tcase, a_power_cut_anywhere_leaves_a_start_that_begins_again, 0, 4);
    tcase_add_test(tcase, others_are_left_alone);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
