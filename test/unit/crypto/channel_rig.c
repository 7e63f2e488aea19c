/* See channel_rig.h. All secrets are constant, so that every byte is. */
#include "channel_rig.h"

#include <stdlib.h>

void rig_init(struct rig *rig)
{
    memset(rig, 0, sizeof *rig);
    for (uint8_t i = 0; i < 2; i++) {
        uint8_t bytes[CLUSTER_KEY_SIZE] = {i}, seed[IDENTITY_SEED_SIZE];
        cluster_key_init(&rig->keys[i], bytes);
        memset(seed, 0x10 + i, sizeof seed);
        identity_key_init(&rig->identities[i], seed);
    }
    for (uint8_t i = 0; i < 2; i++) {
        struct channel_options *options = &rig->options[i];
        rig->rings[i] = keyring_new();
        ck_assert_int_eq(keyring_install(rig->rings[i], &rig->keys[0]), 0);
        *options = (struct channel_options){.is_initiator = i == INITIATOR,
                                            .keyring = rig->rings[i],
                                            .identity = &rig->identities[i],
                                            .cluster_id = {{77}},
                                            .boot = 100u + i,
                                            .wall_ms = 1700000000000 + i};
        memset(options->random, 0x20 + i, sizeof options->random);
    }
}

void rig_deinit(struct rig *rig)
{
    for (int i = 0; i < 2; i++) {
        channel_free(rig->channels[i]);
        keyring_free(rig->rings[i]);
    }
}

void rig_start(struct rig *rig)
{
    for (int i = 0; i < 2; i++) {
        channel_free(rig->channels[i]);
        ck_assert_int_eq(channel_new(&rig->options[i], &rig->channels[i]), 0);
    }
}

enum channel_state rig_feed(struct rig *rig, enum rig_end end, const uint8_t *bytes, size_t size, struct channel_step *ret_step)
{
    uint8_t *exact = malloc(size == 0 ? 1 : size); /* for the sanitizers */
    enum channel_state state;

    if (size != 0) memcpy(exact, bytes, size);
    state = channel_step(rig->channels[end], slice_of(exact, size), ret_step);
    free(exact);
    return state;
}

enum channel_state rig_run(struct rig *rig, int last)
{
    struct channel_step step;
    enum channel_state state = rig_feed(rig, INITIATOR, NULL, 0, &rig->steps[0]);

    for (int i = 1; i <= last && state == CHANNEL_HANDSHAKING; i++) {
        struct channel_step *sent = &rig->steps[i - 1];
        state = rig_feed(rig, i % 2 == 1 ? RESPONDER : INITIATOR, sent->out, sent->out_size, i < 3 ? &rig->steps[i] : &step);
        if (state != CHANNEL_FAILED) ck_assert_uint_eq(i < 3 ? rig->steps[i].used : step.used, sent->out_size);
        if (i == 2 && last == 3 && state == CHANNEL_OPEN) state = CHANNEL_HANDSHAKING; /* the other end goes on */
    }
    return state;
}

enum channel_failure rig_failure(const struct rig *rig, enum rig_end end)
{
    struct channel_failure_detail detail;

    channel_get_failure(rig->channels[end], &detail);
    return detail.failure;
}
