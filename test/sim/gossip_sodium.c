#include "sim/gossip_sodium.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/slice.h"

#include <sodium.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define SIGNATURES  1024 /* each table is indexed by what looks random anyway; who comes later takes the place */
#define SECRETS     256
#define AGREEMENTS  256
#define MESSAGE_MAX 64 /* what is signed is a digest */
#define BOXES       128  /* packets and frames on their way: what is opened later than so many others is computed */
#define BOX_MAX     1500 /* bytes of a text; longer ones are computed */
#define BOX_TAG     crypto_aead_xchacha20poly1305_ietf_ABYTES
#define BOX_NONCE   crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define ADDED_MAX   64
#define KEY         32
#define SIGNATURE   64
#define GUARD       16

struct signature {
    uint8_t public_key[KEY], signature[SIGNATURE], message[MESSAGE_MAX];
    uint8_t size; /* of the message, plus one. 0: nothing is remembered here */
};

struct secret {
    uint8_t secret[KEY], public_key[KEY];
    bool is_used;
};

struct agreement {
    uint8_t keys[2][KEY], shared[KEY];
    bool is_used;
};

struct box {
    uint8_t key[KEY], nonce[BOX_NONCE], added[ADDED_MAX];
    uint8_t sealed[BOX_MAX + BOX_TAG], text[BOX_MAX];
    uint16_t size, added_size; /* size: of the text, plus one. 0: nothing is remembered here */
};

static _Thread_local struct {
    struct signature signatures[SIGNATURES];
    struct secret secrets[SECRETS];
    struct agreement agreements[AGREEMENTS];
    struct box boxes[BOXES];
} memory;

void gossip_sodium_forget(void)
{
    memset(&memory, 0, sizeof(memory));
}

/* ---- signatures ---- */

int __real_crypto_sign_detached(uint8_t *signature, unsigned long long *size_p, const uint8_t *message, unsigned long long size,
                                const uint8_t *secret_key);
int __wrap_crypto_sign_detached(uint8_t *signature, unsigned long long *size_p, const uint8_t *message, unsigned long long size,
                                const uint8_t *secret_key);
int __real_crypto_sign_verify_detached(const uint8_t *signature, const uint8_t *message, unsigned long long size,
                                       const uint8_t *public_key);
int __wrap_crypto_sign_verify_detached(const uint8_t *signature, const uint8_t *message, unsigned long long size,
                                       const uint8_t *public_key);

static struct signature *signature_at(const uint8_t *signature)
{
    return &memory.signatures[le_load64(signature) % SIGNATURES];
}

static void remember_signature(const uint8_t *signature, const uint8_t *message, unsigned long long size, const uint8_t *public_key)
{
    struct signature *place = signature_at(signature);

    if (size > MESSAGE_MAX) return;
    memcpy(place->public_key, public_key, KEY);
    memcpy(place->signature, signature, SIGNATURE);
    memcpy(place->message, message, size);
    place->size = (uint8_t)(size + 1);
}

/* The second half of a secret key is its public key. */
int __wrap_crypto_sign_detached(uint8_t *signature, unsigned long long *size_p, const uint8_t *message, unsigned long long size,
                                const uint8_t *secret_key)
{
    int result = __real_crypto_sign_detached(signature, size_p, message, size, secret_key);

    if (result == 0) remember_signature(signature, message, size, secret_key + KEY);
    return result;
}

int __wrap_crypto_sign_verify_detached(const uint8_t *signature, const uint8_t *message, unsigned long long size,
                                       const uint8_t *public_key)
{
    const struct signature *place = signature_at(signature);
    int result;

    if (place->size == size + 1 && memcmp(place->signature, signature, SIGNATURE) == 0 &&
        memcmp(place->public_key, public_key, KEY) == 0 && memcmp(place->message, message, size) == 0)
        return 0;
    result = __real_crypto_sign_verify_detached(signature, message, size, public_key);
    if (result == 0) remember_signature(signature, message, size, public_key);
    return result;
}

