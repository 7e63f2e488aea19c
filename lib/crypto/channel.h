/* crypto/channel.h - the secure stream between two brokers over TCP: a handshake, then sealed frames.
 *
 * Sans-I/O: bytes that came in go in, bytes to send come out; randomness and the wall clock are handed in. Modelled on
 * Noise's XXpsk0 (noiseprotocol.org, revision 34) with signatures for the static keys: PROTOCOL.md has the bytes, the
 * transcript and the rules that were taken. Both ends prove the cluster key and their identity; the secrets of a link die
 * with it (X25519, RFC 7748); identities are hidden from who only listens.
 *
 *     channel_new()
 *     channel_step() with what arrived, until it says CHANNEL_OPEN or CHANNEL_FAILED; send step.out each time
 *     channel_seal() / channel_open() for frames; channel_free()
 *
 * Whatever is wrong ends the channel for good; channel_get_failure() says what it was, for programs and for people.
 * A channel belongs to one thread, but once open, sealing may be one thread's and opening another's: they share nothing. */
#ifndef CRYPTO_CHANNEL_H
#define CRYPTO_CHANNEL_H

#include "base/slice.h"
#include "base/uuid.h"
#include "crypto/identity_key.h"
#include "crypto/keyring.h"

#define CHANNEL_MAGIC             "MLNK" /* the first bytes of either side; for the port's sniffer */
#define CHANNEL_VERSION           1
#define CHANNEL_RANDOM_SIZE       32
#define CHANNEL_HANDSHAKE_MAX     256 /* bytes of a message before the channel is open */
#define CHANNEL_FRAME_HEADER_SIZE 8
#define CHANNEL_TAG_SIZE          16
#define CHANNEL_FRAME_OVERHEAD    (CHANNEL_FRAME_HEADER_SIZE + CHANNEL_TAG_SIZE)
#define CHANNEL_PAYLOAD_MAX       (16u << 20) /* bytes of a frame's payload */
#define CHANNEL_FRAME_END         0 /* type of the last frame: an end without it was forced by somebody */

/* Members of a set, which is on the wire: never renumber. */
enum channel_cipher { CHANNEL_XCHACHA20_POLY1305 = 1, CHANNEL_AES256_GCM = 2, CHANNEL_AES128_GCM = 4 };

/* What this machine has hardware for. */
uint8_t channel_ciphers_here(void);

struct channel;

struct channel_options {
    bool is_initiator;
    uint8_t ciphers;                     /* beside XChaCha20-Poly1305, which everybody has: channel_ciphers_here(), or fewer */
    const struct keyring *keyring;       /* kept until the handshake is over */
    const struct identity_key *identity; /* kept until the handshake is over */
    struct uuid cluster_id;              /* zero: belongs to no mesh yet, fits every other */
    struct uuid expected_peer;           /* zero: anybody who holds the key */
    uint32_t boot;
    uint64_t wall_ms;                    /* our clock, for the peer to judge */
    uint32_t payload_max;                /* of frames that are opened; 0: CHANNEL_PAYLOAD_MAX */
    uint8_t random[CHANNEL_RANDOM_SIZE]; /* from the system, used for nothing else; the caller wipes its copy */
};

/* Errors: MESH_ENOMEM, MESH_ENOTFOUND (no key is in use). */
int channel_new(const struct channel_options *options, struct channel **ret_channel);
void channel_free(struct channel *channel); /* accepts NULL; wipes all keys */

/* ---- handshake ---- */

enum channel_state { CHANNEL_HANDSHAKING, CHANNEL_OPEN, CHANNEL_FAILED };

struct channel_step {
    size_t used;     /* bytes of the input that were taken; the rest is for the next step, or frames */
    size_t out_size; /* to be sent, also when the step failed: it tells the peer why */
    uint8_t out[CHANNEL_HANDSHAKE_MAX];
};

/* Takes at most one message from the front of `input`; with too few bytes for one it takes none and wants more. The initiator
 * begins with an empty input. Not to be called again once the state is another than CHANNEL_HANDSHAKING. */
enum channel_state channel_step(struct channel *channel, struct slice input, struct channel_step *ret_step);

/* The connection ended, or the time for the handshake is over, with `unused` bytes never taken. */
void channel_cut(struct channel *channel, struct slice unused);

enum channel_state channel_state(const struct channel *channel);

