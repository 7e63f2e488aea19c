/* crypto/channel_handshake.c - three messages, and the refusals between them. Bytes and transcript: PROTOCOL.md.
 *
 *     initiator                            responder
 *     1  key id, e                   ->                       psk, e
 *                                    <-    2  e, identity     ee, then the responder's signature over all before
 *     3  identity                    ->                       the initiator's signature over all before
 *
 * Nothing of a message is used before it has decrypted, but for the header that says how to. */
#include "crypto/channel_internal.h"

#include "base/assert.h"
#include "base/bytes.h"

/* Every message. The form of this header and of a refusal is the same in all versions. */
#define AT_MAGIC     0
#define AT_TYPE      4
#define AT_VERSION   5
#define AT_BODY_SIZE 6
#define HEADER_SIZE  8

#define TYPE_1       1
#define TYPE_2       2
#define TYPE_3       3
#define TYPE_REFUSAL 4

#define VERSION_MIN 1

#define AT_1_VERSION_MIN 8 /* then three zeros */
#define AT_1_KEY_ID      12
#define AT_1_EPHEMERAL   16
#define AT_1_SEALED      48 /* the ciphers that the initiator has, and three zeros */
#define OFFER_SIZE       4
#define SIZE_1           (AT_1_SEALED + OFFER_SIZE + TRANSCRIPT_TAG_SIZE)

#define AT_2_EPHEMERAL 8
#define AT_2_SEALED    40
#define AT_3_SEALED    8

/* An identity, as it is sealed into messages 2 and 3. */
#define AT_ID_PUBLIC_KEY 0
#define AT_ID_CLUSTER    32
#define AT_ID_BOOT       48
#define AT_ID_IN_USE     52
#define AT_ID_WALL_MS    56
#define AT_ID_CIPHER     64 /* then seven zeros */
#define ID_SIGNED_SIZE   72
#define ID_SIZE          (ID_SIGNED_SIZE + IDENTITY_SIGNATURE_SIZE)
#define SIZE_2           (AT_2_SEALED + ID_SIZE + TRANSCRIPT_TAG_SIZE)
#define SIZE_3           (AT_3_SEALED + ID_SIZE + TRANSCRIPT_TAG_SIZE)

#define AT_REFUSAL_REASON      8
#define AT_REFUSAL_VERSION_MIN 9
#define AT_REFUSAL_VERSION_MAX 10 /* then a zero */
#define AT_REFUSAL_KEY_ID      12
#define SIZE_REFUSAL           16

_Static_assert(SIZE_2 <= CHANNEL_HANDSHAKE_MAX, "every message fits");
_Static_assert(CHANNEL_RANDOM_SIZE == crypto_scalarmult_SCALARBYTES, "the ephemeral key is the randomness");

/* On the wire, by index. */
static const enum channel_failure refusals[] = {
    CHANNEL_FAILURE_NONE,       CHANNEL_FAILURE_VERSION, CHANNEL_FAILURE_WRONG_KEY, CHANNEL_FAILURE_OTHER_CLUSTER,
    CHANNEL_FAILURE_WRONG_PEER, CHANNEL_FAILURE_SELF,    CHANNEL_FAILURE_FORGED,    CHANNEL_FAILURE_MALFORMED,
};
#define REFUSAL_COUNT (sizeof refusals / sizeof refusals[0])

enum channel_stranger channel_guess_stranger(struct slice first_bytes)
{
    static const struct {
        const char *prefix;
        enum channel_stranger stranger;
    } known[] = {
        {"HTTP", CHANNEL_STRANGER_HTTP}, {"SSH-", CHANNEL_STRANGER_SSH},     {"\x15\x03", CHANNEL_STRANGER_TLS},
        {"\x16\x03", CHANNEL_STRANGER_TLS}, {"MESH", CHANNEL_STRANGER_NATIVE},
    };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        size_t length = strlen(known[i].prefix);
        if (first_bytes.size >= length && memcmp(first_bytes.data, known[i].prefix, length) == 0) return known[i].stranger;
    }
    return CHANNEL_STRANGER_UNKNOWN;
}

/* ---- writing ---- */

static void write_header(uint8_t *message, uint8_t type, size_t size)
{
    memcpy(message + AT_MAGIC, CHANNEL_MAGIC, 4);
    message[AT_TYPE] = type;
    message[AT_VERSION] = CHANNEL_VERSION;
    le_store16(message + AT_BODY_SIZE, (uint16_t)(size - HEADER_SIZE));
}

