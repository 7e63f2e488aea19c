/* Packets and messages as bytes: what is written is read again, what cannot be is refused as a whole. */
#include "base/bytes.h"
#include "base/error.h"
#include "gossip/codec.h"
#include "support/run_suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static uint8_t room[4096];
static struct item_writer writer;

static void setup(void)
{
    codec_start(&writer, room, sizeof(room));
}

static struct uuid id_of(uint8_t n)
{
    struct uuid id;

    memset(id.bytes, n, sizeof(id.bytes));
    return id;
}

static struct gossip_self some_self(void)
{
    struct gossip_self self = {.id = id_of(1),
                               .dir_id = id_of(2),
                               .incarnation = 0x0000000500000007,
                               .address = {{[10] = 0xff, [11] = 0xff, 10, 0, 0, 1}, 9092},
                               .client_port = 9094,
                               .name = "alpha",
                               .zone = "z1",
                               .host = "alpha.example"};

    memset(self.public_key, 0x33, sizeof(self.public_key));
    return self;
}

static struct item only_item(void)
{
    struct item_reader reader;
    struct item item;

    ck_assert_int_eq(codec_open(codec_bytes(&writer), &reader), 0);
    ck_assert_int_eq(codec_next(&reader, &item), 1);
    ck_assert_ptr_eq(reader.at, reader.end);
    return item;
}

START_TEST(pings_and_answers_come_back)
{
    struct uuid target = id_of(9);
    struct item item;

    ck_assert(codec_put_ping(&writer, 0xdeadbeef, &target));
    ck_assert_uint_eq(codec_bytes(&writer).size, 23); /* PROTOCOL.md; idle cost depends on it */
    item = only_item();
    ck_assert_uint_eq(item.ping.seq, 0xdeadbeef);
    ck_assert(uuid_equal(&item.ping.target, &target));
    setup();
    ck_assert(codec_put_seq(&writer, ITEM_ACK, 7));
    ck_assert_uint_eq(codec_bytes(&writer).size, 7);
    item = only_item();
    ck_assert_uint_eq(item.type, ITEM_ACK);
    ck_assert_uint_eq(item.seq, 7);
}
END_TEST

START_TEST(a_self_comes_back)
{
    struct gossip_self self = some_self(), read;
    uint8_t raw[CODEC_SELF_MAX], signature[GOSSIP_SIGNATURE] = {1, 2, 3};
    struct item item;

    ck_assert(codec_put_alive(&writer, slice_of(raw, codec_self_encode(&self, raw)), signature));
    item = only_item();
    ck_assert_mem_eq(item.alive.signature, signature, sizeof(signature));
    ck_assert_uint_eq(item.alive.incarnation, self.incarnation);
    ck_assert_int_eq(codec_self_decode(item.alive.raw, &read), 0);
    ck_assert(uuid_equal(&read.dir_id, &self.dir_id));
    ck_assert(net_address_equal(&read.address, &self.address));
    ck_assert_uint_eq(read.client_port, 9094);
    ck_assert_str_eq(read.name, "alpha");
    ck_assert_str_eq(read.zone, "z1");
    ck_assert_str_eq(read.host, "alpha.example");
    ck_assert_mem_eq(read.public_key, self.public_key, sizeof(read.public_key));
}
END_TEST

START_TEST(what_later_versions_add_to_a_self_is_kept_and_skipped)
{
    struct gossip_self self = some_self(), read;
    uint8_t raw[CODEC_SELF_MAX], signature[GOSSIP_SIGNATURE] = {0};
    size_t size = codec_self_encode(&self, raw);
    struct item item;

    memcpy(raw + size, "later", 5);
    ck_assert(codec_put_alive(&writer, slice_of(raw, size + 5), signature));
    item = only_item();
    ck_assert_uint_eq(item.alive.raw.size, size + 5);
    ck_assert_int_eq(codec_self_decode(item.alive.raw, &read), 0);
}
END_TEST

START_TEST(control_characters_in_a_name_are_refused)
{
    struct gossip_self self = some_self(), read;
    uint8_t raw[CODEC_SELF_MAX];

    self.name[2] = '\x1b';
    ck_assert_int_eq(codec_self_decode(slice_of(raw, codec_self_encode(&self, raw)), &read), MESH_EPROTO);
}
END_TEST

START_TEST(unknown_items_and_longer_bodies_are_skipped)
{
    struct item_reader reader;
    struct item item;

    *writer.at++ = 200;
    *writer.at++ = 3;
    writer.at += 3;
    *writer.at++ = ITEM_ACK;
    *writer.at++ = 6; /* two bytes more than we know */
    le_store32(writer.at, 77);
    writer.at += 6;
    ck_assert_int_eq(codec_open(codec_bytes(&writer), &reader), 0);
    ck_assert_int_eq(codec_next(&reader, &item), 1);
    ck_assert_uint_eq(item.seq, 77);
    ck_assert_int_eq(codec_next(&reader, &item), 0);
}
END_TEST

START_TEST(another_version_is_refused)
{
    struct item_reader reader;

    room[0] = CODEC_VERSION + 1;
    ck_assert_int_eq(codec_open(codec_bytes(&writer), &reader), MESH_EVERSION);
    ck_assert_int_eq(codec_open(slice_of(NULL, 0), &reader), MESH_EPROTO);
}
END_TEST

