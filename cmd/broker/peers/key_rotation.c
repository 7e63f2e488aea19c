/* peers/key_rotation.c - the cluster key is replaced while everything runs. keyring.h has the rules.
 *
 * Everyone publishes which keys it holds (gossip's soft state, key "keys"). One broker leads a rotation; it has no state
 * that matters: the ring on its disk and what the others publish say where a rotation stands, so any broker can go on
 * where a leader died, by the same command. Secrets travel over links only.
 *
 *   LINK_TYPE_KEYS: action u8, key id u32 (little endian), and for INSTALL the 32 bytes of the key */
#include "cmd/broker/peers/peers_internal.h"
#include "cmd/broker/operate/events.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "crypto/key_file.h"
#include "crypto/crypto.h"

#include <stdio.h>
#include <stdlib.h>

#define STEP_SECONDS   1.0
#define LINGER_SECONDS 10 /* two rounds of digests: what the old key has sealed has arrived or never will */
#define HEAD_SIZE      5
#define HOLDING_KEY    "keys"

enum action { ACTION_INSTALL = 1, ACTION_USE = 2, ACTION_REMOVE = 3 };

/* ---- this broker's ring ---- */

static int publish(struct peers *peers)
{
    struct key_holding holding;
    uint8_t bytes[KEY_HOLDING_SIZE_MAX];

    keyring_get_holding(peers->options.keyring, &holding);
    return gossip_soft_set(peers->gossip, peers_now_us(), slice_of_string(HOLDING_KEY),
                           slice_of(bytes, key_holding_encode(&holding, bytes)));
}

/* The ring has changed in memory: written down first, then told. */
static int write_down(struct peers *peers)
{
    char message[sizeof(peers->rotation.problem)] = "";

    if (peers->options.key_path != NULL &&
        key_file_replace(peers->options.key_path, peers->options.keyring, message, sizeof(message)) != 0) {
        /* The leader asks again every second, for as long as it takes. */
        if (strcmp(message, peers->rotation.problem) != 0)
            log_error("the ring of cluster keys cannot be written, so the rotation waits: %s", message);
        memcpy(peers->rotation.problem, message, sizeof(message));
        return MESH_EIO;
    }
    peers->rotation.problem[0] = '\0';
    return publish(peers);
}

static int install(struct peers *peers, const struct cluster_key *key)
{
    char id[CLUSTER_KEY_ID_STRING_SIZE];
    int err = keyring_install(peers->options.keyring, key);

    if (err == MESH_EEXISTS) return 0;
    if (err == 0) {
        err = write_down(peers);
        if (err != 0) (void)keyring_remove(peers->options.keyring, key->id);
    }
    if (err == 0) log_info("cluster key installed key=%s", cluster_key_id_format(key->id, id));
    return err;
}

static int use(struct peers *peers, uint32_t key_id)
{
    const struct cluster_key *before = keyring_in_use(peers->options.keyring);
    uint32_t before_id = before == NULL ? 0 : before->id;
    char id[CLUSTER_KEY_ID_STRING_SIZE];
    int err;

    if (before_id == key_id) return 0;
    err = keyring_use(peers->options.keyring, key_id);
    if (err == 0) {
        err = write_down(peers);
        if (err != 0 && before_id != 0) (void)keyring_use(peers->options.keyring, before_id);
    }
    if (err == 0) event_note(peers->options.events, EVENT_ACCESS, LOG_LEVEL_INFO, "cluster key in use key=%s", cluster_key_id_format(key_id, id));
    return err;
}

/* A link whose handshake was made with a key that is gone could not be made again: it is, with the one that stays. */
static void renew_links(struct peers *peers, uint32_t removed_id)
{
    list_for_each(node, &peers->links)
    {
        struct peer_link *link = container_of(node, struct peer_link, node);

        if (link->is_chosen && link_peer(link->link)->key_id == removed_id) link_close(link->link);
    }
}

/* All but one. */
static int remove_others(struct peers *peers, uint32_t key_id)
{
    struct keyring *ring = peers->options.keyring;
    const struct cluster_key *in_use = keyring_in_use(ring);
    bool has_removed = false;

    if (in_use == NULL || in_use->id != key_id) return MESH_EBUSY;
    for (size_t i = keyring_count(ring); i-- > 0;) {
        enum key_state state;
        uint32_t id = keyring_at(ring, i, &state)->id;

        if (id == key_id || keyring_remove(ring, id) != 0) continue;
        has_removed = true;
        renew_links(peers, id);
    }
    return has_removed ? write_down(peers) : 0; /* a ring on disk that has more than the one in memory does no harm */
}

/* ---- what others say ---- */

