/* Fuzzes the start of consensus' store: a good store whose files have been changed, cut, mixed up, or replaced by bytes of nobody's.
 *
 * The input is a program: 1 byte which file, 1 byte what is done to it, 2 bytes where, 1 byte how many bytes, then these. Changed headers
 * get a right CRC when asked, so that fields behind it are reached. What must hold: no crash; the start refuses with a sentence, or what it hands out has
 * no gaps and holds its chain; then the store takes appends, votes and snapshots, and the next start finds them. */
#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "replication/consensus/store_internal.h"
#include "support/fs_mem.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define STEPS_MAX 40

static const struct raft_server self = {{{1}}, {{2}}};
static const char *const paths[] = {
    "raft/state",
    "raft/mark",
    "raft/log-00000000000000000001",
    "raft/log-00000000000000000004",
    "raft/log-00000000000000000009",
    "raft/snapshot-00000000000000000003",
    "raft/snapshot-00000000000000000006",
    "raft/log-00000000000000000007",
};
#define PATHS (sizeof(paths) / sizeof(paths[0]))

static struct fs_mem *good, *disk;
static struct fs *fs;

static void chain(const uint8_t previous[RAFT_CHAIN_SIZE], const struct raft_entry *entry, uint8_t ret_chain[RAFT_CHAIN_SIZE])
{
    memset(ret_chain, 0, RAFT_CHAIN_SIZE);
    le_store32(ret_chain, crc32c_extend(crc32c(previous, RAFT_CHAIN_SIZE), entry->body.data, entry->body.size));
    le_store64(ret_chain + 8, entry->index * 31 + entry->term);
}

static int start(struct fs *on, struct raft_store **ret_store, const struct raft_recovered **ret_recovered)
{
    struct raft_store_report report;
    char message[400];
    int err = raft_store_open(on, "raft", &self, chain, ret_store, ret_recovered, &report, message, sizeof(message));

    MESH_ASSERT(err == 0 || message[0] != '\0');
    return err;
}

/* Appends one entry behind the last. */
static int append(struct raft_store *store, struct raft_position *last)
{
    static const uint8_t body[40] = "an entry of some forty bytes";
    struct raft_entry entry = {.index = last->index + 1, .term = last->term, .type = RAFT_ENTRY_COMMAND, .body = {body, sizeof(body)}};

    if (entry.term == 0) entry.term = 1;
    chain(last->chain, &entry, entry.chain);
    last->index = entry.index;
    last->term = entry.term;
    memcpy(last->chain, entry.chain, RAFT_CHAIN_SIZE);
    return raft_store_append(store, &entry, 1);
}

static int snapshot(struct raft_store *store, const struct raft_position *position)
{
    struct raft_config config = {.voter_count = 1};
    int err;

    config.voters[0] = self;
    err = raft_store_snapshot_begin(store, position, &config);
    if (err == 0) err = raft_store_snapshot_write(store, slice_of_string("the state"));
    return err == 0 ? raft_store_snapshot_end(store) : err;
}

/* Three segments, two snapshots, a vote. */
static void make_good_store(void)
{
    struct raft_position last = {.index = 0}, third = last;
    const struct raft_recovered *recovered;
    struct raft_store *store;

    good = fs_mem_new(1);
    MESH_ASSERT(start(fs_mem_fs(good), &store, &recovered) == 0);
    for (int i = 1; i <= 12; i++) {
        store->segment_bytes_max = i == 4 || i == 9 ? 0 : STORE_SEGMENT_BYTES_MAX;
        MESH_ASSERT(append(store, &last) == 0);
        if (i == 3) third = last;
        if (i == 3 || i == 6) MESH_ASSERT(snapshot(store, &last) == 0);
    }
    MESH_ASSERT(third.index == 3 && raft_store_set_state(store, 1, &self, 0) == 0);
    raft_store_close(store);
    disk = fs_mem_new_fork(good);
    fs = fs_mem_fs(disk);
}

/* ---- the program ---- */

static void reseal(uint8_t *bytes, size_t size)
{
    le_store32(bytes + size - 4, crc32c(bytes, size - 4));
}

