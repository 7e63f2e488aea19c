/* metadata/identity.c - see identity.h; bytes: FORMAT.md. */
#include "cmd/broker/metadata/identity.h"

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "cmd/broker/metadata/file.h"

#include <stdio.h>

#define IDENTITY_PATH    "identity"
#define IDENTITY_NEW     "identity.new"
#define IDENTITY_SIZE    72
#define IDENTITY_VERSION 1
#define IDENTITY_CURE                                                                                        \
    "restore DIR/identity from a copy; or, if the data may be lost, start with an empty directory"

static const uint8_t magic[4] = {'M', 'I', 'D', 'N'};

static void identity_encode(const struct identity *identity, uint8_t to[IDENTITY_SIZE])
{
    memcpy(to, magic, 4);
    le_store32(to + 4, IDENTITY_VERSION);
    memcpy(to + 8, identity->broker_id.bytes, UUID_SIZE);
    memcpy(to + 24, identity->dir_id.bytes, UUID_SIZE);
    memcpy(to + 40, identity->cluster_id.bytes, UUID_SIZE);
    le_store64(to + 56, identity->boot);
    le_store32(to + 64, 0);
    le_store32(to + 68, crc32c(to, 68));
}

static int identity_decode(struct slice from, struct identity *ret_identity, char *message,
                           size_t message_size)
{
    struct identity identity;

    if (from.size >= 8 && memcmp(from.data, magic, 4) == 0 && le_load32(from.data + 4) > IDENTITY_VERSION) {
        snprintf(message, message_size,
                 "DIR/identity was written by a newer mesh (version %u): start that one",
                 le_load32(from.data + 4));
        return MESH_EVERSION;
    }
    if (from.size != IDENTITY_SIZE || memcmp(from.data, magic, 4) != 0 ||
        le_load32(from.data + 68) != crc32c(from.data, 68)) {
        snprintf(message, message_size, "DIR/identity is damaged (%zu bytes, bad checksum): %s", from.size,
                 IDENTITY_CURE);
        return MESH_ECORRUPT;
    }
    memcpy(identity.broker_id.bytes, from.data + 8, UUID_SIZE);
    memcpy(identity.dir_id.bytes, from.data + 24, UUID_SIZE);
    memcpy(identity.cluster_id.bytes, from.data + 40, UUID_SIZE);
    identity.boot = le_load64(from.data + 56);
    *ret_identity = identity;
    return 0;
}

static int identity_write(struct fs *fs, const struct identity *identity)
{
    uint8_t bytes[IDENTITY_SIZE];

    identity_encode(identity, bytes);
    return file_replace(fs, ".", IDENTITY_PATH, IDENTITY_NEW, slice_of(bytes, sizeof(bytes)));
}

static int count_file(void *user, const char *name, bool is_dir)
{
    (void)name;
    if (!is_dir) ++*(size_t *)user;
    return 0;
}

/* Files of metadata without an identity belong to somebody: this broker must not pass as a new one there. */
static int check_directory_is_new(struct fs *fs, char *message, size_t message_size)
{
    size_t count = 0;
    int err = fs->ops->list(fs, "meta", count_file, &count);

    if (err == MESH_ENOTFOUND || (err == 0 && count == 0)) return 0;
    if (err != 0) return err;
    snprintf(message, message_size, "DIR/meta exists but DIR/identity is missing: %s", IDENTITY_CURE);
    return MESH_ECORRUPT;
}

int identity_open(struct fs *fs, const struct uuid *fresh_broker_id, const struct uuid *fresh_dir_id,
                  struct identity *ret_identity, char *message, size_t message_size)
{
    struct identity identity = {.broker_id = *fresh_broker_id, .dir_id = *fresh_dir_id, .boot = 0};
    struct buffer bytes = BUFFER_INIT;
    int err = file_read(fs, IDENTITY_PATH, 4096, &bytes);

    message[0] = '\0';
    if (err == 0 || err == MESH_ETOOLARGE)
        err = identity_decode(buffer_slice(&bytes), &identity, message, message_size);
    else if (err == MESH_ENOTFOUND)
        err = check_directory_is_new(fs, message, message_size);
    buffer_deinit(&bytes);
    if (err == 0) {
        identity.boot++;
        err = identity_write(fs, &identity);
    }
    if (err == 0)
        *ret_identity = identity;
    else if (message[0] == '\0')
        snprintf(message, message_size, "DIR/identity cannot be read or written: %s", mesh_strerror(err));
    return err;
}

int identity_set_cluster(struct fs *fs, struct identity *identity, const struct uuid *cluster_id)
{
    struct identity changed = *identity;
    int err;

    changed.cluster_id = *cluster_id;
    err = identity_write(fs, &changed);
    if (err == 0) *identity = changed;
    return err;
}
