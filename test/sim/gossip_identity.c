#include "sim/gossip_identity.h"

#include "base/bytes.h"
#include "base/error.h"
#include "base/fs_whole.h"

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

/* Errors: MESH_ENOTFOUND (a fresh disk); all others: the disk is not to be trusted with an identity. */
static int load(struct fs *fs, uint64_t *ret_number, uint32_t *ret_host, uint32_t *ret_boot)
{
    struct buffer bytes = BUFFER_INIT;
    int err = fs_read_whole(fs, "identity", FILE_BYTES, &bytes);

    if (err == 0 && (bytes.size != FILE_BYTES || sim_hash_bytes(1, bytes.data, 20) != le_load64(bytes.data + 20)))
        err = MESH_ECORRUPT;
    if (err == 0) {
        *ret_number = le_load64(bytes.data);
        *ret_host = le_load32(bytes.data + 8);
        *ret_boot = le_load32(bytes.data + 12);
    }
    buffer_deinit(&bytes);
    return err;
}

static bool save(struct fs *fs, const struct gossip_identity *identity, uint32_t boot)
{
    uint8_t bytes[FILE_BYTES] = {0};

    le_store64(bytes, identity->number);
    le_store32(bytes + 8, identity->host);
    le_store32(bytes + 12, boot);
    le_store64(bytes + 20, sim_hash_bytes(1, bytes, 20));
    return fs_replace(fs, ".", "identity", "identity.new", slice_of(bytes, sizeof(bytes))) == 0;
}

bool gossip_identity_load(struct sim_host *host, bool is_real, struct gossip_identity *ret_identity)
{
    struct gossip_identity identity = {.is_real = is_real, .host = sim_host_index(host)};
    struct fs *fs = sim_host_fs(host);
    int err = load(fs, &identity.number, &identity.host, &identity.boot);

    if (err != 0 && err != MESH_ENOTFOUND) return false;
    if (err != 0) identity.number = random_next(sim_host_random(host));
    if (!save(fs, &identity, ++identity.boot)) return false;
    derive(&identity, identity.number, identity.host);
    *ret_identity = identity;
    return true;
}

bool gossip_identity_raise_boot(struct sim_host *host, struct gossip_identity *identity, uint32_t boot)
{
    if (!save(sim_host_fs(host), identity, boot + 1)) return false;
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
