/* crypto/channel.c - a channel's life and what can be asked of it; the handshake and the frames have files of their own. */
#include "crypto/channel_internal.h"

#include "base/assert.h"
#include "base/error.h"
#include "crypto/crypto.h"

uint8_t channel_ciphers_here(void)
{
    return crypto_has_aes() ? CHANNEL_AES256_GCM | CHANNEL_AES128_GCM : 0;
}

int channel_new(const struct channel_options *options, struct channel **ret_channel)
{
    const struct cluster_key *in_use = keyring_in_use(options->keyring);
    struct channel *channel;

    if (in_use == NULL) return MESH_ENOTFOUND;
    channel = sodium_malloc(sizeof *channel);
    if (channel == NULL) return MESH_ENOMEM;
    memset(channel, 0, sizeof *channel);
    channel->own.keyring = options->keyring;
    channel->own.identity = options->identity;
    channel->own.cluster_id = options->cluster_id;
    channel->own.expected_peer = options->expected_peer;
    channel->own.wall_ms = options->wall_ms;
    channel->own.boot = options->boot;
    channel->own.is_initiator = options->is_initiator;
    channel->own.ciphers = CHANNEL_XCHACHA20_POLY1305 | options->ciphers;
    if (options->ciphers != 0 && (gcm_new(true, &channel->sending.gcm) != 0 || gcm_new(false, &channel->receiving.gcm) != 0)) {
        channel_free(channel);
        return MESH_ENOMEM;
    }
    memcpy(channel->own.secret, options->random, CHANNEL_KEY_SIZE);
    crypto_scalarmult_base(channel->own.public, channel->own.secret);
    transcript_init(&channel->own.transcript);
    channel->stage = options->is_initiator ? STAGE_SEND_1 : STAGE_AWAIT_1;
    channel->payload_max = options->payload_max == 0 ? CHANNEL_PAYLOAD_MAX : options->payload_max;
    MESH_ASSERT(channel->payload_max <= CHANNEL_PAYLOAD_MAX);
    channel->failure.own_key_id = in_use->id;
    *ret_channel = channel;
    return 0;
}

void channel_free(struct channel *channel)
{
    if (channel == NULL) return;
    gcm_free(channel->sending.gcm);
    gcm_free(channel->receiving.gcm);
    sodium_free(channel); /* wipes */
}

void channel_forget_handshake(struct channel *channel)
{
    sodium_memzero(&channel->own, sizeof channel->own);
    channel->stage = STAGE_DONE;
}

void channel_fail(struct channel *channel, enum channel_failure failure)
{
    if (channel->state == CHANNEL_FAILED) return;
    channel->failure.failure = failure;
    channel->state = CHANNEL_FAILED;
    channel->receiving.is_open = false;
    sodium_memzero(channel->receiving.secret, sizeof channel->receiving.secret);
    gcm_free(channel->receiving.gcm);
    channel->receiving.gcm = NULL;
    channel_forget_handshake(channel);
}

void channel_cut(struct channel *channel, struct slice unused)
{
    size_t length = unused.size < strlen(CHANNEL_MAGIC) ? unused.size : strlen(CHANNEL_MAGIC);

    if (channel->state != CHANNEL_HANDSHAKING) return;
    if (length != 0 && memcmp(unused.data, CHANNEL_MAGIC, length) != 0) {
        channel->failure.stranger = channel_guess_stranger(unused);
        channel_fail(channel, CHANNEL_FAILURE_NOT_MESH);
    } else {
        channel_fail(channel, length == 0 && !channel->has_received ? CHANNEL_FAILURE_SILENT : CHANNEL_FAILURE_TRUNCATED);
    }
}

enum channel_state channel_state(const struct channel *channel)
{
    return channel->state;
}

void channel_get_failure(const struct channel *channel, struct channel_failure_detail *ret_detail)
{
    *ret_detail = channel->failure;
}

const struct channel_peer *channel_peer(const struct channel *channel)
{
    return channel->has_peer ? &channel->peer : NULL;
}

const char *channel_failure_text(enum channel_failure failure)
{
    static const char *const texts[] = {
#define CHANNEL_FAILURE_TEXT(name, text) text,
        CHANNEL_FAILURE_MAP(CHANNEL_FAILURE_TEXT)
#undef CHANNEL_FAILURE_TEXT
    };

    MESH_ASSERT((unsigned)failure < CHANNEL_FAILURE_COUNT);
    return texts[failure];
}
