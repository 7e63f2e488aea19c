/* crypto/gcm.c - see gcm.h. */
#include "crypto/gcm.h"

#include "base/assert.h"
#include "base/error.h"
#include "crypto/gcm_wide.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>

enum gcm_kind { GCM_128, GCM_256, GCM_KINDS };

/* Which of the two is used is known when there is a key, and nothing may fail any more then: both are there until it comes. */
struct gcm {
    struct gcm_wide *wide;               /* owned; it does all. NULL: OpenSSL does, and only then there is what follows */
    EVP_CIPHER_CTX *contexts[GCM_KINDS]; /* owned */
    EVP_CIPHER_CTX *context;             /* the one that is used; NULL: no key yet */
    bool seals;
};

/* The machine's openssl.cnf is nobody's business here; and threads may still seal while the process exits. Looked up once, when the first link needs
 * it: a broker alone never touches OpenSSL. */
static EVP_CIPHER *find_cipher(enum gcm_kind kind)
{
    static const char *const names[] = {[GCM_128] = "AES-128-GCM", [GCM_256] = "AES-256-GCM"};
    static _Atomic(EVP_CIPHER *) found[GCM_KINDS];
    EVP_CIPHER *cipher = atomic_load(&found[kind]), *none = NULL;

    if (cipher != NULL) return cipher;
    (void)OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL);
    cipher = EVP_CIPHER_fetch(NULL, names[kind], NULL);
    if (cipher == NULL || atomic_compare_exchange_strong(&found[kind], &none, cipher)) return cipher;
    EVP_CIPHER_free(cipher); /* another thread was quicker */
    return none;
}

int gcm_new(bool seals, struct gcm **ret_gcm)
{
    struct gcm *gcm;

    if (!gcm_wide_is_here()) return gcm_new_openssl(seals, ret_gcm);
    gcm = calloc(1, sizeof(*gcm));
    if (gcm == NULL || gcm_wide_new(&gcm->wide) != 0) {
        gcm_free(gcm);
        return MESH_ENOMEM;
    }
    gcm->seals = seals;
    *ret_gcm = gcm;
    return 0;
}

int gcm_new_openssl(bool seals, struct gcm **ret_gcm)
{
    struct gcm *gcm = calloc(1, sizeof(*gcm));

    if (gcm == NULL) goto fail;
    gcm->seals = seals;
    for (enum gcm_kind kind = 0; kind < GCM_KINDS; kind++) {
        EVP_CIPHER *cipher = find_cipher(kind);

        gcm->contexts[kind] = EVP_CIPHER_CTX_new();
        if (cipher == NULL || gcm->contexts[kind] == NULL) goto fail;
        if (EVP_CipherInit_ex2(gcm->contexts[kind], cipher, NULL, NULL, seals, NULL) != 1) goto fail;
    }
    *ret_gcm = gcm;
    return 0;
fail:
    gcm_free(gcm);
    return MESH_ENOMEM;
}

void gcm_free(struct gcm *gcm)
{
    if (gcm == NULL) return;
    gcm_wide_free(gcm->wide);
    for (enum gcm_kind kind = 0; kind < GCM_KINDS; kind++)
        EVP_CIPHER_CTX_free(gcm->contexts[kind]); /* wipes */
    free(gcm);
}

void gcm_set_key(struct gcm *gcm, struct slice key)
{
    enum gcm_kind kind = key.size == 16 ? GCM_128 : GCM_256, other = kind == GCM_128 ? GCM_256 : GCM_128;
    int done;

    MESH_ASSERT(key.size == 16 || key.size == GCM_KEY_SIZE_MAX);
    if (gcm->wide != NULL) {
        gcm_wide_set_key(gcm->wide, key);
        return;
    }
    gcm->context = gcm->contexts[kind];
    MESH_ASSERT(gcm->context != NULL); /* of the first key's size */
    EVP_CIPHER_CTX_free(gcm->contexts[other]);
    gcm->contexts[other] = NULL;
    done = EVP_CipherInit_ex2(gcm->context, NULL, key.data, NULL, gcm->seals, NULL);
    MESH_ASSERT(done == 1);
}

static void begin(struct gcm *gcm, const uint8_t *nonce, struct slice header)
{
    int size, done = EVP_CipherInit_ex2(gcm->context, NULL, NULL, nonce, gcm->seals, NULL);

    MESH_ASSERT(done == 1);
    done = EVP_CipherUpdate(gcm->context, NULL, &size, header.data, (int)header.size);
    MESH_ASSERT(done == 1);
}

static void turn(struct gcm *gcm, const uint8_t *from, size_t size, uint8_t *to)
{
    int written, done;

    if (size == 0) return;
    MESH_ASSERT(size <= INT32_MAX);
    done = EVP_CipherUpdate(gcm->context, to, &written, from, (int)size);
    MESH_ASSERT(done == 1);
    MESH_ASSERT((size_t)written == size);
}

void gcm_seal(struct gcm *gcm, const uint8_t nonce[GCM_NONCE_SIZE], struct slice header, const struct slice *pieces, size_t count, uint8_t *to)
{
    int rest, done;

    MESH_ASSERT(gcm->seals);
    if (gcm->wide != NULL) {
        gcm_wide_seal(gcm->wide, nonce, header, pieces, count, to);
        return;
    }
    begin(gcm, nonce, header);
    for (size_t i = 0; i < count; i++) {
        turn(gcm, pieces[i].data, pieces[i].size, to);
        to += pieces[i].size;
    }
    done = EVP_CipherFinal_ex(gcm->context, to, &rest);
    MESH_ASSERT(done == 1);
    done = EVP_CIPHER_CTX_ctrl(gcm->context, EVP_CTRL_AEAD_GET_TAG, GCM_TAG_SIZE, to);
    MESH_ASSERT(done == 1);
}

bool gcm_open(struct gcm *gcm, const uint8_t nonce[GCM_NONCE_SIZE], struct slice header, uint8_t *text, size_t size)
{
    int rest, done;

    MESH_ASSERT(!gcm->seals);
    if (gcm->wide != NULL) return gcm_wide_open(gcm->wide, nonce, header, text, size);
    begin(gcm, nonce, header);
    turn(gcm, text, size, text);
    done = EVP_CIPHER_CTX_ctrl(gcm->context, EVP_CTRL_AEAD_SET_TAG, GCM_TAG_SIZE, text + size);
    MESH_ASSERT(done == 1);
    if (EVP_CipherFinal_ex(gcm->context, text + size, &rest) == 1) return true;
    sodium_memzero(text, size);
    return false;
}
