/* metadata/identity.c - see identity.h; bytes: FORMAT.md. */
#include "cmd/broker/metadata/identity.h"

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "base/fs_whole.h"
#include "crypto/crypto.h"

#include <stdio.h>

#define IDENTITY_NEW     "identity.new"
#define IDENTITY_SIZE    104
#define IDENTITY_VERSION 2

/* A broker's uuid is derived from its key since version 2, so one that has none cannot keep its uuid. */
#define IDENTITY_SIZE_WITHOUT_KEY    72
#define IDENTITY_VERSION_WITHOUT_KEY 1

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
    memcpy(to + 64, identity->key.secret_key, IDENTITY_SEED_SIZE); /* the secret key begins with the seed */
    le_store32(to + 96, (uint32_t)identity->past);
    le_store32(to + 100, crc32c(to, 100));
}

/* Another version, by the file's first bytes: said as such, since its form is not known here. */
static int check_version(struct slice from, char *message, size_t message_size)
{
    uint32_t version;

    if (from.size < 8 || memcmp(from.data, magic, 4) != 0) return 0; /* damaged: found below */
    version = le_load32(from.data + 4);
    if (version > IDENTITY_VERSION) {
        snprintf(message, message_size,
                 "DIR/identity was written by a newer mesh (version %u): start that one", version);
        return MESH_EVERSION;
    }
    if (version == IDENTITY_VERSION_WITHOUT_KEY && from.size == IDENTITY_SIZE_WITHOUT_KEY) {
        snprintf(message, message_size,
                 "DIR/identity was written by an early mesh whose brokers had no keys (version %u), and a broker's uuid "
                 "comes from its key now: consume what is needed with that version, then start with an empty directory",
                 version);
        return MESH_EVERSION;
    }
    return 0;
}

static int identity_decode(struct slice from, struct identity *ret_identity, char *message,
                           size_t message_size)
{
    struct identity identity;
    int err = check_version(from, message, message_size);

    if (err != 0) return err;
    if (from.size != IDENTITY_SIZE || memcmp(from.data, magic, 4) != 0 ||
        le_load32(from.data + 4) != IDENTITY_VERSION || le_load32(from.data + 100) != crc32c(from.data, 100) ||
        le_load32(from.data + 96) > IDENTITY_PAST_RENEWED) {
        snprintf(message, message_size, "DIR/identity is damaged (%zu bytes, bad checksum): %s", from.size,
                 IDENTITY_CURE);
        return MESH_ECORRUPT;
    }
    identity_key_init(&identity.key, from.data + 64);
    memcpy(identity.broker_id.bytes, from.data + 8, UUID_SIZE);
    if (!uuid_equal(&identity.broker_id, &identity.key.id)) {
        identity_key_wipe(&identity.key);
        snprintf(message, message_size, "DIR/identity holds another broker's key: %s", IDENTITY_CURE);
        return MESH_ECORRUPT;
    }
    memcpy(identity.dir_id.bytes, from.data + 24, UUID_SIZE);
    memcpy(identity.cluster_id.bytes, from.data + 40, UUID_SIZE);
    identity.boot = le_load64(from.data + 56);
    identity.past = (enum identity_past)le_load32(from.data + 96);
    *ret_identity = identity;
    identity_key_wipe(&identity.key);
    return 0;
}

static int identity_write(struct fs *fs, const struct identity *identity)
{
    uint8_t bytes[IDENTITY_SIZE];
    int err;

    identity_encode(identity, bytes);
    err = fs_replace(fs, ".", IDENTITY_PATH, IDENTITY_NEW, slice_of(bytes, sizeof(bytes)));
    crypto_wipe(bytes, sizeof(bytes));
    return err;
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
    int err = fs->ops->list(fs, "consensus", count_file, &count);

    if (err == MESH_ENOTFOUND || (err == 0 && count == 0)) return 0;
    if (err != 0) return err;
    snprintf(message, message_size, "DIR/consensus exists but DIR/identity is missing: %s", IDENTITY_CURE);
    return MESH_ECORRUPT;
}

int identity_open(struct fs *fs, const uint8_t fresh_seed[IDENTITY_SEED_SIZE], const struct uuid *fresh_dir_id,
                  struct identity *ret_identity, char *message, size_t message_size)
{
    struct identity identity = {.dir_id = *fresh_dir_id};
    struct buffer bytes = BUFFER_INIT;
    int err = fs_read_whole(fs, IDENTITY_PATH, 4096, &bytes);

    message[0] = '\0';
    identity_key_init(&identity.key, fresh_seed);
    identity.broker_id = identity.key.id;
    if (err == 0 || err == MESH_ETOOLARGE)
        err = identity_decode(buffer_slice(&bytes), &identity, message, message_size);
    else if (err == MESH_ENOTFOUND)
        err = check_directory_is_new(fs, message, message_size);
    if (bytes.size != 0) crypto_wipe(bytes.data, bytes.size);
    buffer_deinit(&bytes);
    if (err == 0) {
        identity.boot++;
        err = identity_write(fs, &identity);
    }
    if (err == 0)
        *ret_identity = identity;
    else if (message[0] == '\0')
        snprintf(message, message_size, "DIR/identity cannot be read or written: %s%s", mesh_strerror(err), err == MESH_EFULL ? ": free some space, a few KiB will do" : "");
    identity_key_wipe(&identity.key);
    return err;
}

static int replace(struct fs *fs, struct identity *identity, struct identity *changed)
{
    int err = identity_write(fs, changed);

    if (err == 0) *identity = *changed;
    identity_key_wipe(&changed->key);
    return err;
}

int identity_set_cluster(struct fs *fs, struct identity *identity, const struct uuid *cluster_id)
{
    struct identity changed = *identity;

    changed.cluster_id = *cluster_id;
    return replace(fs, identity, &changed);
}

int identity_set_back(struct fs *fs, struct identity *identity, uint64_t boot)
{
    struct identity changed = *identity;

    changed.boot = boot;
    changed.past = IDENTITY_PAST_SET_BACK;
    return replace(fs, identity, &changed);
}

bool identity_is_to_tell(const struct identity *identity)
{
    return identity->past == IDENTITY_PAST_SET_BACK || identity->past == IDENTITY_PAST_RENEWED;
}

int identity_set_told(struct fs *fs, struct identity *identity)
{
    struct identity changed = *identity;

    if (!identity_is_to_tell(identity)) return 0;
    changed.past = identity->past == IDENTITY_PAST_SET_BACK ? IDENTITY_PAST_TOLD : IDENTITY_PAST_WHOLE;
    return replace(fs, identity, &changed);
}

int identity_renew(struct fs *fs, struct identity *identity, const struct uuid *dir_id)
{
    struct identity changed = *identity;

    changed.dir_id = *dir_id;
    changed.past = identity->past == IDENTITY_PAST_TOLD ? IDENTITY_PAST_WHOLE : IDENTITY_PAST_RENEWED;
    return replace(fs, identity, &changed);
}
