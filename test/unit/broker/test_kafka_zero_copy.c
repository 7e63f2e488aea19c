/* Fetched records go from their file to the socket within the kernel: the system calls of a broker that gives some megabytes, counted. */
#include "broker_fixture.h"
#include "kafka/header.h"
#include "kafka/messages.h"
#include "raw_client.h"
#include "support/run_suite.h"

#include "base/bytes.h"
#include "base/clock.h"

#include <check.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define VERSION       7
#define WAIT_MS       500
#define BATCHES       7    /* of 4 MiB, which one answer may have */
#define BATCH_RECORDS 500
#define VALUE_SIZE    1000
#define RECORDS_BYTES ((size_t)BATCHES * BATCH_RECORDS * VALUE_SIZE)
#define COUNTED_NS    (10 * UINT64_C(1000000000))
#define ROUNDS        100         /* until one meets all records in the page cache: others may take it from us */

static struct broker_fixture fixture;
static atomic_size_t by_sendfile, from_memory, read_bytes;

/* ---- the calls: counted, and made ---- */

ssize_t __real_sendfile64(int to, int from, off_t *position, size_t size);
ssize_t __wrap_sendfile64(int to, int from, off_t *position, size_t size);
ssize_t __real_sendmsg(int to, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int to, const struct msghdr *message, int flags);
ssize_t __real_pread64(int from, void *to, size_t size, off_t position);
ssize_t __wrap_pread64(int from, void *to, size_t size, off_t position);
ssize_t __real_preadv64v2(int from, const struct iovec *to, int count, off_t position, int flags);
ssize_t __wrap_preadv64v2(int from, const struct iovec *to, int count, off_t position, int flags);

static ssize_t count(atomic_size_t *sum, ssize_t size)
{
    if (size > 0) atomic_fetch_add(sum, (size_t)size);
    return size;
}

ssize_t __wrap_sendfile64(int to, int from, off_t *position, size_t size)
{
    return count(&by_sendfile, __real_sendfile64(to, from, position, size));
}

ssize_t __wrap_sendmsg(int to, const struct msghdr *message, int flags)
{
    return count(&from_memory, __real_sendmsg(to, message, flags));
}

ssize_t __wrap_pread64(int from, void *to, size_t size, off_t position)
{
    return count(&read_bytes, __real_pread64(from, to, size, position));
}

ssize_t __wrap_preadv64v2(int from, const struct iovec *to, int pieces, off_t position, int flags)
{
    return count(&read_bytes, __real_preadv64v2(from, to, pieces, position, flags));
}

/* ---- the broker, and one who fetches ---- */

/* What was just written is in memory and leaves from there; after a start it is in files alone. */
static void setup(void)
{
    struct raw_client client;
    struct uuid topic;

    broker_fixture_init(&fixture);
    broker_fixture_start(&fixture);
    raw_hello(&client, fixture.port, -1);
    topic = raw_topic_create(&client, "t", 1, NULL, NULL);
    for (int i = 0; i < BATCHES; i++) {
        struct buffer batch = raw_batch(BATCH_RECORDS, VALUE_SIZE, -1, -1, raw_now_ms());

        ck_assert_int_eq(raw_produce(&client, &topic, 0, &batch).error, 0);
        buffer_deinit(&batch);
    }
    raw_close(&client);
    ck_assert_int_eq(broker_fixture_stop(&fixture), 0);
    broker_fixture_start(&fixture);
}

static void teardown(void)
{
    broker_fixture_deinit(&fixture);
}

static void receive(int fd, uint8_t *to, size_t size)
{
    ck_assert_int_eq(recv(fd, to, size, MSG_WAITALL), (ssize_t)size);
}

/* All records in one answer; its size. */
static size_t fetch_all(const struct raw_client *kafka, uint8_t *answer, size_t room)
{
    struct kafka_fetch_request_partition partition;
    struct kafka_fetch_request_topic topic = {.topic = slice_of_string("t"), .partitions = {&partition, 1}};
    struct kafka_fetch_request request;
    struct buffer frame = BUFFER_INIT;
    uint32_t size;

    kafka_init(&kafka_fetch_request_partition_form, &partition);
    kafka_init(&kafka_fetch_request_form, &request);
    partition.partition_max_bytes = 2 * (int32_t)RECORDS_BYTES;
    request.max_wait_ms = WAIT_MS; /* what has to be looked for on the disk is waited for */
    request.min_bytes = 1;
    request.topics.items = &topic;
    request.topics.count = 1;
    ck_assert_int_eq(kafka_request_encode(kafka_api_find(KAFKA_FETCH), VERSION, 1, slice_of_string("test"), &request, &frame), 0);
    raw_send_bytes((struct raw_client *)(uintptr_t)kafka, frame.data, frame.size);
    buffer_deinit(&frame);
    receive(kafka->fd, answer, 4);
    size = be_load32(answer);
    ck_assert_uint_le(size, room - 4);
    receive(kafka->fd, answer + 4, size);
    return 4 + (size_t)size;
}

/* What has arrived was sent by a call that may not have come back, and been counted, yet. */
static size_t sent_since(size_t before)
{
    uint64_t deadline = clock_monotonic_ns() + COUNTED_NS;

    while (atomic_load(&by_sendfile) - before < RECORDS_BYTES && clock_monotonic_ns() < deadline)
        sched_yield();
    return atomic_load(&by_sendfile) - before;
}

START_TEST(records_go_from_their_file_to_the_socket)
{
    size_t room = 2 * RECORDS_BYTES, size = 0, least_read = SIZE_MAX;
    uint8_t *answer = malloc(room);
    struct raw_client kafka;

    ck_assert_ptr_nonnull(answer);
    raw_connect(&kafka, fixture.port);
    for (int round = 0; round < ROUNDS && least_read > RECORDS_BYTES / 50; round++) {
        size_t before = atomic_load(&by_sendfile), memory = atomic_load(&from_memory), read = atomic_load(&read_bytes);

        size = fetch_all(&kafka, answer, room);
        if (size < RECORDS_BYTES) continue; /* it has just been started, or the disk is slow */
        ck_assert_uint_ge(sent_since(before), RECORDS_BYTES);
        ck_assert_uint_le(atomic_load(&from_memory) - memory, size - RECORDS_BYTES + 1000);
        read = atomic_load(&read_bytes) - read;
        if (read < least_read) least_read = read;
    }
    ck_assert_uint_ge(size, RECORDS_BYTES);
    ck_assert_uint_le(least_read, RECORDS_BYTES / 50); /* headers, and what asks for the page cache */
    raw_close(&kafka);
    free(answer);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kafka zero copy");
    TCase *tcase = tcase_create("zero copy");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, records_go_from_their_file_to_the_socket);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
