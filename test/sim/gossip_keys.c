#include "sim/gossip_keys.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/fs_whole.h"
#include "crypto/crypto.h"
#include "sim/gossip_program.h"
#include "sim/gossip_sodium.h"
#include "sim/sim_sometimes.h"

#include <stdlib.h>

#define STEP_US      SIM_SECOND
#define LINGER_US    (10 * SIM_SECOND) /* as the product: what the old key has sealed has arrived or never will */
#define ORDER_MAX_US (2 * SIM_SECOND)
#define REST_MAX_S   20
#define EPOCH_MS     UINT64_C(1700000000000)

struct gossip_keys *gossip_keys_new(void)
{
    struct gossip_keys *keys = calloc(1, sizeof(*keys));

    MESH_ASSERT(keys != NULL);
    crypto_init();
    return keys;
}

void gossip_keys_free(struct gossip_keys *keys)
{
    free(keys);
}

static void make_key(struct gossip_keys *keys)
{
    uint8_t bytes[CLUSTER_KEY_SIZE];

    for (size_t i = 0; i < sizeof(bytes); i += 8)
        le_store64(bytes + i, random_next(&keys->random));
    cluster_key_init(&keys->keys[keys->count], bytes);
    keys->is_gone[keys->count] = false;
    keys->now = keys->count++;
}

void gossip_keys_reset(struct gossip_keys *keys, struct sim *sim)
{
    gossip_sodium_forget();
    memset(keys, 0, sizeof(*keys));
    keys->sim = sim;
    random_init(&keys->random, random_next(sim_random(sim, SIM_RANDOM_WORLD)));
    le_store64(keys->cluster_id.bytes, random_next(&keys->random));
    le_store64(keys->cluster_id.bytes + 8, random_next(&keys->random));
    make_key(keys);
}

uint64_t gossip_keys_wall_ms(const struct sim_host *host)
{
    return EPOCH_MS + (uint64_t)(sim_host_wall_us(host) / 1000);
}

/* ---- rings ---- */

static int index_of(const struct gossip_keys *keys, uint32_t id)
{
    for (uint32_t i = 0; i < keys->count; i++) {
        if (keys->keys[i].id == id) return (int)i;
    }
    return -1;
}

static bool save(struct gossip_keys *keys, struct sim_host *host, const struct keyring *ring)
{
    char text[KEYRING_TEXT_MAX];
    size_t size = keyring_format(ring, text);

    if (fs_replace(sim_host_fs(host), ".", "key", "key.new", slice_of(text, size)) != 0) return false;
    for (size_t i = 0; i < keyring_count(ring); i++) {
        enum key_state state;
        int index = index_of(keys, keyring_at(ring, i, &state)->id);
        if (index >= 0) keys->held[sim_host_index(host)] |= UINT64_C(1) << index;
    }
    return true;
}

/* The ring has all that it ever held of what is in force, and uses none that is gone. */
static bool is_current(const struct gossip_keys *keys, uint32_t host, const struct keyring *ring)
{
    const struct cluster_key *in_use = keyring_in_use(ring);
    int index = in_use == NULL ? -1 : index_of(keys, in_use->id);

    if (index < 0 || keys->is_gone[index]) return false;
    for (uint32_t i = 0; i < keys->count; i++) {
        if (!keys->is_gone[i] && (keys->held[host] >> i & 1) && keyring_find(ring, keys->keys[i].id) == NULL) return false;
    }
    return true;
}

/* Every key in force; in use the one that all others use, or the first of two. */
static struct keyring *new_ring(const struct gossip_keys *keys)
{
    struct keyring *ring = keyring_new();

    MESH_ASSERT(ring != NULL);
    for (uint32_t i = 0; i < keys->count; i++) {
        if (keys->is_gone[i]) continue;
        MESH_ASSERT(keyring_install(ring, &keys->keys[i]) == 0);
        if (keys->phase != GOSSIP_KEYS_INSTALLING) MESH_ASSERT(keyring_use(ring, keys->keys[i].id) == 0);
    }
    return ring;
}

