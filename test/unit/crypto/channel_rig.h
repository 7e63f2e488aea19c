/* Two ends of a channel in one process, and the bytes between them. */
#ifndef TEST_CRYPTO_CHANNEL_RIG_H
#define TEST_CRYPTO_CHANNEL_RIG_H

#include "crypto/channel.h"
#include "crypto/crypto.h"

#include <check.h>

enum rig_end { INITIATOR, RESPONDER };

struct rig {
    struct keyring *rings[2];
    struct cluster_key keys[2]; /* both ends begin with the first */
    struct identity_key identities[2];
    struct channel_options options[2]; /* to be changed before rig_start() */
    struct channel *channels[2];
    struct channel_step steps[3]; /* messages 1, 2 and 3 as they were sent */
};

void rig_init(struct rig *rig);
void rig_deinit(struct rig *rig);
void rig_start(struct rig *rig);

/* Feeds bytes (a copy of exactly their size) to one end. */
enum channel_state rig_feed(struct rig *rig, enum rig_end end, const uint8_t *bytes, size_t size, struct channel_step *ret_step);

/* Messages 1 to `last` are exchanged; the state of the end that took the last one (or made message 1). */
enum channel_state rig_run(struct rig *rig, int last);

enum channel_failure rig_failure(const struct rig *rig, enum rig_end end);

#endif
