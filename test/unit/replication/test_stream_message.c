/* The bytes of a replication stream: as they have always been, read as written, refused when they are not whole. */
#include "base/error.h"
#include "replication/partition/message.h"
#include "support/run_suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define HEAD .slot = 300, .session = 7, .leader_epoch = 5

/* Never changed: a new version gets new rows. */
static const struct {
    struct stream_message message;
    const char *bytes; /* without those of DATA and MORE */
} golden[] = {
    {{.type = STREAM_ATTACH,
      HEAD,
      .topic_id = {{0xaa, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xbb}},
      .partition = 12,
      .broker_epoch = 1000,
      .generation = 9,
      .log_start = 10,
      .log_end = 500,
      .written = 400,
      .durable = 300,
      .last_epoch = 4},
     "01ac020705aa0102030405060708090a0b0c0d0ebb0ce807090af4039003ac0208"},
    {{.type = STREAM_ACK, HEAD, .written = 400, .durable = 300}, "02ac0207059003ac02"},
    {{.type = STREAM_CREDIT, .credit = 65536}, "03808004"},
    {{.type = STREAM_DETACH, HEAD, .reason = STREAM_REASON_DAMAGED}, "04ac0207050b"},
    {{.type = STREAM_DATA, HEAD, .high_watermark = 300, .log_start = 10, .size = 3, .bytes = {(const uint8_t *)"xyz", 3}},
     "10ac020705ac020a03"},
    {{.type = STREAM_MARK, HEAD, .high_watermark = 300, .log_start = 10}, "11ac020705ac020a"},
    {{.type = STREAM_DIVERGED, HEAD, .high_watermark = 300, .log_start = 10, .start_epoch = 2, .last_epoch = 3, .end_offset = 20},
     "12ac020705ac020a040614"},
    {{.type = STREAM_RESET, HEAD, .high_watermark = 300, .log_start = 10, .start_epoch = 2}, "13ac020705ac020a04"},
    {{.type = STREAM_RESET, HEAD, .high_watermark = 300, .log_start = 10, .start_epoch = -1}, "13ac020705ac020a01"},
    {{.type = STREAM_REJECT, HEAD, .reason = STREAM_REASON_NOT_LEADER}, "14ac02070503"},
    {{.type = STREAM_MORE, .slot = 300, .session = 7, .bytes = {(const uint8_t *)"xyz", 3}}, "15ac020703"},
};
#define GOLDEN_COUNT (sizeof(golden) / sizeof(golden[0]))

static void encode(const struct stream_message *message, struct buffer *to)
{
    ck_assert_int_eq(stream_packet_begin(to), 0);
    ck_assert_int_eq(stream_message_encode(message, to), 0);
    ck_assert_int_eq(buffer_append(to, message->bytes.data, message->bytes.size), 0);
}

START_TEST(bytes_are_as_they_have_always_been)
{
    struct buffer bytes = BUFFER_INIT;
    char text[256] = "";

    encode(&golden[_i].message, &bytes);
    ck_assert_uint_eq(bytes.data[0], 2);
    for (size_t i = 1; i < bytes.size - golden[_i].message.bytes.size; i++)
        snprintf(text + 2 * (i - 1), 3, "%02x", bytes.data[i]);
    ck_assert_str_eq(text, golden[_i].bytes);
    buffer_deinit(&bytes);
}
END_TEST

START_TEST(what_was_written_is_read)
{
    const struct stream_message *want = &golden[_i].message;
    struct buffer bytes = BUFFER_INIT;
    struct codec_reader reader;
    struct stream_message got;
    struct slice data;

    encode(want, &bytes);
    ck_assert_int_eq(stream_packet_open(buffer_slice(&bytes), &reader), 0);
    ck_assert_int_eq(stream_message_next(&reader, &got), 1);
    data = got.bytes;
    ck_assert(slice_equal(data, want->bytes));
    got.bytes = want->bytes; /* the only pointer */
    ck_assert_int_eq(memcmp(&got, want, sizeof(got)), 0);
    ck_assert_int_eq(stream_message_next(&reader, &got), 0);
    buffer_deinit(&bytes);
}
END_TEST

/* Reads a whole packet from memory of exactly its size, so that a sanitizer sees a read beyond it. */
static int read_all(struct slice packet)
{
    uint8_t *exact = malloc(packet.size + 1);
    struct stream_message message;
    struct codec_reader reader;
    int err;

    ck_assert_ptr_nonnull(exact);
    if (packet.size != 0) memcpy(exact + 1, packet.data, packet.size);
    err = stream_packet_open(slice_of(exact + 1, packet.size), &reader);
    if (err == 0) {
        do
            err = stream_message_next(&reader, &message);
        while (err == 1);
    }
    free(exact);
    return err;
}

START_TEST(what_is_cut_is_refused)
{
    const struct stream_message *message = &golden[_i].message;
    struct buffer bytes = BUFFER_INIT;

    encode(message, &bytes);
    ck_assert_int_eq(read_all(slice_of(bytes.data, 0)), MESH_EPROTO);
    for (size_t size = 2; size < bytes.size; size++) {
        bool is_begun_data = message->type == STREAM_DATA && size >= bytes.size - message->bytes.size;
        ck_assert_int_eq(read_all(slice_of(bytes.data, size)), is_begun_data ? 0 : MESH_EPROTO);
    }
    for (int version = 0; version <= 3; version++) {
        bytes.data[0] = (uint8_t)version;
        if (version != STREAM_PACKET_VERSION) ck_assert_int_eq(read_all(buffer_slice(&bytes)), MESH_EVERSION);
    }
    buffer_deinit(&bytes);
}
END_TEST

