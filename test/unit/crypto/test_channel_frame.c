/* Frames of an open channel, under each cipher. */
#include "base/bytes.h"
#include "base/error.h"
#include "channel_rig.h"
#include "hex.h"
#include "support/run_suite.h"

#include <stdlib.h>

static struct rig rig;
static struct channel_frame frame;

/* Loop tests, one for each. */
static const struct {
    uint8_t ciphers;
    const char *golden;
} cases[] = {{0, "frame_xchacha20"}, {CHANNEL_AES256_GCM, "frame_aes"}, {CHANNEL_AES128_GCM, "frame_aes128"}};
#define CASE_COUNT ((int)(sizeof cases / sizeof cases[0]))

static bool open_with(int which)
{
    if ((cases[which].ciphers & ~channel_ciphers_here()) != 0) return false;
    rig_init(&rig);
    rig.options[INITIATOR].ciphers = rig.options[RESPONDER].ciphers = cases[which].ciphers;
    rig_start(&rig);
    ck_assert_int_eq(rig_run(&rig, 3), CHANNEL_OPEN);
    return true;
}

static int open_copy(enum rig_end end, const uint8_t *bytes, size_t size)
{
    uint8_t *exact = malloc(size == 0 ? 1 : size); /* for the sanitizers */
    int err;

    if (size != 0) memcpy(exact, bytes, size);
    err = channel_open(rig.channels[end], exact, size, &frame);
    free(exact);
    return err;
}

START_TEST(frames_go_both_ways_from_anywhere_and_in_place)
{
    uint8_t bytes[256];

    if (!open_with(_i)) return;
    for (int round = 0; round < 50; round++) {
        for (int from = 0; from < 2; from++) {
            uint8_t text[100];
            size_t size = (size_t)round * 2;

            memset(text, round + from, sizeof text);
            if (round % 2 == 0) {
                ck_assert_int_eq(channel_seal(rig.channels[from], (uint8_t)(round * 5), slice_of(text, size), bytes), 0);
            } else {
                memcpy(bytes + CHANNEL_FRAME_HEADER_SIZE, text, size);
                ck_assert_int_eq(channel_seal(rig.channels[from], (uint8_t)(round * 5),
                                              slice_of(bytes + CHANNEL_FRAME_HEADER_SIZE, size), bytes),
                                 0);
            }
            ck_assert_int_eq(channel_open(rig.channels[1 - from], bytes, sizeof bytes, &frame), 0);
            ck_assert_uint_eq(frame.type, (uint8_t)(round * 5));
            ck_assert_uint_eq(frame.used, size + CHANNEL_FRAME_OVERHEAD);
            ck_assert(slice_equal(frame.payload, slice_of(text, size)));
        }
    }
    rig_deinit(&rig);
}
END_TEST

START_TEST(a_payload_in_pieces_is_the_same_frame)
{
    uint8_t text[1000], bytes[1000 + CHANNEL_FRAME_OVERHEAD];

    if (!open_with(_i)) return;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (uint8_t)(i * 7);
    for (size_t cut = 0; cut <= 40; cut++) {
        const struct slice pieces[] = {{text, cut}, {text + cut, 0}, {text + cut, 17 * cut}, {text + 18 * cut, sizeof text - 18 * cut}};

        ck_assert_int_eq(channel_seal_pieces(rig.channels[INITIATOR], 9, pieces, 4, bytes), 0);
        ck_assert_int_eq(channel_open(rig.channels[RESPONDER], bytes, sizeof bytes, &frame), 0);
        ck_assert(slice_equal(frame.payload, slice_of(text, sizeof text)));
    }
    ck_assert_int_eq(channel_seal_pieces(rig.channels[INITIATOR], 9, NULL, 0, bytes), 0);
    ck_assert_int_eq(channel_open(rig.channels[RESPONDER], bytes, CHANNEL_FRAME_OVERHEAD, &frame), 0);
    ck_assert_uint_eq(frame.payload.size, 0);
    rig_deinit(&rig);
}
END_TEST

