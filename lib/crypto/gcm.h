/* crypto/gcm.h - AES-GCM, with keys of 128 or 256 bits, over pieces of memory.
 *
 * libsodium's takes one piece and is the slowest; records between brokers are sealed from where they lie in the log's memory, and
 * sealing was a third of all CPU of replication. OpenSSL does it; where the processor and the build allow, what gcm_wide.h tells of: the bytes are the same.
 * The expanded key lies in memory that is wiped when it is given back and not locked.
 *
 * One object seals or opens, on one thread at a time. Once it has a key nothing is allocated, and nothing fails but for what was forged. */
#ifndef CRYPTO_GCM_H
#define CRYPTO_GCM_H

#include "base/slice.h"

#include <stdbool.h>

#define GCM_KEY_SIZE_MAX 32
#define GCM_NONCE_SIZE   12
#define GCM_TAG_SIZE     16

struct gcm;

/* Errors: MESH_ENOMEM. */
int gcm_new(bool seals, struct gcm **ret_gcm);

/* By OpenSSL in any case, as on most machines: for tests. Errors: MESH_ENOMEM. */
int gcm_new_openssl(bool seals, struct gcm **ret_gcm);

void gcm_free(struct gcm *gcm); /* accepts NULL; wipes */

/* Before the first use, and whenever the key changes. Of 16 or 32 bytes; of as many as the first one. */
void gcm_set_key(struct gcm *gcm, struct slice key);

/* Writes the sealed pieces, one behind the other, and the tag to `to`. A piece may lie where it is written to. */
void gcm_seal(struct gcm *gcm, const uint8_t nonce[GCM_NONCE_SIZE], struct slice header, const struct slice *pieces, size_t count, uint8_t *to);

/* Opens `size` bytes, behind which the tag lies, in place. False: forged, and the bytes are wiped. */
bool gcm_open(struct gcm *gcm, const uint8_t nonce[GCM_NONCE_SIZE], struct slice header, uint8_t *text, size_t size);

#endif