void key_rotation_receive(struct peers *peers, const struct uuid *from, struct slice payload)
{
    char id[UUID_STRING_SIZE];
    uint32_t key_id;
    int err;

    if (payload.size < HEAD_SIZE) return;
    key_id = le_load32(payload.data + 1);
    if (payload.data[0] == ACTION_INSTALL && payload.size == HEAD_SIZE + CLUSTER_KEY_SIZE) {
        struct cluster_key key;

        cluster_key_init(&key, payload.data + HEAD_SIZE);
        /* What cannot be written down has been logged. */
        err = key.id == key_id ? install(peers, &key) : 0;
        if (err != 0 && err != MESH_EIO && err != peers->rotation.install_error)
            log_warn("cannot install the cluster key that broker=%s sent: %s", uuid_format(from, id), mesh_strerror(err));
        peers->rotation.install_error = err;
        cluster_key_wipe(&key);
    } else if (payload.data[0] == ACTION_USE) {
        (void)use(peers, key_id);
    } else if (payload.data[0] == ACTION_REMOVE) {
        (void)remove_others(peers, key_id);
    }
    peers_drive(peers);
}

/* ---- leading a rotation ---- */

static bool holding_of(const struct peers *peers, const struct uuid *id, struct key_holding *ret_holding)
{
    struct slice value;

    return gossip_soft_get(peers->gossip, id, slice_of_string(HOLDING_KEY), &value) &&
           key_holding_decode(value, ret_holding) == 0;
}

/* Everyone who has not left, the dead included: they come back. */
static struct key_member *gather(const struct peers *peers, size_t *ret_count)
{
    size_t count = gossip_member_count(peers->gossip), used = 0;
    struct key_member *members = calloc(count + 1, sizeof(*members));

    for (size_t i = 0; members != NULL && i < count; i++) {
        const struct gossip_member *member = gossip_member_at(peers->gossip, i);

        if (member->state == GOSSIP_LEFT) continue;
        members[used].broker_id = member->self.id;
        members[used].is_known = holding_of(peers, &member->self.id, &members[used].holding);
        used++;
    }
    *ret_count = used;
    return members;
}

static bool holds(const struct key_member *member, uint32_t key_id)
{
    for (size_t i = 0; member->is_known && i < member->holding.count; i++)
        if (member->holding.ids[i] == key_id) return true;
    return false;
}

/* Has this member done what the phase asks of it? */
static bool is_done(const struct key_member *member, enum rotation_phase phase, uint32_t key_id)
{
    switch (phase) {
    case ROTATION_INSTALL: return holds(member, key_id);
    case ROTATION_USE: return member->is_known && member->holding.in_use == key_id;
    case ROTATION_REMOVE: return member->is_known && member->holding.count == 1;
    case ROTATION_NONE: break;
    }
    return true;
}

static void order(struct peers *peers, const struct uuid *id)
{
    const struct cluster_key *key = keyring_find(peers->options.keyring, peers->rotation.key_id);
    const struct gossip_member *member = gossip_find(peers->gossip, id);
    uint8_t bytes[HEAD_SIZE + CLUSTER_KEY_SIZE];
    size_t size = HEAD_SIZE;

    if (key == NULL || member == NULL) return;
    if (peers_find_link(peers, id) == NULL) {
        peers_dial(peers, &member->self.address, id); /* told in the next step */
        return;
    }
    bytes[0] = peers->rotation.phase == ROTATION_INSTALL ? ACTION_INSTALL
               : peers->rotation.phase == ROTATION_USE   ? ACTION_USE
                                                         : ACTION_REMOVE;
    le_store32(bytes + 1, key->id);
    if (bytes[0] == ACTION_INSTALL) {
        memcpy(bytes + HEAD_SIZE, key->bytes, CLUSTER_KEY_SIZE);
        size += CLUSTER_KEY_SIZE;
    }
    peers_send(peers, id, LINK_TYPE_KEYS, slice_of(bytes, size));
    crypto_wipe(bytes, sizeof(bytes));
}

static void advance(struct peers *peers)
{
    char id[CLUSTER_KEY_ID_STRING_SIZE];

    cluster_key_id_format(peers->rotation.key_id, id);
    switch (peers->rotation.phase) {
    case ROTATION_INSTALL:
        if (use(peers, peers->rotation.key_id) != 0) return;
        peers->rotation.phase = ROTATION_USE;
        return;
    case ROTATION_USE:
        if (peers->rotation.linger++ < LINGER_SECONDS / STEP_SECONDS) return;
        if (remove_others(peers, peers->rotation.key_id) != 0) return;
        peers->rotation.phase = ROTATION_REMOVE;
        return;
    case ROTATION_REMOVE:
        event_note(peers->options.events, EVENT_ACCESS, LOG_LEVEL_INFO, "the cluster key has been rotated: all members hold this one only key=%s", id);
        peers->rotation.phase = ROTATION_NONE;
        ev_timer_stop(peers->loop, &peers->rotation.timer);
        return;
    case ROTATION_NONE: return;
    }
}

