/* crypto/keyring_internal.h - for keyring.c and keyring_text.c only. */
#ifndef CRYPTO_KEYRING_INTERNAL_H
#define CRYPTO_KEYRING_INTERNAL_H

#include "crypto/keyring.h"

struct keyring_slot {
    struct cluster_key key;
    enum key_state state;
};

struct keyring {
    struct keyring_slot slots[KEYRING_KEYS_MAX]; /* the first `count`, in the order of their coming */
    uint8_t count;
    uint32_t generation;
};

#endif