/* The cluster key and the initiator's ephemeral key. Noise section 9.2: with a pre-shared key, ephemeral keys are mixed
 * into the key as well, so that no two handshakes encrypt under the same one. */
static void mix_message_1(struct channel *channel, const uint8_t *message, const struct cluster_key *cluster_key)
{
    struct transcript *transcript = &channel->own.transcript;

    transcript_mix_hash(transcript, slice_of(message, AT_1_SEALED));
    transcript_mix_key_and_hash(transcript, slice_of(cluster_key->bytes, CLUSTER_KEY_SIZE));
    transcript_mix_key(transcript, slice_of(message + AT_1_EPHEMERAL, CHANNEL_KEY_SIZE));
    channel->peer.key_id = cluster_key->id;
}

/* The responder's ephemeral key and what both make of theirs. False when the peer's is of small order (RFC 7748, 6.1). */
static bool mix_message_2(struct channel *channel, const uint8_t *message, const uint8_t peer_public[CHANNEL_KEY_SIZE])
{
    struct transcript *transcript = &channel->own.transcript;
    uint8_t shared[CHANNEL_KEY_SIZE];
    bool is_good;

    transcript_mix_hash(transcript, slice_of(message, AT_2_SEALED));
    transcript_mix_key(transcript, slice_of(message + AT_2_EPHEMERAL, CHANNEL_KEY_SIZE));
    is_good = crypto_scalarmult(shared, channel->own.secret, peer_public) == 0;
    transcript_mix_key(transcript, slice_of(shared, sizeof shared));
    sodium_memzero(shared, sizeof shared);
    sodium_memzero(channel->own.secret, sizeof channel->own.secret);
    return is_good;
}

static enum identity_context context_of(bool is_initiator)
{
    return is_initiator ? IDENTITY_LINK_INITIATOR : IDENTITY_LINK_RESPONDER;
}

/* What an identity's signature is over: the transcript before it, and the fields. */
static void signed_bytes(const struct channel *channel, const uint8_t *fields,
                         uint8_t to[TRANSCRIPT_HASH_SIZE + ID_SIGNED_SIZE])
{
    memcpy(to, channel->own.transcript.hash, TRANSCRIPT_HASH_SIZE);
    memcpy(to + TRANSCRIPT_HASH_SIZE, fields, ID_SIGNED_SIZE);
}

static void write_identity(struct channel *channel, uint8_t *to)
{
    const struct cluster_key *in_use = keyring_in_use(channel->own.keyring);
    uint8_t bytes[TRANSCRIPT_HASH_SIZE + ID_SIGNED_SIZE];

    memset(to, 0, ID_SIZE);
    memcpy(to + AT_ID_PUBLIC_KEY, channel->own.identity->public_key, IDENTITY_PUBLIC_KEY_SIZE);
    memcpy(to + AT_ID_CLUSTER, channel->own.cluster_id.bytes, UUID_SIZE);
    le_store32(to + AT_ID_BOOT, channel->own.boot);
    le_store32(to + AT_ID_IN_USE, in_use == NULL ? 0 : in_use->id);
    le_store64(to + AT_ID_WALL_MS, channel->own.wall_ms);
    to[AT_ID_CIPHER] = (uint8_t)channel->peer.cipher;
    signed_bytes(channel, to, bytes);
    identity_sign(channel->own.identity, context_of(channel->own.is_initiator), slice_of(bytes, sizeof bytes),
                  to + ID_SIGNED_SIZE);
    transcript_encrypt(&channel->own.transcript, to, ID_SIZE);
}

static void write_message_1(struct channel *channel, struct channel_step *step)
{
    const struct cluster_key *in_use = keyring_in_use(channel->own.keyring);
    uint8_t *message = step->out;

    MESH_ASSERT(in_use != NULL);
    write_header(message, TYPE_1, SIZE_1);
    le_store32(message + AT_1_VERSION_MIN, VERSION_MIN);
    le_store32(message + AT_1_KEY_ID, in_use->id);
    memcpy(message + AT_1_EPHEMERAL, channel->own.public, CHANNEL_KEY_SIZE);
    mix_message_1(channel, message, in_use);
    le_store32(message + AT_1_SEALED, channel->own.ciphers);
    transcript_encrypt(&channel->own.transcript, message + AT_1_SEALED, OFFER_SIZE);
    channel->failure.own_key_id = in_use->id;
    channel->stage = STAGE_AWAIT_2;
    step->out_size = SIZE_1;
}

