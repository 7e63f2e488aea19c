/* metadata/log_files.c - names and small forms of the files in DIR/meta (log_internal.h; bytes: FORMAT.md).
 */
#include "cmd/broker/metadata/log_internal.h"

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "base/fs_whole.h"

#include <stdio.h>
#include <stdlib.h>

#define NUMBER_DIGITS 20
#define DURABLE_PATH  LOG_DIR "/durable"
#define DURABLE_SIZE  16

static const uint8_t log_magic[4] = {'M', 'L', 'O', 'G'};
static const uint8_t frame_magic[4] = {'M', 'R', 'E', 'C'};
static const uint8_t snapshot_magic[4] = {'M', 'S', 'N', 'P'};
static const uint8_t durable_magic[4] = {'M', 'D', 'U', 'R'};

static const char *const prefixes[] = {[LOG_FILE_LOG] = "log-", [LOG_FILE_SNAPSHOT] = "snapshot-"};

char *log_path(char to[FS_PATH_MAX], enum log_file_kind kind, uint64_t number)
{
    snprintf(to, FS_PATH_MAX, LOG_DIR "/%s%020llu", prefixes[kind], (unsigned long long)number);
    return to;
}

struct listing {
    const char *prefix;
    struct log_files *files;
};

static int list_name(void *user, const char *name, bool is_dir)
{
    struct listing *listing = user;
    size_t prefix_size = strlen(listing->prefix);

    if (is_dir || strncmp(name, listing->prefix, prefix_size) != 0) return 0;
    name += prefix_size;
    if (strlen(name) != NUMBER_DIGITS || strspn(name, "0123456789") != NUMBER_DIGITS) return 0;
    if (listing->files->count == LOG_FILES_MAX) return MESH_EFULL;
    listing->files->numbers[listing->files->count++] = strtoull(name, NULL, 10);
    return 0;
}