/* One field out of its bounds, or against another one. */
static const struct stream_message nonsense[] = {
    {.type = (enum stream_message_type)5, HEAD},
    {.type = STREAM_ACK, .slot = 1, .session = 0, .leader_epoch = 1},
    {.type = STREAM_ACK, HEAD, .written = 3, .durable = 4},
    {.type = STREAM_ACK, HEAD, .written = STREAM_OFFSET_MAX + 1, .durable = 4},
    {.type = STREAM_ACK, .slot = 1, .session = 1, .leader_epoch = -1},
    {.type = STREAM_CREDIT, .credit = 0},
    {.type = STREAM_DETACH, HEAD, .reason = STREAM_REASON_NONE},
    {.type = STREAM_REJECT, HEAD, .reason = STREAM_REASON_COUNT},
    {.type = STREAM_MARK, HEAD, .high_watermark = 3, .log_start = 4},
    {.type = STREAM_DATA, HEAD, .high_watermark = 3, .log_start = 3, .size = 0},
    {.type = STREAM_DATA, HEAD, .high_watermark = 3, .log_start = 3, .size = STREAM_DATA_MAX + 1},
    {.type = STREAM_MORE, .slot = 1, .session = 1},
    {.type = STREAM_DIVERGED, HEAD, .start_epoch = -1, .last_epoch = 6},
    {.type = STREAM_DIVERGED, HEAD, .start_epoch = -1, .last_epoch = -1},
    {.type = STREAM_DIVERGED, HEAD, .high_watermark = 3, .log_start = 3, .start_epoch = 6, .last_epoch = 3},
    {.type = STREAM_RESET, HEAD, .high_watermark = 3, .log_start = 3, .start_epoch = 6},
    {.type = STREAM_RESET, HEAD, .high_watermark = 3, .log_start = 3, .start_epoch = -2},
    {.type = STREAM_RESET, HEAD, .high_watermark = 3, .log_start = 0, .start_epoch = 2},
    {.type = STREAM_ATTACH, HEAD, .log_start = 5, .log_end = 4, .last_epoch = -1},
    {.type = STREAM_ATTACH, HEAD, .log_end = 4, .written = 5, .last_epoch = -1},
    {.type = STREAM_ATTACH, HEAD, .log_end = 4, .written = 3, .durable = 4, .last_epoch = -1},
    {.type = STREAM_ATTACH, HEAD, .log_end = 4, .last_epoch = 6},
};

START_TEST(nonsense_is_refused)
{
    struct buffer bytes = BUFFER_INIT;

    encode(&nonsense[_i], &bytes);
    ck_assert_int_eq(read_all(buffer_slice(&bytes)), MESH_EPROTO);
    buffer_deinit(&bytes);
}
END_TEST

START_TEST(many_messages_share_a_packet)
{
    struct buffer bytes = BUFFER_INIT;
    struct stream_message message;
    struct codec_reader reader;

    ck_assert_int_eq(stream_packet_begin(&bytes), 0);
    for (size_t i = 0; i < GOLDEN_COUNT; i++) {
        ck_assert_int_eq(stream_message_encode(&golden[i].message, &bytes), 0);
        ck_assert_int_eq(buffer_append(&bytes, golden[i].message.bytes.data, golden[i].message.bytes.size), 0);
    }
    ck_assert_int_eq(stream_packet_open(buffer_slice(&bytes), &reader), 0);
    for (size_t i = 0; i < GOLDEN_COUNT; i++) {
        ck_assert_int_eq(stream_message_next(&reader, &message), 1);
        ck_assert_int_eq(message.type, golden[i].message.type);
    }
    ck_assert_int_eq(stream_message_next(&reader, &message), 0);
    buffer_deinit(&bytes);
}
END_TEST

START_TEST(every_reason_has_a_sentence)
{
    for (int reason = 0; reason <= STREAM_REASON_COUNT; reason++)
        ck_assert_uint_gt(strlen(stream_reason_text((enum stream_reason)reason)), 5);
}
END_TEST

static Suite *suite_new(void)
{
    Suite *suite = suite_create("stream message");
    TCase *tcase = tcase_create("bytes");

    suite_add_tcase(suite, tcase);
    tcase_add_loop_test(tcase, bytes_are_as_they_have_always_been, 0, GOLDEN_COUNT);
    tcase_add_loop_test(tcase, what_was_written_is_read, 0, GOLDEN_COUNT);
    tcase_add_loop_test(tcase, what_is_cut_is_refused, 0, GOLDEN_COUNT);
    tcase_add_loop_test(tcase, nonsense_is_refused, 0, sizeof(nonsense) / sizeof(nonsense[0]));
    tcase_add_test(tcase, many_messages_share_a_packet);
    tcase_add_test(tcase, every_reason_has_a_sentence);
    return suite;
}

int main(void)
{
    return run_suite(suite_new());
}