static void write_refusal(const struct channel *channel, enum channel_failure failure, struct channel_step *step)
{
    const struct cluster_key *in_use = keyring_in_use(channel->own.keyring);

    for (size_t reason = 1; reason < REFUSAL_COUNT; reason++) {
        if (refusals[reason] != failure) continue;
        memset(step->out, 0, SIZE_REFUSAL);
        write_header(step->out, TYPE_REFUSAL, SIZE_REFUSAL);
        step->out[AT_REFUSAL_REASON] = (uint8_t)reason;
        step->out[AT_REFUSAL_VERSION_MIN] = VERSION_MIN;
        step->out[AT_REFUSAL_VERSION_MAX] = CHANNEL_VERSION;
        le_store32(step->out + AT_REFUSAL_KEY_ID, in_use == NULL ? 0 : in_use->id);
        step->out_size = SIZE_REFUSAL;
    }
}

/* ---- reading: each returns what is wrong, or NONE ---- */

static bool reads_zeros(const uint8_t *bytes, size_t size)
{
    return sodium_is_zero(bytes, size) == 1;
}

static bool is_one_of(enum channel_cipher cipher, uint8_t ciphers)
{
    return (cipher == CHANNEL_XCHACHA20_POLY1305 || cipher == CHANNEL_AES256_GCM || cipher == CHANNEL_AES128_GCM) && (cipher & ciphers) != 0;
}

/* The fastest: all are as strong as the handshake (README.md). Brokers that do not know the third have it in no offer, and choose without it. */
static enum channel_cipher choose_cipher(uint8_t ciphers)
{
    if ((ciphers & CHANNEL_AES128_GCM) != 0) return CHANNEL_AES128_GCM;
    return (ciphers & CHANNEL_AES256_GCM) != 0 ? CHANNEL_AES256_GCM : CHANNEL_XCHACHA20_POLY1305;
}

static enum channel_failure read_identity(struct channel *channel, uint8_t *sealed)
{
    uint8_t bytes[TRANSCRIPT_HASH_SIZE + ID_SIGNED_SIZE], before[TRANSCRIPT_HASH_SIZE];
    struct channel_peer peer = channel->peer;

    memcpy(before, channel->own.transcript.hash, sizeof before);
    if (!transcript_decrypt(&channel->own.transcript, sealed, ID_SIZE)) return CHANNEL_FAILURE_FORGED;
    memcpy(peer.public_key, sealed + AT_ID_PUBLIC_KEY, IDENTITY_PUBLIC_KEY_SIZE);
    peer.id = identity_uuid(peer.public_key);
    memcpy(bytes, before, sizeof before);
    memcpy(bytes + sizeof before, sealed, ID_SIGNED_SIZE);
    if (!identity_verify(&peer.id, peer.public_key, context_of(!channel->own.is_initiator), slice_of(bytes, sizeof bytes),
                         sealed + ID_SIGNED_SIZE))
        return CHANNEL_FAILURE_FORGED;
    if (!reads_zeros(sealed + AT_ID_CIPHER + 1, ID_SIGNED_SIZE - AT_ID_CIPHER - 1)) return CHANNEL_FAILURE_MALFORMED;
    memcpy(peer.cluster_id.bytes, sealed + AT_ID_CLUSTER, UUID_SIZE);
    peer.boot = le_load32(sealed + AT_ID_BOOT);
    peer.in_use_key_id = le_load32(sealed + AT_ID_IN_USE);
    peer.wall_ms = le_load64(sealed + AT_ID_WALL_MS);
    peer.cipher = (enum channel_cipher)sealed[AT_ID_CIPHER];
    peer.version = CHANNEL_VERSION;
    if (!channel->own.is_initiator && peer.cipher != channel->peer.cipher) return CHANNEL_FAILURE_MALFORMED;
    if (!is_one_of(peer.cipher, channel->own.ciphers)) return CHANNEL_FAILURE_MALFORMED; /* not one that was offered */
    channel->peer = peer;
    channel->has_peer = true;
    return CHANNEL_FAILURE_NONE;
}

/* The peer is proven; is it one that we want? */
static enum channel_failure judge_peer(const struct channel *channel)
{
    const struct channel_peer *peer = &channel->peer;

    if (uuid_equal(&peer->id, &channel->own.identity->id)) return CHANNEL_FAILURE_SELF;
    if (!uuid_is_zero(&peer->cluster_id) && !uuid_is_zero(&channel->own.cluster_id) &&
        !uuid_equal(&peer->cluster_id, &channel->own.cluster_id))
        return CHANNEL_FAILURE_OTHER_CLUSTER;
    if (!uuid_is_zero(&channel->own.expected_peer) && !uuid_equal(&peer->id, &channel->own.expected_peer))
        return CHANNEL_FAILURE_WRONG_PEER;
    return CHANNEL_FAILURE_NONE;
}

