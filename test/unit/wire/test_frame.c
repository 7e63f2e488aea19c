/* The frame header: what is judged before anything is read or allocated for it. */
#include "wire/frame.h"

#include "base/bytes.h"
#include "base/error.h"
#include "support/run_suite.h"

#include <check.h>

#define FRAME_BYTES_MAX (8u << 20)

static const struct frame_header plain_header = {
    .flags = FRAME_FLAG_RESPONSE,
    .op = FRAME_OP_PRODUCE,
    .correlation_id = 0x01020304,
    .message_size = 5,
    .attachment_size = 7,
};

/* A frame with a message of five bytes, right in every field. */
static void plain_frame(uint8_t to[FRAME_HEADER_SIZE + 5])
{
    memcpy(to + FRAME_HEADER_SIZE, "abcde", 5);
    frame_write_header(to, &plain_header, to + FRAME_HEADER_SIZE);
}

START_TEST(header_comes_back_as_it_was_written)
{
    uint8_t frame[FRAME_HEADER_SIZE + 5];
    struct frame_header header;

    plain_frame(frame);
    ck_assert_int_eq(frame_parse_header(slice_of(frame, sizeof(frame)), FRAME_BYTES_MAX, &header), 0);
    ck_assert_uint_eq(header.flags, plain_header.flags);
    ck_assert_uint_eq(header.op, plain_header.op);
    ck_assert_uint_eq(header.correlation_id, plain_header.correlation_id);
    ck_assert_uint_eq(header.message_size, plain_header.message_size);
    ck_assert_uint_eq(header.attachment_size, plain_header.attachment_size);
    ck_assert_int_eq(frame_verify(frame, &header), 0);
}
END_TEST

START_TEST(incomplete_header_asks_for_more_and_writes_nothing)
{
    uint8_t frame[FRAME_HEADER_SIZE + 5];
    struct frame_header header;

    plain_frame(frame);
    memset(&header, 0x5a, sizeof(header));
    for (size_t size = 0; size < FRAME_HEADER_SIZE; size++)
        ck_assert_int_eq(frame_parse_header(slice_of(frame, size), FRAME_BYTES_MAX, &header), MESH_EAGAIN);
    ck_assert_uint_eq(header.correlation_id, 0x5a5a5a5a);
}
END_TEST

START_TEST(every_flipped_bit_of_header_or_message_is_noticed)
{
    uint8_t frame[FRAME_HEADER_SIZE + 5];

    for (unsigned bit = 0; bit < sizeof(frame) * 8; bit++) {
        struct frame_header header;
        int err;

        plain_frame(frame);
        frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
        err = frame_parse_header(slice_of(frame, sizeof(frame)), FRAME_BYTES_MAX, &header);
        /* A longer message would still have to arrive; it is judged when it is there. */
        if (err == 0 && header.message_size <= 5) err = frame_verify(frame, &header);
        if (err == 0) ck_assert_uint_gt(header.message_size, 5);
    }
}
END_TEST

/* One field of the plain frame overwritten. */
static const struct header_case {
    const char *what;
    int at, size;
    uint32_t value;
    uint32_t frame_bytes_max;
    int want;
} header_cases[] = {
    {"nothing changed", 5, 1, 1, FRAME_BYTES_MAX, 0},
    {"another magic", 0, 1, 'm', FRAME_BYTES_MAX, MESH_EPROTO},
    {"the last byte of the magic", 3, 1, 'h', FRAME_BYTES_MAX, MESH_EPROTO},
    {"version 0", 4, 1, 0, FRAME_BYTES_MAX, MESH_EVERSION},
    {"version 2", 4, 1, 2, FRAME_BYTES_MAX, MESH_EVERSION},
    {"a request", 5, 1, 0, FRAME_BYTES_MAX, 0},
    {"an error response", 5, 1, 3, FRAME_BYTES_MAX, 0},
    {"an error that is no response", 5, 1, 2, FRAME_BYTES_MAX, MESH_EPROTO},
    {"a flag of the future", 5, 1, 4, FRAME_BYTES_MAX, MESH_EPROTO},
    {"an unknown operation is the door's to judge", 6, 2, 0xffff, FRAME_BYTES_MAX, 0},
    {"no message", 12, 4, 0, FRAME_BYTES_MAX, 0},
    {"the longest message", 12, 4, FRAME_MESSAGE_BYTES_MAX, FRAME_BYTES_MAX, 0},
    {"a longer message", 12, 4, FRAME_MESSAGE_BYTES_MAX + 1, FRAME_BYTES_MAX, MESH_ETOOLARGE},
    {"a message of 4 GiB", 12, 4, UINT32_MAX, UINT32_MAX, MESH_ETOOLARGE},
    {"the longest attachment", 16, 4, FRAME_BYTES_MAX - 5, FRAME_BYTES_MAX, 0},
    {"a longer attachment", 16, 4, FRAME_BYTES_MAX - 4, FRAME_BYTES_MAX, MESH_ETOOLARGE},
    {"sizes whose sum wraps in 32 bits", 16, 4, UINT32_MAX, UINT32_MAX, MESH_ETOOLARGE},
    {"a frame just within a small limit", 16, 4, 7, 12, 0},
    {"a frame beyond a small limit", 16, 4, 7, 11, MESH_ETOOLARGE},
};

START_TEST(header_is_judged_before_anything_follows_it)
{
    const struct header_case *c = &header_cases[_i];
    uint8_t frame[FRAME_HEADER_SIZE + 5];
    struct frame_header header;

    plain_frame(frame);
    for (int i = 0; i < c->size; i++)
        frame[c->at + i] = (uint8_t)(c->value >> 8 * i);
    ck_assert_msg(frame_parse_header(slice_of(frame, sizeof(frame)), c->frame_bytes_max, &header) == c->want,
                  "%s", c->what);
}
END_TEST

START_TEST(message_need_not_follow_its_header)
{
    uint8_t whole[FRAME_HEADER_SIZE + 5], apart[FRAME_HEADER_SIZE];

    plain_frame(whole);
    frame_write_header(apart, &plain_header, (const uint8_t *)"abcde");
    ck_assert_mem_eq(whole, apart, FRAME_HEADER_SIZE);
}
END_TEST

START_TEST(frame_without_message_needs_no_address_for_it)
{
    struct frame_header header = {.op = FRAME_OP_PING, .correlation_id = 1};
    uint8_t frame[FRAME_HEADER_SIZE];

    frame_write_header(frame, &header, NULL);
    ck_assert_int_eq(frame_parse_header(slice_of(frame, sizeof(frame)), FRAME_BYTES_MAX, &header), 0);
    ck_assert_int_eq(frame_verify(frame, &header), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("frame");
    TCase *tcase = tcase_create("frame");

    tcase_add_test(tcase, header_comes_back_as_it_was_written);
    tcase_add_test(tcase, incomplete_header_asks_for_more_and_writes_nothing);
    tcase_add_test(tcase, every_flipped_bit_of_header_or_message_is_noticed);
    tcase_add_loop_test(tcase, header_is_judged_before_anything_follows_it, 0,
                        sizeof(header_cases) / sizeof(header_cases[0]));
    tcase_add_test(tcase, message_need_not_follow_its_header);
    tcase_add_test(tcase, frame_without_message_needs_no_address_for_it);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