START_TEST(golden_bytes_stay)
{
    uint8_t bytes[64];

    if (!open_with(_i)) return;
    ck_assert_int_eq(channel_seal(rig.channels[INITIATOR], 5, slice_of_string("hello"), bytes), 0);
    assert_golden(bytes, 5 + CHANNEL_FRAME_OVERHEAD, cases[_i].golden);
    rig_deinit(&rig);
}
END_TEST

START_TEST(a_changed_bit_ends_the_channel)
{
    uint8_t bytes[19 + CHANNEL_FRAME_OVERHEAD];

    for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
        int err;

        if (!open_with(_i)) return;
        ck_assert_int_eq(channel_seal(rig.channels[RESPONDER], 5, slice_of_string("nineteen characters"), bytes), 0);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        err = open_copy(INITIATOR, bytes, sizeof bytes);
        if (err == MESH_EAGAIN) { /* it claims to be longer; whatever follows, it is not taken */
            uint8_t more[1 << 17] = {0};
            ck_assert_uint_lt(bit / 8, 4);
            memcpy(more, bytes, sizeof bytes);
            err = open_copy(INITIATOR, more, sizeof more);
            if (err == MESH_EAGAIN) {
                rig_deinit(&rig);
                continue;
            }
        }
        ck_assert(err == MESH_ECORRUPT || (err == MESH_ETOOLARGE && bit / 8 == 3) || (err == MESH_EPROTO && bit / 8 >= 5 && bit / 8 < 8));
        ck_assert_int_eq(channel_state(rig.channels[INITIATOR]), CHANNEL_FAILED);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        ck_assert_int_eq(open_copy(INITIATOR, bytes, sizeof bytes), MESH_ECLOSED); /* for good */
        rig_deinit(&rig);
    }
}
END_TEST

START_TEST(a_part_of_a_frame_waits_for_the_rest)
{
    uint8_t bytes[5 + CHANNEL_FRAME_OVERHEAD];
    size_t size = 1;

    if (!open_with(_i)) return;
    ck_assert_int_eq(channel_seal(rig.channels[INITIATOR], 5, slice_of_string("hello"), bytes), 0);
    for (size_t cut = 0; cut < sizeof bytes; cut++) {
        ck_assert_int_eq(open_copy(RESPONDER, bytes, cut), MESH_EAGAIN);
        ck_assert_int_eq(channel_frame_size(rig.channels[RESPONDER], slice_of(bytes, cut), &size), 0);
        ck_assert_uint_eq(size, cut < CHANNEL_FRAME_HEADER_SIZE ? 0 : sizeof bytes);
    }
    ck_assert_int_eq(open_copy(RESPONDER, bytes, sizeof bytes), 0);
    rig_deinit(&rig);
}
END_TEST

/* Repeated, left out, swapped, or sent back to where it came from. */
START_TEST(frames_out_of_order_end_the_channel)
{
    uint8_t frames[2][1 + CHANNEL_FRAME_OVERHEAD];

    for (int how = 0; how < 3; how++) {
        if (!open_with(_i)) return;
        for (int i = 0; i < 2; i++)
            ck_assert_int_eq(channel_seal(rig.channels[INITIATOR], 5, slice_of_string("x"), frames[i]), 0);
        if (how == 0) {
            ck_assert_int_eq(open_copy(RESPONDER, frames[0], sizeof frames[0]), 0);
            ck_assert_int_eq(open_copy(RESPONDER, frames[0], sizeof frames[0]), MESH_ECORRUPT);
        } else if (how == 1) {
            ck_assert_int_eq(open_copy(RESPONDER, frames[1], sizeof frames[1]), MESH_ECORRUPT);
        } else {
            ck_assert_int_eq(open_copy(INITIATOR, frames[0], sizeof frames[0]), MESH_ECORRUPT);
        }
        rig_deinit(&rig);
    }
}
END_TEST

