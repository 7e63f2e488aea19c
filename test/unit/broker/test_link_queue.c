/* The order in which a link's messages leave, and what becomes of them at the other end. */
#include "cmd/broker/peers/link_queue.h"

#include "base/error.h"
#include "support/run_suite.h"
#include "wire/frame.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct link_queue queue;
static uint8_t bytes[200000], room[LINK_PART_BYTES];

static void setup(void)
{
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 7 + (i >> 9));
    link_queue_init(&queue);
}

static void teardown(void)
{
    link_queue_clear(&queue);
}

static void push(uint8_t type, size_t size)
{
    struct link_message *message = link_message_copy(type, slice_of(bytes, size));

    ck_assert_ptr_nonnull(message);
    ck_assert_int_eq(link_queue_push(&queue, message), 0);
}

static uint8_t pop(size_t want_size)
{
    struct link_part part;

    ck_assert(link_queue_next(&queue, &part));
    ck_assert_uint_eq(part.size, want_size);
    link_queue_advance(&queue, &part);
    return part.type;
}

START_TEST(lanes_go_by_rank_and_bulk_takes_turns)
{
    push(LINK_TYPE_FORWARD, 2 * LINK_PART_BYTES);
    push(LINK_TYPE_METADATA, LINK_PART_BYTES + 5);
    push(LINK_TYPE_CONSENSUS, 10);
    push(LINK_TYPE_PACKET, 0);
    ck_assert_uint_eq(pop(0), LINK_TYPE_PACKET);
    ck_assert_uint_eq(pop(10), LINK_TYPE_CONSENSUS);
    ck_assert_uint_eq(pop(LINK_PART_BYTES), LINK_TYPE_METADATA | LINK_PART_MORE);
    ck_assert_uint_eq(pop(LINK_PART_BYTES), LINK_TYPE_FORWARD | LINK_PART_MORE);
    push(LINK_TYPE_GOSSIP, 1); /* overtakes what has begun */
    ck_assert_uint_eq(pop(1), LINK_TYPE_GOSSIP);
    ck_assert_uint_eq(pop(5), LINK_TYPE_METADATA);
    ck_assert_uint_eq(pop(LINK_PART_BYTES), LINK_TYPE_FORWARD);
    ck_assert_uint_eq(queue.total, 0);
}
END_TEST

START_TEST(a_full_lane_hinders_no_other)
{
    struct link_message *message;

    for (size_t sent = 0; sent + sizeof(bytes) <= LINK_BULK_BYTES_MAX; sent += sizeof(bytes))
        push(LINK_TYPE_METADATA, sizeof(bytes));
    message = link_message_copy(LINK_TYPE_METADATA, slice_of(bytes, sizeof(bytes)));
    ck_assert_int_eq(link_queue_push(&queue, message), MESH_EFULL);
    message->done(message);
    push(LINK_TYPE_FORWARD, sizeof(bytes));
    push(LINK_TYPE_CONSENSUS, sizeof(bytes));
}
END_TEST

/* Head and body of any sizes arrive as one. */
START_TEST(parts_become_messages_again)
{
    static const size_t sizes[][2] = {{0, 0}, {1, 0}, {0, 1}, {5, LINK_PART_BYTES}, {LINK_PART_BYTES, 5}, {LINK_PART_BYTES - 1, 2}, {100, 150000}};
    struct link_parts parts = {0};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct link_message *message = link_message_copy(LINK_TYPE_FORWARD, slice_of(NULL, 0));
        size_t size = sizes[i][0] + sizes[i][1];
        struct link_part part;
        struct slice whole;
        bool is_whole = false;

        message->head = slice_of(bytes, sizes[i][0]);
        message->body = slice_of(bytes + sizes[i][0], sizes[i][1]);
        ck_assert_int_eq(link_queue_push(&queue, message), 0);
        while (!is_whole) {
            ck_assert(link_queue_next(&queue, &part));
            ck_assert_int_eq(link_parts_add(&parts, part.type, link_part_bytes(&part, room), &whole, &is_whole), 0);
            if (is_whole) ck_assert(slice_equal(whole, slice_of(bytes, size)));
            link_queue_advance(&queue, &part);
        }
        link_parts_release(&parts, LINK_TYPE_FORWARD);
    }
    link_parts_deinit(&parts);
}
END_TEST

/* What is forwarded says how long it is: no growing, and no copies for that. One that lies is only a message that is shorter or longer. */
START_TEST(a_frame_has_room_from_its_first_part_on)
{
    static const uint32_t said[] = {900000, 100, LINK_MESSAGE_MAX - FRAME_HEADER_SIZE};
    uint8_t first[LINK_PART_BYTES] = {0};

    for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
        struct frame_header header = {.op = FRAME_OP_PRODUCE, .attachment_size = said[i]};
        struct link_parts parts = {0};
        struct slice whole;
        bool is_whole;

        frame_write_header(first, &header, first + FRAME_HEADER_SIZE);
        ck_assert_int_eq(link_parts_add(&parts, LINK_TYPE_FORWARD | LINK_PART_MORE, slice_of(first, sizeof(first)), &whole, &is_whole), 0);
        ck_assert_uint_ge(parts.lanes[LINK_LANE_FORWARD].capacity, said[i]);
        for (int more = 0; more < 3; more++)
            ck_assert_int_eq(link_parts_add(&parts, LINK_TYPE_FORWARD | (more < 2 ? LINK_PART_MORE : 0), slice_of(bytes, sizeof(bytes)), &whole, &is_whole), 0);
        ck_assert(is_whole);
        ck_assert(slice_equal(slice_of(whole.data, sizeof(first)), slice_of(first, sizeof(first))));
        ck_assert(slice_equal(slice_of(whole.data + whole.size - sizeof(bytes), sizeof(bytes)), slice_of(bytes, sizeof(bytes))));
        link_parts_deinit(&parts);
    }
}
END_TEST

START_TEST(parts_that_cannot_be_are_refused)
{
    struct link_parts parts = {0};
    struct slice whole;
    bool is_whole;
    int err = 0;

    ck_assert_int_eq(link_parts_add(&parts, LINK_TYPE_GOSSIP | LINK_PART_MORE, slice_of(bytes, 10), &whole, &is_whole), 0);
    ck_assert_int_eq(link_parts_add(&parts, LINK_TYPE_KEYS, slice_of(bytes, 10), &whole, &is_whole), MESH_EPROTO);
    for (int i = 0; i < 1000 && err == 0; i++)
        err = link_parts_add(&parts, LINK_TYPE_FORWARD | LINK_PART_MORE, slice_of(bytes, sizeof(bytes)), &whole, &is_whole);
    ck_assert_int_eq(err, MESH_ETOOLARGE);
    ck_assert_int_eq(link_parts_add(&parts, 100, slice_of(bytes, 10), &whole, &is_whole), 0); /* of a newer mesh */
    ck_assert(!is_whole);
    link_parts_deinit(&parts);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("link queue");
    TCase *tcase = tcase_create("link queue");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, lanes_go_by_rank_and_bulk_takes_turns);
    tcase_add_test(tcase, a_full_lane_hinders_no_other);
    tcase_add_test(tcase, parts_become_messages_again);
    tcase_add_test(tcase, a_frame_has_room_from_its_first_part_on);
    tcase_add_test(tcase, parts_that_cannot_be_are_refused);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