struct keyring *gossip_keys_load(struct gossip_keys *keys, struct sim_host *host, const struct uuid *id)
{
    struct keyring *ring = keyring_new();
    struct buffer text = BUFFER_INIT;
    char message[128];
    bool is_read;
    int err;

    MESH_ASSERT(ring != NULL);
    keys->brokers[sim_host_index(host)] = *id;
    err = fs_read_whole(sim_host_fs(host), "key", KEYRING_TEXT_MAX, &text);
    is_read = err == 0 && keyring_parse(ring, buffer_slice(&text), message, sizeof(message)) == 0;
    buffer_deinit(&text);
    if (err != 0 && err != MESH_ENOTFOUND) {
        keyring_free(ring);
        return NULL;
    }
    if (is_read && is_current(keys, sim_host_index(host), ring)) return ring;
    sim_trace(keys->sim, host, is_read ? "is given its ring anew: the disk was set back" : "is given a ring");
    keyring_free(ring);
    ring = new_ring(keys);
    if (save(keys, host, ring)) return ring;
    keyring_free(ring);
    return NULL;
}

/* ---- invariants ---- */

void gossip_keys_check_use(struct gossip_keys *keys, struct sim_host *host, const struct keyring *ring)
{
    const struct cluster_key *key = keyring_in_use(ring);
    int index = key == NULL ? -1 : index_of(keys, key->id);

    if (index < 0 || keys->is_gone[index])
        sim_fail(keys->sim, "a rotation loses no packet", "h%u seals with a key that is being removed", sim_host_index(host));
}

void gossip_keys_unknown(struct gossip_keys *keys, struct sim_host *host, uint32_t key_id)
{
    int index = index_of(keys, key_id);

    /* Bits that were flipped name no key; what was late for all the time of a removal may be lost. */
    if (index < 0 || keys->is_gone[index]) return;
    sim_fail(keys->sim, "a rotation loses no packet", "h%u lacks key %d, with which others seal", sim_host_index(host), index);
}

/* ---- the operator ---- */

static bool holding_of(const struct gossip *gossip, const struct uuid *id, struct key_holding *ret_holding)
{
    struct slice value;

    return gossip_soft_get(gossip, id, slice_of_string(GOSSIP_KEYS_SOFT), &value) &&
           key_holding_decode(value, ret_holding) == 0;
}

/* One broker's view of who holds what. Identities of wiped disks are given up. */
static size_t gather(const struct gossip_keys *keys, const struct gossip *view, struct key_member members[SIM_HOSTS_MAX])
{
    uint32_t count = sim_host_count(keys->sim);

    for (uint32_t i = 0; i < count; i++) {
        members[i] = (struct key_member){.broker_id = keys->brokers[i]};
        members[i].is_known = holding_of(view, &keys->brokers[i], &members[i].holding);
    }
    return count;
}

/* All but the one in use. */
static int remove_others(struct keyring *ring, uint32_t id)
{
    const struct cluster_key *in_use = keyring_in_use(ring);

    if (in_use == NULL || in_use->id != id) return MESH_EBUSY;
    for (size_t i = keyring_count(ring); i-- > 0;) {
        enum key_state state;
        uint32_t other = keyring_at(ring, i, &state)->id;
        if (other != id) MESH_ASSERT(keyring_remove(ring, other) == 0);
    }
    return 0;
}

