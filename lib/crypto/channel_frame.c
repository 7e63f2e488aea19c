/* crypto/channel_frame.c - frames of an open channel: sealing, opening, and a new key now and then. Bytes: PROTOCOL.md. */
#include "crypto/channel_internal.h"

#include "base/bytes.h"
#include "base/error.h"

#define AT_SIZE     0
#define AT_TYPE     4
#define AT_RESERVED 5 /* three bytes */

#define AES128_KEY_SIZE 16 /* of a direction's secret; then the mask */

_Static_assert(crypto_aead_xchacha20poly1305_ietf_ABYTES == CHANNEL_TAG_SIZE, "the tag");
_Static_assert(GCM_TAG_SIZE == CHANNEL_TAG_SIZE, "the tag");
_Static_assert(GCM_KEY_SIZE_MAX == CHANNEL_KEY_SIZE, "the key");
_Static_assert(AES128_KEY_SIZE + GCM_NONCE_SIZE <= CHANNEL_KEY_SIZE, "key and mask come from one secret");
_Static_assert(GCM_NONCE_SIZE <= crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, "the nonce");

static bool is_aes(const struct channel_direction *direction)
{
    return direction->cipher != CHANNEL_XCHACHA20_POLY1305;
}

static void set_key(struct channel_direction *direction)
{
    if (is_aes(direction))
        gcm_set_key(direction->gcm, slice_of(direction->secret, direction->cipher == CHANNEL_AES128_GCM ? AES128_KEY_SIZE : CHANNEL_KEY_SIZE));
    direction->key_frames = direction->key_bytes = 0;
}

void channel_direction_start(struct channel_direction *direction, enum channel_cipher cipher,
                             const uint8_t key[CHANNEL_KEY_SIZE])
{
    memcpy(direction->secret, key, CHANNEL_KEY_SIZE);
    direction->cipher = cipher;
    direction->counter = 0;
    direction->is_open = true;
    set_key(direction);
}

/* Both ends count the same frames, so both change keys before the same one. The old key cannot be had from the new. */
static void count_frame(struct channel_direction *direction, size_t size)
{
    if (direction->key_frames == CHANNEL_REKEY_FRAMES || direction->key_bytes + size > CHANNEL_REKEY_BYTES) {
        uint8_t next[CHANNEL_KEY_SIZE];
        crypto_generichash_blake2b_salt_personal(next, sizeof next, NULL, 0, direction->secret, CHANNEL_KEY_SIZE, NULL,
                                                 (const uint8_t *)"mesh link rekey ");
        memcpy(direction->secret, next, CHANNEL_KEY_SIZE);
        sodium_memzero(next, sizeof next);
        set_key(direction);
    }
    direction->key_frames++;
    direction->key_bytes += size;
}

/* With 128 bits a nonce that all links have in common would let one search serve for all of their keys: so each direction masks its nonces, as TLS 1.3
 * does (RFC 8446, 5.3). */
static void next_nonce(struct channel_direction *direction, uint8_t nonce[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES])
{
    memset(nonce, 0, crypto_aead_xchacha20poly1305_ietf_NPUBBYTES);
    le_store64(nonce, direction->counter++); /* 2^64 frames take longer than the hardware lasts */
    if (direction->cipher != CHANNEL_AES128_GCM) return;
    for (size_t i = 0; i < GCM_NONCE_SIZE; i++)
        nonce[i] ^= direction->secret[AES128_KEY_SIZE + i];
}

/* libsodium seals one piece: the pieces are put together where they are sealed. */
static void seal_xchacha(struct channel_direction *sending, const uint8_t *nonce, const struct slice *pieces, size_t count, uint8_t *frame)
{
    uint8_t *text = frame + CHANNEL_FRAME_HEADER_SIZE;
    const uint8_t *from = text;
    size_t size = 0;

    if (count == 1) from = pieces[0].data;
    for (size_t i = 0; i < count; i++) {
        if (count > 1 && pieces[i].size > 0) memcpy(text + size, pieces[i].data, pieces[i].size);
        size += pieces[i].size;
    }
    crypto_aead_xchacha20poly1305_ietf_encrypt(text, NULL, from, size, frame, CHANNEL_FRAME_HEADER_SIZE, NULL, nonce, sending->secret);
}

