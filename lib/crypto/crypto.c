/* crypto/crypto.c - see crypto.h. */
#include "crypto/crypto.h"

#include "base/assert.h"

#include <sodium.h>

void crypto_init(void)
{
    int state = sodium_init(); /* 1: done before. Locks inside, so that any thread may be first */

    MESH_ASSERT(state >= 0);
}

bool crypto_has_aes(void)
{
    return crypto_aead_aes256gcm_is_available() == 1;
}

void crypto_wipe(void *secret, size_t size)
{
    sodium_memzero(secret, size);
}
