/* crypto/channel_transcript.h - what both ends of a handshake have agreed on so far: Noise's SymmetricState (section 5.2)
 * with XChaCha20-Poly1305 for its cipher and keyed BLAKE2b for HKDF. Pure. For the channel's files only. */
#ifndef CRYPTO_CHANNEL_TRANSCRIPT_H
#define CRYPTO_CHANNEL_TRANSCRIPT_H

#include "base/slice.h"

#define TRANSCRIPT_HASH_SIZE 32
#define TRANSCRIPT_KEY_SIZE  32
#define TRANSCRIPT_TAG_SIZE  16

struct transcript {
    uint8_t hash[TRANSCRIPT_HASH_SIZE]; /* of everything said: equal at both ends, or nothing decrypts any more */
    uint8_t chain[TRANSCRIPT_KEY_SIZE]; /* of every secret mixed in */
    uint8_t key[TRANSCRIPT_KEY_SIZE];
    uint64_t nonce; /* of the next message under `key` */
};

void transcript_init(struct transcript *transcript);

/* MixHash, MixKey, and for the pre-shared key MixKeyAndHash; a key must be mixed in before the first encryption. */
void transcript_mix_hash(struct transcript *transcript, struct slice bytes);
void transcript_mix_key(struct transcript *transcript, struct slice secret);
void transcript_mix_key_and_hash(struct transcript *transcript, struct slice secret);

/* EncryptAndHash: the size bytes at `text` in place; a tag follows them. */
void transcript_encrypt(struct transcript *transcript, uint8_t *text, size_t size);

/* DecryptAndHash: size bytes and their tag at `text`. False: forged; the transcript is then of no more use. */
bool transcript_decrypt(struct transcript *transcript, uint8_t *text, size_t size);

/* Split: the keys of the initiator's frames and of the responder's. */
void transcript_split(const struct transcript *transcript, uint8_t ret_initiator[TRANSCRIPT_KEY_SIZE],
                      uint8_t ret_responder[TRANSCRIPT_KEY_SIZE]);

#endif