static void open_frames(struct channel *channel)
{
    uint8_t initiator[CHANNEL_KEY_SIZE], responder[CHANNEL_KEY_SIZE];
    bool is_initiator = channel->own.is_initiator;

    transcript_split(&channel->own.transcript, initiator, responder);
    channel_direction_start(&channel->sending, channel->peer.cipher, is_initiator ? initiator : responder);
    channel_direction_start(&channel->receiving, channel->peer.cipher, is_initiator ? responder : initiator);
    sodium_memzero(initiator, sizeof initiator);
    sodium_memzero(responder, sizeof responder);
    channel_forget_handshake(channel);
    channel->state = CHANNEL_OPEN;
}

static enum channel_failure judge_versions(struct channel *channel, uint8_t version_min, uint8_t version_max)
{
    if (version_min == 0 || version_min > version_max) return CHANNEL_FAILURE_MALFORMED;
    if (version_min <= CHANNEL_VERSION && version_max >= VERSION_MIN) return CHANNEL_FAILURE_NONE;
    channel->failure.peer_version_min = version_min;
    channel->failure.peer_version_max = version_max;
    channel->failure.is_hearsay = true;
    return CHANNEL_FAILURE_VERSION;
}

/* Versions are told before sizes: message 1 of a version that we do not speak may look different behind its byte. */
static enum channel_failure answer_message_1(struct channel *channel, uint8_t *message, size_t size, struct channel_step *step)
{
    const struct cluster_key *cluster_key;
    enum channel_failure failure;
    uint8_t *offer = message + AT_1_SEALED;

    if (size <= AT_1_VERSION_MIN) return CHANNEL_FAILURE_MALFORMED;
    failure = judge_versions(channel, message[AT_1_VERSION_MIN], message[AT_VERSION]);
    if (failure != CHANNEL_FAILURE_NONE) return failure;
    if (size != SIZE_1 || !reads_zeros(message + AT_1_VERSION_MIN + 1, 3)) return CHANNEL_FAILURE_MALFORMED;
    cluster_key = keyring_find(channel->own.keyring, le_load32(message + AT_1_KEY_ID));
    if (cluster_key == NULL) {
        channel->failure.peer_key_id = le_load32(message + AT_1_KEY_ID);
        channel->failure.is_hearsay = true;
        return CHANNEL_FAILURE_WRONG_KEY;
    }
    mix_message_1(channel, message, cluster_key);
    if (!transcript_decrypt(&channel->own.transcript, offer, OFFER_SIZE)) return CHANNEL_FAILURE_FORGED;
    if ((offer[0] & CHANNEL_XCHACHA20_POLY1305) == 0 || !reads_zeros(offer + 1, OFFER_SIZE - 1))
        return CHANNEL_FAILURE_MALFORMED;
    channel->peer.cipher = choose_cipher(channel->own.ciphers & offer[0]);
    write_header(step->out, TYPE_2, SIZE_2);
    memcpy(step->out + AT_2_EPHEMERAL, channel->own.public, CHANNEL_KEY_SIZE);
    if (!mix_message_2(channel, step->out, message + AT_1_EPHEMERAL)) return CHANNEL_FAILURE_FORGED;
    write_identity(channel, step->out + AT_2_SEALED);
    step->out_size = SIZE_2;
    channel->stage = STAGE_AWAIT_3;
    return CHANNEL_FAILURE_NONE;
}

static enum channel_failure answer_message_2(struct channel *channel, uint8_t *message, size_t size, struct channel_step *step)
{
    enum channel_failure failure = judge_versions(channel, message[AT_VERSION], message[AT_VERSION]);

    if (failure != CHANNEL_FAILURE_NONE) return failure;
    if (size != SIZE_2) return CHANNEL_FAILURE_MALFORMED;
    if (!mix_message_2(channel, message, message + AT_2_EPHEMERAL)) return CHANNEL_FAILURE_FORGED;
    failure = read_identity(channel, message + AT_2_SEALED);
    if (failure == CHANNEL_FAILURE_NONE) failure = judge_peer(channel);
    if (failure != CHANNEL_FAILURE_NONE) return failure;
    write_header(step->out, TYPE_3, SIZE_3);
    transcript_mix_hash(&channel->own.transcript, slice_of(step->out, AT_3_SEALED));
    write_identity(channel, step->out + AT_3_SEALED);
    step->out_size = SIZE_3;
    open_frames(channel);
    return CHANNEL_FAILURE_NONE;
}

