/* Durable writes without a thread: what the queue takes, what it refuses, and what it says at the end. */
#include "base/error.h"
#include "segment/sync_queue.h"
#include "support/fs_mem.h"
#include "support/run_suite.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_BYTES (16u * FS_BLOCK_SIZE)

static char root[64], path[96];
static struct fs *fs;
static struct fs_file *file;
static struct sync_queue *queue;
static uint8_t *block;

static void set_up(void)
{
    struct iovec iov;

    snprintf(root, sizeof(root), "/tmp/mesh-test-sync-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
    snprintf(path, sizeof(path), "%s/file", root);
    ck_assert_int_eq(fs_real_new(root, &fs), 0);
    block = aligned_alloc(FS_BLOCK_SIZE, FILE_BYTES);
    ck_assert_ptr_nonnull(block);
    memset(block, 0, FILE_BYTES);
    ck_assert_int_eq(fs_open(fs, "file", FS_WRITE | FS_CREATE | FS_DIRECT, &file), 0);
    iov = (struct iovec){block, FILE_BYTES};
    ck_assert_int_eq(fs->ops->write_sync(file, &iov, 1, 0), 0);
    if (sync_queue_new(&queue) != 0) queue = NULL; /* such a system has lanes only */
}

static void tear_down(void)
{
    sync_queue_free(queue);
    fs_unref(file);
    fs->ops->free(fs);
    free(block);
    unlink(path);
    rmdir(root);
}

static void await(void)
{
    struct pollfd readable = {.fd = sync_queue_fd(queue), .events = POLLIN};

    ck_assert_int_eq(poll(&readable, 1, -1), 1);
}

/* Begins, unless this machine's file system has something against it. */
static bool begin(const struct iovec *iov, int count, uint64_t position)
{
    int err = queue != NULL ? sync_queue_begin(queue, file, iov, count, position) : MESH_EUNSUPPORTED;

    ck_assert(err == 0 || err == MESH_EAGAIN || err == MESH_EUNSUPPORTED);
    return err == 0;
}

START_TEST(a_write_tells_its_end_and_is_in_the_file)
{
    struct iovec iov[] = {{block, FS_BLOCK_SIZE}, {block + FS_BLOCK_SIZE, 2 * FS_BLOCK_SIZE}};
    uint8_t *read_back = aligned_alloc(FS_BLOCK_SIZE, FILE_BYTES);
    size_t size;
    int error = -1;

    memset(block, 'a', FS_BLOCK_SIZE);
    memset(block + FS_BLOCK_SIZE, 'b', 2 * FS_BLOCK_SIZE);
    if (begin(iov, 2, 4 * FS_BLOCK_SIZE)) {
        await();
        ck_assert(sync_queue_end(queue, false, &error));
        ck_assert(error == 0 || error == MESH_EAGAIN);
        ck_assert_int_eq(fs->ops->read(file, read_back, FILE_BYTES, 0, &size), 0);
        ck_assert_uint_eq(size, FILE_BYTES);
        ck_assert_uint_eq(read_back[4 * FS_BLOCK_SIZE - 1], 0);
        if (error == 0) ck_assert_mem_eq(read_back + 4 * FS_BLOCK_SIZE, block, 3 * FS_BLOCK_SIZE);
        ck_assert_uint_eq(read_back[7 * FS_BLOCK_SIZE], 0);
    }
    free(read_back);
}
END_TEST

START_TEST(the_descriptor_is_quiet_again_afterwards)
{
    struct iovec iov = {block, FS_BLOCK_SIZE};

    for (int i = 0; i < 20; i++) {
        struct pollfd readable = {.events = POLLIN};
        int error = -1;
        if (!begin(&iov, 1, 0)) continue;
        await();
        ck_assert(sync_queue_end(queue, i % 2 == 0, &error));
        ck_assert(!sync_queue_end(queue, false, &error));
        readable.fd = sync_queue_fd(queue);
        ck_assert_int_eq(poll(&readable, 1, 0), 0);
    }
}
END_TEST

START_TEST(nothing_under_way_has_no_end)
{
    int error = 7;

    if (queue == NULL) return;
    ck_assert(!sync_queue_end(queue, false, &error));
    ck_assert(!sync_queue_end(queue, true, &error));
    ck_assert_int_eq(error, 7);
}
END_TEST

START_TEST(files_that_would_block_are_refused)
{
    struct iovec iov = {block, FS_BLOCK_SIZE};
    struct fs_mem *mem = fs_mem_new(1);
    struct fs_file *buffered, *in_memory;

    ck_assert_int_eq(fs_open(fs, "file", FS_WRITE, &buffered), 0);
    ck_assert_int_eq(fs_open(fs_mem_fs(mem), "file", FS_WRITE | FS_CREATE | FS_DIRECT, &in_memory), 0);
    if (queue != NULL) {
        ck_assert_int_eq(sync_queue_begin(queue, buffered, &iov, 1, 0), MESH_EUNSUPPORTED);
        ck_assert_int_eq(sync_queue_begin(queue, in_memory, &iov, 1, 0), MESH_EUNSUPPORTED);
    }
    fs_unref(buffered);
    fs_unref(in_memory);
    fs_mem_free(mem);
}
END_TEST

START_TEST(the_end_of_the_queue_waits_for_its_write)
{
    struct iovec iov = {block, FILE_BYTES};

    (void)begin(&iov, 1, 0); /* tear_down() frees queue, file and memory */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sync_queue");
    TCase *tcase = tcase_create("writes");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_write_tells_its_end_and_is_in_the_file);
    tcase_add_test(tcase, the_descriptor_is_quiet_again_afterwards);
    tcase_add_test(tcase, nothing_under_way_has_no_end);
    tcase_add_test(tcase, files_that_would_block_are_refused);
    tcase_add_test(tcase, the_end_of_the_queue_waits_for_its_write);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