/* X(name, text) */
#define CHANNEL_FAILURE_MAP(X)                                                                                \
    X(NONE, "no failure")                                                                                     \
    X(SILENT, "the connection ended without a word")                                                          \
    X(TRUNCATED, "the connection ended in the middle of the handshake")                                       \
    X(NOT_MESH, "this is not a mesh: it speaks another protocol")                                             \
    X(VERSION, "the peer speaks no version of the link protocol that is spoken here")                         \
    X(WRONG_KEY, "the peer has another cluster key")                                                          \
    X(OTHER_CLUSTER, "the peer belongs to another mesh")                                                      \
    X(WRONG_PEER, "another broker than the expected one answers")                                             \
    X(SELF, "this broker has reached itself")                                                                 \
    X(MALFORMED, "the peer breaks the link protocol")                                                         \
    X(FORGED, "what arrived was changed on its way, or its sender lacks the key or the identity that it names") \
    X(REFUSED, "the peer refused the handshake")                                                              \
    X(TOO_LARGE, "a frame is larger than allowed")

enum channel_failure {
#define CHANNEL_FAILURE_ENUM(name, text) CHANNEL_FAILURE_##name,
    CHANNEL_FAILURE_MAP(CHANNEL_FAILURE_ENUM)
#undef CHANNEL_FAILURE_ENUM
    CHANNEL_FAILURE_COUNT
};
const char *channel_failure_text(enum channel_failure failure);

/* What answers instead of a mesh, by its first bytes. */
enum channel_stranger {
    CHANNEL_STRANGER_UNKNOWN,
    CHANNEL_STRANGER_HTTP,
    CHANNEL_STRANGER_TLS,
    CHANNEL_STRANGER_SSH,
    CHANNEL_STRANGER_NATIVE, /* a mesh's door for clients: a broker that has no links yet */
};

struct channel_failure_detail {
    enum channel_failure failure;
    bool is_hearsay;           /* the peer said so, and nothing proves that it was the peer */
    uint32_t own_key_id;       /* the key that was tried */
    uint32_t peer_key_id;      /* WRONG_KEY: the one that the peer uses; 0: not known */
    uint8_t peer_version_min, peer_version_max;  /* VERSION */
    enum channel_stranger stranger;              /* NOT_MESH */
    enum channel_failure refusal;                /* REFUSED: what the peer found wrong */
};
void channel_get_failure(const struct channel *channel, struct channel_failure_detail *ret_detail);

/* Who the other end is. All proven: by the cluster key, and by the signature of the identity that `id` follows from. */
struct channel_peer {
    struct uuid id;
    struct uuid cluster_id; /* zero: it belongs to no mesh yet */
    uint8_t public_key[IDENTITY_PUBLIC_KEY_SIZE];
    uint32_t boot;
    uint32_t key_id;        /* of the cluster key that the handshake used */
    uint32_t in_use_key_id; /* of the one that the peer has in use */
    uint64_t wall_ms;       /* the peer's clock when it began; the caller judges */
    uint8_t version;
    enum channel_cipher cipher;
};

/* NULL before the peer is proven. There also after OTHER_CLUSTER, WRONG_PEER and SELF. Valid until channel_free(). */
const struct channel_peer *channel_peer(const struct channel *channel);

/* ---- frames ---- */

/* Seals a frame at `to`, payload.size + CHANNEL_FRAME_OVERHEAD bytes. The payload is elsewhere, or exactly at
 * to + CHANNEL_FRAME_HEADER_SIZE (in place); it does not overlap otherwise.
 * Errors: MESH_ETOOLARGE, MESH_ECLOSED (not open). */
int channel_seal(struct channel *channel, uint8_t type, struct slice payload, uint8_t *to);
/* The same for a payload that lies in pieces; none of them overlaps `to`. */
int channel_seal_pieces(struct channel *channel, uint8_t type, const struct slice *pieces, size_t count, uint8_t *to);

struct channel_frame {
    uint8_t type;
    struct slice payload; /* inside the bytes that were given */
    size_t used;          /* bytes of the whole frame */
};

/* Bytes of the frame that begins here, or 0 while fewer than its header are there. Not proven yet; never over payload_max
 * + CHANNEL_FRAME_OVERHEAD. Errors: MESH_ETOOLARGE, MESH_EPROTO (the channel has failed), MESH_ECLOSED. */
int channel_frame_size(struct channel *channel, struct slice bytes, size_t *ret_size);

/* Opens the frame at the front of `bytes` in place. Errors: MESH_EAGAIN (not whole yet); all others end the channel:
 * MESH_ETOOLARGE, MESH_EPROTO (reserved bits), MESH_ECORRUPT (forged), MESH_ECLOSED. */
int channel_open(struct channel *channel, uint8_t *bytes, size_t size, struct channel_frame *ret_frame);

#endif