static enum channel_failure take_message_3(struct channel *channel, uint8_t *message, size_t size)
{
    enum channel_failure failure = judge_versions(channel, message[AT_VERSION], message[AT_VERSION]);

    if (failure != CHANNEL_FAILURE_NONE) return failure;
    if (size != SIZE_3) return CHANNEL_FAILURE_MALFORMED;
    transcript_mix_hash(&channel->own.transcript, slice_of(message, AT_3_SEALED));
    failure = read_identity(channel, message + AT_3_SEALED);
    if (failure == CHANNEL_FAILURE_NONE) failure = judge_peer(channel);
    if (failure == CHANNEL_FAILURE_NONE) open_frames(channel);
    return failure;
}

/* Says why the peer will not have us. Unproven: it may spoil a diagnosis, and nothing else. */
static enum channel_failure take_refusal(struct channel *channel, const uint8_t *message, size_t size)
{
    enum channel_failure reason;

    if (size < SIZE_REFUSAL || message[AT_REFUSAL_REASON] == 0 || message[AT_REFUSAL_REASON] >= REFUSAL_COUNT)
        return CHANNEL_FAILURE_MALFORMED;
    reason = refusals[message[AT_REFUSAL_REASON]];
    channel->failure.is_hearsay = true;
    channel->failure.refusal = reason;
    switch (reason) {
    case CHANNEL_FAILURE_VERSION:
        channel->failure.peer_version_min = message[AT_REFUSAL_VERSION_MIN];
        channel->failure.peer_version_max = message[AT_REFUSAL_VERSION_MAX];
        return reason;
    case CHANNEL_FAILURE_WRONG_KEY: channel->failure.peer_key_id = le_load32(message + AT_REFUSAL_KEY_ID); return reason;
    case CHANNEL_FAILURE_OTHER_CLUSTER: return reason;
    default: return CHANNEL_FAILURE_REFUSED;
    }
}

static enum channel_failure take_message(struct channel *channel, uint8_t *message, size_t size, struct channel_step *step)
{
    static const uint8_t expected[] = {[STAGE_AWAIT_1] = TYPE_1, [STAGE_AWAIT_2] = TYPE_2, [STAGE_AWAIT_3] = TYPE_3};

    MESH_ASSERT(channel->stage != STAGE_SEND_1 && channel->stage != STAGE_DONE);
    if (message[AT_TYPE] == TYPE_REFUSAL) return take_refusal(channel, message, size);
    if (message[AT_TYPE] != expected[channel->stage]) return CHANNEL_FAILURE_MALFORMED;
    switch (channel->stage) {
    case STAGE_AWAIT_1: return answer_message_1(channel, message, size, step);
    case STAGE_AWAIT_2: return answer_message_2(channel, message, size, step);
    default: return take_message_3(channel, message, size);
    }
}

static enum channel_state fail(struct channel *channel, enum channel_failure failure, bool is_answered,
                               struct channel_step *step)
{
    step->out_size = 0;
    if (is_answered) write_refusal(channel, failure, step);
    channel_fail(channel, failure);
    return channel->state;
}

enum channel_state channel_step(struct channel *channel, struct slice input, struct channel_step *ret_step)
{
    uint8_t message[CHANNEL_HANDSHAKE_MAX];
    enum channel_failure failure;
    size_t size;

    MESH_ASSERT(channel->state == CHANNEL_HANDSHAKING);
    ret_step->used = ret_step->out_size = 0;
    if (channel->stage == STAGE_SEND_1) write_message_1(channel, ret_step);
    if (ret_step->out_size != 0 || input.size < 4) return channel->state;
    if (memcmp(input.data, CHANNEL_MAGIC, 4) != 0) {
        channel->failure.stranger = channel_guess_stranger(input);
        return fail(channel, CHANNEL_FAILURE_NOT_MESH, false, ret_step);
    }
    channel->has_received = true;
    if (input.size < HEADER_SIZE) return channel->state;
    size = HEADER_SIZE + le_load16(input.data + AT_BODY_SIZE);
    if (size > CHANNEL_HANDSHAKE_MAX) return fail(channel, CHANNEL_FAILURE_MALFORMED, true, ret_step);
    if (input.size < size) return channel->state;
    memcpy(message, input.data, size); /* decrypted in place, and the input is not ours */
    ret_step->used = size;
    failure = take_message(channel, message, size, ret_step);
    sodium_memzero(message, sizeof message);
    if (failure == CHANNEL_FAILURE_NONE) return channel->state;
    return fail(channel, failure, input.data[AT_TYPE] != TYPE_REFUSAL, ret_step);
}
