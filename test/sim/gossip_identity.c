#include "sim/gossip_identity.h"

#include "base/bytes.h"

#define FILE_BYTES 28 /* number, host, boot, sum */

static void derive(struct gossip_identity *identity, uint64_t number, uint32_t host)
{
    if (identity->is_real) {
        uint8_t seed[IDENTITY_SEED_SIZE];
        for (size_t i = 0; i < sizeof(seed); i += 8)
            le_store64(seed + i, sim_mix(number, i + 1));
        identity_key_init(&identity->key, seed);
        memcpy(identity->public_key, identity->key.public_key, GOSSIP_PUBLIC_KEY);
        identity->id = identity->key.id;
        return;
    }
    for (size_t i = 0; i < GOSSIP_PUBLIC_KEY; i += 8)
        le_store64(identity->public_key + i, sim_mix(number, i + 1));
    le_store32(identity->public_key, host);
    memcpy(identity->id.bytes, identity->public_key, sizeof(identity->id.bytes));
    identity->id.bytes[6] = 0x80 | (identity->id.bytes[6] & 0x0f);
    identity->id.bytes[8] = 0x80 | (identity->id.bytes[8] & 0x3f);
}

/* ---- disk ---- */

static bool load(struct fs *fs, uint64_t *ret_number, uint32_t *ret_boot)
{
    struct fs_file *file;
    uint8_t bytes[FILE_BYTES];
    size_t size = 0;
    int err;

    if (fs_open(fs, "identity", FS_READ, &file) != 0) return false;
    err = fs->ops->read(file, bytes, sizeof(bytes), 0, &size);
    fs->ops->close(file);
    if (err != 0 || size != FILE_BYTES || sim_hash_bytes(1, bytes, 20) != le_load64(bytes + 20)) return false;
    *ret_number = le_load64(bytes);
    *ret_boot = le_load32(bytes + 12);
    return true;
}

static bool save(struct fs *fs, uint64_t number, uint32_t boot)
{
    struct fs_file *file;
    uint8_t bytes[FILE_BYTES] = {0};
    struct iovec iov = {bytes, sizeof(bytes)};
    int err;

    le_store64(bytes, number);
    le_store32(bytes + 12, boot);
    le_store64(bytes + 20, sim_hash_bytes(1, bytes, 20));
    if (fs_open(fs, "identity.new", FS_WRITE | FS_CREATE, &file) != 0) return false;
    err = fs->ops->write(file, &iov, 1, 0);
    if (err == 0) err = fs->ops->sync(file);
    fs->ops->close(file);
    if (err == 0) err = fs->ops->rename(fs, "identity.new", "identity");
    return err == 0 && fs->ops->sync_dir(fs, ".") == 0;
}

bool gossip_identity_load(struct sim_host *host, bool is_real, struct gossip_identity *ret_identity)
{
    struct fs *fs = sim_host_fs(host);
    uint64_t number;
    uint32_t boot = 0;

    if (!load(fs, &number, &boot)) number = random_next(sim_host_random(host));
    if (!save(fs, number, ++boot)) return false;
    *ret_identity = (struct gossip_identity){.is_real = is_real};
    derive(ret_identity, number, sim_host_index(host));
    ret_identity->boot = boot;
    ret_identity->number = number;
    return true;
}

bool gossip_identity_raise_boot(struct sim_host *host, struct gossip_identity *identity, uint32_t boot)
{
    if (!save(sim_host_fs(host), identity->number, boot + 1)) return false;
    identity->boot = boot + 1;
    return true;
}

/* ---- signatures ---- */

static void sum(const uint8_t public_key[GOSSIP_PUBLIC_KEY], struct slice message, uint8_t to[GOSSIP_SIGNATURE])
{
    uint64_t hash = sim_hash_bytes(sim_hash_bytes(2, public_key, GOSSIP_PUBLIC_KEY), message.data, message.size);

    for (size_t i = 0; i < GOSSIP_SIGNATURE; i += 8)
        le_store64(to + i, sim_mix(hash, i));
}

static void sign(void *user, struct slice message, uint8_t ret_signature[GOSSIP_SIGNATURE])
{
    struct gossip_identity *identity = user;

    if (identity->is_real)
        identity_gossip_sign(&identity->key, message, ret_signature);
    else
        sum(identity->public_key, message, ret_signature);
}

static bool verify(void *user, const struct uuid *id, const uint8_t public_key[GOSSIP_PUBLIC_KEY], struct slice message,
                   const uint8_t signature[GOSSIP_SIGNATURE])
{
    const struct gossip_identity *identity = user;
    uint8_t want[GOSSIP_SIGNATURE];

    if (identity->is_real) return identity_gossip_verify(NULL, id, public_key, message, signature);
    if (memcmp(id->bytes, public_key, 6) != 0) return false;
    sum(public_key, message, want);
    return memcmp(want, signature, GOSSIP_SIGNATURE) == 0;
}

const struct gossip_signer gossip_identity_signer = {.sign = sign, .verify = verify};