/* ---- agreements: a's secret with b's public key is b's secret with a's ---- */

int __real_crypto_scalarmult_base(uint8_t *public_key, const uint8_t *secret);
int __wrap_crypto_scalarmult_base(uint8_t *public_key, const uint8_t *secret);
int __real_crypto_scalarmult(uint8_t *shared, const uint8_t *secret, const uint8_t *public_key);
int __wrap_crypto_scalarmult(uint8_t *shared, const uint8_t *secret, const uint8_t *public_key);

static struct secret *secret_at(const uint8_t *secret)
{
    return &memory.secrets[le_load64(secret + 8) % SECRETS];
}

int __wrap_crypto_scalarmult_base(uint8_t *public_key, const uint8_t *secret)
{
    struct secret *place = secret_at(secret);
    int result = __real_crypto_scalarmult_base(public_key, secret);

    if (result != 0) return result;
    memcpy(place->secret, secret, KEY);
    memcpy(place->public_key, public_key, KEY);
    place->is_used = true;
    return 0;
}

static bool is_of(const struct agreement *agreement, const uint8_t *a, const uint8_t *b)
{
    return memcmp(agreement->keys[0], a, KEY) == 0 && memcmp(agreement->keys[1], b, KEY) == 0;
}

int __wrap_crypto_scalarmult(uint8_t *shared, const uint8_t *secret, const uint8_t *public_key)
{
    const struct secret *own = secret_at(secret);
    struct agreement *place;
    int result;

    if (!own->is_used || memcmp(own->secret, secret, KEY) != 0) return __real_crypto_scalarmult(shared, secret, public_key);
    place = &memory.agreements[(le_load64(own->public_key) ^ le_load64(public_key)) % AGREEMENTS];
    if (place->is_used && (is_of(place, own->public_key, public_key) || is_of(place, public_key, own->public_key))) {
        memcpy(shared, place->shared, KEY);
        return 0;
    }
    result = __real_crypto_scalarmult(shared, secret, public_key);
    if (result != 0) return result;
    memcpy(place->keys[0], own->public_key, KEY);
    memcpy(place->keys[1], public_key, KEY);
    memcpy(place->shared, shared, KEY);
    place->is_used = true;
    return 0;
}

/* ---- packets and frames: what is opened was sealed here, mostly ---- */

int __real_crypto_aead_xchacha20poly1305_ietf_encrypt(uint8_t *sealed, unsigned long long *sealed_size, const uint8_t *text,
                                                      unsigned long long size, const uint8_t *added, unsigned long long added_size,
                                                      const uint8_t *unused, const uint8_t *nonce, const uint8_t *key);
int __wrap_crypto_aead_xchacha20poly1305_ietf_encrypt(uint8_t *sealed, unsigned long long *sealed_size, const uint8_t *text,
                                                      unsigned long long size, const uint8_t *added, unsigned long long added_size,
                                                      const uint8_t *unused, const uint8_t *nonce, const uint8_t *key);
int __real_crypto_aead_xchacha20poly1305_ietf_decrypt(uint8_t *text, unsigned long long *size_p, uint8_t *unused, const uint8_t *sealed,
                                                      unsigned long long sealed_size, const uint8_t *added, unsigned long long added_size,
                                                      const uint8_t *nonce, const uint8_t *key);
int __wrap_crypto_aead_xchacha20poly1305_ietf_decrypt(uint8_t *text, unsigned long long *size_p, uint8_t *unused, const uint8_t *sealed,
                                                      unsigned long long sealed_size, const uint8_t *added, unsigned long long added_size,
                                                      const uint8_t *nonce, const uint8_t *key);

static struct box *box_at(const uint8_t *tag)
{
    return &memory.boxes[le_load64(tag) % BOXES];
}

