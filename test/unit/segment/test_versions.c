/* Files of a newer mesh are refused as that, and stay as they are; they are not taken for damage, which would be "mended". */
#include "segment/journal_format.h"
#include "segment/manifest.h"
#include "segment/recovery.h"

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "support/fs_mem.h"
#include "support/run_suite.h"

#define NEWER 9u

static struct fs_mem *disk;

static void set_up(void)
{
    disk = fs_mem_new(1);
}

static void tear_down(void)
{
    fs_mem_free(disk);
}

static void write_file(const char *path, struct slice bytes)
{
    struct fs *fs = fs_mem_fs(disk);
    struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes.data, .iov_len = bytes.size};
    struct fs_file *file;

    ck_assert_int_eq(fs->ops->mkdir(fs, "manifest"), 0);
    ck_assert_int_eq(fs_open(fs, path, FS_CREATE | FS_WRITE, &file), 0);
    ck_assert_int_eq(fs->ops->write_sync(file, &iov, 1, 0), 0);
    fs_unref(file);
    fs->ops->free(fs);
}

static bool is_as_written(const char *path, struct slice bytes)
{
    struct fs *fs = fs_mem_fs(disk);
    struct fs_file *file;
    uint8_t found[256];
    size_t size;

    ck_assert_int_eq(fs_open(fs, path, 0, &file), 0);
    ck_assert_int_eq(fs->ops->read(file, found, sizeof(found), 0, &size), 0);
    fs_unref(file);
    fs->ops->free(fs);
    return size == bytes.size && memcmp(found, bytes.data, size) == 0;
}

static void on_event(void *user, bool is_damage, const char *text)
{
    (void)user;
    ck_assert_msg(!is_damage, "%s", text);
}

static int recover(void)
{
    struct fs *fs = fs_mem_fs(disk);
    struct recovery_catalog *catalog = NULL;
    struct recovery_report report;
    int err = recovery_run(fs, on_event, NULL, &catalog, &report);

    if (err == 0) recovery_catalog_free(catalog);
    fs->ops->free(fs);
    return err;
}

static void make_manifest(struct buffer *bytes, uint32_t version)
{
    struct manifest_header header = {.generation = 7, .sequence = 3};
    size_t end;

    ck_assert_int_eq(manifest_encode_header(&header, bytes), 0);
    le_store32(bytes->data + 4, version);
    ck_assert_int_eq(manifest_encode_end(bytes), 0);
    end = bytes->size - 8;
    ck_assert_uint_eq(le_load32(bytes->data + end), crc32c(bytes->data, end)); /* it is sound */
}

START_TEST(a_manifest_of_a_newer_version_ends_the_recovery)
{
    struct buffer bytes = BUFFER_INIT;
    char path[FS_PATH_MAX];

    make_manifest(&bytes, NEWER);
    manifest_path(0, MANIFEST_PATH_FILE, path);
    write_file(path, buffer_slice(&bytes));
    ck_assert_int_eq(recover(), MESH_EVERSION);
    ck_assert(is_as_written(path, buffer_slice(&bytes)));
    buffer_clear(&bytes);
    tear_down();
    set_up();
    make_manifest(&bytes, 1); /* which is the one that is written now */
    write_file(path, buffer_slice(&bytes));
    ck_assert_int_eq(recover(), 0);
    buffer_deinit(&bytes);
}
END_TEST

/* It says that the journal may hold more than the files: taken for nothing, what is in the journal would be lost. */
START_TEST(a_marker_of_a_newer_version_ends_the_recovery)
{
    struct manifest_marker marker = {7, 8}, found;
    uint8_t bytes[MANIFEST_MARKER_SIZE];
    char path[FS_PATH_MAX];

    manifest_encode_marker(&marker, bytes);
    ck_assert_int_eq(manifest_decode_marker(slice_of(bytes, sizeof(bytes)), &found), 0);
    le_store32(bytes + 4, NEWER);
    ck_assert_int_eq(manifest_decode_marker(slice_of(bytes, sizeof(bytes)), &found), MESH_ECORRUPT);
    le_store32(bytes + 24, crc32c(bytes, 24));
    ck_assert_int_eq(manifest_decode_marker(slice_of(bytes, sizeof(bytes)), &found), MESH_EVERSION);
    manifest_path(0, MANIFEST_PATH_MARKER, path);
    write_file(path, slice_of(bytes, sizeof(bytes)));
    ck_assert_int_eq(recover(), MESH_EVERSION);
    ck_assert(is_as_written(path, slice_of(bytes, sizeof(bytes))));
}
END_TEST

START_TEST(a_frame_of_a_newer_version_is_none_that_is_torn)
{
    struct journal_frame_header header = {.generation = 7, .nonce = 8, .sequence = 1, .length = JOURNAL_FRAME_HEADER_SIZE}, found;
    uint8_t bytes[JOURNAL_FRAME_HEADER_SIZE];

    journal_frame_encode(&header, bytes);
    le_store32(bytes + 4, NEWER);
    ck_assert_int_eq(journal_frame_decode(slice_of(bytes, sizeof(bytes)), &found), MESH_ECORRUPT);
    le_store32(bytes + 60, crc32c(bytes, 60));
    ck_assert_int_eq(journal_frame_decode(slice_of(bytes, sizeof(bytes)), &found), MESH_EVERSION);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("versions");
    TCase *tcase = tcase_create("versions");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_manifest_of_a_newer_version_ends_the_recovery);
    tcase_add_test(tcase, a_marker_of_a_newer_version_ends_the_recovery);
    tcase_add_test(tcase, a_frame_of_a_newer_version_is_none_that_is_torn);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
