/* A fetch from many shards, whose parts this test answers in the shards' place. */
#include "base/error.h"
#include "cmd/broker/ops/fetch_part.h"
#include "cmd/broker/runtime/shard.h"
#include "replication/coordinator/image.h"
#include "support/run_suite.h"

#include <check.h>
#include <stdlib.h>

#define SHARDS     48
#define PARTITIONS 1000
#define BATCH_SIZE (64u << 20) /* the largest batch that a topic may allow */

static struct broker broker;
static struct shard *shards[SHARDS];

static void setup(void)
{
    broker = (struct broker){.shards = shards, .shard_count = SHARDS};
    for (uint32_t i = 0; i < SHARDS; i++) {
        shards[i] = calloc(1, sizeof(*shards[i]));
        shards[i]->broker = &broker;
        shards[i]->index = i;
        ck_assert_int_eq(mailbox_init(&shards[i]->mailbox), 0);
    }
}

static void teardown(void)
{
    for (uint32_t i = 0; i < SHARDS; i++) {
        mailbox_deinit(&shards[i]->mailbox);
        free(shards[i]);
    }
}

struct outcome {
    uint32_t answered;
    uint64_t bytes;
    int times;
};

static void on_done(void *owner, uint64_t tag, struct fetch_answer *answers, uint32_t count)
{
    struct outcome *outcome = owner;

    (void)tag;
    outcome->times++;
    for (uint32_t i = 0; i < count; i++) {
        outcome->answered += answers[i].is_answered;
        outcome->bytes += answers[i].result.records_size;
    }
}

/* The part that was sent to a shard comes back with one batch, beyond its share. */
static bool answer_part(uint32_t shard)
{
    struct mail *mail = atomic_exchange(&shards[shard]->mailbox.newest, NULL);
    struct fetch_part *part;

    if (mail == NULL) return false;
    part = container_of(mail, struct fetch_part, mail);
    part->entries[0].answer.is_answered = true;
    part->entries[0].answer.result.records_size = BATCH_SIZE;
    part->is_out = false;
    fetch_part_finished(part->fetch, part);
    return true;
}

START_TEST(the_sum_of_the_parts_is_what_a_frame_can_say)
{
    struct outcome outcome = {0, 0, 0};
    struct list_node fetches;
    struct fetch_options options = {
        .bytes_min = UINT32_MAX, .bytes_max = 16u << 20, .done = on_done, .owner = &outcome, .fetches = &fetches};
    struct fetch_request_reader reader;
    struct buffer message = BUFFER_INIT;
    uint32_t parts = 0;

    list_init(&fetches);
    ck_assert_int_eq(fetch_request_start(&message, 0, 1, 1 << 20), 0);
    for (uint32_t i = 0; i < PARTITIONS; i++) {
        struct fetch_entry entry = {.partition = i, .leader_epoch = -1, .bytes_max = 1 << 20};

        entry.topic_id.bytes[0] = 7;
        if (image_shard_of(&entry.topic_id, i, SHARDS) == 0) continue; /* shard 0 asks; it has no store to read */
        ck_assert_int_eq(fetch_request_add(&message, &entry), 0);
    }
    ck_assert_int_eq(fetch_request_reader_init(&reader, buffer_slice(&message)), 0);
    ck_assert_int_eq(fetch_submit(shards[0], &options, &reader), 0);
    for (uint32_t i = 1; i < SHARDS; i++)
        parts += answer_part(i);
    ck_assert_int_eq(outcome.times, 1);
    ck_assert_uint_gt((uint64_t)parts * BATCH_SIZE, INT32_MAX); /* there was too much for one answer, */
    ck_assert_uint_le(outcome.bytes, INT32_MAX);                /* some of which is left for the next */
    ck_assert_uint_eq(outcome.bytes, (uint64_t)outcome.answered * BATCH_SIZE);
    ck_assert_uint_gt(outcome.answered, 1);
    buffer_deinit(&message);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fetch parts");
    TCase *tcase = tcase_create("parts");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, the_sum_of_the_parts_is_what_a_frame_can_say);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