/* Changes bytes, and makes the CRC of the block of `block` bytes around them right again. */
static void change(struct fs_file *file, uint64_t at, struct slice bytes, size_t block)
{
    uint8_t around[STORE_BLOCK_SIZE] = {0};
    struct iovec iov = {around, block};
    size_t got, skip = (size_t)(at % block), room = block - skip;

    at -= skip;
    MESH_ASSERT(fs->ops->read(file, around, block, at, &got) == 0);
    memcpy(around + skip, bytes.data, bytes.size < room ? bytes.size : room);
    reseal(around, block);
    MESH_ASSERT(fs->ops->write(file, &iov, 1, at) == 0);
}

static void hurt(const char *path, uint8_t what, uint64_t at, struct slice bytes)
{
    static const size_t blocks[] = {STORE_HEADER_SIZE, STORE_STATE_SIZE, STORE_BLOCK_SIZE, STORE_MARK_SIZE};
    struct iovec iov = {(void *)(uintptr_t)bytes.data, bytes.size};
    struct fs_file *file;

    if (what % 8 == 7) {
        fs->ops->unlink(fs, path);
        return;
    }
    if (fs_open(fs, path, FS_WRITE | FS_CREATE, &file) != 0) return;
    if (what % 8 == 6)
        fs->ops->truncate(file, at);
    else if (bytes.size != 0 && what % 8 < 4)
        change(file, at, bytes, blocks[what % 8]);
    else if (bytes.size != 0)
        fs->ops->write(file, &iov, 1, at);
    fs_unref(file);
}

/* Where things are: positions in steps of 16 bytes reach the heads, the slots and the first bodies. */
static void run(const uint8_t *data, size_t size)
{
    for (int step = 0; step < STEPS_MAX && size >= 5; step++) {
        uint64_t at = (uint64_t)le_load16(data + 2) * 2;
        size_t count = data[4] < size - 5 ? data[4] : size - 5;
        hurt(paths[data[0] % PATHS], data[1], at, slice_of(data + 5, count));
        data += 5 + count;
        size -= 5 + count;
    }
}

static struct raft_position check(const struct raft_recovered *recovered)
{
    struct raft_position last = recovered->snapshot;

    for (size_t i = 0; i < recovered->entry_count; i++) {
        const struct raft_entry *entry = &recovered->entries[i];
        uint8_t want[RAFT_CHAIN_SIZE];
        MESH_ASSERT(entry->index == last.index + 1 && entry->term >= last.term);
        chain(last.chain, entry, want);
        MESH_ASSERT(memcmp(want, entry->chain, RAFT_CHAIN_SIZE) == 0);
        last.index = entry->index;
        last.term = entry->term;
        memcpy(last.chain, want, RAFT_CHAIN_SIZE);
    }
    MESH_ASSERT(recovered->committed <= last.index && recovered->committed >= recovered->snapshot.index);
    return last;
}

static void use(struct raft_store *store, struct raft_position *last)
{
    uint8_t bytes[100];
    size_t size;

    raft_store_snapshot_read(store, 0, 0, bytes, sizeof(bytes), &size);
    MESH_ASSERT(append(store, last) == 0);
    MESH_ASSERT(snapshot(store, last) == 0);
    MESH_ASSERT(append(store, last) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct raft_recovered *recovered;
    struct raft_store *store;
    struct raft_position last;
    uint64_t hole;

    if (good == NULL) make_good_store();
    fs_mem_copy_crashed(good, disk, FS_MEM_LOSE_NOTHING, 1);
    run(data, size);
    if (start(fs, &store, &recovered) != 0) return 0;
    last = check(recovered);
    hole = recovered->damaged_until;
    if (last.index < UINT64_MAX / 4) {
        use(store, &last);
        raft_store_close(store);
        fs_mem_reboot(disk, FS_MEM_LOSE_UNSYNCED);
        MESH_ASSERT(start(fs, &store, &recovered) == 0);
        MESH_ASSERT(check(recovered).index == last.index && recovered->damaged_until == hole);
    }
    raft_store_close(store);
    return 0;
}
