/* metadata/founding_file.c - see founding_file.h; bytes: FORMAT.md. */
#include "cmd/broker/metadata/founding_file.h"

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "base/fs_whole.h"

#include <stdio.h>

#define FOUNDING_PATH     "founding"
#define FOUNDING_NEW      "founding.new"
#define FOUNDING_VERSION  1
#define HEADER_SIZE       44 /* magic, version, server, size */
#define FOUNDING_SIZE_MAX 16384

#define FOUNDING_CURE                                                                                        \
    "restore DIR/founding from a copy made since the broker ran last; or, if the data may be lost, start with an empty directory"

static const uint8_t magic[4] = {'M', 'F', 'N', 'D'};

static int encode(const struct raft_server *self, const struct founding_state *state, struct buffer *to)
{
    uint8_t header[HEADER_SIZE], crc[4];
    int err;

    memcpy(header, magic, sizeof(magic));
    le_store32(header + 4, FOUNDING_VERSION);
    memcpy(header + 8, self->broker.bytes, UUID_SIZE);
    memcpy(header + 24, self->dir.bytes, UUID_SIZE);
    le_store32(header + 40, 0);
    err = buffer_append(to, header, sizeof(header));
    if (err == 0) err = founding_state_encode(state, to);
    if (err != 0) return err;
    le_store32(to->data + 40, (uint32_t)(to->size - HEADER_SIZE));
    le_store32(crc, crc32c(to->data, to->size));
    return buffer_append(to, crc, sizeof(crc));
}

/* One reason to refuse after the other; the words before their cure are in `message`. */
static int decode(struct slice from, const struct raft_server *self, struct founding_state *ret_state, char *message, size_t message_size)
{
    int err;

    if (from.size >= 8 && memcmp(from.data, magic, sizeof(magic)) == 0 && le_load32(from.data + 4) > FOUNDING_VERSION) {
        snprintf(message, message_size, "DIR/founding was written by a newer mesh (version %u): start that one", le_load32(from.data + 4));
        return MESH_EVERSION;
    }
    if (from.size < HEADER_SIZE + 4 || memcmp(from.data, magic, sizeof(magic)) != 0 || le_load32(from.data + 4) != FOUNDING_VERSION ||
        le_load32(from.data + 40) != from.size - HEADER_SIZE - 4 ||
        le_load32(from.data + from.size - 4) != crc32c(from.data, from.size - 4)) {
        snprintf(message, message_size, "DIR/founding is damaged (%zu bytes, bad checksum): %s", from.size, FOUNDING_CURE);
        return MESH_ECORRUPT;
    }
    if (memcmp(from.data + 8, self->broker.bytes, UUID_SIZE) != 0 || memcmp(from.data + 24, self->dir.bytes, UUID_SIZE) != 0) {
        snprintf(message, message_size, "DIR/founding is of another broker's disk than DIR/identity: %s", FOUNDING_CURE);
        return MESH_ECORRUPT;
    }
    err = founding_state_decode(slice_of(from.data + HEADER_SIZE, from.size - HEADER_SIZE - 4), ret_state);
    if (err == MESH_EVERSION) snprintf(message, message_size, "DIR/founding was written by a newer mesh: start that one");
    if (err == MESH_ECORRUPT) snprintf(message, message_size, "DIR/founding holds what no broker writes: %s", FOUNDING_CURE);
    return err;
}

/* The identity is changed after the founding, so it may lag behind; it may not contradict. */
static int reconcile(const struct uuid *cluster_id, struct founding_state *state, char *message, size_t message_size)
{
    char here[UUID_STRING_SIZE], there[UUID_STRING_SIZE];

    if (uuid_is_zero(cluster_id)) return 0;
    if (state->phase != FOUNDING_MEMBER) {
        *state = (struct founding_state){.phase = FOUNDING_MEMBER, .value = {.cluster = *cluster_id}};
        return 0;
    }
    if (uuid_equal(cluster_id, &state->value.cluster)) return 0;
    snprintf(message, message_size, "DIR/founding says mesh %s and DIR/identity mesh %s: restore the one that was replaced",
             uuid_format(&state->value.cluster, here), uuid_format(cluster_id, there));
    return MESH_ECORRUPT;
}

int founding_file_load(struct fs *fs, const struct raft_server *self, const struct uuid *cluster_id, struct founding_state *ret_state,
                       char *message, size_t message_size)
{
    struct founding_state state = {.phase = FOUNDING_BLANK};
    struct buffer bytes = BUFFER_INIT;
    int err = fs_read_whole(fs, FOUNDING_PATH, FOUNDING_SIZE_MAX, &bytes);

    message[0] = '\0';
    if (err == 0 || err == MESH_ETOOLARGE)
        err = decode(buffer_slice(&bytes), self, &state, message, message_size);
    else if (err == MESH_ENOTFOUND)
        err = 0;
    buffer_deinit(&bytes);
    if (err == 0) err = reconcile(cluster_id, &state, message, message_size);
    if (err == 0)
        *ret_state = state;
    else if (message[0] == '\0')
        snprintf(message, message_size, "DIR/founding cannot be read: %s", mesh_strerror(err));
    return err;
}

int founding_file_store(struct fs *fs, const struct raft_server *self, const struct founding_state *state)
{
    struct buffer bytes = BUFFER_INIT;
    int err = encode(self, state, &bytes);

    if (err == 0) err = fs_replace(fs, ".", FOUNDING_PATH, FOUNDING_NEW, buffer_slice(&bytes));
    buffer_deinit(&bytes);
    return err;
}

int founding_file_remove(struct fs *fs)
{
    int err = fs->ops->unlink(fs, FOUNDING_PATH);

    if (err == MESH_ENOTFOUND) return 0;
    return err == 0 ? fs->ops->sync_dir(fs, ".") : err;
}
