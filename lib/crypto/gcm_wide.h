/* crypto/gcm_wide.h - AES-GCM sixteen blocks at a time, where the processor has VAES and AVX-512, by Intel's Multi-Buffer Crypto library (libipsec-mb).
 *
 * Three times as fast there as OpenSSL 3.0, which knows AES-NI alone; elsewhere it is no faster, so it is used nowhere else. Only gcm.c calls this: the
 * contracts are gcm.h's, and so are the bytes. The expanded key lies on the heap, and is wiped when it is given back. */
#ifndef CRYPTO_GCM_WIDE_H
#define CRYPTO_GCM_WIDE_H

#include "crypto/gcm.h"

struct gcm_wide;

/* False: the processor cannot, or this was built without the library. Any thread. */
bool gcm_wide_is_here(void);

/* Only where it is here. Errors: MESH_ENOMEM. */
int gcm_wide_new(struct gcm_wide **ret_wide);
void gcm_wide_free(struct gcm_wide *wide); /* accepts NULL; wipes */

void gcm_wide_set_key(struct gcm_wide *wide, struct slice key);
void gcm_wide_seal(struct gcm_wide *wide, const uint8_t nonce[GCM_NONCE_SIZE], struct slice header, const struct slice *pieces, size_t count, uint8_t *to);
bool gcm_wide_open(struct gcm_wide *wide, const uint8_t nonce[GCM_NONCE_SIZE], struct slice header, uint8_t *text, size_t size);

#endif
