/* crypto/sealed_packet.h - datagrams between brokers: XChaCha20-Poly1305 under a key that each sender derives for itself
 * and its boot from the cluster key, a counter for nonce, a window against replays. Bytes: PROTOCOL.md.
 *
 * Sans-I/O, in place. A sender enters the table only after a packet of its was authentic, so garbage changes nothing; in
 * the steady state nothing is allocated. Belongs to one thread.
 *
 * A packet may be replayed to *another* broker, or to this one after it was restarted, and is then taken once: what is
 * inside must name its target where that matters, and be harmless when old (gossip's rules are). */
#ifndef CRYPTO_SEALED_PACKET_H
#define CRYPTO_SEALED_PACKET_H

#include "base/slice.h"
#include "base/uuid.h"
#include "crypto/keyring.h"

#define SEALED_PACKET_HEADER_SIZE 40
#define SEALED_PACKET_TAG_SIZE    16
#define SEALED_PACKET_OVERHEAD    (SEALED_PACKET_HEADER_SIZE + SEALED_PACKET_TAG_SIZE)
#define SEALED_PACKET_SIZE_MAX    65507 /* bytes, sealed: UDP's limit over IPv4 */

struct packet_sealer;

struct packet_sealer_options {
    const struct keyring *keyring; /* kept; its changes take effect with the next packet */
    struct uuid sender;            /* this broker; packets that name it as their sender are reflected ones */
    struct uuid cluster_id;        /* zero: belongs to no mesh yet */
    uint32_t boot;                 /* raised durably before every start */
    uint64_t first_counter;        /* packet_first_counter() */
    size_t senders_max;            /* in the table; the least recently heard gives way. At least 1 */
};

/* Where to begin counting. Boots never repeat, unless a disk is restored from an old copy; so that even then no nonce
 * is used twice under a key, counters begin at the wall clock, 2^20 for each millisecond. */
uint64_t packet_first_counter(uint64_t wall_ms, uint32_t random);

/* Errors: MESH_ENOMEM. */
int packet_sealer_new(const struct packet_sealer_options *options, struct packet_sealer **ret_sealer);
void packet_sealer_free(struct packet_sealer *sealer); /* accepts NULL; wipes all keys */

/* The broker has founded or joined a mesh. Counters go on, and senders stay known. */
void packet_sealer_set_cluster(struct packet_sealer *sealer, const struct uuid *cluster_id);

/* Seals the text_size bytes at packet + SEALED_PACKET_HEADER_SIZE, in place; `packet` has room for
 * text_size + SEALED_PACKET_OVERHEAD bytes, which is the size to send.
 * Errors: MESH_ENOTFOUND (no key is in use), MESH_ETOOLARGE, MESH_EFULL (2^64 packets). */
int packet_sealer_seal(struct packet_sealer *sealer, uint8_t *packet, size_t text_size);

/* X(name, text) */
#define PACKET_RESULT_MAP(X)                                                                                  \
    X(OK, "authentic and new")                                                                                \
    X(NOT_OURS, "not a packet of a mesh")                                                                     \
    X(VERSION, "of a version that is not understood")                                                         \
    X(OTHER_CLUSTER, "of another mesh")                                                                       \
    X(UNKNOWN_KEY, "sealed with a key that is not held here")                                                 \
    X(REFLECTED, "our own packet came back")                                                                  \
    X(OLD_BOOT, "from before its sender's last known start")                                                  \
    X(REPLAYED, "came before, or is too old to tell")                                                         \
    X(FORGED, "changed on its way, or not sealed by a holder of the key")                                     \
    X(NO_MEMORY, "authentic, but there is no memory for its sender")

enum packet_result {
#define PACKET_RESULT_ENUM(name, text) PACKET_##name,
    PACKET_RESULT_MAP(PACKET_RESULT_ENUM)
#undef PACKET_RESULT_ENUM
    PACKET_RESULT_COUNT
};
const char *packet_result_text(enum packet_result result);

struct opened_packet {
    struct slice text; /* inside the packet's own bytes */
    struct uuid sender;
    uint32_t boot;
    uint32_t key_id;
};

/* Opens in place. Whatever is not PACKET_OK is to be dropped (its bytes may have been overwritten), and *ret_packet is
 * then untouched. Only PACKET_OK changes the table. What the header gives away is refused before any cryptography, so
 * the results up to REPLAYED may well be said of a packet that is forged besides. */
enum packet_result packet_sealer_open(struct packet_sealer *sealer, uint8_t *packet, size_t size,
                                      struct opened_packet *ret_packet);

size_t packet_sealer_sender_count(const struct packet_sealer *sealer);

#endif
