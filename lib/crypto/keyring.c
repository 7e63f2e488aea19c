/* crypto/keyring.c - the ring and its changes; see keyring.h. */
#include "crypto/keyring_internal.h"

#include "base/assert.h"
#include "base/error.h"

#include <sodium.h>

struct keyring *keyring_new(void)
{
    struct keyring *keyring = sodium_malloc(sizeof *keyring);

    if (keyring != NULL) memset(keyring, 0, sizeof *keyring);
    return keyring;
}

void keyring_free(struct keyring *keyring)
{
    sodium_free(keyring); /* wipes; accepts NULL */
}

size_t keyring_count(const struct keyring *keyring)
{
    return keyring->count;
}

const struct cluster_key *keyring_at(const struct keyring *keyring, size_t index, enum key_state *ret_state)
{
    MESH_ASSERT(index < keyring->count);
    *ret_state = keyring->slots[index].state;
    return &keyring->slots[index].key;
}

static int index_of(const struct keyring *keyring, uint32_t id)
{
    for (int i = 0; i < keyring->count; i++)
        if (keyring->slots[i].key.id == id) return i;
    return -1;
}

const struct cluster_key *keyring_find(const struct keyring *keyring, uint32_t id)
{
    int index = index_of(keyring, id);

    return index < 0 ? NULL : &keyring->slots[index].key;
}

const struct cluster_key *keyring_in_use(const struct keyring *keyring)
{
    for (int i = 0; i < keyring->count; i++)
        if (keyring->slots[i].state == KEY_IN_USE) return &keyring->slots[i].key;
    return NULL;
}

uint32_t keyring_generation(const struct keyring *keyring)
{
    return keyring->generation;
}

int keyring_install(struct keyring *keyring, const struct cluster_key *key)
{
    if (index_of(keyring, key->id) >= 0) return MESH_EEXISTS;
    if (keyring->count == KEYRING_KEYS_MAX) return MESH_EFULL;
    keyring->slots[keyring->count] = (struct keyring_slot){*key, keyring->count == 0 ? KEY_IN_USE : KEY_INSTALLED};
    keyring->count++;
    keyring->generation++;
    return 0;
}

int keyring_use(struct keyring *keyring, uint32_t id)
{
    int index = index_of(keyring, id);

    if (index < 0) return MESH_ENOTFOUND;
    if (keyring->slots[index].state == KEY_IN_USE) return 0;
    for (int i = 0; i < keyring->count; i++)
        if (keyring->slots[i].state == KEY_IN_USE) keyring->slots[i].state = KEY_RETIRING;
    keyring->slots[index].state = KEY_IN_USE;
    keyring->generation++;
    return 0;
}

int keyring_remove(struct keyring *keyring, uint32_t id)
{
    int index = index_of(keyring, id);

    if (index < 0) return MESH_ENOTFOUND;
    if (keyring->slots[index].state == KEY_IN_USE) return MESH_EBUSY;
    keyring->count--;
    memmove(&keyring->slots[index], &keyring->slots[index + 1], (size_t)(keyring->count - index) * sizeof keyring->slots[0]);
    sodium_memzero(&keyring->slots[keyring->count], sizeof keyring->slots[0]);
    keyring->generation++;
    return 0;
}
