/* crypto/channel_internal.h - for the channel's files only. */
#ifndef CRYPTO_CHANNEL_INTERNAL_H
#define CRYPTO_CHANNEL_INTERNAL_H

#include "crypto/channel.h"
#include "crypto/channel_transcript.h"
#include "crypto/gcm.h"

#include <sodium.h>

#define CHANNEL_KEY_SIZE TRANSCRIPT_KEY_SIZE

/* A key is replaced before it seals more than this. 2^34 bytes are 2^30 blocks of AES: an attacker who sees them all tells
 * AES-GCM from a random function with a probability of 2^60 / 2^129. XChaCha20 would bear far more. */
#define CHANNEL_REKEY_FRAMES (1u << 20)
#define CHANNEL_REKEY_BYTES  ((uint64_t)1 << 34)

/* Frames in one direction. Touched by one thread. */
struct channel_direction {
    struct gcm *gcm; /* owned; with what `secret` gives, if the cipher is AES. NULL: this end has none, or the channel has failed */
    uint8_t secret[CHANNEL_KEY_SIZE]; /* the key; AES-128-GCM: key and mask of the nonces */
    enum channel_cipher cipher;
    uint64_t counter;           /* of the next frame; goes on when the key changes */
    uint64_t key_frames, key_bytes; /* sealed under this key */
    bool is_open;
};

enum channel_stage { STAGE_SEND_1, STAGE_AWAIT_1, STAGE_AWAIT_2, STAGE_AWAIT_3, STAGE_DONE };

struct channel {
    struct channel_direction sending, receiving;
    /* The handshake's; wiped when it is over. */
    struct {
        const struct keyring *keyring;
        const struct identity_key *identity;
        struct transcript transcript;
        struct uuid cluster_id, expected_peer;
        uint8_t secret[CHANNEL_KEY_SIZE], public[CHANNEL_KEY_SIZE]; /* ephemeral */
        uint64_t wall_ms;
        uint32_t boot;
        uint8_t ciphers;
        bool is_initiator;
    } own;
    enum channel_stage stage;
    enum channel_state state;
    bool has_peer, has_received;
    uint32_t payload_max;
    struct channel_peer peer;
    struct channel_failure_detail failure;
};

/* channel_frame.c */
void channel_direction_start(struct channel_direction *direction, enum channel_cipher cipher,
                             const uint8_t key[CHANNEL_KEY_SIZE]);

/* channel.c: the first failure counts; wipes what the handshake held. */
void channel_fail(struct channel *channel, enum channel_failure failure);
void channel_forget_handshake(struct channel *channel);

/* channel_handshake.c */
enum channel_stranger channel_guess_stranger(struct slice first_bytes);

#endif
