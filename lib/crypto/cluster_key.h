/* crypto/cluster_key.h - the secret that makes a broker one of a mesh: 32 random bytes, their short id, their text.
 *
 * The text is one line of 62 characters, "mesh1:" and 56 of Crockford's base 32 (no case, no I, L, O, U; what is read
 * aloud or typed from a screen comes out right): the key and a checksum of 24 bits, which tells a key that was mistyped
 * from one that is wrong. The id is public: it is in every packet, and says nothing of the key (a hash of 256 random bits).
 * Pure. Who holds a key wipes it: cluster_key_wipe(). */
#ifndef CRYPTO_CLUSTER_KEY_H
#define CRYPTO_CLUSTER_KEY_H

#include "base/slice.h"

#define CLUSTER_KEY_SIZE           32 /* bytes */
#define CLUSTER_KEY_TEXT_SIZE      63 /* with its NUL */
#define CLUSTER_KEY_ID_STRING_SIZE 9  /* 8 hexadecimal digits and NUL */

struct cluster_key {
    uint8_t bytes[CLUSTER_KEY_SIZE];
    uint32_t id; /* never 0 */
};

/* The key of these 32 bytes. They are the caller's, from the system's randomness; the caller wipes them. */
void cluster_key_init(struct cluster_key *key, const uint8_t bytes[CLUSTER_KEY_SIZE]);
void cluster_key_wipe(struct cluster_key *key);

/* The one line, with its NUL; returns `to`, which the caller wipes (sodium_memzero). */
char *cluster_key_format(const struct cluster_key *key, char to[CLUSTER_KEY_TEXT_SIZE]);

/* White space around the text is ignored. On failure *ret_key is untouched and `message` has a sentence without a letter
 * of the key. Errors: MESH_EINVAL (this is no key), MESH_EVERSION (a newer mesh's), MESH_ECORRUPT (mistyped). */
int cluster_key_parse(struct slice text, struct cluster_key *ret_key, char *message, size_t message_size);

/* "3f2a90c1", as people see it and as `mesh key` takes it; returns `to`. */
char *cluster_key_id_format(uint32_t id, char to[CLUSTER_KEY_ID_STRING_SIZE]);

#endif