/* An order arrives: the broker changes its ring, writes it down, and says so. What cannot be written down was not done. */
static void obey(void *user, uint64_t argument)
{
    struct gossip_keys *keys = user;
    struct sim_host *host = sim_host_at(keys->sim, (uint32_t)(argument >> 8));
    struct gossip_process *process = sim_host_process(host);
    const struct cluster_key *key = &keys->keys[keys->now];
    struct keyring *ring;
    uint32_t before, id;
    int err = 0;

    if (!sim_host_is_awake(host) || keys->phase != (enum gossip_keys_phase)(argument & 0xff)) return;
    ring = gossip_process_ring(process);
    id = keyring_in_use(ring)->id;
    before = keyring_generation(ring);
    switch (keys->phase) {
    case GOSSIP_KEYS_INSTALLING: err = keyring_install(ring, key); break;
    case GOSSIP_KEYS_USING: err = keyring_use(ring, key->id); break;
    case GOSSIP_KEYS_REMOVING: err = remove_others(ring, key->id); break;
    case GOSSIP_KEYS_REST: break;
    }
    if (err != 0 || keyring_generation(ring) == before) return; /* done before, or too early */
    if (save(keys, host, ring) || keys->phase == GOSSIP_KEYS_REMOVING) { /* a key too many on the disk does no harm */
        gossip_process_changed_ring(process);
    } else if (keys->phase == GOSSIP_KEYS_INSTALLING) {
        (void)keyring_remove(ring, key->id);
    } else {
        (void)keyring_use(ring, id);
    }
}

static void order_all(struct gossip_keys *keys)
{
    for (uint32_t i = 0; i < sim_host_count(keys->sim); i++)
        sim_at(keys->sim, sim_now_us(keys->sim) + random_below(&keys->random, ORDER_MAX_US), obey, keys,
               (uint64_t)i << 8 | keys->phase);
}

static bool all_have_one(const struct key_member *members, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!members[i].is_known || members[i].holding.count != 1) return false;
    }
    return true;
}

static bool all_use(const struct key_member *members, size_t count, uint32_t id)
{
    for (size_t i = 0; i < count; i++) {
        if (!members[i].is_known || members[i].holding.in_use != id) return false;
    }
    return true;
}

static void begin_removal(struct gossip_keys *keys)
{
    keys->phase = GOSSIP_KEYS_REMOVING;
    for (uint32_t i = 0; i < keys->now; i++)
        keys->is_gone[i] = true;
}

static void advance(struct gossip_keys *keys, const struct key_member *members, size_t count)
{
    uint32_t id = keys->keys[keys->now].id, old = keys->now == 0 ? 0 : keys->keys[keys->now - 1].id;

    switch (keys->phase) {
    case GOSSIP_KEYS_REST:
        if (keys->count == GOSSIP_KEYS_MAX || random_below(&keys->random, REST_MAX_S) > 0) break;
        make_key(keys);
        keys->phase = GOSSIP_KEYS_INSTALLING;
        break;
    case GOSSIP_KEYS_INSTALLING:
        if (keys->is_hasty || keyring_judge_use(id, members, count).is_allowed) {
            keys->phase = GOSSIP_KEYS_USING;
            keys->lingering_us = 0;
        }
        break;
    case GOSSIP_KEYS_USING:
        if (!all_use(members, count, id) || !keyring_judge_remove(old, members, count).is_allowed) break;
        keys->lingering_us += STEP_US;
        if (keys->lingering_us > LINGER_US) begin_removal(keys);
        break;
    case GOSSIP_KEYS_REMOVING:
        if (!all_have_one(members, count)) break;
        SIM_SOMETIMES("a cluster key was rotated");
        sim_trace(keys->sim, NULL, "a rotation is over");
        keys->rotations++;
        keys->phase = GOSSIP_KEYS_REST;
        break;
    }
}

static void step(void *user, uint64_t until_us)
{
    struct gossip_keys *keys = user;
    struct key_member members[SIM_HOSTS_MAX];
    uint32_t first = (uint32_t)random_below(&keys->random, sim_host_count(keys->sim));
    struct gossip_process *leader = sim_host_process(sim_host_at(keys->sim, first));

    /* Whoever runs may lead: what the rings and gossip say is where a rotation stands. */
    if (leader != NULL) {
        size_t count = gather(keys, gossip_process_core(leader), members);
        if (keys->phase != GOSSIP_KEYS_REST || sim_now_us(keys->sim) < until_us) advance(keys, members, count);
        order_all(keys);
    }
    sim_at(keys->sim, sim_now_us(keys->sim) + STEP_US, step, keys, until_us);
}

void gossip_keys_rotate(struct gossip_keys *keys, uint64_t until_us)
{
    sim_at(keys->sim, sim_now_us(keys->sim) + STEP_US, step, keys, until_us);
}
