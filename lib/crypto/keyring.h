/* crypto/keyring.h - the keys that a broker holds: up to four, one of them in use. Rotation without losing a packet:
 *
 *     install K2 everywhere       everyone opens with K1 and K2, seals with K1
 *     use K2, once all hold it    everyone opens with both, seals with K2; K1 is retiring
 *     remove K1, once none uses it
 *
 * Each step is one function that changes the ring in memory; the caller writes the ring down (key_file.h) before it tells
 * anyone. keyring_judge_*() say when a step may be taken, from what each member says that it holds.
 *
 * A ring lives in locked memory that core dumps leave out, and is wiped when it is freed. It belongs to one thread. */
#ifndef CRYPTO_KEYRING_H
#define CRYPTO_KEYRING_H

#include "base/uuid.h"
#include "crypto/cluster_key.h"

#define KEYRING_KEYS_MAX  4
#define KEYRING_TEXT_MAX  4096 /* bytes of the text form, comments included */
#define KEY_HOLDING_SIZE_MAX 21 /* bytes of an encoded struct key_holding */

enum key_state {
    KEY_INSTALLED, /* opens */
    KEY_IN_USE,    /* opens and seals; at most one */
    KEY_RETIRING,  /* was in use; opens, until it is removed */
};

struct keyring;

/* An empty ring, or NULL without memory. */
struct keyring *keyring_new(void);
void keyring_free(struct keyring *keyring); /* accepts NULL */

size_t keyring_count(const struct keyring *keyring);
const struct cluster_key *keyring_at(const struct keyring *keyring, size_t index, enum key_state *ret_state);
/* The key with this id, or NULL. */
const struct cluster_key *keyring_find(const struct keyring *keyring, uint32_t id);
/* The key that seals, or NULL while there is none. */
const struct cluster_key *keyring_in_use(const struct keyring *keyring);
/* Differs after every change of the ring. */
uint32_t keyring_generation(const struct keyring *keyring);

/* ---- rotation ---- */

/* The first key of an empty ring comes into use; every other is installed.
 * Errors: MESH_EEXISTS (this id is there), MESH_EFULL. */
int keyring_install(struct keyring *keyring, const struct cluster_key *key);

/* Seals with the key from now on; the one before is retiring. Using the one in use changes nothing.
 * Errors: MESH_ENOTFOUND. */
int keyring_use(struct keyring *keyring, uint32_t id);

/* Errors: MESH_ENOTFOUND, MESH_EBUSY (it is in use). */
int keyring_remove(struct keyring *keyring, uint32_t id);

/* What a broker publishes of its ring (gossip's soft state): ids, no secrets. */
struct key_holding {
    uint32_t in_use; /* 0: none */
    uint32_t ids[KEYRING_KEYS_MAX]; /* all that it holds, the one in use among them */
    uint8_t count;
};
void keyring_get_holding(const struct keyring *keyring, struct key_holding *ret_holding);
size_t key_holding_encode(const struct key_holding *holding, uint8_t to[KEY_HOLDING_SIZE_MAX]);
/* Errors: MESH_EPROTO. */
int key_holding_decode(struct slice bytes, struct key_holding *ret_holding);

/* One member as the rotation sees it. One that has published nothing counts as holding nothing and as using everything:
 * it stops each step, also when it is dead, because it would come back to a mesh that it cannot hear. Whoever gives
 * a broker up leaves it out of the list. */
struct key_member {
    struct uuid broker_id;
    bool is_known; /* holding is what it has published */
    struct key_holding holding;
};
struct key_verdict {
    bool is_allowed;
    size_t blocker_count;
    struct uuid first_blocker; /* zero when there is none */
};
/* `use` waits until all members hold the key; `remove` until no member has it in use. */
struct key_verdict keyring_judge_use(uint32_t id, const struct key_member *members, size_t count);
struct key_verdict keyring_judge_remove(uint32_t id, const struct key_member *members, size_t count);

/* ---- text: the durable form ---- */

/* A line per key: its text, and after a space "in-use", "installed" or "retiring"; empty lines and what follows a '#' are
 * ignored. A ring with one key may leave the word out, so the line that `mesh key show` prints is a ring. */

/* Writes the ring at `to` (KEYRING_TEXT_MAX bytes, which the caller wipes) and returns its size; no NUL. */
size_t keyring_format(const struct keyring *keyring, char *to);

/* Replaces the ring's keys. On failure the ring is untouched and `message` names the line, never a key. Errors: those of
 * cluster_key_parse(), MESH_ETOOLARGE, MESH_EINVAL (no key, none or two in use, one twice, too many). */
int keyring_parse(struct keyring *keyring, struct slice text, char *message, size_t message_size);

#endif
