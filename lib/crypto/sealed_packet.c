/* crypto/sealed_packet.c - see sealed_packet.h; bytes: PROTOCOL.md. */
#include "crypto/sealed_packet.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/error.h"
#include "crypto/sender_table.h"

#include <sodium.h>

#define MAGIC   0x676d /* "mg" */
#define VERSION 1

#define AT_MAGIC       0
#define AT_VERSION     2
#define AT_RESERVED    3
#define AT_CLUSTER_TAG 4
#define AT_KEY_ID      8
#define AT_SENDER      12
#define AT_BOOT        28
#define AT_COUNTER     32

#define NONCE_SIZE      crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define ADDITIONAL_SIZE (UUID_SIZE + SEALED_PACKET_HEADER_SIZE)
#define TEXT_SIZE_MAX   (SEALED_PACKET_SIZE_MAX - SEALED_PACKET_OVERHEAD)

_Static_assert(crypto_aead_xchacha20poly1305_ietf_ABYTES == SEALED_PACKET_TAG_SIZE, "the tag");
_Static_assert(crypto_aead_xchacha20poly1305_ietf_KEYBYTES == PACKET_KEY_SIZE, "the key");

struct packet_sealer {
    const struct keyring *keyring; /* borrowed */
    struct sender_table *senders;
    struct uuid id, cluster_id;
    uint32_t cluster_tag;
    uint32_t boot;
    uint64_t counter; /* of the next packet */
    struct packet_key key;
    uint32_t key_generation; /* of the keyring when the key was derived */
    bool has_key;
};

uint64_t packet_first_counter(uint64_t wall_ms, uint32_t random)
{
    return wall_ms << 20 | (random & 0xfffff);
}

/* Lets packets of another mesh be told from forged ones; proves nothing. */
static uint32_t cluster_tag(const struct uuid *cluster_id)
{
    uint8_t hash[crypto_generichash_blake2b_BYTES_MIN];

    crypto_generichash_blake2b_salt_personal(hash, sizeof hash, cluster_id->bytes, UUID_SIZE, NULL, 0, NULL,
                                             (const uint8_t *)"mesh cluster tag");
    return le_load32(hash);
}

/* One key per sender and boot: so counters need to be unique per boot only, and nobody else's packets use them up. */
static void derive_key(const struct cluster_key *cluster_key, const struct uuid *sender, uint32_t boot,
                       struct packet_key *ret_key)
{
    uint8_t who[UUID_SIZE + 4];

    memcpy(who, sender->bytes, UUID_SIZE);
    le_store32(who + UUID_SIZE, boot);
    crypto_generichash_blake2b_salt_personal(ret_key->bytes, PACKET_KEY_SIZE, who, sizeof who, cluster_key->bytes,
                                             CLUSTER_KEY_SIZE, NULL, (const uint8_t *)"mesh packets v1 ");
    ret_key->boot = boot;
    ret_key->cluster_key_id = cluster_key->id;
}

int packet_sealer_new(const struct packet_sealer_options *options, struct packet_sealer **ret_sealer)
{
    struct packet_sealer *sealer = sodium_malloc(sizeof *sealer);

    if (sealer == NULL) return MESH_ENOMEM;
    memset(sealer, 0, sizeof *sealer);
    sealer->senders = sender_table_new(options->senders_max);
    if (sealer->senders == NULL) {
        packet_sealer_free(sealer);
        return MESH_ENOMEM;
    }
    sealer->keyring = options->keyring;
    sealer->id = options->sender;
    sealer->boot = options->boot;
    sealer->counter = options->first_counter;
    packet_sealer_set_cluster(sealer, &options->cluster_id);
    *ret_sealer = sealer;
    return 0;
}

void packet_sealer_free(struct packet_sealer *sealer)
{
    if (sealer == NULL) return;
    sender_table_free(sealer->senders);
    sodium_free(sealer);
}

void packet_sealer_set_cluster(struct packet_sealer *sealer, const struct uuid *cluster_id)
{
    sealer->cluster_id = *cluster_id;
    sealer->cluster_tag = cluster_tag(cluster_id);
}

size_t packet_sealer_sender_count(const struct packet_sealer *sealer)
{
    return sender_table_count(sealer->senders);
}

static void make_nonce(uint64_t counter, uint8_t nonce[NONCE_SIZE])
{
    memset(nonce, 0, NONCE_SIZE);
    le_store64(nonce, counter);
}

static void make_additional(const struct packet_sealer *sealer, const uint8_t *packet, uint8_t additional[ADDITIONAL_SIZE])
{
    memcpy(additional, sealer->cluster_id.bytes, UUID_SIZE);
    memcpy(additional + UUID_SIZE, packet, SEALED_PACKET_HEADER_SIZE);
}

static bool follow_keyring(struct packet_sealer *sealer)
{
    const struct cluster_key *in_use;

    if (sealer->has_key && sealer->key_generation == keyring_generation(sealer->keyring)) return true;
    in_use = keyring_in_use(sealer->keyring);
    sealer->has_key = in_use != NULL;
    if (!sealer->has_key) return false;
    derive_key(in_use, &sealer->id, sealer->boot, &sealer->key);
    sealer->key_generation = keyring_generation(sealer->keyring);
    return true;
}

