/* metadata/recovery_file.c - see recovery_file.h; bytes: FORMAT.md. */
#include "cmd/broker/metadata/recovery_file.h"

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "base/fs_whole.h"

#include <stdio.h>

#define RECOVERY_PATH     "recovery"
#define RECOVERY_NEW      "recovery.new"
#define RECOVERY_VERSION  1
#define HEADER_SIZE       44 /* magic, version, server, size */
#define RECOVERY_SIZE_MAX 65536

static const uint8_t magic[4] = {'M', 'R', 'C', 'V'};

int recovery_file_store(struct fs *fs, const struct raft_server *self, struct slice state)
{
    uint8_t header[HEADER_SIZE], crc[4];
    struct buffer bytes = BUFFER_INIT;
    int err;

    memcpy(header, magic, sizeof(magic));
    le_store32(header + 4, RECOVERY_VERSION);
    memcpy(header + 8, self->broker.bytes, UUID_SIZE);
    memcpy(header + 24, self->dir.bytes, UUID_SIZE);
    le_store32(header + 40, (uint32_t)state.size);
    err = buffer_append(&bytes, header, sizeof(header));
    if (err == 0) err = buffer_append(&bytes, state.data, state.size);
    if (err == 0) {
        le_store32(crc, crc32c(bytes.data, bytes.size));
        err = buffer_append(&bytes, crc, sizeof(crc));
    }
    if (err == 0) err = fs_replace(fs, ".", RECOVERY_PATH, RECOVERY_NEW, buffer_slice(&bytes));
    buffer_deinit(&bytes);
    return err;
}

static int check(struct slice from, const struct raft_server *self, char *message, size_t message_size)
{
    if (from.size >= 8 && memcmp(from.data, magic, sizeof(magic)) == 0 && le_load32(from.data + 4) > RECOVERY_VERSION) {
        snprintf(message, message_size, "DIR/recovery was written by a newer mesh (version %u): start that one", le_load32(from.data + 4));
        return MESH_EVERSION;
    }
    if (from.size < HEADER_SIZE + 4 || memcmp(from.data, magic, sizeof(magic)) != 0 || le_load32(from.data + 4) != RECOVERY_VERSION ||
        le_load32(from.data + 40) != from.size - HEADER_SIZE - 4 ||
        le_load32(from.data + from.size - 4) != crc32c(from.data, from.size - 4) ||
        memcmp(from.data + 8, self->broker.bytes, UUID_SIZE) != 0 || memcmp(from.data + 24, self->dir.bytes, RAFT_DIR_FIXED_BYTES) != 0) {
        snprintf(message, message_size, "DIR/recovery is damaged, or another disk's (%zu bytes): what this broker promised when its mesh was recovered is not "
                 "known. Restore it from a copy made since the broker ran last; or, if the records here may be lost, start with an empty directory",
                 from.size);
        return MESH_ECORRUPT;
    }
    return 0;
}

int recovery_file_load(struct fs *fs, const struct raft_server *self, struct buffer *to, char *message, size_t message_size)
{
    struct buffer bytes = BUFFER_INIT;
    int err = fs_read_whole(fs, RECOVERY_PATH, RECOVERY_SIZE_MAX, &bytes);

    if (err == MESH_ENOTFOUND) {
        buffer_deinit(&bytes);
        return 0;
    }
    if (err == 0 || err == MESH_ETOOLARGE) err = check(buffer_slice(&bytes), self, message, message_size);
    if (err == 0) err = buffer_append(to, bytes.data + HEADER_SIZE, bytes.size - HEADER_SIZE - 4);
    if (err != 0 && message[0] == '\0') snprintf(message, message_size, "DIR/recovery cannot be read: %s", mesh_strerror(err));
    buffer_deinit(&bytes);
    return err;
}