/* One of each item, so that every body is cut and stretched. */
static void put_everything(void)
{
    struct uuid ids[3] = {id_of(4), id_of(5), id_of(6)};
    struct gossip_self self = some_self();
    uint8_t raw[CODEC_SELF_MAX], signature[GOSSIP_SIGNATURE] = {0};
    struct soft_writer soft;
    struct soft_summary summary = {ids[0], 1, 2, 3};
    struct item_soft head = {.origin = ids[0], .boot = 1, .from = 4, .to = 9};

    codec_put_ping(&writer, 1, &ids[0]);
    codec_put_ping_req(&writer, 1, 400, &ids[0], &self.address);
    codec_put_seq(&writer, ITEM_NACK, 2);
    codec_put_frontier(&writer, &(struct gossip_frontier){3, 1000000, 0x1234567890abcdef});
    codec_put_digest(&writer, 1, 2);
    codec_put_alive(&writer, slice_of(raw, codec_self_encode(&self, raw)), signature);
    codec_put_accusation(&writer, ITEM_SUSPECT, &ids[0], 5, 0, ids, 3);
    codec_put_accusation(&writer, ITEM_DEAD, &ids[0], 5, 3600, ids, 1);
    codec_put_left(&writer, &ids[0], 5, 3600, signature);
    codec_put_gone(&writer, &ids[0], 5);
    codec_put_who(&writer);
    codec_put_observed(&writer, &self.address);
    codec_put_serial(&writer, ITEM_MAIL, 99);
    codec_put_sync(&writer, true);
    ck_assert(codec_soft_begin(&writer, &soft));
    ck_assert(codec_soft_put(&soft, &(struct soft_change){6, false, slice_of_string("key"), slice_of_string("value")}));
    ck_assert(codec_soft_put(&soft, &(struct soft_change){9, true, slice_of_string("gone"), slice_of(NULL, 0)}));
    codec_soft_end(&soft, &head);
    codec_summary_put(codec_put_summaries(&writer, 1), &summary);
}

static int read_all(struct slice bytes, unsigned *ret_count)
{
    struct item_reader reader;
    struct item item;
    int more = codec_open(bytes, &reader);

    *ret_count = 0;
    if (more != 0) return more;
    while ((more = codec_next(&reader, &item)) > 0)
        ++*ret_count;
    return more;
}

START_TEST(every_cut_is_noticed_or_ends_between_items)
{
    struct slice all;
    unsigned count, whole = 0;

    put_everything();
    all = codec_bytes(&writer);
    ck_assert_int_eq(read_all(all, &count), 0);
    ck_assert_uint_eq(count, 16);
    for (size_t size = 1; size < all.size; size++) {
        uint8_t *copy = malloc(size);
        ck_assert_ptr_nonnull(copy);
        memcpy(copy, all.data, size);
        whole += read_all(slice_of(copy, size), &count) == 0;
        free(copy);
    }
    ck_assert_uint_eq(whole, 16);
}
END_TEST

START_TEST(no_length_leads_outside)
{
    unsigned count;

    put_everything();
    for (size_t at = 1; at < codec_bytes(&writer).size; at++) {
        uint8_t kept = room[at], *copy;
        for (int value = 0; value < 256; value++) {
            room[at] = (uint8_t)value;
            copy = malloc(codec_bytes(&writer).size);
            ck_assert_ptr_nonnull(copy);
            memcpy(copy, room, codec_bytes(&writer).size);
            (void)read_all(slice_of(copy, codec_bytes(&writer).size), &count);
            free(copy);
        }
        room[at] = kept;
    }
}
END_TEST

START_TEST(what_does_not_fit_is_not_begun)
{
    uint8_t small[64];
    struct uuid id = id_of(1);

    for (size_t size = 1; size < 24; size++) {
        struct slice bytes;
        unsigned count;
        codec_start(&writer, small, size);
        ck_assert(codec_put_ping(&writer, 1, &id) == (size >= 23));
        bytes = codec_bytes(&writer);
        ck_assert_uint_le(bytes.size, size);
        ck_assert_int_eq(read_all(bytes, &count), 0);
    }
}
END_TEST

START_TEST(soft_changes_must_rise)
{
    struct item_soft head = {.origin = id_of(1), .boot = 1, .from = 4, .to = 9};
    struct soft_writer soft;
    unsigned count;

    ck_assert(codec_soft_begin(&writer, &soft));
    ck_assert(codec_soft_put(&soft, &(struct soft_change){7, false, slice_of_string("a"), slice_of_string("1")}));
    ck_assert(codec_soft_put(&soft, &(struct soft_change){7, false, slice_of_string("b"), slice_of_string("2")}));
    codec_soft_end(&soft, &head);
    ck_assert_int_eq(read_all(codec_bytes(&writer), &count), MESH_EPROTO);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gossip codec");
    TCase *tcase = tcase_create("codec");

    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, pings_and_answers_come_back);
    tcase_add_test(tcase, a_self_comes_back);
    tcase_add_test(tcase, what_later_versions_add_to_a_self_is_kept_and_skipped);
    tcase_add_test(tcase, control_characters_in_a_name_are_refused);
    tcase_add_test(tcase, unknown_items_and_longer_bodies_are_skipped);
    tcase_add_test(tcase, another_version_is_refused);
    tcase_add_test(tcase, every_cut_is_noticed_or_ends_between_items);
    tcase_add_test(tcase, no_length_leads_outside);
    tcase_add_test(tcase, what_does_not_fit_is_not_begun);
    tcase_add_test(tcase, soft_changes_must_rise);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