START_TEST(lengths_are_bounded_before_anything_is_kept)
{
    uint8_t header[CHANNEL_FRAME_HEADER_SIZE] = {0}, *large = malloc(CHANNEL_PAYLOAD_MAX + 1 + CHANNEL_FRAME_OVERHEAD);
    size_t size;

    rig_init(&rig);
    rig.options[RESPONDER].payload_max = 1000;
    rig_start(&rig);
    ck_assert_int_eq(rig_run(&rig, 3), CHANNEL_OPEN);
    memset(large, 1, CHANNEL_PAYLOAD_MAX);
    ck_assert_int_eq(channel_seal(rig.channels[INITIATOR], 1, slice_of(large, CHANNEL_PAYLOAD_MAX + 1), large), MESH_ETOOLARGE);
    le_store32(header, 1000);
    ck_assert_int_eq(channel_frame_size(rig.channels[RESPONDER], slice_of(header, sizeof header), &size), 0);
    le_store32(header, 1001);
    ck_assert_int_eq(channel_frame_size(rig.channels[RESPONDER], slice_of(header, sizeof header), &size), MESH_ETOOLARGE);
    ck_assert_int_eq(rig_failure(&rig, RESPONDER), CHANNEL_FAILURE_TOO_LARGE);
    ck_assert_int_eq(channel_seal(rig.channels[RESPONDER], 1, slice_of(large + CHANNEL_FRAME_HEADER_SIZE, CHANNEL_PAYLOAD_MAX),
                                  large),
                     0);
    ck_assert_int_eq(channel_open(rig.channels[INITIATOR], large, CHANNEL_PAYLOAD_MAX + CHANNEL_FRAME_OVERHEAD, &frame), 0);
    ck_assert_uint_eq(frame.payload.data[CHANNEL_PAYLOAD_MAX - 9], 1);
    free(large);
    rig_deinit(&rig);
}
END_TEST

/* A key is replaced after 2^20 frames; a copy of the old key's frame is then worthless. */
START_TEST(the_key_changes_with_the_count_of_frames)
{
    uint8_t bytes[CHANNEL_FRAME_OVERHEAD];

    if (!open_with(_i)) return;
    for (uint32_t i = 0; i < (1u << 20) + 3; i++) {
        if (channel_seal(rig.channels[INITIATOR], 1, slice_of(NULL, 0), bytes) != 0 ||
            channel_open(rig.channels[RESPONDER], bytes, sizeof bytes, &frame) != 0)
            ck_abort_msg("frame %u", i);
    }
    rig_deinit(&rig);
}
END_TEST

START_TEST(nothing_is_sealed_or_opened_before_the_handshake)
{
    uint8_t bytes[CHANNEL_FRAME_OVERHEAD] = {0};
    size_t size;

    rig_init(&rig);
    rig_start(&rig);
    ck_assert_int_eq(channel_seal(rig.channels[INITIATOR], 1, slice_of(NULL, 0), bytes), MESH_ECLOSED);
    ck_assert_int_eq(channel_open(rig.channels[INITIATOR], bytes, sizeof bytes, &frame), MESH_ECLOSED);
    ck_assert_int_eq(channel_frame_size(rig.channels[INITIATOR], slice_of(bytes, sizeof bytes), &size), MESH_ECLOSED);
    rig_deinit(&rig);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("channel frames");
    TCase *tcase = tcase_create("frames");

    crypto_init();
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, frames_go_both_ways_from_anywhere_and_in_place, 0, CASE_COUNT);
    tcase_add_loop_test(tcase, a_payload_in_pieces_is_the_same_frame, 0, CASE_COUNT);
    tcase_add_loop_test(tcase, golden_bytes_stay, 0, CASE_COUNT);
    tcase_add_loop_test(tcase, a_changed_bit_ends_the_channel, 0, CASE_COUNT);
    tcase_add_loop_test(tcase, a_part_of_a_frame_waits_for_the_rest, 0, CASE_COUNT);
    tcase_add_loop_test(tcase, frames_out_of_order_end_the_channel, 0, CASE_COUNT);
    tcase_add_test(tcase, lengths_are_bounded_before_anything_is_kept);
    tcase_add_loop_test(tcase, the_key_changes_with_the_count_of_frames, 0, CASE_COUNT);
    tcase_add_test(tcase, nothing_is_sealed_or_opened_before_the_handshake);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
