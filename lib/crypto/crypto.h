/* crypto/crypto.h - the one start that libsodium needs, and what this machine can do. */
#ifndef CRYPTO_CRYPTO_H
#define CRYPTO_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>

/* Before anything else of this folder, by each program once at least; any thread, any number of times. Aborts when the
 * system has no randomness to give, like random_system_bytes(). */
void crypto_init(void);

/* Whether AES-GCM runs in hardware here. Constant for a process, after crypto_init(). */
bool crypto_has_aes(void);

/* Overwrites what was secret; no compiler leaves it out. */
void crypto_wipe(void *secret, size_t size);

#endif
