/* Who a broker is, on its disk. */
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "base/fs_whole.h"
#include "base/log.h"
#include "cmd/broker/metadata/metadata.h"
#include "support/failing_alloc.h"
#include "support/fs_mem.h"
#include "support/run_suite.h"

static struct fs_mem *mem;
static struct fs *fs;

static void set_up(void)
{
    log_set_level(LOG_LEVEL_ERROR);
    mem = fs_mem_new(1);
    fs = fs_mem_fs(mem);
}

static void tear_down(void)
{
    fs->ops->free(fs);
    fs_mem_free(mem);
}

static char message[METADATA_MESSAGE_SIZE];

static struct identity opened(void)
{
    struct identity identity;

    ck_assert_msg(metadata_open_identity(fs, &identity, message) == 0, "%s", message);
    return identity;
}

START_TEST(a_damaged_identity_is_refused)
{
    struct identity identity = opened();

    for (uint64_t position = 0; position < 104; position++) {
        int err;
        ck_assert_int_eq(fs_mem_flip_bit(mem, "identity", position, 1), 0);
        err = metadata_open_identity(fs, &identity, message);
        ck_assert(err == MESH_ECORRUPT || (err == MESH_EVERSION && position >= 4 && position < 8));
        ck_assert_ptr_nonnull(strstr(message, "DIR/identity"));
        ck_assert_int_eq(fs_mem_flip_bit(mem, "identity", position, 1), 0);
    }
    (void)opened();
}
END_TEST

START_TEST(the_broker_keeps_its_key_and_its_id_follows_from_it)
{
    struct identity first = opened(), second;
    struct uuid id = identity_uuid(first.key.public_key);
    struct slice word = slice_of_string("alive");
    uint8_t signature[IDENTITY_SIGNATURE_SIZE];

    ck_assert(uuid_equal(&first.broker_id, &id));
    ck_assert_uint_eq(first.boot, 1);
    fs_mem_reboot(mem, FS_MEM_LOSE_UNSYNCED);
    second = opened();
    ck_assert_uint_eq(second.boot, 2);
    ck_assert_int_eq(memcmp(&second.key, &first.key, sizeof(first.key)), 0);
    identity_sign(&second.key, IDENTITY_GOSSIP, word, signature);
    ck_assert(identity_verify(&id, first.key.public_key, IDENTITY_GOSSIP, word, signature));
}
END_TEST

static void write_identity(const uint8_t *bytes, size_t size)
{
    ck_assert_int_eq(fs_replace(fs, ".", "identity", "identity.new", slice_of(bytes, size)), 0);
}

START_TEST(an_identity_without_a_key_or_with_anothers_is_refused)
{
    struct identity identity = opened();
    struct buffer bytes = BUFFER_INIT;

    ck_assert_int_eq(fs_read_whole(fs, "identity", 4096, &bytes), 0);
    bytes.data[64] ^= 1; /* another seed, and a checksum that vouches for it */
    le_store32(bytes.data + 100, crc32c(bytes.data, 100));
    write_identity(bytes.data, 104);
    ck_assert_int_eq(metadata_open_identity(fs, &identity, message), MESH_ECORRUPT);
    ck_assert_ptr_nonnull(strstr(message, "another broker's key"));
    le_store32(bytes.data + 4, 1); /* as it was before brokers had keys */
    le_store32(bytes.data + 64, 0);
    le_store32(bytes.data + 68, crc32c(bytes.data, 68));
    write_identity(bytes.data, 72);
    ck_assert_int_eq(metadata_open_identity(fs, &identity, message), MESH_EVERSION);
    ck_assert_ptr_nonnull(strstr(message, "empty directory"));
    buffer_deinit(&bytes);
}
END_TEST

START_TEST(an_identity_that_finds_no_memory_is_opened_later)
{
    struct identity identity;
    int err = 0;

    failing_alloc_each(n)
    {
        failing_alloc_arm(n);
        err = metadata_open_identity(fs, &identity, message);
        if (!failing_alloc_disarm()) break;
        ck_assert_int_eq(err, MESH_ENOMEM);
    }
    ck_assert_int_eq(err, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("identity");
    TCase *tcase = tcase_create("identity");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_damaged_identity_is_refused);
    tcase_add_test(tcase, the_broker_keeps_its_key_and_its_id_follows_from_it);
    tcase_add_test(tcase, an_identity_without_a_key_or_with_anothers_is_refused);
    tcase_add_test(tcase, an_identity_that_finds_no_memory_is_opened_later);
    tcase_set_timeout(tcase, 100);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