static int compare_numbers(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

int log_files_list(struct fs *fs, enum log_file_kind kind, struct log_files *ret_files)
{
    struct listing listing = {prefixes[kind], ret_files};
    int err;

    ret_files->count = 0;
    err = fs->ops->list(fs, LOG_DIR, list_name, &listing);
    if (err == 0) qsort(ret_files->numbers, ret_files->count, sizeof(ret_files->numbers[0]), compare_numbers);
    return err;
}

/* ---- log files ---- */

int log_file_create(struct fs *fs, uint64_t base)
{
    uint8_t header[LOG_HEADER_SIZE] = {0};
    char path[FS_PATH_MAX];

    memcpy(header, log_magic, 4);
    le_store32(header + 4, LOG_VERSION);
    le_store64(header + 8, base);
    le_store32(header + 20, crc32c(header, 20));
    return fs_replace(fs, LOG_DIR, log_path(path, LOG_FILE_LOG, base), LOG_DIR "/log.new",
                        slice_of(header, sizeof(header)));
}

int log_file_check_header(struct slice bytes, uint64_t base)
{
    if (bytes.size < LOG_HEADER_SIZE || memcmp(bytes.data, log_magic, 4) != 0) return MESH_ECORRUPT;
    if (le_load32(bytes.data + 4) != LOG_VERSION) return MESH_EVERSION;
    if (le_load32(bytes.data + 20) != crc32c(bytes.data, 20)) return MESH_ECORRUPT;
    return le_load64(bytes.data + 8) == base ? 0 : MESH_ECORRUPT;
}

/* index, term, type, size of the body; then the body and the chain */
#define ENTRY_HEADER_SIZE 21

int log_entry_encode(struct buffer *to, const struct raft_entry *entry)
{
    uint8_t header[ENTRY_HEADER_SIZE];
    int err;

    if (entry->body.size > RAFT_BODY_SIZE_MAX) return MESH_ETOOLARGE;
    err = buffer_reserve(to, ENTRY_HEADER_SIZE + entry->body.size + RAFT_CHAIN_SIZE);
    if (err != 0) return err;
    le_store64(header, entry->index);
    le_store64(header + 8, entry->term);
    header[16] = (uint8_t)entry->type;
    le_store32(header + 17, (uint32_t)entry->body.size);
    buffer_append(to, header, sizeof(header)); /* cannot fail: the room is reserved */
    buffer_append(to, entry->body.data, entry->body.size);
    buffer_append(to, entry->chain, RAFT_CHAIN_SIZE);
    return 0;
}

int log_entry_decode(struct slice from, struct raft_entry *ret_entry, size_t *ret_size)
{
    size_t body_size;

    if (from.size < ENTRY_HEADER_SIZE + RAFT_CHAIN_SIZE) return MESH_ECORRUPT;
    body_size = le_load32(from.data + 17);
    if (from.size - ENTRY_HEADER_SIZE - RAFT_CHAIN_SIZE < body_size) return MESH_ECORRUPT;
    ret_entry->index = le_load64(from.data);
    ret_entry->term = le_load64(from.data + 8);
    ret_entry->type = (enum raft_entry_type)from.data[16];
    ret_entry->body = slice_of(from.data + ENTRY_HEADER_SIZE, body_size);
    memcpy(ret_entry->chain, from.data + ENTRY_HEADER_SIZE + body_size, RAFT_CHAIN_SIZE);
    *ret_size = ENTRY_HEADER_SIZE + body_size + RAFT_CHAIN_SIZE;
    return 0;
}

int log_frame_start(struct buffer *frame)
{
    static const uint8_t room[LOG_FRAME_HEADER_SIZE];

    buffer_clear(frame);
    return buffer_append(frame, room, sizeof(room));
}

int log_frame_finish(struct buffer *frame)
{
    size_t payload = frame->size - LOG_FRAME_HEADER_SIZE;

    if (payload > METADATA_FRAME_BYTES_MAX) return MESH_ETOOLARGE;
    memcpy(frame->data, frame_magic, 4);
    le_store32(frame->data + 4, (uint32_t)payload);
    le_store32(frame->data + 8,
               crc32c_extend(crc32c(frame->data, 8), frame->data + LOG_FRAME_HEADER_SIZE, payload));
    return 0;
}

bool log_frame_parse(struct slice from, struct slice *ret_entries)
{
    size_t payload;

    if (from.size < LOG_FRAME_HEADER_SIZE || memcmp(from.data, frame_magic, 4) != 0) return false;
    payload = le_load32(from.data + 4);
    if (payload == 0 || payload > METADATA_FRAME_BYTES_MAX || payload > from.size - LOG_FRAME_HEADER_SIZE)
        return false;
    if (le_load32(from.data + 8) !=
        crc32c_extend(crc32c(from.data, 8), from.data + LOG_FRAME_HEADER_SIZE, payload))
        return false;
    *ret_entries = slice_of(from.data + LOG_FRAME_HEADER_SIZE, payload);
    return true;
}

/* ---- the durable mark ---- */

int log_durable_read(struct fs *fs, uint64_t *ret_index)
{
    struct buffer bytes = BUFFER_INIT;
    int err = fs_read_whole(fs, DURABLE_PATH, 4096, &bytes);

    *ret_index = 0;
    if (err == 0 && bytes.size == DURABLE_SIZE && memcmp(bytes.data, durable_magic, 4) == 0 &&
        le_load32(bytes.data + 12) == crc32c(bytes.data, 12))
        *ret_index = le_load64(bytes.data + 4);
    buffer_deinit(&bytes);
    return err == MESH_ENOMEM ? err : 0;
}

void log_durable_open(struct metadata_log *log)
{
    if (fs_open(log->fs, DURABLE_PATH, FS_WRITE | FS_CREATE, &log->durable) != 0) log->durable = NULL;
}

void log_durable_write(struct metadata_log *log, uint64_t index)
{
    uint8_t bytes[DURABLE_SIZE];
    struct iovec iov = {bytes, sizeof(bytes)};

    if (log->durable == NULL) return;
    memcpy(bytes, durable_magic, 4);
    le_store64(bytes + 4, index);
    le_store32(bytes + 12, crc32c(bytes, 12));
    if (log->fs->ops->write(log->durable, &iov, 1, 0) == 0) return;
    fs_unref(log->durable);
    log->durable = NULL;
}

/* ---- snapshots ---- */

#define SNAPSHOT_HEADER_SIZE 20

int log_snapshot_write(struct fs *fs, const struct image *image, uint64_t *ret_bytes)
{
    static const uint8_t room[SNAPSHOT_HEADER_SIZE];
    struct buffer bytes = BUFFER_INIT;
    char path[FS_PATH_MAX];
    size_t payload;
    int err = buffer_append(&bytes, room, sizeof(room));

    if (err == 0) err = image_encode(image, &bytes);
    if (err == 0) {
        payload = bytes.size - SNAPSHOT_HEADER_SIZE;
        memcpy(bytes.data, snapshot_magic, 4);
        le_store32(bytes.data + 4, LOG_VERSION);
        le_store64(bytes.data + 8, payload);
        le_store32(bytes.data + 16,
                   crc32c_extend(crc32c(bytes.data, 16), bytes.data + SNAPSHOT_HEADER_SIZE, payload));
        err = fs_replace(fs, LOG_DIR, log_path(path, LOG_FILE_SNAPSHOT, image_applied_index(image)),
                           LOG_DIR "/snapshot.new", buffer_slice(&bytes));
        if (err == 0) *ret_bytes = bytes.size;
    }
    buffer_deinit(&bytes);
    return err;
}

static int snapshot_decode(struct slice bytes, uint64_t index, struct image **ret_image)
{
    struct slice payload;
    struct image *image;
    int err;

    if (bytes.size < SNAPSHOT_HEADER_SIZE || memcmp(bytes.data, snapshot_magic, 4) != 0) return MESH_ECORRUPT;
    if (le_load32(bytes.data + 4) != LOG_VERSION) return MESH_EVERSION;
    payload = slice_of(bytes.data + SNAPSHOT_HEADER_SIZE, bytes.size - SNAPSHOT_HEADER_SIZE);
    if (le_load64(bytes.data + 8) != payload.size ||
        le_load32(bytes.data + 16) != crc32c_extend(crc32c(bytes.data, 16), payload.data, payload.size))
        return MESH_ECORRUPT;
    err = image_decode(payload, &image);
    if (err != 0) return err;
    if (image_applied_index(image) != index) {
        image_unref(image);
        return MESH_ECORRUPT;
    }
    *ret_image = image;
    return 0;
}

int log_snapshot_read(struct fs *fs, uint64_t index, struct image **ret_image, uint64_t *ret_bytes)
{
    struct buffer bytes = BUFFER_INIT;
    char path[FS_PATH_MAX];
    int err = fs_read_whole(fs, log_path(path, LOG_FILE_SNAPSHOT, index), LOG_SNAPSHOT_BYTES_MAX, &bytes);

    if (err == MESH_ETOOLARGE) err = MESH_ECORRUPT;
    if (err == 0) err = snapshot_decode(buffer_slice(&bytes), index, ret_image);
    if (err == 0) *ret_bytes = bytes.size;
    buffer_deinit(&bytes);
    return err;
}

static void delete_before(struct fs *fs, enum log_file_kind kind, uint64_t number)
{
    struct log_files files;
    char path[FS_PATH_MAX];

    if (log_files_list(fs, kind, &files) != 0) return;
    for (size_t i = 0; i < files.count && files.numbers[i] < number; i++)
        fs->ops->unlink(fs, log_path(path, kind, files.numbers[i]));
}

void log_delete_old(struct fs *fs)
{
    struct log_files snapshots;

    if (log_files_list(fs, LOG_FILE_SNAPSHOT, &snapshots) != 0 || snapshots.count < 2) return;
    delete_before(fs, LOG_FILE_LOG, snapshots.numbers[snapshots.count - 2]);
    delete_before(fs, LOG_FILE_SNAPSHOT, snapshots.numbers[snapshots.count - 2]);
    fs->ops->sync_dir(fs, LOG_DIR);
}