int __wrap_crypto_aead_xchacha20poly1305_ietf_encrypt(uint8_t *sealed, unsigned long long *sealed_size, const uint8_t *text,
                                                      unsigned long long size, const uint8_t *added, unsigned long long added_size,
                                                      const uint8_t *unused, const uint8_t *nonce, const uint8_t *key)
{
    uint8_t before[BOX_MAX]; /* it may be sealed where it is */
    struct box *place;
    int result;

    if (size > BOX_MAX || added_size > ADDED_MAX)
        return __real_crypto_aead_xchacha20poly1305_ietf_encrypt(sealed, sealed_size, text, size, added, added_size, unused, nonce, key);
    if (size > 0) memcpy(before, text, size);
    result = __real_crypto_aead_xchacha20poly1305_ietf_encrypt(sealed, sealed_size, text, size, added, added_size, unused, nonce, key);
    if (result != 0) return result;
    place = box_at(sealed + size);
    memcpy(place->key, key, KEY);
    memcpy(place->nonce, nonce, BOX_NONCE);
    if (added_size > 0) memcpy(place->added, added, added_size);
    memcpy(place->sealed, sealed, size + BOX_TAG);
    memcpy(place->text, before, size);
    place->size = (uint16_t)(size + 1);
    place->added_size = (uint16_t)added_size;
    return 0;
}

/* The same tag alone would not do: each byte that goes into it is compared. */
static bool is_box(const struct box *box, struct slice sealed, struct slice added, const uint8_t *nonce, const uint8_t *key)
{
    return box->size > 0 && sealed.size == box->size - 1u + BOX_TAG && memcmp(box->sealed, sealed.data, sealed.size) == 0 &&
           added.size == box->added_size && (added.size == 0 || memcmp(box->added, added.data, added.size) == 0) &&
           memcmp(box->nonce, nonce, BOX_NONCE) == 0 && memcmp(box->key, key, KEY) == 0;
}

int __wrap_crypto_aead_xchacha20poly1305_ietf_decrypt(uint8_t *text, unsigned long long *size_p, uint8_t *unused, const uint8_t *sealed,
                                                      unsigned long long sealed_size, const uint8_t *added, unsigned long long added_size,
                                                      const uint8_t *nonce, const uint8_t *key)
{
    const struct box *place = sealed_size < BOX_TAG ? NULL : box_at(sealed + sealed_size - BOX_TAG);

    if (place == NULL || !is_box(place, slice_of(sealed, sealed_size), slice_of(added, added_size), nonce, key))
        return __real_crypto_aead_xchacha20poly1305_ietf_decrypt(text, size_p, unused, sealed, sealed_size, added, added_size, nonce, key);
    memcpy(text, place->text, place->size - 1u);
    if (size_p != NULL) *size_p = place->size - 1u;
    return 0;
}

/* ---- guarded memory: bytes that must not change stand in for the pages; sanitizers see the rest ---- */

void *__wrap_sodium_malloc(size_t size);
void *__wrap_sodium_allocarray(size_t count, size_t size);
void __wrap_sodium_free(void *data);

struct block {
    size_t size;
    uint8_t before[GUARD - sizeof(size_t)];
};

static const uint8_t guard[GUARD] = "sim guards this";

void *__wrap_sodium_malloc(size_t size)
{
    struct block *block = malloc(sizeof(*block) + size + GUARD);

    if (block == NULL) return NULL;
    block->size = size;
    memcpy(block->before, guard, sizeof(block->before));
    memset(block + 1, 0xdb, size); /* as libsodium: not zero, and always the same */
    memcpy((uint8_t *)(block + 1) + size, guard, GUARD);
    return block + 1;
}

void *__wrap_sodium_allocarray(size_t count, size_t size)
{
    return size > 0 && count >= SIZE_MAX / 2 / size ? NULL : __wrap_sodium_malloc(count * size);
}

void __wrap_sodium_free(void *data)
{
    struct block *block = data;

    if (data == NULL) return;
    block--;
    MESH_ASSERT(memcmp(block->before, guard, sizeof(block->before)) == 0);
    MESH_ASSERT(memcmp((uint8_t *)data + block->size, guard, GUARD) == 0);
    sodium_memzero(data, block->size);
    free(block);
}
