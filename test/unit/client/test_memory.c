/* Every allocation of a client's life fails once: the call says so or gets over it; nothing crashes, leaks or
 * hangs. */
#include "fake_broker.h"

#include <mesh/mesh.h>

#include "support/failing_alloc.h"
#include "support/run_suite.h"

#include <stdio.h>
#include <stdlib.h>

static struct fake_broker *broker;

static void set_up(void)
{
    const char *values[] = {"a", "b", "c"};

    broker = fake_broker_new("t", 2);
    fake_broker_append(broker, 0, values, 3, RECORD_COMPRESSION_LZ4);
    fake_broker_append(broker, 0, values, 3, RECORD_COMPRESSION_NONE);
    fake_broker_fork(broker);
}

static void tear_down(void)
{
    fake_broker_kill(broker);
    fake_broker_free(broker);
}

/* Each step returns 0 or an error; they are judged once nothing is armed any more. */
static int produce(struct mesh_client *client)
{
    const struct mesh_header header = {"h", "v", 1};
    const struct mesh_record record = {
        .key = "k", .key_size = 1, .value = "v", .value_size = 1, .headers = &header, .header_count = 1};
    struct mesh_producer *producer = NULL;
    struct mesh_receipt receipt;
    int err = mesh_producer_new(client, "t", &producer);

    if (err != 0) return err;
    mesh_producer_set_delivery_timeout_ms(producer, 3000);
    mesh_producer_set_compression(producer, MESH_COMPRESSION_SNAPPY);
    err = mesh_produce(producer, &record, &receipt);
    if (err == 0) err = mesh_produce(producer, &record, &receipt); /* another way in: the routes are known */
    mesh_producer_free(producer);
    return err;
}

static int consume(struct mesh_client *client)
{
    struct mesh_consumer *consumer = NULL;
    struct mesh_consumed records[2];
    size_t count = 1, total = 0;
    int err = mesh_consumer_new(client, &consumer);

    if (err != 0) return err;
    err = mesh_consumer_assign(consumer, "t", 0, MESH_OFFSET_BEGINNING);
    while (err == 0 && count > 0 && total < 6) {
        err = mesh_consumer_poll(consumer, records, 2, 3000, &count);
        total += count;
    }
    mesh_consumer_free(consumer);
    return err != 0 || total >= 6 ? err : MESH_ETIMEDOUT;
}

/* Reads all and compares every offset: a failed allocation may delay a record, not hide it. */
static int consume_headers(struct mesh_client *client)
{
    struct mesh_consumer *consumer = NULL;
    struct mesh_consumed records[2];
    size_t count = 1, total = 0;
    int err = mesh_consumer_new(client, &consumer);

    if (err == 0) err = mesh_consumer_assign(consumer, "t", 0, 0);
    while (err == 0 && count > 0 && total < 8) {
        err = mesh_consumer_poll(consumer, records, 2, 3000, &count);
        for (size_t i = 0; err == 0 && i < count; i++)
            if (records[i].offset != (int64_t)total++) err = MESH_ECORRUPT;
    }
    mesh_consumer_free(consumer);
    return err != 0 || total >= 8 ? err : MESH_ETIMEDOUT;
}

static int administer(struct mesh_client *client)
{
    struct mesh_topic_options *options = NULL;
    struct mesh_topic_list *list = NULL;
    struct mesh_status *status = NULL;
    int err = mesh_topic_options_new(&options);

    if (err == 0) err = mesh_topic_options_set(options, "flush", "group");
    if (err == 0) err = mesh_topic_create(client, "t", options);
    mesh_topic_options_free(options);
    if (err == 0) err = mesh_topic_describe(client, "t", &list);
    mesh_topic_list_free(list);
    if (err == 0) err = mesh_status_get(client, &status);
    mesh_status_free(status);
    return err;
}

static int live(int (*step)(struct mesh_client *))
{
    struct mesh_client *client = NULL;
    int err = mesh_client_new(broker->address, &client);

    if (err != 0) return err;
    mesh_client_set_timeout_ms(client, 3000);
    err = step(client);
    mesh_client_free(client);
    return err;
}

static int (*const steps[])(struct mesh_client *) = {produce, consume, administer};

static void fail_each(int (*step)(struct mesh_client *))
{
    int err;

    failing_alloc_each(n)
    {
        failing_alloc_arm(n);
        err = live(step);
        if (!failing_alloc_disarm()) break;
        ck_assert_msg(err == 0 || err == MESH_ENOMEM || err == MESH_ECLOSED, "allocation %u: %s", n,
                      mesh_strerror(err));
        ck_assert_uint_lt(n, 1000);
    }
    ck_assert_int_eq(err, 0);
}

START_TEST(each_allocation_may_fail)
{
    fail_each(steps[_i]);
}
END_TEST

START_TEST(no_record_with_headers_is_skipped_for_want_of_memory)
{
    ck_assert_int_eq(live(produce), 0);
    fail_each(consume_headers);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("client memory");
    TCase *c = tcase_create("memory");

    tcase_set_timeout(c, 100);
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_loop_test(c, each_allocation_may_fail, 0, 3);
    tcase_add_test(c, no_record_with_headers_is_skipped_for_want_of_memory);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    return run_suite(suite());
}
