/* crypto/key_rotation.c - who holds which key, and whether a rotation may go on; see keyring.h. */
#include "crypto/keyring.h"

#include "base/bytes.h"
#include "base/error.h"

void keyring_get_holding(const struct keyring *keyring, struct key_holding *ret_holding)
{
    const struct cluster_key *in_use = keyring_in_use(keyring);

    *ret_holding = (struct key_holding){.in_use = in_use == NULL ? 0 : in_use->id};
    for (size_t i = 0; i < keyring_count(keyring); i++) {
        enum key_state state;
        ret_holding->ids[ret_holding->count++] = keyring_at(keyring, i, &state)->id;
    }
}

static bool holds(const struct key_holding *holding, uint32_t id)
{
    for (int i = 0; i < holding->count; i++)
        if (holding->ids[i] == id) return true;
    return false;
}

size_t key_holding_encode(const struct key_holding *holding, uint8_t to[KEY_HOLDING_SIZE_MAX])
{
    to[0] = holding->count;
    le_store32(to + 1, holding->in_use);
    for (int i = 0; i < holding->count; i++)
        le_store32(to + 5 + 4 * i, holding->ids[i]);
    return 5 + 4 * (size_t)holding->count;
}

int key_holding_decode(struct slice bytes, struct key_holding *ret_holding)
{
    struct key_holding holding = {0};

    if (bytes.size < 5 || bytes.data[0] > KEYRING_KEYS_MAX || bytes.size != 5 + 4 * (size_t)bytes.data[0]) return MESH_EPROTO;
    holding.in_use = le_load32(bytes.data + 1);
    for (int i = 0; i < bytes.data[0]; i++) {
        uint32_t id = le_load32(bytes.data + 5 + 4 * i);
        if (id == 0 || holds(&holding, id)) return MESH_EPROTO;
        holding.ids[holding.count++] = id;
    }
    if (holding.in_use != 0 && !holds(&holding, holding.in_use)) return MESH_EPROTO;
    *ret_holding = holding;
    return 0;
}

static void block(struct key_verdict *verdict, const struct key_member *member)
{
    if (verdict->blocker_count++ == 0) verdict->first_blocker = member->broker_id;
    verdict->is_allowed = false;
}

struct key_verdict keyring_judge_use(uint32_t id, const struct key_member *members, size_t count)
{
    struct key_verdict verdict = {.is_allowed = true};

    for (size_t i = 0; i < count; i++)
        if (!members[i].is_known || !holds(&members[i].holding, id)) block(&verdict, &members[i]);
    return verdict;
}

struct key_verdict keyring_judge_remove(uint32_t id, const struct key_member *members, size_t count)
{
    struct key_verdict verdict = {.is_allowed = true};

    for (size_t i = 0; i < count; i++)
        if (!members[i].is_known || members[i].holding.in_use == id || members[i].holding.in_use == 0)
            block(&verdict, &members[i]);
    return verdict;
}
