/* crypto/gcm_narrow.c - gcm_wide.h where the library is not: nothing is here. */
#include "crypto/gcm_wide.h"

#include "base/assert.h"
#include "base/error.h"

bool gcm_wide_is_here(void)
{
    return false;
}

int gcm_wide_new(struct gcm_wide **ret_wide)
{
    (void)ret_wide;
    return MESH_EUNSUPPORTED;
}

void gcm_wide_free(struct gcm_wide *wide)
{
    MESH_ASSERT(wide == NULL);
}

void gcm_wide_set_key(struct gcm_wide *wide, struct slice key)
{
    (void)key;
    MESH_ASSERT(wide != NULL); /* nobody has one */
}

void gcm_wide_seal(struct gcm_wide *wide, const uint8_t nonce[GCM_NONCE_SIZE], struct slice header, const struct slice *pieces, size_t count, uint8_t *to)
{
    (void)nonce, (void)header, (void)pieces, (void)count, (void)to;
    MESH_ASSERT(wide != NULL);
}

bool gcm_wide_open(struct gcm_wide *wide, const uint8_t nonce[GCM_NONCE_SIZE], struct slice header, uint8_t *text, size_t size)
{
    (void)nonce, (void)header, (void)text, (void)size;
    MESH_ASSERT(wide != NULL);
    return false;
}
