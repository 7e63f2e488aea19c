/* The lane of consensus: what is waited for passes a snapshot that is being made, or restored. */
#include "base/error.h"
#include "cmd/broker/metadata/disk.h"
#include "cmd/broker/runtime/mailbox.h"
#include "replication/coordinator/record.h"
#include "support/fs_mem.h"
#include "support/run_suite.h"
#include "unit/replication/metadata_history.h"

#include <check.h>
#include <ev.h>
#include <stdio.h>

static const struct raft_server self = {{{1}}, {{2}}}, nobody;

static struct {
    struct fs_mem *mem;
    struct fs *fs;
    struct ev_loop *loop;
    struct mailbox mailbox;
    struct disk *disk;
    uint64_t asked, stored;
    unsigned between; /* stores that came home while a snapshot was half written */
    bool is_taken, is_restored;
    int take_error;
    struct restored {
        int error;
        struct image *image;
        uint64_t stored; /* stores that were home by then */
    } restored[4];
    unsigned restored_count;
} desk;

static bool is_half_written(void)
{
    struct fs_file *file;

    if (fs_open(desk.fs, "consensus/snapshot.made", FS_READ, &file) != 0) return false;
    fs_unref(file);
    return true;
}

static void ask(void)
{
    const struct disk_state state = {.term = ++desk.asked, .voted_for = nobody};

    ck_assert_int_eq(disk_store_state(desk.disk, desk.asked, &state), 0);
}

/* The lane is idle while a hook runs, so what is seen of its files stands still. */
static void on_stored(void *user, uint64_t store)
{
    (void)user;
    ck_assert_uint_eq(store, ++desk.stored);
    desk.between += is_half_written();
    if (!desk.is_taken || !desk.is_restored) ask();
}

static void on_failed(void *user, uint64_t store, int error)
{
    (void)user;
    ck_abort_msg("store %llu: %s", (unsigned long long)store, mesh_strerror(error));
}

static void on_full(void *user, bool is_full)
{
    (void)user;
    (void)is_full;
}

static void on_taken(void *user, uint64_t index, int error)
{
    (void)user;
    (void)index;
    desk.is_taken = true;
    desk.take_error = error;
}

static void on_read(void *user, uint64_t read, int error, const struct node_snapshot *snapshot)
{
    (void)user;
    (void)read;
    (void)error;
    (void)snapshot;
}

static void on_restored(void *user, int error, struct image *image)
{
    (void)user;
    ck_assert_uint_lt(desk.restored_count, 4);
    desk.restored[desk.restored_count++] = (struct restored){error, image, desk.stored};
    desk.is_restored = true;
}

static const struct disk_hooks hooks = {on_stored, on_failed, on_full, on_taken, on_read, on_restored};

static struct raft_store *open_store(void)
{
    const struct raft_recovered *recovered;
    struct raft_store_report report;
    struct raft_store *store;
    char message[256];

    ck_assert_msg(raft_store_open(desk.fs, "consensus", &self, metadata_chain, &store, &recovered, &report, message, sizeof(message)) == 0, "%s", message);
    return store;
}

static void set_up(void)
{
    struct disk_options options = {.self = self, .hooks = &hooks, .home = &desk.mailbox};

    memset(&desk, 0, sizeof(desk));
    desk.is_restored = true;
    desk.mem = fs_mem_new(1);
    options.fs = desk.fs = fs_mem_fs(desk.mem);
    options.loop = desk.loop = ev_loop_new(EVFLAG_NOENV);
    ck_assert_int_eq(mailbox_init(&desk.mailbox), 0);
    ck_assert_int_eq(disk_new(&options, open_store(), &desk.disk), 0);
}

static void tear_down(void)
{
    disk_free(desk.disk);
    for (unsigned i = 0; i < desk.restored_count; i++)
        image_unref(desk.restored[i].image);
    mailbox_deinit(&desk.mailbox);
    ev_loop_destroy(desk.loop);
    desk.fs->ops->free(desk.fs);
    fs_mem_free(desk.mem);
}

static void take(const struct image *image, uint64_t index)
{
    const struct raft_config config = {.voters = {self}, .voter_count = 1};
    const struct raft_position position = {.index = index, .term = 1};

    desk.is_taken = false;
    ck_assert_int_eq(disk_take_snapshot(desk.disk, image, &position, &config), 0);
}

static void run(void)
{
    while (!desk.is_taken || !desk.is_restored || desk.stored < desk.asked)
        mailbox_wait(&desk.mailbox);
}

static void check_equal(const struct image *a, const struct image *b)
{
    struct buffer left = BUFFER_INIT, right = BUFFER_INIT;

    ck_assert(image_encode(a, &left) == 0 && image_encode(b, &right) == 0);
    ck_assert(slice_equal(buffer_slice(&left), buffer_slice(&right)));
    buffer_deinit(&left);
    buffer_deinit(&right);
}