static void step(struct peers *peers)
{
    size_t count, waiting = 0;
    struct key_member *members = gather(peers, &count);

    if (members == NULL) return; /* in the next step */
    peers->rotation.blocker = (struct uuid){{0}};
    for (size_t i = 0; i < count; i++) {
        if (is_done(&members[i], peers->rotation.phase, peers->rotation.key_id)) continue;
        waiting++;
        if (uuid_is_zero(&peers->rotation.blocker)) peers->rotation.blocker = members[i].broker_id;
        if (!uuid_equal(&members[i].broker_id, &peers->options.identity->id)) order(peers, &members[i].broker_id);
    }
    free(members);
    if (waiting == 0) advance(peers);
}

static void on_step(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct peers *peers = timer->data;

    (void)loop;
    (void)events;
    step(peers);
    peers_drive(peers);
}

/* A ring with a key that is not the one in use shows a rotation that a leader left behind: it is finished, not repeated. */
static int choose_key(struct peers *peers)
{
    struct keyring *ring = peers->options.keyring;
    uint8_t bytes[CLUSTER_KEY_SIZE];
    struct cluster_key fresh;
    enum key_state state;
    int err;

    for (size_t i = 0; i < keyring_count(ring); i++) {
        const struct cluster_key *key = keyring_at(ring, i, &state);

        if (state == KEY_INSTALLED) {
            peers->rotation.key_id = key->id;
            return 0;
        }
    }
    if (keyring_count(ring) > 1) { /* all use the new one already, or nearly: what is left is to remove the old */
        peers->rotation.key_id = keyring_in_use(ring)->id;
        return 0;
    }
    random_system_bytes(bytes, sizeof(bytes));
    cluster_key_init(&fresh, bytes);
    crypto_wipe(bytes, sizeof(bytes));
    peers->rotation.key_id = fresh.id;
    err = install(peers, &fresh);
    cluster_key_wipe(&fresh);
    return err;
}

int peers_rotate_key(struct peers *peers)
{
    int err;

    if (peers->rotation.phase != ROTATION_NONE) return MESH_EBUSY;
    err = choose_key(peers);
    if (err != 0) return err;
    peers->rotation.phase = ROTATION_INSTALL;
    peers->rotation.linger = 0;
    step(peers);
    ev_timer_set(&peers->rotation.timer, STEP_SECONDS, STEP_SECONDS);
    ev_timer_start(peers->loop, &peers->rotation.timer);
    peers_drive(peers);
    return 0;
}

const char *peers_rotation_problem(const struct peers *peers)
{
    return peers->rotation.problem;
}

int key_rotation_open(struct peers *peers)
{
    ev_timer_init(&peers->rotation.timer, on_step, STEP_SECONDS, STEP_SECONDS);
    peers->rotation.timer.data = peers;
    return publish(peers);
}

void key_rotation_close(struct peers *peers)
{
    ev_timer_stop(peers->loop, &peers->rotation.timer);
}

/* ---- what is told about it ---- */

static const char *const phase_texts[] = {"", "installing the new key", "changing over to the new key",
                                          "removing the old keys"};

static char *name_of(const struct peers *peers, struct arena *arena, const struct uuid *id)
{
    const struct gossip_member *member = uuid_is_zero(id) ? NULL : gossip_find(peers->gossip, id);

    return arena_printf(arena, "%s", member == NULL ? "" : member->self.name);
}

int peers_describe_keys(const struct peers *peers, struct arena *arena, struct message_keys_response *ret_keys)
{
    size_t count, key_count = keyring_count(peers->options.keyring);
    struct key_member *members = gather(peers, &count);
    struct message_keys_response response = {.key_count = key_count};

    response.keys = members == NULL ? NULL : arena_alloc(arena, key_count + 1, sizeof(*response.keys));
    response.phase = arena_strdup(arena, phase_texts[peers->rotation.phase]);
    response.waiting_for = name_of(peers, arena, &peers->rotation.blocker);
    for (size_t i = 0; response.keys != NULL && i < key_count; i++) {
        enum key_state state;
        const struct cluster_key *key = keyring_at(peers->options.keyring, i, &state);
        char id[CLUSTER_KEY_ID_STRING_SIZE];
        struct message_key *to = &response.keys[i];

        to->key_id = arena_strdup(arena, cluster_key_id_format(key->id, id));
        to->is_used = state == KEY_IN_USE;
        to->member_count = (uint32_t)count;
        for (size_t j = 0; j < count; j++)
            to->holder_count += holds(&members[j], key->id);
        if (to->key_id == NULL) response.keys = NULL;
    }
    free(members);
    if (response.keys == NULL || response.phase == NULL || response.waiting_for == NULL) return MESH_ENOMEM;
    *ret_keys = response;
    return 0;
}
