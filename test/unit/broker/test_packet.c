/* A packet to a follower: messages and batches come out in the order in which they went in, wherever they lay. */
#include "cmd/broker/replicas/packet.h"

#include "base/error.h"
#include "replication/partition/message.h"
#include "support/fs_mem.h"
#include "support/run_suite.h"

#include <string.h>
#include <sys/uio.h>

static struct packet packet;
static uint8_t memory[100000];
static bool is_cold;

static bool is_resident(const struct fs_file *file, uint64_t position, size_t size)
{
    (void)file;
    (void)position;
    (void)size;
    return !is_cold;
}

static void setup(void)
{
    for (size_t i = 0; i < sizeof(memory); i++)
        memory[i] = (uint8_t)(i * 31 >> 3);
    is_cold = false;
    packet_init(&packet);
    ck_assert_int_eq(packet_begin(&packet), 0);
}

static void teardown(void)
{
    packet_deinit(&packet);
}

/* Extents of so many bytes, one after the other. */
static struct plog_view view_of(uint32_t from, uint32_t count, uint32_t size)
{
    struct plog_view view = {.extent_count = count, .size = count * size, .next_offset = 7};

    for (uint32_t i = 0; i < count; i++)
        view.extents[i] = (struct plog_extent){.memory = memory + from + i * size, .size = size};
    return view;
}

static void say(const char *text)
{
    ck_assert_int_eq(buffer_append_string(&packet.heads, text), 0);
}

static void gather(struct plog_view view, struct packet_batches *batches)
{
    struct plog_extent missing;

    ck_assert_int_eq(packet_gather(&packet, &view, is_resident, batches, &missing), 0);
}

/* All bytes of the packet behind its version. */
static struct slice joined(void)
{
    static uint8_t bytes[2 * sizeof(memory)];
    struct slice pieces[PACKET_PARTS_MAX];
    size_t size = 0, count = packet_pieces(&packet, pieces);

    for (size_t i = 0; i < count; i++) {
        memcpy(bytes + size, pieces[i].data, pieces[i].size);
        size += pieces[i].size;
    }
    ck_assert_uint_eq(size, packet_size(&packet));
    return slice_of(bytes + 1, size - 1);
}

START_TEST(order_is_kept_and_long_batches_stay_where_they_are)
{
    struct packet_batches batches;
    struct slice pieces[PACKET_PARTS_MAX], all;

    setup();
    say("first");
    gather(view_of(0, 3, 10000), &batches);
    ck_assert_uint_eq(batches.next_offset, 7);
    say("head"); /* made when the size is known */
    ck_assert_int_eq(packet_put(&packet, &batches, SIZE_MAX), 0);
    gather(view_of(40000, 2, 10), &batches);
    say("short");
    ck_assert_int_eq(packet_put(&packet, &batches, SIZE_MAX), 0);
    ck_assert_uint_eq(packet.view_count, 1); /* the short ones were copied, and their view is free */
    say("last");
    ck_assert_uint_eq(packet_pieces(&packet, pieces), 5);
    ck_assert_ptr_eq(pieces[1].data, memory);
    all = joined();
    ck_assert_uint_eq(all.size, 5 + 4 + 30000 + 5 + 20 + 4);
    ck_assert(slice_equal(slice_of(all.data, 9), slice_of_string("firsthead")));
    ck_assert_int_eq(memcmp(all.data + 9, memory, 30000), 0);
    ck_assert(slice_equal(slice_of(all.data + 30009, 5), slice_of_string("short")));
    ck_assert_int_eq(memcmp(all.data + 30014, memory + 40000, 20), 0);
    ck_assert(slice_equal(slice_of(all.data + 30034, 4), slice_of_string("last")));
    teardown();
}
END_TEST

START_TEST(what_does_not_fit_goes_on_in_another_packet)
{
    struct packet_batches batches;
    size_t at = 0;

    setup();
    gather(view_of(0, 5, 7000), &batches);
    say("head");
    while (batches.size > 0) {
        struct slice all;

        ck_assert_int_eq(packet_put(&packet, &batches, 9999), 0);
        all = joined();
        ck_assert_uint_eq(all.size, 4 + (at + 9999 <= 35000 ? 9999 : 35000 - at));
        ck_assert_int_eq(memcmp(all.data + 4, memory + at, all.size - 4), 0);
        at += all.size - 4;
        ck_assert_int_eq(packet_continue(&packet), 0);
        say("more");
    }
    ck_assert_uint_eq(at, 35000);
    teardown();
}
END_TEST

START_TEST(views_and_parts_are_bounded)
{
    struct packet_batches batches;
    uint32_t count = 0;

    setup();
    for (; packet_has_room(&packet); count++) {
        gather(view_of(0, PLOG_VIEW_EXTENTS_MAX, 100), &batches);
        say("head");
        ck_assert_int_eq(packet_put(&packet, &batches, SIZE_MAX), 0);
    }
    say("last");
    ck_assert_uint_ge(count, 2);
    ck_assert_uint_le(count, PACKET_VIEWS_MAX);
    ck_assert_uint_eq(joined().size, count * (4 + 100 * PLOG_VIEW_EXTENTS_MAX) + 4);
    teardown();
}
END_TEST

START_TEST(files_are_read_and_what_is_not_in_memory_is_named)
{
    struct fs_mem *disk = fs_mem_new(1);
    struct fs *fs = fs_mem_fs(disk);
    struct fs_file *file;
    struct packet_batches batches;
    struct plog_extent missing = {0};
    struct plog_view view = {.extent_count = 2, .size = 9000};
    struct slice all;

    setup();
    ck_assert_int_eq(fs->ops->open(fs, "log", FS_WRITE | FS_CREATE, &file), 0);
    ck_assert_int_eq(file->fs->ops->write(file, &(struct iovec){memory, 8000}, 1, 0), 0);
    view.extents[0] = (struct plog_extent){.memory = memory + 50000, .size = 4000};
    view.extents[1] = (struct plog_extent){.file = fs_ref(file), .position = 1000, .size = 5000};
    gather(view, &batches);
    say("head");
    ck_assert_int_eq(packet_put(&packet, &batches, SIZE_MAX), 0);
    all = joined();
    ck_assert_int_eq(memcmp(all.data + 4, memory + 50000, 4000), 0);
    ck_assert_int_eq(memcmp(all.data + 4004, memory + 1000, 5000), 0);

    is_cold = true;
    view.extents[1] = (struct plog_extent){.file = fs_ref(file), .position = 1000, .size = 5000};
    view.extent_count = 2;
    view.size = 9000;
    ck_assert_int_eq(packet_gather(&packet, &view, is_resident, &batches, &missing), MESH_EAGAIN);
    ck_assert_ptr_eq(missing.file, file);
    ck_assert_uint_eq(packet.view_count, 1);
    fs_unref(missing.file);

    is_cold = false; /* a file that is shorter than the log believes */
    view = (struct plog_view){.extent_count = 1, .size = 5000, .extents = {{.file = fs_ref(file), .position = 7000, .size = 5000}}};
    ck_assert_int_eq(packet_gather(&packet, &view, is_resident, &batches, &missing), MESH_ECORRUPT);
    teardown();
    fs_unref(file);
    fs_mem_free(disk);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("packet");
    TCase *tcase = tcase_create("packet");

    tcase_add_test(tcase, order_is_kept_and_long_batches_stay_where_they_are);
    tcase_add_test(tcase, what_does_not_fit_goes_on_in_another_packet);
    tcase_add_test(tcase, views_and_parts_are_bounded);
    tcase_add_test(tcase, files_are_read_and_what_is_not_in_memory_is_named);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