int channel_seal_pieces(struct channel *channel, uint8_t type, const struct slice *pieces, size_t count, uint8_t *to)
{
    uint8_t nonce[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES];
    struct channel_direction *sending = &channel->sending;
    size_t size = 0;

    if (!sending->is_open) return MESH_ECLOSED;
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].size > CHANNEL_PAYLOAD_MAX - size) return MESH_ETOOLARGE;
        size += pieces[i].size;
    }
    le_store32(to + AT_SIZE, (uint32_t)size);
    le_store32(to + AT_TYPE, type);
    count_frame(sending, size);
    next_nonce(sending, nonce);
    if (is_aes(sending))
        gcm_seal(sending->gcm, nonce, slice_of(to, CHANNEL_FRAME_HEADER_SIZE), pieces, count, to + CHANNEL_FRAME_HEADER_SIZE);
    else
        seal_xchacha(sending, nonce, pieces, count, to);
    return 0;
}

int channel_seal(struct channel *channel, uint8_t type, struct slice payload, uint8_t *to)
{
    return channel_seal_pieces(channel, type, &payload, 1, to);
}

int channel_frame_size(struct channel *channel, struct slice bytes, size_t *ret_size)
{
    uint32_t size;

    if (!channel->receiving.is_open) return MESH_ECLOSED;
    if (bytes.size < CHANNEL_FRAME_HEADER_SIZE) {
        *ret_size = 0;
        return 0;
    }
    size = le_load32(bytes.data + AT_SIZE);
    if (size > channel->payload_max) {
        channel_fail(channel, CHANNEL_FAILURE_TOO_LARGE);
        return MESH_ETOOLARGE;
    }
    if (le_load32(bytes.data + AT_TYPE) >> 8 != 0) { /* the reserved bytes */
        channel_fail(channel, CHANNEL_FAILURE_MALFORMED);
        return MESH_EPROTO;
    }
    *ret_size = CHANNEL_FRAME_OVERHEAD + (size_t)size;
    return 0;
}

static bool open_text(struct channel_direction *receiving, uint8_t *frame, size_t size)
{
    uint8_t nonce[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES];
    uint8_t *text = frame + CHANNEL_FRAME_HEADER_SIZE;

    next_nonce(receiving, nonce);
    if (is_aes(receiving))
        return gcm_open(receiving->gcm, nonce, slice_of(frame, CHANNEL_FRAME_HEADER_SIZE), text, size - CHANNEL_FRAME_OVERHEAD);
    return crypto_aead_xchacha20poly1305_ietf_decrypt(text, NULL, NULL, text, size - CHANNEL_FRAME_HEADER_SIZE, frame,
                                                      CHANNEL_FRAME_HEADER_SIZE, nonce, receiving->secret) == 0;
}

int channel_open(struct channel *channel, uint8_t *bytes, size_t size, struct channel_frame *ret_frame)
{
    size_t frame_size;
    int err = channel_frame_size(channel, slice_of(bytes, size), &frame_size);

    if (err != 0) return err;
    if (frame_size == 0 || frame_size > size) return MESH_EAGAIN;
    count_frame(&channel->receiving, frame_size - CHANNEL_FRAME_OVERHEAD);
    if (!open_text(&channel->receiving, bytes, frame_size)) {
        channel_fail(channel, CHANNEL_FAILURE_FORGED);
        return MESH_ECORRUPT;
    }
    *ret_frame = (struct channel_frame){
        .type = bytes[AT_TYPE],
        .payload = slice_of(bytes + CHANNEL_FRAME_HEADER_SIZE, frame_size - CHANNEL_FRAME_OVERHEAD),
        .used = frame_size,
    };
    return 0;
}