START_TEST(votes_pass_a_snapshot_that_is_being_made)
{
    struct history *history = history_new_mesh(1, "");
    struct image *found = NULL;

    for (int i = 0; i < 40; i++) {
        char name[16];
        snprintf(name, sizeof(name), "topic-%d", i);
        history_create_topic(history, name, 3, 1);
    }
    for (uint64_t index = 1; index <= 2; index++) { /* the second one on the thread that the first one began */
        desk.between = 0;
        ask();
        take(history->image, index);
        run();
        ck_assert_int_eq(desk.take_error, 0);
        ck_assert_uint_ge(desk.between, 1);
        ck_assert(!is_half_written());
    }
    disk_free(desk.disk);
    desk.disk = NULL;
    struct raft_store *store = open_store();
    ck_assert_int_eq(disk_load_image(store, 2, &found), 0);
    check_equal(found, history->image);
    raft_store_close(store);
    image_unref(found);
    history_free(history);
}
END_TEST

START_TEST(an_end_meets_a_snapshot_at_any_point)
{
    struct image *image;

    ck_assert_int_eq(image_new_empty(&image), 0);
    take(image, 1);
    image_unref(image);
    ask(); /* and tear_down() ends it: at the encoder, waiting, or half written */
}
END_TEST

START_TEST(one_that_is_not_newer_is_refused)
{
    struct image *image;

    ck_assert_int_eq(image_new_empty(&image), 0);
    for (uint64_t index = 5; index >= 4; index--) {
        ask();
        take(image, index);
        run();
        ck_assert_int_eq(desk.take_error, index == 5 ? 0 : MESH_EINVAL);
    }
    image_unref(image);
}
END_TEST

/* Long enough for several pieces. */
static struct history *large_history(void)
{
    struct history *history = history_new_mesh(1, "");
    struct buffer bytes = BUFFER_INIT;

    for (int i = 0; i < 1400; i++) {
        char name[240];
        snprintf(name, sizeof(name), "large-%0200d", i);
        history_create_topic(history, name, 1, 1);
    }
    ck_assert_int_eq(image_encode(history->image, &bytes), 0);
    ck_assert_uint_gt(bytes.size, 300u << 10);
    buffer_deinit(&bytes);
    return history;
}

START_TEST(votes_pass_a_snapshot_that_is_restored)
{
    struct history *history = large_history();
    uint64_t before;

    take(history->image, 1);
    run();
    ck_assert_int_eq(desk.take_error, 0);
    desk.is_restored = false;
    before = desk.stored;
    ck_assert_int_eq(disk_restore(desk.disk, 1), 0);
    ask(); /* behind its first piece */
    run();
    ck_assert_uint_eq(desk.restored_count, 1);
    ck_assert_int_eq(desk.restored[0].error, 0);
    ck_assert_uint_ge(desk.restored[0].stored - before, 1);
    check_equal(desk.restored[0].image, history->image);
    history_free(history);
}
END_TEST

/* Of several the last answer counts (node_restored()), so also one that fails at once waits for those before it. */
START_TEST(restores_are_answered_in_order)
{
    struct history *history = large_history();

    take(history->image, 1);
    run();
    desk.is_restored = false;
    for (int i = 0; i < 3; i++) /* the same one twice, and one that is not there any more, or not yet */
        ck_assert_int_eq(disk_restore(desk.disk, i == 2 ? 7 : 1), 0);
    ask();
    while (desk.restored_count < 3 || desk.stored < desk.asked)
        mailbox_wait(&desk.mailbox);
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_int_eq(desk.restored[i].error, 0);
        check_equal(desk.restored[i].image, history->image);
    }
    ck_assert_int_eq(desk.restored[2].error, MESH_ENOTFOUND);
    ck_assert_ptr_null(desk.restored[2].image);
    history_free(history);
}
END_TEST

START_TEST(an_end_meets_a_restore_at_any_point)
{
    struct history *history = large_history();

    take(history->image, 1);
    run();
    ck_assert_int_eq(disk_restore(desk.disk, 1), 0);
    ck_assert_int_eq(disk_restore(desk.disk, 1), 0);
    for (unsigned i = 0; i < 3 + (unsigned)_i; i++) { /* and tear_down() ends it: being read, being decoded, or waiting for that */
        ask();
        while (desk.stored < desk.asked)
            mailbox_wait(&desk.mailbox);
    }
    history_free(history);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("metadata disk");
    TCase *tcase = tcase_create("disk");

    tcase_set_timeout(tcase, 30); /* on a machine that has more to do */
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, votes_pass_a_snapshot_that_is_being_made);
    tcase_add_test(tcase, an_end_meets_a_snapshot_at_any_point);
    tcase_add_test(tcase, one_that_is_not_newer_is_refused);
    tcase_add_test(tcase, votes_pass_a_snapshot_that_is_restored);
    tcase_add_test(tcase, restores_are_answered_in_order);
    tcase_add_loop_test(tcase, an_end_meets_a_restore_at_any_point, 0, 4);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
