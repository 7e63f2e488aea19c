/* How much a producer takes while its broker answers nothing. */
#include "fake_broker.h"

#include <mesh/mesh.h>

#include "support/run_suite.h"

#include <string.h>

enum { BACKLOG = 1024, WINDOW = 5, MOST = 5000 };

static struct fake_broker *broker;
static struct mesh_client *client;
static struct mesh_producer *producer;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER; /* while it is locked no record is acknowledged */

static enum fake_action wait_at_gate(void *user, struct fake_broker *unused, enum frame_op op, int *error)
{
    (void)user, (void)unused, (void)error;
    if (op == FRAME_OP_PRODUCE) {
        pthread_mutex_lock(&gate);
        pthread_mutex_unlock(&gate);
    }
    return FAKE_SERVE;
}

static void set_up(void)
{
    broker = fake_broker_new("t", 2);
    broker->script = wait_at_gate;
    fake_broker_start(broker);
    ck_assert_int_eq(mesh_client_new(broker->address, &client), 0);
    ck_assert_int_eq(mesh_producer_new(client, "t", &producer), 0);
    ck_assert_int_eq(mesh_producer_set_batch_records_max(producer, 1), 0);
    ck_assert_int_eq(mesh_producer_set_in_flight_max(producer, WINDOW), 0);
}

static void tear_down(void)
{
    mesh_producer_free(producer);
    mesh_client_free(client);
    fake_broker_stop(broker);
    fake_broker_free(broker);
}

static void count(void *user, const struct mesh_receipt *receipt)
{
    ck_assert_int_eq(receipt->status, MESH_DELIVERED);
    ++*(int *)user;
}

/* Sends until it is told to poll. Returns how many were taken. */
static int flood(int *delivered)
{
    static const char value[100];
    const struct mesh_record record = {.value = value, .value_size = sizeof(value), .partition = 1};
    int accepted = 0, err = 0;

    while (accepted < MOST && (err = mesh_producer_send(producer, &record, count, delivered)) == 0)
        accepted++;
    ck_assert_int_eq(err, accepted < MOST ? MESH_EQUEUEFULL : 0);
    return accepted;
}

static int flood_while_nothing_is_answered(int *delivered)
{
    int accepted;

    ck_assert_int_eq(mesh_produce(producer, &(struct mesh_record){.partition = 1}, NULL), 0); /* the way is known */
    pthread_mutex_lock(&gate);
    accepted = flood(delivered);
    pthread_mutex_unlock(&gate);
    return accepted;
}

START_TEST(batches_of_one_record_do_not_pile_up_behind_a_full_window)
{
    int delivered = 0, accepted = flood_while_nothing_is_answered(&delivered);

    ck_assert_int_ge(accepted, BACKLOG);
    ck_assert_int_le(accepted, 2 * BACKLOG); /* a turn comes every 64 KiB of records only: what came since waits as well */
    ck_assert_ptr_nonnull(strstr(mesh_client_error(client), "window"));
    ck_assert_int_eq(mesh_producer_flush(producer, 10000), 0);
    ck_assert_int_eq(delivered, accepted);
}
END_TEST

START_TEST(who_says_how_much_memory_there_is_gets_it)
{
    int delivered = 0;

    ck_assert_int_eq(mesh_producer_set_memory_bytes_max(producer, 64u << 20), 0);
    ck_assert_int_eq(flood_while_nothing_is_answered(&delivered), MOST);
    ck_assert_int_eq(mesh_producer_flush(producer, 10000), 0);
    ck_assert_int_eq(delivered, MOST);
}
END_TEST

START_TEST(there_is_room_again_as_soon_as_answers_come)
{
    int delivered = 0, accepted = flood_while_nothing_is_answered(&delivered);
    const struct mesh_record record = {.partition = 1};

    while (mesh_producer_send(producer, &record, count, &delivered) == MESH_EQUEUEFULL)
        ck_assert_int_eq(mesh_client_poll(client, 1000), 0);
    ck_assert_int_gt(delivered, 0);
    ck_assert_int_eq(mesh_producer_flush(producer, 10000), 0);
    ck_assert_int_eq(delivered, accepted + 1);
}
END_TEST

/* Nothing is in flight, so no answer would make room: they wait for a broker, as far as memory goes. */
START_TEST(without_a_broker_only_memory_counts)
{
    static const char value[100];
    const struct mesh_record record = {.value = value, .value_size = sizeof(value), .partition = 1};

    int delivered = 0;

    ck_assert_int_eq(mesh_produce(producer, &record, NULL), 0);
    fake_broker_hide(broker);
    for (int i = 0; i < MOST; i++)
        ck_assert_int_eq(mesh_producer_send(producer, &record, count, &delivered), 0);
    fake_broker_show(broker);
    ck_assert_int_eq(mesh_producer_flush(producer, 30000), 0);
    ck_assert_int_eq(delivered, MOST);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("client backlog");
    TCase *c = tcase_create("backlog");

    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, batches_of_one_record_do_not_pile_up_behind_a_full_window);
    tcase_add_test(c, who_says_how_much_memory_there_is_gets_it);
    tcase_add_test(c, there_is_room_again_as_soon_as_answers_come);
    tcase_add_test(c, without_a_broker_only_memory_counts);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    return run_suite(suite());
}