int packet_sealer_seal(struct packet_sealer *sealer, uint8_t *packet, size_t text_size)
{
    uint8_t nonce[NONCE_SIZE], additional[ADDITIONAL_SIZE];
    uint8_t *text = packet + SEALED_PACKET_HEADER_SIZE;

    if (text_size > TEXT_SIZE_MAX) return MESH_ETOOLARGE;
    if (sealer->counter == UINT64_MAX) return MESH_EFULL;
    if (!follow_keyring(sealer)) return MESH_ENOTFOUND;
    le_store16(packet + AT_MAGIC, MAGIC);
    packet[AT_VERSION] = VERSION;
    packet[AT_RESERVED] = 0;
    le_store32(packet + AT_CLUSTER_TAG, sealer->cluster_tag);
    le_store32(packet + AT_KEY_ID, sealer->key.cluster_key_id);
    memcpy(packet + AT_SENDER, sealer->id.bytes, UUID_SIZE);
    le_store32(packet + AT_BOOT, sealer->boot);
    le_store64(packet + AT_COUNTER, sealer->counter);
    make_nonce(sealer->counter++, nonce); /* used up, whatever becomes of the packet */
    make_additional(sealer, packet, additional);
    crypto_aead_xchacha20poly1305_ietf_encrypt(text, NULL, text, text_size, additional, sizeof additional, NULL, nonce,
                                               sealer->key.bytes);
    return 0;
}

/* What the header alone can tell. */
static enum packet_result judge_header(const struct packet_sealer *sealer, const uint8_t *packet, size_t size)
{
    if (size < SEALED_PACKET_OVERHEAD || size > SEALED_PACKET_SIZE_MAX || le_load16(packet + AT_MAGIC) != MAGIC)
        return PACKET_NOT_OURS;
    if (packet[AT_VERSION] != VERSION) return PACKET_VERSION;
    if (le_load32(packet + AT_CLUSTER_TAG) != sealer->cluster_tag) return PACKET_OTHER_CLUSTER;
    if (keyring_find(sealer->keyring, le_load32(packet + AT_KEY_ID)) == NULL) return PACKET_UNKNOWN_KEY;
    if (memcmp(packet + AT_SENDER, sealer->id.bytes, UUID_SIZE) == 0) return PACKET_REFLECTED;
    return PACKET_OK;
}

static bool is_authentic(const struct packet_sealer *sealer, const struct packet_key *key, uint8_t *packet, size_t size)
{
    uint8_t nonce[NONCE_SIZE], additional[ADDITIONAL_SIZE];
    uint8_t *text = packet + SEALED_PACKET_HEADER_SIZE;

    make_nonce(le_load64(packet + AT_COUNTER), nonce);
    make_additional(sealer, packet, additional);
    return crypto_aead_xchacha20poly1305_ietf_decrypt(text, NULL, NULL, text, size - SEALED_PACKET_HEADER_SIZE, additional,
                                                      sizeof additional, nonce, key->bytes) == 0;
}

/* The packet is authentic: its sender is entered, or comes forward, with the key that opened it. */
static enum packet_result admit(struct packet_sealer *sealer, struct sender *sender, const struct uuid *id,
                                const struct packet_key *key, uint64_t counter)
{
    if (sender == NULL) {
        sender = sender_table_add(sealer->senders, id);
        if (sender == NULL) return PACKET_NO_MEMORY;
        sender->key = *key;
    } else if (key != &sender->key) {
        MESH_ASSERT(key->boot >= sender->key.boot);
        if (key->boot > sender->key.boot) memset(&sender->window, 0, sizeof sender->window);
        sender->key = *key;
    }
    replay_window_mark(&sender->window, counter);
    sender_table_touch(sealer->senders, sender);
    return PACKET_OK;
}

enum packet_result packet_sealer_open(struct packet_sealer *sealer, uint8_t *packet, size_t size,
                                      struct opened_packet *ret_packet)
{
    enum packet_result result = judge_header(sealer, packet, size);
    struct packet_key derived;
    const struct packet_key *key = &derived;
    struct sender *sender;
    struct uuid id;
    uint32_t boot, key_id;
    uint64_t counter;

    if (result != PACKET_OK) return result;
    memcpy(id.bytes, packet + AT_SENDER, UUID_SIZE);
    boot = le_load32(packet + AT_BOOT);
    key_id = le_load32(packet + AT_KEY_ID);
    counter = le_load64(packet + AT_COUNTER);
    sender = sender_table_find(sealer->senders, &id);
    if (sender != NULL && boot < sender->key.boot) return PACKET_OLD_BOOT;
    if (sender != NULL && boot == sender->key.boot && replay_window_was_seen(&sender->window, counter)) return PACKET_REPLAYED;
    if (sender != NULL && boot == sender->key.boot && key_id == sender->key.cluster_key_id)
        key = &sender->key;
    else
        derive_key(keyring_find(sealer->keyring, key_id), &id, boot, &derived);
    result = is_authentic(sealer, key, packet, size) ? admit(sealer, sender, &id, key, counter) : PACKET_FORGED;
    if (key == &derived) sodium_memzero(&derived, sizeof derived);
    if (result != PACKET_OK) return result;
    *ret_packet = (struct opened_packet){
        .text = slice_of(packet + SEALED_PACKET_HEADER_SIZE, size - SEALED_PACKET_OVERHEAD),
        .sender = id,
        .boot = boot,
        .key_id = key_id,
    };
    return PACKET_OK;
}

const char *packet_result_text(enum packet_result result)
{
    static const char *const texts[] = {
#define PACKET_RESULT_TEXT(name, text) text,
        PACKET_RESULT_MAP(PACKET_RESULT_TEXT)
#undef PACKET_RESULT_TEXT
    };

    MESH_ASSERT((unsigned)result < PACKET_RESULT_COUNT);
    return texts[result];
}
