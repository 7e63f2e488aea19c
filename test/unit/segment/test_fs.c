/* The contract of fs.h, demanded of the real disk and of the one in memory alike. */
#include "base/error.h"
#include "base/fs.h"
#include "base/tree_sync.h"
#include "support/fs_mem.h"
#include "support/run_suite.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct fs_mem *mem;
static struct fs *fs;
static char root[64];

enum disk { DISK_REAL, DISK_MEMORY, DISK_COUNT };

static void set_up(int disk)
{
    if (disk == DISK_MEMORY) {
        mem = fs_mem_new(1);
        fs = fs_mem_fs(mem);
        return;
    }
    snprintf(root, sizeof(root), "/tmp/mesh-test-fs-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
    ck_assert_int_eq(fs_real_new(root, &fs), 0);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static void tear_down(int disk)
{
    fs->ops->free(fs);
    if (disk == DISK_MEMORY)
        fs_mem_free(mem);
    else
        nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static struct fs_file *open_file(const char *path, unsigned flags)
{
    struct fs_file *file;

    ck_assert_int_eq(fs_open(fs, path, flags, &file), 0);
    return file;
}

static void write_text(struct fs_file *file, const char *text, uint64_t position)
{
    struct iovec iov = {(void *)(uintptr_t)text, strlen(text)};

    ck_assert_int_eq(fs->ops->write(file, &iov, 1, position), 0);
}

static void expect_text(struct fs_file *file, const char *want, size_t want_size, uint64_t position)
{
    char got[64];
    size_t got_size = 99;

    ck_assert_int_eq(fs->ops->read(file, got, sizeof(got), position, &got_size), 0);
    ck_assert_uint_eq(got_size, want_size);
    ck_assert_mem_eq(got, want, want_size);
}

START_TEST(bytes_written_read_back_and_reading_ends_at_the_end)
{
    struct fs_file *file;
    static char one[] = "one ", two[] = "two ", three[] = "three";
    struct iovec iov[] = {{one, 4}, {one, 0}, {two, 4}, {three, 5}};
    uint64_t size;

    set_up(_i);
    file = open_file("f", FS_WRITE | FS_CREATE);
    ck_assert_int_eq(fs->ops->write(file, iov, 4, 0), 0);
    expect_text(file, "one two three", 13, 0);
    expect_text(file, "three", 5, 8);
    expect_text(file, "", 0, 13);
    expect_text(file, "", 0, 1000);
    write_text(file, "X", 20); /* a gap reads as zeros */
    expect_text(file, "three\0\0\0\0\0\0\0X", 13, 8);
    ck_assert_int_eq(fs->ops->write_sync(file, iov, 4, 0), 0);
    ck_assert_int_eq(fs->ops->sync(file), 0);
    ck_assert_int_eq(fs->ops->size(file, &size), 0);
    ck_assert_uint_eq(size, 21);
    fs_unref(file);
    tear_down(_i);
}
END_TEST

START_TEST(a_write_of_more_buffers_than_one_system_call_takes_is_whole)
{
    enum { COUNT = 3000 };
    static struct iovec iov[COUNT];
    static uint8_t bytes[COUNT], got[COUNT + 1];
    struct fs_file *file;
    size_t size;

    set_up(_i);
    for (int i = 0; i < COUNT; i++) {
        bytes[i] = (uint8_t)(i * 7);
        iov[i] = (struct iovec){&bytes[i], 1};
    }
    file = open_file("f", FS_WRITE | FS_CREATE);
    ck_assert_int_eq(fs->ops->write(file, iov, COUNT, 0), 0);
    ck_assert_int_eq(fs->ops->write_sync(file, iov, COUNT, 0), 0);
    ck_assert_int_eq(fs->ops->read(file, got, sizeof(got), 0, &size), 0);
    ck_assert_uint_eq(size, COUNT);
    ck_assert_mem_eq(got, bytes, COUNT);
    fs_unref(file);
    tear_down(_i);
}
END_TEST

START_TEST(direct_files_take_whole_blocks_and_are_seen_through_the_cache)
{
    static _Alignas(FS_BLOCK_SIZE) uint8_t out[2 * FS_BLOCK_SIZE], in[4 * FS_BLOCK_SIZE];
    struct iovec iov = {out, sizeof(out)};
    struct fs_file *direct, *cached;
    size_t size;

    set_up(_i);
    memset(out, 0xab, sizeof(out));
    direct = open_file("f", FS_WRITE | FS_CREATE | FS_EXCLUSIVE | FS_DIRECT);
    cached = open_file("f", FS_WRITE);
    ck_assert_int_eq(fs->ops->write_sync(direct, &iov, 1, FS_BLOCK_SIZE), 0);
    write_text(cached, "tail", 3 * FS_BLOCK_SIZE);
    ck_assert_int_eq(fs->ops->read(direct, in, sizeof(in), 0, &size), 0);
    ck_assert_uint_eq(size, 3 * FS_BLOCK_SIZE + 4);
    ck_assert_uint_eq(in[0], 0);
    ck_assert_mem_eq(in + FS_BLOCK_SIZE, out, sizeof(out));
    ck_assert_mem_eq(in + 3 * FS_BLOCK_SIZE, "tail", 4);
    fs_unref(direct);
    fs_unref(cached);
    tear_down(_i);
}
END_TEST

START_TEST(files_shrink_grow_and_reserve)
{
    struct fs_file *file;
    uint64_t size;
    int err;

    set_up(_i);
    file = open_file("f", FS_WRITE | FS_CREATE);
    write_text(file, "abcdef", 0);
    ck_assert_int_eq(fs->ops->truncate(file, 2), 0);
    ck_assert_int_eq(fs->ops->truncate(file, 4), 0);
    expect_text(file, "ab\0\0", 4, 0);
    err = fs->ops->allocate(file, 0, 10000);
    ck_assert(err == 0 || err == MESH_EUNSUPPORTED);
    ck_assert_int_eq(fs->ops->size(file, &size), 0);
    ck_assert_uint_eq(size, err == 0 ? 10000 : 4);
    fs_unref(file);
    tear_down(_i);
}
END_TEST

struct listing {
    unsigned count, dir_count;
    int stop_with;
};

static int note_name(void *user, const char *name, bool is_dir)
{
    struct listing *listing = user;

    ck_assert(strcmp(name, "a") == 0 || strcmp(name, "b") == 0 || strcmp(name, "d") == 0);
    listing->count++;
    listing->dir_count += is_dir;
    return listing->stop_with;
}

START_TEST(names_come_go_move_and_are_listed)
{
    struct listing all = {0}, first = {.stop_with = 7}, none = {0};
    struct fs_file *file;

    set_up(_i);
    ck_assert_int_eq(fs->ops->mkdir(fs, "d"), 0);
    ck_assert_int_eq(fs->ops->mkdir(fs, "d"), MESH_EEXISTS);
    ck_assert_int_eq(fs->ops->mkdir(fs, "x/y"), MESH_ENOTFOUND);
    ck_assert_int_eq(fs->ops->mkdir(fs, "d/d"), 0);
    fs_unref(open_file("d/a", FS_WRITE | FS_CREATE));
    ck_assert_int_eq(fs_open(fs, "d/a", FS_WRITE | FS_CREATE | FS_EXCLUSIVE, &file), MESH_EEXISTS);
    ck_assert_int_eq(fs_open(fs, "d/b", FS_READ, &file), MESH_ENOTFOUND);
    ck_assert_int_eq(errno, ENOENT);
    file = open_file("b", FS_WRITE | FS_CREATE);
    write_text(file, "B", 0);
    ck_assert_int_eq(fs->ops->rename(fs, "b", "d/b"), 0);
    ck_assert_int_eq(fs->ops->list(fs, "d", note_name, &all), 0);
    ck_assert_uint_eq(all.count, 3);
    ck_assert_uint_eq(all.dir_count, 1);
    ck_assert_int_eq(fs->ops->list(fs, "d", note_name, &first), 7);
    ck_assert_uint_eq(first.count, 1);
    ck_assert_int_eq(fs->ops->list(fs, "e", note_name, &none), MESH_ENOTFOUND);
    ck_assert_int_eq(fs->ops->rename(fs, "d/b", "d/a"), 0); /* replaces */
    ck_assert_int_eq(fs->ops->rename(fs, "d/b", "d/a"), MESH_ENOTFOUND);
    ck_assert_int_eq(fs->ops->rmdir(fs, "d"), MESH_EEXISTS);
    ck_assert_int_eq(fs->ops->sync_dir(fs, "d"), 0);
    ck_assert_int_eq(fs->ops->sync_dir(fs, "."), 0);
    ck_assert_int_eq(fs->ops->sync_dir(fs, "e"), MESH_ENOTFOUND);
    ck_assert_int_eq(fs->ops->unlink(fs, "d/a"), 0);
    ck_assert_int_eq(fs->ops->unlink(fs, "d/a"), MESH_ENOTFOUND);
    ck_assert_int_eq(fs->ops->rmdir(fs, "d/d"), 0);
    ck_assert_int_eq(fs->ops->rmdir(fs, "d"), 0);
    expect_text(file, "B", 1, 0); /* an open file outlives its name */
    ck_assert_int_eq(fs->ops->sync_all(fs), 0);
    fs_unref(file);
    tear_down(_i);
}
END_TEST

START_TEST(a_lock_is_exclusive)
{
    uint64_t free_bytes;

    set_up(_i);
    ck_assert_int_eq(fs->ops->lock(fs, "lock"), 0);
    ck_assert_int_eq(fs->ops->lock(fs, "lock"), MESH_ELOCKED);
    ck_assert_int_eq(fs->ops->free_bytes(fs, &free_bytes), 0);
    ck_assert_uint_gt(free_bytes, 0);
    tear_down(_i);
}
END_TEST

START_TEST(references_keep_a_file_open)
{
    struct fs_file *file;

    set_up(_i);
    file = open_file("f", FS_WRITE | FS_CREATE);
    fs_unref(fs_ref(file));
    write_text(file, "still open", 0);
    fs_unref(file);
    fs_unref(NULL);
    tear_down(_i);
}
END_TEST

/* ---- the real one alone ---- */

START_TEST(the_root_is_made_with_its_parents_and_locked_against_a_second_process)
{
    struct fs *first, *second;
    char deep[128];

    set_up(DISK_REAL);
    snprintf(deep, sizeof(deep), "%s//a/b/c/", root);
    ck_assert_int_eq(fs_real_new(deep, &first), 0);
    ck_assert_int_eq(fs_real_new(deep, &second), 0);
    ck_assert_int_eq(first->ops->lock(first, "lock"), 0);
    ck_assert_int_eq(second->ops->lock(second, "lock"), MESH_ELOCKED);
    first->ops->free(first);
    ck_assert_int_eq(second->ops->lock(second, "lock"), 0);
    second->ops->free(second);
    tear_down(DISK_REAL);
}
END_TEST

START_TEST(a_root_that_is_no_directory_is_refused_with_the_reason)
{
    struct fs *other = NULL;
    char path[128];

    set_up(DISK_REAL);
    fs_unref(open_file("file", FS_WRITE | FS_CREATE));
    snprintf(path, sizeof(path), "%s/file", root);
    ck_assert_int_eq(fs_real_new(path, &other), MESH_EIO);
    ck_assert_int_eq(errno, ENOTDIR);
    snprintf(path, sizeof(path), "%s/file/below", root);
    ck_assert_int_eq(fs_real_new(path, &other), MESH_EIO);
    ck_assert_int_eq(fs_real_new("", &other), MESH_EIO);
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_ptr_null(other);
    tear_down(DISK_REAL);
}
END_TEST

START_TEST(errors_of_the_system_come_through_with_errno)
{
    char x = 'x';
    struct iovec iov = {&x, 1};
    struct fs_file *file;

    set_up(DISK_REAL);
    fs_unref(open_file("f", FS_WRITE | FS_CREATE));
    file = open_file("f", FS_READ);
    ck_assert_int_eq(fs->ops->write(file, &iov, 1, 0), MESH_EIO); /* not opened for writing */
    ck_assert_int_eq(errno, EBADF);
    ck_assert_int_eq(fs->ops->truncate(file, 1), MESH_EINVAL);
    ck_assert_int_eq(fs_open(fs, "f/x", FS_READ, &(struct fs_file *){NULL}), MESH_ENOTFOUND);
    fs_unref(file);
    tear_down(DISK_REAL);
}
END_TEST

START_TEST(all_files_and_directories_of_a_tree_are_synced)
{
    size_t count = 0;
    int fd;
    struct fs_file *file;

    set_up(DISK_REAL);
    ck_assert_int_eq(fs->ops->mkdir(fs, "a"), 0);
    ck_assert_int_eq(fs->ops->mkdir(fs, "a/b"), 0);
    ck_assert_int_eq(fs_open(fs, "a/b/f", FS_WRITE | FS_CREATE, &file), 0);
    fs_unref(file);
    ck_assert_int_eq(fs_open(fs, "g", FS_WRITE | FS_CREATE, &file), 0);
    fs_unref(file);
    fd = open(root, O_RDONLY | O_DIRECTORY);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(symlinkat("/nowhere", fd, "link"), 0);
    ck_assert_int_eq(tree_sync(fd, &count), 0);
    ck_assert_uint_eq(count, 5);
    ck_assert_int_eq(fs->ops->sync_all(fs), 0);
    close(fd);
    fd = open("/dev/null", O_RDONLY);
    ck_assert_int_eq(tree_sync(fd, NULL), -1);
    ck_assert_int_eq(errno, ENOTDIR);
    close(fd);
    tear_down(DISK_REAL);
}
END_TEST

static Suite *suite(void)
{
    Suite *all = suite_create("fs");
    TCase *both = tcase_create("both"), *real = tcase_create("real");

    tcase_add_loop_test(both, bytes_written_read_back_and_reading_ends_at_the_end, 0, DISK_COUNT);
    tcase_add_loop_test(both, a_write_of_more_buffers_than_one_system_call_takes_is_whole, 0, DISK_COUNT);
    tcase_add_loop_test(both, direct_files_take_whole_blocks_and_are_seen_through_the_cache, 0, DISK_COUNT);
    tcase_add_loop_test(both, files_shrink_grow_and_reserve, 0, DISK_COUNT);
    tcase_add_loop_test(both, names_come_go_move_and_are_listed, 0, DISK_COUNT);
    tcase_add_loop_test(both, a_lock_is_exclusive, 0, DISK_COUNT);
    tcase_add_loop_test(both, references_keep_a_file_open, 0, DISK_COUNT);
    suite_add_tcase(all, both);
    tcase_add_test(real, the_root_is_made_with_its_parents_and_locked_against_a_second_process);
    tcase_add_test(real, a_root_that_is_no_directory_is_refused_with_the_reason);
    tcase_add_test(real, errors_of_the_system_come_through_with_errno);
    tcase_add_test(real, all_files_and_directories_of_a_tree_are_synced);
    suite_add_tcase(all, real);
    return all;
}

int main(void)
{
    return run_suite(suite());
}
